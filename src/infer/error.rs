use super::tensorrt::TensorRtError;
use crate::base::error::ErrorKind;
use crate::base::library::listed;
use crate::frame::cuda::CudaError;
use std::path::PathBuf;

#[derive(Debug, thiserror::Error)]
pub enum InferError {
    #[error(
        "ONNX Runtime is not installed: no {library} in {}; run `make setup`, or set ORT_DYLIB_PATH to the library",
        listed(.searched)
    )]
    NoRuntime { library: &'static str, searched: Vec<PathBuf> },
    #[error("ONNX Runtime cannot be used: {reason}; run `make setup` to install the version that this binary needs")]
    BadRuntime { reason: String },
    #[error(
        "ONNX Runtime's CUDA provider is not installed: no {library} in '{}'; run `hw/install.sh cuda`, or use `--backend cpu`", .folder.display()
    )]
    NoProvider { library: &'static str, folder: PathBuf },
    #[error("ONNX Runtime's CUDA provider cannot be used ({reason}); {remedy}")]
    Provider { reason: String, remedy: String },
    /// What was asked for cannot be had on this machine.
    #[error("backend '{backend}' cannot run here: {reason}")]
    Backend { backend: &'static str, reason: String },
    #[error(transparent)]
    Cuda(#[from] CudaError),
    #[error("engine '{engine}': its model cannot be loaded ({reason}); {remedy}")]
    Model { engine: String, reason: String, remedy: &'static str },
    /// It was loaded, and then did not run.
    #[error("engine '{engine}': its model failed in {what} ({reason}); export it so that it runs on any picture of the manifest's size")]
    Trial { engine: String, what: String, reason: String },
    /// The model is not what its manifest says.
    #[error("engine '{engine}': {part} does not fit the manifest: expected {expected}, found {found}; correct the manifest or the model")]
    Mismatch { engine: String, part: String, expected: String, found: String },
    /// What was locked is not what comes out here.
    #[error(
        "engine '{engine}': {:.1} % of its golden mask's pixels come out as when it was locked, {:.1} % must; it was not made for this binary, library or processor: validate it here and lock it again", 100.0 * .agreement, 100.0 * .needed
    )]
    Golden { engine: String, agreement: f64, needed: f64 },
    #[error("the plan of engine '{engine}' cannot be kept: {reason}; make room in the cache, or set XDG_CACHE_HOME to a folder of yours")]
    Plan { engine: String, reason: String },
    #[error("engine '{engine}' failed while running: {reason}")]
    Run { engine: String, reason: String },
    #[error(transparent)]
    TensorRt(#[from] TensorRtError),
    #[error("the engine gave what cannot be: {part} has {found}; nothing of it is used")]
    Impossible { part: String, found: String },
}

impl InferError {
    /// The engine is there and was found bad, as opposed to: it could not be tried.
    pub fn is_finding(&self) -> bool {
        matches!(self, InferError::Mismatch { .. } | InferError::Model { .. } | InferError::Trial { .. } | InferError::Golden { .. })
    }

    pub fn kind(&self) -> ErrorKind {
        match self {
            InferError::Cuda(error) => error.kind(),
            // A process that is started anew, with its model loaded anew, may do better.
            InferError::Run { .. } | InferError::Impossible { .. } => ErrorKind::Retry,
            _ => ErrorKind::Stop,
        }
    }
}
