//! The GPU path's ground: the kernels' sources and their compiler, the driver, and a device at work. What goes into a kernel is
//! decided by the room whose work it does: `infer::cuda`, `track::cuda`, `overlay::cuda`; compiled programs are kept by
//! `infer::cuda`.
//!
//! ```text
//!   shaders/*.cu ─► Kernel ─► Nvrtc ─► PTX ─┐        room's plain data ─► Params, Launch ─┐
//!   driver ─► DeviceInfo ─► Device ◄────────┘─► Stream, DeviceBuffer, PinnedBuffer ◄──────┘
//! ```
//! On machines without a GPU the tests run the same sources on the CPU (tests/cuda/on_cpu.h) and hold them to the room's own
//! functions; where there is a GPU they run there as well.

mod counts;
mod device;
mod driver;
mod error;
mod import;
mod kernel;
mod memory;
mod nvrtc;
#[cfg(test)]
mod on_cpu;
#[cfg(test)]
mod on_gpu;
mod preview;
mod ptx;
mod sequence;
mod stream;
#[cfg(test)]
pub(crate) mod testing;

pub use counts::{Moved, Traffic};
pub use device::{Context, Device, Param};
pub use driver::{DeviceInfo, device_of, devices, usable_device, uuid_text};
pub use error::CudaError;
pub use import::ImportedBuffer;
pub use kernel::{
    CROSSINGS, DECODE, DETECTION, GLANCE, INPUT_HASH, KERNELS, Kernel, LOOKS, Launch, MASK_EDGES, MASK_OVERLAY, MASK_RUNS, MOTION,
    PREPROCESS, PREVIEW, REGION_SHAPE, REGION_SUMS, REGIONS, SPLIT, STILLNESS,
};
pub(in crate::frame) use memory::Registered;
pub use memory::{DeviceBuffer, DevicePlane, DeviceSpan, Payload, PinnedBuffer, RegisteredRing};
pub use nvrtc::{Architecture, Nvrtc, OPTIONS};
pub use preview::PreviewPlan;
pub use stream::{Event, Graph, Launches, PATIENCE, Priority, Stream};
