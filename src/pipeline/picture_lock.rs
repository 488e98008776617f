//! Who has the monitor: an operation's picture, or the self-test's pattern. A pattern is never drawn where a run shows its picture.

use rustix::fs::{FlockOperation, Mode, OFlags};
use std::os::fd::OwnedFd;
use std::path::Path;

const FILE: &str = "monitor.lock";

fn lock(folder: &Path, operation: FlockOperation) -> Option<OwnedFd> {
    std::fs::create_dir_all(folder).ok()?;
    let flags = OFlags::CREATE | OFlags::RDWR | OFlags::CLOEXEC;
    let file = rustix::fs::open(folder.join(FILE), flags, Mode::from_raw_mode(0o644)).ok()?;
    rustix::fs::flock(&file, operation).ok().map(|()| file)
}

/// A run that shows its picture on a monitor: held as long as it does. The picture comes first: what fails here keeps nobody from it.
pub fn shows(folder: &Path) -> Option<OwnedFd> {
    // Waits for nobody: a pattern that is being drawn is not kept from its end.
    lock(folder, FlockOperation::NonBlockingLockShared)
}

/// A self-test that draws on a monitor; None: a run shows its picture, or another self-test draws.
pub fn draws(folder: &Path) -> Option<OwnedFd> {
    lock(folder, FlockOperation::NonBlockingLockExclusive)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_waits_for_all_pictures_to_end_and_pictures_for_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path().join("new");
        let (first, second) = (shows(&dir), shows(&dir));
        assert!(first.is_some() && second.is_some() && draws(&dir).is_none());
        drop(first);
        assert!(draws(&dir).is_none());
        drop(second);
        let pattern = draws(&dir);
        assert!(pattern.is_some() && draws(&dir).is_none());
    }
}
