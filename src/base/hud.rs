//! What the status display says, before anybody draws it: the states, their banners and alarms, the figures. Filled by
//! `pipeline`, drawn by `display::hud`. There is no confidence in it, so none can be shown.

use crate::base::texts::{Language, Text};
use crate::base::time_of_day::TimeOfDay;
use std::sync::Arc;

/// The picture from the source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Signal {
    /// None has come yet.
    #[default]
    Waiting,
    Live,
    /// Pictures come, and all are the same.
    Frozen,
    /// Pictures come, and are black.
    Black,
    /// Pictures come, and are torn or out of order.
    Untrusted,
    /// No picture comes.
    Lost,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Ai {
    /// There is none in this run.
    #[default]
    Off,
    Starting,
    Testing,
    Running,
    /// It runs, and what it said last is too old for the picture.
    Stale,
    /// It runs, and does not know what it sees; why, where it can say.
    Unknown(Option<Doubt>),
    /// It was there and is not.
    Degraded(AiTrouble),
    /// It refuses to run.
    Blocked(AiTrouble),
}

/// What a picture is that the AI was not made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Doubt {
    NoContent,
    OutOfBody,
    OtherModality,
    Covered,
    OffCohort,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AiTrouble {
    Ended,
    Stopped,
    Hung,
    Nonsense,
    Fault,
    /// It runs, and what it says comes too late to be shown.
    Slow,
    CannotStart,
    EngineRefused,
    // What keeps it from running until somebody has tested the appliance.
    NotSelfTested,
    SelfTestFailed,
    ChangedSinceTest,
    NeverFullTested,
    FullTestFailed,
    CableNeverTested,
    CableTestFailed,
    CableTestTooOld,
    /// Before the cable's last test.
    ClockBehind,
    EnginesFailed,
    /// Its answer to the test picture of this run was another one than it has to be, or none came.
    LiveProofWrong,
    LiveProofMissing,
    /// The picture reaches the monitor too late.
    DelayOverLimit,
}

impl AiTrouble {
    pub const ALL: [AiTrouble; 21] = {
        use AiTrouble::*;
        [
            Ended,
            Stopped,
            Hung,
            Nonsense,
            Fault,
            Slow,
            CannotStart,
            EngineRefused,
            NotSelfTested,
            SelfTestFailed,
            ChangedSinceTest,
            NeverFullTested,
            FullTestFailed,
            CableNeverTested,
            CableTestFailed,
            CableTestTooOld,
            ClockBehind,
            EnginesFailed,
            LiveProofWrong,
            LiveProofMissing,
            DelayOverLimit,
        ]
    };

    pub fn text(self) -> Text {
        match self {
            AiTrouble::Ended => Text::AiEnded,
            AiTrouble::Stopped => Text::AiStopped,
            AiTrouble::Hung => Text::AiHung,
            AiTrouble::Nonsense => Text::AiNonsense,
            AiTrouble::Fault => Text::AiFault,
            AiTrouble::Slow => Text::AiSlow,
            AiTrouble::CannotStart => Text::AiCannotStart,
            AiTrouble::EngineRefused => Text::EngineRefused,
            AiTrouble::NotSelfTested => Text::NotSelfTested,
            AiTrouble::SelfTestFailed => Text::SelfTestFailed,
            AiTrouble::ChangedSinceTest => Text::ChangedSinceTest,
            AiTrouble::NeverFullTested => Text::NeverFullTested,
            AiTrouble::FullTestFailed => Text::FullTestFailed,
            AiTrouble::CableNeverTested => Text::CableNeverTested,
            AiTrouble::CableTestFailed => Text::CableTestFailed,
            AiTrouble::CableTestTooOld => Text::CableTestTooOld,
            AiTrouble::ClockBehind => Text::ClockBehind,
            AiTrouble::EnginesFailed => Text::EnginesFailed,
            AiTrouble::LiveProofWrong => Text::LiveProofWrong,
            AiTrouble::LiveProofMissing => Text::LiveProofMissing,
            AiTrouble::DelayOverLimit => Text::DelayOverLimit,
        }
    }
}

/// How an alarm asks to be answered: the categories of IEC 60601-1-8. The gravest is the least.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Priority {
    /// At once.
    High,
    /// Promptly.
    Medium,
    /// Be aware.
    Low,
}

/// One alarm as the screen says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Alarm {
    pub text: Text,
    pub lookup: Option<&'static str>,
    pub priority: Priority,
    /// It has passed; when it began.
    pub was: Option<TimeOfDay>,
    /// Somebody has said that he has seen it; it lasts.
    pub is_acknowledged: bool,
}

impl Alarm {
    /// One that lasts and that nobody has acknowledged.
    pub fn new(text: Text, priority: Priority) -> Self {
        Alarm { text, lookup: None, priority, was: None, is_acknowledged: false }
    }

    /// Its line without the sign: words, code, and of what has passed the time.
    pub fn words(&self, language: Language) -> String {
        let was = self.was.map_or(String::new(), |at| format!("{}: ", Text::Was.filled(language, at)));
        let lookup = self.lookup.map_or(String::new(), |code| format!(" ({code})"));
        format!("{was}{}{lookup}", self.text.of(language))
    }
}

/// A control that may be plugged in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Control {
    Footswitch,
    /// Contacts and buttons at a serial port.
    Serial,
    /// Where there is no window; in one, keyboards are the window system's.
    Keyboard,
}

/// What becomes of the pictures besides being shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Recording {
    #[default]
    Off,
    Running {
        seconds: u64,
    },
    /// It was stopped a moment ago.
    Ended {
        seconds: u64,
    },
    /// It stopped by itself, and nobody has begun another.
    Failed,
}

/// What keeps the surgeon from trusting, or seeing, anything; said in large letters and by a sign of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Banner {
    AiOff,
    AiStale,
    AiUnknown,
    NoSignal,
    FrozenPicture,
    BlackPicture,
    FaultyPicture,
}

impl Banner {
    pub const ALL: [Banner; 7] = [
        Banner::AiOff,
        Banner::AiStale,
        Banner::AiUnknown,
        Banner::NoSignal,
        Banner::FrozenPicture,
        Banner::BlackPicture,
        Banner::FaultyPicture,
    ];

    pub fn text(self) -> Text {
        match self {
            Banner::AiOff => Text::AiOff,
            Banner::AiStale => Text::AiStale,
            Banner::AiUnknown => Text::AiUnknown,
            Banner::NoSignal => Text::NoSignal,
            Banner::FrozenPicture => Text::FrozenPicture,
            Banner::BlackPicture => Text::BlackPicture,
            Banner::FaultyPicture => Text::FaultyPicture,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SourceKind {
    #[default]
    Camera,
    Playback,
    Simulated,
}

/// Where the picture comes from, and its format.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Source {
    pub kind: SourceKind,
    pub width: usize,
    pub height: usize,
    /// 0: not known.
    pub hz: f64,
}

/// Worst of the last half second; None: nothing was measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Figures {
    pub frames_per_s: u32,
    pub video_delay_ns: Option<u64>,
    pub annotation_delay_ns: Option<u64>,
    pub overlay_age_ns: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mode {
    #[default]
    Demo,
    Clinical,
}

/// What is drawn over the picture, by the operator's choice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Drawn {
    #[default]
    Off,
    Outline,
    Fill,
}

/// What the picture in picture shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PipMode {
    /// The live picture, without overlay.
    Clean,
    /// A part of the live picture, so many times larger.
    Zoom(u8),
    /// One picture of the past.
    Frozen,
}

/// The words over a picture in picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PipCaption {
    pub mode: PipMode,
    /// Of a frozen picture: seconds since it was live.
    pub age_s: u64,
}

/// Everything that the screen says.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Status {
    /// Off: nothing is said but the words of a picture in picture, and what is wrong with the live picture.
    pub is_on: bool,
    pub language: Language,
    pub signal: Signal,
    pub ai: Ai,
    pub source: Source,
    pub figures: Figures,
    /// Names of the engines that run.
    pub engines: Arc<str>,
    /// No vendor has signed them.
    pub is_demonstration: bool,
    /// The gravest first.
    pub alarms: Vec<Alarm>,
    /// Something has changed since the last full self-test, and the AI may run all the same.
    pub is_changed: bool,
    pub mode: Mode,
    pub drawn: Drawn,
    /// The overlay is off, and one more action turns it on.
    pub is_armed: bool,
    pub recording: Recording,
    pub case: Option<Arc<str>>,
    pub pip: Option<PipCaption>,
}

impl Status {
    /// The one thing to be said in large letters: the picture before the AI.
    pub fn banner(&self) -> Option<Banner> {
        banner(self.signal, self.ai)
    }

    /// Without a picture NO SIGNAL stands in the middle: there is nothing to hide.
    pub fn has_picture(&self) -> bool {
        self.banner() != Some(Banner::NoSignal)
    }

    /// What has to be known and is no alarm, a line each.
    pub fn notices(&self) -> Vec<Text> {
        let doubt = match self.ai {
            Ai::Unknown(Some(doubt)) => Some(match doubt {
                Doubt::NoContent => Text::NoContent,
                Doubt::OutOfBody => Text::OutOfBody,
                Doubt::OtherModality => Text::OtherModality,
                Doubt::Covered => Text::Covered,
                Doubt::OffCohort => Text::OffCohort,
            }),
            _ => None,
        };
        doubt.into_iter().chain(self.is_changed.then_some(Text::ChangedSinceFullTest)).collect()
    }

    /// One line: where the picture comes from, its size and rate.
    pub fn source_line(&self) -> String {
        let language = self.language;
        let kind = match self.source.kind {
            SourceKind::Camera => Text::Camera,
            SourceKind::Playback => Text::Playback,
            SourceKind::Simulated => Text::Simulated,
        };
        let (kind, Source { width, height, hz, .. }) = (kind.of(language), self.source);
        if hz > 0.0 {
            let rate = Text::Hertz.filled(language, rounded(hz, 2, language));
            format!("{kind} {width}×{height} {rate}")
        } else {
            format!("{kind} {width}×{height}")
        }
    }

    /// One line: what the AI does, and with which engines.
    pub fn ai_line(&self) -> String {
        let language = self.language;
        let state = match self.ai {
            Ai::Off => Text::AiIsOff,
            Ai::Starting => Text::AiIsStarting,
            Ai::Testing => Text::AiIsTesting,
            Ai::Running | Ai::Stale | Ai::Unknown(_) => Text::AiIsRunning,
            Ai::Degraded(_) => Text::AiIsDegraded,
            Ai::Blocked(_) => Text::AiIsBlocked,
        };
        let state = state.of(language);
        match (self.engines.is_empty(), self.is_demonstration) {
            (true, _) => state.to_owned(),
            (false, false) => format!("{state}: {}", self.engines),
            (false, true) => format!("{state}: {} ({})", self.engines, Text::DemoEngine.of(language)),
        }
    }

    /// Frame rate, video delay, annotation delay and overlay age, each with its name.
    pub fn figures(&self) -> [String; 4] {
        let language = self.language;
        let ms = |ns: Option<u64>| match ns {
            None => Text::NoFigure.of(language).to_owned(),
            // Nobody reads a tenth of a long delay.
            Some(ns) => Text::Milliseconds.filled(language, rounded(ns as f64 / 1e6, usize::from(ns < 9_950_000), language)),
        };
        let Figures { frames_per_s, video_delay_ns, annotation_delay_ns, overlay_age_ns } = self.figures;
        [
            Text::FramesPerSecond.filled(language, frames_per_s),
            Text::VideoDelay.filled(language, ms(video_delay_ns)),
            Text::AnnotationDelay.filled(language, ms(annotation_delay_ns)),
            Text::OverlayAge.filled(language, ms(overlay_age_ns)),
        ]
    }

    /// What is said of the recording; None: nothing.
    pub fn recording_line(&self) -> Option<String> {
        let filled = |text: Text, seconds: u64| {
            let (hours, minutes, seconds) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
            Some(text.filled(self.language, format_args!("{hours}:{minutes:02}:{seconds:02}")))
        };
        match self.recording {
            Recording::Off => None,
            Recording::Running { seconds } => filled(Text::Rec, seconds),
            Recording::Ended { seconds } => filled(Text::RecEnded, seconds),
            Recording::Failed => Some(Text::RecFailed.of(self.language).to_owned()),
        }
    }

    pub fn mode_line(&self) -> &'static str {
        match self.mode {
            Mode::Demo => Text::Demo.of(self.language),
            Mode::Clinical => Text::Clinical.of(self.language),
        }
    }

    pub fn overlay_line(&self) -> &'static str {
        let text = match self.drawn {
            Drawn::Off if self.is_armed => Text::OverlayArmed,
            Drawn::Off => Text::OverlayIsOff,
            Drawn::Outline => Text::OverlayIsOutline,
            Drawn::Fill => Text::OverlayIsFill,
        };
        text.of(self.language)
    }
}

impl PipCaption {
    pub fn words(&self, language: Language) -> String {
        match self.mode {
            PipMode::Clean => Text::PipClean.of(language).to_owned(),
            PipMode::Zoom(times) => Text::PipZoom.filled(language, times),
            PipMode::Frozen => Text::PipFrozen.filled(language, Text::Seconds.filled(language, self.age_s)),
        }
    }
}

pub fn banner(signal: Signal, ai: Ai) -> Option<Banner> {
    match (signal, ai) {
        (Signal::Waiting | Signal::Lost, _) => Some(Banner::NoSignal),
        (Signal::Frozen, _) => Some(Banner::FrozenPicture),
        (Signal::Black, _) => Some(Banner::BlackPicture),
        (Signal::Untrusted, _) => Some(Banner::FaultyPicture),
        (Signal::Live, Ai::Off | Ai::Starting | Ai::Testing | Ai::Degraded(_) | Ai::Blocked(_)) => Some(Banner::AiOff),
        (Signal::Live, Ai::Stale) => Some(Banner::AiStale),
        (Signal::Live, Ai::Unknown(_)) => Some(Banner::AiUnknown),
        (Signal::Live, Ai::Running) => None,
    }
}

/// A number with so many decimals at most, written as the language does.
fn rounded(value: f64, decimals: usize, language: Language) -> String {
    let text = format!("{value:.decimals$}");
    match language {
        Language::En => text,
        Language::De => text.replace('.', ","),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_picture_is_said_before_the_ai_and_only_what_runs_has_no_banner() {
        let down = AiTrouble::ALL.iter().flat_map(|&t| [Ai::Degraded(t), Ai::Blocked(t)]);
        for ai in [Ai::Off, Ai::Starting, Ai::Testing].into_iter().chain(down) {
            assert_eq!(banner(Signal::Live, ai), Some(Banner::AiOff));
            assert_eq!(banner(Signal::Frozen, ai), Some(Banner::FrozenPicture));
            assert_eq!(banner(Signal::Waiting, ai), Some(Banner::NoSignal));
        }
        for ai in [Ai::Running, Ai::Stale, Ai::Unknown(None)] {
            assert_eq!(banner(Signal::Lost, ai), Some(Banner::NoSignal));
            assert_eq!(banner(Signal::Black, ai), Some(Banner::BlackPicture));
        }
        let live = [Ai::Running, Ai::Stale, Ai::Unknown(None)].map(|ai| banner(Signal::Live, ai));
        assert_eq!(live, [None, Some(Banner::AiStale), Some(Banner::AiUnknown)]);
    }

    #[test]
    fn nothing_measured_is_no_zero_and_numbers_follow_the_language() {
        let mut status = Status { figures: Figures { frames_per_s: 60, ..Figures::default() }, ..Status::default() };
        assert_eq!(status.figures(), ["60 fps", "video -", "annotation -", "overlay age -"]);
        status.figures.video_delay_ns = Some(4_949_000);
        assert_eq!(status.figures()[1], "video 4.9\u{a0}ms");
        status.language = Language::De;
        assert_eq!(status.figures()[1], "Video 4,9\u{a0}ms");
        status.figures.video_delay_ns = Some(112_700_000);
        assert_eq!(status.figures()[1], "Video 113\u{a0}ms");
        status.source = Source { kind: SourceKind::Camera, width: 1920, height: 1080, hz: 60_000.0 / 1_001.0 };
        assert_eq!(status.source_line(), "KAMERA 1920×1080 59,94\u{a0}Hz");
    }

    #[test]
    fn a_recording_says_how_long_it_is_and_how_it_ended() {
        let said = |recording, language| Status { recording, language, ..Status::default() }.recording_line();
        assert_eq!(said(Recording::Off, Language::En), None);
        assert_eq!(said(Recording::Running { seconds: 3_727 }, Language::De).as_deref(), Some("REC 1:02:07"));
        assert_eq!(said(Recording::Ended { seconds: 59 }, Language::De).as_deref(), Some("REC beendet 0:00:59"));
        assert_eq!(said(Recording::Failed, Language::En).as_deref(), Some("REC FAILED"));
    }

    #[test]
    fn an_engine_that_no_vendor_signed_is_said_to_be_one() {
        let mut status = Status { ai: Ai::Running, engines: "lapchole-cpu".into(), is_demonstration: true, ..Status::default() };
        assert_eq!(status.ai_line(), "AI running: lapchole-cpu (demo)");
        status.is_demonstration = false;
        assert_eq!(status.ai_line(), "AI running: lapchole-cpu");
    }

    #[test]
    fn an_alarm_says_its_code_and_of_what_has_passed_when_it_was() {
        let blocked = Alarm { lookup: Some("ST-G02"), ..Alarm::new(Text::SelfTestFailed, Priority::Medium) };
        assert_eq!(blocked.words(Language::En), "the self-test failed (ST-G02)");
        let past = Alarm { was: Some(TimeOfDay(14 * 3_600 + 182)), ..Alarm::new(Text::PictureStands, Priority::High) };
        assert_eq!(past.words(Language::De), "war 14:03:02: das Bild ändert sich nicht");
        assert!(Priority::High < Priority::Medium && Priority::Medium < Priority::Low);
    }

    #[test]
    fn what_keeps_the_ai_off_has_words_of_its_own_and_tests_have_codes_of_their_own() {
        let mut lookups = Vec::new();
        for (i, trouble) in AiTrouble::ALL.into_iter().enumerate() {
            assert!(AiTrouble::ALL[..i].iter().all(|other| other.text() != trouble.text()), "{trouble:?}");
            lookups.extend(trouble.lookup());
        }
        let count = lookups.len();
        lookups.sort_unstable();
        lookups.dedup();
        assert_eq!((count, lookups.len()), (13, 13), "{lookups:?}");
    }

    #[test]
    fn doubts_and_changes_are_said_and_are_no_alarms() {
        let status = Status { ai: Ai::Unknown(Some(Doubt::Covered)), is_changed: true, ..Status::default() };
        assert_eq!(status.notices(), [Text::Covered, Text::ChangedSinceFullTest]);
        assert!(Status { ai: Ai::Running, ..Status::default() }.notices().is_empty());
    }
}
