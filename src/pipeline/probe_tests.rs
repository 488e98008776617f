use super::*;
use crate::base::clock::MonotonicClock;
use crate::capture::{Memory, Settings, open};
use crate::config::Mode;
use crate::frame::cuda::testing::{TestDriver, skipped_without_gpu};
use crate::frame::cuda::{PREVIEW, uuid_text};
use crate::frame::{Colorimetry, Matrix, PixelFormat, Range, vulkan};
use crate::infer::Backend;
use crate::overlay::gpu::{instance, test_gpu};
use std::sync::atomic::{AtomicU64, Ordering};

fn info(width: usize, height: usize, fps: f64) -> SourceInfo {
    let colorimetry = Colorimetry { matrix: Matrix::Bt709, range: Range::Limited, transfer: Default::default() };
    let format = PixelFormat::Nv12;
    SourceInfo { uri: "decklink:0".into(), width, height, fps, format, colorimetry, live: true, latency_ns: 0 }
}

/// Quickly measured, and more than is surely passed.
fn many_small() -> SourceInfo {
    info(320, 180, 2_500.0)
}

/// What lies between two looks at it takes so long: as the processor goes, which is measured first, and as a device does.
struct Stepping {
    alone_ns: u64,
    device_ns: u64,
    now_ns: AtomicU64,
    looks: AtomicU64,
}

impl Stepping {
    /// Parts of a picture's period.
    fn of(info: &SourceInfo, alone: f64, device: f64) -> Self {
        let [alone_ns, device_ns] = [alone, device].map(|part| (part * 1e9 / info.fps) as u64);
        Stepping { alone_ns, device_ns, now_ns: AtomicU64::new(0), looks: AtomicU64::new(0) }
    }
}

impl Clock for Stepping {
    fn now_ns(&self) -> u64 {
        let is_alone = self.looks.fetch_add(1, Ordering::Relaxed) < 2 * ROUNDS as u64;
        let step_ns = if is_alone { self.alone_ns } else { self.device_ns };
        self.now_ns.fetch_add(step_ns, Ordering::Relaxed) + step_ns
    }

    fn sleep_until_ns(&self, _: u64) {}
}

#[test]
fn a_source_is_refused_by_what_was_measured() {
    let uhd = info(3840, 2160, 60.0);
    judge(&uhd, 13_000_000, 16_666_666).unwrap();
    let text = judge(&uhd, 14_000_000, 16_666_666).unwrap_err().to_string();
    for word in ["decklink:0", "3840×2160", "14.0 ms", "16.7 ms", "smaller"] {
        assert!(text.contains(word), "{text}");
    }
    // No machine passes 8K at a thousand pictures a second.
    assert!(check(&info(8192, 4320, 1000.0), Way::PROCESSOR, &MonotonicClock).is_err());
    assert_eq!(check(&info(1920, 1080, 60.0), Way::PROCESSOR, &MonotonicClock).unwrap(), None);
}

#[test]
fn ultra_high_definition_is_passed_at_its_rate_or_refused_with_what_to_do() {
    for (uri, fps) in [
        ("gst:videotestsrc is-live=true ! video/x-raw,format=UYVY,width=3840,height=2160,framerate=60/1", 60.0),
        ("sim:?width=3840&height=2160&fps=16&seconds=0.5", 16.0),
    ] {
        let source = open(uri, &Settings::default(), Arc::new(MonotonicClock)).unwrap_or_else(|e| panic!("{e}"));
        let info = source.info();
        assert_eq!((info.width, info.height, info.fps, source.lies_on_device()), (3840, 2160, fps, false));
        let taking = |part: f64| check(info, Way::PROCESSOR, &Stepping::of(info, part, 0.0));
        assert_eq!(taking(0.79).unwrap(), None);
        let text = taking(0.81).unwrap_err().to_string();
        let needs = format!("{:.1} ms of the {:.1} ms", 810.0 / fps, 1000.0 / fps);
        for word in [uri, "3840×2160", &needs, "smaller picture or a lower rate"] {
            assert!(text.contains(word), "'{word}' is not in: {text}");
        }
    }
}

#[test]
fn a_larger_picture_costs_more() {
    let cost = |info: SourceInfo| {
        let layout = FrameLayout::new(info.format, info.colorimetry, info.width, info.height).unwrap();
        frame_cost_ns(layout, Way::PROCESSOR, &MonotonicClock).unwrap()
    };
    assert!(cost(info(3840, 2160, 60.0)) > cost(info(640, 360, 60.0)));
}

/// Pictures go `way`, which is a device's.
fn judge_by_the_device(way: Way<'_>) {
    let info = many_small();
    let taking = |alone: f64, device: f64| check(&info, way, &Stepping::of(&info, alone, device));
    assert_eq!(taking(0.79, 0.79).unwrap(), None, "the processor would do");
    let alone = taking(1.6, 0.79).unwrap().expect("the processor would not do");
    // Half of them, as the processor would be refused beyond 80 %.
    assert!((alone - info.fps / 2.0).abs() < 1.0, "{alone}");
    for alone in [0.1, 1.6] {
        let text = taking(alone, 0.81).unwrap_err().to_string();
        assert!(text.contains("takes 0.3 ms of the 0.4 ms"), "what is measured is the way that they go: {text}");
    }
}

#[test]
fn a_source_that_only_the_graphics_card_passes_is_passed_with_what_the_processor_alone_could() {
    let Some(gpu) = test_gpu("a_source_that_only_the_graphics_card_passes_is_passed_with_what_the_processor_alone_could") else { return };
    judge_by_the_device(Way { gpu: Some(&gpu), ..Way::PROCESSOR });
}

#[test]
fn a_device_that_fails_while_it_is_measured_leaves_the_judgement_to_the_processor() {
    let Some(gpu) = test_gpu("a_device_that_fails_while_it_is_measured_leaves_the_judgement_to_the_processor") else { return };
    gpu.device.destroy();
    let (info, way) = (many_small(), Way { gpu: Some(&gpu), ..Way::PROCESSOR });
    assert_eq!(check(&info, way, &Stepping::of(&info, 0.79, 0.0)).unwrap(), None);
    assert!(matches!(check(&info, way, &Stepping::of(&info, 0.81, 0.0)), Err(RunError::TooMuch { .. })));
}

/// On the device that draws: pictures that come here are brought there, those that lie there stay, and none comes back.
fn judge_on_the_device(gpu: &Gpu) {
    let home = Home::of_run(Memory::Auto, Backend::Cuda, Mode::Demo).unwrap();
    home.is_drawn_by(Some(gpu));
    let pixels = || {
        let traffic = home.device().traffic();
        (traffic.to_device.pixels, traffic.to_host.pixels)
    };
    judge_by_the_device(Way { gpu: Some(gpu), home: Some(&home), lies_there: true });
    assert_eq!(pixels(), (0, 0));
    judge_by_the_device(Way { gpu: Some(gpu), home: Some(&home), lies_there: false });
    let frame_bytes = 320 * 180 * 3 / 2;
    // Each of four judgements measured it.
    assert_eq!(pixels(), (4 * ROUNDS as u64 * frame_bytes, 0));
    assert!(home.line().is_some_and(|line| line.is_drawn_there));
    home.run_begins();
    assert_eq!(home.line(), None, "no picture of the run lay there yet");
    // Where another device draws, what lies there comes here for it.
    let elsewhere = Home::of_run(Memory::Auto, Backend::Cuda, Mode::Demo).unwrap();
    elsewhere.is_drawn_by(None);
    judge_by_the_device(Way { gpu: None, home: Some(&elsewhere), lies_there: true });
    assert_eq!(elsewhere.device().traffic().to_host.pixels, 4 * ROUNDS as u64 * frame_bytes);
}

#[test]
#[ignore = "the other half of the_way_over_a_device_is_measured_where_its_pictures_lie"]
fn measure_in_this_process() {
    judge_on_the_device(&Gpu::new(&instance(), None).unwrap());
}

#[test]
fn the_way_over_a_device_is_measured_where_its_pictures_lie() {
    let test = "the_way_over_a_device_is_measured_where_its_pictures_lie";
    let Some(gpu) = test_gpu(test) else { return };
    if !gpu.is_software || !gpu.device.features().contains(vulkan::FEATURE) {
        return println!("SKIPPED {test}: {} is none that the tests' driver knows", gpu.name);
    }
    // `GPU-` and groups of digits.
    let uuid = uuid_text(&vulkan::device_uuid(&gpu.adapter).unwrap()).replace("GPU-", "").replace('-', "");
    let Some(driver) = TestDriver::new(test).and_then(|driver| driver.with_kernels(test, &[PREVIEW])) else { return };
    driver.run("pipeline::probe::tests::measure_in_this_process", &[("TEST_CUDA_UUID", &uuid)]);
}

mod on_cuda {
    use super::*;

    #[test]
    fn on_a_gpu_the_way_over_the_device_is_measured_where_its_pictures_lie() {
        let test = "on_a_gpu_the_way_over_the_device_is_measured_where_its_pictures_lie";
        let found = crate::infer::cuda::Gpu::of_this_machine().map_err(|error| error.to_string());
        match found.and_then(|_| Gpu::new(&instance(), None).map_err(|error| error.to_string())) {
            Ok(gpu) if !gpu.is_software => {
                judge_on_the_device(&gpu);
                let home = Home::of_run(Memory::Auto, Backend::Cuda, Mode::Demo).unwrap();
                home.is_drawn_by(Some(&gpu));
                let uhd = info(3840, 2160, 60.0);
                let layout = FrameLayout::new(uhd.format, uhd.colorimetry, uhd.width, uhd.height).unwrap();
                let cost_ms = |way| frame_cost_ns(layout, way, &MonotonicClock).unwrap() as f64 / 1e6;
                let [here, there] = [false, true].map(|lies_there| cost_ms(Way { gpu: Some(&gpu), home: Some(&home), lies_there }));
                let alone = cost_ms(Way::PROCESSOR);
                println!(
                    "FIGURE what a picture of 3840x2160 costs: from here {here:.2} ms, from there {there:.2} ms, without the card {alone:.2} ms"
                );
                println!("RAN {test} on a GPU");
            }
            Ok(_) => skipped_without_gpu(test, "Vulkan has a software device only"),
            Err(reason) => skipped_without_gpu(test, &reason),
        }
    }
}
