//! How well a probability ranks: area under the receiver operating characteristic (Hanley and McNeil, Radiology 143 (1982) 29).
//! Millions of pixels are counted in bins of the probability's odds; pixels of one bin count as ties, and what that can cost is told.

/// Bins an octave of the odds.
const STEPS_BITS: u32 = 5;
/// Exponent of 2^-24, in f32's own numbering: what is nearer to 0 or 1 falls into the last bin.
const LEAST_EXPONENT: u32 = 103;
const HALF: usize = ((126 - LEAST_EXPONENT) << STEPS_BITS) as usize;
const BINS: usize = 2 * HALF + 1;

/// Counts of pixels by probability: those that are not of the class, and those that are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Roc {
    /// Empty, or `BINS`.
    bins: Vec<[u64; 2]>,
}

impl Roc {
    /// `probability` 0..1 that the class is there.
    pub fn push(&mut self, probability: f32, is_there: bool) {
        if self.bins.is_empty() {
            self.bins = vec![[0; 2]; BINS];
        }
        self.bins[bin(probability)][usize::from(is_there)] += 1;
    }

    pub fn add(&mut self, other: &Roc) {
        if self.bins.is_empty() {
            self.bins.clone_from(&other.bins);
        } else {
            self.bins.iter_mut().zip(&other.bins).for_each(|(to, from)| (0..2).for_each(|i| to[i] += from[i]));
        }
    }

    /// None where only one of both kinds was seen.
    pub fn auroc(&self) -> Option<f64> {
        RocPairs::of(&[self]).auroc(&[0])
    }

    /// Largest difference between this figure and that of the probabilities themselves, should all ties be broken one way.
    pub fn tie_bound(&self) -> Option<f64> {
        let [absent, present] = self.totals();
        let ties: f64 = self.bins.iter().map(|bin| bin[0] as f64 * bin[1] as f64).sum();
        (absent > 0.0 && present > 0.0).then(|| 0.5 * ties / absent / present)
    }

    /// Points (1 - specificity, sensitivity) from (0, 0) to (1, 1), thinned to about `most`.
    pub fn curve(&self, most: usize) -> Vec<[f64; 2]> {
        let [absent, present] = self.totals();
        if absent == 0.0 || present == 0.0 {
            return Vec::new();
        }
        let (mut points, mut sums, mut last) = (vec![[0.0, 0.0]], [0u64; 2], [0.0, 0.0]);
        for bin in self.bins.iter().rev().filter(|bin| bin[0] + bin[1] > 0) {
            (0..2).for_each(|i| sums[i] += bin[i]);
            let point = [sums[0] as f64 / absent, sums[1] as f64 / present];
            if (point[0] - last[0]) + (point[1] - last[1]) >= 2.0 / most as f64 {
                points.push(point);
                last = point;
            }
        }
        if last != [1.0, 1.0] {
            points.push([1.0, 1.0]);
        }
        points
    }

    fn totals(&self) -> [f64; 2] {
        [0, 1].map(|i| self.bins.iter().map(|bin| bin[i]).sum::<u64>() as f64)
    }
}

fn bin(probability: f32) -> usize {
    let rest = if probability > 0.5 { 1.0 - probability } else { probability };
    let bits = rest.max(f32::from_bits(LEAST_EXPONENT << 23)).to_bits() >> (23 - STEPS_BITS);
    let tail = ((bits - (LEAST_EXPONENT << STEPS_BITS)) as usize).min(HALF);
    if probability > 0.5 { 2 * HALF - tail } else { tail }
}

/// How often patients' pixels of the class beat those of patients' that are not: from it, the figure of any draw of patients.
#[derive(Debug, Clone, Default)]
pub struct RocPairs {
    /// `of · of`: wins of the row's pixels with the class over the column's without it, ties by half.
    wins: Vec<f64>,
    totals: Vec<[f64; 2]>,
}

impl RocPairs {
    pub fn of(patients: &[&Roc]) -> Self {
        let totals: Vec<[f64; 2]> = patients.iter().map(|patient| patient.totals()).collect();
        let below: Vec<Vec<f64>> = patients
            .iter()
            .map(|patient| {
                let mut sum = 0.0;
                let half = |bin: &[u64; 2]| {
                    let at = sum + 0.5 * bin[0] as f64;
                    sum += bin[0] as f64;
                    at
                };
                patient.bins.iter().map(half).collect()
            })
            .collect();
        let beaten = |row: &Roc, below: &Vec<f64>| row.bins.iter().zip(below).map(|(bin, below)| bin[1] as f64 * below).sum();
        let wins = patients.iter().flat_map(|row| below.iter().map(|below| beaten(row, below)).collect::<Vec<f64>>()).collect();
        RocPairs { wins, totals }
    }

    /// Of these patients together, each as often as it is named.
    pub fn auroc(&self, drawn: &[usize]) -> Option<f64> {
        let count = self.totals.len();
        let total = |i: usize| drawn.iter().map(|&patient| self.totals[patient][i]).sum::<f64>();
        let pairs = total(0) * total(1);
        let won: f64 = drawn.iter().map(|&row| drawn.iter().map(|&column| self.wins[row * count + column]).sum::<f64>()).sum();
        (pairs > 0.0).then(|| won / pairs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(pixels: &[(f32, bool)]) -> Roc {
        let mut roc = Roc::default();
        pixels.iter().for_each(|&(probability, is_there)| roc.push(probability, is_there));
        roc
    }

    #[test]
    fn a_ranking_by_hand() {
        // Four pairs: three won, one tied.
        let roc = of(&[(0.9, true), (0.4, true), (0.4, false), (0.1, false)]);
        assert_eq!((roc.auroc(), roc.tie_bound()), (Some(3.5 / 4.0), Some(0.125)));
        assert_eq!(roc.curve(100), [[0.0, 0.0], [0.0, 0.5], [0.5, 1.0], [1.0, 1.0]]);
        assert_eq!((of(&[(0.5, true)]).auroc(), Roc::default().auroc(), of(&[(0.5, true)]).curve(9).len()), (None, None, 0));
    }

    #[test]
    fn bins_rise_with_the_probability_and_hold_its_ends() {
        let bins: Vec<usize> = (0..=1000).map(|i| bin(i as f32 / 1000.0)).collect();
        assert!(bins.windows(2).all(|pair| pair[0] <= pair[1]));
        assert_eq!((bin(0.0), bin(1.0), bin(0.5)), (0, BINS - 1, HALF));
        assert!(bin(1e-5) < bin(1.1e-5) && bin(1.0 - 1.1e-5) < bin(1.0 - 1e-5));
    }

    proptest! {
        #[test]
        fn it_is_the_share_of_pairs_won(pixels in proptest::collection::vec((0.0f32..1.0, any::<bool>()), 2..80)) {
            let roc = of(&pixels);
            let (mut won, mut pairs) = (0.0, 0.0);
            for (a, _) in pixels.iter().filter(|pixel| pixel.1) {
                for (b, _) in pixels.iter().filter(|pixel| !pixel.1) {
                    pairs += 1.0;
                    won += if a > b { 1.0 } else if a == b { 0.5 } else { 0.0 };
                }
            }
            match roc.auroc() {
                None => prop_assert_eq!(pairs, 0.0),
                Some(auroc) => prop_assert!((auroc - won / pairs).abs() <= roc.tie_bound().unwrap() + 1e-12),
            }
        }

        #[test]
        fn patients_drawn_together_are_their_pixels_together(
            a in proptest::collection::vec((0.0f32..1.0, any::<bool>()), 1..40),
            b in proptest::collection::vec((0.0f32..1.0, any::<bool>()), 1..40)) {
            let (a, b) = (of(&a), of(&b));
            let mut all = a.clone();
            all.add(&b);
            all.add(&b);
            let drawn = RocPairs::of(&[&a, &b]).auroc(&[1, 0, 1]);
            prop_assert_eq!(drawn.is_some(), all.auroc().is_some());
            prop_assert!((drawn.unwrap_or(0.0) - all.auroc().unwrap_or(0.0)).abs() < 1e-12);
        }
    }
}
