//! Many delays as few numbers, for plots: nothing that stands out is lost on the way.

use serde::{Deserialize, Serialize};

/// No report holds more points of a series.
pub const MOST_POINTS: usize = 4_000;
/// Bins of a histogram.
const BINS: usize = 60;

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bin {
    pub from_ms: f64,
    /// Not in it, except in the last one.
    pub to_ms: f64,
    pub count: u64,
}

/// [time s, delay ms] in the order of time → at most `most` of them: of each stretch of time the longest delay, at its own time.
pub fn downsampled(points: &[[f64; 2]], most: usize) -> Vec<[f64; 2]> {
    if points.len() <= most {
        return points.to_vec();
    }
    let longest = |stretch: &[[f64; 2]]| stretch.iter().copied().reduce(|a, b| if b[1] > a[1] || a[1].is_nan() { b } else { a });
    (0..most).filter_map(|bin| longest(&points[bin * points.len() / most..(bin + 1) * points.len() / most])).collect()
}

/// From the shortest to the longest, in steps of 1, 2 or 5 times a power of ten. Each finite delay is in one bin.
pub fn histogram(delays_ms: &[f64]) -> Vec<Bin> {
    let finite = || delays_ms.iter().copied().filter(|ms| ms.is_finite());
    let (low, high) = finite().fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), ms| (low.min(ms), high.max(ms)));
    if low > high {
        return Vec::new();
    }
    // Microseconds are as fine as a delay is trusted.
    let step = nice_step(((high - low) / (BINS as f64 - 1.0)).max(1e-3));
    let first = (low / step).floor();
    let count = ((high / step).floor() - first) as usize + 1;
    // Written in a report: without the last digits that no delay has.
    let at = |i: usize| ((first + i as f64) * step * 1e6).round() / 1e6;
    let mut bins: Vec<Bin> = (0..count).map(|i| Bin { from_ms: at(i), to_ms: at(i + 1), count: 0 }).collect();
    for ms in finite() {
        let index = ((ms / step).floor() - first) as usize;
        bins[index.min(count - 1)].count += 1;
    }
    bins
}

/// The next step of 1, 2 or 5 times a power of ten that is not smaller.
pub(super) fn nice_step(at_least: f64) -> f64 {
    let power = 10f64.powf(at_least.max(f64::MIN_POSITIVE).log10().floor());
    [1.0, 2.0, 5.0].into_iter().map(|by| by * power).find(|step| *step >= at_least * (1.0 - 1e-9)).unwrap_or(10.0 * power)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn steps_are_those_that_people_count_in() {
        for (least, step) in [(1.0, 1.0), (1.1, 2.0), (2.0, 2.0), (3.0, 5.0), (5.1, 10.0), (0.03, 0.05), (70.0, 100.0)] {
            assert!((nice_step(least) / step - 1.0).abs() < 1e-9, "{least}: {}", nice_step(least));
        }
        assert_eq!(histogram(&[]), []);
        assert_eq!(histogram(&[f64::NAN]), []);
        assert_eq!(histogram(&[4.0; 7]).iter().map(|bin| bin.count).collect::<Vec<_>>(), [7]);
    }

    proptest! {
        #[test]
        fn each_delay_is_in_one_bin_that_holds_it(ms in proptest::collection::vec(0.0f64..500.0, 1..400)) {
            let bins = histogram(&ms);
            prop_assert_eq!(bins.iter().map(|bin| bin.count).sum::<u64>(), ms.len() as u64);
            prop_assert!(bins.len() <= BINS + 1, "{}", bins.len());
            prop_assert!(bins.windows(2).all(|two| (two[0].to_ms - two[1].from_ms).abs() < 1e-9));
            let inside = |bin: &Bin| ms.iter().filter(|&&ms| bin.from_ms - 1e-9 <= ms && ms <= bin.to_ms + 1e-9).count() as u64;
            prop_assert!(bins.iter().all(|bin| bin.count <= inside(bin)));
        }

        #[test]
        fn the_longest_delay_survives_at_its_own_time(ms in proptest::collection::vec(0.0f64..500.0, 1..300), most in 1usize..50) {
            let points: Vec<[f64; 2]> = ms.iter().enumerate().map(|(i, &ms)| [i as f64 / 60.0, ms]).collect();
            let few = downsampled(&points, most);
            prop_assert!(!few.is_empty() && few.len() <= most.max(1));
            prop_assert!(few.iter().all(|point| points.contains(point)) && few.windows(2).all(|two| two[0][0] < two[1][0]));
            let longest = |points: &[[f64; 2]]| points.iter().map(|point| point[1]).fold(0.0, f64::max);
            prop_assert_eq!(longest(&few), longest(&points));
        }
    }
}
