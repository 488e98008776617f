use super::super::fingerprint::tests::example;
use super::super::report::tests::{delays, failed, filled};
use super::super::verdict::tests::good_checks;
use super::*;
use crate::guard::{Block, Check};
use proptest::prelude::*;

const DAY: i64 = 86_400;
const START: i64 = 1_790_000_000;

/// A small report of day `day` whose cable to cable delay is about `ms`.
fn on_day(day: f64, loop_kind: Loop, form: Form, ms: f64) -> Report {
    let at = Stamp::from_unix_s(START + (day * DAY as f64) as i64);
    let mut report = Report::new(loop_kind, form, Mode::Clinical, at, &format!("boot-{day}"));
    report.checks = good_checks(loop_kind, form);
    report.fingerprint = example();
    let summary = |base: f64| {
        let mut of = crate::base::stats::Delays::default();
        delays(50, base, 2.0).iter().for_each(|ms| of.record_ns((ms * 1e6) as u64));
        Some(of.summary())
    };
    (report.delays_ms.cable_to_cable, report.delays_ms.video) = (summary(ms), summary(1.0));
    report.judge(30.0);
    report
}

fn failing(day: f64) -> Report {
    let mut report = on_day(day, Loop::Cable, Form::Quick, 30.0);
    report.checks.retain(|check| check.code != "ST-M59");
    report.checks.push(Check::found(Test::Config, false, "changed"));
    report.judge(30.0);
    report
}

/// Seventy days of boots whose delay creeps by 0.1 ms a day, a full one each week, a failure, a damaged file.
pub fn creeping(dir: &Path) -> History {
    let mut history = History::open(dir).unwrap();
    for day in 0..70 {
        let day_f = f64::from(day);
        history.keep(&on_day(day_f, Loop::Cable, Form::Quick, 28.0 + 0.1 * day_f + f64::from(day % 5) * 0.3), 400).unwrap();
        if day % 7 == 0 {
            history.keep(&on_day(day_f + 0.1, Loop::Cable, Form::Full, 28.0 + 0.1 * day_f), 400).unwrap();
        }
    }
    history.keep(&failing(40.5), 400).unwrap();
    history
}

#[test]
fn reports_are_kept_found_again_and_nothing_is_lost_with_the_index() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("selftests");
    assert!(History::open(&dir).unwrap().entries().is_empty() && !dir.exists(), "looking makes nothing");
    let mut history = History::open(&dir).unwrap();
    assert!(history.text(&Limits::shipped()).contains("no self-test"));
    let first = history.keep(&on_day(0.0, Loop::Cable, Form::Full, 28.0), 9).unwrap();
    assert!(first.ends_with("20260921T141320Z-cable-full.selftest.json"), "{}", first.display());
    let second = history.keep(&on_day(0.0, Loop::Cable, Form::Full, 29.0), 9).unwrap();
    assert_ne!(first, second, "two in one second are two");
    history.keep(&failing(1.0), 9).unwrap();
    history.keep(&on_day(2.0, Loop::X11, Form::Quick, 20.0), 9).unwrap();
    history.keep(&on_day(3.0, Loop::External, Form::Full, 60.0), 9).unwrap();
    let index = std::fs::read_to_string(dir.join(INDEX_FILE)).unwrap();
    let read: Vec<Entry> = index.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(read, history.entries());
    std::fs::write(dir.join(INDEX_FILE), "nonsense").unwrap();
    std::fs::write(dir.join("note.txt"), "ours").unwrap();
    let again = History::open(&dir).unwrap();
    assert_eq!((again.entries(), again.damaged()), (history.entries(), &[][..]));
    // The tower that was measured from outside is no self-test of this box.
    assert_eq!(again.latest().unwrap().loop_kind, Loop::X11);
    assert_eq!(again.latest().unwrap().tested().boot_id, "boot-2");
    let full = again.last_full().unwrap();
    assert_eq!((full.loop_kind, full.at.clone()), (Loop::Cable, on_day(0.0, Loop::Cable, Form::Full, 0.0).at));
    assert!(!again.last_cable_proof().unwrap().verdict.failures.iter().any(|_| true));
}

#[test]
fn a_damaged_report_is_named_and_left_and_the_others_count() {
    let folder = tempfile::tempdir().unwrap();
    let mut history = History::open(folder.path()).unwrap();
    let broken = history.keep(&on_day(0.0, Loop::Cable, Form::Full, 28.0), 9).unwrap();
    history.keep(&on_day(1.0, Loop::Cable, Form::Quick, 28.0), 9).unwrap();
    let bettered = history.keep(&failed(), 9).unwrap();
    std::fs::write(&broken, "{\"schema\": \"keyhole.selftest/1\"").unwrap();
    let text = std::fs::read_to_string(&bettered).unwrap();
    std::fs::write(&bettered, text.replacen("\"grade\": \"fail\"", "\"grade\": \"pass\"", 1)).unwrap();
    let mut history = History::open(folder.path()).unwrap();
    assert_eq!(history.entries().len(), 1);
    assert_eq!(history.damaged().iter().map(|damaged| damaged.path.clone()).collect::<Vec<_>>(), [broken.clone(), bettered]);
    let said = history.text(&Limits::shipped());
    assert!(said.contains("damaged") && said.contains(&*broken.file_name().unwrap().to_string_lossy()), "{said}");
    assert!(history.last_full().is_none(), "a damaged report proves nothing");
    history.keep(&on_day(2.0, Loop::Cable, Form::Quick, 28.0), 1).unwrap();
    assert!(broken.exists(), "what is damaged is never taken away");
}

#[test]
fn the_oldest_that_passed_go_first_and_what_the_gate_needs_stays() {
    let folder = tempfile::tempdir().unwrap();
    let mut history = History::open(folder.path()).unwrap();
    history.keep(&on_day(0.0, Loop::Cable, Form::Full, 28.0), 5).unwrap();
    for day in 1..4 {
        history.keep(&failing(f64::from(day)), 5).unwrap();
    }
    for day in 4..20 {
        history.keep(&on_day(f64::from(day), Loop::X11, Form::Quick, 28.0), 5).unwrap();
        assert!(history.entries().len() <= 5);
    }
    let kept: Vec<&str> = history.entries().iter().map(|entry| entry.verdict.grade.words()).collect();
    assert_eq!(kept, ["PASS", "FAIL", "FAIL", "FAIL", "PASS WITH LIMITS"]);
    assert_eq!(history.latest().unwrap().boot_id, "boot-19");
    assert!(history.last_full().is_some() && history.last_cable_proof().is_some());
    assert_eq!(History::open(folder.path()).unwrap().entries(), history.entries());
    history.keep(&on_day(20.0, Loop::X11, Form::Quick, 28.0), 2).unwrap();
    assert_eq!(history.entries().len(), 3, "failures go too, last of all; the last full one and the last of the cable stay");
    history.keep(&on_day(21.0, Loop::X11, Form::Quick, 28.0), 0).unwrap();
    assert_eq!(history.entries().len(), 3);
}

#[test]
fn a_slow_drift_is_said_before_the_limit_and_another_display_begins_anew() {
    let folder = tempfile::tempdir().unwrap();
    let limits = Limits::shipped();
    let mut history = creeping(folder.path());
    let figures = history.figures(&limits);
    let of = |figures: &[Figure], form, test, statistic| {
        figures.iter().find(|f| (f.form, f.test, f.statistic) == (form, test, statistic)).cloned().unwrap()
    };
    let p50 = of(&figures, Form::Quick, Test::CableToCable, "p50");
    let words = p50.words().unwrap();
    assert!((0.09..0.11).contains(&p50.trend.unwrap().slope), "{p50:?}");
    assert!(words.contains("drifts by ") && words.contains("99.9 ms in ") && words.contains("cable, quick"), "{words}");
    assert!(p50.reaches_limit_within(1_000.0) && !p50.reaches_limit_within(30.0));
    assert_eq!(of(&figures, Form::Quick, Test::VideoDelay, "p99").words(), None, "what stands still is not said to drift");
    assert_eq!(of(&figures, Form::Quick, Test::VideoDelay, "max").limit_ms, Some(50.0));
    assert_eq!(of(&figures, Form::Quick, Test::VideoDelay, "p99").limit_ms, Some(5.75));
    assert!(of(&figures, Form::Full, Test::CableToCable, "p50").trend.is_some_and(|trend| trend.is_significant()));
    let text = history.text(&limits);
    assert!(text.lines().count() > 80 && text.contains("drifts by") && text.contains("ST-M59"), "{text}");
    let mut other = on_day(71.0, Loop::Cable, Form::Quick, 60.0);
    other.fingerprint.display_mode = "3840x2160@60.00 DP-1".into();
    history.keep(&other, 400).unwrap();
    let p50 = of(&history.figures(&limits), Form::Quick, Test::CableToCable, "p50");
    assert_eq!((p50.points.len(), p50.words()), (1, None));
}

#[test]
fn what_a_full_or_a_cable_test_found_bad_is_not_undone_by_one_that_tests_less() {
    let folder = tempfile::tempdir().unwrap();
    let limits = Limits::shipped();
    let mut history = History::open(folder.path()).unwrap();
    let keep = |history: &mut History, day: f64, kind, form, is_bad: bool| {
        let mut report = on_day(day, kind, form, 28.0);
        report.boot_id = "this".into();
        if is_bad {
            report.checks.push(Check::found(Test::Audit, false, "changed"));
            report.judge(30.0);
        }
        history.keep(&report, 99).unwrap();
        let gate = history.decide(Mode::Clinical, "this", &example(), &report.at, 0.0, &limits);
        match gate {
            Gate::Blocked(block) => block.code(),
            _ => "runs",
        }
    };
    use {Form::Full, Form::Quick, Loop::Cable as Wire, Loop::X11};
    assert_eq!(keep(&mut history, 0.0, X11, Quick, false), "ST-G04");
    assert_eq!(keep(&mut history, 1.0, X11, Full, false), "ST-G05");
    assert_eq!(keep(&mut history, 2.0, Wire, Full, false), "runs");
    assert_eq!(keep(&mut history, 3.0, Wire, Full, true), "ST-G02");
    assert_eq!(keep(&mut history, 4.0, X11, Quick, false), "ST-G09");
    assert_eq!(keep(&mut history, 5.0, X11, Full, false), "ST-G12");
    assert_eq!(keep(&mut history, 6.0, Wire, Quick, false), "runs");
    assert_eq!(keep(&mut history, 36.1, X11, Quick, false), "ST-G06");
    let other = history.decide(Mode::Clinical, "next", &example(), &history.latest().unwrap().at, 0.0, &limits);
    assert!(matches!(other, Gate::Blocked(Block::NoSelfTest)));
    let back = history.decide(Mode::Clinical, "this", &example(), &on_day(5.0, X11, Quick, 0.0).at, 0.0, &limits);
    assert!(matches!(back, Gate::Blocked(Block::ClockBeforeProof)));
}

#[test]
fn a_clock_that_is_set_back_lengthens_no_proof_and_hides_no_failure() {
    use {Form::Quick, Loop::Cable as Wire, Loop::X11};
    let folder = tempfile::tempdir().unwrap();
    let mut history = History::open(folder.path()).unwrap();
    let at = |day: f64| on_day(day, X11, Quick, 0.0).at;
    let is_old = |cable: Cable| matches!(cable, Cable::Proven { days } if days < 0.0);
    history.keep(&Report { boot_id: "a".into(), since_boot_s: 100.0, ..on_day(0.0, Wire, Quick, 28.0) }, 99).unwrap();
    assert_eq!(history.cable("b", &at(29.0), 50.0), Cable::Proven { days: 29.0 });
    // In the same boot: 29 days have passed, the wall clock says 9.
    assert!(is_old(history.cable("a", &at(9.0), 100.0 + 29.0 * DAY as f64)));
    assert_eq!(history.cable("a", &at(9.0), 100.0 + 9.0 * DAY as f64), Cable::Proven { days: 9.0 });
    // Over boots: the latest self-test was made on day 28, the wall clock says day 20.
    history.keep(&on_day(28.0, X11, Quick, 28.0), 99).unwrap();
    assert!(is_old(history.cable("b", &at(20.0), 50.0)));
    // And so it stays, though it runs on from there.
    history.keep(&on_day(20.0, X11, Quick, 28.0), 99).unwrap();
    assert!(is_old(history.cable("b", &at(25.0), 50.0)));
    assert_eq!(history.latest().unwrap().at, at(20.0), "the one that was made last");
    // A failure that was made after the clock was set back is the latest one, too.
    history.keep(&failing(21.0), 99).unwrap();
    assert!(History::open(folder.path()).unwrap().latest().is_some_and(|entry| entry.verdict.grade == Grade::Fail));
    // The cable's next proof ends it.
    history.keep(&on_day(22.0, Wire, Quick, 28.0), 99).unwrap();
    assert_eq!(history.cable("b", &at(23.0), 50.0), Cable::Proven { days: 1.0 });
}

#[test]
fn what_cannot_be_kept_is_an_error_that_names_the_folder() {
    let folder = tempfile::tempdir().unwrap();
    let taken = folder.path().join("file");
    std::fs::write(&taken, "x").unwrap();
    assert!(History::open(&taken).is_err_and(|error| error.to_string().contains("file")));
    let mut history = History::open(&folder.path().join("new")).unwrap();
    history.dir = taken.join("below");
    assert!(history.keep(&filled(Loop::X11, Form::Quick, 20.0, 1.0), 9).is_err_and(|error| error.to_string().contains("below")));
    assert!(history.entries().is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    /// In whatever order self-tests come and however few are kept: the latest, the last full and the last proof survive, no failure
    /// goes before a pass that may, and what is on the disk is what is known.
    #[test]
    fn whatever_is_kept_the_gate_finds_what_it_needs(kinds in proptest::collection::vec((0usize..4, any::<bool>(), any::<bool>()), 1..14), most in 1usize..6) {
        let folder = tempfile::tempdir().unwrap();
        let mut history = History::open(folder.path()).unwrap();
        let (mut full, mut cable, mut cable_day) = (None, Cable::NeverProven, 0);
        for (day, (kind, is_full, is_bad)) in kinds.into_iter().enumerate() {
            let (kind, form) = (Loop::ALL[kind], if is_full { Form::Full } else { Form::Quick });
            let mut report = on_day(day as f64, kind, form, 28.0);
            if is_bad {
                report.checks.push(Check::found(Test::Audit, false, ""));
                report.judge(30.0);
            }
            if is_full && kind != Loop::External {
                full = Some(report.at.clone());
            }
            if kind == Loop::Cable {
                cable = if is_bad { Cable::Failed } else { Cable::Proven { days: 0.0 } };
                cable_day = day;
            }
            history.keep(&report, most).unwrap();
            prop_assert!(history.entries().iter().any(|entry| entry.at == report.at));
            prop_assert_eq!(history.last_full().map(|entry| entry.at.clone()), full.clone());
            let days = (day - cable_day) as f64;
            prop_assert_eq!(history.cable("", &report.at, 0.0), if let Cable::Proven { .. } = cable { Cable::Proven { days } } else { cable });
            prop_assert!(history.entries().len() <= most.max(4));
        }
        let again = History::open(folder.path()).unwrap();
        prop_assert_eq!(again.entries(), history.entries());
    }
}
