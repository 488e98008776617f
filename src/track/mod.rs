//! From an engine's outputs to a `Scene`: masks → instances and tissues with outlines → tracks with stable ids.
//! Nothing is drawn here, and no model is run but through `infer`.
//!
//! ```text
//!   TensorView ─► maps (probabilities, labels) ─► regions ─► outline, shape ─┐
//!   detections, findings, frame classes ─► heads ────────────────────────────┴► Decoded ─► Tracker, FindingFollower ─► Scene
//! ```

mod analyser;
mod camera;
mod continuity;
pub mod cuda;
mod decode;
mod findings;
mod flow;
mod followed;
mod gate;
mod golden;
mod heads;
mod kalman;
mod lanes;
mod launches;
mod look;
mod maps;
mod measured;
mod memory;
mod outline;
mod probe;
mod regions;
mod shape;
mod shrunk;
mod signs;
mod split;
mod stillness;
mod sure;
mod tracker;

pub use analyser::Analyser;
pub use decode::{Decoded, Decoder, Detection};
pub use golden::{golden_agreement, golden_mask};
pub use heads::Detector;
pub use launches::LaunchTimes;
pub use probe::{Drawn, Probe};
pub use split::Expected;
pub use tracker::Tracker;
