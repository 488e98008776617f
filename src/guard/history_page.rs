//! The history of self-tests as one page: what drifts first, then each figure over time, then every self-test. The house style and
//! the rules are `page`'s.

use super::bound::number;
use super::history::{Damaged, Figure, History, Quantiles};
use super::limits::Limits;
use super::page::STYLE;
use super::plot::{AMBER, BLUE, Plot, RED, Size, Span};
use super::stamp::Stamp;
use super::verdict::Grade;
use crate::base::html::escaped;
use std::fmt::Write;

const COLOURS: [&str; 3] = ["#2f7d4f", BLUE, "#8a6d3b"];

/// `title`: whose they are, as the serial number. `at`: when the page is made.
pub fn html(history: &History, limits: &Limits, title: &str, at: &Stamp) -> String {
    let entries = history.entries();
    let count = |grade: Grade| entries.iter().filter(|entry| entry.verdict.grade == grade).count();
    let mut html = format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Self-tests of {0}</title><style>{STYLE}</style>\
         <header><span class=\"brand\">keyhole</span><h1>History of self-tests</h1><p>{0}. {1}. {2} self-tests: {3} passed, {4} with limits, {5} failed.</p></header>",
        escaped(title),
        at.words(),
        entries.len(),
        count(Grade::Pass),
        count(Grade::PassWithLimits),
        count(Grade::Fail)
    );
    let figures = history.figures(limits);
    drifts(&mut html, &figures);
    for of_one_delay in figures.chunk_by(|a, b| (a.loop_kind, a.form, a.test) == (b.loop_kind, b.form, b.test)) {
        plot(&mut html, of_one_delay);
    }
    table(&mut html, history);
    html + "</html>"
}

fn drifts(html: &mut String, figures: &[Figure]) {
    *html += "<h2>What drifts</h2>";
    let drifting: Vec<String> = figures.iter().filter_map(Figure::words).collect();
    if drifting.is_empty() {
        *html += "<p>Nothing for sure. A drift is told from ten self-tests in seven days on, on the same hardware and display.</p>";
        return;
    }
    *html += "<ul>";
    for (words, figure) in drifting.iter().zip(figures.iter().filter(|figure| figure.words().is_some())) {
        let style = if figure.reaches_limit_within(90.0) { " class=\"rise\"" } else { "" };
        let _ = write!(html, "<li{style}>{}.</li>", escaped(words));
    }
    *html += "</ul>";
}

/// p50, p99 and maximum of one delay.
fn plot(html: &mut String, figures: &[Figure]) {
    let Some(first) = figures.first().filter(|figure| !figure.points.is_empty()) else { return };
    let most = figures.iter().flat_map(|figure| &figure.points).map(|point| point[1]).fold(0.0, f64::max);
    let end = first.points.last().map_or(0.0, |point| point[0]);
    let near = |figure: &Figure| figure.limit_ms.filter(|limit| *limit <= 4.0 * most);
    let high = figures.iter().filter_map(near).fold(most, f64::max) * 1.12;
    let label = format!("days since {}", first.first.words());
    let mut plot = Plot::new(
        Size { width: 700.0, height: 220.0 },
        Span { low: 0.0, high: end.max(1.0) },
        Span { low: 0.0, high },
        [&label, "delay, ms"],
    );
    let mut legend = String::new();
    for (figure, colour) in figures.iter().zip(COLOURS) {
        plot.line(&figure.points, colour, 0.7);
        plot.dots(&figure.points, colour);
        if let Some(trend) = figure.trend.filter(|trend| trend.is_significant()) {
            let at = |day: f64| [day, trend.at(day)];
            plot.line(&[at(0.0), at(end)], colour, 2.0);
        }
        let _ = write!(legend, "<span><i style=\"background:{colour}\"></i>{}</span>", figure.statistic);
    }
    let limits: Vec<f64> = figures.iter().filter_map(|figure| figure.limit_ms).collect();
    for (i, limit) in limits.iter().enumerate().filter(|(i, limit)| **limit <= high && !limits[..*i].contains(limit)) {
        let is_hard = figures[i].statistic == "max" || limits.iter().all(|other| other == limit);
        plot.limit_y(*limit, &format!("limit {} ms", number(*limit)), if is_hard { RED } else { AMBER });
    }
    let beyond = limits.iter().copied().filter(|limit| *limit > high).fold(f64::INFINITY, f64::min);
    let beyond = if beyond.is_finite() { format!("; the next limit, {} ms, lies beyond", number(beyond)) } else { String::new() };
    let _ = write!(
        html,
        "<figure><figcaption>{} <small>{} loop, {} form{beyond}</small></figcaption>{}<div class=\"legend\">{legend}</div></figure>",
        escaped(first.test.row().what),
        first.loop_kind.name(),
        first.form.name(),
        plot.svg()
    );
}

fn table(html: &mut String, history: &History) {
    *html += "<h2>Every self-test</h2><table class=\"history\"><thead><tr><th>When<th>Loop, form<th>Verdict<th>Cable to cable, ms<th>Video, ms</tr></thead>";
    let told = |delay: Option<Quantiles>| match delay {
        Some(of) => format!("{} / {} / {}", number(of.p50), number(of.p99), number(of.max)),
        None => "–".to_owned(),
    };
    for entry in history.entries().iter().rev() {
        let style = match entry.verdict.grade {
            Grade::Pass => "pass",
            Grade::PassWithLimits => "limited",
            Grade::Fail => "fail",
        };
        let named = entry.verdict.failures.iter().chain(&entry.verdict.limits);
        let named: Vec<String> = named.map(|named| format!("<code>{}</code> {}", escaped(&named.code), escaped(&named.words))).collect();
        let _ = write!(
            html,
            "<tr><td>{}<td>{}, {}<td><span class=\"{style}\">{}</span><small>{}</small><td>{}<td>{}</tr>",
            entry.at.words(),
            entry.loop_kind.name(),
            entry.form.name(),
            entry.verdict.grade.words(),
            named.join("<br>"),
            told(entry.cable_to_cable),
            told(entry.video)
        );
    }
    *html += "</table><p><small>Delays: p50 / p99 / longest.</small></p>";
    for Damaged { path, reason } in history.damaged() {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let _ = write!(html, "<p class=\"rise\">Damaged, not counted: {}: {}</p>", escaped(&name), escaped(reason));
    }
}

#[cfg(test)]
mod tests {
    use super::super::history::tests::creeping;
    use super::*;

    #[test]
    fn the_page_says_what_drifts_before_it_shows_it() {
        let folder = tempfile::tempdir().unwrap();
        let history = creeping(folder.path());
        std::fs::write(folder.path().join("20260101T000000Z-cable-full.selftest.json"), "<script>").unwrap();
        let history = History::open(history.entries().first().map(|_| folder.path()).unwrap()).unwrap();
        let at = Stamp::from_unix_s(1_796_200_000);
        let page = html(&history, &Limits::shipped(), "KH-0017 <b>", &at);
        let find = |words: &str| page.find(words).unwrap_or_else(|| panic!("{words}"));
        assert!(find("drifts by") < find("<svg") && find("<svg") < find("Every self-test") && find("Every self-test") < find("Damaged"));
        assert!(page.contains("KH-0017 &lt;b&gt;") && !page.contains("<script") && !page.contains("NaN") && page.contains("ST-M59"));
        assert_eq!(page.matches("<svg").count(), 4, "two forms, two delays");
        if let Some(folder) = std::env::var_os("KEYHOLE_LOOK") {
            std::fs::write(std::path::Path::new(&folder).join("selftest-history.html"), &page).unwrap();
        }
        let empty = History::open(&folder.path().join("none")).unwrap();
        assert!(html(&empty, &Limits::shipped(), "x", &at).contains("Nothing for sure"));
    }
}
