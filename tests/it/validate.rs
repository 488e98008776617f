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

fn json(path: &Path) -> serde_json::Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

#[test]
fn the_report_tells_calibration_tracks_and_tips_and_what_it_is_bound_to() {
    let folder = tempfile::tempdir().unwrap();
    let data = simulated(folder.path());
    let (report, html) = (folder.path().join("r.json"), folder.path().join("r.html"));
    let files = ["--report", text(&report), "--html", text(&html), "--prevalence", "0.3", "--compare", "cpu"];
    let (code, said) = validate(&[&["--data", text(&data)][..], &files].concat());
    assert_eq!(code, Some(0), "{said}");
    let json = json(&report);
    let instrument = json["classes"].as_array().unwrap().iter().find(|class| class["class"] == "instrument").unwrap();
    assert!(instrument["auroc"]["value"].as_f64().unwrap() > 0.9 && instrument["auroc_ties"].as_f64().unwrap() < 0.01, "{instrument}");
    assert!(instrument["ece"]["value"].as_f64().unwrap() < instrument["ece_boundary"]["value"].as_f64().unwrap(), "{instrument}");
    assert_eq!(instrument["iou"]["low"], serde_json::Value::Null, "one patient");
    assert_eq!(json["prevalence"]["pictures_a_second"], 25.0);
    let tracking = &json["tracking"];
    assert_eq!((tracking["clips"][0]["name"].as_str(), tracking["clips"][0]["frames"].as_u64()), (Some("clip.mkv"), Some(5)));
    assert!(tracking["hota"]["value"].as_f64().unwrap() > 0.2 && tracking["tips_labelled"].as_u64().unwrap() > 0, "{tracking}");
    assert!(tracking["average_precision"]["instrument"]["at_50"].as_f64().unwrap() > 0.2, "{tracking}");
    let listed: Vec<&str> = json["data"]["files"].as_array().unwrap().iter().map(|line| line["path"].as_str().unwrap()).collect();
    for file in ["dataset.toml", "clip.mkv", "tracks/clip.jsonl", "images/000000.png", "masks/000004.png"] {
        assert!(listed.contains(&file), "{file} is not in {listed:?}");
    }
    assert_eq!(json["engine"]["manifest_sha256"].as_str().unwrap().len(), 64);
    let page = std::fs::read_to_string(&html).unwrap();
    for part in ["ROC", "Reliability", "Worst cases", "data:image/png;base64,", "FROC", "Tracking", "bound to"] {
        assert!(page.contains(part), "{part} is not on the page");
    }
    let (code, said) = validate(&["--data", text(&data), "--compare", "cpu,cuda"]);
    assert!(code == Some(2) && said.contains("--compare cuda") && said.contains("once with each --backend"), "{said}");
}

#[test]
fn a_plan_is_registered_before_a_picture_is_opened_and_decides_the_exit_code() {
    let folder = tempfile::tempdir().unwrap();
    let plan = folder.path().join("plan.toml");
    let written = "schema = \"keyhole.plan/1\"\nname = \"p\"\n[[end_point]]\nmetric = \"iou\"\nclass = \"liver\"\nat_least = 0.1\n";
    std::fs::write(&plan, written).unwrap();
    // There is no data yet, and the plan is on record.
    let data = folder.path().join("data");
    let arguments = ["--data", text(&data), "--plan", text(&plan)];
    assert_eq!(validate(&arguments).0, Some(2));
    let registered: serde_json::Value = json(&folder.path().join("plan.toml.registered"));
    simulated(folder.path());
    let report = folder.path().join("r.json");
    let (code, said) = validate(&[&arguments[..], &["--report", text(&report)]].concat());
    assert!(code == Some(1) && said.contains("NOT MET iou of liver: insufficient: 1 patients, 5 needed"), "{said}");
    let told = json(&report);
    assert_eq!((&told["plan"]["sha256"], &told["plan"]["met"]), (&registered["sha256"], &false.into()));
    std::fs::remove_file(&report).unwrap();
    std::fs::write(&plan, written.replace("0.1", "0.05")).unwrap();
    let (code, said) = validate(&[&arguments[..], &["--report", text(&report)]].concat());
    assert!(code == Some(1) && said.contains("+ at_least = 0.05") && said.contains("registered"), "{said}");
    assert!(!report.exists());
}

/// Five patients with one picture each: intervals, end points that are met, and people who agree.
#[test]
fn patients_make_intervals_and_raters_a_consensus() {
    let folder = tempfile::tempdir().unwrap();
    let data = simulated(folder.path());
    let names: Vec<String> = (0..5).map(|i| format!("{i:06}.png")).collect();
    let mut described = std::fs::read_to_string(data.join("dataset.toml")).unwrap();
    names.iter().enumerate().for_each(|(i, name)| described += &format!("\"patient {i}\" = [\"{name}\"]\n"));
    std::fs::write(data.join("dataset.toml"), described).unwrap();
    for rater in ["masks.anna", "masks.ben", "masks.cleo"] {
        std::fs::create_dir(data.join(rater)).unwrap();
        std::fs::copy(data.join("masks/000000.png"), data.join(rater).join("000000.png")).unwrap();
    }
    std::fs::remove_file(data.join("masks/000000.png")).unwrap();
    std::fs::remove_dir_all(data.join("tracks")).unwrap();
    let (plan, report) = (folder.path().join("plan.toml"), folder.path().join("r.json"));
    let end_point = "[[end_point]]\nmetric = \"iou\"\nclass = \"liver\"\nat_least = 0.05\n";
    std::fs::write(&plan, format!("schema = \"keyhole.plan/1\"\nname = \"p\"\npatients = 5\nprevalence = 0.5\n{end_point}")).unwrap();
    let (code, said) = validate(&["--data", text(&data), "--plan", text(&plan), "--report", text(&report)]);
    assert!(code == Some(0) && said.contains("met     iou of liver: lower bound"), "{said}");
    let told = json(&report);
    let liver = told["classes"].as_array().unwrap().iter().find(|class| class["class"] == "liver").unwrap();
    let bound = |name: &str| liver["iou"][name].as_f64().unwrap();
    assert!(bound("low") <= bound("value") && bound("value") <= bound("high") && liver["iou"]["patients"] == 5, "{liver}");
    assert!(told["plan"]["met"] == true && told["tracking"].is_null());
    let agreed = told["agreement"].as_array().unwrap().iter().find(|class| class["class"] == "liver").unwrap();
    assert_eq!((agreed["dice"].as_f64(), &agreed["raters"]), (Some(1.0), &serde_json::json!(["anna", "ben", "cleo"])));
}
