//! Alarms: what has gone wrong, how grave that is, whether it lasts, and whether somebody has seen it. The screen, the log and
//! the report say what stands here, and nothing else. Pure: conditions, times and acknowledgements come in.
//!
//! ```text
//!              raise             acknowledge
//!   (nothing) ───────► Active ──────────────► Known        a latched row:   Active ─clear─► Past ─acknowledge─► (nothing)
//!       ▲                 │ clear                │ clear    any row:         Known ─raise─► Active, as a new alarm
//!       └─────────────────┴──────────────────────┘                           Past  ─raise─► Active, as a new alarm
//! ```
//! Active and Known are both shown: acknowledging says "seen", it hides nothing that lasts. Priorities are the categories of
//! IEC 60601-1-8 (high: somebody must respond at once, medium: promptly, low: be aware); it asks for no time here, and none
//! is invented. There is no sound.

use crate::base::hud::{self, Priority};
use crate::base::texts::{Language, Text};
use crate::base::time_of_day::TimeOfDay;

/// What an alarm is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Code {
    SignalLost,
    SignalFrozen,
    SignalBlack,
    SignalGap,
    SignalTorn,
    SignalOrder,
    SignalDamaged,
    SignalUntrusted,
    SignalRate,
    SignalFormat,
    EyeLost,
    EyeFrozen,
    EyeBlack,
    EyesNotParted,
    MonitorLost,
    CaptureStalled,
    DisplayStalled,
    GpuLost,
    AiDown,
    AiBlocked,
    AiOnProcessor,
    HudHung,
    ControlLost,
    RecordSlow,
    RecordDiskFull,
    RecordFailed,
    RecordStalled,
    FilesIncomplete,
    ClockJumped,
    DelayCreeping,
    DelayStepped,
    DelayOverLimit,
    DelayNotWatched,
}

/// What is said of a code, and what an operator does.
#[derive(Debug, Clone, Copy)]
pub struct Row {
    pub code: Code,
    /// In the log, the report and the manual.
    pub name: &'static str,
    pub priority: Priority,
    /// Said after it has passed, until somebody has acknowledged it: else nobody would know that it was.
    pub is_latched: bool,
    /// On the screen, where its cause has no words of its own.
    pub text: Text,
    pub action: Text,
}

const fn row(code: Code, name: &'static str, priority: Priority, is_latched: bool, text: Text, action: Text) -> Row {
    Row { code, name, priority, is_latched, text, action }
}

const LATCHED: bool = true;
const PASSES: bool = false;

/// Every alarm that there is, in the order of `Code`.
#[rustfmt::skip]
pub const TABLE: [Row; 33] = {
    use Priority::{High, Low, Medium};
    [
        row(Code::SignalLost,     "SIGNAL-LOST",      High,   PASSES,  Text::NoPictureComes,   Text::DoCheckSource),
        // While it stood, somebody may have taken it for live.
        row(Code::SignalFrozen,   "SIGNAL-FROZEN",    High,   LATCHED, Text::PictureStands,    Text::DoCheckSource),
        row(Code::SignalBlack,    "SIGNAL-BLACK",     High,   PASSES,  Text::PictureIsBlack,   Text::DoCheckLight),
        row(Code::SignalGap,      "SIGNAL-GAP",       Low,    PASSES,  Text::PicturesMissed,   Text::DoCheckSource),
        row(Code::SignalTorn,     "SIGNAL-TORN",      Low,    PASSES,  Text::PictureTorn,      Text::DoCheckSource),
        row(Code::SignalOrder,    "SIGNAL-ORDER",     Low,    PASSES,  Text::PictureOutOfOrder, Text::DoCheckSource),
        row(Code::SignalDamaged,  "SIGNAL-DAMAGED",   Low,    PASSES,  Text::PictureDamaged,   Text::DoCheckSource),
        // As a frozen one: somebody may have trusted it.
        row(Code::SignalUntrusted, "SIGNAL-UNTRUSTED", High,  LATCHED, Text::PicturesTorn,     Text::DoCheckSource),
        row(Code::SignalRate,     "SIGNAL-RATE",      Medium, PASSES,  Text::RateIsWrong,      Text::DoCheckSource),
        // It has happened with its first picture: nobody would read a line that is gone with the next.
        row(Code::SignalFormat,   "SIGNAL-FORMAT",    Low,    LATCHED, Text::FormatChanged,    Text::DoCheckSource),
        row(Code::EyeLost,        "EYE-LOST",         Medium, PASSES,  Text::LeftEyeGone,      Text::DoCheckSource),
        row(Code::EyeFrozen,      "EYE-FROZEN",       High,   LATCHED, Text::LeftEyeStands,    Text::DoCheckSource),
        row(Code::EyeBlack,       "EYE-BLACK",        Medium, PASSES,  Text::LeftEyeBlack,     Text::DoCheckLight),
        row(Code::EyesNotParted,  "EYES-NOT-PARTED",  Medium, PASSES,  Text::EyesNotParted,    Text::DoCheckStereo),
        // Nobody saw it where it happened.
        row(Code::MonitorLost,    "MONITOR-LOST",     High,   LATCHED, Text::MonitorLost,      Text::DoCheckMonitor),
        row(Code::CaptureStalled, "CAPTURE-STALLED",  High,   LATCHED, Text::CaptureStalled,   Text::DoCheckSource),
        // The process ends with it: it is in the log alone.
        row(Code::DisplayStalled, "DISPLAY-STALLED",  High,   LATCHED, Text::DisplayStalled,   Text::DoCallService),
        // The picture goes on by another way, which may be slower.
        row(Code::GpuLost,        "GPU-LOST",         Medium, LATCHED, Text::GpuLost,          Text::DoCallService),
        row(Code::AiDown,         "AI-DOWN",          Medium, PASSES,  Text::AiFault,          Text::DoWithoutAi),
        row(Code::AiBlocked,      "AI-BLOCKED",       Medium, PASSES,  Text::EngineRefused,    Text::DoWithoutAiAndCall),
        // Its engine there may see less, and another run may have the device again.
        row(Code::AiOnProcessor,  "AI-ON-PROCESSOR",  Low,    LATCHED, Text::AiOnProcessor,    Text::DoCallService),
        // While it hung, nothing could be said.
        row(Code::HudHung,        "HUD-HUNG",         Medium, LATCHED, Text::HudHung,          Text::DoCallService),
        row(Code::ControlLost,    "CONTROL-LOST",     Medium, PASSES,  Text::FootswitchGone,   Text::DoPlugIn),
        row(Code::RecordSlow,     "RECORD-SLOW",      Low,    LATCHED, Text::RecordingLost,    Text::DoCheckDisk),
        row(Code::RecordDiskFull, "RECORD-DISK-FULL", Low,    LATCHED, Text::RecordingFull,    Text::DoCheckDisk),
        row(Code::RecordFailed,   "RECORD-FAILED",    Low,    LATCHED, Text::RecordingFailed,  Text::DoCheckDisk),
        row(Code::RecordStalled,  "RECORD-STALLED",   Low,    LATCHED, Text::RecordStalled,    Text::DoCheckDisk),
        row(Code::FilesIncomplete, "FILES-INCOMPLETE", Low,   LATCHED, Text::FilesIncomplete,  Text::DoCheckDisk),
        // It has happened with the moment in which it is seen.
        row(Code::ClockJumped,    "CLOCK-JUMPED",     Low,    LATCHED, Text::ClockJumped,      Text::DoCheckClock),
        // Nothing is wrong yet: there are hours left.
        row(Code::DelayCreeping,  "DELAY-CREEPING",   Low,    LATCHED, Text::DelayCreeping,    Text::DoMeasureDelay),
        // It has happened: somebody has set the monitor differently, or a box between has begun to hold pictures back.
        row(Code::DelayStepped,   "DELAY-STEPPED",    Low,    LATCHED, Text::DelayStepped,     Text::DoCheckMonitorMode),
        // Hand and eye come apart.
        row(Code::DelayOverLimit, "DELAY-OVER-LIMIT", High,   LATCHED, Text::DelayOverLimit,   Text::DoCheckMonitorMode),
        row(Code::DelayNotWatched, "DELAY-NOT-WATCHED", Low,  PASSES,  Text::DelayNotWatched,  Text::DoCheckLoop),
    ]
};

impl Code {
    pub fn row(self) -> &'static Row {
        &TABLE[self as usize]
    }

    pub fn name(self) -> &'static str {
        self.row().name
    }

    pub fn of_name(name: &str) -> Option<Code> {
        TABLE.iter().find(|row| row.name == name).map(|row| row.code)
    }
}

/// What is wrong: which of several parts of its kind, and in which words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cause {
    pub code: Code,
    /// An eye, a control; 0 where there is one of it.
    pub part: u8,
    pub text: Text,
    /// What an engineer looks up, where the alarm's name is not enough.
    pub lookup: Option<&'static str>,
}

impl From<Code> for Cause {
    fn from(code: Code) -> Self {
        Cause { code, part: 0, text: code.row().text, lookup: None }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standing {
    /// It lasts, and nobody has said that he has seen it.
    Active,
    /// It lasts, and is known.
    Known,
    /// It has passed, and nobody has said that he has seen it.
    Past,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Open {
    cause: Cause,
    standing: Standing,
    /// Of the latest time that it was raised.
    raised_ns: u64,
}

/// One alarm of the run, for its report. Times: CLOCK_MONOTONIC, ns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    pub code: Code,
    pub part: u8,
    pub at_ns: u64,
    pub text: String,
    pub cleared_ns: Option<u64>,
    pub acknowledged_ns: Option<u64>,
}

/// At most so many are kept for the report: a run that flaps for hours must not grow. What is open is always known.
pub const KEPT: usize = 10_000;

/// All alarms of a run.
#[derive(Debug, Default)]
pub struct Alarms {
    open: Vec<Open>,
    kept: Vec<Record>,
    changes: u64,
}

impl Alarms {
    /// A condition has come up. While it lasts, the same cause again is no news until it was acknowledged.
    pub fn raise(&mut self, now_ns: u64, cause: impl Into<Cause>, text: String) {
        let cause = cause.into();
        let (code, part) = (cause.code, cause.part);
        let fresh = Open { cause, standing: Standing::Active, raised_ns: now_ns };
        match self.open.iter_mut().find(|open| (open.cause.code, open.cause.part) == (code, part)) {
            Some(open) if open.standing == Standing::Active && open.cause == cause => return,
            Some(open) => *open = fresh,
            None => self.open.push(fresh),
        }
        self.changes += 1;
        let row = code.row();
        let (priority, action) = (row.priority.name(), row.action.of(Language::En));
        tracing::error!(code = row.name, lookup = cause.lookup.unwrap_or(""), priority, action, "{text}");
        // What it was before has ended with this.
        self.close(now_ns, code, part);
        if self.kept.len() < KEPT {
            self.kept.push(Record { code, part, at_ns: now_ns, text, cleared_ns: None, acknowledged_ns: None });
        }
    }

    /// The condition is gone.
    pub fn clear(&mut self, now_ns: u64, code: Code, part: u8) {
        let Some(at) = self.open.iter().position(|open| (open.cause.code, open.cause.part) == (code, part)) else { return };
        let open = &mut self.open[at];
        match (open.standing, code.row().is_latched) {
            (Standing::Past, _) => return,
            (Standing::Active, true) => open.standing = Standing::Past,
            (Standing::Active, false) | (Standing::Known, _) => {
                self.open.remove(at);
            }
        }
        self.changes += 1;
        tracing::info!(code = code.name(), "it has passed");
        self.close(now_ns, code, part);
    }

    /// Raised where `is_so`, else cleared.
    pub fn set(&mut self, now_ns: u64, cause: impl Into<Cause>, is_so: bool, text: impl FnOnce() -> String) {
        let cause = cause.into();
        let stands = self.standing(cause.code, cause.part);
        if !is_so {
            self.clear(now_ns, cause.code, cause.part);
        } else if stands.is_none_or(|standing| standing == Standing::Past) {
            self.raise(now_ns, cause, text());
        }
    }

    /// Somebody has seen all that is said.
    pub fn acknowledge(&mut self, now_ns: u64) {
        self.open.retain_mut(|open| {
            let is_past = open.standing == Standing::Past;
            open.standing = Standing::Known;
            !is_past
        });
        self.changes += 1;
        for record in self.kept.iter_mut().filter(|record| record.acknowledged_ns.is_none()) {
            record.acknowledged_ns = Some(now_ns);
        }
        tracing::info!(open = self.open.len(), "alarms were acknowledged");
    }

    pub fn standing(&self, code: Code, part: u8) -> Option<Standing> {
        self.open.iter().find(|open| (open.cause.code, open.cause.part) == (code, part)).map(|open| open.standing)
    }

    /// Counts what has changed: who keeps the last number knows whether there is something new to say.
    pub fn changes(&self) -> u64 {
        self.changes
    }

    /// What the screen says, the gravest first: what lasts before what has passed, high before low, unseen before known.
    pub fn lines(&self, time_of_day: impl Fn(u64) -> TimeOfDay) -> Vec<hud::Alarm> {
        let mut open: Vec<&Open> = self.open.iter().collect();
        open.sort_by_key(|open| (open.standing == Standing::Past, open.cause.code.row().priority, open.standing, open.raised_ns));
        open.into_iter()
            .map(|open| hud::Alarm {
                text: open.cause.text,
                lookup: open.cause.lookup,
                priority: open.cause.code.row().priority,
                was: (open.standing == Standing::Past).then(|| time_of_day(open.raised_ns)),
                is_acknowledged: open.standing == Standing::Known,
            })
            .collect()
    }

    pub fn records(&self) -> &[Record] {
        &self.kept
    }

    fn close(&mut self, now_ns: u64, code: Code, part: u8) {
        let of = |record: &&mut Record| (record.code, record.part) == (code, part) && record.cleared_ns.is_none();
        if let Some(record) = self.kept.iter_mut().rev().find(of) {
            record.cleared_ns = Some(now_ns);
        }
    }
}

#[cfg(test)]
#[path = "alarm_tests.rs"]
mod tests;
