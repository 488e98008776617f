//! How good it is, in numbers that the field knows: against labels (HOTA, IDF1, MOTA, IoU, tip error, FROC) and against itself
//! (flicker). Nothing here runs a model or knows where labels come from.
//!
//! ```text
//!   truth, scenes ─► similarity (overlap) ─► Sequence ─► Hota, Identity, Clear
//!   labelled findings, marks ─► Froc
//!   scenes of a still picture ─► Steadiness ─► jitter, temporal IoU, spurious appearances
//! ```

mod assignment;
mod froc;
mod overlap;
mod sequence;
mod spread;
mod steadiness;

pub use froc::{Froc, FrocPoint, Label, Mark};
pub use overlap::{box_iou, mask_iou};
pub use sequence::{Clear, Hota, Identity, Sequence};
pub use spread::Spread;
pub use steadiness::{Steadiness, SteadinessSummary, distance_to_outlines};
