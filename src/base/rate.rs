//! Pictures a second as a fraction: of a source, of a monitor.

use serde::Deserialize;

const SECOND_NS: u128 = 1_000_000_000;

/// Pictures a second, as a fraction, so that no rounding adds up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Rate {
    num: u32,
    den: u32,
}

impl Rate {
    /// What is assumed where a source does not say.
    pub const FALLBACK: Rate = Rate { num: 25, den: 1 };

    /// None if it is not between 1 and 1000 pictures a second.
    pub fn new(num: u32, den: u32) -> Option<Self> {
        (den > 0 && num >= den && u64::from(num) <= 1000 * u64::from(den)).then_some(Rate { num, den })
    }

    /// `60`, `29.97` (meaning 30000/1001, as everywhere in video), `12.5`, `30000/1001`.
    pub fn parse(text: &str) -> Option<Self> {
        let ntsc = match text {
            "23.976" | "23.98" => Some(24),
            "29.97" => Some(30),
            "59.94" => Some(60),
            "119.88" => Some(120),
            _ => None,
        };
        if let Some(nominal) = ntsc {
            return Rate::new(nominal * 1000, 1001);
        }
        let digits =
            |text: &str| (!text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())).then(|| text.parse::<u32>().ok()).flatten();
        if let Some((num, den)) = text.split_once('/') {
            return Rate::new(digits(num)?, digits(den)?);
        }
        match text.split_once('.') {
            None => Rate::new(digits(text)?, 1),
            Some((whole, part)) if part.len() <= 3 => {
                let den = 10u32.pow(part.len() as u32);
                Rate::new(digits(whole)?.checked_mul(den)?.checked_add(digits(part)?)?, den)
            }
            Some(_) => None,
        }
    }

    /// The rate at which pictures lie `period_ns` apart.
    pub fn from_period_ns(period_ns: u64) -> Option<Self> {
        Rate::new(SECOND_NS as u32, u32::try_from(period_ns).ok()?)
    }

    /// Numerator and denominator, as they were given.
    pub fn fraction(self) -> (u32, u32) {
        (self.num, self.den)
    }

    pub fn per_second(self) -> f64 {
        f64::from(self.num) / f64::from(self.den)
    }

    /// Start of tick `n`, rounded down: `n` may be as large as it likes, the error stays below 1 ns.
    pub fn tick_ns(self, n: u64) -> u64 {
        u64::try_from(u128::from(n) * SECOND_NS * u128::from(self.den) / u128::from(self.num)).unwrap_or(u64::MAX)
    }

    pub fn period_ns(self) -> u64 {
        self.tick_ns(1)
    }

    /// Whole ticks that fit into `ns`.
    pub fn ticks_in(self, ns: u64) -> u64 {
        u64::try_from(u128::from(ns) * u128::from(self.num) / (SECOND_NS * u128::from(self.den))).unwrap_or(u64::MAX)
    }
}

impl TryFrom<String> for Rate {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        Rate::parse(&text).ok_or_else(|| format!("'{text}' is no rate: write it as '60', '59.94' or '60000/1001'"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_read_exactly() {
        for (text, num, den) in
            [("60", 60, 1), ("29.97", 30000, 1001), ("59.94", 60000, 1001), ("30000/1001", 30000, 1001), ("12.5", 125, 10)]
        {
            assert_eq!(Rate::parse(text), Some(Rate { num, den }), "{text}");
        }
        for text in ["", "0", "0.5", "1001", "-1", "+60", "60/0", "nan", "1.23456", "99999999999", "60 "] {
            assert_eq!(Rate::parse(text), None, "{text}");
        }
    }
}
