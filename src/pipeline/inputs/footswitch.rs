//! A footswitch as a kernel input device (`/dev/input/event…`): taken for ourselves, so that what it types goes nowhere
//! else. Any of its keys is the switch.

use crate::base::hud::Control;
use crate::pipeline::controls::Input;
use crate::pipeline::inputs::strokes::{self, Decoder, Opened, Stroke};
use crate::pipeline::inputs::{EVDEV_SWITCH, Hand, LOOK_MS, Presence, REOPEN_MS, pause};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

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
        let mut device = Opened::open(&self.path)?;
        device.grab()?;
        Ok(device)
    }

    /// Reads until the device is gone or the run ends; why it ended.
    fn read(&self, device: &Opened) -> std::io::Error {
        let mut decoder = Decoder::default();
        while !self.stop.load(Ordering::Acquire) {
            let has_come = strokes::wait(std::iter::once(device), LOOK_MS);
            let read = has_come.and_then(|has_come| match has_come.contains(&true) {
                true => device.read(&mut decoder, |stroke| {
                    self.hand.put(match stroke {
                        Stroke::Down(_) => Input::Down(EVDEV_SWITCH),
                        Stroke::Up(_) => Input::Up(EVDEV_SWITCH),
                        Stroke::Lost => Input::Lost,
                    });
                }),
                false => Ok(()),
            });
            if let Err(error) = read {
                return error;
            }
        }
        std::io::Error::other("the run has ended")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::slot::Wake;
    use crate::pipeline::inputs::strokes::tests::{event, pedal};
    use crate::pipeline::inputs::{Inbox, inbox};
    use std::io::Write;
    use std::time::{Duration, Instant};

    const DOWN_UP: [Input; 2] = [Input::Down(EVDEV_SWITCH), Input::Up(EVDEV_SWITCH)];

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
