//! From a captured frame to the model's outputs: backends behind one trait, preprocessing, normalisation, the input's hash.
//! What outputs mean (instances, outlines, tracks) is `track`'s.
//!
//! ```text
//!   FrameView ─► Preprocess ─► Engine::input_mut ─► Normaliser ─► Engine::run ─► Engine::tensor ─► track
//! ```

mod boxes;
mod cpu;
pub mod cuda;
mod engine;
mod error;
mod faults;
mod hash;
mod normalise;
mod onnx;
mod plan;
mod plausible;
mod port;
mod preprocess;
mod runtime;
mod shapes;
pub mod tensorrt;
#[cfg(test)]
pub mod testing;
#[cfg(test)]
mod testmodel;

pub use cpu::CpuEngine;
pub use engine::{
    Calibration, DetectionSpec, Engine, Field, FrameClassSpec, HeadSpec, InputSpec, OutputSpec, Prototypes, TensorLine, TensorView, open,
};
pub use error::InferError;
pub use faults::{EngineFault, FaultyEngine};
pub use hash::input_hash;
pub use normalise::{Normaliser, Settings};
pub use onnx::weights;
pub use plan::{Built, build, processor};
pub use plausible::check_outputs;
pub use preprocess::{Fit, Preprocess};

// What a run takes in and what an output means: whoever uses this room needs no other for its types.
pub use crate::frame::{FrameView, Stamps};
pub use crate::store::{
    Activation, BoxFormat, BoxUnits, ColourOrder, HeadKind, Indication, LockedEngine, Modality, PIPELINE_VERSION, Resize, TensorLayout,
};
