//! Who is who from frame to frame: detections become tracks with stable ids.
//!
//! ```text
//!   seen once ──► Tentative ── seen again, or very confident ──► Confirmed (id, shown) ◄─┐
//!                    │ not seen                                     │ not seen            │ seen
//!                    ▼                                              ▼                     │
//!                  gone                  Missed (shown for one frame more, unsure) ───────┤
//!                                                                   │ for MAX_MISSED_NS   │
//!                                                                   ▼                     │ a new one where it left,
//!                                                  Lost (`memory`; marked at the rim) ────┘ that looks like it
//!                                                                   │ for REMEMBERED_NS
//!                                                                   ▼
//!                                                                 gone
//! ```
//! What is found with little confidence continues tracks and starts none (Zhang et al. 2022, arXiv:2110.06864); motion and
//! appearance decide together (Aharon et al. 2022, arXiv:2206.14651).
//! Time is that of the frames' capture stamps: frames that were skipped make longer steps, not misses.

use super::decode::Detection;
use super::flow::{Moved, Patch};
use super::followed::{Followed, distance, foot_of, is_high, sides};
use super::look::Look;
use super::memory::{Memory, SAME_LOOK};
use super::split::Expected;
use super::sure::SureFrom;
use crate::base::assign::{Assigner, FORBIDDEN};
use crate::base::ids::TrackId;
use crate::scene::{Departed, Outline, Spare, Track, limits};

/// How long something unseen is followed by its motion alone.
const MAX_MISSED_NS: u64 = 400_000_000;
/// In a frame so soon after it was last seen it is still shown, unsure.
const BRIDGED_NS: u64 = 45_000_000;
/// Confidence that needs no second look.
const CONFIRMED_AT_ONCE: f32 = 0.92;
const HITS_TO_CONFIRM: u32 = 2;
/// What has neither axis nor tip does not come in from outside as instruments do: it is looked at for so long.
const ODD_CONFIRMED_NS: u64 = 200_000_000;
/// What was followed for so long, and seen so lately, is expected again.
const EXPECTED_NS: u64 = 150_000_000;
/// Weight of the past in the camera's velocity: one frame's estimate is noisy.
const CAMERA_MEMORY: f32 = 0.4;
/// The patch whose flow is measured: how far behind the tip, and half its side, parts of the larger side.
const FLOW_BEHIND: f32 = 0.02;
const FLOW_REACH: f32 = 0.05;
/// Longest step that a motion is predicted over.
const MAX_STEP_S: f32 = 0.5;
/// Gate: boxes that overlap less, and are farther apart than a part of the picture's larger side, are not the same.
const GATE_OVERLAP: f32 = 0.1;
const GATE_DISTANCE: f32 = 0.12;
/// The same for detections of little confidence.
const LOW_GATE_OVERLAP: f32 = 0.25;
/// What has no tip and is smaller than this part of an instrument is not all of it.
const PIECE_SIZE: f32 = 0.5;
/// One that is missed is known again by where its shaft comes in, part of the larger side, and by its look.
const SAME_FOOT: f32 = 0.1;
/// Two shafts nearer to each other than this (part of the larger side) over their length, and as parallel, are one.
const TWIN_OFF_AXIS: f32 = 0.035;
const TWIN_DIRECTION: f32 = 0.97;
/// A piece of an instrument lies within this of its axis, part of the larger side.
const PIECE_OFF_AXIS: f32 = 0.035;

/// Follows instruments.
#[derive(Debug, Default)]
pub struct Tracker {
    followed: Vec<Followed>,
    memory: Memory,
    sure_from: SureFrom,
    assigner: Assigner,
    last_ns: Option<u64>,
    next_id: u32,
    /// Of the picture under the camera, px/s.
    camera_velocity: [f32; 2],
    /// Between the last two frames.
    last_step_s: Option<f32>,
    /// The picture's larger side, px.
    side: f32,
    scratch: Scratch,
}

/// Of one step; kept from frame to frame, so that nothing is allocated.
#[derive(Debug, Default)]
struct Scratch {
    /// The row of each detection.
    owner: Vec<Option<usize>>,
    /// The row of which a detection without owner is a piece.
    pieces: Vec<Option<usize>>,
    rows: Vec<usize>,
    of: Vec<usize>,
    seen: Vec<bool>,
    owned: Vec<bool>,
    /// Pieces to be added to their rows' tracks.
    added: Vec<(usize, Vec<Outline>, [f32; 4])>,
}

impl Tracker {
    /// Of which classes is how much probability enough?
    pub fn believing(sure_from: SureFrom) -> Self {
        Tracker { sure_from, ..Tracker::default() }
    }

    /// Takes the detections of the frame captured at `capture_ns` (never decreasing) of a picture of that size; returns the tracks
    /// that are seen in it, with the detections' outlines.
    pub fn step(&mut self, mut detections: Vec<Detection>, capture_ns: u64, picture: [u32; 2]) -> Vec<Track> {
        let looks = vec![Look::default(); detections.len()];
        self.step_with(&mut detections, &looks, capture_ns, picture, &mut Spare::default())
    }

    /// As `step`, with what each detection looks like, and in memory of `spare`. The detections are used up.
    pub fn step_with(
        &mut self,
        detections: &mut Vec<Detection>,
        looks: &[Look],
        capture_ns: u64,
        picture: [u32; 2],
        spare: &mut Spare,
    ) -> Vec<Track> {
        let side = picture[0].max(picture[1]) as f32;
        let dt_s = self.last_ns.map_or(0.0, |last| capture_ns.saturating_sub(last) as f32 / 1e9).min(MAX_STEP_S);
        (self.last_ns, self.side) = (Some(capture_ns), side);
        self.last_step_s = (dt_s > 0.0 && dt_s < MAX_STEP_S).then_some(dt_s);
        self.give_up(capture_ns, picture);
        self.memory.age(capture_ns);
        for track in &mut self.followed {
            track.predict(dt_s, side);
        }

        let mut scratch = std::mem::take(&mut self.scratch);
        self.associate(detections, looks, side, &mut scratch);
        self.pieces(detections, capture_ns, side, &mut scratch);
        let Scratch { owner, pieces, seen, owned, added, .. } = &mut scratch;
        let mut tracks = spare.tracks();
        for list in [&mut *seen, &mut *owned] {
            list.clear();
            list.resize(self.followed.len(), false);
        }
        owner.iter().flatten().for_each(|&row| owned[row] = true);
        for (index, mut detection) in detections.drain(..).enumerate() {
            let row = match owner[index].take() {
                Some(row) => {
                    self.take_in(row, &detection, &looks[index], capture_ns, side);
                    row
                }
                None if let Some(row) = pieces[index] => {
                    if owned[row] || std::mem::replace(&mut seen[row], true) {
                        added.push((row, std::mem::take(&mut detection.outlines), detection.bbox));
                        continue;
                    }
                    self.take_in(row, &detection, &looks[index], capture_ns, side);
                    row
                }
                None if is_high(&detection) && self.followed.len() < limits::TRACKS => {
                    self.followed.push(Followed::new(&detection, looks[index], capture_ns, side));
                    seen.push(true);
                    self.followed.len() - 1
                }
                None => {
                    spare.keep_outlines(detection.outlines);
                    continue;
                }
            };
            seen[row] = true;
            self.confirm(row, &detection, capture_ns, side);
            if let Some(id) = self.followed[row].id {
                tracks.push(self.followed[row].shown(id, detection, picture, &self.sure_from));
            } else {
                spare.keep_outlines(detection.outlines);
            }
        }
        for (row, mut outlines, bbox) in added.drain(..) {
            if let Some(track) = tracks.iter_mut().find(|track| self.followed[row].id == Some(track.id)) {
                track.outlines.append(&mut outlines);
                let [x0, y0, x1, y1] = track.bbox;
                track.bbox = [x0.min(bbox[0]), y0.min(bbox[1]), x1.max(bbox[2]), y1.max(bbox[3])];
            }
            spare.keep_outlines(outlines);
        }
        for (track, _) in self.followed.iter().zip(&*seen).filter(|&(_, &seen)| !seen) {
            let missed_ns = capture_ns.saturating_sub(track.seen_ns);
            if let Some(id) = track.id.filter(|_| missed_ns <= BRIDGED_NS && track.hits > HITS_TO_CONFIRM) {
                tracks.extend(track.bridged(id, dt_s, picture, spare));
            }
        }
        // What was seen only once and not again was noise.
        let mut seen = seen.iter().copied();
        self.followed.retain(|track| seen.next().unwrap_or(true) || track.id.is_some());
        self.scratch = scratch;
        self.drop_twins(capture_ns, side);
        tracks
    }

    /// A detection of a track.
    fn take_in(&mut self, row: usize, detection: &Detection, look: &Look, capture_ns: u64, side: f32) {
        let track = &mut self.followed[row];
        if track.is_whole(detection, capture_ns, side) {
            track.update(detection, look, capture_ns, side);
        } else {
            track.glimpse(detection, capture_ns);
        }
    }

    /// Two shafts cannot lie in the same place: of two tracks along one line the younger was a piece of the older.
    fn drop_twins(&mut self, capture_ns: u64, side: f32) {
        for older in 0..self.followed.len() {
            for younger in (older + 1..self.followed.len()).rev() {
                let (a, b) = (&self.followed[older], &self.followed[younger]);
                if a.seen_ns == capture_ns && b.seen_ns == capture_ns && are_twins(a, b, side) {
                    self.followed.remove(younger);
                }
            }
        }
    }

    /// Told before `step` for the frame captured at `capture_ns`: by how much the background has shifted since the last one,
    /// as parts of the picture's sides. What is followed goes with it from now on.
    pub fn compensate(&mut self, shift: [f32; 2], capture_ns: u64, picture: [u32; 2]) {
        let dt_s = self.last_ns.map_or(0.0, |last| capture_ns.saturating_sub(last) as f32 / 1e9);
        if dt_s <= 0.0 || dt_s > MAX_STEP_S {
            return;
        }
        let gained = [0, 1].map(|i| {
            let measured = shift[i] * picture[i] as f32 / dt_s;
            let before = std::mem::replace(&mut self.camera_velocity[i], 0.0);
            self.camera_velocity[i] = CAMERA_MEMORY * before + (1.0 - CAMERA_MEMORY) * measured;
            self.camera_velocity[i] - before
        });
        self.followed.iter_mut().for_each(|track| track.accelerate(gained));
    }

    /// The patches behind the tips of tracks seen now, whose flow says how they move: each with its place among `tracks`.
    pub fn patches(&self, picture: [u32; 2], tracks: &[Track]) -> impl Iterator<Item = (usize, Patch)> {
        let side = picture[0].max(picture[1]) as f32;
        tracks.iter().enumerate().filter_map(move |(index, track)| {
            let followed = self.followed.iter().find(|followed| followed.id == Some(track.id) && followed.is_fresh())?;
            let (tip, dt_s) = (followed.tip_position()?, self.last_step_s?);
            let centre = followed.axis().map_or(tip, |axis| [0, 1].map(|i| tip[i] - FLOW_BEHIND * side * axis[i]));
            let guess = followed.velocity().map(|v| v * dt_s);
            Some((index, Patch { centre, reach: FLOW_REACH * side, guess, class: track.class }))
        })
    }

    /// Takes in how the patch of that track has moved: how the picture itself has where its tip is, which is known more exactly than
    /// how masks have. Gives the track its velocity anew.
    pub fn refine(&mut self, picture: [u32; 2], track: &mut Track, moved: &Moved) {
        let followed = self.followed.iter_mut().find(|followed| followed.id == Some(track.id) && followed.is_fresh());
        let (Some(followed), Some(dt_s)) = (followed, self.last_step_s) else { return };
        followed.take_flow(moved, dt_s);
        let most = limits::VELOCITY_SIDES * picture[0].max(picture[1]) as f32;
        track.velocity_px_s = followed.velocity().map(|v| v.clamp(-most, most));
    }

    /// Nothing is known about this frame: everything that is followed is missed.
    pub fn step_unknown(&mut self, capture_ns: u64, picture: [u32; 2]) {
        self.step(Vec::new(), capture_ns, picture);
    }

    /// Where instruments that are followed are expected in the frame captured at `capture_ns`.
    pub fn expected(&self, capture_ns: u64) -> impl Iterator<Item = Expected> {
        let dt_s = self.last_ns.map_or(0.0, |last| capture_ns.saturating_sub(last) as f32 / 1e9).min(MAX_STEP_S);
        let is_known = move |track: &&Followed| {
            let lately = capture_ns.saturating_sub(track.seen_ns) <= EXPECTED_NS;
            lately && track.id.is_some() && track.seen_ns.saturating_sub(track.first_ns) >= EXPECTED_NS
        };
        self.followed.iter().filter(is_known).filter_map(move |track| Some(Expected { tip: track.tip_after(dt_s)?, axis: track.axis()? }))
    }

    /// Instruments that left the picture in the last seconds, the newest first: where they were last seen at its rim. Where one is
    /// seen coming in at that very place nothing is said to have left.
    pub fn departed(&self, departed: &mut Vec<Departed>) {
        self.memory.departed(departed);
        departed.retain(|departed| {
            let fills = |track: &Followed| track.id.is_some() && distance(track.last.foot, departed.at) <= SAME_FOOT * self.side;
            !self.followed.iter().any(fills)
        });
    }

    /// What has not been seen for too long is lost.
    fn give_up(&mut self, capture_ns: u64, picture: [u32; 2]) {
        let memory = &mut self.memory;
        self.followed.retain(|track| {
            let stays = capture_ns.saturating_sub(track.seen_ns) <= MAX_MISSED_NS;
            if !stays {
                memory.keep(track, picture);
            }
            stays
        });
    }

    /// The row of each detection: first those of much confidence, then the others for the tracks that are left.
    fn associate(&mut self, detections: &[Detection], looks: &[Look], side: f32, scratch: &mut Scratch) {
        let Scratch { owner, rows, of, .. } = scratch;
        owner.clear();
        owner.resize(detections.len(), None);
        for is_low in [false, true] {
            rows.clear();
            rows.extend((0..self.followed.len()).filter(|row| !owner.contains(&Some(*row))));
            of.clear();
            of.extend((0..detections.len()).filter(|&at| is_high(&detections[at]) != is_low));
            let followed = &self.followed;
            let cost = |row: usize, column: usize| cost(&followed[rows[row]], &detections[of[column]], &looks[of[column]], side, is_low);
            for (row, column) in self.assigner.assign(rows.len(), of.len(), cost).iter().enumerate() {
                if let Some(column) = column {
                    owner[of[*column]] = Some(rows[row]);
                }
            }
        }
    }

    /// The row of which a detection without owner is a piece: something lies across an instrument, and cuts it.
    fn pieces(&self, detections: &[Detection], capture_ns: u64, side: f32, scratch: &mut Scratch) {
        let Scratch { owner, pieces, .. } = scratch;
        let piece_of = |detection: &Detection| {
            let [x, y, ..] = sides(detection.bbox);
            (0..self.followed.len()).find(|&row| {
                let track = &self.followed[row];
                let is_known = track.id.is_some() && track.may_be_pieces(capture_ns);
                let (Some(axis), Some(tip), true) = (track.axis(), track.tip_position(), is_known) else { return false };
                let off = [x - tip[0], y - tip[1]];
                let (along, across) = (off[0] * axis[0] + off[1] * axis[1], off[0] * axis[1] - off[1] * axis[0]);
                let length = distance(tip, track.last.foot);
                across.abs() <= PIECE_OFF_AXIS * side && along <= PIECE_OFF_AXIS * side && along >= -length
            })
        };
        let of = detections.iter().zip(&*owner);
        pieces.clear();
        pieces.extend(of.map(|(detection, owner)| if owner.is_some() { None } else { piece_of(detection) }));
    }

    fn confirm(&mut self, row: usize, detection: &Detection, capture_ns: u64, side: f32) {
        let track = &self.followed[row];
        if track.id.is_some() {
            return;
        }
        // Of what is known by its box alone nobody can say where it came from.
        let is_box_alone = detection.outlines.is_empty();
        let comes_from_outside = detection.axis.is_some() || detection.tip.is_some() || is_box_alone;
        let is_confirmed = if comes_from_outside {
            track.hits >= HITS_TO_CONFIRM || track.confidence >= CONFIRMED_AT_ONCE
        } else {
            capture_ns.saturating_sub(track.first_ns) >= ODD_CONFIRMED_NS
        };
        if is_confirmed {
            let id = self.take_over(row, capture_ns, side).or_else(|| self.memory.recognise(&self.followed[row], side));
            self.followed[row].id = Some(id.unwrap_or_else(|| {
                self.next_id += 1;
                TrackId(self.next_id - 1)
            }));
        }
    }

    /// The id of one that is missed and comes in at the same place: it is that one.
    fn take_over(&mut self, row: usize, capture_ns: u64, side: f32) -> Option<TrackId> {
        let new = &self.followed[row];
        let is_it = |old: &Followed| {
            let missed = old.id.is_some() && old.seen_ns < new.first_ns && old.seen_ns < capture_ns;
            let alike = old.look.likeness(&new.look).is_none_or(|likeness| likeness >= SAME_LOOK);
            missed && alike && old.last.axis.is_some() && distance(old.last.foot, new.last.foot) <= SAME_FOOT * side
        };
        let old = self.followed.iter().position(is_it)?;
        self.followed[old].id.take()
    }
}

fn are_twins(a: &Followed, b: &Followed, side: f32) -> bool {
    let (Some(axis), Some(other)) = (a.axis(), b.axis()) else { return false };
    let (Some(tip), Some(other_tip)) = (a.tip_position(), b.tip_position()) else { return false };
    let across = |p: [f32; 2]| ((p[0] - tip[0]) * axis[1] - (p[1] - tip[1]) * axis[0]).abs();
    axis[0] * other[0] + axis[1] * other[1] > TWIN_DIRECTION && across(other_tip).max(across(b.last.foot)) < TWIN_OFF_AXIS * side
}

fn cost(track: &Followed, detection: &Detection, look: &Look, side: f32, is_low: bool) -> f32 {
    let predicted = track.predicted();
    let overlap = overlap(predicted, detection.bbox);
    let ([ax, ay, ..], [bx, by, ..]) = (sides(predicted), sides(detection.bbox));
    let mut apart = (ax - bx).hypot(ay - by) / side;
    if let (Some(tip), Some(seen)) = (track.tip_position(), detection.tip) {
        // Boxes of crossing instruments overlap; their tips tell them apart ...
        apart = 0.5 * apart + 0.5 * distance(tip, seen) / side;
    }
    let same_entry =
        detection.axis.is_some() && track.axis().is_some() && distance(track.last.foot, foot_of(detection)) <= SAME_FOOT * side;
    let gate = if is_low { LOW_GATE_OVERLAP } else { GATE_OVERLAP };
    if overlap < gate && (is_low || apart > GATE_DISTANCE) && !same_entry {
        return FORBIDDEN;
    }
    // What hangs on a tip, or is a piece of it, is not the whole.
    let size = |b: [f32; 4]| (b[2] - b[0]).hypot(b[3] - b[1]);
    let is_piece = detection.tip.is_none() && track.last.axis.is_some() && size(detection.bbox) < PIECE_SIZE * size(predicted);
    if is_piece && distance(track.last.foot, [bx, by]) > size(detection.bbox) {
        return FORBIDDEN;
    }
    // ... and so do their directions, and what they look like.
    let turned = match (track.axis(), detection.axis) {
        (Some(a), Some(b)) => 1.0 - (a[0] * b[0] + a[1] * b[1]),
        _ => 0.0,
    };
    let unlike = 1.0 - track.look.likeness(look).unwrap_or(1.0);
    let unproven = if track.id.is_some() { 0.0 } else { 0.3 };
    1.0 - overlap + 4.0 * apart + turned + unlike + unproven
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
