//! May AI run? One answer from what the last self-tests said and what is there now. CLEAN VIDEO IS NEVER BLOCKED: nothing here is
//! asked before a picture is shown, and `Blocked` means that the overlay and the AI process stay off, with the reason on the screen.
//!
//! ```text
//!                                                      clinical       demo
//!   no self-test since the appliance was switched on   blocked G01    allowed, G11 named
//!   it failed                                          blocked G02    blocked G08 if an engine failed, else allowed, each named
//!   something has changed since it                     blocked G03    allowed, G03 named
//!   no full self-test was ever made                    blocked G04    allowed
//!   the last full one failed: a quick one that passes
//!   afterwards has not tested as much                  blocked G09    blocked G08 if an engine failed that is still there, else allowed, G09 named
//!   the cable: never proven, its last test failed, too
//!   long ago, or the clock stands before its proof     blocked G05–07, G12   allowed
//!   something has changed since the last full one      allowed, G10 named, as are the self-test's own limits
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
    /// The latest FULL self-test there is, of whatever boot.
    pub last_full: Option<&'a Tested>,
    pub now: &'a Fingerprint,
    pub cable: Cable,
    /// The limit `cable_proof_days`.
    pub cable_proof_holds_days: f64,
}

/// What is named where something has changed since the last full self-test.
pub const CHANGED_SINCE_FULL: &str = "ST-G10";

/// What is known of the cable to the monitor.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Cable {
    NeverProven,
    /// Its latest test, after whatever proof.
    Failed,
    /// So many days ago; negative where the clock was set back.
    Proven {
        days: f64,
    },
}

/// Why AI is not run.
#[derive(Debug, Clone, PartialEq)]
pub enum Block {
    NoSelfTest,
    Failed { failures: Vec<Named> },
    ChangedSince { changes: Vec<Change> },
    NeverFull,
    FullFailed { failures: Vec<Named> },
    CableNeverProven,
    CableFailed,
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
            Block::FullFailed { .. } => "ST-G09",
            Block::CableFailed => "ST-G12",
        }
    }

    /// What to do about it.
    pub fn remedy(&self) -> &'static str {
        match self {
            Block::NoSelfTest => "Run the self-test (`keyhole selftest --quick`); it takes ten seconds.",
            Block::Failed { .. } | Block::EnginesFailed { .. } => "Read the self-test's report: it says what to do for each failure.",
            Block::ChangedSince { .. } => "Run the full self-test (`keyhole selftest`) before the next operation.",
            Block::FullFailed { .. } => "Do what the full self-test's report says, then run it again (`keyhole selftest`).",
            Block::NeverFull => "Run the full self-test (`keyhole selftest`) once.",
            Block::CableNeverProven | Block::CableFailed | Block::CableProofTooOld { .. } => {
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
            Block::FullFailed { failures } => write!(f, "AI is off: the last full self-test failed.{}", first(failures)),
            Block::CableNeverProven => f.write_str("AI is off: the cable to the monitor was never tested."),
            Block::CableFailed => f.write_str("AI is off: the last test of the cable to the monitor failed."),
            Block::CableProofTooOld { days, allowed_days } => {
                write!(f, "AI is off: the cable to the monitor was last tested {days:.0} days ago; {allowed_days:.0} are allowed.")
            }
            Block::ClockBeforeProof => f.write_str("AI is off: the clock was set back since the last test of the cable."),
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
    if let Some(full) = of.last_full {
        let engine_failures: Vec<Named> = full.verdict.engine_failures().cloned().collect();
        if !engine_failures.is_empty() && full.fingerprint.engines == of.now.engines {
            return Gate::Blocked(Block::EnginesFailed { failures: engine_failures });
        }
        if full.verdict.grade == Grade::Fail {
            named.push(Named::new("ST-G09", "The last full self-test failed."));
        }
        let changes = of.now.changes_since(&full.fingerprint);
        named.extend(changes.iter().map(|change| Named::new(CHANGED_SINCE_FULL, sentence(&change.since("the last full self-test")))));
    }
    if named.is_empty() { Gate::Allowed } else { Gate::AllowedWithLimits(named) }
}

/// What clinical mode asks for besides the self-test of this boot.
fn proof(of: &Situation<'_>) -> Option<Block> {
    match of.last_full {
        None => return Some(Block::NeverFull),
        Some(full) if full.verdict.grade == Grade::Fail => return Some(Block::FullFailed { failures: full.verdict.failures.clone() }),
        Some(_) => {}
    }
    match of.cable {
        Cable::NeverProven => Some(Block::CableNeverProven),
        Cable::Failed => Some(Block::CableFailed),
        Cable::Proven { days } if days < 0.0 => Some(Block::ClockBeforeProof),
        Cable::Proven { days } if days <= of.cable_proof_holds_days => None,
        // Also what is no number.
        Cable::Proven { days } => Some(Block::CableProofTooOld { days, allowed_days: of.cable_proof_holds_days }),
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

    #[derive(Debug, Clone, Copy, PartialEq)]
    enum Full {
        None,
        Good,
        /// Good, on another configuration.
        OnOther,
        FailedElsewhere,
        FailedEngine,
    }

    fn full(kind: Full) -> Option<Tested> {
        match kind {
            Full::None => None,
            Full::Good => Some(tested(None)),
            Full::OnOther => Some(Tested { fingerprint: Fingerprint { config_sha256: "other".into(), ..example() }, ..tested(None) }),
            Full::FailedElsewhere => latest(Latest::FailedElsewhere),
            Full::FailedEngine => latest(Latest::FailedEngine),
        }
    }

    /// All combinations of what the gate looks at, against the table in the head, which this states another way.
    #[test]
    fn every_combination_is_decided_as_the_table_says() {
        let before = example();
        let mut changed = before.clone();
        changed.engines.insert("surgical-cpu".into(), "new".into());
        let proven = |days| Cable::Proven { days };
        let mut seen = std::collections::BTreeSet::new();
        let mut count = 0;
        for mode in [Mode::Demo, Mode::Clinical] {
            for kind in {
                use Latest::*;
                [None, OtherBoot, External, Good, Limited, FailedElsewhere, FailedEngine]
            } {
                for now in [&before, &changed] {
                    for full_kind in {
                        use Full::*;
                        [None, Good, OnOther, FailedElsewhere, FailedEngine]
                    } {
                        for cable in
                            [Cable::NeverProven, Cable::Failed, proven(-0.1), proven(0.0), proven(30.0), proven(30.1), proven(f64::NAN)]
                        {
                            let (latest, last_full) = (latest(kind), full(full_kind));
                            let of = Situation {
                                mode,
                                boot_id: BOOT,
                                latest: latest.as_ref(),
                                last_full: last_full.as_ref(),
                                now,
                                cable,
                                cable_proof_holds_days: 30.0,
                            };
                            let gate = decide(&of);
                            let is_same = now == &before;
                            let is_of_boot = !matches!(kind, Latest::None | Latest::OtherBoot | Latest::External);
                            let is_proven = cable == proven(0.0) || cable == proven(30.0);
                            let expected = match mode {
                                Mode::Demo => kind != Latest::FailedEngine && !(full_kind == Full::FailedEngine && is_same),
                                Mode::Clinical => {
                                    let is_good = matches!(kind, Latest::Good | Latest::Limited) && is_same;
                                    is_good && matches!(full_kind, Full::Good | Full::OnOther) && is_proven
                                }
                            };
                            assert_eq!(gate.is_allowed(), expected, "{of:?}: {gate:?}");
                            let is_clean = kind == Latest::Good && is_same && matches!(full_kind, Full::None | Full::Good);
                            assert_eq!(gate == Gate::Allowed, expected && is_clean, "{of:?}: {gate:?}");
                            if let Gate::AllowedWithLimits(named) = &gate {
                                let has = |code: &str| named.iter().any(|named| named.code == code);
                                assert_eq!(has("ST-G11"), !is_of_boot);
                                assert_eq!(has("ST-G10"), full_kind == Full::OnOther || full_kind != Full::None && !is_same);
                                assert_eq!(has("ST-G09"), matches!(full_kind, Full::FailedElsewhere | Full::FailedEngine));
                                assert_eq!(has("ST-G03"), is_of_boot && !is_same);
                                assert_eq!(has("ST-M56"), kind == Latest::Limited, "the self-test's own limits are named");
                                assert_eq!(has("ST-M59"), kind == Latest::FailedElsewhere, "so are a demonstration's failures");
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
        assert_eq!((count, seen.len()), (2 * 7 * 2 * 5 * 7, 10), "{seen:?}");
    }

    #[test]
    fn words_name_the_part_and_the_first_failure() {
        let now = Fingerprint { engines: [("surgical-cpu".to_owned(), "x".to_owned())].into(), ..example() };
        let good = tested(None);
        let clinical = |latest: &Tested, now: &Fingerprint| {
            let full = tested(None);
            let (latest, last_full, cable) = (Some(latest), Some(&full), Cable::Proven { days: 1.0 });
            let of = Situation { mode: Mode::Clinical, boot_id: BOOT, latest, last_full, now, cable, cable_proof_holds_days: 30.0 };
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
        let engines = [("surgical-cpu".to_owned(), "x".to_owned()), ("quality-cpu".to_owned(), "cd".repeat(32))].into();
        let full = Tested { fingerprint: Fingerprint { engines, ..example() }, ..tested(None) };
        let of = Situation {
            mode: Mode::Clinical,
            boot_id: BOOT,
            latest: Some(&good),
            last_full: Some(&full),
            now: &example(),
            cable: Cable::Proven { days: 1.0 },
            cable_proof_holds_days: 30.0,
        };
        let expected = Named::new("ST-G10", "The engine surgical-cpu has changed since the last full self-test.");
        assert_eq!(decide(&of), Gate::AllowedWithLimits(vec![expected]));
    }
}
