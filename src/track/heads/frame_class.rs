//! What a head says of the whole frame, steadied over frames: a phase or a quality does not change from one to the next.

use super::super::maps::NotFinite;
use super::super::sure::SURE_FROM;
use crate::base::ids::ClassId;
use crate::infer::{Activation, FrameClassSpec};
use crate::scene::{FrameClass, Trust};

/// Weight of one frame against all before it: a change is believed after about four frames.
const NEWEST: f32 = 0.25;

/// Reads one frame-class head.
#[derive(Debug)]
pub struct FrameClassifier {
    pub spec: FrameClassSpec,
    /// Mean probability of each class; empty before the first frame.
    mean: Vec<f32>,
    now: Vec<f32>,
}

impl FrameClassifier {
    pub fn new(spec: FrameClassSpec) -> Self {
        FrameClassifier { mean: Vec::with_capacity(spec.classes.len()), now: Vec::new(), spec }
    }

    pub fn forget(&mut self) {
        self.mean.clear();
    }

    /// `numbers`: one a class. None: no class is probable enough to be named.
    pub fn classify(&mut self, numbers: &[f32]) -> Result<Option<FrameClass>, NotFinite> {
        if !numbers.iter().all(|v| v.is_finite()) {
            return Err(NotFinite);
        }
        self.activate(numbers);
        if self.mean.is_empty() {
            self.mean.extend_from_slice(&self.now);
        } else {
            self.mean.iter_mut().zip(&self.now).for_each(|(mean, now)| *mean += NEWEST * (now - *mean));
        }
        let best = (0..self.mean.len()).max_by(|&a, &b| self.mean[a].total_cmp(&self.mean[b]));
        let Some((class, confidence)) = best.map(|best| (self.spec.classes[best], self.mean[best].clamp(0.0, 1.0))) else {
            return Ok(None);
        };
        let is_said = class != ClassId::BACKGROUND && confidence >= self.spec.threshold;
        let state = if confidence >= SURE_FROM { Trust::Sure } else { Trust::Unsure };
        Ok(is_said.then_some(FrameClass { class, confidence, state }))
    }

    fn activate(&mut self, numbers: &[f32]) {
        self.now.clear();
        match self.spec.activation {
            Activation::None => self.now.extend(numbers.iter().map(|v| v.clamp(0.0, 1.0))),
            Activation::Sigmoid => self.now.extend(numbers.iter().map(|v| 1.0 / (1.0 + (-v).exp()))),
            Activation::Softmax => {
                let most = numbers.iter().copied().fold(f32::MIN, f32::max);
                self.now.extend(numbers.iter().map(|v| (v - most).exp()));
                let sum: f32 = self.now.iter().sum();
                self.now.iter_mut().for_each(|v| *v /= sum);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn classifier(activation: Activation, classes: &[u8]) -> FrameClassifier {
        let classes = classes.iter().map(|&id| ClassId(id)).collect();
        FrameClassifier::new(FrameClassSpec { name: "quality".to_owned(), tensor: 0, classes, activation, threshold: 0.5 })
    }

    #[test]
    fn one_odd_frame_changes_nothing_and_a_lasting_change_is_seen() {
        let mut head = classifier(Activation::Softmax, &[64, 66]);
        let (clear, smoke) = ([6.0, 0.0], [0.0, 6.0]);
        let mut say = |numbers: [f32; 2]| head.classify(&numbers).unwrap().map(|said| (said.class.0, said.state));
        assert_eq!(say(clear), Some((64, Trust::Sure)));
        assert_eq!(say(smoke).map(|said| said.0), Some(64));
        assert_eq!(say(clear).map(|said| said.0), Some(64));
        let said: Vec<u8> = (0..8).filter_map(|_| say(smoke)).map(|said| said.0).collect();
        assert_eq!(said.last(), Some(&66));
        assert!(said.iter().filter(|&&class| class == 64).count() <= 3, "{said:?}");
    }

    #[test]
    fn background_and_what_is_not_probable_are_not_said() {
        let mut head = classifier(Activation::Sigmoid, &[0, 66]);
        assert_eq!(head.classify(&[4.0, 3.0]).unwrap(), None);
        head.forget();
        assert_eq!(head.classify(&[-9.0, -1.0]).unwrap(), None);
        assert_eq!(head.classify(&[0.0, f32::NAN]), Err(NotFinite));
    }

    proptest! {
        #[test]
        fn confidence_is_a_probability(numbers in proptest::collection::vec(-1e30f32..1e30, 3), which in 0usize..3) {
            let mut head = classifier([Activation::None, Activation::Sigmoid, Activation::Softmax][which], &[64, 65, 66]);
            for _ in 0..3 {
                if let Some(said) = head.classify(&numbers).unwrap() {
                    prop_assert!((0.5..=1.0).contains(&said.confidence));
                }
            }
        }
    }
}
