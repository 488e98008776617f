//! What `shaders/detection.cu` is given for one detection head.

use super::decode::number_of;
use crate::frame::cuda::{DETECTION, Launch};
use crate::infer::{BoxFormat, Field, MOST_NUMBER};
use crate::track::heads::Detector;
use crate::track::heads::boxes::MAX_CANDIDATES;
use bytemuck::{Pod, Zeroable};

const MOST_CLASSES: usize = 256;
const THREADS: u32 = 256;

/// `Field` of the kernel.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Pod, Zeroable)]
pub struct FieldOnGpu {
    pub start: u32,
    pub attribute_step: u32,
    pub proposal_step: u32,
    pub is_half: u32,
}

/// As in the kernel.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Pod, Zeroable)]
pub struct DetectionParams {
    pub proposals: u32,
    pub boxes: FieldOnGpu,
    pub scores: FieldOnGpu,
    pub objectness: FieldOnGpu,
    pub has_objectness: u32,
    pub is_centre: u32,
    pub unit: [f32; 2],
    pub activation: u32,
    pub most_number: f32,
    pub threshold: f32,
    pub least: f32,
    pub iou: f32,
    pub has_iou: u32,
    pub most: u32,
    pub classes: u32,
    pub class_of: [u8; MOST_CLASSES],
}

/// `Candidate` of the kernel.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Pod, Zeroable)]
pub struct CandidateOnGpu {
    pub class_id: u32,
    pub score: f32,
    pub bbox: [f32; 4],
    pub proposal: u32,
}

/// Both launches, one after the other. Buffers: `params.proposals` candidates, two counts (zeros before the first launch),
/// `params.most` candidates that are found, and their number.
#[derive(Debug, Clone, Copy)]
pub struct DetectionPlan {
    pub params: DetectionParams,
    pub candidates: Launch,
    pub suppress: Launch,
}

impl DetectionPlan {
    /// `is_half`: of a tensor, whether its numbers are halves. None: the head has more classes than ids.
    pub fn new(detector: &Detector, is_half: &dyn Fn(usize) -> bool) -> Option<Self> {
        let spec = &detector.spec;
        let field = |field: Field| FieldOnGpu {
            start: field.start as u32,
            attribute_step: field.attribute_step as u32,
            proposal_step: field.proposal_step as u32,
            is_half: u32::from(is_half(field.tensor)),
        };
        let mut class_of = [0; MOST_CLASSES];
        class_of.get_mut(..spec.classes.len())?.iter_mut().zip(&spec.classes).for_each(|(to, id)| *to = id.0);
        let params = DetectionParams {
            proposals: spec.proposals as u32,
            boxes: field(spec.boxes),
            scores: field(spec.scores),
            objectness: spec.objectness.map_or(FieldOnGpu::zeroed(), field),
            has_objectness: u32::from(spec.objectness.is_some()),
            is_centre: u32::from(spec.format == BoxFormat::Cxcywh),
            unit: detector.unit,
            activation: number_of(spec.activation),
            most_number: MOST_NUMBER,
            threshold: spec.threshold,
            least: detector.least(),
            iou: spec.nms_iou.unwrap_or(0.0),
            has_iou: u32::from(spec.nms_iou.is_some()),
            most: Detector::MOST as u32,
            classes: spec.classes.len() as u32,
            class_of,
        };
        Some(DetectionPlan {
            params,
            candidates: Launch::over(DETECTION, "detection_candidates", spec.proposals, THREADS),
            suppress: Launch::over(DETECTION, "detection_suppress", 1, MAX_CANDIDATES as u32),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ids::ClassId;
    use crate::base::random::Random;
    use crate::frame::cuda::testing::{Runner, input, on_every_device, output, value};
    use crate::infer::{Activation, BoxUnits, ColourOrder, DetectionSpec, InputSpec, Resize, TensorLayout};
    use crate::track::maps::NotFinite;
    use half::f16;
    use proptest::prelude::*;
    use proptest::test_runner::{Config, TestRunner};

    fn input_spec() -> InputSpec {
        let (layout, colour, resize) = (TensorLayout::Nchw, ColourOrder::Rgb, Resize::Letterbox);
        InputSpec { name: "image".to_owned(), layout, width: 640, height: 384, colour, resize, mean: [0.0; 3], std: [1.0; 3] }
    }

    /// All attributes of a head in one tensor, by attribute or by proposal.
    fn specs() -> impl Strategy<Value = DetectionSpec> {
        let activations = prop::sample::select(vec![Activation::None, Activation::Sigmoid, Activation::Softmax]);
        let shape = (1usize..700, prop::collection::vec(prop::sample::select(vec![0u8, 5, 9, 13, 14]), 1..5));
        (shape, activations, any::<[bool; 4]>(), 0.05f32..0.9, prop::option::of(0.1f32..0.9)).prop_map(
            |((proposals, classes), activation, [by_class, has_objectness, is_centre, is_fraction], threshold, nms_iou)| {
                let attributes = 4 + usize::from(has_objectness) + classes.len();
                let (attribute_step, proposal_step) = if by_class { (proposals, 1) } else { (1, attributes) };
                let field = |attribute: usize| Field { tensor: 0, start: attribute * attribute_step, attribute_step, proposal_step };
                DetectionSpec {
                    name: "output0".to_owned(),
                    proposals,
                    boxes: field(0),
                    format: if is_centre { BoxFormat::Cxcywh } else { BoxFormat::Xyxy },
                    units: if is_fraction { BoxUnits::Fractions } else { BoxUnits::Pixels },
                    scores: field(4 + usize::from(has_objectness)),
                    classes: classes.into_iter().map(ClassId).collect(),
                    activation,
                    objectness: has_objectness.then(|| field(4)),
                    threshold,
                    nms_iou,
                    masks: None,
                }
            },
        )
    }

    /// Boxes of which many overlap, some are inside out; scores of which some are equal.
    fn tensor(spec: &DetectionSpec, seed: u64) -> Vec<f32> {
        let mut random = Random::new(seed);
        let mut next = || random.between(0.0, 1.0);
        let attributes = 4 + usize::from(spec.objectness.is_some()) + spec.classes.len();
        let mut numbers = vec![0.0; attributes * spec.proposals];
        let unit = if spec.units == BoxUnits::Fractions { 1.0 } else { 600.0 };
        for proposal in 0..spec.proposals {
            let (x, y, w, h) = (next() * 0.4, next() * 0.4, 0.02 + next() * 0.3, next() * 0.3 - 0.01);
            let numbers_of_box = if spec.format == BoxFormat::Cxcywh { [x, y, w, h] } else { [x, y, x + w, y + h] };
            numbers_of_box.iter().enumerate().for_each(|(i, v)| numbers[spec.boxes.at(i, proposal)] = v * unit);
            let mut score = || {
                let p = (next() * 50.0).round() / 50.0;
                if spec.activation == Activation::None { p } else { 8.0 * p - 4.0 }
            };
            (0..spec.classes.len()).for_each(|class| numbers[spec.scores.at(class, proposal)] = score());
            if let Some(field) = spec.objectness {
                numbers[field.at(0, proposal)] = score();
            }
        }
        numbers
    }

    /// As a model has them, of floats or of halves.
    fn bytes(numbers: &[f32], is_half: u32) -> Vec<u8> {
        let halves = || numbers.iter().flat_map(|v| f16::from_f32(*v).to_bits().to_ne_bytes()).collect();
        if is_half == 1 { halves() } else { bytemuck::cast_slice(numbers).to_vec() }
    }

    fn found(runner: &Runner, plan: &DetectionPlan, numbers: &[f32]) -> Result<Vec<CandidateOnGpu>, NotFinite> {
        let nobody = CandidateOnGpu::zeroed();
        let mut candidates = vec![nobody; plan.params.proposals as usize];
        let (mut counts, mut found, mut count) = ([0u32; 2], vec![nobody; plan.params.most as usize], [99u32]);
        let DetectionParams { scores, boxes, objectness, .. } = plan.params;
        let [scores, boxes, objectness] = [scores, boxes, objectness].map(|field| bytes(numbers, field.is_half));
        let fields = [&scores, &boxes, &objectness].map(|bytes| input(bytes));
        let [scores, boxes, objectness] = fields;
        let mut args = [value(&plan.params), scores, boxes, objectness, output(&mut candidates), output(&mut counts)];
        runner.run_in_any_order(&plan.candidates, &mut args);
        if counts[1] != 0 {
            return Err(NotFinite);
        }
        let mut args = [value(&plan.params), input(&candidates), input(&counts), output(&mut found), output(&mut count)];
        runner.run(&plan.suppress, &mut args);
        found.truncate(count[0] as usize);
        Ok(found)
    }

    /// Scores of halves with boxes of floats, or the other way round: halves' values where one of them has halves.
    fn check(runner: &Runner, spec: &DetectionSpec, numbers: &[f32], is_half: [bool; 2]) {
        let in_halves = || numbers.iter().map(|v| f16::from_f32(*v).to_f32()).collect();
        let numbers: Vec<f32> = if is_half.contains(&true) { in_halves() } else { numbers.to_vec() };
        let mut detector = Detector::new(spec.clone(), &input_spec());
        let mut plan = DetectionPlan::new(&detector, &|_| is_half[1]).unwrap();
        plan.params.scores.is_half = u32::from(is_half[0]);
        let found = found(runner, &plan, &numbers);
        // What is looked at before a detector is asked, of all numbers.
        let is_possible = numbers.iter().all(|number| number.abs() <= MOST_NUMBER);
        assert_eq!(found.is_ok(), is_possible, "{spec:?}");
        let Ok(found) = found else { return };
        detector.detect(&|_| &numbers).unwrap();
        let expected = &detector.found;
        // Another exp may bring a score over the threshold, or before one that is as good.
        let is_close = |proposal: usize, other: f32| {
            let score =
                expected.iter().find(|candidate| candidate.proposal == proposal).map_or(spec.threshold, |candidate| candidate.score);
            (score - other).abs() < 1e-5
        };
        if !runner.is_cpu() && found.iter().any(|a| found.iter().any(|b| a.proposal != b.proposal && (a.score - b.score).abs() < 1e-5)) {
            assert!(found.iter().all(|candidate| is_close(candidate.proposal as usize, candidate.score)), "{spec:?}");
            return;
        }
        assert_eq!(found.len(), expected.len(), "{spec:?}");
        for (found, expected) in found.iter().zip(expected) {
            assert_eq!(
                (found.proposal as usize, found.class_id, found.bbox),
                (expected.proposal, u32::from(expected.class.0), expected.bbox)
            );
            let most = if runner.is_cpu() { 0.0 } else { 1e-5 };
            assert!((found.score - expected.score).abs() <= most, "{} {}", found.score, expected.score);
        }
    }

    #[test]
    fn the_same_boxes_are_found_in_the_same_order() {
        on_every_device("the_same_boxes_are_found_in_the_same_order", |runner| {
            let config = Config { cases: 80, failure_persistence: None, max_shrink_iters: 64, ..Config::default() };
            TestRunner::new(config)
                .run(&(specs(), any::<u64>(), any::<[bool; 2]>()), |(spec, seed, is_half)| {
                    check(runner, &spec, &tensor(&spec, seed), is_half);
                    Ok(())
                })
                .unwrap();
        });
    }

    #[test]
    fn one_number_that_cannot_be_makes_all_of_it_none() {
        on_every_device("one_number_that_cannot_be_makes_all_of_it_none", |runner| {
            let config = Config { cases: 30, failure_persistence: None, max_shrink_iters: 64, ..Config::default() };
            TestRunner::new(config)
                .run(&(specs(), any::<u64>(), any::<u32>(), any::<[bool; 2]>()), |(spec, seed, at, is_half)| {
                    let mut numbers = tensor(&spec, seed);
                    let at = at as usize % numbers.len();
                    numbers[at] = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, -1.1e8, 1e9, -1e8][at % 6];
                    check(runner, &spec, &numbers, is_half);
                    Ok(())
                })
                .unwrap();
        });
    }

    /// A model gone wild: beyond the most probable 1024 nothing is looked at, though all of those are one thing.
    #[test]
    fn of_many_proposals_only_the_best_are_looked_at() {
        on_every_device("of_many_proposals_only_the_best_are_looked_at", |runner| {
            let proposals = 1500;
            let field = |attribute: usize| Field { tensor: 0, start: attribute * proposals, attribute_step: proposals, proposal_step: 1 };
            let spec = DetectionSpec {
                name: "output0".to_owned(),
                proposals,
                boxes: field(0),
                format: BoxFormat::Xyxy,
                units: BoxUnits::Pixels,
                scores: field(4),
                classes: vec![ClassId(5)],
                activation: Activation::None,
                objectness: None,
                threshold: 0.1,
                nms_iou: Some(0.5),
                masks: None,
            };
            // How many of the best lie in one place: one less leaves one elsewhere.
            for (in_one_place, expected) in [(1024, 1), (1023, 2)] {
                let mut numbers = vec![0.0; 5 * proposals];
                for proposal in 0..proposals {
                    let x = if proposal < in_one_place { 10.0 } else { 200.0 };
                    [x, 10.0, x + 50.0, 60.0].iter().enumerate().for_each(|(i, v)| numbers[spec.boxes.at(i, proposal)] = *v);
                    numbers[spec.scores.at(0, proposal)] = 0.95 - proposal as f32 / 4096.0;
                }
                check(runner, &spec, &numbers, [false; 2]);
                let plan = DetectionPlan::new(&Detector::new(spec.clone(), &input_spec()), &|_| false).unwrap();
                assert_eq!(found(runner, &plan, &numbers).unwrap().len(), expected);
            }
        });
    }
}
