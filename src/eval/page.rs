//! The validation report as one page: no script, nothing loaded from elsewhere.

use super::bootstrap::Interval;
use super::validation::{Figures, Summary};
use std::fmt::Write;

/// `report`: the whole of it, as it is in the JSON.
pub fn page(title: &str, report: &serde_json::Value, summary: &Summary) -> String {
    let mut html = format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>{0}</title><style>{STYLE}</style><h1>{0}</h1>\
         <p>{1} pictures of {2} patients. Whiskers: 95 % intervals by bootstrap over patients; below 5 patients there are none.</p>",
        escaped(title),
        summary.pictures,
        summary.patients
    );
    table(&mut html, "All pictures", &summary.classes);
    for (group, figures) in &summary.subgroups {
        table(&mut html, group, figures);
    }
    html += "<h2>Worst cases</h2><table><tr><th>picture<th>class<th>IoU</tr>";
    for worst in &summary.worst {
        let _ = write!(html, "<tr><td>{}<td>{}<td>{:.3}</tr>", escaped(&worst.image), escaped(&worst.class), worst.iou);
    }
    let json = serde_json::to_string_pretty(report).unwrap_or_default();
    let _ = write!(html, "</table><details><summary>All figures</summary><pre>{}</pre></details></html>", escaped(&json));
    html
}

const STYLE: &str = "body{font:15px/1.5 sans-serif;max-width:70em;margin:2em auto;padding:0 1em;color:#222}table{border-collapse:collapse}\
td,th{padding:.25em .8em;text-align:left;border-bottom:1px solid #ddd}svg{vertical-align:middle}pre{overflow:auto;background:#f6f6f6;padding:1em}";

fn table(html: &mut String, title: &str, figures: &[Figures]) {
    let _ = write!(
        html,
        "<h2>{}</h2><table><tr><th>class<th>pictures<th>IoU<th><th>Dice<th>sensitivity<th>PPV<th>specificity<th>boundary F1<th>HD95, px</tr>",
        escaped(title)
    );
    for of in figures {
        let cells = [of.dice, of.sensitivity, of.ppv, of.specificity, of.boundary_f1].map(|figure| told(figure, 3));
        let _ = write!(
            html,
            "<tr><td>{}<td>{}<td>{}<td>{}<td>{}<td>{}</tr>",
            escaped(&of.class),
            of.pictures,
            bar(of.iou),
            told(of.iou, 3),
            cells.join("<td>"),
            told(of.hd95_px, 1)
        );
    }
    html.push_str("</table>");
}

fn told(figure: Option<Interval>, digits: usize) -> String {
    match figure {
        None => "–".to_owned(),
        Some(Interval { value, low: Some(low), high: Some(high), .. }) => format!("{value:.digits$} ({low:.digits$}–{high:.digits$})"),
        Some(Interval { value, patients, .. }) => format!("{value:.digits$} (insufficient: {patients} patients)"),
    }
}

/// 0..1 as a bar with its interval.
fn bar(figure: Option<Interval>) -> String {
    let Some(of) = figure else { return String::new() };
    let x = |part: f64| 4.0 + 192.0 * part.clamp(0.0, 1.0);
    let whisker = match (of.low, of.high) {
        (Some(low), Some(high)) => {
            format!("<line x1=\"{:.1}\" x2=\"{:.1}\" y1=\"10\" y2=\"10\" stroke=\"#111\" stroke-width=\"2\"/>", x(low), x(high))
        }
        _ => String::new(),
    };
    format!(
        "<svg width=\"200\" height=\"20\"><rect x=\"4\" y=\"3\" width=\"192\" height=\"14\" fill=\"#eee\"/>\
         <rect x=\"4\" y=\"3\" width=\"{:.1}\" height=\"14\" fill=\"#4a90c2\"/>{whisker}</svg>",
        x(of.value) - 4.0
    )
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_shown_and_never_run() {
        let figures = Figures {
            class: "<b>liver".into(),
            pictures: 3,
            dice: None,
            iou: Some(Interval { value: 0.5, low: Some(0.25), high: Some(0.75), patients: 9 }),
            sensitivity: None,
            specificity: None,
            ppv: Some(Interval { value: 0.5, low: None, high: None, patients: 2 }),
            hd95_px: None,
            boundary_f1: None,
        };
        let summary =
            Summary { pictures: 3, patients: 9, coverage: None, classes: vec![figures], subgroups: Default::default(), worst: Vec::new() };
        let html = page("<script>", &serde_json::json!({ "a": "</pre>" }), &summary);
        assert!(!html.contains("<script>") && !html.contains("<b>") && html.matches("</pre>").count() == 1);
        assert!(html.contains("0.500 (0.250–0.750)") && html.contains("insufficient: 2 patients"));
    }
}
