//! Where in the input the endoscope's picture lies: round, cut off, eight-cornered or boxed in, on black. Every such shape is
//! convex, so it is what lies between a left and a right border that bulge outwards.
//!
//! A dark scene must not shrink it: what was lit within the last seconds of light belongs to it, and it grows at once. Only what
//! is next to black already is ever outside, so an area that is too small by some pixels costs nothing that could be seen.

use super::BLACK;
use std::ops::Range;

/// So many bright pixels beside each other are picture; fewer are noise.
const RUN: usize = 3;
/// An area of less than this part of the input is not believed: the whole input counts.
const LEAST_PART: f32 = 0.25;
/// A frame lights the area if it is bright in this part of it. Only such frames count as time.
const LIT_PART: f32 = 0.3;
/// What was not lit for this long, up to twice as long, is outside.
const KEPT_S: f32 = 5.0;

/// Left and right border of each row, in columns; empty rows have ∞ and 0.
#[derive(Debug, Clone)]
struct Borders {
    left: Vec<f32>,
    right: Vec<f32>,
}

impl Borders {
    fn nothing(height: usize) -> Self {
        Borders { left: vec![f32::INFINITY; height], right: vec![0.0; height] }
    }

    fn clear(&mut self) {
        self.left.fill(f32::INFINITY);
        self.right.fill(0.0);
    }

    fn add(&mut self, other: &Borders) {
        self.left.iter_mut().zip(&other.left).for_each(|(own, other)| *own = own.min(*other));
        self.right.iter_mut().zip(&other.right).for_each(|(own, other)| *own = own.max(*other));
    }

    fn size(&self) -> f32 {
        self.left.iter().zip(&self.right).map(|(left, right)| (right - left).max(0.0)).sum()
    }
}

#[derive(Debug)]
pub struct Area {
    width: usize,
    /// Of the frame that is being looked at.
    seen: Borders,
    /// All that was lit in this period of `KEPT_S` and in the one before.
    recent: Borders,
    before: Borders,
    /// Of both periods: what counts.
    known: Borders,
    /// Seconds of light in this period.
    lit_s: f32,
    last_ns: Option<u64>,
    /// Rows that are corners of the hull.
    corners: Vec<usize>,
}

impl Area {
    pub fn new(width: usize, height: usize) -> Self {
        let nothing = || Borders::nothing(height);
        let (seen, recent, before, known) = (nothing(), nothing(), nothing(), nothing());
        Area { width, seen, recent, before, known, lit_s: 0.0, last_ns: None, corners: Vec::with_capacity(height) }
    }

    pub fn forget(&mut self) {
        for borders in [&mut self.recent, &mut self.before, &mut self.known] {
            borders.clear();
        }
        (self.lit_s, self.last_ns) = (0.0, None);
    }

    /// Takes in row `y` of the frame, the brightest channel of each pixel in 0..1. Returns the columns between its first and its last
    /// bright pixels.
    pub fn see(&mut self, y: usize, brightest: &[f32]) -> Range<usize> {
        let is_run = |run: &[f32]| run.iter().all(|value| *value > BLACK);
        let lit = match brightest.windows(RUN).position(is_run) {
            Some(first) => first..brightest.windows(RUN).rposition(is_run).map_or(first, |last| last + RUN),
            None => 0..0,
        };
        self.saw(y, lit.clone());
        lit
    }

    /// As `see`, of columns that were found elsewhere.
    pub fn saw(&mut self, y: usize, lit: Range<usize>) {
        (self.seen.left[y], self.seen.right[y]) = if lit.is_empty() { (f32::INFINITY, 0.0) } else { (lit.start as f32, lit.end as f32) };
    }

    /// The frame, captured at `capture_ns`, was seen whole.
    pub fn settle(&mut self, capture_ns: u64) {
        bulge(&mut self.seen.left, &mut self.corners, 1.0);
        bulge(&mut self.seen.right, &mut self.corners, -1.0);
        let since_s = self.last_ns.map_or(0.0, |last| capture_ns.saturating_sub(last) as f32 / 1e9);
        self.last_ns = Some(capture_ns);
        if self.seen.size() >= LIT_PART * self.known.size() {
            self.lit_s += since_s.min(KEPT_S);
        }
        self.recent.add(&self.seen);
        if self.lit_s > KEPT_S {
            std::mem::swap(&mut self.before, &mut self.recent);
            self.recent.clear();
            self.recent.add(&self.seen);
            self.known.clear();
            self.known.add(&self.before);
            self.lit_s = 0.0;
        }
        self.known.add(&self.seen);
    }

    fn is_believed(&self) -> bool {
        self.known.size() >= LEAST_PART * (self.width * self.known.left.len()) as f32
    }

    /// Is there anything that does not belong to the picture?
    pub fn has_outside(&self) -> bool {
        self.is_believed() && self.known.size() < (self.width * self.known.left.len()) as f32
    }

    /// The picture's columns in row `y`.
    pub fn span(&self, y: usize) -> Range<usize> {
        if !self.is_believed() {
            return 0..self.width;
        }
        let (left, right) = (self.known.left[y].floor(), self.known.right[y].ceil());
        if left < right { left as usize..(right as usize).min(self.width) } else { 0..0 }
    }
}

/// Makes the border of the rows between the first and the last that have one bulge outwards: the lower hull of `sign`·border.
/// (A row without has the border ∞ on the left and 0 on the right.)
fn bulge(border: &mut [f32], corners: &mut Vec<usize>, sign: f32) {
    corners.clear();
    for row in 0..border.len() {
        if border[row].is_infinite() || (sign < 0.0 && border[row] == 0.0) {
            continue;
        }
        while let [.., a, b] = corners[..] {
            // Is b on or above the line from a to this row?
            let (to_b, to_row) = (sign * (border[b] - border[a]), sign * (border[row] - border[a]));
            if to_b * (row - a) as f32 >= to_row * (b - a) as f32 {
                corners.pop();
            } else {
                break;
            }
        }
        corners.push(row);
    }
    for pair in corners.windows(2) {
        let (from, to) = (pair[0], pair[1]);
        let step = (border[to] - border[from]) / (to - from) as f32;
        for row in from + 1..to {
            border[row] = border[from] + step * (row - from) as f32;
        }
    }
}
