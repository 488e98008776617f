//! What can be said against a file before a decoder is started on it.

use super::container::{self, Header};
use super::error::CaptureError;
use std::fs::File;
use std::io::{ErrorKind as Io, Read, Seek};
use std::path::Path;

/// What the file's header says, if `path` is a file with something in it that ends where its headers say.
pub(super) fn check(path: &Path) -> Result<Header, CaptureError> {
    let name = || path.display().to_string();
    let unreadable = |source: std::io::Error| match source.kind() {
        Io::NotFound | Io::NotADirectory => CaptureError::Missing { path: name() },
        _ => CaptureError::Unreadable { path: name(), source },
    };
    // Asked before opening: opening a pipe would wait for somebody to write into it.
    let metadata = std::fs::metadata(path).map_err(unreadable)?;
    if metadata.is_dir() {
        return Err(CaptureError::Folder { path: name() });
    }
    if !metadata.is_file() {
        return Err(CaptureError::NotAFile { path: name(), what: "a device, pipe or socket" });
    }
    let mut file = File::open(path).map_err(unreadable)?;
    if metadata.len() == 0 {
        return Err(CaptureError::Empty { path: name() });
    }
    let mut kind = [0; 4];
    if file.read(&mut kind).map_err(unreadable)? == kind.len() && kind == *b"GIF8" {
        // GStreamer's demuxer stamps all of its pictures alike and never says that they have ended.
        return Err(CaptureError::NotVideo {
            thing: name(),
            reason: "it is a GIF, whose pictures come without their times: make a video of it first (ffmpeg -i in.gif out.mp4)".into(),
        });
    }
    file.rewind().map_err(unreadable)?;
    match container::find_truncation(&mut file, metadata.len()).map_err(unreadable)? {
        None => container::read_header(&mut file, metadata.len()).map_err(unreadable),
        Some(what) => Err(CaptureError::Truncated { path: name(), what }),
    }
}
