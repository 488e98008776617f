//! Windows on an X server of the tests' own: what is in them is what was composed.

use super::*;
use crate::base::clock::MonotonicClock;
use crate::base::rate::Rate;
use crate::overlay::host::tests::noise_layer;
use crate::overlay::testing::{self, COLORIMETRIES, FORMATS, Owned};
use std::io::BufRead;
use std::process::{Child, Command, Stdio};
use x11rb::COPY_DEPTH_FROM_PARENT;
use x11rb::protocol::xproto::{CreateWindowAux, WindowClass};

/// An X server of the test's own, gone when dropped.
pub struct Server {
    child: Child,
    pub display: String,
}

impl Server {
    /// None where there is no Xvfb; then it says so by the test's name.
    pub fn start(test: &str, screen: &str) -> Option<Self> {
        let mut command = Command::new("Xvfb");
        command.args(["-displayfd", "1", "-screen", "0", screen, "-nolisten", "tcp", "-noreset"]);
        let mut child = match command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn() {
            Ok(child) => child,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                println!("SKIPPED {test}: no Xvfb");
                return None;
            }
            Err(error) => panic!("Xvfb: {error}"),
        };
        let mut line = String::new();
        std::io::BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        Some(Server { child, display: format!(":{}", line.trim()) })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A plain window of a connection of its own.
struct Window {
    connection: RustConnection,
    id: u32,
}

impl Window {
    fn open(display: &str, width: u16, height: u16) -> Self {
        let (connection, screen) = x11rb::connect(Some(display)).unwrap();
        let id = connection.generate_id().unwrap();
        let root = connection.setup().roots[screen].root;
        let aux = CreateWindowAux::new().event_mask(EventMask::EXPOSURE).background_pixel(0x00ff_00ff);
        connection.create_window(COPY_DEPTH_FROM_PARENT, id, root, 0, 0, width, height, 0, WindowClass::INPUT_OUTPUT, 0, &aux).unwrap();
        connection.map_window(id).unwrap();
        connection.flush().unwrap();
        while !matches!(connection.wait_for_event().unwrap(), Event::Expose(_)) {}
        Window { connection, id }
    }

    fn pixels(&self, width: usize, height: usize) -> Vec<u8> {
        pixels(&self.connection, self.id, width, height)
    }
}

/// What is in a window: BGRX with X = 255.
pub fn pixels(connection: &RustConnection, window: u32, width: usize, height: usize) -> Vec<u8> {
    let image = connection.get_image(ImageFormat::Z_PIXMAP, window, 0, 0, width as u16, height as u16, !0).unwrap().reply().unwrap();
    image.data.chunks_exact(4).flat_map(|p| [p[0], p[1], p[2], 255]).collect()
}

fn patient(present_timeout_ms: u32) -> Settings {
    Settings { present_timeout_ms, ..Settings::default() }
}

fn presented(output: &mut dyn Output) -> Vec<u8> {
    output.presented().unwrap().data.to_vec()
}

#[test]
fn the_windows_pixels_are_the_composed_ones() {
    let name = "the_windows_pixels_are_the_composed_ones";
    let Some(server) = Server::start(name, "800x600x24") else { return };
    let (width, height) = (321, 200);
    let window = Window::open(&server.display, width as u16, height as u16);
    let mut output = X11Output::new(Some(&server.display), window.id, &patient(2000), Arc::new(MonotonicClock)).unwrap();
    assert!(matches!(output.presented(), Err(DisplayError::NothingShown)));
    for round in 0..3u64 {
        let frame = Owned::noise(FORMATS[round as usize], COLORIMETRIES[1], width, height, round).frame();
        let layers: Vec<Layer> = (0..4).map(|seed| noise_layer(width, height, seed + 10 * round)).collect();
        let shown = output.show(Picture::New(&frame), &[&layers[0], &layers[1]]).unwrap();
        assert!(shown.done_ns > 0);
        assert!(window.pixels(width, height) == presented(&mut output), "round {round}: whole");
        output.show(Picture::Again(&frame), &[&layers[2], &layers[3]]).unwrap();
        assert!(window.pixels(width, height) == presented(&mut output), "round {round}: rectangles");
        output.show(Picture::Again(&frame), &[]).unwrap();
        assert!(window.pixels(width, height) == presented(&mut output), "round {round}: clean again");
        output.show(Picture::Blank(width, height), &[&layers[0]]).unwrap();
        assert!(window.pixels(width, height) == presented(&mut output), "round {round}: blank");
    }
}

/// On a server with the Present extension each picture is taken whole, at a tick of its own.
#[test]
fn with_a_refresh_rate_pictures_are_taken_at_its_ticks() {
    let name = "with_a_refresh_rate_pictures_are_taken_at_its_ticks";
    let Some(server) = Server::start(name, "800x600x24") else { return };
    let (width, height) = (321, 200);
    let window = Window::open(&server.display, 400, 300);
    assert!(X11Output::new(Some(&server.display), window.id, &patient(2000), Arc::new(MonotonicClock)).unwrap().refresh().is_none());
    let on = Settings { vsync: Wish::On, ..patient(2000) };
    let Err(error) = X11Output::new(Some(&server.display), window.id, &on, Arc::new(MonotonicClock)) else {
        panic!("a server without a monitor has no rate")
    };
    assert!(error.to_string().contains("display.refresh_hz"), "{error}");
    let on = Settings { refresh_hz: Rate::parse("60"), ..on };
    let mut output = X11Output::new(Some(&server.display), window.id, &on, Arc::new(MonotonicClock)).unwrap();
    let mut taken = Vec::new();
    for round in 0..6u64 {
        let size = if round < 4 { (width, height) } else { (400, 300) };
        let frame = Owned::noise(FORMATS[round as usize % 3], COLORIMETRIES[1], size.0, size.1, round).frame();
        let shown = output.show(Picture::New(&frame), &[&noise_layer(size.0, size.1, round)]).unwrap();
        let refresh = output.refresh().unwrap();
        assert!(refresh.origin_ns <= shown.done_ns && refresh.rate == Rate::parse("60").unwrap());
        taken.push(refresh.origin_ns);
        if size == (400, 300) {
            assert!(window.pixels(400, 300) == presented(&mut output), "round {round}");
        }
    }
    // One refresh of the server apart or more: never two in one.
    assert!(taken.windows(2).all(|pair| pair[1] >= pair[0] + 10_000_000), "{taken:?}");
}

#[test]
fn a_window_of_another_size_has_black_borders_and_a_closed_one_is_an_error() {
    let name = "a_window_of_another_size_has_black_borders_and_a_closed_one_is_an_error";
    let Some(server) = Server::start(name, "800x600x24") else { return };
    let window = Window::open(&server.display, 400, 300);
    let mut output = X11Output::new(Some(&server.display), window.id, &patient(2000), Arc::new(MonotonicClock)).unwrap();
    let frame = Owned::from_luma(320, 160, |x, _| if x < 160 { 235 } else { 120 }).frame();
    output.show(Picture::New(&frame), &[]).unwrap();
    let placement = Placement::fit((320, 160), (400, 300));
    assert_eq!(placement.rect, Rect { x0: 0, y0: 50, x1: 400, y1: 250 });
    let (got, composed) = (window.pixels(400, 300), presented(&mut output));
    for y in 0..300 {
        for x in 0..400 {
            let wish = if placement.rect.contains(x, y) {
                &composed[(placement.source_y(y) * 320 + placement.source_x(x)) * 4..][..4]
            } else {
                &[0, 0, 0, 255]
            };
            assert_eq!(&got[(y * 400 + x) * 4..][..4], wish, "{x}, {y}");
        }
    }
    testing::write_png(&std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("target/look/window.png"), &got, 400, 300);
    // Larger by whole borders on two sides only: pixel for pixel in the middle.
    use x11rb::protocol::xproto::ConfigureWindowAux;
    window.connection.configure_window(window.id, &ConfigureWindowAux::new().width(320).height(200)).unwrap().check().unwrap();
    output.show(Picture::Again(&frame), &[]).unwrap();
    assert!(window.pixels(320, 200)[20 * 320 * 4..180 * 320 * 4] == presented(&mut output));
    window.connection.destroy_window(window.id).unwrap().check().unwrap();
    assert!(matches!(output.show(Picture::Again(&frame), &[]), Err(DisplayError::Closed)));
    assert!(matches!(output.show(Picture::New(&frame), &[]), Err(DisplayError::Closed)));
    assert!(matches!(X11Output::new(Some(&server.display), window.id, &patient(500), Arc::new(MonotonicClock)), Err(DisplayError::Closed)));
}

#[test]
fn a_server_that_dies_closes_the_output_and_none_is_an_error_that_says_so() {
    let name = "a_server_that_dies_closes_the_output_and_none_is_an_error_that_says_so";
    let Some(server) = Server::start(name, "400x300x24") else { return };
    let window = Window::open(&server.display, 64, 48);
    let mut output = X11Output::new(Some(&server.display), window.id, &patient(2000), Arc::new(MonotonicClock)).unwrap();
    output.show(Picture::Blank(64, 48), &[]).unwrap();
    let display = server.display.clone();
    drop(server);
    assert!(matches!(output.show(Picture::Blank(64, 48), &[]), Err(DisplayError::Closed)));
    let Err(error) = X11Output::new(Some(&display), window.id, &patient(500), Arc::new(MonotonicClock)) else {
        panic!("connected to nothing")
    };
    assert!(error.to_string().contains("X server"), "{error}");
}

#[test]
#[ignore = "a measurement"]
fn time_of_1080p() {
    let Some(server) = Server::start("time_of_1080p", "1920x1080x24") else { return };
    let window = Window::open(&server.display, 1920, 1080);
    let mut output = X11Output::new(Some(&server.display), window.id, &patient(2000), Arc::new(MonotonicClock)).unwrap();
    let frame = Owned::noise(FORMATS[0], COLORIMETRIES[1], 1920, 1080, 1).frame();
    let list = crate::overlay::draw::DrawList::from_scene(
        &crate::overlay::draw::tests::scene(1920, 1080),
        &crate::overlay::style::Style::of(&Default::default()),
        &|_| [0.0; 2],
    );
    let mut layer = Layer::new(1920, 1080);
    crate::overlay::paint::paint(&list, &mut layer);
    let mut present = Vec::new();
    testing::report_ms("x11 new 1080p", || present.push(output.show(Picture::New(&frame), &[&layer]).unwrap().present_ns));
    present.sort_unstable();
    println!("x11 new present median {:.3} ms", present[30] as f64 / 1e6);
    testing::report_ms("x11 again 1080p", || assert!(output.show(Picture::Again(&frame), &[&layer]).is_ok()));
}
