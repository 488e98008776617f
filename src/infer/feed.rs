//! Brings frames to an engine's input: where the model runs on a device and its kernels can fill the input, there; else here.
//!
//! ```text
//!   here     FrameView ─► Preprocess ─► input_mut ─► Normaliser ───────────────────────► run
//!   device   Captured ──► upload ─► preprocess.cu ─► device_input ─► preprocess.cu, corrected ─► run_there
//!   `show`                               └► fetch_input ─► input_mut ─► Normaliser ─┘
//!   `show_there`                         └► what is told of its light ─► Normaliser ┘
//! ```
//! After `show`, `input_mut` holds what the model is shown: everything else that looks at the frame looks there. After `show_there` it
//! does not: who looks at the frame does so where it lies.

use super::cuda::DeviceFeed;
use super::engine::{DeviceInput, Engine};
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
    /// Was the last frame shown by `show_there`?
    is_there: bool,
}

impl Feed {
    pub fn new(engine: &mut dyn Engine) -> Result<Self, InferError> {
        let spec = engine.input().clone();
        let device = match engine.device_input() {
            Some(to) => Some(DeviceFeed::new(spec.clone(), to)?),
            None => None,
        };
        Ok(Feed { preprocess: Preprocess::new(spec), device, is_there: false })
    }

    /// Frames come from this ring from now on.
    pub fn meet(&mut self, ring: &Arc<RingReader>, engine: &mut dyn Engine) {
        if let (Some(device), Some(to)) = (&mut self.device, engine.device_input()) {
            device.meet(ring, &to);
        }
    }

    /// Can frames be shown by `show_there`?
    pub fn shows_there(&self) -> bool {
        self.device.as_ref().is_some_and(DeviceFeed::judges)
    }

    /// As `show`, and nothing of the input comes here: `glance` has the device do what is to be told of it, before it is corrected, and is
    /// given where in it the picture lies.
    pub fn show_there(
        &mut self,
        frame: Captured<'_>,
        engine: &mut dyn Engine,
        glance: &mut dyn FnMut(&DeviceInput<'_>, Fit) -> Result<(), InferError>,
    ) -> Result<Fit, InferError> {
        let (Some(device), Some(to)) = (&mut self.device, engine.device_input()) else { return Err(CudaError::Elsewhere.into()) };
        self.is_there = true;
        // SAFETY: the light is waited for, and the whole stream where that or anything else has failed.
        let shown = unsafe { device.show(frame, &to, true) };
        let shown = shown.and_then(|fit| {
            glance(&to, fit)?;
            device.wait_for_light(to.gpu.stream())?;
            Ok(fit)
        });
        if shown.is_err() {
            to.gpu.stream().synchronize()?;
        }
        shown
    }

    /// Makes `input_mut` hold what the model was shown last.
    pub fn fetch(&self, engine: &mut dyn Engine) -> Result<(), InferError> {
        if self.device.is_some() { engine.fetch_input() } else { Ok(()) }
    }

    /// Fills the input. Returns where in it the picture lies.
    pub fn show(&mut self, frame: Captured<'_>, engine: &mut dyn Engine) -> Result<Fit, InferError> {
        self.is_there = false;
        let (Some(device), Some(to)) = (&mut self.device, engine.device_input()) else {
            return match frame {
                Captured::Here(view) => Ok(self.preprocess.run(view, engine.input_mut())),
                Captured::There(..) => Err(CudaError::Elsewhere.into()),
            };
        };
        // SAFETY: `fetch_input` waits for the stream, whatever became of this.
        let shown = unsafe { device.show(frame, &to, false) };
        engine.fetch_input()?;
        shown
    }

    /// Changes what was shown to the light that the engine knows.
    pub fn normalise(&mut self, normaliser: &mut Normaliser, capture_ns: u64, engine: &mut dyn Engine) -> Result<(), InferError> {
        let is_changed = match &self.device {
            Some(device) if self.is_there => device.judge(normaliser, capture_ns)?,
            _ => normaliser.run(engine.input_mut(), capture_ns),
        };
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
