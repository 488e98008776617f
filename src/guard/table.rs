//! Every test that a self-test may make: its name, its code, the limit that judges it, and its words for those who are not
//! engineers. Codes are stable: a service manual may name them. How an outcome comes about stands in `check`.

use serde::{Deserialize, Serialize};

/// What a test is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Group {
    Delay,
    Frames,
    Picture,
    Engine,
    Machine,
}

/// Where a test may not be left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// In every self-test; not done is a failure.
    Always,
    /// In every self-test, if only with the reason why it was not done; that is a limit then.
    Stated,
    /// In every full one; not done is a limit that is named.
    Full,
    /// Where there is something to test.
    WhereThere,
}

/// What the table says of a test.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row {
    pub id: &'static str,
    pub code: &'static str,
    pub group: Group,
    pub need: Need,
    /// Also made where a tower is measured with a light and a photodiode (`--loop external`).
    pub is_external: bool,
    /// Id in hw/limits.toml.
    pub limit: Option<&'static str>,
    pub what: &'static str,
    /// Why it is tested.
    pub meaning: &'static str,
    /// Said when it is not good: to a nurse.
    pub wrong: &'static str,
    /// What to do then.
    pub remedy: &'static str,
}

macro_rules! tests {
    ($($name:ident $code:literal $group:ident $need:ident $external:literal $id:literal $limit:expr, $what:literal, $meaning:literal, $wrong:literal, $remedy:literal;)*) => {
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Test {
            $($name,)*
        }

        impl Test {
            pub const ALL: &'static [Test] = &[$(Test::$name,)*];

            pub fn row(self) -> Row {
                match self {
                    $(Test::$name => Row {
                        id: $id,
                        code: $code,
                        group: Group::$group,
                        need: Need::$need,
                        is_external: $external,
                        limit: $limit,
                        what: $what,
                        meaning: $meaning,
                        wrong: $wrong,
                        remedy: $remedy,
                    },)*
                }
            }
        }
    };
}

tests! {
    CableToCable "ST-D11" Delay Always true "cable_to_cable" Some("end_to_end_ms"),
        "Delay from output to input (cable to cable)",
        "How long a picture takes through cable, box and cable. Beyond about a tenth of a second hand and eye come apart.",
        "The picture reaches the monitor too late.",
        "Look for a monitor or converter that processes the picture (set it to game or direct mode), then test again.";
    VideoDelay "ST-D12" Delay Always false "video_delay" Some("video_delay_ms"),
        "Video delay inside the box",
        "How long the box itself holds a picture before it shows it.",
        "The box shows pictures later than its limit.",
        "See that nothing else runs on the machine and test again. If this path is always so slow, have the site fix and sign a limit of its own.";
    AnnotationDelay "ST-D13" Delay WhereThere false "annotation_delay" Some("annotation_delay_ms"),
        "Annotation delay",
        "How long it takes until what the AI saw in a picture is drawn.",
        "The AI draws too late: its lines lag behind what they mark.",
        "See that the engine fits this machine (`keyhole engine list`) and that nothing else runs, then test again.";
    OverlayAge "ST-D14" Delay WhereThere false "overlay_age" Some("overlay_age_ms"),
        "Age of the overlay when it is shown",
        "An overlay that is too old is hidden; here it is seen that it is.",
        "An overlay was shown that was too old.",
        "Do not use AI. Report it to the maker with this report.";
    Explained "ST-D15" Delay WhereThere false "explained" Some("unexplained_resolutions"),
        "The stages' times add up to the delay",
        "What the box says of its own times agrees with what was measured from outside.",
        "Part of the delay is not explained by the box's own times.",
        "Something on the path holds pictures back that the box does not know of: a window system, a converter, the monitor.";
    Frames "ST-D16" Delay Always true "frames" None,
        "Pictures measured",
        "A few pictures prove nothing.",
        "Too few pictures were measured to judge by.",
        "Look at ST-F24 and ST-F25, and at the cable and its plug; test again.";
    Duration "ST-D17" Delay WhereThere false "duration" None,
        "Duration of the self-test",
        "Nobody waits long for a box to be ready.",
        "The self-test took longer than it may.",
        "See that nothing else runs on the machine, and test again.";

    Missing "ST-F21" Frames Always false "missing" Some("missing_percent"),
        "Pictures sent and never seen",
        "Each picture that comes in is shown.",
        "Pictures were lost on their way to the monitor.",
        "Look at the cable, and at the frame rates of source and monitor; test again.";
    Repeated "ST-F22" Frames WhereThere false "repeated" Some("repeated_percent"),
        "Pictures shown again instead of a new one",
        "The picture does not stutter.",
        "The picture stutters: old pictures were shown again.",
        "Look at the frame rates of source and monitor; see that nothing else runs on the machine.";
    Reordered "ST-F23" Frames Always false "reordered" Some("reordered"),
        "Pictures out of their order",
        "Time never runs backwards on the monitor.",
        "Pictures were shown in the wrong order.",
        "Do not use the box. Report it to the maker with this report.";
    Torn "ST-F24" Frames Always false "torn" Some("torn_percent"),
        "Torn pictures",
        "No picture is half of one moment and half of the next.",
        "Pictures were torn: the upper and the lower half were of two moments.",
        "Use an output with a frame clock (`--display drm`), or switch on the monitor's synchronisation.";
    Unreadable "ST-F25" Frames Always false "unreadable" Some("unreadable_percent"),
        "Looks that showed no marker",
        "What could not be read was not measured.",
        "The test picture could not be read back.",
        "Look at the cable, its plug and the capture input; take every other window away from the marker.";
    Refresh "ST-F26" Frames WhereThere false "refresh" Some("refresh_error_percent"),
        "Refresh rate of the display",
        "The display runs at the rate that it states.",
        "The monitor runs at another rate than it should.",
        "Set the output to the source's rate, and look whether the monitor takes it.";
    CaptureRate "ST-F27" Frames WhereThere false "capture_rate" Some("capture_rate_hz"),
        "Looks at the output each second",
        "How finely time was measured.",
        "The output was looked at too seldom to measure finely.",
        "See that nothing else runs on the machine, and test again.";

    Colours "ST-P31" Picture Always false "colours" Some("colour_error_levels"),
        "Colours and range of the test bars",
        "Bile, blood and burnt tissue are told apart by colour.",
        "The monitor's colours are wrong.",
        "Set matrix and range (limited or full) of source, output and monitor alike; the report says which mistake explains it.";
    Geometry "ST-P32" Picture Always false "geometry" Some("geometry_error_percent"),
        "Size and place of the picture",
        "The whole picture is seen, and nothing is stretched.",
        "The picture is cut off, moved or stretched.",
        "Switch off overscan and zoom at the monitor and at converters.";
    Pixels "ST-P33" Picture Full false "pixels" Some("pixels_changed"),
        "Pixels outside the overlay against an independent conversion",
        "Nothing outside the overlay is touched, in any format.",
        "The box changes the picture outside its overlay.",
        "Do not use AI. Report it to the maker with this report.";
    PixelsOff "ST-P34" Picture Full false "pixels_off" Some("pixels_changed"),
        "Pixels outside the overlay against the overlay switched off",
        "What is shown beside the overlay is what would be shown without it.",
        "The overlay changes the picture beside itself.",
        "Do not use AI. Report it to the maker with this report.";
    PixelFrames "ST-P35" Picture Full false "pixel_frames" Some("pixel_frames"),
        "Pictures whose pixels were compared",
        "A few pictures prove nothing.",
        "Too few pictures were compared.",
        "Test again in the full form, with nothing else running.";

    EngineVerified "ST-E41" Engine Always false "engine_verified" None,
        "Engines are those that were signed",
        "The AI is the one that was validated: its files, its signature and this program belong together.",
        "The AI's files are not those that were approved.",
        "Restore the engine from its package (`keyhole engine verify` names the file), or have it locked and signed again.";
    EngineGolden "ST-E42" Engine Always false "engine_golden" Some("golden_agreement"),
        "Engines answer their reference picture as when they were locked",
        "The AI computes on this machine what it computed when it was validated.",
        "The AI computes something else than it should.",
        "Look at the graphics driver and the libraries: they are not those of the validation. Restore them, or validate again.";
    KnownAnswer "ST-E43" Engine Full false "known_answer" Some("known_answer_dice"),
        "Known answer on the built-in clip",
        "The AI finds what is known to be there.",
        "The AI does not find what is known to be there.",
        "Do not use AI. Verify the engine, then report it with this report.";

    Processor "ST-M51" Machine WhereThere false "processor" None,
        "Processor and graphics device",
        "The parts that compute are there and answer.",
        "A part of the machine does not answer.",
        "Switch the box off and on. If it stays so, have it serviced.";
    Memory "ST-M52" Machine Stated false "memory" Some("memory_free_mb"),
        "Free memory",
        "There is room to work in.",
        "The machine has too little memory left.",
        "Switch the box off and on; see that nothing else runs on it.";
    DiskSpace "ST-M53" Machine Stated false "disk_space" Some("disk_free_mb"),
        "Free disk space",
        "What happens can be recorded.",
        "The disk is full.",
        "Copy recordings away and delete them here.";
    DiskRate "ST-M54" Machine WhereThere false "disk_rate" Some("disk_write_mb_s"),
        "Write rate of the disk",
        "The disk keeps up with what is recorded.",
        "The disk is too slow.",
        "Replace the disk, or record less.";
    ClockSource "ST-M55" Machine Stated false "clock_source" None,
        "Clock source",
        "Delays are measured with a clock that does not jump.",
        "The machine's clock is not good enough to measure delays.",
        "Look at the kernel's clock source (tsc is expected) and at the firmware's settings.";
    Temperature "ST-M56" Machine WhereThere false "temperature" Some("temperature_c"),
        "Temperature",
        "A hot machine becomes slow.",
        "The machine is too hot.",
        "Free its air vents; look at the fans.";
    Audit "ST-M57" Machine WhereThere false "audit" None,
        "Audit log is whole",
        "What was shown can be proven afterwards.",
        "The log of what was shown is damaged.",
        "Keep the disk as it is and call service (`keyhole audit verify` names the place).";
    Binary "ST-M58" Machine Stated false "binary" None,
        "The running program is the one that was installed",
        "Nobody has exchanged the program.",
        "The program is not the one that was installed.",
        "Install the appliance's software again.";
    Config "ST-M59" Machine Stated false "config" None,
        "Configuration is the one that was signed",
        "Nobody has changed the settings.",
        "The settings are not those that were approved.",
        "Restore the configuration, or have it signed again.";
    LimitsFile "ST-M60" Machine Always true "limits_file" None,
        "Limits of this self-test",
        "The self-test judges by the limits that were approved.",
        "The limits of the self-test were changed.",
        "Restore hw/limits.toml of this version, or have the site's limits signed again.";
    SourceSignal "ST-M61" Machine WhereThere false "source_signal" None,
        "Signal of the source",
        "A picture comes in.",
        "No good picture comes from the camera.",
        "Look at the camera, its cable and its plug.";
}

impl Test {
    pub fn by_code(code: &str) -> Option<Test> {
        Test::ALL.iter().copied().find(|test| test.row().code == code)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guard::Limits;
    use std::collections::BTreeSet;

    #[test]
    fn names_and_codes_are_unique_words_are_there_and_limits_exist() {
        let limits = Limits::shipped();
        let (mut ids, mut codes, mut used) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        for &test in Test::ALL {
            let row = test.row();
            assert!(ids.insert(row.id) && codes.insert(row.code), "{}", row.code);
            assert_eq!(Test::by_code(row.code), Some(test));
            for words in [row.what, row.meaning, row.wrong, row.remedy] {
                assert!(words.len() > 8 && !words.contains("  "), "{}: '{words}'", row.code);
            }
            assert!([row.meaning, row.wrong, row.remedy].iter().all(|words| words.ends_with('.')), "{}", row.code);
            // The letter tells an engineer where to look.
            assert_eq!(row.code.as_bytes()[3], format!("{:?}", row.group).as_bytes()[0], "{}", row.code);
            if let Some(limit) = row.limit {
                assert!(limits.get(limit).is_some(), "{}: no limit '{limit}'", row.code);
                used.insert(limit);
            }
        }
        let rules = [
            "quick_share_over_percent",
            "full_share_over_percent",
            "quick_frames",
            "full_frames",
            "quick_seconds",
            "full_seconds",
            "cable_proof_days",
        ];
        for limit in limits.iter() {
            assert!(used.contains(limit.id.as_str()) || rules.contains(&limit.id.as_str()), "nobody judges by '{}'", limit.id);
        }
    }

    #[test]
    fn what_a_nurse_reads_is_short_and_without_jargon() {
        for test in Test::ALL {
            let words = test.row().wrong.to_lowercase();
            assert!(words.len() <= 90, "{words}");
            assert!(!["buffer", "tensor", "latency", "p99", "sha", "edid"].iter().any(|jargon| words.contains(jargon)), "{words}");
        }
    }
}
