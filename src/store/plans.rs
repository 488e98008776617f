//! Plans: what engines compile to on one device, kept in the cache. A plan is found by what it was made from and for, never by a
//! path: another model in the same place has another plan, and the old one is not run.
//!
//! ```text
//!   plans/<SHA-256 of PlanKey>.plan = MAGIC · SHA-256(key · bytes) · bytes
//! ```

use super::{LockedEngine, hex};
use crate::base::paths::cache_folder;
use sha2::{Digest, Sha256};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

const MAGIC: &[u8; 8] = b"khplan/1";
const HASH_BYTES: usize = 32;
const PLAN_LIMIT_BYTES: u64 = 4 << 30;

/// All that a plan depends on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlanKey([u8; HASH_BYTES]);

impl PlanKey {
    /// `adapter`: the device it is for; `library`: what compiles it, with its version; `precision`: e.g. `fp32`.
    pub fn new(engine: &LockedEngine, adapter: &str, library: &str, precision: &str) -> Self {
        let mut hash = Sha256::new();
        let mut add = |bytes: &[u8]| {
            hash.update((bytes.len() as u64).to_le_bytes());
            hash.update(bytes);
        };
        // The bytes that would be run, not what a manifest says of them.
        add(&Sha256::digest(&engine.model));
        for (name, bytes) in &engine.external {
            add(name.as_bytes());
            add(&Sha256::digest(bytes));
        }
        for text in [&engine.manifest_sha256, adapter, library, precision] {
            add(text.as_bytes());
        }
        PlanKey(hash.finalize().into())
    }

    /// Of what a library measured on a device while it built plans there.
    pub fn of_timings(adapter: &str, library: &str) -> Self {
        Self::of_texts(&["timings", adapter, library])
    }

    /// Of a GPU's kernel: its source, the architecture it is for, what compiles it with its version, and how.
    pub fn of_kernel(source: &str, architecture: &str, library: &str, options: &str) -> Self {
        Self::of_texts(&["kernel", source, architecture, library, options])
    }

    fn of_texts(texts: &[&str]) -> Self {
        let mut hash = Sha256::new();
        for text in texts {
            hash.update((text.len() as u64).to_le_bytes());
            hash.update(text);
        }
        PlanKey(hash.finalize().into())
    }
}

/// A folder of plans, this user's alone.
#[derive(Debug, Clone)]
pub struct Plans {
    dir: PathBuf,
}

impl Plans {
    pub fn of_this_user() -> Self {
        Self::in_folder(cache_folder().join("plans"))
    }

    pub fn in_folder(dir: PathBuf) -> Self {
        Plans { dir }
    }

    /// None: there is no plan for this key, or none that may be run.
    pub fn read(&self, key: &PlanKey) -> Option<Vec<u8>> {
        let path = self.path(key);
        let is_ours = |path: &Path| {
            std::fs::symlink_metadata(path).is_ok_and(|meta| meta.uid() == rustix::process::geteuid().as_raw() && meta.mode() & 0o022 == 0)
        };
        if !path.exists() {
            return None;
        }
        let contents = (is_ours(&self.dir) && is_ours(&path)).then(|| super::read(&path, PLAN_LIMIT_BYTES).ok()).flatten();
        let plan = contents.and_then(|contents| {
            let (magic, rest) = contents.split_first_chunk::<8>()?;
            let (hash, bytes) = rest.split_first_chunk::<HASH_BYTES>()?;
            (magic == MAGIC && *hash == digest(key, bytes)).then(|| bytes.to_vec())
        });
        if plan.is_none() {
            tracing::warn!(
                "plan '{}' is damaged or may be written by others: not used (`keyhole engine build` makes it anew)",
                path.display()
            );
        }
        plan
    }

    /// The whole plan is there afterwards, or what was there before.
    pub fn write(&self, key: &PlanKey, bytes: &[u8]) -> io::Result<PathBuf> {
        let (path, part) = (self.path(key), self.scratch(key)?);
        let mut file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&part)?;
        let written = [&MAGIC[..], &digest(key, bytes), bytes].iter().try_for_each(|piece| file.write_all(piece));
        written.and_then(|()| file.sync_all()).and_then(|()| std::fs::rename(&part, &path)).inspect_err(|_| {
            let _ = std::fs::remove_file(&part);
        })?;
        Ok(path)
    }

    /// A file's name beside the plans, for what is being made.
    pub fn scratch(&self, key: &PlanKey) -> io::Result<PathBuf> {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.dir)?;
        Ok(self.path(key).with_extension(format!("{}.part", std::process::id())))
    }

    /// Where it is kept, if it is.
    pub fn path(&self, key: &PlanKey) -> PathBuf {
        self.dir.join(hex(&key.0)).with_extension("plan")
    }
}

fn digest(key: &PlanKey, bytes: &[u8]) -> [u8; HASH_BYTES] {
    Sha256::new().chain_update(key.0).chain_update(bytes).finalize().into()
}

#[cfg(test)]
mod tests {
    use super::super::tests::engine;
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_plan_is_bound_to_everything_it_was_made_from() {
        let parent = tempfile::tempdir().unwrap();
        let locked = super::super::load(&engine(parent.path(), "surgical-cpu", b"weights")).unwrap();
        let of = |engine: &LockedEngine, adapter, library, precision| PlanKey::new(engine, adapter, library, precision);
        let key = of(&locked, "a", "b", "c");
        assert_eq!(key, of(&locked, "a", "b", "c"));
        let model = LockedEngine { model: b"weightS".to_vec(), ..locked.clone() };
        let external = LockedEngine { external: vec![("w".into(), b"x"[..].into())], ..locked.clone() };
        let manifest = LockedEngine { manifest_sha256: "0".into(), ..locked.clone() };
        let others = [
            of(&model, "a", "b", "c"),
            of(&external, "a", "b", "c"),
            of(&manifest, "a", "b", "c"),
            of(&locked, "ab", "", "c"),
            of(&locked, "a", "b2", "c"),
            of(&locked, "a", "b", "fp16"),
        ];
        assert!(others.iter().all(|other| *other != key));
        let timings = [("a", "b"), ("a2", "b"), ("a", "b2"), ("ab", "")].map(|(adapter, library)| PlanKey::of_timings(adapter, library));
        assert!(timings.iter().enumerate().all(|(at, one)| !timings[..at].contains(one)));

        let plans = Plans::in_folder(parent.path().join("plans"));
        assert_eq!(plans.read(&key), None);
        plans.write(&key, b"compiled").unwrap();
        assert_eq!(plans.read(&key).as_deref(), Some(&b"compiled"[..]));
        assert!(others.iter().all(|other| plans.read(other).is_none()));
    }

    #[test]
    fn a_damaged_renamed_or_foreign_plan_is_not_run() {
        let parent = tempfile::tempdir().unwrap();
        let locked = super::super::load(&engine(parent.path(), "surgical-cpu", b"weights")).unwrap();
        let plans = Plans::in_folder(parent.path().join("plans"));
        let [key, other] = ["a", "b"].map(|adapter| PlanKey::new(&locked, adapter, "", ""));
        let path = plans.write(&key, b"compiled").unwrap();
        let good = std::fs::read(&path).unwrap();
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 1;
            std::fs::write(&path, bad).unwrap();
            assert_eq!(plans.read(&key), None, "byte {at}");
        }
        std::fs::write(&path, &good[..20]).unwrap();
        assert_eq!(plans.read(&key), None);
        std::fs::write(plans.path(&other), &good).unwrap();
        assert_eq!(plans.read(&other), None);
        std::fs::write(&path, &good).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o666)).unwrap();
        assert_eq!(plans.read(&key), None);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        assert!(plans.read(&key).is_some());
    }
}
