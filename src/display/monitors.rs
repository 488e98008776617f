//! Which of the monitors that are connected a window goes to. Choosing only; windows are `window`'s matter.

use crate::display::DisplayError;
use serde::Deserialize;

/// A monitor as people name it: by its connector ("HDMI-1"), or by its place in the list, from 0.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum MonitorChoice {
    Index(usize),
    Name(String),
}

impl MonitorChoice {
    /// A number is a place in the list.
    pub fn parse(text: &str) -> Self {
        text.parse().map_or_else(|_| MonitorChoice::Name(text.to_owned()), MonitorChoice::Index)
    }
}

impl std::fmt::Display for MonitorChoice {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            MonitorChoice::Index(index) => write!(f, "{index}"),
            MonitorChoice::Name(name) => f.write_str(name),
        }
    }
}

/// A monitor that is connected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Monitor {
    pub name: String,
    /// Of its top left corner on the desktop, px.
    pub position: (i32, i32),
    /// Width and height, px.
    pub size: (u32, u32),
}

fn listed(monitors: &[Monitor]) -> String {
    let line = |(i, m): (usize, &Monitor)| format!("{i}: {} {}×{} at {},{}", m.name, m.size.0, m.size.1, m.position.0, m.position.1);
    let lines: Vec<String> = monitors.iter().enumerate().map(line).collect();
    if lines.is_empty() { "none is connected".into() } else { lines.join("; ") }
}

/// The place of the chosen monitor.
pub fn choose(monitors: &[Monitor], wanted: &MonitorChoice) -> Result<usize, DisplayError> {
    let found = match wanted {
        MonitorChoice::Index(index) => (*index < monitors.len()).then_some(*index),
        MonitorChoice::Name(name) => monitors.iter().position(|monitor| monitor.name.eq_ignore_ascii_case(name)),
    };
    found.ok_or_else(|| DisplayError::NoMonitor { wanted: wanted.to_string(), connected: listed(monitors) })
}

/// The first monitor that is not the main window's.
pub fn choose_other(monitors: &[Monitor], main: usize) -> Result<usize, DisplayError> {
    let other = (0..monitors.len()).find(|&index| index != main);
    other.ok_or_else(|| DisplayError::NoMonitor { wanted: "a second one, for the clean feed".into(), connected: listed(monitors) })
}

/// Does somebody manage the windows of the X server in $DISPLAY? Without a manager nobody makes a window full screen:
/// it is then placed and sized like the monitor.
pub fn x11_has_window_manager() -> bool {
    use x11rb::connection::Connection;
    use x11rb::protocol::xproto::{AtomEnum, ConnectionExt};
    let asked = || -> Option<bool> {
        let (connection, screen) = x11rb::connect(None).ok()?;
        let root = connection.setup().roots[screen].root;
        let atom = connection.intern_atom(true, b"_NET_SUPPORTING_WM_CHECK").ok()?.reply().ok()?.atom;
        let property = connection.get_property(false, root, atom, AtomEnum::WINDOW, 0, 1).ok()?.reply().ok()?;
        Some(property.value_len > 0)
    };
    asked().unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn monitors() -> Vec<Monitor> {
        let monitor = |name: &str, x| Monitor { name: name.into(), position: (x, 0), size: (1920, 1080) };
        vec![monitor("eDP-1", 0), monitor("HDMI-1", 1920)]
    }

    #[test]
    fn a_monitor_is_chosen_by_name_or_place_and_an_unknown_one_lists_the_others() {
        let chosen = |text: &str| choose(&monitors(), &MonitorChoice::parse(text));
        assert_eq!(chosen("hdmi-1").unwrap(), 1);
        assert_eq!(chosen("0").unwrap(), 0);
        for unknown in ["DP-3", "2"] {
            let error = chosen(unknown).unwrap_err().to_string();
            for part in [unknown, "0: eDP-1 1920×1080 at 0,0", "1: HDMI-1 1920×1080 at 1920,0"] {
                assert!(error.contains(part), "{error}");
            }
        }
        assert!(choose(&[], &MonitorChoice::Index(0)).unwrap_err().to_string().contains("none is connected"));
    }

    #[test]
    fn a_clean_feed_never_takes_the_main_monitor() {
        assert_eq!(choose_other(&monitors(), 0).unwrap(), 1);
        assert_eq!(choose_other(&monitors(), 1).unwrap(), 0);
        assert!(choose_other(&monitors()[..1], 0).unwrap_err().to_string().contains("clean feed"));
    }
}
