//! Plots for the page, as SVG: no script, no font, nothing loaded.

use super::bootstrap::Interval;
use crate::base::html::escaped;
use std::fmt::Write;

const SIDE: f64 = 260.0;
const MARGIN: f64 = 38.0;
const COLOURS: [&str; 8] = ["#1f77b4", "#d62728", "#2ca02c", "#9467bd", "#ff7f0e", "#17becf", "#8c564b", "#7f7f7f"];

/// A line of a plot with its name.
pub struct Line<'a> {
    pub name: &'a str,
    pub points: Vec<[f64; 2]>,
}

/// Lines over 0..1 upwards and 0..`most_x` to the right; `diagonal`: what chance, or a perfectly calibrated head, would give.
pub fn curves(title: &str, axes: [&str; 2], lines: &[Line<'_>], most_x: f64, diagonal: bool) -> String {
    let at = |point: [f64; 2]| {
        let x = MARGIN + SIDE * (point[0] / most_x.max(1e-9)).clamp(0.0, 1.0);
        (x, 14.0 + SIDE * (1.0 - point[1].clamp(0.0, 1.0)))
    };
    let (width, height) = (MARGIN + SIDE + 150.0, SIDE + 14.0 + 36.0);
    let mut svg = format!(
        "<figure><figcaption>{}</figcaption><svg width=\"{width}\" height=\"{height}\" role=\"img\">\
         <rect x=\"{MARGIN}\" y=\"14\" width=\"{SIDE}\" height=\"{SIDE}\" fill=\"#fafafa\" stroke=\"#bbb\"/>",
        escaped(title)
    );
    for step in 0..=4 {
        let part = f64::from(step) / 4.0;
        let ((x, bottom), (_, y)) = (at([part * most_x, 0.0]), at([0.0, part]));
        let _ = write!(
            svg,
            "<line x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"14\" y2=\"{bottom:.1}\" stroke=\"#e4e4e4\"/><line x1=\"{MARGIN}\" x2=\"{0:.1}\" y1=\"{y:.1}\" \
             y2=\"{y:.1}\" stroke=\"#e4e4e4\"/><text x=\"{x:.1}\" y=\"{1:.1}\" text-anchor=\"middle\">{2}</text><text x=\"{3:.1}\" y=\"{4:.1}\" text-anchor=\"end\">{part}</text>",
            MARGIN + SIDE,
            bottom + 14.0,
            number(part * most_x),
            MARGIN - 4.0,
            y + 4.0
        );
    }
    if diagonal {
        let ((x1, y1), (x2, y2)) = (at([0.0, 0.0]), at([most_x, 1.0]));
        let _ = write!(svg, "<line x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\" stroke=\"#999\" stroke-dasharray=\"4 4\"/>");
    }
    for (index, line) in lines.iter().enumerate() {
        let colour = COLOURS[index % COLOURS.len()];
        let points: String = line.points.iter().map(|point| at(*point)).map(|(x, y)| format!("{x:.1},{y:.1} ")).collect();
        let y = 24.0 + 16.0 * index as f64;
        let _ = write!(
            svg,
            "<polyline points=\"{points}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/><text x=\"{:.1}\" y=\"{y}\" fill=\"{colour}\">{}</text>",
            MARGIN + SIDE + 8.0,
            escaped(line.name)
        );
        for (x, y) in line.points.iter().filter(|_| line.points.len() <= 20).map(|point| at(*point)) {
            let _ = write!(svg, "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"2.5\" fill=\"{colour}\"/>");
        }
    }
    let _ = write!(
        svg,
        "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text><text transform=\"translate(10 {:.1}) rotate(-90)\" text-anchor=\"middle\">{}</text></svg></figure>",
        MARGIN + SIDE / 2.0,
        SIDE + 46.0,
        escaped(axes[0]),
        14.0 + SIDE / 2.0,
        escaped(axes[1])
    );
    svg
}

/// 0..1 as a bar with its interval.
pub fn bar(figure: Option<Interval>) -> String {
    let Some(of) = figure else { return String::new() };
    let x = |part: f64| 4.0 + 152.0 * part.clamp(0.0, 1.0);
    let whisker = match (of.low, of.high) {
        (Some(low), Some(high)) => {
            format!("<line x1=\"{:.1}\" x2=\"{:.1}\" y1=\"10\" y2=\"10\" stroke=\"#111\" stroke-width=\"2\"/>", x(low), x(high))
        }
        _ => String::new(),
    };
    format!(
        "<svg width=\"160\" height=\"20\"><rect x=\"4\" y=\"3\" width=\"152\" height=\"14\" fill=\"#eee\"/>\
         <rect x=\"4\" y=\"3\" width=\"{:.1}\" height=\"14\" fill=\"#7fb2d9\"/>{whisker}</svg>",
        x(of.value) - 4.0
    )
}

fn number(value: f64) -> String {
    if value == 0.0 || value >= 10.0 {
        format!("{value:.0}")
    } else {
        format!("{value:.2}").trim_end_matches('0').trim_end_matches('.').to_owned()
    }
}

/// RFC 4648, with padding.
pub fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for three in bytes.chunks(3) {
        let byte = |i: usize| u32::from(three.get(i).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for i in 0..4 {
            let digit = DIGITS[(bits >> (18 - 6 * i) & 63) as usize];
            text.push(if i <= three.len() { char::from(digit) } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_that_of_the_rfc() {
        for (plain, told) in
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg=="), ("fooba", "Zm9vYmE="), ("foobar", "Zm9vYmFy")]
        {
            assert_eq!(base64(plain.as_bytes()), told);
        }
    }

    #[test]
    fn a_plot_holds_its_lines_where_they_belong_and_runs_nothing() {
        let line = Line { name: "<liver>", points: vec![[0.0, 0.0], [2.0, 0.5], [4.0, 1.0]] };
        let svg = curves("ROC", ["x", "y"], &[line], 4.0, true);
        assert!(svg.contains("&lt;liver&gt;") && !svg.contains("<liver>"));
        assert!(svg.contains("38.0,274.0 168.0,144.0 298.0,14.0"), "{svg}");
        let half = bar(Some(Interval { value: 0.5, low: Some(0.25), high: Some(0.75), patients: 9 }));
        assert!(half.contains("width=\"76.0\"") && half.contains("x1=\"42.0\" x2=\"118.0\""), "{half}");
        assert_eq!(bar(None), "");
    }
}
