//! Puts the commit that is built into the binary, for the report, and compiles what calls TensorRT.

use std::path::{Path, PathBuf};
use std::process::Command;

/// All that TensorRT's headers want of CUDA's.
const OF_CUDA: &str = "#pragma once\ntypedef struct CUevent_st *cudaEvent_t;\ntypedef struct CUstream_st *cudaStream_t;\n";

fn main() {
    commit();
    tensorrt();
    println!("cargo:rerun-if-changed=build.rs");
}

/// Compiles the shim once for each kind of TensorRT, against the headers that `hw/install.sh` unpacks. Where there are none it is
/// compiled all the same, and says so when it is asked.
fn tensorrt() {
    let sources = ["shim.cpp", "shim_run.cpp", "shim.h"].map(|name| format!("src/infer/tensorrt/{name}"));
    let out = PathBuf::from(std::env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    std::fs::write(out.join("cuda_runtime_api.h"), OF_CUDA).expect("OUT_DIR can be written");
    for kind in ["rtx", "standard"] {
        let headers = Path::new(".setup/tensorrt/include").join(kind);
        let mut shim = cc::Build::new();
        shim.cpp(true).std("c++17").files(&sources[..2]).include(&out).flag("-isystem").flag(&headers);
        shim.define("KEYHOLE_PREFIX", Some(format!("keyhole_{kind}").as_str()));
        // Both kinds name other things alike, and both end up in one program.
        for namespace in ["nvinfer1", "nvinfer2", "nvonnxparser"] {
            shim.define(namespace, Some(format!("{namespace}_{kind}").as_str()));
        }
        shim.compile(&format!("keyhole_tensorrt_{kind}"));
        println!("cargo:rerun-if-changed={}", headers.join("NvInfer.h").display());
    }
    for source in sources {
        println!("cargo:rerun-if-changed={source}");
    }
}

fn commit() {
    let git = |arguments: &[&str]| {
        let output = Command::new("git").args(arguments).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let commit = git(&["rev-parse", "--short=12", "HEAD"]).unwrap_or_else(|| "unknown".into());
    println!("cargo:rustc-env=KEYHOLE_COMMIT={commit}");
    if let Some(head) = git(&["rev-parse", "--git-path", "logs/HEAD"]) {
        println!("cargo:rerun-if-changed={head}");
    }
}
