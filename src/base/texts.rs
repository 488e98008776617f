//! Every word that the screen says, in every language: one table, ready to translate. A language more is a column more;
//! the compiler refuses a row in which it is missing. Log, report and command line speak English and do not belong here.

use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Language {
    #[default]
    En,
    De,
}

impl Language {
    pub const ALL: [Language; 2] = [Language::En, Language::De];
}

macro_rules! texts {
    ($($(#[$doc:meta])* $name:ident: $en:literal, $de:literal;)*) => {
        /// A text of the screen. `{}` stands for what `filled` puts there.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Text {
            $($(#[$doc])* $name,)*
        }

        impl Text {
            pub const ALL: &'static [Text] = &[$(Text::$name,)*];

            pub fn of(self, language: Language) -> &'static str {
                match (self, language) {
                    $((Text::$name, Language::En) => $en, (Text::$name, Language::De) => $de,)*
                }
            }
        }
    };
}

texts! {
    // Banners: what keeps the surgeon from trusting, or seeing, anything.
    AiOff: "AI OFF", "KI AUS";
    AiStale: "AI STALE", "KI VERALTET";
    AiUnknown: "AI UNKNOWN", "KI UNKLAR";
    NoSignal: "NO SIGNAL", "KEIN SIGNAL";
    FrozenPicture: "FROZEN PICTURE", "BILD STEHT";
    BlackPicture: "BLACK PICTURE", "BILD SCHWARZ";
    FaultyPicture: "FAULTY PICTURE", "BILD GESTÖRT";

    // The state of the AI, in its line.
    AiIsOff: "AI off", "KI aus";
    AiIsStarting: "AI starting", "KI startet";
    AiIsTesting: "AI self-test", "KI-Selbsttest";
    AiIsRunning: "AI running", "KI läuft";
    AiIsDegraded: "AI degraded", "KI gestört";
    AiIsBlocked: "AI blocked", "KI gesperrt";
    /// Behind the name of an engine that no vendor has signed.
    DemoEngine: "demo", "Demo";

    // Where the picture comes from.
    Camera: "CAMERA", "KAMERA";
    Playback: "PLAYBACK", "WIEDERGABE";
    Simulated: "SIMULATED", "SIMULATION";

    Demo: "DEMO", "DEMO";
    Clinical: "CLINICAL", "KLINISCH";
    /// The name of the case.
    Case: "Case {}", "Fall {}";

    /// A recording is being made; how long it is.
    Rec: "REC {}", "REC {}";
    /// It was stopped; how long it became.
    RecEnded: "REC ended {}", "REC beendet {}";
    /// It stopped by itself, or never began.
    RecFailed: "REC FAILED", "REC FEHLER";

    // The figures' names, each followed by its value.
    FramesPerSecond: "{} fps", "{} Bilder/s";
    VideoDelay: "video {}", "Video {}";
    AnnotationDelay: "annotation {}", "Annotation {}";
    OverlayAge: "overlay age {}", "Overlay-Alter {}";

    OverlayIsOff: "Overlay off", "Overlay aus";
    OverlayIsOutline: "Overlay outline", "Overlay Umriss";
    OverlayIsFill: "Overlay fill", "Overlay Fläche";
    /// The first of the two actions that turn the overlay on was taken.
    OverlayArmed: "Confirm: overlay on?", "Bestätigen: Overlay ein?";

    // Alarms: what has gone wrong, in a line each.
    NoPictureComes: "no picture comes from the source", "die Quelle liefert kein Bild";
    PictureStands: "the picture has not changed", "das Bild ändert sich nicht";
    PictureIsBlack: "the picture is black", "das Bild ist schwarz";
    LeftEyeGone: "left eye: no picture", "linkes Auge: kein Bild";
    LeftEyeStands: "left eye: picture frozen", "linkes Auge: Bild steht";
    LeftEyeBlack: "left eye: picture black", "linkes Auge: Bild schwarz";
    RightEyeGone: "right eye: no picture", "rechtes Auge: kein Bild";
    RightEyeStands: "right eye: picture frozen", "rechtes Auge: Bild steht";
    RightEyeBlack: "right eye: picture black", "rechtes Auge: Bild schwarz";
    AiEnded: "AI process ended", "KI-Prozess wurde beendet";
    AiStopped: "AI process was stopped", "KI-Prozess wurde angehalten";
    AiHung: "AI process did not answer", "KI-Prozess antwortet nicht";
    AiNonsense: "AI process gave impossible results", "KI-Prozess liefert Unmögliches";
    AiFault: "AI process could not go on", "KI-Prozess konnte nicht weiter";
    AiSlow: "AI is too slow to be shown", "KI ist zu langsam";
    AiCannotStart: "AI process cannot be started", "KI-Prozess startet nicht";
    AiOnProcessor: "AI goes on without the graphics card", "KI arbeitet ohne Grafikkarte weiter";
    EngineRefused: "AI engine was refused", "KI-Modell wurde abgelehnt";
    // Why the AI may not run, in words of the theatre; each stands before an engineer's code.
    NotSelfTested: "not self-tested since switched on", "seit dem Einschalten kein Selbsttest";
    SelfTestFailed: "the self-test failed", "Selbsttest nicht bestanden";
    ChangedSinceTest: "changed since the self-test", "seit dem Selbsttest verändert";
    NeverFullTested: "no full self-test was ever made", "noch nie vollständig getestet";
    FullTestFailed: "the full self-test failed", "vollständiger Test nicht bestanden";
    CableNeverTested: "monitor cable never tested", "Monitorkabel nie getestet";
    CableTestFailed: "monitor cable failed its test", "Monitorkabel: Test nicht bestanden";
    CableTestTooOld: "monitor cable tested too long ago", "Test des Monitorkabels zu alt";
    ClockBehind: "the clock is wrong", "die Uhr geht falsch";
    EnginesFailed: "the AI failed its test", "KI hat ihren Test nicht bestanden";
    LiveProofWrong: "the AI miscalculated a test picture", "KI hat ein Prüfbild falsch berechnet";
    LiveProofMissing: "the AI did not answer a test picture", "KI beantwortete ein Prüfbild nicht";
    /// Said while the AI runs: no alarm.
    ChangedSinceFullTest: "changed since the last full test", "seit dem vollständigen Test verändert";
    // Why the AI does not know what it sees: what the picture is.
    NoContent: "no picture from a scope", "kein Bild eines Endoskops";
    OutOfBody: "outside the body", "außerhalb des Körpers";
    OtherModality: "not white light", "kein Weißlicht";
    Covered: "the picture is covered", "das Bild ist verdeckt";
    OffCohort: "unlike what the AI was trained on", "anders als die Trainingsbilder der KI";
    RecordingLost: "the recording loses pictures", "die Aufnahme verliert Bilder";
    RecordingFull: "recording stopped: disk full", "Aufnahme beendet: Speicher voll";
    RecordingFailed: "recording stopped by an error", "Aufnahme durch Fehler beendet";
    FootswitchGone: "footswitch not connected", "Fußschalter nicht verbunden";
    SerialGone: "camera buttons not connected", "Kameratasten nicht verbunden";
    KeyboardGone: "keyboard not connected", "Tastatur nicht verbunden";
    MonitorLost: "a monitor shows no picture", "ein Monitor zeigt kein Bild";
    PicturesMissed: "pictures were missing", "es fehlten Bilder";
    PictureTorn: "a picture was torn", "ein Bild war zerrissen";
    PictureOutOfOrder: "a picture came out of order", "ein Bild kam außer der Reihe";
    PictureDamaged: "a picture was damaged", "ein Bild war beschädigt";
    PicturesDamaged: "the source gives damaged pictures", "die Quelle liefert defekte Bilder";
    PicturesTorn: "the source gives torn pictures", "die Quelle liefert zerrissene Bilder";
    PicturesOutOfOrder: "pictures come out of order", "Bilder kommen durcheinander";
    RateIsWrong: "pictures come at a wrong rate", "Bilder kommen mit falscher Rate";
    FormatChanged: "the picture's format changed", "das Bildformat hat gewechselt";
    EyesNotParted: "the stereo picture cannot be parted", "Stereobild ist nicht teilbar";
    CaptureStalled: "the picture input stands still", "die Bildaufnahme steht";
    DisplayStalled: "the picture output stood still", "die Bildausgabe stand";
    GpuLost: "the graphics device was lost", "die Grafikkarte ist ausgefallen";
    HudHung: "the status display hung", "die Statusanzeige hing";
    RecordStalled: "the recording stands still", "die Aufnahme steht";
    FilesIncomplete: "files of this run are incomplete", "Dateien sind unvollständig";
    ClockJumped: "the clock was changed", "die Uhr wurde verstellt";
    DelayCreeping: "the delay to the monitor grows", "Verzögerung zum Monitor wächst";
    DelayStepped: "the delay to the monitor changed", "Verzögerung zum Monitor geändert";
    DelayOverLimit: "the picture comes too late", "das Bild kommt zu spät";
    DelayNotWatched: "the delay is not watched", "Verzögerung wird nicht überwacht";
    /// An alarm that has passed, and was not acknowledged: its time stands before its words.
    Was: "was {}", "war {}";

    // What an operator does about an alarm.
    DoCheckSource: "look at the camera, its cable and its power", "Kamera, Kabel und Strom prüfen";
    DoCheckLight: "look at the light source and the scope's lens", "Lichtquelle und Optik prüfen";
    DoCheckStereo: "set the camera to the stereo format that is configured", "Kamera auf das eingestellte Stereoformat stellen";
    DoCheckMonitor: "look at the monitor, its cable and its power; use another monitor", "Monitor, Kabel und Strom prüfen; anderen Monitor nehmen";
    DoWithoutAi: "go on without the overlay; it comes back by itself", "ohne Overlay weiterarbeiten; es kommt von selbst zurück";
    DoWithoutAiAndCall: "go on without the overlay; call service with the code", "ohne Overlay weiterarbeiten; Service mit dem Code rufen";
    DoPlugIn: "plug it in", "wieder einstecken";
    DoCheckDisk: "the picture is not affected; free disk space, or record elsewhere", "das Bild ist nicht betroffen; Speicher freigeben oder anders aufnehmen";
    DoCheckClock: "compare the clock with another; recordings and reports carry its time", "Uhr mit einer anderen vergleichen; Aufnahmen und Berichte tragen ihre Zeit";
    DoMeasureDelay: "go on; have the delay measured after the operation", "weiterarbeiten; nach der Operation die Verzögerung messen lassen";
    DoCheckMonitorMode: "look at what was changed at the monitor or between; use another monitor", "prüfen, was am Monitor oder dazwischen verstellt wurde; anderen Monitor nehmen";
    DoCheckLoop: "the picture is not affected; look at the cable from the monitor back", "das Bild ist nicht betroffen; das Kabel vom Monitor zurück prüfen";
    DoCallService: "go on; call service after the operation", "weiterarbeiten; nach der Operation Service rufen";

    // Picture in picture.
    PipClean: "LIVE, NO OVERLAY", "LIVE, OHNE OVERLAY";
    /// The magnification.
    PipZoom: "LIVE, ZOOM ×{}", "LIVE, ZOOM ×{}";
    /// Its age.
    PipFrozen: "FROZEN {}", "STANDBILD {}";

    // Units, which stay with their number on a line.
    Milliseconds: "{}\u{a0}ms", "{}\u{a0}ms";
    Seconds: "{}\u{a0}s", "{}\u{a0}s";
    Hertz: "{}\u{a0}Hz", "{}\u{a0}Hz";
    /// Nothing measured is no zero.
    NoFigure: "-", "-";

    // Drawn into the overlay. A new line is a new line there.
    /// Whole seconds since an instrument was last seen.
    LastSeen: "last seen\n{} s", "zuletzt\nvor {} s";

    // What gets a label in the overlay; in English as in the table of classes.
    Grasper: "grasper", "Fasszange";
    LHook: "l-hook electrocautery", "Elektrohaken";
    Instrument: "instrument", "Instrument";
    Scissors: "scissors", "Schere";
    ClipApplier: "clip applier", "Clipzange";
    SuturingNeedle: "suturing needle", "Nadel";
    Polyp: "polyp", "Polyp";
    Lesion: "lesion", "Läsion";
}

/// The classes that get a label.
const CLASSES: [Text; 8] =
    [Text::Grasper, Text::LHook, Text::Instrument, Text::Scissors, Text::ClipApplier, Text::SuturingNeedle, Text::Polyp, Text::Lesion];

impl Text {
    /// The text of a class that gets a label, by its name in the table of classes.
    pub fn of_class(name: &str) -> Option<Text> {
        CLASSES.into_iter().find(|text| text.of(Language::En) == name)
    }

    /// The text with `value` in the place of its `{}`.
    pub fn filled(self, language: Language, value: impl std::fmt::Display) -> String {
        match self.of(language).split_once("{}") {
            Some((before, after)) => format!("{before}{value}{after}"),
            None => self.of(language).to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_text_says_something_in_every_language_and_takes_the_same_value() {
        assert!(Text::ALL.len() > 40);
        for &text in Text::ALL {
            let places = |language| text.of(language).matches("{}").count();
            for language in Language::ALL {
                let words = text.of(language);
                assert!(!words.trim().is_empty() && words.trim() == words, "{text:?} in {language:?}: '{words}'");
                assert!(places(language) <= 1 && places(language) == places(Language::En), "{text:?} in {language:?}");
                assert_eq!(text.filled(language, 7).contains('7'), places(language) == 1, "{text:?} in {language:?}");
            }
        }
    }

    /// A row that was copied and not translated is found; what is the same word in both languages stands here.
    #[test]
    fn every_text_is_translated() {
        use Text::*;
        let same = [Demo, DemoEngine, Rec, VideoDelay, AnnotationDelay, Milliseconds, Seconds, Hertz, NoFigure, PipZoom];
        for &text in Text::ALL {
            let [english, german] = Language::ALL.map(|language| text.of(language));
            let is_same = english.to_lowercase() == german.to_lowercase();
            assert_eq!(is_same, same.contains(&text) || matches!(text, Instrument | Polyp), "{text:?}: '{english}', '{german}'");
        }
    }

    #[test]
    fn every_class_that_gets_a_label_has_its_text_and_no_other_row_is_left() {
        use crate::base::classes::{self, ClassKind};
        for class in classes::table().iter().filter(|c| matches!(c.kind, ClassKind::Instrument | ClassKind::Finding)) {
            assert!(Text::of_class(&class.name).is_some(), "{}", class.name);
        }
        assert!(CLASSES.iter().all(|text| classes::table().by_name(text.of(Language::En)).is_some()));
        assert_eq!(Text::of_class("no such class"), None);
    }

    #[test]
    fn the_screen_never_speaks_in_percent() {
        for &text in Text::ALL {
            for language in Language::ALL {
                let words = text.of(language).to_lowercase();
                assert!(!words.contains('%') && !words.contains("percent") && !words.contains("prozent"), "{words}");
            }
        }
    }

    #[test]
    fn banners_differ_in_their_words() {
        let banners =
            [Text::AiOff, Text::AiStale, Text::AiUnknown, Text::NoSignal, Text::FrozenPicture, Text::BlackPicture, Text::FaultyPicture];
        for language in Language::ALL {
            for (i, text) in banners.iter().enumerate() {
                assert!(banners[..i].iter().all(|other| other.of(language) != text.of(language)));
            }
        }
    }
}
