//! Writing a calibration into an engine: temperatures and thresholds at its heads, and the record. The engine is unsigned after
//! it, for another manifest is another engine; its golden mask is that of before until it is locked again.

use super::calibration::CalibrationRecord;
use super::error::ManifestError;
use super::lock::{set, write};
use super::manifest::Manifest;
use super::{LockedEngine, MANIFEST_FILE, MANIFEST_LIMIT_BYTES, SIGNATURE_FILE, StoreError, load, read};
use serde::Serialize;
use std::path::Path;
use toml_edit::{Item, Table, Value};

/// What was fitted to one head.
#[derive(Debug, Clone, PartialEq)]
pub struct HeadCalibration {
    /// Name of the head's output.
    pub output: String,
    pub temperature: Option<f32>,
    pub threshold: f32,
    pub threshold_range: Option<[f32; 2]>,
    /// Class and probability from which it is sure.
    pub sure: Vec<(String, f32)>,
}

#[derive(Serialize)]
struct Record<'a> {
    calibration: &'a CalibrationRecord,
}

/// Writes `engine` as it was loaded, with this calibration, into the folder `out` (its own: in place). Comments and order of the
/// manifest stay. The manifest comes last and whole: stopped before, nothing is calibrated.
pub fn calibrate(
    engine: &LockedEngine,
    heads: &[HeadCalibration],
    record: &CalibrationRecord,
    out: &Path,
) -> Result<LockedEngine, StoreError> {
    let path = engine.dir.join(MANIFEST_FILE);
    let refuse = |source| StoreError::Manifest { path: path.clone(), source };
    let syntax = |reason: String| refuse(ManifestError::Syntax(reason));
    let text = String::from_utf8(read(&path, MANIFEST_LIMIT_BYTES)?).map_err(|e| syntax(e.to_string()))?;
    let mut document: toml_edit::DocumentMut = text.parse().map_err(|e: toml_edit::TomlError| syntax(e.to_string()))?;
    let tables = document.get_mut("heads").and_then(Item::as_array_of_tables_mut);
    for table in tables.into_iter().flat_map(|tables| tables.iter_mut()) {
        let output = table.get("output").and_then(Item::as_str);
        if let Some(head) = heads.iter().find(|head| Some(head.output.as_str()) == output) {
            set_head(table, head);
        }
    }
    let written = toml::to_string(&Record { calibration: record }).map_err(|e| syntax(e.to_string()))?;
    document.remove("calibration");
    // At the end, where tables of their own may always stand.
    let calibrated = format!("{}\n\n{written}", document.to_string().trim_end());
    let manifest = Manifest::parse(&calibrated).map_err(refuse)?;
    std::fs::create_dir_all(out).map_err(|source| StoreError::Write { path: out.to_owned(), source })?;
    let is_own = out.canonicalize().ok() == engine.dir.canonicalize().ok();
    if !is_own {
        write(&out.join(&manifest.model.file), &engine.model)?;
        for (file, bytes) in &engine.external {
            write(&out.join(file), bytes)?;
        }
        if let (Some(spec), Some(golden)) = (&manifest.golden, &engine.golden) {
            write(&out.join(&spec.picture), &golden.picture)?;
            write(&out.join(&spec.mask), &golden.mask)?;
        }
    }
    let signature = out.join(SIGNATURE_FILE);
    if signature.exists() {
        std::fs::remove_file(&signature).map_err(|source| StoreError::Write { path: signature, source })?;
    }
    write(&out.join(MANIFEST_FILE), calibrated.as_bytes())?;
    load(out)
}

/// As short as it was meant: 0.4 and not 0.4000000059604645.
fn short(value: f32) -> Value {
    value.to_string().parse::<f64>().unwrap_or_else(|_| f64::from(value)).into()
}

fn set_head(table: &mut Table, head: &HeadCalibration) {
    set(&mut table["threshold"], short(head.threshold));
    if let Some(range) = head.threshold_range {
        set(&mut table["threshold_range"], Value::Array(range.map(short).into_iter().collect()));
    }
    match head.temperature {
        Some(temperature) => set(&mut table["temperature"], short(temperature)),
        None => drop(table.remove("temperature")),
    }
    let sure: toml_edit::InlineTable = head.sure.iter().map(|(name, sure)| (name.as_str(), short(*sure))).collect();
    set(&mut table["sure"], Value::InlineTable(sure));
}

#[cfg(test)]
mod tests {
    use super::super::calibration::tests::record;
    use super::super::tests::engine;
    use super::super::{Seal, SecretKey, lock};
    use super::*;

    fn heads() -> [HeadCalibration; 2] {
        let head = |output: &str, sure: &[(&str, f32)]| HeadCalibration {
            output: output.into(),
            temperature: Some(1.7),
            threshold: 0.45,
            threshold_range: Some([0.2, 0.8]),
            sure: sure.iter().map(|(name, sure)| ((*name).to_owned(), *sure)).collect(),
        };
        [head("instrument", &[("instrument", 0.9)]), head("tissue", &[("abdominal wall", 0.8), ("liver", 1.0)])]
    }

    #[test]
    fn a_calibrated_copy_is_unsigned_and_the_signed_engine_stays_as_it_is() {
        let parent = tempfile::tempdir().unwrap();
        let dir = engine(parent.path(), "surgical-cpu", b"weights");
        let path = dir.join(MANIFEST_FILE);
        let text = std::fs::read_to_string(&path).unwrap().replacen("threshold = 0.5", "threshold = 0.5   # of the held-out part", 1);
        std::fs::write(&path, text).unwrap();
        let signed = lock(&dir, &SecretKey::generate("Vendor").unwrap(), None).unwrap();
        let copy = calibrate(&signed, &heads(), &record(), &parent.path().join("calibrated-cpu")).unwrap();
        assert_eq!((copy.seal.clone(), copy.model.clone()), (Seal::Unsigned, signed.model.clone()));
        let [instrument, tissue] = &copy.manifest.heads[..] else { panic!("two heads") };
        assert_eq!((instrument.temperature(), instrument.threshold, instrument.sure()), (1.7, 0.45, Some(vec![0.9])));
        assert_eq!(tissue.sure(), Some(vec![1.0, 0.8, 1.0, 1.0, 1.0]), "what is not named is never sure");
        assert_eq!(copy.manifest.calibration, Some(record()));
        let written = std::fs::read_to_string(copy.dir.join(MANIFEST_FILE)).unwrap();
        assert!(written.contains("threshold = 0.45   # of the held-out part") && written.contains("temperature = 1.7\n"), "{written}");
        assert_eq!(load(&dir).unwrap().manifest_sha256, signed.manifest_sha256);
        // In place, and again: the same, without its signature.
        let in_place = calibrate(&signed, &heads(), &record(), &dir).unwrap();
        assert_eq!((in_place.seal, in_place.manifest_sha256), (Seal::Unsigned, copy.manifest_sha256.clone()));
        let again = calibrate(&load(&dir).unwrap(), &heads(), &record(), &dir).unwrap();
        assert_eq!(again.manifest_sha256, copy.manifest_sha256);
    }

    #[test]
    fn a_calibration_that_no_manifest_may_have_leaves_everything_as_it_was() {
        let parent = tempfile::tempdir().unwrap();
        let dir = engine(parent.path(), "surgical-cpu", b"weights");
        let signed = lock(&dir, &SecretKey::generate("Vendor").unwrap(), None).unwrap();
        let mut heads = heads();
        heads[0].temperature = Some(99.0);
        assert!(calibrate(&signed, &heads, &record(), &dir).unwrap_err().to_string().contains("temperature"));
        assert_eq!(load(&dir).unwrap().seal, signed.seal);
    }
}
