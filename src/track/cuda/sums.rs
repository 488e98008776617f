//! What `shaders/region_sums.cu` is given for the maps of one frame.

use super::MOST_CHANNELS;
use crate::frame::cuda::{Launch, REGION_SUMS};
use crate::infer::OutputSpec;
use crate::track::outline::Mapping;
use bytemuck::{Pod, Zeroable};

const THREADS: u32 = 512;
const INSTRUMENT_THREADS: u32 = 1024;
/// Of a channel's sum.
pub const PIECES: usize = 8;

/// As in the kernel.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Pod, Zeroable)]
pub struct RegionSumParams {
    pub map: [u32; 2],
    pub scale: [f32; 2],
    pub shift: [f32; 2],
    pub picture: [f32; 2],
    pub classes: [u8; MOST_CHANNELS],
}

/// Buffers: `sums` `PIECES` u64 a channel of the tissue head, `instruments` an `InstrumentSums` for each that is looked at.
#[derive(Debug, Clone, Copy)]
pub struct RegionSumsPlan {
    pub params: RegionSumParams,
    /// None: there is no tissue head.
    pub tissue: Option<Launch>,
    pub instruments: Launch,
}

impl RegionSumsPlan {
    /// `tissue`: that head, with at most `MOST_CHANNELS`. Of the largest `instruments` there are sums.
    pub fn new(map: [usize; 2], mapping: &Mapping, tissue: Option<&OutputSpec>, instruments: usize) -> Self {
        let mut classes = [0; MOST_CHANNELS];
        classes.iter_mut().zip(tissue.iter().flat_map(|head| &head.classes)).for_each(|(to, id)| *to = id.0);
        let Mapping { scale, shift, picture } = *mapping;
        let blocks = |entry, blocks: usize, threads: u32| Launch::over(REGION_SUMS, entry, blocks * threads as usize, threads);
        RegionSumsPlan {
            params: RegionSumParams { map: map.map(|side| side as u32), scale, shift, picture, classes },
            tissue: tissue.map(|head| blocks("tissue_sums", PIECES * head.channels().min(MOST_CHANNELS), THREADS)),
            instruments: blocks("instrument_sums", instruments, INSTRUMENT_THREADS),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::cuda::testing::{input, on_every_device, output, value};
    use crate::track::cuda::testing::{TISSUES, list, mapping, maps};
    use crate::track::maps::{INSTRUMENT, Maps, NOTHING};
    use crate::track::measured::{InstrumentSums, in_parts};
    use crate::track::regions::Regions;
    use proptest::prelude::*;
    use proptest::test_runner::{Config, TestRunner};

    /// Wider than a block looks at once, and more pixels than a channel has threads.
    const MAP: [usize; 2] = [140, 62];
    const MOST: usize = 11;

    /// As `Decoder::tissues` adds them up.
    fn tissue(maps: &Maps, regions: &Regions, channel: usize) -> u64 {
        let plane = &maps.tissue[channel * MAP[0] * MAP[1]..];
        let own = regions.rows().filter(|(region, _)| regions.list[*region].label == TISSUES[channel] && TISSUES[channel] != NOTHING);
        own.map(|(_, row)| in_parts(&plane[row])).sum()
    }

    #[test]
    fn sums_of_tissues_are_the_references_and_those_of_instruments_but_for_the_last_bits_of_a_double() {
        let test = "sums_of_tissues_are_the_references_and_those_of_instruments_but_for_the_last_bits_of_a_double";
        on_every_device(test, |runner| {
            let seen = std::cell::Cell::new([0; 2]);
            let config = Config { cases: 30, failure_persistence: None, max_shrink_iters: 8, ..Config::default() };
            let test = |seed: u64| {
                let Some((maps, regions)) = maps(MAP, seed) else { return Ok(()) };
                let (mapping, list) = (mapping(MAP), list(&regions));
                let mut plan = RegionSumsPlan::new(MAP, &mapping, None, MOST);
                plan.params.classes[..TISSUES.len()].copy_from_slice(&TISSUES);
                let mut sums = [u64::MAX; TISSUES.len() * PIECES];
                let (grid, block) = ([sums.len() as u32, 1, 1], [THREADS, 1, 1]);
                let launch = Launch { entry: "tissue_sums", grid, block, ..plan.instruments };
                let map = input(&regions.map);
                runner.run(&launch, &mut [value(&plan.params), map, input(&list), input(&maps.tissue), output(&mut sums)]);
                let close = |found: f64, expected: f64| (found - expected).abs() <= 1e-12 * expected.abs().max(1e-3);
                for (channel, pieces) in sums.chunks_exact(PIECES).enumerate() {
                    prop_assert_eq!(pieces.iter().sum::<u64>(), tissue(&maps, &regions, channel), "channel {}", channel);
                }

                let mut found = [InstrumentSums::zeroed(); MOST];
                let (count, map) = ([list.len() as u32], input(&regions.map));
                let mut args = [value(&plan.params), map, input(&list), input(&count), input(&maps.instrument), output(&mut found)];
                runner.run(&plan.instruments, &mut args);
                let mut order: Vec<usize> = (0..list.len()).filter(|&i| regions.list[i].label == INSTRUMENT).collect();
                order.sort_by_key(|&i| std::cmp::Reverse(regions.list[i].area));
                for (rank, sums) in found.iter().enumerate() {
                    let Some(&region) = order.get(rank) else {
                        prop_assert_eq!(sums.region, u32::MAX);
                        continue;
                    };
                    prop_assert_eq!((sums.region as usize, sums.area), (region, regions.list[region].area));
                    let pixels = || {
                        regions
                            .pixels(region)
                            .map(|(x, y, at)| (mapping.in_picture([x as f32 + 0.5, y as f32 + 0.5]), f64::from(maps.instrument[at])))
                    };
                    prop_assert!(close(sums.probability, pixels().map(|(_, p)| p).sum()));
                    let weight: f64 = pixels().map(|(_, p)| p.max(1e-3)).sum();
                    prop_assert!(close(sums.weight, weight));
                    for axis in 0..2 {
                        let mean = pixels().map(|(at, p)| f64::from(at[axis]) * p.max(1e-3)).sum::<f64>() / weight;
                        prop_assert!(close(sums.mean[axis], mean));
                        let spread: f64 = pixels().map(|(at, p)| (f64::from(at[axis]) - mean).powi(2) * p.max(1e-3)).sum();
                        prop_assert!((sums.spread[2 * axis] - spread).abs() <= 1e-9 * spread.max(1e-3));
                    }
                }
                let [all, none] = seen.get();
                seen.set([all + order.len(), none + usize::from(order.len() < MOST)]);
                Ok(())
            };
            TestRunner::new(config).run(&any::<u64>(), test).unwrap();
            assert!(seen.get().iter().all(|&count| count > 3), "{:?}", seen.get());
        });
    }
}
