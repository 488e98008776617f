use crate::base::classes;
use crate::overlay::style::ClassSet;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OverlayMode {
    /// Clean picture.
    Off,
    /// Thin outlines and tip marks.
    #[default]
    Outline,
    /// Outlines over a light tint.
    Fill,
}

/// `[overlay]`
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Default: outline.
    pub mode: OverlayMode,
    /// An overlay whose frame was captured longer ago than this is not drawn. Default: 100 ms.
    pub max_age_ms: u32,
    /// Opacity of outlines, 0..1. Default: 0.95.
    pub opacity: f32,
    /// Opacity of the tint in mode `fill`, 0..1. Default: 0.16.
    pub fill_opacity: f32,
    /// Width of an instrument's bright outline in a picture of 1080 rows; scales with the height. Default: 2 px.
    pub line_width_px_at_1080: f32,
    /// The overlay is hidden when the picture has moved under it by more than this, in percent of its width. Default: 1.5.
    pub hide_on_motion_percent: f32,
    /// Instruments are drawn ahead along their velocity by the overlay's age, but by no more time than this. Default: 60 ms.
    pub predict_at_most_ms: u32,
    /// ... and by no more than this way, in percent of the picture's width. Default: 3.
    pub predict_at_most_percent: f32,
    /// Switches by class name: `classes = { "liver" = false }` leaves the liver out. Default: all are drawn.
    pub classes: BTreeMap<String, bool>,
    /// Frame-locked: a frame waits so long after its capture for its own scene before it is shown, which adds to the video
    /// delay. At most 30 ms: no more frames than the display holds may wait. Default: 0, off.
    pub frame_locked_ms: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            mode: OverlayMode::Outline,
            max_age_ms: 100,
            opacity: 0.95,
            fill_opacity: 0.16,
            line_width_px_at_1080: 2.0,
            hide_on_motion_percent: 1.5,
            predict_at_most_ms: 60,
            predict_at_most_percent: 3.0,
            frame_locked_ms: 0,
            classes: BTreeMap::new(),
        }
    }
}

impl Settings {
    /// What is wrong with these settings, as one sentence for people.
    pub fn check(&self) -> Result<(), String> {
        let unit = |name: &str, v: f32| {
            if (0.0..=1.0).contains(&v) { Ok(()) } else { Err(format!("overlay.{name} is {v}: it must lie between 0 and 1")) }
        };
        unit("opacity", self.opacity)?;
        unit("fill_opacity", self.fill_opacity)?;
        if !(0.5..=16.0).contains(&self.line_width_px_at_1080) {
            return Err(format!("overlay.line_width_px_at_1080 is {}: it must lie between 0.5 and 16", self.line_width_px_at_1080));
        }
        for (name, percent) in
            [("hide_on_motion_percent", self.hide_on_motion_percent), ("predict_at_most_percent", self.predict_at_most_percent)]
        {
            if !(0.0..=100.0).contains(&percent) {
                return Err(format!("overlay.{name} is {percent}: it must lie between 0 and 100"));
            }
        }
        if self.frame_locked_ms > 30 {
            return Err(format!("overlay.frame_locked_ms is {}: it must lie between 0 and 30", self.frame_locked_ms));
        }
        if !(1..=1000).contains(&self.max_age_ms) {
            return Err(format!("overlay.max_age_ms is {}: it must lie between 1 and 1000", self.max_age_ms));
        }
        match self.classes.keys().find(|name| !classes::table().by_name(name).is_some_and(|class| class.kind.is_region())) {
            Some(name) => Err(format!("overlay.classes names '{name}', which is no class that is drawn: see engines/classes.toml")),
            None => Ok(()),
        }
    }

    /// The classes that are switched off.
    pub fn hidden(&self) -> ClassSet {
        let mut hidden = ClassSet::default();
        for class in self.classes.iter().filter(|(_, is_shown)| !**is_shown).filter_map(|(name, _)| classes::table().by_name(name)) {
            hidden.set(class.id, true);
        }
        hidden
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_valid_and_unknown_keys_are_refused() {
        Settings::default().check().unwrap();
        assert_eq!(toml::from_str::<Settings>("").unwrap(), Settings::default());
        assert_eq!(toml::from_str::<Settings>("mode = 'fill'").unwrap().mode, OverlayMode::Fill);
        assert!(toml::from_str::<Settings>("opacty = 1.0").is_err());
        assert!(Settings { opacity: f32::NAN, ..Settings::default() }.check().is_err());
        assert!(Settings { frame_locked_ms: 31, ..Settings::default() }.check().is_err());
        assert!(Settings { hide_on_motion_percent: -1.0, ..Settings::default() }.check().is_err());
    }

    #[test]
    fn classes_are_switched_by_name_and_only_drawn_ones() {
        let parse = |text: &str| toml::from_str::<Settings>(text).unwrap();
        let settings = parse("classes = { liver = false, grasper = true }");
        settings.check().unwrap();
        assert_eq!(settings.hidden().names().collect::<Vec<_>>(), ["liver"]);
        for wrong in ["classes = { spleen = false }", "classes = { smoke = false }"] {
            assert!(parse(wrong).check().unwrap_err().contains("overlay.classes"), "{wrong}");
        }
    }
}
