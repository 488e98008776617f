//! The pipeline as a library: a hostile AI process, and a source that stops.

use crate::link::program;
use crate::support::{Run, root};
use keyhole::config::Config;
use keyhole::link::Spawn;
use keyhole::overlay::OverlayMode;
use keyhole::pipeline::{self, DisplayChoice, Limit, SnapshotPlan, Spec};
use serde_json::Value;

const FRAMES: u64 = 45;

fn spec(folder: &std::path::Path, worker: Spawn) -> Spec {
    Spec {
        source: "sim:?width=320&height=240&fps=30&seconds=2".into(),
        display: DisplayChoice::Headless,
        limit: Limit { frames: Some(FRAMES), seconds: None },
        overlay: OverlayMode::Outline,
        is_overlay_asked: true,
        hud: false,
        is_hud_asked: true,
        engines: Some(root().join("engines")),
        record: None,
        record_clean: None,
        snapshots: SnapshotPlan::default(),
        report: None,
        timeline: Some(folder.join("t.jsonl")),
        scenes: None,
        masks: None,
        coverage: None,
        worker,
        taps: None,
        case: None,
        inject: None,
        config: Config::default(),
    }
}

fn hostile(mode: &str) -> Spawn {
    Spawn { program: program(), args: vec![mode.into()] }
}

#[test]
fn a_hostile_worker_changes_no_pixel_and_no_count() {
    for mode in ["nan", "million-tracks", "future-frames", "flood", "garbage"] {
        let folder = tempfile::tempdir().unwrap();
        let report = pipeline::run(spec(folder.path(), hostile(mode))).unwrap();
        assert_eq!((report.frames.captured, report.frames.displayed), (FRAMES, FRAMES), "{mode}: {:?}", report.losses);
        let timeline = std::fs::read_to_string(folder.path().join("t.jsonl")).unwrap();
        for line in timeline.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()) {
            assert_eq!(line["picture_hash"], line["clean_hash"], "{mode}: {line}");
        }
        assert_eq!(report.frames.inferred, 0, "{mode}");
    }
}

#[test]
fn a_lost_signal_is_said_and_the_picture_comes_back() {
    // A second of pictures, two seconds of nothing, a second of pictures.
    let pictures = |offset_ns: u64| {
        format!(
            "videotestsrc num-buffers=25 timestamp-offset={offset_ns} ! video/x-raw,format=NV12,width=320,height=240,framerate=25/1 ! c."
        )
    };
    let source = format!("gst:{} {} concat name=c adjust-base=false ! identity", pictures(0), pictures(3_000_000_000));
    let run = Run::new(&["--source", &source, "--frames", "50"]);
    let report = run.report();
    let signals: Vec<&str> = report["states"].as_array().unwrap().iter().map(|s| s["signal"].as_str().unwrap()).collect();
    let lost = signals.iter().position(|s| *s == "lost").unwrap_or_else(|| panic!("never lost: {signals:?}"));
    assert!(signals[lost..].contains(&"live"), "{signals:?}");
    assert!(report["alarms"].as_array().unwrap().iter().any(|a| a["code"] == "SIGNAL-LOST"));
    assert_eq!(report["frames"]["displayed"], 50);
}
