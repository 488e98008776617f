//! Smoke before the scene and blood on it.

use super::canvas::{Canvas, cover};
use super::drawing::{Content, Place, Speculars};
use super::map::{Grid, ONE, Warp};
use super::noise::{Rng, Tile, mix, smoothstep};
use super::nv12::RgbRow;

/// Shapes that several effects are cut from.
#[derive(Debug)]
pub struct Clouds {
    pub soft: Tile,
    pub fine: Tile,
}

impl Clouds {
    pub fn new(seed: u64) -> Self {
        let mut rng = Rng::new(seed, 6);
        Clouds { soft: Tile::fractal(&mut rng, 3, 6, 0.50), fine: Tile::fractal(&mut rng, 10, 5, 0.55) }
    }
}

/// One source of smoke in one picture. It is soft, so it is computed on every fourth pixel.
#[derive(Debug)]
pub struct Smoke {
    width: usize,
    alpha: Vec<f32>,
    shade: Vec<f32>,
}

const CELL: usize = 4;

impl Smoke {
    /// `from`: where it rises, point of the picture.
    pub fn new(clouds: &Clouds, (width, height): (usize, usize), place: Place, from: [f32; 2], level: f32, t_s: f32) -> Self {
        let (columns, rows) = (width / CELL + 2, height / CELL + 2);
        let (mut alpha, mut shade) = (Vec::with_capacity(columns * rows), Vec::with_capacity(columns * rows));
        for (x, y) in (0..columns * rows).map(|n| (place.x(n % columns * CELL), place.y(n / columns * CELL))) {
            // Wisps that rise and curl: the coordinates themselves are stirred.
            let stir =
                [clouds.soft.at(x * 0.35 + 0.021 * t_s, y * 0.35 + 0.05 * t_s), clouds.soft.at(x * 0.35 + 0.5, y * 0.35 + 0.07 * t_s)];
            let (u, v) = (x * 0.42 + 0.16 * stir[0], y * 0.42 + 0.16 * stir[1] + 0.055 * t_s);
            let body = clouds.soft.at(u + 0.2, v);
            let wisp = clouds.fine.at(u * 0.55 + 0.013 * t_s, v * 0.55 + 0.03 * t_s);
            let (dx, dy) = (x - from[0] - 0.15 * stir[0], (y - from[1]) + 0.12 * stir[1]);
            // Dense at its source, drawn out upwards, thin everywhere.
            let up = if dy < 0.0 { 0.55 } else { 1.5 };
            let plume = (-(dx * dx * 3.4 + dy * dy * up * up * 3.4)).exp();
            let curls = smoothstep(-0.75, 0.85, body + 0.55 * wisp);
            let density = level * (0.28 + 0.35 * level + 2.9 * plume * level.max(0.35)) * mix(0.18, 1.35, curls * curls);
            alpha.push(1.0 - (-density).exp());
            shade.push(0.80 + 0.26 * body + 0.16 * wisp);
        }
        Smoke { width: columns, alpha, shade }
    }

    fn sample(&self, plane: &[f32], x: usize, y: usize) -> f32 {
        let (i, j) = (x / CELL, y / CELL);
        let (u, v) = ((x % CELL) as f32 / CELL as f32, (y % CELL) as f32 / CELL as f32);
        let at = j * self.width + i;
        mix(mix(plane[at], plane[at + 1], u), mix(plane[at + self.width], plane[at + self.width + 1], u), v)
    }

    pub fn draw(&self, content: &Content, canvas: &mut Canvas, hidden: &mut [f32]) {
        for y in 0..canvas.height {
            let light = content.light_row(y);
            for (x, &light) in light.iter().enumerate() {
                if light == 0 {
                    continue;
                }
                let at = y * canvas.width + x;
                let alpha = self.sample(&self.alpha, x, y);
                // Lit from the scope, so it is brightest where the light is.
                let lit = (f32::from(light) / 256.0).powf(0.75) * self.sample(&self.shade, x, y) * 0.74;
                cover(&mut canvas.pixels[at], [lit, lit * 0.985, lit * 0.975].map(|v| v.min(1.0)), alpha);
                hidden[at] += (1.0 - hidden[at]) * alpha;
            }
        }
    }
}

/// A pool of blood that lies on the tissue and moves with it.
#[derive(Debug, Clone, Copy)]
pub struct Pool {
    pub site: [f32; 2],
    pub level: f32,
}

impl Pool {
    /// How far inside the pool a point of the resting scene lies, picture heights; negative outside.
    fn depth(&self, clouds: &Clouds, [x, y]: [f32; 2]) -> f32 {
        let size = 0.03 + 0.19 * self.level;
        let (dx, dy) = (x - self.site[0], y - self.site[1]);
        if dx.abs() > 0.6 || dy.abs() > 0.7 {
            return -1.0;
        }
        let uneven = 0.075 * clouds.soft.at(x * 1.5 + 0.3, y * 1.5) + 0.020 * clouds.fine.at(x * 0.9, y * 0.9 + 0.2);
        let pool = size - (dx * dx + 2.1 * dy * dy).sqrt();
        // It runs down in a few narrow streams.
        let mut run = -1.0f32;
        for (n, (offset, reach)) in [(-0.55, 1.0), (0.10, 1.9), (0.62, 1.35)].into_iter().enumerate() {
            let centre = offset * size + 0.03 * clouds.soft.at(y * 1.3 + 0.2 * n as f32, 0.4);
            let length = size * reach;
            let beyond = (dy - length).max(0.0) + (-dy).max(0.0);
            run = run.max(0.013 + 0.016 * self.level - ((dx - centre).powi(2) + beyond * beyond).sqrt());
        }
        pool.max(run + 0.3 * uneven.min(0.0)) + uneven * size * 4.0 * 0.9
    }

    pub fn covers(&self, clouds: &Clouds, point: [f32; 2]) -> bool {
        self.level > 0.0 && self.depth(clouds, point) > 0.0
    }

    /// Paints one row; `warp` and `grid` say which point of the scene each pixel shows.
    #[allow(clippy::too_many_arguments)]
    pub fn paint(&self, clouds: &Clouds, warp: &Warp, grid: &Grid, content: &Content, speculars: &Speculars, y: usize, row: &mut RgbRow) {
        let (from, to) = content.span(y);
        if self.level <= 0.0 || from >= to {
            return;
        }
        let light = content.light_row(y);
        let (wanted_x, wanted_y) = (&speculars.wanted_x, speculars.wanted_y[y]);
        let swell = |p: [f32; 2], depth: f32| {
            let dome = 0.016 * (depth / 0.045).clamp(0.0, 1.0).sqrt();
            dome + 0.006 * clouds.soft.at(p[0] * 1.6, p[1] * 1.6 + 0.7) + 0.0011 * clouds.fine.at(p[0] * 2.2, p[1] * 2.2)
        };
        warp.runs(y, from, to, |columns, [mut u, mut v], [du, dv]| {
            for x in columns {
                let point = scene_point(grid, u, v);
                (u, v) = (u + du, v + dv);
                let depth = self.depth(clouds, point);
                if depth <= -0.004 {
                    continue;
                }
                const STEP: f32 = 0.004;
                let here = swell(point, depth);
                let right = [point[0] + STEP, point[1]];
                let below = [point[0], point[1] + STEP];
                let slope = [right, below].map(|p| (swell(p, self.depth(clouds, p)) - here) / STEP);
                let up = 1.0 / (1.0 + slope[0] * slope[0] + slope[1] * slope[1]).sqrt();
                let normal = slope.map(|s| ((-s * up * 127.0 + 128.0) * 256.0) as i32);
                let lit = f32::from(light[x]) / 256.0;
                let thick = smoothstep(0.0, 0.06, depth);
                let shade = (0.55 + 0.5 * up - 0.3 * slope[1] * up).clamp(0.25, 1.15);
                let colour = [mix(0.30, 0.19, thick), mix(0.022, 0.006, thick), mix(0.024, 0.012, thick)];
                // A film as wet as this mirrors more of the lamp than tissue does.
                let shine = 1.3 * (speculars.shine(normal, wanted_x[x], wanted_y, 255 * 256) as f32 / 256.0 * lit.min(1.0));
                let alpha = smoothstep(-0.004, 0.004, depth) * mix(0.62, 0.98, smoothstep(0.0, 0.02, depth));
                for (plane, c) in [&mut row.r, &mut row.g, &mut row.b].into_iter().zip(colour) {
                    let wet = (c * lit * shade).min(1.0);
                    let over = 255.0 * (wet + (1.0 - wet) * (0.92 * shine).min(1.0));
                    let under = f32::from(plane[x]);
                    plane[x] = (under + (over - under) * alpha + 0.5) as u8;
                }
            }
        });
    }
}

/// The point of the resting scene at a 16.16 texel position.
pub fn scene_point(grid: &Grid, u: i32, v: i32) -> [f32; 2] {
    let texel = |v: i32| v as f32 / ONE as f32;
    [(texel(u) - grid.width as f32 * 0.5) / grid.texels_per_unit, (texel(v) - grid.height as f32 * 0.5) / grid.texels_per_unit]
}
