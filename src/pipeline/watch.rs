//! The thread that looks after the others: it hears their beats, tells the state's owner what stalls and when the wall clock was set,
//! tells systemd that all is well, and ends the process where the display has stalled. It holds no lock that another thread holds, and waits for nobody.

use crate::base::beat::Beat;
use crate::base::clock::{Clock, wall_ns};
use crate::base::shutdown::{self, Shutdown};
use crate::guard::{Cause, Code, EXIT_DISPLAY_STALLED, Finding, Part, TURN_NS, WallWatch, Watchdog, Word};
use crate::pipeline::notify::Notify;
use crate::pipeline::progress::Progress;
use crate::pipeline::scheduling;
use crossbeam_channel::Sender;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

/// systemd hears from us so often.
const TELL_EVERY_NS: u64 = 500_000_000;
/// The last line of a process that ends itself may take so long: who reads our log may have stalled too.
const LAST_WORDS: Duration = Duration::from_millis(50);

/// Of all parts, in their order.
pub type Beats = [Arc<Beat>; Part::ALL.len()];

pub fn beats() -> Beats {
    std::array::from_fn(|_| Arc::new(Beat::default()))
}

pub struct Watch {
    pub clock: Arc<dyn Clock>,
    pub stop: Shutdown,
    pub dog: Watchdog,
    pub beats: Beats,
    pub words: Sender<Word>,
    pub progress: Arc<Progress>,
    pub notify: Notify,
}

impl Watch {
    pub fn start(self) -> std::io::Result<JoinHandle<()>> {
        std::thread::Builder::new().name("watchdog".into()).spawn(move || self.run())
    }

    fn run(mut self) {
        scheduling::make_realtime("watchdog");
        let mut told_ns = None;
        let (mut is_ready, mut is_stopping) = (false, false);
        let mut said = String::new();
        let mut wall = WallWatch::default();
        while !self.stop.is_requested() {
            let now_ns = self.clock.now_ns();
            let beats: [Option<u64>; Part::ALL.len()] = std::array::from_fn(|part| self.beats[part].look());
            for finding in self.dog.look(now_ns, beats) {
                if let Finding::Stalled { part: Part::Display, silent_ms } = finding {
                    end(&self.notify, silent_ms);
                }
                // Full: the state's owner is what stalls.
                let _ = self.words.try_send(word_of(finding));
            }
            let before_ns = self.clock.now_ns();
            if let Some(jump) = wall.look(before_ns, wall_ns(), self.clock.now_ns()) {
                let _ = self.words.try_send(Word::Raise { cause: Code::ClockJumped.into(), words: jump.to_string() });
                // It lasts no longer than its moment; its line stays until somebody has seen it.
                let _ = self.words.try_send(Word::Clear { code: Code::ClockJumped, part: 0 });
            }
            // At once: whoever started us waits for it.
            if self.notify.is_on() && !is_ready && self.progress.frames() > 0 {
                is_ready = true;
                self.notify.send("READY=1");
            }
            if self.notify.is_on() && told_ns.is_none_or(|told_ns| now_ns >= told_ns + TELL_EVERY_NS) {
                told_ns = Some(now_ns);
                let status = self.progress.status();
                if is_ready && self.dog.is_well() {
                    self.notify.send("WATCHDOG=1");
                }
                if status != said {
                    self.notify.send(&format!("STATUS={status}"));
                    said = status;
                }
            }
            if shutdown::signalled() && !std::mem::replace(&mut is_stopping, true) {
                self.notify.send("STOPPING=1");
            }
            self.clock.sleep_until_ns(now_ns + TURN_NS);
        }
        if !is_stopping {
            self.notify.send("STOPPING=1");
        }
    }
}

fn word_of(finding: Finding) -> Word {
    let (code, part) = match finding {
        Finding::Stalled { part, .. } | Finding::Turns { part } => match part {
            Part::Display => (Code::DisplayStalled, 0),
            Part::Capture => (Code::CaptureStalled, 0),
            Part::RecordOverlay => (Code::RecordStalled, 0),
            Part::RecordClean => (Code::RecordStalled, 1),
        },
    };
    match finding {
        Finding::Turns { .. } => Word::Clear { code, part },
        Finding::Stalled { part: of, silent_ms } => {
            let words = format!("the {} thread has given no sign of life for {silent_ms} ms", of.name());
            Word::Raise { cause: Cause { part, ..code.into() }, words }
        }
    }
}

/// Ends the process now: nothing is flushed, joined or given back, because any of it may be what stalls.
fn end(notify: &Notify, silent_ms: u64) -> ! {
    notify.send("STATUS=the display stalled: the process ends, to be started again");
    let (done, is_done) = crossbeam_channel::bounded::<()>(1);
    let say = move || {
        let code = Code::DisplayStalled.name();
        tracing::error!(code, "the display has given no sign of life for {silent_ms} ms: this process ends, to be started again");
        drop(done);
    };
    if std::thread::Builder::new().name("last-words".into()).spawn(say).is_ok() {
        // Whether it was written or not.
        let _ = is_done.recv_timeout(LAST_WORDS);
    }
    // SAFETY: _exit has no preconditions and does not return.
    unsafe { libc::_exit(EXIT_DISPLAY_STALLED) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock::MonotonicClock;
    use crate::guard::Settings;
    use std::sync::atomic::{AtomicBool, Ordering};

    /// The real thread and clock: a capture thread that beats no more is an alarm, and is cleared when it beats again.
    #[test]
    fn a_stalled_capture_thread_is_told_to_the_state_s_owner_and_its_return_too() {
        let settings = Settings { capture_stalled_ms: 200, ..Settings::default() };
        let beats = beats();
        let (sender, words) = crossbeam_channel::bounded(8);
        let stop = Shutdown::default();
        let watch = Watch {
            clock: Arc::new(MonotonicClock),
            stop: stop.clone(),
            dog: Watchdog::new(&settings, 60.0, 500),
            beats: beats.clone(),
            words: sender,
            progress: Arc::default(),
            notify: Notify::from_env(),
        };
        beats[Part::Capture as usize].beat();
        // The display beats from a thread of its own, as it does.
        let is_over = Arc::new(AtomicBool::new(false));
        let display = std::thread::spawn({
            let (beat, is_over) = (beats[Part::Display as usize].clone(), is_over.clone());
            move || {
                while !is_over.load(Ordering::Acquire) {
                    beat.beat();
                    std::thread::park_timeout(Duration::from_millis(10));
                }
                beat.rest();
            }
        });
        let thread = watch.start().unwrap();
        let heard = || words.recv_timeout(Duration::from_secs(20)).unwrap();
        let Word::Raise { cause, words: said } = heard() else { panic!("an alarm") };
        assert!(cause.code == Code::CaptureStalled && said.contains("capture thread"), "{said}");
        beats[Part::Capture as usize].beat();
        assert_eq!(heard(), Word::Clear { code: Code::CaptureStalled, part: 0 });
        is_over.store(true, Ordering::Release);
        display.join().unwrap();
        stop.request();
        thread.join().unwrap();
    }
}
