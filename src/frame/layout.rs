//! Where each plane of a frame lies. What the samples mean is `format`'s.

use super::format::{Colorimetry, PixelFormat};
use crate::base::error::ErrorKind;
use serde::{Deserialize, Serialize};

/// One plane inside a frame's bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct PlaneLayout {
    /// Bytes from the start of the frame.
    pub offset: usize,
    /// Bytes from one row to the next.
    pub stride: usize,
    /// Visible bytes of a row.
    pub row_bytes: usize,
    pub rows: usize,
}

/// Everything that is needed to read a frame's bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct FrameLayout {
    pub format: PixelFormat,
    pub colorimetry: Colorimetry,
    pub width: usize,
    pub height: usize,
    planes: [PlaneLayout; 3],
    /// Bytes of a whole frame.
    pub size: usize,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LayoutError {
    #[error("a picture of {width}×{height} cannot be shown: width and height must lie between 16 and {limit} pixels", limit = FrameLayout::MAX_SIDE)]
    Size { width: usize, height: usize },
}

impl LayoutError {
    pub fn kind(&self) -> ErrorKind {
        ErrorKind::Stop
    }
}

impl FrameLayout {
    /// Largest width or height that is accepted (8K).
    pub const MAX_SIDE: usize = 8192;
    const STRIDE_ALIGN: usize = 64;

    /// The layout that our own memory uses: planes in GStreamer's order, rows aligned to 64 bytes.
    pub fn new(format: PixelFormat, colorimetry: Colorimetry, width: usize, height: usize) -> Result<Self, LayoutError> {
        if !(16..=Self::MAX_SIDE).contains(&width) || !(16..=Self::MAX_SIDE).contains(&height) {
            return Err(LayoutError::Size { width, height });
        }
        let (chroma_w, chroma_h) = (width.div_ceil(2), height.div_ceil(2));
        let shapes: [(usize, usize); 3] = match format {
            PixelFormat::Nv12 => [(width, height), (2 * chroma_w, chroma_h), (0, 0)],
            PixelFormat::I420 => [(width, height), (chroma_w, chroma_h), (chroma_w, chroma_h)],
            PixelFormat::P010 => [(2 * width, height), (4 * chroma_w, chroma_h), (0, 0)],
            PixelFormat::Rgb => [(3 * width, height), (0, 0), (0, 0)],
            PixelFormat::Bgrx | PixelFormat::Bgra => [(4 * width, height), (0, 0), (0, 0)],
            PixelFormat::Yuy2 | PixelFormat::Uyvy => [(4 * chroma_w, height), (0, 0), (0, 0)],
            PixelFormat::V210 => [(16 * width.div_ceil(6), height), (0, 0), (0, 0)],
        };
        let mut planes = [PlaneLayout::default(); 3];
        let mut size = 0;
        for (plane, (row_bytes, rows)) in planes.iter_mut().zip(shapes).take(format.plane_count()) {
            let stride = row_bytes.next_multiple_of(Self::STRIDE_ALIGN);
            *plane = PlaneLayout { offset: size, stride, row_bytes, rows };
            size += stride * rows;
        }
        Ok(FrameLayout { format, colorimetry, width, height, planes, size })
    }

    pub fn planes(&self) -> &[PlaneLayout] {
        &self.planes[..self.format.plane_count()]
    }

    /// Bytes of a row of `plane` that every source writes. Packed pixels come in groups of which the last one of a row may be filled by
    /// whatever was in the memory.
    pub fn written_bytes(&self, plane: usize) -> usize {
        match self.format {
            PixelFormat::V210 => self.width / 6 * 16,
            PixelFormat::Yuy2 | PixelFormat::Uyvy => self.width / 2 * 4,
            _ => self.planes[plane].row_bytes,
        }
    }

    /// Is this what `new` makes of its own format, size and colorimetry? What comes from another process is asked this.
    pub fn is_canonical(&self) -> bool {
        Self::new(self.format, self.colorimetry, self.width, self.height).as_ref() == Ok(self)
    }
}

/// A frame's bytes with their layout: what conversion and preprocessing read.
#[derive(Debug, Clone, Copy)]
pub struct FrameView<'a> {
    pub layout: &'a FrameLayout,
    data: &'a [u8],
}

impl<'a> FrameView<'a> {
    /// `data` holds at least `layout.size` bytes; None if it does not.
    pub fn new(layout: &'a FrameLayout, data: &'a [u8]) -> Option<Self> {
        (data.len() >= layout.size).then_some(FrameView { layout, data })
    }

    /// All of it: `layout.size` bytes, planes as the layout says.
    pub fn bytes(&self) -> &'a [u8] {
        &self.data[..self.layout.size]
    }

    /// Visible bytes of one row of one plane.
    pub fn row(&self, plane: usize, row: usize) -> &'a [u8] {
        let p = &self.layout.planes()[plane];
        let start = p.offset + row * p.stride;
        &self.data[start..start + p.row_bytes]
    }

    /// All bytes of a plane, stride included.
    pub fn plane(&self, plane: usize) -> &'a [u8] {
        let p = &self.layout.planes()[plane];
        &self.data[p.offset..p.offset + p.stride * p.rows]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::{Matrix, Range, Transfer};

    const BT709: Colorimetry = Colorimetry::sdr(Matrix::Bt709, Range::Limited);

    #[test]
    fn odd_sizes_round_chroma_up() {
        let layout = FrameLayout::new(PixelFormat::I420, BT709, 101, 33).unwrap();
        assert_eq!(layout.planes()[1].row_bytes, 51);
        assert_eq!(layout.planes()[2].rows, 17);
        let layout = FrameLayout::new(PixelFormat::Nv12, BT709, 101, 33).unwrap();
        assert_eq!((layout.planes()[1].row_bytes, layout.planes()[1].rows), (102, 17));
        let packed = |format| FrameLayout::new(format, BT709, 101, 33).unwrap().planes()[0];
        assert_eq!((packed(PixelFormat::Yuy2).row_bytes, packed(PixelFormat::Yuy2).rows), (204, 33));
        assert_eq!((packed(PixelFormat::V210).row_bytes, packed(PixelFormat::Bgrx).row_bytes), (17 * 16, 404));
        let layout = FrameLayout::new(PixelFormat::P010, BT709, 101, 33).unwrap();
        assert_eq!((layout.planes()[0].row_bytes, layout.planes()[1].row_bytes, layout.planes()[1].rows), (202, 204, 17));
    }

    #[test]
    fn planes_do_not_overlap_and_fit() {
        for format in PixelFormat::ALL {
            let layout = FrameLayout::new(format, BT709, 613, 347).unwrap();
            let mut end = 0;
            for plane in layout.planes() {
                assert_eq!(plane.offset, end);
                assert!(plane.stride >= plane.row_bytes);
                end = plane.offset + plane.stride * plane.rows;
            }
            assert_eq!(layout.size, end);
            assert!(layout.is_canonical());
        }
    }

    /// Layouts go from process to process; one from before there were transfers is SDR.
    #[test]
    fn layouts_travel_as_json() {
        for format in PixelFormat::ALL {
            let colorimetry = Colorimetry { transfer: Transfer::Hlg, ..Colorimetry::sdr(Matrix::Bt2020, Range::Limited) };
            let layout = FrameLayout::new(format, colorimetry, 613, 347).unwrap();
            let text = serde_json::to_string(&layout).unwrap();
            assert!(text.contains(&format!("\"{}\"", format.name())) && text.contains("\"hlg\""), "{text}");
            assert_eq!(serde_json::from_str::<FrameLayout>(&text).unwrap(), layout);
            let silent: FrameLayout = serde_json::from_str(&text.replace(",\"transfer\":\"hlg\"", "")).unwrap();
            assert_eq!(silent.colorimetry.transfer, Transfer::Sdr);
        }
    }

    #[test]
    fn absurd_sizes_are_refused() {
        assert!(FrameLayout::new(PixelFormat::Rgb, BT709, 0, 480).is_err());
        assert!(FrameLayout::new(PixelFormat::Rgb, BT709, 640, 100_000).is_err());
    }
}
