//! Does what the AI says come in time to be shown? A single late answer is hidden and no more; an AI whose answers all come too late
//! is there in name alone, which is a state with a reason. Pure: ages and times come in.
//!
//! ```text
//!   in time ── LATE answers in a row too late, over LATE_NS ──► slow
//!      ▲                                                          │
//!      └────── none too late for CALM_NS, and one in time ────────┘
//! ```

/// So many late answers in a row …
const LATE: u32 = 3;
/// … over so long are an AI that is too slow.
const LATE_NS: u64 = 500_000_000;
/// As long as this none may be late before it counts as in time again.
const CALM_NS: u64 = 500_000_000;

#[derive(Debug, Default)]
pub struct Freshness {
    /// Late ones in a row, and when the first and the last of them came, ns.
    late: u32,
    first_late_ns: u64,
    last_late_ns: u64,
    is_slow: bool,
}

impl Freshness {
    /// An answer has come, too late to be shown or not.
    pub fn answer(&mut self, now_ns: u64, is_late: bool) {
        if is_late {
            if self.late == 0 {
                self.first_late_ns = now_ns;
            }
            self.late = self.late.saturating_add(1);
            self.last_late_ns = now_ns;
            self.is_slow |= self.late >= LATE && now_ns.saturating_sub(self.first_late_ns) >= LATE_NS;
        } else {
            self.late = 0;
            self.is_slow &= now_ns.saturating_sub(self.last_late_ns) < CALM_NS;
        }
    }

    pub fn is_slow(&self) -> bool {
        self.is_slow
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MS: u64 = 1_000_000;

    #[test]
    fn answers_that_all_come_too_late_are_a_slow_ai_and_one_that_is_late_is_not() {
        let mut fresh = Freshness::default();
        let mut at_ms = 0;
        let mut come = |each_ms: u64, is_late: bool| {
            at_ms += each_ms;
            fresh.answer(at_ms * MS, is_late);
            fresh.is_slow()
        };
        assert!(![true, false, true, true, false].map(|is_late| come(17, is_late)).contains(&true), "a moment");
        assert_eq!([true; 4].map(|_| come(300, true)), [false, false, true, true]);
        // 60 a second, in time again.
        let back = (0..60).position(|_| !come(17, false)).unwrap();
        assert_eq!(back, 29, "after half a second without a late one");
        assert!(!come(17, true), "one more changes nothing");
    }

    proptest! {
        /// Whatever was before: half a second of answers in time, and it is in time; half a second and three of late ones, and it is slow.
        #[test]
        fn it_is_what_the_last_moment_was(before in proptest::collection::vec((1u64..400, any::<bool>()), 0..60), is_late: bool) {
            let (mut fresh, mut at_ms) = (Freshness::default(), 0);
            for (step_ms, is_late) in before {
                at_ms += step_ms;
                fresh.answer(at_ms * MS, is_late);
            }
            for _ in 0..12 {
                at_ms += 50;
                fresh.answer(at_ms * MS, is_late);
            }
            prop_assert_eq!(fresh.is_slow(), is_late);
        }
    }
}
