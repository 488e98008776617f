//! The loop `external`: a board that tells of light and glass, played by the test at a pseudo terminal.

use crate::support::keyhole;
use crate::theatre::pty;
use serde_json::Value;
use std::io::Write;
use std::path::Path;

fn line(said: &str) -> String {
    format!("{said}*{:02X}\r\n", said.bytes().fold(0, |sum, byte| sum ^ byte))
}

/// Exit code, report, and what was said.
fn measured(folder: &Path, said: &[u8], arguments: &[&str]) -> (i32, Value, String) {
    let (port, config, report) = (folder.join("ttyBOARD"), folder.join("c.toml"), folder.join("r.json"));
    let _ = std::fs::remove_file(&port);
    let (mut board, _keeps_it_open) = pty(&port);
    board.write_all(said).unwrap();
    std::fs::write(&config, format!("[guard]\nreports = '{}'\n", folder.join("kept").display())).unwrap();
    let mut command = keyhole();
    command.args(["selftest", "--loop", "external", "--photodiode"]).arg(&port).arg("--config").arg(&config).arg("--report").arg(&report);
    let output = command.arg("--html").arg(folder.join("r.html")).args(arguments).output().unwrap();
    let words = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    let report = std::fs::read(&report).map(|bytes| serde_json::from_slice(&bytes).unwrap()).unwrap_or_default();
    (output.status.code().unwrap(), report, words)
}

#[test]
fn a_tower_is_measured_by_light_and_glass_alone() {
    let folder = tempfile::tempdir().unwrap();
    // 60 flashes fit into a terminal's buffer: 50 to 79 ms, one that nobody saw, one line damaged on its way.
    let flash = |n: u32| line(&if n == 7 { format!("F,{n},-") } else { format!("F,{n},{}", 50_000 + 1_000 * (n % 30)) });
    let mut said = line("K,1,8000");
    said.extend((0..62).map(|n| if n == 9 { "F,9,5*00\r\n".to_owned() } else { flash(n) }));
    let (code, report, words) = measured(folder.path(), said.as_bytes(), &["--quick", "--frames", "60", "--label", "OR 3, before"]);
    assert_eq!(code, 1, "60 flashes are too few for any verdict: {words}");
    assert_eq!(report["loop"], "external");
    assert_eq!((&report["counts"]["seen"], &report["counts"]["missing"]), (&60.into(), &1.into()), "{report}");
    let delay = &report["delays_ms"]["cable_to_cable"];
    assert!((delay["min"].as_f64().unwrap() - 50.0).abs() < 0.1 && (delay["max"].as_f64().unwrap() - 79.0).abs() < 0.1, "{delay}");
    assert_eq!((&report["device"]["measured"], &report["resolution_ms"]), (&"OR 3, before".into(), &0.125.into()));
    assert!(report["checks"].to_string().contains("1 lines were lost"), "{}", report["checks"]);
    assert!(std::fs::read_to_string(folder.path().join("r.html")).unwrap().contains("OR 3, before"));
}

#[test]
fn a_board_that_is_none_is_named_with_the_remedy() {
    let folder = tempfile::tempdir().unwrap();
    let (code, _, words) = measured(folder.path(), line("K,9,8000").as_bytes(), &[]);
    assert!(code == 2 && words.contains("protocol 9") && words.contains("photodiode.ino"), "{code}: {words}");
    let (code, _, words) = measured(folder.path(), b"hello\r\n", &[]);
    assert!(code == 2 && words.contains("ttyBOARD") && words.contains("photodiode.ino"), "{code}: {words}");
    let output = keyhole().args(["selftest", "--loop", "external", "--photodiode", "/dev/no-such-port"]).output().unwrap();
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(2) && words.contains("/dev/no-such-port") && words.contains("--photodiode"), "{words}");
    let output = keyhole().args(["selftest", "--loop", "external"]).output().unwrap();
    assert!(output.status.code() == Some(2) && String::from_utf8_lossy(&output.stderr).contains("--photodiode"));
}
