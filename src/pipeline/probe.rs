//! Can this machine pass a source at its rate? Measured before the run, when it is open who draws, on the source's own size and format,
//! and by the way that its pictures will go.
//!
//! ```text
//!   drawn by the processor   picture ─ copied into the ring ─► converted
//!   drawn by a device        picture ─ copied into the ring, or to the device, or within it ─► drawn there by the compositor's pass
//! ```
//! That is what each frame costs for certain. What the monitor's last step costs is not in it, nor is decoding, which the source has shown
//! to work.

use crate::base::clock::{Clock, MonotonicClock};
use crate::base::ids::FrameId;
use crate::capture::{OnDevice, Picture, Planes, SourceInfo};
use crate::display::{self, Headless, HeadlessGpu, Output};
use crate::frame::{FrameLayout, Stamps};
use crate::overlay::gpu::Gpu;
use crate::pipeline::RunError;
use crate::pipeline::rings::{Home, Rings};
use std::sync::Arc;

/// A frame's certain work may take so much of its period, in percent: what is left is for drawing and showing.
const MOST_PERCENT: u64 = 80;
/// Sources up to 1080p60 are passed by every machine that the product runs on, and are not kept waiting.
const SURELY_PASSED_PX_S: f64 = 1920.0 * 1080.0 * 60.0;
/// The best of so many counts: one that was interrupted says nothing about the machine.
pub const ROUNDS: usize = 8;

/// The way of a picture from its source to the compositor.
#[derive(Debug, Clone, Copy)]
pub struct Way<'a> {
    /// What draws; None: the processor.
    pub gpu: Option<&'a Gpu>,
    /// The device on which pictures may lie. It has been told what draws.
    pub home: Option<&'a Arc<Home>>,
    /// The source's pictures lie there.
    pub lies_there: bool,
}

impl Way<'_> {
    const PROCESSOR: Way<'static> = Way { gpu: None, home: None, lies_there: false };
}

/// Refuses a source of which this machine cannot pass each frame in time. Where only a device can: how many a second it could without.
pub fn check(info: &SourceInfo, way: Way<'_>, clock: &dyn Clock) -> Result<Option<f64>, RunError> {
    if info.width as f64 * info.height as f64 * info.fps <= SURELY_PASSED_PX_S {
        return Ok(None);
    }
    let layout = FrameLayout::new(info.format, info.colorimetry, info.width, info.height).map_err(failed)?;
    let alone_ns = frame_cost_ns(layout, Way::PROCESSOR, clock)?;
    let cost_ns = match way {
        Way { gpu: None, home: None, .. } => alone_ns,
        // A device that fails now fails in the run, too, and then the processor goes on.
        way => frame_cost_ns(layout, way, clock).inspect_err(|error| tracing::warn!("{error}")).unwrap_or(alone_ns),
    };
    let period_ns = (1e9 / info.fps) as u64;
    tracing::info!(cost_ns, alone_ns, period_ns, "the source's rate was probed");
    judge(info, cost_ns, period_ns)?;
    Ok((!is_in_time(alone_ns, period_ns)).then(|| 1e7 * MOST_PERCENT as f64 / alone_ns as f64))
}

fn failed(error: impl std::fmt::Display) -> RunError {
    RunError::Probe { reason: error.to_string() }
}

/// The least time in which one frame goes this way, ns.
fn frame_cost_ns(layout: FrameLayout, way: Way<'_>, clock: &dyn Clock) -> Result<u64, RunError> {
    // Not zero: untouched memory would be one page, read again and again.
    let bytes = vec![100; layout.size];
    let there = match way.home.filter(|_| way.lies_there) {
        Some(home) => Some((home.device().buffer(layout.size).map_err(failed)?, home.device().event().map_err(failed)?)),
        None => None,
    };
    let planes = match &there {
        Some((memory, used)) => Planes::There(OnDevice::of(&layout, memory.span(), used).map_err(failed)?),
        None => Planes::of(&layout, &bytes),
    };
    let picture = Picture { layout, planes, pts_ns: 0, due_ns: None, arrival_ns: 0, decode_ns: None, skipped: 0, is_damaged: false };
    let mut rings = Rings::new(way.home.cloned());
    // What it says of its presents nobody reads.
    let its_clock = Arc::new(MonotonicClock);
    let mut output: Box<dyn Output> = match way.gpu {
        Some(gpu) => Box::new(HeadlessGpu::new(gpu.clone(), its_clock)),
        None => Box::new(Headless::new(its_clock, None)),
    };
    let mut least_ns = u64::MAX;
    for id in 0..ROUNDS {
        let begun_ns = clock.now_ns();
        let mut slot = rings.acquire(&picture).map_err(failed)?.ok_or_else(|| failed("no slot is free"))?;
        rings.write(&picture, &mut slot).map_err(failed)?;
        let frame = slot.publish(Stamps { id: FrameId(id as u64), pts_ns: 0, capture_ns: 0 });
        output.show(display::Picture::New(&frame), &[]).map_err(failed)?;
        least_ns = least_ns.min(clock.now_ns().saturating_sub(begun_ns));
    }
    Ok(least_ns)
}

fn is_in_time(cost_ns: u64, period_ns: u64) -> bool {
    cost_ns * 100 <= period_ns * MOST_PERCENT
}

fn judge(info: &SourceInfo, cost_ns: u64, period_ns: u64) -> Result<(), RunError> {
    if is_in_time(cost_ns, period_ns) {
        return Ok(());
    }
    Err(RunError::TooMuch {
        uri: info.uri.clone(),
        width: info.width,
        height: info.height,
        fps: info.fps,
        needs_ms: cost_ns as f64 / 1e6,
        has_ms: period_ns as f64 / 1e6,
    })
}

#[cfg(test)]
#[path = "probe_tests.rs"]
mod tests;
