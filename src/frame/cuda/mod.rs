//! The kernels of the GPU path: their sources, how they are launched, and the compiler. What goes into a kernel is decided by
//! the room whose work it does: `infer::cuda`, `track::cuda`, `overlay::cuda`; compiled programs are kept by `infer::cuda`.
//! No device is touched here.
//!
//! ```text
//!   shaders/*.cu ─► Kernel ─► Nvrtc ─► PTX        room's plain data ─► Params, Launch ─► (a launcher on a device)
//! ```
//! On machines without a GPU the tests run the same sources on the CPU (tests/cuda/on_cpu.h) and hold them to the room's own
//! functions; where there is a GPU they run there as well.

mod error;
mod kernel;
mod nvrtc;
#[cfg(test)]
mod on_cpu;
#[cfg(test)]
mod on_gpu;
#[cfg(test)]
pub(crate) mod testing;

pub use error::CudaError;
pub use kernel::{
    DECODE, DETECTION, INPUT_HASH, KERNELS, Kernel, Launch, MASK_EDGES, MASK_OVERLAY, PREPROCESS, REGION_SHAPE, REGIONS, STILLNESS,
};
pub use nvrtc::{Architecture, Nvrtc, OPTIONS};
