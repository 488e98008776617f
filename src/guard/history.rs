//! The self-tests of an appliance, one report a file in a folder. The reports themselves are the truth: the index beside them is
//! made anew from them, and a damaged one is named and left where it is. Drifts are told from them (`trend`).

use super::bound::number;
use super::error::ReportError;
use super::fingerprint::Fingerprint;
use super::gate::{Cable, Gate, Situation, Tested, decide};
use super::limits::Limits;
use super::report::Report;
use super::stamp::Stamp;
use super::table::Test;
use super::trend::{MONTH_DAYS, Trend};
use super::verdict::{Form, Grade, Loop, Verdict};
use crate::base::files::write_durably;
use crate::base::mode::Mode;
use crate::base::stats::Summary;
use serde::{Deserialize, Serialize};
use std::fmt::Write;
use std::path::{Path, PathBuf};

/// For people and other programs; nothing here reads it.
pub const INDEX_FILE: &str = "history.jsonl";
const REPORT_ENDING: &str = ".selftest.json";
/// Self-tests that a trend looks at: the pairs of more take long and tell nothing new.
const TREND_POINTS: usize = 400;

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Quantiles {
    pub p50: f64,
    pub p99: f64,
    pub max: f64,
}

/// Boot, wall clock, s since that boot (0: not known).
type Moment<'a> = (&'a str, &'a Stamp, f64);
/// What a time service corrects, and what a self-test takes: it is kept at its end with the time of its beginning.
const CLOCK_TOLERANCE_S: f64 = 300.0;

/// What is followed over time, and its name.
type Statistic = (&'static str, fn(Quantiles) -> f64);
const STATISTICS: [Statistic; 3] = [("p50", |of| of.p50), ("p99", |of| of.p99), ("max", |of| of.max)];

/// What the history knows of one self-test.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// In the history's folder.
    pub file: String,
    pub at: Stamp,
    pub boot_id: String,
    #[serde(default)]
    pub since_boot_s: f64,
    #[serde(default)]
    pub sequence: u64,
    #[serde(rename = "loop")]
    pub loop_kind: Loop,
    pub form: Form,
    pub verdict: Verdict,
    /// ms
    pub cable_to_cable: Option<Quantiles>,
    /// ms
    pub video: Option<Quantiles>,
    pub fingerprint: Fingerprint,
}

/// A file that is no report any more.
#[derive(Debug, Clone, PartialEq)]
pub struct Damaged {
    pub path: PathBuf,
    pub reason: String,
}

/// One figure over time: of one loop and form, one delay.
#[derive(Debug, Clone, PartialEq)]
pub struct Figure {
    pub loop_kind: Loop,
    pub form: Form,
    /// The check that judges this delay.
    pub test: Test,
    /// "p50", "p99", "max"
    pub statistic: &'static str,
    /// [days since the first one, ms]; those before the latest change of hardware or display are left out.
    pub points: Vec<[f64; 2]>,
    pub first: Stamp,
    /// ms: the default or the site's for p50 and p99, what nothing may exceed for the maximum.
    pub limit_ms: Option<f64>,
    pub trend: Option<Trend>,
}

pub struct History {
    dir: PathBuf,
    /// By time.
    entries: Vec<Entry>,
    damaged: Vec<Damaged>,
}

impl Entry {
    fn of(report: &Report, file: String) -> Entry {
        let quantiles =
            |summary: &Option<Summary>| summary.as_ref().filter(|s| s.count > 0).map(|s| Quantiles { p50: s.p50, p99: s.p99, max: s.max });
        Entry {
            file,
            at: report.at.clone(),
            boot_id: report.boot_id.clone(),
            since_boot_s: report.since_boot_s,
            sequence: report.sequence,
            loop_kind: report.loop_kind,
            form: report.form,
            verdict: report.verdict.clone(),
            cable_to_cable: quantiles(&report.delays_ms.cable_to_cable),
            video: quantiles(&report.delays_ms.video),
            fingerprint: report.fingerprint.clone(),
        }
    }

    /// What the gate looks at.
    pub fn tested(&self) -> Tested {
        Tested {
            boot_id: self.boot_id.clone(),
            loop_kind: self.loop_kind,
            verdict: self.verdict.clone(),
            fingerprint: self.fingerprint.clone(),
        }
    }

    fn is_good(&self) -> bool {
        self.verdict.grade != Grade::Fail
    }
}

impl History {
    /// Reads every report in the folder; one that is not there has none. Writes nothing.
    pub fn open(dir: &Path) -> Result<History, ReportError> {
        let failed = |source| ReportError::Read { path: dir.to_owned(), source };
        let mut history = History { dir: dir.to_owned(), entries: Vec::new(), damaged: Vec::new() };
        let folder = match std::fs::read_dir(dir) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(history),
            other => other.map_err(failed)?,
        };
        for entry in folder {
            let path = entry.map_err(failed)?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if !name.ends_with(REPORT_ENDING) {
                continue;
            }
            match Report::read(&path) {
                Ok(report) => history.entries.push(Entry::of(&report, name)),
                Err(ReportError::Damaged { reason, .. }) => history.damaged.push(Damaged { path, reason }),
                Err(error) => history.damaged.push(Damaged { path, reason: error.to_string() }),
            }
        }
        history.damaged.sort_by(|a, b| a.path.cmp(&b.path));
        history.sort();
        Ok(history)
    }

    /// Writes the report into the folder, which is made where it is not there, then lets go of what is more than `most` reports: the
    /// oldest that passed first, failures last; never the latest one, the latest full one or the latest that looked at the cable.
    pub fn keep(&mut self, report: &Report, most: usize) -> Result<PathBuf, ReportError> {
        let failed = |source| ReportError::Write { path: self.dir.clone(), source };
        std::fs::create_dir_all(&self.dir).map_err(failed)?;
        let stem = format!("{}-{}-{}", report.at.compact(), report.loop_kind.name(), report.form.name());
        let names = (1..).map(|i| if i == 1 { format!("{stem}{REPORT_ENDING}") } else { format!("{stem}_{i}{REPORT_ENDING}") });
        let Some(file) = names.take(1_000).find(|name| !self.dir.join(name).exists()) else {
            return Err(failed(std::io::ErrorKind::AlreadyExists.into()));
        };
        let path = self.dir.join(&file);
        let sequence = 1 + self.entries.iter().map(|entry| entry.sequence).max().unwrap_or(0);
        let report = Report { sequence, ..report.clone() };
        report.write(&path)?;
        self.entries.push(Entry::of(&report, file.clone()));
        self.sort();
        self.let_go(most, &file)?;
        self.write_index()?;
        Ok(path)
    }

    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    pub fn damaged(&self) -> &[Damaged] {
        &self.damaged
    }

    /// The latest self-test of the appliance, whatever its verdict: a tower measured from outside is none.
    pub fn latest(&self) -> Option<&Entry> {
        self.last(|entry| entry.loop_kind != Loop::External)
    }

    /// The latest full one, whatever its verdict: what failed there is not undone by a quick one that passes.
    pub fn last_full(&self) -> Option<&Entry> {
        self.last(|entry| entry.loop_kind != Loop::External && entry.form == Form::Full)
    }

    /// The latest one that looked at the cable, whatever its verdict.
    fn last_cable_test(&self) -> Option<&Entry> {
        self.last(|entry| entry.loop_kind.proves_cable())
    }

    /// The one that was made last, whatever the wall clock said then: one that was set back hides no failure behind an older pass.
    fn last(&self, is_one: impl Fn(&Entry) -> bool) -> Option<&Entry> {
        self.entries.iter().filter(|entry| is_one(entry)).max_by_key(|entry| entry.sequence)
    }

    /// What is known of the cable at this moment, `since_boot_s` after this boot (0: not known).
    pub fn cable(&self, boot_id: &str, at: &Stamp, since_boot_s: f64) -> Cable {
        match self.last_cable_test() {
            None => Cable::NeverProven,
            // Nobody can say how long ago it was.
            Some(test) if test.verdict.is_cable_proven && self.was_set_back(test, (boot_id, at, since_boot_s)) => {
                Cable::Proven { days: f64::NEG_INFINITY }
            }
            Some(test) if test.verdict.is_cable_proven => Cable::Proven { days: at.days_since(&test.at) },
            Some(_) => Cable::Failed,
        }
    }

    /// Was the wall clock set back between `since` and `now`? Seen where a later self-test carries an earlier time, and within one
    /// boot where less time has passed by the wall clock than since the machine was switched on. Set back while the machine was
    /// off, by less than it was off for, nobody can tell.
    fn was_set_back(&self, since: &Entry, now: Moment<'_>) -> bool {
        let mut later: Vec<&Entry> = self.entries.iter().filter(|entry| entry.sequence >= since.sequence).collect();
        later.sort_by_key(|entry| entry.sequence);
        let moments: Vec<Moment<'_>> = later.iter().map(|entry| (&*entry.boot_id, &entry.at, entry.since_boot_s)).chain([now]).collect();
        moments.windows(2).any(|pair| {
            let [(boot, from, from_s), (later_boot, to, to_s)] = [pair[0], pair[1]];
            let is_one_boot = boot == later_boot && from_s > 0.0 && to_s > 0.0;
            let least_s = if is_one_boot { to_s - from_s } else { 0.0 };
            to.unix_s() - from.unix_s() < least_s - CLOCK_TOLERANCE_S
        })
    }

    /// The gate's answer by what is kept here. `boot_id`, `now`, `at` and `since_boot_s`: of this boot, this appliance,
    /// this moment.
    pub fn decide(&self, mode: Mode, boot_id: &str, now: &Fingerprint, at: &Stamp, since_boot_s: f64, limits: &Limits) -> Gate {
        let (latest, last_full) = (self.latest().map(Entry::tested), self.last_full().map(Entry::tested));
        decide(&Situation {
            mode,
            boot_id,
            latest: latest.as_ref(),
            last_full: last_full.as_ref(),
            now,
            cable: self.cable(boot_id, at, since_boot_s),
            // Without the limit no proof holds.
            cable_proof_holds_days: limits.number("cable_proof_days").unwrap_or(0.0),
        })
    }

    /// The latest one that proved the cable, for the report; a later test that failed takes the proof away (`cable`).
    pub fn last_cable_proof(&self) -> Option<&Entry> {
        self.entries.iter().rev().find(|entry| entry.verdict.is_cable_proven)
    }

    fn sort(&mut self) {
        self.entries.sort_by(|a, b| a.at.unix_s().total_cmp(&b.at.unix_s()).then_with(|| a.file.cmp(&b.file)));
    }

    fn let_go(&mut self, most: usize, newest: &str) -> Result<(), ReportError> {
        while self.entries.len() > most {
            let kept = [self.latest(), self.last_full(), self.last_cable_test()].map(|entry| entry.map(|entry| entry.file.clone()));
            let may_go = |entry: &Entry| entry.file != newest && !kept.iter().flatten().any(|file| *file == entry.file);
            let passed = self.entries.iter().position(|entry| entry.is_good() && may_go(entry));
            let Some(index) = passed.or_else(|| self.entries.iter().position(may_go)) else { return Ok(()) };
            let path = self.dir.join(&self.entries[index].file);
            match std::fs::remove_file(&path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(ReportError::Write { path, source: error }),
                _ => drop(self.entries.remove(index)),
            }
        }
        Ok(())
    }

    fn write_index(&self) -> Result<(), ReportError> {
        let path = self.dir.join(INDEX_FILE);
        let lines: Result<Vec<String>, _> = self.entries.iter().map(serde_json::to_string).collect();
        let text = lines.map(|lines| lines.join("\n") + "\n").map_err(std::io::Error::from);
        text.and_then(|text| write_durably(&path, text.as_bytes())).map_err(|source| ReportError::Write { path, source })
    }

    /// Every delay of every loop and form that there are self-tests of, with its trend.
    pub fn figures(&self, limits: &Limits) -> Vec<Figure> {
        let mut figures = Vec::new();
        for loop_kind in Loop::ALL {
            for form in [Form::Quick, Form::Full] {
                let of: Vec<&Entry> = self.entries.iter().filter(|e| e.loop_kind == loop_kind && e.form == form).collect();
                let Some(last) = of.last() else { continue };
                // A delay of another display is no drift.
                let same = of.iter().rev().take_while(|entry| entry.fingerprint.is_same_path(&last.fingerprint)).count().min(TREND_POINTS);
                let of = &of[of.len() - same..];
                for (test, delay) in
                    [(Test::CableToCable, (|e| e.cable_to_cable) as fn(&Entry) -> Option<Quantiles>), (Test::VideoDelay, |e| e.video)]
                {
                    figures.extend(of_delay(loop_kind, form, test, of, delay, limits));
                }
            }
        }
        figures
    }

    /// The table of `keyhole selftest history`: one line a self-test, the latest last, then what drifts, then what is damaged.
    pub fn text(&self, limits: &Limits) -> String {
        let mut text = format!(
            "{:<22}{:<10}{:<7}{:<18}{:>26}{:>26}\n",
            "when", "loop", "form", "verdict", "cable p50/p99/max ms", "video p50/p99/max ms"
        );
        let told = |delay: Option<Quantiles>| match delay {
            Some(of) => format!("{:.1} / {:.1} / {:.1}", of.p50, of.p99, of.max),
            None => "–".to_owned(),
        };
        for entry in &self.entries {
            let codes: Vec<&str> = entry.verdict.failures.iter().chain(&entry.verdict.limits).map(|named| named.code.as_str()).collect();
            let _ = writeln!(
                text,
                "{:<22}{:<10}{:<7}{:<18}{:>26}{:>26}  {}",
                entry.at.words(),
                entry.loop_kind.name(),
                entry.form.name(),
                entry.verdict.grade.words(),
                told(entry.cable_to_cable),
                told(entry.video),
                codes.join(" ")
            );
        }
        if self.entries.is_empty() {
            text += "no self-test has been kept yet\n";
        }
        for figure in self.figures(limits) {
            if let Some(words) = figure.words() {
                let _ = writeln!(text, "{words}");
            }
        }
        for Damaged { path, reason } in &self.damaged {
            let _ = writeln!(text, "damaged, not counted: {}: {reason}", path.display());
        }
        text
    }
}

fn of_delay(
    loop_kind: Loop,
    form: Form,
    test: Test,
    of: &[&Entry],
    delay: fn(&Entry) -> Option<Quantiles>,
    limits: &Limits,
) -> Vec<Figure> {
    let Some(first) = of.iter().find(|entry| delay(entry).is_some()).map(|entry| entry.at.clone()) else { return Vec::new() };
    let limit = test.row().limit.and_then(|id| limits.get(id));
    let figure = |(statistic, pick): Statistic| {
        let points: Vec<[f64; 2]> = of.iter().filter_map(|entry| Some([entry.at.days_since(&first), pick(delay(entry)?)])).collect();
        let bound = limit.and_then(|limit| if statistic == "max" { limit.hard.or(limit.in_force()) } else { limit.in_force() });
        let limit_ms = bound.map(|bound| bound.ends().1).filter(|ms| ms.is_finite());
        Figure { loop_kind, form, test, statistic, trend: Trend::of(&points), points, first: first.clone(), limit_ms }
    };
    STATISTICS.map(figure).into()
}

impl Figure {
    /// "cable, quick: Delay from output to input (cable to cable), p99"
    pub fn name(&self) -> String {
        format!("{}, {}: {}, {}", self.loop_kind.name(), self.form.name(), self.test.row().what, self.statistic)
    }

    /// What drifts, and when it would be too much; None where nothing does for sure.
    pub fn words(&self) -> Option<String> {
        let trend = self.trend.filter(Trend::is_significant)?;
        let a_month = |slope: f64| number(MONTH_DAYS * slope);
        let mut words = format!(
            "{} drifts by {} ms a month ({} to {}, 99 % interval)",
            self.name(),
            a_month(trend.slope),
            a_month(trend.low),
            a_month(trend.high)
        );
        if let Some((limit, days)) = self.limit_ms.and_then(|limit| Some((limit, trend.days_until(limit)?))) {
            let _ = match days {
                0.0 => write!(words, ", and has reached its limit of {} ms", number(limit)),
                _ => write!(words, ", and would reach its limit of {} ms in {days:.0} days", number(limit)),
            };
        }
        Some(words)
    }

    /// Worth looking at: it rises, and would reach its limit within this many days.
    pub fn reaches_limit_within(&self, days: f64) -> bool {
        self.trend.zip(self.limit_ms).and_then(|(trend, limit)| trend.days_until(limit)).is_some_and(|until| until <= days)
    }
}

#[cfg(test)]
#[path = "history_tests.rs"]
pub(super) mod tests;
