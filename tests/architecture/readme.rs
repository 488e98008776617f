//! The README's shell blocks: `sh quick` ones are run (60 s in all), the others are parsed.

use crate::root;
use std::process::Command;
use std::time::{Duration, Instant};

/// (info string, text) of each fenced block.
fn blocks(markdown: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut open: Option<(String, String)> = None;
    for line in markdown.lines() {
        match (line.strip_prefix("```"), open.take()) {
            (Some(info), None) => open = Some((info.trim().to_owned(), String::new())),
            (Some(_), Some(block)) => found.push(block),
            (None, Some((info, mut text))) => {
                text.push_str(line);
                text.push('\n');
                open = Some((info, text));
            }
            (None, None) => {}
        }
    }
    assert!(open.is_none(), "a block of the README is not closed");
    found
}

#[test]
fn the_readmes_commands_work() {
    let readme = std::fs::read_to_string(root().join("README.md")).unwrap();
    let started = Instant::now();
    let (mut ran, mut parsed) = (0, 0);
    let folder = tempfile::tempdir().unwrap();
    for (info, text) in blocks(&readme) {
        let words: Vec<&str> = info.split_whitespace().collect();
        if words.first() != Some(&"sh") {
            continue;
        }
        let quick = words.contains(&"quick");
        let mut command = Command::new("bash");
        command.current_dir(root()).env("OUT", folder.path());
        if quick {
            command.args(["-euo", "pipefail", "-c", &text]);
            ran += 1;
        } else {
            command.args(["-n", "-c", &text]);
            parsed += 1;
        }
        let output = command.output().unwrap();
        assert!(output.status.success(), "this block of the README failed:\n{text}\n{}", String::from_utf8_lossy(&output.stderr));
    }
    assert!(ran > 0 && parsed > 0, "the README has {ran} quick and {parsed} other shell blocks");
    assert!(started.elapsed() < Duration::from_secs(60), "the quick blocks took {:?}", started.elapsed());
}
