//! What was observed → the self-test's report: delays, counts, colours and geometry, each against its limit.

use super::{Observed, annotation, stood_still};
use crate::base::stats::{Delays, Summary};
use crate::frame::marker::{Analysis, ColourFault, Pace, Release, Sighting, Unread, analyse, expected_colours, judge_colours};
use crate::guard::{BarLine, Check, Colours, Counts, Explained, Form, Geometry, Limits, Refresh, Report, Stage, Test};
use crate::pipeline::taps::Sight;

/// A picture that was sent so long before the last look, and was not seen, is missing.
const SETTLE_NS: u64 = 250_000_000;
/// Of the internal loop: reading the marker is not part of the delay, and the clock is finer than this.
const INTERNAL_RESOLUTION_MS: f64 = 0.1;
const BAR_NAMES: [&str; 16] = [
    "white 75 %",
    "yellow",
    "cyan",
    "green",
    "magenta",
    "red",
    "blue",
    "black",
    "grey 0",
    "grey 1/7",
    "grey 2/7",
    "grey 3/7",
    "grey 4/7",
    "grey 5/7",
    "grey 6/7",
    "grey 1",
];

/// Fills `report` with what was measured and its checks; what is not of the loop itself is the caller's.
pub fn judge(seen: &Observed, form: Form, limits: &Limits, report: &mut Report) {
    let period_ns = seen.pattern.rate.period_ns();
    let analysis = analysed(seen, |sight| sight.seen.map(|reading| reading.number));
    let delays_ms: Vec<f64> = analysis.sights.iter().map(|sight| sight.delay_ns() as f64 / 1e6).collect();
    let first_ns = analysis.sights.first().map_or(0, |sight| sight.seen_ns);
    let points: Vec<[f64; 2]> =
        analysis.sights.iter().zip(&delays_ms).map(|(sight, ms)| [(sight.seen_ns - first_ns) as f64 / 1e9, *ms]).collect();
    report.set_series(&points);
    let video_ms: Vec<f64> = first_presents(seen).map(|(capture_ns, present_ns)| (present_ns - capture_ns) as f64 / 1e6).collect();
    let run = &seen.report;
    let resolution_ms = if seen.look_every_ns == 0 { INTERNAL_RESOLUTION_MS } else { seen.look_every_ns as f64 / 1e6 };
    report.resolution_ms = Some(resolution_ms);
    report.delays_ms.cable_to_cable = summary(&delays_ms);
    report.delays_ms.video = Some(run.video_delay_ms.clone());
    report.delays_ms.machine_stall = Some(run.machine_stall_ms.clone());
    report.delays_ms.jitter = summary(&jitter_ms(&analysis, period_ns));
    let judged = (analysis.sights.len() + analysis.missing.len() + analysis.torn_only.len()) as u64;
    let unreadable = analysis.blended + analysis.damaged + analysis.not_found;
    report.counts = Counts {
        sent: judged + analysis.hidden.len() as u64,
        seen: analysis.sights.len() as u64,
        repeated: analysis.repeated,
        missing: analysis.missing.len() as u64,
        reordered: analysis.reordered,
        torn: analysis.torn,
        unreadable,
        looks: analysis.captures,
    };
    let mut checks = vec![
        Check::delay(Test::CableToCable, &delays_ms, form, limits),
        Check::delay(Test::VideoDelay, &video_ms, form, limits),
        Check::frames(analysis.sights.len() as u64, form, limits),
        Check::measured(Test::Missing, percent(analysis.missing.len() as u64, judged), limits)
            .with_detail(&named("missing", &analysis.missing))
            .with_detail(&stood_still::at(&analysis.missing, seen)),
        Check::measured(Test::Repeated, percent(analysis.repeated, judged), limits).with_detail(&if analysis.repeated > 0 {
            stood_still::meanwhile(seen)
        } else {
            String::new()
        }),
        Check::measured(Test::Reordered, analysis.reordered as f64, limits),
        Check::measured(Test::Torn, percent(analysis.torn, analysis.captures), limits),
        Check::measured(Test::Unreadable, percent(unreadable, analysis.captures), limits),
    ];
    annotation::judge(seen, limits, report, &mut checks);
    if seen.look_every_ns > 0 {
        checks.push(Check::measured(Test::CaptureRate, 1e9 / seen.look_every_ns as f64, limits));
    }
    if let Some(measured_hz) = analysis.changes_hz() {
        let stated_hz = seen.pattern.rate.per_second();
        report.refresh = Some(Refresh { stated_hz, measured_hz });
        checks.push(Check::measured(Test::Refresh, 100.0 * (measured_hz / stated_hz - 1.0), limits));
    }
    explain(&analysis, seen, resolution_ms, report, limits, &mut checks);
    colours(seen, limits, report, &mut checks);
    geometry(seen, limits, report, &mut checks);
    report.checks.append(&mut checks);
}

/// Numbers that were sent against those that were seen, in the marker or in what lies under it. Each number was due at the first one's
/// time and so many periods.
pub(super) fn analysed(seen: &Observed, number: impl Fn(&Sight) -> Result<u32, Unread>) -> Analysis {
    let rate = seen.pattern.rate;
    let Some(start_ns) = seen.presents.first().map(|first| first.capture_ns.saturating_sub(first.pts_ns)) else {
        return Analysis::default();
    };
    let last = seen.presents.iter().map(|present| seen.pattern.number_at(present.pts_ns)).max().unwrap_or(0);
    let releases: Vec<Release> = (0..=last)
        .map(|number| Release { number: number as u32, released_ns: start_ns + seen.pattern.pts_ns(number) })
        .filter(|release| release.released_ns >= seen.since_ns)
        .collect();
    let sights = seen.sights.iter().filter(|sight| sight.at_ns >= seen.since_ns);
    let mut sightings: Vec<Sighting> = sights.map(|sight| Sighting { captured_ns: sight.at_ns, seen: number(sight) }).collect();
    if seen.look_every_ns == 0 {
        sightings = held(&sightings);
    }
    let pace = Pace { period_ns: rate.period_ns(), settle_ns: if seen.look_every_ns == 0 { 0 } else { SETTLE_NS } };
    analyse(&releases, &sightings, pace)
}

/// What is presented in memory stays there until the next present: it is looked at once more just before that.
fn held(sightings: &[Sighting]) -> Vec<Sighting> {
    let again = sightings.windows(2).map(|pair| Sighting { captured_ns: pair[1].captured_ns.saturating_sub(1), ..pair[0] });
    let last = sightings.last().copied();
    sightings.iter().copied().zip(again).flat_map(|(sight, again)| [sight, again]).chain(last).collect()
}

/// Capture stamp and first present of each picture.
fn first_presents(seen: &Observed) -> impl Iterator<Item = (u64, u64)> {
    let of = seen.presents.iter().filter(|present| !present.is_again && present.capture_ns >= seen.since_ns);
    of.map(|present| (present.capture_ns, present.present_ns.max(present.capture_ns)))
}

fn explain(analysis: &Analysis, seen: &Observed, resolution_ms: f64, report: &mut Report, limits: &Limits, checks: &mut Vec<Check>) {
    let mut middles: Vec<f64> = analysis.sights.iter().map(|sight| sight.middle_delay_ns() as f64 / 1e6).collect();
    if middles.is_empty() {
        return;
    }
    middles.sort_by(f64::total_cmp);
    let stages = &seen.report.stages_ms;
    let of = |name: &str, summary: &Summary| Stage { name: name.to_owned(), ms: summary.p50 };
    let explained = Explained::of(
        middles[middles.len() / 2],
        vec![
            of("capture to display thread", &stages.handover),
            of("overlay", &stages.overlay),
            of("compose", &stages.compose),
            of("present", &stages.present),
        ],
    );
    if let Some(resolutions) = explained.unexplained_resolutions(resolution_ms) {
        // Negative: the picture could be seen before the call that shows it had come back, which the stages count in.
        let (total_ms, unexplained_ms) = (explained.total_ms, explained.unexplained_ms);
        let words = format!("measured {total_ms:.2} ms, the stages add up to {:.2} ms (medians)", total_ms - unexplained_ms);
        checks.push(Check::measured(Test::Explained, resolutions, limits).with_detail(&words));
    }
    report.explained = Some(explained);
}

fn colours(seen: &Observed, limits: &Limits, report: &mut Report, checks: &mut Vec<Check>) {
    let Some(bars) = &seen.colours else {
        checks.push(Check::not_run(Test::Colours, "the bars were in no look"));
        return;
    };
    let tolerance = limits.number("colour_error_levels").unwrap_or(0.0) as f32;
    let verdict = judge_colours(bars, tolerance);
    let fault = verdict.fault.map(words_of);
    let lines = BAR_NAMES.iter().zip(expected_colours()).zip(bars);
    report.colours = Some(Colours {
        error_levels: f64::from(verdict.error),
        fault: fault.clone(),
        bars: lines.map(|((name, expected), seen)| BarLine { name: (*name).to_owned(), expected, seen: *seen }).collect(),
    });
    let check = Check::measured(Test::Colours, f64::from(verdict.error), limits);
    checks.push(match fault {
        Some(fault) => check.with_detail(&fault),
        None => check,
    });
}

fn words_of(fault: ColourFault) -> String {
    match fault {
        ColourFault::Matrix { encoded, decoded } => format!("pictures of {encoded:?} were shown as if they were {decoded:?}"),
        ColourFault::LimitedShownAsFull => "limited range was shown as if it were full".to_owned(),
        ColourFault::FullShownAsLimited => "full range was shown as if it were limited".to_owned(),
        ColourFault::Exchanged => "red and blue are exchanged".to_owned(),
        ColourFault::Other => "no known mistake explains it".to_owned(),
    }
}

fn geometry(seen: &Observed, limits: &Limits, report: &mut Report, checks: &mut Vec<Check>) {
    let reading = seen.sights.iter().rev().find_map(|sight| sight.seen.as_ref().ok());
    let (Some(reading), Some(placement)) = (reading, seen.pattern.placement()) else {
        checks.push(Check::not_run(Test::Geometry, "no marker was read"));
        return;
    };
    let map = reading.geometry.affine(placement);
    let (scale_x, scale_y) = (map.xx.hypot(map.yx), map.xy.hypot(map.yy));
    let found = Geometry {
        scale_x,
        scale_y,
        shift_x_px: map.x0 + seen.looked_from[0] as f64,
        shift_y_px: map.y0 + seen.looked_from[1] as f64,
        rotation_deg: map.yx.atan2(map.xx).to_degrees(),
    };
    report.geometry = Some(found);
    let (width, height) = (seen.pattern.width as f64, seen.pattern.height as f64);
    let errors = [scale_x - 1.0, scale_y - 1.0, found.shift_x_px / width, found.shift_y_px / height];
    let error = errors.into_iter().fold(0.0, |most: f64, error| most.max(error.abs()));
    checks.push(Check::measured(Test::Geometry, 100.0 * error, limits));
}

/// How far the time between two pictures is off the source's period.
fn jitter_ms(analysis: &Analysis, period_ns: u64) -> Vec<f64> {
    let steps = analysis.sights.windows(2).filter(|pair| pair[1].number == pair[0].number + 1);
    steps.map(|pair| (pair[1].seen_ns.saturating_sub(pair[0].seen_ns)).abs_diff(period_ns) as f64 / 1e6).collect()
}

pub(super) fn summary(ms: &[f64]) -> Option<Summary> {
    let mut delays = Delays::default();
    ms.iter().for_each(|ms| delays.record_ns((ms * 1e6).max(0.0) as u64));
    (!ms.is_empty()).then(|| delays.summary())
}

fn percent(part: u64, of: u64) -> f64 {
    100.0 * part as f64 / of.max(1) as f64
}

/// The first few.
fn named(what: &str, numbers: &[u32]) -> String {
    const SHOWN: usize = 8;
    if numbers.is_empty() {
        return String::new();
    }
    let first: Vec<String> = numbers.iter().take(SHOWN).map(u32::to_string).collect();
    format!("{what}: {}{}", first.join(", "), if numbers.len() > SHOWN { " …" } else { "" })
}
