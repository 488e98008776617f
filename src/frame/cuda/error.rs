use crate::base::error::ErrorKind;
use crate::base::library::listed;
use std::path::PathBuf;

#[derive(Debug, thiserror::Error)]
pub enum CudaError {
    #[error(
        "NVRTC, the compiler of the GPU's kernels, is not installed: no {library} in {}; run `hw/install.sh cuda`, or set KEYHOLE_NVRTC to the library",
        listed(.searched)
    )]
    NoCompiler { library: &'static str, searched: Vec<PathBuf> },
    #[error("NVRTC '{}' cannot be used: {reason}; run `hw/install.sh cuda` to install version {wanted}", .library.display())]
    BadCompiler { library: PathBuf, reason: String, wanted: &'static str },
    /// Our own mistake, or an architecture that this compiler does not know.
    #[error(
        "kernel '{kernel}' cannot be compiled for {architecture} by NVRTC {version}: {log}; this binary needs NVRTC {wanted}: run `hw/install.sh cuda`"
    )]
    Compile { kernel: &'static str, architecture: String, version: String, log: String, wanted: &'static str },
}

impl CudaError {
    pub fn kind(&self) -> ErrorKind {
        match self {
            CudaError::Compile { .. } => ErrorKind::Bug,
            _ => ErrorKind::Stop,
        }
    }
}
