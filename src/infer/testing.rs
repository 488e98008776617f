//! What tests of this room and of those behind it share.

pub use super::testmodel::{CELL, Graph, HEIGHT, TestEngine, TestModel, WIDTH, head};
// What a test picture is made of.
use super::cuda::Gpu;
use super::engine::Engine;
use super::onnx_engine::OnnxEngine;
pub use crate::frame::{Colorimetry, FrameLayout, Matrix, PixelFormat, Range};
use crate::store::{LockedEngine, Normalisation, Spread};

/// The light and colours of an operation.
pub fn cohort() -> Normalisation {
    let spread = |mean, std| Spread { mean, std };
    Normalisation {
        dead_band: 1.0,
        strength: 1.0,
        max_exposure: 1.5,
        max_balance: 0.4,
        max_stretch: 0.6,
        brightness: spread(-1.9, 0.4),
        contrast: spread(0.8, 0.5),
        red_green: spread(0.77, 0.28),
        yellow_blue: spread(0.44, 0.21),
        saturation: spread(0.38, 0.53),
        grey_brightness: Some(spread(-0.96, 0.25)),
    }
}

/// Written to a folder and loaded as any engine is.
pub fn locked(model: &TestModel) -> LockedEngine {
    loaded(&model.engine())
}

/// On a device whose driver is the tests'; the processor plays the model.
pub fn rehearsed(engine: &TestEngine) -> OnnxEngine {
    rehearsed_as(loaded(engine))
}

/// As `rehearsed`, of any engine.
pub fn rehearsed_as(engine: LockedEngine) -> OnnxEngine {
    OnnxEngine::open_on(engine, Gpu::rehearsal()).unwrap()
}

/// As `locked`.
pub fn loaded(engine: &TestEngine) -> LockedEngine {
    let dir = tempfile::tempdir().unwrap();
    engine.write(dir.path()).unwrap();
    crate::store::load(dir.path()).unwrap()
}

/// Every form of engine, and how far from the processor's its numbers may be on another backend.
pub fn forms() -> Vec<(&'static str, TestEngine, f32)> {
    vec![
        ("maps", TestEngine::maps(), 1e-3),
        ("half", TestEngine::maps().in_half_precision(), 0.04),
        ("free sides", TestEngine::maps().with_free_sides(), 1e-3),
        ("external", TestEngine::maps().with_external("w.bin"), 1e-3),
        ("ids", TestEngine::class_ids(), 1e-3),
        ("yolo", TestEngine::yolo(), 1e-3),
        ("masks", TestEngine::yolo_with_masks(), 1e-3),
        ("detr", TestEngine::detr(), 1e-3),
        ("findings", TestEngine::findings_and_quality(), 1e-3),
        ("gated", TestEngine::gated(), 1e-3),
        ("recurrent", TestEngine::recurrent(), 1e-3),
        ("recurrent, half", TestEngine::recurrent().in_half_precision(), 0.04),
        ("clip", TestEngine::clip(true), 1e-3),
    ]
}

fn paint(engine: &mut dyn Engine, frame: usize) {
    for (i, value) in engine.input_mut().iter_mut().enumerate() {
        *value = ((i + 13 * frame) % 97) as f32 / 97.0;
    }
}

/// Holds these on another backend to the processor, frame by frame; they forget in between.
pub fn compare(forms: &[(&str, TestEngine, f32)], open: &dyn Fn(LockedEngine) -> Box<dyn Engine>) {
    for (name, engine, most) in forms {
        let mut there = open(loaded(engine));
        let mut here: Box<dyn Engine> = Box::new(OnnxEngine::open(loaded(engine)).unwrap());
        let told = |engine: &dyn Engine| {
            let cohort = engine.indication().map(|(_, cohort)| cohort);
            (engine.heads().to_vec(), engine.tensors().len(), cohort, engine.max_gap_ms())
        };
        assert_eq!(told(&*there), told(&*here), "{name}");
        for frame in 0..5 {
            if frame == 3 {
                there.forget();
                here.forget();
            }
            for engine in [&mut there, &mut here] {
                paint(&mut **engine, frame);
                engine.run().unwrap();
            }
            for tensor in 0..here.outputs() {
                assert!(here.tensor(tensor).len() == there.tensor(tensor).len() && !here.tensor(tensor).is_empty());
                let pairs = there.tensor(tensor).iter().zip(here.tensor(tensor));
                let worst = pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
                assert!(worst <= *most, "{name}, frame {frame}, tensor {tensor}: {worst}");
            }
        }
    }
}

/// What 100 frames move on a GPU: each its input and its outputs, all of 32 bits, and no memory is taken.
pub fn count(engine: &mut dyn Engine) {
    let input_bytes = 4 * engine.input_mut().len() as u64;
    let output_bytes: u64 = (0..engine.outputs()).map(|tensor| 4 * engine.tensor(tensor).len() as u64).sum();
    let run = |engine: &mut dyn Engine| {
        paint(engine, 1);
        engine.run().unwrap();
    };
    run(engine);
    let now = |engine: &mut dyn Engine| {
        let gpu = engine.device_input().unwrap().gpu;
        (gpu.traffic(), gpu.free_bytes().unwrap())
    };
    let (before, free_before) = now(engine);
    (0..100).for_each(|_| run(engine));
    let (after, free_after) = now(engine);
    let moved = after.since(&before);
    assert_eq!((moved.to_device.pixels, moved.to_device.numbers), (100 * input_bytes, 0));
    assert_eq!(moved.to_host.pixels + moved.to_host.numbers, 100 * output_bytes);
    assert_eq!((moved.allocations, free_after), (0, free_before), "a library may have taken memory, too");
}
