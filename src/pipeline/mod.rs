//! The builder and the driver: the only room that knows the others. It makes threads out of rooms and a report out of
//! what they leave behind. No pixel is touched here.
//!
//! ```text
//!   main ── run(spec) ─┬─ thread "capture"   pulls, stamps, hands on
//!                      ├─ thread "display"   owns compositor, output and state
//!                      ├─ threads "link…"    own the AI process
//!                      ├─ threads "record"   own files
//!                      └─ thread "stall"     the bare timer beside the run
//! ```

mod ai;
mod analyst;
mod capture;
mod driver;
mod progress;
mod proof;
mod scheduling;
mod screen;
mod sinks;
mod stall;
mod state;
mod stream;

pub use analyst::{AnalystError, AnalystSpec, serve as serve_worker};
pub use capture::Limit;
pub use driver::Control;
pub use sinks::SnapshotPlan;

use crate::base::clock::{Clock, MonotonicClock};
use crate::base::shutdown::{self, Shutdown};
use crate::base::slot::{Slot, Wake};
use crate::capture::{CaptureError, Source, SourceInfo};
use crate::config::Config;
use crate::display::{DisplayError, Output};
use crate::frame::Frame;
use crate::link::{Hello, LinkError, Spawn, State, Worker};
use crate::overlay::OverlayMode;
use crate::overlay::hud::Hud;
use crate::pipeline::capture::{CaptureCounters, CaptureFailure, CaptureThread, DISPLAY_SLOT, FrameTap};
use crate::pipeline::driver::{DisplayOutcome, DisplayThread};
use crate::pipeline::progress::{Progress, ProgressLine};
use crate::pipeline::screen::Screen;
use crate::pipeline::sinks::Sinks;
use crate::pipeline::state::{Ai, States};
use crate::pipeline::stream::SceneStream;
use crate::record::{EngineLine, Frames, LineWriter, RecordError, RecordMode, Report, SourceLine, Stages, StillWriter, VideoRecorder};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DisplayChoice {
    Auto,
    Window,
    Headless,
}

/// A whole run: what `keyhole run` was asked for.
#[derive(Debug, Clone)]
pub struct Spec {
    pub source: String,
    pub display: DisplayChoice,
    pub limit: Limit,
    pub overlay: OverlayMode,
    pub hud: bool,
    pub engines: Option<PathBuf>,
    pub record: Option<PathBuf>,
    pub snapshots: SnapshotPlan,
    pub report: Option<PathBuf>,
    pub timeline: Option<PathBuf>,
    pub scenes: Option<PathBuf>,
    pub masks: Option<PathBuf>,
    pub coverage: Option<PathBuf>,
    /// What is started as the AI process.
    pub worker: Spawn,
    pub config: Config,
}

#[derive(Debug, thiserror::Error)]
pub enum RunError {
    #[error(transparent)]
    Capture(#[from] CaptureError),
    #[error(transparent)]
    CaptureFailure(#[from] CaptureFailure),
    #[error(transparent)]
    Analyst(#[from] AnalystError),
    #[error(transparent)]
    Link(#[from] LinkError),
    #[error(transparent)]
    Display(#[from] DisplayError),
    #[error(transparent)]
    Record(#[from] RecordError),
    #[error("a thread cannot be started ({0}): free memory or processes")]
    Thread(#[from] std::io::Error),
    #[error("the {0} thread ended by a mistake of its own (see the log); the run's figures are lost")]
    Lost(&'static str),
}

impl RunError {
    /// Something was looked at and found bad: exit code 1.
    pub fn is_finding(&self) -> bool {
        matches!(self, RunError::Analyst(error) if error.is_finding())
    }
}

/// This program as its own AI process.
pub fn own_worker() -> std::io::Result<Spawn> {
    Ok(Spawn { program: std::env::current_exe()?, args: vec!["worker".into()] })
}

/// The AI process must have said within this time that it runs or why it cannot; the video of a run starts after it.
const PREFLIGHT_MS: u64 = 3_000;
/// Frames of the analysis that wait for the scene stream's writer.
const STREAM_DEPTH: usize = 256;
const LINES_DEPTH: usize = 4_096;
const STILLS_DEPTH: usize = 64;

/// Runs until a limit, the source's end, a signal or the window's close; returns the report, which is also written.
///
/// Everything that can be refused is refused before the first picture and before a file is made.
pub fn run(spec: Spec) -> Result<Report, RunError> {
    shutdown::catch_signals();
    let clock: Arc<dyn Clock> = Arc::new(MonotonicClock);
    let analyst = AnalystSpec { engines: spec.engines.clone() };
    let engine = analyst::check_engine(&analyst)?;
    for path in [&spec.report, &spec.timeline, &spec.scenes, &spec.record, &spec.snapshots.path].into_iter().flatten() {
        crate::record::check_writable(path)?;
    }
    record_mode(&spec)?;
    let wake = Arc::new(Wake::default());
    let hello = Hello {
        want_hash: spec.scenes.is_some(),
        analyst: serde_json::to_value(&analyst).unwrap_or_default(),
        ..Hello::default()
    };
    // The worker loads its engine while the source is opened.
    let worker = Arc::new(Worker::start(spec.worker.clone(), &spec.config.link, hello, clock.clone(), wake.clone())?);
    let source = crate::capture::open(&spec.source, &spec.config.capture, clock.clone())?;
    await_worker(&worker, &wake, &*clock)?;
    scheduling::lock_memory();
    let output = crate::display::headless(&*clock);
    let run = Prepared { spec, clock, wake, worker, engine, source, output };
    run.go()
}

/// Waits until the worker runs or says why it cannot; after `PREFLIGHT_MS` the video starts without it.
fn await_worker(worker: &Worker, wake: &Wake, clock: &dyn Clock) -> Result<(), RunError> {
    let give_up_ns = clock.now_ns() + PREFLIGHT_MS * 1_000_000;
    while clock.now_ns() < give_up_ns {
        match worker.status().state {
            State::Ready => return Ok(()),
            State::Blocked => return Err(AnalystError::from_line(&worker.trouble().unwrap_or_default()).into()),
            State::Starting | State::Down(_) => wake.wait(Duration::from_millis(20)),
        };
    }
    Ok(())
}

/// A run that nothing refuses any more.
struct Prepared {
    spec: Spec,
    clock: Arc<dyn Clock>,
    wake: Arc<Wake>,
    worker: Arc<Worker>,
    engine: EngineLine,
    source: Box<dyn Source>,
    output: Box<dyn Output>,
}

impl FrameTap for Arc<Worker> {
    fn offer(&mut self, frame: &Frame) {
        Worker::offer(self, frame);
    }
}

impl Prepared {
    fn go(self) -> Result<Report, RunError> {
        let Prepared { spec, clock, wake, worker, engine, source, output } = self;
        let info = source.info().clone();
        let is_pulled = record_mode(&spec)? == Some(RecordMode::Lossless);
        if is_pulled {
            eprintln!("keyhole: lossless recording: the recorder pulls the run, nothing is shown at the source's pace");
        }
        let sinks = open_sinks(&spec, &info, is_pulled)?;
        let stream = SceneStream::start(&spec, &worker, is_pulled)?;
        let stop = Shutdown::default();
        let frames = Arc::new(Slot::new(DISPLAY_SLOT, wake.clone()));
        let counters = Arc::new(CaptureCounters::default());
        let ended = Arc::new(AtomicBool::new(false));
        let pulled = is_pulled.then(|| Arc::new(AtomicBool::new(false)));
        let progress = Arc::new(Progress::default());
        let (_controls, receiver) = crossbeam_channel::bounded(16);
        let start_ns = clock.now_ns();
        let (output_info, adapter) = (output.describe(), output.describe().adapter);

        let display = DisplayThread {
            output,
            clock: clock.clone(),
            stop: stop.clone(),
            frames: frames.clone(),
            wake: wake.clone(),
            analysis: Some(Arc::new(ai::WorkerAnalysis(worker.clone()))),
            controls: receiver,
            screen: Screen::new(spec.config.overlay.clone(), spec.overlay),
            hud: Hud::new(info.width, info.height),
            hud_is_on: spec.hud,
            source_line: source_line(&info),
            sinks,
            states: States::new(start_ns, Ai::Starting),
            lost_ns: lost_ns(&spec.config, info.fps),
            ended: ended.clone(),
            pulled: pulled.clone(),
            progress: Some(progress.clone()),
        };
        let capture = CaptureThread {
            source,
            clock: clock.clone(),
            stop: stop.clone(),
            limit: spec.limit,
            frames,
            wake: wake.clone(),
            counters: counters.clone(),
            tap: Some(Box::new(worker.clone())),
            pulled,
            ended,
        };
        let stall = stall::start(clock.clone(), stop.clone())?;
        let display = std::thread::Builder::new().name("display".into()).spawn(move || display.run())?;
        let capture = std::thread::Builder::new().name("capture".into()).spawn(move || capture.run())?;

        let total = spec.limit.frames.or(spec.limit.seconds.map(|s| (s * info.fps) as u64));
        let mut line = ProgressLine::new(progress, total);
        while !display.is_finished() {
            std::thread::park_timeout(Duration::from_millis(100));
            if shutdown::signalled() {
                stop.request();
                wake.ring();
            }
            line.tick((clock.now_ns() - start_ns) as f64 / 1e9, worker_word(&worker));
        }
        line.end();
        let seconds = (clock.now_ns() - start_ns) as f64 / 1e9;
        let shown: DisplayOutcome = display.join().map_err(|_| RunError::Lost("display"))?;
        let captured = capture.join().map_err(|_| RunError::Lost("capture"))?;
        let stall = stall.join().map_err(|_| RunError::Lost("stall"))?;
        let counts = worker.counts();
        let restarts = worker.status().restarts;
        if let Some(introduction) = worker.introduction() {
            let sandbox = introduction.sandbox;
            scheduling::note_granted(&format!("worker: nice {}, landlock ABI {}, seccomp {}", spec.config.link.nice, sandbox.landlock_abi, sandbox.seccomp));
        }
        drop(worker);
        let (stream_losses, analysis, streamed) = stream.finish();
        let (mut losses, finished) = shown.sinks.finish();
        losses.extend(stream_losses);
        finished?;
        streamed?;
        if let Some(error) = captured.error {
            return Err(error.into());
        }
        if let Some(error) = shown.error {
            return Err(error.into());
        }

        let read = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
        let frames = Frames {
            captured: read(&counters.captured),
            displayed: shown.counters.displayed,
            repeated: shown.counters.repeated,
            rate_slip: 0,
            dropped_capture: read(&counters.dropped_late) + read(&counters.dropped_ring_full),
            dropped_display: read(&counters.dropped_display) + shown.counters.failed,
            inferred: counts.inferred,
            inference_skipped: counts.offered.saturating_sub(counts.inferred),
        };
        let mut lose = |reason: &str, count: u64| {
            if count > 0 {
                losses.insert(reason.to_owned(), count);
            }
        };
        lose("capture_decoder_late", read(&counters.dropped_late));
        lose("capture_ring_full", read(&counters.dropped_ring_full));
        lose("display_slot_full", read(&counters.dropped_display));
        lose("display_failed", shown.counters.failed);
        lose("inference_busy", counts.skipped_busy);
        lose("inference_worker_down", counts.skipped_down + counts.lost);
        lose("inference_overwritten", counts.overwritten);
        lose("inference_without_scene", counts.without_scene);
        lose("scenes_rejected", counts.rejected.iter().sum());
        lose("scenes_moved_hidden", shown.counters.scenes_moved_hidden);
        let (states, alarms) = shown.states.into_history();
        let report = Report {
            schema: crate::record::SCHEMA,
            version: env!("CARGO_PKG_VERSION"),
            commit: env!("KEYHOLE_COMMIT"),
            mode: spec.config.mode.name(),
            scheduling: scheduling::summary(),
            source: SourceLine {
                uri: info.uri,
                width: info.width,
                height: info.height,
                fps: info.fps,
                format: info.format,
                latency_ms: info.latency_ns as f64 / 1e6,
            },
            backend: "cpu",
            adapter,
            compositor: output_info.compositor,
            display: output_info.display.to_owned(),
            engines: vec![engine],
            frames,
            losses,
            video_delay_ms: shown.delays.video.summary(),
            annotation_delay_ms: shown.delays.annotation.summary(),
            overlay_age_ms: shown.delays.overlay_age.summary(),
            machine_stall_ms: stall.summary(),
            stages_ms: Stages {
                decode: captured.decode.summary(),
                upload: captured.upload.summary(),
                preprocess: analysis.preprocess.summary(),
                infer: analysis.infer.summary(),
                track: analysis.track.summary(),
                compose: shown.delays.compose.summary(),
                present: shown.delays.present.summary(),
            },
            scenes_stale_hidden: shown.counters.scenes_stale_hidden,
            states,
            alarms,
            audit: None,
            seconds,
            peak_rss_mb: scheduling::peak_rss_mb(),
            first_picture_ms: shown.first_present_ns.map(|ns| ns.saturating_sub(clock.now_ns() - scheduling::process_age_ns()) as f64 / 1e6),
            worker_restarts: restarts,
        };
        if let Some(path) = &spec.report {
            crate::record::write_report(&report, path)?;
        }
        Ok(report)
    }
}

fn record_mode(spec: &Spec) -> Result<Option<RecordMode>, RecordError> {
    spec.record.as_deref().map(RecordMode::for_path).transpose()
}

fn open_sinks(spec: &Spec, info: &SourceInfo, is_pulled: bool) -> Result<Sinks, RecordError> {
    let mut sinks = Sinks::new(spec.snapshots.clone(), is_pulled);
    if let Some(dir) = &spec.coverage {
        crate::record::make_folder(dir)?;
        sinks.coverage = Some(dir.clone());
        sinks.stills = Some(StillWriter::start(STILLS_DEPTH));
    }
    if let Some(path) = &spec.timeline {
        sinks.timeline = Some(LineWriter::start(path, LINES_DEPTH, |line, out| {
            serde_json::to_writer(&mut *out, &line)?;
            out.write_all(b"\n")
        })?);
    }
    if let Some(path) = &spec.record {
        sinks.recorder = Some(VideoRecorder::start(path, info.width, info.height, info.fps)?);
    }
    Ok(sinks)
}

fn source_line(info: &SourceInfo) -> String {
    let kind = if info.uri.starts_with("sim:") { "SIMULATED" } else if info.live { "LIVE" } else { "RECORDING" };
    format!("{kind} {}x{} {:.4} Hz", info.width, info.height, info.fps)
}

/// No signal: after `signal.lost_ms`, but never before three frame periods have passed.
fn lost_ns(config: &Config, fps: f64) -> u64 {
    let three_periods_ns = if fps > 0.0 { (3e9 / fps) as u64 } else { 0 };
    (config.signal.lost_ms * 1_000_000).max(three_periods_ns)
}

fn worker_word(worker: &Worker) -> &'static str {
    match worker.status().state {
        State::Starting => "starting",
        State::Ready => "running",
        State::Down(_) => "down",
        State::Blocked => "blocked",
    }
}
