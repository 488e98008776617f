//! Recordings are decoded back with GStreamer.

use super::*;
use crate::base::random::Random;
use crate::frame::{Colorimetry, FrameLayout, FrameView, Matrix, PixelFormat, Range};
use crate::record::encoder::copy_planes;
use crate::record::video::tests::decode;
use std::sync::atomic::AtomicUsize;
use std::time::Instant;

/// What no step of a test takes on the slowest machine.
const PATIENCE: Duration = Duration::from_secs(60);

fn plan(settings: Settings, fps: f64) -> RecordPlan {
    RecordPlan { wall_s: || 1_795_321_194, ..RecordPlan::new(settings, "test", fps, Vec::new()) }
}

fn engine(name: &str) -> EngineLine {
    serde_json::from_value(serde_json::json!({
        "name": name, "backend": "cpu", "heads": [], "model_sha256": "", "manifest_sha256": "", "is_normalised": false, "signature": "",
        "is_demonstration": true,
    }))
    .unwrap()
}

fn settings() -> Settings {
    Settings { min_free_mb: 0, ..Settings::default() }
}

/// A grey whose level names the picture; black and white are among them, so that a wrong range or matrix shows.
fn level(n: u64) -> u8 {
    51 * (n % 6) as u8
}

/// Offers until the encoder has room: for tests that want every picture.
fn insist(recorder: &mut Recorder, stream: Stream, input: Input, frame: u64, capture_ns: u64, grey: u8) {
    insist_on(recorder, stream, input, frame, capture_ns, &|target| target.fill(grey));
}

fn insist_on(recorder: &mut Recorder, stream: Stream, input: Input, frame: u64, capture_ns: u64, paint: &dyn Fn(&mut [u8])) {
    let start = Instant::now();
    let tally = recorder.tally.clone().unwrap();
    let before = tally.recorded(stream);
    while tally.recorded(stream) == before {
        assert!(start.elapsed() < PATIENCE && !tally.has_stopped(stream), "{:?}", recorder.trouble());
        // A rate of its own would leave pictures out: here the test is the slow one.
        if let Slot::Open(feed) = recorder.slot(stream) {
            feed.rate = Rate::default();
        }
        recorder.offer(stream, input, frame, capture_ns, |target, _| paint(target));
        std::thread::yield_now();
    }
}

fn assert_grey(pixels: &[u8], expected: u8) {
    let middle = pixels.len() / 8 * 4;
    assert!(pixels[middle].abs_diff(expected) <= 7, "{} for {expected}", pixels[middle]);
}

/// Start in s and name of each chapter, as players see them. None where there is no ffprobe.
fn chapters(path: &Path, test: &str) -> Option<Vec<(f64, String)>> {
    let ran = std::process::Command::new("ffprobe").args(["-v", "error", "-show_chapters", "-of", "json"]).arg(path).output();
    let Ok(output) = ran else {
        println!("SKIPPED the chapters of {test}: ffprobe is not installed");
        return None;
    };
    assert!(output.status.success() && output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let read = |chapter: &serde_json::Value| {
        let start_s: f64 = chapter["start_time"].as_str().unwrap().parse().unwrap();
        (start_s, chapter["tags"]["title"].as_str().unwrap().trim_end().to_owned())
    };
    Some(json["chapters"].as_array().unwrap().iter().map(read).collect())
}

#[test]
fn order_times_and_greys_are_kept_and_odd_sizes_work() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.mp4");
    let mut recorder = Recorder::new(RecordPlan { engines: vec![engine("first")], ..plan(settings(), 25.0) }).unwrap();
    assert!(!recorder.is_recording() && recorder.state() == RecordingState::default());
    recorder.start(Some(vec![(Stream::Overlay, path.clone())]));
    let input = Input::Presented { width: 101, height: 67 };
    recorder.open_now(Stream::Overlay, input).unwrap();
    // The rate varies: 25 a second, then 10.
    let time_ns = |n: u64| 7_000_000_000 + n * 40_000_000 + n.saturating_sub(20) * 60_000_000;
    for n in 0..40 {
        insist(&mut recorder, Stream::Overlay, input, n, time_ns(n), level(n));
    }
    assert_eq!(recorder.mark(39, time_ns(39)), Some(1));
    recorder.name_engine(engine("another"));
    let state = recorder.state();
    assert!(state.recording && (state.seconds - 2.7).abs() < 0.01, "{state:?}");
    recorder.finish().1.unwrap();
    let decoded = decode(&path);
    assert_eq!(decoded.len(), 40);
    for (n, (pts_ns, pixels)) in decoded.iter().enumerate() {
        assert!(pts_ns.abs_diff(time_ns(n as u64) - 7_000_000_000) < 20_000, "picture {n} at {pts_ns}");
        assert_eq!(pixels.len(), 100 * 66 * 4);
        assert_grey(pixels, level(n as u64));
    }
    let sidecar = Sidecar::load(&sidecar_path(&path)).unwrap();
    assert_eq!(
        (sidecar.stream, sidecar.started.as_str(), sidecar.start_capture_ns),
        (Stream::Overlay, "2026-11-22T04:19:54Z", Some(7_000_000_000))
    );
    assert_eq!(sidecar.markers, [Marker { number: 1, at_ms: 2_700.0, frame: 39 }]);
    assert_eq!(sidecar.engines, [engine("first"), engine("another")]);
    if let Some(found) = chapters(&path, "order_times_and_greys_are_kept_and_odd_sizes_work") {
        assert_eq!(found, [(2.7, "mark 1".to_owned())]);
    }
    assert_eq!((sidecar.segments.len(), sidecar.segments[0].pictures, sidecar.segments[0].last_frame), (1, 40, 39));
    assert!(sidecar.is_finished && sidecar.trouble.is_none());
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2);
}

#[test]
fn captured_planes_come_back_as_they_were() {
    let folder = tempfile::tempdir().unwrap();
    for (format, range) in [(PixelFormat::Nv12, Range::Limited), (PixelFormat::I420, Range::Full), (PixelFormat::Rgb, Range::Full)] {
        let path = folder.path().join(format!("{}.mp4", format.name()));
        let layout = FrameLayout::new(format, Colorimetry { matrix: Matrix::Bt709, range, transfer: Default::default() }, 130, 70).unwrap();
        let mut recorder = Recorder::new(plan(Settings { quality: 4, ..settings() }, 25.0)).unwrap();
        recorder.start(Some(vec![(Stream::Clean, path.clone())]));
        assert!(recorder.wants(Stream::Clean) && !recorder.wants(Stream::Overlay));
        let input = Input::Captured(layout);
        recorder.open_now(Stream::Clean, input).unwrap();
        // Left half dark, right half bright; padding between the rows is rubbish.
        let mut data = vec![0xee; layout.size];
        for plane in layout.planes() {
            for y in 0..plane.rows {
                let row = &mut data[plane.offset + y * plane.stride..][..plane.row_bytes];
                let is_luma = plane.offset == 0;
                row.fill(if is_luma { 40 } else { 128 });
                row[plane.row_bytes / 2..].fill(if is_luma { 200 } else { 128 });
            }
        }
        let view = FrameView::new(&layout, &data).unwrap();
        for n in 0..10 {
            recorder.offer(Stream::Clean, input, n, n * 40_000_000, |target, info| copy_planes(&view, target, info));
        }
        recorder.finish().1.unwrap();
        let decoded = decode(&path);
        assert_eq!(decoded.len(), 10);
        let rgb = |y: f64| if range == Range::Limited { ((y - 16.0) * 255.0 / 219.0).round() as u8 } else { y as u8 };
        for (_, pixels) in decoded {
            let at = |x: usize, y: usize| pixels[(y * 130 + x) * 4];
            // The conversion from RGB rounds chroma.
            let near = if format == PixelFormat::Rgb { 7 } else { 4 };
            for y in [2, 35, 67] {
                assert!(
                    at(20, y).abs_diff(rgb(40.0)) <= near && at(110, y).abs_diff(rgb(200.0)) <= near,
                    "{format:?}: {} {}",
                    at(20, y),
                    at(110, y)
                );
            }
        }
    }
}

#[test]
fn segments_hold_every_picture_once_and_each_plays_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("case.mp4");
    let mut recorder = Recorder::new(plan(Settings { segment_s: 2, ..settings() }, 10.0)).unwrap();
    recorder.start(Some(vec![(Stream::Overlay, path.clone())]));
    let input = Input::Presented { width: 64, height: 48 };
    for n in 0..75 {
        insist(&mut recorder, Stream::Overlay, input, 1000 + n, (n + 5) * 100_000_000, level(n));
    }
    recorder.finish().1.unwrap();
    let sidecar = Sidecar::load(&sidecar_path(&path)).unwrap();
    assert_eq!(sidecar.segments.len(), 4);
    let mut n = 0;
    for (i, segment) in sidecar.segments.iter().enumerate() {
        assert_eq!(segment.file, format!("case-{:04}.mp4", i + 1));
        assert_eq!((segment.first_frame, segment.start_ms), (1000 + n, n as f64 * 100.0));
        let decoded = decode(&folder.path().join(&segment.file));
        assert_eq!(decoded.len() as u64, segment.pictures);
        for (pts_ns, pixels) in decoded {
            assert_eq!(pts_ns + (segment.start_ms * 1e6) as u64, n * 100_000_000);
            assert_grey(&pixels, level(n));
            n += 1;
        }
        assert_eq!(segment.last_frame, 999 + n);
    }
    assert_eq!(n, 75);
}

#[test]
fn a_source_that_changes_its_format_goes_on_in_another_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.mp4");
    let mut recorder = Recorder::new(plan(settings(), 25.0)).unwrap();
    recorder.start(Some(vec![(Stream::Overlay, path.clone())]));
    for n in 0..60 {
        let input = if n < 30 { Input::Presented { width: 64, height: 48 } } else { Input::Presented { width: 96, height: 64 } };
        insist(&mut recorder, Stream::Overlay, input, n, n * 40_000_000, level(n));
    }
    recorder.finish().1.unwrap();
    let (first, second) = (decode(&path), decode(&folder.path().join("x-0002.mp4")));
    assert_eq!((first.len(), first[0].1.len(), second.len(), second[0].1.len()), (30, 64 * 48 * 4, 30, 96 * 64 * 4));
}

#[test]
fn an_encoder_that_is_behind_costs_pictures_at_a_beat_and_counts_them() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.mp4");
    let mut recorder = Recorder::new(plan(settings(), 60.0)).unwrap();
    recorder.start(Some(vec![(Stream::Overlay, path.clone())]));
    let (width, height) = (1280, 720);
    let input = Input::Presented { width, height };
    recorder.open_now(Stream::Overlay, input).unwrap();
    let picture = Random::new(1).bytes(width * height * 4);
    for n in 0..90u64 {
        recorder.offer(Stream::Overlay, input, n, n * 16_666_667, |target, _| target.copy_from_slice(&picture));
    }
    let tally = recorder.tally.clone().unwrap();
    let state = recorder.state();
    assert_eq!((state.alarm, state.recording), (Some(RecordAlarm::Slow), true));
    let (losses, outcome) = recorder.finish();
    outcome.unwrap();
    assert!(losses["record_overlay_encoder_slow"] >= 3 && losses["record_overlay_half_rate"] > 0, "{losses:?}");
    assert_eq!(tally.recorded(Stream::Overlay) + losses.values().sum::<u64>(), 90);
    assert_eq!(decode(&path).len() as u64, tally.recorded(Stream::Overlay));
    let sidecar = Sidecar::load(&sidecar_path(&path)).unwrap();
    assert_eq!(sidecar.left_out.values().sum::<u64>(), losses.values().sum::<u64>());
}

/// Readers of `stalled_pipe` that may read.
static READING: AtomicUsize = AtomicUsize::new(0);

/// A disk that takes nothing until it is told to: a pipe that nobody reads.
fn stalled_pipe(path: &Path) -> io::Result<File> {
    rustix::fs::mkfifoat(rustix::fs::CWD, path, rustix::fs::Mode::from_raw_mode(0o600))?;
    let reader = path.to_owned();
    std::thread::spawn(move || {
        let mut file = File::open(reader).unwrap();
        while READING.load(Ordering::Acquire) == 0 {
            std::thread::park_timeout(Duration::from_millis(10));
        }
        io::copy(&mut file, &mut io::sink()).unwrap();
    });
    File::options().write(true).open(path)
}

/// How often this thread has given up its core to wait for something.
fn voluntary_waits() -> u64 {
    let status = std::fs::read_to_string("/proc/thread-self/status").unwrap();
    status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:")).unwrap().trim().parse().unwrap()
}

#[test]
fn a_disk_that_hangs_makes_nobody_wait_and_every_picture_is_counted() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.mp4");
    let mut recorder = Recorder::new(RecordPlan { open: stalled_pipe, ..plan(settings(), 25.0) }).unwrap();
    recorder.start(Some(vec![(Stream::Overlay, path)]));
    let input = Input::Presented { width: 320, height: 240 };
    recorder.open_now(Stream::Overlay, input).unwrap();
    let tally = recorder.tally.clone().unwrap();
    let picture = Random::new(1).bytes(320 * 240 * 4);
    let start = Instant::now();
    let (mut offered, mut waited) = (0u64, 0);
    while tally.left_out(Stream::Overlay).get("disk_slow").copied().unwrap_or(0) < 20 {
        assert!(start.elapsed() < PATIENCE, "{:?}", tally.left_out(Stream::Overlay));
        let before = voluntary_waits();
        recorder.offer(Stream::Overlay, input, offered, offered * 40_000_000, |target, _| target.copy_from_slice(&picture));
        waited += voluntary_waits() - before;
        offered += 1;
        // Time for the encoder, which is not what is slow here.
        std::thread::sleep(Duration::from_millis(1));
    }
    // A lock of the allocator's or GStreamer's may be met now and then; a disk would be met each time.
    assert!(waited <= offered / 20, "{waited} waits in {offered} offers");
    assert_eq!(recorder.state().alarm, Some(RecordAlarm::Slow));
    READING.store(1, Ordering::Release);
    let (losses, outcome) = recorder.finish();
    outcome.unwrap();
    assert_eq!(tally.recorded(Stream::Overlay) + losses.values().sum::<u64>(), offered);
}

#[test]
fn a_full_disk_stops_the_recording_with_its_name_and_nothing_else() {
    if File::options().write(true).open("/dev/full").is_err() {
        println!("SKIPPED a_full_disk_stops_the_recording_with_its_name_and_nothing_else: no /dev/full");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.mp4");
    let open = |_: &Path| File::options().write(true).open("/dev/full");
    let mut recorder = Recorder::new(RecordPlan { open, ..plan(settings(), 25.0) }).unwrap();
    recorder.start(Some(vec![(Stream::Overlay, path)]));
    let input = Input::Presented { width: 64, height: 48 };
    let start = Instant::now();
    let mut n = 0;
    while recorder.state().alarm != Some(RecordAlarm::DiskFull) {
        assert!(start.elapsed() < PATIENCE, "{:?}", recorder.state());
        recorder.offer(Stream::Overlay, input, n, n * 40_000_000, |target, _| target.fill(level(n)));
        std::thread::yield_now();
        n += 1;
    }
    recorder.offer(Stream::Overlay, input, n, n * 40_000_000, |_, _| panic!("nobody takes it"));
    assert!(!recorder.state().recording && recorder.trouble().is_some());
    let (losses, outcome) = recorder.finish();
    let error = outcome.unwrap_err();
    assert!(matches!(error, RecordError::Stopped { .. }) && error.to_string().contains("space"), "{error}");
    assert!(losses["record_overlay_stopped"] >= 1);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn a_key_starts_and_stops_recordings_with_names_of_their_own_within_the_budget() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("recordings");
    let own =
        Settings { dir: Some(dir.clone()), streams: vec![Stream::Overlay, Stream::Clean], disk_budget_mb: 1, quality: 1, ..settings() };
    let mut recorder = Recorder::new(plan(own, 25.0)).unwrap();
    let layout = FrameLayout::new(
        PixelFormat::Nv12,
        Colorimetry { matrix: Matrix::Bt709, range: Range::Limited, transfer: Default::default() },
        64,
        48,
    )
    .unwrap();
    let (width, height) = (160, 120);
    let (input, picture) = (Input::Presented { width, height }, Random::new(5).bytes(width * height * 4));
    let mut frame = 0;
    for _ in 0..2 {
        recorder.toggle();
        for _ in 0..8 {
            insist_on(&mut recorder, Stream::Overlay, input, frame, frame * 40_000_000, &|target| target.copy_from_slice(&picture));
            insist(&mut recorder, Stream::Clean, Input::Captured(layout), frame, frame * 40_000_000, 128);
            frame += 1;
        }
        recorder.toggle();
        assert!(!recorder.is_recording());
    }
    std::fs::create_dir_all(&dir).unwrap();
    let foreign = dir.join("20261122T041954Z-overlay-0001.mp4");
    std::fs::write(&foreign, vec![0; 2 << 20]).unwrap();
    // A third one that would grow without end: the first two make room, then it stops.
    recorder.toggle();
    let start = Instant::now();
    let tally = recorder.tally.clone().unwrap();
    while !tally.has_stopped(Stream::Overlay) {
        assert!(start.elapsed() < PATIENCE, "the budget was not kept");
        recorder.offer(Stream::Overlay, input, frame, frame * 40_000_000, |target, _| target.copy_from_slice(&picture));
        std::thread::yield_now();
        frame += 1;
    }
    assert_eq!(tally.alarm(), Some(RecordAlarm::DiskFull));
    let (_, outcome) = recorder.finish();
    assert!(outcome.unwrap_err().to_string().contains("disk_budget_mb"));
    let there = |name: &str| dir.join(format!("20261122T041954Z{name}")).exists();
    assert!(!there("-overlay.mp4") && !there("-overlay.recording.json"), "the oldest has made room, with its sidecar");
    assert!(there("-3-overlay.mp4") && there("-3-overlay.recording.json") && there("-overlay-0001.mp4"));
    let ours = std::fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().path()).filter(|path| *path != foreign);
    let bytes: u64 = ours.filter(|path| path.extension().is_some_and(|e| e == "mp4")).map(|path| path.metadata().unwrap().len()).sum();
    assert!((500 << 10..=1 << 20).contains(&bytes), "{bytes}");
    assert!(!decode(&dir.join("20261122T041954Z-3-overlay.mp4")).is_empty(), "it plays up to where it stopped");
}

/// As after a wall clock that was set back, over and over.
#[test]
fn recordings_of_one_second_have_names_of_their_own() {
    let folder = tempfile::tempdir().unwrap();
    let date = "20261122T041954Z";
    for n in 2..1_000 {
        std::fs::write(folder.path().join(format!("{date}-{n}-clean.mp4")), "kept").unwrap();
    }
    for is_numbered in [false, true] {
        for _ in 0..5 {
            let path = free_name(folder.path(), date, Stream::Clean, is_numbered);
            let first = Naming { path, is_numbered }.file(1);
            assert!(!first.exists(), "{}", first.display());
            std::fs::write(first, "kept").unwrap();
        }
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 998 + 10);
}
