//! What a self-test learns from inside a run: when each picture was presented, and, where the display is memory, what the
//! marker in it and the overlay's answer under it say. Fixed-size notes through bounded channels: nothing here waits or allocates.

use crate::display::PresentedView;
use crate::frame::Stamps;
use crate::frame::marker::{COLOURS, Capture, Reader, Reading, Unread, colours};
use crate::pipeline::selftest::{COLOURS_EVERY, Echo};
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
    /// The picture that the overlay answers; `NotFound` without an overlay, or without a marker.
    pub echo: Result<u32, Unread>,
    /// Means of the colour bars, where they were looked at.
    pub colours: Option<[[f32; 3]; COLOURS]>,
}

/// A scene that was too old before it was ever shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Late {
    pub capture_ns: u64,
    /// When it was hidden.
    pub age_ns: u64,
}

/// Where notes go; a full channel drops them, and the self-test then finds frames missing: never a false pass.
#[derive(Debug, Clone)]
pub struct Taps {
    presents: Sender<PresentStamp>,
    /// Only where the presented picture itself is looked at.
    sights: Option<Sender<Sight>>,
    late: Sender<Late>,
    echo: Option<Echo>,
}

/// What was noted.
#[derive(Debug)]
pub struct Noted {
    presents: Receiver<PresentStamp>,
    sights: Receiver<Sight>,
    late: Receiver<Late>,
}

impl Taps {
    /// For so many presents. `in_memory`: the presented picture itself is looked at.
    pub fn new(presents: usize, in_memory: bool, echo: Option<Echo>) -> (Self, Noted) {
        let (sender, receiver) = bounded(presents);
        let (sights, seen) = bounded(if in_memory { presents } else { 0 });
        let (late, hidden) = bounded(presents);
        let taps = Taps { presents: sender, sights: in_memory.then_some(sights), late, echo };
        (taps, Noted { presents: receiver, sights: seen, late: hidden })
    }

    pub fn wants_pixels(&self) -> bool {
        self.sights.is_some()
    }

    /// What is drawn instead of an overlay.
    pub fn echo(&self) -> Option<&Echo> {
        self.echo.as_ref()
    }

    pub fn too_late(&self, capture_ns: u64, now_ns: u64) {
        let _ = self.late.try_send(Late { capture_ns, age_ns: now_ns.saturating_sub(capture_ns) });
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
        let echo = seen.as_ref().map_err(|_| Unread::NotFound).and_then(|reading| reader.read_echo(&capture, reading));
        let colours = seen
            .as_ref()
            .ok()
            .filter(|_| sights.len().is_multiple_of(COLOURS_EVERY))
            .and_then(|reading| colours(pixels.data, pixels.stride, pixels.width, pixels.height, &reading.geometry));
        let _ = sights.try_send(Sight { at_ns, seen, echo, colours });
    }
}

impl Noted {
    /// All that was noted; the run has ended.
    pub fn take(self) -> (Vec<PresentStamp>, Vec<Sight>, Vec<Late>) {
        (self.presents.try_iter().collect(), self.sights.try_iter().collect(), self.late.try_iter().collect())
    }
}
