//! From the model to bitmaps: egui lays the text out and makes triangles, `mesh` paints them. Text stands on plates that
//! keep it legible on any picture; what is painted lies inside plates, and plates lie inside the rectangles of the layout,
//! or of the bars beside the picture where it leaves any.

use crate::base::hud::{Alarm, Banner, PipMode, Recording, Status};
use crate::base::texts::{Language, Text};
use crate::display::hud::Sheet;
use crate::display::hud::bars::{Bars, LETTER_WIDTH};
use crate::display::hud::layout::{FEWEST_ROWS, Layout, PAD_PART, TEXT_PART, margin_px};
use crate::display::hud::mesh::Textures;
use crate::display::hud::sign;
use crate::overlay::{Layer, Rect};
use egui::epaint::{ClippedPrimitive, Primitive};
use egui::text::{LayoutJob, TextFormat, TextWrapping};
use egui::{Color32, Context, FontDefinitions, FontFamily, FontId, Galley, LayerId, Painter, RawInput, ViewportId, pos2, vec2};
use std::sync::Arc;

pub(super) const TEXT_RGB: [u8; 3] = [240, 240, 240];
pub(super) const ALARM_RGB: [u8; 3] = [255, 196, 80];
pub(super) const REC_RGB: [u8; 3] = [255, 120, 110];
pub(super) const GROUND_RGB: [u8; 3] = [10, 12, 16];
pub(super) const GROUND_ALPHA: u8 = 216;
/// Stand before an alarm: it lasts; it lasts and is known; it has passed.
const ALARM_SIGN: &str = "▲ ";
const KNOWN_SIGN: &str = "△ ";
const PAST_SIGN: &str = "▽ ";
/// Stand before what is said of a recording: it runs, it was ended.
const REC_SIGN: &str = "● ";
const ENDED_SIGN: &str = "■ ";
/// The atlas may grow to this side, px: enough for banners on an 8K picture.
const ATLAS_SIDE: usize = 4096;
/// Of a panel over the picture.
const LINES: usize = 3;
/// Alarms that are said in words; of more than these only the number.
const ALARMS: usize = 2;
/// Between two texts in a line.
const GAP: &str = "   ";
/// Between two texts in a column, in parts of a line.
const PARAGRAPH: f32 = 0.35;
/// Height of a banner's letters beside the picture at most, in parts of the screen's.
const BANNER_PART: f32 = 0.06;

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

    /// Replaces what `sheet` holds by what `status` says. Returns whether every text had room.
    pub(super) fn paint(&mut self, status: &Status, sheet: &mut Sheet) -> bool {
        let layout = Layout::of(sheet.over.width, sheet.over.height);
        let bars = sheet.bars;
        let mut has_room = self.paint_layer(&mut sheet.over, status.language, |page| {
            page.say_over(status, &layout);
            if bars.is_none() {
                page.say_panels(status, &Panels::over(&layout, page.unit));
            }
        });
        sheet.beside.clear();
        if let Some(bars) = &bars {
            has_room &= self.paint_layer(&mut sheet.beside, status.language, |page| page.say_panels(status, &Panels::beside(bars)));
        }
        // And room for a picture in picture, which the display thread adds.
        sheet.over.rects.reserve_exact(1);
        has_room
    }

    fn paint_layer(&mut self, layer: &mut Layer, language: Language, mut say: impl FnMut(&mut Page)) -> bool {
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
            let mut page = Page::new(context, width, height, language);
            if page.unit >= FEWEST_ROWS {
                say(&mut page);
            }
            (plates, has_room) = (page.plates, page.has_room);
        });
        self.textures.take(&mut output.textures_delta);
        for ClippedPrimitive { clip_rect, primitive } in self.context.tessellate(output.shapes, 1.0) {
            if let Primitive::Mesh(mesh) = primitive {
                self.textures.paint(&mesh, whole_pixels(clip_rect), layer);
            }
        }
        self.textures.drop_freed(&mut output.textures_delta);
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

fn sign_of(alarm: &Alarm) -> &'static str {
    match (alarm.was, alarm.is_acknowledged) {
        (Some(_), _) => PAST_SIGN,
        (None, true) => KNOWN_SIGN,
        (None, false) => ALARM_SIGN,
    }
}

/// What lasts has the alarm's colour, known or not.
fn ink_of(alarm: &Alarm) -> [u8; 3] {
    if alarm.was.is_some() { TEXT_RGB } else { ALARM_RGB }
}

/// A text in one line, in parts of one colour.
type Line = Vec<(String, [u8; 3])>;

fn line(text: impl Into<String>, ink: [u8; 3]) -> Line {
    vec![(text.into(), ink)]
}

/// At most `count` lines, by putting the shortest neighbours into one.
fn folded(mut lines: Vec<Line>, count: usize) -> Vec<Line> {
    let letters = |line: &Line| line.iter().map(|(text, _)| text.chars().count()).sum::<usize>();
    while lines.len() > count.max(1) {
        let pairs = lines.windows(2).map(|pair| letters(&pair[0]) + letters(&pair[1])).enumerate();
        let Some((at, _)) = pairs.min_by_key(|&(_, both)| both) else { break };
        let next = lines.remove(at + 1);
        lines[at].push((GAP.to_owned(), TEXT_RGB));
        lines[at].extend(next);
    }
    lines
}

/// Where the panels stand: over the picture's rim, or beside it.
struct Panels {
    top_left: Rect,
    banner: Rect,
    top_right: Rect,
    bottom_left: Rect,
    bottom_right: Rect,
    text_px: f32,
    lines: usize,
    is_columns: bool,
}

impl Panels {
    fn over(layout: &Layout, unit: f32) -> Self {
        let Layout { top_left, banner, top_right, bottom_left, bottom_right, .. } = *layout;
        Panels { top_left, banner, top_right, bottom_left, bottom_right, text_px: TEXT_PART * unit, lines: LINES, is_columns: false }
    }

    fn beside(bars: &Bars) -> Self {
        let Bars { top_left, banner, top_right, bottom_left, bottom_right, text_px, lines, is_columns, .. } = *bars;
        Panels { top_left, banner, top_right, bottom_left, bottom_right, text_px, lines, is_columns }
    }
}

impl Panels {
    /// Alarms that share a line are read whole: of one that would be cut, only the number is said.
    fn has_room_for(&self, lines: &[Line]) -> bool {
        let letters: usize = lines.iter().flatten().map(|(text, _)| text.chars().count() + GAP.len()).sum();
        // And as many more as "+12" takes.
        (letters + 4) as f32 * LETTER_WIDTH * self.text_px <= self.bottom_left.width() as f32 - 2.0 * PAD_PART * self.text_px
    }
}

/// One bitmap's worth of text under construction.
struct Page {
    painter: Painter,
    language: Language,
    /// Height of a bitmap of this width and 16:9 shape, or its own if that is less, px.
    unit: f32,
    plates: Vec<Rect>,
    has_room: bool,
}

impl Page {
    fn new(context: &Context, width: usize, height: usize, language: Language) -> Self {
        let unit = (height as f32).min(width as f32 * 9.0 / 16.0);
        let painter = context.layer_painter(LayerId::background());
        Page { painter, language, unit, plates: Vec::new(), has_room: true }
    }

    /// What is said over the picture, wherever the panels stand: what is wrong with the picture itself, and what a picture
    /// in picture is.
    fn say_over(&mut self, status: &Status, layout: &Layout) {
        match status.banner() {
            Some(banner @ Banner::NoSignal) => self.banner(banner, layout.no_signal, 0.42),
            // Said whether it is wanted or not: a picture that is not live is never shown as if it were.
            Some(banner @ (Banner::FrozenPicture | Banner::BlackPicture | Banner::FaultyPicture)) => {
                self.banner(banner, layout.banner, 0.6)
            }
            Some(Banner::AiOff | Banner::AiStale | Banner::AiUnknown) | None => {}
        }
        if let Some(caption) = status.pip.filter(|_| status.has_picture()) {
            let ink = if caption.mode == PipMode::Frozen { ALARM_RGB } else { TEXT_RGB };
            self.caption(&caption.words(self.language), layout.pip.caption, ink);
        }
    }

    fn say_panels(&mut self, status: &Status, panels: &Panels) {
        if !status.is_on {
            return;
        }
        let language = self.language;
        if let Some(banner @ (Banner::AiOff | Banner::AiStale | Banner::AiUnknown)) = status.banner() {
            if panels.is_columns { self.banner_column(banner, panels.banner) } else { self.banner(banner, panels.banner, 0.6) }
        }
        self.panel(
            vec![line(status.source_line(), TEXT_RGB), line(status.ai_line(), TEXT_RGB)],
            panels,
            panels.top_left,
            Side::Left,
            false,
        );

        let mut top_right = vec![line(status.mode_line(), TEXT_RGB)];
        top_right.extend(status.case.as_ref().map(|case| line(Text::Case.filled(language, case), TEXT_RGB)));
        if let Some(words) = status.recording_line() {
            let (sign, sign_ink, ink) = match status.recording {
                Recording::Off | Recording::Running { .. } => (REC_SIGN, REC_RGB, TEXT_RGB),
                Recording::Ended { .. } => (ENDED_SIGN, TEXT_RGB, TEXT_RGB),
                Recording::Failed => (ALARM_SIGN, ALARM_RGB, ALARM_RGB),
            };
            top_right.push(vec![(sign.to_owned(), sign_ink), (words, ink)]);
        }
        self.panel(top_right, panels, panels.top_right, Side::Right, false);

        // Lines for what is wrong: the last one is the figures'.
        let room = if panels.is_columns { usize::MAX } else { panels.lines - 1 };
        let said = status.alarms.iter().map(|alarm| line(format!("{}{}", sign_of(alarm), alarm.words(language)), ink_of(alarm)));
        let mut bottom_left: Vec<Line> = said.take(ALARMS).collect();
        if bottom_left.len() > room && !panels.has_room_for(&bottom_left) {
            bottom_left.truncate(room);
        }
        let more = status.alarms.len() - bottom_left.len();
        if let Some(last) = bottom_left.last_mut().filter(|_| more > 0) {
            last.push((format!("\u{a0}\u{a0}+{more}"), ALARM_RGB));
        }
        // What is no alarm never takes an alarm's room.
        let room = room.saturating_sub(bottom_left.len());
        bottom_left.extend(status.notices().into_iter().take(room).map(|notice| line(notice.of(language), TEXT_RGB)));
        let figures = if status.has_picture() { status.figures().to_vec() } else { Vec::new() };
        if panels.is_columns {
            bottom_left.extend(figures.into_iter().map(|figure| line(figure, TEXT_RGB)));
        } else if !figures.is_empty() {
            // Alarms share a line before the figures share one with them.
            bottom_left = folded(bottom_left, panels.lines - 1);
            bottom_left.push(line(figures.join(GAP), TEXT_RGB));
        }
        self.panel(bottom_left, panels, panels.bottom_left, Side::Left, true);

        let ink = if status.is_armed { ALARM_RGB } else { TEXT_RGB };
        self.panel(vec![line(status.overlay_line(), ink)], panels, panels.bottom_right, Side::Right, true);
    }

    fn galley(&mut self, line: Line, size: f32, wrap: TextWrapping) -> Arc<Galley> {
        let mut job = LayoutJob { wrap, ..LayoutJob::default() };
        for (text, ink) in line {
            job.append(&text, 0.0, TextFormat::simple(FontId::new(size, FontFamily::Monospace), colour(ink)));
        }
        let galley = self.painter.layout_job(job);
        self.has_room &= !galley.elided;
        galley
    }

    /// One line, as long as it is.
    fn words(&mut self, words: &str, size: f32, ink: [u8; 3]) -> Arc<Galley> {
        self.galley(line(words, ink), size, TextWrapping::truncate_at_width(f32::INFINITY))
    }

    /// A plate inside `within`; what is drawn with the painter that is returned stays on it.
    fn plate(&mut self, within: Rect, ground_alpha: u8) -> Painter {
        self.plates.push(within);
        let painter = self.painter.with_clip_rect(egui_rect(within));
        let [r, g, b] = GROUND_RGB;
        painter.rect_filled(egui_rect(within), 0.0, Color32::from_rgba_unmultiplied(r, g, b, ground_alpha));
        painter
    }

    /// Lines in a corner of `rect`. Those that have no room are left out, the last first.
    fn panel(&mut self, lines: Vec<Line>, panels: &Panels, rect: Rect, side: Side, from_below: bool) {
        let (size, margin) = (panels.text_px, margin_px(self.unit));
        let pad = (PAD_PART * size).floor();
        let width = rect.width() as f32 - 2.0 * pad;
        let lines = if panels.is_columns { lines } else { folded(lines, panels.lines) };
        let wrap = if panels.is_columns { TextWrapping::wrap_at_width(width) } else { TextWrapping::truncate_at_width(width) };
        let mut galleys: Vec<_> = lines.into_iter().map(|line| self.galley(line, size, wrap.clone())).collect();
        let gap = if panels.is_columns { (PARAGRAPH * size).ceil() } else { 0.0 };
        let high = |galleys: &[Arc<Galley>]| {
            let lines: f32 = galleys.iter().map(|galley| galley.size().y.floor() + gap).sum();
            (lines - gap + 2.0 * margin).ceil().max(0.0) as usize
        };
        while !galleys.is_empty() && high(&galleys) > rect.height() {
            galleys.pop();
            self.has_room = false;
        }
        let widest = galleys.iter().map(|galley| galley.size().x).fold(0.0, f32::max);
        if widest == 0.0 {
            return;
        }
        let high = high(&galleys);
        let wide = ((widest + 2.0 * pad).ceil() as usize).min(rect.width());
        let (x0, y0) = (if side == Side::Left { rect.x0 } else { rect.x1 - wide }, if from_below { rect.y1 - high } else { rect.y0 });
        let plate = Rect { x0, y0, x1: x0 + wide, y1: y0 + high };
        let painter = self.plate(plate, GROUND_ALPHA);
        let mut y = plate.y0 as f32 + margin;
        for galley in galleys {
            let x = match side {
                Side::Right if !panels.is_columns => plate.x1 as f32 - pad - galley.size().x,
                Side::Left | Side::Right => plate.x0 as f32 + pad,
            };
            let high = galley.size().y.floor() + gap;
            painter.galley(pos2(x.round(), y), galley, Color32::PLACEHOLDER);
            y += high;
        }
    }

    /// A sign, and below it the words, each on a line of its own, in the middle of a column.
    fn banner_column(&mut self, banner: Banner, rect: Rect) {
        let ink = sign::ink(banner);
        let words: Vec<&str> = banner.text().of(self.language).split(' ').collect();
        let wish = BANNER_PART * self.unit;
        let natural = words.iter().map(|word| self.words(word, wish, ink).size().x).fold(1.0, f32::max);
        let size = wish * (rect.width() as f32 * 0.84 / natural).min(1.0);
        let galleys: Vec<_> = words.iter().map(|word| self.words(word, size, ink)).collect();
        let sign_px = 1.8 * size;
        let high = galleys.iter().map(|galley| galley.size().y).sum::<f32>() + sign_px + 1.2 * size;
        let middle = egui_rect(rect).center();
        let plate = Rect { y0: (middle.y - high / 2.0).floor().max(0.0) as usize, y1: (middle.y + high / 2.0).ceil() as usize, ..rect };
        self.has_room &= plate.intersection(&rect) == plate;
        let painter = self.plate(plate.intersection(&rect), GROUND_ALPHA);
        let square = egui::Rect::from_center_size(pos2(middle.x, plate.y0 as f32 + 0.4 * size + sign_px / 2.0), vec2(sign_px, sign_px));
        sign::draw(&painter, banner, square, colour(ink));
        let mut y = square.max.y + 0.3 * size;
        for galley in galleys {
            let at = pos2((middle.x - galley.size().x / 2.0).round(), y.round());
            y += galley.size().y;
            painter.galley(at, galley, Color32::PLACEHOLDER);
        }
    }

    /// Sign and words in the middle of `rect`, `part` of its height high, or as large as fits its width.
    fn banner(&mut self, banner: Banner, rect: Rect, part: f32) {
        let ink = sign::ink(banner);
        let wish = rect.height() as f32 * part;
        let words = banner.text().of(self.language);
        // The sign is as high as a capital letter with its line, and stands half its width before the words.
        let sign_and_gap = |size: f32| size * 1.5;
        let natural = self.words(words, wish, ink).size().x + sign_and_gap(wish) + wish * 0.5;
        let size = wish * (rect.width() as f32 * 0.94 / natural).min(1.0);
        let galley = self.words(words, size, ink);
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
        let natural = self.words(words, wish, ink).size().x;
        let size = wish * (rect.width() as f32 * 0.94 / natural).min(1.0);
        let galley = self.words(words, size, ink);
        let painter = self.plate(rect, 255);
        let at = egui_rect(rect).center() - galley.size() / 2.0;
        painter.galley(pos2(at.x.round(), at.y.round()), galley, Color32::PLACEHOLDER);
    }
}
