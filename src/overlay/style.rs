//! How each class looks: one table. Hues keep apart for the colour-blind (after Okabe and Ito, 2008, lightened) and stay
//! clear of the reds and yellows of tissue for what matters most; line weight tells instruments from tissue without colour.

use crate::base::classes::{self, ClassKind};
use crate::base::ids::ClassId;
use crate::overlay::{OverlayMode, Settings};

/// R, G, B by name in `engines/classes.toml`.
const COLOURS: [(&str, [u8; 3]); 13] = [
    ("grasper", [60, 235, 255]),
    ("l-hook electrocautery", [255, 255, 255]),
    ("instrument", [130, 200, 255]),
    ("gallbladder", [40, 225, 130]),
    ("liver", [214, 150, 255]),
    ("fat", [86, 150, 255]),
    ("abdominal wall", [190, 190, 200]),
    ("gastrointestinal tract", [245, 160, 210]),
    ("connective tissue", [150, 220, 200]),
    ("blood", [255, 120, 60]),
    ("cystic duct", [215, 255, 90]),
    ("hepatic vein", [150, 90, 235]),
    ("liver ligament", [205, 205, 140]),
];

/// What is drawn where the analysis does not know.
pub const UNKNOWN_RGB: [u8; 3] = [185, 185, 185];

/// Colour of a class; grey for one without an entry.
pub fn colour(class: ClassId) -> [u8; 3] {
    let name = classes::table().name(class);
    COLOURS.iter().find(|(known, _)| *known == name).map_or(UNKNOWN_RGB, |(_, rgb)| *rgb)
}

/// Tissue lines are thinner than instrument lines by this factor.
const TISSUE_WIDTH: f32 = 0.75;
/// Of an instrument's line, whatever the picture's size: thinner ones lose their colour.
const THINNEST_PX: f32 = 1.6;
const REFERENCE_ROWS: f32 = 1080.0;

/// Everything about the look that the settings decide.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Style {
    pub mode: OverlayMode,
    pub opacity: f32,
    pub fill_opacity: f32,
    pub line_width_px_at_1080: f32,
}

impl Style {
    pub fn of(settings: &Settings) -> Self {
        let Settings { mode, opacity, fill_opacity, line_width_px_at_1080, .. } = *settings;
        Style { mode, opacity, fill_opacity, line_width_px_at_1080 }
    }

    /// Pixels of a picture with `height` rows for one pixel of a picture with 1080.
    pub fn scale(height: usize) -> f32 {
        height as f32 / REFERENCE_ROWS
    }

    /// Width of the bright core of a line, px.
    pub fn line_width_px(&self, kind: ClassKind, height: usize) -> f32 {
        let part = if kind == ClassKind::Instrument { 1.0 } else { TISSUE_WIDTH };
        (self.line_width_px_at_1080 * Self::scale(height)).max(THINNEST_PX) * part
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_class_that_is_drawn_has_a_colour_of_its_own() {
        let drawn: Vec<_> = classes::table().iter().filter(|class| class.kind.is_region()).collect();
        for (i, class) in drawn.iter().enumerate() {
            assert_ne!(colour(class.id), UNKNOWN_RGB, "{} has no colour", class.name);
            for other in &drawn[..i] {
                let apart: i32 = colour(class.id).iter().zip(colour(other.id)).map(|(a, b)| (i32::from(*a) - i32::from(b)).abs()).sum();
                assert!(apart >= 60, "{} and {} look alike", class.name, other.name);
            }
        }
    }
}
