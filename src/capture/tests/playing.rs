//! Pacing, looping, lateness, live pipelines, changes of format.

use super::clips::{self, number_of};
use super::{START_NS, Seen, manual, next, next_or_end, open_at};
use crate::base::clock::{Clock, JumpingClock, ManualClock, MonotonicClock};
use crate::base::error::ErrorKind;
use crate::capture::{Pull, SignalEvent};
use crate::frame::{Matrix, PixelFormat};
use gstreamer as gst;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

fn uri(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Number of the picture, from its grey; matrix and range do not matter for it.
fn number(seen: &Seen) -> usize {
    number_of(seen.row(0, seen.layout.height / 2)[seen.layout.width / 2])
}

#[test]
fn files_are_due_by_their_stamps_and_loop_without_a_gap() {
    let folder = tempfile::tempdir().unwrap();
    for (name, through) in [("p.mp4", clips::MP4), ("b.mp4", clips::MP4_B_FRAMES), ("l.mkv", clips::MKV)] {
        let path = clips::numbered(folder.path(), name, through, 11);
        let mut source = open_at(uri(&path), manual());
        assert_eq!((source.info().fps, source.info().live, source.info().width), (25.0, false, 64));
        for n in 0..45u64 {
            let seen = next(&mut *source);
            assert_eq!(number(&seen), n as usize % 11, "{name}: picture {n}");
            assert_eq!((seen.due_ns, seen.pts_ns, seen.skipped), (Some(START_NS + n * 40_000_000), n * 40_000_000, 0), "{name}: {n}");
        }
    }
}

#[test]
fn a_given_rate_wins_over_the_stamps_and_does_not_drift() {
    let folder = tempfile::tempdir().unwrap();
    let path = clips::numbered(folder.path(), "c.mp4", clips::MP4, 13);
    for (rate, num, den) in [("60", 60, 1), ("29.97", 30_000, 1001)] {
        let mut source = open_at(&format!("{}?fps={rate}", uri(&path)), manual());
        assert_eq!(source.info().fps, num as f64 / den as f64);
        for n in 0..64u64 {
            let seen = next(&mut *source);
            let exact = u128::from(n) * 1_000_000_000 * den / num as u128;
            assert_eq!((seen.due_ns, number(&seen)), (Some(START_NS + exact as u64), n as usize % 13));
            assert_eq!(seen.pts_ns, n * 40_000_000, "the position in the source is the file's own");
        }
    }
}

#[test]
fn a_clip_of_one_or_two_pictures_loops_like_any_other() {
    let folder = tempfile::tempdir().unwrap();
    for count in [1, 2] {
        let path = clips::numbered(folder.path(), "short.mp4", clips::MP4, count);
        let mut source = open_at(uri(&path), manual());
        for n in 0..12u64 {
            let seen = next(&mut *source);
            assert_eq!((seen.due_ns, number(&seen)), (Some(START_NS + n * 40_000_000), n as usize % count));
        }
    }
}

#[test]
fn variable_rate_files_keep_their_stamps() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("v.mkv");
    let stamps_ms = [0u64, 50, 70, 200, 210];
    clips::numbered_at(&path, clips::MKV, (64, 48), (0, 1), &stamps_ms.map(|ms| ms * 1_000_000));
    let mut source = open_at(uri(&path), manual());
    let due_ms: Vec<u64> = (0..5).map(|_| (next(&mut *source).due_ns.unwrap() - START_NS) / 1_000_000).collect();
    assert_eq!(due_ms, stamps_ms);
    let looped = next(&mut *source);
    assert!(looped.due_ns.unwrap() - START_NS > 210_000_000 && number(&looped) == 0);
}

#[test]
fn odd_sizes_play() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("odd.avi");
    clips::numbered_at(&path, clips::AVI, (101, 67), (25, 1), &[0, 40_000_000, 80_000_000]);
    let seen = next(&mut *open_at(uri(&path), manual()));
    assert_eq!((seen.layout.width, seen.layout.height, seen.layout.format), (101, 67, PixelFormat::I420));
}

#[test]
fn sound_beside_the_picture_does_not_matter() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sound.mp4");
    clips::write(
        "mp4mux name=m audiotestsrc num-buffers=40 ! avenc_aac ! m. videotestsrc num-buffers=20 ! video/x-raw,width=64,height=48,framerate=25/1 ! x264enc threads=1 ! m. m.",
        &path,
    );
    let mut source = open_at(uri(&path), manual());
    for n in 0..50u64 {
        assert_eq!(next(&mut *source).due_ns, Some(START_NS + n * 40_000_000));
    }
}

#[test]
fn every_tick_of_a_stall_is_a_picture_or_counted_as_skipped() {
    let folder = tempfile::tempdir().unwrap();
    let path = clips::numbered(folder.path(), "c.mp4", clips::MP4, 25);
    let clock = Arc::new(JumpingClock(ManualClock::at(START_NS)));
    let mut source = open_at(uri(&path), clock.clone());
    assert_eq!(next(&mut *source).due_ns, Some(START_NS));
    let (mut ticks, mut skipped) = (0u64, 0);
    for stall_ms in [80, 400, 0, 1_000, 121, 79] {
        clock.0.advance_ns(stall_ms * 1_000_000);
        let seen = next(&mut *source);
        ticks += 1 + u64::from(seen.skipped);
        skipped += u64::from(seen.skipped);
        assert_eq!(seen.due_ns, Some(START_NS + ticks * 40_000_000));
        assert!(seen.due_ns.unwrap() + 100_000_000 >= clock.now_ns(), "at most 100 ms late");
    }
    assert!(skipped >= 30, "{skipped}");
}

/// A machine that stands still for a moment costs delay, never pictures.
#[test]
fn a_stall_of_up_to_100_ms_skips_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = clips::numbered(folder.path(), "c.mp4", clips::MP4, 25);
    for source in [uri(&path).to_owned(), format!("{}?fps=60", uri(&path)), "sim:?width=64&height=48&fps=60&seconds=1".into()] {
        let clock = Arc::new(JumpingClock(ManualClock::at(START_NS)));
        let mut source = open_at(&source, clock.clone());
        let period_ns = (1e9 / source.info().fps) as u64;
        for stall_ms in [0, 80, 0, 95, 40, 0, 99] {
            let late_ns = stall_ms * 1_000_000;
            let due_ns = next(&mut *source).due_ns.unwrap();
            clock.0.advance_ns((due_ns + late_ns).saturating_sub(clock.now_ns()));
            // Pictures that were due meanwhile come one by one, none left out.
            for n in 1..=late_ns / period_ns {
                let seen = next(&mut *source);
                assert_eq!(seen.skipped, 0);
                assert!(seen.due_ns.unwrap().abs_diff(due_ns + n * period_ns) <= 8, "{n}");
            }
        }
    }
}

#[test]
fn decoding_is_timed_where_one_thread_decodes() {
    let folder = tempfile::tempdir().unwrap();
    let path = clips::numbered(folder.path(), "c.mp4", clips::MP4, 10);
    let mut source = open_at(uri(&path), Arc::new(MonotonicClock));
    let timed = (0..20).filter(|_| next(&mut *source).decode_ns.is_some_and(|ns| ns > 0 && ns < 1_000_000_000)).count();
    assert!(timed >= 16, "{timed} of 20");
}

#[test]
fn a_change_of_format_comes_with_its_picture() {
    let mut source = open_at(
        "gst:concat name=c videotestsrc num-buffers=2 ! video/x-raw,format=I420,width=64,height=48,framerate=25/1 ! c. \
         videotestsrc num-buffers=2 ! video/x-raw,format=NV12,width=1280,height=720,framerate=25/1 ! c. c.",
        manual(),
    );
    let layouts: Vec<_> = (0..4).map(|_| next(&mut *source).layout).collect();
    assert_eq!(layouts.iter().map(|l| (l.format, l.width)).collect::<Vec<_>>()[1..3], [(PixelFormat::I420, 64), (PixelFormat::Nv12, 1280)]);
    assert_eq!((layouts[0].colorimetry.matrix, layouts[3].colorimetry.matrix), (Matrix::Bt601, Matrix::Bt709));
}

#[test]
fn a_description_of_a_file_loops_and_one_that_cannot_rewind_ends() {
    let folder = tempfile::tempdir().unwrap();
    let path = clips::numbered(folder.path(), "c.mkv", clips::MKV, 5);
    let mut source = open_at(&format!("gst:filesrc location=\"{}\" ! decodebin", uri(&path)), manual());
    for n in 0..17u64 {
        let seen = next(&mut *source);
        assert_eq!((seen.due_ns, number(&seen)), (Some(START_NS + n * 40_000_000), n as usize % 5));
    }
    let mut source = open_at("gst:videotestsrc num-buffers=5 ! video/x-raw,width=64,height=48,framerate=25/1", manual());
    let pictures = std::iter::from_fn(|| next_or_end(&mut *source).unwrap()).take(100).count();
    assert_eq!(pictures, 5);
    assert!(matches!(source.pull(Duration::ZERO), Ok(Pull::End)), "and stays ended");
}

#[test]
fn live_pipelines_are_stamped_not_paced() {
    let clock = MonotonicClock;
    let before_ns = clock.now_ns();
    let mut source =
        open_at("gst:videotestsrc is-live=true num-buffers=8 ! video/x-raw,width=64,height=48,framerate=50/1", Arc::new(clock));
    assert!(source.info().live && source.info().latency_ns >= 20_000_000, "{:?}", source.info());
    let (mut last_ns, mut count) = (before_ns, 0);
    let loss = loop {
        match source.pull(Duration::from_millis(50)).unwrap() {
            Pull::Picture(picture) => {
                assert_eq!(picture.due_ns, None);
                assert!(picture.arrival_ns > last_ns && picture.arrival_ns <= clock.now_ns());
                last_ns = picture.arrival_ns;
                count += 1 + picture.skipped;
            }
            Pull::Event(SignalEvent::Lost { reason }) => break reason,
            Pull::Event(_) | Pull::Idle => {}
            Pull::End => panic!("a live source never ends"),
        }
    };
    assert!((4..=8).contains(&count), "each picture since the first pull is shown or counted: {count}");
    assert!(loss.contains("ended the stream"), "{loss}");
}

#[test]
fn an_error_in_mid_run_surfaces_with_its_kind() {
    let uri = "gst:videotestsrc ! video/x-raw,width=64,height=48,framerate=50/1 ! identity error-after=6";
    let mut source = open_at(uri, Arc::new(MonotonicClock));
    let error = loop {
        match next_or_end(&mut *source) {
            Ok(picture) => assert!(picture.is_some(), "ended instead"),
            Err(error) => break error,
        }
    };
    assert_eq!(error.kind(), ErrorKind::Stop, "{error}");
    assert!(error.to_string().contains("videotestsrc"), "{error}");
}

#[test]
fn the_real_clips_play_over_their_ends() {
    let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/data/clips"));
    if !folder.is_dir() {
        println!("SKIPPED the_real_clips_play_over_their_ends: no shared data");
        return;
    }
    for (name, width, count) in [("laparoscopy-720p25.mp4", 1280, 300u64), ("robotic-576p25-1.avi", 720, 60)] {
        if name.ends_with(".avi") && gst::ElementFactory::find("h264parse").is_none() {
            println!("SKIPPED {name}: no h264parse (gstreamer1.0-plugins-bad)");
            continue;
        }
        let mut source = open_at(uri(&folder.join(name)), manual());
        assert_eq!((source.info().width, source.info().fps), (width, 25.0), "{name}");
        for n in 0..count {
            let seen = next(&mut *source);
            assert_eq!((seen.due_ns, seen.skipped), (Some(START_NS + n * 40_000_000), 0), "{name}: {n}");
        }
    }
}
