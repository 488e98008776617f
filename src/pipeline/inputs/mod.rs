//! What the operator's hands and feet reach, besides the window's keys: footswitches, camera-head buttons, and keyboards
//! where there is no window. Each kind has a thread of its own; a device is reopened when it comes back, and says its name
//! when it goes. What an input means is decided in `controls`.

mod footswitch;
mod keyboard;
mod serial;
mod settings;
mod strokes;
mod tty;

pub use keyboard::Meaning;
pub use settings::Settings;
pub use tty::open as open_port;

use crate::base::clock::Clock;
use crate::base::hud::Control;
use crate::base::say::say;
use crate::base::slot::Wake;
use crate::pipeline::controls::{Input, Switch};
use crossbeam_channel::{Receiver, Sender, TrySendError};
use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

/// The footswitch that is a key of the window's keyboard.
pub const WINDOW_SWITCH: Switch = Switch(0);
const EVDEV_SWITCH: Switch = Switch(1);
/// The first of a serial port's lines.
const LINE_SWITCHES: u8 = 2;

/// A control has gone, or is back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceNote {
    pub control: Control,
    /// As it is configured.
    pub name: Arc<str>,
    pub is_there: bool,
    /// Why it is not there.
    pub reason: String,
}

impl fmt::Display for DeviceNote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.control {
            Control::Footswitch => "footswitch",
            Control::Serial => "serial port",
            Control::Keyboard => "keyboard",
        };
        let DeviceNote { name, reason, .. } = self;
        match (self.is_there, self.control) {
            (true, _) => write!(f, "the {kind} {name} is there"),
            (false, Control::Keyboard) => write!(f, "the {kind} {name} is not there ({reason}): plug it in, or another one"),
            (false, _) => write!(f, "the {kind} {name} is not there ({reason}): plug it in, or correct [controls]"),
        }
    }
}

/// Inputs on their way to whoever obeys them.
#[derive(Debug)]
pub struct Inbox {
    inputs: Receiver<Input>,
    notes: Receiver<DeviceNote>,
    has_lost: Arc<AtomicBool>,
}

/// Puts inputs into an inbox; never waits.
#[derive(Clone)]
pub struct Hand {
    inputs: Sender<Input>,
    notes: Sender<DeviceNote>,
    has_lost: Arc<AtomicBool>,
    wake: Arc<Wake>,
}

/// An inbox, and a hand that puts into it. `wake` is rung for each input.
pub fn inbox(wake: Arc<Wake>) -> (Hand, Inbox) {
    let (sender, receiver) = crossbeam_channel::bounded(64);
    // Two devices that are looked for twice a second: no more than a few wait here.
    let (teller, notes) = crossbeam_channel::unbounded();
    let has_lost = Arc::new(AtomicBool::new(false));
    (Hand { inputs: sender, notes: teller, has_lost: has_lost.clone(), wake }, Inbox { inputs: receiver, notes, has_lost })
}

impl Hand {
    pub fn put(&self, input: Input) {
        if let Err(TrySendError::Full(_)) = self.inputs.try_send(input) {
            // What it was may have been a wish for clean video.
            self.has_lost.store(true, Ordering::Release);
        }
        self.wake.ring();
    }

    /// Tells people and the run.
    fn say(&self, note: DeviceNote) {
        say(format_args!("{note}"));
        // Fails only where the run has ended.
        let _ = self.notes.send(note);
        self.wake.ring();
    }
}

impl Inbox {
    /// The next control that has gone or come.
    pub fn take_note(&self) -> Option<DeviceNote> {
        self.notes.try_recv().ok()
    }

    /// The next input; `Input::Lost` once after inputs were lost.
    pub fn take(&self) -> Option<Input> {
        self.inputs.try_recv().ok().or_else(|| self.has_lost.swap(false, Ordering::AcqRel).then_some(Input::Lost))
    }
}

/// The threads of the configured devices; they end when this is dropped.
pub struct Devices {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Devices {
    /// `keys`: what a keyboard's keys mean, where no window reads them.
    pub fn start(settings: &Settings, keys: Option<Meaning>, hand: &Hand, clock: &Arc<dyn Clock>) -> std::io::Result<Self> {
        let mut devices = Devices { stop: Arc::new(AtomicBool::new(false)), threads: Vec::new() };
        if let Some(path) = &settings.footswitch {
            let reader = footswitch::Reader::new(path.clone(), hand.clone(), devices.stop.clone());
            devices.threads.push(std::thread::Builder::new().name("footswitch".into()).spawn(move || reader.run())?);
        }
        if let Some(path) = &settings.serial {
            let reader = serial::Reader::new(path.clone(), settings, hand.clone(), clock.clone(), devices.stop.clone());
            devices.threads.push(std::thread::Builder::new().name("serial".into()).spawn(move || reader.run())?);
        }
        if let Some(meaning) = keys {
            let reader =
                keyboard::Reader::new("/dev/input".into(), settings.footswitch.clone(), meaning, hand.clone(), devices.stop.clone());
            devices.threads.push(std::thread::Builder::new().name("keyboard".into()).spawn(move || reader.run())?);
        }
        Ok(devices)
    }
}

impl Drop for Devices {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

/// Tells people and the run, once each time, that a device has gone or come back.
struct Presence {
    control: Control,
    name: Arc<str>,
    hand: Hand,
    is_there: Option<bool>,
}

impl Presence {
    fn new(control: Control, path: &Path, hand: &Hand) -> Self {
        Presence { control, name: path.display().to_string().into(), hand: hand.clone(), is_there: None }
    }

    fn is(&mut self, is_there: bool, reason: &dyn fmt::Display) {
        let was = self.is_there.replace(is_there);
        // That it is there from the start is nothing to tell.
        if was != Some(is_there) && !(was.is_none() && is_there) {
            let note = DeviceNote { control: self.control, name: self.name.clone(), is_there, reason: reason.to_string() };
            self.hand.say(note);
        }
    }
}

/// A device is looked for again so often.
const REOPEN_MS: i64 = 500;
/// A thread looks so often whether it is to end.
const LOOK_MS: i64 = 100;

/// Waits, in pieces, unless `stop` is set.
fn pause(ms: i64, stop: &AtomicBool) {
    let mut left_ms = ms;
    while left_ms > 0 && !stop.load(Ordering::Acquire) {
        std::thread::park_timeout(std::time::Duration::from_millis(left_ms.min(LOOK_MS) as u64));
        left_ms -= LOOK_MS;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::controls::Action;

    #[test]
    fn a_device_that_goes_and_comes_is_told_once_each_time() {
        let (hand, inbox) = inbox(Arc::new(Wake::default()));
        let mut presence = Presence::new(Control::Serial, Path::new("/dev/ttyHEAD"), &hand);
        for is_there in [true, true, false, false, true, false] {
            presence.is(is_there, &"unplugged");
        }
        let told: Vec<_> = std::iter::from_fn(|| inbox.take_note()).map(|note| (note.control, note.is_there)).collect();
        assert_eq!(told, [false, true, false].map(|is_there| (Control::Serial, is_there)));
        Presence::new(Control::Serial, Path::new("/dev/ttyHEAD"), &hand).is(false, &"no such file");
        let missing = inbox.take_note().unwrap();
        assert!(missing.to_string().contains("/dev/ttyHEAD is not there (no such file)"), "{missing}");
    }

    #[test]
    fn inputs_that_do_not_fit_are_one_lost_input() {
        let wake = Arc::new(Wake::default());
        let (hand, inbox) = inbox(wake.clone());
        for _ in 0..64 {
            hand.put(Input::Act(Action::Hud));
        }
        assert!(wake.wait(std::time::Duration::ZERO));
        hand.put(Input::Act(Action::Clean));
        hand.put(Input::Act(Action::Clean));
        let taken: Vec<Input> = std::iter::from_fn(|| inbox.take()).collect();
        assert_eq!((taken.len(), taken[63], taken[64]), (65, Input::Act(Action::Hud), Input::Lost));
        assert_eq!(inbox.take(), None);
    }
}
