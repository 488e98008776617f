//! A run in a real window on a real X server (Xvfb).

use crate::support::{SMALL_SIM, assert_balanced, keyhole};
use std::io::Read;
use std::process::{Child, Command, Stdio};

struct Server {
    child: Child,
    display: String,
}

impl Server {
    /// None (and a line that says so) where there is no Xvfb.
    fn start(test: &str) -> Option<Server> {
        let spawned = Command::new("Xvfb")
            .args(["-displayfd", "1", "-screen", "0", "1280x800x24", "-nolisten", "tcp"])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn();
        let Ok(mut child) = spawned else {
            println!("SKIPPED {test}: Xvfb is not installed");
            return None;
        };
        let mut number = String::new();
        let mut byte = [0u8];
        let out = child.stdout.as_mut().unwrap();
        while out.read(&mut byte).unwrap() == 1 && byte[0] != b'\n' {
            number.push(byte[0] as char);
        }
        Some(Server { child, display: format!(":{number}") })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_run_shows_its_frames_in_a_window() {
    let Some(server) = Server::start("a_run_shows_its_frames_in_a_window") else { return };
    let folder = tempfile::tempdir().unwrap();
    let report = folder.path().join("r.json");
    let output = keyhole()
        .env("DISPLAY", &server.display)
        .args(["run", "--source", SMALL_SIM, "--frames", "45", "--report", report.to_str().unwrap()])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let report: serde_json::Value = serde_json::from_slice(&std::fs::read(report).unwrap()).unwrap();
    assert_balanced(&report);
    assert_eq!((&report["display"], &report["compositor"]), (&"window".into(), &"host".into()));
    assert!(report["frames"]["displayed"].as_u64().unwrap() > 30, "{}", report["frames"]);
}

#[test]
fn a_display_that_is_not_there_is_named() {
    let output = keyhole().env("DISPLAY", ":4711").args(["run", "--source", SMALL_SIM, "--frames", "5"]).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    assert!(stderr.contains("display") || stderr.contains("window"), "{stderr}");
}
