//! Engines of other kinds than the shipped one, from their folder to the scene stream, on the program as it is shipped.

use crate::support::{Run, keyhole};
use crate::testmodel::{Graph, HEIGHT, TestEngine, WIDTH, head};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

const SIM: &str = "sim:?width=640&height=384&fps=30&seconds=2";

/// A folder of engines with this one, for the CPU.
fn folder(engine: &TestEngine) -> tempfile::TempDir {
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join(engine.name);
    std::fs::create_dir(&dir).unwrap();
    engine.write(&dir).unwrap();
    parent
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn scenes(engine: &TestEngine) -> (Run, Vec<serde_json::Value>) {
    let engines = folder(engine);
    let run = Run::new(&["--source", SIM, "--frames", "60", "--engines", text(engines.path()), "--scenes", "{}/s.jsonl"]);
    run.report();
    let lines = run.lines("s.jsonl");
    assert!(lines.len() > 5, "only {} scenes", lines.len());
    (run, lines)
}

/// A detector that sees what is neither red nor dark: an instrument where blue comes near to red, and tissue's
/// highlights as polyps.
fn detector() -> TestEngine {
    let mut engine = TestEngine::yolo();
    engine.tables = engine.tables.replace("threshold = 0.5", "threshold = 0.3");
    engine.graph = Graph::with_image();
    let graph = &mut engine.graph;
    let side = 8;
    let cells = (WIDTH / 8) * (HEIGHT / 8);
    graph.nodes("AveragePool", &["image"], &["cells"], &[("kernel_shape", &[side, side]), ("strides", &[side, side])]);
    // grasper: blue − 0.75 red; polyp: red alone.
    graph.constant("w", &[2, 3, 1, 1], &[-15.0, 0.0, 20.0, 10.0, 0.0, 0.0]);
    graph.constant("b", &[2], &[0.0, -4.0]);
    graph.node("Conv", &["cells", "w", "b"], &["of_cells"], &[]);
    graph.numbers("shape", &[1, 2, cells as i64]);
    graph.node("Reshape", &["of_cells", "shape"], &["raw"], &[]);
    graph.node("Sigmoid", &["raw"], &["scores"], &[]);
    let boxes: Vec<f32> = (0..4 * cells)
        .map(|i| match (i / cells, i % cells) {
            (0, cell) => (cell % (WIDTH / 8)) as f32 * 8.0 + 4.0,
            (1, cell) => (cell / (WIDTH / 8)) as f32 * 8.0 + 4.0,
            _ => 16.0,
        })
        .collect();
    graph.constant("boxes", &[1, 4, cells], &boxes);
    graph.node("Concat", &["boxes", "scores"], &["output0"], &[("axis", 1)]);
    graph.output("output0", &format!("1 6 {cells}"));
    engine
}

#[test]
fn a_detector_gives_tracks_with_boxes_and_findings_in_the_scene_stream() {
    let (_run, scenes) = scenes(&detector());
    let of = |key: &str| scenes.iter().flat_map(|scene| scene[key].as_array().unwrap().clone()).collect::<Vec<_>>();
    for (key, class) in [("tracks", "grasper"), ("findings", "polyp")] {
        let all = of(key);
        assert!(all.len() >= scenes.len() / 2, "{} {key} in {} scenes", all.len(), scenes.len());
        for one in &all {
            assert_eq!(one["class"], class);
            let side = |i: usize| one["box"][i].as_f64().unwrap();
            assert!(0.0 <= side(0) && side(0) < side(2) && side(2) <= 640.0, "{one}");
            assert!(0.0 <= side(1) && side(1) < side(3) && side(3) <= 384.0, "{one}");
            assert!(one["id"].is_u64() && (0.0..=1.0).contains(&one["confidence"].as_f64().unwrap()));
        }
    }
    assert!(scenes.iter().all(|scene| scene["reset"].is_null() && scene["frame_classes"].as_array().unwrap().is_empty()));
}

#[test]
fn a_recurrent_engine_says_in_the_scene_stream_when_it_began_anew() {
    let (run, scenes) = scenes(&TestEngine::recurrent());
    assert_eq!(scenes[0]["reset"], "start");
    let resets = scenes.iter().filter(|scene| !scene["reset"].is_null()).count();
    assert!(resets < scenes.len() / 2, "{resets} of {} scenes begin anew", scenes.len());
    assert!(scenes.iter().any(|scene| scene["frame_classes"][0]["class"] == "smoke"));
    assert_eq!(run.report()["engines"][0]["heads"][0], "frame-class");
}

#[test]
fn weights_beside_the_model_and_half_precision_run_under_the_workers_sandbox() {
    let (_run, scenes) = scenes(&TestEngine::maps().with_external("model.onnx.data").in_half_precision().with_free_sides());
    assert!(scenes.iter().any(|scene| !scene["tissues"].as_array().unwrap().is_empty()));
}

#[test]
fn an_engine_that_cannot_run_is_refused_before_the_first_frame() {
    let mut engine = TestEngine::maps();
    engine.tables += &head("frame-class", "phase", "softmax", &["preparation", "clipping and cutting"]);
    let engines = folder(&engine);
    let run = Run::new(&["--source", SIM, "--frames", "10", "--engines", text(engines.path())]);
    assert_eq!(run.output.status.code(), Some(1), "{}", run.stderr());
    for part in ["test-cpu", "frame-class head (output 'phase')", "'instrument', 'tissue'"] {
        assert!(run.stderr().contains(part), "{part} is not in: {}", run.stderr());
    }
    assert!(run.left().is_empty(), "{:?}", run.left());
    let output = keyhole().args(["engine", "verify", text(&engines.path().join("test-cpu"))]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn info_and_verify_tell_heads_shapes_states_and_external_files() {
    let told = |engine: &TestEngine, verb: &str| {
        let engines = folder(engine);
        let output = keyhole().args(["engine", verb, text(&engines.path().join("test-cpu"))]).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let cases: [(TestEngine, &[&str]); 3] = [
        (TestEngine::yolo_with_masks(), &["detection-yolo: grasper, polyp", "'output0' float32[1×8×60]", "'output1' float32[1×2×24×40]"]),
        (TestEngine::recurrent(), &["'sum_out' is fed back into 'sum_in'", "250 ms", "'sum_in' float32[1×1]: state"]),
        (TestEngine::maps().with_external("w.bin").in_half_precision(), &["external  'w.bin'", "'image' float16[1×3×48×80]: input"]),
    ];
    for (engine, parts) in cases {
        let info = told(&engine, "info");
        for part in parts {
            assert!(info.contains(part), "{part} is not in: {info}");
        }
    }
    let verified = told(&TestEngine::maps().with_external("w.bin"), "verify");
    assert!(verified.contains("external 'w.bin'") && verified.contains("tissue"), "{verified}");
}

/// `keyhole engine build` with these arguments and these folders as cache and as both kinds' own: exit code, standard output, error.
fn built(arguments: &[&str], cache: &Path, libraries: Option<&Path>) -> (Option<i32>, String, String) {
    let mut command = keyhole();
    command.args(["engine", "build"]).args(arguments).env("XDG_CACHE_HOME", cache);
    for variable in ["KEYHOLE_TENSORRT_RTX", "KEYHOLE_TENSORRT"] {
        match libraries {
            Some(folder) => command.env(variable, folder),
            None => command.env_remove(variable),
        };
    }
    let output = command.output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

#[test]
fn a_plan_for_tensorrt_is_built_with_its_progress_and_is_there_the_next_time() {
    let (engines, cache) = (folder(&TestEngine::maps()), tempfile::tempdir().unwrap());
    let dir = engines.path().join("test-cpu");
    let build = || built(&[text(&dir), "--backend", "tensorrt-rtx"], cache.path(), None);
    let (code, said, told) = build();
    if ["is not installed", "without the headers"].iter().any(|reason| told.contains(reason)) {
        return println!("SKIPPED a_plan_for_tensorrt_is_built_with_its_progress_and_is_there_the_next_time: {told}");
    }
    assert_eq!(code, Some(0), "{told}");
    assert!(told.contains("test-cpu: 100 %, about 0 s left"), "{told}");
    for part in ["test-cpu: ", " bytes in ", "/keyhole/plans/", "by TensorRT-RTX 1.7", "for compute capability 8.0, 8.6, 8.9, 12.0, 12.1"] {
        assert!(said.contains(part), "{part} is not in: {said}");
    }
    let (code, said, told) = build();
    assert!(code == Some(0) && said.contains("built before") && !told.contains('%'), "{said}{told}");
    let kept: Vec<_> = std::fs::read_dir(cache.path().join("keyhole/plans")).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(kept.len() == 1 && kept[0].extension().is_some_and(|ending| ending == "plan"), "{kept:?}");

    // Its parser knows no biases of 32-bit integers.
    let shipped = concat!(env!("CARGO_MANIFEST_DIR"), "/engines/surgical-cpu");
    let (code, said, told) = built(&[shipped, "--backend", "tensorrt-rtx"], cache.path(), None);
    assert!(code == Some(1) && said.is_empty() && told.contains("DequantizeLinear") && told.contains("--backend cpu"), "{said}{told}");
}

#[test]
fn a_build_for_tensorrt_says_what_is_missing() {
    let (engines, cache) = (folder(&TestEngine::maps()), tempfile::tempdir().unwrap());
    let dir = engines.path().join("test-cpu");
    for backend in ["tensorrt", "tensorrt-rtx"] {
        let (code, said, told) = built(&[text(&dir), "--backend", backend], cache.path(), Some(engines.path()));
        assert!(code == Some(2) && said.is_empty(), "{said}{told}");
        for part in ["TensorRT-RTX is not installed", "libtensorrt_rtx.so.1", text(engines.path()), "hw/install.sh cuda"] {
            assert!(told.contains(part), "{part} is not in: {told}");
        }
    }
    let (code, _, told) = built(&[text(&dir), "--tf32"], cache.path(), None);
    assert!(code == Some(2) && told.contains("--backend tensorrt"), "{told}");
    assert!(!cache.path().join("keyhole").exists(), "nothing is left");
}

/// Self-tests beside a picture that were started with this config file.
fn self_tests_with(config: &str) -> usize {
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let lines = processes.filter_map(|process| std::fs::read_to_string(process.path().join("cmdline")).ok());
    lines.filter(|line| line.contains("--beside-a-picture") && line.contains(config)).count()
}

fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < Duration::from_secs(60), "waited in vain for: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn clinical_mode_runs_only_what_a_trusted_key_signed() {
    let engines = folder(&TestEngine::maps());
    let (dir, key) = (engines.path().join("test-cpu"), engines.path().join("vendor.toml"));
    let tell = |arguments: &[&str]| {
        let output = keyhole().arg("engine").args(arguments).output().unwrap();
        let code = output.status.code();
        (code, String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr))
    };
    let config = engines.path().join("clinical.toml");
    let mut sim = keyhole();
    sim.args(["sim", "--seed", "1", "--width", "320", "--height", "180", "--seconds", "1", "--out"]).arg(engines.path().join("sim"));
    assert!(sim.output().unwrap().status.success());
    let clip = engines.path().join("sim/clip.mkv");
    let run_for = |trusted: &str, source: &str, limit: [&str; 2]| {
        let keys = if trusted.is_empty() { String::new() } else { format!("[store]\ntrusted_keys = ['{trusted}']\n") };
        let reports = engines.path().join("selftests");
        let guard = format!("[guard]\nreports = '{}'\n", text(&reports));
        std::fs::write(&config, format!("mode = 'clinical'\n[wiring]\npath = 'second-monitor'\n{guard}{keys}")).unwrap();
        Run::new(&["--source", source, limit[0], limit[1], "--engines", text(engines.path()), "--config", text(&config)])
    };
    let run = |trusted: &str| run_for(trusted, text(&clip), ["--frames", "10"]);
    let refused = |trusted: &str, reason: &str| {
        let run = run(trusted);
        assert_eq!(run.output.status.code(), Some(1), "{}", run.stderr());
        assert!(run.stderr().contains("test-cpu") && run.stderr().contains(reason), "{reason} is not in: {}", run.stderr());
        let report: serde_json::Value = serde_json::from_slice(&std::fs::read(run.path("report.json")).unwrap()).unwrap();
        assert_eq!(report["frames"]["displayed"], 10, "clean video is never blocked");
        let last = report["states"].as_array().unwrap().last().unwrap();
        assert!(last["ai"] == "blocked" && report["frames"]["inferred"] == 0, "{last}");
    };
    refused("", "nobody has signed it");

    let (code, public) = tell(&["key", "--out", text(&key), "--name", "Vendor"]);
    assert_eq!((code, public.trim().len()), (Some(0), 64), "{public}");
    let (code, said) = tell(&["lock", text(&dir), "--key", text(&key)]);
    assert!(code == Some(0) && said.contains("signed by 'Vendor'") && said.contains("no golden outputs"), "{said}");
    refused("", "not among store.trusted_keys");
    refused(public.trim(), "golden");
    let golden = concat!(env!("CARGO_MANIFEST_DIR"), "/engines/surgical-cpu/golden.png");
    assert_eq!(tell(&["lock", text(&dir), "--key", text(&key), "--golden", golden]).0, Some(0));
    let (code, said) = tell(&["verify", text(&dir)]);
    assert!(code == Some(0) && said.contains("signed by 'Vendor'") && said.contains(public.trim()), "{said}");
    let trusted = run(public.trim());
    assert_eq!(trusted.output.status.code(), Some(0), "{}", trusted.stderr());
    let report = trusted.report();
    assert!(report["mode"] == "clinical" && report["frames"]["inferred"] == 0, "not before the appliance has tested itself");
    assert!(!trusted.stderr().contains("cannot be read"), "a run that ends first waits for no self-test: {}", trusted.stderr());
    assert!(report["gate"].is_null(), "nobody has decided: {}", report["gate"]);

    // It does that by itself, beside the picture; a full self-test and a proven cable it still misses.
    let report_path = engines.path().join("r.json");
    let start = || {
        keyhole()
            .args(["run", "--source", text(&clip), "--display", "headless", "--seconds", "100", "--engines", text(engines.path())])
            .args(["--config", text(&config), "--report", text(&report_path)])
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    };
    let mut killed = start();
    wait_until("a self-test beside the picture", || self_tests_with(text(&config)) == 1);
    killed.kill().unwrap();
    killed.wait().unwrap();
    wait_until("that it ends with the run that it is for", || self_tests_with(text(&config)) == 0);
    let mut child = start();
    let mut said = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
    assert!(said.any(|line| line.contains("AI-BLOCKED")), "its state is written to the log");
    rustix::process::kill_process(rustix::process::Pid::from_child(&child), rustix::process::Signal::INT).unwrap();
    child.wait().unwrap();
    let report: serde_json::Value = serde_json::from_slice(&std::fs::read(&report_path).unwrap()).unwrap();
    assert!(["ST-G02", "ST-G04"].iter().any(|code| report["gate"]["code"] == *code), "{}", report["gate"]);
    let last = report["states"].as_array().unwrap().last().unwrap();
    assert!(last["ai"] == "blocked" && last["reason"].as_str().unwrap().starts_with("AI is off: "), "{last}");
    assert_eq!((&report["frames"]["inferred"], &report["frames"]["dropped_display"]), (&0.into(), &0.into()));
    for uri in ["sim:", "gst:videotestsrc", "pattern:"] {
        let refused = run_for(public.trim(), uri, ["--frames", "5"]);
        assert!(refused.output.status.code() == Some(2) && refused.stderr().contains("clinical mode"), "{uri}: {}", refused.stderr());
    }

    let development = concat!(env!("CARGO_MANIFEST_DIR"), "/engines/development-key.toml");
    assert_eq!(tell(&["lock", text(&dir), "--key", development]).0, Some(0));
    refused(public.trim(), "development key");

    let manifest = std::fs::read_to_string(dir.join("manifest.toml")).unwrap();
    std::fs::write(dir.join("manifest.toml"), manifest.replace("threshold = 0.5", "threshold = 0.4")).unwrap();
    let (code, said) = tell(&["verify", text(&dir)]);
    assert!(code == Some(1) && said.contains("signature.toml") && said.contains("manifest.toml"), "{said}");
}
