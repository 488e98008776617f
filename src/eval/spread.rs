//! Errors in any unit as quantiles: never a mean alone.

use serde::Serialize;

/// Quantiles of a list of numbers; all 0 where there is none (`count` says so).
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Spread {
    pub count: usize,
    pub mean: f32,
    pub p50: f32,
    pub p95: f32,
    pub max: f32,
}

impl Spread {
    /// Numbers that are not finite count as infinitely large.
    pub fn of(values: &[f32]) -> Self {
        if values.is_empty() {
            return Spread::default();
        }
        let mut sorted: Vec<f32> = values.iter().map(|&v| if v.is_finite() { v } else { f32::INFINITY }).collect();
        sorted.sort_by(f32::total_cmp);
        let count = sorted.len();
        let rank = |quantile: f64| sorted[((quantile * count as f64).ceil() as usize).clamp(1, count) - 1];
        let mean = (sorted.iter().map(|&v| f64::from(v)).sum::<f64>() / count as f64) as f32;
        Spread { count, mean, p50: rank(0.5), p95: rank(0.95), max: sorted[count - 1] }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_values_that_were_measured() {
        let spread = Spread::of(&[4.0, 1.0, 3.0, 2.0]);
        assert_eq!(spread, Spread { count: 4, mean: 2.5, p50: 2.0, p95: 4.0, max: 4.0 });
        assert_eq!(Spread::of(&[]).count, 0);
        assert_eq!(Spread::of(&[1.0, f32::NAN]).max, f32::INFINITY);
    }
}
