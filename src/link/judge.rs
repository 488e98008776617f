//! What of a worker's answers is believed. No I/O here.

use crate::base::ids::FrameId;
use crate::link::outbox::Asked;
use crate::link::scene_codec::decode_scene;
use crate::scene::{Scene, Spare};
use std::collections::VecDeque;

/// Why a message was not believed. Whoever sends such a thing is killed: an honest worker checks its scenes itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(usize)]
pub enum Rejection {
    /// No message, or no scene, of this protocol.
    Malformed,
    /// About a frame that it was not asked about, or has answered already.
    UnknownFrame,
    /// Stamps or picture size are not the frame's own.
    WrongStamps,
    /// Of an older frame than the last scene.
    Stale,
    /// `Scene::check` found it impossible.
    Impossible,
    /// More messages a second than any honest worker sends.
    Flood,
    /// At a moment at which an honest worker does not say this.
    OutOfTurn,
}

impl Rejection {
    pub const ALL: [Rejection; 7] = [
        Rejection::Malformed,
        Rejection::UnknownFrame,
        Rejection::WrongStamps,
        Rejection::Stale,
        Rejection::Impossible,
        Rejection::Flood,
        Rejection::OutOfTurn,
    ];

    /// As it stands among the losses of a report.
    pub fn name(self) -> &'static str {
        match self {
            Rejection::Malformed => "malformed",
            Rejection::UnknownFrame => "unknown_frame",
            Rejection::WrongStamps => "wrong_stamps",
            Rejection::Stale => "stale",
            Rejection::Impossible => "impossible",
            Rejection::Flood => "flood",
            Rejection::OutOfTurn => "out_of_turn",
        }
    }
}

/// The scene in `bytes`, if it is one that may be shown: about the frame that was asked for, newer than the last, possible.
/// Returns the reason and a text for the log otherwise.
pub(super) fn scene(asked: Option<&Asked>, last: Option<FrameId>, bytes: &[u8], spare: &mut Spare) -> Result<Scene, (Rejection, String)> {
    let scene = decode_scene(bytes, spare).map_err(|fault| (Rejection::Malformed, fault.to_string()))?;
    let no = |why, text: &str| Err((why, format!("frame {}: {text}", scene.frame.0)));
    let Some(asked) = asked.filter(|asked| asked.stamps.id == scene.frame) else {
        return no(Rejection::UnknownFrame, "nobody asked about it");
    };
    if (asked.stamps.pts_ns, asked.stamps.capture_ns, asked.picture) != (scene.pts_ns, scene.capture_ns, scene.picture) {
        return no(Rejection::WrongStamps, "its stamps or its size are not those of the frame");
    }
    if last.is_some_and(|last| scene.frame <= last) {
        return no(Rejection::Stale, "a newer one was answered before");
    }
    if let Err(fault) = scene.check() {
        return no(Rejection::Impossible, &fault.to_string());
    }
    Ok(scene)
}

/// More messages than this within a second are a flood: 240 frames a second with two messages each, and heartbeats.
const MESSAGES_A_SECOND: usize = 600;

/// Counts messages in a sliding second.
#[derive(Debug)]
pub(super) struct Flood {
    heard_ns: VecDeque<u64>,
}

impl Flood {
    pub fn new() -> Self {
        Flood { heard_ns: VecDeque::with_capacity(MESSAGES_A_SECOND + 1) }
    }

    /// Notes a message; true when it is one too many.
    pub fn hears(&mut self, now_ns: u64) -> bool {
        while self.heard_ns.front().is_some_and(|&at| now_ns.saturating_sub(at) >= 1_000_000_000) {
            self.heard_ns.pop_front();
        }
        if self.heard_ns.len() >= MESSAGES_A_SECOND {
            return true;
        }
        self.heard_ns.push_back(now_ns);
        false
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::base::ids::{ClassId, TrackId};
    use crate::frame::Stamps;
    use crate::link::scene_codec::encode_scene;
    use crate::scene::{AnalysisTimes, ClassMask, Track, Trust};

    pub fn good_scene(stamps: Stamps) -> Scene {
        let track = Track {
            id: TrackId(1),
            class: ClassId(5),
            confidence: 0.9,
            state: Trust::Sure,
            bbox: [4.0, 4.0, 20.0, 20.0],
            tip: Some([20.0, 20.0]),
            axis: None,
            velocity_px_s: [0.0; 2],
            outlines: vec![vec![[4.0, 4.0], [20.0, 4.0], [20.0, 20.0]]],
        };
        Scene {
            frame: stamps.id,
            pts_ns: stamps.pts_ns,
            capture_ns: stamps.capture_ns,
            picture: [64, 48],
            frame_state: Trust::Sure,
            tracks: vec![track],
            tissues: Vec::new(),
            findings: Vec::new(),
            frame_classes: Vec::new(),
            departed: Vec::new(),
            reset: None,
            gate: None,
            unknown_px: 0,
            mask: ClassMask { width: 2, height: 1, ids: vec![0, 5] },
            times: AnalysisTimes::default(),
        }
    }

    fn judged(change: impl FnOnce(&mut Scene), last: Option<u64>) -> Result<Scene, Rejection> {
        let stamps = Stamps { id: FrameId(7), pts_ns: 70, capture_ns: 700 };
        let asked = Asked { stamps, picture: [64, 48], ring: 1, slot: 0, generation: 2, is_here: true, sent_ns: 0 };
        let mut answer = good_scene(stamps);
        change(&mut answer);
        let mut bytes = Vec::new();
        encode_scene(&answer, &mut bytes).unwrap();
        scene(Some(&asked), last.map(FrameId), &bytes, &mut Spare::default()).map_err(|(why, _)| why)
    }

    #[test]
    fn only_the_answer_that_was_asked_for_is_believed() {
        assert!(judged(|_| {}, Some(6)).is_ok());
        assert_eq!(judged(|s| s.frame = FrameId(8), None), Err(Rejection::UnknownFrame));
        assert_eq!(judged(|s| s.frame = FrameId(6), None), Err(Rejection::UnknownFrame));
        assert_eq!(judged(|s| s.capture_ns += 1, None), Err(Rejection::WrongStamps));
        assert_eq!(judged(|s| s.pts_ns += 1, None), Err(Rejection::WrongStamps));
        assert_eq!(judged(|s| s.picture = [1920, 1080], None), Err(Rejection::WrongStamps));
        assert_eq!(judged(|_| {}, Some(7)), Err(Rejection::Stale));
        assert_eq!(judged(|s| s.tracks[0].bbox[0] = f32::NAN, None), Err(Rejection::Impossible));
        assert_eq!(judged(|s| s.mask.ids[0] = 99, None), Err(Rejection::Impossible));
        assert_eq!(scene(None, None, &[], &mut Spare::default()).map_err(|(why, _)| why), Err(Rejection::Malformed));
    }

    #[test]
    fn a_flood_is_more_than_any_honest_worker_says() {
        let mut flood = Flood::new();
        let honest = (0..5_000u64).any(|i| flood.hears(i * 1_000_000_000 / 490));
        assert!(!honest, "240 frames a second, two messages each, and heartbeats");
        let mut flood = Flood::new();
        assert_eq!((0..5_000u64).position(|i| flood.hears(i * 1_000)), Some(MESSAGES_A_SECOND));
    }
}
