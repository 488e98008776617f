//! Where things lie: the atlas's grid over the scene, and the warp that leads from a picture's pixels to atlas texels.

use std::ops::Range;

/// The atlas's rectangle of the scene (units: picture heights, origin at the picture's centre) and its texels.
#[derive(Debug, Clone, Copy)]
pub struct Grid {
    pub width: usize,
    pub height: usize,
    pub texels_per_unit: f32,
}

impl Grid {
    pub fn new(half_width: f32, half_height: f32, texels_per_unit: f32) -> Self {
        let texels = |half: f32| (2.0 * half * texels_per_unit).ceil() as usize + 4;
        Grid { width: texels(half_width), height: texels(half_height), texels_per_unit }
    }

    pub fn len(&self) -> usize {
        self.width * self.height
    }

    pub fn texel_of(&self, [x, y]: [f32; 2]) -> [f32; 2] {
        [x * self.texels_per_unit + self.width as f32 * 0.5, y * self.texels_per_unit + self.height as f32 * 0.5]
    }

    pub fn point_of(&self, column: usize, row: usize) -> [f32; 2] {
        [(column as f32 - self.width as f32 * 0.5) / self.texels_per_unit, (row as f32 - self.height as f32 * 0.5) / self.texels_per_unit]
    }
}

/// Texel positions are 16.16 fixed point: exact, so pixels and masks agree, and equal everywhere.
pub const ONE: i32 = 1 << 16;
const CELL: usize = 16;

/// For one frame: the texel that each pixel's centre shows, linear between nodes that stand 16 pixels apart.
#[derive(Debug)]
pub struct Warp {
    columns: usize,
    nodes: Vec<[i32; 2]>,
}

impl Warp {
    /// `scene_of` maps a point of the picture to the point of the resting scene that is seen there.
    pub fn new(width: usize, height: usize, grid: &Grid, scene_of: impl Fn([f32; 2]) -> [f32; 2]) -> Self {
        let (columns, rows) = (width.div_ceil(CELL) + 1, height.div_ceil(CELL) + 1);
        let limit = |v: f32, side: usize| (v.clamp(0.0, side as f32 - 2.0) * ONE as f32) as i32;
        let mut nodes = Vec::with_capacity(columns * rows);
        for j in 0..rows {
            for i in 0..columns {
                let (x, y) = ((i * CELL) as f32 + 0.5, (j * CELL) as f32 + 0.5);
                let point = [(x - width as f32 * 0.5) / height as f32, (y - height as f32 * 0.5) / height as f32];
                let [u, v] = grid.texel_of(scene_of(point));
                nodes.push([limit(u, grid.width), limit(v, grid.height)]);
            }
        }
        Warp { columns, nodes }
    }

    /// Calls `run(columns, start, step)` for pieces of row `y` between `from` and `to`: the texel at the first column and how
    /// far it moves a pixel.
    #[inline(always)]
    pub fn runs(&self, y: usize, from: usize, to: usize, mut run: impl FnMut(Range<usize>, [i32; 2], [i32; 2])) {
        let (j, t) = (y / CELL, (y % CELL) as i32);
        let (upper, lower) = (&self.nodes[j * self.columns..], &self.nodes[(j + 1) * self.columns..]);
        let at = |i: usize| [0, 1].map(|axis| upper[i][axis] + (lower[i][axis] - upper[i][axis]) / CELL as i32 * t);
        for i in from / CELL..to.div_ceil(CELL) {
            let (left, right) = (at(i), at(i + 1));
            let step = [0, 1].map(|axis| (right[axis] - left[axis]) / CELL as i32);
            let columns = from.max(i * CELL)..to.min((i + 1) * CELL);
            let skip = (columns.start - i * CELL) as i32;
            run(columns, [0, 1].map(|axis| left[axis] + step[axis] * skip), step);
        }
    }
}
