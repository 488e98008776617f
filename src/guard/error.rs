use crate::base::error::ErrorKind;
use crate::store::StoreError;
use std::path::PathBuf;

/// Why limits are not those that a self-test may judge by.
#[derive(Debug, thiserror::Error)]
pub enum LimitsError {
    #[error("limits '{}' cannot be read: {source}; make the file readable or take it away (the compiled limits hold then)", .path.display())]
    Read { path: PathBuf, source: std::io::Error },
    #[error("limits refused: '{file}': {reason}; correct the file")]
    Syntax { file: String, reason: String },
    #[error(
        "limits refused: '{}' says of '{id}': {found}; this binary has: {compiled}. Restore the file of this version; a site's own limits go into a file of their own",
        .path.display()
    )]
    Differs { path: PathBuf, id: String, compiled: String, found: String },
    #[error("limits refused: '{by}' sets '{id}' to {asked}; allowed is {allowed}, or narrower")]
    Loosened { by: String, id: String, asked: String, allowed: String },
    #[error("the site's limits are refused: '{}': {source}; look at what has changed, then sign them again", .path.display())]
    Seal { path: PathBuf, source: StoreError },
    #[error("the site's limits '{}' are not used in clinical mode, because they are {seal}; have them signed with a key that this site trusts", .path.display())]
    Untrusted { path: PathBuf, seal: String },
}

impl LimitsError {
    pub fn kind(&self) -> ErrorKind {
        ErrorKind::Stop
    }

    /// They are there and were found bad, as opposed to: could not be looked at.
    pub fn is_finding(&self) -> bool {
        match self {
            LimitsError::Read { .. } => false,
            LimitsError::Seal { source, .. } => source.is_finding(),
            _ => true,
        }
    }
}

/// What is wrong with a report or with the folder that keeps them.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    #[error("self-test report '{}' cannot be written: {source}; give a path in a folder that exists, may be written to and has space", .path.display())]
    Write { path: PathBuf, source: std::io::Error },
    #[error("self-test report '{}' cannot be read: {source}; give a report that `keyhole selftest --report` wrote", .path.display())]
    Read { path: PathBuf, source: std::io::Error },
    #[error("self-test report '{}' is damaged: {reason}; it counts for nothing: run `keyhole selftest` again", .path.display())]
    Damaged { path: PathBuf, reason: String },
}

impl ReportError {
    pub fn kind(&self) -> ErrorKind {
        match self {
            // The self-test's verdict holds without its file.
            ReportError::Write { .. } => ErrorKind::Degrade,
            _ => ErrorKind::Stop,
        }
    }
}
