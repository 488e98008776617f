//! The monitor on which a window of an X server lies: RandR says when it is unplugged, dark or of another mode, DPMS when
//! it sleeps. A connection and a thread of its own.

use crate::base::clock::Clock;
use crate::display::monitor_watch::{MonitorEvent, MonitorLink, MonitorMode, MonitorPost, MonitorWatch, Reading, Trouble};
use crate::display::{DisplayError, vsync};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use x11rb::connection::{Connection, RequestConnection};
use x11rb::protocol::Event;
use x11rb::protocol::dpms::{self, ConnectionExt as _, DPMSMode};
use x11rb::protocol::randr::{self, ConnectionExt as _, NotifyMask, Output};
use x11rb::protocol::xproto::{AtomEnum, ConnectionExt as _};
use x11rb::rust_connection::RustConnection;

/// Where nothing is said to have happened, all is looked at once in so many looks: a window may be moved.
const LOOKS: u32 = 5;
/// An EDID's length at most, in units of four bytes.
const EDID_WORDS: u32 = 256;

struct Eye {
    connection: RustConnection,
    root: u32,
    window: u32,
    edid: u32,
    has_dpms: bool,
    /// The output that the window was on last.
    output: Option<Output>,
    /// As it was at the last whole look.
    last: Option<Reading>,
}

/// Watches the monitor of `window`. `display`: as $DISPLAY; None: from there. `on_change` is called on the watching thread
/// when the monitor is back or of another mode: whoever filled it may have to do so again.
pub fn watch(
    display: Option<&str>,
    window: u32,
    clock: Arc<dyn Clock>,
    on_change: impl Fn() + Send + 'static,
) -> Result<MonitorLink, DisplayError> {
    let x11 = |reason: &dyn std::fmt::Display| DisplayError::X11 { reason: reason.to_string() };
    let (connection, _) = x11rb::connect(display).map_err(|error| x11(&error))?;
    let mut eye = Eye::open(connection, window).ok_or_else(|| x11(&"it has no RandR 1.2"))?;
    let first = eye.look(true).ok_or_else(|| x11(&"RandR shows no monitor"))?;
    MonitorLink::start(move |post| eye.run(&post, first, &*clock, on_change))
}

impl Eye {
    fn open(connection: RustConnection, window: u32) -> Option<Self> {
        connection.extension_information(randr::X11_EXTENSION_NAME).ok()??;
        connection.randr_query_version(1, 3).ok()?.reply().ok()?;
        let root = connection.get_geometry(window).ok()?.reply().ok()?.root;
        let wanted = NotifyMask::OUTPUT_CHANGE | NotifyMask::CRTC_CHANGE | NotifyMask::SCREEN_CHANGE;
        connection.randr_select_input(root, wanted).ok()?.check().ok()?;
        let edid = connection.intern_atom(false, b"EDID").ok()?.reply().ok()?.atom;
        let has_dpms = connection.extension_information(dpms::X11_EXTENSION_NAME).ok().flatten().is_some()
            && connection.dpms_capable().ok().and_then(|asked| asked.reply().ok()).is_some_and(|reply| reply.capable);
        Some(Eye { connection, root, window, edid, has_dpms, output: None, last: None })
    }

    fn run(mut self, post: &MonitorPost, first: Reading, clock: &dyn Clock, on_change: impl Fn()) {
        let mut watch = MonitorWatch::new(first);
        let mut looks = 0u32;
        while post.wait(Some(self.connection.stream())) {
            looks = looks.wrapping_add(1);
            let mut is_news = looks.is_multiple_of(LOOKS);
            loop {
                match self.connection.poll_for_event() {
                    Ok(Some(event)) => is_news |= matches!(event, Event::RandrNotify(_) | Event::RandrScreenChangeNotify(_)),
                    Ok(None) => break,
                    // The server is gone; the output itself says so.
                    Err(_) => return,
                }
            }
            // None: the window is gone, or the server was changed while it was asked; there is another look.
            let Some(reading) = self.look(is_news) else { continue };
            let notes = post.tell(&mut watch, clock.now_ns(), reading);
            if notes.iter().any(|note| matches!(note.event, MonitorEvent::Back { .. } | MonitorEvent::OtherMode(_))) {
                on_change();
            }
        }
    }

    /// `is_whole`: the monitor itself may have changed; else only whether it sleeps is asked.
    fn look(&mut self, is_whole: bool) -> Option<Reading> {
        if is_whole || self.last.is_none() {
            self.last = Some(self.read()?);
        }
        let mut reading = self.last.clone()?;
        if reading.trouble.is_none() && self.is_asleep() {
            reading.trouble = Some(Trouble::Asleep);
        }
        Some(reading)
    }

    fn is_asleep(&self) -> bool {
        let asked = || self.connection.dpms_info().ok()?.reply().ok();
        self.has_dpms && asked().is_some_and(|info| info.state && info.power_level != DPMSMode::ON)
    }

    fn read(&mut self) -> Option<Reading> {
        let connection = &self.connection;
        let geometry = connection.get_geometry(self.window).ok()?.reply().ok()?;
        let (half_w, half_h) = ((geometry.width / 2) as i16, (geometry.height / 2) as i16);
        let centre = connection.translate_coordinates(self.window, self.root, half_w, half_h).ok()?.reply().ok()?;
        let resources = connection.randr_get_screen_resources_current(self.root).ok()?.reply().ok()?;
        let time = resources.config_timestamp;
        for &crtc in &resources.crtcs {
            let info = connection.randr_get_crtc_info(crtc, time).ok()?.reply().ok()?;
            let holds = vsync::holds(&info, (centre.dst_x, centre.dst_y));
            if let (true, Some(&output)) = (holds && info.mode != 0, info.outputs.first()) {
                self.output = Some(output);
                break;
            }
        }
        // Where the window is on no monitor it is still that of the last one.
        let output = self.output.or(resources.outputs.first().copied())?;
        let info = connection.randr_get_output_info(output, time).ok()?.reply().ok()?;
        let mode = match info.crtc {
            0 => None,
            crtc => {
                let crtc = connection.randr_get_crtc_info(crtc, time).ok()?.reply().ok()?;
                let rate = resources.modes.iter().find(|mode| mode.id == crtc.mode).and_then(vsync::rate_of);
                (crtc.mode != 0).then(|| MonitorMode { size: (crtc.width.into(), crtc.height.into()), rate })
            }
        };
        let trouble = match (info.connection, mode) {
            (randr::Connection::DISCONNECTED, _) => Some(Trouble::Unplugged),
            (_, None) => Some(Trouble::Dark),
            _ => None,
        };
        let mut hasher = DefaultHasher::new();
        for mode in resources.modes.iter().filter(|mode| info.modes.contains(&mode.id)) {
            (mode.width, mode.height, mode.dot_clock, mode.htotal, mode.vtotal, u32::from(mode.mode_flags)).hash(&mut hasher);
        }
        let edid = connection.randr_get_output_property(output, self.edid, AtomEnum::ANY, 0, EDID_WORDS, false, false);
        edid.ok()?.reply().ok()?.data.hash(&mut hasher);
        let name = String::from_utf8_lossy(&info.name).into();
        Some(Reading { name, trouble, mode, identity: hasher.finish() })
    }
}

#[cfg(test)]
#[path = "x11_monitor_tests.rs"]
mod tests;
