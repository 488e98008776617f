//! May AI run? One answer from what the last self-tests said and what is there now. CLEAN VIDEO IS NEVER BLOCKED: nothing here is
//! asked before a picture is shown, and `Blocked` means that the overlay and the AI process stay off, with the reason on the screen.
//!
//! ```text
//!   clinical                                                        demo
//!   no self-test since the appliance was switched on → blocked G01  → allowed, G11 named
//!   it failed                                        → blocked G02  → blocked G08 if an engine failed, else allowed, each named
//!   something has changed since it                   → blocked G03  → allowed, G03 named
//!   no full self-test was ever made                  → blocked G04  → allowed
//!   the cable: never proven, or too long ago, or the
//!   clock stands before its proof                    → blocked G05–G07 → allowed
//!   something has changed since the last full one    → allowed, G10 named, as are the limits of the self-test
//! ```

use super::fingerprint::{Change, Fingerprint};
use super::verdict::{Grade, Loop, Named, Verdict};
use crate::base::mode::Mode;
use std::fmt;

/// The latest self-test, as the gate looks at it (`Entry::tested`, `Report::tested`).
#[derive(Debug, Clone, PartialEq)]
pub struct Tested {
    pub boot_id: String,
    pub loop_kind: Loop,
    pub verdict: Verdict,
    pub fingerprint: Fingerprint,
}

/// What the gate decides by.
#[derive(Debug, Clone, Copy)]
pub struct Situation<'a> {
    pub mode: Mode,
    /// Of this boot (/proc/sys/kernel/random/boot_id).
    pub boot_id: &'a str,
    /// The latest self-test there is, of whatever boot.
    pub latest: Option<&'a Tested>,
    /// What the last FULL self-test that did not fail was made on.
    pub last_full: Option<&'a Fingerprint>,
    pub now: &'a Fingerprint,
    /// Since the cable was last proven; None: never. Negative: the clock was set back.
    pub cable_proof_days: Option<f64>,
    /// The limit `cable_proof_days`.
    pub cable_proof_holds_days: f64,
}

/// Why AI is not run.
#[derive(Debug, Clone, PartialEq)]
pub enum Block {
    NoSelfTest,
    Failed { failures: Vec<Named> },
    ChangedSince { changes: Vec<Change> },
    NeverFull,
    CableNeverProven,
    CableProofTooOld { days: f64, allowed_days: f64 },
    ClockBeforeProof,
    EnginesFailed { failures: Vec<Named> },
}

#[derive(Debug, Clone, PartialEq)]
pub enum Gate {
    Allowed,
    /// AI runs; these are shown.
    AllowedWithLimits(Vec<Named>),
    Blocked(Block),
}

impl Block {
    /// What an engineer looks up.
    pub fn code(&self) -> &'static str {
        match self {
            Block::NoSelfTest => "ST-G01",
            Block::Failed { .. } => "ST-G02",
            Block::ChangedSince { .. } => "ST-G03",
            Block::NeverFull => "ST-G04",
            Block::CableNeverProven => "ST-G05",
            Block::CableProofTooOld { .. } => "ST-G06",
            Block::ClockBeforeProof => "ST-G07",
            Block::EnginesFailed { .. } => "ST-G08",
        }
    }

    /// What to do about it.
    pub fn remedy(&self) -> &'static str {
        match self {
            Block::NoSelfTest => "Run the self-test (`keyhole selftest --quick`); it takes ten seconds.",
            Block::Failed { .. } | Block::EnginesFailed { .. } => "Read the self-test's report: it says what to do for each failure.",
            Block::ChangedSince { .. } => "Run the full self-test (`keyhole selftest`) before the next operation.",
            Block::NeverFull => "Run the full self-test (`keyhole selftest`) once.",
            Block::CableNeverProven | Block::CableProofTooOld { .. } => {
                "Wire the output to a spare input and run `keyhole selftest --loop cable`."
            }
            Block::ClockBeforeProof => "Set the clock, then run `keyhole selftest --loop cable`.",
        }
    }
}

/// What a nurse reads: one sentence.
impl fmt::Display for Block {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let first = |failures: &[Named]| match failures {
            [] => String::new(),
            [one] => format!(" {} ({})", one.words, one.code),
            [one, more @ ..] => format!(" {} ({}, and {} more)", one.words, one.code, more.len()),
        };
        match self {
            Block::NoSelfTest => f.write_str("AI is off: the appliance has not tested itself since it was switched on."),
            Block::Failed { failures } => write!(f, "AI is off: the self-test failed.{}", first(failures)),
            Block::ChangedSince { changes } => match changes.first() {
                Some(change) => write!(f, "AI is off: {}.", change.since("the self-test")),
                None => f.write_str("AI is off: something has changed since the self-test."),
            },
            Block::NeverFull => f.write_str("AI is off: the full self-test was never made on this appliance."),
            Block::CableNeverProven => f.write_str("AI is off: the cable to the monitor was never tested."),
            Block::CableProofTooOld { days, allowed_days } => {
                write!(f, "AI is off: the cable to the monitor was last tested {days:.0} days ago; {allowed_days:.0} are allowed.")
            }
            Block::ClockBeforeProof => f.write_str("AI is off: the clock stands before the last test of the cable."),
            Block::EnginesFailed { failures } => write!(f, "AI is off: the AI itself failed its test.{}", first(failures)),
        }
    }
}

impl Gate {
    pub fn is_allowed(&self) -> bool {
        !matches!(self, Gate::Blocked(_))
    }
}

/// The answer; see the table in this file's head.
pub fn decide(of: &Situation<'_>) -> Gate {
    // A tower measured from outside says nothing of what is in this box.
    let tested = of.latest.filter(|tested| tested.boot_id == of.boot_id && tested.loop_kind != Loop::External);
    let mut named = Vec::new();
    let is_clinical = of.mode == Mode::Clinical;
    match tested {
        None if is_clinical => return Gate::Blocked(Block::NoSelfTest),
        None => named.push(Named::new("ST-G11", "Not tested since it was switched on: for demonstration alone.")),
        Some(Tested { verdict, fingerprint, .. }) => {
            let engine_failures: Vec<Named> = verdict.engine_failures().cloned().collect();
            if is_clinical && verdict.grade == Grade::Fail {
                return Gate::Blocked(Block::Failed { failures: verdict.failures.clone() });
            }
            if !engine_failures.is_empty() {
                return Gate::Blocked(Block::EnginesFailed { failures: engine_failures });
            }
            let changes = of.now.changes_since(fingerprint);
            if is_clinical && !changes.is_empty() {
                return Gate::Blocked(Block::ChangedSince { changes });
            }
            named.extend(verdict.failures.iter().chain(&verdict.limits).cloned());
            named.extend(changes.iter().map(|change| Named::new("ST-G03", sentence(&change.since("the self-test")))));
        }
    }
    if is_clinical && let Some(block) = proof(of) {
        return Gate::Blocked(block);
    }
    if let Some(last_full) = of.last_full {
        let changes = of.now.changes_since(last_full);
        named.extend(changes.iter().map(|change| Named::new("ST-G10", sentence(&change.since("the last full self-test")))));
    }
    if named.is_empty() { Gate::Allowed } else { Gate::AllowedWithLimits(named) }
}

/// What clinical mode asks for besides the self-test of this boot.
fn proof(of: &Situation<'_>) -> Option<Block> {
    if of.last_full.is_none() {
        return Some(Block::NeverFull);
    }
    match of.cable_proof_days {
        None => Some(Block::CableNeverProven),
        Some(days) if days < 0.0 => Some(Block::ClockBeforeProof),
        Some(days) if days <= of.cable_proof_holds_days => None,
        // Also what is no number.
        Some(days) => Some(Block::CableProofTooOld { days, allowed_days: of.cable_proof_holds_days }),
    }
}

fn sentence(words: &str) -> String {
    let mut characters = words.chars();
    match characters.next() {
        Some(first) => format!("{}{}.", first.to_uppercase(), characters.as_str()),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::fingerprint::tests::example;
    use super::super::verdict::{Form, judge, tests::good_checks};
    use super::*;
    use crate::guard::{Check, Test};

    const BOOT: &str = "5f0c";

    /// A self-test of this boot: its cable loop, with one check replaced.
    fn tested(replaced: Option<Check>) -> Tested {
        let mut checks = good_checks(Loop::Cable, Form::Quick);
        if let Some(new) = replaced {
            match checks.iter_mut().find(|check| check.code == new.code) {
                Some(old) => *old = new,
                None => checks.push(new),
            }
        }
        Tested { boot_id: BOOT.into(), loop_kind: Loop::Cable, verdict: judge(Loop::Cable, Form::Quick, &checks), fingerprint: example() }
    }

    #[derive(Debug, Clone, Copy, PartialEq)]
    enum Latest {
        None,
        OtherBoot,
        External,
        Good,
        Limited,
        FailedElsewhere,
        FailedEngine,
    }

    fn latest(kind: Latest) -> Option<Tested> {
        let limited = Check::not_run(Test::Temperature, "no sensor");
        match kind {
            Latest::None => None,
            Latest::OtherBoot => Some(Tested { boot_id: "other".into(), ..tested(None) }),
            Latest::External => Some(Tested { loop_kind: Loop::External, ..tested(None) }),
            Latest::Good => Some(tested(None)),
            Latest::Limited => Some(tested(Some(limited))),
            Latest::FailedElsewhere => Some(tested(Some(Check::found(Test::Config, false, "")))),
            Latest::FailedEngine => Some(tested(Some(Check::found(Test::EngineVerified, false, "")))),
        }
    }

    /// All combinations of what the gate looks at, against the table in the head, which this states another way.
    #[test]
    fn every_combination_is_decided_as_the_table_says() {
        use Latest::*;
        let before = example();
        let mut changed = before.clone();
        changed.engines.insert("surgical-cpu".into(), "new".into());
        let mut other = before.clone();
        other.config_sha256 = "other".into();
        let mut seen = std::collections::BTreeSet::new();
        let mut count = 0;
        for mode in [Mode::Demo, Mode::Clinical] {
            for kind in [None, OtherBoot, External, Good, Limited, FailedElsewhere, FailedEngine] {
                for now in [&before, &changed] {
                    for last_full in [Option::None, Some(&before), Some(&other)] {
                        for days in [Option::None, Some(-0.1), Some(0.0), Some(30.0), Some(30.1), Some(f64::NAN)] {
                            let latest = latest(kind);
                            let of = Situation {
                                mode,
                                boot_id: BOOT,
                                latest: latest.as_ref(),
                                last_full,
                                now,
                                cable_proof_days: days,
                                cable_proof_holds_days: 30.0,
                            };
                            let gate = decide(&of);
                            let is_of_boot = !matches!(kind, None | OtherBoot | External);
                            let is_proven = days.is_some_and(|days| (0.0..=30.0).contains(&days));
                            let expected = match mode {
                                Mode::Demo => kind != FailedEngine,
                                Mode::Clinical => matches!(kind, Good | Limited) && now == &before && last_full.is_some() && is_proven,
                            };
                            assert_eq!(gate.is_allowed(), expected, "{of:?}: {gate:?}");
                            let is_clean = kind == Good && now == &before && last_full != Some(&other);
                            assert_eq!(gate == Gate::Allowed, expected && is_clean, "{of:?}: {gate:?}");
                            if let Gate::AllowedWithLimits(named) = &gate {
                                let has = |code: &str| named.iter().any(|named| named.code == code);
                                assert_eq!(has("ST-G11"), !is_of_boot);
                                assert_eq!(has("ST-G10"), last_full.is_some_and(|full| full != now));
                                assert_eq!(has("ST-G03"), is_of_boot && now == &changed);
                                assert_eq!(has("ST-M56"), kind == Limited, "the self-test's own limits are named");
                                assert_eq!(has("ST-M59"), kind == FailedElsewhere, "so are a demonstration's failures");
                            }
                            if let Gate::Blocked(block) = &gate {
                                seen.insert(block.code());
                                assert!(block.to_string().starts_with("AI is off: ") && !block.remedy().is_empty());
                            }
                            count += 1;
                        }
                    }
                }
            }
        }
        assert_eq!((count, seen.len()), (2 * 7 * 2 * 3 * 6, 8), "{seen:?}");
    }

    #[test]
    fn words_name_the_part_and_the_first_failure() {
        let now = Fingerprint { engines: [("surgical-cpu".to_owned(), "x".to_owned())].into(), ..example() };
        let good = tested(None);
        let clinical = |latest: &Tested, now: &Fingerprint| {
            let (latest, full) = (Some(latest), example());
            let of = Situation {
                mode: Mode::Clinical,
                boot_id: BOOT,
                latest,
                last_full: Some(&full),
                now,
                cable_proof_days: Some(1.0),
                cable_proof_holds_days: 30.0,
            };
            match decide(&of) {
                Gate::Blocked(block) => format!("{} {block}", block.code()),
                gate => format!("{gate:?}"),
            }
        };
        assert_eq!(clinical(&good, &now), "ST-G03 AI is off: the engine quality-cpu is gone since the self-test.");
        let failed = tested(Some(Check::found(Test::EngineGolden, false, "")));
        assert_eq!(
            clinical(&failed, &example()),
            "ST-G02 AI is off: the self-test failed. The AI computes something else than it should. (ST-E42)"
        );
        assert_eq!(clinical(&good, &example()), "Allowed");
        // Only the last full self-test was made on something else: said, and allowed.
        let full = Fingerprint {
            engines: [("surgical-cpu".to_owned(), "x".to_owned()), ("quality-cpu".to_owned(), "cd".repeat(32))].into(),
            ..example()
        };
        let of = Situation {
            mode: Mode::Clinical,
            boot_id: BOOT,
            latest: Some(&good),
            last_full: Some(&full),
            now: &example(),
            cable_proof_days: Some(1.0),
            cable_proof_holds_days: 30.0,
        };
        let expected = Named::new("ST-G10", "The engine surgical-cpu has changed since the last full self-test.");
        assert_eq!(decide(&of), Gate::AllowedWithLimits(vec![expected]));
    }
}
