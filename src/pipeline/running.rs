//! A run from its first thread to its last: who starts, in which order they end, what they leave behind.

use crate::base::beat::Beat;
use crate::base::clock::Clock;
use crate::base::hud;
use crate::base::say::say;
use crate::base::shutdown::{self, Shutdown};
use crate::base::slot::{Slot, Wake};
use crate::capture::{ContentWatch, Source, SourceInfo, Stereo};
use crate::config::{Config, Mode};
use crate::display::hud::Hud;
use crate::display::{CleanFeed, DisplayError, OpenFeed, Output};
use crate::frame::Frame;
use crate::guard::{Freshness, Gate, Part, States, Watchdog, Word};
use crate::infer::Backend;
use crate::link::wire::Introduction;
use crate::link::{Counts, State, Worker};
use crate::pipeline::ai::WorkerAnalysis;
use crate::pipeline::capture::{CaptureCounters, CaptureOutcome, CaptureThread, DISPLAY_SLOT, FrameTap, NOTES};
use crate::pipeline::case::Case;
use crate::pipeline::driver::DisplayThread;
use crate::pipeline::frame_lock::FrameLock;
use crate::pipeline::hud::{HudFeed, status_of};
use crate::pipeline::inject::Injecting;
use crate::pipeline::loop_through::{self, LoopThrough};
use crate::pipeline::notify::Notify;
use crate::pipeline::operator::Operator;
use crate::pipeline::outcome::DisplayOutcome;
use crate::pipeline::permission::{Answer, Asking};
use crate::pipeline::probe::{self, Way};
use crate::pipeline::progress::{Progress, ProgressLine};
use crate::pipeline::rings::{Home, Rings};
use crate::pipeline::scheduling;
use crate::pipeline::screen::Screen;
use crate::pipeline::sinks::Sinks;
use crate::pipeline::stall::{self, Stalls};
use crate::pipeline::stereo::EyeTap;
use crate::pipeline::stream::{AnalysisDelays, SceneStream};
use crate::pipeline::taps::Taps;
use crate::pipeline::watch::{self, Watch};
use crate::pipeline::{LINES_DEPTH, RunError, STILLS_DEPTH, Spec, summary};
use crate::record::{EngineLine, LineWriter, LoopThroughLine, RecordError, Report, StillWriter, VideoRecorder};
use crossbeam_channel::{Receiver, Sender};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

/// Makes the output.
pub type OpenOutput = Box<dyn FnOnce() -> Result<Box<dyn Output>, DisplayError> + Send>;

/// A run that nothing refuses any more but its display.
pub struct Prepared {
    pub spec: Spec,
    pub clock: Arc<dyn Clock>,
    pub wake: Arc<Wake>,
    pub worker: Arc<Worker>,
    /// None: it was refused.
    pub engine: Option<EngineLine>,
    /// What goes on where the device of `engine` fails.
    pub fallback: Option<EngineLine>,
    pub backend: Backend,
    pub source: Box<dyn Source>,
    pub stereo: Option<Stereo>,
    /// The device on which the source's pictures may lie.
    pub home: Option<Arc<Home>>,
    /// The recorder pulls the run instead of the clock.
    pub is_pulled: bool,
    /// Whoever has a word on the AI or an alarm sends it here: gates, proofs, watchdogs.
    pub words: (Sender<Word>, Receiver<Word>),
}

/// What a finished run leaves behind.
pub struct Leftovers {
    pub spec: Spec,
    pub info: SourceInfo,
    /// Those that answered; where there is more than one, the device of the first has failed.
    pub engines: Vec<EngineLine>,
    pub backend: Backend,
    pub counters: Arc<CaptureCounters>,
    pub captured: CaptureOutcome,
    pub shown: DisplayOutcome,
    pub analysis: AnalysisDelays,
    pub stalls: Stalls,
    pub counts: Counts,
    pub restarts: u64,
    pub has_fallen_back: bool,
    pub introduction: Option<Introduction>,
    pub home: Option<Arc<Home>>,
    /// What the processor alone would pass, where those are fewer than come.
    pub fps_without_gpu: Option<f64>,
    pub losses: BTreeMap<String, u64>,
    pub start_ns: u64,
    pub seconds: f64,
    /// CLOCK_MONOTONIC at the end, ns.
    pub end_ns: u64,
    /// Whether AI was allowed to run; None: nobody asked, or the run was shorter than the answer.
    pub gate: Option<Gate>,
    pub case: Option<Case>,
    pub loop_through: Option<LoopThroughLine>,
}

impl FrameTap for Arc<Worker> {
    fn offer(&mut self, frame: &Frame) {
        Worker::offer(self, frame);
    }
}

impl Prepared {
    /// Runs to the end. `open_feed` is called on the clean feed's thread.
    pub fn go(self, open: OpenOutput, operator: Operator, open_feed: Option<OpenFeed>) -> Result<Report, RunError> {
        let Prepared { spec, clock, wake, worker, engine, fallback, backend, source, stereo, home, is_pulled, words } = self;
        let info = source.info().clone();
        // Where the recorder pulls, no picture is ever late.
        let timed = (!is_pulled).then(|| (info.clone(), source.lies_on_device()));
        let (output, fps_without_gpu) = open_output(open, timed, home.clone(), clock.clone())?;
        if let Some(fps) = fps_without_gpu {
            say(format_args!(
                "each picture of this source is passed by the graphics card; without it this machine passes {fps:.1} of its {:.2} a second: \
                 were the card lost, the newest would be shown and the others left out",
                info.fps
            ));
        }
        if is_pulled {
            say(format_args!("lossless recording: the recorder pulls the run, nothing is shown at the source's pace"));
        }
        let beats = watch::beats();
        let record_beats = [Part::RecordOverlay, Part::RecordClean].map(|part| beats[part as usize].clone());
        let mut sinks = open_sinks(&spec, &info, engine.as_ref(), is_pulled, record_beats)?;
        sinks.fallback = fallback.clone();
        let stream = SceneStream::start(&spec, &worker, is_pulled)?;
        stream.mishaps.iter().for_each(|mishap| sinks.watch_mishap(mishap.clone()));
        let stop = Shutdown::default();
        let frames = Arc::new(Slot::new(DISPLAY_SLOT, wake.clone()));
        let counters = Arc::new(CaptureCounters::default());
        let ended = Arc::new(AtomicBool::new(false));
        let (notes, signals) = crossbeam_channel::bounded(NOTES);
        let pulled = is_pulled.then(|| Arc::new(AtomicBool::new(false)));
        let progress = Arc::new(Progress::default());
        let lock = FrameLock::new(spec.config.overlay.frame_locked_ms);
        let language = spec.config.display.language;
        let hud = Hud::start((info.width, info.height), language, wake.clone())?;
        let named = |engine: &EngineLine| engine.name.clone() + &lock.words();
        let engines = engine.as_ref().map(named).unwrap_or_default();
        let said_instead = fallback.as_ref().map(|engine| (named(engine).into(), engine.is_demonstration));
        if spec.config.mode == Mode::Clinical || spec.config.wiring.path.is_some() {
            say(format_args!("{} mode, wiring: {}", spec.config.mode.name(), spec.config.wiring.name()));
        }
        let mut status = status_of(&info, &engines, spec.hud, language);
        status.is_demonstration = engine.as_ref().is_some_and(|engine| engine.is_demonstration);
        if spec.config.mode == Mode::Clinical {
            status.mode = hud::Mode::Clinical;
        }
        // Not before: what is refused has no case.
        let case = if spec.taps.is_none() { Case::begin(spec.case.as_deref()) } else { None };
        if let Some(case) = case.as_ref().filter(|case| case.is_resumed) {
            say(format_args!("case {} is resumed: the run before did not come to its end", case.id));
        }
        status.case = case.as_ref().map(|case| case.id.as_str().into());
        let start_ns = clock.now_ns();

        let display_faults = spec.inject.as_ref().map(|plan| plan.of_display(start_ns)).unwrap_or_default();
        let looping = if is_pulled || spec.taps.is_some() { None } else { loop_through::start(&spec.config, &clock, &stop, &words.0)? };
        let (code, looping) = looping.unzip();
        let display = DisplayThread {
            clock: clock.clone(),
            stop: stop.clone(),
            frames: frames.clone(),
            wake: wake.clone(),
            analysis: Some(Arc::new(WorkerAnalysis(worker.clone()))),
            operator,
            signals,
            feed: open_feed.map(CleanFeed::start).transpose()?,
            screen: Screen::new(spec.config.overlay.clone(), spec.overlay).with_echo(spec.taps.as_ref().and_then(Taps::echo).cloned()),
            is_armed: false,
            lock,
            hud: HudFeed::new(hud, status).with_fallback(said_instead),
            code,
            source_fps: info.fps,
            sinks,
            states: States::new(start_ns, info.live),
            words: words.1,
            beat: beats[Part::Display as usize].clone(),
            faults: display_faults.clone(),
            freshness: Freshness::default(),
            lost_ns: lost_ns(&spec.config, info.fps),
            ended: ended.clone(),
            pulled: pulled.clone(),
            progress: Some(progress.clone()),
        };
        let signal = &spec.config.signal;
        let capture = CaptureThread {
            source,
            clock: clock.clone(),
            stop: stop.clone(),
            limit: spec.limit,
            frames: frames.clone(),
            wake: wake.clone(),
            counters: counters.clone(),
            tap: Some(match stereo {
                Some(stereo) => Box::new(EyeTap::new(worker.clone(), stereo)),
                None => Box::new(worker.clone()),
            }),
            pulled,
            ended,
            notes,
            content: ContentWatch::new(signal.frozen_ms * 1_000_000, signal.black_ms * 1_000_000, stereo.map(|stereo| stereo.packing)),
            rings: Rings::new(home.clone()),
            beat: beats[Part::Capture as usize].clone(),
        };
        let stall = stall::start(clock.clone(), stop.clone())?;
        // Where the recorder pulls, everything may take its time.
        let watching = (!is_pulled).then(|| {
            let dog = Watchdog::new(&spec.config.guard, info.fps, spec.config.display.present_timeout_ms);
            let (clock, stop, words, progress) = (clock.clone(), stop.clone(), words.0.clone(), progress.clone());
            Watch { clock, stop, dog, beats, words, progress, notify: Notify::from_env() }.start()
        });
        let watching = watching.transpose()?;
        let answer = Answer::default();
        // A self-test's own run is what the answer will rest on.
        let asking = spec.taps.is_none().then(|| {
            let (config, engines) = (spec.config.clone(), spec.engines.clone());
            Asking { config, engines, worker: worker.clone(), answer: answer.clone(), words: words.0.clone(), stop: stop.clone() }.start()
        });
        let asking = asking.transpose()?;
        let injecting = spec.inject.as_ref().map(|plan| {
            let (worker, engines, display) = (worker.clone(), spec.engines.clone(), display_faults);
            Injecting { worker, engines, display, clock: clock.clone(), stop: stop.clone() }.start(plan)
        });
        let injecting = injecting.transpose()?;
        let display = std::thread::Builder::new().name("display".into()).spawn(move || display.run(output))?;
        let capture = std::thread::Builder::new().name("capture".into()).spawn(move || capture.run())?;

        let total = spec.limit.frames.or(spec.limit.seconds.map(|s| (s * info.fps) as u64));
        let mut line = ProgressLine::new(progress, total);
        while !display.is_finished() {
            std::thread::park_timeout(Duration::from_millis(20));
            if shutdown::signalled() {
                stop.request();
                wake.ring();
            }
            line.tick((clock.now_ns() - start_ns) as f64 / 1e9, worker_word(&worker));
        }
        line.end();
        let seconds = (clock.now_ns() - start_ns) as f64 / 1e9;
        let mut shown = display.join().map_err(|_| RunError::Lost("display"))?;
        let mut captured = capture.join().map_err(|_| RunError::Lost("capture"))?;
        let stalls = stall.join().map_err(|_| RunError::Lost("stall"))?;
        watching.map_or(Ok(()), |thread| thread.join().map_err(|_| RunError::Lost("watchdog")))?;
        asking.map_or(Ok(()), |thread| thread.join().map_err(|_| RunError::Lost("permission")))?;
        injecting.map_or(Ok(()), |thread| thread.join().map_err(|_| RunError::Lost("inject")))?;
        let loop_through = looping.map(LoopThrough::finish);
        // Frames that a display which failed has left in its slot.
        while frames.pop().is_some() {
            shown.counters.failed += 1;
        }
        let (status, introduction) = (worker.status(), worker.introduction());
        let fallback = fallback.filter(|_| status.has_fallen_back);
        let backend = if status.has_fallen_back { Backend::Cpu } else { backend };
        // The capture and display threads have given theirs back: this is the last. The stream ends with it.
        let counts = Arc::into_inner(worker).map(Worker::finish).unwrap_or_default();
        let (mut losses, analysis, streamed) = stream.finish();
        let (sink_losses, finished) = std::mem::take(&mut shown.sinks).finish();
        losses.extend(sink_losses);
        if let Some(dropped) = shown.feed.as_ref().map(|feed| feed.dropped).filter(|&dropped| dropped > 0) {
            losses.insert("clean_feed".into(), dropped);
        }
        if let Some(error) = captured.error.take() {
            return Err(error.into());
        }
        if let Some(error) = shown.error.take() {
            return Err(error.into());
        }
        let end_ns = clock.now_ns();
        let path = spec.report.clone();
        let leftovers = Leftovers {
            spec,
            info,
            engines: engine.into_iter().chain(fallback).collect(),
            backend,
            counters,
            captured,
            shown,
            analysis,
            stalls,
            counts,
            restarts: status.restarts,
            has_fallen_back: status.has_fallen_back,
            introduction,
            home,
            fps_without_gpu,
            losses,
            start_ns,
            seconds,
            end_ns,
            gate: answer.get().cloned(),
            case: case.clone(),
            loop_through,
        };
        let report = summary::of(leftovers);
        if let Some(path) = &path {
            crate::record::write_report(&report, path)?;
        }
        // Last: a recording, a stream or a still that failed takes nothing from the report, which says so.
        streamed.and(finished)?;
        case.into_iter().for_each(Case::close);
        Ok(report)
    }
}

/// Opens the output, tells `home` who draws, and looks whether the pictures of a source that is `timed` can be passed in time the way
/// that they go then; whether they lie on a device is beside it. On a thread like the display's own, which takes a core for itself later:
/// a graphics library starts threads when it is opened.
fn open_output(
    open: OpenOutput,
    timed: Option<(SourceInfo, bool)>,
    home: Option<Arc<Home>>,
    clock: Arc<dyn Clock>,
) -> Result<(Box<dyn Output>, Option<f64>), RunError> {
    let opening = move || {
        scheduling::make_realtime("display");
        let output = open()?;
        if let Some(home) = &home {
            home.is_drawn_by(output.gpu());
        }
        let mut fps_without_gpu = None;
        if let Some((info, lies_there)) = timed {
            fps_without_gpu = probe::check(&info, Way { gpu: output.gpu(), home: home.as_ref(), lies_there }, &*clock)?;
        }
        home.iter().for_each(|home| home.run_begins());
        Ok((output, fps_without_gpu))
    };
    std::thread::Builder::new().name("display".into()).spawn(opening)?.join().map_err(|_| RunError::Lost("display"))?
}

fn open_sinks(
    spec: &Spec,
    info: &SourceInfo,
    engine: Option<&EngineLine>,
    is_pulled: bool,
    beats: [Arc<Beat>; 2],
) -> Result<Sinks, RecordError> {
    let mut sinks = Sinks::new(spec.snapshots.clone(), is_pulled);
    sinks.beats = beats;
    sinks.taps = spec.taps.clone();
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
    if is_pulled {
        sinks.lossless = spec.record.as_ref().map(|path| VideoRecorder::start(path, info.width, info.height, info.fps)).transpose()?;
    } else {
        sinks.prepare_recording(spec, info, engine)?;
    }
    let writers = [sinks.timeline.as_ref().map(LineWriter::mishap), sinks.stills.as_ref().map(StillWriter::mishap)];
    writers.into_iter().flatten().for_each(|mishap| sinks.watch_mishap(mishap));
    Ok(sinks)
}

/// No signal: after `signal.lost_ms`, but never before three frame periods have passed.
fn lost_ns(config: &Config, fps: f64) -> u64 {
    let three_periods_ns = if fps > 0.0 { (3e9 / fps) as u64 } else { 0 };
    (config.signal.lost_ms * 1_000_000).max(three_periods_ns)
}

fn worker_word(worker: &Worker) -> &'static str {
    match worker.status().state {
        State::Held => "testing",
        State::Starting => "starting",
        State::Ready => "running",
        State::Down(_) => "down",
        State::Blocked(_) => "blocked",
    }
}
