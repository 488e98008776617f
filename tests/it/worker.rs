//! The picture survives the AI process: killed, stopped or hostile, on the program as it is shipped.

use crate::support::{assert_balanced, keyhole};
use serde_json::Value;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

const FPS: f64 = 30.0;

struct Live {
    child: Child,
    folder: tempfile::TempDir,
}

impl Live {
    fn start(seconds: &str) -> Live {
        let folder = tempfile::tempdir().unwrap();
        let place = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
        let child = keyhole()
            .args([
                "run",
                "--display",
                "headless",
                "--hud",
                "off",
                "--seconds",
                seconds,
                "--source",
                "sim:?width=640&height=360&fps=30&seconds=2",
            ])
            .args(["--report", &place("r.json"), "--timeline", &place("t.jsonl")])
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        Live { child, folder }
    }

    /// The AI process: the child of the video process whose first argument is `worker`. Waits until there is one that
    /// is not `not`.
    fn worker(&self, not: Option<i32>) -> i32 {
        let parent = self.child.id();
        let until = Instant::now() + Duration::from_secs(10);
        while Instant::now() < until {
            let children = std::fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")).unwrap_or_default();
            let tasks = std::fs::read_dir(format!("/proc/{parent}/task")).into_iter().flatten().flatten();
            let mut all: Vec<i32> = children.split_whitespace().filter_map(|c| c.parse().ok()).collect();
            for task in tasks {
                let of_task = std::fs::read_to_string(task.path().join("children")).unwrap_or_default();
                all.extend(of_task.split_whitespace().filter_map(|c| c.parse::<i32>().ok()));
            }
            for pid in all {
                let command = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
                if command.split(|b| *b == 0).nth(1) == Some(b"worker") && Some(pid) != not {
                    return pid;
                }
            }
            std::thread::yield_now();
        }
        panic!("no AI process within 10 s");
    }

    fn end(mut self) -> (Value, Vec<Value>) {
        assert!(self.child.wait().unwrap().success());
        let report: Value = serde_json::from_slice(&std::fs::read(self.folder.path().join("r.json")).unwrap()).unwrap();
        assert_balanced(&report);
        let timeline = std::fs::read_to_string(self.folder.path().join("t.jsonl")).unwrap();
        (report, timeline.lines().map(|line| serde_json::from_str(line).unwrap()).collect())
    }
}

fn now_ns() -> u64 {
    use keyhole::base::clock::Clock;
    keyhole::base::clock::MonotonicClock.now_ns()
}

fn until(deadline_ns: u64) {
    use keyhole::base::clock::Clock;
    keyhole::base::clock::MonotonicClock.sleep_until_ns(deadline_ns);
}

/// A run in which the AI process gets `signal` five times. Returns the times of the blows.
fn blows(signal: libc::c_int) -> (Vec<u64>, Value, Vec<Value>) {
    let live = Live::start("9");
    let mut last = None;
    let mut at = Vec::new();
    // The blows are spread over the run; what is judged are the stamps in the timeline, not this pacing.
    let start = now_ns();
    for round in 0..5u64 {
        until(start + 1_500_000_000 * (round + 1) - 137_000_000 * (round % 3));
        let worker = live.worker(last);
        at.push(now_ns());
        // SAFETY: sends a signal to the process that was just found.
        unsafe { libc::kill(worker, signal) };
        last = Some(worker);
    }
    let (report, timeline) = live.end();
    (at, report, timeline)
}

#[track_caller]
fn picture_goes_on_and_overlay_goes_and_comes_back(at: &[u64], report: &Value, timeline: &[Value]) {
    assert_eq!(report["frames"]["captured"], report["frames"]["displayed"], "{}", report["frames"]);
    let ns = |line: &Value| line["present_ns"].as_u64().unwrap();
    let mut seen = 0;
    for &blow in at {
        let had_overlay = timeline.iter().rev().find(|l| ns(l) <= blow).is_some_and(|l| !l["scene_frame"].is_null());
        let gone = timeline.iter().find(|l| ns(l) > blow && l["scene_frame"].is_null()).map(ns).expect("the overlay goes");
        if !had_overlay {
            continue;
        }
        seen += 1;
        let frames = (gone - blow) as f64 / 1e9 * FPS;
        assert!(frames <= 3.0, "the overlay was gone only after {frames:.1} frames");
    }
    assert!(seen >= 3, "only {seen} blows met an overlay");
    assert!(report["worker_restarts"].as_u64().unwrap() >= 4, "{}", report["worker_restarts"]);
    assert!(!timeline.last().unwrap()["scene_frame"].is_null(), "the overlay is back at the end");
}

#[test]
fn a_killed_worker_costs_no_frame() {
    let (at, report, timeline) = blows(libc::SIGKILL);
    picture_goes_on_and_overlay_goes_and_comes_back(&at, &report, &timeline);
}

#[test]
fn a_stopped_worker_costs_no_frame() {
    let (at, report, timeline) = blows(libc::SIGSTOP);
    picture_goes_on_and_overlay_goes_and_comes_back(&at, &report, &timeline);
}
