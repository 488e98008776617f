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
}

impl Default for Settings {
    fn default() -> Self {
        Settings { site_limits: None, reports: None, reports_kept: 500 }
    }
}

impl Settings {
    pub fn folder(&self) -> PathBuf {
        self.reports.clone().unwrap_or_else(|| state_folder().unwrap_or_else(std::env::temp_dir).join("selftest"))
    }
}
