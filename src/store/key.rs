//! Keys that engines are signed with: Ed25519 (RFC 8032), each in a TOML file of its own. Nothing about engines here.

use super::error::KeyError;
use super::{from_hex, hex};
use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use serde::{Deserialize, Serialize};
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

const SCHEMA: &str = "keyhole.key/1";
/// A key's file is a few lines.
const FILE_LIMIT_BYTES: u64 = 4096;
const NAME_CHARACTERS: usize = 80;

/// Half of a pair that everybody may know. 32 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PublicKey([u8; 32]);

/// The pair whose secret half is in the source tree (engines/development-key.toml): whoever has the tree can sign with it.
/// Good for trying out; clinical mode refuses it.
pub const DEVELOPMENT: PublicKey = PublicKey([
    0x46, 0xe2, 0x8e, 0xc3, 0xb3, 0x5f, 0x21, 0xa1, 0xc6, 0x4c, 0x25, 0x4b, 0xd9, 0xc7, 0x65, 0x61, 0xd7, 0xed, 0x2e, 0x0a, 0xbb, 0x6b,
    0xf9, 0xee, 0x8e, 0x9c, 0x41, 0x58, 0xc9, 0x1e, 0xf9, 0x79,
]);

impl PublicKey {
    /// Strictly: of several signatures that would do for one message and key only one is taken (RFC 8032, and no keys of small order).
    pub fn verifies(&self, message: &[u8], signature: &[u8; 64]) -> bool {
        VerifyingKey::from_bytes(&self.0).is_ok_and(|key| key.verify_strict(message, &Signature::from_bytes(signature)).is_ok())
    }
}

impl std::fmt::Display for PublicKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

impl TryFrom<String> for PublicKey {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        from_hex(&text).map(PublicKey).ok_or_else(|| format!("'{text}' is no public key: 64 hexadecimal digits are expected"))
    }
}

impl From<PublicKey> for String {
    fn from(key: PublicKey) -> String {
        key.to_string()
    }
}

/// Both halves, and whose they are.
pub struct SecretKey {
    name: String,
    key: SigningKey,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyFile {
    schema: String,
    name: String,
    public: PublicKey,
    secret: String,
}

impl SecretKey {
    /// A new pair, from the system's random numbers.
    pub fn generate(name: &str) -> Result<Self, KeyError> {
        check_name(name).map_err(|reason| KeyError::Name { reason })?;
        let mut seed = [0; 32];
        let random = std::fs::File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut seed));
        random.map_err(|source| KeyError::Random { source })?;
        Ok(SecretKey { name: name.to_owned(), key: SigningKey::from_bytes(&seed) })
    }

    pub fn read(path: &Path) -> Result<Self, KeyError> {
        let failed = |source| KeyError::Read { path: path.to_owned(), source };
        let refuse = |reason: String| KeyError::Contents { path: path.to_owned(), reason };
        if std::fs::metadata(path).map_err(failed)?.len() > FILE_LIMIT_BYTES {
            return Err(refuse(format!("it is longer than {FILE_LIMIT_BYTES} bytes")));
        }
        let text = std::fs::read_to_string(path).map_err(failed)?;
        // The parser's message would show the line, and with it perhaps the secret.
        let file: KeyFile = toml::from_str(&text).map_err(|error| refuse(error.message().to_owned()))?;
        if file.schema != SCHEMA {
            return Err(refuse(format!("schema: expected '{SCHEMA}', found '{}'", file.schema)));
        }
        check_name(&file.name).map_err(refuse)?;
        let seed = from_hex(&file.secret).ok_or_else(|| refuse("secret: 64 hexadecimal digits are expected".to_owned()))?;
        let key = SecretKey { name: file.name, key: SigningKey::from_bytes(&seed) };
        if key.public() != file.public {
            return Err(refuse("the public half does not belong to the secret one".to_owned()));
        }
        Ok(key)
    }

    /// Writes a new file that its owner alone may read. An existing one is left as it is.
    pub fn write_new(&self, path: &Path) -> Result<(), KeyError> {
        let failed = |source| KeyError::Write { path: path.to_owned(), source };
        let file = KeyFile { schema: SCHEMA.to_owned(), name: self.name.clone(), public: self.public(), secret: hex(self.key.as_bytes()) };
        let text = toml::to_string(&file).map_err(|error| failed(std::io::Error::other(error)))?;
        let mut out = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(failed)?;
        let written = out.write_all(text.as_bytes()).and_then(|()| out.sync_all());
        written.map_err(|source| {
            // Half a key is none.
            let _ = std::fs::remove_file(path);
            failed(source)
        })
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn public(&self) -> PublicKey {
        PublicKey(self.key.verifying_key().to_bytes())
    }

    pub fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.key.sign(message).to_bytes()
    }
}

/// A name is shown on screens and in reports: one line, not empty.
pub(super) fn check_name(name: &str) -> Result<(), String> {
    let is_good = !name.trim().is_empty() && name.chars().count() <= NAME_CHARACTERS && !name.chars().any(char::is_control);
    if is_good { Ok(()) } else { Err(format!("name: 1 to {NAME_CHARACTERS} characters in one line are expected")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn development() -> SecretKey {
        SecretKey::read(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/engines/development-key.toml"))).unwrap()
    }

    /// RFC 8032, 7.1, test 2.
    #[test]
    fn a_signature_is_that_of_the_standard() {
        let seed = from_hex("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb").unwrap();
        let key = SecretKey { name: "test".into(), key: SigningKey::from_bytes(&seed) };
        assert_eq!(key.public().to_string(), "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c");
        let signature = key.sign(&[0x72]);
        assert!(hex(&signature).starts_with("92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"));
        assert!(key.public().verifies(&[0x72], &signature) && !key.public().verifies(&[0x73], &signature));
    }

    #[test]
    fn the_development_key_is_the_one_that_the_code_knows() {
        assert_eq!(development().public(), DEVELOPMENT);
    }

    #[test]
    fn a_key_is_written_once_for_its_owner_alone_and_read_back() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("vendor.toml");
        let key = SecretKey::generate("Vendor, line 2").unwrap();
        key.write_new(&path).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let read = SecretKey::read(&path).unwrap();
        assert_eq!((read.name(), read.public()), ("Vendor, line 2", key.public()));
        let error = SecretKey::generate("other").unwrap().write_new(&path).unwrap_err().to_string();
        assert!(error.contains("vendor.toml"), "{error}");
        assert_eq!(SecretKey::read(&path).unwrap().public(), key.public(), "nothing is lost");
        assert_ne!(SecretKey::generate("a").unwrap().public(), SecretKey::generate("a").unwrap().public());
    }

    #[test]
    fn what_is_no_key_is_named_and_the_secret_is_never_shown() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("k.toml");
        SecretKey::generate("a").unwrap().write_new(&path).unwrap();
        let good = std::fs::read_to_string(&path).unwrap();
        let secret = good.lines().find_map(|line| line.strip_prefix("secret = ")).unwrap().trim_matches('"').to_owned();
        let cases = [
            (good.replace(SCHEMA, "keyhole.key/9"), "keyhole.key/1"),
            (good.replace("name = \"a\"", "name = \"\""), "name"),
            (good.replace(&secret, &"0".repeat(64)), "does not belong"),
            (good.replace(&secret, &secret[1..]), "secret"),
            (good.replace("\"\n", "\n"), ""),
            (String::new(), "missing field"),
        ];
        for (text, part) in cases {
            std::fs::write(&path, text).unwrap();
            let Err(error) = SecretKey::read(&path) else { panic!("{part}: taken for a key") };
            let error = error.to_string();
            assert!(error.contains("k.toml") && error.contains(part) && !error.contains(&secret[1..]), "{error}");
        }
        assert!(SecretKey::read(&folder.path().join("none")).is_err());
    }
}
