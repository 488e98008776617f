//! One look at a picture of any format that an input may give: the marker's number, the answer under it, and, where they are asked
//! for, the colours.

use crate::capture::Picture;
use crate::frame::marker::{COLOURS, Capture, Reader, Reading, Unread, colours};
use crate::frame::{FrameView, PixelFormat};
use crate::overlay::{Rect, convert::convert};

/// Bytes of a BGRX pixel.
const PIXEL_BYTES: usize = 4;

#[derive(Debug)]
pub(super) struct Look {
    pub seen: Result<Reading, Unread>,
    pub echo: Result<u32, Unread>,
    /// Mean R'G'B' of each bar, as the display's conversion gives it. None: not asked for, or no marker was read.
    pub colours: Option<[[f32; 3]; COLOURS]>,
}

/// Keeps where the marker was last, and room for a picture that has to be converted.
pub(super) struct Looker {
    reader: Reader,
    packed: Vec<u8>,
    bgrx: Vec<u8>,
}

impl Looker {
    pub fn new() -> Self {
        Looker { reader: Reader::new(), packed: Vec::new(), bgrx: Vec::new() }
    }

    pub fn look(&mut self, picture: &Picture<'_>, with_colours: bool) -> Look {
        let layout = &picture.layout;
        let nothing = Look { seen: Err(Unread::NotFound), echo: Err(Unread::NotFound), colours: None };
        let Some([plane, ..]) = picture.planes.here() else { return nothing };
        let (width, height) = (layout.width, layout.height);
        let as_it_is = Capture::of_plane(layout.format, plane.data, plane.stride, width, height);
        let is_bgrx = matches!(layout.format, PixelFormat::Bgrx | PixelFormat::Bgra);
        if as_it_is.is_none() || (with_colours && !is_bgrx) {
            self.convert(picture);
        }
        let stride = width * PIXEL_BYTES;
        let Some(capture) = as_it_is.or_else(|| Capture::bgrx(&self.bgrx, stride, width, height)) else {
            return nothing;
        };
        let seen = self.reader.read(&capture);
        let echo = seen.as_ref().map_err(|_| Unread::NotFound).and_then(|reading| self.reader.read_echo(&capture, reading));
        let (pixels, stride) = if is_bgrx { (plane.data, plane.stride) } else { (self.bgrx.as_slice(), stride) };
        let read = seen.as_ref().ok().filter(|_| with_colours);
        let colours = read.and_then(|reading| colours(pixels, stride, width, height, &reading.geometry));
        Look { seen, echo, colours }
    }

    /// The whole picture, as the display's conversion gives it.
    fn convert(&mut self, picture: &Picture<'_>) {
        let layout = &picture.layout;
        self.packed.resize(layout.size, 0);
        picture.copy_into(&mut self.packed);
        self.bgrx.resize(layout.width * layout.height * PIXEL_BYTES, 0);
        if let Some(view) = FrameView::new(layout, &self.packed) {
            let all = Rect { x0: 0, y0: 0, x1: layout.width, y1: layout.height };
            convert(&view, all, &mut self.bgrx, layout.width * PIXEL_BYTES);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::Planes;
    use crate::frame::marker::{Placement, Signal, Target, judge_colours, paint};
    use crate::frame::{Colorimetry, FrameLayout, Matrix, Range, Transfer, testing::pack};

    const SIZE: (usize, usize) = (640, 480);
    const NUMBER: u32 = 4711;

    /// Three samples of eight bits a pixel: Y, Cb, Cr, or R, G, B.
    fn samples(is_rgb: bool, signal: Signal) -> Vec<[u8; 3]> {
        let (width, height) = SIZE;
        let placement = Placement::centred(width, height).unwrap();
        let painted = |target: &dyn Fn(&mut [u8]) -> Result<(), crate::frame::marker::DoesNotFit>, bytes: usize| {
            let mut plane = vec![128; bytes];
            target(&mut plane).unwrap();
            plane
        };
        if is_rgb {
            let rgb = painted(&|plane| paint(Target::Rgb { plane, stride: 3 * width }, signal, placement, NUMBER), 3 * width * height);
            return rgb.as_chunks::<3>().0.to_vec();
        }
        let luma = painted(&|plane| paint(Target::Luma { plane, stride: width }, signal, placement, NUMBER), width * height);
        let chroma = painted(&|plane| paint(Target::CbCr { plane, stride: width }, signal, placement, NUMBER), width * height / 2);
        let at = |i: usize| (i / width / 2) * width + (i % width) / 2 * 2;
        luma.iter().enumerate().map(|(i, &y)| [y, chroma[at(i)], chroma[at(i) + 1]]).collect()
    }

    #[test]
    fn number_and_colours_are_read_in_every_format() {
        for format in PixelFormat::ALL {
            for (matrix, range) in [(Matrix::Bt709, Range::Limited), (Matrix::Bt601, Range::Full)] {
                let is_rgb = matches!(format, PixelFormat::Rgb | PixelFormat::Bgrx | PixelFormat::Bgra);
                let signal = Signal { matrix, range: if is_rgb { Range::Full } else { range } };
                let samples = samples(is_rgb, signal);
                let colorimetry = Colorimetry { matrix, range, transfer: Transfer::Sdr };
                let layout = FrameLayout::new(format, colorimetry, SIZE.0, SIZE.1).unwrap();
                let bytes = pack(&layout, |x, y| samples[y * SIZE.0 + x].map(|sample| u16::from(sample) << 2));
                let picture = Picture {
                    layout,
                    planes: Planes::of(&layout, &bytes),
                    pts_ns: 0,
                    due_ns: None,
                    arrival_ns: 0,
                    decode_ns: None,
                    skipped: 0,
                    is_damaged: false,
                };
                let mut looker = Looker::new();
                let look = looker.look(&picture, true);
                assert_eq!(look.seen.map(|reading| reading.number), Ok(NUMBER), "{format:?} {matrix:?}");
                let verdict = judge_colours(&look.colours.expect("colours"), 6.0);
                assert!(verdict.fault.is_none(), "{format:?} {matrix:?} {range:?}: {verdict:?}");
                assert!(looker.look(&picture, false).colours.is_none());
            }
        }
    }
}
