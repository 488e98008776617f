//! Instruments that touch or cross are one region of the mask: cut apart between the axes at which they are expected.

use super::maps::{INSTRUMENT, Maps, NOTHING};
use super::outline::Mapping;

/// Where an instrument is expected in this frame.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Expected {
    /// Pixels of the captured picture.
    pub tip: [f32; 2],
    /// Unit vector along the shaft towards the tip.
    pub axis: [f32; 2],
}

/// A pixel farther from each expected axis than this, part of the picture's larger side, is nobody's.
const REACH: f32 = 0.06;
const NOBODY: u8 = u8::MAX;

/// Working memory, kept from frame to frame.
#[derive(Debug, Default)]
pub struct Splitter {
    owner: Vec<u8>,
}

impl Splitter {
    /// Takes a line of instrument pixels, one pixel wide, out of the labels wherever two expected instruments meet.
    pub fn cut(&mut self, maps: &mut Maps, mapping: &Mapping, expected: &[Expected]) {
        if expected.len() < 2 || !maps.has_instrument {
            return;
        }
        let (width, height) = (maps.width, maps.height);
        let reach = reach(mapping);
        self.owner.clear();
        self.owner.resize(width * height, NOBODY);
        for (at, owner) in self.owner.iter_mut().enumerate().filter(|&(at, _)| maps.labels[at] == INSTRUMENT) {
            let point = mapping.in_picture([(at % width) as f32 + 0.5, (at / width) as f32 + 0.5]);
            let nearest = expected.iter().map(|e| off(e, point)).enumerate().min_by(|a, b| a.1.total_cmp(&b.1));
            if let Some((index, _)) = nearest.filter(|&(_, distance)| distance <= reach) {
                *owner = index as u8;
            }
        }
        let differ = |a: u8, b: u8| a != NOBODY && b != NOBODY && a != b;
        for y in 0..height {
            for x in 0..width {
                let at = y * width + x;
                let right = x + 1 < width && differ(self.owner[at], self.owner[at + 1]);
                let below = y + 1 < height && differ(self.owner[at], self.owner[at + width]);
                if right || below {
                    maps.labels[at] = NOTHING;
                }
            }
        }
    }
}

/// A pixel farther from each expected axis than this is nobody's, pixels of the captured picture.
pub(super) fn reach(mapping: &Mapping) -> f32 {
    REACH * mapping.picture[0].max(mapping.picture[1])
}

/// Distance of a point from the expected shaft, which reaches from its tip backwards without end.
fn off(expected: &Expected, point: [f32; 2]) -> f32 {
    let to = [point[0] - expected.tip[0], point[1] - expected.tip[1]];
    let along = to[0] * expected.axis[0] + to[1] * expected.axis[1];
    let across = (to[0] * expected.axis[1] - to[1] * expected.axis[0]).abs();
    if along > 0.0 { along.hypot(across) } else { across }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::track::regions::Regions;

    /// Two bars of a 160×90 map that meet at their tips, in a picture four times as large.
    fn meeting() -> (Maps, Mapping) {
        let mut maps = Maps::default();
        (maps.width, maps.height, maps.has_instrument) = (160, 90, true);
        maps.labels = vec![2; 160 * 90];
        for x in 0..80 {
            for y in 40..48 {
                maps.labels[y * 160 + x] = INSTRUMENT;
            }
        }
        for y in 40..90 {
            for x in 76..84 {
                maps.labels[y * 160 + x] = INSTRUMENT;
            }
        }
        (maps, Mapping { scale: [4.0; 2], shift: [0.0; 2], picture: [640.0, 360.0] })
    }

    fn instruments(maps: &Maps) -> Vec<u32> {
        let mut regions = Regions::default();
        regions.fill(&maps.labels, 160, 90).unwrap();
        let mut areas: Vec<u32> = regions.list.iter().filter(|r| r.label == INSTRUMENT).map(|r| r.area).collect();
        areas.sort_unstable();
        areas
    }

    const LEFT: Expected = Expected { tip: [318.0, 176.0], axis: [1.0, 0.0] };
    const BELOW: Expected = Expected { tip: [320.0, 170.0], axis: [0.0, -1.0] };

    #[test]
    fn two_that_meet_are_two_again_and_hardly_smaller() {
        let (mut maps, mapping) = meeting();
        let [all] = instruments(&maps)[..] else { panic!("they touch") };
        Splitter::default().cut(&mut maps, &mapping, &[LEFT, BELOW]);
        let [a, b] = instruments(&maps)[..] else { panic!("{:?}", instruments(&maps)) };
        assert!(a + b + 30 > all && a > 300, "{a} and {b} of {all}");
    }

    #[test]
    fn one_alone_stays_whole() {
        let (mut maps, mapping) = meeting();
        let before = maps.labels.clone();
        Splitter::default().cut(&mut maps, &mapping, &[LEFT]);
        // One that is expected elsewhere cuts nothing.
        Splitter::default().cut(&mut maps, &mapping, &[LEFT, Expected { tip: [600.0, 20.0], axis: [-1.0, 0.0] }]);
        assert_eq!(maps.labels, before);
    }
}
