//! Parts of the self-test's page: bars of figures against their limits, where a delay goes, and the place to sign.

use super::bound::number;
use super::check::{Check, Outcome};
use super::page::{outcome, upper, value};
use super::report::{Explained, Stage};
use super::table::Test;
use crate::base::html::escaped;
use std::fmt::Write;

/// Tests that have a bar where they were made.
const MATTER: [Test; 8] =
    [Test::CableToCable, Test::VideoDelay, Test::AnnotationDelay, Test::Missing, Test::Torn, Test::Colours, Test::Geometry, Test::Pixels];
const STAGES: [&str; 7] = ["#1f5f99", "#5b92c4", "#9cc1e0", "#2f7d6b", "#7bb8a8", "#8a6d3b", "#c9ad7f"];
const UNEXPLAINED: &str = "#d9d9d9";

pub fn bars(html: &mut String, checks: &[Check]) {
    *html += "<table class=\"bars\">";
    for test in MATTER {
        let Some(check) = checks.iter().find(|check| check.code == test.row().code) else { continue };
        let (style, word) = outcome(&check.outcome);
        let limit = check.limit.as_ref().map_or(String::new(), |limit| escaped(&limit.words));
        let _ = write!(
            html,
            "<tr><th>{}<td>{}<td class=\"number\">{}<td>{limit}<td class=\"{style}\">{word}</tr>",
            escaped(&check.what),
            bar(check),
            value(check)
        );
    }
    *html += "</table>";
}

/// The value as a bar, the longest as a line that goes on, its limit as a mark, the one that nothing may exceed as a second one.
fn bar(check: &Check) -> String {
    const WIDTH: f64 = 220.0;
    let (Some(value), Some(limit)) = (check.value, &check.limit) else { return String::new() };
    let Some(most) = upper(limit) else { return String::new() };
    let hard = limit.failing.map(|bound| bound.ends().1).filter(|hard| hard.is_finite());
    // A limit that is far away is left out rather than squeezing everything else together.
    let near = hard.filter(|hard| *hard <= 4.0 * value.max(most) || most <= 0.0);
    let longest = check.longest.unwrap_or(value);
    let full = value.max(longest).max(most).max(near.unwrap_or(0.0)) * 1.1;
    let at = |value: f64| if full > 0.0 { WIDTH * (value / full).clamp(0.0, 1.0) } else { 0.0 };
    let colour = match check.outcome {
        Outcome::Pass => "#2f7d4f",
        Outcome::Fail => "#b00020",
        _ => "#c07a00",
    };
    let mut svg = format!(
        "<svg class=\"bar\" viewBox=\"0 0 {WIDTH} 18\" width=\"{WIDTH}\" height=\"18\"><rect width=\"{WIDTH}\" height=\"12\" y=\"3\" fill=\"#edf0f2\"/>\
         <rect width=\"{:.1}\" height=\"12\" y=\"3\" fill=\"{colour}\"/>",
        at(value)
    );
    if longest > value {
        let _ = write!(
            svg,
            "<line x1=\"{:.1}\" x2=\"{:.1}\" y1=\"9\" y2=\"9\" stroke=\"{colour}\" stroke-width=\"2\"/>",
            at(value),
            at(longest)
        );
    }
    for (mark, ink) in [(Some(most), "#333"), (near.filter(|hard| *hard != most), "#b00020")] {
        if let Some(mark) = mark {
            let x = at(mark).clamp(1.0, WIDTH - 1.0);
            let _ = write!(svg, "<line x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"0\" y2=\"18\" stroke=\"{ink}\" stroke-width=\"2\"/>");
        }
    }
    svg + "</svg>"
}

/// The stages side by side, and what is left.
pub fn stages(html: &mut String, explained: &Explained, resolution_ms: Option<f64>) {
    let rest = Stage { name: "not explained".to_owned(), ms: explained.unexplained_ms };
    let all: Vec<&Stage> = explained.stages.iter().chain([&rest]).collect();
    let full: f64 = all.iter().map(|stage| stage.ms.max(0.0)).sum::<f64>().max(1e-9);
    let (mut x, mut svg, mut legend) = (0.0, String::new(), String::new());
    for (i, stage) in all.iter().enumerate() {
        let colour = if i + 1 == all.len() { UNEXPLAINED } else { STAGES[i % STAGES.len()] };
        let width = 700.0 * stage.ms.max(0.0) / full;
        let _ = write!(svg, "<rect x=\"{x:.1}\" width=\"{width:.1}\" height=\"22\" fill=\"{colour}\"/>");
        let _ = write!(legend, "<span><i style=\"background:{colour}\"></i>{} {} ms</span>", escaped(&stage.name), number(stage.ms));
        x += width;
    }
    let resolution = resolution_ms.map_or(String::new(), |ms| format!("; the measurement resolves {} ms", number(ms)));
    let _ = write!(
        html,
        "<figure><figcaption>Where the delay goes <small>medians; measured {} ms{resolution}</small></figcaption>\
         <svg class=\"stack\" viewBox=\"0 0 700 22\">{svg}</svg><div class=\"legend\">{legend}</div></figure>",
        number(explained.total_ms)
    );
}

pub fn signature(html: &mut String) {
    *html += "<section class=\"sign\"><h2>Signature</h2><p>I have read this report. The appliance may be used:</p>\
        <p class=\"choice\"><i></i> as it is <i></i> with the limits named above <i></i> not at all</p><div class=\"lines\">\
        <div><span></span>Name</div><div><span></span>Function</div><div><span></span>Date</div><div class=\"wide\"><span></span>Signature</div>\
        <div class=\"wide\"><span></span>Remarks</div></div></section>";
}
