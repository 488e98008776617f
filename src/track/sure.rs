//! From which probability on something is called sure, and that this does not flicker.

use crate::base::ids::ClassId;
use crate::infer::HeadSpec;
use crate::scene::Trust;

/// What no head was calibrated for is sure from here on.
pub const SURE_FROM: f32 = 0.75;
/// What was unsure is sure again after it has been so without a break for so long. The other way it takes no time.
const SURE_AGAIN_NS: u64 = 200_000_000;

/// Of each class, the probability from which it is sure.
#[derive(Debug, Clone, PartialEq)]
pub struct SureFrom([f32; 256]);

impl Default for SureFrom {
    fn default() -> Self {
        SureFrom([SURE_FROM; 256])
    }
}

impl SureFrom {
    /// As the calibrated heads have it.
    pub fn of(heads: &[HeadSpec]) -> Self {
        let mut all = SureFrom::default();
        for head in heads {
            let HeadSpec::Map { spec, .. } = head else { continue };
            for (class, sure) in spec.classes.iter().zip(spec.calibration.sure.iter().flatten()) {
                all.0[usize::from(class.0)] = *sure;
            }
        }
        all
    }

    /// 1 stands for never: nobody could show that any probability is enough.
    pub fn is_sure(&self, class: ClassId, confidence: f32) -> bool {
        let from = self.0[usize::from(class.0)];
        from < 1.0 && confidence >= from
    }
}

/// Whether one thing is sure, from frame to frame.
///
/// ```text
///   first frame ──► Sure ──── not sure ────► Unsure
///             └───► Unsure ── sure for SURE_AGAIN_NS ──► Sure
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Steady {
    is_sure: Option<bool>,
    /// Since when it has been sure without a break.
    since_ns: Option<u64>,
}

impl Steady {
    pub fn say(&mut self, is_sure_now: bool, now_ns: u64) -> Trust {
        if !is_sure_now {
            self.since_ns = None;
        }
        let since_ns = if is_sure_now { *self.since_ns.get_or_insert(now_ns) } else { now_ns };
        let is_sure = is_sure_now && (self.is_sure.unwrap_or(true) || now_ns.saturating_sub(since_ns) >= SURE_AGAIN_NS);
        self.is_sure = Some(is_sure);
        if is_sure { Trust::Sure } else { Trust::Unsure }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::infer::{Activation, Calibration, HeadKind, OutputSpec, TensorLayout};
    use proptest::prelude::*;

    #[test]
    fn what_nobody_could_show_to_be_right_is_never_sure() {
        let spec = OutputSpec {
            name: "tissue".into(),
            kind: HeadKind::Tissue,
            activation: Activation::Softmax,
            threshold: 0.5,
            calibration: Calibration { temperature: 1.0, sure: Some(vec![1.0, 0.9, 1.0]) },
            classes: vec![ClassId(0), ClassId(2), ClassId(10)],
            layout: TensorLayout::Nchw,
            width: 1,
            height: 1,
        };
        let sure = SureFrom::of(&[HeadSpec::Map { tensor: 0, spec }]);
        assert!(sure.is_sure(ClassId(2), 0.9) && !sure.is_sure(ClassId(2), 0.89));
        assert!(!sure.is_sure(ClassId(10), 1.0));
        assert!(sure.is_sure(ClassId(13), SURE_FROM), "another head's");
    }

    #[test]
    fn it_is_unsure_at_once_and_sure_only_after_it_has_stayed_so() {
        let mut steady = Steady::default();
        assert_eq!(steady.say(true, 0), Trust::Sure, "the first frame stands alone");
        assert_eq!(steady.say(false, 16_000_000), Trust::Unsure);
        assert_eq!([32, 100, 231].map(|ms| steady.say(true, ms * 1_000_000)), [Trust::Unsure; 3]);
        assert_eq!(steady.say(true, 232_000_000), Trust::Sure);
        steady.say(false, 250_000_000);
        steady.say(true, 260_000_000);
        steady.say(false, 450_000_000);
        assert_eq!(steady.say(true, 470_000_000), Trust::Unsure, "a break begins it anew");
    }

    proptest! {
        /// However the probability wavers, what is not sure is never said to be, and it is said anew at most five times a second.
        #[test]
        fn sure_never_flickers(wavers in proptest::collection::vec(any::<bool>(), 1..240)) {
            let mut steady = Steady::default();
            let mut last = None;
            let mut rises = 0;
            for (frame, &is_sure_now) in wavers.iter().enumerate() {
                let said = steady.say(is_sure_now, frame as u64 * 16_666_667);
                prop_assert!(is_sure_now || said == Trust::Unsure);
                rises += usize::from(last == Some(Trust::Unsure) && said == Trust::Sure);
                last = Some(said);
            }
            prop_assert!(rises <= wavers.len() / 12, "{} in {} frames", rises, wavers.len());
        }
    }
}
