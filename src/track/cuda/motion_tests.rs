use super::*;
use crate::base::random::Random;
use crate::frame::cuda::testing::{input, on_every_device, output, value};
use crate::infer::{ColourOrder, Fit, Resize};
use crate::scene::ClassMask;
use crate::track::camera::Camera;
use crate::track::flow::{Flow, Patch, Solved, Window};
use crate::track::shrunk::Shrunk;
use half::f16;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

const PICTURE: [u32; 2] = [640, 400];
const MASK: [usize; 2] = [60, 41];
/// A grasper and liver in the class table.
const TOOL: u8 = 13;
const LIVER: u8 = 2;

#[derive(Debug, Clone)]
struct Case {
    spec: InputSpec,
    is_half: bool,
    /// How far the ground moves, and the tool on it, input pixels.
    ground: [f32; 2],
    tool: [f32; 2],
    seed: u64,
}

fn cases() -> impl Strategy<Value = Case> {
    let shift = || [-9.0f32..9.0, -6.0f32..6.0];
    (80u32..150, 60u32..110, any::<[bool; 2]>(), shift(), shift(), any::<u64>()).prop_map(
        |(width, height, [is_nchw, is_half], ground, tool, seed)| Case {
            spec: InputSpec {
                name: "image".to_owned(),
                layout: if is_nchw { TensorLayout::Nchw } else { TensorLayout::Nhwc },
                width,
                height,
                colour: ColourOrder::Rgb,
                resize: Resize::Stretch,
                mean: [0.4, 0.5, 0.6],
                std: [0.2, 0.25, 0.3],
            },
            is_half,
            ground,
            tool,
            seed,
        },
    )
}

fn is_tool(part: [f32; 2]) -> bool {
    (0.3..0.6).contains(&part[0]) && (0.4..0.8).contains(&part[1])
}

/// Waves that move by `part` of the whole way.
fn frame(case: &Case, part: f32, random: &mut Random) -> Vec<f32> {
    let (width, height) = (case.spec.width as usize, case.spec.height as usize);
    let mut input = vec![0.0; 3 * width * height];
    for at in 0..width * height {
        let place = [at % width, at / width].map(|place| place as f32);
        let shift = if is_tool([place[0] / width as f32, place[1] / height as f32]) { case.tool } else { case.ground };
        let [x, y] = [0, 1].map(|axis| place[axis] - part * shift[axis]);
        let level = 0.5 + 0.25 * ((x / 7.0).sin() + (y / 6.0).cos()) + 0.1 * ((x + 2.0 * y) / 5.0).sin() + random.between(-0.01, 0.01);
        for channel in 0..3 {
            let to = if case.spec.layout == TensorLayout::Nchw { channel * width * height + at } else { 3 * at + channel };
            let exact = (level - case.spec.mean[channel]) / case.spec.std[channel];
            input[to] = if case.is_half { f16::from_f32(exact).to_f32() } else { exact };
        }
    }
    input
}

fn mask() -> ClassMask {
    let part = |at: usize| [(at % MASK[0]) as f32 / MASK[0] as f32, (at / MASK[0]) as f32 / MASK[1] as f32];
    let ids = (0..MASK[0] * MASK[1]).map(|at| if is_tool(part(at)) { TOOL } else { LIVER }).collect();
    ClassMask { width: MASK[0] as u32, height: MASK[1] as u32, ids }
}

#[test]
fn greys_shifts_and_flows_are_the_references_to_the_last_bit() {
    on_every_device("greys_shifts_and_flows_are_the_references_to_the_last_bit", |runner| {
        let seen = std::cell::Cell::new([0usize; 4]);
        let config = Config { cases: 30, failure_persistence: None, max_shrink_iters: 8, ..Config::default() };
        let test = |case: Case| {
            let mut random = Random::new(case.seed);
            let (mask, mut shrunk) = (mask(), Shrunk::default());
            let fit = Fit { x: 0, y: 3, width: case.spec.width as usize, height: case.spec.height as usize - 6 };
            let place = Place::new(fit, PICTURE);
            let plan = MotionPlan::new(&case.spec, case.is_half, MASK, &place);
            let params = || value(&plan.params);
            let (mut halves, mut quarters, mut background) = (Vec::new(), Vec::<Vec<f32>>::new(), Vec::new());
            for part in [0.0, random.between(0.0, 1.0)] {
                let frame = frame(&case, part, &mut random);
                shrunk.show(&frame, &case.spec);
                let bits: Vec<u16> = frame.iter().map(|v| f16::from_f32(*v).to_bits()).collect();
                let tensor = if case.is_half { input(&bits) } else { input(&frame) };
                let (mut half, mut quarter) = (vec![f32::NAN; shrunk.half.now.len()], vec![f32::NAN; shrunk.quarter.now.len()]);
                runner.run(&plan.half, &mut [params(), tensor, output(&mut half)]);
                // Of no use before the second frame.
                let before = quarters.first().unwrap_or(&quarter).clone();
                background = vec![77u8; quarter.len()];
                let (half_in, mask_in) = (input(&half), input(&mask.ids));
                let mut args = [params(), half_in, input(&before), mask_in, output(&mut quarter), output(&mut background)];
                runner.run(&plan.quarter, &mut args);
                prop_assert_eq!(&half, &shrunk.half.now);
                prop_assert_eq!(&quarter, &shrunk.quarter.now);
                halves.push(half);
                quarters.push(quarter);
            }

            let mut shifts = [ShiftOnGpu::zeroed(); 2];
            let (now, before) = (input(&quarters[1]), input(&quarters[0]));
            runner.run(&plan.camera.unwrap(), &mut [params(), now, before, input(&background), output(&mut shifts)]);
            let blank = ClassMask { ids: vec![255; mask.ids.len()], ..mask.clone() };
            for (shift, mask) in shifts.iter().zip([&mask, &blank]) {
                let found = (shift.is_known == 1).then_some(shift.shift);
                prop_assert_eq!(found, Camera::default().shift(&shrunk.quarter, mask));
            }

            let flow = Flow::new(&shrunk.half, place);
            let patches: Vec<Patch> = (0..5)
                .map(|index| Patch {
                    centre: [random.between(0.0, 640.0), random.between(0.0, 400.0)],
                    reach: random.between(20.0, 90.0),
                    guess: [random.between(-9.0, 9.0), random.between(-9.0, 9.0)],
                    class: ClassId(if index < 2 { LIVER } else { TOOL }),
                })
                .chain([Patch { centre: [280.0, 240.0], reach: 60.0, guess: [0.0; 2], class: ClassId(TOOL) }])
                .collect();
            let windows: Vec<Window> = patches.iter().map(|patch| place.window(patch, [shrunk.half.width, shrunk.half.height])).collect();
            let mut solved = vec![Solved::default(); windows.len()];
            let (now, before) = (input(&halves[1]), input(&halves[0]));
            let mut args = [params(), now, before, input(&mask.ids), input(&windows), output(&mut solved)];
            runner.run(&plan.flow(windows.len()), &mut args);
            for (solved, window) in solved.iter().zip(&windows) {
                let expected = flow.solve(window, &mask);
                prop_assert_eq!(solved.is_found, expected.is_found, "{:?}", window);
                prop_assert!(expected.is_found == 0 || *solved == expected, "{:?}: {:?} {:?}", window, solved, expected);
            }
            let [known, unknown, found, lost] = seen.get();
            let (known_now, found_now) = (usize::from(shifts[0].is_known == 1), solved.iter().filter(|one| one.is_found == 1).count());
            seen.set([known + known_now, unknown + 1 - known_now, found + found_now, lost + solved.len() - found_now]);
            Ok(())
        };
        TestRunner::new(config).run(&cases(), test).unwrap();
        assert!(seen.get().iter().all(|&count| count > 3), "shifts known and not, patches found and not: {:?}", seen.get());
    });
}

#[test]
fn a_small_input_shows_no_camera() {
    let place = Place::new(Fit { x: 0, y: 0, width: 19, height: 40 }, PICTURE);
    let (layout, colour, resize) = (TensorLayout::Nchw, ColourOrder::Rgb, Resize::Stretch);
    let spec = InputSpec { name: "image".to_owned(), layout, width: 19, height: 40, colour, resize, mean: [0.5; 3], std: [0.2; 3] };
    let plan = MotionPlan::new(&spec, false, MASK, &place);
    assert!(plan.camera.is_none() && plan.half.grid == [1, 1, 1] && plan.flow(3).grid == [3, 1, 1]);
    assert!(plan.params.is_instrument[usize::from(TOOL)] == 1 && plan.params.is_instrument[255] == 0);
}
