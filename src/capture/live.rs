//! Live pipelines: stamped on arrival, newest wins, nothing held but what the decoder needs and one picture.

use super::decoder::Decoder;
use super::error::CaptureError;
use super::mapping::{Format, Mapped};
use super::pace::Rate;
use super::{Pull, Source, SourceInfo};
use crate::base::clock::Clock;
use crate::base::slot::{Slot, Wake};
use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app as gst_app;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

/// Opening waits this long for the first picture, in steps, looking for errors between them.
const OPEN_WAITS: u32 = 40;
const OPEN_WAIT: Duration = Duration::from_millis(100);
/// A driver's stamp older than this is none of this clock's.
const OLDEST_STAMP_NS: u64 = 1_000_000_000;

struct Arrived {
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

pub(super) struct LiveSource {
    info: SourceInfo,
    decoder: Decoder,
    inbox: Arc<Inbox>,
    format: Format,
    base: Option<gst::ClockTime>,
    first: Option<Arrived>,
    held: Option<Mapped>,
    first_stamp_ns: Option<u64>,
}

impl LiveSource {
    /// `decoder` is prepared, not yet playing.
    pub fn new(uri: &str, mut decoder: Decoder, clock: Arc<dyn Clock>) -> Result<Self, CaptureError> {
        let wake = Arc::new(Wake::default());
        let inbox = Arc::new(Inbox { slot: Slot::new(1, wake.clone()), wake, replaced: AtomicU32::new(0), ended: AtomicBool::new(false) });
        let (to, ended) = (inbox.clone(), inbox.clone());
        let callbacks = gst_app::AppSinkCallbacks::builder()
            .new_sample(move |sink| {
                let arrival_ns = clock.now_ns();
                let sample = sink.pull_sample().map_err(|_| gst::FlowError::Eos)?;
                if to.slot.push(Arrived { sample, arrival_ns }).is_some() {
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
        let first = wait_for_first(&mut decoder, &inbox)?;
        let caps = first.sample.caps().ok_or_else(|| decoder.no_picture("its pictures have no format"))?;
        let format = Format::from_caps(&decoder.thing, caps)?;
        let rate = format.frame_rate().and_then(|(num, den)| Rate::new(num, den)).unwrap_or(Rate::FALLBACK);
        let info = SourceInfo {
            uri: uri.to_owned(),
            width: format.layout.width,
            height: format.layout.height,
            fps: rate.per_second(),
            format: format.layout.format,
            colorimetry: format.layout.colorimetry,
            live: true,
            latency_ns: reported_latency_ns(&decoder.pipeline).saturating_add(rate.period_ns()),
        };
        let base = monotonic_base(&decoder.pipeline);
        Ok(LiveSource { info, decoder, inbox, format, base, first: Some(first), held: None, first_stamp_ns: None })
    }

    /// When the picture was captured: the driver's stamp where it is one of CLOCK_MONOTONIC and plausible, else arrival.
    fn captured_ns(&self, arrived: &Arrived) -> u64 {
        let stamp = self.base.zip(running_time(&arrived.sample)).map(|(base, running)| (base + running).nseconds());
        stamp.filter(|&ns| is_plausible(ns, arrived.arrival_ns)).unwrap_or(arrived.arrival_ns)
    }
}

fn is_plausible(stamp_ns: u64, arrival_ns: u64) -> bool {
    stamp_ns <= arrival_ns && arrival_ns - stamp_ns < OLDEST_STAMP_NS
}

fn wait_for_first(decoder: &mut Decoder, inbox: &Inbox) -> Result<Arrived, CaptureError> {
    for _ in 0..OPEN_WAITS {
        if let Some(first) = inbox.slot.pop() {
            return Ok(first);
        }
        if let Some(trouble) = decoder.trouble() {
            return Err(trouble);
        }
        if inbox.ended.load(Ordering::Acquire) {
            return Err(decoder.no_picture("it ended before the first picture"));
        }
        inbox.wake.wait(OPEN_WAIT);
    }
    Err(decoder.no_picture("none came within 4 s"))
}

impl Source for LiveSource {
    fn info(&self) -> &SourceInfo {
        &self.info
    }

    fn pull(&mut self, at_most: Duration) -> Result<Pull<'_>, CaptureError> {
        self.held = None;
        let mut arrived = self.first.take().or_else(|| self.inbox.slot.pop());
        if arrived.is_none() {
            self.inbox.wake.wait(at_most);
            arrived = self.inbox.slot.pop();
        }
        let Some(arrived) = arrived else {
            if let Some(trouble) = self.decoder.trouble() {
                return Err(trouble);
            }
            return Ok(if self.inbox.ended.load(Ordering::Acquire) { Pull::End } else { Pull::Idle });
        };
        let skipped = self.inbox.replaced.swap(0, Ordering::AcqRel);
        let captured_ns = self.captured_ns(&arrived);
        let stamp_ns = running_time(&arrived.sample).map_or(captured_ns, gst::ClockTime::nseconds);
        let pts_ns = stamp_ns.saturating_sub(*self.first_stamp_ns.get_or_insert(stamp_ns));
        let decode_ns = arrived.sample.buffer().and_then(|b| b.pts()).and_then(|pts| self.decoder.times.take(pts.nseconds()));
        let mapped = Mapped::new(&self.decoder.thing, &arrived.sample, &mut self.format)?;
        Ok(Pull::Picture(self.held.insert(mapped).picture(pts_ns, None, captured_ns, decode_ns, skipped)))
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
