//! How a run goes, for who asks beside it: a line that is rewritten on a terminal, and what systemd shows. Written by the display
//! thread in plain stores.

use crate::base::hud::Signal;
use crate::base::ids::FrameId;
use crate::guard::Ai;
use std::io::{IsTerminal, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

#[derive(Debug, Default)]
pub struct Progress {
    frames: AtomicU64,
    signal: AtomicU8,
    ai: AtomicU8,
}

impl Progress {
    pub fn shown(&self, frame: FrameId) {
        self.frames.store(frame.0 + 1, Ordering::Relaxed);
    }

    pub fn frames(&self) -> u64 {
        self.frames.load(Ordering::Relaxed)
    }

    /// Both regions of the state, as they are now.
    pub fn is(&self, signal: Signal, ai: Ai) {
        self.signal.store(signal as u8, Ordering::Relaxed);
        self.ai.store(ai.index(), Ordering::Relaxed);
    }

    /// One line of both.
    pub fn status(&self) -> String {
        let of = |index: &AtomicU8| usize::from(index.load(Ordering::Relaxed));
        format!("signal {}, AI {}", Signal::NAMES[of(&self.signal)], Ai::NAMES[of(&self.ai)])
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::hud::AiTrouble;

    #[test]
    fn the_line_says_both_regions() {
        let progress = Progress::default();
        assert_eq!(progress.status(), "signal waiting, AI off");
        progress.is(Signal::Lost, Ai::Blocked(AiTrouble::LiveProofWrong));
        assert_eq!(progress.status(), format!("signal {}, AI {}", Signal::Lost.name(), Ai::Blocked(AiTrouble::EngineRefused).name()));
        assert_eq!(progress.status(), "signal lost, AI blocked");
    }
}
