//! Judges from their signs of life whether threads still turn. Pure: what was seen and when comes in; the thread that looks, and what
//! it does about a stall, is `pipeline::watch`. The AI process has a watchdog of its own (`link`), which kills it.
//!
//! ```text
//!   capture   stalled ─► alarm CAPTURE-STALLED (a live source rebuilds itself on threads of its own; one that holds the thread
//!                        for good is ended with the process, by systemd: WATCHDOG=1 is not sent while capture or display stalls)
//!   record    stalled ─► alarm RECORD-STALLED, the picture goes on
//!   display   stalled ─► nobody can be told on the screen: the process ends at once, and is started again (`EXIT_DISPLAY_STALLED`)
//! ```
//! Silence is counted in the watchdog's own turns: a machine that stood still as a whole, or a clock that jumped, is nobody's stall.

use super::settings::Settings;

/// The watchdog looks so often, ns.
pub const TURN_NS: u64 = 50_000_000;
/// The process' exit code when its display thread has stalled.
pub const EXIT_DISPLAY_STALLED: i32 = 3;

/// Who is watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    Display,
    Capture,
    /// What is written of the picture with its overlay, and of the clean one.
    RecordOverlay,
    RecordClean,
}

impl Part {
    pub const ALL: [Part; 4] = [Part::Display, Part::Capture, Part::RecordOverlay, Part::RecordClean];

    pub fn name(self) -> &'static str {
        match self {
            Part::Display => "display",
            Part::Capture => "capture",
            Part::RecordOverlay => "record (overlay)",
            Part::RecordClean => "record (clean)",
        }
    }
}

/// What has become of a part since the last look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finding {
    /// It has given no sign of life for so long.
    Stalled { part: Part, silent_ms: u64 },
    /// It turns again, or has ended.
    Turns { part: Part },
}

#[derive(Debug, Clone, Copy, Default)]
struct Seen {
    beat: Option<u64>,
    silent_ns: u64,
    is_stalled: bool,
}

/// The judge of all parts.
#[derive(Debug)]
pub struct Watchdog {
    limits_ns: [u64; Part::ALL.len()],
    seen: [Seen; Part::ALL.len()],
    last_ns: Option<u64>,
}

impl Watchdog {
    /// `fps`: of the source, whose thread sleeps from picture to picture. `present_timeout_ms`: so long an output may take to
    /// answer before it names the trouble itself.
    pub fn new(settings: &Settings, fps: f64, present_timeout_ms: u32) -> Self {
        let period_ms = if fps > 0.0 { (1e3 / fps) as u64 } else { 0 };
        let display_ms = settings.display_stalled_ms.max(u64::from(present_timeout_ms) + ANSWER_MS);
        let capture_ms = settings.capture_stalled_ms.max(3 * period_ms);
        let limits_ms = [display_ms, capture_ms, settings.record_stalled_ms, settings.record_stalled_ms];
        Watchdog { limits_ns: limits_ms.map(|ms| ms * 1_000_000), seen: Default::default(), last_ns: None }
    }

    /// Looks at the beats of all parts, in their order; says what is new.
    pub fn look(&mut self, now_ns: u64, beats: [Option<u64>; Part::ALL.len()]) -> impl Iterator<Item = Finding> + use<> {
        // Late itself: then the others have had as little of the machine.
        let passed_ns = self.last_ns.replace(now_ns).map_or(0, |last_ns| now_ns.saturating_sub(last_ns).min(2 * TURN_NS));
        let mut findings = [None; Part::ALL.len()];
        for (index, (seen, beat)) in self.seen.iter_mut().zip(beats).enumerate() {
            let part = Part::ALL[index];
            if beat.is_none() || beat != seen.beat {
                let was_stalled = std::mem::take(&mut seen.is_stalled);
                (seen.beat, seen.silent_ns) = (beat, 0);
                findings[index] = was_stalled.then_some(Finding::Turns { part });
                continue;
            }
            seen.silent_ns += passed_ns;
            if seen.silent_ns >= self.limits_ns[index] && !seen.is_stalled {
                seen.is_stalled = true;
                findings[index] = Some(Finding::Stalled { part, silent_ms: seen.silent_ns / 1_000_000 });
            }
        }
        findings.into_iter().flatten()
    }

    /// Neither the display nor capture has stalled.
    pub fn is_well(&self) -> bool {
        !self.seen[Part::Display as usize].is_stalled && !self.seen[Part::Capture as usize].is_stalled
    }
}

/// How much longer than an output's own patience a present may take to come back with its error.
const ANSWER_MS: u64 = 300;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MS: u64 = 1_000_000;

    fn watchdog() -> Watchdog {
        let settings = Settings { display_stalled_ms: 1_000, capture_stalled_ms: 2_000, record_stalled_ms: 5_000, ..Settings::default() };
        Watchdog::new(&settings, 60.0, 500)
    }

    /// Looks every 50 ms until something is found; when that was, ms.
    fn until(dog: &mut Watchdog, from_ms: u64, beats: [Option<u64>; 4]) -> (u64, Vec<Finding>) {
        for at_ms in (from_ms..from_ms + 20_000).step_by(50) {
            let found: Vec<_> = dog.look(at_ms * MS, beats).collect();
            if !found.is_empty() {
                return (at_ms, found);
            }
        }
        (u64::MAX, Vec::new())
    }

    #[test]
    fn each_part_has_its_limit_and_is_named_once() {
        let mut dog = watchdog();
        let beats = [Some(1), Some(1), None, Some(1)];
        assert_eq!(until(&mut dog, 0, beats), (1_000, vec![Finding::Stalled { part: Part::Display, silent_ms: 1_000 }]));
        assert!(!dog.is_well());
        assert_eq!(until(&mut dog, 1_050, beats).1, [Finding::Stalled { part: Part::Capture, silent_ms: 2_000 }]);
        assert_eq!(until(&mut dog, 2_050, beats), (5_000, vec![Finding::Stalled { part: Part::RecordClean, silent_ms: 5_000 }]));
        assert_eq!(until(&mut dog, 5_050, beats).0, u64::MAX, "said once");
        let turns: Vec<_> = dog.look(30_000 * MS, [Some(2), None, None, Some(1)]).collect();
        assert_eq!(turns, [Finding::Turns { part: Part::Display }, Finding::Turns { part: Part::Capture }]);
        assert!(dog.is_well(), "what records keeps nothing back");
    }

    #[test]
    fn a_machine_that_stood_still_or_a_clock_that_jumped_is_nobody_s_stall() {
        let mut dog = watchdog();
        let beats = [Some(1), Some(1), None, None];
        for at_ms in [0, 50, 9_000, 9_050, 40_000, 40_050, 39_000, 39_050] {
            assert_eq!(dog.look(at_ms * MS, beats).count(), 0, "{at_ms}");
        }
        assert!(dog.is_well());
    }

    #[test]
    fn a_slow_source_and_a_patient_output_have_their_time() {
        let dog = Watchdog::new(&Settings::default(), 0.5, 5_000);
        assert_eq!((dog.limits_ns[0], dog.limits_ns[1]), (5_300 * MS, 6_000 * MS));
    }

    proptest! {
        /// A part that beats at each look, or rests, is never called stalled; one that does not beat is, at its limit and not before.
        #[test]
        fn who_beats_is_well_and_who_does_not_is_found(silent in 0usize..4, turns in proptest::collection::vec((1u64..300, any::<bool>()), 150..300)) {
            let mut dog = watchdog();
            let (mut now_ms, mut beat, mut silent_ms) = (0, 1u64, 0);
            let mut is_found = false;
            for (i, (passed_ms, rests)) in turns.into_iter().enumerate() {
                now_ms += passed_ms;
                beat += 1;
                silent_ms += if i > 0 { passed_ms.min(100) } else { 0 };
                let mut beats = [if rests { None } else { Some(beat) }; 4];
                beats[silent] = Some(u64::MAX);
                for finding in dog.look(now_ms * MS, beats) {
                    let Finding::Stalled { part, .. } = finding else { return Err(TestCaseError::fail("nobody had stalled before")) };
                    prop_assert!(part as usize == silent && !is_found && silent_ms * MS >= dog.limits_ns[silent]);
                    is_found = true;
                }
                prop_assert_eq!(is_found, silent_ms * MS >= dog.limits_ns[silent]);
            }
        }
    }
}
