//! The overlay's marks that are no outlines: corners of a box, departed instruments at the rim, names on demand, and the
//! hatched rim of a frame of which nothing is known. Nothing here is a number of confidence.

use crate::base::classes::ClassKind;
use crate::overlay::draw::{DrawList, EdgeMark};
use crate::overlay::lettering::Word;
use crate::overlay::paint::{DASHES_PX, HATCH_PX, Painter, level};
use crate::overlay::raster::{Pen, Point, clip};
use crate::overlay::style::{Style, UNKNOWN_RGB};
use crate::overlay::{Layer, Rect};
use crate::scene::Trust;

/// In pixels of a picture of 1080 rows.
const ARM_PX: f32 = 34.0;
const EDGE_LENGTH_PX: f32 = 32.0;
const EDGE_HALF_WIDTH_PX: f32 = 19.0;
const NAME_GAP_PX: f32 = 24.0;
/// Thickness of the rim in a picture of one row; the central 80 % begin at 0.1.
const RIM_PART: f32 = 0.02;

impl Painter {
    /// Length of a corner's two arms, px.
    pub(super) fn arm_px(&self, [x0, y0, x1, y1]: [f32; 4]) -> f32 {
        let scale = Style::scale(self.raster.size().1);
        (ARM_PX * scale).min(0.3 * (x1 - x0)).min(0.3 * (y1 - y0)).max(3.0)
    }

    /// Adds the four corners of a box to the shape being drawn.
    pub(super) fn corners(&mut self, corners: [f32; 4], trust: Trust, pen: &Pen) {
        let [x0, y0, x1, y1] = corners;
        let arm = self.arm_px(corners);
        // Dashes as fine as the arms need: each arm shows at least two.
        let scale = Style::scale(self.raster.size().1);
        let part = (arm / (2.0 * (DASHES_PX[0] + DASHES_PX[1]) * scale)).min(1.0) * scale;
        for (x, y, dx, dy) in [(x0, y0, arm, arm), (x1, y0, -arm, arm), (x1, y1, -arm, -arm), (x0, y1, arm, -arm)] {
            for end in [[x + dx, y], [x, y + dy]] {
                match trust {
                    Trust::Sure => self.raster.line([x, y], end, pen),
                    Trust::Unsure | Trust::Unknown => {
                        self.dashed(std::iter::once(([x, y], end)), DASHES_PX.map(|px| px * part), pen);
                    }
                }
            }
        }
    }

    /// A triangle at the rim that points outwards, and how long ago the instrument was seen.
    pub(super) fn edge_marks(&mut self, list: &DrawList, layer: &mut Layer) {
        let (width, height) = self.raster.size();
        let scale = Style::scale(height);
        let Style { language, .. } = list.style;
        for mark in &list.edge_marks {
            let outward = outward(mark, width, height);
            let (length, half) = (EDGE_LENGTH_PX * scale, EDGE_HALF_WIDTH_PX * scale);
            let pen = self.pen(&list.style, ClassKind::Finding, mark.rgb);
            // The whole triangle lies in the picture, also beside a corner.
            let inset = pen.reach().ceil();
            let within = |at: f32, side: usize| at.min(side as f32 - inset).max(inset.min(0.5 * side as f32));
            let inside = |p: Point| [within(p[0], width), within(p[1], height)];
            let tip = inside(mark.at);
            let side = [-outward[1], outward[0]];
            let base =
                |s: f32| inside([tip[0] - outward[0] * length + side[0] * s * half, tip[1] - outward[1] * length + side[1] * s * half]);
            for (a, b) in [(base(1.0), tip), (tip, base(-1.0)), (base(-1.0), base(1.0))] {
                self.raster.line(a, b, &pen);
            }
            self.raster.finish(&pen, layer, &mut self.touched);

            let word = Word::LastSeen(mark.seconds);
            let (w, h) = self.lettering.size(word, language);
            let at = beside(tip, outward, length + 2.0 * pen.reach(), (w, h), (width, height));
            let rect = self.lettering.put(word, language, at, mark.rgb, level(list.style.opacity), layer);
            self.touched.mark(rect);
        }
    }

    /// Names beside instruments and findings, away from each other and from the tips.
    pub(super) fn names(&mut self, list: &DrawList, layer: &mut Layer) {
        self.names.clear();
        if !list.style.labels {
            return;
        }
        let (width, height) = self.raster.size();
        let gap = NAME_GAP_PX * Style::scale(height);
        let Style { language, .. } = list.style;
        let named = list.shapes.iter().filter(|shape| shape.kind != ClassKind::Tissue && shape.trust != Trust::Unknown && !shape.is_hidden);
        for shape in named {
            let Some(anchor) = shape.tip.or_else(|| shape.corners.map(|c| [c[2], c[1]])).or_else(|| centre(list, shape)) else { continue };
            let word = Word::Class(shape.class);
            let (w, h) = self.lettering.size(word, language);
            if w >= width || h >= height {
                continue;
            }
            // Right of the anchor or left of it, above or below: the first place that is inside and free.
            let place = |right: bool, down: f32| {
                let x = if right { anchor[0] + gap } else { anchor[0] - gap - w as f32 };
                let x = x.clamp(0.0, (width - w) as f32) as usize;
                let y = (anchor[1] + down * (h as f32 + 2.0) - 0.5 * h as f32).clamp(0.0, (height - h) as f32) as usize;
                Rect { x0: x, y0: y, x1: x + w, y1: y + h }
            };
            let near = |p: &Point| Rect {
                x0: (p[0] - 0.5 * gap) as usize,
                y0: (p[1] - 0.5 * gap) as usize,
                x1: (p[0] + 0.5 * gap) as usize,
                y1: (p[1] + 0.5 * gap) as usize,
            };
            let is_free = |rect: &Rect| {
                let tips = list.shapes.iter().filter_map(|shape| shape.tip.as_ref()).map(near);
                self.names.iter().copied().chain(tips).all(|other| rect.intersection(&other).is_empty())
            };
            let places = [(true, 0.0), (false, 0.0), (true, -1.0), (true, 1.0), (false, -1.0), (false, 1.0), (true, -2.0), (true, 2.0)];
            let Some(rect) = places.iter().map(|&(right, down)| place(right, down)).find(is_free) else { continue };
            let covered = self.lettering.put(word, language, (rect.x0, rect.y0), shape.rgb, level(list.style.opacity), layer);
            self.touched.mark(covered);
            self.names.push(rect);
        }
    }

    /// About how many pixels edge marks and names cover together.
    pub(super) fn words_px(&mut self, list: &DrawList) -> f32 {
        let scale = Style::scale(self.raster.size().1);
        let reach = self.pen(&list.style, ClassKind::Instrument, UNKNOWN_RGB).reach();
        let language = list.style.language;
        let mut sum = 0.0;
        for mark in &list.edge_marks {
            let (w, h) = self.lettering.size(Word::LastSeen(mark.seconds), language);
            sum += (w * h) as f32 + 3.0 * EDGE_LENGTH_PX * scale * 2.0 * reach;
        }
        if list.style.labels {
            for shape in list.shapes.iter().filter(|shape| shape.kind != ClassKind::Tissue && !shape.is_hidden) {
                let (w, h) = self.lettering.size(Word::Class(shape.class), language);
                sum += (w * h) as f32;
            }
        }
        sum
    }

    /// Slanted lines in a thin band at the picture's rim, with a line at its inner side.
    pub(super) fn rim(&mut self, list: &DrawList, layer: &mut Layer) {
        let (width, height) = self.raster.size();
        let (w, h) = (width as f32, height as f32);
        let thick = (RIM_PART * h).max(4.0).min(0.1 * w);
        let pen = self.pen(&list.style, ClassKind::Instrument, UNKNOWN_RGB);
        // In small pictures lines are relatively thick: farther apart.
        let step = (1.4 * HATCH_PX * Style::scale(height)).max(6.0 * pen.reach());
        let bands = [
            ([0.0, 0.0], [w, thick]),
            ([0.0, h - thick], [w, h]),
            ([0.0, thick], [thick, h - thick]),
            ([w - thick, thick], [w, h - thick]),
        ];
        for k in 0..=((w + h) / step) as usize {
            let sum = k as f32 * step;
            for (low, high) in bands {
                // A round cap would reach over the band's inner side; the line there hides it.
                if let Some((a, b)) = clip([sum, 0.0], [sum - h, h], low, high) {
                    self.raster.line(a, b, &pen);
                }
            }
        }
        let inner = [[thick, thick], [w - thick, thick], [w - thick, h - thick], [thick, h - thick]];
        (0..4).for_each(|i| self.raster.line(inner[i], inner[(i + 1) % 4], &pen));
        self.raster.finish(&pen, layer, &mut self.touched);
    }
}

/// Unit vector out of the picture at a mark's place: that of the nearest side.
fn outward(mark: &EdgeMark, width: usize, height: usize) -> [f32; 2] {
    let [x, y] = mark.at;
    let sides = [(x, [-1.0, 0.0]), (width as f32 - x, [1.0, 0.0]), (y, [0.0, -1.0]), (height as f32 - y, [0.0, 1.0])];
    sides.iter().min_by(|a, b| a.0.total_cmp(&b.0)).map_or([0.0, -1.0], |side| side.1)
}

/// Where a word of size `word` stands for a triangle at `tip`: along the side, past the triangle, inside the picture.
fn beside(tip: Point, outward: [f32; 2], clear: f32, word: (usize, usize), picture: (usize, usize)) -> (usize, usize) {
    let (w, h) = (word.0 as f32, word.1 as f32);
    let (pw, ph) = (picture.0 as f32, picture.1 as f32);
    let (x, y) = if outward[0] != 0.0 {
        let y = if tip[1] + clear + h <= ph { tip[1] + 0.7 * clear } else { tip[1] - 0.7 * clear - h };
        (if outward[0] < 0.0 { 0.0 } else { pw - w }, y)
    } else {
        let x = if tip[0] + clear + w <= pw { tip[0] + 0.7 * clear } else { tip[0] - 0.7 * clear - w };
        (x, if outward[1] < 0.0 { 0.0 } else { ph - h })
    };
    (x.clamp(0.0, (pw - w).max(0.0)) as usize, y.clamp(0.0, (ph - h).max(0.0)) as usize)
}

/// The middle of a shape's contours.
fn centre(list: &DrawList, shape: &crate::overlay::draw::Shape) -> Option<Point> {
    let mut sum = [0.0f32; 2];
    let mut count = 0.0;
    for point in list.contours(shape).flatten() {
        sum = [sum[0] + point[0], sum[1] + point[1]];
        count += 1.0;
    }
    (count > 0.0).then(|| [sum[0] / count, sum[1] / count])
}
