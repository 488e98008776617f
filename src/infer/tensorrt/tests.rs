//! With TensorRT-RTX as `hw/install.sh test` fetches it, and without a GPU. Libraries of other versions are made by the C compiler.

use super::builder::compile;
use super::*;
use crate::base::library::Places;
use crate::infer::InferError;
use crate::infer::onnx::weights;
use crate::infer::testing::{TestEngine, TestModel, loaded, locked};
use crate::store::{self, LockedEngine, Plans};
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Mutex;

/// None: said to be skipped.
fn rtx(test: &str) -> Option<TensorRt> {
    TensorRt::open(Kind::Rtx).inspect_err(|error| println!("SKIPPED {test}: {error}")).ok()
}

fn shipped(name: &str) -> LockedEngine {
    store::load(&Path::new(env!("CARGO_MANIFEST_DIR")).join("engines").join(name)).unwrap()
}

fn on(_: &str, _: f64) -> bool {
    true
}

/// Of a build that must not begin: it is stopped, which is another answer.
fn never(_: &str, _: f64) -> bool {
    false
}

fn files(folder: &Path) -> usize {
    std::fs::read_dir(folder).map_or(0, Iterator::count)
}

#[test]
fn the_shipped_engine_becomes_a_plan_without_a_gpu_and_is_found_again() {
    let Some(library) = rtx("the_shipped_engine_becomes_a_plan_without_a_gpu_and_is_found_again") else { return };
    let dir = tempfile::tempdir().unwrap();
    let plans = Plans::in_folder(dir.path().join("plans"));
    let engine = shipped("surgical-gpu");
    let told = Mutex::new(Vec::new());
    let progress = |phase: &str, done: f64| {
        told.lock().unwrap().push((phase.to_owned(), done));
        true
    };
    let built = build(&engine, &library, Options::default(), &plans, &progress).unwrap();
    assert!(!built.was_there && built.path.is_file() && built.made_for.contains("8.9"), "{built:?}");
    assert!(built.bytes > engine.model.len() / 2, "{} bytes of a model of {}", built.bytes, engine.model.len());
    let told = told.into_inner().unwrap();
    assert!(told.len() > 20 && told.is_sorted_by(|(_, before), (_, after)| before <= after), "{told:?}");
    assert!(told.iter().any(|(phase, _)| phase.len() > 5) && told.last().unwrap().1 == 1.0, "{told:?}");

    let again = build(&engine, &library, Options::default(), &plans, &never).unwrap();
    assert!(again.was_there && again.path == built.path && again.bytes == built.bytes);
    assert_eq!(files(&dir.path().join("plans")), 1);
}

#[test]
fn another_byte_or_option_is_another_plan() {
    let Some(library) = rtx("another_byte_or_option_is_another_plan") else { return };
    let dir = tempfile::tempdir().unwrap();
    let plans = Plans::in_folder(dir.path().to_owned());
    let engine = locked(&TestModel::default());
    let path = |engine: &LockedEngine, options| {
        let built = build(engine, &library, options, &plans, &on).unwrap();
        assert!(!built.was_there);
        built.path
    };
    let mut other = engine.clone();
    let weight = weights(&engine.model).unwrap()[0].as_ptr() as usize - engine.model.as_ptr() as usize;
    other.model[weight] ^= 1;
    let paths = [path(&engine, Options::default()), path(&other, Options::default()), path(&engine, Options { tf32: true })];
    assert!(paths[0] != paths[1] && paths[0] != paths[2], "{paths:?}");
    assert_eq!(files(dir.path()), 3);
}

#[test]
fn engines_of_every_kind_become_plans_and_nothing_is_left_beside_them() {
    let Some(library) = rtx("engines_of_every_kind_become_plans_and_nothing_is_left_beside_them") else { return };
    let dir = tempfile::tempdir().unwrap();
    let plans = Plans::in_folder(dir.path().to_owned());
    let engines = [
        TestEngine::maps().in_half_precision(),
        TestEngine::maps().with_free_sides(),
        TestEngine::maps().with_external("weights.bin"),
        TestEngine::yolo(),
        TestEngine::yolo_with_objectness(),
        TestEngine::yolo_with_masks(),
        TestEngine::detr(),
        TestEngine::findings_and_quality(),
        TestEngine::gated(),
        TestEngine::class_ids(),
        TestEngine::recurrent(),
        TestEngine::clip(true),
        TestEngine::clip(false),
    ];
    for (made, engine) in engines.iter().enumerate() {
        let built = build(&loaded(engine), &library, Options::default(), &plans, &on).unwrap_or_else(|error| panic!("{made}: {error}"));
        assert!(built.bytes > 1000);
        assert_eq!(files(dir.path()), made + 1, "something is left beside the plans");
    }
}

#[test]
fn a_network_that_is_not_the_manifests_is_refused_before_it_is_built() {
    let Some(library) = rtx("a_network_that_is_not_the_manifests_is_refused_before_it_is_built") else { return };
    let good = TestModel::default();
    let cases: [(TestModel, &[&str]); 4] = [
        (TestModel { tissue_channels: 4, ..good }, &["tissue head (output 'tissue')", "1×3×H×W", "1×4×48×80"]),
        (TestModel { tissue_name: "organ", ..good }, &["tissue head (output 'tissue')", "a model output of that name"]),
        (TestModel { input_name: "picture", ..good }, &["input 'image'", "'picture'"]),
        (TestModel { model_width: 96, ..good }, &["input 'image'", "1×3×48×80", "1×3×48×96"]),
    ];
    for (model, parts) in cases {
        let error = compile(&locked(&model), &library, Options::default(), None, &[], &never).unwrap_err();
        assert!(error.is_finding());
        for part in parts.iter().chain(&["test-cpu", "correct the manifest or the model"]) {
            assert!(error.to_string().contains(part), "{part} is not in: {error}");
        }
    }
}

#[test]
fn a_model_that_the_parser_refuses_is_named_with_its_node_and_the_reason() {
    let Some(library) = rtx("a_model_that_the_parser_refuses_is_named_with_its_node_and_the_reason") else { return };
    let refused = |engine: &LockedEngine| {
        let error = compile(engine, &library, Options::default(), None, &[], &on).unwrap_err();
        assert!(matches!(error, InferError::Model { .. }) && error.is_finding(), "{error:?}");
        error.to_string()
    };
    // Biases of 32-bit integers.
    let text = refused(&shipped("surgical-cpu"));
    for part in ["surgical-cpu", "TensorRT-RTX 1.7", "DequantizeLinear", "Int32", "biases in floating point", "--backend cpu"] {
        assert!(text.contains(part), "{part} is not in: {text}");
    }
    assert!(!text.contains("CUDA driver"), "{text}");

    let whole = shipped("surgical-gpu");
    for model in [b"no model".to_vec(), whole.model[..whole.model.len() / 2].to_vec()] {
        let text = refused(&LockedEngine { model, ..whole.clone() });
        assert!(text.contains("surgical-gpu") && text.contains("the file: ") && text.contains("parse"), "{text}");
    }
    let dir = tempfile::tempdir().unwrap();
    let plans = Plans::in_folder(dir.path().to_owned());
    let garbage = LockedEngine { model: b"no model".to_vec(), ..whole };
    let text = build(&garbage, &library, Options::default(), &plans, &on).unwrap_err().to_string();
    assert!(text.contains("not an ONNX model"), "{text}");
    assert_eq!(files(dir.path()), 0);
}

#[test]
fn a_build_that_is_stopped_keeps_nothing() {
    let Some(library) = rtx("a_build_that_is_stopped_keeps_nothing") else { return };
    let dir = tempfile::tempdir().unwrap();
    let plans = Plans::in_folder(dir.path().join("plans"));
    let engine = loaded(&TestEngine::maps().with_external("weights.bin"));
    for after in [0.0, 0.3, 1.0] {
        let stopping = |_: &str, done: f64| done < after;
        let text = build(&engine, &library, Options::default(), &plans, &stopping).unwrap_err().to_string();
        assert!(text.contains("stopped") && text.contains("test-cpu"), "{text}");
        assert_eq!(files(&dir.path().join("plans")), 0);
    }
}

#[test]
fn a_library_that_is_missing_is_named_with_its_places_and_the_remedy() {
    let tree = tempfile::tempdir().unwrap();
    let executable = Some(tree.path().join("target/release/keyhole"));
    let cases = [
        (Kind::Rtx, ["libtensorrt_rtx.so.1", "KEYHOLE_TENSORRT_RTX", "hw/install.sh cuda"]),
        (Kind::Standard, ["libnvinfer.so.11", "KEYHOLE_TENSORRT", "install NVIDIA's TensorRT"]),
    ];
    for (kind, parts) in cases {
        let places = Places { given: None, home: Some(tree.path().join("home")), executable: executable.clone() };
        let Err(searched) = kind.library().find_in(&places) else {
            println!("SKIPPED a_library_that_is_missing_is_named_with_its_places_and_the_remedy: {kind} is installed on this machine");
            continue;
        };
        let text = kind.missing(searched).to_string();
        for part in parts.iter().chain(&["home/lib", ".setup/tensorrt", "/usr/lib/keyhole"]) {
            assert!(text.contains(part), "{part} is not in: {text}");
        }
        // Its parser is missing beside it.
        let alone = tree.path().join(parts[0]);
        std::fs::write(&alone, b"").unwrap();
        let text = TensorRt::open_at(kind, &alone).unwrap_err().to_string();
        assert!(text.contains(kind.parser_name()) && text.contains(tree.path().to_str().unwrap()), "{text}");
    }
}

/// A folder with a library and a parser that answer with these versions and make nothing.
fn stand_in(kind: Kind, version: i32, parser_version: i32) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let library = folder.path().join(kind.library().names[0]);
    let core = format!(
        "int getInferLibVersion(void) {{ return {version}; }} int getInferLibBuildVersion(void) {{ return 7; }}
         void *createInferBuilder_INTERNAL(void *logger, int version) {{ return 0; }}
         void *createInferRuntime_INTERNAL(void *logger, int version) {{ return 0; }}"
    );
    let parser = format!(
        "int getNvOnnxParserVersion(void) {{ return {parser_version}; }}
         void *createNvOnnxParser_INTERNAL(void *network, void *logger, int version) {{ return 0; }}"
    );
    for (path, source) in [(library.clone(), core), (folder.path().join(kind.parser_name()), parser)] {
        let mut compiler = Command::new("cc");
        compiler.args(["-shared", "-fPIC", "-x", "c", "-", "-o"]).arg(path).stdin(Stdio::piped());
        let mut running = compiler.spawn().unwrap();
        running.stdin.take().unwrap().write_all(source.as_bytes()).unwrap();
        assert!(running.wait().unwrap().success());
    }
    (folder, library)
}

#[test]
fn a_library_of_another_version_is_refused_with_both_versions() {
    // As shim.cpp's headers have it.
    let (of_rtx, of_standard, of_parser) = (10_701, 110_400, 200);
    let cases = [
        (Kind::Rtx, of_rtx - 100, of_parser, Some("version 1.6.1.7, this binary needs 1.7")),
        (Kind::Rtx, of_standard, of_parser, Some("version 11.4.0.7, this binary needs 1.7")),
        (Kind::Rtx, of_rtx, of_parser - 100, Some("version 0.1.0, this binary needs 0.2")),
        (Kind::Rtx, of_rtx + 1, of_parser, None),
        (Kind::Standard, 101_605, of_parser, Some("version 10.16.5.7, this binary needs 11.4")),
        (Kind::Standard, of_standard, of_parser + 100, Some("version 0.3.0, this binary needs 0.2")),
        (Kind::Standard, of_standard, of_parser, None),
    ];
    for (kind, version, parser_version, refusal) in cases {
        let (folder, library) = stand_in(kind, version, parser_version);
        match (TensorRt::open_at(kind, &library), refusal) {
            (Ok(opened), None) => assert_eq!(opened.kind(), kind),
            (Err(TensorRtError::WithoutHeaders { .. }), _) => {
                return println!("SKIPPED a_library_of_another_version_is_refused_with_both_versions: built without headers");
            }
            (Err(error), Some(refusal)) => {
                let text = error.to_string();
                for part in [refusal, &kind.to_string(), folder.path().to_str().unwrap(), &kind.remedy()] {
                    assert!(text.contains(part), "{part} is not in: {text}");
                }
            }
            (opened, _) => panic!("{kind} {version} {parser_version}: {opened:?}"),
        }
    }
}

#[test]
fn a_file_that_is_no_library_or_another_one_is_an_error_that_names_it() {
    let Some(headers) = ffi::headers(Kind::Rtx) else {
        return println!("SKIPPED a_file_that_is_no_library_or_another_one_is_an_error_that_names_it: built without headers");
    };
    assert_eq!((headers.major, headers.minor), (1, 7));
    let (folder, library) = stand_in(Kind::Rtx, 10_701, 200);
    let parser = folder.path().join(Kind::Rtx.parser_name());
    let told = |part: &str| {
        let text = TensorRt::open_at(Kind::Rtx, &library).unwrap_err().to_string();
        assert!(text.contains(part) && text.contains("cannot be used") && text.contains("hw/install.sh cuda"), "{part} is not in: {text}");
    };
    // The parser in the library's place.
    std::fs::remove_file(&library).unwrap();
    std::fs::copy(&parser, &library).unwrap();
    told("getInferLibVersion");
    std::fs::remove_file(&library).unwrap();
    std::fs::write(&library, b"not a library").unwrap();
    told("libtensorrt_rtx.so.1");
    let (whole, core) = stand_in(Kind::Rtx, 10_701, 200);
    std::fs::write(whole.path().join(Kind::Rtx.parser_name()), b"not a library").unwrap();
    let text = TensorRt::open_at(Kind::Rtx, &core).unwrap_err().to_string();
    assert!(text.contains("libtensorrt_onnxparser_rtx.so.1") && text.contains("cannot be used"), "{text}");
}

#[test]
fn standard_tensorrt_is_not_called_where_there_is_no_gpu() {
    let (_folder, library) = stand_in(Kind::Standard, 110_400, 200);
    let library = match TensorRt::open_at(Kind::Standard, &library) {
        Ok(library) => library,
        Err(error) => return println!("SKIPPED standard_tensorrt_is_not_called_where_there_is_no_gpu: {error}"),
    };
    let dir = tempfile::tempdir().unwrap();
    let plans = Plans::in_folder(dir.path().join("plans"));
    let text = build(&locked(&TestModel::default()), &library, Options::default(), &plans, &on).unwrap_err().to_string();
    // The stand-in makes nothing on a GPU either.
    let expected = match device(Kind::Standard) {
        Err(error) => vec![error.to_string(), "--backend tensorrt-rtx".to_owned()],
        Ok(_) => vec!["TensorRT 11.4.0.7".to_owned(), "does not start".to_owned()],
    };
    assert!(expected.iter().all(|part| text.contains(part)), "{text}");
}

#[test]
fn a_binary_without_headers_says_what_to_run() {
    let text = TensorRtError::WithoutHeaders { kind: Kind::Rtx }.to_string();
    assert!(text.contains("TensorRT-RTX") && text.contains("hw/install.sh") && text.contains("build keyhole anew"), "{text}");
    // With the set-up's headers it is not such a binary.
    let headers = Path::new(env!("CARGO_MANIFEST_DIR")).join(".setup/tensorrt/include");
    for (kind, folder) in [(Kind::Rtx, "rtx"), (Kind::Standard, "standard")] {
        assert_eq!(ffi::headers(kind).is_some(), headers.join(folder).join("NvInfer.h").is_file(), "{kind}");
    }
}

#[test]
fn the_pinned_library_is_of_the_headers_version() {
    let Some(headers) = ffi::headers(Kind::Rtx) else {
        return println!("SKIPPED the_pinned_library_is_of_the_headers_version: built without headers");
    };
    let pinned = include_str!("../../../hw/tensorrt.txt");
    assert!(pinned.contains(&format!("tensorrt-rtx-cu13-libs=={headers}.")), "{headers} is not what is pinned:\n{pinned}");
}
