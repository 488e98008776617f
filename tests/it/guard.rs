//! What is watched during a run, on the program as it is shipped.

use crate::support::Run;
use std::path::Path;

fn write(folder: &Path, name: &str, text: &str) -> String {
    let path = folder.join(name);
    std::fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn a_bit_that_turns_over_in_the_network_s_memory_blocks_ai_and_not_the_picture() {
    if !rustix::process::geteuid().is_root() {
        return println!(
            "SKIPPED a_bit_that_turns_over_in_the_network_s_memory_blocks_ai_and_not_the_picture: only root writes to another process's memory"
        );
    }
    let folder = tempfile::tempdir().unwrap();
    let config = write(folder.path(), "c.toml", "[link]\nproof_every_ms = 500\n");
    let faults = write(folder.path(), "f.toml", "[[fault]]\nkind = 'weight-flip'\nat_s = 2\n");
    let run = |faults: &[&str]| {
        let source = "sim:?width=640&height=360&fps=30";
        Run::new(&[&["--source", source, "--seconds", "5", "--config", &config], faults].concat()).report()
    };
    let sound = run(&[]);
    assert!(sound["live_proofs"].as_u64().unwrap() >= 4, "{}", sound["live_proofs"]);
    assert!(sound["states"].as_array().unwrap().iter().all(|line| line["ai"] != "blocked"), "{}", sound["states"]);
    let broken = run(&["--inject", &faults]);
    let last = broken["states"].as_array().unwrap().last().unwrap();
    assert!(last["ai"] == "blocked" && last["reason"].as_str().unwrap().contains("reference picture"), "{}", broken["states"]);
    assert!(last["at_ms"].as_f64().unwrap() < 4_000.0, "{last}");
    assert_eq!(broken["frames"]["captured"], broken["frames"]["displayed"], "the video took no notice");
    assert_eq!(broken["worker_restarts"], 0, "and nobody starts it again");
}
