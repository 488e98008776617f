//! One picture of the clip, and its truth, from the same geometry.

use super::SimError;
use super::anatomy::Anatomy;
use super::atlas::Atlas;
use super::drawing::{Content, Speculars, draw_instrument, draw_shadow};
use super::map::{Grid, Warp};
use super::motion::{Motion, Pose, REACH};
use super::noise::Rng;
use super::nv12::{self, RgbRow};
use super::spec::Spec;
use crate::base::ids::{ClassId, TrackId};
use crate::frame::FrameLayout;

/// Everything that the pictures of a clip share. Baked once; rendering borrows it, so several threads can.
#[derive(Debug)]
pub struct Simulator {
    spec: Spec,
    layout: FrameLayout,
    atlas: Atlas,
    motion: Motion,
    content: Content,
    speculars: Speculars,
    /// A few rows of camera noise, wider than the picture; each row of each picture begins somewhere else.
    noise: Vec<i8>,
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
    pub visible_px: u64,
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
        let half_width = (aspect * 0.5).min(content.radius + content.centre[0].abs()) + REACH;
        let half_height = 0.5f32.min(content.radius + content.centre[1].abs()) + REACH;
        let grid = Grid::new(half_width, half_height, layout.height as f32);
        let atlas = Atlas::bake(&anatomy, grid, spec.seed);
        let motion = Motion::new(spec.seed, &anatomy, (content.centre, content.radius), spec.loop_s);
        let speculars = Speculars::new(&mut rng, layout.width, layout.height);
        let noise = (0..NOISE_LEN + layout.width).map(|_| (2.4 * (rng.unit() + rng.unit() + rng.unit() - 1.5)).round() as i8).collect();
        Ok(Simulator { spec: spec.clone(), layout, atlas, motion, content, speculars, noise })
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

    fn pose(&self, index: usize) -> (Pose, Warp) {
        let frames = self.frame_count();
        let pose = self.motion.pose((index % frames) as f32 / frames as f32);
        let warp = Warp::new(self.layout.width, self.layout.height, &self.atlas.grid, |point| pose.scene_of(point));
        (pose, warp)
    }

    /// Draws picture `index` (of the loop) into `picture`, which holds `layout().size` bytes.
    pub fn render(&self, index: usize, picture: &mut [u8]) {
        let (width, height) = (self.layout.width, self.layout.height);
        let (pose, warp) = self.pose(index);
        let mut noise_rng = Rng::new(self.spec.seed ^ (index % self.frame_count()) as u64, 5);
        let [luma_plane, chroma_plane] = [self.layout.planes()[0], self.layout.planes()[1]];
        let mut rows = [RgbRow::new(width), RgbRow::new(width)];
        for pair in 0..height.div_ceil(2) {
            for (half, row) in rows.iter_mut().enumerate() {
                let y = 2 * pair + half;
                if y >= height {
                    continue;
                }
                self.draw_row(&pose, &warp, y, row);
                let start = noise_rng.below(NOISE_LEN);
                let luma = &mut picture[luma_plane.offset + y * luma_plane.stride..][..width];
                nv12::luma(row, &self.noise[start..start + width], luma);
            }
            let lower = if 2 * pair + 1 < height { &rows[1] } else { &rows[0] };
            let chroma = &mut picture[chroma_plane.offset + pair * chroma_plane.stride..][..chroma_plane.row_bytes];
            nv12::chroma(&rows[0], lower, chroma);
        }
    }

    fn draw_row(&self, pose: &Pose, warp: &Warp, y: usize, row: &mut RgbRow) {
        let (from, to) = self.content.span(y);
        for plane in [&mut row.r, &mut row.g, &mut row.b] {
            plane[..from].fill(0);
            plane[to..].fill(0);
        }
        if from >= to {
            return;
        }
        let light = self.content.light_row(y);
        let (wanted_x, wanted_y) = self.speculars.row(y);
        warp.runs(y, from, to, |columns, [mut u, mut v], [du, dv]| {
            let (first, light) = (columns.start, &light[columns.clone()]);
            let (r, g, b) = (&mut row.r[columns.clone()], &mut row.g[columns.clone()], &mut row.b[columns]);
            for ((((i, &lit), r), g), b) in light.iter().enumerate().zip(r).zip(g).zip(b) {
                let sample = self.atlas.sample(u, v);
                let lit = u32::from(lit);
                let shine = (self.speculars.shine(sample.normal, wanted_x(first + i), wanted_y, sample.gloss) * lit.min(256)) >> 8;
                let channel = |c: u32| {
                    let c = ((c * lit) >> 16).min(255);
                    (c + (((255 - c) * shine) >> 8)) as u8
                };
                (*r, *g, *b) = (channel(sample.rgb[0]), channel(sample.rgb[1]), channel(sample.rgb[2]));
                (u, v) = (u + du, v + dv);
            }
        });
        let place = self.content.place();
        for instrument in &pose.instruments {
            draw_shadow(instrument, place, y, from..to, row);
        }
        for instrument in &pose.instruments {
            draw_instrument(instrument, place, y, from..to, light, row);
        }
    }

    /// Masks, boxes and tips of picture `index`, from the geometry that `render` draws.
    pub fn truth(&self, index: usize) -> Truth {
        let (width, height) = (self.layout.width, self.layout.height);
        let (pose, warp) = self.pose(index);
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
        let mut instruments: Vec<TruthInstrument> = pose
            .instruments
            .iter()
            .filter_map(|instrument| {
                let (bbox, visible_px) = extents(&instance_mask, width, instrument.id)?;
                let tip = place.pixel(instrument.tip);
                let inside = tip[0] >= 0.0 && tip[1] >= 0.0 && tip[0] < width as f32 && tip[1] < height as f32;
                let visible = inside && instance_mask[tip[1] as usize * width + tip[0] as usize] == instrument.id;
                Some(TruthInstrument {
                    id: TrackId(instrument.id.into()),
                    class: ClassId(instrument.kind.class()),
                    bbox,
                    tip: visible.then_some(tip),
                    axis: instrument.axis,
                    visible_px,
                })
            })
            .collect();
        instruments.sort_by_key(|instrument| instrument.id);
        Truth { width, height, class_mask, instance_mask, instruments }
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
