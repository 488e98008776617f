//! Vulkan on a monitor without a window system: VK_KHR_display, VK_EXT_direct_mode_display and VK_EXT_acquire_drm_display. Unsafe, as
//! every call of Vulkan is.
//!
//! wgpu has such a surface too (its feature `drm`), which is not used: it takes what a driver refuses for a bug and panics, gives a
//! monitor back only with the whole instance, takes the plane's number unasked, and asks for the three extensions in every instance, so that
//! Mesa's drivers open each card and whoever does so first is its master.

use crate::display::kms::card::Plan;
use crate::display::kms::way::{self, Device, Found, Node};
use ash::{ext, khr, vk};
use std::ffi::CStr;
use std::os::fd::{AsRawFd, IntoRawFd, OwnedFd};
use wgpu::hal::api::Vulkan;
use wgpu::hal::vulkan as hal;

const NEEDED: [&CStr; 3] = [khr::display::NAME, ext::direct_mode_display::NAME, ext::acquire_drm_display::NAME];

/// A call that failed, and how.
fn failed(what: &'static str) -> impl Fn(vk::Result) -> String {
    move |code| format!("{what}: {code}")
}

fn missing(entry: &ash::Entry) -> Vec<&'static CStr> {
    // SAFETY: only asked for what it offers.
    let offered = unsafe { entry.enumerate_instance_extension_properties(None) }.unwrap_or_default();
    let is_offered = |name: &CStr| offered.iter().any(|extension| extension.extension_name_as_c_str() == Ok(name));
    NEEDED.into_iter().filter(|name| !is_offered(name)).collect()
}

/// An instance that can take monitors, where the drivers can. The card's master must be there before: see above.
pub fn instance() -> Result<wgpu::Instance, String> {
    let descriptor = wgpu::hal::InstanceDescriptor {
        name: "keyhole",
        flags: wgpu::InstanceFlags::default(),
        memory_budget_thresholds: Default::default(),
        backend_options: Default::default(),
        telemetry: None,
        display: None,
    };
    let with_monitors: Box<hal::CreateInstanceCallback<'_>> = Box::new(|wanted| {
        if missing(wanted.entry).is_empty() {
            wanted.extensions.extend(NEEDED);
        }
    });
    // SAFETY: only extensions are added, and only such that are offered.
    let made = unsafe { hal::Instance::init_with_callback(&descriptor, Some(with_monitors)) };
    // SAFETY: it was just made, and is given away.
    made.map(|instance| unsafe { wgpu::Instance::from_hal::<Vulkan>(instance) }).map_err(|error| error.to_string())
}

/// What Vulkan is there, and the devices in the same order. Nothing is opened.
pub fn look(instance: &wgpu::Instance) -> (Found, Vec<wgpu::Adapter>) {
    // SAFETY: only asked for what it is.
    let hal = unsafe { instance.as_hal::<Vulkan>() };
    let lacks = hal.map_or_else(|| NEEDED.to_vec(), |instance| missing(instance.shared_instance().entry()));
    let lacks = lacks.into_iter().map(|name| name.to_string_lossy().into_owned()).collect();
    let adapters = pollster::block_on(instance.enumerate_adapters(wgpu::Backends::VULKAN));
    let device = |adapter: &wgpu::Adapter| {
        let info = adapter.get_info();
        Device { is_software: info.device_type == wgpu::DeviceType::Cpu, name: info.name, card: card_of(adapter) }
    };
    (Found { lacks, devices: adapters.iter().map(device).collect() }, adapters)
}

/// The card that a device says it drives.
fn card_of(adapter: &wgpu::Adapter) -> Option<Node> {
    // SAFETY: only asked for what it is; nothing of it is destroyed here.
    let hal = unsafe { adapter.as_hal::<Vulkan>() }?;
    if !hal.physical_device_capabilities().supports_extension(ext::physical_device_drm::NAME) {
        return None;
    }
    let mut nodes = vk::PhysicalDeviceDrmPropertiesEXT::default();
    let mut properties = vk::PhysicalDeviceProperties2::default().push_next(&mut nodes);
    // SAFETY: the physical device is the adapter's, and the structures live until the call returns.
    unsafe { hal.shared_instance().raw_instance().get_physical_device_properties2(hal.raw_physical_device(), &mut properties) };
    let number = |number: i64| u32::try_from(number).ok();
    (nodes.has_primary != 0).then_some(())?;
    Some((number(nodes.primary_major)?, number(nodes.primary_minor)?))
}

/// A surface; what it stands on is given back with it.
pub struct Surface {
    raw: vk::SurfaceKHR,
    functions: khr::surface::Instance,
    physical: vk::PhysicalDevice,
    /// After the surface.
    _monitor: Option<Monitor>,
    /// Last: all of this is the instance's.
    _instance: wgpu::Instance,
}

/// A monitor that is Vulkan's.
struct Monitor {
    display: vk::DisplayKHR,
    functions: ext::direct_mode_display::Instance,
    physical: vk::PhysicalDevice,
}

impl Drop for Monitor {
    fn drop(&mut self) {
        // SAFETY: it was acquired, and its only surface is gone. Whatever the driver answers, nothing more can be done with it.
        let _ = unsafe { (self.functions.fp().release_display_ext)(self.physical, self.display) };
    }
}

impl Drop for Surface {
    fn drop(&mut self) {
        // SAFETY: a swapchain on it holds it, so none is left.
        unsafe { self.functions.destroy_surface(self.raw, None) };
    }
}

/// What a surface offers.
#[derive(Debug, Clone)]
pub struct Offered {
    pub formats: Vec<wgpu::TextureFormat>,
    pub modes: Vec<wgpu::PresentMode>,
    /// Fewest and most pictures at a time.
    pub images: (u32, u32),
    pub alpha: vk::CompositeAlphaFlagsKHR,
}

impl Surface {
    /// The plan's monitor in the plan's mode, through `lease`. Mesa's drivers close it with the monitor; with one that does not, a
    /// descriptor of a lease that has ended stays.
    pub fn of_monitor(instance: &wgpu::Instance, adapter: &wgpu::Adapter, lease: OwnedFd, plan: &Plan) -> Result<Surface, String> {
        // SAFETY: only asked for what they are; nothing of them is destroyed here.
        let hals = unsafe { instance.as_hal::<Vulkan>().zip(adapter.as_hal::<Vulkan>()) };
        let (shared, physical) = match hals.as_ref() {
            Some((instance, adapter)) => (instance.shared_instance(), adapter.raw_physical_device()),
            None => return Err("it is no Vulkan device".into()),
        };
        let (entry, raw) = (shared.entry(), shared.raw_instance());
        let (taking, showing) = (ext::acquire_drm_display::Instance::new(entry, raw), khr::display::Instance::new(entry, raw));
        // SAFETY: `choose` has seen that the extensions are offered, and the instance has them; the lease is open, and the driver's once
        // the monitor is; structures live until the calls return; what fails gives back what was taken.
        unsafe {
            let display =
                taking.get_drm_display(physical, lease.as_raw_fd(), plan.connector.into()).map_err(failed("vkGetDrmDisplayEXT"))?;
            taking.acquire_drm_display(physical, lease.as_raw_fd(), display).map_err(failed("vkAcquireDrmDisplayEXT"))?;
            let _ = lease.into_raw_fd();
            let monitor = Monitor { display, functions: ext::direct_mode_display::Instance::new(entry, raw), physical };
            let modes = showing.get_display_mode_properties(physical, display).map_err(failed("vkGetDisplayModePropertiesKHR"))?;
            let offered: Vec<way::VulkanMode> = modes
                .iter()
                .map(|mode| mode.parameters)
                .map(|mode| ((mode.visible_region.width, mode.visible_region.height), mode.refresh_rate))
                .collect();
            let index = way::mode_of(&offered, plan.offer.size, plan.offer.rate.per_second());
            let mode = modes[index.ok_or_else(|| format!("its driver does not offer {}", plan.shown()))?];
            let plane = plane_of(&showing, physical, display, mode.display_mode)?;
            let info = vk::DisplaySurfaceCreateInfoKHR::default()
                .display_mode(mode.display_mode)
                .image_extent(mode.parameters.visible_region)
                .transform(vk::SurfaceTransformFlagsKHR::IDENTITY)
                .alpha_mode(vk::DisplayPlaneAlphaFlagsKHR::OPAQUE)
                .plane_index(plane.0)
                .plane_stack_index(plane.1);
            let made = showing.create_display_plane_surface(&info, None).map_err(failed("vkCreateDisplayPlaneSurfaceKHR"))?;
            Ok(Surface {
                raw: made,
                functions: khr::surface::Instance::new(entry, raw),
                physical,
                _monitor: Some(monitor),
                _instance: instance.clone(),
            })
        }
    }

    /// Another surface of the device's instance, for tests.
    ///
    /// # Safety
    /// It is of this instance and nobody else's, and what it shows on outlives it.
    #[cfg(test)]
    pub unsafe fn of_raw(instance: &wgpu::Instance, adapter: &wgpu::Adapter, raw: vk::SurfaceKHR) -> Surface {
        // SAFETY: only asked for what they are; nothing of them is destroyed here.
        let (shared, device) = unsafe { (instance.as_hal::<Vulkan>().unwrap(), adapter.as_hal::<Vulkan>().unwrap()) };
        let shared = shared.shared_instance();
        let functions = khr::surface::Instance::new(shared.entry(), shared.raw_instance());
        Surface { raw, functions, physical: device.raw_physical_device(), _monitor: None, _instance: instance.clone() }
    }

    pub fn raw(&self) -> vk::SurfaceKHR {
        self.raw
    }

    pub fn offered(&self) -> Result<Offered, String> {
        // SAFETY: surface and physical device are of one instance, which lives.
        unsafe {
            let is_shown = self.functions.get_physical_device_surface_support(self.physical, 0, self.raw);
            if !is_shown.map_err(failed("vkGetPhysicalDeviceSurfaceSupportKHR"))? {
                return Err("its driver shows nothing there".into());
            }
            let limits = self.functions.get_physical_device_surface_capabilities(self.physical, self.raw);
            let limits = limits.map_err(failed("vkGetPhysicalDeviceSurfaceCapabilitiesKHR"))?;
            let formats = self.functions.get_physical_device_surface_formats(self.physical, self.raw);
            let formats = formats.map_err(failed("vkGetPhysicalDeviceSurfaceFormatsKHR"))?;
            let modes = self.functions.get_physical_device_surface_present_modes(self.physical, self.raw);
            let modes = modes.map_err(failed("vkGetPhysicalDeviceSurfacePresentModesKHR"))?;
            let most = if limits.max_image_count == 0 { u32::MAX } else { limits.max_image_count };
            let is_plain = |format: &&vk::SurfaceFormatKHR| format.color_space == vk::ColorSpaceKHR::SRGB_NONLINEAR;
            Ok(Offered {
                formats: formats.iter().filter(is_plain).filter_map(|format| format_of(format.format)).collect(),
                modes: modes.into_iter().filter_map(mode_of).collect(),
                images: (limits.min_image_count, most),
                alpha: limits.supported_composite_alpha,
            })
        }
    }
}

/// A plane that shows on `display` in this mode and is free: its number and its place in the stack.
///
/// # Safety
/// All are of the same instance, and it has VK_KHR_display.
unsafe fn plane_of(
    showing: &khr::display::Instance,
    physical: vk::PhysicalDevice,
    display: vk::DisplayKHR,
    mode: vk::DisplayModeKHR,
) -> Result<(u32, u32), String> {
    // SAFETY: as the caller has seen to.
    unsafe {
        let planes = showing.get_physical_device_display_plane_properties(physical);
        let planes = planes.map_err(failed("vkGetPhysicalDeviceDisplayPlanePropertiesKHR"))?;
        for (index, plane) in (0u32..).zip(&planes) {
            let is_free = plane.current_display == vk::DisplayKHR::null() || plane.current_display == display;
            let shows = || showing.get_display_plane_supported_displays(physical, index).is_ok_and(|on| on.contains(&display));
            let is_opaque = || {
                let able = showing.get_display_plane_capabilities(physical, mode, index);
                able.is_ok_and(|able| able.supported_alpha.contains(vk::DisplayPlaneAlphaFlagsKHR::OPAQUE))
            };
            if is_free && shows() && is_opaque() {
                return Ok((index, plane.current_stack_index));
            }
        }
    }
    Err("its driver has no plane for this monitor".into())
}

/// The formats that are drawn in; others are none of ours.
const FORMATS: [(vk::Format, wgpu::TextureFormat); 3] = [
    (vk::Format::B8G8R8A8_UNORM, wgpu::TextureFormat::Bgra8Unorm),
    (vk::Format::R8G8B8A8_UNORM, wgpu::TextureFormat::Rgba8Unorm),
    (vk::Format::A2B10G10R10_UNORM_PACK32, wgpu::TextureFormat::Rgb10a2Unorm),
];

const MODES: [(vk::PresentModeKHR, wgpu::PresentMode); 3] = [
    (vk::PresentModeKHR::FIFO, wgpu::PresentMode::Fifo),
    (vk::PresentModeKHR::MAILBOX, wgpu::PresentMode::Mailbox),
    (vk::PresentModeKHR::IMMEDIATE, wgpu::PresentMode::Immediate),
];

fn format_of(raw: vk::Format) -> Option<wgpu::TextureFormat> {
    FORMATS.into_iter().find(|(known, _)| *known == raw).map(|(_, format)| format)
}

fn mode_of(raw: vk::PresentModeKHR) -> Option<wgpu::PresentMode> {
    MODES.into_iter().find(|(known, _)| *known == raw).map(|(_, mode)| mode)
}

pub fn raw_format(format: wgpu::TextureFormat) -> vk::Format {
    FORMATS.into_iter().find(|(_, known)| *known == format).map_or(vk::Format::UNDEFINED, |(raw, _)| raw)
}

pub fn raw_mode(mode: wgpu::PresentMode) -> vk::PresentModeKHR {
    MODES.into_iter().find(|(_, known)| *known == mode).map_or(vk::PresentModeKHR::FIFO, |(raw, _)| raw)
}
