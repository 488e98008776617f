//! What tests of this room and of those behind it share.

pub use super::testmodel::{CELL, Graph, HEIGHT, TestEngine, TestModel, WIDTH, head};
// What a test picture is made of.
use super::cuda::Gpu;
use super::onnx_engine::OnnxEngine;
pub use crate::frame::{Colorimetry, FrameLayout, Matrix, PixelFormat, Range};
use crate::store::LockedEngine;

/// Written to a folder and loaded as any engine is.
pub fn locked(model: &TestModel) -> LockedEngine {
    loaded(&model.engine())
}

/// On a device whose driver is the tests'; the processor plays the model.
pub fn rehearsed(engine: &TestEngine) -> OnnxEngine {
    OnnxEngine::open_on(loaded(engine), Gpu::rehearsal()).unwrap()
}

/// As `locked`.
pub fn loaded(engine: &TestEngine) -> LockedEngine {
    let dir = tempfile::tempdir().unwrap();
    engine.write(dir.path()).unwrap();
    crate::store::load(dir.path()).unwrap()
}
