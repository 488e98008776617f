//! Time, injected everywhere: the monotonic clock of the machine, or one that a test moves by hand.
//! All stamps of the product are nanoseconds of CLOCK_MONOTONIC (u64).
//!
//! The wall clock is for people alone: names of files, dates of reports, the time of the day on the screen. It may jump, and
//! nothing that is measured or waited for may depend on it. Whoever wants it asks `wall_ns`, and nobody asks the system.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Condvar, Mutex};

/// By how much the wall clock is wrong on purpose, ns.
static WALL_SHIFT_NS: AtomicI64 = AtomicI64::new(0);

/// CLOCK_REALTIME, ns since 1970.
pub fn wall_ns() -> i64 {
    let wall = rustix::time::clock_gettime(rustix::time::ClockId::Realtime);
    wall.tv_sec.saturating_mul(1_000_000_000).saturating_add(wall.tv_nsec).saturating_add(WALL_SHIFT_NS.load(Ordering::Relaxed))
}

/// As `wall_ns`, whole seconds; 0 where it stands before 1970.
pub fn wall_s() -> u64 {
    u64::try_from(wall_ns().div_euclid(1_000_000_000)).unwrap_or(0)
}

/// A fault on demand: from now on this process reads a wall clock that stands by so much elsewhere. The machine's own is not set.
pub fn shift_wall_by_ns(by_ns: i64) {
    WALL_SHIFT_NS.fetch_add(by_ns, Ordering::Relaxed);
}

/// CLOCK_BOOTTIME, s since the machine was switched on, its sleep included: nobody sets it.
pub fn since_boot_s() -> f64 {
    let boot = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    boot.tv_sec as f64 + boot.tv_nsec as f64 / 1e9
}

/// A monotonic clock in nanoseconds.
pub trait Clock: Send + Sync + 'static {
    fn now_ns(&self) -> u64;
    /// Returns at `deadline_ns` or later; at once if it has passed.
    fn sleep_until_ns(&self, deadline_ns: u64);
}

/// The machine's CLOCK_MONOTONIC, the clock that V4L2 and GStreamer's system clock stamp with.
#[derive(Debug, Default, Clone, Copy)]
pub struct MonotonicClock;

impl Clock for MonotonicClock {
    fn now_ns(&self) -> u64 {
        let t = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
        t.tv_sec as u64 * 1_000_000_000 + t.tv_nsec as u64
    }

    fn sleep_until_ns(&self, deadline_ns: u64) {
        let request = rustix::time::Timespec { tv_sec: (deadline_ns / 1_000_000_000) as _, tv_nsec: (deadline_ns % 1_000_000_000) as _ };
        while self.now_ns() < deadline_ns {
            // EINTR only shortens the sleep; the loop looks at the clock again.
            let _ = rustix::thread::clock_nanosleep_absolute(rustix::time::ClockId::Monotonic, &request);
        }
    }
}

/// A clock for tests: stands still until it is advanced; sleepers wake when it passes their deadline.
#[derive(Debug, Default)]
pub struct ManualClock {
    now_ns: Mutex<u64>,
    moved: Condvar,
}

impl ManualClock {
    pub fn at(now_ns: u64) -> Self {
        ManualClock { now_ns: Mutex::new(now_ns), moved: Condvar::new() }
    }

    pub fn advance_ns(&self, by_ns: u64) {
        *self.lock() += by_ns;
        self.moved.notify_all();
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, u64> {
        self.now_ns.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

impl Clock for ManualClock {
    fn now_ns(&self) -> u64 {
        *self.lock()
    }

    fn sleep_until_ns(&self, deadline_ns: u64) {
        let mut now = self.lock();
        while *now < deadline_ns {
            now = self.moved.wait(now).unwrap_or_else(|poisoned| poisoned.into_inner());
        }
    }
}

/// A clock for tests: whoever sleeps on it finds the time gone.
#[cfg(test)]
pub struct JumpingClock(pub ManualClock);

#[cfg(test)]
impl Clock for JumpingClock {
    fn now_ns(&self) -> u64 {
        self.0.now_ns()
    }

    fn sleep_until_ns(&self, deadline_ns: u64) {
        self.0.advance_ns(deadline_ns.saturating_sub(self.0.now_ns()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[test]
    fn a_sleeper_wakes_when_the_manual_clock_passes_its_deadline() {
        let clock = Arc::new(ManualClock::at(5));
        let sleeper = {
            let clock = clock.clone();
            std::thread::spawn(move || {
                clock.sleep_until_ns(100);
                clock.now_ns()
            })
        };
        clock.advance_ns(50);
        clock.advance_ns(50);
        assert_eq!(sleeper.join().unwrap(), 105);
    }

    #[test]
    fn the_monotonic_clock_never_wakes_early() {
        let clock = MonotonicClock;
        let deadline = clock.now_ns() + 2_000_000;
        clock.sleep_until_ns(deadline);
        assert!(clock.now_ns() >= deadline);
    }
}
