//! How each class looks: one table of colours, one of switches. The colours were searched by machine for the largest
//! distance under normal vision and three kinds of colour blindness; the tests hold what was reached. Colour never
//! carries a meaning alone: line weight tells instruments from tissue, corners tell findings, dashes tell unsure.

use crate::base::classes::{self, ClassKind};
use crate::base::ids::ClassId;
use crate::base::texts::Language;
use crate::overlay::{OverlayMode, Settings};

/// R, G, B by name in `engines/classes.toml`.
const COLOURS: [(&str, [u8; 3]); 18] = [
    ("grasper", [70, 236, 255]),
    ("l-hook electrocautery", [243, 255, 240]),
    ("instrument", [131, 197, 255]),
    ("scissors", [244, 244, 128]),
    ("clip applier", [141, 218, 118]),
    ("suturing needle", [85, 208, 16]),
    ("gallbladder", [120, 255, 147]),
    ("liver", [255, 221, 236]),
    ("fat", [202, 63, 238]),
    ("abdominal wall", [252, 130, 75]),
    ("gastrointestinal tract", [168, 147, 227]),
    ("connective tissue", [214, 77, 168]),
    ("blood", [252, 75, 7]),
    ("cystic duct", [80, 156, 4]),
    ("hepatic vein", [17, 137, 255]),
    ("liver ligament", [9, 207, 226]),
    ("polyp", [204, 229, 88]),
    ("lesion", [136, 242, 5]),
];

/// What is drawn where the analysis does not know.
pub const UNKNOWN_RGB: [u8; 3] = [185, 185, 185];

/// Colour of a class; grey for one without an entry.
pub fn colour(class: ClassId) -> [u8; 3] {
    let name = classes::table().name(class);
    COLOURS.iter().find(|(known, _)| *known == name).map_or(UNKNOWN_RGB, |(_, rgb)| *rgb)
}

/// The groups that the keys 1 to 9 switch, in this order.
pub const GROUPS: [&[&str]; 9] = [
    &["grasper", "l-hook electrocautery", "instrument", "scissors", "clip applier", "suturing needle"],
    &["polyp", "lesion"],
    &["liver", "liver ligament"],
    &["gallbladder"],
    &["cystic duct"],
    &["hepatic vein", "blood"],
    &["fat", "connective tissue"],
    &["gastrointestinal tract"],
    &["abdominal wall"],
];

/// A set of classes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ClassSet([u64; 4]);

impl ClassSet {
    pub fn contains(&self, class: ClassId) -> bool {
        self.0[usize::from(class.0 >> 6)] >> (class.0 & 63) & 1 == 1
    }

    pub fn set(&mut self, class: ClassId, is_in: bool) {
        let bit = 1 << (class.0 & 63);
        let word = &mut self.0[usize::from(class.0 >> 6)];
        *word = if is_in { *word | bit } else { *word & !bit };
    }

    /// Hides a group (0 = key 1) if any class of it is shown, else shows all of it.
    pub fn toggle_group(&mut self, group: usize) {
        let ids =
            || GROUPS.get(group).into_iter().copied().flatten().filter_map(|name| classes::table().by_name(name)).map(|class| class.id);
        let hide = ids().any(|id| !self.contains(id));
        for id in ids() {
            self.set(id, hide);
        }
    }

    /// Names of the classes in it, in the table's order.
    pub fn names(&self) -> impl Iterator<Item = &'static str> + '_ {
        classes::table().iter().filter(|class| self.contains(class.id)).map(|class| class.name.as_str())
    }
}

/// Tissue lines are thinner than instrument lines by this factor.
const TISSUE_WIDTH: f32 = 0.75;
/// Corners are short: they are thicker by this factor.
const FINDING_WIDTH: f32 = 1.6;
/// Of an instrument's line, whatever the picture's size: thinner ones lose their colour.
const THINNEST_PX: f32 = 1.6;
const REFERENCE_ROWS: f32 = 1080.0;

/// Everything about the look that settings and operator decide.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Style {
    pub mode: OverlayMode,
    pub opacity: f32,
    pub fill_opacity: f32,
    pub line_width_px_at_1080: f32,
    /// Classes that are not drawn. Tissue keeps out of an instrument that is hidden, too.
    pub hidden: ClassSet,
    /// Names stand beside instruments and findings.
    pub labels: bool,
    pub language: Language,
}

impl Style {
    pub fn of(settings: &Settings) -> Self {
        let Settings { mode, opacity, fill_opacity, line_width_px_at_1080, .. } = *settings;
        let (hidden, language) = (settings.hidden(), Language::default());
        Style { mode, opacity, fill_opacity, line_width_px_at_1080, hidden, labels: false, language }
    }

    /// Pixels of a picture with `height` rows for one pixel of a picture with 1080.
    pub fn scale(height: usize) -> f32 {
        height as f32 / REFERENCE_ROWS
    }

    /// Width of the bright core of a line, px.
    pub fn line_width_px(&self, kind: ClassKind, height: usize) -> f32 {
        let part = match kind {
            ClassKind::Tissue => TISSUE_WIDTH,
            ClassKind::Finding => FINDING_WIDTH,
            _ => 1.0,
        };
        (self.line_width_px_at_1080 * Self::scale(height)).max(THINNEST_PX) * part
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::overlay::testing::{Sight, delta_e, lab};

    /// CIELAB distance (CIE 1976) that two colours of one kind keep, however they are seen; 2.3 is just noticeable.
    const SAME_KIND: f64 = 14.0;
    /// Of two kinds: shape or line weight tells them apart as well.
    const OTHER_KIND: f64 = 9.5;
    /// To tissue as it looks in real pictures; every line has a dark casing besides.
    const TO_TISSUE: f64 = 16.5;

    /// The 23 commonest colours of 140 real laparoscopic and gynaecological pictures (k-means in CIELAB, highlights left out).
    const TISSUE: [[u8; 3]; 23] = [
        [110, 73, 75],
        [114, 59, 56],
        [138, 78, 82],
        [86, 46, 49],
        [155, 77, 77],
        [163, 106, 99],
        [54, 32, 32],
        [140, 98, 103],
        [62, 23, 22],
        [135, 87, 66],
        [89, 32, 30],
        [87, 57, 46],
        [108, 94, 94],
        [76, 62, 66],
        [186, 125, 136],
        [150, 130, 133],
        [199, 115, 112],
        [127, 45, 41],
        [38, 35, 35],
        [206, 154, 126],
        [182, 107, 68],
        [207, 174, 179],
        [183, 61, 79],
    ];

    #[test]
    fn classes_stay_apart_for_the_colour_blind_and_from_tissue() {
        let drawn: Vec<_> = classes::table().iter().filter(|class| class.kind.is_region()).collect();
        assert_eq!(drawn.len(), COLOURS.len(), "a class without a colour, or a colour without a class");
        for sight in Sight::ALL {
            for (i, class) in drawn.iter().enumerate() {
                assert_ne!(colour(class.id), UNKNOWN_RGB, "{} has no colour", class.name);
                let seen = lab(colour(class.id), sight);
                for other in &drawn[..i] {
                    let apart = delta_e(seen, lab(colour(other.id), sight));
                    let least = if class.kind == other.kind { SAME_KIND } else { OTHER_KIND };
                    assert!(apart >= least, "{sight:?}: {} and {} are {apart:.1} apart, not {least}", class.name, other.name);
                }
                for tissue in TISSUE {
                    let apart = delta_e(seen, lab(tissue, sight));
                    assert!(apart >= TO_TISSUE, "{sight:?}: {} is {apart:.1} from tissue {tissue:?}", class.name);
                }
            }
        }
    }

    #[test]
    fn the_simulation_of_colour_blindness_is_one() {
        let apart = |a, b, sight| delta_e(lab(a, sight), lab(b, sight));
        // Confusions that define them: a red and a green; a blue and a green of like lightness.
        let (red, green) = ([180, 70, 60], [110, 118, 58]);
        assert!(apart(red, green, Sight::Normal) > 50.0 && apart(red, green, Sight::Deuteranopia) < 20.0);
        let (violet, grey) = ([110, 100, 150], [104, 108, 100]);
        assert!(apart(violet, grey, Sight::Normal) > 25.0 && apart(violet, grey, Sight::Tritanopia) < 20.0);
        for sight in Sight::ALL {
            assert!(delta_e(lab([128; 3], sight), lab([128; 3], Sight::Normal)) < 1.0, "grey stays grey: {sight:?}");
        }
    }

    #[test]
    fn every_drawn_class_is_in_one_group_and_a_group_goes_and_comes_whole() {
        for class in classes::table().iter().filter(|class| class.kind.is_region()) {
            assert_eq!(GROUPS.iter().filter(|group| group.contains(&class.name.as_str())).count(), 1, "{}", class.name);
        }
        let liver = classes::table().by_name("liver").unwrap().id;
        let mut hidden = ClassSet::default();
        hidden.set(liver, true);
        hidden.toggle_group(2);
        assert_eq!(hidden.names().collect::<Vec<_>>(), ["liver", "liver ligament"], "what was partly hidden goes whole");
        hidden.toggle_group(2);
        assert_eq!(hidden, ClassSet::default());
        hidden.toggle_group(9);
        assert_eq!(hidden, ClassSet::default(), "there is no tenth group");
    }
}
