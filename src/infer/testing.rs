//! What tests of this room and of those behind it share.

pub use super::testmodel::{CELL, Graph, HEIGHT, TestEngine, TestModel, WIDTH, head};
// What a test picture is made of.
pub use crate::frame::{Colorimetry, FrameLayout, Matrix, PixelFormat, Range};
use crate::store::LockedEngine;

/// Written to a folder and loaded as any engine is.
pub fn locked(model: &TestModel) -> LockedEngine {
    loaded(&model.engine())
}

/// As `locked`.
pub fn loaded(engine: &TestEngine) -> LockedEngine {
    let dir = tempfile::tempdir().unwrap();
    engine.write(dir.path()).unwrap();
    crate::store::load(dir.path()).unwrap()
}
