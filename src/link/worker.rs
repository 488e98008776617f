//! The parent's handle of the AI process, and the thread that keeps one alive.

use crate::base::clock::Clock;
use crate::base::ids::FrameId;
use crate::base::slot::{Slot, Wake};
use crate::frame::Frame;
use crate::link::outbox::Outbox;
use crate::link::session::{Next, Session};
use crate::link::status::{Block, Board, Counts, Reason, Status, Tally, add};
use crate::link::watch::{Backoff, Nudge};
use crate::link::wire::Introduction;
use crate::link::{Hello, LinkError, Settings};
use crate::scene::Scene;
use crossbeam_channel::{Receiver, Sender, TrySendError};
use rustix::event::{PollFd, PollFlags, Timespec};
use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::JoinHandle;

/// What to run. The program finds its socket as descriptor 0 and calls `worker_main`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spawn {
    pub program: PathBuf,
    pub args: Vec<OsString>,
}

/// An accepted scene with the hash of what it was computed from, for who writes it down.
#[derive(Debug, Clone)]
pub struct Answer {
    pub scene: Arc<Scene>,
    /// `input_hash` of the frame; None if none was wanted, or the frame was overwritten before it was hashed.
    pub input_hash: Option<[u8; 32]>,
}

/// What the threads of the link share.
pub(super) struct Shared {
    pub settings: Settings,
    pub clock: Arc<dyn Clock>,
    pub board: Board,
    pub tally: Tally,
    pub outbox: Outbox,
    pub scenes: Slot<Arc<Scene>>,
    pub nudge: Nudge,
    /// Of the worker that runs; 0: none does.
    pub pid: AtomicU32,
    /// 1 + frame id of the last scene; 0: none yet.
    last_scene: AtomicU64,
    closing: AtomicBool,
    has_fallen_back: AtomicBool,
    /// A `Permission`.
    permission: AtomicU8,
    listener: OnceLock<Sender<Answer>>,
    /// Counts what was ordered of the analyst; 0: nothing ever.
    orders: AtomicU64,
    words: Mutex<Words>,
}

/// Whether a worker may run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Permission {
    /// Nobody has said so yet: none is started.
    Awaited,
    Given,
    /// For good.
    Refused,
}

/// What was said, for people and reports; nobody reads it on the frame path.
#[derive(Debug, Default)]
struct Words {
    introduction: Option<Introduction>,
    trouble: Option<String>,
    /// `trouble` of the worker after which others were made from something else.
    fallback: Option<String>,
    /// The latest one, which holds for each worker from now on.
    order: serde_json::Value,
}

impl Shared {
    pub fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Acquire)
    }

    pub fn permission(&self) -> Permission {
        let all = [Permission::Awaited, Permission::Given, Permission::Refused];
        all.into_iter().find(|&one| one as u8 == self.permission.load(Ordering::Acquire)).unwrap_or(Permission::Refused)
    }

    pub fn last_scene(&self) -> Option<FrameId> {
        self.last_scene.load(Ordering::Relaxed).checked_sub(1).map(FrameId)
    }

    /// Shows a scene, unless the worker has been seen to end or stop since it was sent.
    pub fn accept(&self, scene: &Arc<Scene>) {
        self.last_scene.store(scene.frame.0.saturating_add(1), Ordering::Relaxed);
        add(&self.tally.inferred, 1);
        if !self.board.is_ready() || self.scenes.push(scene.clone()).is_some() {
            add(&self.tally.scenes_replaced, 1);
        }
    }

    pub fn deliver(&self, answer: Answer) {
        if let Some(listener) = self.listener.get()
            && let Err(TrySendError::Full(_)) = listener.try_send(answer)
        {
            add(&self.tally.answers_lost, 1);
        }
    }

    pub fn introduced(&self, introduction: Introduction) {
        self.words().introduction = Some(introduction);
    }

    pub fn note(&self, trouble: String) {
        self.words().trouble = Some(trouble);
    }

    /// From now on workers are made from something else; why stands in `trouble`.
    fn fall_back(&self) {
        let mut words = self.words();
        words.fallback = words.trouble.clone();
        tracing::warn!(why = words.fallback, "from now on the AI process is given another engine");
        drop(words);
        self.has_fallen_back.store(true, Ordering::Release);
    }

    pub fn orders(&self) -> u64 {
        self.orders.load(Ordering::Acquire)
    }

    pub fn order(&self) -> serde_json::Value {
        self.words().order.clone()
    }

    fn words(&self) -> MutexGuard<'_, Words> {
        self.words.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits, unless the run ends or another permission is given.
    fn rest(&self, ms: u32) {
        let (before, deadline_ns) = (self.permission(), self.clock.now_ns() + u64::from(ms) * 1_000_000);
        while !self.is_closing() && self.permission() == before {
            let left_ns = deadline_ns.saturating_sub(self.clock.now_ns());
            if left_ns == 0 {
                return;
            }
            let timeout = Timespec { tv_sec: (left_ns / 1_000_000_000) as _, tv_nsec: (left_ns % 1_000_000_000) as _ };
            let _ = rustix::event::poll(&mut [PollFd::new(&self.nudge, PollFlags::IN)], Some(&timeout));
            self.nudge.clear();
        }
    }
}

/// A worker that is kept alive until this is dropped; then it is killed and reaped.
pub struct Worker {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Worker {
    /// Starts the worker; its engines load while this returns. Rings `wake` at every scene and every change of state.
    ///
    /// Errors: settings out of range, a program that cannot be started, no descriptors or threads left.
    pub fn start(spawn: Spawn, settings: &Settings, hello: Hello, clock: Arc<dyn Clock>, wake: Arc<Wake>) -> Result<Worker, LinkError> {
        Self::start_with(spawn, settings, hello, clock, wake, Permission::Given)
    }

    /// As `start`; where permission is still awaited, nothing is started before `permit`.
    pub fn start_with(
        spawn: Spawn,
        settings: &Settings,
        hello: Hello,
        clock: Arc<dyn Clock>,
        wake: Arc<Wake>,
        permission: Permission,
    ) -> Result<Worker, LinkError> {
        settings.check()?;
        let hello = Hello { settings: settings.clone(), ..hello };
        let shared = Arc::new(Shared {
            settings: settings.clone(),
            board: Board::new(clock.clone(), wake.clone()),
            clock,
            tally: Tally::default(),
            outbox: Outbox::default(),
            scenes: Slot::new(1, wake),
            nudge: Nudge::new().map_err(LinkError::system("an event descriptor"))?,
            pid: AtomicU32::new(0),
            last_scene: AtomicU64::new(0),
            closing: AtomicBool::new(false),
            has_fallen_back: AtomicBool::new(false),
            permission: AtomicU8::new(permission as u8),
            listener: OnceLock::new(),
            orders: AtomicU64::new(0),
            words: Mutex::default(),
        });
        let (first, started) = crossbeam_channel::bounded(1);
        let thread = {
            let shared = shared.clone();
            // The worker dies with the thread that starts it (PR_SET_PDEATHSIG): one thread starts them all.
            let keep = move || keep_alive(&shared, &spawn, &hello, &first);
            std::thread::Builder::new().name("link".to_owned()).spawn(keep).map_err(LinkError::system("a thread"))?
        };
        let worker = Worker { shared, thread: Some(thread) };
        match started.recv() {
            Ok(Err(error)) => Err(error),
            Ok(Ok(())) | Err(_) => Ok(worker),
        }
    }

    /// A worker may run. What was refused stays refused.
    pub fn permit(&self) {
        let (awaited, given) = (Permission::Awaited as u8, Permission::Given as u8);
        let _ = self.shared.permission.compare_exchange(awaited, given, Ordering::AcqRel, Ordering::Acquire);
        self.shared.nudge.ring();
    }

    /// No worker may run any more; the one that does is ended. `why`: `trouble` from now on.
    pub fn forbid(&self, why: String) {
        self.shared.note(why);
        self.shared.permission.store(Permission::Refused as u8, Ordering::Release);
        self.shared.nudge.ring();
    }

    /// Asks something of the analyst of this worker, and of each that follows it, until another order; null: nothing any more.
    pub fn order(&self, order: serde_json::Value) {
        self.shared.words().order = order;
        self.shared.orders.fetch_add(1, Ordering::AcqRel);
        self.shared.nudge.ring();
    }

    /// Offers the newest frame, for each frame, from one thread. Never waits, allocates nothing: the frame goes to the
    /// worker if that is free, else it waits there as the newest, and the one that it replaces is counted.
    pub fn offer(&self, frame: &Frame) {
        let tally = &self.shared.tally;
        add(&tally.offered, 1);
        let offered = self.shared.outbox.offer(frame, self.shared.clock.now_ns());
        add(&tally.skipped_busy, offered.skipped_busy);
        add(&tally.skipped_down, offered.skipped_down);
        if offered.needs_link {
            self.shared.nudge.ring();
        }
    }

    /// The newest scene that nobody has taken yet. It may be shown while `status` is `Ready`.
    pub fn take_scene(&self) -> Option<Arc<Scene>> {
        self.shared.scenes.pop()
    }

    /// Every accepted scene with its hash, in order; at most `depth` wait, what does not fit is counted. One listener:
    /// the first caller's; None for others.
    pub fn listen(&self, depth: usize) -> Option<Receiver<Answer>> {
        let (sender, receiver) = crossbeam_channel::bounded(depth);
        self.shared.listener.set(sender).ok().map(|()| receiver)
    }

    /// How the worker stands. Three atomic reads.
    pub fn status(&self) -> Status {
        let (state, since_ns) = self.shared.board.state_since();
        let restarts = self.shared.tally.restarts.load(Ordering::Relaxed);
        Status { state, since_ns, restarts, has_fallen_back: self.shared.has_fallen_back.load(Ordering::Acquire) }
    }

    /// What became of frames and messages so far.
    pub fn counts(&self) -> Counts {
        self.shared.tally.counts()
    }

    /// What the worker said of itself when it was last ready.
    pub fn introduction(&self) -> Option<Introduction> {
        self.shared.words().introduction.clone()
    }

    /// Why the last worker was ended, or refused its engines, in words (printable, bounded).
    pub fn trouble(&self) -> Option<String> {
        self.shared.words().trouble.clone()
    }

    /// Why workers are made from `Hello::instead` now, as `trouble` said it then.
    pub fn fallback(&self) -> Option<String> {
        self.shared.words().fallback.clone()
    }

    /// Process id of the worker that runs.
    pub fn pid(&self) -> Option<u32> {
        Some(self.shared.pid.load(Ordering::Relaxed)).filter(|&pid| pid != 0)
    }

    /// Ends the worker. Every frame is accounted for in what this returns: `offered = inferred + skipped() + lost`.
    pub fn finish(mut self) -> Counts {
        self.end();
        add(&self.shared.tally.skipped_down, self.shared.outbox.give_up());
        self.counts()
    }

    fn end(&mut self) {
        self.shared.closing.store(true, Ordering::Release);
        self.shared.nudge.ring();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.end();
    }
}

/// A worker that is held is thought of so often, at least.
const HELD_REST_MS: u32 = 1_000;

/// Body of the link thread: one worker after another.
fn keep_alive(shared: &Arc<Shared>, spawn: &Spawn, hello: &Hello, first: &Sender<Result<(), LinkError>>) {
    let mut backoff = Backoff::new(&shared.settings);
    let mut hello = hello.clone();
    let (mut is_first, mut has_started) = (true, false);
    if shared.permission() == Permission::Awaited {
        shared.board.held();
        is_first = false;
        let _ = first.send(Ok(()));
    }
    while !shared.is_closing() {
        match shared.permission() {
            Permission::Awaited => {
                shared.rest(HELD_REST_MS);
                continue;
            }
            Permission::Refused => {
                shared.board.blocked(Block::Forbidden);
                return;
            }
            Permission::Given => {}
        }
        let next = match Session::start(shared, spawn, &hello) {
            Ok(session) => {
                if is_first {
                    let _ = first.send(Ok(()));
                }
                if has_started {
                    add(&shared.tally.restarts, 1);
                }
                has_started = true;
                let next = session.run();
                if matches!(next, Next::Restart { .. })
                    && let Some(instead) = hello.instead.take()
                {
                    hello.analyst = instead.analyst;
                    shared.fall_back();
                }
                next
            }
            Err(error) if is_first => {
                let _ = first.send(Err(error));
                return;
            }
            Err(error) => {
                tracing::warn!(%error, "the AI process was not started again");
                shared.note(error.to_string());
                shared.board.down(Reason::CannotStart);
                Next::Restart { had_scene: false, nonsense: false }
            }
        };
        is_first = false;
        match next {
            Next::Restart { had_scene, nonsense } => shared.rest(backoff.after(had_scene, nonsense)),
            Next::Blocked => return,
            Next::Closing => return,
        }
    }
}

#[cfg(test)]
#[path = "worker_tests.rs"]
mod tests;
