//! The self-test as its user runs it: the real path, real X, faults put in on purpose.

use crate::support::keyhole;
use crate::window::Server;
use serde_json::Value;
use std::path::Path;

/// The quick form; as `selftest_with`.
fn selftest(folder: &Path, display: Option<&str>, arguments: &[&str]) -> (i32, Value, String) {
    selftest_with(folder, "", display, &[&["--quick"], arguments].concat())
}

/// Exit code, report, and all that was said. `config`: what stands in the config file besides.
pub fn selftest_with(folder: &Path, config: &str, display: Option<&str>, arguments: &[&str]) -> (i32, Value, String) {
    let file = folder.join("keyhole.toml");
    std::fs::write(&file, format!("{config}\n[guard]\nreports = '{}'\n", folder.join("kept").display())).unwrap();
    let report = folder.join("r.json");
    let mut command = keyhole();
    match display {
        Some(display) => command.env("DISPLAY", display),
        None => command.env_remove("DISPLAY"),
    };
    command.args(["selftest", "--config", file.to_str().unwrap(), "--report", report.to_str().unwrap()]);
    let output = command.arg("--html").arg(folder.join("r.html")).args(arguments).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    let report = std::fs::read(&report).map(|bytes| serde_json::from_slice(&bytes).unwrap()).unwrap_or_default();
    (output.status.code().unwrap(), report, said)
}

pub fn check<'a>(report: &'a Value, code: &str) -> &'a Value {
    report["checks"].as_array().unwrap().iter().find(|check| check["code"] == code).unwrap_or_else(|| panic!("no {code}: {report}"))
}

#[test]
fn a_delay_and_a_dropped_frame_put_into_the_loop_are_found() {
    let folder = tempfile::tempdir().unwrap();
    let of = |faults: &str| {
        let pattern = format!("pattern:?width=640&height=480&fps=30{faults}");
        selftest(folder.path(), None, &["--loop", "internal", "--frames", "90", "--pattern", &pattern])
    };
    let (_, clean, said) = of("");
    let (code, faulty, _) = of("&delay_ms=40&drop=77");
    assert_eq!(code, 1, "90 pictures are too few for any verdict");
    let p50 = |report: &Value| report["delays_ms"]["cable_to_cable"]["p50"].as_f64().unwrap();
    let more = p50(&faulty) - p50(&clean);
    assert!((38.0..80.0).contains(&more), "40 ms more were put in: {more:.2} ({said})");
    let missing = check(&faulty, "ST-F21")["detail"].as_str().unwrap();
    assert!(missing.contains("77"), "{missing}");
    assert_eq!(check(&clean, "ST-P31")["result"], "pass", "{}", clean["colours"]);
    assert_eq!(check(&clean, "ST-P32")["result"], "pass", "{}", clean["geometry"]);
    let history = keyhole().args(["selftest", "history", "--config"]).arg(folder.path().join("keyhole.toml")).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&history.stdout).matches("internal").count(), 2);
    let page = std::fs::read_to_string(folder.path().join("r.html")).unwrap();
    assert!(page.contains("FAIL") && !page.contains("<script"), "one page, nothing loaded");
}

#[test]
fn the_window_s_own_pixels_are_read_back_under_x() {
    let Some(server) = Server::start("the_window_s_own_pixels_are_read_back_under_x") else { return };
    let folder = tempfile::tempdir().unwrap();
    let pattern = "pattern:?width=1280&height=800&fps=30";
    let (_, report, said) = selftest(folder.path(), Some(&server.display), &["--frames", "60", "--pattern", pattern]);
    assert_eq!(report["loop"], "x11", "{said}");
    assert!(report["counts"]["seen"].as_u64().unwrap() > 30, "{}", report["counts"]);
    assert_eq!(check(&report, "ST-P31")["result"], "pass", "{}", report["colours"]);
    assert_eq!(check(&report, "ST-P32")["result"], "pass", "{}", report["geometry"]);
    assert_eq!(report["counts"]["reordered"], 0);
}

/// The screen of an X server, as a capture card's input would give it.
#[test]
fn the_monitor_s_signal_is_read_at_another_input_and_the_cable_is_proven() {
    let Some(server) = Server::start("the_monitor_s_signal_is_read_at_another_input_and_the_cable_is_proven") else { return };
    let folder = tempfile::tempdir().unwrap();
    let of = |faults: &str| {
        let pattern = format!("pattern:?width=1280&height=800&fps=30{faults}");
        let source =
            "gst:ximagesrc use-damage=false show-pointer=false ! video/x-raw,framerate=60/1 ! videoconvert ! video/x-raw,format=UYVY";
        let arguments = ["--loop", "cable", "--source", source, "--frames", "90", "--pattern", &pattern];
        let (_, report, said) = selftest(folder.path(), Some(&server.display), &arguments);
        assert_eq!(report["loop"], "cable", "{said}");
        report
    };
    let report = of("");
    assert!(report["counts"]["seen"].as_u64().unwrap() > 45, "{}", report["counts"]);
    assert_eq!(check(&report, "ST-P31")["result"], "pass", "{}", report["colours"]);
    assert_eq!(check(&report, "ST-P32")["result"], "pass", "{}", report["geometry"]);
    assert_eq!(report["counts"]["reordered"], 0);
    let p50 = |report: &Value| report["delays_ms"]["cable_to_cable"]["p50"].as_f64().unwrap();
    let more = p50(&of("&delay_ms=100")) - p50(&report);
    assert!((70.0..180.0).contains(&more), "100 ms were put in: {more:.1}");
}

#[test]
fn faults_on_demand_are_refused_in_clinical_mode_and_named_where_they_cannot_be_read() {
    let folder = tempfile::tempdir().unwrap();
    let (faults, config) = (folder.path().join("f.toml"), folder.path().join("c.toml"));
    std::fs::write(&faults, "[[fault]]\nkind = 'black'\nat_s = 0.1\n").unwrap();
    std::fs::write(&config, "mode = 'clinical'\n[wiring]\npath = 'second-monitor'\n").unwrap();
    let run = |arguments: &[&str]| {
        let output = keyhole().args(["run", "--display", "headless", "--frames", "5", "--inject"]).args(arguments).output().unwrap();
        (output.status.code().unwrap(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (code, said) = run(&[faults.to_str().unwrap(), "--config", config.to_str().unwrap()]);
    assert!(code == 2 && said.contains("clinical"), "{code}: {said}");
    let (code, said) = run(&["no-such.toml"]);
    assert!(code == 2 && said.contains("no-such.toml") && said.contains("[[fault]]"), "{code}: {said}");
}

#[test]
fn a_frozen_input_put_in_on_purpose_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let (faults, report) = (folder.path().join("f.toml"), folder.path().join("r.json"));
    std::fs::write(&faults, "[[fault]]\nkind = 'freeze'\nat_s = 0.5\nfor_s = 1.5\n[[fault]]\nkind = 'worker-kill'\nat_s = 0.4\n").unwrap();
    let source = "pattern:?width=640&height=480&fps=30";
    let mut command = keyhole();
    command
        .args(["run", "--source", source, "--display", "headless", "--seconds", "3", "--inject"])
        .arg(&faults)
        .arg("--report")
        .arg(&report);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let report: Value = serde_json::from_slice(&std::fs::read(report).unwrap()).unwrap();
    let reasons: Vec<&str> = report["states"].as_array().unwrap().iter().filter_map(|line| line["reason"].as_str()).collect();
    assert!(reasons.iter().any(|reason| reason.contains("repeats one picture")), "{reasons:?}");
    assert!(report["worker_restarts"].as_u64().unwrap() >= 1, "{}", report["worker_restarts"]);
    assert_eq!(report["frames"]["captured"], report["frames"]["displayed"], "the video took no notice");
}

#[test]
fn limits_that_nobody_approved_fail_the_self_test_by_its_code() {
    let folder = tempfile::tempdir().unwrap();
    let site = folder.path().join("site.toml");
    std::fs::write(&site, "[[limit]]\nid = 'end_to_end_ms'\nhard = 500\n").unwrap();
    let (config, report) = (folder.path().join("site-config.toml"), folder.path().join("r.json"));
    let guard = format!("[guard]\nreports = '{}'\nsite_limits = '{}'\n", folder.path().join("kept").display(), site.display());
    std::fs::write(&config, guard).unwrap();
    let mut command = keyhole();
    command.args(["selftest", "--quick", "--loop", "internal", "--frames", "60", "--pattern", "pattern:?width=640&height=480&fps=60"]);
    let output = command.arg("--config").arg(&config).arg("--report").arg(&report).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stderr));
    let report: Value = serde_json::from_slice(&std::fs::read(report).unwrap()).unwrap();
    let limits = check(&report, "ST-M60");
    assert!(limits["result"] == "fail" && limits["detail"].as_str().unwrap().contains("site.toml"), "{limits}");
}
