//! Proof that the picture is the video's own: digests of every present, kept a row at a time so that presenting the same
//! frame again costs only the rows that changed. Used with `--timeline`.
//!
//! A digest is XXH3-128 over the XXH3-64 of each BGRX row. "Outside" digests leave every pixel out that the overlay
//! covers (alpha > 0) or that lies in a HUD rectangle. "Clean" digests are of an overlay-free conversion of the captured
//! frame that shares no memory with the presented picture.

use crate::display::PresentedView;
use crate::frame::FrameView;
use crate::overlay::Rect;
use crate::overlay::convert::convert;
use crate::overlay::coverage::CoverageMask;
use crate::record::Hash;
use xxhash_rust::xxh3::{Xxh3Default, xxh3_64, xxh3_128};

/// The four digests of a present.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Digests {
    pub picture: Hash,
    pub outside: Hash,
    pub clean: Hash,
    pub clean_outside: Hash,
}

#[derive(Debug, Default)]
pub struct Prover {
    picture_rows: Vec<u64>,
    clean_rows: Vec<u64>,
    outside_rows: Vec<u64>,
    clean_outside_rows: Vec<u64>,
    /// Rows that were covered in part at the last present.
    covered: Vec<bool>,
    clean_row: Vec<u8>,
}

impl Prover {
    /// `is_new`: the frame was not presented before. `coverage` is of this present.
    pub fn digest(&mut self, view: &FrameView<'_>, presented: PresentedView<'_>, coverage: &CoverageMask, is_new: bool) -> Digests {
        let (width, height) = (presented.width, presented.height);
        let all = is_new || self.picture_rows.len() != height;
        for rows in [&mut self.picture_rows, &mut self.clean_rows, &mut self.outside_rows, &mut self.clean_outside_rows] {
            rows.resize(height, 0);
        }
        self.covered.resize(height, false);
        self.clean_row.resize(width * 4, 0);
        for y in 0..height {
            let is_covered = coverage.outside(y).next() != Some(0..width);
            let was_covered = std::mem::replace(&mut self.covered[y], is_covered);
            if !all && !is_covered && !was_covered {
                continue;
            }
            self.picture_rows[y] = xxh3_64(presented.row(y));
            self.convert_clean_row(view, y);
            self.clean_rows[y] = xxh3_64(&self.clean_row);
            if is_covered {
                self.outside_rows[y] = hash_outside(presented.row(y), coverage, y);
                self.clean_outside_rows[y] = hash_outside(&self.clean_row, coverage, y);
            } else {
                self.outside_rows[y] = self.picture_rows[y];
                self.clean_outside_rows[y] = self.clean_rows[y];
            }
        }
        let sum = |rows: &[u64]| Hash(xxh3_128(bytemuck::cast_slice(rows)));
        Digests {
            picture: sum(&self.picture_rows),
            outside: sum(&self.outside_rows),
            clean: sum(&self.clean_rows),
            clean_outside: sum(&self.clean_outside_rows),
        }
    }

    fn convert_clean_row(&mut self, view: &FrameView<'_>, y: usize) {
        let row = Rect { x0: 0, y0: y, x1: view.layout.width, y1: y + 1 };
        // A stride of 0 puts every row at the start of the scratch row.
        convert(view, row, &mut self.clean_row, 0);
    }
}

/// Digest of the pixels of row `y` that nothing covers, in their order.
fn hash_outside(row: &[u8], coverage: &CoverageMask, y: usize) -> u64 {
    let mut hash = Xxh3Default::new();
    for run in coverage.outside(y) {
        hash.update(&row[run.start * 4..run.end * 4]);
    }
    hash.digest()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::{Colorimetry, FrameLayout, Matrix, PixelFormat, Range};
    use crate::overlay::Layer;

    const WIDTH: usize = 48;
    const HEIGHT: usize = 32;

    fn layer_with_dot(x: usize, y: usize) -> Layer {
        let mut layer = Layer::new(WIDTH, HEIGHT);
        layer.rects.push(Rect { x0: x - 1, y0: y - 1, x1: x + 2, y1: y + 2 });
        layer.row_mut(y, x, x + 1).copy_from_slice(&[9, 9, 9, 200]);
        layer
    }

    #[test]
    fn a_pixel_changed_outside_the_overlay_is_seen_and_one_inside_is_not() {
        let colorimetry = Colorimetry::sdr(Matrix::Bt709, Range::Limited);
        let layout = FrameLayout::new(PixelFormat::Nv12, colorimetry, WIDTH, HEIGHT).unwrap();
        let bytes: Vec<u8> = (0..layout.size).map(|i| (i * 7 % 251) as u8).collect();
        let view = FrameView::new(&layout, &bytes).unwrap();
        let mut clean = vec![0u8; WIDTH * 4 * HEIGHT];
        convert(&view, Rect::whole(WIDTH, HEIGHT), &mut clean, WIDTH * 4);
        let mut mask = CoverageMask::new(WIDTH, HEIGHT);
        let mut prover = Prover::default();
        let mut digest = |pixels: &[u8], mask: &CoverageMask, is_new| {
            prover.digest(&view, PresentedView { data: pixels, stride: WIDTH * 4, width: WIDTH, height: HEIGHT }, mask, is_new)
        };

        mask.update(&[], &[]);
        let untouched = digest(&clean, &mask, true);
        assert_eq!((untouched.picture, untouched.outside), (untouched.clean, untouched.clean_outside));
        assert_eq!(untouched.picture, untouched.outside);

        mask.update(&[&layer_with_dot(10, 10)], &[]);
        let mut drawn = clean.clone();
        drawn[(10 * WIDTH + 10) * 4] ^= 0xff;
        let inside = digest(&drawn, &mask, false);
        assert_ne!(inside.picture, inside.clean);
        assert_eq!((inside.outside, inside.clean), (inside.clean_outside, untouched.clean));

        drawn[(10 * WIDTH + 11) * 4] ^= 1;
        let beside = digest(&drawn, &mask, true);
        assert_ne!(beside.outside, beside.clean_outside);

        mask.update(&[], &[]);
        assert_eq!(digest(&clean, &mask, false), untouched, "rows that were covered before are looked at again");
    }
}
