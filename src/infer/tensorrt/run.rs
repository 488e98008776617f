//! A plan on this machine's GPU: what the library says of it, and a loaded one with its tensors bound to addresses of the device. No
//! runtime is created before a CUDA driver has answered: without one, some of NVIDIA's libraries crash.

use super::device;
use super::error::TensorRtError;
use super::ffi::{Create, RawTensor, Tensor, text};
use super::{Kind, TensorRt};
use std::ffi::{CString, c_char, c_void};
use std::ptr::without_provenance_mut;
use std::sync::{Mutex, PoisonError};

/// What TensorRT-RTX says of a plan on this device, by its header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Judgement {
    Runs,
    RunsSlowly,
    Refused(Vec<&'static str>),
}

/// EngineInvalidityDiagnostics of NvInferRuntime.h, from its lowest bit.
const REASONS: [&str; 7] = [
    "it was made by another version of the library",
    "it was not made for this compute capability",
    "the driver is older than it needs",
    "the CUDA runtime is older than it needs",
    "the device has too little memory",
    "it is damaged",
    "CUDA failed",
];

/// As `KeyholeOpen` of shim_run.cpp.
#[repr(C)]
struct RawOpen {
    create_runtime: Create,
    plan: *const u8,
    bytes: usize,
    context: *const c_void,
    logged: unsafe extern "C" fn(*const c_void, i32, *const c_char),
}

/// KeyholeRun of shim_run.cpp.
type RawRun = *mut c_void;
type Described = unsafe extern "C" fn(*mut c_void, *const RawTensor);

macro_rules! shim {
    ($($name:ident: $rtx:ident, $standard:ident, fn($($argument:ty),*) $(-> $result:ty)?;)+) => {
        unsafe extern "C" {
            $(fn $rtx($(_: $argument),*) $(-> $result)?; fn $standard($(_: $argument),*) $(-> $result)?;)+
        }

        /// shim_run.cpp as it was compiled for one kind.
        #[derive(Debug, Clone, Copy)]
        pub(super) struct Shim {
            $($name: unsafe extern "C" fn($($argument),*) $(-> $result)?,)+
        }

        impl Shim {
            pub(super) fn of(kind: Kind) -> Self {
                match kind {
                    Kind::Rtx => Shim { $($name: $rtx,)+ },
                    Kind::Standard => Shim { $($name: $standard,)+ },
                }
            }
        }
    };
}

shim! {
    judge: keyhole_rtx_judge, keyhole_standard_judge, fn(*const RawOpen, *mut u64) -> i32;
    open: keyhole_rtx_open, keyhole_standard_open, fn(*const RawOpen) -> RawRun;
    describe: keyhole_rtx_describe, keyhole_standard_describe, fn(RawRun, *mut c_void, Described);
    device_bytes: keyhole_rtx_device_bytes, keyhole_standard_device_bytes, fn(RawRun) -> i64;
    bind: keyhole_rtx_bind, keyhole_standard_bind, fn(RawRun, *const c_char, *mut c_void) -> i32;
    enqueue: keyhole_rtx_enqueue, keyhole_standard_enqueue, fn(RawRun, *mut c_void) -> i32;
    close: keyhole_rtx_close, keyhole_standard_close, fn(RawRun);
}

/// The library's errors since they were last taken.
type Errors = Mutex<Vec<String>>;

fn taken(errors: &Errors) -> String {
    let errors = std::mem::take(&mut *errors.lock().unwrap_or_else(PoisonError::into_inner));
    if errors.is_empty() { "it does not say why".to_owned() } else { errors.join("; ") }
}

unsafe extern "C" fn logged(context: *const c_void, severity: i32, message: *const c_char) {
    // SAFETY: called by shim_run.cpp with the `Errors` that its `RawOpen` points to, and a text that lives until this returns.
    let (errors, message) = unsafe { (&*context.cast::<Errors>(), text(message)) };
    tracing::info!("{}", message.trim_end());
    if severity < 2 {
        errors.lock().unwrap_or_else(PoisonError::into_inner).push(message.trim_end().to_owned());
    }
}

impl TensorRt {
    /// Of this machine's GPU; None: standard TensorRT only says so when it loads the plan.
    pub fn judge(&self, plan: &[u8]) -> Result<Option<Judgement>, TensorRtError> {
        let kind = self.kind();
        device(kind)?;
        let (errors, mut bits) = (Errors::default(), 0);
        let open = self.raw_open(plan, &errors);
        // SAFETY: there is a driver; `open` and what it points to live until the call returns.
        let judged = match unsafe { (self.shim.judge)(&open, &mut bits) } {
            0 => Judgement::Runs,
            1 => Judgement::RunsSlowly,
            2 => {
                let reasons = REASONS.iter().enumerate().filter(|(bit, _)| bits >> bit & 1 == 1);
                Judgement::Refused(reasons.map(|(_, reason)| *reason).collect())
            }
            _ => return Ok(None),
        };
        Ok(Some(judged))
    }

    /// A plan that this library made. A CUDA context of the device is current on this thread.
    pub fn load(&self, plan: &[u8]) -> Result<Run, TensorRtError> {
        let kind = self.kind();
        let device = device(kind)?;
        let (errors, shim) = (Box::new(Errors::default()), self.shim);
        let open = self.raw_open(plan, &errors);
        // SAFETY: there is a driver; the plan lives until the call returns, and the errors, which do not move, as long as the run.
        let raw = unsafe { (shim.open)(&open) };
        if raw.is_null() {
            return Err(TensorRtError::NotLoaded { library: self.to_string(), device: device.to_string(), reason: taken(&errors) });
        }
        Ok(Run { raw, shim, errors })
    }

    fn raw_open(&self, plan: &[u8], errors: &Errors) -> RawOpen {
        let create_runtime = self.opened.create_runtime;
        RawOpen { create_runtime, plan: plan.as_ptr(), bytes: plan.len(), context: (&raw const *errors).cast(), logged }
    }
}

/// A loaded plan.
#[derive(Debug)]
pub struct Run {
    raw: RawRun,
    shim: Shim,
    errors: Box<Errors>,
}

// SAFETY: an execution context is bound to no thread; all that changes it asks for it alone.
unsafe impl Send for Run {}

impl Drop for Run {
    fn drop(&mut self) {
        // SAFETY: it was opened and not closed yet; the errors go after it.
        unsafe { (self.shim.close)(self.raw) }
    }
}

impl Run {
    /// Inputs and outputs.
    pub fn tensors(&self) -> Vec<Tensor> {
        unsafe extern "C" fn described(context: *mut c_void, tensor: *const RawTensor) {
            // SAFETY: called below, with the list and a tensor that live until this returns.
            unsafe { (*context.cast::<Vec<Tensor>>()).push((*tensor).read()) }
        }
        let mut tensors: Vec<Tensor> = Vec::new();
        // SAFETY: the run is open; the list lives until the call returns, and nobody else uses it meanwhile.
        unsafe { (self.shim.describe)(self.raw, (&raw mut tensors).cast(), described) };
        tensors
    }

    /// What the library took of the device's memory for what lies between inputs and outputs.
    pub fn device_bytes(&self) -> u64 {
        // SAFETY: the run is open.
        let bytes = unsafe { (self.shim.device_bytes)(self.raw) };
        u64::try_from(bytes).unwrap_or(0)
    }

    /// Puts a tensor at an address of the device, aligned to 256 bytes, for all runs to come.
    ///
    /// # Safety
    /// The memory has the tensor's size, and stays until no enqueue follows and what was enqueued is done, or the tensor is bound
    /// elsewhere.
    pub unsafe fn bind(&mut self, tensor: &str, address: u64) -> Result<(), String> {
        let name = CString::new(tensor).map_err(|e| e.to_string())?;
        // SAFETY: as the caller says.
        let is_bound = unsafe { (self.shim.bind)(self.raw, name.as_ptr(), without_provenance_mut(address as usize)) } != 0;
        is_bound.then_some(()).ok_or_else(|| taken(&self.errors))
    }

    /// Has the device run the plan, after what the stream already holds; returns before it is done.
    ///
    /// # Safety
    /// All tensors are bound, the stream is of the context in which the plan was loaded, and nobody else uses the tensors' memory until
    /// it is done. While the stream records: so it is at each replay.
    pub unsafe fn enqueue(&mut self, stream: *mut c_void) -> Result<(), String> {
        // SAFETY: as the caller says.
        let is_enqueued = unsafe { (self.shim.enqueue)(self.raw, stream) } != 0;
        is_enqueued.then_some(()).ok_or_else(|| taken(&self.errors))
    }
}

#[cfg(test)]
#[path = "rehearsal.rs"]
pub(super) mod rehearsal;
#[cfg(test)]
#[path = "run_tests.rs"]
mod tests;
