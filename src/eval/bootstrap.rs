//! How far a figure would move with other patients: percentile bootstrap over patients (Efron and Tibshirani 1993, chapter 13).
//! Pictures of one patient are alike, so patients are drawn, never pictures.

use crate::base::random::Random;
use serde::Serialize;

/// Fewer patients than this say nothing of others.
pub const ENOUGH_PATIENTS: usize = 5;
const DRAWS: usize = 2000;

#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Interval {
    pub value: f64,
    /// 95 %; None where there are too few patients.
    pub low: Option<f64>,
    pub high: Option<f64>,
    pub patients: usize,
}

/// `figure` of those `patients` that `count` (in whom there is something to be told) and its interval. None where it is none of all of
/// them. The same patients give the same interval.
pub fn interval<T>(patients: &[T], counts: impl Fn(&T) -> bool, figure: impl Fn(&[&T]) -> Option<f64>) -> Option<Interval> {
    let all: Vec<&T> = patients.iter().filter(|patient| counts(patient)).collect();
    let value = figure(&all)?;
    let count = all.len();
    if count < ENOUGH_PATIENTS {
        return Some(Interval { value, low: None, high: None, patients: count });
    }
    let mut random = Random::new(0x9e37_79b9_7f4a_7c15);
    let mut drawn = Vec::with_capacity(count);
    let mut values: Vec<f64> = (0..DRAWS)
        .filter_map(|_| {
            drawn.clear();
            drawn.extend((0..count).map(|_| all[random.below(count)]));
            figure(&drawn)
        })
        .collect();
    values.sort_by(f64::total_cmp);
    let at = |part: f64| values.get(((values.len().saturating_sub(1)) as f64 * part).round() as usize).copied();
    Some(Interval { value, low: at(0.025), high: at(0.975), patients: count })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mean(values: &[&f64]) -> Option<f64> {
        (!values.is_empty()).then(|| values.iter().copied().sum::<f64>() / values.len() as f64)
    }

    #[test]
    fn an_interval_holds_the_value_and_narrows_with_patients() {
        let of = |count: usize| interval(&(0..count).map(|i| (i % 5) as f64).collect::<Vec<_>>(), |_| true, mean).unwrap();
        let (few, many) = (of(10), of(500));
        for interval in [few, many] {
            assert_eq!(interval.value, 2.0);
            assert!(interval.low.unwrap() < 2.0 && 2.0 < interval.high.unwrap(), "{interval:?}");
        }
        // Standard error of the mean: √2/√n; 1.96 of them on either side.
        let half = (many.high.unwrap() - many.low.unwrap()) / 2.0;
        assert!((half - 1.96 * (2.0f64 / 500.0).sqrt()).abs() < 0.02, "{half}");
        assert!(few.high.unwrap() - few.low.unwrap() > 5.0 * half);
        assert_eq!(of(10), few);
    }

    #[test]
    fn too_few_patients_have_no_interval() {
        let few = interval(&[1.0, 2.0, 3.0, 4.0, 9.0, 9.0], |value| *value < 5.0, mean).unwrap();
        assert_eq!((few.value, few.low, few.high, few.patients), (2.5, None, None, 4));
        assert_eq!(interval(&[], |_| true, mean), None);
    }
}
