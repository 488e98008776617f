//! FROC of a finder of findings (CADe): how many of the labelled findings are hit, against how many marks a frame hit nothing,
//! over all thresholds (free-response receiver operating characteristic; Chakraborty, Med. Phys. 16 (1989) 561).
//! A mark hits a finding of its frame and class if its centre lies in the finding's box, as is customary for polyps
//! (Bernal et al., IEEE TMI 36 (2017) 1231); one finding is hit once, further marks on it count neither way.

use crate::base::ids::ClassId;
use serde::Serialize;

/// A box that a finder marked.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Mark {
    pub class: ClassId,
    /// 0..1
    pub confidence: f32,
    pub bbox: [f32; 4],
}

/// A box that is labelled.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Label {
    pub class: ClassId,
    pub bbox: [f32; 4],
}

/// What counting marks of at least `threshold` gives.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct FrocPoint {
    pub threshold: f32,
    /// Part of the labelled findings that are hit.
    pub sensitivity: f64,
    pub false_marks_a_frame: f64,
}

/// Collects frames, then tells the curve.
#[derive(Debug, Clone, Default)]
pub struct Froc {
    frames: usize,
    labels: usize,
    /// The highest confidence that hit each label that was hit at all.
    hits: Vec<f32>,
    misses: Vec<f32>,
}

impl Froc {
    /// One frame: what was marked and what is there. Confidences that are no number count as 0.
    pub fn add(&mut self, marks: &[Mark], labels: &[Label]) {
        self.frames += 1;
        self.labels += labels.len();
        let confidence = |mark: &Mark| if mark.confidence.is_finite() { mark.confidence } else { 0.0 };
        for label in labels {
            let on_it = marks.iter().filter(|mark| is_on(mark, label)).map(confidence);
            self.hits.extend(on_it.max_by(f32::total_cmp));
        }
        let on_nothing = marks.iter().filter(|mark| !labels.iter().any(|label| is_on(mark, label)));
        self.misses.extend(on_nothing.map(confidence));
    }

    /// Frames of another study.
    pub fn append(&mut self, other: &Froc) {
        (self.frames, self.labels) = (self.frames + other.frames, self.labels + other.labels);
        self.hits.extend_from_slice(&other.hits);
        self.misses.extend_from_slice(&other.misses);
    }

    /// A point for each confidence that occurred, the highest (fewest marks) first. Empty without frames or labels.
    pub fn curve(&self) -> Vec<FrocPoint> {
        if self.labels == 0 {
            return Vec::new();
        }
        let (mut hits, mut misses) = (self.hits.clone(), self.misses.clone());
        hits.sort_by(|a, b| b.total_cmp(a));
        misses.sort_by(|a, b| b.total_cmp(a));
        let mut thresholds: Vec<f32> = hits.iter().chain(&misses).copied().collect();
        thresholds.sort_by(|a, b| b.total_cmp(a));
        thresholds.dedup();
        let at_least = |sorted: &[f32], threshold: f32| sorted.partition_point(|&confidence| confidence >= threshold) as f64;
        let point = |threshold| FrocPoint {
            threshold,
            sensitivity: at_least(&hits, threshold) / self.labels as f64,
            false_marks_a_frame: at_least(&misses, threshold) / self.frames as f64,
        };
        thresholds.into_iter().map(point).collect()
    }

    /// The highest sensitivity with at most this many false marks a frame; 0 where no threshold keeps to it. None without labels.
    pub fn sensitivity_at(&self, false_marks_a_frame: f64) -> Option<f64> {
        let kept = self.curve().into_iter().filter(|point| point.false_marks_a_frame <= false_marks_a_frame);
        (self.labels > 0).then(|| kept.map(|point| point.sensitivity).fold(0.0, f64::max))
    }
}

fn is_on(mark: &Mark, label: &Label) -> bool {
    let centre = [(mark.bbox[0] + mark.bbox[2]) / 2.0, (mark.bbox[1] + mark.bbox[3]) / 2.0];
    let [x0, y0, x1, y1] = label.bbox;
    mark.class == label.class && (x0..x1).contains(&centre[0]) && (y0..y1).contains(&centre[1])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn mark(x: f32, confidence: f32) -> Mark {
        Mark { class: ClassId(32), confidence, bbox: [x - 5.0, 0.0, x + 5.0, 10.0] }
    }

    fn label(x: f32) -> Label {
        Label { class: ClassId(32), bbox: [x - 5.0, 0.0, x + 5.0, 10.0] }
    }

    #[test]
    fn a_small_study_counted_by_hand() {
        let mut froc = Froc::default();
        // Hit at 0.9 (twice, counted once), missed 0.8; nothing there but a mark at 0.4; hit at 0.3; one never hit.
        froc.add(&[mark(10.0, 0.9), mark(12.0, 0.5), mark(80.0, 0.8)], &[label(10.0)]);
        froc.add(&[mark(50.0, 0.4)], &[]);
        froc.add(&[mark(20.0, 0.3)], &[label(20.0), label(70.0)]);
        froc.add(&[], &[]);
        let told: Vec<(f32, f64, f64)> = froc.curve().iter().map(|p| (p.threshold, p.sensitivity, p.false_marks_a_frame)).collect();
        let third = 1.0 / 3.0;
        assert_eq!(told, [(0.9, third, 0.0), (0.8, third, 0.25), (0.4, third, 0.5), (0.3, 2.0 * third, 0.5)]);
        assert_eq!([0.0, 0.25, 0.5].map(|most| froc.sensitivity_at(most).unwrap()), [third, third, 2.0 * third]);
    }

    #[test]
    fn another_class_hits_nothing_and_without_labels_there_is_no_curve() {
        let mut froc = Froc::default();
        froc.add(&[Mark { class: ClassId(33), ..mark(10.0, 0.9) }], &[label(10.0)]);
        assert_eq!(froc.sensitivity_at(10.0), Some(0.0));
        let mut empty = Froc::default();
        empty.add(&[mark(10.0, 0.9)], &[]);
        assert!(empty.curve().is_empty() && empty.sensitivity_at(1.0).is_none());
    }

    /// Marks (place, confidence) and labels (place).
    type Frame = (Vec<(f32, f32)>, Vec<f32>);

    fn frames() -> impl Strategy<Value = Vec<Frame>> {
        let marks = proptest::collection::vec((0.0f32..200.0, 0.0f32..1.0), 0..8);
        proptest::collection::vec((marks, proptest::collection::vec(0.0f32..200.0, 0..4)), 1..12)
    }

    proptest! {
        /// Both axes rise as the threshold falls, and stay within what is there.
        #[test]
        fn the_curve_rises_and_is_bounded(frames in frames()) {
            let mut froc = Froc::default();
            for (marks, labels) in &frames {
                let marks: Vec<Mark> = marks.iter().map(|&(x, c)| mark(x, c)).collect();
                froc.add(&marks, &labels.iter().map(|&x| label(x)).collect::<Vec<_>>());
            }
            let curve = froc.curve();
            for pair in curve.windows(2) {
                prop_assert!(pair[0].threshold > pair[1].threshold);
                prop_assert!(pair[0].sensitivity <= pair[1].sensitivity && pair[0].false_marks_a_frame <= pair[1].false_marks_a_frame);
            }
            let marks: usize = frames.iter().map(|(marks, _)| marks.len()).sum();
            for point in &curve {
                prop_assert!((0.0..=1.0).contains(&point.sensitivity));
                prop_assert!(point.false_marks_a_frame <= marks as f64 / frames.len() as f64);
            }
        }

        /// A finder that marks just what is labelled is perfect; false marks below it cost it nothing at its threshold.
        #[test]
        fn a_perfect_finder_is_perfect(frames in frames(), confidence in 0.5f32..1.0) {
            let mut froc = Froc::default();
            for (noise, labels) in &frames {
                let labels: Vec<Label> = labels.iter().map(|&x| label(x)).collect();
                let sure = labels.iter().map(|l| Mark { class: l.class, confidence, bbox: l.bbox });
                let marks: Vec<Mark> = sure.chain(noise.iter().map(|&(x, c)| mark(x, c * 0.4))).collect();
                froc.add(&marks, &labels);
            }
            if frames.iter().any(|(_, labels)| !labels.is_empty()) {
                prop_assert_eq!(froc.sensitivity_at(0.0), Some(1.0));
            }
        }

        /// Only the order of confidences matters: squaring them leaves the curve's points where they were.
        #[test]
        fn only_the_order_of_confidences_matters(frames in frames()) {
            let (mut plain, mut squared) = (Froc::default(), Froc::default());
            for (marks, labels) in &frames {
                let labels: Vec<Label> = labels.iter().map(|&x| label(x)).collect();
                // In steps, so that no two fall together when they are squared.
                let marks: Vec<Mark> = marks.iter().map(|&(x, c)| mark(x, (c * 64.0).round() / 64.0)).collect();
                plain.add(&marks, &labels);
                squared.add(&marks.iter().map(|m| Mark { confidence: m.confidence * m.confidence, ..*m }).collect::<Vec<_>>(), &labels);
            }
            let points = |froc: &Froc| froc.curve().iter().map(|p| (p.sensitivity, p.false_marks_a_frame)).collect::<Vec<_>>();
            prop_assert_eq!(points(&plain), points(&squared));
        }
    }
}
