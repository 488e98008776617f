//! A moment as RFC 3339 writes it, and how far two lie apart. Nothing here reads a clock.

use serde::{Deserialize, Serialize};
use std::fmt;

pub const DAY_S: f64 = 86_400.0;

/// "2026-11-22T17:04:18Z", "2026-11-22T18:04:18.250+01:00". Orders by time, then by how it was written.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Stamp {
    /// Since 1970-01-01T00:00:00Z, s.
    unix_s: f64,
    text: String,
}

impl Stamp {
    pub fn parse(text: &str) -> Option<Stamp> {
        let bytes = text.as_bytes();
        let is_ascii_shape = text.is_ascii() && bytes.len() >= 20 && [bytes[4], bytes[7], bytes[13], bytes[16]] == *b"--::";
        if !is_ascii_shape || !matches!(bytes[10], b'T' | b't') {
            return None;
        }
        let number = |from: usize, to: usize| -> Option<i64> {
            let digits = &text[from..to];
            digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse().ok()).flatten()
        };
        let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
        let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
        // 60: a leap second.
        if !(1..=12).contains(&month) || !(1..=days_in(year, month)).contains(&day) || hour > 23 || minute > 59 || second > 60 {
            return None;
        }
        let rest = &text[19..];
        let digits = rest.strip_prefix('.').map_or(0, |part| part.bytes().take_while(u8::is_ascii_digit).count());
        if rest.starts_with('.') && !(1..=9).contains(&digits) {
            return None;
        }
        let (part, zone) = rest.split_at(if digits > 0 { digits + 1 } else { 0 });
        let part: f64 = if part.is_empty() { 0.0 } else { format!("0{part}").parse().ok()? };
        let seconds = days_from_civil(year, month, day) * 86_400 + hour * 3_600 + minute * 60 + second - offset_s(zone)?;
        Some(Stamp { unix_s: seconds as f64 + part, text: text.to_owned() })
    }

    pub fn from_unix_s(seconds: i64) -> Stamp {
        let (days, of_day) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
        let (year, month, day) = civil_from_days(days);
        let text = format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z", of_day / 3_600, of_day / 60 % 60, of_day % 60);
        Stamp { unix_s: seconds as f64, text }
    }

    pub fn unix_s(&self) -> f64 {
        self.unix_s
    }

    /// Days from `earlier` to this; negative where it is the later one.
    pub fn days_since(&self, earlier: &Stamp) -> f64 {
        (self.unix_s - earlier.unix_s) / DAY_S
    }

    /// For a file's name, in UTC, sorting by time: "20261122T170418Z".
    pub fn compact(&self) -> String {
        Stamp::from_unix_s(self.unix_s.floor() as i64).text.replace(['-', ':'], "")
    }

    /// For people, in UTC: "2026-11-22 17:04 UTC".
    pub fn words(&self) -> String {
        let text = Stamp::from_unix_s(self.unix_s.floor() as i64).text;
        format!("{} {} UTC", &text[..10], &text[11..16])
    }
}

fn offset_s(zone: &str) -> Option<i64> {
    if matches!(zone, "Z" | "z") {
        return Some(0);
    }
    let sign = match zone.as_bytes().first()? {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let (hours, minutes) = zone[1..].split_once(':')?;
    let two =
        |digits: &str| (digits.len() == 2 && digits.bytes().all(|b| b.is_ascii_digit())).then(|| digits.parse::<i64>().ok()).flatten();
    let (hours, minutes) = (two(hours)?, two(minutes)?);
    (hours < 24 && minutes < 60).then_some(sign * (hours * 3_600 + minutes * 60))
}

fn days_in(year: i64, month: i64) -> i64 {
    let (next_year, next_month) = if month == 12 { (year + 1, 1) } else { (year, month + 1) };
    days_from_civil(next_year, next_month, 1) - days_from_civil(year, month, 1)
}

/// Days since 1970-01-01 in the Gregorian calendar; years begin in March, so that a leap day is the last one.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let (era, of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * of_year + 2) / 153;
    let (day, month) = (of_year - (153 * shifted + 2) / 5 + 1, if shifted < 10 { shifted + 3 } else { shifted - 9 });
    (era * 400 + year_of_era + i64::from(month <= 2), month, day)
}

impl fmt::Display for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl TryFrom<String> for Stamp {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        Stamp::parse(&text).ok_or_else(|| format!("'{text}' is no time: write it as 2026-11-22T17:04:18Z (RFC 3339)"))
    }
}

impl From<Stamp> for String {
    fn from(stamp: Stamp) -> String {
        stamp.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn moments_are_read_as_the_rfc_writes_them() {
        for (text, unix_s) in [
            ("1970-01-01T00:00:00Z", 0.0),
            ("2000-02-29T12:00:00Z", 951_825_600.0),
            ("1985-04-12T23:20:50.52Z", 482_196_050.52),
            ("1996-12-19T16:39:57-08:00", 851_042_397.0),
            ("2026-11-22T18:04:18+01:00", 1_795_367_058.0),
        ] {
            assert_eq!(Stamp::parse(text).unwrap().unix_s(), unix_s, "{text}");
        }
        for text in [
            "",
            "2026-11-22",
            "2026-11-22T17:04:18",
            "2026-11-22 17:04:18Z",
            "2026-02-29T00:00:00Z",
            "2026-13-01T00:00:00Z",
            "2026-11-22T24:00:00Z",
            "2026-11-22T17:04:18.Z",
            "2026-11-22T17:04:18+1:00",
            "2026-11-22T17:04:1éZ",
            "+026-11-22T17:04:18Z",
        ] {
            assert_eq!(Stamp::parse(text), None, "{text}");
        }
        let stamp = Stamp::parse("2026-11-22T18:04:18.9+01:00").unwrap();
        assert_eq!((stamp.compact().as_str(), stamp.words().as_str()), ("20261122T170418Z", "2026-11-22 17:04 UTC"));
        assert_eq!(stamp.days_since(&Stamp::parse("2026-11-23T17:04:18.9Z").unwrap()), -1.0);
        assert_eq!(serde_json::to_string(&stamp).unwrap(), "\"2026-11-22T18:04:18.9+01:00\"");
        assert!(serde_json::from_str::<Stamp>("\"today\"").unwrap_err().to_string().contains("RFC 3339"));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(seconds in -60_000_000_000i64..200_000_000_000) {
            let stamp = Stamp::from_unix_s(seconds);
            prop_assert_eq!(Stamp::parse(&stamp.to_string()).map(|stamp| stamp.unix_s()), Some(seconds as f64));
        }

        #[test]
        fn no_text_makes_the_parser_panic(text in "\\PC{0,40}", shaped in "[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}[-+.Z0-9:é]{0,8}") {
            let _ = (Stamp::parse(&text), Stamp::parse(&shaped));
        }
    }
}
