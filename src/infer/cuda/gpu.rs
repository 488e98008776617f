//! What an engine on a GPU has beside its model: the device and a stream that all of its work is queued on; and for ONNX Runtime its
//! CUDA provider with the NVIDIA libraries that it needs, opened at run time.

use super::super::error::InferError;
use super::super::onnx_tensor::Room;
use super::super::runtime;
use super::programs::program;
use crate::base::library::words;
use crate::frame::cuda::{self, Device, DeviceInfo, Kernel, Nvrtc, Priority, Stream, Traffic};
use crate::store::Plans;
use libloading::os::unix::{Library, RTLD_GLOBAL, RTLD_NOW};
use ort::ep::{ArenaExtendStrategy, CUDA, cuda::ConvAlgorithmSearch};
use ort::session::{NoSelectedOutputs, RunOptions, Session, builder::SessionBuilder};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// Lies beside ONNX Runtime's own library, which opens it.
const PROVIDER: &str = "libonnxruntime_providers_cuda.so";
/// What the provider needs, in the order of their own needs. The set-up puts them beside it; those that are not there are looked for
/// where this system looks for libraries.
const LIBRARIES: [&str; 6] =
    ["libcudart.so.13", "libcublasLt.so.13", "libcublas.so.13", "libcurand.so.10", "libnvrtc.so.13", "libcudnn.so.9"];

pub struct Gpu {
    stream: Stream,
    device: Device,
    /// Of its memory, as it was opened.
    free_before: usize,
    /// The tests' driver has a stream and copies, and the processor plays the model.
    #[cfg(test)]
    is_rehearsal: bool,
}

/// The provider's file; an error where it is not installed.
pub fn provider() -> Result<PathBuf, InferError> {
    let folder = runtime::library()?.parent().map(Path::to_owned).unwrap_or_default();
    let file = folder.join(PROVIDER);
    if file.is_file() { Ok(file) } else { Err(InferError::NoProvider { library: PROVIDER, folder }) }
}

impl Gpu {
    /// For ONNX Runtime.
    pub fn open(info: &DeviceInfo) -> Result<Self, InferError> {
        open_libraries(&provider()?)?;
        Self::of(info)
    }

    /// On the first device that can be used; an error: why none can, or what is not installed.
    pub fn of_this_machine() -> Result<Self, InferError> {
        provider()?;
        Self::open(&usable_device()?)
    }

    /// For a process with the tests' driver.
    #[cfg(test)]
    pub(in crate::infer) fn rehearsal() -> Self {
        Gpu { is_rehearsal: true, ..Self::of(&cuda::usable_device().unwrap()).unwrap() }
    }

    /// The device, and nothing but what every library needs of it.
    pub(in crate::infer) fn of(info: &DeviceInfo) -> Result<Self, InferError> {
        let device = Device::open(info)?;
        let stream = device.stream(Priority::Low)?;
        Ok(Gpu {
            free_before: device.free_bytes()?,
            stream,
            device,
            #[cfg(test)]
            is_rehearsal: false,
        })
    }

    fn ordinal(&self) -> usize {
        self.device.info().ordinal
    }

    /// Where the tensors of a session on this device lie.
    pub(in crate::infer) fn room(&self, session: &Session) -> ort::Result<Room> {
        #[cfg(test)]
        if self.is_rehearsal {
            return Ok(Room::rehearsal());
        }
        Room::on_device(session, self.ordinal())
    }

    pub fn device(&self) -> &Device {
        &self.device
    }

    pub fn stream(&self) -> &Stream {
        &self.stream
    }

    /// Makes the entries of `kernel` ready to be launched: compiled now, or taken as they were kept.
    pub fn load(&mut self, kernel: &Kernel) -> Result<(), InferError> {
        load(&mut self.device, kernel)
    }

    /// What is gone of the device's memory since it was opened: ours, and what others on it took meanwhile.
    pub fn taken_bytes(&self) -> Result<usize, InferError> {
        Ok(self.free_before.saturating_sub(self.device.free_bytes()?))
    }

    /// What went over the bus since it was opened.
    pub fn traffic(&self) -> Traffic {
        self.device.traffic()
    }

    /// Of the device's memory, whoever else has some of it.
    pub fn free_bytes(&self) -> Result<usize, InferError> {
        Ok(self.device.free_bytes()?)
    }

    /// For runs that come back when their work is queued; who wants their outputs waits for the stream.
    pub(in crate::infer) fn queued(&self) -> Result<RunOptions<NoSelectedOutputs>, InferError> {
        let unusable = |e: ort::Error| unusable(&e.to_string());
        let mut queued = RunOptions::new().map_err(unusable)?;
        queued.disable_device_sync().map_err(unusable)?;
        Ok(queued)
    }

    /// Puts the work of the session that is built on this stream.
    pub(in crate::infer) fn take_on(&self, builder: SessionBuilder) -> Result<SessionBuilder, InferError> {
        #[cfg(test)]
        if self.is_rehearsal {
            return Ok(builder);
        }
        let provider = CUDA::default()
            .with_device_id(self.ordinal() as i32)
            // The same numbers at each start: no algorithm is chosen by how long it took, none rounds to fewer bits.
            .with_conv_algorithm_search(ConvAlgorithmSearch::Heuristic)
            .with_tf32(false)
            .with_arena_extend_strategy(ArenaExtendStrategy::SameAsRequested);
        // SAFETY: an engine's session goes before its `Gpu`, and the stream with that.
        let provider = unsafe { provider.with_compute_stream(self.stream.handle()) };
        let take = || -> ort::Result<SessionBuilder> {
            // Where it cannot be had that is an error, and nothing goes on the processor instead.
            Ok(builder.with_deterministic_compute(true)?.with_execution_providers([provider.build().error_on_failure()])?)
        };
        take().map_err(|e| unusable(&e.to_string()))
    }
}

/// Makes the entries of `kernel` ready to be launched on `device`: compiled now, or taken as they were kept.
pub fn load(device: &mut Device, kernel: &Kernel) -> Result<(), InferError> {
    let ptx = program(kernel, device.architecture(), &Nvrtc::open()?, &Plans::of_this_user())?;
    Ok(device.load(kernel, &ptx)?)
}

/// The device that `Gpu::open` would run an engine on. Where the provider is installed, what it needs can be opened.
pub fn usable_device() -> Result<DeviceInfo, InferError> {
    let info = cuda::usable_device()?;
    match provider() {
        Ok(provider) => open_libraries(&provider).map(|()| info),
        Err(_) => Ok(info),
    }
}

/// Once a process: libraries that are open stay so.
fn open_libraries(provider: &Path) -> Result<(), InferError> {
    static OPENED: OnceLock<Result<(), String>> = OnceLock::new();
    let opened = OPENED.get_or_init(|| {
        LIBRARIES.into_iter().try_for_each(|name| {
            let beside = provider.with_file_name(name);
            let path = if beside.is_file() { beside } else { PathBuf::from(name) };
            // SAFETY: NVIDIA's libraries, the set-up's or the system's: their start-up code needs nothing of us.
            let library = unsafe { Library::open(Some(&path), RTLD_NOW | RTLD_GLOBAL) }.map_err(|error| words(&error))?;
            // It is found by its name from now on, and must not go again.
            std::mem::forget(library);
            Ok(())
        })
    });
    opened.as_ref().map_err(|reason| unusable(reason)).copied()
}

/// What ONNX Runtime or the loader says where the provider does not come up.
fn unusable(reason: &str) -> InferError {
    // Before it, ONNX Runtime names a place in its own source.
    let reason = reason.rsplit_once("FAIL : ").map_or(reason, |(_, reason)| reason).trim();
    let missing = reason.split_whitespace().map(|word| word.trim_end_matches(':')).find(|word| LIBRARIES.contains(word));
    let remedy = match missing {
        Some(name) => format!("'{name}' is missing: run `hw/install.sh cuda`, or install CUDA 13 and cuDNN 9"),
        None => "run `hw/install.sh cuda` to install the version that this binary needs".to_owned(),
    };
    InferError::Provider { reason: reason.to_owned(), remedy }
}

#[cfg(test)]
#[path = "gpu_tests.rs"]
mod tests;
