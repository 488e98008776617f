//! Reading Y'CbCr rows of any format in one form: a row of Y and a row of interleaved U V at half its width, in eight or
//! in ten bits, a piece at a time so that it stays in the nearest cache. Every consumer reads packed and 10-bit formats
//! through this; colour is not looked at here.
//!
//! ```text
//!   8 → 10 bits: v · 4          10 → 8 bits: min((v + 2) >> 2, 255)          4:2:0: chroma row y/2, else row y
//! ```
//! The scalar functions are the reference; `rows_avx2` is held to them by a property test.

use super::format::PixelFormat;
use super::layout::FrameView;

/// Most pixels of a piece: whole vectors, and whole v210 groups.
pub const PIECE_PIXELS: usize = 480;
/// A piece starts at a multiple of this: a v210 group, and an even column.
pub const GROUP_PIXELS: usize = 6;
const GROUP_BYTES: usize = 16;
/// Vectors write a little past the last pixel.
const SLACK: usize = 16;

/// One piece of a row. `T`: u8 or u16 (ten bits).
#[derive(Debug, Clone)]
pub struct Row<T> {
    y: [T; PIECE_PIXELS + SLACK],
    uv: [T; PIECE_PIXELS + SLACK],
    pixels: usize,
}

impl<T: Copy + Default> Default for Row<T> {
    fn default() -> Self {
        Row { y: [T::default(); PIECE_PIXELS + SLACK], uv: [T::default(); PIECE_PIXELS + SLACK], pixels: 0 }
    }
}

impl<T> Row<T> {
    pub fn y(&self) -> &[T] {
        &self.y[..self.pixels]
    }

    /// U and V of pixels 2i and 2i + 1 stand at 2i and 2i + 1.
    pub fn uv(&self) -> &[T] {
        &self.uv[..self.pixels.next_multiple_of(2)]
    }
}

/// The bytes of one piece.
struct Piece<'a> {
    format: PixelFormat,
    pixels: usize,
    /// Samples of luma or, of packed formats, all.
    first: &'a [u8],
    /// U V, or U; empty for packed formats.
    second: &'a [u8],
    /// V of I420.
    third: &'a [u8],
}

impl<'a> Piece<'a> {
    /// `x0`: a multiple of `GROUP_PIXELS` inside the picture.
    fn new(view: &FrameView<'a>, y: usize, x0: usize) -> Self {
        debug_assert!(x0.is_multiple_of(GROUP_PIXELS) && x0 < view.layout.width);
        let format = view.layout.format;
        let pixels = PIECE_PIXELS.min(view.layout.width - x0);
        let pairs = pixels.div_ceil(2);
        let (first, second, third): (_, &[u8], &[u8]) = match format {
            PixelFormat::Nv12 => (&view.row(0, y)[x0..][..pixels], &view.row(1, y / 2)[x0..][..2 * pairs], &[]),
            PixelFormat::I420 => {
                let chroma = |plane| &view.row(plane, y / 2)[x0 / 2..][..pairs];
                (&view.row(0, y)[x0..][..pixels], chroma(1), chroma(2))
            }
            PixelFormat::P010 => (&view.row(0, y)[2 * x0..][..2 * pixels], &view.row(1, y / 2)[2 * x0..][..4 * pairs], &[]),
            PixelFormat::Yuy2 | PixelFormat::Uyvy => (&view.row(0, y)[2 * x0..][..4 * pairs], &[], &[]),
            PixelFormat::V210 => {
                let groups = pixels.div_ceil(GROUP_PIXELS);
                (&view.row(0, y)[x0 / GROUP_PIXELS * GROUP_BYTES..][..GROUP_BYTES * groups], &[], &[])
            }
            // There is no Y'CbCr in it.
            PixelFormat::Rgb | PixelFormat::Bgrx | PixelFormat::Bgra => (&[], &[], &[]),
        };
        Piece { format, pixels: if format.is_rgb() { 0 } else { pixels }, first, second, third }
    }
}

impl Row<u8> {
    /// Reads the piece of row `y` that starts at `x0` (a multiple of `GROUP_PIXELS`); returns how many pixels it has:
    /// `PIECE_PIXELS`, or what is left of the row. RGB formats have none.
    pub fn unpack(&mut self, view: &FrameView<'_>, y: usize, x0: usize) -> usize {
        let piece = Piece::new(view, y, x0);
        self.pixels = piece.pixels;
        #[cfg(target_arch = "x86_64")]
        if std::is_x86_feature_detected!("avx2") {
            use super::rows_avx2 as avx2;
            // SAFETY: the processor has AVX2, asked just above; that is all these functions need.
            let done = unsafe {
                match piece.format {
                    PixelFormat::Yuy2 => avx2::split::<true>(piece.first, &mut self.y, &mut self.uv),
                    PixelFormat::Uyvy => avx2::split::<false>(piece.first, &mut self.y, &mut self.uv),
                    PixelFormat::P010 => avx2::narrow(piece.first, &mut self.y).min(avx2::narrow(piece.second, &mut self.uv)),
                    PixelFormat::V210 => avx2::v210_to_8(piece.first, &mut self.y, &mut self.uv),
                    _ => 0,
                }
            };
            self.scalar(&piece, done);
            return piece.pixels;
        }
        self.scalar(&piece, 0);
        piece.pixels
    }

    /// As `unpack`, by the reference.
    pub fn unpack_reference(&mut self, view: &FrameView<'_>, y: usize, x0: usize) -> usize {
        let piece = Piece::new(view, y, x0);
        self.pixels = piece.pixels;
        self.scalar(&piece, 0);
        piece.pixels
    }

    /// From pixel `done` (even; v210: of a whole group) on.
    fn scalar(&mut self, piece: &Piece<'_>, done: usize) {
        let (y, uv) = (&mut self.y[done..], &mut self.uv[done..]);
        match piece.format {
            PixelFormat::Nv12 => {
                y[..piece.pixels - done].copy_from_slice(&piece.first[done..]);
                uv[..piece.second.len() - done].copy_from_slice(&piece.second[done..]);
            }
            PixelFormat::I420 => {
                y[..piece.pixels - done].copy_from_slice(&piece.first[done..]);
                for ((uv, u), v) in uv.as_chunks_mut::<2>().0.iter_mut().zip(&piece.second[done / 2..]).zip(&piece.third[done / 2..]) {
                    *uv = [*u, *v];
                }
            }
            PixelFormat::Yuy2 | PixelFormat::Uyvy => {
                let pairs = piece.first[2 * done..].as_chunks::<4>().0;
                for ((y, uv), &[a, b, c, d]) in y.as_chunks_mut::<2>().0.iter_mut().zip(uv.as_chunks_mut::<2>().0).zip(pairs) {
                    (*y, *uv) = if piece.format == PixelFormat::Yuy2 { ([a, c], [b, d]) } else { ([b, d], [a, c]) };
                }
            }
            PixelFormat::P010 => {
                y.iter_mut().zip(p010(&piece.first[2 * done..])).for_each(|(to, ten)| *to = eight_bits(ten));
                uv.iter_mut().zip(p010(&piece.second[2 * done..])).for_each(|(to, ten)| *to = eight_bits(ten));
            }
            PixelFormat::V210 => v210(&piece.first[done / GROUP_PIXELS * GROUP_BYTES..], y, uv, eight_bits),
            PixelFormat::Rgb | PixelFormat::Bgrx | PixelFormat::Bgra => {}
        }
    }
}

impl Row<u16> {
    /// As `Row::<u8>::unpack`, in ten bits.
    pub fn unpack(&mut self, view: &FrameView<'_>, y: usize, x0: usize) -> usize {
        if !view.layout.format.is_ten_bit() {
            let mut eight = Row::<u8>::default();
            self.pixels = eight.unpack(view, y, x0);
            self.y.iter_mut().zip(eight.y()).for_each(|(to, &from)| *to = u16::from(from) << 2);
            self.uv.iter_mut().zip(eight.uv()).for_each(|(to, &from)| *to = u16::from(from) << 2);
            return self.pixels;
        }
        let piece = Piece::new(view, y, x0);
        self.pixels = piece.pixels;
        let mut done = 0;
        #[cfg(target_arch = "x86_64")]
        if piece.format == PixelFormat::V210 && std::is_x86_feature_detected!("avx2") {
            // SAFETY: the processor has AVX2, asked just above; that is all this function needs.
            done = unsafe { super::rows_avx2::v210_to_10(piece.first, &mut self.y, &mut self.uv) };
        }
        self.scalar(&piece, done);
        piece.pixels
    }

    /// As `unpack`, by the reference.
    pub fn unpack_reference(&mut self, view: &FrameView<'_>, y: usize, x0: usize) -> usize {
        if !view.layout.format.is_ten_bit() {
            return self.unpack(view, y, x0);
        }
        let piece = Piece::new(view, y, x0);
        self.pixels = piece.pixels;
        self.scalar(&piece, 0);
        piece.pixels
    }

    fn scalar(&mut self, piece: &Piece<'_>, done: usize) {
        if piece.format == PixelFormat::V210 {
            v210(&piece.first[done / GROUP_PIXELS * GROUP_BYTES..], &mut self.y[done..], &mut self.uv[done..], |ten| ten);
        } else {
            self.y.iter_mut().zip(p010(piece.first)).for_each(|(to, ten)| *to = ten);
            self.uv.iter_mut().zip(p010(piece.second)).for_each(|(to, ten)| *to = ten);
        }
    }
}

fn eight_bits(ten: u16) -> u8 {
    ((ten + 2) >> 2).min(255) as u8
}

fn p010(row: &[u8]) -> impl Iterator<Item = u16> {
    row.as_chunks::<2>().0.iter().map(|&word| u16::from_le_bytes(word) >> 6)
}

/// Whole groups of six pixels; `y` and `uv` have room for them.
fn v210<T: Copy>(row: &[u8], y: &mut [T], uv: &mut [T], of: impl Fn(u16) -> T) {
    let groups = row.as_chunks::<GROUP_BYTES>().0;
    for ((group, y), uv) in groups.iter().zip(y.as_chunks_mut::<GROUP_PIXELS>().0).zip(uv.as_chunks_mut::<GROUP_PIXELS>().0) {
        let sample = |word: usize, place: usize| {
            let bytes = &group[4 * word..][..4];
            of((u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]) >> (10 * place) & 0x3ff) as u16)
        };
        *y = [sample(0, 1), sample(1, 0), sample(1, 2), sample(2, 1), sample(3, 0), sample(3, 2)];
        *uv = [sample(0, 0), sample(0, 2), sample(1, 1), sample(2, 0), sample(2, 2), sample(3, 1)];
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::random::Random;
    use crate::frame::{Colorimetry, FrameLayout, Matrix, Range, testing};
    use proptest::prelude::*;

    const BT709: Colorimetry = Colorimetry::sdr(Matrix::Bt709, Range::Limited);

    fn luma(x: usize, y: usize) -> u16 {
        ((x * 37 + y * 11) % 1024) as u16
    }

    fn chroma(x: usize, y: usize) -> [u16; 2] {
        [((x * 53 + y * 7) % 1024) as u16, ((x * 5 + y * 91 + 300) % 1024) as u16]
    }

    /// What was packed comes out again: every format, at odd sizes, across pieces.
    #[test]
    fn rows_give_back_what_was_packed() {
        for format in PixelFormat::ALL.into_iter().filter(|format| !format.is_rgb()) {
            for (width, height) in [(16, 16), (101, 33), (1003, 18)] {
                let layout = FrameLayout::new(format, BT709, width, height).unwrap();
                let data = testing::pack(&layout, |x, y| [luma(x, y), chroma(x, y)[0], chroma(x, y)[1]]);
                let view = FrameView::new(&layout, &data).unwrap();
                let (mut eight, mut ten) = (Row::<u8>::default(), Row::<u16>::default());
                for y in 0..height {
                    for x0 in (0..width).step_by(PIECE_PIXELS) {
                        assert_eq!(eight.unpack(&view, y, x0), PIECE_PIXELS.min(width - x0));
                        assert_eq!(ten.unpack(&view, y, x0), eight.y().len());
                        for i in 0..eight.y().len() {
                            let x = x0 + i;
                            let at = if format.has_half_height_chroma() { (x / 2 * 2, y / 2 * 2) } else { (x / 2 * 2, y) };
                            let wish = [luma(x, y), chroma(at.0, at.1)[i % 2]];
                            // An odd width has no second pixel of its last pair, but its V.
                            let wish = wish.map(|ten| if format.is_ten_bit() { ten } else { ten >> 2 << 2 });
                            assert_eq!([ten.y()[i], ten.uv()[i]], wish, "{format:?} {width}×{height} at {x},{y}");
                            let round = |ten: u16| if format.is_ten_bit() { ((ten + 2) / 4).min(255) as u8 } else { (ten / 4) as u8 };
                            assert_eq!([eight.y()[i], eight.uv()[i]], wish.map(round), "{format:?} {width}×{height} at {x},{y}");
                        }
                    }
                }
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(100))]
        #[test]
        fn vectors_read_what_the_reference_reads(width in 16usize..1100, format in 0usize..6, start in 0usize..80, seed: u64) {
            let format = PixelFormat::ALL.into_iter().filter(|format| !format.is_rgb()).nth(format).unwrap();
            let layout = FrameLayout::new(format, BT709, width, 16).unwrap();
            let data = Random::new(seed).bytes(layout.size);
            let view = FrameView::new(&layout, &data).unwrap();
            let x0 = (start * GROUP_PIXELS).min((width - 1) / GROUP_PIXELS * GROUP_PIXELS);
            let (mut fast, mut reference) = (Row::<u8>::default(), Row::<u8>::default());
            prop_assert_eq!(fast.unpack(&view, 3, x0), reference.unpack_reference(&view, 3, x0));
            prop_assert!(fast.y() == reference.y() && fast.uv() == reference.uv());
            let (mut fast, mut reference) = (Row::<u16>::default(), Row::<u16>::default());
            prop_assert_eq!(fast.unpack(&view, 3, x0), reference.unpack_reference(&view, 3, x0));
            prop_assert!(fast.y() == reference.y() && fast.uv() == reference.uv());
        }
    }

    #[test]
    #[ignore = "a measurement"]
    fn time_of_unpacking_1080p() {
        for format in [PixelFormat::Yuy2, PixelFormat::Uyvy, PixelFormat::V210, PixelFormat::P010] {
            let layout = FrameLayout::new(format, BT709, 1920, 1080).unwrap();
            let data = Random::new(3).bytes(layout.size);
            let view = FrameView::new(&layout, &data).unwrap();
            let (mut eight, mut ten, mut sum) = (Row::<u8>::default(), Row::<u16>::default(), 0u64);
            let mut time = |name: &str, unpack: &mut dyn FnMut(usize, usize) -> u64| {
                let mut ms: Vec<f64> = (0..60)
                    .map(|_| {
                        let start = std::time::Instant::now();
                        (0..1080).for_each(|y| (0..1920).step_by(PIECE_PIXELS).for_each(|x| sum += unpack(y, x)));
                        start.elapsed().as_secs_f64() * 1e3
                    })
                    .collect();
                ms.sort_by(f64::total_cmp);
                println!("unpack 1080p {} to {name} bits: best {:.3} ms, median {:.3} ms", format.name(), ms[0], ms[30]);
            };
            time("8", &mut |y, x| (eight.unpack(&view, y, x) as u64) ^ u64::from(eight.y()[7]));
            time("10", &mut |y, x| (ten.unpack(&view, y, x) as u64) ^ u64::from(ten.y()[7]));
            assert!(sum > 0);
        }
    }
}
