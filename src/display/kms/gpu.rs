//! A monitor without X or Wayland that a GPU draws onto: the wgpu compositor, Vulkan's own planes, the kernel's refreshes.
//!
//! ```text
//!   display thread   upload ─► draw ─► the device has finished ─► present ─► wait for the CRTC's next refresh
//!   monitor thread   uevent, or a look each 100 ms ─► judge ─► hand over what is to be lit            (`keeper`)
//! ```
//! The card is ours (its master); Vulkan has a lease of the one connector and CRTC, so that it can be taken back from a driver that does
//! nothing any more. While a monitor is gone, pictures are uploaded (for recordings and stills) and not presented. What is drawn
//! beside the picture is left black. An error is the GPU's end: `open` has the host go on.

use crate::base::clock::Clock;
use crate::display::headless::upload;
use crate::display::kms::card::{Card, Plan, Wanted};
use crate::display::kms::keeper::{Handover, Keeper};
use crate::display::kms::open::Tenure;
use crate::display::kms::swapchain::{Manner, NotShown, Swapchain};
use crate::display::kms::vulkan::{self, Offered, Surface};
use crate::display::kms::way::{self, WhyHost};
use crate::display::monitor_watch::{MonitorLink, MonitorNote};
use crate::display::surface::{Formats, present_mode};
use crate::display::{DisplayError, Output, OutputInfo, Picture, PresentedView, Refresh, Settings, Shown};
use crate::overlay::gpu::{Gpu, GpuCompositor};
use crate::overlay::{Depth, Layer};
use ash::vk;
use std::os::fd::OwnedFd;
use std::sync::Arc;

/// A refresh that does not come within so many periods is not waited for.
const PATIENCE_PERIODS: u64 = 3;
/// A wait for a free picture looks around so often.
const LOOK_NS: u64 = 20_000_000;

/// What is to be lit, and with what.
pub struct Task<'a> {
    pub card: &'a Arc<Card>,
    pub plan: &'a Plan,
    pub wanted: &'a Wanted,
    pub settings: &'a Settings,
    pub clock: &'a Arc<dyn Clock>,
    pub tenure: &'a Arc<Tenure>,
}

/// Makes a surface of a monitor that was lent.
type OnMonitor = Box<dyn FnMut(OwnedFd, &Plan) -> Result<Surface, String> + Send>;

pub struct GpuKms {
    clock: Arc<dyn Clock>,
    timeout_ns: u64,
    card: Arc<Card>,
    tenure: Arc<Tenure>,
    lit: Option<Lit>,
    /// It has taken no picture since; the monitor thread says what is to be lit instead.
    is_broken: bool,
    compositor: GpuCompositor,
    on_monitor: OnMonitor,
    handover: Arc<Handover<Plan>>,
    monitor: MonitorLink,
    /// Somebody has said one, for cards that know none of their own.
    said: Option<Refresh>,
    adapter: String,
    read: Vec<u8>,
}

/// A monitor that Vulkan has.
struct Lit {
    /// Before the surface.
    swapchain: Swapchain,
    surface: Arc<Surface>,
    offered: Offered,
    formats: Formats,
    depth: Depth,
    plan: Plan,
    /// The CRTC's place on the card, and its refreshes. None: they are not known.
    refresh: Option<(u32, Refresh)>,
    /// It has taken a picture.
    is_proven: bool,
}

fn surface(reason: impl std::fmt::Display) -> DisplayError {
    DisplayError::Surface { reason: reason.to_string() }
}

/// Why a picture is not on the screen.
enum Failure {
    /// The device is not to blame: the monitor may be gone.
    Screen(NotShown),
    Device(DisplayError),
}

impl From<NotShown> for Failure {
    fn from(error: NotShown) -> Self {
        match error.code {
            vk::Result::ERROR_DEVICE_LOST => Failure::Device(surface(error)),
            _ => Failure::Screen(error),
        }
    }
}

impl Lit {
    /// Takes the plan's monitor for Vulkan. It lights up with the first picture.
    fn take(on_monitor: &mut OnMonitor, gpu: &Gpu, tenure: &Tenure, plan: Plan) -> Result<Lit, String> {
        let node = tenure.lend(&plan).map_err(|error| format!("the kernel does not lend the monitor: {error}"))?;
        let surface = Arc::new(on_monitor(node, &plan)?);
        let offered = surface.offered()?;
        let formats = Formats::of(&offered.formats).ok_or("it has no 8-bit format without sRGB encoding")?;
        let manner = Manner { size: plan.offer.size, format: formats.eight, mode: present_mode(&offered.modes, true) };
        let swapchain = Swapchain::new(gpu, &surface, &offered, manner, None).map_err(|error| error.to_string())?;
        Ok(Lit { swapchain, surface, offered, formats, depth: Depth::Eight, plan, refresh: None, is_proven: false })
    }

    /// Other pictures need another format.
    fn keep(&mut self, gpu: &Gpu, depth: Depth) -> Result<(), NotShown> {
        if depth != self.depth {
            let manner = Manner { format: self.formats.at(depth), ..self.swapchain.manner };
            self.swapchain = Swapchain::new(gpu, &self.surface, &self.offered, manner, Some(&self.swapchain))?;
            self.depth = depth;
        }
        Ok(())
    }

    /// Draws what was uploaded and puts it on the screen. False: nobody can see it any more.
    fn show(&mut self, compositor: &mut GpuCompositor, timeout_ns: u64, is_unseen: impl Fn() -> bool) -> Result<bool, Failure> {
        let mut left_ns = timeout_ns;
        let (index, view) = loop {
            match self.swapchain.next(left_ns.min(LOOK_NS))? {
                Some(free) => break free,
                None if is_unseen() => return Ok(false),
                None if left_ns <= LOOK_NS => return Err(NotShown { what: "vkAcquireNextImageKHR", code: vk::Result::TIMEOUT }.into()),
                None => left_ns -= LOOK_NS,
            }
        };
        let device = |error| Failure::Device(DisplayError::Overlay(error));
        compositor.draw(self.depth, &view, self.swapchain.manner.size).map_err(device)?;
        self.swapchain.finish(index);
        compositor.gpu().finish().map_err(device)?;
        self.swapchain.show(index)?;
        Ok(true)
    }
}

impl GpuKms {
    /// The GPU that drives the card, and the plan's monitor lit by it, black. Err: why pictures are composed on the host.
    pub fn open(task: &Task<'_>) -> Result<Self, WhyHost> {
        way::may_have_gpu(task.settings.presenter, &task.card.driver)?;
        let node = task.card.number().map_err(|error| WhyHost::NoVulkan { reason: format!("{}: {error}", task.card.path) })?;
        let instance = vulkan::instance().map_err(|reason| WhyHost::NoVulkan { reason })?;
        let (found, mut adapters) = vulkan::look(&instance);
        let index = way::choose(node, &found)?;
        let refused = |reason: String| WhyHost::Refused { device: found.devices[index].name.clone(), reason };
        let adapter = adapters.swap_remove(index);
        let gpu = Gpu::of(adapter.clone()).map_err(|error| refused(error.to_string()))?;
        let on_monitor = move |node, plan: &Plan| Surface::of_monitor(&instance, &adapter, node, plan);
        Self::on(task, gpu, Box::new(on_monitor)).map_err(refused)
    }

    fn on(task: &Task<'_>, gpu: Gpu, mut on_monitor: OnMonitor) -> Result<Self, String> {
        let &Task { card, plan, wanted, settings, clock, tenure } = task;
        let lit = Lit::take(&mut on_monitor, &gpu, tenure, plan.clone())?;
        let adapter = format!("{} on {} ({}), {} {}", gpu.name, card.path, card.driver, plan.name, plan.shown());
        let handover = Arc::new(Handover::default());
        let keeper = Keeper {
            card: card.clone(),
            wanted: wanted.clone(),
            plan: plan.clone(),
            clock: clock.clone(),
            handover: handover.clone(),
            light: |_, plan| Ok(plan),
        };
        let mut output = GpuKms {
            clock: clock.clone(),
            timeout_ns: u64::from(settings.present_timeout_ms) * 1_000_000,
            card: card.clone(),
            tenure: tenure.clone(),
            compositor: GpuCompositor::new(gpu, lit.formats.eight),
            lit: Some(lit),
            is_broken: false,
            on_monitor,
            handover,
            monitor: MonitorLink::start(move |post| keeper.run(&post)).map_err(|error| error.to_string())?,
            said: settings.refresh_hz.map(|rate| Refresh { rate, origin_ns: clock.now_ns() }),
            adapter,
            read: Vec::new(),
        };
        output.show(Picture::Blank(wanted.size.0, wanted.size.1), &[]).map_err(|error| error.to_string())?;
        Ok(output)
    }

    /// Lights what the monitor thread has found since.
    fn follow(&mut self) -> Result<(), DisplayError> {
        let Some(plan) = self.handover.take() else { return Ok(()) };
        let format = self.lit.as_ref().map(|lit| lit.formats.eight);
        // What Vulkan has is given back first: it takes a monitor only once.
        self.lit = None;
        let lit = Lit::take(&mut self.on_monitor, self.compositor.gpu(), &self.tenure, plan).map_err(surface)?;
        if format.is_some_and(|format| format != lit.formats.eight) {
            return Err(surface("the monitor's format is another one"));
        }
        (self.lit, self.is_broken) = (Some(lit), false);
        Ok(())
    }

    /// Puts on the screen what was uploaded. False: it is not there, and the monitor thread looks why.
    fn present(&mut self, picture: &Picture<'_>) -> Result<bool, DisplayError> {
        let Some(lit) = &mut self.lit else { return Ok(false) };
        let depth = lit.formats.depth_for(picture, lit.depth);
        let kept = lit.keep(self.compositor.gpu(), depth).map_err(Failure::from);
        let is_unseen = || self.monitor.is_gone();
        match kept.and_then(|()| lit.show(&mut self.compositor, self.timeout_ns, is_unseen)) {
            Ok(false) => Ok(false),
            Ok(true) => {
                if !std::mem::replace(&mut lit.is_proven, true) {
                    // A CRTC has refreshes once it is lit.
                    lit.refresh = self.card.pipe(&lit.plan).zip(self.card.refresh(&lit.plan));
                }
                Ok(true)
            }
            Err(Failure::Device(error)) => Err(error),
            Err(Failure::Screen(error)) if !lit.is_proven => Err(surface(error)),
            Err(Failure::Screen(error)) => {
                tracing::debug!("the monitor took no picture ({error})");
                self.is_broken = true;
                self.handover.ask();
                self.monitor.look_now();
                Ok(false)
            }
        }
    }

    /// Waits for the refresh that takes the picture, or for the time of one.
    fn pace(&mut self, is_presented: bool) {
        let own = self.lit.as_mut().and_then(|lit| lit.refresh.as_mut());
        match own.filter(|_| is_presented) {
            Some((pipe, refresh)) => {
                let deadline_ns = self.clock.now_ns() + PATIENCE_PERIODS * refresh.period_ns();
                if let Some(stamp_ns) = self.card.await_refresh(*pipe, deadline_ns, &|| self.clock.now_ns()) {
                    refresh.origin_ns = stamp_ns;
                }
            }
            None => {
                // What is not shown keeps the pace, too. Where no refresh is known Vulkan waits for a free picture.
                self.refresh().iter().for_each(|refresh| self.clock.sleep_until_ns(refresh.next_ns(self.clock.now_ns())));
            }
        }
    }
}

impl Drop for GpuKms {
    fn drop(&mut self) {
        // Nobody wants anything lit from here on; then Vulkan gives back the monitor, and `tenure` the rest.
        self.monitor.end();
        self.lit = None;
    }
}

impl Output for GpuKms {
    fn describe(&self) -> OutputInfo {
        OutputInfo { display: "drm", adapter: self.adapter.clone(), compositor: "wgpu" }
    }

    fn gpu(&self) -> Option<&Gpu> {
        Some(self.compositor.gpu())
    }

    fn refresh(&self) -> Option<Refresh> {
        self.lit.as_ref().and_then(|lit| lit.refresh).map(|(_, refresh)| refresh).or(self.said)
    }

    fn lose_device(&mut self) -> bool {
        self.compositor.gpu().device.destroy();
        true
    }

    fn monitor_note(&mut self) -> Option<MonitorNote> {
        self.monitor.next_note()
    }

    /// `compose_ns` is all until the picture was given to the screen. The kernel's stamp of a refresh paces pictures and is not `flip_ns`: a
    /// driver need not have had the picture ready for it.
    fn show(&mut self, picture: Picture<'_>, layers: &[&Layer]) -> Result<Shown, DisplayError> {
        let start_ns = self.clock.now_ns();
        let is_gone = self.monitor.is_gone();
        self.follow()?;
        upload(&mut self.compositor, picture, layers)?;
        let is_presented = !is_gone && !self.is_broken && self.present(&picture)?;
        let composed_ns = self.clock.now_ns();
        self.pace(is_presented);
        let done_ns = self.clock.now_ns();
        Ok(Shown { done_ns, compose_ns: composed_ns - start_ns, present_ns: done_ns - composed_ns, flip_ns: None })
    }

    /// Draws the same once more into a texture that can be read, in eight bits: the screen's own cannot.
    fn presented(&mut self) -> Result<PresentedView<'_>, DisplayError> {
        self.compositor.draw_offscreen()?;
        let (width, height) = self.compositor.read_back(&mut self.read)?;
        Ok(PresentedView { data: &self.read, stride: 4 * width, width, height })
    }
}

#[cfg(test)]
#[path = "gpu_tests.rs"]
mod tests;
