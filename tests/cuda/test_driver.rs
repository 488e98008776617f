//! Builds tests/cuda/driver.cpp, for tests of the room `frame` and for those of the program.

use std::path::Path;
use std::process::Command;

/// As `libcuda.so` in `folder`, for a process's LD_LIBRARY_PATH. Err: what is missing.
pub fn build(folder: &Path) -> Result<(), String> {
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cuda/driver.cpp");
    let mut compiler = Command::new("g++");
    compiler.args(["-std=c++17", "-O1", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", source, "-o"]);
    let output = compiler.arg(folder.join("libcuda.so")).output().map_err(|error| format!("no g++ ({error})"))?;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}
