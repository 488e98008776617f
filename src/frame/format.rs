//! Pixel formats and what their sample values mean. Where planes lie is `layout`'s.

use serde::{Deserialize, Serialize};

/// Formats that are captured without conversion. GStreamer's names, planes, plane order and row sizes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum PixelFormat {
    /// Y plane, then interleaved U V at half size (rounded up).
    #[serde(rename = "NV12")]
    Nv12,
    /// Y, U and V planes, chroma at half size (rounded up).
    #[serde(rename = "I420")]
    I420,
    /// One plane, three bytes a pixel: R, G, B.
    #[serde(rename = "RGB")]
    Rgb,
    /// One plane, two pixels in four bytes: Y0 U Y1 V. Chroma at half width.
    #[serde(rename = "YUY2")]
    Yuy2,
    /// As YUY2 in the order U Y0 V Y1.
    #[serde(rename = "UYVY")]
    Uyvy,
    /// One plane, six pixels in four little-endian 32-bit words of three 10-bit samples each, from the lowest bit on:
    /// U0 Y0 V0 | Y1 U1 Y2 | V1 Y3 U2 | Y4 V2 Y5. Chroma at half width. What SDI cards deliver.
    #[serde(rename = "v210")]
    V210,
    /// As NV12 with 10-bit samples in the upper bits of little-endian 16-bit words.
    #[serde(rename = "P010_10LE")]
    P010,
    /// One plane, four bytes a pixel: B, G, R, and one that says nothing.
    #[serde(rename = "BGRx")]
    Bgrx,
    /// As BGRx; the alpha is ignored.
    #[serde(rename = "BGRA")]
    Bgra,
}

impl PixelFormat {
    pub const ALL: [PixelFormat; 9] = [
        PixelFormat::Nv12,
        PixelFormat::I420,
        PixelFormat::Rgb,
        PixelFormat::Yuy2,
        PixelFormat::Uyvy,
        PixelFormat::V210,
        PixelFormat::P010,
        PixelFormat::Bgrx,
        PixelFormat::Bgra,
    ];

    /// GStreamer's name of the format.
    pub const fn name(self) -> &'static str {
        match self {
            PixelFormat::Nv12 => "NV12",
            PixelFormat::I420 => "I420",
            PixelFormat::Rgb => "RGB",
            PixelFormat::Yuy2 => "YUY2",
            PixelFormat::Uyvy => "UYVY",
            PixelFormat::V210 => "v210",
            PixelFormat::P010 => "P010_10LE",
            PixelFormat::Bgrx => "BGRx",
            PixelFormat::Bgra => "BGRA",
        }
    }

    pub const fn plane_count(self) -> usize {
        match self {
            PixelFormat::Nv12 | PixelFormat::P010 => 2,
            PixelFormat::I420 => 3,
            _ => 1,
        }
    }

    /// R, G, B and no Y'CbCr.
    pub const fn is_rgb(self) -> bool {
        matches!(self, PixelFormat::Rgb | PixelFormat::Bgrx | PixelFormat::Bgra)
    }

    /// Ten bits a sample, else eight.
    pub const fn is_ten_bit(self) -> bool {
        matches!(self, PixelFormat::V210 | PixelFormat::P010)
    }

    /// One row of chroma for two of luma (4:2:0).
    pub const fn has_half_height_chroma(self) -> bool {
        matches!(self, PixelFormat::Nv12 | PixelFormat::I420 | PixelFormat::P010)
    }
}

/// Y'CbCr ↔ R'G'B' matrix (ITU-R BT.601-7, BT.709-6, BT.2020-2 non-constant luminance).
/// `Bt2020` stands for BT.2020's primaries as well, in R'G'B' too; the others are taken as the display's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Matrix {
    Bt601,
    Bt709,
    Bt2020,
}

impl Matrix {
    /// Shares of R' and B' in Y'.
    pub const fn kr_kb(self) -> (f64, f64) {
        match self {
            Matrix::Bt601 => (0.299, 0.114),
            Matrix::Bt709 => (0.2126, 0.0722),
            Matrix::Bt2020 => (0.2627, 0.0593),
        }
    }
}

/// Limited: Y' 16–235, Cb/Cr 16–240. Full: 0–255. Ten bits: four times that (full: 0–1023).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Range {
    Limited,
    Full,
}

/// From R'G'B' to light: what the display does itself (SDR, BT.1886), or ITU-R BT.2100's two.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Transfer {
    #[default]
    Sdr,
    Hlg,
    Pq,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Colorimetry {
    pub matrix: Matrix,
    pub range: Range,
    #[serde(default)]
    pub transfer: Transfer,
}

impl Colorimetry {
    pub const fn sdr(matrix: Matrix, range: Range) -> Self {
        Colorimetry { matrix, range, transfer: Transfer::Sdr }
    }

    /// R'G'B' is shown as it is; else it goes through `frame::Tone`.
    pub const fn is_display_ready(self) -> bool {
        matches!(self.transfer, Transfer::Sdr) && !matches!(self.matrix, Matrix::Bt2020)
    }
}
