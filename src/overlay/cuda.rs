//! This room's work on a GPU: what `shaders/mask_overlay.cu` is given, and how it is launched, as plain data. `raster` and `blend` are
//! its references. Nothing is launched here.

use crate::frame::cuda::{Launch, MASK_OVERLAY};
use crate::overlay::raster::Pen;
use bytemuck::{Pod, Zeroable};

/// Look 0 is none; so many are there with it.
pub const MOST_LOOKS: usize = 64;
const BLOCK_SIDE: u32 = 16;

/// Tissues lie below instruments, and keep out of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layered {
    Tissue = 1,
    Instrument = 2,
}

/// `Look` of the kernel.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Pod, Zeroable)]
pub struct Look {
    pub kind: u32,
    pub has_outline: u32,
    /// Premultiplied; 0: none.
    pub tint: u32,
    pub reach: f32,
}

/// Every look of one overlay, and the colours of their lines by nearness; looks are numbered from 1 on.
#[derive(Debug, Clone)]
pub struct Looks {
    pub looks: Vec<Look>,
    pub palettes: Vec<u32>,
}

impl Default for Looks {
    fn default() -> Self {
        Looks { looks: vec![Look::zeroed()], palettes: vec![0; 256] }
    }
}

impl Looks {
    /// Tissues first. None for `pen`: no outline. Returns the look's number; None: there are too many.
    pub fn add(&mut self, kind: Layered, pen: Option<&Pen>, tint: u32) -> Option<u8> {
        let number = self.looks.len();
        if number >= MOST_LOOKS {
            return None;
        }
        let reach = pen.map_or(0.0, Pen::reach);
        self.looks.push(Look { kind: kind as u32, has_outline: u32::from(pen.is_some()), tint, reach });
        self.palettes.extend(pen.map_or([0; 256], Pen::palette));
        Some(number as u8)
    }

    fn reach(&self) -> f32 {
        self.looks.iter().map(|look| look.reach).fold(0.0, f32::max)
    }
}

/// As in the kernel.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Pod, Zeroable)]
pub struct OverlayParams {
    pub map: [u32; 2],
    pub picture: [u32; 2],
    pub scale: [f32; 2],
    pub shift: [f32; 2],
    pub cells: [i32; 2],
}

/// All that a launch needs but the buffers: `map` u16 and `edges` two bytes a map pixel, a byte a region for its look, the looks and
/// palettes, and the texture, a u32 a pixel of the picture.
#[derive(Debug, Clone, Copy)]
pub struct OverlayPlan {
    pub params: OverlayParams,
    pub launch: Launch,
}

impl OverlayPlan {
    /// `scale`, `shift`: from map pixels to the picture's, (point + shift)·scale.
    pub fn new(map: [usize; 2], picture: [usize; 2], scale: [f32; 2], shift: [f32; 2], looks: &Looks) -> Self {
        let [width, height] = picture.map(|side| side as u32);
        let params = OverlayParams {
            map: map.map(|side| side as u32),
            picture: [width, height],
            scale,
            shift,
            cells: scale.map(|scale| (looks.reach() / scale).ceil() as i32),
        };
        let grid = [width.div_ceil(BLOCK_SIDE), height.div_ceil(BLOCK_SIDE), 1];
        let launch = Launch { kernel: MASK_OVERLAY, entry: "mask_overlay", grid, block: [BLOCK_SIDE, BLOCK_SIDE, 1], shared_bytes: 0 };
        OverlayPlan { params, launch }
    }
}

#[cfg(test)]
#[path = "cuda_tests.rs"]
mod tests;
