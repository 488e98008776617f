//! The self-test's report, schema "keyhole.selftest/1": filled by the loop that ran, judged here, written whole or not at all. How
//! it looks on paper stands in `page`.
//!
//! A caller makes a `Report::new`, fills what its loop measured, pushes its checks, calls `judge`, then `write` and `page::html`.

use super::check::Check;
use super::error::ReportError;
use super::fingerprint::Fingerprint;
use super::gate::Tested;
use super::series::{Bin, MOST_POINTS, downsampled, histogram};
use super::stamp::Stamp;
use super::verdict::{Form, Loop, Verdict, judge};
use crate::base::files::write_durably;
use crate::base::mode::Mode;
use crate::base::stats::Summary;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;

pub const SCHEMA: &str = "keyhole.selftest/1";
/// 4,000 points and all checks are far below it.
const FILE_LIMIT_BYTES: u64 = 4 << 20;

/// ms; None: this loop does not see it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Delays {
    /// Output changes → seen at an input again.
    pub cable_to_cable: Option<Summary>,
    pub video: Option<Summary>,
    /// Output changes → the answer to that picture is seen at an input.
    pub annotation: Option<Summary>,
    /// The same as the box itself says, to the end of its present call.
    #[serde(default)]
    pub annotation_inside: Option<Summary>,
    /// How far the time between two pictures on the output is off the source's period.
    pub jitter: Option<Summary>,
    /// How late a bare timer thread of the same run was: the machine's own stalls.
    pub machine_stall: Option<Summary>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stage {
    pub name: String,
    /// Median.
    pub ms: f64,
}

/// Where the measured delay goes: medians, ms.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Explained {
    pub total_ms: f64,
    pub stages: Vec<Stage>,
    /// `total_ms` less all stages; negative where these say more than was measured.
    pub unexplained_ms: f64,
}

impl Explained {
    pub fn of(total_ms: f64, stages: Vec<Stage>) -> Explained {
        let sum: f64 = stages.iter().map(|stage| stage.ms).sum();
        Explained { total_ms, stages, unexplained_ms: ((total_ms - sum) * 1e3).round() / 1e3 }
    }

    /// The part that is not explained in resolutions of the measurement: what `Test::Explained` judges. None: there is none.
    pub fn unexplained_resolutions(&self, resolution_ms: f64) -> Option<f64> {
        (resolution_ms > 0.0).then(|| self.unexplained_ms.abs() / resolution_ms)
    }
}

/// Of the pictures that were sent, and of the looks at the output.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Counts {
    pub sent: u64,
    /// Different ones.
    pub seen: u64,
    pub repeated: u64,
    pub missing: u64,
    pub reordered: u64,
    /// Looks.
    pub torn: u64,
    /// Looks.
    pub unreadable: u64,
    pub looks: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Refresh {
    pub stated_hz: f64,
    pub measured_hz: f64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Colours {
    /// Largest error of a channel of a bar, of 255 levels.
    pub error_levels: f64,
    /// The mistake that explains it: "limited range shown as full".
    pub fault: Option<String>,
    /// Name of the bar, R'G'B' 0–255 as it should be and as it was seen.
    pub bars: Vec<BarLine>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BarLine {
    pub name: String,
    pub expected: [f32; 3],
    pub seen: [f32; 3],
}

/// Where the picture lies on the output, against where it should.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Geometry {
    /// 1: as it should be.
    pub scale_x: f64,
    pub scale_y: f64,
    pub shift_x_px: f64,
    pub shift_y_px: f64,
    pub rotation_deg: f64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Report {
    pub schema: String,
    pub verdict: Verdict,
    pub version: String,
    pub commit: String,
    pub mode: Mode,
    /// When it began.
    pub at: Stamp,
    pub seconds: f64,
    pub boot_id: String,
    /// Then, s since the machine was switched on; 0: not known.
    #[serde(default)]
    pub since_boot_s: f64,
    /// Its place among the self-tests that are kept, from 1: the order in which they were made, whatever the wall clock said.
    #[serde(default)]
    pub sequence: u64,
    #[serde(rename = "loop")]
    pub loop_kind: Loop,
    pub form: Form,
    /// When the cable was last proven before this; None: never.
    pub last_cable_proof: Option<Stamp>,
    /// Until when that proof, or this one, holds.
    pub cable_proof_until: Option<Stamp>,
    /// What has changed since the last full self-test, in words.
    pub changes: Vec<String>,
    pub checks: Vec<Check>,
    /// Name → value: product, serial number, display, adapter, processor, kernel …
    pub device: BTreeMap<String, String>,
    pub fingerprint: Fingerprint,
    pub delays_ms: Delays,
    /// As finely as the loop tells two moments apart.
    pub resolution_ms: Option<f64>,
    pub explained: Option<Explained>,
    pub counts: Counts,
    pub refresh: Option<Refresh>,
    pub colours: Option<Colours>,
    pub geometry: Option<Geometry>,
    /// Of `cable_to_cable`: [time since the start s, delay ms], at most 4,000; of each stretch the longest.
    pub delay_series: Vec<[f64; 2]>,
    /// Of all of them.
    pub histogram: Vec<Bin>,
    /// Who set the site's limits, in words; None: those that were shipped.
    pub site_limits: Option<String>,
}

impl Report {
    /// An empty one: it fails, because nothing was tested.
    pub fn new(loop_kind: Loop, form: Form, mode: Mode, at: Stamp, boot_id: &str) -> Report {
        Report {
            schema: SCHEMA.to_owned(),
            verdict: judge(loop_kind, form, &[]),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            commit: env!("KEYHOLE_COMMIT").to_owned(),
            mode,
            at,
            seconds: 0.0,
            boot_id: boot_id.to_owned(),
            since_boot_s: 0.0,
            sequence: 0,
            loop_kind,
            form,
            last_cable_proof: None,
            cable_proof_until: None,
            changes: Vec::new(),
            checks: Vec::new(),
            device: BTreeMap::new(),
            fingerprint: Fingerprint::default(),
            delays_ms: Delays::default(),
            resolution_ms: None,
            explained: None,
            counts: Counts::default(),
            refresh: None,
            colours: None,
            geometry: None,
            delay_series: Vec::new(),
            histogram: Vec::new(),
            site_limits: None,
        }
    }

    /// [time s, delay ms] of each picture: the series and the histogram.
    pub fn set_series(&mut self, points: &[[f64; 2]]) {
        let rounded = |point: [f64; 2]| [(point[0] * 1e3).round() / 1e3, (point[1] * 1e3).round() / 1e3];
        self.delay_series = downsampled(points, MOST_POINTS).into_iter().map(rounded).collect();
        self.histogram = histogram(&points.iter().map(|point| point[1]).collect::<Vec<_>>());
    }

    /// Sorts the checks by their codes and judges them: the last thing before the report is used. `proof_holds_days`: the limit
    /// `cable_proof_days`.
    pub fn judge(&mut self, proof_holds_days: f64) -> &Verdict {
        self.checks.sort_by(|a, b| (a.group, &a.code).cmp(&(b.group, &b.code)));
        self.verdict = judge(self.loop_kind, self.form, &self.checks);
        let proof = if self.verdict.is_cable_proven { Some(&self.at) } else { self.last_cable_proof.as_ref() };
        self.cable_proof_until = proof.map(|proof| Stamp::from_unix_s((proof.unix_s() + proof_holds_days * super::stamp::DAY_S) as i64));
        &self.verdict
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

    /// As it is written.
    pub fn json(&self) -> serde_json::Result<Vec<u8>> {
        serde_json::to_vec_pretty(self)
    }

    /// Whole and flushed to the disk, or not at all.
    pub fn write(&self, path: &Path) -> Result<(), ReportError> {
        let failed = |source| ReportError::Write { path: path.to_owned(), source };
        let json = self.json().map_err(|e| failed(e.into()))?;
        write_durably(path, &json).map_err(failed)
    }

    /// A report whose verdict is not what its checks say is damaged.
    pub fn read(path: &Path) -> Result<Report, ReportError> {
        let failed = |source| ReportError::Read { path: path.to_owned(), source };
        let damaged = |reason: String| ReportError::Damaged { path: path.to_owned(), reason };
        let bytes = std::fs::metadata(path).map_err(failed)?.len();
        if bytes > FILE_LIMIT_BYTES {
            return Err(damaged(format!("it is {bytes} bytes long, more than {FILE_LIMIT_BYTES}")));
        }
        parse(&std::fs::read(path).map_err(failed)?).map_err(damaged)
    }
}

fn parse(bytes: &[u8]) -> Result<Report, String> {
    let report: Report = serde_json::from_slice(bytes).map_err(|e| e.to_string())?;
    if report.schema != SCHEMA {
        return Err(format!("schema: expected '{SCHEMA}', found '{}'", report.schema));
    }
    if report.verdict != judge(report.loop_kind, report.form, &report.checks) {
        return Err("its verdict is not what its checks say".to_owned());
    }
    Ok(report)
}

#[cfg(test)]
#[path = "report_tests.rs"]
pub(super) mod tests;
