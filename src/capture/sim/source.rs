//! The simulator as a source: its pictures on time, for ever.

use super::SimError;
use super::clip::Clip;
use super::spec::Spec;
use crate::base::clock::Clock;
use crate::capture::pace::Lateness;
use crate::capture::{CaptureError, Picture, Planes, Pull, Source, SourceInfo};
use std::sync::Arc;
use std::time::Duration;

/// Picture n is due at start + n/fps, by integers and so without drift; start is the clock at the first pull.
/// Picture n is always picture n of the loop. The first time, the clip plays while its end is still being rendered; should
/// the machine then be slower than foreseen, a picture that is not there is waited for, as long as `pull` allows.
/// Where a script takes the signal away, no picture comes: `Idle`, until the next one is nearly due.
pub struct SimSource {
    info: SourceInfo,
    clip: Clip,
    clock: Arc<dyn Clock>,
    start_ns: Option<u64>,
    /// Number of the next picture since the start.
    next: u64,
    skipped: u32,
    lateness: Lateness,
    /// Of the first n pictures of the loop, how many a script takes away.
    lost_before: Vec<u64>,
}

impl SimSource {
    /// Opens `sim:…`, and returns when it can play without waiting: from the cache at once, else when enough is rendered
    /// (seconds), so that no picture is late because it is being drawn.
    ///
    /// Errors: whatever `Spec::parse` refuses.
    pub fn open(uri: &str, clock: Arc<dyn Clock>) -> Result<Box<dyn Source>, SimError> {
        let clip = Clip::open_to_play(&Spec::parse(uri)?)?;
        Ok(Box::new(Self::new(uri, clip, clock)))
    }

    fn new(uri: &str, clip: Clip, clock: Arc<dyn Clock>) -> Self {
        let layout = clip.layout();
        let info = SourceInfo {
            uri: uri.to_owned(),
            width: layout.width,
            height: layout.height,
            fps: clip.spec().fps(),
            format: layout.format,
            colorimetry: layout.colorimetry,
            live: false,
            latency_ns: 0,
        };
        let mut lost_before = vec![0];
        for index in 0..clip.frame_count() {
            lost_before.push(lost_before[index] + u64::from(clip.spec().is_lost(index)));
        }
        let lateness = Lateness::new(clip.spec().pts_ns(1));
        SimSource { info, clip, clock, start_ns: None, next: 0, skipped: 0, lateness, lost_before }
    }

    /// Pictures before the `n`-th since the start that a script takes away.
    fn lost_before(&self, n: u64) -> u64 {
        let frames = self.clip.frame_count() as u64;
        n / frames * self.lost_before[frames as usize] + self.lost_before[(n % frames) as usize]
    }

    fn is_lost(&self, n: u64) -> bool {
        self.lost_before(n + 1) > self.lost_before(n)
    }

    /// Passes over what is taken away. Is the next picture still more than a period off, and was there nothing before it?
    fn is_silent(&mut self, elapsed_ns: u64) -> bool {
        let frames = self.clip.frame_count() as u64;
        if self.lost_before[frames as usize] == frames {
            return true;
        }
        while self.is_lost(self.next) {
            self.next += 1;
        }
        let after_loss = self.next > 0 && self.is_lost(self.next - 1);
        after_loss && elapsed_ns + self.pts_ns(1) < self.pts_ns(self.next)
    }

    fn pts_ns(&self, n: u64) -> u64 {
        self.clip.spec().pts_ns(n)
    }
}

impl Source for SimSource {
    fn info(&self) -> &SourceInfo {
        &self.info
    }

    fn pull(&mut self, at_most: Duration) -> Result<Pull<'_>, CaptureError> {
        let now_ns = self.clock.now_ns();
        let start_ns = *self.start_ns.get_or_insert(now_ns);
        let elapsed_ns = now_ns.saturating_sub(start_ns);
        if self.lateness.is_too_late(now_ns, start_ns + self.pts_ns(self.next)) {
            // Go on with the newest that is due.
            let newest = self.clip.spec().newest_due(elapsed_ns);
            let taken = self.lost_before(newest) - self.lost_before(self.next);
            self.skipped = self.skipped.saturating_add((newest - self.next - taken) as u32);
            self.next = newest;
        }
        if self.is_silent(elapsed_ns) {
            self.clock.sleep_until_ns(now_ns + (at_most.as_nanos() as u64).min(self.pts_ns(1)));
            return Ok(Pull::Idle);
        }
        let (n, index) = (self.next, (self.next % self.clip.frame_count() as u64) as usize);
        self.clip.wait_for_frame(index, at_most);
        let due_ns = start_ns + self.pts_ns(n);
        let pts_ns = self.pts_ns(n);
        let Some(bytes) = self.clip.frame(index) else { return Ok(Pull::Idle) };
        self.next += 1;
        let skipped = std::mem::take(&mut self.skipped);
        let layout = *self.clip.layout();
        Ok(Pull::Picture(Picture {
            layout,
            planes: Planes::of(&layout, bytes),
            pts_ns,
            due_ns: Some(due_ns),
            arrival_ns: now_ns,
            decode_ns: None,
            skipped,
            is_damaged: false,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock::{JumpingClock, ManualClock};
    use proptest::prelude::*;

    fn source(fps: u32, clock: &Arc<ManualClock>) -> SimSource {
        let spec = Spec { loop_s: 3.0 / f64::from(fps), ..Spec::parse(&format!("sim:?seed=2&width=32&height=32&fps={fps}")).unwrap() };
        let clip = Clip::start(&spec, None).unwrap();
        while clip.wait_for(clip.frame_count(), Duration::from_secs(1)) < clip.frame_count() {}
        SimSource::new("sim:", clip, clock.clone())
    }

    fn pull(source: &mut SimSource) -> (u64, u64, u32, Vec<u8>) {
        match source.pull(Duration::ZERO).unwrap() {
            Pull::Picture(picture) => {
                let mut bytes = vec![0; picture.layout.size];
                picture.copy_into(&mut bytes);
                (picture.pts_ns, picture.due_ns.unwrap(), picture.skipped, bytes)
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn pictures_are_due_without_drift_and_loop() {
        let clock = Arc::new(ManualClock::at(1_000));
        let mut source = source(7, &clock);
        let pulled: Vec<_> = (0..8).map(|_| pull(&mut source)).collect();
        for (n, (pts, due, skipped, bytes)) in pulled.iter().enumerate() {
            assert_eq!((*pts, *due, *skipped), (n as u64 * 1_000_000_000 / 7, 1_000 + n as u64 * 1_000_000_000 / 7, 0));
            assert_eq!(*bytes, pulled[n % 3].3);
        }
        assert_ne!(pulled[0].3, pulled[1].3);
    }

    #[test]
    fn a_script_takes_the_signal_away_and_gives_it_back_in_time() {
        let clock = Arc::new(JumpingClock(ManualClock::at(500)));
        let mut spec = Spec::parse("sim:?width=32&height=32&fps=10").unwrap();
        let text = "seconds = 1.0\n[[event]]\nkind = 'loss'\nat_s = 0.3\nfor_s = 0.4";
        spec.play(Arc::new(crate::capture::sim::Script::parse("test", text).unwrap()));
        let clip = Clip::start(&spec, None).unwrap();
        while clip.wait_for(clip.frame_count(), Duration::from_secs(1)) < clip.frame_count() {}
        let mut source = SimSource::new("sim:", clip, clock.clone());
        let (mut came, mut silent_ns) = (Vec::new(), 0);
        while came.len() < 9 {
            let before_ns = clock.now_ns();
            match source.pull(Duration::from_millis(50)).unwrap() {
                Pull::Picture(picture) => {
                    assert_eq!(picture.skipped, 0);
                    came.push(picture.pts_ns / 100_000_000);
                    let due_ns = picture.due_ns.unwrap();
                    clock.sleep_until_ns(due_ns);
                }
                Pull::Idle => silent_ns += clock.now_ns() - before_ns,
                other => panic!("a simulator gives pictures or none: {other:?}"),
            }
        }
        assert_eq!(came, [0, 1, 2, 7, 8, 9, 10, 11, 12]);
        assert!((300_000_000..500_000_000).contains(&silent_ns), "{silent_ns}");
    }

    proptest! {
        /// Nothing is skipped silently and nothing stale is shown: every number is pulled or counted, and after a pull
        /// the picture is never more than 100 ms or two periods behind the clock.
        #[test]
        fn what_is_late_is_counted(fps in 1u32..240, steps in proptest::collection::vec(0u64..2_000_000_000, 1..40)) {
            let clock = Arc::new(ManualClock::at(77));
            let spec = Spec::parse(&format!("sim:?seed=2&width=16&height=16&fps={fps}&seconds=0.1")).unwrap();
            let clip = Clip::start(&spec, None).unwrap();
            while clip.wait_for(clip.frame_count(), Duration::from_secs(1)) < clip.frame_count() {}
            let mut source = SimSource::new("sim:", clip, clock.clone());
            let mut expected = 0u64;
            for step in steps {
                let (pts, due, skipped, _) = pull(&mut source);
                expected += u64::from(skipped);
                prop_assert_eq!(pts, expected * 1_000_000_000 / u64::from(fps));
                prop_assert!(clock.now_ns() <= due + (2_000_000_000 / u64::from(fps)).max(Lateness::LATE_NS) + 1);
                prop_assert!(skipped == 0 || due <= clock.now_ns());
                expected += 1;
                clock.advance_ns(step);
            }
        }
    }
}
