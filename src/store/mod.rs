//! Locked engines: where they are found, what their manifest says, that their files are the ones it locks, and who signed it.
//! A model is read once; what was hashed is what is run. Nothing is run here.

mod calibrate;
mod calibration;
mod error;
mod golden;
mod head;
mod indication;
mod key;
mod lock;
mod manifest;
mod normalisation;
mod operating_point;
mod plans;
mod sealed;
mod signature;
mod site_limits;

pub use calibrate::{HeadCalibration, calibrate};
pub use calibration::{CalibrationData, CalibrationRecord, ClassCalibration};
pub use error::{KeyError, ManifestError, OperatingPointError, SignatureError, StoreError};
pub use golden::{Golden, GoldenSpec};
pub use head::{Activation, BoxFormat, BoxUnits, Boxes, Head, HeadKind, Values};
pub use indication::{Cohort, Indication, Modality};
pub use key::{DEVELOPMENT, PublicKey, SecretKey};
pub use lock::{GoldenOutputs, lock, unlocked};
pub use manifest::{Clip, ClipOrder, ColourOrder, ExternalFile, Input, Manifest, Model, Resize, State, TensorLayout};
pub use normalisation::{Normalisation, Spread};
pub use operating_point::{HeadThreshold, OperatingPoint, sign_operating_point};
pub use plans::{PlanKey, Plans};
pub use sealed::{check_file, sign_file};
pub use signature::{SIGNATURE_FILE, Seal};
pub use site_limits::{read_site_limits, sign_site_limits};

use serde::Deserialize;
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Version of everything around the model that its answers depend on: preprocessing (`infer`) and decoding (`track`).
/// Raise it when either changes what comes out; engines are then validated and locked again.
pub const PIPELINE_VERSION: u32 = 1;

pub const MANIFEST_FILE: &str = "manifest.toml";
const MANIFEST_LIMIT_BYTES: u64 = 1 << 20;
const SIGNATURE_LIMIT_BYTES: u64 = 4096;
const MODEL_LIMIT_BYTES: u64 = 2 << 30;
const INSTALLED: &str = "/usr/share/keyhole/engines";

/// An engine whose files are what its manifest says.
#[derive(Debug, Clone)]
pub struct LockedEngine {
    pub dir: PathBuf,
    pub manifest: Manifest,
    /// Lower-case hex, of the manifest's bytes.
    pub manifest_sha256: String,
    pub seal: Seal,
    /// The bytes that were hashed, and that are to be run.
    pub model: Vec<u8>,
    /// Name and bytes of the files in which the model keeps its weights, in the manifest's order.
    pub external: Vec<(String, Arc<[u8]>)>,
    pub golden: Option<Golden>,
}

/// Reads and checks the engine in `dir`.
pub fn load(dir: &Path) -> Result<LockedEngine, StoreError> {
    let path = dir.join(MANIFEST_FILE);
    if !path.is_file() {
        return Err(StoreError::NoEngine { dir: dir.to_owned() });
    }
    let bytes = read(&path, MANIFEST_LIMIT_BYTES)?;
    let manifest_sha256 = hex(&Sha256::digest(&bytes));
    let in_manifest = |source| StoreError::Manifest { path: path.clone(), source };
    let seal = seal_of(dir, &bytes)?;
    let text = String::from_utf8(bytes).map_err(|e| in_manifest(ManifestError::Syntax(e.to_string())))?;
    let manifest = Manifest::parse(&text).map_err(in_manifest)?;
    if manifest.pipeline_version != PIPELINE_VERSION {
        let (expected, found) = (manifest.pipeline_version, PIPELINE_VERSION);
        return Err(StoreError::PipelineVersion { name: manifest.name, expected, found });
    }
    let model = read_locked(dir.join(&manifest.model.file), &manifest.model.sha256)?;
    let mut external = Vec::with_capacity(manifest.model.external.len());
    for file in &manifest.model.external {
        external.push((file.file.clone(), read_locked(dir.join(&file.file), &file.sha256)?.into()));
    }
    let golden = match &manifest.golden {
        None => None,
        Some(spec) => Some(Golden {
            picture: read_locked(dir.join(&spec.picture), &spec.picture_sha256)?.into(),
            mask: read_locked(dir.join(&spec.mask), &spec.mask_sha256)?.into(),
            agreement: spec.agreement,
        }),
    };
    Ok(LockedEngine { dir: dir.to_owned(), manifest, manifest_sha256, seal, model, external, golden })
}

/// A signature that is there has to be right, whoever's it is.
fn seal_of(dir: &Path, manifest: &[u8]) -> Result<Seal, StoreError> {
    let path = dir.join(SIGNATURE_FILE);
    if !path.try_exists().map_err(|source| StoreError::Read { path: path.clone(), source })? {
        return Ok(Seal::Unsigned);
    }
    let bytes = read(&path, SIGNATURE_LIMIT_BYTES)?;
    let checked = String::from_utf8(bytes)
        .map_err(|e| SignatureError::Syntax(e.to_string()))
        .and_then(|text| signature::check(signature::Purpose::Engine, manifest, &text));
    checked.map_err(|source| StoreError::Signature { path, source })
}

fn read_locked(path: PathBuf, sha256: &str) -> Result<Vec<u8>, StoreError> {
    let bytes = read(&path, MODEL_LIMIT_BYTES)?;
    let found = hex(&Sha256::digest(&bytes));
    if found != sha256 {
        return Err(StoreError::Changed { path, expected: sha256.to_owned(), found });
    }
    Ok(bytes)
}

/// A folder of engines, one a sub-folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Engines {
    dir: PathBuf,
}

impl Engines {
    /// `flag` alone if it is given; else `$KEYHOLE_HOME/engines`, `engines` in a folder above the executable,
    /// `/usr/share/keyhole/engines`: the first that holds an engine.
    pub fn find(flag: Option<&Path>) -> Result<Self, StoreError> {
        Self::find_in(match flag {
            Some(dir) => vec![dir.to_owned()],
            None => default_places(std::env::var_os("KEYHOLE_HOME").map(PathBuf::from), std::env::current_exe().ok()),
        })
    }

    fn find_in(searched: Vec<PathBuf>) -> Result<Self, StoreError> {
        for dir in &searched {
            let engines = Engines { dir: dir.clone() };
            if !engines.names().is_empty() {
                return Ok(engines);
            }
        }
        Err(StoreError::NoEngines { searched })
    }

    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Names of the sub-folders that hold an engine, sorted.
    pub fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(&self.dir).into_iter().flatten().flatten();
        let mut names: Vec<String> =
            entries.filter(|e| e.path().join(MANIFEST_FILE).is_file()).filter_map(|e| e.file_name().into_string().ok()).collect();
        names.sort();
        names
    }

    /// The first engine whose name ends with the backend's (`surgical-cpu` for `cpu`).
    pub fn load_for(&self, backend: &str) -> Result<LockedEngine, StoreError> {
        self.load_for_any(&[backend])
    }

    /// The first engine whose name ends with one of these, the first of them that any name ends with.
    pub fn load_for_any(&self, endings: &[&str]) -> Result<LockedEngine, StoreError> {
        match self.names_for(endings).first() {
            Some(name) => load(&self.dir.join(name)),
            None => Err(StoreError::NoBackend { dir: self.dir.clone(), backend: endings.join("' or '"), found: self.names() }),
        }
    }

    /// Names that end with one of these (`surgical-gpu` with `gpu`), in the order of the endings.
    pub fn names_for(&self, endings: &[&str]) -> Vec<String> {
        let names = self.names();
        let ends = |name: &str, ending: &str| name.strip_suffix(ending).is_some_and(|rest| rest.ends_with('-'));
        endings.iter().flat_map(|ending| names.iter().filter(|name| ends(name, ending)).cloned()).collect()
    }
}

fn default_places(home: Option<PathBuf>, executable: Option<PathBuf>) -> Vec<PathBuf> {
    let above = executable.iter().flat_map(|exe| exe.ancestors().skip(1)).map(|dir| dir.join("engines")).find(|dir| dir.is_dir());
    home.map(|home| home.join("engines")).into_iter().chain(above).chain([PathBuf::from(INSTALLED)]).collect()
}

fn read(path: &Path, limit: u64) -> Result<Vec<u8>, StoreError> {
    let failed = |source| StoreError::Read { path: path.to_owned(), source };
    let bytes = std::fs::metadata(path).map_err(failed)?.len();
    if bytes > limit {
        return Err(StoreError::TooLarge { path: path.to_owned(), bytes, limit });
    }
    std::fs::read(path).map_err(failed)
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn from_hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if pairs.len() != N || !rest.is_empty() {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(pairs) {
        let [high, low] = pair.map(|digit| char::from(digit).to_digit(16));
        *byte = (high? * 16 + low?) as u8;
    }
    Some(bytes)
}

/// `[store]`
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Public keys, 64 hexadecimal digits each: in clinical mode only engines that one of them signed are run. Default: none.
    pub trusted_keys: Vec<PublicKey>,
    /// This site's thresholds, within what the engine's manifest allows: a signed file (`keyhole engine lock DIR --operating-point F
    /// --key K`). Default: none, the manifest's own.
    pub operating_point: Option<PathBuf>,
}

#[cfg(test)]
mod tests {
    use super::*;

    pub fn engine(parent: &Path, name: &str, model: &[u8]) -> PathBuf {
        let dir = parent.join(name);
        std::fs::create_dir(&dir).unwrap();
        let locked =
            manifest::tests::GOOD.replace("0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef", &hex(&Sha256::digest(model)));
        std::fs::write(dir.join(MANIFEST_FILE), locked).unwrap();
        std::fs::write(dir.join("model.onnx"), model).unwrap();
        dir
    }

    #[test]
    fn an_engine_is_found_by_backend_and_its_bytes_are_the_hashed_ones() {
        let parent = tempfile::tempdir().unwrap();
        engine(parent.path(), "surgical-cpu", b"weights");
        std::fs::create_dir(parent.path().join("train")).unwrap();
        let engines = Engines::find(Some(parent.path())).unwrap();
        assert_eq!(engines.names(), ["surgical-cpu"]);
        assert_eq!(engines.load_for("cpu").unwrap().model, b"weights");
        let error = engines.load_for("tensorrt").unwrap_err().to_string();
        assert!(error.contains("tensorrt") && error.contains("surgical-cpu"), "{error}");
    }

    #[test]
    fn one_changed_byte_refuses_the_engine_and_says_which_file() {
        let parent = tempfile::tempdir().unwrap();
        let dir = engine(parent.path(), "surgical-cpu", b"weights");
        std::fs::write(dir.join("model.onnx"), b"weightS").unwrap();
        let error = load(&dir).unwrap_err();
        assert!(error.is_finding());
        let text = error.to_string();
        for part in ["model.onnx", &hex(&Sha256::digest(b"weights")), &hex(&Sha256::digest(b"weightS"))] {
            assert!(text.contains(part), "{text}");
        }
    }

    #[test]
    fn external_weights_are_read_with_the_model_and_locked_as_it_is() {
        let parent = tempfile::tempdir().unwrap();
        let dir = engine(parent.path(), "surgical-cpu", b"graph");
        let text = std::fs::read_to_string(dir.join(MANIFEST_FILE)).unwrap();
        let table = format!("[[model.external]]\nfile = \"model.onnx.data\"\nsha256 = \"{}\"\n[input]", hex(&Sha256::digest(b"weights")));
        std::fs::write(dir.join(MANIFEST_FILE), text.replace("[input]", &table)).unwrap();
        let missing = load(&dir).unwrap_err().to_string();
        assert!(missing.contains("model.onnx.data") && missing.contains("cannot be read"), "{missing}");
        std::fs::write(dir.join("model.onnx.data"), b"weights").unwrap();
        let engine = load(&dir).unwrap();
        assert_eq!((engine.external[0].0.as_str(), &engine.external[0].1[..]), ("model.onnx.data", &b"weights"[..]));
        std::fs::write(dir.join("model.onnx.data"), b"weightS").unwrap();
        let error = load(&dir).unwrap_err();
        assert!(matches!(&error, StoreError::Changed { path, .. } if path.ends_with("model.onnx.data")), "{error}");
    }

    #[test]
    fn another_pipeline_version_refuses_the_engine() {
        let parent = tempfile::tempdir().unwrap();
        let dir = engine(parent.path(), "surgical-cpu", b"weights");
        let path = dir.join(MANIFEST_FILE);
        let text = std::fs::read_to_string(&path).unwrap().replace("pipeline_version = 1", "pipeline_version = 999");
        std::fs::write(&path, text).unwrap();
        assert!(matches!(load(&dir), Err(StoreError::PipelineVersion { expected: 999, found: PIPELINE_VERSION, .. })));
    }

    #[test]
    fn what_is_missing_is_named() {
        let parent = tempfile::tempdir().unwrap();
        let error = Engines::find(Some(parent.path())).unwrap_err().to_string();
        assert!(error.contains(&parent.path().display().to_string()) && error.contains("--engines"), "{error}");
        let dir = engine(parent.path(), "surgical-cpu", b"weights");
        std::fs::remove_file(dir.join("model.onnx")).unwrap();
        assert!(load(&dir).unwrap_err().to_string().contains("model.onnx"));
        assert!(matches!(load(&parent.path().join("nothing")), Err(StoreError::NoEngine { .. })));
    }

    #[test]
    fn places_are_looked_at_in_order() {
        let tree = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(tree.path().join("engines")).unwrap();
        let places = default_places(Some("/home/k".into()), Some(tree.path().join("target/release/keyhole")));
        assert_eq!(places, [PathBuf::from("/home/k/engines"), tree.path().join("engines"), PathBuf::from(INSTALLED)]);
    }
}
