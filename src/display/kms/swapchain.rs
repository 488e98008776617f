//! Pictures of a surface in turns, drawn by wgpu and put on the screen by Vulkan itself: wgpu has surfaces of its own making only.
//!
//! ```text
//!   next ─► a picture that is free ─► wgpu draws ─► the device has finished (waited for here) ─► show
//! ```
//! So nothing is waited for on the device, and no semaphore is needed.

use crate::display::kms::vulkan::{Offered, Surface, raw_format, raw_mode};
use crate::overlay::gpu::Gpu;
use ash::{khr, vk};
use std::sync::Arc;
use wgpu::hal::api::Vulkan;

/// A picture that is free is ready to be drawn to within this.
const READY_NS: u64 = 300_000_000;

/// How a surface is shown on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Manner {
    pub size: (usize, usize),
    pub format: wgpu::TextureFormat,
    pub mode: wgpu::PresentMode,
}

/// Dropped on the thread that draws, or when nothing is drawn any more.
pub struct Swapchain {
    pub manner: Manner,
    raw: vk::SwapchainKHR,
    functions: khr::swapchain::Device,
    /// A free picture was found.
    is_free: vk::Fence,
    images: Vec<wgpu::Texture>,
    device: ash::Device,
    queue: vk::Queue,
    /// After the swapchain; the device is wgpu's.
    _surface: Arc<Surface>,
    gpu: Gpu,
}

/// Why nothing is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotShown {
    pub what: &'static str,
    pub code: vk::Result,
}

impl std::fmt::Display for NotShown {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.what, self.code)
    }
}

fn failed(what: &'static str) -> impl Fn(vk::Result) -> NotShown {
    move |code| NotShown { what, code }
}

impl Swapchain {
    /// `gpu` is of the device that the surface is of, and nobody else submits to its queue while pictures are shown. `before`: what is on
    /// the surface, and takes no pictures from here on.
    pub fn new(
        gpu: &Gpu,
        surface: &Arc<Surface>,
        offered: &Offered,
        manner: Manner,
        before: Option<&Swapchain>,
    ) -> Result<Swapchain, NotShown> {
        let lost = || NotShown { what: "vkCreateSwapchainKHR", code: vk::Result::ERROR_DEVICE_LOST };
        // SAFETY: only asked for what it is; nothing of it is destroyed here.
        let hal = unsafe { gpu.device.as_hal::<Vulkan>() }.ok_or_else(lost)?;
        let device = hal.raw_device().clone();
        let functions = khr::swapchain::Device::new(hal.shared_instance().raw_instance(), &device);
        // One is on the screen, one is drawn; Mailbox has one in between.
        let spare = u32::from(manner.mode == wgpu::PresentMode::Mailbox);
        let count = (offered.images.0.max(2) + spare).min(offered.images.1);
        let is_opaque = offered.alpha.contains(vk::CompositeAlphaFlagsKHR::OPAQUE);
        let alpha = if is_opaque { vk::CompositeAlphaFlagsKHR::OPAQUE } else { vk::CompositeAlphaFlagsKHR::INHERIT };
        let info = vk::SwapchainCreateInfoKHR::default()
            .surface(surface.raw())
            .min_image_count(count)
            .image_format(raw_format(manner.format))
            .image_color_space(vk::ColorSpaceKHR::SRGB_NONLINEAR)
            .image_extent(vk::Extent2D { width: manner.size.0 as u32, height: manner.size.1 as u32 })
            .image_array_layers(1)
            .image_usage(vk::ImageUsageFlags::COLOR_ATTACHMENT)
            .image_sharing_mode(vk::SharingMode::EXCLUSIVE)
            .pre_transform(vk::SurfaceTransformFlagsKHR::IDENTITY)
            .composite_alpha(alpha)
            .present_mode(raw_mode(manner.mode))
            .clipped(true)
            .old_swapchain(before.map_or(vk::SwapchainKHR::null(), |before| before.raw));
        // SAFETY: surface and device live, the format and the mode are offered; wgpu enables VK_KHR_swapchain on every device. What fails
        // leaves nothing behind.
        let (is_free, raw) = unsafe {
            let is_free = device.create_fence(&vk::FenceCreateInfo::default(), None).map_err(failed("vkCreateFence"))?;
            let made = functions.create_swapchain(&info, None).map_err(failed("vkCreateSwapchainKHR"));
            (is_free, made.inspect_err(|_| device.destroy_fence(is_free, None))?)
        };
        let mut swapchain = Swapchain {
            manner,
            raw,
            functions,
            is_free,
            images: Vec::new(),
            queue: hal.raw_queue(),
            device,
            _surface: surface.clone(),
            gpu: gpu.clone(),
        };
        // SAFETY: it was just made.
        let images = unsafe { swapchain.functions.get_swapchain_images(raw) }.map_err(failed("vkGetSwapchainImagesKHR"))?;
        swapchain.images = images.into_iter().map(|image| texture(gpu, &hal, image, manner)).collect();
        Ok(swapchain)
    }

    /// A picture that can be drawn to; None: none is free within `timeout_ns`.
    pub fn next(&mut self, timeout_ns: u64) -> Result<Option<(usize, wgpu::TextureView)>, NotShown> {
        // SAFETY: fence and swapchain are of this device, and the fence is neither set nor waited for by anybody else.
        let found = unsafe { self.functions.acquire_next_image(self.raw, timeout_ns, vk::Semaphore::null(), self.is_free) };
        let index = match found {
            Ok((index, _)) => index as usize,
            Err(vk::Result::TIMEOUT | vk::Result::NOT_READY) => return Ok(None),
            Err(code) => return Err(failed("vkAcquireNextImageKHR")(code)),
        };
        let fences = [self.is_free];
        // SAFETY: it is of this device, and reset only when it is set.
        unsafe {
            self.device.wait_for_fences(&fences, true, READY_NS).map_err(failed("vkWaitForFences"))?;
            self.device.reset_fences(&fences).map_err(failed("vkResetFences"))?;
        }
        let view = self.images.get(index).map(|image| image.create_view(&Default::default()));
        Ok(view.map(|view| (index, view)))
    }

    /// What was drawn to this picture is on its way out of the device.
    pub fn finish(&self, index: usize) {
        let to_screen = wgpu::TextureTransition { texture: &self.images[index], selector: None, state: wgpu::TextureUses::PRESENT };
        let mut encoder = self.gpu.device.create_command_encoder(&Default::default());
        encoder.transition_resources(std::iter::empty(), std::iter::once(to_screen));
        self.gpu.queue.submit([encoder.finish()]);
    }

    /// Puts on the screen what was drawn; the device has finished it.
    pub fn show(&mut self, index: usize) -> Result<(), NotShown> {
        let (chains, indices) = ([self.raw], [index as u32]);
        let info = vk::PresentInfoKHR::default().swapchains(&chains).image_indices(&indices);
        // SAFETY: the picture was acquired, is in the layout for it and not being drawn to; the queue is used by this thread alone.
        unsafe { self.functions.queue_present(self.queue, &info) }.map(drop).map_err(failed("vkQueuePresentKHR"))
    }
}

impl Drop for Swapchain {
    fn drop(&mut self) {
        self.images.clear();
        // Views of the pictures go when wgpu has seen that nothing uses them; of a device that is lost nothing is used.
        let _ = self.gpu.finish();
        // SAFETY: nothing of it is used any more, by this thread or the device.
        unsafe {
            let _ = self.device.device_wait_idle();
            self.device.destroy_fence(self.is_free, None);
            self.functions.destroy_swapchain(self.raw, None);
        }
    }
}

/// One of the swapchain's pictures as wgpu's.
fn texture(gpu: &Gpu, hal: &wgpu::hal::vulkan::Device, image: vk::Image, manner: Manner) -> wgpu::Texture {
    let size = wgpu::Extent3d { width: manner.size.0 as u32, height: manner.size.1 as u32, depth_or_array_layers: 1 };
    let (mip_level_count, sample_count, dimension, format) = (1, 1, wgpu::TextureDimension::D2, manner.format);
    let inner = wgpu::hal::TextureDescriptor {
        label: None,
        size,
        mip_level_count,
        sample_count,
        dimension,
        format,
        usage: wgpu::TextureUses::COLOR_TARGET,
        memory_flags: wgpu::hal::MemoryFlags::empty(),
        view_formats: Vec::new(),
    };
    let usage = wgpu::TextureUsages::RENDER_ATTACHMENT;
    let descriptor =
        wgpu::TextureDescriptor { label: None, size, mip_level_count, sample_count, dimension, format, usage, view_formats: &[] };
    // SAFETY: the image is the swapchain's, made as described; with a callback it stays the swapchain's, which outlives all use of it. It is
    // drawn to whole before anything reads it.
    unsafe {
        let texture = hal.texture_from_raw(image, &inner, Some(Box::new(|| ())), wgpu::hal::vulkan::TextureMemory::External);
        gpu.device.create_texture_from_hal::<Vulkan>(texture, &descriptor, wgpu::TextureUses::UNINITIALIZED)
    }
}

#[cfg(test)]
#[path = "swapchain_tests.rs"]
pub(super) mod tests;
