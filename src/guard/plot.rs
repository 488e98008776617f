//! A plot with axes, as SVG: no script, no font, nothing loaded. What is drawn in it is `page`'s and `history_page`'s.

use super::bound::number;
use super::series::nice_step;
use crate::base::html::escaped;
use std::fmt::Write;

const LEFT: f64 = 48.0;
const RIGHT: f64 = 12.0;
const TOP: f64 = 14.0;
const BOTTOM: f64 = 34.0;

pub const BLUE: &str = "#1f5f99";
pub const RED: &str = "#b00020";
pub const AMBER: &str = "#8a5a00";

/// px; scales with the page.
#[derive(Debug, Clone, Copy)]
pub struct Size {
    pub width: f64,
    pub height: f64,
}

/// What an axis spans; a span of nothing is widened.
#[derive(Debug, Clone, Copy)]
pub struct Span {
    pub low: f64,
    pub high: f64,
}

pub struct Plot {
    svg: String,
    size: Size,
    x: Span,
    y: Span,
    /// Powers of ten upwards; values below 1 lie at the bottom.
    is_log: bool,
}

impl Span {
    fn checked(self) -> Span {
        let is_good = self.low.is_finite() && self.high.is_finite() && self.high - self.low > 1e-9;
        if is_good { self } else { Span { low: if self.low.is_finite() { self.low } else { 0.0 }, high: self.low.max(0.0) + 1.0 } }
    }

    fn ticks(self, about: f64) -> Vec<f64> {
        let step = nice_step((self.high - self.low) / about);
        let first = (self.low / step - 1e-9).ceil();
        (0..40).map(|i| (first + f64::from(i)) * step).take_while(|tick| *tick <= self.high + 1e-9 * step).collect()
    }
}

impl Plot {
    pub fn new(size: Size, x: Span, y: Span, labels: [&str; 2]) -> Plot {
        let mut plot = Plot::empty(size, x, y, false);
        for tick in plot.y.ticks(5.0) {
            plot.grid_y(tick, &number(tick));
        }
        plot.finish_axes(labels);
        plot
    }

    /// Counts upwards, from 1 to `most`, in powers of ten: one late picture among thousands is seen.
    pub fn counts(size: Size, x: Span, most: u64, labels: [&str; 2]) -> Plot {
        let decades = (most.max(10) as f64).log10().ceil();
        let mut plot = Plot::empty(size, x, Span { low: -0.3, high: decades }, true);
        for decade in 0..=decades as i32 {
            let tick = 10f64.powi(decade);
            plot.grid_y(tick, &number(tick));
        }
        plot.finish_axes(labels);
        plot
    }

    fn empty(size: Size, x: Span, y: Span, is_log: bool) -> Plot {
        let Size { width, height } = size;
        let svg = format!(
            "<svg class=\"plot\" viewBox=\"0 0 {width} {height}\" role=\"img\"><rect x=\"{LEFT}\" y=\"{TOP}\" width=\"{:.1}\" height=\"{:.1}\" \
             fill=\"#fff\" stroke=\"#9aa4ad\"/>",
            width - LEFT - RIGHT,
            height - TOP - BOTTOM
        );
        Plot { svg, size, x: x.checked(), y: y.checked(), is_log }
    }

    fn grid_y(&mut self, tick: f64, label: &str) {
        let y = self.at_y(tick);
        let _ = write!(
            self.svg,
            "<line x1=\"{LEFT}\" x2=\"{:.1}\" y1=\"{y:.1}\" y2=\"{y:.1}\" stroke=\"#e3e7ea\"/><text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{label}</text>",
            self.size.width - RIGHT,
            LEFT - 5.0,
            y + 3.5
        );
    }

    fn finish_axes(&mut self, labels: [&str; 2]) {
        let bottom = self.size.height - BOTTOM;
        for tick in self.x.ticks(8.0) {
            let x = self.at_x(tick);
            let _ = write!(
                self.svg,
                "<line x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{bottom}\" y2=\"{}\" stroke=\"#9aa4ad\"/><text x=\"{x:.1}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
                bottom + 4.0,
                bottom + 15.0,
                number(tick)
            );
        }
        let (middle_x, middle_y) = ((LEFT + self.size.width - RIGHT) / 2.0, (TOP + bottom) / 2.0);
        let _ = write!(
            self.svg,
            "<text x=\"{middle_x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text><text transform=\"translate(11 {middle_y:.1}) rotate(-90)\" text-anchor=\"middle\">{}</text>",
            self.size.height - 4.0,
            escaped(labels[0]),
            escaped(labels[1])
        );
    }

    fn at_x(&self, x: f64) -> f64 {
        LEFT + (self.size.width - LEFT - RIGHT) * ((x - self.x.low) / (self.x.high - self.x.low)).clamp(0.0, 1.0)
    }

    fn at_y(&self, y: f64) -> f64 {
        let y = if self.is_log { y.max(1e-9).log10() } else { y };
        let part = ((y - self.y.low) / (self.y.high - self.y.low)).clamp(0.0, 1.0);
        TOP + (self.size.height - TOP - BOTTOM) * (1.0 - part)
    }

    pub fn line(&mut self, points: &[[f64; 2]], colour: &str, width: f64) {
        let points: String = points.iter().map(|p| format!("{:.1},{:.1} ", self.at_x(p[0]), self.at_y(p[1]))).collect();
        let _ = write!(
            self.svg,
            "<polyline points=\"{points}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"{width}\" stroke-linejoin=\"round\"/>"
        );
    }

    pub fn dots(&mut self, points: &[[f64; 2]], colour: &str) {
        for p in points {
            let _ = write!(self.svg, "<circle cx=\"{:.1}\" cy=\"{:.1}\" r=\"2.2\" fill=\"{colour}\"/>", self.at_x(p[0]), self.at_y(p[1]));
        }
    }

    /// A bar from `from` to `to`, as high as `value`.
    pub fn bar(&mut self, from: f64, to: f64, value: f64, colour: &str) {
        if value <= 0.0 {
            return;
        }
        let (left, right, top) = (self.at_x(from), self.at_x(to), self.at_y(value));
        let (width, height) = ((right - left - 0.6).max(1.0), self.size.height - BOTTOM - top);
        let _ = write!(self.svg, "<rect x=\"{left:.1}\" y=\"{top:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" fill=\"{colour}\"/>");
    }

    /// A dashed line across, with its words above it.
    pub fn limit_y(&mut self, value: f64, words: &str, colour: &str) {
        let y = self.at_y(value);
        // At the very top there is no room above.
        let above = if y < TOP + 14.0 { y + 13.0 } else { y - 4.0 };
        let _ = write!(
            self.svg,
            "<line x1=\"{LEFT}\" x2=\"{:.1}\" y1=\"{y:.1}\" y2=\"{y:.1}\" stroke=\"{colour}\" stroke-width=\"1.5\" stroke-dasharray=\"6 3\"/>\
             <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\" fill=\"{colour}\">{}</text>",
            self.size.width - RIGHT,
            self.size.width - RIGHT - 4.0,
            above,
            escaped(words)
        );
    }

    /// A dashed line upwards, with its words beside it.
    pub fn limit_x(&mut self, value: f64, words: &str, colour: &str) {
        let x = self.at_x(value);
        let (anchor, at) = if x > self.size.width / 2.0 { ("end", x - 5.0) } else { ("start", x + 5.0) };
        let _ = write!(
            self.svg,
            "<line x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{TOP}\" y2=\"{:.1}\" stroke=\"{colour}\" stroke-width=\"1.5\" stroke-dasharray=\"6 3\"/>\
             <text x=\"{at:.1}\" y=\"{:.1}\" text-anchor=\"{anchor}\" fill=\"{colour}\">{}</text>",
            self.size.height - BOTTOM,
            TOP + 13.0,
            escaped(words)
        );
    }

    pub fn svg(mut self) -> String {
        self.svg += "</svg>";
        self.svg
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SIZE: Size = Size { width: 160.0, height: 148.0 };

    #[test]
    fn what_is_drawn_lies_where_it_belongs_and_runs_nothing() {
        let mut plot = Plot::new(SIZE, Span { low: 0.0, high: 10.0 }, Span { low: 0.0, high: 100.0 }, ["<s>", "ms"]);
        plot.line(&[[0.0, 0.0], [5.0, 50.0], [10.0, 200.0]], BLUE, 1.0);
        plot.limit_y(50.0, "limit <b>", RED);
        let svg = plot.svg();
        assert!(svg.contains("48.0,114.0 98.0,64.0 148.0,14.0"), "{svg}");
        assert!(svg.contains("y1=\"64.0\" y2=\"64.0\"") && svg.contains("&lt;b&gt;") && !svg.contains("<b>") && !svg.contains("<s>"));
        let mut counts = Plot::counts(SIZE, Span { low: 0.0, high: 10.0 }, 1_000, ["ms", "pictures"]);
        counts.bar(0.0, 5.0, 1.0, BLUE);
        counts.bar(5.0, 10.0, 0.0, BLUE);
        let svg = counts.svg();
        assert_eq!(svg.matches("fill=\"#1f5f99\"").count(), 1, "an empty bin has no bar");
        assert!(svg.contains("height=\"9.1\""), "a single picture is seen: {svg}");
    }

    proptest! {
        #[test]
        fn no_numbers_leave_the_plot_or_break_it(a in any::<f64>(), b in any::<f64>(), c in any::<f64>(), d in any::<f64>()) {
            let mut plot = Plot::new(SIZE, Span { low: a, high: b }, Span { low: c, high: d }, ["x", "y"]);
            plot.line(&[[a, c], [b, d]], BLUE, 1.0);
            plot.limit_x(b, "l", RED);
            let svg = plot.svg();
            prop_assert!(svg.len() < 40_000 && svg.ends_with("</svg>"));
        }
    }
}
