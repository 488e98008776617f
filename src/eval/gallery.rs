//! The worst cases as small pictures: what was labelled and what was found, outlined.

use super::mask::{IGNORE, Mask};
use super::validation::at_size;
use crate::base::classes;
use crate::base::ids::ClassId;
use std::collections::BTreeMap;

/// Of each class.
const KEPT: usize = 2;
const WIDTH: usize = 420;
const TRUTH: [u8; 3] = [60, 255, 90];
const FOUND: [u8; 3] = [255, 60, 220];
const BOTH: [u8; 3] = [255, 255, 255];

/// R, G, B, 8 bits each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rgb {
    pub width: usize,
    pub height: usize,
    pub bytes: Vec<u8>,
}

/// One picture of the page.
#[derive(Debug, Clone, PartialEq)]
pub struct Shot {
    pub image: String,
    pub class: String,
    pub iou: f64,
    /// A PNG file.
    pub png: Vec<u8>,
}

#[derive(Debug, Default)]
pub struct Gallery {
    shots: BTreeMap<u8, Vec<Shot>>,
}

impl Gallery {
    /// Keeps the picture if it is one of the worst of a class. `ious`: of each of `classes`, where it is or was found.
    pub fn consider(
        &mut self,
        image: &str,
        classes: &[ClassId],
        ious: &[Option<f64>],
        picture: &dyn Fn() -> Option<Rgb>,
        truth: &Mask,
        found: &Mask,
    ) {
        for (class, iou) in classes.iter().zip(ious).filter_map(|(class, iou)| Some((class, (*iou)?))) {
            let shots = self.shots.entry(class.0).or_default();
            if shots.len() == KEPT && shots.last().is_some_and(|best| best.iou <= iou) {
                continue;
            }
            let png = picture().and_then(|rgb| encoded(&outlined(&rgb, truth, found, class.0)).ok());
            if let Some(png) = png {
                let class = classes::table().name(*class).to_owned();
                shots.push(Shot { image: image.to_owned(), class, iou, png });
                shots.sort_by(|a, b| a.iou.total_cmp(&b.iou));
                shots.truncate(KEPT);
            }
        }
    }

    /// The worst first.
    pub fn into_shots(self) -> Vec<Shot> {
        let mut shots: Vec<Shot> = self.shots.into_values().flatten().collect();
        shots.sort_by(|a, b| a.iou.total_cmp(&b.iou));
        shots
    }
}

fn outlined(rgb: &Rgb, truth: &Mask, found: &Mask, class: u8) -> Rgb {
    let width = rgb.width.clamp(1, WIDTH);
    let height = (rgb.height * width / rgb.width.max(1)).max(1);
    let (truth, found) = (at_size(truth, width, height), at_size(found, width, height));
    let is_edge = |ids: &[u8], x: usize, y: usize| {
        let is = |x: usize, y: usize| ids[y * width + x] == class;
        let is_inner = x > 0 && y > 0 && x + 1 < width && y + 1 < height && is(x - 1, y) && is(x + 1, y) && is(x, y - 1) && is(x, y + 1);
        is(x, y) && !is_inner
    };
    let mut bytes = Vec::with_capacity(3 * width * height);
    for y in 0..height {
        for x in 0..width {
            let (from_x, from_y) = (x * rgb.width / width, y * rgb.height / height);
            let plain: [u8; 3] = std::array::from_fn(|i| rgb.bytes[3 * (from_y * rgb.width + from_x) + i]);
            bytes.extend(match (is_edge(&truth, x, y), is_edge(&found, x, y)) {
                (true, true) => BOTH,
                (true, false) => TRUTH,
                (false, true) => FOUND,
                // Where nobody knows, half as bright.
                _ if truth[y * width + x] == IGNORE => plain.map(|v| v / 2),
                _ => plain,
            });
        }
    }
    Rgb { width, height, bytes }
}

fn encoded(rgb: &Rgb) -> Result<Vec<u8>, png::EncodingError> {
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, rgb.width as u32, rgb.height as u32);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    let mut writer = encoder.write_header()?;
    writer.write_image_data(&rgb.bytes)?;
    writer.finish()?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_of_each_class_are_kept_with_their_outlines() {
        let mut gallery = Gallery::default();
        let classes = [ClassId(2), ClassId(4)];
        let square = |from: usize| Mask {
            width: 8,
            height: 8,
            ids: (0..64).map(|i| u8::from((from..from + 4).contains(&(i % 8)) && (2..6).contains(&(i / 8))) * 2).collect(),
        };
        for (name, iou) in [("a", 0.9), ("b", 0.1), ("c", 0.5), ("d", 0.7)] {
            let picture = || Some(Rgb { width: 8, height: 8, bytes: vec![10; 192] });
            gallery.consider(name, &classes, &[Some(iou), None], &picture, &square(1), &square(2));
        }
        let shots = gallery.into_shots();
        assert_eq!(
            shots.iter().map(|shot| (shot.image.as_str(), shot.class.as_str())).collect::<Vec<_>>(),
            [("b", "liver"), ("c", "liver")]
        );
        let mut reader = png::Decoder::new(std::io::Cursor::new(&shots[0].png)).read_info().unwrap();
        let mut bytes = vec![0; reader.output_buffer_size().unwrap()];
        reader.next_frame(&mut bytes).unwrap();
        let at = |x: usize, y: usize| [bytes[3 * (8 * y + x)], bytes[3 * (8 * y + x) + 1], bytes[3 * (8 * y + x) + 2]];
        assert_eq!((at(1, 3), at(5, 3), at(2, 2), at(3, 3), at(0, 0)), (TRUTH, FOUND, BOTH, [10; 3], [10; 3]));
    }
}
