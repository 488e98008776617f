//! Where the code may stand: in the bars beside the picture, else in the black that surrounds an endoscope's content area; never on living
//! picture.
//!
//! ```text
//!   a place in the picture:   dark in every pixel, margin too, for seconds of light ─► may be chosen
//!   the chosen one:           looked at in each frame before the code goes on it: one pixel of light ─► gone with this very frame,
//!                             and it has to stay dark for much longer before it is chosen again
//! ```
//! A dark scene makes nothing dark enough: time counts only while the picture's middle is lit.

use crate::frame::FrameView;
use crate::frame::marker::{BORDER_COLUMNS, BORDER_ROWS, LEAST_BORDER_BLOCK_PX};
use crate::overlay::Rect;
use crate::overlay::convert::convert;
use crate::overlay::placement::Placement;

/// Rows of the picture to one row of a block.
const ROWS_A_BLOCK: usize = 135;
/// Blocks around the code that are to be dark too: its own quiet zone, and as much to the content's edge.
const MARGIN_BLOCKS: usize = 2;
/// A channel of 255 up to this is dark: compression and noise of an input's own black.
const DARK: u8 = 14;
/// A pixel of the middle row above this is light, and so many of a hundred make a lit picture.
const LIGHT: u8 = 40;
const LIT_PERCENT: usize = 25;
/// So long a place has been dark, in light, before it is chosen.
const DARK_FOR_NS: u64 = 3_000_000_000;
/// The same where content has been there since.
const DARK_AGAIN_FOR_NS: u64 = 60_000_000_000;
/// A look at a place stands for no more time than this.
const MOST_BETWEEN_LOOKS_NS: u64 = 400_000_000;
/// Heights that are tried at either side: upper, lower, then between.
const HEIGHTS: [usize; 5] = [0, 4, 2, 1, 3];
const PLACES: usize = 2 * HEIGHTS.len();

/// Size of a block for a picture or screen of so many rows, px.
pub fn block_px(rows: usize) -> usize {
    (rows / ROWS_A_BLOCK).max(LEAST_BORDER_BLOCK_PX)
}

/// The code's blocks alone, within a place of `size_with_margin`.
pub fn code_in(place: &Rect, block_px: usize) -> Rect {
    let margin = MARGIN_BLOCKS * block_px;
    Rect { x0: place.x0 + margin, y0: place.y0 + margin, x1: place.x1 - margin, y1: place.y1 - margin }
}

fn size_with_margin(block_px: usize) -> (usize, usize) {
    ((BORDER_COLUMNS + 2 * MARGIN_BLOCKS) * block_px, (BORDER_ROWS + 2 * MARGIN_BLOCKS) * block_px)
}

/// Places at both sides of `whole` (left and right edge), between `from` and `to`.
fn places_of(left: Option<usize>, right: Option<usize>, (from, to): (usize, usize), block_px: usize) -> [Rect; PLACES] {
    let (width, height) = size_with_margin(block_px);
    let free = (to - from).checked_sub(height);
    std::array::from_fn(|i| {
        let (Some(free), Some(x0)) = (free, [left, right][i % 2]) else { return Rect::EMPTY };
        let y0 = from + free * HEIGHTS[i / 2] / (HEIGHTS.len() - 1);
        Rect { x0, y0, x1: x0 + width, y1: y0 + height }
    })
}

#[derive(Debug, Clone, Copy)]
struct Known {
    /// With its margin; empty: there is none.
    place: Rect,
    dark_ns: u64,
    needs_ns: u64,
    /// Capture stamp of the last look.
    looked_ns: u64,
}

/// Room in the picture itself.
#[derive(Debug)]
pub struct Surround {
    size: (usize, usize),
    block_px: usize,
    known: [Known; PLACES],
    chosen: Option<usize>,
    next: usize,
    /// A row of the picture as it is shown.
    row: Vec<u8>,
}

impl Surround {
    pub fn new() -> Self {
        let known = Known { place: Rect::EMPTY, dark_ns: 0, needs_ns: DARK_FOR_NS, looked_ns: 0 };
        Surround { size: (0, 0), block_px: LEAST_BORDER_BLOCK_PX, known: [known; PLACES], chosen: None, next: 0, row: Vec::new() }
    }

    pub fn block_px(&self) -> usize {
        self.block_px
    }

    fn resize(&mut self, (width, height): (usize, usize)) {
        let block_px = block_px(height);
        *self = Surround { size: (width, height), block_px, row: vec![0; 4 * width], ..Surround::new() };
        let across = size_with_margin(block_px).0;
        // The status display has the upper and the lower tenth.
        let between = (height.div_ceil(10), height - height.div_ceil(10));
        let sides = if 2 * across < width { (Some(0), Some(width - across)) } else { (None, None) };
        let places = places_of(sides.0, sides.1, between, block_px);
        self.known.iter_mut().zip(places).for_each(|(known, place)| known.place = place);
    }

    /// Where the code may stand in this very frame, with its margin.
    pub fn look(&mut self, view: &FrameView<'_>, capture_ns: u64) -> Option<Rect> {
        let size = (view.layout.width, view.layout.height);
        if size != self.size {
            self.resize(size);
        }
        if let Some(chosen) = self.chosen
            && !self.is_dark(view, self.known[chosen].place)
        {
            self.known[chosen].needs_ns = DARK_AGAIN_FOR_NS;
            // The content may have grown everywhere: no other place is taken before it was looked at for long.
            self.known.iter_mut().for_each(|known| known.dark_ns = 0);
            self.chosen = None;
        }
        // One more place a frame: light there counts at once, dark only while there is light elsewhere.
        let looked = self.next;
        self.next = (looked + 1) % PLACES;
        let Known { place, looked_ns, .. } = self.known[looked];
        let since_ns = if looked_ns == 0 { 0 } else { capture_ns.saturating_sub(looked_ns).min(MOST_BETWEEN_LOOKS_NS) };
        self.known[looked].looked_ns = capture_ns;
        if place.is_empty() || !self.is_dark(view, place) {
            self.known[looked].dark_ns = 0;
        } else if self.is_lit(view) {
            self.known[looked].dark_ns += since_ns;
        }
        if self.chosen.is_none() {
            self.chosen = self.known.iter().position(|known| !known.place.is_empty() && known.dark_ns >= known.needs_ns);
            // It was dark when it was looked at, which is not now.
            if let Some(chosen) = self.chosen
                && !self.is_dark(view, self.known[chosen].place)
            {
                self.known[chosen].dark_ns = 0;
                self.chosen = None;
            }
        }
        self.chosen.map(|chosen| self.known[chosen].place)
    }

    fn is_dark(&mut self, view: &FrameView<'_>, place: Rect) -> bool {
        (place.y0..place.y1).all(|y| {
            convert(view, Rect { y0: y, y1: y + 1, ..place }, &mut self.row, 0);
            brightest(&self.row[4 * place.x0..4 * place.x1]) <= DARK
        })
    }

    fn is_lit(&mut self, view: &FrameView<'_>) -> bool {
        let (width, y) = (self.size.0, self.size.1 / 2);
        convert(view, Rect { x0: 0, y0: y, x1: width, y1: y + 1 }, &mut self.row, 0);
        let lit = self.row.as_chunks::<4>().0.iter().filter(|pixel| pixel[..3].iter().any(|&channel| channel > LIGHT)).count();
        lit * 100 >= width * LIT_PERCENT
    }
}

/// Of the colours of BGRX pixels.
fn brightest(row: &[u8]) -> u8 {
    let most = row.as_chunks::<4>().0.iter().fold([0; 4], |most: [u8; 4], pixel| std::array::from_fn(|i| most[i].max(pixel[i])));
    most[0].max(most[1]).max(most[2])
}

/// Room beside the picture, on a screen of another shape.
#[derive(Debug)]
pub struct Bars {
    /// What the places are of: the picture's size and the screen's.
    of: Option<[(usize, usize); 2]>,
    block_px: usize,
    places: [Rect; PLACES],
    chosen: Option<usize>,
}

impl Default for Bars {
    fn default() -> Self {
        Bars { of: None, block_px: LEAST_BORDER_BLOCK_PX, places: [Rect::EMPTY; PLACES], chosen: None }
    }
}

impl Bars {
    pub fn block_px(&self) -> usize {
        self.block_px
    }

    /// Where the code may stand now, with its margin: `plates` are what else stands in the bars.
    pub fn look(&mut self, picture: (usize, usize), screen: (usize, usize), plates: &[Rect]) -> Option<Rect> {
        if self.of != Some([picture, screen]) {
            *self = Bars::of(picture, screen);
        }
        let is_free = |place: &Rect| !place.is_empty() && plates.iter().all(|plate| plate.intersection(place).is_empty());
        self.chosen = self.chosen.filter(|&chosen| is_free(&self.places[chosen])).or_else(|| self.places.iter().position(is_free));
        self.chosen.map(|chosen| self.places[chosen])
    }

    fn of(picture: (usize, usize), screen: (usize, usize)) -> Self {
        let inner = Placement::fit(picture, screen).rect;
        let block_px = block_px(screen.1);
        let (width, height) = size_with_margin(block_px);
        let (left, right) = (inner.x0, screen.0 - inner.x1);
        let places = if left.min(right) >= width {
            places_of(Some(0), Some(screen.0 - width), (0, screen.1), block_px)
        } else if inner.y0.min(screen.1 - inner.y1) >= height && 2 * width < screen.0 {
            // Above, then below.
            let (low, far) = (screen.1 - height, screen.0 - width);
            let places = [(0, low), (far, low), (0, 0), (far, 0)].map(|(x0, y0)| Rect { x0, y0, x1: x0 + width, y1: y0 + height });
            std::array::from_fn(|i| places.get(i).copied().unwrap_or(Rect::EMPTY))
        } else {
            [Rect::EMPTY; PLACES]
        };
        Bars { of: Some([picture, screen]), block_px, places, chosen: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::{Colorimetry, FrameLayout, Matrix, PixelFormat, Range};
    use proptest::prelude::*;

    const MS: u64 = 1_000_000;
    const SIZE: (usize, usize) = (640, 360);

    /// A picture whose luma is said pixel by pixel, with noise of an input's black.
    fn frame(luma: impl Fn(usize, usize) -> u8) -> (FrameLayout, Vec<u8>) {
        let layout = FrameLayout::new(PixelFormat::Nv12, Colorimetry::sdr(Matrix::Bt709, Range::Limited), SIZE.0, SIZE.1).unwrap();
        let (stride, mut bytes) = (layout.planes()[0].stride, vec![128; layout.size]);
        for (y, x) in (0..SIZE.1).flat_map(|y| (0..SIZE.0).map(move |x| (y, x))) {
            bytes[y * stride + x] = luma(x, y) + (x * 7 + y * 13) as u8 % 5;
        }
        (layout, bytes)
    }

    fn in_circle(x: usize, y: usize, radius: f32) -> bool {
        (x as f32 - 320.0).hypot(y as f32 - 180.0) < radius
    }

    fn round(radius: f32, light: u8) -> (FrameLayout, Vec<u8>) {
        frame(|x, y| if in_circle(x, y, radius) { light } else { 16 })
    }

    /// Looks for `ms` at 60 a second, on from `at_ms`.
    fn looks(surround: &mut Surround, (layout, bytes): &(FrameLayout, Vec<u8>), at_ms: &mut u64, ms: u64) -> Vec<Option<Rect>> {
        let view = FrameView::new(layout, bytes).unwrap();
        (0..ms / 16)
            .map(|_| {
                *at_ms += 16;
                surround.look(&view, *at_ms * MS)
            })
            .collect()
    }

    #[test]
    fn a_round_picture_leaves_room_and_it_stays_where_it_is() {
        let (mut surround, mut at_ms) = (Surround::new(), 1_000);
        let seen = looks(&mut surround, &round(170.0, 120), &mut at_ms, 8_000);
        let first = seen.iter().position(Option::is_some).unwrap();
        assert!((2_900..4_500).contains(&(first * 16)), "{} ms", first * 16);
        let place = seen[first].unwrap();
        assert!(seen[first..].iter().all(|seen| *seen == Some(place)));
        for (x, y) in [(place.x0, place.y0), (place.x1, place.y0), (place.x0, place.y1), (place.x1, place.y1)] {
            assert!(!in_circle(x, y, 170.0), "{place:?}");
        }
        assert!(place.y0 >= 36 && place.y1 <= 324, "not where the status display is");
        let code = code_in(&place, surround.block_px());
        assert_eq!((code.width(), code.height()), (40, 32));
    }

    #[test]
    fn content_that_grows_takes_the_code_away_with_its_first_frame_and_for_a_minute() {
        let (mut surround, mut at_ms) = (Surround::new(), 0);
        let small = round(170.0, 120);
        assert!(looks(&mut surround, &small, &mut at_ms, 5_000).last().unwrap().is_some());
        let whole = frame(|_, _| 90);
        assert_eq!(looks(&mut surround, &whole, &mut at_ms, 16), [None], "with the very frame");
        let back = looks(&mut surround, &small, &mut at_ms, 4_000);
        // Another place may be taken when it was looked at for long enough; the one that was grown into not for a minute.
        assert!(back[..150].iter().all(Option::is_none));
        // One pixel of light in the margin is enough.
        let place = looks(&mut surround, &small, &mut at_ms, 80_000).pop().flatten().unwrap();
        let spark = frame(|x, y| if in_circle(x, y, 170.0) || (x, y) == (place.x1 - 1, place.y1 - 1) { 120 } else { 16 });
        assert_ne!(looks(&mut surround, &spark, &mut at_ms, 16), [Some(place)]);
    }

    #[test]
    fn a_dark_scene_and_a_full_picture_leave_none() {
        for picture in
            [round(170.0, 18), frame(|_, _| 16), frame(|x, _| 60 + x as u8 % 100), frame(|x, y| if x < 40 && y < 90 { 16 } else { 99 })]
        {
            let (mut surround, mut at_ms) = (Surround::new(), 0);
            assert!(looks(&mut surround, &picture, &mut at_ms, 20_000).iter().all(Option::is_none));
        }
    }

    #[test]
    fn bars_are_used_where_they_are_wide_enough_and_nothing_else_stands_there() {
        let mut bars = Bars::default();
        assert_eq!(bars.look((1920, 1080), (1920, 1080), &[]), None);
        assert_eq!(bars.look((1280, 720), (1280, 800), &[]), None, "thinner than the code");
        let first = bars.look((1440, 1080), (1920, 1080), &[]).unwrap();
        assert_eq!(bars.look((1440, 1080), (1920, 1080), &[]), Some(first));
        let second = bars.look((1440, 1080), (1920, 1080), &[first]).unwrap();
        assert!(second.intersection(&first).is_empty());
        assert_eq!(bars.look((1440, 1080), (1920, 1080), &[]), Some(second), "it does not jump back");
        assert_eq!(bars.look((1440, 1080), (1920, 1080), &[Rect::whole(1920, 1080)]), None);
        assert!(bars.look((1920, 800), (1920, 1200), &[]).is_some(), "above and below");
    }

    proptest! {
        #[test]
        fn places_lie_beside_the_picture_and_on_the_screen(picture in (16usize..4000, 16usize..4000), screen in (1usize..4000, 1usize..4000)) {
            let inner = Placement::fit(picture, screen).rect;
            for place in Bars::of(picture, screen).places {
                prop_assert!(place.is_empty() || place.clipped(screen.0, screen.1) == place);
                prop_assert!(place.intersection(&inner).is_empty());
            }
            let mut surround = Surround::new();
            surround.resize(picture);
            for known in surround.known {
                prop_assert!(known.place.is_empty() || known.place.clipped(picture.0, picture.1) == known.place);
            }
        }
    }
}
