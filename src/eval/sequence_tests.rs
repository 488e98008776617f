use super::*;
use proptest::prelude::*;

/// Frames of (id, place); two at the same place are alike by 1, others not at all.
fn sequence(truth: &[&[(u32, u8)]], found: &[&[(u32, u8)]]) -> Sequence {
    let mut sequence = Sequence::default();
    for (truth, found) in truth.iter().zip(found) {
        let ids = |items: &[(u32, u8)]| items.iter().map(|item| item.0).collect::<Vec<_>>();
        sequence.push(&ids(truth), &ids(found), |r, c| f32::from(u8::from(truth[r].1 == found[c].1)));
    }
    sequence
}

fn close(a: f32, b: f32) {
    assert!((a - b).abs() < 1e-5, "{a}, expected {b}");
}

/// One object over ten frames, whose id changes in the middle.
fn switched() -> Sequence {
    let truth: Vec<&[(u32, u8)]> = vec![&[(1, 0)]; 10];
    let mut found: Vec<&[(u32, u8)]> = vec![&[(7, 0)]; 5];
    found.resize(10, &[(8, 0)]);
    sequence(&truth, &found)
}

#[test]
fn one_switch_by_hand() {
    let sequence = switched();
    // Ten hits, none wrong: DetA 1. Each hit: 5 common of 10 + 5 − 5: AssA 0.5. HOTA = √0.5.
    let hota = sequence.hota();
    close(hota.det_a, 1.0);
    close(hota.ass_a, 0.5);
    close(hota.hota, 0.5f32.sqrt());
    // The better half counts: 2·5 of 20.
    close(sequence.identity().idf1, 0.5);
    let clear = sequence.clear();
    assert_eq!((clear.switches, clear.missed, clear.invented), (1, 0, 0));
    close(clear.mota, 0.9);
}

#[test]
fn what_is_found_in_half_of_the_frames_by_hand() {
    let truth: Vec<&[(u32, u8)]> = vec![&[(1, 0)]; 10];
    let mut found: Vec<&[(u32, u8)]> = vec![&[(7, 0)]; 5];
    found.resize(10, &[]);
    let sequence = sequence(&truth, &found);
    let hota = sequence.hota();
    close(hota.det_a, 0.5);
    close(hota.ass_a, 0.5);
    close(hota.hota, 0.5);
    close(sequence.identity().idf1, 10.0 / 15.0);
    close(sequence.clear().mota, 0.5);
}

#[test]
fn a_false_one_beside_a_right_one_by_hand() {
    let truth: Vec<&[(u32, u8)]> = vec![&[(1, 0)]; 4];
    let found: Vec<&[(u32, u8)]> = vec![&[(9, 5), (7, 0)]; 4];
    let sequence = sequence(&truth, &found);
    close(sequence.hota().det_a, 0.5);
    close(sequence.hota().ass_a, 1.0);
    close(sequence.identity().idf1, 8.0 / 12.0);
    close(sequence.clear().mota, 0.0);
}

/// With a similarity of s everywhere, the thresholds up to s count whole and the others nothing.
#[test]
fn localisation_cuts_off_the_thresholds_above_it() {
    for (similarity, passed) in [(0.5, 10), (0.72, 14), (0.95, 19), (0.04, 0)] {
        let mut sequence = Sequence::default();
        for _ in 0..6 {
            sequence.push(&[3], &[4], |_, _| similarity);
        }
        close(sequence.hota().hota, passed as f32 / 19.0);
        close(sequence.identity().idf1, if similarity >= 0.5 { 1.0 } else { 0.0 });
    }
}

#[test]
fn swapped_ids_count_as_two_switches() {
    let truth: Vec<&[(u32, u8)]> = vec![&[(1, 0), (2, 1)]; 8];
    let mut found: Vec<&[(u32, u8)]> = vec![&[(5, 0), (6, 1)]; 6];
    found.resize(8, &[(5, 1), (6, 0)]);
    let sequence = sequence(&truth, &found);
    assert_eq!(sequence.clear().switches, 2);
    close(sequence.identity().idf1, 0.75);
    // Of each object six hits with 6 of 10, two with 2 of 14: (12·0.6 + 4·1/7) / 16.
    close(sequence.hota().ass_a, (12.0 * 0.6 + 4.0 / 7.0) / 16.0);
}

#[test]
fn nothing_there_and_nothing_found_is_no_fault() {
    let mut sequence = Sequence::default();
    sequence.push(&[], &[], |_, _| 0.0);
    close(sequence.hota().hota, 1.0);
    close(sequence.identity().idf1, 1.0);
    let mut missed = Sequence::default();
    missed.push(&[1], &[], |_, _| 0.0);
    close(missed.hota().hota, 0.0);
    close(missed.identity().idf1, 0.0);
}

type Frames = Vec<(Vec<u32>, Vec<u32>)>;

fn frames() -> impl Strategy<Value = Frames> {
    let ids = || proptest::collection::btree_set(0u32..5, 0..5).prop_map(|set| set.into_iter().collect::<Vec<u32>>());
    proptest::collection::vec((ids(), ids()), 1..25)
}

fn any_likeness(truth: u32, found: u32, frame: usize) -> f32 {
    ((truth * 31 + found * 57 + frame as u32 * 13) % 101) as f32 / 100.0
}

proptest! {
    #[test]
    fn the_truth_itself_is_perfect(frames in frames()) {
        let mut sequence = Sequence::default();
        for (truth, _) in &frames {
            sequence.push(truth, truth, |r, c| f32::from(u8::from(r == c)));
        }
        let (hota, clear) = (sequence.hota(), sequence.clear());
        prop_assert!((hota.hota - 1.0).abs() < 1e-5 && (sequence.identity().idf1 - 1.0).abs() < 1e-5);
        prop_assert_eq!((clear.switches, clear.missed, clear.invented), (0, 0, 0));
    }

    /// What ids are called and in which order they come says nothing.
    #[test]
    fn renamed_and_turned_round_is_the_same(frames in frames()) {
        let (mut plain, mut renamed) = (Sequence::default(), Sequence::default());
        for (at, (truth, found)) in frames.iter().enumerate() {
            plain.push(truth, found, |r, c| any_likeness(truth[r], found[c], at));
            let (other_truth, other_found): (Vec<u32>, Vec<u32>) =
                (truth.iter().rev().map(|id| 900 - 7 * id).collect(), found.iter().rev().map(|id| id ^ 0x55).collect());
            renamed.push(&other_truth, &other_found, |r, c| {
                any_likeness(truth[truth.len() - 1 - r], found[found.len() - 1 - c], at)
            });
        }
        prop_assert!((plain.identity().idf1 - renamed.identity().idf1).abs() < 1e-5);
        prop_assert!((plain.hota().hota - renamed.hota().hota).abs() < 0.02, "{:?} {:?}", plain.hota(), renamed.hota());
    }

    #[test]
    fn everything_lies_between_nothing_and_one(frames in frames()) {
        let mut sequence = Sequence::default();
        for (at, (truth, found)) in frames.iter().enumerate() {
            sequence.push(truth, found, |r, c| any_likeness(truth[r], found[c], at));
        }
        let (hota, identity) = (sequence.hota(), sequence.identity());
        for value in [hota.hota, hota.det_a, hota.ass_a, hota.loc_a, identity.idf1, identity.precision, identity.recall] {
            prop_assert!((0.0..=1.0 + 1e-5).contains(&value), "{value}");
        }
        prop_assert!(sequence.clear().mota <= 1.0);
    }
}
