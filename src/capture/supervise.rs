//! A live source that outlives its pipelines: what fails, ends or falls silent is reported and built again.
//!
//! ```text
//!            error, end ───────────────────────────┐  Lost(reason) at once
//!   Up ──────silent for lost_ns ─► Lost, still Up ─┤  rebuilt after REBUILD_NS of silence
//!    ▲                                 │ picture   ▼
//!    │◄──────────── Back ──────────────┘         Down ─ helper thread: drop, then build: at once, after 100, 200 … 500 ms
//!    └──────────────── the helper's new pipeline has a first picture ◄──┘
//! ```
//! `pull` never waits for a device or a network: tearing down and building are the helper thread's.

use super::decoder::Decoder;
use super::error::CaptureError;
use super::live::{LivePipeline, Patience, Stamped};
use super::mapping::Mapped;
use super::rate::RateWatch;
use super::{Pull, SignalEvent, Source, SourceInfo};
use crate::base::clock::Clock;
use crate::base::error::ErrorKind;
use crate::frame::FrameLayout;
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// A pipeline that is silent for so long is built again: a device that only hiccups is left alone.
const REBUILD_NS: u64 = 500_000_000;
/// Pictures missing for more than so many periods are said.
const GAP_PERIODS: u64 = 3;
/// Waits between attempts grow by this to `MOST_WAIT`.
const WAIT_STEP: Duration = Duration::from_millis(100);
const MOST_WAIT: Duration = Duration::from_millis(500);
/// Events that wait to be pulled.
const EVENTS: usize = 8;

/// Builds another pipeline of the same source, prepared and not yet playing.
pub(super) type Rebuild = Box<dyn Fn() -> Result<Decoder, CaptureError> + Send>;

pub(super) struct SupervisedSource {
    info: SourceInfo,
    clock: Arc<dyn Clock>,
    state: State,
    helper: Helper,
    events: VecDeque<SignalEvent>,
    lost_ns: u64,
    layout: FrameLayout,
    rate: RateWatch,
    period_ns: u64,
    /// Capture stamps of the very first and of the newest picture.
    first_ns: Option<u64>,
    last_ns: u64,
    /// Where this pipeline's first picture stands in the source.
    pts_start_ns: Option<u64>,
    last_pts_ns: Option<u64>,
    is_lost: bool,
    held: Option<Mapped>,
}

// One of it there is, on the capture thread's stack.
#[allow(clippy::large_enum_variant)]
enum State {
    Up(LivePipeline),
    Down,
}

impl SupervisedSource {
    /// Plays `first`, which is prepared, and waits for its first picture; `rebuild` makes others like it. Silence of
    /// `lost_ns` is a loss. `patience` is that of each further attempt.
    pub fn new(
        uri: &str,
        first: Decoder,
        rebuild: Rebuild,
        patience: Patience,
        lost_ns: u64,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, CaptureError> {
        let pipeline = LivePipeline::start(first, clock.clone(), Patience::AT_START, &|| false)?;
        let info = pipeline.info(uri);
        let starting = clock.clone();
        let attempt = move |is_stopped: &dyn Fn() -> bool| LivePipeline::start(rebuild()?, starting.clone(), patience, is_stopped);
        let helper = Helper::start(Box::new(attempt))
            .map_err(|e| CaptureError::NoPicture { thing: uri.to_owned(), reason: format!("no thread for it ({e})") })?;
        let (layout, period_ns) = (pipeline.format.layout, pipeline.rate().period_ns());
        Ok(SupervisedSource {
            rate: RateWatch::new(info.fps),
            info,
            last_ns: clock.now_ns(),
            clock,
            state: State::Up(pipeline),
            helper,
            events: VecDeque::with_capacity(EVENTS),
            lost_ns: lost_ns.max(GAP_PERIODS * period_ns),
            layout,
            period_ns,
            first_ns: None,
            pts_start_ns: None,
            last_pts_ns: None,
            is_lost: false,
            held: None,
        })
    }

    fn say(&mut self, event: SignalEvent) {
        if self.events.len() < EVENTS {
            self.events.push_back(event);
        }
    }

    fn lose(&mut self, reason: String) {
        if !std::mem::replace(&mut self.is_lost, true) {
            self.rate.interrupted();
            self.say(SignalEvent::Lost { reason });
        }
    }

    /// The pipeline is of no more use.
    fn give_up(&mut self, reason: String) {
        self.lose(reason);
        if let State::Up(dead) = std::mem::replace(&mut self.state, State::Down) {
            self.helper.replace(dead);
        }
        self.pts_start_ns = None;
    }

    fn silence_ns(&self) -> u64 {
        self.clock.now_ns().saturating_sub(self.last_ns)
    }

    /// Nothing has come.
    fn look_at_silence(&mut self) {
        let silence_ns = self.silence_ns();
        if silence_ns >= self.lost_ns {
            self.lose(format!("no picture for {} ms", silence_ns / 1_000_000));
        }
        if silence_ns >= self.lost_ns.max(REBUILD_NS) {
            self.give_up(format!("no picture for {} ms", silence_ns / 1_000_000));
        }
    }

    /// What a picture says about the signal.
    fn look_at_picture(&mut self, stamped: Stamped, layout: FrameLayout) {
        let gap_ns = stamped.captured_ns.saturating_sub(self.last_ns);
        if std::mem::take(&mut self.is_lost) {
            self.say(SignalEvent::Back { after_ms: gap_ns / 1_000_000 });
        } else if self.first_ns.is_some() && stamped.skipped == 0 && gap_ns > GAP_PERIODS * self.period_ns {
            self.rate.interrupted();
            self.say(SignalEvent::Gap { ms: gap_ns / 1_000_000 });
        }
        if layout != self.layout {
            let words = |layout: &FrameLayout| {
                let (Colours { matrix, range }, size) = (Colours::of(layout), (layout.width, layout.height));
                format!("{}×{} {} {matrix} {range}", size.0, size.1, layout.format.name())
            };
            self.say(SignalEvent::Format { from: words(&self.layout), to: words(&layout) });
            self.layout = layout;
            if let State::Up(pipeline) = &self.state {
                self.info = pipeline.info(&self.info.uri);
            }
        }
        if let Some((from_fps, to_fps)) = self.rate.arrived(stamped.captured_ns, stamped.skipped) {
            self.info.fps = to_fps;
            self.period_ns = (1e9 / to_fps.max(1.0)) as u64;
            self.lost_ns = self.lost_ns.max(GAP_PERIODS * self.period_ns);
            self.say(SignalEvent::Rate { from_fps, to_fps });
        }
        self.first_ns.get_or_insert(stamped.captured_ns);
        self.last_ns = stamped.captured_ns.max(self.last_ns);
    }

    /// Grows over all pipelines: each one's first picture stands where its capture stamp puts it.
    fn position_ns(&mut self, stamped: Stamped) -> u64 {
        let first_ns = *self.first_ns.get_or_insert(stamped.captured_ns);
        let start_ns = *self.pts_start_ns.get_or_insert(stamped.captured_ns.saturating_sub(first_ns).saturating_sub(stamped.pts_ns));
        let pts_ns = start_ns + stamped.pts_ns;
        let pts_ns = self.last_pts_ns.map_or(pts_ns, |last_ns| pts_ns.max(last_ns + 1));
        self.last_pts_ns = Some(pts_ns);
        pts_ns
    }
}

/// Names of a layout's colours, for people.
struct Colours {
    matrix: String,
    range: String,
}

impl Colours {
    fn of(layout: &FrameLayout) -> Self {
        let colorimetry = layout.colorimetry;
        Colours { matrix: format!("{:?}", colorimetry.matrix).to_uppercase(), range: format!("{:?}", colorimetry.range).to_lowercase() }
    }
}

impl Source for SupervisedSource {
    fn info(&self) -> &SourceInfo {
        &self.info
    }

    fn pull(&mut self, at_most: Duration) -> Result<Pull<'_>, CaptureError> {
        self.held = None;
        if let Some(event) = self.events.pop_front() {
            return Ok(Pull::Event(event));
        }
        // A loss is said when it is one, not a wait later.
        let until_lost = Duration::from_nanos(self.lost_ns.saturating_sub(self.silence_ns()).max(1_000_000));
        let next = match &mut self.state {
            State::Up(pipeline) => pipeline.next(if self.is_lost { at_most } else { at_most.min(until_lost) }),
            State::Down => {
                if let Some(fresh) = self.helper.take(at_most)? {
                    self.state = State::Up(fresh);
                }
                return Ok(Pull::Idle);
            }
        };
        match next {
            Ok(Some((mapped, stamped))) => {
                let pts_ns = self.position_ns(stamped);
                let held = self.held.insert(mapped);
                let layout = held.layout();
                self.look_at_picture(stamped, layout);
                let Stamped { captured_ns, decode_ns, skipped, .. } = stamped;
                match &self.held {
                    Some(held) => Ok(Pull::Picture(held.picture(pts_ns, None, captured_ns, decode_ns, skipped))),
                    None => Ok(Pull::Idle),
                }
            }
            Ok(None) => {
                self.look_at_silence();
                Ok(self.events.pop_front().map_or(Pull::Idle, Pull::Event))
            }
            Err(error) => {
                self.give_up(error.to_string());
                Ok(self.events.pop_front().map_or(Pull::Idle, Pull::Event))
            }
        }
    }
}

type Attempt = Box<dyn Fn(&dyn Fn() -> bool) -> Result<LivePipeline, CaptureError> + Send>;

/// The thread that takes dead pipelines apart and builds new ones.
struct Helper {
    dead: Option<Sender<LivePipeline>>,
    ready: Receiver<LivePipeline>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Helper {
    fn start(attempt: Attempt) -> std::io::Result<Self> {
        let (dead_tx, dead_rx) = bounded::<LivePipeline>(1);
        let (ready_tx, ready) = bounded(1);
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let work = move || {
            let is_stopped = || stopped.load(Ordering::Acquire);
            for dead in dead_rx {
                drop(dead);
                let mut wait = Duration::ZERO;
                while !is_stopped() {
                    std::thread::park_timeout(wait);
                    match attempt(&is_stopped) {
                        Ok(fresh) => {
                            let _ = ready_tx.send(fresh);
                            break;
                        }
                        Err(error) => tracing::debug!("not back yet: {error}"),
                    }
                    wait = (wait + WAIT_STEP).min(MOST_WAIT);
                }
            }
        };
        let thread = std::thread::Builder::new().name("capture-rebuild".into()).spawn(work)?;
        Ok(Helper { dead: Some(dead_tx), ready, stop, thread: Some(thread) })
    }

    fn replace(&self, dead: LivePipeline) {
        if let Some(sender) = &self.dead {
            // Never full: a pipeline is given back only for one that was taken. A helper that is gone shows in `take`.
            let _ = sender.try_send(dead);
        }
    }

    fn take(&self, at_most: Duration) -> Result<Option<LivePipeline>, CaptureError> {
        match self.ready.recv_timeout(at_most) {
            Ok(fresh) => Ok(Some(fresh)),
            Err(RecvTimeoutError::Timeout) => Ok(None),
            Err(RecvTimeoutError::Disconnected) => Err(CaptureError::Failed {
                thing: "the live source".into(),
                reason: "its helper thread is gone".into(),
                remedy: "start again, and report this as a bug",
                kind: ErrorKind::Bug,
            }),
        }
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        self.dead = None;
        // Empties the way for a helper that is about to hand over, then waits for it to end.
        let _ = std::mem::replace(&mut self.ready, crossbeam_channel::never());
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            let _ = thread.join();
        }
    }
}
