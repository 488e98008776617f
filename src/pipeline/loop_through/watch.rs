//! The reader: looks at the spare input on a thread of its own, of low priority, finds the code, and says what becomes of the delay. It
//! shares nothing with the frame path but stamps, and whatever happens to its input is said and waited for here.

use super::stamps::{Place, Stamps};
use crate::base::clock::Clock;
use crate::base::hud::AiTrouble;
use crate::base::shutdown::Shutdown;
use crate::base::stats::Delays;
use crate::capture::{self, Picture, PlaneRef, Pull, Source};
use crate::frame::marker::{BorderSpot, Capture, NUMBERS};
use crate::frame::{FrameLayout, PixelFormat};
use crate::guard::{Cause, Code, Course, Creep, Word};
use crossbeam_channel::Sender;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// More urgent than nothing but what is not urgent at all.
const NICE: i32 = 10;
const PULL: Duration = Duration::from_millis(50);
/// An input that cannot be opened is tried again so often.
const REOPEN_NS: u64 = 5_000_000_000;
/// The code is there to be read, and was not for so long: nobody watches the delay.
const UNWATCHED_NS: u64 = 10_000_000_000;
/// A present is no news any more after so long.
const PRESENT_NS: u64 = 2_000_000_000;
/// A number that was shown longer ago is none of this path.
const MOST_DELAY_NS: u64 = 5_000_000_000;
/// A driver's stamp is of the beginning of its picture: it may stand before the end of the present that it shows.
const AHEAD_NS: u64 = 40_000_000;
/// After so many pictures that could not be read it is looked for anew.
const LOST_AFTER: u32 = 30;
/// How often it is looked for where it is expected, and everywhere.
const FIND_NS: u64 = 200_000_000;
const FIND_EVERYWHERE_NS: u64 = 2_000_000_000;
/// How far from where it is expected, in parts of the picture: for overscan.
const NEAR: f32 = 0.06;
const PUBLISH_NS: u64 = 2_000_000_000;

/// What was found so far.
#[derive(Debug, Clone, Default)]
pub struct Found {
    pub state: String,
    /// Shown → seen at the input, and captured → seen at the input.
    pub delay: Delays,
    pub since_capture: Delays,
    pub read: u64,
    pub unreadable: u64,
    /// Numbers that were shown and never seen.
    pub missing: u64,
    /// Pictures of the input with the same number again.
    pub repeated: u64,
    pub steps: u64,
    /// ms an hour, with its interval.
    pub trend: Option<[f64; 3]>,
    pub forecast_h: Option<f64>,
    pub limit_ms: f64,
}

pub struct Watcher {
    pub uri: String,
    pub settings: capture::Settings,
    pub stamps: Arc<Stamps>,
    pub clock: Arc<dyn Clock>,
    pub stop: Shutdown,
    pub words: Sender<Word>,
    pub creep: Creep,
    pub found: Arc<Mutex<Found>>,
}

impl Watcher {
    /// Looks until it is stopped.
    pub fn run(self) {
        // This thread, and those that its source starts.
        let _ = rustix::process::setpriority_process(None, NICE);
        let now_ns = self.clock.now_ns();
        let is_device = !self.uri.starts_with("gst:");
        let limit_ms = self.creep.limit_ms();
        let eye =
            Eye { stamps: self.stamps, spot: None, expected: None, unread: 0, was_read: false, last: None, find_ns: 0, everywhere_ns: 0 };
        let mut watch = Watch {
            words: self.words,
            creep: self.creep,
            eye,
            found: Found { limit_ms, state: "looking for the code".into(), ..Found::default() },
            trouble: None,
            since_ns: now_ns,
            is_unwatched: false,
            luma: Vec::new(),
        };
        let (mut source, mut reopen_ns, mut publish_ns): (Option<Box<dyn Source>>, u64, u64) = (None, 0, 0);
        while !self.stop.is_requested() {
            let now_ns = self.clock.now_ns();
            if source.is_none() && now_ns >= reopen_ns {
                match capture::open(&self.uri, &self.settings, self.clock.clone()) {
                    Ok(opened) => (source, watch.trouble) = (Some(opened), None),
                    Err(error) => {
                        watch.trouble = Some(error.to_string());
                        reopen_ns = self.clock.now_ns() + REOPEN_NS;
                    }
                }
            }
            let is_over = match source.as_mut().map(|source| source.pull(PULL)) {
                Some(Ok(Pull::Picture(picture))) => {
                    // A device says when its picture was taken; what is described by hand says nothing that could be trusted, and
                    // its picture is not older than now.
                    let at_ns = if is_device { picture.due_ns.unwrap_or(picture.arrival_ns) } else { self.clock.now_ns() };
                    watch.look(&picture, at_ns);
                    false
                }
                Some(Ok(Pull::Event(event))) => {
                    watch.hear(&event);
                    false
                }
                Some(Ok(Pull::Idle)) => false,
                Some(Ok(Pull::End)) => {
                    watch.trouble = Some("its input has ended".into());
                    true
                }
                Some(Err(error)) => {
                    watch.trouble = Some(error.to_string());
                    true
                }
                None => {
                    self.clock.sleep_until_ns(now_ns + PULL.as_nanos() as u64);
                    false
                }
            };
            if is_over {
                source = None;
                reopen_ns = self.clock.now_ns() + REOPEN_NS;
            }
            let now_ns = self.clock.now_ns();
            watch.pass(now_ns);
            if now_ns >= publish_ns {
                publish_ns = now_ns + PUBLISH_NS;
                watch.publish(&self.found);
            }
        }
        watch.publish(&self.found);
    }
}

/// What is said of the input and of the delay.
struct Watch {
    words: Sender<Word>,
    creep: Creep,
    eye: Eye,
    found: Found,
    /// What the input's own trouble is.
    trouble: Option<String>,
    /// When the delay was last watched, or had not to be.
    since_ns: u64,
    is_unwatched: bool,
    /// Of a picture that has to be unpacked.
    luma: Vec<u8>,
}

impl Watch {
    fn look(&mut self, picture: &Picture<'_>, at_ns: u64) {
        let layout = &picture.layout;
        let Some([plane, ..]) = picture.planes.here() else {
            self.found.unreadable += 1;
            return;
        };
        if layout.format == PixelFormat::V210 {
            unpack_v210(plane, layout, &mut self.luma);
        }
        let as_it_is = Capture::of_plane(layout.format, plane.data, plane.stride, layout.width, layout.height);
        let Some(capture) = as_it_is.or_else(|| Capture::luma(&self.luma, layout.width, layout.width, layout.height)) else {
            self.found.unreadable += 1;
            return;
        };
        match self.eye.look(&capture, at_ns) {
            Look::Nothing => {}
            Look::Unread => self.found.unreadable += 1,
            Look::Again => {
                self.found.repeated += 1;
                self.since_ns = at_ns;
            }
            Look::Number { delay_ns, since_capture_ns, missing } => {
                self.found.read += 1;
                self.found.missing += missing;
                self.since_ns = at_ns;
                let Some((delay_ns, since_capture_ns)) = delay_ns.zip(since_capture_ns) else { return };
                self.found.delay.record_ns(delay_ns);
                self.found.since_capture.record_ns(since_capture_ns);
                let (words, steps) = (&self.words, &mut self.found.steps);
                self.creep.see(at_ns, delay_ns as f64 / 1e6, &mut |course| say(words, steps, course));
            }
        }
    }

    fn hear(&mut self, event: &capture::SignalEvent) {
        match event {
            capture::SignalEvent::Lost { reason } => self.trouble = Some(reason.clone()),
            capture::SignalEvent::Back { .. } => self.trouble = None,
            _ => {}
        }
    }

    fn pass(&mut self, now_ns: u64) {
        let (words, steps) = (&self.words, &mut self.found.steps);
        self.creep.pass(now_ns, &mut |course| say(words, steps, course));
        let is_live = self.eye.stamps.last_present_ns().is_some_and(|ns| now_ns.saturating_sub(ns) < PRESENT_NS);
        let is_drawn = is_live && self.eye.stamps.place().is_some();
        if !is_drawn {
            // There is nothing to be read, whatever the input does.
            self.since_ns = now_ns;
        }
        let is_unwatched = now_ns.saturating_sub(self.since_ns) > UNWATCHED_NS;
        if is_unwatched != self.is_unwatched {
            self.is_unwatched = is_unwatched;
            let code = Code::DelayNotWatched;
            let why = self.trouble.as_deref().unwrap_or("the code is not found in its picture");
            let word = if is_unwatched {
                Word::Raise { cause: code.into(), words: format!("loop-through: the delay is not watched: {why}") }
            } else {
                Word::Clear { code, part: 0 }
            };
            let _ = self.words.try_send(word);
        }
        let state = match &self.trouble {
            _ if !is_live => "no picture to watch",
            _ if !is_drawn => "no room for the code",
            Some(_) => "",
            None if is_unwatched => "the code is not found",
            None if self.creep.is_over() => "over the limit",
            None if self.creep.is_creeping() => "creeping",
            None if self.found.read > 0 => "watched",
            None => "looking for the code",
        };
        let said = if state.is_empty() { self.trouble.as_deref().unwrap_or_default() } else { state };
        if self.found.state != said {
            self.found.state = said.to_owned();
        }
    }

    fn publish(&mut self, found: &Mutex<Found>) {
        self.found.trend = self.creep.trend().map(|trend| [trend.slope, trend.low, trend.high]);
        self.found.forecast_h = self.creep.forecast_h();
        *found.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) = self.found.clone();
    }
}

/// Luma out of the words of v210, whose bytes are no samples: the upper eight bits of each.
fn unpack_v210(plane: &PlaneRef<'_>, layout: &FrameLayout, luma: &mut Vec<u8>) {
    luma.clear();
    for row in plane.data.chunks(plane.stride.max(1)).take(layout.height) {
        let end = luma.len() + layout.width;
        // Four words of three samples: Cb Y Cr, Y Cb Y, Cr Y Cb, Y Cr Y.
        for words in row.as_chunks::<8>().0.iter().take(layout.width.div_ceil(3)) {
            let [first, second] = [0, 4].map(|at| u32::from_le_bytes([words[at], words[at + 1], words[at + 2], words[at + 3]]));
            luma.extend([first >> 12, second >> 2, second >> 22].map(|sample| sample as u8));
        }
        luma.resize(end, 0);
    }
}

/// To the owner of the state; in plain words.
fn say(words: &Sender<Word>, steps: &mut u64, course: Course) {
    let raise = |code: Code, text: String| {
        let _ = words.try_send(Word::Raise { cause: Cause::from(code), words: text });
    };
    let clear = |code: Code| {
        let _ = words.try_send(Word::Clear { code, part: 0 });
    };
    let trouble = AiTrouble::DelayOverLimit;
    match course {
        Course::Creeping { ms_an_hour, low, high, now_ms, limit_in_h } => raise(
            Code::DelayCreeping,
            format!(
                "the delay to the monitor rises by {ms_an_hour:.2} ms an hour ({low:.2} to {high:.2}): {now_ms:.1} ms now, its limit in {limit_in_h:.1} h"
            ),
        ),
        Course::Calm => clear(Code::DelayCreeping),
        Course::Stepped { before_ms, now_ms } => {
            *steps += 1;
            raise(Code::DelayStepped, format!("the delay to the monitor was {before_ms:.1} ms and is {now_ms:.1} ms now"));
            clear(Code::DelayStepped);
        }
        Course::Over { now_ms, limit_ms } => {
            let text = format!("the delay to the monitor is {now_ms:.1} ms, its limit is {limit_ms:.1} ms");
            raise(Code::DelayOverLimit, text.clone());
            let _ = words.try_send(Word::Hold { trouble, words: text });
        }
        Course::Under { .. } => {
            clear(Code::DelayOverLimit);
            let _ = words.try_send(Word::Release { trouble });
        }
    }
}

/// What one picture of the input says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Look {
    /// No code stands anywhere.
    Nothing,
    Unread,
    /// The number of the picture before.
    Again,
    /// Another one. The delays are those of its first sight: None where the picture before was not read, so that it may have been
    /// there already.
    Number {
        delay_ns: Option<u64>,
        since_capture_ns: Option<u64>,
        missing: u64,
    },
}

/// Finds and reads the code.
struct Eye {
    stamps: Arc<Stamps>,
    spot: Option<BorderSpot>,
    /// Where it was drawn when it was found.
    expected: Option<Place>,
    unread: u32,
    was_read: bool,
    last: Option<u32>,
    find_ns: u64,
    everywhere_ns: u64,
}

impl Eye {
    fn look(&mut self, capture: &Capture<'_>, at_ns: u64) -> Look {
        let Some(place) = self.stamps.place() else {
            (self.spot, self.expected, self.was_read) = (None, None, false);
            return Look::Nothing;
        };
        if self.expected != Some(place) {
            (self.spot, self.expected, self.find_ns) = (None, Some(place), 0);
        }
        let number = self.number(capture, &place, at_ns);
        let stamp = number.and_then(|number| Some((number, self.stamps.of(number)?)));
        let is_plausible = |shown_ns: u64| shown_ns <= at_ns + AHEAD_NS && at_ns.saturating_sub(shown_ns) < MOST_DELAY_NS;
        let Some((number, stamp)) = stamp.filter(|(_, stamp)| is_plausible(stamp.shown_ns)) else {
            self.was_read = false;
            self.unread += 1;
            if self.unread >= LOST_AFTER {
                (self.spot, self.unread) = (None, 0);
            }
            return Look::Unread;
        };
        self.unread = 0;
        let was_read = std::mem::replace(&mut self.was_read, true);
        let since = self.last.map(|last| (number + NUMBERS - last) % NUMBERS);
        match since {
            Some(0) => return Look::Again,
            // Later than the last one by so much: earlier.
            Some(since) if since > NUMBERS / 2 => return Look::Unread,
            _ => self.last = Some(number),
        }
        let between = since.filter(|_| was_read).map_or(0, |since| (1..since).filter(|back| self.is_stamped(number, *back)).count() as u64);
        let first = was_read.then_some(());
        Look::Number {
            delay_ns: first.map(|()| at_ns.saturating_sub(stamp.shown_ns)),
            since_capture_ns: first.map(|()| at_ns.saturating_sub(stamp.capture_ns)),
            missing: between,
        }
    }

    fn is_stamped(&self, number: u32, back: u32) -> bool {
        self.stamps.of((number + NUMBERS - back) % NUMBERS).is_some()
    }

    fn number(&mut self, capture: &Capture<'_>, place: &Place, at_ns: u64) -> Option<u32> {
        if let Some(spot) = self.spot {
            return spot.read(capture).map(|(number, _)| number);
        }
        let (width, height) = capture.size();
        let size = [width as f32, height as f32];
        let here = BorderSpot { x: place.x * size[0], y: place.y * size[1], block: [place.block[0] * size[0], place.block[1] * size[1]] };
        if at_ns < self.find_ns {
            return None;
        }
        self.find_ns = at_ns + FIND_NS;
        let mut found = here.find(capture, size.map(|size| size * NEAR));
        if found.is_none() && at_ns >= self.everywhere_ns {
            self.everywhere_ns = at_ns + FIND_EVERYWHERE_NS;
            // A window somewhere on a larger screen.
            let block = [place.block[0] * place.signal_px[0], place.block[1] * place.signal_px[1]];
            found = BorderSpot { x: size[0] / 2.0, y: size[1] / 2.0, block }.find(capture, size.map(|size| size / 2.0));
        }
        let (spot, number) = found?;
        self.spot = Some(spot);
        Some(number)
    }
}

#[cfg(test)]
#[path = "watch_tests.rs"]
mod tests;
