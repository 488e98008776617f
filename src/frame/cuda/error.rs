use crate::base::error::ErrorKind;
use crate::base::library::listed;
use std::path::PathBuf;

#[derive(Debug, thiserror::Error)]
pub enum CudaError {
    #[error("there is no NVIDIA driver: libcuda.so.1 is not found; install driver 580 or newer, or use `--backend cpu`")]
    NoDriver,
    #[error(
        "the NVIDIA driver knows CUDA {found}, this binary's kernels need {needed}; install driver 580 or newer, or use `--backend cpu`"
    )]
    OldDriver { found: String, needed: String },
    #[error(
        "the NVIDIA driver has no device that it can use ({reason}); see what `nvidia-smi` says of the card and of who may use it, or use `--backend cpu`"
    )]
    NoDevice { reason: String },
    #[error("device '{name}' is too old: its compute capability is {found}, {needed} is needed; use a newer card, or `--backend cpu`")]
    OldDevice { name: String, found: String, needed: String },
    #[error("device '{device}' has no memory left for {bytes} bytes ({reason}); end what else runs on it, or use a smaller engine")]
    NoMemory { device: String, bytes: usize, reason: String },
    /// The device or its driver gave up on something that it can do.
    #[error("device '{device}': {what} failed ({reason}); if it happens again, see the kernel's log for the card (`dmesg`, `nvidia-smi`)")]
    Failed { device: String, what: &'static str, reason: String },
    /// What was begun may still be done, whenever: whatever it uses has to stay.
    #[error("device '{device}' hangs: it did not answer in time; see the kernel's log for the card (`dmesg`, `nvidia-smi`)")]
    Silent { device: String },
    /// Our own mistake.
    #[error("kernel '{entry}' cannot be launched: it takes {expected}, it was given {found}")]
    Arguments { entry: &'static str, expected: String, found: String },
    /// Our own mistake.
    #[error("{what}: {asked} bytes do not lie in {bytes}")]
    Outside { what: &'static str, asked: usize, bytes: usize },
    /// Our own mistake.
    #[error("a frame that lies on a GPU can be analysed there only, and the model runs elsewhere")]
    Elsewhere,
    /// Our own mistake.
    #[error("a picture that lies in the host's memory cannot be copied within a GPU")]
    NotThere,
    /// Our own mistake.
    #[error("{what} cannot be part of a recorded sequence of launches")]
    Recording { what: &'static str },
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
            CudaError::Compile { .. }
            | CudaError::Arguments { .. }
            | CudaError::Outside { .. }
            | CudaError::Elsewhere
            | CudaError::NotThere
            | CudaError::Recording { .. } => ErrorKind::Bug,
            // A process that is started anew has a context of its own.
            CudaError::Failed { .. } | CudaError::Silent { .. } => ErrorKind::Retry,
            _ => ErrorKind::Stop,
        }
    }
}
