//! How well a class's region was found, from counts of pixels: Dice (1945), Jaccard's index (IoU), sensitivity, specificity,
//! positive predictive value.

use serde::Serialize;

/// Pixels of one class.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    pub both: u64,
    pub only_found: u64,
    pub only_truth: u64,
    pub neither: u64,
}

impl Counts {
    /// Of two class masks of the same size. Pixels whose truth is `ignore` count nowhere.
    pub fn of(truth: &[u8], found: &[u8], ignore: Option<u8>, class: u8) -> Self {
        let mut counts = Counts::default();
        for (&truth, &found) in truth.iter().zip(found) {
            if Some(truth) == ignore {
                continue;
            }
            match (truth == class, found == class) {
                (true, true) => counts.both += 1,
                (false, true) => counts.only_found += 1,
                (true, false) => counts.only_truth += 1,
                (false, false) => counts.neither += 1,
            }
        }
        counts
    }

    pub fn add(&mut self, other: Counts) {
        self.both += other.both;
        self.only_found += other.only_found;
        self.only_truth += other.only_truth;
        self.neither += other.neither;
    }

    /// None where neither has it: there is nothing to be right about.
    pub fn dice(self) -> Option<f64> {
        part(2 * self.both, 2 * self.both + self.only_found + self.only_truth)
    }

    pub fn iou(self) -> Option<f64> {
        part(self.both, self.both + self.only_found + self.only_truth)
    }

    pub fn sensitivity(self) -> Option<f64> {
        part(self.both, self.both + self.only_truth)
    }

    pub fn specificity(self) -> Option<f64> {
        part(self.neither, self.neither + self.only_found)
    }

    /// Positive predictive value.
    pub fn ppv(self) -> Option<f64> {
        part(self.both, self.both + self.only_found)
    }
}

fn part(some: u64, all: u64) -> Option<f64> {
    (all > 0).then(|| some as f64 / all as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn each_figure_is_its_definition() {
        //            both          found         truth        neither         ignored
        let truth = [1, 1, 1, 1, 0, 0, 0, 1, 1, 0, 0, 0, 0, 0, 255, 255];
        let found = [1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 1, 0];
        let counts = Counts::of(&truth, &found, Some(255), 1);
        assert_eq!(counts, Counts { both: 4, only_found: 3, only_truth: 2, neither: 5 });
        assert_eq!((counts.dice(), counts.iou()), (Some(8.0 / 13.0), Some(4.0 / 9.0)));
        assert_eq!((counts.sensitivity(), counts.specificity(), counts.ppv()), (Some(4.0 / 6.0), Some(5.0 / 8.0), Some(4.0 / 7.0)));
        let nothing = Counts::of(&truth, &found, Some(255), 9);
        assert_eq!((nothing.dice(), nothing.iou(), nothing.sensitivity(), nothing.ppv()), (None, None, None, None));
    }

    proptest! {
        #[test]
        fn dice_and_iou_say_the_same(pairs in proptest::collection::vec((0u8..3, 0u8..3), 1..200)) {
            let (truth, found): (Vec<u8>, Vec<u8>) = pairs.into_iter().unzip();
            let counts = Counts::of(&truth, &found, None, 1);
            if let (Some(dice), Some(iou)) = (counts.dice(), counts.iou()) {
                prop_assert!((dice - 2.0 * iou / (1.0 + iou)).abs() < 1e-12);
            }
            prop_assert_eq!((counts.both + counts.only_found + counts.only_truth + counts.neither) as usize, truth.len());
        }
    }
}
