//! The AI process: killed, stopped, hung, refused and hostile. The video side sees it at once and never waits.

use crate::allocations;
use keyhole::base::clock::MonotonicClock;
use keyhole::base::ids::FrameId;
use keyhole::base::slot::Wake;
use keyhole::frame::{Colorimetry, Frame, FrameLayout, FrameRing, Matrix, PixelFormat, Range, Stamps};
use keyhole::link::{Block, Counts, Hello, LinkError, Permission, Reason, Rejection, Settings, Spawn, State, Worker};
use keyhole::scene::Scene;
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::process::{Pid, Signal};
use std::io::Read;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What no step of a test takes on the slowest machine.
const PATIENCE: Duration = Duration::from_secs(30);
/// From one frame to the next while a test waits for something.
const FRAME_PERIOD: Duration = Duration::from_millis(5);

pub fn program() -> PathBuf {
    let here = std::env::current_exe().unwrap();
    let program = here.ancestors().nth(2).unwrap().join("examples/hostile-worker");
    assert!(
        program.exists(),
        "{} is not built: `cargo build --release --examples` builds it (`cargo test --release` too, where it builds all targets)",
        program.display()
    );
    program
}

fn ring(format: PixelFormat, width: usize, height: usize) -> FrameRing {
    let colorimetry = Colorimetry::sdr(Matrix::Bt709, Range::Limited);
    FrameRing::new(FrameLayout::new(format, colorimetry, width, height).unwrap()).unwrap()
}

/// A video process in small: it captures, offers, and looks after its pictures.
struct Rig {
    worker: Worker,
    wake: Arc<Wake>,
    ring: FrameRing,
    /// The last frame: nobody may change a byte of it.
    shown: Option<Frame>,
    next_id: u64,
    scene: Option<Arc<Scene>>,
}

fn fill(id: u64) -> u8 {
    (id % 251) as u8
}

fn settings() -> Settings {
    Settings { heartbeat_ms: 20, restart_after_ms: 20, ..Settings::default() }
}

impl Rig {
    fn start(mode: &str, settings: &Settings) -> Rig {
        Rig::with(&[mode], settings, Hello::default())
    }

    fn with(args: &[&str], settings: &Settings, hello: Hello) -> Rig {
        Rig::permitted(args, settings, hello, Permission::Given)
    }

    fn permitted(args: &[&str], settings: &Settings, hello: Hello, permission: Permission) -> Rig {
        let wake = Arc::new(Wake::default());
        let spawn = Spawn { program: program(), args: args.iter().map(Into::into).collect() };
        let worker = Worker::start_with(spawn, settings, hello, Arc::new(MonotonicClock), wake.clone(), permission).unwrap();
        Rig { worker, wake, ring: ring(PixelFormat::Nv12, 64, 48), shown: None, next_id: 0, scene: None }
    }

    /// One frame period: the picture on the screen is whole, a new one is captured and offered.
    fn frame(&mut self) {
        if let Some(shown) = &self.shown {
            let expected = fill(shown.id().0);
            let planes = shown.layout().planes().len();
            assert!((0..planes).all(|plane| shown.view().plane(plane).iter().all(|&byte| byte == expected)), "a picture was changed");
        }
        let mut writer = self.ring.acquire().expect("no slot is held by the worker");
        writer.data_mut().fill(fill(self.next_id));
        let frame = writer.publish(Stamps { id: FrameId(self.next_id), pts_ns: self.next_id * 10, capture_ns: self.next_id * 1000 });
        self.next_id += 1;
        self.worker.offer(&frame);
        self.shown = Some(frame);
        if let Some(scene) = self.worker.take_scene() {
            self.scene = Some(scene);
        }
    }

    /// Goes on with the video until `met`.
    fn until(&mut self, what: &str, mut met: impl FnMut(&Rig) -> bool) {
        let start = Instant::now();
        while !met(self) {
            assert!(
                start.elapsed() < PATIENCE,
                "waited in vain for {what}: {:?}, {:?}, {:?}",
                self.worker.status(),
                self.worker.counts(),
                self.worker.trouble()
            );
            self.frame();
            self.wake.wait(FRAME_PERIOD);
        }
    }

    fn until_scene(&mut self) -> Arc<Scene> {
        self.scene = None;
        self.until("a scene", |rig| rig.scene.is_some());
        self.scene.clone().unwrap()
    }

    fn until_state(&mut self, state: State) {
        self.until(&format!("{state:?}"), |rig| rig.worker.status().state == state);
    }

    /// To the worker that runs, if one does.
    fn signal(&self, signal: Signal) {
        if let Some(pid) = self.worker.pid().and_then(|pid| Pid::from_raw(pid as i32)) {
            let _ = rustix::process::kill_process(pid, signal);
        }
    }

    fn finish(self) -> Counts {
        let counts = self.worker.finish();
        assert_eq!(counts.offered, counts.inferred + counts.skipped() + counts.lost, "{counts:?}");
        counts
    }
}

#[test]
fn a_good_worker_answers_with_the_newest_frame_and_its_hash() {
    let mut rig = Rig::with(&["good"], &settings(), Hello { want_hash: true, ..Hello::default() });
    let answers = rig.worker.listen(1000).unwrap();
    assert!(rig.worker.listen(1).is_none(), "one listener");
    for _ in 0..50 {
        let scene = rig.until_scene();
        assert_eq!((scene.pts_ns, scene.capture_ns), (scene.frame.0 * 10, scene.frame.0 * 1000));
        assert_eq!(scene.unknown_px, u64::from(fill(scene.frame.0)), "read from the frame itself");
    }
    let introduction = rig.worker.introduction().unwrap();
    assert_eq!(introduction.engines[0]["name"], "fixed");
    assert!(introduction.sandbox.seccomp);
    let counts = rig.finish();
    let answers: Vec<_> = answers.try_iter().collect();
    assert_eq!(answers.len() as u64, counts.inferred);
    assert!(answers.windows(2).all(|pair| pair[0].scene.frame < pair[1].scene.frame));
    let hashed = answers.iter().filter(|a| a.input_hash == Some([fill(a.scene.frame.0); 32])).count();
    assert!(hashed + 1 >= answers.len(), "all but the one that was cut off");
    assert_eq!(counts.rejected, Counts::default().rejected);
}

#[test]
fn the_way_to_the_worker_and_back_is_short() {
    let mut rig = Rig::start("good", &settings());
    rig.until_scene();
    let mut ms = Vec::new();
    'frames: for _ in 0..200 {
        rig.until("an idle worker", |rig| rig.worker.counts().offered == rig.worker.counts().inferred + rig.worker.counts().skipped());
        while rig.worker.take_scene().is_some() {}
        let (start, skipped) = (Instant::now(), rig.worker.counts().skipped());
        rig.frame();
        while rig.scene.take_if(|scene| scene.frame.0 + 1 == rig.next_id).is_none() {
            // Who offers waits for nobody: a frame that finds the outbox locked by a thread that was interrupted is given up.
            if rig.worker.counts().skipped() > skipped {
                continue 'frames;
            }
            assert!(start.elapsed() < PATIENCE);
            rig.wake.wait(Duration::from_millis(100));
            rig.scene = rig.worker.take_scene();
        }
        ms.push(start.elapsed().as_secs_f64() * 1e3);
    }
    assert!(ms.len() > 180, "only {} of 200 frames were answered", ms.len());
    ms.sort_by(f64::total_cmp);
    println!("offer → scene taken: p50 {:.3} ms, p99 {:.3} ms of {}", ms[ms.len() / 2], ms[ms.len() * 99 / 100], ms.len());
    // A frame period at 60 Hz is 16.7 ms; the link itself must be small beside it.
    assert!(ms[ms.len() / 2] < 5.0);
    rig.finish();
}

#[test]
fn offering_a_frame_neither_allocates_nor_waits() {
    let mut rig = Rig::start("good", &settings());
    rig.until_scene();
    let frames: Vec<Frame> = (0..4)
        .map(|_| {
            rig.next_id += 1;
            rig.ring.acquire().unwrap().publish(Stamps { id: FrameId(rig.next_id), pts_ns: 0, capture_ns: 0 })
        })
        .collect();
    let waits = voluntary_waits();
    let (_, allocations) = allocations::during(|| frames.iter().for_each(|frame| rig.worker.offer(frame)));
    assert_eq!(allocations, 0);
    assert_eq!(voluntary_waits(), waits);
    // With the worker stopped, and then dead, it is the same.
    rig.signal(Signal::STOP);
    let (_, allocations) = allocations::during(|| (0..200).for_each(|_| rig.worker.offer(&frames[3])));
    assert_eq!(allocations, 0);
    rig.signal(Signal::KILL);
    let (_, allocations) = allocations::during(|| (0..200).for_each(|_| rig.worker.offer(&frames[3])));
    assert_eq!(allocations, 0);
    assert_eq!(voluntary_waits(), waits);
}

/// How often this thread has given up its core to wait for something.
fn voluntary_waits() -> i64 {
    // SAFETY: a plain struct of numbers, which the call fills in.
    unsafe {
        let mut usage = std::mem::zeroed::<libc::rusage>();
        assert_eq!(libc::getrusage(libc::RUSAGE_THREAD, &mut usage), 0);
        usage.ru_nvcsw
    }
}

#[test]
fn killed_at_any_time_it_is_seen_at_once_and_a_fresh_scene_follows() {
    let mut rig = Rig::start("good", &Settings { restart_after_ms: 50, ..settings() });
    let (mut seen_ms, mut fresh_ms) = (Vec::new(), Vec::new());
    for kill in 0..20u64 {
        rig.until_scene();
        for _ in 0..(kill * 7) % 11 {
            rig.frame();
        }
        let restarts = rig.worker.status().restarts;
        let start = Instant::now();
        rig.signal(Signal::KILL);
        while rig.worker.status().state == State::Ready {
            assert!(start.elapsed() < PATIENCE);
            rig.wake.wait(Duration::from_millis(100));
        }
        seen_ms.push(start.elapsed().as_secs_f64() * 1e3);
        assert_eq!(rig.worker.status().state, State::Down(Reason::Died));
        if kill % 4 == 3 {
            // And the next one while it starts, or soon after.
            rig.until("another worker", |rig| rig.worker.status().restarts > restarts && rig.worker.pid().is_some());
            rig.signal(Signal::KILL);
        }
        let killed_at = rig.next_id;
        rig.until("a scene of a frame after the kill", |rig| rig.scene.as_ref().is_some_and(|scene| scene.frame.0 >= killed_at));
        fresh_ms.push(start.elapsed().as_secs_f64() * 1e3);
        assert!(rig.worker.status().restarts > restarts);
    }
    for (what, ms, limit) in [("seen", &mut seen_ms, 100.0), ("fresh scene", &mut fresh_ms, 2000.0)] {
        ms.sort_by(f64::total_cmp);
        println!("kill -9 → {what}: p50 {:.2} ms, max {:.2} ms of {}", ms[ms.len() / 2], ms[ms.len() - 1], ms.len());
        assert!(ms[ms.len() - 1] < limit, "{what}: {ms:?}");
    }
    rig.finish();
}

#[test]
fn a_stopped_worker_is_seen_at_once_and_killed() {
    let settings = settings();
    let mut rig = Rig::start("good", &settings);
    rig.until_scene();
    let pid = rig.worker.pid();
    let start = Instant::now();
    rig.signal(Signal::STOP);
    while rig.worker.status().state == State::Ready {
        assert!(start.elapsed() < PATIENCE);
        rig.wake.wait(Duration::from_millis(100));
    }
    assert_eq!(rig.worker.status().state, State::Down(Reason::Stopped));
    let seen = start.elapsed();
    println!("SIGSTOP → seen: {:.2} ms", seen.as_secs_f64() * 1e3);
    assert!(seen < Duration::from_millis(u64::from(settings.kill_after_ms)), "not only when it was killed: {seen:?}");
    rig.until("another worker", |rig| rig.worker.pid().is_some() && rig.worker.pid() != pid);
    assert!(start.elapsed() >= Duration::from_millis(u64::from(settings.kill_after_ms) - 50), "it had its time to go on");
    rig.until_scene();
    rig.finish();
}

#[test]
fn a_worker_that_goes_on_in_time_is_kept() {
    let mut rig = Rig::start("good", &Settings { kill_after_ms: 10_000, ..settings() });
    rig.until_scene();
    let pid = rig.worker.pid();
    rig.signal(Signal::STOP);
    rig.until_state(State::Down(Reason::Stopped));
    rig.signal(Signal::CONT);
    rig.until_state(State::Ready);
    rig.until_scene();
    assert_eq!((rig.worker.pid(), rig.worker.status().restarts), (pid, 0));
    rig.finish();
}

#[test]
fn a_worker_that_owes_too_much_is_killed() {
    // Without an answer but with heartbeats; silent altogether; never ready; stopped by itself.
    for (mode, reason) in [("hang", Reason::Hung), ("mute", Reason::Hung), ("never-ready", Reason::Hung), ("stop", Reason::Stopped)] {
        let mut rig = Rig::start(mode, &Settings { kill_after_ms: 200, start_within_ms: 1000, restart_after_ms: 200, ..settings() });
        rig.until_state(State::Down(reason));
        rig.until("a restart", |rig| rig.worker.status().restarts >= 1);
        assert_eq!(rig.finish().inferred, 0, "{mode}");
    }
}

#[test]
fn nonsense_is_rejected_by_its_reason_and_changes_no_picture() {
    let cases = [
        ("nan", Rejection::Impossible),
        ("million-tracks", Rejection::Malformed),
        ("future-frames", Rejection::UnknownFrame),
        ("wrong-stamps", Rejection::WrongStamps),
        ("wrong-size", Rejection::WrongStamps),
        ("twice", Rejection::UnknownFrame),
        ("other-hash", Rejection::UnknownFrame),
        ("ready-twice", Rejection::OutOfTurn),
        ("early", Rejection::OutOfTurn),
        ("late-refusal", Rejection::OutOfTurn),
        ("surprising-proof", Rejection::OutOfTurn),
        ("garbage", Rejection::Malformed),
        ("too-long", Rejection::Malformed),
        ("flood", Rejection::Flood),
    ];
    for (mode, why) in cases {
        let mut rig = Rig::start(mode, &settings());
        rig.until(&format!("{mode} to be rejected twice"), |rig| rig.worker.counts().rejected_for(why) >= 2);
        assert!(rig.worker.trouble().is_some_and(|text| text.starts_with(why.name())), "{mode}: {:?}", rig.worker.trouble());
        let counts = rig.finish();
        assert_eq!(counts.rejected.iter().sum::<u64>(), counts.rejected_for(why), "{mode}: {counts:?}");
        // "twice" tells the truth once, before it tells it again.
        assert_eq!(counts.inferred > 0, mode == "twice", "{mode}");
    }
}

#[test]
fn whoever_has_the_ring_cannot_write_it() {
    let mut rig = Rig::start("write", &settings());
    rig.until("what it could do", |rig| rig.worker.trouble().is_some());
    assert_eq!(rig.worker.trouble().as_deref(), Some("it could write nothing"));
    for _ in 0..20 {
        rig.frame();
    }
    rig.finish();
}

#[test]
fn a_confined_worker_has_no_files_no_network_no_processes() {
    let mut rig = Rig::start("probe", &settings());
    rig.until_state(State::Down(Reason::Fault));
    assert_eq!(rig.worker.trouble().as_deref(), Some("it could do nothing"));
    rig.finish();

    let mut rig = Rig::start("load-probe", &settings());
    rig.until_state(State::Blocked(Block::Refused));
    assert_eq!(rig.worker.trouble().as_deref(), Some("network denied: true, telemetry: false, files: true"), "while it loads");
    rig.finish();

    let mut rig = Rig::start("exec", &settings());
    rig.until_state(State::Down(Reason::Died));
    rig.until("how it died", |rig| rig.worker.trouble().is_some());
    let died = format!("the AI process ended by itself (signal {})", libc::SIGSYS);
    assert_eq!(rig.worker.trouble(), Some(died));
    rig.finish();
}

#[test]
fn another_format_is_another_ring_in_the_middle_of_a_run() {
    let mut rig = Rig::start("good", &settings());
    assert_eq!(rig.until_scene().picture, [64, 48]);
    for (format, width, height) in [
        (PixelFormat::Rgb, 101, 33),
        (PixelFormat::I420, 1920, 1080),
        (PixelFormat::V210, 1921, 101),
        (PixelFormat::P010, 3840, 2160),
        (PixelFormat::Nv12, 64, 48),
    ] {
        rig.ring = ring(format, width, height);
        let picture = [width as u32, height as u32];
        rig.until("a scene in the new format", |rig| rig.scene.as_ref().is_some_and(|scene| scene.picture == picture));
        let scene = rig.scene.clone().unwrap();
        assert_eq!(scene.unknown_px, u64::from(fill(scene.frame.0)));
    }
    assert_eq!(rig.worker.status().restarts, 0);
    rig.finish();
}

#[test]
fn the_wait_grows_only_while_workers_die_before_their_first_scene() {
    let settings = Settings { restart_after_ms: 20, restart_after_max_ms: 160, ..settings() };
    let start = Instant::now();
    let mut rig = Rig::start("crash-at-start", &settings);
    rig.until("five restarts", |rig| rig.worker.status().restarts >= 5);
    assert!(start.elapsed() >= Duration::from_millis(20 + 40 + 80 + 160 + 160), "{:?}", start.elapsed());
    rig.finish();

    let mut rig = Rig::with(&["crash-after", "3"], &Settings { restart_after_max_ms: 600_000, ..settings }, Hello::default());
    // Grown, the tenth wait alone would take ten seconds, and all of them twenty.
    let start = Instant::now();
    rig.until("ten restarts", |rig| rig.worker.status().restarts >= 10);
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
    assert!(rig.finish().inferred >= 30);
}

#[test]
fn a_refused_engine_blocks_and_is_not_tried_again() {
    let mut rig = Rig::start("refuse", &settings());
    rig.until_state(State::Blocked(Block::Refused));
    assert_eq!(rig.worker.trouble().as_deref(), Some("no engine fits: install one "), "and no bell rings");
    for _ in 0..30 {
        rig.frame();
        rig.wake.wait(FRAME_PERIOD);
    }
    assert_eq!(rig.worker.status().state, State::Blocked(Block::Refused));
    assert_eq!((rig.worker.status().restarts, rig.worker.pid()), (0, None));
    assert_eq!(rig.finish().inferred, 0);
}

#[test]
fn a_worker_that_cannot_go_on_says_why() {
    let mut rig = Rig::start("fault", &Settings { restart_after_ms: 1000, ..settings() });
    rig.until_state(State::Down(Reason::Fault));
    assert_eq!(rig.worker.status().restarts, 0);
    assert_eq!(rig.worker.trouble().as_deref(), Some("the engine broke"));
    rig.until("a restart", |rig| rig.worker.status().restarts >= 1);
    rig.finish();
}

#[test]
fn a_worker_that_cannot_go_on_because_its_memory_is_broken_is_not_started_again() {
    let mut rig = Rig::start("broken", &settings());
    rig.until_state(State::Blocked(Block::ProofWrong));
    assert_eq!(rig.worker.status().restarts, 0);
    assert!(rig.worker.trouble().is_some_and(|why| why.contains("reference picture")), "{:?}", rig.worker.trouble());
    rig.finish();
}

#[test]
fn an_unfit_or_missing_scene_costs_a_frame_not_the_worker() {
    for mode in ["own-nonsense", "silent"] {
        let mut rig = Rig::start(mode, &settings());
        rig.until("frames without a scene", |rig| rig.worker.counts().without_scene >= 5);
        assert_eq!(rig.worker.status().restarts, 0);
        let counts = rig.finish();
        assert_eq!(counts.inferred > 0, mode == "own-nonsense");
        assert_eq!(counts.rejected, Counts::default().rejected);
    }
}

#[test]
fn nothing_is_left_of_a_worker_that_is_dropped_whatever_it_does() {
    for mode in ["good", "hang", "flood", "stop", "never-ready"] {
        let mut rig = Rig::start(mode, &Settings { kill_after_ms: 10_000, ..settings() });
        rig.until("frames", |rig| rig.next_id > 20 && rig.worker.pid().is_some());
        let pid = Pid::from_raw(rig.worker.pid().unwrap() as i32).unwrap();
        let start = Instant::now();
        rig.finish();
        assert!(start.elapsed() < Duration::from_secs(5), "{mode}");
        assert_eq!(rustix::process::test_kill_process(pid), Err(rustix::io::Errno::SRCH), "{mode}: ended and reaped");
    }
}

#[test]
fn a_worker_does_not_outlive_its_parent_even_when_it_is_stuck() {
    let mut parent = Command::new(program()).arg("parent").stderr(Stdio::piped()).spawn().unwrap();
    // Worker and parent share it: it ends when both have.
    let mut said = parent.stderr.take().unwrap();
    let mut line = [0; 8];
    said.read_exact(&mut line).unwrap();
    assert_eq!(&line, b"loading\n");
    parent.kill().unwrap();
    parent.wait().unwrap();
    let patience = Timespec { tv_sec: 10, tv_nsec: 0 };
    assert_eq!(rustix::event::poll(&mut [PollFd::new(&said, PollFlags::IN)], Some(&patience)), Ok(1), "it lives on");
    assert_eq!(said.read(&mut line).unwrap(), 0);
}

#[test]
fn a_program_that_is_not_there_is_named_with_a_remedy() {
    let spawn = Spawn { program: "/nowhere/keyhole".into(), args: Vec::new() };
    let started = Worker::start(spawn, &settings(), Hello::default(), Arc::new(MonotonicClock), Arc::default());
    let Err(error @ LinkError::Spawn { .. }) = started else { panic!("it cannot start") };
    assert!(error.to_string().contains("/nowhere/keyhole") && error.to_string().contains("check that"));
}

#[test]
fn an_engine_that_answers_its_reference_picture_otherwise_is_blocked() {
    let settings = Settings { proof_every_ms: 100, ..settings() };
    // At a camera's pace: nobody rings this bell.
    let start = |arguments: &[&str], settings: &Settings| Rig { wake: Arc::default(), ..Rig::with(arguments, settings, Hello::default()) };
    let mut rig = start(&["proves"], &settings);
    rig.until("some proofs", |rig| rig.worker.counts().proofs >= 4);
    assert_eq!(rig.worker.status().state, State::Ready);
    assert!(rig.finish().inferred > 0);

    // The first answer is the one that it was loaded with.
    let mut rig = start(&["unproven", "3"], &settings);
    rig.until_state(State::Blocked(Block::ProofWrong));
    assert_eq!((rig.worker.counts().proofs, rig.worker.pid()), (2, None));
    assert!(rig.worker.trouble().is_some_and(|words| words.contains("reference picture")), "{:?}", rig.worker.trouble());
    assert!(rig.worker.take_scene().is_none(), "what it said last is not shown");
    rig.finish();

    let mut rig = start(&["no-proof"], &settings);
    let began = Instant::now();
    rig.until_state(State::Blocked(Block::ProofMissing));
    assert!(began.elapsed() >= Duration::from_millis(200), "two may be due");
    rig.finish();

    // Nobody asked for them: nothing is missed.
    let mut rig = start(&["no-proof"], &Settings { proof_every_ms: 0, ..settings });
    rig.until("ready", |rig| rig.worker.status().state == State::Ready && rig.next_id > 100);
    rig.finish();
}

#[test]
fn a_worker_that_is_held_is_not_there_until_it_may_be_and_ends_when_it_is_forbidden() {
    let mut rig = Rig::permitted(&["good"], &settings(), Hello::default(), Permission::Awaited);
    for _ in 0..20 {
        rig.frame();
        rig.wake.wait(FRAME_PERIOD);
    }
    assert_eq!((rig.worker.status().state, rig.worker.pid()), (State::Held, None));
    rig.worker.permit();
    rig.until_scene();
    assert_eq!(rig.worker.status().restarts, 0, "its first start is no restart");
    rig.worker.forbid("the self-test failed (ST-G02)".to_owned());
    rig.until_state(State::Blocked(Block::Forbidden));
    rig.worker.permit();
    for _ in 0..20 {
        rig.frame();
        rig.wake.wait(FRAME_PERIOD);
    }
    assert_eq!((rig.worker.status().state, rig.worker.pid()), (State::Blocked(Block::Forbidden), None), "for good");
    assert_eq!(rig.worker.trouble().as_deref(), Some("the self-test failed (ST-G02)"));
    assert!(rig.finish().inferred > 0);

    let mut rig = Rig::permitted(&["good"], &settings(), Hello::default(), Permission::Awaited);
    rig.worker.forbid("no".to_owned());
    rig.until_state(State::Blocked(Block::Forbidden));
    assert_eq!(rig.finish().inferred, 0);
}
