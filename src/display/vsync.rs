//! The X server's Present extension: pictures are taken between two refreshes of the monitor, never torn, and the server
//! says when. Where and how often the monitor refreshes comes from RandR.

use crate::base::rate::Rate;
use crate::display::{DisplayError, Refresh};
use x11rb::connection::RequestConnection;
use x11rb::protocol::present::{self, CompleteNotifyEvent, ConnectionExt as _};
use x11rb::protocol::randr::{self, ConnectionExt as _, ModeFlag};
use x11rb::protocol::shm::{self, ConnectionExt as _};
use x11rb::protocol::xproto::{ConnectionExt as _, Pixmap};
use x11rb::rust_connection::RustConnection;

/// Presents of one window.
#[derive(Debug)]
pub struct Vsync {
    rate: Rate,
    /// The rate was given, and stays whatever the monitor says.
    is_forced: bool,
    /// When the last picture was taken, ns of CLOCK_MONOTONIC.
    taken_ns: u64,
    /// The same, where the server's stamp says it.
    flip_ns: Option<u64>,
    serial: u32,
}

fn closed<E>(_: E) -> DisplayError {
    DisplayError::Closed
}

impl Vsync {
    /// Of `window`, on a monitor that refreshes at `forced` or else as RandR says. None: nobody knows how often that is, or the
    /// server has no Present.
    pub fn of(connection: &RustConnection, root: u32, window: u32, forced: Option<Rate>, now_ns: u64) -> Option<Self> {
        connection.extension_information(present::X11_EXTENSION_NAME).ok()??;
        connection.present_query_version(1, 2).ok()?.reply().ok()?;
        let rate = forced.or_else(|| monitor_rate(connection, root, window))?;
        let id = connection_id(connection)?;
        connection.present_select_input(id, window, present::EventMask::COMPLETE_NOTIFY).ok()?.check().ok()?;
        Some(Vsync { rate, is_forced: forced.is_some(), taken_ns: now_ns, flip_ns: None, serial: 0 })
    }

    pub fn refresh(&self) -> Refresh {
        Refresh { rate: self.rate, origin_ns: self.taken_ns }
    }

    /// When the picture that was presented last was on the screen, ns. None: it is not, or the server does not say.
    pub fn flip_ns(&self) -> Option<u64> {
        self.flip_ns
    }

    /// The monitor has another mode.
    pub fn set_rate(&mut self, rate: Rate) {
        if !self.is_forced {
            self.rate = rate;
        }
    }

    /// Nobody looks: what was presented last is not waited for, and a picture is due at the next refresh.
    pub fn skip(&mut self) {
        self.serial = self.serial.wrapping_add(1);
        self.flip_ns = None;
    }

    /// Asks the server to take `pixmap` into the window, its origin `at`, at the next refresh.
    pub fn present(&mut self, connection: &RustConnection, window: u32, pixmap: Pixmap, at: (usize, usize)) -> Result<(), DisplayError> {
        self.skip();
        // Copied, not scanned out: the memory is ours again once the server says so.
        let options = u32::from(u8::from(present::Option::COPY));
        let (x, y) = (at.0 as i16, at.1 as i16);
        connection.present_pixmap(window, pixmap, self.serial, 0, 0, x, y, 0, 0, 0, options, 0, 0, 0, &[]).map_err(closed)?;
        Ok(())
    }

    /// Has the picture that was presented last been taken? `now_ns` stands in where the server's stamp is none of this clock's.
    pub fn is_taken(&mut self, event: &CompleteNotifyEvent, now_ns: u64) -> bool {
        if event.kind != present::CompleteKind::PIXMAP || event.serial != self.serial {
            return false;
        }
        let stamp_ns = event.ust.saturating_mul(1_000);
        let is_plausible = stamp_ns <= now_ns && now_ns - stamp_ns < 1_000_000_000;
        self.flip_ns = is_plausible.then_some(stamp_ns);
        self.taken_ns = self.flip_ns.unwrap_or(now_ns);
        true
    }
}

fn connection_id(connection: &RustConnection) -> Option<u32> {
    use x11rb::connection::Connection;
    connection.generate_id().ok()
}

/// A pixmap in memory that is shared with the server.
pub fn pixmap_of(
    connection: &RustConnection,
    window: u32,
    depth: u8,
    segment: shm::Seg,
    size: (usize, usize),
) -> Result<Pixmap, DisplayError> {
    let trouble = |reason: String| DisplayError::X11 { reason };
    let id = connection_id(connection).ok_or(DisplayError::Closed)?;
    let made = connection.shm_create_pixmap(id, window, size.0 as u16, size.1 as u16, depth, segment, 0).map_err(closed)?;
    made.check().map_err(|error| trouble(format!("it makes no shared pixmap: {error}")))?;
    Ok(id)
}

/// How often the monitor refreshes on which the window's centre lies.
pub(super) fn monitor_rate(connection: &RustConnection, root: u32, window: u32) -> Option<Rate> {
    connection.extension_information(randr::X11_EXTENSION_NAME).ok()??;
    let geometry = connection.get_geometry(window).ok()?.reply().ok()?;
    let (half_w, half_h) = ((geometry.width / 2) as i16, (geometry.height / 2) as i16);
    let centre = connection.translate_coordinates(window, root, half_w, half_h).ok()?.reply().ok()?;
    let resources = connection.randr_get_screen_resources_current(root).ok()?.reply().ok()?;
    let mut nearest = None;
    for crtc in resources.crtcs {
        let info = connection.randr_get_crtc_info(crtc, resources.config_timestamp).ok()?.reply().ok()?;
        let Some(mode) = resources.modes.iter().find(|mode| mode.id == info.mode) else { continue };
        let holds = holds(&info, (centre.dst_x, centre.dst_y));
        if holds || nearest.is_none() {
            nearest = rate_of(mode);
        }
        if holds {
            break;
        }
    }
    nearest
}

/// Does this point of the desktop lie on the monitor of this CRTC?
pub fn holds(crtc: &randr::GetCrtcInfoReply, (x, y): (i16, i16)) -> bool {
    let inside =
        |at: i16, start: i16, length: u16| i32::from(at) >= i32::from(start) && i32::from(at) < i32::from(start) + i32::from(length);
    inside(x, crtc.x, crtc.width) && inside(y, crtc.y, crtc.height)
}

/// Refreshes a second of a mode. None for those of servers without a monitor, whose clock is zero.
pub fn rate_of(mode: &randr::ModeInfo) -> Option<Rate> {
    let mut lines = u32::from(mode.vtotal);
    if mode.mode_flags.contains(ModeFlag::DOUBLE_SCAN) {
        lines *= 2;
    }
    // An interlaced mode takes a field at a time.
    let fields = if mode.mode_flags.contains(ModeFlag::INTERLACE) { 2 } else { 1 };
    Rate::new(mode.dot_clock.checked_mul(fields)?, u32::from(mode.htotal).checked_mul(lines)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mode_s_rate_is_that_of_its_timings() {
        // CEA-861 1080p60, its NTSC brother, 1080i60 (fields), and a server without a monitor.
        let mode = |dot_clock, flags| randr::ModeInfo { dot_clock, htotal: 2200, vtotal: 1125, mode_flags: flags, ..Default::default() };
        assert_eq!(rate_of(&mode(148_500_000, ModeFlag::default())).unwrap().per_second(), 60.0);
        assert!((rate_of(&mode(148_351_648, ModeFlag::default())).unwrap().per_second() - 59.94).abs() < 0.001);
        assert_eq!(rate_of(&mode(74_250_000, ModeFlag::INTERLACE)).unwrap().per_second(), 60.0);
        assert_eq!(rate_of(&mode(0, ModeFlag::default())), None);
        assert_eq!(rate_of(&randr::ModeInfo::default()), None);
    }
}
