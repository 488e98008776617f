//! Where files go that nobody named.

use std::path::PathBuf;

/// `$STATE_DIRECTORY` (as systemd sets it), else `$XDG_STATE_HOME/keyhole`, else `$HOME/.local/state/keyhole`, else a folder for
/// temporary files.
pub fn state_folder() -> PathBuf {
    let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let base = || absolute("XDG_STATE_HOME").or_else(|| absolute("HOME").map(|home| home.join(".local/state")));
    absolute("STATE_DIRECTORY").unwrap_or_else(|| base().unwrap_or_else(std::env::temp_dir).join("keyhole"))
}

/// `$XDG_CACHE_HOME/keyhole`, else `$HOME/.cache/keyhole`, else a folder for temporary files.
pub fn cache_folder() -> PathBuf {
    let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let base = absolute("XDG_CACHE_HOME").or_else(|| absolute("HOME").map(|home| home.join(".cache")));
    base.unwrap_or_else(std::env::temp_dir).join("keyhole")
}
