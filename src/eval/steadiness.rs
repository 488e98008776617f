//! Flicker: how much an overlay moves although nothing does. Fed with the scenes of a still picture under sensor noise.

use super::overlap::mask_iou;
use super::spread::Spread;
use crate::scene::{Outline, Scene};
use serde::Serialize;
use std::collections::BTreeSet;

/// Compares each scene with the one before it.
#[derive(Debug, Clone, Default)]
pub struct Steadiness {
    before: Option<Scene>,
    first_ns: u64,
    last_ns: u64,
    jitter: Vec<f32>,
    iou: Vec<f32>,
    appearances: u32,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct SteadinessSummary {
    pub scenes: usize,
    /// Distance of each outline point to the outlines of the same kind in the scene before, % of the picture's width.
    pub boundary_jitter_percent: Spread,
    /// Of the mask of each class that one of two scenes shows (specks that nobody draws do not count), over classes and scenes.
    pub temporal_iou_mean: f32,
    pub temporal_iou_p05: f32,
    /// Tracks and tissues that are there and were not in the scene before.
    pub appearances: u32,
    pub appearances_a_minute: f32,
}

impl Steadiness {
    /// `scene` follows the one given before.
    pub fn push(&mut self, scene: Scene) {
        if let Some(before) = &self.before {
            let width = scene.picture[0] as f32;
            for (now, then) in outlines_of_classes(&scene, before) {
                for point in now.iter().flat_map(|outline| outline.iter()) {
                    if let Some(distance) = distance_to_outlines(*point, &then) {
                        self.jitter.push(distance / width * 100.0);
                    }
                }
            }
            let classes: BTreeSet<u8> = shown_classes(before).chain(shown_classes(&scene)).collect();
            let same = classes.iter().filter_map(|&class| mask_iou(&before.mask.ids, &scene.mask.ids, None, |id| id == class));
            self.iou.extend(same);
            let known = |id| before.tracks.iter().any(|track| track.id == id);
            let shown = |class| before.tissues.iter().any(|tissue| tissue.class == class);
            self.appearances += scene.tracks.iter().filter(|track| !known(track.id)).count() as u32;
            self.appearances += scene.tissues.iter().filter(|tissue| !shown(tissue.class)).count() as u32;
        } else {
            self.first_ns = scene.capture_ns;
        }
        self.last_ns = scene.capture_ns;
        self.before = Some(scene);
    }

    pub fn summary(&self) -> SteadinessSummary {
        let minutes = self.last_ns.saturating_sub(self.first_ns) as f64 / 60e9;
        let mut iou = self.iou.clone();
        iou.sort_by(f32::total_cmp);
        SteadinessSummary {
            scenes: if self.before.is_some() { self.iou.len().max(1) } else { 0 },
            boundary_jitter_percent: Spread::of(&self.jitter),
            temporal_iou_mean: Spread::of(&iou).mean,
            temporal_iou_p05: iou.get(iou.len() / 20).copied().unwrap_or(0.0),
            appearances: self.appearances,
            appearances_a_minute: if minutes > 0.0 { (f64::from(self.appearances) / minutes) as f32 } else { 0.0 },
        }
    }
}

fn shown_classes(scene: &Scene) -> impl Iterator<Item = u8> {
    scene.tracks.iter().map(|track| track.class.0).chain(scene.tissues.iter().map(|tissue| tissue.class.0))
}

/// Outlines of the same tissue class, and of all instruments, in both scenes.
fn outlines_of_classes<'a>(now: &'a Scene, then: &'a Scene) -> Vec<(Vec<&'a Outline>, Vec<&'a Outline>)> {
    let instruments = |scene: &'a Scene| scene.tracks.iter().flat_map(|track| &track.outlines).collect();
    let mut pairs = vec![(instruments(now), instruments(then))];
    for tissue in &now.tissues {
        if let Some(same) = then.tissues.iter().find(|other| other.class == tissue.class) {
            pairs.push((tissue.outlines.iter().collect(), same.outlines.iter().collect()));
        }
    }
    pairs
}

/// Distance of a point to the nearest of some closed outlines; None where there is none.
pub fn distance_to_outlines(point: [f32; 2], outlines: &[&Outline]) -> Option<f32> {
    let mut least = f32::INFINITY;
    for outline in outlines {
        for (i, &a) in outline.iter().enumerate() {
            let b = outline[(i + 1) % outline.len()];
            let (way, to) = ([b[0] - a[0], b[1] - a[1]], [point[0] - a[0], point[1] - a[1]]);
            let length = way[0] * way[0] + way[1] * way[1];
            let part = if length > 0.0 { ((to[0] * way[0] + to[1] * way[1]) / length).clamp(0.0, 1.0) } else { 0.0 };
            let (dx, dy) = (to[0] - part * way[0], to[1] - part * way[1]);
            least = least.min(dx * dx + dy * dy);
        }
    }
    least.is_finite().then(|| least.sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ids::{ClassId, FrameId, TrackId};
    use crate::scene::{AnalysisTimes, ClassMask, Tissue, Track, Trust};

    fn square(x: f32) -> Outline {
        vec![[x, 10.0], [x + 20.0, 10.0], [x + 20.0, 30.0], [x, 30.0]]
    }

    /// A tissue's square at `x`, the left `filled` of ten mask pixels, tracks with those ids.
    fn scene(frame: u64, x: f32, filled: usize, ids: &[u32]) -> Scene {
        let track = |&id: &u32| Track {
            id: TrackId(id),
            class: ClassId(5),
            confidence: 1.0,
            state: Trust::Sure,
            bbox: [0.0; 4],
            tip: None,
            axis: None,
            velocity_px_s: [0.0; 2],
            outlines: Vec::new(),
        };
        Scene {
            frame: FrameId(frame),
            pts_ns: 0,
            capture_ns: frame * 1_000_000_000,
            picture: [200, 100],
            frame_state: Trust::Sure,
            tracks: ids.iter().map(track).collect(),
            tissues: vec![Tissue { class: ClassId(2), area_px: 0, confidence: 1.0, state: Trust::Sure, outlines: vec![square(x)] }],
            findings: Vec::new(),
            frame_classes: Vec::new(),
            departed: Vec::new(),
            reset: None,
            gate: None,
            unknown_px: 0,
            mask: ClassMask { width: 10, height: 1, ids: (0..10).map(|i| if i < filled { 2 } else { 0 }).collect() },
            times: AnalysisTimes::default(),
        }
    }

    #[test]
    fn the_same_scene_again_and_again_does_not_flicker() {
        let mut steadiness = Steadiness::default();
        (0..5).for_each(|frame| steadiness.push(scene(frame, 10.0, 4, &[1])));
        let summary = steadiness.summary();
        assert_eq!((summary.boundary_jitter_percent.max, summary.temporal_iou_mean, summary.appearances), (0.0, 1.0, 0));
    }

    #[test]
    fn a_wobbling_scene_by_hand() {
        let mut steadiness = Steadiness::default();
        for frame in 0..7 {
            let odd = frame % 2 == 1;
            let ids: &[u32] = if odd { &[1, 2] } else { &[1] };
            steadiness.push(scene(frame, if odd { 12.0 } else { 10.0 }, if odd { 8 } else { 4 }, ids));
        }
        let summary = steadiness.summary();
        // A square shifted by 2 of 200 px to the right: its left corners lie on the top and bottom edges of the other (0),
        // its right corners 1 % outside; shifted back it is the other way round.
        assert_eq!(summary.boundary_jitter_percent.max, 1.0);
        assert_eq!(summary.boundary_jitter_percent.p50, 0.0);
        assert_eq!(summary.temporal_iou_mean, 0.5);
        assert_eq!((summary.appearances, summary.appearances_a_minute), (3, 30.0));
    }

    #[test]
    fn a_distance_is_to_the_line_and_not_to_its_corners() {
        let line = square(0.0);
        assert_eq!(distance_to_outlines([10.0, 5.0], &[&line]), Some(5.0));
        assert_eq!(distance_to_outlines([0.0, 0.0], &[]), None);
    }
}
