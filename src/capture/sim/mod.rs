//! The simulator: a deterministic endoscopic scene with exact truth, behind the source `sim:`.
//!
//! ```text
//!   Spec (seed, size, fps, loop) ─► Simulator ── atlas: the tissue, baked once (colour, gloss, normal, class)
//!                                       │       ── per frame: warp (camera, breathing, pull) ─► light ─► instruments ─► NV12
//!                                       ├─ render(n) ─► Clip (rendered ahead, cached on disk) ─► SimSource
//!                                       └─ truth(n)  ─► masks, boxes, tips from the same geometry ─► write_dataset
//! ```
//! All motion is periodic over the loop. Lengths in the scene are in picture heights, origin at the picture's centre, y down.
//! Nothing here knows how a frame is analysed or shown.

mod anatomy;
mod atlas;
mod canvas;
mod cast;
mod clip;
mod dataset;
mod drawing;
mod error;
mod fluids;
mod gallery;
mod grade;
mod instrument;
mod lens;
mod map;
mod mapped;
mod motion;
mod noise;
mod nv12;
mod osd;
mod port;
mod render;
mod script;
mod source;
mod spec;
mod stage;
mod tissue;
#[cfg(target_arch = "x86_64")]
mod tissue_avx2;
mod vessels;

pub use clip::Clip;
pub use dataset::{DatasetOptions, write_dataset};
pub use error::SimError;
pub use gallery::write_gallery;
pub use nv12::rgb_of_nv12;
pub use render::{Simulator, Truth, TruthInstrument};
pub use script::{BUILTIN, Effect, Event, Look, Script, Side, Tool};
pub use source::SimSource;
pub use spec::Spec;
