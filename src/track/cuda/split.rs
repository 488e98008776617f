//! What `shaders/split.cu` is given for one frame.

use super::ExpectedOnGpu;
use crate::frame::cuda::{Launch, SPLIT};
use crate::scene::limits;
use crate::track::outline::Mapping;
use crate::track::split::{Expected, reach};
use bytemuck::{Pod, Zeroable};

const THREADS: u32 = 256;

/// As in the kernel.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Pod, Zeroable)]
pub struct SplitParams {
    pub map: [u32; 2],
    pub scale: [f32; 2],
    pub shift: [f32; 2],
    pub picture: [f32; 2],
    pub reach: f32,
    pub count: u32,
    pub expected: [ExpectedOnGpu; limits::TRACKS],
}

/// Two launches, one after the other. `owner` and `cut` have a byte a pixel.
#[derive(Debug, Clone, Copy)]
pub struct SplitPlan {
    pub params: SplitParams,
    pub owner: Launch,
    pub cut: Launch,
}

impl SplitPlan {
    /// For a map of that size. None: fewer than two are expected, and nothing is cut.
    pub fn new(map: [usize; 2], mapping: &Mapping, expected: &[Expected]) -> Option<Self> {
        let mut all = [ExpectedOnGpu::zeroed(); limits::TRACKS];
        all.iter_mut().zip(expected).for_each(|(to, from)| *to = ExpectedOnGpu { tip: from.tip, axis: from.axis });
        let Mapping { scale, shift, picture } = *mapping;
        let params = SplitParams {
            map: map.map(|side| side as u32),
            scale,
            shift,
            picture,
            reach: reach(mapping),
            count: expected.len().min(all.len()) as u32,
            expected: all,
        };
        let over = |entry| Launch::over(SPLIT, entry, map[0] * map[1], THREADS);
        (params.count >= 2).then(|| SplitPlan { params, owner: over("split_owner"), cut: over("split_cut") })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::cuda::testing::{input, on_every_device, output, value};
    use crate::track::maps::{INSTRUMENT, Maps};
    use crate::track::split::Splitter;
    use proptest::prelude::*;
    use proptest::test_runner::{Config, TestRunner};

    const MAP: [usize; 2] = [70, 40];

    #[test]
    fn what_is_cut_out_of_the_labels_is_the_references() {
        on_every_device("what_is_cut_out_of_the_labels_is_the_references", |runner| {
            let cuts = std::cell::Cell::new(0);
            let config = Config { cases: 40, failure_persistence: None, max_shrink_iters: 64, ..Config::default() };
            let expected = prop::collection::vec(([0.0f32..640.0, 0.0f32..360.0], 0.0f32..6.3), 2..5);
            let blocks = prop::collection::vec(prop::sample::select(vec![0u8, 2, INSTRUMENT, INSTRUMENT]), 28);
            let test = |(expected, blocks): (Vec<([f32; 2], f32)>, Vec<u8>)| {
                let expected: Vec<Expected> =
                    expected.into_iter().map(|(tip, angle)| Expected { tip, axis: [angle.cos(), angle.sin()] }).collect();
                let mapping = Mapping { scale: [9.2, 9.1], shift: [0.0, 0.5], picture: [640.0, 360.0] };
                let mut maps = Maps::default();
                (maps.width, maps.height, maps.has_instrument) = (MAP[0], MAP[1], true);
                maps.labels = (0..MAP[0] * MAP[1]).map(|at| blocks[at / MAP[0] / 10 * 7 + at % MAP[0] / 10]).collect();
                let labels = maps.labels.clone();
                Splitter::default().cut(&mut maps, &mapping, &expected);
                let plan = SplitPlan::new(MAP, &mapping, &expected).unwrap();
                let (mut owner, mut cut) = (vec![7u8; labels.len()], vec![7u8; labels.len()]);
                runner.run(&plan.owner, &mut [value(&plan.params), input(&labels), output(&mut owner)]);
                runner.run(&plan.cut, &mut [value(&plan.params), input(&labels), input(&owner), output(&mut cut)]);
                prop_assert_eq!(&cut, &maps.labels);
                cuts.set(cuts.get() + usize::from(cut != labels));
                Ok(())
            };
            TestRunner::new(config).run(&(expected, blocks), test).unwrap();
            assert!(cuts.get() > 5, "hardly anything was cut: {}", cuts.get());
        });
    }

    #[test]
    fn one_alone_is_not_cut() {
        let mapping = Mapping { scale: [4.0; 2], shift: [0.0; 2], picture: [640.0, 360.0] };
        let one = Expected { tip: [300.0, 200.0], axis: [1.0, 0.0] };
        assert!(SplitPlan::new(MAP, &mapping, &[one]).is_none());
        let plan = SplitPlan::new(MAP, &mapping, &[one; limits::TRACKS + 3]).unwrap();
        assert_eq!((plan.params.count as usize, plan.cut.grid), (limits::TRACKS, [11, 1, 1]));
    }
}
