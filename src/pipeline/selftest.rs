//! The self-test's loops: the product's own run, fed with numbered pictures, watched from where they come out.
//!
//! ```text
//!   pattern: ─► capture ─► ring ─► display ──► memory                    internal: the presented picture itself is read
//!                                    │    └──► window ─► ximagesrc ─┐   x11
//!                                    └──► monitor's wire ─► a camera's input ─┴─► witness   cable: any source
//!                                    └─ stamps of each present
//! ```
//! Each scene of the AI is drawn as the number of its picture (`echo`), so that the same look sees which picture is up and which one
//! the overlay answers. What the numbers mean is judged in `guard`; nothing here decides.

mod annotation;
mod echo;
mod external;
mod judge;
mod known_answer;
mod look;
mod machine;
mod pixels;
mod stood_still;

pub use echo::Echo;
pub use external::{ExternalError, Flashes, judge_external, measure};
pub use judge::judge;
pub use machine::{Machine, boot_id, fingerprint, now};
pub use pixels::PixelFault;

use crate::base::clock::{Clock, MonotonicClock};
use crate::base::shutdown::Shutdown;
use crate::capture::{self, CaptureError, PatternSpec, Pull};
use crate::frame::marker::{COLOURS, COLUMNS, ECHO_ROWS, Geometry, ROWS};
use crate::infer::Wanted;
use crate::overlay::OverlayMode;
use crate::pipeline::taps::{Late, PresentStamp, Sight, Taps};
use crate::pipeline::{DisplayChoice, Limit, RunError, Spec};
use crate::record::Report;
use look::{Look, Looker};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

/// Where the pictures are looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Loop {
    /// In memory, as presented.
    Internal,
    /// On the screen of an X server.
    X11,
    /// At an input that the monitor's signal is wired to (`--source` of it).
    Cable(String),
}

/// What was seen of a run.
#[derive(Debug)]
pub struct Observed {
    pub report: Report,
    pub presents: Vec<PresentStamp>,
    pub sights: Vec<Sight>,
    /// What the AI said too late to be shown at all.
    pub late: Vec<Late>,
    /// The overlay answers under the marker.
    pub has_echo: bool,
    /// When the witness first could read the marker; of the internal loop, when it is warm.
    pub since_ns: u64,
    /// Mean time between two looks, ns; 0: each present was looked at.
    pub look_every_ns: u64,
    /// Means of the colour bars where they were last looked at.
    pub colours: Option<[[f32; 3]; COLOURS]>,
    /// First pixel of what was looked at, in the picture that is shown.
    pub looked_from: [usize; 2],
    /// The pictures that were sent.
    pub pattern: PatternSpec,
}

/// Looks at an X screen so often a second, at least.
const LOOKS_A_SECOND: u32 = 250;
/// Pictures before the witness stands and after it has gone count for nothing.
const LEAD_S: f64 = 0.7;
/// Pictures of the internal loop that are not measured: the first ones meet cold caches.
const WARM_UP: usize = 30;
/// How much more of the screen than the marker is looked at, in blocks on each side.
const MARGIN_BLOCKS: f32 = 2.0;
/// Colours are looked at in every n-th look.
pub(super) const COLOURS_EVERY: usize = 60;

#[derive(Debug, thiserror::Error)]
pub enum LoopError {
    #[error(transparent)]
    Run(#[from] RunError),
    #[error("the self-test's pictures: {0}")]
    Pattern(CaptureError),
    #[error("the witness of the {what} loop: {source}")]
    Witness { what: &'static str, source: CaptureError },
    #[error(
        "the loop x11 needs an X display: set DISPLAY, or start one (xvfb-run -a -s '-screen 0 1920x1080x24' keyhole selftest --loop x11)"
    )]
    NoDisplay,
    #[error("the marker was not found {place} within {seconds:.0} s; see that {remedy}")]
    NotFound { place: &'static str, seconds: f64, remedy: &'static str },
    #[error("the witness thread ended by a mistake of its own (see the log)")]
    Lost,
}

/// Runs `spec` on numbered pictures (`pattern`, a `pattern:` source) until `frames` of them were watched.
/// Must be called on the main thread where a window is opened.
pub fn observe(mut spec: Spec, what: &Loop, pattern: &str, frames: u64) -> Result<Observed, LoopError> {
    let shape = PatternSpec::parse(pattern).map_err(LoopError::Pattern)?;
    let lead = if *what == Loop::Internal { WARM_UP as u64 } else { (LEAD_S * shape.rate.per_second()) as u64 };
    let total = frames + lead;
    // A scene that arrives in time has its frame presented again.
    let echo = Echo::of(&shape);
    let has_echo = echo.is_some();
    let (taps, noted) = Taps::new(3 * total as usize, *what == Loop::Internal, echo);
    spec.source = pattern.to_owned();
    spec.limit = Limit { frames: Some(total), seconds: None };
    (spec.overlay, spec.is_overlay_asked, spec.hud, spec.is_hud_asked) = (OverlayMode::Off, true, false, true);
    // The verdict is on the processor's engine.
    spec.config.infer.backend = Wanted::Cpu;
    spec.taps = Some(taps);
    let witness = match what {
        Loop::Internal => None,
        Loop::X11 => {
            std::env::var_os("DISPLAY").filter(|name| !name.is_empty()).ok_or(LoopError::NoDisplay)?;
            (spec.display, spec.config.display.fullscreen) = (DisplayChoice::Window, true);
            Some(Witness::of_screen(has_echo))
        }
        Loop::Cable(source) => {
            spec.config.display.fullscreen = true;
            Some(Witness::of_input(source.clone()))
        }
    };
    let stop = Shutdown::default();
    let watching = witness.map(|witness| witness.start(stop.clone())).transpose()?;
    let report = crate::pipeline::run_with(spec, false);
    stop.request();
    let watched = watching.map(|thread| thread.join().map_err(|_| LoopError::Lost)).transpose()?;
    let (report, _) = report?;
    let (presents, inside, late) = noted.take();
    let (look_every_ns, watched) = match watched.transpose()? {
        None => {
            let colours = inside.iter().rev().find_map(|sight| sight.colours);
            let since_ns = presents.iter().filter(|present| !present.is_again).nth(WARM_UP).map_or(0, |present| present.capture_ns);
            (0, Watched { sights: inside, since_ns, colours, looked_from: [0; 2] })
        }
        Some(watched) => (watched.look_every_ns(), watched),
    };
    let Watched { sights, since_ns, colours, looked_from } = watched;
    Ok(Observed { report, presents, sights, late, has_echo, since_ns, look_every_ns, colours, looked_from, pattern: shape })
}

/// Looks at what comes out, on a thread of its own.
struct Witness {
    what: &'static str,
    /// Of the whole of what can be seen.
    wide: String,
    /// Of the marker's rectangle alone, where so much less can be looked at.
    narrow: Option<fn(Corners) -> String>,
    /// The marker's rows, and those of the answer under it.
    rows: usize,
}

/// First and last pixel: x, y, x, y.
type Corners = [usize; 4];

#[derive(Default)]
struct Watched {
    sights: Vec<Sight>,
    since_ns: u64,
    colours: Option<[[f32; 3]; COLOURS]>,
    looked_from: [usize; 2],
}

impl Watched {
    fn look_every_ns(&self) -> u64 {
        match self.sights.as_slice() {
            [first, .., last] => (last.at_ns - first.at_ns) / (self.sights.len() as u64 - 1),
            _ => 0,
        }
    }
}

impl Witness {
    fn of_screen(has_echo: bool) -> Self {
        let narrow = |[left, top, right, bottom]: Corners| {
            format!(
                "gst:ximagesrc use-damage=false show-pointer=false startx={left} starty={top} endx={right} endy={bottom} ! \
                 video/x-raw,framerate={LOOKS_A_SECOND}/1"
            )
        };
        let wide = "gst:ximagesrc use-damage=false show-pointer=false ! video/x-raw,framerate=10/1".to_owned();
        Witness { what: "x11", wide, narrow: Some(narrow), rows: ROWS + if has_echo { ECHO_ROWS } else { 0 } }
    }

    fn of_input(source: String) -> Self {
        Witness { what: "cable", wide: source, narrow: None, rows: ROWS }
    }

    fn start(self, stop: Shutdown) -> Result<JoinHandle<Result<Watched, LoopError>>, LoopError> {
        let watch = move || self.watch(&stop);
        Ok(std::thread::Builder::new().name("witness".into()).spawn(watch).map_err(RunError::Thread)?)
    }

    fn watch(&self, stop: &Shutdown) -> Result<Watched, LoopError> {
        let Some(corners) = self.find(stop)? else {
            let place = if self.what == "x11" { "on the screen" } else { "at the input" };
            let remedy = if self.what == "x11" { "nothing covers the window" } else { "the monitor's signal is wired to this input" };
            return Err(LoopError::NotFound { place, seconds: LEAD_S, remedy });
        };
        let uri = self.narrow.map_or_else(|| self.wide.clone(), |narrow| narrow(corners));
        let mut source = self.open(&uri)?;
        let (mut watched, mut looker) = (Watched::default(), Looker::new());
        if self.narrow.is_some() {
            watched.looked_from = [corners[0], corners[1]];
        }
        while !stop.is_requested() {
            let Pull::Picture(picture) = source.pull(Duration::from_millis(50)).map_err(|source| self.failed(source))? else { continue };
            // A screen is grabbed after the stamp that its picture bears: when it is here is later, and never too early.
            let at_ns = if self.narrow.is_some() { MonotonicClock.now_ns() } else { picture.arrival_ns };
            let Look { seen, echo, colours } = looker.look(&picture, watched.sights.len().is_multiple_of(COLOURS_EVERY));
            if watched.since_ns == 0 && seen.is_ok() {
                watched.since_ns = at_ns;
            }
            watched.colours = colours.or(watched.colours);
            watched.sights.push(Sight { at_ns, seen, echo, colours: None });
        }
        Ok(watched)
    }

    /// Where the marker lies; None: it was not seen before the run ended.
    fn find(&self, stop: &Shutdown) -> Result<Option<Corners>, LoopError> {
        let (mut source, mut looker) = (self.open(&self.wide)?, Looker::new());
        while !stop.is_requested() {
            let Pull::Picture(picture) = source.pull(Duration::from_millis(50)).map_err(|source| self.failed(source))? else { continue };
            if let Ok(reading) = looker.look(&picture, false).seen {
                return Ok(Some(corners(&reading.geometry, self.rows, [picture.layout.width, picture.layout.height])));
            }
        }
        Ok(None)
    }

    fn open(&self, uri: &str) -> Result<Box<dyn capture::Source>, LoopError> {
        capture::open(uri, &capture::Settings::default(), Arc::new(MonotonicClock)).map_err(|source| self.failed(source))
    }

    fn failed(&self, source: CaptureError) -> LoopError {
        LoopError::Witness { what: self.what, source }
    }
}

/// The rectangle of the marker and of what lies under it, `rows` in all, with a margin, within a picture of `size`.
fn corners(geometry: &Geometry, rows: usize, size: [usize; 2]) -> Corners {
    let edges = [(0.0, 0.0), (COLUMNS as f32, 0.0), (0.0, rows as f32), (COLUMNS as f32, rows as f32)];
    let outwards = |at: f32, end: f32| if at == 0.0 { -MARGIN_BLOCKS } else { end + MARGIN_BLOCKS };
    let points = edges.map(|(x, y)| geometry.at(outwards(x, COLUMNS as f32), outwards(y, rows as f32)));
    let span = |values: [f32; 4], end: usize| {
        let (least, most) = values.into_iter().fold((f32::MAX, f32::MIN), |(least, most), v| (least.min(v), most.max(v)));
        (least.max(0.0) as usize, (most.max(0.0) as usize).min(end - 1))
    };
    let ((left, right), (top, bottom)) = (span(points.map(|p| p.0), size[0]), span(points.map(|p| p.1), size[1]));
    [left, top, right, bottom]
}
