//! The indication gate of the shipped engine, from the picture to the scene stream.

use crate::support::{Run, shared};
use serde_json::Value;

const SIM: &str = "sim:?width=640&height=360&fps=30&seconds=3";

fn scenes(source: &str, frames: &str) -> Vec<Value> {
    let run = Run::new(&["--source", source, "--frames", frames, "--scenes", "{}/s.jsonl"]);
    run.report();
    let lines = run.lines("s.jsonl");
    assert!(lines.len() > 3, "only {} scenes of {source}", lines.len());
    for line in &lines {
        let is_within = line["gate"]["verdict"] == "within";
        assert!(is_within || line["frame_state"] == "unknown", "a refused frame is unknown: {line}");
        assert!(is_within || line["tracks"].as_array().unwrap().is_empty() && line["tissues"].as_array().unwrap().is_empty(), "{line}");
    }
    lines
}

fn part_within(lines: &[Value]) -> f64 {
    lines.iter().filter(|line| line["gate"]["verdict"] == "within").count() as f64 / lines.len() as f64
}

#[test]
fn simulated_operations_are_within_and_their_other_lights_are_not() {
    assert!(part_within(&scenes(SIM, "90")) >= 0.98);
    for look in ["icg", "nbi"] {
        let lines = scenes(&format!("{SIM}&script=builtin:still&look={look}"), "60");
        assert!(part_within(&lines) <= 0.05, "{look}: {}", lines[lines.len() - 1]);
    }
}

#[test]
fn bars_and_noise_have_no_content() {
    for pattern in ["smpte", "smpte75", "snow", "checkers-8", "blue"] {
        let source = format!("gst:videotestsrc pattern={pattern} ! video/x-raw,format=NV12,width=640,height=360,framerate=30/1");
        let lines = scenes(&source, "30");
        assert!(part_within(&lines) <= 0.05, "{pattern}: {}", lines[lines.len() - 1]);
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
        let part = part_within(&scenes(file.to_str().unwrap(), "90"));
        assert!((least..=most).contains(&part), "{path}: {part} within");
    }
}
