//! `[indication]` of a manifest: the pictures that the engine was made for, and how fast one that is none of them must be
//! told. Checked here; the judgement itself is `track`'s.
//!
//! ```toml
//! [indication]
//! modalities = ["white light"]                     # also: "fluorescence", "narrow band"
//! procedures = ["laparoscopic cholecystectomy"]
//! unknown_within_ms = 200                          # a frame outside is unknown so long after its capture at the latest
//! known_after_ms = 500                             # steady pictures of the cohort for so long before anything is shown again
//! [indication.cohort]
//! output = "cohort"                                # one number: the distance from the training cohort
//! limit = 1.0                                      # beyond it a frame is off the cohort
//! ```

use super::error::ManifestError;
use super::manifest::bad;
use serde::Deserialize;

/// What light the picture is made with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum Modality {
    #[serde(rename = "white light")]
    WhiteLight,
    /// A dye in near-infrared light (ICG), shown in one colour.
    #[serde(rename = "fluorescence")]
    Fluorescence,
    #[serde(rename = "narrow band")]
    NarrowBand,
}

/// The model's own distance from what it was trained on.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cohort {
    /// Name of the model's output: one number.
    pub output: String,
    pub limit: f32,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Indication {
    pub modalities: Vec<Modality>,
    /// For people; what is operated on cannot be read off one frame.
    pub procedures: Vec<String>,
    /// None: only what can be told without the model.
    #[serde(default)]
    pub cohort: Option<Cohort>,
    /// 100–200.
    #[serde(default = "default_unknown_within_ms")]
    pub unknown_within_ms: u64,
    /// 100–10,000.
    #[serde(default = "default_known_after_ms")]
    pub known_after_ms: u64,
}

fn default_unknown_within_ms() -> u64 {
    200
}

fn default_known_after_ms() -> u64 {
    500
}

impl Indication {
    pub fn has(&self, modality: Modality) -> bool {
        self.modalities.contains(&modality)
    }

    pub(super) fn check(&self) -> Result<(), ManifestError> {
        if self.modalities.is_empty() {
            return bad("indication.modalities", "expected at least one, as \"white light\"");
        }
        if self.procedures.is_empty() || self.procedures.iter().any(|procedure| procedure.trim().is_empty()) {
            return bad("indication.procedures", "expected the names of the operations that the engine was made for");
        }
        for (field, ms, range) in [
            ("indication.unknown_within_ms", self.unknown_within_ms, 100..=200),
            ("indication.known_after_ms", self.known_after_ms, 100..=10_000),
        ] {
            if !range.contains(&ms) {
                return bad(field, format!("expected {} to {}, found {ms}", range.start(), range.end()));
            }
        }
        match &self.cohort {
            Some(cohort) if !(cohort.limit.is_finite() && cohort.limit > 0.0) => {
                bad("indication.cohort.limit", format!("expected a distance above 0, found {}", cohort.limit))
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Manifest;
    use crate::store::manifest::tests::GOOD;

    const INDICATION: &str = r#"
[indication]
modalities = ["white light", "fluorescence"]
procedures = ["laparoscopic cholecystectomy"]
[indication.cohort]
output = "cohort"
limit = 1.0
[training]"#;

    fn parse(from: &str, to: &str) -> Result<Manifest, ManifestError> {
        let text = GOOD.replace("[training]", INDICATION);
        assert!(text.contains(from), "{from}");
        Manifest::parse(&text.replacen(from, to, 1))
    }

    #[test]
    fn an_indication_is_optional_and_says_what_the_engine_was_made_for() {
        assert_eq!(Manifest::parse(GOOD).unwrap().indication, None);
        let indication = parse("", "").unwrap().indication.unwrap();
        assert!(indication.has(Modality::Fluorescence) && !indication.has(Modality::NarrowBand));
        assert_eq!((indication.unknown_within_ms, indication.known_after_ms), (200, 500));
        assert_eq!(indication.cohort, Some(Cohort { output: "cohort".to_owned(), limit: 1.0 }));
        assert_eq!(parse("[indication.cohort]\noutput = \"cohort\"\nlimit = 1.0\n", "").unwrap().indication.unwrap().cohort, None);
    }

    #[test]
    fn each_bad_field_is_named() {
        for (from, to, named) in [
            ("[\"white light\", \"fluorescence\"]", "[]", "indication.modalities"),
            ("\"fluorescence\"", "\"x-ray\"", "x-ray"),
            ("[\"laparoscopic cholecystectomy\"]", "[\" \"]", "indication.procedures"),
            ("limit = 1.0", "limit = 0.0", "indication.cohort.limit"),
            ("limit = 1.0", "limit = nan", "indication.cohort.limit"),
            ("limit = 1.0", "", "limit"),
            ("[indication.cohort]", "unknown_within_ms = 900\n[indication.cohort]", "indication.unknown_within_ms"),
            ("[indication.cohort]", "known_after_ms = 0\n[indication.cohort]", "indication.known_after_ms"),
            ("[indication.cohort]", "surprise = 1\n[indication.cohort]", "surprise"),
        ] {
            let error = parse(from, to).unwrap_err().to_string();
            assert!(error.contains(named), "{to}: {error}");
        }
    }
}
