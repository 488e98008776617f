//! How good it is, in numbers that the field knows: against labels (Dice, IoU, HD95, AUROC, ECE, HOTA, IDF1, MOTA, mAP, FROC, tip
//! error) and against itself (flicker). Nothing here runs a model.
//!
//! ```text
//!   truth, scenes ─► similarity (overlap) ─► Sequence ─► Hota, Identity, Clear ─┐
//!   labelled boxes and tips, marks ─► Detections (mAP), Froc ───────────────────┴─► Tracking ─► TrackingSummary ─┐
//!   DataSet: pictures, masks, probabilities ─► Validation: regions, boundary, roc, calibration ─► Summary ───────┼─► judge (Plan) ─► Page
//!   several people's masks ─► raters ─► Agreement, consensus ────────────────────────────────────────────────────┘
//!   probabilities, labels ─► Reliability (ECE), Scored, fit_temperature ─► an engine's [calibration]
//!   scenes of a still picture ─► Steadiness ─► jitter, temporal IoU, spurious appearances
//! ```

mod agreement;
mod assignment;
mod bootstrap;
mod boundary;
mod calibration;
mod calibration_page;
mod card;
mod detection;
mod figures;
mod fit;
mod froc;
mod gallery;
mod labelled;
mod mask;
mod overlap;
mod page;
mod parity;
mod plan;
mod plots;
mod prevalence;
mod raters;
mod regions;
mod roc;
mod sequence;
mod soft;
mod spread;
mod steadiness;
#[cfg(test)]
mod testing;
mod things;
mod tracking;
mod validation;

pub use agreement::{Agreement, ClassAgreement};
pub use bootstrap::Interval;
pub use boundary::Borders;
pub use calibration::{
    BINS, Reliability, ReliabilityBin, Scored, TEMPERATURES, at_temperature, fit_temperature, near_boundary, smallest_threshold,
};
pub use calibration_page::{Diagram, reliability_page};
pub use card::{CardError, card};
pub use detection::{AveragePrecision, Detections};
pub use figures::{Figures, Summary, Verdict, Worst, judge};
pub use fit::{Logits, NO_CHANNEL};
pub use froc::{Froc, FrocPoint, Label, Mark};
pub use gallery::{Gallery, Rgb, Shot};
pub use labelled::{DataError, DataSet, FileLine, Labelled, LabelledClip, Visitor};
pub use mask::{IGNORE, Mask, counted_as};
pub use overlap::{box_iou, mask_iou};
pub use page::Page;
pub use parity::{ClassParity, Parity, ParitySummary, Tolerance};
pub use plan::{EndPoint, Plan, PlanError, Registration, registration_of};
pub use prevalence::Prevalence;
pub use raters::{Rater, Staple, Votes, consensus};
pub use regions::Counts;
pub use roc::Roc;
pub use sequence::{Clear, Hota, Identity, Sequence};
pub use soft::Soft;
pub use spread::Spread;
pub use steadiness::{Steadiness, SteadinessSummary, distance_to_outlines};
pub use things::{Thing, TruthFrame};
pub use tracking::{ClipFigures, Tracking, TrackingSummary};
pub use validation::Validation;

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
