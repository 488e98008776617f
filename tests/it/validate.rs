//! `keyhole validate` on simulated labels, as a user runs it.

use crate::support::keyhole;
use std::path::Path;

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn simulated(folder: &Path) -> std::path::PathBuf {
    let data = folder.join("data");
    let size = ["--width", "320", "--height", "192", "--fps", "10", "--seconds", "0.5", "--seed", "4"];
    let output = keyhole().args(["sim", "--out", text(&data)]).args(size).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    data
}

fn validate(arguments: &[&str]) -> (Option<i32>, String) {
    let output = keyhole().arg("validate").args(arguments).output().unwrap();
    (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr))
}

#[test]
fn an_engine_is_measured_on_labels_and_the_report_says_on_what() {
    let folder = tempfile::tempdir().unwrap();
    let data = simulated(folder.path());
    let (report, html, masks) = (folder.path().join("r.json"), folder.path().join("r.html"), folder.path().join("masks"));
    let files = ["--report", text(&report), "--html", text(&html), "--masks", text(&masks)];
    let (code, said) = validate(&[&["--data", text(&data)][..], &files].concat());
    assert!(code == Some(0) && said.contains("liver") && said.contains("insufficient"), "{said}");
    let json: serde_json::Value = serde_json::from_slice(&std::fs::read(&report).unwrap()).unwrap();
    assert_eq!(
        (json["schema"].as_str(), json["pictures"].as_u64(), json["patients"].as_u64()),
        (Some("keyhole.validation/1"), Some(5), Some(1))
    );
    let liver = json["classes"].as_array().unwrap().iter().find(|class| class["class"] == "liver").unwrap();
    assert!(liver["iou"]["value"].as_f64().unwrap() > 0.3, "{liver}");
    assert!(json["subgroups"]["procedure simulated cholecystectomy"].is_array());
    let names: Vec<_> = std::fs::read_dir(&masks).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names.len(), 5);
    let page = std::fs::read_to_string(&html).unwrap();
    assert!(page.contains("surgical-cpu") && page.contains("<svg") && !page.contains("http"), "{page}");
    // Another byte is another data set.
    let mask = data.join("masks/000000.png");
    std::fs::copy(data.join("masks/000004.png"), &mask).unwrap();
    assert_eq!(validate(&["--data", text(&data), "--report", text(&report)]).0, Some(0));
    let other: serde_json::Value = serde_json::from_slice(&std::fs::read(&report).unwrap()).unwrap();
    assert_ne!(other["data"]["sha256"], json["data"]["sha256"]);
}

#[test]
fn a_broken_data_set_is_named_file_by_file_and_nothing_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let data = simulated(folder.path());
    std::fs::remove_file(data.join("masks/000001.png")).unwrap();
    std::fs::copy(concat!(env!("CARGO_MANIFEST_DIR"), "/engines/classes.toml"), data.join("masks/000002.png")).unwrap();
    std::fs::remove_file(data.join("images/000003.png")).unwrap();
    let report = folder.path().join("r.json");
    let (code, said) = validate(&["--data", text(&data), "--report", text(&report)]);
    assert_eq!(code, Some(2), "{said}");
    for part in ["images/000001.png has no mask", "000002.png", "masks/000003.png has no image", "names 000003.png", "repair or remove"] {
        assert!(said.contains(part), "{part} is not in: {said}");
    }
    assert!(!report.exists());
    let (code, said) = validate(&["--data", text(folder.path())]);
    assert!(code == Some(2) && said.contains("dataset.toml"), "{said}");
}
