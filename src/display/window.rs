//! The window itself: winit's event loop, which owns the main thread. It opens, resizes and closes the window and passes
//! on keys; it draws nothing. What draws is an `Output` on the display thread, made by `open_window_output`.

use crate::base::clock::Clock;
use crate::display::{DisplayError, GpuWindow, Output, Presenter, Settings, X11Output};
use raw_window_handle::{HasWindowHandle, RawWindowHandle};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use winit::application::ApplicationHandler;
use winit::event::ElementState;
use winit::event_loop::{ActiveEventLoop, ControlFlow, EventLoop, EventLoopProxy};
use winit::keyboard::{Key as WinitKey, NamedKey};
use winit::window::{Fullscreen, Window, WindowId};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WindowOptions {
    pub title: String,
    /// Width and height of the picture; the window opens at this size, or as large as the screen allows.
    pub size: (u32, u32),
    pub fullscreen: bool,
}

/// A key that was pressed. F has toggled fullscreen by the time it is passed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Key {
    Escape,
    Space,
    /// A character key, lower case.
    Char(char),
}

/// What happened in the window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WindowEvent {
    Key(Key),
    /// Width and height, px.
    Resized(u32, u32),
    /// The person wants it closed; it stays until `WindowHandle::close`.
    CloseRequested,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Command {
    Close,
    ToggleFullscreen,
}

#[derive(Debug, Default)]
struct Shared {
    size: AtomicU64,
    is_closed: AtomicBool,
}

impl Shared {
    fn set_size(&self, width: u32, height: u32) {
        self.size.store(u64::from(width) << 32 | u64::from(height), Ordering::Release);
    }
}

/// The window as seen from other threads.
#[derive(Debug, Clone)]
pub struct WindowHandle {
    window: Arc<Window>,
    proxy: EventLoopProxy<Command>,
    shared: Arc<Shared>,
}

impl WindowHandle {
    pub(super) fn window(&self) -> Arc<Window> {
        self.window.clone()
    }

    /// Width and height of the drawable area, px.
    pub fn size(&self) -> (u32, u32) {
        let size = self.shared.size.load(Ordering::Acquire);
        ((size >> 32) as u32, size as u32)
    }

    pub fn is_closed(&self) -> bool {
        self.shared.is_closed.load(Ordering::Acquire)
    }

    /// Ends `run_window`. The window itself goes with the last handle and the output that draws into it.
    pub fn close(&self) {
        // An error means that the loop has ended already.
        let _ = self.proxy.send_event(Command::Close);
    }

    pub fn toggle_fullscreen(&self) {
        let _ = self.proxy.send_event(Command::ToggleFullscreen);
    }
}

struct App<Ready, Event> {
    options: WindowOptions,
    proxy: EventLoopProxy<Command>,
    on_ready: Option<Ready>,
    on_event: Event,
    handle: Option<WindowHandle>,
    failure: Option<DisplayError>,
}

/// Opens a window and runs its loop on this thread, the main one, until it is closed. `on_ready` gets the handle once
/// the window exists: start the display thread there. `on_event` must not block.
pub fn run_window(
    options: WindowOptions,
    on_ready: impl FnOnce(WindowHandle),
    on_event: impl FnMut(WindowEvent),
) -> Result<(), DisplayError> {
    run_loop(EventLoop::with_user_event().build(), options, on_ready, on_event)
}

fn run_loop(
    event_loop: Result<EventLoop<Command>, winit::error::EventLoopError>,
    options: WindowOptions,
    on_ready: impl FnOnce(WindowHandle),
    on_event: impl FnMut(WindowEvent),
) -> Result<(), DisplayError> {
    let no_window = |reason: String| DisplayError::NoWindow { reason };
    let event_loop = event_loop.map_err(|error| no_window(error.to_string()))?;
    event_loop.set_control_flow(ControlFlow::Wait);
    let mut app = App { options, proxy: event_loop.create_proxy(), on_ready: Some(on_ready), on_event, handle: None, failure: None };
    let ended = event_loop.run_app(&mut app);
    if let Some(handle) = &app.handle {
        handle.shared.is_closed.store(true, Ordering::Release);
    }
    match app.failure {
        Some(failure) => Err(failure),
        None => ended.map_err(|error| no_window(error.to_string())),
    }
}

impl<Ready: FnOnce(WindowHandle), Event: FnMut(WindowEvent)> App<Ready, Event> {
    fn toggle_fullscreen(&self) {
        let Some(handle) = &self.handle else { return };
        let wanted = handle.window.fullscreen().is_none();
        handle.window.set_fullscreen(wanted.then_some(Fullscreen::Borderless(None)));
        handle.window.set_cursor_visible(!wanted);
    }
}

impl<Ready: FnOnce(WindowHandle), Event: FnMut(WindowEvent)> ApplicationHandler<Command> for App<Ready, Event> {
    fn resumed(&mut self, event_loop: &ActiveEventLoop) {
        let Some(on_ready) = self.on_ready.take() else { return };
        let (width, height) = self.options.size;
        let attributes = Window::default_attributes()
            .with_title(self.options.title.clone())
            .with_inner_size(winit::dpi::PhysicalSize::new(width, height))
            .with_fullscreen(self.options.fullscreen.then_some(Fullscreen::Borderless(None)));
        match event_loop.create_window(attributes) {
            Ok(window) => {
                window.set_cursor_visible(!self.options.fullscreen);
                let shared = Arc::new(Shared::default());
                let size = window.inner_size();
                shared.set_size(size.width, size.height);
                let handle = WindowHandle { window: Arc::new(window), proxy: self.proxy.clone(), shared };
                self.handle = Some(handle.clone());
                on_ready(handle);
            }
            Err(error) => {
                self.failure = Some(DisplayError::NoWindow { reason: error.to_string() });
                event_loop.exit();
            }
        }
    }

    fn user_event(&mut self, event_loop: &ActiveEventLoop, command: Command) {
        match command {
            Command::Close => event_loop.exit(),
            Command::ToggleFullscreen => self.toggle_fullscreen(),
        }
    }

    fn window_event(&mut self, _event_loop: &ActiveEventLoop, _id: WindowId, event: winit::event::WindowEvent) {
        use winit::event::WindowEvent as Winit;
        match event {
            Winit::CloseRequested => (self.on_event)(WindowEvent::CloseRequested),
            Winit::Destroyed => {
                if let Some(handle) = &self.handle {
                    handle.shared.is_closed.store(true, Ordering::Release);
                }
                (self.on_event)(WindowEvent::CloseRequested);
            }
            Winit::Resized(size) => {
                if let Some(handle) = &self.handle {
                    handle.shared.set_size(size.width, size.height);
                }
                (self.on_event)(WindowEvent::Resized(size.width, size.height));
            }
            Winit::KeyboardInput { event, is_synthetic: false, .. } if event.state == ElementState::Pressed && !event.repeat => {
                let key = match event.logical_key {
                    WinitKey::Named(NamedKey::Escape) => Some(Key::Escape),
                    WinitKey::Named(NamedKey::Space) => Some(Key::Space),
                    WinitKey::Character(text) => text.chars().next().and_then(|c| c.to_lowercase().next()).map(Key::Char),
                    _ => None,
                };
                if key == Some(Key::Char('f')) {
                    self.toggle_fullscreen();
                }
                if let Some(key) = key {
                    (self.on_event)(WindowEvent::Key(key));
                }
            }
            _ => {}
        }
    }
}

/// What draws into `window`: wgpu on a real GPU; else MIT-SHM where the window is X11's; else (Wayland) wgpu on a
/// software device. `settings.presenter` overrides the choice. To be called on the display thread.
pub fn open_window_output(window: &WindowHandle, settings: &Settings, clock: Arc<dyn Clock>) -> Result<Box<dyn Output>, DisplayError> {
    let no_window = |reason: &dyn std::fmt::Display| DisplayError::NoWindow { reason: reason.to_string() };
    let raw = window.window.window_handle().map_err(|error| no_window(&error))?.as_raw();
    let x11_window = match raw {
        RawWindowHandle::Xlib(handle) => Some(handle.window as u32),
        RawWindowHandle::Xcb(handle) => Some(handle.window.get()),
        _ => None,
    };
    let by_x11 = |id: u32, clock| Ok(Box::new(X11Output::new(None, id, settings, clock)?) as Box<dyn Output>);
    match (settings.presenter, x11_window) {
        (Presenter::X11, Some(id)) => return by_x11(id, clock),
        (Presenter::X11, None) => return Err(DisplayError::X11 { reason: "the window is not an X11 window".into() }),
        (Presenter::Auto | Presenter::Wgpu, _) => {}
    }
    match (GpuWindow::open(window), x11_window) {
        (Ok((_, gpu)), Some(id)) if gpu.is_software && settings.presenter == Presenter::Auto => by_x11(id, clock),
        (Ok((surface, gpu)), _) => Ok(Box::new(GpuWindow::new(surface, gpu, window.clone(), clock)?)),
        (Err(_), Some(id)) if settings.presenter == Presenter::Auto => by_x11(id, clock),
        (Err(error), None) => Err(DisplayError::WaylandWithoutVulkan { reason: error.to_string() }),
        (Err(error), Some(_)) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock::MonotonicClock;
    use crate::display::Picture;
    use crate::display::x11::tests::{Server, pixels};
    use crate::overlay::host::tests::noise_layer;
    use crate::overlay::testing::{COLORIMETRIES, FORMATS, Owned};
    use std::process::Command as Process;
    use winit::platform::x11::EventLoopBuilderExtX11;

    const CHILD: &str = "KEYHOLE_WINDOW_TEST";
    const SIZE: (usize, usize) = (320, 180);

    /// winit reads $DISPLAY, which a test cannot change for one thread: the test runs itself in a process of its own.
    fn in_child(test: &str, presenter: &str) {
        let Some(server) = Server::start(test, "800x600x24") else { return };
        let output = Process::new(std::env::current_exe().unwrap())
            .args(["--exact", &format!("display::window::tests::{test}"), "--nocapture", "--test-threads", "1"])
            .env(CHILD, presenter)
            .env("DISPLAY", &server.display)
            .env_remove("WAYLAND_DISPLAY")
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && text.contains("window compared: "), "{text}");
        // The harness puts the test's name before the first thing that it prints.
        text.lines().filter_map(|line| line.find("SKIPPED").map(|at| &line[at..])).for_each(|line| println!("{line}"));
    }

    /// The loop ends even where the display thread panics.
    struct ClosesOnDrop(WindowHandle);

    impl Drop for ClosesOnDrop {
        fn drop(&mut self) {
            self.0.close();
        }
    }

    /// Opens a window, shows pictures in it, and reads them back from the server.
    fn compare(presenter: Presenter, wish_compositor: &str) {
        let options = WindowOptions { title: "keyhole test".into(), size: (SIZE.0 as u32, SIZE.1 as u32), fullscreen: false };
        let event_loop = EventLoop::with_user_event().with_any_thread(true).build();
        let mut display_thread = None;
        let settings = Settings { presenter, present_timeout_ms: 5000, ..Settings::default() };
        let on_ready = |handle: WindowHandle| {
            let wish = wish_compositor.to_owned();
            display_thread = Some(std::thread::spawn(move || {
                let _closes = ClosesOnDrop(handle.clone());
                show_and_compare(&handle, &settings, &wish)
            }));
        };
        run_loop(event_loop, options, on_ready, |_| ()).unwrap();
        println!("window compared: {}", display_thread.unwrap().join().unwrap());
    }

    fn show_and_compare(handle: &WindowHandle, settings: &Settings, wish: &str) -> String {
        let (width, height) = SIZE;
        assert_eq!(handle.size(), (width as u32, height as u32));
        let mut output = open_window_output(handle, settings, Arc::new(MonotonicClock)).unwrap();
        let info = output.describe();
        assert_eq!((info.display, info.compositor), ("window", wish));
        let RawWindowHandle::Xlib(raw) = handle.window.window_handle().unwrap().as_raw() else { panic!("not an Xlib window") };
        let (connection, _) = x11rb::connect(None).unwrap();
        for round in 0..3 {
            let frame = Owned::noise(FORMATS[round], COLORIMETRIES[round], width, height, round as u64).frame();
            let layer = noise_layer(width, height, 5 + round as u64);
            for picture in [Picture::New(&frame), Picture::Again(&frame), Picture::Blank(width, height)] {
                // A present before the server has mapped the window goes nowhere, and a software present may lag: what
                // is asked is that it gets there, so it is shown again until it does, but not for ever.
                let arrived = (0..200).any(|_| {
                    output.show(picture, &[&layer]).unwrap();
                    pixels(&connection, raw.window as u32, width, height) == output.presented().unwrap().data
                });
                assert!(arrived, "round {round}: {picture:?} never reached the window");
            }
        }
        format!("{} through {}", info.adapter, info.compositor)
    }

    #[test]
    fn a_window_on_x11_without_a_gpu_is_fed_by_shared_memory() {
        match std::env::var(CHILD) {
            Ok(_) => {
                let gpu = crate::overlay::gpu::test_gpu("the choice between GPU and shared memory");
                let has_real_gpu = gpu.is_some_and(|gpu| !gpu.is_software);
                compare(if has_real_gpu { Presenter::X11 } else { Presenter::Auto }, "host");
            }
            Err(_) => in_child("a_window_on_x11_without_a_gpu_is_fed_by_shared_memory", "x11"),
        }
    }

    #[test]
    fn a_window_on_a_vulkan_surface_shows_the_composed_pixels() {
        match std::env::var(CHILD) {
            Ok(_) if crate::overlay::gpu::test_gpu("a_window_on_a_vulkan_surface_shows_the_composed_pixels").is_none() => {
                println!("window compared: nothing, no Vulkan");
            }
            Ok(_) => compare(Presenter::Wgpu, "wgpu"),
            Err(_) => in_child("a_window_on_a_vulkan_surface_shows_the_composed_pixels", "wgpu"),
        }
    }
}
