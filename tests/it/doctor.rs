//! What the program says of the machine that it stands on.

use crate::support::keyhole;
use serde_json::Value;

/// Exit code and findings of `keyhole doctor --json` with these variables.
fn doctor(variables: &[(&str, &str)]) -> (Option<i32>, Value) {
    let output = keyhole().args(["doctor", "--json"]).envs(variables.iter().copied()).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    (output.status.code(), serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {text}")))
}

fn items<'a>(found: &'a Value, section: &str) -> Vec<(&'a str, &'a str)> {
    let section = found["sections"].as_array().unwrap().iter().find(|one| one["name"] == section).unwrap();
    let items = section["items"].as_array().unwrap().iter();
    items.map(|item| (item["state"].as_str().unwrap(), item["text"].as_str().unwrap())).collect()
}

#[test]
fn this_machine_can_run_and_the_doctor_says_with_what() {
    let (code, found) = doctor(&[]);
    assert_eq!((code, found["schema"].as_str()), (Some(0), Some("keyhole.doctor/1")), "{found:#}");
    let inputs = items(&found, "inputs");
    // A card that decodes is nothing that every machine has.
    assert!(inputs.iter().all(|(state, text)| *state == "ok" || text.starts_with("decoded on a GPU: ")), "{inputs:#?}");
    let displays = items(&found, "displays");
    assert!(displays.iter().any(|(_, text)| text.contains("no window system")), "{displays:#?}");
    let engines = items(&found, "AI");
    assert!(engines.iter().any(|(state, text)| *state == "ok" && text.starts_with("engine surgical-cpu")), "{engines:#?}");
    let text = String::from_utf8(keyhole().arg("doctor").output().unwrap().stdout).unwrap();
    for part in ["machine\n", "GStreamer 1.", "cores", "engine surgical-cpu", "GPU\n"] {
        assert!(text.contains(part), "{part} is not in:\n{text}");
    }
}

#[test]
fn what_the_ai_does_not_run_without_is_marked_and_ends_with_a_finding() {
    let nowhere = tempfile::tempdir().unwrap();
    let (code, found) = doctor(&[("ORT_DYLIB_PATH", nowhere.path().to_str().unwrap())]);
    assert_eq!((code, found["state"].as_str()), (Some(1), Some("missing")), "{found:#}");
    let (_, text) = items(&found, "AI").into_iter().find(|(state, _)| *state == "missing").unwrap();
    assert!(text.contains("ONNX Runtime") && text.contains("make setup"), "{text}");
}

#[test]
fn a_machine_without_nvidia_s_libraries_is_named_so_and_runs_all_the_same() {
    let nowhere = tempfile::tempdir().unwrap();
    let nowhere = nowhere.path().to_str().unwrap();
    let (code, found) = doctor(&[("KEYHOLE_NVRTC", nowhere)]);
    assert_eq!(code, Some(0), "{found:#}");
    let gpu = items(&found, "GPU");
    assert!(gpu.iter().any(|(state, text)| *state == "absent" && text.contains("NVRTC") && text.contains(nowhere)), "{gpu:#?}");
}
