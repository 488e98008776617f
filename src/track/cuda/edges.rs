//! What `shaders/mask_edges.cu` is given for the maps of one frame.

use super::MOST_CHANNELS;
use crate::frame::cuda::{Launch, MASK_EDGES};
use crate::track::maps::Maps;
use bytemuck::{Pod, Zeroable};

const THREADS: u32 = 256;

/// As in the kernel.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Pod, Zeroable)]
pub struct EdgeParams {
    pub map: [u32; 2],
    pub instrument_threshold: f32,
    pub tissue_threshold: f32,
    pub channels: u32,
    pub classes: [u8; MOST_CHANNELS],
}

/// All that a launch needs but the buffers; `edges` has two bytes a pixel.
#[derive(Debug, Clone, Copy)]
pub struct EdgePlan {
    pub params: EdgeParams,
    pub launch: Launch,
}

impl EdgePlan {
    /// None: more channels than `MOST_CHANNELS`.
    pub fn new(maps: &Maps) -> Option<Self> {
        let mut classes = [0; MOST_CHANNELS];
        classes.get_mut(..maps.tissue_classes.len())?.iter_mut().zip(&maps.tissue_classes).for_each(|(to, id)| *to = id.0);
        let params = EdgeParams {
            map: [maps.width as u32, maps.height as u32],
            instrument_threshold: maps.instrument_threshold,
            tissue_threshold: maps.tissue_threshold,
            channels: maps.tissue_classes.len() as u32,
            classes,
        };
        Some(EdgePlan { params, launch: Launch::over(MASK_EDGES, "mask_edges", maps.width * maps.height, THREADS) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ids::ClassId;
    use crate::frame::cuda::testing::{input, on_every_device, output, value};
    use crate::track::maps::{INSTRUMENT, NOTHING};
    use crate::track::outline::crossing;
    use crate::track::regions::{Region, Regions};
    use proptest::prelude::*;
    use proptest::test_runner::{Config, TestRunner};

    /// Any labels and any probabilities, whether they fit each other or not.
    fn maps() -> impl Strategy<Value = Maps> {
        let labels = prop::sample::select(vec![NOTHING, 2, 4, 6, INSTRUMENT]);
        (2usize..20, 2usize..14).prop_flat_map(move |(width, height)| {
            let pixels = width * height;
            let planes = (prop::collection::vec(0.0f32..1.0, 3 * pixels), prop::collection::vec(0.0f32..1.0, pixels));
            (prop::collection::vec(labels.clone(), pixels), planes, 0.2f32..0.8, 0.2f32..0.8).prop_map(
                move |(labels, (tissue, instrument), instrument_threshold, tissue_threshold)| {
                    let mut maps = Maps::default();
                    (maps.width, maps.height, maps.labels) = (width, height, labels);
                    (maps.tissue, maps.tissue_threshold) = (tissue, tissue_threshold);
                    (maps.instrument, maps.instrument_threshold, maps.has_instrument) = (instrument, instrument_threshold, true);
                    maps.tissue_classes = vec![ClassId(0), ClassId(2), ClassId(4)];
                    maps
                },
            )
        })
    }

    /// A region for each label.
    fn regions_of(maps: &Maps) -> Regions {
        let mut regions = Regions::default();
        regions.list = (0..=255).map(|label| Region { label, area: 1, bbox: [0; 4] }).collect();
        regions.map = maps.labels.iter().map(|&label| u16::from(label)).collect();
        regions
    }

    #[test]
    fn crossings_are_those_of_the_tracer_in_256ths() {
        on_every_device("crossings_are_those_of_the_tracer_in_256ths", |runner| {
            let config = Config { cases: 100, failure_persistence: None, max_shrink_iters: 64, ..Config::default() };
            let test = |maps: Maps| {
                let plan = EdgePlan::new(&maps).unwrap();
                let mut edges = vec![[9u8; 2]; maps.labels.len()];
                let mut args = [value(&plan.params), input(&maps.labels), input(&maps.tissue), input(&maps.instrument), output(&mut edges)];
                runner.run(&plan.launch, &mut args);
                let regions = regions_of(&maps);
                for (at, found) in edges.iter().enumerate() {
                    let (x, y) = (at % maps.width, at / maps.width);
                    let neighbours = [(x + 1 < maps.width, at + 1), (y + 1 < maps.height, at + maps.width)];
                    for ((is_there, other), found) in neighbours.into_iter().zip(found) {
                        if !is_there || maps.labels[at] == maps.labels[other] {
                            prop_assert_eq!(*found, 0);
                            continue;
                        }
                        // From the side of the one that is something.
                        let part = if maps.labels[at] == NOTHING {
                            1.0 - crossing(&maps, &regions, other, Some(at))
                        } else {
                            crossing(&maps, &regions, at, Some(other))
                        };
                        prop_assert!((f32::from(*found) / 256.0 - part).abs() <= 0.5 / 256.0 + 1e-5, "{} {}", found, part);
                    }
                }
                Ok(())
            };
            TestRunner::new(config).run(&maps(), test).unwrap();
        });
    }
}
