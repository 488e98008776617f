//! The builder and the driver: the only room that knows the others. It makes threads out of rooms and a report out of
//! what they leave behind. No pixel is touched here.
//!
//! ```text
//!   main ── run(spec) ─┬─ thread "capture"   pulls, stamps, hands on
//!                      ├─ thread "display"   owns compositor, output and state
//!                      ├─ threads "link…"    own the AI process
//!                      ├─ threads "record"   own files
//!                      ├─ thread "loop-through"  reads the pictures' numbers back at a spare input, where one sees the monitor's
//!                      ├─ thread "watchdog"  hears the others' beats, ends a run whose display has stalled
//!                      └─ thread "stall"     the bare timer beside the run
//! ```

mod ai;
mod analyst;
mod backend;
mod cadence;
mod capture;
pub mod case;
pub mod controls;
mod driver;
mod flip;
mod frame_lock;
mod hud;
mod inject;
mod inputs;
pub mod loop_through;
mod mishaps;
mod notify;
#[cfg(test)]
mod on_device_tests;
mod operator;
mod outcome;
mod permission;
pub mod picture_lock;
mod prefs;
mod probe;
mod progress;
mod proof;
mod rings;
mod running;
mod scheduling;
mod screen;
pub mod selftest;
mod sinks;
mod stall;
mod state;
mod stereo;
mod stream;
mod summary;
mod taps;
mod watch;
mod window;

pub use analyst::{AnalystError, AnalystSpec, serve as serve_worker};
pub use backend::say_device;
pub use capture::Limit;
pub use inject::{InjectError, Injection};
pub use inputs::Settings as ControlSettings;
pub use scheduling::{grants, stand_beside_a_picture};
pub use sinks::SnapshotPlan;
pub use taps::{Late, PresentStamp, Sight, Taps};

use crate::base::clock::{Clock, ManualClock, MonotonicClock};
use crate::base::say::say;
use crate::base::shutdown;
use crate::base::slot::Wake;
use crate::capture::{CaptureError, Source, Stereo};
use crate::config::{Config, Mode};
use crate::display::{DisplayError, DrmOutputs, OpenFeed, Output, SdiOutput, SdiSpec, Settings, open_drm, open_headless};
use crate::guard::{Process, answer};
use crate::infer::{Backend, Wanted};
use crate::link::{Hello, Instead, LinkError, Permission, Spawn, State, Worker};
use crate::overlay::OverlayMode;
use crate::pipeline::capture::CaptureFailure;
use crate::pipeline::operator::{Operator, Seat};
use crate::pipeline::rings::Home;
use crate::pipeline::running::Prepared;
use crate::record::{RecordError, RecordMode, Report, sidecar_path};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DisplayChoice {
    Auto,
    Window,
    Headless,
    Sdi(SdiSpec),
    /// A monitor without X or Wayland, on the card with this number; None: the first one that has a monitor.
    Drm(Option<u8>),
}

impl std::str::FromStr for DisplayChoice {
    type Err = String;

    /// As `--display` has it.
    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(DisplayChoice::Auto),
            "window" => Ok(DisplayChoice::Window),
            "headless" => Ok(DisplayChoice::Headless),
            "drm" => Ok(DisplayChoice::Drm(None)),
            _ => match (text.strip_prefix("decklink:"), text.strip_prefix("drm:").and_then(|card| card.parse().ok())) {
                (Some(rest), _) => rest.parse().map(DisplayChoice::Sdi),
                (None, Some(card)) => Ok(DisplayChoice::Drm(Some(card))),
                (None, None) => {
                    Err(format!("'{text}' is no display: auto, window, headless, drm[:CARD] or decklink:N[?keyer=internal|external]"))
                }
            },
        }
    }
}

/// A whole run: what `keyhole run` was asked for.
#[derive(Debug, Clone)]
pub struct Spec {
    pub source: String,
    pub display: DisplayChoice,
    pub limit: Limit,
    pub overlay: OverlayMode,
    /// The overlay was asked for by a flag: what was kept does not count.
    pub is_overlay_asked: bool,
    pub hud: bool,
    pub is_hud_asked: bool,
    pub engines: Option<PathBuf>,
    pub record: Option<PathBuf>,
    /// The captured picture, nothing drawn over it.
    pub record_clean: Option<PathBuf>,
    pub snapshots: SnapshotPlan,
    pub report: Option<PathBuf>,
    pub timeline: Option<PathBuf>,
    pub scenes: Option<PathBuf>,
    pub masks: Option<PathBuf>,
    pub coverage: Option<PathBuf>,
    /// What is started as the AI process.
    pub worker: Spawn,
    /// A self-test looks on.
    pub taps: Option<Taps>,
    /// The operation that this run belongs to.
    pub case: Option<String>,
    /// Faults on demand.
    pub inject: Option<Injection>,
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
    Inject(#[from] InjectError),
    #[error(transparent)]
    Record(#[from] RecordError),
    #[error("the source's rate cannot be probed: {reason}; free memory or choose a smaller picture")]
    Probe { reason: String },
    #[error(
        "source '{uri}': {width}×{height} at {fps:.2} a second cannot be passed by this machine: copying and converting one picture takes {needs_ms:.1} ms of the {has_ms:.1} ms that it has; set the source to a smaller picture or a lower rate"
    )]
    TooMuch { uri: String, width: usize, height: usize, fps: f64, needs_ms: f64, has_ms: f64 },
    #[error(
        "source '{uri}' is for demonstrations and tests: in clinical mode the picture comes from a camera, a network stream or a recording; name one with --source, or set mode = \"demo\""
    )]
    ClinicalSource { uri: String },
    #[error("a thread cannot be started ({0}): free memory or processes")]
    Thread(#[from] std::io::Error),
    #[error("the {0} thread ended by a mistake of its own (see the log); the run's figures are lost")]
    Lost(&'static str),
}

impl RunError {
    /// Something was looked at and found bad: exit code 1.
    pub fn is_finding(&self) -> bool {
        match self {
            RunError::Analyst(error) => error.is_finding(),
            // The run went on without it, and its report says so.
            RunError::Record(error) => answer(error.kind()).process == Process::GoesOn,
            _ => false,
        }
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
/// Words of gates, proofs and watchdogs that wait for the state's owner.
const WORDS_DEPTH: usize = 64;

/// Runs until a limit, the source's end, a signal or the window's close; returns the report, which is also written.
///
/// Everything that can be refused is refused before the first picture and before a file is made.
pub fn run(spec: Spec) -> Result<Report, RunError> {
    let needs_ai = spec.config.mode != Mode::Clinical;
    let (report, refused) = run_with(spec, needs_ai)?;
    refused.map_or(Ok(report), |error| Err(error.into()))
}

/// As `run`; where it does not need AI, what is refused of it comes back beside the report, and the picture is shown.
fn run_with(spec: Spec, needs_ai: bool) -> Result<(Report, Option<AnalystError>), RunError> {
    shutdown::catch_signals();
    let clock: Arc<dyn Clock> = Arc::new(MonotonicClock);
    let (_, stereo) = crate::capture::split_stereo(&spec.source)?;
    let is_clinical = spec.config.mode == Mode::Clinical;
    if is_clinical && spec.inject.is_some() {
        return Err(InjectError::Clinical.into());
    }
    if is_clinical && spec.taps.is_none() && ["gst:", "sim:", "pattern:"].iter().any(|scheme| spec.source.starts_with(scheme)) {
        return Err(RunError::ClinicalSource { uri: spec.source });
    }
    let backend = backend::of_run(spec.config.infer.backend, is_clinical, spec.engines.as_deref(), &spec.worker)?;
    run_on(backend, spec, needs_ai, stereo, clock)
}

/// As `run_with`, on this backend.
fn run_on(
    backend: Backend,
    spec: Spec,
    needs_ai: bool,
    stereo: Option<Stereo>,
    clock: Arc<dyn Clock>,
) -> Result<(Report, Option<AnalystError>), RunError> {
    let is_clinical = spec.config.mode == Mode::Clinical;
    let trusted = is_clinical.then(|| spec.config.store.trusted_keys.clone());
    let (operating_point, infer) = (spec.config.store.operating_point.clone(), spec.config.infer.clone());
    let analyst = AnalystSpec { engines: spec.engines.clone(), stereo, infer, backend, operating_point, trusted };
    // In the theatre the picture comes first: a refused engine blocks the AI, never the video.
    let (engine, mut refused) = match analyst::check_engine(&analyst) {
        Ok(engine) => (Some(engine), None),
        Err(error) if !needs_ai => (None, Some(error)),
        Err(error) => return Err(error.into()),
    };
    // What a self-test tests is what it was told to, or nothing.
    let (instead, fallback) = analyst::on_processor(&analyst).filter(|_| spec.taps.is_none()).unzip();
    check_outputs(&spec)?;
    let is_pulled = record_mode(&spec)? == Some(RecordMode::Lossless);
    let wake = Arc::new(Wake::default());
    let told = |analyst: &AnalystSpec| serde_json::to_value(analyst).unwrap_or_default();
    // A device that was asked for by name and refuses its engine is an error, as one that is not there.
    let where_refused = analyst.infer.backend == Wanted::Auto;
    let instead = instead.map(|instead| Instead { analyst: told(&instead), where_refused });
    let hello = Hello { want_hash: spec.scenes.is_some(), analyst: told(&analyst), instead, ..Hello::default() };
    // The worker loads its engine while the source is opened.
    // In the theatre it waits until the appliance has tested itself, except for the self-test.
    let permission = if is_clinical && refused.is_none() && spec.taps.is_none() { Permission::Awaited } else { Permission::Given };
    let worker = Worker::start_with(spec.worker.clone(), &spec.config.link, hello, clock.clone(), wake.clone(), permission)?;
    let worker = Arc::new(worker);
    // Where the recorder pulls, no picture is ever late: the source's clock stands still.
    let source_clock: Arc<dyn Clock> = if is_pulled { Arc::new(ManualClock::at(clock.now_ns())) } else { clock.clone() };
    let capture_settings = crate::capture::Settings { lost_ms: spec.config.signal.lost_ms, ..spec.config.capture.clone() };
    let home = if is_pulled { None } else { Home::of_run(capture_settings.memory, backend, spec.config.mode) };
    let is_touched = spec.inject.as_ref().is_some_and(Injection::touches_source);
    let decoding = home.as_ref().filter(|_| !is_touched && crate::capture::may_lie_on_device(&spec.source));
    let mut source = open_source(&spec.source, &capture_settings, &source_clock, decoding)?;
    if let Some(injection) = &spec.inject {
        source = injection.put_into(source, source_clock, spec.config.signal.lost_ms)?;
    }
    match await_worker(&worker, &wake, &*clock) {
        Some(error) if !needs_ai => refused = refused.or(Some(error)),
        Some(error) => return Err(error.into()),
        None => {}
    }
    if let Some(error) = &refused {
        say(format_args!("the video runs without AI: {error}"));
    }
    scheduling::lock_memory();
    let is_window = match spec.display {
        DisplayChoice::Headless | DisplayChoice::Sdi(_) | DisplayChoice::Drm(_) => false,
        DisplayChoice::Window => true,
        DisplayChoice::Auto => std::env::var_os("DISPLAY").or(std::env::var_os("WAYLAND_DISPLAY")).is_some_and(|name| !name.is_empty()),
    };
    let is_shown = is_window || matches!(spec.display, DisplayChoice::Sdi(_) | DisplayChoice::Drm(_));
    let _shown = (is_shown && spec.taps.is_none()).then(|| picture_lock::shows(&spec.config.guard.folder()));
    let run = Prepared {
        spec,
        clock,
        wake,
        worker,
        engine,
        fallback,
        backend,
        source,
        stereo,
        home,
        is_pulled,
        words: crossbeam_channel::bounded(WORDS_DEPTH),
    };
    Ok((show(run, is_window)?, refused))
}

/// On the device of `home`, if GStreamer can use it.
fn open_source(
    uri: &str,
    settings: &crate::capture::Settings,
    clock: &Arc<dyn Clock>,
    home: Option<&Arc<Home>>,
) -> Result<Box<dyn Source>, CaptureError> {
    match crate::capture::open_on(uri, settings, clock.clone(), home.map(|home| home.device())) {
        Err(error @ CaptureError::NoGstCuda { .. }) => {
            tracing::warn!("pictures are decoded in the processor's memory: {error}");
            crate::capture::open(uri, settings, clock.clone())
        }
        opened => opened,
    }
}

/// Opens the display that was asked for and runs to the end.
fn show(run: Prepared, is_window: bool) -> Result<Report, RunError> {
    let (clock, is_pulled) = (run.clock.clone(), run.is_pulled);
    if is_window {
        return window::run(run);
    }
    let seat = if matches!(run.spec.display, DisplayChoice::Drm(_)) { Seat::Console } else { Seat::Nowhere };
    let (_, operator) = Operator::of(&run.spec, seat, run.wake.clone(), &run.clock)?;
    if let DisplayChoice::Sdi(sdi) = run.spec.display {
        let info = run.source.info();
        let (size, fps, timeout_ms) = ((info.width, info.height), info.fps, run.spec.config.display.present_timeout_ms);
        let output = SdiOutput::new(sdi, size, fps, timeout_ms, clock)?;
        return run.go(Box::new(move || Ok(Box::new(output) as Box<dyn Output>)), operator, None);
    }
    if let DisplayChoice::Drm(card) = run.spec.display {
        let (info, settings) = (run.source.info(), &run.spec.config.display);
        let (size, fps) = ((info.width, info.height), info.fps);
        let DrmOutputs { output, feed } = open_drm(card, size, fps, settings, clock)?;
        let opened = |output: Box<dyn Output>| Box::new(move || Ok(output));
        return run.go(opened(output), operator, feed.map(|feed| opened(feed) as OpenFeed));
    }
    let settings = Settings { refresh_hz: run.spec.config.display.refresh_hz.filter(|_| !is_pulled), ..run.spec.config.display.clone() };
    let wants_gpu = run.home.is_some();
    run.go(Box::new(move || open_headless(&settings, wants_gpu, clock)), operator, None)
}

/// Each output can be written, and none would be written over another or over what is played.
fn check_outputs(spec: &Spec) -> Result<(), RecordError> {
    // A lossless recording has none.
    let sidecar = |path: &Option<PathBuf>| {
        path.as_deref().filter(|path| path.extension().is_some_and(|e| e.eq_ignore_ascii_case("mp4"))).map(sidecar_path)
    };
    let files = [
        ("--report", &spec.report),
        ("--timeline", &spec.timeline),
        ("--scenes", &spec.scenes),
        ("--record", &spec.record),
        ("--record-clean", &spec.record_clean),
        ("--record's sidecar", &sidecar(&spec.record)),
        ("--record-clean's sidecar", &sidecar(&spec.record_clean)),
        ("--snapshot", &spec.snapshots.path),
    ];
    let source = Some(PathBuf::from(spec.source.split('?').next().unwrap_or_default()));
    let folders = [("--masks", &spec.masks), ("--coverage", &spec.coverage), ("--source", &source)];
    let mut seen: Vec<(&'static str, PathBuf)> = Vec::new();
    for (flag, path) in files.into_iter().chain(folders).filter_map(|(flag, path)| Some((flag, path.as_ref()?))) {
        // The folder exists or is refused below; the last part need not exist yet.
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).map_or(PathBuf::from("."), PathBuf::from);
        let place = folder.canonicalize().unwrap_or(folder).join(path.file_name().unwrap_or_default());
        if let Some((first, _)) = seen.iter().find(|(_, other)| *other == place) {
            return Err(RecordError::SamePath { first, second: flag, path: path.clone() });
        }
        seen.push((flag, place));
    }
    if let Some(path) = spec.snapshots.path.as_ref().filter(|path| path.extension().is_none_or(|e| !e.eq_ignore_ascii_case("png"))) {
        return Err(RecordError::NotPng { path: path.clone() });
    }
    files.into_iter().filter_map(|(_, path)| path.as_deref()).try_for_each(crate::record::check_writable)
}

/// Waits until the worker runs or says why it cannot, which is returned; after `PREFLIGHT_MS` the video starts without it.
fn await_worker(worker: &Worker, wake: &Wake, clock: &dyn Clock) -> Option<AnalystError> {
    let give_up_ns = clock.now_ns() + PREFLIGHT_MS * 1_000_000;
    while clock.now_ns() < give_up_ns {
        match worker.status().state {
            State::Ready => return None,
            State::Blocked(_) => return Some(AnalystError::from_line(&worker.trouble().unwrap_or_default())),
            State::Held => return None,
            State::Starting | State::Down(_) => wake.wait(Duration::from_millis(20)),
        };
    }
    None
}

fn record_mode(spec: &Spec) -> Result<Option<RecordMode>, RecordError> {
    let mode = spec.record.as_deref().map(RecordMode::for_path).transpose()?;
    match spec.record_clean.as_deref().map(|path| RecordMode::for_path(path).map(|clean| (path, clean))).transpose()? {
        Some((path, clean)) if clean == RecordMode::Lossless || mode == Some(RecordMode::Lossless) => Err(RecordError::Extension {
            path: path.display().to_string(),
            reason: "the clean picture is recorded as FILE.mp4, and not beside a lossless recording",
        }),
        _ => Ok(mode),
    }
}
