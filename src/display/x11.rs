//! A window on an X server without a GPU: the host compositor writes into memory shared with the server, which copies the
//! whole frame, or the rectangles that changed, into the window. Done is when the server says that it has read them.
//!
//! A connection of its own: nothing here waits for, or is waited for by, the window's event loop. A window of another
//! size than the picture shows it scaled (`Placement`), with black borders.

use crate::base::clock::Clock;
use crate::display::canvas::Canvas;
use crate::display::monitor_watch::{MonitorEvent, MonitorLink, MonitorNote};
use crate::display::shm::SharedMemory;
use crate::display::vsync::{self, Vsync};
use crate::display::x11_beside::Sides;
use crate::display::{Beside, CodeBeside, DisplayError, Output, OutputInfo, Picture, PresentedView, Refresh, Settings, Shown, Wish};
use crate::overlay::placement::Placement;
use crate::overlay::{Layer, Rect};
use rustix::event::{PollFd, PollFlags, Timespec};
use std::os::fd::AsFd;
use std::sync::Arc;
use x11rb::connection::{Connection, RequestConnection};
use x11rb::protocol::Event;
use x11rb::protocol::shm::{self, ConnectionExt as _};
use x11rb::protocol::xproto::{
    ChangeWindowAttributesAux, ConnectionExt as _, CreateGCAux, EventMask, Gcontext, ImageFormat, ImageOrder, Pixmap, Rectangle,
};
use x11rb::rust_connection::RustConnection;

pub struct X11Output {
    link: Link,
    adapter: String,
    canvas: Canvas,
    /// The composed picture.
    picture: Option<Segment>,
    /// The picture as scaled to the window, where it is.
    scaled: Option<Segment>,
    /// What stands beside it, of the window's size.
    sides: Sides,
    beside: Option<Segment>,
    has_shown: bool,
}

/// The connection to the server, and what is known of the window.
struct Link {
    clock: Arc<dyn Clock>,
    timeout_ns: u64,
    connection: RustConnection,
    window: u32,
    depth: u8,
    gc: Gcontext,
    window_size: (usize, usize),
    /// Where pictures are taken at the monitor's refresh.
    vsync: Option<Vsync>,
    /// Where somebody watches it.
    monitor: Option<MonitorLink>,
    /// The window's content is not known: borders and picture are drawn whole.
    is_stale: bool,
    is_closed: bool,
}

/// Memory that the server has attached.
struct Segment {
    id: shm::Seg,
    memory: SharedMemory,
    size: (usize, usize),
    /// The same memory as the server presents it.
    pixmap: Option<Pixmap>,
}

fn x11(reason: impl std::fmt::Display) -> DisplayError {
    DisplayError::X11 { reason: reason.to_string() }
}

impl X11Output {
    /// Shows pictures in `window`, which somebody else has opened and will close. `display`: as $DISPLAY; None: from there.
    pub fn new(display: Option<&str>, window: u32, settings: &Settings, clock: Arc<dyn Clock>) -> Result<Self, DisplayError> {
        let (connection, _) = x11rb::connect(display).map_err(x11)?;
        let no_shm = || x11("the server has no MIT-SHM 1.2");
        connection.extension_information(shm::X11_EXTENSION_NAME).map_err(x11)?.ok_or_else(no_shm)?;
        let version = connection.shm_query_version().map_err(x11)?.reply().map_err(x11)?;
        if (version.major_version, version.minor_version) < (1, 2) {
            return Err(no_shm());
        }
        let geometry = connection.get_geometry(window).map_err(x11)?.reply().map_err(|_| DisplayError::Closed)?;
        let setup = connection.setup();
        let pixels_fit = setup.pixmap_formats.iter().any(|format| format.depth == geometry.depth && format.bits_per_pixel == 32);
        if !pixels_fit || !matches!(geometry.depth, 24 | 32) || setup.image_byte_order != ImageOrder::LSB_FIRST {
            return Err(x11(format!("the window has a colour depth of {}", geometry.depth)));
        }
        let visuals = setup.roots.iter().flat_map(|root| &root.allowed_depths).flat_map(|depth| &depth.visuals);
        let visual = connection.get_window_attributes(window).map_err(x11)?.reply().map_err(|_| DisplayError::Closed)?.visual;
        if visuals.into_iter().find(|v| v.visual_id == visual).is_none_or(|v| (v.red_mask, v.blue_mask) != (0xff_0000, 0xff)) {
            return Err(x11("the window's pixels are not in the order B, G, R"));
        }
        let vsync = (settings.vsync != Wish::Off)
            .then(|| Vsync::of(&connection, geometry.root, window, settings.refresh_hz, clock.now_ns()))
            .flatten();
        if vsync.is_none() && settings.vsync == Wish::On {
            return Err(x11("it has no Present extension, or says no refresh rate: set display.refresh_hz, or display.vsync = \"auto\""));
        }
        let way = if vsync.is_some() { "Present" } else { "MIT-SHM" };
        let adapter = format!("X11 {way} ({})", String::from_utf8_lossy(&setup.vendor));
        let gc = connection.generate_id().map_err(x11)?;
        connection.create_gc(gc, window, &CreateGCAux::new().foreground(0xff00_0000).graphics_exposures(0)).map_err(x11)?;
        let wanted = ChangeWindowAttributesAux::new().event_mask(EventMask::STRUCTURE_NOTIFY | EventMask::EXPOSURE);
        connection.change_window_attributes(window, &wanted).map_err(x11)?.check().map_err(|_| DisplayError::Closed)?;
        // Asked again: it may have got another size before its changes were told.
        let geometry = connection.get_geometry(window).map_err(x11)?.reply().map_err(|_| DisplayError::Closed)?;
        let link = Link {
            clock,
            timeout_ns: u64::from(settings.present_timeout_ms) * 1_000_000,
            connection,
            window,
            depth: geometry.depth,
            gc,
            window_size: (geometry.width.into(), geometry.height.into()),
            vsync,
            monitor: None,
            is_stale: true,
            is_closed: false,
        };
        Ok(X11Output {
            link,
            adapter,
            canvas: Canvas::new(),
            picture: None,
            scaled: None,
            sides: Sides::default(),
            beside: None,
            has_shown: false,
        })
    }

    /// While nobody can see the window, nothing is put into it: a server may keep a picture for a monitor that sleeps.
    pub(super) fn watched(mut self, monitor: Option<MonitorLink>) -> Self {
        self.link.monitor = monitor;
        self
    }
}

/// A wait for the server looks around so often.
const LOOK_NS: u64 = 20_000_000;

impl Link {
    /// Takes note of what has happened to the window. Returns whether a put has been completed.
    fn note(&mut self, event: Event) -> bool {
        match event {
            Event::ConfigureNotify(event) if event.window == self.window => {
                let size = (event.width.into(), event.height.into());
                self.is_stale |= size != self.window_size;
                self.window_size = size;
            }
            Event::Expose(_) | Event::MapNotify(_) => self.is_stale = true,
            Event::DestroyNotify(event) => self.is_closed |= event.window == self.window,
            // What can fail at run time is a put into a window that is no more.
            Event::Error(_) => self.is_closed = true,
            Event::ShmCompletion(_) => return self.vsync.is_none(),
            Event::PresentCompleteNotify(event) => {
                let now_ns = self.clock.now_ns();
                return self.vsync.as_mut().is_some_and(|vsync| vsync.is_taken(&event, now_ns));
            }
            _ => {}
        }
        false
    }

    fn note_all(&mut self) -> Result<(), DisplayError> {
        while let Some(event) = self.connection.poll_for_event().map_err(|_| DisplayError::Closed)? {
            self.note(event);
        }
        if self.is_closed { Err(DisplayError::Closed) } else { Ok(()) }
    }

    /// Waits until the server has read what the last put refers to.
    fn wait_for_completion(&mut self) -> Result<(), DisplayError> {
        self.connection.flush().map_err(|_| DisplayError::Closed)?;
        let deadline_ns = self.clock.now_ns() + self.timeout_ns;
        loop {
            while let Some(event) = self.connection.poll_for_event().map_err(|_| DisplayError::Closed)? {
                if self.note(event) {
                    return Ok(());
                }
                if self.is_closed {
                    return Err(DisplayError::Closed);
                }
            }
            let left_ns = deadline_ns.saturating_sub(self.clock.now_ns());
            if left_ns == 0 {
                return Err(DisplayError::Timeout { waited_ms: self.timeout_ns / 1_000_000 });
            }
            if self.vsync.is_some() && self.is_unseen() {
                return Ok(());
            }
            let wait = Timespec { tv_sec: 0, tv_nsec: left_ns.min(LOOK_NS) as _ };
            // An interrupted wait only means another look.
            let _ = rustix::event::poll(&mut [PollFd::from_borrowed_fd(self.connection.stream().as_fd(), PollFlags::IN)], Some(&wait));
        }
    }

    fn is_unseen(&self) -> bool {
        self.monitor.as_ref().is_some_and(MonitorLink::is_gone)
    }

    /// Nobody looks: the pace is kept, nothing is put.
    fn pass(&mut self) {
        self.is_stale = true;
        if let Some(vsync) = &mut self.vsync {
            vsync.skip();
            self.clock.sleep_until_ns(vsync.refresh().next_ns(self.clock.now_ns()));
        }
    }

    /// Copies `rects` of a segment into the window, `at` being where the segment's origin lies; waits for the server.
    fn put(&mut self, id: shm::Seg, size: (usize, usize), rects: &[Rect], at: (usize, usize)) -> Result<(), DisplayError> {
        if rects.is_empty() {
            return Ok(());
        }
        self.ask_to_put(id, size, rects, at, true)?;
        self.wait_for_completion()
    }

    /// The same without waiting: what is put, and waited for, later is taken later. `is_last`: the server shall tell.
    fn ask_to_put(
        &self,
        id: shm::Seg,
        size: (usize, usize),
        rects: &[Rect],
        at: (usize, usize),
        is_last: bool,
    ) -> Result<(), DisplayError> {
        for (i, rect) in rects.iter().enumerate() {
            let [w, h, x, y] = [size.0, size.1, rect.x0, rect.y0].map(|v| v as u16);
            let (to_x, to_y) = ((at.0 + rect.x0) as i16, (at.1 + rect.y0) as i16);
            let (rw, rh, format) = (rect.width() as u16, rect.height() as u16, ImageFormat::Z_PIXMAP.into());
            // Requests are served in order: the last one's completion is that of all.
            self.connection
                .shm_put_image(
                    self.window,
                    self.gc,
                    w,
                    h,
                    x,
                    y,
                    rw,
                    rh,
                    to_x,
                    to_y,
                    self.depth,
                    format,
                    is_last && i + 1 == rects.len(),
                    id,
                    0,
                )
                .map_err(|_| DisplayError::Closed)?;
        }
        Ok(())
    }

    /// Presents a whole segment at the monitor's next refresh, `at` being where its origin lies; waits until it was taken.
    fn present(&mut self, pixmap: Pixmap, at: (usize, usize)) -> Result<(), DisplayError> {
        if let Some(vsync) = &mut self.vsync {
            vsync.present(&self.connection, self.window, pixmap, at)?;
        }
        self.wait_for_completion()
    }

    fn paint_borders(&self, inner: Rect) -> Result<(), DisplayError> {
        let (width, height) = self.window_size;
        let rect = |x0: usize, y0: usize, x1: usize, y1: usize| Rectangle {
            x: x0 as i16,
            y: y0 as i16,
            width: (x1 - x0) as u16,
            height: (y1 - y0) as u16,
        };
        let borders = [
            rect(0, 0, width, inner.y0),
            rect(0, inner.y1, width, height),
            rect(0, inner.y0, inner.x0, inner.y1),
            rect(inner.x1, inner.y0, width, inner.y1),
        ];
        self.connection.poly_fill_rectangle(self.window, self.gc, &borders).map_err(|_| DisplayError::Closed)?;
        Ok(())
    }

    /// A segment of this size: the one that is kept, or a new one in its place.
    fn segment<'a>(&self, kept: &'a mut Option<Segment>, size: (usize, usize)) -> Result<&'a mut Segment, DisplayError> {
        if let Some(old) = kept.take_if(|kept| kept.size != size) {
            if let Some(pixmap) = old.pixmap {
                self.connection.free_pixmap(pixmap).map_err(|_| DisplayError::Closed)?;
            }
            self.connection.shm_detach(old.id).map_err(|_| DisplayError::Closed)?;
        }
        if kept.is_none() {
            let (memory, fd) = SharedMemory::new(4 * size.0 * size.1)?;
            let id = self.connection.generate_id().map_err(x11)?;
            // A pixmap is something that may be drawn into: the server makes none of memory that it may not write.
            self.connection.shm_attach_fd(id, fd, self.vsync.is_none()).map_err(x11)?.check().map_err(x11)?;
            let pixmap = match self.vsync {
                Some(_) => Some(vsync::pixmap_of(&self.connection, self.window, self.depth, id, size)?),
                None => None,
            };
            *kept = Some(Segment { id, memory, size, pixmap });
        }
        kept.as_mut().ok_or(DisplayError::NothingShown)
    }
}

/// Nearest samples of `from` (rows of 4 × width bytes) into `to`, as `placement` says.
fn scale(from: &[u8], to: &mut [u8], placement: &Placement) {
    let rect = placement.rect;
    let from = from.as_chunks::<4>().0;
    for (y, row) in to.as_chunks_mut::<4>().0.chunks_exact_mut(rect.width()).enumerate() {
        let line = &from[placement.source_y(rect.y0 + y) * placement.picture.0..][..placement.picture.0];
        for (x, pixel) in row.iter_mut().enumerate() {
            *pixel = line[placement.source_x(rect.x0 + x)];
        }
    }
}

impl Output for X11Output {
    fn describe(&self) -> OutputInfo {
        OutputInfo { display: "window", adapter: self.adapter.clone(), compositor: "host" }
    }

    fn refresh(&self) -> Option<Refresh> {
        self.link.vsync.as_ref().map(Vsync::refresh)
    }

    fn screen(&self) -> Option<(usize, usize)> {
        Some(self.link.window_size)
    }

    fn set_beside(&mut self, beside: Option<Beside<'_>>) {
        let X11Output { link, sides, beside: kept, .. } = self;
        if !sides.differs(beside.as_ref()) {
            return;
        }
        let size = beside.as_ref().map(|beside| (beside.layer.width, beside.layer.height));
        let Some(size) = size.or(kept.as_ref().map(|kept| kept.size)) else { return };
        // Every put before has been taken. A server that gives no memory shows black bars.
        if let Ok(segment) = link.segment(kept, size) {
            sides.take(beside, segment.memory.data_mut());
        }
    }

    fn set_code(&mut self, code: Option<CodeBeside<'_>>) -> bool {
        let X11Output { link, sides, beside: kept, .. } = self;
        if code.is_none() && kept.is_none() {
            return false;
        }
        match link.segment(kept, link.window_size) {
            Ok(segment) => sides.stamp(code, segment.size, segment.memory.data_mut()),
            Err(_) => return false,
        }
        code.is_some()
    }

    fn monitor_note(&mut self) -> Option<MonitorNote> {
        let note = self.link.monitor.as_ref()?.next_note()?;
        if let (MonitorEvent::OtherMode(mode), Some(vsync)) = (note.event, &mut self.link.vsync) {
            mode.rate.into_iter().for_each(|rate| vsync.set_rate(rate));
        }
        Some(note)
    }

    fn show(&mut self, picture: Picture<'_>, layers: &[&Layer]) -> Result<Shown, DisplayError> {
        let X11Output { link, canvas, sides, .. } = self;
        let start_ns = link.clock.now_ns();
        link.note_all()?;
        self.has_shown = false;
        let size = picture.size();
        let segment = link.segment(&mut self.picture, size)?;
        let changed = canvas.compose(picture, layers, segment.memory.data_mut())?;
        let placement = Placement::fit(size, link.window_size);
        let at = (placement.rect.x0, placement.rect.y0);
        let scaled = if placement.is_one_to_one() || placement.rect.is_empty() {
            None
        } else {
            let scaled = link.segment(&mut self.scaled, (placement.rect.width(), placement.rect.height()))?;
            scale(segment.memory.data(), scaled.memory.data_mut(), &placement);
            Some(scaled)
        };
        let composed_ns = link.clock.now_ns();
        if link.is_unseen() {
            link.pass();
            self.has_shown = true;
            let done_ns = link.clock.now_ns();
            return Ok(Shown { done_ns, compose_ns: composed_ns - start_ns, present_ns: done_ns - composed_ns, flip_ns: None });
        }
        let was_stale = std::mem::take(&mut link.is_stale);
        if was_stale {
            link.paint_borders(placement.rect)?;
        }
        let due = match &self.beside {
            Some(beside) if !placement.rect.is_empty() => Some((beside, sides.due(link.window_size, &placement.rect, was_stale))),
            _ => None,
        };
        // Put with the picture; where that waits for a refresh, right after it.
        let is_late = link.vsync.is_some();
        let put_beside = |link: &Link| due.map_or(Ok(()), |(beside, rects)| link.ask_to_put(beside.id, beside.size, rects, (0, 0), false));
        if !is_late {
            put_beside(link)?;
        }
        let whole = |size: (usize, usize)| [Rect::whole(size.0, size.1)];
        let pixmap = scaled.as_ref().map_or(segment.pixmap, |scaled| scaled.pixmap);
        let put = match scaled {
            _ if placement.rect.is_empty() => Ok(()),
            _ if let Some(pixmap) = pixmap => link.present(pixmap, at),
            Some(scaled) => link.put(scaled.id, scaled.size, &whole(scaled.size), at),
            None if was_stale => link.put(segment.id, size, &whole(size), at),
            None => link.put(segment.id, size, changed, at),
        };
        // What a failed put left in the window is not known.
        link.is_stale |= put.is_err();
        put?;
        if is_late {
            put_beside(link)?;
            link.connection.flush().map_err(|_| DisplayError::Closed)?;
        }
        self.has_shown = true;
        let done_ns = link.clock.now_ns();
        let flip_ns = link.vsync.as_ref().and_then(Vsync::flip_ns);
        Ok(Shown { done_ns, compose_ns: composed_ns - start_ns, present_ns: done_ns - composed_ns, flip_ns })
    }

    fn presented(&mut self) -> Result<PresentedView<'_>, DisplayError> {
        match &self.picture {
            Some(segment) if self.has_shown => {
                let (width, height) = segment.size;
                Ok(PresentedView { data: segment.memory.data(), stride: 4 * width, width, height })
            }
            _ => Err(DisplayError::NothingShown),
        }
    }
}

#[cfg(test)]
#[path = "x11_tests.rs"]
pub(crate) mod tests;
