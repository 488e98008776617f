//! Frames: what a captured picture is, where its bytes live, and when it was captured.
//! No GStreamer, no drawing, no engine here.

pub mod cuda;
mod format;
mod layout;
pub mod marker;
pub mod on_device;
mod png;
pub mod preview;
mod ring;
pub mod rows;
#[cfg(target_arch = "x86_64")]
mod rows_avx2;
#[cfg(test)]
pub(crate) mod testing;
pub mod thumbnail;
mod tone;
pub mod vulkan;
#[cfg(test)]
mod vulkan_tests;

pub use self::png::{map_from_png, map_to_png, picture_from_png};
pub use format::{Colorimetry, Matrix, PixelFormat, Range, Transfer};
pub use layout::{FrameLayout, FrameView, LayoutError, PlaneLayout};
pub use preview::Preview;
pub use ring::{Frame, FrameRing, FrameWriter, MemoryError, RingError, RingGeometry, RingReader, SLOT_COUNT, Stamps};
pub use tone::Tone;
