//! Two frames side by side as motion is looked for in them: the network's input as grey, at a half and at a quarter of its
//! resolution. Read once a frame for `camera` and `flow` together.

use crate::infer::{InputSpec, TensorLayout};

/// Brightness of two frames, 0..255, row by row.
#[derive(Debug, Default)]
pub struct Pair {
    pub width: usize,
    pub height: usize,
    pub now: Vec<f32>,
    /// Empty where there was none, or of another size.
    pub before: Vec<f32>,
}

impl Pair {
    fn turn(&mut self, width: usize, height: usize) {
        std::mem::swap(&mut self.now, &mut self.before);
        if (self.width, self.height) != (width, height) {
            self.before.clear();
        }
        (self.width, self.height) = (width, height);
        self.now.resize(width * height, 0.0);
    }
}

/// Kept from frame to frame, so that nothing is allocated.
#[derive(Debug, Default)]
pub struct Shrunk {
    pub half: Pair,
    pub quarter: Pair,
    /// Two rows of the input in one, all channels.
    rows: Vec<f32>,
}

impl Shrunk {
    /// Takes in the next frame's input.
    pub fn show(&mut self, input: &[f32], spec: &InputSpec) {
        let (w, h) = (spec.width as usize, spec.height as usize);
        self.half.turn(w / 2, h / 2);
        self.quarter.turn(w / 4, h / 4);
        // A quarter of a pixel's share of four, a third of a channel's share of three.
        let gain = spec.std.map(|std| 255.0 * std / 12.0);
        let offset = 85.0 * spec.mean.iter().sum::<f32>();
        for y in 0..h / 2 {
            self.rows.clear();
            match spec.layout {
                TensorLayout::Nchw => {
                    self.rows.resize(w, 0.0);
                    for (channel, gain) in gain.into_iter().enumerate() {
                        let two = &input[(channel * h + 2 * y) * w..][..2 * w];
                        let (upper, lower) = two.split_at(w);
                        self.rows.iter_mut().zip(upper).zip(lower).for_each(|((sum, a), b)| *sum += gain * (a + b));
                    }
                }
                TensorLayout::Nhwc => {
                    let (upper, lower) = input[2 * y * w * 3..][..2 * w * 3].split_at(3 * w);
                    let pixels = upper.as_chunks::<3>().0.iter().zip(lower.as_chunks::<3>().0);
                    self.rows.extend(pixels.map(|(a, b)| (0..3).map(|i| gain[i] * (a[i] + b[i])).sum::<f32>()));
                }
            }
            let row = &mut self.half.now[y * (w / 2)..][..w / 2];
            row.iter_mut().zip(self.rows.as_chunks::<2>().0).for_each(|(to, [a, b])| *to = a + b + offset);
        }
        let (from, to) = (&self.half, &mut self.quarter);
        for (y, row) in to.now.chunks_exact_mut(to.width).enumerate() {
            let (upper, lower) = from.now[2 * y * from.width..][..2 * from.width].split_at(from.width);
            let pairs = upper.as_chunks::<2>().0.iter().zip(lower.as_chunks::<2>().0);
            row.iter_mut().zip(pairs).for_each(|(to, (a, b))| *to = 0.25 * (a[0] + a[1] + b[0] + b[1]));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::infer::{ColourOrder, Resize};

    #[test]
    fn both_layouts_give_the_mean_brightness_of_their_pixels() {
        // Sides that four does not divide.
        let (w, h) = (26usize, 14usize);
        let value = |x: usize, y: usize, channel: usize| ((x * 7 + y * 13 + channel * 50) % 97) as f32 / 97.0;
        for layout in [TensorLayout::Nchw, TensorLayout::Nhwc] {
            let (mean, std) = ([0.4, 0.5, 0.6], [0.2, 0.25, 0.3]);
            let (name, colour, resize) = ("image".to_owned(), ColourOrder::Rgb, Resize::Stretch);
            let spec = InputSpec { name, layout, width: w as u32, height: h as u32, colour, resize, mean, std };
            let mut input = vec![0.0; 3 * w * h];
            for (x, y, channel) in (0..w).flat_map(|x| (0..h).flat_map(move |y| (0..3).map(move |c| (x, y, c)))) {
                let at = if layout == TensorLayout::Nchw { (channel * h + y) * w + x } else { (y * w + x) * 3 + channel };
                input[at] = (value(x, y, channel) - mean[channel]) / std[channel];
            }
            let mut shrunk = Shrunk::default();
            shrunk.show(&input, &spec);
            assert!(shrunk.half.before.is_empty() && shrunk.quarter.before.is_empty());
            for (pair, side) in [(&shrunk.half, 2), (&shrunk.quarter, 4)] {
                assert_eq!((pair.width, pair.height), (w / side, h / side));
                for (x, y) in (0..pair.width).flat_map(|x| (0..pair.height).map(move |y| (x, y))) {
                    let pixels = (0..side * side).map(|i| (x * side + i % side, y * side + i / side));
                    let sum: f32 = pixels.flat_map(|(x, y)| (0..3).map(move |c| value(x, y, c))).sum();
                    let expected = 255.0 * sum / (3 * side * side) as f32;
                    assert!((pair.now[y * pair.width + x] - expected).abs() < 0.02, "{x} {y}");
                }
            }
            let first = shrunk.half.now.clone();
            shrunk.show(&input, &spec);
            assert_eq!(shrunk.half.before, first);
            shrunk.show(&input[..3 * 24 * 12], &InputSpec { width: 24, height: 12, ..spec });
            assert!(shrunk.half.before.is_empty(), "another size is another stream");
        }
    }
}
