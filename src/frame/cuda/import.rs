//! Memory that Vulkan allocated, as a CUDA device sees it: what is written on either side is read on the other, and nothing is copied.

use super::CudaError;
use super::device::Shared;
use super::memory::DeviceSpan;
use cudarc::driver::{result, sys};
use std::marker::PhantomData;
use std::os::fd::{AsRawFd, IntoRawFd, OwnedFd};
use std::sync::Arc;

/// A `frame::vulkan::SharedBuffer` that was imported (CUDA Driver API, External Resource Interoperability). Who reads what the other side wrote waits
/// for that first.
#[derive(Debug)]
pub struct ImportedBuffer {
    memory: sys::CUexternalMemory,
    pointer: sys::CUdeviceptr,
    bytes: usize,
    shared: Arc<Shared>,
}

// SAFETY: the driver's handle may be used on any thread, and nothing here changes it.
unsafe impl Send for ImportedBuffer {}
// SAFETY: as above; a shared one only tells where it lies.
unsafe impl Sync for ImportedBuffer {}

impl ImportedBuffer {
    /// `bytes` at the start of the memory that `descriptor` is of, which was allocated with `allocated` bytes for one buffer alone.
    pub(super) fn new(shared: &Arc<Shared>, descriptor: OwnedFd, allocated: u64, bytes: usize) -> Result<Self, CudaError> {
        shared.bind()?;
        let failed = |error| shared.failed("importing Vulkan's memory", error);
        if bytes as u64 > allocated {
            return Err(CudaError::Outside { what: "imported memory", asked: bytes, bytes: allocated as usize });
        }
        let wanted = sys::CUDA_EXTERNAL_MEMORY_HANDLE_DESC {
            type_: sys::CUexternalMemoryHandleType::CU_EXTERNAL_MEMORY_HANDLE_TYPE_OPAQUE_FD,
            handle: sys::CUDA_EXTERNAL_MEMORY_HANDLE_DESC_st__bindgen_ty_1 { fd: descriptor.as_raw_fd() },
            size: allocated,
            flags: sys::CUDA_EXTERNAL_MEMORY_DEDICATED,
            reserved: [0; 16],
        };
        let mut memory = std::ptr::null_mut();
        // SAFETY: the descriptor is open and of memory with that size, allocated for one buffer alone.
        unsafe { sys::cuImportExternalMemory(&mut memory, &wanted) }.result().map_err(failed)?;
        // It is the driver's now.
        let _ = descriptor.into_raw_fd();
        // SAFETY: the buffer lies at the start of the memory.
        let mapped = unsafe { result::external_memory::get_mapped_buffer(memory, 0, bytes as u64) };
        let pointer = mapped.map_err(|error| {
            // SAFETY: it was made just now, and nothing is mapped of it.
            let _ = unsafe { result::external_memory::destroy_external_memory(memory) };
            failed(error)
        })?;
        Ok(ImportedBuffer { memory, pointer, bytes, shared: shared.clone() })
    }

    pub fn span(&self) -> DeviceSpan<'_> {
        DeviceSpan { pointer: self.pointer, bytes: self.bytes, owner: None, lent: PhantomData }
    }
}

impl Drop for ImportedBuffer {
    fn drop(&mut self) {
        if !self.shared.is_idle() {
            return;
        }
        // SAFETY: mapped and imported by `new`, undone here alone, and nothing on the device uses it any more.
        unsafe {
            let _ = result::free_sync(self.pointer);
            let _ = result::external_memory::destroy_external_memory(self.memory);
        }
    }
}
