//! Opens `--display drm`: takes the card, asks the table which way, and says why.

use crate::base::clock::Clock;
use crate::display::kms::card::{Card, Console, Lease, Plan, Wanted};
use crate::display::kms::gpu::{GpuKms, Task};
use crate::display::kms::way::{self, Found, Node, WhyHost};
use crate::display::kms::{KmsOutput, vulkan};
use crate::display::rescue::{OpenAgain, Rescued};
use crate::display::settings::CleanFeed;
use crate::display::{DisplayError, Output, Presenter, Settings};
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, PoisonError};

/// What is not ours for good: the monitor that Vulkan was lent, and the CRTC that was the console's. Taken over by the host where the GPU is
/// lost; else given back at the end.
pub struct Tenure {
    card: Arc<Card>,
    /// The lease is taken back before the console gets its CRTC.
    parts: Mutex<(Option<Lease>, Option<Console>)>,
}

impl Tenure {
    pub(super) fn of(card: &Arc<Card>, plan: &Plan) -> Arc<Self> {
        Arc::new(Tenure { card: card.clone(), parts: Mutex::new((None, card.console(plan))) })
    }

    /// Lends the plan's monitor to whoever gets the descriptor; what was lent before has ended.
    pub fn lend(&self, plan: &Plan) -> std::io::Result<OwnedFd> {
        let mut parts = self.parts.lock().unwrap_or_else(PoisonError::into_inner);
        // Nothing is lent twice.
        parts.0 = None;
        let (lease, node) = self.card.lease(plan)?;
        parts.0 = Some(lease);
        Ok(node)
    }

    /// Takes back what Vulkan has, whether its driver still answers or not; what the console has to get back is the caller's from here on.
    fn take_over(&self) -> Option<Console> {
        let mut parts = self.parts.lock().unwrap_or_else(PoisonError::into_inner);
        parts.0 = None;
        parts.1.take()
    }
}

impl Drop for Tenure {
    fn drop(&mut self) {
        if let Some(console) = self.take_over() {
            self.card.restore(&console);
        }
    }
}

/// The main output, and the clean feed's where one is wanted.
pub struct DrmOutputs {
    pub output: Box<dyn Output>,
    pub feed: Option<Box<dyn Output>>,
}

/// Lights the chosen monitor for pictures of this size and rate. `card`: the number of its card; None: the first one that has the monitor.
pub fn open(
    card: Option<u8>,
    size: (usize, usize),
    fps: f64,
    settings: &Settings,
    clock: Arc<dyn Clock>,
) -> Result<DrmOutputs, DisplayError> {
    let wanted = Wanted { monitor: settings.monitor.clone(), size, fps };
    let (card, plan) = Card::find(card, &wanted)?;
    let card = Arc::new(card);
    let tenure = Tenure::of(&card, &plan);
    let task = Task { card: &card, plan: &plan, wanted: &wanted, settings, clock: &clock, tenure: &tenure };
    let output = match GpuKms::open(&task) {
        Ok(output) => {
            tracing::info!("{}: the GPU draws onto it: {}", card.path, output.describe().adapter);
            rescued(&task, output)
        }
        Err(why) => {
            tracing::info!("{}: pictures are composed on the host: {why}", card.path);
            by_host(&task)(plan.clone())?
        }
    };
    let feed = feed(&card, &plan, size, fps, settings, clock)?;
    Ok(DrmOutputs { output, feed })
}

/// Lights a plan's monitor for the host, whoever had it before.
fn by_host(task: &Task<'_>) -> impl FnMut(Plan) -> Result<Box<dyn Output>, DisplayError> + Send + use<> {
    let (card, wanted, settings) = (task.card.clone(), task.wanted.clone(), task.settings.clone());
    let (clock, tenure) = (task.clock.clone(), task.tenure.clone());
    move |plan: Plan| {
        let console = tenure.take_over().or_else(|| card.console(&plan));
        Ok(Box::new(KmsOutput::on(card.clone(), plan, console, wanted.clone(), &settings, clock.clone())?))
    }
}

/// The GPU's output; where it is lost the host goes on.
pub(super) fn rescued(task: &Task<'_>, output: GpuKms) -> Box<dyn Output> {
    let (card, plan, wanted, mut light) = (task.card.clone(), task.plan.clone(), task.wanted.clone(), by_host(task));
    // The monitor may be another one by then, or gone.
    let instead: OpenAgain = Box::new(move || light(card.plan(&wanted, false).unwrap_or_else(|_| plan.clone())));
    Box::new(Rescued::new(Box::new(output), instead))
}

/// The clean feed's output: another monitor of the same card, lent to it, so that neither waits for the other; composed
/// on the host. None: no clean feed is wanted. To be asked before pictures are shown.
fn feed(
    card: &Arc<Card>,
    main: &Plan,
    size: (usize, usize),
    fps: f64,
    settings: &Settings,
    clock: Arc<dyn Clock>,
) -> Result<Option<Box<dyn Output>>, DisplayError> {
    if settings.clean_feed == CleanFeed::Off {
        return Ok(None);
    }
    let wanted = Wanted { monitor: settings.clean_feed_monitor.clone(), size, fps };
    let (card, plan) = card.lend(main, &wanted)?;
    let console = card.console(&plan);
    // Of what was lent there is one.
    let output = KmsOutput::on(Arc::new(card), plan, console, Wanted { monitor: None, ..wanted }, settings, clock)?;
    Ok(Some(Box::new(output)))
}

/// Who would draw onto the monitors of a card, for people. Nothing is opened and nothing is lit. `found`: what Vulkan is there, asked
/// only where it matters.
pub fn way_in_words<'a>(driver: &str, card: Option<Node>, found: impl FnOnce() -> &'a Found) -> String {
    let chosen = way::may_have_gpu(Presenter::Auto, driver).and_then(|()| {
        let card = card.ok_or_else(|| WhyHost::NoVulkan { reason: "the card's number is not known".into() })?;
        let found = found();
        way::choose(card, found).map(|index| &found.devices[index].name)
    });
    match chosen {
        Ok(device) => format!("the GPU '{device}' draws onto it"),
        Err(why) => format!("pictures are composed on the host: {why}"),
    }
}

/// What Vulkan is there.
pub fn look() -> Found {
    vulkan::look(&crate::overlay::gpu::instance()).0
}

#[cfg(test)]
#[path = "open_tests.rs"]
mod tests;
