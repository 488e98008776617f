//! ONNX Runtime's shared library: found and opened at run time, once a process. It is never linked, so that a machine
//! without it still shows clean video and says what is missing.

use super::error::InferError;
use crate::base::library::Sought;
use ort::environment::Environment;
use ort::logging::LogLevel;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

/// The pinned library of the set-up; a newer one is taken under its plain name.
const LIBRARY: Sought =
    Sought { names: &["libonnxruntime.so.1.31.1", "libonnxruntime.so"], set_up: "onnxruntime", variable: "ORT_DYLIB_PATH", system: &[] };

/// The process's one environment; once made it stays, for ONNX Runtime allows no second one.
static ENVIRONMENT: Mutex<Option<Environment>> = Mutex::new(None);

/// ONNX Runtime's library, the one that is opened.
pub fn library() -> Result<PathBuf, InferError> {
    LIBRARY.find().map_err(missing)
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

fn missing(searched: Vec<PathBuf>) -> InferError {
    InferError::NoRuntime { library: LIBRARY.names[0], searched }
}

fn open(library: &Path) -> Result<Environment, InferError> {
    let bad = |reason: String| InferError::BadRuntime { reason };
    let builder = ort::init_from(library).map_err(|e| bad(e.to_string()))?;
    let environment = builder.with_name("keyhole").with_telemetry(false).build().map_err(|e| bad(e.to_string()))?;
    // What matters comes back as an error; the library's own warnings would only disturb the terminal.
    environment.set_log_level(LogLevel::Fatal);
    Ok(environment)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::library::Places;

    #[test]
    fn without_the_library_every_place_and_the_remedy_are_named() {
        let tree = tempfile::tempdir().unwrap();
        let exe = tree.path().join("target/release/keyhole");
        let places = Places { given: None, home: Some(tree.path().join("home")), executable: Some(exe) };
        if Path::new("/usr/lib/keyhole").exists() || Path::new("/usr/share/keyhole/lib").exists() {
            println!("SKIPPED without_the_library_every_place_and_the_remedy_are_named: keyhole is installed on this machine");
            return;
        }
        let text = missing(LIBRARY.find_in(&places).unwrap_err()).to_string();
        for part in ["home/lib", ".setup/onnxruntime", "/usr/lib/keyhole", "/usr/share/keyhole/lib", "make setup", "ORT_DYLIB_PATH"] {
            assert!(text.contains(part), "{part} is not in: {text}");
        }
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
}
