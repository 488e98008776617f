//! On the machine's own card and monitor, which are taken: hw/drm-check.sh plays them in an emulator. No GPU is there that takes
//! monitors: lavapipe draws into a window instead, and holds what it was lent.

use super::*;
use crate::base::clock::MonotonicClock;
use crate::display::kms::open::rescued;
use crate::display::kms::swapchain::tests::{surface_of, window};
use crate::display::monitor_watch::{MonitorEvent, Trouble};
use crate::display::x11::tests::{Server, pixels};
use crate::overlay::gpu::instance;
use crate::overlay::placement::Placement;
use crate::overlay::testing::{COLORIMETRIES, FORMATS, Owned};
use drm::control::Device as _;
use std::sync::Mutex;
use x11rb::protocol::xproto::ConnectionExt as _;
use x11rb::rust_connection::RustConnection;

const SIZE: (usize, usize) = (320, 180);
/// An emulator is slow.
const TURNS: usize = 2_000;

type Windows = Arc<Mutex<Vec<(RustConnection, u32)>>>;

/// Shows the picture until the monitor thread has said `wish` and the picture is on the last window.
fn until(output: &mut dyn Output, windows: &Windows, picture: Picture<'_>, wish: Option<MonitorEvent>, screen: (usize, usize)) {
    let (mut said, mut is_shown) = (Vec::new(), false);
    for _ in 0..TURNS {
        output.show(picture, &[]).unwrap();
        said.extend(std::iter::from_fn(|| output.monitor_note()).map(|note| note.event));
        let is_wish = |event: &MonitorEvent| match (event, wish) {
            (MonitorEvent::Back { .. }, Some(MonitorEvent::Back { .. })) => true,
            (event, wish) => Some(*event) == wish,
        };
        let is_said = wish.is_none() || said.iter().any(is_wish);
        is_shown = is_said && (matches!(wish, Some(MonitorEvent::Gone(_))) || is_on_screen(output, windows, screen));
        if is_shown {
            break;
        }
    }
    assert!(is_shown, "{wish:?}: {said:?}");
}

fn is_on_screen(output: &mut dyn Output, windows: &Windows, screen: (usize, usize)) -> bool {
    let windows = windows.lock().unwrap();
    let (connection, id) = windows.last().unwrap();
    // One that is gone shows nothing.
    if connection.get_geometry(*id).unwrap().reply().is_err() {
        return false;
    }
    let got = pixels(connection, *id, screen.0, screen.1);
    let view = output.presented().unwrap();
    let placement = Placement::fit((view.width, view.height), screen);
    got.as_chunks::<4>().0.iter().enumerate().all(|(i, pixel)| {
        let (x, y) = (i % screen.0, i / screen.0);
        let wish = if placement.rect.contains(x, y) {
            &view.row(placement.source_y(y))[4 * placement.source_x(x)..][..4]
        } else {
            &[0, 0, 0, 255]
        };
        pixel == wish
    })
}

#[test]
#[ignore = "takes the first card's monitor"]
fn a_gpu_follows_its_monitor_and_the_host_goes_on_where_it_is_lost() {
    let server = Server::start("a_gpu_follows_its_monitor", "1920x1200x24").unwrap();
    let (settings, clock) = (Settings { present_timeout_ms: 5_000, ..Settings::default() }, Arc::new(MonotonicClock) as Arc<dyn Clock>);
    let wanted = Wanted { monitor: None, size: SIZE, fps: 10.0 };
    let (card, plan) = Card::find(None, &wanted).unwrap();
    let card = Arc::new(card);
    let shown = || card.get_crtc(plan.crtc).unwrap().framebuffer();
    let (console, screen) = (shown(), plan.offer.size);
    let tenure = Tenure::of(&card, &plan);
    let instance = instance();
    let gpu = Gpu::new(&instance, None).unwrap();
    let windows = Windows::default();
    let on_monitor = {
        let (windows, display, adapter) = (windows.clone(), server.display.clone(), gpu.adapter.clone());
        let mut lent = Vec::new();
        move |node: OwnedFd, plan: &Plan| {
            lent.push(node);
            let (connection, id) = window(&display, plan.offer.size);
            let surface = surface_of(&instance, &adapter, &display, id);
            windows.lock().unwrap().push((connection, id));
            Ok(surface)
        }
    };
    let task = Task { card: &card, plan: &plan, wanted: &wanted, settings: &settings, clock: &clock, tenure: &tenure };
    let output = GpuKms::on(&task, gpu, Box::new(on_monitor)).unwrap();
    let mut output = rescued(&task, output);
    drop(tenure);
    assert_eq!((output.describe().display, output.describe().compositor), ("drm", "wgpu"));
    let frames: Vec<_> = (0..4).map(|seed| Owned::noise(FORMATS[seed], COLORIMETRIES[1], SIZE.0, SIZE.1, seed as u64).frame()).collect();
    until(&mut *output, &windows, Picture::New(&frames[0]), None, screen);

    // The screen takes no picture any more: it is lit anew, and no error ends anything.
    {
        let windows = windows.lock().unwrap();
        let (connection, id) = windows.last().unwrap();
        connection.destroy_window(*id).unwrap();
        connection.get_input_focus().unwrap().reply().unwrap();
    }
    let back = Some(MonitorEvent::Back { after_ms: 0 });
    until(&mut *output, &windows, Picture::New(&frames[1]), back, screen);
    assert_eq!(windows.lock().unwrap().len(), 2);

    // Unplugged, and plugged in again.
    let socket = format!("/sys/class/drm/{}-{}/status", card.path.trim_start_matches("/dev/dri/"), plan.name);
    std::fs::write(&socket, "off").unwrap();
    until(&mut *output, &windows, Picture::New(&frames[2]), Some(MonitorEvent::Gone(Trouble::Unplugged)), screen);
    std::fs::write(&socket, "detect").unwrap();
    until(&mut *output, &windows, Picture::New(&frames[3]), back, screen);
    assert_eq!(windows.lock().unwrap().len(), 3);

    // The device is lost.
    assert_eq!(shown(), console, "the emulated driver lights nothing");
    assert!(output.lose_device());
    let error = output.show(Picture::New(&frames[0]), &[]).unwrap_err();
    let words = output.recover(&error).unwrap();
    assert!(words.contains("was lost") && words.contains("KMS"), "{words}");
    output.show(Picture::New(&frames[0]), &[]).unwrap();
    assert_eq!(output.describe().compositor, "host");
    assert!(shown().is_some() && shown() != console);
    drop(output);
    assert_eq!(shown(), console);
}
