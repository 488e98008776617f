//! Who is who from frame to frame: detections become tracks with stable ids.
//!
//! ```text
//!   seen once ──► Tentative ── seen again, or very confident ──► Confirmed (id, shown) ◄─┐
//!                    │ not seen                                     │ not seen            │ seen
//!                    ▼                                              ▼                     │
//!                  gone                                     Missed (not shown) ───────────┘
//!                                                                   │ for MAX_MISSED_NS
//!                                                                   ▼
//!                                                                 gone
//! ```
//! Time is that of the frames' capture stamps: frames that were skipped make longer steps, not misses.

use crate::base::assign::{Assigner, FORBIDDEN};
use super::decode::{Detection, SURE_FROM};
use super::kalman::{Coordinate, Noise};
use crate::base::ids::{ClassId, TrackId};
use crate::scene::{Track, Trust, limits};

/// How long something unseen is remembered.
const MAX_MISSED_NS: u64 = 400_000_000;
/// Confidence that needs no second look.
const CONFIRMED_AT_ONCE: f32 = 0.92;
const HITS_TO_CONFIRM: u32 = 2;
/// Longest step that a motion is predicted over.
const MAX_STEP_S: f32 = 0.5;
/// Gate: boxes that overlap less, and are farther apart than a part of the picture's larger side, are not the same.
const GATE_OVERLAP: f32 = 0.1;
const GATE_DISTANCE: f32 = 0.12;
/// A tip that jumps farther (part of the larger side) is another tip: its filter starts anew.
const TIP_JUMP: f32 = 0.12;
/// Weight of the past against one frame, for the class and for the confidence.
const CLASS_MEMORY: f32 = 0.9;
const CONFIDENCE_MEMORY: f32 = 0.5;

/// Follows instruments.
#[derive(Debug, Default)]
pub struct Tracker {
    followed: Vec<Followed>,
    assigner: Assigner,
    last_ns: Option<u64>,
    next_id: u32,
}

#[derive(Debug)]
struct Followed {
    id: Option<TrackId>,
    hits: u32,
    seen_ns: u64,
    /// Centre x, y, width, height.
    bbox: [Coordinate; 4],
    tip: Option<[Coordinate; 2]>,
    confidence: f32,
    /// Weight of each class id.
    votes: [f32; 32],
}

impl Tracker {
    /// Takes the detections of the frame captured at `capture_ns` (never decreasing) of a picture of that size; returns the tracks
    /// that are seen in it, with the detections' outlines.
    pub fn step(&mut self, detections: Vec<Detection>, capture_ns: u64, picture: [u32; 2]) -> Vec<Track> {
        let side = picture[0].max(picture[1]) as f32;
        let dt_s = self.last_ns.map_or(0.0, |last| capture_ns.saturating_sub(last) as f32 / 1e9).min(MAX_STEP_S);
        self.last_ns = Some(capture_ns);
        self.followed.retain(|track| capture_ns.saturating_sub(track.seen_ns) <= MAX_MISSED_NS);
        for track in &mut self.followed {
            track.predict(dt_s, side);
        }

        let followed = &self.followed;
        let columns = self.assigner.assign(followed.len(), detections.len(), |row, column| followed[row].cost(&detections[column], side));
        let mut owner: Vec<Option<usize>> = vec![None; detections.len()];
        let mut seen = vec![false; followed.len()];
        for (row, column) in columns.iter().enumerate() {
            if let Some(column) = *column {
                owner[column] = Some(row);
                seen[row] = true;
            }
        }

        let mut tracks = Vec::with_capacity(detections.len());
        for (detection, owner) in detections.into_iter().zip(owner) {
            let row = match owner {
                Some(row) => {
                    self.followed[row].update(&detection, capture_ns, side);
                    row
                }
                None if self.followed.len() < limits::TRACKS => {
                    self.followed.push(Followed::new(&detection, capture_ns, side));
                    seen.push(true);
                    self.followed.len() - 1
                }
                None => continue,
            };
            let track = &mut self.followed[row];
            if track.id.is_none() && (track.hits >= HITS_TO_CONFIRM || track.confidence >= CONFIRMED_AT_ONCE) {
                track.id = Some(TrackId(self.next_id));
                self.next_id += 1;
            }
            if let Some(id) = track.id {
                tracks.push(track.shown(id, detection, side));
            }
        }
        // What was seen only once and not again was noise.
        let mut seen = seen.into_iter();
        self.followed.retain(|track| seen.next().unwrap_or(true) || track.id.is_some());
        tracks
    }

    /// Nothing is known about this frame: everything that is followed is missed.
    pub fn step_unknown(&mut self, capture_ns: u64, picture: [u32; 2]) {
        self.step(Vec::new(), capture_ns, picture);
    }
}

fn noise(side: f32) -> Noise {
    // In parts of the picture's larger side. A mask's end wanders by about two of 320 map pixels; a grasper that is pushed in
    // fast moves two sides a second and stops within a tenth of one.
    Noise { measured: 0.006 * side, velocity: 0.7 * side, agility: side.powi(2) }
}

fn sides(bbox: [f32; 4]) -> [f32; 4] {
    [(bbox[0] + bbox[2]) / 2.0, (bbox[1] + bbox[3]) / 2.0, bbox[2] - bbox[0], bbox[3] - bbox[1]]
}

impl Followed {
    fn new(detection: &Detection, seen_ns: u64, side: f32) -> Self {
        let start = |value| Coordinate::new(value, noise(side));
        let mut track = Followed {
            id: None,
            hits: 1,
            seen_ns,
            bbox: sides(detection.bbox).map(start),
            tip: detection.tip.map(|tip| tip.map(start)),
            confidence: detection.confidence,
            votes: [0.0; 32],
        };
        track.vote(detection);
        track
    }

    fn predict(&mut self, dt_s: f32, side: f32) {
        self.bbox.iter_mut().chain(self.tip.iter_mut().flatten()).for_each(|c| c.predict(dt_s, noise(side)));
    }

    fn predicted(&self) -> [f32; 4] {
        let [x, y, w, h] = self.bbox.map(|c| c.position);
        let (w, h) = (w.max(1.0) / 2.0, h.max(1.0) / 2.0);
        [x - w, y - h, x + w, y + h]
    }

    fn cost(&self, detection: &Detection, side: f32) -> f32 {
        let predicted = self.predicted();
        let overlap = overlap(predicted, detection.bbox);
        let ([ax, ay, ..], [bx, by, ..]) = (sides(predicted), sides(detection.bbox));
        let mut distance = (ax - bx).hypot(ay - by) / side;
        if let (Some(tip), Some(seen)) = (self.tip, detection.tip) {
            // Boxes of crossing instruments overlap; their tips tell them apart.
            distance = 0.5 * distance + 0.5 * (tip[0].position - seen[0]).hypot(tip[1].position - seen[1]) / side;
        }
        if overlap < GATE_OVERLAP && distance > GATE_DISTANCE { FORBIDDEN } else { 1.0 - overlap + 4.0 * distance }
    }

    fn update(&mut self, detection: &Detection, seen_ns: u64, side: f32) {
        let noise = noise(side);
        self.hits += 1;
        self.seen_ns = seen_ns;
        for (coordinate, measured) in self.bbox.iter_mut().zip(sides(detection.bbox)) {
            coordinate.update(measured, noise);
        }
        self.tip = match (self.tip, detection.tip) {
            (Some(mut tip), Some(seen)) if (tip[0].position - seen[0]).hypot(tip[1].position - seen[1]) <= TIP_JUMP * side => {
                tip.iter_mut().zip(seen).for_each(|(coordinate, measured)| coordinate.update(measured, noise));
                Some(tip)
            }
            (_, seen) => seen.map(|seen| seen.map(|value| Coordinate::new(value, noise))),
        };
        self.confidence = CONFIDENCE_MEMORY * self.confidence + (1.0 - CONFIDENCE_MEMORY) * detection.confidence;
        self.vote(detection);
    }

    fn vote(&mut self, detection: &Detection) {
        self.votes.iter_mut().for_each(|weight| *weight *= CLASS_MEMORY);
        if let Some(weight) = self.votes.get_mut(usize::from(detection.class.0)) {
            *weight += detection.confidence;
        }
    }

    fn class(&self, otherwise: ClassId) -> ClassId {
        let best = (0..self.votes.len()).max_by(|&a, &b| self.votes[a].total_cmp(&self.votes[b]));
        best.filter(|&id| self.votes[id] > 0.0).map_or(otherwise, |id| ClassId(id as u8))
    }

    fn shown(&self, id: TrackId, detection: Detection, side: f32) -> Track {
        let motion = self.tip.unwrap_or([self.bbox[0], self.bbox[1]]);
        let most = limits::VELOCITY_SIDES * side;
        let margin = limits::MARGIN_SIDES * side;
        // Filtered where it is followed, but never farther from the picture than a scene allows.
        let tip = self.tip.filter(|_| detection.tip.is_some()).map(|tip| tip.map(|c| c.position));
        let within = |v: f32| v >= 0.0 && v <= side + margin;
        let confidence = self.confidence.clamp(0.0, 1.0);
        Track {
            id,
            class: self.class(detection.class),
            confidence,
            state: if confidence >= SURE_FROM { Trust::Sure } else { Trust::Unsure },
            bbox: detection.bbox,
            tip: match tip {
                Some(tip) if tip.iter().all(|&v| within(v)) => Some(tip),
                Some(_) => detection.tip,
                None => None,
            },
            axis: detection.axis,
            velocity_px_s: motion.map(|c| c.velocity.clamp(-most, most)),
            outlines: detection.outlines,
        }
    }
}

/// Intersection over union of half-open boxes.
fn overlap(a: [f32; 4], b: [f32; 4]) -> f32 {
    let area = |b: [f32; 4]| (b[2] - b[0]).max(0.0) * (b[3] - b[1]).max(0.0);
    let common = area([a[0].max(b[0]), a[1].max(b[1]), a[2].min(b[2]), a[3].min(b[3])]);
    let all = area(a) + area(b) - common;
    if all > 0.0 { common / all } else { 0.0 }
}

#[cfg(test)]
#[path = "tracker_tests.rs"]
mod tests;
