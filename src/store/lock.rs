//! Locking an engine: the hashes of its files are written into its manifest, and a key's owner signs that.

use super::error::SignatureError;
use super::golden::{AGREEMENT, MASK_FILE, PICTURE_FILE};
use super::key::SecretKey;
use super::manifest::Manifest;
use super::signature::{self, SIGNATURE_FILE};
use super::{
    LockedEngine, MANIFEST_FILE, MANIFEST_LIMIT_BYTES, MODEL_LIMIT_BYTES, ManifestError, PIPELINE_VERSION, Seal, StoreError, hex, load,
    read,
};
use sha2::{Digest, Sha256};
use std::io::Write;
use std::path::{Path, PathBuf};
use toml_edit::{Item, Value};

/// What an engine gives for a picture, both PNGs.
#[derive(Debug, Clone)]
pub struct GoldenOutputs {
    pub picture: Vec<u8>,
    pub mask: Vec<u8>,
}

/// The engine in `dir` as its files are now, whatever its manifest says of them: only to find out what is to be locked.
pub fn unlocked(dir: &Path) -> Result<LockedEngine, StoreError> {
    let (path, _, manifest) = manifest_of(dir)?;
    let model = read(&dir.join(&manifest.model.file), MODEL_LIMIT_BYTES)?;
    let mut external = Vec::with_capacity(manifest.model.external.len());
    for file in &manifest.model.external {
        external.push((file.file.clone(), read(&dir.join(&file.file), MODEL_LIMIT_BYTES)?.into()));
    }
    let manifest_sha256 = hex(&Sha256::digest(read(&path, MANIFEST_LIMIT_BYTES)?));
    Ok(LockedEngine { dir: dir.to_owned(), manifest, manifest_sha256, seal: Seal::Unsigned, model, external, golden: None })
}

fn manifest_of(dir: &Path) -> Result<(PathBuf, String, Manifest), StoreError> {
    let path = dir.join(MANIFEST_FILE);
    if !path.is_file() {
        return Err(StoreError::NoEngine { dir: dir.to_owned() });
    }
    let refuse = |source| StoreError::Manifest { path: path.clone(), source };
    let text = String::from_utf8(read(&path, MANIFEST_LIMIT_BYTES)?).map_err(|e| refuse(ManifestError::Syntax(e.to_string())))?;
    let manifest = Manifest::parse(&text).map_err(refuse)?;
    Ok((path, text, manifest))
}

/// Locks the engine in `dir` as its files are now, for this binary's pipeline version, and signs it. Comments and order of the
/// manifest stay. `golden`: pinned in the place of what was. On an error nothing is changed.
pub fn lock(dir: &Path, key: &SecretKey, golden: Option<&GoldenOutputs>) -> Result<LockedEngine, StoreError> {
    let (path, text, manifest) = manifest_of(dir)?;
    let refuse = |source| StoreError::Manifest { path: path.clone(), source };
    let syntax = |e: toml_edit::TomlError| refuse(ManifestError::Syntax(e.to_string()));
    let mut document: toml_edit::DocumentMut = text.parse().map_err(syntax)?;
    set(&mut document["pipeline_version"], i64::from(PIPELINE_VERSION).into());
    let hash = |file: &str| Ok(hex(&Sha256::digest(read(&dir.join(file), MODEL_LIMIT_BYTES)?)));
    set(&mut document["model"]["sha256"], hash(&manifest.model.file)?.into());
    for (index, external) in manifest.model.external.iter().enumerate() {
        set(&mut document["model"]["external"][index]["sha256"], hash(&external.file)?.into());
    }
    match (golden, &manifest.golden) {
        (Some(golden), _) => pin(&mut document, golden),
        (None, Some(spec)) => {
            set(&mut document["golden"]["picture_sha256"], hash(&spec.picture)?.into());
            set(&mut document["golden"]["mask_sha256"], hash(&spec.mask)?.into());
        }
        (None, None) => {}
    }
    let locked = document.to_string();
    Manifest::parse(&locked).map_err(refuse)?;
    let in_signature = |source: SignatureError| StoreError::Signature { path: dir.join(SIGNATURE_FILE), source };
    let signed = signature::sign(locked.as_bytes(), key).map_err(in_signature)?;
    if let Some(golden) = golden {
        write(&dir.join(PICTURE_FILE), &golden.picture)?;
        write(&dir.join(MASK_FILE), &golden.mask)?;
    }
    // Stopped between the two, the engine is refused: a signature that does not fit is never taken for none.
    write(&dir.join(SIGNATURE_FILE), signed.as_bytes())?;
    write(&path, locked.as_bytes())?;
    load(dir)
}

fn pin(document: &mut toml_edit::DocumentMut, golden: &GoldenOutputs) {
    let hash = |bytes: &[u8]| Value::from(hex(&Sha256::digest(bytes)));
    let table = document["golden"].or_insert(toml_edit::table());
    set(&mut table["picture"], PICTURE_FILE.into());
    set(&mut table["picture_sha256"], hash(&golden.picture));
    set(&mut table["mask"], MASK_FILE.into());
    set(&mut table["mask_sha256"], hash(&golden.mask));
    if table.get("agreement").is_none() {
        table["agreement"] = toml_edit::value(AGREEMENT);
    }
}

/// Another value in the same place: what is written around it stays.
fn set(item: &mut Item, mut value: Value) {
    if let Some(before) = item.as_value() {
        *value.decor_mut() = before.decor().clone();
    }
    *item = Item::Value(value);
}

/// The whole file or, on an error, what was there before.
fn write(path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
    let failed = |source| StoreError::Write { path: path.to_owned(), source };
    let part = path.with_extension("part");
    let written = std::fs::File::create(&part).and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()));
    written.and_then(|()| std::fs::rename(&part, path)).map_err(|source| {
        let _ = std::fs::remove_file(&part);
        failed(source)
    })
}

#[cfg(test)]
mod tests {
    use super::super::tests::engine;
    use super::*;

    fn text(dir: &Path) -> String {
        std::fs::read_to_string(dir.join(MANIFEST_FILE)).unwrap()
    }

    #[test]
    fn a_changed_model_is_locked_again_and_signed() {
        let parent = tempfile::tempdir().unwrap();
        let dir = engine(parent.path(), "surgical-cpu", b"weights");
        assert_eq!(load(&dir).unwrap().seal, Seal::Unsigned);
        let table = format!("# the weights\n[[model.external]]\nfile = \"a.data\"\nsha256 = \"{}\"\n[input]", "0".repeat(64));
        let edited = text(&dir).replace("[input]", &table).replace("pipeline_version = 1", "pipeline_version = 77   # of its validation");
        std::fs::write(dir.join(MANIFEST_FILE), edited).unwrap();
        std::fs::write(dir.join("model.onnx"), b"other weights").unwrap();
        std::fs::write(dir.join("a.data"), b"more").unwrap();
        let key = SecretKey::generate("Vendor").unwrap();
        let engine = lock(&dir, &key, None).unwrap();
        assert_eq!(engine.seal, Seal::Signed { by: "Vendor".into(), key: key.public() });
        assert_eq!((&engine.model[..], &engine.external[0].1[..]), (&b"other weights"[..], &b"more"[..]));
        assert!(text(&dir).contains("# the weights") && text(&dir).contains("pipeline_version = 1   # of its validation"));
        assert_eq!(std::fs::read_dir(&dir).unwrap().count(), 4, "nothing else is left there");
        // Locked twice it is the same.
        let before = text(&dir);
        lock(&dir, &key, None).unwrap();
        assert_eq!(text(&dir), before);
    }

    #[test]
    fn every_changed_file_refuses_a_signed_engine_and_is_named() {
        let parent = tempfile::tempdir().unwrap();
        let dir = engine(parent.path(), "surgical-cpu", b"weights");
        lock(&dir, &SecretKey::generate("Vendor").unwrap(), None).unwrap();
        for file in [MANIFEST_FILE, "model.onnx", SIGNATURE_FILE] {
            let path = dir.join(file);
            let good = std::fs::read(&path).unwrap();
            let mut bad = good.clone();
            let last = bad.iter().rposition(u8::is_ascii_alphanumeric).unwrap();
            bad[last] ^= 1;
            std::fs::write(&path, bad).unwrap();
            let error = load(&dir).unwrap_err();
            assert!(error.is_finding() && error.to_string().contains(file), "{file}: {error}");
            std::fs::write(&path, good).unwrap();
            load(&dir).unwrap();
        }
    }

    #[test]
    fn golden_outputs_are_pinned_and_a_changed_one_is_named() {
        let parent = tempfile::tempdir().unwrap();
        let dir = engine(parent.path(), "surgical-cpu", b"weights");
        let key = SecretKey::generate("Vendor").unwrap();
        assert!(lock(&dir, &key, None).unwrap().check_golden().is_err());
        let golden = GoldenOutputs { picture: b"picture".to_vec(), mask: b"mask".to_vec() };
        let locked = lock(&dir, &key, Some(&golden)).unwrap();
        locked.check_golden().unwrap();
        assert_eq!(&locked.golden.unwrap().mask[..], b"mask");
        std::fs::write(dir.join(MASK_FILE), b"masK").unwrap();
        let error = load(&dir).unwrap_err().to_string();
        assert!(error.contains(MASK_FILE), "{error}");
        assert_eq!(unlocked(&dir).unwrap().model, b"weights");
        // Locked again without another picture, the section stays and has the new hash.
        assert_eq!(&lock(&dir, &key, None).unwrap().golden.unwrap().mask[..], b"masK");
    }

    #[test]
    fn on_an_error_nothing_is_changed() {
        let parent = tempfile::tempdir().unwrap();
        let dir = engine(parent.path(), "surgical-cpu", b"weights");
        let before = text(&dir);
        std::fs::remove_file(dir.join("model.onnx")).unwrap();
        let error = lock(&dir, &SecretKey::generate("Vendor").unwrap(), None).unwrap_err();
        assert!(error.to_string().contains("model.onnx"), "{error}");
        assert_eq!((text(&dir), std::fs::read_dir(&dir).unwrap().count()), (before, 1));
    }
}
