use super::*;
use crate::infer::{BoxFormat, ColourOrder, Fit, Resize, TensorLayout};
use crate::track::heads::boxes::Placement;
use proptest::prelude::*;

fn input() -> InputSpec {
    let (layout, colour, resize) = (TensorLayout::Nchw, ColourOrder::Rgb, Resize::Letterbox);
    InputSpec { name: "image".to_owned(), layout, width: 640, height: 640, colour, resize, mean: [0.0; 3], std: [1.0; 3] }
}

/// `attributes` = 4 box numbers, objectness?, classes; by class (`[A, N]`) or by proposal (`[N, A]`).
fn spec(proposals: usize, classes: &[u8], has_objectness: bool, by_class: bool, activation: Activation) -> DetectionSpec {
    let attributes = 4 + usize::from(has_objectness) + classes.len();
    let (attribute_step, proposal_step) = if by_class { (proposals, 1) } else { (1, attributes) };
    let field = |attribute: usize| Field { tensor: 0, start: attribute * attribute_step, attribute_step, proposal_step };
    DetectionSpec {
        name: "output0".to_owned(),
        proposals,
        boxes: field(0),
        format: BoxFormat::Cxcywh,
        units: BoxUnits::Pixels,
        scores: field(4 + usize::from(has_objectness)),
        classes: classes.iter().map(|&id| ClassId(id)).collect(),
        activation,
        objectness: has_objectness.then(|| field(4)),
        threshold: 0.25,
        nms_iou: Some(0.45),
        masks: None,
    }
}

/// Rows `[box, objectness?, scores]` as the tensor of `spec`.
fn tensor(spec: &DetectionSpec, rows: &[Vec<f32>]) -> Vec<f32> {
    let mut numbers = vec![0.0; rows.len() * rows[0].len()];
    for (proposal, row) in rows.iter().enumerate() {
        row.iter().enumerate().for_each(|(attribute, value)| numbers[spec.boxes.at(attribute, proposal)] = *value);
    }
    numbers
}

fn run(spec: DetectionSpec, numbers: &[f32]) -> Result<Vec<Candidate>, NotFinite> {
    let mut detector = Detector::new(spec, &input());
    detector.detect(&|_| numbers).map(|()| detector.found)
}

fn logit(p: f32) -> f32 {
    (p / (1.0 - p)).ln()
}

#[test]
fn the_same_boxes_come_out_of_every_form() {
    // Two graspers over each other, a hook in the same place, a background that is sure, and something improbable.
    let rows: [([f32; 4], [f32; 3]); 5] = [
        ([100.0, 100.0, 80.0, 40.0], [0.9, 0.1, 0.0]),
        ([104.0, 100.0, 80.0, 40.0], [0.8, 0.1, 0.0]),
        ([102.0, 100.0, 80.0, 40.0], [0.2, 0.6, 0.0]),
        ([300.0, 300.0, 80.0, 40.0], [0.1, 0.1, 0.99]),
        ([400.0, 300.0, 80.0, 40.0], [0.2, 0.1, 0.0]),
    ];
    for by_class in [true, false] {
        for has_objectness in [true, false] {
            for activation in [Activation::None, Activation::Sigmoid] {
                let spec = spec(5, &[5, 9, 0], has_objectness, by_class, activation);
                let number = |p: f32| if activation == Activation::Sigmoid { logit(p.clamp(0.001, 0.999)) } else { p };
                let rows: Vec<Vec<f32>> = rows
                    .iter()
                    .map(|(bbox, scores)| {
                        let objectness = has_objectness.then(|| number(0.999));
                        bbox.iter().copied().chain(objectness).chain(scores.iter().map(|&p| number(p))).collect()
                    })
                    .collect();
                let found = run(spec.clone(), &tensor(&spec, &rows)).unwrap();
                let told: Vec<(u8, usize)> = found.iter().map(|c| (c.class.0, c.proposal)).collect();
                assert_eq!(told, [(5, 0), (9, 2)], "by class {by_class}, objectness {has_objectness}, {activation:?}");
                assert_eq!(found[0].bbox, [60.0, 80.0, 140.0, 120.0]);
                assert!((found[0].score - 0.9).abs() < 2e-3 && (found[1].score - 0.6).abs() < 2e-3, "{found:?}");
            }
        }
    }
}

#[test]
fn objectness_is_multiplied_before_the_threshold() {
    let spec = spec(2, &[5], true, true, Activation::None);
    let rows = [vec![100.0, 100.0, 80.0, 40.0, 0.2, 0.9], vec![300.0, 100.0, 80.0, 40.0, 0.9, 0.5]];
    let found = run(spec.clone(), &tensor(&spec, &rows)).unwrap();
    assert_eq!(found.iter().map(|c| c.proposal).collect::<Vec<_>>(), [1]);
    assert!((found[0].score - 0.45).abs() < 1e-6);
}

#[test]
fn softmax_counts_no_object_in() {
    let mut spec = spec(3, &[5, 9, 0], false, false, Activation::Softmax);
    (spec.nms_iou, spec.threshold, spec.units) = (None, 0.5, BoxUnits::Fractions);
    let rows =
        [vec![0.5, 0.5, 0.25, 0.25, 4.0, 0.0, 0.0], vec![0.5, 0.5, 0.25, 0.25, 4.0, 0.0, 5.0], vec![0.5, 0.5, 0.25, 0.25, 0.0, 3.0, 0.0]];
    let found = run(spec.clone(), &tensor(&spec, &rows)).unwrap();
    let told: Vec<(u8, usize)> = found.iter().map(|c| (c.class.0, c.proposal)).collect();
    assert_eq!(told, [(5, 0), (9, 2)]);
    assert!((found[0].score - 0.9647).abs() < 1e-3, "{}", found[0].score);
    assert_eq!(found[0].bbox, [240.0, 240.0, 400.0, 400.0]);
}

#[test]
fn none_and_all_at_once_are_no_trouble() {
    let spec = spec(8400, &[5, 9], false, true, Activation::None);
    let row = |i: usize, p: f32| vec![(i % 97) as f32 * 6.0, (i / 97) as f32 * 7.0, 60.0, 60.0, p, p / 2.0];
    let none: Vec<Vec<f32>> = (0..8400).map(|i| row(i, 0.1)).collect();
    assert_eq!(run(spec.clone(), &tensor(&spec, &none)), Ok(Vec::new()));
    let all: Vec<Vec<f32>> = (0..8400).map(|i| row(i, 0.9)).collect();
    let found = run(spec.clone(), &tensor(&spec, &all)).unwrap();
    assert_eq!(found.len(), MAX_DETECTIONS);
}

#[test]
fn numbers_that_are_none_are_noticed_where_they_matter() {
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        for by_class in [true, false] {
            let spec = spec(2, &[5], true, by_class, Activation::None);
            let good = [vec![100.0, 100.0, 80.0, 40.0, 0.9, 0.9], vec![300.0, 100.0, 80.0, 40.0, 0.9, 0.01]];
            let with = |proposal: usize, attribute: usize| {
                let mut rows = good.clone();
                rows[proposal][attribute] = bad;
                run(spec.clone(), &tensor(&spec, &rows))
            };
            assert_eq!(with(0, 0), Err(NotFinite), "the box of something found");
            assert_eq!(with(0, 4), Err(NotFinite), "objectness");
            assert_eq!(with(1, 5), Err(NotFinite), "a score");
            assert_eq!(with(1, 2).map(|found| found.len()), Ok(1), "the box of something that was not found");
        }
    }
}

proptest! {
    /// Whatever stands in the tensor, what is found are a few boxes with a size and a probability.
    #[test]
    fn any_numbers_give_few_sound_candidates(
        rows in proptest::collection::vec(proptest::collection::vec(prop_oneof![any::<f32>(), -1.0f32..700.0, 0.0f32..1.0], 7), 1..40),
        by_class in any::<bool>(), which in 0usize..3) {
        let activation = [Activation::None, Activation::Sigmoid, Activation::Softmax][which];
        let spec = spec(rows.len(), &[5, 32], true, by_class, activation);
        if let Ok(found) = run(spec.clone(), &tensor(&spec, &rows)) {
            prop_assert!(found.len() <= MAX_DETECTIONS);
            let placement = Placement::new(Fit { x: 0, y: 140, width: 640, height: 360 }, [1920, 1080]);
            for candidate in found {
                prop_assert!((0.25..=1.0).contains(&candidate.score));
                prop_assert!(candidate.bbox[0] < candidate.bbox[2] && candidate.bbox[1] < candidate.bbox[3]);
                if let Some(bbox) = placement.in_picture(candidate.bbox) {
                    prop_assert!(bbox.iter().all(|v| v.is_finite()));
                }
            }
        }
    }
}

/// Times for people: `cargo test --release --lib -- --ignored --nocapture time_of_detection`.
#[test]
#[ignore = "a measurement, not a check"]
fn time_of_detection() {
    let classes: Vec<u8> = (0..80)
        .map(|i| {
            if i == 3 {
                5
            } else if i == 4 {
                32
            } else {
                13
            }
        })
        .collect();
    let row = |i: usize, sure: usize| {
        let noise = |c: usize| ((i * 84 + c).wrapping_mul(2_654_435_761) >> 9 & 1023) as f32 / 1024.0;
        let scores = (0..80).map(move |c| if i % 8400 < sure && c == 3 { 0.9 } else { noise(c) * 0.2 });
        [(i % 80) as f32 * 8.0, (i / 80) as f32 * 6.0, 60.0, 40.0].into_iter().chain(scores).collect::<Vec<f32>>()
    };
    for (name, sure) in [("nothing", 0), ("100 proposals", 100), ("all 8400", 8400)] {
        for by_class in [true, false] {
            let spec = spec(8400, &classes, false, by_class, Activation::None);
            let numbers = tensor(&spec, &(0..8400).map(|i| row(i, sure)).collect::<Vec<_>>());
            let mut detector = Detector::new(spec, &input());
            let mut ms: Vec<f64> = (0..101)
                .map(|_| {
                    let start = std::time::Instant::now();
                    std::hint::black_box(detector.detect(&|_| &numbers[..])).unwrap();
                    start.elapsed().as_secs_f64() * 1e3
                })
                .collect();
            ms.sort_by(f64::total_cmp);
            println!("8400×84, by class {by_class}, {name}: min {:.2}, p50 {:.2}, p95 {:.2} ms", ms[0], ms[50], ms[95]);
        }
    }
}
