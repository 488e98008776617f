//! What `shaders/looks.cu` is given for one frame.

use super::ColoursOnGpu;
use crate::frame::cuda::{LOOKS, Launch};
use crate::infer::{Fit, InputSpec, TensorLayout};
use crate::track::outline::Mapping;
use bytemuck::{Pod, Zeroable};

const THREADS: u32 = 1024;

/// As in the kernel.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Pod, Zeroable)]
pub struct LookParams {
    pub map: [u32; 2],
    pub scale: [f32; 2],
    pub shift: [f32; 2],
    pub picture: [f32; 2],
    pub fit_corner: [u32; 2],
    pub fit_sides: [u32; 2],
    pub input: [u32; 2],
    pub is_nchw: u32,
    pub is_half: u32,
    pub colours: ColoursOnGpu,
}

/// All that a launch needs but the buffers; `looks` has `look::BINS` u32 an instrument.
#[derive(Debug, Clone, Copy)]
pub struct LooksPlan {
    pub params: LookParams,
    pub launch: Launch,
}

impl LooksPlan {
    /// For a map of that size, and so many instruments.
    pub fn new(input: &InputSpec, is_half: bool, map: [usize; 2], mapping: &Mapping, fit: Fit, instruments: usize) -> Self {
        let Mapping { scale, shift, picture } = *mapping;
        let params = LookParams {
            map: map.map(|side| side as u32),
            scale,
            shift,
            picture,
            fit_corner: [fit.x as u32, fit.y as u32],
            fit_sides: [fit.width as u32, fit.height as u32],
            input: [input.width, input.height],
            is_nchw: u32::from(input.layout == TensorLayout::Nchw),
            is_half: u32::from(is_half),
            colours: ColoursOnGpu::new(input),
        };
        LooksPlan { params, launch: Launch::over(LOOKS, "instrument_looks", instruments * THREADS as usize, THREADS) }
    }
}

#[cfg(test)]
#[path = "looks_tests.rs"]
mod tests;
