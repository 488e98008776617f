//! Frames: what a captured picture is, where its bytes live, and when it was captured.
//! No GStreamer, no drawing, no engine here.

mod layout;
mod ring;

pub use layout::{Colorimetry, FrameLayout, FrameView, LayoutError, Matrix, PixelFormat, PlaneLayout, Range};
pub use ring::{Frame, FrameRing, FrameWriter, MemoryError, RingGeometry, RingReader, SLOT_COUNT, Stamps};
