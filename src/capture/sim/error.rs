use crate::base::error::ErrorKind;
use crate::frame::LayoutError;
use std::path::PathBuf;

#[derive(Debug, thiserror::Error)]
pub enum SimError {
    #[error("'{uri}' is not a simulator source: it begins with sim: or sim:?")]
    NotSim { uri: String },
    #[error("sim: does not know '{key}': the keys are seed, width, height, fps, seconds, script, look, still, noise")]
    UnknownKey { key: String },
    #[error("sim: {key}={value} is not possible: {allowed}")]
    Value { key: &'static str, value: String, allowed: &'static str },
    #[error("sim: key '{key}' is given twice: give it once")]
    Twice { key: &'static str },
    #[error(
        "a clip of {frames} pictures of {width}×{height} needs {megabytes} MB, more than the {limit_megabytes} MB allowed: lower seconds, fps, width or height"
    )]
    TooLarge { frames: usize, width: u32, height: u32, megabytes: u64, limit_megabytes: u64 },
    #[error("interrupted while the simulated operation was being rendered; nothing was kept")]
    Interrupted,
    #[error("script '{name}', line {line}: {reason}")]
    Script { name: String, line: usize, reason: String },
    #[error("there is no built-in script '{name}': the names are {known}")]
    NoBuiltin { name: String, known: String },
    #[error("cannot read the script {path} ({source}): give a TOML file, or builtin: and a name (keyhole sim --help)", path = path.display())]
    ReadScript { path: PathBuf, source: std::io::Error },
    #[error(transparent)]
    Layout(#[from] LayoutError),
    #[error("no memory for the simulator's pictures ({source}): free memory or lower seconds, width or height")]
    Memory { source: std::io::Error },
    #[error("{path} is not empty and was not written by keyhole sim: choose another folder or empty it", path = path.display())]
    NotOurs { path: PathBuf },
    #[error("cannot write {path} ({source}): check the folder, its rights and the free space", path = path.display())]
    Write { path: PathBuf, source: std::io::Error },
}

impl SimError {
    pub fn kind(&self) -> ErrorKind {
        ErrorKind::Stop
    }
}
