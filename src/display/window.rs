//! The window itself: winit's event loop, which owns the main thread. It opens, resizes and closes the window and passes
//! on keys; it draws nothing. What draws is an `Output` on the display thread, made by `open_window_output`.

use crate::base::clock::Clock;
use crate::display::monitors::{self, Monitor, MonitorChoice};
use crate::display::rescue::{OpenAgain, Rescued};
use crate::display::x11_clock::FrameClock;
use crate::display::{DisplayError, GpuWindow, Output, Presenter, Settings, X11Output, x11_monitor};
use raw_window_handle::{HasWindowHandle, RawWindowHandle};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use winit::application::ApplicationHandler;
use winit::dpi::{PhysicalPosition, PhysicalSize};
use winit::event::ElementState;
use winit::event_loop::{ActiveEventLoop, ControlFlow, EventLoop, EventLoopProxy};
use winit::keyboard::{Key as WinitKey, NamedKey};
use winit::monitor::MonitorHandle;
use winit::window::{Fullscreen, Window, WindowId};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WindowOptions {
    pub title: String,
    /// Width and height of the picture; the window opens at this size, or as large as the screen allows.
    pub size: (u32, u32),
    pub fullscreen: bool,
    /// The monitor that it goes to; None: the system's choice.
    pub monitor: Option<MonitorChoice>,
    /// A second window, for the clean feed.
    pub feed: Option<FeedOptions>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeedOptions {
    /// Full screen on a monitor that is not the main window's; else an ordinary window.
    pub on_monitor: bool,
    /// Which one; None: the first other one.
    pub monitor: Option<MonitorChoice>,
}

/// A key, as it is labelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Key {
    /// A character key, lower case.
    Char(char),
    Named(NamedKey),
    /// One without a name.
    Other,
}

impl Key {
    pub const ESCAPE: Key = Key::Named(NamedKey::Escape);
    pub const SPACE: Key = Key::Named(NamedKey::Space);
    pub const ENTER: Key = Key::Named(NamedKey::Enter);

    /// Is this the key that people call so: `b`, `F13`, `PageDown`?
    pub fn is_called(self, name: &str) -> bool {
        match self {
            Key::Char(c) => name.chars().flat_map(char::to_lowercase).eq([c]),
            Key::Named(named) => format!("{named:?}").eq_ignore_ascii_case(name),
            Key::Other => false,
        }
    }

    /// None for keys that only change what others mean.
    fn of(key: &WinitKey) -> Option<Key> {
        use NamedKey::{Alt, AltGraph, CapsLock, Control, Fn, FnLock, Hyper, Meta, NumLock, ScrollLock, Shift, Super, Symbol, SymbolLock};
        match key {
            WinitKey::Named(
                Alt | AltGraph | CapsLock | Control | Fn | FnLock | Hyper | Meta | NumLock | ScrollLock | Shift | Super | Symbol
                | SymbolLock,
            ) => None,
            WinitKey::Named(named) => Some(Key::Named(*named)),
            WinitKey::Character(text) => text.chars().next().and_then(|c| c.to_lowercase().next()).map(Key::Char),
            WinitKey::Unidentified(_) | WinitKey::Dead(_) => Some(Key::Other),
        }
    }
}

/// What happened in the windows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WindowEvent {
    /// A key went down; F has toggled fullscreen by then.
    Key(Key),
    /// A key was let go.
    KeyUp(Key),
    /// A mouse button went down.
    Mouse,
    /// Width and height of the main window, px.
    Resized(u32, u32),
    /// The person wants it closed; it stays until `WindowHandle::close`.
    CloseRequested,
}

/// The windows that were opened.
#[derive(Debug, Clone)]
pub struct Windows {
    pub main: WindowHandle,
    pub feed: Option<WindowHandle>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Command {
    Close,
    ToggleFullscreen,
    /// The monitor has changed: what filled it fills it again.
    Refill,
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

    /// The monitor has changed: a window that fills it fills it again. Does not wait.
    pub(super) fn refill(&self) {
        let _ = self.proxy.send_event(Command::Refill);
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
    windows: Option<Windows>,
    /// Where nobody manages windows: place and size before full screen.
    before: Option<(PhysicalPosition<i32>, PhysicalSize<u32>)>,
    is_fullscreen: bool,
    failure: Option<DisplayError>,
}

/// Opens the windows and runs their loop on this thread, the main one, until the main window is closed. `on_ready` gets
/// the handles once the windows exist: start the display thread there. `on_event` must not block.
pub fn run_window(options: WindowOptions, on_ready: impl FnOnce(Windows), on_event: impl FnMut(WindowEvent)) -> Result<(), DisplayError> {
    run_loop(EventLoop::with_user_event().build(), options, on_ready, on_event)
}

fn run_loop(
    event_loop: Result<EventLoop<Command>, winit::error::EventLoopError>,
    options: WindowOptions,
    on_ready: impl FnOnce(Windows),
    on_event: impl FnMut(WindowEvent),
) -> Result<(), DisplayError> {
    let no_window = |reason: String| DisplayError::NoWindow { reason };
    let event_loop = event_loop.map_err(|error| no_window(error.to_string()))?;
    event_loop.set_control_flow(ControlFlow::Wait);
    let proxy = event_loop.create_proxy();
    let is_fullscreen = options.fullscreen;
    let mut app = App { options, proxy, on_ready: Some(on_ready), on_event, windows: None, before: None, is_fullscreen, failure: None };
    let ended = event_loop.run_app(&mut app);
    for handle in app.windows.iter().flat_map(Windows::all) {
        handle.shared.is_closed.store(true, Ordering::Release);
    }
    match app.failure {
        Some(failure) => Err(failure),
        None => ended.map_err(|error| no_window(error.to_string())),
    }
}

impl Windows {
    fn all(&self) -> impl Iterator<Item = &WindowHandle> {
        std::iter::once(&self.main).chain(&self.feed)
    }
}

fn connected(event_loop: &ActiveEventLoop) -> (Vec<MonitorHandle>, Vec<Monitor>) {
    let handles: Vec<MonitorHandle> = event_loop.available_monitors().collect();
    let monitors = handles.iter().map(|handle| Monitor {
        name: handle.name().unwrap_or_else(|| "unnamed".into()),
        position: handle.position().into(),
        size: handle.size().into(),
    });
    let monitors = monitors.collect();
    (handles, monitors)
}

/// Does a window manager make windows full screen for us? On Wayland always.
fn is_managed(window: &Window) -> bool {
    match window.window_handle().map(|handle| handle.as_raw()) {
        Ok(RawWindowHandle::Xlib(_) | RawWindowHandle::Xcb(_)) => monitors::x11_has_window_manager(),
        _ => true,
    }
}

/// Full screen on `monitor`, or on the one that the window is on.
fn fill(window: &Window, monitor: Option<MonitorHandle>) -> Option<(PhysicalPosition<i32>, PhysicalSize<u32>)> {
    window.set_cursor_visible(false);
    if is_managed(window) {
        window.set_fullscreen(Some(Fullscreen::Borderless(monitor)));
        return None;
    }
    let before = (window.outer_position().unwrap_or_default(), window.inner_size());
    if let Some(monitor) = monitor.or_else(|| window.current_monitor()) {
        window.set_outer_position(monitor.position());
        let _ = window.request_inner_size(monitor.size());
    }
    Some(before)
}

impl<Ready: FnOnce(Windows), Event: FnMut(WindowEvent)> App<Ready, Event> {
    fn toggle_fullscreen(&mut self) {
        let Some(windows) = &self.windows else { return };
        let window = &windows.main.window;
        if !self.is_fullscreen {
            self.before = fill(window, None);
        } else {
            window.set_cursor_visible(true);
            window.set_fullscreen(None);
            if let Some((position, size)) = self.before.take() {
                window.set_outer_position(position);
                let _ = window.request_inner_size(size);
            }
        }
        self.is_fullscreen = !self.is_fullscreen;
    }

    fn refill(&mut self) {
        let Some(windows) = &self.windows else { return };
        if self.is_fullscreen {
            let _ = fill(&windows.main.window, None);
        }
        if let (Some(feed), Some(FeedOptions { on_monitor: true, .. })) = (&windows.feed, &self.options.feed) {
            let _ = fill(&feed.window, None);
        }
    }

    fn open(&mut self, event_loop: &ActiveEventLoop) -> Result<Windows, DisplayError> {
        let (handles, connected) = connected(event_loop);
        let main = self.options.monitor.as_ref().map(|wanted| monitors::choose(&connected, wanted)).transpose()?;
        let feed = match &self.options.feed {
            Some(FeedOptions { on_monitor: true, monitor: Some(wanted) }) => Some(monitors::choose(&connected, wanted)?),
            Some(FeedOptions { on_monitor: true, monitor: None }) => Some(monitors::choose_other(&connected, main.unwrap_or(0))?),
            Some(FeedOptions { monitor: Some(wanted), .. }) => Some(monitors::choose(&connected, wanted)?),
            _ => None,
        };
        let (size, title) = (PhysicalSize::<u32>::from(self.options.size), self.options.title.clone());
        let open = |title: String, position: Option<PhysicalPosition<i32>>| -> Result<WindowHandle, DisplayError> {
            let mut attributes = Window::default_attributes().with_title(title).with_inner_size(size);
            if let Some(position) = position {
                attributes = attributes.with_position(position);
            }
            let window = event_loop.create_window(attributes).map_err(|error| DisplayError::NoWindow { reason: error.to_string() })?;
            let shared = Arc::new(Shared::default());
            let size = window.inner_size();
            shared.set_size(size.width, size.height);
            Ok(WindowHandle { window: Arc::new(window), proxy: self.proxy.clone(), shared })
        };
        let at = |monitor: usize| handles[monitor].position();
        let beside = PhysicalPosition::new(size.width as i32, 0);
        let windows = Windows {
            main: open(title.clone(), main.map(at))?,
            feed: self.options.feed.as_ref().map(|_| open(format!("{title} clean feed"), Some(feed.map_or(beside, at)))).transpose()?,
        };
        if self.options.fullscreen {
            self.before = fill(&windows.main.window, main.map(|index| handles[index].clone()));
        }
        if let (Some(window), Some(FeedOptions { on_monitor: true, .. }), Some(index)) = (&windows.feed, &self.options.feed, feed) {
            let _ = fill(&window.window, Some(handles[index].clone()));
        }
        Ok(windows)
    }
}

impl<Ready: FnOnce(Windows), Event: FnMut(WindowEvent)> ApplicationHandler<Command> for App<Ready, Event> {
    fn resumed(&mut self, event_loop: &ActiveEventLoop) {
        let Some(on_ready) = self.on_ready.take() else { return };
        match self.open(event_loop) {
            Ok(windows) => {
                self.windows = Some(windows.clone());
                on_ready(windows);
            }
            Err(error) => {
                self.failure = Some(error);
                event_loop.exit();
            }
        }
    }

    fn user_event(&mut self, event_loop: &ActiveEventLoop, command: Command) {
        match command {
            Command::Close => event_loop.exit(),
            Command::ToggleFullscreen => self.toggle_fullscreen(),
            Command::Refill => self.refill(),
        }
    }

    fn window_event(&mut self, _event_loop: &ActiveEventLoop, id: WindowId, event: winit::event::WindowEvent) {
        use winit::event::WindowEvent as Winit;
        let Some(windows) = &self.windows else { return };
        let is_main = windows.main.window.id() == id;
        let handle = windows.all().find(|handle| handle.window.id() == id).map(|handle| handle.shared.clone());
        match event {
            Winit::CloseRequested if is_main => (self.on_event)(WindowEvent::CloseRequested),
            Winit::Destroyed => {
                if let Some(shared) = handle {
                    shared.is_closed.store(true, Ordering::Release);
                }
                if is_main {
                    (self.on_event)(WindowEvent::CloseRequested);
                }
            }
            Winit::Resized(size) => {
                if let Some(shared) = handle {
                    shared.set_size(size.width, size.height);
                }
                if is_main {
                    (self.on_event)(WindowEvent::Resized(size.width, size.height));
                }
            }
            Winit::KeyboardInput { event, is_synthetic, .. } => {
                let Some(key) = Key::of(&event.logical_key) else { return };
                match event.state {
                    // A key that is let go elsewhere is let go, too; one that was pressed elsewhere was not pressed here.
                    ElementState::Released => (self.on_event)(WindowEvent::KeyUp(key)),
                    ElementState::Pressed if is_synthetic || event.repeat => {}
                    ElementState::Pressed => {
                        if key == Key::Char('f') {
                            self.toggle_fullscreen();
                        }
                        (self.on_event)(WindowEvent::Key(key));
                    }
                }
            }
            Winit::MouseInput { state: ElementState::Pressed, .. } => (self.on_event)(WindowEvent::Mouse),
            _ => {}
        }
    }
}

/// What draws into `window`: wgpu on a real GPU; else MIT-SHM where the window is X11's; else (Wayland) wgpu on a
/// software device. `settings.presenter` overrides the choice. Not on the window's own thread: that answers.
pub fn open_window_output(window: &WindowHandle, settings: &Settings, clock: Arc<dyn Clock>) -> Result<Box<dyn Output>, DisplayError> {
    let no_window = |reason: &dyn std::fmt::Display| DisplayError::NoWindow { reason: reason.to_string() };
    let raw = window.window.window_handle().map_err(|error| no_window(&error))?.as_raw();
    let x11_window = match raw {
        RawWindowHandle::Xlib(handle) => Some(handle.window as u32),
        RawWindowHandle::Xcb(handle) => Some(handle.window.get()),
        _ => None,
    };
    // Where nobody can say what becomes of the monitor, pictures are shown all the same.
    let watching = || {
        let handle = window.clone();
        x11_window.and_then(|id| x11_monitor::watch(None, id, clock.clone(), move || handle.refill()).ok())
    };
    let by_x11 = |id: u32| Ok(Box::new(X11Output::new(None, id, settings, clock.clone())?.watched(watching())) as Box<dyn Output>);
    // A graphics device that is lost: the host compositor's way into an X11 window, else another device.
    let instead: OpenAgain = {
        let (window, settings, clock) = (window.clone(), settings.clone(), clock.clone());
        let presenter = if x11_window.is_some() { Presenter::X11 } else { Presenter::Wgpu };
        Box::new(move || open_window_output(&window, &Settings { presenter, ..settings.clone() }, clock.clone()))
    };
    match (settings.presenter, x11_window) {
        (Presenter::X11, Some(id)) => return by_x11(id),
        (Presenter::X11, None) => return Err(DisplayError::X11 { reason: "the window is not an X11 window".into() }),
        (Presenter::Auto | Presenter::Wgpu, _) => {}
    }
    match (GpuWindow::open(window), x11_window) {
        (Ok((_, gpu)), Some(id)) if gpu.is_software && settings.presenter == Presenter::Auto => by_x11(id),
        (Ok((surface, gpu)), _) => {
            let refreshes = x11_window.and_then(|id| FrameClock::of(None, id, settings, &*clock));
            let output = GpuWindow::new(surface, gpu, window.clone(), refreshes, clock.clone())?.watched(watching());
            Ok(Box::new(Rescued::new(Box::new(output), instead)))
        }
        (Err(_), Some(id)) if settings.presenter == Presenter::Auto => by_x11(id),
        (Err(error), None) => Err(DisplayError::WaylandWithoutVulkan { reason: error.to_string() }),
        (Err(error), Some(_)) => Err(error),
    }
}

#[cfg(test)]
#[path = "window_tests.rs"]
mod tests;
