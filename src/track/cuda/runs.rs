//! What `shaders/mask_runs.cu` is given for a map, and what its list says.

use crate::frame::cuda::{Launch, MASK_RUNS};
use crate::track::maps::{INSTRUMENT, NOTHING};
use bytemuck::{Pod, Zeroable};

const THREADS: u32 = 256;

/// As in the kernel.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Pod, Zeroable)]
pub struct RunParams {
    pub pixels: u32,
}

/// Two launches, one after the other. Buffers: `counts` a u32 a block, `runs` a u32 a pixel, `total` one.
#[derive(Debug, Clone, Copy)]
pub struct RunsPlan {
    pub params: RunParams,
    pub count: Launch,
    pub list: Launch,
}

impl RunsPlan {
    /// For maps of so many pixels, at most 2²⁰.
    pub fn new(pixels: usize) -> Self {
        let over = |entry| Launch::over(MASK_RUNS, entry, pixels, THREADS);
        RunsPlan { params: RunParams { pixels: pixels as u32 }, count: over("mask_runs_count"), list: over("mask_runs_list") }
    }

    pub fn blocks(&self) -> usize {
        self.list.grid[0] as usize
    }
}

/// Labels and mask of a map of so many pixels, from the list of its runs.
pub fn unfold(runs: impl Iterator<Item = u32>, pixels: usize, labels: &mut Vec<u8>, mask: &mut Vec<u8>) {
    labels.clear();
    mask.clear();
    let mut runs = runs.peekable();
    while let Some(run) = runs.next() {
        let end = runs.peek().map_or(pixels, |next| (*next >> 10) as usize).min(pixels);
        let class = run as u8;
        let label = match run >> 8 & 3 {
            0 => NOTHING,
            1 => class,
            _ => INSTRUMENT,
        };
        labels.resize(end.max(labels.len()), label);
        mask.resize(end.max(mask.len()), class);
    }
    labels.resize(pixels, NOTHING);
    mask.resize(pixels, NOTHING);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::cuda::testing::{input, on_every_device, output, value};
    use proptest::prelude::*;
    use proptest::test_runner::{Config, TestRunner};

    /// Stretches of any length: a label with the mask that it may have.
    fn maps() -> impl Strategy<Value = Vec<(u8, u8)>> {
        let pixel = prop::sample::select(vec![(NOTHING, 0u8), (NOTHING, 255), (2, 2), (4, 4), (INSTRUMENT, 13), (INSTRUMENT, 2)]);
        let stretch = (pixel, 1usize..90).prop_map(|(pixel, length)| vec![pixel; length]);
        prop::collection::vec(stretch, 1..40).prop_map(|stretches| stretches.concat())
    }

    #[test]
    fn a_list_of_runs_holds_labels_and_mask_to_the_last_pixel() {
        on_every_device("a_list_of_runs_holds_labels_and_mask_to_the_last_pixel", |runner| {
            let config = Config { cases: 40, failure_persistence: None, max_shrink_iters: 64, ..Config::default() };
            let test = |pixels: Vec<(u8, u8)>| {
                let (labels, mask): (Vec<u8>, Vec<u8>) = pixels.iter().copied().unzip();
                let plan = RunsPlan::new(pixels.len());
                let (mut counts, mut runs, mut total) = (vec![77u32; plan.blocks()], vec![77u32; pixels.len()], [77u32]);
                runner.run(&plan.count, &mut [value(&plan.params), input(&labels), input(&mask), output(&mut counts)]);
                let mut args = [value(&plan.params), input(&labels), input(&mask), input(&counts), output(&mut runs), output(&mut total)];
                runner.run(&plan.list, &mut args);
                let expected = 1 + pixels.windows(2).filter(|two| two[0] != two[1]).count();
                prop_assert_eq!(total[0] as usize, expected);
                let (mut its_labels, mut its_mask) = (vec![9; 3], vec![9; 3]);
                unfold(runs[..expected].iter().copied(), pixels.len(), &mut its_labels, &mut its_mask);
                prop_assert_eq!((its_labels, its_mask), (labels, mask));
                Ok(())
            };
            TestRunner::new(config).run(&maps(), test).unwrap();
        });
    }

    #[test]
    fn a_list_that_is_no_map_fills_one_all_the_same() {
        let (mut labels, mut mask) = (Vec::new(), Vec::new());
        for runs in [&[][..], &[u32::MAX, 3 << 10, 900 << 10 | 1 << 8 | 2]] {
            unfold(runs.iter().copied(), 20, &mut labels, &mut mask);
            assert_eq!((labels.len(), mask.len()), (20, 20));
        }
    }
}
