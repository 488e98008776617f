//! `keyhole calibrate`: what an engine's probabilities are worth, and thresholds that follow from it.

mod measure;

use crate::base::classes::{self, ClassKind};
use crate::base::ids::ClassId;
use crate::eval::{DataSet, Diagram, Reliability, Scored, at_temperature, fit_temperature, reliability_page, smallest_threshold};
use crate::infer::OutputSpec;
use crate::store::{self, CalibrationData, CalibrationRecord, ClassCalibration, HeadCalibration, LockedEngine};
use crate::track::Probe;
use anyhow::Context;
use clap::{Args, Subcommand};
use measure::{ClassFigures, Measured, Walk, sure_weights};
use serde::Serialize;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// In each data set at least this part of the sure pixels has to be right: the goal is 95 %, and other patients are harder.
const TARGET_PRECISION: f64 = 0.97;
/// And this part of what is drawn as sure, to its edges, where labels themselves are least exact.
const TARGET_DRAWN: f64 = 0.95;
/// Of fewer patients nobody can say what is sure on others.
const MIN_PATIENTS: usize = 3;
/// At least this part of a labelled class has to be sure, else it is too little to judge by.
const MIN_COVERAGE: f64 = 0.05;
/// Thresholds of which sensitivity and PPV are kept.
const POINTS: std::ops::RangeInclusive<usize> = 1..=19;

#[derive(Debug, Args)]
pub struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Fit an engine's temperatures and `sure` thresholds to labelled pictures that it was not trained on.
    Confidence(Confidence),
}

#[derive(Debug, Args)]
struct Confidence {
    /// Folder with dataset.toml, images/ and masks/; may be given several times.
    #[arg(long, value_name = "DIR", required = true)]
    data: Vec<PathBuf>,
    /// The engine's folder.
    #[arg(long, value_name = "DIR")]
    engine: PathBuf,
    /// Write the calibrated engine here (its own folder: in place). Without it nothing is changed.
    #[arg(long, value_name = "DIR", conflicts_with = "check")]
    out: Option<PathBuf>,
    /// Fit nothing: measure the calibration that the engine has.
    #[arg(long)]
    check: bool,
    /// Write the figures as JSON.
    #[arg(long, value_name = "F.json")]
    report: Option<PathBuf>,
    /// Write the reliability diagrams as one page to look at.
    #[arg(long, value_name = "F.html")]
    html: Option<PathBuf>,
}

#[derive(Serialize)]
struct Report<'a> {
    schema: &'static str,
    version: &'static str,
    engine: &'a str,
    manifest_sha256: &'a str,
    data: Vec<CalibrationData>,
    heads: Vec<HeadLine>,
    classes: Vec<ClassLine>,
    /// Parts of all pixels, and of what is drawn; both as they are after calibration.
    abstained: f64,
    unsure: f64,
    unknown_pictures: usize,
}

#[derive(Serialize)]
struct HeadLine {
    output: String,
    temperature: f32,
    threshold: f32,
}

/// A class as it was and as it is now.
#[derive(Serialize)]
struct ClassLine {
    head: String,
    class: String,
    patients: usize,
    ece_before: Option<f64>,
    ece: Option<f64>,
    band_ece_before: Option<f64>,
    band_ece: Option<f64>,
    /// 1: never.
    sure_from: f32,
    sure_precision: Option<f64>,
    /// Part of the labelled class that is sure, pixel by pixel.
    sure_coverage: Option<f64>,
    /// The same of what is drawn as sure: instruments and tissues whose mean probability is enough, with all of their pixels.
    drawn_precision: Option<f64>,
    drawn_coverage: Option<f64>,
    sensitivity: Option<f64>,
    ppv: Option<f64>,
}

pub fn main(arguments: &Arguments) -> anyhow::Result<()> {
    match &arguments.verb {
        Verb::Confidence(arguments) => confidence(arguments),
    }
}

fn confidence(arguments: &Confidence) -> anyhow::Result<()> {
    let engine = store::load(&arguments.engine)?;
    let data = arguments.data.iter().map(|dir| DataSet::open(dir)).collect::<Result<Vec<_>, _>>()?;
    let mut probe = Probe::open(engine.clone())?;
    let (heads, known) = (probe.heads(), regions_of(&engine));
    let walk = Walk { data: &data, known: &known, heads: &heads };
    let is_labelled = |head: &OutputSpec| data.iter().any(|data| walk.fits(data, head));
    for head in heads.iter().filter(|head| !is_labelled(head)) {
        eprintln!("keyhole: the head '{}' stays as it is: no data set names one of its classes", head.name);
    }
    anyhow::ensure!(heads.iter().any(is_labelled), "nothing to measure: give --data with masks of the classes that the engine tells apart");
    let before = walk.measure(&mut probe, &heads, if arguments.check { "measuring" } else { "before" })?;
    let (now, after) = if arguments.check {
        (heads.clone(), None)
    } else {
        let mut fitted = fit(&walk, &mut probe)?;
        let found = walk.measure(&mut probe, &fitted, "after")?;
        choose_sure(&mut fitted, &found.classes);
        // Once more, with what is sure now.
        let after = walk.measure(&mut probe, &fitted, "sure")?;
        (fitted, Some(after))
    };
    let after = after.as_ref().unwrap_or(&before);
    let lines = lines(&now, &before, after);
    let sets: Vec<CalibrationData> = data.iter().map(data_line).collect();
    print(&engine, &sets, &now, &lines, after);
    let report = Report {
        schema: "keyhole.calibration/1",
        version: env!("CARGO_PKG_VERSION"),
        engine: &engine.manifest.name,
        manifest_sha256: &engine.manifest_sha256,
        data: sets,
        heads: now.iter().map(head_line).collect(),
        classes: lines,
        abstained: after.abstained,
        unsure: after.unsure,
        unknown_pictures: after.unknown,
    };
    if let Some(out) = &arguments.out {
        let heads = head_calibrations(&engine, &heads, &now, &is_labelled);
        let calibrated = store::calibrate(&engine, &heads, &record(&report, &now, &before, after)?, out)?;
        println!("{}: {}", out.display(), calibrated.seal);
        println!("Its signature no longer fits a calibrated engine: lock it with `keyhole engine lock {} --key F`.", out.display());
    }
    if let Some(path) = &arguments.report {
        write(path, serde_json::to_string_pretty(&report)?.as_bytes())?;
    }
    if let Some(path) = &arguments.html {
        write(path, page(&engine, &report, &before, after)?.as_bytes())?;
    }
    Ok(())
}

/// Whatever the engine tells apart by pixels.
fn regions_of(engine: &LockedEngine) -> Vec<ClassId> {
    let table = classes::table();
    let is_region = |id: &ClassId| table.has_kind(*id, ClassKind::Tissue) || table.has_kind(*id, ClassKind::Instrument);
    let ids: BTreeSet<u8> =
        engine.manifest.heads.iter().flat_map(|head| head.class_ids()).filter(|id| is_region(id)).map(|id| id.0).collect();
    ids.into_iter().map(ClassId).collect()
}

/// The heads at their fitted temperatures. Their thresholds go with them, so that they decide as before.
fn fit(walk: &Walk<'_>, probe: &mut Probe) -> anyhow::Result<Vec<OutputSpec>> {
    let logits = walk.logits(probe)?;
    let fitted = walk.heads.iter().zip(logits).map(|(head, logits)| {
        let mut head = head.clone();
        if let Some(logits) = logits {
            let temperature = (fit_temperature(|temperature| logits.loss(temperature)) * 1e4).round() / 1e4;
            head.threshold = moved(head.threshold, head.calibration.temperature, temperature);
            head.calibration.temperature = temperature;
        }
        head
    });
    Ok(fitted.collect())
}

/// A threshold at another temperature, in thousandths.
fn moved(threshold: f32, from: f32, to: f32) -> f32 {
    ((at_temperature(threshold, to / from) * 1e3).round() / 1e3).clamp(0.001, 0.999)
}

/// The smallest probability from which on enough is right, pixel by pixel and of what is drawn, in each data set.
fn choose_sure(heads: &mut [OutputSpec], classes: &[ClassFigures]) {
    for class in classes {
        let head = &mut heads[class.head];
        let all_reach = |sets: &[Scored], from: f32, target: f64| {
            sets.iter().filter_map(|set| set.precision(from)).all(|precision| precision >= target)
        };
        let is_enough = |from: f32| sure_weights(&class.named, from)[0] >= MIN_COVERAGE * class.labelled;
        let is_sure =
            |from: f32| is_enough(from) && all_reach(&class.named, from, TARGET_PRECISION) && all_reach(&class.drawn, from, TARGET_DRAWN);
        let sure = if class.patients.len() < MIN_PATIENTS { 1.0 } else { smallest_threshold(head.threshold, is_sure) };
        let all = head.calibration.sure.get_or_insert_with(|| vec![1.0; head.classes.len()]);
        match class.channel {
            Some(channel) => all[channel] = sure,
            None => all.fill(sure),
        }
    }
}

fn lines(heads: &[OutputSpec], before: &Measured, after: &Measured) -> Vec<ClassLine> {
    let measured = |class: &&ClassFigures| class.whole.ece().is_some();
    let pairs = before.classes.iter().zip(&after.classes).filter(|(_, after)| measured(after));
    let line = |(before, after): (&ClassFigures, &ClassFigures)| {
        let (head, sure) = (&heads[after.head], after.sure(heads));
        let [right, wrong] = sure_weights(&after.named, sure);
        let [drawn_right, drawn_wrong] = sure_weights(&after.drawn, sure);
        let part = |of: f64, all: f64| (all > 0.0).then(|| of / all);
        ClassLine {
            head: head.name.clone(),
            class: after.name.clone(),
            patients: after.patients.len(),
            ece_before: before.whole.ece(),
            ece: after.whole.ece(),
            band_ece_before: before.band.ece(),
            band_ece: after.band.ece(),
            sure_from: sure,
            sure_precision: part(right, right + wrong),
            sure_coverage: part(right, after.labelled),
            drawn_precision: part(drawn_right, drawn_right + drawn_wrong),
            drawn_coverage: part(drawn_right, after.labelled),
            sensitivity: part(after.pixels.from(head.threshold)[0], after.labelled),
            ppv: after.pixels.precision(head.threshold),
        }
    };
    pairs.map(line).collect()
}

fn data_line(data: &DataSet) -> CalibrationData {
    let patients: BTreeSet<&Option<String>> = data.pictures.iter().map(|picture| &picture.patient).collect();
    CalibrationData { name: data.name.clone(), sha256: data.sha256.clone(), pictures: data.pictures.len(), patients: patients.len() }
}

fn head_line(head: &OutputSpec) -> HeadLine {
    HeadLine { output: head.name.clone(), temperature: head.calibration.temperature, threshold: head.threshold }
}

/// What goes into the manifest: of the heads that were measured.
fn head_calibrations(
    engine: &LockedEngine,
    before: &[OutputSpec],
    now: &[OutputSpec],
    is_labelled: &dyn Fn(&OutputSpec) -> bool,
) -> Vec<HeadCalibration> {
    let pairs = before.iter().zip(now).filter(|(_, now)| is_labelled(now));
    let of = |(before, now): (&OutputSpec, &OutputSpec)| {
        let (from, to) = (before.calibration.temperature, now.calibration.temperature);
        let range = engine.manifest.heads.iter().find(|head| head.output == now.name).and_then(|head| head.threshold_range);
        let names = now.classes.iter().zip(now.calibration.sure.iter().flatten()).filter(|(id, _)| **id != ClassId::BACKGROUND);
        let [low, high] = range.unwrap_or([now.threshold; 2]).map(|end| moved(end, from, to));
        HeadCalibration {
            output: now.name.clone(),
            temperature: (to != 1.0).then_some(to),
            threshold: now.threshold,
            threshold_range: range.map(|_| [low.min(now.threshold), high.max(now.threshold)]),
            sure: names.map(|(id, sure)| (classes::table().name(*id).to_owned(), *sure)).collect(),
        }
    };
    pairs.map(of).collect()
}

fn record(report: &Report<'_>, heads: &[OutputSpec], before: &Measured, after: &Measured) -> anyhow::Result<CalibrationRecord> {
    let thousandths = |v: f64| (v * 1e3).round() / 1e3;
    let rows = |reliability: &Reliability| {
        let row = |bin: crate::eval::ReliabilityBin| [bin.confidence, bin.accuracy, bin.share].map(thousandths);
        reliability.bins().into_iter().map(row).collect()
    };
    let measured = before.classes.iter().zip(&after.classes).filter(|(_, after)| after.whole.ece().is_some());
    let class = |(before, after): (&ClassFigures, &ClassFigures)| {
        let error = |reliability: &Reliability| thousandths(reliability.ece().unwrap_or(0.0));
        let line = report.classes.iter().find(|line| line.class == after.name && line.head == heads[after.head].name);
        let point = |step: usize| {
            let threshold = step as f32 / 20.0;
            let sensitivity = if after.labelled > 0.0 { after.pixels.from(threshold)[0] / after.labelled } else { 0.0 };
            Some([f64::from(step as u8) / 20.0, sensitivity, after.pixels.precision(threshold)?].map(thousandths))
        };
        ClassCalibration {
            head: heads[after.head].name.clone(),
            class: after.name.clone(),
            patients: after.patients.len(),
            ece_before: error(&before.whole),
            ece_after: error(&after.whole),
            band_ece_before: error(&before.band),
            band_ece_after: error(&after.band),
            sure_precision: line.and_then(|line| line.sure_precision).map(thousandths),
            sure_coverage: line.and_then(|line| line.sure_coverage).map(thousandths),
            drawn_precision: line.and_then(|line| line.drawn_precision).map(thousandths),
            drawn_coverage: line.and_then(|line| line.drawn_coverage).map(thousandths),
            reliability: rows(&after.whole),
            points: POINTS.filter_map(point).collect(),
        }
    };
    Ok(CalibrationRecord {
        date: today()?,
        method: "temperature scaling by negative log likelihood; sure: smallest probability from which the target is met in each data set"
            .to_owned(),
        target_precision: TARGET_PRECISION,
        data: report.data.clone(),
        classes: measured.map(class).collect(),
    })
}

/// UTC, by the days since 1970 (Hinnant 2013, civil_from_days).
fn today() -> anyhow::Result<String> {
    let days = (std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.as_secs() / 86_400) as i64 + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let day_of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let (day, month) = (day_of_year - (153 * shifted + 2) / 5 + 1, if shifted < 10 { shifted + 3 } else { shifted - 9 });
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    Ok(format!("{year:04}-{month:02}-{day:02}"))
}

fn told(figure: Option<f64>) -> String {
    figure.map_or("–".to_owned(), |value| format!("{value:.3}"))
}

fn print(engine: &LockedEngine, sets: &[CalibrationData], heads: &[OutputSpec], lines: &[ClassLine], after: &Measured) {
    println!("{} {}: {}", engine.manifest.name, engine.manifest.version, engine.seal);
    for set in sets {
        println!("  '{}': {} pictures of {} patients", set.name, set.pictures, set.patients);
    }
    for head in heads {
        println!("  head '{}': temperature {}, threshold {}", head.name, head.calibration.temperature, head.threshold);
    }
    println!(
        "ECE over the whole picture and within 10 px of a boundary, before → after; sure pixels, and what is drawn as sure: right (of the class)"
    );
    let columns = ["class", "patients", "ECE", "ECE 10 px", "sure from", "pixels", "drawn"];
    let [class, patients, whole, band, sure, pixels, drawn] = columns;
    println!("{class:<18} {patients:>8} {whole:>15} {band:>15} {sure:>10} {pixels:>15} {drawn:>15}");
    for line in lines {
        let sure = if line.sure_from < 1.0 { format!("{:.3}", line.sure_from) } else { "never".to_owned() };
        println!(
            "{:<18} {:>8} {:>15} {:>15} {sure:>10} {:>15} {:>15}",
            line.class,
            line.patients,
            format!("{} → {}", told(line.ece_before), told(line.ece)),
            format!("{} → {}", told(line.band_ece_before), told(line.band_ece)),
            format!("{} ({})", told(line.sure_precision), told(line.sure_coverage)),
            format!("{} ({})", told(line.drawn_precision), told(line.drawn_coverage))
        );
    }
    println!(
        "abstained from {:.3} of all pixels; of the pixels of what is drawn {:.3} are unsure; {} pictures unknown",
        after.abstained, after.unsure, after.unknown
    );
}

fn page(engine: &LockedEngine, report: &Report<'_>, before: &Measured, after: &Measured) -> anyhow::Result<String> {
    let pairs = before.classes.iter().zip(&after.classes).filter(|(_, after)| after.whole.ece().is_some());
    let diagram = |((before, after), line): ((&ClassFigures, &ClassFigures), &ClassLine)| Diagram {
        title: after.name.clone(),
        notes: vec![
            format!(
                "ECE {} → {}; within 10 px of a boundary {} → {}",
                told(line.ece_before),
                told(line.ece),
                told(line.band_ece_before),
                told(line.band_ece)
            ),
            format!(
                "{} patients; sure from {}: {} right, {} of the class",
                line.patients,
                line.sure_from,
                told(line.sure_precision),
                told(line.sure_coverage)
            ),
        ],
        before: before.whole.bins(),
        after: after.whole.bins(),
    };
    let diagrams: Vec<Diagram> = pairs.zip(&report.classes).map(diagram).collect();
    let sets: Vec<String> =
        report.data.iter().map(|set| format!("{} ({} pictures of {} patients)", set.name, set.pictures, set.patients)).collect();
    let title = format!("Calibration of {} {}", engine.manifest.name, engine.manifest.version);
    Ok(reliability_page(&title, &format!("On {}.", sets.join("; ")), &diagrams, &serde_json::to_value(report)?))
}

/// The whole file or what was there before.
fn write(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let part = path.with_extension("part");
    let written = std::fs::write(&part, bytes).and_then(|()| std::fs::rename(&part, path));
    written.with_context(|| format!("'{}' cannot be written", path.display()))
}
