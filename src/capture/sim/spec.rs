//! What to simulate: the source URI `sim:?seed=7&width=1920&height=1080&fps=59.94&seconds=6`.
//! Effects come through `script` (see `script`), `look`, `still` and `noise`; without any of these the scene is the plain one.

use super::SimError;
use super::script::{Effect, Look, Script};
use crate::base::rate::Rate;
use crate::frame::{Colorimetry, FrameLayout, Matrix, PixelFormat, Range};
use serde::Deserialize;
use serde::de::IntoDeserializer;
use serde::de::value::{Error as ValueError, StrDeserializer};
use std::fmt;
use std::sync::Arc;

/// One clip, completely: the same spec is the same bytes.
#[derive(Debug, Clone, PartialEq)]
pub struct Spec {
    /// Varies anatomy, palette, light, content area, instruments and their paths.
    pub seed: u64,
    pub width: u32,
    pub height: u32,
    /// Pictures a second, exactly.
    pub rate: Rate,
    /// Length of the loop, s; rounded to whole pictures.
    pub loop_s: f64,
    pub look: Look,
    /// Nothing moves: only noise and events differ from picture to picture.
    pub still: bool,
    /// Times the usual sensor noise, 0 to 8.
    pub noise: f32,
    pub script: Option<Arc<Script>>,
}

impl Default for Spec {
    fn default() -> Self {
        let rate = Rate::new(60, 1).unwrap_or(Rate::FALLBACK);
        let look = Look::Standard;
        Spec { seed: 1, width: 1920, height: 1080, rate, loop_s: 6.0, look, still: false, noise: 1.0, script: None }
    }
}

const LIMIT_BYTES: u64 = 8 << 30;

impl Spec {
    /// Reads `sim:` or `sim:?key=value&…`, and the script that it names. What is not given has its default (seed 1,
    /// 1920×1080, 60 fps, 6 s or the script's own length).
    ///
    /// Errors: another scheme, an unknown or repeated key, a value out of range, a script that is not there or wrong, a clip
    /// larger than 8 GB.
    pub fn parse(uri: &str) -> Result<Self, SimError> {
        let not_sim = || SimError::NotSim { uri: uri.to_owned() };
        let rest = uri.strip_prefix("sim:").ok_or_else(not_sim)?;
        let query = match rest {
            "" => "",
            _ => rest.strip_prefix('?').ok_or_else(not_sim)?,
        };
        let pairs: Vec<(&str, &str)> =
            query.split('&').filter(|pair| !pair.is_empty()).map(|pair| pair.split_once('=').unwrap_or((pair, ""))).collect();
        let mut spec = Spec::default();
        // The script first, so that what the URI says itself goes before it.
        if let Some((_, name)) = pairs.iter().find(|(key, _)| *key == "script") {
            spec.play(Arc::new(Script::open(name)?));
        }
        let mut seen: Vec<&'static str> = Vec::new();
        for (key, value) in pairs {
            let key = spec.set(key, value)?;
            if seen.contains(&key) {
                return Err(SimError::Twice { key });
            }
            seen.push(key);
        }
        spec.check_clip()?;
        Ok(spec)
    }

    /// Takes over what `script` says.
    pub fn play(&mut self, script: Arc<Script>) {
        (self.loop_s, self.still, self.noise, self.look) = (script.seconds, script.still, script.noise, script.look);
        self.script = Some(script);
    }

    /// Returns the key as it is known.
    fn set(&mut self, key: &str, value: &str) -> Result<&'static str, SimError> {
        let refuse = |key, allowed| SimError::Value { key, value: value.to_owned(), allowed };
        let side = |key| whole(key, value, 16, FrameLayout::MAX_SIDE as u64, "whole pixels from 16 to 8192").map(|side| side as u32);
        match key {
            "seed" => {
                self.seed = whole("seed", value, 0, u64::MAX, "a whole number from 0 to 18446744073709551615")?;
                Ok("seed")
            }
            "width" => side("width").map(|side| self.width = side).map(|()| "width"),
            "height" => side("height").map(|side| self.height = side).map(|()| "height"),
            "fps" => {
                let rate = Rate::parse(value).filter(|rate| rate.per_second() <= 240.0);
                self.rate = rate.ok_or_else(|| refuse("fps", "pictures a second from 1 to 240, as 60, 59.94 or 60000/1001"))?;
                Ok("fps")
            }
            "seconds" => {
                let seconds = value.parse::<f64>().ok().filter(|s| (0.1..=600.0).contains(s));
                self.loop_s = seconds.ok_or_else(|| refuse("seconds", "seconds from 0.1 to 600"))?;
                Ok("seconds")
            }
            "noise" => {
                let level = value.parse::<f32>().ok().filter(|level| (0.0..=8.0).contains(level));
                self.noise = level.ok_or_else(|| refuse("noise", "0 to 8 times the usual noise"))?;
                Ok("noise")
            }
            "still" => {
                self.still = value.parse().map_err(|_| refuse("still", "true or false"))?;
                Ok("still")
            }
            "look" => {
                let name: StrDeserializer<'_, ValueError> = value.into_deserializer();
                self.look = Look::deserialize(name).map_err(|_| refuse("look", "standard, a, b, c, nbi or icg"))?;
                Ok("look")
            }
            "script" => Ok("script"),
            _ => Err(SimError::UnknownKey { key: key.to_owned() }),
        }
    }

    /// Has it nothing but the plain scene?
    pub fn is_plain(&self) -> bool {
        self.script.is_none() && !self.still && self.noise == 1.0 && self.look == Look::Standard
    }

    /// Pictures of one loop, at least one.
    pub fn frame_count(&self) -> usize {
        ((self.loop_s * self.fps()).round() as usize).max(1)
    }

    pub fn fps(&self) -> f64 {
        self.rate.per_second()
    }

    /// When picture `n` is due after the start, ns, rounded down: no error adds up.
    pub fn pts_ns(&self, n: u64) -> u64 {
        self.rate.tick_ns(n)
    }

    /// The newest picture that is due `elapsed_ns` after the start.
    pub fn newest_due(&self, elapsed_ns: u64) -> u64 {
        let (num, den) = self.rate.fraction();
        // The last n with floor(n·den·1e9/num) <= elapsed.
        ((u128::from(elapsed_ns) + 1) * u128::from(num)).saturating_sub(1).checked_div(u128::from(den) * 1_000_000_000).unwrap_or(0) as u64
    }

    /// Does the script let the source fall silent instead of showing picture `index` of the loop?
    pub fn is_lost(&self, index: usize) -> bool {
        let t_ns = self.pts_ns((index % self.frame_count()) as u64);
        let events = self.script.iter().flat_map(|script| &script.events);
        events.filter(|event| event.effect == Effect::Loss).any(|event| event.is_on(t_ns))
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

/// The URI that names this spec in full. What is as always is left out, so that the plain scene keeps its name.
impl fmt::Display for Spec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sim:?seed={}&width={}&height={}&fps=", self.seed, self.width, self.height)?;
        match self.rate.fraction() {
            (num, 1) => write!(f, "{num}")?,
            (num, den) => write!(f, "{num}/{den}")?,
        }
        write!(f, "&seconds={}", self.loop_s)?;
        if self.is_plain() {
            return Ok(());
        }
        write!(f, "&still={}&noise={}&look={}", self.still, self.noise, format!("{:?}", self.look).to_lowercase())?;
        self.script.as_ref().map_or(Ok(()), |script| write!(f, "&script={}", script.name))
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
        assert_eq!((spec.seed, spec.width, spec.height, spec.fps(), spec.loop_s, spec.is_plain()), (1, 1920, 1080, 60.0, 6.0, true));
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

    #[test]
    fn rates_are_exact_fractions() {
        let rate = |text: &str| Spec::parse(&format!("sim:?width=64&height=64&fps={text}")).unwrap();
        for (text, fraction) in [("59.94", (60_000, 1001)), ("50", (50, 1)), ("60000/1001", (60_000, 1001)), ("29.97", (30_000, 1001))] {
            assert_eq!(rate(text).rate.fraction(), fraction);
            assert_eq!(Spec::parse(&rate(text).to_string()).unwrap(), rate(text));
        }
        let ntsc = rate("59.94");
        assert_eq!(ntsc.pts_ns(60_000), 1_001_000_000_000, "after 1001 s to the nanosecond");
        for n in [0, 1, 2, 59_999, 1 << 30] {
            let at = ntsc.pts_ns(n);
            assert_eq!((ntsc.newest_due(at), ntsc.newest_due(at + 1), ntsc.newest_due(at.saturating_sub(1))), (n, n, n.saturating_sub(1)));
        }
    }

    #[test]
    fn what_the_uri_says_goes_before_the_script() {
        let spec = Spec::parse("sim:?seconds=3&script=builtin:still&noise=2&look=nbi").unwrap();
        assert_eq!((spec.loop_s, spec.still, spec.noise, spec.look, spec.is_plain()), (3.0, true, 2.0, Look::Nbi, false));
        assert_eq!(Spec::parse(&spec.to_string()).unwrap(), spec);
        let text = |uri| Spec::parse(uri).unwrap_err().to_string();
        assert!(text("sim:?script=builtin:smok").contains("smoke, blood, lens"));
        assert!(text("sim:?script=no/such.toml").contains("no/such.toml"));
        assert!(text("sim:?look=sepia").contains("nbi"));
    }

    proptest! {
        #[test]
        fn a_spec_survives_its_own_uri(seed: u64, width in 16u32..2000, height in 16u32..1200, fps in 1u32..=240, tenths in 1u32..20) {
            let rate = Rate::new(fps, 1).unwrap();
            let spec = Spec { seed, width, height, rate, loop_s: f64::from(tenths) / 10.0, ..Spec::default() };
            prop_assert_eq!(Spec::parse(&spec.to_string()).unwrap(), spec);
        }

        /// Whatever is written behind `sim:`, it is either refused or within the limits.
        #[test]
        fn no_query_gets_past_the_limits(query in "[?&=a-z0-9.+-]{0,40}", key in "seed|width|height|fps|seconds", value in "[0-9.e+-]{0,8}") {
            for uri in [format!("sim:{query}"), format!("sim:?{key}={value}")] {
                if let Ok(spec) = Spec::parse(&uri) {
                    prop_assert!((16..=8192).contains(&spec.width) && (16..=8192).contains(&spec.height));
                    prop_assert!((1.0..=240.0).contains(&spec.fps()) && (0.1..=600.0).contains(&spec.loop_s));
                    prop_assert!(spec.layout().unwrap().size * spec.frame_count() <= LIMIT_BYTES as usize);
                }
            }
        }
    }
}
