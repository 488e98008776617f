//! Memory shared with an X server: we write, it reads. The only unsafe code of this room.

use crate::display::DisplayError;
use rustix::fs::MemfdFlags;
use rustix::mm::{MapFlags, ProtFlags};
use std::os::fd::{AsFd, OwnedFd};
use std::ptr::NonNull;

/// A mapped memfd.
#[derive(Debug)]
pub(super) struct SharedMemory {
    start: NonNull<u8>,
    bytes: usize,
}

// SAFETY: plain memory that lives until drop, written through &mut self only.
unsafe impl Send for SharedMemory {}

impl SharedMemory {
    /// Zeroed memory, and the descriptor to hand to the server.
    pub(super) fn new(bytes: usize) -> Result<(Self, OwnedFd), DisplayError> {
        let fail = |source| DisplayError::Memory { bytes, source };
        let bytes = bytes.max(1);
        let fd = rustix::fs::memfd_create("keyhole-display", MemfdFlags::CLOEXEC).map_err(fail)?;
        rustix::fs::ftruncate(&fd, bytes as u64).map_err(fail)?;
        let (prot, flags) = (ProtFlags::READ | ProtFlags::WRITE, MapFlags::SHARED | MapFlags::POPULATE);
        // SAFETY: a fresh mapping at an address of the kernel's choice aliases nothing of ours.
        let start = unsafe { rustix::mm::mmap(std::ptr::null_mut(), bytes, prot, flags, fd.as_fd(), 0) }.map_err(fail)?;
        let start = NonNull::new(start.cast()).ok_or(fail(rustix::io::Errno::NOMEM))?;
        Ok((SharedMemory { start, bytes }, fd))
    }

    pub(super) fn data(&self) -> &[u8] {
        // SAFETY: `bytes` bytes are mapped at `start` until drop; the server attached them for reading only.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.bytes) }
    }

    pub(super) fn data_mut(&mut self) -> &mut [u8] {
        // SAFETY: as above, and &mut self makes this the only slice of ours. The server reads between a put and its
        // completion, during which we do not write; if it did otherwise, only its own picture would tear.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.bytes) }
    }
}

impl Drop for SharedMemory {
    fn drop(&mut self) {
        // SAFETY: unmaps exactly what `new` mapped; no slice outlives self.
        let _ = unsafe { rustix::mm::munmap(self.start.as_ptr().cast(), self.bytes) };
    }
}
