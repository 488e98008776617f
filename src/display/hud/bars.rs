//! Where the status display stands beside the picture: in the bars that a picture of another shape leaves on its screen.
//! Then nothing of the picture is covered. Bars that are too thin for legible text stay black, and the status display
//! stands over the picture's rim (`layout`).
//!
//! ```text
//!   above and below: panels as over the picture,         left and right: panels as columns, lines wrapped
//!   two or three lines each                              ┌──────┬─────────┬──────┐
//!   ┌────────────────────────────────┐                   │source│         │ mode │
//!   │ source    AI OFF         mode  │                   │AI    │         │ REC  │
//!   ├────────────────────────────────┤                   │      │ picture │AI OFF│
//!   │            picture             │                   │alarms│         │      │
//!   ├────────────────────────────────┤                   │rates │         │over- │
//!   │ alarms, figures        overlay │                   │delays│         │lay   │
//!   └────────────────────────────────┘                   └──────┴─────────┴──────┘
//! ```

use crate::display::hud::layout::{FEWEST_ROWS, PAD_PART, TEXT_PART, margin_px, percent};
use crate::overlay::Rect;
use crate::overlay::placement::Placement;

/// Text is never smaller than this part of what it is over the picture.
const LEAST_TEXT: f32 = 0.75;
/// A column takes so many letters in a line: the longest words of any language.
const COLUMN_LETTERS: f32 = 13.0;
/// Width of a letter and height of a line for a font of size 1, rounded up.
pub(super) const LETTER_WIDTH: f32 = 0.61;
const LINE_HEIGHT: f32 = 1.19;

/// The panels' places on a screen. They neither overlap each other nor the picture.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bars {
    /// Width and height of the screen, px.
    pub screen: (usize, usize),
    /// Where the picture lies on it.
    pub picture: Rect,
    pub text_px: f32,
    /// Left and right of the picture; else above and below.
    pub is_columns: bool,
    /// Lines that a panel has room for.
    pub lines: usize,
    pub top_left: Rect,
    pub banner: Rect,
    pub top_right: Rect,
    pub bottom_left: Rect,
    pub bottom_right: Rect,
}

impl Bars {
    /// None: the picture leaves no bars that a text could stand in.
    pub fn of(picture: (usize, usize), screen: (usize, usize)) -> Option<Self> {
        let (width, height) = screen;
        let rect = Placement::fit(picture, screen).rect;
        let unit = (height as f32).min(width as f32 * 9.0 / 16.0);
        if unit < FEWEST_ROWS {
            return None;
        }
        let (ordinary, margin) = (TEXT_PART * unit, margin_px(unit));
        // The upper and the lower bar, and the left and the right one, differ by a pixel at most.
        let (across, down) = (rect.x0.min(width - rect.x1), rect.y0.min(height - rect.y1));
        let is_columns = across > down;
        let (text_px, lines) = if is_columns {
            let text_px = ordinary.min(across as f32 / (COLUMN_LETTERS * LETTER_WIDTH + 2.0 * PAD_PART));
            (text_px, (height as f32 / 4.0 / LINE_HEIGHT / text_px.max(1.0)) as usize)
        } else {
            let of_lines = |lines: usize| ordinary.min(((down as f32 - 2.0 * margin) / lines as f32).floor() / LINE_HEIGHT);
            let lines = if of_lines(3) >= ordinary { 3 } else { 2 };
            (of_lines(lines), lines)
        };
        if text_px < LEAST_TEXT * ordinary {
            return None;
        }
        let place = |x0: usize, x1: usize, y0: usize, y1: usize| Rect { x0, y0, x1, y1 };
        let bars = |[top_left, banner, top_right, bottom_left, bottom_right]: [Rect; 5]| Bars {
            screen,
            picture: rect,
            text_px,
            is_columns,
            lines,
            top_left,
            banner,
            top_right,
            bottom_left,
            bottom_right,
        };
        Some(if is_columns {
            let (third, quarter) = (height / 3, height / 4);
            bars([
                place(0, rect.x0, 0, third),
                place(rect.x1, width, quarter, height - quarter),
                place(rect.x1, width, 0, quarter),
                place(0, rect.x0, third, height),
                place(rect.x1, width, height - quarter, height),
            ])
        } else {
            let at = |part: usize| percent(width, part);
            bars([
                place(0, at(36), 0, rect.y0),
                place(at(37), at(65), 0, rect.y0),
                place(at(66), width, 0, rect.y0),
                place(0, at(66), rect.y1, height),
                place(at(67), width, rect.y1, height),
            ])
        })
    }

    pub fn panels(&self) -> [Rect; 5] {
        [self.top_left, self.banner, self.top_right, self.bottom_left, self.bottom_right]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn pictures_of_another_shape_leave_bars_and_those_of_the_same_leave_none() {
        let of = |picture, screen| Bars::of(picture, screen).map(|bars| (bars.is_columns, bars.lines.min(3)));
        for (picture, screen, wish) in [
            ((1280, 720), (1280, 800), Some((false, 2))),
            ((1920, 1080), (2560, 1080), Some((true, 3))),
            ((1440, 1080), (1920, 1080), Some((true, 3))),
            ((720, 576), (1280, 720), Some((true, 3))),
            ((1920, 1080), (1600, 1200), Some((false, 3))),
            ((1280, 720), (1024, 768), Some((false, 3))),
            ((1920, 1080), (3840, 2160), None),
            ((1280, 720), (1280, 720), None),
            ((1920, 1080), (1920, 1100), None),
            ((640, 360), (0, 0), None),
        ] {
            assert_eq!(of(picture, screen), wish, "{picture:?} on {screen:?}");
        }
    }

    proptest! {
        #[test]
        fn panels_lie_beside_the_picture_and_each_other(picture in (16usize..4000, 16usize..4000), screen in (1usize..4000, 1usize..4000)) {
            let Some(bars) = Bars::of(picture, screen) else { return Ok(()) };
            prop_assert_eq!(bars.picture, Placement::fit(picture, screen).rect);
            let panels = bars.panels();
            for (i, panel) in panels.iter().enumerate() {
                prop_assert_eq!(panel.clipped(screen.0, screen.1), *panel);
                prop_assert!(panel.intersection(&bars.picture).is_empty(), "panel {} {:?}", i, bars);
                prop_assert!(panels[..i].iter().all(|other| other.intersection(panel).is_empty()));
                let unit = (screen.1 as f32).min(screen.0 as f32 * 9.0 / 16.0);
                prop_assert!(bars.text_px >= LEAST_TEXT * TEXT_PART * unit && bars.lines >= 2);
            }
        }
    }
}
