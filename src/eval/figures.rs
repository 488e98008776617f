//! What a validation says: the figures of a class, of all classes and subgroups, and the verdict on a plan's end points.

use super::bootstrap::{ENOUGH_PATIENTS, Interval};
use super::calibration::ReliabilityBin;
use super::plan::{EndPoint, Plan};
use super::prevalence::Prevalence;
use super::tracking::TrackingSummary;
use serde::Serialize;
use std::collections::BTreeMap;

#[derive(Debug, Clone, PartialEq, Serialize, Default)]
pub struct Figures {
    pub class: String,
    /// In which it is, or was found.
    pub pictures: usize,
    /// Of pixels pooled over pictures.
    pub dice: Option<Interval>,
    pub iou: Option<Interval>,
    /// Mean over pictures.
    pub dice_a_picture: Option<Interval>,
    /// px; median over pictures in which both have it.
    pub hd95_px: Option<Interval>,
    /// Pictures in which only one of both has it: they have no distance.
    pub hd95_one_sided: usize,
    /// Mean over pictures.
    pub boundary_f1: Option<Interval>,
    pub sensitivity: Option<Interval>,
    pub specificity: Option<Interval>,
    pub ppv: Option<Interval>,
    pub auroc: Option<Interval>,
    /// What counting in bins can have changed of it at most.
    pub auroc_ties: Option<f64>,
    pub ece: Option<Interval>,
    /// Within `BAND_PX` of a boundary of the labels.
    pub ece_boundary: Option<Interval>,
    /// Of pictures, not pixels.
    pub picture_sensitivity: Option<Interval>,
    pub ppv_at_prevalence: Option<Interval>,
    pub false_positives_a_minute: Option<Interval>,
    /// (1 − specificity, sensitivity)
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub roc: Vec<[f64; 2]>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub reliability: Vec<ReliabilityBin>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Worst {
    pub image: String,
    pub class: String,
    pub iou: f64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Default)]
pub struct Summary {
    pub pictures: usize,
    pub patients: usize,
    pub prevalence: Option<Prevalence>,
    /// Part of the labelled pixels of which the engine said something.
    pub coverage: Option<Interval>,
    pub classes: Vec<Figures>,
    pub subgroups: BTreeMap<String, Vec<Figures>>,
    pub worst: Vec<Worst>,
}

impl Figures {
    /// By the name that a plan gives it.
    pub fn metric(&self, name: &str) -> Option<Interval> {
        match name {
            "dice" => self.dice,
            "iou" => self.iou,
            "dice_a_picture" => self.dice_a_picture,
            "hd95_px" => self.hd95_px,
            "boundary_f1" => self.boundary_f1,
            "sensitivity" => self.sensitivity,
            "specificity" => self.specificity,
            "ppv" => self.ppv,
            "auroc" => self.auroc,
            "ece" => self.ece,
            "ece_boundary" => self.ece_boundary,
            "picture_sensitivity" => self.picture_sensitivity,
            "ppv_at_prevalence" => self.ppv_at_prevalence,
            "false_positives_a_minute" => self.false_positives_a_minute,
            _ => None,
        }
    }
}

/// What became of one end point.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Verdict {
    #[serde(flatten)]
    pub end_point: EndPoint,
    pub met: bool,
    pub figure: Option<Interval>,
    /// For people: why it is met, or not.
    pub reason: String,
}

/// Each of a plan's end points; then what else it asks for and is not there.
pub fn judge(plan: &Plan, summary: &Summary, tracking: Option<&TrackingSummary>) -> (Vec<Verdict>, Vec<String>) {
    let verdicts = plan.end_points.iter().map(|end_point| verdict(end_point, summary, tracking)).collect();
    let mut missing = Vec::new();
    if summary.patients < plan.patients {
        missing.push(format!("{} patients, of {} that the plan asks for", summary.patients, plan.patients));
    }
    if summary.pictures < plan.pictures {
        missing.push(format!("{} pictures, of {} that the plan asks for", summary.pictures, plan.pictures));
    }
    let absent = plan.subgroups.iter().filter(|group| !summary.subgroups.contains_key(*group));
    missing.extend(absent.map(|group| format!("no picture of the subgroup '{group}'")));
    (verdicts, missing)
}

fn verdict(end_point: &EndPoint, summary: &Summary, tracking: Option<&TrackingSummary>) -> Verdict {
    let figure = match (&end_point.class, &end_point.subgroup) {
        (None, _) => tracking.and_then(|tracking| tracking.metric(&end_point.metric)),
        (Some(class), None) => metric_of(&summary.classes, class, &end_point.metric),
        (Some(class), Some(group)) => summary.subgroups.get(group).and_then(|group| metric_of(group, class, &end_point.metric)),
    };
    let (met, reason) = match figure {
        None => (false, "there is no such figure in this data".to_owned()),
        Some(of) if of.patients < end_point.patients.max(ENOUGH_PATIENTS) => {
            (false, format!("insufficient: {} patients, {} needed", of.patients, end_point.patients.max(ENOUGH_PATIENTS)))
        }
        Some(of) => against(of, end_point),
    };
    Verdict { end_point: end_point.clone(), met, figure, reason }
}

/// The whole interval has to be on the right side.
fn against(of: Interval, end_point: &EndPoint) -> (bool, String) {
    match (of.low, of.high, end_point.at_least, end_point.at_most) {
        (Some(low), _, Some(limit), _) if low >= limit => (true, format!("lower bound {low:.3} ≥ {limit}")),
        (Some(low), _, Some(limit), _) => (false, format!("lower bound {low:.3} < {limit}")),
        (_, Some(high), _, Some(limit)) if high <= limit => (true, format!("upper bound {high:.3} ≤ {limit}")),
        (_, Some(high), _, Some(limit)) => (false, format!("upper bound {high:.3} > {limit}")),
        _ => (false, "insufficient: there is no interval".to_owned()),
    }
}

fn metric_of(figures: &[Figures], class: &str, metric: &str) -> Option<Interval> {
    figures.iter().find(|figures| figures.class.eq_ignore_ascii_case(class))?.metric(metric)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eval::plan::METRICS;

    fn interval(low: f64, high: f64, patients: usize) -> Option<Interval> {
        Some(Interval { value: (low + high) / 2.0, low: Some(low), high: Some(high), patients })
    }

    fn plan(end_point: &str) -> Plan {
        let text = format!("schema = 'keyhole.plan/1'\nname = 'p'\n{end_point}");
        toml::from_str(&text).unwrap()
    }

    fn summary() -> Summary {
        let liver = Figures { class: "liver".into(), iou: interval(0.7, 0.9, 9), ece: interval(0.02, 0.06, 9), ..Figures::default() };
        let few = Figures { class: "liver".into(), iou: interval(0.8, 0.9, 4), ..Figures::default() };
        Summary {
            patients: 9,
            pictures: 30,
            classes: vec![liver],
            subgroups: [("scope A".to_owned(), vec![few])].into(),
            ..Summary::default()
        }
    }

    #[test]
    fn an_end_point_is_met_by_the_bound_and_not_by_the_value() {
        for (text, met, reason) in [
            ("metric = 'iou'\nclass = 'Liver'\nat_least = 0.7", true, "lower bound 0.700 ≥ 0.7"),
            ("metric = 'iou'\nclass = 'liver'\nat_least = 0.75", false, "lower bound 0.700 < 0.75"),
            ("metric = 'ece'\nclass = 'liver'\nat_most = 0.05", false, "upper bound 0.060 > 0.05"),
            ("metric = 'ece'\nclass = 'liver'\nat_most = 0.06", true, "≤"),
            ("metric = 'iou'\nclass = 'liver'\nat_least = 0.1\npatients = 10", false, "insufficient: 9 patients, 10 needed"),
            ("metric = 'iou'\nclass = 'liver'\nsubgroup = 'scope A'\nat_least = 0.1", false, "insufficient: 4 patients, 5 needed"),
            ("metric = 'iou'\nclass = 'fat'\nat_least = 0.1", false, "no such figure"),
            ("metric = 'hota'\nat_least = 0.1", false, "no such figure"),
        ] {
            let (verdicts, missing) = judge(&plan(&format!("[[end_point]]\n{text}")), &summary(), None);
            assert!(verdicts[0].met == met && verdicts[0].reason.contains(reason), "{text}: {:?}", verdicts[0]);
            assert!(missing.is_empty());
        }
        let asks = "patients = 10\npictures = 31\nsubgroups = ['scope A', 'scope B']\n[[end_point]]\nmetric = 'iou'\nclass = 'liver'\nat_least = 0.1";
        assert_eq!(judge(&plan(asks), &summary(), None).1.len(), 3);
    }

    #[test]
    fn every_metric_that_a_plan_may_name_is_told() {
        let one = interval(0.5, 0.6, 5);
        let figures = Figures {
            dice: one,
            iou: one,
            dice_a_picture: one,
            hd95_px: one,
            boundary_f1: one,
            sensitivity: one,
            specificity: one,
            ppv: one,
            auroc: one,
            ece: one,
            ece_boundary: one,
            picture_sensitivity: one,
            ppv_at_prevalence: one,
            false_positives_a_minute: one,
            ..Figures::default()
        };
        let tracking = TrackingSummary { hota: one, idf1: one, mota: one, tip_error_percent: one, map: one, ..TrackingSummary::default() };
        for metric in METRICS {
            assert!(figures.metric(metric).or(tracking.metric(metric)).is_some(), "{metric}");
        }
    }
}
