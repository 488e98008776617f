//! From a draw list to a layer: order, line styles, tints, tip marks, and what there is room for. Corners, edge marks,
//! names and the rim are `marks`; how lines and areas become pixels is `raster`'s matter.
//!
//! Order: tissues, then everything inside an instrument is erased, then instruments, findings, marks and names: tissue is
//! never painted over an instrument. Sure: solid line. Unsure: dashed. Unknown: instruments as grey strokes across their
//! edge, without line and tip, tissues and findings not at all; a whole frame: a hatched rim, and nothing else.

use crate::base::classes::ClassKind;
use crate::overlay::blend::{over, premultiplied};
use crate::overlay::budget::{Budget, Rank};
use crate::overlay::coverage::covered_px;
use crate::overlay::draw::{DrawList, Shape};
use crate::overlay::lettering::Lettering;
use crate::overlay::raster::{Pen, Point, Raster, clip};
use crate::overlay::style::{Style, UNKNOWN_RGB};
use crate::overlay::{Layer, OverlayMode, Rect, Tiles};
use crate::scene::Trust;

/// In pixels of a picture of 1080 rows.
const CASING_PX: f32 = 1.25;
/// Corners stand alone on whatever is there: a heavier casing.
const FINDING_CASING: f32 = 1.8;
pub(super) const DASHES_PX: [f32; 2] = [12.0, 9.0];
const TIP_RADIUS_PX: f32 = 11.0;
const TIP_DOT_PX: f32 = 2.5;
pub(super) const HATCH_PX: f32 = 18.0;
const STROKE_PX: f32 = 16.0;
const TIP_SIDES: usize = 24;

/// Paints draw lists into layers of one size; keeps its memory.
#[derive(Debug)]
pub struct Painter {
    pub(super) raster: Raster,
    pub(super) touched: Tiles,
    pub(super) lettering: Lettering,
    /// Where names stand already.
    pub(super) names: Vec<Rect>,
    budget: Budget,
}

/// Paints into a fresh layer's memory; for tests and single pictures. A `Painter` keeps its memory.
pub fn paint(list: &DrawList, layer: &mut Layer) {
    Painter::new(layer.width, layer.height).paint(list, layer);
}

/// The budget's name for names and edge marks.
const WORDS: usize = usize::MAX;

impl Painter {
    pub fn new(width: usize, height: usize) -> Self {
        Painter {
            raster: Raster::new(width, height),
            touched: Tiles::new(width, height),
            lettering: Lettering::new(height),
            names: Vec::with_capacity(16),
            budget: Budget::default(),
        }
    }

    /// Replaces what `layer` holds. A list or layer of another size than this painter's leaves it empty: an overlay
    /// of another picture is never stretched over this one.
    pub fn paint(&mut self, list: &DrawList, layer: &mut Layer) {
        layer.clear();
        let (width, height) = self.raster.size();
        let same_size = (layer.width, layer.height) == (width, height) && list.picture.map(|side| side as usize) == [width, height];
        if !same_size || list.style.mode == OverlayMode::Off {
            return;
        }
        let area_px = width * height;
        self.budget.start(if list.content_px == 0 { area_px } else { list.content_px.min(area_px) });
        if list.style.mode == OverlayMode::Outline {
            for (index, shape) in list.shapes.iter().enumerate().filter(|(_, shape)| is_drawn(shape)) {
                let cost_px = self.cost_px(list, shape);
                self.budget.add(Rank::of(shape), cost_px, index);
            }
            let words_px = self.words_px(list);
            self.budget.add(Rank::Words, words_px, WORDS);
            self.budget.settle();
        }
        loop {
            self.touched.clear();
            self.draw(list, layer);
            self.touched.write_rects(&mut layer.rects);
            if list.is_unknown || self.budget.accepts(if list.style.mode == OverlayMode::Outline { covered_px(layer) } else { 0 }) {
                return;
            }
            layer.clear();
        }
    }

    fn draw(&mut self, list: &DrawList, layer: &mut Layer) {
        if list.is_unknown {
            self.rim(list, layer);
            return;
        }
        let all = || list.shapes.iter().enumerate();
        let is_instrument = |shape: &Shape| shape.kind == ClassKind::Instrument;
        for (index, shape) in all().filter(|(_, shape)| shape.kind == ClassKind::Tissue && is_drawn(shape)) {
            if !self.budget.is_left_out(index) {
                self.shape(list, shape, layer);
            }
        }
        for (_, shape) in all().filter(|(_, shape)| is_instrument(shape)) {
            self.raster.area(list.contours(shape), |y, x0, x1| layer.row_mut(y, x0, x1).fill(0));
        }
        for (index, shape) in all().filter(|(_, shape)| shape.kind != ClassKind::Tissue && is_drawn(shape)) {
            if self.budget.is_left_out(index) {
                continue;
            }
            if shape.trust == Trust::Unknown && shape.corners.is_none() {
                self.hatch(list, shape, layer);
            } else {
                self.shape(list, shape, layer);
            }
        }
        if !self.budget.is_left_out(WORDS) {
            self.edge_marks(list, layer);
            self.names(list, layer);
        }
    }

    pub(super) fn pen(&self, style: &Style, kind: ClassKind, rgb: [u8; 3]) -> Pen {
        let height = self.raster.size().1;
        let core_radius = 0.5 * style.line_width_px(kind, height);
        let part = if kind == ClassKind::Finding { FINDING_CASING } else { 1.0 };
        let casing = (CASING_PX * Style::scale(height)).max(0.6) * part;
        Pen { core_radius, casing_radius: core_radius + casing, rgb, opacity: level(style.opacity) }
    }

    /// About how many pixels a shape's lines cover; crossings and joints count twice.
    fn cost_px(&self, list: &DrawList, shape: &Shape) -> f32 {
        let (width, height) = self.raster.size();
        let pen = self.pen(&list.style, shape.kind, shape.rgb);
        let across = 2.0 * pen.reach();
        let seen =
            |a: Point, b: Point| clip(a, b, [0.0; 2], [width as f32, height as f32]).map_or(0.0, |(a, b)| (b[0] - a[0]).hypot(b[1] - a[1]));
        let length: f32 = list.contours(shape).flat_map(closed).map(|(a, b)| seen(a, b)).sum();
        let lines_px = match shape.trust {
            Trust::Sure => length * across,
            Trust::Unsure => length * across * (DASHES_PX[0] / (DASHES_PX[0] + DASHES_PX[1]) + 0.1),
            Trust::Unknown => length * across * (STROKE_PX / HATCH_PX + 0.1),
        };
        let scale = Style::scale(height);
        let tip_px = if shape.tip.is_some() { std::f32::consts::TAU * (TIP_RADIUS_PX * scale).max(4.0) * across } else { 0.0 };
        lines_px + tip_px + shape.corners.map_or(0.0, |corners| 8.0 * self.arm_px(corners) * across)
    }

    fn shape(&mut self, list: &DrawList, shape: &Shape, layer: &mut Layer) {
        let scale = Style::scale(layer.height);
        if list.style.mode == OverlayMode::Fill {
            let tint = premultiplied(shape.rgb, level(list.style.fill_opacity));
            let touched = &mut self.touched;
            self.raster.area(list.contours(shape), |y, x0, x1| {
                touched.mark(Rect { x0, y0: y, x1, y1: y + 1 });
                for pixel in layer.row_mut(y, x0, x1).as_chunks_mut::<4>().0 {
                    *pixel = over(tint, u32::from_le_bytes(*pixel)).to_le_bytes();
                }
            });
        }
        let pen = self.pen(&list.style, shape.kind, if shape.trust == Trust::Unknown { UNKNOWN_RGB } else { shape.rgb });
        for contour in list.contours(shape) {
            match shape.trust {
                Trust::Sure => closed(contour).for_each(|(a, b)| self.raster.line(a, b, &pen)),
                Trust::Unsure | Trust::Unknown => self.dashed(closed(contour), DASHES_PX.map(|px| px * scale), &pen),
            }
        }
        if let Some(corners) = shape.corners {
            self.corners(corners, shape.trust, &pen);
        }
        let tip = shape.tip.filter(|_| shape.trust != Trust::Unknown);
        if let Some(tip) = tip {
            let radius = (TIP_RADIUS_PX * scale).max(4.0);
            let on_ring = |i: usize| {
                let angle = i as f32 / TIP_SIDES as f32 * std::f32::consts::TAU;
                [tip[0] + radius * angle.cos(), tip[1] + radius * angle.sin()]
            };
            (0..TIP_SIDES).for_each(|i| self.raster.line(on_ring(i), on_ring(i + 1), &pen));
        }
        self.raster.finish(&pen, layer, &mut self.touched);
        if let Some(tip) = tip {
            let core_radius = (TIP_DOT_PX * scale).max(1.0);
            let dot = Pen { core_radius, casing_radius: core_radius + pen.casing_radius - pen.core_radius, ..pen };
            self.raster.line(tip, tip, &dot);
            self.raster.finish(&dot, layer, &mut self.touched);
        }
    }

    pub(super) fn dashed(&mut self, lines: impl Iterator<Item = (Point, Point)>, on_off: [f32; 2], pen: &Pen) {
        let period = on_off[0] + on_off[1];
        let (width, height) = self.raster.size();
        let mut at = 0.0;
        for (a, b) in lines {
            // Only what can be seen is dashed: a contour may run far outside.
            let high = [width as f32 + period, height as f32 + period];
            let Some((a, b)) = clip(a, b, [-period, -period], high) else { continue };
            let length = (b[0] - a[0]).hypot(b[1] - a[1]);
            let point = |way: f32| [a[0] + (b[0] - a[0]) * way / length, a[1] + (b[1] - a[1]) * way / length];
            let mut way = 0.0;
            while way < length {
                let (is_on, left) = if at < on_off[0] { (true, on_off[0] - at) } else { (false, period - at) };
                let until = (way + left).min(length);
                if is_on {
                    self.raster.line(point(way), point(until), pen);
                }
                at += until - way;
                if at >= period - 1e-3 {
                    at = 0.0;
                }
                // Progress even where `left` vanishes in the rounding.
                way = if until > way { until } else { way + 1.0 };
            }
        }
    }

    /// Short strokes across a contour, slanted, without a line: something is there, and not more is known.
    fn hatch(&mut self, list: &DrawList, shape: &Shape, layer: &mut Layer) {
        let pen = self.pen(&list.style, shape.kind, UNKNOWN_RGB);
        let scale = Style::scale(layer.height);
        let (step, half) = ((HATCH_PX * scale).max(4.0 * pen.reach()), (0.5 * STROKE_PX * scale).max(pen.reach()));
        let (width, height) = self.raster.size();
        for contour in list.contours(shape) {
            let mut until_next = 0.0;
            for (a, b) in closed(contour) {
                let high = [width as f32 + step, height as f32 + step];
                let Some((a, b)) = clip(a, b, [-step, -step], high) else { continue };
                let length = (b[0] - a[0]).hypot(b[1] - a[1]);
                if length < 1e-3 {
                    continue;
                }
                let along = [(b[0] - a[0]) / length, (b[1] - a[1]) / length];
                // 60° to the contour.
                let across = [0.5 * along[0] - 0.866 * along[1], 0.866 * along[0] + 0.5 * along[1]].map(|v| v * half);
                let strokes = if length > until_next { ((length - until_next) / step) as usize + 1 } else { 0 };
                for stroke in 0..strokes {
                    let way = until_next + stroke as f32 * step;
                    let at = [a[0] + along[0] * way, a[1] + along[1] * way];
                    self.raster.line([at[0] - across[0], at[1] - across[1]], [at[0] + across[0], at[1] + across[1]], &pen);
                }
                until_next = until_next + strokes as f32 * step - length;
            }
        }
        self.raster.finish(&pen, layer, &mut self.touched);
    }
}

/// Is there anything to be drawn of it? Tissues and findings that are unknown are not spoken of.
fn is_drawn(shape: &Shape) -> bool {
    !shape.is_hidden && (shape.trust != Trust::Unknown || shape.kind == ClassKind::Instrument)
}

fn closed(contour: &[Point]) -> impl Iterator<Item = (Point, Point)> + '_ {
    contour.iter().enumerate().map(|(i, &a)| (a, contour[(i + 1) % contour.len()]))
}

pub(super) fn level(opacity: f32) -> u8 {
    (opacity.clamp(0.0, 1.0) * 255.0).round() as u8
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::overlay::draw::tests::{departed, scene, tissue, track};
    use crate::overlay::{Settings, testing};
    use crate::scene::Scene;
    use proptest::prelude::*;

    pub const STILL: &dyn Fn(&crate::scene::Track) -> [f32; 2] = &|_| [0.0; 2];

    pub fn style(mode: OverlayMode) -> Style {
        Style::of(&Settings { mode, ..Settings::default() })
    }

    pub fn painted(scene: &Scene, mode: OverlayMode) -> Layer {
        let mut layer = Layer::new(scene.picture[0] as usize, scene.picture[1] as usize);
        paint(&DrawList::from_scene(scene, &style(mode), STILL), &mut layer);
        check(&layer);
        layer
    }

    /// What everybody who reads a layer relies on.
    pub fn check(layer: &Layer) {
        let mut inside = vec![false; layer.width * layer.height];
        for rect in &layer.rects {
            assert!(!rect.is_empty() && rect.x1 <= layer.width && rect.y1 <= layer.height);
            for y in rect.y0..rect.y1 {
                for inside in &mut inside[y * layer.width + rect.x0..y * layer.width + rect.x1] {
                    assert!(!std::mem::replace(inside, true), "two rectangles overlap");
                }
            }
        }
        for (pixel, inside) in layer.data.chunks_exact(4).zip(inside) {
            assert!(pixel[..3].iter().all(|c| *c <= pixel[3]), "not premultiplied");
            assert!(inside || pixel == [0; 4], "painted outside the rectangles");
        }
    }

    #[test]
    fn tissue_is_never_painted_over_an_instrument() {
        for mode in [OverlayMode::Outline, OverlayMode::Fill] {
            for state in [Trust::Sure, Trust::Unsure] {
                let mut scene = scene(640, 360);
                scene.tissues.iter_mut().for_each(|tissue| tissue.state = state);
                let with_tissue = painted(&scene, mode);
                scene.tissues.clear();
                let instruments_only = painted(&scene, mode);
                let mut inside = 0;
                let list = DrawList::from_scene(&scene, &style(mode), STILL);
                for shape in &list.shapes {
                    Raster::new(640, 360).area(list.contours(shape), |y, x0, x1| {
                        inside += x1 - x0;
                        assert_eq!(with_tissue.row(y, x0, x1), instruments_only.row(y, x0, x1));
                    });
                }
                assert!(inside > 1000 && with_tissue.data != instruments_only.data);
            }
        }
    }

    /// A picture of few columns or rows is painted like any other: the display thread must not end by it.
    #[test]
    fn the_smallest_and_the_narrowest_pictures_can_be_painted() {
        for (width, height) in [(16, 16), (17, 23), (39, 200), (16, 4096), (4096, 16)] {
            for line_width_px_at_1080 in [0.5, 2.0, 16.0] {
                for frame_state in [Trust::Sure, Trust::Unknown] {
                    let mut scene = scene(width, height);
                    scene.frame_state = frame_state;
                    scene.departed = vec![departed([0.0, 3.0], 0), departed([width as f32, height as f32], 0)];
                    let style = Style { labels: true, ..Style::of(&Settings { line_width_px_at_1080, ..Settings::default() }) };
                    let mut list = DrawList::from_scene(&scene, &style, STILL);
                    list.set_departed(&scene, 1_000_000_000);
                    let mut layer = Layer::new(width as usize, height as usize);
                    paint(&list, &mut layer);
                    check(&layer);
                }
            }
        }
    }

    #[test]
    fn off_paints_nothing_and_outline_covers_little() {
        let scene = scene(1920, 1080);
        assert!(painted(&scene, OverlayMode::Off).is_empty());
        let alpha = |layer: &Layer| layer.data.chunks_exact(4).filter(|p| p[3] > 0).count() as f32 / (1920.0 * 1080.0);
        let (outline, fill) = (alpha(&painted(&scene, OverlayMode::Outline)), alpha(&painted(&scene, OverlayMode::Fill)));
        assert!((0.005..0.06).contains(&outline) && (0.3..0.9).contains(&fill), "{outline} {fill}");
    }

    #[test]
    fn less_trust_is_less_line_and_unknown_has_no_tip() {
        let coverage = |state: Trust| {
            let mut scene = scene(1280, 720);
            scene.tissues.clear();
            scene.tracks.truncate(1);
            scene.tracks[0].tip = None;
            scene.tracks[0].state = state;
            painted(&scene, OverlayMode::Outline).data.chunks_exact(4).filter(|p| p[3] > 0).count()
        };
        let (sure, unsure, unknown) = (coverage(Trust::Sure), coverage(Trust::Unsure), coverage(Trust::Unknown));
        assert!(unsure * 10 < sure * 9 && unsure * 10 > sure * 5, "{sure} {unsure}");
        assert!(unknown > 0, "not knowing is shown");
        let mut scene = scene(1280, 720);
        scene.tracks.iter_mut().for_each(|track| track.outlines.clear());
        scene.tissues.clear();
        assert!(!painted(&scene, OverlayMode::Outline).is_empty(), "tip marks alone");
        scene.tracks.iter_mut().for_each(|track| track.state = Trust::Unknown);
        assert!(painted(&scene, OverlayMode::Outline).is_empty());
    }

    #[test]
    fn a_scene_of_another_picture_size_is_not_drawn() {
        let mut layer = Layer::new(640, 360);
        let mut painter = Painter::new(640, 360);
        painter.paint(&DrawList::from_scene(&scene(640, 360), &style(OverlayMode::Outline), STILL), &mut layer);
        assert!(!layer.is_empty());
        painter.paint(&DrawList::from_scene(&scene(1280, 720), &style(OverlayMode::Outline), STILL), &mut layer);
        assert!(layer.is_empty() && layer.data.iter().all(|&b| b == 0));
    }

    fn any_coordinate() -> impl Strategy<Value = f32> {
        prop_oneof![
            -50f32..250.0,
            -1e30f32..1e30,
            Just(f32::NAN),
            Just(f32::INFINITY),
            Just(f32::NEG_INFINITY),
            Just(f32::MAX),
            Just(f32::MIN_POSITIVE)
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(150))]
        #[test]
        fn no_coordinates_can_do_harm(points in proptest::collection::vec([any_coordinate(), any_coordinate()], 0..24), tip in [any_coordinate(), any_coordinate()],
            shift in [any_coordinate(), any_coordinate()], state in 0usize..3, mode in 0usize..3) {
            let state = [Trust::Sure, Trust::Unsure, Trust::Unknown][state];
            let mode = [OverlayMode::Off, OverlayMode::Outline, OverlayMode::Fill][mode];
            let mut scene = scene(200, 120);
            scene.tracks[0] = track(1, 5, [0.0; 2], [50.0, 50.0], 4.0);
            scene.tracks[0].outlines = vec![points.clone()];
            scene.tracks[0].tip = Some(tip);
            scene.tracks[0].state = state;
            scene.tissues[0] = tissue(2, points);
            scene.tissues[0].state = state;
            let mut layer = Layer::new(200, 120);
            paint(&DrawList::from_scene(&scene, &style(mode), &|_| shift), &mut layer);
            check(&layer);
        }
    }

    #[test]
    #[ignore = "a measurement"]
    fn time_of_1080p() {
        let scene = scene(1920, 1080);
        let mut layer = Layer::new(1920, 1080);
        let mut painter = Painter::new(1920, 1080);
        for mode in [OverlayMode::Outline, OverlayMode::Fill] {
            let mut list = DrawList::from_scene(&scene, &style(mode), STILL);
            testing::report_ms(&format!("draw list {mode:?}"), || list.set_scene(&scene, STILL));
            testing::report_ms(&format!("paint 1080p {mode:?}"), || painter.paint(&list, &mut layer));
            let area: usize = layer.rects.iter().map(Rect::area).sum();
            println!("{} rectangles, {:.1} % of the picture", layer.rects.len(), area as f32 / 20736.0);
        }
    }
}
