//! Keyboards and mice as kernel input devices, for a monitor without X or Wayland. Every one that is there, or comes, is
//! taken for ourselves: what is typed goes nowhere else, neither into the console's shell nor to its key combinations. The
//! kernel gives them back when this ends, however it ends.
//!
//! ```text
//!   plugged ─► nothing held down? ─yes─► taken ─► strokes ─► inputs
//!                    └─no─► read beside the console, until all is let go: it must not believe a key down for ever
//! ```

use crate::base::hud::Control;
use crate::pipeline::controls::Input;
use crate::pipeline::inputs::strokes::{self, Decoder, Opened, Stroke};
use crate::pipeline::inputs::{DeviceNote, Hand, LOOK_MS, WINDOW_SWITCH};
use evdev::KeyCode;
use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// What a key means: its code, whether Shift is held, whether it goes down. None: nothing.
pub type Meaning = Box<dyn Fn(u16, bool, bool) -> Option<Input> + Send>;

/// New devices are looked for once in so many looks.
const LOOKS: u32 = 5;
/// At the end a key that is still held down is waited for so many looks: the console would repeat it.
const LOOKS_AT_THE_END: u32 = 10;

struct Board {
    name: Arc<str>,
    path: PathBuf,
    opened: Opened,
    decoder: Decoder,
    /// Else a mouse, whose loss is nobody's alarm.
    is_keyboard: bool,
    is_taken: bool,
    /// That somebody else has it was told.
    is_refused: bool,
    is_shifted: bool,
}

pub struct Reader {
    /// Where the kernel's devices are.
    folder: PathBuf,
    /// A device that is read by somebody else of ours.
    except: Option<PathBuf>,
    meaning: Meaning,
    hand: Hand,
    stop: Arc<AtomicBool>,
    boards: Vec<Board>,
    /// Devices that were looked at and are no keyboards: path and inode.
    others: BTreeSet<(PathBuf, u64)>,
    /// That devices may not be opened was told.
    is_denied: bool,
}

impl Reader {
    pub fn new(folder: PathBuf, except: Option<PathBuf>, meaning: Meaning, hand: Hand, stop: Arc<AtomicBool>) -> Self {
        Reader { folder, except, meaning, hand, stop, boards: Vec::new(), others: BTreeSet::new(), is_denied: false }
    }

    pub fn run(mut self) {
        let mut looks = 0u32;
        while !self.stop.load(Ordering::Acquire) {
            if looks.is_multiple_of(LOOKS) {
                self.look_for_more(looks > 0);
            }
            looks = looks.wrapping_add(1);
            self.turn(true);
        }
        for _ in 0..LOOKS_AT_THE_END {
            if !self.boards.iter().any(|board| board.is_taken && board.opened.is_held()) {
                return;
            }
            self.turn(false);
        }
    }

    /// Waits for strokes, and passes them on where they still mean something.
    fn turn(&mut self, is_obeyed: bool) {
        let Ok(has_come) = strokes::wait(self.boards.iter().map(|board| &board.opened), LOOK_MS) else { return };
        let (meaning, hand) = (&self.meaning, &self.hand);
        let mut gone = Vec::new();
        for (index, (board, has_come)) in self.boards.iter_mut().zip(has_come).enumerate() {
            let Board { opened, decoder, is_shifted, .. } = board;
            let put = |stroke| {
                let input = match stroke {
                    Stroke::Lost => Some(Input::Lost),
                    Stroke::Down(code) | Stroke::Up(code) => {
                        let is_down = matches!(stroke, Stroke::Down(_));
                        if matches!(KeyCode(code), KeyCode::KEY_LEFTSHIFT | KeyCode::KEY_RIGHTSHIFT) {
                            *is_shifted = is_down;
                        }
                        meaning(code, *is_shifted, is_down)
                    }
                };
                input.filter(|_| is_obeyed).into_iter().for_each(|input| hand.put(input));
            };
            match if has_come { opened.read(decoder, put) } else { Ok(()) } {
                Ok(()) if is_obeyed => board.take(hand),
                Ok(()) => {}
                Err(error) => gone.push((index, error)),
            }
        }
        for (index, error) in gone.into_iter().rev() {
            let board = self.boards.remove(index);
            // What it held down is let go.
            self.hand.put(Input::Gone(WINDOW_SWITCH));
            if board.is_keyboard {
                tell(&self.hand, &board.name, Err(&error));
            }
        }
    }

    /// Opens what has come. `is_news`: what comes now was plugged in during the run.
    fn look_for_more(&mut self, is_news: bool) {
        let except = self.except.as_ref().and_then(|path| path.canonicalize().ok());
        let entries = std::fs::read_dir(&self.folder).into_iter().flatten().flatten();
        let paths = entries.filter(|entry| entry.file_name().to_string_lossy().starts_with("event")).map(|entry| entry.path());
        for path in paths {
            let Ok(metadata) = std::fs::metadata(&path) else { continue };
            let known = (path, metadata.ino());
            if self.boards.iter().any(|board| board.path == known.0) || self.others.contains(&known) || except.as_ref() == Some(&known.0) {
                continue;
            }
            match Board::open(&known.0) {
                Ok(Some(mut board)) => {
                    board.take(&self.hand);
                    if board.is_keyboard && !board.is_refused && (is_news || self.is_denied) {
                        tell(&self.hand, &board.name, Ok(()));
                    }
                    self.is_denied = false;
                    self.boards.push(board);
                }
                Ok(None) => {
                    self.others.insert(known);
                }
                Err(error) if error.kind() == ErrorKind::PermissionDenied && self.boards.is_empty() && !self.is_denied => {
                    self.is_denied = true;
                    let error = std::io::Error::other(format!("{error}; run as a user of the group 'input'"));
                    tell(&self.hand, &self.folder.to_string_lossy(), Err(&error));
                }
                // It has gone again, or is looked at again.
                Err(_) => {}
            }
        }
    }
}

impl Board {
    /// None: it has no keys that anybody would press.
    fn open(path: &Path) -> std::io::Result<Option<Self>> {
        let opened = Opened::open(path)?;
        let (name, is_keyboard, is_mouse) = match &opened {
            Opened::Device(device) => {
                // The block of keys from Escape to F12: a power button or a monitor's brightness has none of them.
                let is_typed = |key: KeyCode| (KeyCode::KEY_ESC.0..=KeyCode::KEY_F12.0).contains(&key.0);
                let keys = device.supported_keys();
                let has = |wanted: &dyn Fn(KeyCode) -> bool| keys.is_some_and(|keys| keys.iter().any(wanted));
                (device.name().map(str::to_owned), has(&is_typed), has(&|key| key == KeyCode::BTN_LEFT))
            }
            Opened::Stream(_) => (None, true, false),
        };
        if !is_keyboard && !is_mouse {
            return Ok(None);
        }
        let name = name.unwrap_or_else(|| path.display().to_string()).into();
        let (path, decoder) = (path.to_owned(), Decoder::default());
        Ok(Some(Board { name, path, opened, decoder, is_keyboard, is_taken: false, is_refused: false, is_shifted: false }))
    }

    /// Takes it from everybody else as soon as nothing is held down.
    fn take(&mut self, hand: &Hand) {
        if self.is_taken || self.opened.is_held() {
            return;
        }
        match self.opened.grab() {
            Ok(()) => {
                self.is_taken = true;
                if std::mem::take(&mut self.is_refused) && self.is_keyboard {
                    tell(hand, &self.name, Ok(()));
                }
            }
            Err(error) => {
                if !std::mem::replace(&mut self.is_refused, true) && self.is_keyboard {
                    tell(hand, &self.name, Err(&std::io::Error::other(format!("{error}: another program has taken it"))));
                }
            }
        }
    }
}

fn tell(hand: &Hand, name: &str, state: Result<(), &std::io::Error>) {
    let reason = state.err().map(ToString::to_string).unwrap_or_default();
    hand.say(DeviceNote { control: Control::Keyboard, name: name.into(), is_there: state.is_ok(), reason });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::slot::Wake;
    use crate::pipeline::controls::Action;
    use crate::pipeline::inputs::strokes::tests::event;
    use crate::pipeline::inputs::{Inbox, inbox};
    use std::fs::File;
    use std::io::Write;
    use std::time::{Duration, Instant};

    /// What comes next; `None` from `take` means that nothing has come yet.
    fn next<T>(inbox: &Inbox, wake: &Wake, take: impl Fn(&Inbox) -> Option<T>) -> T {
        let until = Instant::now() + Duration::from_secs(60);
        loop {
            if let Some(got) = take(inbox) {
                return got;
            }
            assert!(Instant::now() < until, "nothing came");
            wake.wait(Duration::from_millis(50));
        }
    }

    /// O is a key of its own, with Shift another; 30 types nothing, everything else is clean video.
    fn meaning() -> Meaning {
        Box::new(|code, is_shifted, is_down| match (KeyCode(code), is_down) {
            (KeyCode::KEY_A | KeyCode::KEY_LEFTSHIFT, _) => None,
            (KeyCode::KEY_F13, true) => Some(Input::Down(WINDOW_SWITCH)),
            (KeyCode::KEY_F13, false) => Some(Input::Up(WINDOW_SWITCH)),
            (KeyCode::KEY_O, true) => Some(Input::Act(if is_shifted { Action::Hud } else { Action::Overlay })),
            (_, true) => Some(Input::Act(Action::Clean)),
            (_, false) => None,
        })
    }

    /// Pipes stand in for the devices: the same finding, opening, waiting and reading, without the kernel's grab.
    #[test]
    fn keyboards_are_read_as_they_come_and_one_that_is_pulled_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let plug = |name: &str| {
            rustix::fs::mknodat(rustix::fs::CWD, path(name), rustix::fs::FileType::Fifo, rustix::fs::Mode::RWXU, 0).unwrap();
            // Waits until it is opened for reading.
            std::fs::OpenOptions::new().write(true).open(path(name)).unwrap()
        };
        let stroke = |pipe: &mut File, code: KeyCode, value: i32| pipe.write_all(&event(1, code.0, value)).unwrap();
        // The footswitch's own device, and what is no device at all, are left alone.
        File::create(path("mice")).unwrap();
        rustix::fs::mknodat(rustix::fs::CWD, path("event7"), rustix::fs::FileType::Fifo, rustix::fs::Mode::RWXU, 0).unwrap();
        std::os::unix::fs::symlink(path("event7"), path("pedal")).unwrap();
        let wake = Arc::new(Wake::default());
        let (hand, inbox) = inbox(wake.clone());
        let stop = Arc::new(AtomicBool::new(false));
        let reader = Reader::new(folder.path().into(), Some(path("pedal")), meaning(), hand, stop.clone());
        let thread = std::thread::spawn(move || reader.run());
        let (input, note) = (|| next(&inbox, &wake, Inbox::take), || next(&inbox, &wake, Inbox::take_note));

        for _ in 0..2 {
            let mut first = plug("event0");
            let mut second = plug("event1");
            stroke(&mut first, KeyCode::KEY_A, 1);
            stroke(&mut first, KeyCode::KEY_O, 1);
            assert_eq!(input(), Input::Act(Action::Overlay));
            stroke(&mut second, KeyCode::KEY_LEFTSHIFT, 1);
            stroke(&mut second, KeyCode::KEY_O, 1);
            assert_eq!(input(), Input::Act(Action::Hud));
            stroke(&mut second, KeyCode::KEY_O, 2);
            stroke(&mut first, KeyCode::KEY_O, 0);
            stroke(&mut first, KeyCode::KEY_X, 1);
            assert_eq!(input(), Input::Act(Action::Clean), "one keyboard's Shift is no other's, and holding a key is no stroke");
            stroke(&mut second, KeyCode::KEY_LEFTSHIFT, 0);
            stroke(&mut second, KeyCode::KEY_O, 1);
            assert_eq!(input(), Input::Act(Action::Overlay));
            stroke(&mut first, KeyCode::KEY_F13, 1);
            assert_eq!(input(), Input::Down(WINDOW_SWITCH));
            for (pipe, name) in [(first, "event0"), (second, "event1")] {
                std::fs::remove_file(path(name)).unwrap();
                drop(pipe);
                assert_eq!(input(), Input::Gone(WINDOW_SWITCH));
                let told = loop {
                    let told = note();
                    if !told.is_there {
                        break told;
                    }
                };
                assert!(told.control == Control::Keyboard && told.name.ends_with(name), "{told}");
                assert!(told.to_string().contains("unplugged"), "{told}");
            }
        }
        // A pipe that nobody reads cannot be opened for writing without waiting.
        let unread = rustix::fs::open(path("event7"), rustix::fs::OFlags::WRONLY | rustix::fs::OFlags::NONBLOCK, rustix::fs::Mode::empty());
        assert_eq!(unread.err(), Some(rustix::io::Errno::NXIO), "the footswitch is somebody else's");
        stop.store(true, Ordering::Release);
        thread.join().unwrap();
    }
}
