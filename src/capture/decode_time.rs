//! What decoding a picture took: from its data entering the decoder to the picture leaving it, both seen by pad probes.
//! Measured only where a decoder works in the thread that feeds it: with frame threads, entering and leaving say how the
//! pipeline is paced, not what decoding took.

use crate::base::clock::Clock;
use gstreamer as gst;
use gstreamer::prelude::*;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// More pictures than any decoder and queue hold between them.
const KEPT: usize = 64;

#[derive(Default)]
struct State {
    entered_ns: AtomicU64,
    in_feeding_thread: AtomicBool,
    left: Mutex<VecDeque<(u64, u64)>>,
}

/// Decode times of one pipeline, by the pictures' time stamps.
#[derive(Clone)]
pub(super) struct DecodeTimes {
    state: Arc<State>,
    clock: Arc<dyn Clock>,
}

impl DecodeTimes {
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        let state = State { left: Mutex::new(VecDeque::with_capacity(KEPT)), ..State::default() };
        DecodeTimes { state: Arc::new(state), clock }
    }

    /// What decoding the picture with this stamp took, ns. Older entries are forgotten.
    pub fn take(&self, pts_ns: u64) -> Option<u64> {
        let mut left = self.state.left.lock().unwrap_or_else(PoisonError::into_inner);
        let at = left.iter().position(|&(pts, _)| pts == pts_ns)?;
        left.drain(..=at).next_back().map(|(_, took_ns)| took_ns)
    }

    /// Watches a video decoder.
    pub fn watch(&self, element: &gst::Element) {
        let (Some(sink), Some(src)) = (element.static_pad("sink"), element.static_pad("src")) else { return };
        let is_hardware = element.factory().and_then(|f| f.metadata("klass").map(|k| k.contains("Hardware"))).unwrap_or(false);
        let (times, weak) = (self.clone(), element.downgrade());
        sink.add_probe(gst::PadProbeType::BUFFER | gst::PadProbeType::EVENT_DOWNSTREAM, move |_, info| {
            match &info.data {
                Some(gst::PadProbeData::Buffer(_)) => times.state.entered_ns.store(times.clock.now_ns().max(1), Ordering::Relaxed),
                Some(gst::PadProbeData::Event(event)) => match event.view() {
                    gst::EventView::Caps(_) => {
                        let threads = weak.upgrade().and_then(|decoder| libav_threads(&decoder));
                        times.state.in_feeding_thread.store(!is_hardware && threads.is_none_or(|n| n == 1), Ordering::Relaxed);
                    }
                    gst::EventView::FlushStop(_) => times.state.left.lock().unwrap_or_else(PoisonError::into_inner).clear(),
                    _ => {}
                },
                _ => {}
            }
            gst::PadProbeReturn::Ok
        });
        let times = self.clone();
        src.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
            let entered_ns = times.state.entered_ns.swap(0, Ordering::Relaxed);
            let pts = info.buffer().and_then(|buffer| buffer.pts());
            // A second picture out of the same data has waited for the first to be taken: no time of its own.
            if let (true, true, Some(pts)) = (entered_ns > 0, times.state.in_feeding_thread.load(Ordering::Relaxed), pts) {
                let took_ns = times.clock.now_ns().saturating_sub(entered_ns);
                let mut left = times.state.left.lock().unwrap_or_else(PoisonError::into_inner);
                if left.len() == KEPT {
                    left.pop_front();
                }
                left.push_back((pts.nseconds(), took_ns));
            }
            gst::PadProbeReturn::Ok
        });
    }
}

/// Threads of a libav decoder; None for a decoder that has no such setting.
fn libav_threads(decoder: &gst::Element) -> Option<i32> {
    // Threads within a picture: it leaves in the call that it entered by.
    if decoder.find_property("thread-type").is_some_and(|_| decoder.property_value("thread-type").serialize().is_ok_and(|t| t == "slice")) {
        return Some(1);
    }
    let spec = decoder.find_property("max-threads")?;
    (spec.value_type() == i32::static_type()).then(|| decoder.property("max-threads"))
}
