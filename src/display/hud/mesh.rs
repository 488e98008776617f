//! egui's triangles → premultiplied BGRA, on the CPU. Not for pictures: a few thousand small triangles, twice a second.
//!
//! ```text
//!   pixel (x, y) belongs to a triangle if its centre does; on an edge: top and left edges only, so that triangles which
//!   share an edge paint each pixel once.    colour = texture(uv) · vertex colour, both premultiplied, as encoded
//! ```

use crate::overlay::blend::over;
use crate::overlay::{Layer, Rect};
use egui::epaint::Vertex;
use egui::{Color32, Mesh, Pos2, TextureId, TexturesDelta};
use std::collections::HashMap;

/// egui's textures: the font atlas, and nothing else here.
#[derive(Default)]
pub(super) struct Textures {
    images: HashMap<TextureId, Texture>,
}

#[derive(Default)]
struct Texture {
    width: usize,
    height: usize,
    /// Premultiplied.
    pixels: Vec<Color32>,
}

impl Textures {
    /// Takes new and changed textures; `drop_freed` comes after painting.
    pub(super) fn take(&mut self, delta: &mut TexturesDelta) {
        for (id, changes) in delta.set.drain() {
            for change in changes {
                let egui::ImageData::Color(image) = &change.image;
                let [width, height] = image.size;
                let texture = self.images.entry(id).or_default();
                let Some([left, top]) = change.pos else {
                    *texture = Texture { width, height, pixels: image.pixels.clone() };
                    continue;
                };
                if left + width > texture.width || top + height > texture.height {
                    continue;
                }
                for (y, row) in image.pixels.chunks_exact(width.max(1)).enumerate() {
                    texture.pixels[(top + y) * texture.width + left..][..width].copy_from_slice(row);
                }
            }
        }
    }

    pub(super) fn drop_freed(&mut self, delta: &mut TexturesDelta) {
        for id in delta.free.drain() {
            self.images.remove(&id);
        }
    }

    /// Lays `mesh` over what `layer` holds inside `clip`.
    pub(super) fn paint(&self, mesh: &Mesh, clip: Rect, layer: &mut Layer) {
        let Some(texture) = self.images.get(&mesh.texture_id).filter(|texture| !texture.pixels.is_empty()) else { return };
        let clip = clip.clipped(layer.width, layer.height);
        for corners in mesh.indices.as_chunks::<3>().0 {
            let [Some(a), Some(b), Some(c)] = corners.map(|index| mesh.vertices.get(index as usize)) else { continue };
            if let Some(triangle) = Triangle::new([a, b, c]) {
                triangle.paint(texture, clip, layer);
            }
        }
    }
}

impl Texture {
    fn texel(&self, x: i32, y: i32) -> [f32; 4] {
        let x = x.clamp(0, self.width as i32 - 1) as usize;
        let y = y.clamp(0, self.height as i32 - 1) as usize;
        self.pixels[y * self.width + x].to_array().map(f32::from)
    }

    /// Linear between texel centres, clamped at the rim; `u`, `v` in texels.
    fn sample(&self, u: f32, v: f32) -> [f32; 4] {
        let (u, v) = (u - 0.5, v - 0.5);
        let (x, y) = (u.floor(), v.floor());
        let (fx, fy) = (u - x, v - y);
        let (x, y) = (x as i32, y as i32);
        let corners = [self.texel(x, y), self.texel(x + 1, y), self.texel(x, y + 1), self.texel(x + 1, y + 1)];
        std::array::from_fn(|i| {
            let [a, b, c, d] = corners.map(|corner| corner[i]);
            let (top, bottom) = (a + (b - a) * fx, c + (d - c) * fx);
            top + (bottom - top) * fy
        })
    }
}

/// Positions are rounded to 1/256 px: edges are then exact integers.
const SUB: i64 = 256;
/// Nothing farther outside than this is painted at all.
const FARTHEST_PX: f32 = 1e6;

/// An edge from `a` to `b`; inside is where `k − dy · 256 · x ≥ bias` along a row.
struct Edge {
    a: [i64; 2],
    dx: i64,
    dy: i64,
    bias: i64,
}

struct Triangle {
    edges: [Edge; 3],
    top: i64,
    bottom: i64,
    /// The pixel of its first corner.
    corner: [i64; 2],
    /// r, g, b, a, u, v at the origin, and what a pixel to the right and one down adds.
    origin: [f64; 6],
    along_x: [f64; 6],
    along_y: [f64; 6],
}

impl Triangle {
    /// None if it covers nothing, or is not finite.
    fn new(mut corners: [&Vertex; 3]) -> Option<Self> {
        let fits = |p: Pos2| p.x.abs() < FARTHEST_PX && p.y.abs() < FARTHEST_PX;
        if !corners.iter().all(|corner| fits(corner.pos)) {
            return None;
        }
        let snap = |p: Pos2| [p.x, p.y].map(|v| (f64::from(v) * SUB as f64).round() as i64);
        let mut at = corners.map(|corner| snap(corner.pos));
        let cross = |at: &[[i64; 2]; 3]| (at[1][0] - at[0][0]) * (at[2][1] - at[0][1]) - (at[1][1] - at[0][1]) * (at[2][0] - at[0][0]);
        let mut area = cross(&at);
        if area < 0 {
            corners.swap(1, 2);
            at.swap(1, 2);
            area = -area;
        }
        if area == 0 {
            return None;
        }
        let edge = |from: usize, to: usize| {
            let (a, b) = (at[from], at[to]);
            let (dx, dy) = (b[0] - a[0], b[1] - a[1]);
            let takes_its_edge = dy < 0 || (dy == 0 && dx > 0);
            Edge { a, dx, dy, bias: i64::from(!takes_its_edge) }
        };
        // Affine in the position: two differences along two sides solve for the change along x and y.
        let place = at.map(|p| p.map(|v| v as f64 / SUB as f64));
        let value = corners.map(|corner| {
            let [r, g, b, a] = corner.color.to_array().map(f64::from);
            [r, g, b, a, f64::from(corner.uv.x), f64::from(corner.uv.y)]
        });
        let [x1, y1] = [place[1][0] - place[0][0], place[1][1] - place[0][1]];
        let [x2, y2] = [place[2][0] - place[0][0], place[2][1] - place[0][1]];
        let inverse = 1.0 / (x1 * y2 - y1 * x2);
        let difference = |corner: usize, i: usize| value[corner][i] - value[0][i];
        let along_x: [f64; 6] = std::array::from_fn(|i| (difference(1, i) * y2 - difference(2, i) * y1) * inverse);
        let along_y: [f64; 6] = std::array::from_fn(|i| (difference(2, i) * x1 - difference(1, i) * x2) * inverse);
        let origin = std::array::from_fn(|i| value[0][i] - along_x[i] * place[0][0] - along_y[i] * place[0][1]);
        let rows = at.map(|p| p[1]);
        let (top, bottom) = (rows.into_iter().min()?.div_euclid(SUB), rows.into_iter().max()?.div_euclid(SUB));
        let corner = at[0].map(|v| v.div_euclid(SUB));
        Some(Triangle { edges: [edge(0, 1), edge(1, 2), edge(2, 0)], top, bottom, corner, origin, along_x, along_y })
    }

    /// The pixels of a row whose centres lie inside, between `x0` and `x1`.
    fn span(&self, y: i64, mut x0: i64, mut x1: i64) -> (i64, i64) {
        let centre = SUB / 2;
        for Edge { a, dx, dy, bias } in &self.edges {
            let k = dx * (SUB * y + centre - a[1]) - dy * (centre - a[0]) - bias;
            match dy.signum() {
                1 => x1 = x1.min(k.div_euclid(SUB * dy) + 1),
                -1 => x0 = x0.max(-(k.div_euclid(-SUB * dy))),
                _ if k < 0 => return (0, 0),
                _ => {}
            }
        }
        (x0, x1)
    }

    /// r, g, b, a, u, v in the middle of a pixel.
    fn at(&self, x: i64, y: i64) -> [f64; 6] {
        let (px, py) = (x as f64 + 0.5, y as f64 + 0.5);
        std::array::from_fn(|i| self.origin[i] + self.along_x[i] * px + self.along_y[i] * py)
    }

    fn paint(&self, texture: &Texture, clip: Rect, layer: &mut Layer) {
        let steady =
            |range: std::ops::Range<usize>| range.into_iter().all(|i| self.along_x[i].abs() < 1e-9 && self.along_y[i].abs() < 1e-9);
        let colour_of = |values: [f64; 6]| -> [f32; 4] { std::array::from_fn(|i| values[i].clamp(0.0, 255.0) as f32) };
        let ink_at = |x: i64, y: i64| {
            let values = self.at(x, y);
            let texel = texture.sample((values[4] * texture.width as f64) as f32, (values[5] * texture.height as f64) as f32);
            pixel(colour_of(values), texel)
        };
        let [x, y] = self.corner;
        if steady(0..6) {
            let ink = ink_at(x, y);
            self.fill(clip, layer, |_, _| ink);
        } else if let (true, Some([dx, dy])) = (steady(0..4), self.texel_from_pixel(texture)) {
            // Text: each pixel shows one texel.
            let colour = colour_of(self.at(x, y));
            self.fill(clip, layer, |x, y| {
                let texel = texture.texel((x + dx) as i32, (y + dy) as i32);
                if texel[3] == 0.0 { 0 } else { pixel(colour, texel) }
            });
        } else {
            self.fill(clip, layer, ink_at);
        }
    }

    /// What to add to a pixel to get its texel, where they stand one to one.
    fn texel_from_pixel(&self, texture: &Texture) -> Option<[i64; 2]> {
        const SLOPE: f64 = 2e-4;
        const PLACE: f64 = 0.02;
        let size = [texture.width as f64, texture.height as f64];
        let values = self.at(self.corner[0], self.corner[1]);
        let mut found = [0; 2];
        for axis in 0..2 {
            let (along, across) = if axis == 0 { (&self.along_x, &self.along_y) } else { (&self.along_y, &self.along_x) };
            let is_one = (along[4 + axis] * size[axis] - 1.0).abs() < SLOPE && (across[4 + axis] * size[axis]).abs() < SLOPE;
            let offset = values[4 + axis] * size[axis] - 0.5 - self.corner[axis] as f64;
            if !is_one || (offset - offset.round()).abs() > PLACE {
                return None;
            }
            found[axis] = offset.round() as i64;
        }
        Some(found)
    }

    /// Lays `ink(x, y)` over each pixel that is inside.
    #[inline(always)]
    fn fill(&self, clip: Rect, layer: &mut Layer, ink: impl Fn(i64, i64) -> u32) {
        for y in self.top.max(clip.y0 as i64)..(self.bottom + 1).min(clip.y1 as i64) {
            let (x0, x1) = self.span(y, clip.x0 as i64, clip.x1 as i64);
            if x0 >= x1 {
                continue;
            }
            let row = layer.row_mut(y as usize, x0 as usize, x1 as usize).as_chunks_mut::<4>().0;
            for (pixel, x) in row.iter_mut().zip(x0..) {
                *pixel = over(ink(x, y), u32::from_le_bytes(*pixel)).to_le_bytes();
            }
        }
    }
}

/// Colour times texel as a BGRA pixel; no channel exceeds the alpha.
fn pixel(colour: [f32; 4], texel: [f32; 4]) -> u32 {
    let [r, g, b, a]: [u32; 4] = std::array::from_fn(|i| (colour[i] * texel[i] / 255.0).round() as u32);
    b.min(a) | g.min(a) << 8 | r.min(a) << 16 | a << 24
}

#[cfg(test)]
mod tests {
    use super::*;
    use egui::{ColorImage, ImageData, TextureOptions, pos2};
    use proptest::prelude::*;

    const SIDE: usize = 48;

    fn textures(width: usize, height: usize, pixels: Vec<Color32>) -> Textures {
        let mut delta = TexturesDelta::default();
        let image = ImageData::from(ColorImage::new([width, height], pixels));
        delta.push(TextureId::default(), egui::epaint::ImageDelta::full(image, TextureOptions::LINEAR));
        let mut textures = Textures::default();
        textures.take(&mut delta);
        textures
    }

    fn white() -> Textures {
        textures(1, 1, vec![Color32::WHITE])
    }

    fn mesh(corners: &[[f32; 2]], colour: Color32, indices: Vec<u32>) -> Mesh {
        let vertices = corners.iter().map(|p| Vertex { pos: pos2(p[0], p[1]), uv: pos2(0.0, 0.0), color: colour }).collect();
        Mesh { indices, vertices, texture_id: TextureId::default() }
    }

    proptest! {
        /// A quad cut along either diagonal, whichever way its corners run: each pixel whose centre is inside is painted
        /// once, others never. A half-transparent ink tells once from twice.
        #[test]
        fn triangles_that_share_an_edge_paint_each_pixel_once(
            fan in proptest::collection::vec((0u32..=48 * 4, 0u32..=48 * 4), 1), turn: bool,
            size in (1u32..100, 1u32..100)) {
            let [x0, y0] = [fan[0].0, fan[0].1].map(|v| v as f32 / 4.0);
            let (x1, y1) = (x0 + size.0 as f32 / 4.0, y0 + size.1 as f32 / 4.0);
            let corners = [[x0, y0], [x1, y0], [x1, y1], [x0, y1]];
            let indices = if turn { vec![0, 1, 2, 0, 2, 3] } else { vec![1, 0, 3, 3, 2, 1] };
            let mut layer = Layer::new(SIDE, SIDE);
            white().paint(&mesh(&corners, Color32::from_rgba_premultiplied(60, 80, 100, 128), indices), Rect::whole(SIDE, SIDE), &mut layer);
            for y in 0..SIDE {
                for x in 0..SIDE {
                    let (px, py) = (x as f32 + 0.5, y as f32 + 0.5);
                    let inside = px >= x0 && px < x1 && py >= y0 && py < y1;
                    let wish = if inside { [100, 80, 60, 128] } else { [0; 4] };
                    prop_assert_eq!(layer.row(y, x, x + 1), wish, "{} {}", x, y);
                }
            }
        }

        /// Any three points, also ones far outside: centres clearly inside are painted, ones clearly outside are not, and
        /// nothing outside the clip is touched.
        #[test]
        fn a_triangle_covers_what_it_encloses(points in proptest::collection::vec((-60f32..110.0, -60f32..110.0), 3), clip in (0usize..30, 0usize..30, 1usize..60, 1usize..60)) {
            let corners: Vec<[f32; 2]> = points.iter().map(|p| [p.0, p.1]).collect();
            let clip = Rect { x0: clip.0, y0: clip.1, x1: clip.0 + clip.2, y1: clip.1 + clip.3 };
            let mut layer = Layer::new(SIDE, SIDE);
            white().paint(&mesh(&corners, Color32::WHITE, vec![0, 1, 2]), clip, &mut layer);
            let side = |a: [f32; 2], b: [f32; 2], p: [f32; 2]| {
                let (dx, dy) = (b[0] - a[0], b[1] - a[1]);
                (dx * (p[1] - a[1]) - dy * (p[0] - a[0])) / dx.hypot(dy).max(1e-6)
            };
            for y in 0..SIDE {
                for x in 0..SIDE {
                    let p = [x as f32 + 0.5, y as f32 + 0.5];
                    let d = [0, 1, 2].map(|i| side(corners[i], corners[(i + 1) % 3], p));
                    let painted = layer.row(y, x, x + 1)[3] == 255;
                    if !clip.contains(x, y) || (d.iter().any(|d| *d < -0.02) && d.iter().any(|d| *d > 0.02)) {
                        prop_assert!(!painted, "{} {}", x, y);
                    } else if d.iter().all(|d| *d > 0.02) || d.iter().all(|d| *d < -0.02) {
                        prop_assert!(painted, "{} {}", x, y);
                    }
                }
            }
        }
    }

    #[test]
    fn a_quad_of_the_textures_size_is_the_texture_and_patches_replace_their_part() {
        let colour = |i: usize| Color32::from_white_alpha((i * 37 % 256) as u8);
        let mut textures = textures(8, 6, (0..48).map(colour).collect());
        let patch = ImageData::from(ColorImage::new([3, 2], vec![Color32::from_rgb(9, 90, 200); 6]));
        let mut delta = TexturesDelta::default();
        delta.push(TextureId::default(), egui::epaint::ImageDelta::partial([4, 1], patch, TextureOptions::LINEAR));
        textures.take(&mut delta);
        let corners = [[5.0, 7.0], [13.0, 7.0], [13.0, 13.0], [5.0, 13.0]];
        let mut mesh = mesh(&corners, Color32::WHITE, vec![0, 1, 2, 0, 2, 3]);
        for (vertex, uv) in mesh.vertices.iter_mut().zip([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]]) {
            vertex.uv = pos2(uv[0], uv[1]);
        }
        let mut layer = Layer::new(SIDE, SIDE);
        textures.paint(&mesh, Rect::whole(SIDE, SIDE), &mut layer);
        for y in 0..6 {
            for x in 0..8 {
                let is_patch = (4..7).contains(&x) && (1..3).contains(&y);
                let [r, g, b, a] = if is_patch { [9, 90, 200, 255] } else { colour(y * 8 + x).to_array() };
                assert_eq!(layer.row(7 + y, 5 + x, 6 + x), [b, g, r, a], "{x} {y}");
            }
        }
        assert_eq!(layer.data.chunks_exact(4).filter(|p| p[3] != 0).count(), 47, "texel 0 is transparent");
    }

    /// Enlarged, shifted and coloured: linear between texel centres.
    #[test]
    fn a_quad_of_another_size_is_sampled_between_texels() {
        let level = |x: usize, y: usize| ((x * 31 + y * 57) % 200) as f32;
        let textures = textures(8, 6, (0..48).map(|i| Color32::from_white_alpha(level(i % 8, i / 8) as u8)).collect());
        let corners = [[3.0, 4.0], [35.0, 4.0], [35.0, 28.0], [3.0, 28.0]];
        let mut mesh = mesh(&corners, Color32::from_rgb(255, 128, 0), vec![0, 1, 2, 0, 2, 3]);
        for (vertex, uv) in mesh.vertices.iter_mut().zip([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]]) {
            vertex.uv = pos2(uv[0], uv[1]);
        }
        let mut layer = Layer::new(SIDE, SIDE);
        textures.paint(&mesh, Rect::whole(SIDE, SIDE), &mut layer);
        for (x, y) in [(5, 6), (6, 9), (20, 17), (33, 26), (34, 27)] {
            // Four pixels a texel: where the middle of a pixel lies between texel centres.
            let (u, v) = ((x as f32 + 0.5 - 3.0) / 4.0 - 0.5, (y as f32 + 0.5 - 4.0) / 4.0 - 0.5);
            let at = |dx: f32, dy: f32| level((u.floor() + dx).clamp(0.0, 7.0) as usize, (v.floor() + dy).clamp(0.0, 5.0) as usize);
            let (fu, fv) = (u - u.floor(), v - v.floor());
            let wish = (at(0.0, 0.0) * (1.0 - fu) + at(1.0, 0.0) * fu) * (1.0 - fv) + (at(0.0, 1.0) * (1.0 - fu) + at(1.0, 1.0) * fu) * fv;
            let [b, g, r, a] = layer.row(y, x, x + 1).try_into().unwrap();
            assert!((f32::from(a) - wish).abs() <= 1.0 && r == a && b == 0, "{x} {y}: {a} instead of {wish}");
            assert!((f32::from(g) - wish * 128.0 / 255.0).abs() <= 1.0, "{x} {y}");
        }
    }

    #[test]
    fn what_is_not_finite_or_names_no_vertex_is_left_out() {
        let mut layer = Layer::new(SIDE, SIDE);
        let corners = [[f32::NAN, 1.0], [f32::INFINITY, 3.0], [4.0, 9.0], [1e30, 4.0]];
        white().paint(&mesh(&corners, Color32::WHITE, vec![0, 1, 2, 2, 3, 1, 2, 2, 2, 7, 8, 9]), Rect::whole(SIDE, SIDE), &mut layer);
        assert!(layer.data.iter().all(|&byte| byte == 0));
    }
}
