//! The appliance's state: two regions and the alarms, with ONE owner (the display thread, which alone holds a `States`). The
//! screen is a table over both regions. Pure: what happened and when comes in; nothing is asked, drawn or waited for here.
//!
//! ```text
//!   signal:  Waiting ─first picture─► Live ─error, end, or no picture for signal.lost_ms─► Lost ─picture─► Live
//!                                     Live ◄─moves, lit─► Frozen, Black (pictures come, and show nothing that lives)
//!                                     Live ◄─whole, in order─► Untrusted (torn or damaged pictures, or old ones among the new, keep
//!                                                              coming; a single one, a wrong rate, another format: alarms alone)
//!
//!   ai:      what the worker is      Starting ─ready─► Running ─death, stop, hang─► Degraded ─ready─► Running
//!                                    Running ◄─in time again─► Degraded (what it says comes too late: `Freshness`)
//!                                    Starting ─engine refused─► Blocked ◄─live proof wrong or missing─ Running
//!                                    Held (shown as Testing) ─the self-tests allow it─► Starting
//!            over it lies            a block (a self-test, a live proof): latched until it is lifted, whatever the worker says;
//!                                    a hold (the delay to the monitor is over its limit): while it is measured to be so
//!            over that               Testing: a self-test runs; when it ends, the block or the worker shows again
//!            over all                Off: by choice there is no AI in this run; or its process is blocked for good: no test changes that
//!
//!   screen   │ Running       Stale, Unknown   Off, Starting, Testing, Degraded, Blocked
//!   ─────────┼───────────────────────────────────────────────────────────────────────
//!   Live     │ overlay       AI STALE, …      AI OFF, no overlay
//!   Frozen   │ FROZEN PICTURE, no overlay         \
//!   Black    │ BLACK PICTURE, no overlay           } whatever the AI does
//!   Untrusted│ FAULTY PICTURE, no overlay         /
//!   Waiting, │ NO SIGNAL, no picture             /
//!   Lost     │
//! ```
//! (`base::hud::banner` is that table; `shows_overlay` its first row.)

use crate::base::hud::{AiTrouble, Signal};
use crate::base::texts::Text;
use crate::guard::alarm::{Alarms, Cause, Code};
use crate::guard::gate::Block;

/// What the AI of this run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ai {
    /// By choice: this run has none.
    Off,
    Starting,
    /// A self-test runs: nothing of the AI is shown.
    Testing,
    Running,
    /// It was there and is not: died, stopped, hung, or said nonsense.
    Degraded(AiTrouble),
    /// It may not run, or refuses to; no restart would help.
    Blocked(AiTrouble),
}

impl Ai {
    /// By `index`.
    pub const NAMES: [&'static str; 6] = ["off", "starting", "testing", "running", "degraded", "blocked"];

    pub fn index(self) -> u8 {
        match self {
            Ai::Off => 0,
            Ai::Starting => 1,
            Ai::Testing => 2,
            Ai::Running => 3,
            Ai::Degraded(_) => 4,
            Ai::Blocked(_) => 5,
        }
    }

    /// In the log and the report.
    pub fn name(self) -> &'static str {
        Self::NAMES[usize::from(self.index())]
    }
}

/// What the AI process is, as its parent sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Worker {
    /// Not started: the self-tests have not allowed it yet.
    Held,
    Starting,
    Running,
    Down(AiTrouble),
    /// It refuses its engine, or did not prove itself: no other is started.
    Blocked(AiTrouble),
}

/// How many pictures have a flaw.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Flaw {
    #[default]
    None,
    /// One had it a moment ago.
    Single,
    /// They keep coming.
    Stream,
}

/// What the source says of its pictures. Eyes: left and right of a stereo picture; of a picture that is one, both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum News {
    /// They are all the same, or move again.
    Frozen([bool; 2], bool),
    /// They are black, or lit again.
    Black([bool; 2], bool),
    /// No picture comes for these eyes, while the other one is shown; or it is back.
    Absent([bool; 2], bool),
    /// Pictures come again after a loss.
    Back,
    /// Pictures were missing for a moment.
    Gap,
    /// Their rows are of two moments.
    Torn(Flaw),
    /// Old ones come among the new.
    OutOfOrder(Flaw),
    /// Who decodes them says that something in them is missing or wrong.
    Damaged(Flaw),
    /// They do not come at the announced rate, or do again.
    RateWrong(bool),
    /// Size, pixel format or colorimetry are others.
    Format,
    /// A stereo picture cannot be parted into its eyes, or can again.
    Unparted(bool),
    /// Something else, for the history.
    Told,
}

/// Words to the owner of the state from other threads: a gate, a proof, a watchdog.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Word {
    /// The AI may not run until `Lift`. `words`: for the log and the report.
    Block {
        trouble: AiTrouble,
        words: String,
    },
    Lift,
    /// A self-test has begun, or has ended.
    Testing(bool),
    /// Something has changed since the last full self-test, and the AI may run all the same: said, and no alarm.
    Changed {
        words: String,
    },
    /// The AI may not be shown while this lasts, until `Release` of the same; a block that stands beside it is not touched.
    Hold {
        trouble: AiTrouble,
        words: String,
    },
    Release {
        trouble: AiTrouble,
    },
    Raise {
        cause: Cause,
        words: String,
    },
    Clear {
        code: Code,
        part: u8,
    },
}

/// A line of the history: what both regions were from then on, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateChange {
    /// CLOCK_MONOTONIC, ns.
    pub at_ns: u64,
    pub signal: Signal,
    pub ai: Ai,
    pub reason: String,
}

/// At most so many changes are kept: a run that flaps for hours must not grow.
pub const KEPT: usize = 10_000;

/// Both regions, their history and the alarms.
#[derive(Debug)]
pub struct States {
    start_ns: u64,
    signal: Signal,
    /// A recording may hold a still picture: that is reported, and shown as it is.
    is_live: bool,
    /// Of the left and the right eye; of a picture that is one both are the same.
    frozen: [bool; 2],
    black: [bool; 2],
    /// Its half is black, because no picture comes for it.
    absent: [bool; 2],
    torn: Flaw,
    out_of_order: Flaw,
    damaged: Flaw,
    /// What the source said of its return, before the first picture was shown.
    back: Option<String>,
    /// As it is shown.
    ai: Ai,
    has_ai: bool,
    worker: Worker,
    /// Why it is down or refuses.
    worker_trouble: String,
    /// What a process says that runs comes too late to be shown.
    is_slow: bool,
    block: Option<(AiTrouble, String)>,
    /// What lasts and passes by itself: it is measured all the time.
    hold: Option<(AiTrouble, String)>,
    is_testing: bool,
    is_changed: bool,
    history: Vec<StateChange>,
    alarms: Alarms,
}

impl States {
    /// Of a run with AI.
    pub fn new(start_ns: u64, is_live: bool) -> Self {
        Self::begun(start_ns, is_live, true)
    }

    /// Of a run that is to have none.
    pub fn without_ai(start_ns: u64, is_live: bool) -> Self {
        Self::begun(start_ns, is_live, false)
    }

    fn begun(start_ns: u64, is_live: bool, has_ai: bool) -> Self {
        let nothing = [false; 2];
        let mut states = States {
            start_ns,
            signal: Signal::Waiting,
            is_live,
            frozen: nothing,
            black: nothing,
            absent: nothing,
            torn: Flaw::None,
            out_of_order: Flaw::None,
            damaged: Flaw::None,
            back: None,
            ai: if has_ai { Ai::Starting } else { Ai::Off },
            has_ai,
            worker: Worker::Starting,
            worker_trouble: String::new(),
            is_slow: false,
            block: None,
            hold: None,
            is_testing: false,
            is_changed: false,
            history: Vec::new(),
            alarms: Alarms::default(),
        };
        states.note(start_ns, String::new());
        states
    }

    pub fn start_ns(&self) -> u64 {
        self.start_ns
    }

    pub fn signal(&self) -> Signal {
        self.signal
    }

    pub fn ai(&self) -> Ai {
        self.ai
    }

    /// What the AI finds may be shown.
    pub fn shows_overlay(&self) -> bool {
        (self.signal, self.ai) == (Signal::Live, Ai::Running)
    }

    /// Nothing will come of the AI unless somebody does something.
    pub fn is_ai_out(&self) -> bool {
        matches!(self.ai, Ai::Off | Ai::Testing | Ai::Blocked(_))
    }

    /// Something has changed since the last full self-test.
    pub fn is_changed(&self) -> bool {
        self.is_changed
    }

    pub fn alarms(&self) -> &Alarms {
        &self.alarms
    }

    pub fn history(&self) -> &[StateChange] {
        &self.history
    }

    /// A picture is shown.
    pub fn picture(&mut self, now_ns: u64) {
        // Of what is black it does not matter whether it is also frozen. An eye that is black is seen to be; one that is frozen is
        // not, and with it nobody can trust the picture.
        let is_frozen = |eye: &usize| self.frozen[*eye] && !self.black[*eye];
        let signal = match self.black {
            [true, true] => Signal::Black,
            _ if [0, 1].iter().any(is_frozen) => Signal::Frozen,
            _ if [self.torn, self.out_of_order, self.damaged].contains(&Flaw::Stream) => Signal::Untrusted,
            _ => Signal::Live,
        };
        let reason = self.back.take().unwrap_or_default();
        self.alarms.clear(now_ns, Code::SignalLost, 0);
        self.set_signal(now_ns, signal, reason);
    }

    /// The source was interrupted: what was said of its pictures is said anew where it still holds.
    pub fn interrupted(&mut self, now_ns: u64) {
        (self.frozen, self.black, self.absent) = Default::default();
        (self.torn, self.out_of_order, self.damaged) = Default::default();
        self.alarms.clear(now_ns, Code::SignalRate, 0);
        self.judge_eyes(now_ns);
        self.judge_flaws(now_ns);
    }

    /// No picture comes.
    pub fn lose(&mut self, now_ns: u64, reason: &str) {
        if self.signal != Signal::Lost {
            self.alarms.raise(now_ns, Code::SignalLost, reason.to_owned());
            self.set_signal(now_ns, Signal::Lost, reason.to_owned());
        }
    }

    /// What the source says of its pictures, and in which words; a loss is `lose`.
    pub fn notice(&mut self, now_ns: u64, news: News, text: String) {
        let put = |place: &mut [bool; 2], eyes: [bool; 2], is_so: bool| {
            place.iter_mut().zip(eyes).filter(|(_, eye)| *eye).for_each(|(place, _)| *place = is_so);
        };
        match news {
            News::Frozen(eyes, is_so) => put(&mut self.frozen, eyes, is_so && self.is_live),
            News::Black(eyes, is_so) => put(&mut self.black, eyes, is_so && self.is_live),
            News::Absent(eyes, is_so) => {
                put(&mut self.absent, eyes, is_so);
                put(&mut self.frozen, eyes, false);
                put(&mut self.black, eyes, false);
            }
            News::Back => self.absent = [false; 2],
            News::Gap if self.is_live => {
                self.alarms.raise(now_ns, Code::SignalGap, text.clone());
                self.alarms.clear(now_ns, Code::SignalGap, 0);
            }
            News::Unparted(is_so) => self.alarms.set(now_ns, Code::EyesNotParted, is_so && self.is_live, || text.clone()),
            News::Torn(flaw) if self.is_live => self.torn = flaw,
            News::OutOfOrder(flaw) if self.is_live => self.out_of_order = flaw,
            News::Damaged(flaw) if self.is_live => self.damaged = flaw,
            News::RateWrong(is_so) => self.alarms.set(now_ns, Code::SignalRate, is_so && self.is_live, || text.clone()),
            News::Format if self.is_live => {
                self.alarms.raise(now_ns, Code::SignalFormat, text.clone());
                self.alarms.clear(now_ns, Code::SignalFormat, 0);
            }
            News::Gap | News::Format | News::Torn(_) | News::OutOfOrder(_) | News::Damaged(_) | News::Told => {}
        }
        self.judge_eyes(now_ns);
        self.judge_flaws(now_ns);
        if self.signal == Signal::Lost && news == News::Back {
            self.back = Some(text);
            return;
        }
        let before = self.signal;
        if !matches!(self.signal, Signal::Waiting | Signal::Lost) {
            self.picture(now_ns);
        }
        match self.history.last_mut() {
            Some(line) if self.signal != before => line.reason = text,
            _ => self.note(now_ns, text),
        }
    }

    /// Each eye has one alarm at most: what is not there, is black, or is frozen, in this order; both the same are the picture's.
    fn judge_eyes(&mut self, now_ns: u64) {
        let black = [0, 1].map(|eye| self.black[eye] && !self.absent[eye]);
        let frozen = [0, 1].map(|eye| self.frozen[eye] && !self.black[eye] && !self.absent[eye]);
        let (is_black, is_frozen) = (black == [true; 2], frozen == [true; 2]);
        self.alarms.set(now_ns, Code::SignalBlack, is_black, || "the picture is black".into());
        self.alarms.set(now_ns, Code::SignalFrozen, is_frozen, || "the source repeats one picture".into());
        for eye in [0, 1] {
            let name = ["left", "right"][eye];
            let cause = |code: Code| Cause { part: eye as u8, text: eye_text(code, eye), ..code.into() };
            let mut set = |code, is_so, what: &str| self.alarms.set(now_ns, cause(code), is_so, || format!("the {name} eye {what}"));
            set(Code::EyeLost, self.absent[eye], "is lost; the other is shown");
            set(Code::EyeBlack, black[eye] && !is_black, "is black; the other one is not");
            set(Code::EyeFrozen, frozen[eye] && !is_frozen, "repeats one picture; the other one does not");
        }
    }

    /// A single flaw is a line that passes; a stream of them takes the picture's trust.
    fn judge_flaws(&mut self, now_ns: u64) {
        for (part, flaw, single, text, words) in [
            (0, self.torn, Code::SignalTorn, Text::PicturesTorn, ["a picture was torn", "the source gives torn pictures"]),
            (
                1,
                self.out_of_order,
                Code::SignalOrder,
                Text::PicturesOutOfOrder,
                ["a picture came out of order", "the source gives pictures out of order"],
            ),
            (2, self.damaged, Code::SignalDamaged, Text::PicturesDamaged, ["a picture was damaged", "the source gives damaged pictures"]),
        ] {
            self.alarms.set(now_ns, single, flaw == Flaw::Single, || words[0].into());
            let stream = Cause { part, text, ..Code::SignalUntrusted.into() };
            self.alarms.set(now_ns, stream, flaw == Flaw::Stream, || words[1].into());
        }
    }

    /// What the AI process is. `reason` is asked only when it goes down or refuses.
    pub fn worker(&mut self, now_ns: u64, worker: Worker, reason: impl FnOnce() -> String) {
        // A restart is not a recovery: degraded until it runs again.
        let is_restart = worker == Worker::Starting && matches!(self.worker, Worker::Down(_));
        if is_restart || worker == self.worker {
            return;
        }
        self.worker = worker;
        self.worker_trouble = if matches!(worker, Worker::Down(_) | Worker::Blocked(_)) { reason() } else { String::new() };
        self.settle(now_ns);
    }

    /// Whether what a process says that runs comes too late to be shown: nothing of it is, until it comes in time again.
    pub fn slow(&mut self, now_ns: u64, is_slow: bool) {
        if std::mem::replace(&mut self.is_slow, is_slow) != is_slow {
            self.settle(now_ns);
        }
    }

    /// From now on the AI may not run, whatever its process says, until `lift`.
    pub fn block(&mut self, now_ns: u64, trouble: AiTrouble, words: String) {
        self.block = Some((trouble, words));
        self.settle(now_ns);
    }

    /// What blocked the AI holds no longer. A process that is blocked for good stays so.
    pub fn lift(&mut self, now_ns: u64) {
        self.block = None;
        self.settle(now_ns);
    }

    /// A self-test of the AI has begun, or has ended.
    pub fn testing(&mut self, now_ns: u64, is_testing: bool) {
        self.is_testing = is_testing;
        self.settle(now_ns);
    }

    /// A word from another thread.
    pub fn hear(&mut self, now_ns: u64, word: Word) {
        match word {
            Word::Block { trouble, words } => self.block(now_ns, trouble, words),
            Word::Lift => self.lift(now_ns),
            Word::Testing(is_testing) => self.testing(now_ns, is_testing),
            Word::Changed { words } => {
                self.is_changed = true;
                self.note(now_ns, words);
            }
            Word::Hold { trouble, words } => {
                self.hold = Some((trouble, words));
                self.settle(now_ns);
            }
            Word::Release { trouble } => {
                self.hold.take_if(|(held, _)| *held == trouble);
                self.settle(now_ns);
            }
            Word::Raise { cause, words } => self.alarms.raise(now_ns, cause, words),
            Word::Clear { code, part } => self.alarms.clear(now_ns, code, part),
        }
    }

    /// The state of the AI out of all that bears on it.
    fn settle(&mut self, now_ns: u64) {
        let (ai, reason) = match (self.worker, self.block.as_ref().or(self.hold.as_ref())) {
            _ if !self.has_ai => (Ai::Off, ""),
            (Worker::Blocked(trouble), _) => (Ai::Blocked(trouble), &*self.worker_trouble),
            _ if self.is_testing => (Ai::Testing, ""),
            (_, Some((trouble, words))) => (Ai::Blocked(*trouble), &**words),
            (Worker::Held, None) => (Ai::Testing, ""),
            (Worker::Starting, None) => (Ai::Starting, ""),
            (Worker::Running, None) if self.is_slow => (Ai::Degraded(AiTrouble::Slow), "what the AI says comes too late to be shown"),
            (Worker::Running, None) => (Ai::Running, ""),
            (Worker::Down(trouble), None) => (Ai::Degraded(trouble), &*self.worker_trouble),
        };
        if self.ai == ai {
            return;
        }
        let reason = reason.to_owned();
        self.ai = ai;
        let said = |code: Code, trouble: AiTrouble| Cause { text: trouble.text(), lookup: trouble.lookup(), ..code.into() };
        let up = match ai {
            Ai::Degraded(trouble) => Some(said(Code::AiDown, trouble)),
            Ai::Blocked(trouble) => Some(said(Code::AiBlocked, trouble)),
            Ai::Off | Ai::Starting | Ai::Testing | Ai::Running => None,
        };
        for code in [Code::AiDown, Code::AiBlocked] {
            match up.filter(|up| up.code == code) {
                Some(cause) => self.alarms.raise(now_ns, cause, reason.clone()),
                None => self.alarms.clear(now_ns, code, 0),
            }
        }
        self.note(now_ns, reason);
    }

    pub fn raise(&mut self, now_ns: u64, cause: impl Into<Cause>, text: String) {
        self.alarms.raise(now_ns, cause, text);
    }

    /// Raised where `is_so` and not yet, else cleared: may be said each turn.
    pub fn set(&mut self, now_ns: u64, cause: impl Into<Cause>, is_so: bool, text: impl FnOnce() -> String) {
        self.alarms.set(now_ns, cause, is_so, text);
    }

    pub fn clear(&mut self, now_ns: u64, code: Code, part: u8) {
        self.alarms.clear(now_ns, code, part);
    }

    /// Somebody has seen all alarms.
    pub fn acknowledge(&mut self, now_ns: u64) {
        self.alarms.acknowledge(now_ns);
    }

    /// Something to be kept that changes neither region.
    pub fn note(&mut self, at_ns: u64, reason: String) {
        if self.history.len() < KEPT {
            self.history.push(StateChange { at_ns, signal: self.signal, ai: self.ai, reason });
        }
    }

    fn set_signal(&mut self, now_ns: u64, signal: Signal, reason: String) {
        if self.signal != signal {
            self.signal = signal;
            self.note(now_ns, reason);
        }
    }
}

fn eye_text(code: Code, eye: usize) -> Text {
    let texts = match code {
        Code::EyeLost => [Text::LeftEyeGone, Text::RightEyeGone],
        Code::EyeBlack => [Text::LeftEyeBlack, Text::RightEyeBlack],
        Code::EyeFrozen => [Text::LeftEyeStands, Text::RightEyeStands],
        _ => [code.row().text; 2],
    };
    texts[eye]
}

/// What a gate's refusal is to the state.
impl From<&Block> for AiTrouble {
    fn from(block: &Block) -> Self {
        match block {
            Block::NoSelfTest => AiTrouble::NotSelfTested,
            Block::Failed { .. } => AiTrouble::SelfTestFailed,
            Block::ChangedSince { .. } => AiTrouble::ChangedSinceTest,
            Block::NeverFull => AiTrouble::NeverFullTested,
            Block::FullFailed { .. } => AiTrouble::FullTestFailed,
            Block::CableNeverProven => AiTrouble::CableNeverTested,
            Block::CableFailed => AiTrouble::CableTestFailed,
            Block::CableProofTooOld { .. } => AiTrouble::CableTestTooOld,
            Block::ClockBeforeProof => AiTrouble::ClockBehind,
            Block::EnginesFailed { .. } => AiTrouble::EnginesFailed,
        }
    }
}

impl From<&Block> for Word {
    fn from(block: &Block) -> Self {
        Word::Block { trouble: block.into(), words: block.to_string() }
    }
}

#[cfg(test)]
#[path = "state_tests.rs"]
mod tests;
