//! Pictures and measurements for this room's tests.

use crate::base::ids::FrameId;
use crate::base::random::Random;
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
        let data = (0..layout.size).map(|_| random.next_u64() as u8).collect();
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

/// How somebody sees colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sight {
    Normal,
    Protanopia,
    Deuteranopia,
    Tritanopia,
}

impl Sight {
    pub const ALL: [Sight; 4] = [Sight::Normal, Sight::Protanopia, Sight::Deuteranopia, Sight::Tritanopia];

    /// On linear R, G, B: Machado, Oliveira and Fernandes 2009 (IEEE TVCG 15:1291), severity 1.0.
    fn matrix(self) -> [[f64; 3]; 3] {
        match self {
            Sight::Normal => [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]],
            Sight::Protanopia => [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
            Sight::Deuteranopia => [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
            Sight::Tritanopia => [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
        }
    }
}

/// CIELAB (D65) of an sRGB colour as it is seen.
pub fn lab(rgb: [u8; 3], sight: Sight) -> [f64; 3] {
    let product = |m: [[f64; 3]; 3], v: [f64; 3]| m.map(|row| row[0] * v[0] + row[1] * v[1] + row[2] * v[2]);
    let linear = rgb.map(|c| f64::from(c) / 255.0).map(|c| if c <= 0.04045 { c / 12.92 } else { ((c + 0.055) / 1.055).powf(2.4) });
    let seen = product(sight.matrix(), linear).map(|c| c.clamp(0.0, 1.0));
    let xyz = product([[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]], seen);
    let f = |t: f64| if t > 0.008856 { t.cbrt() } else { 7.787 * t + 16.0 / 116.0 };
    let [x, y, z] = [f(xyz[0] / 0.95047), f(xyz[1]), f(xyz[2] / 1.08883)];
    [116.0 * y - 16.0, 500.0 * (x - y), 200.0 * (y - z)]
}

/// CIE 1976.
pub fn delta_e(a: [f64; 3], b: [f64; 3]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum::<f64>().sqrt()
}
