//! What `shaders/input_hash.cu` is given for one picture format.

use crate::frame::FrameLayout;
use crate::frame::cuda::{INPUT_HASH, Launch};
use crate::infer::hash::{BLOCK_BYTES, visible_bytes};
use bytemuck::{Pod, Zeroable};

const DIGEST_BYTES: usize = 32;
/// Few threads, and each long at it: spread over as many processors as there are.
const THREADS: u32 = 32;

/// As in the kernel.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Pod, Zeroable)]
pub struct HashParams {
    pub planes: u32,
    pub offset: [u32; 3],
    pub stride: [u32; 3],
    pub row_bytes: [u32; 3],
    pub rows: [u32; 3],
    pub visible_bytes: u32,
}

/// All that a launch needs but the buffers.
#[derive(Debug, Clone, Copy)]
pub struct HashPlan {
    pub params: HashParams,
    /// What comes out.
    pub digest_bytes: usize,
    pub blocks: Launch,
}

impl HashPlan {
    pub fn new(layout: &FrameLayout) -> Self {
        let planes = layout.planes();
        let of = |value: fn(&crate::frame::PlaneLayout) -> usize| {
            std::array::from_fn(|plane| planes.get(plane).map_or(0, |plane| value(plane) as u32))
        };
        let visible = visible_bytes(layout);
        let count = visible.div_ceil(BLOCK_BYTES);
        HashPlan {
            params: HashParams {
                planes: planes.len() as u32,
                offset: of(|plane| plane.offset),
                stride: of(|plane| plane.stride),
                row_bytes: of(|plane| plane.row_bytes),
                rows: of(|plane| plane.rows),
                visible_bytes: visible as u32,
            },
            digest_bytes: DIGEST_BYTES * count,
            blocks: Launch::over(INPUT_HASH, "input_hash_blocks", count, THREADS),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::random::Random;
    use crate::frame::cuda::testing::{input, on_every_device, output, value};
    use crate::frame::{Colorimetry, FrameView, Matrix, PixelFormat, Range};
    use crate::infer::hash::of_digests;
    use crate::infer::input_hash;
    use proptest::prelude::*;
    use proptest::test_runner::{Config, TestRunner};

    #[test]
    fn the_hash_is_the_references() {
        let pictures = (prop::sample::select(PixelFormat::ALL.to_vec()), 16usize..300, 16usize..90, any::<u64>());
        on_every_device("the_hash_is_the_references", |runner| {
            let config = Config { cases: 40, failure_persistence: None, ..Config::default() };
            let test = |(format, width, height, seed): (PixelFormat, usize, usize, u64)| {
                let layout = FrameLayout::new(format, Colorimetry::sdr(Matrix::Bt709, Range::Limited), width, height).unwrap();
                let data = Random::new(seed).bytes(layout.size);
                let plan = HashPlan::new(&layout);
                let mut digests = vec![0u8; plan.digest_bytes];
                runner.run(&plan.blocks, &mut [value(&plan.params), input(&data), output(&mut digests)]);
                prop_assert_eq!(of_digests(&layout, &digests), input_hash(FrameView::new(&layout, &data).unwrap()));
                Ok(())
            };
            TestRunner::new(config).run(&pictures, test).unwrap();
        });
    }

    #[test]
    fn there_is_a_thread_for_each_block_of_a_frame() {
        let layout = FrameLayout::new(PixelFormat::Nv12, Colorimetry::sdr(Matrix::Bt709, Range::Limited), 1920, 1080).unwrap();
        let plan = HashPlan::new(&layout);
        assert_eq!(plan.params.visible_bytes, 1920 * 1080 * 3 / 2);
        // 379.7 blocks of 8 KiB.
        assert_eq!((plan.digest_bytes, plan.blocks.grid), (32 * 380, [12, 1, 1]));
    }
}
