//! The tissue, baked once: eight bytes a texel, so that a frame only samples and lights it.

use super::anatomy::{Anatomy, Surface};
use super::map::{Grid, ONE};
use super::noise::Rng;
use super::vessels;

/// Bytes of a texel, least significant first: R, gloss, G, x of the normal, B, y of the normal, class, unused.
/// Colours stand on the even bytes so that one mask splits a texel into four 16-bit lanes.
#[derive(Debug)]
pub struct Atlas {
    pub grid: Grid,
    pub(super) texels: Vec<u64>,
}

/// One sample, each channel with 8 fractional bits. Normals are biased: 128·256 is upright.
#[derive(Debug, Clone, Copy)]
pub struct Sample {
    pub rgb: [u32; 3],
    pub gloss: u32,
    pub normal: [i32; 2],
}

impl Atlas {
    pub fn bake(anatomy: &Anatomy, grid: Grid, seed: u64) -> Self {
        let vessels = vessels::draw(&grid, &anatomy.trees, &mut Rng::new(seed, 2));
        let empty = Surface { layer: 0, colour: [0.0; 3], height: 0.0, gloss: 0.0, shade: 0.0 };
        let mut surfaces = vec![empty; grid.len()];
        let half = grid.height.div_ceil(2);
        std::thread::scope(|scope| {
            for (part, rows) in surfaces.chunks_mut(half * grid.width).enumerate() {
                let vessels = &vessels;
                scope.spawn(move || {
                    for (j, row) in rows.chunks_exact_mut(grid.width).enumerate() {
                        for (i, surface) in row.iter_mut().enumerate() {
                            let at = (part * half + j) * grid.width + i;
                            let vessel = f32::from(vessels.strength[at]) / 255.0;
                            *surface = anatomy.at(grid.point_of(i, part * half + j), vessel, vessels.layer[at]);
                        }
                    }
                });
            }
        });
        let mut texels = vec![0u64; grid.len()];
        std::thread::scope(|scope| {
            for (part, rows) in texels.chunks_mut(half * grid.width).enumerate() {
                let surfaces = &surfaces;
                scope.spawn(move || {
                    for (j, row) in rows.chunks_exact_mut(grid.width).enumerate() {
                        for (i, texel) in row.iter_mut().enumerate() {
                            *texel = pack(anatomy, surfaces, &grid, i, part * half + j);
                        }
                    }
                });
            }
        });
        Atlas { grid, texels }
    }

    /// Bilinear sample at a 16.16 texel position. `Warp` keeps positions at least one texel inside.
    #[inline(always)]
    pub fn sample(&self, u: i32, v: i32) -> Sample {
        const EVEN: u64 = 0x00FF_00FF_00FF_00FF;
        let at = (v >> 16) as usize * self.grid.width + (u >> 16) as usize;
        // Four bits of fraction: the four weights sum to 256, so no 16-bit lane overflows.
        let (fu, fv) = ((u >> 12) as u64 & 15, (v >> 12) as u64 & 15);
        let (upper, lower) = (&self.texels[at..at + 2], &self.texels[at + self.grid.width..at + self.grid.width + 2]);
        let taps = [(upper[0], (16 - fu) * (16 - fv)), (upper[1], fu * (16 - fv)), (lower[0], (16 - fu) * fv), (lower[1], fu * fv)];
        let (mut even, mut odd) = (0u64, 0u64);
        for (texel, weight) in taps {
            even += (texel & EVEN) * weight;
            odd += (texel >> 8 & EVEN) * weight;
        }
        let lane = |lanes: u64, n: u32| (lanes >> (16 * n)) as u16;
        Sample {
            rgb: [lane(even, 0).into(), lane(even, 1).into(), lane(even, 2).into()],
            gloss: lane(odd, 0).into(),
            normal: [lane(odd, 1).into(), lane(odd, 2).into()],
        }
    }

    /// Class of the texel that lies nearest: the one that contributes most to `sample`.
    pub fn class(&self, u: i32, v: i32) -> u8 {
        let (i, j) = ((u + ONE / 2) >> 16, (v + ONE / 2) >> 16);
        (self.texels[j as usize * self.grid.width + i as usize] >> 48) as u8
    }
}

/// Lights a texel from the camera's side and packs it. Speculars are left to the frame: they move with the camera.
fn pack(anatomy: &Anatomy, surfaces: &[Surface], grid: &Grid, i: usize, j: usize) -> u64 {
    let here = &surfaces[j * grid.width + i];
    // Across an organ's border there is no slope: two surfaces that do not touch.
    let slope = |back: usize, forward: usize| {
        let (a, b) = (&surfaces[back], &surfaces[forward]);
        let (ha, na) = if a.layer == here.layer { (a.height, 1.0) } else { (here.height, 0.0) };
        let (hb, nb) = if b.layer == here.layer { (b.height, 1.0) } else { (here.height, 0.0) };
        (hb - ha) * grid.texels_per_unit / f32::max(na + nb, 1.0)
    };
    let at = |i: usize, j: usize| j * grid.width + i;
    let gx = slope(at(i.saturating_sub(1), j), at((i + 1).min(grid.width - 1), j));
    let gy = slope(at(i, j.saturating_sub(1)), at(i, (j + 1).min(grid.height - 1)));
    let up = 1.0 / (1.0 + gx * gx + gy * gy).sqrt();
    let normal = [-gx * up, -gy * up];
    let facing = (0.96 * up - 0.12 * normal[0] - 0.24 * normal[1]).max(0.0);
    let light = (0.10 + 0.95 * facing * facing.sqrt()) * here.shade;
    let byte = |v: f32| (v.clamp(0.0, 1.0) * 255.0 + 0.5) as u64;
    let signed = |v: f32| (v * 127.0 + 128.5).clamp(0.0, 255.0) as u64;
    byte(here.colour[0] * light)
        | byte(here.gloss * here.shade) << 8
        | byte(here.colour[1] * light) << 16
        | signed(normal[0]) << 24
        | byte(here.colour[2] * light) << 32
        | signed(normal[1]) << 40
        | u64::from(anatomy.layers[usize::from(here.layer)].class) << 48
}
