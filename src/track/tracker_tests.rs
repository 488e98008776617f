use super::super::memory::REMEMBERED_NS;
use super::*;
use crate::base::ids::ClassId;
use crate::scene::Trust;
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

fn those_departed(tracker: &Tracker) -> Vec<Departed> {
    let mut departed = Vec::new();
    tracker.departed(&mut departed);
    departed
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
    assert_eq!(step(vec![seen(310.0, 300.0, 0.95)], REMEMBERED_NS + 500_000_000), [1]);
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

/// It came in faster than it had been believed to go, and its tip was left behind in the middle of the shaft for as long as it moved.
#[test]
fn the_tip_keeps_up_with_an_instrument_that_is_thrust_in() {
    let mut tracker = Tracker::default();
    let at = |frame: u64| if frame < 4 { 60.0 + 136.0 * frame as f32 } else { 468.0 + 80.0 * (frame - 3) as f32 };
    for frame in 0..9 {
        let tracks = tracker.step(vec![shaft(true, at(frame), 440.0)], frame * 40_000_000, PICTURE);
        if let Some(track) = tracks.first() {
            let tip = track.tip.unwrap();
            assert!((tip[0] - at(frame)).abs() < 40.0 && (tip[1] - 440.0).abs() < 5.0, "frame {frame}: {tip:?}, it is at {}", at(frame));
        }
    }
}

/// At rest for long, then off at once: the tip is doubted for a moment, not for as long as it moves.
#[test]
fn the_tip_follows_a_sudden_start_within_a_tenth_of_a_second() {
    let mut tracker = Tracker::default();
    let at = |frame: u64| 200.0 + 85.0 * frame.saturating_sub(19) as f32;
    for frame in 0..27 {
        let tracks = tracker.step(vec![shaft(true, at(frame), 440.0)], frame * 40_000_000, PICTURE);
        let tip = tracks.first().map(|track| track.tip.unwrap());
        if let Some(tip) = tip.filter(|_| !(20..24).contains(&frame)) {
            assert!((tip[0] - at(frame)).abs() < 40.0, "frame {frame}: {tip:?}, it is at {}", at(frame));
        }
    }
}

/// Of a grasper that left through the top rim the mask held on to pieces, and the camera followed it: no mark was set.
#[test]
fn one_that_leaves_in_pieces_while_the_camera_goes_with_it_is_marked_too() {
    let mut tracker = Tracker::default();
    let mut now = 0;
    let mut step = |tracker: &mut Tracker, detections: Vec<Detection>, camera: f32| {
        now += FRAME_NS;
        tracker.compensate([camera, 0.0], now, PICTURE);
        tracker.step(detections, now, PICTURE);
        those_departed(tracker)
    };
    for _ in 0..40 {
        step(&mut tracker, vec![shaft(true, 300.0, 300.0)], 0.0);
    }
    for frame in 0..8 {
        let mut piece = shaft(true, 150.0 - 10.0 * frame as f32, 300.0);
        (piece.confidence, piece.tip, piece.axis) = (0.55, None, None);
        step(&mut tracker, vec![piece], 0.01);
    }
    let mut departed = Vec::new();
    for _ in 0..16 {
        departed = step(&mut tracker, vec![], 0.0);
    }
    assert_eq!(departed.iter().map(|departed| departed.id).collect::<Vec<_>>(), [TrackId(0)]);
    // Something of another look comes in at that very place: nothing is said to have left there while it is seen.
    let mut look = Look::default();
    for _ in 0..3 {
        now += FRAME_NS;
        look = Look::of(std::iter::repeat_n([0.9, 0.1, 0.1], 40));
        tracker.step_with(&mut vec![shaft(true, 80.0, 310.0)], &[look], now, PICTURE, &mut Spare::default());
    }
    assert!(look.likeness(&look).is_some() && those_departed(&tracker).is_empty());
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

/// A shaft of that length that comes in through the left rim (or the right one) at height `y`.
fn shaft(is_left: bool, length: f32, y: f32) -> Detection {
    let (x0, x1, tip, way) = if is_left { (0.0, length, length, 1.0) } else { (1280.0 - length, 1280.0, 1280.0 - length, -1.0) };
    let outline = vec![[x0, y - 20.0], [x1, y - 20.0], [x1, y + 20.0], [x0, y + 20.0]];
    let bbox = [x0, y - 20.0, x1, y + 20.0];
    Detection { class: ClassId(5), confidence: 0.9, bbox, tip: Some([tip, y]), axis: Some([way, 0.0]), outlines: vec![outline] }
}

#[test]
fn an_instrument_that_comes_back_where_it_left_is_known_again() {
    let mut tracker = Tracker::default();
    let mut now = 0;
    let mut step = |tracker: &mut Tracker, detections: Vec<Detection>| {
        now += FRAME_NS;
        (ids(&tracker.step(detections, now, PICTURE)), those_departed(tracker))
    };
    for frame in 0..40 {
        step(&mut tracker, vec![shaft(true, 500.0 - 12.0 * frame as f32, 300.0)]);
    }
    let mut departed = Vec::new();
    for _ in 0..60 {
        departed = step(&mut tracker, vec![]).1;
    }
    assert_eq!(departed.len(), 1);
    assert_eq!((departed[0].id, departed[0].at), (TrackId(0), [0.0, 300.0]));
    // Another one through the other wall, then the first again.
    step(&mut tracker, vec![shaft(false, 60.0, 500.0)]);
    assert_eq!(step(&mut tracker, vec![shaft(false, 70.0, 500.0)]).0, [1]);
    step(&mut tracker, vec![shaft(true, 60.0, 330.0), shaft(false, 80.0, 500.0)]);
    let (seen, departed) = step(&mut tracker, vec![shaft(true, 70.0, 330.0), shaft(false, 80.0, 500.0)]);
    assert_eq!((seen, departed), (vec![0, 1], vec![]));
}

#[test]
fn one_missed_frame_is_bridged_unsure_and_a_second_is_not() {
    let mut tracker = Tracker::default();
    for frame in 0..10 {
        tracker.step(vec![shaft(true, 500.0 + 6.0 * frame as f32, 300.0)], frame * FRAME_NS, PICTURE);
    }
    let bridged = tracker.step(vec![], 10 * FRAME_NS, PICTURE);
    assert_eq!((ids(&bridged), bridged[0].state), (vec![0], Trust::Unsure));
    assert!((bridged[0].tip.unwrap()[0] - 560.0).abs() < 12.0, "{:?}", bridged[0].tip);
    assert!(tracker.step(vec![], 11 * FRAME_NS, PICTURE).is_empty());
}

#[test]
fn little_confidence_continues_a_track_and_starts_none() {
    let mut tracker = Tracker::default();
    let faint = |length: f32| Detection { confidence: 0.45, ..shaft(true, length, 300.0) };
    for frame in 0..10 {
        assert!(tracker.step(vec![faint(500.0)], frame * FRAME_NS, PICTURE).is_empty());
    }
    tracker.step(vec![shaft(true, 500.0, 300.0)], 10 * FRAME_NS, PICTURE);
    assert_eq!(ids(&tracker.step(vec![shaft(true, 500.0, 300.0)], 11 * FRAME_NS, PICTURE)), [0]);
    for frame in 12..30 {
        assert_eq!(ids(&tracker.step(vec![faint(500.0)], frame * FRAME_NS, PICTURE)), [0]);
    }
}

#[test]
fn an_instrument_that_something_lies_across_stays_one() {
    let mut tracker = Tracker::default();
    for frame in 0..10 {
        tracker.step(vec![shaft(true, 600.0, 300.0)], frame * FRAME_NS, PICTURE);
    }
    for frame in 10..16 {
        let mut far = shaft(true, 600.0, 300.0);
        far.bbox[0] = 400.0;
        far.outlines[0].iter_mut().for_each(|point| point[0] = point[0].max(400.0));
        let near = Detection { tip: Some([300.0, 300.0]), ..shaft(true, 300.0, 300.0) };
        let tracks = tracker.step(vec![near, far], frame * FRAME_NS, PICTURE);
        assert_eq!(ids(&tracks), [0], "frame {frame}");
        assert_eq!((tracks[0].bbox, tracks[0].outlines.len()), ([0.0, 280.0, 600.0, 320.0], 2));
    }
    assert_eq!(ids(&tracker.step(vec![shaft(true, 600.0, 300.0)], 16 * FRAME_NS, PICTURE)), [0]);
}

#[test]
fn the_tip_does_not_follow_what_hangs_on_it_for_a_moment() {
    let mut tracker = Tracker::default();
    let mut tip = |frame: u64, at: [f32; 2]| {
        let detection = Detection { tip: Some(at), ..shaft(true, 600.0, 300.0) };
        tracker.step(vec![detection], frame * FRAME_NS, PICTURE)[..].first().and_then(|track| track.tip)
    };
    for frame in 0..12 {
        tip(frame, [600.0, 300.0]);
    }
    for frame in 12..14 {
        let shown = tip(frame, [640.0, 380.0]).unwrap();
        assert!(distance(shown, [600.0, 300.0]) < 6.0, "{shown:?}");
    }
    for frame in 14..20 {
        tip(frame, [640.0, 380.0]);
    }
    assert!(distance(tip(20, [640.0, 380.0]).unwrap(), [640.0, 380.0]) < 6.0, "but what stays is true");
}

#[test]
fn what_is_followed_goes_with_the_camera() {
    let mut tracker = Tracker::default();
    for frame in 0..10u64 {
        tracker.compensate([0.0; 2], frame * FRAME_NS, PICTURE);
        tracker.step(vec![seen(600.0, 300.0, 0.95)], frame * FRAME_NS, PICTURE);
    }
    // The camera sets off: a hundredth of the width a frame, all at once.
    tracker.compensate([0.01, 0.0], 10 * FRAME_NS, PICTURE);
    let tracks = tracker.step(vec![seen(612.8, 300.0, 0.95)], 10 * FRAME_NS, PICTURE);
    let full = 12.8 / 0.033_333;
    assert!(tracks[0].velocity_px_s[0] > 0.5 * full && tracks[0].velocity_px_s[0] < 1.2 * full, "{:?}", tracks[0].velocity_px_s);
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
                    prop_assert!(now - before <= REMEMBERED_NS);
                }
            }
        }
    }

    /// Whatever is seen whenever: a mark at the rim is of an instrument that is not in the picture, lies on the rim, stands still
    /// for as long as it is there, and is gone in time.
    #[test]
    fn an_edge_mark_stands_still_on_the_rim_and_goes_in_time(frames in proptest::collection::vec(
        (10_000_000u64..200_000_000, proptest::option::weighted(0.7, (any::<bool>(), 20f32..600.0)), -30f32..30.0), 1..200)) {
        let mut tracker = Tracker::default();
        let (mut now, mut marks) = (0, std::collections::HashMap::new());
        let mut length = 300.0;
        for (skip, present, change) in frames {
            now += skip;
            length = (length + change).clamp(10.0, 700.0);
            let detections = present.map(|(is_left, y)| shaft(is_left, length, y.max(30.0))).into_iter().collect();
            let tracks = tracker.step(detections, now, PICTURE);
            for departed in those_departed(&tracker) {
                prop_assert!(tracks.iter().all(|track| track.id != departed.id));
                prop_assert!(departed.seen_ns <= now && now - departed.seen_ns <= REMEMBERED_NS);
                let [x, y] = departed.at;
                prop_assert!((0.0..=1280.0).contains(&x) && (0.0..=720.0).contains(&y));
                prop_assert!(x == 0.0 || x == 1280.0 || y == 0.0 || y == 720.0);
                let before = *marks.entry((departed.id, departed.seen_ns)).or_insert(departed.at);
                prop_assert_eq!(before, departed.at, "an edge mark moved");
            }
        }
    }
}
