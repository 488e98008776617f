//! This room's work on a GPU: what an engine there has beside its model; what the room's kernels are given and how they are launched,
//! as plain data, and compiled programs kept by their content. The functions of `preprocess`, `normalise` and `hash` are their
//! references.

mod feed;
mod gpu;
mod hash;
mod inventory;
mod preprocess;
mod programs;

pub use feed::DeviceFeed;
pub use gpu::{Gpu, load, provider, usable_device};
pub use hash::{HashParams, HashPlan};
pub use inventory::inventory;
pub use preprocess::{LIGHT_COUNTS, Number, PreprocessParams, PreprocessPlan, SpanOnGpu, Tap};
pub use programs::program;
