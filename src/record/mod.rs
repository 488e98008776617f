//! What a run leaves behind: the report, the timeline, the scene stream, masks, stills and video. Each writer has its
//! own thread and a bounded queue; the picture never waits for it (`--record x.mkv` excepted, which says so). Nothing
//! half written: files get their name when they are whole, or when they can be played (recordings).
//!
//! ```text
//!   display ─► recorder ─► encoder ─► lane ─► segments ─► mp4 ─► files        budget: what must go before something is written
//!                └ rate: full, half         └ sidecar: frames, marks          tally: what is missing, and why
//! ```

mod budget;
mod encoder;
mod error;
mod lane;
mod lines;
mod mask;
mod mishap;
mod mp4;
mod rate;
mod recorder;
mod report;
mod segments;
mod settings;
mod sidecar;
mod still;
mod stream;
mod tally;
mod video;

pub use budget::LEDGER;
pub use encoder::{Input, copy_planes};
pub use error::RecordError;
pub use lines::LineWriter;
pub use mask::upsample_mask;
pub use mishap::Mishap;
pub use recorder::{RecordPlan, Recorder};
pub use report::{
    AlarmLine, BytesLine, CadenceLine, CaseLine, DeviceLine, EngineLine, Frames, GateLine, LaunchesLine, LoopThroughLine, Report, SCHEMA,
    SourceDeviceLine, SourceLine, Stages, StallLine, StateLine, check_writable, make_folder, write_report, write_whole,
};
pub use segments::SegmentLine;
pub use settings::{Preset, Settings, Stream};
pub use sidecar::{Marker, Sidecar, sidecar_path, utc};
pub use still::{Still, StillWriter, save_bgrx, save_grey};
pub use stream::{Hash, SceneLine, TimelineLine};
pub use tally::{LeftOut, RecordAlarm, RecordingState};
pub use video::{Pushed, RecordMode, RecordStats, VideoRecorder};
