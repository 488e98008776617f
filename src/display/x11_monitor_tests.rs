//! A real X server with monitors that can be switched and unplugged: Xorg's dummy driver. It knows no DPMS.

use super::*;
use crate::base::clock::MonotonicClock;
use crate::base::rate::Rate;
use crate::display::{Output as _, Picture, Settings, Wish, X11Output};
use crate::overlay::testing::{COLORIMETRIES, FORMATS, Owned};
use std::io::BufRead;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use x11rb::protocol::randr::{Rotation, SetConfig};
use x11rb::protocol::xproto::{CreateWindowAux, WindowClass};

const CONFIG: &str = r#"
Section "ServerFlags"
  Option "AutoAddDevices" "false"
  Option "AutoAddGPU" "false"
EndSection
Section "Device"
  Identifier "device"
  Driver "dummy"
  VideoRam 32000
EndSection
Section "Monitor"
  Identifier "monitor"
  HorizSync 5-1000
  VertRefresh 5-200
EndSection
Section "Screen"
  Identifier "screen"
  Device "device"
  Monitor "monitor"
  DefaultDepth 24
EndSection
"#;

/// An X server of the test's own, with one monitor; gone when dropped.
struct Xorg {
    child: Child,
    display: String,
    _folder: tempfile::TempDir,
}

impl Xorg {
    fn start(test: &str) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let (config, log) = (folder.path().join("xorg.conf"), folder.path().join("xorg.log"));
        std::fs::write(&config, CONFIG).unwrap();
        let mut command = Command::new("Xorg");
        command.args(["-displayfd", "1", "-noreset", "-novtswitch", "-nolisten", "tcp"]);
        command.arg("-config").arg(&config).arg("-logfile").arg(&log).stdout(Stdio::piped()).stderr(Stdio::null());
        let child = command.spawn();
        let mut line = String::new();
        let started = child.ok().filter(|_| true).map(|mut child| {
            std::io::BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
            child
        });
        match started {
            Some(child) if !line.trim().is_empty() => Some(Xorg { child, display: format!(":{}", line.trim()), _folder: folder }),
            other => {
                if let Some(mut child) = other {
                    let _ = child.wait();
                }
                println!("SKIPPED {test}: no Xorg with the dummy driver (xserver-xorg-core, xserver-xorg-video-dummy)");
                None
            }
        }
    }
}

impl Drop for Xorg {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A window on it, and hands on its monitor.
struct Theatre {
    connection: RustConnection,
    root: u32,
    window: u32,
}

impl Theatre {
    fn open(xorg: &Xorg) -> Self {
        let (connection, screen) = x11rb::connect(Some(&xorg.display)).unwrap();
        let root = connection.setup().roots[screen].root;
        let window = connection.generate_id().unwrap();
        let aux = CreateWindowAux::new();
        connection
            .create_window(x11rb::COPY_DEPTH_FROM_PARENT, window, root, 0, 0, 320, 200, 0, WindowClass::INPUT_OUTPUT, 0, &aux)
            .unwrap();
        connection.map_window(window).unwrap().check().unwrap();
        Theatre { connection, root, window }
    }

    /// Sends the monitor a mode of this width; None: nothing.
    fn set(&self, width: Option<u16>) {
        let resources = self.connection.randr_get_screen_resources(self.root).unwrap().reply().unwrap();
        let (crtc, output) = (resources.crtcs[0], resources.outputs[0]);
        let mode = width.map(|width| resources.modes.iter().find(|mode| mode.width == width).unwrap().id);
        let outputs = mode.map_or(vec![], |_| vec![output]);
        let set = self.connection.randr_set_crtc_config(crtc, 0, 0, 0, 0, mode.unwrap_or(0), Rotation::ROTATE0, &outputs);
        assert_eq!(set.unwrap().reply().unwrap().status, SetConfig::SUCCESS);
    }
}

/// The next event. It may take long on a busy machine; how long it took is not judged here.
fn next(link: &MonitorLink) -> MonitorEvent {
    loop {
        match link.next_note() {
            Some(note) => return note.event,
            None => std::thread::yield_now(),
        }
    }
}

#[test]
fn a_monitor_that_is_switched_off_on_and_to_another_mode_is_named() {
    let name = "a_monitor_that_is_switched_off_on_and_to_another_mode_is_named";
    let Some(xorg) = Xorg::start(name) else { return };
    let theatre = Theatre::open(&xorg);
    theatre.set(Some(800));
    let (tell, changes) = mpsc::channel();
    let link = watch(Some(&xorg.display), theatre.window, Arc::new(MonotonicClock), move || tell.send(()).unwrap()).unwrap();
    assert!(!link.is_gone());
    for _ in 0..3 {
        theatre.set(None);
        assert_eq!(next(&link), MonitorEvent::Gone(Trouble::Dark));
        theatre.set(Some(800));
        assert!(matches!(next(&link), MonitorEvent::Back { .. }));
        changes.recv().unwrap();
    }
    theatre.set(Some(640));
    let MonitorEvent::OtherMode(mode) = next(&link) else { panic!("another mode is what has happened") };
    assert!(mode.size == (640, 480) && mode.rate.is_some(), "{mode}");
    changes.recv().unwrap();
}

#[test]
fn other_modes_are_those_of_another_monitor() {
    let name = "other_modes_are_those_of_another_monitor";
    let Some(xorg) = Xorg::start(name) else { return };
    let theatre = Theatre::open(&xorg);
    let link = watch(Some(&xorg.display), theatre.window, Arc::new(MonotonicClock), || ()).unwrap();
    let output = theatre.connection.randr_get_screen_resources(theatre.root).unwrap().reply().unwrap().outputs[0];
    let info = randr::ModeInfo { width: 648, height: 484, dot_clock: 25_000_000, htotal: 800, vtotal: 525, ..Default::default() };
    let mode = theatre.connection.randr_create_mode(theatre.root, info, b"another").unwrap().reply().unwrap().mode;
    theatre.connection.randr_add_output_mode(output, mode).unwrap().check().unwrap();
    assert_eq!(next(&link), MonitorEvent::OtherModes);
}

/// Pictures go on while nobody can see them, without waiting for the server, and are seen again afterwards.
#[test]
fn a_dark_monitor_holds_up_no_picture() {
    let name = "a_dark_monitor_holds_up_no_picture";
    let Some(xorg) = Xorg::start(name) else { return };
    let theatre = Theatre::open(&xorg);
    theatre.set(Some(800));
    let clock = Arc::new(MonotonicClock);
    let link = watch(Some(&xorg.display), theatre.window, clock.clone(), || ()).unwrap();
    let settings = Settings { present_timeout_ms: 10_000, vsync: Wish::On, refresh_hz: Rate::parse("60"), ..Settings::default() };
    let mut output = X11Output::new(Some(&xorg.display), theatre.window, &settings, clock).unwrap().watched(Some(link));
    let pictures: Vec<_> = (0..3).map(|seed| Owned::noise(FORMATS[0], COLORIMETRIES[1], 320, 200, seed).frame()).collect();
    let seen = |picture: &[u8]| crate::display::x11::tests::pixels(&theatre.connection, theatre.window, 320, 200) == picture;
    let wait_for = |output: &mut X11Output, wanted: fn(&MonitorEvent) -> bool| loop {
        match output.monitor_note() {
            Some(note) if wanted(&note.event) => return,
            _ => std::thread::yield_now(),
        }
    };
    output.show(Picture::New(&pictures[0]), &[]).unwrap();
    assert!(seen(output.presented().unwrap().data));
    theatre.set(None);
    wait_for(&mut output, |event| matches!(event, MonitorEvent::Gone(Trouble::Dark)));
    for _ in 0..5 {
        let shown = output.show(Picture::New(&pictures[1]), &[]).unwrap();
        assert_eq!(shown.flip_ns, None, "nobody sees it");
    }
    assert!(!seen(output.presented().unwrap().data));
    theatre.set(Some(800));
    wait_for(&mut output, |event| matches!(event, MonitorEvent::Back { .. }));
    output.show(Picture::Again(&pictures[1]), &[]).unwrap();
    assert!(seen(output.presented().unwrap().data), "whole, though it is shown again only");
    output.show(Picture::New(&pictures[2]), &[]).unwrap();
    assert!(seen(output.presented().unwrap().data));
}
