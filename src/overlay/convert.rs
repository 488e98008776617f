//! Captured planes → BGRX8, specified in integers so that every implementation gives the same bytes.
//!
//! ```text
//!   Y, U, V: 8-bit samples; chroma of pixel (x, y) is sample (x/2, y/2): replicated, never interpolated
//!   R = clamp((cy·(Y − y_off)                 + rv·(V − 128) + 8192) >> 14)      i32, arithmetic shift
//!   G = clamp((cy·(Y − y_off) − gu·(U − 128) − gv·(V − 128) + 8192) >> 14)      coefficients: 14 fraction bits
//!   B = clamp((cy·(Y − y_off) + bu·(U − 128)                 + 8192) >> 14)      X = 255
//! ```
//! RGB is only reordered. 10-bit samples are rounded to eight bits first (`frame::rows`). What is not BT.601 or BT.709 in
//! SDR goes through `frame::Tone` instead (`convert_tone`). The functions here are the reference; `convert_avx2` is held
//! to them by a property test, `shaders/compose.wgsl` by the golden pictures.

use crate::base::simd::wide;
use crate::frame::rows::{self, PIECE_PIXELS};
use crate::frame::{Colorimetry, FrameView, Matrix, PixelFormat, Range, Tone};
use crate::overlay::Rect;
use crate::overlay::convert_tone::convert_tone;

#[cfg(target_arch = "x86_64")]
use crate::overlay::convert_avx2 as avx2;

/// 14-bit fixed-point coefficients of one matrix and range.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Coefficients {
    pub y_offset: i32,
    pub cy: i32,
    pub rv: i32,
    pub gu: i32,
    pub gv: i32,
    pub bu: i32,
}

impl Coefficients {
    /// ITU-R BT.601-7, BT.709-6 and BT.2020-2, rounded to 1/16384.
    pub const fn of(colorimetry: Colorimetry) -> Self {
        match (colorimetry.matrix, colorimetry.range) {
            (Matrix::Bt601, Range::Limited) => Coefficients { y_offset: 16, cy: 19077, rv: 26149, gu: 6419, gv: 13320, bu: 33050 },
            (Matrix::Bt709, Range::Limited) => Coefficients { y_offset: 16, cy: 19077, rv: 29372, gu: 3494, gv: 8731, bu: 34610 },
            (Matrix::Bt2020, Range::Limited) => Coefficients { y_offset: 16, cy: 19077, rv: 27503, gu: 3069, gv: 10657, bu: 35091 },
            (Matrix::Bt601, Range::Full) => Coefficients { y_offset: 0, cy: 16384, rv: 22970, gu: 5638, gv: 11700, bu: 29032 },
            (Matrix::Bt709, Range::Full) => Coefficients { y_offset: 0, cy: 16384, rv: 25802, gu: 3069, gv: 7670, bu: 30402 },
            (Matrix::Bt2020, Range::Full) => Coefficients { y_offset: 0, cy: 16384, rv: 24160, gu: 2696, gv: 9361, bu: 30825 },
        }
    }

    /// One pixel as B, G, R, X.
    pub fn bgrx(&self, y: u8, u: u8, v: u8) -> [u8; 4] {
        let y = self.cy * (i32::from(y) - self.y_offset) + 8192;
        let (u, v) = (i32::from(u) - 128, i32::from(v) - 128);
        let clamp = |x: i32| (x >> 14).clamp(0, 255) as u8;
        [clamp(y + self.bu * u), clamp(y - self.gu * u - self.gv * v), clamp(y + self.rv * v), 255]
    }
}

/// Which implementation runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Path {
    Reference,
    /// The fastest that this machine has.
    Fastest,
}

/// Converts the part of the picture inside `rect` (clipped to the picture). `target` holds the whole picture: pixel
/// (x, y) is the four bytes at `y * stride + 4 * x`; nothing outside `rect` is written.
pub fn convert(view: &FrameView<'_>, rect: Rect, target: &mut [u8], stride: usize) {
    convert_by(Path::Fastest, view, rect, target, stride);
}

/// As `convert`, by a given implementation.
pub fn convert_by(path: Path, view: &FrameView<'_>, rect: Rect, target: &mut [u8], stride: usize) {
    let layout = view.layout;
    let rect = rect.clipped(layout.width, layout.height);
    if rect.is_empty() {
        return;
    }
    if let Some(tone) = Tone::of(layout) {
        return convert_tone(path, &tone, view, rect, target, stride);
    }
    let k = Coefficients::of(layout.colorimetry);
    let mut piece = rows::Row::<u8>::default();
    for y in rect.y0..rect.y1 {
        let out = &mut target[y * stride + 4 * rect.x0..y * stride + 4 * rect.x1];
        let span = Span { path, k: &k, x0: rect.x0, x1: rect.x1 };
        let first = view.row(0, y);
        match layout.format {
            PixelFormat::Nv12 => span.semi_planar(first, view.row(1, y / 2), out),
            PixelFormat::I420 => span.planar(first, view.row(1, y / 2), view.row(2, y / 2), out),
            PixelFormat::Rgb => span.rgb(first, out),
            PixelFormat::Bgrx | PixelFormat::Bgra => opaque(&first[4 * rect.x0..4 * rect.x1], out),
            PixelFormat::Yuy2 | PixelFormat::Uyvy | PixelFormat::V210 | PixelFormat::P010 => {
                for start in pieces(rect) {
                    let pixels = match path {
                        Path::Fastest => piece.unpack(view, y, start),
                        Path::Reference => piece.unpack_reference(view, y, start),
                    };
                    let (from, to) = (rect.x0.max(start), rect.x1.min(start + pixels));
                    let out = &mut out[4 * (from - rect.x0)..4 * (to - rect.x0)];
                    Span { x0: from - start, x1: to - start, ..span }.semi_planar(piece.y(), piece.uv(), out);
                }
            }
        }
    }
}

/// Where the pieces of a row start that cover `rect`.
pub(super) fn pieces(rect: Rect) -> impl Iterator<Item = usize> {
    (rect.x0 / rows::GROUP_PIXELS * rows::GROUP_PIXELS..rect.x1).step_by(PIECE_PIXELS)
}

wide! {
    fn opaque(bgrx: &[u8], out: &mut [u8]) {
        for (out, &[b, g, r, _]) in out.as_chunks_mut::<4>().0.iter_mut().zip(bgrx.as_chunks::<4>().0) {
            *out = [b, g, r, 255];
        }
    }
}

/// The columns of a row that are converted; `out` starts with the first of them.
#[derive(Clone, Copy)]
struct Span<'a> {
    path: Path,
    k: &'a Coefficients,
    x0: usize,
    x1: usize,
}

impl Span<'_> {
    /// Vectors start at an even column, where a chroma sample starts.
    fn even(&self) -> usize {
        self.x0.next_multiple_of(2).min(self.x1)
    }

    fn has_vectors(&self) -> bool {
        #[cfg(target_arch = "x86_64")]
        return self.path == Path::Fastest && self.even() < self.x1 && std::is_x86_feature_detected!("avx2");
        #[cfg(not(target_arch = "x86_64"))]
        false
    }

    /// Runs `pixel` where no vector ran: before the even column, and behind what `vector` did from there on.
    fn finish(&self, out: &mut [u8], vector: impl FnOnce(usize, &mut [u8]) -> usize, pixel: impl Fn(usize) -> [u8; 4]) {
        let even = self.even();
        let (head, rest) = out.split_at_mut(4 * (even - self.x0));
        let done = if self.has_vectors() { vector(even, rest) } else { 0 };
        head.as_chunks_mut::<4>().0.iter_mut().zip(self.x0..).for_each(|(out, x)| *out = pixel(x));
        rest.as_chunks_mut::<4>().0[done..].iter_mut().zip(even + done..self.x1).for_each(|(out, x)| *out = pixel(x));
    }

    fn semi_planar(&self, y: &[u8], uv: &[u8], out: &mut [u8]) {
        let vector = |even: usize, out: &mut [u8]| {
            #[cfg(target_arch = "x86_64")]
            // SAFETY: called only after `has_vectors`: the processor has AVX2, which is all that the function needs.
            return unsafe { avx2::nv12(self.k, &y[even..self.x1], &uv[even..], out) };
            #[cfg(not(target_arch = "x86_64"))]
            0
        };
        self.finish(out, vector, |x| self.k.bgrx(y[x], uv[x / 2 * 2], uv[x / 2 * 2 + 1]));
    }

    fn planar(&self, y: &[u8], u: &[u8], v: &[u8], out: &mut [u8]) {
        let vector = |even: usize, out: &mut [u8]| {
            #[cfg(target_arch = "x86_64")]
            // SAFETY: as in `semi_planar`.
            return unsafe { avx2::i420(self.k, &y[even..self.x1], &u[even / 2..], &v[even / 2..], out) };
            #[cfg(not(target_arch = "x86_64"))]
            0
        };
        self.finish(out, vector, |x| self.k.bgrx(y[x], u[x / 2], v[x / 2]));
    }

    fn rgb(&self, rgb: &[u8], out: &mut [u8]) {
        let vector = |even: usize, out: &mut [u8]| {
            #[cfg(target_arch = "x86_64")]
            // SAFETY: as in `semi_planar`.
            return unsafe { avx2::rgb(&rgb[3 * even..3 * self.x1], out) };
            #[cfg(not(target_arch = "x86_64"))]
            0
        };
        self.finish(out, vector, |x| [rgb[3 * x + 2], rgb[3 * x + 1], rgb[3 * x], 255]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::overlay::testing::{self, ALL_COLORIMETRIES, COLORIMETRIES, FORMATS, Owned};
    use proptest::prelude::*;

    #[test]
    fn coefficients_are_the_standards_rounded() {
        let bt2020 = [Range::Limited, Range::Full].map(|range| Colorimetry::sdr(Matrix::Bt2020, range));
        for colorimetry in COLORIMETRIES.into_iter().chain(bt2020) {
            let (kr, kb) = colorimetry.matrix.kr_kb();
            let kg = 1.0 - kr - kb;
            let (sy, sc) = if colorimetry.range == Range::Limited { (255.0 / 219.0, 255.0 / 224.0) } else { (1.0, 1.0) };
            let k = Coefficients::of(colorimetry);
            let fixed = |v: f64| (v * 16384.0).round() as i32;
            assert_eq!(
                [k.cy, k.rv, k.gu, k.gv, k.bu],
                [
                    fixed(sy),
                    fixed(2.0 * (1.0 - kr) * sc),
                    fixed(2.0 * (1.0 - kb) * kb / kg * sc),
                    fixed(2.0 * (1.0 - kr) * kr / kg * sc),
                    fixed(2.0 * (1.0 - kb) * sc)
                ],
                "{colorimetry:?}"
            );
        }
    }

    /// 75 % and 100 % bars, limited range, as the standards' test signals tabulate them (8 bits).
    #[test]
    fn tabulated_colour_bars_come_out_as_their_rgb() {
        let bt601_100 = [
            ([235, 128, 128], [255, 255, 255]),
            ([210, 16, 146], [255, 255, 0]),
            ([170, 166, 16], [0, 255, 255]),
            ([145, 54, 34], [0, 255, 0]),
            ([106, 202, 222], [255, 0, 255]),
            ([81, 90, 240], [255, 0, 0]),
            ([41, 240, 110], [0, 0, 255]),
            ([16, 128, 128], [0, 0, 0]),
        ];
        let bt709_75 = [
            ([180, 128, 128], [191, 191, 191]),
            ([168, 44, 136], [191, 191, 0]),
            ([145, 147, 44], [0, 191, 191]),
            ([134, 63, 52], [0, 191, 0]),
            ([63, 193, 204], [191, 0, 191]),
            ([51, 109, 212], [191, 0, 0]),
            ([28, 212, 120], [0, 0, 191]),
        ];
        for (matrix, bars) in [(Matrix::Bt601, &bt601_100[..]), (Matrix::Bt709, &bt709_75[..])] {
            let k = Coefficients::of(Colorimetry::sdr(matrix, Range::Limited));
            for ([y, u, v], rgb) in bars {
                let [b, g, r, x] = k.bgrx(*y, *u, *v);
                let off = [r, g, b].iter().zip(rgb).map(|(a, b): (&u8, &i32)| (i32::from(*a) - b).abs()).max().unwrap();
                // The tabulated triples are rounded themselves.
                assert!(off <= 1 && x == 255, "{matrix:?} {y} {u} {v}: {r} {g} {b} instead of {rgb:?}");
            }
        }
    }

    /// Both matrices and ranges: real-valued R'G'B' of a sample, and the integers are within one of it.
    #[test]
    fn bars_of_every_colorimetry_are_within_one_of_the_real_valued_matrix() {
        for colorimetry in COLORIMETRIES {
            let (kr, kb) = colorimetry.matrix.kr_kb();
            let limited = colorimetry.range == Range::Limited;
            let (sy, sc, off) = if limited { (219.0 / 255.0, 224.0 / 255.0, 16.0) } else { (1.0, 1.0, 0.0) };
            for bar in 0..8 {
                for level in [255.0, 191.25] {
                    let [r, g, b] = [bar & 1, bar >> 1 & 1, bar >> 2 & 1].map(|bit| f64::from(bit) * level);
                    let luma = kr * r + (1.0 - kr - kb) * g + kb * b;
                    let y = (luma * sy + off).round().clamp(0.0, 255.0);
                    let u = ((b - luma) / (2.0 * (1.0 - kb)) * sc + 128.0).round().clamp(0.0, 255.0);
                    let v = ((r - luma) / (2.0 * (1.0 - kr)) * sc + 128.0).round().clamp(0.0, 255.0);
                    // What the rounded sample means, in real numbers.
                    let (ly, lu, lv) = ((y - off) / sy, (u - 128.0) / sc, (v - 128.0) / sc);
                    let wish_r = ly + 2.0 * (1.0 - kr) * lv;
                    let wish_b = ly + 2.0 * (1.0 - kb) * lu;
                    let wish_g = (ly - kr * wish_r - kb * wish_b) / (1.0 - kr - kb);
                    let [got_b, got_g, got_r, _] = Coefficients::of(colorimetry).bgrx(y as u8, u as u8, v as u8);
                    for (got, wish) in [(got_r, wish_r), (got_g, wish_g), (got_b, wish_b)] {
                        let wish = wish.clamp(0.0, 255.0);
                        assert!((f64::from(got) - wish).abs() <= 0.51, "{colorimetry:?} bar {bar}: {got} against {wish}");
                    }
                }
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]
        #[test]
        fn every_path_gives_the_references_bytes_and_writes_nothing_else(
            width in 16usize..150, wide: bool, height in 16usize..24, format in 0..FORMATS.len(), colorimetry in 0..ALL_COLORIMETRIES.len(), seed: u64,
            corner in (0usize..150, 0usize..24), size in (0usize..150, 0usize..24), pad in 0usize..9) {
            // Beyond one piece of a row, too.
            let (width, left) = if wide { (width + 470, 470) } else { (width, 0) };
            let picture = Owned::noise(FORMATS[format], ALL_COLORIMETRIES[colorimetry], width, height, seed);
            let rect = Rect { x0: left + corner.0, y0: corner.1, x1: left + corner.0 + size.0, y1: corner.1 + size.1 };
            let stride = 4 * (width + pad);
            let mut reference = vec![0x5a; stride * height];
            let mut fastest = reference.clone();
            convert_by(Path::Reference, &picture.view(), rect, &mut reference, stride);
            convert_by(Path::Fastest, &picture.view(), rect, &mut fastest, stride);
            prop_assert!(reference == fastest);
            let rect = rect.clipped(width, height);
            for y in 0..height {
                for x in 0..stride / 4 {
                    let pixel = &reference[y * stride + 4 * x..][..4];
                    prop_assert_eq!(rect.contains(x, y), pixel != [0x5a; 4], "X is 255 inside, nothing is written outside");
                }
            }
        }
    }

    #[test]
    #[ignore = "a measurement"]
    fn time_of_1080p() {
        let mut cases: Vec<_> = FORMATS.into_iter().map(|format| (format, ALL_COLORIMETRIES[1])).collect();
        cases.extend(ALL_COLORIMETRIES[4..].iter().map(|&colorimetry| (PixelFormat::P010, colorimetry)));
        for (format, colorimetry) in cases {
            for (width, height) in [(1920, 1080), (3840, 2160)] {
                let picture = Owned::noise(format, colorimetry, width, height, 3);
                let mut target = vec![0; width * height * 4];
                let view = picture.view();
                let what = format!("convert {height} {} {:?} {:?}", format.name(), colorimetry.matrix, colorimetry.transfer);
                testing::report_ms(&what, || convert(&view, Rect::whole(width, height), &mut target, width * 4));
            }
        }
    }
}
