//! Pictures for tests of this room and of those that read frames.

use super::{FrameLayout, PixelFormat};

/// A picture given by three 10-bit samples a pixel: Y, U, V, or R, G, B for RGB formats; eight bits are their upper ones.
/// Chroma is that of the first pixel under a sample. Padding is zero, alpha and X are 9.
pub fn pack(layout: &FrameLayout, samples: impl Fn(usize, usize) -> [u16; 3]) -> Vec<u8> {
    let mut data = vec![0; layout.size];
    for (index, plane) in layout.planes().iter().enumerate() {
        for y in 0..plane.rows {
            let row = &mut data[plane.offset + y * plane.stride..][..plane.row_bytes];
            let eight = |x: usize, y: usize, which: usize| (samples(x, y)[which] >> 2) as u8;
            let word = |x: usize, y: usize, which: usize| samples(x, y)[which] << 6;
            if layout.format == PixelFormat::V210 {
                for (i, group) in row.as_chunks_mut::<16>().0.iter_mut().enumerate() {
                    let at = |x: usize, which: usize| u32::from(samples((6 * i + x).min(layout.width - 1), y)[which]);
                    let pair = |x: usize, which: usize| u32::from(samples((6 * i + x).min((layout.width - 1) / 2 * 2), y)[which]);
                    let words = [
                        [pair(0, 1), at(0, 0), pair(0, 2)],
                        [at(1, 0), pair(2, 1), at(2, 0)],
                        [pair(2, 2), at(3, 0), pair(4, 1)],
                        [at(4, 0), pair(4, 2), at(5, 0)],
                    ];
                    for (to, [low, middle, high]) in group.as_chunks_mut::<4>().0.iter_mut().zip(words) {
                        *to = (low | middle << 10 | high << 20).to_le_bytes();
                    }
                }
                continue;
            }
            for (at, byte) in row.iter_mut().enumerate() {
                *byte = match (layout.format, index) {
                    (PixelFormat::Rgb, _) => eight(at / 3, y, at % 3),
                    (PixelFormat::Bgrx | PixelFormat::Bgra, _) => {
                        [eight(at / 4, y, 2), eight(at / 4, y, 1), eight(at / 4, y, 0), 9][at % 4]
                    }
                    (PixelFormat::Yuy2, _) => eight(if at % 2 == 0 { at / 2 } else { at / 4 * 2 }, y, [0, 1, 0, 2][at % 4]),
                    (PixelFormat::Uyvy, _) => eight(if at % 2 == 1 { at / 2 } else { at / 4 * 2 }, y, [1, 0, 2, 0][at % 4]),
                    (PixelFormat::P010, 0) => word(at / 2, y, 0).to_le_bytes()[at % 2],
                    (PixelFormat::P010, _) => word(at / 4 * 2, 2 * y, 1 + at / 2 % 2).to_le_bytes()[at % 2],
                    (_, 0) => eight(at, y, 0),
                    (PixelFormat::Nv12, _) => eight(at / 2 * 2, 2 * y, 1 + at % 2),
                    (_, plane) => eight(at * 2, 2 * y, plane),
                };
            }
        }
    }
    data
}
