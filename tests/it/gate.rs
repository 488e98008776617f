//! The indication gate of the shipped engine on whole pictures: what is let through and what is refused. Pictures get stamps
//! of their own, so that a busy machine changes nothing.

use crate::support::{root, shared};
use keyhole::base::clock::MonotonicClock;
use keyhole::base::ids::FrameId;
use keyhole::capture::{self, Pull};
use keyhole::frame::{FrameView, Stamps};
use keyhole::scene::{Scene, Trust, Verdict};
use keyhole::track::Analyser;
use std::sync::Arc;
use std::time::Duration;

const SIM: &str = "sim:?width=320&height=180&fps=15&seconds=2";
const STEP_NS: u64 = 33_000_000;

/// Up to `most` pictures of a source, analysed in their order.
fn scenes(source: &str, most: u64) -> Vec<Scene> {
    let engine = keyhole::store::load(&root().join("engines/surgical-cpu")).unwrap();
    let mut analyser = Analyser::load(engine).unwrap();
    let mut source = capture::open(source, &capture::Settings::default(), Arc::new(MonotonicClock)).unwrap();
    let mut scenes = Vec::new();
    while (scenes.len() as u64) < most {
        match source.pull(Duration::from_secs(5)).unwrap() {
            Pull::Picture(picture) => {
                let mut bytes = vec![0; picture.layout.size];
                picture.copy_into(&mut bytes);
                let index = scenes.len() as u64;
                let capture_ns = 1_000_000_000 + STEP_NS * index;
                let stamps = Stamps { id: FrameId(index), pts_ns: capture_ns, capture_ns };
                let view = FrameView::new(&picture.layout, &bytes).unwrap();
                scenes.push(analyser.analyse(view, stamps, &|| true).unwrap().unwrap());
            }
            Pull::End => break,
            Pull::Idle | Pull::Event(_) => {}
        }
    }
    assert!(scenes.len() >= 10, "only {} pictures", scenes.len());
    for scene in &scenes {
        assert_eq!(scene.check(), Ok(()));
        if verdict(scene) != Verdict::Within {
            assert!(scene.frame_state == Trust::Unknown && scene.tracks.is_empty() && scene.tissues.is_empty());
        }
    }
    scenes
}

fn verdict(scene: &Scene) -> Verdict {
    scene.gate.expect("the shipped engine says what it was made for").verdict
}

fn part_within(scenes: &[Scene]) -> f64 {
    scenes.iter().filter(|scene| verdict(scene) == Verdict::Within).count() as f64 / scenes.len() as f64
}

#[test]
fn simulated_operations_are_within_and_their_other_lights_are_not() {
    assert!(part_within(&scenes(SIM, 30)) >= 0.98);
    for look in ["icg", "nbi"] {
        let part = part_within(&scenes(&format!("{SIM}&script=builtin:still&look={look}"), 20));
        assert!(part <= 0.05, "{look}: {part} within");
    }
}

#[test]
fn bars_and_noise_have_no_content() {
    for pattern in ["smpte", "smpte75", "snow", "checkers-8", "blue"] {
        let source =
            format!("gst:videotestsrc pattern={pattern} num-buffers=12 ! video/x-raw,format=NV12,width=640,height=360,framerate=30/1");
        let part = part_within(&scenes(&source, 10));
        assert!(part <= 0.05, "{pattern}: {part} within");
    }
}

#[test]
fn laparoscopy_is_within_and_a_larynx_is_not() {
    const TEST: &str = "laparoscopy_is_within_and_a_larynx_is_not";
    for (path, least, most) in [
        ("clips/laparoscopy-720p25.mp4", 0.98, 1.0),
        ("clips/robotic-576p25-3.avi", 0.98, 1.0),
        ("glottis/0.mp4", 0.0, 0.05),
        ("glottis/40.mp4", 0.0, 0.05),
    ] {
        let Some(file) = shared(TEST, path) else { return };
        let part = part_within(&scenes(file.to_str().unwrap(), 60));
        assert!((least..=most).contains(&part), "{path}: {part} within");
    }
}
