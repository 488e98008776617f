//! What `keyhole validate` leaves behind: lines on the terminal, JSON, a page.

use super::work::Found;
use crate::eval::{ClassAgreement, DataSet, FileLine, Interval, Page, Plan, Registration, Summary, TrackingSummary, Verdict};
use crate::infer::Backend;
use crate::record::write_whole;
use crate::store::{LockedEngine, PIPELINE_VERSION};
use serde::Serialize;
use std::path::Path;

const SCHEMA: &str = "keyhole.validation/1";
const METHOD: &str = "95 % percentile bootstrap intervals, 2000 draws of patients; pixels pooled over pictures; HD95: larger of both directions' \
95th percentiles, median over pictures that have both; boundary F1 within 0.75 % of the diagonal; AUROC of pixels in bins of 1/32 octave of \
odds (auroc_ties bounds what that costs); ECE in 15 equal bins, a class against the rest, ece_boundary within 10 px of a boundary of the labels; \
found in a picture: on 0.2 % of its labelled pixels or more; labels of 255 count nowhere, 255 where the engine abstains counts as wrong.";

/// What the figures are of.
pub struct Bound<'a> {
    pub engine: &'a LockedEngine,
    pub backend: Backend,
    pub is_normalised: bool,
    pub data: &'a DataSet,
    pub plan: Option<&'a (Plan, Registration)>,
}

pub struct Outcome<'a> {
    pub found: &'a Found,
    pub verdicts: &'a [Verdict],
    pub missing: &'a [String],
}

#[derive(Serialize)]
struct Report<'a> {
    schema: &'static str,
    version: &'static str,
    commit: &'static str,
    pipeline_version: u32,
    backend: &'static str,
    engine: EngineLine<'a>,
    data: DataLine<'a>,
    plan: Option<PlanLine<'a>>,
    method: &'static str,
    #[serde(flatten)]
    summary: &'a Summary,
    tracking: Option<&'a TrackingSummary>,
    agreement: &'a [ClassAgreement],
}

#[derive(Serialize)]
struct EngineLine<'a> {
    name: &'a str,
    version: &'a str,
    model_sha256: &'a str,
    manifest_sha256: &'a str,
    signature: String,
    demonstration: bool,
    is_normalised: bool,
}

#[derive(Serialize)]
struct DataLine<'a> {
    name: &'a str,
    licence: &'a str,
    source: &'a str,
    sha256: &'a str,
    files: &'a [FileLine],
}

#[derive(Serialize)]
struct PlanLine<'a> {
    name: &'a str,
    sha256: &'a str,
    registered_at: &'a str,
    met: bool,
    end_points: &'a [Verdict],
    missing: &'a [String],
}

pub fn write(bound: &Bound<'_>, outcome: &Outcome<'_>, json: Option<&Path>, html: Option<&Path>) -> anyhow::Result<()> {
    let Bound { engine, backend, is_normalised, data, plan } = bound;
    let manifest = &engine.manifest;
    let signature = engine.seal.to_string();
    let report = Report {
        schema: SCHEMA,
        version: env!("CARGO_PKG_VERSION"),
        commit: env!("KEYHOLE_COMMIT"),
        pipeline_version: PIPELINE_VERSION,
        backend: backend.name(),
        engine: EngineLine {
            name: &manifest.name,
            version: &manifest.version,
            model_sha256: &manifest.model.sha256,
            manifest_sha256: &engine.manifest_sha256,
            signature: signature.clone(),
            demonstration: engine.is_demonstration(),
            is_normalised: *is_normalised,
        },
        data: DataLine { name: &data.name, licence: &data.licence, source: &data.source, sha256: &data.sha256, files: &data.files },
        plan: plan.map(|(plan, registration)| PlanLine {
            name: &plan.name,
            sha256: &registration.sha256,
            registered_at: &registration.registered_at,
            met: outcome.missing.is_empty() && outcome.verdicts.iter().all(|verdict| verdict.met),
            end_points: outcome.verdicts,
            missing: outcome.missing,
        }),
        method: METHOD,
        summary: &outcome.found.summary,
        tracking: outcome.found.tracking.as_ref(),
        agreement: &outcome.found.agreement,
    };
    // Both are made before either is written.
    let value = serde_json::to_value(&report)?;
    let page = html.map(|path| (path, page(bound, outcome, &value, &signature)));
    if let Some(path) = json {
        write_whole(path, serde_json::to_string_pretty(&value)?.as_bytes())?;
    }
    if let Some((path, page)) = page {
        write_whole(path, page.as_bytes())?;
    }
    Ok(())
}

fn page(bound: &Bound<'_>, outcome: &Outcome<'_>, report: &serde_json::Value, signature: &str) -> String {
    let Bound { engine, data, plan, .. } = bound;
    let manifest = &engine.manifest;
    let planned = match plan {
        Some((plan, registration)) => format!("{}, sha256 {}, registered {}", plan.name, registration.sha256, registration.registered_at),
        None => "none: these figures were looked at without end points said before".to_owned(),
    };
    let bound_to = [
        ("engine", format!("{} {}, {signature}", manifest.name, manifest.version)),
        ("model", format!("sha256 {}", manifest.model.sha256)),
        ("manifest", format!("sha256 {}", engine.manifest_sha256)),
        ("data set", format!("{}, {} files, sha256 {}; {}", data.name, data.files.len(), data.sha256, data.licence)),
        ("plan", planned),
        ("keyhole", format!("{}, commit {}, pipeline version {PIPELINE_VERSION}", env!("CARGO_PKG_VERSION"), env!("KEYHOLE_COMMIT"))),
        ("method", METHOD.to_owned()),
    ];
    let title = format!("{} {} on {}", manifest.name, manifest.version, data.name);
    // The page shows the list of files by its hash alone; it can be long.
    let mut short = report.clone();
    if let Some(data) = short.get_mut("data").and_then(|data| data.as_object_mut()) {
        data.remove("files");
    }
    Page {
        title: &title,
        bound_to: &bound_to,
        report: &short,
        summary: &outcome.found.summary,
        tracking: outcome.found.tracking.as_ref(),
        agreement: &outcome.found.agreement,
        verdicts: outcome.verdicts,
        missing: outcome.missing,
        shots: &outcome.found.shots,
    }
    .html()
}

pub fn print(bound: &Bound<'_>, outcome: &Outcome<'_>) {
    let (engine, data, summary) = (bound.engine, bound.data, &outcome.found.summary);
    println!("{} {}: {} on '{}'", engine.manifest.name, engine.manifest.version, engine.seal, data.name);
    if summary.pictures > 0 {
        println!(
            "{} pictures of {} patients; in brackets 95 % intervals over patients, n: patients with a figure",
            summary.pictures, summary.patients
        );
        println!("{:<18} {:>8} {:>29} {:>29} {:>29} {:>29} {:>29}", "class", "pictures", "IoU", "Dice", "boundary F1", "HD95 px", "ECE");
        for of in summary.classes.iter().filter(|of| of.pictures > 0) {
            let [iou, dice, f1, hd95, ece] = [of.iou, of.dice, of.boundary_f1, of.hd95_px, of.ece].map(told);
            println!("{:<18} {:>8} {iou:>29} {dice:>29} {f1:>29} {hd95:>29} {ece:>29}", of.class, of.pictures);
        }
    }
    if let Some(of) = &outcome.found.tracking {
        if !of.clips.is_empty() {
            println!("tracking, {} clips: HOTA {}, IDF1 {}, MOTA {}", of.clips.len(), told(of.hota), told(of.idf1), told(of.mota));
        }
        if of.tips_labelled > 0 {
            let percent = told(of.tip_error_percent);
            println!(
                "tips: {} of {} found, median error {percent} % of the width, p50 {:.1} px",
                of.tips_found, of.tips_labelled, of.tip_error_px.p50
            );
        }
        if of.boxes_labelled > 0 {
            println!("boxes: {} labelled, mean average precision {}", of.boxes_labelled, told(of.map));
        }
    }
    for of in &outcome.found.agreement {
        println!("{} agree on {}: Dice {:.3}", of.raters.join(", "), of.class, of.dice.unwrap_or(0.0));
    }
    for verdict in outcome.verdicts {
        let of = &verdict.end_point;
        let class = of.class.as_deref().unwrap_or("all classes");
        let group = of.subgroup.as_ref().map_or(String::new(), |group| format!(", {group}"));
        println!("{} {} of {class}{group}: {}", if verdict.met { "met    " } else { "NOT MET" }, of.metric, verdict.reason);
    }
    outcome.missing.iter().for_each(|missing| println!("NOT MET {missing}"));
}

fn told(interval: Option<Interval>) -> String {
    match interval {
        None => "–".to_owned(),
        Some(of) => match (of.low, of.high) {
            (Some(low), Some(high)) => format!("{:.3} ({low:.3}–{high:.3}) n {}", of.value, of.patients),
            _ => format!("{:.3} (insufficient, n {})", of.value, of.patients),
        },
    }
}
