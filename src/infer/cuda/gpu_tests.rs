//! Engines of every form on a GPU and on the processor, side by side; where there is no GPU, all but the model is rehearsed.

use super::*;
use crate::frame::cuda::testing::{TestDriver, skipped_without_gpu};
use crate::infer::testing::{TestEngine, compare, count, forms, loaded};
use crate::infer::{Engine, LockedEngine, OnnxEngine};

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

fn open(gpu: Gpu, engine: LockedEngine) -> Box<dyn Engine> {
    Box::new(OnnxEngine::open_on(engine, gpu).unwrap())
}

#[test]
#[ignore = "the other half of what_an_engine_on_a_gpu_queues_and_copies_is_right_where_the_processor_plays_the_model"]
fn rehearse_in_this_process() {
    compare(&forms(), &|engine| open(Gpu::rehearsal(), engine));
    count(&mut *open(Gpu::rehearsal(), loaded(&TestEngine::maps())));
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
        compare(&forms(), &|engine| open(gpu(test).unwrap(), engine));
    }
}

#[test]
fn a_frame_moves_its_input_and_its_outputs_and_takes_no_memory() {
    if let Some(gpu) = gpu("a_frame_moves_its_input_and_its_outputs_and_takes_no_memory") {
        count(&mut *open(gpu, loaded(&TestEngine::maps())));
    }
}
