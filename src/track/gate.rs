//! The indication gate: is this a picture that the engine was made for? Each frame is judged by signs that need no model
//! (`signs`), by the engine's word that it is outside the body, and by its distance from the training cohort; the verdict is
//! steadied over time, and a frame refused by it is unknown whatever the masks say. Nothing is drawn here.
//!
//! ```text
//!   input ─► signs ───────────────────┐
//!   head `quality` ─► out of body? ───┼─► verdict of the frame ─► Steady ─► verdict that counts
//!   output `cohort` ─► over its limit?┘
//! ```

use super::signs::Signs;
use crate::base::ids::ClassId;
use crate::infer::{Activation, Engine, Fit, HeadSpec, Indication, InputSpec, Modality};
use crate::scene::{Gate, Verdict, limits};

/// `out of body` in the class table.
const OUT_OF_BODY: ClassId = ClassId(68);

/// The gate of one engine, over one stream of frames.
#[derive(Debug)]
pub struct IndicationGate {
    indication: Indication,
    cohort: Option<(usize, f32)>,
    quality: Option<Quality>,
    signs: Signs,
    steady: Steady,
}

/// Where the engine says that a frame is outside the body.
#[derive(Debug, Clone, Copy)]
struct Quality {
    tensor: usize,
    channel: usize,
    activation: Activation,
    threshold: f32,
}

impl IndicationGate {
    /// None: the engine's manifest says nothing of what it was made for.
    pub fn of(engine: &dyn Engine) -> Option<Self> {
        let (indication, tensor) = engine.indication()?;
        let cohort = tensor.zip(indication.cohort.as_ref().map(|cohort| cohort.limit));
        let quality = engine.heads().iter().find_map(|head| match head {
            HeadSpec::FrameClass(spec) => {
                let channel = spec.classes.iter().position(|&class| class == OUT_OF_BODY)?;
                Some(Quality { tensor: spec.tensor, channel, activation: spec.activation, threshold: spec.threshold })
            }
            _ => None,
        });
        let steady = Steady::new(indication.unknown_within_ms, indication.known_after_ms);
        Some(IndicationGate { indication: indication.clone(), cohort, quality, signs: Signs::default(), steady })
    }

    /// The next frame is judged on its own.
    pub fn forget(&mut self) {
        self.steady.forget();
    }

    /// What the network is shown of a frame, before anything makes it more like the cohort.
    pub fn look(&mut self, input: &[f32], spec: &InputSpec, fit: Fit) {
        self.signs.look(input, spec, fit);
    }

    /// As `look`, with the signs that were taken in elsewhere.
    pub fn looked(&mut self) -> &mut Signs {
        &mut self.signs
    }

    /// After the model has run on what was looked at.
    pub fn judge(&mut self, engine: &dyn Engine, capture_ns: u64) -> Gate {
        let ratio = self.cohort.map(|(tensor, limit)| engine.tensor(tensor).first().map_or(f32::NAN, |distance| distance / limit));
        let verdict = self.steady.judge(self.of_this_frame(engine, ratio), capture_ns);
        // No number is farther than any number.
        Gate { verdict, distance: ratio.map(|ratio| if ratio.is_nan() { limits::DISTANCE } else { ratio.clamp(0.0, limits::DISTANCE) }) }
    }

    fn of_this_frame(&self, engine: &dyn Engine, ratio: Option<f32>) -> Verdict {
        let is_foreign_light = self.signs.is_fluorescence() && !self.indication.has(Modality::Fluorescence)
            || self.signs.is_narrow_band() && !self.indication.has(Modality::NarrowBand);
        if !self.signs.has_content() {
            Verdict::NoContent
        } else if self.signs.is_covered() {
            Verdict::Covered
        } else if is_foreign_light {
            Verdict::OtherModality
        } else if self.quality.is_some_and(|quality| quality.probability(engine) >= quality.threshold) {
            Verdict::OutOfBody
        } else if ratio.is_some_and(|ratio| ratio.is_nan() || ratio > 1.0) {
            Verdict::OffCohort
        } else {
            Verdict::Within
        }
    }
}

impl Quality {
    /// 0 where the model gave no number: that makes the frame unknown by itself.
    fn probability(&self, engine: &dyn Engine) -> f32 {
        let numbers = engine.tensor(self.tensor);
        let Some(&own) = numbers.get(self.channel) else { return 0.0 };
        match self.activation {
            Activation::None => own,
            Activation::Sigmoid => 1.0 / (1.0 + (-own).exp()),
            Activation::Softmax => 1.0 / numbers.iter().map(|other| (other - own).exp()).sum::<f32>(),
        }
    }
}

/// Verdicts of single frames → the verdict that counts. In time, not in frames: at any rate a lasting change closes the gate
/// within half of what the manifest allows (the rest is the analysis' and the display's), and one odd frame does not.
///
/// ```text
///   open ──(frames outside outweigh those within by close_ns)──► closed ──(only frames within for open_ns)──► open
/// ```
#[derive(Debug)]
struct Steady {
    close_ns: u64,
    open_ns: u64,
    last_ns: Option<u64>,
    is_closed: bool,
    /// By how much frames outside outweigh those within; at most `close_ns`.
    odd_ns: u64,
    /// Frames within since the last one outside.
    calm_ns: u64,
    /// How long each reason was given of late, in the order of `Verdict::ALL`.
    reasons: [u64; Verdict::ALL.len()],
    reason: Verdict,
}

impl Steady {
    fn new(unknown_within_ms: u64, known_after_ms: u64) -> Self {
        Steady {
            close_ns: unknown_within_ms * 500_000,
            open_ns: known_after_ms * 1_000_000,
            last_ns: None,
            is_closed: false,
            odd_ns: 0,
            calm_ns: 0,
            reasons: [0; Verdict::ALL.len()],
            reason: Verdict::OffCohort,
        }
    }

    fn forget(&mut self) {
        (self.last_ns, self.is_closed, self.odd_ns, self.calm_ns, self.reasons) = (None, false, 0, 0, [0; Verdict::ALL.len()]);
    }

    fn judge(&mut self, now: Verdict, capture_ns: u64) -> Verdict {
        // The first frame counts as much as it needs to; a gap in the stream no more than that.
        let step = self.last_ns.map_or(self.close_ns, |last| capture_ns.saturating_sub(last).min(self.close_ns));
        self.last_ns = Some(capture_ns);
        if now == Verdict::Within {
            self.odd_ns = self.odd_ns.saturating_sub(step);
            self.calm_ns = self.calm_ns.saturating_add(step);
            if self.calm_ns >= self.open_ns {
                (self.is_closed, self.odd_ns, self.reasons) = (false, 0, [0; Verdict::ALL.len()]);
            }
        } else {
            self.odd_ns = (self.odd_ns + step).min(self.close_ns);
            self.calm_ns = 0;
            self.is_closed |= self.odd_ns >= self.close_ns;
            self.reason = self.reason_with(now, step);
        }
        if self.is_closed { self.reason } else { Verdict::Within }
    }

    /// The reason that was given most of late; of equals, the newest.
    fn reason_with(&mut self, now: Verdict, step: u64) -> Verdict {
        let mut best = (0, now);
        for (weight, verdict) in self.reasons.iter_mut().zip(Verdict::ALL) {
            *weight = if verdict == now { (*weight + step).min(self.close_ns) } else { weight.saturating_sub(step) };
            if *weight > best.0 || (*weight == best.0 && verdict == now) {
                best = (*weight, verdict);
            }
        }
        best.1
    }
}

#[cfg(test)]
#[path = "gate_tests.rs"]
mod tests;
