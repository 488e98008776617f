use super::*;
use crate::base::random::Random;
use crate::frame::cuda::testing::{Runner, input, on_every_device, output, value};
use crate::frame::{Colorimetry, FrameView, Matrix, Range, Transfer};
use crate::infer::{ColourOrder, Preprocess, Resize, TensorLayout, testing};
use crate::store::Normalisation;
use half::f16;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

/// One engine's input and one picture.
#[derive(Debug, Clone)]
struct Case {
    spec: InputSpec,
    layout: FrameLayout,
    data: Vec<u8>,
}

fn colorimetries() -> impl Strategy<Value = Colorimetry> {
    use {Matrix::*, Range::*, Transfer::*};
    (
        prop::sample::select(vec![Bt601, Bt709, Bt2020]),
        prop::sample::select(vec![Limited, Full]),
        prop::sample::select(vec![Sdr, Sdr, Hlg, Pq]),
    )
        .prop_map(|(matrix, range, transfer)| Colorimetry { matrix, range, transfer })
}

fn cases() -> impl Strategy<Value = Case> {
    let spec = (16u32..70, 16u32..50, any::<[bool; 3]>(), [0.0f32..0.6, 0.0f32..0.6, 0.0f32..0.6], [0.2f32..1.0, 0.2f32..1.0, 0.2f32..1.0]);
    let spec = spec.prop_map(|(width, height, [is_nchw, is_rgb, is_letterbox], mean, std)| InputSpec {
        name: "image".to_owned(),
        layout: if is_nchw { TensorLayout::Nchw } else { TensorLayout::Nhwc },
        width,
        height,
        colour: if is_rgb { ColourOrder::Rgb } else { ColourOrder::Bgr },
        resize: if is_letterbox { Resize::Letterbox } else { Resize::Stretch },
        mean,
        std,
    });
    (spec, prop::sample::select(PixelFormat::ALL.to_vec()), colorimetries(), 16usize..260, 16usize..150, any::<u64>()).prop_map(
        |(spec, format, colorimetry, width, height, seed)| {
            let layout = FrameLayout::new(format, colorimetry, width, height).unwrap();
            let data = Random::new(seed).bytes(layout.size);
            Case { spec, layout, data }
        },
    )
}

struct Made {
    input: Vec<f32>,
    lit: Vec<[i32; 2]>,
    counts: Vec<u32>,
}

/// What the kernel makes of a picture.
fn made(runner: &Runner, plan: &PreprocessPlan, case: &Case, inside: &[[i32; 2]]) -> Made {
    let [width, height] = [case.spec.width as usize, case.spec.height as usize];
    let (mut lit, mut counts) = (vec![[-7; 2]; height], vec![0u32; LIGHT_COUNTS]);
    let (light, shown): (&[i32], &[u8]) = plan.tone.as_ref().map_or((&[][..], &[][..]), |tone| (&tone.to_linear[..], &tone.to_display[..]));
    let mut floats = vec![f32::NAN; 3 * width * height];
    let mut halves = vec![f16::NAN.to_bits(); 3 * width * height];
    let is_half = plan.params.is_half == 1;
    let tensor = if is_half { output(&mut halves) } else { output(&mut floats) };
    let mut args = [
        value(&plan.params),
        input(&case.data),
        input(&plan.spans),
        input(light),
        input(shown),
        input(inside),
        tensor,
        output(&mut lit),
        output(&mut counts),
    ];
    // Rows of more pixels than a block has threads, too.
    let block = if height.is_multiple_of(2) { [WARP, 1, 1] } else { plan.launch.block };
    runner.run(&Launch { block, ..plan.launch }, &mut args);
    if is_half {
        floats = halves.iter().map(|bits| f16::from_bits(*bits).to_f32()).collect();
    }
    Made { input: floats, lit, counts }
}

fn reference(case: &Case) -> Vec<f32> {
    let mut input = vec![f32::NAN; 3 * (case.spec.width * case.spec.height) as usize];
    Preprocess::new(case.spec.clone()).run(FrameView::new(&case.layout, &case.data).unwrap(), &mut input);
    input
}

fn first_difference(found: &[f32], expected: &[f32]) -> Option<(usize, f32, f32)> {
    let pairs = found.iter().zip(expected).enumerate();
    pairs.map(|(i, (found, expected))| (i, *found, *expected)).find(|(_, found, expected)| found != expected)
}

fn check(cases_each: u32, strategy: impl Strategy<Value = Case>, test: impl Fn(&Case)) {
    let config = Config { cases: cases_each, failure_persistence: None, max_shrink_iters: 32, ..Config::default() };
    TestRunner::new(config)
        .run(&strategy, |case| {
            test(&case);
            Ok(())
        })
        .unwrap();
}

#[test]
fn the_tensor_is_the_references_to_the_last_bit() {
    on_every_device("the_tensor_is_the_references_to_the_last_bit", |runner| {
        check(60, cases(), |case| {
            let expected = reference(case);
            let plan = PreprocessPlan::new(&case.spec, case.layout, Number::F32);
            let found = made(runner, &plan, case, &[]);
            assert_eq!(first_difference(&found.input, &expected), None, "{:?} {:?}", case.spec, case.layout);
            assert!(found.lit.iter().all(|row| *row == [-7; 2]) && found.counts.iter().all(|count| *count == 0), "it was not to judge");
            let halves: Vec<f32> = expected.iter().map(|value| f16::from_f32(*value).to_f32()).collect();
            let plan = PreprocessPlan::new(&case.spec, case.layout, Number::F16);
            assert_eq!(first_difference(&made(runner, &plan, case, &[]).input, &halves), None, "{:?} {:?}", case.spec, case.layout);
        });
    });
}

/// More rows a box than the reference sums as whole numbers.
#[test]
fn very_tall_boxes_are_summed_in_the_references_order() {
    on_every_device("very_tall_boxes_are_summed_in_the_references_order", |runner| {
        for format in [PixelFormat::Rgb, PixelFormat::I420, PixelFormat::P010] {
            let colours = Colorimetry::sdr(Matrix::Bt709, Range::Limited);
            let layout = FrameLayout::new(format, colours, 37, 4700).unwrap();
            let spec = InputSpec {
                name: "image".to_owned(),
                layout: TensorLayout::Nchw,
                width: 16,
                height: 16,
                colour: ColourOrder::Rgb,
                resize: Resize::Stretch,
                mean: [0.4; 3],
                std: [0.3; 3],
            };
            let case = Case { spec, layout, data: Random::new(5).bytes(layout.size) };
            let plan = PreprocessPlan::new(&case.spec, case.layout, Number::F32);
            assert_eq!(first_difference(&made(runner, &plan, &case, &[]).input, &reference(&case)), None, "{format:?}");
        }
    });
}

fn cohort() -> Normalisation {
    Normalisation { dead_band: 0.2, ..testing::cohort() }
}

/// A lit ellipse on black, as an endoscope gives it; noise inside.
fn endoscopic(case: &Case, part: f32) -> Case {
    let mut case = case.clone();
    let (w, h) = (case.layout.width as f32, case.layout.height as f32);
    case.layout =
        FrameLayout::new(PixelFormat::Bgrx, Colorimetry::sdr(Matrix::Bt709, Range::Full), case.layout.width, case.layout.height).unwrap();
    case.data = Random::new(case.data.len() as u64).bytes(case.layout.size);
    let stride = case.layout.planes()[0].stride;
    for (y, row) in case.data.chunks_exact_mut(stride).enumerate() {
        for (x, pixel) in row.chunks_exact_mut(4).enumerate() {
            let off = [(x as f32 + 0.5) / w - 0.5, (y as f32 + 0.5) / h - 0.5];
            let is_lit = off[0] * off[0] + off[1] * off[1] < 0.25 * part * part;
            // Red most, blue least: something like tissue.
            pixel.iter_mut().zip([5, 4, 2, 1]).for_each(|(byte, less)| *byte = if is_lit { (*byte / less).saturating_add(20) } else { 2 });
        }
    }
    case
}

#[test]
fn light_is_judged_and_corrected_as_the_reference_does_it() {
    on_every_device("light_is_judged_and_corrected_as_the_reference_does_it", |runner| {
        let changed = std::cell::Cell::new(0);
        let strategy = (cases(), 0.6f32..1.5).prop_map(|(case, part)| endoscopic(&case, part));
        check(40, strategy, |case| {
            let raw = reference(case);
            let mut normaliser = Normaliser::new(cohort(), case.spec.clone());
            let mut expected = raw.clone();
            normaliser.run(&mut expected, 0);

            let mut plan = PreprocessPlan::new(&case.spec, case.layout, Number::F32);
            assert!(plan.judge(true));
            let judged = made(runner, &plan, case, &[]);
            assert_eq!(first_difference(&judged.input, &raw), None, "what is judged is not changed");
            assert_eq!(judged.counts, normaliser.histograms.counts(), "{:?}", case.spec);
            assert_eq!(judged.lit, lit_rows(&case.spec, &raw), "{:?}", case.spec);

            let mut inside = vec![[0; 2]; case.spec.height as usize];
            plan.correct_as(&normaliser, &mut inside);
            let corrected = made(runner, &plan, case, &inside);
            assert_eq!(first_difference(&corrected.input, &expected), None, "{:?} {:?}", case.spec, plan.params);
            assert_eq!(corrected.counts, judged.counts, "the frame is judged as it came");
            changed.set(changed.get() + (plan.params.is_corrected & plan.params.has_outside));
        });
        assert!(changed.get() > 5, "hardly any frame was corrected and had an outside: {}", changed.get());
    });
}

/// From the first to behind the last three bright pixels beside each other, row by row.
fn lit_rows(spec: &InputSpec, input: &[f32]) -> Vec<[i32; 2]> {
    let (w, h) = (spec.width as usize, spec.height as usize);
    let brightest = |x: usize, y: usize| {
        let channel = |c: usize| input[if spec.layout == TensorLayout::Nchw { (c * h + y) * w + x } else { (y * w + x) * 3 + c }];
        (0..3).map(|c| channel(c) * spec.std[c] + spec.mean[c]).fold(0.0, f32::max)
    };
    let row = |y: usize| {
        let runs: Vec<usize> = (0..w - 2).filter(|&x| (x..x + 3).all(|x| brightest(x, y) > 0.05)).collect();
        runs.first().map_or([0, 0], |first| [*first as i32, *runs.last().unwrap() as i32 + 3])
    };
    (0..h).map(row).collect()
}

#[test]
fn a_launch_has_a_block_a_row_and_room_for_what_is_judged() {
    let layout = FrameLayout::new(PixelFormat::V210, Colorimetry::sdr(Matrix::Bt709, Range::Limited), 1920, 1080).unwrap();
    let spec = InputSpec {
        name: "image".to_owned(),
        layout: TensorLayout::Nchw,
        width: 320,
        height: 192,
        colour: ColourOrder::Rgb,
        resize: Resize::Letterbox,
        mean: [0.4; 3],
        std: [0.3; 3],
    };
    let mut plan = PreprocessPlan::new(&spec, layout, Number::F16);
    assert_eq!((plan.launch.grid, plan.launch.block, plan.launch.shared_bytes), ([192, 1, 1], [256, 1, 1], 0));
    assert_eq!(plan.spans.len(), 2 * 320 + 2 * 180);
    assert!(plan.judge(true));
    assert_eq!(plan.launch.shared_bytes, 3 * 320 * 4);
    for (width, is_possible) in [(MOST_JUDGED_WIDTH, true), (MOST_JUDGED_WIDTH + 1, false)] {
        let mut plan = PreprocessPlan::new(&InputSpec { width, ..spec.clone() }, layout, Number::F32);
        assert_eq!((plan.judge(true), plan.params.is_judged), (is_possible, u32::from(is_possible)));
        assert!(plan.launch.shared_bytes as usize + (LIGHT_COUNTS + 2) * 4 <= 48 * 1024);
    }
    assert_eq!(plan.params.taps[1].row_share, 1);
    // U and V of v210 stand at every fourth of its twelve samples, from the first and from the third on.
    assert_eq!([1, 2].map(|c: usize| [plan.params.taps[c].index_start, plan.params.taps[c].index_step]), [[0, 4], [2, 4]]);
}
