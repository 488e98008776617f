//! Writes an engine that is done in no time into a folder: for checks on machines on which the shipped one takes seconds
//! (`hw/drm-check.sh`).

use std::path::PathBuf;

/// The hand-written ONNX models of the room `infer`, which know nothing of the crate.
#[allow(dead_code, reason = "the room's own tests use more of them")]
#[path = "../../src/infer/testmodel.rs"]
mod testmodel;

fn main() -> std::io::Result<()> {
    let Some(folder) = std::env::args_os().nth(1).map(PathBuf::from) else {
        return Err(std::io::Error::other("small-engine: name the folder to write the engine into"));
    };
    std::fs::create_dir_all(&folder)?;
    testmodel::TestEngine::maps().write(&folder)
}
