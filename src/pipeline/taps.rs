//! What a self-test learns from inside a run: when each picture was presented, and, where the display is memory, what the
//! marker in it says. Fixed-size notes through bounded channels: nothing here waits or allocates.

use crate::display::PresentedView;
use crate::frame::Stamps;
use crate::frame::marker::{COLOURS, Capture, Reader, Reading, Unread, colours};
use crate::pipeline::selftest::COLOURS_EVERY;
use crossbeam_channel::{Receiver, Sender, bounded};

/// One present, by the run's own clock (CLOCK_MONOTONIC ns).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PresentStamp {
    /// Position in the source: of a pattern, number × period.
    pub pts_ns: u64,
    pub capture_ns: u64,
    pub present_ns: u64,
    /// The picture was on the screen before.
    pub is_again: bool,
}

/// The marker at one moment.
#[derive(Debug, Clone)]
pub struct Sight {
    /// When the capture arrived, CLOCK_MONOTONIC ns.
    pub at_ns: u64,
    pub seen: Result<Reading, Unread>,
    /// Means of the colour bars, where they were looked at.
    pub colours: Option<[[f32; 3]; COLOURS]>,
}

/// Where notes go; a full channel drops them, and the self-test then finds frames missing: never a false pass.
#[derive(Debug, Clone)]
pub struct Taps {
    presents: Sender<PresentStamp>,
    /// Only where the presented picture itself is looked at.
    sights: Option<Sender<Sight>>,
}

/// What was noted.
#[derive(Debug)]
pub struct Noted {
    presents: Receiver<PresentStamp>,
    sights: Receiver<Sight>,
}

impl Taps {
    /// For so many presents. `in_memory`: the presented picture itself is looked at.
    pub fn new(presents: usize, in_memory: bool) -> (Self, Noted) {
        let (sender, receiver) = bounded(presents);
        let (sights, seen) = bounded(if in_memory { presents } else { 0 });
        (Taps { presents: sender, sights: in_memory.then_some(sights) }, Noted { presents: receiver, sights: seen })
    }

    pub fn wants_pixels(&self) -> bool {
        self.sights.is_some()
    }

    pub fn presented(&self, stamps: Stamps, present_ns: u64, is_again: bool) {
        let note = PresentStamp { pts_ns: stamps.pts_ns, capture_ns: stamps.capture_ns, present_ns, is_again };
        let _ = self.presents.try_send(note);
    }

    /// Reads the marker in what was presented at `at_ns`.
    pub fn look(&self, reader: &mut Reader, pixels: PresentedView<'_>, at_ns: u64) {
        let (Some(sights), Some(capture)) = (&self.sights, Capture::bgrx(pixels.data, pixels.stride, pixels.width, pixels.height)) else {
            return;
        };
        let seen = reader.read(&capture);
        let colours = seen
            .as_ref()
            .ok()
            .filter(|_| sights.len().is_multiple_of(COLOURS_EVERY))
            .and_then(|reading| colours(pixels.data, pixels.stride, pixels.width, pixels.height, &reading.geometry));
        let _ = sights.try_send(Sight { at_ns, seen, colours });
    }
}

impl Noted {
    /// All that was noted; the run has ended.
    pub fn take(self) -> (Vec<PresentStamp>, Vec<Sight>) {
        (self.presents.try_iter().collect(), self.sights.try_iter().collect())
    }
}
