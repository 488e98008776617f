//! The annotation delay as it is seen from outside: the real AI process answers numbered pictures, and what it is hindered by is seen.

use crate::link::program;
use crate::selftest::check;
use crate::support::root;
use keyhole::base::mode::Mode;
use keyhole::config::Config;
use keyhole::guard::{Form, Limits, Loop as Kind, Report};
use keyhole::link::Spawn;
use keyhole::overlay::OverlayMode;
use keyhole::pipeline::selftest::{Loop, judge, now, observe};
use keyhole::pipeline::{DisplayChoice, Injection, Limit, SnapshotPlan, Spec};
use serde_json::Value;
use std::path::PathBuf;

/// The AI process as it is shipped.
fn shipped() -> Spawn {
    Spawn { program: env!("CARGO_BIN_EXE_keyhole").into(), args: vec!["worker".into()] }
}

/// One that takes so long for each picture.
fn slow(ms: u32) -> Spawn {
    Spawn { program: program(), args: vec!["slow".into(), ms.to_string().into()] }
}

/// The internal loop with this AI process, engine folder and faults; the report as it is written.
fn tested(worker: Spawn, engines: PathBuf, faults: &str) -> Value {
    let folder = tempfile::tempdir().unwrap();
    let inject = (!faults.is_empty()).then(|| {
        std::fs::write(folder.path().join("f.toml"), faults).unwrap();
        Injection::load(&folder.path().join("f.toml")).unwrap()
    });
    let spec = Spec {
        source: String::new(),
        display: DisplayChoice::Headless,
        limit: Limit::default(),
        overlay: OverlayMode::Off,
        is_overlay_asked: true,
        hud: false,
        is_hud_asked: true,
        engines: Some(engines),
        record: None,
        record_clean: None,
        snapshots: SnapshotPlan::default(),
        report: None,
        timeline: None,
        scenes: None,
        masks: None,
        coverage: None,
        worker,
        taps: None,
        case: None,
        inject,
        config: Config { preferences: false, ..Config::default() },
    };
    let seen = observe(spec, &Loop::Internal, "pattern:?width=640&height=480&fps=30", 90).unwrap();
    let mut report = Report::new(Kind::Internal, Form::Quick, Mode::Demo, now(), "");
    judge(&seen, Form::Quick, &Limits::shipped(), &mut report);
    serde_json::to_value(&report).unwrap()
}

#[test]
fn a_slow_ai_is_seen_from_outside_and_the_box_says_the_same() {
    for (worker, least_ms) in [(shipped(), 0.0), (slow(40), 40.0)] {
        let report = tested(worker, root().join("engines"), "");
        let (outside, inside) = (&report["delays_ms"]["annotation"], &report["delays_ms"]["annotation_inside"]);
        let of = |summary: &Value, name: &str| summary[name].as_f64().unwrap_or_else(|| panic!("{report:#}"));
        assert!(of(outside, "count") > 10.0 && of(outside, "min") > 0.0, "{outside}");
        // Those of the first pictures, which nobody measures, are in the box's own figure too.
        assert!(of(outside, "max") <= of(inside, "max") + 0.1 && of(outside, "min") >= least_ms, "{outside} {inside}");
        assert!((of(outside, "p50") - of(inside, "p50")).abs() < 10.0, "{outside} {inside}");
        assert_ne!(check(&report, "ST-D13")["result"], "pass", "90 pictures are too few: {}", check(&report, "ST-D13"));
        assert!(check(&report, "ST-D14")["value"].as_f64().unwrap() >= least_ms, "what is shown has an age");
    }
}

#[test]
fn what_comes_too_late_to_be_shown_is_counted_and_never_shown() {
    let report = tested(slow(150), root().join("engines"), "");
    let late = check(&report, "ST-D13");
    let detail = late["detail"].as_str().unwrap();
    assert!(late["result"] == "fail" && detail.starts_with("0 answers") && !detail.contains(" 0 came too late"), "{late}");
    assert!(report["delays_ms"]["annotation"].is_null() && report["delays_ms"]["annotation_inside"].is_null());
    assert!(report["checks"].as_array().unwrap().iter().all(|check| check["code"] != "ST-D14"), "nothing was shown: nothing has an age");
}

#[test]
fn an_ai_that_dies_fails_and_one_that_is_not_there_is_not_tested() {
    let deaths: String = (0..6).map(|i| format!("[[fault]]\nkind = 'worker-kill'\nat_s = {:.1}\n", 1.5 + 0.3 * f64::from(i))).collect();
    let report = tested(shipped(), root().join("engines"), &deaths);
    let dead = check(&report, "ST-D13");
    assert!(dead["result"] == "fail" && dead["detail"].as_str().unwrap().contains("the AI process ended"), "{dead}");

    let empty = tempfile::tempdir().unwrap();
    let report = tested(shipped(), empty.path().to_owned(), "");
    let none = check(&report, "ST-D13");
    assert!(none["result"] == "not_run" && none["reason"].as_str().unwrap().contains("no engine"), "{none}");
    assert!(report["delays_ms"]["annotation"].is_null(), "no old numbers");
}
