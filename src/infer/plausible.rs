//! Can what a run gave be an answer at all? Asked of each frame, before anybody reads it: shapes as they were at load, finite
//! numbers, none beyond what a network of that kind gives. What is wrong by less than that only golden outputs and the live proof
//! find (`track::golden`, `Analyser::prove`).

use super::engine::{Engine, Field, FrameClassSpec, HeadSpec, OutputSpec};
use super::error::InferError;
use crate::store::Activation;

/// No logit lies so far out: at 88 its exponential leaves f32.
const MOST_LOGIT: f32 = 1e4;
/// A probability, and what rounding adds to it.
const MOST_PROBABILITY: f32 = 1.01;
const LEAST_PROBABILITY: f32 = -0.01;
/// Of everything else (places in pixels, weights of masks, states), whatever its sign.
pub const MOST_NUMBER: f32 = 1e8;

/// The least and the largest number that a map or a frame's classes can have.
pub fn possible(activation: Activation) -> [f32; 2] {
    match activation {
        Activation::Sigmoid | Activation::Softmax => [-MOST_LOGIT, MOST_LOGIT],
        Activation::None => [LEAST_PROBABILITY, MOST_PROBABILITY],
    }
}

/// Looks at the outputs of the last run that are here; the error names the first that cannot be.
pub fn check_outputs(engine: &dyn Engine, is_here: &dyn Fn(usize) -> bool) -> Result<(), InferError> {
    let wrong = |part: String, found: String| Err(InferError::Impossible { part, found });
    for tensor in (0..engine.outputs()).filter(|tensor| is_here(*tensor)) {
        if let Some(at) = beyond(engine.tensor(tensor), MOST_NUMBER) {
            return wrong(format!("output {tensor}"), format!("{} as number {at}", engine.tensor(tensor)[at]));
        }
    }
    for head in engine.heads() {
        let (name, tensor, needs) = match head {
            HeadSpec::Map { tensor, spec } => (&spec.name, *tensor, spec.len()),
            HeadSpec::FrameClass(spec) => (&spec.name, spec.tensor, spec.classes.len()),
            HeadSpec::Detection(spec) => {
                let last = |field: &Field, attributes: usize| (field.tensor, field.at(attributes - 1, spec.proposals - 1) + 1);
                let fields = [(&spec.boxes, 4), (&spec.scores, spec.classes.len())];
                let masks = spec.masks.iter().map(|(field, prototypes)| (field, prototypes.count));
                let mut all = fields.into_iter().chain(spec.objectness.iter().map(|field| (field, 1))).chain(masks);
                let short = all.find(|(field, attributes)| last(field, *attributes).1 > engine.tensor(field.tensor).len());
                let (tensor, needs) = short.map_or((spec.boxes.tensor, 0), |(field, attributes)| last(field, attributes));
                (&spec.name, tensor, needs)
            }
        };
        if !is_here(tensor) {
            continue;
        }
        let numbers = engine.tensor(tensor);
        let is_short = if matches!(head, HeadSpec::Map { .. }) { numbers.len() != needs } else { numbers.len() < needs };
        if is_short {
            return wrong(format!("output '{name}'"), format!("{} numbers instead of {needs}", numbers.len()));
        }
        let (HeadSpec::Map { spec: OutputSpec { activation, .. }, .. } | HeadSpec::FrameClass(FrameClassSpec { activation, .. })) = head
        else {
            continue;
        };
        let found = match activation {
            Activation::Sigmoid | Activation::Softmax => beyond(numbers, MOST_LOGIT),
            Activation::None => beyond(numbers, MOST_PROBABILITY).or_else(|| numbers.iter().position(|v| *v < LEAST_PROBABILITY)),
        };
        if let Some(at) = found {
            return wrong(format!("output '{name}'"), format!("{} as number {at}", numbers[at]));
        }
    }
    Ok(())
}

/// The first number that is larger than `most`, whatever its sign, infinite or none.
fn beyond(numbers: &[f32], most: f32) -> Option<usize> {
    // Without their sign, the bits of numbers are ordered as they are, and infinity and what is no number stand above all.
    let size = |number: &f32| number.to_bits() & 0x7fff_ffff;
    let largest = numbers.iter().fold(0, |largest: u32, number| largest.max(size(number)));
    (largest > most.to_bits()).then(|| numbers.iter().position(|number| size(number) == largest)).flatten()
}

#[cfg(test)]
mod tests {
    use super::super::faults::{EngineFault, FaultyEngine};
    use super::super::open;
    use super::super::testing::{TestModel, locked};
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_cannot_be_an_answer_is_named_and_a_sound_one_passes_again() {
        let mut engine = FaultyEngine::new(open(locked(&TestModel::default())).unwrap());
        engine.run().unwrap();
        check_outputs(&engine, &|_| true).unwrap();
        for (fault, words) in [
            (EngineFault::NotANumber, "NaN as number 0"),
            (EngineFault::OutOfRange, "-3000000000 as number 0"),
            (EngineFault::Shape, "numbers instead of"),
        ] {
            engine.set_fault(Some(fault));
            engine.run().unwrap();
            let error = check_outputs(&engine, &|_| true).unwrap_err().to_string();
            assert!(error.contains(words) && error.contains("output"), "{fault:?}: {error}");
            engine.set_fault(None);
            engine.run().unwrap();
            check_outputs(&engine, &|_| true).unwrap();
        }
        engine.set_fault(Some(EngineFault::Fails));
        assert!(engine.run().unwrap_err().to_string().contains("the device is lost"));
        engine.set_fault(Some(EngineFault::Slow { ms: 30 }));
        let begun = std::time::Instant::now();
        engine.run().unwrap();
        check_outputs(&engine, &|_| true).unwrap();
        assert!(begun.elapsed() >= std::time::Duration::from_millis(30));
    }

    proptest! {
        #[test]
        fn the_one_that_is_too_large_is_found_wherever_it_stands(
            mut numbers in proptest::collection::vec(-1e4f32..1e4, 1..300),
            at in any::<prop::sample::Index>(),
            odd in prop_oneof![Just(f32::NAN), Just(-f32::NAN), Just(f32::INFINITY), Just(f32::NEG_INFINITY), Just(1.0001e4), Just(-2e9)],
        ) {
            prop_assert_eq!(beyond(&numbers, MOST_LOGIT), None);
            let at = at.index(numbers.len());
            numbers[at] = odd;
            prop_assert_eq!(beyond(&numbers, MOST_LOGIT), Some(at));
        }
    }
}
