//! What can go wrong with a source. Every message names the thing, the reason and the remedy.

use crate::base::error::ErrorKind;
use crate::frame::LayoutError;
use crate::frame::cuda::CudaError;

#[derive(Debug, thiserror::Error)]
pub enum CaptureError {
    #[error(
        "unknown source '{uri}'{note}: give a video file (path or path?fps=60), sim: (the built-in simulator), v4l2:/dev/video0, decklink:0, rtsp://…, srt://…, udp://:port, rtp://:port, gst:DESCRIPTION (a GStreamer pipeline that ends before the sink), or stereo:LEFT|RIGHT (two of these); `keyhole sources` lists what is attached"
    )]
    Unknown { uri: String, note: &'static str },
    #[error("source '{uri}': {reason}")]
    Input { uri: String, reason: String },
    #[error("source '{uri}': {reason}; {remedy}")]
    Absent { uri: String, reason: String, remedy: &'static str },
    #[error("source '{uri}': GStreamer has no element '{element}'; install it (Debian: {package})")]
    MissingInput { uri: String, element: String, package: &'static str },
    #[error(transparent)]
    Sim(#[from] crate::capture::sim::SimError),
    #[error("source '{uri}': {reason}; write path?fps=N with N from 1 to 1000, as 60, 29.97 or 30000/1001")]
    Query { uri: String, reason: String },
    #[error("no such file: '{path}'; check the name, or use sim: for the built-in simulator")]
    Missing { path: String },
    #[error("'{path}' is a folder, not a video file; name a file in it")]
    Folder { path: String },
    #[error("'{path}' is not a file that can be played ({what}); name a video file, or use gst:DESCRIPTION for devices")]
    NotAFile { path: String, what: &'static str },
    #[error("'{path}' is empty (0 bytes); copy or record it again")]
    Empty { path: String },
    #[error("'{path}' cannot be read ({source}); check its permissions and the disk")]
    Unreadable { path: String, source: std::io::Error },
    #[error("'{path}' is truncated: {what}; copy it again in full, or record it again")]
    Truncated { path: String, what: String },
    #[error("'{thing}' is not a video: {reason}; give a video file such as .mp4, .mkv or .avi")]
    NotVideo { thing: String, reason: String },
    #[error("'{thing}': no video in it, only {found}; give a file with a video stream")]
    NoVideo { thing: String, found: String },
    #[error("'{thing}' is corrupt: {reason}; copy it again, or check it with another player")]
    Corrupt { thing: String, reason: String },
    #[error("'{thing}' gave no picture: {reason}; check that it delivers video")]
    NoPicture { thing: String, reason: String },
    #[error("'{thing}' needs {what}, which is not installed; install it (Debian: {package})")]
    MissingDecoder { thing: String, what: String, package: &'static str },
    #[error("gst:{description}: GStreamer has no element '{element}'; correct the name or install it (Debian: {package})")]
    MissingElement { description: String, element: String, package: &'static str },
    #[error("gst:{description}: {reason}; write it as for gst-launch-1.0, ending in raw video before the sink")]
    Description { description: String, reason: String },
    #[error("'{thing}': {source}")]
    Layout { thing: String, source: LayoutError },
    #[error(
        "pictures cannot stay on the GPU: GStreamer's libgstcuda-1.0.so.0 cannot be used ({reason}); install GStreamer 1.22 or newer (Debian: libgstreamer-plugins-bad1.0-0, gstreamer1.0-plugins-bad), or use `--backend cpu`"
    )]
    NoGstCuda { reason: String },
    #[error(
        "'{thing}': its pictures lie in another CUDA context (of device {found}) than that of device {ordinal}, '{device}', on which they are analysed; leave its elements' cuda-device-id away, or use `--backend cpu`"
    )]
    OtherContext { thing: String, found: u32, device: String, ordinal: usize },
    #[error(transparent)]
    Cuda(#[from] CudaError),
    #[error("'{thing}' failed: {reason}; {remedy}")]
    Failed { thing: String, reason: String, remedy: &'static str, kind: ErrorKind },
    #[error("GStreamer cannot start ({reason}); install gstreamer1.0-plugins-base, -good and gstreamer1.0-libav")]
    GStreamer { reason: String },
}

impl CaptureError {
    pub fn kind(&self) -> ErrorKind {
        match self {
            CaptureError::Failed { kind, .. } => *kind,
            CaptureError::Cuda(error) => error.kind(),
            _ => ErrorKind::Stop,
        }
    }
}
