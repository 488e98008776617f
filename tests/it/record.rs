//! What a run leaves behind can be trusted: recordings are what was presented.

use crate::support::{Run, SMALL_SIM};
use gstreamer::prelude::*;
use xxhash_rust::xxh3::{xxh3_64, xxh3_128};

/// BGRx pictures of a file, decoded by GStreamer.
fn pictures(path: &std::path::Path) -> Vec<Vec<u8>> {
    gstreamer::init().unwrap();
    let description =
        format!("filesrc location={} ! matroskademux ! avdec_ffv1 ! video/x-raw,format=BGRx ! appsink name=out sync=false", path.display());
    let pipeline = gstreamer::parse::launch(&description).unwrap().downcast::<gstreamer::Pipeline>().unwrap();
    let sink = pipeline.by_name("out").unwrap().downcast::<gstreamer_app::AppSink>().unwrap();
    pipeline.set_state(gstreamer::State::Playing).unwrap();
    let mut pictures = Vec::new();
    while let Ok(sample) = sink.pull_sample() {
        pictures.push(sample.buffer().unwrap().map_readable().unwrap().to_vec());
    }
    pipeline.set_state(gstreamer::State::Null).unwrap();
    pictures
}

#[test]
fn a_lossless_recording_is_what_was_presented() {
    let run = Run::new(&["--source", SMALL_SIM, "--frames", "24", "--record", "{}/x.mkv", "--timeline", "{}/t.jsonl"]);
    let report = run.report();
    assert_eq!((&report["frames"]["captured"], &report["frames"]["displayed"]), (&24.into(), &24.into()));
    let timeline = run.lines("t.jsonl");
    let pictures = pictures(&run.path("x.mkv"));
    assert_eq!((pictures.len(), timeline.len()), (24, 24));
    for (picture, line) in pictures.iter().zip(&timeline) {
        // The fourth byte is not recorded; presented pictures have 255 there.
        let whole: Vec<u8> = picture.chunks_exact(4).flat_map(|p| [p[0], p[1], p[2], 255]).collect();
        let rows: Vec<u8> = whole.chunks_exact(640 * 4).flat_map(|row| xxh3_64(row).to_ne_bytes()).collect();
        assert_eq!(line["picture_hash"], format!("{:032x}", xxh3_128(&rows)), "frame {}", line["frame"]);
        assert_eq!(line["scene_frame"], line["frame"], "each frame waits for its own scene");
    }
}

#[test]
fn a_recording_for_people_plays_and_costs_no_frame() {
    let run = Run::new(&["--source", SMALL_SIM, "--frames", "45", "--record", "{}/x.mp4"]);
    let report = run.report();
    assert_eq!(report["frames"]["captured"], report["frames"]["displayed"]);
    assert_eq!(run.left(), ["report.json", "x.mp4", "x.recording.json"]);
    let bytes = std::fs::read(run.path("x.mp4")).unwrap();
    assert_eq!(&bytes[4..8], b"ftyp");
}
