//! How the camera has moved between two frames: the shift of the background in the network's input, instruments left out.
//! Iterated least squares on brightness (Lucas and Kanade 1981), coarse enough for every frame.

use super::lanes::Lanes;
use super::shrunk::Pair;
use crate::scene::ClassMask;

const ROUNDS: usize = 4;
/// A step shorter than this needs no further one, samples.
const SETTLED: f32 = 0.003;
/// Largest shift that is believed, samples.
const MOST: f32 = 4.0;
/// Samples brighter than this (of 255) are reflections and go their own way.
const SHINY: f32 = 235.0;
/// The camera has moved if the shift explains so much of what has changed ...
const EXPLAINED: f32 = 0.25;
/// ... and there was something to explain, levels (root mean square).
const CHANGED: f32 = 0.4;

/// Compares each frame with the one before it; its working memory is kept.
#[derive(Debug, Default)]
pub struct Camera {
    background: Vec<bool>,
    samples: Vec<Sample>,
}

/// One of the frame before: which of the inner ones, where, how bright, and its gradient.
#[derive(Debug, Clone, Copy)]
struct Sample {
    number: u32,
    at: [f32; 2],
    value: f32,
    gradient: [f32; 2],
}

impl Camera {
    /// `mask`, of this or the last frame, says where instruments are. Returns the shift since the frame before, as parts of the
    /// picture's width and height; None where that cannot be told.
    pub fn shift(&mut self, quarter: &Pair, mask: &ClassMask) -> Option<[f32; 2]> {
        if quarter.before.len() != quarter.now.len() || quarter.width < 5 || quarter.height < 5 {
            return None;
        }
        self.find_background(quarter, mask);
        self.take_samples(quarter);
        self.solve(quarter)
    }

    /// Neither an instrument nor beside one, and no reflection.
    fn find_background(&mut self, quarter: &Pair, mask: &ClassMask) {
        let classes = crate::base::classes::table();
        let is_instrument: [bool; 256] = std::array::from_fn(|id| classes.is_instrument(crate::base::ids::ClassId(id as u8)));
        let (width, height) = (quarter.width, quarter.height);
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
                if quarter.now[at] > SHINY || quarter.before[at] > SHINY {
                    self.background[at] = false;
                }
            }
        }
    }

    fn take_samples(&mut self, Pair { width, height, before, .. }: &Pair) {
        self.samples.clear();
        for y in 2..height - 2 {
            for x in 2..width - 2 {
                let at = y * width + x;
                if self.background[at] {
                    let gradient = [0.5 * (before[at + 1] - before[at - 1]), 0.5 * (before[at + width] - before[at - width])];
                    let number = ((y - 2) * (width - 4) + x - 2) as u32;
                    self.samples.push(Sample { number, at: [x as f32, y as f32], value: before[at], gradient });
                }
            }
        }
    }

    fn solve(&self, quarter: &Pair) -> Option<[f32; 2]> {
        let mut shift = [0f32; 2];
        let (mut first, mut last) = (0.0, 0.0);
        let mut is_settled = false;
        for round in 0..=ROUNDS {
            let (mut sums, mut count) = (Lanes::default(), 0u32);
            for &Sample { number, at: [x, y], value: before, gradient: [gx, gy] } in &self.samples {
                // What was here is there now.
                let Some(value) = between(quarter, x + shift[0], y + shift[1]) else { continue };
                let off = value - before;
                sums.add(number as usize, [gx * gx, gx * gy, gy * gy, gx * off, gy * off, off * off]);
                count += 1;
            }
            let [xx, xy, yy, x_off, y_off, error] = sums.sums();
            let (a, b) = ([xx, xy, yy], [x_off, y_off]);
            if count < 200 {
                return None;
            }
            last = error / count as f32;
            if round == 0 {
                first = last;
                if first.sqrt() < CHANGED {
                    return Some([0.0; 2]);
                }
            }
            if round == ROUNDS || is_settled {
                break;
            }
            let determinant = a[0] * a[2] - a[1] * a[1];
            if determinant < 1e-3 * (a[0] + a[2]).powi(2) || a[0] + a[2] < count as f32 {
                return None;
            }
            let step = [(a[2] * b[0] - a[1] * b[1]) / determinant, (a[0] * b[1] - a[1] * b[0]) / determinant];
            shift = [shift[0] - step[0], shift[1] - step[1]];
            is_settled = step[0].hypot(step[1]) < SETTLED;
            let way = shift[0].hypot(shift[1]);
            if way.is_nan() || way > MOST {
                return None;
            }
        }
        (last <= (1.0 - EXPLAINED) * first).then(|| [shift[0] / quarter.width as f32, shift[1] / quarter.height as f32])
    }
}

/// Between the samples of the present frame; None outside.
fn between(quarter: &Pair, x: f32, y: f32) -> Option<f32> {
    if x < 0.0 || y < 0.0 || x >= (quarter.width - 1) as f32 || y >= (quarter.height - 1) as f32 {
        return None;
    }
    let (ix, iy) = (x as usize, y as usize);
    let (fx, fy) = (x - ix as f32, y - iy as f32);
    let at = iy * quarter.width + ix;
    let (upper, lower) = (&quarter.now[at..at + 2], &quarter.now[at + quarter.width..at + quarter.width + 2]);
    let (top, bottom) = (upper[0] + (upper[1] - upper[0]) * fx, lower[0] + (lower[1] - lower[0]) * fx);
    Some(top + (bottom - top) * fy)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::infer::{ColourOrder, InputSpec, Resize, TensorLayout};
    use crate::track::shrunk::Shrunk;

    #[derive(Default)]
    struct Watching(Camera, Shrunk);

    impl Watching {
        fn shift(&mut self, input: &[f32], mask: &ClassMask) -> Option<[f32; 2]> {
            self.1.show(input, &spec());
            self.0.shift(&self.1.quarter, mask)
        }
    }

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
            let mut camera = Watching::default();
            assert_eq!(camera.shift(&input(0.0, 0.0, 100), &mask(100)), None);
            let [x, y] = camera.shift(&input(dx, dy, 110), &mask(110)).unwrap();
            let most = 0.3 + 0.04 * f32::hypot(dx, dy);
            assert!((x * 320.0 - dx).abs() < most && (y * 192.0 - dy).abs() < most, "({dx}, {dy}): {} {}", x * 320.0, y * 192.0);
        }
    }

    #[test]
    fn a_moving_instrument_alone_and_a_flat_picture_are_no_camera_motion() {
        let mut camera = Watching::default();
        camera.shift(&input(0.0, 0.0, 100), &mask(100));
        let still = |shift: Option<[f32; 2]>| shift.is_none_or(|shift| shift[0].hypot(shift[1]) < 1e-3);
        assert!(still(camera.shift(&input(0.0, 0.0, 120), &mask(110))));
        let flat = vec![0.3; 3 * 320 * 192];
        camera.shift(&flat, &mask(100));
        assert!(still(camera.shift(&flat, &mask(100))));
    }
}
