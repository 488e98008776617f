use super::vulkan::{FEATURE, SharedBuffer, SharedMemoryError, device_uuid};
use ash::vk;
use std::os::fd::{AsRawFd, IntoRawFd};
use wgpu::hal::api::Vulkan;

/// A device that shares memory; None (and a line that says so) where there is none.
fn device(test: &str) -> Option<(wgpu::Adapter, wgpu::Device, wgpu::Queue)> {
    let backends = wgpu::Backends::VULKAN;
    let instance = wgpu::Instance::new(wgpu::InstanceDescriptor { backends, ..wgpu::InstanceDescriptor::new_without_display_handle() });
    let adapter = match pollster::block_on(instance.request_adapter(&Default::default())) {
        Ok(adapter) if adapter.features().contains(FEATURE) => adapter,
        Ok(adapter) => {
            println!("SKIPPED {test}: {} shares no memory", adapter.get_info().name);
            return None;
        }
        Err(error) => {
            println!("SKIPPED {test}: {error}");
            return None;
        }
    };
    let descriptor = wgpu::DeviceDescriptor { required_features: FEATURE, ..Default::default() };
    let (device, queue) = pollster::block_on(adapter.request_device(&descriptor)).unwrap();
    Some((adapter, device, queue))
}

/// What stands in `buffer`.
fn contents(device: &wgpu::Device, queue: &wgpu::Queue, buffer: &wgpu::Buffer) -> Vec<u8> {
    let usage = wgpu::BufferUsages::COPY_DST | wgpu::BufferUsages::MAP_READ;
    let read = device.create_buffer(&wgpu::BufferDescriptor { label: None, size: buffer.size(), usage, mapped_at_creation: false });
    let mut encoder = device.create_command_encoder(&Default::default());
    encoder.copy_buffer_to_buffer(buffer, 0, &read, 0, buffer.size());
    queue.submit([encoder.finish()]);
    read.slice(..).map_async(wgpu::MapMode::Read, |result| result.unwrap());
    device.poll(wgpu::PollType::wait_indefinitely()).unwrap();
    read.slice(..).get_mapped_range().unwrap().to_vec()
}

/// `shared` in another device, as whoever imports it sees it.
fn imported(device: &wgpu::Device, shared: &SharedBuffer) -> wgpu::Buffer {
    let kind = vk::ExternalMemoryHandleTypeFlags::OPAQUE_FD;
    // SAFETY: the handles are of this device, and the memory is imported with the size that it was allocated with.
    unsafe {
        let hal = device.as_hal::<Vulkan>().unwrap();
        let raw = hal.raw_device();
        let mut external = vk::ExternalMemoryBufferCreateInfo::default().handle_types(kind);
        let usage = vk::BufferUsageFlags::STORAGE_BUFFER | vk::BufferUsageFlags::TRANSFER_DST | vk::BufferUsageFlags::TRANSFER_SRC;
        let size = shared.buffer.size();
        let buffer = raw.create_buffer(&vk::BufferCreateInfo::default().size(size).usage(usage).push_next(&mut external), None).unwrap();
        let needs = raw.get_buffer_memory_requirements(buffer);
        let descriptor = shared.descriptor().unwrap();
        let mut import = vk::ImportMemoryFdInfoKHR::default().handle_type(kind).fd(descriptor.into_raw_fd());
        let mut dedicated = vk::MemoryDedicatedAllocateInfo::default().buffer(buffer);
        let index = needs.memory_type_bits.trailing_zeros();
        let wanted = vk::MemoryAllocateInfo::default().allocation_size(shared.allocated()).memory_type_index(index);
        let memory = raw.allocate_memory(&wanted.push_next(&mut import).push_next(&mut dedicated), None).unwrap();
        raw.bind_buffer_memory(buffer, memory, 0).unwrap();
        let hal_buffer = wgpu::hal::vulkan::Buffer::from_raw_managed(buffer, memory, 0, size);
        let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_DST | wgpu::BufferUsages::COPY_SRC;
        device.create_buffer_from_hal::<Vulkan>(hal_buffer, &wgpu::BufferDescriptor { label: None, size, usage, mapped_at_creation: false })
    }
}

#[test]
fn what_one_device_writes_another_reads_from_the_same_memory() {
    let test = "what_one_device_writes_another_reads_from_the_same_memory";
    let (Some((_, one, queue)), Some((_, other, other_queue))) = (device(test), device(test)) else { return };
    let shared = SharedBuffer::new(&one, 1003).unwrap();
    assert_eq!(shared.buffer.size(), 1004);
    assert!(shared.allocated() >= 1004);
    let there = imported(&other, &shared);
    let written: Vec<u8> = (0..1004u32).map(|i| (i * 7 % 251) as u8).collect();
    other_queue.write_buffer(&there, 0, &written);
    assert_eq!(contents(&other, &other_queue, &there), written);
    assert_eq!(contents(&one, &queue, &shared.buffer), written);
    queue.write_buffer(&shared.buffer, 8, &[200; 4]);
    let _ = contents(&one, &queue, &shared.buffer);
    assert_eq!(contents(&other, &other_queue, &there)[8..12], [200; 4]);
}

#[test]
fn memory_and_descriptors_go_with_the_buffer() {
    let test = "memory_and_descriptors_go_with_the_buffer";
    let Some((_, device, _)) = device(test) else { return };
    let open = || std::fs::read_dir("/proc/self/fd").unwrap().count();
    let first = SharedBuffer::new(&device, 4096).unwrap();
    let given = first.descriptor().unwrap();
    assert_ne!(given.as_raw_fd(), first.descriptor().unwrap().as_raw_fd());
    drop((first, given));
    device.poll(wgpu::PollType::wait_indefinitely()).unwrap();
    // Other tests of this process open files too: many rounds would show among them.
    let before = open();
    for _ in 0..200 {
        SharedBuffer::new(&device, 4096).unwrap();
        device.poll(wgpu::PollType::wait_indefinitely()).unwrap();
    }
    assert!(open() < before + 100, "{before} descriptors before, {} after", open());
}

#[test]
fn a_device_without_it_is_an_error_and_every_device_has_an_identity() {
    let Some((adapter, ..)) = device("a_device_without_it_is_an_error_and_every_device_has_an_identity") else { return };
    let (plain, _) = pollster::block_on(adapter.request_device(&Default::default())).unwrap();
    let error = SharedBuffer::new(&plain, 64).unwrap_err();
    assert!(matches!(error, SharedMemoryError::NotOffered), "{error}");
    let uuid = device_uuid(&adapter).unwrap();
    assert!(uuid != [0; 16] && device_uuid(&adapter) == Some(uuid));
}
