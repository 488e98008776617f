//! Distributions of delays: never a mean alone (design: min, p50, p95, p99, p99.9 from 10,000 on, max, count).

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

/// Delays in nanoseconds, kept as a histogram of fixed size: recording allocates nothing.
#[derive(Debug, Clone)]
pub struct Delays {
    histogram: Histogram<u64>,
    min_ns: u64,
    max_ns: u64,
}

/// As it stands in the run report, in milliseconds. `p999` only where the count is 10,000 or more.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Summary {
    pub count: u64,
    pub min: f64,
    pub p50: f64,
    pub p95: f64,
    pub p99: f64,
    pub p999: Option<f64>,
    pub max: f64,
}

const LOWEST_NS: u64 = 100;
const HIGHEST_NS: u64 = 600_000_000_000;
/// Fewer say nothing of a thousandth.
pub const P999_FROM_COUNT: u64 = 10_000;

impl Default for Delays {
    fn default() -> Self {
        let histogram = Histogram::new_with_bounds(LOWEST_NS, HIGHEST_NS, 3).expect("constant bounds are valid");
        Delays { histogram, min_ns: u64::MAX, max_ns: 0 }
    }
}

impl Delays {
    pub fn record_ns(&mut self, ns: u64) {
        self.histogram.saturating_record(ns.clamp(LOWEST_NS, HIGHEST_NS));
        self.min_ns = self.min_ns.min(ns);
        self.max_ns = self.max_ns.max(ns);
    }

    /// What others recorded, too.
    pub fn add(&mut self, other: &Delays) {
        // Both have the same bounds.
        let _ = self.histogram.add(&other.histogram);
        self.min_ns = self.min_ns.min(other.min_ns);
        self.max_ns = self.max_ns.max(other.max_ns);
    }

    pub fn count(&self) -> u64 {
        self.histogram.len()
    }

    pub fn quantile_ms(&self, quantile: f64) -> f64 {
        if self.count() == 0 {
            return 0.0;
        }
        ms(self.histogram.value_at_quantile(quantile).clamp(self.min_ns, self.max_ns))
    }

    pub fn summary(&self) -> Summary {
        let count = self.count();
        Summary {
            count,
            min: if count == 0 { 0.0 } else { ms(self.min_ns) },
            p50: self.quantile_ms(0.50),
            p95: self.quantile_ms(0.95),
            p99: self.quantile_ms(0.99),
            p999: (count >= P999_FROM_COUNT).then(|| self.quantile_ms(0.999)),
            max: ms(self.max_ns),
        }
    }
}

fn ms(ns: u64) -> f64 {
    // Microseconds are as fine as the clock is trusted; keeps the report readable.
    (ns as f64 / 1_000.0).round() / 1_000.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn nothing_recorded_is_all_zero() {
        let summary = Delays::default().summary();
        assert_eq!((summary.count, summary.max, summary.p999), (0, 0.0, None));
    }

    #[test]
    fn p999_appears_at_ten_thousand() {
        let mut delays = Delays::default();
        for i in 0..9_999u64 {
            delays.record_ns(1_000_000 + i);
        }
        assert_eq!(delays.summary().p999, None);
        delays.record_ns(50_000_000);
        assert!(delays.summary().p999.is_some());
    }

    proptest! {
        #[test]
        fn quantiles_are_within_a_thousandth_of_the_sorted_truth(mut ns in proptest::collection::vec(1_000u64..2_000_000_000, 1..400)) {
            let mut delays = Delays::default();
            ns.iter().for_each(|&v| delays.record_ns(v));
            ns.sort_unstable();
            let summary = delays.summary();
            for (quantile, got) in [(0.5, summary.p50), (0.95, summary.p95), (0.99, summary.p99)] {
                let rank = ((quantile * ns.len() as f64).ceil() as usize).clamp(1, ns.len());
                let truth = ns[rank - 1] as f64 / 1e6;
                prop_assert!((got - truth).abs() <= truth * 0.0015 + 0.001, "{got} against {truth}");
            }
            prop_assert_eq!(summary.max, super::ms(*ns.last().unwrap()));
            let [mut some, mut others] = [Delays::default(), Delays::default()];
            ns.iter().enumerate().for_each(|(i, &v)| if i % 3 == 0 { &mut some } else { &mut others }.record_ns(v));
            some.add(&others);
            prop_assert_eq!(some.summary(), summary);
        }
    }
}
