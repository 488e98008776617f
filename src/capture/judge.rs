//! What the pictures of a live input, and their absence, mean. Arithmetic over stamps: no pipeline, and no clock of its own.
//!
//! | named | when it can be known | said |
//! | --- | --- | --- |
//! | lost | an error or end; else nothing for `lost_ns` (150 ms) | at once: `wait` never lets a pull sleep beyond it |
//! | back, gap | the next picture that can be decoded | with it |
//! | format | the first picture that has it | with it |
//! | rate wrong, right | six intervals that are not the announced one, or are it again (`tempo`) | with the picture that ends them |
//! | rate | three seconds of another one (`rate`) | with the picture that ends them |
//!
//! What pictures hold is `content`'s: frozen or black after `frozen_ms` and `black_ms` (150 ms) of it, torn with the picture
//! after, out of order with the picture itself.

use super::SignalEvent;
use super::event::Pace;
use super::rate::RateWatch;
use super::tempo::{Said, Tempo, TempoWatch};
use crate::frame::FrameLayout;
use std::collections::VecDeque;
use std::time::Duration;

/// A pipeline that is silent for so long is built again: a device that only hiccups is left alone.
const REBUILD_NS: u64 = 500_000_000;
/// Pictures missing for more than so many periods are said.
const GAP_PERIODS: u64 = 3;
/// Events that wait to be pulled.
const EVENTS: usize = 8;

#[derive(Debug)]
pub(super) struct Judge {
    events: VecDeque<SignalEvent>,
    lost_ns: u64,
    layout: FrameLayout,
    rate: RateWatch,
    tempo: TempoWatch,
    announced_fps: f64,
    period_ns: u64,
    /// Capture stamps of the very first and of the newest picture.
    first_ns: Option<u64>,
    last_ns: u64,
    is_lost: bool,
}

/// What of the source's description no longer holds.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Changed {
    pub format: bool,
    pub fps: Option<f64>,
}

impl Judge {
    /// Silence of `lost_ns` is a loss, but never less than three periods.
    pub fn new(layout: FrameLayout, fps: f64, period_ns: u64, lost_ns: u64, now_ns: u64) -> Self {
        Judge {
            events: VecDeque::with_capacity(EVENTS),
            lost_ns: lost_ns.max(GAP_PERIODS * period_ns),
            layout,
            rate: RateWatch::new(fps),
            tempo: TempoWatch::new(period_ns),
            announced_fps: fps,
            period_ns,
            first_ns: None,
            last_ns: now_ns,
            is_lost: false,
        }
    }

    pub fn next_event(&mut self) -> Option<SignalEvent> {
        self.events.pop_front()
    }

    /// How long a pull may wait for a picture: a loss is said when it is one, not a wait later.
    pub fn wait(&self, now_ns: u64, at_most: Duration) -> Duration {
        let until_lost = Duration::from_nanos(self.lost_ns.saturating_sub(self.silence_ns(now_ns)).max(1_000_000));
        if self.is_lost { at_most } else { at_most.min(until_lost) }
    }

    fn silence_ns(&self, now_ns: u64) -> u64 {
        now_ns.saturating_sub(self.last_ns)
    }

    /// Nothing has come. Returns why the pipeline is of no more use, if it is not.
    pub fn silence(&mut self, now_ns: u64) -> Option<String> {
        let silence_ns = self.silence_ns(now_ns);
        let reason = || format!("no picture for {} ms", silence_ns / 1_000_000);
        if silence_ns >= self.lost_ns {
            self.lose(reason());
        }
        (silence_ns >= self.lost_ns.max(REBUILD_NS)).then(reason)
    }

    pub fn lose(&mut self, reason: String) {
        if !std::mem::replace(&mut self.is_lost, true) {
            self.rate.interrupted();
            // What was wrong is said anew where it still holds.
            self.tempo = TempoWatch::new(self.period_ns);
            self.say(SignalEvent::Lost { reason });
        }
    }

    /// A picture has come, captured at `captured_ns`, and `skipped` before it that nobody took.
    pub fn picture(&mut self, captured_ns: u64, skipped: u32, layout: FrameLayout) -> Changed {
        let gap_ns = captured_ns.saturating_sub(self.last_ns);
        if std::mem::take(&mut self.is_lost) {
            self.say(SignalEvent::Back { after_ms: gap_ns / 1_000_000 });
        } else if self.first_ns.is_some() && skipped == 0 && gap_ns > GAP_PERIODS * self.period_ns {
            self.rate.interrupted();
            self.tempo.interrupted();
            self.say(SignalEvent::Gap { ms: gap_ns / 1_000_000 });
        }
        let mut changed = Changed::default();
        if layout != self.layout {
            self.say(SignalEvent::Format { from: words(&self.layout), to: words(&layout) });
            self.layout = layout;
            changed.format = true;
        }
        match self.tempo.arrived(captured_ns, skipped) {
            Some(Said::Wrong(tempo, fps)) => {
                let pace = if tempo == Tempo::Irregular { Pace::Irregular } else { Pace::Steady(fps) };
                self.say(SignalEvent::RateWrong { announced_fps: self.announced_fps, pace });
            }
            Some(Said::Right) => self.say(SignalEvent::RateRight),
            None => {}
        }
        if let Some((from_fps, to_fps)) = self.rate.arrived(captured_ns, skipped) {
            changed.fps = Some(to_fps);
            self.announced_fps = to_fps;
            self.period_ns = (1e9 / to_fps.max(1.0)) as u64;
            self.tempo.announce(self.period_ns);
            self.lost_ns = self.lost_ns.max(GAP_PERIODS * self.period_ns);
            self.say(SignalEvent::Rate { from_fps, to_fps });
        }
        self.first_ns.get_or_insert(captured_ns);
        self.last_ns = captured_ns.max(self.last_ns);
        changed
    }

    fn say(&mut self, event: SignalEvent) {
        if self.events.len() < EVENTS {
            self.events.push_back(event);
        }
    }
}

fn words(layout: &FrameLayout) -> String {
    let matrix = format!("{:?}", layout.colorimetry.matrix).to_uppercase();
    let range = format!("{:?}", layout.colorimetry.range).to_lowercase();
    format!("{}×{} {} {matrix} {range}", layout.width, layout.height, layout.format.name())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::{Colorimetry, Matrix, PixelFormat, Range};
    use proptest::prelude::*;

    const MS: u64 = 1_000_000;
    const LOST_MS: u64 = 150;
    /// From the moment at which it can be known.
    const NAMED_WITHIN_MS: u64 = 200;

    fn layout(width: usize) -> FrameLayout {
        FrameLayout::new(PixelFormat::Nv12, Colorimetry::sdr(Matrix::Bt709, Range::Limited), width, 64).unwrap()
    }

    /// A pull loop in injected time: each pull waits as long as the judge allows, or until the next picture.
    struct Loop {
        judge: Judge,
        now_ns: u64,
        said: Vec<(u64, SignalEvent)>,
        rebuilt: usize,
    }

    impl Loop {
        fn new(fps: u64) -> Self {
            let judge = Judge::new(layout(64), fps as f64, 1_000_000_000 / fps, LOST_MS * MS, 0);
            Loop { judge, now_ns: 0, said: Vec::new(), rebuilt: 0 }
        }

        fn hear(&mut self) {
            while let Some(event) = self.judge.next_event() {
                self.said.push((self.now_ns, event));
            }
        }

        /// Nothing comes until `at_ns`.
        fn silence_until(&mut self, at_ns: u64) {
            while self.now_ns < at_ns {
                let wait_ns = self.judge.wait(self.now_ns, Duration::from_millis(50)).as_nanos() as u64;
                if self.now_ns + wait_ns >= at_ns {
                    break;
                }
                self.now_ns += wait_ns;
                self.rebuilt += usize::from(self.judge.silence(self.now_ns).is_some());
                self.hear();
            }
            self.now_ns = at_ns;
        }

        fn picture_at(&mut self, at_ns: u64, layout: FrameLayout) {
            self.silence_until(at_ns);
            self.judge.picture(at_ns, 0, layout);
            self.hear();
        }
    }

    proptest! {
        /// Electrosurgery: 5 to 50 losses of sync in 10 s, as silence or as a pipeline's error. Each is named within 200 ms
        /// and as what it is, the first picture after it ends it, and nothing else is said.
        #[test]
        fn bursts_of_losses_are_named_in_time_and_end_with_the_first_picture(
            fps in prop_oneof![Just(25u64), Just(50), Just(60)],
            losses in proptest::collection::vec((any::<bool>(), 1u64..700), 5..=50),
        ) {
            let period_ns = 1_000_000_000 / fps;
            let mut input = Loop::new(fps);
            let (mut at_ns, mut expected) = (0, Vec::new());
            for (is_error, silence_ms) in losses {
                for _ in 0..4 {
                    at_ns += period_ns;
                    input.picture_at(at_ns, layout(64));
                }
                let (last_ns, gap_ns) = (at_ns, silence_ms * MS);
                at_ns += gap_ns;
                if is_error {
                    input.judge.lose("the card says that its signal is gone".into());
                    input.hear();
                    expected.push((last_ns, "lost"));
                } else if gap_ns > LOST_MS.max(3_000 / fps) * MS {
                    expected.push((last_ns + LOST_MS * MS, "lost"));
                } else if gap_ns > 3 * period_ns {
                    expected.push((at_ns, "gap"));
                }
                let ends = expected.last().is_some_and(|&(known_ns, kind)| kind == "lost" && known_ns >= last_ns);
                input.picture_at(at_ns, layout(64));
                if ends {
                    expected.push((at_ns, "back"));
                }
            }
            let named: Vec<(u64, &str)> = input.said.iter().map(|(at_ns, event)| (*at_ns, match event {
                SignalEvent::Lost { .. } => "lost",
                SignalEvent::Back { .. } => "back",
                SignalEvent::Gap { .. } => "gap",
                _ => "something else",
            })).collect();
            prop_assert_eq!(named.iter().map(|n| n.1).collect::<Vec<_>>(), expected.iter().map(|e| e.1).collect::<Vec<_>>());
            for (&(said_ns, kind), &(known_ns, _)) in named.iter().zip(&expected) {
                prop_assert!(said_ns >= known_ns && said_ns - known_ns <= (NAMED_WITHIN_MS - LOST_MS) * MS, "{} {} after {}", kind, said_ns, known_ns);
                prop_assert!(kind == "lost" || said_ns == known_ns);
            }
        }
    }

    #[test]
    fn another_format_is_named_with_its_first_picture() {
        let mut input = Loop::new(50);
        for n in 1..20 {
            input.picture_at(n * 20 * MS, layout(if n < 10 { 64 } else { 96 }));
        }
        let (at_ns, event) = &input.said[0];
        assert!(matches!(event, SignalEvent::Format { from, to } if from.contains("64×64") && to.contains("96×64")), "{event:?}");
        assert_eq!((*at_ns, input.said.len()), (200 * MS, 1));
    }

    #[test]
    fn another_rate_is_named_after_six_pictures_and_known_after_three_seconds_of_them() {
        let mut input = Loop::new(50);
        let mut at_ns = 0;
        (0..200).for_each(|_| {
            at_ns += 20 * MS;
            input.picture_at(at_ns, layout(64));
        });
        let changed_ns = at_ns;
        (0..125).for_each(|_| {
            at_ns += 33 * MS;
            input.picture_at(at_ns, layout(64));
        });
        let [(early_ns, early), (said_ns, event)] = &input.said[..] else { panic!("{:?}", input.said) };
        assert!(matches!(early, SignalEvent::RateWrong { pace: Pace::Steady(fps), .. } if (fps - 30.3).abs() < 0.1), "{early:?}");
        assert_eq!(early_ns - changed_ns, 6 * 33 * MS, "with the sixth interval, which is when it can be known");
        assert!(matches!(event, SignalEvent::Rate { .. }) && said_ns - changed_ns <= 4_000 * MS, "{event:?} {}", said_ns - changed_ns);
    }

    #[test]
    fn a_silent_pipeline_is_built_again_after_half_a_second_and_not_before() {
        let mut input = Loop::new(50);
        input.picture_at(20 * MS, layout(64));
        input.silence_until(20 * MS + REBUILD_NS - 1);
        assert_eq!(input.rebuilt, 0);
        input.silence_until(20 * MS + REBUILD_NS + 60 * MS);
        assert!(input.rebuilt > 0);
    }
}
