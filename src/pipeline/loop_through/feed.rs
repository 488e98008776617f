//! The code's part of the frame path: where it stands in this frame, its blocks, and the stamp of the present that showed it. Waits for
//! nobody, allocates nothing but for pictures of another size.

use super::room::{Bars, Surround, code_in};
use super::stamps::{Stamp, Stamps, packed};
use crate::display::{Beside, CodeBeside, Output, Shown};
use crate::frame::Frame;
use crate::frame::marker::{BORDER_COLUMNS, BORDER_ROWS, NUMBERS, paint_border};
use crate::overlay::placement::Placement;
use crate::overlay::{Layer, Rect};
use std::sync::Arc;

/// Where the code stands: its blocks alone, px of the picture or of the screen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    Nowhere,
    Picture(Rect),
    Beside(Rect),
}

/// What may be painted over a picture, with the code's rectangle.
pub fn with_code(declared: [Rect; 6], code: Rect) -> [Rect; 7] {
    let [a, b, c, d, e, f] = declared;
    [a, b, c, d, e, f, code]
}

/// Lives on the display thread.
pub struct CodeFeed {
    stamps: Arc<Stamps>,
    surround: Surround,
    bars: Bars,
    /// What was chosen for the frame on the screen; something else may stand there now.
    chosen: Standing,
    standing: Standing,
    /// Of the picture's size.
    layer: Layer,
    /// The blocks alone, rows of their own width.
    blocks: Vec<u8>,
    number: u32,
}

impl CodeFeed {
    pub fn new(stamps: Arc<Stamps>) -> Self {
        CodeFeed {
            stamps,
            surround: Surround::new(),
            bars: Bars::default(),
            chosen: Standing::Nowhere,
            standing: Standing::Nowhere,
            layer: Layer::new(0, 0),
            blocks: Vec::new(),
            number: 0,
        }
    }

    /// Chooses where the code stands with `frame`, which `output` is about to show, and puts `beside` on it, with the code where that
    /// stands beside the picture too.
    pub fn put(&mut self, frame: &Frame, is_again: bool, output: &mut dyn Output, beside: Option<Beside<'_>>) {
        let (layout, screen) = (frame.layout(), output.screen());
        let size = (layout.width, layout.height);
        let plates = beside.as_ref().map_or(&[][..], |beside| &beside.layer.rects[..]);
        let bar = screen.and_then(|screen| self.bars.look(size, screen, plates)).map(|place| code_in(&place, self.bars.block_px()));
        if !is_again {
            let place = self.surround.look(&frame.view(), frame.stamps().capture_ns);
            let in_picture = place.map(|place| code_in(&place, self.surround.block_px()));
            self.chosen = in_picture.map_or(Standing::Nowhere, Standing::Picture);
            self.number = (frame.id().0 % u64::from(NUMBERS)) as u32;
        }
        // What stands beside the picture now may stand where the code stood.
        if matches!(self.standing, Standing::Beside(rect) if bar != Some(rect)) {
            output.set_code(None);
        }
        output.set_beside(beside);
        self.standing = match bar {
            Some(rect) if self.put_beside(output, rect) => Standing::Beside(rect),
            _ => self.chosen,
        };
        if !matches!(self.standing, Standing::Beside(_)) {
            output.set_code(None);
        }
        if (self.layer.width, self.layer.height) != size {
            self.layer = Layer::new(size.0, size.1);
        }
    }

    /// What to lay over the picture, last of all, and `declared` (what else may be painted over it) with the code's own rectangle. Where
    /// both would meet, it is left out.
    pub fn lay(&mut self, declared: &[Rect; 6]) -> (Option<&Layer>, [Rect; 7]) {
        self.layer.clear();
        if let Standing::Picture(rect) = self.standing {
            let (stride, block_px) = (4 * self.layer.width, rect.height() / BORDER_ROWS);
            let is_free = declared.iter().all(|other| other.intersection(&rect).is_empty());
            if is_free && paint_border(&mut self.layer.data, stride, (rect.x0, rect.y0), block_px, self.number).is_ok() {
                self.layer.rects.push(rect);
            } else {
                self.standing = Standing::Nowhere;
            }
        }
        let rect = self.layer.rects.first().copied().unwrap_or(Rect::EMPTY);
        ((!self.layer.is_empty()).then_some(&self.layer), with_code(*declared, rect))
    }

    fn put_beside(&mut self, output: &mut dyn Output, rect: Rect) -> bool {
        let stride = 4 * rect.width();
        self.blocks.resize(stride * rect.height(), 0);
        let is_painted = paint_border(&mut self.blocks, stride, (0, 0), rect.width() / BORDER_COLUMNS, self.number).is_ok();
        is_painted && output.set_code(Some(CodeBeside { rect, pixels: &self.blocks }))
    }

    /// `frame` is on the screen.
    pub fn shown(&self, frame: &Frame, is_again: bool, shown: &Shown, screen: Option<(usize, usize)>) {
        let layout = frame.layout();
        let picture = (layout.width, layout.height);
        let screen = screen.unwrap_or(picture);
        let place = match self.standing {
            Standing::Nowhere => None,
            Standing::Beside(rect) => {
                let block_px = (rect.height() / BORDER_ROWS) as f32;
                Some(packed((rect.x0 as f32, rect.y0 as f32), [block_px; 2], screen))
            }
            Standing::Picture(rect) => {
                let to = Placement::fit(picture, screen).rect;
                let by = [to.width() as f32 / picture.0.max(1) as f32, to.height() as f32 / picture.1.max(1) as f32];
                let corner = (to.x0 as f32 + rect.x0 as f32 * by[0], to.y0 as f32 + rect.y0 as f32 * by[1]);
                let block_px = (rect.height() / BORDER_ROWS) as f32;
                Some(packed(corner, by.map(|by| block_px * by), screen))
            }
        };
        if !is_again && place.is_some() {
            let shown_ns = shown.flip_ns.unwrap_or(shown.done_ns);
            self.stamps.note(self.number, Stamp { capture_ns: frame.stamps().capture_ns, shown_ns });
        }
        self.stamps.present(shown.done_ns, place);
    }

    /// There is no picture: nothing to measure.
    pub fn blank(&mut self, output: &mut dyn Output) {
        output.set_code(None);
        (self.chosen, self.standing) = (Standing::Nowhere, Standing::Nowhere);
        self.stamps.blank();
    }
}
