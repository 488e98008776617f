//! The self-test's report as one page that a biomedical engineer reads and signs: no script, nothing loaded, A4 when printed. The
//! verdict comes first, each number stands with its limit. Nothing is measured or judged here.

use super::bound::{Bound, number};
use super::check::{Check, Judged, Outcome};
use super::page_parts::{bars, signature, stages};
use super::plot::{AMBER, BLUE, Plot, RED, Size, Span};
use super::report::Report;
use super::table::Test;
use super::verdict::{Grade, Loop, Named};
use crate::base::html::escaped;
use crate::store;
use sha2::{Digest, Sha256};
use std::fmt::Write;

pub(super) const STYLE: &str = include_str!("page.css");

/// The whole page.
pub fn html(report: &Report) -> String {
    let title = format!("Self-test {}, {} loop, {}", report.at.words(), report.loop_kind.name(), report.verdict.grade.words());
    let mut html = format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>{}</title><style>{STYLE}</style>\
         <header><span class=\"brand\">keyhole</span><h1>Self-test report</h1><p>{}</p></header>",
        escaped(&title),
        escaped(&subtitle(report))
    );
    verdict(&mut html, report);
    to_do(&mut html, report);
    figures(&mut html, report);
    plots(&mut html, report);
    checks(&mut html, report);
    device(&mut html, report);
    signature(&mut html);
    let hash = report.json().map(|json| store::hex(&Sha256::digest(&json))).unwrap_or_default();
    let _ = write!(
        html,
        "<footer>{}, keyhole {} ({}). SHA-256 of the report's JSON: <code>{hash}</code></footer></html>",
        escaped(&report.schema),
        escaped(&report.version),
        escaped(&report.commit)
    );
    html
}

fn subtitle(report: &Report) -> String {
    let serial = report.device.get("serial number").map(|serial| format!("{serial}, ")).unwrap_or_default();
    format!(
        "{serial}{}. {} loop, {} form, {} s, {} mode.",
        report.at.words(),
        match report.loop_kind {
            Loop::X11 => "X11",
            Loop::Cable => "Cable",
            Loop::Internal => "Internal",
            Loop::External => "External",
        },
        report.form.name(),
        number(report.seconds),
        report.mode.name()
    )
}

fn class(grade: Grade) -> &'static str {
    match grade {
        Grade::Pass => "pass",
        Grade::PassWithLimits => "limited",
        Grade::Fail => "fail",
    }
}

fn verdict(html: &mut String, report: &Report) {
    let verdict = &report.verdict;
    let _ = write!(
        html,
        "<section class=\"verdict {}\"><div class=\"grade\">{}</div><div><p class=\"words\">{}</p>",
        class(verdict.grade),
        verdict.grade.words(),
        escaped(&verdict.words)
    );
    list(html, "Failed", &verdict.failures);
    list(html, "With limits", &verdict.limits);
    for change in &report.changes {
        let _ = write!(html, "<p>Changed: {}.</p>", escaped(change));
    }
    let _ = write!(html, "<p class=\"proof\">{}</p></div></section>", escaped(&proof(report)));
}

fn list(html: &mut String, title: &str, named: &[Named]) {
    if named.is_empty() {
        return;
    }
    let _ = write!(html, "<h3>{title}</h3><ul>");
    for Named { code, words } in named {
        let _ = write!(html, "<li><code>{}</code> {}</li>", escaped(code), escaped(words));
    }
    *html += "</ul>";
}

fn proof(report: &Report) -> String {
    let until = report.cable_proof_until.as_ref().map_or(String::new(), |until| {
        let verb = if until.days_since(&report.at) < 0.0 { "that held" } else { "holds" };
        format!("; {verb} until {}", until.words())
    });
    match (&report.last_cable_proof, report.verdict.is_cable_proven) {
        (_, true) => format!("Cable to the monitor: proven by this self-test{until}."),
        (Some(last), _) => format!("Cable to the monitor: last proven {}{until}.", last.words()),
        (None, _) => "Cable to the monitor: never proven.".to_owned(),
    }
}

fn to_do(html: &mut String, report: &Report) {
    // What this form leaves out by its nature is in the list of all checks, and asks for nothing.
    let is_named = |check: &Check| report.verdict.failures.iter().chain(&report.verdict.limits).any(|named| named.code == check.code);
    let is_open = |check: &&Check| match check.outcome {
        Outcome::Pass => false,
        Outcome::NotRun { .. } => is_named(check),
        Outcome::Limited | Outcome::Fail => true,
    };
    let mut open: Vec<&Check> = report.checks.iter().filter(is_open).collect();
    open.sort_by_key(|check| !report.verdict.failures.iter().any(|failure| failure.code == check.code));
    let absent = report.verdict.failures.iter().chain(&report.verdict.limits);
    let absent: Vec<&Named> = absent.filter(|named| !open.iter().any(|check| check.code == named.code)).collect();
    if open.is_empty() && absent.is_empty() {
        return;
    }
    *html += "<h2>What to do</h2><table class=\"todo\"><thead><tr><th>Code<th>What is wrong<th>What to do</tr></thead>";
    for check in open {
        let detail = if check.detail.is_empty() { String::new() } else { format!("<small>{}</small>", escaped(&check.detail)) };
        let [code, wrong, remedy] = [&check.code, &check.explanation, &check.remedy].map(|text| coded(text));
        let _ = write!(html, "<tr><td class=\"{}\"><code>{code}</code><td>{wrong}{detail}<td>{remedy}</tr>", outcome(&check.outcome).0);
    }
    for Named { code, words } in absent {
        let remedy = match Test::by_code(code) {
            Some(_) => "Run the self-test again; if it is left out again, report it to the maker.",
            None => "Wire the output to a spare input and run the cable loop before the last proof ends.",
        };
        let _ = write!(html, "<tr><td><code>{}</code><td>{}<td>{remedy}</tr>", escaped(code), escaped(words));
    }
    *html += "</table>";
}

fn figures(html: &mut String, report: &Report) {
    *html += "<h2>The figures that matter</h2>";
    bars(html, &report.checks);
    let counts = &report.counts;
    *html += "<div class=\"tiles\">";
    for (name, value) in [
        ("sent", counts.sent),
        ("seen", counts.seen),
        ("missing", counts.missing),
        ("repeated", counts.repeated),
        ("out of order", counts.reordered),
        ("torn", counts.torn),
        ("unreadable", counts.unreadable),
    ] {
        let bad = if value > 0 && !matches!(name, "sent" | "seen") { " class=\"odd\"" } else { "" };
        let _ = write!(html, "<div{bad}><b>{value}</b>{name}</div>");
    }
    let looks = if counts.looks > 0 { format!("{} looks at the output. ", counts.looks) } else { String::new() };
    let _ = write!(html, "</div><p>{looks}{}</p>", escaped(&found(report)));
}

/// Refresh, colours and geometry in a line.
fn found(report: &Report) -> String {
    let mut parts = Vec::new();
    if let Some(refresh) = report.refresh {
        parts.push(format!("Refresh {:.3} Hz, stated {:.3} Hz.", refresh.measured_hz, refresh.stated_hz));
    }
    if let Some(colours) = &report.colours {
        let fault = colours.fault.as_ref().map(|fault| format!(": {fault}")).unwrap_or_default();
        parts.push(format!("Colours off by {} of 255 levels at most{fault}.", number(colours.error_levels)));
    }
    if let Some(at) = report.geometry {
        let percent = |scale: f64| number(100.0 * (scale - 1.0));
        parts.push(format!(
            "Picture: size {} and {} % off, moved by {} and {} px, turned by {}°.",
            percent(at.scale_x),
            percent(at.scale_y),
            number(at.shift_x_px),
            number(at.shift_y_px),
            number(at.rotation_deg)
        ));
    }
    parts.join(" ")
}

fn plots(html: &mut String, report: &Report) {
    let limit = Test::CableToCable.row();
    let limit = report.checks.iter().find(|check| check.code == limit.code).and_then(|check| check.limit.as_ref());
    let most = report.delay_series.iter().map(|point| point[1]).fold(0.0, f64::max);
    if !report.delay_series.is_empty() {
        let end = report.delay_series.last().map_or(1.0, |point| point[0]);
        let high = limit.and_then(upper).map_or(most, |limit| if limit < 6.0 * most { most.max(limit) } else { most }) * 1.12;
        let size = Size { width: 700.0, height: 210.0 };
        let mut plot = Plot::new(size, Span { low: 0.0, high: end }, Span { low: 0.0, high }, ["time since the start, s", "delay, ms"]);
        plot.line(&report.delay_series, BLUE, 1.0);
        draw_limit(limit, |value, words, colour| {
            if value <= high {
                plot.limit_y(value, words, colour)
            }
        });
        let _ = write!(
            html,
            "<figure><figcaption>Cable to cable delay over time <small>{} pictures; of each stretch the longest</small></figcaption>{}</figure>",
            report.histogram.iter().map(|bin| bin.count).sum::<u64>(),
            plot.svg()
        );
    }
    if let (Some(first), Some(last)) = (report.histogram.first(), report.histogram.last()) {
        let width = last.to_ms - first.from_ms;
        let limit_ms = limit.and_then(upper).filter(|limit| *limit < last.to_ms + 2.0 * width);
        let high = limit_ms.map_or(last.to_ms, |limit| last.to_ms.max(limit)) + 0.05 * width;
        let most = report.histogram.iter().map(|bin| bin.count).max().unwrap_or(1);
        let span = Span { low: first.from_ms.min(limit_ms.unwrap_or(first.from_ms)) - 0.05 * width, high };
        let mut plot = Plot::counts(Size { width: 700.0, height: 190.0 }, span, most, ["delay, ms", "pictures"]);
        for bin in &report.histogram {
            plot.bar(bin.from_ms, bin.to_ms, bin.count as f64, BLUE);
        }
        draw_limit(limit, |value, words, colour| {
            if value <= high {
                plot.limit_x(value, words, colour)
            }
        });
        let step = number(first.to_ms - first.from_ms);
        let _ = write!(
            html,
            "<figure><figcaption>How often which delay <small>bins of {step} ms; counts in powers of ten, so that a single picture is seen</small></figcaption>{}</figure>",
            plot.svg()
        );
    }
    if let Some(explained) = &report.explained {
        stages(html, explained, report.resolution_ms);
    }
}

/// The number that is bad above.
pub(super) fn upper(limit: &Judged) -> Option<f64> {
    limit.in_force.map(|bound| bound.ends().1).filter(|high| high.is_finite())
}

fn draw_limit(limit: Option<&Judged>, mut draw: impl FnMut(f64, &str, &str)) {
    let Some(limit) = limit else { return };
    if let Some(Bound::AtMost(most)) = limit.in_force {
        draw(most, &format!("limit {} ms", number(most)), if limit.failing == limit.in_force { RED } else { AMBER });
    }
    if let Some(Bound::AtMost(most)) = limit.failing.filter(|_| limit.failing != limit.in_force) {
        draw(most, &format!("never over {} ms", number(most)), RED);
    }
}

/// Escaped; what stands in backticks is something to type.
pub(super) fn coded(text: &str) -> String {
    let parts = escaped(text);
    let parts = parts.split('`').enumerate();
    parts.map(|(i, part)| if i % 2 == 1 { format!("<code>{part}</code>") } else { part.to_owned() }).collect()
}

/// Style and word of an outcome.
pub(super) fn outcome(outcome: &Outcome) -> (&'static str, &'static str) {
    match outcome {
        Outcome::Pass => ("pass", "pass"),
        Outcome::Limited => ("limited", "LIMITED"),
        Outcome::Fail => ("fail", "FAIL"),
        Outcome::NotRun { .. } => ("none", "not tested"),
    }
}

/// "p99 31.9 ms"
pub(super) fn value(check: &Check) -> String {
    let Some(value) = check.value else { return String::new() };
    let statistic = check.statistic.as_ref().map(|statistic| format!("<small>{}</small> ", escaped(statistic))).unwrap_or_default();
    let longest =
        check.longest.map(|longest| format!("<small class=\"longest\">longest {}&nbsp;{}</small>", number(longest), escaped(&check.unit)));
    format!("{statistic}{}&nbsp;{}{}", number(value), escaped(&check.unit), longest.unwrap_or_default())
}

fn checks(html: &mut String, report: &Report) {
    *html +=
        "<h2>All checks</h2><table class=\"checks\"><thead><tr><th>Result<th>Code<th>Check<th>Value<th>Limit and its source</tr></thead>";
    for check in &report.checks {
        let (style, word) = outcome(&check.outcome);
        let reason = match &check.outcome {
            Outcome::NotRun { reason } => format!("<small>{}</small>", escaped(reason)),
            _ => String::new(),
        };
        let detail = if check.detail.is_empty() { String::new() } else { format!("<small>{}</small>", escaped(&check.detail)) };
        let limit = check
            .limit
            .as_ref()
            .map_or(String::new(), |limit| format!("{}<small>{}</small>", escaped(&limit.words), escaped(&limit.source)));
        let _ = write!(
            html,
            "<tr><td class=\"{style}\">{word}<td><code>{}</code><td>{}{reason}{detail}<td class=\"number\">{}<td>{limit}</tr>",
            escaped(&check.code),
            escaped(&check.what),
            value(check)
        );
    }
    *html +=
        "</table><p><small>Source “keyhole”: this product's own choice; no standard or paper that it knows states a figure.</small></p>";
    if let Some(site) = &report.site_limits {
        let _ = write!(html, "<p>The site's own limits: {}.</p>", escaped(site));
    }
}

fn device(html: &mut String, report: &Report) {
    *html += "<h2>The appliance, and what was tested</h2><table class=\"device\">";
    let mut row = |name: &str, value: &str, is_hash: bool| {
        let value = if value.is_empty() { "–".to_owned() } else { escaped(value) };
        let value = if is_hash { format!("<code>{value}</code>") } else { value };
        let _ = write!(html, "<tr><th>{}<td>{value}</tr>", escaped(name));
    };
    for (name, value) in &report.device {
        row(name, value, false);
    }
    let of = &report.fingerprint;
    row("boot", &report.boot_id, true);
    for (name, id) in &of.hardware {
        row(&format!("id of the {name}"), id, true);
    }
    row("display mode", &of.display_mode, false);
    row("display (EDID)", &of.display_edid_sha256, true);
    for (name, hash) in &of.engines {
        row(&format!("engine {name}"), hash, true);
    }
    for (name, hash) in [("configuration", &of.config_sha256), ("program", &of.binary_sha256), ("limits", &of.limits_sha256)] {
        row(name, hash, true);
    }
    *html +=
        "</table><p><small>Hashes are SHA-256. A later self-test names each part that has changed since the last full one.</small></p>";
}

#[cfg(test)]
mod tests {
    use super::super::report::tests::{failed, limited, passed};
    use super::*;

    #[test]
    fn what_a_form_leaves_out_by_its_nature_asks_for_nothing() {
        let mut report = limited();
        let page = |report: &Report| {
            let mut html = String::new();
            to_do(&mut html, report);
            html
        };
        report.checks.retain(|check| check.code != "ST-P33");
        report.checks.push(Check::not_run(crate::guard::Test::Pixels, "it is part of the full form only"));
        report.verdict.limits.retain(|named| named.code != "ST-P33");
        assert!(page(&report).contains("What to do") && !page(&report).contains("ST-P33"));
        report.verdict.limits.push(Named::new("ST-P33", "Not tested."));
        assert!(page(&report).contains("ST-P33"), "what the verdict names is to be done");
    }

    #[test]
    fn the_page_says_the_verdict_first_and_every_number_with_its_limit() {
        for report in [passed(), limited(), failed()] {
            let html = html(&report);
            let at = |words: &str| html.find(words).unwrap_or_else(|| panic!("{words} is not there"));
            assert!(at(&format!(">{}<", report.verdict.grade.words())) < at("The figures that matter"));
            assert!(at("The figures that matter") < at("All checks") && at("All checks") < at("Signature"));
            for check in &report.checks {
                assert!(html.contains(&check.code) && html.contains(&escaped(&check.what)), "{}", check.code);
                if let Some(limit) = &check.limit {
                    assert!(html.contains(&escaped(&limit.words)) && html.contains(&escaped(&limit.source)), "{}", check.code);
                }
                if check.outcome != Outcome::Pass {
                    assert!(html.contains(&coded(&check.remedy)), "{}", check.code);
                }
            }
            for part in [&report.boot_id, &report.fingerprint.binary_sha256, &report.fingerprint.engines["surgical-cpu"], "KH-0017"] {
                assert!(html.contains(part), "{part}");
            }
            assert!(html.contains("limit 99.9 ms") && html.matches("<svg").count() >= 3);
            assert!(!html.contains("<script") && !html.contains("http") && !html.contains("NaN"));
        }
    }

    #[test]
    fn an_empty_report_is_a_page_too_and_words_are_never_run() {
        let mut report = failed();
        report.device.insert("<script>alert(1)</script>".into(), "<b>".into());
        report.checks[0].detail = "<em>".into();
        (report.delay_series, report.histogram, report.explained) = (Vec::new(), Vec::new(), None);
        report.checks[1].code = "<u>".into();
        report.changes = vec!["<s>".into()];
        report.judge(30.0);
        let text = html(&report);
        assert!(["<script", "<b></", "<em>", "<u>", "<s>"].iter().all(|tag| !text.contains(tag)));
        let report = Report::new(report.loop_kind, report.form, report.mode, report.at, "");
        let text = html(&report);
        assert!(text.contains(">FAIL<") && text.contains("Not tested") && text.contains("never proven"));
    }

    /// `KEYHOLE_LOOK=DIR cargo test … sample_pages` leaves the pages there, to be looked at.
    #[test]
    fn sample_pages_are_written_where_somebody_wants_to_look() {
        let folder = tempfile::tempdir().unwrap();
        let folder = std::env::var_os("KEYHOLE_LOOK").map_or(folder.path().to_owned(), std::path::PathBuf::from);
        for (name, report) in [("pass", passed()), ("limited", limited()), ("failed", failed())] {
            let page = html(&report);
            std::fs::write(folder.join(format!("selftest-{name}.html")), &page).unwrap();
            assert!(page.len() < 400_000, "{} bytes", page.len());
        }
    }
}
