//! What the rooms report, as the state's owner takes it in (`guard::States`): sources, monitors, controls, recordings and the AI
//! process, each in its own words. Nothing is decided here.

use crate::base::hud::{AiTrouble, Control};
use crate::base::texts::Text;
use crate::capture::SignalEvent;
use crate::display::{MonitorEvent, MonitorNote};
use crate::guard::{Cause, Code, Flaw, News, Record, StateChange, States, Worker};
use crate::link::{Block, Reason};
use crate::pipeline::ai::AiStatus;
use crate::pipeline::inputs::DeviceNote;
use crate::record::{AlarmLine, RecordAlarm, RecordingState, StateLine};

/// A loss is `States::lose`.
pub fn notice(states: &mut States, now_ns: u64, event: &SignalEvent) {
    let both = [true; 2];
    let one = |eye: usize| [eye == 0, eye == 1];
    let flaw = |is_stream: bool| if is_stream { Flaw::Stream } else { Flaw::Single };
    let news = match event {
        SignalEvent::Frozen => News::Frozen(both, true),
        SignalEvent::Moving => News::Frozen(both, false),
        SignalEvent::Black => News::Black(both, true),
        SignalEvent::Lit => News::Black(both, false),
        SignalEvent::EyeFrozen { eye } => News::Frozen(one(*eye as usize), true),
        SignalEvent::EyeMoving { eye } => News::Frozen(one(*eye as usize), false),
        SignalEvent::EyeBlack { eye } => News::Black(one(*eye as usize), true),
        SignalEvent::EyeLit { eye } => News::Black(one(*eye as usize), false),
        SignalEvent::EyeLost { eye, .. } => News::Absent(one(*eye as usize), true),
        SignalEvent::EyeBack { eye, .. } => News::Absent(one(*eye as usize), false),
        SignalEvent::Back { .. } => News::Back,
        SignalEvent::Gap { .. } => News::Gap,
        SignalEvent::Parted { failure } => News::Unparted(failure.is_some()),
        SignalEvent::Torn { is_stream } => News::Torn(flaw(*is_stream)),
        SignalEvent::Whole { .. } => News::Torn(Flaw::None),
        SignalEvent::OutOfOrder { is_stream } => News::OutOfOrder(flaw(*is_stream)),
        SignalEvent::InOrder { .. } => News::OutOfOrder(Flaw::None),
        SignalEvent::Damaged { is_stream } => News::Damaged(flaw(*is_stream)),
        SignalEvent::Sound { .. } => News::Damaged(Flaw::None),
        SignalEvent::RateWrong { .. } => News::RateWrong(true),
        // Another rate that lasts is the announced one from then on.
        SignalEvent::RateRight | SignalEvent::Rate { .. } => News::RateWrong(false),
        SignalEvent::Format { .. } => News::Format,
        SignalEvent::Lost { .. } => News::Told,
    };
    states.notice(now_ns, news, event.to_string());
}

/// What forbids it has said why by itself (`Word::Block`).
pub fn worker(status: AiStatus) -> Worker {
    match status {
        AiStatus::Testing | AiStatus::Blocked(Block::Forbidden) => Worker::Held,
        AiStatus::Starting => Worker::Starting,
        AiStatus::Running => Worker::Running,
        AiStatus::Blocked(Block::Refused) => Worker::Blocked(AiTrouble::EngineRefused),
        AiStatus::Blocked(Block::ProofWrong) => Worker::Blocked(AiTrouble::LiveProofWrong),
        AiStatus::Blocked(Block::ProofMissing) => Worker::Blocked(AiTrouble::LiveProofMissing),
        AiStatus::Down(reason) => Worker::Down(match reason {
            Reason::Died => AiTrouble::Ended,
            Reason::Stopped => AiTrouble::Stopped,
            Reason::Hung => AiTrouble::Hung,
            Reason::Nonsense => AiTrouble::Nonsense,
            Reason::Fault => AiTrouble::Fault,
            Reason::CannotStart => AiTrouble::CannotStart,
        }),
    }
}

/// What has become of the monitor: the picture goes on.
pub fn monitor(states: &mut States, note: &MonitorNote) {
    match note.event {
        MonitorEvent::Gone(_) => states.raise(note.at_ns, Code::MonitorLost, note.to_string()),
        MonitorEvent::Back { .. } => states.clear(note.at_ns, Code::MonitorLost, 0),
        MonitorEvent::OtherMode(_) | MonitorEvent::OtherModes => {}
    }
    states.note(note.at_ns, note.to_string());
}

/// A control has gone, or is back.
pub fn control(states: &mut States, now_ns: u64, note: &DeviceNote) {
    let (part, text) = match note.control {
        Control::Footswitch => (0, Text::FootswitchGone),
        Control::Serial => (1, Text::SerialGone),
        Control::Keyboard => (2, Text::KeyboardGone),
    };
    if note.is_there {
        states.clear(now_ns, Code::ControlLost, part);
        states.note(now_ns, note.to_string());
    } else {
        states.raise(now_ns, Cause { part, text, ..Code::ControlLost.into() }, note.to_string());
    }
}

/// A recording that loses pictures has that alarm for so long after the last one.
const LOSING_NS: u64 = 5_000_000_000;

/// What becomes of the recording, as alarms.
#[derive(Debug, Default)]
pub struct RecordingWatch {
    lost: u64,
    loses_until_ns: u64,
    stopped: Option<RecordAlarm>,
}

impl RecordingWatch {
    /// `trouble`: why it has stopped by itself; asked when it has.
    pub fn look(&mut self, now_ns: u64, state: &RecordingState, trouble: impl FnOnce() -> String, states: &mut States) {
        // The next recording counts anew.
        if state.recording && (state.lost > self.lost || state.alarm == Some(RecordAlarm::Slow)) {
            self.loses_until_ns = now_ns + LOSING_NS;
            states.set(now_ns, Code::RecordSlow, true, || "recording: pictures are left out".into());
        } else if self.loses_until_ns > 0 && (!state.recording || now_ns >= self.loses_until_ns) {
            self.loses_until_ns = 0;
            states.clear(now_ns, Code::RecordSlow, 0);
        }
        self.lost = state.lost;
        let stopped = state.alarm.filter(|alarm| *alarm != RecordAlarm::Slow);
        if stopped == self.stopped {
            return;
        }
        let code_of = |alarm: RecordAlarm| Code::of_name(alarm.code()).unwrap_or(Code::RecordFailed);
        if let Some(before) = self.stopped {
            states.clear(now_ns, code_of(before), 0);
        }
        if let Some(alarm) = stopped {
            states.raise(now_ns, code_of(alarm), format!("recording: {}", trouble()));
        }
        self.stopped = stopped;
    }
}

/// The history and the alarms as the report has them: times in ms since the start of the run.
pub fn lines(states: &States) -> (Vec<StateLine>, Vec<AlarmLine>) {
    let at_ms = |ns: u64| ns.saturating_sub(states.start_ns()) as f64 / 1e6;
    let line = |change: &StateChange| StateLine {
        at_ms: at_ms(change.at_ns),
        signal: change.signal.name(),
        ai: change.ai.name(),
        reason: change.reason.clone(),
    };
    let alarm = |record: &Record| AlarmLine {
        at_ms: at_ms(record.at_ns),
        code: record.code.name(),
        text: record.text.clone(),
        priority: record.code.row().priority.name(),
        cleared_at_ms: record.cleared_ns.map(at_ms),
        acknowledged_at_ms: record.acknowledged_ns.map(at_ms),
    };
    (states.history().iter().map(line).collect(), states.alarms().records().iter().map(alarm).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::hud::Signal;
    use crate::capture::{Eye, Pace};
    use crate::display::Trouble;
    use crate::guard::Standing;

    fn live() -> States {
        let mut states = States::new(0, true);
        states.worker(0, Worker::Running, String::new);
        states.picture(1);
        states
    }

    #[test]
    fn each_event_of_a_source_is_what_it_is_called() {
        let eye = Eye::Right;
        for (event, signal, code) in [
            (SignalEvent::Frozen, Signal::Frozen, Some("SIGNAL-FROZEN")),
            (SignalEvent::Moving, Signal::Live, None),
            (SignalEvent::Black, Signal::Black, Some("SIGNAL-BLACK")),
            (SignalEvent::Lit, Signal::Live, None),
            (SignalEvent::EyeFrozen { eye }, Signal::Frozen, Some("EYE-FROZEN")),
            (SignalEvent::EyeMoving { eye }, Signal::Live, None),
            (SignalEvent::EyeBlack { eye }, Signal::Live, Some("EYE-BLACK")),
            (SignalEvent::EyeLit { eye }, Signal::Live, None),
            (SignalEvent::EyeLost { eye, reason: "unplugged".into() }, Signal::Live, Some("EYE-LOST")),
            (SignalEvent::EyeBack { eye, after_ms: 7 }, Signal::Live, None),
            (SignalEvent::Parted { failure: Some("too small".into()) }, Signal::Live, Some("EYES-NOT-PARTED")),
            (SignalEvent::Parted { failure: None }, Signal::Live, None),
            (SignalEvent::Rate { from_fps: 60.0, to_fps: 30.0 }, Signal::Live, None),
            (SignalEvent::RateWrong { announced_fps: 60.0, pace: Pace::Irregular }, Signal::Live, Some("SIGNAL-RATE")),
            (SignalEvent::RateRight, Signal::Live, None),
            (SignalEvent::Format { from: "720p".into(), to: "1080p".into() }, Signal::Live, Some("SIGNAL-FORMAT")),
            (SignalEvent::Torn { is_stream: false }, Signal::Live, Some("SIGNAL-TORN")),
            (SignalEvent::Torn { is_stream: true }, Signal::Untrusted, Some("SIGNAL-UNTRUSTED")),
            (SignalEvent::Whole { pictures: 3 }, Signal::Live, None),
            (SignalEvent::OutOfOrder { is_stream: false }, Signal::Live, Some("SIGNAL-ORDER")),
            (SignalEvent::OutOfOrder { is_stream: true }, Signal::Untrusted, Some("SIGNAL-UNTRUSTED")),
            (SignalEvent::InOrder { pictures: 3 }, Signal::Live, None),
            (SignalEvent::Damaged { is_stream: false }, Signal::Live, Some("SIGNAL-DAMAGED")),
            (SignalEvent::Damaged { is_stream: true }, Signal::Untrusted, Some("SIGNAL-UNTRUSTED")),
            (SignalEvent::Sound { pictures: 3 }, Signal::Live, None),
        ] {
            let mut states = live();
            let before = (states.signal(), states.alarms().records().len());
            assert_eq!(before, (Signal::Live, 0));
            notice(&mut states, 2, &event);
            let of: Vec<_> = states.alarms().records().iter().map(|record| record.code.name()).collect();
            assert_eq!((states.signal(), of), (signal, code.into_iter().collect()), "{event:?}");
            assert!(states.history().last().unwrap().reason.contains(&event.to_string()), "{event:?}");
        }
        let mut states = live();
        notice(&mut states, 2, &SignalEvent::EyeFrozen { eye });
        notice(&mut states, 3, &SignalEvent::EyeMoving { eye });
        assert_eq!((states.signal(), states.alarms().standing(Code::EyeFrozen, 1)), (Signal::Live, Some(Standing::Past)));
        notice(&mut states, 4, &SignalEvent::Gap { ms: 60 });
        assert_eq!(states.alarms().records()[1].cleared_ns, Some(4), "a moment");
    }

    #[test]
    fn a_control_that_goes_is_an_alarm_and_its_return_a_line_of_the_history() {
        let note = |is_there| DeviceNote { control: Control::Footswitch, name: "/dev/pedal".into(), is_there, reason: "unplugged".into() };
        let mut states = live();
        control(&mut states, 1_000_000, &note(false));
        control(&mut states, 2_000_000, &note(true));
        let (history, alarms) = lines(&states);
        assert_eq!((alarms.len(), alarms[0].code, alarms[0].priority, alarms[0].at_ms), (1, "CONTROL-LOST", "medium", 1.0));
        assert_eq!((alarms[0].cleared_at_ms, alarms[0].acknowledged_at_ms), (Some(2.0), None));
        assert!(alarms[0].text.contains("footswitch /dev/pedal") && alarms[0].text.contains("unplugged"), "{}", alarms[0].text);
        let last = history.last().unwrap();
        assert!(last.at_ms == 2.0 && last.reason.contains("/dev/pedal is there"), "{last:?}");
    }

    #[test]
    fn a_monitor_that_is_lost_is_an_alarm_until_somebody_has_seen_it_and_its_return_is_in_the_history() {
        let mut states = live();
        let note = |at_ms: u64, event| MonitorNote { monitor: "HDMI-1".into(), at_ns: at_ms * 1_000_000, event };
        for (at_ms, event, standing) in [
            (20, MonitorEvent::Gone(Trouble::Unplugged), Standing::Active),
            (700, MonitorEvent::Back { after_ms: 680 }, Standing::Past),
            (701, MonitorEvent::OtherModes, Standing::Past),
        ] {
            monitor(&mut states, &note(at_ms, event));
            assert_eq!(states.alarms().standing(Code::MonitorLost, 0), Some(standing));
        }
        assert_eq!(states.signal(), Signal::Live, "the picture goes on");
        states.acknowledge(900_000_000);
        assert_eq!(states.alarms().standing(Code::MonitorLost, 0), None);
        let (history, alarms) = lines(&states);
        assert_eq!(alarms.len(), 1);
        assert_eq!((alarms[0].code, alarms[0].at_ms, alarms[0].text.as_str()), ("MONITOR-LOST", 20.0, "monitor HDMI-1: unplugged"));
        assert_eq!((alarms[0].cleared_at_ms, alarms[0].acknowledged_at_ms), (Some(700.0), Some(900.0)));
        let reasons: Vec<&str> = history[history.len() - 3..].iter().map(|line| line.reason.as_str()).collect();
        let offers = "monitor HDMI-1: offers other modes than before (changed EDID)";
        assert_eq!(reasons, ["monitor HDMI-1: unplugged", "monitor HDMI-1: back after 680 ms", offers]);
    }

    #[test]
    fn a_recording_that_loses_pictures_or_stops_is_an_alarm_of_its_own() {
        let (mut states, mut watch) = (live(), RecordingWatch::default());
        let running = |lost| RecordingState { recording: true, lost, ..RecordingState::default() };
        let stopped = |alarm| RecordingState { alarm: Some(alarm), ..RecordingState::default() };
        const S: u64 = 1_000_000_000;
        let mut look = |at_s: u64, state: RecordingState| {
            watch.look(at_s * S, &state, || "no space".into(), &mut states);
            [Code::RecordSlow, Code::RecordDiskFull, Code::RecordFailed].map(|code| states.alarms().standing(code, 0))
        };
        use Standing::{Active, Past};
        assert_eq!(look(0, running(0)), [None; 3]);
        assert_eq!(look(1, running(3)), [Some(Active), None, None]);
        assert_eq!(look(5, running(4)), [Some(Active), None, None]);
        assert_eq!(look(9, running(4)), [Some(Active), None, None]);
        assert_eq!(look(10, running(4)), [Some(Past), None, None]);
        assert_eq!(look(11, stopped(RecordAlarm::DiskFull)), [Some(Past), Some(Active), None]);
        assert_eq!(look(12, stopped(RecordAlarm::DiskFull)), [Some(Past), Some(Active), None]);
        assert_eq!(look(13, running(0)), [Some(Past), Some(Past), None], "another one has begun");
        assert_eq!(look(14, running(1)), [Some(Active), Some(Past), None]);
        assert_eq!(look(15, stopped(RecordAlarm::Failed)), [Some(Past), Some(Past), Some(Active)]);
        let records = states.alarms().records();
        assert_eq!(
            records.iter().map(|r| r.code.name()).collect::<Vec<_>>(),
            ["RECORD-SLOW", "RECORD-DISK-FULL", "RECORD-SLOW", "RECORD-FAILED"]
        );
        assert_eq!(records[1].text, "recording: no space");
    }

    #[test]
    fn each_alarm_of_the_recorder_has_its_row() {
        for alarm in [RecordAlarm::Slow, RecordAlarm::DiskFull, RecordAlarm::Failed] {
            assert!(Code::of_name(alarm.code()).is_some(), "{alarm:?}");
        }
    }
}
