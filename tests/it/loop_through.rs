//! The border code in real runs: read back from the screen of a real X server (Xvfb), never over living picture, at no cost that counts.

use crate::allocations;
use crate::support::{Run, assert_balanced, keyhole};
use crate::window::Server;
use keyhole::base::clock::ManualClock;
use keyhole::base::ids::FrameId;
use keyhole::display::{Headless, Output, Picture};
use keyhole::frame::{Colorimetry, Frame, FrameLayout, FrameRing, Matrix, PixelFormat, Range, Stamps as FrameStamps};
use keyhole::overlay::{Layer, Rect};
use keyhole::pipeline::loop_through::{CodeFeed, Stamps};
use serde_json::Value;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

/// Looks whose rate shares no period with the pictures', so that they meet each picture at all its phases.
const SCREEN: &str = "gst:ximagesrc use-damage=false show-pointer=false startx=0 starty=0 endx=159 endy=799 ! video/x-raw,framerate=97/1 ! \
                      videoconvert ! video/x-raw,format=GRAY8 ! videoconvert ! video/x-raw,format=I420";
/// A queue that lets a look go when this many ns of looks are in it, which is when the fourth one after it has come.
const HOLD_NS: u64 = 46_000_000;
const HELD_MS: f64 = 4.0 * 1_000.0 / 97.0;

fn config(folder: &Path, loop_through: &str) -> String {
    let path = folder.join("c.toml");
    std::fs::write(&path, format!("preferences = false\n[display]\nfullscreen = true\n[guard]\nloop_through = \"{loop_through}\"\n"))
        .unwrap();
    path.to_str().unwrap().to_owned()
}

/// A run in the whole of an X screen, and what it says of the loop-through.
fn on_screen(display: &str, source: &str, loop_through: &str, seconds: u32) -> (Value, Value) {
    let folder = tempfile::tempdir().unwrap();
    let report = folder.path().join("r.json");
    let output = keyhole()
        .env("DISPLAY", display)
        .args(["run", "--source", source, "--overlay", "off", "--hud", "off", "--config", &config(folder.path(), loop_through)])
        .args(["--seconds", &seconds.to_string(), "--report", report.to_str().unwrap()])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let report: Value = serde_json::from_slice(&std::fs::read(report).unwrap()).unwrap();
    assert_balanced(&report);
    println!("{}", report["loop_through"]);
    (report["loop_through"].clone(), report)
}

#[test]
fn the_delay_to_the_monitor_is_read_from_the_bars_and_grows_by_what_is_put_in() {
    let Some(server) = Server::start("the_delay_to_the_monitor_is_read_from_the_bars_and_grows_by_what_is_put_in") else { return };
    // 4:3 on a screen of 16:10.
    let source = "sim:?width=320&height=240&fps=15&seconds=2";
    let held = format!("{SCREEN} ! queue min-threshold-time={HOLD_NS} max-size-buffers=0 max-size-bytes=0");
    let (clean, _) = on_screen(&server.display, source, SCREEN, 12);
    let (late, _) = on_screen(&server.display, source, &held, 12);
    let p50 = |found: &Value| found["delay_ms"]["p50"].as_f64().unwrap();
    for found in [&clean, &late] {
        assert_eq!(found["state"], "watched");
        assert!(found["read"].as_u64().unwrap() > 60, "{found}");
        assert!(p50(found) > 0.0 && p50(found) < found["capture_to_input_ms"]["p50"].as_f64().unwrap());
    }
    let more_ms = p50(&late) - p50(&clean);
    println!("clean {:.1}, held back {:.1}: {more_ms:.1} ms more", p50(&clean), p50(&late));
    // One look of the screen is 10 ms.
    assert!((HELD_MS - 12.0..HELD_MS + 12.0).contains(&more_ms), "{more_ms}");
}

#[test]
fn a_picture_that_fills_the_screen_has_no_code_on_it() {
    let Some(server) = Server::start("a_picture_that_fills_the_screen_has_no_code_on_it") else { return };
    let source = "gst:videotestsrc pattern=snow ! video/x-raw,width=640,height=400,framerate=15/1";
    let (found, report) = on_screen(&server.display, source, SCREEN, 6);
    assert_eq!((&found["state"], &found["read"]), (&"no room for the code".into(), &0.into()));
    assert_eq!(report["alarms"].as_array().unwrap().len(), 0, "{}", report["alarms"]);
}

/// The black around a round picture, with an input that sees something else.
#[test]
fn nothing_but_the_code_s_rectangle_is_touched_and_an_input_that_does_not_see_it_is_an_alarm() {
    let folder = tempfile::tempdir().unwrap();
    let elsewhere = "gst:videotestsrc is-live=true pattern=smpte ! video/x-raw,width=320,height=240,framerate=10/1";
    let run = Run::new(&[
        "--source",
        "sim:?width=640&height=360&fps=15&seconds=2",
        "--overlay",
        "off",
        "--hud",
        "off",
        "--seconds",
        "20",
        "--config",
        &config(folder.path(), elsewhere),
        "--timeline",
        "{}/t.jsonl",
        "--snapshot",
        "{}/s.png",
    ]);
    let report = run.report();
    let lines = run.lines("t.jsonl");
    assert!(lines.iter().all(|line| line["outside_hash"] == line["clean_outside_hash"]), "pixels outside are the video's own");
    let with_code = lines.iter().filter(|line| line["picture_hash"] != line["clean_hash"]).count();
    println!("{with_code} of {} presents carry the code; {}", lines.len(), report["loop_through"]);
    assert!(with_code * 2 > lines.len(), "{with_code} of {}", lines.len());
    let found = &report["loop_through"];
    assert_eq!((&found["read"], &found["state"]), (&0.into(), &"the code is not found".into()));
    let alarms: Vec<_> = report["alarms"].as_array().unwrap().iter().map(|a| (a["code"].clone(), a["priority"].clone())).collect();
    assert_eq!(alarms, [("DELAY-NOT-WATCHED".into(), "low".into())]);
    assert_ne!(report["states"].as_array().unwrap().last().unwrap()["ai"], "blocked");
}

#[test]
fn without_a_loop_through_nothing_is_drawn_and_nothing_is_said() {
    let run = Run::new(&[
        "--source",
        "sim:?width=640&height=360&fps=15&seconds=2",
        "--overlay",
        "off",
        "--hud",
        "off",
        "--seconds",
        "5",
        "--timeline",
        "{}/t.jsonl",
    ]);
    assert_eq!(run.report()["loop_through"], Value::Null);
    assert!(run.lines("t.jsonl").iter().all(|line| line["picture_hash"] == line["clean_hash"]));
}

#[test]
fn clinical_mode_takes_no_made_up_input() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("c.toml");
    std::fs::write(&path, "mode = \"clinical\"\n[wiring]\npath = \"second-monitor\"\n[guard]\nloop_through = \"gst:ximagesrc\"\n").unwrap();
    let output = keyhole().args(["run", "--source", "v4l2:/dev/video0", "--config", path.to_str().unwrap()]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(2) && said.contains("guard.loop_through"), "{said}");
}

/// The quick self-test with nothing on the screen: its loop, and what was said.
fn quick_selftest(display: &str, loop_through: &str) -> (Value, String) {
    let folder = tempfile::tempdir().unwrap();
    let (file, report) = (folder.path().join("c.toml"), folder.path().join("r.json"));
    let kept = folder.path().join("kept");
    std::fs::write(&file, format!("[guard]\nreports = '{}'\nloop_through = '{loop_through}'\n", kept.display())).unwrap();
    let output = keyhole()
        .env("DISPLAY", display)
        .args(["selftest", "--quick", "--frames", "60", "--pattern", "pattern:?width=640&height=480&fps=30"])
        .args(["--config", file.to_str().unwrap(), "--report", report.to_str().unwrap()])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let report: Value = serde_json::from_slice(&std::fs::read(report).unwrap_or_else(|_| panic!("{said}"))).unwrap();
    (report["loop"].clone(), said)
}

#[test]
fn a_quick_self_test_proves_the_cable_where_a_spare_input_sees_the_monitor() {
    let Some(server) = Server::start("a_quick_self_test_proves_the_cable_where_a_spare_input_sees_the_monitor") else { return };
    let screen = "gst:ximagesrc use-damage=false show-pointer=false ! video/x-raw,framerate=60/1 ! videoconvert";
    let (what, said) = quick_selftest(&server.display, screen);
    assert_eq!(what, "cable", "{said}");
    // A cable that shows something else leaves the rest to be tested, and says so.
    let (what, said) = quick_selftest(&server.display, "gst:videotestsrc is-live=true ! video/x-raw,width=320,height=240,framerate=30/1");
    assert_eq!(what, "internal", "{said}");
    assert!(said.contains("the cable is not proven"), "{said}");
}

/// 1080p pictures with a round content, all of one ring.
fn round(count: u64, first: u64, clock_ns: u64, ring: &FrameRing) -> Vec<Frame> {
    (0..count)
        .map(|n| {
            let mut writer = ring.acquire().unwrap();
            let (layout, id) = (*writer.layout(), first + n);
            let (stride, data) = (layout.planes()[0].stride, writer.data_mut());
            data.fill(128);
            for (y, row) in data.chunks_exact_mut(stride).take(layout.height).enumerate() {
                let across = 500.0f32.powi(2) - (y as f32 - 540.0).powi(2);
                let half = across.max(0.0).sqrt() as usize;
                row.fill(16);
                row[960 - half..960 + half].fill(100 + id as u8 % 50);
            }
            writer.publish(FrameStamps { id: FrameId(id), pts_ns: 0, capture_ns: clock_ns + id * 16_666_667 })
        })
        .collect()
}

#[test]
fn the_code_costs_the_frame_path_no_allocation_and_a_small_part_of_composing() {
    let layout = FrameLayout::new(PixelFormat::Nv12, Colorimetry::sdr(Matrix::Bt709, Range::Limited), 1920, 1080).unwrap();
    let ring = FrameRing::new(layout).unwrap();
    let mut output = Headless::new(Arc::new(ManualClock::at(0)), None);
    let stamps = Arc::new(Stamps::default());
    let mut feed = CodeFeed::new(stamps.clone());
    let overlay = Layer::new(1920, 1080);
    let (mut code_us, mut compose_us, mut allocated, mut coded) = (Vec::new(), Vec::new(), 0, 0);
    // Eight seconds: the place is chosen after three.
    for turn in 0..120 {
        for frame in round(4, 4 * turn, 1_000, &ring) {
            let begun = Instant::now();
            let ((put_us, lay), count) = allocations::during(|| {
                feed.put(&frame, false, &mut output, None);
                let (layer, declared) = feed.lay(&[Rect::EMPTY; 6]);
                (begun.elapsed().as_secs_f64() * 1e6, layer.is_some() && !declared[6].is_empty())
            });
            coded += u64::from(lay);
            let (layer, _) = feed.lay(&[Rect::EMPTY; 6]);
            let composing = Instant::now();
            let shown = match layer {
                Some(layer) => output.show(Picture::New(&frame), &[&overlay, layer]).unwrap(),
                None => output.show(Picture::New(&frame), &[&overlay]).unwrap(),
            };
            let compose = composing.elapsed().as_secs_f64() * 1e6;
            let (_, more) = allocations::during(|| feed.shown(&frame, false, &shown, None));
            if lay && turn > 70 {
                allocated += count + more;
                code_us.push(put_us);
                compose_us.push(compose);
            }
        }
    }
    assert!(coded > 200 && code_us.len() > 100, "{coded}, {}", code_us.len());
    assert!(stamps.of(479).is_some());
    assert_eq!(allocated, 0);
    let p = |values: &mut Vec<f64>, part: f64| {
        values.sort_by(f64::total_cmp);
        values[(part * (values.len() - 1) as f64) as usize]
    };
    let ratio = p(&mut code_us, 0.5) / p(&mut compose_us, 0.5);
    println!(
        "1080p: the code p50 {:.1}, p99 {:.1} µs; composing p50 {:.1}, p99 {:.1} µs: {:.1} %",
        p(&mut code_us, 0.5),
        p(&mut code_us, 0.99),
        p(&mut compose_us, 0.5),
        p(&mut compose_us, 0.99),
        100.0 * ratio
    );
    assert!(ratio < 0.5, "{ratio}");
}
