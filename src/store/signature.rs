//! Who answers for an engine: a signature over its manifest, which holds the hashes of everything else. Beside the manifest
//! in `signature.toml`.

use super::error::SignatureError;
use super::key::{self, DEVELOPMENT, PublicKey, SecretKey};
use super::{LockedEngine, StoreError, from_hex, hex};
use serde::{Deserialize, Serialize};

pub const SIGNATURE_FILE: &str = "signature.toml";
const SCHEMA: &str = "keyhole.signature/1";

/// What is signed begins with its purpose: a signature of a manifest is never one of something else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    Engine,
    OperatingPoint,
    SiteLimits,
    File,
}

impl Purpose {
    fn prefix(self) -> &'static [u8] {
        match self {
            Purpose::Engine => b"keyhole.engine/1\0",
            Purpose::OperatingPoint => b"keyhole.operating-point/1\0",
            Purpose::SiteLimits => b"keyhole.site-limits/1\0",
            Purpose::File => b"keyhole.file/1\0",
        }
    }
}

/// Who has signed an engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seal {
    Unsigned,
    /// By the pair that everybody has.
    Development,
    Signed {
        /// As the key's owner calls it.
        by: String,
        key: PublicKey,
    },
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SignatureFile {
    schema: String,
    by: String,
    key: PublicKey,
    signature: String,
}

/// The text of a signature file.
pub(super) fn sign(purpose: Purpose, signed: &[u8], key: &SecretKey) -> Result<String, SignatureError> {
    let signature = hex(&key.sign(&message(purpose, key.name(), signed)));
    let file = SignatureFile { schema: SCHEMA.to_owned(), by: key.name().to_owned(), key: key.public(), signature };
    toml::to_string(&file).map_err(|error| SignatureError::Syntax(error.to_string()))
}

/// Who signed this, by the text of its signature file.
pub(super) fn check(purpose: Purpose, signed: &[u8], text: &str) -> Result<Seal, SignatureError> {
    let file: SignatureFile = toml::from_str(text).map_err(|error| SignatureError::Syntax(error.to_string().trim_end().to_owned()))?;
    if file.schema != SCHEMA {
        return Err(SignatureError::Syntax(format!("schema: expected '{SCHEMA}', found '{}'", file.schema)));
    }
    key::check_name(&file.by).map_err(SignatureError::Syntax)?;
    let signature =
        from_hex(&file.signature).ok_or_else(|| SignatureError::Syntax("signature: 128 hexadecimal digits are expected".into()))?;
    if !file.key.verifies(&message(purpose, &file.by, signed), &signature) {
        return Err(SignatureError::Wrong { by: file.by });
    }
    Ok(if file.key == DEVELOPMENT { Seal::Development } else { Seal::Signed { by: file.by, key: file.key } })
}

fn message(purpose: Purpose, by: &str, signed: &[u8]) -> Vec<u8> {
    [purpose.prefix(), by.as_bytes(), b"\0", signed].concat()
}

impl LockedEngine {
    /// No vendor's key has signed it: the screen says so.
    pub fn is_demonstration(&self) -> bool {
        !matches!(self.seal, Seal::Signed { .. })
    }
}

impl Seal {
    /// May `engine` work on a patient, where only these keys are trusted?
    pub fn check_clinical(&self, engine: &str, trusted: &[PublicKey]) -> Result<(), StoreError> {
        let reason = match self {
            Seal::Signed { key, .. } if trusted.contains(key) => return Ok(()),
            Seal::Signed { by, key } => format!("its key, of '{by}' ({key}), is not among store.trusted_keys"),
            Seal::Development => "it is signed with the development key, which everybody has".to_owned(),
            Seal::Unsigned => "nobody has signed it".to_owned(),
        };
        Err(StoreError::Untrusted { name: engine.to_owned(), reason })
    }
}

impl std::fmt::Display for Seal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Seal::Unsigned => f.write_str("not signed"),
            Seal::Development => f.write_str("signed with the development key: not for patients"),
            Seal::Signed { by, key } => write!(f, "signed by '{by}', key {key}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MANIFEST: &[u8] = b"name = 'an engine'\n";

    #[test]
    fn a_signature_holds_for_its_manifest_its_key_and_its_name_alone() {
        let (key, other) = (SecretKey::generate("Vendor").unwrap(), SecretKey::generate("Other").unwrap());
        let text = sign(Purpose::Engine, MANIFEST, &key).unwrap();
        assert_eq!(check(Purpose::Engine, MANIFEST, &text), Ok(Seal::Signed { by: "Vendor".into(), key: key.public() }));
        let wrong = Err(SignatureError::Wrong { by: "Vendor".into() });
        assert_eq!(check(Purpose::Engine, b"name = 'an enginE'\n", &text), wrong);
        assert_eq!(check(Purpose::Engine, MANIFEST, &text.replace(&key.public().to_string(), &other.public().to_string())), wrong);
        assert!(matches!(check(Purpose::Engine, MANIFEST, &text.replace("Vendor", "Hospital")), Err(SignatureError::Wrong { .. })));
        assert_eq!(check(Purpose::OperatingPoint, MANIFEST, &text), wrong, "signed as something else");
        for bad in [text.replace(SCHEMA, "x"), text.replace("signature = \"", "signature = \"zz"), text.replace("by", "who"), String::new()]
        {
            assert!(matches!(check(Purpose::Engine, MANIFEST, &bad), Err(SignatureError::Syntax(_))), "{bad}");
        }
    }

    #[test]
    fn clinical_mode_takes_a_trusted_key_and_nothing_else() {
        let (key, other) = (SecretKey::generate("Vendor").unwrap().public(), SecretKey::generate("Other").unwrap().public());
        let signed = Seal::Signed { by: "Vendor".into(), key };
        signed.check_clinical("e", &[other, key]).unwrap();
        for (seal, trusted) in
            [(&signed, &[other][..]), (&signed, &[]), (&Seal::Unsigned, &[key]), (&Seal::Development, &[key, DEVELOPMENT])]
        {
            let error = seal.check_clinical("some-cpu", trusted).unwrap_err();
            assert!(error.is_finding() && error.to_string().contains("some-cpu"), "{error}");
        }
    }

    proptest! {
        /// Whatever one byte of manifest or signature becomes, it is refused or means the same.
        #[test]
        fn no_changed_byte_passes(at in any::<prop::sample::Index>(), to in any::<u8>(), in_manifest in any::<bool>()) {
            let key = SecretKey::generate("Vendor").unwrap();
            let mut manifest = MANIFEST.to_vec();
            let mut text = sign(Purpose::Engine, MANIFEST, &key).unwrap().into_bytes();
            let changed = if in_manifest { &mut manifest } else { &mut text };
            let index = at.index(changed.len());
            let before = std::mem::replace(&mut changed[index], to);
            let seal = String::from_utf8(text).ok().and_then(|text| check(Purpose::Engine, &manifest, &text).ok());
            let same = Seal::Signed { by: "Vendor".into(), key: key.public() };
            // A digit in upper case, or another kind of quotes or space, is the same signature.
            prop_assert!(seal.is_none() || (seal == Some(same) && (!in_manifest || before == to)));
        }
    }
}
