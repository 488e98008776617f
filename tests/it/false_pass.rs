//! A self-test that passes a box which is not good is worse than none: each of these mistakes fails it, by its own code, and the same
//! without the mistake does not. What a busy machine does to delays is not looked at here.

use crate::selftest::{check, selftest_with};
use crate::support::{keyhole, root};
use keyhole::store::{GoldenOutputs, SecretKey, lock};
use serde_json::Value;
use std::path::{Path, PathBuf};

const INTERNAL: [&str; 6] = ["--loop", "internal", "--frames", "60", "--pattern", "pattern:?width=640&height=480&fps=60"];

/// Runs one and gives its report with the codes of what failed by a mistake (delays, losses and too few pictures left out).
#[track_caller]
fn failures(config: &str, arguments: &[&str]) -> (Value, Vec<String>) {
    let folder = tempfile::tempdir().unwrap();
    let (code, report, said) = selftest_with(folder.path(), config, None, &[&INTERNAL[..], arguments].concat());
    let failed: Vec<String> = report["verdict"]["failures"]
        .as_array()
        .unwrap_or_else(|| panic!("{said}"))
        .iter()
        .map(|failure| failure["code"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(code, i32::from(!failed.is_empty()), "{said}");
    assert_eq!(code, 1, "60 pictures are too few for any verdict: {said}");
    let is_of_the_machine = |code: &String| code.starts_with("ST-D") || ["ST-F21", "ST-F22", "ST-F25"].contains(&code.as_str());
    (report, failed.into_iter().filter(|code| !is_of_the_machine(code)).collect())
}

#[test]
fn nothing_wrong_fails_nothing_and_the_full_form_leaves_nothing_out() {
    let (report, failed) = failures("", &[]);
    assert_eq!(failed, [""; 0], "{}", report["verdict"]);
    for code in ["ST-P31", "ST-P32", "ST-P33", "ST-P34", "ST-P35", "ST-E41", "ST-E42", "ST-E43"] {
        assert_eq!(check(&report, code)["result"], "pass", "{}", check(&report, code));
    }
    assert!(check(&report, "ST-P35")["value"].as_f64().unwrap() >= 10_000.0);
}

#[test]
fn one_pixel_of_the_overlay_beside_its_place_fails() {
    let (report, failed) = failures("", &["--fault", "overlay-pixel"]);
    assert_eq!(failed, ["ST-P33", "ST-P34"], "{}", report["verdict"]);
    for code in ["ST-P33", "ST-P34"] {
        assert_eq!(check(&report, code)["value"], 1.0, "one pixel in one of more than ten thousand pictures");
    }
    assert!(report["device"]["fault put in on purpose"].as_str().unwrap().contains("OverlayPixel"));
}

#[test]
fn a_wrong_matrix_and_a_display_at_50_hz_fail_and_the_quick_form_says_what_it_leaves_out() {
    let (report, failed) = failures("", &["--quick"]);
    assert_eq!(failed, [""; 0], "{}", report["verdict"]);
    assert_eq!(check(&report, "ST-P33")["result"], "not_run");
    assert!(report["verdict"]["limits"].as_array().unwrap().iter().all(|limit| limit["code"] != "ST-P33"), "{}", report["verdict"]);

    let (report, failed) = failures("", &["--quick", "--fault", "matrix"]);
    assert_eq!(failed, ["ST-P31"], "{}", report["verdict"]);
    let detail = check(&report, "ST-P31")["detail"].as_str().unwrap();
    assert!(detail.contains("Bt601") && detail.contains("Bt709"), "{detail}");

    let (report, failed) = failures("[display]\nrefresh_hz = '50'", &["--quick"]);
    assert_eq!(failed, ["ST-F26"], "{}", report["verdict"]);
    let off = check(&report, "ST-F26")["value"].as_f64().unwrap();
    assert!((-18.0..-15.0).contains(&off), "50 Hz are 16.7 % less than 60: {off}");
}

/// A copy of the shipped engine that `change` may spoil.
fn engines(folder: &Path, change: impl Fn(&Path)) -> PathBuf {
    let engines = folder.join("engines");
    let engine = engines.join("surgical-cpu");
    std::fs::create_dir_all(&engine).unwrap();
    std::fs::copy(root().join("engines/classes.toml"), engines.join("classes.toml")).unwrap();
    for file in std::fs::read_dir(root().join("engines/surgical-cpu")).unwrap().map(Result::unwrap) {
        std::fs::copy(file.path(), engine.join(file.file_name())).unwrap();
    }
    change(&engine);
    engines
}

#[test]
fn an_engine_that_is_not_the_one_that_was_validated_fails() {
    let folder = tempfile::tempdir().unwrap();
    let of = |change: &dyn Fn(&Path)| {
        let engines = engines(folder.path(), change);
        let found = failures("", &["--quick", "--engines", engines.to_str().unwrap()]);
        std::fs::remove_dir_all(engines).unwrap();
        found
    };
    let (report, failed) = of(&|_| {});
    assert_eq!(failed, [""; 0], "{}", report["verdict"]);

    let one_bit = |engine: &Path| {
        let mut model = std::fs::read(engine.join("model.onnx")).unwrap();
        let middle = model.len() / 2;
        model[middle] ^= 1;
        std::fs::write(engine.join("model.onnx"), model).unwrap();
    };
    let (report, failed) = of(&one_bit);
    assert_eq!(failed, ["ST-E41", "ST-E42"], "{}", report["verdict"]);
    assert!(check(&report, "ST-E41")["detail"].as_str().unwrap().contains("model.onnx"));
    assert!(report["counts"]["seen"].as_u64().unwrap() > 30, "the picture was tested all the same");

    // Validated with another pre- and post-processing. Without its signature: that alone would refuse it.
    let old = |engine: &Path| {
        let manifest = std::fs::read_to_string(engine.join("manifest.toml")).unwrap();
        std::fs::write(engine.join("manifest.toml"), manifest.replace("pipeline_version = 1", "pipeline_version = 0")).unwrap();
        std::fs::remove_file(engine.join("signature.toml")).unwrap();
    };
    let (report, failed) = of(&old);
    assert_eq!(failed, ["ST-E41", "ST-E42"], "{}", report["verdict"]);
    assert!(check(&report, "ST-E41")["detail"].as_str().unwrap().contains("version"), "{}", check(&report, "ST-E41"));

    // Well signed, and what comes out on this machine is not what came out when it was validated.
    let other_golden = |engine: &Path| {
        let (width, height, mut ids) = keyhole::frame::map_from_png(&std::fs::read(engine.join("golden.mask.png")).unwrap()).unwrap();
        ids[..width * height / 50].fill(10);
        let mask = keyhole::frame::map_to_png(width, height, &ids).unwrap();
        let picture = std::fs::read(engine.join("golden.png")).unwrap();
        let key = SecretKey::read(&root().join("engines/development-key.toml")).unwrap();
        lock(engine, &key, Some(&GoldenOutputs { picture, mask })).unwrap();
    };
    let (report, failed) = of(&other_golden);
    assert_eq!(failed, ["ST-E42"], "{}", report["verdict"]);
}

#[test]
fn a_fault_put_in_on_purpose_is_refused_in_clinical_mode() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("c.toml");
    std::fs::write(&config, "mode = 'clinical'\n[wiring]\npath = 'second-monitor'\n").unwrap();
    for fault in
        [["--fault", "overlay-pixel"], ["--fault", "matrix"], ["--pattern", "pattern:?delay_ms=40"], ["--pattern", "pattern:?matrix=bt601"]]
    {
        let output = keyhole().args(["selftest", "--loop", "internal", "--config"]).arg(&config).args(fault).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(2) && said.contains("clinical"), "{fault:?}: {said}");
    }
}
