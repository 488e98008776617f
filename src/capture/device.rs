//! What can be said about a live input before a pipeline is built, and after one has failed: GStreamer's own words for an
//! absent device are no help.

use super::error::CaptureError;
use super::input::{Input, Kind};
use std::os::unix::fs::FileTypeExt;

/// Refuses a device that is not there, and one that is no device.
pub(super) fn check(input: &Input) -> Result<(), CaptureError> {
    let Some(stage) = input.stages.first().filter(|stage| stage.element == "v4l2src") else { return Ok(()) };
    let Some((_, path)) = stage.properties.iter().find(|(name, _)| *name == "device") else { return Ok(()) };
    let absent = |reason: String, remedy| Err(CaptureError::Absent { uri: input.uri.clone(), reason, remedy });
    match std::fs::metadata(path) {
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
            absent(format!("'{path}' may not be looked at"), "add the user to the group 'video'")
        }
        Err(_) => absent(format!("there is no device '{path}'"), "plug the camera in; `keyhole sources` lists what is there"),
        Ok(metadata) if !metadata.file_type().is_char_device() => {
            absent(format!("'{path}' is not a device"), "name one of /dev/video*; `keyhole sources` lists them")
        }
        Ok(_) => Ok(()),
    }
}

/// What opening a live input failed with, with the remedy for its kind.
pub(super) fn explain(uri: &str, kind: Kind, error: CaptureError) -> CaptureError {
    let reason = match &error {
        CaptureError::NoPicture { reason, .. } | CaptureError::Failed { reason, .. } => reason.clone(),
        _ => return error,
    };
    let remedy = match kind {
        Kind::Network => "check the address, that the sender runs, and the network between",
        Kind::Device if uri.starts_with("decklink:") => {
            "check that the card is in, that Blackmagic's driver (Desktop Video) is installed, and that a signal is on its input"
        }
        Kind::Device => {
            "check that it is a capture device, that nobody else uses it, and that it has a signal; `keyhole sources` lists what is there"
        }
    };
    CaptureError::Absent { uri: uri.to_owned(), reason, remedy }
}
