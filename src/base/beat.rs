//! A thread's sign of life, for a watchdog on another thread: one atomic store a turn, no clock, no lock.

use std::sync::atomic::{AtomicU64, Ordering};

/// One thread beats, any thread looks. Bit 0: at work; above it a count of turns.
#[derive(Debug, Default)]
pub struct Beat(AtomicU64);

impl Beat {
    /// A turn begins. From here on another beat, or `rest`, is expected.
    pub fn beat(&self) {
        let turn = self.0.load(Ordering::Relaxed) >> 1;
        self.0.store((turn.wrapping_add(1) << 1) | 1, Ordering::Relaxed);
    }

    /// Nothing is expected until the next beat: it waits for work, or has ended.
    pub fn rest(&self) {
        self.0.store(self.0.load(Ordering::Relaxed) & !1, Ordering::Relaxed);
    }

    /// None: it rests. Else a number that is another one after each beat.
    pub fn look(&self) -> Option<u64> {
        let value = self.0.load(Ordering::Relaxed);
        (value & 1 == 1).then_some(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_beat_is_another_one_and_a_rest_is_none() {
        let beat = Beat::default();
        assert_eq!(beat.look(), None);
        beat.beat();
        let first = beat.look();
        assert!(first.is_some() && beat.look() == first);
        beat.beat();
        let second = beat.look();
        assert!(second.is_some() && second != first);
        beat.rest();
        assert_eq!(beat.look(), None);
        beat.beat();
        assert!(beat.look().is_some() && ![first, second].contains(&beat.look()), "a rest between does not make it the same");
    }
}
