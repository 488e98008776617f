//! `[golden]`: a picture and the class mask that the engine and everything around it gave for it when it was locked. A binary, a
//! library or a processor on which something else comes out does not run what was validated.

use super::manifest::{bad, check_file};
use super::{LockedEngine, ManifestError};
use serde::Deserialize;
use std::sync::Arc;

pub const PICTURE_FILE: &str = "golden.png";
pub const MASK_FILE: &str = "golden.mask.png";
/// Other processors round otherwise, at the edges of what is found: so many of the pixels have to be the same.
pub const AGREEMENT: f64 = 0.995;

/// The manifest's section.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GoldenSpec {
    /// PNG beside the manifest.
    pub picture: String,
    /// Lower-case hex.
    pub picture_sha256: String,
    /// PNG with a class id a pixel, as large as the model's output.
    pub mask: String,
    pub mask_sha256: String,
    /// Share of the mask's pixels that must have the same class, 0.9 to 1.
    pub agreement: f64,
}

impl GoldenSpec {
    pub(super) fn check(&self) -> Result<(), ManifestError> {
        check_file("golden", "picture", &self.picture, &self.picture_sha256)?;
        check_file("golden", "mask", &self.mask, &self.mask_sha256)?;
        if self.picture == self.mask {
            return bad("golden.mask", "the picture and its mask are two files");
        }
        if !(0.9..=1.0).contains(&self.agreement) {
            return bad("golden.agreement", format!("expected 0.9 to 1, found {}", self.agreement));
        }
        Ok(())
    }
}

/// Both files, read and found to be those that are locked.
#[derive(Debug, Clone)]
pub struct Golden {
    /// PNG.
    pub picture: Arc<[u8]>,
    /// PNG, a class id a pixel.
    pub mask: Arc<[u8]>,
    pub agreement: f64,
}

impl LockedEngine {
    /// In clinical mode an engine is not run without it.
    pub fn check_golden(&self) -> Result<(), super::StoreError> {
        match &self.golden {
            Some(_) => Ok(()),
            None => Err(super::StoreError::Untrusted {
                name: self.manifest.name.clone(),
                reason: "its manifest pins no golden outputs (`keyhole engine lock --golden`)".into(),
            }),
        }
    }
}
