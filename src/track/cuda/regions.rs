//! What `shaders/regions.cu` is given for maps of one size.

use crate::frame::cuda::{Launch, REGIONS};
use crate::track::regions::most_runs;
use bytemuck::{Pod, Zeroable};

const THREADS: u32 = 256;

/// As in the kernel.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Pod, Zeroable)]
pub struct RegionParams {
    pub map: [u32; 2],
}

/// `Region` of the kernel.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
pub struct RegionOnGpu {
    pub label: u32,
    /// Map pixels.
    pub area: u32,
    /// Half-open, in map pixels.
    pub bbox: [u32; 4],
}

/// Six launches, one after the other. Buffers: `parent`, `area`, `into` and `number`, which is `root` before, a u32 a pixel, `map` a u16;
/// `counts` a u32 a block; `runs` and `count` one u32, `runs` zero before; `list` `MOST_REGIONS` regions.
#[derive(Debug, Clone, Copy)]
pub struct RegionsPlan {
    pub params: RegionParams,
    pub start: Launch,
    pub join: Launch,
    pub measure: Launch,
    pub settle: Launch,
    pub number: Launch,
    pub map: Launch,
    /// With more `runs` the labels are noise, and nothing that comes out is of use.
    pub most_runs: usize,
}

impl RegionsPlan {
    pub const MOST_REGIONS: usize = u16::MAX as usize;

    /// For maps of that width and height, at most 2²⁰ pixels.
    pub fn new(map: [usize; 2]) -> Self {
        let pixels = map[0] * map[1];
        let over = |entry| Launch::over(REGIONS, entry, pixels, THREADS);
        RegionsPlan {
            params: RegionParams { map: map.map(|side| side as u32) },
            start: over("regions_start"),
            join: over("regions_join"),
            measure: over("regions_measure"),
            settle: over("regions_settle"),
            number: over("regions_number"),
            map: over("regions_map"),
            most_runs: most_runs(pixels, map[1]),
        }
    }

    /// Of each launch.
    pub fn blocks(&self) -> usize {
        self.map.grid[0] as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::cuda::testing::{Runner, input, on_every_device, output, value};
    use crate::track::maps::INSTRUMENT;
    use crate::track::regions::{Noise, Region, Regions};
    use proptest::prelude::*;
    use proptest::test_runner::{Config, TestRunner};

    fn regions(runner: &Runner, labels: &[u8], map: [usize; 2]) -> Result<(Vec<u16>, Vec<RegionOnGpu>), Noise> {
        let plan = RegionsPlan::new(map);
        let pixels = labels.len();
        let [mut parent, mut area, mut into, mut number] = [(); 4].map(|()| vec![u32::MAX; pixels]);
        let (mut counts, mut runs, mut count) = (vec![u32::MAX; plan.blocks()], [0u32], [u32::MAX]);
        let params = || value(&plan.params);
        let (mut numbers, mut list) = (vec![u16::MAX; pixels], vec![RegionOnGpu::zeroed(); RegionsPlan::MOST_REGIONS]);
        runner.run(&plan.start, &mut [params(), input(labels), output(&mut parent), output(&mut area), output(&mut runs)]);
        // Which pixel is joined to which is open; the roots are not.
        runner.run_in_any_order(&plan.join, &mut [params(), input(labels), output(&mut parent)]);
        if runs[0] as usize > plan.most_runs {
            return Err(Noise);
        }
        runner.run_in_any_order(&plan.measure, &mut [params(), output(&mut parent), output(&mut area), output(&mut number)]);
        let mut args = [params(), input(labels), input(&number), input(&area), output(&mut into), output(&mut counts)];
        runner.run(&plan.settle, &mut args);
        let (labels, firsts, counts) = (input(labels), input(&into), input(&counts));
        let mut args = [params(), labels, firsts, counts, output(&mut number), output(&mut list), output(&mut count)];
        runner.run(&plan.number, &mut args);
        let mut args = [params(), input(&into), input(&number), output(&mut numbers), output(&mut list)];
        runner.run(&plan.map, &mut args);
        list.truncate(count[0] as usize);
        Ok((numbers, list))
    }

    /// Patches with specks in them, or nothing but noise.
    fn labels() -> impl Strategy<Value = (Vec<u8>, [usize; 2])> {
        let seeds = prop::collection::vec(prop::sample::select(vec![0u8, 2, 4, INSTRUMENT]), 97);
        let specks =
            prop::collection::vec((any::<prop::sample::Index>(), prop::sample::select(vec![0u8, 2, INSTRUMENT]), 1usize..5), 0..12);
        (4usize..80, 3usize..50, 1usize..14, seeds, specks).prop_map(|(width, height, patch, seeds, specks)| {
            let at = |i: usize| seeds[(i / width / patch * 17 + i % width / patch * 5) % 97];
            let mut labels: Vec<u8> = (0..width * height).map(at).collect();
            for (place, label, length) in specks {
                let from = place.index(labels.len());
                let to = (from + length).min(labels.len());
                labels[from..to].fill(label);
            }
            (labels, [width, height])
        })
    }

    /// How many there are, and that they are the reference's.
    fn compared(runner: &Runner, labels: &[u8], map: [usize; 2]) -> Result<usize, Noise> {
        let mut reference = Regions::default();
        let expected = reference.fill(labels, map[0], map[1]);
        let found = regions(runner, labels, map);
        assert_eq!(found.is_err(), expected.is_err());
        let (numbers, list) = found?;
        assert_eq!(numbers, reference.map);
        let list: Vec<Region> =
            list.iter().map(|region| Region { label: region.label as u8, area: region.area, bbox: region.bbox }).collect();
        assert_eq!(list, reference.list);
        Ok(list.len())
    }

    #[test]
    fn regions_numbers_areas_and_boxes_are_the_references() {
        on_every_device("regions_numbers_areas_and_boxes_are_the_references", |runner| {
            let noisy = std::cell::Cell::new(0);
            let config = Config { cases: 60, failure_persistence: None, max_shrink_iters: 100, ..Config::default() };
            let test = |(labels, map): (Vec<u8>, [usize; 2])| {
                noisy.set(noisy.get() + usize::from(compared(runner, &labels, map).is_err()));
                Ok(())
            };
            TestRunner::new(config).run(&labels(), test).unwrap();
            assert!(noisy.get() < 30, "nearly all of it was noise");
        });
    }

    /// As large as an engine's: rows that go on in the next block, ways from end to end, teeth that meet at last, one label all over.
    #[test]
    fn long_ways_and_large_regions_are_the_references() {
        on_every_device("long_ways_and_large_regions_are_the_references", |runner| {
            let map = [451, 257];
            let drawn = |label: &dyn Fn(usize, usize) -> u8| -> Vec<u8> {
                (0..map[0] * map[1]).map(|at| label(at % map[0], at / map[0])).collect()
            };
            let is_turn = |x: usize, y: usize| if y / 8 % 4 == 1 { x < 9 } else { x + 9 > map[0] };
            let way = |x: usize, y: usize| if (y / 8).is_multiple_of(2) || is_turn(x, y) { 2 } else { INSTRUMENT };
            let comb = |x: usize, y: usize| if (x / 17).is_multiple_of(2) || y + 7 > map[1] { 2 } else { 4 };
            let specks = |x: usize, y: usize| if x % 29 == 3 && y % 7 == 2 { 4 } else { 2 };
            for (label, expected) in [(&way as &dyn Fn(usize, usize) -> u8, 17), (&comb, 14), (&specks, 1), (&|_, _| 0, 1)] {
                assert_eq!(compared(runner, &drawn(label), map), Ok(expected));
            }
        });
    }

    #[test]
    fn a_launch_has_a_thread_a_pixel() {
        let plan = RegionsPlan::new([320, 180]);
        assert_eq!((plan.join.grid, plan.map.grid, plan.number.grid, plan.blocks()), ([225, 1, 1], [225, 1, 1], [225, 1, 1], 225));
        assert_eq!(plan.most_runs, 320 * 180 / 12 + 8 * 180);
    }
}
