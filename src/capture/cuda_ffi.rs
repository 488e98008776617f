//! GStreamer's library for CUDA, opened at run time: the few of its functions that are called, as safe ones. What their answers mean
//! is `cuda`'s.

use crate::base::library::words;
use crate::frame::cuda::{Context, DeviceSpan};
use gstreamer as gst;
use gstreamer::glib::ffi::{GFALSE, gboolean};
use gstreamer::glib::translate::{ToGlibPtr, from_glib_full, from_glib_none};
use gstreamer::prelude::*;
use libloading::os::unix::{Library, RTLD_LOCAL, RTLD_NOW};
use std::ffi::{c_int, c_void};
use std::mem::MaybeUninit;
use std::sync::OnceLock;

const NAME: &str = "libgstcuda-1.0.so.0";

/// The device's own address, for reading (`GST_MAP_CUDA`): without it the picture would be copied into the host's memory.
const READ_THERE: gst::ffi::GstMapFlags = gst::ffi::GST_MAP_READ | (gst::ffi::GST_MAP_FLAG_LAST << 1);

/// GstCudaMemory's public part, since 1.22.
#[repr(C)]
struct CudaMemory {
    memory: gst::ffi::GstMemory,
    context: *mut gst::ffi::GstObject,
}

type Memory = *mut gst::ffi::GstMemory;
type Object = *mut gst::ffi::GstObject;

/// Its functions.
pub(super) struct GstCuda {
    new_wrapped: unsafe extern "C" fn(*mut c_void, c_int) -> Object,
    new_context: unsafe extern "C" fn(Object) -> *mut gst::ffi::GstContext,
    handle: unsafe extern "C" fn(Object) -> *mut c_void,
    is_cuda: unsafe extern "C" fn(Memory) -> gboolean,
    /// Since 1.24, where a memory may come before it is written.
    sync: Option<unsafe extern "C" fn(Memory)>,
}

impl GstCuda {
    /// Err: why it cannot be used.
    pub fn open() -> Result<&'static Self, &'static str> {
        static OPENED: OnceLock<Result<GstCuda, String>> = OnceLock::new();
        OPENED.get_or_init(|| Self::open_as(NAME)).as_ref().map_err(String::as_str)
    }

    fn open_as(name: &str) -> Result<Self, String> {
        // SAFETY: its start-up code needs nothing of us.
        let library = unsafe { Library::open(Some(name), RTLD_NOW | RTLD_LOCAL) }.map_err(|error| words(&error))?;
        // SAFETY: the names and types of GStreamer's headers since 1.22; the last one since 1.24.
        unsafe {
            let load: unsafe extern "C" fn() -> gboolean = symbol(&library, b"gst_cuda_load_library")?;
            let init_once: unsafe extern "C" fn() = symbol(&library, b"gst_cuda_memory_init_once")?;
            let opened = GstCuda {
                new_wrapped: symbol(&library, b"gst_cuda_context_new_wrapped")?,
                new_context: symbol(&library, b"gst_context_new_cuda_context")?,
                handle: symbol(&library, b"gst_cuda_context_get_handle")?,
                is_cuda: symbol(&library, b"gst_is_cuda_memory")?,
                sync: symbol(&library, b"gst_cuda_memory_sync").ok(),
            };
            // The others stop the process where this one has not succeeded.
            if load() == GFALSE {
                return Err("it does not find what it needs in the NVIDIA driver".to_owned());
            }
            init_once();
            // It stays open: the types that it has told GLib of cannot be taken back.
            std::mem::forget(library);
            Ok(opened)
        }
    }

    /// GStreamer's name for `context`, which stays as long as that is known by it. None: it does not take it.
    pub fn wrap(&self, context: &Context) -> Option<gst::Object> {
        let ordinal = c_int::try_from(context.ordinal()).ok()?;
        // SAFETY: a context of that device, which lives at least as long as what is made of it here, by the copy that it keeps; it gives
        // a reference, or null.
        unsafe {
            let made = (self.new_wrapped)(context.handle().cast(), ordinal);
            let made: Option<gst::Object> = (!made.is_null()).then(|| from_glib_full(made));
            made.inspect(|made| made.set_data("keyhole-context", context.clone()))
        }
    }

    /// What tells a pipeline's elements of `wrapped`.
    pub fn context_of(&self, wrapped: &gst::Object) -> gst::Context {
        // SAFETY: a GstCudaContext, by `wrap`; it gives a reference.
        unsafe { from_glib_full((self.new_context)(wrapped.to_glib_none().0)) }
    }

    /// In whose context the memory of `buffer` was made. None: it is none of a device's, or of several pieces.
    pub fn owner(&self, buffer: &gst::BufferRef) -> Option<gst::Object> {
        let memory = self.memory(buffer)?;
        // SAFETY: it is a GstCudaMemory, which keeps its context.
        Some(unsafe { from_glib_none((*memory.cast::<CudaMemory>()).context) })
    }

    /// The driver's handle of a context that `owner` or `wrap` gave.
    pub fn handle(&self, context: &gst::Object) -> *mut () {
        // SAFETY: a GstCudaContext.
        unsafe { (self.handle)(context.to_glib_none().0).cast() }
    }

    /// None: it is none of a device's, or cannot be mapped.
    pub fn map(&self, buffer: gst::Buffer) -> Option<Map> {
        let memory = self.memory(&buffer)?;
        let mut info = MaybeUninit::uninit();
        // SAFETY: `buffer` keeps its memory as long as it lives, which is as long as the mapping does; `info` is written where it succeeds.
        unsafe {
            if let Some(sync) = self.sync {
                sync(memory);
            }
            let is_mapped = gst::ffi::gst_memory_map(memory, info.as_mut_ptr(), READ_THERE) != GFALSE;
            is_mapped.then(|| Map { info: info.assume_init(), buffer })
        }
    }

    fn memory(&self, buffer: &gst::BufferRef) -> Option<Memory> {
        let memory = (buffer.n_memory() == 1).then(|| buffer.peek_memory(0).as_ptr().cast_mut())?;
        // SAFETY: a memory that `buffer` holds.
        (unsafe { (self.is_cuda)(memory) } != GFALSE).then_some(memory)
    }
}

/// # Safety
/// `name` is of type `T`.
unsafe fn symbol<T: Copy>(library: &Library, name: &[u8]) -> Result<T, String> {
    // SAFETY: as the caller says.
    unsafe { library.get::<T>(name) }.map(|found| *found).map_err(|error| words(&error))
}

/// A picture's memory on a device, mapped for reading.
pub(super) struct Map {
    info: gst::ffi::GstMapInfo,
    buffer: gst::Buffer,
}

// SAFETY: the pointers are to a memory that `buffer` keeps, and mapping belongs to no thread.
unsafe impl Send for Map {}

impl Map {
    /// All of it. Before this is dropped, whatever was begun with it is waited for.
    pub fn span(&self) -> DeviceSpan<'_> {
        // SAFETY: so much of the device's memory is mapped; it is freed after this at the earliest, by a call that waits for the device.
        unsafe { DeviceSpan::of(self.info.data as u64, self.info.size) }
    }

    /// A device that hangs may still read it: whoever made it never has it back.
    pub fn keep_for_good(&self) {
        std::mem::forget(self.buffer.clone());
    }
}

impl Drop for Map {
    fn drop(&mut self) {
        // SAFETY: mapped by `GstCuda::map`, undone here alone; the buffer goes after this.
        unsafe { gst::ffi::gst_memory_unmap(self.info.memory, &mut self.info) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_library_that_is_missing_or_another_one_is_said_to_be() {
        let reason = |name| GstCuda::open_as(name).err().unwrap();
        assert!(reason("libgstcuda-nowhere.so.0").contains("libgstcuda-nowhere.so.0"));
        let other = reason("libc.so.6");
        assert!(other.contains("gst_cuda_load_library"), "{other}");
    }
}
