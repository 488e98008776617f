//! Bad input: one clear line that names the thing, the reason and the remedy; the contract's exit code; within 5 s;
//! nothing half written.

use crate::support::{Run, SMALL_SIM, keyhole, root};
use std::path::Path;
use std::time::{Duration, Instant};

/// The run must fail with `code`, name each of `named`, and leave nothing behind.
#[track_caller]
fn refused(arguments: &[&str], code: i32, named: &[&str]) {
    let started = Instant::now();
    let outputs =
        ["--timeline", "{}/t.jsonl", "--scenes", "{}/s.jsonl", "--record", "{}/r.mp4", "--snapshot", "{}/p.png", "--frames", "30"];
    let run = Run::new(&[arguments, &outputs].concat());
    let stderr = run.stderr();
    assert_eq!(run.output.status.code(), Some(code), "{arguments:?}: {stderr}");
    for name in named {
        assert!(stderr.contains(name), "{arguments:?}: '{name}' is not in: {stderr}");
    }
    assert!(!stderr.contains("panicked"), "{stderr}");
    assert_eq!(run.left(), [] as [String; 0], "{arguments:?} left files behind");
    assert!(started.elapsed() < Duration::from_secs(5), "{arguments:?} took {:?}", started.elapsed());
}

fn source_refused(path: &Path, named: &[&str]) {
    refused(&["--source", path.to_str().unwrap()], 2, named);
}

#[test]
fn files_that_are_no_video_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    };
    source_refused(&folder.path().join("missing.mp4"), &["missing.mp4"]);
    source_refused(&file("empty.mp4", b""), &["empty.mp4", "empty"]);
    let noise: Vec<u8> = (0..200_000u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    source_refused(&file("noise.mp4", &noise), &["noise.mp4"]);
    source_refused(folder.path(), &["folder"]);
}

#[test]
fn unknown_sources_options_and_config_keys_are_refused() {
    refused(&["--source", "teapot://kitchen"], 2, &["teapot"]);
    refused(&["--source", "sim:?colour=red"], 2, &["colour"]);
    refused(&["--source", "gst:nosuchelement"], 2, &["nosuchelement"]);
    refused(&["--source", SMALL_SIM, "--masks", "/proc/nowhere"], 2, &["/proc/nowhere"]);
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("c.toml");
    std::fs::write(&config, "[overlay]\nmax_age = 3\n").unwrap();
    refused(&["--source", SMALL_SIM, "--config", config.to_str().unwrap()], 2, &["max_age"]);
    let output = keyhole().args(["run", "--nonsense"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn a_missing_runtime_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let library = folder.path().join("libonnxruntime.so");
    let place = folder.path().join("report.json");
    let output = keyhole()
        .env("ORT_DYLIB_PATH", &library)
        .args(["run", "--display", "headless", "--frames", "10", "--source", SMALL_SIM, "--report", place.to_str().unwrap()])
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    assert!(stderr.contains("ONNX Runtime") && stderr.contains("make setup"), "{stderr}");
    assert!(!place.exists());
}

/// A copy of the shipped engine whose files `change` may change.
fn changed_engine(change: impl Fn(&Path)) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let engine = folder.path().join("surgical-cpu");
    std::fs::create_dir(&engine).unwrap();
    for entry in std::fs::read_dir(root().join("engines/surgical-cpu")).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            std::fs::copy(&path, engine.join(path.file_name().unwrap())).unwrap();
        }
    }
    change(&engine);
    folder
}

#[test]
fn an_engine_that_was_changed_is_refused() {
    let flipped = changed_engine(|engine| {
        let path = engine.join("model.onnx");
        let mut bytes = std::fs::read(&path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        std::fs::write(path, bytes).unwrap();
    });
    refused(&["--source", SMALL_SIM, "--engines", flipped.path().to_str().unwrap()], 1, &["model.onnx", "sha256"]);
    let misfit = changed_engine(|engine| {
        let path = engine.join("manifest.toml");
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::write(path, text.replace("width = 256", "width = 352")).unwrap();
        // The signature would be refused before the shape is looked at.
        std::fs::remove_file(engine.join("signature.toml")).unwrap();
    });
    refused(&["--source", SMALL_SIM, "--engines", misfit.path().to_str().unwrap()], 1, &["352"]);
}

#[test]
fn a_folder_without_engines_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    refused(&["--source", SMALL_SIM, "--engines", folder.path().to_str().unwrap()], 2, &[folder.path().to_str().unwrap()]);
}

#[test]
fn the_worker_cannot_be_started_by_hand() {
    let output = keyhole().arg("worker").output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("keyhole run"));
}

#[test]
fn outputs_that_would_destroy_something_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let place = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let run = |arguments: &[&str]| {
        let output =
            keyhole().args(["run", "--display", "headless", "--frames", "3", "--source", SMALL_SIM]).args(arguments).output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    // A device, reached through a link so that a mistake costs the link and not the machine's device.
    std::os::unix::fs::symlink("/dev/null", place("device")).unwrap();
    let (code, stderr) = run(&["--report", &place("device")]);
    assert_eq!((code, stderr.contains("not a file")), (Some(2), true), "{stderr}");
    assert!(std::fs::symlink_metadata(place("device")).unwrap().is_symlink());

    let (same, other) = (place("same.jsonl"), format!("{}/./same.jsonl", folder.path().display()));
    let (code, stderr) = run(&["--scenes", &same, "--timeline", &other]);
    assert_eq!(code, Some(2), "{stderr}");
    assert!(stderr.contains("--scenes") && stderr.contains("--timeline"), "{stderr}");
    let (code, stderr) = run(&["--masks", &place("pictures"), "--coverage", &place("pictures")]);
    assert_eq!((code, stderr.contains("--coverage")), (Some(2), true), "{stderr}");
    let (code, stderr) = run(&["--snapshot", &place("picture.jpg")]);
    assert_eq!((code, stderr.contains("FILE.png")), (Some(2), true), "{stderr}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing but the link is there");
}

#[test]
fn a_recording_is_never_written_over_what_is_played() {
    let folder = tempfile::tempdir().unwrap();
    let clip = folder.path().join("clip.mp4");
    std::fs::write(&clip, b"precious").unwrap();
    let clip = clip.to_str().unwrap();
    let output = keyhole().args(["run", "--display", "headless", "--frames", "3", "--source", clip, "--record", clip]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("--source"));
    assert_eq!(std::fs::read(clip).unwrap(), b"precious");
}
