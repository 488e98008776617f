//! What the operator's inputs mean: the one state machine over keys, mouse, footswitch and camera-head buttons. Pure:
//! inputs and times in, a `View` out. Who delivers the inputs is `inputs` and `window`; who obeys is the driver.
//!
//! ```text
//!                 any input that is no view key; `o`; a footswitch pressed; a new case
//!        ┌──────────────────────────────────────────────────────────────────────────┐
//!        ▼                                                                          │
//!      Off ── `o` ──► Armed (3 s, shown) ── `o` or Enter ──► On ────────────────────┘
//!        ▲               │ anything else, or 3 s                ▲
//!        └───────────────┘                                      │
//!      Off ── footswitch down ──► Held ── still down after 0.8 s
//! ```
//! One input is enough for a clean picture; two deliberate ones, or one long one, for an overlay. A switch that is
//! already down when the overlay goes off must be let go before it counts again, and a key that repeats counts once.

use crate::base::texts::Language;
use crate::overlay::OverlayMode;
use crate::overlay::style::ClassSet;
use serde::Deserialize;

/// How long an armed overlay waits for the second action.
pub const ARMED_NS: u64 = 3_000_000_000;
/// How long a footswitch is held to turn the overlay on.
pub const LONG_PRESS_NS: u64 = 800_000_000;
/// How long names are shown.
pub const LABELS_NS: u64 = 5_000_000_000;
const OPACITIES: [f32; 5] = [0.4, 0.55, 0.7, 0.85, 0.95];

/// A footswitch or contact: which one of those that are connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Switch(pub u8);

/// What an operator can ask for by a key or a button. Names as in `controls.serial_bytes` and `controls.lines`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// Clean video, at once.
    Clean,
    /// The overlay off if it is on; else the first, then the second step to turn it on.
    Overlay,
    /// The second step to turn the overlay on; clean video at any other time.
    Confirm,
    /// Outlines only, or with a tint: how the overlay looks when it is on. Turns nothing on.
    Look,
    Labels,
    OpacityDown,
    OpacityUp,
    /// Instruments, findings and groups of tissues: 0 is key 1.
    #[serde(skip)]
    Group(u8),
    Hud,
    Language,
    PictureInPicture,
    /// Freezes the picture in picture, never the live one.
    Freeze,
    Zoom,
    /// A marker in the recording.
    Mark,
    Still,
    /// Starts or stops recording.
    Record,
    /// Says that the alarms on the screen have been seen.
    Acknowledge,
    #[serde(skip)]
    Quit,
}

/// Something that the operator did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Input {
    Act(Action),
    /// A footswitch or contact went down.
    Down(Switch),
    Up(Switch),
    /// The device was unplugged: what it held down is let go, and nothing follows from that.
    Gone(Switch),
    /// Inputs came faster than they could be taken: what was lost may have been a wish for clean video.
    Lost,
}

/// Is the overlay on when a run or a case begins?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    On,
    /// Always so in a clinical case.
    Off,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Power {
    Off,
    Armed { until_ns: u64 },
    Held { switch: Switch, since_ns: u64 },
    On,
}

/// What the operator wants to see.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct View {
    /// Off, or what the look is.
    pub overlay: OverlayMode,
    pub opacity: f32,
    pub hidden: ClassSet,
    pub labels: bool,
    pub hud: bool,
    pub language: Language,
    /// Press again to turn the overlay on: to be shown.
    pub is_armed: bool,
}

/// What is kept from one run to the next.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Choices {
    pub is_on: bool,
    /// Outline or fill.
    pub look: OverlayMode,
    pub opacity: f32,
    pub hidden: ClassSet,
    pub hud: bool,
    pub language: Language,
}

/// What somebody else has to do about an input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Errand {
    PictureInPicture,
    /// Anything but what opens it or changes it takes a picture in picture away.
    ClosePictureInPicture,
    Freeze,
    Zoom,
    Mark,
    Still,
    Record,
    /// All alarms have been seen.
    Acknowledge,
    Quit,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Controls {
    power: Power,
    choices: Choices,
    labels_until_ns: u64,
}

impl Controls {
    pub fn new(choices: Choices, start: Start) -> Self {
        let power = if choices.is_on && start == Start::On { Power::On } else { Power::Off };
        let look = if choices.look == OverlayMode::Fill { OverlayMode::Fill } else { OverlayMode::Outline };
        let opacity = if choices.opacity.is_finite() { choices.opacity.clamp(0.0, 1.0) } else { OPACITIES[OPACITIES.len() - 1] };
        Controls { power, choices: Choices { look, opacity, ..choices }, labels_until_ns: 0 }
    }

    /// A clinical case begins: the overlay is off, whatever was before.
    pub fn start_case(&mut self) {
        self.power = Power::Off;
        self.labels_until_ns = 0;
    }

    pub fn choices(&self) -> Choices {
        self.choices
    }

    pub fn view(&self) -> View {
        let Choices { look, opacity, hidden, hud, language, .. } = self.choices;
        View {
            overlay: if self.power == Power::On { look } else { OverlayMode::Off },
            opacity,
            hidden,
            labels: self.labels_until_ns > 0,
            hud,
            language,
            is_armed: matches!(self.power, Power::Armed { .. }),
        }
    }

    /// When `tick` has something to do next, ns.
    pub fn due_ns(&self) -> Option<u64> {
        let power = match self.power {
            Power::Armed { until_ns } => Some(until_ns),
            Power::Held { since_ns, .. } => Some(since_ns + LONG_PRESS_NS),
            Power::Off | Power::On => None,
        };
        let labels = (self.labels_until_ns > 0).then_some(self.labels_until_ns);
        power.into_iter().chain(labels).min()
    }

    /// Time has passed.
    pub fn tick(&mut self, now_ns: u64) {
        match self.power {
            Power::Armed { until_ns } if now_ns >= until_ns => self.power = Power::Off,
            Power::Held { since_ns, .. } if now_ns.saturating_sub(since_ns) >= LONG_PRESS_NS => self.turn_on(),
            _ => {}
        }
        if now_ns >= self.labels_until_ns {
            self.labels_until_ns = 0;
        }
    }

    pub fn take(&mut self, input: Input, now_ns: u64) -> Option<Errand> {
        self.tick(now_ns);
        match input {
            Input::Act(action) => return self.act(action, now_ns),
            Input::Down(switch) => {
                self.power = match self.power {
                    Power::Off => Power::Held { switch, since_ns: now_ns },
                    Power::On | Power::Armed { .. } | Power::Held { .. } => Power::Off,
                };
            }
            Input::Up(switch) | Input::Gone(switch) => {
                if matches!(self.power, Power::Held { switch: held, .. } if held == switch) {
                    self.power = Power::Off;
                }
            }
            Input::Lost => self.power = Power::Off,
        }
        None
    }

    fn act(&mut self, action: Action, now_ns: u64) -> Option<Errand> {
        let was = self.power;
        // An armed overlay is for the next action only, whatever that is.
        if was != Power::On {
            self.power = Power::Off;
        }
        let choices = &mut self.choices;
        match action {
            Action::Clean => self.power = Power::Off,
            Action::Overlay => match was {
                Power::Off | Power::Held { .. } => self.power = Power::Armed { until_ns: now_ns + ARMED_NS },
                Power::Armed { .. } => self.turn_on(),
                Power::On => {
                    self.power = Power::Off;
                    // Clean video is for now; the key that turns it off is a choice.
                    choices.is_on = false;
                }
            },
            Action::Confirm => match was {
                Power::Armed { .. } => self.turn_on(),
                Power::Off | Power::Held { .. } | Power::On => self.power = Power::Off,
            },
            Action::Look => choices.look = if choices.look == OverlayMode::Fill { OverlayMode::Outline } else { OverlayMode::Fill },
            Action::Labels => self.labels_until_ns = if self.labels_until_ns > 0 { 0 } else { now_ns + LABELS_NS },
            Action::OpacityDown => choices.opacity = step(choices.opacity, false),
            Action::OpacityUp => choices.opacity = step(choices.opacity, true),
            Action::Group(group) => choices.hidden.toggle_group(usize::from(group)),
            Action::Hud => choices.hud = !choices.hud,
            Action::Language => {
                choices.language = if choices.language == Language::En { Language::De } else { Language::En };
            }
            Action::PictureInPicture => return Some(Errand::PictureInPicture),
            Action::Freeze => return Some(Errand::Freeze),
            Action::Zoom => return Some(Errand::Zoom),
            Action::Mark => return Some(Errand::Mark),
            Action::Still => return Some(Errand::Still),
            Action::Record => return Some(Errand::Record),
            Action::Acknowledge => return Some(Errand::Acknowledge),
            Action::Quit => return Some(Errand::Quit),
        }
        Some(Errand::ClosePictureInPicture)
    }

    fn turn_on(&mut self) {
        self.power = Power::On;
        self.choices.is_on = true;
    }
}

/// The next step of opacity in one direction; the last one stays.
fn step(opacity: f32, up: bool) -> f32 {
    const NEAR: f32 = 0.01;
    let next = if up {
        OPACITIES.iter().find(|&&level| level > opacity + NEAR)
    } else {
        OPACITIES.iter().rev().find(|&&level| level < opacity - NEAR)
    };
    next.copied().unwrap_or(opacity)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    const MS: u64 = 1_000_000;

    pub fn choices() -> Choices {
        let (hidden, language) = (ClassSet::default(), Language::En);
        Choices { is_on: true, look: OverlayMode::Outline, opacity: 0.95, hidden, hud: true, language }
    }

    fn off() -> Controls {
        Controls::new(choices(), Start::Off)
    }

    fn is_on(controls: &Controls) -> bool {
        controls.view().overlay != OverlayMode::Off
    }

    #[test]
    fn one_input_gives_clean_video_and_view_keys_do_what_they_say() {
        let clean = [
            Input::Act(Action::Clean),
            Input::Act(Action::Confirm),
            Input::Act(Action::Overlay),
            Input::Down(Switch(0)),
            Input::Down(Switch(3)),
            Input::Lost,
        ];
        for input in clean {
            let mut controls = Controls::new(choices(), Start::On);
            assert!(is_on(&controls));
            controls.take(input, 5);
            assert!(!is_on(&controls), "{input:?}");
        }
        let mut controls = Controls::new(choices(), Start::On);
        for action in [Action::Look, Action::Labels, Action::Hud, Action::Group(3), Action::OpacityDown, Action::Language] {
            assert_eq!(controls.take(Input::Act(action), 5), Some(Errand::ClosePictureInPicture));
            assert!(is_on(&controls), "{action:?}");
        }
        let view = controls.view();
        assert_eq!((view.overlay, view.labels, view.hud, view.opacity), (OverlayMode::Fill, true, false, 0.85));
        assert!(view.language == Language::De && view.hidden.names().eq(["gallbladder"]));
        assert_eq!(controls.take(Input::Act(Action::Mark), 5), Some(Errand::Mark));
        assert_eq!(controls.take(Input::Act(Action::Acknowledge), 5), Some(Errand::Acknowledge));
        assert!(is_on(&controls), "having seen an alarm changes nothing else");
    }

    #[test]
    fn on_takes_two_actions_within_three_seconds_or_one_long_press() {
        let mut controls = off();
        controls.take(Input::Act(Action::Overlay), 0);
        assert!(controls.view().is_armed && !is_on(&controls));
        assert_eq!(controls.due_ns(), Some(ARMED_NS));
        controls.take(Input::Act(Action::Confirm), 2_999 * MS);
        assert!(is_on(&controls));

        let mut controls = off();
        controls.take(Input::Act(Action::Overlay), 0);
        controls.take(Input::Act(Action::Confirm), 3_000 * MS);
        assert!(!is_on(&controls), "too late");
        controls.take(Input::Act(Action::Overlay), 4_000 * MS);
        controls.take(Input::Act(Action::Hud), 4_100 * MS);
        controls.take(Input::Act(Action::Confirm), 4_200 * MS);
        assert!(!is_on(&controls), "another key came between");

        let mut controls = off();
        controls.take(Input::Down(Switch(1)), 0);
        controls.tick(799 * MS);
        assert!(!is_on(&controls));
        assert_eq!(controls.due_ns(), Some(800 * MS));
        controls.tick(800 * MS);
        assert!(is_on(&controls));
        controls.take(Input::Up(Switch(1)), 900 * MS);
        assert!(is_on(&controls), "letting go is no input of its own");
    }

    #[test]
    fn a_switch_that_stays_down_or_is_unplugged_turns_nothing_on() {
        let mut controls = Controls::new(choices(), Start::On);
        controls.take(Input::Down(Switch(0)), 0);
        controls.tick(10_000 * MS);
        assert!(!is_on(&controls), "the press that turned it off does not turn it on again");
        controls.take(Input::Up(Switch(0)), 10_001 * MS);
        controls.take(Input::Down(Switch(0)), 10_002 * MS);
        controls.take(Input::Gone(Switch(0)), 10_100 * MS);
        controls.tick(20_000 * MS);
        assert!(!is_on(&controls));
        controls.take(Input::Down(Switch(0)), 20_001 * MS);
        controls.take(Input::Down(Switch(1)), 20_002 * MS);
        controls.tick(30_000 * MS);
        assert!(!is_on(&controls), "two at once mean clean video");
    }

    #[test]
    fn a_case_starts_clean_whatever_was_kept() {
        assert!(!is_on(&Controls::new(choices(), Start::Off)));
        assert!(!is_on(&Controls::new(Choices { is_on: false, ..choices() }, Start::On)));
        let mut controls = Controls::new(choices(), Start::On);
        controls.start_case();
        assert!(!is_on(&controls) && controls.due_ns().is_none());
    }

    #[test]
    fn escape_is_for_now_and_the_overlay_key_is_a_choice() {
        let mut controls = Controls::new(choices(), Start::On);
        controls.take(Input::Act(Action::Clean), 0);
        assert!(controls.choices().is_on);
        let mut controls = Controls::new(choices(), Start::On);
        controls.take(Input::Act(Action::Overlay), 0);
        assert!(!controls.choices().is_on);
    }

    #[test]
    fn opacity_has_steps_and_ends() {
        let mut seen = vec![0.95];
        while step(seen[seen.len() - 1], false) < seen[seen.len() - 1] {
            seen.push(step(seen[seen.len() - 1], false));
        }
        assert_eq!(seen, [0.95, 0.85, 0.7, 0.55, 0.4]);
        assert_eq!((step(0.95, true), step(0.4, true), step(0.6, false), step(1.0, false)), (0.95, 0.55, 0.55, 0.95));
    }

    fn any_input() -> impl Strategy<Value = Input> {
        use Action::{Clean, Confirm, Group, Hud, Labels, Language, Look, Mark, OpacityDown, OpacityUp, Overlay};
        let actions = [Clean, Overlay, Confirm, Look, Labels, OpacityDown, OpacityUp, Group(2), Hud, Language, Mark];
        prop_oneof![
            6 => proptest::sample::select(actions.to_vec()).prop_map(Input::Act),
            2 => (0u8..2).prop_map(|s| Input::Down(Switch(s))),
            2 => (0u8..2).prop_map(|s| Input::Up(Switch(s))),
            1 => (0u8..2).prop_map(|s| Input::Gone(Switch(s))),
            1 => Just(Input::Lost),
        ]
    }

    proptest! {
        /// Whatever is done in whatever order: the overlay turns on only by a second action within 3 s of the first, with
        /// nothing between, or by a switch that went down while it was off and stayed down for 0.8 s.
        #[test]
        fn nothing_but_two_actions_or_a_long_press_turns_it_on(start in any::<bool>(), ops in proptest::collection::vec((any_input(), 0u64..1_500), 1..60)) {
            let mut controls = Controls::new(choices(), if start { Start::On } else { Start::Off });
            let mut now_ns = 0;
            let mut before: Option<(Input, u64, bool)> = None;
            let mut pressed_while_off: Option<(Switch, u64)> = None;
            for (input, wait_ms) in ops {
                let was_on = is_on(&controls);
                // In between somebody looks often, as the display thread does.
                for _ in 0..wait_ms / 20 {
                    now_ns += 20 * MS;
                    controls.tick(now_ns);
                }
                if !was_on && is_on(&controls) {
                    prop_assert!(pressed_while_off.is_some_and(|(_, since)| now_ns - since >= LONG_PRESS_NS));
                }
                let on_before = is_on(&controls);
                controls.take(input, now_ns);
                let on_now = is_on(&controls);
                let keeps = matches!(input, Input::Act(a) if !matches!(a, Action::Clean | Action::Overlay | Action::Confirm)) || matches!(input, Input::Up(_) | Input::Gone(_));
                prop_assert!(!on_before || on_now == keeps, "{input:?}");
                if !on_before && on_now {
                    prop_assert!(matches!(input, Input::Act(Action::Overlay | Action::Confirm)), "{input:?}");
                    let Some((first, at_ns, first_was_off)) = before else { return Err(TestCaseError::fail("no first action")) };
                    prop_assert!(first == Input::Act(Action::Overlay) && first_was_off && now_ns - at_ns < ARMED_NS);
                }
                pressed_while_off = match input {
                    Input::Down(switch) if !on_before => Some((switch, now_ns)),
                    Input::Up(other) | Input::Gone(other) => pressed_while_off.filter(|(switch, _)| *switch != other),
                    _ => None,
                };
                // Letting go of a switch is no action: it may come between.
                if !matches!(input, Input::Up(_) | Input::Gone(_)) {
                    before = Some((input, now_ns, !on_before));
                }
            }
        }
    }
}
