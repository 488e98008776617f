//! A serial port's two kinds of input: contacts between its lines and ground (CTS, DSR, DCD), and bytes from a camera
//! head. A contact that bounces is one press: closing counts at once, opening only when it lasts.

use crate::base::clock::Clock;
use crate::base::hud::Control;
use crate::pipeline::controls::{Action, Input, Switch};
use crate::pipeline::inputs::settings::{Contact, Line, Settings};
use crate::pipeline::inputs::tty::{self, LineBits, ModemLines, PortLines};
use crate::pipeline::inputs::{Hand, LINE_SWITCHES, LOOK_MS, Presence, REOPEN_MS, pause};
use rustix::event::{PollFd, PollFlags, Timespec};
use std::collections::BTreeMap;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Lines are asked for so often.
const LINES_MS: i64 = 5;
/// A contact counts as open when it has been open for so long.
const BOUNCE_NS: u64 = 25_000_000;

/// One line's contact, without its bouncing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Debounced {
    line: Line,
    contact: Contact,
    is_closed: bool,
    open_since_ns: Option<u64>,
}

impl Debounced {
    /// `is_first`: a contact that is closed from the start was not pressed.
    fn take(&mut self, is_closed: bool, is_first: bool, now_ns: u64) -> Option<Input> {
        if is_closed {
            self.open_since_ns = None;
            let was_closed = std::mem::replace(&mut self.is_closed, true);
            return (!was_closed && !is_first).then_some(match self.contact {
                Contact::Switch(_) => Input::Down(self.switch()),
                Contact::Act(action) => Input::Act(action),
            });
        }
        if !self.is_closed {
            return None;
        }
        let since_ns = *self.open_since_ns.get_or_insert(now_ns);
        if now_ns.saturating_sub(since_ns) < BOUNCE_NS {
            return None;
        }
        self.is_closed = false;
        matches!(self.contact, Contact::Switch(_)).then_some(Input::Up(self.switch()))
    }

    fn switch(&self) -> Switch {
        Switch(LINE_SWITCHES + self.line as u8)
    }
}

pub struct Reader {
    path: PathBuf,
    baud: u32,
    actions: BTreeMap<u8, Action>,
    contacts: BTreeMap<Line, Contact>,
    lines: Box<dyn ModemLines>,
    hand: Hand,
    clock: Arc<dyn Clock>,
    stop: Arc<AtomicBool>,
}

impl Reader {
    pub fn new(path: PathBuf, settings: &Settings, hand: Hand, clock: Arc<dyn Clock>, stop: Arc<AtomicBool>) -> Self {
        let (actions, contacts) = (settings.actions(), settings.serial_lines.clone());
        Reader { path, baud: settings.serial_baud, actions, contacts, lines: Box::new(PortLines), hand, clock, stop }
    }

    pub fn run(mut self) {
        let mut presence = Presence::new(Control::Serial, &self.path, &self.hand);
        while !self.stop.load(Ordering::Acquire) {
            let gone = match tty::open(&self.path, self.baud) {
                Ok(port) => {
                    presence.is(true, &"");
                    let ended = self.read(&port);
                    for line in self.contacts.keys() {
                        self.hand.put(Input::Gone(Switch(LINE_SWITCHES + *line as u8)));
                    }
                    ended
                }
                Err(error) => error,
            };
            if self.stop.load(Ordering::Acquire) {
                return;
            }
            presence.is(false, &gone);
            pause(REOPEN_MS, &self.stop);
        }
    }

    /// Reads until the port is gone or the run ends; why it ended.
    fn read(&mut self, port: &OwnedFd) -> std::io::Error {
        let open = |(&line, &contact): (&Line, &Contact)| Debounced { line, contact, is_closed: false, open_since_ns: None };
        let mut debounced: Vec<Debounced> = self.contacts.iter().map(open).collect();
        let mut is_first = true;
        let look_ms = if debounced.is_empty() { LOOK_MS } else { LINES_MS };
        let wait = Timespec { tv_sec: 0, tv_nsec: look_ms * 1_000_000 };
        let mut bytes = [0; 64];
        while !self.stop.load(Ordering::Acquire) {
            if !debounced.is_empty() {
                match self.lines.read(port.as_fd()) {
                    Ok(bits) => self.contacts(&mut debounced, bits, is_first),
                    Err(error) => return error,
                }
                is_first = false;
            }
            let mut polled = [PollFd::from_borrowed_fd(port.as_fd(), PollFlags::IN)];
            match rustix::event::poll(&mut polled, Some(&wait)) {
                Ok(0) | Err(rustix::io::Errno::INTR) => continue,
                Ok(_) => {}
                Err(error) => return error.into(),
            }
            match rustix::io::read(port, &mut bytes) {
                Ok(0) => return std::io::Error::other("it was unplugged"),
                Ok(count) => {
                    let acts = bytes[..count].iter().filter_map(|byte| self.actions.get(byte));
                    acts.for_each(|&action| self.hand.put(Input::Act(action)));
                }
                Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => {}
                Err(error) => return error.into(),
            }
        }
        std::io::Error::other("the run has ended")
    }

    fn contacts(&self, debounced: &mut [Debounced], bits: LineBits, is_first: bool) {
        let now_ns = self.clock.now_ns();
        for contact in debounced {
            if let Some(input) = contact.take(bits.has(contact.line), is_first, now_ns) {
                self.hand.put(input);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock::MonotonicClock;
    use crate::base::slot::Wake;
    use crate::pipeline::inputs::settings::Footswitch;
    use crate::pipeline::inputs::tty::tests::pty;
    use crate::pipeline::inputs::{Inbox, inbox};
    use std::io::Write;
    use std::os::fd::BorrowedFd;
    use std::sync::atomic::AtomicI32;
    use std::time::{Duration, Instant};

    const MS: u64 = 1_000_000;

    fn contact(contact: Contact) -> Debounced {
        Debounced { line: Line::Dsr, contact, is_closed: false, open_since_ns: None }
    }

    #[test]
    fn a_bouncing_contact_is_one_press_and_closing_counts_at_once() {
        let mut line = contact(Contact::Switch(Footswitch::Footswitch));
        let mut got = Vec::new();
        let states = [
            (0, false),
            (5, true),
            (6, false),
            (7, true),
            (8, false),
            (10, true),
            (900, false),
            (905, true),
            (910, false),
            (934, false),
            (935, false),
            (940, false),
        ];
        for (ms, is_closed) in states {
            got.extend(line.take(is_closed, ms == 0, ms * MS).map(|input| (ms, input)));
        }
        assert_eq!(got, [(5, Input::Down(Switch(3))), (935, Input::Up(Switch(3)))]);
    }

    #[test]
    fn a_contact_that_is_closed_from_the_start_was_not_pressed() {
        let mut line = contact(Contact::Act(Action::Record));
        assert_eq!(line.take(true, true, 0), None);
        assert_eq!(line.take(true, false, 5 * MS), None);
        assert_eq!(line.take(false, false, 10 * MS), None);
        assert_eq!(line.take(false, false, 40 * MS), None, "letting go of a button is nothing");
        assert_eq!(line.take(true, false, 50 * MS), Some(Input::Act(Action::Record)));
    }

    fn next(inbox: &Inbox, wake: &Wake) -> Input {
        let until = Instant::now() + Duration::from_secs(20);
        loop {
            if let Some(input) = inbox.take() {
                return input;
            }
            assert!(Instant::now() < until, "no input came");
            wake.wait(Duration::from_millis(50));
        }
    }

    /// A pseudo terminal has no modem lines: these answer instead of the kernel.
    struct Wires(Arc<AtomicI32>);

    impl ModemLines for Wires {
        fn read(&mut self, _port: BorrowedFd<'_>) -> std::io::Result<LineBits> {
            Ok(LineBits(self.0.load(Ordering::Acquire)))
        }
    }

    #[test]
    fn bytes_and_contacts_of_a_port_arrive_and_a_port_that_came_back_is_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ttyHEAD");
        let text = "serial = 'x'\nserial_bytes = { '0x41' = 'record', '0x42' = 'still' }\nserial_lines = { cts = 'footswitch' }";
        let settings: Settings = toml::from_str(text).unwrap();
        let wake = Arc::new(Wake::default());
        let (hand, inbox) = inbox(wake.clone());
        let (stop, wires) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicI32::new(0)));
        let mut reader = Reader::new(path.clone(), &settings, hand, Arc::new(MonotonicClock), stop.clone());
        reader.lines = Box::new(Wires(wires.clone()));
        let thread = std::thread::spawn(move || reader.run());
        for _ in 0..2 {
            let (mut ours, port) = pty();
            std::os::unix::fs::symlink(&port, &path).unwrap();
            // A port that nobody has opened keeps what is written to it.
            ours.write_all(b"xAyB").unwrap();
            assert_eq!([next(&inbox, &wake), next(&inbox, &wake)], [Input::Act(Action::Record), Input::Act(Action::Still)]);
            wires.store(libc::TIOCM_CTS, Ordering::Release);
            assert_eq!(next(&inbox, &wake), Input::Down(Switch(LINE_SWITCHES)));
            wires.store(libc::TIOCM_DSR, Ordering::Release);
            assert_eq!(next(&inbox, &wake), Input::Up(Switch(LINE_SWITCHES)));
            std::fs::remove_file(&path).unwrap();
            drop(ours);
            assert_eq!(next(&inbox, &wake), Input::Gone(Switch(LINE_SWITCHES)));
        }
        stop.store(true, Ordering::Release);
        thread.join().unwrap();
    }
}
