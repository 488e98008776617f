use crate::base::rate::Rate;
use crate::base::texts::Language;
use crate::display::monitors::MonitorChoice;
use serde::Deserialize;

/// What puts pictures into a window, or with `--display drm` onto a monitor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Presenter {
    /// A real GPU if there is one, else MIT-SHM on X11, else a software Vulkan device. drm: the GPU that drives the card, else dumb buffers.
    #[default]
    Auto,
    /// The host compositor: MIT-SHM on X11. drm: dumb buffers.
    X11,
    /// wgpu, whatever the device. drm: as auto.
    Wgpu,
}

/// A second window with the live picture alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CleanFeed {
    #[default]
    Off,
    /// An ordinary window.
    Window,
    /// Full screen on another monitor than the main window's.
    Monitor,
}

/// Whether something is to be done that cannot be done everywhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Wish {
    /// Where it can be.
    #[default]
    Auto,
    /// Or not at all.
    On,
    Off,
}

/// `[display]`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Default: auto.
    pub presenter: Presenter,
    /// Default: false. F toggles it in the window.
    pub fullscreen: bool,
    /// The monitor that the window goes to: a connector's name ("HDMI-1") or a place in the list. Default: the system's choice.
    pub monitor: Option<MonitorChoice>,
    /// A second window, without overlay and HUD: off, window or monitor. Default: off.
    pub clean_feed: CleanFeed,
    /// The clean feed's monitor. Default: the first other one.
    pub clean_feed_monitor: Option<MonitorChoice>,
    /// Default: "keyhole".
    pub title: String,
    /// How long a present may take before the output counts as broken. Default: 500 ms.
    pub present_timeout_ms: u32,
    /// Of the words on the screen: en or de. Default: en.
    pub language: Language,
    /// The monitor's refresh rate, where it does not say: `"60"`, `"59.94"`. Headless, pictures are then taken at this rate only,
    /// as a monitor takes them. Default: as the monitor says; headless, as they come.
    pub refresh_hz: Option<Rate>,
    /// X11, by a GPU too: pictures are taken between two refreshes of the monitor, never torn. Default: auto (where RandR says its rate).
    pub vsync: Wish,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            presenter: Presenter::Auto,
            fullscreen: false,
            monitor: None,
            clean_feed: CleanFeed::Off,
            clean_feed_monitor: None,
            title: "keyhole".into(),
            present_timeout_ms: 500,
            language: Language::En,
            refresh_hz: None,
            vsync: Wish::Auto,
        }
    }
}

impl Settings {
    /// What is wrong with these settings, as one sentence for people.
    pub fn check(&self) -> Result<(), String> {
        if !(20..=10_000).contains(&self.present_timeout_ms) {
            return Err(format!("display.present_timeout_ms is {}: it must lie between 20 and 10000", self.present_timeout_ms));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_valid_and_unknown_keys_are_refused() {
        Settings::default().check().unwrap();
        assert_eq!(toml::from_str::<Settings>("").unwrap(), Settings::default());
        assert_eq!(toml::from_str::<Settings>("presenter = 'x11'").unwrap().presenter, Presenter::X11);
        let monitor = |text: &str| toml::from_str::<Settings>(text).unwrap().monitor.unwrap();
        assert_eq!(monitor("monitor = 1"), MonitorChoice::Index(1));
        assert_eq!(monitor("monitor = 'HDMI-1'"), MonitorChoice::Name("HDMI-1".into()));
        assert_eq!(toml::from_str::<Settings>("language = 'de'").unwrap().language, Language::De);
        assert!(toml::from_str::<Settings>("presentr = 'x11'").is_err());
        assert!(Settings { present_timeout_ms: 0, ..Settings::default() }.check().is_err());
    }
}
