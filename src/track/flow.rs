//! How the picture has moved between two frames in a small patch, to parts of a pixel: what a mask's edge cannot say.
//! Iterated least squares on brightness (Lucas and Kanade 1981) in the network's input, on the instrument's own pixels.

use super::lanes::Lanes;
use super::shrunk::Pair;
use crate::base::ids::ClassId;
use crate::infer::Fit;
use crate::scene::ClassMask;
use bytemuck::{Pod, Zeroable};

const ROUNDS: usize = 6;
/// Fewer samples say nothing.
const SAMPLES: u32 = 24;
/// The patch has been found if what remains is below this, levels (root mean square), or this part of its contrast.
const FOUND_TO: f32 = 4.0;
const FOUND_PART: f32 = 0.5;
/// The result lies within so many samples of the guess.
const FAR: f32 = 5.0;
/// Standard deviation of brightness that is expected beside noise, levels: light changes as things move.
const LIGHT: f32 = 2.0;

/// A part of the captured picture, in its pixels, whose flow is asked for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Patch {
    pub centre: [f32; 2],
    /// Half a side.
    pub reach: f32,
    /// About how far it has moved since the frame before.
    pub guess: [f32; 2],
    /// Only pixels count that the mask gives to it.
    pub class: ClassId,
}

/// How a captured picture lies in half the pixels of the input.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Place {
    /// Samples a pixel of the captured picture, each way, and where the picture begins in them.
    pub scale: [f32; 2],
    pub start: [f32; 2],
    pub picture: [u32; 2],
}

/// A patch in those samples.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Pod, Zeroable)]
pub struct Window {
    pub from: [u32; 2],
    /// Outside.
    pub end: [u32; 2],
    pub guess: [f32; 2],
    pub class: u32,
}

/// What comes out of the least squares, in samples.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Pod, Zeroable)]
pub struct Solved {
    /// 1, or nothing is found.
    pub is_found: u32,
    pub shift: [f32; 2],
    /// Of the gradients' squares: xx, xy, yy.
    pub gradients: [f32; 3],
    /// What remains, and how much there is to see, levels.
    pub error: f32,
    pub contrast: f32,
}

/// Two frames at half the input's resolution, and how the picture lies in them.
#[derive(Debug, Clone, Copy)]
pub struct Flow<'a> {
    half: &'a Pair,
    place: Place,
}

/// A shift with what is known of its accuracy.
#[derive(Debug, Clone, Copy)]
pub struct Moved {
    /// Pixels of the captured picture.
    pub shift: [f32; 2],
    /// Covariance xx, xy, yy, px².
    covariance: [f32; 3],
}

impl Moved {
    /// Standard deviation along `axis` and across it, px. Along a smooth shaft nothing can be told.
    pub fn deviation(&self, axis: [f32; 2]) -> [f32; 2] {
        let [xx, xy, yy] = self.covariance;
        let of = |[x, y]: [f32; 2]| (xx * x * x + 2.0 * xy * x * y + yy * y * y).max(0.0).sqrt();
        [of(axis), of([-axis[1], axis[0]])]
    }
}

impl Place {
    /// `fit`: where in the input the picture lies.
    pub fn new(fit: Fit, picture: [u32; 2]) -> Self {
        let fit = [[fit.x, fit.width], [fit.y, fit.height]];
        let scale = [0, 1].map(|i| fit[i][1] as f32 / picture[i] as f32 / 2.0);
        Place { scale, start: fit.map(|[start, _]| start as f32 / 2.0), picture }
    }

    /// `sides`: of the samples.
    pub fn window(&self, patch: &Patch, sides: [usize; 2]) -> Window {
        let middle = [0, 1].map(|i| patch.centre[i] * self.scale[i] + self.start[i] - 0.5);
        let half = [0, 1].map(|i| patch.reach * self.scale[i]);
        Window {
            from: [0, 1].map(|i| (middle[i] - half[i]).max(1.0) as u32),
            end: [0, 1].map(|i| ((middle[i] + half[i]).max(0.0) as usize + 1).min(sides[i] - 1) as u32),
            guess: [0, 1].map(|i| patch.guess[i] * self.scale[i]),
            class: patch.class.0.into(),
        }
    }

    /// None: it has not been found.
    pub fn moved(&self, solved: &Solved) -> Option<Moved> {
        let Solved { is_found, shift, gradients: a, error, contrast } = *solved;
        if is_found == 0 || error > FOUND_TO.max(FOUND_PART * contrast) {
            return None;
        }
        let noise = error * error + LIGHT * LIGHT;
        let stiff = 1e-3 * (a[0] + a[2]) + 1e-3;
        let determinant = (a[0] + stiff) * (a[2] + stiff) - a[1] * a[1];
        // Neighbours are not independent: as if there were a quarter of them.
        let covariance = [(a[2] + stiff) / determinant, -a[1] / determinant, (a[0] + stiff) / determinant].map(|v| 4.0 * v * noise);
        let [sx, sy] = self.scale;
        Some(Moved {
            shift: [shift[0] / sx, shift[1] / sy],
            covariance: [covariance[0] / (sx * sx), covariance[1] / (sx * sy), covariance[2] / (sy * sy)],
        })
    }
}

impl<'a> Flow<'a> {
    pub fn new(half: &'a Pair, place: Place) -> Self {
        Flow { half, place }
    }

    /// How what is now in `patch` has moved since the frame before, if that was about as it guesses.
    pub fn at(&self, patch: &Patch, mask: &ClassMask) -> Option<Moved> {
        if self.half.before.is_empty() {
            return None;
        }
        self.place.moved(&self.solve(&self.place.window(patch, [self.half.width, self.half.height]), mask))
    }

    /// There is a frame before.
    pub fn solve(&self, window: &Window, mask: &ClassMask) -> Solved {
        let Place { scale, start: begin, picture } = self.place;
        let is_own = |x: usize, y: usize| {
            let part =
                [(x as f32 + 0.5 - begin[0]) / scale[0] / picture[0] as f32, (y as f32 + 0.5 - begin[1]) / scale[1] / picture[1] as f32];
            let at = [(part[0] * mask.width as f32) as usize, (part[1] * mask.height as f32) as usize];
            at[0] < mask.width as usize
                && at[1] < mask.height as usize
                && u32::from(mask.ids[at[1] * mask.width as usize + at[0]]) == window.class
        };
        let range = |i: usize| window.from[i] as usize..window.end[i] as usize;
        let start = window.guess;
        let mut shift = start;
        let (mut a, mut error, mut contrast) = ([0f32; 3], 0f32, 0f32);
        for _ in 0..ROUNDS {
            let (mut sums, mut count) = (Lanes::default(), 0u32);
            for y in range(1) {
                for x in range(0) {
                    if !is_own(x, y) {
                        continue;
                    }
                    let here = self.half.now[y * self.half.width + x];
                    let Some((value, gx, gy)) = self.sample(x as f32 - shift[0], y as f32 - shift[1]) else { continue };
                    let off = here - value;
                    // Far outliers are shine and what lies under the edge.
                    let weight = 1.0 / (1.0 + (off / 12.0).powi(2));
                    let number = (y - range(1).start) * range(0).len() + x - range(0).start;
                    let (across, down, rest) = (weight * gx, weight * gy, weight * off);
                    sums.add(number, [across * gx, across * gy, down * gy, across * off, down * off, rest * off, here, here * here]);
                    count += 1;
                }
            }
            if count < SAMPLES {
                return Solved::default();
            }
            let [xx, xy, yy, x_off, y_off, remaining, sum, square] = sums.sums();
            let b = [x_off, y_off];
            a = [xx, xy, yy];
            let mean = sum / count as f32;
            contrast = (square / count as f32 - mean * mean).max(0.0).sqrt();
            error = (remaining / count as f32).sqrt();
            // A little stiffness: what cannot be told stays as guessed.
            let stiff = 0.02 * (a[0] + a[2]) + 1.0;
            let determinant = (a[0] + stiff) * (a[2] + stiff) - a[1] * a[1];
            // What was at x − shift is at x: more shift, less of the gradient.
            shift[0] -= ((a[2] + stiff) * b[0] - a[1] * b[1]) / determinant;
            shift[1] -= ((a[0] + stiff) * b[1] - a[1] * b[0]) / determinant;
            let way = (shift[0] - start[0]).hypot(shift[1] - start[1]);
            if way.is_nan() || way > FAR {
                return Solved::default();
            }
        }
        Solved { is_found: 1, shift, gradients: a, error, contrast }
    }

    /// Value and gradient of the frame before between its samples; None outside.
    fn sample(&self, x: f32, y: f32) -> Option<(f32, f32, f32)> {
        let Pair { width, height, before, .. } = self.half;
        let inside = x >= 1.0 && y >= 1.0 && x < (width - 2) as f32 && y < (height - 2) as f32;
        if !inside {
            return None;
        }
        let (ix, iy) = (x as usize, y as usize);
        let (fx, fy) = (x - ix as f32, y - iy as f32);
        let at = iy * width + ix;
        let [a, b, c, d] = [at, at + 1, at + width, at + width + 1].map(|at| before[at]);
        let (top, bottom) = (a + (b - a) * fx, c + (d - c) * fx);
        let gx = (b - a) * (1.0 - fy) + (d - c) * fy;
        Some((top + (bottom - top) * fy, gx, bottom - top))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::infer::{ColourOrder, Fit, InputSpec, Resize, TensorLayout};
    use crate::track::shrunk::Shrunk;

    fn spec() -> InputSpec {
        let (mean, std) = ([0.4, 0.5, 0.6], [0.2, 0.25, 0.3]);
        let (layout, colour, resize) = (TensorLayout::Nchw, ColourOrder::Rgb, Resize::Stretch);
        InputSpec { name: "image".to_owned(), layout, width: 320, height: 192, colour, resize, mean, std }
    }

    /// A plate over (100..180, 60..130) whose pattern is shifted; the ground is not. `striped`: only across x.
    fn input(dx: f32, dy: f32, striped: bool) -> Vec<f32> {
        let spec = spec();
        let mut data = vec![0.0; 3 * 320 * 192];
        for i in 0..320 * 192 {
            let (x, y) = ((i % 320) as f32, (i / 320) as f32);
            let on_plate = (100.0..180.0).contains(&x) && (60.0..130.0).contains(&y);
            let (u, v) = if on_plate { (x - dx, y - dy) } else { (x * 1.7, y * 1.7) };
            let value = 110.0 + 40.0 * (u / 6.0).sin() + if striped { 0.0 } else { 40.0 * (v / 7.0).cos() };
            for channel in 0..3 {
                data[channel * 320 * 192 + i] = (value / 255.0 - spec.mean[channel]) / spec.std[channel];
            }
        }
        data
    }

    fn flow(dx: f32, dy: f32, striped: bool, guess: [f32; 2]) -> Option<Moved> {
        let (spec, mut shrunk) = (spec(), Shrunk::default());
        let picture = [640, 384];
        let fit = Fit { x: 0, y: 0, width: 320, height: 192 };
        let [before, now] = [input(0.0, 0.0, striped), input(dx, dy, striped)];
        shrunk.show(&before, &spec);
        shrunk.show(&now, &spec);
        let flow = Flow::new(&shrunk.half, Place::new(fit, picture));
        let ids = (0..320 * 192).map(|i| if (104..176).contains(&(i % 320)) && (64..126).contains(&(i / 320)) { 13 } else { 2 }).collect();
        flow.at(&Patch { centre: [280.0, 190.0], reach: 50.0, guess, class: ClassId(13) }, &ClassMask { width: 320, height: 192, ids })
    }

    #[test]
    fn a_patch_is_followed_to_a_part_of_a_pixel() {
        for (dx, dy) in [(0.0, 0.0), (1.5, 0.0), (-0.6, 2.2), (3.0, -2.0)] {
            let moved = flow(dx, dy, false, [0.0; 2]).unwrap();
            // Input pixels are two pixels of the picture.
            assert!((moved.shift[0] - 2.0 * dx).abs() < 0.4 && (moved.shift[1] - 2.0 * dy).abs() < 0.4, "({dx}, {dy}): {moved:?}");
        }
        let far = flow(9.0, 8.0, false, [15.0, 19.0]).unwrap();
        assert!((far.shift[0] - 18.0).abs() < 0.6 && (far.shift[1] - 16.0).abs() < 0.6, "from a guess: {far:?}");
    }

    #[test]
    fn along_stripes_nothing_is_claimed() {
        let moved = flow(1.0, 3.0, true, [0.0, 4.0]).unwrap();
        let [across, along] = moved.deviation([1.0, 0.0]);
        assert!((moved.shift[0] - 2.0).abs() < 0.4 && along > 8.0 * across, "{moved:?}");
    }

    #[test]
    fn one_frame_alone_says_nothing() {
        let (spec, mut shrunk, data) = (spec(), Shrunk::default(), input(0.0, 0.0, false));
        let fit = Fit { x: 0, y: 0, width: 320, height: 192 };
        shrunk.show(&data, &spec);
        let flow = Flow::new(&shrunk.half, Place::new(fit, [640, 384]));
        let mask = ClassMask { width: 1, height: 1, ids: vec![13] };
        assert!(flow.at(&Patch { centre: [280.0, 190.0], reach: 50.0, guess: [0.0; 2], class: ClassId(13) }, &mask).is_none());
    }
}
