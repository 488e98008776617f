//! Device memory that Vulkan allocates and others import by a file descriptor: CUDA, or another process. A picture in it is drawn
//! from where it lies.
//!
//! ```text
//!   SharedBuffer ─► wgpu::Buffer (sampled by the compositor)
//!        └─ fd ───► cuImportExternalMemory (kernels write planes there; the devices are matched by their UUID)
//! ```
//! VK_KHR_external_memory_fd, handle type OPAQUE_FD. Buffers and no images: a buffer has no tiling that two drivers could see otherwise.

use crate::base::error::ErrorKind;
use ash::vk;
use std::os::fd::{AsFd, BorrowedFd, FromRawFd, OwnedFd};
use std::panic::AssertUnwindSafe;
use std::time::Duration;
use wgpu::hal::api::Vulkan;

/// The device needs it to make such buffers.
pub const FEATURE: wgpu::Features = wgpu::Features::VULKAN_EXTERNAL_MEMORY_FD;

#[derive(Debug, thiserror::Error)]
pub enum SharedMemoryError {
    #[error("this Vulkan device shares no memory (it lacks VK_KHR_external_memory_fd): pictures are copied to it instead")]
    NotOffered,
    #[error("memory of {bytes} bytes that others can import cannot be made: {what} failed ({code}); pictures are copied instead")]
    Refused { bytes: u64, what: &'static str, code: vk::Result },
}

impl SharedMemoryError {
    pub fn kind(&self) -> ErrorKind {
        ErrorKind::Degrade
    }
}

/// A storage buffer of a Vulkan device whose memory can be imported elsewhere.
#[derive(Debug)]
pub struct SharedBuffer {
    /// STORAGE, COPY_DST and COPY_SRC.
    pub buffer: wgpu::Buffer,
    memory: OwnedFd,
    allocated: u64,
}

impl SharedBuffer {
    /// At least `bytes` (1 or more) of `device`, which was opened with `FEATURE`. It holds whatever was there: who makes it clears it before
    /// anybody reads it. (Not here: the device's queue is the thread's that draws, and whatever presents beside wgpu takes no turns with others.)
    pub fn new(device: &wgpu::Device, bytes: usize) -> Result<Self, SharedMemoryError> {
        if !device.features().contains(FEATURE) {
            return Err(SharedMemoryError::NotOffered);
        }
        let bytes = (bytes.max(1) as u64).next_multiple_of(wgpu::COPY_BUFFER_ALIGNMENT);
        let (hal_buffer, memory, allocated) = exported(device, bytes)?;
        let descriptor = wgpu::BufferDescriptor {
            label: Some("shared frame"),
            size: bytes,
            usage: wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_DST | wgpu::BufferUsages::COPY_SRC,
            mapped_at_creation: false,
        };
        // SAFETY: it was made of this device, with this size and these usages; any contents are some numbers.
        let buffer = unsafe { device.create_buffer_from_hal::<Vulkan>(hal_buffer, &descriptor) };
        Ok(SharedBuffer { buffer, memory, allocated })
    }

    /// A descriptor of the memory for whoever imports it, who then owns it.
    pub fn descriptor(&self) -> std::io::Result<OwnedFd> {
        self.memory.try_clone()
    }

    /// Bytes of the allocation: what an importer must name.
    pub fn allocated(&self) -> u64 {
        self.allocated
    }
}

impl AsFd for SharedBuffer {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.memory.as_fd()
    }
}

/// Waits until all that was submitted is done; an error: it is not, or the device is lost.
pub fn settle(device: &wgpu::Device, patience: Duration) -> Result<(), String> {
    let wait = wgpu::PollType::Wait { submission_index: None, timeout: Some(patience) };
    // wgpu panics where the driver says, while it is waited for, that the device is gone.
    let polled = std::panic::catch_unwind(AssertUnwindSafe(|| device.poll(wait).map(|_| ()).map_err(|e| e.to_string())));
    polled.unwrap_or_else(|_| Err("the device is lost".to_owned()))
}

/// A buffer with memory of its own, that memory's descriptor and its size.
fn exported(device: &wgpu::Device, bytes: u64) -> Result<(wgpu::hal::vulkan::Buffer, OwnedFd, u64), SharedMemoryError> {
    let refused = |what| move |code| SharedMemoryError::Refused { bytes, what, code };
    // SAFETY: only asked for what it is; nothing of it is destroyed here.
    let hal = unsafe { device.as_hal::<Vulkan>() }.ok_or(SharedMemoryError::NotOffered)?;
    let (raw, instance) = (hal.raw_device(), hal.shared_instance().raw_instance());
    let kind = vk::ExternalMemoryHandleTypeFlags::OPAQUE_FD;
    let mut external = vk::ExternalMemoryBufferCreateInfo::default().handle_types(kind);
    let usage = vk::BufferUsageFlags::STORAGE_BUFFER | vk::BufferUsageFlags::TRANSFER_DST | vk::BufferUsageFlags::TRANSFER_SRC;
    let info = vk::BufferCreateInfo::default().size(bytes).usage(usage).push_next(&mut external);
    // SAFETY: all handles are of this device and live; structures live until the calls return; whatever fails leaves nothing behind.
    unsafe {
        let buffer = raw.create_buffer(&info, None).map_err(refused("vkCreateBuffer"))?;
        let needs = raw.get_buffer_memory_requirements(buffer);
        let made = memory_type(&instance.get_physical_device_memory_properties(hal.raw_physical_device()), needs.memory_type_bits)
            .ok_or(vk::Result::ERROR_FEATURE_NOT_PRESENT)
            .and_then(|index| {
                let mut export = vk::ExportMemoryAllocateInfo::default().handle_types(kind);
                let mut dedicated = vk::MemoryDedicatedAllocateInfo::default().buffer(buffer);
                let wanted = vk::MemoryAllocateInfo::default().allocation_size(needs.size).memory_type_index(index);
                raw.allocate_memory(&wanted.push_next(&mut export).push_next(&mut dedicated), None)
            });
        let memory = made.map_err(refused("vkAllocateMemory")).inspect_err(|_| raw.destroy_buffer(buffer, None))?;
        let bound = raw.bind_buffer_memory(buffer, memory, 0).map_err(refused("vkBindBufferMemory"));
        let named = bound.and_then(|()| {
            let asked = vk::MemoryGetFdInfoKHR::default().memory(memory).handle_type(kind);
            ash::khr::external_memory_fd::Device::new(instance, raw).get_memory_fd(&asked).map_err(refused("vkGetMemoryFdKHR"))
        });
        let descriptor = named.inspect_err(|_| {
            raw.destroy_buffer(buffer, None);
            raw.free_memory(memory, None);
        })?;
        let hal_buffer = wgpu::hal::vulkan::Buffer::from_raw_managed(buffer, memory, 0, bytes);
        Ok((hal_buffer, OwnedFd::from_raw_fd(descriptor), needs.size))
    }
}

/// The first type among `allowed` that is the device's own.
fn memory_type(offered: &vk::PhysicalDeviceMemoryProperties, allowed: u32) -> Option<u32> {
    let is_own = |index: u32| {
        let flags = offered.memory_types[index as usize].property_flags;
        allowed & (1 << index) != 0 && flags.contains(vk::MemoryPropertyFlags::DEVICE_LOCAL)
    };
    (0..offered.memory_type_count).find(|&index| is_own(index))
}

/// By which CUDA and Vulkan know the same device; None: it is none of Vulkan's.
pub fn device_uuid(adapter: &wgpu::Adapter) -> Option<[u8; vk::UUID_SIZE]> {
    // SAFETY: only asked for what it is; nothing of it is destroyed here.
    let hal = unsafe { adapter.as_hal::<Vulkan>() }?;
    let mut ids = vk::PhysicalDeviceIDProperties::default();
    let mut properties = vk::PhysicalDeviceProperties2::default().push_next(&mut ids);
    // SAFETY: the physical device is the adapter's, and the structures live until the call returns.
    unsafe { hal.shared_instance().raw_instance().get_physical_device_properties2(hal.raw_physical_device(), &mut properties) };
    Some(ids.device_uuid)
}
