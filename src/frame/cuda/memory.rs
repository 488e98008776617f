//! Memory on a device, and host memory that a device copies from and to by itself. Each is taken once, before frames come; how
//! often is counted.

use super::CudaError;
use super::device::Shared;
use crate::frame::RingReader;
use cudarc::driver::{CudaEvent, result, sys};
use std::marker::PhantomData;
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// What a copy carries, for the counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Payload {
    /// A picture, or as many numbers as it has pixels.
    Pixels,
    /// All else: tables, results.
    Numbers,
}

/// Memory of a device, zeros at first.
#[derive(Debug)]
pub struct DeviceBuffer {
    memory: Arc<Memory>,
}

#[derive(Debug)]
pub(super) struct Memory {
    pointer: sys::CUdeviceptr,
    bytes: usize,
    shared: Arc<Shared>,
}

impl DeviceBuffer {
    pub(super) fn new(shared: &Arc<Shared>, bytes: usize) -> Result<Self, CudaError> {
        shared.bind()?;
        let bytes = bytes.max(1);
        // SAFETY: the memory is written before anybody reads it, and freed once, by `Memory`.
        let pointer = unsafe { result::malloc_sync(bytes) }.map_err(|error| shared.no_memory(bytes, error))?;
        shared.counts.allocated();
        let memory = Arc::new(Memory { pointer, bytes, shared: shared.clone() });
        // SAFETY: it was made just now, and has so many bytes.
        let cleared = unsafe { result::memset_d8_sync(pointer, 0, bytes) };
        // The call comes back before it is done, and other streams do not wait for it.
        cleared.and_then(|()| result::ctx::synchronize()).map_err(|error| shared.failed("clearing its memory", error))?;
        Ok(DeviceBuffer { memory })
    }

    pub fn span(&self) -> DeviceSpan<'_> {
        DeviceSpan { pointer: self.memory.pointer, bytes: self.memory.bytes, owner: Some(&self.memory), lent: PhantomData }
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        if self.shared.is_idle() {
            // SAFETY: made by `malloc_sync`, freed here alone, and nothing on the device runs any more.
            let _ = unsafe { result::free_sync(self.pointer) };
        }
    }
}

/// A stretch of a device's memory, lent.
#[derive(Debug, Clone, Copy)]
pub struct DeviceSpan<'a> {
    pub(super) pointer: sys::CUdeviceptr,
    pub(super) bytes: usize,
    /// None: it is somebody else's.
    pub(super) owner: Option<&'a Arc<Memory>>,
    pub(super) lent: PhantomData<&'a ()>,
}

impl DeviceSpan<'_> {
    /// Memory that somebody else took.
    ///
    /// # Safety
    /// `pointer` is the start of `bytes` bytes of this device's memory, and they stay as long as anything that was begun with it runs.
    pub unsafe fn of(pointer: u64, bytes: usize) -> Self {
        DeviceSpan { pointer, bytes, owner: None, lent: PhantomData }
    }

    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Its first `bytes`.
    pub fn first(self, bytes: usize) -> Result<Self, CudaError> {
        if bytes > self.bytes {
            return Err(CudaError::Outside { what: "the start of device memory", asked: bytes, bytes: self.bytes });
        }
        Ok(DeviceSpan { bytes, ..self })
    }

    /// What lies behind its first `offset` bytes.
    pub fn from(self, offset: usize) -> Result<Self, CudaError> {
        if offset > self.bytes {
            return Err(CudaError::Outside { what: "a part of device memory", asked: offset, bytes: self.bytes });
        }
        Ok(DeviceSpan { pointer: self.pointer + offset as u64, bytes: self.bytes - offset, ..self })
    }

    /// For libraries that find their tensors there; what they do with it is begun and waited for like anything else.
    pub fn address(&self) -> u64 {
        self.pointer
    }
}

/// Rows of a picture in a device's memory.
#[derive(Debug, Clone, Copy)]
pub struct DevicePlane<'a> {
    /// The first row begins where it begins.
    pub span: DeviceSpan<'a>,
    /// Bytes from one row to the next.
    pub stride: usize,
}

impl DevicePlane<'_> {
    /// Does it hold so many rows of so many bytes?
    pub(super) fn check(&self, row_bytes: usize, rows: usize) -> Result<(), CudaError> {
        if row_bytes > self.stride {
            return Err(CudaError::Outside { what: "a row in device memory", asked: row_bytes, bytes: self.stride });
        }
        let asked = rows.saturating_sub(1).saturating_mul(self.stride).saturating_add(row_bytes);
        if asked > self.span.bytes {
            return Err(CudaError::Outside { what: "rows in device memory", asked, bytes: self.span.bytes });
        }
        Ok(())
    }
}

/// Host memory that stays where it is, zeros at first. Whoever wants its bytes waits until no copy uses them.
#[derive(Debug)]
pub struct PinnedBuffer {
    pointer: NonNull<u8>,
    bytes: usize,
    /// After the last copy that used it.
    pub(super) used: CudaEvent,
    shared: Arc<Shared>,
}

// SAFETY: the memory belongs to this alone, and may be used on any thread.
unsafe impl Send for PinnedBuffer {}

impl PinnedBuffer {
    pub(super) fn new(shared: &Arc<Shared>, bytes: usize) -> Result<Self, CudaError> {
        shared.bind()?;
        let bytes = bytes.max(1);
        let used = shared.event()?;
        // Not write-combined: the processor reads it as fast as any other memory.
        // SAFETY: the memory is written before anybody reads it, and freed once, in `drop`.
        let pointer = unsafe { result::malloc_host(bytes, 0) }.map_err(|error| shared.no_memory(bytes, error))?;
        let pointer = NonNull::new(pointer.cast::<u8>()).ok_or_else(|| CudaError::NoMemory {
            device: shared.name.clone(),
            bytes,
            reason: "no host memory to copy from and to".to_owned(),
        })?;
        shared.counts.allocated();
        // SAFETY: it was made just now, and has so many bytes.
        unsafe { pointer.write_bytes(0, bytes) };
        Ok(PinnedBuffer { pointer, bytes, used, shared: shared.clone() })
    }

    pub fn bytes(&self) -> Result<&[u8], CudaError> {
        self.settle()?;
        // SAFETY: so many bytes lie there, written once at least, and no copy writes them any more.
        Ok(unsafe { std::slice::from_raw_parts(self.pointer.as_ptr(), self.bytes) })
    }

    pub fn bytes_mut(&mut self) -> Result<&mut [u8], CudaError> {
        self.settle()?;
        // SAFETY: as in `bytes`, no copy reads them any more, and this is the only borrow.
        Ok(unsafe { std::slice::from_raw_parts_mut(self.pointer.as_ptr(), self.bytes) })
    }

    fn settle(&self) -> Result<(), CudaError> {
        self.used.synchronize().map_err(|error| self.shared.failed("waiting for a copy", error))
    }

    /// For a copy that is about to begin, of the first `bytes`.
    pub(super) fn start(&self, bytes: usize) -> Result<*mut u8, CudaError> {
        if bytes > self.bytes {
            return Err(CudaError::Outside { what: "host memory of a copy", asked: bytes, bytes: self.bytes });
        }
        Ok(self.pointer.as_ptr())
    }
}

impl Drop for PinnedBuffer {
    fn drop(&mut self) {
        if self.shared.hangs.load(Ordering::Relaxed) {
            return;
        }
        let _ = self.used.synchronize();
        // SAFETY: made by `malloc_host`, freed here alone, and no copy uses it any more.
        let _ = unsafe { result::free_host(self.pointer.as_ptr().cast()) };
    }
}

/// Host memory whose pages stay where they are, so that copies from it need no other memory in between.
#[derive(Debug)]
pub(in crate::frame) struct Registered {
    start: NonNull<u8>,
    shared: Arc<Shared>,
}

// SAFETY: it only remembers where the memory begins.
unsafe impl Send for Registered {}
// SAFETY: as above.
unsafe impl Sync for Registered {}

impl Registered {
    /// # Safety
    /// It is a mapping of so many bytes, which outlives this. `is_read_only`: it is mapped so.
    pub(super) unsafe fn new(shared: &Arc<Shared>, (start, bytes): (NonNull<u8>, usize), is_read_only: bool) -> Result<Self, CudaError> {
        shared.bind()?;
        let flags = if is_read_only { sys::CU_MEMHOSTREGISTER_READ_ONLY } else { 0 };
        // SAFETY: as the caller says.
        let registered = unsafe { sys::cuMemHostRegister_v2(start.as_ptr().cast(), bytes, flags) };
        registered.result().map_err(|error| shared.failed("registering the frames' memory", error))?;
        Ok(Registered { start, shared: shared.clone() })
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        if self.shared.is_idle() {
            // SAFETY: registered by `new`, and here alone it is undone; the mapping goes after this.
            let _ = unsafe { sys::cuMemHostUnregister(self.start.as_ptr().cast()) };
        }
    }
}

/// The frame ring of another process, mapped for reading only. It goes after its registration.
#[derive(Debug)]
pub struct RegisteredRing {
    _registered: Registered,
    _ring: Arc<RingReader>,
}

impl RegisteredRing {
    pub(super) fn new(shared: &Arc<Shared>, ring: Arc<RingReader>) -> Result<Self, CudaError> {
        // SAFETY: the mapping lives as long as `ring`, which goes after it.
        let registered = unsafe { Registered::new(shared, ring.memory(), true)? };
        Ok(RegisteredRing { _registered: registered, _ring: ring })
    }
}
