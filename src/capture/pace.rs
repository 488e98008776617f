//! When a picture is due. Pure integer arithmetic on nanoseconds: no clock, no GStreamer here.
//!
//! ```text
//!   Timeline: stamps of one pass after the other ─► position, strictly growing over loops
//!   Schedule: position (or n-th tick of a fixed rate) + start + slipped ticks ─► due_ns
//! ```

pub(super) use crate::base::rate::Rate;

/// Positions in a source that is played over and over. Each pass is put where the one before it ended (its last
/// picture's stamp + duration), so a position never falls back and the loop has the length of the clip.
#[derive(Debug)]
pub(super) struct Timeline {
    period_ns: u64,
    pass_start_ns: u64,
    /// Stamp of this pass's first picture, in the source's own time.
    first_ns: Option<u64>,
    /// Where the next picture belongs if it says nothing better.
    next_ns: u64,
    /// The newest position that was given out.
    last_ns: Option<u64>,
}

impl Timeline {
    pub fn new(rate: Rate) -> Self {
        Timeline { period_ns: rate.period_ns(), pass_start_ns: 0, first_ns: None, next_ns: 0, last_ns: None }
    }

    /// The position of the next picture, from its stamp in the source's own time and its duration where it has them.
    /// A stamp that is missing or falls back (some AVI files) is replaced by one period after the last.
    pub fn place(&mut self, stamp_ns: Option<u64>, duration_ns: Option<u64>) -> u64 {
        let stamped = stamp_ns.map(|stamp_ns| {
            let first_ns = *self.first_ns.get_or_insert(stamp_ns);
            self.pass_start_ns.saturating_add(stamp_ns.saturating_sub(first_ns))
        });
        let position_ns = stamped.filter(|&at_ns| self.last_ns.is_none_or(|last_ns| at_ns > last_ns)).unwrap_or(self.next_ns);
        let duration_ns = duration_ns.filter(|&ns| ns > 0).unwrap_or(self.period_ns);
        self.next_ns = position_ns.saturating_add(duration_ns);
        self.last_ns = Some(position_ns);
        position_ns
    }

    /// The source starts again from its beginning.
    pub fn wrap(&mut self) {
        self.pass_start_ns = self.next_ns;
        self.first_ns = None;
    }
}

/// What is released when, counted from the first picture that was pulled.
#[derive(Debug)]
pub(super) struct Schedule {
    rate: Rate,
    /// Release by ticks of `rate`; else by position.
    fixed: bool,
    start_ns: Option<u64>,
    /// Pictures that were given a due time.
    count: u64,
    /// Ticks that were given up because nothing was there to show.
    slipped: u64,
    lateness: Lateness,
}

/// How late a picture may be and still be shown. A machine that stood still for a moment is caught up with, picture by
/// picture; one that cannot keep up is not, because its delay would only grow.
///
/// ```text
///   Patient: up to 2 periods on time; up to LATE_NS tolerated, for at most CATCH_UP_NS at a stretch
///      │ later, or late for longer                        ▲ CATCH_UP_NS without a skip
///      ▼                                                  │
///   Strict: more than 2 periods late is too late ─────────┘
/// ```
#[derive(Debug)]
pub struct Lateness {
    on_time_ns: u64,
    late_since_ns: Option<u64>,
    strict_until_ns: u64,
}

impl Lateness {
    /// Lateness that is worth catching up with.
    pub const LATE_NS: u64 = 100_000_000;
    const CATCH_UP_NS: u64 = 1_000_000_000;
    const ON_TIME_PERIODS: u64 = 2;

    pub fn new(period_ns: u64) -> Self {
        Lateness { on_time_ns: Self::ON_TIME_PERIODS * period_ns, late_since_ns: None, strict_until_ns: 0 }
    }

    /// Whether what was due at `due_ns` is to be skipped now. Asked once for each picture.
    pub fn is_too_late(&mut self, now_ns: u64, due_ns: u64) -> bool {
        let late_ns = now_ns.saturating_sub(due_ns);
        if late_ns <= self.on_time_ns {
            self.late_since_ns = None;
            return false;
        }
        let since_ns = *self.late_since_ns.get_or_insert(now_ns);
        let is_tolerated = late_ns <= Self::LATE_NS && now_ns >= self.strict_until_ns && now_ns - since_ns <= Self::CATCH_UP_NS;
        if !is_tolerated {
            self.strict_until_ns = now_ns + Self::CATCH_UP_NS;
        }
        !is_tolerated
    }
}

impl Schedule {
    pub fn new(rate: Rate, fixed: bool) -> Self {
        Schedule { rate, fixed, start_ns: None, count: 0, slipped: 0, lateness: Lateness::new(rate.period_ns()) }
    }

    pub fn period_ns(&self) -> u64 {
        self.rate.period_ns()
    }

    /// When the next picture, at `position_ns`, is due; the first one ever is due `now_ns`.
    pub fn next_due_ns(&mut self, now_ns: u64, position_ns: u64) -> u64 {
        self.start_ns.get_or_insert(now_ns);
        self.count += 1;
        self.due_ns(position_ns)
    }

    fn due_ns(&self, position_ns: u64) -> u64 {
        let from_start_ns = if self.fixed {
            self.rate.tick_ns(self.count - 1 + self.slipped)
        } else {
            position_ns.saturating_add(self.rate.tick_ns(self.slipped))
        };
        self.start_ns.unwrap_or(0).saturating_add(from_start_ns)
    }

    pub fn is_too_late(&mut self, now_ns: u64, due_ns: u64) -> bool {
        self.lateness.is_too_late(now_ns, due_ns)
    }

    /// Moves the whole schedule on by as many ticks as the newest picture is late. Returns its new due time (less than
    /// a period before `now_ns`) and the number of ticks that were lost.
    pub fn slip(&mut self, now_ns: u64, due_ns: u64, position_ns: u64) -> (u64, u64) {
        let lost = self.rate.ticks_in(now_ns.saturating_sub(due_ns));
        self.slipped += lost;
        (self.due_ns(position_ns), lost)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_hour_at_59_94_ends_on_the_nanosecond() {
        let rate = Rate::parse("59.94").unwrap();
        let mut schedule = Schedule::new(rate, true);
        let mut due = 0;
        for _ in 0..=60_000 * 36 / 10 {
            due = schedule.next_due_ns(7, 0);
        }
        // 216,000 ticks of 1001/60000 s.
        assert_eq!(due, 7 + 3_603_600_000_000);
    }

    #[test]
    fn a_loop_continues_where_the_pass_ended() {
        let mut timeline = Timeline::new(Rate::new(25, 1).unwrap());
        let mut seen = Vec::new();
        for _ in 0..2 {
            for stamp in [80, 120, 160u64] {
                seen.push(timeline.place(Some(stamp * 1_000_000), Some(40_000_000)) / 1_000_000);
            }
            timeline.wrap();
        }
        assert_eq!(seen, [0, 40, 80, 120, 160, 200]);
    }

    #[test]
    fn a_stall_slips_whole_ticks_and_stays_on_the_grid() {
        let rate = Rate::new(50, 1).unwrap();
        let mut schedule = Schedule::new(rate, true);
        assert_eq!(schedule.next_due_ns(1_000, 0), 1_000);
        let due = schedule.next_due_ns(1_000, 0);
        let now = due + 115_000_000;
        assert!(!schedule.is_too_late(due + 100_000_000, due) && schedule.is_too_late(now, due));
        assert_eq!(schedule.slip(now, due, 0), (due + 100_000_000, 5));
        assert_eq!(schedule.next_due_ns(now, 0), due + 120_000_000);
    }

    const MS: u64 = 1_000_000;

    #[test]
    fn a_stall_is_caught_up_with_and_a_machine_that_is_too_slow_is_not() {
        let mut lateness = Lateness::new(16 * MS);
        // A stall of 90 ms, then each picture is less late than the one before it: nothing is skipped.
        for (n, late_ms) in [0u64, 90, 78, 66, 54, 42, 30, 18, 6, 0].into_iter().enumerate() {
            let now = 1_000 * MS + n as u64 * 5 * MS;
            assert!(!lateness.is_too_late(now, now - late_ms * MS), "{late_ms}");
        }
        // Half a period more with every picture: the delay ends at 100 ms, and after that it stays small.
        let (mut now, mut late_ms, mut worst, mut skips) = (5_000 * MS, 0u64, 0, 0);
        for n in 0..200 {
            if lateness.is_too_late(now, now - late_ms * MS) {
                skips += 1;
                late_ms = 0;
            }
            worst = if n < 20 { 0 } else { worst.max(late_ms) };
            now += 24 * MS;
            late_ms += 8;
        }
        assert!(worst <= 32 && skips > 30, "{worst} ms, {skips} skips");
        // A second and a half of peace, and it is patient again.
        now += 1_500 * MS;
        assert!(!lateness.is_too_late(now, now) && !lateness.is_too_late(now, now - 80 * MS));
        // Late for more than a second at a stretch (a display that is as fast as the source): it gives up.
        let skipped_at = (0..200).find(|n| lateness.is_too_late(now + n * 16 * MS, now + n * 16 * MS - 80 * MS));
        assert_eq!(skipped_at, Some(63));
    }

    proptest! {
        /// No skip before 100 ms, none kept beyond it, whatever the stalls; what is on time is never skipped.
        #[test]
        fn only_what_is_late_is_skipped(period_ms in 1u64..100, lates_ms in proptest::collection::vec((0u64..200, 1u64..2_000), 1..100)) {
            let mut lateness = Lateness::new(period_ms * MS);
            let (mut now, mut last_skip) = (10_000 * MS, None);
            let mut late_since = None;
            for (late_ms, step_ms) in lates_ms {
                now += step_ms * MS;
                let skip = lateness.is_too_late(now, now - late_ms * MS);
                let on_time = late_ms <= 2 * period_ms;
                if on_time { late_since = None; prop_assert!(!skip); } else {
                    let since = *late_since.get_or_insert(now);
                    if late_ms > 100 { prop_assert!(skip); }
                    else if last_skip.is_none_or(|at| now >= at + 1_000 * MS) && now - since <= 1_000 * MS { prop_assert!(!skip); }
                }
                if skip { last_skip = Some(now); }
            }
        }

        #[test]
        fn positions_grow_whatever_the_stamps_say(
            stamps in proptest::collection::vec((proptest::option::of(any::<u32>()), proptest::option::of(0u64..1_000_000_000), any::<bool>()), 1..200)) {
            let mut timeline = Timeline::new(Rate::FALLBACK);
            let mut last = None;
            for (stamp, duration, wrap) in stamps {
                if wrap { timeline.wrap(); }
                let position = timeline.place(stamp.map(u64::from), duration);
                prop_assert!(last.is_none_or(|last| position > last), "{position} after {last:?}");
                last = Some(position);
            }
        }

        /// Every tick is either a picture or counted as lost, and a slip lands less than a period before now.
        #[test]
        fn slips_account_for_every_tick(num in 1u32..240_000, den in 1u32..2_000, stalls in proptest::collection::vec(0u64..400_000_000, 1..60)) {
            let Some(rate) = Rate::new(num, den) else { return Ok(()); };
            let mut schedule = Schedule::new(rate, true);
            let (mut now, mut lost_total, start) = (5u64, 0, 5 + stalls[0]);
            for (n, stall) in stalls.into_iter().enumerate() {
                now += stall;
                let mut due = schedule.next_due_ns(now, 0);
                if schedule.is_too_late(now, due) {
                    let lost;
                    (due, lost) = schedule.slip(now, due, 0);
                    lost_total += lost;
                    prop_assert!(due <= now + 1 && now - due.min(now) <= rate.period_ns() + 1, "{due} {now}");
                }
                prop_assert_eq!(due, start + rate.tick_ns(n as u64 + lost_total));
            }
        }
    }
}
