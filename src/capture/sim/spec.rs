//! What to simulate: the source URI `sim:?seed=7&width=1920&height=1080&fps=60&seconds=6`.

use super::SimError;
use crate::frame::{Colorimetry, FrameLayout, Matrix, PixelFormat, Range};
use std::fmt;

/// One clip, completely: the same spec is the same bytes.
#[derive(Debug, Clone, PartialEq)]
pub struct Spec {
    /// Varies anatomy, palette, light, content area, instruments and their paths.
    pub seed: u64,
    pub width: u32,
    pub height: u32,
    pub fps: u32,
    /// Length of the loop, s; rounded to whole pictures.
    pub loop_s: f64,
}

impl Default for Spec {
    fn default() -> Self {
        Spec { seed: 1, width: 1920, height: 1080, fps: 60, loop_s: 6.0 }
    }
}

const LIMIT_BYTES: u64 = 8 << 30;

impl Spec {
    /// Reads `sim:` or `sim:?key=value&…`. What is not given has its default (seed 1, 1920×1080, 60 fps, 6 s).
    ///
    /// Errors: another scheme, an unknown or repeated key, a value out of range, a clip larger than 8 GB.
    pub fn parse(uri: &str) -> Result<Self, SimError> {
        let not_sim = || SimError::NotSim { uri: uri.to_owned() };
        let rest = uri.strip_prefix("sim:").ok_or_else(not_sim)?;
        let query = match rest {
            "" => "",
            _ => rest.strip_prefix('?').ok_or_else(not_sim)?,
        };
        let mut spec = Spec::default();
        let mut seen: Vec<&'static str> = Vec::new();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            let key = match key {
                "seed" => {
                    spec.seed = whole("seed", value, 0, u64::MAX, "a whole number from 0 to 18446744073709551615")?;
                    "seed"
                }
                "width" => {
                    spec.width = whole("width", value, 16, FrameLayout::MAX_SIDE as u64, "whole pixels from 16 to 8192")? as u32;
                    "width"
                }
                "height" => {
                    spec.height = whole("height", value, 16, FrameLayout::MAX_SIDE as u64, "whole pixels from 16 to 8192")? as u32;
                    "height"
                }
                "fps" => {
                    spec.fps = whole("fps", value, 1, 240, "whole pictures a second from 1 to 240")? as u32;
                    "fps"
                }
                "seconds" => {
                    let allowed = "seconds from 0.1 to 600";
                    let bad = || SimError::Value { key: "seconds", value: value.to_owned(), allowed };
                    spec.loop_s = value.parse::<f64>().ok().filter(|s| (0.1..=600.0).contains(s)).ok_or_else(bad)?;
                    "seconds"
                }
                _ => return Err(SimError::UnknownKey { key: key.to_owned() }),
            };
            if seen.contains(&key) {
                return Err(SimError::Twice { key });
            }
            seen.push(key);
        }
        spec.check_clip()?;
        Ok(spec)
    }

    /// Pictures of one loop, at least one.
    pub fn frame_count(&self) -> usize {
        ((self.loop_s * f64::from(self.fps)).round() as usize).max(1)
    }

    /// NV12, BT.709, limited range.
    pub fn layout(&self) -> Result<FrameLayout, SimError> {
        let colorimetry = Colorimetry::sdr(Matrix::Bt709, Range::Limited);
        Ok(FrameLayout::new(PixelFormat::Nv12, colorimetry, self.width as usize, self.height as usize)?)
    }

    /// Is the clip, rendered ahead, of a size that a machine can hold?
    pub(super) fn check_clip(&self) -> Result<(), SimError> {
        let frames = self.frame_count();
        let bytes = self.layout()?.size as u64 * frames as u64;
        if bytes > LIMIT_BYTES {
            let (megabytes, limit_megabytes) = (bytes >> 20, LIMIT_BYTES >> 20);
            return Err(SimError::TooLarge { frames, width: self.width, height: self.height, megabytes, limit_megabytes });
        }
        Ok(())
    }
}

/// The URI that names this spec in full.
impl fmt::Display for Spec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sim:?seed={}&width={}&height={}&fps={}&seconds={}", self.seed, self.width, self.height, self.fps, self.loop_s)
    }
}

fn whole(key: &'static str, value: &str, least: u64, most: u64, allowed: &'static str) -> Result<u64, SimError> {
    let digits = !value.is_empty() && value.bytes().all(|b| b.is_ascii_digit());
    let number = if digits { value.parse::<u64>().ok() } else { None };
    number.filter(|n| (least..=most).contains(n)).ok_or_else(|| SimError::Value { key, value: value.to_owned(), allowed })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_bare_scheme_has_the_defaults() {
        let spec = Spec::parse("sim:").unwrap();
        assert_eq!(spec, Spec { seed: 1, width: 1920, height: 1080, fps: 60, loop_s: 6.0 });
        assert_eq!((spec.frame_count(), Spec::parse("sim:?").unwrap()), (360, spec));
    }

    #[test]
    fn errors_name_the_key_and_what_is_allowed() {
        let text = |uri| Spec::parse(uri).unwrap_err().to_string();
        assert!(text("sim:?sead=7").contains("'sead'") && text("sim:?sead=7").contains("seed, width, height, fps, seconds"));
        assert!(text("sim:?fps=0").contains("fps=0") && text("sim:?fps=0").contains("1 to 240"));
        assert!(text("sim:?width=+64").contains("width"));
        assert!(text("sim:?seconds=NaN").contains("0.1 to 600"));
        assert!(text("sim:?seed=1&seed=2").contains("twice"));
        assert!(text("simulator").contains("sim:"));
        assert!(text("sim:?width=8192&height=8192&seconds=600").contains("lower seconds"));
    }

    proptest! {
        #[test]
        fn a_spec_survives_its_own_uri(seed: u64, width in 16u32..2000, height in 16u32..1200, fps in 1u32..=240, tenths in 1u32..20) {
            let spec = Spec { seed, width, height, fps, loop_s: f64::from(tenths) / 10.0 };
            prop_assert_eq!(Spec::parse(&spec.to_string()).unwrap(), spec);
        }

        /// Whatever is written behind `sim:`, it is either refused or within the limits.
        #[test]
        fn no_query_gets_past_the_limits(query in "[?&=a-z0-9.+-]{0,40}", key in "seed|width|height|fps|seconds", value in "[0-9.e+-]{0,8}") {
            for uri in [format!("sim:{query}"), format!("sim:?{key}={value}")] {
                if let Ok(spec) = Spec::parse(&uri) {
                    prop_assert!((16..=8192).contains(&spec.width) && (16..=8192).contains(&spec.height));
                    prop_assert!((1..=240).contains(&spec.fps) && (0.1..=600.0).contains(&spec.loop_s));
                    prop_assert!(spec.layout().unwrap().size * spec.frame_count() <= LIMIT_BYTES as usize);
                }
            }
        }
    }
}
