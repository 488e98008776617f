//! How the camera has moved between two frames: the shift of the background in the network's input, instruments left out.
//! Iterated least squares on brightness (Lucas and Kanade 1981), coarse enough for every frame.

use crate::infer::{InputSpec, TensorLayout};
use crate::scene::ClassMask;

/// Side of the blocks that are averaged to one sample, input pixels.
const BLOCK: usize = 4;
const ROUNDS: usize = 4;
/// Largest shift that is believed, samples.
const MOST: f32 = 4.0;
/// Samples brighter than this (of 255) are reflections and go their own way.
const SHINY: f32 = 235.0;
/// The camera has moved if the shift explains so much of what has changed ...
const EXPLAINED: f32 = 0.25;
/// ... and there was something to explain, levels (root mean square).
const CHANGED: f32 = 0.4;

/// Compares each frame with the one before it.
#[derive(Debug, Default)]
pub struct Camera {
    width: usize,
    height: usize,
    before: Vec<f32>,
    now: Vec<f32>,
    background: Vec<bool>,
}

impl Camera {
    /// Takes in the input for a frame; `mask`, of this or the last frame, says where instruments are. Returns the shift since
    /// the frame before, as parts of the picture's width and height; None where that cannot be told, or nothing moved.
    pub fn shift(&mut self, input: &[f32], spec: &InputSpec, mask: &ClassMask) -> Option<[f32; 2]> {
        let (w, h) = (spec.width as usize, spec.height as usize);
        let (width, height) = (w / BLOCK, h / BLOCK);
        let is_first = (self.width, self.height) != (width, height);
        (self.width, self.height) = (width, height);
        std::mem::swap(&mut self.before, &mut self.now);
        self.now.clear();
        self.now.resize(width * height, 0.0);
        for channel in 0..3 {
            let gain = 85.0 * spec.std[channel] / (BLOCK * BLOCK) as f32;
            let offset = 85.0 * spec.mean[channel];
            for (at, now) in self.now.iter_mut().enumerate() {
                let (x, y) = (at % width * BLOCK, at / width * BLOCK);
                let mut sum = 0.0;
                for row in y..y + BLOCK {
                    match spec.layout {
                        TensorLayout::Nchw => sum += input[(channel * h + row) * w + x..][..BLOCK].iter().sum::<f32>(),
                        TensorLayout::Nhwc => sum += (x..x + BLOCK).map(|x| input[(row * w + x) * 3 + channel]).sum::<f32>(),
                    }
                }
                *now += sum * gain + offset;
            }
        }
        if is_first || self.before.len() != self.now.len() {
            return None;
        }
        self.find_background(mask);
        let s = self.solve();
        if std::env::var_os("TRK_DEBUG").is_some() {
            eprintln!("camera {s:?}");
        }
        s
    }

    /// Neither an instrument nor beside one, and no reflection.
    fn find_background(&mut self, mask: &ClassMask) {
        let classes = crate::base::classes::table();
        let is_instrument: [bool; 256] = std::array::from_fn(|id| classes.is_instrument(crate::base::ids::ClassId(id as u8)));
        let (width, height) = (self.width, self.height);
        let (mw, mh) = (mask.width as usize, mask.height as usize);
        self.background.clear();
        self.background.resize(width * height, true);
        for y in 0..height {
            for x in 0..width {
                let id = mask.ids[(2 * y + 1) * mh / (2 * height) * mw + (2 * x + 1) * mw / (2 * width)];
                let at = y * width + x;
                if is_instrument[usize::from(id)] {
                    for row in y.saturating_sub(2)..(y + 3).min(height) {
                        self.background[row * width + x.saturating_sub(2)..row * width + (x + 3).min(width)].fill(false);
                    }
                }
                if self.now[at] > SHINY || self.before[at] > SHINY {
                    self.background[at] = false;
                }
            }
        }
    }

    fn solve(&self) -> Option<[f32; 2]> {
        let (width, height) = (self.width, self.height);
        let mut shift = [0f32; 2];
        let (mut first, mut last) = (0.0, 0.0);
        for round in 0..=ROUNDS {
            let (mut a, mut b, mut error, mut count) = ([0f32; 3], [0f32; 2], 0f32, 0u32);
            for y in 2..height - 2 {
                for x in 2..width - 2 {
                    let at = y * width + x;
                    if !self.background[at] {
                        continue;
                    }
                    let gx = 0.5 * (self.before[at + 1] - self.before[at - 1]);
                    let gy = 0.5 * (self.before[at + width] - self.before[at - width]);
                    // What was here is there now.
                    let Some(value) = self.sample(x as f32 + shift[0], y as f32 + shift[1]) else { continue };
                    let off = value - self.before[at];
                    a = [a[0] + gx * gx, a[1] + gx * gy, a[2] + gy * gy];
                    b = [b[0] + gx * off, b[1] + gy * off];
                    error += off * off;
                    count += 1;
                }
            }
            if count < 200 {
                return None;
            }
            last = error / count as f32;
            if round == 0 {
                first = last;
            }
            if round == ROUNDS {
                break;
            }
            let determinant = a[0] * a[2] - a[1] * a[1];
            if determinant < 1e-3 * (a[0] + a[2]).powi(2) || a[0] + a[2] < count as f32 {
                return None;
            }
            shift[0] -= (a[2] * b[0] - a[1] * b[1]) / determinant;
            shift[1] -= (a[0] * b[1] - a[1] * b[0]) / determinant;
            let way = shift[0].hypot(shift[1]);
            if way.is_nan() || way > MOST {
                return None;
            }
        }
        let has_moved = first.sqrt() >= CHANGED && last <= (1.0 - EXPLAINED) * first;
        has_moved.then(|| [shift[0] / width as f32, shift[1] / height as f32])
    }

    /// Between the samples of the present frame; None outside.
    fn sample(&self, x: f32, y: f32) -> Option<f32> {
        if x < 0.0 || y < 0.0 || x >= (self.width - 1) as f32 || y >= (self.height - 1) as f32 {
            return None;
        }
        let (ix, iy) = (x as usize, y as usize);
        let (fx, fy) = (x - ix as f32, y - iy as f32);
        let row = |y: usize| self.now[y * self.width + ix] * (1.0 - fx) + self.now[y * self.width + ix + 1] * fx;
        Some(row(iy) * (1.0 - fy) + row(iy + 1) * fy)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::infer::{ColourOrder, Resize};

    fn spec() -> InputSpec {
        let (mean, std) = ([0.4, 0.5, 0.6], [0.2, 0.25, 0.3]);
        let (layout, colour, resize) = (TensorLayout::Nchw, ColourOrder::Rgb, Resize::Stretch);
        InputSpec { name: "image".to_owned(), layout, width: 320, height: 192, colour, resize, mean, std }
    }

    /// Tissue seen from (dx, dy) input pixels further left and up, and a bar that does not move with it.
    fn input(dx: f32, dy: f32, bar: usize) -> Vec<f32> {
        let spec = spec();
        let mut data = vec![0.0; 3 * 320 * 192];
        for i in 0..320 * 192 {
            let (x, y) = ((i % 320) as f32 - dx, (i / 320) as f32 - dy);
            let tissue = 120.0 + 30.0 * ((x / 17.0).sin() + (y / 13.0).cos() + (x / 31.0 - y / 23.0).sin());
            let value = if (bar..bar + 60).contains(&(i % 320)) && i / 320 > 60 { 20.0 + (i % 7) as f32 } else { tissue };
            for channel in 0..3 {
                data[channel * 320 * 192 + i] = (value / 255.0 - spec.mean[channel]) / spec.std[channel];
            }
        }
        data
    }

    fn mask(bar: usize) -> ClassMask {
        let ids = (0..320 * 192).map(|i| if (bar..bar + 60).contains(&(i % 320)) && i / 320 > 60 { 13 } else { 2 }).collect();
        ClassMask { width: 320, height: 192, ids }
    }

    #[test]
    fn the_backgrounds_shift_is_found_whatever_the_instrument_does() {
        for (dx, dy) in [(3.0, 0.0), (-2.0, 5.0), (0.8, -0.6), (9.0, 4.0)] {
            let mut camera = Camera::default();
            assert_eq!(camera.shift(&input(0.0, 0.0, 100), &spec(), &mask(100)), None);
            let [x, y] = camera.shift(&input(dx, dy, 110), &spec(), &mask(110)).unwrap();
            let most = 0.3 + 0.04 * f32::hypot(dx, dy);
            assert!((x * 320.0 - dx).abs() < most && (y * 192.0 - dy).abs() < most, "({dx}, {dy}): {} {}", x * 320.0, y * 192.0);
        }
    }

    #[test]
    fn a_moving_instrument_alone_and_a_flat_picture_are_no_camera_motion() {
        let mut camera = Camera::default();
        camera.shift(&input(0.0, 0.0, 100), &spec(), &mask(100));
        assert_eq!(camera.shift(&input(0.0, 0.0, 120), &spec(), &mask(110)), None);
        let flat = vec![0.3; 3 * 320 * 192];
        camera.shift(&flat, &spec(), &mask(100));
        assert_eq!(camera.shift(&flat, &spec(), &mask(100)), None);
    }
}
