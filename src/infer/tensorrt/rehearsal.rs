//! What stands in for TensorRT in a process with the tests' driver: its plans are ONNX models, and ONNX Runtime runs them on the
//! processor, at the addresses that are bound, when the stream comes to it.

use super::{Kind, RawOpen, RawRun, RawTensor, Shim, TensorRt};
use crate::infer::runtime;
use crate::infer::tensorrt::ffi::Opened;
use cudarc::driver::sys;
use half::f16;
use ort::session::Session;
use ort::value::{DynValue, PrimitiveTensorElementType, Tensor, TensorElementType, ValueType};
use std::collections::HashMap;
use std::ffi::{CStr, CString, c_char, c_void};
use std::fmt::Debug;
use std::slice;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};

/// Such a plan is refused by its header.
pub const REFUSED: &[u8] = b"refused";

/// How often the library was told to run a plan, recorded or not.
pub static ENQUEUED: AtomicUsize = AtomicUsize::new(0);
/// The library does not run a plan while the stream records.
pub static REFUSES_RECORDING: AtomicBool = AtomicBool::new(false);

const SHIM: Shim = Shim { judge, open, describe, device_bytes, bind, enqueue, close };

pub fn library() -> TensorRt {
    TensorRt { kind: Kind::Rtx, opened: Opened::nothing(), shim: SHIM }
}

struct Played {
    session: Session,
    tensors: Vec<PlayedTensor>,
    bound: HashMap<CString, *mut c_void>,
    log: Box<dyn Fn(&CStr)>,
}

struct PlayedTensor {
    name: CString,
    type_name: CString,
    ty: TensorElementType,
    is_input: bool,
    shape: Vec<i64>,
}

unsafe extern "C" fn judge(open: *const RawOpen, reasons: *mut u64) -> i32 {
    // SAFETY: called by `TensorRt::judge`.
    let (open, reasons) = unsafe { (&*open, &mut *reasons) };
    // SAFETY: as above.
    let plan = unsafe { slice::from_raw_parts(open.plan, open.bytes) };
    *reasons = 0b10;
    if plan.starts_with(REFUSED) { 2 } else { 0 }
}

unsafe extern "C" fn open(open: *const RawOpen) -> RawRun {
    // SAFETY: called by `TensorRt::load`; what is logged to stays as long as the run.
    let (plan, logged, context) = unsafe { (slice::from_raw_parts((*open).plan, (*open).bytes), (*open).logged, (*open).context) };
    // SAFETY: as above.
    let log = Box::new(move |text: &CStr| unsafe { logged(context, 0, text.as_ptr()) });
    let Ok(session) = Session::builder(&runtime::environment().unwrap()).unwrap().commit_from_memory(plan) else {
        log(c"this is no plan");
        return std::ptr::null_mut();
    };
    let tensor = |name: &str, of: &ValueType, is_input| {
        let ValueType::Tensor { ty, shape, .. } = of else { panic!("{name} is no tensor") };
        // As a plan that was built with an open batch of 1.
        let shape = shape.iter().map(|&side| side.max(1)).collect();
        let type_name = CString::new(crate::infer::port::type_name(*ty)).unwrap();
        PlayedTensor { name: CString::new(name).unwrap(), type_name, ty: *ty, is_input, shape }
    };
    let inputs = session.inputs().iter().map(|outlet| tensor(outlet.name(), outlet.dtype(), true));
    let outputs = session.outputs().iter().map(|outlet| tensor(outlet.name(), outlet.dtype(), false));
    let tensors = inputs.chain(outputs).collect();
    Box::into_raw(Box::new(Played { session, tensors, bound: HashMap::new(), log })).cast()
}

unsafe extern "C" fn describe(run: RawRun, context: *mut c_void, told: super::Described) {
    // SAFETY: `open` made it.
    let played = unsafe { &*run.cast::<Played>() };
    for tensor in &played.tensors {
        let mut sides = [0; 8];
        sides[..tensor.shape.len()].copy_from_slice(&tensor.shape);
        let raw = RawTensor {
            name: tensor.name.as_ptr(),
            number_type: tensor.type_name.as_ptr(),
            is_input: tensor.is_input.into(),
            side_count: tensor.shape.len() as i32,
            sides,
        };
        // SAFETY: as `Run::tensors` calls this.
        unsafe { told(context, &raw) };
    }
}

unsafe extern "C" fn device_bytes(_: RawRun) -> i64 {
    0
}

unsafe extern "C" fn bind(run: RawRun, name: *const c_char, address: *mut c_void) -> i32 {
    // SAFETY: `open` made it, and `Run::bind` the name.
    let (played, name) = unsafe { (&mut *run.cast::<Played>(), CStr::from_ptr(name)) };
    let is_known = played.tensors.iter().any(|tensor| *tensor.name == *name);
    played.bound.insert(name.to_owned(), address);
    is_known.into()
}

unsafe extern "C" fn enqueue(run: RawRun, stream: *mut c_void) -> i32 {
    ENQUEUED.fetch_add(1, Relaxed);
    // SAFETY: `open` made it.
    let played = unsafe { &*run.cast::<Played>() };
    assert_eq!(played.bound.len(), played.tensors.len(), "not all is bound");
    let mut status = sys::CUstreamCaptureStatus::CU_STREAM_CAPTURE_STATUS_NONE;
    // SAFETY: the tests' driver; the run stays until the stream was waited for.
    unsafe {
        sys::cuStreamIsCapturing(stream.cast(), &mut status);
        if status != sys::CUstreamCaptureStatus::CU_STREAM_CAPTURE_STATUS_NONE && REFUSES_RECORDING.load(Relaxed) {
            (played.log)(c"this plan is not recorded");
            return 0;
        }
        i32::from(sys::cuLaunchHostFunc(stream.cast(), Some(play), run) == sys::CUresult::CUDA_SUCCESS)
    }
}

unsafe extern "C" fn close(run: RawRun) {
    // SAFETY: `open` made it, and it is closed once.
    drop(unsafe { Box::from_raw(run.cast::<Played>()) });
}

unsafe extern "C" fn play(run: *mut c_void) {
    fn of<T: PrimitiveTensorElementType + Debug + Copy + 'static>(shape: &[i64], from: *mut c_void) -> DynValue {
        let numbers = shape.iter().product::<i64>() as usize;
        // SAFETY: so many lie there: `TensorRtEngine` has bound it.
        let numbers = unsafe { slice::from_raw_parts(from.cast::<T>(), numbers) };
        Tensor::from_array((shape.to_vec(), numbers.to_vec())).unwrap().into_dyn()
    }
    fn give<T: PrimitiveTensorElementType + Debug + Copy + 'static>(value: &DynValue, to: *mut c_void) {
        let (_, numbers) = value.try_extract_tensor::<T>().unwrap();
        // SAFETY: as above.
        unsafe { slice::from_raw_parts_mut(to.cast::<T>(), numbers.len()) }.copy_from_slice(numbers);
    }
    // SAFETY: `enqueue` was called with it, and nobody else uses it meanwhile.
    let Played { session, tensors, bound, .. } = unsafe { &mut *run.cast::<Played>() };
    let (inputs, outputs): (Vec<_>, Vec<_>) = tensors.iter().partition(|tensor| tensor.is_input);
    let inputs = inputs.into_iter().map(|input| {
        let at = bound[&input.name];
        let value = match input.ty {
            TensorElementType::Float32 => of::<f32>(&input.shape, at),
            TensorElementType::Float16 => of::<f16>(&input.shape, at),
            other => panic!("no test has such an input: {other}"),
        };
        (input.name.to_str().unwrap().to_owned(), value)
    });
    let values = session.run(inputs.collect::<Vec<_>>()).unwrap();
    for output in outputs {
        let (value, at) = (&values[output.name.to_str().unwrap()], bound[&output.name]);
        match output.ty {
            TensorElementType::Float32 => give::<f32>(value, at),
            TensorElementType::Float16 => give::<f16>(value, at),
            TensorElementType::Int64 => give::<i64>(value, at),
            other => panic!("no test has such an output: {other}"),
        }
    }
}
