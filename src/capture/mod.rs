//! Where pictures come from: files, GStreamer descriptions, the simulator. A source decodes ahead and says when each
//! picture is due; who waits, copies into the ring and stamps is the capture thread in `pipeline`.
//!
//! ```text
//!   open(uri) ─► Source ── pull ─► Picture (planes as decoded, due_ns) ─► copied into a ring slot ─► Frame at due_ns
//! ```

mod container;
mod decode_time;
mod decoder;
mod error;
mod file;
mod live;
mod mapping;
mod messages;
mod pace;
mod paced;
mod settings;
pub mod sim;
mod tuning;
mod uri;

#[cfg(test)]
mod tests;

pub use error::CaptureError;
pub use settings::Settings;

use crate::base::clock::Clock;
use crate::frame::{Colorimetry, FrameLayout, PixelFormat};
use decoder::Decoder;
use live::LiveSource;
use paced::PacedSource;
use serde::Serialize;
use std::sync::Arc;
use std::time::Duration;

/// What a source delivers, known before the first picture is shown.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SourceInfo {
    pub uri: String,
    pub width: usize,
    pub height: usize,
    /// Pictures a second at which it is (or will be) released.
    pub fps: f64,
    pub format: PixelFormat,
    pub colorimetry: Colorimetry,
    /// Live: stamped on arrival. Not live: released by our own pacer.
    pub live: bool,
    /// What a live pipeline holds back at most, as GStreamer's LATENCY query reports it (reorder depth + one frame), ns.
    pub latency_ns: u64,
}

/// One plane as the source holds it.
#[derive(Debug, Clone, Copy)]
pub struct PlaneRef<'a> {
    pub data: &'a [u8],
    pub stride: usize,
}

/// A decoded picture, borrowed from the source until the next pull.
#[derive(Debug)]
pub struct Picture<'a> {
    /// Our own layout of this format, size and colorimetry: changes when the source changes.
    pub layout: FrameLayout,
    pub planes: [PlaneRef<'a>; 3],
    /// Position in the source, ns. Grows over loops: each pass begins where the one before it ended (its last picture's
    /// stamp + duration).
    pub pts_ns: u64,
    /// Not live: when it is to be released (CLOCK_MONOTONIC ns); this is its capture stamp. None: `arrival_ns` is.
    pub due_ns: Option<u64>,
    pub arrival_ns: u64,
    /// What decoding took, where the source can tell, ns.
    pub decode_ns: Option<u64>,
    /// Pictures that were due since the last one and could not be had in time: counted as dropped at capture.
    pub skipped: u32,
}

impl Picture<'_> {
    /// Copies the visible rows of all planes to where `layout` puts them. `into` holds `layout.size` bytes.
    pub fn copy_into(&self, into: &mut [u8]) {
        let last_v = match self.layout.format {
            PixelFormat::Yuy2 => Some(3),
            PixelFormat::Uyvy => Some(2),
            _ => None,
        };
        for (to, from) in self.layout.planes().iter().zip(&self.planes) {
            for row in 0..to.rows {
                let target = &mut into[to.offset + row * to.stride..][..to.row_bytes];
                target.copy_from_slice(&from.data[row * from.stride..][..to.row_bytes]);
                // GStreamer leaves the V of an odd row's last pixel unwritten.
                if let (true, Some(v)) = (self.layout.width % 2 == 1, last_v) {
                    target[to.row_bytes - 4 + v] = target[to.row_bytes - 8 + v];
                }
            }
        }
    }
}

/// What a pull gave. Lives on the capture thread's stack for one frame, so its size does not matter.
#[allow(clippy::large_enum_variant)]
#[derive(Debug)]
pub enum Pull<'a> {
    Picture(Picture<'a>),
    /// Nothing came within the wait: ask again (and see whether the signal is lost).
    Idle,
    /// The source has ended and cannot loop.
    End,
}

/// A source of pictures. Runs on the capture thread.
pub trait Source: Send {
    fn info(&self) -> &SourceInfo;

    /// The next picture; waits at most `at_most` for it. Files and `sim:` never wait for the due time themselves.
    fn pull(&mut self, at_most: Duration) -> Result<Pull<'_>, CaptureError>;
}

/// Opens what `uri` names (`--source`) and waits until its first picture is decoded, at most 5 s.
///
/// Errors name the thing, the reason and the remedy: no such file, not a video, no video stream in it, truncated,
/// corrupt, unknown scheme, GStreamer element missing.
pub fn open(uri: &str, settings: &Settings, clock: Arc<dyn Clock>) -> Result<Box<dyn Source>, CaptureError> {
    let ahead = settings.decode_ahead_frames.clamp(1, 16);
    match uri::parse(uri)? {
        uri::Spec::Sim => Ok(sim::SimSource::open(uri, clock)?),
        uri::Spec::File { path, rate } => {
            let header = file::check(&path)?;
            messages::init()?;
            let reopen: paced::Reopen = {
                let clock = clock.clone();
                Box::new(move || {
                    let mut decoder = Decoder::for_file(&path, header, ahead, clock.clone())?;
                    decoder.play()?;
                    Ok(decoder)
                })
            };
            let decoder = reopen()?;
            Ok(Box::new(PacedSource::new(uri, decoder, rate, Some(reopen), clock)?))
        }
        uri::Spec::Gst(description) => {
            messages::init()?;
            let mut decoder = Decoder::for_description(&description, ahead, clock.clone())?;
            decoder.prepare()?;
            if decoder.live {
                return Ok(Box::new(LiveSource::new(uri, decoder, clock)?));
            }
            decoder.play()?;
            Ok(Box::new(PacedSource::new(uri, decoder, None, None, clock)?))
        }
    }
}
