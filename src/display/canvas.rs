//! What the host-composed outputs share: which frame is on the canvas, what the layers cover on it, and what a new
//! picture changes. The bytes are the output's own (plain or shared memory).

use crate::display::Picture;
use crate::frame::{Frame, FrameRing};
use crate::overlay::host::{Target, compose_again, compose_blank, compose_full};
use crate::overlay::{Layer, OverlayError, Rect, Tiles};

#[derive(Debug)]
pub(super) struct Canvas {
    size: (usize, usize),
    /// Ring, slot and generation of the frame that the canvas shows.
    frame: Option<(FrameRing, (usize, u64))>,
    covered: Vec<Rect>,
    tiles: Tiles,
    changed: Vec<Rect>,
}

impl Canvas {
    pub(super) fn new() -> Self {
        let (covered, changed) = (Vec::with_capacity(512), Vec::with_capacity(512));
        Canvas { size: (0, 0), frame: None, covered, tiles: Tiles::new(0, 0), changed }
    }

    pub(super) fn size(&self) -> (usize, usize) {
        self.size
    }

    /// Composes into `data`, rows of 4 × width bytes, which holds what the last call left there. Returns what changed:
    /// disjoint rectangles.
    pub(super) fn compose(&mut self, picture: Picture<'_>, layers: &[&Layer], data: &mut [u8]) -> Result<&[Rect], OverlayError> {
        let (width, height) = picture.size();
        if self.size != (width, height) {
            (self.size, self.frame, self.tiles) = ((width, height), None, Tiles::new(width, height));
        }
        let mut target = Target { data, stride: 4 * width, width, height };
        let again = matches!(picture, Picture::Again(frame) if self.shows(frame));
        // Until this has gone well, nobody knows what is on the canvas.
        let was = self.frame.take();
        match picture {
            Picture::New(frame) | Picture::Again(frame) => {
                let view = frame.view();
                if again {
                    compose_again(&view, layers, &self.covered, &mut target)?;
                    self.frame = was;
                } else {
                    compose_full(&view, layers, &mut target)?;
                    // Only the address is kept, not the frame: its slot must not be held by what is merely shown.
                    self.frame = Some((frame.ring(), frame.address()));
                }
            }
            Picture::Blank(..) => compose_blank(layers, &mut target)?,
        }
        self.changed.clear();
        if again {
            self.tiles.clear();
            let new = layers.iter().flat_map(|layer| &layer.rects);
            self.covered.iter().chain(new).for_each(|&rect| self.tiles.mark(rect));
            self.tiles.write_rects(&mut self.changed);
        } else {
            self.changed.push(Rect::whole(width, height));
        }
        self.covered.clear();
        self.covered.extend(layers.iter().flat_map(|layer| &layer.rects));
        Ok(&self.changed)
    }

    fn shows(&self, frame: &Frame) -> bool {
        self.frame.as_ref().is_some_and(|(ring, address)| frame.is_in(ring) && frame.address() == *address)
    }
}
