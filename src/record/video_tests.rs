//! Recordings are decoded back with GStreamer.

use super::*;
use crate::base::error::ErrorKind;
use crate::base::random::Random;
use gstreamer_video::prelude::*;
use proptest::prelude::*;

/// All pictures of a file as BGRx with their time stamps, rows without padding.
pub fn decode(path: &Path) -> Vec<(u64, Vec<u8>)> {
    let text = "filesrc name=from ! decodebin ! videoconvert ! video/x-raw,format=BGRx ! appsink name=to sync=false";
    let pipeline = gst::parse::launch(text).unwrap().downcast::<gst::Pipeline>().unwrap();
    pipeline.by_name("from").unwrap().set_property("location", path);
    let sink = pipeline.by_name("to").unwrap().downcast::<gst_app::AppSink>().unwrap();
    pipeline.set_state(gst::State::Playing).unwrap();
    let mut pictures = Vec::new();
    while let Some(sample) = sink.try_pull_sample(gst::ClockTime::from_seconds(10)) {
        let info = gst_video::VideoInfo::from_caps(sample.caps().unwrap()).unwrap();
        let frame = gst_video::VideoFrame::from_buffer_readable(sample.buffer_owned().unwrap(), &info).unwrap();
        let (stride, width) = (frame.plane_stride()[0] as usize, info.width() as usize);
        let rows = frame.plane_data(0).unwrap().chunks(stride).take(info.height() as usize);
        let pixels = rows.flat_map(|row| row[..width * 4].to_vec()).collect();
        pictures.push((sample.buffer().unwrap().pts().unwrap().nseconds(), pixels));
    }
    pipeline.set_state(gst::State::Null).unwrap();
    pictures
}

fn assert_same_colours(got: &[u8], expected: &[u8]) {
    assert_eq!(got.len(), expected.len());
    for (i, (a, b)) in got.chunks(4).zip(expected.chunks(4)).enumerate() {
        assert_eq!(a[..3], b[..3], "pixel {i}");
    }
}

#[test]
fn lossless_gives_back_every_pixel_of_every_picture() {
    let folder = tempfile::tempdir().unwrap();
    for (width, height) in [(64, 48), (101, 67)] {
        let path = folder.path().join("x.mkv");
        let recorder = VideoRecorder::start(&path, width, height, 50.0).unwrap();
        let pictures: Vec<_> = (0..20).map(|n| Random::new(n).bytes(width * height * 4)).collect();
        for (n, picture) in pictures.iter().enumerate() {
            recorder.push_blocking(5_000_000_000 + n as u64 * 20_000_000, |into| into.copy_from_slice(picture)).unwrap();
        }
        let stats = recorder.finish().unwrap();
        assert_eq!((stats.recorded, stats.bytes), (20, std::fs::metadata(&path).unwrap().len()));
        let decoded = decode(&path);
        assert_eq!(decoded.len(), 20);
        for (n, ((pts_ns, got), expected)) in decoded.iter().zip(&pictures).enumerate() {
            assert_eq!(*pts_ns, n as u64 * 20_000_000);
            assert_same_colours(got, expected);
        }
    }
}

#[test]
fn what_is_given_up_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.mkv");
    let recorder = VideoRecorder::start(&path, 64, 48, 25.0).unwrap();
    recorder.push_blocking(0, |into| into.fill(7)).unwrap();
    drop(recorder);
    let recorder = VideoRecorder::start(&path, 64, 48, 25.0).unwrap();
    assert!(matches!(recorder.finish(), Err(RecordError::NoPicture { .. })));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn a_disk_that_takes_no_more_is_told_and_leaves_nothing_behind() {
    if std::fs::File::options().write(true).open("/dev/full").is_err() {
        println!("SKIPPED a_disk_that_takes_no_more_is_told_and_leaves_nothing_behind: no /dev/full");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.mkv");
    std::os::unix::fs::symlink("/dev/full", part_of(&path)).unwrap();
    let recorder = VideoRecorder::start(&path, 320, 240, 25.0).unwrap();
    let picture = Random::new(1).bytes(320 * 240 * 4);
    let error = (0..50u64).find_map(|n| recorder.push_blocking(n * 40_000_000, |into| into.copy_from_slice(&picture)).err());
    let error = error.or_else(|| recorder.finish().err()).expect("a full disk was not noticed");
    assert!(error.to_string().contains("x.mkv") && error.to_string().contains("disk"), "{error}");
    assert!(!path.exists());
}

#[test]
fn what_cannot_work_is_refused_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    std::fs::create_dir(at("dir.mkv")).unwrap();
    let refused = |path: PathBuf, width, words: &str| {
        let error = VideoRecorder::start(&path, width, 48, 25.0).err().expect("refused");
        assert!(error.to_string().contains(words), "{error}");
        assert_eq!(error.kind(), ErrorKind::Stop);
    };
    refused(at("x.mov"), 64, "FILE.mp4");
    refused(at("x"), 64, "no extension");
    refused(at("no/folder/x.mkv"), 64, "folder that exists");
    refused(at("dir.mkv"), 64, "dir.mkv");
    refused(at("x.mkv"), 8, "8×48");
    refused(at("x.mp4"), 64, "FILE.mkv");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}

proptest! {
    #[test]
    fn times_start_at_zero_and_grow(stamps in proptest::collection::vec(0u64..10_000_000_000, 1..60)) {
        let mut times = Times::default();
        let placed: Vec<u64> = stamps.iter().map(|&ns| times.place(ns)).collect();
        prop_assert_eq!(placed[0], 0);
        prop_assert!(placed.is_sorted_by(|a, b| a < b));
    }
}
