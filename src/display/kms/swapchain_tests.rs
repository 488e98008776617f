//! Pictures in turns on a surface that lavapipe has, too: a window on an X server of the test's own. No monitor can be had here.

use super::*;
use crate::display::headless::upload;
use crate::display::kms::{vulkan, way};
use crate::display::surface::{Formats, present_mode};
use crate::display::x11::tests::{Server, pixels};
use crate::display::{Picture, Presenter};
use crate::overlay::gpu::{GpuCompositor, instance};
use crate::overlay::host::tests::noise_layer;
use crate::overlay::testing::{COLORIMETRIES, FORMATS, Owned};
use crate::overlay::{Depth, Layer};
use std::ffi::{CString, c_char, c_int, c_void};
use x11rb::COPY_DEPTH_FROM_PARENT;
use x11rb::connection::Connection;
use x11rb::protocol::Event;
use x11rb::protocol::xproto::{ConnectionExt as _, CreateWindowAux, EventMask, WindowClass};
use x11rb::rust_connection::RustConnection;

const SIZE: (usize, usize) = (320, 180);
const TIMEOUT_NS: u64 = 5_000_000_000;

pub fn window(display: &str, size: (usize, usize)) -> (RustConnection, u32) {
    let (connection, screen) = x11rb::connect(Some(display)).unwrap();
    let (id, root) = (connection.generate_id().unwrap(), connection.setup().roots[screen].root);
    let (width, height) = (size.0 as u16, size.1 as u16);
    let aux = CreateWindowAux::new().event_mask(EventMask::EXPOSURE);
    connection.create_window(COPY_DEPTH_FROM_PARENT, id, root, 0, 0, width, height, 0, WindowClass::INPUT_OUTPUT, 0, &aux).unwrap();
    connection.map_window(id).unwrap();
    connection.flush().unwrap();
    while !matches!(connection.wait_for_event().unwrap(), Event::Expose(_)) {}
    (connection, id)
}

/// The C library's connection, which Vulkan wants; it stays until the process ends.
fn c_connection(display: &str) -> *mut c_void {
    type Connect = unsafe extern "C" fn(*const c_char, *mut c_int) -> *mut c_void;
    let name = CString::new(display).unwrap();
    // SAFETY: the library is the system's own and stays loaded; the function is as its header says.
    unsafe {
        let library = Box::leak(Box::new(libloading::Library::new("libxcb.so.1").unwrap()));
        let connect: libloading::Symbol<'_, Connect> = library.get(b"xcb_connect\0").unwrap();
        connect(name.as_ptr(), std::ptr::null_mut())
    }
}

/// A surface on the window.
pub fn surface_of(instance: &wgpu::Instance, adapter: &wgpu::Adapter, display: &str, window: u32) -> Surface {
    // SAFETY: the instance has VK_KHR_xcb_surface, as wgpu's all have on this system; connection and window outlive it.
    unsafe {
        let hal = instance.as_hal::<Vulkan>().unwrap();
        let shared = hal.shared_instance();
        let info = vk::XcbSurfaceCreateInfoKHR::default().connection(c_connection(display)).window(window);
        let made = khr::xcb_surface::Instance::new(shared.entry(), shared.raw_instance()).create_xcb_surface(&info, None).unwrap();
        Surface::of_raw(instance, adapter, made)
    }
}

fn show(swapchain: &mut Swapchain, compositor: &mut GpuCompositor) {
    let (index, view) = swapchain.next(TIMEOUT_NS).unwrap().expect("a free picture");
    compositor.draw(Depth::Eight, &view, SIZE).unwrap();
    swapchain.finish(index);
    compositor.gpu().finish().unwrap();
    swapchain.show(index).unwrap();
}

#[test]
fn what_is_drawn_reaches_the_surface_in_turns() {
    let name = "what_is_drawn_reaches_the_surface_in_turns";
    let instance = instance();
    let gpu = match Gpu::new(&instance, None) {
        Ok(gpu) => gpu,
        Err(error) => return println!("SKIPPED {name}: {error}"),
    };
    let Some(server) = Server::start(name, "800x600x24") else { return };
    let (connection, id) = window(&server.display, SIZE);
    let surface = Arc::new(surface_of(&instance, &gpu.adapter, &server.display, id));
    let offered = surface.offered().unwrap();
    let formats = Formats::of(&offered.formats).unwrap();
    let manner = Manner { size: SIZE, format: formats.eight, mode: present_mode(&offered.modes, true) };
    let mut swapchain = Swapchain::new(&gpu, &surface, &offered, manner, None).unwrap();
    assert!(swapchain.images.len() >= 2);
    let mut compositor = GpuCompositor::new(gpu.clone(), formats.eight);
    let mut wish = Vec::new();
    for round in 0..6 {
        if round == 3 {
            // As where pictures of another depth come.
            let manner = Manner { mode: wgpu::PresentMode::Fifo, ..manner };
            swapchain = Swapchain::new(&gpu, &surface, &offered, manner, Some(&swapchain)).unwrap();
        }
        let frame = Owned::noise(FORMATS[round], COLORIMETRIES[round % 4], SIZE.0, SIZE.1, round as u64).frame();
        let layers: [Layer; 2] = [1, 2].map(|seed| noise_layer(SIZE.0, SIZE.1, seed + round as u64));
        upload(&mut compositor, Picture::New(&frame), &[&layers[0], &layers[1]]).unwrap();
        compositor.draw_offscreen().unwrap();
        compositor.read_back(&mut wish).unwrap();
        // A software present may lag: what is asked is that it gets there, as in a window.
        let arrived = (0..200).any(|_| {
            show(&mut swapchain, &mut compositor);
            pixels(&connection, id, SIZE.0, SIZE.1) == wish
        });
        assert!(arrived, "round {round} never reached the window");
    }
    // A surface that is gone is an error with a name, not a picture.
    connection.destroy_window(id).unwrap();
    connection.get_input_focus().unwrap().reply().unwrap();
    let refused = (0..20).find_map(|_| match swapchain.next(TIMEOUT_NS) {
        Ok(Some((index, view))) => {
            compositor.draw(Depth::Eight, &view, SIZE).unwrap();
            swapchain.finish(index);
            gpu.finish().unwrap();
            swapchain.show(index).err()
        }
        Ok(None) => None,
        Err(error) => Some(error),
    });
    let error = refused.expect("nobody can see it").to_string();
    assert!(error.contains("vkQueuePresentKHR") || error.contains("vkAcquireNextImageKHR"), "{error}");
}

/// Whatever Vulkan this machine has: nothing of it drives a card with this number, and the reason names what there is.
#[test]
fn a_card_that_no_gpu_drives_is_refused_with_what_vulkan_has() {
    let instance = match vulkan::instance() {
        Ok(instance) => instance,
        Err(reason) => return println!("SKIPPED a_card_that_no_gpu_drives_is_refused_with_what_vulkan_has: {reason}"),
    };
    let (found, adapters) = vulkan::look(&instance);
    assert_eq!(found.devices.len(), adapters.len());
    let error = way::choose((4_000, 250), &found).unwrap_err().to_string();
    let names_all = found.devices.iter().all(|device| error.contains(&device.name));
    assert!(error.contains("no device") || error.contains("without VK_") || names_all, "{error}");
    println!("{error}");
    for device in found.devices.iter().filter(|device| device.is_software) {
        let claims = way::Device { card: Some((226, 0)), ..device.clone() };
        let found = way::Found { lacks: Vec::new(), devices: vec![claims] };
        assert!(way::choose((226, 0), &found).unwrap_err().to_string().contains("(a processor)"));
    }
    let words = crate::display::kms::way_in_words("amdgpu", Some((4_000, 250)), || &found);
    assert_eq!(words, format!("pictures are composed on the host: {error}"));
    assert_eq!(way::may_have_gpu(Presenter::Auto, "ast").unwrap_err().to_string(), "a card of the driver ast has no GPU");
}
