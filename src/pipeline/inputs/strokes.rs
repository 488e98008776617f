//! What a kernel input device (`/dev/input/event…`) says: keys that go down and up, cut out of its stream of bytes. Which
//! devices are read, and what their keys mean, is the readers' matter.

use evdev::raw_stream::RawDevice;
use rustix::event::{PollFd, PollFlags, Timespec};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;

/// `struct input_event` of the kernel: time (two longs), u16 type, u16 code, i32 value, in the machine's byte order.
pub const EVENT_BYTES: usize = size_of::<libc::input_event>();
const EV_SYN: u16 = 0;
const EV_KEY: u16 = 1;
const SYN_DROPPED: u16 = 3;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stroke {
    /// A key with this code went down.
    Down(u16),
    Up(u16),
    /// The kernel's queue ran over: a press may be among what is gone.
    Lost,
}

/// Cuts a stream of bytes into strokes.
#[derive(Debug, Default)]
pub struct Decoder {
    partial: Vec<u8>,
}

impl Decoder {
    pub fn take(&mut self, bytes: &[u8], mut put: impl FnMut(Stroke)) {
        self.partial.extend_from_slice(bytes);
        let (events, rest) = self.partial.as_chunks::<EVENT_BYTES>();
        for event in events {
            let [.., t0, t1, c0, c1, v0, v1, v2, v3] = *event;
            let (kind, code) = (u16::from_ne_bytes([t0, t1]), u16::from_ne_bytes([c0, c1]));
            match (kind, code, i32::from_ne_bytes([v0, v1, v2, v3])) {
                (EV_KEY, _, 1) => put(Stroke::Down(code)),
                (EV_KEY, _, 0) => put(Stroke::Up(code)),
                (EV_SYN, SYN_DROPPED, _) => put(Stroke::Lost),
                // 2 is a key that repeats: held, not pressed.
                _ => {}
            }
        }
        let kept = self.partial.len() - rest.len();
        self.partial.drain(..kept);
    }
}

/// An open device: the kernel's; or, for anything that is no character device, the plain stream.
pub enum Opened {
    Device(RawDevice),
    Stream(OwnedFd),
}

impl Opened {
    pub fn open(path: &Path) -> std::io::Result<Self> {
        let file = std::fs::OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK | libc::O_CLOEXEC).open(path)?;
        if !file.metadata()?.file_type().is_char_device() {
            return Ok(Opened::Stream(file.into()));
        }
        RawDevice::from_fd(file.into()).map(Opened::Device)
    }

    pub fn fd(&self) -> BorrowedFd<'_> {
        match self {
            Opened::Device(device) => device.as_fd(),
            Opened::Stream(stream) => stream.as_fd(),
        }
    }

    /// Takes the device from everybody else, for as long as it is open.
    pub fn grab(&mut self) -> std::io::Result<()> {
        match self {
            Opened::Device(device) => device.grab(),
            Opened::Stream(_) => Ok(()),
        }
    }

    /// Is any of its keys down?
    pub fn is_held(&self) -> bool {
        match self {
            Opened::Device(device) => device.get_key_state().is_ok_and(|keys| keys.iter().next().is_some()),
            Opened::Stream(_) => false,
        }
    }

    /// Takes what has come. Err: the device is gone.
    pub fn read(&self, decoder: &mut Decoder, put: impl FnMut(Stroke)) -> std::io::Result<()> {
        let mut bytes = [0; 16 * EVENT_BYTES];
        match rustix::io::read(self.fd(), &mut bytes) {
            Ok(0) => return Err(std::io::Error::other("it was unplugged")),
            Ok(count) => decoder.take(&bytes[..count], put),
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }
}

/// Waits until one of the devices has something to say, for `ms` at most; has it?
pub fn wait<'a>(devices: impl Iterator<Item = &'a Opened>, ms: i64) -> std::io::Result<Vec<bool>> {
    let wait = Timespec { tv_sec: 0, tv_nsec: ms * 1_000_000 };
    let mut polled: Vec<PollFd<'_>> = devices.map(|device| PollFd::from_borrowed_fd(device.fd(), PollFlags::IN)).collect();
    match rustix::event::poll(&mut polled, Some(&wait)) {
        Ok(_) | Err(rustix::io::Errno::INTR) => Ok(polled.iter().map(|fd| !fd.revents().is_empty()).collect()),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use proptest::prelude::*;

    pub fn event(kind: u16, code: u16, value: i32) -> Vec<u8> {
        let mut bytes = vec![0x5a; EVENT_BYTES - 8];
        bytes.extend(kind.to_ne_bytes());
        bytes.extend(code.to_ne_bytes());
        bytes.extend(value.to_ne_bytes());
        bytes
    }

    /// As recorded from a pedal that types "b": MSC_SCAN, key, SYN_REPORT; pressed, repeated, let go.
    pub fn pedal() -> Vec<u8> {
        let stroke = |value| [event(4, 4, 0x70005), event(EV_KEY, 48, value), event(0, 0, 0)].concat();
        [stroke(1), stroke(2), stroke(2), stroke(0)].concat()
    }

    #[test]
    fn a_pedal_is_down_once_and_up_once_however_its_bytes_are_cut() {
        for cut in 1..=pedal().len() {
            let mut decoder = Decoder::default();
            let mut got = Vec::new();
            pedal().chunks(cut).for_each(|piece| decoder.take(piece, |stroke| got.push(stroke)));
            assert_eq!(got, [Stroke::Down(48), Stroke::Up(48)], "pieces of {cut} bytes");
        }
        let mut got = Vec::new();
        Decoder::default().take(&event(EV_SYN, SYN_DROPPED, 0), |stroke| got.push(stroke));
        assert_eq!(got, [Stroke::Lost]);
    }

    proptest! {
        #[test]
        fn no_bytes_do_harm(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let mut decoder = Decoder::default();
            decoder.take(&bytes, |_| ());
            prop_assert!(decoder.partial.len() < EVENT_BYTES);
        }
    }
}
