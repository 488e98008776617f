//! The appliance's state: two regions, one owner (the display thread), and the screen is a table over both.
//!
//! ```text
//!   signal:  Waiting ─first frame─► Live ─error, end, or no frame for signal.lost_ms─► Lost ─frame─► Live
//!                                   Live ◄─moves, lit─► Frozen, Black (pictures come, and show nothing that lives)
//!   ai:      Starting ─ready─► Running ─death, stop, hang─► Degraded ─ready─► Running
//!            Starting ─engine refused─► Blocked
//! ```

use crate::base::hud::EyeTrouble;
use crate::capture::SignalEvent;
use crate::display::{MonitorEvent, MonitorNote};
use crate::pipeline::inputs::DeviceNote;
use crate::record::{AlarmLine, StateLine};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    Waiting,
    Live,
    /// Pictures come, and all are the same one.
    Frozen,
    /// Pictures come, and all are black.
    Black,
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
            Signal::Frozen => "frozen",
            Signal::Black => "black",
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
    /// A recording may hold a still picture: that is reported, and shown as it is.
    is_live: bool,
    /// Of the left and the right eye; of a picture that is one both are the same.
    frozen: [bool; 2],
    black: [bool; 2],
    /// Its half is black, because no picture comes for it.
    absent: [bool; 2],
    /// What the source said of its return, before the first picture was shown.
    back: Option<String>,
    ai: Ai,
    history: Vec<StateLine>,
    alarms: Vec<AlarmLine>,
}

impl States {
    pub fn new(start_ns: u64, ai: Ai, is_live: bool) -> Self {
        let (history, alarms) = (Vec::new(), Vec::new());
        let (signal, nothing) = (Signal::Waiting, [false; 2]);
        let mut states =
            States { start_ns, signal, is_live, frozen: nothing, black: nothing, absent: nothing, back: None, ai, history, alarms };
        states.note(start_ns, String::new());
        states
    }

    pub fn signal(&self) -> Signal {
        self.signal
    }

    pub fn ai(&self) -> Ai {
        self.ai
    }

    /// A picture is shown.
    pub fn picture(&mut self, now_ns: u64) {
        // Of what is black it does not matter whether it is also frozen. An eye that is black is seen to be; one that is frozen is
        // not, and with it nobody can trust the picture.
        let is_frozen = |eye: &usize| self.frozen[*eye] && !self.black[*eye];
        let signal = match self.black {
            [true, true] => Signal::Black,
            _ if [0, 1].iter().any(is_frozen) => Signal::Frozen,
            _ => Signal::Live,
        };
        let reason = self.back.take().unwrap_or_default();
        self.set_signal(now_ns, signal, reason);
    }

    /// The source was interrupted: what was said of its pictures is said anew where it still holds.
    pub fn interrupted(&mut self) {
        (self.frozen, self.black, self.absent) = Default::default();
    }

    /// What is wrong with one eye while the other one is well.
    pub fn eyes(&self) -> [Option<EyeTrouble>; 2] {
        [0, 1].map(|eye| match (self.absent[eye], self.black[eye], self.frozen[eye]) {
            (true, ..) => Some(EyeTrouble::Absent),
            (_, true, _) if !self.black[1 - eye] => Some(EyeTrouble::Black),
            (_, false, true) if !self.frozen[1 - eye] => Some(EyeTrouble::Frozen),
            _ => None,
        })
    }

    /// No picture comes.
    pub fn lose(&mut self, now_ns: u64, reason: &str) {
        if self.signal != Signal::Lost {
            self.alarm(now_ns, "SIGNAL-LOST", reason.to_owned());
            self.set_signal(now_ns, Signal::Lost, reason.to_owned());
        }
    }

    /// What the source says of its signal; a loss is `lose`.
    pub fn notice(&mut self, now_ns: u64, event: &SignalEvent) {
        let text = event.to_string();
        let alarm = match event {
            SignalEvent::Frozen => Some("SIGNAL-FROZEN"),
            SignalEvent::Black => Some("SIGNAL-BLACK"),
            SignalEvent::Gap { .. } => Some("SIGNAL-GAP"),
            SignalEvent::EyeLost { .. } => Some("EYE-LOST"),
            SignalEvent::EyeFrozen { .. } => Some("EYE-FROZEN"),
            SignalEvent::EyeBlack { .. } => Some("EYE-BLACK"),
            SignalEvent::Parted { failure: Some(_) } => Some("EYES-NOT-PARTED"),
            _ => None,
        };
        match event {
            SignalEvent::Frozen => self.frozen = [self.is_live; 2],
            SignalEvent::Moving => self.frozen = [false; 2],
            SignalEvent::Black => self.black = [self.is_live; 2],
            SignalEvent::Lit => self.black = [false; 2],
            SignalEvent::EyeFrozen { eye } => self.frozen[*eye as usize] = self.is_live,
            SignalEvent::EyeMoving { eye } => self.frozen[*eye as usize] = false,
            SignalEvent::EyeBlack { eye } => self.black[*eye as usize] = self.is_live,
            SignalEvent::EyeLit { eye } => self.black[*eye as usize] = false,
            SignalEvent::EyeLost { eye, .. } => {
                let eye = *eye as usize;
                (self.frozen[eye], self.black[eye], self.absent[eye]) = (false, false, true);
            }
            SignalEvent::EyeBack { eye, .. } => self.absent[*eye as usize] = false,
            SignalEvent::Back { .. } => self.absent = [false; 2],
            _ => {}
        }
        if let (Some(code), true) = (alarm, self.is_live) {
            self.alarm(now_ns, code, text.clone());
        }
        if self.signal == Signal::Lost && matches!(event, SignalEvent::Back { .. }) {
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

    /// What has become of the monitor. Returns whether it is gone, which it was before or not.
    pub fn monitor(&mut self, note: &MonitorNote, was_gone: bool) -> bool {
        let is_gone = match note.event {
            MonitorEvent::Gone(_) => true,
            MonitorEvent::Back { .. } => false,
            MonitorEvent::OtherMode(_) | MonitorEvent::OtherModes => was_gone,
        };
        if matches!(note.event, MonitorEvent::Gone(_)) {
            self.alarm(note.at_ns, "MONITOR-LOST", note.to_string());
        }
        self.note(note.at_ns, note.to_string());
        is_gone
    }

    fn set_signal(&mut self, now_ns: u64, signal: Signal, reason: String) {
        if self.signal != signal {
            self.signal = signal;
            self.note(now_ns, reason);
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

    /// A control has gone, or is back.
    pub fn control(&mut self, now_ns: u64, note: &DeviceNote) {
        if note.is_there {
            self.note(now_ns, note.to_string());
        } else {
            self.alarm(now_ns, "CONTROL-LOST", note.to_string());
        }
    }

    fn at_ms(&self, now_ns: u64) -> f64 {
        now_ns.saturating_sub(self.start_ns) as f64 / 1e6
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::display::Trouble;

    #[test]
    fn every_loss_and_recovery_is_kept_with_its_reason() {
        let mut states = States::new(0, Ai::Running, true);
        states.picture(1);
        for n in 0..50 {
            let at = 1_000_000 * (10 * n + 1);
            states.lose(at, "the cable was pulled");
            states.lose(at + 1, "no picture for 150 ms");
            states.picture(at + 2);
            states.notice(at + 3, &SignalEvent::Back { after_ms: 80 });
        }
        let (history, alarms) = states.into_history();
        assert_eq!(alarms.len(), 50, "a loss that lasts is said once");
        assert!(alarms.iter().all(|a| a.code == "SIGNAL-LOST" && a.text == "the cable was pulled"));
        let of = |signal: &str, reason: &str| history.iter().filter(|l| l.signal == signal && l.reason.contains(reason)).count();
        assert_eq!((of("lost", "cable"), of("live", "back after 80 ms")), (50, 50));
    }

    #[test]
    fn a_return_that_is_told_before_its_first_picture_is_that_picture_s_reason() {
        let mut states = States::new(0, Ai::Running, true);
        states.picture(1);
        states.lose(2, "the cable was pulled");
        states.notice(3, &SignalEvent::Back { after_ms: 188 });
        assert_eq!(states.signal(), Signal::Lost);
        states.picture(4);
        let (history, _) = states.into_history();
        let last = history.last().unwrap();
        assert!(last.signal == "live" && last.reason.contains("back after 188 ms"), "{last:?}");
    }

    #[test]
    fn a_picture_that_does_not_live_is_not_called_live() {
        let mut states = States::new(0, Ai::Running, true);
        states.picture(1);
        for (event, signal) in [
            (SignalEvent::Frozen, Signal::Frozen),
            (SignalEvent::Black, Signal::Black),
            (SignalEvent::Moving, Signal::Black),
            (SignalEvent::Lit, Signal::Live),
        ] {
            states.notice(2, &event);
            states.picture(3);
            assert_eq!(states.signal(), signal, "{event:?}");
        }
        states.notice(4, &SignalEvent::Frozen);
        states.lose(4, "the display stood still");
        states.picture(4);
        assert_eq!(states.signal(), Signal::Frozen, "the source has not said that it moves");
        states.interrupted();
        states.lose(5, "unplugged");
        states.picture(6);
        assert_eq!(states.signal(), Signal::Live, "what froze is gone with the signal");
        let mut recording = States::new(0, Ai::Running, false);
        recording.picture(1);
        recording.notice(2, &SignalEvent::Frozen);
        assert_eq!(recording.signal(), Signal::Live);
        let (history, alarms) = recording.into_history();
        assert!(alarms.is_empty() && history.last().unwrap().reason.contains("repeats one picture"));
    }

    #[test]
    fn an_eye_that_does_not_live_is_named_and_only_what_can_be_taken_for_live_takes_the_picture_s_trust() {
        use crate::capture::Eye::{Left, Right};
        let mut states = States::new(0, Ai::Running, true);
        states.picture(1);
        let mut said = |event: SignalEvent| {
            states.notice(2, &event);
            states.picture(3);
            (states.signal(), states.eyes())
        };
        assert_eq!(said(SignalEvent::EyeFrozen { eye: Right }), (Signal::Frozen, [None, Some(EyeTrouble::Frozen)]));
        assert_eq!(said(SignalEvent::EyeBlack { eye: Right }), (Signal::Live, [None, Some(EyeTrouble::Black)]), "seen to be black");
        assert_eq!(said(SignalEvent::EyeBlack { eye: Left }), (Signal::Black, [None, None]), "that is the whole picture");
        assert_eq!(said(SignalEvent::EyeLit { eye: Left }), (Signal::Live, [None, Some(EyeTrouble::Black)]));
        assert_eq!(said(SignalEvent::EyeLost { eye: Right, reason: "unplugged".into() }), (Signal::Live, [None, Some(EyeTrouble::Absent)]));
        assert_eq!(said(SignalEvent::EyeBack { eye: Right, after_ms: 9 }), (Signal::Live, [None, None]), "said anew where it holds");
        assert_eq!(said(SignalEvent::Frozen), (Signal::Frozen, [None, None]));
        assert_eq!(said(SignalEvent::EyeMoving { eye: Left }), (Signal::Frozen, [None, Some(EyeTrouble::Frozen)]));
        assert_eq!(said(SignalEvent::EyeMoving { eye: Right }), (Signal::Live, [None, None]));
        let (_, alarms) = states.into_history();
        assert_eq!(
            alarms.iter().map(|alarm| alarm.code).collect::<Vec<_>>(),
            ["EYE-FROZEN", "EYE-BLACK", "EYE-BLACK", "EYE-LOST", "SIGNAL-FROZEN"]
        );
        assert!(alarms[0].text.contains("right eye") && alarms[2].text.contains("left eye"), "{alarms:?}");
    }

    #[test]
    fn a_control_that_goes_is_an_alarm_and_its_return_a_line_of_the_history() {
        use crate::base::hud::Control;
        let note = |is_there| DeviceNote { control: Control::Footswitch, name: "/dev/pedal".into(), is_there, reason: "unplugged".into() };
        let mut states = States::new(0, Ai::Running, true);
        states.control(1_000_000, &note(false));
        states.control(2_000_000, &note(true));
        let (history, alarms) = states.into_history();
        assert_eq!((alarms.len(), alarms[0].code, alarms[0].at_ms), (1, "CONTROL-LOST", 1.0));
        assert!(alarms[0].text.contains("footswitch /dev/pedal") && alarms[0].text.contains("unplugged"), "{}", alarms[0].text);
        let last = history.last().unwrap();
        assert!(last.at_ms == 2.0 && last.reason.contains("/dev/pedal is there"), "{last:?}");
    }

    #[test]
    fn a_monitor_that_is_lost_is_an_alarm_and_its_return_is_in_the_history() {
        let mut states = States::new(0, Ai::Running, true);
        states.picture(1);
        let note = |at_ms: u64, event| MonitorNote { monitor: "HDMI-1".into(), at_ns: at_ms * 1_000_000, event };
        let mut is_gone = false;
        for (at_ms, event) in
            [(20, MonitorEvent::Gone(Trouble::Unplugged)), (700, MonitorEvent::Back { after_ms: 680 }), (701, MonitorEvent::OtherModes)]
        {
            is_gone = states.monitor(&note(at_ms, event), is_gone);
            assert_eq!(is_gone, at_ms == 20);
        }
        assert_eq!(states.signal(), Signal::Live, "the picture goes on");
        let (history, alarms) = states.into_history();
        assert_eq!(alarms.len(), 1);
        assert_eq!((alarms[0].code, alarms[0].at_ms, alarms[0].text.as_str()), ("MONITOR-LOST", 20.0, "monitor HDMI-1: unplugged"));
        let reasons: Vec<&str> = history[2..].iter().map(|line| line.reason.as_str()).collect();
        let offers = "monitor HDMI-1: offers other modes than before (changed EDID)";
        assert_eq!(reasons, ["monitor HDMI-1: unplugged", "monitor HDMI-1: back after 680 ms", offers]);
    }

    #[test]
    fn changes_are_kept_once_and_bounded() {
        let mut states = States::new(0, Ai::Starting, true);
        for i in 0..5_000 {
            states.set_ai(i, if i % 2 == 0 { Ai::Running } else { Ai::Degraded }, || "died".into());
        }
        states.set_ai(9_000, Ai::Running, String::new);
        let (history, alarms) = states.into_history();
        assert_eq!((history.len(), alarms.len()), (KEPT, KEPT));
        assert_eq!((history[1].ai, history[2].reason.as_str()), ("running", "died"));
    }
}
