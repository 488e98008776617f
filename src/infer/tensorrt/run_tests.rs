//! Where there is a GPU; elsewhere they say what is missing.

use super::*;
use crate::frame::cuda::{DeviceInfo, usable_device};
use crate::infer::Engine;
use crate::infer::OnnxEngine;
use crate::infer::tensorrt::builder::compile;
use crate::infer::tensorrt::{Options, RTX_CAPABILITIES};
use crate::infer::testing::{TestModel, locked};
use crate::store::Plans;
use cudarc::driver::{CudaContext, CudaSlice, DevicePtr, sys};

/// The library, its plan of the small model, and this machine's device; Err: what is missing.
fn on_gpu() -> Result<(TensorRt, Vec<u8>, DeviceInfo), String> {
    let device = usable_device().map_err(|e| e.to_string())?;
    let library = TensorRt::open_any(Some(&device)).map_err(|e| e.to_string())?;
    let compiled = compile(&locked(&TestModel::default()), &library, Options::default(), None, &[], &|_, _| true);
    Ok((library, compiled.map_err(|e| e.to_string())?.plan, device))
}

#[test]
fn a_plan_is_judged_by_the_device_and_one_that_is_damaged_is_refused() {
    let (library, plan, device) = match on_gpu() {
        Ok(found) => found,
        Err(reason) => return println!("SKIPPED a_plan_is_judged_by_the_device_and_one_that_is_damaged_is_refused on a GPU: {reason}"),
    };
    let judged = library.judge(&plan).unwrap();
    println!("RAN a_plan_is_judged_by_the_device_and_one_that_is_damaged_is_refused on a GPU: {device}: {judged:?}");
    if library.kind() == Kind::Rtx {
        let is_made_for = RTX_CAPABILITIES.contains(&device.capability);
        assert_eq!(matches!(judged, Some(Judgement::Runs | Judgement::RunsSlowly)), is_made_for, "{judged:?}");
        assert!(matches!(library.judge(b"no plan").unwrap(), Some(Judgement::Refused(_))));
    }
    assert!(library.load(b"no plan").is_err());
}

#[test]
fn a_plan_answers_as_the_model_does() {
    let (library, plan, device) = match on_gpu() {
        Ok(found) => found,
        Err(reason) => return println!("SKIPPED a_plan_answers_as_the_model_does on a GPU: {reason}"),
    };
    // SAFETY: opens the driver's library, whose start-up code needs nothing of us.
    assert!(unsafe { sys::is_culib_present() });
    let context = CudaContext::new(0).unwrap();
    let stream = context.new_stream().unwrap();
    if library.kind() == Kind::Rtx && !RTX_CAPABILITIES.contains(&device.capability) {
        assert!(library.load(&plan).is_err());
        return println!("SKIPPED a_plan_answers_as_the_model_does: {library} makes no plans for {device}");
    }
    let mut run = library.load(&plan).unwrap();
    let picture: Vec<f32> = (0..3 * 48 * 80).map(|i| (i % 7) as f32 / 7.0).collect();
    let tensors = run.tensors();
    let buffers: Vec<CudaSlice<f32>> = tensors
        .iter()
        .map(|tensor| match tensor.is_input {
            true => stream.clone_htod(&picture).unwrap(),
            false => stream.alloc_zeros(tensor.sides.iter().product::<i64>() as usize).unwrap(),
        })
        .collect();
    for (tensor, buffer) in tensors.iter().zip(&buffers) {
        // SAFETY: the buffer has the tensor's numbers and outlives the run.
        unsafe { run.bind(&tensor.name, buffer.device_ptr(&stream).0).unwrap() };
    }
    // SAFETY: all is bound; the stream is of the current context and is waited for before anything is read.
    unsafe { run.enqueue(stream.cu_stream().cast()).unwrap() };
    stream.synchronize().unwrap();

    let dir = tempfile::tempdir().unwrap();
    let mut reference = OnnxEngine::open_with(locked(&TestModel::default()), &Plans::in_folder(dir.path().to_owned())).unwrap();
    reference.input_mut().copy_from_slice(&picture);
    reference.run().unwrap();
    let outputs = tensors.iter().zip(&buffers).filter(|(tensor, _)| !tensor.is_input);
    for (index, (tensor, buffer)) in outputs.enumerate() {
        let answer = stream.clone_dtoh(buffer).unwrap();
        let worst = answer.iter().zip(reference.tensor(index)).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(answer.len() == reference.tensor(index).len() && worst < 1e-3, "{}: {worst}", tensor.name);
    }
    println!("RAN a_plan_answers_as_the_model_does on a GPU: {library}, {device}, {} bytes of its memory", run.device_bytes());
}
