//! `input_hash`: which picture was analysed. SHA-256 over a 32-byte header and the SHA-256 digests of consecutive 8 KiB
//! blocks of the visible bytes (rows from top to bottom, planes in GStreamer's order, no row padding; the last block may
//! be shorter), so that blocks can be hashed in parallel where that pays.
//!
//! ```text
//! header   0..8   "KEYHOLE1"
//!          8..12  format: "NV12", "I420", "RGB ", "YUY2", "UYVY", "v210", "P010", "BGRx" or "BGRA"
//!         12..16  width,  u32 little endian
//!         16..20  height, u32 little endian
//!         20      matrix: 0 none (RGB), 1 BT.601, 2 BT.709, 3 BT.2020 (its primaries: RGB too)
//!         21      range:  0 none (RGB), 1 limited, 2 full
//!         22      transfer: 0 SDR, 1 HLG, 2 PQ
//!         23      0
//!         24..32  visible bytes, u64 little endian
//! ```
//! Visible are whole groups: of YUY2 and UYVY pairs of pixels, of v210 six.

use crate::frame::{FrameLayout, FrameView, Matrix, PixelFormat, Range, Transfer};
use sha2::{Digest, Sha256};

pub(super) const BLOCK_BYTES: usize = 8192;

/// SHA-256 as described above; allocates nothing.
pub fn input_hash(view: FrameView<'_>) -> [u8; 32] {
    let mut whole = Sha256::new();
    whole.update(header(view.layout));
    let mut block = Sha256::new();
    let mut room = BLOCK_BYTES;
    for (plane, of) in view.layout.planes().iter().enumerate() {
        for row in 0..of.rows {
            let mut bytes = view.row(plane, row);
            while !bytes.is_empty() {
                let (now, later) = bytes.split_at(bytes.len().min(room));
                block.update(now);
                room -= now.len();
                bytes = later;
                if room == 0 {
                    whole.update(block.finalize_reset());
                    room = BLOCK_BYTES;
                }
            }
        }
    }
    if room < BLOCK_BYTES {
        whole.update(block.finalize());
    }
    whole.finalize().into()
}

/// The same, of the blocks' digests, one after the other.
pub(super) fn of_digests(layout: &FrameLayout, digests: &[u8]) -> [u8; 32] {
    Sha256::new().chain_update(header(layout)).chain_update(digests).finalize().into()
}

pub(super) fn visible_bytes(layout: &FrameLayout) -> usize {
    layout.planes().iter().map(|plane| plane.row_bytes * plane.rows).sum()
}

fn header(layout: &FrameLayout) -> [u8; 32] {
    let visible = visible_bytes(layout) as u64;
    let (colours, is_rgb) = (layout.colorimetry, layout.format.is_rgb());
    let mut header = [0; 32];
    header[..8].copy_from_slice(b"KEYHOLE1");
    header[8..12].copy_from_slice(match layout.format {
        PixelFormat::Nv12 => b"NV12",
        PixelFormat::I420 => b"I420",
        PixelFormat::Rgb => b"RGB ",
        PixelFormat::Yuy2 => b"YUY2",
        PixelFormat::Uyvy => b"UYVY",
        PixelFormat::V210 => b"v210",
        PixelFormat::P010 => b"P010",
        PixelFormat::Bgrx => b"BGRx",
        PixelFormat::Bgra => b"BGRA",
    });
    header[12..16].copy_from_slice(&(layout.width as u32).to_le_bytes());
    header[16..20].copy_from_slice(&(layout.height as u32).to_le_bytes());
    header[20] = match colours.matrix {
        Matrix::Bt2020 => 3,
        _ if is_rgb => 0,
        Matrix::Bt601 => 1,
        Matrix::Bt709 => 2,
    };
    header[21] = match colours.range {
        _ if is_rgb => 0,
        Range::Limited => 1,
        Range::Full => 2,
    };
    header[22] = match colours.transfer {
        Transfer::Sdr => 0,
        Transfer::Hlg => 1,
        Transfer::Pq => 2,
    };
    header[24..].copy_from_slice(&visible.to_le_bytes());
    header
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::Colorimetry;

    /// Byte i of each plane's visible bytes is (7·i + plane) mod 251; padding holds `padding`.
    fn hashed(format: PixelFormat, colorimetry: Colorimetry, width: usize, height: usize, padding: u8) -> String {
        let layout = FrameLayout::new(format, colorimetry, width, height).unwrap();
        let mut data = vec![padding; layout.size];
        for (index, plane) in layout.planes().iter().enumerate() {
            for row in 0..plane.rows {
                for x in 0..plane.row_bytes {
                    data[plane.offset + row * plane.stride + x] = ((7 * (row * plane.row_bytes + x) + index) % 251) as u8;
                }
            }
        }
        let hash = input_hash(FrameView::new(&layout, &data).unwrap());
        hash.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Vectors made apart from this code, with Python's hashlib, from the description above.
    #[test]
    fn test_vectors() {
        use {Matrix::*, PixelFormat::*, Range::*, Transfer::*};
        for (format, matrix, range, width, height, expected) in [
            (Nv12, Bt709, Limited, 1920, 1080, "657eb783bb939fdfc491b3b8136e897cf1717cbd726076b4087093d29180980a"),
            (I420, Bt601, Full, 613, 347, "7501deeaccd5c809f0a6d28d2e57902e96fde8805853dffd66a8a4639fdf7e84"),
            (Rgb, Bt709, Limited, 128, 64, "070cb167a519347e1b4ef5dfb531379fd7cba9cc66eadefca7807f5ee3bf52d4"),
            (Nv12, Bt601, Limited, 17, 16, "9dd9b614ddee4ef0f4b8ef9dc83c7eb576628daa0a2fbd227965281cd88104ba"),
        ] {
            let colours = Colorimetry::sdr(matrix, range);
            assert_eq!(hashed(format, colours, width, height, 0), expected, "{format:?} {width}×{height}");
            assert_eq!(hashed(format, colours, width, height, 77), expected, "padding must not count");
        }
        for (format, matrix, range, transfer, width, height, expected) in [
            (Yuy2, Bt709, Limited, Sdr, 613, 347, "34e58cf232b1990d2e7568310317a6cbe64922db268faaed93c98d7df1fc1e3c"),
            (Uyvy, Bt601, Full, Sdr, 64, 48, "83ed9c012b833ffc6d882688a4d42cf2c04cd4297b46d2227388f3cd7d6e0920"),
            (V210, Bt2020, Limited, Hlg, 1921, 33, "71adc34463c0eded6912848fe37858ef71c4b71fc3003b07cb5a6c284349f38a"),
            (P010, Bt2020, Limited, Pq, 101, 67, "e20212b81114f6a95cb237c0c581f8a766407f548a010cd0ff118b173f6efd24"),
            (Bgrx, Bt709, Full, Sdr, 123, 45, "6580fe5641c0b8aafa0303f59674a15cf9a2d79e53993347dcc0ed7f2b0d5ef9"),
            (Bgra, Bt2020, Full, Pq, 16, 16, "e814ca7d28020791ca62bed26dea5cf2b19e2ce72a12dd4607460bd79b2ae3d2"),
        ] {
            let colours = Colorimetry { matrix, range, transfer };
            assert_eq!(hashed(format, colours, width, height, 0), expected, "{format:?} {width}×{height}");
            assert_eq!(hashed(format, colours, width, height, 77), expected, "padding must not count");
        }
    }
}
