//! Randomness that is the same everywhere: a seeded generator and tileable value noise.

/// SplitMix64 (Steele et al. 2014): small, well mixed, the same on every machine.
#[derive(Debug, Clone)]
pub struct Rng(u64);

impl Rng {
    /// Independent streams for one seed: one for each `purpose`.
    pub fn new(seed: u64, purpose: u64) -> Self {
        let mut rng = Rng(seed ^ purpose.wrapping_mul(0xA24B_AED4_963E_E407));
        rng.bits();
        rng
    }

    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// 0..1
    pub fn unit(&mut self) -> f32 {
        (self.bits() >> 40) as f32 / (1u64 << 24) as f32
    }

    pub fn range(&mut self, from: f32, to: f32) -> f32 {
        from + (to - from) * self.unit()
    }

    pub fn below(&mut self, n: usize) -> usize {
        (self.unit() * n as f32) as usize % n
    }
}

const SIDE: usize = 512;

/// A tile of noise, values about −1..1, that repeats without a seam. One unit is one tile.
#[derive(Debug)]
pub struct Tile {
    values: Vec<f32>,
}

impl Tile {
    /// Value noise summed over octaves; the coarsest has `cells` cells a side.
    pub fn fractal(rng: &mut Rng, cells: usize, octaves: u32, gain: f32) -> Self {
        let mut values = vec![0.0; SIDE * SIDE];
        let (mut cells, mut amplitude, mut total) = (cells, 1.0, 0.0);
        for _ in 0..octaves {
            let lattice: Vec<f32> = (0..cells * cells).map(|_| rng.range(-1.0, 1.0)).collect();
            let step = cells as f32 / SIDE as f32;
            for (y, row) in values.chunks_exact_mut(SIDE).enumerate() {
                let (j, v) = split(y as f32 * step);
                let (upper, lower) = (&lattice[j % cells * cells..][..cells], &lattice[(j + 1) % cells * cells..][..cells]);
                for (x, value) in row.iter_mut().enumerate() {
                    let (i, u) = split(x as f32 * step);
                    let (i, k) = (i % cells, (i + 1) % cells);
                    *value += amplitude * mix(mix(upper[i], upper[k], u), mix(lower[i], lower[k], u), v);
                }
            }
            total += amplitude;
            amplitude *= gain;
            cells = (cells * 2).min(SIDE);
        }
        values.iter_mut().for_each(|v| *v *= 1.6 / total);
        Tile { values }
    }

    /// Rounded lumps (Worley 1996): 1 in the middle of a lump, 0 where two meet. About `cells` lumps a side.
    pub fn lumps(rng: &mut Rng, cells: usize) -> Self {
        let points: Vec<(f32, f32)> = (0..cells * cells).map(|_| (rng.range(0.1, 0.9), rng.range(0.1, 0.9))).collect();
        let mut values = vec![0.0; SIDE * SIDE];
        let step = cells as f32 / SIDE as f32;
        for (at, value) in values.iter_mut().enumerate() {
            let (x, y) = ((at % SIDE) as f32 * step, (at / SIDE) as f32 * step);
            let (i, j) = (x as usize, y as usize);
            let (mut nearest, mut second) = (9.0f32, 9.0f32);
            for dj in 0..3 {
                for di in 0..3 {
                    let (ci, cj) = ((i + di + cells - 1) % cells, (j + dj + cells - 1) % cells);
                    let (px, py) = points[cj * cells + ci];
                    let (dx, dy) = ((i + di) as f32 - 1.0 + px - x, (j + dj) as f32 - 1.0 + py - y);
                    let d = dx * dx + dy * dy;
                    second = second.min(d.max(nearest));
                    nearest = nearest.min(d);
                }
            }
            let edge = second.sqrt() - nearest.sqrt();
            *value = smoothstep(-0.25, 1.0, edge) * 1.05 - 0.05;
        }
        Tile { values }
    }

    /// Bilinear sample at (x, y) tiles.
    pub fn at(&self, x: f32, y: f32) -> f32 {
        let (fx, fy) = (x * SIDE as f32, y * SIDE as f32);
        // Floor without a call: the baking spends its time here.
        let floor = |v: f32| v as i32 - i32::from(v < 0.0);
        let (x0, y0) = (floor(fx), floor(fy));
        let (u, v) = (fx - x0 as f32, fy - y0 as f32);
        let (i, j) = (x0 as usize & (SIDE - 1), y0 as usize & (SIDE - 1));
        let (k, l) = ((i + 1) & (SIDE - 1), (j + 1) & (SIDE - 1));
        let row = |r: usize| &self.values[r * SIDE..][..SIDE];
        mix(mix(row(j)[i], row(j)[k], u), mix(row(l)[i], row(l)[k], u), v)
    }
}

/// Cell and smoothed position in it.
fn split(x: f32) -> (usize, f32) {
    let t = x - x.floor();
    (x as usize, t * t * (3.0 - 2.0 * t))
}

#[inline(always)]
pub fn mix(a: f32, b: f32, t: f32) -> f32 {
    a + (b - a) * t
}

/// 0 at `from`, 1 at `to`, smooth between.
#[inline(always)]
pub fn smoothstep(from: f32, to: f32, x: f32) -> f32 {
    let t = ((x - from) / (to - from)).clamp(0.0, 1.0);
    t * t * (3.0 - 2.0 * t)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tile_repeats_without_a_seam_and_stays_bounded() {
        for tile in [Tile::fractal(&mut Rng::new(3, 1), 8, 4, 0.5), Tile::lumps(&mut Rng::new(3, 2), 12)] {
            assert!(tile.values.iter().all(|v| v.abs() <= 1.7));
            let spread = tile.values.iter().fold((9.0f32, -9.0f32), |(lo, hi), &v| (lo.min(v), hi.max(v)));
            assert!(spread.1 - spread.0 > 0.5, "{spread:?}");
            for i in 0..40 {
                let y = i as f32 * 0.037;
                assert!((tile.at(0.25, y) - tile.at(3.25, y - 2.0)).abs() < 1e-3);
                assert!((tile.at(1.0 - 1e-4, y) - tile.at(1e-4, y)).abs() < 0.1);
            }
        }
    }
}
