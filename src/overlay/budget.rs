//! How much of the picture an overlay of outlines may cover, and what is left out when it would be more: tissues first,
//! then what is unsure, then names and edge marks, then instruments and findings; of one kind the costliest first, so
//! that the fewest vanish.
//!
//! Costs are estimates, made before anything is painted; the painter counts afterwards and leaves out more if need be.

use crate::base::classes::ClassKind;
use crate::overlay::draw::Shape;
use crate::scene::Trust;

/// Part of the content area that outlines, marks and names may cover together.
pub const OUTLINE_PART: f32 = 0.06;
/// What was left out comes back only when there is so much room: no flicker at the limit.
const RETURN_PART: f32 = 0.9;

/// What is drawn whole or not at all; the first is left out first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rank {
    UnsureTissue,
    Tissue,
    Unsure,
    /// Names and edge marks, all of them together.
    Words,
    Sure,
}

impl Rank {
    pub fn of(shape: &Shape) -> Self {
        match (shape.kind, shape.trust) {
            (ClassKind::Tissue, Trust::Sure) => Rank::Tissue,
            (ClassKind::Tissue, _) => Rank::UnsureTissue,
            (_, Trust::Sure) => Rank::Sure,
            (_, _) => Rank::Unsure,
        }
    }
}

#[derive(Debug, Clone, Copy)]
struct Item {
    rank: Rank,
    cost_px: f32,
    index: usize,
}

/// Chooses what is left out of one painting; keeps its memory.
#[derive(Debug, Default)]
pub struct Budget {
    allowed_px: f32,
    was_short: bool,
    items: Vec<Item>,
    /// The first so many items are left out.
    left_out: usize,
}

impl Budget {
    /// Starts a painting over `content_px` pixels of content.
    pub fn start(&mut self, content_px: usize) {
        self.was_short = self.left_out > 0;
        self.left_out = 0;
        self.items.clear();
        self.allowed_px = OUTLINE_PART * content_px as f32;
    }

    /// Something that wants to be painted; `index` is the caller's name for it.
    pub fn add(&mut self, rank: Rank, cost_px: f32, index: usize) {
        self.items.push(Item { rank, cost_px, index });
    }

    /// Leaves out what the estimates say cannot be afforded.
    pub fn settle(&mut self) {
        self.items.sort_unstable_by(|a, b| a.rank.cmp(&b.rank).then(b.cost_px.total_cmp(&a.cost_px)).then(a.index.cmp(&b.index)));
        let allowed_px = if self.was_short { RETURN_PART * self.allowed_px } else { self.allowed_px };
        let mut wanted_px: f32 = self.items.iter().map(|item| item.cost_px).sum();
        while wanted_px > allowed_px && self.left_out < self.items.len() {
            wanted_px -= self.items[self.left_out].cost_px;
            self.left_out += 1;
        }
    }

    /// Is this much coverage within the budget? If not, one thing more is left out; with nothing left the answer is yes.
    pub fn accepts(&mut self, covered_px: usize) -> bool {
        if covered_px as f32 <= self.allowed_px || self.left_out == self.items.len() {
            return true;
        }
        self.left_out += 1;
        false
    }

    pub fn is_left_out(&self, index: usize) -> bool {
        self.items[..self.left_out].iter().any(|item| item.index == index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settled(budget: &mut Budget, content_px: usize, items: &[(Rank, f32)]) -> Vec<usize> {
        budget.start(content_px);
        items.iter().enumerate().for_each(|(index, &(rank, cost))| budget.add(rank, cost, index));
        budget.settle();
        (0..items.len()).filter(|&index| budget.is_left_out(index)).collect()
    }

    #[test]
    fn tissues_go_first_then_the_unsure_and_of_one_rank_the_costliest() {
        let items = [(Rank::Sure, 20.0), (Rank::Tissue, 30.0), (Rank::Tissue, 40.0), (Rank::Unsure, 30.0), (Rank::UnsureTissue, 10.0)];
        let left_out = |content_px: usize| settled(&mut Budget::default(), content_px, &items);
        assert_eq!(left_out(3_000), [0usize; 0], "6 % of 3,000 is 180: all 130 fit");
        assert_eq!(left_out(2_000), [4], "120");
        assert_eq!(left_out(1_500), [2, 4], "90");
        assert_eq!(left_out(500), [1, 2, 3, 4], "30");
        assert_eq!(left_out(100), [0, 1, 2, 3, 4], "6");
    }

    #[test]
    fn what_was_left_out_returns_only_when_there_is_room_to_spare() {
        let mut budget = Budget::default();
        let at = |budget: &mut Budget, cost: f32| settled(budget, 1_000, &[(Rank::Tissue, cost), (Rank::Sure, 30.0)]);
        assert_eq!(at(&mut budget, 30.5), [0]);
        assert_eq!(at(&mut budget, 29.5), [0], "59.5 of 60, but 54 are asked for a return");
        assert!(at(&mut budget, 23.5).is_empty());
        assert!(at(&mut budget, 29.5).is_empty(), "and what is back stays");
    }

    #[test]
    fn counting_too_much_leaves_out_one_more_until_nothing_is_left() {
        let mut budget = Budget::default();
        settled(&mut budget, 1_000, &[(Rank::Sure, 1.0), (Rank::Tissue, 1.0)]);
        assert!(budget.accepts(60));
        assert!(!budget.accepts(61) && budget.is_left_out(1) && !budget.is_left_out(0));
        assert!(!budget.accepts(61) && budget.is_left_out(0));
        assert!(budget.accepts(61), "nothing is left to leave out");
    }
}
