//! The status display: words, figures and signs at the rim of the picture, drawn by egui into a bitmap on a thread of its
//! own whenever what is said changes. The display thread says (`say`) and looks (`poll`), and waits for nothing.
//!
//! ```text
//!   display ── Order (newest wins) ──► "hud": egui ─► triangles ─► Layer
//!      ▲                                           │
//!      └────────── Bitmap (newest wins) ◄──────────┘        used layers go back and are painted again
//!
//!   nothing comes back for LATE_NS ──► the old bitmap would lie: no status display at all, the picture stays
//! ```
//! What is to be said is decided in `pipeline`; which words say it stands in `base::texts`.

#[cfg(test)]
mod gallery;
mod layout;
mod mesh;
mod screen;
mod sign;
#[cfg(test)]
mod tests;

pub use layout::{Layout, PipLayout};

use crate::base::hud::{PipMode, Status};
use crate::base::slot::{Slot, Wake};
use crate::base::texts::Language;
use crate::display::DisplayError;
use crate::display::pip::Pip;
use crate::overlay::{Layer, Rect};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// What was said and is not on the screen after so long makes what is there a lie.
pub const LATE_NS: u64 = 1_000_000_000;
/// The thread looks around so often for its end.
const IDLE: Duration = Duration::from_secs(1);

/// What the thread is asked to paint.
struct Order {
    serial: u64,
    size: (usize, usize),
    status: Status,
}

/// What it has painted.
struct Bitmap {
    serial: u64,
    layer: Layer,
    pip: Option<PipMode>,
}

/// Paints a status on a layer; replaced in tests by one that hangs.
type Paint = Box<dyn FnMut(&Status, &mut Layer) + Send>;

struct Channels {
    orders: Slot<Order>,
    bitmaps: Slot<Bitmap>,
    /// Layers with nothing but NO SIGNAL, one for each new size.
    blanks: Slot<Layer>,
    used: Slot<Layer>,
    wake: Arc<Wake>,
    is_over: AtomicBool,
}

/// The status display as the display thread holds it.
pub struct Hud {
    channels: Arc<Channels>,
    size: (usize, usize),
    layout: Layout,
    asked_size: (usize, usize),
    serial: u64,
    /// When the oldest thing was said that is not painted yet.
    waiting_since_ns: Option<u64>,
    front: Bitmap,
    blank: Layer,
    /// Where the front carries a picture in picture; empty if it does not.
    stamped: Rect,
}

impl Hud {
    /// For pictures of so many pixels; `answer` is rung when there is something to `poll`.
    pub fn start(size: (usize, usize), language: Language, answer: Arc<Wake>) -> Result<Self, DisplayError> {
        let mut screen = screen::Screen::new();
        Self::start_with(
            size,
            language,
            answer,
            Box::new(move |status, layer| {
                // What has no room is cut with an ellipsis; tests hold that nothing of ours has to be.
                let _has_room = screen.paint(status, layer);
            }),
        )
    }

    fn start_with(size: (usize, usize), language: Language, answer: Arc<Wake>, mut paint: Paint) -> Result<Self, DisplayError> {
        let wake = Arc::new(Wake::default());
        let channels = Arc::new(Channels {
            orders: Slot::new(1, wake.clone()),
            bitmaps: Slot::new(1, answer.clone()),
            blanks: Slot::new(1, answer),
            // Front, back and one on its way: no more layers than these exist.
            used: Slot::new(3, wake.clone()),
            wake,
            is_over: AtomicBool::new(false),
        });
        // NO SIGNAL is there before the first picture, whatever becomes of the thread.
        let blank = no_signal(size, language, &mut paint);
        let thread = channels.clone();
        std::thread::Builder::new()
            .name("hud".into())
            .spawn(move || thread.serve(size, language, paint))
            .map_err(|source| DisplayError::Thread { name: "hud", source })?;
        let front = Bitmap { serial: 0, layer: Layer::new(size.0, size.1), pip: None };
        Ok(Hud {
            channels,
            size,
            layout: Layout::of(size.0, size.1),
            asked_size: size,
            serial: 0,
            waiting_since_ns: None,
            front,
            blank,
            stamped: Rect::EMPTY,
        })
    }

    /// Of the pictures that it is painted for.
    pub fn size(&self) -> (usize, usize) {
        self.size
    }

    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// The pictures have another size from now on: what was painted does not fit them.
    pub fn resize(&mut self, size: (usize, usize)) {
        if self.size != size {
            (self.size, self.layout) = (size, Layout::of(size.0, size.1));
        }
    }

    /// What was asked for last was for pictures of another size.
    pub fn is_of_another_size(&self) -> bool {
        self.asked_size != self.size
    }

    /// Asks for `status` to be painted.
    pub fn say(&mut self, now_ns: u64, status: Status) {
        self.serial += 1;
        self.asked_size = self.size;
        self.waiting_since_ns.get_or_insert(now_ns);
        // What it replaces was never painted, and nobody misses it.
        drop(self.channels.orders.push(Order { serial: self.serial, size: self.size, status }));
    }

    /// Takes what was painted since; returns whether anything was.
    pub fn poll(&mut self, now_ns: u64) -> bool {
        if let Some(blank) = self.channels.blanks.pop() {
            self.blank = blank;
        }
        let Some(bitmap) = self.channels.bitmaps.pop() else { return false };
        self.waiting_since_ns = (bitmap.serial < self.serial).then_some(now_ns);
        self.unstamp();
        let old = std::mem::replace(&mut self.front, bitmap);
        drop(self.channels.used.push(old.layer));
        true
    }

    /// The thread does not answer: what it painted last may be wrong by now.
    pub fn is_late(&self, now_ns: u64) -> bool {
        self.waiting_since_ns.is_some_and(|since_ns| now_ns.saturating_sub(since_ns) > LATE_NS)
    }

    /// What to lay over the picture now.
    pub fn layer(&self, now_ns: u64) -> Option<&Layer> {
        let fits = (self.front.layer.width, self.front.layer.height) == self.size;
        (fits && !self.is_late(now_ns) && !self.front.layer.is_empty()).then_some(&self.front.layer)
    }

    /// NO SIGNAL and nothing else; painted beforehand. None for the moments after a change of format.
    pub fn blank(&self) -> Option<&Layer> {
        ((self.blank.width, self.blank.height) == self.size).then_some(&self.blank)
    }

    /// What was painted last answers what was said last.
    pub fn is_up_to_date(&self) -> bool {
        self.front.serial == self.serial
    }

    /// Puts a picture in picture on the bitmap, if the bitmap carries its words: no picture of the past, and no part of
    /// one, is shown without saying what it is. Returns whether it was put there.
    pub fn stamp(&mut self, pip: &Pip, now_ns: u64) -> bool {
        let rect = self.layout.pip.picture;
        let fits = (self.front.layer.width, self.front.layer.height) == self.size;
        if !fits
            || self.is_late(now_ns)
            || pip.mode().is_none()
            || pip.mode() != self.front.pip
            || pip.size() != (rect.width(), rect.height())
        {
            self.unstamp();
            return false;
        }
        for (y, row) in (rect.y0..rect.y1).zip(pip.rows()) {
            self.front.layer.row_mut(y, rect.x0, rect.x1).copy_from_slice(row);
        }
        if self.stamped != rect {
            self.front.layer.rects.push(rect);
            self.stamped = rect;
        }
        true
    }

    fn unstamp(&mut self) {
        let rect = std::mem::replace(&mut self.stamped, Rect::EMPTY);
        if rect.is_empty() {
            return;
        }
        for y in rect.y0..rect.y1 {
            self.front.layer.row_mut(y, rect.x0, rect.x1).fill(0);
        }
        self.front.layer.rects.retain(|other| *other != rect);
    }
}

impl Drop for Hud {
    fn drop(&mut self) {
        // Not joined: who hangs is left behind.
        self.channels.is_over.store(true, Ordering::Release);
        self.channels.wake.ring();
    }
}

impl Channels {
    /// The thread's life.
    fn serve(&self, mut size: (usize, usize), mut language: Language, mut paint: Paint) {
        let mut spare: Option<Layer> = None;
        while !self.is_over.load(Ordering::Acquire) {
            let Some(order) = self.orders.pop() else {
                self.wake.wait(IDLE);
                continue;
            };
            if (order.size, order.status.language) != (size, language) {
                (size, language) = (order.size, order.status.language);
                drop(self.blanks.push(no_signal(size, language, &mut paint)));
            }
            let fitting = |layer: &Layer| (layer.width, layer.height) == size;
            let mut layer = spare.take().or_else(|| self.used.pop()).filter(fitting).unwrap_or_else(|| Layer::new(size.0, size.1));
            paint(&order.status, &mut layer);
            let pip = order.status.pip.map(|caption| caption.mode).filter(|_| order.status.has_picture());
            // What nobody has looked at is painted over next.
            spare = self.bitmaps.push(Bitmap { serial: order.serial, layer, pip }).map(|replaced| replaced.layer);
        }
    }
}

fn no_signal(size: (usize, usize), language: Language, paint: &mut Paint) -> Layer {
    let mut layer = Layer::new(size.0, size.1);
    paint(&Status { language, ..Status::default() }, &mut layer);
    layer
}
