//! The validation report as one page: no script, nothing loaded from elsewhere.

use super::agreement::ClassAgreement;
use super::bootstrap::{ENOUGH_PATIENTS, Interval};
use super::figures::{Figures, Summary, Verdict};
use super::gallery::Shot;
use super::plots::{Line, bar, base64, curves};
use super::tracking::TrackingSummary;
use crate::base::html::escaped;
use std::fmt::Write;

/// What the page shows.
pub struct Page<'a> {
    pub title: &'a str,
    /// What it is bound to: name and value.
    pub bound_to: &'a [(&'static str, String)],
    /// The whole report, as it is in the JSON.
    pub report: &'a serde_json::Value,
    pub summary: &'a Summary,
    pub tracking: Option<&'a TrackingSummary>,
    pub agreement: &'a [ClassAgreement],
    pub verdicts: &'a [Verdict],
    pub missing: &'a [String],
    pub shots: &'a [Shot],
}

const STYLE: &str = "body{font:15px/1.5 sans-serif;max-width:112em;margin:2em auto;padding:0 1em;color:#222}table{border-collapse:collapse;\
display:block;overflow-x:auto}td,th{padding:.25em .5em;text-align:left;border-bottom:1px solid #ddd;white-space:nowrap}svg{vertical-align:middle;\
font:12px sans-serif}figure{display:inline-block;margin:0 1.5em 1.5em 0;vertical-align:top}figcaption{font-weight:bold}pre{overflow:auto;\
background:#f6f6f6;padding:1em}small{color:#777}td small{display:block}.wrap td{white-space:normal;overflow-wrap:anywhere}.met{color:#17692b}.failed{color:#b00020;font-weight:bold}";

impl Page<'_> {
    pub fn html(&self) -> String {
        let Page { title, summary, .. } = self;
        let mut html = format!(
            "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>{0}</title><style>{STYLE}</style><h1>{0}</h1>\
             <p>{1} pictures with masks, of {2} patients. Small, and as whiskers: 95 % intervals by bootstrap over patients; <small>n</small>: patients in \
             whom a figure could be told. Below {ENOUGH_PATIENTS} patients there is no interval: such a figure is insufficient for any claim.</p>",
            escaped(title),
            summary.pictures,
            summary.patients
        );
        self.verdicts(&mut html);
        if summary.pictures > 0 {
            table(&mut html, "All pictures", &summary.classes);
            self.in_use(&mut html);
            self.plots(&mut html);
            for (group, figures) in &summary.subgroups {
                table(&mut html, group, figures);
            }
        }
        self.tracking(&mut html);
        self.agreement(&mut html);
        self.worst(&mut html);
        html += "<h2>What this report is bound to</h2><table class=\"wrap\">";
        for (name, value) in self.bound_to {
            let _ = write!(html, "<tr><th>{name}<td>{}</tr>", escaped(value));
        }
        let json = serde_json::to_string_pretty(self.report).unwrap_or_default();
        let _ = write!(html, "</table><details><summary>All figures</summary><pre>{}</pre></details></html>", escaped(&json));
        html
    }

    fn verdicts(&self, html: &mut String) {
        if self.verdicts.is_empty() {
            return;
        }
        *html += "<h2>End points of the plan</h2><table><tr><th>verdict<th>metric<th>class<th>subgroup<th>limit<th>figure<th>why</tr>";
        for verdict in self.verdicts {
            let of = &verdict.end_point;
            let limit = match (of.at_least, of.at_most) {
                (Some(limit), _) => format!("≥ {limit}"),
                (_, Some(limit)) => format!("≤ {limit}"),
                _ => String::new(),
            };
            let (style, word) = if verdict.met { ("met", "met") } else { ("failed", "NOT MET") };
            let named = |name: &Option<String>| escaped(name.as_deref().unwrap_or("all"));
            let _ = write!(
                html,
                "<tr><td class=\"{style}\">{word}<td>{}<td>{}<td>{}<td>{limit}<td>{}<td>{}</tr>",
                escaped(&of.metric),
                named(&of.class),
                named(&of.subgroup),
                told(verdict.figure, 3),
                escaped(&verdict.reason)
            );
        }
        *html += "</table>";
        for missing in self.missing {
            let _ = write!(html, "<p class=\"failed\">{}</p>", escaped(missing));
        }
    }

    fn in_use(&self, html: &mut String) {
        let Some(at) = self.summary.prevalence else { return };
        let _ = write!(
            html,
            "<h2>At a stated prevalence</h2><p>If {:.1} % of the pictures have a class, at {} pictures a second; counted in pictures. –: no picture without it is labelled.</p>\
             <table><tr><th>class<th>sensitivity<th>PPV<th>false positive pictures a minute</tr>",
            100.0 * at.prevalence,
            at.pictures_a_second
        );
        for of in &self.summary.classes {
            let cells = [told(of.picture_sensitivity, 3), told(of.ppv_at_prevalence, 3), told(of.false_positives_a_minute, 1)];
            let _ = write!(html, "<tr><td>{}<td>{}</tr>", escaped(&of.class), cells.join("<td>"));
        }
        *html += "</table>";
    }

    fn plots(&self, html: &mut String) {
        let lines = |points: &dyn Fn(&Figures) -> Vec<[f64; 2]>| -> Vec<Line<'_>> {
            let each = self.summary.classes.iter().map(|of| Line { name: &of.class, points: points(of) });
            each.filter(|line| !line.points.is_empty()).collect()
        };
        *html += "<h2>Ranking and calibration, pixels</h2>";
        let roc = lines(&|of| of.roc.clone());
        if roc.is_empty() {
            *html += "<p>The engine gives no probabilities that could be ranked.</p>";
            return;
        }
        *html += &curves("ROC", ["1 − specificity", "sensitivity"], &roc, 1.0, true);
        let reliability = lines(&|of| of.reliability.iter().map(|bin| [bin.confidence, bin.accuracy]).collect());
        *html += &curves("Reliability, 15 bins", ["probability", "was so"], &reliability, 1.0, true);
    }

    fn tracking(&self, html: &mut String) {
        let Some(of) = self.tracking else { return };
        if !of.clips.is_empty() {
            *html += "<h2>Tracking</h2><table><tr><th>clip<th>patient<th>frames<th>HOTA<th>DetA<th>AssA<th>IDF1<th>time on the right one<th>MOTA<th>id switches\
                <th>tip error p50, px<th>p50, % of width<th>p95</tr>";
            for clip in &of.clips {
                let follows = &clip.follows;
                let _ = write!(
                    html,
                    "<tr><td>{}<td>{}<td>{}<td>{:.3}<td>{:.3}<td>{:.3}<td>{:.3}<td>{:.3}<td>{:.3}<td>{}<td>{:.1}<td>{:.2}<td>{:.2}</tr>",
                    escaped(&clip.name),
                    escaped(&clip.patient),
                    clip.frames,
                    follows.hota.hota,
                    follows.hota.det_a,
                    follows.hota.ass_a,
                    follows.identity.idf1,
                    // IDR: of the labelled things' frames, those in which each was followed as the one that it is.
                    follows.identity.recall,
                    follows.clear.mota,
                    follows.clear.switches,
                    clip.tip_error_px.p50,
                    clip.tip_error_percent.p50,
                    clip.tip_error_percent.p95
                );
            }
            let _ =
                write!(html, "</table><p>Together: HOTA {}, IDF1 {}, MOTA {}.</p>", told(of.hota, 3), told(of.idf1, 3), told(of.mota, 3));
        }
        if of.tips_labelled > 0 {
            let _ = write!(
                html,
                "<h2>Tips</h2><p>{} of {} labelled tips found; error p50 {:.1} px, p95 {:.1} px; median {} % of the picture's width.</p>",
                of.tips_found,
                of.tips_labelled,
                of.tip_error_px.p50,
                of.tip_error_px.p95,
                told(of.tip_error_percent, 2)
            );
        }
        if of.boxes_labelled > 0 {
            let _ = write!(
                html,
                "<h2>Boxes</h2><p>{} labelled; average precision as COCO: mean {}.</p><table><tr><th>class<th>AP .50:.95<th>AP .50<th>AP .75</tr>",
                of.boxes_labelled,
                told(of.map, 3)
            );
            for (class, ap) in &of.average_precision {
                let _ = write!(html, "<tr><td>{}<td>{:.3}<td>{:.3}<td>{:.3}</tr>", escaped(class), ap.map, ap.at_50, ap.at_75);
            }
            *html += "</table>";
            let points: Vec<[f64; 2]> = of.froc.iter().map(|point| [point.false_marks_a_frame, point.sensitivity]).collect();
            let most = points.iter().map(|point| point[0]).fold(0.1, f64::max);
            let line = Line { name: "all classes", points };
            *html += &curves("FROC", ["false marks a frame", "labelled things hit"], &[line], most, false);
        }
    }

    fn agreement(&self, html: &mut String) {
        if self.agreement.is_empty() {
            return;
        }
        *html += "<h2>Agreement of those who labelled</h2><p>Pixels pooled; sensitivity and specificity of each against the STAPLE consensus of all.</p>\
            <table><tr><th>class<th>raters<th>Dice, mean of pairs<th>Cohen's kappa<th>Fleiss' kappa<th>against the consensus</tr>";
        let number = |value: Option<f64>| value.map_or("–".to_owned(), |value| format!("{value:.3}"));
        for of in self.agreement {
            let each =
                of.raters.iter().zip(&of.staple).map(|(name, r)| format!("{} {:.3} / {:.3}", escaped(name), r.sensitivity, r.specificity));
            let cells = [number(of.dice), number(of.cohen_kappa), number(of.fleiss_kappa), each.collect::<Vec<_>>().join(", ")];
            let _ = write!(html, "<tr><td>{}<td>{}<td>{}</tr>", escaped(&of.class), escaped(&of.raters.join(", ")), cells.join("<td>"));
        }
        *html += "</table>";
    }

    fn worst(&self, html: &mut String) {
        if self.shots.is_empty() {
            return;
        }
        *html += "<h2>Worst cases</h2><p>Green: labelled. Magenta: found. White: both. Darker: nobody knows.</p>";
        for shot in self.shots {
            let _ = write!(
                html,
                "<figure><figcaption>{}, {}: IoU {:.3}</figcaption><img alt=\"\" src=\"data:image/png;base64,{}\"></figure>",
                escaped(&shot.class),
                escaped(&shot.image),
                shot.iou,
                base64(&shot.png)
            );
        }
    }
}

fn table(html: &mut String, title: &str, figures: &[Figures]) {
    let _ = write!(
        html,
        "<h2>{}</h2><table><tr><th>class<th>pictures<th>IoU<th><th>Dice<th>Dice a picture<th>sensitivity<th>specificity<th>PPV<th>boundary F1\
         <th>HD95, px<th>AUROC<th>ECE<th>ECE at boundaries</tr>",
        escaped(title)
    );
    for of in figures.iter().filter(|of| of.pictures > 0) {
        let cells = [of.dice, of.dice_a_picture, of.sensitivity, of.specificity, of.ppv, of.boundary_f1].map(|figure| told(figure, 3));
        let one_sided = if of.hd95_one_sided > 0 { format!(" <small>{} one-sided</small>", of.hd95_one_sided) } else { String::new() };
        let last = [of.auroc, of.ece, of.ece_boundary].map(|figure| told(figure, 3));
        let _ = write!(
            html,
            "<tr><td>{}<td>{}<td>{}<td>{}<td>{}<td>{}{one_sided}<td>{}</tr>",
            escaped(&of.class),
            of.pictures,
            bar(of.iou),
            told(of.iou, 3),
            cells.join("<td>"),
            told(of.hd95_px, 1),
            last.join("<td>")
        );
    }
    html.push_str("</table>");
    let absent: Vec<&str> = figures.iter().filter(|of| of.pictures == 0).map(|of| of.class.as_str()).collect();
    if !absent.is_empty() {
        let _ = write!(html, "<p><small>Neither labelled nor found: {}.</small></p>", escaped(&absent.join(", ")));
    }
}

fn told(figure: Option<Interval>, digits: usize) -> String {
    match figure {
        None => "–".to_owned(),
        Some(Interval { value, low: Some(low), high: Some(high), patients }) => {
            format!("{value:.digits$} <small>{low:.digits$}–{high:.digits$}, n {patients}</small>")
        }
        Some(Interval { value, patients, .. }) => format!("{value:.digits$} <small>insufficient, n {patients}</small>"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_shown_and_never_run() {
        let one = |value, low, high, patients| Some(Interval { value, low, high, patients });
        let figures = Figures {
            class: "<b>liver".into(),
            pictures: 3,
            iou: one(0.5, Some(0.25), Some(0.75), 9),
            ppv: one(0.5, None, None, 2),
            roc: vec![[0.0, 0.0], [1.0, 1.0]],
            ..Figures::default()
        };
        let absent = Figures { class: "fat".into(), ..Figures::default() };
        let summary = Summary { pictures: 3, patients: 9, classes: vec![figures, absent], ..Summary::default() };
        let shots = [Shot { image: "<i>".into(), class: "liver".into(), iou: 0.1, png: vec![1, 2, 3] }];
        let page = Page {
            title: "<script>",
            bound_to: &[("commit", "<u>".to_owned())],
            report: &serde_json::json!({ "a": "</pre>" }),
            summary: &summary,
            tracking: None,
            agreement: &[],
            verdicts: &[],
            missing: &[],
            shots: &shots,
        };
        let html = page.html();
        assert!(!html.contains("<script>") && !html.contains("<b>") && !html.contains("<i>") && !html.contains("<u>"));
        assert!(html.matches("</pre>").count() == 1);
        assert!(html.contains("0.500 <small>0.250–0.750, n 9") && html.contains("insufficient, n 2"));
        assert!(html.contains("base64,AQID") && html.contains("Neither labelled nor found: fat") && html.contains("ROC"));
    }
}
