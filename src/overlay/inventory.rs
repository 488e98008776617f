//! The Vulkan devices of this machine. None is opened.

use super::gpu;
use crate::base::inventory::{Item, State};

/// One item a device; without a real one pictures are composed on the CPU.
pub fn inventory() -> Vec<Item> {
    let adapters = pollster::block_on(gpu::instance().enumerate_adapters(wgpu::Backends::VULKAN));
    if adapters.is_empty() {
        return vec![Item::new(State::Absent, "Vulkan has no device: pictures are composed on the CPU (a GPU needs its maker's driver)")];
    }
    let devices = adapters.iter().map(|adapter| {
        let info = adapter.get_info();
        let by = match info.device_type {
            wgpu::DeviceType::Cpu => "Vulkan on the CPU: pictures are composed without it",
            _ => "Vulkan",
        };
        Item::new(State::Ok, format!("{by}: {} ({} {})", info.name, info.driver, info.driver_info))
    });
    devices.collect()
}
