//! A known answer: the engine, with everything around it, on a built-in clip whose truth is known exactly. The clip is the
//! simulator's, of a seed that no shipped engine was trained on; it is rendered anew each time.

use crate::base::classes;
use crate::base::ids::{ClassId, FrameId};
use crate::capture::sim::{SimError, Simulator, Spec, Truth};
use crate::frame::{FrameView, Stamps};
use crate::guard::{Check, Limits, Test};
use crate::infer::InferError;
use crate::scene::ClassMask;
use crate::store::{HeadKind, LockedEngine};
use crate::track::Analyser;

/// 24 pictures, one each 200 ms of a loop.
const CLIP: &str = "width=640&height=360&fps=5&seconds=4.8";
/// Held out of the training of the shipped engines (their manifests say so: 1 to 9).
const SEED: u64 = 3;

#[derive(Debug, thiserror::Error)]
enum KnownAnswerError {
    #[error("the built-in clip: {0}")]
    Clip(#[from] SimError),
    #[error(transparent)]
    Engine(#[from] InferError),
}

/// Pixels of instruments.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Overlap {
    found: u64,
    there: u64,
    both: u64,
}

impl Overlap {
    /// 1 where nothing is there and nothing was found.
    fn dice(self) -> f64 {
        if self.found + self.there == 0 { 1.0 } else { 2.0 * self.both as f64 / (self.found + self.there) as f64 }
    }
}

/// The check of a full self-test.
pub fn check(engine: LockedEngine, limits: &Limits) -> Check {
    if engine.manifest.head(HeadKind::Instrument).is_none() {
        return Check::not_run(Test::KnownAnswer, "the engine looks for no instruments, and the built-in clip's truth is of them");
    }
    match answer(engine, SEED) {
        Ok((overlap, pictures)) => Check::measured(Test::KnownAnswer, overlap.dice(), limits).with_detail(&format!(
            "instruments in {pictures} pictures (sim:?seed={SEED}&{CLIP}): {} pixels there, {} found, {} of them there",
            overlap.there, overlap.found, overlap.both
        )),
        Err(error) => Check::found(Test::KnownAnswer, false, error.to_string()),
    }
}

/// Of all pictures together, and how many they are.
fn answer(engine: LockedEngine, seed: u64) -> Result<(Overlap, usize), KnownAnswerError> {
    let mut analyser = Analyser::load(engine)?;
    let spec = Spec::parse(&format!("sim:?seed={seed}&{CLIP}"))?;
    let simulator = Simulator::new(&spec)?;
    let mut bytes = vec![0; simulator.layout().size];
    let mut overlap = Overlap::default();
    for index in 0..simulator.frame_count() {
        simulator.render(index, &mut bytes);
        let pts_ns = spec.pts_ns(index as u64);
        let stamps = Stamps { id: FrameId(index as u64), pts_ns, capture_ns: pts_ns };
        let scene = match FrameView::new(simulator.layout(), &bytes) {
            Some(view) => analyser.analyse(view, stamps, &|| true)?,
            None => None,
        };
        // A picture without an answer is one in which nothing was found.
        add(&mut overlap, &simulator.truth(index), scene.as_ref().map(|scene| &scene.mask));
    }
    Ok((overlap, simulator.frame_count()))
}

fn add(overlap: &mut Overlap, truth: &Truth, mask: Option<&ClassMask>) {
    let is_instrument: [bool; 256] = std::array::from_fn(|id| classes::table().is_instrument(ClassId(id as u8)));
    for (at, &class) in truth.class_mask.iter().enumerate() {
        let (x, y) = (at % truth.width, at / truth.width);
        // The mask is stretched over the picture.
        let found = mask.is_some_and(|mask| {
            let (width, height) = (mask.width as usize, mask.height as usize);
            is_instrument[usize::from(mask.ids[y * height / truth.height * width + x * width / truth.width])]
        });
        let there = is_instrument[usize::from(class)];
        overlap.found += u64::from(found);
        overlap.there += u64::from(there);
        overlap.both += u64::from(found && there);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guard::Outcome;
    use std::path::Path;

    fn engine(name: &str) -> LockedEngine {
        crate::store::load(&Path::new(env!("CARGO_MANIFEST_DIR")).join("engines").join(name)).unwrap()
    }

    #[test]
    fn dice_is_of_the_pixels_that_are_instruments_in_both() {
        let truth = |class_mask: Vec<u8>| Truth { width: 4, height: 2, class_mask, instance_mask: vec![0; 8], instruments: Vec::new() };
        // 5, 9: instruments; 10: a tissue.
        let truth = truth(vec![5, 9, 10, 0, 5, 5, 0, 0]);
        let mask = |ids: [u8; 2]| ClassMask { width: 2, height: 1, ids: ids.to_vec() };
        for (mask, dice) in [(Some(mask([13, 0])), 1.0), (Some(mask([10, 13])), 0.0), (Some(mask([13, 13])), 2.0 / 3.0), (None, 0.0)] {
            let mut overlap = Overlap::default();
            add(&mut overlap, &truth, mask.as_ref());
            assert_eq!(overlap.dice(), dice, "{mask:?}");
        }
    }

    #[test]
    fn the_shipped_engine_knows_the_answer_and_one_that_finds_nothing_fails() {
        let limits = Limits::shipped();
        let good = check(engine("surgical-cpu"), &limits);
        assert_eq!(good.outcome, Outcome::Pass, "{good:?}");
        let blind = crate::infer::testing::locked(&crate::infer::testing::TestModel::default());
        let bad = check(blind, &limits);
        assert_eq!(bad.outcome, Outcome::Fail, "{bad:?}");
    }

    #[test]
    #[ignore = "a measurement"]
    fn answers_of_the_shipped_engines() {
        for name in ["surgical-cpu", "surgical-simulated-cpu", "surgical-gpu"] {
            for seed in 1..10 {
                let began = std::time::Instant::now();
                let dice = answer(engine(name), seed).map(|(overlap, _)| overlap.dice());
                println!("{name} seed {seed}: {dice:?} in {:.2} s", began.elapsed().as_secs_f64());
            }
        }
    }
}
