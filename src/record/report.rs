//! The run report, schema "keyhole.run/1".

use crate::base::disk;
use crate::base::stats::Summary;
use crate::frame::PixelFormat;
use crate::record::RecordError;
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::Path;

pub const SCHEMA: &str = "keyhole.run/1";

#[derive(Debug, Clone, Serialize)]
pub struct SourceLine {
    pub uri: String,
    pub width: usize,
    pub height: usize,
    pub fps: f64,
    pub format: PixelFormat,
    /// What a live source's decoder holds back, ms.
    pub latency_ms: f64,
    /// Where its pictures lay on a device.
    pub device: Option<SourceDeviceLine>,
    /// Where it is a graphics card that passes each picture: so many a second the processor alone would pass.
    pub fps_without_gpu: Option<f64>,
}

/// The device on which a run's pictures lay.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SourceDeviceLine {
    pub name: String,
    pub uuid: String,
    /// Drawn from where they lay; else they were brought here first.
    pub is_drawn_there: bool,
    /// Of its memory, taken for the frames of the last picture format; no frame takes more.
    pub memory_bytes: u64,
    /// What went over the bus for this process, bytes, all frames together.
    pub pixels_to_host: u64,
    pub pixels_to_device: u64,
    pub numbers_to_host: u64,
    pub numbers_to_device: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, serde::Deserialize)]
pub struct EngineLine {
    pub name: String,
    /// What runs it: `cpu`, `cuda`, `tensorrt`.
    #[serde(default)]
    pub backend: String,
    pub heads: Vec<String>,
    pub model_sha256: String,
    pub manifest_sha256: String,
    /// Frames are brought to the light and colours that its manifest states.
    pub is_normalised: bool,
    /// Who has signed it, in words.
    pub signature: String,
    /// Nobody vouches for it: not for patients.
    pub is_demonstration: bool,
    /// Where it runs; None: on the processor, or it never said.
    #[serde(default)]
    pub device: Option<DeviceLine>,
}

/// A GPU that an engine runs on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, serde::Deserialize)]
pub struct DeviceLine {
    pub name: String,
    pub uuid: String,
    /// The CUDA that its driver knows.
    pub driver: String,
    /// Of its memory, taken when the engine was ready: no frame takes more, but the first of each picture format.
    pub memory_bytes: u64,
    /// What came back from it for the engine's golden picture, which is analysed as any frame is. None: the engine has none.
    #[serde(default)]
    pub golden_back: Option<BytesLine>,
    /// How its work is begun, which that picture decided. None: as before.
    #[serde(default)]
    pub launches: Option<LaunchesLine>,
}

/// The sooner of two ways, if both see the same, and what half of the frames took at most by either.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, serde::Deserialize)]
pub struct LaunchesLine {
    /// `recorded`: with few calls (CUDA graphs); `plain`: one by one.
    pub chosen: String,
    pub plain_us: u64,
    pub recorded_us: u64,
}

/// What a frame moves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, serde::Deserialize)]
pub struct BytesLine {
    /// Of pictures, and of as many numbers as they have pixels.
    pub pixels: u64,
    pub results: u64,
}

/// `captured = displayed + rate_slip + dropped_capture + dropped_display` always holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Frames {
    pub captured: u64,
    pub displayed: u64,
    /// Presents beyond the first of a frame.
    pub repeated: u64,
    pub rate_slip: u64,
    pub dropped_capture: u64,
    pub dropped_display: u64,
    pub inferred: u64,
    pub inference_skipped: u64,
}

impl Frames {
    pub fn is_balanced(&self) -> bool {
        self.captured == self.displayed + self.rate_slip + self.dropped_capture + self.dropped_display
    }
}

#[derive(Debug, Clone, Serialize)]
pub struct Stages {
    pub decode: Summary,
    pub upload: Summary,
    pub preprocess: Summary,
    pub infer: Summary,
    pub track: Summary,
    /// Capture stamp → the display thread took the frame.
    pub handover: Summary,
    /// Before composing: motion, choice of the scene, painting, HUD.
    pub overlay: Summary,
    /// This and the next one of each frame's first present: what adds up to the video delay.
    pub compose: Summary,
    pub present: Summary,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StateLine {
    pub at_ms: f64,
    pub signal: &'static str,
    pub ai: &'static str,
    pub reason: String,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AlarmLine {
    pub at_ms: f64,
    pub code: &'static str,
    pub text: String,
    /// high, medium or low: the categories of IEC 60601-1-8.
    pub priority: &'static str,
    /// Null: it lasted to the end.
    pub cleared_at_ms: Option<f64>,
    /// Null: nobody has said that he has seen it.
    pub acknowledged_at_ms: Option<f64>,
}

/// A time at which the machine itself stood still for longer than a frame period of 60 Hz.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StallLine {
    /// Since the start of the run, as in `states`.
    pub at_ms: f64,
    /// The same on CLOCK_MONOTONIC; not written.
    #[serde(skip)]
    pub at_ns: u64,
    pub late_ms: f64,
    /// The core that stood still; null: the thread that is bound to none was late.
    pub core: Option<usize>,
}

/// How the source's rate fell on a monitor that takes pictures at a rate of its own.
#[derive(Debug, Clone, Serialize)]
pub struct CadenceLine {
    pub refresh_hz: f64,
    /// Refreshes at which the frame before was shown again because none was new; counted in `repeated` too.
    pub repeats: u64,
    /// Refreshes that a picture came too late for.
    pub missed: u64,
    /// Capture stamp → refresh; a sawtooth between these bounds where the rates differ.
    pub wait_ms: Summary,
    /// How long one tooth of it lasts, s; null where the rates are the same.
    pub sawtooth_s: Option<f64>,
}

#[derive(Debug, Clone, Serialize)]
pub struct Report {
    pub schema: &'static str,
    pub version: &'static str,
    pub commit: &'static str,
    pub mode: &'static str,
    pub scheduling: String,
    pub source: SourceLine,
    /// Of the last of `engines`.
    pub backend: &'static str,
    pub adapter: String,
    pub compositor: &'static str,
    pub display: String,
    /// How the box is wired into the theatre, as its profile states it.
    pub wiring: &'static str,
    /// In the order in which they answered: more than one where a device has failed.
    pub engines: Vec<EngineLine>,
    pub frames: Frames,
    pub losses: BTreeMap<String, u64>,
    pub video_delay_ms: Summary,
    /// Capture stamp → page flip; null where the display reports none.
    pub presentation_delay_ms: Option<Summary>,
    pub annotation_delay_ms: Summary,
    pub overlay_age_ms: Summary,
    pub machine_stall_ms: Summary,
    pub machine_stalls: Vec<StallLine>,
    pub stages_ms: Stages,
    pub scenes_stale_hidden: u64,
    pub states: Vec<StateLine>,
    pub alarms: Vec<AlarmLine>,
    /// Null until there is an audit log.
    pub audit: Option<()>,
    pub seconds: f64,
    pub peak_rss_mb: f64,
    /// CLOCK_MONOTONIC at `at_ms` 0, ns.
    pub start_ns: u64,
    /// Process start → first completed present, ms.
    pub first_picture_ms: Option<f64>,
    pub worker_restarts: u64,
    /// Times at which a device failed and the processor went on.
    pub worker_fallbacks: u64,
    /// Times at which the AI answered its reference picture as when it was loaded.
    pub live_proofs: u64,
    /// What the self-tests said of AI in this run; null: nobody asked, or the run was shorter than the answer.
    pub gate: Option<GateLine>,
    /// Null: the run belonged to none.
    pub case: Option<CaseLine>,
    /// Null where the output takes pictures as they come.
    pub cadence: Option<CadenceLine>,
    /// Null: no input sees the monitor's loop-through.
    pub loop_through: Option<LoopThroughLine>,
}

/// What a spare input saw of the monitor's loop-through.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LoopThroughLine {
    pub source: String,
    /// From what to what `delay_ms` is.
    pub span: &'static str,
    pub delay_ms: Summary,
    /// Capture stamp → the same sight.
    pub capture_to_input_ms: Summary,
    /// Numbers that were read.
    pub read: u64,
    /// Pictures of the input in which the code stood, and was not read without doubt.
    pub unreadable: u64,
    /// Numbers that were shown between two that were read, and never seen.
    pub missing: u64,
    /// Pictures of the input with the number of the one before.
    pub repeated: u64,
    /// Times at which the delay became another one at once.
    pub steps: u64,
    /// Null: the time was too short.
    pub trend_ms_an_hour: Option<f64>,
    /// 99.9 %.
    pub trend_interval_ms_an_hour: Option<[f64; 2]>,
    /// Hours until the limit; null: it does not rise for sure.
    pub forecast_h: Option<f64>,
    pub limit_ms: f64,
    /// "watched", "creeping", "over the limit", "no room for the code", or why it is not watched.
    pub state: String,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CaseLine {
    pub id: String,
    /// An earlier run opened it and did not come to its end.
    pub is_resumed: bool,
}

/// May AI run?
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct GateLine {
    pub is_allowed: bool,
    /// Where it is not: "ST-G02", and what was said.
    pub code: Option<String>,
    pub words: Option<String>,
    /// Code and words of what is not as it should be, where it may run all the same.
    pub limits: Vec<(String, String)>,
}

/// Writes the whole report under a temporary name, then gives it its own.
pub fn write_report(report: &Report, path: &Path) -> Result<(), RecordError> {
    let text = serde_json::to_string_pretty(report).map_err(|e| RecordError::write(path, e))?;
    write_whole(path, text.as_bytes()).map_err(|error| match error {
        RecordError::Write { path, source } => RecordError::NoReport { path, source },
        other => other,
    })
}

/// Writes a file so that it is there whole or not at all.
pub fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), RecordError> {
    let part = part_path(path);
    disk::pass().and_then(|()| std::fs::write(&part, bytes)).and_then(|()| std::fs::rename(&part, path)).map_err(|e| {
        let _ = std::fs::remove_file(&part);
        RecordError::write(path, e)
    })
}

/// The name that a file has until it is whole.
pub(super) fn part_path(path: &Path) -> std::path::PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".part");
    path.with_file_name(name)
}

/// Refuses a path that cannot be written, before anything is; leaves nothing behind. What is there already may be
/// replaced only if it is a file: a device or a link would be replaced by one.
pub fn check_writable(path: &Path) -> Result<(), RecordError> {
    if path.symlink_metadata().is_ok_and(|there| !there.is_file()) {
        return Err(RecordError::NotAFile { path: path.to_owned() });
    }
    let part = part_path(path);
    std::fs::File::create(&part).and_then(|_| std::fs::remove_file(&part)).map_err(|e| RecordError::write(path, e))
}

/// Makes a folder for many files, if it is not there.
pub fn make_folder(path: &Path) -> Result<(), RecordError> {
    std::fs::create_dir_all(path).map_err(|e| RecordError::write(path, e))
}
