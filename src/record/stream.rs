//! What streams of lines say: `--timeline` (one line a present) and `--scenes` (one line an inferred frame), as JSON lines.

use crate::base::classes;
use crate::base::ids::{FrameId, TrackId};
use crate::scene::{Gate, Reset, Scene, Trust};
use serde::Serialize;

/// A digest that is written as lower-case hexadecimal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hash(pub u128);

impl Serialize for Hash {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{:032x}", self.0))
    }
}

/// One present. The hashes are XXH3-128 of the presented BGRX rows (`picture`), of the same without the pixels under
/// the overlay or in the HUD's rectangles (`outside`), and both again of an overlay-free conversion of the captured frame
/// (`clean`): the pixels outside the overlay are the video's own exactly if `outside_hash == clean_outside_hash`, and
/// `clean_hash` equals the `picture_hash` of the same frame in a run with `--overlay off --hud off`.
#[derive(Debug, Clone, Serialize)]
pub struct TimelineLine {
    pub frame: FrameId,
    pub repeat: bool,
    pub capture_ns: u64,
    pub present_ns: u64,
    pub scene_frame: Option<FrameId>,
    pub age_ms: Option<f64>,
    pub picture_hash: Hash,
    pub outside_hash: Hash,
    pub clean_hash: Hash,
    pub clean_outside_hash: Hash,
}

/// One inferred frame.
#[derive(Debug, Serialize)]
pub struct SceneLine {
    pub frame: FrameId,
    pub pts_ns: u64,
    pub capture_ns: u64,
    pub frame_state: Trust,
    pub tracks: Vec<TrackLine>,
    pub tissues: Vec<TissueLine>,
    pub findings: Vec<FindingLine>,
    pub frame_classes: Vec<FrameClassLine>,
    /// Why an engine that remembers began anew with this frame; null where it did not.
    pub reset: Option<Reset>,
    /// What the indication gate says; null where the engine has none.
    pub gate: Option<Gate>,
    pub unknown_px: u64,
    /// Null where the worker was gone before it had hashed the frame.
    pub input_hash: Option<String>,
    pub ms: MsLine,
}

#[derive(Debug, Serialize)]
pub struct TrackLine {
    pub id: TrackId,
    pub class: &'static str,
    pub confidence: f32,
    #[serde(rename = "box")]
    pub bbox: [f32; 4],
    pub tip: Option<[f32; 2]>,
    pub state: Trust,
}

#[derive(Debug, Serialize)]
pub struct TissueLine {
    pub class: &'static str,
    pub area_px: u64,
    pub confidence: f32,
}

#[derive(Debug, Serialize)]
pub struct FindingLine {
    pub id: TrackId,
    pub class: &'static str,
    pub confidence: f32,
    #[serde(rename = "box")]
    pub bbox: [f32; 4],
    pub state: Trust,
}

#[derive(Debug, Serialize)]
pub struct FrameClassLine {
    pub class: &'static str,
    pub confidence: f32,
    pub state: Trust,
}

#[derive(Debug, Serialize)]
pub struct MsLine {
    pub preprocess: f64,
    pub infer: f64,
    pub track: f64,
}

impl SceneLine {
    pub fn of(scene: &Scene, input_hash: Option<[u8; 32]>) -> Self {
        let round = |v: f32| (v * 100.0).round() / 100.0;
        let name = |class| classes::table().name(class);
        let ms = |ns: u64| (ns / 1_000) as f64 / 1_000.0;
        SceneLine {
            frame: scene.frame,
            pts_ns: scene.pts_ns,
            capture_ns: scene.capture_ns,
            frame_state: scene.frame_state,
            tracks: scene
                .tracks
                .iter()
                .map(|t| TrackLine {
                    id: t.id,
                    class: name(t.class),
                    confidence: round(t.confidence),
                    bbox: t.bbox.map(round),
                    tip: t.tip.map(|tip| tip.map(round)),
                    state: t.state,
                })
                .collect(),
            tissues: scene
                .tissues
                .iter()
                .map(|t| TissueLine { class: name(t.class), area_px: t.area_px, confidence: round(t.confidence) })
                .collect(),
            findings: scene
                .findings
                .iter()
                .map(|f| FindingLine {
                    id: f.id,
                    class: name(f.class),
                    confidence: round(f.confidence),
                    bbox: f.bbox.map(round),
                    state: f.state,
                })
                .collect(),
            frame_classes: scene
                .frame_classes
                .iter()
                .map(|f| FrameClassLine { class: name(f.class), confidence: round(f.confidence), state: f.state })
                .collect(),
            reset: scene.reset,
            gate: scene.gate.map(|gate| Gate { distance: gate.distance.map(round), ..gate }),
            unknown_px: scene.unknown_px,
            input_hash: input_hash.map(|hash| hash.iter().map(|byte| format!("{byte:02x}")).collect()),
            ms: MsLine { preprocess: ms(scene.times.preprocess_ns), infer: ms(scene.times.infer_ns), track: ms(scene.times.track_ns) },
        }
    }
}
