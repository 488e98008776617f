//! Live sources end to end: lost, frozen, black, stereo; what is attached.

use crate::support::{Run, assert_balanced, keyhole, root, shared};
use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

struct Server {
    child: Child,
    lines: BufReader<ChildStdout>,
}

impl Server {
    /// Waits until a client has been told that pictures come.
    fn await_client(&mut self) {
        let mut line = String::new();
        self.lines.read_line(&mut line).unwrap();
        assert_eq!(line, "playing\n");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An RTSP server and its port; None where it is not installed.
fn rtsp(test: &str, port: u16, picture: &str) -> Option<(Server, u16)> {
    let description = &format!(
        "videotestsrc is-live=true pattern=ball ! video/x-raw,format=I420,{picture} ! \
        x264enc tune=zerolatency speed-preset=ultrafast threads=1 key-int-max=30 ! rtph264pay name=pay0 config-interval=-1"
    );
    let script = root().join("tests/servers/rtsp.py");
    let mut child =
        Command::new("/usr/bin/python3").arg(script).args([&port.to_string(), description]).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    let mut lines = BufReader::new(child.stdout.take().unwrap());
    lines.read_line(&mut line).unwrap();
    let server = Server { child, lines };
    let Ok(port) = line.trim().parse() else {
        println!("SKIPPED {test}: no RTSP server here (hw/install.sh test installs it)");
        return None;
    };
    Some((server, port))
}

fn reasons(report: &Value, signal: &str) -> Vec<String> {
    let states = report["states"].as_array().unwrap().iter().filter(|state| state["signal"] == signal);
    states.map(|state| state["reason"].as_str().unwrap().to_owned()).collect()
}

fn alarms(report: &Value, code: &str) -> usize {
    report["alarms"].as_array().unwrap().iter().filter(|alarm| alarm["code"] == code).count()
}

#[test]
fn a_camera_that_is_unplugged_is_lost_and_comes_back_as_it_is_then_without_a_restart() {
    let test = "a_camera_that_is_unplugged";
    let Some((mut server, port)) = rtsp(test, 0, "width=320,height=240,framerate=30/1") else { return };
    let folder = tempfile::tempdir().unwrap();
    let report = folder.path().join("report.json");
    let uri = format!("rtsp://127.0.0.1:{port}/scope");
    let mut run = keyhole();
    run.args(["run", "--display", "headless", "--overlay", "off", "--frames", "240", "--source", &uri, "--report"]).arg(&report);
    let mut run = run.stderr(Stdio::null()).spawn().unwrap();
    server.await_client();
    // A second or so of pictures, out of the eight that the run asks for.
    std::thread::park_timeout(Duration::from_secs(1));
    drop(server);
    let (_server, _) = rtsp(test, port, "width=640,height=360,framerate=50/1").unwrap();
    assert!(run.wait().unwrap().success());
    let report: Value = serde_json::from_slice(&std::fs::read(&report).unwrap()).unwrap();
    assert_balanced(&report);
    assert_eq!(report["source"]["uri"], uri);
    let lost = reasons(&report, "lost");
    assert!(lost.iter().any(|reason| reason.contains(&uri) || reason.contains("no picture for")), "{}", report["states"]);
    assert!(reasons(&report, "live").iter().any(|reason| reason.contains("is back after")), "{}", report["states"]);
    assert!(alarms(&report, "SIGNAL-LOST") >= 1, "{}", report["alarms"]);
    // Another format is said with its first picture, before that is shown: while the signal still counts as lost.
    let all = [reasons(&report, "lost"), reasons(&report, "live")].concat();
    let changed = |words: [&str; 2]| all.iter().any(|reason| words.iter().all(|word| reason.contains(word)));
    assert!(changed(["320×240", "640×360"]) && changed(["30.00", "pictures a second"]), "{}", report["states"]);
}

/// Pictures 17 to 120 ms apart: each is shown at its own time, and the unevenness is no loss.
#[test]
fn a_recording_of_variable_rate_is_shown_picture_by_picture_at_its_own_times() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("variable.mp4");
    let at_ms = |n: u64| n / 4 * 220 + [0, 17, 60, 180][n as usize % 4];
    let filter = "settb=1/1000,setpts='floor(N/4)*220+eq(mod(N,4),1)*17+eq(mod(N,4),2)*60+eq(mod(N,4),3)*180'";
    let made = Command::new("ffmpeg")
        .args(["-loglevel", "error", "-f", "lavfi", "-i", "testsrc2=size=320x180:rate=30", "-vf", filter, "-vsync", "vfr"])
        .args(["-frames:v", "60", "-c:v", "libx264", "-preset", "ultrafast", "-enc_time_base", "1:1000", "-video_track_timescale", "1000"])
        .arg(&path)
        .status();
    assert!(made.expect("ffmpeg (hw/install.sh test installs it)").success());
    let mut seen = String::new();
    // A machine that stands still for too long drops pictures, but not three times.
    for _ in 0..3 {
        let run = Run::new(&["--source", path.to_str().unwrap(), "--frames", "60", "--overlay", "off", "--timeline", "{}/t.jsonl"]);
        let report = run.report();
        let lines: Vec<Value> = run.lines("t.jsonl").into_iter().filter(|line| line["repeat"] == false).collect();
        let of = |line: &Value, key: &str| line[key].as_u64().unwrap();
        let origin_ns = of(&lines[0], "capture_ns") - at_ms(of(&lines[0], "frame")) * 1_000_000;
        for line in &lines {
            let due_ns = origin_ns + at_ms(of(line, "frame")) * 1_000_000;
            assert!(of(line, "capture_ns").abs_diff(due_ns) <= 1, "{line}");
            assert!(of(line, "present_ns") >= due_ns, "never early: {line}");
        }
        // The delays are those of the presents, from each picture's own time.
        let worst_ms = lines.iter().map(|line| of(line, "present_ns") - of(line, "capture_ns")).max().unwrap() as f64 / 1e6;
        let said_ms = report["video_delay_ms"]["max"].as_f64().unwrap();
        assert!((worst_ms - said_ms).abs() < 0.01 * worst_ms + 0.01, "{worst_ms} {said_ms}");
        assert_eq!((&report["frames"]["captured"], &report["video_delay_ms"]["count"]), (&60.into(), &report["frames"]["displayed"]));
        if report["frames"]["displayed"] == 60 && reasons(&report, "lost").is_empty() {
            return;
        }
        seen = format!("{} {} {}", report["frames"], report["losses"], report["states"]);
    }
    panic!("pictures are missing: {seen}");
}

#[test]
fn a_picture_that_does_not_live_is_said_and_carries_no_overlay() {
    let frozen = "gst:videotestsrc is-live=true pattern=checkers-8 ! video/x-raw,format=NV12,width=320,height=240,framerate=30/1";
    let run = Run::new(&["--source", frozen, "--frames", "45", "--timeline", "{}/t.jsonl"]);
    let report = run.report();
    assert!(reasons(&report, "frozen").iter().any(|reason| reason.contains("repeats one picture")), "{}", report["states"]);
    assert_eq!(alarms(&report, "SIGNAL-FROZEN"), 1);
    let last = run.lines("t.jsonl").pop().unwrap();
    assert!(last["scene_frame"].is_null(), "{last}");
    // The same as a recording is a still picture, and shown as what it is.
    let still = frozen.replace("is-live=true", "is-live=false");
    let report = Run::new(&["--source", &still, "--frames", "45"]).report();
    assert_eq!((reasons(&report, "frozen").len(), alarms(&report, "SIGNAL-FROZEN")), (0, 0), "{}", report["states"]);
    assert!(reasons(&report, "live").iter().any(|reason| reason.contains("repeats one picture")));
}

#[test]
fn black_is_named() {
    // Noise in the dark: it lives, and shows nothing.
    for format in ["NV12", "UYVY", "v210"] {
        let report = Run::new(&["--source", &format!("gst:{DARK},format={format}"), "--frames", "60", "--overlay", "off"]).report();
        assert!(reasons(&report, "black").iter().any(|reason| reason.contains("black")), "{format}: {}", report["states"]);
        assert_eq!(alarms(&report, "SIGNAL-BLACK"), 1, "{format}");
    }
}

const DARK: &str = "videotestsrc is-live=true pattern=snow ! video/x-raw,format=I420 ! videobalance brightness=-1 contrast=0.05 ! \
    videoconvert ! video/x-raw,width=320,height=240,framerate=30/1";

/// A picture that stands for two seconds of four, and moves again: a ball that comes and goes.
const NOW_AND_THEN: &str = "videotestsrc is-live=true pattern=ball background-color=0xff406080 ! video/x-raw,format=NV12,width=640,height=240,framerate=50/1 ! \
    videocrop right=320 ! video/x-raw,format=NV12";

#[test]
fn one_eye_that_freezes_or_goes_black_is_named_and_recovers() {
    let lively = "gst:videotestsrc is-live=true pattern=snow ! video/x-raw,format=NV12,width=320,height=240";
    let source = format!("stereo:{lively},framerate=50/1|gst:{NOW_AND_THEN}");
    let run = Run::new(&["--source", &source, "--frames", "300", "--timeline", "{}/t.jsonl"]);
    let report = run.report();
    let said = |report: &Value, signal: &str, words: &str| reasons(report, signal).iter().any(|reason| reason.contains(words));
    assert!(alarms(&report, "EYE-FROZEN") >= 1 && alarms(&report, "SIGNAL-FROZEN") == 0, "{}", report["alarms"]);
    assert!(said(&report, "frozen", "the right eye repeats one picture"), "{}", report["states"]);
    assert!(said(&report, "live", "the right eye moves again"), "{}", report["states"]);
    // An eye that is black does not take the other one's picture.
    let source = format!("stereo:gst:{DARK},format=NV12|{lively},framerate=30/1|eye=right");
    let report = Run::new(&["--source", &source, "--frames", "60"]).report();
    assert_eq!((alarms(&report, "EYE-BLACK"), alarms(&report, "SIGNAL-BLACK")), (1, 0), "{}", report["alarms"]);
    assert!(said(&report, "live", "the left eye is black"), "{}", report["states"]);
}

#[test]
fn one_eye_of_a_stereo_picture_is_analysed() {
    let Some(clip) = shared("one_eye_of_a_stereo_picture_is_analysed", "clips/laparoscopy-720p25.mp4") else { return };
    // Two wide views stand in for the scope's two eyes.
    for (packing, side, from) in [("side-by-side", 0, 600.0), ("top-bottom", 1, 340.0)] {
        let source = format!("{}?stereo={packing}&eye=right", clip.to_str().unwrap());
        let run = Run::new(&["--source", &source, "--frames", "60", "--scenes", "{}/s.jsonl"]);
        let report = run.report();
        assert_eq!((&report["source"]["width"], &report["source"]["height"]), (&1280.into(), &720.into()), "both are shown");
        let scenes = run.lines("s.jsonl");
        assert!(scenes.len() > 10);
        let tracks = scenes.iter().flat_map(|scene| scene["tracks"].as_array().unwrap());
        let begins: Vec<f64> = tracks.map(|track| track["box"][side].as_f64().unwrap()).collect();
        assert!(begins.iter().all(|&begin| begin >= from), "{packing}: {begins:?}");
        let found = scenes.iter().filter(|scene| !scene["tissues"].as_array().unwrap().is_empty()).count();
        assert!(found > scenes.len() / 2, "{packing}: nothing was analysed");
    }
}

#[test]
fn two_inputs_are_one_stereo_picture_and_outlive_the_loss_of_one() {
    let eye = |rest: &str| {
        format!("gst:videotestsrc is-live=true pattern=ball ! video/x-raw,format=NV12,width=320,height=240,framerate=30/1{rest}")
    };
    let source = format!("stereo:{}|{}|eye=right", eye(""), eye(" ! identity error-after=25"));
    let run = Run::new(&["--source", &source, "--frames", "90", "--overlay", "off"]);
    let report = run.report();
    assert_eq!((&report["source"]["width"], &report["source"]["height"]), (&640.into(), &240.into()));
    assert!(alarms(&report, "EYE-LOST") >= 1, "{}", report["alarms"]);
    assert!(reasons(&report, "live").iter().any(|reason| reason.contains("the right eye is lost")), "{}", report["states"]);
    // A machine that stands still may lose both; the picture then says so.
    let lost: Vec<String> = reasons(&report, "lost");
    assert!(
        lost.iter().all(|reason| reason.contains("both eyes") || reason.contains("no picture for") || reason.contains("no frame")),
        "{lost:?}"
    );
}

#[test]
fn a_stereo_picture_that_cannot_be_halved_is_refused_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("odd.avi");
    let made = format!(
        "-q videotestsrc num-buffers=5 ! video/x-raw,width=98,height=64,framerate=25/1 ! jpegenc ! avimux ! filesink location={}",
        path.display()
    );
    assert!(Command::new("gst-launch-1.0").args(made.split(' ')).status().unwrap().success());
    let source = format!("{}?stereo=side-by-side", path.display());
    let output = keyhole().args(["run", "--display", "headless", "--source", &source]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.code() == Some(2) && said.contains("98×64") && said.contains("cannot be parted"), "{said}");
}

#[test]
fn what_is_attached_is_listed() {
    let output = keyhole().arg("sources").output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && text.contains("rtsp://HOST:554/PATH"), "{text}");
    assert!(text.contains("--source '") || (text.contains("Looked for") && text.contains("/dev/video*")), "{text}");
    let output = keyhole().args(["sources", "--json"]).output().unwrap();
    assert!(serde_json::from_slice::<Value>(&output.stdout).unwrap().is_array());
    let preview = keyhole().args(["sources", "--preview", crate::support::SMALL_SIM, "--seconds", "1"]).output().unwrap();
    let said = String::from_utf8_lossy(&preview.stderr).into_owned();
    assert!(preview.status.success() && said.contains("displayed"), "{said}");
}

#[test]
fn absent_devices_are_refused_with_what_to_do() {
    for (source, word) in [("v4l2:/dev/video77", "keyhole sources"), ("decklink:0", "driver"), ("rtsp://127.0.0.1:9/x", "network")] {
        let output = keyhole().args(["run", "--display", "headless", "--source", source]).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(2) && said.contains(source) && said.contains(word), "{said}");
    }
}
