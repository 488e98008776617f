//! Brings a frame's light and colours to those that the engine knows: on the engine's input, never on a displayed pixel.
//! What is judged is the frame as a whole; it is changed by one gain a channel, one gamma and one saturation, all bounded, and
//! not at all where it lies within the cohort's own spread. Outside the endoscope's picture the input is made black.
//!
//! ```text
//!   input ─► rows ─┬─► Area ──────────────────────────────────┐
//!                  └─► Histograms ─► Figures ─► Correction ─► smoothed ─► rows ─► input
//! ```
//! The figures and the correction are spelt out a second time in `engines/train/normalise.py`, which fits the cohort; a test
//! holds both to the same numbers.

mod area;
mod correction;
mod figures;
mod rows;

use super::backend::Wanted;
use super::engine::InputSpec;
use crate::store::Normalisation;
use area::Area;
use correction::Correction;
use figures::Histograms;
use rows::Rows;
use serde::{Deserialize, Serialize};
use std::ops::Range;

/// A pixel none of whose channels is above this is black: nothing was lit there, or there is no picture. Of 0..1.
const BLACK: f32 = 0.05;
/// Rows of the input that are judged; those between are alike.
pub(super) const ROWS_JUDGED: usize = 24;
/// The correction follows what the frames ask for within about so long, s: an instrument that passes is no change of light.
const SMOOTHED_S: f32 = 2.0;

/// `[infer]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Frames are brought to the light and colours that an engine's manifest states, where it does. Default: true.
    pub normalise: bool,
    /// What runs the model: `cpu`, `cuda`, or `auto`: a device that is there and has an engine, else the processor. Default: auto.
    pub backend: Wanted,
}

impl Default for Settings {
    fn default() -> Self {
        Settings { normalise: true, backend: Wanted::Auto }
    }
}

/// The normalisation of one stream of frames for one engine.
#[derive(Debug)]
pub struct Normaliser {
    cohort: Normalisation,
    spec: InputSpec,
    rows: Rows,
    pub(super) area: Area,
    pub(super) histograms: Histograms,
    pub(super) correction: Correction,
    /// Were the last frames grey, and when was the last one that could be judged; None: nothing was judged yet.
    last: Option<Last>,
}

#[derive(Debug, Clone, Copy)]
struct Last {
    capture_ns: u64,
    is_grey: bool,
}

impl Normaliser {
    pub fn new(cohort: Normalisation, spec: InputSpec) -> Self {
        let (width, height) = (spec.width as usize, spec.height as usize);
        Normaliser {
            cohort,
            rows: Rows::new(&spec),
            area: Area::new(width, height),
            histograms: Histograms::new(width),
            correction: Correction::default(),
            last: None,
            spec,
        }
    }

    /// The next frame belongs to another stream, has another format, or is a picture on its own.
    pub fn forget(&mut self) {
        self.area.forget();
        self.cut();
    }

    /// The next frame shows another scene through the same scope.
    pub fn cut(&mut self) {
        self.correction = Correction::default();
        self.last = None;
    }

    /// Normalises what preprocessing made of the frame captured at `capture_ns`; false: it stays as it is. Allocates nothing.
    pub fn run(&mut self, input: &mut [f32], capture_ns: u64) -> bool {
        self.look(input);
        self.judge(capture_ns);
        let has_outside = self.area.has_outside();
        let is_corrected = !self.correction.is_none();
        if !has_outside && !is_corrected {
            return false;
        }
        for y in 0..self.spec.height as usize {
            let inside = self.area.span(y);
            if is_corrected && !inside.is_empty() {
                self.rows.load(input, y);
                self.correction.apply(&mut self.rows.colours, inside.clone());
                self.rows.store(input, y);
            }
            if has_outside {
                self.rows.blacken(input, y, inside);
            }
        }
        true
    }

    /// As `run`, of what was seen of the frame elsewhere; true: there it is to be changed as this has it now. `lit`: of each row, from its
    /// first to behind its last bright pixels; `counts`: as `Histograms` has them.
    pub fn run_there(&mut self, lit: impl Iterator<Item = Range<usize>>, counts: impl Iterator<Item = u32>, capture_ns: u64) -> bool {
        lit.take(self.spec.height as usize).enumerate().for_each(|(y, lit)| self.area.saw(y, lit));
        self.histograms.take(counts);
        self.judge(capture_ns);
        self.area.has_outside() || !self.correction.is_none()
    }

    /// Every so many rows are judged.
    fn step(&self) -> usize {
        (self.spec.height as usize / ROWS_JUDGED).max(1)
    }

    fn look(&mut self, input: &[f32]) {
        let step = self.step();
        self.histograms.clear();
        for y in 0..self.spec.height as usize {
            self.rows.load(input, y);
            let lit = self.area.see(y, self.rows.brightest());
            if y % step == 0 {
                self.histograms.add(&self.rows.colours, lit);
            }
        }
    }

    /// What is done to the frames now.
    fn judge(&mut self, capture_ns: u64) {
        let judged = self.rows.width() * (self.spec.height as usize).div_ceil(self.step());
        self.area.settle(capture_ns);
        // Too little was lit to say anything: what was known stays.
        let Some(figures) = self.histograms.figures(judged) else { return };
        let wanted = Correction::of(&figures, &self.cohort);
        let is_grey = figures.is_grey();
        let share = match self.last {
            Some(last) if last.is_grey == is_grey => {
                let since_s = capture_ns.saturating_sub(last.capture_ns) as f32 / 1e9;
                1.0 - (-since_s / SMOOTHED_S).exp()
            }
            _ => 1.0,
        };
        self.correction.approach(&wanted, share);
        self.last = Some(Last { capture_ns, is_grey });
    }
}

#[cfg(test)]
#[path = "normalise_tests.rs"]
mod tests;
