//! What the end-to-end tests share: the built program, runs in a folder of their own, reports read back.

use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// The program as it is shipped.
pub fn keyhole() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_keyhole"));
    command.env_remove("DISPLAY").env_remove("WAYLAND_DISPLAY").stdin(Stdio::null());
    // What somebody chose on this machine is not the tests'.
    command.env_remove("STATE_DIRECTORY").env("XDG_STATE_HOME", concat!(env!("CARGO_TARGET_TMPDIR"), "/state"));
    command
}

pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A file or folder of the shared recordings; None (and a line that says so) where they are not there.
pub fn shared(test: &str, path: &str) -> Option<PathBuf> {
    let found = root().join("../shared/data").join(path);
    if found.exists() {
        return Some(found);
    }
    println!("SKIPPED {test}: ../shared/data/{path} is not there");
    None
}

/// A small, quick simulated source.
pub const SMALL_SIM: &str = "sim:?width=640&height=360&fps=30&seconds=2";

/// A finished run and the folder that it wrote to.
pub struct Run {
    pub folder: tempfile::TempDir,
    pub output: Output,
}

impl Run {
    /// `keyhole run` headless with a report; `{}` in an argument stands for the run's folder.
    pub fn new(arguments: &[&str]) -> Run {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().to_str().unwrap();
        let mut command = keyhole();
        command.args(["run", "--report", &format!("{place}/report.json")]);
        if !arguments.contains(&"--display") {
            command.args(["--display", "headless"]);
        }
        command.args(arguments.iter().map(|a| a.replace("{}", place)));
        let output = command.output().unwrap();
        Run { folder, output }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn stderr(&self) -> String {
        String::from_utf8_lossy(&self.output.stderr).into_owned()
    }

    #[track_caller]
    pub fn report(&self) -> Value {
        assert_eq!(self.output.status.code(), Some(0), "{}", self.stderr());
        let report: Value = serde_json::from_slice(&std::fs::read(self.path("report.json")).unwrap()).unwrap();
        assert_balanced(&report);
        report
    }

    pub fn lines(&self, name: &str) -> Vec<Value> {
        let text = std::fs::read_to_string(self.path(name)).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// Names of what the run left behind.
    pub fn left(&self) -> Vec<String> {
        let mut names: Vec<String> =
            std::fs::read_dir(self.folder.path()).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

#[track_caller]
pub fn assert_balanced(report: &Value) {
    let f = |name: &str| report["frames"][name].as_u64().unwrap();
    assert_eq!(f("captured"), f("displayed") + f("rate_slip") + f("dropped_capture") + f("dropped_display"), "{}", report["frames"]);
}
