//! What the display thread counts, measures and leaves behind.

use crate::base::stats::Delays;
use crate::display::{DisplayError, FeedCounts, OutputInfo};
use crate::guard::States;
use crate::pipeline::cadence::CadenceCounts;
use crate::pipeline::sinks::Sinks;

/// Counted by the display thread.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DisplayCounters {
    pub displayed: u64,
    pub repeated: u64,
    /// Frames that could not be shown because the output failed.
    pub failed: u64,
    pub scenes_stale_hidden: u64,
    pub scenes_moved_hidden: u64,
}

#[derive(Default)]
pub struct DisplayDelays {
    pub video: Delays,
    /// Capture stamp → page flip, where the display reports one.
    pub presentation: Delays,
    pub annotation: Delays,
    pub overlay_age: Delays,
    /// Capture stamp → taken from the slot.
    pub handover: Delays,
    /// Motion, choice of the scene, painting, HUD.
    pub overlay: Delays,
    pub compose: Delays,
    pub present: Delays,
}

pub struct DisplayOutcome {
    pub output: OutputInfo,
    pub counters: DisplayCounters,
    pub delays: DisplayDelays,
    pub states: States,
    pub first_present_ns: Option<u64>,
    /// Where the output has a rate of its own.
    pub cadence: Option<CadenceOutcome>,
    pub feed: Option<FeedCounts>,
    pub error: Option<DisplayError>,
    pub sinks: Sinks,
}

/// How the source's rate fell on the output's.
pub struct CadenceOutcome {
    pub refresh_hz: f64,
    pub counts: CadenceCounts,
    /// Capture stamp → the refresh that showed it: a sawtooth where the rates differ.
    pub wait: Delays,
}
