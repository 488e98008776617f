//! The model card of an engine (Mitchell et al. 2019, "Model Cards for Model Reporting"): what its manifest says and what validation
//! reports found, on one page without scripts. Nothing is measured here, and nothing is said that neither of them says.

use crate::base::html::escaped;
use crate::store::LockedEngine;
use serde_json::Value;
use std::fmt::Write;

/// Why there is no card.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum CardError {
    #[error(
        "report '{name}' is no validation report (schema \"keyhole.validation/1\" expected): make one with `keyhole validate --report`"
    )]
    Schema { name: String },
    #[error("report '{name}' is of another model ({found}, the engine's is {expected}): validate this engine")]
    OtherModel { name: String, found: String, expected: String },
}

/// The page. `manifest` is the manifest's text; `reports`: a name and what `keyhole validate --report` wrote.
pub fn card(engine: &LockedEngine, manifest: &toml::Table, reports: &[(String, Value)]) -> Result<String, CardError> {
    for (name, report) in reports {
        check(engine, name, report)?;
    }
    let of = &engine.manifest;
    let mut html = format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>{0} {1}</title><style>{STYLE}</style><h1>{0} {1}</h1>",
        escaped(&of.name),
        escaped(&of.version)
    );
    if engine.is_demonstration() {
        html += "<p class=\"warning\">Demonstration: no vendor has signed this engine. Not for patients.</p>";
    }
    let classes: Vec<String> = of
        .heads
        .iter()
        .map(|head| {
            let names: Vec<&str> = head.class_ids().iter().map(|&id| crate::base::classes::table().name(id)).collect();
            format!("{}: {}", head.kind.name(), names.join(", "))
        })
        .collect();
    section(&mut html, "Model details");
    rows(
        &mut html,
        &[
            ("signature", engine.seal.to_string()),
            ("input", format!("{}×{} pixels, {:?}", of.input.width, of.input.height, of.input.colour)),
            ("heads", classes.join("; ")),
            ("model SHA-256", of.model.sha256.clone()),
            ("manifest SHA-256", engine.manifest_sha256.clone()),
            ("pipeline version", of.pipeline_version.to_string()),
            ("licence", of.licence.clone()),
        ],
    );
    section(&mut html, "Intended use");
    paragraph(&mut html, &of.intended_use);
    if let Some(indication) = manifest.get("indication") {
        table_of(&mut html, indication);
    }
    let training = manifest.get("training").and_then(toml::Value::as_table);
    section(&mut html, "Limits");
    let mut has_limits = false;
    for key in ["not_held_out", "held_out", "thresholds_chosen_on", "limits"] {
        if let Some(text) = training.and_then(|t| t.get(key)).and_then(toml::Value::as_str) {
            let _ = write!(html, "<p><b>{}</b>: {}</p>", key.replace('_', " "), escaped(text));
            has_limits = true;
        }
    }
    if !has_limits {
        paragraph(&mut html, "The manifest names none.");
    }
    section(&mut html, "Training data");
    training_data(&mut html, training);
    for key in ["recipe", "method"] {
        if let Some(text) = training.and_then(|t| t.get(key)).and_then(toml::Value::as_str) {
            let _ = write!(html, "<p><b>{key}</b>: {}</p>", escaped(text));
        }
    }
    if let Some(calibration) = manifest.get("calibration") {
        section(&mut html, "Calibration");
        table_of(&mut html, calibration);
    }
    if reports.is_empty() {
        section(&mut html, "Quantitative analyses");
        paragraph(&mut html, "No validation report was given. The figures that the manifest carries:");
        match training.and_then(|t| t.get("figures")) {
            Some(figures) => table_of(&mut html, figures),
            None => paragraph(&mut html, "none"),
        }
    }
    for (_, report) in reports {
        analyses(&mut html, report);
    }
    html += "</html>";
    Ok(html)
}

fn check(engine: &LockedEngine, name: &str, report: &Value) -> Result<(), CardError> {
    if report["schema"] != "keyhole.validation/1" {
        return Err(CardError::Schema { name: name.to_owned() });
    }
    let expected = &engine.manifest.model.sha256;
    match report["engine"]["model_sha256"].as_str() {
        Some(found) if found == expected => Ok(()),
        found => {
            Err(CardError::OtherModel { name: name.to_owned(), found: found.unwrap_or("none").to_owned(), expected: expected.clone() })
        }
    }
}

const STYLE: &str = "body{font:15px/1.5 sans-serif;max-width:70em;margin:2em auto;padding:0 1em;color:#222}table{border-collapse:collapse}\
td,th{padding:.25em .8em;text-align:left;border-bottom:1px solid #ddd;vertical-align:top;overflow-wrap:anywhere}\
.warning{background:#fff3cd;border:1px solid #d9b44a;padding:.6em 1em;font-weight:bold}";

fn section(html: &mut String, title: &str) {
    let _ = write!(html, "<h2>{}</h2>", escaped(title));
}

fn paragraph(html: &mut String, text: &str) {
    let _ = write!(html, "<p>{}</p>", escaped(text));
}

fn rows(html: &mut String, of: &[(&str, String)]) {
    html.push_str("<table>");
    for (name, value) in of {
        let _ = write!(html, "<tr><th>{}<td>{}</tr>", escaped(name), escaped(value));
    }
    html.push_str("</table>");
}

/// Any value of a manifest: tables and lists as tables within.
fn table_of(html: &mut String, value: &toml::Value) {
    match value {
        toml::Value::Table(table) => {
            html.push_str("<table>");
            for (name, value) in table {
                let _ = write!(html, "<tr><th>{}<td>", escaped(&name.replace('_', " ")));
                table_of(html, value);
                html.push_str("</tr>");
            }
            html.push_str("</table>");
        }
        toml::Value::Array(list) if list.iter().any(|item| item.is_table()) => list.iter().for_each(|item| table_of(html, item)),
        toml::Value::Array(list) => {
            let words: Vec<String> = list.iter().map(plain).collect();
            html.push_str(&escaped(&words.join(", ")));
        }
        other => html.push_str(&escaped(&plain(other))),
    }
}

fn plain(value: &toml::Value) -> String {
    match value {
        toml::Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn training_data(html: &mut String, training: Option<&toml::Table>) {
    let Some(sets) = training.and_then(|t| t.get("data")).and_then(toml::Value::as_array) else {
        return paragraph(html, "The manifest names none.");
    };
    html.push_str("<table><tr><th>data set<th>licence<th>used for</tr>");
    for set in sets {
        let text = |key: &str| escaped(set.get(key).and_then(toml::Value::as_str).unwrap_or("not stated"));
        let name = set.as_str().map_or_else(|| text("name"), escaped);
        let _ = write!(html, "<tr><td>{name}<td>{}<td>{}</tr>", text("licence"), text("used_for"));
    }
    html.push_str("</table>");
}

/// One validation report: all of it, then each subgroup.
fn analyses(html: &mut String, report: &Value) {
    let text = |value: &Value| escaped(value.as_str().unwrap_or("not stated"));
    let (data, counted) = (&report["data"], |key: &str| report[key].as_u64().unwrap_or(0));
    let _ = write!(
        html,
        "<h2>Quantitative analyses: {}</h2><p>{} pictures of {} patients; licence: {}; source: {}. Intervals: 95 %, by bootstrap over \
         patients; below 5 patients there are none.</p>",
        text(&data["name"]),
        counted("pictures"),
        counted("patients"),
        text(&data["licence"]),
        text(&data["source"])
    );
    figures(html, "all pictures", &report["classes"]);
    for (group, classes) in report["subgroups"].as_object().into_iter().flatten() {
        figures(html, group, classes);
    }
}

const FIGURES: [(&str, &str); 6] =
    [("iou", "IoU"), ("dice", "Dice"), ("sensitivity", "sensitivity"), ("ppv", "PPV"), ("auroc", "AUROC"), ("ece", "ECE")];

fn figures(html: &mut String, title: &str, classes: &Value) {
    let _ = write!(html, "<h3>{}</h3><table><tr><th>class", escaped(title));
    FIGURES.iter().for_each(|(_, name)| html.push_str(&format!("<th>{name}")));
    html.push_str("</tr>");
    for class in classes.as_array().into_iter().flatten() {
        let _ = write!(html, "<tr><td>{}", escaped(class["class"].as_str().unwrap_or("")));
        for (key, _) in FIGURES {
            let _ = write!(html, "<td>{}", told(&class[key]));
        }
        html.push_str("</tr>");
    }
    html.push_str("</table>");
}

fn told(figure: &Value) -> String {
    let patients = figure["patients"].as_u64().unwrap_or(0);
    match (figure["value"].as_f64(), figure["low"].as_f64(), figure["high"].as_f64()) {
        (Some(value), Some(low), Some(high)) => format!("{value:.3} ({low:.3}–{high:.3}; n = {patients})"),
        (Some(value), ..) => format!("{value:.3} (insufficient: n = {patients})"),
        (None, ..) => "–".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::infer::testing::{TestModel, locked};

    fn manifest() -> toml::Table {
        "[training]\nnot_held_out = 'the <clip>'\n[[training.data]]\nname = 'frames'\nlicence = 'CC0'\nused_for = 'masks'\n\
         [training.figures]\n'iou, x' = 0.5\n"
            .parse()
            .unwrap()
    }

    #[test]
    fn a_card_says_what_manifest_and_report_say_and_who_has_not_signed() {
        let engine = locked(&TestModel::default());
        let alone = card(&engine, &manifest(), &[]).unwrap();
        for part in ["Not for patients", "the &lt;clip&gt;", "CC0", "iou, x", "No validation report", &engine.manifest.intended_use] {
            assert!(alone.contains(part), "{part}");
        }
        let report = serde_json::json!({
            "schema": "keyhole.validation/1", "engine": { "model_sha256": engine.manifest.model.sha256 },
            "data": { "name": "set", "licence": "CC0" }, "pictures": 7, "patients": 6,
            "classes": [{ "class": "liver", "iou": { "value": 0.5, "low": 0.4, "high": 0.6, "patients": 6 }, "dice": null }],
            "subgroups": { "scope = a": [{ "class": "liver", "iou": { "value": 0.25, "low": null, "high": null, "patients": 2 } }] },
        });
        let html = card(&engine, &manifest(), &[("r.json".into(), report.clone())]).unwrap();
        for part in ["0.500 (0.400–0.600; n = 6)", "scope = a", "0.250 (insufficient: n = 2)", "7 pictures of 6 patients"] {
            assert!(html.contains(part), "{part}");
        }
        assert!(!html.contains("No validation report"));
    }

    #[test]
    fn a_report_of_another_model_or_kind_makes_no_card() {
        let engine = locked(&TestModel::default());
        let made = |report: Value| card(&engine, &manifest(), &[("r.json".into(), report)]).unwrap_err().to_string();
        assert!(made(serde_json::json!({ "schema": "keyhole.run/1" })).contains("keyhole validate"));
        let other = made(serde_json::json!({ "schema": "keyhole.validation/1", "engine": { "model_sha256": "00" } }));
        assert!(other.contains("another model") && other.contains(&engine.manifest.model.sha256), "{other}");
    }
}
