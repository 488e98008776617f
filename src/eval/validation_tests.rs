use super::*;

fn picture(name: &str, patient: &str, group: &str) -> Labelled {
    Labelled {
        name: name.into(),
        image: name.into(),
        mask: Some(name.into()),
        opinions: Vec::new(),
        things: None,
        patient: Some(patient.into()),
        subgroups: vec![group.into()],
    }
}

fn mask(width: usize, ids: &[u8]) -> Mask {
    Mask { width, height: ids.len() / width, ids: ids.to_vec() }
}

#[test]
fn figures_pool_pixels_by_class_and_subgroup_and_name_the_worst() {
    let mut validation = Validation::new(vec![ClassId(2), ClassId(5)], None);
    // Found at half the size: each of its pixels stands for four.
    let truth = mask(4, &[2, 2, 0, 0, 2, 2, 0, 255]);
    assert_eq!(validation.push(&picture("a.png", "1", "scope A"), &truth, &mask(2, &[2, 0]), &Soft::default()), [Some(1.0), None]);
    validation.push(&picture("b.png", "2", "scope B"), &truth, &mask(2, &[0, 255]), &Soft::default());
    let summary = validation.summary();
    assert_eq!((summary.pictures, summary.patients), (2, 2));
    let liver = &summary.classes[0];
    assert_eq!((liver.iou.unwrap().value, liver.iou.unwrap().low, liver.iou.unwrap().patients), (0.5, None, 2));
    assert_eq!((liver.sensitivity.unwrap().value, liver.ppv.unwrap().value), (0.5, 1.0));
    assert_eq!(liver.ppv.unwrap().patients, 1, "in the other patient nothing was called liver");
    assert_eq!((liver.dice_a_picture.unwrap().value, liver.hd95_one_sided, liver.hd95_px.unwrap().patients), (0.5, 1, 1));
    assert_eq!((summary.classes[1].iou, summary.classes[1].auroc, liver.ece), (None, None, None), "nobody has it");
    assert_eq!(summary.subgroups["scope A"][0].iou.unwrap().value, 1.0);
    assert_eq!(summary.subgroups["scope B"][0].iou.unwrap().value, 0.0);
    assert_eq!((summary.worst[0].image.as_str(), summary.worst[0].iou), ("b.png", 0.0));
    // Of 14 labelled pixels 3 were left unsaid.
    assert!((summary.coverage.unwrap().value - 11.0 / 14.0).abs() < 1e-12);
}

#[test]
fn probabilities_are_ranked_and_calibrated_on_labelled_pixels() {
    let mut validation = Validation::new(vec![ClassId(2)], None);
    // 40 wide: the boundary is at 20, the band from 10 to 29.
    let truth = mask(40, &(0..40).map(|x| if x < 20 { 2 } else { 0 }).collect::<Vec<u8>>());
    let plane: Vec<f32> = (0..40)
        .map(|x| {
            if x < 15 {
                0.9
            } else if x < 20 {
                0.3
            } else {
                0.1
            }
        })
        .collect();
    let soft = Soft { width: 40, height: 1, planes: vec![(ClassId(2), plane)] };
    for patient in ["1", "2", "3", "4", "5"] {
        validation.push(&picture(&format!("{patient}.png"), patient, "scope A"), &truth, &truth, &soft);
    }
    let summary = validation.summary();
    let liver = &summary.classes[0];
    let auroc = liver.auroc.unwrap();
    // All alike: any draw of patients gives the same.
    assert_eq!((auroc.value, auroc.low, auroc.high, auroc.patients), (1.0, Some(1.0), Some(1.0), 5));
    // Off by 0.1 on 35 pixels and by 0.7 on five; in the band on fifteen and on five.
    assert!((liver.ece.unwrap().value - (35.0 * 0.1 + 5.0 * 0.7) / 40.0).abs() < 1e-6);
    assert!((liver.ece_boundary.unwrap().value - (15.0 * 0.1 + 5.0 * 0.7) / 20.0).abs() < 1e-6);
    assert!(!liver.roc.is_empty() && summary.subgroups["scope A"][0].roc.is_empty());
    assert_eq!(liver.reliability.len(), 3);
}

#[test]
fn a_stated_prevalence_makes_pictures_count() {
    let at = Prevalence { prevalence: 0.1, pictures_a_second: 10.0 };
    let mut validation = Validation::new(vec![ClassId(2)], Some(at));
    let (there, absent) = (mask(2, &[2, 2, 0, 0]), mask(2, &[0, 0, 0, 0]));
    // Seen in three of four pictures that have it, called in one of two that do not.
    for (truth, found) in [(&there, &there), (&there, &there), (&there, &there), (&there, &absent), (&absent, &there), (&absent, &absent)] {
        validation.push(&picture("a.png", "1", "scope A"), truth, found, &Soft::default());
    }
    let liver = &validation.summary().classes[0];
    assert_eq!(liver.picture_sensitivity.unwrap().value, 0.75);
    assert!((liver.ppv_at_prevalence.unwrap().value - 0.075 / (0.075 + 0.45)).abs() < 1e-12);
    assert!((liver.false_positives_a_minute.unwrap().value - 0.9 * 0.5 * 600.0).abs() < 1e-9);
}

#[test]
fn one_patients_pictures_of_two_subgroups_stay_one_patient() {
    let mut validation = Validation::new(vec![ClassId(2)], None);
    let there = mask(2, &[2, 2, 0, 0]);
    for (group, name) in [("scope A", "a.png"), ("scope B", "b.png"), ("scope A", "c.png")] {
        validation.push(&picture(name, "7", group), &there, &there, &Soft::default());
    }
    let summary = validation.summary();
    assert_eq!((summary.patients, summary.pictures, summary.classes[0].iou.unwrap().patients), (1, 3, 1));
    assert_eq!((summary.subgroups["scope A"][0].pictures, summary.subgroups["scope B"][0].pictures), (2, 1));
    assert_eq!(median(vec![3.0, 1.0, 2.0, 10.0]), Some(2.5));
}
