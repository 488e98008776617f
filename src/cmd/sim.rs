//! `keyhole sim`: a simulated operation as labelled data.

use crate::capture::sim::{DatasetOptions, Simulator, Spec, write_dataset, write_gallery};
use crate::frame::FrameView;
use crate::overlay::Rect;
use crate::overlay::convert::convert;
use crate::record::VideoRecorder;
use anyhow::Context;
use clap::Args;
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};

#[derive(Debug, Args)]
#[command(after_long_help = SCRIPTS)]
pub struct Arguments {
    /// Folder to write: images/, masks/ (class ids), tracks/, events.jsonl, dataset.toml and the clip itself (clip.mkv, lossless).
    #[arg(long, value_name = "DIR", required_unless_present = "gallery")]
    out: Option<PathBuf>,
    /// Instead: one sheet with every effect, look and instrument.
    #[arg(long, value_name = "F.png", conflicts_with = "out")]
    gallery: Option<PathBuf>,
    /// What happens when: a TOML file, or builtin: and a name (smoke, blood, lens, trocar, instruments, looks, signal, still,
    /// operation). The format stands below (--help).
    #[arg(long, value_name = "F")]
    script: Option<String>,
    /// Another seed is another operation: anatomy, instruments, light.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    #[arg(long, default_value_t = 1280)]
    width: u32,
    #[arg(long, default_value_t = 720)]
    height: u32,
    /// Pictures a second: 25, 59.94, 60000/1001.
    #[arg(long, default_value = "25")]
    fps: String,
    /// Length of the loop [default: 6, or the script's own].
    #[arg(long)]
    seconds: Option<f64>,
    /// Pictures and masks of every N-th frame only; tracks and clip are always of every frame.
    #[arg(long, value_name = "N", default_value_t = 1)]
    every: u32,
}

const SCRIPTS: &str = "\
Scripts: sim:?script=scene.toml or sim:?script=builtin:smoke, in --source and here. All keys of sim: are seed, width, height,
fps, seconds, script, look, still, noise.

  seconds = 8.0                # length of the loop
  still = false                # true: nothing moves, only sensor noise and events differ
  noise = 1.0                  # times the usual sensor noise, 0 to 8
  look = \"standard\"            # standard, a, b, c (vendors' looks), nbi, icg
  default_instruments = true   # false: only those that events bring in
  [[event]]
  kind = \"smoke\"
  at_s = 1.0                   # begins, in seconds of the loop
  for_s = 3.0                  # lasts
  amount = 0.7                 # 0 to 1, default 0.6
  fade_s = 0.5                 # comes and goes in, default a third of for_s, at most 0.6

Kinds: smoke, bleeding (site = [x, y]), lens_fog, droplets, soiling, defocus, motion_blur, out_of_body, camera_menu, pip,
look (look = ...), freeze, black, loss, cut (seed = N), flicker, interference, noise, instrument (tool = grasper, hook,
scissors, clip-applier, irrigator or needle; side = left, right, top or bottom), camera (pan = [x, y], zoom, turn_deg).
Sites and pans are in picture heights from the picture's centre, as the scene lies at rest.

Truth: masks say 255 (ignore) where less than a fifth of the scene is visible, under menus and insets, in drops, and on the
thread; tracks keep what smoke hides and say how much of it is clear; events.jsonl has each event's pictures.";

pub fn main(arguments: &Arguments) -> anyhow::Result<()> {
    if let Some(path) = &arguments.gallery {
        write_gallery(path, &mut progress("tiles"))?;
        println!("{}: every effect, look and instrument", path.display());
        return Ok(());
    }
    let Some(out) = &arguments.out else { anyhow::bail!("nothing to do: give --out DIR or --gallery F.png") };
    let Arguments { seed, width, height, fps, .. } = arguments;
    let mut uri = format!("sim:?seed={seed}&width={width}&height={height}&fps={fps}");
    for (key, value) in [("seconds", arguments.seconds.map(|s| s.to_string())), ("script", arguments.script.clone())] {
        if let Some(value) = value {
            uri += &format!("&{key}={value}");
        }
    }
    let spec = Spec::parse(&uri)?;
    anyhow::ensure!(arguments.every > 0, "--every 0 writes nothing: give 1 or more");
    write_dataset(&spec, out, DatasetOptions { every: arguments.every }, &mut progress("pictures and truth"))?;
    write_clip(&spec, &out.join("clip.mkv"))?;
    println!("{}: {} frames with their truth", out.display(), spec.frame_count());
    Ok(())
}

fn write_clip(spec: &Spec, path: &Path) -> anyhow::Result<()> {
    let layout = spec.layout()?;
    let (width, height) = (layout.width, layout.height);
    let recorder = VideoRecorder::start(path, width, height, spec.fps())?;
    let simulator = Simulator::new(spec)?;
    let mut picture = vec![0; layout.size];
    let mut told = progress("clip");
    for n in (0..spec.frame_count()).filter(|n| !simulator.is_lost(*n)) {
        simulator.render(n, &mut picture);
        let view = FrameView::new(&layout, &picture).context("a picture of the simulator does not fit its layout")?;
        let pts_ns = spec.pts_ns(n as u64);
        recorder.push_blocking(pts_ns, |target| convert(&view, Rect::whole(width, height), target, width * 4))?;
        told(n + 1, spec.frame_count());
    }
    recorder.finish()?;
    Ok(())
}

/// A line that is rewritten, on a terminal only.
fn progress(what: &'static str) -> impl FnMut(usize, usize) {
    let is_terminal = std::io::stderr().is_terminal();
    move |done, total| {
        if is_terminal {
            let end = if done == total { "\n" } else { "" };
            let _ = write!(std::io::stderr(), "\r{what}: {done} of {total}\x1b[K{end}");
        }
    }
}
