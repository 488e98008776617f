use crate::base::error::ErrorKind;
use std::path::{Path, PathBuf};

#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    #[error("cannot write '{path}' ({source}); give a path in a folder that exists, may be written to and has space", path = path.display())]
    Write { path: PathBuf, source: std::io::Error },
    #[error("cannot write '{path}': something that is not a file is there; give the name of a file", path = path.display())]
    NotAFile { path: PathBuf },
    #[error("{first} and {second} both name '{path}': give each a path of its own", path = path.display())]
    SamePath { first: &'static str, second: &'static str, path: PathBuf },
    #[error("--snapshot '{path}' is written as PNG: name it FILE.png", path = path.display())]
    NotPng { path: PathBuf },
    #[error("cannot record to '{path}': {reason}; name it FILE.mp4 (H.264) or FILE.mkv (lossless FFV1)")]
    Extension { path: String, reason: &'static str },
    #[error("cannot record to '{path}' ({source}); choose a folder that exists and may be written to")]
    Unwritable { path: String, source: std::io::Error },
    #[error("cannot record {width}×{height} pictures at {fps} a second: sizes lie between 16 and 8192, rates between 1 and 1000")]
    Size { width: usize, height: usize, fps: f64 },
    #[error("cannot record to '{path}': GStreamer has no element '{element}'; install it (Debian: {package})")]
    MissingElement { path: String, element: &'static str, package: &'static str },
    #[error("recording to '{path}' failed: {reason}; check the disk, then record again")]
    Failed { path: String, reason: String },
    #[error("the recording of the {what} stream stopped: {reason}; free space or choose another disk, then record again")]
    Stopped { what: &'static str, reason: String },
    #[error(
        "'{path}': {missing} {what} could not be written ({source}); free space on that disk, then run again", path = path.display()
    )]
    Incomplete { path: PathBuf, what: &'static str, missing: u64, source: std::io::Error },
    #[error(
        "the run has ended, and its report '{path}' could not be written ({source}); free space there, or give --report another path, and run again", path = path.display()
    )]
    NoReport { path: PathBuf, source: std::io::Error },
    #[error("'{path}' is no sidecar of a recording: {reason}; give the .recording.json that lies beside one", path = path.display())]
    Sidecar { path: PathBuf, reason: String },
    #[error("nothing was recorded to '{path}': no picture came; let the run show at least one")]
    NoPicture { path: String },
}

impl RecordError {
    pub fn write(path: &Path, source: impl Into<std::io::Error>) -> Self {
        RecordError::Write { path: path.to_owned(), source: source.into() }
    }

    pub fn kind(&self) -> ErrorKind {
        match self {
            // The picture goes on without its recording.
            RecordError::Failed { .. }
            | RecordError::Stopped { .. }
            | RecordError::NoPicture { .. }
            | RecordError::Incomplete { .. }
            | RecordError::NoReport { .. } => ErrorKind::Degrade,
            _ => ErrorKind::Stop,
        }
    }
}
