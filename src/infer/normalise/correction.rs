//! From what a frame looks like to what is done to it.

use super::figures::{Colours, Figures};
use super::rows::{FLOOR, exp2, log2};
use crate::base::simd::wide;
use crate::store::{Normalisation, Spread};
use std::ops::Range;

/// Colours that range over so many standard deviations less or more than the cohort's are no longer those of its scenes: what
/// a frame asks for is believed less and less between the first and the second figure, and then not at all.
const DULL: [f32; 2] = [3.0, 4.0];
const VIVID: [f32; 2] = [1.5, 2.5];
/// A grey frame's tint below this is none.
const NO_TINT: f32 = 1.0 / 16.0;
/// Brightness that a gamma can be told from: nearer to white every gamma does nothing.
const BRIGHTEST: f32 = -0.1;
/// A correction of less than a thousandth is not seen.
const NONE: f32 = 0.001;

/// In binary logarithms of R, G, B in 0..1: `(l·1 + (rgb − l)·2^saturation)·2^gamma + shift` with l their mean.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Correction {
    pub gamma: f32,
    pub saturation: f32,
    pub shift: [f32; 3],
}

impl Correction {
    pub fn of(figures: &Figures, cohort: &Normalisation) -> Self {
        match figures.colours {
            Some(colours) if colours.is_grey => grey(figures, &colours, cohort),
            colours => colour(figures, colours.as_ref(), cohort),
        }
    }

    /// Nothing to be done.
    pub fn is_none(&self) -> bool {
        [self.gamma, self.saturation].iter().chain(&self.shift).all(|value| value.abs() < NONE)
    }

    /// Goes `share` of the way to `wanted`.
    pub fn approach(&mut self, wanted: &Correction, share: f32) {
        let go = |value: &mut f32, wanted: f32| *value += share * (wanted - *value);
        go(&mut self.gamma, wanted.gamma);
        go(&mut self.saturation, wanted.saturation);
        self.shift.iter_mut().zip(wanted.shift).for_each(|(value, wanted)| go(value, wanted));
    }

    /// Changes R, G, B in 0..1 of a row's `columns`. Grey stays grey where the shifts are alike, black stays black.
    pub fn apply(&self, colours: &mut [Vec<f32>; 3], columns: Range<usize>) {
        let [red, green, blue] = colours;
        let (gamma, vivid) = (self.gamma.exp2(), (self.gamma + self.saturation).exp2());
        apply(&mut red[columns.clone()], &mut green[columns.clone()], &mut blue[columns], gamma, vivid, self.shift);
    }
}

/// How far `value` lies outside the cohort's band, with its sign.
fn beyond(value: f32, spread: &Spread, cohort: &Normalisation) -> f32 {
    let off = value - spread.mean;
    off.signum() * (off.abs() - cohort.dead_band * spread.std).max(0.0)
}

fn colour(figures: &Figures, colours: Option<&Colours>, cohort: &Normalisation) -> Correction {
    let stretch = |value: f32| value.clamp(-cohort.max_stretch, cohort.max_stretch);
    let trust = cohort.strength * colours.map_or(1.0, |colours| trust(colours.saturation, &cohort.saturation));
    let (brightness, target) = (figures.brightness.min(BRIGHTEST), cohort.brightness.mean);

    // A gamma makes a frame dark and wide, or bright and narrow; nothing else of a camera does. White stays white.
    let (off, excess) = (brightness - target, beyond(figures.contrast, &cohort.contrast, cohort));
    let mut gamma = 0.0;
    if off * excess < 0.0 {
        let most = (target / brightness).log2();
        gamma = (-trust * stretch(excess)).clamp(most.min(0.0), most.max(0.0));
    }
    // What is still too dark is given more light. What is too bright keeps its highlights: again a gamma.
    let brightness = brightness * gamma.exp2();
    let excess = trust * beyond(brightness, &cohort.brightness, cohort);
    let exposure = (-excess).clamp(0.0, cohort.max_exposure);
    if excess > 0.0 {
        gamma = stretch(gamma + ((brightness - excess) / brightness).log2());
    }
    let Some(colours) = colours else { return Correction { gamma, saturation: 0.0, shift: [exposure; 3] } };

    let saturation = -trust * stretch(beyond(colours.saturation + gamma, &cohort.saturation, cohort));
    let vivid = (gamma + saturation).exp2();
    let balance = |value: f32, spread| -(trust * beyond(value * vivid, spread, cohort)).clamp(-cohort.max_balance, cohort.max_balance);
    let (red_green, yellow_blue) = (balance(colours.red_green, &cohort.red_green), balance(colours.yellow_blue, &cohort.yellow_blue));
    Correction { gamma, saturation, shift: shift(exposure, red_green, yellow_blue) }
}

/// Of a monochrome camera's frame only the brightness is known, and that it has no tint.
fn grey(figures: &Figures, colours: &Colours, cohort: &Normalisation) -> Correction {
    let Some(spread) = &cohort.grey_brightness else { return Correction::default() };
    let exposure = -(cohort.strength * beyond(figures.brightness, spread, cohort)).clamp(-cohort.max_exposure, cohort.max_exposure);
    let untint = |value: f32| {
        let tint = if value.abs() < NO_TINT { 0.0 } else { value };
        -(cohort.strength * tint).clamp(-cohort.max_balance, cohort.max_balance)
    };
    Correction { shift: shift(exposure, untint(colours.red_green), untint(colours.yellow_blue)), ..Correction::default() }
}

/// How far what a frame asks for is believed, 0..1.
fn trust(saturation: f32, spread: &Spread) -> f32 {
    let off = (saturation - spread.mean) / spread.std;
    let [believed, not] = if off < 0.0 { DULL } else { VIVID };
    ((not - off.abs()) / (not - believed)).clamp(0.0, 1.0)
}

/// Shifts of R, G and B that move their mean, red against green, and yellow against blue.
fn shift(mean: f32, red_green: f32, yellow_blue: f32) -> [f32; 3] {
    let yellow = mean + yellow_blue / 3.0;
    [yellow + red_green / 2.0, yellow - red_green / 2.0, mean - yellow_blue * 2.0 / 3.0]
}

wide! {
    fn apply(red: &mut [f32], green: &mut [f32], blue: &mut [f32], gamma: f32, vivid: f32, shift: [f32; 3]) {
        for ((red, green), blue) in red.iter_mut().zip(green).zip(blue) {
            let logs = [*red, *green, *blue].map(|value| log2(value.max(FLOOR)));
            let mean = (logs[0] + logs[1] + logs[2]) * (1.0 / 3.0);
            let level = mean * (gamma - vivid);
            *red = changed(*red, logs[0] * vivid + level + shift[0]);
            *green = changed(*green, logs[1] * vivid + level + shift[1]);
            *blue = changed(*blue, logs[2] * vivid + level + shift[2]);
        }
    }
}

/// What had no logarithm of its own goes to black in a line.
#[inline(always)]
fn changed(value: f32, log: f32) -> f32 {
    (exp2(log) * (value * (1.0 / FLOOR)).clamp(0.0, 1.0)).min(1.0)
}
