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

mod bars;
#[cfg(test)]
mod gallery;
mod layout;
mod mesh;
mod screen;
mod sign;
#[cfg(test)]
mod tests;

pub use bars::Bars;
pub use layout::{Layout, PipLayout};

use crate::base::hud::{PipMode, Status};
use crate::base::slot::{Slot, Wake};
use crate::base::texts::Language;
use crate::display::pip::Pip;
use crate::display::{Beside, DisplayError};
use crate::overlay::{Layer, Rect};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// What was said and is not on the screen after so long makes what is there a lie.
pub const LATE_NS: u64 = 1_000_000_000;
/// The thread looks around so often for its end.
const IDLE: Duration = Duration::from_secs(1);

/// The sizes that it is painted for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Sizes {
    picture: (usize, usize),
    /// Of the screen, where it can be painted beside the picture.
    screen: Option<(usize, usize)>,
}

/// What is painted for a status: over the picture, and beside it.
struct Sheet {
    sizes: Sizes,
    over: Layer,
    /// Of the screen's size, where the picture leaves bars; else of none.
    beside: Layer,
    bars: Option<Bars>,
}

impl Sheet {
    fn new(sizes: Sizes) -> Self {
        let bars = sizes.screen.and_then(|screen| Bars::of(sizes.picture, screen));
        let (width, height) = bars.map_or((0, 0), |bars| bars.screen);
        Sheet { sizes, over: Layer::new(sizes.picture.0, sizes.picture.1), beside: Layer::new(width, height), bars }
    }
}

/// What the thread is asked to paint.
struct Order {
    serial: u64,
    sizes: Sizes,
    status: Status,
}

/// What it has painted.
struct Bitmap {
    serial: u64,
    sheet: Sheet,
    pip: Option<PipMode>,
}

/// Paints a status on a sheet; replaced in tests by one that hangs.
type Paint = Box<dyn FnMut(&Status, &mut Sheet) + Send>;

struct Channels {
    orders: Slot<Order>,
    bitmaps: Slot<Bitmap>,
    /// Layers with nothing but NO SIGNAL, one for each new size.
    blanks: Slot<Layer>,
    used: Slot<Sheet>,
    wake: Arc<Wake>,
    is_over: AtomicBool,
}

/// The status display as the display thread holds it.
pub struct Hud {
    channels: Arc<Channels>,
    sizes: Sizes,
    layout: Layout,
    asked: Sizes,
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
            Box::new(move |status, sheet| {
                // What has no room is cut with an ellipsis; tests hold that nothing of ours has to be.
                let _has_room = screen.paint(status, sheet);
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
        let sizes = Sizes { picture: size, screen: None };
        let blank = no_signal(size, language, &mut paint);
        let thread = channels.clone();
        std::thread::Builder::new()
            .name("hud".into())
            .spawn(move || thread.serve(size, language, paint))
            .map_err(|source| DisplayError::Thread { name: "hud", source })?;
        let front = Bitmap { serial: 0, sheet: Sheet::new(sizes), pip: None };
        Ok(Hud {
            channels,
            sizes,
            layout: Layout::of(size.0, size.1),
            asked: sizes,
            serial: 0,
            waiting_since_ns: None,
            front,
            blank,
            stamped: Rect::EMPTY,
        })
    }

    /// Of the pictures that it is painted for.
    pub fn size(&self) -> (usize, usize) {
        self.sizes.picture
    }

    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// The pictures have another size from now on: what was painted does not fit them.
    pub fn resize(&mut self, size: (usize, usize)) {
        if self.sizes.picture != size {
            (self.sizes.picture, self.layout) = (size, Layout::of(size.0, size.1));
        }
    }

    /// The picture stands on a screen of this size, which can be painted on beside it. None: it cannot.
    pub fn set_screen(&mut self, screen: Option<(usize, usize)>) {
        self.sizes.screen = screen;
    }

    /// What was asked for last was for a picture or a screen of another size.
    pub fn is_of_another_size(&self) -> bool {
        self.asked != self.sizes
    }

    /// Asks for `status` to be painted.
    pub fn say(&mut self, now_ns: u64, status: Status) {
        self.serial += 1;
        self.asked = self.sizes;
        self.waiting_since_ns.get_or_insert(now_ns);
        // What it replaces was never painted, and nobody misses it.
        drop(self.channels.orders.push(Order { serial: self.serial, sizes: self.sizes, status }));
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
        drop(self.channels.used.push(old.sheet));
        true
    }

    /// The thread does not answer: what it painted last may be wrong by now.
    pub fn is_late(&self, now_ns: u64) -> bool {
        self.waiting_since_ns.is_some_and(|since_ns| now_ns.saturating_sub(since_ns) > LATE_NS)
    }

    fn fits(&self) -> bool {
        self.front.sheet.sizes.picture == self.sizes.picture
    }

    /// What to lay over the picture now.
    pub fn layer(&self, now_ns: u64) -> Option<&Layer> {
        let layer = &self.front.sheet.over;
        (self.fits() && !self.is_late(now_ns) && !layer.is_empty()).then_some(layer)
    }

    /// What to paint beside the picture now.
    pub fn beside(&self, now_ns: u64) -> Option<Beside<'_>> {
        let Sheet { sizes, beside, .. } = &self.front.sheet;
        let is_there = *sizes == self.sizes && !self.is_late(now_ns) && !beside.is_empty();
        is_there.then_some(Beside { layer: beside, serial: self.front.serial })
    }

    /// NO SIGNAL and nothing else; painted beforehand. None for the moments after a change of format.
    pub fn blank(&self) -> Option<&Layer> {
        ((self.blank.width, self.blank.height) == self.sizes.picture).then_some(&self.blank)
    }

    /// What was painted last answers what was said last.
    pub fn is_up_to_date(&self) -> bool {
        self.front.serial == self.serial
    }

    /// Puts a picture in picture on the bitmap, if the bitmap carries its words: no picture of the past, and no part of
    /// one, is shown without saying what it is. Returns whether it was put there.
    pub fn stamp(&mut self, pip: &Pip, now_ns: u64) -> bool {
        let rect = self.layout.pip.picture;
        if !self.fits()
            || self.is_late(now_ns)
            || pip.mode().is_none()
            || pip.mode() != self.front.pip
            || pip.size() != (rect.width(), rect.height())
        {
            self.unstamp();
            return false;
        }
        for (y, row) in (rect.y0..rect.y1).zip(pip.rows()) {
            self.front.sheet.over.row_mut(y, rect.x0, rect.x1).copy_from_slice(row);
        }
        if self.stamped != rect {
            self.front.sheet.over.rects.push(rect);
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
            self.front.sheet.over.row_mut(y, rect.x0, rect.x1).fill(0);
        }
        self.front.sheet.over.rects.retain(|other| *other != rect);
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
        let mut spare: Option<Sheet> = None;
        while !self.is_over.load(Ordering::Acquire) {
            let Some(order) = self.orders.pop() else {
                self.wake.wait(IDLE);
                continue;
            };
            if (order.sizes.picture, order.status.language) != (size, language) {
                (size, language) = (order.sizes.picture, order.status.language);
                drop(self.blanks.push(no_signal(size, language, &mut paint)));
            }
            let fitting = |sheet: &Sheet| sheet.sizes == order.sizes;
            let mut sheet = spare.take().or_else(|| self.used.pop()).filter(fitting).unwrap_or_else(|| Sheet::new(order.sizes));
            paint(&order.status, &mut sheet);
            let pip = order.status.pip.map(|caption| caption.mode).filter(|_| order.status.has_picture());
            // What nobody has looked at is painted over next.
            spare = self.bitmaps.push(Bitmap { serial: order.serial, sheet, pip }).map(|replaced| replaced.sheet);
        }
    }
}

fn no_signal(picture: (usize, usize), language: Language, paint: &mut Paint) -> Layer {
    let mut sheet = Sheet::new(Sizes { picture, screen: None });
    paint(&Status { language, ..Status::default() }, &mut sheet);
    sheet.over
}

/// A status display that never answers: for tests of those who must not mind.
#[cfg(test)]
pub(crate) fn hung(size: (usize, usize), answer: Arc<Wake>) -> Hud {
    let mut is_first = true;
    let paint: Paint = Box::new(move |_, _| {
        // The first is NO SIGNAL, painted before the thread begins.
        while !std::mem::take(&mut is_first) {
            std::thread::park();
        }
    });
    Hud::start_with(size, Language::En, answer, paint).expect("a thread")
}
