//! What a run leaves behind: the report, the timeline, the scene stream, masks, stills and video. Each writer has its
//! own thread and a bounded queue; the picture never waits for it (`--record x.mkv` excepted, which says so). Nothing
//! half written: files get their name when they are whole.

mod error;
mod mask;
mod report;
mod still;
mod stream;
mod video;

pub use error::RecordError;
pub use mask::upsample_mask;
pub use report::{
    AlarmLine, CadenceLine, EngineLine, Frames, Report, SCHEMA, SourceLine, Stages, StallLine, StateLine, check_writable, make_folder,
    write_report,
};
pub use still::{Still, StillWriter, save_bgrx, save_grey};
pub use stream::{Hash, LineWriter, SceneLine, TimelineLine};
pub use video::{Pushed, RecordMode, RecordStats, VideoRecorder};
