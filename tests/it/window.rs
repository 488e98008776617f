//! A run in a real window on a real X server (Xvfb).

use crate::support::{SMALL_SIM, assert_balanced, keyhole};
use std::io::Read;
use std::process::{Child, Command, Stdio};

pub struct Server {
    child: Child,
    pub display: String,
}

impl Server {
    /// None (and a line that says so) where there is no Xvfb.
    pub fn start(test: &str) -> Option<Server> {
        let spawned = Command::new("Xvfb")
            .args(["-displayfd", "1", "-screen", "0", "1280x800x24", "-nolisten", "tcp"])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn();
        let Ok(mut child) = spawned else {
            println!("SKIPPED {test}: Xvfb is not installed");
            return None;
        };
        let mut number = String::new();
        let mut byte = [0u8];
        let out = child.stdout.as_mut().unwrap();
        while out.read(&mut byte).unwrap() == 1 && byte[0] != b'\n' {
            number.push(byte[0] as char);
        }
        Some(Server { child, display: format!(":{number}") })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_run_shows_its_frames_in_a_window() {
    let Some(server) = Server::start("a_run_shows_its_frames_in_a_window") else { return };
    let folder = tempfile::tempdir().unwrap();
    let report = folder.path().join("r.json");
    let output = keyhole()
        .env("DISPLAY", &server.display)
        .args(["run", "--source", SMALL_SIM, "--frames", "45", "--report", report.to_str().unwrap()])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let report: serde_json::Value = serde_json::from_slice(&std::fs::read(report).unwrap()).unwrap();
    assert_balanced(&report);
    assert_eq!((&report["display"], &report["compositor"]), (&"window".into(), &"host".into()));
    assert!(report["frames"]["displayed"].as_u64().unwrap() > 30, "{}", report["frames"]);
}

/// Light enough that overlays are fresh on a busy machine.
const SLOW_SIM: &str = "sim:?width=320&height=240&fps=10&seconds=2";

/// A run in a window, and hands on its keyboard.
struct Attended {
    child: Child,
    display: String,
    window: String,
    state: std::path::PathBuf,
}

impl Attended {
    fn xdotool(&self, arguments: &[&str]) -> String {
        xdotool(&self.display, arguments)
    }

    fn key(&self, key: &str) {
        self.xdotool(&["key", key]);
    }

    fn hud_is_on(&self) -> bool {
        let text = std::fs::read_to_string(self.state.join("keyhole/preferences.toml")).unwrap_or_default();
        !text.contains("hud = false")
    }

    /// Keys are taken in their order: when the HUD's key has been, so have those before it. Returns the time, ns.
    fn settle(&mut self) -> u64 {
        let was = self.hud_is_on();
        self.key("h");
        let until = std::time::Instant::now() + std::time::Duration::from_secs(60);
        while self.hud_is_on() == was {
            assert!(std::time::Instant::now() < until, "the keys were not taken");
            assert!(self.child.try_wait().unwrap().is_none(), "the run has ended");
            std::thread::yield_now();
        }
        now_ns()
    }

    /// Lets frames pass: keys are taken for a second at least, ten frames of [`SLOW_SIM`]. Returns the time, ns.
    fn watch(&mut self) -> u64 {
        let until_ns = now_ns() + 1_000_000_000;
        loop {
            let settled_ns = self.settle();
            if settled_ns >= until_ns {
                return settled_ns;
            }
        }
    }
}

/// What `xdotool` says; it must go well.
pub fn xdotool(display: &str, arguments: &[&str]) -> String {
    let output = Command::new("xdotool").env("DISPLAY", display).args(arguments).output().unwrap();
    assert!(output.status.success(), "xdotool {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// CLOCK_MONOTONIC.
pub fn now_ns() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

impl Drop for Attended {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn keys_turn_the_overlay_off_at_once_and_on_by_a_second_action_only() {
    let test = "keys_turn_the_overlay_off_at_once_and_on_by_a_second_action_only";
    let Some(server) = Server::start(test) else { return };
    if Command::new("xdotool").arg("version").output().is_err() {
        println!("SKIPPED {test}: xdotool is not installed");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let timeline = folder.path().join("t.jsonl");
    let state = folder.path().join("state");
    let child = keyhole()
        .env("DISPLAY", &server.display)
        .env("XDG_STATE_HOME", &state)
        .args(["run", "--source", SLOW_SIM, "--seconds", "300", "--timeline", timeline.to_str().unwrap()])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut run = Attended { child, display: server.display.clone(), window: String::new(), state };
    run.window = run.xdotool(&["search", "--sync", "--onlyvisible", "--name", "^keyhole$"]);
    run.xdotool(&["windowfocus", "--sync", &run.window]);
    let began_ns = run.settle();
    let on_until_ns = (0..3).map(|_| run.watch()).last().unwrap();
    run.key("Escape");
    let off_ns = run.settle();
    let still_off_ns = run.watch();
    run.key("o");
    run.key("x");
    run.key("Return");
    let not_on_ns = run.watch();
    for key in ["o", "Return"] {
        run.key(key);
    }
    let on_ns = run.settle();
    let on_again_ns = (0..3).map(|_| run.watch()).last().unwrap();
    run.xdotool(&["mousemove", "--window", &run.window, "100", "100", "click", "1"]);
    let mouse_ns = run.settle();
    let end_ns = run.watch();
    run.key("q");
    assert!(run.child.wait().unwrap().success());

    let text = std::fs::read_to_string(&timeline).unwrap();
    let lines: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let presents = |from_ns: u64, to_ns: u64| -> (usize, usize) {
        let within = lines.iter().filter(|line| (from_ns..to_ns).contains(&line["present_ns"].as_u64().unwrap()));
        let (with, without): (Vec<_>, Vec<_>) = within.partition(|line| !line["scene_frame"].is_null());
        (with.len(), without.len())
    };
    assert!(presents(began_ns, on_until_ns).0 > 0, "the overlay is on at the start of a demo run");
    for (from_ns, to_ns, why) in
        [(off_ns, still_off_ns, "Escape"), (still_off_ns, not_on_ns, "a key came between"), (mouse_ns, end_ns, "the mouse")]
    {
        let (with, without) = presents(from_ns, to_ns);
        assert!(with == 0 && without > 0, "{why}: {with} with and {without} without overlay");
    }
    assert!(presents(on_ns, on_again_ns).0 > 0, "o and Enter turn it on");
}

#[test]
fn a_monitor_that_is_not_there_is_named_with_those_that_are() {
    let Some(server) = Server::start("a_monitor_that_is_not_there_is_named_with_those_that_are") else { return };
    let output = keyhole()
        .env("DISPLAY", &server.display)
        .args(["run", "--source", SMALL_SIM, "--frames", "5", "--monitor", "HDMI-7"])
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    assert!(stderr.contains("HDMI-7") && stderr.contains("1280×800"), "{stderr}");
}

#[test]
fn a_run_with_a_clean_feed_opens_two_windows_and_loses_no_frame_by_it() {
    let Some(server) = Server::start("a_run_with_a_clean_feed_opens_two_windows_and_loses_no_frame_by_it") else { return };
    let folder = tempfile::tempdir().unwrap();
    let (config, report) = (folder.path().join("k.toml"), folder.path().join("r.json"));
    std::fs::write(&config, "preferences = false\n[display]\nclean_feed = 'window'\n").unwrap();
    let output = keyhole()
        .env("DISPLAY", &server.display)
        .args(["run", "--source", SMALL_SIM, "--frames", "45", "--config", config.to_str().unwrap(), "--report", report.to_str().unwrap()])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let report: serde_json::Value = serde_json::from_slice(&std::fs::read(report).unwrap()).unwrap();
    assert_balanced(&report);
    assert!(report["frames"]["displayed"].as_u64().unwrap() > 30, "{}", report["frames"]);
    assert!(report["losses"]["clean_feed"].as_u64().unwrap_or(0) < 45, "{}", report["losses"]);
}

#[test]
fn a_graphics_card_that_is_not_there_is_named() {
    let output = keyhole().args(["run", "--source", SMALL_SIM, "--frames", "5", "--display", "drm:250"]).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    assert!(stderr.contains("/dev/dri/card250 is not there") && stderr.contains("--display headless"), "{stderr}");
}

#[test]
fn a_display_that_is_not_there_is_named() {
    let output = keyhole().env("DISPLAY", ":4711").args(["run", "--source", SMALL_SIM, "--frames", "5"]).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    assert!(stderr.contains("display") || stderr.contains("window"), "{stderr}");
}
