//! Does the model have the tensors that its manifest says? Every mismatch names the head, what was expected and what was found.

use super::engine::{Calibration, DetectionSpec, Field, FrameClassSpec, HeadSpec, InputSpec, OutputSpec, Prototypes};
use super::error::InferError;
use super::port::Form;
use crate::store::{Head, HeadKind, Indication, TensorLayout, Values};

/// Largest side of an output: a mask that a scene can carry (scene::limits::MASK_SIDE).
const MAX_MAP_SIDE: usize = 1024;
/// More are no detector's; they would cost more than a frame has.
const MAX_PROPOSALS: usize = 1 << 17;
const MAX_PROTOTYPES: usize = 256;

/// The shape of an output as trial runs gave it, and where it stands among the engine's tensors.
#[derive(Debug, Clone, Copy)]
pub struct Found<'a> {
    pub tensor: usize,
    pub shape: &'a [usize],
}

/// Compares a model with its manifest.
#[derive(Debug, Clone, Copy)]
pub struct Check<'a> {
    pub engine: &'a str,
    pub input: &'a InputSpec,
}

impl Check<'_> {
    pub fn mismatch(&self, part: impl Into<String>, expected: impl Into<String>, found: impl Into<String>) -> InferError {
        InferError::Mismatch { engine: self.engine.to_owned(), part: part.into(), expected: expected.into(), found: found.into() }
    }

    /// `found`: the shapes of the model's outputs by name, of all that `outputs_of` names.
    pub fn head<'f>(&self, head: &Head, found: &dyn Fn(&str) -> Option<Found<'f>>) -> Result<HeadSpec, InferError> {
        let get = |name: &str| found(name).ok_or_else(|| self.mismatch(part(head, name), "a model output of that name", "none"));
        match head.kind {
            HeadKind::Instrument | HeadKind::Tissue | HeadKind::Finding => self.map(head, get(&head.output)?),
            HeadKind::FrameClass => self.frame_class(head, get(&head.output)?),
            HeadKind::DetectionYolo => self.yolo(head, get(&head.output)?, &get),
            HeadKind::DetectionDetr => self.detr(head, get(&head.output)?, &get),
        }
    }

    /// The tensor that holds the distance from the cohort: one number.
    pub fn cohort<'f>(&self, indication: &Indication, found: &dyn Fn(&str) -> Option<Found<'f>>) -> Result<Option<usize>, InferError> {
        let Some(cohort) = &indication.cohort else { return Ok(None) };
        let part = || cohort_part(&cohort.output);
        let found = found(&cohort.output).ok_or_else(|| self.mismatch(part(), "a model output of that name", "none"))?;
        if found.shape.iter().product::<usize>() != 1 {
            return Err(self.mismatch(part(), "one number", shape_text(found.shape)));
        }
        Ok(Some(found.tensor))
    }

    fn map(&self, head: &Head, found: Found<'_>) -> Result<HeadSpec, InferError> {
        let channels = head.class_ids().len();
        let (in_h, in_w) = (self.input.height as usize, self.input.width as usize);
        let is_ids = head.values == Values::ClassIds;
        let (c, h, w) = match (found.shape, self.input.layout) {
            ([1, h, w] | [1, 1, h, w], TensorLayout::Nchw) | ([1, h, w] | [1, h, w, 1], TensorLayout::Nhwc) if is_ids => (channels, *h, *w),
            ([1, c, h, w], TensorLayout::Nchw) | ([1, h, w, c], TensorLayout::Nhwc) if !is_ids => (*c, *h, *w),
            _ => (0, 0, 0),
        };
        let sides = 1..=MAX_MAP_SIDE;
        if c != channels || !sides.contains(&h) || !sides.contains(&w) || h * in_w != w * in_h {
            let shape = match (is_ids, self.input.layout) {
                (true, _) => "1×H×W of class ids".to_owned(),
                (false, TensorLayout::Nchw) => format!("1×{channels}×H×W"),
                (false, TensorLayout::Nhwc) => format!("1×H×W×{channels}"),
            };
            let classes = if c != channels && c > 0 { format!(" ({channels} classes are named)") } else { String::new() };
            let expected = format!("{shape} with H:W = {in_h}:{in_w}{classes}");
            return Err(self.mismatch(part(head, &head.output), expected, shape_text(found.shape)));
        }
        let spec = OutputSpec {
            name: head.output.clone(),
            kind: head.kind,
            activation: head.activation,
            threshold: head.threshold,
            calibration: Calibration { temperature: head.temperature(), sure: head.sure() },
            classes: head.class_ids().to_vec(),
            // Class ids are laid out as planes on their way out.
            layout: if is_ids { TensorLayout::Nchw } else { self.input.layout },
            width: w,
            height: h,
        };
        Ok(HeadSpec::Map { tensor: found.tensor, spec })
    }

    fn frame_class(&self, head: &Head, found: Found<'_>) -> Result<HeadSpec, InferError> {
        let expected = if head.values == Values::ClassIds { 1 } else { head.class_ids().len() };
        if found.shape.iter().product::<usize>() != expected {
            return Err(self.mismatch(part(head, &head.output), format!("1×{expected}"), shape_text(found.shape)));
        }
        Ok(HeadSpec::FrameClass(FrameClassSpec {
            name: head.output.clone(),
            tensor: found.tensor,
            classes: head.class_ids().to_vec(),
            activation: head.activation,
            threshold: head.threshold,
        }))
    }

    fn yolo<'f>(&self, head: &Head, found: Found<'f>, get: &dyn Fn(&str) -> Result<Found<'f>, InferError>) -> Result<HeadSpec, InferError> {
        let Some(boxes) = &head.boxes else { return Err(self.mismatch(part(head, &head.output), "[heads.boxes]", "none")) };
        let prototypes = match &boxes.prototypes {
            Some(name) => Some(self.prototypes(head, name, get(name)?)?),
            None => None,
        };
        let (classes, objectness) = (head.class_ids().len(), usize::from(boxes.objectness));
        let attributes = 4 + objectness + classes + prototypes.map_or(0, |p| p.count);
        let expected = || {
            let parts = [(objectness, "objectness"), (classes, "classes"), (prototypes.map_or(0, |p| p.count), "mask coefficients")];
            let parts: String = parts.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!(" + {n} {what}")).collect();
            format!("1×{attributes}×N or 1×N×{attributes} ({attributes} = 4 box numbers{parts})")
        };
        let (proposals, attribute_step, proposal_step) = match found.shape {
            [1, a, n] if *a == attributes && *n != attributes => (*n, *n, 1),
            [1, n, a] if *a == attributes && *n != attributes => (*n, 1, *a),
            _ => return Err(self.mismatch(part(head, &head.output), expected(), shape_text(found.shape))),
        };
        let field = |attribute| Field { tensor: found.tensor, start: attribute * attribute_step, attribute_step, proposal_step };
        Ok(HeadSpec::Detection(DetectionSpec {
            name: head.output.clone(),
            proposals: self.count(head, proposals)?,
            boxes: field(0),
            format: boxes.format,
            units: boxes.units,
            scores: field(4 + objectness),
            classes: head.class_ids().to_vec(),
            activation: head.activation,
            objectness: boxes.objectness.then(|| field(4)),
            threshold: head.threshold,
            nms_iou: boxes.nms_iou,
            masks: prototypes.map(|prototypes| (field(4 + objectness + classes), prototypes)),
        }))
    }

    fn detr<'f>(&self, head: &Head, found: Found<'f>, get: &dyn Fn(&str) -> Result<Found<'f>, InferError>) -> Result<HeadSpec, InferError> {
        let written = head.boxes.as_ref().and_then(|boxes| Some((boxes, boxes.output.as_ref()?)));
        let Some((written, name)) = written else { return Err(self.mismatch(part(head, &head.output), "[heads.boxes] output", "none")) };
        let classes = head.class_ids().len();
        let queries = match found.shape {
            [1, queries, c] if *c == classes => *queries,
            shape => {
                let expected = format!("1×Q×{classes} ({classes} classes are named; \"background\" stands for no object)");
                return Err(self.mismatch(part(head, &head.output), expected, shape_text(shape)));
            }
        };
        let boxes = get(name)?;
        if boxes.shape != [1, queries, 4] {
            return Err(self.mismatch(part(head, name), format!("1×{queries}×4"), shape_text(boxes.shape)));
        }
        let rows = |tensor, attributes| Field { tensor, start: 0, attribute_step: 1, proposal_step: attributes };
        Ok(HeadSpec::Detection(DetectionSpec {
            name: head.output.clone(),
            proposals: self.count(head, queries)?,
            boxes: rows(boxes.tensor, 4),
            format: written.format,
            units: written.units,
            scores: rows(found.tensor, classes),
            classes: head.class_ids().to_vec(),
            activation: head.activation,
            objectness: None,
            threshold: head.threshold,
            nms_iou: None,
            masks: None,
        }))
    }

    fn count(&self, head: &Head, proposals: usize) -> Result<usize, InferError> {
        if (1..=MAX_PROPOSALS).contains(&proposals) {
            return Ok(proposals);
        }
        Err(self.mismatch(part(head, &head.output), format!("1 to {MAX_PROPOSALS} proposals"), proposals.to_string()))
    }

    fn prototypes(&self, head: &Head, name: &str, found: Found<'_>) -> Result<Prototypes, InferError> {
        let (in_h, in_w) = (self.input.height as usize, self.input.width as usize);
        let (count, height, width, prototype_step, pixel_step) = match (found.shape, self.input.layout) {
            ([1, k, h, w], TensorLayout::Nchw) => (*k, *h, *w, h * w, 1),
            ([1, h, w, k], TensorLayout::Nhwc) => (*k, *h, *w, 1, *k),
            _ => (0, 0, 0, 0, 0),
        };
        let fits = (1..=MAX_PROTOTYPES).contains(&count) && (1..=MAX_MAP_SIDE).contains(&height) && (1..=MAX_MAP_SIDE).contains(&width);
        if !fits || height * in_w != width * in_h {
            let expected = match self.input.layout {
                TensorLayout::Nchw => format!("1×K×H×W with H:W = {in_h}:{in_w}"),
                TensorLayout::Nhwc => format!("1×H×W×K with H:W = {in_h}:{in_w}"),
            };
            return Err(self.mismatch(part(head, name), expected, shape_text(found.shape)));
        }
        Ok(Prototypes { tensor: found.tensor, count, width, height, prototype_step, pixel_step })
    }

    /// Maps of instruments and tissues lie over each other: they have one size.
    pub fn same_sides(&self, heads: &[HeadSpec]) -> Result<(), InferError> {
        let mut maps = heads.iter().filter_map(|head| match head {
            HeadSpec::Map { spec, .. } if spec.kind != HeadKind::Finding => Some(spec),
            _ => None,
        });
        let Some(first) = maps.next() else { return Ok(()) };
        match maps.find(|other| (other.width, other.height) != (first.width, first.height)) {
            None => Ok(()),
            Some(other) => Err(self.mismatch(
                format!("{} head (output '{}')", other.kind.name(), other.name),
                format!("{}×{} pixels as the {} head has", first.width, first.height, first.kind.name()),
                format!("{}×{}", other.width, other.height),
            )),
        }
    }
}

/// The outputs that a head reads, and what their numbers become.
pub fn outputs_of(head: &Head) -> impl Iterator<Item = (&str, Form)> {
    let form = match head.values {
        Values::Scores => Form::Same,
        Values::ClassIds => Form::OneHot { classes: head.class_ids().len() },
    };
    let more = head.boxes.iter().flat_map(|boxes| [&boxes.output, &boxes.prototypes]).flatten();
    std::iter::once((head.output.as_str(), form)).chain(more.map(|name| (name.as_str(), Form::Same)))
}

pub fn part(head: &Head, output: &str) -> String {
    format!("{} head (output '{output}')", head.kind.name())
}

pub fn cohort_part(output: &str) -> String {
    format!("indication.cohort (output '{output}')")
}

pub fn shape_text(shape: &[usize]) -> String {
    if shape.is_empty() { "a single number".to_owned() } else { shape.iter().map(usize::to_string).collect::<Vec<_>>().join("×") }
}
