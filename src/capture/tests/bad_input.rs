//! Each kind of bad input gets its own clear error: thing, reason, remedy, within 5 s.

use super::{clips, manual, refusal};
use crate::base::error::ErrorKind;
use crate::base::random::Random;
use crate::capture::{CaptureError, Settings, open};
use gstreamer as gst;
use gstreamer::prelude::*;
use proptest::prelude::*;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Opens what must be refused; the message names `thing` and says each of `words`.
fn refused(uri: &str, thing: &str, words: &[&str]) -> CaptureError {
    let begun = Instant::now();
    let error = refusal(uri);
    assert!(begun.elapsed() < Duration::from_secs(5), "{uri}: took {:?}", begun.elapsed());
    let text = error.to_string();
    for word in words.iter().chain([&thing]) {
        assert!(text.contains(word), "'{word}' is missing in: {text}");
    }
    assert_eq!(error.kind(), ErrorKind::Stop);
    error
}

fn file(folder: &Path, name: &str, bytes: &[u8]) -> PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, bytes).unwrap();
    path
}

#[test]
fn files_that_are_none() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    refused("no/such/clip.mp4", "no/such/clip.mp4", &["no such file", "sim:"]);
    refused("no/such/clip.mp4?fps=60", "'no/such/clip.mp4'", &["no such file"]);
    refused(&at(""), &at(""), &["folder"]);
    refused("/dev/null", "/dev/null", &["not a file"]);
    file(folder.path(), "empty.mp4", b"");
    refused(&at("empty.mp4"), "empty.mp4", &["empty", "0 bytes"]);
    std::os::unix::fs::symlink(at("ring"), at("ring")).unwrap();
    let error = refused(&at("ring"), "ring", &["cannot be read", "permissions"]);
    assert!(matches!(error, CaptureError::Unreadable { .. }));
}

#[test]
fn files_without_permission() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let path = file(folder.path(), "secret.mp4", b"x");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o000)).unwrap();
    if std::fs::File::open(&path).is_ok() {
        println!("SKIPPED files_without_permission: this user may read everything");
        return;
    }
    refused(path.to_str().unwrap(), "secret.mp4", &["cannot be read", "ermission"]);
}

#[test]
fn files_that_are_not_video() {
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes) in [("noise.mp4", Random::new(1).bytes(200_000)), ("letter.txt", b"Dear reader, this is a letter.\n".repeat(200))] {
        let path = file(folder.path(), name, &bytes);
        let error = refused(path.to_str().unwrap(), name, &[]);
        assert!(matches!(error, CaptureError::NotVideo { .. }), "{error}");
    }
}

#[test]
fn an_animated_gif_is_refused_before_it_stops_in_the_middle() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.gif");
    let made = std::process::Command::new("ffmpeg")
        .args(["-loglevel", "error", "-f", "lavfi", "-i", "testsrc2=size=64x48:rate=10", "-frames:v", "10"])
        .arg(&path)
        .status();
    assert!(made.expect("ffmpeg (hw/install.sh test installs it)").success());
    let error = refused(path.to_str().unwrap(), "a.gif", &["GIF", "ffmpeg -i in.gif out.mp4"]);
    assert!(matches!(error, CaptureError::NotVideo { .. }), "{error}");
}

#[test]
fn truncated_files() {
    let folder = tempfile::tempdir().unwrap();
    for (name, through) in [("a.mp4", clips::MP4), ("a.avi", clips::AVI), ("a.mkv", clips::MKV)] {
        let whole = std::fs::read(clips::numbered(folder.path(), name, through, 10)).unwrap();
        for part in [whole.len() / 3, whole.len() / 2, whole.len() - 20] {
            let cut = file(folder.path(), &format!("cut-{name}"), &whole[..part]);
            refused(cut.to_str().unwrap(), &format!("cut-{name}"), &["truncated", "copy it again"]);
        }
    }
}

#[test]
fn corrupt_contents_behind_sound_headers() {
    let folder = tempfile::tempdir().unwrap();
    for (name, through) in [("a.mp4", clips::MP4), ("a.avi", clips::AVI)] {
        let mut bytes = std::fs::read(clips::numbered(folder.path(), name, through, 10)).unwrap();
        let marker: &[u8] = if name == "a.mp4" { b"mdat" } else { b"movi" };
        let start = bytes.windows(4).position(|w| w == marker).unwrap() + 4;
        // The index lies before or after the data; it stays.
        let index: &[u8] = if name == "a.mp4" { b"moov" } else { b"idx1" };
        let end = bytes.windows(4).skip(start).position(|w| w == index).map_or(bytes.len(), |at| start + at - 4);
        let junk = Random::new(2).bytes(end - start);
        bytes[start..end].copy_from_slice(&junk);
        let path = file(folder.path(), &format!("bad-{name}"), &bytes);
        let error = refused(path.to_str().unwrap(), &format!("bad-{name}"), &[]);
        assert!(matches!(error, CaptureError::Corrupt { .. }), "{error}");
    }
}

#[test]
fn files_without_a_picture() {
    let folder = tempfile::tempdir().unwrap();
    for (name, through) in [("s.m4a", "avenc_aac ! mp4mux"), ("s.wav", "wavenc"), ("s.mp3", "lamemp3enc")] {
        let path = folder.path().join(name);
        clips::write(&format!("audiotestsrc num-buffers=40 ! audioconvert ! {through}"), &path);
        let error = refused(path.to_str().unwrap(), name, &["no video in it"]);
        assert!(matches!(error, CaptureError::NoVideo { .. }), "{error}");
    }
}

#[test]
fn pictures_of_absurd_size() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tiny.mkv");
    clips::numbered_at(&path, clips::MKV, (8, 8), (25, 1), &[0, 40_000_000]);
    refused(path.to_str().unwrap(), "tiny.mkv", &["8×8", "between 16"]);
    refused("gst:videotestsrc ! video/x-raw,width=9000,height=16", "gst:videotestsrc", &["9000×16", "8192"]);
}

#[test]
fn a_decoder_that_is_missing_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("t.ogg");
    clips::write("videotestsrc num-buffers=5 ! video/x-raw,width=64,height=48,framerate=25/1 ! theoraenc ! oggmux", &path);
    // No other test plays Theora.
    for name in ["theoradec", "avdec_theora"] {
        if let Some(feature) = gst::Registry::get().lookup_feature(name) {
            feature.set_rank(gst::Rank::NONE);
        }
    }
    let error = refused(path.to_str().unwrap(), "t.ogg", &["Theora", "gstreamer1.0-", "not installed"]);
    assert!(matches!(error, CaptureError::MissingDecoder { .. }), "{error}");
}

#[test]
fn descriptions() {
    refused("gst:", "gst:", &["empty", "gst-launch"]);
    refused("gst:videotestsrc ! ! fakesink", "gst:", &["gst-launch"]);
    refused("gst:videotestsrc nosuch=1", "gst:videotestsrc", &["property", "nosuch"]);
    refused("gst:videotestsrc ! video/x-raw,width=", "gst:", &[]);
    refused("gst:videotestsrc ! autovideosink", "gst:", &["before the sink"]);
    refused("gst:audiotestsrc", "gst:audiotestsrc", &["raw video"]);
    refused("gst:videotestsrc ! x264enc", "gst:videotestsrc", &["raw video"]);
    refused("gst:filesrc location=/no/such ! decodebin", "gst:filesrc", &["/no/such"]);
    refused("gst:videotestsrc num-buffers=0", "gst:videotestsrc", &["no picture", "ended"]);
    for (element, package) in [("x264deluxe", "-ugly"), ("avdec_nosuch", "-libav"), ("nosuchthing", "-base")] {
        let error = refused(&format!("gst:videotestsrc ! {element}"), element, &[package, "no element"]);
        assert!(matches!(error, CaptureError::MissingElement { .. }));
    }
}

#[test]
fn sources_that_there_are_not() {
    for uri in ["http://x/y.mp4", "webcam:0", ""] {
        refused(uri, uri, &["unknown source", "sim:", "gst:"]);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]
    /// Whatever is done to a file, it is played or refused: nothing panics, nothing hangs.
    #[test]
    fn damaged_files_play_or_are_refused(which in 0usize..3, at in 0.0f64..1.0, with in proptest::collection::vec(any::<u8>(), 1..64)) {
        let (name, through) = [("a.mp4", clips::MP4), ("a.avi", clips::AVI), ("a.mkv", clips::MKV)][which];
        let folder = tempfile::tempdir().unwrap();
        let path = clips::numbered(folder.path(), name, through, 4);
        let mut bytes = std::fs::read(&path).unwrap();
        let at = ((bytes.len() - with.len()) as f64 * at) as usize;
        bytes[at..at + with.len()].copy_from_slice(&with);
        std::fs::write(&path, bytes).unwrap();
        let begun = Instant::now();
        match open(path.to_str().unwrap(), &Settings::default(), manual()) {
            Ok(mut source) => for _ in 0..6 { let _ = source.pull(Duration::from_millis(20)); },
            Err(error) => prop_assert!(!error.to_string().is_empty()),
        }
        prop_assert!(begun.elapsed() < Duration::from_secs(6));
    }
}
