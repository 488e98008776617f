//! Is a row of pixels black? What each format says by its bytes. Nothing about time, pictures or sources here.

use crate::frame::{FrameLayout, PixelFormat, Range};

/// Above the format's black by so much (of 255) is light: sensor noise in the dark stays below.
const BLACK_ABOVE: u8 = 12;

/// How the first plane of a picture says black.
#[derive(Debug, Clone, Copy)]
pub(super) struct BlackLevel {
    format: PixelFormat,
    at_most: u8,
}

impl BlackLevel {
    pub fn of(layout: &FrameLayout) -> Self {
        let floor = match layout.colorimetry.range {
            Range::Limited if !layout.format.is_rgb() => 16,
            Range::Limited | Range::Full => 0,
        };
        BlackLevel { format: layout.format, at_most: floor + BLACK_ABOVE }
    }

    /// `row`: whole pixels of the first plane. Chroma and what fills a pixel up say nothing.
    pub fn is_dark(self, row: &[u8]) -> bool {
        self.is_above(self.brightest(row))
    }

    /// Is a picture dark whose brightest level is this?
    pub fn is_above(self, brightest: u8) -> bool {
        brightest <= self.at_most
    }

    fn brightest(self, row: &[u8]) -> u8 {
        let at = |is_light: fn(usize) -> bool| {
            let places = brightest_by_place(row).into_iter().enumerate();
            places.filter(|(place, _)| is_light(*place)).fold(0, |most, (_, byte)| most.max(byte))
        };
        match self.format {
            PixelFormat::Nv12 | PixelFormat::I420 | PixelFormat::Rgb => at(|_| true),
            PixelFormat::Yuy2 => at(|place| place % 2 == 0),
            // Of ten bits in sixteen the upper eight.
            PixelFormat::Uyvy | PixelFormat::P010 => at(|place| place % 2 == 1),
            PixelFormat::Bgrx | PixelFormat::Bgra => at(|place| place % 4 != 3),
            // Words of three samples of ten bits: Cb Y Cr, Y Cb Y, Cr Y Cb, Y Cr Y.
            PixelFormat::V210 => row.as_chunks::<8>().0.iter().fold(0, |most, words| {
                let [first, second] = [0, 4].map(|at| u32::from_le_bytes([words[at], words[at + 1], words[at + 2], words[at + 3]]));
                [first >> 12, second >> 2, second >> 22].into_iter().fold(most, |most, luma| most.max(luma as u8))
            }),
        }
    }
}

/// Bytes that are looked at side by side: a multiple of every format's period.
const PLACES: usize = 32;

fn brightest_by_place(row: &[u8]) -> [u8; PLACES] {
    let (chunks, rest) = row.as_chunks::<PLACES>();
    let mut most = [0; PLACES];
    for bytes in chunks.iter().map(|chunk| &chunk[..]).chain([rest]) {
        most.iter_mut().zip(bytes).for_each(|(most, &byte)| *most = byte.max(*most));
    }
    most
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::{Colorimetry, Matrix};

    /// Each format, as GStreamer makes it: black with noise is black, and one brighter pixel is not.
    #[test]
    fn black_is_told_from_light_in_every_format() {
        use crate::base::clock::MonotonicClock;
        use crate::capture::{Pull, Settings, open};
        for format in PixelFormat::ALL {
            for (colour, is_black) in [("0xff040404", true), ("0xff000000", true), ("0xff303030", false), ("0xff700000", false)] {
                let uri = format!(
                    "gst:videotestsrc pattern=solid-color foreground-color={colour} ! video/x-raw,format=RGB,width=96,height=64 ! videoconvert dither=none ! video/x-raw,format={}",
                    format.name()
                );
                let mut source = open(&uri, &Settings::default(), std::sync::Arc::new(MonotonicClock)).unwrap_or_else(|e| panic!("{e}"));
                let Pull::Picture(picture) = source.pull(std::time::Duration::from_secs(5)).unwrap() else { panic!("{uri}: no picture") };
                let (plane, from) = (picture.layout.planes()[0], picture.planes.here().unwrap()[0]);
                let row = &from.data[7 * from.stride..][..plane.row_bytes];
                assert_eq!(BlackLevel::of(&picture.layout).is_dark(row), is_black, "{} {colour}", format.name());
            }
        }
    }

    #[test]
    fn each_luma_of_a_v210_group_counts() {
        let colorimetry = Colorimetry::sdr(Matrix::Bt709, Range::Limited);
        let level = BlackLevel::of(&FrameLayout::new(PixelFormat::V210, colorimetry, 48, 16).unwrap());
        // Word and first bit of Y0 to Y5.
        for (word, bit) in [(0, 10), (1, 0), (1, 20), (2, 10), (3, 0), (3, 20)] {
            let mut words = [512 | 64 << 10 | 512 << 20, 64 | 512 << 10 | 64 << 20, 512 | 64 << 10 | 512 << 20, 64 | 512 << 10 | 64 << 20];
            let bytes = |words: [u32; 4]| words.iter().flat_map(|word| word.to_le_bytes()).collect::<Vec<u8>>();
            assert!(level.is_dark(&bytes(words)));
            words[word] = words[word] & !(1023 << bit) | 400 << bit;
            assert!(!level.is_dark(&bytes(words)), "word {word} bit {bit}");
        }
    }
}
