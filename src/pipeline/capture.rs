//! The capture thread: pulls pictures, copies them into the ring, waits until they are due, stamps them, and hands them
//! on. It waits for the source and the clock, never for display, inference or a writer.

use crate::base::clock::Clock;
use crate::base::ids::FrameId;
use crate::base::shutdown::Shutdown;
use crate::base::slot::{Slot, Wake};
use crate::base::stats::Delays;
use crate::capture::{CaptureError, Picture, Pull, Source};
use crate::frame::{Frame, FrameRing, MemoryError, Stamps};
use crate::pipeline::scheduling;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// How many frames wait for the display at most.
pub const DISPLAY_SLOT: usize = 2;
const PULL_WAIT: Duration = Duration::from_millis(50);

/// Counted by capture, read by everybody.
#[derive(Debug, Default)]
pub struct CaptureCounters {
    pub captured: AtomicU64,
    /// Due, but the source had no picture in time.
    pub dropped_late: AtomicU64,
    /// Every slot of the ring was still in use.
    pub dropped_ring_full: AtomicU64,
    /// Replaced in the display slot by a newer frame.
    pub dropped_display: AtomicU64,
}

/// Where frames go besides the display.
pub trait FrameTap: Send {
    /// Called for each frame on the capture thread: may not wait.
    fn offer(&mut self, frame: &Frame);
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
}

impl CaptureThread {
    pub fn run(mut self) -> CaptureOutcome {
        scheduling::make_realtime("capture");
        let mut outcome = CaptureOutcome::default();
        if let Err(error) = self.capture(&mut outcome) {
            outcome.error = Some(error);
        }
        self.ended.store(true, Ordering::Release);
        self.wake.ring();
        outcome
    }

    fn capture(&mut self, outcome: &mut CaptureOutcome) -> Result<(), CaptureFailure> {
        let mut ring: Option<FrameRing> = None;
        let mut end_ns: Option<u64> = None;
        let mut next_id = 0u64;
        while !self.stop.is_requested() && self.limit.frames.is_none_or(|limit| next_id < limit) {
            let picture = match self.source.pull(PULL_WAIT)? {
                Pull::Picture(picture) => picture,
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
            self.counters.dropped_late.fetch_add(skipped, Ordering::Relaxed);
            next_id += skipped;
            let id = FrameId(next_id);
            next_id += 1;
            if let Some(ready) = &self.pulled {
                wait_until_taken(ready, &self.stop);
            }
            let frame = write_frame(&mut ring, &picture, id, &*self.clock, self.pulled.is_some(), outcome)?;
            self.counters.captured.fetch_add(1, Ordering::Relaxed);
            let Some(frame) = frame else {
                self.counters.dropped_ring_full.fetch_add(1, Ordering::Relaxed);
                continue;
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

fn wait_until_taken(ready: &AtomicBool, stop: &Shutdown) {
    while !ready.swap(false, Ordering::AcqRel) && !stop.is_requested() {
        std::thread::park_timeout(Duration::from_millis(20));
    }
}

/// Copies a picture into a free slot ahead of its time, waits until it is due, stamps and publishes it.
/// None: no slot was free.
fn write_frame(
    ring: &mut Option<FrameRing>,
    picture: &Picture<'_>,
    id: FrameId,
    clock: &dyn Clock,
    pulled: bool,
    outcome: &mut CaptureOutcome,
) -> Result<Option<Frame>, CaptureFailure> {
    if ring.as_ref().is_none_or(|ring| *ring.layout() != picture.layout) {
        *ring = Some(FrameRing::new(picture.layout)?);
    }
    let Some(mut writer) = ring.as_ref().and_then(FrameRing::acquire) else {
        if let Some(due_ns) = picture.due_ns {
            clock.sleep_until_ns(due_ns);
        }
        return Ok(None);
    };
    let started_ns = clock.now_ns();
    picture.copy_into(writer.data_mut());
    outcome.upload.record_ns(clock.now_ns().saturating_sub(started_ns));
    if let Some(decode_ns) = picture.decode_ns {
        outcome.decode.record_ns(decode_ns);
    }
    let capture_ns = match picture.due_ns {
        _ if pulled => clock.now_ns(),
        Some(due_ns) => {
            clock.sleep_until_ns(due_ns);
            due_ns
        }
        None => picture.arrival_ns,
    };
    Ok(Some(writer.publish(Stamps { id, pts_ns: picture.pts_ns, capture_ns })))
}
