use crate::base::ids::ClassId;
use super::*;
use proptest::prelude::*;

const PICTURE: [u32; 2] = [1280, 720];
const FRAME_NS: u64 = 33_333_333;

fn seen(x: f32, y: f32, confidence: f32) -> Detection {
    let bbox = [x - 100.0, y - 40.0, x + 100.0, y + 40.0];
    Detection { class: ClassId(5), confidence, bbox, tip: Some([x - 100.0, y]), axis: Some([-1.0, 0.0]), outlines: Vec::new() }
}

fn ids(tracks: &[Track]) -> Vec<u32> {
    tracks.iter().map(|track| track.id.0).collect()
}

#[test]
fn shown_from_the_second_frame_or_at_once_when_confident() {
    let mut tracker = Tracker::default();
    assert_eq!(ids(&tracker.step(vec![seen(300.0, 300.0, 0.7)], 0, PICTURE)), [0u32; 0]);
    assert_eq!(ids(&tracker.step(vec![seen(305.0, 300.0, 0.7), seen(900.0, 300.0, 0.97)], FRAME_NS, PICTURE)), [0, 1]);
}

#[test]
fn what_was_seen_once_is_forgotten_and_costs_no_id() {
    let mut tracker = Tracker::default();
    for frame in 0..10 {
        let at = 100.0 + 500.0 * (frame % 2) as f32;
        assert!(tracker.step(vec![seen(at, 300.0, 0.6)], frame * FRAME_NS, PICTURE).is_empty());
    }
    tracker.step(vec![seen(1100.0, 600.0, 0.6)], 10 * FRAME_NS, PICTURE);
    assert_eq!(ids(&tracker.step(vec![seen(1100.0, 600.0, 0.6)], 11 * FRAME_NS, PICTURE)), [0]);
}

#[test]
fn an_id_lives_through_a_short_miss_and_not_through_a_long_one() {
    let mut tracker = Tracker::default();
    let mut at = 0;
    let mut step = |detections, skip_ns| {
        at += skip_ns;
        ids(&tracker.step(detections, at, PICTURE))
    };
    step(vec![seen(300.0, 300.0, 0.95)], 0);
    assert_eq!(step(vec![], 100_000_000), [0u32; 0], "not shown while missed");
    assert_eq!(step(vec![seen(310.0, 300.0, 0.95)], 250_000_000), [0]);
    assert_eq!(step(vec![], 100_000_000), [0u32; 0]);
    assert_eq!(step(vec![seen(310.0, 300.0, 0.95)], 350_000_000), [1]);
}

#[test]
fn two_that_pass_each_other_keep_their_ids() {
    let mut tracker = Tracker::default();
    for frame in 0..60u64 {
        let t = frame as f32 / 60.0;
        let (a, b) = (seen(200.0 + 900.0 * t, 330.0, 0.95), seen(1100.0 - 900.0 * t, 390.0, 0.95));
        // In an order that says nothing.
        let swapped = frame % 3 == 1;
        let detections = if swapped { vec![b, a] } else { vec![a, b] };
        let tracks = tracker.step(detections, frame * FRAME_NS, PICTURE);
        let upper = tracks.iter().find(|t| t.bbox[1] < 320.0).unwrap().id.0;
        assert_eq!(upper, 0, "frame {frame}");
        assert_eq!(tracks.len(), 2);
    }
}

#[test]
fn velocity_and_tip_follow_the_motion_also_when_frames_are_skipped() {
    let mut tracker = Tracker::default();
    let mut last = Vec::new();
    for (i, at) in [0u64, 33, 66, 99, 200, 233, 300, 333, 366, 400, 433, 466, 500].into_iter().enumerate() {
        let wobble = if i % 2 == 0 { 1.0 } else { -1.0 };
        last = tracker.step(vec![seen(200.0 + 0.6 * at as f32 + wobble, 300.0, 0.95)], at * 1_000_000, PICTURE);
    }
    let track = &last[0];
    assert!((track.velocity_px_s[0] - 600.0).abs() < 80.0 && track.velocity_px_s[1].abs() < 40.0, "{:?}", track.velocity_px_s);
    assert!((track.tip.unwrap()[0] - 400.0).abs() < 4.0, "{:?}", track.tip);
}

#[test]
fn the_class_is_voted_over_frames() {
    let mut tracker = Tracker::default();
    let mut classes = Vec::new();
    for frame in 0..12 {
        let mut detection = seen(300.0, 300.0, 0.95);
        detection.class = ClassId(if frame == 5 || frame == 9 { 9 } else { 5 });
        classes.extend(tracker.step(vec![detection], frame * FRAME_NS, PICTURE).iter().map(|t| t.class.0));
    }
    assert_eq!(classes, [5; 12]);
}

proptest! {
    /// Whatever is seen whenever: ids are unique in a frame and never come back after they were given up.
    #[test]
    fn ids_are_unique_and_never_reused(frames in proptest::collection::vec(
        (1u64..300_000_000, proptest::collection::vec((0f32..1280.0, 0f32..720.0, 0f32..1.0, any::<bool>()), 0..6)), 1..40)) {
        let mut tracker = Tracker::default();
        let (mut now, mut last_seen) = (0, std::collections::HashMap::new());
        for (skip, detections) in frames {
            now += skip;
            let detections = detections.into_iter().map(|(x, y, confidence, tip)| {
                let mut detection = seen(x, y, confidence);
                if !tip { detection.tip = None; }
                detection
            }).collect();
            let tracks = tracker.step(detections, now, PICTURE);
            for (i, track) in tracks.iter().enumerate() {
                prop_assert!(tracks[..i].iter().all(|other| other.id != track.id));
                prop_assert!(track.velocity_px_s.iter().all(|v| v.abs() <= 12_800.0));
                if let Some(before) = last_seen.insert(track.id, now) {
                    prop_assert!(now - before <= MAX_MISSED_NS);
                }
            }
        }
    }
}
