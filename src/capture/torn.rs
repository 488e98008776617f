//! Is a picture whole, and is it the next one? Judged by digests of sampled rows, as `content` takes them.
//!
//! A camera's noise changes each row with each picture. A row that has done so for `LIVING` pictures *lives*; borders, mattes
//! and what a codec repeats do not, and say nothing here.
//! - **torn**: all living rows above (or below) a line are those of the picture before, bit for bit, and all on its other side
//!   are new; and the picture after changes them all again (a picture that stands from then on in one part is not torn, and
//!   is not named). Said with the picture after.
//! - **back**: the rows are those of an earlier picture, which was not the last one.
//!
//! What this misses: tears in the uppermost and lowest rows (fewer than `SIDE` sampled rows), tears of two moments of which
//! neither was shown before, and whatever a lossy codec stands between.

use crate::frame::preview::SAMPLED_ROWS;

/// A row that has changed with so many pictures in a row lives.
const LIVING: u8 = 16;
/// Of the living rows so many at least lie on each side of a tear.
const SIDE: u32 = 4;
/// How many pictures back one is known again.
const REMEMBERED: usize = 4;

/// What a picture is besides new and whole.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Found {
    /// The one before this was made of two moments.
    pub torn: bool,
    /// It was shown before, and another one since.
    pub back: bool,
}

#[derive(Debug)]
pub(super) struct RowWatch {
    last: [u64; SAMPLED_ROWS],
    has_last: bool,
    /// Pictures in a row with which a row has changed.
    streaks: [u8; SAMPLED_ROWS],
    /// The living rows that the last picture has repeated, a bit each: a tear, if they change now.
    repeated: u64,
    /// Digests of the last pictures, the newest first; 0 is none.
    earlier: [u64; REMEMBERED],
}

impl Default for RowWatch {
    fn default() -> Self {
        RowWatch { last: [0; SAMPLED_ROWS], has_last: false, streaks: [0; SAMPLED_ROWS], repeated: 0, earlier: [0; REMEMBERED] }
    }
}

impl RowWatch {
    /// `rows`: digests of a picture's sampled rows, downwards, of which `count` are used; `whole`: of all of them. The same
    /// picture again is not to be shown here.
    pub fn look(&mut self, rows: &[u64; SAMPLED_ROWS], count: usize, whole: u64) -> Found {
        let (mut changed, mut living) = (0u64, 0u64);
        for (row, digest) in rows.iter().enumerate().take(count) {
            changed |= u64::from(*digest != self.last[row]) << row;
            living |= u64::from(self.streaks[row] >= LIVING) << row;
        }
        let is_alive = living.count_ones() as usize * 2 >= count;
        // The newest of them is the last picture, which this one is not.
        let back = is_alive && self.earlier[1..].contains(&whole);
        let torn = self.repeated != 0 && self.repeated & !changed == 0;
        let (moved, stood) = (living & changed, living & !changed);
        // What was suspected and still stands is no tear, and what follows from it is none either.
        let may_tear = self.has_last && (self.repeated == 0 || torn) && !back;
        self.repeated = if may_tear && is_parted(moved, stood) { stood } else { 0 };
        for (row, streak) in self.streaks.iter_mut().enumerate().take(count) {
            *streak = match (changed >> row & 1, self.repeated >> row & 1) {
                (1, _) if self.has_last => streak.saturating_add(1),
                // Whether it lives is seen with the next picture.
                (_, 1) => *streak,
                _ => 0,
            };
        }
        (self.last, self.has_last) = (*rows, true);
        self.earlier.rotate_right(1);
        self.earlier[0] = whole;
        Found { torn, back }
    }
}

/// Enough of both, and a line between them.
fn is_parted(moved: u64, stood: u64) -> bool {
    let is_above = |upper: u64, lower: u64| u64::BITS - upper.leading_zeros() <= lower.trailing_zeros();
    moved.count_ones() >= SIDE && stood.count_ones() >= SIDE && (is_above(moved, stood) || is_above(stood, moved))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    type Rows = [u64; SAMPLED_ROWS];

    /// Picture `n` of a camera; the first `dead` rows are a border.
    fn picture(n: u64, dead: usize) -> Rows {
        std::array::from_fn(|row| if row < dead { 7 } else { (n + 1) << 8 | row as u64 })
    }

    fn whole(rows: &Rows) -> u64 {
        rows.iter().fold(1, |sum, row| sum.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ row)
    }

    fn mixed(upper: &Rows, lower: &Rows, split: usize) -> Rows {
        std::array::from_fn(|row| if row < split { upper[row] } else { lower[row] })
    }

    /// Numbers of the pictures with which something was found.
    fn found(pictures: &[Rows]) -> (Vec<usize>, Vec<usize>) {
        let (mut watch, mut torn, mut back) = (RowWatch::default(), Vec::new(), Vec::new());
        for (n, rows) in pictures.iter().enumerate() {
            let found = watch.look(rows, SAMPLED_ROWS, whole(rows));
            if found.torn {
                torn.push(n);
            }
            if found.back {
                back.push(n);
            }
        }
        (torn, back)
    }

    fn stream(dead: usize) -> Vec<Rows> {
        (0..40).map(|n| picture(n, dead)).collect()
    }

    #[test]
    fn a_picture_of_two_moments_is_known_with_the_next_one() {
        for (dead, split, stale_is_above) in [(0, 32, true), (0, 32, false), (10, 20, true), (0, 4, true), (0, 60, false)] {
            let mut pictures = stream(dead);
            let (old, new) = (pictures[29], pictures[30]);
            pictures[30] = if stale_is_above { mixed(&old, &new, split) } else { mixed(&new, &old, split) };
            assert_eq!(found(&pictures), (vec![31], vec![]), "{dead} {split} {stale_is_above}");
        }
    }

    #[test]
    fn each_picture_of_a_stream_of_tears_is_known() {
        let mut pictures = stream(4);
        for n in (20..36).step_by(2) {
            pictures[n] = mixed(&pictures[n - 1], &pictures[n], 12 + n);
        }
        assert_eq!(found(&pictures).0, (21..37).step_by(2).collect::<Vec<_>>());
    }

    #[test]
    fn a_picture_that_was_shown_before_another_is_known() {
        for back in [2, 3] {
            let mut pictures = stream(4);
            pictures[30] = pictures[30 - back];
            assert_eq!(found(&pictures), (vec![], vec![30]), "{back} back");
        }
    }

    #[test]
    fn borders_halves_at_half_rate_and_parts_that_come_to_rest_are_no_tears() {
        // A matte above and a picture below.
        assert_eq!(found(&stream(30)), (vec![], vec![]));
        // Two views, one at half the rate of the other.
        let halves: Vec<Rows> = (0..60).map(|n| mixed(&picture(n / 2, 0), &picture(n, 0), 32)).collect();
        assert_eq!(found(&halves), (vec![], vec![]));
        // From picture 30 on the upper part stands, as a codec leaves what does not move.
        let rests: Vec<Rows> = (0..60).map(|n| mixed(&picture(n.min(30), 0), &picture(n, 0), 32)).collect();
        assert_eq!(found(&rests), (vec![], vec![]));
        // A row here and there is repeated by chance.
        let mut chance = stream(0);
        (20..40).for_each(|n| chance[n][n] = chance[n - 1][n]);
        assert_eq!(found(&chance), (vec![], vec![]));
        // A still screen on which something blinks.
        let blinking: Vec<Rows> = (0..80).map(|n: u64| mixed(&picture(n % 2, 0), &picture(0, 0), 20)).collect();
        assert_eq!(found(&blinking), (vec![], vec![]));
    }

    proptest! {
        /// What lives and is whole is never called anything else, wherever its borders are.
        #[test]
        fn new_pictures_are_never_named(dead in 0usize..64, changes in proptest::collection::vec(1u64..9, 1..120)) {
            let mut n = 0;
            let pictures: Vec<Rows> = changes.iter().map(|step| { n += step; picture(n, dead) }).collect();
            prop_assert_eq!(found(&pictures), (vec![], vec![]));
        }

        #[test]
        fn no_rows_make_it_panic(rows in proptest::collection::vec(proptest::collection::vec(0u64..3, SAMPLED_ROWS), 1..60), count in 0usize..=64) {
            let mut watch = RowWatch::default();
            for row in rows {
                let rows: Rows = std::array::from_fn(|i| row[i]);
                watch.look(&rows, count, whole(&rows));
            }
        }
    }
}
