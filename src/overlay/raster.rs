//! The rasteriser: anti-aliased lines by distance, solid areas by scan lines, both into a `Layer`.
//!
//! A line's coverage at a pixel is its half-width + 0.5 − the distance of the pixel's centre, within 0..1. While a shape
//! is drawn, each pixel keeps its nearness to the nearest line, so that joints and crossings are no darker than the
//! rest; when it is finished, a table turns nearness into colour. All is f32 without fused operations, hence the same on
//! every machine; nothing is allocated while drawing. (A general path stroker costs several times as much here.)
//! What is drawn, and in which colour, is `paint`'s matter.

use crate::base::simd::wide;
use crate::overlay::blend::{over, premultiplied};
use crate::overlay::{Layer, Rect, Tiles};

pub type Point = [f32; 2];

/// A bright core on a wider dark casing, so that it shows on bright and on dark ground.
#[derive(Debug, Clone, Copy)]
pub struct Pen {
    pub core_radius: f32,
    pub casing_radius: f32,
    pub rgb: [u8; 3],
    /// 0..=255
    pub opacity: u8,
}

impl Pen {
    /// Distance at which its coverage ends, px.
    pub fn reach(&self) -> f32 {
        self.casing_radius.max(self.core_radius) + 0.5
    }

    /// Premultiplied pixels by nearness.
    pub fn palette(&self) -> [u32; 256] {
        std::array::from_fn(|nearness| {
            let distance = self.reach() * (1.0 - nearness as f32 / 255.0).sqrt();
            let alpha = |radius: f32, opacity: u32| ((radius + 0.5 - distance).clamp(0.0, 1.0) * opacity as f32 + 0.5) as u8;
            let opacity = u32::from(self.opacity);
            let casing = premultiplied(CASING_RGB, alpha(self.casing_radius, (opacity * CASING_PART) >> 8));
            let core = premultiplied(self.rgb, alpha(self.core_radius, opacity));
            if nearness == 0 { 0 } else { over(core, casing) }
        })
    }
}

const CASING_RGB: [u8; 3] = [8, 8, 8];
/// Part of the pen's opacity that the casing has, of 256.
const CASING_PART: u32 = 160;
/// Longer lines are drawn in pieces: the pixels looked at are those of the pieces' bounding boxes.
const PIECE_PX: f32 = 12.0;
/// Pixels that are measured and laid at a time.
const LANES: usize = 8;

#[derive(Debug)]
pub struct Raster {
    width: usize,
    height: usize,
    /// Bytes of a row of `nearness`: whole lanes. What lies beyond the width is never laid.
    stride: usize,
    /// Of the shape being drawn: 0 out of the pen's reach … 255 on a line, by the square of the distance (which costs no
    /// root); all zero between shapes.
    nearness: Vec<u8>,
    tiles: Tiles,
    rects: Vec<Rect>,
    /// Of scan lines: row in the upper half, first pixel right of the crossing in the lower.
    crossings: Vec<u64>,
}

impl Raster {
    pub fn new(width: usize, height: usize) -> Self {
        let tiles = Tiles::new(width, height);
        let stride = width.next_multiple_of(LANES);
        Raster {
            width,
            height,
            stride,
            nearness: vec![0; stride * height],
            tiles,
            rects: Vec::with_capacity(256),
            crossings: Vec::with_capacity(8192),
        }
    }

    pub fn size(&self) -> (usize, usize) {
        (self.width, self.height)
    }

    /// Adds a line to the shape being drawn; a point where `a` equals `b`. Coordinates must be finite. All lines of a
    /// shape are drawn with the pen that finishes it.
    pub fn line(&mut self, a: Point, b: Point, pen: &Pen) {
        let reach = pen.reach();
        let Some((a, b)) = clip(a, b, [-reach, -reach], [self.width as f32 + reach, self.height as f32 + reach]) else { return };
        let length = (b[0] - a[0]).hypot(b[1] - a[1]);
        let pieces = (length / PIECE_PX).ceil().max(1.0);
        let mut from = a;
        for piece in 1..=pieces as usize {
            let t = piece as f32 / pieces;
            let to = [a[0] + (b[0] - a[0]) * t, a[1] + (b[1] - a[1]) * t];
            self.piece(from, to, reach);
            from = to;
        }
    }

    fn piece(&mut self, a: Point, b: Point, reach: f32) {
        // Casts saturate: what lies left of or above the picture starts at 0, the rest is clipped.
        let rect = Rect {
            x0: (a[0].min(b[0]) - reach).floor() as usize,
            y0: (a[1].min(b[1]) - reach).floor() as usize,
            x1: (a[0].max(b[0]) + reach).ceil() as usize,
            y1: (a[1].max(b[1]) + reach).ceil() as usize,
        }
        .clipped(self.width, self.height);
        if rect.is_empty() {
            return;
        }
        self.tiles.mark(rect);
        let way = [b[0] - a[0], b[1] - a[1]];
        let length2 = way[0] * way[0] + way[1] * way[1];
        let line =
            Line { start: a, way, inverse: if length2 > 1e-6 { 1.0 / length2 } else { 0.0 }, steps_per_px2: 255.0 / (reach * reach) };
        // Of a slanted line each row meets a short part of the box: all within reach lies in the strip along it.
        let half = (way[1].abs() > 1e-2).then(|| (reach + 0.5) * length2.sqrt() / way[1].abs());
        draw(&line, half, rect, self.stride, &mut self.nearness);
    }

    /// Lays the lines drawn since the last call over `layer`, and marks in `touched` where.
    pub fn finish(&mut self, pen: &Pen, layer: &mut Layer, touched: &mut Tiles) {
        let palette = pen.palette();
        self.tiles.write_rects(&mut self.rects);
        for rect in &self.rects {
            touched.mark(*rect);
            for y in rect.y0..rect.y1 {
                let nearness = &mut self.nearness[y * self.stride + rect.x0..y * self.stride + rect.x1];
                lay(nearness, &palette, layer.row_mut(y, rect.x0, rect.x1).as_chunks_mut::<4>().0);
            }
        }
        self.tiles.clear();
    }

    /// Calls `span(y, x0, x1)` for the pixels whose centres lie inside the closed contours (even-odd).
    pub fn area<'a>(&mut self, contours: impl Iterator<Item = &'a [Point]>, mut span: impl FnMut(usize, usize, usize)) {
        self.crossings.clear();
        for contour in contours {
            for (i, &a) in contour.iter().enumerate() {
                let b = contour[(i + 1) % contour.len()];
                let (top, bottom) = if a[1] <= b[1] { (a, b) } else { (b, a) };
                let first = (top[1] - 0.5).ceil().max(0.0) as usize;
                let end = ((bottom[1] - 0.5).ceil().max(0.0) as usize).min(self.height);
                let slope = (bottom[0] - top[0]) / (bottom[1] - top[1]);
                for y in first..end {
                    let x = top[0] + (y as f32 + 0.5 - top[1]) * slope;
                    let x = ((x - 0.5).ceil().max(0.0) as usize).min(self.width);
                    self.crossings.push((y as u64) << 32 | x as u64);
                }
            }
        }
        self.crossings.sort_unstable();
        for pair in self.crossings.as_chunks::<2>().0 {
            let [x0, x1] = pair.map(|crossing| crossing as u32 as usize);
            if x0 < x1 {
                span((pair[0] >> 32) as usize, x0, x1);
            }
        }
    }
}

wide! {
    /// Colours by nearness over pixels; the nearness is used up.
    fn lay(nearness: &mut [u8], palette: &[u32; 256], pixels: &mut [[u8; 4]]) {
        let (eights, rest) = nearness.as_chunks_mut::<LANES>();
        let (pixel_eights, pixel_rest) = pixels.as_chunks_mut::<LANES>();
        for (nearness, pixels) in eights.iter_mut().zip(pixel_eights) {
            if *nearness == [0; LANES] {
                continue;
            }
            let colours: [u32; LANES] = std::array::from_fn(|lane| palette[usize::from(nearness[lane])]);
            let below = pixels.map(u32::from_le_bytes);
            let out: [u32; LANES] = std::array::from_fn(|lane| over(colours[lane], below[lane]));
            *pixels = out.map(u32::to_le_bytes);
            *nearness = [0; LANES];
        }
        for (nearness, pixel) in rest.iter_mut().zip(pixel_rest) {
            let colour = palette[usize::from(std::mem::take(nearness))];
            *pixel = over(colour, u32::from_le_bytes(*pixel)).to_le_bytes();
        }
    }

    /// Raises the nearness of what lies in `rect`; of a slanted line within `half` px to each side of it in a row.
    fn draw(line: &Line, half: Option<f32>, rect: Rect, stride: usize, nearness: &mut [u8]) {
        let slant = line.way[0] / line.way[1];
        for y in rect.y0..rect.y1 {
            let (mut x0, mut x1) = (rect.x0, rect.x1);
            if let Some(half) = half {
                let middle = line.start[0] + (y as f32 + 0.5 - line.start[1]) * slant;
                (x0, x1) = (x0.max((middle - half) as usize), x1.min((middle + half) as usize + 1));
            }
            if x0 < x1 {
                let (x0, x1) = (x0 / LANES * LANES, x1.next_multiple_of(LANES));
                line.row(x0, y, &mut nearness[y * stride + x0..y * stride + x1]);
            }
        }
    }
}

/// A piece of a line, ready to be measured against pixels.
struct Line {
    start: Point,
    way: [f32; 2],
    /// 1 / length², 0 for a point.
    inverse: f32,
    steps_per_px2: f32,
}

impl Line {
    /// Raises the nearness of the pixels of a row from (x0, y) on; whole lanes.
    #[inline(always)]
    fn row(&self, x0: usize, y: usize, nearness: &mut [u8]) {
        let [dx, dy] = self.way;
        let py = y as f32 + 0.5 - self.start[1];
        for (block, nearness) in nearness.as_chunks_mut::<LANES>().0.iter_mut().enumerate() {
            let first = (x0 + block * LANES) as f32 + 0.5 - self.start[0];
            let found: [u8; LANES] = std::array::from_fn(|lane| {
                let px = first + lane as f32;
                let t = ((px * dx + py * dy) * self.inverse).clamp(0.0, 1.0);
                let (ex, ey) = (px - t * dx, py - t * dy);
                let near = 255.0 - (ex * ex + ey * ey) * self.steps_per_px2;
                // The low byte of a float of this size is its integer part, rounded; cheaper than a checked cast.
                (if near > 0.0 { near } else { 0.0 } + 8_388_608.0).to_bits() as u8
            });
            *nearness = std::array::from_fn(|lane| nearness[lane].max(found[lane]));
        }
    }
}

/// The part of a line inside a box (Liang–Barsky); None if there is none.
pub fn clip(a: Point, b: Point, low: Point, high: Point) -> Option<(Point, Point)> {
    let (mut t0, mut t1) = (0.0f32, 1.0f32);
    for axis in 0..2 {
        let way = b[axis] - a[axis];
        if way == 0.0 {
            if a[axis] < low[axis] || a[axis] > high[axis] {
                return None;
            }
            continue;
        }
        let (mut enter, mut leave) = ((low[axis] - a[axis]) / way, (high[axis] - a[axis]) / way);
        if enter > leave {
            std::mem::swap(&mut enter, &mut leave);
        }
        t0 = t0.max(enter);
        t1 = t1.min(leave);
    }
    let at = |t: f32| [a[0] + (b[0] - a[0]) * t, a[1] + (b[1] - a[1]) * t];
    (t0 <= t1).then(|| (at(t0), at(t1)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const PEN: Pen = Pen { core_radius: 1.0, casing_radius: 2.0, rgb: [255, 255, 255], opacity: 255 };

    #[test]
    fn a_line_is_as_wide_as_its_pen_and_leaves_no_trace_behind() {
        let (mut raster, mut layer, mut tiles) = (Raster::new(64, 64), Layer::new(64, 64), Tiles::new(64, 64));
        raster.line([10.0, 20.0], [50.0, 20.0], &PEN);
        raster.finish(&PEN, &mut layer, &mut tiles);
        let alpha = |x: usize, y: usize| layer.data[(y * 64 + x) * 4 + 3];
        // Centres of rows 19 and 20 are 0.5 px from the line: core; 18 and 21 are casing; 17 and 22 the last half pixel of it.
        assert_eq!([17, 18, 19, 20, 21, 22].map(|y| alpha(30, y) > 0), [false, true, true, true, true, false]);
        assert_eq!(layer.row(19, 30, 31), [255; 4]);
        assert!(alpha(30, 18) < 255 && layer.row(18, 30, 31)[0] < 40);
        assert_eq!(alpha(55, 20), 0);
        assert!(raster.nearness.iter().all(|n| *n == 0));
    }

    #[test]
    fn an_area_has_the_area_of_its_polygon_and_holes_are_holes() {
        let mut raster = Raster::new(100, 100);
        let outer = [[10.0, 10.0], [90.0, 10.0], [90.0, 90.0], [10.0, 90.0]];
        let hole = [[30.0, 30.0], [60.0, 30.0], [60.0, 60.0], [30.0, 60.0]];
        let mut count = 0;
        raster.area([&outer[..], &hole[..]].into_iter(), |_, x0, x1| count += x1 - x0);
        assert_eq!(count, 80 * 80 - 30 * 30);
    }

    proptest! {
        #[test]
        fn no_finite_line_reaches_outside_and_pixels_stay_premultiplied(points in proptest::collection::vec((-1e7f32..1e7, -1e7f32..1e7, -90f32..200.0, -90f32..200.0), 1..6)) {
            let (mut raster, mut layer, mut tiles) = (Raster::new(50, 40), Layer::new(50, 40), Tiles::new(50, 40));
            for (x0, y0, x1, y1) in points {
                raster.line([x0, y0], [x1, y1], &PEN);
                raster.area([&[[x0, y0], [x1, y1], [x1, y0]][..]].into_iter(), |y, x0, x1| assert!(y < 40 && x1 <= 50 && x0 < x1));
            }
            raster.finish(&PEN, &mut layer, &mut tiles);
            for pixel in layer.data.chunks_exact(4) {
                prop_assert!(pixel[..3].iter().all(|c| *c <= pixel[3]));
            }
        }
    }
}
