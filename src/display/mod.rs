//! Where pictures go: a window, or nowhere (headless). Each output owns its compositor and its present.

use crate::frame::Frame;
use crate::overlay::Layer;

/// What one present took.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shown {
    /// CLOCK_MONOTONIC when the present call had completed, ns.
    pub done_ns: u64,
    pub compose_ns: u64,
    pub present_ns: u64,
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
