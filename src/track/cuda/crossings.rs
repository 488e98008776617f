//! What `shaders/crossings.cu` is given for the maps of one frame.

use super::MOST_CHANNELS;
use crate::frame::cuda::{CROSSINGS, Launch};
use crate::infer::{HeadKind, OutputSpec};
use bytemuck::{Pod, Zeroable};

const THREADS: u32 = 256;

/// As in the kernel.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Pod, Zeroable)]
pub struct CrossingParams {
    pub map: [u32; 2],
    pub instrument_threshold: f32,
    pub tissue_threshold: f32,
    pub channels: u32,
    pub classes: [u8; MOST_CHANNELS],
}

/// Two launches, one after the other. Buffers: `counts` a u32 a block, `crossings` four f32 a pixel, `total` one u32.
#[derive(Debug, Clone, Copy)]
pub struct CrossingsPlan {
    pub params: CrossingParams,
    pub count: Launch,
    pub list: Launch,
}

impl CrossingsPlan {
    /// For a map of that size, at most one head of either kind, none with more than `MOST_CHANNELS`.
    pub fn new(map: [usize; 2], heads: &[&OutputSpec]) -> Self {
        let head = |kind| heads.iter().find(|head| head.kind == kind);
        let (tissue, instrument) = (head(HeadKind::Tissue), head(HeadKind::Instrument));
        let mut classes = [0; MOST_CHANNELS];
        classes.iter_mut().zip(tissue.iter().flat_map(|head| &head.classes)).for_each(|(to, id)| *to = id.0);
        let params = CrossingParams {
            map: map.map(|side| side as u32),
            instrument_threshold: instrument.map_or(0.0, |head| head.threshold),
            tissue_threshold: tissue.map_or(0.0, |head| head.threshold),
            channels: tissue.map_or(0, |head| head.channels().min(MOST_CHANNELS) as u32),
            classes,
        };
        let over = |entry| Launch::over(CROSSINGS, entry, map[0] * map[1], THREADS);
        CrossingsPlan { params, count: over("crossings_count"), list: over("crossings_list") }
    }

    pub fn blocks(&self) -> usize {
        self.list.grid[0] as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::cuda::testing::{input, on_every_device, output, value};
    use crate::track::cuda::testing::{TISSUES, list, maps};
    use crate::track::maps::{Maps, NOTHING};
    use crate::track::measured::Measured;
    use crate::track::outline::crossing;
    use crate::track::regions::Regions;
    use proptest::prelude::*;
    use proptest::test_runner::{Config, TestRunner};

    const MAP: [usize; 2] = [61, 43];

    fn params_of(maps: &Maps) -> CrossingParams {
        let mut params = CrossingsPlan::new(MAP, &[]).params;
        (params.instrument_threshold, params.tissue_threshold) = (maps.instrument_threshold, maps.tissue_threshold);
        params.channels = TISSUES.len() as u32;
        params.classes[..TISSUES.len()].copy_from_slice(&TISSUES);
        params
    }

    /// Each crossing that following a border asks for, with what the reference says.
    fn check(maps: &Maps, regions: &Regions, measured: &Measured) -> usize {
        let [width, height] = MAP;
        let mut asked = 0;
        for at in (0..width * height).filter(|&at| regions.list[usize::from(regions.map[at])].label != NOTHING) {
            let (x, y) = (at % width, at / width);
            let beyond = [
                (x + 1 < width).then_some(at + 1),
                (y + 1 < height).then_some(at + width),
                (x > 0).then(|| at - 1),
                (y > 0).then(|| at - width),
            ];
            for (side, other) in beyond.into_iter().enumerate() {
                if let Some(other) = other.filter(|&other| regions.map[other] != regions.map[at]) {
                    assert_eq!(measured.crossing(regions, width, at, side), crossing(maps, regions, at, Some(other)), "{at} {side}");
                    asked += 1;
                }
            }
        }
        asked
    }

    #[test]
    fn every_crossing_that_is_asked_for_is_the_references_to_the_last_bit() {
        on_every_device("every_crossing_that_is_asked_for_is_the_references_to_the_last_bit", |runner| {
            let asked = std::cell::Cell::new(0);
            let config = Config { cases: 30, failure_persistence: None, max_shrink_iters: 8, ..Config::default() };
            let test = |seed: u64| {
                let Some((maps, regions)) = maps(MAP, seed) else { return Ok(()) };
                let (plan, params, list) = (CrossingsPlan::new(MAP, &[]), params_of(&maps), list(&regions));
                let (mut counts, mut total) = (vec![7u32; plan.blocks()], [7u32]);
                let mut crossings = vec![f32::NAN; 4 * MAP[0] * MAP[1]];
                runner.run(&plan.count, &mut [value(&params), input(&regions.map), input(&list), output(&mut counts)]);
                let mut args = [
                    value(&params),
                    input(&regions.map),
                    input(&list),
                    input(&counts),
                    input(&maps.tissue),
                    input(&maps.instrument),
                    output(&mut crossings),
                    output(&mut total),
                ];
                runner.run(&plan.list, &mut args);
                crossings.truncate(total[0] as usize);
                let mut measured = Measured::default();
                measured.crossings = crossings;
                prop_assert!(measured.belongs_to(&regions, MAP[0]));
                asked.set(asked.get() + check(&maps, &regions, &measured));
                measured.crossings.push(0.5);
                prop_assert!(!measured.belongs_to(&regions, MAP[0]), "one too many");
                Ok(())
            };
            TestRunner::new(config).run(&any::<u64>(), test).unwrap();
            assert!(asked.get() > 1000, "{}", asked.get());
        });
    }
}
