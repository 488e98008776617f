//! The conversion to R'G'B' once more: from the standards' definitions in whole numbers, a pixel at a time, sharing nothing with
//! `overlay` and `frame::rows`. It reads the buffer as the source gave it, so that what capture and ring do to it is compared too.
//!
//! ```text
//!   Kr, Kb   BT.601-7: 0.299, 0.114     BT.709-6: 0.2126, 0.0722     Kg = 1 − Kr − Kb
//!   R' = Y + 2(1 − Kr)·Cr     B' = Y + 2(1 − Kb)·Cb     G' = (Y − Kr·R' − Kb·B') / Kg      weights: 14 fraction bits
//!   limited: Y = (y − 16)·255/219, C = (c − 128)·255/224          full: Y = y, C = c − 128
//! ```
//! All rounding is half up. Ten bits are rounded to eight first. Chroma is that of the sample that covers the pixel.
//! SDR in BT.601 and BT.709 only: other colorimetries are not specified by these lines.

use crate::frame::{Colorimetry, Matrix, PixelFormat, Range};

/// Kr and Kb are given in parts of this.
const WHOLE: i64 = 10_000;
/// The weights' one.
const ONE: i64 = 1 << 14;

/// A picture as a source gives it: planes of its own, rows of any stride.
#[derive(Debug, Default)]
pub(super) struct Planes {
    pub format: Option<PixelFormat>,
    pub width: usize,
    pub height: usize,
    pub planes: [Vec<u8>; 3],
    pub strides: [usize; 3],
}

/// What is shown of Y, Cb, Cr, in parts of `ONE`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Weights {
    black: i64,
    luma: i64,
    red_of_cr: i64,
    green_of_cb: i64,
    green_of_cr: i64,
    blue_of_cb: i64,
}

impl Weights {
    /// None: no SDR in BT.601 or BT.709.
    pub fn of(colorimetry: Colorimetry) -> Option<Weights> {
        let (kr, kb) = match colorimetry.matrix {
            Matrix::Bt601 => (2_990, 1_140),
            Matrix::Bt709 => (2_126, 722),
            Matrix::Bt2020 => return None,
        };
        let kg = WHOLE - kr - kb;
        let (black, luma_span, chroma_span) = match colorimetry.range {
            Range::Limited => (16, 219, 224),
            Range::Full => (0, 255, 255),
        };
        let weight = |above: i64, below: i64| half_up(ONE * 255 * above, below);
        colorimetry.is_display_ready().then(|| Weights {
            black,
            luma: weight(1, luma_span),
            red_of_cr: weight(2 * (WHOLE - kr), WHOLE * chroma_span),
            green_of_cb: weight(2 * (WHOLE - kb) * kb, WHOLE * kg * chroma_span),
            green_of_cr: weight(2 * (WHOLE - kr) * kr, WHOLE * kg * chroma_span),
            blue_of_cb: weight(2 * (WHOLE - kb), WHOLE * chroma_span),
        })
    }

    /// R', G', B' of eight-bit samples.
    pub fn rgb(&self, [y, cb, cr]: [i64; 3]) -> [u8; 3] {
        let (y, cb, cr) = (self.luma * (y - self.black), cb - 128, cr - 128);
        let sums = [y + self.red_of_cr * cr, y - self.green_of_cb * cb - self.green_of_cr * cr, y + self.blue_of_cb * cb];
        sums.map(|sum| half_up(sum, ONE).clamp(0, 255) as u8)
    }
}

/// above / below to the nearest whole number, a half to the larger one. `below` is positive.
fn half_up(above: i64, below: i64) -> i64 {
    (2 * above + below).div_euclid(2 * below)
}

impl Planes {
    /// The pixels as they are to be shown: B, G, R, 255, rows of `4 · width` bytes. False: the format is none, or the colorimetry
    /// not one of these.
    pub fn shown(&self, colorimetry: Colorimetry, into: &mut Vec<u8>) -> bool {
        let (Some(weights), Some(format)) = (Weights::of(colorimetry), self.format) else { return false };
        into.clear();
        for y in 0..self.height {
            for x in 0..self.width {
                let [r, g, b] = if format.is_rgb() { self.rgb(format, x, y) } else { weights.rgb(self.ycbcr(format, x, y)) };
                into.extend_from_slice(&[b, g, r, 255]);
            }
        }
        true
    }

    fn byte(&self, plane: usize, at: usize, row: usize) -> u8 {
        self.planes[plane][row * self.strides[plane] + at]
    }

    fn rgb(&self, format: PixelFormat, x: usize, y: usize) -> [u8; 3] {
        match format {
            PixelFormat::Rgb => [0, 1, 2].map(|part| self.byte(0, 3 * x + part, y)),
            _ => [2, 1, 0].map(|part| self.byte(0, 4 * x + part, y)),
        }
    }

    /// Y, Cb and Cr of a pixel, in eight bits.
    fn ycbcr(&self, format: PixelFormat, x: usize, y: usize) -> [i64; 3] {
        let byte = |plane, at, row| i64::from(self.byte(plane, at, row));
        let pair = x / 2;
        match format {
            PixelFormat::Nv12 => [byte(0, x, y), byte(1, 2 * pair, y / 2), byte(1, 2 * pair + 1, y / 2)],
            PixelFormat::I420 => [byte(0, x, y), byte(1, pair, y / 2), byte(2, pair, y / 2)],
            PixelFormat::Yuy2 => [byte(0, 2 * x, y), byte(0, 4 * pair + 1, y), byte(0, 4 * self.written(pair) + 3, y)],
            PixelFormat::Uyvy => [byte(0, 2 * x + 1, y), byte(0, 4 * pair, y), byte(0, 4 * self.written(pair) + 2, y)],
            PixelFormat::P010 => {
                let word = |plane, at, row| eight_of_ten((byte(plane, 2 * at + 1, row) * 256 + byte(plane, 2 * at, row)) / 64);
                [word(0, x, y), word(1, 2 * pair, y / 2), word(1, 2 * pair + 1, y / 2)]
            }
            PixelFormat::V210 => {
                // Of a group of twelve samples, six pixels: Cb Y Cr Y Cb Y Cr Y Cb Y Cr Y, three in a word.
                let sample = |index: usize| {
                    let (group, place) = (x / 6, index);
                    let word = (0..4).rev().fold(0, |word, part| word * 256 + byte(0, 16 * group + 4 * (place / 3) + part, y));
                    eight_of_ten(word / [1, 1 << 10, 1 << 20][place % 3] % 1024)
                };
                let of_group = x % 6;
                [sample(2 * of_group + 1), sample(of_group / 2 * 4), sample(of_group / 2 * 4 + 2)]
            }
            PixelFormat::Rgb | PixelFormat::Bgrx | PixelFormat::Bgra => [0; 3],
        }
    }

    /// Sources leave the Cr of a row's last pixel unwritten where the width is odd: then that of the pair before it counts.
    fn written(&self, pair: usize) -> usize {
        if self.width % 2 == 1 && pair == self.width / 2 { pair - 1 } else { pair }
    }
}

fn eight_of_ten(ten: i64) -> i64 {
    half_up(ten, 4).min(255)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::Transfer;

    fn weights(matrix: Matrix, range: Range) -> Weights {
        Weights::of(Colorimetry::sdr(matrix, range)).unwrap()
    }

    /// ITU-R BT.601-7 and BT.709-6 in reals, without the rounding of the weights.
    #[test]
    fn every_sample_value_is_within_one_level_of_the_standards_reals() {
        for (matrix, kr, kb) in [(Matrix::Bt601, 0.299, 0.114), (Matrix::Bt709, 0.2126, 0.0722)] {
            for range in [Range::Limited, Range::Full] {
                let (black, spans) = if range == Range::Limited { (16.0, [219.0, 224.0]) } else { (0.0, [255.0, 255.0]) };
                let weights = weights(matrix, range);
                for y in (0..=255).step_by(5) {
                    for cb in (0..=255).step_by(5) {
                        for cr in (0..=255).step_by(5) {
                            let luma = (f64::from(y) - black) * 255.0 / spans[0];
                            let [b, r] = [cb, cr].map(|c| (f64::from(c) - 128.0) * 255.0 / spans[1]);
                            let (red, blue) = (luma + 2.0 * (1.0 - kr) * r, luma + 2.0 * (1.0 - kb) * b);
                            let green = (luma - kr * red - kb * blue) / (1.0 - kr - kb);
                            let got = weights.rgb([y, cb, cr].map(i64::from));
                            for (got, real) in got.iter().zip([red, green, blue]) {
                                assert!(
                                    (f64::from(*got) - real.clamp(0.0, 255.0)).abs() < 0.55,
                                    "{matrix:?} {range:?} {y} {cb} {cr}: {got} {real}"
                                );
                            }
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn halves_are_rounded_up_also_below_nothing() {
        assert_eq!([1, 2, 3, -1, -2, -3].map(|n| half_up(n, 2)), [1, 1, 2, 0, -1, -1]);
        assert_eq!([0, 1, 2, 3, 1021, 1022, 1023].map(eight_of_ten), [0, 0, 1, 1, 255, 255, 255]);
    }

    #[test]
    fn what_the_lines_do_not_specify_is_refused() {
        assert!(Weights::of(Colorimetry::sdr(Matrix::Bt2020, Range::Limited)).is_none());
        let hlg = Colorimetry { transfer: Transfer::Hlg, ..Colorimetry::sdr(Matrix::Bt709, Range::Limited) };
        assert!(Weights::of(hlg).is_none() && !Planes::default().shown(hlg, &mut Vec::new()));
    }
}
