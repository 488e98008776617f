//! Which pixels of a presented picture are overlay, and which are the video's own.

use crate::base::simd::wide;
use crate::overlay::{Layer, Rect};
use std::ops::Range;

/// Pixels of a layer with any coverage.
pub fn covered_px(layer: &Layer) -> usize {
    let rows = layer.rects.iter().flat_map(|rect| (rect.y0..rect.y1).map(move |y| layer.row(y, rect.x0, rect.x1)));
    rows.map(covered_in).sum()
}

wide! {
    fn covered_in(row: &[u8]) -> usize {
        row.as_chunks::<4>().0.iter().map(|pixel| u32::from(u32::from_le_bytes(*pixel) >> 24 != 0)).sum::<u32>() as usize
    }
}

/// One byte a pixel: 255 where any layer has coverage (alpha > 0) or a declared rectangle lies, else 0.
#[derive(Debug, Clone)]
pub struct CoverageMask {
    width: usize,
    height: usize,
    data: Vec<u8>,
    touched: Vec<bool>,
}

impl CoverageMask {
    pub fn new(width: usize, height: usize) -> Self {
        CoverageMask { width, height, data: vec![0; width * height], touched: vec![false; height] }
    }

    /// Recomputes it from layers of its size; `declared` (the HUD's rectangles) count as covered whole.
    pub fn update(&mut self, layers: &[&Layer], declared: &[Rect]) {
        for (row, touched) in self.data.chunks_exact_mut(self.width).zip(&mut self.touched) {
            if std::mem::take(touched) {
                row.fill(0);
            }
        }
        for rect in declared {
            let rect = rect.clipped(self.width, self.height);
            for y in rect.y0..rect.y1 {
                self.data[y * self.width..][rect.x0..rect.x1].fill(255);
                self.touched[y] = true;
            }
        }
        for layer in layers.iter().filter(|layer| (layer.width, layer.height) == (self.width, self.height)) {
            for rect in &layer.rects {
                for y in rect.y0..rect.y1 {
                    let covered = &mut self.data[y * self.width..][rect.x0..rect.x1];
                    for (covered, pixel) in covered.iter_mut().zip(layer.row(y, rect.x0, rect.x1).as_chunks::<4>().0) {
                        *covered |= if pixel[3] != 0 { 255 } else { 0 };
                    }
                    self.touched[y] = true;
                }
            }
        }
    }

    pub fn width(&self) -> usize {
        self.width
    }

    pub fn height(&self) -> usize {
        self.height
    }

    /// Rows of `width` bytes.
    pub fn data(&self) -> &[u8] {
        &self.data
    }

    pub fn covered_px(&self) -> usize {
        let rows = self.data.chunks_exact(self.width).zip(&self.touched).filter(|(_, touched)| **touched);
        rows.map(|(row, _)| row.iter().filter(|&&covered| covered != 0).count()).sum()
    }

    /// The stretches of row `y` that are the video's own, from left to right.
    pub fn outside(&self, y: usize) -> impl Iterator<Item = Range<usize>> + '_ {
        let row = &self.data[y * self.width..(y + 1) * self.width];
        let untouched = !self.touched[y];
        let mut x = 0;
        std::iter::from_fn(move || {
            if untouched {
                let whole = x..row.len();
                x = row.len();
                return (!whole.is_empty()).then_some(whole);
            }
            let start = x + run(&row[x..], |covered| covered != 0);
            x = start + run(&row[start..], |covered| covered == 0);
            (start < x).then_some(start..x)
        })
    }
}

/// Length of the leading run of bytes for which `same` holds; eight at a time where they are equal.
fn run(bytes: &[u8], same: impl Fn(u8) -> bool) -> usize {
    let Some(&first) = bytes.first() else { return 0 };
    if !same(first) {
        return 0;
    }
    let eights = bytes.as_chunks::<8>().0.iter().take_while(|eight| **eight == [first; 8]).count() * 8;
    eights + bytes[eights..].iter().take_while(|&&b| same(b)).count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn outside_runs_are_exactly_the_pixels_without_coverage(pixels in proptest::collection::vec((0usize..60, 0usize..20), 0..60), declared in (0usize..60, 0usize..20)) {
            let mut mask = CoverageMask::new(61, 19);
            for round in 0..2 {
                let mut layer = Layer::new(61, 19);
                layer.rects.push(Rect { x0: 2, y0: 1, x1: 61, y1: 17 });
                for (x, y) in pixels.iter().skip(round * 20).map(|&(x, y)| (x.max(2), y.clamp(1, 16))) {
                    layer.row_mut(y, x, x + 1)[3] = 1;
                }
                let declared = Rect { x0: declared.0, y0: declared.1, x1: declared.0 + 9, y1: declared.1 + 2 };
                mask.update(&[&layer], &[declared]);
                for y in 0..19 {
                    let mut outside = [false; 61];
                    let mut end = None;
                    for run in mask.outside(y) {
                        prop_assert!(end < Some(run.start) && !run.is_empty());
                        end = Some(run.end);
                        outside[run].fill(true);
                    }
                    for (x, &outside) in outside.iter().enumerate() {
                        let covered = layer.data[(y * 61 + x) * 4 + 3] != 0 || declared.contains(x, y);
                        prop_assert_eq!(outside, !covered);
                        prop_assert_eq!(mask.data()[y * 61 + x] != 0, covered);
                    }
                }
            }
        }
    }
}
