//! Scenes of the same frames from both: an engine whose maps are decoded and whose boxes are found on a device, and one on the processor.
//! Where there is no GPU, the tests' driver runs the kernels, and the processor plays the model.

use super::{BOX_KERNELS, MAP_KERNELS, SIGHT_KERNELS};
use crate::base::ids::FrameId;
use crate::base::random::Random;
use crate::frame::cuda::testing::{TestDriver, skipped_without_gpu};
use crate::frame::cuda::{INPUT_HASH, Kernel, Launches, PREPROCESS};
use crate::frame::picture_from_png;
use crate::infer::tensorrt::testing as tensorrt;
use crate::infer::testing::{Colorimetry, FrameLayout, Matrix, PixelFormat, Range, TestEngine, loaded, rehearsed};
use crate::infer::{Engine, EngineFault, FrameView, OnnxEngine, Stamps, cuda};
use crate::scene::{AnalysisTimes, Scene, Trust};
use crate::track::{Analyser, LaunchTimes};
use std::time::Duration;

/// Liver with fat in a corner and two instruments, one of which moves; the rest stands still but for its noise.
fn picture(layout: &FrameLayout, index: u64) -> Vec<u8> {
    let mut random = Random::new(index);
    let mut data = vec![0; layout.size];
    let (w, h) = (layout.width, layout.height);
    for (y, row) in data.chunks_exact_mut(layout.planes()[0].stride).enumerate() {
        for (x, pixel) in row[..3 * w].chunks_exact_mut(3).enumerate() {
            let noise = (random.next_u64() % 6) as u8;
            let is_moving = (h / 3..h / 2).contains(&y) && x < w / 4 + 2 * index as usize;
            let is_still = x > 3 * w / 4 && (h / 2..h / 2 + h / 8).contains(&y);
            pixel.copy_from_slice(&match (is_moving || is_still, x > w / 2 && y < h / 4) {
                (true, _) => [20, noise, 225 + noise],
                (_, true) => [20, 225 + noise, 20],
                _ => [225 + noise, 20, noise],
            });
        }
    }
    data
}

fn said(analyser: &mut Analyser, view: FrameView<'_>, index: u64) -> Result<Scene, String> {
    let stamps = Stamps { id: FrameId(index), pts_ns: index * 16_666_667, capture_ns: index * 16_666_667 };
    let scene = analyser.analyse(view, stamps, &|| true).map_err(|error| error.to_string())?.unwrap();
    Ok(Scene { times: AnalysisTimes::default(), ..scene })
}

fn calibrated() -> TestEngine {
    let mut calibrated = TestEngine::maps();
    let tissues = "classes = [\"background\", \"liver\", \"fat\"]\n";
    calibrated.tables = calibrated.tables.replace(tissues, &format!("{tissues}temperature = 1.2\nsure = {{ liver = 0.8, fat = 0.9 }}\n"));
    calibrated
}

/// A tissue that was unsure for a moment becomes sure again, when that has lasted.
fn waver(open: &dyn Fn(&TestEngine) -> Box<dyn Engine>, engine: &TestEngine, layout: &FrameLayout) {
    let mut here = Analyser::of(Box::new(OnnxEngine::open(loaded(engine)).unwrap()), None).unwrap();
    let mut there = Analyser::of(open(engine), None).unwrap();
    let liver = |red: u8| -> Vec<u8> {
        (0..layout.size).map(|at| if (at % layout.planes()[0].stride).is_multiple_of(3) { red } else { 20 }).collect()
    };
    let state = |scene: &Scene| scene.tissues.first().map(|tissue| tissue.state);
    // As red as it is unsure.
    let unsure = (100..220).step_by(4).find(|red| {
        here.forget();
        state(&said(&mut here, FrameView::new(layout, &liver(*red)).unwrap(), 0).unwrap()) == Some(Trust::Unsure)
    });
    let (unsure, mut states) = (liver(unsure.expect("between background and liver")), Vec::new());
    here.forget();
    for index in 0..30 {
        let data = if (4..8).contains(&index) { unsure.clone() } else { liver(230) };
        let view = FrameView::new(layout, &data).unwrap();
        let expected = said(&mut here, view, index).unwrap();
        assert_eq!(said(&mut there, view, index).unwrap(), expected, "wavering, frame {index}");
        states.push(state(&expected));
    }
    let [first, wavered, last] = [0, 7, 29].map(|index| states[index]);
    assert_eq!([first, wavered, last], [Some(Trust::Sure), Some(Trust::Unsure), Some(Trust::Sure)], "{states:?}");
}

/// `is_exact`: the model's own numbers are the same on both.
fn compare(open: &dyn Fn(&TestEngine) -> Box<dyn Engine>, is_exact: bool) {
    let size = |width, height| FrameLayout::new(PixelFormat::Rgb, Colorimetry::sdr(Matrix::Bt709, Range::Full), width, height).unwrap();
    let calibrated = calibrated();
    if is_exact {
        waver(open, &calibrated, &size(96, 60));
    }
    // Are maps decoded there, are boxes found there, and is nothing of the frame needed here?
    for (name, engine, [maps, boxes, all]) in [
        ("maps", TestEngine::maps(), [true, false, true]),
        ("calibrated", calibrated, [true, false, true]),
        ("half", TestEngine::maps().in_half_precision(), [true, false, true]),
        ("gated", TestEngine::gated(), [true, false, true]),
        ("ids", TestEngine::class_ids(), [false; 3]),
        ("findings", TestEngine::findings_and_quality(), [false; 3]),
        ("yolo", TestEngine::yolo(), [false, true, true]),
        ("yolo with objectness", TestEngine::yolo_with_objectness(), [false, true, true]),
        ("yolo of pixels", TestEngine::yolo_of_pixels(), [false, true, true]),
        ("detr", TestEngine::detr(), [false, true, true]),
        ("half yolo", TestEngine::yolo().in_half_precision(), [false, true, true]),
        ("half detr", TestEngine::detr().in_half_precision(), [false, true, true]),
        ("masks", TestEngine::yolo_with_masks(), [false; 3]),
        ("maps and boxes", TestEngine::maps_and_boxes(true), [true, true, false]),
        ("maps and polyps", TestEngine::maps_and_boxes(false), [true, true, true]),
    ] {
        let mut here = Analyser::of(Box::new(OnnxEngine::open(loaded(&engine)).unwrap()), None).unwrap();
        let mut there = Analyser::of(open(&engine), None).unwrap();
        assert_eq!((there.decodes_which_there(), there.sees_there()), ([maps, boxes], all), "{name}");
        let mut seen = 0;
        // The size changes, and then stays; the last frames do not follow on the others.
        let layouts = [size(96, 60), size(160, 80)];
        for index in 0..if boxes { 15 } else { 26u64 } {
            let layout = layouts[usize::from(index >= 5)];
            if index == 12 {
                here.forget();
                there.forget();
            }
            let data = picture(&layout, index);
            let view = FrameView::new(&layout, &data).unwrap();
            if index == 8 {
                for fault in [EngineFault::NotANumber, EngineFault::OutOfRange, EngineFault::Shape] {
                    there.set_fault(Some(fault));
                    assert!(said(&mut there, view, index).is_err(), "{name}: {fault:?}");
                }
                there.set_fault(None);
                // What a frame that failed has left behind differs; from here on both begin anew.
                here.forget();
                there.forget();
            }
            let (expected, found) = (said(&mut here, view, index).unwrap(), said(&mut there, view, index).unwrap());
            seen += expected.tracks.len() + expected.tissues.len() + expected.findings.len();
            if is_exact && !name.starts_with("half") {
                assert_eq!(found, expected, "{name}, frame {index}");
                if index == 3 {
                    assert_eq!(there.probabilities().unwrap(), here.probabilities().unwrap(), "{name}");
                    assert_eq!(there.prove().unwrap(), here.prove().unwrap(), "{name}");
                }
            } else {
                let counts = |scene: &Scene| [scene.tracks.len(), scene.tissues.len(), scene.findings.len()];
                assert_eq!(counts(&found), counts(&expected), "{name} {index}");
                let off = found.mask.ids.iter().zip(&expected.mask.ids).filter(|(a, b)| a != b).count();
                assert!(off * 200 <= expected.mask.ids.len(), "{name}, frame {index}: {off} of the mask's pixels");
            }
        }
        assert!(seen > 0, "{name}: there was nothing to see");
    }
}

/// In a picture of the brightest green a number of the model is larger than any can be.
fn refuse(open: &dyn Fn(&TestEngine) -> Box<dyn Engine>) {
    let engine = TestEngine::yolo_of_pixels();
    let mut here = Analyser::of(Box::new(OnnxEngine::open(loaded(&engine)).unwrap()), None).unwrap();
    let mut there = Analyser::of(open(&engine), None).unwrap();
    let layout = FrameLayout::new(PixelFormat::Rgb, Colorimetry::sdr(Matrix::Bt709, Range::Full), 96, 60).unwrap();
    for (index, level, is_possible) in [(0, 230, true), (1, 255, false), (2, 230, true), (3, 230, true)] {
        let mut data = vec![0; layout.size];
        let rows = data.chunks_exact_mut(layout.planes()[0].stride);
        rows.flat_map(|row| row.as_chunks_mut::<3>().0).for_each(|pixel| *pixel = [20, level, 20]);
        let view = FrameView::new(&layout, &data).unwrap();
        let (expected, found) = (said(&mut here, view, index), said(&mut there, view, index));
        assert_eq!((expected.is_ok(), found.is_ok()), (is_possible, is_possible), "frame {index}: {expected:?} {found:?}");
        if let (Err(expected), Err(found)) = (&expected, &found) {
            assert!(expected.contains("as number") && found.contains("'output0'") && found.contains("beyond what"), "{expected} {found}");
        } else {
            let findings = [expected, found].map(|scene| scene.unwrap().findings.len());
            assert_eq!(findings[0], findings[1], "frame {index}");
        }
    }
}

#[test]
#[ignore = "the other half of a_scene_decoded_on_a_device_is_what_it_is_here"]
fn rehearse_in_this_process() {
    compare(&|engine| Box::new(rehearsed(engine)), true);
    refuse(&|engine| Box::new(rehearsed(engine)));
}

#[test]
#[ignore = "the other half of a_scene_decoded_on_a_device_is_what_it_is_here"]
fn rehearse_plans_in_this_process() {
    for launches in [Launches::Plain, Launches::Recorded] {
        compare(&|engine| Box::new(tensorrt::rehearsed(&loaded(engine), launches)), true);
    }
    choose();
}

/// Of two colours, a PNG.
fn still() -> Vec<u8> {
    let mut picture = Vec::new();
    let mut encoder = png::Encoder::new(&mut picture, 64, 48);
    encoder.set_color(png::ColorType::Rgb);
    let pixels: Vec<u8> = (0..64 * 48).flat_map(|i| if i % 64 < 24 { [20, 20, 230] } else { [230, 20, 20] }).collect();
    encoder.write_header().unwrap().write_image_data(&pixels).unwrap();
    picture
}

#[test]
#[ignore = "the other half of a_scene_decoded_on_a_device_is_what_it_is_here: its driver begins no sequence, and does not say so"]
fn choose_in_this_process() {
    let engine = tensorrt::rehearsed(&loaded(&TestEngine::maps()), Launches::Plain);
    let mut analyser = Analyser::of(Box::new(engine), None).unwrap();
    let times = LaunchTimes::choose(&mut analyser, &still(), Duration::MAX).unwrap().unwrap();
    assert!(times.recorded < times.plain && times.chosen == Launches::Plain, "{times:?}");
}

/// What decides is measured, and changes nothing of what is seen.
fn choose() {
    let picture = still();
    let (layout, data) = picture_from_png(&picture).unwrap();
    let engine = tensorrt::rehearsed(&loaded(&TestEngine::maps()), Launches::Plain);
    let mut analyser = Analyser::of(Box::new(engine), None).unwrap();
    let seen = |analyser: &mut Analyser| {
        let before = analyser.device_traffic().unwrap();
        let stamps = Stamps { id: FrameId(0), pts_ns: 0, capture_ns: 0 };
        let scene = analyser.analyse(FrameView::new(&layout, &data).unwrap(), stamps, &|| true).unwrap().unwrap();
        analyser.forget();
        (Scene { times: AnalysisTimes::default(), ..scene }, analyser.device_traffic().unwrap().since(&before).begun)
    };
    let (plainly, calls) = seen(&mut analyser);
    assert_eq!(LaunchTimes::choose(&mut analyser, &picture, Duration::ZERO).unwrap(), None, "there was no time to say");
    // However slow this machine is.
    let times = LaunchTimes::choose(&mut analyser, &picture, Duration::MAX).unwrap().expect("it runs on a device");
    assert!(times.plain > Duration::ZERO && times.recorded > Duration::ZERO, "{times:?}");
    // In the first frames what is not known yet is begun one by one.
    let third = |analyser: &mut Analyser| [(); 3].map(|()| seen(analyser))[2].clone();
    let as_chosen = third(&mut analyser);
    analyser.set_launches(Launches::Recorded).unwrap();
    let recorded = third(&mut analyser);
    assert_eq!([&as_chosen.0, &recorded.0], [&plainly; 2]);
    assert_eq!(as_chosen.1, if times.chosen == Launches::Recorded { recorded.1 } else { calls });
    println!("FIGURE calls that begin a frame's work, plain and recorded: {calls} and {}", recorded.1);
    assert!(recorded.1 * 5 < calls, "{} of {calls}", recorded.1);
}

#[test]
fn a_scene_decoded_on_a_device_is_what_it_is_here() {
    let test = "a_scene_decoded_on_a_device_is_what_it_is_here";
    let kernels: Vec<Kernel> = [PREPROCESS, INPUT_HASH].into_iter().chain(MAP_KERNELS).chain(BOX_KERNELS).chain(SIGHT_KERNELS).collect();
    if let Some(driver) = TestDriver::new(test).and_then(|driver| driver.with_kernels(test, &kernels)) {
        driver.run("track::cuda::maps_tests::rehearse_in_this_process", &[("TEST_CUDA_AT_ONCE", "1")]);
        driver.run("track::cuda::maps_tests::choose_in_this_process", &[("TEST_CUDA_GRAPHS", "3")]);
        let said = driver.run("track::cuda::maps_tests::rehearse_plans_in_this_process", &[]);
        said.lines().filter(|line| line.starts_with("FIGURE")).for_each(|line| println!("{line}"));
    }
}

#[test]
fn a_scene_decoded_on_a_gpu_is_what_it_is_here() {
    let test = "a_scene_decoded_on_a_gpu_is_what_it_is_here";
    match cuda::Gpu::of_this_machine() {
        Ok(_) => {
            let open = |engine: &TestEngine| OnnxEngine::open_on(loaded(engine), cuda::Gpu::of_this_machine().unwrap()).unwrap();
            compare(&|engine| Box::new(open(engine)), false);
            refuse(&|engine| Box::new(open(engine)));
            println!("RAN {test} on a GPU");
        }
        Err(error) => skipped_without_gpu(test, &error.to_string()),
    }
}
