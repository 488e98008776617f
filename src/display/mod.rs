//! Where pictures go: a window, or nowhere (headless). Each output owns its compositor and its present.
//!
//! ```text
//!   headless    host compositor ─► memory                      wgpu compositor ─► offscreen texture (tests)
//!   window      X11, no GPU:  host compositor ─► MIT-SHM segment ─► put ─► server says it is done
//!               GPU, Wayland: wgpu compositor ─► surface ─► present
//!                a graphics device that is lost: another way into the same window (`rescue`)
//!   decklink    host compositor ─► SDI card, or fill and key alone
//!   drm         a GPU drives the card: wgpu compositor ─► Vulkan's own plane ─► present
//!               else, and when it is lost: host compositor ─► KMS dumb buffers ─► page flip
//! ```
//! `hud` draws what is said beside the picture, `pip` fills the picture in picture.
//! winit's loop owns the main thread (`window::run_window`); an `Output` belongs to the display thread. Which scene and
//! what the screen says is decided in `pipeline`.

mod canvas;
mod error;
mod feed;
mod gpu_window;
mod headless;
pub mod hud;
mod inventory;
mod kms;
mod modes;
mod monitor_watch;
mod monitors;
pub mod pip;
mod refresh;
mod rescue;
mod sdi;
mod settings;
mod shm;
mod surface;
mod vsync;
pub mod window;
mod wiring;
mod x11;
mod x11_beside;
mod x11_clock;
mod x11_monitor;

pub use error::DisplayError;
pub use feed::{CleanFeed, FeedCounts, OpenFeed};
pub use gpu_window::GpuWindow;
pub use headless::{Headless, HeadlessGpu, open_headless};
pub use inventory::inventory;
pub use kms::{DrmOutputs, KeyLabels, open as open_drm};
pub use modes::modes_in_words;
pub use monitor_watch::{MonitorEvent, MonitorLink, MonitorNote, Trouble};
pub use monitors::{Monitor, MonitorChoice};
pub use refresh::Refresh;
#[cfg(test)]
pub use rescue::Rescued;
pub use sdi::{Keyer, SdiOutput, SdiSpec};
pub use settings::{CleanFeed as CleanFeedChoice, Presenter, Settings, Wish};
pub use window::{FeedOptions, Key, WindowEvent, WindowHandle, WindowOptions, Windows, open_window_output, run_window};
pub use wiring::{Wiring, WiringPath};
pub use x11::X11Output;

use crate::frame::Frame;
use crate::overlay::gpu::Gpu;
use crate::overlay::{Layer, Rect};
use serde::Serialize;

/// What one present took.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shown {
    /// CLOCK_MONOTONIC when the present call had completed, ns.
    pub done_ns: u64,
    pub compose_ns: u64,
    pub present_ns: u64,
    /// CLOCK_MONOTONIC at which the monitor began to show it, where the display says so, ns.
    pub flip_ns: Option<u64>,
}

/// What to show.
#[derive(Debug, Clone, Copy)]
pub enum Picture<'a> {
    /// A frame that was not shown before.
    New(&'a Frame),
    /// The frame that is on the screen, again: only what the layers changed needs work.
    Again(&'a Frame),
    /// No frame: black, with the layers on it (NO SIGNAL). Width and height of the picture.
    Blank(usize, usize),
}

impl Picture<'_> {
    /// Width and height, px.
    pub fn size(&self) -> (usize, usize) {
        match *self {
            Picture::New(frame) | Picture::Again(frame) => (frame.layout().width, frame.layout().height),
            Picture::Blank(width, height) => (width, height),
        }
    }

    pub fn frame(&self) -> Option<&Frame> {
        match self {
            Picture::New(frame) | Picture::Again(frame) => Some(frame),
            Picture::Blank(..) => None,
        }
    }
}

/// What an output is, for the report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OutputInfo {
    /// "headless", "window", "decklink" or "drm".
    pub display: &'static str,
    /// What drives it.
    pub adapter: String,
    /// "host" or "wgpu".
    pub compositor: &'static str,
}

/// The composed picture that was presented last: BGRX, before any scaling to the window.
#[derive(Debug, Clone, Copy)]
pub struct PresentedView<'a> {
    pub data: &'a [u8],
    /// Bytes from row to row.
    pub stride: usize,
    pub width: usize,
    pub height: usize,
}

impl<'a> PresentedView<'a> {
    /// The visible bytes of a row.
    pub fn row(&self, y: usize) -> &'a [u8] {
        &self.data[y * self.stride..][..4 * self.width]
    }
}

/// What stands beside the picture, where it leaves bars.
#[derive(Debug, Clone, Copy)]
pub struct Beside<'a> {
    /// Of the screen's size; its rectangles lie beside the picture.
    pub layer: &'a Layer,
    /// Another one: something else is in it.
    pub serial: u64,
}

/// A small opaque bitmap beside the picture that is another one with each frame, and is to be seen together with it.
#[derive(Debug, Clone, Copy)]
pub struct CodeBeside<'a> {
    /// Of the screen; beside the picture.
    pub rect: Rect,
    /// BGRX, rows of the rectangle's width.
    pub pixels: &'a [u8],
}

/// Shows pictures. Lives on the display thread.
pub trait Output: Send {
    fn describe(&self) -> OutputInfo;

    /// What composes, where a graphics device does: pictures that lie there are drawn from there.
    fn gpu(&self) -> Option<&Gpu> {
        None
    }

    /// When this output takes new pictures, where it does so at a rate of its own: `show` then returns at a tick. None: it
    /// takes them as they come.
    fn refresh(&self) -> Option<Refresh> {
        None
    }

    /// Width and height of the screen or window that the picture stands on, where `set_beside` is obeyed, px.
    fn screen(&self) -> Option<(usize, usize)> {
        None
    }

    /// What stands beside the picture from the next `show` on. None: nothing but black.
    fn set_beside(&mut self, _beside: Option<Beside<'_>>) {}

    /// A code that stands beside the picture with the next `show`, or none does any more. Returns whether it will be there; after
    /// `set_beside`.
    fn set_code(&mut self, _code: Option<CodeBeside<'_>>) -> bool {
        false
    }

    /// What has become of the monitor since it was last asked. Never waits.
    fn monitor_note(&mut self) -> Option<MonitorNote> {
        None
    }

    /// After an error of `show`: another way to show pictures is taken, where there is one. Says which, and why; None: there is none.
    fn recover(&mut self, _error: &DisplayError) -> Option<String> {
        None
    }

    /// A fault on demand: the graphics device that composes is lost now. False: none does.
    fn lose_device(&mut self) -> bool {
        false
    }

    /// Composes and presents; returns when the present has completed. Layers have the picture's size and are laid over
    /// it in their order.
    fn show(&mut self, picture: Picture<'_>, layers: &[&Layer]) -> Result<Shown, DisplayError>;

    /// What `show` presented last. Host compositor: borrowed, at no cost; wgpu: read back from the device.
    fn presented(&mut self) -> Result<PresentedView<'_>, DisplayError>;
}
