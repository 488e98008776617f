//! Pictures and measurements for this room's tests.

use crate::base::ids::FrameId;
use crate::frame::{Colorimetry, Frame, FrameLayout, FrameRing, FrameView, Matrix, PixelFormat, Range, Stamps, Transfer};

pub const FORMATS: [PixelFormat; 9] = PixelFormat::ALL;
pub const COLORIMETRIES: [Colorimetry; 4] = [
    Colorimetry::sdr(Matrix::Bt601, Range::Limited),
    Colorimetry::sdr(Matrix::Bt709, Range::Limited),
    Colorimetry::sdr(Matrix::Bt601, Range::Full),
    Colorimetry::sdr(Matrix::Bt709, Range::Full),
];

/// With those that go through `frame::Tone`, from 4 on.
pub const ALL_COLORIMETRIES: [Colorimetry; 9] = [
    COLORIMETRIES[0],
    COLORIMETRIES[1],
    COLORIMETRIES[2],
    COLORIMETRIES[3],
    Colorimetry::sdr(Matrix::Bt2020, Range::Limited),
    Colorimetry { matrix: Matrix::Bt2020, range: Range::Full, transfer: Transfer::Hlg },
    Colorimetry { matrix: Matrix::Bt2020, range: Range::Limited, transfer: Transfer::Pq },
    Colorimetry { matrix: Matrix::Bt709, range: Range::Limited, transfer: Transfer::Hlg },
    Colorimetry { matrix: Matrix::Bt601, range: Range::Full, transfer: Transfer::Pq },
];

/// A picture in memory of its own.
#[derive(Debug, Clone)]
pub struct Owned {
    pub layout: FrameLayout,
    pub data: Vec<u8>,
}

impl Owned {
    pub fn view(&self) -> FrameView<'_> {
        FrameView::new(&self.layout, &self.data).unwrap()
    }

    pub fn noise(format: PixelFormat, colorimetry: Colorimetry, width: usize, height: usize, seed: u64) -> Self {
        let layout = FrameLayout::new(format, colorimetry, width, height).unwrap();
        let mut random = Random::new(seed);
        let data = (0..layout.size).map(|_| random.next() as u8).collect();
        Owned { layout, data }
    }

    /// NV12, BT.709 limited, luma given by a function of the pixel, chroma a slow ramp.
    pub fn from_luma(width: usize, height: usize, luma: impl Fn(usize, usize) -> u8) -> Self {
        let layout = FrameLayout::new(PixelFormat::Nv12, COLORIMETRIES[1], width, height).unwrap();
        let mut data = vec![128; layout.size];
        let [luma_plane, chroma] = [layout.planes()[0], layout.planes()[1]];
        for y in 0..height {
            for x in 0..width {
                data[luma_plane.offset + y * luma_plane.stride + x] = luma(x, y);
            }
        }
        for y in 0..chroma.rows {
            for x in 0..chroma.row_bytes {
                data[chroma.offset + y * chroma.stride + x] = if x % 2 == 0 { 100 + (y % 40) as u8 } else { 150 + (x % 30) as u8 };
            }
        }
        Owned { layout, data }
    }

    /// The same picture as a frame of a ring.
    pub fn frame(&self) -> Frame {
        let ring = FrameRing::new(self.layout).unwrap();
        let mut writer = ring.acquire().unwrap();
        writer.data_mut().copy_from_slice(&self.data);
        writer.publish(Stamps { id: FrameId(0), pts_ns: 0, capture_ns: 0 })
    }
}

/// SplitMix64: small, and the same everywhere.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Random(seed)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

/// Prints the fastest and the median of 60 runs.
pub fn report_ms(what: &str, mut work: impl FnMut()) {
    let mut ms: Vec<f64> = (0..60)
        .map(|_| {
            let start = std::time::Instant::now();
            work();
            start.elapsed().as_secs_f64() * 1e3
        })
        .collect();
    ms.sort_by(f64::total_cmp);
    println!("{what}: best {:.3} ms, median {:.3} ms", ms[0], ms[30]);
}

/// Writes a BGRX picture as a PNG for people to look at, under `target/`.
pub fn write_png(path: &std::path::Path, bgrx: &[u8], width: usize, height: usize) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let mut encoder = png::Encoder::new(std::io::BufWriter::new(std::fs::File::create(path).unwrap()), width as u32, height as u32);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    let rgb: Vec<u8> = bgrx.chunks_exact(4).flat_map(|p| [p[2], p[1], p[0]]).collect();
    encoder.write_header().unwrap().write_image_data(&rgb).unwrap();
}
