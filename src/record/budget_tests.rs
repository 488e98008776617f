//! What is removed is ours, old, and not more than needed.

use super::*;
use crate::record::mp4::Codec;
use proptest::prelude::*;

const OLD: RecordingId = RecordingId([1; 16]);
const NEW: RecordingId = RecordingId([2; 16]);

/// A file as a recording leaves it, in the ledger or not.
fn recorded(folder: &Path, name: &str, id: RecordingId, bytes: usize, is_listed: bool) -> PathBuf {
    let (mut content, _) = mp4::header(&Codec { width: 64, height: 48, avcc: vec![1] }, id);
    content.resize(bytes, 0);
    let path = folder.join(name);
    std::fs::write(&path, content).unwrap();
    if is_listed {
        let line = LedgerLine { file: name.into(), recording: id.to_string(), sidecar: "old.recording.json".into() };
        let mut ledger = File::options().create(true).append(true).open(folder.join(LEDGER)).unwrap();
        writeln!(ledger, "{}", serde_json::to_string(&line).unwrap()).unwrap();
    }
    path
}

fn keeper(folder: &Path, budget: u64) -> Keeper {
    Keeper::new(folder, Limits { budget, min_free: 0 }, true, NEW, "new.recording.json")
}

#[test]
fn the_oldest_files_of_ours_go_first_and_the_sidecar_with_the_last() {
    let folder = tempfile::tempdir().unwrap();
    let files: Vec<_> = (1..=3).map(|n| recorded(folder.path(), &format!("old-{n:04}.mp4"), OLD, 10_000, true)).collect();
    let sidecar = folder.path().join("old.recording.json");
    let mut told = crate::record::sidecar::example();
    told.recording = OLD.to_string();
    told.write(&sidecar).unwrap();
    let there = || files.iter().map(|file| file.exists()).collect::<Vec<_>>();

    let keeper = keeper(folder.path(), 30_000);
    keeper.make_room(0).unwrap();
    assert_eq!(there(), [true, true, true]);
    keeper.make_room(1).unwrap();
    assert_eq!(there(), [false, true, true]);
    let first = recorded(folder.path(), "new-0001.mp4", NEW, 9_000, false);
    keeper.named(&first, 9_000).unwrap();
    keeper.make_room(1_001).unwrap();
    assert_eq!((there(), sidecar.exists()), (vec![false, false, true], true));
    keeper.wrote(15_000);
    keeper.make_room(6_000).unwrap();
    assert_eq!((there(), sidecar.exists()), (vec![false, false, false], false));
    // The file that is being written stays, whatever it costs.
    let refused = keeper.make_room(6_001).unwrap_err();
    assert_eq!((refused.kind(), refused.to_string().contains("disk_budget_mb")), (io::ErrorKind::StorageFull, true), "{refused}");
    assert!(first.exists());
    // The next file of the same recording lets the one before it go.
    let second = recorded(folder.path(), "new-0002.mp4", NEW, 100, false);
    keeper.named(&second, 100).unwrap();
    keeper.make_room(29_000).unwrap();
    assert_eq!((first.exists(), second.exists()), (false, true));
    let ledger = std::fs::read_to_string(folder.path().join(LEDGER)).unwrap();
    assert_eq!(parse_ledger(&ledger).iter().map(|line| line.file.as_str()).collect::<Vec<_>>(), ["new-0002.mp4"]);
}

#[test]
fn what_is_not_ours_stays_whatever_the_ledger_says() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let elsewhere = tempfile::tempdir().unwrap();
    let outside = recorded(elsewhere.path(), "outside.mp4", OLD, 10_000, false);
    // Listed, but replaced by somebody's own film.
    let replaced = recorded(folder.path(), "replaced.mp4", OLD, 10_000, true);
    std::fs::write(&replaced, vec![b'x'; 10_000]).unwrap();
    // Listed, but of another recording by now.
    let other = recorded(folder.path(), "other.mp4", OLD, 10_000, true);
    recorded(folder.path(), "other.mp4", RecordingId([9; 16]), 10_000, false);
    // Listed, but a link to a file of ours.
    std::os::unix::fs::symlink(&outside, at("link.mp4")).unwrap();
    recorded(elsewhere.path(), "link.mp4", OLD, 10, false);
    // Ours, but nobody listed it.
    let unlisted = recorded(folder.path(), "unlisted.mp4", OLD, 10_000, false);
    for name in ["link.mp4", "../outside.mp4", "/etc/passwd", "", "."] {
        let line = LedgerLine { file: name.into(), recording: OLD.to_string(), sidecar: "s".into() };
        let mut ledger = File::options().append(true).open(at(LEDGER)).unwrap();
        writeln!(ledger, "{}\nnot a line at all {{", serde_json::to_string(&line).unwrap()).unwrap();
    }
    let keeper = keeper(folder.path(), 1_000);
    assert_eq!(keeper.make_room(2_000).unwrap_err().kind(), io::ErrorKind::StorageFull);
    keeper.make_room(1_000).unwrap();
    for path in [&outside, &replaced, &other, &unlisted, &at("link.mp4")] {
        assert!(path.symlink_metadata().is_ok(), "{}", path.display());
    }
}

#[test]
fn a_file_that_is_replaced_while_we_run_stays() {
    let folder = tempfile::tempdir().unwrap();
    let old = recorded(folder.path(), "old.mp4", OLD, 10_000, true);
    let keeper = keeper(folder.path(), 10_000);
    std::fs::write(&old, b"mine now").unwrap();
    keeper.make_room(5_000).unwrap();
    assert_eq!(std::fs::read(&old).unwrap(), b"mine now");
}

proptest! {
    #[test]
    fn a_plan_takes_the_oldest_no_more_than_needed_and_never_what_is_open(
        files in proptest::collection::vec((0u64..1000, any::<bool>()), 0..40),
        budget in 0u64..20_000, min_free in 0u64..5_000, free in 0u64..10_000, need in 0u64..3_000
    ) {
        let candidates: Vec<_> = files.iter().map(|&(bytes, is_open)| Candidate { bytes, is_open }).collect();
        let limits = Limits { budget, min_free };
        let plan = plan(&candidates, limits, free, need);
        prop_assert!(plan.remove.iter().all(|&i| !candidates[i].is_open));
        let closed: Vec<usize> = (0..candidates.len()).filter(|&i| !candidates[i].is_open).collect();
        prop_assert_eq!(&plan.remove[..], &closed[..plan.remove.len()], "oldest first, none left out");
        let fits = |removed: &[usize]| {
            let gone: u64 = removed.iter().map(|&i| candidates[i].bytes).sum();
            let used: u64 = candidates.iter().map(|c| c.bytes).sum::<u64>() - gone;
            (budget == 0 || used + need <= budget) && free + gone >= min_free + need
        };
        prop_assert_eq!(plan.is_enough, fits(&closed) || fits(&plan.remove));
        if plan.is_enough {
            prop_assert!(fits(&plan.remove));
            prop_assert!(plan.remove.is_empty() || !fits(&plan.remove[..plan.remove.len() - 1]), "no more than needed");
        } else {
            prop_assert!(plan.remove.is_empty(), "nothing is removed in vain");
        }
    }

    #[test]
    fn no_ledger_names_anything_outside_its_folder(text in "\\PC{0,200}", name in "\\PC{0,20}") {
        let line = LedgerLine { file: name, recording: OLD.to_string(), sidecar: "s.json".into() };
        let text = format!("{text}\n{}", serde_json::to_string(&line).unwrap());
        for line in parse_ledger(&text) {
            let path = Path::new("/folder").join(&line.file);
            prop_assert_eq!(path.parent(), Some(Path::new("/folder")));
        }
    }
}
