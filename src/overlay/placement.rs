//! Where a picture lies on a screen of another size: as large as fits, in the middle, black around it. Nearest sample,
//! in integers, the same in both compositors; a screen of the picture's own size shows it pixel for pixel.

use crate::overlay::Rect;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Placement {
    /// Width and height of the picture.
    pub picture: (usize, usize),
    /// Where it lies in the target.
    pub rect: Rect,
}

impl Placement {
    pub fn fit(picture: (usize, usize), target: (usize, usize)) -> Self {
        let ((pw, ph), (tw, th)) = (picture, target);
        // Compare tw/pw with th/ph without dividing.
        let (width, height) = if tw * ph <= th * pw { (tw, (ph * tw / pw.max(1)).max(1)) } else { ((pw * th / ph.max(1)).max(1), th) };
        let (width, height) = (width.min(tw), height.min(th));
        let (x0, y0) = ((tw - width) / 2, (th - height) / 2);
        Placement { picture, rect: Rect { x0, y0, x1: x0 + width, y1: y0 + height } }
    }

    pub fn is_one_to_one(&self) -> bool {
        (self.rect.width(), self.rect.height()) == self.picture
    }

    /// Column of the picture that a column of the target inside `rect` shows.
    pub fn source_x(&self, x: usize) -> usize {
        (2 * (x - self.rect.x0) + 1) * self.picture.0 / (2 * self.rect.width())
    }

    pub fn source_y(&self, y: usize) -> usize {
        (2 * (y - self.rect.y0) + 1) * self.picture.1 / (2 * self.rect.height())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_same_size_is_pixel_for_pixel() {
        let placement = Placement::fit((1280, 720), (1280, 720));
        assert!(placement.is_one_to_one() && placement.rect == Rect::whole(1280, 720));
        assert_eq!((placement.source_x(1279), placement.source_y(0)), (1279, 0));
    }

    proptest! {
        #[test]
        fn the_picture_fits_keeps_its_shape_and_touches_two_sides(picture in (16usize..4000, 16usize..4000), target in (16usize..4000, 16usize..4000)) {
            let placement = Placement::fit(picture, target);
            let rect = placement.rect;
            prop_assert!(rect.x1 <= target.0 && rect.y1 <= target.1 && !rect.is_empty());
            prop_assert!(rect.width() == target.0 || rect.height() == target.1);
            let wish = rect.width() as f64 * picture.1 as f64 / picture.0 as f64;
            let scale = (picture.1 as f64 / picture.0 as f64).max(1.0);
            prop_assert!((rect.height() as f64 - wish).abs() <= 1.0 + scale, "{rect:?}");
            prop_assert!(placement.source_x(rect.x1 - 1) < picture.0 && placement.source_y(rect.y1 - 1) < picture.1);
            prop_assert!((rect.x0 + 1..rect.x1).all(|x| placement.source_x(x - 1) <= placement.source_x(x)));
        }
    }
}
