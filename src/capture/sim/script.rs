//! Scripted scenes: what happens when, as TOML. `sim:?script=scene.toml`, or a built-in one: `sim:?script=builtin:smoke`.
//!
//! ```toml
//! seconds = 8.0                # length of the loop (else the end of the last event, at least 2 s)
//! still = false                # nothing moves: only sensor noise and events differ from picture to picture
//! noise = 1.0                  # times the usual sensor noise, 0 to 8
//! look = "standard"            # standard, a, b, c, nbi, icg
//! default_instruments = true   # false: only those that events bring in
//! [[event]]
//! kind = "smoke"               # see `Effect`
//! at_s = 1.0
//! for_s = 3.0
//! amount = 0.7                 # 0 to 1, default 0.6
//! fade_s = 0.5                 # how long it comes and goes, default a third of for_s, at most 0.6 s
//! ```
//! Further keys belong to single kinds: `site = [x, y]` (smoke, bleeding; picture heights from the picture's centre, as the
//! scene lies at rest), `look` (look), `seed` (cut), `tool` and `side` (instrument), `pan`, `zoom`, `turn_deg` (camera).
//! What an event looks like is not said here: see `stage`.

use super::SimError;
use serde::{Deserialize, Serialize};
use std::path::Path;
use toml::Spanned;

/// A camera's rendering of colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Look {
    #[default]
    Standard,
    /// Warm, dark, saturated, moderately sharpened.
    A,
    /// Cool, bright, flat.
    B,
    /// Neutral, contrasty, sharpened until edges have halos.
    C,
    /// Narrow-band imaging: haemoglobin dark, the rest cyan and green.
    Nbi,
    /// Indocyanine green: near dark, bile ducts and liver glow green.
    Icg,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Tool {
    Grasper,
    Hook,
    Scissors,
    ClipApplier,
    Irrigator,
    /// A needle holder with a curved needle and its thread.
    Needle,
}

/// Where an instrument comes in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Side {
    Left,
    Right,
    Top,
    Bottom,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Effect {
    /// Rises from `site`; where less than a fifth of the light passes, masks say ignore.
    Smoke {
        site: Option<[f32; 2]>,
    },
    /// A pool that spreads from `site` on the tissue: class blood.
    Bleeding {
        site: Option<[f32; 2]>,
    },
    LensFog,
    /// Drops on the lens, each shows the scene upside down: ignore.
    Droplets,
    /// Blood and tissue on the lens, out of focus.
    Soiling,
    Defocus,
    /// The camera is swept while the shutter is open.
    MotionBlur,
    /// Out through the trocar, the room, and in again.
    OutOfBody,
    /// The camera's own menu over the picture: ignore.
    CameraMenu,
    /// The camera's own picture in picture: ignore.
    Pip,
    Look {
        look: Look,
    },
    /// The same pixels again and again.
    Freeze,
    Black,
    /// No pictures at all.
    Loss,
    /// Another operation is shown.
    Cut {
        seed: u64,
    },
    /// The light is unsteady.
    Flicker,
    /// Electrosurgery disturbs the signal.
    Interference,
    Instrument {
        tool: Tool,
        side: Side,
    },
    /// Moves the camera by `pan` (picture heights), magnifies by `zoom`, turns it.
    Camera {
        pan: [f32; 2],
        zoom: f32,
        turn_deg: f32,
    },
    /// More sensor noise: `amount` 1 is eight times.
    Noise,
}

/// One line of a script.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Event {
    #[serde(flatten)]
    pub effect: Effect,
    pub at_s: f64,
    pub for_s: f64,
    pub fade_s: f64,
    pub amount: f32,
}

impl Event {
    /// 0..=1 times `amount`, at `t_ns` of the loop.
    pub fn level(&self, t_ns: u64) -> f32 {
        self.amount * self.envelope(t_ns)
    }

    /// How much of it is there at `t_ns` of the loop, 0..=1: it comes and goes smoothly over `fade_s`.
    pub fn envelope(&self, t_ns: u64) -> f32 {
        if !self.is_on(t_ns) {
            return 0.0;
        }
        let (from_ns, to_ns) = self.span_ns();
        let near_s = (t_ns - from_ns).min(to_ns - t_ns) as f64 / 1e9;
        let x = (near_s / self.fade_s.max(1e-6)).clamp(0.0, 1.0) as f32;
        x * x * (3.0 - 2.0 * x)
    }

    pub fn is_on(&self, t_ns: u64) -> bool {
        let (from_ns, to_ns) = self.span_ns();
        (from_ns..to_ns).contains(&t_ns)
    }

    /// Whole nanoseconds, half open.
    pub fn span_ns(&self) -> (u64, u64) {
        ((self.at_s * 1e9).round() as u64, ((self.at_s + self.for_s) * 1e9).round() as u64)
    }
}

#[derive(Debug, Clone, PartialEq)]
pub struct Script {
    /// As it was named in the URI.
    pub name: String,
    pub seconds: f64,
    pub still: bool,
    pub noise: f32,
    pub look: Look,
    pub default_instruments: bool,
    pub events: Vec<Event>,
    /// What it was read from: part of the clip's key in the cache.
    pub text: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawScript {
    seconds: Option<f64>,
    still: Option<bool>,
    noise: Option<f64>,
    look: Option<Look>,
    default_instruments: Option<bool>,
    #[serde(default)]
    event: Vec<Spanned<RawEvent>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawEvent {
    kind: String,
    at_s: f64,
    for_s: f64,
    amount: Option<f64>,
    fade_s: Option<f64>,
    site: Option<[f64; 2]>,
    look: Option<Look>,
    seed: Option<u64>,
    tool: Option<Tool>,
    side: Option<Side>,
    pan: Option<[f64; 2]>,
    zoom: Option<f64>,
    turn_deg: Option<f64>,
}

/// Scripts that are part of the program. `builtin:NAME`.
pub const BUILTIN: [(&str, &str); 9] = [
    ("smoke", include_str!("scripts/smoke.toml")),
    ("blood", include_str!("scripts/blood.toml")),
    ("lens", include_str!("scripts/lens.toml")),
    ("trocar", include_str!("scripts/trocar.toml")),
    ("instruments", include_str!("scripts/instruments.toml")),
    ("looks", include_str!("scripts/looks.toml")),
    ("signal", include_str!("scripts/signal.toml")),
    ("still", include_str!("scripts/still.toml")),
    ("operation", include_str!("scripts/operation.toml")),
];

const MOST_EVENTS: usize = 64;
const MOST_CUTS: usize = 8;
const LONGEST_S: f64 = 600.0;
const LARGEST_TEXT: u64 = 1 << 20;

impl Script {
    /// Reads `builtin:NAME` or a file.
    pub fn open(name: &str) -> Result<Self, SimError> {
        if let Some(builtin) = name.strip_prefix("builtin:") {
            let found = BUILTIN.iter().find(|(known, _)| *known == builtin);
            let (_, text) = found.ok_or_else(|| SimError::NoBuiltin { name: builtin.to_owned(), known: builtin_names() })?;
            return Script::parse(name, text);
        }
        let path = Path::new(name);
        let failed = |source| SimError::ReadScript { path: path.to_owned(), source };
        let length = std::fs::metadata(path).map_err(failed)?.len();
        if length > LARGEST_TEXT {
            return Err(failed(std::io::Error::other("larger than 1 MB")));
        }
        Script::parse(name, &std::fs::read_to_string(path).map_err(failed)?)
    }

    /// Errors name the line, what is wrong there and what is possible.
    pub fn parse(name: &str, text: &str) -> Result<Self, SimError> {
        let line_of = |at: usize| 1 + text.as_bytes()[..at.min(text.len())].iter().filter(|b| **b == b'\n').count();
        let refuse = |line: usize, reason: String| SimError::Script { name: name.to_owned(), line, reason };
        let raw: RawScript =
            toml::from_str(text).map_err(|error| refuse(error.span().map_or(1, |span| line_of(span.start)), error.message().to_owned()))?;
        if raw.event.len() > MOST_EVENTS {
            return Err(refuse(1, format!("{} events, at most {MOST_EVENTS}: leave some out", raw.event.len())));
        }
        let mut events = Vec::new();
        for event in raw.event {
            let line = line_of(event.span().start);
            events.push(check_event(event.into_inner()).map_err(|reason| refuse(line, reason))?);
        }
        let mut cuts: Vec<u64> =
            events.iter().filter_map(|event| if let Effect::Cut { seed } = event.effect { Some(seed) } else { None }).collect();
        cuts.sort_unstable();
        cuts.dedup();
        if cuts.len() > MOST_CUTS {
            return Err(refuse(1, format!("cuts to {} operations, at most {MOST_CUTS}: use fewer seeds", cuts.len())));
        }
        let end_s = events.iter().map(|event| event.at_s + event.for_s).fold(2.0, f64::max);
        let seconds = raw.seconds.unwrap_or(end_s);
        if !(0.1..=LONGEST_S).contains(&seconds) {
            return Err(refuse(1, format!("seconds = {seconds}: 0.1 to {LONGEST_S} are possible")));
        }
        if end_s > seconds + 1e-9 && raw.seconds.is_some() && events.iter().any(|event| event.at_s + event.for_s > seconds + 1e-9) {
            return Err(refuse(1, format!("the last event ends at {end_s} s, after the loop's {seconds} s: raise seconds")));
        }
        let noise = raw.noise.unwrap_or(1.0);
        if !(0.0..=8.0).contains(&noise) {
            return Err(refuse(1, format!("noise = {noise}: 0 to 8 are possible")));
        }
        Ok(Script {
            name: name.to_owned(),
            seconds,
            still: raw.still.unwrap_or(false),
            noise: noise as f32,
            look: raw.look.unwrap_or_default(),
            default_instruments: raw.default_instruments.unwrap_or(true),
            events,
            text: text.to_owned(),
        })
    }
}

fn builtin_names() -> String {
    BUILTIN.map(|(name, _)| name).join(", ")
}

/// Reason of refusal as text: the caller knows the line.
fn check_event(mut raw: RawEvent) -> Result<Event, String> {
    let within = |key: &str, value: f64, least: f64, most: f64| {
        if (least..=most).contains(&value) { Ok(value) } else { Err(format!("{key} = {value}: {least} to {most} are possible")) }
    };
    let at_s = within("at_s", raw.at_s, 0.0, LONGEST_S)?;
    let for_s = within("for_s", raw.for_s, 0.001, LONGEST_S)?;
    let fade_s = within("fade_s", raw.fade_s.unwrap_or((for_s / 3.0).min(0.6)), 0.0, LONGEST_S)?;
    let amount = within("amount", raw.amount.unwrap_or(0.6), 0.0, 1.0)? as f32;
    let point = |key: &str, point: Option<[f64; 2]>, most: f64| match point {
        Some(at) if at.iter().any(|v| within(key, *v, -most, most).is_err()) => {
            Err(format!("{key} = {at:?}: −{most} to {most} picture heights are possible"))
        }
        other => Ok(other.map(|at| at.map(|v| v as f32))),
    };
    let needs = |key: &str, of: &str| format!("this kind needs {key}: {of}");
    let effect = match raw.kind.as_str() {
        "smoke" => Effect::Smoke { site: point("site", raw.site.take(), 1.0)? },
        "bleeding" => Effect::Bleeding { site: point("site", raw.site.take(), 1.0)? },
        "lens_fog" => Effect::LensFog,
        "droplets" => Effect::Droplets,
        "soiling" => Effect::Soiling,
        "defocus" => Effect::Defocus,
        "motion_blur" => Effect::MotionBlur,
        "out_of_body" => Effect::OutOfBody,
        "camera_menu" => Effect::CameraMenu,
        "pip" => Effect::Pip,
        "look" => Effect::Look { look: raw.look.take().ok_or_else(|| needs("look", "standard, a, b, c, nbi or icg"))? },
        "freeze" => Effect::Freeze,
        "black" => Effect::Black,
        "loss" => Effect::Loss,
        "cut" => Effect::Cut { seed: raw.seed.take().ok_or_else(|| needs("seed", "which other operation is shown"))? },
        "flicker" => Effect::Flicker,
        "interference" => Effect::Interference,
        "instrument" => Effect::Instrument {
            tool: raw.tool.take().ok_or_else(|| needs("tool", "grasper, hook, scissors, clip-applier, irrigator or needle"))?,
            side: raw.side.take().unwrap_or(Side::Right),
        },
        "camera" => Effect::Camera {
            pan: point("pan", raw.pan.take(), 0.4)?.unwrap_or_default(),
            zoom: within("zoom", raw.zoom.take().unwrap_or(1.0), 0.7, 3.0)? as f32,
            turn_deg: within("turn_deg", raw.turn_deg.take().unwrap_or(0.0), -180.0, 180.0)? as f32,
        },
        "noise" => Effect::Noise,
        other => return Err(format!("unknown kind '{other}': the kinds are {KINDS}")),
    };
    let left = [
        ("site", raw.site.is_some()),
        ("look", raw.look.is_some()),
        ("seed", raw.seed.is_some()),
        ("tool", raw.tool.is_some()),
        ("side", raw.side.is_some()),
        ("pan", raw.pan.is_some()),
        ("zoom", raw.zoom.is_some()),
        ("turn_deg", raw.turn_deg.is_some()),
    ];
    match left.iter().find(|(_, given)| *given) {
        Some((key, _)) => Err(format!("'{key}' does not belong to kind '{}': leave it out", raw.kind)),
        None => Ok(Event { effect, at_s, for_s, fade_s, amount }),
    }
}

pub const KINDS: &str = "smoke, bleeding, lens_fog, droplets, soiling, defocus, motion_blur, out_of_body, camera_menu, pip, look, freeze, \
                         black, loss, cut, flicker, interference, instrument, camera, noise";

#[cfg(test)]
mod tests;
