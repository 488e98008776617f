//! Ids that cross rooms.

use serde::{Deserialize, Serialize};

/// Number of a captured frame: starts at 0 with the run, grows by one a captured frame, never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct FrameId(pub u64);

/// Id of a tracked instrument: stable while the instrument is followed, never reused within a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TrackId(pub u32);

/// Class id as in `engines/classes.toml` (and in every mask).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ClassId(pub u8);

impl ClassId {
    /// Nothing that the table names.
    pub const BACKGROUND: ClassId = ClassId(0);
    /// A calibrated head abstained here; in labels: ignore.
    pub const ABSTAINED: ClassId = ClassId(255);
}
