//! `keyhole validate`: an engine against labelled pictures.

use crate::base::classes::{self, ClassKind};
use crate::base::ids::{ClassId, FrameId};
use crate::capture::{self, Pull};
use crate::eval::{DataSet, Labelled, Mask, Summary, Validation, page};
use crate::frame::{FrameLayout, FrameView, Stamps, picture_from_png};
use crate::infer;
use crate::record::{save_grey, upsample_mask};
use crate::store::{Engines, LockedEngine};
use crate::track::Analyser;
use anyhow::Context;
use clap::Args;
use serde::Serialize;
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

#[derive(Debug, Args)]
pub struct Arguments {
    /// Folder with dataset.toml, images/ and masks/ (class id a pixel; `keyhole sim --out` writes one).
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// Folder that holds the engines' folders.
    #[arg(long, value_name = "DIR")]
    engines: Option<PathBuf>,
    /// Bring frames to the light and colours that the engine's manifest states (where it does), or show them as they are.
    #[arg(long, value_name = "on|off", default_value = "on", value_parser = ["on", "off"])]
    normalise: String,
    /// Write the figures as JSON.
    #[arg(long, value_name = "F.json")]
    report: Option<PathBuf>,
    /// Write the figures as one page to look at.
    #[arg(long, value_name = "F.html")]
    html: Option<PathBuf>,
    /// Write what was found as class masks, one a picture, with its stem.
    #[arg(long, value_name = "DIR")]
    masks: Option<PathBuf>,
}

#[derive(Serialize)]
struct Report<'a> {
    schema: &'static str,
    version: &'static str,
    commit: &'static str,
    engine: EngineLine<'a>,
    data: DataLine<'a>,
    #[serde(flatten)]
    summary: &'a Summary,
}

#[derive(Serialize)]
struct EngineLine<'a> {
    name: &'a str,
    version: &'a str,
    model_sha256: &'a str,
    manifest_sha256: &'a str,
    signature: String,
    is_normalised: bool,
}

#[derive(Serialize)]
struct DataLine<'a> {
    name: &'a str,
    licence: &'a str,
    sha256: &'a str,
}

pub fn main(arguments: &Arguments) -> anyhow::Result<()> {
    let data = DataSet::open(&arguments.data)?;
    let engine = Engines::find(arguments.engines.as_deref())?.load_for("cpu")?;
    if let Some(dir) = &arguments.masks {
        std::fs::create_dir_all(dir).with_context(|| format!("'{}' cannot be made", dir.display()))?;
    }
    let mut validation = Validation::new(regions_of(&engine));
    let settings = infer::Settings { normalise: arguments.normalise == "on" };
    let mut analyser = Analyser::load_with(engine.clone(), &settings)?;
    for (index, picture) in data.pictures.iter().enumerate() {
        let truth = data.mask(picture, validation.classes())?;
        let found = analyse(&mut analyser, picture, index).with_context(|| format!("'{}'", picture.image.display()))?;
        validation.push(picture, &truth, &found);
        if let Some(dir) = &arguments.masks {
            let path = dir.join(picture.image.with_extension("png").file_name().unwrap_or_default());
            save_grey(&path, &found.ids, found.width, found.height)?;
        }
        progress(index + 1, data.pictures.len());
    }
    let summary = validation.summary();
    let report = Report {
        schema: "keyhole.validation/1",
        version: env!("CARGO_PKG_VERSION"),
        commit: env!("KEYHOLE_COMMIT"),
        engine: EngineLine {
            name: &engine.manifest.name,
            version: &engine.manifest.version,
            model_sha256: &engine.manifest.model.sha256,
            manifest_sha256: &engine.manifest_sha256,
            signature: engine.seal.to_string(),
            is_normalised: engine.manifest.normalisation.is_some() && settings.normalise,
        },
        data: DataLine { name: &data.name, licence: &data.licence, sha256: &data.sha256 },
        summary: &summary,
    };
    print(&engine, &data, &summary);
    if let Some(path) = &arguments.report {
        write(path, serde_json::to_string_pretty(&report)?.as_bytes())?;
    }
    if let Some(path) = &arguments.html {
        let title = format!("{} {} on {}", engine.manifest.name, engine.manifest.version, data.name);
        write(path, page(&title, &serde_json::to_value(&report)?, &summary).as_bytes())?;
    }
    Ok(())
}

/// What the engine tells apart by pixels.
fn regions_of(engine: &LockedEngine) -> Vec<ClassId> {
    let table = classes::table();
    let is_region = |id: &ClassId| table.has_kind(*id, ClassKind::Tissue) || table.has_kind(*id, ClassKind::Instrument);
    let mut ids: Vec<ClassId> = engine.manifest.heads.iter().flat_map(|head| head.class_ids()).copied().filter(is_region).collect();
    ids.sort_unstable_by_key(|id| id.0);
    ids.dedup();
    ids
}

/// Each picture stands alone: nothing is known of the one before it.
fn analyse(analyser: &mut Analyser, picture: &Labelled, index: usize) -> anyhow::Result<Mask> {
    let (layout, bytes) = read(&picture.image)?;
    let view = FrameView::new(&layout, &bytes).context("its bytes are not what its size says")?;
    analyser.forget();
    let capture_ns = 1_000_000_000 * (index as u64 + 1);
    let stamps = Stamps { id: FrameId(index as u64), pts_ns: capture_ns, capture_ns };
    let scene = analyser.analyse(view, stamps, &|| true)?.context("it was overwritten")?;
    let (width, height) = (layout.width, layout.height);
    let found = Mask { width, height, ids: upsample_mask(&scene.mask, width, height) };
    analyser.keep(scene);
    Ok(found)
}

/// PNG as it is; everything else by GStreamer.
pub(super) fn read(path: &Path) -> anyhow::Result<(FrameLayout, Vec<u8>)> {
    if path.extension().is_some_and(|is| is.eq_ignore_ascii_case("png")) {
        return picture_from_png(&std::fs::read(path)?).map_err(anyhow::Error::msg);
    }
    let path = path.to_str().context("its name is not UTF-8")?.replace('\\', "\\\\").replace('"', "\\\"");
    let uri = format!("gst:filesrc location=\"{path}\" ! jpegdec");
    let mut source = capture::open(&uri, &capture::Settings::default(), Arc::new(crate::base::clock::MonotonicClock))?;
    for _ in 0..100 {
        match source.pull(Duration::from_millis(50))? {
            Pull::Picture(picture) => {
                let mut bytes = vec![0; picture.layout.size];
                picture.copy_into(&mut bytes);
                return Ok((picture.layout, bytes));
            }
            Pull::End => break,
            Pull::Idle | Pull::Event(_) => {}
        }
    }
    anyhow::bail!("no picture could be decoded")
}

fn print(engine: &LockedEngine, data: &DataSet, summary: &Summary) {
    let told = |interval: Option<crate::eval::Interval>| match interval {
        None => "–".to_owned(),
        Some(of) => match (of.low, of.high) {
            (Some(low), Some(high)) => format!("{:.3} ({low:.3}–{high:.3})", of.value),
            _ => format!("{:.3} (insufficient)", of.value),
        },
    };
    println!("{} {}: {} on '{}'", engine.manifest.name, engine.manifest.version, engine.seal, data.name);
    println!("{} pictures of {} patients; in brackets 95 % intervals over patients", summary.pictures, summary.patients);
    println!("{:<18} {:>8} {:>24} {:>24} {:>24} {:>24}", "class", "pictures", "IoU", "Dice", "boundary F1", "HD95 px");
    for of in &summary.classes {
        println!(
            "{:<18} {:>8} {:>24} {:>24} {:>24} {:>24}",
            of.class,
            of.pictures,
            told(of.iou),
            told(of.dice),
            told(of.boundary_f1),
            told(of.hd95_px)
        );
    }
}

fn progress(done: usize, total: usize) {
    let mut error = std::io::stderr();
    if error.is_terminal() {
        let _ = write!(error, "\r{done} of {total} pictures{}", if done == total { "\n" } else { "" });
    }
}

/// The whole file or what was there before.
fn write(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let part = path.with_extension("part");
    let written = std::fs::write(&part, bytes).and_then(|()| std::fs::rename(&part, path));
    written.with_context(|| format!("'{}' cannot be written", path.display()))
}
