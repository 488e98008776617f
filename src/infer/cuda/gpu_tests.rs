//! Engines of every form on a GPU and on the processor, side by side; where there is no GPU, all but the model is rehearsed.

use super::*;
use crate::frame::cuda::testing::{TestDriver, skipped_without_gpu};
use crate::infer::testing::{TestEngine, loaded};
use crate::infer::{Engine, OnnxEngine};

/// As ONNX Runtime 1.31.1 says it on a machine without NVIDIA's libraries.
#[test]
fn a_library_that_the_provider_misses_is_named_with_the_remedy() {
    let said = "/onnxruntime_src/onnxruntime/core/session/provider_bridge_ort.cc:2043 onnxruntime::Provider& \
                onnxruntime::ProviderLibrary::Get() [ONNXRuntimeError] : 1 : FAIL : Failed to load library \
                /opt/keyhole/libonnxruntime_providers_cuda.so with error: libcublasLt.so.13: cannot open shared object file: No such file \
                or directory";
    let text = unusable(said).to_string();
    for part in
        ["CUDA provider", "(Failed to load", "'libcublasLt.so.13' is missing", "hw/install.sh cuda", "cannot open shared object file"]
    {
        assert!(text.contains(part), "{part} is not in: {text}");
    }
    assert!(unusable("CUDA failure 35").to_string().contains("the version that this binary needs"));
}

/// None: there is none, which was said.
fn gpu(test: &str) -> Option<Gpu> {
    let gpu = Gpu::of_this_machine().map_err(|error| skipped_without_gpu(test, &error.to_string())).ok()?;
    println!("RAN {test} on a GPU");
    Some(gpu)
}

fn paint(engine: &mut OnnxEngine, frame: usize) {
    for (i, value) in engine.input_mut().iter_mut().enumerate() {
        *value = ((i + 13 * frame) % 97) as f32 / 97.0;
    }
}

/// Every form of engine, there and on the processor.
fn compare(gpu: &dyn Fn() -> Gpu) {
    for (name, engine, most) in [
        ("maps", TestEngine::maps(), 1e-3),
        ("half", TestEngine::maps().in_half_precision(), 0.04),
        ("free sides", TestEngine::maps().with_free_sides(), 1e-3),
        ("external", TestEngine::maps().with_external("w.bin"), 1e-3),
        ("ids", TestEngine::class_ids(), 1e-3),
        ("yolo", TestEngine::yolo(), 1e-3),
        ("masks", TestEngine::yolo_with_masks(), 1e-3),
        ("detr", TestEngine::detr(), 1e-3),
        ("findings", TestEngine::findings_and_quality(), 1e-3),
        ("recurrent", TestEngine::recurrent(), 1e-3),
        ("recurrent, half", TestEngine::recurrent().in_half_precision(), 0.04),
        ("clip", TestEngine::clip(true), 1e-3),
    ] {
        let mut there = OnnxEngine::open_on(loaded(&engine), gpu()).unwrap();
        let mut here = OnnxEngine::open(loaded(&engine)).unwrap();
        for frame in 0..5 {
            if frame == 3 {
                there.forget();
                here.forget();
            }
            for engine in [&mut there, &mut here] {
                paint(engine, frame);
                engine.run().unwrap();
            }
            for tensor in 0..here.outputs() {
                assert!(here.tensor(tensor).len() == there.tensor(tensor).len() && !here.tensor(tensor).is_empty());
                let pairs = there.tensor(tensor).iter().zip(here.tensor(tensor));
                let worst = pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
                assert!(worst <= most, "{name}, frame {frame}, tensor {tensor}: {worst}");
            }
        }
    }
}

/// What 100 frames move: each its input and its outputs, and no memory is taken.
fn count(gpu: Gpu) {
    let mut engine = OnnxEngine::open_on(loaded(&TestEngine::maps()), gpu).unwrap();
    let input_bytes = 4 * engine.input_mut().len() as u64;
    let output_bytes: u64 = (0..engine.outputs()).map(|tensor| 4 * engine.tensor(tensor).len() as u64).sum();
    let run = |engine: &mut OnnxEngine| {
        paint(engine, 1);
        engine.run().unwrap();
    };
    run(&mut engine);
    let now = |engine: &OnnxEngine| (engine.gpu().unwrap().traffic(), engine.gpu().unwrap().free_bytes().unwrap());
    let (before, free_before) = now(&engine);
    (0..100).for_each(|_| run(&mut engine));
    let (after, free_after) = now(&engine);
    let moved = after.since(&before);
    assert_eq!((moved.to_device.pixels, moved.to_device.numbers), (100 * input_bytes, 0));
    assert_eq!((moved.to_host.pixels, moved.to_host.numbers), (100 * output_bytes, 0));
    assert_eq!((moved.allocations, free_after), (0, free_before), "ONNX Runtime may have taken memory, too");
}

#[test]
#[ignore = "the other half of what_an_engine_on_a_gpu_queues_and_copies_is_right_where_the_processor_plays_the_model"]
fn rehearse_in_this_process() {
    compare(&Gpu::rehearsal);
    count(Gpu::rehearsal());
}

/// All but the model: tensors on both sides, states from one run to the next, forgetting, counting.
#[test]
fn what_an_engine_on_a_gpu_queues_and_copies_is_right_where_the_processor_plays_the_model() {
    let test = "what_an_engine_on_a_gpu_queues_and_copies_is_right_where_the_processor_plays_the_model";
    if let Some(driver) = TestDriver::new(test) {
        driver.run("infer::cuda::gpu::tests::rehearse_in_this_process", &[("TEST_CUDA_AT_ONCE", "1")]);
    }
}

#[test]
fn every_form_of_engine_answers_on_a_gpu_as_on_the_processor() {
    let test = "every_form_of_engine_answers_on_a_gpu_as_on_the_processor";
    if gpu(test).is_some() {
        compare(&|| gpu(test).unwrap());
    }
}

#[test]
fn a_frame_moves_its_input_and_its_outputs_and_takes_no_memory() {
    if let Some(gpu) = gpu("a_frame_moves_its_input_and_its_outputs_and_takes_no_memory") {
        count(gpu);
    }
}
