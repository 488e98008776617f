//! What the keys of a keyboard are called where no window system says it: by the console's own keymap, so that a key does
//! what stands on it; where there is no console, as on a US keyboard.

use crate::display::Key;
use evdev::KeyCode;
use std::fs::File;
use std::os::fd::AsRawFd;
use winit::keyboard::NamedKey;

/// Kernel key codes that a console's keymap knows.
const CODES: usize = 128;

/// The character of each key, without and with Shift; lower case.
#[derive(Debug, Clone)]
pub struct KeyLabels {
    plain: [Option<char>; CODES],
    shifted: [Option<char>; CODES],
}

/// US keyboard: the first code of a row, and its keys from there on.
const US: [(u16, &str, &str); 4] = [
    (KeyCode::KEY_1.0, "1234567890-=", "!@#$%^&*()_+"),
    (KeyCode::KEY_Q.0, "qwertyuiop[]", "qwertyuiop{}"),
    (KeyCode::KEY_A.0, "asdfghjkl;'`", "asdfghjkl:\"~"),
    (KeyCode::KEY_BACKSLASH.0, "\\zxcvbnm,./", "|zxcvbnm<>?"),
];

impl KeyLabels {
    /// As the console has them.
    pub fn of_console() -> Self {
        File::open("/dev/tty0").ok().and_then(|console| Self::of(&console)).unwrap_or_else(Self::us)
    }

    fn us() -> Self {
        let mut labels = KeyLabels { plain: [None; CODES], shifted: [None; CODES] };
        for (first, plain, shifted) in US {
            for (code, (plain, shifted)) in (usize::from(first)..).zip(plain.chars().zip(shifted.chars())) {
                (labels.plain[code], labels.shifted[code]) = (Some(plain), Some(shifted));
            }
        }
        labels
    }

    fn of(console: &File) -> Option<Self> {
        let table = |table: u8| -> Option<[Option<char>; CODES]> {
            let mut labels = [None; CODES];
            for (code, label) in labels.iter_mut().enumerate() {
                *label = character(entry(console, table, code as u8)?);
            }
            Some(labels)
        };
        let labels = KeyLabels { plain: table(0)?, shifted: table(1)? };
        // A keymap without letters was loaded by nobody.
        labels.plain.contains(&Some('o')).then_some(labels)
    }

    /// The key with this kernel code, as a window names it. None: it only changes what others mean, or is no key.
    pub fn key(&self, code: u16, is_shifted: bool) -> Option<Key> {
        let button = |first: KeyCode, last: KeyCode| (first.0..=last.0).contains(&code);
        if let Some(named) = named(code) {
            return Some(Key::Named(named));
        }
        match KeyCode(code) {
            KeyCode::KEY_LEFTCTRL
            | KeyCode::KEY_RIGHTCTRL
            | KeyCode::KEY_LEFTSHIFT
            | KeyCode::KEY_RIGHTSHIFT
            | KeyCode::KEY_LEFTALT
            | KeyCode::KEY_RIGHTALT
            | KeyCode::KEY_LEFTMETA
            | KeyCode::KEY_RIGHTMETA
            | KeyCode::KEY_CAPSLOCK
            | KeyCode::KEY_NUMLOCK
            | KeyCode::KEY_SCROLLLOCK
            | KeyCode::KEY_FN => return None,
            _ => {}
        }
        if let Some(c) = keypad(code) {
            return Some(Key::Char(c));
        }
        // A mouse's buttons are keys without names; what else is no key of a keyboard (a pen near its tablet) is none.
        if button(KeyCode::BTN_0, KeyCode::BTN_TRIGGER_HAPPY40) && !button(KeyCode::BTN_LEFT, KeyCode::BTN_TASK) && code < KeyCode::KEY_OK.0
        {
            return None;
        }
        let labels = if is_shifted { &self.shifted } else { &self.plain };
        Some(labels.get(usize::from(code)).copied().flatten().map_or(Key::Other, Key::Char))
    }
}

fn keypad(code: u16) -> Option<char> {
    Some(match KeyCode(code) {
        KeyCode::KEY_KP1 => '1',
        KeyCode::KEY_KP2 => '2',
        KeyCode::KEY_KP3 => '3',
        KeyCode::KEY_KP4 => '4',
        KeyCode::KEY_KP5 => '5',
        KeyCode::KEY_KP6 => '6',
        KeyCode::KEY_KP7 => '7',
        KeyCode::KEY_KP8 => '8',
        KeyCode::KEY_KP9 => '9',
        KeyCode::KEY_KPMINUS => '-',
        KeyCode::KEY_KPPLUS => '+',
        _ => return None,
    })
}

fn named(code: u16) -> Option<NamedKey> {
    Some(match KeyCode(code) {
        KeyCode::KEY_ESC => NamedKey::Escape,
        KeyCode::KEY_SPACE => NamedKey::Space,
        KeyCode::KEY_ENTER | KeyCode::KEY_KPENTER => NamedKey::Enter,
        KeyCode::KEY_TAB => NamedKey::Tab,
        KeyCode::KEY_BACKSPACE => NamedKey::Backspace,
        KeyCode::KEY_DELETE => NamedKey::Delete,
        KeyCode::KEY_INSERT => NamedKey::Insert,
        KeyCode::KEY_HOME => NamedKey::Home,
        KeyCode::KEY_END => NamedKey::End,
        KeyCode::KEY_PAGEUP => NamedKey::PageUp,
        KeyCode::KEY_PAGEDOWN => NamedKey::PageDown,
        KeyCode::KEY_UP => NamedKey::ArrowUp,
        KeyCode::KEY_DOWN => NamedKey::ArrowDown,
        KeyCode::KEY_LEFT => NamedKey::ArrowLeft,
        KeyCode::KEY_RIGHT => NamedKey::ArrowRight,
        KeyCode::KEY_SYSRQ => NamedKey::PrintScreen,
        KeyCode::KEY_PAUSE => NamedKey::Pause,
        KeyCode::KEY_COMPOSE => NamedKey::ContextMenu,
        _ => return function_key(code),
    })
}

fn function_key(code: u16) -> Option<NamedKey> {
    use NamedKey::{F1, F2, F3, F4, F5, F6, F7, F8, F9, F10, F11, F12, F13, F14, F15, F16, F17, F18, F19, F20, F21, F22, F23, F24};
    const LOW: [NamedKey; 10] = [F1, F2, F3, F4, F5, F6, F7, F8, F9, F10];
    const HIGH: [NamedKey; 12] = [F13, F14, F15, F16, F17, F18, F19, F20, F21, F22, F23, F24];
    let of = |keys: &[NamedKey], first: KeyCode| keys.get(usize::from(code.checked_sub(first.0)?)).copied();
    match KeyCode(code) {
        KeyCode::KEY_F11 => Some(F11),
        KeyCode::KEY_F12 => Some(F12),
        _ => of(&LOW, KeyCode::KEY_F1).or_else(|| of(&HIGH, KeyCode::KEY_F13)),
    }
}

/// What the kernel's keymap says of a key: its kind in the upper byte (0 a Latin character, 11 a letter that Caps Lock
/// changes), the character in the lower.
fn character(value: u16) -> Option<char> {
    const LATIN: u8 = 0;
    const LETTER: u8 = 11;
    let [kind, low] = value.to_be_bytes();
    let c = char::from(low).to_lowercase().next()?;
    (matches!(kind, LATIN | LETTER) && !c.is_control()).then_some(c)
}

/// One entry of a console's keymap. None: this is no console.
fn entry(console: &File, table: u8, index: u8) -> Option<u16> {
    /// `struct kbentry` of the kernel.
    #[repr(C)]
    struct Entry {
        table: u8,
        index: u8,
        value: u16,
    }
    const KDGKBENT: libc::Ioctl = 0x4B46;
    let mut entry = Entry { table, index, value: 0 };
    // SAFETY: the descriptor is open for the call's duration, and KDGKBENT reads and writes one `kbentry`, which `entry` is.
    let answer = unsafe { libc::ioctl(console.as_raw_fd(), KDGKBENT, &mut entry) };
    (answer == 0).then_some(entry.value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn keys_without_a_window_system_have_the_names_that_windows_give_them() {
        let labels = KeyLabels::us();
        let key = |code: KeyCode| labels.key(code.0, false);
        assert_eq!(key(KeyCode::KEY_ESC), Some(Key::ESCAPE));
        assert_eq!(key(KeyCode::KEY_SPACE), Some(Key::SPACE));
        assert_eq!([key(KeyCode::KEY_ENTER), key(KeyCode::KEY_KPENTER)], [Some(Key::ENTER); 2]);
        let letters = [KeyCode::KEY_O, KeyCode::KEY_T, KeyCode::KEY_L, KeyCode::KEY_H, KeyCode::KEY_G, KeyCode::KEY_P, KeyCode::KEY_Z];
        let more = [KeyCode::KEY_I, KeyCode::KEY_M, KeyCode::KEY_S, KeyCode::KEY_R, KeyCode::KEY_Q, KeyCode::KEY_F, KeyCode::KEY_9];
        let others = [KeyCode::KEY_1, KeyCode::KEY_MINUS, KeyCode::KEY_EQUAL, KeyCode::KEY_KPPLUS, KeyCode::KEY_KP5, KeyCode::KEY_0];
        for (code, c) in letters.into_iter().chain(more).chain(others).zip("otlhgpzimsrqf91-=+50".chars()) {
            assert_eq!(key(code), Some(Key::Char(c)), "{code:?}");
        }
        for (code, name) in [(KeyCode::KEY_F1, "F1"), (KeyCode::KEY_F10, "F10"), (KeyCode::KEY_F12, "F12"), (KeyCode::KEY_F13, "F13")] {
            assert!(key(code).is_some_and(|key| key.is_called(name)), "{name}");
        }
        assert!(key(KeyCode::KEY_F24).is_some_and(|key| key.is_called("F24")));
        assert!(key(KeyCode::KEY_PAGEDOWN).is_some_and(|key| key.is_called("PageDown")));
        assert_eq!(labels.key(KeyCode::KEY_EQUAL.0, true), Some(Key::Char('+')));
        assert_eq!(labels.key(KeyCode::KEY_1.0, true), Some(Key::Char('!')), "as in a window: no key of a name");
        for code in [KeyCode::KEY_LEFTSHIFT, KeyCode::KEY_NUMLOCK, KeyCode::BTN_TOOL_PEN] {
            assert_eq!(key(code), None, "{code:?}");
        }
        for code in [KeyCode::BTN_LEFT, KeyCode::BTN_MIDDLE, KeyCode::KEY_VOLUMEUP, KeyCode::KEY_102ND] {
            assert_eq!(key(code), Some(Key::Other), "{code:?}");
        }
    }

    /// Values as the kernel gives them for a French and a German keymap.
    #[test]
    fn a_keymap_s_characters_are_those_on_the_keys() {
        assert_eq!([0x0b61, 0x0b41, 0x0026, 0x00df].map(character), [Some('a'), Some('a'), Some('&'), Some('ß')]);
        // Escape, a hole, a dead key, a character beyond Latin-1, a key of the keypad.
        assert_eq!([0x001b, 0x0200, 0x0500, 0xd0ac, 0x0301].map(character), [None; 5]);
        let file = tempfile::tempfile().unwrap();
        assert!(KeyLabels::of(&file).is_none(), "a file is no console");
    }

    proptest! {
        #[test]
        fn every_code_is_some_key_or_none(code in any::<u16>(), is_shifted in any::<bool>()) {
            let _ = KeyLabels::us().key(code, is_shifted);
            let _ = character(code);
        }
    }
}
