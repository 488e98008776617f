//! Rectangles: which part of a picture something touches.

/// A half-open rectangle in pixels of the picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Rect {
    pub x0: usize,
    pub y0: usize,
    pub x1: usize,
    pub y1: usize,
}

impl Rect {
    pub const EMPTY: Rect = Rect { x0: 0, y0: 0, x1: 0, y1: 0 };

    /// The whole of a picture.
    pub fn whole(width: usize, height: usize) -> Self {
        Rect { x0: 0, y0: 0, x1: width, y1: height }
    }

    pub fn width(&self) -> usize {
        self.x1.saturating_sub(self.x0)
    }

    pub fn height(&self) -> usize {
        self.y1.saturating_sub(self.y0)
    }

    pub fn area(&self) -> usize {
        self.width() * self.height()
    }

    pub fn is_empty(&self) -> bool {
        self.x0 >= self.x1 || self.y0 >= self.y1
    }

    pub fn contains(&self, x: usize, y: usize) -> bool {
        (self.x0..self.x1).contains(&x) && (self.y0..self.y1).contains(&y)
    }

    /// What both cover; empty if they do not overlap.
    pub fn intersection(&self, other: &Rect) -> Rect {
        let both = Rect { x0: self.x0.max(other.x0), y0: self.y0.max(other.y0), x1: self.x1.min(other.x1), y1: self.y1.min(other.y1) };
        if both.is_empty() { Rect::EMPTY } else { both }
    }

    /// The part inside a picture.
    pub fn clipped(&self, width: usize, height: usize) -> Rect {
        self.intersection(&Rect::whole(width, height))
    }

    /// The smallest rectangle that holds both.
    pub fn union(&self, other: &Rect) -> Rect {
        if self.is_empty() {
            return *other;
        }
        if other.is_empty() {
            return *self;
        }
        Rect { x0: self.x0.min(other.x0), y0: self.y0.min(other.y0), x1: self.x1.max(other.x1), y1: self.y1.max(other.y1) }
    }

    /// Do they overlap, or lie less than `gap` pixels apart in both directions?
    pub fn is_near(&self, other: &Rect, gap: usize) -> bool {
        let grown = Rect { x0: self.x0.saturating_sub(gap), y0: self.y0.saturating_sub(gap), x1: self.x1 + gap, y1: self.y1 + gap };
        !grown.intersection(other).is_empty()
    }
}

/// Replaces rectangles that overlap or lie less than `gap` apart by their union, until none do: afterwards no pixel
/// is in two of them, and every pixel that was in one still is. Empty ones vanish. Meant for tens of rectangles.
pub fn merge_near(rects: &mut Vec<Rect>, gap: usize) {
    rects.retain(|rect| !rect.is_empty());
    let mut i = 0;
    while i < rects.len() {
        match (i + 1..rects.len()).find(|&j| rects[i].is_near(&rects[j], gap)) {
            Some(j) => {
                rects[i] = rects[i].union(&rects[j]);
                rects.swap_remove(j);
                // The grown one may now reach an earlier one.
                i = 0;
            }
            None => i += 1,
        }
    }
}

/// Which tiles of a picture are touched. Outlines are thin and slanted: their bounding boxes are mostly empty, tiles
/// are not, and rectangles made of tiles never overlap.
#[derive(Debug, Clone)]
pub struct Tiles {
    width: usize,
    height: usize,
    columns: usize,
    marked: Vec<bool>,
}

impl Tiles {
    /// Wide enough that a row of a tile is whole vectors of the converter.
    pub const WIDTH: usize = 32;
    pub const HEIGHT: usize = 8;

    pub fn new(width: usize, height: usize) -> Self {
        let columns = width.div_ceil(Self::WIDTH);
        Tiles { width, height, columns, marked: vec![false; columns * height.div_ceil(Self::HEIGHT)] }
    }

    pub fn clear(&mut self) {
        self.marked.fill(false);
    }

    pub fn mark(&mut self, rect: Rect) {
        let rect = rect.clipped(self.width, self.height);
        if rect.is_empty() {
            return;
        }
        for row in rect.y0 / Self::HEIGHT..rect.y1.div_ceil(Self::HEIGHT) {
            let start = row * self.columns;
            self.marked[start + rect.x0 / Self::WIDTH..start + rect.x1.div_ceil(Self::WIDTH)].fill(true);
        }
    }

    /// Writes the marked tiles as rectangles into `rects` (which is emptied first): disjoint, inside the picture.
    pub fn write_rects(&self, rects: &mut Vec<Rect>) {
        rects.clear();
        for (row, tiles) in self.marked.chunks_exact(self.columns).enumerate() {
            let (y0, y1) = (row * Self::HEIGHT, ((row + 1) * Self::HEIGHT).min(self.height));
            let above_until = rects.len();
            let mut column = 0;
            while column < tiles.len() {
                if !tiles[column] {
                    column += 1;
                    continue;
                }
                let first = column;
                while column < tiles.len() && tiles[column] {
                    column += 1;
                }
                let (x0, x1) = (first * Self::WIDTH, (column * Self::WIDTH).min(self.width));
                // A run that continues the one right above it only makes that one longer.
                match rects[..above_until].iter_mut().rev().find(|r| (r.x0, r.x1, r.y1) == (x0, x1, y0)) {
                    Some(above) => above.y1 = y1,
                    None => rects.push(Rect { x0, y0, x1, y1 }),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn any_rect(side: usize) -> impl Strategy<Value = Rect> {
        (0..side, 0..side, 0..side, 0..side).prop_map(|(x0, y0, w, h)| Rect { x0, y0, x1: x0 + w / 3, y1: y0 + h / 3 })
    }

    fn covered(rects: &[Rect], side: usize) -> Vec<u32> {
        let mut count = vec![0; side * side];
        for rect in rects {
            let rect = rect.clipped(side, side);
            (rect.y0..rect.y1).for_each(|y| count[y * side + rect.x0..y * side + rect.x1].iter_mut().for_each(|c| *c += 1));
        }
        count
    }

    proptest! {
        #[test]
        fn merging_keeps_every_pixel_and_covers_none_twice(before in proptest::collection::vec(any_rect(90), 0..12), gap in 0usize..9) {
            let mut after = before.clone();
            merge_near(&mut after, gap);
            let (was, is) = (covered(&before, 128), covered(&after, 128));
            for (was, is) in was.iter().zip(&is) {
                prop_assert!(*is <= 1 && (*was == 0 || *is == 1));
            }
            for i in 0..after.len() {
                for j in 0..i {
                    prop_assert!(!after[i].is_near(&after[j], gap));
                }
            }
        }

        #[test]
        fn tiles_cover_what_was_marked_once_and_nothing_far_from_it(marks in proptest::collection::vec(any_rect(120), 0..12), width in 16usize..120, height in 16usize..120) {
            let mut tiles = Tiles::new(width, height);
            marks.iter().for_each(|&mark| tiles.mark(mark));
            let mut rects = vec![Rect::EMPTY];
            tiles.write_rects(&mut rects);
            prop_assert!(rects.iter().all(|r| !r.is_empty() && r.x1 <= width && r.y1 <= height));
            let clipped: Vec<Rect> = marks.iter().map(|m| m.clipped(width, height)).filter(|m| !m.is_empty()).collect();
            let (was, is) = (covered(&clipped, 128), covered(&rects, 128));
            for y in 0..128 {
                for x in 0..128 {
                    let at = y * 128 + x;
                    prop_assert!(is[at] <= 1 && (was[at] == 0 || is[at] == 1));
                    if is[at] == 1 {
                        let tile = Rect { x0: x / 32 * 32, y0: y / 8 * 8, x1: x / 32 * 32 + 32, y1: y / 8 * 8 + 8 };
                        prop_assert!(clipped.iter().any(|m| !m.intersection(&tile).is_empty()));
                    }
                }
            }
        }

        #[test]
        fn intersection_and_union_agree_with_points(a in any_rect(40), b in any_rect(40), x in 0usize..60, y in 0usize..60) {
            prop_assert_eq!(a.intersection(&b).contains(x, y), a.contains(x, y) && b.contains(x, y));
            prop_assert!(!(a.contains(x, y) || b.contains(x, y)) || a.union(&b).contains(x, y));
        }
    }
}
