//! The surgeon's hands on a run in a real window: picture in picture, clean video from every device, recording by key.

use crate::support::keyhole;
use crate::window::{Server, now_ns, xdotool};
use keyhole::display::hud::Layout;
use keyhole::overlay::Rect;
use serde_json::Value;
use std::io::Write;
use std::os::fd::{AsRawFd, FromRawFd};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use x11rb::connection::Connection;
use x11rb::protocol::xproto::{ConnectionExt as _, ImageFormat};

/// What no step of a test takes on the slowest machine.
const PATIENCE: Duration = Duration::from_secs(60);
const SIZE: (usize, usize) = (320, 240);
/// Light enough that overlays are fresh on a busy machine.
const SOURCE: &str = "sim:?width=320&height=240&fps=10&seconds=2";

struct Run {
    child: Child,
    display: String,
    window: String,
    folder: tempfile::TempDir,
}

impl Run {
    fn start(server: &Server, config: &str) -> Run {
        let folder = tempfile::tempdir().unwrap();
        let place = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
        std::fs::write(place("k.toml"), config).unwrap();
        let child = keyhole()
            .env("DISPLAY", &server.display)
            .env("XDG_STATE_HOME", folder.path())
            .args(["run", "--source", SOURCE, "--seconds", "300", "--config", &place("k.toml")])
            .args(["--timeline", &place("t.jsonl"), "--report", &place("r.json")])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut run = Run { child, display: server.display.clone(), window: String::new(), folder };
        run.window = run.xdotool(&["search", "--sync", "--onlyvisible", "--name", "^keyhole$"]);
        run.xdotool(&["windowfocus", "--sync", &run.window]);
        run
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn xdotool(&self, arguments: &[&str]) -> String {
        xdotool(&self.display, arguments)
    }

    fn key(&self, key: &str) {
        self.xdotool(&["key", key]);
    }

    /// Looks at the window again and again until it shows what is wanted; returns what it then shows.
    #[track_caller]
    fn until(&self, eyes: &Eyes, what: &str, is_there: impl FnMut(&Picture) -> bool) -> Picture {
        let mut is_there = is_there;
        let began = Instant::now();
        loop {
            let picture = eyes.look();
            if is_there(&picture) {
                return picture;
            }
            assert!(began.elapsed() < PATIENCE, "{what}: not seen");
            watch(Duration::from_millis(20));
        }
    }

    fn end(mut self) -> (Vec<Value>, Value, tempfile::TempDir) {
        self.key("q");
        assert!(self.child.wait().unwrap().success());
        let read = |name: &str| std::fs::read_to_string(self.path(name)).unwrap();
        let lines = read("t.jsonl").lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let report = serde_json::from_str(&read("r.json")).unwrap();
        (lines, report, std::mem::replace(&mut self.folder, tempfile::tempdir().unwrap()))
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Lets the run go on.
fn watch(time: Duration) {
    let until = Instant::now() + time;
    while let Some(left) = until.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
        std::thread::park_timeout(left);
    }
}

/// A part of what is in the window.
type Pixels = Vec<[u8; 3]>;

/// What is in the window, BGR and a byte.
struct Picture(Vec<[u8; 4]>);

impl Picture {
    fn at(&self, x: usize, y: usize) -> [u8; 3] {
        let [b, g, r, _] = self.0[y * SIZE.0 + x];
        [b, g, r]
    }

    fn part(&self, rect: &Rect) -> Pixels {
        (rect.y0..rect.y1).flat_map(|y| (rect.x0..rect.x1).map(move |x| self.at(x, y))).collect()
    }
}

struct Eyes {
    connection: x11rb::rust_connection::RustConnection,
    window: u32,
}

impl Eyes {
    fn on(run: &Run) -> Eyes {
        let (connection, _) = x11rb::connect(Some(&run.display)).unwrap();
        Eyes { connection, window: run.window.parse().unwrap() }
    }

    fn look(&self) -> Picture {
        let (width, height) = (SIZE.0 as u16, SIZE.1 as u16);
        let image = self.connection.get_image(ImageFormat::Z_PIXMAP, self.window, 0, 0, width, height, !0).unwrap().reply().unwrap();
        Picture(image.data.as_chunks::<4>().0.to_vec())
    }

    fn flush(&self) {
        self.connection.flush().unwrap();
    }
}

fn has_xdotool(test: &str) -> bool {
    let is_there = Command::new("xdotool").arg("version").output().is_ok();
    if !is_there {
        println!("SKIPPED {test}: xdotool is not installed");
    }
    is_there
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Rim {
    None,
    /// A bright line in a dark one.
    Live,
    /// Stripes.
    Frozen,
}

fn rim(picture: &Picture, pip: &Rect) -> Rim {
    let row = |y: usize| (pip.x0 + 2..pip.x1 - 2).map(move |x| picture.at(x, y));
    if row(pip.y0).all(|pixel| pixel == [0; 3]) && row(pip.y0 + 1).all(|pixel| pixel == [255; 3]) {
        Rim::Live
    } else if row(pip.y0).all(|pixel| pixel == [0; 3] || pixel == [40, 200, 255]) && row(pip.y0).any(|pixel| pixel != [0; 3]) {
        Rim::Frozen
    } else {
        Rim::None
    }
}

/// The live picture is looked at in its middle; the picture in picture opens beside it.
#[test]
fn keys_open_a_picture_in_picture_and_the_live_picture_goes_on_as_it_is() {
    let test = "keys_open_a_picture_in_picture_and_the_live_picture_goes_on_as_it_is";
    let Some(server) = Server::start(test).filter(|_| has_xdotool(test)) else { return };
    let run = Run::start(&server, "");
    let eyes = Eyes::on(&run);
    eyes.flush();
    let pip = Layout::of(SIZE.0, SIZE.1).pip.picture;
    let inner = Rect { x0: pip.x0 + 4, y0: pip.y0 + 4, x1: pip.x1 - 4, y1: pip.y1 - 4 };
    let live = Rect { x0: 60, y0: 60, x1: 180, y1: 120 };
    run.until(&eyes, "a picture", |picture| picture.part(&live).iter().any(|pixel| *pixel != [0; 3]));
    assert_eq!(rim(&eyes.look(), &pip), Rim::None);

    // So many different live pictures, and what the picture in picture showed beside each.
    let gather = |wanted: Rim| -> Vec<(Pixels, Pixels)> {
        let mut seen: Vec<(Pixels, Pixels)> = Vec::new();
        run.until(&eyes, "a live picture that goes on", |picture| {
            let both = (picture.part(&live), picture.part(&inner));
            // A look may fall between two puts of the window; what is opened and closed is whole by the next one.
            if rim(picture, &pip) == wanted && seen.iter().all(|other| other.0 != both.0) {
                seen.push(both);
            }
            seen.len() == 6
        });
        seen
    };
    let doubled =
        |pixels: &[[u8; 3]], width: usize| pixels.chunks_exact(width).all(|row| row.as_chunks::<2>().0.iter().all(|[a, b]| a == b));

    run.key("p");
    run.until(&eyes, "p opens a live one", |picture| rim(picture, &pip) == Rim::Live);
    let clean = gather(Rim::Live);
    assert!(clean.iter().any(|(_, pip)| *pip != clean[0].1), "it is live");
    run.key("z");
    run.until(&eyes, "z enlarges", |picture| rim(picture, &pip) == Rim::Live && doubled(&picture.part(&inner), inner.width()));
    let zoomed = gather(Rim::Live);
    assert!(zoomed.iter().all(|(live_part, _)| !doubled(live_part, live.width())), "the live picture is not enlarged");
    run.key("i");
    run.until(&eyes, "i freezes", |picture| rim(picture, &pip) == Rim::Frozen);
    let frozen = gather(Rim::Frozen);
    assert!(frozen.iter().all(|(_, pip)| *pip == frozen[0].1), "the picture in picture stands while the live one goes on");
    run.key("Escape");
    run.until(&eyes, "Escape closes it", |picture| rim(picture, &pip) == Rim::None);
    let closed_ns = now_ns();
    watch(Duration::from_secs(1));
    let (lines, ..) = run.end();
    assert!(lines.iter().all(|line| line["outside_hash"] == line["clean_outside_hash"]), "the live picture is the captured one");
    let new: Vec<u64> = lines.iter().filter(|line| line["repeat"] == false).map(|line| line["frame"].as_u64().unwrap()).collect();
    assert!(new.windows(2).all(|pair| pair[0] < pair[1]) && new.len() > 18, "it never stands still");
    let after: Vec<_> = lines.iter().filter(|line| line["present_ns"].as_u64().unwrap() > closed_ns).collect();
    assert!(!after.is_empty() && after.iter().all(|line| line["scene_frame"].is_null()), "Escape gives clean video too");
}

/// The AI process: the child whose first argument is `worker`.
fn worker(parent: u32) -> Option<i32> {
    let tasks = std::fs::read_dir(format!("/proc/{parent}/task")).into_iter().flatten().flatten();
    let children = tasks.flat_map(|task| std::fs::read_to_string(task.path().join("children")).into_iter());
    let pids: Vec<i32> = children.flat_map(|text| text.split_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<_>>()).collect();
    let is_worker = |pid: &i32| {
        let command = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        command.split(|byte| *byte == 0).nth(1) == Some(b"worker")
    };
    pids.into_iter().find(is_worker)
}

fn event(code: u16, value: i32) -> Vec<u8> {
    let mut bytes = vec![0; size_of::<libc::input_event>() - 8];
    bytes.extend(1u16.to_ne_bytes());
    bytes.extend(code.to_ne_bytes());
    bytes.extend(value.to_ne_bytes());
    bytes
}

/// The AI process is stopped while the overlay is on; one input of each kind; the AI process goes on, or another one begins:
/// its overlay stays off. A device that is pulled is an alarm, and its return is in the report.
#[test]
fn each_device_gives_clean_video_while_the_worker_is_stopped_and_its_loss_is_an_alarm() {
    let test = "each_device_gives_clean_video_while_the_worker_is_stopped_and_its_loss_is_an_alarm";
    let Some(server) = Server::start(test).filter(|_| has_xdotool(test)) else { return };
    let devices = tempfile::tempdir().unwrap();
    let (pedal, head) = (devices.path().join("pedal"), devices.path().join("head"));
    let fifo = || rustix::fs::mknodat(rustix::fs::CWD, &pedal, rustix::fs::FileType::Fifo, rustix::fs::Mode::RWXU, 0).unwrap();
    fifo();
    let (mut serial, _port) = pty(&head);
    let config = format!(
        "preferences = false\n[controls]\nfootswitch = '{}'\nserial = '{}'\nserial_bytes = {{ '0x43' = 'clean' }}\n",
        pedal.display(),
        head.display()
    );
    let run = Run::start(&server, &config);
    // Waits until the run has opened it.
    let mut switch = std::fs::OpenOptions::new().write(true).open(&pedal).unwrap();
    type Press<'a> = &'a mut dyn FnMut(&Run);
    let mut key = |run: &Run| run.key("x");
    let mut mouse = |run: &Run| drop(run.xdotool(&["mousemove", "--window", &run.window, "100", "100", "click", "3"]));
    let mut foot = |_: &Run| switch.write_all(&[event(48, 1), event(48, 0)].concat()).unwrap();
    let mut byte = |_: &Run| serial.write_all(b"C").unwrap();
    let inputs: [(&str, Press); 4] = [("key", &mut key), ("mouse", &mut mouse), ("footswitch", &mut foot), ("serial", &mut byte)];
    let mut spans = Vec::new();
    // It is on at the start of a demo run.
    run.key("Escape");
    for (name, press) in inputs {
        run.key("o");
        run.key("Return");
        let on_ns = now_ns();
        watch(Duration::from_millis(2_500));
        let stopped_ns = now_ns();
        let pid = worker(run.child.id()).expect("an AI process");
        // SAFETY: a signal to a process that the run started.
        unsafe { libc::kill(pid, libc::SIGSTOP) };
        press(&run);
        watch(Duration::from_millis(400));
        let pressed_ns = now_ns();
        // SAFETY: as above; one that was replaced by now does not get it.
        unsafe { libc::kill(pid, libc::SIGCONT) };
        watch(Duration::from_millis(2_500));
        spans.push((name, on_ns..stopped_ns, pressed_ns..now_ns()));
    }
    std::fs::remove_file(&pedal).unwrap();
    drop(switch);
    watch(Duration::from_millis(1_200));
    fifo();
    drop(std::fs::OpenOptions::new().write(true).open(&pedal).unwrap());
    watch(Duration::from_millis(500));
    let (lines, report, _folder) = run.end();
    for (name, on, clean) in spans {
        let within = |span: &std::ops::Range<u64>| {
            lines.iter().filter(|line| span.contains(&line["present_ns"].as_u64().unwrap())).collect::<Vec<_>>()
        };
        assert!(within(&on).iter().any(|line| !line["scene_frame"].is_null()), "{name}: the overlay was on before");
        let clean = within(&clean);
        assert!(!clean.is_empty() && clean.iter().all(|line| line["scene_frame"].is_null()), "{name}: it did not stay clean");
    }
    let alarms = report["alarms"].as_array().unwrap();
    assert!(alarms.iter().any(|alarm| alarm["code"] == "CONTROL-LOST" && alarm["text"].as_str().unwrap().contains("pedal")), "{alarms:?}");
    let states = report["states"].as_array().unwrap();
    assert!(states.iter().any(|state| state["reason"].as_str().unwrap().contains("pedal is there")), "{states:?}");
}

/// A pseudo terminal whose port is called `name`: our end, and the port's, which must stay open.
pub fn pty(name: &Path) -> (std::fs::File, std::fs::File) {
    let (mut master, mut slave) = (0, 0);
    let null = std::ptr::null_mut();
    // SAFETY: writes two descriptors; the name, settings and size are not asked for.
    let answer = unsafe { libc::openpty(&mut master, &mut slave, null, std::ptr::null(), std::ptr::null()) };
    assert_eq!(answer, 0, "openpty: {}", std::io::Error::last_os_error());
    // SAFETY: both descriptors are fresh and ours.
    let (master, slave) = unsafe { (std::fs::File::from_raw_fd(master), std::fs::File::from_raw_fd(slave)) };
    let port = std::fs::read_link(format!("/proc/self/fd/{}", slave.as_raw_fd())).unwrap();
    std::os::unix::fs::symlink(port, name).unwrap();
    (master, slave)
}

/// The window is larger than the picture: the status display stands in the bars, and is the same however often it is drawn.
#[test]
fn in_a_window_of_another_shape_the_status_display_stands_beside_the_picture() {
    let test = "in_a_window_of_another_shape_the_status_display_stands_beside_the_picture";
    let Some(server) = Server::start(test).filter(|_| has_xdotool(test)) else { return };
    let run = Run::start(&server, "");
    run.xdotool(&["windowsize", "--sync", &run.window, "1280", "480"]);
    let (connection, _) = x11rb::connect(Some(&run.display)).unwrap();
    let window: u32 = run.window.parse().unwrap();
    let look = || {
        let image = connection.get_image(ImageFormat::Z_PIXMAP, window, 0, 0, 1280, 480, !0).unwrap().reply().unwrap();
        image.data.as_chunks::<4>().0.to_vec()
    };
    let bright = |pixels: &[[u8; 4]], xs: std::ops::Range<usize>| {
        let inside = pixels.iter().enumerate().filter(|(i, _)| xs.contains(&(i % 1280)));
        inside.filter(|(_, pixel)| pixel[..3].iter().all(|&level| level > 120)).count()
    };
    let began = Instant::now();
    loop {
        let pixels = look();
        // Source and figures at the left, at least the mode and how the overlay is at the right.
        let seen = (bright(&pixels, 0..320), bright(&pixels, 960..1280));
        if seen.0 > 300 && seen.1 > 100 {
            break;
        }
        assert!(began.elapsed() < PATIENCE, "no status display beside the picture: {seen:?} bright pixels");
        watch(Duration::from_millis(20));
    }
    // Switched off, the bars are black.
    run.key("h");
    let began = Instant::now();
    while look().iter().enumerate().any(|(i, pixel)| !(320..960).contains(&(i % 1280)) && pixel[..3] != [0; 3]) {
        assert!(began.elapsed() < PATIENCE, "it stays in the bars");
        watch(Duration::from_millis(20));
    }
    let (lines, ..) = run.end();
    assert!(lines.iter().all(|line| line["outside_hash"] == line["clean_outside_hash"]));
}
