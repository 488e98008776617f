use super::*;
use crate::store::Manifest;
use crate::store::manifest::tests::GOOD;

/// The good manifest with these heads (and these lines before its tables) instead of its own.
fn with(top: &str, heads: &str) -> Result<Manifest, ManifestError> {
    let (start, rest) = GOOD.split_once("[[heads]]").unwrap();
    let end = &rest[rest.find("[training]").unwrap()..];
    let start = start.replace("[model]", &format!("{top}\n[model]"));
    Manifest::parse(&format!("{start}{heads}\n{end}"))
}

const YOLO: &str = r#"
[[heads]]
kind = "detection-yolo"
output = "output0"
activation = "none"
classes = ["grasper", "background", "polyp", "background"]
threshold = 0.25
[heads.boxes]
format = "cxcywh"
units = "pixels"
objectness = true
nms_iou = 0.45
prototypes = "output1"
"#;
const DETR: &str = r#"
[[heads]]
kind = "detection-detr"
output = "logits"
activation = "softmax"
classes = ["grasper", "background"]
threshold = 0.5
[heads.boxes]
output = "pred_boxes"
format = "cxcywh"
units = "fractions"
"#;
const PHASE: &str = r#"
[[heads]]
kind = "frame-class"
output = "phase"
activation = "softmax"
classes = ["preparation", "clipping and cutting"]
threshold = 0.5
"#;

#[test]
fn heads_of_all_kinds_stand_side_by_side() {
    let mask = |kind: &str, class: &str| {
        format!(
            "[[heads]]\nkind = \"{kind}\"\noutput = \"o\"\nactivation = \"none\"\nvalues = \"class-ids\"\nclasses = [\"background\", \"{class}\"]\nthreshold = 0.5\n"
        )
    };
    let quality = PHASE.replace("preparation", "smoke").replace("clipping and cutting", "clear view");
    let all = [YOLO, DETR, PHASE, &quality, &mask("instrument", "scissors"), &mask("tissue", "liver"), &mask("finding", "polyp")].concat();
    let manifest = with("", &all).unwrap();
    let kinds: Vec<&str> = manifest.heads.iter().map(|head| head.kind.name()).collect();
    assert_eq!(kinds, ["detection-yolo", "detection-detr", "frame-class", "frame-class", "instrument", "tissue", "finding"]);
    assert_eq!(manifest.heads[0].class_ids(), [5, 0, 32, 0].map(ClassId));
    assert_eq!((manifest.max_gap_ms, manifest.clip, manifest.state.len()), (250, None, 0));
}

#[test]
fn what_does_not_belong_together_is_named() {
    for (heads, from, to, named) in [
        (YOLO, "nms_iou = 0.45", "", "boxes.nms_iou"),
        (YOLO, "nms_iou = 0.45", "nms_iou = 1.0", "boxes.nms_iou"),
        (YOLO, "activation = \"none\"", "activation = \"softmax\"", "heads[0].activation"),
        (YOLO, "\"polyp\"", "\"liver\"", "'liver' is not a class of a detection-yolo head"),
        (YOLO, "\"polyp\"", "\"grasper\"", "named twice"),
        (YOLO, "objectness = true", "output = \"x\"", "boxes.output"),
        (YOLO, "objectness = true", "surprise = true", "surprise"),
        (YOLO, "format = \"cxcywh\"", "format = \"xywh\"", "xywh"),
        (YOLO, "threshold = 0.25", "threshold = 0.25\nvalues = \"class-ids\"", "heads[0].values"),
        (DETR, "output = \"pred_boxes\"", "", "boxes.output"),
        (DETR, "units = \"fractions\"", "units = \"fractions\"\nnms_iou = 0.5", "heads[0].boxes"),
        (PHASE, "clipping and cutting", "smoke", "two heads"),
        (PHASE, "threshold = 0.5", "threshold = 0.5\n[heads.boxes]\nformat = \"xyxy\"\nunits = \"pixels\"", "a frame-class head has none"),
        (PHASE, "\"preparation\", \"clipping and cutting\"", "\"background\", \"background\"", "says nothing"),
    ] {
        assert!(heads.contains(from));
        let error = with("", &heads.replacen(from, to, 1)).unwrap_err().to_string();
        assert!(error.contains(named), "{to}: {error}");
    }
    let (start, _) = YOLO.split_once("[heads.boxes]").unwrap();
    assert!(with("", start).unwrap_err().to_string().contains("heads[0].boxes: missing"));
    assert!(with("", &[PHASE, PHASE].concat()).unwrap_err().to_string().contains("heads[1].kind"));
}

#[test]
fn what_an_engine_remembers_is_bounded() {
    let state = "[[state]]\ninput = \"h_in\"\noutput = \"h_out\"\n";
    let manifest = with("max_gap_ms = 100\n[clip]\nframes = 8\norder = \"time-first\"", &[PHASE, state].concat()).unwrap();
    assert_eq!((manifest.clip.unwrap().frames, manifest.max_gap_ms, manifest.state.len()), (8, 100, 1));
    for (top, more, named) in [
        ("[clip]\nframes = 1\norder = \"time-first\"", "", "clip.frames"),
        ("[clip]\nframes = 1000\norder = \"channels-first\"", "", "clip.frames"),
        ("[clip]\nframes = 8\norder = \"sideways\"", "", "sideways"),
        ("max_gap_ms = 0", "", "max_gap_ms"),
        ("", &state.replace("h_in", "image")[..], "state[0].input"),
        ("", &state.repeat(2), "state[1].input"),
        ("", &state.replace("h_in\"", "h_in\"\nshape = [1, 0]"), "state[0].shape"),
        ("", &state.replace("h_in\"", "h_in\"\nshape = [65536, 65536]"), "state[0].shape"),
        ("", &state.repeat(17), "state"),
    ] {
        let error = with(top, &[PHASE, more].concat()).unwrap_err().to_string();
        assert!(error.contains(named), "{top} {more}: {error}");
    }
}

#[test]
fn external_files_are_plain_names_and_named_once() {
    let hash = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
    let external = |file: &str| GOOD.replace("[input]", &format!("[[model.external]]\nfile = \"{file}\"\nsha256 = \"{hash}\"\n[input]"));
    assert_eq!(Manifest::parse(&external("model.onnx.data")).unwrap().model.external.len(), 1);
    for file in ["../model.onnx.data", "/etc/passwd", "sub/weights", "..", "", "model.onnx"] {
        let error = Manifest::parse(&external(file)).unwrap_err().to_string();
        assert!(error.contains("model.external[0].file"), "{file}: {error}");
    }
}
