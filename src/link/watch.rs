//! When a worker is given up, and when the next is started. The rules are pure; the thread that sees a worker end or
//! stop is here too.

use crate::base::clock::Clock;
use crate::link::settings::Settings;
use crate::link::status::{Board, Reason};
use rustix::event::EventfdFlags;
use rustix::io::Errno;
use rustix::process::{WaitId, WaitIdOptions};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

const MS: u64 = 1_000_000;

/// What is known of a worker when its deadline is asked for, CLOCK_MONOTONIC ns.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Vitals {
    pub started_ns: u64,
    pub is_ready: bool,
    pub heard_ns: u64,
    /// Since when it owes an answer.
    pub asked_ns: Option<u64>,
    /// Since when it is stopped.
    pub stopped_ns: Option<u64>,
}

impl Vitals {
    /// When it is to be killed if nothing changes, and why.
    pub fn deadline(&self, settings: &Settings) -> (u64, Reason) {
        let patience_ns = u64::from(settings.kill_after_ms) * MS;
        if let Some(stopped_ns) = self.stopped_ns {
            return (stopped_ns + patience_ns, Reason::Stopped);
        }
        let deadline_ns = match (self.is_ready, self.asked_ns) {
            (false, _) => self.started_ns + u64::from(settings.start_within_ms) * MS,
            (true, Some(asked_ns)) => asked_ns + patience_ns,
            (true, None) => self.heard_ns + patience_ns,
        };
        (deadline_ns, Reason::Hung)
    }
}

/// How long to wait before the next start.
#[derive(Debug)]
pub(super) struct Backoff {
    first_ms: u32,
    max_ms: u32,
    next_ms: u32,
}

impl Backoff {
    pub fn new(settings: &Settings) -> Self {
        Backoff { first_ms: settings.restart_after_ms, max_ms: settings.restart_after_max_ms, next_ms: settings.restart_after_ms }
    }

    /// The wait after a worker has ended. It grows while workers end before their first scene, or are ended for nonsense.
    pub fn after(&mut self, had_scene: bool, nonsense: bool) -> u32 {
        if had_scene && !nonsense {
            self.next_ms = self.first_ms;
            return self.first_ms;
        }
        let wait_ms = self.next_ms;
        self.next_ms = self.next_ms.saturating_mul(2).min(self.max_ms);
        wait_ms
    }
}

/// Wakes the link thread out of its poll.
#[derive(Debug)]
pub(super) struct Nudge(OwnedFd);

impl Nudge {
    pub fn new() -> Result<Self, Errno> {
        rustix::event::eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).map(Nudge)
    }

    /// Never waits: a full counter is nudge enough.
    pub fn ring(&self) {
        let _ = rustix::io::write(&self.0, &1u64.to_ne_bytes());
    }

    pub fn clear(&self) {
        let _ = rustix::io::read(&self.0, &mut [0u8; 8]);
    }
}

impl AsFd for Nudge {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    Exit(i32),
    Signal(i32),
    Unknown,
}

impl std::fmt::Display for Ended {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Ended::Exit(code) => write!(f, "exit code {code}"),
            Ended::Signal(signal) => write!(f, "signal {signal}"),
            Ended::Unknown => f.write_str("unknown cause"),
        }
    }
}

/// Since when the worker is stopped; 0: it is not.
#[derive(Debug, Default)]
pub(super) struct Stopped(AtomicU64);

impl Stopped {
    pub fn since_ns(&self) -> Option<u64> {
        Some(self.0.load(Ordering::Acquire)).filter(|&since_ns| since_ns != 0)
    }
}

/// Waits for what happens to the process and writes it on the board at once; returns when it is reaped.
pub(super) fn watch(pidfd: &OwnedFd, board: &Board, stopped: &Stopped, nudge: &Nudge, clock: &Arc<dyn Clock>) -> Ended {
    let options = WaitIdOptions::EXITED | WaitIdOptions::STOPPED | WaitIdOptions::CONTINUED;
    loop {
        let status = match rustix::process::waitid(WaitId::PidFd(pidfd.as_fd()), options) {
            Ok(Some(status)) => status,
            Ok(None) | Err(Errno::INTR) => continue,
            Err(_) => {
                board.down(Reason::Died);
                return Ended::Unknown;
            }
        };
        if status.stopped() || status.trapped() {
            stopped.0.store(clock.now_ns().max(1), Ordering::Release);
            board.down(Reason::Stopped);
            nudge.ring();
        } else if status.continued() {
            stopped.0.store(0, Ordering::Release);
            board.continued();
            nudge.ring();
        } else {
            board.down(Reason::Died);
            return match (status.exit_status(), status.terminating_signal()) {
                (Some(code), _) => Ended::Exit(code),
                (_, Some(signal)) => Ended::Signal(signal),
                _ => Ended::Unknown,
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_is_given_up_by_what_it_owes() {
        let settings = Settings::default();
        let mut vitals = Vitals { started_ns: 5, ..Vitals::default() };
        assert_eq!(vitals.deadline(&settings), (5 + 30_000 * MS, Reason::Hung));
        vitals.is_ready = true;
        vitals.heard_ns = 1_000 * MS;
        assert_eq!(vitals.deadline(&settings), (1_500 * MS, Reason::Hung));
        vitals.asked_ns = Some(1_050 * MS);
        assert_eq!(vitals.deadline(&settings), (1_550 * MS, Reason::Hung), "analysing needs no heartbeat");
        vitals.stopped_ns = Some(1_020 * MS);
        assert_eq!(vitals.deadline(&settings), (1_520 * MS, Reason::Stopped));
    }

    #[test]
    fn the_wait_grows_only_before_the_first_scene_or_after_nonsense() {
        let mut backoff = Backoff::new(&Settings { restart_after_ms: 50, restart_after_max_ms: 300, ..Settings::default() });
        let fruitless: Vec<_> = (0..5).map(|_| backoff.after(false, false)).collect();
        assert_eq!(fruitless, [50, 100, 200, 300, 300]);
        let fruitful: Vec<_> = (0..3).map(|_| backoff.after(true, false)).collect();
        assert_eq!(fruitful, [50, 50, 50]);
        let hostile: Vec<_> = (0..3).map(|_| backoff.after(true, true)).collect();
        assert_eq!(hostile, [50, 100, 200]);
    }
}
