//! When a monitor takes a new picture: ticks on a grid that nobody here can move.

use crate::base::rate::Rate;

/// A monitor's refresh: tick `n` lies at `origin_ns + n / rate`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refresh {
    pub rate: Rate,
    /// CLOCK_MONOTONIC of any one tick, ns.
    pub origin_ns: u64,
}

impl Refresh {
    pub fn period_ns(&self) -> u64 {
        self.rate.period_ns()
    }

    /// The number of the last tick at or before `ns`.
    pub fn tick_at(&self, ns: u64) -> u64 {
        let since_ns = ns.saturating_sub(self.origin_ns);
        // Ticks are rounded down to whole nanoseconds, so one may have begun that the division does not see.
        let tick = self.rate.ticks_in(since_ns);
        if self.rate.tick_ns(tick + 1) <= since_ns { tick + 1 } else { tick }
    }

    /// When tick `n` is, ns.
    pub fn tick_ns(&self, tick: u64) -> u64 {
        self.origin_ns + self.rate.tick_ns(tick)
    }

    /// The first tick after `now_ns`, ns.
    pub fn next_ns(&self, now_ns: u64) -> u64 {
        if now_ns < self.origin_ns { self.origin_ns } else { self.tick_ns(self.tick_at(now_ns) + 1) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_next_tick_is_ahead_by_one_period_at_most(num in 1_000u32..240_000, origin_ns in 0u64..1 << 40, after_ns in 0u64..1 << 50) {
            let refresh = Refresh { rate: Rate::new(num, 1001).unwrap_or(Rate::FALLBACK), origin_ns };
            let now_ns = origin_ns + after_ns;
            let next_ns = refresh.next_ns(now_ns);
            prop_assert!(next_ns > now_ns && next_ns - now_ns <= refresh.period_ns() + 1);
            prop_assert_eq!(refresh.tick_ns(refresh.tick_at(next_ns)), next_ns);
            prop_assert_eq!(refresh.tick_at(next_ns - 1) + 1, refresh.tick_at(next_ns));
        }
    }
}
