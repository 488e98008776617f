//! Where the picture stands still, and the network's answers may therefore be averaged over time without coming late.
//! Judged by what the network is shown, not by what it says: where the input changes, its newest answer counts alone.

use crate::infer::{InputSpec, TensorLayout};

/// Side of the blocks in which the input is compared, in its pixels.
pub(super) const BLOCK: usize = 8;
/// Brightness, red against green and blue against green: what is compared. Colour is noisier and counts for less.
const KINDS: usize = 3;
const COLOUR_WEIGHT: f32 = 1.0 / 3.0;
/// A block whose mean is off by less than this (of 255) stands still; from the second on it is all new.
const STILL_TO: f32 = 0.8;
const NEW_FROM: f32 = 2.4;
/// Where it stands still an answer is averaged over about so long, s.
const AVERAGED_S: f32 = 0.25;

/// Of the newest answer where all stands still, so many seconds after the last.
pub(super) fn least_share(since_s: f32) -> f32 {
    1.0 - (-since_s / AVERAGED_S).exp()
}

/// How much of the newest answer counts in each block of the input, 0..1; nothing in it: all of it everywhere.
#[derive(Debug, Default)]
pub struct Stillness {
    pub width: usize,
    pub height: usize,
    pub share: Vec<f32>,
    /// What was averaged as the answers were; as `now`.
    reference: Vec<[f32; KINDS]>,
    /// Of each block, 0..255.
    now: Vec<[f32; KINDS]>,
    off: Vec<f32>,
    /// Of each column of the input, a sum.
    column: Vec<f32>,
    last_ns: Option<u64>,
}

impl Stillness {
    /// Takes in the network's input for the frame captured at `capture_ns`.
    pub fn update(&mut self, input: &[f32], spec: &InputSpec, capture_ns: u64) {
        let (width, height) = ((spec.width as usize).div_ceil(BLOCK), (spec.height as usize).div_ceil(BLOCK));
        self.average(input, spec, width, height);
        let is_first = (self.width, self.height) != (width, height) || self.last_ns.is_none();
        let dt_s = self.last_ns.map_or(0.0, |last| capture_ns.saturating_sub(last) as f32 / 1e9);
        (self.width, self.height, self.last_ns) = (width, height, Some(capture_ns));
        if is_first {
            self.reference.clone_from(&self.now);
            self.share.clear();
            self.share.resize(width * height, 1.0);
            return;
        }
        let least = least_share(dt_s);
        self.off.clear();
        let off = |(now, then): (&[f32; KINDS], &[f32; KINDS])| (0..KINDS).map(|kind| (now[kind] - then[kind]).abs()).fold(0.0, f32::max);
        self.off.extend(self.now.iter().zip(&self.reference).map(off));
        for y in 0..height {
            for x in 0..width {
                // What moves beside it concerns it too.
                let mut most = 0f32;
                for row in y.saturating_sub(1)..(y + 2).min(height) {
                    for column in x.saturating_sub(1)..(x + 2).min(width) {
                        most = most.max(self.off[row * width + column]);
                    }
                }
                let moved = ((most - STILL_TO) / (NEW_FROM - STILL_TO)).clamp(0.0, 1.0);
                self.share[y * width + x] = least + (1.0 - least) * moved;
            }
        }
        for ((reference, now), share) in self.reference.iter_mut().zip(&self.now).zip(&self.share) {
            reference.iter_mut().zip(now).for_each(|(reference, now)| *reference += share * (now - *reference));
        }
    }

    /// Means of each block, 0..255; channels in the order of the input.
    fn average(&mut self, input: &[f32], spec: &InputSpec, width: usize, height: usize) {
        let (w, h) = (spec.width as usize, spec.height as usize);
        self.now.clear();
        self.now.resize(width * height, [0.0; KINDS]);
        for channel in 0..3 {
            let (gain, offset) = (255.0 * spec.std[channel], 255.0 * spec.mean[channel]);
            for (row, now) in self.now.chunks_exact_mut(width).enumerate() {
                let rows = row * BLOCK..((row + 1) * BLOCK).min(h);
                // Rows are added up first: whole ones, which goes many numbers at a time.
                self.column.clear();
                self.column.resize(w, 0.0);
                for y in rows.clone() {
                    match spec.layout {
                        TensorLayout::Nchw => {
                            let values = &input[(channel * h + y) * w..][..w];
                            self.column.iter_mut().zip(values).for_each(|(sum, value)| *sum += value);
                        }
                        TensorLayout::Nhwc => {
                            let pixels = input[y * w * 3..][..w * 3].as_chunks::<3>().0;
                            self.column.iter_mut().zip(pixels).for_each(|(sum, pixel)| *sum += pixel[channel]);
                        }
                    }
                }
                for (now, columns) in now.iter_mut().zip(self.column.chunks(BLOCK)) {
                    let mean = columns.iter().sum::<f32>() / (columns.len() * rows.len()) as f32;
                    now[channel] = mean * gain + offset;
                }
            }
        }
        for now in &mut self.now {
            let [first, green, last] = *now;
            *now = [(first + green + last) / 3.0, (first - green) * COLOUR_WEIGHT, (last - green) * COLOUR_WEIGHT];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::infer::{ColourOrder, Resize};

    fn spec(layout: TensorLayout) -> InputSpec {
        let (mean, std) = ([0.4, 0.5, 0.6], [0.2, 0.25, 0.3]);
        InputSpec { name: "image".to_owned(), layout, width: 36, height: 20, colour: ColourOrder::Rgb, resize: Resize::Stretch, mean, std }
    }

    /// Grey of 0..255 with noise, bright inside the square from `left`, 10 wide.
    fn input(spec: &InputSpec, left: usize, seed: u32) -> Vec<f32> {
        let (w, h) = (36, 20);
        let mut data = vec![0.0; 3 * w * h];
        for i in 0..w * h {
            let noise = ((i as u32).wrapping_mul(2_654_435_761).wrapping_add(seed.wrapping_mul(40_503)) >> 16) % 7;
            let bright = (left..left + 10).contains(&(i % w));
            let value = (if bright { 180.0 } else { 60.0 }) + noise as f32 - 3.0;
            for channel in 0..3 {
                let at = if spec.layout == TensorLayout::Nchw { channel * w * h + i } else { i * 3 + channel };
                data[at] = (value / 255.0 - spec.mean[channel]) / spec.std[channel];
            }
        }
        data
    }

    #[test]
    fn noise_stands_still_and_what_moves_is_new_at_once() {
        for layout in [TensorLayout::Nchw, TensorLayout::Nhwc] {
            let spec = spec(layout);
            let mut stillness = Stillness::default();
            for frame in 0..10 {
                stillness.update(&input(&spec, 4, frame), &spec, u64::from(frame) * 16_666_667);
            }
            assert!(
                (stillness.width, stillness.height) == (5, 3) && stillness.share.iter().all(|&share| share < 0.2),
                "{:?}",
                stillness.share
            );
            assert!(
                (stillness.reference[4][0] - 60.0).abs() < 2.0,
                "brightness, last block of the first row: {:?}",
                stillness.reference[4]
            );
            stillness.update(&input(&spec, 6, 10), &spec, 166_666_670);
            let share = |x: usize| stillness.share[stillness.width + x];
            assert!(share(0) > 0.99 && share(1) > 0.99 && share(4) < 0.2, "{:?}", stillness.share);
        }
    }

    #[test]
    fn another_colour_as_bright_is_a_change() {
        let spec = spec(TensorLayout::Nchw);
        let plain = |colour: [f32; 3]| -> Vec<f32> {
            (0..3 * 36 * 20).map(|i| (colour[i / 720] / 255.0 - spec.mean[i / 720]) / spec.std[i / 720]).collect()
        };
        let mut stillness = Stillness::default();
        stillness.update(&plain([200.0, 20.0, 20.0]), &spec, 0);
        stillness.update(&plain([20.0, 20.0, 200.0]), &spec, 16_666_667);
        assert!(stillness.share.iter().all(|&share| share > 0.99), "{:?}", stillness.share);
    }

    #[test]
    fn what_creeps_is_noticed_too() {
        let spec = spec(TensorLayout::Nchw);
        let mut stillness = Stillness::default();
        let mut largest = 0f32;
        for frame in 0..60 {
            let mut data = input(&spec, 4, 0);
            // Half a level a frame.
            data.iter_mut().enumerate().for_each(|(i, v)| *v += 0.5 / 255.0 * frame as f32 / spec.std[i / (36 * 20)]);
            stillness.update(&data, &spec, frame * 16_666_667);
            largest = largest.max(stillness.share.iter().copied().fold(0.0, f32::max) * f32::from(u8::from(frame > 5)));
        }
        assert!(largest > 0.3, "{largest}");
    }
}
