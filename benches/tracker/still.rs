//! Flicker: one picture again and again, under fresh sensor noise each time.

use crate::detector::Noise;
use crate::{Options, analyser};
use keyhole::base::ids::FrameId;
use keyhole::capture::sim::Simulator;
use keyhole::eval::Steadiness;
use keyhole::frame::{FrameView, Stamps};
use serde_json::json;

/// Standard deviation of the noise, 8-bit code values: a camera in a dim cavity.
const NOISE_LEVELS: f32 = 3.0;
/// Left out at the start: what is found first has to appear.
const SETTLE_S: f64 = 1.0;

pub fn run(options: &Options) -> serde_json::Value {
    println!("still picture, noise {NOISE_LEVELS} levels, {} s a seed at {} fps", options.seconds / 2.0, options.fps);
    let mut rows = Vec::new();
    for &seed in &options.seeds {
        let spec = options.spec(seed);
        let simulator = Simulator::new(&spec).expect("a size that frames can have");
        let mut bytes = vec![0; simulator.layout().size];
        simulator.render(simulator.frame_count() / 3, &mut bytes);
        let (mut noise, mut noisy) = (Noise::new(seed), bytes.clone());
        let (mut analyser, mut steadiness) = (analyser(), Steadiness::default());
        let frames = (options.seconds / 2.0 * f64::from(options.fps)) as u64;
        for index in 0..frames {
            for (to, &from) in noisy.iter_mut().zip(&bytes) {
                *to = (f32::from(from) + NOISE_LEVELS * noise.normal()).round().clamp(16.0, 240.0) as u8;
            }
            let capture_ns = 1_000_000_000 + index * 1_000_000_000 / u64::from(options.fps);
            let stamps = Stamps { id: FrameId(index), pts_ns: capture_ns, capture_ns };
            let view = FrameView::new(simulator.layout(), &noisy).expect("rendered to this layout");
            let scene = analyser.analyse(view, stamps, &|| true).expect("the engine runs").expect("nothing is overwritten");
            if index as f64 >= SETTLE_S * f64::from(options.fps) {
                steadiness.push(scene);
            }
        }
        let s = steadiness.summary();
        println!(
            "  seed {seed}: boundary jitter p50 {:.3} p95 {:.3} % of the width (goal 0.3)   temporal IoU mean {:.4} p05 {:.4} (goal 0.97)   appearances {:.1} a minute (goal 2)",
            s.boundary_jitter_percent.p50, s.boundary_jitter_percent.p95, s.temporal_iou_mean, s.temporal_iou_p05, s.appearances_a_minute
        );
        rows.push(json!({ "seed": seed, "figures": s }));
    }
    json!(rows)
}
