//! The few words that stand in the overlay itself: names beside instruments, "last seen" at the rim. Each word is drawn
//! once per picture size and language and kept; a frame only copies pixels. What they say stands in `base::texts`; status
//! texts are the HUD's matter.

use crate::base::classes;
use crate::base::ids::ClassId;
use crate::base::texts::{Language, Text};
use crate::overlay::blend::{over, premultiplied};
use crate::overlay::{Layer, Rect};
use ab_glyph::{Font, FontRef, Glyph, PxScale, ScaleFont, point};
use std::borrow::Cow;

/// What can be said in the overlay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Word {
    Class(ClassId),
    /// Whole seconds since an instrument was last seen.
    LastSeen(u8),
}

/// The text of a word, lines divided by '\n'. Classes that get no label keep the name of their table.
pub fn label_text(word: Word, language: Language) -> Cow<'static, str> {
    match word {
        Word::Class(id) => {
            let name = classes::table().name(id);
            Cow::Borrowed(Text::of_class(name).map_or(name, |text| text.of(language)))
        }
        Word::LastSeen(seconds) => Cow::Owned(Text::LastSeen.filled(language, seconds)),
    }
}

/// Text height in a picture of one row.
const TEXT_PART: f32 = 0.021;
/// Below this nobody can read it.
const LEAST_PX: f32 = 9.0;
const GROUND_RGB: [u8; 3] = [10, 12, 16];
const GROUND_ALPHA: u8 = 185;

/// A word as pixels: ink coverage, 0..=255, row by row.
#[derive(Debug)]
struct Drawn {
    word: Word,
    language: Language,
    width: usize,
    height: usize,
    ink: Vec<u8>,
}

/// Draws words into layers of one picture height.
#[derive(Debug)]
pub struct Lettering {
    size_px: f32,
    font: FontRef<'static>,
    kept: Vec<Drawn>,
}

impl Lettering {
    pub fn new(picture_height: usize) -> Self {
        // Hack: MIT and Bitstream Vera licences.
        let font = FontRef::try_from_slice(epaint_default_fonts::HACK_REGULAR).expect("the built-in font is a font");
        Lettering { size_px: (TEXT_PART * picture_height as f32).max(LEAST_PX), font, kept: Vec::new() }
    }

    /// Width and height of a word with its ground, px.
    pub fn size(&mut self, word: Word, language: Language) -> (usize, usize) {
        let drawn = self.drawn(word, language);
        (drawn.width, drawn.height)
    }

    /// Puts a word with its top left corner at (x, y); what lies outside the layer is cut off. Returns what it covers.
    pub fn put(&mut self, word: Word, language: Language, (x, y): (usize, usize), rgb: [u8; 3], opacity: u8, layer: &mut Layer) -> Rect {
        let drawn = self.drawn(word, language);
        let rect = Rect { x0: x, y0: y, x1: x + drawn.width, y1: y + drawn.height }.clipped(layer.width, layer.height);
        let ground = premultiplied(GROUND_RGB, scaled(GROUND_ALPHA, opacity));
        for row in rect.y0..rect.y1 {
            let ink = &drawn.ink[(row - y) * drawn.width..];
            let pixels = layer.row_mut(row, rect.x0, rect.x1).as_chunks_mut::<4>().0;
            for (pixel, &ink) in pixels.iter_mut().zip(ink) {
                let grounded = over(ground, u32::from_le_bytes(*pixel));
                *pixel = over(premultiplied(rgb, scaled(ink, opacity)), grounded).to_le_bytes();
            }
        }
        rect
    }

    fn drawn(&mut self, word: Word, language: Language) -> &Drawn {
        let at = match self.kept.iter().position(|kept| (kept.word, kept.language) == (word, language)) {
            Some(at) => at,
            None => {
                self.kept.push(self.draw(word, language));
                self.kept.len() - 1
            }
        };
        &self.kept[at]
    }

    fn draw(&self, word: Word, language: Language) -> Drawn {
        let text = label_text(word, language);
        let scale = PxScale::from(self.size_px);
        let font = self.font.as_scaled(scale);
        let line_px = self.size_px.ceil();
        let pad = (self.size_px * 0.2).ceil();
        let width_of = |line: &str| line.chars().map(|c| font.h_advance(font.glyph_id(c))).sum::<f32>();
        let widest = text.lines().map(width_of).fold(0.0, f32::max);
        let width = (widest + 2.0 * pad).ceil() as usize;
        let height = (text.lines().count() as f32 * line_px + pad) as usize;
        let mut ink = vec![0; width * height];
        for (i, line) in text.lines().enumerate() {
            let mut x = pad;
            for c in line.chars() {
                let id = font.glyph_id(c);
                let position = point(x, 0.5 * pad + i as f32 * line_px + font.ascent());
                x += font.h_advance(id);
                let Some(outlined) = self.font.outline_glyph(Glyph { id, scale, position }) else { continue };
                let bounds = outlined.px_bounds();
                outlined.draw(|gx, gy, coverage| {
                    let (px, py) = (bounds.min.x as i64 + i64::from(gx), bounds.min.y as i64 + i64::from(gy));
                    if (0..width as i64).contains(&px) && (0..height as i64).contains(&py) {
                        let ink = &mut ink[py as usize * width + px as usize];
                        *ink = (*ink).max((coverage.clamp(0.0, 1.0) * 255.0).round() as u8);
                    }
                });
            }
        }
        Drawn { word, language, width, height, ink }
    }
}

fn scaled(level: u8, opacity: u8) -> u8 {
    ((u32::from(level) * u32::from(opacity) + 127) / 255) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_those_of_the_text_table() {
        let class = |name: &str, language| label_text(Word::Class(classes::table().by_name(name).unwrap().id), language);
        assert_eq!((class("scissors", Language::En), class("scissors", Language::De)), ("scissors".into(), "Schere".into()));
        assert_eq!(class("liver", Language::De), "liver", "tissues get no label");
        assert_eq!(label_text(Word::LastSeen(3), Language::En), "last seen\n3 s");
        assert_eq!(label_text(Word::LastSeen(3), Language::De), "zuletzt\nvor 3 s");
    }

    #[test]
    fn a_word_fits_beside_the_picture_s_middle_and_is_drawn_once() {
        for (width, height) in [(1920, 1080), (1280, 720), (720, 576)] {
            let mut lettering = Lettering::new(height);
            for language in [Language::En, Language::De] {
                for seconds in 0..=10 {
                    let (w, h) = lettering.size(Word::LastSeen(seconds), language);
                    assert!(w * 10 <= width && h * 10 <= height, "{w}×{h} in {width}×{height}: outside the central 80 %");
                }
            }
            assert_eq!(lettering.kept.len(), 22);
            let mut layer = Layer::new(width, height);
            let rect = lettering.put(Word::LastSeen(1), Language::De, (width - 5, height - 3), [255; 3], 200, &mut layer);
            assert_eq!(rect, Rect { x0: width - 5, y0: height - 3, x1: width, y1: height });
            let bright = |layer: &Layer| layer.data.chunks_exact(4).filter(|p| p[1] > 150).count();
            let (x, y) = (0, height / 2);
            lettering.put(Word::LastSeen(1), Language::De, (x, y), [255; 3], 255, &mut layer);
            assert!(bright(&layer) > 100 * height / 1080);
            assert!(layer.data.chunks_exact(4).all(|p| p[..3].iter().all(|c| *c <= p[3])), "premultiplied");
            assert_eq!(lettering.kept.len(), 22);
        }
    }
}
