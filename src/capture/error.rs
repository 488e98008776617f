use crate::base::error::ErrorKind;

#[derive(Debug, thiserror::Error)]
pub enum CaptureError {
    #[error("unknown source '{uri}': give a file, sim:, or gst:DESCRIPTION (keyhole run --help lists them)")]
    Unknown { uri: String },
}

impl CaptureError {
    pub fn kind(&self) -> ErrorKind {
        ErrorKind::Stop
    }
}
