//! Needs a GPU: the shipped engine for GPUs, through the whole chain.

use crate::frame::cuda::testing::skipped_without_gpu;
use crate::infer::{Backend, Settings, cuda};
use crate::store::Engines;
use crate::track::Analyser;
use std::path::Path;

#[test]
fn the_shipped_engine_gives_its_golden_mask_on_a_gpu_and_the_same_numbers_at_each_start() {
    let test = "the_shipped_engine_gives_its_golden_mask_on_a_gpu_and_the_same_numbers_at_each_start";
    let found = cuda::provider().and_then(|_| cuda::usable_device());
    if let Err(error) = found {
        return skipped_without_gpu(test, &error.to_string());
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("engines");
    let proof = || {
        let engine = Engines::find(Some(&folder)).unwrap().load_for_any(Backend::Cuda.endings()).unwrap();
        // Refused where another mask comes out than when it was locked.
        Analyser::load_with(engine, Backend::Cuda, &Settings::default()).unwrap().prove().unwrap()
    };
    assert_eq!(proof(), proof());
    println!("RAN {test} on a GPU");
}
