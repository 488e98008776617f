//! Whole runs whose pictures never leave their device: GStreamer holds them in CUDA's memory, the AI process analyses its copy of them
//! there, and they are drawn from where they lie. Without a GPU the tests' driver stands for CUDA, Mesa's software device for Vulkan,
//! and the processor plays the model.

use super::tests::spec;
use super::*;
use crate::base::clock::MonotonicClock;
use crate::base::ids::FrameId;
use crate::capture::Memory;
use crate::config::Mode;
use crate::display::Presenter;
use crate::frame::cuda::testing::TestDriver;
use crate::frame::cuda::{Device, INPUT_HASH, Kernel, Launch, PREPROCESS, PREVIEW, Priority, Stream, usable_device, uuid_text};
use crate::frame::on_device::Place;
use crate::frame::preview::PREVIEW_BYTES;
use crate::frame::{Colorimetry, FrameLayout, FrameRing, Matrix, PixelFormat, Range, vulkan};
use crate::infer::testing::{TestEngine, rehearsed};
use crate::overlay::gpu::{Gpu, instance};
use crate::pipeline::rings::Home;
use crate::pipeline::{Injection, Spec, run_on};
use crate::record::{Frames, Report};
use crate::track::cuda::{MAP_KERNELS, SIGHT_KERNELS};
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

const PICTURES: u64 = 40;
/// So many of them are analysed at least, however slowly the processor plays the device.
const SOME: u64 = PICTURES / 8;
/// After so many of them a card fails.
const HALFWAY: &str = "40";
/// In the environment of the AI process: it writes over each frame that it was lent.
const VANDAL: &str = "TEST_VANDAL";

/// A ball that moves, on CUDA's memory or not.
fn source(count: u64, is_there: bool) -> String {
    let upload = if is_there { " ! cudaupload ! video/x-raw(memory:CUDAMemory)" } else { "" };
    format!("gst:videotestsrc num-buffers={count} pattern=ball ! video/x-raw,format=NV12,width=320,height=180,framerate=20/1{upload}")
}

/// Composed by wgpu, whatever the device.
fn composed(count: u64, is_there: bool) -> Spec {
    let mut spec = spec(&source(count, is_there), "device_run::be_the_ai_process");
    spec.config.display.presenter = Presenter::Wgpu;
    // The processor that plays the model does not wait for the driver's queue. (In this process the driver works as late as it can.)
    let program = std::mem::replace(&mut spec.worker.program, "/usr/bin/env".into());
    // A card that fails there fails here, too, which analyses fewer of the pictures.
    let lasts = std::env::var_os("TEST_CUDA_LASTS").map(|_| "TEST_CUDA_LASTS=4".into());
    spec.worker.args.splice(0..0, ["TEST_CUDA_AT_ONCE=1".into()].into_iter().chain(lasts).chain([program.into()]));
    spec
}

/// So that a busy processor, too, plays the device for enough of them.
fn slowly(mut spec: Spec) -> Spec {
    spec.source = spec.source.replace("20/1", "8/1");
    spec
}

fn report_of(spec: Spec) -> Report {
    let (report, refused) = run_on(Backend::Cuda, spec, true, None, Arc::new(MonotonicClock)).unwrap();
    assert!(refused.is_none(), "{refused:?}");
    report
}

/// All of `captured` pictures came, and `count` of them were shown, but for those of moments in which the machine itself stood still.
fn assert_shown(report: &Report, captured: u64, count: u64) {
    let Frames { displayed, dropped_capture, dropped_display, .. } = report.frames;
    assert_eq!((report.frames.captured, displayed + dropped_capture + dropped_display), (captured, captured), "{:?}", report.losses);
    let stood_still_ms: f64 = report.machine_stalls.iter().map(|stall| stall.late_ms).sum();
    let excused = (stood_still_ms * report.source.fps / 1e3) as u64;
    assert!(displayed + excused >= count, "{:?} {:?}", report.frames, report.losses);
}

/// Writes over what it was lent, once it has looked at it.
struct Vandal {
    inner: EngineAnalyst,
    stream: Stream,
}

impl Analyst for Vandal {
    fn ready(&self) -> serde_json::Value {
        self.inner.ready()
    }

    fn needs_device(&self) -> bool {
        true
    }

    fn reads_on(&self) -> Option<String> {
        self.inner.reads_on()
    }

    fn meet(&mut self, ring: &Arc<RingReader>, slots: Option<LentSlots>) -> Result<(), String> {
        self.inner.meet(ring, slots)
    }

    fn analyse(&mut self, frame: Handed<'_>, stamps: Stamps, is_current: &dyn Fn() -> bool) -> Result<Option<Scene>, String> {
        let scene = self.inner.analyse(frame, stamps, is_current);
        if let Some(lent) = self.inner.borrowed.as_ref().and_then(|slots| slots.span(frame.slot)) {
            self.stream.clear(lent).and_then(|()| self.stream.synchronize()).unwrap();
        }
        scene
    }

    fn prove(&mut self) -> Result<Option<[u8; 32]>, String> {
        self.inner.prove()
    }

    fn input_hash(&mut self, frame: Handed<'_>) -> Option<[u8; 32]> {
        self.inner.input_hash(frame)
    }
}

#[test]
#[ignore = "the other half of the tests of this file: an AI process"]
fn be_the_ai_process() {
    std::process::exit(crate::link::worker_main(|hello| {
        let spec: AnalystSpec = serde_json::from_value(hello.analyst.clone()).unwrap();
        if spec.backend == Backend::Cpu {
            return load(hello).map(|analyst| Box::new(analyst) as Box<dyn Analyst>).map_err(|error| error.to_line());
        }
        let mut analyser = Analyser::of(Box::new(rehearsed(&TestEngine::maps())), None).unwrap();
        analyser.set_launches(crate::frame::cuda::Launches::Recorded).unwrap();
        analyser.prove().unwrap();
        let line = EngineLine { device: device_line(&analyser).unwrap(), ..check_engine(&spec).unwrap() };
        let inner = EngineAnalyst { backend: spec.backend, analyser, eyes: None, line, borrowed: None };
        if std::env::var_os(VANDAL).is_none() {
            return Ok(Box::new(inner));
        }
        let device = crate::frame::cuda::Device::open(&crate::frame::cuda::usable_device().unwrap()).unwrap();
        Ok(Box::new(Vandal { inner, stream: device.stream(Priority::Low).unwrap() }))
    }));
}

#[test]
#[ignore = "the other half of a_picture_stays_on_its_device_from_capture_to_screen"]
fn stay_in_this_process() {
    stay(slowly(composed(PICTURES, true)));
}

fn stay(spec: Spec) {
    let report = report_of(spec);
    let (frames, device) = (report.frames, report.source.device.clone().expect("pictures lay on a device"));
    assert_shown(&report, PICTURES, PICTURES);
    assert_eq!(report.compositor, "wgpu");
    assert!(device.is_drawn_there && device.pixels_to_host == 0 && device.pixels_to_device == 0, "{device:?}");
    let frame_bytes = 320 * 180 * 3 / 2;
    assert!((12 * frame_bytes..24 * frame_bytes).contains(&device.memory_bytes), "six slots, twice: {device:?}");
    let put = frames.captured - frames.dropped_capture;
    assert_eq!((device.numbers_to_host, device.numbers_to_device), (put * PREVIEW_BYTES as u64, 0));
    assert!(frames.inferred > SOME, "{frames:?} {:?} {:?}", report.losses, report.states);
    println!("FIGURE a run's pictures stay on their device: video delay {:?} ms", report.video_delay_ms);
}

#[test]
#[ignore = "the other half of a_picture_from_elsewhere_goes_to_the_device_once"]
fn bring_in_this_process() {
    let report = report_of(slowly(composed(PICTURES, false)));
    let (frames, device, frame_bytes) = (report.frames, report.source.device.clone().expect("pictures lay on a device"), 320 * 180 * 3 / 2);
    assert_shown(&report, PICTURES, PICTURES);
    assert_eq!(report.compositor, "wgpu");
    let put = frames.captured - frames.dropped_capture;
    assert!(device.is_drawn_there && device.pixels_to_host == 0 && device.pixels_to_device == put * frame_bytes, "{device:?}");
    assert!(frames.inferred > SOME, "{frames:?} {:?} {:?}", report.losses, report.states);
}

#[test]
#[ignore = "the other half of what_a_card_decodes_goes_on_here_when_it_is_gone"]
fn decode_on_in_this_process() {
    let folder = tempfile::tempdir().unwrap();
    let clip = folder.path().join("ball.mp4");
    let made = format!("{} ! x264enc bframes=0 ! mp4mux ! filesink location={}", &source(PICTURES, false)["gst:".len()..], clip.display());
    assert!(std::process::Command::new("gst-launch-1.0").arg("-q").args(made.split(' ')).status().unwrap().success());
    let mut spec = Spec { source: clip.display().to_string(), ..composed(0, true) };
    spec.limit.frames = Some(3 * PICTURES);
    let report = report_of(spec);
    let (frames, device) = (report.frames, report.source.device.clone().unwrap());
    // The one that lay there, and what was due while another decoder was made.
    let failed = report.losses.get("capture_device_failed").copied();
    assert!(failed == Some(1) && frames.captured == frames.displayed + frames.dropped_capture, "{frames:?} {:?}", report.losses);
    assert!(frames.dropped_capture < PICTURES / 2 && device.is_drawn_there && device.numbers_to_host > 0, "{frames:?} {device:?}");
    println!("FIGURE pictures of 20 a second that are missed when the card that decodes them fails: {}", frames.dropped_capture);
    assert!(has_hung() || report.alarms.iter().any(|alarm| alarm.code == "AI-ON-PROCESSOR"), "{:?}", report.alarms);
}

/// A card that hangs takes longer to be given up by the AI process' parent than this run lasts.
fn has_hung() -> bool {
    std::env::var_os("TEST_CUDA_HANGS").is_some()
}

#[test]
#[ignore = "the other half of a_card_that_is_gone_costs_no_picture"]
fn go_on_in_this_process() {
    let report = report_of(composed(3 * PICTURES, false));
    let (frames, device) = (report.frames, report.source.device.clone().unwrap());
    // Those that were due while one that hangs was waited for.
    let missed = if has_hung() { frames.dropped_capture.min(PICTURES / 4) } else { 0 };
    assert_shown(&report, 3 * PICTURES, 3 * PICTURES - missed);
    let brought = device.pixels_to_device / (320 * 180 * 3 / 2);
    assert!((PICTURES / 4..3 * PICTURES).contains(&brought), "{device:?}");
    let is_on_processor = report.alarms.iter().any(|alarm| alarm.code == "AI-ON-PROCESSOR");
    assert!((is_on_processor || has_hung()) && frames.inferred > SOME, "{frames:?} {:?}", report.alarms);
}

#[test]
#[ignore = "the other half of a_card_that_hangs_before_its_first_picture_never_has_one"]
fn begin_in_this_process() {
    let report = report_of(composed(3 * PICTURES, false));
    assert!(report.source.device.is_none(), "{:?}", report.source.device);
    // While it was waited for none was shown.
    assert!(report.frames.displayed >= 3 * PICTURES / 2, "{:?} {:?}", report.frames, report.losses);
}

const ENDLESS: Kernel = Kernel { name: "endless", source: "", entries: &["endless"] };

#[test]
#[ignore = "the other half of whoever_drops_the_last_frame_of_a_card_that_hangs_goes_on"]
fn let_go_in_this_process() {
    let gpu = Gpu::new(&instance(), None).unwrap();
    let mut device = Device::open(&usable_device().unwrap()).unwrap();
    infer::cuda::load(&mut device, &PREVIEW).unwrap();
    device.load(&ENDLESS, ".visible .entry endless(\n\n)\n{ }\n").unwrap();
    let device = Arc::new(device);
    let place = Arc::new(Place::new(&gpu.adapter, &gpu.device, device.clone()).unwrap());
    let layout = FrameLayout::new(PixelFormat::Nv12, Colorimetry::sdr(Matrix::Bt709, Range::Limited), 64, 48).unwrap();
    let writer = FrameRing::on_device(layout, &place).unwrap().acquire().unwrap();
    let frame = writer.publish(Stamps { id: FrameId(0), pts_ns: 0, capture_ns: 0 });
    // Nobody has noticed yet.
    let stream = device.stream(Priority::High).unwrap();
    device.launch(&stream, &Launch { kernel: ENDLESS, entry: "endless", grid: [1; 3], block: [1; 3], shared_bytes: 0 }, &[]).unwrap();
    // This driver would wait for it.
    std::mem::forget(stream);
    let (dropped, is_dropped) = crossbeam_channel::bounded(1);
    std::thread::spawn(move || {
        drop(frame);
        dropped.send(())
    });
    is_dropped.recv_timeout(Duration::from_secs(20)).expect("it does not wait for its card");
}

#[test]
fn whoever_drops_the_last_frame_of_a_card_that_hangs_goes_on() {
    rehearse("whoever_drops_the_last_frame_of_a_card_that_hangs_goes_on", "let_go_in_this_process", &[]);
}

/// What each line of a file says under these keys, by frame.
fn said(path: &Path, keys: &[&str]) -> BTreeMap<u64, Vec<String>> {
    let text = std::fs::read_to_string(path).unwrap();
    let lines = text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    lines.map(|line| (line["frame"].as_u64().unwrap(), keys.iter().map(|key| line[key].to_string()).collect())).collect()
}

#[test]
#[ignore = "the other half of a_picture_on_its_device_is_the_one_that_comes_here_whatever_the_ai_process_does_to_its_copy"]
fn compare_in_this_process() {
    let folder = tempfile::tempdir().unwrap();
    let run = |name: &str, is_there: bool, memory: Memory| {
        let [timeline, scenes] = ["timeline", "scenes"].map(|what| folder.path().join(format!("{name}-{what}.jsonl")));
        // Slow enough for each to be hashed before it is overwritten.
        let mut spec = Spec { timeline: Some(timeline.clone()), scenes: Some(scenes.clone()), ..composed(PICTURES / 2, is_there) };
        spec.source = spec.source.replace("20/1", "6/1");
        spec.config.capture.memory = memory;
        let report = report_of(spec);
        assert_eq!(report.source.device.is_some(), memory == Memory::Auto);
        assert!(report.frames.displayed == PICTURES / 2 && report.frames.inferred > SOME, "{:?} {:?}", report.frames, report.losses);
        let drawn = said(&timeline, &["outside_hash", "clean_outside_hash"]);
        assert!(drawn.values().all(|hashes| hashes[0] == hashes[1]), "{name}: what is drawn outside the overlay is what was captured");
        (said(&timeline, &["clean_hash"]), said(&scenes, &["input_hash"]))
    };
    let (clean, inputs) = run("here", false, Memory::Host);
    for (name, is_there) in [("brought", false), ("there", true)] {
        let (clean_there, inputs_there) = run(name, is_there, Memory::Auto);
        assert!(clean == clean_there && clean.len() as u64 == PICTURES / 2, "{name}: each frame, as it was captured");
        // One that was overwritten before it was hashed has none.
        let both = inputs.iter().filter_map(|(frame, hash)| Some((&hash[0], &inputs_there.get(frame)?[0])));
        let both: Vec<_> = both.filter(|(a, b)| *a != "null" && *b != "null").collect();
        let other = both.iter().find(|(a, b)| a != b);
        assert!(both.len() as u64 > SOME / 2 && other.is_none(), "{name}: {other:?} among {}", both.len());
    }
}

#[test]
#[ignore = "the other half of a_picture_that_stands_still_is_noticed_wherever_it_is_drawn"]
fn stand_still_in_this_process() {
    for presenter in [Presenter::Wgpu, Presenter::X11] {
        let mut spec = composed(2 * PICTURES, true);
        // A recording may stand still.
        spec.source = spec.source.replace("pattern=ball", "pattern=checkers-8 is-live=true");
        spec.limit.frames = Some(PICTURES);
        spec.config.display.presenter = presenter;
        let report = report_of(spec);
        let is_drawn_there = report.source.device.as_ref().map(|device| device.is_drawn_there);
        assert_eq!(is_drawn_there, Some(presenter == Presenter::Wgpu));
        assert!(report.alarms.iter().any(|alarm| alarm.code == "SIGNAL-FROZEN"), "{presenter:?}: {:?}", report.alarms);
    }
}

#[test]
fn a_picture_that_stands_still_is_noticed_wherever_it_is_drawn() {
    rehearse("a_picture_that_stands_still_is_noticed_wherever_it_is_drawn", "stand_still_in_this_process", &[]);
}

#[test]
#[ignore = "the other half of in_clinical_mode_no_device_has_pictures"]
fn stay_off_in_this_process() {
    let home = |mode| Home::of_run(Memory::Auto, Backend::Cuda, mode);
    assert!(home(Mode::Demo).is_some() && home(Mode::Clinical).is_none());
}

/// `way` as `--inject` has it.
fn after_a_loss(way: &str) -> Report {
    let folder = tempfile::tempdir().unwrap();
    let faults = folder.path().join("faults.toml");
    std::fs::write(&faults, format!("[[fault]]\nkind = 'gpu-loss'\nway = '{way}'\nat_s = 1.5\n")).unwrap();
    let report = report_of(Spec { inject: Some(Injection::load(&faults).unwrap()), ..composed(3 * PICTURES, true) });
    assert_shown(&report, 3 * PICTURES, 3 * PICTURES);
    report
}

#[test]
#[ignore = "the other half of when_a_device_is_lost_its_pictures_are_brought_here"]
fn lose_in_this_process() {
    let (report, code) = match std::env::var("TEST_LOSES").unwrap().as_str() {
        "display" => (after_a_loss("display"), "GPU-LOST"),
        _ => (after_a_loss("inference"), "AI-ON-PROCESSOR"),
    };
    let device = report.source.device.clone().unwrap();
    assert!(report.alarms.iter().any(|alarm| alarm.code == code), "{:?}", report.alarms);
    // A third of them before, and then each frame once.
    let frame = 320 * 180 * 3 / 2;
    assert!((PICTURES * frame..3 * PICTURES * frame).contains(&device.pixels_to_host), "{device:?}");
    assert!(report.frames.inferred > SOME, "{:?} {:?}", report.frames, report.losses);
}

/// What draws in a lost card's place comes to it so often, ms: once in six pictures of the source.
const SLOW_MS: u64 = 100;

#[test]
#[ignore = "the other half of a_processor_that_is_too_slow_for_a_lost_card_shows_the_newest_picture"]
fn lag_in_this_process() {
    let folder = tempfile::tempdir().unwrap();
    let [faults, timeline] = ["faults.toml", "timeline.jsonl"].map(|name| folder.path().join(name));
    let stall = |n: u64| {
        // Stalls that meet are one.
        let (at_ms, for_ms) = (1_500 + n * SLOW_MS, SLOW_MS - 20);
        format!("[[fault]]\nkind = 'display-stall'\nat_s = {}\nfor_s = {}\n", at_ms as f64 / 1e3, for_ms as f64 / 1e3)
    };
    let loss = "[[fault]]\nkind = 'gpu-loss'\nway = 'display'\nat_s = 1.0\n";
    std::fs::write(&faults, loss.to_owned() + &(0..20).map(stall).collect::<String>()).unwrap();
    let mut spec = Spec { timeline: Some(timeline.clone()), inject: Some(Injection::load(&faults).unwrap()), ..composed(0, true) };
    // A camera's: nobody waits for room.
    spec.source = spec.source.replace("num-buffers=0", "is-live=true").replace("20/1", "60/1");
    spec.limit.frames = Some(300);
    let report = report_of(spec);
    assert!(report.alarms.iter().any(|alarm| alarm.code == "GPU-LOST"), "{:?}", report.alarms);
    let Frames { captured, displayed, dropped_capture, dropped_display, .. } = report.frames;
    assert_eq!(captured, displayed + dropped_capture + dropped_display, "{:?}", report.losses);
    assert!(dropped_display > 50, "{:?} {:?}", report.frames, report.losses);
    let text = std::fs::read_to_string(&timeline).unwrap();
    let lines = text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let new = lines.filter(|line| line["repeat"] == false).map(|line| ["capture_ns", "present_ns"].map(|key| line[key].as_u64().unwrap()));
    let shown: Vec<_> = new.collect();
    // Those that had to wait for the one before.
    let slow = shown.array_windows().filter(|[before, after]| after[1] - before[1] > SLOW_MS / 2 * 1_000_000);
    let mut delays_ms: Vec<_> = slow.map(|[_, [capture_ns, present_ns]]| (present_ns - capture_ns) as f64 / 1e6).collect();
    assert!(delays_ms.len() > 10, "{delays_ms:?}");
    // First in, first out, each would be later than the one before.
    let last = delays_ms.split_off(delays_ms.len() / 2);
    let median = |mut delays: Vec<f64>| {
        delays.sort_by(f64::total_cmp);
        delays[delays.len() / 2]
    };
    let (first, last) = (median(delays_ms), median(last));
    println!("FIGURE delay of pictures of 60 a second where the display comes to one in {SLOW_MS} ms: {first} ms, and then {last} ms");
    assert!(last < SLOW_MS as f64, "{last} ms");
}

/// Runs one half in a process whose CUDA device is the Vulkan device that draws.
fn rehearse(test: &str, half: &str, settings: &[(&str, &str)]) {
    let gpu = match Gpu::new(&instance(), None) {
        Ok(gpu) if gpu.is_software && gpu.device.features().contains(vulkan::FEATURE) => gpu,
        Ok(gpu) => return println!("SKIPPED {test}: {} is none that the tests' driver knows", gpu.name),
        Err(error) => return println!("SKIPPED {test}: {error}"),
    };
    // `GPU-` and groups of digits.
    let uuid = uuid_text(&vulkan::device_uuid(&gpu.adapter).unwrap()).replace("GPU-", "").replace('-', "");
    let state = tempfile::tempdir().unwrap();
    let kernels = [&[PREVIEW, PREPROCESS, INPUT_HASH], &MAP_KERNELS[..], &SIGHT_KERNELS[..]].concat();
    let driver = TestDriver::new(test).and_then(|driver| driver.with_kernels(test, &kernels));
    if let Some(driver) = driver {
        let common = [("TEST_CUDA_UUID", uuid.as_str()), ("XDG_STATE_HOME", state.path().to_str().unwrap())];
        let said = driver.with_gstreamer().run(&format!("pipeline::analyst::device_run::{half}"), &[&common, settings].concat());
        said.lines().filter(|line| line.starts_with("FIGURE")).for_each(|line| println!("{line}"));
    }
}

#[test]
fn a_picture_stays_on_its_device_from_capture_to_screen() {
    rehearse("a_picture_stays_on_its_device_from_capture_to_screen", "stay_in_this_process", &[]);
}

#[test]
fn a_picture_on_its_device_is_the_one_that_comes_here_whatever_the_ai_process_does_to_its_copy() {
    let test = "a_picture_on_its_device_is_the_one_that_comes_here_whatever_the_ai_process_does_to_its_copy";
    rehearse(test, "compare_in_this_process", &[(VANDAL, "1")]);
}

#[test]
fn a_picture_from_elsewhere_goes_to_the_device_once() {
    rehearse("a_picture_from_elsewhere_goes_to_the_device_once", "bring_in_this_process", &[]);
}

#[test]
fn in_clinical_mode_no_device_has_pictures() {
    rehearse("in_clinical_mode_no_device_has_pictures", "stay_off_in_this_process", &[]);
}

#[test]
fn a_card_that_hangs_is_waited_for_no_longer_than_a_picture_can_be_late() {
    rehearse(
        "a_card_that_hangs_is_waited_for_no_longer_than_a_picture_can_be_late",
        "go_on_in_this_process",
        &[("TEST_CUDA_HANGS", HALFWAY)],
    );
}

#[test]
fn a_card_that_hangs_before_its_first_picture_never_has_one() {
    rehearse("a_card_that_hangs_before_its_first_picture_never_has_one", "begin_in_this_process", &[("TEST_CUDA_HANGS", "1")]);
}

#[test]
fn what_a_card_that_hangs_has_decoded_goes_on_here() {
    let settings = [("TEST_CUDA_HANGS", HALFWAY), ("TEST_CUDA_DECODES", "320x180")];
    rehearse("what_a_card_that_hangs_has_decoded_goes_on_here", "decode_on_in_this_process", &settings);
}

#[test]
fn a_card_that_is_gone_costs_no_picture() {
    rehearse("a_card_that_is_gone_costs_no_picture", "go_on_in_this_process", &[("TEST_CUDA_LASTS", HALFWAY)]);
}

#[test]
fn what_a_card_decodes_goes_on_here_when_it_is_gone() {
    let settings = [("TEST_CUDA_LASTS", HALFWAY), ("TEST_CUDA_DECODES", "320x180")];
    rehearse("what_a_card_decodes_goes_on_here_when_it_is_gone", "decode_on_in_this_process", &settings);
}

#[test]
fn when_a_device_is_lost_its_pictures_are_brought_here() {
    for loses in ["display", "inference"] {
        rehearse("when_a_device_is_lost_its_pictures_are_brought_here", "lose_in_this_process", &[("TEST_LOSES", loses)]);
    }
}

#[test]
fn a_processor_that_is_too_slow_for_a_lost_card_shows_the_newest_picture() {
    rehearse("a_processor_that_is_too_slow_for_a_lost_card_shows_the_newest_picture", "lag_in_this_process", &[]);
}

mod on_cuda {
    use super::*;
    use crate::frame::cuda::testing::skipped_without_gpu;
    use crate::infer::cuda;

    #[test]
    #[ignore = "the other half of on_a_gpu_a_picture_stays_on_its_device_from_capture_to_screen: its AI process"]
    fn be_the_ai_process() {
        std::process::exit(serve());
    }

    #[test]
    fn on_a_gpu_a_picture_stays_on_its_device_from_capture_to_screen() {
        let test = "on_a_gpu_a_picture_stays_on_its_device_from_capture_to_screen";
        let found = cuda::Gpu::of_this_machine().map_err(|error| error.to_string());
        let drawn = found.and_then(|_| Gpu::new(&instance(), None).map_err(|error| error.to_string()));
        match drawn.map(|gpu| gpu.is_software) {
            Ok(false) => {
                stay(spec(&source(PICTURES, true), "device_run::on_cuda::be_the_ai_process"));
                println!("RAN {test} on a GPU");
            }
            Ok(true) => skipped_without_gpu(test, "Vulkan has a software device only"),
            Err(reason) => skipped_without_gpu(test, &reason),
        }
    }
}
