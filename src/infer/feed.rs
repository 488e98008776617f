//! Brings frames to an engine's input: where the model runs on a device and its kernels can fill the input, there; else here.
//!
//! ```text
//!   here     FrameView ─► Preprocess ─► input_mut ─► Normaliser ───────────────────────► run
//!   device   FrameView ─► upload ─► preprocess.cu ─► device_input ─► preprocess.cu, corrected ─► run_filled
//!                                        └► fetch_input ─► input_mut ─► Normaliser ─┘
//! ```
//! On both ways `input_mut` holds what the model is shown: everything else that looks at the frame looks there.

use super::cuda::DeviceFeed;
use super::engine::Engine;
use super::error::InferError;
use super::hash::input_hash;
use super::normalise::Normaliser;
use super::preprocess::{Fit, Preprocess};
use crate::frame::{FrameView, RingReader};
use std::sync::Arc;

/// Of one engine and one stream of frames.
#[derive(Debug)]
pub struct Feed {
    preprocess: Preprocess,
    device: Option<DeviceFeed>,
}

impl Feed {
    pub fn new(engine: &mut dyn Engine) -> Result<Self, InferError> {
        let spec = engine.input().clone();
        let device = match engine.device_input() {
            Some(to) => Some(DeviceFeed::new(spec.clone(), to)?),
            None => None,
        };
        Ok(Feed { preprocess: Preprocess::new(spec), device })
    }

    /// Frames come from this ring from now on.
    pub fn meet(&mut self, ring: &Arc<RingReader>, engine: &mut dyn Engine) {
        if let (Some(device), Some(to)) = (&mut self.device, engine.device_input()) {
            device.meet(ring, &to);
        }
    }

    /// Fills the input. Returns where in it the picture lies.
    pub fn show(&mut self, view: FrameView<'_>, engine: &mut dyn Engine) -> Result<Fit, InferError> {
        let (Some(device), Some(to)) = (&mut self.device, engine.device_input()) else {
            return Ok(self.preprocess.run(view, engine.input_mut()));
        };
        // SAFETY: `fetch_input` waits for the stream, whatever became of this.
        let shown = unsafe { device.show(view, &to) };
        engine.fetch_input()?;
        shown
    }

    /// Changes what was shown to the light that the engine knows.
    pub fn normalise(&mut self, normaliser: &mut Normaliser, capture_ns: u64, engine: &mut dyn Engine) -> Result<(), InferError> {
        let is_changed = normaliser.run(engine.input_mut(), capture_ns);
        match (&mut self.device, engine.device_input()) {
            (Some(device), Some(to)) if is_changed => device.correct(normaliser, &to),
            _ => Ok(()),
        }
    }

    /// Runs the model on what was shown.
    pub fn run(&self, engine: &mut dyn Engine) -> Result<(), InferError> {
        if self.device.is_some() { engine.run_filled() } else { engine.run() }
    }

    /// `input_hash` of the frame that was shown last, where that lies; `view`: that frame.
    pub fn input_hash(&mut self, view: FrameView<'_>, engine: &mut dyn Engine) -> [u8; 32] {
        let there = match (&mut self.device, engine.device_input()) {
            (Some(device), Some(to)) => device.input_hash(view.layout, &to),
            _ => Ok(None),
        };
        // A device that fails says so at the next frame.
        there.ok().flatten().unwrap_or_else(|| input_hash(view))
    }
}

#[cfg(test)]
#[path = "feed_tests.rs"]
mod tests;
