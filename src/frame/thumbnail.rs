//! A picture's light from afar, small enough to be looked at with every frame.

use super::{FrameView, PixelFormat};

pub const WIDTH: usize = 160;
pub const HEIGHT: usize = 90;
/// Source rows and columns read for one sample, each.
const TAPS: usize = 4;

/// Light of `view` (RGB formats: green; 10 bits: the upper eight), box-sampled: `WIDTH · HEIGHT` levels. Allocates nothing.
pub fn sample(view: &FrameView<'_>, into: &mut [u8]) {
    match step_and_place(view.layout.format) {
        Some((step, place)) => sample_by(view, into, |x| step * x + place, |row, at| row[at]),
        None => sample_by(view, into, v210_light, |row, at| (u16::from_le_bytes([row[at >> 3], row[(at >> 3) + 1]]) >> (at & 7)) as u8),
    }
}

/// Sample x of a row is byte step · x + place of it. None: v210, where it is none.
pub fn step_and_place(format: PixelFormat) -> Option<(usize, usize)> {
    Some(match format {
        PixelFormat::V210 => return None,
        PixelFormat::Nv12 | PixelFormat::I420 => (1, 0),
        PixelFormat::Rgb => (3, 1),
        PixelFormat::Bgrx | PixelFormat::Bgra => (4, 1),
        PixelFormat::Yuy2 => (2, 0),
        PixelFormat::Uyvy | PixelFormat::P010 => (2, 1),
    })
}

/// `place`: where in a row the sample of a column is; `read`: that sample.
#[inline(always)]
fn sample_by(view: &FrameView<'_>, into: &mut [u8], place: impl Fn(usize) -> usize, read: impl Fn(&[u8], usize) -> u8) {
    let (width, height) = (view.layout.width, view.layout.height);
    let (across, down) = (WIDTH * TAPS, HEIGHT * TAPS);
    let columns: [u32; WIDTH * TAPS] = std::array::from_fn(|i| place((2 * i + 1) * width / (2 * across)) as u32);
    for (y, samples) in into.chunks_exact_mut(WIDTH).enumerate() {
        let mut sums = [0u16; WIDTH];
        for tap in 0..TAPS {
            let row = view.row(0, (2 * (y * TAPS + tap) + 1) * height / (2 * down));
            for (sum, columns) in sums.iter_mut().zip(columns.as_chunks::<TAPS>().0) {
                *sum += columns.iter().map(|&column| u16::from(read(row, column as usize))).sum::<u16>();
            }
        }
        for (sample, sum) in samples.iter_mut().zip(sums) {
            *sample = (sum / (TAPS * TAPS) as u16) as u8;
        }
    }
}

/// Bit of a v210 row at which the upper eight bits of a column's luma start, rounded down to a byte, with the rest below it:
/// byte · 8 + shift.
fn v210_light(x: usize) -> usize {
    // The group's samples 1, 3, 5, 7, 9, 11 in words of three: first byte and shift of their upper eight bits.
    const PLACES: [(usize, usize); 6] = [(1, 4), (4, 2), (6, 6), (9, 4), (12, 2), (14, 6)];
    let (byte, shift) = PLACES[x % 6];
    8 * (x / 6 * 16 + byte) + shift
}
