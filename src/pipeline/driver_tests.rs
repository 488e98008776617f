//! The display thread with a real compositor, and everything around it held still: the clock stands, the analysis says
//! what the test gives it, and the test sees each present.

use super::*;
use crate::base::clock::ManualClock;
use crate::base::hud::Status;
use crate::base::ids::FrameId;
use crate::base::texts::Language;
use crate::display::hud::Hud;
use crate::display::{Headless, HeadlessGpu, OutputInfo, PresentedView, Rescued, Shown};
use crate::frame::{Colorimetry, FrameLayout, FrameRing, Matrix, PixelFormat, Range, Stamps};
use crate::overlay::coverage::covered_px;
use crate::overlay::draw::tests::scene;
use crate::overlay::gpu::test_gpu;
use crate::overlay::{Layer, OverlayError, OverlayMode};
use crate::pipeline::ai::AiStatus;
use crate::pipeline::controls::tests::choices;
use crate::pipeline::controls::{Action, Choices, Input, Switch};
use crate::pipeline::inputs::{Hand, inbox};
use std::sync::atomic::AtomicU64;
use std::sync::{Mutex, mpsc};

const SIZE: (usize, usize) = (320, 180);
const NOW_NS: u64 = 1_000_000_000;

/// Says that it runs, and nothing but the scenes that it is given: as a worker that hangs does.
#[derive(Default)]
struct Given {
    scene: Mutex<Option<Arc<Scene>>>,
    has_fallen_back: AtomicBool,
}

impl Analysis for Given {
    fn status(&self) -> AiStatus {
        AiStatus::Running
    }

    fn reason(&self) -> String {
        String::new()
    }

    fn has_fallen_back(&self) -> bool {
        self.has_fallen_back.load(Ordering::Relaxed)
    }

    fn fallback_reason(&self) -> String {
        "the engine broke".into()
    }

    fn take_scene(&self) -> Option<Arc<Scene>> {
        self.scene.lock().unwrap().take()
    }
}

/// One present: was it a new frame, which, and how many pixels the overlay covered.
#[derive(Debug, PartialEq)]
struct Seen {
    is_new: bool,
    frame: u64,
    covered_px: usize,
}

#[derive(Clone)]
struct Stage {
    seen: mpsc::Sender<Seen>,
    clock: Arc<ManualClock>,
    takes_ns: Arc<AtomicU64>,
    /// What befalls the next present.
    mishap: Arc<Mutex<Option<Mishap>>>,
    /// What was presented last.
    picture: Arc<Mutex<Vec<u8>>>,
}

struct Watched {
    inner: Box<dyn Output>,
    stage: Stage,
}

enum Mishap {
    /// The device is destroyed.
    Destroyed,
    Error(DisplayError),
}

impl Output for Watched {
    fn describe(&self) -> OutputInfo {
        self.inner.describe()
    }

    fn show(&mut self, picture: Picture<'_>, layers: &[&Layer]) -> Result<Shown, DisplayError> {
        let frame = picture.frame().map_or(u64::MAX, |frame| frame.id().0);
        self.stage.clock.advance_ns(self.stage.takes_ns.load(Ordering::Relaxed));
        match self.stage.mishap.lock().unwrap().take() {
            Some(Mishap::Destroyed) => assert!(self.inner.lose_device()),
            Some(Mishap::Error(error)) => return Err(error),
            None => {}
        }
        let shown = self.inner.show(picture, layers)?;
        *self.stage.picture.lock().unwrap() = self.inner.presented()?.data.to_vec();
        let _ = self.stage.seen.send(Seen { is_new: matches!(picture, Picture::New(_)), frame, covered_px: covered_px(layers[0]) });
        Ok(shown)
    }

    fn presented(&mut self) -> Result<PresentedView<'_>, DisplayError> {
        self.inner.presented()
    }
}

struct Theatre {
    ring: FrameRing,
    frames: Arc<Slot<Frame>>,
    analysis: Arc<Given>,
    wake: Arc<Wake>,
    hand: Hand,
    seen: mpsc::Receiver<Seen>,
    ended: Arc<AtomicBool>,
    clock: Arc<ManualClock>,
    stage: Stage,
    thread: Option<std::thread::JoinHandle<DisplayOutcome>>,
}

impl Theatre {
    fn open(choices: Choices) -> Theatre {
        Theatre::with(choices, |wake| Hud::start(SIZE, Language::En, wake).unwrap())
    }

    fn with(choices: Choices, hud: impl FnOnce(Arc<Wake>) -> Hud) -> Theatre {
        Theatre::on(choices, hud, |stage| {
            let inner = Box::new(Headless::new(stage.clock.clone(), None));
            Box::new(Watched { inner, stage })
        })
    }

    fn on(choices: Choices, hud: impl FnOnce(Arc<Wake>) -> Hud, output: impl FnOnce(Stage) -> Box<dyn Output> + Send + 'static) -> Theatre {
        let clock = Arc::new(ManualClock::at(NOW_NS));
        let wake = Arc::new(Wake::default());
        let frames = Arc::new(Slot::new(2, wake.clone()));
        let analysis = Arc::new(Given::default());
        let ended = Arc::new(AtomicBool::new(false));
        let (hand, inbox) = inbox(wake.clone());
        let mode = if choices.is_on { choices.look } else { OverlayMode::Off };
        let display = DisplayThread {
            clock: clock.clone(),
            stop: Shutdown::default(),
            frames: frames.clone(),
            wake: wake.clone(),
            analysis: Some(analysis.clone()),
            operator: Operator::with(inbox, choices),
            feed: None,
            screen: Screen::new(Default::default(), mode),
            signals: crossbeam_channel::bounded(1).1,
            hud: HudFeed::new(hud(wake.clone()), Status { is_on: false, ..Status::default() }),
            code: None,
            is_armed: false,
            lock: FrameLock::new(0),
            source_fps: 30.0,
            sinks: Sinks::default(),
            states: States::new(NOW_NS, true),
            words: crossbeam_channel::bounded(1).1,
            lost_ns: 1_000_000_000_000,
            ended: ended.clone(),
            pulled: None,
            progress: None,
            beat: Arc::default(),
            faults: Default::default(),
            freshness: Default::default(),
        };
        let (tell, seen) = mpsc::channel();
        let stage = Stage { seen: tell, clock: clock.clone(), takes_ns: Arc::default(), mishap: Arc::default(), picture: Arc::default() };
        let staged = stage.clone();
        let thread = Some(std::thread::spawn(move || display.run(output(staged))));
        let colorimetry = Colorimetry { matrix: Matrix::Bt709, range: Range::Limited, transfer: Default::default() };
        let ring = FrameRing::new(FrameLayout::new(PixelFormat::Nv12, colorimetry, SIZE.0, SIZE.1).unwrap()).unwrap();
        Theatre { ring, frames, analysis, wake, hand, seen, ended, clock, stage, thread }
    }

    fn frame(&self, id: u64) {
        let mut writer = self.ring.acquire().unwrap();
        writer.data_mut().fill(120);
        assert!(self.frames.push(writer.publish(Stamps { id: FrameId(id), pts_ns: 0, capture_ns: self.clock.now_ns() })).is_none());
    }

    fn scene_of(&self, id: u64) {
        let mut scene = scene(SIZE.0 as u32, SIZE.1 as u32);
        (scene.frame, scene.capture_ns) = (FrameId(id), self.clock.now_ns());
        *self.analysis.scene.lock().unwrap() = Some(Arc::new(scene));
        self.wake.ring();
    }

    /// Everything that was pushed is shown.
    fn end(mut self) -> DisplayOutcome {
        self.ended.store(true, Ordering::Release);
        self.wake.ring();
        self.thread.take().unwrap().join().unwrap()
    }

    #[track_caller]
    fn next(&self) -> Seen {
        self.seen.recv_timeout(Duration::from_secs(20)).expect("nothing was shown")
    }

    /// A frame, then its scene: shown at once where the overlay is on.
    fn frame_with_overlay(&self, id: u64) {
        self.frame(id);
        assert_eq!(self.next(), Seen { is_new: true, frame: id, covered_px: 0 });
        self.scene_of(id);
        let seen = self.next();
        assert!(!seen.is_new && seen.frame == id && seen.covered_px > 500, "{seen:?}");
    }
}

impl Drop for Theatre {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Release);
        self.wake.ring();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// What keys, mouse, footswitches, contacts and serial bytes become; which becomes what is held in `window` and `inputs`.
const CLEAN: [Input; 7] = [
    Input::Act(Action::Clean),
    Input::Act(Action::Overlay),
    Input::Act(Action::Confirm),
    Input::Down(Switch(0)),
    Input::Down(Switch(1)),
    Input::Down(Switch(3)),
    Input::Lost,
];

/// The analysis hangs, no new frame comes: the very next present is the same frame without overlay.
#[test]
fn any_one_input_gives_clean_video_at_the_next_present_even_with_the_analysis_hung() {
    gives_clean_video(&Theatre::open);
}

/// The status display has never answered, and an alarm says so; the same again.
#[test]
fn any_one_input_gives_clean_video_at_the_next_present_even_with_the_status_display_hung() {
    let open = |choices| {
        let theatre = Theatre::with(choices, |wake| crate::display::hud::hung(SIZE, wake));
        theatre.frame(0);
        assert!(theatre.next().is_new, "the first that is said to it");
        theatre.clock.advance_ns(crate::display::hud::LATE_NS + 1);
        theatre
    };
    gives_clean_video(&open);
    let theatre = open(choices());
    theatre.frame(1);
    assert!(theatre.next().is_new);
    theatre.hand.put(Input::Act(Action::Acknowledge));
    theatre.frame(2);
    assert!(theatre.next().is_new);
    let (_, alarms) = state::lines(&theatre.end().states);
    let hung = alarms.iter().find(|alarm| alarm.code == "HUD-HUNG").unwrap_or_else(|| panic!("{alarms:?}"));
    assert!(hung.acknowledged_at_ms.is_some() && hung.cleared_at_ms.is_none(), "seen, and still so: {hung:?}");
    assert_eq!(alarms.iter().filter(|alarm| alarm.code == "HUD-HUNG").count(), 1, "one that lasts is no new one");
}

fn gives_clean_video(open: &dyn Fn(Choices) -> Theatre) {
    for input in CLEAN {
        let theatre = open(choices());
        theatre.frame_with_overlay(1);
        theatre.hand.put(input);
        assert_eq!(theatre.next(), Seen { is_new: false, frame: 1, covered_px: 0 }, "{input:?}");
        // And it stays so, whatever the analysis says.
        theatre.scene_of(1);
        theatre.frame(2);
        assert_eq!(theatre.next(), Seen { is_new: true, frame: 2, covered_px: 0 }, "{input:?}");
    }
}

#[test]
fn the_overlay_comes_back_by_a_second_action_only() {
    let theatre = Theatre::open(Choices { is_on: false, ..choices() });
    theatre.frame(0);
    assert_eq!(theatre.next().covered_px, 0);
    theatre.scene_of(0);
    theatre.hand.put(Input::Act(Action::Overlay));
    theatre.frame(1);
    assert_eq!(theatre.next(), Seen { is_new: true, frame: 1, covered_px: 0 }, "armed is not on");
    theatre.scene_of(1);
    theatre.hand.put(Input::Act(Action::Confirm));
    let seen = theatre.next();
    assert!(seen.frame == 1 && !seen.is_new && seen.covered_px > 500, "{seen:?}");
    // A long press does it alone, without any further input: time has to pass.
    theatre.hand.put(Input::Down(Switch(1)));
    assert_eq!(theatre.next().covered_px, 0);
    theatre.hand.put(Input::Up(Switch(1)));
    theatre.hand.put(Input::Down(Switch(1)));
    theatre.frame(2);
    assert_eq!(theatre.next(), Seen { is_new: true, frame: 2, covered_px: 0 });
    theatre.scene_of(2);
    // The scene must not be too old when the press is long enough: it is of a frame captured later.
    theatre.clock.advance_ns(crate::pipeline::controls::LONG_PRESS_NS);
    theatre.wake.ring();
    let mut scene = scene(SIZE.0 as u32, SIZE.1 as u32);
    (scene.frame, scene.capture_ns) = (FrameId(3), theatre.clock.now_ns());
    let mut writer = theatre.ring.acquire().unwrap();
    writer.data_mut().fill(120);
    let stamps = Stamps { id: FrameId(3), pts_ns: 0, capture_ns: theatre.clock.now_ns() };
    assert!(theatre.frames.push(writer.publish(stamps)).is_none());
    assert!(theatre.next().is_new);
    *theatre.analysis.scene.lock().unwrap() = Some(Arc::new(scene));
    theatre.wake.ring();
    let seen = theatre.next();
    assert!(seen.frame == 3 && seen.covered_px > 500, "{seen:?}");
}

/// An overlay would pass its limit (100 ms) while it is being presented: it goes before.
#[test]
fn an_overlay_is_not_too_old_when_its_present_has_ended() {
    let theatre = Theatre::open(choices());
    theatre.stage.takes_ns.store(10_000_000, Ordering::Relaxed);
    theatre.frame_with_overlay(1);
    // 10 ms old at the end of its present; at 85 ms one more would end in time, at 95 ms not.
    theatre.clock.advance_ns(85_000_000);
    theatre.wake.ring();
    assert_eq!(theatre.next(), Seen { is_new: false, frame: 1, covered_px: 0 });
}

/// In the middle of a run, with an overlay on the screen, showing a picture fails. Time stands still: what is judged is which frames are
/// shown, with what over them.
fn goes_on_by_the_host(first: impl FnOnce(&Stage) -> Box<dyn Output> + Send + 'static, mishap: Mishap, words: &str) {
    let output = move |stage: Stage| -> Box<dyn Output> {
        let first = Box::new(Watched { inner: first(&stage), stage: stage.clone() });
        let host = move || Ok(Box::new(Watched { inner: Box::new(Headless::new(stage.clock.clone(), None)), stage: stage.clone() }) as _);
        Box::new(Rescued::new(first, Box::new(host)))
    };
    let choices = Choices { hud: false, ..choices() };
    let theatre = Theatre::on(choices, |wake| Hud::start(SIZE, Language::En, wake).unwrap(), output);
    theatre.frame(0);
    assert_eq!(theatre.next().covered_px, 0);
    let clean = theatre.stage.picture.lock().unwrap().clone();
    theatre.frame_with_overlay(1);
    assert!(*theatre.stage.picture.lock().unwrap() != clean);
    *theatre.stage.mishap.lock().unwrap() = Some(mishap);
    // The very next frame is shown, clean, though the analysis runs and its scene is fresh.
    theatre.frame(2);
    assert_eq!(theatre.next(), Seen { is_new: true, frame: 2, covered_px: 0 }, "{words}");
    assert!(*theatre.stage.picture.lock().unwrap() == clean, "{words}");
    theatre.scene_of(2);
    theatre.frame(3);
    assert_eq!(theatre.next(), Seen { is_new: true, frame: 3, covered_px: 0 }, "{words}: it stays off");
    // Only the operator turns it on again.
    theatre.hand.put(Input::Act(Action::Overlay));
    theatre.hand.put(Input::Act(Action::Confirm));
    theatre.frame(4);
    assert!(theatre.next().is_new);
    theatre.scene_of(4);
    let seen = theatre.next();
    assert!(seen.frame == 4 && !seen.is_new && seen.covered_px > 500, "{words}: {seen:?}");
    let outcome = theatre.end();
    assert!(outcome.error.is_none(), "{words}");
    assert_eq!((outcome.counters.displayed, outcome.counters.failed, outcome.output.compositor), (5, 0, "host"), "{words}");
    let (history, alarms) = state::lines(&outcome.states);
    let lost: Vec<_> = alarms.iter().filter(|alarm| alarm.code == "GPU-LOST").collect();
    assert!(lost.len() == 1 && lost[0].text.contains(words) && lost[0].text.contains("goes on by memory"), "{alarms:?}");
    assert!(history.iter().any(|line| line.reason == lost[0].text && line.signal == "live"), "{history:?}");
}

#[test]
fn a_present_that_fails_costs_no_frame_and_the_overlay_stays_off_until_the_operator_wants_it() {
    let host = |stage: &Stage| Box::new(Headless::new(stage.clock.clone(), None)) as Box<dyn Output>;
    let surface = DisplayError::Surface { reason: "it was refused".into() };
    goes_on_by_the_host(host, Mishap::Error(surface), "it was refused");
    let memory = OverlayError::Device { adapter: "a card".into(), reason: "out of memory".into() };
    goes_on_by_the_host(host, Mishap::Error(memory.into()), "out of memory");
    let test = "a_present_that_fails_costs_no_frame_and_the_overlay_stays_off_until_the_operator_wants_it";
    let Some(gpu) = test_gpu(test) else { return };
    goes_on_by_the_host(|stage| Box::new(HeadlessGpu::new(gpu, stage.clock.clone())), Mishap::Destroyed, "lost");
}

#[test]
fn an_ai_whose_device_has_failed_is_said_to_go_on_on_the_processor_once_for_the_rest_of_the_run() {
    let theatre = Theatre::open(choices());
    theatre.frame_with_overlay(1);
    theatre.analysis.has_fallen_back.store(true, Ordering::Relaxed);
    theatre.frame(2);
    assert!(theatre.next().is_new);
    theatre.hand.put(Input::Act(Action::Acknowledge));
    theatre.frame(3);
    assert!(theatre.next().is_new);
    let (history, alarms) = state::lines(&theatre.end().states);
    let [alarm] = &alarms[..] else { panic!("{alarms:?}") };
    assert!(alarm.code == "AI-ON-PROCESSOR" && alarm.text.contains("the engine broke"), "{alarm:?}");
    assert!(alarm.acknowledged_at_ms.is_some() && alarm.cleared_at_ms.is_none(), "seen, and still so: {alarm:?}");
    assert!(history.iter().any(|line| line.reason == alarm.text), "{history:?}");
}
