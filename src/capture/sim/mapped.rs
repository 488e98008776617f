//! A file mapped for reading.

use rustix::mm::{Advice, MapFlags, ProtFlags};
use std::fs::File;
use std::ptr::NonNull;

#[derive(Debug)]
pub struct Mapped {
    start: NonNull<u8>,
    len: usize,
}

// SAFETY: the mapping is read-only memory that lives until drop.
unsafe impl Send for Mapped {}
// SAFETY: as above.
unsafe impl Sync for Mapped {}

impl Mapped {
    /// Maps the first `len` bytes. The file is one of our own cache: it is written only before its bytes are asked for,
    /// never shortened, and replaced or removed only by name.
    pub fn new(file: &File, len: usize) -> Result<Self, rustix::io::Errno> {
        // SAFETY: a fresh mapping at an address of the kernel's choice aliases nothing of ours.
        let start = unsafe { rustix::mm::mmap(std::ptr::null_mut(), len, ProtFlags::READ, MapFlags::SHARED, file, 0)? };
        let start = NonNull::new(start.cast::<u8>()).ok_or(rustix::io::Errno::NOMEM)?;
        Ok(Mapped { start, len })
    }

    pub fn bytes(&self) -> &[u8] {
        // SAFETY: `len` bytes are mapped for reading until drop; see `new` for who writes the file when.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }

    /// Brings a range into memory; where the kernel cannot, the first access does.
    pub fn fault_in(&self, offset: usize, len: usize) {
        let from = offset.min(self.len) / 4096 * 4096;
        let len = len.min(self.len - from);
        // SAFETY: the range lies inside the mapping and begins on a page; the advice changes no bytes.
        let _ = unsafe { rustix::mm::madvise(self.start.as_ptr().add(from).cast(), len, Advice::LinuxPopulateRead) };
    }
}

impl Drop for Mapped {
    fn drop(&mut self) {
        // SAFETY: unmaps exactly what `new` mapped; no borrow of it outlives self.
        let _ = unsafe { rustix::mm::munmap(self.start.as_ptr().cast(), self.len) };
    }
}
