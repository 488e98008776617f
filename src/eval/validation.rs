//! Masks and probabilities against labels, picture by picture: figures of each class with what other patients would make of them,
//! by subgroup, and the worst cases. Pixels are pooled over a patient's pictures, patients are drawn.

use super::bootstrap;
use super::boundary::Borders;
use super::calibration::{Reliability, near_boundary};
use super::figures::{Figures, Summary, Worst};
use super::labelled::Labelled;
use super::mask::{IGNORE, Mask};
use super::prevalence::{self, Prevalence};
use super::regions::Counts;
use super::roc::{Roc, RocPairs};
use super::soft::Soft;
use crate::base::classes;
use crate::base::ids::ClassId;
use std::collections::{BTreeMap, BTreeSet};

/// Border pixels this near, part of the picture's diagonal, are the same (Csurka et al. 2013).
const BORDER_TOLERANCE: f64 = 0.0075;
/// Half the width of the band at boundaries in which calibration is told apart, px of the labelled picture.
pub const BAND_PX: usize = 10;
const WORST: usize = 20;
const CURVE_POINTS: usize = 100;
/// Whose pictures nobody named.
pub const NOBODY: &str = "not stated";

/// What was found of one class in some pictures.
#[derive(Debug, Clone, Default)]
struct OfClass {
    counts: Counts,
    /// Pictures, not pixels.
    seen: Counts,
    /// Pictures in which it is, or was found.
    pictures: usize,
    /// Of those, the ones where only one of both has it: there is no distance.
    one_sided: usize,
    /// One a picture.
    dice: Vec<f64>,
    hd95: Vec<f64>,
    f1: Vec<f64>,
    roc: Roc,
    reliability: Reliability,
    near_boundary: Reliability,
}

/// What was found in some pictures of one patient that are of the same subgroups.
#[derive(Debug, Clone, Default)]
struct Cell {
    classes: Vec<OfClass>,
    pictures: usize,
    /// Labelled pixels, and those of them of which something was said.
    labelled: u64,
    said: u64,
}

impl OfClass {
    fn add(&mut self, other: &OfClass) {
        self.counts.add(other.counts);
        self.seen.add(other.seen);
        self.pictures += other.pictures;
        self.one_sided += other.one_sided;
        self.dice.extend_from_slice(&other.dice);
        self.hd95.extend_from_slice(&other.hd95);
        self.f1.extend_from_slice(&other.f1);
        self.roc.add(&other.roc);
        self.reliability.merge(&other.reliability);
        self.near_boundary.merge(&other.near_boundary);
    }
}

impl Cell {
    fn add(&mut self, other: &Cell) {
        self.classes.resize_with(other.classes.len().max(self.classes.len()), OfClass::default);
        self.classes.iter_mut().zip(&other.classes).for_each(|(to, from)| to.add(from));
        (self.pictures, self.labelled, self.said) =
            (self.pictures + other.pictures, self.labelled + other.labelled, self.said + other.said);
    }
}

pub struct Validation {
    classes: Vec<ClassId>,
    prevalence: Option<Prevalence>,
    /// By patient and subgroups.
    cells: BTreeMap<(String, Vec<String>), Cell>,
    worst: Vec<Worst>,
}

impl Validation {
    /// `classes`: what the engine tells apart, without background.
    pub fn new(classes: Vec<ClassId>, prevalence: Option<Prevalence>) -> Self {
        Validation { classes, prevalence, cells: BTreeMap::new(), worst: Vec::new() }
    }

    pub fn classes(&self) -> &[ClassId] {
        &self.classes
    }

    /// `found`: class ids of the whole picture, of any size; 255 where the engine abstains, which counts as wrong. `soft`: its
    /// probabilities, of the classes that it gives any of. Returns the IoU of each class, where it is or was found.
    pub fn push(&mut self, picture: &Labelled, truth: &Mask, found: &Mask, soft: &Soft) -> Vec<Option<f64>> {
        let ids = at_size(found, truth.width, truth.height);
        let tolerance = BORDER_TOLERANCE * (truth.width as f64).hypot(truth.height as f64);
        let near = near_boundary(&truth.ids, truth.width, BAND_PX, IGNORE);
        let of_class = |class: &ClassId| {
            let counts = Counts::of(&truth.ids, &ids, Some(IGNORE), class.0);
            let borders = Borders::of(&truth.ids, &ids, truth.width, Some(IGNORE), class.0);
            let mut of = OfClass { counts, seen: prevalence::seen(counts), ..OfClass::default() };
            of.pictures = usize::from(counts.iou().is_some());
            of.dice.extend(counts.dice());
            of.f1.extend(borders.f1(tolerance));
            match borders.hd95() {
                Some(px) if px.is_finite() => of.hd95.push(px),
                Some(_) => of.one_sided = 1,
                None => {}
            }
            if let Some(plane) = soft.plane(*class) {
                of.believe(truth, soft, plane, class.0, &near);
            }
            of
        };
        let classes: Vec<OfClass> = self.classes.iter().map(of_class).collect();
        let ious: Vec<Option<f64>> = classes.iter().map(|of| of.counts.iou()).collect();
        self.note_worst(&picture.name, &ious);
        let labelled = truth.ids.iter().zip(&ids).filter(|(truth, _)| **truth != IGNORE);
        let one = Cell {
            classes,
            pictures: 1,
            labelled: labelled.clone().count() as u64,
            said: labelled.filter(|(_, found)| **found != IGNORE).count() as u64,
        };
        let patient = picture.patient.clone().unwrap_or_else(|| NOBODY.to_owned());
        self.cells.entry((patient, picture.subgroups.clone())).or_default().add(&one);
        ious
    }

    fn note_worst(&mut self, image: &str, ious: &[Option<f64>]) {
        let named = ious.iter().zip(&self.classes).filter_map(|(iou, class)| Some(((*iou)?, classes::table().name(*class))));
        self.worst.extend(named.map(|(iou, class)| Worst { image: image.to_owned(), class: class.to_owned(), iou }));
        self.worst.sort_by(|a, b| a.iou.total_cmp(&b.iou));
        self.worst.truncate(WORST);
    }

    pub fn summary(&self) -> Summary {
        let patients = self.patients(None);
        let groups: BTreeSet<&String> = self.cells.keys().flat_map(|(_, groups)| groups).collect();
        let coverage = bootstrap::interval(
            &patients,
            |patient| patient.labelled > 0,
            |drawn| {
                let (said, labelled) = drawn.iter().fold((0, 0), |sum, patient| (sum.0 + patient.said, sum.1 + patient.labelled));
                (labelled > 0).then(|| said as f64 / labelled as f64)
            },
        );
        let of_group = |group: &String| (group.clone(), self.figures(&self.patients(Some(group)), false));
        Summary {
            pictures: patients.iter().map(|patient| patient.pictures).sum(),
            patients: patients.len(),
            prevalence: self.prevalence,
            coverage,
            classes: self.figures(&patients, true),
            subgroups: groups.into_iter().map(of_group).collect(),
            worst: self.worst.clone(),
        }
    }

    /// One a patient.
    fn patients(&self, group: Option<&String>) -> Vec<Cell> {
        let mut patients: BTreeMap<&String, Cell> = BTreeMap::new();
        for ((patient, groups), cell) in &self.cells {
            if group.is_none_or(|group| groups.contains(group)) {
                patients.entry(patient).or_default().add(cell);
            }
        }
        patients.into_values().collect()
    }

    fn figures(&self, patients: &[Cell], with_curves: bool) -> Vec<Figures> {
        let of_class = |(index, class): (usize, &ClassId)| {
            let patients: Vec<&OfClass> = patients.iter().filter_map(|patient| patient.classes.get(index)).collect();
            self.figures_of(classes::table().name(*class), &patients, with_curves)
        };
        self.classes.iter().enumerate().map(of_class).collect()
    }

    fn figures_of(&self, class: &str, patients: &[&OfClass], with_curves: bool) -> Figures {
        let sum = |drawn: &[&&OfClass], of: fn(&OfClass) -> Counts| {
            drawn.iter().fold(Counts::default(), |mut sum, patient| {
                sum.add(of(patient));
                sum
            })
        };
        let pixels = |figure: fn(Counts) -> Option<f64>| {
            bootstrap::interval(patients, |patient| figure(patient.counts).is_some(), |drawn| figure(sum(drawn, |of| of.counts)))
        };
        let listed = |list: fn(&OfClass) -> &Vec<f64>, figure: fn(Vec<f64>) -> Option<f64>| {
            let figure = |drawn: &[&&OfClass]| figure(drawn.iter().flat_map(|patient| list(patient)).copied().collect());
            bootstrap::interval(patients, |patient| !list(patient).is_empty(), figure)
        };
        let calibration = |of: fn(&OfClass) -> &Reliability| {
            let figure = |drawn: &[&&OfClass]| {
                let mut all = Reliability::default();
                drawn.iter().for_each(|patient| all.merge(of(patient)));
                all.ece()
            };
            bootstrap::interval(patients, |patient| of(patient).ece().is_some(), figure)
        };
        let pictures = |figure: &dyn Fn(Counts) -> Option<f64>, counts: &dyn Fn(&OfClass) -> bool| {
            bootstrap::interval(patients, |patient| counts(patient), |drawn| figure(sum(drawn, |of| of.seen)))
        };
        let mut all = OfClass::default();
        patients.iter().for_each(|patient| all.add(patient));
        // Only patients with pixels of either kind say how well they are ranked.
        let ranked: Vec<&Roc> = patients.iter().map(|patient| &patient.roc).filter(|roc| roc.auroc().is_some()).collect();
        let (pairs, places): (RocPairs, Vec<usize>) = (RocPairs::of(&ranked), (0..ranked.len()).collect());
        let auroc = bootstrap::interval(&places, |_| true, |drawn| pairs.auroc(&drawn.iter().map(|place| **place).collect::<Vec<_>>()));
        let at = |figure: fn(&Prevalence, Counts) -> Option<f64>| {
            let prevalence = self.prevalence?;
            pictures(&|seen| figure(&prevalence, seen), &|_| true)
        };
        Figures {
            class: class.to_owned(),
            pictures: all.pictures,
            dice: pixels(Counts::dice),
            iou: pixels(Counts::iou),
            dice_a_picture: listed(|of| &of.dice, mean),
            hd95_px: listed(|of| &of.hd95, median),
            hd95_one_sided: all.one_sided,
            boundary_f1: listed(|of| &of.f1, mean),
            sensitivity: pixels(Counts::sensitivity),
            specificity: pixels(Counts::specificity),
            ppv: pixels(Counts::ppv),
            auroc,
            auroc_ties: all.roc.tie_bound(),
            ece: calibration(|of| &of.reliability),
            ece_boundary: calibration(|of| &of.near_boundary),
            picture_sensitivity: pictures(&Counts::sensitivity, &|of| of.seen.sensitivity().is_some()),
            ppv_at_prevalence: at(Prevalence::ppv),
            false_positives_a_minute: at(Prevalence::false_positives_a_minute),
            roc: if with_curves { all.roc.curve(CURVE_POINTS) } else { Vec::new() },
            reliability: if with_curves { all.reliability.bins() } else { Vec::new() },
        }
    }
}

impl OfClass {
    fn believe(&mut self, truth: &Mask, soft: &Soft, plane: &[f32], class: u8, near: &[bool]) {
        let sampler = soft.sampler(truth.width, truth.height);
        for (at, id) in truth.ids.iter().enumerate().filter(|(_, id)| **id != IGNORE) {
            let probability = sampler.at(plane, at % truth.width, at / truth.width).clamp(0.0, 1.0);
            self.roc.push(probability, *id == class);
            self.reliability.add(probability, *id == class, 1.0);
            if near[at] {
                self.near_boundary.add(probability, *id == class, 1.0);
            }
        }
    }
}

/// Ids at another size: of each pixel the nearest.
pub fn at_size(found: &Mask, width: usize, height: usize) -> Vec<u8> {
    if (found.width, found.height) == (width, height) {
        return found.ids.clone();
    }
    let at =
        |x: usize, y: usize| found.ids[(2 * y + 1) * found.height / (2 * height) * found.width + (2 * x + 1) * found.width / (2 * width)];
    (0..width * height).map(|i| at(i % width, i / width)).collect()
}

fn mean(values: Vec<f64>) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

pub(super) fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    let upper = *values.get(middle)?;
    Some(if values.len().is_multiple_of(2) { (values[middle - 1] + upper) / 2.0 } else { upper })
}

#[cfg(test)]
#[path = "validation_tests.rs"]
mod tests;
