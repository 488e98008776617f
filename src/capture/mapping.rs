//! From a GStreamer sample to our layout and planes. The memory is mapped for reading and stays the decoder's own, wherever it lies.

use super::cuda::{CUDA_MEMORY, Held, Lender};
use super::error::CaptureError;
use super::{Picture, PlaneRef, Planes};
use crate::frame::{Colorimetry, FrameLayout, Matrix, PixelFormat, Range, Transfer};
use gstreamer as gst;
use gstreamer::glib::translate::IntoGlib;
use gstreamer_video as gst_video;
use gstreamer_video::prelude::*;
use std::sync::Arc;

/// What caps say, kept until they change.
#[derive(Debug, Clone)]
pub(super) struct Format {
    caps: gst::Caps,
    info: gst_video::VideoInfo,
    pub layout: FrameLayout,
}

impl Format {
    /// `thing` is named in errors.
    pub fn from_caps(thing: &str, caps: &gst::CapsRef) -> Result<Self, CaptureError> {
        let not_raw = |reason: String| CaptureError::NoPicture { thing: thing.to_owned(), reason };
        let info = gst_video::VideoInfo::from_caps(caps).map_err(|_| not_raw(format!("its format is not understood ({caps})")))?;
        let format = match info.format() {
            gst_video::VideoFormat::Nv12 => PixelFormat::Nv12,
            gst_video::VideoFormat::I420 => PixelFormat::I420,
            gst_video::VideoFormat::Rgb => PixelFormat::Rgb,
            gst_video::VideoFormat::Yuy2 => PixelFormat::Yuy2,
            gst_video::VideoFormat::Uyvy => PixelFormat::Uyvy,
            gst_video::VideoFormat::V210 => PixelFormat::V210,
            gst_video::VideoFormat::P01010le => PixelFormat::P010,
            gst_video::VideoFormat::Bgrx => PixelFormat::Bgrx,
            gst_video::VideoFormat::Bgra => PixelFormat::Bgra,
            other => {
                let names = PixelFormat::ALL.map(PixelFormat::name).join(", ");
                return Err(not_raw(format!("its format is {other:?}, none of {names}")));
            }
        };
        let layout = FrameLayout::new(format, colorimetry(&info, caps), info.width() as usize, info.height() as usize)
            .map_err(|source| CaptureError::Layout { thing: thing.to_owned(), source })?;
        Ok(Format { caps: caps.to_owned(), info, layout })
    }

    /// Pictures of this format lie in a device's memory.
    pub fn is_there(&self) -> bool {
        self.caps.features(0).is_some_and(|features| features.contains(CUDA_MEMORY))
    }

    pub fn is_of(&self, caps: &gst::CapsRef) -> bool {
        std::ptr::eq(self.caps.as_ptr(), caps.as_ptr()) || *self.caps == *caps
    }

    /// Nominal pictures a second, None where the stream does not say (variable rate).
    pub fn frame_rate(&self) -> Option<(u32, u32)> {
        let fps = self.info.fps();
        Some((u32::try_from(fps.numer()).ok()?, u32::try_from(fps.denom()).ok()?)).filter(|&(num, _)| num > 0)
    }
}

/// Matrix, range and transfer as the stream says; where it is silent, GStreamer's own rule (by height), limited range, SDR.
fn colorimetry(info: &gst_video::VideoInfo, caps: &gst::CapsRef) -> Colorimetry {
    // VideoInfo throws away a known range where the matrix is unknown, so the text is asked first.
    let said = caps.structure(0).and_then(|s| s.get::<&str>("colorimetry").ok()).and_then(|text| text.parse().ok());
    let said: Option<gst_video::VideoColorimetry> = said;
    let default = info.colorimetry();
    let transfer = transfer_of(said.as_ref().unwrap_or(&default));
    if info.is_rgb() {
        // Without a matrix of its own, but with primaries.
        let is_wide = said.as_ref().unwrap_or(&default).primaries() == gst_video::VideoColorPrimaries::Bt2020;
        return Colorimetry { matrix: if is_wide { Matrix::Bt2020 } else { Matrix::Bt709 }, range: Range::Full, transfer };
    }
    let matrix_of = |c: &gst_video::VideoColorimetry| match c.matrix() {
        gst_video::VideoColorMatrix::Bt601 | gst_video::VideoColorMatrix::Fcc => Some(Matrix::Bt601),
        // SMPTE 240M has no matrix of its own in `frame`: BT.709 is the nearest.
        gst_video::VideoColorMatrix::Bt709 | gst_video::VideoColorMatrix::Smpte240m => Some(Matrix::Bt709),
        gst_video::VideoColorMatrix::Bt2020 => Some(Matrix::Bt2020),
        _ => None,
    };
    let range_of = |c: &gst_video::VideoColorimetry| match c.range() {
        gst_video::VideoColorRange::Range0_255 => Some(Range::Full),
        gst_video::VideoColorRange::Range16_235 => Some(Range::Limited),
        _ => None,
    };
    Colorimetry {
        matrix: said.as_ref().and_then(matrix_of).or_else(|| matrix_of(&default)).unwrap_or(Matrix::Bt709),
        range: said.as_ref().and_then(range_of).or_else(|| range_of(&default)).unwrap_or(Range::Limited),
        transfer,
    }
}

fn transfer_of(colorimetry: &gst_video::VideoColorimetry) -> Transfer {
    // By number: the bindings name these two only where they are built for GStreamer 1.18 and later.
    match colorimetry.transfer().into_glib() {
        gst_video::ffi::GST_VIDEO_TRANSFER_SMPTE2084 => Transfer::Pq,
        gst_video::ffi::GST_VIDEO_TRANSFER_ARIB_STD_B67 => Transfer::Hlg,
        _ => Transfer::Sdr,
    }
}

/// A mapped picture: held until the next pull.
pub(super) struct Mapped {
    memory: Memory,
    layout: FrameLayout,
    /// Who decoded it says that something in it is missing or wrong.
    pub is_damaged: bool,
}

/// One a source, so its size does not matter.
#[allow(clippy::large_enum_variant)]
enum Memory {
    Here(gst_video::VideoFrame<gst_video::video_frame::Readable>),
    There(Held),
}

impl Mapped {
    /// Maps `sample`, on the device of `lender` where it lies there; `format` is read anew when the sample's caps are others.
    pub fn new(thing: &str, lender: Option<&Arc<Lender>>, sample: &gst::Sample, format: &mut Format) -> Result<Self, CaptureError> {
        let damaged = |reason: &str| CaptureError::Corrupt { thing: thing.to_owned(), reason: reason.to_owned() };
        let caps = sample.caps().ok_or_else(|| damaged("a picture came without a format"))?;
        if !format.is_of(caps) {
            *format = Format::from_caps(thing, caps)?;
        }
        let buffer = sample.buffer_owned().ok_or_else(|| damaged("a picture came without data"))?;
        let is_damaged = buffer.flags().contains(gst::BufferFlags::CORRUPTED);
        let there = lender.map(|lender| lender.hold(thing, &buffer, &format.info, &format.layout)).transpose()?.flatten();
        if let Some(held) = there {
            return Ok(Mapped { memory: Memory::There(held), layout: format.layout, is_damaged });
        }
        let frame = gst_video::VideoFrame::from_buffer_readable(buffer, &format.info)
            .map_err(|_| damaged("a picture's data is smaller than its format"))?;
        let layout = format.layout;
        let fits = layout.planes().iter().zip(planes_of(&frame, &layout)).all(|(wanted, plane)| {
            plane.stride >= wanted.row_bytes && plane.data.len() >= plane.stride * (wanted.rows - 1) + wanted.row_bytes
        });
        if !fits {
            return Err(damaged("a picture's planes are smaller than its format"));
        }
        Ok(Mapped { memory: Memory::Here(frame), layout, is_damaged })
    }

    pub fn layout(&self) -> FrameLayout {
        self.layout
    }

    fn planes(&self) -> Planes<'_> {
        match &self.memory {
            Memory::Here(frame) => Planes::Here(planes_of(frame, &self.layout)),
            Memory::There(held) => held.planes(),
        }
    }

    pub fn picture(&self, pts_ns: u64, due_ns: Option<u64>, arrival_ns: u64, decode_ns: Option<u64>, skipped: u32) -> Picture<'_> {
        let is_damaged = self.is_damaged;
        Picture { layout: self.layout, planes: self.planes(), pts_ns, due_ns, arrival_ns, decode_ns, skipped, is_damaged }
    }
}

fn planes_of<'a>(frame: &'a gst_video::VideoFrame<gst_video::video_frame::Readable>, layout: &FrameLayout) -> [PlaneRef<'a>; 3] {
    std::array::from_fn(|i| {
        if i >= layout.planes().len() {
            return PlaneRef { data: &[], stride: 0 };
        }
        let data = frame.plane_data(i as u32).unwrap_or(&[]);
        PlaneRef { data, stride: usize::try_from(frame.plane_stride()[i]).unwrap_or(0) }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn format(caps: &str) -> Result<Format, CaptureError> {
        gst::init().unwrap();
        Format::from_caps("x", &caps.parse::<gst::Caps>().unwrap())
    }

    fn colours(caps: &str) -> (Matrix, Range) {
        let colorimetry = format(caps).unwrap().layout.colorimetry;
        (colorimetry.matrix, colorimetry.range)
    }

    #[test]
    fn matrix_and_range_are_taken_from_the_caps() {
        let base = "video/x-raw,format=NV12,width=640,height=480,framerate=25/1";
        for (said, expected) in [
            ("bt601", (Matrix::Bt601, Range::Limited)),
            ("bt709", (Matrix::Bt709, Range::Limited)),
            ("1:4:0:0", (Matrix::Bt601, Range::Full)),
            ("1:3:5:1", (Matrix::Bt709, Range::Full)),
            ("2:3:0:0", (Matrix::Bt709, Range::Limited)),
            ("bt2020", (Matrix::Bt2020, Range::Limited)),
            ("bt2020-10", (Matrix::Bt2020, Range::Limited)),
            // Full range with an unknown matrix: the range is kept, the matrix goes by height.
            ("1:0:0:0", (Matrix::Bt601, Range::Full)),
        ] {
            assert_eq!(colours(&format!("{base},colorimetry=(string){said}")), expected, "{said}");
        }
    }

    #[test]
    fn high_dynamic_range_and_wide_gamut_are_taken_from_the_caps() {
        let of = |format: &str, said: &str| {
            let caps = format!("video/x-raw,format={format},width=640,height=480,framerate=25/1,colorimetry=(string){said}");
            self::format(&caps).unwrap().layout.colorimetry
        };
        let expected = |matrix, range, transfer| Colorimetry { matrix, range, transfer };
        for format in ["P010_10LE", "v210", "NV12"] {
            assert_eq!(of(format, "bt2100-pq"), expected(Matrix::Bt2020, Range::Limited, Transfer::Pq));
            assert_eq!(of(format, "bt2100-hlg"), expected(Matrix::Bt2020, Range::Limited, Transfer::Hlg));
            assert_eq!(of(format, "bt2020"), expected(Matrix::Bt2020, Range::Limited, Transfer::Sdr));
            // Full range, BT.709's matrix, SMPTE ST 2084.
            assert_eq!(of(format, "1:3:14:1"), expected(Matrix::Bt709, Range::Full, Transfer::Pq));
        }
        assert_eq!(of("BGRx", "1:1:14:7"), expected(Matrix::Bt2020, Range::Full, Transfer::Pq));
        assert_eq!(of("BGRx", "sRGB"), expected(Matrix::Bt709, Range::Full, Transfer::Sdr));
    }

    #[test]
    fn silent_streams_follow_gstreamers_rule_by_height() {
        let of = |format, height| colours(&format!("video/x-raw,format={format},width=720,height={height},framerate=25/1"));
        assert_eq!(of("I420", 576), (Matrix::Bt601, Range::Limited));
        assert_eq!(of("I420", 720), (Matrix::Bt709, Range::Limited));
        assert_eq!(of("RGB", 480).1, Range::Full);
    }

    #[test]
    fn sizes_out_of_range_are_refused_by_name() {
        for size in ["width=8,height=480", "width=640,height=9000"] {
            let error = format(&format!("video/x-raw,format=I420,{size},framerate=25/1")).unwrap_err();
            assert!(matches!(error, CaptureError::Layout { .. }), "{error}");
            assert!(error.to_string().contains("between 16 and 8192"), "{error}");
        }
    }
}
