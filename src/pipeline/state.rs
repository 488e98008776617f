//! The appliance's state: two regions, one owner (the display thread), and the screen is a table over both.
//!
//! ```text
//!   signal:  Waiting ─first frame─► Live ─no frame for signal.lost_ms─► Lost ─frame─► Live
//!   ai:      Starting ─ready─► Running ─death, stop, hang─► Degraded ─ready─► Running
//!            Starting ─engine refused─► Blocked
//! ```

use crate::record::{AlarmLine, StateLine};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    Waiting,
    Live,
    Lost,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ai {
    Starting,
    Running,
    /// It was there and is not: died, stopped, hung, or said nonsense.
    Degraded,
    /// It refuses to run; no restart would help.
    Blocked,
}

impl Signal {
    fn name(self) -> &'static str {
        match self {
            Signal::Waiting => "waiting",
            Signal::Live => "live",
            Signal::Lost => "lost",
        }
    }
}

impl Ai {
    pub fn name(self) -> &'static str {
        match self {
            Ai::Starting => "starting",
            Ai::Running => "running",
            Ai::Degraded => "degraded",
            Ai::Blocked => "blocked",
        }
    }
}

/// At most so many state changes and alarms are kept: a run that flaps for hours must not grow.
const KEPT: usize = 1_000;

/// Both regions and their history.
#[derive(Debug)]
pub struct States {
    start_ns: u64,
    signal: Signal,
    ai: Ai,
    history: Vec<StateLine>,
    alarms: Vec<AlarmLine>,
}

impl States {
    pub fn new(start_ns: u64, ai: Ai) -> Self {
        let mut states = States { start_ns, signal: Signal::Waiting, ai, history: Vec::new(), alarms: Vec::new() };
        states.note(start_ns, String::new());
        states
    }

    pub fn signal(&self) -> Signal {
        self.signal
    }

    pub fn ai(&self) -> Ai {
        self.ai
    }

    pub fn set_signal(&mut self, now_ns: u64, signal: Signal) {
        if self.signal != signal {
            self.signal = signal;
            self.note(now_ns, String::new());
            if signal == Signal::Lost {
                self.alarm(now_ns, "SIGNAL-LOST", "no picture comes from the source".into());
            }
        }
    }

    /// `reason` is asked only when the state changes.
    pub fn set_ai(&mut self, now_ns: u64, ai: Ai, reason: impl FnOnce() -> String) {
        if self.ai == ai {
            return;
        }
        self.ai = ai;
        let reason = if matches!(ai, Ai::Degraded | Ai::Blocked) { reason() } else { String::new() };
        match ai {
            Ai::Degraded => self.alarm(now_ns, "AI-DOWN", reason.clone()),
            Ai::Blocked => self.alarm(now_ns, "AI-BLOCKED", reason.clone()),
            Ai::Starting | Ai::Running => {}
        }
        self.note(now_ns, reason);
    }

    pub fn into_history(self) -> (Vec<StateLine>, Vec<AlarmLine>) {
        (self.history, self.alarms)
    }

    fn note(&mut self, now_ns: u64, reason: String) {
        if self.history.len() < KEPT {
            let at_ms = self.at_ms(now_ns);
            self.history.push(StateLine { at_ms, signal: self.signal.name(), ai: self.ai.name(), reason });
        }
    }

    pub fn alarm(&mut self, now_ns: u64, code: &'static str, text: String) {
        tracing::error!(code, "{text}");
        if self.alarms.len() < KEPT {
            self.alarms.push(AlarmLine { at_ms: self.at_ms(now_ns), code, text });
        }
    }

    fn at_ms(&self, now_ns: u64) -> f64 {
        now_ns.saturating_sub(self.start_ns) as f64 / 1e6
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_kept_once_and_bounded() {
        let mut states = States::new(0, Ai::Starting);
        for i in 0..5_000 {
            states.set_ai(i, if i % 2 == 0 { Ai::Running } else { Ai::Degraded }, || "died".into());
        }
        states.set_ai(9_000, Ai::Running, String::new);
        let (history, alarms) = states.into_history();
        assert_eq!((history.len(), alarms.len()), (KEPT, KEPT));
        assert_eq!((history[1].ai, history[2].reason.as_str()), ("running", "died"));
    }
}
