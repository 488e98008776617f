//! `[normalisation]` of a manifest: the light and the colours of the frames that the model was trained on, and how far other
//! frames may be moved towards them. What is done with it is `infer`'s.

use super::error::ManifestError;
use super::manifest::bad;
use serde::Deserialize;

/// One figure of a frame over the cohort's frames.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spread {
    pub mean: f32,
    /// Standard deviation between frames.
    pub std: f32,
}

/// An engine without this section is shown frames as they are. All figures are binary logarithms of what is encoded (R'G'B' in
/// 0..1): a gain of a channel is a shift there, a gamma a factor, and the axes are nearly independent in natural pictures
/// (Ruderman 1998; Reinhard 2001). `engines/train/cohort.py` fits them.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Normalisation {
    /// Nothing is done to a figure that lies within so many standard deviations of the mean. 0–5.
    pub dead_band: f32,
    /// Part of what lies beyond the dead band that is taken away. 0–1.
    pub strength: f32,
    /// Brightness is raised by no more than this, stops of encoded light. 0–3.
    pub max_exposure: f32,
    /// Red against green, and yellow against blue, are moved by no more than this. 0–2.
    pub max_balance: f32,
    /// Contrast and saturation change by no more than the factor 2^this. 0–2.
    pub max_stretch: f32,
    /// Median of (r + g + b) / 3.
    pub brightness: Spread,
    /// Logarithm of the range from the 15th to the 85th hundredth of (r + g + b) / 3.
    pub contrast: Spread,
    /// Median of r − g.
    pub red_green: Spread,
    /// Median of (r + g) / 2 − b.
    pub yellow_blue: Spread,
    /// Logarithm of the sum of these two's ranges.
    pub saturation: Spread,
    /// Brightness of grey frames; without it grey frames stay as they are.
    #[serde(default)]
    pub grey_brightness: Option<Spread>,
}

impl Normalisation {
    pub(super) fn check(&self) -> Result<(), ManifestError> {
        let limits = [
            ("dead_band", self.dead_band, 5.0),
            ("strength", self.strength, 1.0),
            ("max_exposure", self.max_exposure, 3.0),
            ("max_balance", self.max_balance, 2.0),
            ("max_stretch", self.max_stretch, 2.0),
        ];
        for (field, value, most) in limits {
            if !(0.0..=most).contains(&value) {
                return bad(format!("normalisation.{field}"), format!("expected 0 to {most}, found {value}"));
            }
        }
        let spreads = [
            ("brightness", Some(self.brightness), -8.0..=-0.1),
            ("contrast", Some(self.contrast), -4.0..=4.0),
            ("red_green", Some(self.red_green), -4.0..=4.0),
            ("yellow_blue", Some(self.yellow_blue), -4.0..=4.0),
            ("saturation", Some(self.saturation), -4.0..=4.0),
            ("grey_brightness", self.grey_brightness, -8.0..=-0.1),
        ];
        for (field, spread, range) in spreads {
            let Some(Spread { mean, std }) = spread else { continue };
            if !range.contains(&mean) {
                let (from, to) = (range.start(), range.end());
                return bad(format!("normalisation.{field}.mean"), format!("expected {from} to {to}, found {mean}"));
            }
            if !(0.01..=4.0).contains(&std) {
                return bad(format!("normalisation.{field}.std"), format!("expected 0.01 to 4, found {std}"));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::manifest::Manifest;
    use super::super::manifest::tests::GOOD;

    const SECTION: &str = "
[normalisation]
dead_band = 1.0
strength = 1.0
max_exposure = 1.5
max_balance = 0.4
max_stretch = 0.6
brightness = { mean = -1.8, std = 0.4 }
contrast = { mean = 0.8, std = 0.4 }
red_green = { mean = 0.8, std = 0.3 }
yellow_blue = { mean = 0.4, std = 0.2 }
saturation = { mean = 0.4, std = 0.5 }
grey_brightness = { mean = -1.0, std = 0.3 }
";

    #[test]
    fn an_engine_has_a_cohort_or_none() {
        assert_eq!(Manifest::parse(GOOD).unwrap().normalisation, None);
        let cohort = Manifest::parse(&format!("{GOOD}{SECTION}")).unwrap().normalisation.unwrap();
        assert_eq!((cohort.brightness.mean, cohort.grey_brightness.map(|grey| grey.std)), (-1.8, Some(0.3)));
        let without_grey = SECTION.replace("grey_brightness = { mean = -1.0, std = 0.3 }", "");
        assert_eq!(Manifest::parse(&format!("{GOOD}{without_grey}")).unwrap().normalisation.unwrap().grey_brightness, None);
    }

    #[test]
    fn what_cannot_be_is_refused_by_name() {
        for (from, to, named) in [
            ("strength = 1.0", "strength = 1.1", "normalisation.strength"),
            ("dead_band = 1.0", "dead_band = nan", "normalisation.dead_band"),
            ("max_exposure = 1.5", "max_exposure = 4", "normalisation.max_exposure"),
            ("max_balance = 0.4", "max_balance = -0.1", "normalisation.max_balance"),
            ("max_stretch = 0.6", "max_stretch = inf", "normalisation.max_stretch"),
            ("mean = -1.8", "mean = 0.0", "normalisation.brightness.mean"),
            ("std = 0.5", "std = 0.0", "normalisation.saturation.std"),
            ("mean = -1.0", "mean = nan", "normalisation.grey_brightness.mean"),
            ("contrast = { mean = 0.8, std = 0.4 }", "", "contrast"),
            ("strength = 1.0", "strength = 1.0\nstrenght = 1.0", "strenght"),
        ] {
            assert!(SECTION.contains(from));
            let text = format!("{GOOD}{}", SECTION.replacen(from, to, 1));
            let error = Manifest::parse(&text).unwrap_err().to_string();
            assert!(error.contains(named), "{to}: {error}");
        }
    }
}
