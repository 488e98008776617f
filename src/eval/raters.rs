//! How far people agree who labelled the same picture, and what they say together: pairwise Dice, Cohen's kappa (1960), Fleiss'
//! kappa (1971), and STAPLE (Warfield, Zou, Wells, IEEE TMI 23 (2004) 903), a class at a time.

use super::mask::IGNORE;
use super::regions::Counts;
use serde::Serialize;

/// More people than this for one picture are not needed by anybody.
pub const MOST_RATERS: usize = 8;
/// Fewer cannot be told apart by STAPLE: two raters' masks have three degrees of freedom, their sensitivities and specificities four.
pub const FEWEST_RATERS: usize = 3;
/// STAPLE begins here (as in ITK), and ends when no rater's figures change by more.
const FIRST: f64 = 0.99999;
const STILL: f64 = 1e-10;
const ROUNDS: usize = 1000;

/// Of each subset of raters (bit i: rater i says "class"), the pixels for which just these did. Nothing else is needed to compare them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Votes {
    raters: usize,
    counts: Vec<u64>,
}

/// One rater against the consensus.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Rater {
    pub sensitivity: f64,
    pub specificity: f64,
}

/// What STAPLE makes of votes.
#[derive(Debug, Clone, PartialEq)]
pub struct Staple {
    pub raters: Vec<Rater>,
    /// Of each subset of raters: probability that a pixel which just these called is of the class.
    probability: Vec<f64>,
}

impl Votes {
    pub fn new(raters: usize) -> Self {
        Votes { raters, counts: vec![0; 1 << raters.min(MOST_RATERS)] }
    }

    /// `masks`: one a rater, of one size. Pixels that any of them ignores count nowhere.
    pub fn push(&mut self, masks: &[&[u8]], class: u8) {
        for at in 0..masks.first().map_or(0, |mask| mask.len()) {
            if masks.iter().all(|mask| mask[at] != IGNORE) {
                self.counts[pattern(masks, at, class)] += 1;
            }
        }
    }

    /// Mean of Dice over all pairs of raters; pairs in which neither has the class are left out. None where no pair has it.
    pub fn mean_dice(&self) -> Option<f64> {
        let values: Vec<f64> = self.pairs().filter_map(Counts::dice).collect();
        (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
    }

    /// Mean of Cohen's kappa over all pairs of raters; pairs that agree by chance alone wholly (one class only) are left out.
    pub fn cohen(&self) -> Option<f64> {
        let kappa = |pair: Counts| {
            let all = (pair.both + pair.only_found + pair.only_truth + pair.neither) as f64;
            let observed = (pair.both + pair.neither) as f64 / all;
            let [a, b] = [pair.only_truth, pair.only_found].map(|only| (pair.both + only) as f64 / all);
            let chance = a * b + (1.0 - a) * (1.0 - b);
            (all > 0.0 && chance < 1.0).then(|| (observed - chance) / (1.0 - chance))
        };
        let values: Vec<f64> = self.pairs().filter_map(kappa).collect();
        (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
    }

    /// Fleiss' kappa of "class or not"; None where all say the same of all pixels.
    pub fn fleiss(&self) -> Option<f64> {
        let raters = self.raters as f64;
        let all: f64 = self.counts.iter().sum::<u64>() as f64;
        let (mut agreement, mut said) = (0.0, 0.0);
        for (pattern, &count) in self.counts.iter().enumerate() {
            let yes = f64::from(pattern.count_ones());
            let no = raters - yes;
            agreement += count as f64 * (yes * (yes - 1.0) + no * (no - 1.0)) / (raters * (raters - 1.0));
            said += count as f64 * yes;
        }
        let share = said / (all * raters);
        let chance = share * share + (1.0 - share) * (1.0 - share);
        (self.raters > 1 && all > 0.0 && chance < 1.0).then(|| (agreement / all - chance) / (1.0 - chance))
    }

    /// Expectation maximisation from equal trust in all; the prior is the part of all votes that said "class". None where nobody did,
    /// and for fewer than `FEWEST_RATERS`.
    pub fn staple(&self) -> Option<Staple> {
        let all = self.counts.iter().sum::<u64>() as f64;
        let said: f64 = self.counts.iter().enumerate().map(|(pattern, &count)| count as f64 * f64::from(pattern.count_ones())).sum();
        let prior = said / (all * self.raters as f64);
        if self.raters < FEWEST_RATERS || prior.is_nan() || prior <= 0.0 {
            return None;
        }
        let mut raters = vec![Rater { sensitivity: FIRST, specificity: FIRST }; self.raters];
        let mut probability = vec![0.0; self.counts.len()];
        for _ in 0..ROUNDS {
            for (pattern, probability) in probability.iter_mut().enumerate() {
                let (mut is, mut is_not) = (prior, 1.0 - prior);
                for (rater, of) in raters.iter().enumerate() {
                    let says_so = pattern >> rater & 1 == 1;
                    is *= if says_so { of.sensitivity } else { 1.0 - of.sensitivity };
                    is_not *= if says_so { 1.0 - of.specificity } else { of.specificity };
                }
                *probability = if is + is_not > 0.0 { is / (is + is_not) } else { prior };
            }
            let mut still = true;
            let sum = |wanted: &dyn Fn(usize) -> bool, is: bool| -> f64 {
                let each = self.counts.iter().zip(&probability).enumerate().filter(|(pattern, _)| wanted(*pattern));
                each.map(|(_, (&count, &p))| count as f64 * if is { p } else { 1.0 - p }).sum()
            };
            let (present, absent) = (sum(&|_| true, true), sum(&|_| true, false));
            for (rater, of) in raters.iter_mut().enumerate() {
                let part = |some: f64, all: f64, otherwise: f64| if all > 0.0 { some / all } else { otherwise };
                let next = Rater {
                    sensitivity: part(sum(&|pattern| pattern >> rater & 1 == 1, true), present, of.sensitivity),
                    specificity: part(sum(&|pattern| pattern >> rater & 1 == 0, false), absent, of.specificity),
                };
                still &= (next.sensitivity - of.sensitivity).abs() <= STILL && (next.specificity - of.specificity).abs() <= STILL;
                *of = next;
            }
            if still {
                break;
            }
        }
        Some(Staple { raters, probability })
    }

    /// As truth and found: each pair of raters.
    fn pairs(&self) -> impl Iterator<Item = Counts> {
        let pairs = (0..self.raters).flat_map(|a| (a + 1..self.raters).map(move |b| (a, b)));
        pairs.map(|(a, b)| {
            let mut pair = Counts::default();
            for (pattern, &count) in self.counts.iter().enumerate() {
                match (pattern >> a & 1 == 1, pattern >> b & 1 == 1) {
                    (true, true) => pair.both += count,
                    (true, false) => pair.only_truth += count,
                    (false, true) => pair.only_found += count,
                    (false, false) => pair.neither += count,
                }
            }
            pair
        })
    }
}

impl Staple {
    /// That a pixel is of the class of which raters say this.
    pub fn probability(&self, masks: &[&[u8]], at: usize, class: u8) -> f64 {
        self.probability[pattern(masks, at, class)]
    }
}

fn pattern(masks: &[&[u8]], at: usize, class: u8) -> usize {
    masks.iter().enumerate().map(|(rater, mask)| usize::from(mask[at] == class) << rater).sum()
}

/// The class of each pixel that STAPLE finds most probable, from a half on; 0 elsewhere, `IGNORE` where any rater ignores.
pub fn consensus(masks: &[&[u8]], classes: &[u8]) -> Vec<u8> {
    let opinion = |class: u8| {
        let mut votes = Votes::new(masks.len());
        votes.push(masks, class);
        Some((class, votes.staple()?))
    };
    let opinions: Vec<(u8, Staple)> = classes.iter().filter_map(|&class| opinion(class)).collect();
    let of_pixel = |at: usize| {
        if masks.iter().any(|mask| mask[at] == IGNORE) {
            return IGNORE;
        }
        let each = opinions.iter().map(|(class, staple)| (*class, staple.probability(masks, at, *class)));
        each.filter(|(_, probability)| *probability >= 0.5).max_by(|a, b| a.1.total_cmp(&b.1)).map_or(0, |(class, _)| class)
    };
    (0..masks.first().map_or(0, |mask| mask.len())).map(of_pixel).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn votes(masks: &[&[u8]], class: u8) -> Votes {
        let mut votes = Votes::new(masks.len());
        votes.push(masks, class);
        votes
    }

    #[test]
    fn two_raters_by_hand() {
        //          both  a  b  neither, ignored
        let a = [1, 1, 1, 1, 0, 0, 0, 0, 0, 0, IGNORE];
        let b = [1, 1, 1, 0, 1, 0, 0, 0, 0, 0, 1];
        let votes = votes(&[&a, &b], 1);
        assert_eq!(votes.mean_dice(), Some(6.0 / 8.0));
        let chance = 0.4 * 0.4 + 0.6 * 0.6;
        assert!((votes.cohen().unwrap() - (0.8 - chance) / (1.0 - chance)).abs() < 1e-12);
        // Both call as often, so Fleiss' chance is the same.
        assert!((votes.fleiss().unwrap() - votes.cohen().unwrap()).abs() < 1e-12);
        assert_eq!(
            (Votes::new(2).fleiss(), Votes::new(2).cohen(), Votes::new(2).mean_dice(), Votes::new(2).staple()),
            (None, None, None, None)
        );
    }

    #[test]
    fn the_one_who_differs_is_trusted_less_and_outvoted() {
        let good: Vec<u8> = (0..400).map(|i| u8::from(i % 20 < 8)).collect();
        let odd: Vec<u8> = (0..400).map(|i| u8::from(i % 20 < 8 && i % 3 > 0 || i % 7 == 0)).collect();
        let masks = [&good[..], &good, &odd];
        let staple = votes(&masks, 1).staple().unwrap();
        assert!(staple.raters[0].sensitivity > 0.999 && staple.raters[2].sensitivity < 0.8, "{:?}", staple.raters);
        assert_eq!(consensus(&masks, &[1]), good);
        let mut ignored = odd.clone();
        ignored[3] = IGNORE;
        assert_eq!(consensus(&[&good, &good, &ignored], &[1])[3], IGNORE);
    }

    proptest! {
        #[test]
        fn figures_stay_in_their_ranges_and_do_not_depend_on_the_order(
            pixels in proptest::collection::vec((0u8..3, 0u8..3, 0u8..3), 1..120)) {
            let masks: Vec<Vec<u8>> = vec![pixels.iter().map(|p| p.0).collect(), pixels.iter().map(|p| p.1).collect(), pixels.iter().map(|p| p.2).collect()];
            let of = |order: [usize; 3]| votes(&order.map(|i| &masks[i][..]), 1);
            let (one, other) = (of([0, 1, 2]), of([2, 0, 1]));
            for (a, b) in [(one.mean_dice(), other.mean_dice()), (one.cohen(), other.cohen()), (one.fleiss(), other.fleiss())] {
                prop_assert_eq!(a.is_some(), b.is_some());
                if let (Some(a), Some(b)) = (a, b) {
                    prop_assert!((a - b).abs() < 1e-9 && (-1.0..=1.0 + 1e-12).contains(&a));
                }
            }
            if let Some(staple) = one.staple() {
                prop_assert!(staple.raters.iter().all(|r| (0.0..=1.0 + 1e-9).contains(&r.sensitivity) && (0.0..=1.0 + 1e-9).contains(&r.specificity)));
            }
            // Where all agree, that is the consensus.
            prop_assert_eq!(consensus(&[&masks[0], &masks[0], &masks[0]], &[1, 2]), masks[0].clone());
        }
    }
}
