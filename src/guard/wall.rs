//! Was the wall clock set? It is held against the monotonic one, which nobody can set: delays, ages and limits are counted by that
//! alone, but names of files, reports and the 30 days of a cable's proof carry the wall's time. Pure: both readings come in.

use std::fmt;

/// What the wall clock may move against the monotonic one between two looks: a leap second, and what a time service corrects at once.
const MOST_NS: u64 = 2_000_000_000;
/// Two readings that lie further apart say nothing of each other: whoever read them was kept waiting in between.
const READ_WITHIN_NS: u64 = 100_000_000;

/// The wall clock was set by so much, ns; negative: back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Jump {
    pub by_ns: i64,
}

impl fmt::Display for Jump {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (way, s) = (if self.by_ns < 0 { "back" } else { "forward" }, self.by_ns.unsigned_abs().div_ceil(500_000_000) / 2);
        write!(
            f,
            "the machine's clock was set {way} by {} h {:02} min {:02} s; delays, ages and this report's times are counted by another clock and are right",
            s / 3_600,
            s / 60 % 60,
            s % 60
        )
    }
}

/// Compares the two clocks, look after look.
#[derive(Debug, Default)]
pub struct WallWatch {
    /// Wall less monotonic at the last look, ns.
    apart_ns: Option<i64>,
}

impl WallWatch {
    /// `before_ns`, `after_ns`: the monotonic clock on both sides of reading the wall clock.
    pub fn look(&mut self, before_ns: u64, wall_ns: i64, after_ns: u64) -> Option<Jump> {
        if after_ns.saturating_sub(before_ns) > READ_WITHIN_NS {
            return None;
        }
        let apart_ns = wall_ns.saturating_sub_unsigned(before_ns);
        let by_ns = apart_ns.saturating_sub(self.apart_ns.replace(apart_ns)?);
        (by_ns.unsigned_abs() > MOST_NS).then_some(Jump { by_ns })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const S: i64 = 1_000_000_000;
    const WALL: i64 = 1_795_000_000 * S;

    #[test]
    fn a_clock_that_is_set_is_named_once_with_its_way_and_its_return_too() {
        let mut watch = WallWatch::default();
        let mut look = |at_s: u64, shift_s: i64| {
            let now_ns = at_s * S as u64;
            watch.look(now_ns, WALL + at_s as i64 * S + shift_s * S, now_ns + 1_000)
        };
        assert_eq!([look(1, 0), look(2, 1), look(3, 0)], [None; 3], "a leap second is no jump");
        let back = look(4, -7_200).unwrap();
        assert!(back.to_string().contains("set back by 2 h 00 min 00 s"), "{back}");
        assert_eq!([look(5, -7_200), look(6, -7_200)], [None; 2]);
        assert_eq!(look(7, 0), Some(Jump { by_ns: 7_200 * S }));
        assert!(look(8, 3_723).unwrap().to_string().contains("set forward by 1 h 02 min 03 s"));
        // A dead battery, and a clock that cannot be.
        assert!(look(9, -1_795_000_000).is_some() && look(10, i64::MAX / S - 1_795_000_000 - 11).is_some());
    }

    #[test]
    fn a_machine_that_stood_still_between_two_readings_set_nothing() {
        let mut watch = WallWatch::default();
        assert_eq!(watch.look(0, WALL, 10), None);
        assert_eq!(watch.look(S as u64, WALL + 9 * S, 9 * S as u64), None);
        assert_eq!(watch.look(10 * S as u64, WALL + 10 * S, 10 * S as u64 + 10), None);
    }

    proptest! {
        /// A clock that runs up to 0.05 % too fast or too slow, as a time service slews it, is never called set.
        #[test]
        fn a_clock_that_is_slewed_is_not_set(ppm in -500i64..=500, steps in proptest::collection::vec(1u64..2_000, 1..200)) {
            let (mut watch, mut at_ms) = (WallWatch::default(), 0u64);
            for step_ms in steps {
                at_ms += step_ms;
                let wall_ns = WALL + at_ms as i64 * (1_000_000 + ppm);
                prop_assert_eq!(watch.look(at_ms * 1_000_000, wall_ns, at_ms * 1_000_000), None);
            }
        }
    }
}
