//! What an engine's output means: one `[[heads]]` of the manifest. Checked on its own here; that the model's tensors have
//! the shapes it needs is `infer`'s to check.
//!
//! | kind | its tensors (batch 1) |
//! | --- | --- |
//! | instrument, tissue, finding | `output` 1×C×H×W (NHWC as the input): a map of scores a class; or 1×H×W class ids |
//! | detection-yolo | `output` 1×A×N or 1×N×A, A = 4 box numbers, objectness?, C scores, K mask coefficients? |
//! | detection-detr | `output` 1×Q×C logits, `boxes.output` 1×Q×4 |
//! | frame-class | `output` of C scores, or one class id |
//!
//! A detection's class tells whether it is an instrument (followed as such) or a finding (marked).

use super::error::ManifestError;
use super::manifest::bad;
use crate::base::classes::{self, ClassKind};
use crate::base::ids::ClassId;
use serde::Deserialize;
use std::collections::BTreeMap;

const MAX_MASK_CLASSES: usize = 32;
/// Detectors are often trained on many classes, most of them `background` to this appliance.
const MAX_CLASSES: usize = 128;
/// Beyond these it is not a head's scale that is wrong.
const TEMPERATURES: std::ops::RangeInclusive<f32> = 0.05..=20.0;
const BACKGROUND: &str = "background";

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HeadKind {
    Instrument,
    Tissue,
    Finding,
    DetectionYolo,
    DetectionDetr,
    FrameClass,
}

impl HeadKind {
    pub fn name(self) -> &'static str {
        match self {
            HeadKind::Instrument => "instrument",
            HeadKind::Tissue => "tissue",
            HeadKind::Finding => "finding",
            HeadKind::DetectionYolo => "detection-yolo",
            HeadKind::DetectionDetr => "detection-detr",
            HeadKind::FrameClass => "frame-class",
        }
    }

    pub fn is_mask(self) -> bool {
        matches!(self, HeadKind::Instrument | HeadKind::Tissue | HeadKind::Finding)
    }

    pub fn is_detection(self) -> bool {
        matches!(self, HeadKind::DetectionYolo | HeadKind::DetectionDetr)
    }

    fn may_have(self, class: ClassKind) -> bool {
        match self {
            HeadKind::Instrument => class == ClassKind::Instrument,
            HeadKind::Tissue => class == ClassKind::Tissue,
            HeadKind::Finding => class == ClassKind::Finding,
            HeadKind::DetectionYolo | HeadKind::DetectionDetr => matches!(class, ClassKind::Instrument | ClassKind::Finding),
            HeadKind::FrameClass => matches!(class, ClassKind::Phase | ClassKind::Quality),
        }
    }
}

/// What turns an output's numbers into probabilities.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Activation {
    /// Logits, each channel on its own.
    Sigmoid,
    /// Logits, over the channels.
    Softmax,
    /// They already are probabilities.
    None,
}

/// What the numbers of an output are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Values {
    /// A number a class.
    #[default]
    Scores,
    /// The model has chosen already: places in `classes`.
    ClassIds,
}

/// The four numbers of a box.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BoxFormat {
    /// Centre x, y, width, height.
    Cxcywh,
    /// Left, top, right, bottom.
    Xyxy,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BoxUnits {
    /// Pixels of the input.
    Pixels,
    /// Parts of the input's width and height.
    Fractions,
}

/// How a detection head writes its boxes (`[heads.boxes]`).
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Boxes {
    /// detection-detr: the output with the boxes.
    #[serde(default)]
    pub output: Option<String>,
    pub format: BoxFormat,
    pub units: BoxUnits,
    /// detection-yolo: a fifth number says that there is anything at all (YOLOv5); the class scores are multiplied by it.
    #[serde(default)]
    pub objectness: bool,
    /// detection-yolo: of two boxes of one class that overlap more (intersection over union) the less probable is dropped.
    #[serde(default)]
    pub nms_iou: Option<f32>,
    /// detection-yolo: the output with the prototypes 1×K×H×W that K coefficients a box weigh into its mask.
    #[serde(default)]
    pub prototypes: Option<String>,
}

/// An output with a meaning.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Head {
    pub kind: HeadKind,
    /// Name of the model's output.
    pub output: String,
    pub activation: Activation,
    #[serde(default)]
    pub values: Values,
    /// Names of `engines/classes.toml`, in the order of the channels; `background` where a channel means nothing.
    classes: Vec<String>,
    /// Probability from which a pixel, a box or a frame's class counts.
    pub threshold: f32,
    /// Between these a site may move the threshold (an operating point). Absent: nobody may.
    #[serde(default)]
    pub threshold_range: Option<[f32; 2]>,
    /// A map's numbers are divided by this before they become probabilities (temperature scaling, Guo et al. 2017).
    #[serde(default)]
    temperature: Option<f32>,
    /// Of a map: probability from which a pixel or a region of a class is sure. What is not named is never sure; without this
    /// table the head is not calibrated.
    #[serde(default)]
    sure: BTreeMap<String, f32>,
    #[serde(default)]
    pub boxes: Option<Boxes>,
    #[serde(skip)]
    class_ids: Vec<ClassId>,
}

impl Head {
    /// The class of each channel.
    pub fn class_ids(&self) -> &[ClassId] {
        &self.class_ids
    }

    pub fn temperature(&self) -> f32 {
        self.temperature.unwrap_or(1.0)
    }

    /// The probability from which each channel's class is sure, at least the threshold; 1: never. None: the head is not calibrated.
    pub fn sure(&self) -> Option<Vec<f32>> {
        let of = |name: &String| self.sure.get(name).copied().unwrap_or(1.0).max(self.threshold);
        (!self.sure.is_empty()).then(|| self.classes.iter().map(of).collect())
    }

    /// What both heads say, where only one may.
    pub(super) fn says_what(&self, other: &Head) -> Option<&'static str> {
        let of_frame =
            |head: &Head| head.class_ids.iter().find_map(|&id| Some(classes::table().by_id(id)?.kind).filter(|k| is_of_frame(*k)));
        match (self.kind, other.kind) {
            (HeadKind::FrameClass, HeadKind::FrameClass) if of_frame(self) == of_frame(other) => Some("frame-class (of that kind)"),
            (a, b) if a == b && a.is_mask() => Some(a.name()),
            _ => None,
        }
    }

    pub(super) fn check(&mut self, index: usize) -> Result<(), ManifestError> {
        let at = |field: &str| format!("heads[{index}].{field}");
        if !(self.threshold > 0.0 && self.threshold < 1.0) {
            return bad(at("threshold"), format!("expected a probability between 0 and 1, found {}", self.threshold));
        }
        self.check_classes(&at)?;
        if self.activation == Activation::Softmax && self.classes.len() < 2 {
            return bad(at("classes"), "softmax over one class is always 1: name the background channel too, or use sigmoid");
        }
        if self.values == Values::ClassIds && (self.kind.is_detection() || self.activation != Activation::None) {
            return bad(at("values"), "class ids are no scores: use activation = \"none\", and no detection head");
        }
        self.check_calibration(&at)?;
        self.check_boxes(&at)
    }

    fn check_calibration(&self, at: &dyn Fn(&str) -> String) -> Result<(), ManifestError> {
        if let Some(temperature) = self.temperature {
            if !TEMPERATURES.contains(&temperature) {
                let (low, high) = (TEMPERATURES.start(), TEMPERATURES.end());
                return bad(at("temperature"), format!("expected {low} to {high}, found {temperature}"));
            }
            if !self.kind.is_mask() || self.activation == Activation::None {
                return bad(at("temperature"), "only the logits of a map (instrument, tissue, finding) have one");
            }
        }
        if !self.sure.is_empty() && (!self.kind.is_mask() || self.values == Values::ClassIds) {
            return bad(at("sure"), "only a map of scores (instrument, tissue, finding) has it");
        }
        for (name, sure) in &self.sure {
            let at = at(&format!("sure.{name}"));
            if name == BACKGROUND || !self.classes.contains(name) {
                return bad(at, "not a class of this head");
            }
            if !(self.threshold..=1.0).contains(sure) {
                return bad(at, format!("expected {} (the threshold) to 1, found {sure}", self.threshold));
            }
        }
        match self.threshold_range {
            Some([low, high]) if !(low > 0.0 && low <= self.threshold && self.threshold <= high && high < 1.0) => {
                let text = "expected two numbers between 0 and 1 with the threshold between them";
                bad(at("threshold_range"), format!("{text}, found {low} and {high}"))
            }
            _ => Ok(()),
        }
    }

    fn check_classes(&mut self, at: &dyn Fn(&str) -> String) -> Result<(), ManifestError> {
        let most = if self.kind.is_mask() { MAX_MASK_CLASSES } else { MAX_CLASSES };
        if self.classes.is_empty() || self.classes.len() > most {
            return bad(at("classes"), format!("expected 1 to {most}, found {}", self.classes.len()));
        }
        self.class_ids.clear();
        let mut of_frame = None;
        for name in &self.classes {
            let Some(class) = classes::table().by_name(name) else {
                return bad(at("classes"), format!("'{name}' is not in the class table (engines/classes.toml)"));
            };
            let is_background = class.kind == ClassKind::Background;
            if !is_background && !self.kind.may_have(class.kind) {
                return bad(at("classes"), format!("'{name}' is not a class of a {} head", self.kind.name()));
            }
            // Channels that mean nothing here may be many, but not in a map, whose channels are summed up.
            if self.class_ids.contains(&class.id) && (!is_background || self.kind.is_mask()) {
                return bad(at("classes"), format!("'{name}' is named twice"));
            }
            if is_of_frame(class.kind) && *of_frame.get_or_insert(class.kind) != class.kind {
                return bad(at("classes"), format!("'{name}': phases and qualities are two heads"));
            }
            self.class_ids.push(class.id);
        }
        if self.class_ids.iter().all(|&id| id == ClassId::BACKGROUND) {
            return bad(at("classes"), format!("'{BACKGROUND}' alone says nothing"));
        }
        Ok(())
    }

    fn check_boxes(&self, at: &dyn Fn(&str) -> String) -> Result<(), ManifestError> {
        let boxes = match (&self.boxes, self.kind.is_detection()) {
            (None, false) => return Ok(()),
            (Some(_), false) => return bad(at("boxes"), format!("a {} head has none", self.kind.name())),
            (None, true) => return bad(at("boxes"), "missing: a detection head says how its boxes are written"),
            (Some(boxes), true) => boxes,
        };
        if self.kind == HeadKind::DetectionYolo {
            if boxes.output.is_some() {
                return bad(at("boxes.output"), "a detection-yolo head has its boxes in its one output");
            }
            if self.activation == Activation::Softmax {
                return bad(at("activation"), "a detection-yolo head has scores of their own: use sigmoid or none");
            }
            match boxes.nms_iou {
                Some(iou) if iou > 0.0 && iou < 1.0 => Ok(()),
                Some(iou) => bad(at("boxes.nms_iou"), format!("expected a part between 0 and 1, found {iou}")),
                None => bad(at("boxes.nms_iou"), "missing: without it one thing is found many times"),
            }
        } else if boxes.output.is_none() {
            bad(at("boxes.output"), "missing: the output with the boxes")
        } else if boxes.objectness || boxes.nms_iou.is_some() || boxes.prototypes.is_some() {
            bad(at("boxes"), "objectness, nms_iou and prototypes are a detection-yolo head's")
        } else {
            Ok(())
        }
    }
}

fn is_of_frame(kind: ClassKind) -> bool {
    matches!(kind, ClassKind::Phase | ClassKind::Quality)
}

#[cfg(test)]
#[path = "head_tests.rs"]
mod tests;
