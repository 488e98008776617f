use super::*;
use crate::base::random::Random;
use crate::frame::cuda::testing::{Runner, input, on_every_device, output, value};
use crate::infer::{ColourOrder, Resize};
use crate::track::continuity::thumb;
use crate::track::signs::{Figures, MAX_LINES, Signs};
use half::f16;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

#[derive(Debug, Clone)]
struct Case {
    spec: InputSpec,
    fit: Fit,
    is_half: bool,
    seed: u64,
}

fn cases() -> impl Strategy<Value = Case> {
    let sides = (50usize..120, 50usize..90, 0usize..6, 0usize..6);
    (sides, any::<[bool; 3]>(), [0.0f32..0.6, 0.0f32..0.6, 0.0f32..0.6], [0.2f32..1.0, 0.2f32..1.0, 0.2f32..1.0], any::<u64>()).prop_map(
        |((width, height, x, y), [is_nchw, is_bgr, is_half], mean, std, seed)| Case {
            spec: InputSpec {
                name: "image".to_owned(),
                layout: if is_nchw { TensorLayout::Nchw } else { TensorLayout::Nhwc },
                width: (width + x) as u32,
                height: (height + y) as u32,
                colour: if is_bgr { ColourOrder::Bgr } else { ColourOrder::Rgb },
                resize: Resize::Stretch,
                mean,
                std,
            },
            fit: Fit { x, y, width, height },
            is_half,
            seed,
        },
    )
}

/// Patches of a few colours, some of them dark, with a frame of another over a part, or one colour all over; and noise, more or less of it.
fn picture(case: &Case) -> Vec<f32> {
    let mut random = Random::new(case.seed);
    let (width, height) = (case.spec.width as usize, case.spec.height as usize);
    let patch = 4 + random.below(40);
    let colours: Vec<[f32; 3]> = (0..7).map(|_| std::array::from_fn(|_| random.between(0.0, 0.7) * random.between(0.0, 1.0))).collect();
    let (left, top, noise) = (random.below(width), random.below(height), random.between(0.0, 0.1) * random.between(0.0, 1.0));
    let is_plain = case.seed.is_multiple_of(4);
    let mut input = vec![0.0; 3 * width * height];
    for at in 0..width * height {
        let (x, y) = (at % width, at / width);
        let colour = if is_plain || x > left && y > top { colours[0] } else { colours[(x / patch * 3 + y / patch * 5) % 7] };
        for (channel, part) in colour.into_iter().enumerate() {
            let level = part + random.between(-noise - 1e-6, noise);
            let place = if case.spec.layout == TensorLayout::Nchw { channel * width * height + at } else { 3 * at + channel };
            input[place] = (level - case.spec.mean[channel]) / case.spec.std[channel];
        }
    }
    input
}

/// What comes out for a picture, in the order of the reference, and that it is the reference's.
fn compared(runner: &Runner, case: &Case, exact: &[f32]) -> (Figures, [Vec<Line>; 2]) {
    let halves: Vec<u16> = exact.iter().map(|v| f16::from_f32(*v).to_bits()).collect();
    let shown: Vec<f32> = if case.is_half { halves.iter().map(|bits| f16::from_bits(*bits).to_f32()).collect() } else { exact.to_vec() };
    let tensor = || if case.is_half { input(&halves) } else { input(exact) };
    let plan = GlancePlan::new(&case.spec, case.fit, case.is_half);
    let params = || value(&plan.params);
    let mut its_thumb = vec![f32::NAN; CELLS];
    runner.run(&plan.thumb, &mut [params(), tensor(), output(&mut its_thumb)]);
    assert_eq!(its_thumb[..], thumb(&case.spec, &shown)[..]);

    let signs = plan.signs.unwrap();
    let [width, height] = plan.params.fit_sides.map(|side| side as usize);
    let (mut half, mut quarter) = (vec![f32::NAN; width / 2 * (height / 2)], vec![f32::NAN; 3 * (width / 4) * (height / 4)]);
    let (mut details, mut figures) = (vec![f32::NAN; height + height / 2 + height / 4], [Figures::default()]);
    let (mut lines, mut found) = ([(); 2].map(|()| vec![LineOnGpu::zeroed(); MAX_LINES]), [7u32; 2]);
    runner.run(&signs.shrink, &mut [params(), tensor(), output(&mut half), output(&mut quarter)]);
    runner.run(&signs.details, &mut [params(), tensor(), input(&half), input(&quarter), output(&mut details)]);
    runner.run(&signs.counts, &mut [params(), input(&quarter), output(&mut figures)]);
    runner.run(&signs.sums, &mut [params(), input(&details), input(&quarter), output(&mut figures)]);
    let [vertical, horizontal] = &mut lines;
    runner.run(&signs.edges, &mut [params(), input(&half), output(vertical), output(horizontal), output(&mut found)]);
    let (expected, edges) = Signs::default().measured(&shown, &case.spec, case.fit);
    assert_eq!(figures[0], expected);
    for ((lines, found), edges) in lines.iter().zip(found).zip(&edges) {
        let its: Vec<Line> = lines[..found as usize].iter().copied().map(Line::from).collect();
        assert_eq!(&its, edges);
    }
    (expected, edges)
}

#[test]
fn thumb_figures_and_edges_are_the_references_to_the_last_bit() {
    on_every_device("thumb_figures_and_edges_are_the_references_to_the_last_bit", |runner| {
        let seen = std::cell::Cell::new([0usize; 3]);
        let config = Config { cases: 40, failure_persistence: None, max_shrink_iters: 16, ..Config::default() };
        let test = |case: Case| {
            let (figures, edges) = compared(runner, &case, &picture(&case));
            let [some, none, flat] = seen.get();
            let has_edges = edges.iter().any(|edges| !edges.is_empty());
            let is_flat = figures.flat > 0 && figures.flat < figures.all;
            seen.set([some + usize::from(has_edges), none + usize::from(!has_edges), flat + usize::from(is_flat)]);
            Ok(())
        };
        TestRunner::new(config).run(&cases(), test).unwrap();
        assert!(seen.get().iter().all(|&count| count > 3), "pictures with edges, without, flat in part: {:?}", seen.get());
    });
}

/// More lines than a block has threads, and more of them with edges than are looked at; some of those lie beside the dark.
#[test]
fn of_many_edges_the_first_are_told() {
    on_every_device("of_many_edges_the_first_are_told", |runner| {
        let (layout, colour, resize) = (TensorLayout::Nchw, ColourOrder::Rgb, Resize::Stretch);
        for (dark, expected) in [(0..0, MAX_LINES..=MAX_LINES), (200..400, 150..=MAX_LINES - 40)] {
            let (width, height) = (1400usize, 48usize);
            let name = "image".to_owned();
            let (mean, std) = ([0.0; 3], [1.0; 3]);
            let spec = InputSpec { name, layout, width: width as u32, height: height as u32, colour, resize, mean, std };
            let stripe = |at: usize| match (at % width, at % width / 4 % 2) {
                (x, odd) if dark.contains(&x) => 0.05 * odd as f32,
                (_, odd) => 0.3 + 0.2 * odd as f32,
            };
            let one: Vec<f32> = (0..width * height).map(stripe).collect();
            let case = Case { spec, fit: Fit { x: 0, y: 0, width, height }, is_half: false, seed: 0 };
            let (_, edges) = compared(runner, &case, &[&one[..], &one, &one].concat());
            assert!(expected.contains(&edges[0].len()) && edges[1].is_empty(), "{} {}", edges[0].len(), edges[1].len());
        }
    });
}

#[test]
fn a_picture_too_small_to_show_anything_has_no_signs() {
    let (layout, colour, resize) = (TensorLayout::Nchw, ColourOrder::Rgb, Resize::Letterbox);
    let spec = InputSpec { name: "image".to_owned(), layout, width: 448, height: 256, colour, resize, mean: [0.5; 3], std: [0.2; 3] };
    assert!(GlancePlan::new(&spec, Fit { x: 0, y: 110, width: 448, height: 47 }, false).signs.is_none());
    let signs = GlancePlan::new(&spec, Fit { x: 0, y: 2, width: 448, height: 253 }, false).signs.unwrap();
    assert_eq!((signs.shrink.grid, signs.edges.grid, signs.edges.block), ([56, 1, 1], [2, 1, 1], [512, 1, 1]));
    // 252 + 126 + 63 rows, four a block.
    assert_eq!((signs.details.grid, signs.sums.grid, signs.sums.block), ([111, 1, 1], [1, 1, 1], [256, 1, 1]));
}
