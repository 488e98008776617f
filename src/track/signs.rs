//! What can be told of a frame without the model: is there anything in it, in what light was it made, does something lie
//! over it. Looked at as the network is shown it, at its resolution, a half and a quarter of it. Rules, where rules see more
//! than learning does; how long a frame must be odd to count is `gate`'s. The limits below were set between what they
//! read on real laparoscopy, robotic, spoilt and simulated frames and on drawn strange ones.

use super::lanes::{LANES, ROW_LANES, sum};
use crate::infer::{ColourOrder, Fit, InputSpec, TensorLayout};
use bytemuck::{Pod, Zeroable};

/// A cell whose brightest channel is below it (of 1) is not lit; colours are judged above the second.
const DARK: f32 = 0.06;
const LIT: f32 = 0.12;
/// Black: less than this part of the picture is lit.
const LEAST_LIT: f32 = 0.03;
/// Neighbours that differ less are flat. Laparoscopy: below 0.5 of all; thick fog: 0.7, without contrast; bars, screens: from 0.69.
const FLAT_STEP: f32 = 0.012;
const PLAIN_FLAT: f32 = 0.9;
const PLAIN_CONTRAST: f32 = 0.03;
const DRAWN_FLAT: f32 = 0.65;
const DRAWN_CONTRAST: f32 = 0.2;
/// Noise has more detail in small than in large, and more than the picture has contrast; real ones at most 0.9 (full size) and
/// 1.15 (half size) of it.
const GRAIN_FULL: f32 = 1.2;
const GRAIN_HALF: f32 = 1.3;
/// Parts of what is lit that are colder than flesh: below 0.2 and 0.11 in white light; fluorescence from 0.18, mostly all.
const COLD: f32 = 0.35;
const VIVID: f32 = 0.2;
/// Greenish all over without being cold: narrow band. White light: below 0.5.
const GREENISH: f32 = 0.6;
/// A straight edge: brightness steps at least so much along this part of the picture's side, with short interruptions.
const EDGE_STEP: f32 = 0.03;
const EDGE_PART: f32 = 0.3;
const EDGE_GAP: usize = 3;
/// A vertical edge this long parts two pictures.
const PARTING: f32 = 0.85;
/// Edges beyond so many are not looked at: bounds memory and time.
pub(super) const MAX_LINES: usize = 256;
/// Fewer cells than this on a side show nothing.
const LEAST_CELLS: usize = 12;

/// What is counted and added up of a frame.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Pod, Zeroable)]
pub struct Figures {
    /// Cells that are not dark; that are lit; and of those: cold, vivid, greenish.
    pub seen: u32,
    pub lit: u32,
    pub cold: u32,
    pub vivid: u32,
    pub greenish: u32,
    /// Of the cells that are not dark and have a right and a lower neighbour: as those are; all.
    pub flat: u32,
    pub all: u32,
    /// Mean detail at full size, at a half and at a quarter of it, and the standard deviation of the cells' brightness.
    pub fine: f32,
    pub middle: f32,
    pub coarse: f32,
    pub contrast: f32,
}

/// Reads one frame after another; its memory is kept.
#[derive(Debug, Default)]
pub struct Signs {
    /// R, G, B of one row, and its brightness.
    rows: [Vec<f32>; 3],
    grey: Vec<f32>,
    details: Details,
    /// Of `quarter`.
    brightness: Vec<f32>,
    half: Plane,
    quarter: [Plane; 3],
    lines: [Vec<Line>; 2],
    found: Found,
}

/// Mean of each block of pixels, 0..1, row by row.
#[derive(Debug, Default)]
struct Plane {
    width: usize,
    height: usize,
    values: Vec<f32>,
}

/// How much values differ from the line between their neighbours: of one row, and the mean of each row that was added.
#[derive(Debug, Default)]
struct Details {
    row: Vec<f32>,
    rows: Vec<f32>,
}

/// A straight edge between line `at - 1` and line `at`, from `from` to `to` (both within it).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Line {
    pub at: usize,
    pub from: usize,
    pub to: usize,
}

/// What was read off the last frame.
#[derive(Debug, Default)]
struct Found {
    is_empty: bool,
    is_covered: bool,
    is_fluorescence: bool,
    is_narrow_band: bool,
}

impl Signs {
    /// Nothing a scope sees: black, one colour, bars, a screen's page, noise.
    pub fn has_content(&self) -> bool {
        !self.found.is_empty
    }

    /// A menu or another picture lies over a good part of it.
    pub fn is_covered(&self) -> bool {
        self.found.is_covered
    }

    pub fn is_fluorescence(&self) -> bool {
        self.found.is_fluorescence
    }

    pub fn is_narrow_band(&self) -> bool {
        self.found.is_narrow_band
    }

    /// Takes in the next frame: `fit` is where in the input the picture lies.
    pub fn look(&mut self, input: &[f32], spec: &InputSpec, fit: Fit) {
        let sides = sides_of(fit);
        let figures = sides.map(|sides| self.measure(input, spec, fit, sides));
        if let (Some(figures), Some(sides)) = (figures, sides) {
            self.conclude(&figures, sides);
        } else {
            self.found = Found::default();
        }
    }

    /// As `look`, of what was measured elsewhere: the figures, and the edges, vertical and horizontal, beside which it is lit.
    pub fn take(&mut self, fit: Fit, figures: &Figures, vertical: impl Iterator<Item = Line>, horizontal: impl Iterator<Item = Line>) {
        self.found = Found::default();
        if let Some(sides) = sides_of(fit) {
            self.lines.iter_mut().for_each(Vec::clear);
            self.lines[0].extend(vertical);
            self.lines[1].extend(horizontal);
            self.conclude(figures, sides);
        }
    }

    /// What `take` takes, of a picture that shows something.
    #[cfg(test)]
    pub fn measured(&mut self, input: &[f32], spec: &InputSpec, fit: Fit) -> (Figures, [Vec<Line>; 2]) {
        let figures = self.measure(input, spec, fit, sides_of(fit).unwrap());
        (figures, self.lines.clone())
    }

    fn measure(&mut self, input: &[f32], spec: &InputSpec, fit: Fit, [width, height]: [usize; 2]) -> Figures {
        let fine = self.shrink(input, spec, fit, width, height);
        self.find_edges();
        let middle = self.details.of(&self.half.values, self.half.width);
        let [r, g, b] = &self.quarter;
        let pixels = || r.values.iter().zip(&g.values).zip(&b.values).map(|((r, g), b)| [*r, *g, *b]);
        let brightest = |[r, g, b]: [f32; 3]| r.max(g).max(b);
        let part = |is: &dyn Fn([f32; 3]) -> bool| pixels().filter(|pixel| brightest(*pixel) > LIT && is(*pixel)).count() as u32;
        let brightness = &mut self.brightness;
        brightness.clear();
        brightness.extend(pixels().map(|[r, g, b]| (r + g + b) / 3.0));
        let coarse = self.details.of(brightness, r.width);
        let count = r.values.len() as f32;
        let mean = sum::<LANES>(brightness) / count;
        brightness.iter_mut().for_each(|v| *v = (*v - mean) * (*v - mean));
        let contrast = (sum::<LANES>(brightness) / count).sqrt();
        let [flat, all] = self.flat();
        Figures {
            seen: pixels().filter(|pixel| brightest(*pixel) > DARK).count() as u32,
            lit: part(&|_| true),
            cold: part(&|[r, g, b]| g.max(b) > 1.25 * r + 0.03),
            vivid: part(&|[r, g, b]| g.max(b) > 1.8 * r + 0.1),
            greenish: part(&|[r, g, _]| g > 1.02 * r + 0.008),
            flat,
            all,
            fine,
            middle,
            coarse,
            contrast,
        }
    }

    fn conclude(&mut self, figures: &Figures, [width, height]: [usize; 2]) {
        let Figures { seen, fine, middle, coarse, contrast, .. } = *figures;
        let count = (width / 4 * (height / 4)) as f32;
        let part = |count: u32| count as f32 / (figures.lit as f32).max(1.0);
        let [cold, vivid, greenish] = [figures.cold, figures.vivid, figures.greenish].map(part);
        let flat = figures.flat as f32 / figures.all.max(1) as f32;
        let is_plain = flat >= PLAIN_FLAT && contrast < PLAIN_CONTRAST;
        let is_drawn = flat >= DRAWN_FLAT && contrast >= DRAWN_CONTRAST;
        let is_noise = fine > contrast && fine > GRAIN_FULL * coarse && middle > GRAIN_HALF * coarse;
        self.found = Found {
            is_empty: (seen as f32) < LEAST_LIT * count || is_plain || is_drawn || is_noise,
            is_covered: self.covered([width / 2, height / 2]),
            is_fluorescence: cold >= COLD || vivid >= VIVID,
            is_narrow_band: greenish >= GREENISH && cold < COLD,
        };
    }

    /// Fills `half` and `quarter`; returns the mean detail at full size.
    fn shrink(&mut self, input: &[f32], spec: &InputSpec, fit: Fit, width: usize, height: usize) -> f32 {
        self.half.clear(width / 2, height / 2);
        self.quarter.iter_mut().for_each(|plane| plane.clear(width / 4, height / 4));
        self.details.rows.clear();
        for y in 0..height {
            self.read_row(input, spec, fit, y, width);
            let [r, g, b] = &self.rows;
            self.grey.clear();
            self.grey.extend(r.iter().zip(g).zip(b).map(|((r, g), b)| (r + g + b) / 3.0));
            self.details.add(&self.grey);
            for (to, two) in self.half.row(y / 2).iter_mut().zip(self.grey.as_chunks::<2>().0) {
                *to += (two[0] + two[1]) / 4.0;
            }
            for (plane, row) in self.quarter.iter_mut().zip(&self.rows) {
                for (to, four) in plane.row(y / 4).iter_mut().zip(row.as_chunks::<4>().0) {
                    *to += (four[0] + four[1] + four[2] + four[3]) / 16.0;
                }
            }
        }
        self.details.mean()
    }

    /// One row of the picture as R, G, B in 0..1.
    fn read_row(&mut self, input: &[f32], spec: &InputSpec, fit: Fit, y: usize, width: usize) {
        let (side, rows) = (spec.width as usize, spec.height as usize);
        let start = (fit.y + y) * side + fit.x;
        for (colour, row) in self.rows.iter_mut().enumerate() {
            let channel = if spec.colour == ColourOrder::Bgr { 2 - colour } else { colour };
            let (mean, std) = (spec.mean[channel], spec.std[channel]);
            row.clear();
            match spec.layout {
                TensorLayout::Nchw => row.extend(input[channel * side * rows + start..][..width].iter().map(|v| v * std + mean)),
                TensorLayout::Nhwc => {
                    row.extend(input[3 * start..][..3 * width].as_chunks::<3>().0.iter().map(|pixel| pixel[channel] * std + mean));
                }
            }
        }
    }

    /// Of what is not dark, what is as its right and lower neighbours are; and all.
    fn flat(&self) -> [u32; 2] {
        let [r, g, b] = &self.quarter;
        let (width, height) = (r.width, r.height);
        let (mut flat, mut all) = (0u32, 0u32);
        for at in (0..height - 1).flat_map(|y| (0..width - 1).map(move |x| y * width + x)) {
            if r.values[at].max(g.values[at]).max(b.values[at]) > DARK {
                all += 1;
                let is_near = |plane: &Plane, to: usize| (plane.values[at] - plane.values[to]).abs() < FLAT_STEP;
                flat += u32::from([r, g, b].iter().all(|plane| is_near(plane, at + 1) && is_near(plane, at + width)));
            }
        }
        [flat, all]
    }

    fn find_edges(&mut self) {
        for (lines, is_vertical) in self.lines.iter_mut().zip([true, false]) {
            self.half.edges(is_vertical, lines);
            lines.retain(|line| self.half.is_lit_beside(line, is_vertical));
        }
    }

    /// An edge from top to bottom, or two straight edges that meet in a corner and part a rectangle off: each of them ends at the
    /// picture's side or in another corner (a shaft that meets an organ's edge does not). What borders on black is the scope's own rim.
    fn covered(&self, side: [usize; 2]) -> bool {
        let [vertical, horizontal] = &self.lines;
        let is_whole = |v: &Line, h: &Line| {
            v.far_end(h).is_some_and(|end| is_side(end, side[1]) || horizontal.iter().any(|other| other.meets(v, end)))
                && h.far_end(v).is_some_and(|end| is_side(end, side[0]) || vertical.iter().any(|other| other.meets(h, end)))
        };
        vertical.iter().any(|v| (v.to + 1 - v.from) as f32 >= PARTING * side[1] as f32 || horizontal.iter().any(|h| is_whole(v, h)))
    }
}

/// Of the part of the picture that is looked at, in pixels of the input: four divides them. None: it shows nothing.
pub(super) fn sides_of(fit: Fit) -> Option<[usize; 2]> {
    let sides = [fit.width, fit.height].map(|side| side / 4 * 4);
    sides.iter().all(|side| side / 4 >= LEAST_CELLS).then_some(sides)
}

fn is_side(end: usize, length: usize) -> bool {
    end <= EDGE_GAP + 1 || end + EDGE_GAP + 1 >= length
}

impl Line {
    fn ends(&self) -> [usize; 2] {
        [self.from, self.to + 1]
    }

    /// Where this line ends that does not end at `other`, which crosses it; None: they form no corner.
    fn far_end(&self, other: &Line) -> Option<usize> {
        let [a, b] = self.ends().map(|end| end.abs_diff(other.at) <= EDGE_GAP);
        match (a, b) {
            (true, _) => Some(self.to + 1),
            (false, true) => Some(self.from),
            (false, false) => None,
        }
    }

    /// Does this line form a corner with `other` where that one ends?
    fn meets(&self, other: &Line, end: usize) -> bool {
        self.at.abs_diff(end) <= EDGE_GAP && self.ends().iter().any(|mine| mine.abs_diff(other.at) <= EDGE_GAP)
    }
}

impl Plane {
    fn clear(&mut self, width: usize, height: usize) {
        (self.width, self.height) = (width, height);
        self.values.clear();
        self.values.resize(width * height, 0.0);
    }

    fn row(&mut self, y: usize) -> &mut [f32] {
        &mut self.values[y * self.width..][..self.width]
    }

    /// Straight vertical (or horizontal) edges within the picture, into `lines`.
    fn edges(&self, is_vertical: bool, lines: &mut Vec<Line>) {
        lines.clear();
        lines.reserve(MAX_LINES);
        let mut add = |at: usize, run: Option<(usize, usize)>, least: usize| {
            let line = run.filter(|(from, to)| to + 1 - from >= least).map(|(from, to)| Line { at, from, to });
            if lines.len() < MAX_LINES {
                lines.extend(line);
            }
        };
        let (across, along) = if is_vertical { (self.width, self.height) } else { (self.height, self.width) };
        let steps = if is_vertical { (1, self.width) } else { (self.width, 1) };
        let least = (EDGE_PART * along as f32) as usize;
        // The outermost lines are the rim of the picture itself.
        for (at, sign) in (EDGE_GAP + 1..across.saturating_sub(EDGE_GAP + 1)).flat_map(|at| [(at, 1.0), (at, -1.0)]) {
            let mut run: Option<(usize, usize)> = None;
            for i in 0..along {
                let here = at * steps.0 + i * steps.1;
                if sign * (self.values[here] - self.values[here - steps.0]) <= EDGE_STEP {
                    continue;
                }
                run = match run {
                    Some((from, to)) if i - to <= EDGE_GAP => Some((from, i)),
                    other => {
                        add(at, other, least);
                        Some((i, i))
                    }
                };
            }
            add(at, run, least);
        }
    }

    /// Is most of what lies on either side of the edge lit?
    fn is_lit_beside(&self, line: &Line, is_vertical: bool) -> bool {
        let is_lit = |first: usize| {
            let lines = first..first + EDGE_GAP;
            let cells = lines.flat_map(|at| (line.from..=line.to).map(move |i| (at, i)));
            let lit = |(at, i): &(usize, usize)| {
                let at = if is_vertical { i * self.width + at } else { at * self.width + i };
                self.values.get(at).is_some_and(|v| *v > DARK)
            };
            cells.filter(lit).count() as f32 >= 0.6 * (EDGE_GAP * (line.to + 1 - line.from)) as f32
        };
        is_lit(line.at - EDGE_GAP - 1) && is_lit(line.at + 1)
    }
}

impl Details {
    /// Mean size of the second difference along rows of `width`.
    fn of(&mut self, values: &[f32], width: usize) -> f32 {
        self.rows.clear();
        values.chunks_exact(width).for_each(|row| self.add(row));
        self.mean()
    }

    fn add(&mut self, row: &[f32]) {
        self.row.clear();
        let three = row.iter().zip(&row[1..]).zip(&row[2..]);
        self.row.extend(three.map(|((before, middle), after)| (after - 2.0 * middle + before).abs()));
        self.rows.push(sum::<ROW_LANES>(&self.row) / (row.len() - 2) as f32);
    }

    fn mean(&self) -> f32 {
        sum::<ROW_LANES>(&self.rows) / self.rows.len() as f32
    }
}

#[cfg(test)]
#[path = "signs_tests.rs"]
mod tests;
