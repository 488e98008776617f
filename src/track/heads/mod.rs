//! All heads of one engine → what is in one frame. Maps are `decode`'s; here detections, findings and frame classes are read
//! and everything is put together.
//!
//! ```text
//!   instrument, tissue maps ─► Decoder ───────────────────────────────┐
//!   detection-* ─► Detector ─► Placement ─┬─ instruments ─► Instances ┼─► Decoded ─► tracker
//!   finding map ─► Decoder ───────────────┴─ findings ────────────────┴─► Found ─► FindingFollower
//!   frame-class ─► FrameClassifier ─► FrameClass
//! ```
//! An instrument that is known by its box alone has no outlines: the overlay draws the corners of its box, never a filled box.

pub mod boxes;
mod detector;
mod frame_class;
mod instance;

use super::cuda::{DeviceBoxes, DeviceMaps, DeviceSight, Laid};
use super::decode::{Decoded, Decoder, Detection};
use super::findings::Found;
use super::maps::NotFinite;
use super::split::Expected;
use super::sure::SureFrom;
use crate::base::classes::{self, ClassKind};
use crate::base::ids::ClassId;
use crate::frame::cuda::CudaError;
use crate::infer::{self, Engine, Fit, HeadKind, HeadSpec, InferError, InputSpec, OutputSpec, TensorView};
use crate::scene::{ClassMask, FrameClass, Outline, Spare, Trust, limits};
use boxes::{Placement, overlap};
pub use detector::Detector;
use detector::MAX_DETECTIONS;
use frame_class::FrameClassifier;
use instance::Instances;

/// A map's instrument and a detection that overlap at least this much are one thing.
const SAME_THING: f32 = 0.5;
/// Where no head gives pixels, a scene's mask is this much smaller than the input.
const BLANK_MASK_PART: usize = 4;

/// What one frame holds, by all heads.
#[derive(Debug, PartialEq)]
pub struct Seen {
    pub decoded: Decoded,
    pub findings: Vec<Found>,
    pub frame_classes: Vec<FrameClass>,
}

/// Width, height, and a map for each class that has one.
pub type Probabilities<'a> = (usize, usize, Vec<(ClassId, &'a [f32])>);

/// Reads all heads of one engine, frame after frame.
#[derive(Debug)]
pub struct Heads {
    /// Tensor and meaning of the instrument and the tissue map.
    maps: Vec<(usize, OutputSpec)>,
    decoder: Decoder,
    /// Where they are decoded on the device that the model runs on.
    there: Option<DeviceMaps>,
    detectors: Vec<(Detector, Option<Instances>)>,
    /// Where their boxes are found on that device.
    boxes_there: Option<DeviceBoxes>,
    finding_map: Option<(usize, OutputSpec, Decoder)>,
    frames: Vec<FrameClassifier>,
}

impl Heads {
    pub fn new(heads: &[HeadSpec], input: &InputSpec) -> Self {
        let decoder = Decoder::new(input.clone());
        let mut all = Heads {
            maps: Vec::new(),
            decoder,
            there: None,
            detectors: Vec::new(),
            boxes_there: None,
            finding_map: None,
            frames: Vec::new(),
        };
        all.decoder.believe(SureFrom::of(heads));
        for head in heads {
            match head {
                HeadSpec::Map { tensor, spec } if spec.kind == HeadKind::Finding => {
                    // Decoded as a map of instruments is: regions, boxes, classes by vote.
                    let spec = OutputSpec { kind: HeadKind::Instrument, ..spec.clone() };
                    all.finding_map = Some((*tensor, spec, Decoder::new(input.clone())));
                }
                HeadSpec::Map { tensor, spec } => all.maps.push((*tensor, spec.clone())),
                HeadSpec::Detection(spec) => {
                    let instances = spec.masks.map(|masks| Instances::new(masks, input));
                    all.detectors.push((Detector::new(spec.clone(), input), instances));
                }
                HeadSpec::FrameClass(spec) => all.frames.push(FrameClassifier::new(spec.clone())),
            }
        }
        all
    }

    /// From now on maps are decoded and boxes are found on the device that the engine runs on, where it and the kernels can.
    pub fn decode_there(&mut self, engine: &mut dyn Engine) -> Result<(), InferError> {
        // A tensor that a head of another kind reads as well is needed here.
        let is_of_map = |tensor: usize| self.maps.iter().any(|(map, _)| *map == tensor);
        let is_of_boxes = |tensor: usize| self.detectors.iter().any(|(detector, _)| detector.reads(tensor));
        let is_of_others = |tensor: usize| {
            self.finding_map.iter().any(|(other, _, _)| *other == tensor) || self.frames.iter().any(|frame| frame.spec.tensor == tensor)
        };
        let outputs = 0..engine.outputs();
        if !outputs.clone().any(|tensor| is_of_map(tensor) && (is_of_boxes(tensor) || is_of_others(tensor))) {
            self.there = DeviceMaps::new(&self.maps, engine)?;
        }
        if !outputs.into_iter().any(|tensor| is_of_boxes(tensor) && (is_of_map(tensor) || is_of_others(tensor))) {
            let detectors: Vec<&Detector> = self.detectors.iter().map(|(detector, _)| detector).collect();
            self.boxes_there = DeviceBoxes::new(&detectors, engine)?;
        }
        Ok(())
    }

    /// Maps, and boxes.
    #[cfg(test)]
    pub fn decode_which_there(&self) -> [bool; 2] {
        [self.there.is_some(), self.boxes_there.is_some()]
    }

    /// Is all that they see in maps that are decoded there, or in boxes that are found there? (Boxes of instruments become one with what
    /// maps say of them here: what those look like is told here, too.)
    pub fn see_there(&self) -> bool {
        let adds = |detector: &Detector| detector.spec.classes.iter().any(|class| *class != ClassId::BACKGROUND && !is_finding(class));
        let has_boxes = !self.detectors.is_empty();
        let are_maps_there = match &self.there {
            Some(_) => !self.detectors.iter().any(|(detector, _)| adds(detector)),
            None => self.maps.is_empty() && has_boxes,
        };
        are_maps_there && self.boxes_there.is_some() == has_boxes && self.finding_map.is_none()
    }

    /// What lies there of the last frame.
    pub fn laid(&self) -> Option<Laid<'_>> {
        self.there.as_ref().and_then(DeviceMaps::laid)
    }

    /// Of the instruments that were decoded last, in their order, which ranks their regions have among all regions of instrument.
    pub fn ranks(&self) -> impl Iterator<Item = usize> + Clone {
        self.decoder.ranks()
    }

    fn is_read_there(&self, tensor: usize) -> bool {
        self.there.is_some() && self.maps.iter().any(|(map, _)| *map == tensor)
            || self.boxes_there.is_some() && self.detectors.iter().any(|(detector, _)| detector.reads(tensor))
    }

    /// Is what can be decoded there? (With a fault on demand the engine's outputs are here alone.)
    pub fn are_there(&self, engine: &dyn Engine) -> bool {
        let mut read = (0..engine.outputs()).filter(|tensor| self.is_read_there(*tensor)).peekable();
        read.peek().is_some() && read.all(|tensor| engine.device_output(tensor).is_some())
    }

    /// After a run: brings what is read here, and looks whether it can be an answer at all. What is decoded there is begun; `fit`: where
    /// in the input the picture lies, which has the size `picture`; `sight` looks on there.
    pub fn fetch(
        &mut self,
        engine: &mut dyn Engine,
        fit: Fit,
        picture: [usize; 2],
        sight: Option<&mut DeviceSight>,
    ) -> Result<(), InferError> {
        let are_there = self.are_there(engine);
        if are_there {
            if let Some(there) = &mut self.there {
                there.begin(&self.maps, engine, (fit, picture), self.decoder.expected())?;
            }
            if let Some(boxes) = &mut self.boxes_there {
                boxes.begin(self.detectors.iter().map(|(detector, _)| detector), engine)?;
            }
            let Some(to) = engine.device_input() else { return Err(CudaError::Elsewhere.into()) };
            let (stream, mut sight) = (to.gpu.stream(), sight);
            if let Some(sight) = &mut sight {
                sight.follow(&to, self.laid().as_ref(), fit, picture)?;
            }
            // Not before all is begun: launches that follow on each other are begun as one.
            self.there.iter_mut().try_for_each(|there| there.bring_measured(stream))?;
            self.boxes_there.iter_mut().try_for_each(|boxes| boxes.bring(stream))?;
            sight.into_iter().try_for_each(|sight| sight.bring(stream))?;
        }
        let is_here = |tensor: usize| !are_there || !self.is_read_there(tensor);
        engine.fetch_outputs(&is_here)?;
        infer::check_outputs(engine, &is_here)
    }

    /// Does anything beside maps come out, so that it matters whether frames follow on each other?
    pub fn has_memory(&self) -> bool {
        !self.frames.is_empty()
            || self.finding_map.is_some()
            || self.detectors.iter().any(|(detector, _)| detector.spec.classes.iter().any(is_finding))
    }

    /// The next frame does not follow on the last one.
    pub fn forget(&mut self) {
        self.decoder.forget();
        self.there.iter_mut().for_each(DeviceMaps::forget);
        self.finding_map.iter_mut().for_each(|(_, _, decoder)| decoder.forget());
        self.frames.iter_mut().for_each(FrameClassifier::forget);
    }

    /// The head with this output decides at another threshold from now on.
    pub fn decide_from(&mut self, output: &str, threshold: f32) {
        let maps = self.maps.iter_mut().map(|(_, spec)| spec).chain(self.finding_map.iter_mut().map(|(_, spec, _)| spec));
        maps.filter(|spec| spec.name == output).for_each(|spec| spec.threshold = threshold);
        let detectors = self.detectors.iter_mut().map(|(detector, _)| &mut detector.spec);
        detectors.filter(|spec| spec.name == output).for_each(|spec| spec.threshold = threshold);
        let frames = self.frames.iter_mut().map(|head| &mut head.spec);
        frames.filter(|spec| spec.name == output).for_each(|spec| spec.threshold = threshold);
    }

    /// Memory of scenes that nobody needs any more.
    pub fn spare(&mut self) -> &mut Spare {
        &mut self.decoder.spare
    }

    /// Detections that were used up.
    pub fn keep(&mut self, detections: Vec<Detection>) {
        self.decoder.keep(detections);
    }

    /// Where instruments are expected in the next frame.
    pub fn expect(&mut self, expected: impl Iterator<Item = Expected>) {
        self.decoder.expect(expected);
    }

    /// What the network is shown: its input, here or there.
    pub fn watch(&mut self, engine: &mut dyn Engine, capture_ns: u64) -> Result<(), InferError> {
        match (&mut self.there, engine.device_input()) {
            (Some(there), Some(to)) => {
                self.decoder.now_is(capture_ns);
                there.watch(&to, capture_ns)
            }
            // Only maps are averaged where the picture stands still.
            _ if self.maps.is_empty() => {
                self.decoder.now_is(capture_ns);
                Ok(())
            }
            _ => {
                self.decoder.watch(engine.input_mut(), capture_ns);
                Ok(())
            }
        }
    }

    /// Width, height and the map of each class that has one. Instruments of several classes share one map: none of them has its own.
    pub fn probabilities(&mut self, engine: &dyn Engine) -> Result<Probabilities<'_>, InferError> {
        if let (Some(there), Some(gpu)) = (&self.there, engine.gpu()) {
            self.decoder.bring_maps(|maps| there.bring(gpu, maps))?;
        }
        let maps = self.decoder.maps();
        let pixels = maps.width * maps.height;
        let tissues = maps.tissue_classes.iter().zip(maps.tissue.chunks_exact(pixels.max(1)));
        let mut all: Vec<(ClassId, &[f32])> =
            tissues.filter(|(id, _)| **id != ClassId::BACKGROUND).map(|(id, plane)| (*id, plane)).collect();
        let instrument = self.maps.iter().find(|(_, spec)| spec.kind == HeadKind::Instrument).filter(|_| maps.has_instrument);
        let mut own = instrument.iter().flat_map(|(_, spec)| &spec.classes).filter(|id| **id != ClassId::BACKGROUND);
        if let (Some(only), None) = (own.next(), own.next()) {
            all.push((*only, &maps.instrument[..pixels]));
        }
        Ok((maps.width, maps.height, all))
    }

    /// Reads the tensors of the last run. A number that is none anywhere makes the whole frame unknown.
    pub fn decode(&mut self, engine: &dyn Engine, fit: Fit, picture: [usize; 2]) -> Result<Seen, InferError> {
        // Before anything is taken in: a number that cannot be is an error of the whole frame.
        let are_found = self.boxes_there.is_some() && self.are_there(engine);
        if let Some(boxes) = self.boxes_there.as_mut().filter(|_| are_found) {
            boxes.finish(self.detectors.iter_mut().map(|(detector, _)| detector))?;
        }
        let mut seen = self.decode_maps(engine, fit, picture)?;
        if seen.decoded.frame_state != Trust::Unknown {
            let rest = self
                .add_detections(engine, (fit, picture), are_found, &mut seen)
                .and_then(|()| self.add_findings(engine, fit, picture, &mut seen))
                .and_then(|()| self.add_frame_classes(engine, &mut seen));
            if rest.is_err() {
                seen.decoded = unknown(&seen.decoded.mask, picture);
            }
        }
        if seen.decoded.frame_state == Trust::Unknown {
            seen.findings.clear();
            seen.frame_classes.clear();
        }
        if !self.detectors.is_empty() {
            trim_outlines(&mut seen.decoded);
        }
        Ok(seen)
    }

    /// What was seen is not to be believed: the frame is unknown. What was said of the whole frame stays.
    pub fn refuse(&mut self, seen: &mut Seen, picture: [usize; 2]) {
        let decoded = &mut seen.decoded;
        decoded.frame_state = Trust::Unknown;
        decoded.unknown_px = (picture[0] * picture[1]) as u64;
        decoded.mask.ids.fill(ClassId::ABSTAINED.0);
        self.decoder.keep(std::mem::take(&mut decoded.instruments));
        decoded.tissues.drain(..).for_each(|tissue| self.decoder.spare.keep_outlines(tissue.outlines));
        seen.findings.clear();
    }

    fn decode_maps(&mut self, engine: &dyn Engine, fit: Fit, picture: [usize; 2]) -> Result<Seen, InferError> {
        let are_there = self.are_there(engine);
        let decoded = match (&self.maps[..], &mut self.there) {
            (maps @ [(_, spec), ..], Some(there)) if are_there => {
                let stream = engine.gpu().ok_or(CudaError::Elsewhere)?.stream();
                self.decoder.decode_with(spec, fit, picture, |filled, measured| there.finish(maps, stream, filled, measured))?
            }
            ([], _) => Decoded { mask: self.blank_mask(fit), ..nothing() },
            ([(tensor, spec)], _) => self.decoder.decode(&[TensorView { spec, data: engine.tensor(*tensor) }], fit, picture),
            ([one, other, ..], _) => {
                let views = [one, other].map(|(tensor, spec)| TensorView { spec, data: engine.tensor(*tensor) });
                self.decoder.decode(&views, fit, picture)
            }
        };
        Ok(Seen { decoded, findings: Vec::new(), frame_classes: Vec::new() })
    }

    /// A mask that says nothing: as large as the instance masks, or a small one.
    fn blank_mask(&self, fit: Fit) -> ClassMask {
        let (width, height) = ((fit.width / BLANK_MASK_PART).max(1), (fit.height / BLANK_MASK_PART).max(1));
        ClassMask { width: width as u32, height: height as u32, ids: vec![ClassId::BACKGROUND.0; width * height] }
    }

    /// `are_found`: the detectors have been told what.
    fn add_detections(
        &mut self,
        engine: &dyn Engine,
        (fit, picture): (Fit, [usize; 2]),
        are_found: bool,
        seen: &mut Seen,
    ) -> Result<(), NotFinite> {
        let placement = Placement::new(fit, picture);
        let from_maps = seen.decoded.instruments.len();
        for (detector, instances) in &mut self.detectors {
            let tensor = |index: usize| engine.tensor(index);
            if !are_found {
                detector.detect(&tensor)?;
            }
            for candidate in &detector.found {
                let Some(bbox) = placement.in_picture(candidate.bbox) else { continue };
                let (class, confidence) = (candidate.class, candidate.score);
                if is_finding(&class) {
                    seen.findings.push(Found { class, confidence, bbox });
                    continue;
                }
                let shape = instances.as_mut().and_then(|instances| instances.shape(candidate, &tensor, fit, picture));
                let mut detection = Detection { class, confidence, bbox, tip: None, axis: None, outlines: Vec::new() };
                if let Some((shape, mask)) = shape {
                    stamp(&mut seen.decoded.mask, &mask, self.maps.is_empty());
                    detection = Detection { class, confidence, ..shape };
                }
                merge(&mut seen.decoded.instruments, from_maps, detection);
            }
        }
        seen.decoded.instruments.truncate(MAX_DETECTIONS);
        seen.findings.truncate(limits::FINDINGS);
        Ok(())
    }

    fn add_findings(&mut self, engine: &dyn Engine, fit: Fit, picture: [usize; 2], seen: &mut Seen) -> Result<(), NotFinite> {
        let Some((tensor, spec, decoder)) = &mut self.finding_map else { return Ok(()) };
        let decoded = decoder.decode(&[TensorView { spec, data: engine.tensor(*tensor) }], fit, picture);
        if decoded.frame_state == Trust::Unknown {
            return Err(NotFinite);
        }
        let found = decoded.instruments.iter().map(|d| Found { class: d.class, confidence: d.confidence, bbox: d.bbox });
        seen.findings.extend(found);
        Ok(())
    }

    fn add_frame_classes(&mut self, engine: &dyn Engine, seen: &mut Seen) -> Result<(), NotFinite> {
        for frame in &mut self.frames {
            let said = frame.classify(engine.tensor(frame.spec.tensor))?;
            seen.frame_classes.extend(said.filter(|_| seen.frame_classes.len() < limits::FRAME_CLASSES));
        }
        Ok(())
    }
}

fn is_finding(class: &ClassId) -> bool {
    classes::table().has_kind(*class, ClassKind::Finding)
}

fn nothing() -> Decoded {
    let mask = ClassMask { width: 1, height: 1, ids: vec![ClassId::BACKGROUND.0] };
    Decoded { instruments: Vec::new(), tissues: Vec::new(), mask, frame_state: Trust::Sure, unknown_px: 0 }
}

/// A frame about which nothing can be said: every pixel abstains.
fn unknown(mask: &ClassMask, picture: [usize; 2]) -> Decoded {
    let mask = ClassMask { ids: vec![ClassId::ABSTAINED.0; mask.ids.len()], ..*mask };
    Decoded { mask, frame_state: Trust::Unknown, unknown_px: (picture[0] * picture[1]) as u64, ..nothing() }
}

/// Where a map saw the same thing, the detection gives it its class; what only a detector saw is added.
fn merge(instruments: &mut Vec<Detection>, from_maps: usize, detection: Detection) {
    let same =
        instruments[..from_maps].iter_mut().max_by(|a, b| overlap(a.bbox, detection.bbox).total_cmp(&overlap(b.bbox, detection.bbox)));
    match same.filter(|same| overlap(same.bbox, detection.bbox) >= SAME_THING) {
        Some(same) => {
            same.class = detection.class;
            same.confidence = same.confidence.max(detection.confidence);
        }
        None => instruments.push(detection),
    }
}

/// Paints an instance into the scene's mask, which takes the instance's size where nothing else gave it one.
fn stamp(mask: &mut ClassMask, instance: &ClassMask, may_resize: bool) {
    if (mask.width, mask.height) != (instance.width, instance.height) {
        if !may_resize {
            return stamp_scaled(mask, instance);
        }
        (mask.width, mask.height) = (instance.width, instance.height);
        mask.ids.clear();
        mask.ids.resize(instance.ids.len(), ClassId::BACKGROUND.0);
    }
    for (to, from) in mask.ids.iter_mut().zip(&instance.ids) {
        if *from != ClassId::BACKGROUND.0 {
            *to = *from;
        }
    }
}

/// The nearest pixel of the instance for each of the mask's.
fn stamp_scaled(mask: &mut ClassMask, instance: &ClassMask) {
    let (width, height) = (mask.width as usize, mask.height as usize);
    let (from_width, from_height) = (instance.width as usize, instance.height as usize);
    for (y, row) in mask.ids.chunks_exact_mut(width).enumerate() {
        let from = &instance.ids[y * from_height / height * from_width..][..from_width];
        for (x, to) in row.iter_mut().enumerate() {
            let id = from[x * from_width / width];
            if id != ClassId::BACKGROUND.0 {
                *to = id;
            }
        }
    }
}

/// Instances and maps are each within what a scene may hold; together they may be more.
fn trim_outlines(decoded: &mut Decoded) {
    let (mut lines, mut points) = (limits::OUTLINES, limits::POINTS);
    let mut keep = |outline: &Outline| {
        let fits = lines > 0 && points >= outline.len();
        if fits {
            (lines, points) = (lines - 1, points - outline.len());
        }
        fits
    };
    decoded.instruments.iter_mut().for_each(|instrument| instrument.outlines.retain(&mut keep));
    decoded.tissues.iter_mut().for_each(|tissue| tissue.outlines.retain(&mut keep));
}

#[cfg(test)]
#[path = "../heads_tests.rs"]
mod tests;
