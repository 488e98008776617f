//! What an instrument looks like: a small colour histogram of its pixels in the network's input, good enough to tell one
//! from another and to know it again.

use super::decode::Detection;
use crate::infer::{ColourOrder, Fit, InputSpec, TensorLayout};
use crate::scene::ClassMask;

/// What the network was shown: the picture at its resolution.
#[derive(Clone, Copy)]
pub struct Shown<'a> {
    pub input: &'a [f32],
    pub spec: &'a InputSpec,
    pub fit: Fit,
    /// Size of the captured picture.
    pub picture: [u32; 2],
}

/// Every so many pixels of the mask one is looked at, each way.
const STEP: usize = 3;

impl Shown<'_> {
    /// The look of a detection: of the pixels in its box that the mask says are its class'.
    pub fn look(&self, detection: &Detection, mask: &ClassMask) -> Look {
        let (width, height) = (mask.width as usize, mask.height as usize);
        let column = |x: f32| ((x / self.picture[0] as f32 * width as f32).max(0.0) as usize).min(width);
        let row = |y: f32| ((y / self.picture[1] as f32 * height as f32).max(0.0) as usize).min(height);
        let [x0, y0, x1, y1] = detection.bbox;
        let rows = (row(y0)..row(y1)).step_by(STEP);
        let pixels = rows.flat_map(|y| (column(x0)..column(x1)).step_by(STEP).map(move |x| (x, y)));
        let own = pixels.filter(|&(x, y)| mask.ids[y * width + x] == detection.class.0);
        Look::of(own.map(|(x, y)| {
            self.colour(self.fit.x + (2 * x + 1) * self.fit.width / (2 * width), self.fit.y + (2 * y + 1) * self.fit.height / (2 * height))
        }))
    }

    /// R, G, B in 0..1 of an input pixel.
    fn colour(&self, x: usize, y: usize) -> [f32; 3] {
        let (w, h) = (self.spec.width as usize, self.spec.height as usize);
        let (x, y) = (x.min(w - 1), y.min(h - 1));
        let of = |channel: usize| {
            let at = if self.spec.layout == TensorLayout::Nchw { (channel * h + y) * w + x } else { (y * w + x) * 3 + channel };
            self.input[at] * self.spec.std[channel] + self.spec.mean[channel]
        };
        match self.spec.colour {
            ColourOrder::Rgb => [of(0), of(1), of(2)],
            ColourOrder::Bgr => [of(2), of(1), of(0)],
        }
    }
}

/// Colour levels of each channel.
const LEVELS: usize = 4;
pub(super) const BINS: usize = LEVELS * LEVELS * LEVELS;
/// Weight of the past against one frame.
const MEMORY: f32 = 0.9;

/// Parts of the pixels by colour; empty where nothing is known.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Look {
    parts: [f32; BINS],
    is_known: bool,
}

impl Default for Look {
    fn default() -> Self {
        Look { parts: [0.0; BINS], is_known: false }
    }
}

impl Look {
    /// Of pixels R, G, B in 0..1. Few pixels say nothing.
    pub fn of(pixels: impl Iterator<Item = [f32; 3]>) -> Self {
        let mut counts = [0; BINS];
        for pixel in pixels {
            // Square roots: most of what instruments differ in is dark.
            let level = pixel.map(|v| ((v.max(0.0).sqrt() * LEVELS as f32) as usize).min(LEVELS - 1));
            counts[(level[0] * LEVELS + level[1]) * LEVELS + level[2]] += 1;
        }
        Look::counted(&counts)
    }

    /// Of so many pixels of each colour.
    pub fn counted(counts: &[u32; BINS]) -> Self {
        let mut look = Look { parts: counts.map(|count| count as f32), is_known: false };
        let count: u32 = counts.iter().sum();
        if count >= 12 {
            look.parts.iter_mut().for_each(|part| *part /= count as f32);
            look.is_known = true;
        }
        look
    }

    /// Bhattacharyya coefficient, 0..1; None where one of both is not known.
    pub fn likeness(&self, other: &Look) -> Option<f32> {
        let sum = || self.parts.iter().zip(&other.parts).map(|(a, b)| (a * b).sqrt()).sum::<f32>();
        (self.is_known && other.is_known).then(|| sum().min(1.0))
    }

    /// Takes in how it looks in another frame.
    pub fn blend(&mut self, now: &Look) {
        if !self.is_known {
            *self = *now;
        } else if now.is_known {
            self.parts.iter_mut().zip(&now.parts).for_each(|(then, now)| *then = MEMORY * *then + (1.0 - MEMORY) * now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(colour: [f32; 3]) -> Look {
        Look::of(std::iter::repeat_n(colour, 40))
    }

    #[test]
    fn alike_is_alike_and_steel_is_not_black() {
        let (steel, black) = (plain([0.45, 0.46, 0.5]), plain([0.02, 0.02, 0.03]));
        assert!(steel.likeness(&steel).unwrap() > 0.999);
        assert_eq!(steel.likeness(&black), Some(0.0));
        assert_eq!(steel.likeness(&Look::default()), None);
        assert_eq!(Look::of(std::iter::repeat_n([0.5; 3], 3)), Look { parts: Look::of([[0.5; 3]; 3].into_iter()).parts, is_known: false });
    }

    #[test]
    fn one_odd_frame_changes_little() {
        let mut look = plain([0.45, 0.46, 0.5]);
        look.blend(&plain([0.02, 0.02, 0.03]));
        assert!(look.likeness(&plain([0.45, 0.46, 0.5])).unwrap() > 0.9);
        look.blend(&Look::default());
        let mut unknown = Look::default();
        unknown.blend(&look);
        assert_eq!(unknown, look);
    }
}
