//! A limit's number or numbers, and which of two bounds is the tighter one.

use serde::{Deserialize, Serialize};
use std::fmt;

/// Which side is bad.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Side {
    #[serde(rename = "at most")]
    AtMost,
    #[serde(rename = "at least")]
    AtLeast,
    #[serde(rename = "within")]
    Within,
}

/// The numbers as they stand in a file.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(untagged)]
pub(super) enum Numbers {
    One(f64),
    Two([f64; 2]),
}

/// Finite numbers; a range goes upwards.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Bound {
    AtMost(f64),
    AtLeast(f64),
    Within(f64, f64),
}

impl Bound {
    pub(super) fn of(side: Side, numbers: Numbers) -> Result<Bound, String> {
        let finite = |v: f64| if v.is_finite() { Ok(v) } else { Err(format!("{v} is no limit: a finite number is expected")) };
        match (side, numbers) {
            (Side::AtMost, Numbers::One(most)) => Ok(Bound::AtMost(finite(most)?)),
            (Side::AtLeast, Numbers::One(least)) => Ok(Bound::AtLeast(finite(least)?)),
            (Side::Within, Numbers::Two([low, high])) if low <= high => Ok(Bound::Within(finite(low)?, finite(high)?)),
            (Side::Within, _) => Err("two numbers are expected, the lower one first".to_owned()),
            (_, Numbers::Two(_)) => Err("one number is expected".to_owned()),
        }
    }

    /// Lowest and highest allowed.
    pub fn ends(self) -> (f64, f64) {
        match self {
            Bound::AtMost(most) => (f64::NEG_INFINITY, most),
            Bound::AtLeast(least) => (least, f64::INFINITY),
            Bound::Within(low, high) => (low, high),
        }
    }

    /// What is no number is never within a limit.
    pub fn holds(self, value: f64) -> bool {
        let (low, high) = self.ends();
        value.is_finite() && low <= value && value <= high
    }

    /// Everything that this one allows the other one allows too.
    pub fn is_within(self, other: Bound) -> bool {
        let ((low, high), (other_low, other_high)) = (self.ends(), other.ends());
        other_low <= low && high <= other_high
    }

    /// "at most 5.75 ms"
    pub fn words(self, unit: &str) -> String {
        let unit = if unit.is_empty() { String::new() } else { format!("\u{a0}{unit}") };
        format!("{self}{unit}")
    }
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Bound::AtMost(most) => write!(f, "at most {}", number(*most)),
            Bound::AtLeast(least) => write!(f, "at least {}", number(*least)),
            Bound::Within(low, high) => write!(f, "{} to {}", number(*low), number(*high)),
        }
    }
}

/// As few digits as say it: never more than four after the point.
pub fn number(value: f64) -> String {
    if !value.is_finite() {
        return "–".to_owned();
    }
    let digits = match value.abs() {
        size if size >= 1_000.0 => 0,
        size if size >= 100.0 => 1,
        size if size >= 1.0 => 2,
        _ => 4,
    };
    let text = format!("{value:.digits$}");
    let text = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    if text == "-0" { "0".to_owned() } else { text.replace('-', "−") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_bound_holds_up_to_its_own_number() {
        assert!(Bound::AtMost(5.75).holds(5.75) && !Bound::AtMost(5.75).holds(5.7501));
        assert!(Bound::AtLeast(500.0).holds(500.0) && !Bound::AtLeast(500.0).holds(499.0));
        assert!(Bound::Within(-0.5, 0.5).holds(-0.5) && !Bound::Within(-0.5, 0.5).holds(0.6));
        for bound in [Bound::AtMost(1.0), Bound::AtLeast(-1.0), Bound::Within(-1.0, 1.0)] {
            assert!(bound.holds(0.0) && !bound.holds(f64::NAN) && !bound.holds(f64::INFINITY) && !bound.holds(f64::NEG_INFINITY));
        }
    }

    #[test]
    fn bounds_and_numbers_are_said_in_words() {
        assert_eq!(Bound::AtMost(5.75).words("ms"), "at most 5.75\u{a0}ms");
        assert_eq!(Bound::Within(-0.5, 0.5).words(""), "−0.5 to 0.5");
        for (value, said) in [(0.0, "0"), (-0.00001, "0"), (0.125, "0.125"), (99.9, "99.9"), (123.456, "123.5"), (10_000.0, "10000")] {
            assert_eq!(number(value), said);
        }
        assert_eq!(number(f64::NAN), "–");
        assert_eq!([number(500.0), number(100.0), number(30.0)], ["500", "100", "30"]);
    }

    proptest! {
        /// The rule that a site's limit has to obey: what a tighter bound lets through, the wider one does too.
        #[test]
        fn what_holds_within_a_tighter_bound_holds_within_the_wider_one(a in -9.0f64..9.0, b in -9.0f64..9.0, c in -9.0f64..9.0, d in -9.0f64..9.0, value in -12.0f64..12.0) {
            let bounds = [Bound::AtMost(a), Bound::AtMost(b), Bound::AtLeast(c), Bound::AtLeast(d),
                Bound::Within(a.min(b), a.max(b)), Bound::Within(c.min(d), c.max(d))];
            for one in bounds {
                for other in bounds {
                    prop_assert!(!one.is_within(other) || !one.holds(value) || other.holds(value));
                }
                prop_assert!(one.is_within(one));
            }
        }
    }
}
