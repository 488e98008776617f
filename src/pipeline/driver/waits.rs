//! Where the display thread waits for the analysis, which it else never does: frame-locked, and in a run that the recorder pulls.

use super::{DisplayThread, IDLE_WAIT, PULLED_SCENE_WAIT_NS, Run};
use crate::frame::Frame;
use crate::guard::Ai;
use crate::overlay::OverlayMode;

impl DisplayThread {
    /// Frame-locked: the frame waits for its own scene, as long as one can come and its deadline allows.
    pub(super) fn wait_locked(&mut self, run: &mut Run, frame: &Frame) {
        while self.states.ai() == Ai::Running && self.screen.mode() != OverlayMode::Off && !self.stop.is_requested() {
            let held = self.screen.held().map(|scene| scene.frame);
            let Some(patience) = self.lock.patience(frame.id(), frame.stamps().capture_ns, held, self.clock.now_ns()) else { return };
            self.wake.wait(patience);
            // A frame whose overlay was just switched off waits no longer.
            self.take_controls(run);
            self.take_analysis();
        }
    }

    /// In a run that the recorder pulls each frame waits for its own scene, so that the recording is complete.
    pub(super) fn wait_for_own_scene(&mut self, frame: &Frame) {
        if self.screen.mode() == OverlayMode::Off || self.analysis.is_none() {
            return;
        }
        let give_up_ns = self.clock.now_ns() + PULLED_SCENE_WAIT_NS;
        loop {
            self.take_analysis();
            let has_it = self.screen.held().is_some_and(|scene| scene.frame >= frame.id());
            if has_it || self.states.is_ai_out() || self.stop.is_requested() || self.clock.now_ns() > give_up_ns {
                return;
            }
            self.wake.wait(IDLE_WAIT);
        }
    }
}
