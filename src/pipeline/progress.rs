//! The progress line: one that is rewritten on a terminal, nothing elsewhere.

use crate::base::ids::FrameId;
use std::io::{IsTerminal, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

#[derive(Debug, Default)]
pub struct Progress {
    frames: AtomicU64,
}

impl Progress {
    pub fn shown(&self, frame: FrameId) {
        self.frames.store(frame.0 + 1, Ordering::Relaxed);
    }

    pub fn frames(&self) -> u64 {
        self.frames.load(Ordering::Relaxed)
    }
}

/// Rewrites one line on standard error, if that is a terminal.
pub struct ProgressLine {
    progress: Arc<Progress>,
    is_terminal: bool,
    total: Option<u64>,
    last: u64,
}

impl ProgressLine {
    pub fn new(progress: Arc<Progress>, total: Option<u64>) -> Self {
        ProgressLine { progress, is_terminal: std::io::stderr().is_terminal(), total, last: 0 }
    }

    pub fn tick(&mut self, seconds: f64, ai: &str) {
        let frames = self.progress.frames();
        if !self.is_terminal || frames == self.last {
            return;
        }
        self.last = frames;
        let of = self.total.map_or(String::new(), |total| format!(" of {total}"));
        let _ = write!(std::io::stderr(), "\rframe {frames}{of}   {seconds:.0} s   AI {ai}   (Ctrl-C ends the run)\x1b[K");
    }

    pub fn end(&self) {
        if self.is_terminal && self.last > 0 {
            let _ = writeln!(std::io::stderr());
        }
    }
}
