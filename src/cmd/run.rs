//! `keyhole run`

use crate::base::error::Finding;
use crate::base::say::say;
use crate::base::shutdown;
use crate::base::texts::Language;
use crate::capture::sim;
use crate::cmd::backend::Backend;
use crate::config::Config;
use crate::display::MonitorChoice;
use crate::overlay::OverlayMode;
use crate::pipeline::case::parse_id;
use crate::pipeline::{self, DisplayChoice, Injection, Limit, SnapshotPlan, Spec};
use anyhow::{Context, bail};
use clap::{Args, ValueEnum};
use std::path::PathBuf;

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Overlay {
    Off,
    Outline,
    Fill,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Switch {
    On,
    Off,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Words {
    En,
    De,
}

#[derive(Debug, Args)]
pub struct Arguments {
    /// TOML file with a table a room; flags override it.
    #[arg(long, value_name = "F")]
    config: Option<PathBuf>,
    /// A recording (paced like a camera, looping; `clip.mp4?fps=60` replays at that rate), `sim:` (`sim:?seed=7&width=1280&height=720&fps=60`),
    /// `v4l2:/dev/video0`, `decklink:0`, `rtsp://…`, `srt://…`, `udp://:PORT`, `rtp://:PORT` (see `keyhole sources`), or `gst:` and a
    /// GStreamer description that ends before the sink.
    #[arg(long, value_name = "S", default_value = "sim:")]
    source: String,
    /// auto (a window where there is a display, else headless), window, headless, drm (a monitor without X or Wayland;
    /// `drm:1`: that card's), or decklink:N (SDI out; `decklink:0?keyer=internal`:
    /// the video passes through the card, and only the overlay is sent to be laid over it).
    #[arg(long, value_name = "D", default_value = "auto")]
    display: DisplayChoice,
    /// End after N captured frames.
    #[arg(long, value_name = "N")]
    frames: Option<u64>,
    /// End after T seconds of video.
    #[arg(long, value_name = "T")]
    seconds: Option<f64>,
    /// What is drawn over the picture [default: outline, or as configured].
    #[arg(long, value_enum)]
    overlay: Option<Overlay>,
    /// The status display [default: on].
    #[arg(long, value_enum)]
    hud: Option<Switch>,
    /// The monitor that the window goes to: a connector's name (HDMI-1) or a place in the list.
    #[arg(long, value_name = "M")]
    monitor: Option<String>,
    /// Of the words on the screen [default: en, or as configured].
    #[arg(long, value_enum)]
    language: Option<Words>,
    /// What runs the model: cpu, cuda (an NVIDIA GPU), tensorrt (there, by a plan that `keyhole engine build` made), or auto: a GPU that is
    /// there and has an engine (by cuda), else the processor [default: auto, or as configured].
    #[arg(long, value_enum)]
    backend: Option<Backend>,
    /// Folder that holds the engines' folders.
    #[arg(long, value_name = "DIR")]
    engines: Option<PathBuf>,
    /// Record what is shown: .mp4 (H.264, never slows the picture) or .mkv (lossless FFV1: the recorder pulls the run instead of the clock).
    /// What the status display says beside the picture, in a window of another shape, is not in it.
    #[arg(long, value_name = "F")]
    record: Option<PathBuf>,
    /// Record the captured picture besides, nothing drawn over it (.mp4).
    #[arg(long, value_name = "F.mp4")]
    record_clean: Option<PathBuf>,
    /// Keep the last picture with an overlay as PNG.
    #[arg(long, value_name = "F.png")]
    snapshot: Option<PathBuf>,
    /// Keep these frames besides, as NAME-000050.png beside --snapshot's NAME.png.
    #[arg(long, value_name = "FRAMES", value_delimiter = ',', requires = "snapshot")]
    snapshot_at: Vec<u64>,
    /// Write the run report as JSON.
    #[arg(long, value_name = "F.json")]
    report: Option<PathBuf>,
    /// One JSON line a present, with digests of its pixels.
    #[arg(long, value_name = "F.jsonl")]
    timeline: Option<PathBuf>,
    /// One JSON line an inferred frame.
    #[arg(long, value_name = "F.jsonl")]
    scenes: Option<PathBuf>,
    /// The operation that this run belongs to: kept until the run ends, and resumed by the next one if it was killed.
    #[arg(long, value_name = "ID", value_parser = parse_id)]
    case: Option<String>,
    /// Put faults into the run as this TOML file says ([[fault]] kind, at_s, for_s); refused in clinical mode.
    #[arg(long, value_name = "FILE")]
    inject: Option<PathBuf>,
    /// Write class masks of inferred frames as NNNNNN.png.
    #[arg(long, value_name = "DIR")]
    masks: Option<PathBuf>,
    /// Write where the overlay covers the picture (255; HUD 128) as NNNNNN.png.
    #[arg(long, value_name = "DIR")]
    coverage: Option<PathBuf>,
}

pub fn main(arguments: Arguments) -> anyhow::Result<()> {
    shutdown::catch_signals();
    let mut config = Config::load(arguments.config.as_deref())?;
    if let Some(monitor) = &arguments.monitor {
        config.display.monitor = Some(MonitorChoice::parse(monitor));
    }
    if let Some(seconds) = arguments.seconds
        && !(seconds > 0.0 && seconds <= 86_400.0 * 30.0)
    {
        bail!("--seconds {seconds} is not a run's length: give a number above 0");
    }
    if arguments.frames == Some(0) {
        bail!("--frames 0 shows nothing: give a number above 0");
    }
    if let Some(words) = arguments.language {
        config.display.language = match words {
            Words::En => Language::En,
            Words::De => Language::De,
        };
    }
    if let Some(backend) = arguments.backend {
        config.infer.backend = backend.wanted();
    }
    let overlay = match arguments.overlay {
        None => config.overlay.mode,
        Some(Overlay::Off) => OverlayMode::Off,
        Some(Overlay::Outline) => OverlayMode::Outline,
        Some(Overlay::Fill) => OverlayMode::Fill,
    };
    let spec = Spec {
        source: arguments.source,
        display: arguments.display,
        limit: Limit { frames: arguments.frames, seconds: arguments.seconds },
        overlay,
        is_overlay_asked: arguments.overlay.is_some(),
        hud: arguments.hud != Some(Switch::Off),
        is_hud_asked: arguments.hud.is_some(),
        engines: arguments.engines,
        record: arguments.record,
        record_clean: arguments.record_clean,
        snapshots: SnapshotPlan { path: arguments.snapshot, at: arguments.snapshot_at },
        report: arguments.report,
        timeline: arguments.timeline,
        scenes: arguments.scenes,
        masks: arguments.masks,
        coverage: arguments.coverage,
        worker: pipeline::own_worker().context("the AI process cannot be started: this program's own file is not found")?,
        taps: None,
        case: arguments.case,
        inject: arguments.inject.as_deref().map(Injection::load).transpose()?,
        config,
    };
    tell_of_rendering(&spec.source)?;
    let report = match pipeline::run(spec) {
        Err(error) if error.is_finding() => return Err(Finding(error.to_string()).into()),
        outcome => outcome?,
    };
    let frames = report.frames;
    say(format_args!(
        "{} frames captured, {} displayed ({} dropped), {} inferred; video delay p50 {:.2} p99 {:.2} ms; annotation delay p50 {:.2} p99 {:.2} ms",
        frames.captured,
        frames.displayed,
        frames.dropped_capture + frames.dropped_display,
        frames.inferred,
        report.video_delay_ms.p50,
        report.video_delay_ms.p99,
        report.annotation_delay_ms.p50,
        report.annotation_delay_ms.p99,
    ));
    Ok(())
}

/// The simulator's clip is rendered once and kept; the first time, whoever waits for it is told.
fn tell_of_rendering(source: &str) -> anyhow::Result<()> {
    if source.starts_with("sim:") {
        let spec = sim::Spec::parse(source)?;
        if !sim::Clip::is_cached(&spec) {
            say(format_args!("rendering {} pictures of the simulated operation (the first time only)", spec.frame_count()));
        }
    }
    Ok(())
}
