use crate::pipeline::controls::Action;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// A serial port's input lines, as its connector names them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Line {
    Cts,
    Dsr,
    Dcd,
}

/// What a closed contact means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", untagged)]
pub enum Contact {
    /// As a footswitch: pressed, held, let go.
    Switch(Footswitch),
    /// As a key.
    Act(Action),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Footswitch {
    Footswitch,
}

/// `[controls]`
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// A footswitch that is an input device of its own: `/dev/input/by-id/…-event-kbd`. It is taken from everybody else.
    /// Default: none.
    pub footswitch: Option<PathBuf>,
    /// A footswitch that types into the window: the key that it sends, as `b`, `F13`, `PageDown`. Default: none.
    pub footswitch_key: Option<String>,
    /// A serial port with contacts on its lines, or with a camera head that sends bytes: `/dev/ttyS0`. Default: none.
    pub serial: Option<PathBuf>,
    /// Bits a second, 8N1. Default: 9600.
    pub serial_baud: u32,
    /// What a byte means: `{ "0x41" = "record" }`. Bytes that are not named mean nothing. Default: none.
    pub serial_bytes: BTreeMap<String, Action>,
    /// What a closed contact on a line means: `{ cts = "footswitch", dsr = "still" }`. Default: none.
    pub serial_lines: BTreeMap<Line, Contact>,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            footswitch: None,
            footswitch_key: None,
            serial: None,
            serial_baud: 9_600,
            serial_bytes: BTreeMap::new(),
            serial_lines: BTreeMap::new(),
        }
    }
}

impl Settings {
    /// What is wrong with these settings, as one sentence for people.
    pub fn check(&self) -> Result<(), String> {
        if super::tty::speed(self.serial_baud).is_none() {
            return Err(format!(
                "controls.serial_baud is {}: it must be 1200, 2400, 4800, 9600, 19200, 38400, 57600 or 115200",
                self.serial_baud
            ));
        }
        if let Some(wrong) = self.serial_bytes.keys().find(|key| byte(key).is_none()) {
            return Err(format!("controls.serial_bytes names '{wrong}': give a byte as \"0x41\""));
        }
        if self.serial.is_none() && !(self.serial_bytes.is_empty() && self.serial_lines.is_empty()) {
            return Err("controls.serial_bytes and serial_lines need controls.serial, the port".into());
        }
        Ok(())
    }

    /// Actions by byte.
    pub(super) fn actions(&self) -> BTreeMap<u8, Action> {
        self.serial_bytes.iter().filter_map(|(key, action)| Some((byte(key)?, *action))).collect()
    }
}

fn byte(text: &str) -> Option<u8> {
    u8::from_str_radix(text.strip_prefix("0x")?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_lines_and_actions_are_read_and_nonsense_is_refused_by_name() {
        let parse = |text: &str| toml::from_str::<Settings>(text);
        let settings = parse(
            "serial = '/dev/ttyS0'\nserial_bytes = { '0x41' = 'record', '0x42' = 'picture-in-picture' }\nserial_lines = { cts = 'footswitch', dcd = 'still', dsr = 'acknowledge' }",
        )
        .unwrap();
        settings.check().unwrap();
        assert_eq!(settings.actions(), BTreeMap::from([(0x41, Action::Record), (0x42, Action::PictureInPicture)]));
        assert_eq!(settings.serial_lines[&Line::Cts], Contact::Switch(Footswitch::Footswitch));
        assert_eq!(settings.serial_lines[&Line::Dcd], Contact::Act(Action::Still));
        assert_eq!(settings.serial_lines[&Line::Dsr], Contact::Act(Action::Acknowledge));
        for text in [
            "footpedal = 'x'",
            "serial_bytes = { '0x41' = 'explode' }",
            "serial_lines = { rts = 'mark' }",
            "serial_bytes = { '0x41' = 'quit' }",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
        for text in ["serial = 'x'\nserial_bytes = { 'A' = 'mark' }", "serial_baud = 12345", "serial_lines = { cts = 'mark' }"] {
            assert!(parse(text).unwrap().check().unwrap_err().contains("controls.serial"), "{text}");
        }
    }
}
