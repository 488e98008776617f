//! What is drawn and said of maps by probabilities that lie elsewhere: measured there, and brought here in a few numbers.

use super::maps::NOTHING;
use super::regions::Regions;
use bytemuck::{Pod, Zeroable};

/// The sum of probabilities, in 2⁻²³ parts of one, each rounded to them: whole numbers come out the same in whatever order.
pub fn in_parts(probabilities: &[f32]) -> u64 {
    let sum: u64 = probabilities.iter().map(|probability| u64::from((probability + 1.0).to_bits())).sum();
    sum - probabilities.len() as u64 * u64::from(1f32.to_bits())
}

/// What so many parts are.
pub fn of_parts(parts: u64) -> f64 {
    parts as f64 / f64::from(1 << 23)
}

/// Of one region of instrument, over its pixels.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Pod, Zeroable)]
pub struct InstrumentSums {
    pub region: u32,
    /// Map pixels.
    pub area: u32,
    pub probability: f64,
    /// Of places in the captured picture, which weigh as much as they are probable: as `shape::Moments`.
    pub weight: f64,
    pub mean: [f64; 2],
    pub spread: [f64; 3],
}

/// Of one frame; kept from frame to frame, so that nothing is allocated.
#[derive(Debug, Default)]
pub struct Measured {
    /// Of each channel of the tissue head: the sum of its probabilities over its class' regions, `in_parts`.
    pub tissue: Vec<u64>,
    pub instruments: Vec<InstrumentSums>,
    /// Where borders cross from pixel to pixel, pixel after pixel in the order of their sides.
    pub crossings: Vec<f32>,
    /// Of each pixel, the place of its first one.
    first: Vec<u32>,
}

impl Measured {
    /// Of the region with this number.
    pub fn instrument(&self, region: usize) -> Option<&InstrumentSums> {
        self.rank(region).map(|rank| &self.instruments[rank])
    }

    /// Its place among the instruments.
    pub fn rank(&self, region: usize) -> Option<usize> {
        self.instruments.iter().position(|sums| sums.region as usize == region)
    }

    /// `crossings` are those of the borders between these regions. False: there are more or fewer of them.
    pub fn belongs_to(&mut self, regions: &Regions, width: usize) -> bool {
        self.first.clear();
        let map = &regions.map[..];
        let mut count = 0;
        for (region, row) in regions.rows() {
            if regions.list[region].label == NOTHING {
                self.first.resize(row.end, count);
                continue;
            }
            let is_other = |other: usize| u32::from(usize::from(map[other]) != region);
            for at in row.clone() {
                self.first.push(count);
                count += if at + width < map.len() { is_other(at + width) } else { 0 };
                count += if at >= width { is_other(at - width) } else { 0 };
                count += if at == row.start && at % width > 0 { is_other(at - 1) } else { 0 };
                count += if at + 1 == row.end && row.end % width > 0 { is_other(at + 1) } else { 0 };
            }
        }
        count as usize == self.crossings.len()
    }

    /// Between pixel `at` (0) and its neighbour on a side (1), which lies in another region: as `outline::crossing`.
    pub fn crossing(&self, regions: &Regions, width: usize, at: usize, side: usize) -> f32 {
        let before = (0..side).filter(|&side| has_border(regions, width, at, side)).count();
        self.crossings.get(self.first[at] as usize + before).copied().unwrap_or(0.5)
    }
}

/// Does the pixel's neighbour on side 0 right, 1 below, 2 left, 3 above lie in another region?
fn has_border(regions: &Regions, width: usize, at: usize, side: usize) -> bool {
    let (x, map) = (at % width, &regions.map);
    let other = match side {
        0 => (x + 1 < width).then_some(at + 1),
        1 => Some(at + width),
        2 => (x > 0).then(|| at - 1),
        _ => at.checked_sub(width),
    };
    other.and_then(|other| map.get(other)).is_some_and(|other| *other != map[at])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_add_up_to_what_they_are_parts_of() {
        assert_eq!((in_parts(&[]), in_parts(&[0.0, 1e-30]), in_parts(&[0.5, 1.0, 0.25])), (0, 0, 7 << 21));
        // A softmax may end a bit beyond.
        assert_eq!((in_parts(&[1.0 + f32::EPSILON]), of_parts(3 << 22)), (1 << 23, 1.5));
        let all: Vec<f32> = (0..3000).map(|i| (i * 7919 % 3001) as f32 / 3001.0).collect();
        let exact: f64 = all.iter().map(|&v| f64::from(v)).sum();
        assert!((of_parts(in_parts(&all)) - exact).abs() < 3000.0 / f64::from(1 << 24));
    }
}
