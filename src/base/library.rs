//! Other makers' shared libraries that are opened at run time: where each may lie. None is linked, so that a machine without one
//! still shows video and says what is missing.

use std::error::Error;
use std::path::{Path, PathBuf};

/// A library's names and places; one constant for each.
#[derive(Debug, Clone, Copy)]
pub struct Sought {
    /// Of its file, the first one tried first; that one is said to be missing.
    pub names: &'static [&'static str],
    /// Where the set-up puts it: a folder in `.setup`.
    pub set_up: &'static str,
    /// Environment variable with the library or its folder: if given, nothing else is looked at.
    pub variable: &'static str,
    /// Where other packages put it.
    pub system: &'static [&'static str],
}

impl Sought {
    /// Its file; Err: where it was looked for.
    pub fn find(&self) -> Result<PathBuf, Vec<PathBuf>> {
        self.find_in(&Places::of_this_process(self.variable))
    }

    pub fn find_in(&self, places: &Places) -> Result<PathBuf, Vec<PathBuf>> {
        let searched = match &places.given {
            Some(given) if given.is_file() => return Ok(given.clone()),
            Some(given) => vec![given.clone()],
            None => places.folders(self),
        };
        let mut files = searched.iter().flat_map(|folder| self.names.iter().map(|name| folder.join(name)));
        files.find(|path| path.is_file()).ok_or(searched)
    }
}

/// Where a process may have its libraries.
#[derive(Debug, Clone, Default)]
pub struct Places {
    /// What the library's variable says.
    pub given: Option<PathBuf>,
    /// `$KEYHOLE_HOME`.
    pub home: Option<PathBuf>,
    pub executable: Option<PathBuf>,
}

impl Places {
    fn of_this_process(variable: &str) -> Self {
        let path = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        Places { given: path(variable), home: path("KEYHOLE_HOME"), executable: std::env::current_exe().ok() }
    }

    fn folders(&self, library: &Sought) -> Vec<PathBuf> {
        let set_up = Path::new(".setup").join(library.set_up);
        // Beside the executable's tree: target/release/keyhole finds the repository's .setup. Where none exists, the place
        // that the set-up would fill is named.
        let above = || self.executable.iter().flat_map(|exe| exe.ancestors().skip(1)).map(|folder| folder.join(&set_up));
        let beside = above().find(|folder| folder.is_dir()).or_else(|| above().nth(2));
        let installed = ["/usr/lib/keyhole", "/usr/share/keyhole/lib"].iter().chain(library.system).map(PathBuf::from);
        self.home.iter().map(|home| home.join("lib")).chain(beside).chain(installed).collect()
    }
}

/// `'a', 'b'`, for an error.
pub fn listed(searched: &[PathBuf]) -> String {
    searched.iter().map(|path| format!("'{}'", path.display())).collect::<Vec<_>>().join(", ")
}

/// What the loader itself says.
pub fn words(error: &libloading::Error) -> String {
    error.source().map_or_else(|| error.to_string(), ToString::to_string)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIBRARY: Sought =
        Sought { names: &["libpinned.so.1.2", "libpinned.so"], set_up: "pinned", variable: "", system: &["/opt/nowhere/pinned"] };

    #[test]
    fn every_place_is_named_where_there_is_no_library() {
        let tree = tempfile::tempdir().unwrap();
        let executable = Some(tree.path().join("target/release/keyhole"));
        let places = Places { given: None, home: Some(tree.path().join("home")), executable };
        let searched = listed(&LIBRARY.find_in(&places).unwrap_err());
        for part in ["home/lib", ".setup/pinned", "/usr/lib/keyhole", "/usr/share/keyhole/lib", "/opt/nowhere/pinned"] {
            assert!(searched.contains(part), "{part} is not in: {searched}");
        }
        assert!(searched.contains(&format!("'{}'", tree.path().join(".setup/pinned").display())), "{searched}");
    }

    #[test]
    fn a_given_path_is_the_only_one_looked_at() {
        let tree = tempfile::tempdir().unwrap();
        let folder = tree.path().join("home/lib");
        std::fs::create_dir_all(&folder).unwrap();
        let library = folder.join("libpinned.so");
        std::fs::write(&library, b"").unwrap();
        let home = Some(tree.path().join("home"));
        assert_eq!(LIBRARY.find_in(&Places { home: home.clone(), ..Default::default() }), Ok(library.clone()));
        for given in [folder, library.clone()] {
            assert_eq!(LIBRARY.find_in(&Places { given: Some(given), ..Default::default() }), Ok(library.clone()));
        }
        let elsewhere = tree.path().join("elsewhere.so");
        let places = Places { given: Some(elsewhere.clone()), home, executable: None };
        assert_eq!(LIBRARY.find_in(&places), Err(vec![elsewhere]));
    }

    #[test]
    fn set_up_beside_the_tree_is_found_and_the_pinned_name_comes_first() {
        let tree = tempfile::tempdir().unwrap();
        let folder = tree.path().join(".setup/pinned");
        std::fs::create_dir_all(&folder).unwrap();
        let places = Places { executable: Some(tree.path().join("target/release/deps/keyhole-0123")), ..Default::default() };
        for name in ["libpinned.so", "libpinned.so.1.2"] {
            std::fs::write(folder.join(name), b"").unwrap();
            assert_eq!(LIBRARY.find_in(&places), Ok(folder.join(name)));
        }
    }
}
