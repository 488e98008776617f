//! Flicker: one picture again and again, under fresh sensor noise each time.

use crate::detector::Noise;
use crate::{Options, analyser};
use keyhole::base::ids::FrameId;
use keyhole::capture::sim::Simulator;
use keyhole::eval::{Steadiness, mask_iou};
use keyhole::frame::{FrameView, Stamps};
use keyhole::scene::Scene;
use keyhole::track::Analyser;
use serde_json::json;

/// Standard deviation of the noise, 8-bit code values: a camera in a dim cavity.
const NOISE_LEVELS: f32 = 3.0;
/// Left out at the start: what is found first has to appear.
const SETTLE_S: f64 = 1.0;
/// How far the instruments jump when the picture changes, as the time in which they move so far.
const JUMP_S: f64 = 0.2;
/// Mean IoU over the classes that cover more than 0.5 % of the picture; what lies nearer than this is the same.
const SAME: f32 = 0.01;

/// What the analyser makes of a picture under noise.
fn seen(analyser: &mut Analyser, simulator: &Simulator, bytes: &[u8], noisy: &mut [u8], noise: &mut Noise, index: u64, fps: u32) -> Scene {
    for (to, &from) in noisy.iter_mut().zip(bytes) {
        *to = (f32::from(from) + NOISE_LEVELS * noise.normal()).round().clamp(16.0, 240.0) as u8;
    }
    let capture_ns = 1_000_000_000 + index * 1_000_000_000 / u64::from(fps);
    let stamps = Stamps { id: FrameId(index), pts_ns: capture_ns, capture_ns };
    let view = FrameView::new(simulator.layout(), noisy).expect("rendered to this layout");
    analyser.analyse(view, stamps, &|| true).expect("the engine runs").expect("nothing is overwritten")
}

/// After the still picture the instruments jump to where they are `JUMP_S` later. So many frames pass until the mask is as near to
/// what it settles at as that of an analyser which saw nothing before.
fn frames_late(simulator: &Simulator, analyser: &mut Analyser, noise: &mut Noise, next: u64, fps: u32) -> u64 {
    let mut bytes = vec![0; simulator.layout().size];
    let mut noisy = bytes.clone();
    simulator.render(simulator.frame_count() / 3 + (JUMP_S * f64::from(fps)) as usize, &mut bytes);
    let mut fresh = crate::analyser();
    let unbiased: Vec<Scene> = (0..60).map(|index| seen(&mut fresh, simulator, &bytes, &mut noisy, noise, index, fps)).collect();
    let settled = &unbiased[59].mask.ids;
    let iou = |scene: &Scene| {
        let classes = (0..32).filter(|&class| settled.iter().filter(|&&id| id == class).count() > settled.len() / 200);
        let ious: Vec<f32> = classes.filter_map(|class| mask_iou(settled, &scene.mask.ids, None, |id| id == class)).collect();
        ious.iter().sum::<f32>() / ious.len().max(1) as f32
    };
    let fresh_iou = iou(&unbiased[0]);
    let is_there = |&late: &u64| iou(&seen(analyser, simulator, &bytes, &mut noisy, noise, next + late, fps)) >= fresh_iou - SAME;
    (0..60).find(is_there).unwrap_or(60)
}

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
            let scene = seen(&mut analyser, &simulator, &bytes, &mut noisy, &mut noise, index, options.fps);
            if index as f64 >= SETTLE_S * f64::from(options.fps) {
                steadiness.push(scene);
            }
        }
        let late = frames_late(&simulator, &mut analyser, &mut noise, frames, options.fps);
        let s = steadiness.summary();
        println!(
            "  seed {seed}: boundary jitter p50 {:.3} p95 {:.3} % of the width (goal 0.3)   temporal IoU mean {:.4} p05 {:.4} (goal 0.97)   appearances {:.1} a minute (goal 2)   a change is {late} frames late (goal 1)",
            s.boundary_jitter_percent.p50, s.boundary_jitter_percent.p95, s.temporal_iou_mean, s.temporal_iou_p05, s.appearances_a_minute
        );
        rows.push(json!({ "seed": seed, "figures": s, "change_late_frames": late }));
    }
    json!(rows)
}
