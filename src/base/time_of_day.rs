//! A stamp of the monotonic clock as people read it: hours, minutes and seconds of the place where the appliance stands.
//! For the screen alone: everything else is stamped in nanoseconds.

use crate::base::clock::wall_ns;
use std::fmt;

/// Seconds since midnight.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TimeOfDay(pub u32);

impl TimeOfDay {
    /// When `at_ns` was, now being `now_ns` (both CLOCK_MONOTONIC), by the system's clock as it stands now.
    pub fn of(at_ns: u64, now_ns: u64) -> Self {
        let ago_ns = now_ns.saturating_sub(at_ns) as i64;
        let at_s = wall_ns().saturating_sub(ago_ns).div_euclid(1_000_000_000);
        // SAFETY: all fields are plain numbers and a pointer that may be null: zero is a value of each.
        let mut local: libc::tm = unsafe { std::mem::zeroed() };
        // SAFETY: both point to living values of the right types; localtime_r keeps neither.
        let is_known = unsafe { !libc::localtime_r(&at_s, &mut local).is_null() };
        // A year that the library cannot hold: Greenwich's time of the day.
        if is_known { Self::new(local.tm_hour, local.tm_min, local.tm_sec) } else { TimeOfDay(at_s.rem_euclid(86_400) as u32) }
    }

    fn new(hours: i32, minutes: i32, seconds: i32) -> Self {
        TimeOfDay((hours * 3_600 + minutes * 60 + seconds).clamp(0, 86_400) as u32)
    }
}

impl fmt::Display for TimeOfDay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02}:{:02}:{:02}", self.0 / 3_600, self.0 / 60 % 60, self.0 % 60)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_written_as_a_clock_shows_it_and_goes_as_fast() {
        assert_eq!(TimeOfDay::new(14, 3, 9).to_string(), "14:03:09");
        let [then, now] = [5, 15].map(|at_s| TimeOfDay::of(at_s * 1_000_000_000, 15_000_000_000));
        let apart = (now.0 + 86_400 - then.0) % 86_400;
        assert!((10..=13).contains(&apart), "{then} {now}");
    }
}
