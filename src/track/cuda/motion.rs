//! What `shaders/motion.cu` is given for one frame.

use crate::base::classes;
use crate::base::ids::ClassId;
use crate::frame::cuda::{Launch, MOTION};
use crate::infer::{InputSpec, TensorLayout};
use crate::track::flow::Place;
use crate::track::lanes::LANES;
use bytemuck::{Pod, Zeroable};

const THREADS: u32 = LANES as u32;
/// Of the quarter; what is smaller shows no motion.
const LEAST_SIDE: u32 = 5;

/// As in the kernel.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Pod, Zeroable)]
pub struct MotionParams {
    pub sides: [u32; 2],
    pub is_nchw: u32,
    pub is_half: u32,
    pub gain: [f32; 3],
    pub offset: f32,
    pub mask: [u32; 2],
    pub scale: [f32; 2],
    pub start: [f32; 2],
    pub picture: [f32; 2],
    pub is_instrument: [u8; 256],
}

/// `Shift` of the kernel.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Pod, Zeroable)]
pub struct ShiftOnGpu {
    pub is_known: u32,
    pub shift: [f32; 2],
}

/// Launches. Buffers: `half` and `quarter` f32 as many as a quarter and a sixteenth of the input's pixels, `background` as many bytes as
/// the latter; `shifts` two `ShiftOnGpu`;
/// `patches` a `flow::Window` and `moved` a `flow::Solved` for each patch.
#[derive(Debug, Clone, Copy)]
pub struct MotionPlan {
    pub params: MotionParams,
    pub half: Launch,
    pub quarter: Launch,
    /// None: there is too little to see.
    pub camera: Option<Launch>,
}

impl MotionPlan {
    /// `mask`: its size; `place`: where the picture lies in half the input.
    pub fn new(input: &InputSpec, is_half: bool, mask: [usize; 2], place: &Place) -> Self {
        let over = |entry, count: u32| Launch::over(MOTION, entry, count as usize, THREADS);
        let table = classes::table();
        let sides = [input.width, input.height];
        let quarter = sides.map(|side| side / 4);
        MotionPlan {
            params: MotionParams {
                sides,
                is_nchw: u32::from(input.layout == TensorLayout::Nchw),
                is_half: u32::from(is_half),
                gain: input.std.map(|std| 255.0 * std / 12.0),
                offset: 85.0 * input.mean.iter().sum::<f32>(),
                mask: mask.map(|side| side as u32),
                scale: place.scale,
                start: place.start,
                picture: place.picture.map(|side| side as f32),
                is_instrument: std::array::from_fn(|id| u8::from(table.is_instrument(ClassId(id as u8)))),
            },
            half: over("motion_half", sides[0] / 2 * (sides[1] / 2)),
            quarter: over("motion_quarter", quarter[0] * quarter[1]),
            camera: (quarter.iter().all(|&side| side >= LEAST_SIDE)).then(|| over("motion_camera", 2 * THREADS)),
        }
    }

    /// For so many patches.
    pub fn flow(&self, patches: usize) -> Launch {
        Launch::over(MOTION, "motion_flow", patches * THREADS as usize, THREADS)
    }
}

#[cfg(test)]
#[path = "motion_tests.rs"]
mod tests;
