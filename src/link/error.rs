use crate::base::error::ErrorKind;
use std::path::PathBuf;

#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    #[error("the AI process {program} cannot be started ({source}): check that the file exists and may be executed")]
    Spawn { program: PathBuf, source: std::io::Error },
    #[error("{what} for the AI process could not be had ({source}): the system lacks memory, descriptors or threads; free some")]
    System { what: &'static str, source: std::io::Error },
    #[error("link.{key} = {value} lies outside its range: give {range}")]
    Setting { key: &'static str, value: i64, range: &'static str },
    #[error("the AI process cannot be confined: {0}; it does not run unconfined")]
    Sandbox(String),
}

impl LinkError {
    pub fn kind(&self) -> ErrorKind {
        match self {
            LinkError::Spawn { .. } | LinkError::Setting { .. } => ErrorKind::Stop,
            LinkError::System { .. } => ErrorKind::Retry,
            LinkError::Sandbox(_) => ErrorKind::Degrade,
        }
    }

    pub(super) fn system<E: Into<std::io::Error>>(what: &'static str) -> impl FnOnce(E) -> LinkError {
        move |source| LinkError::System { what, source: source.into() }
    }
}
