//! Scripted scenes, end to end: what a camera and a cable do wrong is seen, said and over again.

use crate::support::{Run, keyhole, root};
use serde_json::Value;

const SIGNAL: &str = "\
seconds = 4.0
[[event]]
kind = 'loss'
at_s = 0.8
for_s = 0.6
[[event]]
kind = 'black'
at_s = 2.0
for_s = 0.6
[[event]]
kind = 'freeze'
at_s = 3.0
for_s = 0.6
";

#[test]
fn a_scripted_loss_is_shown_as_lost_and_is_live_again() {
    let script = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(script.path(), SIGNAL).unwrap();
    let source = format!("sim:?width=320&height=180&fps=30&script={}", script.path().display());
    // 102 pictures come in the 4 s: 18 are lost.
    let run = Run::new(&["--source", &source, "--frames", "102", "--overlay", "off", "--hud", "off", "--timeline", "{}/t.jsonl"]);
    let report = run.report();
    let signals: Vec<&str> = report["states"].as_array().unwrap().iter().map(|state| state["signal"].as_str().unwrap()).collect();
    let lost = signals.iter().position(|signal| *signal == "lost").unwrap_or_else(|| panic!("never lost: {signals:?}"));
    assert!(signals[..lost].contains(&"live") && signals[lost..].contains(&"live"), "{signals:?}");
    assert!(report["alarms"].as_array().unwrap().iter().any(|alarm| alarm["code"] == "SIGNAL-LOST"), "{}", report["alarms"]);

    // A picture's number counts those that came: 24 before the loss, then the loop's 42nd.
    let shown: Vec<(u64, String)> = run
        .lines("t.jsonl")
        .into_iter()
        .filter(|line: &Value| line["repeat"] == false && line["frame"].is_u64())
        .map(|line| (line["frame"].as_u64().unwrap(), line["picture_hash"].as_str().unwrap().to_owned()))
        .collect();
    let hashes = |from: u64, to: u64| -> Vec<&String> {
        let mut all: Vec<&String> = shown.iter().filter(|(frame, _)| (from..to).contains(frame)).map(|(_, hash)| hash).collect();
        assert!(all.len() > 3, "{} of the pictures {from} to {to} were shown", all.len());
        all.dedup();
        all
    };
    assert!(hashes(0, 24).len() > 3);
    assert_eq!(hashes(42, 60).len(), 1, "black");
    assert!(hashes(60, 72).len() > 3);
    assert_eq!(hashes(72, 90).len(), 1, "frozen");
    assert_ne!(hashes(42, 60), hashes(72, 90));
}

#[test]
fn a_rate_of_ntsc_is_exact_in_the_report() {
    let run = Run::new(&["--source", "sim:?width=64&height=64&fps=59.94&seconds=0.5", "--frames", "5"]);
    assert_eq!(run.report()["source"]["fps"], 60_000.0 / 1001.0);
}

#[test]
fn the_export_of_a_script_is_whole_and_a_wrong_script_is_refused_with_its_line() {
    let folder = tempfile::tempdir().unwrap();
    let script = folder.path().join("scene.toml");
    std::fs::write(&script, "seconds = 1.0\n[[event]]\nkind = 'smoke'\nat_s = 0.2\nfor_s = 0.5\n").unwrap();
    let out = folder.path().join("data");
    let export = |script: &std::path::Path| {
        let mut command = keyhole();
        command.args(["sim", "--width", "160", "--height", "90", "--fps", "10", "--out"]).arg(&out).arg("--script").arg(script);
        command.output().unwrap()
    };
    let output = export(&script);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    for (name, count) in [("images", 10), ("masks", 10), ("tracks", 1)] {
        assert_eq!(std::fs::read_dir(out.join(name)).unwrap().count(), count, "{name}");
    }
    let event: Value = serde_json::from_str(std::fs::read_to_string(out.join("events.jsonl")).unwrap().trim()).unwrap();
    assert_eq!((&event["kind"], &event["first_frame"], &event["end_frame"]), (&"smoke".into(), &2.into(), &7.into()));
    assert!(out.join("clip.mkv").exists() && out.join("dataset.toml").exists());

    std::fs::write(&script, "seconds = 1.0\n[[event]]\nkind = 'smoke'\nat_s = 0.2\nfor_s = 0.5\namuont = 1.0\n").unwrap();
    let refused = export(&script);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(2), "{said}");
    assert!(said.contains("line 6") && said.contains("amount"), "{said}");
}

/// Every script in the program's help and among the built-in ones can be named on the command line.
#[test]
fn the_help_tells_the_format_of_scripts() {
    let output = keyhole().args(["sim", "--help"]).current_dir(root()).output().unwrap();
    let help = String::from_utf8_lossy(&output.stdout).into_owned();
    for word in ["builtin:smoke", "out_of_body", "clip-applier", "default_instruments", "events.jsonl", "--gallery"] {
        assert!(help.contains(word), "the help does not tell of {word}");
    }
}
