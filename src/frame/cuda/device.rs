//! One device at work. Everything that costs time or memory (kernels, buffers, streams) is asked for before frames come.
//!
//! ```text
//!   host ring slot ─► PinnedBuffer ─upload─► DeviceBuffer ─launch…─► DeviceBuffer ─read_back─► PinnedBuffer ─► results
//! ```

use super::counts::{Counts, Traffic};
use super::driver::{DeviceInfo, words};
use super::import::ImportedBuffer;
use super::memory::{DeviceBuffer, DeviceSpan, PinnedBuffer, Registered, RegisteredRing};
use super::ptx::{self, Arguments, MOST_ARGUMENTS};
use super::stream::{Event, Priority, Stream};
use super::{Architecture, CudaError, Kernel, Launch};
use crate::frame::RingReader;
use crate::frame::vulkan::SharedBuffer;
use cudarc::driver::{CudaContext, CudaEvent, CudaFunction, DriverError, result, sys};
use cudarc::nvrtc::Ptx;
use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Memory for a picture format, and the first launch of a kernel, are there sooner.
const MAKING: Duration = Duration::from_secs(2);

/// What all that belongs to a device needs of it.
#[derive(Debug)]
pub(super) struct Shared {
    pub context: Arc<CudaContext>,
    pub name: String,
    pub counts: Counts,
    /// It did not answer once: nobody waits for it again.
    pub hangs: AtomicBool,
}

impl Shared {
    /// To be called before each call that does not do it itself: a context belongs to a thread.
    pub fn bind(&self) -> Result<(), CudaError> {
        self.context.bind_to_thread().map_err(|error| self.failed("its context", error))
    }

    /// Waits until nothing on it runs any more, before something is given back that it may use. False: it hangs, and that stays. (An error
    /// says that the context is gone, and all that was in it.)
    pub fn is_idle(&self) -> bool {
        let hangs = self.hangs.load(Ordering::Relaxed);
        if !hangs {
            let _ = self.bind().map(|()| result::ctx::synchronize());
        }
        !hangs
    }

    pub fn failed(&self, what: &'static str, error: DriverError) -> CudaError {
        CudaError::Failed { device: self.name.clone(), what, reason: words(error) }
    }

    /// Who waits for it sleeps: the context's own setting is for streams only (cuEventSynchronize).
    pub fn event(&self) -> Result<CudaEvent, CudaError> {
        let made = self.context.new_event(Some(sys::CUevent_flags::CU_EVENT_BLOCKING_SYNC));
        made.map_err(|error| self.failed("making an event", error))
    }

    /// What it means where memory was asked for.
    pub fn no_memory(&self, bytes: usize, error: DriverError) -> CudaError {
        match error.0 {
            sys::CUresult::CUDA_ERROR_OUT_OF_MEMORY => CudaError::NoMemory { device: self.name.clone(), bytes, reason: words(error) },
            _ => self.failed("taking memory", error),
        }
    }
}

/// A device's context, for libraries that take memory in it themselves. It stays as long as this does.
#[derive(Debug, Clone)]
pub struct Context {
    shared: Arc<Shared>,
}

impl Context {
    pub fn handle(&self) -> *mut () {
        self.shared.context.cu_ctx().cast()
    }

    /// The driver's number of its device.
    pub fn ordinal(&self) -> usize {
        self.shared.context.ordinal()
    }

    /// Its device's.
    pub fn name(&self) -> &str {
        &self.shared.name
    }
}

/// One argument of a launch.
#[derive(Debug, Clone, Copy)]
pub enum Param<'a> {
    /// As its bytes are.
    Value(&'a [u8]),
    Memory(DeviceSpan<'a>),
    /// A null pointer.
    Nothing,
}

impl Param<'_> {
    fn bytes(&self) -> usize {
        match self {
            Param::Value(bytes) => bytes.len(),
            Param::Memory(_) | Param::Nothing => size_of::<sys::CUdeviceptr>(),
        }
    }
}

#[derive(Debug)]
struct Entry {
    function: CudaFunction,
    takes: Arguments,
}

#[derive(Debug)]
pub struct Device {
    shared: Arc<Shared>,
    info: DeviceInfo,
    architecture: Architecture,
    entries: HashMap<&'static str, Entry>,
}

impl Device {
    pub fn open(info: &DeviceInfo) -> Result<Self, CudaError> {
        let architecture = info.architecture()?;
        let failed = |error| CudaError::Failed { device: info.name.clone(), what: "opening it", reason: words(error) };
        let context = CudaContext::new(info.ordinal).map_err(failed)?;
        // Who waits for it sleeps: the processor's cores belong to the picture.
        context.set_blocking_synchronize().map_err(failed)?;
        let shared = Arc::new(Shared { context, name: info.name.clone(), counts: Counts::default(), hangs: AtomicBool::new(false) });
        Ok(Device { shared, info: info.clone(), architecture, entries: HashMap::new() })
    }

    pub fn info(&self) -> &DeviceInfo {
        &self.info
    }

    /// What its kernels are to be compiled to.
    pub fn architecture(&self) -> Architecture {
        self.architecture
    }

    /// On this thread, for libraries that work on whatever device is current.
    pub fn make_current(&self) -> Result<(), CudaError> {
        self.shared.bind()
    }

    pub fn context(&self) -> Context {
        Context { shared: self.shared.clone() }
    }

    pub fn stream(&self, priority: Priority) -> Result<Stream, CudaError> {
        Stream::new(&self.shared, priority)
    }

    pub fn event(&self) -> Result<Event, CudaError> {
        Event::new(&self.shared)
    }

    pub fn buffer(&self, bytes: usize) -> Result<DeviceBuffer, CudaError> {
        DeviceBuffer::new(&self.shared, bytes)
    }

    pub fn pinned(&self, bytes: usize) -> Result<PinnedBuffer, CudaError> {
        PinnedBuffer::new(&self.shared, bytes)
    }

    /// From now on the device reads the frames of `ring` by itself, where the system lets it.
    pub fn register(&self, ring: Arc<RingReader>) -> Result<RegisteredRing, CudaError> {
        RegisteredRing::new(&self.shared, ring)
    }

    /// From now on the device reads this memory by itself.
    ///
    /// # Safety
    /// It is a mapping of so many bytes, which outlives what is returned.
    pub(in crate::frame) unsafe fn register_memory(&self, memory: (NonNull<u8>, usize)) -> Result<Registered, CudaError> {
        // SAFETY: as the caller says.
        unsafe { Registered::new(&self.shared, memory, false) }
    }

    /// Memory of the same device (`frame::vulkan::device_uuid` is its `DeviceInfo::uuid`), as this side sees it.
    pub fn import(&self, buffer: &SharedBuffer) -> Result<ImportedBuffer, CudaError> {
        let memory = buffer.descriptor().map_err(|error| CudaError::Failed {
            device: self.info.name.clone(),
            what: "sharing Vulkan's memory",
            reason: error.to_string(),
        })?;
        self.import_memory(memory, buffer.allocated(), buffer.buffer.size() as usize)
    }

    /// As `import`, of memory whose descriptor came from elsewhere: `bytes` at its start, of so many that were allocated for one buffer.
    pub fn import_memory(&self, memory: OwnedFd, allocated: u64, bytes: usize) -> Result<ImportedBuffer, CudaError> {
        ImportedBuffer::new(&self.shared, memory, allocated, bytes)
    }

    /// Has `work` done, which may wait for it in any call, by another thread; this one waits no longer than it takes a healthy device.
    pub fn patiently<T: Send + 'static>(self: &Arc<Self>, work: impl FnOnce(&Device) -> T + Send + 'static) -> Result<T, CudaError> {
        self.aside(MAKING, work).ok_or_else(|| {
            self.shared.hangs.store(true, Ordering::Relaxed);
            CudaError::Silent { device: self.info.name.clone() }
        })
    }

    /// As `patiently`, and this thread waits for `at_most`. None: it is not done yet, or the device hangs.
    pub fn aside<T: Send + 'static>(self: &Arc<Self>, at_most: Duration, work: impl FnOnce(&Device) -> T + Send + 'static) -> Option<T> {
        if self.shared.hangs.load(Ordering::Relaxed) {
            return None;
        }
        let (done, answer) = crossbeam_channel::bounded(1);
        let device = self.clone();
        let begun = std::thread::Builder::new().name("device".into()).spawn(move || done.send(work(&device)));
        begun.ok().and_then(|_| answer.recv_timeout(at_most).ok())
    }

    /// Of all its streams and buffers, since it was opened.
    pub fn traffic(&self) -> Traffic {
        self.shared.counts.traffic()
    }

    /// Of its memory, whoever else has some of it.
    pub fn free_bytes(&self) -> Result<usize, CudaError> {
        let (free, _) = self.shared.context.mem_get_info().map_err(|error| self.shared.failed("asking for its memory", error))?;
        Ok(free)
    }

    /// Makes the entries of `kernel` ready to be launched, from PTX for this device's architecture or an older one.
    pub fn load(&mut self, kernel: &Kernel, ptx: &str) -> Result<(), CudaError> {
        let mut takes = ptx::arguments_of(kernel, ptx)?;
        let failed = |error| self.shared.failed(kernel.name, error);
        let module = self.shared.context.load_module(Ptx::from_src(ptx)).map_err(failed)?;
        for entry in kernel.entries {
            let function = module.load_function(entry).map_err(failed)?;
            self.entries.insert(entry, Entry { function, takes: takes.remove(entry).unwrap_or_default() });
        }
        Ok(())
    }

    /// Begins a launch on `stream`, with the arguments that its entry takes. What lies behind a pointer is the plan's matter: the room
    /// that made `launch` says how large each buffer must be.
    pub fn launch(&self, stream: &Stream, launch: &Launch, arguments: &[Param<'_>]) -> Result<(), CudaError> {
        let Some(entry) = self.entries.get(launch.entry) else {
            let expected = format!("kernel '{}' to be loaded", launch.kernel.name);
            return Err(CudaError::Arguments { entry: launch.entry, expected, found: "none".to_owned() });
        };
        ptx::check(launch.entry, &entry.takes, arguments.iter().map(Param::bytes))?;
        let mut pointers = [[0; size_of::<sys::CUdeviceptr>()]; MOST_ARGUMENTS];
        for (argument, pointer) in arguments.iter().zip(&mut pointers) {
            if let Param::Memory(span) = argument {
                *pointer = span.pointer.to_ne_bytes();
            }
        }
        let bytes = arguments.iter().zip(&pointers).map(|(argument, pointer)| match *argument {
            Param::Value(bytes) => bytes,
            Param::Memory(_) | Param::Nothing => pointer,
        });
        let memory = arguments.iter().filter_map(|argument| if let Param::Memory(span) = argument { span.owner.cloned() } else { None });
        // SAFETY: there are as many as the entry takes, each of its size; the function's module lives in `entry`.
        unsafe { stream.begin(entry.function.cu_function(), launch, bytes, memory) }
    }
}

#[cfg(test)]
#[path = "device_tests.rs"]
pub mod tests;
