//! The status display: small text and a banner in declared rectangles at the picture's rim, painted only when the text
//! changes. The central 80 % of the picture's height stay free: text lies in the top and the bottom tenth. NO SIGNAL
//! alone stands in the middle, because then there is no picture to hide.
//! What is said is decided elsewhere; a banner is told by its sign and its words, never by colour alone.

use crate::overlay::blend::{over, premultiplied};
use crate::overlay::raster::{Pen, Point, Raster};
use crate::overlay::{Layer, Rect, Tiles};
use ab_glyph::{Font, FontRef, Glyph, PxScale, ScaleFont, point};

/// What keeps the surgeon from trusting, or seeing, anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Banner {
    AiOff,
    AiStale,
    NoSignal,
}

impl Banner {
    pub fn words(self) -> &'static str {
        match self {
            Banner::AiOff => "AI OFF",
            Banner::AiStale => "AI STALE",
            Banner::NoSignal => "NO SIGNAL",
        }
    }

    fn rgb(self) -> [u8; 3] {
        match self {
            Banner::AiOff => [235, 235, 235],
            Banner::AiStale => [255, 190, 70],
            Banner::NoSignal => [255, 255, 255],
        }
    }

    /// The sign, as lines in a unit square: a crossed-out ring, an hourglass, a crossed-out screen.
    fn sign(self) -> Vec<(Point, Point)> {
        let polygon =
            |points: &[Point]| -> Vec<(Point, Point)> { (0..points.len()).map(|i| (points[i], points[(i + 1) % points.len()])).collect() };
        match self {
            Banner::AiOff => {
                let ring: Vec<Point> = (0..24)
                    .map(|i| i as f32 / 24.0 * std::f32::consts::TAU)
                    .map(|a| [0.5 + 0.45 * a.cos(), 0.5 + 0.45 * a.sin()])
                    .collect();
                let mut lines = polygon(&ring);
                lines.push(([0.18, 0.82], [0.82, 0.18]));
                lines
            }
            Banner::AiStale => polygon(&[[0.15, 0.05], [0.85, 0.05], [0.15, 0.95], [0.85, 0.95]]),
            Banner::NoSignal => {
                let mut lines = polygon(&[[0.0, 0.15], [1.0, 0.15], [1.0, 0.85], [0.0, 0.85]]);
                lines.extend([([0.3, 0.35], [0.7, 0.65]), ([0.3, 0.65], [0.7, 0.35])]);
                lines
            }
        }
    }
}

/// What the status display says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HudText {
    pub top_left: Vec<String>,
    pub bottom_left: Vec<String>,
    pub banner: Option<Banner>,
}

/// The rectangles that the status display may paint in while there is a picture, whatever it says: text at the top left,
/// the banner at the top middle, text at the bottom left.
pub fn declared_rects(width: usize, height: usize) -> [Rect; 3] {
    let band = height / 10;
    [
        Rect { x0: 0, y0: 0, x1: width * 35 / 100, y1: band },
        Rect { x0: width * 36 / 100, y0: 0, x1: width * 64 / 100, y1: band },
        Rect { x0: 0, y0: height - band, x1: width * 60 / 100, y1: height },
    ]
}

/// Where NO SIGNAL stands.
pub fn no_signal_rect(width: usize, height: usize) -> Rect {
    Rect { x0: width / 4, y0: height * 2 / 5, x1: width - width / 4, y1: height * 3 / 5 }
}

/// Text height in a picture of one row; three lines fit a tenth of the picture.
const TEXT_PART: f32 = 0.026;
const LINE_PART: f32 = 0.031;
const MARGIN_PART: f32 = 0.003;
const TEXT_RGB: [u8; 3] = [240, 240, 240];
const GROUND_RGB: [u8; 3] = [10, 12, 16];
const GROUND_ALPHA: u8 = 165;

#[derive(Debug)]
pub struct Hud {
    said: HudText,
    layer: Layer,
    raster: Raster,
    touched: Tiles,
    font: FontRef<'static>,
}

impl Hud {
    pub fn new(width: usize, height: usize) -> Self {
        // Hack: MIT and Bitstream Vera licences.
        let font = FontRef::try_from_slice(epaint_default_fonts::HACK_REGULAR).expect("the built-in font is a font");
        let (layer, raster, touched) = (Layer::new(width, height), Raster::new(width, height), Tiles::new(width, height));
        Hud { said: HudText::default(), layer, raster, touched, font }
    }

    pub fn layer(&self) -> &Layer {
        &self.layer
    }

    /// Paints `text` if it differs from what is there; returns whether it did.
    pub fn update(&mut self, text: &HudText) -> bool {
        if *text == self.said {
            return false;
        }
        self.said.clone_from(text);
        self.layer.clear();
        self.touched.clear();
        let [top, banner, bottom] = declared_rects(self.layer.width, self.layer.height);
        self.lines(&text.top_left, top, false);
        self.lines(&text.bottom_left, bottom, true);
        match text.banner {
            Some(Banner::NoSignal) => self.banner(Banner::NoSignal, no_signal_rect(self.layer.width, self.layer.height)),
            Some(other) => self.banner(other, banner),
            None => {}
        }
        self.touched.write_rects(&mut self.layer.rects);
        // Tiles may reach over the rim of a declared rectangle, where nothing was painted.
        let mut allowed = [top, banner, bottom, no_signal_rect(self.layer.width, self.layer.height)].to_vec();
        if text.banner != Some(Banner::NoSignal) {
            allowed.truncate(3);
        }
        self.layer.rects =
            self.layer.rects.iter().flat_map(|rect| allowed.iter().map(|a| a.intersection(rect))).filter(|r| !r.is_empty()).collect();
        true
    }

    fn lines(&mut self, lines: &[String], rect: Rect, from_below: bool) {
        let height = self.layer.height as f32;
        let (line_px, margin) = (LINE_PART * height, (MARGIN_PART * height).ceil());
        let fitting = ((rect.height() as f32 - 2.0 * margin) / line_px).floor().max(0.0) as usize;
        let shown = &lines[..lines.len().min(fitting)];
        if shown.is_empty() {
            return;
        }
        let size = TEXT_PART * height;
        let widest = shown.iter().map(|line| self.width_of(line, size)).fold(0.0, f32::max);
        let used = (shown.len() as f32 * line_px + 2.0 * margin).ceil() as usize;
        let ground = Rect { x1: rect.x1.min(rect.x0 + (widest + 6.0 * margin).ceil() as usize), ..rect };
        let ground = if from_below { Rect { y0: rect.y1 - used, ..ground } } else { Rect { y1: rect.y0 + used, ..ground } };
        self.ground(ground);
        for (i, line) in shown.iter().enumerate() {
            let top = ground.y0 as f32 + margin + i as f32 * line_px;
            self.text(line, [ground.x0 as f32 + 3.0 * margin, top], size, TEXT_RGB, ground);
        }
    }

    fn banner(&mut self, banner: Banner, rect: Rect) {
        let size = rect.height() as f32 * 0.62;
        if size < 6.0 {
            return;
        }
        let sign_px = size * 0.72;
        let wish = sign_px * 1.5 + self.width_of(banner.words(), size);
        let shrink = (rect.width() as f32 * 0.94 / wish).min(1.0);
        let (size, sign_px, used) = (size * shrink, sign_px * shrink, wish * shrink);
        let middle_x = (rect.x0 + rect.x1) as f32 / 2.0;
        let middle_y = (rect.y0 + rect.y1) as f32 / 2.0;
        let left = middle_x - used / 2.0;
        let pad = size * 0.25;
        let ground = Rect {
            x0: (left - pad).max(rect.x0 as f32) as usize,
            y0: (middle_y - size * 0.68).max(rect.y0 as f32) as usize,
            x1: (left + used + pad) as usize,
            y1: (middle_y + size * 0.68) as usize,
        }
        .intersection(&rect);
        self.ground(ground);
        let radius = (sign_px * 0.05).max(0.8);
        let pen = Pen { core_radius: radius, casing_radius: radius, rgb: banner.rgb(), opacity: 255 };
        let place = |p: Point| [left + p[0] * sign_px, middle_y + (p[1] - 0.5) * sign_px];
        for (a, b) in banner.sign() {
            self.raster.line(place(a), place(b), &pen);
        }
        self.raster.finish(&pen, &mut self.layer, &mut self.touched);
        self.text(banner.words(), [left + sign_px * 1.5, middle_y - size * 0.5], size, banner.rgb(), ground);
    }

    fn ground(&mut self, rect: Rect) {
        self.touched.mark(rect);
        let pixel = premultiplied(GROUND_RGB, GROUND_ALPHA).to_le_bytes();
        for y in rect.y0..rect.y1 {
            self.layer.row_mut(y, rect.x0, rect.x1).as_chunks_mut::<4>().0.fill(pixel);
        }
    }

    fn width_of(&self, line: &str, size: f32) -> f32 {
        let font = self.font.as_scaled(PxScale::from(size));
        line.chars().map(|c| font.h_advance(font.glyph_id(c))).sum()
    }

    /// One line with its top left corner at `at`; nothing outside `within` is touched.
    fn text(&mut self, line: &str, at: Point, size: f32, rgb: [u8; 3], within: Rect) {
        let scale = PxScale::from(size);
        let scaled = self.font.as_scaled(scale);
        let baseline = at[1] + scaled.ascent();
        let mut x = at[0];
        for c in line.chars() {
            let id = scaled.glyph_id(c);
            let glyph = Glyph { id, scale, position: point(x, baseline) };
            x += scaled.h_advance(id);
            let Some(outlined) = self.font.outline_glyph(glyph) else { continue };
            let bounds = outlined.px_bounds();
            let layer = &mut self.layer;
            outlined.draw(|gx, gy, coverage| {
                let (px, py) = (bounds.min.x as i64 + i64::from(gx), bounds.min.y as i64 + i64::from(gy));
                let (Ok(px), Ok(py)) = (usize::try_from(px), usize::try_from(py)) else { return };
                if within.contains(px, py) {
                    let pixel = &mut layer.row_mut(py, px, px + 1).as_chunks_mut::<4>().0[0];
                    let ink = premultiplied(rgb, (coverage.clamp(0.0, 1.0) * 255.0).round() as u8);
                    *pixel = over(ink, u32::from_le_bytes(*pixel)).to_le_bytes();
                }
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn painted_outside(layer: &Layer, allowed: &[Rect]) -> usize {
        let count = |rect: &Rect| layer.rects.iter().map(|r| r.intersection(rect).area()).sum::<usize>();
        let area: usize = layer.rects.iter().map(Rect::area).sum();
        let painted = layer.data.chunks_exact(4).enumerate().filter(|(_, p)| p[3] > 0);
        let stray = painted.filter(|(i, _)| !allowed.iter().any(|a| a.contains(i % layer.width, i / layer.width))).count();
        stray + area - allowed.iter().map(count).sum::<usize>()
    }

    #[test]
    fn text_stays_in_the_declared_rectangles_which_stay_out_of_the_middle() {
        for (width, height) in [(1920, 1080), (1280, 720), (854, 480), (321, 241), (16, 16)] {
            let declared = declared_rects(width, height);
            for rect in &declared {
                assert!(rect.y1 * 10 <= height || (height - rect.y0) * 10 <= height, "outside the central 80 %");
            }
            let mut hud = Hud::new(width, height);
            let long = "a very long line that says far more than there is room for ".repeat(8);
            let text = HudText { top_left: vec![long.clone(); 9], bottom_left: vec![long; 9], banner: Some(Banner::AiOff) };
            assert!(hud.update(&text));
            assert_eq!(painted_outside(hud.layer(), &declared), 0, "{width}×{height}");
            assert!(height < 100 || !hud.layer().is_empty());
        }
    }

    #[test]
    fn it_is_painted_only_when_it_changes_and_goes_away_whole() {
        let mut hud = Hud::new(640, 360);
        let text = HudText { bottom_left: vec!["overlay age 20 ms".into()], ..HudText::default() };
        assert!(hud.update(&text));
        let before = hud.layer().data.clone();
        assert!(!hud.update(&text));
        assert!(hud.update(&HudText { banner: Some(Banner::NoSignal), ..HudText::default() }));
        assert_eq!(painted_outside(hud.layer(), &[no_signal_rect(640, 360)]), 0);
        assert!(hud.update(&HudText::default()));
        assert!(hud.layer().is_empty() && hud.layer().data.iter().all(|&b| b == 0));
        assert!(hud.update(&text) && hud.layer().data == before);
    }

    #[test]
    fn banners_differ_without_their_colour() {
        let shapes: Vec<Vec<bool>> = [Banner::AiOff, Banner::AiStale]
            .map(|banner| {
                let mut hud = Hud::new(1280, 720);
                hud.update(&HudText { banner: Some(banner), ..HudText::default() });
                hud.layer().data.chunks_exact(4).map(|p| p[1] > 128).collect()
            })
            .into();
        let differing = shapes[0].iter().zip(&shapes[1]).filter(|(a, b)| a != b).count();
        assert!(differing > 200, "{differing}");
    }
}
