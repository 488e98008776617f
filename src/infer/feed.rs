//! Brings frames to an engine's input: where the model runs on a device and its kernels can fill the input, there; else here.
//!
//! ```text
//!   here     FrameView ─► Preprocess ─► input_mut ─► Normaliser ───────────────────────► run
//!   device   Captured ──► upload ─► preprocess.cu ─► device_input ─► preprocess.cu, corrected ─► run_there
//!                                        └► fetch_input ─► input_mut ─► Normaliser ─┘
//! ```
//! On both ways `input_mut` holds what the model is shown: everything else that looks at the frame looks there.

use super::cuda::DeviceFeed;
use super::engine::Engine;
use super::error::InferError;
use super::hash::input_hash;
use super::normalise::Normaliser;
use super::preprocess::{Fit, Preprocess};
use crate::frame::cuda::{CudaError, DeviceSpan};
use crate::frame::{FrameLayout, FrameView, RingReader};
use std::sync::Arc;

/// A frame where it was captured to.
#[derive(Debug, Clone, Copy)]
pub enum Captured<'a> {
    Here(FrameView<'a>),
    /// In memory of the device that the model runs on: the layout's bytes, and perhaps some behind them.
    There(&'a FrameLayout, DeviceSpan<'a>),
}

impl<'a> Captured<'a> {
    pub fn layout(&self) -> &'a FrameLayout {
        match self {
            Captured::Here(view) => view.layout,
            Captured::There(layout, _) => layout,
        }
    }
}

impl<'a> From<FrameView<'a>> for Captured<'a> {
    fn from(view: FrameView<'a>) -> Self {
        Captured::Here(view)
    }
}

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
    pub fn show(&mut self, frame: Captured<'_>, engine: &mut dyn Engine) -> Result<Fit, InferError> {
        let (Some(device), Some(to)) = (&mut self.device, engine.device_input()) else {
            return match frame {
                Captured::Here(view) => Ok(self.preprocess.run(view, engine.input_mut())),
                Captured::There(..) => Err(CudaError::Elsewhere.into()),
            };
        };
        // SAFETY: `fetch_input` waits for the stream, whatever became of this.
        let shown = unsafe { device.show(frame, &to) };
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

    /// Runs the model on what was shown. On a device its outputs are still there (`Engine::fetch_outputs`).
    pub fn run(&self, engine: &mut dyn Engine) -> Result<(), InferError> {
        if self.device.is_some() { engine.run_there() } else { engine.run() }
    }

    /// Can it be shown frames that lie on the engine's device?
    pub fn is_on_device(&self) -> bool {
        self.device.is_some()
    }

    /// `input_hash` of the frame that was shown last, where that lies; `frame`: that one. None: its device does not say.
    pub fn input_hash(&mut self, frame: Captured<'_>, engine: &mut dyn Engine) -> Option<[u8; 32]> {
        let there = match (&mut self.device, engine.device_input()) {
            (Some(device), Some(to)) => device.input_hash(frame.layout(), &to),
            _ => Ok(None),
        };
        // A device that fails says so at the next frame.
        there.ok().flatten().or_else(|| match frame {
            Captured::Here(view) => Some(input_hash(view)),
            Captured::There(..) => None,
        })
    }
}

#[cfg(test)]
#[path = "feed_tests.rs"]
mod tests;
