//! Do pictures come at the announced pace? Known after six intervals, long before `rate` can say which rate it is instead.
//! Pure arithmetic over stamps.
//!
//! | said | when six intervals in a row are |
//! | --- | --- |
//! | slow, fast | all longer, or all shorter, than the period by more than 12 % |
//! | irregular | none right, and at least three longer than one and a half periods |
//! | right again | all right |
//!
//! Pictures that come in a bunch after a stall make up for it: short intervals count only when nothing is left to make up.

const INTERVALS: usize = 6;
const OFF: f64 = 0.12;
const FAR_OFF: f64 = 0.5;
/// More than this is never made up.
const MOST_BEHIND_NS: f64 = 1e9;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tempo {
    Slow,
    Fast,
    Irregular,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Said {
    /// And so many came a second, over the six.
    Wrong(Tempo, f64),
    Right,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Interval {
    Right,
    Long {
        is_far: bool,
    },
    Short,
    /// Short, after a long one.
    MadeUp,
}

#[derive(Debug)]
pub(super) struct TempoWatch {
    period_ns: f64,
    last_ns: Option<u64>,
    /// The last ones, the newest first, and how long they took for each picture.
    intervals: [Option<(Interval, f64)>; INTERVALS],
    behind_ns: f64,
    is_wrong: bool,
}

impl TempoWatch {
    pub fn new(period_ns: u64) -> Self {
        TempoWatch { period_ns: period_ns.max(1) as f64, last_ns: None, intervals: [None; INTERVALS], behind_ns: 0.0, is_wrong: false }
    }

    /// A picture has arrived, and `skipped` before it that nobody saw.
    pub fn arrived(&mut self, at_ns: u64, skipped: u32) -> Option<Said> {
        let last_ns = self.last_ns.replace(at_ns)?;
        let took_ns = at_ns.saturating_sub(last_ns) as f64 / (1.0 + f64::from(skipped));
        let was_behind = self.behind_ns > OFF * self.period_ns;
        self.behind_ns = (self.behind_ns + took_ns - self.period_ns).clamp(0.0, MOST_BEHIND_NS);
        let off = took_ns / self.period_ns - 1.0;
        let interval = match off {
            off if off > OFF => Interval::Long { is_far: off > FAR_OFF },
            off if off >= -OFF => {
                self.behind_ns /= 2.0;
                Interval::Right
            }
            _ if was_behind => Interval::MadeUp,
            _ => Interval::Short,
        };
        self.intervals.rotate_right(1);
        self.intervals[0] = Some((interval, took_ns));
        self.judge()
    }

    fn judge(&mut self) -> Option<Said> {
        let count = |is_so: fn(Interval) -> bool| self.intervals.iter().flatten().filter(|(interval, _)| is_so(*interval)).count();
        let right = count(|interval| interval == Interval::Right);
        if self.is_wrong {
            self.is_wrong = right < INTERVALS;
            return (!self.is_wrong).then_some(Said::Right);
        }
        let is_full = self.intervals.iter().all(Option::is_some);
        let tempo = if count(|interval| matches!(interval, Interval::Long { .. })) == INTERVALS {
            Tempo::Slow
        } else if count(|interval| interval == Interval::Short) == INTERVALS {
            Tempo::Fast
        } else if is_full && right == 0 && count(|interval| matches!(interval, Interval::Long { is_far: true })) >= INTERVALS / 2 {
            Tempo::Irregular
        } else {
            return None;
        };
        self.is_wrong = true;
        let took_ns: f64 = self.intervals.iter().flatten().map(|(_, took_ns)| took_ns).sum();
        Some(Said::Wrong(tempo, INTERVALS as f64 * 1e9 / took_ns.max(1.0)))
    }

    /// Pictures were missing: what was counted says nothing about the pace.
    pub fn interrupted(&mut self) {
        (self.last_ns, self.intervals, self.behind_ns) = (None, [None; INTERVALS], 0.0);
    }

    /// Another rate is the right one from now on.
    pub fn announce(&mut self, period_ns: u64) {
        *self = TempoWatch { last_ns: self.last_ns, ..TempoWatch::new(period_ns) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MS: u64 = 1_000_000;

    /// What is said of pictures that come after such waits, and with which of them.
    fn said(fps: f64, waits_ms: impl IntoIterator<Item = f64>) -> Vec<(usize, Said)> {
        let (mut watch, mut at) = (TempoWatch::new((1e9 / fps) as u64), 0.0);
        let mut told = Vec::new();
        for (n, wait) in waits_ms.into_iter().enumerate() {
            at += wait * MS as f64;
            told.extend(watch.arrived(at as u64, 0).map(|said| (n, said)));
        }
        told
    }

    #[test]
    fn another_rate_is_known_by_its_sixth_interval_and_its_end_by_the_sixth_right_one() {
        for (fps, other, tempo) in
            [(60.0, 30.0, Tempo::Slow), (60.0, 50.0, Tempo::Slow), (30.0, 60.0, Tempo::Fast), (50.0, 60.0, Tempo::Fast)]
        {
            let waits = |fps: f64, count: usize| std::iter::repeat_n(1e3 / fps, count);
            let told = said(fps, waits(fps, 20).chain(waits(other, 20)).chain(waits(fps, 20)));
            assert!(
                matches!(told[..], [(25, Said::Wrong(said, seen)), (45, Said::Right)] if said == tempo && (seen - other).abs() < 0.1),
                "{fps} {other}: {told:?}"
            );
        }
    }

    #[test]
    fn pictures_that_come_in_pairs_are_irregular() {
        let pairs = [4.0, 29.333].into_iter().cycle().take(20);
        let told = said(60.0, std::iter::repeat_n(1e3 / 60.0, 20).chain(pairs).chain(std::iter::repeat_n(1e3 / 60.0, 20)));
        assert!(matches!(told[..], [(20..=26, Said::Wrong(Tempo::Irregular, _)), (45.., Said::Right)]), "{told:?}");
    }

    #[test]
    fn a_stall_with_its_bunch_a_lost_picture_and_another_clock_are_nothing() {
        let period = 1e3 / 60.0;
        let steady = |count| std::iter::repeat_n(period, count);
        let bunch = std::iter::once(120.0).chain(std::iter::repeat_n(1.0, 6)).chain(steady(9));
        assert_eq!(said(60.0, steady(20).chain(bunch.clone()).chain(bunch).chain(steady(20))), []);
        assert_eq!(said(60.0, (0..200).map(|n| if n % 5 == 0 { 2.0 * period } else { period })), []);
        assert_eq!(said(60.0, std::iter::repeat_n(1e3 / 59.94, 400)), []);
        assert_eq!(said(25.0, std::iter::repeat_n(1e3 / 24.0, 400)), [], "three seconds tell these apart");
        let mut watch = TempoWatch::new(16 * MS);
        (1..40u64).for_each(|n| assert_eq!(watch.arrived(n * 32 * MS, 1), None, "what was skipped counts"));
    }

    proptest! {
        /// Jitter of a tenth of a period is never named; whatever came before, the right pace ends it.
        #[test]
        fn jitter_is_nothing_and_the_right_pace_is_found_again(
            jitter in proptest::collection::vec(-0.05f64..0.05, 100),
            wild in proptest::collection::vec(0.0f64..200.0, 0..60),
        ) {
            let at = |n: usize| (n as f64 + 1.0 + jitter[n]) * 20.0;
            prop_assert_eq!(said(50.0, (0..100).map(|n| if n == 0 { at(0) } else { at(n) - at(n - 1) })), []);
            let told = said(50.0, wild.into_iter().chain(std::iter::repeat_n(20.0, 7)));
            let is_right = told.last().is_none_or(|(_, said)| *said == Said::Right);
            prop_assert!(is_right, "{:?}", told);
        }
    }
}
