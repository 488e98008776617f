//! A display and capture path for tests: scaling, geometry, tone, noise and the lossy part of JPEG, of a fixed seed.

use super::*;
use crate::frame::{Matrix, Range};

pub const LIMITED: Signal = Signal { matrix: Matrix::Bt709, range: Range::Limited };
pub const FULL: Signal = Signal { matrix: Matrix::Bt709, range: Range::Full };

/// SplitMix64.
#[derive(Debug, Clone)]
pub struct Dice(pub u64);

impl Dice {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// From `low` up to `high`.
    pub fn between(&mut self, low: f32, high: f32) -> f32 {
        low + (high - low) * (self.next() >> 40) as f32 / (1 << 24) as f32
    }

    pub fn below(&mut self, count: usize) -> usize {
        (self.next() % count as u64) as usize
    }

    pub fn number(&mut self) -> u32 {
        (self.next() >> 20) as u32 % NUMBERS
    }

    /// Normal, of unit deviation: the sum of twelve.
    fn normal(&mut self) -> f32 {
        (0..12).map(|_| self.between(0.0, 1.0)).sum::<f32>() - 6.0
    }
}

/// A luma picture.
#[derive(Debug, Clone)]
pub struct Luma {
    pub data: Vec<u8>,
    pub width: usize,
    pub height: usize,
}

impl Luma {
    pub fn capture(&self) -> Capture<'_> {
        Capture::luma(&self.data, self.width, self.width, self.height).unwrap()
    }

    pub fn paint(&mut self, signal: Signal, placement: Placement, number: u32) {
        paint(Target::Luma { plane: &mut self.data, stride: self.width }, signal, placement, number).unwrap();
    }

    /// One of some backgrounds.
    pub fn background(width: usize, height: usize, dice: &mut Dice) -> Self {
        let kind = dice.below(5);
        let (level, slope) = (dice.between(16.0, 235.0), dice.between(-0.5, 0.5));
        let period = 3 + dice.below(40);
        let data = (0..width * height).map(|i| {
            let (x, y) = (i % width, i / width);
            match kind {
                0 => level as u8,
                1 => (level + slope * (x as f32 + y as f32)).clamp(16.0, 235.0) as u8,
                2 => 16 + (dice.next() % 220) as u8,
                3 => 16 + 219 * ((x / period + y / period) % 2) as u8,
                _ => 16 + 219 * ((x / period) % 2) as u8,
            }
        });
        Luma { data: data.collect(), width, height }
    }

    /// Between four pixels, in 256ths.
    fn bilinear(&self, x: f32, y: f32) -> f32 {
        let fixed = |at: f32, size: usize| (((at - 0.5) * 256.0) as i32).clamp(0, (size as i32 - 1) * 256 - 1);
        let (x, y) = (fixed(x, self.width), fixed(y, self.height));
        let from = (y >> 8) as usize * self.width + (x >> 8) as usize;
        let rows = &self.data[from..from + self.width + 2];
        let row = |at: usize| {
            let (a, b) = (i32::from(rows[at]), i32::from(rows[at + 1]));
            (a << 8) + (b - a) * (x & 255)
        };
        let (above, below) = (row(0), row(self.width));
        ((above << 8) + (below - above) * (y & 255)) as f32 / 65536.0
    }

    /// Rows from `from` on are those of `other`.
    pub fn torn(&self, other: &Luma, from: usize) -> Luma {
        let mut torn = self.clone();
        torn.data[from * self.width..].copy_from_slice(&other.data[from * self.width..]);
        torn
    }

    /// `share` of 256 of `other`.
    pub fn blended(&self, other: &Luma, share: u32) -> Luma {
        let mut blended = self.clone();
        for (to, &from) in blended.data.iter_mut().zip(&other.data) {
            *to = ((u32::from(*to) * (256 - share) + u32::from(from) * share + 128) >> 8) as u8;
        }
        blended
    }
}

/// What happens between the painted picture and the captured one.
#[derive(Debug, Clone)]
pub struct Path {
    pub scale: [f32; 2],
    /// Added to the unit matrix: stretch, shear and rotation of up to 5 %.
    pub bend: [f32; 4],
    /// Along each axis, over the whole picture.
    pub keystone: [f32; 2],
    /// In source pixels.
    pub shift: [f32; 2],
    /// Averages the area of a capture pixel, else takes the four source pixels around its middle.
    pub area: bool,
    pub gamma: f32,
    pub gain: f32,
    pub lift: f32,
    pub noise_sigma: f32,
    pub jpeg: bool,
}

impl Path {
    pub const EXACT: Path = Path {
        scale: [1.0; 2],
        bend: [0.0; 4],
        keystone: [0.0; 2],
        shift: [0.0; 2],
        area: false,
        gamma: 1.0,
        gain: 1.0,
        lift: 0.0,
        noise_sigma: 0.0,
        jpeg: false,
    };

    /// Anything up to the limits.
    pub fn hard(dice: &mut Dice) -> Path {
        let both = |dice: &mut Dice, reach: f32| dice.between(-reach, reach);
        Path {
            scale: [(); 2].map(|()| dice.between(-1.0, 1.0).exp2()),
            bend: [(); 4].map(|()| both(dice, 0.05)),
            keystone: [(); 2].map(|()| both(dice, 0.05)),
            shift: [(); 2].map(|()| both(dice, 6.0)),
            area: dice.below(2) == 0,
            gamma: dice.between(0.7, 1.4),
            gain: dice.between(0.6, 1.0),
            lift: dice.between(0.0, 30.0),
            noise_sigma: dice.between(0.0, 20.0),
            jpeg: dice.below(2) == 0,
        }
    }

    /// What a good path does.
    pub fn moderate(dice: &mut Dice) -> Path {
        let hard = Path::hard(dice);
        Path {
            scale: hard.scale.map(|scale| scale.clamp(0.67, 1.5)),
            bend: hard.bend.map(|bend| 0.4 * bend),
            keystone: hard.keystone.map(|keystone| 0.4 * keystone),
            gamma: hard.gamma.clamp(0.85, 1.2),
            gain: hard.gain.max(0.8),
            noise_sigma: 0.5 * hard.noise_sigma,
            ..hard
        }
    }

    /// Where a place of the capture comes from.
    pub fn source(&self, from: &Luma, size: [usize; 2], x: f32, y: f32) -> [f32; 2] {
        let a = (x - size[0] as f32 / 2.0) / self.scale[0];
        let b = (y - size[1] as f32 / 2.0) / self.scale[1];
        let [xx, xy, yx, yy] = self.bend;
        let under = 1.0 / (1.0 + self.keystone[0] * a / from.width as f32 + self.keystone[1] * b / from.height as f32);
        let u = (a * (1.0 + xx) + b * xy) * under;
        let v = (a * yx + b * (1.0 + yy)) * under;
        [u + from.width as f32 / 2.0 + self.shift[0], v + from.height as f32 / 2.0 + self.shift[1]]
    }

    pub fn size(&self, from: &Luma) -> [usize; 2] {
        [(from.width as f32 * self.scale[0]).round() as usize, (from.height as f32 * self.scale[1]).round() as usize]
    }

    pub fn run(&self, from: &Luma, dice: &mut Dice) -> Luma {
        let size @ [width, height] = self.size(from);
        let tone: Vec<f32> =
            (0..=1020).map(|quarter| (self.lift + self.gain * (quarter as f32 / 1020.0).powf(self.gamma) * 255.0).min(255.0)).collect();
        let sparks: Vec<f32> = (0..4096).map(|_| self.noise_sigma * dice.normal()).collect();
        // Above the source's size, an area is a point.
        let is_smaller = self.scale[0].min(self.scale[1]) < 1.0;
        let taps: &[f32] = if self.area && is_smaller { &[-0.25, 0.25] } else { &[0.0] };
        let mut data = Vec::with_capacity(width * height);
        let mut sums = vec![0.0; width];
        for y in 0..height {
            sums.fill(0.0);
            for (tap_x, tap_y) in taps.iter().flat_map(|x| taps.iter().map(move |y| (x, y))) {
                for (x, sum) in sums.iter_mut().enumerate() {
                    let [u, v] = self.source(from, size, x as f32 + 0.5 + tap_x, y as f32 + 0.5 + tap_y);
                    *sum += from.bilinear(u, v);
                }
            }
            let quarters = 4.0 / (taps.len() * taps.len()) as f32;
            let mut spark = dice.next();
            data.extend(sums.iter().map(|sum| {
                spark = spark.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
                (tone[(sum * quarters) as usize] + sparks[(spark >> 52) as usize] + 0.5) as u8
            }));
        }
        let mut to = Luma { data, width, height };
        if self.jpeg {
            jpeg50(&mut to);
        }
        to
    }
}

/// ITU-T T.81, table K.1: what quality 50 divides luma by.
const QUANTISER: [[f32; 8]; 8] = [
    [16.0, 11.0, 10.0, 16.0, 24.0, 40.0, 51.0, 61.0],
    [12.0, 12.0, 14.0, 19.0, 26.0, 58.0, 60.0, 55.0],
    [14.0, 13.0, 16.0, 24.0, 40.0, 57.0, 69.0, 56.0],
    [14.0, 17.0, 22.0, 29.0, 51.0, 87.0, 80.0, 62.0],
    [18.0, 22.0, 37.0, 56.0, 68.0, 109.0, 103.0, 77.0],
    [24.0, 35.0, 55.0, 64.0, 81.0, 104.0, 113.0, 92.0],
    [49.0, 64.0, 78.0, 87.0, 103.0, 121.0, 120.0, 101.0],
    [72.0, 92.0, 95.0, 98.0, 112.0, 100.0, 103.0, 99.0],
];

type Square = [[f32; 8]; 8];

fn product(a: &Square, b: &Square) -> Square {
    let mut c = [[0.0; 8]; 8];
    for (row, a) in c.iter_mut().zip(a) {
        for (a, b) in a.iter().zip(b) {
            for (sum, b) in row.iter_mut().zip(b) {
                *sum += a * b;
            }
        }
    }
    c
}

/// What JPEG of quality 50 leaves of luma: each 8 × 8 block's cosine transform, divided, rounded, and back.
pub fn jpeg50(picture: &mut Luma) {
    let cosines: Square = std::array::from_fn(|k| {
        std::array::from_fn(|n| {
            let scale = if k == 0 { 0.125_f32 } else { 0.25 }.sqrt();
            scale * (std::f32::consts::PI * (2 * n + 1) as f32 * k as f32 / 16.0).cos()
        })
    });
    let turned: Square = std::array::from_fn(|k| std::array::from_fn(|n| cosines[n][k]));
    for (top, left) in (0..picture.height).step_by(8).flat_map(|y| (0..picture.width).step_by(8).map(move |x| (y, x))) {
        let at = |y: usize, x: usize| (top + y).min(picture.height - 1) * picture.width + (left + x).min(picture.width - 1);
        let block: Square = std::array::from_fn(|y| std::array::from_fn(|x| f32::from(picture.data[at(y, x)]) - 128.0));
        let mut parts = product(&product(&cosines, &block), &turned);
        for (part, by) in parts.iter_mut().flatten().zip(QUANTISER.iter().flatten()) {
            *part = (*part / by).round_ties_even() * by;
        }
        let block = product(&product(&turned, &parts), &cosines);
        for (y, row) in block.iter().enumerate().take(picture.height - top) {
            for (x, level) in row.iter().enumerate().take(picture.width - left) {
                picture.data[(top + y) * picture.width + left + x] = (level + 128.5).clamp(0.0, 255.0) as u8;
            }
        }
    }
}
