//! What stands beside the picture in an X11 window, or on a monitor: kept in memory of its size, and put there when it
//! changes. It is never put where the picture lies.

use crate::display::{Beside, CodeBeside};
use crate::overlay::Rect;

/// More than these gather only while nobody sees the window, which is painted whole when somebody does.
const MOST_DIRTY: usize = 256;

/// Pixels of the whole window, and which of them the server has yet to take.
#[derive(Debug, Default)]
pub(super) struct Sides {
    /// None: black.
    serial: Option<u64>,
    size: (usize, usize),
    /// What is not black.
    plates: Vec<Rect>,
    /// What has changed since it was put last.
    dirty: Vec<Rect>,
    /// What was given away of it, to be used again.
    given: Vec<Rect>,
    /// Where a code stands; on no plate.
    code: Option<Rect>,
}

impl Sides {
    /// Is what `beside` says something else than what is kept?
    pub(super) fn differs(&self, beside: Option<&Beside<'_>>) -> bool {
        beside.map(|beside| (beside.serial, (beside.layer.width, beside.layer.height))) != self.serial.map(|serial| (serial, self.size))
    }

    /// Takes over what `beside` says into `pixels`, of its size (or, where it is None, of the size that is kept).
    pub(super) fn take(&mut self, beside: Option<Beside<'_>>, pixels: &mut [u8]) {
        let size = beside.as_ref().map_or(self.size, |beside| (beside.layer.width, beside.layer.height));
        if size == self.size {
            for rect in &self.plates {
                for y in rect.y0..rect.y1 {
                    pixels[(y * size.0 + rect.x0) * 4..(y * size.0 + rect.x1) * 4].fill(0);
                }
            }
            if self.dirty.len() > MOST_DIRTY {
                self.dirty.clear();
            }
            self.dirty.append(&mut self.plates);
        } else {
            self.forget();
        }
        (self.size, self.serial) = (size, beside.as_ref().map(|beside| beside.serial));
        let Some(beside) = beside else { return };
        for rect in &beside.layer.rects {
            for y in rect.y0..rect.y1 {
                // Premultiplied on black: as it is.
                pixels[(y * size.0 + rect.x0) * 4..(y * size.0 + rect.x1) * 4].copy_from_slice(beside.layer.row(y, rect.x0, rect.x1));
            }
        }
        self.plates.extend(&beside.layer.rects);
        self.dirty.extend(&beside.layer.rects);
    }

    /// New memory is black, and so is a window of another size.
    fn forget(&mut self) {
        self.plates.clear();
        self.dirty.clear();
        self.code = None;
    }

    /// Puts `code` into `pixels`, of this size, in the place of the one that is there.
    pub(super) fn stamp(&mut self, code: Option<CodeBeside<'_>>, size: (usize, usize), pixels: &mut [u8]) {
        if size != self.size {
            self.forget();
            (self.size, self.serial) = (size, None);
        }
        let rect = code.as_ref().map(|code| code.rect.clipped(size.0, size.1));
        if let Some(old) = self.code.take_if(|old| Some(*old) != rect) {
            for y in old.y0..old.y1 {
                pixels[(y * size.0 + old.x0) * 4..(y * size.0 + old.x1) * 4].fill(0);
            }
            self.touch(old);
        }
        let (Some(code), Some(rect)) = (code, rect.filter(|rect| !rect.is_empty())) else { return };
        for (y, row) in (rect.y0..rect.y1).zip(code.pixels.chunks_exact(4 * rect.width())) {
            pixels[(y * size.0 + rect.x0) * 4..(y * size.0 + rect.x1) * 4].copy_from_slice(row);
        }
        self.code = Some(rect);
        self.touch(rect);
    }

    fn touch(&mut self, rect: Rect) {
        if !self.dirty.contains(&rect) {
            self.dirty.push(rect);
        }
    }

    /// All that is not black on a screen of `size`, where `picture` does not lie.
    pub(super) fn plates<'a>(&'a self, size: (usize, usize), picture: &'a Rect) -> impl Iterator<Item = &'a Rect> {
        let is_of_it = size == self.size;
        self.plates.iter().chain(&self.code).filter(move |rect| is_of_it && rect.intersection(picture).is_empty())
    }

    /// What has to be put into a window of `size` beside `picture`: what has changed, or all of it where the window `is_stale`
    /// and has just been painted black.
    pub(super) fn due(&mut self, size: (usize, usize), picture: &Rect, is_stale: bool) -> &[Rect] {
        self.given.clear();
        if size == self.size {
            let all = self.plates.iter().chain(&self.code);
            let (changed, all) = if is_stale { (&[][..], Some(all)) } else { (&self.dirty[..], None) };
            let rects = changed.iter().chain(all.into_iter().flatten());
            self.given.extend(rects.filter(|rect| rect.intersection(picture).is_empty()));
        }
        self.dirty.clear();
        &self.given
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::overlay::Layer;

    fn layer(rects: &[Rect], level: u8) -> Layer {
        let mut layer = Layer::new(40, 20);
        for rect in rects {
            (rect.y0..rect.y1).for_each(|y| layer.row_mut(y, rect.x0, rect.x1).fill(level));
        }
        layer.rects = rects.to_vec();
        layer
    }

    #[test]
    fn what_has_changed_is_put_once_and_all_of_it_in_a_window_that_was_exposed() {
        let (left, right) = (Rect { x0: 0, y0: 0, x1: 5, y1: 10 }, Rect { x0: 35, y0: 5, x1: 40, y1: 9 });
        let (picture, size) = (Rect { x0: 10, y0: 0, x1: 30, y1: 20 }, (40, 20));
        let (mut sides, mut pixels) = (Sides::default(), vec![0; 40 * 20 * 4]);
        assert!(!sides.differs(None) && sides.due(size, &picture, true).is_empty());
        let first = layer(&[left], 70);
        let beside = Beside { layer: &first, serial: 4 };
        assert!(sides.differs(Some(&beside)));
        sides.take(Some(beside), &mut pixels);
        assert!(!sides.differs(Some(&beside)) && pixels == first.data);
        assert_eq!(sides.due(size, &picture, false), [left]);
        assert!(sides.due(size, &picture, false).is_empty());
        assert_eq!(sides.due(size, &picture, true), [left]);
        assert!(sides.plates(size, &picture).eq([&left]) && sides.plates((41, 20), &picture).next().is_none());

        let second = layer(&[right], 90);
        sides.take(Some(Beside { layer: &second, serial: 5 }), &mut pixels);
        assert!(pixels == second.data, "nothing of the first is left");
        assert_eq!(sides.due(size, &picture, false), [left, right]);
        sides.take(None, &mut pixels);
        assert!(!sides.differs(None) && pixels.iter().all(|&byte| byte == 0));
        assert_eq!(sides.due(size, &picture, false), [right]);

        let (code, level) = (Rect { x0: 31, y0: 12, x1: 34, y1: 14 }, [60; 4 * 3 * 2]);
        let stamped = |pixels: &[u8]| (12..14).all(|y| (31..34).all(|x| pixels[(y * 40 + x) * 4] == 60));
        for _ in 0..3 {
            sides.stamp(Some(CodeBeside { rect: code, pixels: &level }), size, &mut pixels);
            assert_eq!(sides.due(size, &picture, false), [code], "with each picture");
            assert!(stamped(&pixels));
        }
        assert!(sides.plates(size, &picture).eq([&code]) && sides.due(size, &picture, true) == [code]);
        let elsewhere = Rect { y0: 2, y1: 4, ..code };
        sides.stamp(Some(CodeBeside { rect: elsewhere, pixels: &level }), size, &mut pixels);
        assert_eq!(sides.due(size, &picture, false), [code, elsewhere]);
        assert!(!stamped(&pixels));
        sides.stamp(None, size, &mut pixels);
        assert!(sides.due(size, &picture, false) == [elsewhere] && pixels.iter().all(|&byte| byte == 0));
        sides.stamp(None, size, &mut pixels);
        assert!(sides.due(size, &picture, false).is_empty());

        sides.take(Some(beside), &mut pixels);
        assert!(sides.due(size, &Rect::whole(40, 20), false).is_empty(), "never on the picture");
        assert!(sides.plates(size, &Rect::whole(40, 20)).next().is_none());
        sides.take(Some(Beside { layer: &second, serial: 6 }), &mut pixels);
        assert!(sides.due((41, 20), &picture, true).is_empty(), "of a window of another size");
    }
}
