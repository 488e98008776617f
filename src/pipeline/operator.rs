//! The operator of a run, as the display thread sees him: what he did since it last looked, what he wants to see, and
//! what of it is kept for the next run.

use crate::base::clock::Clock;
use crate::base::say::say;
use crate::base::slot::Wake;
use crate::config::Mode;
use crate::overlay::OverlayMode;
use crate::pipeline::Spec;
use crate::pipeline::controls::{Action, Choices, Controls, Errand, Input, Start, View};
use crate::pipeline::inputs::{DeviceNote, Devices, Hand, Inbox, inbox};
use crate::pipeline::prefs::{self, Keeper};
use crate::pipeline::window;
use std::sync::Arc;

/// Where the operator of a run sits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seat {
    /// Before no screen of ours: what is chosen is not kept.
    Nowhere,
    /// Before a window, which reads the keyboard.
    Window,
    /// Before a monitor without a window system: keyboards are read here.
    Console,
}

pub struct Operator {
    inbox: Inbox,
    controls: Controls,
    /// What was told last, and what was kept last.
    told: Option<View>,
    kept: Choices,
    keeper: Option<Keeper>,
    _devices: Option<Devices>,
}

impl Operator {
    /// Of a run with these settings.
    pub fn of(spec: &Spec, seat: Seat, wake: Arc<Wake>, clock: &Arc<dyn Clock>) -> std::io::Result<(Hand, Self)> {
        let (hand, inbox) = inbox(wake);
        let asked = Choices {
            is_on: spec.overlay != OverlayMode::Off,
            look: spec.overlay,
            opacity: spec.config.overlay.opacity,
            hidden: spec.config.overlay.hidden(),
            hud: spec.hud,
            language: spec.config.display.language,
        };
        let path = prefs::default_path().filter(|_| seat != Seat::Nowhere && spec.config.preferences);
        let mut choices = asked;
        if let Some(path) = &path {
            match prefs::load(path, asked) {
                Ok(kept) => choices = kept,
                Err(error) => say(format_args!("{error}")),
            }
        }
        if spec.is_overlay_asked {
            (choices.is_on, choices.look) = (asked.is_on, asked.look);
        }
        if spec.is_hud_asked {
            choices.hud = asked.hud;
        }
        // A clinical case starts with clean video, whatever was chosen before.
        let start = if spec.config.mode == Mode::Clinical { Start::Off } else { Start::On };
        let controls = Controls::new(choices, start);
        let kept = controls.choices();
        let keeper = path.map(Keeper::start).transpose()?;
        let keys = (seat == Seat::Console).then(|| window::console_keys(spec.config.controls.footswitch_key.clone()));
        let devices = Some(Devices::start(&spec.config.controls, keys, &hand, clock)?);
        Ok((hand, Operator { inbox, controls, told: None, kept, keeper, _devices: devices }))
    }

    /// One who has made these choices, and of whom nothing is kept.
    #[cfg(test)]
    pub fn with(inbox: Inbox, choices: Choices) -> Self {
        let controls = Controls::new(choices, Start::On);
        Operator { inbox, kept: controls.choices(), controls, told: None, keeper: None, _devices: None }
    }

    /// The next control that has gone or come.
    pub fn next_note(&mut self) -> Option<DeviceNote> {
        self.inbox.take_note()
    }

    /// Takes the next input; what somebody else has to do about one. None: there is no more.
    pub fn next_errand(&mut self, now_ns: u64) -> Option<Errand> {
        while let Some(input) = self.inbox.take() {
            if let Some(errand) = self.controls.take(input, now_ns) {
                return Some(errand);
            }
        }
        None
    }

    /// Clean video, as if the operator had asked for it: only he turns the overlay on again.
    pub fn clean(&mut self, now_ns: u64) {
        let _ = self.controls.take(Input::Act(Action::Clean), now_ns);
    }

    /// The view, if it is not the one that was told last.
    pub fn changed_view(&mut self, now_ns: u64) -> Option<View> {
        self.controls.tick(now_ns);
        let choices = self.controls.choices();
        if choices != self.kept {
            self.kept = choices;
            if let Some(keeper) = &self.keeper {
                keeper.offer(choices);
            }
        }
        let view = self.controls.view();
        (self.told.replace(view) != Some(view)).then_some(view)
    }

    /// When the view will change by itself, ns.
    pub fn due_ns(&self) -> Option<u64> {
        self.controls.due_ns()
    }
}
