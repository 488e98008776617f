//! `keyhole sim`: a simulated operation as labelled data.

use crate::capture::sim::{DatasetOptions, Simulator, Spec, write_dataset};
use crate::frame::FrameView;
use crate::overlay::Rect;
use crate::overlay::convert::convert;
use crate::record::VideoRecorder;
use anyhow::Context;
use clap::Args;
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};

#[derive(Debug, Args)]
pub struct Arguments {
    /// Folder to write: images/, masks/ (class ids), tracks/, dataset.toml and the clip itself (clip.mkv, lossless).
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Another seed is another operation: anatomy, instruments, light.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    #[arg(long, default_value_t = 1280)]
    width: u32,
    #[arg(long, default_value_t = 720)]
    height: u32,
    #[arg(long, default_value_t = 25)]
    fps: u32,
    #[arg(long, default_value_t = 6.0)]
    seconds: f64,
    /// Pictures and masks of every N-th frame only; tracks and clip are always of every frame.
    #[arg(long, value_name = "N", default_value_t = 1)]
    every: u32,
}

pub fn main(arguments: &Arguments) -> anyhow::Result<()> {
    let Arguments { seed, width, height, fps, seconds, .. } = arguments;
    let spec = Spec::parse(&format!("sim:?seed={seed}&width={width}&height={height}&fps={fps}&seconds={seconds}"))?;
    anyhow::ensure!(arguments.every > 0, "--every 0 writes nothing: give 1 or more");
    write_dataset(&spec, &arguments.out, DatasetOptions { every: arguments.every }, &mut progress("pictures and truth"))?;
    write_clip(&spec, &arguments.out.join("clip.mkv"))?;
    println!("{}: {} frames with their truth", arguments.out.display(), spec.frame_count());
    Ok(())
}

fn write_clip(spec: &Spec, path: &Path) -> anyhow::Result<()> {
    let layout = spec.layout()?;
    let (width, height) = (layout.width, layout.height);
    let recorder = VideoRecorder::start(path, width, height, f64::from(spec.fps))?;
    let simulator = Simulator::new(spec)?;
    let mut picture = vec![0; layout.size];
    let mut told = progress("clip");
    for n in 0..spec.frame_count() {
        simulator.render(n, &mut picture);
        let view = FrameView::new(&layout, &picture).context("a picture of the simulator does not fit its layout")?;
        let pts_ns = n as u64 * 1_000_000_000 / u64::from(spec.fps);
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
