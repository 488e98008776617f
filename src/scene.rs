//! The immutable result of analysing one frame: what the overlay draws, the scene stream writes and the audit keeps.
//! It always says whose frame it is. Coordinates are pixels of the captured picture, origin at its top left corner;
//! a pixel's centre is at +0.5. Boxes are half-open `[x0, y0, x1, y1]`.

use crate::base::classes::ClassKind;
use crate::base::ids::{ClassId, FrameId, TrackId};
use serde::{Deserialize, Serialize};

mod spare;
pub use spare::{Shelf, Spare};

/// How far something may be trusted. `Unknown` is a state that is shown, never a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Trust {
    Sure,
    Unsure,
    Unknown,
}

/// A closed outline, in pixels of the captured picture.
pub type Outline = Vec<[f32; 2]>;

/// One instrument, followed over frames.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Track {
    pub id: TrackId,
    pub class: ClassId,
    /// 0..1
    pub confidence: f32,
    pub state: Trust,
    pub bbox: [f32; 4],
    /// The working end, if it is in the picture.
    pub tip: Option<[f32; 2]>,
    /// Unit vector along the shaft, towards the tip.
    pub axis: Option<[f32; 2]>,
    /// Of the instrument in the picture, pixels a second.
    pub velocity_px_s: [f32; 2],
    /// Empty where only its box is known (a detector without masks): the box' corners are drawn, never a filled box.
    pub outlines: Vec<Outline>,
}

/// All regions of one tissue class.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Tissue {
    pub class: ClassId,
    pub area_px: u64,
    pub confidence: f32,
    pub state: Trust,
    pub outlines: Vec<Outline>,
}

/// Something to look at (CADe): marked by the corners of its box, never filled. Followed over frames as tracks are.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    pub id: TrackId,
    /// Of kind `finding`.
    pub class: ClassId,
    /// 0..1
    pub confidence: f32,
    pub state: Trust,
    pub bbox: [f32; 4],
}

/// What a head says of the whole frame: the phase of the operation, the quality of the picture.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct FrameClass {
    /// Of kind `phase` or `quality`: at most one class of each kind.
    pub class: ClassId,
    /// 0..1
    pub confidence: f32,
    pub state: Trust,
}

/// An instrument that was followed and has left the picture: where at its rim, and when it was last seen. Never a
/// predicted position.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Departed {
    pub id: TrackId,
    pub class: ClassId,
    /// On the picture's rim.
    pub at: [f32; 2],
    /// Capture stamp of the last frame in which it was seen, ns.
    pub seen_ns: u64,
}

/// Why an engine that remembers (recurrent, clip input) had its memory cleared before this frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Reset {
    /// The first frame after a start or a restart.
    Start,
    /// Frames are missing before this one.
    Gap,
    /// The picture was cut.
    Cut,
    /// Size, format or colorimetry changed.
    Format,
}

/// Whether a frame is one that the engine was made for, and if not, why.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// It is, as far as can be told.
    Within,
    /// Nothing that a scope sees: one colour, bars, a test picture, noise.
    NoContent,
    OutOfBody,
    /// Another light than the engine knows: fluorescence, narrow band.
    OtherModality,
    /// A menu or another picture lies over it.
    Covered,
    /// Unlike all that the engine was trained on.
    OffCohort,
}

impl Verdict {
    pub const ALL: [Verdict; 6] =
        [Verdict::Within, Verdict::NoContent, Verdict::OutOfBody, Verdict::OtherModality, Verdict::Covered, Verdict::OffCohort];
}

/// What the indication gate says. It is steadied over time: one odd frame closes nothing.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Gate {
    pub verdict: Verdict,
    /// Of this very frame from the training cohort; 1 is the limit. None: the engine does not measure it.
    pub distance: Option<f32>,
}

/// A class id a pixel, at the engine's output resolution, stretched over the whole picture.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClassMask {
    pub width: u32,
    pub height: u32,
    pub ids: Vec<u8>,
}

/// What each step of the analysis took, ns.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AnalysisTimes {
    pub preprocess_ns: u64,
    pub infer_ns: u64,
    pub track_ns: u64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Scene {
    pub frame: FrameId,
    pub pts_ns: u64,
    pub capture_ns: u64,
    /// Size of the captured picture that all coordinates refer to.
    pub picture: [u32; 2],
    pub frame_state: Trust,
    pub tracks: Vec<Track>,
    pub tissues: Vec<Tissue>,
    pub findings: Vec<Finding>,
    pub frame_classes: Vec<FrameClass>,
    /// Instruments that have left the picture in the last seconds, the newest first.
    pub departed: Vec<Departed>,
    pub reset: Option<Reset>,
    /// None: the engine says nothing of what it was made for.
    pub gate: Option<Gate>,
    /// Pixels of the captured picture on which a calibrated head abstained.
    pub unknown_px: u64,
    pub mask: ClassMask,
    pub times: AnalysisTimes,
}

/// Bounds on what a worker may say; more than this is no scene but an attack or a fault.
pub mod limits {
    pub const TRACKS: usize = 64;
    pub const TISSUES: usize = 64;
    pub const FINDINGS: usize = 64;
    pub const FRAME_CLASSES: usize = 8;
    pub const DEPARTED: usize = 16;
    pub const OUTLINES: usize = 256;
    /// All points of all outlines of a scene.
    pub const POINTS: usize = 16_384;
    pub const MASK_SIDE: u32 = 1024;
    /// px/s as a multiple of the picture's larger side: ten picture widths a second is faster than any hand.
    pub const VELOCITY_SIDES: f32 = 10.0;
    /// From the cohort; farther is not told apart.
    pub const DISTANCE: f32 = 1000.0;
    /// How far outside the picture a coordinate may lie, as a multiple of the larger side.
    pub const MARGIN_SIDES: f32 = 0.25;
}

/// Why a scene that came from outside is not accepted.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum SceneFault {
    #[error("{0} is not finite or lies outside its range")]
    Number(&'static str),
    #[error("too many {0}")]
    TooMany(&'static str),
    #[error("{0} does not fit")]
    Shape(&'static str),
    #[error("class id {0} is not in the class table or not of that kind")]
    Class(u8),
    #[error("two tracks have the same id")]
    DuplicateTrack,
}

impl Scene {
    /// Checks everything that a drawing or counting room relies on. What comes from another process is asked this first.
    pub fn check(&self) -> Result<(), SceneFault> {
        use SceneFault::{Class, Number, Shape, TooMany};
        let [width, height] = self.picture.map(|side| side as f32);
        let side = width.max(height);
        let margin = side * limits::MARGIN_SIDES;
        let inside = |p: &[f32; 2]| p[0] >= -margin && p[0] <= width + margin && p[1] >= -margin && p[1] <= height + margin;
        let unit = |v: f32| (0.0..=1.0).contains(&v);
        let classes = crate::base::classes::table();

        if self.tracks.len() > limits::TRACKS {
            return Err(TooMany("tracks"));
        }
        if self.tissues.len() > limits::TISSUES {
            return Err(TooMany("tissues"));
        }
        let outlines = || self.tracks.iter().flat_map(|t| &t.outlines).chain(self.tissues.iter().flat_map(|t| &t.outlines));
        if outlines().count() > limits::OUTLINES {
            return Err(TooMany("outlines"));
        }
        if outlines().map(Vec::len).sum::<usize>() > limits::POINTS {
            return Err(TooMany("outline points"));
        }
        if !outlines().flatten().all(inside) {
            return Err(Number("an outline point"));
        }
        let area = u64::from(self.picture[0]) * u64::from(self.picture[1]);
        if self.unknown_px > area {
            return Err(Number("unknown_px"));
        }
        for (i, track) in self.tracks.iter().enumerate() {
            if !classes.is_instrument(track.class) {
                return Err(Class(track.class.0));
            }
            if self.tracks[..i].iter().any(|other| other.id == track.id) {
                return Err(SceneFault::DuplicateTrack);
            }
            let [x0, y0, x1, y1] = track.bbox;
            if !(inside(&[x0, y0]) && inside(&[x1, y1]) && x0 <= x1 && y0 <= y1) {
                return Err(Number("a track's box"));
            }
            if !unit(track.confidence) {
                return Err(Number("a track's confidence"));
            }
            if !track.tip.iter().all(inside) {
                return Err(Number("a tip"));
            }
            if !track.axis.iter().flatten().all(|v| v.abs() <= 1.001) {
                return Err(Number("an axis"));
            }
            if !track.velocity_px_s.iter().all(|v| v.abs() <= side * limits::VELOCITY_SIDES) {
                return Err(Number("a velocity"));
            }
        }
        for tissue in &self.tissues {
            if !classes.has_kind(tissue.class, ClassKind::Tissue) {
                return Err(Class(tissue.class.0));
            }
            if !unit(tissue.confidence) {
                return Err(Number("a tissue's confidence"));
            }
            if tissue.area_px > area {
                return Err(Number("a tissue's area"));
            }
        }
        if self.findings.len() > limits::FINDINGS {
            return Err(TooMany("findings"));
        }
        for finding in &self.findings {
            let [x0, y0, x1, y1] = finding.bbox;
            if !classes.has_kind(finding.class, ClassKind::Finding) {
                return Err(Class(finding.class.0));
            }
            if !(inside(&[x0, y0]) && inside(&[x1, y1]) && x0 <= x1 && y0 <= y1) {
                return Err(Number("a finding's box"));
            }
            if !unit(finding.confidence) {
                return Err(Number("a finding's confidence"));
            }
        }
        if self.frame_classes.len() > limits::FRAME_CLASSES {
            return Err(TooMany("frame classes"));
        }
        for frame_class in &self.frame_classes {
            if ![ClassKind::Phase, ClassKind::Quality].iter().any(|&kind| classes.has_kind(frame_class.class, kind)) {
                return Err(Class(frame_class.class.0));
            }
            if !unit(frame_class.confidence) {
                return Err(Number("a frame class's confidence"));
            }
        }
        if self.departed.len() > limits::DEPARTED {
            return Err(TooMany("departed instruments"));
        }
        for departed in &self.departed {
            if !classes.is_instrument(departed.class) {
                return Err(Class(departed.class.0));
            }
            if !inside(&departed.at) || departed.seen_ns > self.capture_ns {
                return Err(Number("a departed instrument"));
            }
        }
        if self.gate.and_then(|gate| gate.distance).is_some_and(|distance| !(0.0..=limits::DISTANCE).contains(&distance)) {
            return Err(Number("a distance from the cohort"));
        }
        let mask = &self.mask;
        let sides_ok = (1..=limits::MASK_SIDE).contains(&mask.width) && (1..=limits::MASK_SIDE).contains(&mask.height);
        if !sides_ok || mask.ids.len() != mask.width as usize * mask.height as usize {
            return Err(Shape("the mask"));
        }
        let known: [bool; 256] = std::array::from_fn(|id| id == 255 || classes.by_id(ClassId(id as u8)).is_some());
        match mask.ids.iter().find(|&&id| !known[id as usize]) {
            Some(&id) => Err(Class(id)),
            None => Ok(()),
        }
    }
}
