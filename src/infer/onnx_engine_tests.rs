use super::*;
use crate::infer::Engine;
use crate::infer::testing::{Graph, HEIGHT, TestEngine, TestModel, WIDTH, head, loaded, locked};

fn open(engine: &TestEngine) -> OnnxEngine {
    OnnxEngine::open(loaded(engine)).unwrap()
}

/// Red, green, blue of the whole picture.
fn paint(engine: &mut OnnxEngine, colour: [f32; 3]) {
    let area = WIDTH * HEIGHT;
    for (plane, value) in engine.input_mut().chunks_exact_mut(area).zip(colour) {
        plane.fill(value);
    }
}

#[test]
fn a_model_that_fits_runs_bound_and_gives_known_answers() {
    let mut engine = OnnxEngine::open(locked(&TestModel::default())).unwrap();
    let (w, h) = (engine.input().width as usize, engine.input().height as usize);
    for round in 0..3 {
        // Normalised red rises with x and with the round; tissue channel 2 is 20·(red − 0.5) in the test model.
        for (i, value) in engine.input_mut()[..w * h].iter_mut().enumerate() {
            *value = (i % w) as f32 / w as f32 + round as f32;
        }
        engine.run().unwrap();
        let tissue = engine.tensor(1);
        assert_eq!(tissue.len(), 3 * w * h);
        for x in [0, 7, w - 1] {
            let red = x as f32 / w as f32 + round as f32;
            assert!((tissue[w * h + x] - 20.0 * (red - 0.5)).abs() < 1e-3, "{} at {x}", tissue[w * h + x]);
        }
    }
}

/// Half precision, open sides, weights in a file beside it: the same answers as the plain model, to a part in 500.
#[test]
fn the_same_model_in_every_form_gives_the_same_answers() {
    let answers = |engine: &TestEngine| {
        let mut engine = open(engine);
        for (i, value) in engine.input_mut().iter_mut().enumerate() {
            *value = (i % 97) as f32 / 97.0;
        }
        engine.run().unwrap();
        [engine.tensor(0).to_vec(), engine.tensor(1).to_vec()].concat()
    };
    let plain = answers(&TestEngine::maps());
    for (name, engine) in [
        ("half", TestEngine::maps().in_half_precision()),
        ("free", TestEngine::maps().with_free_sides()),
        ("external", TestEngine::maps().with_external("model.onnx.data")),
        ("all", TestEngine::maps().in_half_precision().with_free_sides().with_external("w.bin")),
    ] {
        let found = answers(&engine);
        assert_eq!(found.len(), plain.len());
        let worst = found.iter().zip(&plain).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(worst <= 0.04, "{name}: {worst}");
    }
}

#[test]
fn bytes_go_in_and_class_ids_come_out() {
    let mut graph = Graph::default();
    // Unsigned bytes, 0..255.
    graph.input_of("image", 2, &format!("1 3 {HEIGHT} {WIDTH}"));
    graph.node("Cast", &["image"], &["floats"], &[("to", 1)]);
    graph.constant("one", &[1], &[1.0 / 255.0]);
    graph.node("Mul", &["floats", "one"], &["unit"], &[]);
    graph.colours("unit", "scores", &[None, Some(0), Some(1)]);
    graph.node("ArgMax", &["scores"], &["long"], &[("axis", 1), ("keepdims", 1)]);
    graph.node("Cast", &["long"], &["ids"], &[("to", 2)]);
    graph.output_of("ids", 2, &format!("1 1 {HEIGHT} {WIDTH}"));
    let tables = head("tissue", "ids", "none", &["background", "liver", "fat"]) + "values = \"class-ids\"\n";
    for mut engine in [open(&TestEngine::new(graph, tables)), open(&TestEngine::class_ids())] {
        let scale = if engine.tensors()[0].form.starts_with("uint8") { 255.0 } else { 1.0 };
        for (colour, class) in [([1.0, 0.0, 0.0], 1), ([0.0, 1.0, 0.0], 2), ([0.2, 0.2, 0.9], 0)] {
            paint(&mut engine, colour.map(|v: f32| v * scale));
            engine.run().unwrap();
            let area = WIDTH * HEIGHT;
            let ones = [0, 1, 2].map(|c| engine.tensor(0)[c * area..][..area].iter().sum::<f32>() as usize);
            assert_eq!(ones[class], area, "{colour:?}: {ones:?}");
            assert_eq!(ones.iter().sum::<usize>(), area);
        }
    }
}

#[test]
fn states_are_fed_back_until_they_are_forgotten() {
    for engine in [TestEngine::recurrent(), TestEngine::recurrent().in_half_precision()] {
        let mut engine = open(&engine);
        assert_eq!(engine.max_gap_ms(), Some(250));
        let mut sum = |colour| {
            paint(&mut engine, colour);
            engine.run().unwrap();
            engine.tensor(0)[0]
        };
        // The trial runs at load left nothing behind.
        assert_eq!([sum([0.0, 0.0, 0.5]), sum([0.0, 0.0, 0.5]), sum([1.0, 1.0, 0.25])], [0.5, 1.0, 1.25]);
        engine.forget();
        paint(&mut engine, [0.0, 0.0, 0.5]);
        engine.run().unwrap();
        assert_eq!(engine.tensor(0)[0], 0.5);
    }
}

#[test]
fn a_clip_is_the_last_frames_and_starts_with_its_first() {
    for is_time_first in [true, false] {
        let mut engine = open(&TestEngine::clip(is_time_first));
        let mut means = |value: f32| {
            paint(&mut engine, [value; 3]);
            engine.run().unwrap();
            [0, 1, 2].map(|i| (engine.tensor(0)[i] * 100.0).round() / 100.0)
        };
        assert_eq!(means(0.2), [0.2, 0.2, 0.2]);
        assert_eq!(means(0.4), [0.2, 0.2, 0.4]);
        assert_eq!(means(0.6), [0.2, 0.4, 0.6]);
        assert_eq!(means(0.8), [0.4, 0.6, 0.8]);
        engine.forget();
        paint(&mut engine, [0.1; 3]);
        engine.run().unwrap();
        assert!((engine.tensor(0)[0] - 0.1).abs() < 1e-3);
    }
}

#[track_caller]
fn refused(engine: &TestEngine, parts: &[&str]) {
    let Err(error) = OnnxEngine::open(loaded(engine)) else { panic!("a model that does not fit was accepted") };
    let text = error.to_string();
    assert!(error.is_finding(), "{text}");
    for part in parts.iter().chain(&["test-cpu"]) {
        assert!(text.contains(part), "'{part}' is not in: {text}");
    }
}

#[test]
fn shapes_that_do_not_fit_name_head_expected_and_found() {
    let refused = |model: TestModel, parts: &[&str]| refused(&model.engine(), parts);
    refused(TestModel { model_width: 64, ..TestModel::default() }, &["input 'image'", "1×3×48×80", "1×3×48×64"]);
    let four = ["tissue head (output 'tissue')", "1×3×H×W", "3 classes are named", "1×4×48×80"];
    refused(TestModel { tissue_channels: 4, ..TestModel::default() }, &four);
    refused(TestModel { tissue_name: "organs", ..TestModel::default() }, &["'tissue'", "'organs'"]);
    refused(TestModel { input_name: "frame", ..TestModel::default() }, &["'image'", "'frame'"]);
}

#[test]
fn detection_heads_that_do_not_fit_say_what_their_tensor_should_be() {
    let mut engine = TestEngine::yolo();
    engine.tables = engine.tables.replace("\"polyp\"", "\"polyp\", \"scissors\"");
    refused(&engine, &["detection-yolo head (output 'output0')", "1×7×N or 1×N×7", "4 box numbers + 3 classes", "1×6×60"]);
    let mut engine = TestEngine::yolo();
    engine.tables = engine.tables.replace("nms_iou", "prototypes = \"masks\"\nnms_iou");
    refused(&engine, &["detection-yolo head (output 'masks')", "a model output of that name", "'output0'"]);
    let mut engine = TestEngine::detr();
    engine.tables = engine.tables.replace(", \"background\"", "");
    refused(&engine, &["detection-detr head (output 'logits')", "1×Q×2", "1×60×3"]);
    let mut engine = TestEngine::detr();
    engine.tables = engine.tables.replace("pred_boxes", "logits");
    refused(&engine, &["detection-detr head (output 'logits')", "1×60×4", "1×60×3"]);
    let mut engine = TestEngine::findings_and_quality();
    engine.tables = engine.tables.replace("\"smoke\"", "\"smoke\", \"blurred\"");
    refused(&engine, &["frame-class head (output 'quality')", "1×3", "1×2"]);
}

#[test]
fn what_onnx_runtime_cannot_load_is_refused_with_its_reason() {
    let mut engine = TestEngine::maps();
    engine.graph.node("VendorMagic", &["image"], &["magic"], &[]);
    engine.graph.output("magic", "1 3 48 80");
    refused(&engine, &["VendorMagic", "operators of ONNX itself"]);
    let mut engine = TestEngine::maps();
    engine.graph.opset = 999;
    refused(&engine, &["opset", "export the model for an opset"]);
    let mut engine = loaded(&TestEngine::maps());
    engine.model.truncate(engine.model.len() / 2);
    let Err(error) = OnnxEngine::open(engine) else { panic!("half a model was accepted") };
    assert!(matches!(error, InferError::Model { .. }), "{error}");
    assert!(error.to_string().contains("test-cpu") && error.to_string().contains("restore"), "{error}");
}

#[test]
fn what_would_fail_on_a_frame_fails_at_load() {
    // Of negative numbers: none.
    let mut engine = TestEngine::findings_and_quality();
    engine.graph.node("Log", &["of_frame"], &["odd"], &[]);
    engine.graph.output("odd", "1 2 1 1");
    engine.tables = engine.tables.replace("output = \"quality\"", "output = \"odd\"");
    refused(&engine, &["frame-class head (output 'odd')", "finite numbers on a trial run on black", "number 0 of 1×2×1×1"]);

    // As many rows as the picture has bright points.
    let mut engine = TestEngine::maps();
    engine.graph.node("NonZero", &["image"], &["found"], &[]);
    engine.graph.node("Cast", &["found"], &["rows"], &[("to", 1)]);
    engine.graph.output("rows", "4 n");
    engine.tables += &head("frame-class", "rows", "none", &["smoke", "blurred"]);
    refused(&engine, &["frame-class head (output 'rows')", "does not depend on the picture", "4×0"]);

    // Divides the picture in a way that only other sizes allow.
    let mut engine = TestEngine::maps().with_free_sides();
    engine.graph.numbers("seven rows", &[1, 3, 7, -1]);
    engine.graph.node("Reshape", &["image", "seven rows"], &["rows"], &[]);
    engine.graph.output("rows", "1 3 7 n");
    engine.tables += &head("frame-class", "rows", "none", &["smoke", "blurred"]);
    refused(&engine, &[]);
}

#[test]
fn types_that_make_no_sense_are_refused() {
    let mut engine = TestEngine::class_ids();
    engine.tables = engine.tables.replace("values = \"class-ids\"", "");
    refused(&engine, &["tissue head (output 'ids')", "float32", "class-ids", "int64"]);
    let mut graph = Graph::default();
    graph.input_of("image", 7, "1 3 48 80");
    graph.node("Cast", &["image"], &["floats"], &[("to", 1)]);
    graph.colours("floats", "instrument", &[Some(2)]);
    graph.output("instrument", "1 1 48 80");
    refused(&TestEngine::new(graph, head("instrument", "instrument", "sigmoid", &["instrument"])), &["input 'image'", "uint8", "int64"]);
}

#[test]
fn states_that_do_not_fit_are_refused() {
    let mut engine = TestEngine::recurrent();
    engine.tables = engine.tables.replace("output = \"sum_out\"", "output = \"quality\"");
    refused(&engine, &["state output 'quality'", "1×1", "1×2"]);
    let mut engine = TestEngine::recurrent();
    engine.tables = engine.tables.split("[[state]]").next().unwrap().to_owned();
    refused(&engine, &["'sum_in'", "[[state]]"]);
    let mut engine = TestEngine::recurrent();
    engine.graph.input("more_in", "1 length");
    engine.graph.node("Identity", &["more_in"], &["more_out"], &[]);
    engine.graph.output("more_out", "1 length");
    engine.tables += "[[state]]\ninput = \"more_in\"\noutput = \"more_out\"\n";
    refused(&engine, &["state input 'more_in'", "[[state]] shape", "1×?"]);
    engine.tables += "shape = [1, 5]\n";
    assert!(open(&engine).tensors().iter().any(|line| line.name == "more_in" && line.form.ends_with("[1×5]")));
}

#[test]
fn a_model_reads_no_file_that_is_not_locked() {
    let mut engine = TestEngine::maps().with_external("model.onnx.data");
    engine.is_locked = false;
    refused(&engine, &["external data", "'model.onnx.data'", "[[model.external]]"]);
    // The model points outside its folder; the manifest cannot lock such a name.
    let mut engine = TestEngine::maps().with_external("../secret.data");
    engine.is_locked = false;
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("engine");
    std::fs::create_dir(&folder).unwrap();
    engine.write(&folder).unwrap();
    let Err(error) = OnnxEngine::open(crate::store::load(&folder).unwrap()) else { panic!("a path out of the folder was accepted") };
    assert!(error.to_string().contains("'../secret.data'"), "{error}");
    // What is locked but not there, or not read.
    let mut engine = loaded(&TestEngine::maps().with_external("w.bin"));
    engine.external[0].1 = engine.external[0].1[..8].into();
    assert!(OnnxEngine::open(engine).is_err());
    let mut engine = loaded(&TestEngine::maps());
    engine.external.push(("spare.bin".to_owned(), [0u8; 4].into()));
    let Err(error) = OnnxEngine::open(engine) else { panic!("a file that no model reads was accepted") };
    assert!(error.to_string().contains("'spare.bin'"), "{error}");
}

#[test]
fn tensors_are_told_for_people() {
    let engine = open(&TestEngine::recurrent());
    let lines: Vec<String> = engine.tensors().iter().map(|line| format!("{} {} {}", line.name, line.form, line.role)).collect();
    let expected =
        ["image float32[1×3×48×80] input", "sum_in float32[1×1] state", "quality float32[1×2] frame-class", "sum_out float32[1×1] state"];
    assert_eq!(lines, expected);
}
