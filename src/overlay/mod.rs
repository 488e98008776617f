//! From a scene to pixels: draw list, rasteriser, and the two compositors that put picture and overlay together.
//!
//! ```text
//!   Scene ─► DrawList ─► Painter ─► Layer ┐
//!            display's hud, pip ─► Layer ┼─► host compositor | wgpu compositor ─► BGRX picture
//!                                 Frame   ┘
//! ```
//! Target picture: BGRX8, not sRGB-encoded, full-range R'G'B', blended as encoded. All arithmetic on pixels is
//! specified in integers (`convert`, `blend`), so that both compositors give the same bytes.
//! Which scene is fresh enough to be drawn is decided in `pipeline`, not here; windows live in `display`.

pub mod blend;
pub mod budget;
mod compose_pass;
pub mod convert;
#[cfg(target_arch = "x86_64")]
mod convert_avx2;
mod convert_tone;
pub mod coverage;
pub mod cuda;
pub mod draw;
mod error;
#[cfg(test)]
mod golden;
pub mod gpu;
pub mod host;
mod inventory;
mod layer;
pub mod lettering;
#[cfg(test)]
mod looks;
mod marks;
pub mod motion;
pub mod paint;
pub mod placement;
mod probe;
mod raster;
mod rect;
mod settings;
pub mod style;
mod ten_bits;
#[cfg(test)]
pub(crate) mod testing;

pub use error::OverlayError;
pub use inventory::inventory;
pub use layer::Layer;
pub use probe::probe_ms;
pub use rect::{Rect, Tiles, merge_near};
pub use settings::{OverlayMode, Settings};
pub use ten_bits::Depth;
