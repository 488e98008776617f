//! A run in a window: winit's loop has the main thread, the run has one of its own, and keys become controls.

use crate::display::{Key, WindowEvent, WindowHandle, WindowOptions, open_window_output, run_window};
use crate::overlay::OverlayMode;
use crate::pipeline::running::Prepared;
use crate::pipeline::{Control, PipRequest, RunError};
use crate::record::Report;
use std::sync::mpsc;

pub fn run(run: Prepared) -> Result<Report, RunError> {
    let settings = run.spec.config.display.clone();
    let info = run.source.info();
    let options =
        WindowOptions { title: settings.title.clone(), size: (info.width as u32, info.height as u32), fullscreen: settings.fullscreen };
    let (ask, controls) = crossbeam_channel::bounded(64);
    let (tell, outcome) = mpsc::channel();
    let clock = run.clock.clone();
    let wake = run.wake.clone();
    let start = move |handle: WindowHandle| {
        let window = handle.clone();
        let open = Box::new(move || open_window_output(&window, &settings, clock));
        let spawned = std::thread::Builder::new().name("pipeline".into()).spawn({
            let (tell, handle) = (tell.clone(), handle.clone());
            move || {
                let _ = tell.send(run.go(open, controls));
                handle.close();
            }
        });
        if let Err(error) = spawned {
            let _ = tell.send(Err(error.into()));
            handle.close();
        }
    };
    run_window(options, start, move |event| {
        if let Some(control) = control_for(event) {
            let _ = ask.try_send(control);
            wake.ring();
        }
    })?;
    outcome.recv().unwrap_or(Err(RunError::Lost("pipeline")))
}

/// Escape and Space give clean video at once; what turns the overlay on is another key.
fn control_for(event: WindowEvent) -> Option<Control> {
    match event {
        WindowEvent::Key(Key::Escape | Key::Space) => Some(Control::Overlay(OverlayMode::Off)),
        WindowEvent::Key(Key::Char('o')) => Some(Control::Overlay(OverlayMode::Outline)),
        WindowEvent::Key(Key::Char('t')) => Some(Control::Overlay(OverlayMode::Fill)),
        WindowEvent::Key(Key::Char('h')) => Some(Control::ToggleHud),
        WindowEvent::Key(Key::Char('p')) => Some(Control::Pip(PipRequest::Clean)),
        WindowEvent::Key(Key::Char('z')) => Some(Control::Pip(PipRequest::Zoom)),
        WindowEvent::Key(Key::Char('x')) => Some(Control::Pip(PipRequest::Freeze)),
        WindowEvent::Key(Key::Char('q')) | WindowEvent::CloseRequested => Some(Control::Quit),
        WindowEvent::Key(Key::Char(_)) | WindowEvent::Resized(..) => None,
    }
}
