//! Live proof of the delay: each picture carries its number in a few dim blocks beside the content area, and a spare input that sees the
//! monitor's loop-through reads it back (`[guard] loop_through`).
//!
//! ```text
//!   display thread:  room? ─► code on the picture ─► present ─► stamp of the number ──┐
//!                                  │                                                  │ a ring of atomics
//!                              monitor ─ loop-through ─► spare input ─► "loop-through" ◄┘ ─► guard::Creep ─► alarms, AI held
//! ```
//! The span: from the completed present (the page flip, where the display tells it) to the first picture of the input that bears its
//! number (its driver's stamp). The frame path pays for blocks and stamps alone; a dead input costs it nothing.

mod feed;
mod room;
mod stamps;
mod watch;

pub use feed::{CodeFeed, with_code};
pub use stamps::{Stamp, Stamps};

use crate::base::clock::Clock;
use crate::base::shutdown::Shutdown;
use crate::capture;
use crate::config::Config;
use crate::guard::{Creep, Limits, Word};
use crate::record::LoopThroughLine;
use crossbeam_channel::Sender;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;
use watch::{Found, Watcher};

/// In the report.
const SPAN: &str = "present completed (page flip where the display tells it) → first picture of the input with its number (its driver's stamp; gst: when it is here)";
/// The limit of hw/limits.toml that the delay is held to.
const LIMIT: &str = "end_to_end_ms";
/// An input that does not let go of its thread is left behind.
const END_WITHIN: Duration = Duration::from_secs(1);

/// A reader at work.
pub struct LoopThrough {
    uri: String,
    found: Arc<Mutex<Found>>,
    thread: JoinHandle<()>,
}

/// The part of the display thread, and the reader's thread; None where no input is named.
pub fn start(
    config: &Config,
    clock: &Arc<dyn Clock>,
    stop: &Shutdown,
    words: &Sender<Word>,
) -> std::io::Result<Option<(CodeFeed, LoopThrough)>> {
    let Some(uri) = config.guard.loop_through.clone() else { return Ok(None) };
    let stamps = Arc::new(Stamps::default());
    let site = config.guard.site_limits.as_deref();
    // A site's file that is refused has its own words in the self-test; the shipped limits hold then.
    let limits = Limits::load(None, site, config.mode, &config.store.trusted_keys).unwrap_or_else(|_| Limits::shipped());
    let found = Arc::new(Mutex::new(Found::default()));
    let watcher = Watcher {
        uri: uri.clone(),
        settings: capture::Settings { lost_ms: config.signal.lost_ms, ..config.capture.clone() },
        stamps: stamps.clone(),
        clock: clock.clone(),
        stop: stop.clone(),
        words: words.clone(),
        creep: Creep::new(limits.number(LIMIT).unwrap_or(f64::INFINITY)),
        found: found.clone(),
    };
    let thread = std::thread::Builder::new().name("loop-through".into()).spawn(move || watcher.run())?;
    Ok(Some((CodeFeed::new(stamps), LoopThrough { uri, found, thread })))
}

impl LoopThrough {
    /// After the run has stopped: what was found.
    pub fn finish(self) -> LoopThroughLine {
        let deadline = std::time::Instant::now() + END_WITHIN;
        while !self.thread.is_finished() && std::time::Instant::now() < deadline {
            std::thread::park_timeout(Duration::from_millis(5));
        }
        if self.thread.is_finished() {
            let _ = self.thread.join();
        }
        let found = self.found.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).clone();
        LoopThroughLine {
            source: self.uri,
            span: SPAN,
            delay_ms: found.delay.summary(),
            capture_to_input_ms: found.since_capture.summary(),
            read: found.read,
            unreadable: found.unreadable,
            missing: found.missing,
            repeated: found.repeated,
            steps: found.steps,
            trend_ms_an_hour: found.trend.map(|[slope, ..]| slope),
            trend_interval_ms_an_hour: found.trend.map(|[_, low, high]| [low, high]),
            forecast_h: found.forecast_h,
            limit_ms: found.limit_ms,
            state: found.state,
        }
    }
}
