//! Memory of scenes that nobody looks at any more, for the next ones: a scene a frame, and nothing is allocated.

use super::{AnalysisTimes, ClassMask, Departed, Finding, FrameClass, Outline, Scene, Tissue, Track, Trust, limits};
use crate::base::ids::FrameId;
use std::sync::Arc;

/// An outline's memory starts at so many points: it seldom has to grow.
const POINTS: usize = 192;
/// A list of outlines starts at so many.
const OUTLINES: usize = 16;
/// Outlines with memory for more are not kept: whoever sends such scenes gets no hold of ours.
const MAX_POINTS: usize = 4096;
const MAX_OUTLINES: usize = 2 * limits::OUTLINES;
const MAX_LISTS: usize = 2 * (limits::TRACKS + limits::TISSUES);
const MAX_SCENES: usize = 8;

#[derive(Debug, Default)]
pub struct Spare {
    tracks: Vec<Vec<Track>>,
    tissues: Vec<Vec<Tissue>>,
    departed: Vec<Vec<Departed>>,
    findings: Vec<Vec<Finding>>,
    frame_classes: Vec<Vec<FrameClass>>,
    masks: Vec<Vec<u8>>,
    lists: Vec<Vec<Outline>>,
    outlines: Vec<Outline>,
}

impl Spare {
    /// A scene of nothing, about no frame.
    pub fn scene(&mut self) -> Scene {
        Scene {
            frame: FrameId(0),
            pts_ns: 0,
            capture_ns: 0,
            picture: [0, 0],
            frame_state: Trust::Sure,
            tracks: self.tracks(),
            tissues: self.tissues(),
            findings: self.findings.pop().unwrap_or_else(|| Vec::with_capacity(limits::FINDINGS)),
            frame_classes: self.frame_classes.pop().unwrap_or_else(|| Vec::with_capacity(limits::FRAME_CLASSES)),
            departed: self.departed(),
            reset: None,
            gate: None,
            unknown_px: 0,
            mask: ClassMask { width: 0, height: 0, ids: self.mask() },
            times: AnalysisTimes::default(),
        }
    }

    pub fn tracks(&mut self) -> Vec<Track> {
        self.tracks.pop().unwrap_or_else(|| Vec::with_capacity(limits::TRACKS))
    }

    pub fn tissues(&mut self) -> Vec<Tissue> {
        self.tissues.pop().unwrap_or_else(|| Vec::with_capacity(limits::TISSUES))
    }

    pub fn departed(&mut self) -> Vec<Departed> {
        self.departed.pop().unwrap_or_else(|| Vec::with_capacity(limits::DEPARTED))
    }

    /// An empty mask's ids.
    pub fn mask(&mut self) -> Vec<u8> {
        self.masks.pop().unwrap_or_default()
    }

    /// An empty list of outlines.
    pub fn outlines(&mut self) -> Vec<Outline> {
        self.lists.pop().unwrap_or_else(|| Vec::with_capacity(OUTLINES))
    }

    /// An outline without points.
    pub fn outline(&mut self) -> Outline {
        self.outlines.pop().unwrap_or_else(|| Vec::with_capacity(POINTS))
    }

    /// Takes a scene apart.
    pub fn keep(&mut self, mut scene: Scene) {
        scene.tracks.drain(..).for_each(|track| self.keep_outlines(track.outlines));
        scene.tissues.drain(..).for_each(|tissue| self.keep_outlines(tissue.outlines));
        keep(&mut self.tracks, scene.tracks);
        keep(&mut self.tissues, scene.tissues);
        keep(&mut self.departed, scene.departed);
        keep(&mut self.findings, scene.findings);
        keep(&mut self.frame_classes, scene.frame_classes);
        keep(&mut self.masks, scene.mask.ids);
    }

    pub fn keep_outlines(&mut self, mut outlines: Vec<Outline>) {
        outlines.drain(..).for_each(|outline| self.keep_outline(outline));
        if self.lists.len() < MAX_LISTS {
            self.lists.push(outlines);
        }
    }

    pub fn keep_outline(&mut self, mut outline: Outline) {
        if self.outlines.len() < MAX_OUTLINES && outline.capacity() <= MAX_POINTS {
            outline.clear();
            self.outlines.push(outline);
        }
    }
}

fn keep<T>(kept: &mut Vec<Vec<T>>, mut list: Vec<T>) {
    if kept.len() < MAX_SCENES && list.capacity() > 0 {
        list.clear();
        kept.push(list);
    }
}

/// Scenes that are handed out, and come back when the last who looked at one has let go of it.
#[derive(Debug, Default)]
pub struct Shelf {
    pub spare: Spare,
    lent: Vec<Arc<Scene>>,
}

/// More scenes than are looked at at a time: held, on the screen, waiting to be written down.
const LENT: usize = 16;

impl Shelf {
    pub fn share(&mut self, scene: Scene) -> Arc<Scene> {
        let free = self.lent.iter_mut().find_map(|lent| Arc::get_mut(lent).is_some().then_some(lent));
        let Some(lent) = free else {
            let shared = Arc::new(scene);
            if self.lent.len() < LENT {
                self.lent.push(shared.clone());
            }
            return shared;
        };
        if let Some(old) = Arc::get_mut(lent) {
            self.spare.keep(std::mem::replace(old, scene));
        }
        lent.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ids::ClassId;

    fn scene(spare: &mut Spare, frame: u64) -> Scene {
        let mut scene = spare.scene();
        let mut outlines = spare.outlines();
        let mut outline = spare.outline();
        assert!(outline.is_empty() && outlines.is_empty() && scene.tissues.is_empty() && scene.mask.ids.is_empty());
        outline.extend([[1.0, 2.0]; 3]);
        outlines.push(outline);
        scene.tissues.push(Tissue { class: ClassId(2), area_px: 4, confidence: 1.0, state: Trust::Sure, outlines });
        scene.mask.ids.push(7);
        scene.frame = FrameId(frame);
        scene
    }

    #[test]
    fn a_scene_comes_back_when_nobody_looks_at_it_and_its_memory_serves_the_next() {
        let mut shelf = Shelf::default();
        let first = scene(&mut shelf.spare, 1);
        let (memory, held) = (first.tissues[0].outlines[0].as_ptr(), shelf.share(first));
        let other = scene(&mut shelf.spare, 2);
        let other = shelf.share(other);
        assert_eq!((held.frame, other.frame), (FrameId(1), FrameId(2)), "what is looked at stays as it is");
        drop(held);
        let third = scene(&mut shelf.spare, 3);
        let third = shelf.share(third);
        assert_eq!((other.frame, third.frame), (FrameId(2), FrameId(3)));
        let fourth = scene(&mut shelf.spare, 4);
        assert_eq!(fourth.tissues[0].outlines[0].as_ptr(), memory);
    }

    #[test]
    fn memory_beyond_reason_is_not_kept() {
        let mut spare = Spare::default();
        spare.keep_outlines(vec![Vec::with_capacity(MAX_POINTS + 1)]);
        (0..2 * MAX_OUTLINES).for_each(|_| spare.keep_outline(Vec::new()));
        (0..2 * MAX_LISTS).for_each(|_| spare.keep_outlines(Vec::new()));
        assert_eq!((spare.outlines.len(), spare.lists.len()), (MAX_OUTLINES, MAX_LISTS));
    }
}
