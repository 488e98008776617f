//! A device that fails under the AI, as a whole run sees it. This program is started as the AI process: where it is told to run on a
//! device, that is the tests' own CUDA driver's, which answers some frames and then fails; on the processor it runs the real engine.

use super::*;
use crate::base::clock::{Clock, MonotonicClock};
use crate::config::Config;
use crate::display::Presenter;
use crate::frame::cuda::testing::TestDriver;
use crate::frame::cuda::{CudaError, Device, DeviceBuffer, Kernel, Launch, Param, Priority, Stream, usable_device};
use crate::link::{Spawn, good_scene};
use crate::overlay::OverlayMode;
use crate::overlay::gpu::test_gpu;
use crate::pipeline::{DisplayChoice, Limit, RunError, SnapshotPlan, Spec, probe, run_on};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// What becomes of the device, and what is said of it.
const FATES: [(&str, &str); 3] = [("endless", "owed an answer"), ("lose", "failed ("), ("memory", "no memory left")];
/// In the environment: which of them.
const FATE: &str = "TEST_FATE";
/// Answered before.
const FRAMES: u32 = 10;
const KERNEL: Kernel = Kernel { name: "fates", source: "", entries: &["add", "endless", "lose"] };
const PTX: &str = ".visible .entry add(\n\t.param .align 4 .b8 add_param_0[8],\n\t.param .u64 add_param_1\n)\n{ }\n\
    .visible .entry endless(\n\n)\n{ }\n.visible .entry lose(\n\n)\n{ }\n";

/// Launches something for each frame, and waits for it.
struct OnDevice {
    device: Device,
    stream: Stream,
    memory: DeviceBuffer,
    fate: String,
    frames: u32,
    line: EngineLine,
}

impl OnDevice {
    fn load(spec: &AnalystSpec) -> Result<Self, AnalystError> {
        let mut device = Device::open(&usable_device().map_err(InferError::Cuda)?).map_err(InferError::Cuda)?;
        device.load(&KERNEL, PTX).map_err(InferError::Cuda)?;
        let (stream, memory) = (device.stream(Priority::Low).map_err(InferError::Cuda)?, device.buffer(64).map_err(InferError::Cuda)?);
        Ok(OnDevice { device, stream, memory, fate: std::env::var(FATE).unwrap(), frames: 0, line: check_engine(spec)? })
    }

    fn run(&mut self) -> Result<(), CudaError> {
        self.frames += 1;
        let numbers: [u8; 8] = bytemuck::cast([64u32, 1]);
        let add = [Param::Value(&numbers), Param::Memory(self.memory.span())];
        let (entry, arguments) = match (self.frames > FRAMES, self.fate.as_str()) {
            (false, _) => ("add", &add[..]),
            (true, "memory") => return self.device.buffer(2_000_000_000).map(drop),
            (true, "lose") => ("lose", &[][..]),
            (true, _) => ("endless", &[][..]),
        };
        let launch = Launch { kernel: KERNEL, entry, grid: [1; 3], block: [32, 1, 1], shared_bytes: 0 };
        self.device.launch(&self.stream, &launch, arguments)?;
        self.stream.synchronize()
    }
}

impl Analyst for OnDevice {
    fn ready(&self) -> serde_json::Value {
        serde_json::to_value(&self.line).unwrap()
    }

    fn needs_device(&self) -> bool {
        true
    }

    fn analyse(&mut self, frame: Handed<'_>, stamps: Stamps, is_current: &dyn Fn() -> bool) -> Result<Option<Scene>, String> {
        let layout = frame.view.layout;
        let picture = [layout.width, layout.height].map(|side| side as u32);
        if let Err(error) = self.run() {
            return without_scene(InferError::Cuda(error).into());
        }
        Ok(is_current().then(|| Scene { picture, ..good_scene(stamps) }))
    }

    fn prove(&mut self) -> Result<Option<[u8; 32]>, String> {
        Ok(Some([7; 32]))
    }

    fn input_hash(&mut self, frame: Handed<'_>) -> Option<[u8; 32]> {
        Some(infer::input_hash(frame.view))
    }
}

fn engines() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/engines"))
}

/// A headless run of `source`, whose AI process is this program as the test `ai` of this room.
pub fn spec(source: &str, ai: &str) -> Spec {
    let mut config = Config::default();
    // A busy machine is no hang.
    config.link.kill_after_ms = 2_000;
    Spec {
        source: source.into(),
        display: DisplayChoice::Headless,
        limit: Limit::default(),
        overlay: OverlayMode::Outline,
        is_overlay_asked: true,
        hud: false,
        is_hud_asked: true,
        engines: Some(engines()),
        record: None,
        record_clean: None,
        snapshots: SnapshotPlan::default(),
        report: None,
        timeline: None,
        scenes: None,
        masks: None,
        coverage: None,
        worker: Spawn {
            program: std::env::current_exe().unwrap(),
            args: ["--exact", &format!("pipeline::analyst::{ai}"), "--ignored", "--nocapture"].map(Into::into).to_vec(),
        },
        taps: None,
        case: None,
        inject: None,
        config,
    }
}

#[test]
#[ignore = "the other half of a_device_that_fails_is_followed_by_the_processor_and_costs_no_picture: its AI process"]
fn be_the_ai_process() {
    std::process::exit(crate::link::worker_main(|hello| {
        let spec: AnalystSpec = serde_json::from_value(hello.analyst.clone()).unwrap();
        match spec.backend {
            Backend::Cuda | Backend::TensorRt => OnDevice::load(&spec).map(|analyst| Box::new(analyst) as Box<dyn Analyst>),
            Backend::Cpu => load(hello).map(|analyst| Box::new(analyst) as Box<dyn Analyst>),
        }
        .map_err(|error| error.to_line())
    }));
}

#[test]
#[ignore = "the other half of a_device_that_fails_is_followed_by_the_processor_and_costs_no_picture: its video process"]
fn run_while_the_device_fails() {
    let source = "gst:videotestsrc ! video/x-raw,format=NV12,width=320,height=180,framerate=30/1";
    let spec = Spec { limit: Limit { frames: None, seconds: Some(10.0) }, ..spec(source, "tests::be_the_ai_process") };
    let (report, refused) = run_on(Backend::Cuda, spec, true, None, Arc::new(MonotonicClock)).unwrap();
    assert!(refused.is_none(), "{refused:?}");
    println!("video_delay_ms {}", serde_json::to_string(&report.video_delay_ms).unwrap());
    // The picture has noticed nothing.
    let frames = report.frames;
    assert!(frames.displayed > 100 && frames.captured == frames.displayed, "{frames:?} {:?}", report.losses);
    // Its own scenes, and then those of the processor's engine.
    assert!(frames.inferred > u64::from(FRAMES), "{frames:?} {:?}", report.states);
    assert!(report.worker_restarts >= 1 && report.worker_fallbacks == 1);
    let answered: Vec<_> = report.engines.iter().map(|engine| (engine.name.as_str(), engine.backend.as_str())).collect();
    assert_eq!((answered, report.backend), (vec![("surgical-gpu", "cuda"), ("surgical-cpu", "cpu")], "cpu"));
    // It is named once, in the alarms and in the history, and the AI was degraded until it ran again.
    let fate = std::env::var(FATE).unwrap();
    let words = FATES.iter().find(|(name, _)| *name == fate).unwrap().1;
    let alarms: Vec<_> = report.alarms.iter().filter(|alarm| alarm.code == "AI-ON-PROCESSOR").collect();
    assert!(alarms.len() == 1 && alarms[0].text.contains(words) && alarms[0].cleared_at_ms.is_none(), "{:?}", report.alarms);
    let at = |ai: &str, part: &str| report.states.iter().position(|line| line.ai == ai && line.reason.contains(part));
    assert!(at("degraded", "the processor goes on").is_some_and(|at| report.states[at..].iter().any(|line| line.ai == "running")));
}

#[test]
fn a_device_that_fails_is_followed_by_the_processor_and_costs_no_picture() {
    let Some(driver) = TestDriver::new("a_device_that_fails_is_followed_by_the_processor_and_costs_no_picture") else { return };
    let state = tempfile::tempdir().unwrap();
    for (fate, _) in FATES {
        let settings = [(FATE, fate), ("XDG_STATE_HOME", state.path().to_str().unwrap())];
        let said = driver.run("pipeline::analyst::tests::run_while_the_device_fails", &settings);
        println!("{fate}: {}", said.lines().find(|line| line.contains("video_delay_ms")).unwrap_or_default());
    }
}

#[test]
fn only_a_demonstration_on_a_device_has_the_processor_to_go_on() {
    let on = |backend| AnalystSpec { engines: Some(engines()), backend, ..AnalystSpec::default() };
    let (spec, line) = on_processor(&on(Backend::Cuda)).unwrap();
    assert_eq!((spec.backend, line.name.as_str(), line.backend.as_str()), (Backend::Cpu, "surgical-cpu", "cpu"));
    assert!(on_processor(&on(Backend::Cpu)).is_none(), "it is there already");
    assert!(on_processor(&AnalystSpec { trusted: Some(Vec::new()), ..on(Backend::Cuda) }).is_none(), "clinical");
    let empty = tempfile::tempdir().unwrap();
    assert!(on_processor(&AnalystSpec { engines: Some(empty.path().to_owned()), ..on(Backend::Cuda) }).is_none(), "no engine");
}

/// While the source's rate is probed, the processor takes two milliseconds for a picture and a graphics device no time at all.
#[derive(Default)]
struct Probed {
    looks: AtomicU64,
}

impl Clock for Probed {
    fn now_ns(&self) -> u64 {
        // Where the output is opened nobody else looks.
        let looks = if std::thread::current().name() == Some("display") { self.looks.fetch_add(1, Ordering::Relaxed) } else { u64::MAX };
        match looks / (2 * probe::ROUNDS as u64) {
            0 => looks * 2_000_000,
            1 => 0,
            _ => MonotonicClock.now_ns(),
        }
    }

    fn sleep_until_ns(&self, at_ns: u64) {
        MonotonicClock.sleep_until_ns(at_ns);
    }
}

#[test]
fn what_draws_decides_whether_a_source_is_run_or_refused_before_anything_is_begun() {
    let test = "what_draws_decides_whether_a_source_is_run_or_refused_before_anything_is_begun";
    let source = "gst:videotestsrc is-live=true ! video/x-raw,format=NV12,width=480,height=272,framerate=1000/1";
    let folder = tempfile::tempdir().unwrap();
    let run = |presenter| {
        let mut spec = spec(source, "tests::be_the_ai_process");
        (spec.config.display.presenter, spec.limit.frames) = (presenter, Some(200));
        (spec.report, spec.timeline) = (Some(folder.path().join("report.json")), Some(folder.path().join("timeline.jsonl")));
        run_on(Backend::Cpu, spec, true, None, Arc::new(Probed::default()))
    };
    let refused = run(Presenter::X11).unwrap_err();
    assert!(matches!(refused, RunError::TooMuch { needs_ms: 2.0, has_ms: 1.0, .. }), "{refused}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "no file is begun");
    if test_gpu(test).is_some() {
        let (report, _) = run(Presenter::Wgpu).unwrap();
        assert_eq!((report.compositor, report.source.fps_without_gpu), ("wgpu", Some(400.0)));
        assert!(report.frames.captured == 200 && report.frames.displayed > 0, "{:?} {:?}", report.frames, report.losses);
    }
}
