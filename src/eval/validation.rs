//! Masks against labels, picture by picture: figures of each class with what other patients would make of them, by subgroup,
//! and the worst cases.

use super::bootstrap::{self, Interval};
use super::boundary::Borders;
use super::labelled::{IGNORE, Labelled, Mask};
use super::regions::Counts;
use crate::base::classes;
use crate::base::ids::ClassId;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// Border pixels this near, part of the picture's diagonal, are the same (Csurka et al. 2013).
const BORDER_TOLERANCE: f64 = 0.0075;
const WORST: usize = 10;
/// Whose pictures nobody named.
const NOBODY: &str = "not stated";

/// What was found in one picture, at its size.
struct Case {
    name: String,
    patient: String,
    subgroups: Vec<String>,
    classes: Vec<ClassCase>,
    /// Labelled pixels, and those of them of which something was said.
    labelled: u64,
    said: u64,
}

#[derive(Debug, Clone, Copy)]
struct ClassCase {
    counts: Counts,
    /// px
    hd95: Option<f64>,
    f1: Option<f64>,
}

pub struct Validation {
    classes: Vec<ClassId>,
    cases: Vec<Case>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Figures {
    pub class: String,
    /// In which it is, or was found.
    pub pictures: usize,
    pub dice: Option<Interval>,
    pub iou: Option<Interval>,
    pub sensitivity: Option<Interval>,
    pub specificity: Option<Interval>,
    pub ppv: Option<Interval>,
    /// px; median over pictures in which both have it.
    pub hd95_px: Option<Interval>,
    /// Mean over pictures.
    pub boundary_f1: Option<Interval>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Worst {
    pub image: String,
    pub class: String,
    pub iou: f64,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Summary {
    pub pictures: usize,
    pub patients: usize,
    /// Share of the labelled pixels of which the engine said something.
    pub coverage: Option<Interval>,
    pub classes: Vec<Figures>,
    pub subgroups: BTreeMap<String, Vec<Figures>>,
    pub worst: Vec<Worst>,
}

impl Validation {
    /// `classes`: those that the engine tells apart, without background.
    pub fn new(classes: Vec<ClassId>) -> Self {
        Validation { classes, cases: Vec::new() }
    }

    pub fn classes(&self) -> &[ClassId] {
        &self.classes
    }

    /// `found`: class ids of the whole picture, of any size; 255 where the engine abstains, which counts as wrong.
    pub fn push(&mut self, picture: &Labelled, truth: &Mask, found: &Mask) {
        let at = |i: usize| {
            let (x, y) = (i % truth.width, i / truth.width);
            found.ids[(2 * y + 1) * found.height / (2 * truth.height) * found.width + (2 * x + 1) * found.width / (2 * truth.width)]
        };
        let ids: Vec<u8> = (0..truth.ids.len()).map(at).collect();
        let tolerance = BORDER_TOLERANCE * (truth.width as f64).hypot(truth.height as f64);
        let of_class = |class: &ClassId| {
            let counts = Counts::of(&truth.ids, &ids, Some(IGNORE), class.0);
            let borders = Borders::of(&truth.ids, &ids, truth.width, Some(IGNORE), class.0);
            ClassCase { counts, hd95: borders.hd95().filter(|px| px.is_finite()), f1: borders.f1(tolerance) }
        };
        let labelled = truth.ids.iter().zip(&ids).filter(|(truth, _)| **truth != IGNORE);
        self.cases.push(Case {
            name: picture.name.clone(),
            patient: picture.patient.clone().unwrap_or_else(|| NOBODY.to_owned()),
            subgroups: picture.subgroups.clone(),
            classes: self.classes.iter().map(of_class).collect(),
            labelled: labelled.clone().count() as u64,
            said: labelled.filter(|(_, found)| **found != IGNORE).count() as u64,
        });
    }

    pub fn summary(&self) -> Summary {
        let all: Vec<&Case> = self.cases.iter().collect();
        let patients = by_patient(&all);
        let groups: BTreeSet<&String> = self.cases.iter().flat_map(|case| &case.subgroups).collect();
        let of_group = |group: &String| {
            let cases: Vec<&Case> = self.cases.iter().filter(|case| case.subgroups.contains(group)).collect();
            (group.clone(), self.figures(&cases))
        };
        let coverage = bootstrap::interval(&patients, |drawn| {
            let (said, labelled) = drawn.iter().flat_map(|p| p.iter()).fold((0, 0), |sum, case| (sum.0 + case.said, sum.1 + case.labelled));
            (labelled > 0).then(|| said as f64 / labelled as f64)
        });
        Summary {
            pictures: all.len(),
            patients: patients.len(),
            coverage,
            classes: self.figures(&all),
            subgroups: groups.into_iter().map(of_group).collect(),
            worst: self.worst(),
        }
    }

    fn figures(&self, cases: &[&Case]) -> Vec<Figures> {
        let patients = by_patient(cases);
        let of_class = |(index, class): (usize, &ClassId)| {
            let each = |drawn: &[&Vec<&Case>]| drawn.iter().flat_map(|p| p.iter()).map(|case| case.classes[index]).collect::<Vec<_>>();
            let pooled = |figure: fn(Counts) -> Option<f64>| {
                bootstrap::interval(&patients, |drawn| {
                    let mut sum = Counts::default();
                    each(drawn).into_iter().for_each(|case| sum.add(case.counts));
                    figure(sum)
                })
            };
            let median = |values: Vec<f64>| {
                let mut values = values;
                values.sort_by(f64::total_cmp);
                values.get(values.len() / 2).copied()
            };
            let mean = |values: Vec<f64>| (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64);
            Figures {
                class: classes::table().name(*class).to_owned(),
                pictures: cases.iter().filter(|case| case.classes[index].counts.iou().is_some()).count(),
                dice: pooled(Counts::dice),
                iou: pooled(Counts::iou),
                sensitivity: pooled(Counts::sensitivity),
                specificity: pooled(Counts::specificity),
                ppv: pooled(Counts::ppv),
                hd95_px: bootstrap::interval(&patients, |drawn| median(each(drawn).into_iter().filter_map(|case| case.hd95).collect())),
                boundary_f1: bootstrap::interval(&patients, |drawn| mean(each(drawn).into_iter().filter_map(|case| case.f1).collect())),
            }
        };
        self.classes.iter().enumerate().map(of_class).collect()
    }

    fn worst(&self) -> Vec<Worst> {
        let mut worst: Vec<Worst> = Vec::new();
        for case in &self.cases {
            let ious = case.classes.iter().zip(&self.classes).filter_map(|(of, class)| Some((of.counts.iou()?, class)));
            worst.extend(ious.map(|(iou, class)| Worst { image: case.name.clone(), class: classes::table().name(*class).to_owned(), iou }));
        }
        worst.sort_by(|a, b| a.iou.total_cmp(&b.iou));
        worst.truncate(WORST);
        worst
    }
}

fn by_patient<'a>(cases: &[&'a Case]) -> Vec<Vec<&'a Case>> {
    let mut patients: BTreeMap<&str, Vec<&Case>> = BTreeMap::new();
    for case in cases {
        patients.entry(&case.patient).or_default().push(case);
    }
    patients.into_values().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture(name: &str, patient: &str, group: &str) -> Labelled {
        let (image, mask) = (name.into(), name.into());
        Labelled { name: name.into(), image, mask, patient: Some(patient.into()), subgroups: vec![group.into()] }
    }

    fn mask(width: usize, ids: &[u8]) -> Mask {
        Mask { width, height: ids.len() / width, ids: ids.to_vec() }
    }

    #[test]
    fn figures_pool_pixels_by_class_and_subgroup_and_name_the_worst() {
        let mut validation = Validation::new(vec![ClassId(2), ClassId(5)]);
        // Found at half the size: each of its pixels stands for four.
        let truth = mask(4, &[2, 2, 0, 0, 2, 2, 0, 255]);
        validation.push(&picture("a.png", "1", "scope A"), &truth, &mask(2, &[2, 0]));
        validation.push(&picture("b.png", "2", "scope B"), &truth, &mask(2, &[0, 255]));
        let summary = validation.summary();
        assert_eq!((summary.pictures, summary.patients), (2, 2));
        let liver = &summary.classes[0];
        assert_eq!((liver.iou.unwrap().value, liver.iou.unwrap().low, liver.iou.unwrap().patients), (0.5, None, 2));
        assert_eq!((liver.sensitivity.unwrap().value, liver.ppv.unwrap().value), (0.5, 1.0));
        assert_eq!(summary.classes[1].iou, None, "nobody has it");
        assert_eq!(summary.subgroups["scope A"][0].iou.unwrap().value, 1.0);
        assert_eq!(summary.subgroups["scope B"][0].iou.unwrap().value, 0.0);
        assert_eq!((summary.worst[0].image.as_str(), summary.worst[0].iou), ("b.png", 0.0));
        // Of 14 labelled pixels 3 were left unsaid.
        assert!((summary.coverage.unwrap().value - 11.0 / 14.0).abs() < 1e-12);
    }
}
