//! Where files go that nobody named.

use std::path::PathBuf;

/// `$XDG_CACHE_HOME/keyhole`, else `$HOME/.cache/keyhole`, else a folder for temporary files.
pub fn cache_folder() -> PathBuf {
    let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let base = absolute("XDG_CACHE_HOME").or_else(|| absolute("HOME").map(|home| home.join(".cache")));
    base.unwrap_or_else(std::env::temp_dir).join("keyhole")
}
