//! `manifest.toml` of an engine: what the model is, what goes into it, what its outputs mean.
//! Parsing and checking only; no file is opened here and no model is run.

use super::error::ManifestError;
use super::golden::GoldenSpec;
use super::head::{Head, HeadKind};
use serde::Deserialize;
use std::path::{Component, Path};

pub const SCHEMA: &str = "keyhole.engine/1";
/// Largest side of a model's input: nothing that is meant to run once a frame is larger.
const MAX_INPUT_SIDE: u32 = 1024;
const MAX_HEADS: usize = 8;
/// Most frames that a clip may hold, and most states that are fed back.
const MAX_CLIP: usize = 64;
const MAX_STATES: usize = 16;
const MAX_EXTERNAL: usize = 16;

/// A checked manifest.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    schema: String,
    pub name: String,
    pub version: String,
    /// Version of pre- and post-processing that the engine was validated with.
    pub pipeline_version: u32,
    /// Not for patients: trained on data whose licence or amount allows no more than showing how it works.
    pub demonstration: bool,
    pub licence: String,
    pub intended_use: String,
    pub model: Model,
    pub input: Input,
    pub heads: Vec<Head>,
    /// Tensors that the model hands on from frame to frame (recurrent engines).
    #[serde(default)]
    pub state: Vec<State>,
    /// The input holds the last so many frames, not one.
    #[serde(default)]
    pub clip: Option<Clip>,
    /// What an engine remembers is cleared when more time than this lies between two of its frames.
    #[serde(default = "default_max_gap_ms")]
    pub max_gap_ms: u64,
    /// What must come out for one picture.
    #[serde(default)]
    pub golden: Option<GoldenSpec>,
    /// How it was trained; for people, free of form.
    #[serde(default)]
    pub training: Option<toml::Table>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Model {
    /// A file beside the manifest.
    pub file: String,
    /// Lower-case hex.
    pub sha256: String,
    /// Files beside the model in which it keeps its weights (ONNX external data), in their locations' names.
    #[serde(default)]
    pub external: Vec<ExternalFile>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExternalFile {
    pub file: String,
    /// Lower-case hex.
    pub sha256: String,
}

/// One tensor that is fed back: what `output` holds after a frame, `input` holds before the next; zeros at the start.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct State {
    pub input: String,
    pub output: String,
    /// Needed only where the model leaves a side open that is not its batch.
    #[serde(default)]
    pub shape: Option<Vec<usize>>,
}

/// An input of the last `frames` frames, the newest last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Clip {
    pub frames: usize,
    pub order: ClipOrder,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ClipOrder {
    /// 1×frames×3×H×W (or 1×frames×H×W×3).
    TimeFirst,
    /// 1×3×frames×H×W.
    ChannelsFirst,
}

fn default_max_gap_ms() -> u64 {
    250
}

/// Order of a 4-D tensor's axes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum TensorLayout {
    #[serde(rename = "NCHW")]
    Nchw,
    #[serde(rename = "NHWC")]
    Nhwc,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum ColourOrder {
    Rgb,
    Bgr,
}

/// How a picture of another shape is fitted into the input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Resize {
    /// Both axes scaled on their own.
    Stretch,
    /// One scale; the rest is black, half on either side.
    Letterbox,
}

/// The model's one input: `1×3×height×width` (or NHWC), `(value in 0..1 − mean) / std`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Input {
    pub name: String,
    pub layout: TensorLayout,
    pub width: u32,
    pub height: u32,
    pub colour: ColourOrder,
    pub resize: Resize,
    /// In the order of `colour`.
    pub mean: [f32; 3],
    pub std: [f32; 3],
}

pub(super) fn bad<T>(field: impl Into<String>, reason: impl Into<String>) -> Result<T, ManifestError> {
    Err(ManifestError::Field { field: field.into(), reason: reason.into() })
}

impl Manifest {
    /// Parses and checks; on success every field can be relied on.
    pub fn parse(text: &str) -> Result<Self, ManifestError> {
        let mut manifest: Manifest = toml::from_str(text).map_err(|e| ManifestError::Syntax(e.to_string().trim_end().to_owned()))?;
        manifest.check()?;
        Ok(manifest)
    }

    pub fn head(&self, kind: HeadKind) -> Option<&Head> {
        self.heads.iter().find(|head| head.kind == kind)
    }

    fn check(&mut self) -> Result<(), ManifestError> {
        if self.schema != SCHEMA {
            return bad("schema", format!("expected '{SCHEMA}', found '{}'", self.schema));
        }
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_' || c == '.';
        if self.name.is_empty() || self.name.len() > 64 || self.name.starts_with('.') || !self.name.chars().all(plain) {
            return bad("name", "expected 1 to 64 letters, digits, '-', '_' or '.'");
        }
        self.model.check()?;
        self.input.check()?;
        if self.heads.is_empty() || self.heads.len() > MAX_HEADS {
            return bad("heads", format!("expected 1 to {MAX_HEADS}, found {}", self.heads.len()));
        }
        for i in 0..self.heads.len() {
            let (before, rest) = self.heads.split_at_mut(i);
            let Some(head) = rest.first_mut() else { continue };
            let is_new = |head: &Head| match before.iter().find_map(|other| head.says_what(other)) {
                Some(what) => bad(format!("heads[{i}].kind"), format!("there is a {what} head already")),
                None => Ok(()),
            };
            is_new(head)?;
            head.check(i)?;
            // What it says of the frame is known only now.
            is_new(head)?;
        }
        self.golden.iter().try_for_each(GoldenSpec::check)?;
        self.check_memory()
    }

    fn check_memory(&self) -> Result<(), ManifestError> {
        if self.state.len() > MAX_STATES {
            return bad("state", format!("expected at most {MAX_STATES}, found {}", self.state.len()));
        }
        for (i, state) in self.state.iter().enumerate() {
            let others = &self.state[..i];
            if state.input == self.input.name || others.iter().any(|other| other.input == state.input) {
                return bad(format!("state[{i}].input"), format!("'{}' is fed by something else already", state.input));
            }
            let sides = state.shape.iter().flatten();
            if state.shape.as_ref().is_some_and(|shape| shape.is_empty()) || sides.clone().any(|&side| !(1..=1 << 20).contains(&side)) {
                return bad(format!("state[{i}].shape"), "expected sides of 1 or more");
            }
            if sides.product::<usize>() > 1 << 26 {
                return bad(format!("state[{i}].shape"), "larger than any state that is carried from frame to frame");
            }
        }
        if let Some(clip) = self.clip {
            if !(2..=MAX_CLIP).contains(&clip.frames) {
                return bad("clip.frames", format!("expected 2 to {MAX_CLIP}, found {}", clip.frames));
            }
            if clip.order == ClipOrder::ChannelsFirst && self.input.layout == TensorLayout::Nhwc {
                return bad("clip.order", "channels-first does not go with an NHWC input");
            }
        }
        if !(1..=60_000).contains(&self.max_gap_ms) {
            return bad("max_gap_ms", format!("expected 1 to 60000, found {}", self.max_gap_ms));
        }
        Ok(())
    }
}

impl Model {
    fn check(&self) -> Result<(), ManifestError> {
        check_file("model", "file", &self.file, &self.sha256)?;
        if self.external.len() > MAX_EXTERNAL {
            return bad("model.external", format!("expected at most {MAX_EXTERNAL}, found {}", self.external.len()));
        }
        for (i, external) in self.external.iter().enumerate() {
            check_file(&format!("model.external[{i}]"), "file", &external.file, &external.sha256)?;
            if external.file == self.file || self.external[..i].iter().any(|other| other.file == external.file) {
                return bad(format!("model.external[{i}].file"), format!("'{}' is named twice", external.file));
            }
        }
        Ok(())
    }
}

/// `at.field` is the name of a file, `at.sha256` (or `at.field_sha256`) its hash.
pub(super) fn check_file(at: &str, field: &str, file: &str, sha256: &str) -> Result<(), ManifestError> {
    let mut parts = Path::new(file).components();
    if !matches!((parts.next(), parts.next()), (Some(Component::Normal(_)), None)) || file.contains(['/', '\\', '\0']) {
        return bad(format!("{at}.{field}"), format!("'{file}' is not the name of a file beside the manifest"));
    }
    if sha256.len() != 64 || !sha256.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)) {
        let name = if field == "file" { "sha256".to_owned() } else { format!("{field}_sha256") };
        return bad(format!("{at}.{name}"), "expected 64 lower-case hexadecimal digits");
    }
    Ok(())
}

impl Input {
    fn check(&self) -> Result<(), ManifestError> {
        for (field, side) in [("input.width", self.width), ("input.height", self.height)] {
            if !(16..=MAX_INPUT_SIDE).contains(&side) {
                return bad(field, format!("expected 16 to {MAX_INPUT_SIDE}, found {side}"));
            }
        }
        if !self.mean.iter().all(|v| v.is_finite() && v.abs() <= 1000.0) {
            return bad("input.mean", "expected numbers, of values in 0..1");
        }
        if !self.std.iter().all(|v| v.is_finite() && *v >= 1e-4 && *v <= 1000.0) {
            return bad("input.std", "expected numbers of 0.0001 or more, of values in 0..1");
        }
        Ok(())
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::base::ids::ClassId;
    use proptest::prelude::*;

    pub(crate) const GOOD: &str = r#"
schema = "keyhole.engine/1"
name = "two-heads-cpu"
version = "0.1.0"
pipeline_version = 1
demonstration = true
licence = "Apache-2.0"
intended_use = "tests"
[model]
file = "model.onnx"
sha256 = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
[input]
name = "image"
layout = "NCHW"
width = 320
height = 192
colour = "RGB"
resize = "stretch"
mean = [0.485, 0.456, 0.406]
std = [0.229, 0.224, 0.225]
[[heads]]
kind = "instrument"
output = "instrument"
activation = "sigmoid"
classes = ["instrument"]
threshold = 0.5
[[heads]]
kind = "tissue"
output = "tissue"
activation = "softmax"
classes = ["background", "abdominal wall", "liver", "fat", "gallbladder"]
threshold = 0.5
[training]
steps = 1200
data = ["a", "b"]
"#;

    #[test]
    fn a_good_manifest_gives_class_ids_a_channel() {
        let manifest = Manifest::parse(GOOD).unwrap();
        assert_eq!(manifest.head(HeadKind::Tissue).unwrap().class_ids(), [0, 1, 2, 4, 10].map(ClassId));
        assert_eq!(manifest.input.layout, TensorLayout::Nchw);
        assert!(manifest.training.unwrap().contains_key("steps"));
    }

    #[test]
    fn each_bad_field_is_named() {
        for (from, to, named) in [
            ("keyhole.engine/1", "keyhole.engine/2", "schema"),
            ("model.onnx", "../model.onnx", "model.file"),
            ("model.onnx", "/etc/passwd", "model.file"),
            ("model.onnx", "..", "model.file"),
            ("model.onnx", "", "model.file"),
            ("0123456789abcdef0123", "0123", "model.sha256"),
            ("width = 320", "width = 100000", "input.width"),
            ("std = [0.229", "std = [0.0", "input.std"),
            ("mean = [0.485", "mean = [nan", "input.mean"),
            ("[\"instrument\"]", "[\"liver\"]", "heads[0].classes"),
            ("\"liver\"", "\"spleen\"", "spleen"),
            ("\"fat\"", "\"liver\"", "named twice"),
            ("kind = \"tissue\"", "kind = \"instrument\"", "heads[1].kind"),
            ("threshold = 0.5", "threshold = 1.5", "heads[0].threshold"),
            ("demonstration = true", "demonstration = true\nsurprise = 1", "surprise"),
            ("layout = \"NCHW\"", "layout = \"CHWN\"", "CHWN"),
        ] {
            assert!(GOOD.contains(from));
            let error = Manifest::parse(&GOOD.replacen(from, to, 1)).unwrap_err().to_string();
            assert!(error.contains(named), "{to}: {error}");
        }
    }

    proptest! {
        /// Whatever bytes stand in a manifest, it is parsed or refused.
        #[test]
        fn no_text_makes_the_parser_panic(text in "\\PC{0,200}", at in 0usize..1100, cut in 0usize..40, insert in "[\\PC\n\"\\[\\]=.0-9]{0,12}") {
            let _ = Manifest::parse(&text);
            let (start, end) = (at.min(GOOD.len()), (at + cut).min(GOOD.len()));
            let changed = format!("{}{insert}{}", &GOOD[..start], &GOOD[end..]);
            if let Ok(manifest) = Manifest::parse(&changed) {
                prop_assert!(manifest.heads.iter().all(|head| !head.class_ids().is_empty()));
                prop_assert!(!manifest.model.file.contains('/'));
            }
        }
    }
}
