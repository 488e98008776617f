//! This room's work on a GPU: what its kernels are given and how they are launched, as plain data; and `DeviceMaps`, which launches
//! those that make `Maps`. `stillness`, `maps`, `heads`, `regions`, `shape` and `outline` are their references.

mod decode;
mod detection;
mod edges;
#[cfg(test)]
mod engine_tests;
mod maps;
#[cfg(test)]
mod maps_tests;
mod regions;
mod shape;
mod stillness;

pub use decode::{DecodeParams, DecodePlan, HeadOnGpu, MOST_CHANNELS};
pub use detection::{CandidateOnGpu, DetectionParams, DetectionPlan, FieldOnGpu};
pub use edges::{EdgeParams, EdgePlan};
pub use maps::DeviceMaps;
pub use regions::{RegionOnGpu, RegionParams, RegionsPlan};
pub use shape::{ExpectedOnGpu, NO_CLASS, RegionShape, ShapeParams, ShapePlan};
pub use stillness::{StillnessParams, StillnessPlan};
