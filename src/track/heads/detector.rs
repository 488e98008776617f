//! Detection heads: the numbers of all proposals → the few candidates that count. What a candidate looks like in the
//! picture is `boxes`' and `instance`'s.

use super::boxes::{Candidate, best_first, corners, suppress};
use crate::base::ids::ClassId;
use crate::infer::{Activation, BoxUnits, DetectionSpec, Field, InputSpec};
use crate::track::maps::NotFinite;

/// More things at once are no operation.
pub const MAX_DETECTIONS: usize = 16;
/// All bits of this set: infinite or not a number.
const EXPONENT: u32 = 0x7f80_0000;

/// Reads one detection head; its working memory is kept.
#[derive(Debug)]
pub struct Detector {
    pub spec: DetectionSpec,
    /// What turns a box into input pixels.
    pub unit: [f32; 2],
    /// Of each proposal: the best class' number, and which class that is.
    best: Vec<f32>,
    class: Vec<u16>,
    pub found: Vec<Candidate>,
}

impl Detector {
    /// Of the candidates at most so many are found.
    pub const MOST: usize = MAX_DETECTIONS;

    pub fn new(spec: DetectionSpec, input: &InputSpec) -> Self {
        let unit = match spec.units {
            BoxUnits::Pixels => [1.0; 2],
            BoxUnits::Fractions => [input.width as f32, input.height as f32],
        };
        Detector { spec, unit, best: Vec::new(), class: Vec::new(), found: Vec::new() }
    }

    /// Is something of it in this tensor?
    pub fn reads(&self, tensor: usize) -> bool {
        let DetectionSpec { boxes, scores, objectness, masks, .. } = &self.spec;
        let of_masks = masks.iter().any(|(field, prototypes)| field.tensor == tensor || prototypes.tensor == tensor);
        [boxes, scores].into_iter().chain(objectness).any(|field| field.tensor == tensor) || of_masks
    }

    /// Fills `found`, the most probable first. Err: a score, or the box of something found, is no number.
    pub fn detect<'t>(&mut self, tensor: &dyn Fn(usize) -> &'t [f32]) -> Result<(), NotFinite> {
        self.found.clear();
        self.score(tensor(self.spec.scores.tensor))?;
        let spec = &self.spec;
        let boxes = tensor(spec.boxes.tensor);
        let objectness = spec.objectness.map(|field| (field, tensor(field.tensor)));
        let least = self.least();
        for proposal in 0..spec.proposals {
            if self.best[proposal] < least {
                continue;
            }
            let mut score = probability(spec.activation, self.best[proposal]);
            if let Some((field, numbers)) = objectness {
                let number = numbers[field.at(0, proposal)];
                if !number.is_finite() {
                    return Err(NotFinite);
                }
                score *= probability(spec.activation, number);
            }
            if score < spec.threshold {
                continue;
            }
            let numbers = [0, 1, 2, 3].map(|i| boxes[spec.boxes.at(i, proposal)] * self.unit[i % 2]);
            let bbox = corners(numbers, spec.format);
            if !bbox.iter().all(|v| v.is_finite()) {
                return Err(NotFinite);
            }
            // A box that is inside out shows nothing.
            if bbox[2] > bbox[0] && bbox[3] > bbox[1] {
                let class = spec.classes[usize::from(self.class[proposal])];
                self.found.push(Candidate { class, score: score.min(1.0), bbox, proposal });
            }
        }
        best_first(&mut self.found);
        match spec.nms_iou {
            Some(iou) => suppress(&mut self.found, iou, MAX_DETECTIONS),
            None => self.found.truncate(MAX_DETECTIONS),
        }
        Ok(())
    }

    /// The least of the model's numbers that reaches the threshold.
    pub fn least(&self) -> f32 {
        least(self.spec.activation, self.spec.threshold)
    }

    /// The best class of each proposal. For softmax `best` is its probability, else the model's own number.
    fn score(&mut self, numbers: &[f32]) -> Result<(), NotFinite> {
        let Detector { spec, best, class, .. } = self;
        best.clear();
        best.resize(spec.proposals, f32::NEG_INFINITY);
        class.clear();
        class.resize(spec.proposals, 0);
        let odd = match (spec.activation, spec.scores) {
            (Activation::Softmax, field) => softmax(numbers, field, &spec.classes, best, class),
            (_, Field { proposal_step: 1, .. }) => by_class(numbers, spec.scores, &spec.classes, best, class),
            _ => by_proposal(numbers, spec.scores, &spec.classes, best, class),
        };
        if odd { Err(NotFinite) } else { Ok(()) }
    }
}

/// Proposals that are compared together: few enough to stay in the nearest cache over all classes.
const TILE: usize = 256;

/// Rows of one class each: compared row by row, in loops that the compiler turns into SIMD.
fn by_class(numbers: &[f32], field: Field, classes: &[ClassId], best: &mut [f32], class: &mut [u16]) -> bool {
    #[cfg(target_arch = "x86_64")]
    if std::is_x86_feature_detected!("avx2") {
        // SAFETY: this processor has AVX2.
        return unsafe { by_class_avx2(numbers, field, classes, best, class) };
    }
    by_class_here(numbers, field, classes, best, class)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn by_class_avx2(numbers: &[f32], field: Field, classes: &[ClassId], best: &mut [f32], class: &mut [u16]) -> bool {
    by_class_here(numbers, field, classes, best, class)
}

#[inline(always)]
fn by_class_here(numbers: &[f32], field: Field, classes: &[ClassId], best: &mut [f32], class: &mut [u16]) -> bool {
    let mut odd = [0u32; TILE];
    for (tile, (best, class)) in best.chunks_mut(TILE).zip(class.chunks_mut(TILE)).enumerate() {
        // As wide as the numbers, so that both are chosen in one go.
        let (mut most, mut of) = ([f32::NEG_INFINITY; TILE], [0u32; TILE]);
        for (channel, _) in classes.iter().enumerate().filter(|(_, id)| **id != ClassId::BACKGROUND) {
            let row = &numbers[field.at(channel, tile * TILE)..][..best.len()];
            for (((&value, most), of), odd) in row.iter().zip(&mut most).zip(&mut of).zip(&mut odd) {
                *odd |= u32::from(value.to_bits() & EXPONENT == EXPONENT);
                let better = value > *most;
                *most = if better { value } else { *most };
                *of = if better { channel as u32 } else { *of };
            }
        }
        best.copy_from_slice(&most[..best.len()]);
        class.iter_mut().zip(&of).for_each(|(to, &from)| *to = from as u16);
    }
    odd.iter().any(|&odd| odd != 0)
}

fn by_proposal(numbers: &[f32], field: Field, classes: &[ClassId], best: &mut [f32], class: &mut [u16]) -> bool {
    let mut odd = false;
    for (proposal, (best, class)) in best.iter_mut().zip(class).enumerate() {
        for (channel, _) in classes.iter().enumerate().filter(|(_, id)| **id != ClassId::BACKGROUND) {
            let value = numbers[field.at(channel, proposal)];
            odd |= !value.is_finite();
            if value > *best {
                (*best, *class) = (value, channel as u16);
            }
        }
    }
    odd
}

/// All channels share one probability, background ("no object") among them.
fn softmax(numbers: &[f32], field: Field, classes: &[ClassId], best: &mut [f32], class: &mut [u16]) -> bool {
    let mut odd = false;
    for (proposal, (best, class)) in best.iter_mut().zip(class).enumerate() {
        let value = |channel: usize| numbers[field.at(channel, proposal)];
        let (mut most, mut most_of_all) = (f32::NEG_INFINITY, f32::NEG_INFINITY);
        for (channel, id) in classes.iter().enumerate() {
            odd |= !value(channel).is_finite();
            most_of_all = most_of_all.max(value(channel));
            if *id != ClassId::BACKGROUND && value(channel) > most {
                (most, *class) = (value(channel), channel as u16);
            }
        }
        let sum: f32 = (0..classes.len()).map(|channel| (value(channel) - most_of_all).exp()).sum();
        *best = (most - most_of_all).exp() / sum;
    }
    odd
}

/// The least of the model's numbers whose probability reaches the threshold.
fn least(activation: Activation, threshold: f32) -> f32 {
    match activation {
        Activation::Sigmoid => (threshold / (1.0 - threshold)).ln(),
        Activation::Softmax | Activation::None => threshold,
    }
}

fn probability(activation: Activation, number: f32) -> f32 {
    match activation {
        Activation::Sigmoid => 1.0 / (1.0 + (-number).exp()),
        Activation::Softmax | Activation::None => number.clamp(0.0, 1.0),
    }
}

#[cfg(test)]
#[path = "detector_tests.rs"]
mod tests;
