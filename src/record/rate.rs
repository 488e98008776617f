//! Full rate, or every second or fourth picture: an encoder that cannot keep up gets fewer pictures at a steady beat
//! instead of losing them at random. Decided here, pure; counted by whoever asks.

/// So many pictures refused within `WINDOW_NS` halve the rate: fewer are gaps, in a recording that is better whole than steady.
/// A moment in which everything starts, or the machine stands still, refuses fewer.
const REFUSED: u32 = 10;
const WINDOW_NS: u64 = 1_000_000_000;
/// After so long without a refusal the next higher rate is tried; twice as long after each try that failed.
const CALM_NS: u64 = 5_000_000_000;
const LONGEST_CALM_NS: u64 = 32 * CALM_NS;
/// A try has failed if a refusal halves the rate again within this time.
const TRIAL_NS: u64 = 5_000_000_000;
const MOST: u32 = 4;

#[derive(Debug, Clone)]
pub struct Rate {
    /// One in so many pictures is recorded: 1, 2 or 4.
    step: u32,
    turn: u32,
    refused: u32,
    window_ns: u64,
    /// Since when nothing was refused at this rate.
    since_ns: u64,
    raised_ns: Option<u64>,
    calm_ns: u64,
}

impl Default for Rate {
    fn default() -> Self {
        Rate { step: 1, turn: 0, refused: 0, window_ns: 0, since_ns: 0, raised_ns: None, calm_ns: CALM_NS }
    }
}

impl Rate {
    pub fn step(&self) -> u32 {
        self.step
    }

    /// Is this picture's turn? Asked once a picture.
    pub fn takes(&mut self, now_ns: u64) -> bool {
        if self.step > 1 && now_ns.saturating_sub(self.since_ns) >= self.calm_ns {
            self.step /= 2;
            self.raised_ns = Some(now_ns);
            self.since_ns = now_ns;
        }
        self.turn = (self.turn + 1) % self.step;
        self.turn == 0
    }

    /// The encoder had no room for a picture whose turn it was.
    pub fn refused(&mut self, now_ns: u64) {
        if now_ns.saturating_sub(self.window_ns) > WINDOW_NS {
            self.window_ns = now_ns;
            self.refused = 0;
        }
        self.refused += 1;
        self.since_ns = now_ns;
        if self.refused >= REFUSED && self.step < MOST {
            if self.raised_ns.take().is_some_and(|at| now_ns.saturating_sub(at) < TRIAL_NS) {
                self.calm_ns = (self.calm_ns * 2).min(LONGEST_CALM_NS);
            }
            self.step *= 2;
            self.refused = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const FRAME_NS: u64 = 16_666_667;

    /// Pictures recorded of `count`, by an encoder that takes one in `able`.
    fn play(rate: &mut Rate, from_ns: u64, count: u64, able: u64) -> u64 {
        let mut recorded = 0;
        let mut free_ns = 0;
        for n in 0..count {
            let now_ns = from_ns + n * FRAME_NS;
            if !rate.takes(now_ns) {
                continue;
            }
            if now_ns < free_ns {
                rate.refused(now_ns);
            } else {
                free_ns = now_ns + (able - 1) * FRAME_NS + 1;
                recorded += 1;
            }
        }
        recorded
    }

    #[test]
    fn an_encoder_with_half_the_power_gets_every_second_picture_and_full_rate_again_later() {
        let mut rate = Rate::default();
        assert_eq!(play(&mut rate, 0, 600, 1), 600);
        play(&mut rate, 10_000_000_000, 60, 2);
        assert_eq!(rate.step(), 2);
        let recorded = play(&mut rate, 11_000_000_000, 600, 2);
        assert!((298..=300).contains(&recorded), "a steady beat, and a try: {recorded}");
        let later_ns = 21_000_000_000 + 2 * CALM_NS;
        assert_eq!(play(&mut rate, later_ns, 600, 1), 600);
    }

    #[test]
    fn tries_that_fail_become_rare() {
        let mut rate = Rate::default();
        let ten_minutes = 36_000;
        let recorded = play(&mut rate, 0, ten_minutes, 2);
        assert!(recorded > ten_minutes / 2 - 200, "{recorded}");
        assert!(rate.calm_ns > 4 * CALM_NS);
    }

    #[test]
    fn a_burst_of_refusals_is_a_gap_and_no_lower_rate() {
        let mut rate = Rate::default();
        for burst in 0..5u64 {
            let start_ns = burst * 2_000_000_000;
            (0..60).for_each(|n| {
                let now_ns = start_ns + n * FRAME_NS;
                assert!(rate.takes(now_ns));
                if n < 9 {
                    rate.refused(now_ns);
                }
            });
        }
        assert_eq!(rate.step(), 1);
        (0..10).for_each(|n| rate.refused(20_000_000_000 + n * FRAME_NS));
        assert_eq!(rate.step(), 2);
        let mut now_ns = 20_000_000_000 + 9 * FRAME_NS;
        while rate.step() > 1 {
            now_ns += FRAME_NS;
            rate.takes(now_ns);
        }
        assert!((25_000_000_000..25_400_000_000).contains(&now_ns), "full rate again after {now_ns} ns");
    }

    proptest! {
        #[test]
        fn the_step_is_1_2_or_4_and_something_is_always_taken(refusals in proptest::collection::vec(any::<bool>(), 8..400)) {
            let mut rate = Rate::default();
            let mut missed = 0;
            for (n, refuse) in refusals.into_iter().enumerate() {
                let now_ns = n as u64 * FRAME_NS;
                missed = if rate.takes(now_ns) { 0 } else { missed + 1 };
                if missed == 0 && refuse {
                    rate.refused(now_ns);
                }
                prop_assert!(matches!(rate.step(), 1 | 2 | 4) && missed < 4);
            }
        }
    }
}
