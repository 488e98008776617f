//! Sources that we release ourselves: files and `gst:` pipelines that are not live. Decoded ahead, due by schedule, looped.
//!
//! ```text
//!   active decoder ── sample ─► Timeline (position) ─► Schedule (due_ns) ─► Picture
//!        │ end                                                  too late (`pace::Lateness`): skip, else slip
//!        ▼
//!   files: swap with a second decoder that stands by at the beginning; the used one is rewound on a helper thread
//!   gst:   rewound in place (a description may not be opened twice)
//! ```

use super::cuda::Lending;
use super::decoder::{Decoder, Step, let_go};
use super::error::CaptureError;
use super::mapping::{Format, Mapped};
use super::pace::{Rate, Schedule, Timeline};
use super::{Pull, Source, SourceInfo};
use crate::base::clock::Clock;
use crate::base::error::ErrorKind;
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use gstreamer as gst;
use std::collections::VecDeque;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// A file's decoder that gives nothing for so long has stopped.
const SILENCE: Duration = Duration::from_secs(5);

/// As soon as a picture is taken the decoder makes the next one. It does so when this part (1/n) of a period has passed since the
/// last was due: until then its core is needed for the analysis of that one.
const CALM_AFTER: u64 = 2;

/// Builds and starts another decoder of the same file.
pub(super) type Reopen = Box<dyn Fn() -> Result<Decoder, CaptureError> + Send>;

pub(super) struct PacedSource {
    info: SourceInfo,
    clock: Arc<dyn Clock>,
    decoder: Decoder,
    looping: Looping,
    format: Format,
    timeline: Timeline,
    schedule: Schedule,
    /// Decoded while opening, not yet pulled.
    opened_with: VecDeque<gst::Sample>,
    held: Option<Mapped>,
    pictures_in_pass: u64,
    ahead: u32,
    last_due_ns: u64,
    /// Its decoder's device has failed: where in the file the next one goes on, ns.
    resumes_at: Option<u64>,
    /// The next one, until it has begun.
    fresh: Option<Decoder>,
    /// Since when nothing has come, in the machine's own time: it is the decoder that is waited for.
    waiting_since: Option<Instant>,
}

enum Looping {
    Spare(Spare),
    InPlace,
    Ended,
}

impl PacedSource {
    /// `decoder` plays; it decodes up to `ahead` pictures ahead. With `reopen` the source loops without a gap, by a second decoder, and
    /// can do without the device that it is lent.
    pub fn new(
        uri: &str,
        mut decoder: Decoder,
        ahead: u32,
        fixed_rate: Option<Rate>,
        reopen: Option<(Reopen, Arc<Lending>)>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, CaptureError> {
        let first = match (decoder.first(), &reopen) {
            (Err(error), Some((reopen, lending))) if lending.end() => {
                tracing::warn!("nothing is decoded on the device that is lent, and so here: {error}");
                decoder = reopen()?;
                decoder.first()?
            }
            (first, _) => first?,
        };
        let caps = first.caps().ok_or_else(|| decoder.no_picture("its pictures have no format"))?;
        let format = Format::from_caps(&decoder.thing, caps)?;
        let mut opened_with = VecDeque::from([first]);
        let rate = match fixed_rate.or_else(|| format.frame_rate().and_then(|(num, den)| Rate::new(num, den))) {
            Some(rate) => rate,
            None => {
                // Variable rate: the distance of the first two pictures is the best there is to say beforehand.
                if let Ok(second) = decoder.first() {
                    opened_with.push_back(second);
                }
                measured_rate(&opened_with).unwrap_or(Rate::FALLBACK)
            }
        };
        let looping = match reopen {
            Some((reopen, lending)) => {
                let spare = Spare::start(reopen, lending);
                Looping::Spare(spare.map_err(|e| decoder.no_picture(&format!("no thread for it ({e})")))?)
            }
            None if decoder.is_seekable() => Looping::InPlace,
            None => Looping::Ended,
        };
        let info = SourceInfo {
            uri: uri.to_owned(),
            width: format.layout.width,
            height: format.layout.height,
            fps: rate.per_second(),
            format: format.layout.format,
            colorimetry: format.layout.colorimetry,
            live: false,
            latency_ns: 0,
        };
        let (timeline, schedule) = (Timeline::new(rate), Schedule::new(rate, fixed_rate.is_some()));
        Ok(PacedSource {
            info,
            clock,
            decoder,
            looping,
            format,
            timeline,
            schedule,
            opened_with,
            held: None,
            pictures_in_pass: 0,
            ahead,
            last_due_ns: 0,
            resumes_at: None,
            fresh: None,
            waiting_since: None,
        })
    }

    fn next_sample(&mut self, at_most: Duration) -> Result<Step, CaptureError> {
        let step = match self.opened_with.pop_front() {
            Some(sample) => Step::Sample(sample),
            None => match self.decoder.next(at_most) {
                // It, too, may be what says first that a device has failed.
                Err(error) if self.leave_device()? => {
                    tracing::warn!("what decoded on a device has failed, and another goes on here: {error}");
                    Step::Waiting
                }
                step => step?,
            },
        };
        self.pictures_in_pass += u64::from(matches!(step, Step::Sample(_)));
        Ok(step)
    }

    /// Begins the next pass. `Waiting`: not yet possible; `End`: never.
    fn turn_over(&mut self, at_most: Duration) -> Result<Turn, CaptureError> {
        let nothing_decoded = self.pictures_in_pass == 0;
        match &self.looping {
            Looping::Spare(_) if nothing_decoded => return Err(self.decoder.nothing_decoded()),
            Looping::Spare(spare) => {
                let Some(fresh) = spare.take(at_most)? else { return Ok(Turn::Waiting) };
                let used = std::mem::replace(&mut self.decoder, fresh);
                spare.give_back(used);
            }
            // The second case: what says that it can be rewound, yet gives nothing after it.
            Looping::InPlace if !nothing_decoded && self.decoder.rewind() => {}
            Looping::InPlace | Looping::Ended => {
                self.looping = Looping::Ended;
                return Ok(Turn::End);
            }
        }
        self.pictures_in_pass = 0;
        self.timeline.wrap();
        Ok(Turn::Begun)
    }
}

impl PacedSource {
    /// Whoever takes pictures before they are due is not held up.
    fn wait_for_calm(&self, at_most: Duration) {
        let now_ns = self.clock.now_ns();
        if now_ns > self.last_due_ns {
            let calm_from_ns = self.last_due_ns.saturating_add(self.schedule.period_ns() / CALM_AFTER);
            self.clock.sleep_until_ns(calm_from_ns.min(now_ns.saturating_add(at_most.as_nanos() as u64)));
        }
    }

    /// Whoever decoded on a device that has failed is followed by one that does it here. False: none is there yet.
    fn resume(&mut self, at_most: Duration) -> Result<bool, CaptureError> {
        let (Some(at_ns), Looping::Spare(spare)) = (self.resumes_at, &self.looping) else { return Ok(true) };
        let fresh = match self.fresh.take() {
            Some(fresh) => fresh,
            None => match spare.take(at_most)? {
                Some(fresh) if fresh.lender.is_none() => fresh,
                stale => {
                    stale.into_iter().for_each(|stale| spare.give_back(stale));
                    return Ok(false);
                }
            },
        };
        if !fresh.has_begun(at_most) {
            self.fresh = Some(fresh);
            return Ok(false);
        }
        fresh.seek(at_ns);
        spare.give_back(std::mem::replace(&mut self.decoder, fresh));
        (self.resumes_at, self.waiting_since) = (None, None);
        self.timeline.wrap();
        Ok(true)
    }

    /// Nothing to show yet. A decoder that stays silent has stopped in the middle without saying so.
    fn idle(&mut self) -> Result<Pull<'_>, CaptureError> {
        if self.waiting_since.get_or_insert_with(Instant::now).elapsed() > SILENCE {
            return Err(self.decoder.no_picture("its decoder has given nothing for 5 s"));
        }
        Ok(Pull::Idle)
    }
}

enum Turn {
    Begun,
    Waiting,
    End,
}

impl Source for PacedSource {
    fn info(&self) -> &SourceInfo {
        &self.info
    }

    fn pull(&mut self, at_most: Duration) -> Result<Pull<'_>, CaptureError> {
        self.held = None;
        if !self.resume(at_most)? {
            return self.idle();
        }
        self.wait_for_calm(at_most);
        let mut sample = loop {
            match self.next_sample(at_most)? {
                Step::Sample(sample) => break sample,
                Step::Waiting => return self.idle(),
                Step::End => match self.turn_over(at_most)? {
                    Turn::Begun => {}
                    Turn::Waiting => return self.idle(),
                    Turn::End => return Ok(Pull::End),
                },
            }
        };
        self.waiting_since = None;
        self.decoder.reach_further(self.ahead);
        let now_ns = self.clock.now_ns();
        let mut skipped = 0u64;
        let (position_ns, due_ns) = loop {
            let (stamp_ns, duration_ns) = stamps(&sample);
            let position_ns = self.timeline.place(stamp_ns, duration_ns);
            let due_ns = self.schedule.next_due_ns(now_ns, position_ns);
            if !self.schedule.is_too_late(now_ns, due_ns) {
                break (position_ns, due_ns);
            }
            // Late: what is decoded already is passed over; what is not cannot be waited for, so the schedule gives way.
            match self.next_sample(Duration::ZERO)? {
                Step::Sample(newer) => {
                    sample = newer;
                    skipped += 1;
                }
                Step::Waiting | Step::End => {
                    let (due_ns, lost) = self.schedule.slip(now_ns, due_ns, position_ns);
                    skipped += lost;
                    break (position_ns, due_ns);
                }
            }
        };
        self.last_due_ns = due_ns;
        let decode_ns = sample.buffer().and_then(|b| b.pts()).and_then(|pts| self.decoder.times.take(pts.nseconds()));
        let mapped = Mapped::new(&self.decoder.thing, self.decoder.lender.as_ref(), &sample, &mut self.format)?;
        let skipped = u32::try_from(skipped).unwrap_or(u32::MAX);
        Ok(Pull::Picture(self.held.insert(mapped).picture(position_ns, Some(due_ns), now_ns, decode_ns, skipped)))
    }

    fn lies_on_device(&self) -> bool {
        self.format.is_there()
    }

    fn leave_device(&mut self) -> Result<bool, CaptureError> {
        let Looping::Spare(spare) = &self.looping else { return Ok(false) };
        if self.decoder.lender.is_none() || self.resumes_at.is_some() {
            return Ok(false);
        }
        // The helper may have noticed before.
        spare.lending.end();
        self.held = None;
        self.opened_with.clear();
        self.resumes_at = Some(self.decoder.position_ns());
        Ok(true)
    }
}

/// Running time (grows over the segments of an edited file) and duration of a sample, ns.
fn stamps(sample: &gst::Sample) -> (Option<u64>, Option<u64>) {
    let Some(buffer) = sample.buffer() else { return (None, None) };
    let segment = sample.segment().and_then(|segment| segment.downcast_ref::<gst::ClockTime>());
    let running = buffer.pts().and_then(|pts| segment.map_or(Some(pts), |segment| segment.to_running_time(pts)));
    (running.map(gst::ClockTime::nseconds), buffer.duration().map(gst::ClockTime::nseconds))
}

fn measured_rate(samples: &VecDeque<gst::Sample>) -> Option<Rate> {
    let stamp_of = |i: usize| samples.get(i).and_then(|sample| stamps(sample).0);
    let distance = stamp_of(1).zip(stamp_of(0)).and_then(|(second, first)| second.checked_sub(first));
    distance.and_then(Rate::from_period_ns).or_else(|| stamps(samples.front()?).1.and_then(Rate::from_period_ns))
}

/// The decoder that stands by, and the thread that readies it.
struct Spare {
    lending: Arc<Lending>,
    used: Option<Sender<Decoder>>,
    ready: Receiver<Result<Decoder, CaptureError>>,
    helper: Option<JoinHandle<()>>,
}

impl Spare {
    fn start(reopen: Reopen, lending: Arc<Lending>) -> std::io::Result<Self> {
        let lends = lending.clone();
        let (used_tx, used_rx) = bounded::<Decoder>(1);
        let (ready_tx, ready) = bounded(1);
        let helper = std::thread::Builder::new().name("capture-rewind".into()).spawn(move || {
            let mut next = reopen();
            while ready_tx.send(next).is_ok() {
                let Ok(decoder) = used_rx.recv() else { break };
                let is_of_use = decoder.lender.is_none() || lends.lender().is_some();
                next = if is_of_use && decoder.rewind() {
                    Ok(decoder)
                } else {
                    let has_device = decoder.lender.is_some();
                    let_go(decoder, has_device);
                    reopen()
                };
            }
        })?;
        Ok(Spare { lending, used: Some(used_tx), ready, helper: Some(helper) })
    }

    fn take(&self, at_most: Duration) -> Result<Option<Decoder>, CaptureError> {
        match self.ready.recv_timeout(at_most) {
            Ok(fresh) => fresh.map(Some),
            Err(RecvTimeoutError::Timeout) => Ok(None),
            Err(RecvTimeoutError::Disconnected) => Err(CaptureError::Failed {
                thing: "the second decoder".into(),
                reason: "its helper thread is gone".into(),
                remedy: "start again, and report this as a bug",
                kind: ErrorKind::Bug,
            }),
        }
    }

    fn give_back(&self, used: Decoder) {
        if let Some(sender) = &self.used {
            // Never full: a decoder is given back only for one that was taken. A helper that is gone shows in `take`.
            let _ = sender.try_send(used);
        }
    }
}

impl Drop for Spare {
    fn drop(&mut self) {
        self.used = None;
        // Empties the way for a helper that is about to hand over, then waits for it to end.
        let _ = std::mem::replace(&mut self.ready, crossbeam_channel::never());
        if let Some(helper) = self.helper.take() {
            let _ = helper.join();
        }
    }
}
