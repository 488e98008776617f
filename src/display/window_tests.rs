use super::*;
use crate::base::clock::MonotonicClock;
use crate::base::rate::Rate;
use crate::display::Picture;
use crate::display::x11::tests::{Server, pixels};
use crate::overlay::host::tests::noise_layer;
use crate::overlay::testing::{COLORIMETRIES, FORMATS, Owned};
use std::process::Command as Process;
use winit::platform::x11::EventLoopBuilderExtX11;

const CHILD: &str = "KEYHOLE_WINDOW_TEST";
const SIZE: (usize, usize) = (320, 180);

/// winit reads $DISPLAY, which a test cannot change for one thread: the test runs itself in a process of its own.
fn in_child(test: &str, presenter: &str) {
    let Some(server) = Server::start(test, "800x600x24") else { return };
    let output = Process::new(std::env::current_exe().unwrap())
        .args(["--exact", &format!("display::window::tests::{test}"), "--nocapture", "--test-threads", "1"])
        .env(CHILD, presenter)
        .env("DISPLAY", &server.display)
        .env_remove("WAYLAND_DISPLAY")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && text.contains("window compared: "), "{text}");
    // The harness puts the test's name before the first thing that it prints.
    text.lines().filter_map(|line| line.find("SKIPPED").map(|at| &line[at..])).for_each(|line| println!("{line}"));
}

/// The loop ends even where the display thread panics.
struct ClosesOnDrop(WindowHandle);

impl Drop for ClosesOnDrop {
    fn drop(&mut self) {
        self.0.close();
    }
}

fn test_options() -> WindowOptions {
    let size = (SIZE.0 as u32, SIZE.1 as u32);
    WindowOptions { title: "keyhole test".into(), size, fullscreen: false, monitor: None, feed: None }
}

/// Opens a window, shows pictures in it, and reads them back from the server.
fn compare(presenter: Presenter, wish_compositor: &str, refresh_hz: Option<Rate>) {
    let options = test_options();
    let event_loop = EventLoop::with_user_event().with_any_thread(true).build();
    let mut display_thread = None;
    let settings = Settings { presenter, refresh_hz, present_timeout_ms: 5000, ..Settings::default() };
    let on_ready = |Windows { main: handle, .. }: Windows| {
        let wish = wish_compositor.to_owned();
        display_thread = Some(std::thread::spawn(move || {
            let _closes = ClosesOnDrop(handle.clone());
            show_and_compare(&handle, &settings, &wish)
        }));
    };
    run_loop(event_loop, options, on_ready, |_| ()).unwrap();
    println!("window compared: {}", display_thread.unwrap().join().unwrap());
}

fn show_and_compare(handle: &WindowHandle, settings: &Settings, wish: &str) -> String {
    let (width, height) = SIZE;
    assert_eq!(handle.size(), (width as u32, height as u32));
    let mut output = open_window_output(handle, settings, Arc::new(MonotonicClock)).unwrap();
    let info = output.describe();
    assert_eq!((info.display, info.compositor), ("window", wish));
    let RawWindowHandle::Xlib(raw) = handle.window.window_handle().unwrap().as_raw() else { panic!("not an Xlib window") };
    let (connection, _) = x11rb::connect(None).unwrap();
    let mut ticks: Vec<u64> = output.refresh().into_iter().map(|refresh| refresh.origin_ns).collect();
    assert_eq!(ticks.len(), usize::from(settings.refresh_hz.is_some()));
    for round in 0..3 {
        let frame = Owned::noise(FORMATS[round], COLORIMETRIES[round], width, height, round as u64).frame();
        let layer = noise_layer(width, height, 5 + round as u64);
        for picture in [Picture::New(&frame), Picture::Again(&frame), Picture::Blank(width, height)] {
            // A present before the server has mapped the window goes nowhere, and a software present may lag: what
            // is asked is that it gets there, so it is shown again until it does, but not for ever.
            let arrived = (0..200).any(|_| {
                output.show(picture, &[&layer]).unwrap();
                ticks.extend(output.refresh().map(|refresh| refresh.origin_ns));
                pixels(&connection, raw.window as u32, width, height) == output.presented().unwrap().data
            });
            assert!(arrived, "round {round}: {picture:?} never reached the window");
        }
    }
    // Each present at a refresh of its own.
    assert!(ticks.windows(2).all(|pair| pair[1] >= pair[0] + 10_000_000), "{ticks:?}");
    format!("{} through {}", info.adapter, info.compositor)
}

#[test]
fn a_window_on_x11_without_a_gpu_is_fed_by_shared_memory() {
    match std::env::var(CHILD) {
        Ok(_) => {
            let gpu = crate::overlay::gpu::test_gpu("the choice between GPU and shared memory");
            let has_real_gpu = gpu.is_some_and(|gpu| !gpu.is_software);
            compare(if has_real_gpu { Presenter::X11 } else { Presenter::Auto }, "host", None);
        }
        Err(_) => in_child("a_window_on_x11_without_a_gpu_is_fed_by_shared_memory", "x11"),
    }
}

#[test]
fn a_window_on_a_vulkan_surface_shows_the_composed_pixels() {
    match std::env::var(CHILD) {
        Ok(_) if crate::overlay::gpu::test_gpu("a_window_on_a_vulkan_surface_shows_the_composed_pixels").is_none() => {
            println!("window compared: nothing, no Vulkan");
        }
        Ok(_) => compare(Presenter::Wgpu, "wgpu", None),
        Err(_) => in_child("a_window_on_a_vulkan_surface_shows_the_composed_pixels", "wgpu"),
    }
}

#[test]
fn a_window_on_a_vulkan_surface_is_paced_by_the_monitor_s_refreshes() {
    match std::env::var(CHILD) {
        Ok(_) if crate::overlay::gpu::test_gpu("a_window_on_a_vulkan_surface_is_paced_by_the_monitor_s_refreshes").is_none() => {
            println!("window compared: nothing, no Vulkan");
        }
        Ok(_) => compare(Presenter::Wgpu, "wgpu", Rate::parse("60")),
        Err(_) => in_child("a_window_on_a_vulkan_surface_is_paced_by_the_monitor_s_refreshes", "wgpu"),
    }
}

fn x_id(handle: &WindowHandle) -> u32 {
    let RawWindowHandle::Xlib(raw) = handle.window.window_handle().unwrap().as_raw() else { panic!("not an Xlib window") };
    raw.window as u32
}

/// Two windows at once: the main one with an overlay, the feed with the picture alone.
#[test]
fn the_clean_feed_has_a_window_of_its_own_and_the_picture_alone() {
    let test = "the_clean_feed_has_a_window_of_its_own_and_the_picture_alone";
    if std::env::var(CHILD).is_err() {
        return in_child(test, "x11");
    }
    let options = WindowOptions { feed: Some(FeedOptions { on_monitor: false, monitor: None }), ..test_options() };
    let mut checker = None;
    let on_ready = |windows: Windows| {
        checker = Some(std::thread::spawn(move || {
            let _closes = ClosesOnDrop(windows.main.clone());
            two_windows(&windows)
        }));
    };
    run_loop(EventLoop::with_user_event().with_any_thread(true).build(), options, on_ready, |_| ()).unwrap();
    println!("window compared: {}", checker.unwrap().join().unwrap());
}

fn two_windows(windows: &Windows) -> String {
    let settings = Settings { presenter: Presenter::X11, present_timeout_ms: 5000, ..Settings::default() };
    let (width, height) = SIZE;
    let feed_handle = windows.feed.clone().unwrap();
    let feed_window = x_id(&feed_handle);
    assert_ne!(feed_window, x_id(&windows.main));
    let (for_feed, handle) = (settings.clone(), feed_handle.clone());
    let open = move || open_window_output(&handle, &for_feed, Arc::new(MonotonicClock));
    let feed = crate::display::CleanFeed::start(Box::new(open)).unwrap();
    let mut output = open_window_output(&windows.main, &settings, Arc::new(MonotonicClock)).unwrap();
    let (connection, _) = x11rb::connect(None).unwrap();
    for round in 0..3 {
        let picture = Owned::noise(FORMATS[round], COLORIMETRIES[round], width, height, round as u64);
        let frame = picture.frame();
        let covers = |layer: &crate::overlay::Layer| crate::overlay::coverage::covered_px(layer) > 0;
        let layer = (5 + round as u64..).map(|seed| noise_layer(width, height, seed)).find(covers).unwrap();
        let mut clean = vec![0; 4 * width * height];
        let mut target = crate::overlay::host::Target { data: &mut clean, stride: 4 * width, width, height };
        crate::overlay::host::compose_full(&picture.view(), &[], &mut target).unwrap();
        let arrived = (0..2000).any(|_| {
            output.show(Picture::New(&frame), &[&layer]).unwrap();
            feed.offer(&frame);
            pixels(&connection, feed_window, width, height) == clean
                && pixels(&connection, x_id(&windows.main), width, height) == output.presented().unwrap().data
        });
        assert!(arrived && output.presented().unwrap().data != clean, "round {round}");
    }
    let (counts, outcome) = feed.finish();
    assert!(counts.shown >= 3 && outcome.is_ok(), "{counts:?}");
    "two windows".into()
}

#[test]
fn a_window_fills_its_monitor_without_a_window_manager_and_an_unknown_monitor_is_named() {
    let test = "a_window_fills_its_monitor_without_a_window_manager_and_an_unknown_monitor_is_named";
    let Ok(what) = std::env::var(CHILD) else {
        in_child(test, "fill");
        return in_child(test, "unknown");
    };
    let event_loop = EventLoop::with_user_event().with_any_thread(true).build();
    if what == "unknown" {
        let options = WindowOptions { monitor: Some(MonitorChoice::parse("HDMI-7")), ..test_options() };
        let error = run_loop(event_loop, options, |_| panic!("no window was asked for"), |_| ()).unwrap_err().to_string();
        assert!(error.contains("HDMI-7") && error.contains("800×600"), "{error}");
        println!("window compared: {error}");
        return;
    }
    let options = WindowOptions { fullscreen: true, monitor: Some(MonitorChoice::Index(0)), ..test_options() };
    let (tell, sizes) = std::sync::mpsc::channel();
    let mut checker = None;
    let on_ready = |windows: Windows| {
        checker = Some(std::thread::spawn(move || {
            let closes = ClosesOnDrop(windows.main.clone());
            let wait_for =
                |wish: (u32, u32)| while windows.main.size() != wish && sizes.recv_timeout(std::time::Duration::from_secs(20)).is_ok() {};
            wait_for((800, 600));
            let full = windows.main.size();
            windows.main.toggle_fullscreen();
            wait_for((SIZE.0 as u32, SIZE.1 as u32));
            let back = windows.main.size();
            drop(closes);
            (full, back)
        }));
    };
    let on_event = move |event| {
        let _ = tell.send(event);
    };
    run_loop(event_loop, options, on_ready, on_event).unwrap();
    let (full, back) = checker.unwrap().join().unwrap();
    assert_eq!((full, back), ((800, 600), (SIZE.0 as u32, SIZE.1 as u32)));
    println!("window compared: {full:?} {back:?}");
}

#[test]
fn keys_are_known_by_the_names_that_people_give_them() {
    assert!(Key::Char('b').is_called("b") && Key::Char('b').is_called("B") && !Key::Char('b').is_called("bb"));
    assert!(Key::Named(NamedKey::PageDown).is_called("pagedown") && Key::Named(NamedKey::F13).is_called("F13"));
    assert!(!Key::Named(NamedKey::F1).is_called("F13") && !Key::Other.is_called(""));
    assert_eq!(Key::of(&WinitKey::Named(NamedKey::Shift)), None);
    assert_eq!(Key::of(&WinitKey::Character("L".into())), Some(Key::Char('l')));
}
