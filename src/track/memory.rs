//! Instruments that are not seen any more: known again when they come back, and marked at the rim where they left.

use super::followed::{Followed, distance, sides};
use super::look::Look;
use crate::base::ids::{ClassId, TrackId};
use crate::scene::{Departed, limits};

/// So long something that was followed is remembered, ns.
pub const REMEMBERED_NS: u64 = 10_000_000_000;
/// So long an instrument has to have been followed for its leaving to be told, ns.
const FOLLOWED_NS: u64 = 500_000_000;
/// A foot within this of the picture's rim (part of the larger side) touches it.
const RIM: f32 = 0.03;
/// One that comes back does so where it left: its foot within this, part of the larger side.
const SAME_ENTRY: f32 = 0.2;
/// One that was lost inside the picture is found again within this, and so much more a second.
const SAME_PLACE: f32 = 0.08;
const SAME_PLACE_A_SECOND: f32 = 0.15;
/// For so long one that left may still be found again where it was, not where it left, s.
const ON_ITS_WAY_S: f32 = 2.0;
/// What was seen of it last was a piece at the rim, this much smaller than the whole: it went on leaving.
const LEAVING_PIECE: f32 = 0.8;
/// How alike it must look (Bhattacharyya coefficient).
pub const SAME_LOOK: f32 = 0.55;

/// One that is not followed any more.
#[derive(Debug)]
struct Lost {
    id: TrackId,
    class: ClassId,
    look: Look,
    seen_ns: u64,
    centre: [f32; 2],
    foot: [f32; 2],
    /// Where at the rim it left; None where it was lost inside.
    left_at: Option<[f32; 2]>,
}

/// Kept small: the oldest are forgotten first.
#[derive(Debug, Default)]
pub struct Memory {
    lost: Vec<Lost>,
}

impl Memory {
    /// Forgets what was lost too long ago.
    pub fn age(&mut self, now_ns: u64) {
        self.lost.retain(|lost| now_ns.saturating_sub(lost.seen_ns) <= REMEMBERED_NS);
    }

    /// Takes in one that has not been seen for a while.
    pub fn keep(&mut self, track: &Followed, picture: [u32; 2]) {
        let (Some(id), Some(class)) = (track.id, track.class()) else { return };
        if self.lost.len() >= limits::DEPARTED {
            self.lost.remove(0);
        }
        let [x, y, ..] = sides(track.last.bbox);
        let (seen_ns, foot) = (track.seen_ns, track.last.foot);
        self.lost.push(Lost { id, class, look: track.look, seen_ns, centre: [x, y], foot, left_at: left_at(track, picture) });
    }

    /// The lost one that `track`, which has just been confirmed, is; it is not lost any more.
    pub fn recognise(&mut self, track: &Followed, side: f32) -> Option<TrackId> {
        let [x, y, ..] = sides(track.last.bbox);
        let cost = |lost: &Lost| {
            let seconds = track.first_ns.saturating_sub(lost.seen_ns) as f32 / 1e9;
            let likeness = lost.look.likeness(&track.look).unwrap_or(1.0);
            let by_entry = distance(lost.foot, track.last.foot) / side / SAME_ENTRY;
            let by_place = distance(lost.centre, [x, y]) / side / (SAME_PLACE + SAME_PLACE_A_SECOND * seconds).min(2.0 * SAME_ENTRY);
            let has_left = lost.left_at.is_some() && seconds > ON_ITS_WAY_S;
            let place = if has_left { by_entry } else { by_entry.min(by_place) };
            let is_same_class = track.class() == Some(lost.class);
            (likeness >= SAME_LOOK && place <= 1.0).then_some(place + 2.0 * (1.0 - likeness) + if is_same_class { 0.0 } else { 0.5 })
        };
        let costs = self.lost.iter().enumerate().filter_map(|(index, lost)| Some((index, cost(lost)?)));
        let (index, _) = costs.min_by(|a, b| a.1.total_cmp(&b.1))?;
        Some(self.lost.remove(index).id)
    }

    /// Those that left the picture, the newest first.
    pub fn departed(&self) -> Vec<Departed> {
        let mut departed: Vec<Departed> = self
            .lost
            .iter()
            .filter_map(|lost| Some(Departed { id: lost.id, class: lost.class, at: lost.left_at?, seen_ns: lost.seen_ns }))
            .collect();
        departed.sort_by_key(|departed| std::cmp::Reverse(departed.seen_ns));
        departed
    }
}

/// Where an instrument that was on its way out left the picture: the point of the rim at which it was last seen.
fn left_at(track: &Followed, picture: [u32; 2]) -> Option<[f32; 2]> {
    let side = picture[0].max(picture[1]) as f32;
    let sides = picture.map(|side| side as f32);
    let foot = track.last.foot;
    let to_rim = (0..2).map(|i| foot[i].min(sides[i] - foot[i])).fold(f32::MAX, f32::min);
    let [x0, y0, x1, y1] = track.last.bbox;
    let box_to_rim = x0.min(y0).min(sides[0] - x1).min(sides[1] - y1);
    if track.seen_ns.saturating_sub(track.first_ns) < FOLLOWED_NS || to_rim.min(box_to_rim) > RIM * side {
        return None;
    }
    // On the rim, where its box touches it; beside the foot on that edge.
    let edges = [x0, y0, sides[0] - x1, sides[1] - y1];
    let edge = (0..4).min_by(|&a, &b| edges[a].total_cmp(&edges[b]))?;
    let outward = [[-1.0, 0.0], [0.0, -1.0], [1.0, 0.0], [0.0, 1.0]][edge];
    let velocity = track.last.velocity;
    let size = |b: [f32; 4]| (b[2] - b[0]).hypot(b[3] - b[1]);
    let at_rim = |b: [f32; 4]| b[0].min(b[1]).min(sides[0] - b[2]).min(sides[1] - b[3]) <= RIM * side;
    let shrank = track.last.piece.is_some_and(|piece| at_rim(piece) && size(piece) < LEAVING_PIECE * size(track.last.bbox));
    let leaves = shrank
        || velocity[0] * outward[0] + velocity[1] * outward[1] > 0.0
        || track.last.axis.is_some_and(|axis| velocity[0] * axis[0] + velocity[1] * axis[1] < 0.0);
    let mut at = [foot[0].clamp(0.0, sides[0]), foot[1].clamp(0.0, sides[1])];
    match edge {
        0 => at[0] = 0.0,
        1 => at[1] = 0.0,
        2 => at[0] = sides[0],
        _ => at[1] = sides[1],
    }
    leaves.then_some(at)
}
