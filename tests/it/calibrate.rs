//! `keyhole calibrate confidence` and operating points, as a user runs them.

use crate::support::keyhole;
use std::path::{Path, PathBuf};

const ENGINE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/engines/surgical-cpu");

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn run(arguments: &[&str]) -> (Option<i32>, String) {
    let output = keyhole().args(arguments).output().unwrap();
    (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr))
}

/// Simulated patients, one a seed.
fn simulated(folder: &Path, seeds: &[&str]) -> Vec<PathBuf> {
    let one = |seed: &&str| {
        let data = folder.join(format!("data-{seed}"));
        let size = ["--width", "334", "--height", "192", "--fps", "4", "--seconds", "1", "--seed", seed];
        let (code, said) = run(&[&["sim", "--out", text(&data)][..], &size].concat());
        assert_eq!(code, Some(0), "{said}");
        data
    };
    seeds.iter().map(one).collect()
}

#[test]
fn an_engine_is_calibrated_on_labels_and_its_copy_says_what_it_is_worth() {
    let folder = tempfile::tempdir().unwrap();
    let data = simulated(folder.path(), &["1", "2", "3"]);
    let (out, report, html) = (folder.path().join("calibrated-cpu"), folder.path().join("r.json"), folder.path().join("r.html"));
    let sets: Vec<&str> = data.iter().flat_map(|dir| ["--data", text(dir)]).collect();
    let files = ["--out", text(&out), "--report", text(&report), "--html", text(&html)];
    let before = std::fs::read(Path::new(ENGINE).join("manifest.toml")).unwrap();
    let (code, said) = run(&[&["calibrate", "confidence", "--engine", ENGINE][..], &sets, &files].concat());
    assert!(code == Some(0) && said.contains("ECE") && said.contains("keyhole engine lock"), "{said}");
    assert_eq!(std::fs::read(Path::new(ENGINE).join("manifest.toml")).unwrap(), before);

    let json: serde_json::Value = serde_json::from_slice(&std::fs::read(&report).unwrap()).unwrap();
    let classes = json["classes"].as_array().unwrap();
    assert!(classes.len() >= 3 && json["data"].as_array().unwrap().len() == 3, "{json}");
    for class in classes {
        let figure = |name: &str| class[name].as_f64();
        assert!(figure("ece").unwrap() <= figure("ece_before").unwrap() + 0.03, "{class}");
        // Fitted to these very pictures, what is sure keeps what was asked for.
        assert!(figure("sure_precision").is_none_or(|precision| precision >= 0.969), "{class}");
    }
    let page = std::fs::read_to_string(&html).unwrap();
    assert!(page.matches("<svg").count() == classes.len() && !page.contains("http"), "{page}");

    let (code, said) = run(&["engine", "info", text(&out)]);
    assert!(code == Some(0) && said.contains("not signed") && said.contains("calibrated 20"), "{said}");
    assert!(said.contains("sure") && said.contains("PPV"), "{said}");
    // What it is worth can be measured without fitting, and is what the record says.
    let again = folder.path().join("check.json");
    let check = ["calibrate", "confidence", "--check", "--engine", text(&out), "--report", text(&again)];
    let (code, said) = run(&[&check[..], &sets].concat());
    assert_eq!(code, Some(0), "{said}");
    let checked: serde_json::Value = serde_json::from_slice(&std::fs::read(&again).unwrap()).unwrap();
    for (fitted, checked) in classes.iter().zip(checked["classes"].as_array().unwrap()) {
        assert!((fitted["ece"].as_f64().unwrap() - checked["ece"].as_f64().unwrap()).abs() < 1e-3, "{fitted} {checked}");
        assert_eq!(fitted["sure_from"], checked["sure_from"]);
    }
}

#[test]
fn data_that_labels_nothing_of_the_engine_s_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let data = simulated(folder.path(), &["1"]).remove(0);
    let described = data.join("dataset.toml");
    let of = std::fs::read_to_string(&described).unwrap();
    let (head, rest) = of.split_once("[classes]").unwrap();
    let groups = rest.find("[subgroups]").map_or("", |at| &rest[at..]);
    let ids: String = (0..=20).map(|id| format!("{id} = \"thing {id}\"\n")).collect();
    std::fs::write(&described, format!("{head}[classes]\n{ids}{groups}")).unwrap();
    let out = folder.path().join("calibrated-cpu");
    let (code, said) = run(&["calibrate", "confidence", "--engine", ENGINE, "--data", text(&data), "--out", text(&out)]);
    assert!(code == Some(2) && said.contains("nothing to measure") && !out.exists(), "{said}");
    std::fs::remove_file(data.join("masks/000000.png")).unwrap();
    let (code, said) = run(&["calibrate", "confidence", "--engine", ENGINE, "--data", text(&data), "--out", text(&out)]);
    assert!(code == Some(2) && said.contains("000000.png") && !out.exists(), "{said}");
}

#[test]
fn a_site_s_thresholds_are_signed_shown_with_what_they_give_and_refused_when_they_do_not_fit() {
    let folder = tempfile::tempdir().unwrap();
    let engines = folder.path().join("engines");
    let dir = engines.join("surgical-cpu");
    std::fs::create_dir_all(&dir).unwrap();
    for file in ["model.onnx", "golden.png", "golden.mask.png"] {
        std::fs::copy(Path::new(ENGINE).join(file), dir.join(file)).unwrap();
    }
    let manifest = std::fs::read_to_string(Path::new(ENGINE).join("manifest.toml")).unwrap();
    let lines: Vec<&str> = manifest.lines().filter(|line| !line.starts_with("threshold_range")).collect();
    let manifest = lines.join("\n").replacen("kind = \"instrument\"", "kind = \"instrument\"\nthreshold_range = [0.2, 0.8]", 1);
    std::fs::write(dir.join("manifest.toml"), manifest).unwrap();
    let (key, point, config) = (folder.path().join("site.key"), folder.path().join("site.toml"), folder.path().join("keyhole.toml"));
    assert_eq!(run(&["engine", "key", "--out", text(&key), "--name", "Site"]).0, Some(0));
    let body = "schema = 'keyhole.operating-point/1'\nengine = 'surgical-cpu'\nby = 'Dr. A'\ndate = '2026-11-22'\nwhy = 'fewer'\n\
        [[heads]]\noutput = 'instrument'\nthreshold = 0.6\n";
    std::fs::write(&point, body).unwrap();
    std::fs::write(&config, format!("[store]\noperating_point = '{}'\n", text(&point))).unwrap();
    let report = folder.path().join("r.json");
    let play =
        ["run", "--source", "sim:", "--display", "headless", "--frames", "3", "--config", text(&config), "--engines", text(&engines)];
    let play = || run(&[&play[..], &["--report", text(&report)]].concat());

    let (code, said) = play();
    assert!(code == Some(1) && said.contains("site.toml") && said.contains("engine lock"), "not bound to the manifest: {said}");
    let (code, said) = run(&["engine", "lock", text(&dir), "--key", text(&key), "--operating-point", text(&point)]);
    assert!(code == Some(0) && said.contains("Dr. A") && said.contains("0.6") && said.contains("Site"), "{said}");
    assert!(!dir.join("signature.toml").exists(), "the engine itself stays as it was");
    let (code, said) = play();
    assert_eq!(code, Some(0), "{said}");
    let (code, said) = run(&["engine", "info", text(&dir), "--operating-point", text(&point)]);
    assert!(code == Some(0) && said.contains("threshold 0.6") && said.contains("between 0.2 and 0.8"), "{said}");

    for (from, to, named) in [("0.6", "0.95", "0.2 to 0.8"), ("threshold = 0.6", "threshold = 0.7", "site.signature.toml")] {
        let signed = std::fs::read_to_string(&point).unwrap();
        std::fs::write(&point, signed.replace(from, to)).unwrap();
        let (code, said) = play();
        assert!(code == Some(1) && said.contains(named), "{named}: {said}");
        std::fs::write(&point, signed).unwrap();
    }
}
