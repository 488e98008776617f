//! From the model to a bitmap: egui lays the text out and makes triangles, `mesh` paints them. Text stands on plates that
//! keep it legible on any picture; what is painted lies inside plates, and plates lie inside the layout's rectangles.

use crate::base::hud::{Banner, PipMode, Status};
use crate::base::texts::{Language, Text};
use crate::display::hud::layout::Layout;
use crate::display::hud::mesh::Textures;
use crate::display::hud::sign;
use crate::overlay::{Layer, Rect};
use egui::epaint::{ClippedPrimitive, Primitive};
use egui::text::{LayoutJob, TextFormat, TextWrapping};
use egui::{Color32, Context, FontDefinitions, FontFamily, FontId, Galley, LayerId, Painter, RawInput, ViewportId, pos2, vec2};
use std::sync::Arc;

/// Font size for a picture of 1 row and its share of lines in a tenth of the picture: three.
const TEXT_PART: f32 = 0.0245;
const MARGIN_PART: f32 = 0.003;
pub(super) const TEXT_RGB: [u8; 3] = [240, 240, 240];
pub(super) const ALARM_RGB: [u8; 3] = [255, 196, 80];
pub(super) const GROUND_RGB: [u8; 3] = [10, 12, 16];
pub(super) const GROUND_ALPHA: u8 = 200;
/// Stands before an alarm.
const ALARM_SIGN: &str = "▲ ";
/// In a picture with fewer rows text would not be legible, and is left out.
const FEWEST_ROWS: f32 = 60.0;
/// The atlas may grow to this side, px: enough for banners on an 8K picture.
const ATLAS_SIDE: usize = 4096;
const LINES: usize = 3;

pub(super) struct Screen {
    context: Context,
    textures: Textures,
}

impl Screen {
    pub(super) fn new() -> Self {
        let context = Context::default();
        // Hack alone (MIT and Bitstream Vera licences): figures of one width do not dance.
        let mut fonts = FontDefinitions::default();
        fonts.font_data.retain(|name, _| name == "Hack");
        fonts.families.values_mut().for_each(|names| *names = vec!["Hack".to_owned()]);
        context.set_fonts(fonts);
        Screen { context, textures: Textures::default() }
    }

    #[cfg(test)]
    pub(super) fn context(&self) -> &Context {
        &self.context
    }

    /// Replaces what `layer` holds by what `status` says. Returns whether every text had room.
    pub(super) fn paint(&mut self, status: &Status, layer: &mut Layer) -> bool {
        layer.clear();
        let (width, height) = (layer.width, layer.height);
        let mut input = RawInput {
            screen_rect: Some(egui::Rect::from_min_size(egui::Pos2::ZERO, vec2(width as f32, height as f32))),
            max_texture_side: Some(ATLAS_SIDE),
            ..RawInput::default()
        };
        if let Some(viewport) = input.viewports.get_mut(&ViewportId::ROOT) {
            viewport.native_pixels_per_point = Some(1.0);
        }
        let (mut plates, mut has_room) = (Vec::new(), true);
        let mut output = self.context.run_pass(input, |context| {
            let mut page = Page::new(context, width, height, status.language);
            page.say(status);
            (plates, has_room) = (page.plates, page.has_room);
        });
        self.textures.take(&mut output.textures_delta);
        for ClippedPrimitive { clip_rect, primitive } in self.context.tessellate(output.shapes, 1.0) {
            if let Primitive::Mesh(mesh) = primitive {
                self.textures.paint(&mesh, whole_pixels(clip_rect), layer);
            }
        }
        self.textures.drop_freed(&mut output.textures_delta);
        // And room for a picture in picture, which the display thread adds.
        plates.reserve_exact(1);
        layer.rects = plates;
        has_room
    }
}

/// Plates have whole numbers as borders; so do the clips that are made of them.
fn whole_pixels(rect: egui::Rect) -> Rect {
    let whole = |v: f32| v.round().max(0.0) as usize;
    Rect { x0: whole(rect.min.x), y0: whole(rect.min.y), x1: whole(rect.max.x), y1: whole(rect.max.y) }
}

fn egui_rect(rect: Rect) -> egui::Rect {
    egui::Rect::from_min_max(pos2(rect.x0 as f32, rect.y0 as f32), pos2(rect.x1 as f32, rect.y1 as f32))
}

fn colour([r, g, b]: [u8; 3]) -> Color32 {
    Color32::from_rgb(r, g, b)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Left,
    Right,
}

/// One picture's worth of text under construction.
struct Page {
    painter: Painter,
    layout: Layout,
    language: Language,
    /// Height of a picture of this width and 16:9 shape, or its own if that is less, px.
    unit: f32,
    plates: Vec<Rect>,
    has_room: bool,
}

impl Page {
    fn new(context: &Context, width: usize, height: usize, language: Language) -> Self {
        let unit = (height as f32).min(width as f32 * 9.0 / 16.0);
        let painter = context.layer_painter(LayerId::background());
        Page { painter, layout: Layout::of(width, height), language, unit, plates: Vec::new(), has_room: true }
    }

    fn say(&mut self, status: &Status) {
        if self.unit < FEWEST_ROWS {
            return;
        }
        let (layout, language) = (self.layout, self.language);
        if let Some(banner) = status.banner() {
            match banner {
                Banner::NoSignal => self.banner(banner, layout.no_signal, 0.42),
                // Said whether it is wanted or not: a picture that is not live is never shown as if it were.
                Banner::FrozenPicture | Banner::BlackPicture => self.banner(banner, layout.banner, 0.6),
                Banner::AiOff | Banner::AiStale | Banner::AiUnknown if status.is_on => self.banner(banner, layout.banner, 0.6),
                Banner::AiOff | Banner::AiStale | Banner::AiUnknown => {}
            }
        }
        if let Some(caption) = status.pip.filter(|_| status.has_picture()) {
            let ink = if caption.mode == PipMode::Frozen { ALARM_RGB } else { TEXT_RGB };
            self.caption(&caption.words(language), layout.pip.caption, ink);
        }
        if !status.is_on {
            return;
        }
        let case = status.case.as_ref().map(|case| Text::Case.filled(language, case));
        let mut top_left = vec![(status.source_line(), TEXT_RGB), (status.ai_line(), TEXT_RGB)];
        top_left.extend(case.map(|case| (case, TEXT_RGB)));
        self.lines(top_left, layout.top_left, Side::Left, false);

        let mode = status.mode_line().to_owned();
        let mut top_right = vec![(mode, TEXT_RGB)];
        if status.is_recording {
            top_right.push((Text::Rec.of(language).to_owned(), TEXT_RGB));
        }
        self.lines(top_right, layout.top_right, Side::Right, false);

        let alarms = status.alarms().into_iter().take(LINES - 1);
        let mut bottom_left: Vec<_> = alarms.map(|alarm| (format!("{ALARM_SIGN}{}", alarm.of(language)), ALARM_RGB)).collect();
        if status.has_picture() {
            bottom_left.push((status.figures_line(), TEXT_RGB));
        }
        self.lines(bottom_left, layout.bottom_left, Side::Left, true);

        let ink = if status.is_armed { ALARM_RGB } else { TEXT_RGB };
        self.lines(vec![(status.overlay_line().to_owned(), ink)], layout.bottom_right, Side::Right, true);
    }

    fn galley(&mut self, text: String, size: f32, ink: [u8; 3], max_width: f32) -> Arc<Galley> {
        let format = TextFormat::simple(FontId::new(size, FontFamily::Monospace), colour(ink));
        let mut job = LayoutJob::single_section(text, format);
        job.wrap = TextWrapping::truncate_at_width(max_width);
        let galley = self.painter.layout_job(job);
        self.has_room &= !galley.elided;
        galley
    }

    /// A plate inside `within`; what is drawn with the painter that is returned stays on it.
    fn plate(&mut self, within: Rect, ground_alpha: u8) -> Painter {
        self.plates.push(within);
        let painter = self.painter.with_clip_rect(egui_rect(within));
        let [r, g, b] = GROUND_RGB;
        painter.rect_filled(egui_rect(within), 0.0, Color32::from_rgba_unmultiplied(r, g, b, ground_alpha));
        painter
    }

    fn lines(&mut self, lines: Vec<(String, [u8; 3])>, rect: Rect, side: Side, from_below: bool) {
        let (size, margin) = (TEXT_PART * self.unit, (MARGIN_PART * self.unit).ceil());
        let room = rect.width() as f32 - 6.0 * margin;
        let galleys: Vec<_> = lines.into_iter().take(LINES).map(|(text, ink)| self.galley(text, size, ink, room)).collect();
        let widest = galleys.iter().map(|galley| galley.size().x).fold(0.0, f32::max);
        let high: f32 = galleys.iter().map(|galley| galley.size().y.ceil()).sum();
        let (wide, high) = ((widest + 6.0 * margin).ceil() as usize, (high + 2.0 * margin).ceil() as usize);
        if widest == 0.0 || high > rect.height() {
            self.has_room &= widest == 0.0;
            return;
        }
        let wide = wide.min(rect.width());
        let (x0, y0) = (if side == Side::Left { rect.x0 } else { rect.x1 - wide }, if from_below { rect.y1 - high } else { rect.y0 });
        let plate = Rect { x0, y0, x1: x0 + wide, y1: y0 + high };
        let painter = self.plate(plate, GROUND_ALPHA);
        let mut y = plate.y0 as f32 + margin;
        for galley in galleys {
            let x = match side {
                Side::Left => plate.x0 as f32 + 3.0 * margin,
                Side::Right => plate.x1 as f32 - 3.0 * margin - galley.size().x,
            };
            let high = galley.size().y.ceil();
            painter.galley(pos2(x.round(), y), galley, Color32::PLACEHOLDER);
            y += high;
        }
    }

    /// Sign and words in the middle of `rect`, `part` of its height high, or as large as fits its width.
    fn banner(&mut self, banner: Banner, rect: Rect, part: f32) {
        let ink = sign::ink(banner);
        let wish = rect.height() as f32 * part;
        let words = banner.text().of(self.language).to_owned();
        // The sign is as high as a capital letter with its line, and stands half its width before the words.
        let sign_and_gap = |size: f32| size * 1.5;
        let natural = self.galley(words.clone(), wish, ink, f32::INFINITY).size().x + sign_and_gap(wish);
        let size = wish * (rect.width() as f32 * 0.94 / natural).min(1.0);
        let galley = self.galley(words, size, ink, f32::INFINITY);
        let (wide, high) = (galley.size().x + sign_and_gap(size) + size * 0.5, galley.size().y * 1.08);
        let middle = egui_rect(rect).center();
        let ground = egui::Rect::from_center_size(middle, vec2(wide, high));
        let plate = Rect {
            x0: ground.min.x.floor().max(0.0) as usize,
            y0: ground.min.y.floor().max(0.0) as usize,
            x1: ground.max.x.ceil() as usize,
            y1: ground.max.y.ceil() as usize,
        };
        self.has_room &= plate.intersection(&rect) == plate;
        let plate = plate.intersection(&rect);
        let painter = self.plate(plate, GROUND_ALPHA);
        let left = middle.x - wide / 2.0 + size * 0.25;
        let square = egui::Rect::from_center_size(pos2(left + size * 0.5, middle.y), vec2(size, size) * 0.86);
        sign::draw(&painter, banner, square, colour(ink));
        let at = pos2((left + sign_and_gap(size)).round(), (middle.y - galley.size().y / 2.0).round());
        painter.galley(at, galley, Color32::PLACEHOLDER);
    }

    /// Words that fill a plate over the whole of `rect`.
    fn caption(&mut self, words: &str, rect: Rect, ink: [u8; 3]) {
        let wish = rect.height() as f32 * 0.74;
        let natural = self.galley(words.to_owned(), wish, ink, f32::INFINITY).size().x;
        let size = wish * (rect.width() as f32 * 0.94 / natural).min(1.0);
        let galley = self.galley(words.to_owned(), size, ink, f32::INFINITY);
        let painter = self.plate(rect, 255);
        let at = egui_rect(rect).center() - galley.size() / 2.0;
        painter.galley(pos2(at.x.round(), at.y.round()), galley, Color32::PLACEHOLDER);
    }
}
