//! What all checks of a self-test mean together: pass, pass with limits that are named, or fail. A check that had to be made and
//! was not is a failure: an empty self-test never passes. Whether AI may run then is `gate`'s.

use super::check::{Check, Outcome};
use super::table::{Group, Need, Test};
use serde::{Deserialize, Serialize};

/// Code of the limitation of a self-test that did not see the cable to the monitor.
pub const CABLE_NOT_PROVEN: &str = "ST-L01";

/// The way that a test picture took.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Loop {
    /// The frame path with a display in memory.
    Internal,
    /// A window under X, captured back.
    X11,
    /// The output wired to an input.
    Cable,
    /// A light before the scope and a photodiode on the glass: the tower as it stands, with or without keyhole.
    External,
}

impl Loop {
    pub const ALL: [Loop; 4] = [Loop::Internal, Loop::X11, Loop::Cable, Loop::External];

    pub fn name(self) -> &'static str {
        match self {
            Loop::Internal => "internal",
            Loop::X11 => "x11",
            Loop::Cable => "cable",
            Loop::External => "external",
        }
    }

    /// It sees what comes out of the socket.
    pub fn proves_cable(self) -> bool {
        self == Loop::Cable
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Form {
    /// At each boot.
    Quick,
    /// On demand, and after any change.
    Full,
}

impl Form {
    pub fn name(self) -> &'static str {
        match self {
            Form::Quick => "quick",
            Form::Full => "full",
        }
    }

    /// The limit on the part of the pictures that may be later than a delay's.
    pub(super) fn share_id(self) -> &'static str {
        match self {
            Form::Quick => "quick_share_over_percent",
            Form::Full => "full_share_over_percent",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Grade {
    Pass,
    PassWithLimits,
    Fail,
}

impl Grade {
    pub fn words(self) -> &'static str {
        match self {
            Grade::Pass => "PASS",
            Grade::PassWithLimits => "PASS WITH LIMITS",
            Grade::Fail => "FAIL",
        }
    }
}

/// A limitation or a failure: what an engineer looks up, and what a nurse reads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Named {
    pub code: String,
    pub words: String,
}

impl Named {
    pub fn new(code: &str, words: impl Into<String>) -> Named {
        Named { code: code.to_owned(), words: words.into() }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Verdict {
    pub grade: Grade,
    /// One sentence for everybody.
    pub words: String,
    pub failures: Vec<Named>,
    pub limits: Vec<Named>,
    /// This very self-test saw the cable, and did not fail.
    pub is_cable_proven: bool,
}

impl Verdict {
    /// A failure that speaks of the engines.
    pub fn engine_failures(&self) -> impl Iterator<Item = &Named> {
        self.failures.iter().filter(|failure| Test::by_code(&failure.code).is_some_and(|test| test.row().group == Group::Engine))
    }
}

pub fn judge(loop_kind: Loop, form: Form, checks: &[Check]) -> Verdict {
    let (mut failures, mut limits) = (Vec::new(), Vec::new());
    for check in checks {
        let named = || Named::new(&check.code, check.explanation.clone());
        match &check.outcome {
            Outcome::Pass => {}
            Outcome::Limited => limits.push(named()),
            Outcome::Fail => failures.push(named()),
            // Not part of this form, and said so in the report.
            Outcome::NotRun { .. } if form == Form::Quick && need(loop_kind, &check.code) == Need::Full => {}
            Outcome::NotRun { reason } => {
                let words = format!("Not tested: {} ({reason}).", check.what);
                let into = if need(loop_kind, &check.code) == Need::Always { &mut failures } else { &mut limits };
                into.push(Named::new(&check.code, words));
            }
        }
    }
    for &test in Test::ALL {
        let row = test.row();
        let is_there = checks.iter().any(|check| check.code == row.code);
        let words = || Named::new(row.code, format!("Not tested: {}.", row.what));
        match need(loop_kind, row.code) {
            Need::Always | Need::Stated if !is_there => failures.push(words()),
            Need::Full if !is_there && form == Form::Full => limits.push(words()),
            _ => {}
        }
    }
    if loop_kind != Loop::External && !loop_kind.proves_cable() {
        limits.push(Named::new(CABLE_NOT_PROVEN, "The cable to the monitor was not part of this test."));
    }
    let grade = match (failures.is_empty(), limits.is_empty()) {
        (false, _) => Grade::Fail,
        (true, false) => Grade::PassWithLimits,
        (true, true) => Grade::Pass,
    };
    let is_cable_proven = loop_kind.proves_cable() && grade != Grade::Fail;
    Verdict { grade, words: words(loop_kind, grade, &limits), failures, limits, is_cable_proven }
}

fn need(loop_kind: Loop, code: &str) -> Need {
    match Test::by_code(code) {
        Some(test) if loop_kind != Loop::External || test.row().is_external => test.row().need,
        // Not a test of this loop, or of another version: what it says counts, its absence does not.
        _ => Need::WhereThere,
    }
}

fn words(loop_kind: Loop, grade: Grade, limits: &[Named]) -> String {
    let is_external = loop_kind == Loop::External;
    match grade {
        Grade::Pass if is_external => "The tower that was measured is within its limits.".to_owned(),
        Grade::PassWithLimits if is_external => "The tower that was measured can be used, with the limits named below.".to_owned(),
        Grade::Fail if is_external => "The tower that was measured is not within its limits.".to_owned(),
        Grade::Pass => "Everything that was tested is good.".to_owned(),
        Grade::PassWithLimits if limits.iter().all(|limit| limit.code == CABLE_NOT_PROVEN) => {
            "Everything that was tested is good. The cable to the monitor was not part of it.".to_owned()
        }
        Grade::PassWithLimits => "The appliance can be used, with the limits named below.".to_owned(),
        Grade::Fail => {
            "The appliance failed its self-test. In clinical use AI stays off; the camera's picture is shown as always.".to_owned()
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::guard::Limits;
    use proptest::prelude::*;

    /// Every check that a self-test of this form needs, all of them good.
    pub fn good_checks(loop_kind: Loop, form: Form) -> Vec<Check> {
        let limits = Limits::shipped();
        let frames = if form == Form::Quick { 600 } else { 10_000 };
        let needed = Test::ALL.iter().filter(|test| match need(loop_kind, test.row().code) {
            Need::Always | Need::Stated => true,
            Need::Full => form == Form::Full,
            Need::WhereThere => false,
        });
        needed
            .map(|&test| match test {
                Test::Frames => Check::frames(frames, form, &limits),
                Test::CableToCable | Test::VideoDelay => Check::delay(test, &vec![4.0; frames as usize], form, &limits),
                Test::EngineGolden => Check::measured(test, 1.0, &limits),
                Test::PixelFrames => Check::measured(test, 10_000.0, &limits),
                Test::Memory | Test::DiskSpace => Check::measured(test, 4_096.0, &limits),
                Test::KnownAnswer => Check::found(test, true, "Dice 0.81"),
                _ if test.row().limit.is_some() => Check::measured(test, 0.0, &limits),
                _ => Check::found(test, true, ""),
            })
            .collect()
    }

    #[test]
    fn what_is_good_passes_and_names_that_the_cable_was_not_seen() {
        for form in [Form::Quick, Form::Full] {
            for kind in Loop::ALL {
                let verdict = judge(kind, form, &good_checks(kind, form));
                assert_eq!(verdict.failures, [], "{kind:?} {form:?}");
                match kind {
                    Loop::Cable | Loop::External => assert_eq!((verdict.grade, &verdict.limits), (Grade::Pass, &vec![])),
                    _ => {
                        assert_eq!(verdict.grade, Grade::PassWithLimits);
                        assert_eq!(verdict.limits.iter().map(|l| l.code.as_str()).collect::<Vec<_>>(), [CABLE_NOT_PROVEN]);
                        assert!(verdict.words.contains("cable"), "{}", verdict.words);
                    }
                }
                assert_eq!(verdict.is_cable_proven, kind == Loop::Cable);
            }
        }
    }

    #[test]
    fn a_self_test_that_tested_nothing_fails_and_names_what_it_left_out() {
        for kind in Loop::ALL {
            let verdict = judge(kind, Form::Quick, &[]);
            assert_eq!(verdict.grade, Grade::Fail);
            assert_eq!(verdict.failures.iter().any(|f| f.code == "ST-E41"), kind != Loop::External);
            assert!(verdict.failures.iter().any(|f| f.code == "ST-D11" && f.words.contains("Not tested")));
        }
    }

    #[test]
    fn each_check_that_is_left_out_or_not_run_is_a_failure_or_a_limit_by_its_need() {
        for form in [Form::Quick, Form::Full] {
            let all = good_checks(Loop::Cable, form);
            for (at, left) in all.iter().enumerate() {
                let test = Test::by_code(&left.code).unwrap();
                let graded = |is_failure| if is_failure { Grade::Fail } else { Grade::PassWithLimits };
                let need = test.row().need;
                let expected = graded(need == Need::Always);
                let mut checks = all.clone();
                checks[at] = Check::not_run(test, "the lid was shut");
                let verdict = judge(Loop::Cable, form, &checks);
                let named = verdict.failures.iter().chain(&verdict.limits).find(|named| named.code == left.code).unwrap();
                assert!(verdict.grade == expected && named.words.contains("the lid was shut"), "{form:?} {}", left.code);
                checks.remove(at);
                let expected = graded(matches!(need, Need::Always | Need::Stated));
                assert_eq!(judge(Loop::Cable, form, &checks).grade, expected, "{form:?} {}", left.code);
            }
        }
    }

    #[test]
    fn what_only_the_full_form_makes_is_no_limit_of_the_quick_one() {
        for (form, expected) in [(Form::Quick, Grade::Pass), (Form::Full, Grade::PassWithLimits)] {
            let mut checks = good_checks(Loop::Cable, form);
            checks.retain(|check| check.code != "ST-P33");
            checks.push(Check::not_run(Test::Pixels, "it is part of the full form only"));
            let verdict = judge(Loop::Cable, form, &checks);
            assert_eq!((verdict.grade, verdict.limits.len()), (expected, usize::from(form == Form::Full)), "{form:?}");
        }
        let mut checks = good_checks(Loop::Cable, Form::Quick);
        checks.push(Check::found(Test::Pixels, false, "made all the same"));
        assert_eq!(judge(Loop::Cable, Form::Quick, &checks).grade, Grade::Fail);
    }

    proptest! {
        /// Any failed check fails the whole, whatever else there is, and is named by its code.
        #[test]
        fn one_failure_fails_the_whole(at in any::<prop::sample::Index>(), kind in 0usize..4, is_full in any::<bool>(), also in any::<prop::sample::Index>()) {
            let (kind, form) = (Loop::ALL[kind], if is_full { Form::Full } else { Form::Quick });
            let mut checks = good_checks(kind, form);
            let (failed, limited) = (at.index(checks.len()), also.index(checks.len()));
            checks[limited].outcome = Outcome::Limited;
            checks[failed].outcome = Outcome::Fail;
            let verdict = judge(kind, form, &checks);
            prop_assert_eq!(verdict.grade, Grade::Fail);
            prop_assert!(verdict.failures.iter().any(|f| f.code == checks[failed].code) && !verdict.is_cable_proven);
            prop_assert!(failed == limited || verdict.limits.iter().any(|l| l.code == checks[limited].code));
        }
    }
}
