//! One picture of the clip, and its truth, from the same geometry.

use super::SimError;
use super::anatomy::Anatomy;
use super::atlas::Atlas;
use super::drawing::{Content, Speculars, draw_instrument, draw_shadow};
use super::map::{Grid, Warp};
use super::motion::{Motion, Pose, REACH};
use super::noise::Rng;
use super::nv12::{self, RgbRow};
use super::script::Event;
use super::spec::Spec;
use super::stage::{MOST_HIDDEN, Stage};
use super::tissue::Tissue;
use crate::base::ids::{ClassId, TrackId};
use crate::frame::FrameLayout;

/// Everything that the pictures of a clip share. Baked once; rendering borrows it, so several threads can.
#[derive(Debug)]
pub struct Simulator {
    spec: Spec,
    layout: FrameLayout,
    pub(super) atlas: Atlas,
    pub(super) motion: Motion,
    pub(super) content: Content,
    pub(super) speculars: Speculars,
    /// A few rows of camera noise, wider than the picture; each row of each picture begins somewhere else.
    noise: Vec<i8>,
    /// What a script does to the plain scene.
    stage: Option<Box<Stage>>,
}

/// What is to be seen in one picture, exactly. All in pixels of the captured picture.
#[derive(Debug, Clone, PartialEq)]
pub struct Truth {
    pub width: usize,
    pub height: usize,
    /// Class id a pixel (`base::classes`), row by row; 0 outside the content area.
    pub class_mask: Vec<u8>,
    /// Instrument id a pixel; 0 where there is none.
    pub instance_mask: Vec<u8>,
    /// Those that have visible pixels, by id.
    pub instruments: Vec<TruthInstrument>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct TruthInstrument {
    /// The same over the whole loop, also after the instrument was away.
    pub id: TrackId,
    pub class: ClassId,
    /// Half-open box of the visible pixels, `[x0, y0, x1, y1]`.
    pub bbox: [u32; 4],
    /// The working end, if it is visible.
    pub tip: Option<[f32; 2]>,
    /// Unit vector along the shaft, towards the tip.
    pub axis: [f32; 2],
    /// Pixels of its own, also those that smoke, fog or a menu hides.
    pub visible_px: u64,
    /// The share of these behind which it can still be made out, 0..1.
    pub clear: f32,
}

/// A class and an instrument's id a pixel.
#[derive(Debug, Clone)]
pub(super) struct Masks {
    pub classes: Vec<u8>,
    pub instances: Vec<u8>,
}

const NOISE_LEN: usize = 1 << 16;

impl Simulator {
    /// Bakes the scene: some tenths of a second at 1920×1080.
    ///
    /// Errors: a size that no frame can have.
    pub fn new(spec: &Spec) -> Result<Self, SimError> {
        let layout = spec.layout()?;
        let aspect = layout.width as f32 / layout.height as f32;
        let mut rng = Rng::new(spec.seed, 4);
        let content = Content::new(&mut rng, layout.width, layout.height);
        let anatomy = Anatomy::new(spec.seed);
        let (least, way, turns) = Stage::reach(spec);
        let mut half = [(aspect * 0.5).min(content.radius + content.centre[0].abs()), 0.5f32.min(content.radius + content.centre[1].abs())];
        if turns {
            half = [half[0].hypot(half[1]); 2];
        }
        let [half_width, half_height] = half.map(|half| half / least + way + REACH);
        let grid = Grid::new(half_width, half_height, layout.height as f32);
        let atlas = Atlas::bake(&anatomy, grid, spec.seed);
        // A scripted loop is longer: its motion repeats, so that nothing slows down.
        let cycles = if spec.is_plain() { 1.0 } else { (spec.loop_s / 6.0).round().max(1.0) };
        let motion = Motion::new(spec.seed, &anatomy, (content.centre, content.radius), spec.loop_s / cycles);
        let speculars = Speculars::new(&mut rng, layout.width, layout.height);
        let noise = (0..NOISE_LEN + layout.width).map(|_| (2.4 * (rng.unit() + rng.unit() + rng.unit() - 1.5)).round() as i8).collect();
        let mut simulator = Simulator { spec: spec.clone(), layout, atlas, motion, content, speculars, noise, stage: None };
        if !spec.is_plain() {
            simulator.stage = Some(Box::new(Stage::new(spec, &anatomy, &simulator)?));
        }
        Ok(simulator)
    }

    pub fn spec(&self) -> &Spec {
        &self.spec
    }

    pub fn layout(&self) -> &FrameLayout {
        &self.layout
    }

    pub fn frame_count(&self) -> usize {
        self.spec.frame_count()
    }

    /// Does the source fall silent instead of showing picture `index`?
    pub fn is_lost(&self, index: usize) -> bool {
        self.spec.is_lost(index)
    }

    /// The script's events: first picture, one past the last, what happens.
    pub fn events(&self) -> Vec<(usize, usize, Event)> {
        self.stage.as_ref().map_or_else(Vec::new, |stage| stage.spans(&self.spec))
    }

    fn pose(&self, index: usize) -> (Pose, Warp) {
        let frames = self.frame_count();
        let pose = self.motion.pose((index % frames) as f32 / frames as f32);
        let warp = self.warp(&pose);
        (pose, warp)
    }

    pub(super) fn warp(&self, pose: &Pose) -> Warp {
        Warp::new(self.layout.width, self.layout.height, &self.atlas.grid, |point| pose.scene_of(point))
    }

    /// Draws picture `index` (of the loop) into `picture`, which holds `layout().size` bytes.
    pub fn render(&self, index: usize, picture: &mut [u8]) {
        let index = index % self.frame_count();
        let Some(stage) = &self.stage else {
            let (pose, warp) = self.pose(index);
            return self.encode(index, 1.0, picture, |y, row| self.draw_row(&pose, &warp, y, row));
        };
        let width = self.layout.width;
        match stage.render(self, index) {
            Some((pixels, noise, shown)) => self.encode(shown, noise, picture, |y, row| {
                for (x, pixel) in pixels[y * width..][..width].iter().enumerate() {
                    [row.r[x], row.g[x], row.b[x]] = pixel.map(|v| (v.clamp(0.0, 1.0) * 255.0 + 0.5) as u8);
                }
            }),
            None => {
                self.encode(index, 0.0, picture, |_, row| [&mut row.r, &mut row.g, &mut row.b].into_iter().for_each(|plane| plane.fill(0)))
            }
        }
    }

    /// R'G'B' rows to NV12, with `noise` times the sensor's noise: that of picture `index`.
    fn encode(&self, index: usize, noise: f32, picture: &mut [u8], draw: impl Fn(usize, &mut RgbRow)) {
        let (width, height) = (self.layout.width, self.layout.height);
        let mut noise_rng = Rng::new(self.spec.seed ^ index as u64, 5);
        let [luma_plane, chroma_plane] = [self.layout.planes()[0], self.layout.planes()[1]];
        let mut rows = [RgbRow::new(width), RgbRow::new(width)];
        let mut louder = vec![0i8; if noise == 1.0 { 0 } else { width }];
        for pair in 0..height.div_ceil(2) {
            for (half, row) in rows.iter_mut().enumerate() {
                let y = 2 * pair + half;
                if y >= height {
                    continue;
                }
                draw(y, row);
                let start = noise_rng.below(NOISE_LEN);
                let mut grain = &self.noise[start..start + width];
                if noise != 1.0 {
                    louder.iter_mut().zip(grain).for_each(|(to, from)| *to = (f32::from(*from) * noise).clamp(-127.0, 127.0).round() as i8);
                    grain = &louder;
                }
                let luma = &mut picture[luma_plane.offset + y * luma_plane.stride..][..width];
                nv12::luma(row, grain, luma);
            }
            let lower = if 2 * pair + 1 < height { &rows[1] } else { &rows[0] };
            let chroma = &mut picture[chroma_plane.offset + pair * chroma_plane.stride..][..chroma_plane.row_bytes];
            nv12::chroma(&rows[0], lower, chroma);
        }
    }

    fn draw_row(&self, pose: &Pose, warp: &Warp, y: usize, row: &mut RgbRow) {
        self.draw_tissue(warp, y, row);
        let (from, to) = self.content.span(y);
        if from >= to {
            return;
        }
        let light = self.content.light_row(y);
        let place = self.content.place();
        for instrument in &pose.instruments {
            draw_shadow(instrument, place, y, from..to, row);
        }
        for instrument in &pose.instruments {
            draw_instrument(instrument, place, y, from..to, light, row);
        }
    }

    /// One row of the abdomen without instruments.
    pub(super) fn draw_tissue(&self, warp: &Warp, y: usize, row: &mut RgbRow) {
        let (from, to) = self.content.span(y);
        for plane in [&mut row.r, &mut row.g, &mut row.b] {
            plane[..from].fill(0);
            plane[to..].fill(0);
        }
        if from >= to {
            return;
        }
        let tissue = Tissue { atlas: &self.atlas, speculars: &self.speculars, light: self.content.light_row(y), y };
        tissue.draw(warp, from..to, row);
    }

    /// Masks, boxes and tips of picture `index`, from the geometry that `render` draws.
    pub fn truth(&self, index: usize) -> Truth {
        let index = index % self.frame_count();
        if let Some(stage) = &self.stage {
            return stage.truth(self, index);
        }
        let (width, height) = (self.layout.width, self.layout.height);
        let (pose, warp) = self.pose(index);
        let Masks { classes: class_mask, instances: instance_mask } = self.masks(&pose, &warp);
        let instruments = self.list(&pose, &instance_mask, &[], &|tip| tip);
        Truth { width, height, class_mask, instance_mask, instruments }
    }

    /// Class and instrument of each pixel.
    pub(super) fn masks(&self, pose: &Pose, warp: &Warp) -> Masks {
        let (width, height) = (self.layout.width, self.layout.height);
        let place = self.content.place();
        let mut class_mask = vec![0; width * height];
        let mut instance_mask = vec![0; width * height];
        for (y, (classes, instances)) in class_mask.chunks_exact_mut(width).zip(instance_mask.chunks_exact_mut(width)).enumerate() {
            let (from, to) = self.content.span(y);
            warp.runs(y, from, to, |columns, [mut u, mut v], [du, dv]| {
                for class in &mut classes[columns] {
                    *class = self.atlas.class(u, v);
                    (u, v) = (u + du, v + dv);
                }
            });
            for instrument in &pose.instruments {
                for x in place.columns(instrument.span(place.y(y), 0.0), from..to) {
                    if instrument.touch([place.x(x), place.y(y)]).distance <= 0.0 {
                        classes[x] = instrument.kind.class();
                        instances[x] = instrument.id;
                    }
                }
            }
            for x in (from..to).filter(|&x| !self.content.contains(x, y)) {
                classes[x] = 0;
                instances[x] = 0;
            }
        }
        Masks { classes: class_mask, instances: instance_mask }
    }

    /// The instruments that have pixels in `instance_mask`. `hidden`: how much of the scene is at each pixel, empty for
    /// nothing anywhere; `seen_at`: where a point of the picture (pixels) is seen in the end.
    pub(super) fn list(
        &self,
        pose: &Pose,
        instance_mask: &[u8],
        hidden: &[f32],
        seen_at: &dyn Fn([f32; 2]) -> [f32; 2],
    ) -> Vec<TruthInstrument> {
        let (width, height) = (self.layout.width, self.layout.height);
        let place = self.content.place();
        let is_hidden = |at: usize| hidden.get(at).is_some_and(|hidden| *hidden > MOST_HIDDEN);
        let mut instruments: Vec<TruthInstrument> = pose
            .instruments
            .iter()
            .filter_map(|instrument| {
                let (bbox, visible_px) = extents(instance_mask, width, instrument.id)?;
                let tip = seen_at(place.pixel(instrument.tip));
                let inside = tip[0] >= 0.0 && tip[1] >= 0.0 && tip[0] < width as f32 && tip[1] < height as f32;
                let at = tip[1].max(0.0) as usize * width + tip[0].max(0.0) as usize;
                let visible = inside && instance_mask[at] == instrument.id && !is_hidden(at);
                let dim = if hidden.is_empty() {
                    0
                } else {
                    (0..hidden.len()).filter(|&at| instance_mask[at] == instrument.id && is_hidden(at)).count()
                };
                Some(TruthInstrument {
                    id: TrackId(instrument.id.into()),
                    class: ClassId(instrument.kind.class()),
                    bbox,
                    tip: visible.then_some(tip),
                    axis: instrument.axis,
                    visible_px,
                    clear: 1.0 - dim as f32 / visible_px as f32,
                })
            })
            .collect();
        instruments.sort_by_key(|instrument| instrument.id);
        instruments
    }
}

/// Half-open box and number of the pixels of `id`; None if there are none.
fn extents(mask: &[u8], width: usize, id: u8) -> Option<([u32; 4], u64)> {
    let (mut bbox, mut count) = ([u32::MAX, u32::MAX, 0, 0], 0);
    for (y, row) in mask.chunks_exact(width).enumerate() {
        for x in (0..width).filter(|&x| row[x] == id) {
            let (x, y) = (x as u32, y as u32);
            bbox = [bbox[0].min(x), bbox[1].min(y), bbox[2].max(x + 1), bbox[3].max(y + 1)];
            count += 1;
        }
    }
    (count > 0).then_some((bbox, count))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::classes::{self, ClassKind};
    use std::collections::BTreeMap;

    fn spec(seed: u64) -> Spec {
        Spec::parse(&format!("sim:?seed={seed}&width=321&height=181&fps=20&seconds=3")).unwrap()
    }

    fn picture(simulator: &Simulator, index: usize) -> Vec<u8> {
        let mut bytes = vec![0; simulator.layout().size];
        simulator.render(index, &mut bytes);
        bytes
    }

    fn difference(a: &[u8], b: &[u8]) -> f64 {
        a.iter().zip(b).map(|(a, b)| f64::from(a.abs_diff(*b))).sum::<f64>() / a.len() as f64
    }

    #[test]
    fn the_same_seed_is_the_same_bytes_and_another_is_not() {
        let (a, again, other) = (Simulator::new(&spec(1)).unwrap(), Simulator::new(&spec(1)).unwrap(), Simulator::new(&spec(2)).unwrap());
        for index in [0, 17] {
            assert_eq!(picture(&a, index), picture(&again, index));
            assert_eq!(a.truth(index), again.truth(index));
            assert!(difference(&picture(&a, index), &picture(&other, index)) > 4.0);
        }
    }

    #[test]
    fn the_loop_has_no_seam() {
        for seed in 0..4 {
            let simulator = Simulator::new(&spec(seed)).unwrap();
            let last = simulator.frame_count() - 1;
            assert_eq!(picture(&simulator, 0), picture(&simulator, last + 1));
            let steps: Vec<f64> = (0..last).map(|n| difference(&picture(&simulator, n), &picture(&simulator, n + 1))).collect();
            let seam = difference(&picture(&simulator, last), &picture(&simulator, 0));
            let largest = steps.iter().copied().fold(0.0, f64::max);
            assert!(seam <= largest * 1.05, "seed {seed}: {seam} at the seam, at most {largest} elsewhere");
            assert!(largest > 0.2, "and it moves");
        }
    }

    #[test]
    fn boxes_tips_and_masks_say_the_same() {
        let (mut tips, mut hidden) = (0, 0);
        for seed in 0..8 {
            let simulator = Simulator::new(&spec(seed)).unwrap();
            let mut classes_of: BTreeMap<u32, u8> = BTreeMap::new();
            for index in (0..simulator.frame_count()).step_by(3) {
                let truth = simulator.truth(index);
                let ids: Vec<u8> = truth.instruments.iter().map(|i| i.id.0 as u8).collect();
                assert!(truth.instance_mask.iter().all(|id| *id == 0 || ids.contains(id)));
                for instrument in &truth.instruments {
                    assert_eq!(
                        *classes_of.entry(instrument.id.0).or_insert(instrument.class.0),
                        instrument.class.0,
                        "an id keeps its class"
                    );
                    let id = instrument.id.0 as u8;
                    let pixels: Vec<(u32, u32)> = (0..truth.instance_mask.len())
                        .filter(|&at| truth.instance_mask[at] == id)
                        .map(|at| ((at % truth.width) as u32, (at / truth.width) as u32))
                        .collect();
                    assert_eq!(pixels.len() as u64, instrument.visible_px);
                    let extent = |f: fn(&(u32, u32)) -> u32| (pixels.iter().map(f).min().unwrap(), pixels.iter().map(f).max().unwrap() + 1);
                    let ((x0, x1), (y0, y1)) = (extent(|p| p.0), extent(|p| p.1));
                    assert_eq!(instrument.bbox, [x0, y0, x1, y1]);
                    assert!((instrument.axis[0].hypot(instrument.axis[1]) - 1.0).abs() < 1e-4);
                    match instrument.tip {
                        Some([x, y]) => {
                            assert_eq!(truth.instance_mask[y as usize * truth.width + x as usize], id);
                            tips += 1;
                        }
                        None => hidden += 1,
                    }
                }
                for (class, instance) in truth.class_mask.iter().zip(&truth.instance_mask) {
                    let kind = classes::table().by_id(ClassId(*class)).unwrap().kind;
                    assert_eq!(kind == ClassKind::Instrument, *instance != 0);
                }
            }
            assert!(classes_of.len() >= 2, "seed {seed} has {classes_of:?}");
        }
        assert!(tips > 100 && hidden < tips / 4, "{tips} tips seen, {hidden} not");
    }

    /// The mask is where the pixels are: painting a scene with and without its instruments differs on their mask and,
    /// but for the soft edge and the shadow, nowhere else.
    #[test]
    fn the_mask_is_where_the_pixels_are() {
        for seed in [1, 4] {
            let with = Simulator::new(&spec(seed)).unwrap();
            let mut without = Simulator::new(&spec(seed)).unwrap();
            without.motion.leave_out_instruments();
            for index in [10, 30] {
                let truth = with.truth(index);
                let bare = without.truth(index);
                assert!(bare.instruments.is_empty() && !truth.instruments.is_empty());
                for (at, instance) in truth.instance_mask.iter().enumerate() {
                    assert!(*instance != 0 || truth.class_mask[at] == bare.class_mask[at]);
                }
                let (a, b) = (picture(&with, index), picture(&without, index));
                let stride = with.layout().planes()[0].stride;
                let (mut differ, mut inside, mut brighter_outside) = (0u64, 0u64, 0u64);
                for (at, instance) in truth.instance_mask.iter().enumerate() {
                    let (x, y) = (at % truth.width, at / truth.width);
                    let change = i32::from(a[y * stride + x]) - i32::from(b[y * stride + x]);
                    let near = (-1..=1).any(|dy: isize| {
                        (-1..=1).any(|dx: isize| {
                            let (x, y) = (x.saturating_add_signed(dx), y.saturating_add_signed(dy));
                            x < truth.width && y < truth.height && truth.instance_mask[y * truth.width + x] != 0
                        })
                    });
                    inside += u64::from(*instance != 0);
                    differ += u64::from(*instance != 0 && change != 0);
                    // A shadow only darkens; so what is brighter outside the mask is a mask that is wrong.
                    brighter_outside += u64::from(!near && change > 0 && with.content.contains(x, y));
                }
                assert!(differ * 10 > inside * 8, "{differ} of {inside}");
                assert_eq!(brighter_outside, 0);
            }
        }
    }

    #[test]
    fn instruments_leave_and_come_back_and_occlude_each_other() {
        let (mut left, mut overlapped) = (0, 0);
        for seed in 0..8 {
            let simulator = Simulator::new(&spec(seed)).unwrap();
            let mut seen: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
            for index in 0..simulator.frame_count() {
                let truth = simulator.truth(index);
                assert!((1..=3).contains(&truth.instruments.len()), "seed {seed} picture {index}: {}", truth.instruments.len());
                truth.instruments.iter().for_each(|i| seen.entry(i.id.0).or_default().push(index));
                let place = simulator.content.place();
                let (pose, _) = simulator.pose(index);
                overlapped += (0..truth.instance_mask.len())
                    .step_by(7)
                    .filter(|at| {
                        let point = [place.x(at % truth.width), place.y(at / truth.width)];
                        pose.instruments.iter().filter(|i| i.touch(point).distance <= 0.0).count() > 1
                    })
                    .count();
            }
            left += seen.values().filter(|frames| frames.len() < simulator.frame_count()).count();
        }
        assert!(left >= 12 && overlapped > 0, "{left} left, {overlapped} pixels overlapped");
    }

    #[test]
    fn the_picture_has_the_tissues_of_the_operation_in_every_scene() {
        for seed in 0..12 {
            let truth = Simulator::new(&spec(seed)).unwrap().truth(0);
            for class in [1, 2, 4, 10] {
                let share = truth.class_mask.iter().filter(|c| **c == class).count() as f64 / truth.class_mask.len() as f64;
                assert!(share > 0.005, "seed {seed}: class {class} covers {share}");
            }
        }
    }

    #[test]
    #[ignore = "prints a time"]
    fn time_of_a_scene_and_a_picture_at_1080p() {
        let cpu_ms = || {
            let spent = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
            spent.tv_sec as f64 * 1e3 + spent.tv_nsec as f64 / 1e6
        };
        let begun_ms = cpu_ms();
        let simulator = Simulator::new(&Spec { seed: 31, ..Spec::default() }).unwrap();
        let baked_ms = cpu_ms();
        let mut bytes = vec![0; simulator.layout().size];
        (0..60).for_each(|n| simulator.render(6 * n, &mut bytes));
        println!("1080p, CPU time: the scene {:.0} ms, a picture {:.2} ms", baked_ms - begun_ms, (cpu_ms() - baked_ms) / 60.0);
    }
}
