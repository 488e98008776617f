//! `--backend`, on the program as it is shipped: on machines without a GPU, on one whose driver is the tests' own, and on a GPU.

use crate::support::{Run, SMALL_SIM, keyhole, root};
use serde_json::Value;
use std::process::Command;

#[path = "../cuda/test_driver.rs"]
mod test_driver;

fn said(command: &mut Command) -> (Option<i32>, String) {
    let output = command.output().unwrap();
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout))
}

/// As the program itself finds it; Err: why not.
fn device() -> Result<Value, String> {
    let (_, text) = said(keyhole().args(["worker", "--device"]));
    let found: Value = serde_json::from_str(text.lines().last().unwrap_or_default()).unwrap();
    match found.get("Ok") {
        Some(device) => Ok(device.clone()),
        None => Err(found["Err"].as_str().unwrap().to_owned()),
    }
}

fn has_provider() -> bool {
    root().join(".setup/onnxruntime/libonnxruntime_providers_cuda.so").exists()
}

#[test]
fn a_gpu_that_is_asked_for_and_not_there_is_an_error_that_says_why_and_what_to_do() {
    match device() {
        Ok(device) => return println!("SKIPPED a_gpu_that_is_asked_for_and_not_there_is_an_error_that_says_why_and_what_to_do: {device}"),
        Err(reason) => assert!(reason.contains("driver") && reason.contains("--backend cpu"), "{reason}"),
    }
    let run = Run::new(&["--source", SMALL_SIM, "--frames", "30", "--backend", "cuda"]);
    let text = run.stderr();
    assert_eq!(run.output.status.code(), Some(2), "{text}");
    for part in ["backend 'cuda' cannot run here", "driver", "--backend cpu"] {
        assert!(text.contains(part), "{part} is not in: {text}");
    }
    assert!(run.left().is_empty(), "{:?}", run.left());

    let data = tempfile::tempdir().unwrap();
    let (code, text) = said(keyhole().args(["validate", "--backend", "cuda", "--data"]).arg(data.path()));
    assert!(code == Some(2) && text.contains("backend 'cuda' cannot run here"), "{code:?} {text}");
}

#[test]
fn the_report_says_which_backend_ran() {
    let run = Run::new(&["--source", SMALL_SIM, "--frames", "60", "--backend", "cpu"]);
    assert_eq!(run.report()["backend"], "cpu");
    // Where there is nothing but the processor it is taken, and the log says why.
    if device().is_err() {
        let (code, text) = said(keyhole().args(["-v", "run", "--display", "headless", "--source", SMALL_SIM, "--frames", "60"]));
        let line = text.lines().find(|line| line.contains("backend=\"cpu\"")).unwrap_or_default();
        assert!(code == Some(0) && line.contains("why="), "{code:?} {text}");
    }
}

/// The driver is asked in another process, and believed; a device that it has is of no use without what runs engines on it.
#[test]
fn a_device_without_onnx_runtimes_provider_is_an_error_that_says_so() {
    let test = "a_device_without_onnx_runtimes_provider_is_an_error_that_says_so";
    let folder = tempfile::tempdir().unwrap();
    if let Err(reason) = test_driver::build(folder.path()) {
        return println!("SKIPPED {test}: {reason}");
    }
    let on_it = || {
        let mut command = keyhole();
        command.env("LD_LIBRARY_PATH", folder.path());
        command
    };
    let (code, text) = said(on_it().args(["worker", "--device"]));
    assert!(code == Some(0) && text.contains("\"Ok\"") && text.contains("Test card 0"), "{text}");
    let (_, text) = said(on_it().args(["worker", "--device"]).env("TEST_CUDA_CAPABILITY", "75"));
    assert!(text.contains("\"Err\"") && text.contains("7.5"), "{text}");
    if has_provider() {
        return println!("SKIPPED {test}: the provider is installed on this machine");
    }
    let run = ["run", "--display", "headless", "--source", SMALL_SIM, "--frames", "30", "--backend", "cuda"];
    let (code, text) = said(on_it().args(run));
    assert!(code == Some(2) && text.contains("libonnxruntime_providers_cuda.so") && text.contains("hw/install.sh cuda"), "{code:?} {text}");
    // A driver that is too old is said before anything that would have to be installed for it.
    let (code, text) = said(on_it().args(run).env("TEST_CUDA_VERSION", "12040"));
    assert!(code == Some(2) && text.contains("CUDA 12.4") && !text.contains("providers_cuda"), "{code:?} {text}");
}

/// The provider is there, what it needs is not.
#[test]
fn a_provider_that_cannot_come_up_is_an_error_where_it_was_asked_for_and_else_the_processor() {
    let test = "a_provider_that_cannot_come_up_is_an_error_where_it_was_asked_for_and_else_the_processor";
    if device().is_ok() || has_provider() {
        return println!("SKIPPED {test}: this machine has what a GPU needs");
    }
    let folder = tempfile::tempdir().unwrap();
    if let Err(reason) = test_driver::build(folder.path()) {
        return println!("SKIPPED {test}: {reason}");
    }
    let library = "libonnxruntime.so.1.31.1";
    std::os::unix::fs::symlink(root().join(".setup/onnxruntime").join(library), folder.path().join(library)).unwrap();
    std::fs::write(folder.path().join("libonnxruntime_providers_cuda.so"), b"").unwrap();
    let run = |backend: &str| {
        let mut command = keyhole();
        command.env("LD_LIBRARY_PATH", folder.path()).env("ORT_DYLIB_PATH", folder.path().join(library));
        said(command.args(["-v", "run", "--display", "headless", "--source", SMALL_SIM, "--frames", "30", "--backend", backend]))
    };
    let (code, text) = run("cuda");
    for part in ["backend 'cuda' cannot run here", "'libcudart.so.13' is missing", "hw/install.sh cuda"] {
        assert!(code == Some(2) && text.contains(part), "{part} is not in: {code:?} {text}");
    }
    let (code, text) = run("auto");
    assert!(code == Some(0) && text.contains("backend=\"cpu\"") && text.contains("'libcudart.so.13' is missing"), "{code:?} {text}");
}

/// All libraries are there, and hold nothing: the device is chosen, and the AI process finds that no engine runs on it.
#[test]
fn a_device_that_takes_no_engine_is_followed_by_the_processor_unless_it_was_asked_for() {
    let test = "a_device_that_takes_no_engine_is_followed_by_the_processor_unless_it_was_asked_for";
    if device().is_ok() || has_provider() {
        return println!("SKIPPED {test}: this machine has what a GPU needs");
    }
    let folder = tempfile::tempdir().unwrap();
    if let Err(reason) = test_driver::build(folder.path()) {
        return println!("SKIPPED {test}: {reason}");
    }
    let place = |name: &str| folder.path().join(name);
    let empty = place("empty.so");
    let compiled = Command::new("g++").args(["-shared", "-fPIC", "-x", "c++", "/dev/null", "-o"]).arg(&empty).status().unwrap();
    assert!(compiled.success());
    let libraries =
        ["libcudart.so.13", "libcublasLt.so.13", "libcublas.so.13", "libcurand.so.10", "libnvrtc.so.13", "libcudnn.so.9"].into_iter();
    for name in libraries.chain(["libonnxruntime_providers_cuda.so"]) {
        std::fs::copy(&empty, place(name)).unwrap();
    }
    let library = "libonnxruntime.so.1.31.1";
    std::os::unix::fs::symlink(root().join(".setup/onnxruntime").join(library), place(library)).unwrap();
    let report = place("report.json");
    let run = |backend: &str| {
        let mut command = keyhole();
        command.env("LD_LIBRARY_PATH", folder.path()).env("ORT_DYLIB_PATH", place(library)).args(["run", "--display", "headless"]);
        said(command.args(["--source", SMALL_SIM, "--seconds", "6", "--backend", backend, "--report"]).arg(&report))
    };
    let (code, text) = run("cuda");
    assert!(code == Some(2) && text.contains("CUDA provider cannot be used") && !report.exists(), "{code:?} {text}");
    let (code, text) = run("auto");
    assert_eq!(code, Some(0), "{text}");
    let report: Value = serde_json::from_slice(&std::fs::read(&report).unwrap()).unwrap();
    assert_eq!(report["frames"]["captured"], report["frames"]["displayed"], "{}", report["losses"]);
    assert!(report["frames"]["inferred"].as_u64().unwrap() > 0, "{:#}", report["states"]);
    assert_eq!(report["backend"], "cpu", "{text}");
    assert_eq!(report["worker_fallbacks"], 1, "{text}");
    let word = |line: &Value, name: &str| line[name].as_str().unwrap().to_owned();
    let engines: Vec<_> =
        report["engines"].as_array().unwrap().iter().map(|line| word(line, "name") + " on " + &word(line, "backend")).collect();
    assert_eq!(engines, ["surgical-gpu on cuda", "surgical-cpu on cpu"]);
    let alarms: Vec<_> = report["alarms"].as_array().unwrap().iter().filter(|alarm| alarm["code"] == "AI-ON-PROCESSOR").collect();
    assert!(alarms.len() == 1 && alarms[0]["text"].as_str().unwrap().contains("CUDA provider"), "{:#}", report["alarms"]);
}

#[test]
fn clinical_mode_runs_no_model_where_the_self_test_has_not_proved_it() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("config.toml");
    std::fs::write(&config, "mode = 'clinical'\n[wiring]\npath = 'second-monitor'\n[infer]\nbackend = 'cuda'\n").unwrap();
    let clip = folder.path().join("clip.mkv");
    let encode = ["-loglevel", "error", "-f", "lavfi", "-i", "testsrc=size=320x240:rate=30:duration=1", "-c:v", "ffv1"];
    assert!(Command::new("ffmpeg").args(encode).arg(&clip).status().unwrap().success());
    let run = Run::new(&["--config", config.to_str().unwrap(), "--source", clip.to_str().unwrap(), "--frames", "30"]);
    let text = run.stderr();
    assert!(text.contains("the video runs without AI") && text.contains("in clinical mode a model runs where the self-test"), "{text}");
    let report: Value = serde_json::from_slice(&std::fs::read(run.path("report.json")).unwrap()).unwrap();
    assert_eq!(
        (report["frames"]["displayed"].as_u64(), report["frames"]["inferred"].as_u64()),
        (Some(30), Some(0)),
        "{}",
        report["frames"]
    );
}

/// Needs a GPU: the AI process, confined as ever, on the shipped engine.
#[test]
fn a_run_on_a_gpu_analyses_its_frames_with_the_process_confined() {
    let test = "a_run_on_a_gpu_analyses_its_frames_with_the_process_confined";
    let missing = device().err().or_else(|| (!has_provider()).then(|| "ONNX Runtime's CUDA provider is not installed".to_owned()));
    if let Some(reason) = missing {
        assert!(std::env::var_os("KEYHOLE_NEEDS_GPU").is_none(), "{test} needs a GPU: {reason}");
        return println!("SKIPPED {test} on a GPU: {reason}");
    }
    // The video waits a few seconds for the engine; what is longer runs beside it.
    let run = Run::new(&["--source", SMALL_SIM, "--seconds", "40", "--backend", "cuda"]);
    let report = run.report();
    assert_eq!(report["backend"], "cuda");
    assert_eq!(report["engines"][0]["name"], "surgical-gpu");
    assert_eq!(report["worker_restarts"], 0, "{}", run.stderr());
    assert!(report["frames"]["inferred"].as_u64().unwrap() > 300, "{}", report["frames"]);
    println!("RAN {test} on a GPU");
}
