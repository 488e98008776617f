//! This room's work on a GPU: what its kernels are given and how they are launched, as plain data; `DeviceMaps`, which launches those
//! that make `Maps` and measure them; `DeviceBoxes`, which launches those that find boxes; and `DeviceSight`, which launches those that
//! look at the frame itself. `stillness`, `maps`, `heads`, `split`, `regions`, `shape`, `outline`, `continuity`, `signs`, `shrunk`,
//! `camera`, `flow` and `look` are their references.

mod boxes;
#[cfg(test)]
mod bytes_tests;
mod crossings;
mod decode;
mod detection;
mod edges;
#[cfg(test)]
mod engine_tests;
mod glance;
mod looks;
mod maps;
#[cfg(test)]
mod maps_tests;
mod motion;
mod regions;
mod results;
mod runs;
mod shape;
mod sight;
mod split;
mod stillness;
mod sums;
#[cfg(test)]
mod testing;

pub use boxes::{BOX_KERNELS, DeviceBoxes};
pub use crossings::{CrossingParams, CrossingsPlan};
pub use decode::{DecodeParams, DecodePlan, HeadOnGpu, MOST_CHANNELS};
pub use detection::{CandidateOnGpu, DetectionParams, DetectionPlan, FieldOnGpu};
pub use edges::{EdgeParams, EdgePlan};
pub use glance::{ColoursOnGpu, GlanceParams, GlancePlan, LineOnGpu, SignsPlan};
pub use looks::{LookParams, LooksPlan};
pub use maps::{DeviceMaps, Laid, MAP_KERNELS};
pub use motion::{MotionParams, MotionPlan, ShiftOnGpu};
pub use regions::{RegionOnGpu, RegionParams, RegionsPlan};
pub use runs::{RunParams, RunsPlan, pairs, unfold};
pub use shape::{ExpectedOnGpu, NO_CLASS, RegionShape, ShapeParams, ShapePlan};
pub use sight::{DeviceSight, SIGHT_KERNELS};
pub use split::{SplitParams, SplitPlan};
pub use stillness::{StillnessParams, StillnessPlan};
pub use sums::{RegionSumParams, RegionSumsPlan};
