//! Findings over time: ids that stay, and marks that neither flicker nor hold on: a finding is marked while it was seen in
//! two of the last three frames.

use super::heads::boxes::overlap;
use super::sure::SURE_FROM;
use crate::base::ids::{ClassId, TrackId};
use crate::scene::{Finding, Trust, limits};

/// Frames that are looked back on, as bits; and in how many of them a finding has to be seen.
const WINDOW: u8 = 0b111;
const SEEN_IN: u32 = 2;
/// Boxes of one finding in two frames overlap at least this much.
const SAME: f32 = 0.1;
/// Weight of the newest frame for box and confidence.
const NEWEST: f32 = 0.5;

/// A finding in one frame, in pixels of the captured picture.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Found {
    pub class: ClassId,
    pub confidence: f32,
    pub bbox: [f32; 4],
}

/// Follows findings; its working memory is kept.
#[derive(Debug, Default)]
pub struct FindingFollower {
    followed: Vec<Followed>,
    next_id: u32,
    pairs: Vec<(f32, usize, usize)>,
    taken: Vec<bool>,
}

#[derive(Debug)]
struct Followed {
    id: Option<TrackId>,
    found: Found,
    /// A bit a frame, the newest lowest.
    seen: u8,
}

impl FindingFollower {
    /// Takes what was found in the next frame (nothing, if the frame is unknown); returns what is to be marked. A finding
    /// that is not in this very frame is marked unsure, at its last place.
    pub fn step(&mut self, found: &[Found]) -> Vec<Finding> {
        self.pair(found);
        for one in &mut self.followed {
            one.seen = one.seen << 1 & WINDOW;
        }
        self.taken.clear();
        self.taken.resize(found.len(), false);
        for index in 0..self.pairs.len() {
            let (_, old, new) = self.pairs[index];
            let one = &mut self.followed[old];
            if one.seen & 1 == 0 && !self.taken[new] {
                self.taken[new] = true;
                one.take(&found[new]);
            }
        }
        for (new, taken) in found.iter().zip(&self.taken) {
            if !taken && self.followed.len() < limits::FINDINGS {
                self.followed.push(Followed { id: None, found: *new, seen: 1 });
            }
        }
        self.followed.retain(|one| one.seen != 0);
        let mut marks = Vec::new();
        for one in &mut self.followed {
            if one.seen.count_ones() >= SEEN_IN {
                let id = *one.id.get_or_insert_with(|| {
                    self.next_id += 1;
                    TrackId(self.next_id - 1)
                });
                let Found { class, confidence, bbox } = one.found;
                let is_sure = one.seen & 1 == 1 && confidence >= SURE_FROM;
                marks.push(Finding { id, class, confidence, state: if is_sure { Trust::Sure } else { Trust::Unsure }, bbox });
            }
        }
        marks
    }

    /// Forgets what was seen; ids are not given again.
    pub fn forget(&mut self) {
        self.followed.clear();
    }

    /// Pairs of the same class that overlap, the closest first.
    fn pair(&mut self, found: &[Found]) {
        self.pairs.clear();
        for (old, one) in self.followed.iter().enumerate() {
            for (new, other) in found.iter().enumerate() {
                let overlap = overlap(one.found.bbox, other.bbox);
                if one.found.class == other.class && overlap >= SAME {
                    self.pairs.push((overlap, old, new));
                }
            }
        }
        self.pairs.sort_unstable_by(|a, b| b.0.total_cmp(&a.0).then((a.1, a.2).cmp(&(b.1, b.2))));
    }
}

impl Followed {
    fn take(&mut self, new: &Found) {
        self.seen |= 1;
        self.found.confidence += NEWEST * (new.confidence - self.found.confidence);
        for (side, new) in self.found.bbox.iter_mut().zip(new.bbox) {
            *side += NEWEST * (new - *side);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(x: f32) -> Found {
        Found { class: ClassId(32), confidence: 0.9, bbox: [x, 10.0, x + 50.0, 60.0] }
    }

    fn ids(marks: &[Finding]) -> Vec<u32> {
        marks.iter().map(|mark| mark.id.0).collect()
    }

    #[test]
    fn a_mark_needs_two_of_three_frames_and_goes_with_them() {
        let mut follower = FindingFollower::default();
        let mut step = |is_seen: bool| if is_seen { follower.step(&[at(100.0)]) } else { follower.step(&[]) };
        let seen = [true, false, true, true, false, true, false, false, false, true, false, false, true];
        let marked: Vec<usize> = seen.iter().map(|&seen| step(seen).len()).collect();
        assert_eq!(marked, [0, 0, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0]);
    }

    #[test]
    fn an_id_stays_with_its_finding_and_is_never_given_again() {
        let mut follower = FindingFollower::default();
        follower.step(&[at(0.0), at(200.0)]);
        assert_eq!(ids(&follower.step(&[at(205.0), at(4.0)])), [0, 1]);
        let marks = follower.step(&[at(210.0)]);
        assert_eq!(ids(&marks), [0, 1]);
        assert_eq!(marks.iter().map(|mark| mark.state).collect::<Vec<_>>(), [Trust::Unsure, Trust::Sure]);
        assert!((marks[1].bbox[0] - 206.25).abs() < 1e-3, "{:?}", marks[1].bbox);
        follower.forget();
        follower.step(&[at(210.0)]);
        assert_eq!(ids(&follower.step(&[at(210.0)])), [2]);
    }

    #[test]
    fn another_class_is_another_finding() {
        let mut follower = FindingFollower::default();
        follower.step(&[at(0.0)]);
        assert!(follower.step(&[Found { class: ClassId(33), ..at(0.0) }]).is_empty());
    }

    proptest! {
        #[test]
        fn whatever_is_found_marks_are_few_with_ids_of_their_own(
            frames in proptest::collection::vec(proptest::collection::vec((0.0f32..500.0, 32u8..34), 0..90), 1..12)) {
            let mut follower = FindingFollower::default();
            for frame in frames {
                let found: Vec<Found> = frame.iter().map(|&(x, class)| Found { class: ClassId(class), ..at(x) }).collect();
                let marks = follower.step(&found);
                prop_assert!(marks.len() <= limits::FINDINGS);
                let mut ids = ids(&marks);
                ids.sort_unstable();
                ids.dedup();
                prop_assert_eq!(ids.len(), marks.len());
            }
        }
    }
}
