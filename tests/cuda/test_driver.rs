//! Builds tests/cuda/driver.cpp, for tests of the room `frame` and for those of the program.

use std::path::Path;
use std::process::Command;

/// As `libcuda.so` in `folder`, for a process's LD_LIBRARY_PATH. Err: what is missing.
pub fn build(folder: &Path) -> Result<(), String> {
    compile("driver.cpp", &folder.join("libcuda.so"))
}

/// A library of one file beside it.
pub fn compile(source: &str, to: &Path) -> Result<(), String> {
    let mut compiler = Command::new("g++");
    compiler.args(["-std=c++17", "-O1", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC"]);
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cuda").join(source);
    let output = compiler.arg(source).arg("-o").arg(to).output().map_err(|error| format!("no g++ ({error})"))?;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}
