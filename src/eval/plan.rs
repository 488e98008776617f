//! A plan of a validation: what is to be reached, said before anything is looked at. Its SHA-256 is written beside it
//! (`F.registered`) at first sight, before any picture is opened; a plan that differs from what was registered is refused.

use crate::base::error::ErrorKind;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::io::Write;
use std::path::{Path, PathBuf};

pub const PLAN_SCHEMA: &str = "keyhole.plan/1";
const REGISTRATION_SCHEMA: &str = "keyhole.plan-registration/1";
/// Lines that differ are told one by one, up to so many.
const DIFFERENCES_TOLD: usize = 12;
/// Metrics that an end point may name.
pub const METRICS: [&str; 19] = [
    "dice",
    "iou",
    "dice_a_picture",
    "hd95_px",
    "boundary_f1",
    "sensitivity",
    "specificity",
    "ppv",
    "auroc",
    "ece",
    "ece_boundary",
    "picture_sensitivity",
    "ppv_at_prevalence",
    "false_positives_a_minute",
    "hota",
    "idf1",
    "mota",
    "tip_error_percent",
    "map",
];
/// Those that are of all classes together.
const OF_TRACKING: [&str; 5] = ["hota", "idf1", "mota", "tip_error_percent", "map"];

#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    #[error("the plan '{}' cannot be read: {source}; --plan names a TOML file with {PLAN_SCHEMA} in its schema", .path.display())]
    Read { path: PathBuf, source: std::io::Error },
    #[error("the plan '{}': {reason}", .path.display())]
    Content { path: PathBuf, reason: String },
    #[error("the plan's registration '{}' cannot be written: {source}; a plan counts only once its hash is on record, so put it where files can be written", .path.display())]
    Register { path: PathBuf, source: std::io::Error },
    #[error("the plan's registration '{}' is damaged: {reason}; restore it, or register the plan anew under another file name", .path.display())]
    Registration { path: PathBuf, reason: String },
    #[error("the plan '{}' was changed after it was registered on {at}:\n{changes}put the registered plan back, or save the changed one under another file name, where it is registered anew", .path.display())]
    Changed { path: PathBuf, at: String, changes: String },
}

impl PlanError {
    pub fn kind(&self) -> ErrorKind {
        ErrorKind::Stop
    }

    /// Looked at and found bad, as opposed to could not be looked at.
    pub fn is_finding(&self) -> bool {
        matches!(self, PlanError::Changed { .. } | PlanError::Registration { .. })
    }
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    schema: String,
    pub name: String,
    /// Name of the data set (`dataset.toml`) that it is for; any, where it is left out.
    #[serde(default)]
    pub data: Option<String>,
    /// Least number of patients and pictures in the data set.
    #[serde(default)]
    pub patients: usize,
    #[serde(default)]
    pub pictures: usize,
    /// Subgroups that have to be there.
    #[serde(default)]
    pub subgroups: Vec<String>,
    /// Part of the pictures in use that have a class, and how many there are a second; see `prevalence`.
    #[serde(default)]
    pub prevalence: Option<f64>,
    #[serde(default)]
    pub pictures_a_second: Option<f64>,
    #[serde(rename = "end_point")]
    pub end_points: Vec<EndPoint>,
}

/// Met if the whole 95 % interval lies on the right side of the limit, over enough patients.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EndPoint {
    /// One of `METRICS`.
    pub metric: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subgroup: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_least: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_most: Option<f64>,
    /// Least number of patients with a figure.
    #[serde(default)]
    pub patients: usize,
}

/// What is on record of a plan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Registration {
    schema: String,
    /// Lower-case hex, of the plan's bytes.
    pub sha256: String,
    /// UTC.
    pub registered_at: String,
    /// The plan as it was, so that a change can be shown.
    text: String,
}

impl EndPoint {
    fn check(&self) -> Result<(), String> {
        let of_tracking = OF_TRACKING.contains(&self.metric.as_str());
        if !METRICS.contains(&self.metric.as_str()) {
            return Err(format!("metric '{}' is none of {}", self.metric, METRICS.join(", ")));
        }
        if self.at_least.is_some() == self.at_most.is_some() {
            return Err(format!("the end point '{}' takes one of at_least and at_most", self.metric));
        }
        if self.class.is_none() != of_tracking {
            let rule = if of_tracking { "is of all classes together: leave class out" } else { "needs the class that it is of" };
            return Err(format!("the end point '{}' {rule}", self.metric));
        }
        if of_tracking && self.subgroup.is_some() {
            return Err(format!("the end point '{}' is of all clips together: leave subgroup out", self.metric));
        }
        if !self.at_least.or(self.at_most).is_some_and(f64::is_finite) {
            return Err(format!("the limit of '{}' is no number", self.metric));
        }
        Ok(())
    }
}

impl Plan {
    /// Reads the plan and holds it to its registration, which is written where there is none. `now`: UTC, for a new one.
    pub fn open(path: &Path, now: &str) -> Result<(Plan, Registration), PlanError> {
        let bytes = std::fs::read(path).map_err(|source| PlanError::Read { path: path.to_owned(), source })?;
        let content = |reason: String| PlanError::Content { path: path.to_owned(), reason };
        let text = String::from_utf8(bytes).map_err(|error| content(error.to_string()))?;
        let sha256 = super::hex(&Sha256::digest(text.as_bytes()));
        let register = registration_of(path);
        let before = match std::fs::read(&register) {
            Ok(bytes) => Some(read_registration(&register, &bytes)?),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            Err(source) => return Err(PlanError::Read { path: register, source }),
        };
        if let Some(before) = before.as_ref().filter(|before| before.sha256 != sha256) {
            let (at, changes) = (before.registered_at.clone(), changes(&before.text, &text));
            return Err(PlanError::Changed { path: path.to_owned(), at, changes });
        }
        let plan: Plan = toml::from_str(&text).map_err(|error| content(error.to_string().trim_end().to_owned()))?;
        plan.check().map_err(content)?;
        let registration = match before {
            Some(before) => before,
            None => {
                let new = Registration { schema: REGISTRATION_SCHEMA.to_owned(), sha256, registered_at: now.to_owned(), text };
                write_new(&register, &new).map_err(|source| PlanError::Register { path: register.clone(), source })?;
                new
            }
        };
        Ok((plan, registration))
    }

    fn check(&self) -> Result<(), String> {
        if self.schema != PLAN_SCHEMA {
            return Err(format!("schema is '{}', expected '{PLAN_SCHEMA}'", self.schema));
        }
        if self.end_points.is_empty() {
            return Err("there is no [[end_point]]: nothing would be decided".to_owned());
        }
        if self.prevalence.is_some_and(|p| !(0.0..=1.0).contains(&p)) {
            return Err("prevalence is a part, 0 to 1".to_owned());
        }
        if self.pictures_a_second.is_some_and(|rate| !(rate > 0.0 && rate.is_finite())) {
            return Err("pictures_a_second is a number above 0".to_owned());
        }
        self.end_points.iter().try_for_each(EndPoint::check)
    }
}

/// `F.registered`, beside the plan.
pub fn registration_of(plan: &Path) -> PathBuf {
    let mut name = plan.as_os_str().to_owned();
    name.push(".registered");
    name.into()
}

fn read_registration(path: &Path, bytes: &[u8]) -> Result<Registration, PlanError> {
    let damaged = |reason: String| PlanError::Registration { path: path.to_owned(), reason };
    let read: Registration = serde_json::from_slice(bytes).map_err(|error| damaged(error.to_string()))?;
    if read.schema != REGISTRATION_SCHEMA {
        return Err(damaged(format!("schema is '{}', expected '{REGISTRATION_SCHEMA}'", read.schema)));
    }
    if super::hex(&Sha256::digest(read.text.as_bytes())) != read.sha256 {
        return Err(damaged("its text is not what its hash says".to_owned()));
    }
    Ok(read)
}

/// Never over one that is there; on disk before it returns.
fn write_new(path: &Path, registration: &Registration) -> std::io::Result<()> {
    let text = serde_json::to_string_pretty(registration)?;
    let part = path.with_extension("registered.part");
    let mut file = std::fs::File::create(&part)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    let linked = std::fs::hard_link(&part, path);
    let _ = std::fs::remove_file(&part);
    linked
}

/// Lines that went and lines that came.
fn changes(before: &str, now: &str) -> String {
    let only_in = |one: &str, other: &str, sign: char| -> Vec<String> {
        let others: Vec<&str> = other.lines().collect();
        one.lines().filter(|line| !others.contains(line)).map(|line| format!("  {sign} {line}\n")).collect()
    };
    let mut lines = only_in(before, now, '-');
    lines.extend(only_in(now, before, '+'));
    match lines.len() {
        0 => "  the same lines in another order\n".to_owned(),
        count if count > DIFFERENCES_TOLD => lines[..DIFFERENCES_TOLD].concat() + &format!("  and {} more\n", count - DIFFERENCES_TOLD),
        _ => lines.concat(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAN: &str = "schema = 'keyhole.plan/1'\nname = 'one'\npatients = 5\n[[end_point]]\nmetric = 'iou'\nclass = 'liver'\nat_least = 0.7\npatients = 5\n";

    fn written(text: &str) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("plan.toml");
        std::fs::write(&path, text).unwrap();
        (folder, path)
    }

    #[test]
    fn a_plan_is_registered_once_and_a_change_is_shown_and_refused() {
        let (folder, path) = written(PLAN);
        let (plan, first) = Plan::open(&path, "then").unwrap();
        assert_eq!((plan.patients, plan.end_points[0].at_least, first.registered_at.as_str()), (5, Some(0.7), "then"));
        assert_eq!(first.sha256, super::super::hex(&Sha256::digest(PLAN)));
        assert_eq!(Plan::open(&path, "later").unwrap().1, first, "the first time counts");
        std::fs::write(&path, PLAN.replace("0.7", "0.5")).unwrap();
        let error = Plan::open(&path, "later").unwrap_err();
        let said = error.to_string();
        assert!(error.is_finding() && said.contains("- at_least = 0.7\n  + at_least = 0.5") && said.contains("on then"), "{said}");
        assert!(said.contains("another file name"), "{said}");
        std::fs::write(&path, PLAN).unwrap();
        assert!(Plan::open(&path, "later").is_ok());
        // Who changes the record is caught too.
        let register = registration_of(&path);
        let text = std::fs::read_to_string(&register).unwrap();
        std::fs::write(&register, text.replace("0.7", "0.5")).unwrap();
        assert!(matches!(Plan::open(&path, "later"), Err(PlanError::Registration { .. })));
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2, "nothing half-written is left");
    }

    #[test]
    fn what_says_nothing_is_refused_before_it_is_registered() {
        for (from, to, said) in [
            ("keyhole.plan/1", "keyhole.plan/9", "expected 'keyhole.plan/1'"),
            ("'iou'", "'accuracy'", "none of dice, iou"),
            ("class = 'liver'\n", "", "needs the class"),
            ("'iou'", "'hota'", "leave class out"),
            ("at_least = 0.7", "at_least = nan", "no number"),
            ("at_least = 0.7", "at_least = 0.7\nat_most = 0.9", "one of at_least and at_most"),
            ("patients = 5\n[[", "prevalence = 3.0\n[[", "prevalence is a part"),
            ("patients = 5\n[[", "pateints = 5\n[[", "pateints"),
        ] {
            let (_folder, path) = written(&PLAN.replacen(from, to, 1));
            let error = Plan::open(&path, "then").unwrap_err().to_string();
            assert!(error.contains(said) && error.contains("plan.toml"), "{said} is not in: {error}");
            assert!(!registration_of(&path).exists());
        }
        assert!(matches!(Plan::open(Path::new("/nowhere/plan.toml"), "then"), Err(PlanError::Read { .. })));
    }
}
