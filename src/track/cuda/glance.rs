//! What `shaders/glance.cu` is given for one frame, and what it says.

use crate::frame::cuda::{GLANCE, Launch};
use crate::infer::{ColourOrder, Fit, InputSpec, TensorLayout};
use crate::track::continuity::CELLS;
use crate::track::lanes::{LANES, ROW_LANES};
use crate::track::signs::{Line, sides_of};
use bytemuck::{Pod, Zeroable};

const THREADS: u32 = 128;
const EDGE_THREADS: u32 = 512;

/// Of R, G, B: its channel in the input, and what brings that to 0..1.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Pod, Zeroable)]
pub struct ColoursOnGpu {
    pub channel: [u32; 3],
    pub mean: [f32; 3],
    pub deviation: [f32; 3],
}

impl ColoursOnGpu {
    pub fn new(input: &InputSpec) -> Self {
        let channel = if input.colour == ColourOrder::Bgr { [2, 1, 0] } else { [0, 1, 2] };
        ColoursOnGpu {
            channel: channel.map(|channel| channel as u32),
            mean: channel.map(|channel: usize| input.mean[channel]),
            deviation: channel.map(|channel| input.std[channel]),
        }
    }
}

/// As in the kernel.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Pod, Zeroable)]
pub struct GlanceParams {
    pub sides: [u32; 2],
    pub is_nchw: u32,
    pub is_half: u32,
    pub colours: ColoursOnGpu,
    pub fit_corner: [u32; 2],
    pub fit_sides: [u32; 2],
}

/// `Line` of the kernel.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Pod, Zeroable)]
pub struct LineOnGpu {
    pub at: u16,
    pub from: u16,
    pub to: u16,
    pub is_lit: u16,
}

impl From<LineOnGpu> for Line {
    fn from(LineOnGpu { at, from, to, .. }: LineOnGpu) -> Self {
        Line { at: at.into(), from: from.into(), to: to.into() }
    }
}

/// Launches, in this order. Buffers: `thumb` `continuity::CELLS` f32; `half` and `quarter` f32 as many as a quarter and three sixteenths
/// of the input's pixels; `details` a f32 for each row of input, half and quarter; `figures` a `signs::Figures`; `vertical` and `horizontal` `signs::MAX_LINES`; `found` two
/// u32.
#[derive(Debug, Clone, Copy)]
pub struct GlancePlan {
    pub params: GlanceParams,
    pub thumb: Launch,
    pub signs: Option<SignsPlan>,
}

/// The signs: None where the picture is too small to show any.
#[derive(Debug, Clone, Copy)]
pub struct SignsPlan {
    pub shrink: Launch,
    pub details: Launch,
    pub counts: Launch,
    pub sums: Launch,
    pub edges: Launch,
}

impl GlancePlan {
    pub fn new(input: &InputSpec, fit: Fit, is_half: bool) -> Self {
        let over = |entry, count: usize| Launch::over(GLANCE, entry, count, THREADS);
        let sides = sides_of(fit);
        let params = GlanceParams {
            sides: [input.width, input.height],
            is_nchw: u32::from(input.layout == TensorLayout::Nchw),
            is_half: u32::from(is_half),
            colours: ColoursOnGpu::new(input),
            fit_corner: [fit.x as u32, fit.y as u32],
            fit_sides: sides.unwrap_or_default().map(|side| side as u32),
        };
        let signs = sides.map(|[width, height]| SignsPlan {
            shrink: over("glance_shrink", width / 4 * (height / 4)),
            details: over("glance_details", (height + height / 2 + height / 4) * ROW_LANES),
            counts: over("glance_counts", width / 4 * (height / 4)),
            sums: Launch::over(GLANCE, "glance_sums", 1, LANES as u32),
            edges: Launch::over(GLANCE, "glance_edges", 2 * EDGE_THREADS as usize, EDGE_THREADS),
        });
        GlancePlan { params, thumb: over("glance_thumb", CELLS), signs }
    }
}

#[cfg(test)]
#[path = "glance_tests.rs"]
mod tests;
