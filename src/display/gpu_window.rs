//! A window on a GPU, or on Wayland: the wgpu compositor draws straight into the surface, in ten bits where the picture has ten and
//! the surface takes them.

use crate::base::clock::Clock;
use crate::display::headless::upload;
use crate::display::monitor_watch::{MonitorEvent, MonitorLink, MonitorNote};
use crate::display::surface::{Formats, present_mode};
use crate::display::x11_clock::FrameClock;
use crate::display::{DisplayError, Output, OutputInfo, Picture, PresentedView, Refresh, Shown, WindowHandle};
use crate::overlay::gpu::{Gpu, GpuCompositor};
use crate::overlay::{Depth, Layer};
use std::sync::Arc;

pub struct GpuWindow {
    clock: Arc<dyn Clock>,
    compositor: GpuCompositor,
    surface: wgpu::Surface<'static>,
    config: wgpu::SurfaceConfiguration,
    formats: Formats,
    /// Of the surface as it is configured.
    depth: Depth,
    window: WindowHandle,
    /// Where somebody watches it.
    monitor: Option<MonitorLink>,
    /// When the monitor takes pictures, where somebody says it: X.
    refreshes: Option<FrameClock>,
    read: Vec<u8>,
}

fn surface(reason: impl std::fmt::Display) -> DisplayError {
    DisplayError::Surface { reason: reason.to_string() }
}

impl GpuWindow {
    /// The surface of `window` and the best device for it.
    pub(super) fn open(window: &WindowHandle) -> Result<(wgpu::Surface<'static>, Gpu), DisplayError> {
        let instance = crate::overlay::gpu::instance();
        let target = instance.create_surface(window.window()).map_err(surface)?;
        let gpu = Gpu::new(&instance, Some(&target))?;
        Ok((target, gpu))
    }

    pub(super) fn new(
        target: wgpu::Surface<'static>,
        gpu: Gpu,
        window: WindowHandle,
        refreshes: Option<FrameClock>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, DisplayError> {
        let capabilities = target.get_capabilities(&gpu.adapter);
        let formats = Formats::of(&capabilities.formats).ok_or_else(|| surface("it has no 8-bit format without sRGB encoding"))?;
        let opaque = capabilities.alpha_modes.contains(&wgpu::CompositeAlphaMode::Opaque);
        let (width, height) = window.size();
        let config = wgpu::SurfaceConfiguration {
            usage: wgpu::TextureUsages::RENDER_ATTACHMENT,
            format: formats.eight,
            color_space: wgpu::SurfaceColorSpace::Auto,
            width: width.max(1),
            height: height.max(1),
            present_mode: present_mode(&capabilities.present_modes, refreshes.is_some()),
            desired_maximum_frame_latency: 1,
            alpha_mode: if opaque { wgpu::CompositeAlphaMode::Opaque } else { wgpu::CompositeAlphaMode::Auto },
            view_formats: Vec::new(),
        };
        target.configure(&gpu.device, &config);
        gpu.finish()?;
        Ok(GpuWindow {
            clock,
            compositor: GpuCompositor::new(gpu, formats.eight),
            surface: target,
            config,
            formats,
            depth: Depth::Eight,
            window,
            monitor: None,
            refreshes,
            read: Vec::new(),
        })
    }

    /// While nobody can see the window, nothing is drawn to it: a driver may keep a picture for a monitor that sleeps.
    pub(super) fn watched(mut self, monitor: Option<MonitorLink>) -> Self {
        self.monitor = monitor;
        self
    }

    fn is_unseen(&self) -> bool {
        self.monitor.as_ref().is_some_and(MonitorLink::is_gone)
    }

    fn configure(&mut self) {
        let (width, height) = self.window.size();
        (self.config.width, self.config.height) = (width.max(1), height.max(1));
        self.config.format = self.formats.at(self.depth);
        self.surface.configure(&self.compositor.gpu().device, &self.config);
    }

    fn next_texture(&mut self) -> Result<Option<wgpu::SurfaceTexture>, DisplayError> {
        use wgpu::CurrentSurfaceTexture as Next;
        if self.window.size() != (self.config.width, self.config.height) || self.config.format != self.formats.at(self.depth) {
            self.configure();
        }
        if self.is_unseen() {
            return Ok(None);
        }
        for _ in 0..2 {
            match self.surface.get_current_texture() {
                Next::Success(texture) | Next::Suboptimal(texture) => return Ok(Some(texture)),
                // Nobody can see it; there is nothing to wait for.
                Next::Occluded => return Ok(None),
                Next::Outdated | Next::Lost => self.configure(),
                Next::Timeout if self.is_unseen() => return Ok(None),
                Next::Timeout => return Err(surface("it has no free picture in time")),
                Next::Validation => return Err(surface("it was refused")),
            }
        }
        Err(surface("it is out of date and stays so"))
    }
}

impl Output for GpuWindow {
    fn describe(&self) -> OutputInfo {
        OutputInfo { display: "window", adapter: self.compositor.gpu().name.clone(), compositor: "wgpu" }
    }

    fn gpu(&self) -> Option<&Gpu> {
        Some(self.compositor.gpu())
    }

    fn lose_device(&mut self) -> bool {
        self.compositor.gpu().device.destroy();
        true
    }

    fn refresh(&self) -> Option<Refresh> {
        self.refreshes.as_ref().map(FrameClock::refresh)
    }

    fn monitor_note(&mut self) -> Option<MonitorNote> {
        let note = self.monitor.as_ref()?.next_note()?;
        if let (MonitorEvent::OtherMode(mode), Some(refreshes)) = (note.event, &mut self.refreshes) {
            mode.rate.into_iter().for_each(|rate| refreshes.set_rate(rate));
        }
        Some(note)
    }

    /// `compose_ns` is all until the picture was given to the surface, where the monitor's refreshes are known, which are waited for then; else
    /// the upload: drawing cannot be told from presenting. A window that nobody can see is not drawn to.
    fn show(&mut self, picture: Picture<'_>, layers: &[&Layer]) -> Result<Shown, DisplayError> {
        let start_ns = self.clock.now_ns();
        if self.window.is_closed() {
            return Err(DisplayError::Closed);
        }
        upload(&mut self.compositor, picture, layers)?;
        let mut composed_ns = self.clock.now_ns();
        self.depth = self.formats.depth_for(&picture, self.depth);
        let texture = self.next_texture()?;
        let is_presented = texture.is_some();
        if let Some(texture) = texture {
            let size = (texture.texture.width() as usize, texture.texture.height() as usize);
            let view = texture.texture.create_view(&Default::default());
            self.compositor.draw(self.depth, &view, size)?;
            self.compositor.gpu().queue.present(texture);
            self.compositor.gpu().finish()?;
        }
        if let Some(refreshes) = &mut self.refreshes {
            composed_ns = self.clock.now_ns();
            if is_presented {
                refreshes.wait(&*self.clock);
            } else {
                // Nobody looks; the pace is kept.
                self.clock.sleep_until_ns(refreshes.refresh().next_ns(composed_ns));
            }
        }
        let done_ns = self.clock.now_ns();
        Ok(Shown { done_ns, compose_ns: composed_ns - start_ns, present_ns: done_ns - composed_ns, flip_ns: None })
    }

    /// Draws the same once more into a texture that can be read, in eight bits: the surface's own cannot.
    fn presented(&mut self) -> Result<PresentedView<'_>, DisplayError> {
        self.compositor.draw_offscreen()?;
        let (width, height) = self.compositor.read_back(&mut self.read)?;
        Ok(PresentedView { data: &self.read, stride: 4 * width, width, height })
    }
}
