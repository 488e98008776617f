//! `[guard]` of the config file.

use crate::base::paths::state_folder;
use serde::Deserialize;
use std::path::PathBuf;

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// A site's own limits of the self-test, signed (`keyhole engine sign --limits`).
    pub site_limits: Option<PathBuf>,
    /// Where reports of self-tests are kept. Default: `$STATE_DIRECTORY/selftest`, else `$XDG_STATE_HOME/keyhole/selftest`, else a
    /// folder for temporary files.
    pub reports: Option<PathBuf>,
    /// Reports kept at most; failures, and those that the gate needs, go last. Default: 500.
    pub reports_kept: usize,
    /// An input that sees the monitor's loop-through (as `--source` has it): a small code beside the content area is read back there, and
    /// the delay to the monitor is measured all the time. Clinical mode takes devices and network streams alone. Default: none, and
    /// nothing is drawn.
    pub loop_through: Option<String>,
    /// A display thread that has given no sign of life for so long ends the process, ms (200 to 60,000). A graphics library
    /// waits for a screen for up to 1 s, and the process must be back within 2 s: 100 ms until it is started, 0.3 s to its first
    /// picture. Never less than `display.present_timeout_ms` and 300 ms. Default: 1200.
    pub display_stalled_ms: u64,
    /// The same of capture, which is an alarm. It looks around 20 times a second, whatever its source does. Never less than three
    /// picture periods. Default: 2000.
    pub capture_stalled_ms: u64,
    /// A recording whose one write takes so long is an alarm. Disks that flush or spin up take a second or two. Default: 5000.
    pub record_stalled_ms: u64,
}

/// What a watchdog may be set to, ms: it looks every 50 ms, and nobody waits for a minute.
const STALLED_MS: std::ops::RangeInclusive<u64> = 200..=60_000;

impl Default for Settings {
    fn default() -> Self {
        Settings {
            site_limits: None,
            reports: None,
            reports_kept: 500,
            loop_through: None,
            display_stalled_ms: 1_200,
            capture_stalled_ms: 2_000,
            record_stalled_ms: 5_000,
        }
    }
}

impl Settings {
    /// What is wrong with these settings, as one sentence for people.
    pub fn check(&self) -> Result<(), String> {
        let limits = [
            ("display_stalled_ms", self.display_stalled_ms),
            ("capture_stalled_ms", self.capture_stalled_ms),
            ("record_stalled_ms", self.record_stalled_ms),
        ];
        match limits.iter().find(|(_, ms)| !STALLED_MS.contains(ms)) {
            Some((name, ms)) => Err(format!("guard.{name} is {ms}: it must be {} to {}", STALLED_MS.start(), STALLED_MS.end())),
            None => Ok(()),
        }
    }

    /// The same for clinical mode.
    pub fn check_clinical(&self) -> Result<(), String> {
        let made_up = |uri: &&str| ["gst:", "sim:", "pattern:"].iter().any(|scheme| uri.starts_with(scheme));
        let uri = self.loop_through.as_deref().unwrap_or_default();
        match uri.strip_prefix("stereo:").unwrap_or(uri).split('|').find(made_up) {
            Some(uri) => Err(format!(
                "guard.loop_through is '{uri}', which is for demonstrations and tests: in clinical mode name the device that the monitor's loop-through is wired to, or leave it out"
            )),
            None => Ok(()),
        }
    }

    pub fn folder(&self) -> PathBuf {
        self.reports.clone().unwrap_or_else(|| state_folder().unwrap_or_else(std::env::temp_dir).join("selftest"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clinical_mode_watches_the_delay_with_a_device_alone() {
        let of = |uri: Option<&str>| Settings { loop_through: uri.map(str::to_owned), ..Settings::default() }.check_clinical();
        for uri in [None, Some("v4l2:/dev/video2"), Some("decklink:1"), Some("/srv/gst:clip.mp4")] {
            of(uri).unwrap();
        }
        for uri in ["gst:ximagesrc", "sim:", "pattern:?fps=60", "stereo:v4l2:/dev/video1|gst:videotestsrc"] {
            assert!(of(Some(uri)).unwrap_err().contains("guard.loop_through"), "{uri}");
        }
    }

    #[test]
    fn a_watchdog_that_is_set_to_what_cannot_be_is_refused_by_name() {
        Settings::default().check().unwrap();
        let parse = |text: &str| toml::from_str::<Settings>(text).unwrap();
        for (text, name) in [("display_stalled_ms = 0", "display_stalled_ms"), ("record_stalled_ms = 60001", "record_stalled_ms")] {
            assert!(parse(text).check().unwrap_err().contains(name), "{text}");
        }
    }
}
