//! The seal of a site's limits of the self-test: beside the file, as an operating point's. What the limits mean is `guard`'s.

use super::error::StoreError;
use super::key::SecretKey;
use super::lock::write;
use super::operating_point::{seal_of, signature_path};
use super::signature::{self, Purpose, Seal};

use std::path::Path;

const FILE_LIMIT_BYTES: u64 = 64 << 10;

/// The file's bytes, and who answers for them. Unsigned is allowed here; a signature that is there has to be right.
pub fn read_site_limits(path: &Path) -> Result<(Vec<u8>, Seal), StoreError> {
    let bytes = super::read(path, FILE_LIMIT_BYTES)?;
    let seal = seal_of(Purpose::SiteLimits, path, &bytes)?;
    Ok((bytes, seal))
}

/// Signs the file as it stands: `site.toml` → `site.signature.toml`. Read it with `guard` first: nonsense can be signed too.
pub fn sign_site_limits(path: &Path, key: &SecretKey) -> Result<Seal, StoreError> {
    let bytes = super::read(path, FILE_LIMIT_BYTES)?;
    let beside = signature_path(path);
    let text =
        signature::sign(Purpose::SiteLimits, &bytes, key).map_err(|source| StoreError::Signature { path: beside.clone(), source })?;
    write(&beside, text.as_bytes())?;
    read_site_limits(path).map(|(_, seal)| seal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_sealed_as_limits_and_a_changed_byte_breaks_the_seal() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("limits.toml");
        std::fs::write(&path, "a = 1\n").unwrap();
        assert_eq!(read_site_limits(&path).unwrap().1, Seal::Unsigned);
        let key = SecretKey::generate("Site").unwrap();
        let sealed = Seal::Signed { by: "Site".into(), key: key.public() };
        assert_eq!(sign_site_limits(&path, &key).unwrap(), sealed);
        std::fs::write(&path, "a = 2\n").unwrap();
        let error = read_site_limits(&path).unwrap_err();
        assert!(error.is_finding() && error.to_string().contains("limits.signature.toml"), "{error}");
        // Signed as something else.
        let other = signature::sign(Purpose::OperatingPoint, b"a = 2\n", &key).unwrap();
        std::fs::write(signature_path(&path), other).unwrap();
        assert!(read_site_limits(&path).is_err());
    }
}
