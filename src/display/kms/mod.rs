//! A monitor without X or Wayland, straight to the kernel (KMS): a GPU that draws onto the connector (`gpu`) where one drives the card, and
//! everywhere else the host compositor, two dumb buffers and page flips, which are here. `way` is the table, `open` asks it.
//!
//! ```text
//!   display thread   compose ─► write what changed into the back buffer ─► flip ─► wait for the kernel's stamp
//!   monitor thread   uevent, or a look each 100 ms ─► judge ─► light the monitor anew ─► hand it over    (`keeper`)
//! ```
//! Bars beside the picture carry the HUD, written where and when it changes. While a monitor is gone, pictures are composed (for recordings and stills) and not flipped: setting a mode takes up to a
//! second, and no picture waits for it. The console gets its CRTC back at the end, also after an error.

mod card;
mod gpu;
mod keeper;
mod keys;
mod mode;
mod open;
mod scanout;
mod swapchain;
mod uevent;
mod vulkan;
mod way;

pub use keys::KeyLabels;
pub use open::{DrmOutputs, open};
pub(super) use open::{look, way_in_words};

use crate::base::clock::Clock;
use crate::display::canvas::Canvas;
use crate::display::kms::card::{Card, Console, Plan, Wanted};
use crate::display::kms::keeper::{Handover, Keeper};
use crate::display::kms::scanout::{Composed, Flip, Scanout};
use crate::display::monitor_watch::{MonitorLink, MonitorNote};
use crate::display::x11_beside::Sides;
use crate::display::{Beside, CodeBeside, DisplayError, Output, OutputInfo, Picture, PresentedView, Refresh, Settings, Shown};
use crate::overlay::Layer;
use std::sync::Arc;

/// A flip's stamp lies ahead by less than this.
const AHEAD_NS: u64 = 20_000_000;

pub struct KmsOutput {
    clock: Arc<dyn Clock>,
    timeout_ns: u64,
    card: Arc<Card>,
    console: Option<Console>,
    adapter: String,
    scanout: Scanout,
    /// What was lit does not take pictures any more; the monitor thread lights it anew. It is kept until then: to give back
    /// buffers that may be on the screen takes long.
    is_broken: bool,
    handover: Arc<Handover<Scanout>>,
    monitor: MonitorLink,
    /// None: the card's driver knows no refresh of its own, and nobody has said one.
    refresh: Option<Refresh>,
    /// It is the one that somebody has said: flips wait for it here.
    is_paced: bool,
    sides: Sides,
    /// What stands beside the picture, as `sides` keeps it.
    beside: Vec<u8>,
    beside_size: (usize, usize),
    canvas: Canvas,
    data: Vec<u8>,
    has_shown: bool,
}

impl KmsOutput {
    /// Lights the plan's monitor. `console`: what it has to get back.
    fn on(
        card: Arc<Card>,
        plan: Plan,
        console: Option<Console>,
        wanted: Wanted,
        settings: &Settings,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, DisplayError> {
        let scanout = Scanout::light(&card, plan.clone())?;
        let said = settings.refresh_hz.map(|rate| Refresh { rate, origin_ns: clock.now_ns() });
        let own = card.refresh(&plan);
        let is_paced = own.is_none() && said.is_some();
        let adapter = format!("KMS {} ({}), {} {}", card.path, card.driver, plan.name, plan.shown());
        let handover = Arc::new(Handover::default());
        let keeper = Keeper { card: card.clone(), wanted, plan, clock: clock.clone(), handover: handover.clone(), light: Scanout::light };
        let monitor = MonitorLink::start(move |post| keeper.run(&post))?;
        Ok(KmsOutput {
            clock,
            timeout_ns: u64::from(settings.present_timeout_ms) * 1_000_000,
            card,
            console,
            adapter,
            scanout,
            is_broken: false,
            handover,
            monitor,
            refresh: own.or(said),
            is_paced,
            sides: Sides::default(),
            beside: Vec::new(),
            beside_size: (0, 0),
            canvas: Canvas::new(),
            data: Vec::new(),
            has_shown: false,
        })
    }

    fn resize_beside(&mut self, size: (usize, usize)) {
        if size != self.beside_size {
            self.beside_size = size;
            self.beside.clear();
            self.beside.resize(4 * size.0 * size.1, 0);
        }
    }

    /// Takes over what the monitor thread has lit since.
    fn take_scanout(&mut self) {
        if let Some(scanout) = self.handover.take() {
            if let (Some(refresh), false) = (&mut self.refresh, self.is_paced) {
                refresh.rate = scanout.plan.offer.rate;
            }
            (self.scanout, self.is_broken) = (scanout, false);
        }
    }
}

impl Drop for KmsOutput {
    fn drop(&mut self) {
        // Nobody lights anything from here on.
        self.monitor.end();
        drop(self.handover.take());
        if let Some(console) = &self.console {
            self.card.restore(console);
        }
    }
}

impl Output for KmsOutput {
    fn describe(&self) -> OutputInfo {
        OutputInfo { display: "drm", adapter: self.adapter.clone(), compositor: "host" }
    }

    fn refresh(&self) -> Option<Refresh> {
        self.refresh
    }

    fn screen(&self) -> Option<(usize, usize)> {
        Some(self.scanout.plan.offer.size)
    }

    fn set_beside(&mut self, beside: Option<Beside<'_>>) {
        if !self.sides.differs(beside.as_ref()) {
            return;
        }
        if let Some(beside) = &beside {
            self.resize_beside((beside.layer.width, beside.layer.height));
        }
        self.sides.take(beside, &mut self.beside);
    }

    fn set_code(&mut self, code: Option<CodeBeside<'_>>) -> bool {
        if code.is_none() && self.beside.is_empty() {
            return false;
        }
        let size = self.scanout.plan.offer.size;
        self.resize_beside(size);
        self.sides.stamp(code, size, &mut self.beside);
        code.is_some()
    }

    fn monitor_note(&mut self) -> Option<MonitorNote> {
        self.monitor.next_note()
    }

    fn show(&mut self, picture: Picture<'_>, layers: &[&Layer]) -> Result<Shown, DisplayError> {
        let start_ns = self.clock.now_ns();
        let is_gone = self.monitor.is_gone();
        self.take_scanout();
        let size = picture.size();
        self.data.resize(4 * size.0 * size.1, 0);
        self.has_shown = false;
        let changed = self.canvas.compose(picture, layers, &mut self.data)?;
        self.has_shown = true;
        let flip = (!is_gone && !self.is_broken).then(|| {
            let scanout = &mut self.scanout;
            scanout.note(changed, !matches!(picture, Picture::Again(_)), size);
            scanout.note_beside(&mut self.sides);
            scanout.write(&Composed { data: &self.data, size, sides: &self.sides, beside: &self.beside });
            let composed_ns = self.clock.now_ns();
            if let (Some(refresh), true) = (&self.refresh, self.is_paced) {
                self.clock.sleep_until_ns(refresh.next_ns(composed_ns));
            }
            (composed_ns, scanout.flip(self.timeout_ns, &|| self.clock.now_ns()))
        });
        let composed_ns = flip.as_ref().map_or_else(|| self.clock.now_ns(), |(composed_ns, _)| *composed_ns);
        let flip_ns = match flip {
            Some((_, Flip::Done(stamp_ns))) => {
                let now_ns = self.clock.now_ns();
                // A card may stamp the first line that is scanned out, which lies a little ahead.
                let flip_ns = Some(stamp_ns).filter(|stamp_ns| (composed_ns..now_ns + AHEAD_NS).contains(stamp_ns));
                let own = self.refresh.as_mut().filter(|_| !self.is_paced);
                own.into_iter().for_each(|refresh| refresh.origin_ns = flip_ns.unwrap_or(now_ns));
                flip_ns
            }
            Some((_, Flip::Failed)) => {
                // Whatever it was: the monitor is set up anew, and this picture is the recording's alone.
                self.is_broken = true;
                self.handover.ask();
                self.monitor.look_now();
                None
            }
            None => {
                self.scanout.note(&[], true, size);
                // Nobody looks; the pace is kept.
                self.refresh.iter().for_each(|refresh| self.clock.sleep_until_ns(refresh.next_ns(composed_ns)));
                None
            }
        };
        let done_ns = self.clock.now_ns();
        Ok(Shown { done_ns, compose_ns: composed_ns - start_ns, present_ns: done_ns - composed_ns, flip_ns })
    }

    fn presented(&mut self) -> Result<PresentedView<'_>, DisplayError> {
        let (width, height) = self.canvas.size();
        if !self.has_shown {
            return Err(DisplayError::NothingShown);
        }
        Ok(PresentedView { data: &self.data, stride: 4 * width, width, height })
    }
}
