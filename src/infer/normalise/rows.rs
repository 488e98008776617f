//! One row of an engine's input as three planes of R, G, B in 0..1, however the input lies; and logarithms of many numbers.

use crate::base::simd::wide;
use crate::infer::engine::InputSpec;
use crate::store::{ColourOrder, TensorLayout};
use std::ops::Range;

/// A row that is being worked on.
#[derive(Debug)]
pub struct Rows {
    pub colours: [Vec<f32>; 3],
    brightest: Vec<f32>,
    height: usize,
    is_nchw: bool,
    /// Of R, G, B: the input's channel, its mean and standard deviation.
    channels: [(usize, f32, f32); 3],
}

impl Rows {
    pub fn new(spec: &InputSpec) -> Self {
        let width = spec.width as usize;
        let channel_of = match spec.colour {
            ColourOrder::Rgb => [0, 1, 2],
            ColourOrder::Bgr => [2, 1, 0],
        };
        Rows {
            colours: std::array::from_fn(|_| vec![0.0; width]),
            brightest: vec![0.0; width],
            height: spec.height as usize,
            is_nchw: spec.layout == TensorLayout::Nchw,
            channels: channel_of.map(|channel| (channel, spec.mean[channel], spec.std[channel])),
        }
    }

    pub fn width(&self) -> usize {
        self.brightest.len()
    }

    /// First number of a channel's row, and the step to its next.
    fn place(&self, y: usize, channel: usize) -> (usize, usize) {
        if self.is_nchw { ((channel * self.height + y) * self.width(), 1) } else { (3 * y * self.width() + channel, 3) }
    }

    pub fn load(&mut self, input: &[f32], y: usize) {
        for (colour, (channel, mean, std)) in self.channels.into_iter().enumerate() {
            let (start, step) = self.place(y, channel);
            let row = &mut self.colours[colour];
            if step == 1 {
                decode(&input[start..][..row.len()], row, mean, std);
            } else {
                row.iter_mut().zip(input[start..].iter().step_by(step)).for_each(|(out, value)| *out = value * std + mean);
            }
        }
    }

    pub fn store(&self, input: &mut [f32], y: usize) {
        for (row, (channel, mean, std)) in self.colours.iter().zip(self.channels) {
            let (start, step) = self.place(y, channel);
            let gain = 1.0 / std;
            if step == 1 {
                encode(row, &mut input[start..][..row.len()], mean, gain);
            } else {
                input[start..].iter_mut().step_by(step).zip(row).for_each(|(out, value)| *out = (value - mean) * gain);
            }
        }
    }

    /// Makes the input black outside the columns `inside`.
    pub fn blacken(&self, input: &mut [f32], y: usize, inside: Range<usize>) {
        for (channel, mean, std) in self.channels {
            let (start, step) = self.place(y, channel);
            for columns in [0..inside.start, inside.end..self.width()] {
                let row = input[start..].iter_mut().step_by(step);
                row.skip(columns.start).take(columns.len()).for_each(|out| *out = -mean / std);
            }
        }
    }

    /// The brightest channel of each pixel of the row that was loaded.
    pub fn brightest(&mut self) -> &[f32] {
        let [red, green, blue] = &self.colours;
        brightest(red, green, blue, &mut self.brightest);
        &self.brightest
    }
}

wide! {
    fn decode(from: &[f32], to: &mut [f32], mean: f32, std: f32) {
        from.iter().zip(to).for_each(|(value, out)| *out = value * std + mean);
    }

    fn encode(from: &[f32], to: &mut [f32], mean: f32, gain: f32) {
        from.iter().zip(to).for_each(|(value, out)| *out = (value - mean) * gain);
    }

    fn brightest(red: &[f32], green: &[f32], blue: &[f32], to: &mut [f32]) {
        for (((red, green), blue), out) in red.iter().zip(green).zip(blue).zip(to) {
            *out = red.max(*green).max(*blue);
        }
    }
}

/// Coefficients of m, m², … of the logarithm of 1 + m, 0..1, and of 1, x, … of 2^x, −½..½: least squares at Chebyshev's points.
const LOG2: [f32; 5] = [1.441_835_9, -0.708_372_2, 0.413_555_1, -0.191_262_5, 0.044_243_7];
const EXP2: [f32; 4] = [0.999_928_94, 0.693_276_2, 0.242_604_05, 0.055_088_68];

/// Below this a logarithm says more of noise than of light, of 0..1. What is darker counts as this.
pub const FLOOR: f32 = (4.0 / 255.0) as f32;

/// Binary logarithm of a number of `FLOOR` or more, to 3e-5: the exponent, and a polynomial of the mantissa. No branch and no call, so
/// that loops over it become SIMD.
#[inline(always)]
pub fn log2(value: f32) -> f32 {
    let bits = value.to_bits();
    let exponent = (bits >> 23) as i32 - 127;
    let m = f32::from_bits((bits & 0x007f_ffff) | 0x3f80_0000) - 1.0;
    let series = LOG2[2] + m * (LOG2[3] + m * LOG2[4]);
    exponent as f32 + m * (LOG2[0] + m * (LOG2[1] + m * series))
}

/// 2 to the power of `value`, which lies within ±120; relative error 1e-4: a fortieth of a step of 8 bits.
#[inline(always)]
pub fn exp2(value: f32) -> f32 {
    /// Added and taken away again, it rounds to the nearest whole number, which then stands in the last bits.
    const ROUND: f32 = 12_582_912.0;
    let rounded = value + ROUND;
    let part = value - (rounded - ROUND);
    let series = EXP2[0] + part * (EXP2[1] + part * (EXP2[2] + part * EXP2[3]));
    f32::from_bits(series.to_bits().wrapping_add(rounded.to_bits() << 23))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logarithms_and_powers_are_right_and_undo_each_other() {
        for i in 0..=10_000 {
            let value = FLOOR + (2.0 - FLOOR) * i as f32 / 10_000.0;
            assert!((log2(value) - value.log2()).abs() < 3e-5, "{value}");
            assert!((exp2(log2(value)) / value - 1.0).abs() < 1.2e-4, "{value}");
        }
        for i in -12_000..12_000 {
            let value = i as f32 / 100.0;
            assert!((exp2(value) / value.exp2() - 1.0).abs() < 1e-4, "{value}");
        }
    }
}
