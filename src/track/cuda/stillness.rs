//! What `shaders/stillness.cu` is given for one engine's input.

use crate::frame::cuda::{Launch, STILLNESS};
use crate::infer::{InputSpec, TensorLayout};
use crate::track::stillness::{BLOCK, least_share};
use bytemuck::{Pod, Zeroable};

const THREADS: u32 = 64;

/// As in the kernel.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Pod, Zeroable)]
pub struct StillnessParams {
    pub sides: [u32; 2],
    pub blocks: [u32; 2],
    pub is_nchw: u32,
    pub is_half: u32,
    pub is_first: u32,
    pub gain: [f32; 3],
    pub offset: [f32; 3],
    pub least: f32,
}

/// Both launches, one after the other. Buffers, of f32 for each block: `reference` and `now` three, `off` and `share` one.
#[derive(Debug, Clone, Copy)]
pub struct StillnessPlan {
    pub params: StillnessParams,
    pub compare: Launch,
    pub share: Launch,
}

impl StillnessPlan {
    pub fn new(input: &InputSpec, is_half: bool) -> Self {
        let blocks = [input.width, input.height].map(|side| side.div_ceil(BLOCK as u32));
        let over = |entry| Launch::over(STILLNESS, entry, (blocks[0] * blocks[1]) as usize, THREADS);
        StillnessPlan {
            params: StillnessParams {
                sides: [input.width, input.height],
                blocks,
                is_nchw: u32::from(input.layout == TensorLayout::Nchw),
                is_half: u32::from(is_half),
                is_first: 1,
                gain: input.std.map(|std| 255.0 * std),
                offset: input.mean.map(|mean| 255.0 * mean),
                least: 1.0,
            },
            compare: over("stillness_compare"),
            share: over("stillness_share"),
        }
    }

    /// The next frame follows on another, so many seconds later; None: on none.
    pub fn follow(&mut self, since_s: Option<f32>) {
        self.params.is_first = u32::from(since_s.is_none());
        self.params.least = since_s.map_or(1.0, least_share);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::random::Random;
    use crate::frame::cuda::testing::{input, on_every_device, output, value};
    use crate::infer::{ColourOrder, Resize};
    use crate::track::stillness::Stillness;
    use half::f16;
    use proptest::prelude::*;
    use proptest::test_runner::{Config, TestRunner};

    const FRAME_NS: u64 = 16_666_667;

    fn specs() -> impl Strategy<Value = InputSpec> {
        (9u32..70, 9u32..40, any::<bool>(), [0.0f32..0.6, 0.0f32..0.6, 0.0f32..0.6], [0.2f32..1.0, 0.2f32..1.0, 0.2f32..1.0]).prop_map(
            |(width, height, is_nchw, mean, std)| InputSpec {
                name: "image".to_owned(),
                layout: if is_nchw { TensorLayout::Nchw } else { TensorLayout::Nhwc },
                width,
                height,
                colour: ColourOrder::Rgb,
                resize: Resize::Stretch,
                mean,
                std,
            },
        )
    }

    /// The last frame again, with a little noise everywhere and some of it made anew.
    fn changed(last: &[f32], random: &mut Random) -> Vec<f32> {
        let from = random.below(last.len());
        let anew = from..from + last.len() / 6;
        last.iter()
            .enumerate()
            .map(|(i, v)| if anew.contains(&i) { random.between(0.0, 1.0) } else { v + random.between(-0.01, 0.01) })
            .collect()
    }

    #[test]
    fn shares_are_the_references_to_the_last_bit() {
        on_every_device("shares_are_the_references_to_the_last_bit", |runner| {
            let config = Config { cases: 30, failure_persistence: None, max_shrink_iters: 32, ..Config::default() };
            let seen = std::cell::Cell::new([0usize; 3]);
            let test = |(spec, is_half, seed): (InputSpec, bool, u64)| {
                let mut random = Random::new(seed);
                let mut frame: Vec<f32> = (0..3 * spec.width * spec.height).map(|_| random.between(0.0, 1.0)).collect();
                let (mut stillness, mut plan) = (Stillness::default(), StillnessPlan::new(&spec, is_half));
                let blocks = (plan.params.blocks[0] * plan.params.blocks[1]) as usize;
                let (mut reference, mut now) = (vec![[f32::NAN; 3]; blocks], vec![[f32::NAN; 3]; blocks]);
                let (mut off, mut share) = (vec![f32::NAN; blocks], vec![f32::NAN; blocks]);
                for index in 0..4u64 {
                    let halves: Vec<u16> = frame.iter().map(|v| f16::from_f32(*v).to_bits()).collect();
                    let shown: Vec<f32> =
                        if is_half { halves.iter().map(|bits| f16::from_bits(*bits).to_f32()).collect() } else { frame.clone() };
                    stillness.update(&shown, &spec, index * FRAME_NS);
                    plan.follow((index > 0).then_some(FRAME_NS as f32 / 1e9));
                    let tensor = if is_half { input(&halves) } else { input(&frame) };
                    runner.run(&plan.compare, &mut [value(&plan.params), tensor, input(&reference), output(&mut now), output(&mut off)]);
                    let mut args = [value(&plan.params), input(&now), input(&off), output(&mut reference), output(&mut share)];
                    runner.run(&plan.share, &mut args);
                    prop_assert_eq!(&share, &stillness.share, "frame {}", index);
                    let [new, between, still] = seen.get();
                    let count = |of: &dyn Fn(f32) -> bool| share.iter().filter(|share| of(**share)).count();
                    let least = plan.params.least;
                    seen.set([new + count(&|s| s == 1.0), between + count(&|s| s < 1.0 && s > least), still + count(&|s| s == least)]);
                    frame = changed(&frame, &mut random);
                }
                Ok(())
            };
            TestRunner::new(config).run(&(specs(), any::<bool>(), any::<u64>()), test).unwrap();
            assert!(seen.get().iter().all(|count| *count > 10), "new, between, still: {:?}", seen.get());
        });
    }

    #[test]
    fn a_launch_has_a_thread_a_block() {
        let (layout, colour, resize) = (TensorLayout::Nchw, ColourOrder::Rgb, Resize::Letterbox);
        let spec = InputSpec { name: "image".to_owned(), layout, width: 321, height: 192, colour, resize, mean: [0.5; 3], std: [0.2; 3] };
        let mut plan = StillnessPlan::new(&spec, false);
        assert_eq!((plan.params.blocks, plan.compare.grid, plan.share.grid), ([41, 24], [16, 1, 1], [16, 1, 1]));
        plan.follow(Some(1.0 / 60.0));
        assert!(plan.params.is_first == 0 && plan.params.least > 0.0 && plan.params.least < 0.1, "{}", plan.params.least);
        plan.follow(None);
        assert_eq!((plan.params.is_first, plan.params.least), (1, 1.0));
    }
}
