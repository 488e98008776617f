//! When the data of a picture arrived: the stamp of what comes over a network is the arrival of its last packet, before
//! decoding. Noted by pad probes: each packet where it leaves the network's element, each whole picture where it enters
//! the decoder. In MPEG-TS a picture may be known to be whole only when the next one begins; its stamp is then late by
//! up to one period, never early.

use crate::base::clock::Clock;
use gstreamer as gst;
use gstreamer::prelude::*;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// More pictures than any decoder holds.
const KEPT: usize = 64;

#[derive(Default)]
struct State {
    last_ns: AtomicU64,
    by_pts: Mutex<VecDeque<(u64, u64)>>,
}

/// Arrivals in one pipeline.
#[derive(Clone)]
pub(super) struct Arrivals {
    state: Arc<State>,
    clock: Arc<dyn Clock>,
}

impl Arrivals {
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Arrivals { state: Arc::default(), clock }
    }

    /// When data came last, 0 if none has come yet.
    pub fn last_ns(&self) -> u64 {
        self.state.last_ns.load(Ordering::Acquire)
    }

    /// When the last packet of the picture with this stamp came. Older entries are forgotten.
    pub fn take(&self, pts_ns: u64) -> Option<u64> {
        let mut by_pts = self.state.by_pts.lock().unwrap_or_else(PoisonError::into_inner);
        let at = by_pts.iter().position(|&(pts, _)| pts == pts_ns)?;
        // Pictures are reordered by the decoder: one that was overtaken may still be asked for.
        by_pts.remove(at).map(|(_, arrived_ns)| arrived_ns)
    }

    /// Notes each packet that passes this pad.
    pub fn watch_packets(&self, pad: &gst::Pad) {
        let noted = self.clone();
        pad.add_probe(gst::PadProbeType::BUFFER | gst::PadProbeType::BUFFER_LIST, move |_, _| {
            noted.state.last_ns.store(noted.clock.now_ns(), Ordering::Release);
            gst::PadProbeReturn::Ok
        });
    }

    /// Notes what enters a decoder, under its time stamp.
    pub fn watch_pictures(&self, decoder: &gst::Element) {
        let Some(pad) = decoder.static_pad("sink") else { return };
        let noted = self.clone();
        pad.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
            if let Some(pts) = info.buffer().and_then(|buffer| buffer.pts()) {
                let mut by_pts = noted.state.by_pts.lock().unwrap_or_else(PoisonError::into_inner);
                if by_pts.len() == KEPT {
                    by_pts.pop_front();
                }
                by_pts.push_back((pts.nseconds(), noted.last_ns()));
            }
            gst::PadProbeReturn::Ok
        });
    }
}
