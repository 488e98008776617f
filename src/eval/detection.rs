//! Average precision of boxes as COCO computes it (Lin et al. 2014; `cocoeval`): precision at 101 recalls, at overlaps of .50 to .95,
//! mean over classes; at most 100 boxes a picture. Sizes and crowds are not told apart.

use super::froc::{Label, Mark};
use super::overlap::box_iou_f64;
use crate::base::ids::ClassId;
use serde::Serialize;
use std::collections::BTreeSet;

const OVERLAPS: usize = 10;
const RECALLS: usize = 101;
const MOST_MARKS: usize = 100;

fn overlap(index: usize) -> f64 {
    // As numpy.linspace(.5, .95, 10) has it, and as cocoeval bounds it.
    (0.5 + 0.45 * index as f64 / (OVERLAPS - 1) as f64).min(1.0 - 1e-10)
}

/// Pictures with what was marked and what is labelled, in order.
#[derive(Debug, Clone, Default)]
pub struct Detections {
    pictures: Vec<(Vec<Mark>, Vec<Label>)>,
}

/// Each 0..1.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct AveragePrecision {
    /// Mean over overlaps .50:.05:.95.
    pub map: f64,
    pub at_50: f64,
    pub at_75: f64,
}

impl Detections {
    pub fn push(&mut self, marks: &[Mark], labels: &[Label]) {
        let mut marks = marks.to_vec();
        // Stable, as cocoeval's merge sort: equals stay in their order.
        marks.sort_by(|a, b| b.confidence.total_cmp(&a.confidence));
        self.pictures.push((marks, labels.to_vec()));
    }

    pub fn append(&mut self, other: &Detections) {
        self.pictures.extend_from_slice(&other.pictures);
    }

    pub fn labels(&self) -> usize {
        self.pictures.iter().map(|(_, labels)| labels.len()).sum()
    }

    pub fn classes(&self) -> BTreeSet<ClassId> {
        self.pictures.iter().flat_map(|(_, labels)| labels.iter().map(|label| label.class)).collect()
    }

    /// Of one class, or the mean over all that are labelled. None where none is.
    pub fn average_precision(&self, class: Option<ClassId>) -> Option<AveragePrecision> {
        let classes: Vec<ClassId> = self.classes().into_iter().filter(|of| class.is_none_or(|class| class == *of)).collect();
        let mut sums = [0.0; OVERLAPS];
        for &class in &classes {
            for (index, sum) in sums.iter_mut().enumerate() {
                *sum += self.at(class, overlap(index));
            }
        }
        let count = classes.len() as f64;
        let mean = sums.iter().sum::<f64>() / OVERLAPS as f64 / count;
        (!classes.is_empty()).then(|| AveragePrecision { map: mean, at_50: sums[0] / count, at_75: sums[5] / count })
    }

    fn at(&self, class: ClassId, least: f64) -> f64 {
        // Confidence of each mark, and whether it is right.
        let mut judged: Vec<(f32, bool)> = Vec::new();
        let mut labelled = 0;
        for (marks, labels) in &self.pictures {
            let labels: Vec<&Label> = labels.iter().filter(|label| label.class == class).collect();
            labelled += labels.len();
            let mut taken = vec![false; labels.len()];
            for mark in marks.iter().filter(|mark| mark.class == class).take(MOST_MARKS) {
                let (mut best, mut of) = (least, None);
                for (index, label) in labels.iter().enumerate().filter(|(index, _)| !taken[*index]) {
                    let overlap = box_iou_f64(mark.bbox, label.bbox);
                    if overlap >= best {
                        (best, of) = (overlap, Some(index));
                    }
                }
                of.into_iter().for_each(|index| taken[index] = true);
                judged.push((mark.confidence, of.is_some()));
            }
        }
        judged.sort_by(|a, b| b.0.total_cmp(&a.0));
        let (mut right, mut curve) = (0, Vec::with_capacity(judged.len()));
        for (count, (_, is_right)) in judged.iter().enumerate() {
            right += usize::from(*is_right);
            curve.push((right as f64 / labelled as f64, right as f64 / (count + 1) as f64));
        }
        for i in (1..curve.len()).rev() {
            curve[i - 1].1 = curve[i - 1].1.max(curve[i].1);
        }
        let precision = |step: usize| {
            let recall = step as f64 / (RECALLS - 1) as f64;
            curve.get(curve.partition_point(|point| point.0 < recall)).map_or(0.0, |point| point.1)
        };
        (0..RECALLS).map(precision).sum::<f64>() / RECALLS as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(x: f32, confidence: f32) -> Mark {
        Mark { class: ClassId(5), confidence, bbox: [x, 0.0, x + 10.0, 10.0] }
    }

    fn label(x: f32) -> Label {
        Label { class: ClassId(5), bbox: [x, 0.0, x + 10.0, 10.0] }
    }

    #[test]
    fn perfect_boxes_are_perfect_and_none_are_nothing() {
        let mut detections = Detections::default();
        detections.push(&[mark(0.0, 0.5), mark(40.0, 0.9)], &[label(0.0), label(40.0)]);
        assert_eq!(detections.average_precision(None), Some(AveragePrecision { map: 1.0, at_50: 1.0, at_75: 1.0 }));
        assert_eq!(detections.average_precision(Some(ClassId(9))), None);
        let mut nothing = Detections::default();
        nothing.push(&[], &[label(0.0)]);
        assert_eq!(nothing.average_precision(None).unwrap().map, 0.0);
    }

    #[test]
    fn one_found_one_missed_one_invented_by_hand() {
        let mut detections = Detections::default();
        // IoU of the first: 9/11 = .818, right up to .80 (seven of ten overlaps). The invented one is less sure.
        detections.push(&[mark(1.0, 0.9), mark(80.0, 0.4)], &[label(0.0), label(40.0)]);
        let of = detections.average_precision(Some(ClassId(5))).unwrap();
        // Precision 1 up to recall .5: 51 of 101 recalls.
        let half = 51.0 / 101.0;
        assert!((of.at_50 - half).abs() < 1e-12 && (of.at_75 - half).abs() < 1e-12 && (of.map - 0.7 * half).abs() < 1e-12, "{of:?}");
        // A second mark on the same thing is wrong.
        let mut twice = Detections::default();
        twice.push(&[mark(0.0, 0.9), mark(0.0, 0.8)], &[label(0.0)]);
        assert_eq!(twice.average_precision(None).unwrap().at_50, 1.0);
        twice.push(&[], &[label(0.0)]);
        assert!((twice.average_precision(None).unwrap().at_50 - half).abs() < 1e-12);
    }
}
