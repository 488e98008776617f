//! ONNX Runtime's shared library: found and opened at run time, once a process. It is never linked, so that a machine
//! without it still shows clean video and says what is missing.

use super::error::InferError;
use ort::environment::Environment;
use ort::logging::LogLevel;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

/// The pinned library of the set-up; a newer one is taken under its plain name.
const LIBRARY_NAMES: [&str; 2] = ["libonnxruntime.so.1.31.1", "libonnxruntime.so"];

/// The process's one environment; once made it stays, for ONNX Runtime allows no second one.
static ENVIRONMENT: Mutex<Option<Environment>> = Mutex::new(None);

/// ONNX Runtime's library, the one that is opened.
pub fn library() -> Result<PathBuf, InferError> {
    Places::of_this_process().find()
}

/// ONNX Runtime, opened on the first call.
pub fn environment() -> Result<Environment, InferError> {
    let mut made = ENVIRONMENT.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    if let Some(environment) = made.as_ref() {
        return Ok(environment.clone());
    }
    let environment = open(&library()?)?;
    Ok(made.insert(environment).clone())
}

fn open(library: &Path) -> Result<Environment, InferError> {
    let bad = |reason: String| InferError::BadRuntime { reason };
    let builder = ort::init_from(library).map_err(|e| bad(e.to_string()))?;
    let environment = builder.with_name("keyhole").with_telemetry(false).build().map_err(|e| bad(e.to_string()))?;
    // What matters comes back as an error; the library's own warnings would only disturb the terminal.
    environment.set_log_level(LogLevel::Fatal);
    Ok(environment)
}

/// Where the library may lie.
#[derive(Debug, Default)]
struct Places {
    /// `$ORT_DYLIB_PATH`: if given, nothing else is looked at.
    given: Option<PathBuf>,
    home: Option<PathBuf>,
    executable: Option<PathBuf>,
}

impl Places {
    fn of_this_process() -> Self {
        let path = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        Places { given: path("ORT_DYLIB_PATH"), home: path("KEYHOLE_HOME"), executable: std::env::current_exe().ok() }
    }

    /// The library's file, or an error that says where it was looked for.
    fn find(&self) -> Result<PathBuf, InferError> {
        if let Some(given) = &self.given {
            let inside = LIBRARY_NAMES.iter().map(|name| given.join(name));
            return match std::iter::once(given.clone()).chain(inside).find(|path| path.is_file()) {
                Some(path) => Ok(path),
                None => Err(InferError::NoRuntime { library: LIBRARY_NAMES[0], searched: vec![given.clone()] }),
            };
        }
        let searched = self.folders();
        let files = searched.iter().flat_map(|dir| LIBRARY_NAMES.map(|name| dir.join(name)));
        let mut files = files.filter(|path| path.is_file());
        files.next().ok_or(InferError::NoRuntime { library: LIBRARY_NAMES[0], searched: searched.clone() })
    }

    fn folders(&self) -> Vec<PathBuf> {
        let set_up = Path::new(".setup").join("onnxruntime");
        // Beside the executable's tree: target/release/keyhole finds the repository's .setup. Where none exists, the place
        // that `make setup` would fill is named.
        let above = || self.executable.iter().flat_map(|exe| exe.ancestors().skip(1)).map(|dir| dir.join(&set_up));
        let beside = above().find(|dir| dir.is_dir()).or_else(|| above().nth(2));
        let installed = ["/usr/lib/keyhole", "/usr/share/keyhole/lib"].map(PathBuf::from);
        self.home.iter().map(|home| home.join("lib")).chain(beside).chain(installed).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_the_library_every_place_and_the_remedy_are_named() {
        let tree = tempfile::tempdir().unwrap();
        let exe = tree.path().join("target/release/keyhole");
        let places = Places { given: None, home: Some(tree.path().join("home")), executable: Some(exe) };
        if Path::new("/usr/lib/keyhole").exists() || Path::new("/usr/share/keyhole/lib").exists() {
            println!("SKIPPED without_the_library_every_place_and_the_remedy_are_named: keyhole is installed on this machine");
            return;
        }
        let text = places.find().unwrap_err().to_string();
        for part in ["home/lib", ".setup/onnxruntime", "/usr/lib/keyhole", "/usr/share/keyhole/lib", "make setup", "ORT_DYLIB_PATH"] {
            assert!(text.contains(part), "{part} is not in: {text}");
        }
    }

    #[test]
    fn a_given_path_is_the_only_one_looked_at() {
        let tree = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(tree.path().join("home/lib")).unwrap();
        let library = tree.path().join("home/lib/libonnxruntime.so");
        std::fs::write(&library, b"").unwrap();
        let home = Some(tree.path().join("home"));
        assert_eq!(Places { home: home.clone(), ..Default::default() }.find().unwrap(), library);
        let given = Some(tree.path().join("elsewhere.so"));
        let text = Places { given, home, executable: None }.find().unwrap_err().to_string();
        assert!(text.contains("elsewhere.so") && !text.contains("home/lib"), "{text}");
        let folder = Places { given: Some(tree.path().join("home/lib")), ..Default::default() };
        assert_eq!(folder.find().unwrap(), library);
    }

    /// Run by the test below in a process of its own: what is open in one process cannot be opened again.
    #[test]
    #[ignore = "the other half of a_file_that_is_no_library_is_an_error"]
    fn open_in_this_process() {
        println!("{}", environment().map_or_else(|e| e.to_string(), |_| "opened".to_owned()));
    }

    #[test]
    fn a_file_that_is_no_library_is_an_error() {
        let tree = tempfile::tempdir().unwrap();
        let path = tree.path().join("libonnxruntime.so");
        std::fs::write(&path, b"not a library").unwrap();
        let mut child = std::process::Command::new(std::env::current_exe().unwrap());
        child.args(["--exact", "infer::runtime::tests::open_in_this_process", "--ignored", "--nocapture"]).env("ORT_DYLIB_PATH", &path);
        let output = child.output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{text}");
        assert!(
            text.contains("ONNX Runtime cannot be used") && text.contains("libonnxruntime.so") && text.contains("make setup"),
            "{text}"
        );
    }

    #[test]
    fn set_up_beside_the_tree_is_found() {
        let tree = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(tree.path().join(".setup/onnxruntime")).unwrap();
        let library = tree.path().join(".setup/onnxruntime/libonnxruntime.so.1.31.1");
        std::fs::write(&library, b"").unwrap();
        let executable = Some(tree.path().join("target/release/deps/keyhole-0123"));
        assert_eq!(Places { executable, ..Default::default() }.find().unwrap(), library);
    }
}
