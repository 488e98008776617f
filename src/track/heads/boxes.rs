//! Boxes: from the model's input to the captured picture, how far two overlap, and which of many are kept.

use crate::base::ids::ClassId;
use crate::infer::{BoxFormat, Fit};

/// Boxes that show less of themselves in the picture, in its pixels, are not seen.
const MIN_SIDE_PX: f32 = 1.0;
/// Proposals beyond this many (the least probable) are not looked at: bounds what a model gone wild can cost.
pub const MAX_CANDIDATES: usize = 1024;

/// How the input lies over the captured picture.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Placement {
    /// Picture pixels an input pixel, and where in the input the picture's corner lies.
    scale: [f32; 2],
    corner: [f32; 2],
    /// Size of the captured picture.
    picture: [f32; 2],
}

impl Placement {
    pub fn new(fit: Fit, picture: [usize; 2]) -> Self {
        let length = [fit.width as f32, fit.height as f32];
        let picture = picture.map(|side| side as f32);
        Placement { scale: [0, 1].map(|axis| picture[axis] / length[axis]), corner: [fit.x as f32, fit.y as f32], picture }
    }

    fn point(&self, [x, y]: [f32; 2]) -> [f32; 2] {
        [(x - self.corner[0]) * self.scale[0], (y - self.corner[1]) * self.scale[1]]
    }

    /// Of a box in input pixels, clipped to the picture; None where nothing of it is to be seen.
    pub fn in_picture(&self, [x0, y0, x1, y1]: [f32; 4]) -> Option<[f32; 4]> {
        let ([x0, y0], [x1, y1]) = (self.point([x0, y0]), self.point([x1, y1]));
        let [w, h] = self.picture;
        let clipped = [x0.clamp(0.0, w), y0.clamp(0.0, h), x1.clamp(0.0, w), y1.clamp(0.0, h)];
        (clipped[2] - clipped[0] >= MIN_SIDE_PX && clipped[3] - clipped[1] >= MIN_SIDE_PX).then_some(clipped)
    }
}

/// Left, top, right, bottom of a box as a model writes it.
pub fn corners([a, b, c, d]: [f32; 4], format: BoxFormat) -> [f32; 4] {
    match format {
        BoxFormat::Xyxy => [a, b, c, d],
        BoxFormat::Cxcywh => [a - c / 2.0, b - d / 2.0, a + c / 2.0, b + d / 2.0],
    }
}

/// Intersection over union of half-open boxes; 0 where one of them has no area.
pub fn overlap(a: [f32; 4], b: [f32; 4]) -> f32 {
    let area = |b: [f32; 4]| (b[2] - b[0]).max(0.0) * (b[3] - b[1]).max(0.0);
    let common = area([a[0].max(b[0]), a[1].max(b[1]), a[2].min(b[2]), a[3].min(b[3])]);
    let all = area(a) + area(b) - common;
    if all > 0.0 { common / all } else { 0.0 }
}

/// One proposal that reached its head's threshold.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Candidate {
    pub class: ClassId,
    /// 0..1
    pub score: f32,
    /// Left, top, right, bottom, in input pixels.
    pub bbox: [f32; 4],
    pub proposal: usize,
}

/// The most probable first, at most `MAX_CANDIDATES`.
pub fn best_first(candidates: &mut Vec<Candidate>) {
    let order = |a: &Candidate, b: &Candidate| b.score.total_cmp(&a.score).then(a.proposal.cmp(&b.proposal));
    if candidates.len() > MAX_CANDIDATES {
        candidates.select_nth_unstable_by(MAX_CANDIDATES, order);
        candidates.truncate(MAX_CANDIDATES);
    }
    candidates.sort_unstable_by(order);
}

/// Non-maximum suppression: of candidates of one class (the best first) that overlap more than `iou` the first stays. At most `most` stay.
pub fn suppress(candidates: &mut Vec<Candidate>, iou: f32, most: usize) {
    let mut kept = 0;
    for next in 0..candidates.len() {
        if kept == most {
            break;
        }
        let candidate = candidates[next];
        let hidden = candidates[..kept].iter().any(|other| other.class == candidate.class && overlap(other.bbox, candidate.bbox) > iou);
        if !hidden {
            candidates[kept] = candidate;
            kept += 1;
        }
    }
    candidates.truncate(kept);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::infer::{ColourOrder, InputSpec, Resize, TensorLayout};
    use proptest::prelude::*;

    fn input(width: u32, height: u32, resize: Resize) -> InputSpec {
        let (layout, colour) = (TensorLayout::Nchw, ColourOrder::Rgb);
        InputSpec { name: "image".to_owned(), layout, width, height, colour, resize, mean: [0.0; 3], std: [1.0; 3] }
    }

    fn candidate() -> impl Strategy<Value = Candidate> {
        (0u8..3, 0.0f32..1.0, [0.0f32..90.0, 0.0f32..90.0], [1.0f32..40.0, 1.0f32..40.0], 0usize..10_000).prop_map(
            |(class, score, [x, y], [w, h], proposal)| Candidate { class: ClassId(class), score, bbox: [x, y, x + w, y + h], proposal },
        )
    }

    proptest! {
        /// A box in the picture, mapped to where preprocessing puts it in the input and back, is the same box.
        #[test]
        fn boxes_come_back_from_the_input_where_they_were(
            picture in (16usize..4000, 16usize..3000), sides in (16u32..1024, 16u32..1024), letterbox in any::<bool>(),
            at in [0.0f32..0.8, 0.0f32..0.8], size in [0.1f32..0.2, 0.1f32..0.2]) {
            let spec = input(sides.0, sides.1, if letterbox { Resize::Letterbox } else { Resize::Stretch });
            let fit = Fit::new(&spec, [picture.0, picture.1]);
            let (w, h) = (picture.0 as f32, picture.1 as f32);
            let bbox = [at[0] * w, at[1] * h, (at[0] + size[0]) * w, (at[1] + size[1]) * h];
            let to_input = |x: f32, y: f32| [x / w * fit.width as f32 + fit.x as f32, y / h * fit.height as f32 + fit.y as f32];
            let ([x0, y0], [x1, y1]) = (to_input(bbox[0], bbox[1]), to_input(bbox[2], bbox[3]));
            let back = Placement::new(fit, [picture.0, picture.1]).in_picture([x0, y0, x1, y1]).unwrap();
            for (a, b) in back.iter().zip(bbox) {
                // An input pixel is up to 250 picture pixels here; f32 holds it to a part of one.
                prop_assert!((a - b).abs() < 0.002 * w.max(h), "{back:?} {bbox:?}");
            }
        }

        /// Whatever box comes, what is kept lies in the picture and has a size.
        #[test]
        fn boxes_are_clipped_to_the_picture(bbox in any::<[f32; 4]>(), picture in (16usize..4000, 16usize..3000)) {
            let fit = Fit::new(&input(320, 192, Resize::Letterbox), [picture.0, picture.1]);
            if let Some([x0, y0, x1, y1]) = Placement::new(fit, [picture.0, picture.1]).in_picture(bbox) {
                prop_assert!(x0 >= 0.0 && y0 >= 0.0 && x1 <= picture.0 as f32 && y1 <= picture.1 as f32);
                prop_assert!(x1 - x0 >= 1.0 && y1 - y0 >= 1.0);
            }
        }

        /// What is kept is sorted, does not overlap within a class, and hides everything that was dropped.
        #[test]
        fn suppression_keeps_the_best_and_drops_only_what_they_hide(mut all in proptest::collection::vec(candidate(), 0..60), iou in 0.1f32..0.9) {
            best_first(&mut all);
            let mut kept = all.clone();
            suppress(&mut kept, iou, usize::MAX);
            prop_assert!(kept.windows(2).all(|w| w[0].score >= w[1].score));
            let hides = |a: &Candidate, b: &Candidate| a.class == b.class && overlap(a.bbox, b.bbox) > iou;
            for (i, a) in kept.iter().enumerate() {
                prop_assert!(!kept[..i].iter().any(|b| hides(a, b)));
            }
            for dropped in all.iter().filter(|c| !kept.contains(c)) {
                prop_assert!(kept.iter().any(|k| hides(k, dropped) && k.score >= dropped.score));
            }
            let mut few = all.clone();
            suppress(&mut few, iou, 5);
            prop_assert_eq!(&few[..], &kept[..kept.len().min(5)]);
        }
    }

    #[test]
    fn more_candidates_than_can_be_looked_at_leave_the_best() {
        let one = |i: usize| Candidate { class: ClassId(5), score: (i * 7919 % 5000) as f32 / 5000.0, bbox: [0.0; 4], proposal: i };
        let mut many: Vec<Candidate> = (0..5000).map(one).collect();
        best_first(&mut many);
        assert_eq!(many.len(), MAX_CANDIDATES);
        assert!(many.windows(2).all(|w| w[0].score >= w[1].score));
        assert!(many[MAX_CANDIDATES - 1].score >= 1.0 - (MAX_CANDIDATES + 1) as f32 / 5000.0);
    }

    #[test]
    fn both_ways_of_writing_a_box_give_its_corners() {
        assert_eq!(corners([10.0, 20.0, 4.0, 6.0], BoxFormat::Cxcywh), [8.0, 17.0, 12.0, 23.0]);
        assert_eq!(corners([1.0, 2.0, 3.0, 4.0], BoxFormat::Xyxy), [1.0, 2.0, 3.0, 4.0]);
        assert_eq!(overlap([0.0, 0.0, 2.0, 2.0], [1.0, 0.0, 3.0, 2.0]), 1.0 / 3.0);
        assert_eq!(overlap([0.0; 4], [0.0; 4]), 0.0);
    }
}
