//! What becomes of a monitor while it is in use: gone and back, asleep, of another mode, another monitor altogether.
//!
//! ```text
//!   present ─unplugged, asleep, dark─► gone ─lit again─► present          Gone, Back
//!   present ─another mode, another EDID─► present                         OtherMode, OtherModes
//! ```
//! `MonitorWatch` judges readings and nothing else; a thread of the output takes them (`x11_monitor`, `kms::keeper`) and
//! passes on what is judged through a `MonitorLink`, so that no present ever waits for a monitor.

use crate::base::rate::Rate;
use crate::display::DisplayError;
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec};
use std::fmt;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

/// Why a monitor shows nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    Unplugged,
    /// Put to sleep (DPMS).
    Asleep,
    /// Plugged in, and no picture is sent to it.
    Dark,
}

/// What is sent to a monitor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MonitorMode {
    /// Width and height, px.
    pub size: (usize, usize),
    /// None: it does not say.
    pub rate: Option<Rate>,
}

impl fmt::Display for MonitorMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}×{}", self.size.0, self.size.1)?;
        self.rate.map_or(Ok(()), |rate| write!(f, " at {:.2} Hz", rate.per_second()))
    }
}

/// What is known of a monitor at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reading {
    /// Its connector: "HDMI-1".
    pub name: Arc<str>,
    pub trouble: Option<Trouble>,
    pub mode: Option<MonitorMode>,
    /// Digest of what it says of itself: its modes, its EDID.
    pub identity: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MonitorEvent {
    Gone(Trouble),
    /// It shows the picture again.
    Back {
        after_ms: u64,
    },
    OtherMode(MonitorMode),
    /// It offers other modes than before: its EDID has changed, or it is another one.
    OtherModes,
}

/// One event of one monitor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MonitorNote {
    pub monitor: Arc<str>,
    /// CLOCK_MONOTONIC when it was noticed, ns.
    pub at_ns: u64,
    pub event: MonitorEvent,
}

impl fmt::Display for MonitorNote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "monitor {}: ", self.monitor)?;
        match self.event {
            MonitorEvent::Gone(Trouble::Unplugged) => f.write_str("unplugged"),
            MonitorEvent::Gone(Trouble::Asleep) => f.write_str("asleep (DPMS)"),
            MonitorEvent::Gone(Trouble::Dark) => f.write_str("plugged in, and no picture is sent to it"),
            MonitorEvent::Back { after_ms } => write!(f, "back after {after_ms} ms"),
            MonitorEvent::OtherMode(mode) => write!(f, "now {mode}"),
            MonitorEvent::OtherModes => f.write_str("offers other modes than before (changed EDID)"),
        }
    }
}

/// Judges readings of one monitor.
#[derive(Debug)]
pub struct MonitorWatch {
    /// As it was when it last was there.
    known: Reading,
    gone: Option<(Trouble, u64)>,
}

impl MonitorWatch {
    /// Of a monitor that is as it should be.
    pub fn new(known: Reading) -> Self {
        MonitorWatch { known, gone: None }
    }

    pub fn is_gone(&self) -> bool {
        self.gone.is_some()
    }

    /// What has happened since the last reading.
    pub fn take(&mut self, now_ns: u64, reading: Reading) -> Vec<MonitorNote> {
        let mut notes = Vec::new();
        let mut note = |monitor: &Arc<str>, event| notes.push(MonitorNote { monitor: monitor.clone(), at_ns: now_ns, event });
        match (reading.trouble, self.gone) {
            (Some(trouble), before) => {
                let (was, since_ns) = before.map_or((None, now_ns), |(was, since_ns)| (Some(was), since_ns));
                if was != Some(trouble) {
                    note(&self.known.name, MonitorEvent::Gone(trouble));
                }
                self.gone = Some((trouble, since_ns));
                // What a monitor that is gone says of itself counts for nothing.
                return notes;
            }
            (None, Some((_, since_ns))) => {
                note(&reading.name, MonitorEvent::Back { after_ms: now_ns.saturating_sub(since_ns) / 1_000_000 });
                self.gone = None;
            }
            (None, None) => {}
        }
        if reading.identity != self.known.identity {
            note(&reading.name, MonitorEvent::OtherModes);
        }
        match reading.mode {
            Some(mode) if reading.mode != self.known.mode => note(&reading.name, MonitorEvent::OtherMode(mode)),
            _ => {}
        }
        self.known = reading;
        notes
    }
}

/// A monitor is looked at so often, besides when something is said to have happened to it.
const LOOK_MS: u64 = 100;
/// What has happened is to be named within 200 ms.
const _: () = assert!(LOOK_MS < 200);
/// More notes than these wait for nobody.
const KEPT: usize = 64;

#[derive(Debug)]
struct Shared {
    is_gone: AtomicBool,
    is_ending: AtomicBool,
    bell: OwnedFd,
}

/// The output's end: asking costs nothing and never waits. The watching thread ends with it.
#[derive(Debug)]
pub struct MonitorLink {
    shared: Arc<Shared>,
    notes: crossbeam_channel::Receiver<MonitorNote>,
    thread: Option<JoinHandle<()>>,
}

/// The watching thread's end.
#[derive(Debug)]
pub(super) struct MonitorPost {
    shared: Arc<Shared>,
    notes: crossbeam_channel::Sender<MonitorNote>,
}

impl MonitorLink {
    /// Starts the thread that watches.
    pub(super) fn start(watch: impl FnOnce(MonitorPost) + Send + 'static) -> Result<Self, DisplayError> {
        let name = "monitor";
        let thread = |source| DisplayError::Thread { name, source };
        let bell = rustix::event::eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).map_err(|errno| thread(errno.into()))?;
        let shared = Arc::new(Shared { is_gone: AtomicBool::new(false), is_ending: AtomicBool::new(false), bell });
        let (tell, notes) = crossbeam_channel::bounded(KEPT);
        let post = MonitorPost { shared: shared.clone(), notes: tell };
        let thread = std::thread::Builder::new().name(name.into()).spawn(move || watch(post)).map_err(thread)?;
        Ok(MonitorLink { shared, notes, thread: Some(thread) })
    }

    /// Nobody can see what is shown.
    pub fn is_gone(&self) -> bool {
        self.shared.is_gone.load(Ordering::Acquire)
    }

    /// What has happened and was not taken yet.
    pub fn next_note(&self) -> Option<MonitorNote> {
        self.notes.try_recv().ok()
    }

    /// The output has seen that something is wrong: look now.
    pub(super) fn look_now(&self) {
        let _ = rustix::io::write(&self.shared.bell, &1u64.to_ne_bytes());
    }

    /// Ends the watching and waits for it.
    pub(super) fn end(&mut self) {
        self.shared.is_ending.store(true, Ordering::Release);
        self.look_now();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Drop for MonitorLink {
    fn drop(&mut self) {
        self.end();
    }
}

impl MonitorPost {
    /// Waits until there is something to read from `from`, it is time to look, or somebody asks for it. False: it is over.
    pub(super) fn wait(&self, from: Option<&impl AsFd>) -> bool {
        let timeout = Timespec { tv_sec: 0, tv_nsec: (LOOK_MS * 1_000_000) as _ };
        let bell = PollFd::from_borrowed_fd(self.shared.bell.as_fd(), PollFlags::IN);
        let from = from.map_or_else(|| bell.clone(), |from| PollFd::from_borrowed_fd(from.as_fd(), PollFlags::IN));
        // An interrupted wait only means another look.
        let _ = rustix::event::poll(&mut [bell, from], Some(&timeout));
        let _ = rustix::io::read(&self.shared.bell, &mut [0u8; 8]);
        !self.shared.is_ending.load(Ordering::Acquire)
    }

    /// Judges a reading and passes on what is new, which is returned besides.
    pub(super) fn tell(&self, watch: &mut MonitorWatch, now_ns: u64, reading: Reading) -> Vec<MonitorNote> {
        let notes = watch.take(now_ns, reading);
        for note in &notes {
            // An output that takes none for so long has other troubles.
            let _ = self.notes.try_send(note.clone());
        }
        self.shared.is_gone.store(watch.is_gone(), Ordering::Release);
        notes
    }

    /// The output leaves the monitor alone until the next reading is told.
    pub(super) fn hold(&self) {
        self.shared.is_gone.store(true, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MS: u64 = 1_000_000;

    fn mode(width: usize) -> MonitorMode {
        MonitorMode { size: (width, 720), rate: Rate::new(60, 1) }
    }

    fn reading(trouble: Option<Trouble>, width: usize, identity: u64) -> Reading {
        Reading { name: "HDMI-1".into(), trouble, mode: trouble.is_none().then(|| mode(width)), identity }
    }

    #[test]
    fn a_monitor_that_goes_and_comes_is_named_with_its_reason_and_time() {
        let mut watch = MonitorWatch::new(reading(None, 1280, 1));
        let mut said = |ms: u64, reading| {
            watch.take(ms * MS, reading).iter().map(ToString::to_string).collect::<Vec<_>>().join("; ").replace("monitor ", "")
        };
        assert_eq!(said(0, reading(None, 1280, 1)), "");
        assert_eq!(said(100, reading(Some(Trouble::Asleep), 0, 1)), "HDMI-1: asleep (DPMS)");
        assert_eq!(said(200, reading(Some(Trouble::Unplugged), 0, 0)), "HDMI-1: unplugged");
        assert_eq!(said(300, reading(Some(Trouble::Unplugged), 0, 0)), "");
        assert_eq!(said(950, reading(None, 1280, 1)), "HDMI-1: back after 850 ms", "the same one as before");
        assert_eq!(
            said(1_000, reading(None, 1920, 2)),
            "HDMI-1: offers other modes than before (changed EDID); HDMI-1: now 1920×720 at 60.00 Hz"
        );
        assert_eq!(said(1_100, reading(Some(Trouble::Dark), 0, 2)), "HDMI-1: plugged in, and no picture is sent to it");
        let elsewhere = Reading { name: "DP-2".into(), ..reading(None, 1920, 2) };
        assert_eq!(said(1_150, elsewhere), "DP-2: back after 50 ms");
    }

    fn any_reading() -> impl Strategy<Value = Reading> {
        let trouble = proptest::option::of(prop_oneof![Just(Trouble::Unplugged), Just(Trouble::Asleep), Just(Trouble::Dark)]);
        (trouble, 1usize..3, 0u64..3).prop_map(|(trouble, width, identity)| reading(trouble, width, identity))
    }

    proptest! {
        /// Whatever is read: gone is gone, nothing is said twice, each return follows a loss and has its length.
        #[test]
        fn what_is_said_follows_what_is_read(readings in proptest::collection::vec((any_reading(), 1u64..500), 1..60)) {
            let mut watch = MonitorWatch::new(reading(None, 1, 0));
            let (mut now_ns, mut gone_since_ns, mut last_lit) = (0, None, reading(None, 1, 0));
            for (reading, wait_ms) in readings {
                now_ns += wait_ms * MS;
                let was_gone = gone_since_ns;
                let notes = watch.take(now_ns, reading.clone());
                prop_assert_eq!(watch.is_gone(), reading.trouble.is_some());
                let backs: Vec<u64> = notes.iter().filter_map(|n| match n.event { MonitorEvent::Back { after_ms } => Some(after_ms), _ => None }).collect();
                let gones = notes.iter().filter(|n| matches!(n.event, MonitorEvent::Gone(_))).count();
                match (was_gone, reading.trouble) {
                    (Some(since_ns), None) => prop_assert_eq!(backs, vec![(now_ns - since_ns) / MS]),
                    (None, Some(_)) => prop_assert!(backs.is_empty() && gones == 1 && notes.len() == 1),
                    _ => prop_assert!(backs.is_empty()),
                }
                let has = |wanted: MonitorEvent| notes.iter().any(|n| n.event == wanted);
                if reading.trouble.is_none() {
                    prop_assert_eq!(has(MonitorEvent::OtherModes), reading.identity != last_lit.identity);
                    prop_assert_eq!(reading.mode.is_some_and(|mode| has(MonitorEvent::OtherMode(mode))), reading.mode != last_lit.mode);
                    last_lit = reading.clone();
                }
                gone_since_ns = reading.trouble.map(|_| was_gone.unwrap_or(now_ns));
                prop_assert!(notes.iter().all(|n| n.at_ns == now_ns));
                prop_assert!(watch.take(now_ns + 1, reading).is_empty(), "said twice");
            }
        }
    }
}
