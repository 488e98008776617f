//! A whole run whose pictures never leave their device: GStreamer holds them in CUDA's memory, the AI process analyses its copy of them
//! there, and they are drawn from where they lie. Without a GPU the tests' driver stands for CUDA, Mesa's software device for Vulkan,
//! and the processor plays the model.

use super::tests::spec;
use super::*;
use crate::base::clock::MonotonicClock;
use crate::display::Presenter;
use crate::frame::cuda::testing::TestDriver;
use crate::frame::cuda::{DECODE, GLANCE, INPUT_HASH, PREPROCESS, STILLNESS, uuid_text};
use crate::frame::glance::GLANCE_BYTES;
use crate::frame::vulkan;
use crate::infer::testing::{TestEngine, rehearsed};
use crate::overlay::gpu::{Gpu, instance};
use crate::pipeline::run_on;

const PICTURES: u64 = 60;

fn source(is_there: bool) -> String {
    let upload = if is_there { " ! cudaupload ! video/x-raw(memory:CUDAMemory)" } else { "" };
    format!("gst:videotestsrc num-buffers={PICTURES} pattern=ball ! video/x-raw,format=NV12,width=320,height=180,framerate=20/1{upload}")
}

#[test]
#[ignore = "the other half of a_picture_stays_on_its_device_from_capture_to_screen: its AI process"]
fn be_the_ai_process() {
    std::process::exit(crate::link::worker_main(|hello| {
        let spec: AnalystSpec = serde_json::from_value(hello.analyst.clone()).unwrap();
        let mut analyser = Analyser::of(Box::new(rehearsed(&TestEngine::maps())), None).map_err(|error| error.to_string())?;
        analyser.prove().map_err(|error| error.to_string())?;
        let line = EngineLine { device: device_line(&analyser).unwrap(), ..check_engine(&spec).map_err(|error| error.to_line())? };
        Ok(Box::new(EngineAnalyst { backend: spec.backend, analyser, eyes: None, line, borrowed: None }) as Box<dyn Analyst>)
    }));
}

#[test]
#[ignore = "the other half of a_picture_stays_on_its_device_from_capture_to_screen: its video process"]
fn run_in_this_process() {
    let mut spec = spec(&source(true), "device_run::be_the_ai_process");
    spec.config.display.presenter = Presenter::Wgpu;
    let (report, refused) = run_on(Backend::Cuda, spec, true, None, Arc::new(MonotonicClock)).unwrap();
    assert!(refused.is_none(), "{refused:?}");
    let (frames, device) = (report.frames, report.source.device.clone().expect("pictures lay on a device"));
    println!("{frames:?} {device:?} {:?} {:?}", report.losses, report.states);
    assert_eq!((frames.captured, frames.displayed, report.compositor), (PICTURES, PICTURES, "wgpu"), "{:?}", report.losses);
    assert!(device.is_drawn_there && device.pixels_to_host == 0 && device.pixels_to_device == 0, "{device:?}");
    assert_eq!((device.numbers_to_host, device.numbers_to_device), (PICTURES * GLANCE_BYTES as u64, 0));
    assert!(frames.inferred > PICTURES / 2, "{frames:?} {:?} {:?}", report.losses, report.states);
}

#[test]
fn a_picture_stays_on_its_device_from_capture_to_screen() {
    let test = "a_picture_stays_on_its_device_from_capture_to_screen";
    let gpu = match Gpu::new(&instance(), None) {
        Ok(gpu) if gpu.is_software && gpu.device.features().contains(vulkan::FEATURE) => gpu,
        Ok(gpu) => return println!("SKIPPED {test}: {} is none that the tests' driver knows", gpu.name),
        Err(error) => return println!("SKIPPED {test}: {error}"),
    };
    // `GPU-` and groups of digits.
    let uuid = uuid_text(&vulkan::device_uuid(&gpu.adapter).unwrap()).replace("GPU-", "").replace('-', "");
    let state = tempfile::tempdir().unwrap();
    let driver = TestDriver::new(test).and_then(|driver| driver.with_kernels(test, &[GLANCE, PREPROCESS, INPUT_HASH, STILLNESS, DECODE]));
    if let Some(driver) = driver {
        let settings = [("TEST_CUDA_UUID", uuid.as_str()), ("XDG_STATE_HOME", state.path().to_str().unwrap())];
        driver.with_gstreamer().run("pipeline::analyst::device_run::run_in_this_process", &settings);
    }
}
