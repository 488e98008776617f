//! Does a figure drift? The median of the slopes between all pairs of points (Theil 1950, Sen, JASA 63 (1968) 1379): a few odd
//! points do not bend it, and its interval assumes no distribution. Over days for self-tests, over hours for what is measured all the
//! time: whose unit of time the points have is their owner's.

/// Two-sided; 99 %, because several figures are looked at after each self-test.
const Z: f64 = 2.575_829;
/// Below these there is no trend: the interval is an approximation for many points, and a day says nothing of a month.
pub const FEWEST: usize = 10;
pub const SHORTEST_DAYS: f64 = 7.0;
pub const MONTH_DAYS: f64 = 365.25 / 12.0;

/// What points must be before anything is said of them, in their own unit of time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ground {
    pub fewest: usize,
    pub shortest: f64,
    /// Of the interval, in standard deviations, two-sided.
    pub z: f64,
}

const DAYS: Ground = Ground { fewest: FEWEST, shortest: SHORTEST_DAYS, z: Z };

#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Trend {
    /// A unit of time, with its interval.
    pub slope: f64,
    pub low: f64,
    pub high: f64,
    /// Where the line stands at the last point.
    pub level: f64,
    /// Time of the last point.
    pub last: f64,
}

impl Trend {
    /// Of [day, value], with its 99 % interval; None where there are too few points, in number or in time.
    pub fn of(points: &[[f64; 2]]) -> Option<Trend> {
        Trend::on(points, &DAYS)
    }

    /// Of [time, value]; None where they are less than `ground`.
    pub fn on(points: &[[f64; 2]], ground: &Ground) -> Option<Trend> {
        let n = points.len();
        let times = |best: fn(f64, f64) -> f64| points.iter().map(|p| p[0]).reduce(best);
        let (first, last) = (times(f64::min)?, times(f64::max)?);
        if n < ground.fewest || last - first < ground.shortest || points.iter().flatten().any(|v| !v.is_finite()) {
            return None;
        }
        let pairs = (0..n).flat_map(|i| (i + 1..n).map(move |j| (points[i], points[j])));
        let mut slopes: Vec<f64> = pairs.filter(|(a, b)| a[0] != b[0]).map(|(a, b)| (b[1] - a[1]) / (b[0] - a[0])).collect();
        slopes.sort_by(f64::total_cmp);
        let count = slopes.len() as f64;
        // Variance of Kendall's S, less what equal values take from it.
        let spread = |n: f64| n * (n - 1.0) * (2.0 * n + 5.0);
        let mut values: Vec<f64> = points.iter().map(|p| p[1]).collect();
        values.sort_by(f64::total_cmp);
        let ties: f64 = values.chunk_by(|a, b| a == b).map(|equal| spread(equal.len() as f64)).sum();
        let half = ground.z * ((spread(n as f64) - ties).max(0.0) / 18.0).sqrt();
        let at = |rank: f64| slopes[(rank.max(0.0) as usize).min(slopes.len() - 1)];
        let (low, high) = (at(((count - half) / 2.0).floor()), at(((count + half) / 2.0).ceil()));
        let slope = middle(&slopes);
        let mut levels: Vec<f64> = points.iter().map(|p| p[1] + slope * (last - p[0])).collect();
        levels.sort_by(f64::total_cmp);
        Some(Trend { slope, low, high, level: middle(&levels), last })
    }

    /// The interval holds no standing still.
    pub fn is_significant(&self) -> bool {
        self.low > 0.0 || self.high < 0.0
    }

    /// Days from the last point until the line reaches `limit` from below; 0: it is there. None where it does not rise for sure, or
    /// not within ten years.
    pub fn days_until(&self, limit: f64) -> Option<f64> {
        self.until(limit).filter(|&days| days < 3_650.0)
    }

    /// The same in the points' own unit of time, however long.
    pub fn until(&self, limit: f64) -> Option<f64> {
        (self.is_significant() && self.slope > 0.0).then(|| ((limit - self.level) / self.slope).max(0.0))
    }

    /// Where the line stands at a time.
    pub fn at(&self, time: f64) -> f64 {
        self.level + self.slope * (time - self.last)
    }
}

/// Of sorted values, not empty.
pub fn middle(sorted: &[f64]) -> f64 {
    let n = sorted.len();
    0.5 * (sorted[(n - 1) / 2] + sorted[n / 2])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn noise(seed: &mut u32) -> f64 {
        *seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        f64::from(*seed >> 8) / f64::from(1u32 << 24) - 0.5
    }

    #[test]
    fn a_slow_drift_is_seen_through_noise_and_odd_days() {
        let mut seed = 5;
        // 0.1 ms a day in ±1 ms of noise; each ninth self-test ran on a busy machine.
        let points: Vec<[f64; 2]> = (0..60)
            .map(|i| [f64::from(i), 20.0 + 0.1 * f64::from(i) + 2.0 * noise(&mut seed) + if i % 9 == 4 { 30.0 } else { 0.0 }])
            .collect();
        let trend = Trend::of(&points).unwrap();
        assert!(trend.low < 0.1 && 0.1 < trend.high && trend.is_significant(), "{trend:?}");
        assert!((trend.slope - 0.1).abs() < 0.03 && (trend.level - 26.0).abs() < 1.0, "{trend:?}");
        let days = trend.days_until(36.0).unwrap();
        assert!((days - (36.0 - trend.level) / trend.slope).abs() < 1e-9 && (60.0..160.0).contains(&days), "{days}");
        assert_eq!((trend.days_until(20.0), trend.days_until(1e6)), (Some(0.0), None));
        let falling: Vec<[f64; 2]> = points.iter().map(|p| [p[0], 60.0 - p[1]]).collect();
        let falling = Trend::of(&falling).unwrap();
        assert!(falling.is_significant() && falling.days_until(36.0).is_none());
    }

    #[test]
    fn noise_alone_is_seldom_a_drift() {
        let mut seed = 77;
        let drifts = (0..200).filter(|_| {
            let points: Vec<[f64; 2]> = (0..40).map(|i| [f64::from(i), 20.0 + noise(&mut seed)]).collect();
            Trend::of(&points).unwrap().is_significant()
        });
        let count = drifts.count();
        assert!(count <= 8, "{count} of 200 at 99 %");
    }

    #[test]
    fn few_points_short_times_and_equal_values_say_nothing() {
        let points = |n: u32, step: f64| -> Vec<[f64; 2]> { (0..n).map(|i| [f64::from(i) * step, f64::from(i)]).collect() };
        assert_eq!(Trend::of(&[]), None);
        assert_eq!(Trend::of(&points(9, 2.0)), None);
        assert_eq!(Trend::of(&points(30, 0.1)), None);
        assert!(Trend::of(&points(30, 1.0)).unwrap().is_significant());
        assert_eq!(Trend::of(&[[1.0, 2.0]; 20]), None, "all at one moment");
        let flat: Vec<[f64; 2]> = (0..30).map(|i| [f64::from(i), 7.0]).collect();
        let flat = Trend::of(&flat).unwrap();
        assert!((flat.slope, flat.level) == (0.0, 7.0) && !flat.is_significant());
        assert_eq!(Trend::of(&[[0.0, f64::NAN]; 30]), None);
    }

    proptest! {
        #[test]
        fn the_interval_holds_the_slope_and_shifting_changes_nothing(values in proptest::collection::vec(0.0f64..90.0, 10..60), by in -50.0f64..50.0) {
            let points: Vec<[f64; 2]> = values.iter().enumerate().map(|(i, &v)| [i as f64, v]).collect();
            let trend = Trend::of(&points).unwrap();
            prop_assert!(trend.low <= trend.slope && trend.slope <= trend.high);
            let moved: Vec<[f64; 2]> = points.iter().map(|p| [p[0] + 1_000.0, p[1] + by]).collect();
            let moved = Trend::of(&moved).unwrap();
            prop_assert!((moved.slope - trend.slope).abs() < 1e-6 && (moved.level - by - trend.level).abs() < 1e-6);
        }
    }
}
