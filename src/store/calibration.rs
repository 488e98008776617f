//! `[calibration]` of a manifest: the record of how an engine's probabilities were calibrated, on what, and how far they can be
//! believed now. What decides at run time (`temperature`, `sure`, `threshold`) stands at each head; nothing of this is run.

use super::error::ManifestError;
use super::manifest::bad;
use serde::{Deserialize, Serialize};

const MAX_DATA: usize = 32;
const MAX_CLASSES: usize = 64;
const MAX_ROWS: usize = 64;

/// Written by `keyhole calibrate confidence`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CalibrationRecord {
    /// YYYY-MM-DD.
    pub date: String,
    /// In words.
    pub method: String,
    /// At least this part of what was sure in the calibration data was right, in each data set.
    pub target_precision: f64,
    pub data: Vec<CalibrationData>,
    pub classes: Vec<ClassCalibration>,
}

/// A labelled data set that was used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CalibrationData {
    pub name: String,
    /// Over the names and bytes of all its files; lower-case hex.
    pub sha256: String,
    pub pictures: usize,
    pub patients: usize,
}

/// One class of one head. Figures are over pixels, each patient counting alike.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClassCalibration {
    /// The head's output.
    pub head: String,
    pub class: String,
    /// Patients in whose pictures it is labelled.
    pub patients: usize,
    /// Expected calibration error (Naeini et al. 2015, 15 bins) of the class's probability, over the whole picture.
    pub ece_before: f64,
    pub ece_after: f64,
    /// The same where the labels have a boundary within 10 px.
    pub band_ece_before: f64,
    pub band_ece_after: f64,
    /// Of the pixels that are sure on the calibration data: how much is right, and how much of the labelled class they are. Absent:
    /// nothing is sure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sure_precision: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sure_coverage: Option<f64>,
    /// The same of what is drawn as sure, to its edges.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drawn_precision: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drawn_coverage: Option<f64>,
    /// `[mean probability, share that was right, part of all]` a bin, calibrated.
    pub reliability: Vec<[f64; 3]>,
    /// `[threshold, sensitivity, positive predictive value]`.
    pub points: Vec<[f64; 3]>,
}

impl CalibrationRecord {
    pub(super) fn check(&self) -> Result<(), ManifestError> {
        let is_part = |v: &f64| (0.0..=1.0).contains(v);
        if self.data.is_empty() || self.data.len() > MAX_DATA {
            return bad("calibration.data", format!("expected 1 to {MAX_DATA} data sets, found {}", self.data.len()));
        }
        for (i, data) in self.data.iter().enumerate() {
            if data.sha256.len() != 64 || !data.sha256.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)) {
                return bad(format!("calibration.data[{i}].sha256"), "expected 64 lower-case hexadecimal digits");
            }
        }
        if !is_part(&self.target_precision) {
            return bad("calibration.target_precision", format!("expected 0 to 1, found {}", self.target_precision));
        }
        if self.classes.len() > MAX_CLASSES {
            return bad("calibration.classes", format!("expected at most {MAX_CLASSES}, found {}", self.classes.len()));
        }
        for (i, class) in self.classes.iter().enumerate() {
            let at = |field: &str| format!("calibration.classes[{i}].{field}");
            let errors = [class.ece_before, class.ece_after, class.band_ece_before, class.band_ece_after];
            let figures = errors.iter().chain(&class.sure_precision).chain(&class.sure_coverage);
            let figures = figures.chain(&class.drawn_precision).chain(&class.drawn_coverage);
            if let Some(odd) = figures.copied().find(|v| !is_part(v)) {
                return bad(at("ece_before ... drawn_coverage"), format!("expected 0 to 1, found {odd}"));
            }
            for (field, rows) in [("reliability", &class.reliability), ("points", &class.points)] {
                if rows.len() > MAX_ROWS || !rows.as_flattened().iter().all(is_part) {
                    return bad(at(field), format!("expected at most {MAX_ROWS} rows of numbers of 0 to 1"));
                }
            }
        }
        Ok(())
    }

    /// What a head's threshold gave on the calibration data, a class: sensitivity and positive predictive value at the nearest
    /// threshold that was measured.
    pub fn at_threshold(&self, head: &str, threshold: f32) -> impl Iterator<Item = (&str, [f64; 3])> {
        let off = move |point: &[f64; 3]| (point[0] - f64::from(threshold)).abs();
        self.classes.iter().filter(move |class| class.head == head).filter_map(move |class| {
            let nearest = class.points.iter().min_by(|a, b| off(a).total_cmp(&off(b)))?;
            Some((class.class.as_str(), *nearest))
        })
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::Manifest;
    use super::super::manifest::tests::GOOD;
    use super::*;

    pub fn record() -> CalibrationRecord {
        CalibrationRecord {
            date: "2026-11-22".into(),
            method: "temperature".into(),
            target_precision: 0.97,
            data: vec![CalibrationData { name: "a".into(), sha256: "0".repeat(64), pictures: 9, patients: 3 }],
            classes: vec![ClassCalibration {
                head: "instrument".into(),
                class: "instrument".into(),
                patients: 3,
                ece_before: 0.1,
                ece_after: 0.01,
                band_ece_before: 0.2,
                band_ece_after: 0.04,
                sure_precision: Some(0.98),
                sure_coverage: None,
                drawn_precision: None,
                drawn_coverage: Some(0.5),
                reliability: vec![[0.1, 0.12, 0.9], [0.9, 0.88, 0.1]],
                points: vec![[0.3, 0.95, 0.7], [0.5, 0.9, 0.8], [0.7, 0.8, 0.9]],
            }],
        }
    }

    #[derive(Serialize)]
    struct Whole {
        calibration: CalibrationRecord,
    }

    fn with(record: CalibrationRecord) -> String {
        GOOD.to_owned() + &toml::to_string(&Whole { calibration: record }).unwrap()
    }

    #[test]
    fn a_record_is_read_back_as_it_was_written_and_tells_what_a_threshold_gives() {
        let manifest = Manifest::parse(&with(record())).unwrap();
        let found = manifest.calibration.unwrap();
        assert_eq!(found, record());
        assert_eq!(found.at_threshold("instrument", 0.62).collect::<Vec<_>>(), [("instrument", [0.7, 0.8, 0.9])]);
        assert_eq!(found.at_threshold("tissue", 0.62).count(), 0);
    }

    #[test]
    fn each_odd_figure_of_a_record_is_named() {
        let with_class = |change: &dyn Fn(&mut ClassCalibration)| {
            let mut record = record();
            change(&mut record.classes[0]);
            record
        };
        for (record, named) in [
            (CalibrationRecord { data: Vec::new(), ..record() }, "calibration.data"),
            (CalibrationRecord { target_precision: 2.0, ..record() }, "target_precision"),
            (with_class(&|class| class.ece_after = f64::NAN), "calibration.classes[0].ece"),
            (with_class(&|class| class.reliability[0][1] = -0.1), "reliability"),
            (with_class(&|class| class.points = vec![[0.5; 3]; 65]), "points"),
        ] {
            let error = Manifest::parse(&with(record)).unwrap_err().to_string();
            assert!(error.contains(named), "{named}: {error}");
        }
    }
}
