//! A live source that outlives its pipelines: what fails, ends or falls silent is reported and built again.
//!
//! ```text
//!            error, end ───────────────────────────┐  Lost(reason) at once
//!   Up ──────silent for lost_ns ─► Lost, still Up ─┤  rebuilt after half a second of silence
//!    ▲                                 │ picture   ▼
//!    │◄──────────── Back ──────────────┘         Down ─ helper thread: drop, then build: at once, after 100, 200 … 500 ms
//!    └──────────────── the helper's new pipeline has a first picture ◄──┘
//! ```
//! `pull` never waits for a device or a network: tearing down and building are the helper thread's.

use super::cuda::Lending;
use super::decoder::Decoder;
use super::error::CaptureError;
use super::judge::Judge;
use super::live::{LivePipeline, Patience, Stamped};
use super::mapping::Mapped;
use super::{Pull, Source, SourceInfo};
use crate::base::clock::Clock;
use crate::base::error::ErrorKind;
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// Waits between attempts grow by this to `MOST_WAIT`.
const WAIT_STEP: Duration = Duration::from_millis(100);
const MOST_WAIT: Duration = Duration::from_millis(500);

/// Builds another pipeline of the same source, prepared and not yet playing.
pub(super) type Rebuild = Box<dyn Fn() -> Result<Decoder, CaptureError> + Send>;

pub(super) struct SupervisedSource {
    info: SourceInfo,
    clock: Arc<dyn Clock>,
    state: State,
    helper: Helper,
    lending: Arc<Lending>,
    judge: Judge,
    /// Capture stamp of the very first picture.
    first_ns: Option<u64>,
    /// Where this pipeline's first picture stands in the source.
    pts_start_ns: Option<u64>,
    last_pts_ns: Option<u64>,
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
        lending: Arc<Lending>,
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
            judge: Judge::new(layout, info.fps, period_ns, lost_ns, clock.now_ns()),
            info,
            clock,
            state: State::Up(pipeline),
            helper,
            lending,
            first_ns: None,
            pts_start_ns: None,
            last_pts_ns: None,
            held: None,
        })
    }

    /// The pipeline is of no more use.
    fn give_up(&mut self, reason: String) {
        self.judge.lose(reason);
        if let State::Up(dead) = std::mem::replace(&mut self.state, State::Down) {
            self.helper.replace(dead);
        }
        self.pts_start_ns = None;
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

impl Source for SupervisedSource {
    fn info(&self) -> &SourceInfo {
        &self.info
    }

    fn pull(&mut self, at_most: Duration) -> Result<Pull<'_>, CaptureError> {
        self.held = None;
        if let Some(event) = self.judge.next_event() {
            return Ok(Pull::Event(event));
        }
        let next = match &mut self.state {
            State::Up(pipeline) => pipeline.next(self.judge.wait(self.clock.now_ns(), at_most)),
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
                let Stamped { captured_ns, decode_ns, skipped, .. } = stamped;
                let changed = self.judge.picture(captured_ns, skipped, held.layout());
                if let (true, State::Up(pipeline)) = (changed.format, &self.state) {
                    self.info = pipeline.info(&self.info.uri);
                }
                self.info.fps = changed.fps.unwrap_or(self.info.fps);
                match &self.held {
                    Some(held) => Ok(Pull::Picture(held.picture(pts_ns, None, captured_ns, decode_ns, skipped))),
                    None => Ok(Pull::Idle),
                }
            }
            Ok(None) => {
                if let Some(reason) = self.judge.silence(self.clock.now_ns()) {
                    self.give_up(reason);
                }
                Ok(self.judge.next_event().map_or(Pull::Idle, Pull::Event))
            }
            Err(error) => {
                self.give_up(error.to_string());
                Ok(self.judge.next_event().map_or(Pull::Idle, Pull::Event))
            }
        }
    }

    fn lies_on_device(&self) -> bool {
        matches!(&self.state, State::Up(pipeline) if pipeline.format.is_there())
    }

    fn leave_device(&mut self) -> Result<bool, CaptureError> {
        if !self.lending.end() {
            return Ok(false);
        }
        self.held = None;
        self.give_up("the device that decoded it has failed".to_owned());
        Ok(true)
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
                dead.let_go();
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
