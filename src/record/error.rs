use crate::base::error::ErrorKind;
use std::path::{Path, PathBuf};

#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    #[error("cannot write {path}: {source}; give a path in a folder that exists, is writable and has space", path = path.display())]
    Write { path: PathBuf, source: std::io::Error },
}

impl RecordError {
    pub fn write(path: &Path, source: impl Into<std::io::Error>) -> Self {
        RecordError::Write { path: path.to_owned(), source: source.into() }
    }

    pub fn kind(&self) -> ErrorKind {
        ErrorKind::Stop
    }
}
