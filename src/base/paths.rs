//! Where files go that nobody named.

use std::path::PathBuf;

/// `$STATE_DIRECTORY` (as systemd sets it), else `$XDG_STATE_HOME/keyhole`, else `$HOME/.local/state/keyhole`. None: there is no home.
pub fn state_folder() -> Option<PathBuf> {
    let base = || absolute("XDG_STATE_HOME").or_else(|| absolute("HOME").map(|home| home.join(".local/state")));
    absolute("STATE_DIRECTORY").or_else(|| Some(base()?.join("keyhole")))
}

/// `$XDG_CACHE_HOME/keyhole`, else `$HOME/.cache/keyhole`, else a folder for temporary files.
pub fn cache_folder() -> PathBuf {
    let base = absolute("XDG_CACHE_HOME").or_else(|| absolute("HOME").map(|home| home.join(".cache")));
    base.unwrap_or_else(std::env::temp_dir).join("keyhole")
}

fn absolute(name: &str) -> Option<PathBuf> {
    std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute())
}
