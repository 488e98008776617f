//! Wide-gamut and high-dynamic-range pictures → BGRX8 by `frame::Tone`, from ten bits where the source has ten.

use crate::frame::{FrameView, PixelFormat, Tone, rows};
use crate::overlay::Rect;
use crate::overlay::convert::{Path, pieces};

/// As `convert::convert_by` for a `rect` inside the picture.
pub(super) fn convert_tone(path: Path, tone: &Tone, view: &FrameView<'_>, rect: Rect, target: &mut [u8], stride: usize) {
    let mut piece = rows::Row::<u16>::default();
    for y in rect.y0..rect.y1 {
        let out = &mut target[y * stride + 4 * rect.x0..y * stride + 4 * rect.x1];
        let first = view.row(0, y);
        match view.layout.format {
            PixelFormat::Rgb => {
                for (out, &rgb) in out.as_chunks_mut::<4>().0.iter_mut().zip(&first.as_chunks::<3>().0[rect.x0..]) {
                    *out = bgrx(tone.shown(Tone::codes_of_bytes(rgb)));
                }
            }
            PixelFormat::Bgrx | PixelFormat::Bgra => {
                for (out, &[b, g, r, _]) in out.as_chunks_mut::<4>().0.iter_mut().zip(&first.as_chunks::<4>().0[rect.x0..]) {
                    *out = bgrx(tone.shown(Tone::codes_of_bytes([r, g, b])));
                }
            }
            _ => {
                for start in pieces(rect) {
                    let pixels = match path {
                        Path::Fastest => piece.unpack(view, y, start),
                        Path::Reference => piece.unpack_reference(view, y, start),
                    };
                    let (from, to) = (rect.x0.max(start), rect.x1.min(start + pixels));
                    let out = &mut out[4 * (from - rect.x0)..4 * (to - rect.x0)];
                    row(path, tone, (piece.y(), piece.uv()), from - start, to - start, out);
                }
            }
        }
    }
}

/// Columns `x0..x1` of a piece; `out` starts with the first of them.
fn row(path: Path, tone: &Tone, (y, uv): (&[u16], &[u16]), x0: usize, x1: usize, out: &mut [u8]) {
    // Vectors start at an even column, where a chroma sample starts.
    let even = x0.next_multiple_of(2).min(x1);
    let scalar = |from: usize, out: &mut [u8]| {
        for (out, x) in out.as_chunks_mut::<4>().0.iter_mut().zip(from..x1) {
            *out = bgrx(tone.shown(tone.codes(y[x], uv[x / 2 * 2], uv[x / 2 * 2 + 1])));
        }
    };
    let (head, rest) = out.split_at_mut(4 * (even - x0));
    scalar(x0, head);
    let mut done = 0;
    #[cfg(target_arch = "x86_64")]
    if path == Path::Fastest && even < x1 && std::is_x86_feature_detected!("avx2") {
        // SAFETY: the processor has AVX2, asked just above; that is all this function needs.
        done = unsafe { super::convert_avx2::tone(tone, &y[even..x1], &uv[even..], rest) };
    }
    scalar(even + done, &mut rest[4 * done..]);
}

fn bgrx([r, g, b]: [u8; 3]) -> [u8; 4] {
    [b, g, r, 255]
}
