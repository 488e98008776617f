//! Scenes for this room's tests.

use crate::base::ids::{ClassId, FrameId, TrackId};
use crate::scene::{AnalysisTimes, ClassMask, Scene, Track, Trust};

/// A grasper of 20×20 pixels with its tip at the lower right corner.
pub fn track_at(id: u32, x: f32) -> Track {
    Track {
        id: TrackId(id),
        class: ClassId(13),
        confidence: 0.9,
        state: Trust::Sure,
        bbox: [x, 0.0, x + 20.0, 20.0],
        tip: Some([x + 20.0, 20.0]),
        axis: None,
        velocity_px_s: [0.0; 2],
        outlines: Vec::new(),
    }
}

/// A sure scene of 200×100 pixels.
pub fn scene_of(tracks: Vec<Track>) -> Scene {
    Scene {
        frame: FrameId(0),
        pts_ns: 0,
        capture_ns: 0,
        picture: [200, 100],
        frame_state: Trust::Sure,
        tracks,
        tissues: Vec::new(),
        findings: Vec::new(),
        frame_classes: Vec::new(),
        departed: Vec::new(),
        reset: None,
        gate: None,
        unknown_px: 0,
        mask: ClassMask { width: 1, height: 1, ids: vec![0] },
        times: AnalysisTimes::default(),
    }
}
