//! What the display thread tells the status display, and when: at once when a state changes, figures twice a second.
//! Also the picture in picture, which is shown under the status display's words only. Nothing here waits or draws.

use crate::base::hud::{Ai, Doubt, Drawn, Figures, Mode, PipMode, Recording, Signal, Source, SourceKind, Status};
use crate::base::texts::Language;
use crate::base::time_of_day::TimeOfDay;
use crate::capture::SourceInfo;
use crate::display::Beside;
use crate::display::hud::Hud;
use crate::display::pip::Pip;
use crate::frame::Frame;
use crate::guard;
use crate::overlay::{Layer, OverlayMode, Rect};
use crate::record::RecordingState;
use crate::scene::{Scene, Verdict};
use std::sync::Arc;

/// Figures are refreshed so often.
const FIGURES_EVERY_NS: u64 = 500_000_000;
/// What is wrong with the AI is said at once and stays for so long at least: a banner that flickers is not read.
const SAID_FOR_NS: u64 = 500_000_000;
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
pub struct Now<'a> {
    pub signal: Signal,
    pub ai: guard::Ai,
    pub alarms: &'a guard::Alarms,
    /// Something has changed since the last full self-test.
    pub is_changed: bool,
    /// There is a scene, and it is too old to be shown.
    pub is_stale: bool,
    /// The newest scene says that the frame is not known, and may say why.
    pub is_unknown: bool,
    pub doubt: Option<Doubt>,
    pub overlay: OverlayMode,
    /// One more action turns the overlay on.
    pub is_armed: bool,
    pub recording: RecordingState,
}

pub struct HudFeed {
    hud: Hud,
    pip: Pip,
    status: Status,
    recent: Recent,
    figures_due_ns: u64,
    ai_held_until_ns: u64,
    /// `Alarms::changes` of the alarms that are said.
    alarms_said: u64,
    ended_until_ns: u64,
    has_new_view: bool,
    /// What engine goes on, and whether it is a demonstration, where the AI's device fails.
    fallback: Option<(Arc<str>, bool)>,
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
            ai_held_until_ns: 0,
            alarms_said: 0,
            ended_until_ns: 0,
            has_new_view: false,
            fallback: None,
        }
    }

    pub fn with_fallback(self, fallback: Option<(Arc<str>, bool)>) -> Self {
        HudFeed { fallback, ..self }
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
    pub fn refresh(&mut self, now_ns: u64, now: &Now<'_>) -> bool {
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
    fn take(&mut self, now_ns: u64, now: &Now<'_>) -> bool {
        let mut ai = ai_of(now);
        let is_held = ai == Ai::Running && now_ns < self.ai_held_until_ns;
        if is_held {
            ai = self.status.ai;
        } else if ai != Ai::Running {
            self.ai_held_until_ns = now_ns + SAID_FOR_NS;
        }
        let drawn = match now.overlay {
            OverlayMode::Off => Drawn::Off,
            OverlayMode::Outline => Drawn::Outline,
            OverlayMode::Fill => Drawn::Fill,
        };
        let recording = self.recording(now_ns, &now.recording);
        let mut has_changed = replace(&mut self.status.recording, recording);
        if now.alarms.standing(guard::Code::AiOnProcessor, 0).is_some()
            && let Some((engines, is_demonstration)) = self.fallback.take()
        {
            (self.status.engines, self.status.is_demonstration) = (engines, is_demonstration);
            has_changed = true;
        }
        has_changed |= self.say_alarms(now_ns, now.alarms, is_held);
        has_changed |= replace(&mut self.status.is_changed, now.is_changed);
        has_changed |= replace(&mut self.status.signal, now.signal);
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

    /// Takes over the alarms where they have changed. While what was wrong with the AI is still to be read, none is taken away.
    fn say_alarms(&mut self, now_ns: u64, alarms: &guard::Alarms, is_held: bool) -> bool {
        if alarms.changes() == self.alarms_said {
            return false;
        }
        let lines = alarms.lines(|at_ns| TimeOfDay::of(at_ns, now_ns));
        if is_held && lines.len() < self.status.alarms.len() {
            return false;
        }
        self.alarms_said = alarms.changes();
        replace(&mut self.status.alarms, lines)
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

fn ai_of(now: &Now<'_>) -> Ai {
    match now.ai {
        guard::Ai::Off => Ai::Off,
        guard::Ai::Starting => Ai::Starting,
        guard::Ai::Testing => Ai::Testing,
        guard::Ai::Degraded(trouble) => Ai::Degraded(trouble),
        guard::Ai::Blocked(trouble) => Ai::Blocked(trouble),
        // Whoever has switched the overlay off need not be told that it is late.
        guard::Ai::Running if now.overlay == OverlayMode::Off => Ai::Running,
        guard::Ai::Running if now.is_stale => Ai::Stale,
        guard::Ai::Running if now.is_unknown => Ai::Unknown(now.doubt),
        guard::Ai::Running => Ai::Running,
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

/// Puts `value` in its place; returns whether it is another one.
fn replace<T: PartialEq>(place: &mut T, value: T) -> bool {
    let is_other = *place != value;
    *place = value;
    is_other
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::hud::{AiTrouble, Banner};
    use crate::base::slot::Wake;
    use crate::base::texts::Text;
    use crate::guard::{Alarms, Code, States, Worker};
    use crate::overlay::testing::{COLORIMETRIES, FORMATS, Owned};
    use crate::record::RecordAlarm;
    use std::sync::LazyLock;
    use std::time::Duration;

    const MS: u64 = 1_000_000;

    static QUIET: LazyLock<Alarms> = LazyLock::new(Alarms::default);
    const DOWN: guard::Ai = guard::Ai::Degraded(AiTrouble::Hung);

    fn now(signal: Signal, ai: guard::Ai) -> Now<'static> {
        let (overlay, recording) = (OverlayMode::Outline, RecordingState::default());
        let (alarms, is_changed) = (&*QUIET, false);
        Now { signal, ai, alarms, is_changed, is_stale: false, is_unknown: false, doubt: None, overlay, is_armed: false, recording }
    }

    fn feed(is_on: bool) -> (HudFeed, Arc<Wake>) {
        let wake = Arc::new(Wake::default());
        let hud = Hud::start((640, 360), Language::En, wake.clone()).unwrap();
        (HudFeed::new(hud, Status { is_on, ..Status::default() }), wake)
    }

    fn await_layer(feed: &mut HudFeed, wake: &Wake, now_ns: u64, now: &Now<'_>) {
        while !(feed.refresh(now_ns, now) && feed.hud.is_up_to_date()) {
            wake.wait(Duration::from_millis(20));
        }
    }

    #[test]
    fn the_screen_never_shows_an_ai_that_is_not_there() {
        use Signal::*;
        use guard::Ai::{Blocked, Degraded, Off, Running, Starting, Testing};
        let (mut feed, _) = feed(true);
        let mut said = |at_ms: u64, now: Now<'_>| {
            feed.take(at_ms * MS, &now);
            feed.status.banner()
        };
        let down = AiTrouble::ALL.iter().flat_map(|&t| [Degraded(t), Blocked(t)]);
        for (i, ai) in [Off, Starting, Testing].into_iter().chain(down).enumerate() {
            let at_ms = 10_000 * i as u64;
            assert_eq!(said(at_ms, now(Waiting, ai)), Some(Banner::NoSignal));
            assert_eq!(said(at_ms + 1, now(Live, ai)), Some(Banner::AiOff));
            assert_eq!(said(at_ms + 2, now(Lost, ai)), Some(Banner::NoSignal));
        }
        assert_eq!(said(9_040_000, now(Live, Running)), None);
        assert_eq!(said(9_041_000, Now { is_stale: true, ..now(Live, Running) }), Some(Banner::AiStale));
        assert_eq!(said(9_041_499, now(Live, Running)), Some(Banner::AiStale), "long enough to be read");
        assert_eq!(said(9_041_501, now(Live, Running)), None);
        assert_eq!(said(9_042_000, Now { is_unknown: true, ..now(Live, Running) }), Some(Banner::AiUnknown));
        assert_eq!(said(9_043_000, now(Live, Off)), Some(Banner::AiOff));
        assert_eq!(said(9_043_001, now(Lost, Running)), Some(Banner::NoSignal));
        assert_eq!(said(9_045_000, Now { is_stale: true, overlay: OverlayMode::Off, ..now(Live, Running) }), None);
    }

    #[test]
    fn alarms_are_said_as_their_owner_has_them_and_what_was_wrong_with_the_ai_long_enough_to_be_read() {
        let (mut feed, _) = feed(true);
        let mut states = States::new(0, true);
        states.picture(0);
        let take = |feed: &mut HudFeed, at_ms: u64, states: &States| {
            let now = Now { alarms: states.alarms(), ..now(states.signal(), states.ai()) };
            feed.take(at_ms * MS, &now);
            feed.status.alarms.iter().map(|alarm| (alarm.text, alarm.is_acknowledged, alarm.was.is_some())).collect::<Vec<_>>()
        };
        assert_eq!(take(&mut feed, 0, &states), []);
        states.worker(MS, Worker::Down(AiTrouble::Hung), String::new);
        assert_eq!(take(&mut feed, 1, &states), [(Text::AiHung, false, false)]);
        states.worker(2 * MS, Worker::Starting, String::new);
        assert_eq!(take(&mut feed, 2, &states), [(Text::AiHung, false, false)], "a restart keeps the reason of the death");
        states.worker(3 * MS, Worker::Running, String::new);
        assert_eq!(take(&mut feed, 300, &states), [(Text::AiHung, false, false)], "long enough to be read");
        states.raise(301 * MS, Code::MonitorLost, String::new());
        assert_eq!(take(&mut feed, 301, &states), [(Text::MonitorLost, false, false)], "what is new is said at once");
        assert_eq!(take(&mut feed, 600, &states), [(Text::MonitorLost, false, false)]);
        states.acknowledge(601 * MS);
        assert_eq!(take(&mut feed, 601, &states), [(Text::MonitorLost, true, false)]);
        states.raise(602 * MS, Code::RecordFailed, String::new());
        states.clear(603 * MS, Code::RecordFailed, 0);
        assert_eq!(take(&mut feed, 603, &states), [(Text::MonitorLost, true, false), (Text::RecordingFailed, false, true)]);
    }

    #[test]
    fn what_has_changed_since_the_full_test_is_said_beside_an_ai_that_runs() {
        let (mut feed, _) = feed(true);
        let live = now(Signal::Live, guard::Ai::Running);
        feed.take(0, &live);
        assert!(feed.take(1, &Now { is_changed: true, ..live }));
        assert_eq!((feed.status.banner(), feed.status.notices()), (None, vec![Text::ChangedSinceFullTest]));
    }

    #[test]
    fn a_recording_says_its_length_that_it_was_ended_and_that_it_failed() {
        let (mut feed, _) = feed(true);
        let live = now(Signal::Live, guard::Ai::Running);
        let with = |recording, seconds, alarm| Now { recording: RecordingState { recording, seconds, alarm, lost: 0 }, ..live };
        let mut said = |at_ms: u64, now: Now<'_>| {
            feed.take(at_ms * MS, &now);
            feed.status.recording
        };
        assert_eq!(said(0, live), Recording::Off);
        assert_eq!(said(1, with(true, 61.9, None)), Recording::Running { seconds: 61 });
        assert_eq!(said(2, live), Recording::Ended { seconds: 61 });
        assert_eq!(said(5_001, live), Recording::Ended { seconds: 61 });
        assert_eq!(said(5_002, live), Recording::Off);
        let full = Some(RecordAlarm::DiskFull);
        assert_eq!(said(6_000, with(true, 1.0, full)), Recording::Running { seconds: 1 }, "one of two");
        assert_eq!(said(6_001, with(false, 0.0, full)), Recording::Failed);
        assert_eq!(said(600_000, with(false, 0.0, full)), Recording::Failed, "until the next one begins");
        assert_eq!(said(600_001, with(true, 0.0, None)), Recording::Running { seconds: 0 });
        let failed = Some(RecordAlarm::Failed);
        assert_eq!(said(600_002, with(false, 0.0, failed)), Recording::Failed);
    }

    #[test]
    fn figures_come_twice_a_second_and_states_at_once() {
        let (mut feed, wake) = feed(true);
        let live = now(Signal::Live, guard::Ai::Running);
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
        let live = now(Signal::Live, guard::Ai::Running);
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
        feed.refresh(4_000 * MS, &now(Signal::Lost, guard::Ai::Running));
        assert!(!feed.pip.is_open(), "no picture, none in it");
    }

    #[test]
    fn switched_off_it_says_only_what_is_wrong_with_the_picture() {
        let (mut feed, wake) = feed(false);
        let live = now(Signal::Live, DOWN);
        await_layer(&mut feed, &wake, 0, &live);
        assert!(feed.layer(0).is_none());
        let lost = now(Signal::Lost, DOWN);
        await_layer(&mut feed, &wake, 1, &lost);
        let no_signal = feed.hud.layout().no_signal;
        let layer = feed.blank_layer(1).unwrap();
        assert!(layer.rects.len() == 1 && layer.rects[0].intersection(&no_signal) == layer.rects[0]);
    }

    #[test]
    fn the_engine_that_is_named_is_the_one_that_answers_now() {
        let (feed, _) = feed(true);
        let mut feed = HudFeed { status: Status { engines: "a-gpu".into(), ..feed.status.clone() }, ..feed };
        feed = feed.with_fallback(Some(("a-cpu".into(), true)));
        let mut states = States::new(0, true);
        states.picture(0);
        let named = |feed: &mut HudFeed, at_ms: u64, states: &States| {
            feed.take(at_ms * MS, &Now { alarms: states.alarms(), ..now(states.signal(), guard::Ai::Running) });
            (feed.status.engines.to_string(), feed.status.is_demonstration)
        };
        assert_eq!(named(&mut feed, 0, &states), ("a-gpu".to_owned(), false));
        states.raise(MS, Code::AiOnProcessor, String::new());
        assert_eq!(named(&mut feed, 1, &states), ("a-cpu".to_owned(), true));
        states.acknowledge(2 * MS);
        assert_eq!(named(&mut feed, 2, &states), ("a-cpu".to_owned(), true));
    }
}
