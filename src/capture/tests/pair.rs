//! Two inputs as one stereo picture: real pipelines, and the pairing itself by hand-made stamps.

use super::{Seen, clips, next, open_at};
use crate::base::clock::{Clock, JumpingClock, ManualClock, MonotonicClock};
use crate::capture::pair::{PairSource, Two, parse};
use crate::capture::{CaptureError, Eye, Picture, PlaneRef, Planes, Pull, Settings, SignalEvent, Source, SourceInfo, open};
use crate::frame::{Colorimetry, FrameLayout, Matrix, PixelFormat, Range};
use proptest::prelude::*;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

#[test]
fn two_inputs_are_told_apart() {
    let two = |left, right, eye| Some(Two { left, right, eye });
    assert_eq!(parse("stereo:decklink:0|decklink:1").unwrap(), two("decklink:0", "decklink:1", Eye::Left));
    assert_eq!(parse("stereo: a.mp4?fps=60 | b.mp4?fps=60|eye=right").unwrap(), two("a.mp4?fps=60", "b.mp4?fps=60", Eye::Right));
    assert_eq!(parse("sim:").unwrap(), None);
    for (bad, word) in [
        ("stereo:a", "LEFT|RIGHT"),
        ("stereo:a|b|c", "LEFT|RIGHT"),
        ("stereo:a|a", "two different"),
        ("stereo:a|", "two different"),
        ("stereo:stereo:a|b", "LEFT|RIGHT"),
        ("stereo:a|b|eye=both", "eye=left"),
    ] {
        let text = parse(bad).unwrap_err().to_string();
        assert!(text.contains(bad) && (text.contains(word) || text.contains("two different")), "{text}");
    }
}

fn flat(colour: &str, size: (usize, usize), fps: u32, live: bool, rest: &str) -> String {
    let (width, height) = size;
    format!(
        "gst:videotestsrc is-live={live} pattern={colour} ! video/x-raw,format=NV12,width={width},height={height},framerate={fps}/1{rest}"
    )
}

/// Luma in the middle of each half.
fn halves(seen: &Seen) -> (u8, u8) {
    let row = seen.row(0, seen.layout.height / 2);
    (row[row.len() / 4], row[row.len() * 3 / 4])
}

#[test]
fn two_recordings_play_side_by_side_picture_by_picture() {
    let folder = tempfile::tempdir().unwrap();
    let name = |name: &str| clips::numbered(folder.path(), name, clips::MKV, 10).display().to_string();
    let clock = Arc::new(JumpingClock(ManualClock::at(5)));
    let mut source = open_at(&format!("stereo:{}|{}", name("left.mkv"), name("right.mkv")), clock.clone());
    assert_eq!((source.info().width, source.info().height, source.info().fps, source.info().live), (128, 48, 25.0, false));
    for n in 0..25 {
        let seen = next(&mut *source);
        let number = n % 10;
        assert_eq!(halves(&seen), (clips::luma(number), clips::luma(number)), "picture {n}");
        assert_eq!(seen.skipped, 0);
        clock.sleep_until_ns(seen.due_ns.unwrap());
    }
}

/// The right eye's pipeline fails after some pictures and is built again; the left one goes on all the while.
#[test]
fn one_input_that_is_lost_is_named_and_the_other_stays() {
    let left = flat("white", (64, 48), 30, true, "");
    let right = flat("white", (64, 48), 30, true, " ! identity error-after=20");
    let mut source =
        open(&format!("stereo:{left}|{right}"), &Settings::default(), Arc::new(MonotonicClock)).unwrap_or_else(|e| panic!("{e}"));
    let (mut events, mut alone, mut both, mut last_ns) = (Vec::new(), 0, 0, 0);
    let begun = Instant::now();
    while events.iter().filter(|e| matches!(e, SignalEvent::EyeBack { .. })).count() < 3 {
        match source.pull(Duration::from_millis(50)).unwrap() {
            Pull::Picture(picture) => {
                let seen = Seen::of(&picture);
                assert!(picture.arrival_ns > last_ns, "stamps grow");
                last_ns = picture.arrival_ns;
                match halves(&seen) {
                    (left, right) if left > 200 && right > 200 => both += 1,
                    (left, 16) if left > 200 => alone += 1,
                    other => panic!("{other:?}: a half is white or black"),
                }
            }
            Pull::Event(event) => events.push(event),
            Pull::Idle => {}
            Pull::End => panic!("a live source never ends"),
        }
        assert!(begun.elapsed() < Duration::from_secs(120), "it hangs: {events:?}");
    }
    let is_right = |e: &&SignalEvent| matches!(e, SignalEvent::EyeLost { eye: Eye::Right, reason } if reason.contains("identity") || !reason.is_empty());
    assert!(events.iter().filter(is_right).count() >= 3 && both > 20 && alone > 0, "{alone} alone, {both} both: {events:?}");
    assert!(!events.iter().any(|e| matches!(e, SignalEvent::Lost { .. })), "{events:?}");
}

#[test]
fn what_cannot_be_paired_is_refused_with_the_difference() {
    let refused = |left: &str, right: &str| match open(&format!("stereo:{left}|{right}"), &Settings::default(), Arc::new(MonotonicClock)) {
        Ok(_) => panic!("{left} and {right} were paired"),
        Err(error) => error.to_string(),
    };
    let usual = flat("white", (64, 48), 30, true, "");
    let text = refused(&usual, &flat("white", (96, 48), 30, true, ""));
    assert!(text.contains("64×48") && text.contains("96×48"), "{text}");
    let text = refused(&usual, &flat("white", (64, 48), 25, true, ""));
    assert!(text.contains("30.00") && text.contains("25.00"), "{text}");
    let text = refused(&usual, &flat("red", (64, 48), 30, false, ""));
    assert!(text.contains("one input is live"), "{text}");
    // 4:2:0 at an odd width: the seam would cut through a pair.
    let text = refused(&flat("white", (65, 48), 30, true, ""), &flat("red", (65, 48), 30, true, ""));
    assert!(text.contains("130×48 NV12") && text.contains("cannot be parted"), "{text}");
    let text = refused(&usual, "no/such.mp4");
    assert!(text.contains("no/such.mp4"), "{text}");
}

type Script = Arc<Mutex<VecDeque<Step>>>;

#[derive(Debug, Clone)]
enum Step {
    Picture(u64),
    Lost,
}

/// Gives what its script says, at once.
struct Scripted {
    info: SourceInfo,
    layout: FrameLayout,
    bytes: Vec<u8>,
    script: Script,
}

impl Scripted {
    fn boxed(script: &Script) -> Box<dyn Source> {
        let colorimetry = Colorimetry::sdr(Matrix::Bt709, Range::Limited);
        let layout = FrameLayout::new(PixelFormat::Rgb, colorimetry, 16, 16).unwrap();
        let info = SourceInfo {
            uri: "scripted".into(),
            width: 16,
            height: 16,
            fps: 50.0,
            format: PixelFormat::Rgb,
            colorimetry,
            live: true,
            latency_ns: 0,
        };
        Box::new(Scripted { info, layout, bytes: vec![0; layout.size], script: script.clone() })
    }
}

impl Source for Scripted {
    fn info(&self) -> &SourceInfo {
        &self.info
    }

    fn pull(&mut self, _: Duration) -> Result<Pull<'_>, CaptureError> {
        Ok(match self.script.lock().unwrap().pop_front() {
            None => Pull::Idle,
            Some(Step::Lost) => Pull::Event(SignalEvent::Lost { reason: "unplugged".into() }),
            Some(Step::Picture(stamp_ns)) => {
                self.bytes.fill((stamp_ns / PERIOD_NS) as u8);
                let stride = self.layout.planes()[0].stride;
                let planes = [PlaneRef { data: &self.bytes, stride }, PlaneRef { data: &[], stride: 0 }, PlaneRef { data: &[], stride: 0 }];
                let layout = self.layout;
                Pull::Picture(Picture {
                    layout,
                    planes: Planes::Here(planes),
                    pts_ns: 0,
                    due_ns: None,
                    arrival_ns: stamp_ns,
                    decode_ns: None,
                    skipped: 0,
                    is_damaged: false,
                })
            }
        })
    }
}

const PERIOD_NS: u64 = 20_000_000;

proptest! {
    /// Whatever goes missing on either side and however the stamps jitter: what is shown as a pair was captured within half
    /// a period, in order, and every picture of a side is shown or counted.
    #[test]
    fn pairs_are_of_one_moment(missing in proptest::collection::vec((any::<bool>(), any::<bool>(), -4_000_000i64..4_000_000), 1..60), late in 0u64..9_000_000) {
        let (left, right): (Script, Script) = Default::default();
        let (mut sent, mut both) = (0u64, 0u64);
        for (n, (no_left, no_right, jitter_ns)) in missing.iter().enumerate() {
            let at_ns = (n as u64 + 1) * PERIOD_NS;
            if !no_left { left.lock().unwrap().push_back(Step::Picture(at_ns)); }
            if !no_right { right.lock().unwrap().push_back(Step::Picture(at_ns.saturating_add_signed(*jitter_ns).min(at_ns + late))); }
            sent += u64::from(!no_left) + u64::from(!no_right);
            both += u64::from(!no_left && !no_right);
        }
        let clock = Arc::new(ManualClock::at(0));
        let mut source = PairSource::new("stereo:a|b", [Scripted::boxed(&left), Scripted::boxed(&right)], clock).unwrap();
        let (mut shown, mut skipped, mut last_ns) = (0u64, 0u64, 0);
        for _ in 0..4 * missing.len() + 4 {
            if let Pull::Picture(picture) = source.pull(Duration::from_millis(1)).unwrap() {
                let row = &picture.planes.here().unwrap()[0].data[..picture.layout.planes()[0].row_bytes];
                prop_assert!(row[0].abs_diff(row[row.len() - 1]) <= 1, "two moments: {} and {}", row[0], row[row.len() - 1]);
                prop_assert!(picture.arrival_ns > last_ns);
                (shown, skipped, last_ns) = (shown + 1, skipped + u64::from(picture.skipped), picture.arrival_ns);
            }
        }
        prop_assert_eq!(shown, both);
        // The last ones may still wait for their partners.
        prop_assert!(2 * shown + skipped <= sent);
    }

    /// Losses of either side in any order: each is named once, both together are a loss of the signal, and nothing is
    /// said twice.
    #[test]
    fn losses_are_named_by_eye(steps in proptest::collection::vec((any::<bool>(), any::<bool>()), 1..60)) {
        let scripts: [Script; 2] = Default::default();
        let mut source = PairSource::new("stereo:a|b", [Scripted::boxed(&scripts[0]), Scripted::boxed(&scripts[1])], Arc::new(ManualClock::at(0))).unwrap();
        let (mut lost, mut said_lost) = ([false; 2], false);
        for (n, (is_right, is_loss)) in steps.into_iter().enumerate() {
            let at = usize::from(is_right);
            let stamp_ns = (n as u64 + 1) * PERIOD_NS;
            scripts[at].lock().unwrap().push_back(if is_loss { Step::Lost } else { Step::Picture(stamp_ns) });
            lost[at] = is_loss;
            let mut named = [None; 2];
            // Each pull says one thing; what was held back may be many.
            for _ in 0..4 * (n + 3) {
                match source.pull(Duration::from_millis(1)).unwrap() {
                    Pull::Event(SignalEvent::EyeLost { eye, .. }) => named[usize::from(eye == Eye::Right)] = Some(true),
                    Pull::Event(SignalEvent::EyeBack { eye, .. }) => named[usize::from(eye == Eye::Right)] = Some(false),
                    Pull::Event(SignalEvent::Lost { .. }) => { prop_assert!(!said_lost); (said_lost, named) = (true, [Some(true); 2]); }
                    Pull::Event(SignalEvent::Back { .. }) => { prop_assert!(said_lost); (said_lost, named) = (false, [Some(false); 2]); }
                    _ => {}
                }
            }
            // What stands behind a picture that waits for its partner is not asked for yet.
            if scripts.iter().any(|script| !script.lock().unwrap().is_empty()) {
                continue;
            }
            prop_assert_eq!(said_lost, lost[0] && lost[1]);
            for (eye, said) in named.into_iter().enumerate() {
                prop_assert!(said.is_none_or(|said| said == lost[eye]), "eye {}: {:?} but {:?}", eye, said, lost);
            }
        }
    }
}
