use crate::base::error::ErrorKind;
use std::path::PathBuf;

/// Why an engine is not to be had. What was looked at and found bad (`is_finding`) ends with exit code 1 in verbs that
/// check engines, everything else could not be done (2).
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("no engines found (looked in {}): give --engines DIR or set KEYHOLE_HOME", list(.searched))]
    NoEngines { searched: Vec<PathBuf> },
    #[error("there is no engine in '{}': a folder with {manifest} is expected there", .dir.display(), manifest = super::MANIFEST_FILE)]
    NoEngine { dir: PathBuf },
    #[error("no engine for backend '{backend}' in '{}' (found: {}): give --engines DIR or --backend", .dir.display(), if .found.is_empty() { "none".to_owned() } else { .found.join(", ") })]
    NoBackend { dir: PathBuf, backend: String, found: Vec<String> },
    #[error("'{}' cannot be read: {source}", .path.display())]
    Read { path: PathBuf, source: std::io::Error },
    #[error("'{}' is {bytes} bytes long, more than the {limit} that an engine's file may have", .path.display())]
    TooLarge { path: PathBuf, bytes: u64, limit: u64 },
    #[error("manifest '{}': {source}", .path.display())]
    Manifest { path: PathBuf, source: ManifestError },
    #[error(
        "engine refused: '{}' is not the file that its manifest locks (sha256 expected {expected}, found {found}); restore the file, or lock the engine again",
        .path.display()
    )]
    Changed { path: PathBuf, expected: String, found: String },
    #[error("'{}' cannot be written: {source}", .path.display())]
    Write { path: PathBuf, source: std::io::Error },
    #[error("engine refused: signature '{}': {source}", .path.display())]
    Signature { path: PathBuf, source: SignatureError },
    #[error(
        "engine refused: '{name}' may not run in clinical mode, because {reason}; have it signed with a key that this site trusts (`keyhole engine lock`)"
    )]
    Untrusted { name: String, reason: String },
    #[error("operating point refused: '{}': {source}", .path.display())]
    OperatingPoint { path: PathBuf, source: OperatingPointError },
    #[error(
        "engine refused: '{name}' was locked for pipeline version {expected}, this binary has {found}; validate it with this binary and lock it again"
    )]
    PipelineVersion { name: String, expected: u32, found: u32 },
}

/// What is wrong with a signature.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    #[error("not a signature: {0}")]
    Syntax(String),
    #[error(
        "it is not that of '{by}' over this manifest, so manifest.toml or the signature was changed; restore them, or lock the engine again"
    )]
    Wrong { by: String },
}

/// Why an operating point is not used.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum OperatingPointError {
    #[error("not an operating point: {0}")]
    Syntax(String),
    #[error("it is for the engine '{found}', and '{expected}' is the one that runs")]
    OtherEngine { expected: String, found: String },
    #[error(
        "it is for another manifest of '{engine}' (sha256 expected {expected}, found '{found}'); look whether it still holds, then bind and sign it again (`keyhole engine lock DIR --operating-point F --key K`)"
    )]
    OtherManifest { engine: String, expected: String, found: String },
    #[error("it is not used in clinical mode, because {reason}; have it signed with a key that this site trusts (`keyhole engine lock`)")]
    Untrusted { reason: String },
    #[error("the engine has no head with the output '{output}'")]
    NoHead { output: String },
    #[error("the manifest gives the head '{output}' no threshold_range: its threshold may not be moved")]
    NoRange { output: String },
    #[error("the threshold {threshold} of the head '{output}' is outside {low} to {high}, which the manifest allows")]
    OutOfRange { output: String, threshold: f32, low: f32, high: f32 },
}

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    #[error("key '{}' cannot be read: {source}; name a key's file (`keyhole engine key` makes one)", .path.display())]
    Read { path: PathBuf, source: std::io::Error },
    #[error("'{}' is no key that can sign: {reason}", .path.display())]
    Contents { path: PathBuf, reason: String },
    #[error("key '{}' cannot be written: {source}; an existing key is never overwritten", .path.display())]
    Write { path: PathBuf, source: std::io::Error },
    #[error("a key with this name is not made: {reason}")]
    Name { reason: String },
    #[error("the system gives no random numbers: {source}")]
    Random { source: std::io::Error },
}

impl KeyError {
    pub fn kind(&self) -> ErrorKind {
        ErrorKind::Stop
    }
}

/// What is wrong inside a manifest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    #[error("not a manifest: {0}")]
    Syntax(String),
    #[error("{field}: {reason}")]
    Field { field: String, reason: String },
}

impl StoreError {
    pub fn kind(&self) -> ErrorKind {
        ErrorKind::Stop
    }

    /// The engine is there and was found bad, as opposed to: it could not be looked at.
    pub fn is_finding(&self) -> bool {
        matches!(
            self,
            StoreError::Changed { .. }
                | StoreError::PipelineVersion { .. }
                | StoreError::Manifest { .. }
                | StoreError::Signature { .. }
                | StoreError::Untrusted { .. }
                | StoreError::OperatingPoint { .. }
        )
    }
}

fn list(paths: &[PathBuf]) -> String {
    paths.iter().map(|path| format!("'{}'", path.display())).collect::<Vec<_>>().join(", ")
}
