//! Stereo from two inputs: `stereo:LEFT|RIGHT`, and `|eye=right` where the right one is analysed. Pictures that were captured
//! within half a period of each other become one, side by side. Which eye is analysed is not this file's matter.
//!
//! ```text
//!   left ──► copied into its half ─┐ stamps at most half a period apart ─► Picture (both)
//!   right ─► copied into its half ─┘ else the older one waits for nobody: passed over, counted
//!   one lost: EyeLost, its half black, the other goes on alone ─ a picture ─► EyeBack      both lost: Lost ─► Back
//! ```

use super::stereo::{Eye, Packing, eye_layout, unparted};
use super::{CaptureError, Picture, Planes, Pull, SignalEvent, Source, SourceInfo};
use crate::base::clock::Clock;
use crate::frame::{FrameLayout, PixelFormat, Range};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

const SCHEME: &str = "stereo:";
/// Rates that differ by less are the same: each side says its own as well as it can.
const SAME_RATE: f64 = 0.01;

/// What `stereo:LEFT|RIGHT` says.
#[derive(Debug, PartialEq)]
pub(super) struct Two<'a> {
    pub left: &'a str,
    pub right: &'a str,
    pub eye: Eye,
}

/// None where `uri` does not name two inputs.
pub(super) fn parse(uri: &str) -> Result<Option<Two<'_>>, CaptureError> {
    let Some(rest) = uri.strip_prefix(SCHEME) else { return Ok(None) };
    let refuse = |reason: &str| CaptureError::Input { uri: uri.to_owned(), reason: reason.to_owned() };
    let (rest, eye) = match rest.rsplit_once("|eye=") {
        Some((rest, "left")) => (rest, Eye::Left),
        Some((rest, "right")) => (rest, Eye::Right),
        Some(_) => return Err(refuse("write eye=left or eye=right")),
        None => (rest, Eye::Left),
    };
    let two: Vec<&str> = rest.split('|').map(str::trim).collect();
    let &[left, right] = two.as_slice() else { return Err(refuse("write it as stereo:LEFT|RIGHT, each a source of its own")) };
    if left == right || [left, right].iter().any(|side| side.is_empty() || side.starts_with(SCHEME)) {
        return Err(refuse("LEFT and RIGHT are two different sources, as stereo:decklink:0|decklink:1"));
    }
    Ok(Some(Two { left, right, eye }))
}

/// When a picture is, and what it adds to the count.
#[derive(Debug, Clone, Copy)]
struct Waiting {
    /// Capture stamp, or when it is due.
    stamp_ns: u64,
    decode_ns: Option<u64>,
}

struct Input {
    eye: Eye,
    source: Box<dyn Source>,
    layout: FrameLayout,
    /// Copied into its half, and not shown yet.
    waiting: Option<Waiting>,
    lost: bool,
    last_ns: u64,
    /// It will never give a picture again.
    is_over: bool,
}

pub(super) struct PairSource {
    info: SourceInfo,
    clock: Arc<dyn Clock>,
    inputs: [Input; 2],
    /// Of both eyes together.
    layout: FrameLayout,
    bytes: Vec<u8>,
    events: VecDeque<SignalEvent>,
    skipped: u32,
    is_damaged: bool,
    first_ns: Option<u64>,
}

impl PairSource {
    /// Refuses two sources that are not of one kind, format and rate, and formats that do not fit side by side.
    pub fn new(uri: &str, [left, right]: [Box<dyn Source>; 2], clock: Arc<dyn Clock>) -> Result<Self, CaptureError> {
        let refuse = |reason: String| CaptureError::Input { uri: uri.to_owned(), reason };
        let (a, b) = (left.info().clone(), right.info().clone());
        let layout_of = |info: &SourceInfo| {
            FrameLayout::new(info.format, info.colorimetry, info.width, info.height)
                .map_err(|source| CaptureError::Layout { thing: info.uri.clone(), source })
        };
        let (eye, other) = (layout_of(&a)?, layout_of(&b)?);
        if a.live != b.live {
            return Err(refuse("one input is live and the other a recording: two of one kind can be paired".into()));
        }
        if eye != other || (a.fps - b.fps).abs() > SAME_RATE * a.fps {
            let words = |info: &SourceInfo| format!("{}×{} {} at {:.2}", info.width, info.height, info.format.name(), info.fps);
            return Err(refuse(format!("the left eye is {}, the right one {}: set both to the same", words(&a), words(&b))));
        }
        let layout = together(&eye).map_err(refuse)?;
        let info = SourceInfo { uri: uri.to_owned(), width: layout.width, latency_ns: a.latency_ns.max(b.latency_ns), ..a };
        let input = |eye_is, source| Input { eye: eye_is, source, layout: eye, waiting: None, lost: false, last_ns: 0, is_over: false };
        let mut pair = PairSource {
            info,
            clock,
            inputs: [input(Eye::Left, left), input(Eye::Right, right)],
            layout,
            bytes: vec![0; layout.size],
            events: VecDeque::with_capacity(8),
            skipped: 0,
            is_damaged: false,
            first_ns: None,
        };
        [0, 1].into_iter().for_each(|at| pair.blacken(at));
        Ok(pair)
    }

    fn tolerance_ns(&self) -> u64 {
        (0.5e9 / self.info.fps.max(1.0)) as u64
    }

    fn blacken(&mut self, at: usize) {
        half(&self.layout, at, |plane, from, len| blacken(&self.layout, plane, &mut self.bytes[from..from + len]));
    }

    /// Asks one input once. Returns whether anything came.
    fn ask(&mut self, at: usize, at_most: Duration) -> Result<bool, CaptureError> {
        let input = &mut self.inputs[at];
        let pulled = match input.source.pull(at_most) {
            Ok(pulled) => pulled,
            Err(error) if self.info.live => return Err(error),
            Err(error) => {
                input.is_over = true;
                self.lose(at, error.to_string());
                return Ok(true);
            }
        };
        match pulled {
            Pull::Picture(picture) => {
                let (layout, skipped, is_damaged) = (picture.layout, picture.skipped, picture.is_damaged);
                let waiting = Waiting { stamp_ns: picture.due_ns.unwrap_or(picture.arrival_ns), decode_ns: picture.decode_ns };
                let fits = layout == input.layout && eye_layout(&self.layout, Packing::SideBySide) == Some(layout);
                if let (true, Some(planes)) = (fits, picture.planes.here()) {
                    let rows = layout.planes().iter().zip(planes);
                    let mut rows =
                        rows.flat_map(|(plane, from)| (0..plane.rows).map(move |row| &from.data[row * from.stride..][..plane.row_bytes]));
                    half(&self.layout, at, |_, from, len| {
                        if let Some(row) = rows.next() {
                            self.bytes[from..from + len].copy_from_slice(row);
                        }
                    });
                }
                self.skipped = self.skipped.saturating_add(skipped);
                self.is_damaged |= is_damaged;
                if fits { self.arrived(at, waiting) } else { self.changed(at, layout) }
            }
            Pull::Event(SignalEvent::Lost { reason }) => self.lose(at, reason),
            // What is back is said with its first picture, and a format when both have it.
            Pull::Event(SignalEvent::Back { .. } | SignalEvent::Format { .. }) => {}
            Pull::Event(SignalEvent::Rate { to_fps, .. }) if at == 0 => {
                self.events.push_back(SignalEvent::Rate { from_fps: std::mem::replace(&mut self.info.fps, to_fps), to_fps });
            }
            Pull::Event(event) if at == 0 || matches!(event, SignalEvent::Gap { .. }) => self.events.push_back(event),
            Pull::Event(_) => {}
            Pull::Idle => return Ok(false),
            Pull::End => {
                self.inputs[at].is_over = true;
                self.lose(at, "it has ended".into());
            }
        }
        Ok(true)
    }

    fn arrived(&mut self, at: usize, waiting: Waiting) {
        let input = &mut self.inputs[at];
        let after_ms = waiting.stamp_ns.saturating_sub(input.last_ns) / 1_000_000;
        (input.waiting, input.last_ns) = (Some(waiting), waiting.stamp_ns);
        if std::mem::take(&mut input.lost) {
            let eye = input.eye;
            let other = &self.inputs[1 - at];
            if other.lost {
                self.events.push_back(SignalEvent::Back { after_ms });
                self.events.push_back(SignalEvent::EyeLost { eye: other.eye, reason: "no picture yet".into() });
            } else {
                self.events.push_back(SignalEvent::EyeBack { eye, after_ms });
            }
        }
    }

    /// One eye has another format than the whole: it stands aside until the other has it too.
    fn changed(&mut self, at: usize, layout: FrameLayout) {
        self.inputs[at].layout = layout;
        let words = |layout: &FrameLayout| format!("{}×{} {}", layout.width, layout.height, layout.format.name());
        let made = if self.inputs[1 - at].layout == layout { together(&layout) } else { Err(format!("it is {} now", words(&layout))) };
        match made {
            // As it was before it went astray: its next picture is shown.
            Ok(whole) if whole == self.layout => {}
            Ok(whole) => {
                self.events.push_back(SignalEvent::Format { from: words(&self.layout), to: words(&whole) });
                (self.layout, self.bytes) = (whole, vec![0; whole.size]);
                (self.info.width, self.info.height, self.info.format) = (whole.width, whole.height, whole.format);
                self.info.colorimetry = whole.colorimetry;
                [0, 1].into_iter().for_each(|at| self.blacken(at));
                self.inputs.iter_mut().for_each(|input| input.waiting = None);
            }
            Err(reason) => self.lose(at, reason),
        }
    }

    fn lose(&mut self, at: usize, reason: String) {
        let input = &mut self.inputs[at];
        input.waiting = None;
        if std::mem::replace(&mut input.lost, true) {
            return;
        }
        let eye = input.eye;
        self.blacken(at);
        self.events.push_back(if self.inputs[1 - at].lost {
            SignalEvent::Lost { reason: format!("both eyes are lost; the {} one: {reason}", eye.name()) }
        } else {
            SignalEvent::EyeLost { eye, reason }
        });
    }

    /// What is to be shown now, if anything is.
    fn take_pair(&mut self) -> Option<(u64, Option<u64>)> {
        let tolerance_ns = self.tolerance_ns();
        let [left, right] = &mut self.inputs;
        let (stamp_ns, decode_ns) = match (left.waiting, right.waiting) {
            (Some(l), Some(r)) if l.stamp_ns.abs_diff(r.stamp_ns) > tolerance_ns => {
                // The older one's partner did not come and will not.
                if l.stamp_ns < r.stamp_ns {
                    left.waiting = None
                } else {
                    right.waiting = None
                };
                self.skipped = self.skipped.saturating_add(1);
                return None;
            }
            // The earlier stamp: no delay is hidden. A recording is due when both are.
            (Some(l), Some(r)) if self.info.live => (l.stamp_ns.min(r.stamp_ns), l.decode_ns.max(r.decode_ns)),
            (Some(l), Some(r)) => (l.stamp_ns.max(r.stamp_ns), l.decode_ns.max(r.decode_ns)),
            (Some(alone), None) if right.lost => (alone.stamp_ns, alone.decode_ns),
            (None, Some(alone)) if left.lost => (alone.stamp_ns, alone.decode_ns),
            _ => return None,
        };
        (left.waiting, right.waiting) = (None, None);
        Some((stamp_ns, decode_ns))
    }
}

impl Source for PairSource {
    fn info(&self) -> &SourceInfo {
        &self.info
    }

    fn pull(&mut self, at_most: Duration) -> Result<Pull<'_>, CaptureError> {
        let until_ns = self.clock.now_ns().saturating_add(at_most.as_nanos() as u64);
        let mut idle = 0;
        loop {
            if let Some(event) = self.events.pop_front() {
                return Ok(Pull::Event(event));
            }
            if self.inputs.iter().all(|input| input.is_over) {
                return Ok(Pull::End);
            }
            if let Some((stamp_ns, decode_ns)) = self.take_pair() {
                let skipped = std::mem::take(&mut self.skipped);
                let pts_ns = stamp_ns.saturating_sub(*self.first_ns.get_or_insert(stamp_ns));
                let due_ns = (!self.info.live).then_some(stamp_ns);
                return Ok(Pull::Picture(Picture {
                    layout: self.layout,
                    planes: Planes::of(&self.layout, &self.bytes),
                    pts_ns,
                    due_ns,
                    arrival_ns: stamp_ns,
                    decode_ns,
                    skipped,
                    is_damaged: std::mem::take(&mut self.is_damaged),
                }));
            }
            if idle > 0 {
                return Ok(Pull::Idle);
            }
            let now_ns = self.clock.now_ns();
            let left = Duration::from_nanos(until_ns.saturating_sub(now_ns));
            // A lost input is only looked at while the other one is there.
            let is_waited_for = |input: &Input| !input.is_over && input.waiting.is_none();
            let waits = [0, 1].map(|at| is_waited_for(&self.inputs[at]));
            let mut came = false;
            for at in [0, 1].into_iter().filter(|&at| waits[at]) {
                let is_looked_at = self.inputs[at].lost && !self.inputs[1 - at].lost;
                came |= self.ask(at, if is_looked_at { Duration::ZERO } else { left / 2 })?;
            }
            idle += usize::from(!came);
        }
    }
}

/// The layout of two eyes side by side.
fn together(eye: &FrameLayout) -> Result<FrameLayout, String> {
    let whole = FrameLayout::new(eye.format, eye.colorimetry, 2 * eye.width, eye.height).map_err(|error| error.to_string())?;
    if eye_layout(&whole, Packing::SideBySide) == Some(*eye) { Ok(whole) } else { Err(unparted(&whole, Packing::SideBySide)) }
}

/// Each row of one half, plane by plane: the plane's number, where the row begins in the whole, its length.
fn half(whole: &FrameLayout, at: usize, mut row: impl FnMut(usize, usize, usize)) {
    for (index, plane) in whole.planes().iter().enumerate() {
        let len = plane.row_bytes / 2;
        (0..plane.rows).for_each(|y| row(index, plane.offset + y * plane.stride + at * len, len));
    }
}

/// One row of black.
pub(super) fn blacken(layout: &FrameLayout, plane: usize, row: &mut [u8]) {
    let luma = if layout.colorimetry.range == Range::Limited { 16u8 } else { 0 };
    let fill = |row: &mut [u8], pattern: &[u8]| row.iter_mut().zip(pattern.iter().cycle()).for_each(|(byte, value)| *byte = *value);
    match (layout.format, plane) {
        (PixelFormat::Rgb | PixelFormat::Bgrx | PixelFormat::Bgra, _) => row.fill(0),
        (PixelFormat::Yuy2, _) => fill(row, &[luma, 128]),
        (PixelFormat::Uyvy, _) => fill(row, &[128, luma]),
        (PixelFormat::Nv12 | PixelFormat::I420, 0) => row.fill(luma),
        (PixelFormat::Nv12 | PixelFormat::I420, _) => row.fill(128),
        // Ten bits in the upper bits of sixteen.
        (PixelFormat::P010, 0) => fill(row, &[0, luma]),
        (PixelFormat::P010, _) => fill(row, &[0, 128]),
        (PixelFormat::V210, _) => {
            let (y, c) = (u32::from(luma) << 2, 512u32);
            let words = [c | y << 10 | c << 20, y | c << 10 | y << 20];
            let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
            fill(row, &bytes);
        }
    }
}
