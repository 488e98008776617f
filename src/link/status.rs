//! How the worker stands: a board that the link threads write and the display reads each frame without a lock.

use crate::base::clock::Clock;
use crate::base::slot::Wake;
use crate::link::judge::Rejection;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Why there is no worker to rely on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// It ended, or was killed by somebody else.
    Died,
    /// It was stopped (SIGSTOP, a debugger).
    Stopped,
    /// It owed an answer or a heartbeat for too long, or took too long to start.
    Hung,
    /// It said what cannot be; `Counts::rejected` says what.
    Nonsense,
    /// It said itself that it cannot go on.
    Fault,
    /// It could not be started again.
    CannotStart,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Not started: nobody has permitted it yet.
    Held,
    /// Loading its engines.
    Starting,
    /// Its scenes may be shown.
    Ready,
    /// No scene may be shown; another start follows.
    Down(Reason),
    /// No further start is tried in this run.
    Blocked(Block),
}

/// Why no further worker is started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Block {
    /// It refused its engines: another one would do the same.
    Refused,
    /// Its engine answered the reference picture otherwise than when it was loaded: what it computes is not to be believed.
    ProofWrong,
    /// It did not answer the reference picture in time.
    ProofMissing,
    /// Whoever started the worker forbade it.
    Forbidden,
}

const STATES: [State; 13] = [
    State::Held,
    State::Starting,
    State::Ready,
    State::Down(Reason::Died),
    State::Down(Reason::Stopped),
    State::Down(Reason::Hung),
    State::Down(Reason::Nonsense),
    State::Down(Reason::Fault),
    State::Down(Reason::CannotStart),
    State::Blocked(Block::Refused),
    State::Blocked(Block::ProofWrong),
    State::Blocked(Block::ProofMissing),
    State::Blocked(Block::Forbidden),
];
/// State and time share one word, so that a reader never sees one without the other: the lowest byte is the state.
const STATE_MASK: u64 = 0xff;

/// How the worker stands, and since when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Status {
    pub state: State,
    /// CLOCK_MONOTONIC ns, to 256 ns.
    pub since_ns: u64,
    /// Starts after the first.
    pub restarts: u64,
    /// Workers are made from `Hello::instead` now.
    pub has_fallen_back: bool,
}

/// What became of the frames and of the messages. `offered = inferred + skipped() + lost + (at most two under way)`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    pub offered: u64,
    /// Frames whose scene was accepted.
    pub inferred: u64,
    /// A newer frame took its place while the worker was busy.
    pub skipped_busy: u64,
    /// A newer frame took its place while no worker was ready.
    pub skipped_down: u64,
    /// Its slot was written again before the worker had read it.
    pub overwritten: u64,
    /// The analyst had nothing to say, or nothing that passed the worker's own check.
    pub without_scene: u64,
    /// The worker ended, or was ended, while it owed the answer.
    pub lost: u64,
    /// Accepted scenes that a newer one replaced before anybody took them.
    pub scenes_replaced: u64,
    /// Answers that the listener was too slow for.
    pub answers_lost: u64,
    /// Messages, by `Rejection`.
    pub rejected: [u64; Rejection::ALL.len()],
    /// Reference pictures that were answered as when the engine was loaded.
    pub proofs: u64,
}

impl Counts {
    /// Frames that nobody analysed.
    pub fn skipped(&self) -> u64 {
        self.skipped_busy + self.skipped_down + self.overwritten + self.without_scene
    }

    pub fn rejected_for(&self, why: Rejection) -> u64 {
        self.rejected[why as usize]
    }
}

#[derive(Debug, Default)]
pub(super) struct Tally {
    pub offered: AtomicU64,
    pub inferred: AtomicU64,
    pub skipped_busy: AtomicU64,
    pub skipped_down: AtomicU64,
    pub overwritten: AtomicU64,
    pub without_scene: AtomicU64,
    pub lost: AtomicU64,
    pub scenes_replaced: AtomicU64,
    pub answers_lost: AtomicU64,
    pub restarts: AtomicU64,
    pub rejected: [AtomicU64; Rejection::ALL.len()],
    pub proofs: AtomicU64,
}

/// Adds `by` to a counter that others only read.
pub(super) fn add(counter: &AtomicU64, by: u64) {
    counter.fetch_add(by, Ordering::Relaxed);
}

impl Tally {
    pub fn counts(&self) -> Counts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counts {
            offered: read(&self.offered),
            inferred: read(&self.inferred),
            skipped_busy: read(&self.skipped_busy),
            skipped_down: read(&self.skipped_down),
            overwritten: read(&self.overwritten),
            without_scene: read(&self.without_scene),
            lost: read(&self.lost),
            scenes_replaced: read(&self.scenes_replaced),
            answers_lost: read(&self.answers_lost),
            rejected: std::array::from_fn(|i| read(&self.rejected[i])),
            proofs: read(&self.proofs),
        }
    }
}

/// Written by the link threads under a lock, read by anybody without.
pub(super) struct Board {
    published: AtomicU64,
    life: Mutex<Life>,
    clock: Arc<dyn Clock>,
    wake: Arc<Wake>,
}

#[derive(Debug)]
struct Life {
    state: State,
    /// Has this worker said Ready? What `continued` goes back to.
    was_ready: bool,
}

impl Board {
    pub fn new(clock: Arc<dyn Clock>, wake: Arc<Wake>) -> Self {
        let board = Board { published: AtomicU64::new(0), life: Mutex::new(Life { state: State::Held, was_ready: false }), clock, wake };
        board.starting();
        board
    }

    pub fn held(&self) {
        self.set(self.lock(), State::Held);
    }

    pub fn state_since(&self) -> (State, u64) {
        let word = self.published.load(Ordering::Acquire);
        (STATES[(word & STATE_MASK) as usize % STATES.len()], word & !STATE_MASK)
    }

    pub fn is_ready(&self) -> bool {
        self.state_since().0 == State::Ready
    }

    /// A new worker was started.
    pub fn starting(&self) {
        let mut life = self.lock();
        life.was_ready = false;
        self.set(life, State::Starting);
    }

    pub fn ready(&self) {
        let mut life = self.lock();
        life.was_ready = true;
        if life.state == State::Starting {
            self.set(life, State::Ready);
        }
    }

    /// The first reason stands: what follows from it (the kill) does not hide it. Only that it said itself why it ended
    /// (its last words are read after its end is seen) explains more than that it did.
    pub fn down(&self, reason: Reason) {
        let life = self.lock();
        let explains = (life.state, reason) == (State::Down(Reason::Died), Reason::Fault);
        if explains || matches!(life.state, State::Starting | State::Ready) {
            self.set(life, State::Down(reason));
        }
    }

    pub fn continued(&self) {
        let life = self.lock();
        if life.state == State::Down(Reason::Stopped) {
            let before = if life.was_ready { State::Ready } else { State::Starting };
            self.set(life, before);
        }
    }

    pub fn blocked(&self, why: Block) {
        self.set(self.lock(), State::Blocked(why));
    }

    fn set(&self, mut life: MutexGuard<'_, Life>, state: State) {
        life.state = state;
        let code = STATES.iter().position(|&other| other == state).unwrap_or_default() as u64;
        self.published.store((self.clock.now_ns() & !STATE_MASK) | code, Ordering::Release);
        drop(life);
        self.wake.ring();
    }

    fn lock(&self) -> MutexGuard<'_, Life> {
        self.life.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock::ManualClock;

    #[test]
    fn the_first_reason_stands_and_a_continued_worker_is_where_it_was() {
        let clock = Arc::new(ManualClock::at(1 << 20));
        let board = Board::new(clock.clone(), Arc::default());
        assert_eq!(board.state_since(), (State::Starting, 1 << 20));
        board.down(Reason::Stopped);
        board.ready();
        assert_eq!(board.state_since().0, State::Down(Reason::Stopped), "ready was said before it was stopped");
        board.continued();
        assert!(board.is_ready());
        clock.advance_ns(1 << 20);
        board.down(Reason::Hung);
        board.down(Reason::Died);
        board.continued();
        board.ready();
        assert_eq!(board.state_since(), (State::Down(Reason::Hung), 2 << 20));
        board.starting();
        board.down(Reason::Died);
        board.down(Reason::Fault);
        assert_eq!(board.state_since().0, State::Down(Reason::Fault), "last words explain the end");
        for why in [Block::Refused, Block::ProofWrong, Block::ProofMissing, Block::Forbidden] {
            board.blocked(why);
            board.down(Reason::Died);
            assert_eq!(board.state_since().0, State::Blocked(why));
        }
    }
}
