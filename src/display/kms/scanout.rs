//! What a CRTC scans out: two dumb buffers of the mode's size, one on the screen and one to be written. The only unsafe
//! code of KMS output.

use crate::display::DisplayError;
use crate::display::kms::card::{Card, Plan};
use crate::display::x11_beside::Sides;
use crate::overlay::Rect;
use crate::overlay::placement::Placement;
use drm::buffer::{Buffer as _, DrmFourcc};
use drm::control::dumbbuffer::{DumbBuffer, DumbMapping};
use drm::control::{Device as _, Event, PageFlipFlags, framebuffer};
use std::sync::Arc;

/// A buffer knows of so many rectangles that it lacks; beyond, it is written whole.
const RECTS: usize = 1_024;

/// A composed picture: BGRX, rows of 4 × width bytes; and what stands beside it.
pub struct Composed<'a> {
    pub data: &'a [u8],
    pub size: (usize, usize),
    pub sides: &'a Sides,
    /// As `sides` keeps it: of the mode's size, where it says anything.
    pub beside: &'a [u8],
}

/// Parts that a buffer does not show yet.
struct Missing {
    rects: Vec<Rect>,
    all: bool,
}

impl Missing {
    fn all() -> Self {
        Missing { rects: Vec::with_capacity(RECTS), all: true }
    }

    fn note(&mut self, changed: &[Rect], is_new: bool) {
        self.all |= is_new || self.rects.len() + changed.len() > RECTS;
        if self.all {
            self.rects.clear();
        } else {
            self.rects.extend_from_slice(changed);
        }
    }

    fn forget(&mut self) {
        self.rects.clear();
        self.all = false;
    }
}

/// What a buffer does not show yet.
struct Lacks {
    /// px of the picture.
    picture: Missing,
    /// px of the buffer. All: it need not be black there either.
    beside: Missing,
}

impl Lacks {
    fn everything() -> Self {
        Lacks { picture: Missing::all(), beside: Missing::all() }
    }

    /// Writes it into a buffer of `size`, rows of `pitch` bytes.
    fn write(&mut self, target: &mut [u8], pitch: usize, size: (usize, usize), composed: &Composed<'_>, placement: &Placement) {
        let put = |target: &mut [u8], rect: &Rect| copy_rect(target, pitch, composed.beside, 4 * size.0, rect);
        if self.beside.all {
            write_borders(target, pitch, &Rect::whole(size.0, size.1), &placement.rect);
            composed.sides.plates(size, &placement.rect).for_each(|rect| put(target, rect));
        }
        self.beside.rects.iter().for_each(|rect| put(target, rect));
        if self.picture.all {
            write_rect(target, pitch, composed, placement, &placement.rect);
        }
        for rect in &self.picture.rects {
            write_rect(target, pitch, composed, placement, &placed(rect, placement));
        }
        self.picture.forget();
        self.beside.forget();
    }
}

struct Buffer {
    card: Arc<Card>,
    dumb: DumbBuffer,
    framebuffer: framebuffer::Handle,
    /// None only while it is dropped.
    map: Option<DumbMapping<'static>>,
    lacks: Lacks,
}

impl Buffer {
    fn new(card: &Arc<Card>, size: (usize, usize)) -> Result<Buffer, DisplayError> {
        let mut dumb = card
            .create_dumb_buffer((size.0 as u32, size.1 as u32), DrmFourcc::Xrgb8888, 32)
            .map_err(card.trouble("making a picture buffer"))?;
        let mapped = card.map_dumb_buffer(&mut dumb).map_err(card.trouble("mapping a picture buffer"));
        // SAFETY: the mapping holds nothing of the DumbBuffer that it was made from, its lifetime is a phantom; the memory
        // itself is mapped until the DumbMapping is dropped, which `drop` below does before the buffer is destroyed.
        let mapped = mapped.map(|map| unsafe { std::mem::transmute::<DumbMapping<'_>, DumbMapping<'static>>(map) });
        let added = mapped.and_then(|map| {
            let framebuffer = card.add_framebuffer(&dumb, 24, 32).map_err(card.trouble("showing a picture buffer"))?;
            Ok((map, framebuffer))
        });
        match added {
            Ok((map, framebuffer)) => Ok(Buffer { card: card.clone(), dumb, framebuffer, map: Some(map), lacks: Lacks::everything() }),
            Err(error) => {
                let _ = card.destroy_dumb_buffer(dumb);
                Err(error)
            }
        }
    }

    fn write(&mut self, composed: &Composed<'_>, placement: &Placement) {
        let (pitch, size) = (self.dumb.pitch() as usize, self.dumb.size());
        if let Some(map) = &mut self.map {
            self.lacks.write(map, pitch, (size.0 as usize, size.1 as usize), composed, placement);
        }
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let _ = self.card.destroy_framebuffer(self.framebuffer);
        self.map = None;
        let _ = self.card.destroy_dumb_buffer(self.dumb);
    }
}

/// Where in the target a part of the picture lies: every pixel that shows any of it, and perhaps one more on each side.
fn placed(rect: &Rect, placement: &Placement) -> Rect {
    let (to, (width, height)) = (placement.rect, placement.picture);
    let scaled = |at: usize, to: usize, from: usize| at * to / from.max(1);
    Rect {
        x0: to.x0 + scaled(rect.x0, to.width(), width).saturating_sub(1),
        y0: to.y0 + scaled(rect.y0, to.height(), height).saturating_sub(1),
        x1: to.x0 + scaled(rect.x1, to.width(), width) + 2,
        y1: to.y0 + scaled(rect.y1, to.height(), height) + 2,
    }
    .intersection(&to)
}

/// Writes what `rect` of the target shows of the picture: copied where it is one to one, else nearest samples.
fn write_rect(target: &mut [u8], pitch: usize, picture: &Composed<'_>, placement: &Placement, rect: &Rect) {
    let stride = 4 * picture.size.0;
    for y in rect.y0..rect.y1 {
        let from = &picture.data[placement.source_y(y) * stride..][..stride];
        let to = &mut target[y * pitch + 4 * rect.x0..][..4 * rect.width()];
        if placement.is_one_to_one() {
            to.copy_from_slice(&from[4 * (rect.x0 - placement.rect.x0)..][..4 * rect.width()]);
        } else {
            let from = from.as_chunks::<4>().0;
            for (pixel, x) in to.as_chunks_mut::<4>().0.iter_mut().zip(rect.x0..) {
                *pixel = from[placement.source_x(x)];
            }
        }
    }
}

/// Copies a part of `from`, rows of `stride` bytes, to where it lies there.
fn copy_rect(target: &mut [u8], pitch: usize, from: &[u8], stride: usize, rect: &Rect) {
    for y in rect.y0..rect.y1 {
        let row = &from[y * stride..][4 * rect.x0..4 * rect.x1];
        target[y * pitch..][4 * rect.x0..4 * rect.x1].copy_from_slice(row);
    }
}

fn write_borders(target: &mut [u8], pitch: usize, whole: &Rect, inner: &Rect) {
    for y in 0..whole.y1 {
        let row = &mut target[y * pitch..][..4 * whole.x1];
        if (inner.y0..inner.y1).contains(&y) {
            row[..4 * inner.x0].fill(0);
            row[4 * inner.x1..].fill(0);
        } else {
            row.fill(0);
        }
    }
}

/// A monitor that is lit by us.
pub struct Scanout {
    card: Arc<Card>,
    pub plan: Plan,
    buffers: [Buffer; 2],
    /// The one on the screen.
    front: usize,
    /// A flip was asked for and has not been done yet.
    is_flipping: bool,
    placement: Placement,
}

/// How a flip ended.
pub enum Flip {
    /// Done at this time (the kernel's stamp, CLOCK_MONOTONIC), ns.
    Done(u64),
    /// The kernel refused it, or did not say in time that it was done.
    Failed,
}

impl Scanout {
    /// Lights the monitor, black. Takes as long as the monitor needs.
    pub fn light(card: &Arc<Card>, plan: Plan) -> Result<Scanout, DisplayError> {
        let size = plan.offer.size;
        let mut buffers = [Buffer::new(card, size)?, Buffer::new(card, size)?];
        for buffer in &mut buffers {
            if let Some(map) = &mut buffer.map {
                map.fill(0);
            }
        }
        let lit = card.set_crtc(plan.crtc, Some(buffers[0].framebuffer), (0, 0), &[plan.connector], Some(plan.mode));
        lit.map_err(card.trouble("setting the monitor's mode"))?;
        Ok(Scanout { card: card.clone(), plan, buffers, front: 0, is_flipping: false, placement: Placement::fit((1, 1), size) })
    }

    /// The picture has changed in these rectangles, or altogether.
    pub fn note(&mut self, changed: &[Rect], is_new: bool, size: (usize, usize)) {
        let placement = Placement::fit(size, self.plan.offer.size);
        let is_elsewhere = placement != self.placement;
        self.placement = placement;
        for buffer in &mut self.buffers {
            buffer.lacks.picture.note(changed, is_new || is_elsewhere);
            buffer.lacks.beside.note(&[], is_elsewhere);
        }
    }

    /// What stands beside the picture has changed; after `note`.
    pub fn note_beside(&mut self, sides: &mut Sides) {
        let changed = sides.due(self.plan.offer.size, &self.placement.rect, false);
        self.buffers.iter_mut().for_each(|buffer| buffer.lacks.beside.note(changed, false));
    }

    /// Writes the picture into the buffer that is not on the screen.
    pub fn write(&mut self, picture: &Composed<'_>) {
        self.buffers[1 - self.front].write(picture, &self.placement);
    }

    /// Puts on the screen what was written, and waits until it is there, for `timeout_ns` at most.
    pub fn flip(&mut self, timeout_ns: u64, now_ns: &dyn Fn() -> u64) -> Flip {
        let deadline_ns = now_ns() + timeout_ns;
        let back = 1 - self.front;
        if self.is_flipping && self.wait(deadline_ns, now_ns).is_none() {
            return Flip::Failed;
        }
        if self.card.page_flip(self.plan.crtc, self.buffers[back].framebuffer, PageFlipFlags::EVENT, None).is_err() {
            return Flip::Failed;
        }
        (self.is_flipping, self.front) = (true, back);
        self.wait(deadline_ns, now_ns).map_or(Flip::Failed, Flip::Done)
    }

    fn wait(&mut self, deadline_ns: u64, now_ns: &dyn Fn() -> u64) -> Option<u64> {
        let crtc = self.plan.crtc;
        let of = |event| match event {
            Event::PageFlip(flip) if flip.crtc == crtc => Some(flip.duration.as_nanos() as u64),
            _ => None,
        };
        let stamp_ns = self.card.await_event(deadline_ns, now_ns, of)?;
        self.is_flipping = false;
        Some(stamp_ns)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::display::Beside;
    use crate::overlay::Layer;
    use proptest::prelude::*;

    /// The target as it should be: each pixel by the rule.
    fn wish(picture: &Composed<'_>, placement: &Placement, target: (usize, usize)) -> Vec<u8> {
        let mut bytes = Vec::new();
        for y in 0..target.1 {
            for x in 0..target.0 {
                let at = (placement.source_y(y.clamp(placement.rect.y0, placement.rect.y1 - 1)) * picture.size.0
                    + placement.source_x(x.clamp(placement.rect.x0, placement.rect.x1 - 1)))
                    * 4;
                bytes.extend_from_slice(if placement.rect.contains(x, y) { &picture.data[at..at + 4] } else { &[0; 4] });
            }
        }
        bytes
    }

    fn rows(bytes: &[u8], pitch: usize, target: (usize, usize)) -> Vec<u8> {
        (0..target.1).flat_map(|y| bytes[y * pitch..][..4 * target.0].to_vec()).collect()
    }

    /// A sheet of the target's size with plates at these places, in one colour.
    fn sheet(target: (usize, usize), plates: &[Rect], level: u8) -> Layer {
        let mut layer = Layer::new(target.0, target.1);
        for rect in plates {
            (rect.y0..rect.y1).for_each(|y| layer.row_mut(y, rect.x0, rect.x1).fill(level));
        }
        layer.rects = plates.to_vec();
        layer
    }

    type Sizes = (usize, usize, usize, usize);

    fn rects(sizes: &[Sizes], size: (usize, usize)) -> Vec<Rect> {
        let rect = |&(x, y, w, h): &Sizes| Rect { x0: x, y0: y, x1: x + w, y1: y + h }.clipped(size.0, size.1);
        sizes.iter().map(rect).filter(|rect| !rect.is_empty()).collect()
    }

    proptest! {
        /// Whatever the sizes, and whatever changes in the picture and beside it: each of two buffers, written in turns, shows
        /// what it is to show.
        #[test]
        fn what_changed_is_written_and_nothing_is_missed(
            size in (16usize..80, 16usize..80), target in (16usize..120, 16usize..120), pad in 0usize..64,
            turns in proptest::collection::vec((
                any::<bool>(),
                proptest::collection::vec((0usize..80, 0usize..80, 1usize..40, 1usize..40), 0..4),
                proptest::option::of(proptest::collection::vec((0usize..120, 0usize..120, 1usize..40, 1usize..40), 0..3)),
            ), 1..8), seed in any::<u8>()) {
            let placement = Placement::fit(size, target);
            let pitch = 4 * (target.0 + pad);
            let mut memories = [vec![7u8; pitch * target.1], vec![9u8; pitch * target.1]];
            let mut lacks = [Lacks::everything(), Lacks::everything()];
            let mut data: Vec<u8> = (0..4 * size.0 * size.1).map(|i| (i as u8).wrapping_mul(31) ^ seed).collect();
            let (mut sides, mut beside) = (Sides::default(), vec![0u8; 4 * target.0 * target.1]);
            for (turn, (is_new, changed, plates)) in turns.into_iter().enumerate() {
                let changed = if is_new { vec![Rect::whole(size.0, size.1)] } else { rects(&changed, size) };
                for rect in &changed {
                    for y in rect.y0..rect.y1 {
                        data[(y * size.0 + rect.x0) * 4..(y * size.0 + rect.x1) * 4].iter_mut().for_each(|b| *b = !*b);
                    }
                }
                let is_beside = |rect: &Rect| rect.intersection(&placement.rect).is_empty();
                let plates = plates.map(|plates| rects(&plates, target).into_iter().filter(is_beside).collect::<Vec<_>>());
                let layer = plates.map(|plates| sheet(target, &plates, turn as u8 + 1));
                sides.take(layer.as_ref().map(|layer| Beside { layer, serial: turn as u64 }), &mut beside);
                let due = sides.due(target, &placement.rect, false);
                for lacks in &mut lacks {
                    lacks.picture.note(&changed, is_new);
                    lacks.beside.note(due, false);
                }
                let (memory, lacks) = (&mut memories[turn % 2], &mut lacks[turn % 2]);
                let composed = Composed { data: &data, size, sides: &sides, beside: &beside };
                lacks.write(memory, pitch, target, &composed, &placement);
                let mut wanted = wish(&composed, &placement, target);
                for rect in layer.iter().flat_map(|layer| &layer.rects) {
                    copy_rect(&mut wanted, 4 * target.0, &beside, 4 * target.0, rect);
                }
                prop_assert!(rows(memory, pitch, target) == wanted, "turn {}", turn);
            }
        }
    }
}
