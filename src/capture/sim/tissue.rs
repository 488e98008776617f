//! The abdomen without instruments, row by row: the atlas sampled where the warp says, lit, and its wet shine. All in
//! integers: what the vector unit does (`tissue_avx2`) is the same to the last bit.

use super::atlas::Atlas;
use super::drawing::Speculars;
use super::map::Warp;
use super::nv12::RgbRow;
use std::ops::Range;

/// One row of one picture.
#[derive(Debug, Clone, Copy)]
pub struct Tissue<'a> {
    pub atlas: &'a Atlas,
    pub speculars: &'a Speculars,
    /// Of this row, by column.
    pub light: &'a [u16],
    pub y: usize,
}

impl Tissue<'_> {
    /// Draws the columns `within`; the others are left as they are.
    pub fn draw(&self, warp: &Warp, within: Range<usize>, row: &mut RgbRow) {
        #[cfg(target_arch = "x86_64")]
        if std::is_x86_feature_detected!("avx2") {
            // SAFETY: the processor has AVX2, asked just above, which is all that the function needs.
            unsafe { super::tissue_avx2::draw(self, warp, within, row) };
            return;
        }
        self.draw_each(warp, within, row);
    }

    /// As `draw`, one pixel after the other.
    pub(super) fn draw_each(&self, warp: &Warp, within: Range<usize>, row: &mut RgbRow) {
        warp.runs(self.y, within.start, within.end, |columns, at, step| self.run(columns, at, step, row));
    }

    /// `at`: the texel at the first of `columns`, which moves by `step` a pixel.
    #[inline(always)]
    pub(super) fn run(&self, columns: Range<usize>, [mut u, mut v]: [i32; 2], [du, dv]: [i32; 2], row: &mut RgbRow) {
        let wanted_y = self.speculars.wanted_y[self.y];
        let (light, wanted_x) = (&self.light[columns.clone()], &self.speculars.wanted_x[columns.clone()]);
        let (r, g, b) = (&mut row.r[columns.clone()], &mut row.g[columns.clone()], &mut row.b[columns]);
        for ((((&lit, &wanted_x), r), g), b) in light.iter().zip(wanted_x).zip(r).zip(g).zip(b) {
            let sample = self.atlas.sample(u, v);
            let lit = u32::from(lit);
            let shine = (self.speculars.shine(sample.normal, wanted_x, wanted_y, sample.gloss) * lit.min(256)) >> 8;
            let channel = |c: u32| {
                let c = ((c * lit) >> 16).min(255);
                (c + (((255 - c) * shine) >> 8)) as u8
            };
            (*r, *g, *b) = (channel(sample.rgb[0]), channel(sample.rgb[1]), channel(sample.rgb[2]));
            (u, v) = (u + du, v + dv);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::sim::drawing::Content;
    use crate::capture::sim::map::Grid;
    use crate::capture::sim::noise::Rng;
    use proptest::prelude::*;

    proptest! {
        /// Any texels, any warp, any size: the vector unit draws what single steps draw.
        #[test]
        fn both_ways_draw_the_same(seed: u64, width in 16usize..200, height in 16usize..80, turn in -0.3f32..0.3, zoom in 0.4f32..1.2) {
            let mut rng = Rng::new(seed, 1);
            let aspect = width as f32 / height as f32;
            let grid = Grid::new(aspect * 0.5, 0.5, height as f32);
            let atlas = Atlas { grid, texels: (0..grid.len()).map(|_| rng.bits()).collect() };
            let speculars = Speculars::new(&mut rng, width, height);
            let content = Content::new(&mut rng, width, height);
            let warp = Warp::new(width, height, &grid, |[x, y]| [zoom * (x - turn * y), zoom * (y + turn * x)]);
            for y in 0..height {
                let (from, to) = content.span(y);
                let tissue = Tissue { atlas: &atlas, speculars: &speculars, light: content.light_row(y), y };
                let (mut drawn, mut each) = (RgbRow::new(width), RgbRow::new(width));
                tissue.draw(&warp, from..to, &mut drawn);
                tissue.draw_each(&warp, from..to, &mut each);
                prop_assert_eq!((drawn.r, drawn.g, drawn.b), (each.r, each.g, each.b), "row {}", y);
            }
        }
    }
}
