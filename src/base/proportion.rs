//! How large a share can be of which a sample was seen: exact bounds (Clopper, Pearson, Biometrika 26 (1934) 404). They are
//! conservative: the truth lies beyond one of them in at most the stated part of all samples, however small these are.

/// The lowest and the highest share in 0..1 that `hits` of `count` do not contradict, EACH at this confidence (one-sided), as
/// 0.95. Without a sample everything is possible.
pub fn clopper_pearson(hits: u64, count: u64, confidence: f64) -> (f64, f64) {
    if count == 0 {
        return (0.0, 1.0);
    }
    let (k, n, alpha) = (hits.min(count) as f64, count as f64, 1.0 - confidence);
    // P(X ≥ k | p) = I_p(k, n − k + 1) grows with p; the low bound makes it α, the high one makes P(X ≤ k | p) α.
    let low = if k == 0.0 { 0.0 } else { solve(|p| beta(p, k, n - k + 1.0) < alpha) };
    let high = if k == n { 1.0 } else { solve(|p| beta(p, k + 1.0, n - k) < confidence) };
    (low, high)
}

/// Where `is_below` ends, in 0..1.
fn solve(is_below: impl Fn(f64) -> bool) -> f64 {
    let (mut low, mut high) = (0.0, 1.0);
    // As often as a double has digits.
    for _ in 0..64 {
        let middle = 0.5 * (low + high);
        if is_below(middle) { low = middle } else { high = middle }
    }
    0.5 * (low + high)
}

/// Regularised incomplete beta function I_x(a, b), by its continued fraction (DLMF 8.17.22), evaluated by Lentz's method.
fn beta(x: f64, a: f64, b: f64) -> f64 {
    if x <= 0.0 || x >= 1.0 {
        return x.clamp(0.0, 1.0);
    }
    if x > (a + 1.0) / (a + b + 2.0) {
        return 1.0 - beta(1.0 - x, b, a);
    }
    const TINY: f64 = 1e-300;
    let away = |v: f64| if v.abs() < TINY { TINY } else { v };
    let mut c = 1.0;
    let mut d = 1.0 / away(1.0 - (a + b) * x / (a + 1.0));
    let mut fraction = d;
    for m in 1..20_000 {
        let m = f64::from(m);
        let even = m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m));
        let odd = -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0));
        let before = fraction;
        for step in [even, odd] {
            d = 1.0 / away(1.0 + step * d);
            c = away(1.0 + step / c);
            fraction *= c * d;
        }
        if (fraction - before).abs() <= 1e-15 * fraction.abs() {
            break;
        }
    }
    let front = ln_gamma(a + b) - ln_gamma(a) - ln_gamma(b) + a * x.ln() + b * (-x).ln_1p();
    front.exp() * fraction / a
}

/// Stirling's series (DLMF 5.11.1), from 10 on; smaller arguments by recurrence.
fn ln_gamma(mut z: f64) -> f64 {
    let mut below = 0.0;
    while z < 10.0 {
        below += z.ln();
        z += 1.0;
    }
    let r = 1.0 / (z * z);
    let series = (1.0 / 12.0 - r * (1.0 / 360.0 - r * (1.0 / 1260.0 - r * (1.0 / 1680.0 - r / 1188.0)))) / z;
    (z - 0.5) * z.ln() - z + 0.5 * (2.0 * std::f64::consts::PI).ln() + series - below
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// P(X ≤ k) of a binomial distribution, term by term.
    fn at_most(k: u64, n: u64, p: f64) -> f64 {
        let mut term = (n as f64 * (-p).ln_1p()).exp();
        let mut sum = term;
        for i in 0..k {
            term *= (n - i) as f64 / (i + 1) as f64 * p / (1.0 - p);
            sum += term;
        }
        sum
    }

    #[test]
    fn closed_forms_come_out() {
        // Nothing seen: 1 − α^(1/n), which is the "rule of three" for many.
        for n in [1, 5, 500, 4_000, 10_000, 1_000_000] {
            let (low, high) = clopper_pearson(0, n, 0.95);
            let expected = -(0.05f64.ln() / n as f64).exp_m1();
            assert!(low == 0.0 && (high / expected - 1.0).abs() < 1e-9, "{n}: {high} for {expected}");
            let (low, high) = clopper_pearson(n, n, 0.95);
            assert!(high == 1.0 && (low - (1.0 - expected)).abs() < 1e-9);
        }
        assert_eq!(clopper_pearson(0, 0, 0.95), (0.0, 1.0));
    }

    #[test]
    fn gamma_is_the_factorial() {
        let mut factorial = 1.0f64;
        for n in 1..30 {
            assert!((ln_gamma(f64::from(n)) - factorial.ln()).abs() < 1e-11, "{n}");
            factorial *= f64::from(n);
        }
        assert!((ln_gamma(0.5) - 0.5 * std::f64::consts::PI.ln()).abs() < 1e-12);
    }

    proptest! {
        /// At each bound the sample is just as unlikely as was asked for: against the distribution itself.
        #[test]
        fn at_the_bounds_the_sample_is_as_rare_as_stated(n in 1u64..3_000, part in 0.0f64..1.0, confidence in 0.8f64..0.99) {
            let k = ((n as f64 * part * part) as u64).min(n - 1).max(1).min(n - 1);
            prop_assume!(k >= 1);
            let (low, high) = clopper_pearson(k, n, confidence);
            prop_assert!(0.0 < low && low < k as f64 / n as f64 && k as f64 / (n as f64) < high && high < 1.0);
            // The sum underflows where hardly anything is left of (1 − p)^n.
            if n as f64 * -(-high).ln_1p() < 600.0 {
                prop_assert!((at_most(k, n, high) / (1.0 - confidence) - 1.0).abs() < 1e-6, "high {high} of {k}/{n}");
                prop_assert!((1.0 - at_most(k - 1, n, low) - (1.0 - confidence)).abs() < 1e-7, "low {low} of {k}/{n}");
            }
        }
    }
}
