//! Recordings of the program as it is shipped: beside the picture, through cuts, full disks and disks that hang.

use crate::support::{Run, SMALL_SIM, keyhole};
use crate::theatre::pty;
use gstreamer::prelude::*;
use keyhole::record::Sidecar;
use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// What no step of a test takes on the slowest machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// Times of a recording's pictures, decoded by GStreamer, in ns.
pub fn pictures(path: &Path) -> Vec<u64> {
    gstreamer::init().unwrap();
    let pipeline = gstreamer::parse::launch("filesrc name=from ! qtdemux ! avdec_h264 ! appsink name=to sync=false").unwrap();
    let pipeline = pipeline.downcast::<gstreamer::Pipeline>().unwrap();
    pipeline.by_name("from").unwrap().set_property("location", path);
    let sink = pipeline.by_name("to").unwrap().downcast::<gstreamer_app::AppSink>().unwrap();
    pipeline.set_state(gstreamer::State::Playing).unwrap();
    let mut times = Vec::new();
    while let Some(sample) = sink.try_pull_sample(gstreamer::ClockTime::from_seconds(10)) {
        times.push(sample.buffer().unwrap().pts().unwrap().nseconds());
    }
    pipeline.set_state(gstreamer::State::Null).unwrap();
    times
}

/// Pictures in whole fragments of a file, cut off or not.
pub fn whole_fragments(bytes: &[u8]) -> usize {
    let word = |at: usize| bytes.get(at..at + 4).map(|word| u32::from_be_bytes(word.try_into().unwrap()) as usize);
    let (mut at, mut pending, mut count) = (0, 0, 0);
    while let Some(size) = word(at).filter(|size| *size >= 8 && at + size <= bytes.len()) {
        match &bytes[at + 4..at + 8] {
            b"moof" => pending = word(at + 80).unwrap(),
            b"mdat" => count += std::mem::take(&mut pending),
            _ => {}
        }
        at += size;
    }
    count
}

/// Where the last whole box of a file ends.
fn boxes_end(bytes: &[u8]) -> usize {
    let mut at = 0;
    while let Some(word) = bytes.get(at..at + 4) {
        let size = u32::from_be_bytes(word.try_into().unwrap()) as usize;
        if size < 8 || at + size > bytes.len() {
            break;
        }
        at += size;
    }
    at
}

/// The recorder took no picture from the screen. A decoder that gets no core is another matter.
#[track_caller]
fn assert_nothing_dropped(report: &serde_json::Value) {
    let losses = &report["losses"];
    assert!(report["frames"]["dropped_display"] == 0 && losses["capture_ring_full"].is_null(), "{} {losses}", report["frames"]);
}

fn displayed(report: &serde_json::Value) -> u64 {
    report["frames"]["displayed"].as_u64().unwrap()
}

fn left_out(report: &serde_json::Value, stream: &str) -> u64 {
    let losses = report["losses"].as_object().unwrap();
    losses.iter().filter(|(name, _)| name.starts_with(&format!("record_{stream}"))).map(|(_, count)| count.as_u64().unwrap()).sum()
}

#[test]
fn both_streams_are_recorded_with_the_capture_stamps_and_every_picture_is_counted() {
    let run = Run::new(&["--source", SMALL_SIM, "--frames", "60", "--record", "{}/x.mp4", "--record-clean", "{}/c.mp4"]);
    let report = run.report();
    assert_nothing_dropped(&report);
    assert_eq!(run.left(), ["c.mp4", "c.recording.json", "report.json", "x.mp4", "x.recording.json"]);
    for (stream, name) in [("overlay", "x"), ("clean", "c")] {
        let times = pictures(&run.path(&format!("{name}.mp4")));
        assert_eq!(times.len() as u64 + left_out(&report, stream), displayed(&report), "{stream}: {}", report["losses"]);
        let sidecar = Sidecar::load(&run.path(&format!("{name}.recording.json"))).unwrap();
        assert_eq!((sidecar.stream.name(), sidecar.is_finished), (stream, true));
        assert_eq!(sidecar.segments.iter().map(|segment| segment.pictures).sum::<u64>(), times.len() as u64);
        assert_eq!(sidecar.engines[0].name, "surgical-cpu");
        // Steps are whole frame periods of 30 Hz, whatever was left out.
        for pair in times.windows(2) {
            let periods = (pair[1] - pair[0]) as f64 * 30.0 / 1e9;
            assert!((periods - periods.round()).abs() < 0.01 && periods > 0.5, "{stream}: {pair:?}");
        }
    }
}

#[test]
fn a_clean_recording_beside_a_lossless_one_is_refused() {
    let run = Run::new(&["--source", SMALL_SIM, "--frames", "5", "--record", "{}/x.mkv", "--record-clean", "{}/c.mp4"]);
    assert_eq!((run.output.status.code(), run.left().len()), (Some(2), 0), "{}", run.stderr());
    let run = Run::new(&["--source", SMALL_SIM, "--frames", "5", "--record", "{}/x.mp4", "--record-clean", "{}/./x.mp4"]);
    assert_eq!((run.output.status.code(), run.left().len()), (Some(2), 0), "{}", run.stderr());
    assert!(run.stderr().contains("--record-clean"));
}

#[test]
fn a_killed_run_leaves_a_recording_that_plays_to_its_last_fragment() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.mp4");
    let mut child = keyhole()
        .args(["run", "--display", "headless", "--source", SMALL_SIM, "--seconds", "300", "--record", path.to_str().unwrap()])
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let start = Instant::now();
    while std::fs::read(&path).map_or(0, |bytes| whole_fragments(&bytes)) < 45 {
        assert!(start.elapsed() < PATIENCE, "nothing is recorded");
        std::thread::park_timeout(Duration::from_millis(20));
    }
    child.kill().unwrap();
    assert_eq!(child.wait().unwrap().signal(), Some(9));
    let promised = whole_fragments(&std::fs::read(&path).unwrap());
    let times = pictures(&path);
    assert!(promised >= 45 && times.len() >= promised, "{} of {promised} pictures play", times.len());
    let sidecar = Sidecar::load(&folder.path().join("x.recording.json")).unwrap();
    assert_eq!((sidecar.is_finished, sidecar.segments.len()), (false, 1));
}

/// A file system of its own that goes when the test ends. None where mounting is not allowed.
pub struct Mount {
    pub at: tempfile::TempDir,
    is_frozen: bool,
}

pub fn succeeds(program: &str, arguments: &[&str]) -> bool {
    Command::new(program).args(arguments).output().is_ok_and(|output| output.status.success())
}

impl Mount {
    pub fn new(test: &str, make: impl FnOnce(&str) -> bool) -> Option<Mount> {
        let at = tempfile::tempdir().unwrap();
        if make(at.path().to_str().unwrap()) {
            return Some(Mount { at, is_frozen: false });
        }
        println!("SKIPPED {test}: this user may not mount");
        None
    }

    fn freeze(&mut self, is_frozen: bool) -> bool {
        let done = succeeds("fsfreeze", &[if is_frozen { "-f" } else { "-u" }, self.at.path().to_str().unwrap()]);
        self.is_frozen = is_frozen && done;
        done
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        if self.is_frozen {
            self.freeze(false);
        }
        succeeds("umount", &["-l", self.at.path().to_str().unwrap()]);
    }
}

/// A run whose recording meets a disk that is full: it ends with its report, an alarm and exit code 1, and the file plays.
fn assert_stopped_by_a_full_disk(status: Option<i32>, stderr: &str, folder: &Path, recording: &Path) {
    assert_eq!(status, Some(1), "{stderr}");
    assert!(stderr.contains("record") && !stderr.contains("panicked"), "{stderr}");
    let report: serde_json::Value = serde_json::from_slice(&std::fs::read(folder.join("report.json")).unwrap()).unwrap();
    assert_nothing_dropped(&report);
    assert!(report["alarms"].as_array().unwrap().iter().any(|alarm| alarm["code"] == "RECORD-DISK-FULL"), "{}", report["alarms"]);
    let times = pictures(recording);
    assert!(!times.is_empty());
    let bytes = std::fs::read(recording).unwrap();
    assert_eq!(times.len(), whole_fragments(&bytes));
    assert_eq!(boxes_end(&bytes), bytes.len(), "no torn fragment and no hole at the end");
    assert!(report["losses"]["record_overlay_stopped"].as_u64().unwrap() > 0, "{}", report["losses"]);
}

/// Pictures that no encoder makes small.
const SNOW: &str = "gst:videotestsrc is-live=true pattern=snow ! video/x-raw,format=NV12,width=320,height=240,framerate=30/1";

#[test]
fn a_disk_that_fills_up_stops_the_recording_and_not_the_picture() {
    let made = Mount::new("a_disk_that_fills_up_stops_the_recording_and_not_the_picture", |at| {
        succeeds("mount", &["-t", "tmpfs", "-o", "size=4m", "tmpfs", at])
    });
    let Some(mount) = made else { return };
    let config = mount.at.path().join("config.toml");
    std::fs::write(&config, "[record]\nmin_free_mb = 0\nquality = 1\n").unwrap();
    let recording = mount.at.path().join("x.mp4");
    let record = ["--record", recording.to_str().unwrap(), "--config", config.to_str().unwrap()];
    let run = Run::new(&[&["--source", SNOW, "--frames", "150"], &record[..]].concat());
    assert_stopped_by_a_full_disk(run.output.status.code(), &run.stderr(), run.folder.path(), &recording);
    // The same with room that is to stay free.
    let _ = std::fs::remove_file(&recording);
    std::fs::write(&config, "[record]\nmin_free_mb = 2\nquality = 1\n").unwrap();
    let run = Run::new(&[&["--source", SNOW, "--frames", "150"], &record[..]].concat());
    assert_stopped_by_a_full_disk(run.output.status.code(), &run.stderr(), run.folder.path(), &recording);
    assert!(run.stderr().contains("min_free_mb"), "{}", run.stderr());
    assert!(recording.metadata().unwrap().len() <= 2 << 20);
}

/// The camera head's buttons on a run without a window: recording in segments, marks and stills, within the disk budget.
#[test]
fn buttons_record_mark_and_take_stills_in_segments_within_the_budget() {
    const BUDGET_MB: u64 = 16;
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let (mut buttons, _port) = pty(&at("head"));
    let config = format!(
        "preferences = false\n[controls]\nserial = '{}'\nserial_bytes = {{ '0x52' = 'record', '0x4d' = 'mark', '0x53' = 'still' }}\n\
         [record]\ndir = '{}'\nstreams = ['overlay', 'clean']\nsegment_s = 2\nquality = 10\ndisk_budget_mb = {BUDGET_MB}\nmin_free_mb = 0\n",
        at("head").display(),
        at("recordings").display()
    );
    std::fs::write(at("config.toml"), config).unwrap();
    let mut command = keyhole();
    command.args(["run", "--display", "headless", "--source", SNOW, "--seconds", "300", "--overlay", "off"]);
    for (flag, name) in [("--config", "config.toml"), ("--report", "report.json")] {
        command.arg(flag).arg(at(name));
    }
    let mut child = command.stderr(std::process::Stdio::null()).spawn().unwrap();
    let files = |ends: &str| -> Vec<PathBuf> {
        let all = std::fs::read_dir(at("recordings")).into_iter().flatten().map(|entry| entry.unwrap().path());
        let mut files: Vec<PathBuf> = all.filter(|path| path.to_str().unwrap().ends_with(ends)).collect();
        files.sort();
        files
    };
    let until = |what: &str, is_so: &dyn Fn() -> bool| {
        let begun = Instant::now();
        while !is_so() {
            assert!(begun.elapsed() < PATIENCE, "{what}: {:?}", files(""));
            std::thread::park_timeout(Duration::from_millis(20));
        }
    };
    // A still may be asked for again and again until somebody listens.
    let asking = std::cell::RefCell::new((buttons.try_clone().unwrap(), Instant::now()));
    until("stills of screen and clean picture", &|| {
        let (port, asked) = &mut *asking.borrow_mut();
        if asked.elapsed() > Duration::from_millis(300) {
            port.write_all(b"S").unwrap();
            *asked = Instant::now();
        }
        !files("-overlay.png").is_empty() && !files("-clean.png").is_empty()
    });
    buttons.write_all(b"R").unwrap();
    until("both streams are recorded in segments", &|| files("overlay-0002.mp4").len() == 1 && files("clean-0002.mp4").len() == 1);
    buttons.write_all(b"M").unwrap();
    until("the oldest segments make room", &|| files("overlay-0001.mp4").is_empty() && files("clean-0001.mp4").is_empty());
    buttons.write_all(b"MR").unwrap();
    let sidecars = || files(".recording.json").iter().filter_map(|path| Sidecar::load(path).ok()).collect::<Vec<_>>();
    until("the recording is closed", &|| sidecars().iter().filter(|sidecar| sidecar.is_finished).count() == 2);
    let bytes: u64 = files(".mp4").iter().map(|path| path.metadata().unwrap().len()).sum();
    assert!(bytes <= BUDGET_MB << 20, "{bytes}: {:?}", files(".mp4"));
    rustix::process::kill_process(rustix::process::Pid::from_child(&child), rustix::process::Signal::INT).unwrap();
    assert!(child.wait().unwrap().success());
    for sidecar in sidecars() {
        assert_eq!(sidecar.markers.iter().map(|mark| mark.number).collect::<Vec<_>>(), [1, 2]);
        assert!(sidecar.markers[0].at_ms < sidecar.markers[1].at_ms && sidecar.trouble.is_none(), "{sidecar:?}");
        let left: Vec<_> = sidecar.segments.iter().filter(|segment| at("recordings").join(&segment.file).exists()).collect();
        assert!(!left.is_empty() && left.len() < sidecar.segments.len(), "{sidecar:?}");
        for segment in left {
            assert_eq!(pictures(&at("recordings").join(&segment.file)).len() as u64, segment.pictures, "{}", segment.file);
        }
    }
    let report: serde_json::Value = serde_json::from_slice(&std::fs::read(at("report.json")).unwrap()).unwrap();
    crate::support::assert_balanced(&report);
}

#[test]
fn a_file_that_may_not_grow_stops_the_recording_and_not_the_picture() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| -> PathBuf { folder.path().join(name) };
    // Larger than the shared memory of the pictures, which counts as a file too.
    let script = "trap '' XFSZ; ulimit -f 4096; exec \"$0\" \"$@\"";
    std::fs::write(at("config.toml"), "[record]\nmin_free_mb = 0\nquality = 1\n").unwrap();
    let mut command = Command::new("sh");
    command.env_remove("DISPLAY").env_remove("WAYLAND_DISPLAY").args(["-c", script, env!("CARGO_BIN_EXE_keyhole")]);
    command.args(["run", "--display", "headless", "--source", SNOW, "--frames", "150"]);
    command.arg("--config").arg(at("config.toml"));
    command.arg("--record").arg(at("x.mp4")).arg("--report").arg(at("report.json"));
    let output = command.output().unwrap();
    assert_stopped_by_a_full_disk(output.status.code(), &String::from_utf8_lossy(&output.stderr), folder.path(), &at("x.mp4"));
}

#[test]
fn a_disk_that_hangs_costs_no_picture_and_is_named() {
    let test = "a_disk_that_hangs_costs_no_picture_and_is_named";
    let images = tempfile::tempdir().unwrap();
    let image = images.path().join("disk.img");
    std::fs::File::create(&image).unwrap().set_len(64 << 20).unwrap();
    let image = image.to_str().unwrap();
    let made = Mount::new(test, |at| succeeds("mkfs.ext4", &["-q", image]) && succeeds("mount", &["-o", "loop", image, at]));
    let Some(mut mount) = made else { return };
    let folder = tempfile::tempdir().unwrap();
    let (recording, report) = (mount.at.path().join("x.mp4"), folder.path().join("report.json"));
    let config = folder.path().join("config.toml");
    std::fs::write(&config, "[record]\nmin_free_mb = 0\n").unwrap();
    let mut child = keyhole()
        .args(["run", "--display", "headless", "--source", "sim:?width=320&height=240&fps=60&seconds=2", "--frames", "780"])
        .args(["--config", config.to_str().unwrap()])
        .args(["--record", recording.to_str().unwrap(), "--report", report.to_str().unwrap()])
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let start = Instant::now();
    while !recording.exists() {
        assert!(start.elapsed() < PATIENCE && child.try_wait().unwrap().is_none(), "nothing is recorded");
        std::thread::park_timeout(Duration::from_millis(20));
    }
    if !mount.freeze(true) {
        println!("SKIPPED {test}: this file system cannot be frozen");
        let _ = child.kill();
        let _ = child.wait();
        return;
    }
    // Longer than what is between the picture and the disk holds: 120 coded pictures, 30 that wait for the encoder, and a fragment.
    std::thread::sleep(Duration::from_secs(6));
    assert!(child.try_wait().unwrap().is_none(), "the run goes on");
    assert!(mount.freeze(false));
    let status = child.wait().unwrap();
    assert!(status.success());
    let report: serde_json::Value = serde_json::from_slice(&std::fs::read(report).unwrap()).unwrap();
    assert_nothing_dropped(&report);
    assert!(report["losses"]["record_overlay_disk_slow"].as_u64().unwrap() > 0, "{}", report["losses"]);
    assert_eq!(pictures(&recording).len() as u64 + left_out(&report, "overlay"), displayed(&report), "{}", report["losses"]);
    assert!(report["alarms"].as_array().unwrap().iter().any(|alarm| alarm["code"] == "RECORD-SLOW"));
}
