//! What comes back of a frame that is analysed on a device: by the engine that ships for GPUs, on its golden picture as it moves, and by
//! detectors. Where
//! there is no GPU, the tests' driver runs the kernels, and the processor plays the model.

use super::{BOX_KERNELS, MAP_KERNELS, SIGHT_KERNELS};
use crate::base::ids::FrameId;
use crate::frame::cuda::testing::{TestDriver, skipped_without_gpu};
use crate::frame::cuda::{INPUT_HASH, Kernel, PREPROCESS};
use crate::frame::{FrameView, picture_from_png};
use crate::infer::testing::{Colorimetry, FrameLayout, Matrix, PixelFormat, Range, TestEngine, loaded, rehearsed_as};
use crate::infer::{Backend, Engine, OnnxEngine, Stamps, cuda};
use crate::scene::{AnalysisTimes, Scene};
use crate::store::{Engines, LockedEngine};
use crate::track::Analyser;
use std::path::Path;

/// What may come back of a frame.
const MOST_BYTES: u64 = 64 * 1024;
const FRAMES: usize = 10;
/// Of the golden picture, what is seen at once.
const SIZE: [usize; 2] = [440, 246];

fn shipped() -> LockedEngine {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("engines");
    Engines::find(Some(&folder)).unwrap().load_for_any(Backend::Cuda.endings()).unwrap()
}

/// The golden picture from a place that moves.
fn moving(golden: &(FrameLayout, Vec<u8>), index: usize) -> (FrameLayout, Vec<u8>) {
    let (whole, bytes) = golden;
    let layout = FrameLayout::new(whole.format, whole.colorimetry, SIZE[0], SIZE[1]).unwrap();
    let mut data = vec![0; layout.size];
    let (from, to) = (whole.planes()[0].stride, layout.planes()[0].stride);
    for (y, row) in data.chunks_exact_mut(to).enumerate().take(SIZE[1]) {
        let start = (y + index) * from + 3 * 3 * index;
        row[..3 * SIZE[0]].copy_from_slice(&bytes[start..start + 3 * SIZE[0]]);
    }
    (layout, data)
}

/// `is_exact`: the model's own numbers are the same on both.
fn count(open: &dyn Fn(LockedEngine) -> Box<dyn Engine>, is_exact: bool) {
    let engine = shipped();
    let cohort = engine.manifest.normalisation;
    let golden = picture_from_png(&engine.golden.as_ref().unwrap().picture).unwrap();
    let mut here = Analyser::of(Box::new(OnnxEngine::open(engine).unwrap()), cohort).unwrap();
    let mut there = Analyser::of(open(shipped()), cohort).unwrap();
    assert!(cohort.is_some() && there.sees_there());
    let (mut most, mut tracks) = (0, 0);
    for index in 0..FRAMES {
        let (layout, data) = moving(&golden, index);
        let view = FrameView::new(&layout, &data).unwrap();
        let at = index as u64 * 16_666_667;
        let stamps = Stamps { id: FrameId(index as u64), pts_ns: at, capture_ns: at };
        let said = |analyser: &mut Analyser| {
            let scene = analyser.analyse(view, stamps, &|| true).unwrap().unwrap();
            Scene { times: AnalysisTimes::default(), ..scene }
        };
        let before = there.device_traffic().unwrap();
        let (scene, expected) = (said(&mut there), said(&mut here));
        let moved = there.device_traffic().unwrap().since(&before);
        assert!(!scene.tissues.is_empty(), "there is something to bring");
        if is_exact {
            assert_eq!(scene, expected, "frame {index}");
        }
        assert_eq!((moved.to_device.pixels, moved.to_host.pixels), (layout.size as u64, 0), "frame {index}");
        assert!(moved.to_host.numbers < MOST_BYTES, "frame {index}: {}", moved.to_host.numbers);
        assert!(index == 0 || moved.allocations == 0, "frame {index}");
        (most, tracks) = (most.max(moved.to_host.numbers), tracks.max(scene.tracks.len()));
    }
    assert!(tracks > 0, "nothing was followed");
    println!("FIGURE bytes a frame from the device, the shipped engine: at most {most} of results, 0 of pixels");
}

/// Of detectors; one of them proposes more numbers than may come back.
fn count_boxes(open: &dyn Fn(LockedEngine) -> Box<dyn Engine>) {
    let layout = FrameLayout::new(PixelFormat::Rgb, Colorimetry::sdr(Matrix::Bt709, Range::Full), 96, 60).unwrap();
    let engines = [
        ("yolo", TestEngine::yolo()),
        ("yolo of pixels", TestEngine::yolo_of_pixels()),
        ("detr", TestEngine::detr()),
        ("half", TestEngine::yolo().in_half_precision()),
    ];
    for (name, engine) in engines {
        let mut there = Analyser::of(open(loaded(&engine)), None).unwrap();
        let mut found = 0;
        for index in 0..FRAMES {
            // A blue bar that grows, and a green one.
            let mut data = vec![0; layout.size];
            for (y, row) in data.chunks_exact_mut(layout.planes()[0].stride).enumerate() {
                for (x, pixel) in row[..3 * layout.width].as_chunks_mut::<3>().0.iter_mut().enumerate() {
                    *pixel = match (x < 30 + 2 * index, y) {
                        (true, 20..40) => [20, 20, 230],
                        (false, 40..) => [20, 230, 20],
                        _ => [230, 20, 20],
                    };
                }
            }
            let at = index as u64 * 16_666_667;
            let stamps = Stamps { id: FrameId(index as u64), pts_ns: at, capture_ns: at };
            let before = there.device_traffic().unwrap();
            let scene = there.analyse(FrameView::new(&layout, &data).unwrap(), stamps, &|| true).unwrap().unwrap();
            let moved = there.device_traffic().unwrap().since(&before);
            assert_eq!((moved.to_device.pixels, moved.to_host.pixels), (layout.size as u64, 0), "{name}, frame {index}");
            assert!(moved.to_host.numbers < MOST_BYTES, "{name}, frame {index}: {}", moved.to_host.numbers);
            assert!(index == 0 || moved.allocations == 0, "{name}, frame {index}");
            found += scene.tracks.len() + scene.findings.len();
            if index + 1 == FRAMES {
                println!("FIGURE {name}: {} bytes of results come back, and 0 of pixels", moved.to_host.numbers);
            }
        }
        assert!(found > 0, "{name}: nothing was found");
    }
}

#[test]
#[ignore = "the other half of less_than_64_kib_of_results_and_no_pixels_come_back_from_a_device"]
fn rehearse_in_this_process() {
    count(&|engine| Box::new(rehearsed_as(engine)), true);
}

#[test]
#[ignore = "the other half of few_boxes_and_no_proposals_come_back_from_a_device"]
fn rehearse_boxes_in_this_process() {
    count_boxes(&|engine| Box::new(rehearsed_as(engine)));
}

/// With all kernels that a frame meets.
fn driver(test: &str) -> Option<TestDriver> {
    let kernels: Vec<Kernel> = [PREPROCESS, INPUT_HASH].into_iter().chain(MAP_KERNELS).chain(BOX_KERNELS).chain(SIGHT_KERNELS).collect();
    TestDriver::new(test).and_then(|driver| driver.with_kernels(test, &kernels))
}

#[test]
fn less_than_64_kib_of_results_and_no_pixels_come_back_from_a_device() {
    let test = "less_than_64_kib_of_results_and_no_pixels_come_back_from_a_device";
    if let Some(driver) = driver(test) {
        let said = driver.run("track::cuda::bytes_tests::rehearse_in_this_process", &[("TEST_CUDA_AT_ONCE", "1")]);
        said.lines().filter(|line| line.starts_with("FIGURE")).for_each(|line| println!("{line}"));
    }
}

#[test]
fn less_than_64_kib_of_results_and_no_pixels_come_back_from_a_gpu() {
    let test = "less_than_64_kib_of_results_and_no_pixels_come_back_from_a_gpu";
    match cuda::Gpu::of_this_machine() {
        Ok(_) => {
            count(&|engine| Box::new(OnnxEngine::open_on(engine, cuda::Gpu::of_this_machine().unwrap()).unwrap()), false);
            println!("RAN {test} on a GPU");
        }
        Err(error) => skipped_without_gpu(test, &error.to_string()),
    }
}

#[test]
fn few_boxes_and_no_proposals_come_back_from_a_device() {
    let test = "few_boxes_and_no_proposals_come_back_from_a_device";
    if let Some(driver) = driver(test) {
        let said = driver.run("track::cuda::bytes_tests::rehearse_boxes_in_this_process", &[("TEST_CUDA_AT_ONCE", "1")]);
        said.lines().filter(|line| line.starts_with("FIGURE")).for_each(|line| println!("{line}"));
    }
}

#[test]
fn few_boxes_and_no_proposals_come_back_from_a_gpu() {
    let test = "few_boxes_and_no_proposals_come_back_from_a_gpu";
    match cuda::Gpu::of_this_machine() {
        Ok(_) => {
            count_boxes(&|engine| Box::new(OnnxEngine::open_on(engine, cuda::Gpu::of_this_machine().unwrap()).unwrap()));
            println!("RAN {test} on a GPU");
        }
        Err(error) => skipped_without_gpu(test, &error.to_string()),
    }
}
