//! A graphics card as the kernel shows it: opened, asked for its monitors, and what is to be shown on which of them.

use crate::display::kms::mode::{self, Offer};
use crate::display::kms::way::Node;
use crate::display::monitor_watch::MonitorMode;
use crate::display::monitors::{self, Monitor, MonitorChoice};
use crate::display::{DisplayError, Refresh};
use drm::control::{Device as _, Event, LeaseId, Mode, connector, crtc, property};
use drm::{Device as _, VblankWaitFlags, VblankWaitTarget};
use rustix::event::{PollFd, PollFlags, Timespec};
use std::fs::File;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::ErrorKind;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, OnceLock};

#[derive(Debug)]
pub struct Card {
    node: File,
    /// "/dev/dri/card0"
    pub path: String,
    pub driver: String,
    /// The monitor that another output has.
    lent: OnceLock<Taken>,
    /// Whose monitor this is, where it is one that was lent: its lease ends with it.
    _lender: Option<Arc<Card>>,
}

/// What belongs to somebody.
#[derive(Debug, Clone, Copy)]
struct Taken {
    connector: connector::Handle,
    crtc: crtc::Handle,
}

impl AsFd for Card {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.node.as_fd()
    }
}

impl drm::Device for Card {}
impl drm::control::Device for Card {}

/// What is wanted of a card: which monitor, and the pictures that it is to show.
#[derive(Debug, Clone)]
pub struct Wanted {
    pub monitor: Option<MonitorChoice>,
    pub size: (usize, usize),
    pub fps: f64,
}

/// Which monitor shows pictures, how, and through what.
#[derive(Debug, Clone)]
pub struct Plan {
    pub name: Arc<str>,
    pub connector: connector::Handle,
    pub crtc: crtc::Handle,
    pub mode: Mode,
    pub offer: Offer,
    pub identity: u64,
}

impl Plan {
    pub fn shown(&self) -> MonitorMode {
        self.offer.mode()
    }
}

/// A monitor and its CRTC, lent by their card to somebody who has no other part of it; taken back when dropped, whatever becomes of
/// the descriptor that they were lent by.
#[derive(Debug)]
pub struct Lease {
    card: Arc<Card>,
    id: LeaseId,
}

impl Drop for Lease {
    fn drop(&mut self) {
        // It has ended by itself where its descriptor was closed.
        let _ = self.card.revoke_lease(self.id);
    }
}

/// What the console had on a CRTC.
#[derive(Debug)]
pub struct Console {
    crtc: crtc::Info,
    connectors: Vec<connector::Handle>,
}

impl Card {
    /// Opens a card and becomes its master.
    fn open(number: u8) -> Result<Card, DisplayError> {
        let path = format!("/dev/dri/card{number}");
        let node = File::options().read(true).write(true).open(&path);
        let node = node.map_err(|source| match source.kind() {
            ErrorKind::NotFound => DisplayError::NoCard { reason: format!("{path} is not there") },
            _ => DisplayError::CardRefused { path: path.clone(), source },
        })?;
        let mut card = Card { node, path, driver: String::new(), lent: OnceLock::new(), _lender: None };
        card.driver = card.get_driver().map_or_else(|_| "unknown".into(), |driver| driver.name().to_string_lossy().into_owned());
        let dumb = card.get_driver_capability(drm::DriverCapability::DumbBuffer).unwrap_or(0);
        if dumb == 0 || card.resource_handles().is_ok_and(|resources| resources.crtcs().is_empty()) {
            return Err(DisplayError::NoCard { reason: format!("{} (driver {}) drives no monitor", card.path, card.driver) });
        }
        card.acquire_master_lock().map_err(|source| DisplayError::CardTaken { path: card.path.clone(), source })?;
        Ok(card)
    }

    /// The card with this number; None: the first one with a monitor for `wanted`.
    pub fn find(number: Option<u8>, wanted: &Wanted) -> Result<(Card, Plan), DisplayError> {
        let planned = |number| {
            let card = Card::open(number)?;
            card.plan(wanted, true).map(|plan| (card, plan))
        };
        if let Some(number) = number {
            return planned(number);
        }
        let numbers = std::fs::read_dir("/dev/dri").into_iter().flatten().flatten();
        let mut numbers: Vec<u8> = numbers.filter_map(|entry| entry.file_name().to_str()?.strip_prefix("card")?.parse().ok()).collect();
        numbers.sort_unstable();
        let mut failure = DisplayError::NoCard { reason: "there is no /dev/dri/card*".into() };
        for number in numbers {
            match planned(number) {
                Ok(found) => return Ok(found),
                // What is said of a card that drives monitors is worth more than that another one does not.
                Err(error) if !matches!(error, DisplayError::NoCard { .. }) || matches!(failure, DisplayError::NoCard { .. }) => {
                    failure = error
                }
                Err(_) => {}
            }
        }
        Err(failure)
    }

    pub(super) fn trouble(&self, what: &'static str) -> impl Fn(std::io::Error) -> DisplayError {
        move |source| DisplayError::Kms { path: self.path.clone(), what, source }
    }

    /// What would be shown now. `is_probing`: monitors are asked for their modes anew, which takes long.
    pub fn plan(&self, wanted: &Wanted, is_probing: bool) -> Result<Plan, DisplayError> {
        self.plan_beside(self.lent.get(), wanted, is_probing)
    }

    /// Lends another monitor than the one of `main`: a card of its own, which knows nothing else. Once for a card.
    pub fn lend(self: &Arc<Self>, main: &Plan, wanted: &Wanted) -> Result<(Card, Plan), DisplayError> {
        let taken = Taken { connector: main.connector, crtc: main.crtc };
        let plan = self.plan_beside(Some(&taken), wanted, true).map_err(|error| match error {
            DisplayError::NothingPluggedIn { .. } => {
                DisplayError::NoMonitor { wanted: "a second one, for the clean feed".into(), connected: main.name.to_string() }
            }
            other => other,
        })?;
        let (_, node) = self.leased(&plan).map_err(self.trouble("lending a monitor to the clean feed"))?;
        let _ = self.lent.set(Taken { connector: plan.connector, crtc: plan.crtc });
        let (path, driver) = (self.path.clone(), self.driver.clone());
        Ok((Card { node: node.into(), path, driver, lent: OnceLock::new(), _lender: Some(self.clone()) }, plan))
    }

    fn leased(&self, plan: &Plan) -> std::io::Result<(LeaseId, OwnedFd)> {
        self.create_lease(&[plan.connector.into(), plan.crtc.into()], libc::O_CLOEXEC as u32)
    }

    /// Lends the plan's monitor to whoever has the descriptor.
    pub fn lease(self: &Arc<Self>, plan: &Plan) -> std::io::Result<(Lease, OwnedFd)> {
        let (id, node) = self.leased(plan)?;
        Ok((Lease { card: self.clone(), id }, node))
    }

    /// What a descriptor from `lease` is to whoever gets it.
    #[cfg(test)]
    pub fn of_lease(&self, node: OwnedFd) -> Card {
        Card { node: node.into(), path: self.path.clone(), driver: self.driver.clone(), lent: OnceLock::new(), _lender: None }
    }

    /// The numbers of its node.
    pub fn number(&self) -> std::io::Result<Node> {
        let device = rustix::fs::fstat(&self.node)?.st_rdev;
        Ok((rustix::fs::major(device), rustix::fs::minor(device)))
    }

    fn plan_beside(&self, taken: Option<&Taken>, wanted: &Wanted, is_probing: bool) -> Result<Plan, DisplayError> {
        let resources = self.resource_handles().map_err(self.trouble("listing its monitors"))?;
        let connectors: Vec<connector::Info> =
            resources.connectors().iter().filter_map(|&handle| self.get_connector(handle, is_probing).ok()).collect();
        let connectors: Vec<&connector::Info> = connectors
            .iter()
            .filter(|info| info.state() != connector::State::Disconnected && info.interface() != connector::Interface::Writeback)
            .filter(|info| taken.is_none_or(|taken| taken.connector != info.handle()))
            .collect();
        let monitors: Vec<Monitor> = connectors
            .iter()
            .map(|info| {
                let size = info.modes().first().map_or((0, 0), Mode::size);
                Monitor { name: info.to_string(), position: (0, 0), size: (size.0.into(), size.1.into()) }
            })
            .collect();
        if monitors.is_empty() && wanted.monitor.is_none() {
            return Err(DisplayError::NothingPluggedIn { path: self.path.clone() });
        }
        let first = MonitorChoice::Index(0);
        let info = connectors[monitors::choose(&monitors, wanted.monitor.as_ref().unwrap_or(&first))?];
        let name: Arc<str> = info.to_string().into();
        let known: Vec<(Mode, Offer)> = info.modes().iter().filter_map(|mode| Some((*mode, Offer::of(mode)?))).collect();
        let offers: Vec<Offer> = known.iter().map(|(_, offer)| *offer).collect();
        let chosen = mode::choose(&offers, wanted.size, wanted.fps);
        let (mode, offer) = known[chosen.ok_or_else(|| DisplayError::NoMode { monitor: name.to_string() })?];
        let encoders = || info.encoders().iter().filter_map(|&handle| self.get_encoder(handle).ok());
        // The CRTC that drives it already needs nothing switched inside the card.
        let is_free = |crtc: &crtc::Handle| taken.is_none_or(|taken| taken.crtc != *crtc);
        let current = encoders().filter(|encoder| info.current_encoder() == Some(encoder.handle())).find_map(|encoder| encoder.crtc());
        let current = current.filter(is_free);
        let possible = || encoders().find_map(|encoder| resources.filter_crtcs(encoder.possible_crtcs()).into_iter().find(is_free));
        let crtc = current.or_else(possible).ok_or_else(|| DisplayError::NoMode { monitor: name.to_string() })?;
        Ok(Plan { name, connector: info.handle(), crtc, mode, offer, identity: self.identity(info) })
    }

    /// Digest of what a monitor says of itself: its modes and its EDID.
    pub fn identity(&self, info: &connector::Info) -> u64 {
        let mut hasher = DefaultHasher::new();
        info.modes().hash(&mut hasher);
        if let Some(edid) = self.property(info.handle(), "EDID").and_then(|blob| self.get_property_blob(blob).ok()) {
            edid.hash(&mut hasher);
        }
        hasher.finish()
    }

    fn property(&self, connector: connector::Handle, name: &str) -> Option<property::RawValue> {
        let values = self.get_properties(connector).ok()?;
        let found = values.iter().find(|(handle, _)| self.get_property(**handle).is_ok_and(|info| info.name().to_str() == Ok(name)));
        found.map(|(_, value)| *value)
    }

    /// The link to the monitor was lost and wants setting up again.
    pub fn is_link_bad(&self, connector: connector::Handle) -> bool {
        const BAD: property::RawValue = 1;
        self.property(connector, "link-status") == Some(BAD)
    }

    /// When the CRTC refreshes. None: its driver knows no refresh (virtual cards).
    pub fn refresh(&self, plan: &Plan) -> Option<Refresh> {
        let reply = self.wait_vblank(VblankWaitTarget::Relative(1), VblankWaitFlags::empty(), self.pipe(plan)?, 0).ok()?;
        Some(Refresh { rate: plan.offer.rate, origin_ns: reply.time()?.as_nanos() as u64 })
    }

    /// The place of the plan's CRTC among the card's.
    pub fn pipe(&self, plan: &Plan) -> Option<u32> {
        Some(self.resource_handles().ok()?.crtcs().iter().position(|&crtc| crtc == plan.crtc)? as u32)
    }

    /// Waits for the next refresh of a CRTC, until `deadline_ns` at most: its stamp, ns. For a card whose events nobody else takes.
    pub fn await_refresh(&self, pipe: u32, deadline_ns: u64, now_ns: &dyn Fn() -> u64) -> Option<u64> {
        self.wait_vblank(VblankWaitTarget::Relative(1), VblankWaitFlags::EVENT, pipe, 0).ok()?;
        let of = |event| if let Event::Vblank(refresh) = event { Some(refresh.time.as_nanos() as u64) } else { None };
        self.await_event(deadline_ns, now_ns, of)
    }

    /// The first event that is `wanted`; others are taken and forgotten.
    pub fn await_event<T>(&self, deadline_ns: u64, now_ns: &dyn Fn() -> u64, wanted: impl Fn(Event) -> Option<T>) -> Option<T> {
        loop {
            let left_ns = deadline_ns.saturating_sub(now_ns());
            let wait = Timespec { tv_sec: (left_ns / 1_000_000_000) as _, tv_nsec: (left_ns % 1_000_000_000) as _ };
            let ready = rustix::event::poll(&mut [PollFd::from_borrowed_fd(self.as_fd(), PollFlags::IN)], Some(&wait));
            if ready.is_ok_and(|ready| ready > 0)
                && let Some(found) = self.receive_events().ok()?.find_map(&wanted)
            {
                return Some(found);
            }
            if left_ns == 0 {
                return None;
            }
        }
    }

    /// What the console shows on the CRTC that is about to be taken.
    pub fn console(&self, plan: &Plan) -> Option<Console> {
        let crtc = self.get_crtc(plan.crtc).ok()?;
        let resources = self.resource_handles().ok()?;
        let drives = |handle: connector::Handle| {
            let encoder = self.get_connector(handle, false).ok()?.current_encoder()?;
            self.get_encoder(encoder).ok()?.crtc()
        };
        let connectors = resources.connectors().iter().copied().filter(|&handle| drives(handle) == Some(plan.crtc)).collect();
        Some(Console { crtc, connectors })
    }

    /// Gives the CRTC back to the console. What the kernel refuses it does itself once the card is closed.
    pub fn restore(&self, console: &Console) {
        let Console { crtc, connectors } = console;
        let restored = match crtc.framebuffer() {
            Some(framebuffer) if crtc.mode().is_some() => {
                self.set_crtc(crtc.handle(), Some(framebuffer), crtc.position(), connectors, crtc.mode())
            }
            _ => self.set_crtc(crtc.handle(), None, (0, 0), &[], None),
        };
        if let Err(error) = restored {
            tracing::warn!("{}: the console was not given back ({error}); the kernel does it when the card is closed", self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_card_that_is_not_there_is_named_with_a_remedy() {
        let wanted = Wanted { monitor: None, size: (640, 360), fps: 30.0 };
        let Err(error) = Card::find(Some(250), &wanted) else { panic!("there are no 250 cards") };
        let text = error.to_string();
        assert!(text.contains("/dev/dri/card250 is not there") && text.contains("--display headless"), "{text}");
    }
}
