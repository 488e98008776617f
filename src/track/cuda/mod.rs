//! This room's work on a GPU: what its kernels are given and how they are launched, as plain data; and `DeviceMaps`, which launches
//! those that make `Maps`. `stillness`, `maps`, `heads`, `regions`, `shape` and `outline` are their references.

mod crossings;
mod decode;
mod detection;
mod edges;
#[cfg(test)]
mod engine_tests;
mod maps;
#[cfg(test)]
mod maps_tests;
mod regions;
mod results;
mod runs;
mod shape;
mod split;
mod stillness;
mod sums;
#[cfg(test)]
mod testing;

pub use crossings::{CrossingParams, CrossingsPlan};
pub use decode::{DecodeParams, DecodePlan, HeadOnGpu, MOST_CHANNELS};
pub use detection::{CandidateOnGpu, DetectionParams, DetectionPlan, FieldOnGpu};
pub use edges::{EdgeParams, EdgePlan};
pub use maps::{DeviceMaps, MAP_KERNELS};
pub use regions::{RegionOnGpu, RegionParams, RegionsPlan};
pub use runs::{RunParams, RunsPlan, unfold};
pub use shape::{ExpectedOnGpu, NO_CLASS, RegionShape, ShapeParams, ShapePlan};
pub use split::{SplitParams, SplitPlan};
pub use stillness::{StillnessParams, StillnessPlan};
pub use sums::{RegionSumParams, RegionSumsPlan};
