//! The monitor's refreshes as the X server tells them (Present's NotifyMSC), for a window that a GPU presents to: its own calls say
//! nothing of them.

use crate::base::clock::Clock;
use crate::base::rate::Rate;
use crate::display::vsync::monitor_rate;
use crate::display::{Refresh, Settings, Wish};
use rustix::event::{PollFd, PollFlags, Timespec};
use std::os::fd::AsFd;
use x11rb::connection::{Connection, RequestConnection};
use x11rb::protocol::Event;
use x11rb::protocol::present::{self, CompleteKind, ConnectionExt as _};
use x11rb::protocol::xproto::ConnectionExt as _;
use x11rb::rust_connection::RustConnection;

/// A refresh that does not come within so many periods is not waited for, nor are those after it until it has come.
const PATIENCE_PERIODS: u64 = 3;

pub struct FrameClock {
    connection: RustConnection,
    window: u32,
    rate: Rate,
    /// The rate was given, and stays whatever the monitor says.
    is_forced: bool,
    /// CLOCK_MONOTONIC of the last refresh that was waited for, ns.
    origin_ns: u64,
    serial: u32,
    /// The server has not answered yet.
    is_asked: bool,
}

impl FrameClock {
    /// Of `window`. `display`: as $DISPLAY; None: from there. None: nobody knows how often its monitor refreshes, the server does not
    /// tell when, or it is not wanted.
    pub fn of(display: Option<&str>, window: u32, settings: &Settings, clock: &dyn Clock) -> Option<Self> {
        if settings.vsync == Wish::Off {
            return None;
        }
        let (connection, _) = x11rb::connect(display).ok()?;
        connection.extension_information(present::X11_EXTENSION_NAME).ok()??;
        connection.present_query_version(1, 2).ok()?.reply().ok()?;
        let root = connection.get_geometry(window).ok()?.reply().ok()?.root;
        let rate = settings.refresh_hz.or_else(|| monitor_rate(&connection, root, window))?;
        let id = connection.generate_id().ok()?;
        connection.present_select_input(id, window, present::EventMask::COMPLETE_NOTIFY).ok()?.check().ok()?;
        let (is_forced, origin_ns) = (settings.refresh_hz.is_some(), clock.now_ns());
        let mut frame_clock = FrameClock { connection, window, rate, is_forced, origin_ns, serial: 0, is_asked: false };
        // One that does not answer now would be waited for with every picture.
        frame_clock.wait(clock).then_some(frame_clock)
    }

    pub fn refresh(&self) -> Refresh {
        Refresh { rate: self.rate, origin_ns: self.origin_ns }
    }

    /// The monitor has another mode.
    pub fn set_rate(&mut self, rate: Rate) {
        if !self.is_forced {
            self.rate = rate;
        }
    }

    /// Returns after the next refresh. False: it did not come in time.
    pub fn wait(&mut self, clock: &dyn Clock) -> bool {
        let is_late = self.is_asked;
        if !is_late {
            self.serial = self.serial.wrapping_add(1);
            // The next one, whatever its number.
            let asked = self.connection.present_notify_msc(self.window, self.serial, 0, 1, 0).map(drop);
            if asked.is_err() || self.connection.flush().is_err() {
                return false;
            }
            self.is_asked = true;
        }
        let patience_ns = if is_late { 0 } else { PATIENCE_PERIODS * self.rate.period_ns() };
        let deadline_ns = clock.now_ns() + patience_ns;
        loop {
            while let Ok(Some(event)) = self.connection.poll_for_event() {
                self.note(&event, clock.now_ns());
            }
            let left_ns = deadline_ns.saturating_sub(clock.now_ns());
            if !self.is_asked || left_ns == 0 {
                return !self.is_asked;
            }
            let wait = Timespec { tv_sec: (left_ns / 1_000_000_000) as _, tv_nsec: (left_ns % 1_000_000_000) as _ };
            let socket = PollFd::from_borrowed_fd(self.connection.stream().as_fd(), PollFlags::IN);
            // An interrupted wait only means another look; a server that is gone answers nothing.
            match rustix::event::poll(&mut [socket], Some(&wait)) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(_) => return false,
            }
        }
    }

    fn note(&mut self, event: &Event, now_ns: u64) {
        match event {
            Event::PresentCompleteNotify(event) if event.kind == CompleteKind::NOTIFY_MSC && event.serial == self.serial => {
                self.is_asked = false;
                let stamp_ns = event.ust.saturating_mul(1_000);
                // `now_ns` stands in where the server's stamp is none of this clock's.
                let is_plausible = stamp_ns <= now_ns && now_ns - stamp_ns < 1_000_000_000;
                self.origin_ns = if is_plausible { stamp_ns } else { now_ns };
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock::MonotonicClock;
    use crate::display::x11::tests::Server;
    use x11rb::COPY_DEPTH_FROM_PARENT;
    use x11rb::protocol::xproto::{CreateWindowAux, WindowClass};

    #[test]
    fn refreshes_are_those_of_the_server_and_one_that_does_not_come_is_waited_for_once() {
        let Some(server) = Server::start("refreshes_are_those_of_the_server", "640x480x24") else { return };
        let (connection, screen) = x11rb::connect(Some(&server.display)).unwrap();
        let (id, root) = (connection.generate_id().unwrap(), connection.setup().roots[screen].root);
        let aux = CreateWindowAux::new();
        connection.create_window(COPY_DEPTH_FROM_PARENT, id, root, 0, 0, 64, 48, 0, WindowClass::INPUT_OUTPUT, 0, &aux).unwrap();
        connection.map_window(id).unwrap().check().unwrap();
        let of = |settings: &Settings| FrameClock::of(Some(&server.display), id, settings, &MonotonicClock);
        assert!(of(&Settings::default()).is_none(), "a server without a monitor has no rate");
        let said = Settings { refresh_hz: Rate::parse("60"), ..Settings::default() };
        assert!(of(&Settings { vsync: Wish::Off, ..said.clone() }).is_none());
        let mut frame_clock = of(&said).unwrap();
        let mut stamps = vec![frame_clock.refresh().origin_ns];
        for _ in 0..6 {
            assert!(frame_clock.wait(&MonotonicClock));
            let origin_ns = frame_clock.refresh().origin_ns;
            assert!(origin_ns <= MonotonicClock.now_ns());
            stamps.push(origin_ns);
        }
        // One refresh of the server apart or more: never the same one.
        assert!(stamps.windows(2).all(|pair| pair[1] >= pair[0] + 10_000_000), "{stamps:?}");
        frame_clock.set_rate(Rate::parse("50").unwrap());
        assert_eq!(frame_clock.refresh().rate, Rate::parse("60").unwrap(), "what was said stays");
        drop(server);
        let start_ns = MonotonicClock.now_ns();
        assert!(!frame_clock.wait(&MonotonicClock) && !frame_clock.wait(&MonotonicClock));
        assert!(MonotonicClock.now_ns() - start_ns < 1_000_000_000);
    }
}
