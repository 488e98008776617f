//! Where the status display may paint: the top and the bottom tenth, so that the central 80 % of the picture stay free;
//! a picture in picture, which is asked for, stands above the bottom tenth at the right.

use crate::overlay::Rect;

/// Font size for a screen of 1 row, and its share of lines in a tenth of the picture: three.
pub(super) const TEXT_PART: f32 = 0.026;
/// Above and below text on its plate, px.
pub(super) fn margin_px(unit: f32) -> f32 {
    (0.003 * unit).round().max(1.0)
}

/// Left and right of it, in parts of its size.
pub(super) const PAD_PART: f32 = 0.45;
/// On a screen with fewer rows text would not be legible, and is left out.
pub(super) const FEWEST_ROWS: f32 = 60.0;

pub(super) fn percent(of: usize, part: usize) -> usize {
    of * part / 100
}

/// What the status display is made of. Rectangles do not overlap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layout {
    pub top_left: Rect,
    pub banner: Rect,
    pub top_right: Rect,
    pub bottom_left: Rect,
    pub bottom_right: Rect,
    /// Where NO SIGNAL stands: then there is no picture to hide.
    pub no_signal: Rect,
    pub pip: PipLayout,
}

/// A picture in picture: its words above, its picture below, both as wide.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PipLayout {
    pub caption: Rect,
    pub picture: Rect,
}

impl PipLayout {
    pub fn window(&self) -> Rect {
        self.caption.union(&self.picture)
    }
}

impl Layout {
    /// For a picture of so many pixels.
    pub fn of(width: usize, height: usize) -> Self {
        let band = height / 10;
        let (top, bottom) = ((0, band), (height - band, height));
        let rect = |x0: usize, x1: usize, (y0, y1): (usize, usize)| Rect { x0: percent(width, x0), y0, x1: percent(width, x1), y1 };
        // Not wider than a quarter of the picture, and of its shape; even, as chroma is.
        let pip_width = width / 4 / 2 * 2;
        let pip_height = (pip_width * height / width.max(1)) / 2 * 2;
        let (right, low) = (width / 2 * 2, (height - band) / 2 * 2);
        let picture = Rect { x0: right - pip_width, y0: low - pip_height, x1: right, y1: low };
        let caption = Rect { y0: picture.y0 - band * 6 / 10, y1: picture.y0, ..picture };
        Layout {
            top_left: rect(0, 36, top),
            banner: rect(37, 65, top),
            top_right: rect(66, 100, top),
            bottom_left: rect(0, 66, bottom),
            bottom_right: rect(67, 100, bottom),
            no_signal: Rect { x0: width / 4, y0: height * 2 / 5, x1: width - width / 4, y1: height * 3 / 5 },
            pip: PipLayout { caption, picture },
        }
    }

    /// What may be painted in while there is a picture, whatever is said; the last is empty without a picture in picture.
    pub fn declared(&self, has_pip: bool) -> [Rect; 6] {
        let pip = if has_pip { self.pip.window() } else { Rect::EMPTY };
        [self.top_left, self.banner, self.top_right, self.bottom_left, self.bottom_right, pip]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rectangles_lie_outside_the_central_four_fifths_and_do_not_overlap() {
        for (width, height) in
            [(3840, 2160), (1920, 1080), (1280, 720), (720, 576), (854, 480), (640, 360), (321, 241), (16, 16), (1080, 1920)]
        {
            let layout = Layout::of(width, height);
            let declared = layout.declared(true);
            for (i, rect) in declared.iter().enumerate() {
                assert_eq!(rect.clipped(width, height), *rect, "{width}×{height}: rectangle {i}");
                assert!(declared[..i].iter().all(|other| other.intersection(rect).is_empty()), "{width}×{height}: rectangle {i}");
                let is_at_the_rim = rect.y1 * 10 <= height || (height - rect.y0) * 10 <= height;
                assert!(is_at_the_rim || i == 5, "{width}×{height}: rectangle {i}");
            }
            let PipLayout { caption, picture } = layout.pip;
            assert!(picture.width() * 4 <= width && (picture.x0 | picture.y0 | picture.width() | picture.height()) % 2 == 0);
            assert!(layout.pip.window().area() * 12 <= width * height || height < 100, "{width}×{height}");
            assert!((caption.x0, caption.x1, caption.y1) == (picture.x0, picture.x1, picture.y0));
            assert_eq!(layout.declared(false)[5], Rect::EMPTY);
        }
    }
}
