//! From a draw list to a layer: order, line styles, tints, tip marks. How lines and areas become pixels is `raster`'s matter.
//!
//! Order: tissues, then everything inside an instrument is erased, then instruments: tissue is never painted over one.
//! Sure: solid line. Unsure: dashed. Unknown: instruments as a grey hatching without line and tip, tissues not at all.

use crate::base::classes::ClassKind;
use crate::overlay::blend::{over, premultiplied};
use crate::overlay::draw::{DrawList, Shape};
use crate::overlay::raster::{Pen, Point, Raster};
use crate::overlay::style::{Style, UNKNOWN_RGB};
use crate::overlay::{Layer, OverlayMode, Rect, Tiles};
use crate::scene::Trust;

/// In pixels of a picture of 1080 rows.
const CASING_PX: f32 = 1.25;
const DASH_ON_PX: f32 = 12.0;
const DASH_OFF_PX: f32 = 9.0;
const TIP_RADIUS_PX: f32 = 11.0;
const TIP_DOT_PX: f32 = 2.5;
const HATCH_PX: f32 = 18.0;
const TIP_SIDES: usize = 24;

/// Paints draw lists into layers of one size; keeps its memory.
#[derive(Debug)]
pub struct Painter {
    raster: Raster,
    touched: Tiles,
    hatching: Vec<(i32, f32)>,
}

/// Paints into a fresh layer's memory; for tests and single pictures. A `Painter` keeps its memory.
pub fn paint(list: &DrawList, layer: &mut Layer) {
    Painter::new(layer.width, layer.height).paint(list, layer);
}

impl Painter {
    pub fn new(width: usize, height: usize) -> Self {
        Painter { raster: Raster::new(width, height), touched: Tiles::new(width, height), hatching: Vec::with_capacity(1024) }
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
        self.touched.clear();
        let is_instrument = |shape: &&Shape| shape.kind == ClassKind::Instrument;
        for shape in list.shapes.iter().filter(|shape| !is_instrument(shape)) {
            if shape.trust != Trust::Unknown {
                self.shape(list, shape, layer);
            }
        }
        for shape in list.shapes.iter().filter(is_instrument) {
            self.raster.area(list.contours(shape), |y, x0, x1| layer.row_mut(y, x0, x1).fill(0));
        }
        for shape in list.shapes.iter().filter(is_instrument) {
            if shape.trust == Trust::Unknown { self.hatch(list, shape, layer) } else { self.shape(list, shape, layer) }
        }
        self.touched.write_rects(&mut layer.rects);
    }

    fn pen(&self, style: &Style, shape: &Shape) -> Pen {
        let height = self.raster.size().1;
        let core_radius = 0.5 * style.line_width_px(shape.kind, height);
        let casing = (CASING_PX * Style::scale(height)).max(0.6);
        Pen { core_radius, casing_radius: core_radius + casing, rgb: shape.rgb, opacity: level(style.opacity) }
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
        let pen = self.pen(&list.style, shape);
        for contour in list.contours(shape) {
            match shape.trust {
                Trust::Sure => closed(contour).for_each(|(a, b)| self.raster.line(a, b, &pen)),
                Trust::Unsure | Trust::Unknown => self.dashed(contour, [DASH_ON_PX * scale, DASH_OFF_PX * scale], &pen),
            }
        }
        if let Some(tip) = shape.tip {
            let radius = (TIP_RADIUS_PX * scale).max(4.0);
            let on_ring = |i: usize| {
                let angle = i as f32 / TIP_SIDES as f32 * std::f32::consts::TAU;
                [tip[0] + radius * angle.cos(), tip[1] + radius * angle.sin()]
            };
            (0..TIP_SIDES).for_each(|i| self.raster.line(on_ring(i), on_ring(i + 1), &pen));
        }
        self.raster.finish(&pen, layer, &mut self.touched);
        if let Some(tip) = shape.tip {
            let core_radius = (TIP_DOT_PX * scale).max(1.0);
            let dot = Pen { core_radius, casing_radius: core_radius + pen.casing_radius - pen.core_radius, ..pen };
            self.raster.line(tip, tip, &dot);
            self.raster.finish(&dot, layer, &mut self.touched);
        }
    }

    fn dashed(&mut self, contour: &[Point], on_off: [f32; 2], pen: &Pen) {
        let period = on_off[0] + on_off[1];
        let (width, height) = self.raster.size();
        let mut at = 0.0;
        for (a, b) in closed(contour) {
            // Only what can be seen is dashed: a contour may run far outside.
            let high = [width as f32 + period, height as f32 + period];
            let Some((a, b)) = crate::overlay::raster::clip(a, b, [-period, -period], high) else { continue };
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

    /// Slanted lines inside a shape, whose places do not move with it.
    fn hatch(&mut self, list: &DrawList, shape: &Shape, layer: &mut Layer) {
        let step = HATCH_PX * Style::scale(layer.height).max(0.3);
        let (width, height) = self.raster.size();
        // Lines x + y = step · k; a crossing is kept with its line and its x.
        let most = ((width + height) as f32 / step) as i32;
        self.hatching.clear();
        for contour in list.contours(shape) {
            for (a, b) in closed(contour) {
                let (from, to) = ((a[0] + a[1]) / step, (b[0] + b[1]) / step);
                let (low, high) = (from.min(to).ceil() as i32, from.max(to).ceil() as i32);
                for k in low.max(0)..high.min(most + 1) {
                    let t = (k as f32 - from) / (to - from);
                    self.hatching.push((k, a[0] + (b[0] - a[0]) * t));
                }
            }
        }
        self.hatching.sort_unstable_by(|a, b| a.0.cmp(&b.0).then(a.1.total_cmp(&b.1)));
        let pen = Pen { rgb: UNKNOWN_RGB, ..self.pen(&list.style, shape) };
        for [(k, x0), (_, x1)] in self.hatching.as_chunks::<2>().0 {
            let sum = *k as f32 * step;
            self.raster.line([*x0, sum - x0], [*x1, sum - x1], &pen);
        }
        self.raster.finish(&pen, layer, &mut self.touched);
    }
}

fn closed(contour: &[Point]) -> impl Iterator<Item = (Point, Point)> + '_ {
    contour.iter().enumerate().map(|(i, &a)| (a, contour[(i + 1) % contour.len()]))
}

fn level(opacity: f32) -> u8 {
    (opacity.clamp(0.0, 1.0) * 255.0).round() as u8
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::overlay::Settings;
    use crate::overlay::draw::tests::{blob, scene, shaft, tissue, track};
    use crate::overlay::host::{Target, compose_full};
    use crate::overlay::testing::{self, Owned};
    use crate::scene::Scene;
    use proptest::prelude::*;

    const STILL: &dyn Fn(&crate::scene::Track) -> [f32; 2] = &|_| [0.0; 2];

    fn style(mode: OverlayMode) -> Style {
        Style::of(&Settings { mode, ..Settings::default() })
    }

    fn painted(scene: &Scene, mode: OverlayMode) -> Layer {
        let mut layer = Layer::new(scene.picture[0] as usize, scene.picture[1] as usize);
        paint(&DrawList::from_scene(scene, &style(mode), STILL), &mut layer);
        check(&layer);
        layer
    }

    /// What everybody who reads a layer relies on.
    fn check(layer: &Layer) {
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
        scene.frame_state = Trust::Unknown;
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

    /// Leaves pictures to look at in target/look/.
    #[test]
    fn pictures_of_all_modes_can_be_looked_at() {
        let (width, height) = (1280, 720);
        let picture = Owned::from_luma(width, height, |x, y| (70 + (x * 7 / 31 + y * 5 / 23) % 90) as u8);
        let mut sure = scene(width as u32, height as u32);
        let mut unsure = sure.clone();
        unsure.frame_state = Trust::Unsure;
        unsure.tracks[1].state = Trust::Unknown;
        sure.tracks.push(track(3, 13, [0.7 * 1280.0, 0.02 * 720.0], [0.62 * 1280.0, 0.3 * 720.0], 12.0));
        sure.tissues[1].outlines.push(blob(380.0, 290.0, 60.0, 40.0, 80));
        sure.tissues[1].outlines.push(shaft([100.0, 300.0], [200.0, 300.0], 10.0, 3));
        for (name, scene, mode) in
            [("outline", &sure, OverlayMode::Outline), ("fill", &sure, OverlayMode::Fill), ("unsure", &unsure, OverlayMode::Outline)]
        {
            let overlay = painted(scene, mode);
            let mut data = vec![0; width * height * 4];
            compose_full(&picture.view(), &[&overlay], &mut Target { data: &mut data, stride: width * 4, width, height }).unwrap();
            let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("target/look/{name}.png"));
            testing::write_png(&path, &data, width, height);
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
