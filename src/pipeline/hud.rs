//! What the display thread tells the status display, and when: at once when a state changes, figures twice a second.
//! Also the picture in picture, which is shown under the status display's words only. Nothing here waits or draws.

use crate::base::hud::{
    Ai, AiTrouble, Control, Doubt, Drawn, EyeTrouble, Fault, Figures, Loss, Mode, PipMode, Recording, Signal, Source, SourceKind, Status,
};
use crate::base::texts::Language;
use crate::capture::SourceInfo;
use crate::display::Beside;
use crate::display::hud::Hud;
use crate::display::pip::Pip;
use crate::frame::Frame;
use crate::link::Reason;
use crate::overlay::{Layer, OverlayMode, Rect};
use crate::pipeline::ai::AiStatus;
use crate::pipeline::operator::Absent;
use crate::pipeline::state;
use crate::record::{RecordAlarm, RecordingState};
use crate::scene::{Scene, Verdict};

/// Figures are refreshed so often.
const FIGURES_EVERY_NS: u64 = 500_000_000;
/// What is wrong with the AI is said at once and stays for so long at least: a banner that flickers is not read.
const SAID_FOR_NS: u64 = 500_000_000;
/// A fault of the recording is said for so long after it happened.
const FAULT_FOR_NS: u64 = 5_000_000_000;
/// That a recording was ended is said for so long.
const ENDED_FOR_NS: u64 = 5_000_000_000;

/// What the operator asks of the picture in picture. The same again closes it; so does any other control.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PipRequest {
    /// The live picture without overlay.
    Clean,
    /// The next enlargement of the live picture's middle.
    Zoom,
    /// The picture of this moment, to be kept.
    Freeze,
}

/// What the display thread knows at a present.
#[derive(Debug, Clone, Copy)]
pub struct Now {
    pub signal: state::Signal,
    pub ai: state::Ai,
    /// None: this run has no AI.
    pub analysis: Option<AiStatus>,
    /// There is a scene, and it is too old to be shown.
    pub is_stale: bool,
    /// The newest scene says that the frame is not known, and may say why.
    pub is_unknown: bool,
    pub doubt: Option<Doubt>,
    pub overlay: OverlayMode,
    /// One more action turns the overlay on.
    pub is_armed: bool,
    pub recording: RecordingState,
    pub absent: Absent,
    /// The monitor shows nothing; said on whatever else carries the words, and for a while after it is back.
    pub is_monitor_gone: bool,
    /// What is wrong with the left and the right eye of a stereo picture.
    pub eyes: [Option<EyeTrouble>; 2],
}

pub struct HudFeed {
    hud: Hud,
    pip: Pip,
    status: Status,
    recent: Recent,
    figures_due_ns: u64,
    trouble: AiTrouble,
    ai_held_until_ns: u64,
    recorder_lost: u64,
    fault_until_ns: u64,
    ended_until_ns: u64,
    monitor_until_ns: u64,
    has_new_view: bool,
}

/// Worst figures since they were last refreshed, ns.
#[derive(Default)]
struct Recent {
    since_ns: u64,
    frames: u32,
    video_ns: u64,
    annotation_ns: u64,
    age_ns: u64,
}

impl HudFeed {
    /// `status`: what does not change during the run.
    pub fn new(hud: Hud, status: Status) -> Self {
        HudFeed {
            hud,
            pip: Pip::default(),
            status,
            recent: Recent::default(),
            figures_due_ns: 0,
            trouble: AiTrouble::CannotStart,
            ai_held_until_ns: 0,
            recorder_lost: 0,
            fault_until_ns: 0,
            ended_until_ns: 0,
            monitor_until_ns: 0,
            has_new_view: false,
        }
    }

    /// What to paint beside the picture now, on a screen of this size. None: on none.
    pub fn beside(&mut self, screen: Option<(usize, usize)>, now_ns: u64) -> Option<Beside<'_>> {
        self.hud.set_screen(screen);
        self.hud.beside(now_ns)
    }

    /// What the operator wants to see of it, and in which words.
    pub fn set_view(&mut self, is_on: bool, language: Language) {
        (self.status.is_on, self.status.language) = (is_on, language);
        self.has_new_view = true;
        self.figures_due_ns = 0;
    }

    pub fn ask_pip(&mut self, request: PipRequest) {
        match request {
            PipRequest::Clean => self.pip.toggle(PipMode::Clean),
            PipRequest::Zoom => self.pip.next_zoom(),
            PipRequest::Freeze => self.pip.toggle(PipMode::Frozen),
        }
    }

    pub fn close_pip(&mut self) {
        self.pip.close();
    }

    /// A frame is about to be shown.
    pub fn note(&mut self, frame: &Frame) {
        let layout = frame.layout();
        self.hud.resize((layout.width, layout.height));
        if self.pip.is_open() {
            let picture = self.hud.layout().pip.picture;
            self.pip.update(&frame.view(), frame.stamps().capture_ns, (picture.width(), picture.height()));
        }
    }

    /// A new frame was shown.
    pub fn shown(&mut self, video_ns: u64) {
        self.recent.frames += 1;
        self.recent.video_ns = self.recent.video_ns.max(video_ns);
    }

    /// A picture was shown with an overlay of this age, for the first time with this overlay or not.
    pub fn annotated(&mut self, age_ns: u64, is_first: bool) {
        self.recent.age_ns = self.recent.age_ns.max(age_ns);
        if is_first {
            self.recent.annotation_ns = self.recent.annotation_ns.max(age_ns);
        }
    }

    /// Takes what was painted, and asks for more where something has changed. Returns whether anything came.
    pub fn refresh(&mut self, now_ns: u64, now: &Now) -> bool {
        let has_come = self.hud.poll(now_ns);
        let mut has_changed = self.take(now_ns, now) | std::mem::take(&mut self.has_new_view);
        if self.status.is_on && now_ns >= self.figures_due_ns {
            self.status.figures = self.figures(now_ns);
            self.figures_due_ns = now_ns + FIGURES_EVERY_NS;
            has_changed = true;
        }
        if !self.status.has_picture() {
            self.pip.close();
        }
        has_changed |= replace(&mut self.status.pip, self.pip.caption(now_ns));
        if has_changed || self.hud.is_of_another_size() {
            self.hud.say(now_ns, self.status.clone());
        }
        self.hud.stamp(&self.pip, now_ns);
        has_come
    }

    /// Takes over what the display thread knows; returns whether that is something new to say.
    fn take(&mut self, now_ns: u64, now: &Now) -> bool {
        let signal = match now.signal {
            state::Signal::Waiting => Signal::Waiting,
            state::Signal::Live => Signal::Live,
            state::Signal::Frozen => Signal::Frozen,
            state::Signal::Black => Signal::Black,
            state::Signal::Lost => Signal::Lost(Loss::NoPicture),
        };
        if let Some(trouble) = now.analysis.and_then(trouble_of) {
            self.trouble = trouble;
        }
        let mut ai = ai_of(now, self.trouble);
        if ai != Ai::Running {
            self.ai_held_until_ns = now_ns + SAID_FOR_NS;
        } else if now_ns < self.ai_held_until_ns {
            ai = self.status.ai;
        }
        let drawn = match now.overlay {
            OverlayMode::Off => Drawn::Off,
            OverlayMode::Outline => Drawn::Outline,
            OverlayMode::Fill => Drawn::Fill,
        };
        let recording = self.recording(now_ns, &now.recording);
        let mut has_changed = replace(&mut self.status.recording, recording);
        let faults = self.faults(now_ns, now);
        if !faults.iter().flatten().eq(&self.status.faults) {
            self.status.faults.clear();
            self.status.faults.extend(faults.into_iter().flatten());
            has_changed = true;
        }
        has_changed |= replace(&mut self.status.signal, signal);
        has_changed |= replace(&mut self.status.ai, ai);
        has_changed |= replace(&mut self.status.drawn, drawn);
        has_changed |= replace(&mut self.status.is_armed, now.is_armed);
        has_changed
    }

    /// What is said of the recording: also, for a while, that it was ended.
    fn recording(&mut self, now_ns: u64, now: &RecordingState) -> Recording {
        if now.recording {
            return Recording::Running { seconds: now.seconds as u64 };
        }
        if now.alarm.is_some() {
            return Recording::Failed;
        }
        match self.status.recording {
            Recording::Running { seconds } => {
                self.ended_until_ns = now_ns + ENDED_FOR_NS;
                Recording::Ended { seconds }
            }
            ended @ Recording::Ended { .. } if now_ns < self.ended_until_ns => ended,
            _ => Recording::Off,
        }
    }

    /// What is wrong besides picture and AI, the gravest first.
    fn faults(&mut self, now_ns: u64, now: &Now) -> [Option<Fault>; 8] {
        if now.is_monitor_gone {
            self.monitor_until_ns = now_ns + FAULT_FOR_NS;
        }
        if now.recording.lost > self.recorder_lost {
            self.fault_until_ns = now_ns + FAULT_FOR_NS;
        }
        self.recorder_lost = now.recording.lost;
        let stopped = match now.recording.alarm {
            Some(RecordAlarm::DiskFull) => Some(Fault::RecordingFull),
            Some(RecordAlarm::Failed) => Some(Fault::RecordingFailed),
            Some(RecordAlarm::Slow) | None => None,
        };
        let is_losing = stopped.is_none() && now.recording.recording && now_ns < self.fault_until_ns;
        [
            now.eyes[0].map(Fault::LeftEye),
            now.eyes[1].map(Fault::RightEye),
            (now_ns < self.monitor_until_ns).then_some(Fault::MonitorLost),
            now.absent.footswitch.then_some(Fault::ControlGone(Control::Footswitch)),
            now.absent.serial.then_some(Fault::ControlGone(Control::Serial)),
            now.absent.keyboard.then_some(Fault::ControlGone(Control::Keyboard)),
            stopped,
            is_losing.then_some(Fault::RecordingLost),
        ]
    }

    fn figures(&mut self, now_ns: u64) -> Figures {
        let recent = std::mem::replace(&mut self.recent, Recent { since_ns: now_ns, ..Recent::default() });
        let seconds = now_ns.saturating_sub(recent.since_ns) as f64 / 1e9;
        // Nothing measured is no zero.
        let measured = |ns: u64| (ns > 0).then_some(ns);
        Figures {
            frames_per_s: (f64::from(recent.frames) / seconds.max(1e-3)).round() as u32,
            video_delay_ns: measured(recent.video_ns),
            annotation_delay_ns: measured(recent.annotation_ns),
            overlay_age_ns: measured(recent.age_ns),
        }
    }

    /// What to lay over the picture now, and the rectangles in which it may paint: none where there is nothing to say, or
    /// where the status display does not answer.
    pub fn layer(&self, now_ns: u64) -> Option<(&Layer, [Rect; 6])> {
        let layer = self.hud.layer(now_ns)?;
        Some((layer, self.hud.layout().declared(self.status.pip.is_some() || layer.rects.contains(&self.hud.layout().pip.caption))))
    }

    /// What to show without a picture: NO SIGNAL, with what else there is to say as soon as that is painted.
    pub fn blank_layer(&self, now_ns: u64) -> Option<&Layer> {
        self.hud.layer(now_ns).filter(|_| self.hud.is_up_to_date()).or(self.hud.blank())
    }

    /// Of the pictures that are shown.
    pub fn size(&self) -> (usize, usize) {
        self.hud.size()
    }

    /// The status display does not answer and is off the screen.
    pub fn is_hung(&self, now_ns: u64) -> bool {
        self.hud.is_late(now_ns)
    }
}

/// What is known of a run before it begins.
pub fn status_of(info: &SourceInfo, engine: &str, is_on: bool, language: Language) -> Status {
    let kind = if info.uri.starts_with("sim:") {
        SourceKind::Simulated
    } else if info.live {
        SourceKind::Camera
    } else {
        SourceKind::Playback
    };
    Status {
        is_on,
        language,
        source: Source { kind, width: info.width, height: info.height, hz: info.fps },
        engines: engine.into(),
        mode: Mode::Demo,
        ..Status::default()
    }
}

fn ai_of(now: &Now, trouble: AiTrouble) -> Ai {
    match now.ai {
        _ if now.analysis.is_none() => Ai::Off,
        state::Ai::Starting => Ai::Starting,
        state::Ai::Degraded => Ai::Degraded(trouble),
        state::Ai::Blocked => Ai::Blocked(trouble),
        // Whoever has switched the overlay off need not be told that it is late.
        state::Ai::Running if now.overlay == OverlayMode::Off => Ai::Running,
        state::Ai::Running if now.is_stale => Ai::Stale,
        state::Ai::Running if now.is_unknown => Ai::Unknown(now.doubt),
        state::Ai::Running => Ai::Running,
    }
}

/// What the indication gate has against the frame of `scene`.
pub fn doubt_of(scene: &Scene) -> Option<Doubt> {
    match scene.gate?.verdict {
        Verdict::Within => None,
        Verdict::NoContent => Some(Doubt::NoContent),
        Verdict::OutOfBody => Some(Doubt::OutOfBody),
        Verdict::OtherModality => Some(Doubt::OtherModality),
        Verdict::Covered => Some(Doubt::Covered),
        Verdict::OffCohort => Some(Doubt::OffCohort),
    }
}

fn trouble_of(status: AiStatus) -> Option<AiTrouble> {
    match status {
        AiStatus::Down(Reason::Died) => Some(AiTrouble::Ended),
        AiStatus::Down(Reason::Stopped) => Some(AiTrouble::Stopped),
        AiStatus::Down(Reason::Hung) => Some(AiTrouble::Hung),
        AiStatus::Down(Reason::Nonsense) => Some(AiTrouble::Nonsense),
        AiStatus::Down(Reason::Fault) => Some(AiTrouble::Fault),
        AiStatus::Down(Reason::CannotStart) => Some(AiTrouble::CannotStart),
        AiStatus::Blocked(_) => Some(AiTrouble::EngineRefused),
        AiStatus::Testing | AiStatus::Starting | AiStatus::Running => None,
    }
}

/// Puts `value` in its place; returns whether it is another one.
fn replace<T: PartialEq>(place: &mut T, value: T) -> bool {
    let is_other = *place != value;
    *place = value;
    is_other
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::hud::Banner;
    use crate::base::slot::Wake;
    use crate::base::texts::Text;
    use crate::overlay::testing::{COLORIMETRIES, FORMATS, Owned};
    use std::sync::Arc;
    use std::time::Duration;

    const MS: u64 = 1_000_000;

    fn now(signal: state::Signal, ai: state::Ai) -> Now {
        let (overlay, analysis) = (OverlayMode::Outline, Some(AiStatus::Running));
        let (recording, absent) = (RecordingState::default(), Absent::default());
        Now {
            signal,
            ai,
            analysis,
            is_stale: false,
            is_unknown: false,
            doubt: None,
            overlay,
            is_armed: false,
            recording,
            absent,
            is_monitor_gone: false,
            eyes: [None; 2],
        }
    }

    fn feed(is_on: bool) -> (HudFeed, Arc<Wake>) {
        let wake = Arc::new(Wake::default());
        let hud = Hud::start((640, 360), Language::En, wake.clone()).unwrap();
        (HudFeed::new(hud, Status { is_on, ..Status::default() }), wake)
    }

    fn await_layer(feed: &mut HudFeed, wake: &Wake, now_ns: u64, now: &Now) {
        while !(feed.refresh(now_ns, now) && feed.hud.is_up_to_date()) {
            wake.wait(Duration::from_millis(20));
        }
    }

    #[test]
    fn the_screen_never_shows_an_ai_that_is_not_there() {
        use state::{Ai::*, Signal::*};
        let (mut feed, _) = feed(true);
        let mut said = |at_ms: u64, now: Now| {
            feed.take(at_ms * MS, &now);
            feed.status.banner()
        };
        for (i, ai) in [Starting, Degraded, Blocked].into_iter().enumerate() {
            let at_ms = 10_000 * i as u64;
            assert_eq!(said(at_ms, now(Waiting, ai)), Some(Banner::NoSignal));
            assert_eq!(said(at_ms + 1, now(Live, ai)), Some(Banner::AiOff));
            assert_eq!(said(at_ms + 2, now(Lost, ai)), Some(Banner::NoSignal));
        }
        assert_eq!(said(40_000, now(Live, Running)), None);
        assert_eq!(said(41_000, Now { is_stale: true, ..now(Live, Running) }), Some(Banner::AiStale));
        assert_eq!(said(41_499, now(Live, Running)), Some(Banner::AiStale), "long enough to be read");
        assert_eq!(said(41_501, now(Live, Running)), None);
        assert_eq!(said(42_000, Now { is_unknown: true, ..now(Live, Running) }), Some(Banner::AiUnknown));
        assert_eq!(said(43_000, Now { analysis: None, ..now(Live, Running) }), Some(Banner::AiOff));
        assert_eq!(said(43_001, now(Lost, Running)), Some(Banner::NoSignal));
        assert_eq!(said(45_000, Now { is_stale: true, overlay: OverlayMode::Off, ..now(Live, Running) }), None);
    }

    #[test]
    fn a_restart_keeps_the_reason_of_the_death() {
        let (mut feed, _) = feed(true);
        let down = Now { analysis: Some(AiStatus::Down(Reason::Hung)), ..now(state::Signal::Live, state::Ai::Degraded) };
        assert!(feed.take(0, &down) && feed.status.ai == Ai::Degraded(AiTrouble::Hung));
        assert!(!feed.take(1, &Now { analysis: Some(AiStatus::Starting), ..down }));
    }

    #[test]
    fn a_recording_that_loses_pictures_is_said_for_a_while() {
        let (mut feed, _) = feed(true);
        let live = now(state::Signal::Live, state::Ai::Running);
        let losing = |lost| Now { recording: RecordingState { recording: true, lost, ..RecordingState::default() }, ..live };
        feed.take(0, &losing(0));
        assert!(feed.take(1_000 * MS, &losing(3)) && feed.status.faults == [Fault::RecordingLost]);
        assert!(!feed.take(5_999 * MS, &losing(3)));
        assert!(feed.take(6_000 * MS, &losing(3)) && feed.status.faults.is_empty());
        // The next recording counts anew.
        feed.take(6_001 * MS, &losing(0));
        assert!(feed.take(6_002 * MS, &losing(1)) && feed.status.faults == [Fault::RecordingLost]);
        feed.take(12_000 * MS, &losing(1));
        let dark = |is_monitor_gone| Now { is_monitor_gone, ..losing(1) };
        assert!(feed.take(17_000 * MS, &dark(true)) && feed.status.faults == [Fault::MonitorLost]);
        assert!(!feed.take(21_999 * MS, &dark(false)), "said for a while after it is back");
        assert!(feed.take(22_000 * MS, &dark(false)) && feed.status.faults.is_empty());
    }

    #[test]
    fn a_recording_says_its_length_that_it_was_ended_and_that_it_failed() {
        let (mut feed, _) = feed(true);
        let live = now(state::Signal::Live, state::Ai::Running);
        let with = |recording, seconds, alarm| Now { recording: RecordingState { recording, seconds, alarm, lost: 0 }, ..live };
        let mut said = |at_ms: u64, now: Now| {
            feed.take(at_ms * MS, &now);
            (feed.status.recording, feed.status.faults.first().copied())
        };
        assert_eq!(said(0, live), (Recording::Off, None));
        assert_eq!(said(1, with(true, 61.9, None)), (Recording::Running { seconds: 61 }, None));
        assert_eq!(said(2, live), (Recording::Ended { seconds: 61 }, None));
        assert_eq!(said(5_001, live), (Recording::Ended { seconds: 61 }, None));
        assert_eq!(said(5_002, live), (Recording::Off, None));
        let full = Some(RecordAlarm::DiskFull);
        assert_eq!(said(6_000, with(true, 1.0, full)), (Recording::Running { seconds: 1 }, Some(Fault::RecordingFull)), "one of two");
        assert_eq!(said(6_001, with(false, 0.0, full)), (Recording::Failed, Some(Fault::RecordingFull)));
        assert_eq!(said(600_000, with(false, 0.0, full)).0, Recording::Failed, "until the next one begins");
        assert_eq!(said(600_001, with(true, 0.0, None)), (Recording::Running { seconds: 0 }, None));
        let failed = Some(RecordAlarm::Failed);
        assert_eq!(said(600_002, with(false, 0.0, failed)), (Recording::Failed, Some(Fault::RecordingFailed)));
    }

    #[test]
    fn an_eye_that_is_not_well_is_named_and_a_frozen_one_takes_the_picture_s_trust() {
        let (mut feed, _) = feed(true);
        let live = now(state::Signal::Live, state::Ai::Running);
        let with = |signal, eyes| Now { signal, eyes, ..live };
        feed.take(0, &with(state::Signal::Frozen, [None, Some(EyeTrouble::Frozen)]));
        assert_eq!((feed.status.banner(), feed.status.alarms()), (Some(Banner::FrozenPicture), vec![Text::RightEyeStands]));
        feed.take(1, &with(state::Signal::Frozen, [None; 2]));
        assert_eq!(feed.status.alarms(), [Text::PictureStands]);
        feed.take(2, &with(state::Signal::Live, [Some(EyeTrouble::Black), None]));
        assert_eq!((feed.status.banner(), feed.status.alarms()), (None, vec![Text::LeftEyeBlack]));
        feed.take(3, &with(state::Signal::Live, [Some(EyeTrouble::Absent), None]));
        assert_eq!(feed.status.alarms(), [Text::LeftEyeGone]);
    }

    #[test]
    fn a_control_that_is_not_there_is_said_as_long_as_it_is_not() {
        let (mut feed, _) = feed(true);
        let live = now(state::Signal::Live, state::Ai::Running);
        let gone = Now { absent: Absent { footswitch: true, serial: true, keyboard: true }, ..live };
        assert!(feed.take(0, &gone) && feed.status.alarms() == [Text::FootswitchGone, Text::SerialGone, Text::KeyboardGone]);
        assert!(!feed.take(60_000 * MS, &gone));
        assert!(feed.take(60_001 * MS, &live) && feed.status.alarms().is_empty());
    }

    #[test]
    fn figures_come_twice_a_second_and_states_at_once() {
        let (mut feed, wake) = feed(true);
        let live = now(state::Signal::Live, state::Ai::Running);
        await_layer(&mut feed, &wake, 1_000 * MS, &live);
        for _ in 0..30 {
            feed.shown(5 * MS);
        }
        feed.annotated(20 * MS, true);
        feed.refresh(1_499 * MS, &live);
        assert!(feed.hud.is_up_to_date(), "nothing new was said");
        feed.refresh(1_500 * MS, &live);
        assert!(!feed.hud.is_up_to_date());
        let figures = feed.status.figures;
        assert_eq!((figures.frames_per_s, figures.video_delay_ns, figures.annotation_delay_ns), (60, Some(5 * MS), Some(20 * MS)));
        await_layer(&mut feed, &wake, 1_501 * MS, &live);
        feed.refresh(1_502 * MS, &Now { is_stale: true, ..live });
        assert!(!feed.hud.is_up_to_date(), "at once");
        assert_eq!(feed.status.figures, figures, "of half a second, whatever changes in between");
    }

    #[test]
    fn a_frozen_picture_stands_in_its_window_and_any_other_control_takes_it_away() {
        let picture = Owned::noise(FORMATS[0], COLORIMETRIES[1], 640, 360, 3).frame();
        let live = now(state::Signal::Live, state::Ai::Running);
        let (mut feed, wake) = feed(false);
        // None: anything else that the operator does.
        let mut shown = |request: Option<PipRequest>| {
            match request {
                Some(request) => feed.ask_pip(request),
                None => feed.close_pip(),
            }
            feed.note(&picture);
            await_layer(&mut feed, &wake, 3_000 * MS, &live);
            let layout = *feed.hud.layout();
            let carried = feed.layer(3_000 * MS).map(|(layer, declared)| (layer.rects.clone(), declared[5] == layout.pip.window()));
            carried.map(|(rects, is_declared)| is_declared && rects.contains(&layout.pip.picture) && rects.contains(&layout.pip.caption))
        };
        for request in [None, Some(PipRequest::Freeze)] {
            assert_eq!(shown(Some(PipRequest::Freeze)), Some(true));
            assert_eq!(shown(request), None, "{request:?}");
        }
        assert_eq!(shown(Some(PipRequest::Zoom)), Some(true));
        assert_eq!(shown(None), None);
        assert!(!feed.pip.is_open());
        feed.ask_pip(PipRequest::Clean);
        feed.note(&picture);
        feed.refresh(4_000 * MS, &now(state::Signal::Lost, state::Ai::Running));
        assert!(!feed.pip.is_open(), "no picture, none in it");
    }

    #[test]
    fn switched_off_it_says_only_what_is_wrong_with_the_picture() {
        let (mut feed, wake) = feed(false);
        let live = now(state::Signal::Live, state::Ai::Degraded);
        await_layer(&mut feed, &wake, 0, &live);
        assert!(feed.layer(0).is_none());
        let lost = now(state::Signal::Lost, state::Ai::Degraded);
        await_layer(&mut feed, &wake, 1, &lost);
        let no_signal = feed.hud.layout().no_signal;
        let layer = feed.blank_layer(1).unwrap();
        assert!(layer.rects.len() == 1 && layer.rects[0].intersection(&no_signal) == layer.rects[0]);
    }
}
