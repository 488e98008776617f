//! Things against labelled things: boxes (average precision, FROC), tracks of clips (HOTA, IDF1, MOTA), tips.

use super::bootstrap::{self, Interval};
use super::detection::{AveragePrecision, Detections};
use super::froc::{Froc, FrocPoint, Label, Mark};
use super::mask::counted_as;
use super::overlap::box_iou;
use super::sequence::{Clear, Hota, Identity, Sequence};
use super::spread::Spread;
use super::things::Thing;
use super::validation::{NOBODY, median};
use crate::base::classes;
use crate::base::ids::ClassId;
use crate::scene::{Scene, Track};
use serde::Serialize;
use std::collections::BTreeMap;

/// From this overlap on a track is the labelled thing whose tip is compared.
const SAME_BOX: f32 = 0.5;
/// Where only a tip is labelled: tips this far apart, part of the width, have nothing to do with each other; half of it is the
/// likeness 0.5 of a match (as TrackEval's Euclidean similarity with this zero distance).
const TIP_REACH: f32 = 0.1;
const FROC_POINTS: usize = 100;

/// Of one clip, or of the pictures of one patient.
struct Case {
    name: String,
    patient: String,
    sequence: Sequence,
    tips: Tips,
    detections: Detections,
    froc: Froc,
}

#[derive(Default)]
struct Tips {
    labelled: usize,
    error_px: Vec<f32>,
    error_percent: Vec<f32>,
}

/// Collects clips and pictures.
pub struct Tracking {
    known: Vec<ClassId>,
    cases: Vec<Case>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ClipFigures {
    pub name: String,
    pub patient: String,
    pub frames: usize,
    #[serde(flatten)]
    pub follows: Follows,
    pub tip_error_px: Spread,
    pub tip_error_percent: Spread,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Follows {
    pub hota: Hota,
    pub identity: Identity,
    pub clear: Clear,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct TrackingSummary {
    pub clips: Vec<ClipFigures>,
    /// Over all clips, as TrackEval combines sequences; intervals over patients.
    pub combined: Follows,
    pub hota: Option<Interval>,
    pub idf1: Option<Interval>,
    pub mota: Option<Interval>,
    pub tips_labelled: usize,
    pub tips_found: usize,
    pub tip_error_px: Spread,
    /// Parts of the width; the interval is of the median.
    pub tip_error_percent_spread: Spread,
    pub tip_error_percent: Option<Interval>,
    pub boxes_labelled: usize,
    /// COCO's mean average precision.
    pub map: Option<Interval>,
    pub average_precision: BTreeMap<String, AveragePrecision>,
    pub froc: Vec<FrocPoint>,
}

impl TrackingSummary {
    /// By the name that a plan gives it.
    pub fn metric(&self, name: &str) -> Option<Interval> {
        match name {
            "hota" => self.hota,
            "idf1" => self.idf1,
            "mota" => self.mota,
            "tip_error_percent" => self.tip_error_percent,
            "map" => self.map,
            _ => None,
        }
    }
}

impl Tracking {
    /// `known`: what the engine tells apart.
    pub fn new(known: Vec<ClassId>) -> Self {
        Tracking { known, cases: Vec::new() }
    }

    pub fn is_empty(&self) -> bool {
        self.cases.is_empty()
    }

    /// The frames that are pushed next are of this clip.
    pub fn begin_clip(&mut self, name: &str, patient: Option<&str>) {
        let patient = patient.unwrap_or(NOBODY).to_owned();
        let (sequence, tips, detections, froc) = Default::default();
        self.cases.push(Case { name: name.to_owned(), patient, sequence, tips, detections, froc });
    }

    /// The next frame of the clip.
    pub fn push_frame(&mut self, things: &[Thing], scene: &Scene) {
        let things = self.counted(things);
        let Some(case) = self.cases.last_mut() else { return };
        let ids: Vec<u32> = things.iter().enumerate().map(|(place, (thing, _))| thing.id.unwrap_or(place as u32)).collect();
        let found: Vec<u32> = scene.tracks.iter().map(|track| track.id.0).collect();
        case.sequence.push(&ids, &found, |row, column| likeness(things[row].0, &scene.tracks[column], scene.picture[0]));
        case.look(&things, scene);
    }

    /// A picture of its own.
    pub fn push_picture(&mut self, name: &str, patient: Option<&str>, things: &[Thing], scene: &Scene) {
        self.begin_clip(name, patient);
        let things = self.counted(things);
        self.cases.iter_mut().last().into_iter().for_each(|case| case.look(&things, scene));
    }

    /// Those of a class that the engine could find, and as which.
    fn counted<'t>(&self, things: &'t [Thing]) -> Vec<(&'t Thing, ClassId)> {
        let each = things.iter().map(|thing| (thing, ClassId(counted_as(&thing.class, &self.known))));
        each.filter(|(_, class)| *class != ClassId::BACKGROUND).collect()
    }

    pub fn summary(&self) -> TrackingSummary {
        let of = |wanted: fn(&Case) -> bool| -> Vec<Vec<&Case>> {
            let mut patients: BTreeMap<&str, Vec<&Case>> = BTreeMap::new();
            self.cases.iter().filter(|case| wanted(case)).for_each(|case| patients.entry(&case.patient).or_default().push(case));
            patients.into_values().collect()
        };
        let clips = of(|case| case.sequence.frames() > 0);
        let follows = |figure: fn(&Sequence) -> f32| {
            let figure = |drawn: &[&Vec<&Case>]| (!drawn.is_empty()).then(|| f64::from(figure(&together(drawn))));
            bootstrap::interval(&clips, |_| true, figure)
        };
        let tips = of(|case| !case.tips.error_percent.is_empty());
        let percents = |drawn: &[&Vec<&Case>]| {
            let values = drawn.iter().flat_map(|patient| patient.iter()).flat_map(|case| &case.tips.error_percent);
            median(values.map(|v| f64::from(*v)).collect())
        };
        let boxes = of(|case| case.detections.labels() > 0);
        let precision = |drawn: &[&Vec<&Case>]| {
            let mut all = Detections::default();
            drawn.iter().flat_map(|patient| patient.iter()).for_each(|case| all.append(&case.detections));
            all.average_precision(None).map(|of| of.map)
        };
        let (mut detections, mut froc) = (Detections::default(), Froc::default());
        for case in &self.cases {
            detections.append(&case.detections);
            froc.append(&case.froc);
        }
        let all = |values: fn(&Tips) -> &Vec<f32>| -> Vec<f32> { self.cases.iter().flat_map(|case| values(&case.tips)).copied().collect() };
        let of_class = |class: ClassId| Some((classes::table().name(class).to_owned(), detections.average_precision(Some(class))?));
        let mut curve = froc.curve();
        let step = curve.len().div_ceil(FROC_POINTS).max(1);
        let last = curve.last().copied();
        curve = curve.into_iter().step_by(step).collect();
        curve.extend(last.filter(|last| curve.last() != Some(last)));
        TrackingSummary {
            clips: self.cases.iter().filter(|case| case.sequence.frames() > 0).map(Case::figures).collect(),
            combined: if clips.is_empty() { Follows::default() } else { Follows::of(&together(&clips.iter().collect::<Vec<_>>())) },
            hota: follows(|sequence| sequence.hota().hota),
            idf1: follows(|sequence| sequence.identity().idf1),
            mota: follows(|sequence| sequence.clear().mota),
            tips_labelled: self.cases.iter().map(|case| case.tips.labelled).sum(),
            tips_found: all(|tips| &tips.error_px).len(),
            tip_error_px: Spread::of(&all(|tips| &tips.error_px)),
            tip_error_percent_spread: Spread::of(&all(|tips| &tips.error_percent)),
            tip_error_percent: bootstrap::interval(&tips, |_| true, percents),
            boxes_labelled: detections.labels(),
            map: bootstrap::interval(&boxes, |_| true, precision),
            average_precision: detections.classes().into_iter().filter_map(of_class).collect(),
            froc: curve,
        }
    }
}

fn together(patients: &[&Vec<&Case>]) -> Sequence {
    let mut all = Sequence::default();
    patients.iter().flat_map(|patient| patient.iter()).for_each(|case| all.append(&case.sequence));
    all
}

impl Follows {
    fn of(sequence: &Sequence) -> Self {
        Follows { hota: sequence.hota(), identity: sequence.identity(), clear: sequence.clear() }
    }
}

impl Case {
    fn figures(&self) -> ClipFigures {
        ClipFigures {
            name: self.name.clone(),
            patient: self.patient.clone(),
            frames: self.sequence.frames(),
            follows: Follows::of(&self.sequence),
            tip_error_px: Spread::of(&self.tips.error_px),
            tip_error_percent: Spread::of(&self.tips.error_percent),
        }
    }

    /// Boxes and tips of one picture.
    fn look(&mut self, things: &[(&Thing, ClassId)], scene: &Scene) {
        let width = scene.picture[0] as f32;
        for (thing, tip) in things.iter().filter_map(|(thing, _)| Some((thing, thing.tip?))) {
            self.tips.labelled += 1;
            if let Some(px) = tip_error(thing, tip, scene) {
                self.tips.error_px.push(px);
                self.tips.error_percent.push(100.0 * px / width);
            }
        }
        let labels: Vec<Label> = things.iter().filter_map(|(thing, class)| Some(Label { class: *class, bbox: thing.bbox? })).collect();
        // Where things are labelled by their tips alone, nothing is known of boxes.
        if labels.len() == things.len() {
            let tracks = scene.tracks.iter().map(|of| Mark { class: of.class, confidence: of.confidence, bbox: of.bbox });
            let findings = scene.findings.iter().map(|of| Mark { class: of.class, confidence: of.confidence, bbox: of.bbox });
            let marks: Vec<Mark> = tracks.chain(findings).collect();
            self.detections.push(&marks, &labels);
            self.froc.add(&marks, &labels);
        }
    }
}

/// px; None where it was not found.
fn tip_error(thing: &Thing, tip: [f32; 2], scene: &Scene) -> Option<f32> {
    let distance = |track: &Track| track.tip.map(|found| (found[0] - tip[0]).hypot(found[1] - tip[1]));
    match thing.bbox {
        Some(bbox) => {
            let iou = |track: &Track| box_iou(bbox, track.bbox);
            let best = scene.tracks.iter().max_by(|a, b| iou(a).total_cmp(&iou(b))).filter(|track| iou(track) >= SAME_BOX)?;
            distance(best)
        }
        None => {
            let near = scene.tracks.iter().filter_map(distance).min_by(f32::total_cmp)?;
            (near <= TIP_REACH * scene.picture[0] as f32).then_some(near)
        }
    }
}

fn likeness(thing: &Thing, track: &Track, width: u32) -> f32 {
    match (thing.bbox, thing.tip, track.tip) {
        (Some(bbox), _, _) => box_iou(bbox, track.bbox),
        (None, Some(a), Some(b)) => (1.0 - (a[0] - b[0]).hypot(a[1] - b[1]) / (TIP_REACH * width as f32)).max(0.0),
        _ => 0.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eval::testing::{scene_of, track_at};

    fn thing(id: u32, x: f32) -> Thing {
        Thing { id: Some(id), class: "grasper".into(), bbox: Some([x, 0.0, x + 20.0, 20.0]), tip: Some([x + 20.0, 20.0]), clear: None }
    }

    #[test]
    fn clips_are_followed_apart_and_put_together() {
        let mut tracking = Tracking::new(vec![ClassId(13)]);
        for (name, offset) in [("a.mkv", 0.0), ("b.mkv", 2.0)] {
            tracking.begin_clip(name, Some(name));
            for frame in 0..10 {
                let x = frame as f32;
                // What the engine cannot find counts nowhere.
                let liver = Thing { class: "liver".into(), ..thing(9, 100.0) };
                tracking.push_frame(&[thing(1, x), liver], &scene_of(vec![track_at(4, x + offset)]));
            }
        }
        let summary = tracking.summary();
        assert_eq!((summary.clips.len(), summary.clips[0].frames), (2, 10));
        assert_eq!((summary.clips[0].follows.hota.hota, summary.combined.clear.mota, summary.combined.clear.truth), (1.0, 1.0, 20));
        assert!(summary.combined.hota.hota < 1.0 && summary.clips[1].follows.hota.hota < summary.combined.hota.hota);
        assert_eq!((summary.tips_labelled, summary.tips_found, summary.tip_error_px.max), (20, 20, 2.0));
        assert_eq!(summary.tip_error_percent.unwrap().value, 0.5);
        assert_eq!((summary.hota.unwrap().patients, summary.hota.unwrap().low), (2, None));
        assert_eq!(summary.average_precision["instrument"].at_50, 1.0);
        assert_eq!(summary.froc.last().unwrap().sensitivity, 1.0);
    }

    #[test]
    fn tips_alone_are_matched_by_their_distance() {
        let mut tracking = Tracking::new(vec![ClassId(13)]);
        let tip = |id, x: f32| Thing { bbox: None, ..thing(id, x) };
        tracking.begin_clip("joints.avi", None);
        // 4 px of a width of 200: alike to 0.8. 15 px: to 0.25, found but not followed.
        tracking.push_frame(&[tip(1, 50.0), tip(2, 100.0)], &scene_of(vec![track_at(7, 54.0), track_at(8, 115.0)]));
        let summary = tracking.summary();
        assert_eq!((summary.combined.clear.missed, summary.combined.clear.invented), (1, 1));
        assert!((summary.combined.identity.recall - 0.5).abs() < 1e-6);
        assert_eq!((summary.tips_found, summary.boxes_labelled, summary.map.is_none()), (2, 0, true));
    }

    #[test]
    fn single_pictures_have_boxes_and_no_tracks() {
        let mut tracking = Tracking::new(vec![ClassId(13)]);
        tracking.push_picture("a.png", None, &[thing(1, 10.0)], &scene_of(vec![track_at(1, 10.0), track_at(2, 120.0)]));
        tracking.push_picture("b.png", None, &[], &scene_of(vec![]));
        let summary = tracking.summary();
        assert!(summary.clips.is_empty() && summary.hota.is_none());
        assert_eq!((summary.boxes_labelled, summary.average_precision["instrument"].map), (1, 1.0));
        assert_eq!(summary.froc.last().unwrap().false_marks_a_frame, 0.5);
    }
}
