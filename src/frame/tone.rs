//! Wide gamut and high dynamic range → the SDR BT.709 picture that is shown, specified in integers so that every
//! implementation gives the same bytes. Used where `Colorimetry::is_display_ready` says no.
//!
//! ```text
//!   c    = R', G', B' in ten bits, full range, clamped to 0..1023   Y'CbCr: 10-bit samples (8-bit ones · 4) through the
//!          matrix, (… + 8192) >> 14; 8-bit RGB: v << 2 | v >> 6
//!   l    = to_linear[c]                                              15 bits: light on the SDR display, of the transfer
//!   l709 = clamp((gamut · l + 8192) >> 14, 0, 32767)                 BT.2020 → BT.709 primaries, else the identity
//!   out  = to_display[l709]                                          8 bits: inverse of BT.1886, gamma 2.4
//! ```
//! `to_linear`, for each of R, G, B by itself:
//! - SDR: BT.1886, gamma 2.4.
//! - PQ: SMPTE ST 2084 to cd/m², then BT.2390's EETF from a mastering peak of 1000 cd/m² to an SDR white of 203 cd/m²
//!   (BT.2408's reference white). What is brighter than 1000 is white; the mastering metadata are not read.
//! - HLG: BT.2100's inverse OETF, its OOTF for 1000 cd/m² (gamma 1.2) on each channel instead of on luminance, then as PQ.
//!
//! Reference white comes out at 90 % (level 231), what is brighter lies between it and white. Colours outside BT.709 are clipped.

use super::format::{Colorimetry, Matrix, PixelFormat, Range, Transfer};
use super::layout::FrameLayout;
use std::sync::OnceLock;

/// 14 fraction bits, rows sum to one: grey stays grey (BT.2087-0, inverted).
const BT709_FROM_BT2020: [[i32; 3]; 3] = [[27206, -9628, -1194], [-2041, 18562, -137], [-297, -1648, 18329]];
const IDENTITY: [[i32; 3]; 3] = [[16384, 0, 0], [0, 16384, 0], [0, 0, 16384]];
const MASTERING_PEAK_CD_M2: f64 = 1000.0;
const REFERENCE_WHITE_CD_M2: f64 = 203.0;
const DISPLAY_GAMMA: f64 = 2.4;

/// Matrix from 10-bit samples to ten bits full range, 14 fraction bits; as `overlay::convert::Coefficients`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TenBitMatrix {
    pub y_offset: i32,
    pub cy: i32,
    pub rv: i32,
    pub gu: i32,
    pub gv: i32,
    pub bu: i32,
}

/// The mapping of one format and colorimetry. Cheap to make: its tables are shared.
#[derive(Debug, Clone, Copy)]
pub struct Tone {
    pub matrix: TenBitMatrix,
    pub gamut: [[i32; 3]; 3],
    /// 15-bit light for each 10-bit code.
    pub to_linear: &'static [i32; Self::CODES],
    /// A byte for each 15-bit light, and 4 more: vectors read four at once.
    pub to_display: &'static [u8; Self::LIGHTS + 4],
}

impl Tone {
    pub const CODES: usize = 1024;
    pub const LIGHTS: usize = 32768;

    /// None where R'G'B' is shown as it is. The first call with a transfer computes its tables (some ms).
    pub fn of(layout: &FrameLayout) -> Option<Self> {
        let colorimetry = layout.colorimetry;
        if colorimetry.is_display_ready() {
            return None;
        }
        static LINEAR: [OnceLock<Box<[i32; Tone::CODES]>>; 3] = [const { OnceLock::new() }; 3];
        static DISPLAY: OnceLock<Box<[u8; Tone::LIGHTS + 4]>> = OnceLock::new();
        let transfer = colorimetry.transfer;
        let to_linear = LINEAR[transfer as usize].get_or_init(|| {
            Box::new(std::array::from_fn(|code| {
                let light = display_light(transfer, code as f64 / (Self::CODES - 1) as f64);
                (light.clamp(0.0, 1.0) * (Self::LIGHTS - 1) as f64).round() as i32
            }))
        });
        let to_display = DISPLAY.get_or_init(|| {
            Box::new(std::array::from_fn(|light| {
                let light = light.min(Self::LIGHTS - 1) as f64 / (Self::LIGHTS - 1) as f64;
                (255.0 * light.powf(1.0 / DISPLAY_GAMMA)).round() as u8
            }))
        });
        Some(Tone {
            matrix: TenBitMatrix::new(layout.format, colorimetry),
            gamut: if colorimetry.matrix == Matrix::Bt2020 { BT709_FROM_BT2020 } else { IDENTITY },
            to_linear,
            to_display,
        })
    }

    /// R', G', B' of 10-bit samples, 0..=1023.
    pub fn codes(&self, y: u16, u: u16, v: u16) -> [usize; 3] {
        let m = &self.matrix;
        let luma = m.cy * (i32::from(y) - m.y_offset) + 8192;
        let (u, v) = (i32::from(u) - 512, i32::from(v) - 512);
        [luma + m.rv * v, luma - m.gu * u - m.gv * v, luma + m.bu * u].map(|sum| (sum >> 14).clamp(0, 1023) as usize)
    }

    /// R', G', B' of 8-bit ones.
    pub fn codes_of_bytes(rgb: [u8; 3]) -> [usize; 3] {
        rgb.map(|v| usize::from(v) << 2 | usize::from(v) >> 6)
    }

    /// R', G', B' as shown, of codes 0..=1023.
    pub fn shown(&self, codes: [usize; 3]) -> [u8; 3] {
        let light = codes.map(|code| self.to_linear[code]);
        self.gamut.map(|[r, g, b]| {
            let sum = r * light[0] + g * light[1] + b * light[2] + 8192;
            self.to_display[(sum >> 14).clamp(0, Self::LIGHTS as i32 - 1) as usize]
        })
    }
}

impl TenBitMatrix {
    fn new(format: PixelFormat, colorimetry: Colorimetry) -> Self {
        let (kr, kb) = colorimetry.matrix.kr_kb();
        let kg = 1.0 - kr - kb;
        let (y_offset, luma, chroma) = match (colorimetry.range, format.is_ten_bit()) {
            (Range::Limited, _) => (64, 1023.0 / 876.0, 1023.0 / 896.0),
            (Range::Full, true) => (0, 1.0, 1.0),
            (Range::Full, false) => (0, 1023.0 / 1020.0, 1023.0 / 1020.0),
        };
        let fixed = |v: f64| (v * 16384.0).round() as i32;
        TenBitMatrix {
            y_offset,
            cy: fixed(luma),
            rv: fixed(2.0 * (1.0 - kr) * chroma),
            gu: fixed(2.0 * (1.0 - kb) * kb / kg * chroma),
            gv: fixed(2.0 * (1.0 - kr) * kr / kg * chroma),
            bu: fixed(2.0 * (1.0 - kb) * chroma),
        }
    }
}

/// Light of the SDR display, 0..1 (may exceed it), of a signal of 0..1.
fn display_light(transfer: Transfer, signal: f64) -> f64 {
    let cd_m2 = match transfer {
        Transfer::Sdr => return signal.powf(DISPLAY_GAMMA),
        Transfer::Pq => pq_eotf(signal),
        Transfer::Hlg => MASTERING_PEAK_CD_M2 * hlg_scene(signal).powf(1.2),
    };
    eetf(cd_m2) / REFERENCE_WHITE_CD_M2
}

// SMPTE ST 2084.
const M1: f64 = 2610.0 / 16384.0;
const M2: f64 = 2523.0 / 4096.0 * 128.0;
const C1: f64 = 3424.0 / 4096.0;
const C2: f64 = 2413.0 / 4096.0 * 32.0;
const C3: f64 = 2392.0 / 4096.0 * 32.0;

fn pq_eotf(signal: f64) -> f64 {
    let p = signal.powf(1.0 / M2);
    10_000.0 * ((p - C1).max(0.0) / (C2 - C3 * p)).powf(1.0 / M1)
}

fn pq_inverse(cd_m2: f64) -> f64 {
    let p = (cd_m2 / 10_000.0).powf(M1);
    ((C1 + C2 * p) / (1.0 + C3 * p)).powf(M2)
}

/// BT.2100, inverse OETF: scene light 0..1.
fn hlg_scene(signal: f64) -> f64 {
    const A: f64 = 0.178_832_77;
    const B: f64 = 1.0 - 4.0 * A;
    if signal <= 0.5 {
        return signal * signal / 3.0;
    }
    let c = 0.5 - A * (4.0 * A).ln();
    (((signal - c) / A).exp() + B) / 12.0
}

/// BT.2390 (section 5.4.1), both blacks 0: a knee in PQ's scale, cd/m² to cd/m².
fn eetf(cd_m2: f64) -> f64 {
    let peak = pq_inverse(MASTERING_PEAK_CD_M2);
    let most = pq_inverse(REFERENCE_WHITE_CD_M2) / peak;
    let knee = 1.5 * most - 0.5;
    let e = (pq_inverse(cd_m2) / peak).min(1.0);
    if e < knee {
        return cd_m2;
    }
    let t = (e - knee) / (1.0 - knee);
    let (t2, t3) = (t * t, t * t * t);
    let bent = (2.0 * t3 - 3.0 * t2 + 1.0) * knee + (t3 - 2.0 * t2 + t) * (1.0 - knee) + (3.0 * t2 - 2.0 * t3) * most;
    pq_eotf(bent * peak)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tone(format: PixelFormat, matrix: Matrix, range: Range, transfer: Transfer) -> Option<Tone> {
        Tone::of(&FrameLayout::new(format, Colorimetry { matrix, range, transfer }, 64, 64).unwrap())
    }

    fn grey(tone: &Tone, code: usize) -> u8 {
        let [r, g, b] = tone.shown([code; 3]);
        assert!(r == g && g == b, "grey {code} became {r} {g} {b}");
        r
    }

    #[test]
    fn ordinary_pictures_need_none() {
        assert!(tone(PixelFormat::V210, Matrix::Bt709, Range::Limited, Transfer::Sdr).is_none());
        assert!(tone(PixelFormat::Nv12, Matrix::Bt601, Range::Full, Transfer::Sdr).is_none());
        assert!(tone(PixelFormat::V210, Matrix::Bt2020, Range::Limited, Transfer::Sdr).is_some());
        assert!(tone(PixelFormat::Bgrx, Matrix::Bt709, Range::Full, Transfer::Pq).is_some());
    }

    #[test]
    fn the_transfers_meet_their_tabulated_points() {
        // ST 2084: 58 % of the signal is 203 cd/m² (BT.2408, table 1), 75 % about 983, 50.8 % 100.
        for (signal, cd_m2, most) in [(0.5806, 203.0, 0.5), (0.5081, 100.0, 0.2), (0.7518, 1000.0, 1.0), (1.0, 10_000.0, 1e-6)] {
            assert!((pq_eotf(signal) - cd_m2).abs() <= most, "{signal}: {}", pq_eotf(signal));
            assert!((pq_inverse(cd_m2) - signal).abs() < 1e-4);
        }
        // BT.2100: half the signal is a twelfth of the scene's light; BT.2408: 75 % is reference white.
        assert!((hlg_scene(0.5) - 1.0 / 12.0).abs() < 1e-9 && (hlg_scene(1.0) - 1.0).abs() < 1e-6);
        assert!((MASTERING_PEAK_CD_M2 * hlg_scene(0.75).powf(1.2) - REFERENCE_WHITE_CD_M2).abs() < 1.0);
        // The EETF ends at its ends and does nothing below its knee.
        assert!((eetf(1000.0) - 203.0).abs() < 0.01 && (eetf(10_000.0) - 203.0).abs() < 0.01 && eetf(50.0) == 50.0);
    }

    /// Levels computed apart from this code, from the standards' formulas.
    #[test]
    fn grey_steps_come_out_as_computed_apart() {
        let pq = tone(PixelFormat::P010, Matrix::Bt2020, Range::Limited, Transfer::Pq).unwrap();
        let hlg = tone(PixelFormat::P010, Matrix::Bt2020, Range::Limited, Transfer::Hlg).unwrap();
        for (code, level) in PQ_LEVELS {
            assert!(grey(&pq, code).abs_diff(level) <= 1, "PQ {code}: {}, not {level}", grey(&pq, code));
        }
        for (code, level) in HLG_LEVELS {
            assert!(grey(&hlg, code).abs_diff(level) <= 1, "HLG {code}: {}, not {level}", grey(&hlg, code));
        }
    }

    #[test]
    fn brighter_is_never_darker_and_sdr_greys_stay_what_they_are() {
        for transfer in [Transfer::Sdr, Transfer::Hlg, Transfer::Pq] {
            let tone = tone(PixelFormat::V210, Matrix::Bt2020, Range::Full, transfer).unwrap();
            let greys: Vec<u8> = (0..1024).map(|code| grey(&tone, code)).collect();
            assert!(greys.is_sorted() && greys[0] == 0 && greys[1023] == 255, "{transfer:?}");
        }
        let sdr = tone(PixelFormat::Bgrx, Matrix::Bt2020, Range::Full, Transfer::Sdr).unwrap();
        for v in 0..=255u8 {
            let shown = grey(&sdr, Tone::codes_of_bytes([v; 3])[0]);
            // The darkest codes share 15-bit steps.
            assert!(shown.abs_diff(v) <= if v < 8 { 2 } else { 0 }, "{v} became {shown}");
        }
    }

    #[test]
    fn black_and_white_of_every_range_are_black_and_white() {
        for (format, range, black, white, grey) in [
            (PixelFormat::P010, Range::Limited, 64, 940, 512),
            (PixelFormat::Nv12, Range::Limited, 64, 940, 512),
            (PixelFormat::P010, Range::Full, 0, 1023, 512),
            (PixelFormat::Nv12, Range::Full, 0, 1020, 512),
        ] {
            let tone = tone(format, Matrix::Bt2020, range, Transfer::Sdr).unwrap();
            assert_eq!(tone.codes(black, grey, grey), [0; 3], "{format:?} {range:?}");
            assert_eq!(tone.codes(white, grey, grey), [1023; 3], "{format:?} {range:?}");
        }
    }

    /// A colour that BT.709 can show, given in BT.2020, comes back as itself.
    #[test]
    fn bt709_colours_survive_the_way_through_bt2020() {
        // BT.2087-0, table 2: BT.709 → BT.2020, linear.
        let there = [[0.6274, 0.3293, 0.0433], [0.0691, 0.9195, 0.0114], [0.0164, 0.0880, 0.8956]];
        let tone = tone(PixelFormat::Bgrx, Matrix::Bt2020, Range::Full, Transfer::Sdr).unwrap();
        for rgb in [[200u8, 60, 50], [230, 190, 120], [90, 200, 90], [40, 60, 180], [255, 0, 0], [120, 20, 30]] {
            let light = rgb.map(|v| (f64::from(v) / 255.0).powf(2.4));
            let codes = there.map(|[r, g, b]| {
                let light: f64 = r * light[0] + g * light[1] + b * light[2];
                (1023.0 * light.powf(1.0 / 2.4)).round() as usize
            });
            let shown = tone.shown(codes);
            let off = shown.iter().zip(rgb).map(|(a, b)| a.abs_diff(b)).max().unwrap();
            // Near 0 a step of the 10-bit code is several levels after the matrix.
            let most = if rgb.contains(&0) { 16 } else { 3 };
            assert!(off <= most, "{rgb:?} became {shown:?}");
        }
    }

    const PQ_LEVELS: [(usize, u8); 11] =
        [(0, 0), (100, 17), (200, 39), (300, 70), (400, 114), (520, 190), (594, 230), (650, 247), (700, 253), (769, 255), (1023, 255)];
    const HLG_LEVELS: [(usize, u8); 9] =
        [(0, 0), (100, 28), (250, 70), (400, 112), (512, 143), (650, 192), (767, 230), (900, 252), (1023, 255)];
}
