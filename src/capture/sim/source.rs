//! The simulator as a source: its pictures on time, for ever.

use super::SimError;
use super::clip::Clip;
use super::spec::Spec;
use crate::base::clock::Clock;
use crate::capture::{CaptureError, Picture, PlaneRef, Pull, Source, SourceInfo};
use std::sync::Arc;
use std::time::Duration;

/// Picture n is due at start + n/fps, by integers and so without drift; start is the clock at the first pull.
/// While the clip is still being rendered (only the first time), a picture that is not there is waited for, at most as
/// long as `pull` allows: picture n is always picture n of the loop.
pub struct SimSource {
    info: SourceInfo,
    clip: Clip,
    clock: Arc<dyn Clock>,
    start_ns: Option<u64>,
    /// Number of the next picture since the start.
    next: u64,
    skipped: u32,
}

impl SimSource {
    /// Opens `sim:…`, and returns when the clip is whole: from the cache at once, else after rendering it (seconds), so
    /// that no picture is ever late because it is being drawn, and every run of one seed shows the same pictures.
    ///
    /// Errors: whatever `Spec::parse` refuses.
    pub fn open(uri: &str, clock: Arc<dyn Clock>) -> Result<Box<dyn Source>, SimError> {
        let clip = Clip::open(&Spec::parse(uri)?, &mut |_, _| {})?;
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
        SimSource { info, clip, clock, start_ns: None, next: 0, skipped: 0 }
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
        if elapsed_ns > self.pts_ns(self.next + 2) {
            // More than two periods late: go on with the newest that is due.
            let newest = self.clip.spec().newest_due(elapsed_ns);
            self.skipped = self.skipped.saturating_add((newest - self.next) as u32);
            self.next = newest;
        }
        let (n, index) = (self.next, (self.next % self.clip.frame_count() as u64) as usize);
        self.clip.wait_for_frame(index, at_most);
        let due_ns = start_ns + self.pts_ns(n);
        let pts_ns = self.pts_ns(n);
        let Some(bytes) = self.clip.frame(index) else { return Ok(Pull::Idle) };
        self.next += 1;
        let skipped = std::mem::take(&mut self.skipped);
        let layout = *self.clip.layout();
        let mut planes = [PlaneRef { data: &[], stride: 0 }; 3];
        for (plane, from) in planes.iter_mut().zip(layout.planes()) {
            *plane = PlaneRef { data: &bytes[from.offset..][..from.stride * from.rows], stride: from.stride };
        }
        Ok(Pull::Picture(Picture { layout, planes, pts_ns, due_ns: Some(due_ns), arrival_ns: now_ns, decode_ns: None, skipped }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock::ManualClock;
    use proptest::prelude::*;

    fn source(fps: u32, clock: &Arc<ManualClock>) -> SimSource {
        let spec = Spec { seed: 2, width: 32, height: 32, fps, loop_s: 3.0 / f64::from(fps) };
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

    proptest! {
        /// Nothing is skipped silently and nothing stale is shown: every number is pulled or counted, and after a pull
        /// the picture is never more than two periods behind the clock.
        #[test]
        fn what_is_late_is_counted(fps in 1u32..240, steps in proptest::collection::vec(0u64..2_000_000_000, 1..40)) {
            let clock = Arc::new(ManualClock::at(77));
            let spec = Spec { seed: 2, width: 16, height: 16, fps, loop_s: 0.1 };
            let clip = Clip::start(&spec, None).unwrap();
            while clip.wait_for(clip.frame_count(), Duration::from_secs(1)) < clip.frame_count() {}
            let mut source = SimSource::new("sim:", clip, clock.clone());
            let mut expected = 0u64;
            for step in steps {
                let (pts, due, skipped, _) = pull(&mut source);
                expected += u64::from(skipped);
                prop_assert_eq!(pts, expected * 1_000_000_000 / u64::from(fps));
                prop_assert!(clock.now_ns() <= due + 2_000_000_000 / u64::from(fps) + 1);
                prop_assert!(skipped == 0 || due <= clock.now_ns());
                expected += 1;
                clock.advance_ns(step);
            }
        }
    }
}
