//! A run in a window: winit's loop has the main thread, the run has one of its own, and keys become inputs.

use crate::base::clock::Clock;
use crate::display::{
    CleanFeedChoice, FeedOptions, Key, KeyLabels, OpenFeed, WindowEvent, WindowOptions, Windows, open_window_output, run_window,
};
use crate::pipeline::RunError;
use crate::pipeline::controls::{Action, Input};
use crate::pipeline::inputs::{Meaning, WINDOW_SWITCH};
use crate::pipeline::operator::{Operator, Seat};
use crate::pipeline::running::Prepared;
use crate::record::Report;
use std::sync::{Arc, mpsc};

pub fn run(run: Prepared) -> Result<Report, RunError> {
    let settings = run.spec.config.display.clone();
    let footswitch_key = run.spec.config.controls.footswitch_key.clone();
    let info = run.source.info();
    let feed = match settings.clean_feed {
        CleanFeedChoice::Off => None,
        choice => Some(FeedOptions { on_monitor: choice == CleanFeedChoice::Monitor, monitor: settings.clean_feed_monitor.clone() }),
    };
    let options = WindowOptions {
        title: settings.title.clone(),
        size: (info.width as u32, info.height as u32),
        fullscreen: settings.fullscreen,
        monitor: settings.monitor.clone(),
        feed,
    };
    let (hand, operator) = Operator::of(&run.spec, Seat::Window, run.wake.clone(), &run.clock)?;
    let (tell, outcome) = mpsc::channel();
    let clock = run.clock.clone();
    let start = move |windows: Windows| {
        let main = windows.main.clone();
        let opened = |handle, clock: Arc<dyn Clock>| {
            let settings = settings.clone();
            Box::new(move || open_window_output(&handle, &settings, clock))
        };
        let open = opened(windows.main.clone(), clock.clone());
        let feed = windows.feed.clone().map(|handle| opened(handle, clock.clone()) as OpenFeed);
        let spawned = std::thread::Builder::new().name("pipeline".into()).spawn({
            let (tell, handle) = (tell.clone(), main.clone());
            move || {
                let _ = tell.send(run.go(open, operator, feed));
                handle.close();
            }
        });
        if let Err(error) = spawned {
            let _ = tell.send(Err(error.into()));
            main.close();
        }
    };
    run_window(options, start, move |event| {
        if let Some(input) = input_for(event, footswitch_key.as_deref()) {
            hand.put(input);
        }
    })?;
    outcome.recv().unwrap_or(Err(RunError::Lost("pipeline")))
}

/// What a key means where there is no window: the same, and there is no full screen to switch.
pub fn console_keys(footswitch_key: Option<String>) -> Meaning {
    let labels = KeyLabels::of_console();
    Box::new(move |code, is_shifted, is_down| {
        let key = labels.key(code, is_shifted)?;
        let event = if is_down { WindowEvent::Key(key) } else { WindowEvent::KeyUp(key) };
        input_for(event, footswitch_key.as_deref()).or(is_down.then_some(Input::Act(Action::Clean)))
    })
}

/// What a key means. Every key that is not bound to something else gives clean video, as Escape, Space and the mouse do.
fn input_for(event: WindowEvent, footswitch_key: Option<&str>) -> Option<Input> {
    let is_footswitch = |key: Key| footswitch_key.is_some_and(|name| key.is_called(name));
    let action = match event {
        WindowEvent::Key(key) if is_footswitch(key) => return Some(Input::Down(WINDOW_SWITCH)),
        WindowEvent::KeyUp(key) if is_footswitch(key) => return Some(Input::Up(WINDOW_SWITCH)),
        WindowEvent::KeyUp(_) | WindowEvent::Resized(..) => return None,
        WindowEvent::CloseRequested => Action::Quit,
        WindowEvent::Mouse => Action::Clean,
        WindowEvent::Key(Key::ENTER) => Action::Confirm,
        WindowEvent::Key(Key::Char(c)) => match c {
            // Full screen was switched by the window itself.
            'f' => return None,
            'o' => Action::Overlay,
            't' => Action::Look,
            'l' => Action::Labels,
            '-' => Action::OpacityDown,
            '+' | '=' => Action::OpacityUp,
            '1'..='9' => Action::Group(c as u8 - b'1'),
            'h' => Action::Hud,
            'g' => Action::Language,
            'p' => Action::PictureInPicture,
            'z' => Action::Zoom,
            'i' => Action::Freeze,
            'm' => Action::Mark,
            's' => Action::Still,
            'r' => Action::Record,
            'a' => Action::Acknowledge,
            'q' => Action::Quit,
            _ => Action::Clean,
        },
        WindowEvent::Key(Key::Named(_) | Key::Other) => Action::Clean,
    };
    Some(Input::Act(action))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_that_mean_nothing_else_and_the_mouse_give_clean_video() {
        let act = |event| input_for(event, None);
        let clean = Some(Input::Act(Action::Clean));
        for key in [Key::ESCAPE, Key::SPACE, Key::Other, Key::Char('x'), Key::Char('0'), Key::Char('ß')] {
            assert_eq!(act(WindowEvent::Key(key)), clean, "{key:?}");
            assert_eq!(act(WindowEvent::KeyUp(key)), None);
        }
        assert_eq!(act(WindowEvent::Mouse), clean);
        assert_eq!(act(WindowEvent::Key(Key::ENTER)), Some(Input::Act(Action::Confirm)));
        assert_eq!(act(WindowEvent::Key(Key::Char('9'))), Some(Input::Act(Action::Group(8))));
        assert_eq!(act(WindowEvent::Key(Key::Char('f'))), None);
        assert_eq!(act(WindowEvent::Key(Key::Char('a'))), Some(Input::Act(Action::Acknowledge)));
    }

    #[test]
    fn without_a_window_keys_mean_the_same_and_each_other_key_is_clean_video() {
        let keys = console_keys(Some("F13".into()));
        let clean = Some(Input::Act(Action::Clean));
        // Escape, F, a key that no keyboard of today has, the left mouse button.
        for code in [1, 33, 200, 0x110] {
            assert_eq!(keys(code, false, true), clean, "{code}");
            assert_eq!(keys(code, false, false), None, "{code}");
        }
        assert_eq!(keys(28, false, true), Some(Input::Act(Action::Confirm)));
        assert_eq!(keys(74, false, true), Some(Input::Act(Action::OpacityDown)), "of the keypad");
        assert_eq!([keys(183, false, true), keys(183, false, false)], [Some(Input::Down(WINDOW_SWITCH)), Some(Input::Up(WINDOW_SWITCH))]);
        assert_eq!([keys(42, false, true), keys(42, true, false)], [None, None], "Shift alone is no input");
    }

    #[test]
    fn a_footswitch_that_types_is_a_switch_and_not_its_key() {
        for (name, key) in [("o", Key::Char('o')), ("Space", Key::SPACE)] {
            assert_eq!(input_for(WindowEvent::Key(key), Some(name)), Some(Input::Down(WINDOW_SWITCH)));
            assert_eq!(input_for(WindowEvent::KeyUp(key), Some(name)), Some(Input::Up(WINDOW_SWITCH)));
        }
    }
}
