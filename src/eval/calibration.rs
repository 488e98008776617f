//! How far a probability can be believed: reliability and expected calibration error (ECE; Naeini, Cooper, Hauskrecht 2015), the
//! temperature that makes a head's probabilities believable (Guo et al. 2017), and from which probability on enough is right.
//! Where probabilities come from is not known here.

use serde::{Deserialize, Serialize};

/// Bins of equal width over 0..1.
pub const BINS: usize = 15;
/// Steps in which thresholds are looked for.
const STEPS: usize = 1000;
/// Temperatures that a head may have; beyond them it is not its scale that is wrong.
pub const TEMPERATURES: std::ops::RangeInclusive<f32> = 0.05..=20.0;

/// One bin of a reliability diagram.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReliabilityBin {
    /// Mean of the probabilities in it.
    pub confidence: f64,
    /// Share of them that was so.
    pub accuracy: f64,
    /// Part of all that is in this bin.
    pub share: f64,
}

/// Collects probabilities with what was true, in bins.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Reliability {
    /// Sums of weight, weight·probability and weight where it was so.
    bins: [[f64; 3]; BINS],
}

impl Reliability {
    /// `probability` that something is so, 0..1, and whether it was. `weight`: how much it counts against others.
    pub fn add(&mut self, probability: f32, is_so: bool, weight: f64) {
        let bin = ((probability * BINS as f32) as usize).min(BINS - 1);
        let [all, confidence, so] = &mut self.bins[bin];
        *all += weight;
        *confidence += weight * f64::from(probability);
        *so += weight * f64::from(u8::from(is_so));
    }

    pub fn merge(&mut self, other: &Reliability) {
        let (to, from) = (self.bins.as_flattened_mut(), other.bins.as_flattened());
        to.iter_mut().zip(from).for_each(|(to, from)| *to += from);
    }

    /// Mean distance of confidence and accuracy over the bins, by what is in them. None where nothing is.
    pub fn ece(&self) -> Option<f64> {
        let all: f64 = self.bins.iter().map(|bin| bin[0]).sum();
        (all > 0.0).then(|| self.bins.iter().map(|[_, confidence, so]| (confidence - so).abs()).sum::<f64>() / all)
    }

    /// The bins that hold something, the lowest first.
    pub fn bins(&self) -> Vec<ReliabilityBin> {
        let sum: f64 = self.bins.iter().map(|bin| bin[0]).sum();
        let filled = self.bins.iter().filter(|bin| bin[0] > 0.0);
        filled.map(|[all, confidence, so]| ReliabilityBin { confidence: confidence / all, accuracy: so / all, share: all / sum }).collect()
    }
}

/// The temperature at which `loss` (negative log likelihood, by temperature) is least; it has one minimum. Golden section over its
/// logarithm, to a part in 10,000.
pub fn fit_temperature(loss: impl Fn(f32) -> f64) -> f32 {
    let part = (5f64.sqrt() - 1.0) / 2.0;
    let at = |log: f64| loss(log.exp() as f32);
    let (mut low, mut high) = (f64::from(*TEMPERATURES.start()).ln(), f64::from(*TEMPERATURES.end()).ln());
    let (mut left, mut right) = (high - part * (high - low), low + part * (high - low));
    let (mut at_left, mut at_right) = (at(left), at(right));
    while high - low > 1e-4 {
        if at_left <= at_right {
            (high, right, at_right) = (right, left, at_left);
            left = high - part * (high - low);
            at_left = at(left);
        } else {
            (low, left, at_left) = (left, right, at_right);
            right = low + part * (high - low);
            at_right = at(right);
        }
    }
    (((low + high) / 2.0).exp() as f32).clamp(*TEMPERATURES.start(), *TEMPERATURES.end())
}

/// The same probability at another temperature: what a threshold becomes so that it decides as before (exact for a sigmoid).
pub fn at_temperature(probability: f32, temperature: f32) -> f32 {
    let p = probability.clamp(1e-6, 1.0 - 1e-6);
    1.0 / (1.0 + (-(p / (1.0 - p)).ln() / temperature).exp())
}

/// Collects scores with whether they were right, for thresholds.
#[derive(Debug, Clone, PartialEq)]
pub struct Scored {
    /// Weight that was right and that was wrong, by score.
    right: Vec<f64>,
    wrong: Vec<f64>,
}

impl Default for Scored {
    fn default() -> Self {
        Scored { right: vec![0.0; STEPS + 1], wrong: vec![0.0; STEPS + 1] }
    }
}

impl Scored {
    pub fn add(&mut self, score: f32, is_right: bool, weight: f64) {
        let at = ((score * STEPS as f32) as usize).min(STEPS);
        if is_right {
            self.right[at] += weight;
        } else {
            self.wrong[at] += weight;
        }
    }

    /// Right and wrong weight of scores of `threshold` or more, rounded down to a thousandth.
    pub fn from(&self, threshold: f32) -> [f64; 2] {
        let at = ((threshold * STEPS as f32).round() as usize).min(STEPS);
        [&self.right, &self.wrong].map(|weights| weights[at..].iter().sum())
    }

    /// Part of the weight from `threshold` on that is right. None where there is none.
    pub fn precision(&self, threshold: f32) -> Option<f64> {
        let [right, wrong] = self.from(threshold);
        (right + wrong > 0.0).then(|| right / (right + wrong))
    }
}

/// The smallest threshold of `least` or more, in thousandths, from which on `is_good`; 1 where none is: never sure.
pub fn smallest_threshold(least: f32, is_good: impl Fn(f32) -> bool) -> f32 {
    let first = (least * STEPS as f32).ceil() as usize;
    (first..STEPS).map(|step| step as f32 / STEPS as f32).find(|&threshold| is_good(threshold)).unwrap_or(1.0)
}

/// Which pixels of a class mask, `width`·n, lie within `reach_px` (on either axis) of one of another class. Beside `ignore` there is no
/// boundary: nobody knows what is there.
pub fn near_boundary(ids: &[u8], width: usize, reach_px: usize, ignore: u8) -> Vec<bool> {
    let height = ids.len().checked_div(width).unwrap_or(0);
    let differ = |a: u8, b: u8| a != b && a != ignore && b != ignore;
    let mut near = vec![false; ids.len()];
    for y in 0..height {
        for x in 0..width {
            let at = y * width + x;
            if x + 1 < width && differ(ids[at], ids[at + 1]) {
                (near[at], near[at + 1]) = (true, true);
            }
            if y + 1 < height && differ(ids[at], ids[at + width]) {
                (near[at], near[at + width]) = (true, true);
            }
        }
    }
    // A boundary pixel touches the boundary: it is the first of those within reach.
    let reach = reach_px.saturating_sub(1);
    let mut line = Vec::new();
    for row in near.chunks_exact_mut(width.max(1)) {
        line.clear();
        line.extend_from_slice(row);
        spread(&line, reach, |at| row[at] = true);
    }
    for x in 0..width {
        line.clear();
        line.extend((0..height).map(|y| near[y * width + x]));
        spread(&line, reach, |y| near[y * width + x] = true);
    }
    near
}

/// Tells each place within `reach` of one that is set.
fn spread(line: &[bool], reach: usize, mut set: impl FnMut(usize)) {
    let mut told = 0;
    for at in line.iter().enumerate().filter(|(_, is)| **is).map(|(at, _)| at) {
        let to = (at + reach + 1).min(line.len());
        (told.max(at.saturating_sub(reach))..to).for_each(&mut set);
        told = told.max(to);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn ece_is_that_of_a_worked_example() {
        let mut reliability = Reliability::default();
        assert_eq!(reliability.ece(), None);
        // Two bins: 0.9 of which 3 of 4 are so, and 0.1 of which 1 of 6 is.
        (0..4).for_each(|i| reliability.add(0.9, i > 0, 1.0));
        (0..6).for_each(|i| reliability.add(0.1, i == 0, 1.0));
        let expected = 0.4 * (0.9 - 0.75) + 0.6 * (1.0 / 6.0 - 0.1);
        assert!((reliability.ece().unwrap() - expected).abs() < 1e-7);
        let bins = reliability.bins();
        assert!(bins.len() == 2 && (bins[0].accuracy - 1.0 / 6.0).abs() < 1e-9 && (bins[1].share - 0.4).abs() < 1e-9);
        // Weights: as if it had been seen so many times.
        let mut twice = Reliability::default();
        twice.merge(&reliability);
        twice.merge(&reliability);
        assert!((twice.ece().unwrap() - expected).abs() < 1e-7 && twice.bins() == bins);
        reliability.add(1.0, true, 1.0);
        assert_eq!(reliability.bins().len(), 3, "1 is in the last bin");
    }

    /// Logits that are too large by a factor are brought down by just that factor.
    #[test]
    fn the_temperature_is_the_one_that_the_logits_were_heated_by() {
        for heat in [0.3f64, 1.0, 3.5] {
            // Of each logit as many outcomes as it stands for.
            let logits: Vec<f64> = (-40..=40).map(|i| f64::from(i) / 10.0).collect();
            let loss = |temperature: f32| {
                let of = |z: f64| {
                    let (p, q) = (1.0 / (1.0 + (-z).exp()), 1.0 / (1.0 + (-z * heat / f64::from(temperature)).exp()));
                    -(p * q.ln() + (1.0 - p) * (1.0 - q).ln())
                };
                logits.iter().map(|&z| of(z)).sum()
            };
            let fitted = fit_temperature(loss);
            assert!((f64::from(fitted) / heat - 1.0).abs() < 1e-3, "{heat}: {fitted}");
        }
        // Where no temperature is enough, the last one that is allowed.
        assert_eq!(fit_temperature(f64::from).to_bits() & !0xfff, 0.05f32.to_bits() & !0xfff);
    }

    #[test]
    fn a_threshold_decides_at_another_temperature_as_before() {
        for (threshold, temperature) in [(0.4f32, 2.0f32), (0.5, 0.3), (0.9, 5.0)] {
            let logit = (threshold / (1.0 - threshold)).ln();
            let moved = at_temperature(threshold, temperature);
            for off in [-0.01f32, 0.01] {
                let p = 1.0 / (1.0 + (-(logit + off) / temperature).exp());
                assert_eq!(p >= moved, off > 0.0);
            }
        }
    }

    #[test]
    fn the_smallest_threshold_with_enough_right_is_found() {
        let mut scored = Scored::default();
        // Below 0.6 half is right, from there on all.
        (0..100).for_each(|i| scored.add(i as f32 / 100.0, i >= 60 || i % 2 == 0, 1.0));
        assert_eq!(scored.precision(0.6), Some(1.0));
        let threshold = smallest_threshold(0.3, |t| scored.precision(t).is_some_and(|p| p >= 0.97));
        assert!((0.55..=0.6).contains(&threshold) && scored.precision(threshold).unwrap() >= 0.97, "{threshold}");
        assert_eq!(smallest_threshold(0.3, |_| false), 1.0);
        assert_eq!(Scored::default().precision(0.0), None);
    }

    #[test]
    fn a_band_reaches_so_many_pixels_to_both_sides_of_a_boundary() {
        let mut ids = vec![1u8; 40 * 3];
        ids.chunks_mut(40).for_each(|row| row[20..].fill(2));
        let row = |near: &[bool]| near[40..80].iter().enumerate().filter(|(_, is)| **is).map(|(x, _)| x).collect::<Vec<_>>();
        assert_eq!(row(&near_boundary(&ids, 40, 10, 255)), (10..30).collect::<Vec<_>>());
        ids.chunks_mut(40).for_each(|row| row[20..].fill(255));
        assert_eq!(row(&near_boundary(&ids, 40, 10, 255)), [0; 0], "nobody knows what is beside it");
        assert!(near_boundary(&[], 0, 10, 255).is_empty());
    }

    proptest! {
        #[test]
        fn a_band_holds_exactly_what_is_within_reach(width in 1usize..14, height in 1usize..14, reach in 1usize..5,
            seed in proptest::collection::vec(prop_oneof![6 => Just(1u8), 1 => Just(2), 1 => Just(255)], 196)) {
            let ids = &seed[..width * height];
            let near = near_boundary(ids, width, reach, 255);
            let (w, h) = (width as isize, height as isize);
            let at = |x: isize, y: isize| if (0..w).contains(&x) && (0..h).contains(&y) { ids[(y * w + x) as usize] } else { 255 };
            let is_boundary = |x: isize, y: isize| {
                let differ = |other: u8| at(x, y) != 255 && other != 255 && other != at(x, y);
                [at(x - 1, y), at(x + 1, y), at(x, y - 1), at(x, y + 1)].into_iter().any(differ)
            };
            let r = reach as isize - 1;
            for (i, &near) in near.iter().enumerate() {
                let (x, y) = ((i % width) as isize, (i / width) as isize);
                let expected = (y - r..=y + r).any(|v| (x - r..=x + r).any(|u| is_boundary(u, v)));
                prop_assert_eq!(near, expected, "{} {}", x, y);
            }
        }

        #[test]
        fn an_error_is_between_none_and_all(adds in proptest::collection::vec((0f32..=1.0, any::<bool>()), 1..60)) {
            let mut reliability = Reliability::default();
            adds.iter().for_each(|&(p, is)| reliability.add(p, is, 1.0));
            prop_assert!((0.0..=1.0).contains(&reliability.ece().unwrap()));
            prop_assert!((reliability.bins().iter().map(|bin| bin.share).sum::<f64>() - 1.0).abs() < 1e-9);
        }
    }
}
