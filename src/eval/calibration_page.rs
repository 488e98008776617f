//! Reliability diagrams as one page: no script, nothing loaded from elsewhere.

use super::calibration::ReliabilityBin;
use crate::base::html::escaped;
use std::fmt::Write;

/// One class of one head.
#[derive(Debug, Clone, PartialEq)]
pub struct Diagram {
    pub title: String,
    /// Under the diagram, in words.
    pub notes: Vec<String>,
    pub before: Vec<ReliabilityBin>,
    pub after: Vec<ReliabilityBin>,
}

const STYLE: &str = "body{font:15px/1.5 sans-serif;max-width:70em;margin:2em auto;padding:0 1em;color:#222}\
section{display:inline-block;vertical-align:top;width:21em;margin:0 1em 1em 0}svg{background:#fafafa}p{margin:.2em 0}\
pre{overflow:auto;background:#f6f6f6;padding:1em}";
/// px
const SIDE: f64 = 240.0;
const RIM: f64 = 34.0;

/// `report`: the whole of it, as it is in the JSON.
pub fn reliability_page(title: &str, intro: &str, diagrams: &[Diagram], report: &serde_json::Value) -> String {
    let mut html = format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>{0}</title><style>{STYLE}</style><h1>{0}</h1><p>{1}</p>\
         <p>Across: the probability that was said, in 15 bins. Up: how often it was so. On the diagonal both agree. Grey: before, blue: \
         after calibration; the larger a dot, the more pixels it stands for.</p>",
        escaped(title),
        escaped(intro)
    );
    for of in diagrams {
        let _ = write!(html, "<section><h2>{}</h2>{}", escaped(&of.title), diagram(of));
        for note in &of.notes {
            let _ = write!(html, "<p>{}</p>", escaped(note));
        }
        html.push_str("</section>");
    }
    let json = serde_json::to_string_pretty(report).unwrap_or_default();
    let _ = write!(html, "<details><summary>All figures</summary><pre>{}</pre></details></html>", escaped(&json));
    html
}

fn diagram(of: &Diagram) -> String {
    let x = |part: f64| RIM + SIDE * part.clamp(0.0, 1.0);
    let y = |part: f64| 10.0 + SIDE * (1.0 - part.clamp(0.0, 1.0));
    let mut svg = format!("<svg width=\"{0}\" height=\"{0}\" role=\"img\">", SIDE + RIM + 14.0);
    for tick in [0.0, 0.25, 0.5, 0.75, 1.0] {
        let (right, bottom) = (x(1.0), y(0.0));
        let _ = write!(
            svg,
            "<path d=\"M{0:.1} {1:.1}H{right:.1}M{2:.1} {bottom:.1}V10\" stroke=\"#ddd\"/><text x=\"{3:.1}\" y=\"{4:.1}\" font-size=\"10\" \
             text-anchor=\"end\">{tick}</text><text x=\"{2:.1}\" y=\"{5:.1}\" font-size=\"10\" text-anchor=\"middle\">{tick}</text>",
            x(0.0),
            y(tick),
            x(tick),
            x(0.0) - 4.0,
            y(tick) + 4.0,
            bottom + 14.0
        );
    }
    let _ = write!(svg, "<path d=\"M{:.1} {:.1}L{:.1} {:.1}\" stroke=\"#999\" stroke-dasharray=\"4 4\"/>", x(0.0), y(0.0), x(1.0), y(1.0));
    for (bins, colour) in [(&of.before, "#aaa"), (&of.after, "#2a6fb0")] {
        let points: Vec<String> = bins.iter().map(|bin| format!("{:.1},{:.1}", x(bin.confidence), y(bin.accuracy))).collect();
        let _ = write!(svg, "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>", points.join(" "));
        for bin in bins {
            let radius = 2.0 + 5.0 * bin.share.clamp(0.0, 1.0).sqrt();
            let _ =
                write!(svg, "<circle cx=\"{:.1}\" cy=\"{:.1}\" r=\"{radius:.1}\" fill=\"{colour}\"/>", x(bin.confidence), y(bin.accuracy));
        }
    }
    svg + "</svg>"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_diagram_has_a_dot_a_bin_where_it_belongs_and_runs_nothing() {
        let bin = |confidence, accuracy| ReliabilityBin { confidence, accuracy, share: 0.25 };
        let of = Diagram {
            title: "<script>liver".into(),
            notes: vec!["ECE 0.1 & less".into()],
            before: vec![bin(0.5, 1.0)],
            after: vec![bin(0.0, 0.0), bin(1.0, 1.0)],
        };
        let html = reliability_page("a", "b", &[of], &serde_json::json!({ "x": "</pre>" }));
        assert!(!html.contains("<script>") && html.matches("</pre>").count() == 1 && html.contains("0.1 &amp; less"));
        assert_eq!(html.matches("<circle").count(), 3);
        // Half across, at the top; and both ends of the diagonal.
        for at in ["cx=\"154.0\" cy=\"10.0\" r=\"4.5\" fill=\"#aaa\"", "cx=\"34.0\" cy=\"250.0\"", "cx=\"274.0\" cy=\"10.0\""] {
            assert!(html.contains(at), "{at}: {html}");
        }
    }
}
