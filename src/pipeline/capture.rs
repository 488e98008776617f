//! The capture thread: pulls pictures, copies them into the ring, waits until they are due, stamps them, and hands them
//! on. It waits for the source and the clock, never for inference or a writer; for the display only with a recording's
//! pictures, and then at most until they are 100 ms late: after a moment in which the machine stood still, they are
//! released one by one as the display has room. A live picture waits for nobody: the newest wins.

use crate::base::beat::Beat;
use crate::base::clock::Clock;
use crate::base::ids::FrameId;
use crate::base::shutdown::Shutdown;
use crate::base::slot::{Slot, Wake};
use crate::base::stats::Delays;
use crate::capture::{CaptureError, ContentWatch, Lateness, Picture, Pull, SignalEvent, Source};
use crate::frame::cuda::CudaError;
use crate::frame::{Frame, FrameWriter, MemoryError, Stamps};
use crate::pipeline::rings::Rings;
use crate::pipeline::scheduling;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// How many frames wait for the display at most.
pub const DISPLAY_SLOT: usize = 2;
const PULL_WAIT: Duration = Duration::from_millis(50);
/// A wait for the display looks around so often.
const ROOM_WAIT: Duration = Duration::from_millis(20);
/// Notes on the signal that wait for the display thread; more are lost with the log line that says so.
pub const NOTES: usize = 64;

/// Counted by capture, read by everybody.
#[derive(Debug, Default)]
pub struct CaptureCounters {
    pub captured: AtomicU64,
    /// Due, but the source had no picture in time.
    pub dropped_late: AtomicU64,
    /// Every slot of the ring was still in use.
    pub dropped_ring_full: AtomicU64,
    /// The device on which it lay has failed.
    pub dropped_device: AtomicU64,
    /// Replaced in the display slot by a newer frame, or skipped because the display left no room for too long.
    pub dropped_display: AtomicU64,
}

/// What the source says of its signal, and before which frame.
#[derive(Debug)]
pub struct SignalNote {
    pub event: SignalEvent,
    pub before: FrameId,
}

/// Where frames go besides the display.
pub trait FrameTap: Send {
    /// Called for each frame on the capture thread: may not wait.
    fn offer(&mut self, frame: &Frame);

    /// What the source said before the next frame.
    fn hear(&mut self, _event: &SignalEvent) {}
}

/// When to stop.
#[derive(Debug, Clone, Copy, Default)]
pub struct Limit {
    pub frames: Option<u64>,
    pub seconds: Option<f64>,
}

/// What the capture thread leaves behind.
#[derive(Debug, Default)]
pub struct CaptureOutcome {
    pub decode: Delays,
    pub upload: Delays,
    pub error: Option<CaptureFailure>,
}

#[derive(Debug, thiserror::Error)]
pub enum CaptureFailure {
    #[error(transparent)]
    Source(#[from] CaptureError),
    #[error(transparent)]
    Memory(#[from] MemoryError),
    #[error("the pictures of this source come on a device only, and that has failed: {0}")]
    Device(CudaError),
}

pub struct CaptureThread {
    pub source: Box<dyn Source>,
    pub clock: Arc<dyn Clock>,
    pub stop: Shutdown,
    pub limit: Limit,
    pub frames: Arc<Slot<Frame>>,
    pub wake: Arc<Wake>,
    pub counters: Arc<CaptureCounters>,
    pub tap: Option<Box<dyn FrameTap>>,
    /// The recorder pulls: the next frame is released when the display has taken the last one, not by the clock.
    pub pulled: Option<Arc<AtomicBool>>,
    pub ended: Arc<AtomicBool>,
    pub notes: crossbeam_channel::Sender<SignalNote>,
    pub content: ContentWatch,
    pub rings: Rings,
    /// For the watchdog: one a turn.
    pub beat: Arc<Beat>,
}

impl CaptureThread {
    pub fn run(mut self) -> CaptureOutcome {
        scheduling::make_realtime("capture");
        let mut outcome = CaptureOutcome::default();
        if let Err(error) = self.capture(&mut outcome) {
            outcome.error = Some(error);
        }
        self.beat.rest();
        self.ended.store(true, Ordering::Release);
        self.wake.ring();
        outcome
    }

    fn capture(&mut self, outcome: &mut CaptureOutcome) -> Result<(), CaptureFailure> {
        let mut end_ns: Option<u64> = None;
        let mut next_id = 0u64;
        let mut waited_for_display = false;
        let mut failed = None;
        while !self.stop.is_requested() && self.limit.frames.is_none_or(|limit| next_id < limit) {
            self.beat.beat();
            if let Some(error) = failed.take() {
                tracing::error!("pictures do not lie on their device any more: {error}");
                self.rings.leave_device();
                if !self.source.leave_device()? {
                    return Err(CaptureFailure::Device(error));
                }
            }
            let picture = match self.source.pull(PULL_WAIT)? {
                Pull::Picture(picture) => picture,
                Pull::Event(event) => {
                    self.content.hear(&event);
                    if let Some(tap) = &mut self.tap {
                        tap.hear(&event);
                    }
                    note(&self.notes, &self.wake, event, next_id);
                    continue;
                }
                Pull::Idle => continue,
                Pull::End => break,
            };
            // The time limit starts with the first picture, so that a slow start does not shorten the run.
            let stamp_ns = picture.due_ns.unwrap_or(picture.arrival_ns);
            let end = *end_ns.get_or_insert(self.limit.seconds.map_or(u64::MAX, |s| stamp_ns.saturating_add((s * 1e9) as u64)));
            if stamp_ns >= end {
                break;
            }
            let skipped = u64::from(picture.skipped);
            self.counters.captured.fetch_add(skipped, Ordering::Relaxed);
            let reason = if waited_for_display { &self.counters.dropped_display } else { &self.counters.dropped_late };
            reason.fetch_add(skipped, Ordering::Relaxed);
            next_id += skipped;
            let id = FrameId(next_id);
            next_id += 1;
            // What is looked at of a picture on a device is what was made of it there, or the picture that was brought from there.
            let is_there = picture.planes.here().is_none();
            let mut put = if is_there { put(&mut self.rings, &picture, &*self.clock, outcome)? } else { Put::Nowhere };
            if let Some(ready) = &self.pulled {
                wait_until_taken(ready, &self.stop);
            } else {
                let (preview, view) = if let Put::In(writer) = &put { (writer.preview(), writer.view()) } else { (None, None) };
                let brought = view.as_ref().map(|view| picture.brought(view));
                for event in self.content.look(brought.as_ref().unwrap_or(&picture), preview, stamp_ns).into_iter().flatten() {
                    if let Some(tap) = &mut self.tap {
                        tap.hear(&event);
                    }
                    note(&self.notes, &self.wake, event, id.0);
                }
                if let Some(due_ns) = picture.due_ns {
                    waited_for_display = wait_for_room(&self.frames, due_ns, &*self.clock, &self.stop);
                }
            }
            if !is_there {
                put = self::put(&mut self.rings, &picture, &*self.clock, outcome)?;
            }
            let stamps = Stamps { id, pts_ns: picture.pts_ns, capture_ns: release(&picture, &*self.clock, self.pulled.is_some()) };
            self.counters.captured.fetch_add(1, Ordering::Relaxed);
            let frame = match put {
                Put::In(writer) => writer.publish(stamps),
                Put::Nowhere => {
                    self.counters.dropped_ring_full.fetch_add(1, Ordering::Relaxed);
                    continue;
                }
                Put::Failed(error) => {
                    self.counters.dropped_device.fetch_add(1, Ordering::Relaxed);
                    failed = Some(error);
                    continue;
                }
            };
            if let Some(tap) = &mut self.tap {
                tap.offer(&frame);
            }
            if self.frames.push(frame).is_some() {
                self.counters.dropped_display.fetch_add(1, Ordering::Relaxed);
            }
        }
        Ok(())
    }
}

fn note(notes: &crossbeam_channel::Sender<SignalNote>, wake: &Wake, event: SignalEvent, next_id: u64) {
    tracing::info!("{event}");
    if let Err(full) = notes.try_send(SignalNote { event, before: FrameId(next_id) }) {
        tracing::warn!("nobody reads what the source says: {}", full.into_inner().event);
    }
    wake.ring();
}

/// Waits until the display has room for a frame that is due at `due_ns`, or until that is 100 ms late. Returns whether
/// it had to wait.
fn wait_for_room(frames: &Slot<Frame>, due_ns: u64, clock: &dyn Clock, stop: &Shutdown) -> bool {
    if frames.wait_for_room(Duration::ZERO) {
        return false;
    }
    while clock.now_ns() < due_ns.saturating_add(Lateness::LATE_NS) && !stop.is_requested() {
        if frames.wait_for_room(ROOM_WAIT) {
            break;
        }
    }
    true
}

fn wait_until_taken(ready: &AtomicBool, stop: &Shutdown) {
    while !ready.swap(false, Ordering::AcqRel) && !stop.is_requested() {
        std::thread::park_timeout(Duration::from_millis(20));
    }
}

/// What has become of a picture.
enum Put {
    In(FrameWriter),
    /// No slot was free.
    Nowhere,
    Failed(CudaError),
}

/// Copies a picture into a free slot, ahead of its time.
fn put(rings: &mut Rings, picture: &Picture<'_>, clock: &dyn Clock, outcome: &mut CaptureOutcome) -> Result<Put, MemoryError> {
    let Some(mut writer) = rings.acquire(picture)? else { return Ok(Put::Nowhere) };
    let started_ns = clock.now_ns();
    if let Err(error) = rings.write(picture, &mut writer) {
        if picture.planes.here().is_none() {
            return Ok(Put::Failed(error));
        }
        tracing::error!("pictures are not brought to their device any more: {error}");
        drop(writer);
        rings.leave_device();
        return put(rings, picture, clock, outcome);
    }
    outcome.upload.record_ns(clock.now_ns().saturating_sub(started_ns));
    if let Some(decode_ns) = picture.decode_ns {
        outcome.decode.record_ns(decode_ns);
    }
    Ok(Put::In(writer))
}

/// Waits until a picture is due. Returns its capture stamp.
fn release(picture: &Picture<'_>, clock: &dyn Clock, pulled: bool) -> u64 {
    match picture.due_ns {
        _ if pulled => clock.now_ns(),
        Some(due_ns) => {
            clock.sleep_until_ns(due_ns);
            due_ns
        }
        None => picture.arrival_ns,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock::ManualClock;
    use crate::capture::{PlaneRef, Planes, SourceInfo};
    use crate::frame::{Colorimetry, FrameLayout, Matrix, PixelFormat, Range};
    use proptest::prelude::*;
    use std::sync::Mutex;
    use std::time::Instant;

    const PERIOD_NS: u64 = 16_666_667;
    const START_NS: u64 = 5_000_000_000;

    /// Paced as a recording is; picture n is what is due at n periods. After each picture the machine stands still for
    /// the next of `stalls_ns`.
    struct Paced {
        info: SourceInfo,
        layout: FrameLayout,
        bytes: Vec<u8>,
        clock: Arc<ManualClock>,
        stalls_ns: Vec<u64>,
        lateness: Lateness,
        next: u64,
        count: u64,
    }

    impl Paced {
        fn new(clock: Arc<ManualClock>, stalls_ns: Vec<u64>, count: u64) -> Self {
            let colorimetry = Colorimetry { matrix: Matrix::Bt709, range: Range::Limited, transfer: Default::default() };
            let layout = FrameLayout::new(PixelFormat::Nv12, colorimetry, 32, 32).unwrap();
            let info = SourceInfo {
                uri: "test".into(),
                width: 32,
                height: 32,
                fps: 60.0,
                format: PixelFormat::Nv12,
                colorimetry,
                live: false,
                latency_ns: 0,
            };
            Paced { info, layout, bytes: vec![0; layout.size], clock, stalls_ns, lateness: Lateness::new(PERIOD_NS), next: 0, count }
        }
    }

    impl Source for Paced {
        fn info(&self) -> &SourceInfo {
            &self.info
        }

        fn pull(&mut self, _: Duration) -> Result<Pull<'_>, CaptureError> {
            if self.next >= self.count {
                return Ok(Pull::End);
            }
            self.clock.advance_ns(self.stalls_ns.pop().unwrap_or(0));
            let (now_ns, due_of) = (self.clock.now_ns(), |n: u64| START_NS + n * PERIOD_NS);
            let mut skipped = 0;
            while self.lateness.is_too_late(now_ns, due_of(self.next)) {
                skipped += 1;
                self.next += 1;
            }
            let due_ns = due_of(self.next);
            self.next += 1;
            let plane = |i: usize| {
                let plane = &self.layout.planes()[i];
                PlaneRef { data: &self.bytes[plane.offset..][..plane.stride * plane.rows], stride: plane.stride }
            };
            let planes = Planes::Here([plane(0), plane(1), PlaneRef { data: &[], stride: 0 }]);
            let due = Some(due_ns);
            Ok(Pull::Picture(Picture {
                layout: self.layout,
                planes,
                pts_ns: 0,
                due_ns: due,
                arrival_ns: 0,
                decode_ns: None,
                skipped,
                is_damaged: false,
            }))
        }
    }

    struct Seen {
        ids: Vec<u64>,
        counters: Arc<CaptureCounters>,
    }

    /// Plays `count` pictures. The display takes a frame whenever the slot is not empty, and the clock then moves on by
    /// what showing it takes.
    fn play(stalls_ns: Vec<u64>, count: u64, show_ns: u64) -> Seen {
        let clock = Arc::new(ManualClock::at(START_NS));
        let wake = Arc::new(Wake::default());
        let frames = Arc::new(Slot::new(DISPLAY_SLOT, wake.clone()));
        let (counters, ended) = (Arc::new(CaptureCounters::default()), Arc::new(AtomicBool::new(false)));
        let (notes, _keep) = crossbeam_channel::bounded(NOTES);
        let capture = CaptureThread {
            source: Box::new(Paced::new(clock.clone(), stalls_ns, count)),
            clock: clock.clone(),
            stop: Shutdown::default(),
            limit: Limit::default(),
            frames: frames.clone(),
            wake: wake.clone(),
            counters: counters.clone(),
            tap: None,
            pulled: None,
            ended: ended.clone(),
            notes,
            content: ContentWatch::new(u64::MAX, u64::MAX, None),
            rings: Rings::new(None),
            beat: Arc::default(),
        };
        let thread = std::thread::spawn(move || capture.run());
        let ids = Mutex::new(Vec::new());
        let begun = Instant::now();
        loop {
            let has_ended = ended.load(Ordering::Acquire);
            match frames.pop() {
                Some(frame) => {
                    ids.lock().unwrap().push(frame.id().0);
                    clock.advance_ns(show_ns);
                }
                None if has_ended => break,
                // Nothing to show: it is the clock that capture waits for.
                None => {
                    wake.wait(Duration::from_millis(1));
                    clock.advance_ns(PERIOD_NS / 8);
                }
            }
            assert!(begun.elapsed() < Duration::from_secs(60), "it hangs");
        }
        assert!(thread.join().unwrap().error.is_none());
        Seen { ids: ids.into_inner().unwrap(), counters }
    }

    fn assert_accounted(seen: &Seen) -> (u64, u64) {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let (captured, late) = (read(&seen.counters.captured), read(&seen.counters.dropped_late));
        let display = read(&seen.counters.dropped_display);
        assert_eq!(captured, seen.ids.len() as u64 + late + display + read(&seen.counters.dropped_ring_full));
        assert!(seen.ids.windows(2).all(|w| w[0] < w[1]), "in order");
        (late, display)
    }

    #[test]
    fn a_machine_that_stood_still_for_80_ms_drops_nothing() {
        let mut stalls = vec![0; 60];
        stalls[10] = 80_000_000;
        stalls[40] = 60_000_000;
        let seen = play(stalls, 60, 4_000_000);
        assert_eq!(assert_accounted(&seen), (0, 0));
        assert_eq!(seen.ids, (0..60).collect::<Vec<_>>());
    }

    #[test]
    fn a_display_that_is_too_slow_is_named_as_the_reason() {
        let seen = play(Vec::new(), 200, 40_000_000);
        let (late, display) = assert_accounted(&seen);
        assert!(display > 60 && late < display / 4, "late {late}, display {display}");
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]
        /// Whatever the stalls and however slow the display: captured = displayed + dropped, in order.
        #[test]
        fn every_picture_is_shown_or_counted(stalls_ms in proptest::collection::vec(prop_oneof![4 => Just(0u64), 1 => 0u64..300], 1..40), show_ms in 0u64..50) {
            assert_accounted(&play(stalls_ms.into_iter().map(|ms| ms * 1_000_000).collect(), 40, show_ms * 1_000_000));
        }
    }
}
