//! Workers that end, and what the next one is made from: this program is started as the worker, and does as the greeting says.

use super::*;
use crate::base::clock::MonotonicClock;
use crate::frame::{Colorimetry, FrameLayout, FrameRing, Matrix, PixelFormat, Range, Stamps};
use crate::link::judge::tests::good_scene;
use crate::link::status::State;
use crate::link::{Analyst, Handed, Instead, worker_main};
use std::time::{Duration, Instant};

/// What no step of a test takes on the slowest machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// Does with a frame what it is called for.
struct Told(String);

impl Analyst for Told {
    fn ready(&self) -> serde_json::Value {
        self.0.clone().into()
    }

    fn analyse(&mut self, _: Handed<'_>, stamps: Stamps, is_current: &dyn Fn() -> bool) -> Result<Option<Scene>, String> {
        match self.0.as_str() {
            "die" => std::process::abort(),
            "hang" => loop {
                std::thread::park();
            },
            "fail" => Err("the device is lost".to_owned()),
            _ => Ok(is_current().then(|| good_scene(stamps))),
        }
    }

    fn prove(&mut self) -> Result<Option<[u8; 32]>, String> {
        // Each time another answer, where it is to be wrong.
        let wrong = MonotonicClock.now_ns().to_le_bytes()[0];
        Ok(Some([if self.0 == "miscalculate" { wrong } else { 7 }; 32]))
    }

    fn input_hash(&mut self, _: Handed<'_>) -> Option<[u8; 32]> {
        Some([0; 32])
    }
}

#[test]
#[ignore = "the other half of the tests of this file: a worker's process"]
fn be_a_worker() {
    std::process::exit(worker_main(|hello| match hello.analyst.as_str().unwrap_or_default() {
        "refuse" => Err("it does not fit".to_owned()),
        told => Ok(Box::new(Told(told.to_owned()))),
    }))
}

/// A worker that is told `first`, and each after it `instead`, with frames until `met`.
fn until(first: &str, instead: Option<Instead>, mut met: impl FnMut(&Worker) -> bool) -> Worker {
    let spawn = Spawn {
        program: std::env::current_exe().unwrap(),
        args: ["--exact", "link::worker::tests::be_a_worker", "--ignored", "--nocapture"].map(OsString::from).to_vec(),
    };
    let proof_every_ms = if first == "miscalculate" { 100 } else { Settings::default().proof_every_ms };
    let settings = Settings { kill_after_ms: 1_000, restart_after_ms: 20, proof_every_ms, ..Settings::default() };
    let hello = Hello { analyst: first.into(), instead, ..Hello::default() };
    let worker = Worker::start(spawn, &settings, hello, Arc::new(MonotonicClock), Arc::default()).unwrap();
    // At a camera's pace: nobody rings this bell.
    let pace = Wake::default();
    let colorimetry = Colorimetry::sdr(Matrix::Bt709, Range::Limited);
    let ring = FrameRing::new(FrameLayout::new(PixelFormat::Nv12, colorimetry, 64, 48).unwrap()).unwrap();
    let begun = Instant::now();
    for id in 0.. {
        if met(&worker) {
            break;
        }
        assert!(begun.elapsed() < PATIENCE, "{first}: {:?} {:?} {:?}", worker.status(), worker.counts(), worker.trouble());
        let frame = ring.acquire().unwrap().publish(Stamps { id: FrameId(id), pts_ns: 0, capture_ns: id });
        worker.offer(&frame);
        pace.wait(Duration::from_millis(10));
    }
    worker
}

fn instead(where_refused: bool) -> Option<Instead> {
    Some(Instead { analyst: "good".into(), where_refused })
}

#[test]
fn a_worker_that_ended_for_whatever_reason_is_followed_by_one_that_is_made_from_something_else_once() {
    for (first, words) in
        [("die", "ended by itself"), ("hang", "owed an answer"), ("fail", "the device is lost"), ("refuse", "it does not fit")]
    {
        let worker = until(first, instead(true), |worker| worker.counts().inferred >= 3);
        let status = worker.status();
        assert_eq!((status.state, status.restarts, status.has_fallen_back), (State::Ready, 1, true), "{first}");
        assert!(worker.fallback().is_some_and(|why| why.contains(words)), "{first}: {:?}", worker.fallback());
        assert_eq!(worker.introduction().unwrap().engines, "good", "who answers now");
        let counts = worker.finish();
        assert_eq!(counts.offered, counts.inferred + counts.skipped() + counts.lost, "{first}: {counts:?}");
    }
}

#[test]
fn without_anything_else_a_worker_is_followed_by_its_like() {
    let worker = until("fail", None, |worker| worker.status().restarts >= 2);
    assert_eq!((worker.status().has_fallen_back, worker.fallback(), worker.finish().inferred), (false, None, 0));
}

#[test]
fn what_refuses_its_engines_or_proves_to_be_wrong_is_blocked_as_ever() {
    for (first, block) in [("refuse", Block::Refused), ("miscalculate", Block::ProofWrong)] {
        let worker = until(first, instead(false), |worker| matches!(worker.status().state, State::Blocked(_)));
        let status = worker.status();
        assert_eq!((status.state, status.restarts, status.has_fallen_back), (State::Blocked(block), 0, false), "{first}");
    }
}
