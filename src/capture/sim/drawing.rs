//! What lies between tissue and sensor: the content area with its light, speculars, instruments and their shadows.

use super::instrument::Instrument;
use super::noise::{Rng, smoothstep};
use super::nv12::RgbRow;
use crate::base::simd::wide;
use std::ops::Range;

/// Pixels of the picture and points of the picture (picture heights, origin at its centre).
#[derive(Debug, Clone, Copy)]
pub struct Place {
    width: f32,
    height: f32,
}

impl Place {
    #[inline(always)]
    pub fn x(&self, column: usize) -> f32 {
        (column as f32 + 0.5 - self.width * 0.5) / self.height
    }

    #[inline(always)]
    pub fn y(&self, row: usize) -> f32 {
        (row as f32 + 0.5 - self.height * 0.5) / self.height
    }

    pub fn pixel(&self, [x, y]: [f32; 2]) -> [f32; 2] {
        [x * self.height + self.width * 0.5, y * self.height + self.height * 0.5]
    }

    /// The columns of `within` whose centres lie in `span`.
    pub fn columns(&self, span: Option<(f32, f32)>, within: Range<usize>) -> Range<usize> {
        let Some((from, to)) = span else { return 0..0 };
        let column = |x: f32| (x * self.height + self.width * 0.5 - 0.5).clamp(0.0, self.width);
        let (from, to) = ((column(from).floor() as usize).max(within.start), (column(to).ceil() as usize + 1).min(within.end));
        from..to.max(from)
    }
}

/// The circle that the scope shows, and how bright it is in each place. It belongs to the scope: it does not move.
#[derive(Debug)]
pub struct Content {
    pub centre: [f32; 2],
    pub radius: f32,
    place: Place,
    width: usize,
    /// 256 = full light, soft edge included; a value a pixel.
    light: Vec<u16>,
}

impl Content {
    pub fn new(r: &mut Rng, width: usize, height: usize) -> Self {
        let place = Place { width: width as f32, height: height as f32 };
        let aspect = place.width / place.height;
        let radius = (0.445 * aspect).clamp(0.40, 0.80) * r.range(0.90, 1.06);
        let centre = [r.range(-0.04, 0.04) * aspect, r.range(-0.02, 0.02)];
        let hot = [centre[0] + r.range(-0.12, 0.12), centre[1] + r.range(-0.06, 0.12)];
        let (gain, fall) = (r.range(1.42, 1.68), r.range(1.2, 2.0));
        let soft = (0.004f32).max(1.5 / place.height);
        let mut light = vec![0; width * height];
        for (at, value) in light.iter_mut().enumerate() {
            let (x, y) = (place.x(at % width), place.y(at / width));
            let edge = ((x - centre[0]).powi(2) + (y - centre[1]).powi(2)).sqrt() - radius;
            let far = (x - hot[0]).powi(2) + (y - hot[1]).powi(2);
            let l = gain / (1.0 + fall * far) * smoothstep(soft, -soft, edge) * (1.0 - 0.35 * smoothstep(-0.10, 0.0, edge));
            *value = (l * 256.0 + 0.5) as u16;
        }
        Content { centre, radius, place, width, light }
    }

    pub fn place(&self) -> Place {
        self.place
    }

    pub fn light_row(&self, y: usize) -> &[u16] {
        &self.light[y * self.width..][..self.width]
    }

    /// The columns of row `y` that get any light.
    pub fn span(&self, y: usize) -> (usize, usize) {
        let dy = self.place.y(y) - self.centre[1];
        let reach = self.radius + 0.006 + 2.0 / self.place.height;
        if dy.abs() >= reach {
            return (0, 0);
        }
        let half = (reach * reach - dy * dy).sqrt();
        let columns = self.place.columns(Some((self.centre[0] - half, self.centre[0] + half)), 0..self.width);
        (columns.start, columns.end)
    }

    pub fn contains(&self, x: usize, y: usize) -> bool {
        (self.place.x(x) - self.centre[0]).powi(2) + (self.place.y(y) - self.centre[1]).powi(2) <= self.radius * self.radius
    }
}

/// Reflections of the scope's own light: where a wet surface's normal points half way between light and camera.
#[derive(Debug)]
pub struct Speculars {
    /// 0..=256 by the squared distance of the normals, the last for all that are further.
    pub(super) table: Box<[u32; 4096]>,
    /// The normal (×2048) that reflects the light into the camera: for each column, and for each row.
    pub(super) wanted_x: Vec<i32>,
    pub(super) wanted_y: Vec<i32>,
}

impl Speculars {
    pub fn new(r: &mut Rng, width: usize, height: usize) -> Self {
        // Index: squared distance of the normals in 1/64² steps, 8 entries each.
        let table = Box::new(std::array::from_fn(|d2| {
            let d = (d2 as f32 / 8.0).sqrt() / 64.0;
            let core = 1.0 / (1.0 + (d / 0.055).powi(6));
            let sheen = 0.20 * (-(d / 0.16).powi(2)).exp();
            ((core + sheen).min(1.0) * 256.0) as u32
        }));
        let centre = [(width as f32 * r.range(0.45, 0.55)) as i32, (height as f32 * r.range(0.38, 0.50)) as i32];
        // Normal units (1/2048 of a right angle's sine) a pixel, 16.16.
        let slope = (0.75 * 2048.0 * 65536.0 / height as f32) as i32;
        let wanted = |pixel: usize, centre: i32| -((i64::from(pixel as i32 - centre) * i64::from(slope)) >> 16) as i32;
        Speculars {
            table,
            wanted_x: (0..width).map(|x| wanted(x, centre[0])).collect(),
            wanted_y: (0..height).map(|y| wanted(y, centre[1])).collect(),
        }
    }

    /// 0..=256; `normal` and `gloss` as in `atlas::Sample`.
    #[inline(always)]
    pub fn shine(&self, normal: [i32; 2], wanted_x: i32, wanted_y: i32, gloss: u32) -> u32 {
        // 127·256 is 1: bring it to 2048.
        let dx = ((normal[0] - 128 * 256) >> 4) - wanted_x;
        let dy = ((normal[1] - 128 * 256) >> 4) - wanted_y;
        let d2 = (dx * dx + dy * dy) >> 7;
        let value = self.table[(d2 as usize).min(4095)];
        (value * gloss) >> 16
    }
}

/// The shadow that falls to the lower right, onto what lies behind.
pub fn draw_shadow(instrument: &Instrument, place: Place, y: usize, within: Range<usize>, row: &mut RgbRow) {
    let span = instrument.span(place.y(y) - SHADOW_AWAY[1], SHADOW_SOFT).map(|(from, to)| (from + SHADOW_AWAY[0], to + SHADOW_AWAY[0]));
    let columns = place.columns(span, within);
    let (r, g, b) = (&mut row.r[columns.clone()], &mut row.g[columns.clone()], &mut row.b[columns.clone()]);
    shade(instrument, place, y, columns.start, [r, g, b]);
}

const SHADOW_AWAY: [f32; 2] = [0.022, 0.034];
const SHADOW_SOFT: f32 = 0.045;

wide! {
    /// Darkens the columns from `first` on.
    fn shade(instrument: &Instrument, place: Place, y: usize, first: usize, planes: [&mut [u8]; 3]) {
        let [r, g, b] = planes;
        for (((x, r), g), b) in (first..).zip(r).zip(g).zip(b) {
            let distance = instrument.rod([place.x(x) - SHADOW_AWAY[0], place.y(y) - SHADOW_AWAY[1]]);
            // Whatever is further than the soft edge keeps all of its light: no branch, so that it is done many at a time.
            let keep = 256 - (110.0 * smoothstep(SHADOW_SOFT, -0.02, distance)) as i32;
            let shaded = |v: u8| ((i32::from(v) * keep) >> 8) as u8;
            (*r, *g, *b) = (shaded(*r), shaded(*g), shaded(*b));
        }
    }
}

/// One row of an instrument, with an edge one to two pixels soft; half covered is where the mask's border runs.
pub fn draw_instrument(instrument: &Instrument, place: Place, y: usize, within: Range<usize>, light: &[u16], row: &mut RgbRow) {
    let edge = (1.6 / place.height).max(0.0014);
    let span = instrument.span(place.y(y), edge);
    for x in place.columns(span, within) {
        let touch = instrument.touch([place.x(x), place.y(y)]);
        let cover = (0.5 - touch.distance / edge).clamp(0.0, 1.0);
        if cover > 0.0 {
            // Nearer to the light than the tissue.
            let lit = f32::from(light[x]) * (0.92 / 256.0);
            for (plane, colour) in [&mut row.r, &mut row.g, &mut row.b].into_iter().zip(touch.colour) {
                let under = f32::from(plane[x]);
                let over = (colour * lit * 255.0).min(255.0);
                plane[x] = (under + (over - under) * cover + 0.5) as u8;
            }
        }
    }
}
