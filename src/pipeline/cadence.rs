//! Frames that come at one rate, on a monitor that takes them at another. Two clocks that are not locked slip against each
//! other: where the monitor is faster a frame stands for two refreshes now and then (a cadence repeat), where it is slower
//! a frame is left out now and then (a rate slip). Neither is a fault, both are counted.
//!
//! ```text
//!   captured   |a    |b    |c    |d    |e        at each turn: one frame waits ──► it is shown at the tick
//!   ticks     ┆    ┆    ┆    ┆    ┆    ┆                       none waits      ──► the one before is shown again
//!   shown     ┆a   ┆b   ┆c   ┆c   ┆d   ┆e                      one more waits, for longer than jitter lasts
//!                                                                             ──► the older is left out
//! ```
//! A turn is taken as late before its tick as composing allows, so that the frame carries the freshest scene.

use crate::base::stats::Delays;
use crate::display::Refresh;

/// A second frame that waits for so long is no jitter: the source is faster.
const JITTER_NS: u64 = 100_000_000;
/// Time for a turn's work beyond the worst of late.
const MARGIN_NS: u64 = 1_000_000;
/// How fast the worst of late is forgotten, a turn.
const FORGET: u64 = 128;

#[derive(Debug)]
pub struct Cadence {
    /// As the output last saw it: a monitor's clock drifts against ours.
    pub refresh: Refresh,
    /// What a turn's work took at worst, slowly forgotten.
    work_ns: u64,
    /// How long a second frame may wait.
    patience_ns: u64,
    backlog_since_ns: Option<u64>,
    last_done_ns: Option<u64>,
    counts: CadenceCounts,
    wait: Delays,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CadenceCounts {
    pub repeats: u64,
    pub rate_slip: u64,
    /// Ticks that passed without a turn, because a turn came too late for its own.
    pub missed: u64,
}

impl Cadence {
    /// `fps`: the source's rate.
    pub fn new(refresh: Refresh, fps: f64) -> Self {
        let is_much_faster = fps > 1.3 * refresh.rate.per_second();
        Cadence {
            refresh,
            work_ns: 2_000_000,
            patience_ns: if is_much_faster { 0 } else { JITTER_NS },
            backlog_since_ns: None,
            last_done_ns: None,
            counts: CadenceCounts::default(),
            wait: Delays::default(),
        }
    }

    /// When the next turn is to be taken, ns: as long before the next tick as its work takes.
    pub fn turn_ns(&self, now_ns: u64) -> u64 {
        let tick_ns = self.refresh.next_ns(now_ns);
        let ahead_ns = (self.work_ns + MARGIN_NS).min(self.refresh.period_ns() * 3 / 4);
        tick_ns - ahead_ns.min(tick_ns)
    }

    /// Is the oldest frame to be left out, where `waiting` wait at a turn?
    pub fn must_slip(&mut self, now_ns: u64, waiting: usize) -> bool {
        if waiting < 2 {
            self.backlog_since_ns = None;
            return false;
        }
        let since_ns = *self.backlog_since_ns.get_or_insert(now_ns);
        let slips = now_ns.saturating_sub(since_ns) >= self.patience_ns;
        if slips {
            self.backlog_since_ns = None;
            self.counts.rate_slip += 1;
        }
        slips
    }

    /// Is the source so much faster that frames are to be left out as they come, not only at a turn?
    pub fn is_flooded(&self, waiting: usize) -> bool {
        self.patience_ns == 0 && waiting >= 2
    }

    /// A turn was taken: a present completed at `done_ns`, of a new frame (its capture stamp) or of the one before again.
    /// `worked_ns`: from the turn's begin until the picture was ready for its tick.
    pub fn turned(&mut self, done_ns: u64, worked_ns: u64, captured_ns: Option<u64>) {
        if let Some(last_ns) = self.last_done_ns {
            let period_ns = self.refresh.period_ns();
            let ticks = (done_ns.saturating_sub(last_ns) + period_ns / 2) / period_ns;
            self.counts.missed += ticks.saturating_sub(1);
        }
        self.last_done_ns = Some(done_ns);
        self.work_ns = worked_ns.max(self.work_ns - self.work_ns / FORGET);
        match captured_ns {
            Some(captured_ns) => self.wait.record_ns(done_ns.saturating_sub(captured_ns)),
            None => self.counts.repeats += 1,
        }
    }

    pub fn into_parts(self) -> (Refresh, CadenceCounts, Delays) {
        (self.refresh, self.counts, self.wait)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rate::Rate;
    use proptest::prelude::*;
    use std::collections::VecDeque;

    struct Played {
        shown: u64,
        lost: u64,
        counts: CadenceCounts,
        worst_wait_ns: u64,
        left: u64,
    }

    /// Plays `seconds` of a source on a monitor, event by event.
    fn play(source: Rate, monitor: Rate, phase_ns: u64, jitter_ns: &[u64], seconds: u64) -> Played {
        let refresh = Refresh { rate: monitor, origin_ns: 0 };
        let mut cadence = Cadence::new(refresh, source.per_second());
        let (mut slot, mut next_frame, mut now_ns) = (VecDeque::new(), 0u64, 0u64);
        let (mut shown, mut lost, mut worst_wait_ns) = (0, 0, 0);
        let arrival = |n: u64| phase_ns + source.tick_ns(n) + jitter_ns[n as usize % jitter_ns.len()];
        while now_ns < seconds * 1_000_000_000 {
            let turn_ns = cadence.turn_ns(now_ns).max(now_ns);
            while arrival(next_frame) <= turn_ns {
                slot.push_back(arrival(next_frame));
                next_frame += 1;
                if cadence.is_flooded(slot.len()) && cadence.must_slip(turn_ns, slot.len()) {
                    slot.pop_front();
                }
                if slot.len() > 2 {
                    slot.pop_front();
                    lost += 1;
                }
            }
            if cadence.must_slip(turn_ns, slot.len()) {
                slot.pop_front();
            }
            let frame = slot.pop_front();
            let done_ns = refresh.next_ns(turn_ns);
            if let Some(captured_ns) = frame {
                shown += 1;
                worst_wait_ns = worst_wait_ns.max(done_ns - captured_ns);
            }
            cadence.turned(done_ns, 1_500_000, frame);
            now_ns = done_ns;
        }
        let left = slot.len() as u64;
        let (_, counts, _) = cadence.into_parts();
        assert_eq!(next_frame, shown + lost + counts.rate_slip + left);
        Played { shown, lost, counts, worst_wait_ns, left }
    }

    fn rate(text: &str) -> Rate {
        Rate::parse(text).unwrap()
    }

    #[test]
    fn fifty_on_sixty_repeats_each_fifth_frame_and_slips_none() {
        let played = play(rate("50"), rate("60"), 3_000_000, &[0], 10);
        assert_eq!((played.lost, played.counts.rate_slip, played.counts.missed), (0, 0, 0));
        assert!(played.counts.repeats.abs_diff(100) <= 1 && played.shown.abs_diff(500) <= 1, "{} {}", played.counts.repeats, played.shown);
        assert!(played.worst_wait_ns < 2 * 16_700_000 && played.left <= 1);
    }

    #[test]
    fn ntsc_on_sixty_repeats_one_in_a_thousand_and_the_other_way_slips_as_many() {
        let slower = play(rate("59.94"), rate("60"), 5_000_000, &[0], 100);
        assert_eq!((slower.lost, slower.counts.rate_slip), (0, 0));
        assert!(slower.counts.repeats.abs_diff(6) <= 1, "{}", slower.counts.repeats);
        let faster = play(rate("60"), rate("59.94"), 5_000_000, &[0], 100);
        assert_eq!((faster.lost, faster.counts.repeats.min(1)), (0, faster.counts.repeats));
        assert!(faster.counts.rate_slip.abs_diff(6) <= 1, "{}", faster.counts.rate_slip);
    }

    #[test]
    fn twice_as_fast_a_source_slips_every_other_frame() {
        let played = play(rate("120"), rate("60"), 1_000_000, &[0], 10);
        assert_eq!(played.lost, 0);
        assert!(played.counts.rate_slip.abs_diff(600) <= 2, "{}", played.counts.rate_slip);
    }

    proptest! {
        /// Whatever the rates, the phase and the jitter (below half a period): nothing is lost, and no frame waits for long.
        #[test]
        fn slips_and_repeats_are_the_difference_of_the_rates(
            source in 24_000u32..62_000, phase_ns in 0u64..16_000_000, jitter_ns in proptest::collection::vec(0u64..4_000_000, 1..50)) {
            let (source, monitor) = (Rate::new(source, 1_000).unwrap_or(Rate::FALLBACK), rate("60"));
            let played = play(source, monitor, phase_ns, &jitter_ns, 20);
            prop_assert_eq!(played.lost + played.counts.missed, 0);
            let (come, taken) = (20.0 * source.per_second(), 20.0 * monitor.per_second());
            // Jitter around the crossing may pair a repeat with a slip.
            let slack = 4 + u64::from((come - taken).abs() < 100.0) * 80;
            prop_assert!(played.counts.rate_slip <= (come - taken).max(0.0) as u64 + slack);
            prop_assert!(played.counts.repeats <= (taken - come).max(0.0) as u64 + slack);
            prop_assert!(played.worst_wait_ns <= 3 * 16_666_667 + 4_000_000);
        }
    }
}
