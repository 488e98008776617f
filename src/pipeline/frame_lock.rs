//! Frame-locked display: a frame may wait a little for its own scene, so that the overlay is never of an earlier frame. The wait
//! is added to the video delay, ends at its deadline whatever the AI does, and is not begun where nothing is to come.

use crate::base::ids::FrameId;
use std::time::Duration;

/// How long frames wait; 0: they do not.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FrameLock {
    wait_ns: u64,
}

impl FrameLock {
    pub fn new(frame_locked_ms: u32) -> Self {
        FrameLock { wait_ns: u64::from(frame_locked_ms) * 1_000_000 }
    }

    /// For the HUD: empty where it is off.
    pub fn words(self) -> String {
        if self.wait_ns == 0 { String::new() } else { format!("   frame-locked, up to {} ms", self.wait_ns / 1_000_000) }
    }

    /// How much longer the frame captured at `capture_ns` waits for its scene while `held` is the newest; None: it is shown now.
    pub fn patience(self, frame: FrameId, capture_ns: u64, held: Option<FrameId>, now_ns: u64) -> Option<Duration> {
        let is_there = held.is_some_and(|held| held >= frame);
        let left_ns = (capture_ns + self.wait_ns).saturating_sub(now_ns);
        (!is_there && left_ns > 0).then(|| Duration::from_nanos(left_ns))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock::{Clock, ManualClock};

    const MS: u64 = 1_000_000;

    #[test]
    fn a_frame_waits_for_its_own_scene_and_no_longer_than_its_deadline() {
        let clock = ManualClock::at(1_000 * MS);
        let lock = FrameLock::new(20);
        let patience = |held: Option<u64>| lock.patience(FrameId(7), 1_000 * MS, held.map(FrameId), clock.now_ns());
        assert_eq!(patience(None), Some(Duration::from_millis(20)));
        clock.advance_ns(12 * MS);
        assert_eq!(patience(Some(6)), Some(Duration::from_millis(8)), "an earlier frame's scene is not its own");
        assert_eq!(patience(Some(7)), None);
        clock.advance_ns(8 * MS);
        assert_eq!(patience(None), None, "the deadline has come: the picture goes out as it is");
    }

    #[test]
    fn a_frame_that_is_late_already_waits_no_more() {
        assert_eq!(FrameLock::new(20).patience(FrameId(7), 1_000 * MS, None, 1_021 * MS), None);
    }

    #[test]
    fn switched_off_nothing_waits() {
        assert_eq!(FrameLock::default().patience(FrameId(7), 1_000 * MS, None, 1_000 * MS), None);
        assert_eq!((FrameLock::new(0).words(), FrameLock::new(25).words().contains("25 ms")), (String::new(), true));
    }
}
