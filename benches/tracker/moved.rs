//! How far an overlay lies off what it was computed from, once time has passed: with and without prediction.

use keyhole::eval::Spread;
use keyhole::overlay::Settings;
use keyhole::overlay::draw::predicted_shift;
use keyhole::scene::Track;
use serde_json::json;

/// Faster than this (parts of the width a second) is "under motion".
const MOVING_FROM: f32 = 0.05;

/// Displacement errors, px.
#[derive(Default)]
pub struct Moved {
    pub without: Vec<f32>,
    pub with: Vec<f32>,
    /// Of what stands still, with prediction: what prediction costs where there is nothing to predict.
    pub still_with: Vec<f32>,
}

impl Moved {
    /// What lay at `from` in the track's frame lies at `to` `age_ns` later.
    pub fn note(&mut self, track: &Track, width: u32, age_ns: u64, from: [f32; 2], to: [f32; 2]) {
        let truth = [to[0] - from[0], to[1] - from[1]];
        let shift = predicted_shift(track, age_ns, width, &Settings::default());
        let (way, error) = (truth[0].hypot(truth[1]), (truth[0] - shift[0]).hypot(truth[1] - shift[1]));
        if way / width as f32 / (age_ns as f32 / 1e9) >= MOVING_FROM {
            self.without.push(way);
            self.with.push(error);
        } else {
            self.still_with.push(error);
        }
    }

    pub fn append(&mut self, other: Moved) {
        self.without.extend(other.without);
        self.with.extend(other.with);
        self.still_with.extend(other.still_with);
    }

    /// Mean error with prediction as a part of that without.
    pub fn ratio(&self) -> f32 {
        Spread::of(&self.with).mean / Spread::of(&self.without).mean.max(1e-6)
    }

    pub fn print(&self, name: &str) {
        let (without, with, still) = (Spread::of(&self.without), Spread::of(&self.with), Spread::of(&self.still_with));
        println!(
            "  {name:<30} moving {:>5}: without p50 {:5.2} p95 {:5.2} px   with p50 {:5.2} p95 {:5.2} px   mean ratio {:4.2}   | at rest {:>5}: with p50 {:4.2} p95 {:4.2}",
            without.count,
            without.p50,
            without.p95,
            with.p50,
            with.p95,
            self.ratio(),
            still.count,
            still.p50,
            still.p95
        );
    }

    pub fn json(&self) -> serde_json::Value {
        json!({ "without_px": Spread::of(&self.without), "with_px": Spread::of(&self.with), "mean_ratio": self.ratio(),
                "at_rest_with_px": Spread::of(&self.still_with) })
    }
}
