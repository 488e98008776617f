//! Eight colour bars and eight grey steps: what they are, what is seen of them, and which fault that is.
//! Bars are at 75 %, so that a wrong matrix clips none of them; the greys reach both ends, which tells a wrong range.

use super::geometry::Geometry;
use super::layout::{BAR_HEIGHT, BAR_WIDTH, BARS, FIRST_BAR};
use super::reader::Capture;
use crate::frame::{Matrix, Range};

/// Colour bars from white to black, then greys from black to white.
pub const COLOURS: usize = 2 * BARS;
/// What is left out at each side of a bar, in blocks: there chroma and a scaler mix neighbours.
const MARGIN: f32 = 0.75;
/// Samples across and down a bar.
const SAMPLES: usize = 12;

/// What the bytes of a picture mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Signal {
    pub matrix: Matrix,
    pub range: Range,
}

impl Signal {
    /// Y', Cb, Cr of R'G'B' in 0..1.
    pub fn ycbcr(self, rgb: [f32; 3]) -> [u8; 3] {
        self.ycbcr_unrounded(rgb).map(|v| (v + 0.5) as u8)
    }

    /// R'G'B' bytes of R'G'B' in 0..1; the matrix plays no part.
    pub fn rgb(self, rgb: [f32; 3]) -> [u8; 3] {
        let [offset, span, _] = self.spans();
        rgb.map(|v| (offset + span * v + 0.5) as u8)
    }

    /// Offset and span of luma, span of chroma.
    fn spans(self) -> [f32; 3] {
        match self.range {
            Range::Limited => [16.0, 219.0, 224.0],
            Range::Full => [0.0, 255.0, 255.0],
        }
    }

    fn ycbcr_unrounded(self, [r, g, b]: [f32; 3]) -> [f32; 3] {
        let [offset, span, chroma] = self.spans();
        let (kr, kb) = self.shares();
        let y = kr * r + (1.0 - kr - kb) * g + kb * b;
        [offset + span * y, 128.0 + chroma * (b - y) / (2.0 - 2.0 * kb), 128.0 + chroma * (r - y) / (2.0 - 2.0 * kr)]
    }

    /// R'G'B' 0..255, clipped.
    fn shown(self, [y, cb, cr]: [f32; 3]) -> [f32; 3] {
        let [offset, span, chroma] = self.spans();
        let (kr, kb) = self.shares();
        let (y, cb, cr) = ((y - offset) / span, (cb - 128.0) / chroma, (cr - 128.0) / chroma);
        let (r, b) = (y + cr * (2.0 - 2.0 * kr), y + cb * (2.0 - 2.0 * kb));
        [r, (y - kr * r - kb * b) / (1.0 - kr - kb), b].map(|v| (255.0 * v).clamp(0.0, 255.0))
    }

    fn shares(self) -> (f32, f32) {
        let (kr, kb) = self.matrix.kr_kb();
        (kr as f32, kb as f32)
    }
}

/// R'G'B' of bar `index`, 0..1.
pub(super) fn bar(index: usize) -> [f32; 3] {
    if index >= BARS {
        return [(index - BARS) as f32 / (BARS - 1) as f32; 3];
    }
    // White, yellow, cyan, green, magenta, red, blue, black: by falling luma.
    let falling = BARS - 1 - index;
    [falling >> 1 & 1, falling >> 2 & 1, falling & 1].map(|on| 0.75 * on as f32)
}

/// R'G'B' 0..255 of each bar on a display that shows full range, as it should be.
pub fn expected_colours() -> [[f32; 3]; COLOURS] {
    std::array::from_fn(|index| bar(index).map(|v| 255.0 * v))
}

/// Mean R'G'B' of each bar in a BGRX capture. `stride` in bytes. None: the plane is smaller than it should be, or a bar lies outside it.
pub fn colours(bgrx: &[u8], stride: usize, width: usize, height: usize, geometry: &Geometry) -> Option<[[f32; 3]; COLOURS]> {
    let capture = Capture::bgrx(bgrx, stride, width, height)?;
    let mut means = [[0.0; 3]; COLOURS];
    for (index, mean) in means.iter_mut().enumerate() {
        let left = (FIRST_BAR.0 + index % BARS * BAR_WIDTH) as f32 + MARGIN;
        let top = (FIRST_BAR.1 + index / BARS * BAR_HEIGHT) as f32 + MARGIN;
        let (across, down) = (BAR_WIDTH as f32 - 2.0 * MARGIN, BAR_HEIGHT as f32 - 2.0 * MARGIN);
        let mut sums = [0_u32; 3];
        for sample in 0..SAMPLES * SAMPLES {
            let part = |i: usize| (i as f32 + 0.5) / SAMPLES as f32;
            let (x, y) = geometry.at(left + across * part(sample % SAMPLES), top + down * part(sample / SAMPLES));
            if !capture.contains(x, y) {
                return None;
            }
            let at = y as usize * stride + x as usize * 4;
            for (sum, byte) in sums.iter_mut().zip([2, 1, 0]) {
                *sum += u32::from(bgrx[at + byte]);
            }
        }
        *mean = sums.map(|sum| sum as f32 / (SAMPLES * SAMPLES) as f32);
    }
    Some(means)
}

/// What is wrong with the colours of a path, where one known mistake explains what is seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ColourFault {
    /// Y'CbCr of one matrix read with the other's.
    Matrix { encoded: Matrix, decoded: Matrix },
    /// Limited range shown as if it were full: black is grey, white is dull.
    LimitedShownAsFull,
    /// Full range shown as if it were limited: shadows and lights are clipped.
    FullShownAsLimited,
    /// Red and blue, or Cb and Cr, are exchanged.
    Exchanged,
    /// Off, and by none of the above.
    Other,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ColourVerdict {
    /// None: all bars within the tolerance.
    pub fault: Option<ColourFault>,
    /// Largest difference of a channel of a bar from what it should be, in levels of 255.
    pub error: f32,
}

/// Judges what `colours` saw. `tolerance` in levels of 255; 6 covers rounding, chroma at half size and light compression.
pub fn judge_colours(seen: &[[f32; 3]; COLOURS], tolerance: f32) -> ColourVerdict {
    use Matrix::{Bt601, Bt709};
    let off = |as_shown: &dyn Fn([f32; 3]) -> [f32; 3]| {
        let channels = seen.iter().enumerate().flat_map(|(index, seen)| {
            let shown = as_shown(bar(index));
            (0..3).map(move |i| (seen[i] - shown[i]).abs())
        });
        channels.fold(0.0, f32::max)
    };
    let through = |encoded: Signal, decoded: Signal| off(&|rgb| decoded.shown(encoded.ycbcr_unrounded(rgb)));
    let limited = |matrix| Signal { matrix, range: Range::Limited };
    let full = |matrix| Signal { matrix, range: Range::Full };
    let error = off(&|rgb| rgb.map(|v| 255.0 * v));
    if error <= tolerance {
        return ColourVerdict { fault: None, error };
    }
    let suspects = [
        (ColourFault::Matrix { encoded: Bt601, decoded: Bt709 }, through(limited(Bt601), limited(Bt709))),
        (ColourFault::Matrix { encoded: Bt709, decoded: Bt601 }, through(limited(Bt709), limited(Bt601))),
        (ColourFault::LimitedShownAsFull, through(limited(Bt709), full(Bt709))),
        (ColourFault::FullShownAsLimited, through(full(Bt709), limited(Bt709))),
        // The same without Y'CbCr in between: R'G'B' levels themselves.
        (ColourFault::LimitedShownAsFull, off(&|rgb| rgb.map(|v| 16.0 + 219.0 * v))),
        (ColourFault::FullShownAsLimited, off(&|rgb| rgb.map(|v| ((255.0 * v - 16.0) * 255.0 / 219.0).clamp(0.0, 255.0)))),
        (ColourFault::Exchanged, off(&|[r, g, b]| [b, g, r].map(|v| 255.0 * v))),
        (
            ColourFault::Exchanged,
            off(&|rgb| {
                let [y, cb, cr] = limited(Bt709).ycbcr_unrounded(rgb);
                limited(Bt709).shown([y, cr, cb])
            }),
        ),
    ];
    let (fault, left) = suspects.into_iter().min_by(|a, b| a.1.total_cmp(&b.1)).unwrap_or((ColourFault::Other, error));
    ColourVerdict { fault: Some(if left <= tolerance { fault } else { ColourFault::Other }), error }
}
