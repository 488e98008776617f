//! One flag that ends a run, set by a signal, a window that closes, a limit that is reached or a failure.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

#[derive(Debug, Clone, Default)]
pub struct Shutdown(Arc<AtomicBool>);

impl Shutdown {
    pub fn request(&self) {
        self.0.store(true, Ordering::Release);
    }

    pub fn is_requested(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

static SIGNALLED: AtomicBool = AtomicBool::new(false);

/// Has SIGINT or SIGTERM come since `catch_signals`?
pub fn signalled() -> bool {
    SIGNALLED.load(Ordering::Acquire)
}

/// From now on SIGINT and SIGTERM are noted instead of ending the process; a second one ends it at once.
pub fn catch_signals() {
    extern "C" fn note(_: libc::c_int) {
        if SIGNALLED.swap(true, Ordering::AcqRel) {
            // SAFETY: _exit is async-signal-safe and does not return.
            unsafe { libc::_exit(130) }
        }
    }
    let handler = note as extern "C" fn(libc::c_int);
    for signal in [libc::SIGINT, libc::SIGTERM] {
        // SAFETY: the handler only touches an atomic and _exit, both async-signal-safe.
        unsafe { libc::signal(signal, handler as libc::sighandler_t) };
    }
}

/// A reader that has gone (`| head`) ends this process quietly, as it does other programs. For verbs that only print.
pub fn end_when_nobody_reads() {
    // SAFETY: restores the default action of a signal; no handler of ours is involved.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
}
