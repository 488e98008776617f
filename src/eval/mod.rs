//! How good it is, in numbers that the field knows: against labels (HOTA, IDF1, MOTA, IoU, tip error, FROC) and against itself
//! (flicker). Nothing here runs a model.
//!
//! ```text
//!   truth, scenes ─► similarity (overlap) ─► Sequence ─► Hota, Identity, Clear
//!   labelled findings, marks ─► Froc
//!   labelled pictures, masks ─► Validation ─► Summary: Dice, IoU, HD95, boundary F1 with intervals over patients ─► page
//!   probabilities, labels ─► Reliability (ECE), Scored, fit_temperature ─► an engine's [calibration]
//!   scenes of a still picture ─► Steadiness ─► jitter, temporal IoU, spurious appearances
//! ```

mod assignment;
mod bootstrap;
mod boundary;
mod calibration;
mod calibration_page;
mod card;
mod fit;
mod froc;
mod labelled;
mod overlap;
mod page;
mod regions;
mod sequence;
mod spread;
mod steadiness;
mod validation;

pub use bootstrap::Interval;
pub use boundary::Borders;
pub use calibration::{
    BINS, Reliability, ReliabilityBin, Scored, TEMPERATURES, at_temperature, fit_temperature, near_boundary, smallest_threshold,
};
pub use calibration_page::{Diagram, reliability_page};
pub use card::{CardError, card};
pub use fit::{Logits, NO_CHANNEL};
pub use froc::{Froc, FrocPoint, Label, Mark};
pub use labelled::{DataError, DataSet, IGNORE, Labelled, Mask, counted_as};
pub use overlap::{box_iou, mask_iou};
pub use page::page;
pub use regions::Counts;
pub use sequence::{Clear, Hota, Identity, Sequence};
pub use spread::Spread;
pub use steadiness::{Steadiness, SteadinessSummary, distance_to_outlines};
pub use validation::{Figures, Summary, Validation, Worst};

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
