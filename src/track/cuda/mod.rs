//! This room's work on a GPU: what its kernels are given and how they are launched, as plain data. `stillness`, `maps`, `heads`,
//! `regions`, `shape` and `outline` are their references. Nothing is launched here.

mod decode;
mod detection;
mod edges;
#[cfg(test)]
mod engine_tests;
mod regions;
mod shape;
mod stillness;

pub use decode::{DecodeParams, DecodePlan, HeadOnGpu, MOST_CHANNELS};
pub use detection::{CandidateOnGpu, DetectionParams, DetectionPlan, FieldOnGpu};
pub use edges::{EdgeParams, EdgePlan};
pub use regions::{RegionOnGpu, RegionParams, RegionsPlan};
pub use shape::{ExpectedOnGpu, NO_CLASS, RegionShape, ShapeParams, ShapePlan};
pub use stillness::{StillnessParams, StillnessPlan};
