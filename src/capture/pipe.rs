//! A named pipe (FIFO) as a live input: whoever writes a stream into it (MPEG-TS, Matroska) may die and come back. What is
//! read is decoded and supervised like what comes over a network.

use super::error::CaptureError;
use super::input::{Input, Kind, Stage};
use rustix::fs::{Mode, OFlags};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::FileTypeExt;
use std::path::Path;

pub(super) fn is_one(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|metadata| metadata.file_type().is_fifo())
}

/// Opens the reading end without waiting for a writer. One stays open as long as the source lives: a writer that comes back
/// while a pipeline is being built never finds a pipe that nobody reads.
pub(super) fn open(path: &Path) -> Result<OwnedFd, CaptureError> {
    rustix::fs::open(path, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC, Mode::empty())
        .map_err(|error| CaptureError::Unreadable { path: path.display().to_string(), source: error.into() })
}

/// What reads from `end`, which is kept open beside it.
pub(super) fn input(path: &Path, end: &OwnedFd) -> Input {
    let stage = Stage { element: "fdsrc", properties: vec![("fd", end.as_raw_fd().to_string())] };
    Input { uri: path.display().to_string(), stages: vec![stage], kind: Kind::Network, node: None, deinterlace: true }
}
