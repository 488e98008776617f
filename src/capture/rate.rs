//! At what rate do pictures really come? Measured over arrivals, a second at a time. Pure arithmetic, no clock here.

/// A source is said to have another rate when some windows in a row differ by more than this from what was announced, and by less
/// each from the one before: at a start, and after a stall, pictures come in a bunch.
const TOLERANCE: f64 = 0.05;
/// Three windows, if each has as many pictures in its first half as in its second; else six: moments at half the rate may lie in
/// some windows by equal parts.
const ENOUGH: u32 = 6;
const EVEN: u32 = 2;
const UNEVEN: u32 = 1;
const WINDOW_NS: u64 = 1_000_000_000;

/// Compares the arrivals of one source with the rate that it announced.
#[derive(Debug)]
pub(super) struct RateWatch {
    announced_fps: f64,
    window: Option<Window>,
    /// The window before this one, if it differed, and what it and those like it count.
    differed: Option<(f64, u32)>,
}

#[derive(Debug)]
struct Window {
    /// Its first arrival, which is not counted.
    start_ns: u64,
    count: u32,
    /// Of those, in its first half.
    early: u32,
}

impl Window {
    fn is_even(&self) -> bool {
        (2 * self.early).abs_diff(self.count) <= 2 + self.count / 16
    }
}

impl RateWatch {
    pub fn new(announced_fps: f64) -> Self {
        RateWatch { announced_fps, window: None, differed: None }
    }

    /// A picture has arrived, and `skipped` before it that nobody saw. Returns the old and the new rate when the old one
    /// no longer holds; the new one is then what is announced.
    pub fn arrived(&mut self, at_ns: u64, skipped: u32) -> Option<(f64, f64)> {
        let Some(window) = &mut self.window else {
            self.window = Some(Window { start_ns: at_ns, count: 0, early: 0 });
            return None;
        };
        window.count = window.count.saturating_add(1).saturating_add(skipped);
        let span_ns = at_ns.saturating_sub(window.start_ns);
        if span_ns <= WINDOW_NS / 2 {
            window.early = window.count;
        }
        if span_ns < WINDOW_NS {
            return None;
        }
        let fps = f64::from(window.count) * 1e9 / span_ns as f64;
        let worth = if window.is_even() { EVEN } else { UNEVEN };
        self.window = Some(Window { start_ns: at_ns, count: 0, early: 0 });
        let differs = |fps: f64| (fps - self.announced_fps).abs() > TOLERANCE * self.announced_fps;
        let alike = self.differed.filter(|(before, _)| (before - fps).abs() <= TOLERANCE * before).map_or(0, |(_, alike)| alike);
        self.differed = differs(fps).then_some((fps, alike + worth)).filter(|_| alike + worth < ENOUGH);
        if !differs(fps) || alike + worth < ENOUGH {
            return None;
        }
        Some((std::mem::replace(&mut self.announced_fps, fps), fps))
    }

    /// Pictures were missing: what was counted says nothing about the rate.
    pub fn interrupted(&mut self) {
        self.window = None;
        self.differed = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn feed(watch: &mut RateWatch, at: &mut u64, fps: f64, seconds: f64) -> Vec<(f64, f64)> {
        (0..(fps * seconds) as u32)
            .filter_map(|_| {
                *at += (1e9 / fps) as u64;
                watch.arrived(*at, 0)
            })
            .collect()
    }

    #[test]
    fn a_change_of_rate_is_said_once() {
        let (mut watch, mut at) = (RateWatch::new(50.0), 7);
        assert_eq!(feed(&mut watch, &mut at, 50.0, 5.0), []);
        assert_eq!(feed(&mut watch, &mut at, 49.0, 5.0), [], "2 % is nothing");
        assert_eq!(feed(&mut watch, &mut at, 80.0, 1.0), [], "a bunch is no rate");
        assert_eq!(feed(&mut watch, &mut at, 50.0, 3.0), []);
        let changes = feed(&mut watch, &mut at, 30.0, 6.0);
        assert!(changes.len() <= 2 && (changes.last().unwrap().1 - 30.0).abs() < 0.5, "{changes:?}");
        let announced = watch.announced_fps;
        feed(&mut watch, &mut at, announced, 0.5);
        assert_eq!(feed(&mut watch, &mut at, announced / 2.0, 0.9), [], "a moment over two windows is no rate");
        assert_eq!(feed(&mut watch, &mut at, announced, 3.0), []);
        watch.interrupted();
        at += 3_000_000_000;
        assert_eq!(feed(&mut watch, &mut at, 30.0, 5.0), [], "a loss is no rate");
    }

    /// Found by a soak: two moments of half a second, 2.3 s apart, had their ends in two windows of 51 pictures each.
    #[test]
    fn two_moments_at_half_the_rate_are_no_rate() {
        for gap in 1..80 {
            for length in 1..31 {
                let (mut watch, mut at) = (RateWatch::new(60.0), 0);
                feed(&mut watch, &mut at, 60.0, 2.0);
                for _ in 0..2 {
                    assert_eq!(feed(&mut watch, &mut at, 30.0, f64::from(length) / 30.0), [], "{length} at half the rate, {gap} between");
                    assert_eq!(
                        feed(&mut watch, &mut at, 60.0, 1.0 + f64::from(gap) / 60.0),
                        [],
                        "{length} at half the rate, {gap} between"
                    );
                }
            }
        }
    }

    #[test]
    fn what_was_skipped_counts() {
        let mut watch = RateWatch::new(60.0);
        assert!((1..200u64).all(|n| watch.arrived(n * 33_333_333, 1).is_none()));
    }

    proptest! {
        /// After any history, some steady seconds end with the steady rate announced.
        #[test]
        fn it_settles(steps in proptest::collection::vec(1u64..500_000_000, 0..100), fps in 5.0f64..120.0) {
            let (mut watch, mut at) = (RateWatch::new(25.0), 0);
            for step in steps { at += step; watch.arrived(at, 0); }
            feed(&mut watch, &mut at, fps, 8.0);
            prop_assert!((watch.announced_fps - fps).abs() <= 0.06 * fps, "{} {fps}", watch.announced_fps);
        }
    }
}
