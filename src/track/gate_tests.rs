//! The gate's timing, with stamps given, and what becomes of a scene that it refuses. Real pictures: `tests/it/gate.rs`.

use super::*;
use crate::base::ids::FrameId;
use crate::infer::testing::{Colorimetry, FrameLayout, HEIGHT, Matrix, PixelFormat, Range, TestEngine, WIDTH, loaded};
use crate::infer::{FrameView, Stamps};
use crate::scene::{Scene, Trust};
use crate::track::Analyser;
use proptest::prelude::*;

const MS: u64 = 1_000_000;

fn steady() -> Steady {
    Steady::new(200, 500)
}

/// Judges frames of one verdict from `from_ms` on, at a rate, for `ms`; what was said of each.
fn show(steady: &mut Steady, verdict: Verdict, from_ms: u64, ms: u64, step_ms: u64) -> Vec<(u64, Verdict)> {
    (0..ms.div_ceil(step_ms)).map(|i| from_ms + i * step_ms).map(|at| (at, steady.judge(verdict, at * MS))).collect()
}

#[test]
fn a_picture_on_its_own_is_judged_at_once() {
    let mut steady = steady();
    for verdict in Verdict::ALL {
        steady.forget();
        assert_eq!(steady.judge(verdict, 7 * MS), verdict);
    }
}

#[test]
fn one_odd_frame_closes_nothing_and_a_lasting_change_does() {
    let mut steady = steady();
    show(&mut steady, Verdict::Within, 0, 1000, 17);
    assert_eq!(steady.judge(Verdict::OffCohort, 1000 * MS), Verdict::Within);
    show(&mut steady, Verdict::Within, 1017, 580, 17);
    let said = show(&mut steady, Verdict::OutOfBody, 1600, 400, 17);
    let closed_at = said.iter().find(|(_, verdict)| *verdict == Verdict::OutOfBody).unwrap().0;
    assert!((50..117).contains(&(closed_at - 1600)), "{closed_at}");
    let said = show(&mut steady, Verdict::Within, 2000, 1000, 17);
    let opened_at = said.iter().find(|(_, verdict)| *verdict == Verdict::Within).unwrap().0;
    assert!((480..=520).contains(&(opened_at - 2000)), "{opened_at}");
}

#[test]
fn the_reason_is_what_was_given_most_of_late() {
    let mut steady = steady();
    show(&mut steady, Verdict::Covered, 0, 300, 17);
    assert_eq!(steady.judge(Verdict::OffCohort, 310 * MS), Verdict::Covered, "one frame changes no reason");
    assert_eq!(show(&mut steady, Verdict::OffCohort, 320, 300, 17).last().unwrap().1, Verdict::OffCohort);
}

proptest! {
    /// Whatever came before and at whatever rate: once all frames are outside, every frame captured 100 ms later or more is
    /// refused; once all are within, none is shown before it has been so for 500 ms, and all are after 500 ms and a step.
    #[test]
    fn a_lasting_change_is_told_in_time(
        before in proptest::collection::vec((0usize..6, 1u64..400), 0..60),
        outside in proptest::collection::vec((1usize..6, 1u64..180), 1..60),
        within in proptest::collection::vec(1u64..90, 1..60),
    ) {
        let (mut steady, mut at) = (steady(), 1_000);
        for (verdict, step) in before {
            at += step;
            steady.judge(Verdict::ALL[verdict], at * MS);
        }
        let (mut began, mut was_closed) = (None, false);
        for (verdict, step) in outside {
            at += step;
            let began = *began.get_or_insert(at);
            was_closed = steady.judge(Verdict::ALL[verdict], at * MS) != Verdict::Within;
            prop_assert!(was_closed || at - began < 100, "{} ms", at - began);
        }
        let last_outside = at;
        for step in within {
            at += step;
            let said = steady.judge(Verdict::Within, at * MS);
            if was_closed {
                prop_assert_eq!(said == Verdict::Within, at - last_outside >= 500, "{} ms", at - last_outside);
            } else {
                prop_assert_eq!(said, Verdict::Within);
            }
        }
    }

    /// Odd frames that are few among many never close the gate.
    #[test]
    fn rare_odd_frames_close_nothing(every in 3u64..30, step_ms in 10u64..40) {
        let mut steady = steady();
        for i in 1..300 {
            let verdict = if i % every == 0 { Verdict::OffCohort } else { Verdict::Within };
            prop_assert_eq!(steady.judge(verdict, i * step_ms * MS), Verdict::Within);
        }
    }
}

/// Uneven and red, with `blue` all over.
fn tissue(x: usize, y: usize, blue: f32) -> [u8; 3] {
    let (u, v) = (x as f32 / WIDTH as f32, y as f32 / HEIGHT as f32);
    let light = 0.75 + 0.05 * (19.0 * u + 3.0 * v).sin() + 0.04 * (9.0 * v - 5.0 * u).cos();
    [light, 0.3 * light, blue * light].map(|value| (255.0 * value).clamp(0.0, 255.0) as u8)
}

fn analyse(analyser: &mut Analyser, at_ms: u64, blue: f32) -> Scene {
    let layout = FrameLayout::new(PixelFormat::Rgb, Colorimetry::sdr(Matrix::Bt709, Range::Full), WIDTH, HEIGHT).unwrap();
    let mut data = vec![0; layout.size];
    for (x, y) in (0..HEIGHT).flat_map(|y| (0..WIDTH).map(move |x| (x, y))) {
        data[layout.planes()[0].stride * y + 3 * x..][..3].copy_from_slice(&tissue(x, y, blue));
    }
    let stamps = Stamps { id: FrameId(at_ms), pts_ns: at_ms * MS, capture_ns: at_ms * MS };
    let scene = analyser.analyse(FrameView::new(&layout, &data).unwrap(), stamps, &|| true).unwrap().unwrap();
    assert_eq!(scene.check(), Ok(()));
    scene
}

#[test]
fn nothing_of_a_refused_frame_is_shown_and_its_reason_is_in_the_scene() {
    let mut analyser = Analyser::load(loaded(&TestEngine::gated())).unwrap();
    let near = analyse(&mut analyser, 1000, 0.2);
    let gate = near.gate.unwrap();
    assert!(gate.verdict == Verdict::Within && (0.2..0.4).contains(&gate.distance.unwrap()), "{gate:?}");
    assert!(near.frame_state != Trust::Unknown && !near.tissues.is_empty());

    let far: Vec<Scene> = (0..10).map(|i| analyse(&mut analyser, 1030 + 30 * i, 0.85)).collect();
    let refused = far.iter().position(|scene| scene.frame_state == Trust::Unknown).unwrap();
    assert!((1..=4).contains(&refused), "{refused}");
    for scene in &far[refused..] {
        assert_eq!(scene.gate.unwrap().verdict, Verdict::OffCohort);
        assert!(scene.gate.unwrap().distance.unwrap() > 1.0);
        assert_eq!((scene.frame_state, scene.unknown_px), (Trust::Unknown, (WIDTH * HEIGHT) as u64));
        assert!(scene.tissues.is_empty() && scene.tracks.is_empty() && scene.mask.ids.iter().all(|&id| id == ClassId::ABSTAINED.0));
    }

    // Pictures on their own are judged at once, either way.
    for (at_ms, blue, state) in [(2000, 0.2, Verdict::Within), (2001, 0.85, Verdict::OffCohort), (2002, 0.2, Verdict::Within)] {
        analyser.forget();
        assert_eq!(analyse(&mut analyser, at_ms, blue).gate.unwrap().verdict, state);
    }
}

#[test]
fn an_engine_that_does_not_say_what_it_was_made_for_has_no_gate() {
    let mut analyser = Analyser::load(loaded(&TestEngine::maps())).unwrap();
    assert_eq!(analyse(&mut analyser, 1000, 0.85).gate, None);
}
