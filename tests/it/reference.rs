//! Metrics against values that well-known implementations gave once (tests/reference/reference.py says which, and where definitions
//! differ): all to 1e-6, but for STAPLE's probabilities (see there).

use keyhole::base::ids::ClassId;
use keyhole::eval::{Borders, Counts, Detections, Label, Mark, Reliability, Roc, Sequence, Votes};
use serde_json::Value;

const TOLERANCE: f64 = 1e-6;

fn cases(name: &str) -> Value {
    let path = crate::support::root().join("tests/reference").join(name);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_str(&text).unwrap()
}

fn list(value: &Value) -> &Vec<Value> {
    value.as_array().unwrap()
}

fn numbers(value: &Value) -> Vec<f64> {
    list(value).iter().map(|number| number.as_f64().unwrap()).collect()
}

#[track_caller]
fn same(ours: Option<f64>, theirs: &Value, what: &str) {
    let theirs = theirs.as_f64();
    let close = match (ours, theirs) {
        (None, None) => true,
        (Some(a), Some(b)) => (a - b).abs() <= TOLERANCE * b.abs().max(1.0),
        _ => false,
    };
    assert!(close, "{what}: {ours:?}, reference {theirs:?}");
}

/// Rows of digits.
fn mask(rows: &Value) -> (usize, Vec<u8>) {
    let rows: Vec<&str> = list(rows).iter().map(|row| row.as_str().unwrap()).collect();
    (rows[0].len(), rows.concat().bytes().map(|digit| digit - b'0').collect())
}

#[test]
fn regions_and_borders_are_monais_and_scikit_learns() {
    let cases = cases("regions.json");
    assert!(list(&cases).len() >= 20);
    for (index, case) in list(&cases).iter().enumerate() {
        let ((width, truth), (_, found)) = (mask(&case["truth"]), mask(&case["found"]));
        let class = case["class"].as_u64().unwrap() as u8;
        let counts = Counts::of(&truth, &found, None, class);
        let borders = Borders::of(&truth, &found, width, None, class);
        same(counts.dice(), &case["dice"], &format!("Dice of {index}"));
        same(counts.iou(), &case["iou"], &format!("IoU of {index}"));
        same(counts.sensitivity(), &case["sensitivity"], &format!("sensitivity of {index}"));
        same(counts.specificity(), &case["specificity"], &format!("specificity of {index}"));
        same(counts.ppv(), &case["ppv"], &format!("PPV of {index}"));
        same(borders.hd95().filter(|px| px.is_finite()), &case["hd95"], &format!("HD95 of {index}"));
        same(borders.f1(1.5), &case["boundary_f1_at_1.5"], &format!("boundary F1 of {index}"));
    }
}

#[test]
fn auroc_is_scikit_learns() {
    for case in list(&cases("ranking.json")) {
        let mut roc = Roc::default();
        for (score, label) in numbers(&case["scores"]).iter().zip(list(&case["labels"])) {
            roc.push(*score as f32, label.as_bool().unwrap());
        }
        same(roc.auroc(), &case["auroc"], "AUROC");
    }
}

#[test]
fn the_calibration_error_is_torchmetrics() {
    for case in list(&cases("calibration.json")) {
        let mut reliability = Reliability::default();
        for (score, label) in numbers(&case["scores"]).iter().zip(list(&case["labels"])) {
            reliability.add(*score as f32, label.as_bool().unwrap(), 1.0);
        }
        same(reliability.ece(), &case["ece"], "ECE");
    }
}

#[test]
fn agreement_is_scikit_learns_statsmodels_and_simpleitks() {
    for case in list(&cases("agreement.json")) {
        let masks: Vec<Vec<u8>> = list(&case["masks"]).iter().map(|rows| mask(rows).1).collect();
        let masks: Vec<&[u8]> = masks.iter().map(|mask| &mask[..]).collect();
        let mut votes = Votes::new(masks.len());
        votes.push(&masks, 1);
        same(votes.mean_dice(), &case["dice"], "Dice of pairs");
        same(votes.cohen(), &case["cohen"], "Cohen's kappa");
        same(votes.fleiss(), &case["fleiss"], "Fleiss' kappa");
        let Some(staple) = votes.staple() else {
            assert_eq!((masks.len(), &case["probability"]), (2, &Value::Null));
            continue;
        };
        for (rater, of) in staple.raters.iter().enumerate() {
            same(Some(of.sensitivity), &case["sensitivity"][rater], "STAPLE sensitivity");
            same(Some(of.specificity), &case["specificity"][rater], "STAPLE specificity");
        }
        for (at, theirs) in list(&case["probability"]).iter().enumerate() {
            // ITK stops when its figures change by less than 1e-7: some of its probabilities are then 2e-6 away from where it would end.
            let (ours, theirs) = (staple.probability(&masks, at, 1), theirs.as_f64().unwrap());
            assert!((ours - theirs).abs() < 5e-6 && (ours >= 0.5) == (theirs >= 0.5), "STAPLE probability: {ours}, reference {theirs}");
        }
    }
}

#[test]
fn average_precision_is_cocos() {
    for case in list(&cases("boxes.json")) {
        let mut detections = Detections::default();
        for frame in list(&case["frames"]) {
            let bbox = |of: &[f64]| [of[0] as f32, of[1] as f32, of[2] as f32, of[3] as f32];
            let label = |of: Vec<f64>| Label { class: ClassId(of[0] as u8), bbox: bbox(&of[1..]) };
            let mark = |of: Vec<f64>| Mark { class: ClassId(of[0] as u8), confidence: of[1] as f32, bbox: bbox(&of[2..]) };
            let labels: Vec<Label> = list(&frame["labels"]).iter().map(|of| label(numbers(of))).collect();
            let marks: Vec<Mark> = list(&frame["marks"]).iter().map(|of| mark(numbers(of))).collect();
            detections.push(&marks, &labels);
        }
        let of = detections.average_precision(None).unwrap();
        same(Some(of.map), &case["map"], "mAP");
        same(Some(of.at_50), &case["at_50"], "AP at .50");
        same(Some(of.at_75), &case["at_75"], "AP at .75");
    }
}

#[test]
fn tracking_is_trackevals_alone_and_combined() {
    let cases = cases("tracking.json");
    let mut all = Sequence::default();
    for case in list(&cases["sequences"]) {
        let mut sequence = Sequence::default();
        for frame in list(&case["frames"]) {
            let ids = |name: &str| -> Vec<u32> { list(&frame[name]).iter().map(|id| id.as_u64().unwrap() as u32).collect() };
            sequence.push(&ids("truth"), &ids("found"), |row, column| frame["alike"][row][column].as_f64().unwrap() as f32);
        }
        follows(&sequence, case);
        all.append(&sequence);
    }
    follows(&all, &cases["combined"]);
}

#[track_caller]
fn follows(sequence: &Sequence, theirs: &Value) {
    let (hota, clear, identity) = (sequence.hota(), sequence.clear(), sequence.identity());
    for (ours, name) in [
        (hota.hota, "hota"),
        (hota.det_a, "det_a"),
        (hota.ass_a, "ass_a"),
        (hota.loc_a, "loc_a"),
        (clear.mota, "mota"),
        (identity.idf1, "idf1"),
        (identity.precision, "precision"),
        (identity.recall, "recall"),
    ] {
        same(Some(f64::from(ours)), &theirs[name], name);
    }
    for (ours, name) in [(clear.switches, "switches"), (clear.missed, "missed"), (clear.invented, "invented")] {
        assert_eq!(u64::from(ours), theirs[name].as_u64().unwrap(), "{name}");
    }
}
