//! What `shaders/mask_runs.cu` is given for a map, and what its list says.

use crate::base::ids::ClassId;
use crate::frame::cuda::{Launch, MASK_RUNS};
use crate::infer::{HeadKind, OutputSpec};
use crate::track::maps::{INSTRUMENT, NOTHING};
use bytemuck::{Pod, Zeroable};

/// Also the pixels of a chunk.
const THREADS: u32 = 256;
const CHUNK: usize = THREADS as usize;

/// As in the kernel.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Pod, Zeroable)]
pub struct RunParams {
    pub pixels: u32,
    pub pairs: [[u8; 256]; 3],
}

/// Two launches, one after the other. Buffers: `counts` a u32 a block, `runs` a u16 a pixel, `total` one u32.
#[derive(Debug, Clone, Copy)]
pub struct RunsPlan {
    pub params: RunParams,
    pub count: Launch,
    pub list: Launch,
}

/// The pairs of label and class that a pixel may have, at most 256.
pub fn pairs<'a>(heads: impl Iterator<Item = &'a OutputSpec>) -> Vec<(u8, u8)> {
    let mut pairs = vec![(NOTHING, NOTHING), (NOTHING, ClassId::ABSTAINED.0)];
    for head in heads {
        let classes = head.classes.iter().filter(|class| **class != ClassId::BACKGROUND).map(|class| class.0);
        let is_tissue = head.kind == HeadKind::Tissue;
        pairs.extend(classes.map(|class| (if is_tissue { class } else { INSTRUMENT }, class)));
    }
    pairs
}

impl RunsPlan {
    /// For maps of so many pixels; `pairs`: what they may be.
    pub fn new(pixels: usize, pairs: &[(u8, u8)]) -> Self {
        let mut table = [[0; 256]; 3];
        for (index, (label, class)) in pairs.iter().enumerate() {
            let kind = match *label {
                NOTHING => 0,
                INSTRUMENT => 2,
                _ => 1,
            };
            table[kind][usize::from(*class)] = index as u8;
        }
        let over = |entry| Launch::over(MASK_RUNS, entry, pixels, THREADS);
        let params = RunParams { pixels: pixels as u32, pairs: table };
        RunsPlan { params, count: over("mask_runs_count"), list: over("mask_runs_list") }
    }

    pub fn blocks(&self) -> usize {
        self.list.grid[0] as usize
    }
}

/// Labels and mask of a map of so many pixels, from the list of its runs.
pub fn unfold(runs: impl Iterator<Item = u16>, pairs: &[(u8, u8)], pixels: usize, labels: &mut Vec<u8>, mask: &mut Vec<u8>) {
    labels.clear();
    mask.clear();
    let mut runs = runs.peekable();
    let mut chunk = 0;
    while let Some(run) = runs.next() {
        // Where the next one begins: in this chunk, or with the next.
        let end = match runs.peek().map(|next| usize::from(*next >> 8)).filter(|start| *start > 0) {
            Some(start) => chunk + start,
            None => {
                chunk += CHUNK;
                chunk
            }
        };
        let (label, class) = pairs.get(usize::from(run & 255)).copied().unwrap_or_default();
        let end = end.clamp(labels.len(), pixels.max(labels.len()));
        labels.resize(end, label);
        mask.resize(end, class);
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

    const PAIRS: [(u8, u8); 6] = [(NOTHING, 0), (NOTHING, 255), (2, 2), (4, 4), (INSTRUMENT, 13), (INSTRUMENT, 2)];

    /// Stretches of any length: a label with the mask that it may have.
    fn maps() -> impl Strategy<Value = Vec<(u8, u8)>> {
        let stretch = (prop::sample::select(PAIRS.to_vec()), 1usize..90, 0usize..9);
        let stretch = stretch.prop_map(|(pixel, length, times)| vec![pixel; if times == 0 { 8 * length } else { length }]);
        prop::collection::vec(stretch, 1..40).prop_map(|stretches| stretches.concat())
    }

    #[test]
    fn a_list_of_runs_holds_labels_and_mask_to_the_last_pixel() {
        on_every_device("a_list_of_runs_holds_labels_and_mask_to_the_last_pixel", |runner| {
            let config = Config { cases: 40, failure_persistence: None, max_shrink_iters: 64, ..Config::default() };
            let test = |pixels: Vec<(u8, u8)>| {
                let (labels, mask): (Vec<u8>, Vec<u8>) = pixels.iter().copied().unzip();
                let plan = RunsPlan::new(pixels.len(), &PAIRS);
                let (mut counts, mut runs, mut total) = (vec![77u32; plan.blocks()], vec![77u16; pixels.len()], [77u32]);
                runner.run(&plan.count, &mut [value(&plan.params), input(&labels), input(&mask), output(&mut counts)]);
                let mut args = [value(&plan.params), input(&labels), input(&mask), input(&counts), output(&mut runs), output(&mut total)];
                runner.run(&plan.list, &mut args);
                let expected = (0..pixels.len()).filter(|&at| at % CHUNK == 0 || pixels[at] != pixels[at - 1]).count();
                prop_assert_eq!(total[0] as usize, expected);
                let (mut its_labels, mut its_mask) = (vec![9; 3], vec![9; 3]);
                unfold(runs[..expected].iter().copied(), &PAIRS, pixels.len(), &mut its_labels, &mut its_mask);
                prop_assert_eq!((its_labels, its_mask), (labels, mask));
                Ok(())
            };
            TestRunner::new(config).run(&maps(), test).unwrap();
        });
    }

    #[test]
    fn a_list_that_is_no_map_fills_one_all_the_same() {
        let (mut labels, mut mask) = (Vec::new(), Vec::new());
        for runs in [&[][..], &[u16::MAX, 3 << 8, 2 << 8, 77]] {
            unfold(runs.iter().copied(), &PAIRS, 20, &mut labels, &mut mask);
            assert_eq!((labels.len(), mask.len()), (20, 20));
        }
    }
}
