//! What `shaders/decode.cu` is given for the maps of one engine.

use crate::frame::cuda::{DECODE, Launch};
use crate::infer::{Activation, Fit, HeadKind, InputSpec, OutputSpec, TensorLayout, possible};
use crate::track::decode::window_of;
use crate::track::maps::Window;
use bytemuck::{Pod, Zeroable};

/// More channels than any head has.
pub const MOST_CHANNELS: usize = 64;
const THREADS: u32 = 256;

/// `Head` of the kernel.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Pod, Zeroable)]
pub struct HeadOnGpu {
    pub channels: u32,
    pub activation: u32,
    pub cold: f32,
    pub threshold: f32,
    pub abstains: u32,
    pub channel_step: u32,
    pub pixel_step: u32,
    pub is_half: u32,
    pub range: [f32; 2],
    pub classes: [u8; MOST_CHANNELS],
}

/// As in the kernel.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Pod, Zeroable)]
pub struct DecodeParams {
    pub tissue: HeadOnGpu,
    pub instrument: HeadOnGpu,
    pub output: [u32; 2],
    pub window_corner: [u32; 2],
    pub window_sides: [u32; 2],
    pub share: [u32; 2],
}

/// All that a launch needs but the buffers.
#[derive(Debug, Clone, Copy)]
pub struct DecodePlan {
    pub params: DecodeParams,
    pub launch: Launch,
}

impl DecodePlan {
    /// `heads`: at most one of either kind, all of one size, halves where `is_half`. `fit`: where in the input the picture lies.
    /// `share`: width and height of what says how much of the newest answer counts; 0: all of it. None: a head has more than
    /// `MOST_CHANNELS`, or there is none.
    pub fn new(heads: &[&OutputSpec], input: &InputSpec, fit: Fit, share: [usize; 2], is_half: bool) -> Option<Self> {
        let output = heads.first().map(|head| [head.width, head.height])?;
        Self::of_window(heads, window_of([input.width as usize, input.height as usize], output, fit), share, is_half)
    }

    fn of_window(heads: &[&OutputSpec], window: Window, share: [usize; 2], is_half: bool) -> Option<Self> {
        let head = |kind| heads.iter().find(|head| head.kind == kind);
        let on_gpu = |kind| head(kind).map_or(Some(HeadOnGpu::zeroed()), |spec| of(spec, is_half));
        let first = heads.first()?;
        let pair = |[x, y]: [usize; 2]| [x as u32, y as u32];
        let params = DecodeParams {
            tissue: on_gpu(HeadKind::Tissue)?,
            instrument: on_gpu(HeadKind::Instrument)?,
            output: pair([first.width, first.height]),
            window_corner: pair([window.x, window.y]),
            window_sides: pair([window.width, window.height]),
            share: pair(share),
        };
        Some(DecodePlan { params, launch: Launch::over(DECODE, "decode", window.width * window.height, THREADS) })
    }

    /// Numbers of `certainty`; their sum over the window's pixels is the mean certainty. (Without a tissue head that is 1.)
    pub fn certainties(&self) -> usize {
        self.launch.grid[0] as usize
    }
}

/// As the kernels number them.
pub(super) fn number_of(activation: Activation) -> u32 {
    match activation {
        Activation::None => 0,
        Activation::Sigmoid => 1,
        Activation::Softmax => 2,
    }
}

fn of(spec: &OutputSpec, is_half: bool) -> Option<HeadOnGpu> {
    let channels = spec.channels();
    let mut classes = [0; MOST_CHANNELS];
    classes.get_mut(..channels)?.iter_mut().zip(&spec.classes).for_each(|(to, id)| *to = id.0);
    let (channel_step, pixel_step) = match spec.layout {
        TensorLayout::Nchw => (spec.width * spec.height, 1),
        TensorLayout::Nhwc => (1, channels),
    };
    Some(HeadOnGpu {
        channels: channels as u32,
        activation: number_of(spec.activation),
        cold: 1.0 / spec.calibration.temperature,
        threshold: spec.threshold,
        abstains: u32::from(spec.calibration.sure.is_some()),
        channel_step: channel_step as u32,
        pixel_step: pixel_step as u32,
        is_half: u32::from(is_half),
        range: possible(spec.activation),
        classes,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ids::ClassId;
    use crate::base::random::Random;
    use crate::frame::cuda::testing::{Runner, input, on_every_device, output, value};
    use crate::infer::{Calibration, ColourOrder, Resize, TensorView};
    use crate::track::maps::{INSTRUMENT, Maps};
    use crate::track::stillness::Stillness;
    use half::f16;
    use proptest::prelude::*;
    use proptest::test_runner::{Config, TestRunner};

    #[derive(Debug, Clone)]
    struct Case {
        tissue: Option<OutputSpec>,
        instrument: Option<OutputSpec>,
        window: Window,
        share: Option<[usize; 2]>,
        is_half: bool,
        seed: u64,
    }

    fn numbers(count: usize, seed: u64, from: f32, to: f32) -> Vec<f32> {
        let mut random = Random::new(seed);
        (0..count).map(|_| random.between(from, to)).collect()
    }

    fn spec(kind: HeadKind, channels: usize, sides: [usize; 2]) -> impl Strategy<Value = OutputSpec> {
        let activations = prop::sample::select(vec![Activation::None, Activation::Sigmoid, Activation::Softmax]);
        let first = if kind == HeadKind::Tissue { 1 } else { 20 };
        (activations, 0.2f32..0.8, 0.5f32..2.0, any::<[bool; 3]>()).prop_map(
            move |(activation, threshold, temperature, [is_nchw, is_sure, has_nothing])| {
                let classes = (0..channels as u8).map(|i| ClassId(if has_nothing && i == 0 { 0 } else { first + i })).collect();
                OutputSpec {
                    name: "out".to_owned(),
                    kind,
                    activation,
                    threshold,
                    calibration: Calibration { temperature, sure: is_sure.then(|| vec![0.9; channels]) },
                    classes,
                    layout: if is_nchw { TensorLayout::Nchw } else { TensorLayout::Nhwc },
                    width: sides[0],
                    height: sides[1],
                }
            },
        )
    }

    fn cases() -> impl Strategy<Value = Case> {
        let sides = (5usize..70, 4usize..30, 1usize..9, 1usize..5);
        sides.prop_flat_map(|(width, height, tissues, instruments)| {
            let [tissue, instrument] = [
                spec(HeadKind::Tissue, tissues, [width, height]).boxed(),
                spec(HeadKind::Instrument, instruments, [width, height]).boxed(),
            ];
            let heads = (tissue, instrument, 0..3).prop_map(|(tissue, instrument, which)| match which {
                0 => (Some(tissue), None),
                1 => (None, Some(instrument)),
                _ => (Some(tissue), Some(instrument)),
            });
            let share = prop::option::of((1usize..6, 1usize..4).prop_map(|(w, h)| [w, h]));
            let corner = (0..width, 0..height);
            (heads, corner, [0.0f64..1.0, 0.0f64..1.0], share, any::<bool>(), any::<u64>()).prop_map(
                move |((tissue, instrument), (x, y), part, share, is_half, seed)| {
                    let side = |most: usize, part: f64| 1 + ((most - 1) as f64 * part) as usize;
                    let window = Window { x, y, width: side(width - x, part[0]), height: side(height - y, part[1]) };
                    Case { tissue, instrument, window, share, is_half, seed }
                },
            )
        })
    }

    /// Probabilities or logits, as the head's activation takes them; halves' values where the model has halves.
    fn logits(spec: &OutputSpec, seed: u64, is_half: bool) -> Vec<f32> {
        let (from, to) = if spec.activation == Activation::None { (-0.009, 1.009) } else { (-6.0, 6.0) };
        let exact = numbers(spec.len(), seed, from, to);
        if is_half { exact.into_iter().map(|v| f16::from_f32(v).to_f32()).collect() } else { exact }
    }

    #[derive(Default)]
    struct Made {
        tissue: Vec<f32>,
        instrument: Vec<f32>,
        labels: Vec<u8>,
        mask: Vec<u8>,
        confidence: Vec<f32>,
        certainty: Vec<f32>,
        odd: u32,
    }

    fn bytes(numbers: &[f32], is_half: bool) -> Vec<u8> {
        let halves = || numbers.iter().flat_map(|v| f16::from_f32(*v).to_bits().to_ne_bytes()).collect();
        if is_half { halves() } else { bytemuck::cast_slice(numbers).to_vec() }
    }

    fn run(runner: &Runner, plan: &DecodePlan, heads: [&[f32]; 2], share: &[f32], made: &mut Made) {
        let pixels = (plan.params.window_sides[0] * plan.params.window_sides[1]) as usize;
        made.tissue.resize(pixels * plan.params.tissue.channels as usize, 0.0);
        made.instrument.resize(pixels, 0.0);
        made.labels.resize(pixels, 77);
        made.mask.resize(pixels, 77);
        made.confidence.resize(pixels, f32::NAN);
        made.certainty.resize(plan.certainties(), f32::NAN);
        let [tissue, instrument] = heads.map(|numbers| bytes(numbers, plan.params.tissue.is_half | plan.params.instrument.is_half == 1));
        let mut odd = [made.odd];
        let mut args = [
            value(&plan.params),
            input(&tissue),
            input(&instrument),
            input(share),
            output(&mut made.tissue),
            output(&mut made.instrument),
            output(&mut made.labels),
            output(&mut made.mask),
            output(&mut made.confidence),
            output(&mut made.certainty),
            output(&mut odd),
        ];
        runner.run(&plan.launch, &mut args);
        made.odd = odd[0];
    }

    /// Two frames on end, so that the second is averaged with the first.
    fn check(runner: &Runner, case: &Case) {
        let heads: Vec<&OutputSpec> = case.tissue.iter().chain(&case.instrument).collect();
        let share = case.share.map(|[w, h]| ([w, h], numbers(w * h, case.seed ^ 9, -0.2, 1.2)));
        let mut stillness = Stillness::default();
        if let Some(([width, height], numbers)) = &share {
            (stillness.width, stillness.height) = (*width, *height);
            stillness.share = numbers.iter().map(|part| part.clamp(0.0, 1.0)).collect();
        }
        let (mut maps, mut made) = (Maps::default(), Made::default());
        for frame in 0..2u64 {
            let data = |spec: &Option<OutputSpec>, add: u64| {
                spec.as_ref().map_or(Vec::new(), |spec| logits(spec, case.seed ^ (frame << 8) ^ add, case.is_half))
            };
            let (tissue, instrument) = (data(&case.tissue, 1), data(&case.instrument, 2));
            let views: Vec<TensorView<'_>> = heads
                .iter()
                .map(|spec| TensorView { spec, data: if spec.kind == HeadKind::Tissue { &tissue } else { &instrument } })
                .collect();
            maps.fill_averaged(&views, case.window, &stillness).unwrap();
            // The first frame has nothing to be averaged with.
            let sides = if frame == 0 { [0; 2] } else { share.as_ref().map_or([0; 2], |(sides, _)| *sides) };
            let plan = DecodePlan::of_window(&heads, case.window, sides, case.is_half).unwrap();
            let parts: &[f32] = if frame == 0 { &[] } else { &stillness.share };
            run(runner, &plan, [&tissue, &instrument], parts, &mut made);
            assert_eq!(made.odd, 0);
            if case.tissue.is_some() {
                assert_eq!(made.tissue, maps.tissue, "tissue of frame {frame} of {case:?}");
                let mean = made.certainty.iter().sum::<f32>() / made.labels.len() as f32;
                assert!((mean - maps.certainty).abs() < 1e-5, "{mean} {}", maps.certainty);
            }
            if case.instrument.is_some() {
                assert_eq!(made.instrument, maps.instrument, "instrument of frame {frame} of {case:?}");
            }
            assert_eq!(made.labels, maps.labels, "labels of frame {frame} of {case:?}");
            assert_eq!(made.mask, maps.mask, "mask of frame {frame} of {case:?}");
            let pixels = made.labels.len();
            for (at, confidence) in made.confidence.iter().enumerate() {
                let tissue = maps.tissue.iter().skip(at).step_by(pixels).copied().filter(|_| case.tissue.is_some()).fold(0.0, f32::max);
                let expected = if maps.labels[at] == INSTRUMENT { maps.instrument[at] } else { tissue };
                assert_eq!(*confidence, expected, "confidence of pixel {at} of {case:?}");
            }
        }
    }

    #[test]
    fn probabilities_labels_and_mask_are_the_references_to_the_last_bit() {
        on_every_device("probabilities_labels_and_mask_are_the_references_to_the_last_bit", |runner| {
            let config = Config { cases: 60, failure_persistence: None, max_shrink_iters: 32, ..Config::default() };
            TestRunner::new(config)
                .run(&cases(), |case| {
                    check(runner, &case);
                    Ok(())
                })
                .unwrap();
        });
    }

    #[test]
    fn one_number_that_is_none_in_the_window_is_noticed() {
        on_every_device("one_number_that_is_none_in_the_window_is_noticed", |runner| {
            let spec = OutputSpec {
                name: "out".to_owned(),
                kind: HeadKind::Tissue,
                activation: Activation::Softmax,
                threshold: 0.5,
                calibration: Calibration::default(),
                classes: vec![ClassId(0), ClassId(2)],
                layout: TensorLayout::Nchw,
                width: 40,
                height: 12,
            };
            let window = Window { x: 3, y: 2, width: 30, height: 9 };
            for (at, expected) in [(2 * 40 + 3, 1), (40 * 12 + 10 * 40 + 32, 1), (0, 0), (40 * 12 + 11 * 40 + 5, 0)] {
                for odd in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 1.1e4, -1.1e4] {
                    let mut data = vec![0.5; spec.len()];
                    data[at] = odd;
                    let mut made = Made::default();
                    run(runner, &DecodePlan::of_window(&[&spec], window, [0; 2], false).unwrap(), [&data, &[]], &[], &mut made);
                    assert_eq!(made.odd, expected, "{odd} at {at}");
                }
            }
        });
    }

    #[test]
    fn too_many_channels_are_refused_and_a_launch_covers_the_window() {
        let spec = |channels: usize| OutputSpec {
            name: "out".to_owned(),
            kind: HeadKind::Instrument,
            activation: Activation::Sigmoid,
            threshold: 0.5,
            calibration: Calibration::default(),
            classes: vec![ClassId(5); channels],
            layout: TensorLayout::Nhwc,
            width: 320,
            height: 192,
        };
        let window = Window { x: 0, y: 6, width: 320, height: 180 };
        assert!(DecodePlan::of_window(&[&spec(MOST_CHANNELS + 1)], window, [0; 2], false).is_none());
        assert!(DecodePlan::of_window(&[], window, [0; 2], false).is_none());
        let plan = DecodePlan::of_window(&[&spec(MOST_CHANNELS)], window, [0; 2], true).unwrap();
        assert_eq!((plan.launch.grid, plan.launch.block, plan.certainties()), ([225, 1, 1], [THREADS, 1, 1], 225));
        assert_eq!((plan.params.tissue.channels, plan.params.instrument.pixel_step), (0, 64));
        // The picture's part of the input, in the output's pixels.
        let (layout, colour, resize) = (TensorLayout::Nchw, ColourOrder::Rgb, Resize::Letterbox);
        let input = InputSpec { name: "image".to_owned(), layout, width: 640, height: 384, colour, resize, mean: [0.0; 3], std: [1.0; 3] };
        let plan = DecodePlan::new(&[&spec(2)], &input, Fit { x: 0, y: 12, width: 640, height: 360 }, [0; 2], true).unwrap();
        assert_eq!((plan.params.window_corner, plan.params.window_sides), ([0, 6], [320, 180]));
    }
}
