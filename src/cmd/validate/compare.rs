//! `--compare`: one engine on two backends, frame by frame.

use super::{Arguments, Checking, Progress, clips, pictures, work};
use crate::base::classes;
use crate::base::error::Finding;
use crate::cmd::backend::Backend;
use crate::eval::{DataSet, Parity, ParitySummary, Tolerance};
use crate::frame::{FrameView, Stamps};
use crate::infer;
use crate::record::{check_writable, write_whole};
use crate::scene::Scene;
use crate::store::{Engines, LockedEngine};
use crate::track::Analyser;
use anyhow::Context;
use serde::Serialize;

#[derive(Debug, Serialize)]
struct Report<'a> {
    schema: &'static str,
    version: &'static str,
    commit: &'static str,
    engine: &'a str,
    model_sha256: &'a str,
    backends: [&'static str; 2],
    tolerance: Tolerance,
    found: &'a ParitySummary,
    outside: &'a [String],
}

/// The engine of the last one, on both: what runs on a card is compared with the same on the processor.
pub fn main(backends: [Backend; 2], arguments: &Arguments) -> anyhow::Result<()> {
    let engines = Engines::find(arguments.engines.as_deref())?;
    let chosen = backends.map(|backend| infer::choose(backend.wanted(), &engines, infer::device_for));
    let [one, other] = chosen;
    let backends = [one?.backend, other?.backend];
    let engine = engines.load_for_any(backends[1].endings())?;
    arguments.report.as_deref().map(check_writable).transpose()?;
    let data = DataSet::open_with(&arguments.data, &mut Checking(Progress::new("checked")))?;
    let settings = infer::Settings { normalise: arguments.normalise == "on", ..Default::default() };
    let found = run(&engine, backends, &settings, &data)?;
    let tolerance = Tolerance::default();
    let outside = found.outside(&tolerance);
    print(&engine, &found, backends.map(|backend| backend.name()), &outside);
    if let Some(path) = &arguments.report {
        let report = Report {
            schema: "keyhole.parity/1",
            version: env!("CARGO_PKG_VERSION"),
            commit: env!("KEYHOLE_COMMIT"),
            engine: &engine.manifest.name,
            model_sha256: &engine.manifest.model.sha256,
            backends: backends.map(|backend| backend.name()),
            tolerance,
            found: &found,
            outside: &outside,
        };
        write_whole(path, serde_json::to_string_pretty(&report)?.as_bytes())?;
    }
    match outside.is_empty() {
        true => Ok(()),
        false => {
            Err(Finding(format!("'{}' says other things on {} than on {}", engine.manifest.name, backends[1].name(), backends[0].name()))
                .into())
        }
    }
}

fn run(engine: &LockedEngine, backends: [infer::Backend; 2], settings: &infer::Settings, data: &DataSet) -> anyhow::Result<ParitySummary> {
    let [one, other] = backends.map(|backend| Analyser::load_with(engine.clone(), backend, settings));
    let mut analysers = [one?, other?];
    let mut parity = Parity::new(Tolerance::default());
    let mut progress = Progress::new("pictures");
    for (index, picture) in data.pictures.iter().enumerate() {
        let (layout, bytes) = pictures::read(&picture.image).with_context(|| format!("images/{}", picture.name))?;
        analysers.iter_mut().for_each(Analyser::forget);
        let mut last = None;
        for shown in 0..work::SHOWN_FRAMES {
            let view = || FrameView::new(&layout, &bytes).context("its bytes are not what its size says");
            let stamps = work::stamps(index, shown);
            let [one, other] = &mut analysers;
            last = Some([seen(one, view()?, stamps)?, seen(other, view()?, stamps)?]);
        }
        if let Some([one, other]) = &last {
            parity.push(&picture.name, one, other);
        }
        progress.told(index + 1, data.pictures.len());
    }
    for clip in &data.clips {
        analysers.iter_mut().for_each(Analyser::forget);
        let compared = clips::each_frame(clip, &mut Progress::new("frames of a clip"), |view, stamps, _| {
            let [one, other] = &mut analysers;
            let [of_one, of_other] = [seen(one, view, stamps)?, seen(other, view, stamps)?];
            parity.push(&format!("{} frame {}", clip.name, stamps.id.0), &of_one, &of_other);
            one.keep(of_one);
            other.keep(of_other);
            Ok(())
        });
        compared.with_context(|| format!("clip '{}'", clip.name))?;
    }
    Ok(parity.summary(|class| classes::table().name(class).to_owned()))
}

fn seen(analyser: &mut Analyser, view: FrameView<'_>, stamps: Stamps) -> anyhow::Result<Scene> {
    analyser.analyse(view, stamps, &|| true)?.context("it was overwritten")
}

fn print(engine: &LockedEngine, found: &ParitySummary, [one, other]: [&str; 2], outside: &[String]) {
    println!("{} {}: {other} beside {one}, {} frames", engine.manifest.name, engine.manifest.version, found.frames);
    println!(
        "  pixels of the class mask that agree   {:.3} %, of the worst frame {:.3} % ({})",
        100.0 * found.pixels,
        100.0 * found.least_pixels,
        found.worst
    );
    for class in &found.classes {
        println!("  {}, least IoU of a frame   {:.3}", class.class, class.least_iou);
    }
    if let Some(shared) = found.tracks_shared {
        println!("  tracks that both follow   {:.2} % of {}", 100.0 * shared, found.tracks);
    }
    if let Some(tip) = found.tip_p99_percent {
        println!("  between their tips, p99   {tip:.3} % of the width");
    }
    println!("  frames with another state   {}", found.other_trust);
    for line in outside {
        println!("  OUTSIDE   {line}");
    }
}
