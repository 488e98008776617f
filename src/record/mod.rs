//! What is kept of a run: video. Nothing here may slow the picture or wait for it.

mod video;

pub use video::{Pushed, RecordError, RecordMode, RecordStats, VideoRecorder};
