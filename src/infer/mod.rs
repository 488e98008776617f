//! From a captured frame to the model's outputs: backends behind one trait, preprocessing, normalisation, the input's hash.
//! What outputs mean (instances, outlines, tracks) is `track`'s.
//!
//! ```text
//!   FrameView ─► Feed (Preprocess, Normaliser) ─► Engine::input_mut ─► Engine::run ─► Engine::tensor ─► track
//! ```

mod backend;
mod border;
mod bound;
mod boxes;
pub mod cuda;
mod engine;
mod error;
mod faults;
mod feed;
mod hash;
mod inventory;
mod normalise;
mod onnx;
mod onnx_engine;
mod onnx_tensor;
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

pub use backend::{Backend, Chosen, Wanted, choose, device_for};
pub use engine::{
    Calibration, DetectionSpec, DeviceInput, DeviceOutput, Engine, Field, FrameClassSpec, HeadSpec, InputSpec, OutputSpec, Prototypes,
    TensorLine, TensorView, open, open_on,
};
pub use error::InferError;
pub use faults::{EngineFault, FaultyEngine};
pub use feed::{Captured, Feed};
pub use hash::input_hash;
pub use inventory::inventory;
pub use normalise::{Normaliser, Settings};
pub use onnx::weights;
pub use onnx_engine::OnnxEngine;
pub use plan::{Built, build, processor};
pub use plausible::{MOST_NUMBER, check_outputs, possible};
pub use preprocess::{Fit, Preprocess};

// What a run takes in and what an output means: whoever uses this room needs no other for its types.
pub use crate::frame::cuda::{DeviceInfo, Moved as Bytes, Traffic};
pub use crate::frame::{FrameView, RingReader, Stamps};
pub use crate::store::{
    Activation, BoxFormat, BoxUnits, ColourOrder, HeadKind, Indication, LockedEngine, Modality, Normalisation, PIPELINE_VERSION, Resize,
    TensorLayout,
};
