//! Files beside the engines that somebody answers for in the theatre: the program and its configuration. The seal lies beside
//! the file, as an operating point's.

use super::error::StoreError;
use super::key::{PublicKey, SecretKey};
use super::lock::write;
use super::operating_point::{seal_of, signature_path};
use super::signature::{self, Purpose, Seal};
use std::path::Path;

/// A program with its debug information is far below it.
const FILE_LIMIT_BYTES: u64 = 1 << 30;

/// A trusted key has signed this very file; returns whose.
pub fn check_file(path: &Path, trusted: &[PublicKey]) -> Result<Seal, StoreError> {
    let bytes = super::read(path, FILE_LIMIT_BYTES)?;
    let seal = seal_of(Purpose::File, path, &bytes)?;
    seal.check_clinical(&path.display().to_string(), trusted)?;
    Ok(seal)
}

/// Signs the file as it stands: `config.toml` → `config.signature.toml`.
pub fn sign_file(path: &Path, key: &SecretKey) -> Result<Seal, StoreError> {
    let bytes = super::read(path, FILE_LIMIT_BYTES)?;
    let beside = signature_path(path);
    let text = signature::sign(Purpose::File, &bytes, key).map_err(|source| StoreError::Signature { path: beside.clone(), source })?;
    write(&beside, text.as_bytes())?;
    seal_of(Purpose::File, path, &bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_vouched_for_by_a_trusted_key_until_a_byte_changes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keyhole.toml");
        std::fs::write(&path, "mode = 'clinical'\n").unwrap();
        let (key, other) = (SecretKey::generate("Vendor").unwrap(), SecretKey::generate("Other").unwrap());
        let unsigned = check_file(&path, &[key.public()]).unwrap_err().to_string();
        assert!(unsigned.contains("nobody has signed it") && unsigned.contains("keyhole.toml"), "{unsigned}");
        sign_file(&path, &key).unwrap();
        assert!(check_file(&path, &[key.public()]).is_ok());
        assert!(check_file(&path, &[other.public()]).is_err());
        std::fs::write(&path, "mode = 'clinicaL'\n").unwrap();
        assert!(check_file(&path, &[key.public()]).unwrap_err().to_string().contains("keyhole.signature.toml"));
    }
}
