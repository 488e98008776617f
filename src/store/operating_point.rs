//! A site's own thresholds for an engine, within the range that its manifest allows: a signed file beside nothing of the engine's,
//! whose lock stays as it is.
//!
//! ```toml
//! schema = "keyhole.operating-point/1"
//! engine = "surgical-cpu"
//! manifest_sha256 = "…"      # filled in by `keyhole engine lock DIR --operating-point F --key K`
//! by = "Dr. A, theatre 2"
//! date = "2026-11-22"
//! why = "fewer false instruments at our white balance"
//! [[heads]]
//! output = "instrument"
//! threshold = 0.45
//! ```

use super::error::{OperatingPointError as Bad, SignatureError};
use super::key::{PublicKey, SecretKey};
use super::lock::{set, write};
use super::signature::{self, Purpose, Seal};
use super::{LockedEngine, SIGNATURE_LIMIT_BYTES, StoreError, hex};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};

const SCHEMA: &str = "keyhole.operating-point/1";
const FILE_LIMIT_BYTES: u64 = 16 << 10;

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    schema: String,
    engine: String,
    #[serde(default)]
    manifest_sha256: String,
    by: String,
    date: String,
    why: String,
    heads: Vec<HeadThreshold>,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HeadThreshold {
    /// Name of the head's output.
    pub output: String,
    pub threshold: f32,
}

/// A checked operating point, and who answers for it.
#[derive(Debug, Clone, PartialEq)]
pub struct OperatingPoint {
    pub by: String,
    pub date: String,
    pub why: String,
    pub heads: Vec<HeadThreshold>,
    pub seal: Seal,
    /// Lower-case hex, of the file's bytes.
    pub sha256: String,
}

/// `a/site.toml` → `a/site.signature.toml`
pub fn signature_path(path: &Path) -> PathBuf {
    path.with_extension("signature.toml")
}

impl OperatingPoint {
    /// Reads and checks the file at `path` for this engine. Unsigned is allowed here; `check_clinical` refuses it.
    pub fn load(path: &Path, engine: &LockedEngine) -> Result<Self, StoreError> {
        let refuse = |source: Bad| StoreError::OperatingPoint { path: path.to_owned(), source };
        let bytes = super::read(path, FILE_LIMIT_BYTES)?;
        let file = parse(&bytes, engine).map_err(refuse)?;
        if file.manifest_sha256 != engine.manifest_sha256 {
            let (found, expected) = (file.manifest_sha256, engine.manifest_sha256.clone());
            return Err(refuse(Bad::OtherManifest { engine: file.engine, expected, found }));
        }
        let seal = seal_of(Purpose::OperatingPoint, path, &bytes)?;
        let File { by, date, why, heads, .. } = file;
        Ok(OperatingPoint { by, date, why, heads, seal, sha256: hex(&Sha256::digest(&bytes)) })
    }

    /// In clinical mode one of these keys must have signed.
    pub fn check_clinical(&self, path: &Path, trusted: &[PublicKey]) -> Result<(), StoreError> {
        self.seal.check_clinical("", trusted).map_err(|error| match error {
            StoreError::Untrusted { reason, .. } => StoreError::OperatingPoint { path: path.to_owned(), source: Bad::Untrusted { reason } },
            other => other,
        })
    }

    /// What the engine's heads are like at this site. A run gives the thresholds to `track` instead: golden outputs are those of
    /// the manifest's own.
    pub fn put_into(&self, engine: &mut LockedEngine) {
        for site in &self.heads {
            if let Some(head) = engine.manifest.heads.iter_mut().find(|head| head.output == site.output) {
                head.threshold = site.threshold;
            }
        }
    }
}

/// Binds the operating point at `path` to the engine and signs it; the engine's own files are not touched.
pub fn sign_operating_point(path: &Path, engine: &LockedEngine, key: &SecretKey) -> Result<OperatingPoint, StoreError> {
    let refuse = |source: Bad| StoreError::OperatingPoint { path: path.to_owned(), source };
    let bytes = super::read(path, FILE_LIMIT_BYTES)?;
    parse(&bytes, engine).map_err(refuse)?;
    let text = String::from_utf8(bytes).map_err(|e| refuse(Bad::Syntax(e.to_string())))?;
    let mut document: toml_edit::DocumentMut = text.parse().map_err(|e: toml_edit::TomlError| refuse(Bad::Syntax(e.to_string())))?;
    set(&mut document["manifest_sha256"], engine.manifest_sha256.as_str().into());
    let bound = document.to_string();
    let beside = signature_path(path);
    let signed = signature::sign(Purpose::OperatingPoint, bound.as_bytes(), key)
        .map_err(|source| StoreError::Signature { path: beside.clone(), source })?;
    write(&beside, signed.as_bytes())?;
    write(path, bound.as_bytes())?;
    OperatingPoint::load(path, engine)
}

/// Whatever the manifest's hash is: it is written when the file is signed.
fn parse(bytes: &[u8], engine: &LockedEngine) -> Result<File, Bad> {
    let text = std::str::from_utf8(bytes).map_err(|e| Bad::Syntax(e.to_string()))?;
    let file: File = toml::from_str(text).map_err(|e| Bad::Syntax(e.to_string().trim_end().to_owned()))?;
    if file.schema != SCHEMA {
        return Err(Bad::Syntax(format!("schema: expected '{SCHEMA}', found '{}'", file.schema)));
    }
    for (field, words) in [("by", &file.by), ("date", &file.date), ("why", &file.why)] {
        if words.trim().is_empty() || words.chars().any(char::is_control) {
            return Err(Bad::Syntax(format!("{field}: one line is expected, not empty")));
        }
    }
    if file.engine != engine.manifest.name {
        return Err(Bad::OtherEngine { expected: engine.manifest.name.clone(), found: file.engine });
    }
    if file.heads.is_empty() {
        return Err(Bad::Syntax("[[heads]]: at least one is expected".to_owned()));
    }
    for (i, site) in file.heads.iter().enumerate() {
        let Some(head) = engine.manifest.heads.iter().find(|head| head.output == site.output) else {
            return Err(Bad::NoHead { output: site.output.clone() });
        };
        if file.heads[..i].iter().any(|other| other.output == site.output) {
            return Err(Bad::Syntax(format!("[[heads]]: '{}' is named twice", site.output)));
        }
        let Some([low, high]) = head.threshold_range else { return Err(Bad::NoRange { output: site.output.clone() }) };
        if !(low..=high).contains(&site.threshold) {
            return Err(Bad::OutOfRange { output: site.output.clone(), threshold: site.threshold, low, high });
        }
    }
    Ok(file)
}

/// A signature that is there has to be right, whoever's it is.
pub(super) fn seal_of(purpose: Purpose, path: &Path, bytes: &[u8]) -> Result<Seal, StoreError> {
    let beside = signature_path(path);
    if !beside.try_exists().map_err(|source| StoreError::Read { path: beside.clone(), source })? {
        return Ok(Seal::Unsigned);
    }
    let text = String::from_utf8(super::read(&beside, SIGNATURE_LIMIT_BYTES)?).map_err(|e| SignatureError::Syntax(e.to_string()));
    let checked = text.and_then(|text| signature::check(purpose, bytes, &text));
    checked.map_err(|source| StoreError::Signature { path: beside, source })
}

#[cfg(test)]
mod tests {
    use super::super::tests::engine;
    use super::super::{MANIFEST_FILE, load, lock};
    use super::*;

    const POINT: &str = "schema = \"keyhole.operating-point/1\"\nengine = \"two-heads-cpu\"\nby = \"Dr. A\"   # theatre 2\n\
        date = \"2026-11-22\"\nwhy = \"fewer false instruments\"\n[[heads]]\noutput = \"instrument\"\nthreshold = 0.45\n";

    fn ranged(parent: &Path) -> LockedEngine {
        let dir = engine(parent, "surgical-cpu", b"weights");
        let path = dir.join(MANIFEST_FILE);
        let text = std::fs::read_to_string(&path).unwrap().replacen("threshold = 0.5", "threshold = 0.5\nthreshold_range = [0.3, 0.7]", 1);
        std::fs::write(&path, text).unwrap();
        load(&dir).unwrap()
    }

    #[test]
    fn a_signed_point_moves_its_head_s_threshold_and_nothing_of_the_engine_s_lock() {
        let parent = tempfile::tempdir().unwrap();
        let dir = ranged(parent.path()).dir;
        let key = SecretKey::generate("Site").unwrap();
        let mut engine = lock(&dir, &SecretKey::generate("Vendor").unwrap(), None).unwrap();
        let before: Vec<_> = [MANIFEST_FILE, "signature.toml"].map(|file| std::fs::read(dir.join(file)).unwrap()).into();
        let path = parent.path().join("site.toml");
        std::fs::write(&path, POINT).unwrap();
        let point = sign_operating_point(&path, &engine, &key).unwrap();
        assert_eq!((point.by.as_str(), &point.seal), ("Dr. A", &Seal::Signed { by: "Site".into(), key: key.public() }));
        assert!(std::fs::read_to_string(&path).unwrap().contains("# theatre 2"));
        point.check_clinical(&path, &[key.public()]).unwrap();
        point.put_into(&mut engine);
        assert_eq!(engine.manifest.heads.iter().map(|head| head.threshold).collect::<Vec<_>>(), [0.45, 0.5]);
        let after: Vec<_> = [MANIFEST_FILE, "signature.toml"].map(|file| std::fs::read(dir.join(file)).unwrap()).into();
        assert_eq!(before, after);
        load(&dir).unwrap().seal.check_clinical("e", &[]).unwrap_err();
        // A changed byte refuses it; another signer is nobody whom clinical mode trusts.
        std::fs::write(&path, std::fs::read_to_string(&path).unwrap().replace("0.45", "0.46")).unwrap();
        let error = OperatingPoint::load(&path, &engine).unwrap_err();
        assert!(error.is_finding() && error.to_string().contains("site.signature.toml"), "{error}");
        assert!(point.check_clinical(&path, &[]).unwrap_err().to_string().contains("site.toml"));
    }

    #[test]
    fn an_unsigned_point_is_for_demonstration_alone() {
        let parent = tempfile::tempdir().unwrap();
        let mut engine = ranged(parent.path());
        let path = parent.path().join("site.toml");
        std::fs::write(&path, POINT.replace("by =", &format!("manifest_sha256 = \"{}\"\nby =", engine.manifest_sha256))).unwrap();
        let point = OperatingPoint::load(&path, &engine).unwrap();
        point.put_into(&mut engine);
        assert_eq!((engine.manifest.heads[0].threshold, point.seal.clone()), (0.45, Seal::Unsigned));
        let error = point.check_clinical(&path, &[]).unwrap_err();
        assert!(error.is_finding() && error.to_string().contains("nobody has signed"), "{error}");
    }

    #[test]
    fn what_does_not_fit_the_engine_is_refused_and_named() {
        let parent = tempfile::tempdir().unwrap();
        let engine = ranged(parent.path());
        let path = parent.path().join("site.toml");
        let bound = POINT.replace("by =", &format!("manifest_sha256 = \"{}\"\nby =", engine.manifest_sha256));
        for (text, parts) in [
            (bound.replace("0.45", "0.9"), &["instrument", "0.3", "0.7", "0.9"][..]),
            (bound.replace("0.45", "nan"), &["instrument"]),
            (bound.replace("\"instrument\"", "\"tissue\""), &["tissue", "threshold_range"]),
            (bound.replace("\"instrument\"", "\"depth\""), &["depth"]),
            (bound.replace("two-heads-cpu", "other-cpu"), &["other-cpu", "two-heads-cpu"]),
            (POINT.to_owned(), &["manifest", "engine lock"]),
            (bound.replace("Dr. A", " "), &["by"]),
            (bound.replace("why", "what"), &["what"]),
            (String::new(), &["schema"]),
        ] {
            std::fs::write(&path, text).unwrap();
            let error = OperatingPoint::load(&path, &engine).unwrap_err();
            let said = error.to_string();
            assert!(error.is_finding() && parts.iter().all(|part| said.contains(part)) && said.contains("site.toml"), "{parts:?}: {said}");
        }
    }
}
