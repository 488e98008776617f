//! A footswitch as a kernel input device (`/dev/input/event…`): taken for ourselves, so that what it types goes nowhere
//! else. Any of its keys is the switch.

use crate::base::hud::Control;
use crate::pipeline::controls::Input;
use crate::pipeline::inputs::{EVDEV_SWITCH, Hand, LOOK_MS, Presence, REOPEN_MS, pause};
use evdev::raw_stream::RawDevice;
use rustix::event::{PollFd, PollFlags, Timespec};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// `struct input_event` of the kernel: time (two longs), u16 type, u16 code, i32 value, in the machine's byte order.
const EVENT_BYTES: usize = size_of::<libc::input_event>();
const EV_SYN: u16 = 0;
const EV_KEY: u16 = 1;
const SYN_DROPPED: u16 = 3;

/// Cuts a stream of bytes into key events.
#[derive(Debug, Default)]
struct Decoder {
    partial: Vec<u8>,
}

impl Decoder {
    fn take(&mut self, bytes: &[u8], mut put: impl FnMut(Input)) {
        self.partial.extend_from_slice(bytes);
        let (events, rest) = self.partial.as_chunks::<EVENT_BYTES>();
        for event in events {
            let [.., t0, t1, c0, c1, v0, v1, v2, v3] = *event;
            let (kind, code) = (u16::from_ne_bytes([t0, t1]), u16::from_ne_bytes([c0, c1]));
            match (kind, code, i32::from_ne_bytes([v0, v1, v2, v3])) {
                (EV_KEY, _, 1) => put(Input::Down(EVDEV_SWITCH)),
                (EV_KEY, _, 0) => put(Input::Up(EVDEV_SWITCH)),
                // The kernel's queue ran over: a press may be among what is gone.
                (EV_SYN, SYN_DROPPED, _) => put(Input::Lost),
                // 2 is a key that repeats: held, not pressed.
                _ => {}
            }
        }
        let kept = self.partial.len() - rest.len();
        self.partial.drain(..kept);
    }
}

/// An open device: the kernel's, grabbed; or, for anything that is no character device, the plain stream.
enum Opened {
    Device(RawDevice),
    Stream(OwnedFd),
}

impl Opened {
    fn fd(&self) -> BorrowedFd<'_> {
        match self {
            Opened::Device(device) => device.as_fd(),
            Opened::Stream(stream) => stream.as_fd(),
        }
    }
}

pub struct Reader {
    path: PathBuf,
    hand: Hand,
    stop: Arc<AtomicBool>,
}

impl Reader {
    pub fn new(path: PathBuf, hand: Hand, stop: Arc<AtomicBool>) -> Self {
        Reader { path, hand, stop }
    }

    pub fn run(self) {
        let mut presence = Presence::new(Control::Footswitch, &self.path, &self.hand);
        while !self.stop.load(Ordering::Acquire) {
            let gone = match self.open() {
                Ok(opened) => {
                    presence.is(true, &"");
                    let ended = self.read(&opened);
                    // What it held down is let go.
                    self.hand.put(Input::Gone(EVDEV_SWITCH));
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

    fn open(&self) -> std::io::Result<Opened> {
        let file = std::fs::OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK | libc::O_CLOEXEC).open(&self.path)?;
        if !file.metadata()?.file_type().is_char_device() {
            return Ok(Opened::Stream(file.into()));
        }
        let mut device = RawDevice::from_fd(file.into())?;
        device.grab()?;
        Ok(Opened::Device(device))
    }

    /// Reads until the device is gone or the run ends; why it ended.
    fn read(&self, opened: &Opened) -> std::io::Error {
        let mut decoder = Decoder::default();
        let mut bytes = [0; 16 * EVENT_BYTES];
        let wait = Timespec { tv_sec: 0, tv_nsec: LOOK_MS * 1_000_000 };
        while !self.stop.load(Ordering::Acquire) {
            let mut polled = [PollFd::from_borrowed_fd(opened.fd(), PollFlags::IN)];
            match rustix::event::poll(&mut polled, Some(&wait)) {
                Ok(0) | Err(rustix::io::Errno::INTR) => continue,
                Ok(_) => {}
                Err(error) => return error.into(),
            }
            match rustix::io::read(opened.fd(), &mut bytes) {
                Ok(0) => return std::io::Error::other("it was unplugged"),
                Ok(count) => decoder.take(&bytes[..count], |input| self.hand.put(input)),
                Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => {}
                Err(error) => return error.into(),
            }
        }
        std::io::Error::other("the run has ended")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::slot::Wake;
    use crate::pipeline::inputs::{Inbox, inbox};
    use proptest::prelude::*;
    use std::io::Write;
    use std::time::{Duration, Instant};

    fn event(kind: u16, code: u16, value: i32) -> Vec<u8> {
        let mut bytes = vec![0x5a; EVENT_BYTES - 8];
        bytes.extend(kind.to_ne_bytes());
        bytes.extend(code.to_ne_bytes());
        bytes.extend(value.to_ne_bytes());
        bytes
    }

    /// As recorded from a pedal that types "b": MSC_SCAN, key, SYN_REPORT; pressed, repeated, let go.
    fn pedal() -> Vec<u8> {
        let stroke = |value| [event(4, 4, 0x70005), event(1, 48, value), event(0, 0, 0)].concat();
        [stroke(1), stroke(2), stroke(2), stroke(0)].concat()
    }

    const DOWN_UP: [Input; 2] = [Input::Down(EVDEV_SWITCH), Input::Up(EVDEV_SWITCH)];

    #[test]
    fn a_pedal_is_down_once_and_up_once_however_its_bytes_are_cut() {
        for cut in 1..=pedal().len() {
            let mut decoder = Decoder::default();
            let mut got = Vec::new();
            pedal().chunks(cut).for_each(|piece| decoder.take(piece, |input| got.push(input)));
            assert_eq!(got, DOWN_UP, "pieces of {cut} bytes");
        }
        let mut got = Vec::new();
        Decoder::default().take(&event(EV_SYN, SYN_DROPPED, 0), |input| got.push(input));
        assert_eq!(got, [Input::Lost]);
    }

    proptest! {
        #[test]
        fn no_bytes_do_harm(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let mut decoder = Decoder::default();
            decoder.take(&bytes, |_| ());
            prop_assert!(decoder.partial.len() < EVENT_BYTES);
        }
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

    /// A pipe stands in for the device: the same opening, waiting and reading, without the kernel's grab.
    #[test]
    fn a_footswitch_that_is_unplugged_and_plugged_in_again_is_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("event0");
        let make = || rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, rustix::fs::Mode::RWXU, 0).unwrap();
        let wake = Arc::new(Wake::default());
        let (hand, inbox) = inbox(wake.clone());
        let stop = Arc::new(AtomicBool::new(false));
        // Not there at first.
        let reader = Reader::new(path.clone(), hand, stop.clone());
        let thread = std::thread::spawn(move || reader.run());
        for _ in 0..3 {
            make();
            let mut pipe = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
            pipe.write_all(&pedal()).unwrap();
            assert_eq!([next(&inbox, &wake), next(&inbox, &wake)], DOWN_UP);
            pipe.write_all(&event(1, 48, 1)).unwrap();
            assert_eq!(next(&inbox, &wake), DOWN_UP[0]);
            std::fs::remove_file(&path).unwrap();
            drop(pipe);
            assert_eq!(next(&inbox, &wake), Input::Gone(EVDEV_SWITCH));
        }
        // Missing at first perhaps, gone three times, and back in between; the last loss is told before the reader ends.
        let told: Vec<bool> = std::iter::from_fn(|| inbox.take_note()).map(|note| note.is_there).collect();
        assert!(told.windows(2).all(|pair| pair[0] != pair[1]) && told.iter().filter(|is_there| **is_there).count() >= 2, "{told:?}");
        stop.store(true, Ordering::Release);
        thread.join().unwrap();
    }
}
