//! What a frame looks like as a whole, in a few robust numbers: medians and ranges, which an instrument, a highlight or a
//! bleeding that covers less than half of it hardly moves.

use super::BLACK;
use super::rows::{FLOOR, log2};
use crate::base::simd::wide;
use std::ops::Range;

/// A channel above this is clipped: the pixel's colour is lost, its brightness is not.
const CLIPPED: f32 = 0.98;
/// Steps of a histogram a stop; it holds −BINS/2 to BINS/2 steps around its middle.
const STEPS: f32 = 32.0;
const BINS: usize = 192;
/// Brightness lies between −6 and 0.
const MIDDLE: f32 = -3.0;
/// What of the histogram a range spans.
const RANGE: [f32; 2] = [0.15, 0.85];
/// Less of the frame than this says nothing of it.
const LEAST_PART: f32 = 0.05;
/// A frame whose colours range over less than this, and lie no further than that from grey, is one of a monochrome camera.
const GREY_RANGE: f32 = 0.12;
const GREY_OFF: f32 = 0.6;

/// All in binary logarithms, as `store::Normalisation` says.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Figures {
    pub brightness: f32,
    pub contrast: f32,
    /// None: hardly any pixel shows a colour.
    pub colours: Option<Colours>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Colours {
    pub red_green: f32,
    pub yellow_blue: f32,
    pub saturation: f32,
    pub is_grey: bool,
}

impl Figures {
    pub fn is_grey(&self) -> bool {
        self.colours.is_some_and(|colours| colours.is_grey)
    }
}

/// A bin for each step, and one for what does not count.
type Counts = [u32; BINS + 1];
const NOT: u32 = BINS as u32;

/// How often each step occurs among a frame's pixels.
#[derive(Debug)]
pub struct Histograms {
    brightness: Counts,
    red_green: Counts,
    yellow_blue: Counts,
    /// Of one row: each pixel's three bins.
    bins: [Vec<u32>; 3],
}

impl Histograms {
    /// For rows of up to `width` pixels.
    pub fn new(width: usize) -> Self {
        let (empty, bins) = ([0; BINS + 1], std::array::from_fn(|_| vec![0; width]));
        Histograms { brightness: empty, red_green: empty, yellow_blue: empty, bins }
    }

    pub fn clear(&mut self) {
        for counts in [&mut self.brightness, &mut self.red_green, &mut self.yellow_blue] {
            counts.fill(0);
        }
    }

    /// Counts the pixels of a row (R, G, B in 0..1) in the columns `lit`.
    pub fn add(&mut self, colours: &[Vec<f32>; 3], lit: Range<usize>) {
        let count = lit.len();
        let [red, green, blue] = colours;
        let [l, rg, yb] = &mut self.bins;
        measure(&red[lit.clone()], &green[lit.clone()], &blue[lit], &mut l[..count], &mut rg[..count], &mut yb[..count]);
        for ((l, rg), yb) in l.iter().zip(rg).zip(yb).take(count) {
            self.brightness[(*l).min(NOT) as usize] += 1;
            self.red_green[(*rg).min(NOT) as usize] += 1;
            self.yellow_blue[(*yb).min(NOT) as usize] += 1;
        }
    }

    /// What was counted elsewhere: brightness, red against green, yellow against blue; the last of each is what does not count.
    pub fn take(&mut self, counts: impl Iterator<Item = u32>) {
        let own = [&mut self.brightness, &mut self.red_green, &mut self.yellow_blue].into_iter().flatten();
        own.zip(counts).for_each(|(own, count)| *own = count);
    }

    /// As `take` takes them.
    #[cfg(test)]
    pub fn counts(&self) -> Vec<u32> {
        [self.brightness, self.red_green, self.yellow_blue].concat()
    }

    /// None: too few of the `judged` pixels that were looked at are lit.
    pub fn figures(&self, judged: usize) -> Option<Figures> {
        let is_enough = |counts: &Counts| counted(counts) >= LEAST_PART * judged as f32;
        if !is_enough(&self.brightness) {
            return None;
        }
        let range = |counts| quantile(counts, RANGE[1]) - quantile(counts, RANGE[0]);
        let colours = is_enough(&self.red_green).then(|| {
            let (red_green, yellow_blue) = (quantile(&self.red_green, 0.5), quantile(&self.yellow_blue, 0.5));
            let ranges = [range(&self.red_green), range(&self.yellow_blue)];
            let is_narrow = ranges.iter().all(|range| *range < GREY_RANGE);
            Colours {
                red_green,
                yellow_blue,
                saturation: (ranges[0] + ranges[1]).max(1.0 / STEPS).log2(),
                is_grey: is_narrow && red_green.abs() < GREY_OFF && yellow_blue.abs() < GREY_OFF,
            }
        });
        let contrast = range(&self.brightness).max(1.0 / STEPS).log2();
        Some(Figures { brightness: quantile(&self.brightness, 0.5) + MIDDLE, contrast, colours })
    }
}

wide! {
    /// The bins of each pixel's brightness (about `MIDDLE`), red against green, and yellow against blue.
    fn measure(red: &[f32], green: &[f32], blue: &[f32], l: &mut [u32], rg: &mut [u32], yb: &mut [u32]) {
        let pixels = red.iter().zip(green).zip(blue);
        for (((red, green), blue), ((l, rg), yb)) in pixels.zip(l.iter_mut().zip(rg).zip(yb)) {
            let (top, least) = (red.max(*green).max(*blue), red.min(*green).min(*blue));
            let [r, g, b] = [*red, *green, *blue].map(|value| log2(value.max(FLOOR)));
            let is_lit = top > BLACK;
            let is_coloured = is_lit & (top < CLIPPED) & (least > FLOOR);
            *l = bin((r + g + b) * (1.0 / 3.0) - MIDDLE, is_lit);
            *rg = bin(r - g, is_coloured);
            *yb = bin((r + g) * 0.5 - b, is_coloured);
        }
    }
}

/// The bin whose middle is nearest.
#[inline(always)]
fn bin(value: f32, is_counted: bool) -> u32 {
    let bin = (value * STEPS + (BINS / 2) as f32 + 0.5).clamp(0.0, (BINS - 1) as f32) as i32 as u32;
    if is_counted { bin } else { NOT }
}

fn counted(counts: &Counts) -> f32 {
    counts[..BINS].iter().sum::<u32>() as f32
}

/// The value below which `part` of what was counted lies, about the histogram's middle; within a bin its pixels are spread evenly.
fn quantile(counts: &Counts, part: f32) -> f32 {
    let wanted = part * counted(counts);
    let mut before = 0.0;
    for (bin, count) in counts[..BINS].iter().enumerate() {
        let count = *count as f32;
        if count > 0.0 && before + count >= wanted {
            return (bin as f32 - 0.5 + (wanted - before) / count - (BINS / 2) as f32) / STEPS;
        }
        before += count;
    }
    0.0
}
