//! One live pipeline: stamped on arrival, newest wins, nothing held but what the decoder needs and two pictures. It ends
//! with its first error; who brings it back is `supervise`.

use super::SourceInfo;
use super::concealed::Concealed;
use super::decoder::{Decoder, let_go};
use super::error::CaptureError;
use super::mapping::{Format, Mapped};
use super::pace::Rate;
use crate::base::clock::Clock;
use crate::base::error::ErrorKind;
use crate::base::slot::{Slot, Wake};
use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app as gst_app;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

/// A driver's stamp older than this is none of this clock's.
const OLDEST_STAMP_NS: u64 = 1_000_000_000;
/// Pictures that wait for a capture thread which did not get to run.
const INBOX: usize = 2;
/// Waiting for the first picture looks around so often.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// How long the first picture is waited for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    pub at_most: Duration,
    /// Give up earlier when no data at all has come for so long. Data without a picture means waiting for one that can
    /// be decoded.
    pub without_data: Duration,
}

impl Patience {
    /// At the start: an error is there within 5 s.
    pub const AT_START: Patience = Patience { at_most: Duration::from_secs(4), without_data: Duration::from_secs(4) };
}

pub(super) struct Arrived {
    sample: gst::Sample,
    arrival_ns: u64,
}

/// What the streaming thread hands over.
struct Inbox {
    slot: Slot<Arrived>,
    wake: Arc<Wake>,
    replaced: AtomicU32,
    ended: AtomicBool,
}

/// One playing pipeline.
pub(super) struct LivePipeline {
    decoder: Decoder,
    inbox: Arc<Inbox>,
    pub format: Format,
    base: Option<gst::ClockTime>,
    first: Option<Arrived>,
    first_stamp_ns: Option<u64>,
    /// Something that came since the last picture was too short for one.
    is_damaged: bool,
    concealed: Concealed,
}

/// What a picture says besides its pixels.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stamped {
    pub captured_ns: u64,
    /// Since this pipeline's first picture.
    pub pts_ns: u64,
    pub decode_ns: Option<u64>,
    /// Pictures that came before it and were not taken in time.
    pub skipped: u32,
}

impl LivePipeline {
    /// Plays `decoder`, which is prepared, and waits for its first picture.
    pub fn start(
        mut decoder: Decoder,
        clock: Arc<dyn Clock>,
        patience: Patience,
        is_stopped: &dyn Fn() -> bool,
    ) -> Result<Self, CaptureError> {
        let wake = Arc::new(Wake::default());
        let slot = Slot::new(INBOX, wake.clone());
        let inbox = Arc::new(Inbox { slot, wake, replaced: AtomicU32::new(0), ended: AtomicBool::new(false) });
        let (to, ended, stamping) = (inbox.clone(), inbox.clone(), clock.clone());
        let callbacks = gst_app::AppSinkCallbacks::builder()
            .new_sample(move |sink| {
                let arrival_ns = stamping.now_ns();
                let sample = sink.pull_sample().map_err(|_| gst::FlowError::Eos)?;
                // What a card makes up while it has no signal is no picture.
                let is_filler = sample.buffer().is_some_and(|buffer| buffer.flags().contains(gst::BufferFlags::GAP));
                if !is_filler && to.slot.push(Arrived { sample, arrival_ns }).is_some() {
                    to.replaced.fetch_add(1, Ordering::AcqRel);
                }
                Ok(gst::FlowSuccess::Ok)
            })
            .eos(move |_| {
                ended.ended.store(true, Ordering::Release);
                ended.wake.ring();
            })
            .build();
        decoder.sink.set_callbacks(callbacks);
        decoder.play()?;
        let first = wait_for_first(&mut decoder, &inbox, &*clock, patience, is_stopped)?;
        let caps = first.sample.caps().ok_or_else(|| decoder.no_picture("its pictures have no format"))?;
        let format = Format::from_caps(&decoder.thing, caps)?;
        let base = monotonic_base(&decoder.pipeline);
        Ok(LivePipeline {
            decoder,
            inbox,
            format,
            base,
            first: Some(first),
            first_stamp_ns: None,
            is_damaged: false,
            concealed: Concealed::default(),
        })
    }

    pub fn let_go(self) {
        let has_device = self.decoder.lender.is_some();
        let_go(self, has_device);
    }

    pub fn rate(&self) -> Rate {
        self.format.frame_rate().and_then(|(num, den)| Rate::new(num, den)).unwrap_or(Rate::FALLBACK)
    }

    pub fn info(&self, uri: &str) -> SourceInfo {
        SourceInfo {
            uri: uri.to_owned(),
            width: self.format.layout.width,
            height: self.format.layout.height,
            fps: self.rate().per_second(),
            format: self.format.layout.format,
            colorimetry: self.format.layout.colorimetry,
            live: true,
            latency_ns: reported_latency_ns(&self.decoder.pipeline).saturating_add(self.rate().period_ns()),
        }
    }

    /// The next picture that has arrived, waiting at most `at_most`; None if none has. An error if none will.
    pub fn next(&mut self, at_most: Duration) -> Result<Option<(Mapped, Stamped)>, CaptureError> {
        let mut arrived = self.first.take();
        if arrived.is_some() {
            // Whoever pulls for the first time wants to see now: what came while the run was made ready is past.
            while let Some(newer) = self.inbox.slot.pop() {
                arrived = Some(newer);
            }
            self.inbox.replaced.store(0, Ordering::Release);
        }
        let mut arrived = arrived.or_else(|| self.inbox.slot.pop());
        if arrived.is_none() {
            self.inbox.wake.wait(at_most);
            arrived = self.inbox.slot.pop();
        }
        let Some(arrived) = arrived else {
            return match self.decoder.trouble() {
                Some(trouble) => Err(trouble),
                None if self.inbox.ended.load(Ordering::Acquire) => Err(self.ended()),
                None => Ok(None),
            };
        };
        let mut mapped = match Mapped::new(&self.decoder.thing, self.decoder.lender.as_ref(), &arrived.sample, &mut self.format) {
            Ok(mapped) => mapped,
            // There is no picture in it. The next one says so; where none follows, silence does.
            Err(CaptureError::Corrupt { reason, .. }) => {
                tracing::debug!("{reason}");
                self.is_damaged = true;
                self.inbox.replaced.fetch_add(1, Ordering::AcqRel);
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        let (has_warned, has_concealed) = (self.decoder.take_warning(), self.decoder.has_libav() && self.concealed.take());
        mapped.is_damaged |= std::mem::take(&mut self.is_damaged) | has_warned | has_concealed;
        let skipped = self.inbox.replaced.swap(0, Ordering::AcqRel);
        let buffer_pts = arrived.sample.buffer().and_then(|b| b.pts());
        let captured_ns = self.captured_ns(&arrived, buffer_pts);
        let stamp_ns = running_time(&arrived.sample).map_or(captured_ns, gst::ClockTime::nseconds);
        let pts_ns = stamp_ns.saturating_sub(*self.first_stamp_ns.get_or_insert(stamp_ns));
        let decode_ns = buffer_pts.and_then(|pts| self.decoder.times.take(pts.nseconds()));
        Ok(Some((mapped, Stamped { captured_ns, pts_ns, decode_ns, skipped })))
    }

    /// When the picture was captured: over a network, when its last packet came; else the driver's stamp where it is one
    /// of CLOCK_MONOTONIC and plausible; else arrival.
    fn captured_ns(&self, arrived: &Arrived, buffer_pts: Option<gst::ClockTime>) -> u64 {
        let stamp = match &self.decoder.arrivals {
            Some(arrivals) => buffer_pts.and_then(|pts| arrivals.take(pts.nseconds())),
            None => self.base.zip(running_time(&arrived.sample)).map(|(base, running)| (base + running).nseconds()),
        };
        stamp.filter(|&ns| is_plausible(ns, arrived.arrival_ns)).unwrap_or(arrived.arrival_ns)
    }

    fn ended(&self) -> CaptureError {
        CaptureError::Failed {
            thing: self.decoder.thing.clone(),
            reason: "the other side ended the stream".into(),
            remedy: "it is tried again; check the device and the network if it does not come back",
            kind: ErrorKind::Retry,
        }
    }
}

fn is_plausible(stamp_ns: u64, arrival_ns: u64) -> bool {
    stamp_ns <= arrival_ns && arrival_ns - stamp_ns < OLDEST_STAMP_NS
}

fn wait_for_first(
    decoder: &mut Decoder,
    inbox: &Inbox,
    clock: &dyn Clock,
    patience: Patience,
    is_stopped: &dyn Fn() -> bool,
) -> Result<Arrived, CaptureError> {
    let begun_ns = clock.now_ns();
    loop {
        if let Some(first) = inbox.slot.pop() {
            return Ok(first);
        }
        if let Some(trouble) = decoder.trouble() {
            return Err(trouble);
        }
        if inbox.ended.load(Ordering::Acquire) {
            return Err(decoder.no_picture("it ended before the first picture"));
        }
        let now_ns = clock.now_ns();
        let data_ns = decoder.arrivals.as_ref().map_or(0, |arrivals| arrivals.last_ns()).max(begun_ns);
        let since = |from_ns: u64| Duration::from_nanos(now_ns.saturating_sub(from_ns));
        if since(begun_ns) > patience.at_most || since(data_ns) > patience.without_data {
            return Err(decoder.no_picture(&format!("none came within {:.0} s", since(begun_ns).as_secs_f64())));
        }
        if is_stopped() {
            return Err(decoder.no_picture("it was given up"));
        }
        inbox.wake.wait(LOOK_EVERY);
    }
}

fn running_time(sample: &gst::Sample) -> Option<gst::ClockTime> {
    let segment = sample.segment()?.downcast_ref::<gst::ClockTime>()?;
    segment.to_running_time(sample.buffer()?.pts()?)
}

/// The pipeline's base time, if its clock is the machine's CLOCK_MONOTONIC.
fn monotonic_base(pipeline: &gst::Pipeline) -> Option<gst::ClockTime> {
    let clock = pipeline.clock()?.downcast::<gst::SystemClock>().ok()?;
    (clock.property::<gst::ClockType>("clock-type") == gst::ClockType::Monotonic).then(|| pipeline.base_time()).flatten()
}

/// What the pipeline says that it holds back (the decoder's reorder depth), ns.
fn reported_latency_ns(pipeline: &gst::Pipeline) -> u64 {
    let mut query = gst::query::Latency::new();
    if pipeline.query(&mut query) { query.result().1.nseconds() } else { 0 }
}
