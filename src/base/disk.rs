//! The one place that every write of a run passes on its way to a disk, so that a disk can be made full or slow on purpose
//! (`--inject`) without filling or slowing the user's own. Without a fault this is one atomic read. Never on the threads that
//! capture or show pictures.
//!
//! What is written by GStreamer itself (a lossless recording) and by the AI process does not pass here.

use std::io;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// What befalls the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DiskFault {
    /// Whatever is written finds no space.
    Full,
    /// Each write takes so much longer, ms.
    Slow { ms: u32 },
}

/// The disk of one process.
#[derive(Debug)]
struct Gate(AtomicU32);

/// All is well; any other number but `FULL` is a slow disk's ms.
const WELL: u32 = 0;
const FULL: u32 = u32::MAX;

static GATE: Gate = Gate(AtomicU32::new(WELL));

impl Gate {
    fn set(&self, fault: Option<DiskFault>) {
        let state = match fault {
            None => WELL,
            Some(DiskFault::Full) => FULL,
            Some(DiskFault::Slow { ms }) => ms.min(FULL - 1),
        };
        self.0.store(state, Ordering::Relaxed);
    }

    fn pass(&self) -> io::Result<()> {
        match self.0.load(Ordering::Relaxed) {
            WELL => Ok(()),
            FULL => Err(io::Error::new(io::ErrorKind::StorageFull, "no space left on device, put in on purpose")),
            ms => {
                std::thread::sleep(Duration::from_millis(ms.into()));
                Ok(())
            }
        }
    }
}

/// From now on; None: all is well again.
pub fn set_fault(fault: Option<DiskFault>) {
    GATE.set(fault);
}

/// Called before bytes are written to a file: the error that the write would have, or later than without a fault.
pub fn pass() -> io::Result<()> {
    GATE.pass()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    /// Of its own: the process's is everybody's.
    #[test]
    fn a_full_disk_refuses_a_slow_one_takes_its_time_and_both_pass() {
        let gate = Gate(AtomicU32::new(WELL));
        assert!(gate.pass().is_ok());
        gate.set(Some(DiskFault::Full));
        assert_eq!(gate.pass().unwrap_err().kind(), io::ErrorKind::StorageFull);
        gate.set(Some(DiskFault::Slow { ms: 20 }));
        let begun = Instant::now();
        gate.pass().unwrap();
        assert!(begun.elapsed() >= Duration::from_millis(20));
        gate.set(None);
        assert!(gate.pass().is_ok());
    }
}
