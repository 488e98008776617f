//! One GStreamer pipeline up to its appsink: built, started, asked for samples, rewound. Knows nothing of release times.
//!
//! ```text
//!   file:   filesrc ! decodebin ┐
//!   inputs: see `build`
//!   gst:    DESCRIPTION ────────┴► videoconvert (passes the formats of `PixelFormat` untouched) ► appsink (bounded, sync=false)
//! ```
//! Where a device is given, its memory passes as well, and before the host's.

use super::arrivals::Arrivals;
use super::build;
use super::container::Header;
use super::cuda::Lender;
use super::decode_time::DecodeTimes;
use super::error::CaptureError;
use super::input::{Input, Kind};
use super::messages::{Troubles, debian_package};
use super::tuning;
use crate::base::clock::Clock;
use crate::frame::PixelFormat;
use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app as gst_app;
use gstreamer_video as gst_video;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Opening gives up after this many waits of `OPEN_WAIT`: 4 s, so that the error is there within 5.
const OPEN_WAITS: u32 = 80;
const OPEN_WAIT: Duration = Duration::from_millis(50);

pub(super) struct Decoder {
    /// As the user named it: for messages.
    pub thing: String,
    pub pipeline: gst::Pipeline,
    pub sink: gst_app::AppSink,
    pub times: DecodeTimes,
    pub live: bool,
    /// Arrivals of packets, for what comes over a network.
    pub arrivals: Option<Arrivals>,
    /// What its first element reads from, where that was opened for it.
    pub reads_from: Option<OwnedFd>,
    is_file: bool,
    troubles: Troubles,
    /// One of its decoders is libav's.
    has_libav: Arc<AtomicBool>,
    /// decodebin has found all streams, and none of them is video.
    no_video: Arc<AtomicBool>,
    /// Where a device is given: what its elements make their pictures with.
    pub lender: Option<Arc<Lender>>,
}

/// What a pipeline was made from.
enum Kin {
    File(Header),
    Description,
    Device,
    Network(Arrivals),
}

/// What asking for a sample gave.
pub(super) enum Step {
    Sample(gst::Sample),
    /// Nothing within the wait.
    Waiting,
    End,
}

impl Decoder {
    /// A pipeline that decodes the first video stream of the file at `path`.
    pub fn for_file(path: &Path, header: Header, clock: Arc<dyn Clock>, lender: Option<Arc<Lender>>) -> Result<Self, CaptureError> {
        let pipeline = gst::Pipeline::new();
        let source = element("filesrc")?;
        source.set_property("location", path);
        let demux = element("decodebin")?;
        let convert = element("videoconvert")?;
        let sink = app_sink(1, lender.is_some());
        let build = |e: gst::glib::BoolError| CaptureError::GStreamer { reason: e.to_string() };
        pipeline.add_many([&source, &demux, &convert, sink.upcast_ref()]).map_err(build)?;
        source.link(&demux).map_err(build)?;
        convert.link(&sink).map_err(build)?;

        if let Some(lender) = &lender {
            lender.prefer_in(&demux);
        }
        // Sound is not decoded: its stream is exposed as it is and stays unlinked.
        demux.connect("autoplug-continue", false, |values| {
            let caps = values.get(2).and_then(|value| value.get::<gst::Caps>().ok());
            let is_sound = caps.and_then(|caps| Some(caps.structure(0)?.name().starts_with("audio/"))).unwrap_or(false);
            Some((!is_sound).to_value())
        });
        let convert_pad =
            convert.static_pad("sink").ok_or_else(|| CaptureError::GStreamer { reason: "videoconvert has no sink".into() })?;
        let target = convert_pad.clone();
        demux.connect_pad_added(move |_, pad| {
            let caps = pad.current_caps().unwrap_or_else(|| pad.query_caps(None));
            let is_video = caps.structure(0).is_some_and(|s| s.name().starts_with("video/x-raw"));
            // A link that fails shows as a "not-linked" error on the bus.
            if is_video
                && !target.is_linked()
                && let Err(error) = pad.link(&target)
            {
                tracing::debug!("{caps}: {error}");
            }
        });
        let no_video = Arc::new(AtomicBool::new(false));
        let noted = no_video.clone();
        demux.connect_no_more_pads(move |_| noted.store(!convert_pad.is_linked(), Ordering::Release));
        Self::finish(path.display().to_string(), pipeline, sink, clock, no_video, Kin::File(header), lender)
    }

    /// The pipeline that `description` describes, as for gst-launch-1.0, ending in raw video.
    pub fn for_description(
        description: &str,
        ahead: u32,
        clock: Arc<dyn Clock>,
        lender: Option<Arc<Lender>>,
    ) -> Result<Self, CaptureError> {
        let refuse = |reason: String| CaptureError::Description { description: description.to_owned(), reason };
        let mut context = gst::ParseContext::new();
        let text = format!("{description} ! videoconvert name=keyhole-in");
        let parsed = gst::parse::launch_full(&text, Some(&mut context), gst::ParseFlags::FATAL_ERRORS);
        // The context also lists elements that are there and were refused something else; the error says which it is.
        if let Err(error) = &parsed
            && error.matches(gst::ParseError::NoSuchElement)
            && let Some(element) = context.missing_elements().into_iter().next()
        {
            let package = debian_package(&element);
            return Err(CaptureError::MissingElement { description: description.to_owned(), element, package });
        }
        let parsed = parsed.map_err(|e| refuse(e.to_string().replace("keyhole-in", "the picture's input")))?;
        let pipeline = parsed.downcast::<gst::Pipeline>().map_err(|_| refuse("it is not a pipeline".to_owned()))?;
        let convert = pipeline.by_name("keyhole-in").ok_or_else(|| refuse("it has no end".to_owned()))?;
        let sink = app_sink(held_of(ahead), lender.is_some());
        let linked = pipeline.add(&sink).and_then(|()| convert.link(&sink));
        linked.map_err(|e| refuse(e.to_string()))?;
        Self::finish(format!("gst:{description}"), pipeline, sink, clock, Arc::default(), Kin::Description, lender)
    }

    /// The pipeline of a live input.
    pub fn for_input(input: &Input, clock: Arc<dyn Clock>, lender: Option<Arc<Lender>>) -> Result<Self, CaptureError> {
        let arrivals = Arrivals::new(clock.clone());
        let (pipeline, sink) = build::build(input, &arrivals, lender.as_deref())?;
        let kin = if input.kind == Kind::Network { Kin::Network(arrivals) } else { Kin::Device };
        Self::finish(input.uri.clone(), pipeline, sink, clock, Arc::default(), kin, lender)
    }

    fn finish(
        thing: String,
        pipeline: gst::Pipeline,
        sink: gst_app::AppSink,
        clock: Arc<dyn Clock>,
        no_video: Arc<AtomicBool>,
        kin: Kin,
        lender: Option<Arc<Lender>>,
    ) -> Result<Self, CaptureError> {
        let times = DecodeTimes::new(clock);
        let (watcher, is_file) = (times.clone(), matches!(kin, Kin::File(_)));
        let arrivals = if let Kin::Network(arrivals) = &kin { Some(arrivals.clone()) } else { None };
        let has_libav = Arc::new(AtomicBool::new(false));
        let is_libav = has_libav.clone();
        let prepare = move |element: &gst::Element| {
            if tuning::is_video_decoder(element) {
                if element.factory().is_some_and(|factory| factory.name().starts_with("avdec_")) {
                    is_libav.store(true, Ordering::Release);
                }
                match &kin {
                    Kin::File(header) => tuning::tune(element, header.full_range),
                    // A description's decoders are set as their author wants them.
                    Kin::Description => {}
                    Kin::Device => tuning::tune_live(element),
                    Kin::Network(arrivals) => {
                        tuning::tune_live(element);
                        arrivals.watch_pictures(element);
                    }
                }
                watcher.watch(element);
            }
        };
        pipeline.iterate_recurse().into_iter().flatten().for_each(|element| prepare(&element));
        pipeline.connect_deep_element_added(move |_, _, element| prepare(element));
        if let Some(lender) = &lender {
            lender.lend_to(&pipeline);
        }
        let troubles = Troubles::of(&pipeline).ok_or_else(|| CaptureError::GStreamer { reason: "a pipeline has no bus".into() })?;
        Ok(Decoder {
            thing,
            pipeline,
            sink,
            times,
            live: false,
            arrivals,
            reads_from: None,
            is_file,
            troubles,
            has_libav,
            no_video,
            lender,
        })
    }

    /// Finds out whether the pipeline is live; it is then ready to `play`.
    pub fn prepare(&mut self) -> Result<(), CaptureError> {
        let first = self.pipeline.set_state(gst::State::Paused);
        let mut result = first;
        for _ in 0..OPEN_WAITS {
            match result {
                Ok(gst::StateChangeSuccess::NoPreroll) => {
                    self.live = true;
                    return Ok(());
                }
                Ok(gst::StateChangeSuccess::Success) => return Ok(()),
                Ok(gst::StateChangeSuccess::Async) => {}
                Err(_) => return Err(self.trouble().unwrap_or_else(|| self.no_picture("it cannot be started"))),
            }
            if let Some(trouble) = self.trouble() {
                return Err(trouble);
            }
            result = self.pipeline.state(gst::ClockTime::try_from(OPEN_WAIT).ok()).0;
        }
        Err(self.no_picture("none came within 4 s"))
    }

    pub fn play(&mut self) -> Result<(), CaptureError> {
        match self.pipeline.set_state(gst::State::Playing) {
            Ok(_) => Ok(()),
            Err(_) => Err(self.trouble().unwrap_or_else(|| self.no_picture("it cannot be started"))),
        }
    }

    /// The first sample after `play`; an error if none comes in time.
    pub fn first(&mut self) -> Result<gst::Sample, CaptureError> {
        for _ in 0..OPEN_WAITS {
            match self.next(OPEN_WAIT)? {
                Step::Sample(sample) => {
                    self.troubles.forget_missing();
                    return Ok(sample);
                }
                Step::Waiting => {}
                Step::End => return Err(self.nothing_decoded()),
            }
        }
        Err(self.no_picture("none came within 4 s"))
    }

    /// Decodes one picture further ahead than it did, up to `ahead`. A file's new or rewound decoder begins with two:
    /// while it stands by it takes no core from whoever is at work.
    pub fn reach_further(&self, ahead: u32) {
        let held = self.sink.max_buffers();
        if held < held_of(ahead) {
            self.sink.set_max_buffers(held + 1);
        }
    }

    /// The next decoded picture; waits at most `wait`.
    pub fn next(&mut self, wait: Duration) -> Result<Step, CaptureError> {
        if let Some(sample) = self.sink.try_pull_sample(gst::ClockTime::try_from(wait).unwrap_or(gst::ClockTime::SECOND)) {
            return Ok(Step::Sample(sample));
        }
        // Asked before the bus: without video nothing is linked, and that is what GStreamer would complain about.
        let no_video = self.no_video.load(Ordering::Acquire);
        match self.trouble() {
            Some(missing @ CaptureError::MissingDecoder { .. }) => return Err(missing),
            _ if no_video => {
                let missing = self.troubles.missing_decoder(&self.thing);
                return Err(missing.unwrap_or_else(|| CaptureError::NoVideo { thing: self.thing.clone(), found: "sound or data".into() }));
            }
            Some(trouble) => return Err(trouble),
            None => {}
        }
        Ok(if self.sink.is_eos() { Step::End } else { Step::Waiting })
    }

    /// Back to the beginning, decoding ahead again. False if the source cannot.
    pub fn rewind(&self) -> bool {
        self.sink.set_max_buffers(1);
        self.pipeline.seek_simple(gst::SeekFlags::FLUSH | gst::SeekFlags::KEY_UNIT, gst::ClockTime::ZERO).is_ok()
    }

    /// Goes on at the picture from which `position_ns` of the file can be decoded. One that cannot goes on where it is.
    pub fn seek(&self, position_ns: u64) {
        let flags = gst::SeekFlags::FLUSH | gst::SeekFlags::KEY_UNIT | gst::SeekFlags::SNAP_BEFORE;
        if let Err(error) = self.pipeline.seek_simple(flags, gst::ClockTime::from_nseconds(position_ns)) {
            tracing::debug!("{}: {error}", self.thing);
        }
    }

    /// Waits at most so long for its first picture, or an error.
    pub fn has_begun(&self, at_most: Duration) -> bool {
        let wait = gst::ClockTime::from_nseconds(at_most.as_nanos() as u64);
        !matches!(self.pipeline.state(wait).0, Ok(gst::StateChangeSuccess::Async))
    }

    /// Where in the file it is.
    pub fn position_ns(&self) -> u64 {
        self.pipeline.query_position::<gst::ClockTime>().map_or(0, gst::ClockTime::nseconds)
    }

    pub fn is_seekable(&self) -> bool {
        let mut query = gst::query::Seeking::new(gst::Format::Time);
        self.pipeline.query(&mut query) && query.result().0
    }

    pub fn trouble(&mut self) -> Option<CaptureError> {
        let trouble = self.troubles.first(&self.thing, self.live);
        if let (true, Some(lender)) = (self.troubles.is_of_stream, &self.lender) {
            lender.suspect();
        }
        trouble
    }

    /// Are errors of libav this pipeline's?
    pub fn has_libav(&self) -> bool {
        self.has_libav.load(Ordering::Acquire)
    }

    /// Has a decoder warned since it was last asked?
    pub fn take_warning(&self) -> bool {
        self.troubles.take_warning()
    }

    pub fn nothing_decoded(&self) -> CaptureError {
        if !self.is_file {
            return self.no_picture("it ended before the first one");
        }
        CaptureError::Corrupt { thing: self.thing.clone(), reason: "no picture in it could be decoded".into() }
    }

    pub fn no_picture(&self, reason: &str) -> CaptureError {
        CaptureError::NoPicture { thing: self.thing.clone(), reason: reason.to_owned() }
    }
}

impl Drop for Decoder {
    fn drop(&mut self) {
        // Frees threads and devices; a pipeline that refuses to stop has nothing more that could be done about it here.
        let _ = self.pipeline.set_state(gst::State::Null);
    }
}

pub(super) fn element(name: &str) -> Result<gst::Element, CaptureError> {
    gst::ElementFactory::make(name)
        .build()
        .map_err(|_| CaptureError::GStreamer { reason: format!("its element '{name}' is not installed") })
}

/// Of `ahead` pictures one waits in the decoder's thread.
fn held_of(ahead: u32) -> u32 {
    ahead.saturating_sub(1).max(1)
}

/// What is taken.
pub(super) fn caps(on_device: bool) -> gst::Caps {
    let formats = PixelFormat::ALL.map(|format| gst_video::VideoFormat::from_string(format.name()));
    let mut caps = if on_device { Lender::caps() } else { gst::Caps::new_empty() };
    caps.merge(gst_video::VideoCapsBuilder::new().format_list(formats).build());
    caps
}

/// The end of every pipeline; it holds so many pictures. With `on_device`, those in a device's memory are asked for first.
pub(super) fn app_sink(held: u32, on_device: bool) -> gst_app::AppSink {
    let sink =
        gst_app::AppSink::builder().caps(&caps(on_device)).sync(false).drop(false).max_buffers(held).enable_last_sample(false).build();
    // With GstVideoMeta accepted, decoders hand out their own padded pictures instead of copying them tight.
    if let Some(pad) = sink.static_pad("sink") {
        pad.add_probe(gst::PadProbeType::QUERY_DOWNSTREAM, |_, info| {
            if let Some(query) = info.query_mut()
                && let gst::QueryViewMut::Allocation(allocation) = query.view_mut()
            {
                allocation.add_allocation_meta::<gst_video::VideoMeta>(None);
                return gst::PadProbeReturn::Handled;
            }
            gst::PadProbeReturn::Ok
        });
    }
    sink
}

/// A device that hangs may never let a pipeline end: nobody waits longer for one that was lent a device.
const LET_GO: Duration = Duration::from_millis(100);

/// Ends a pipeline that has failed, or what holds it.
pub(super) fn let_go<T: Send + 'static>(dead: T, has_device: bool) {
    let (ended, is_ended) = crossbeam_channel::bounded::<()>(0);
    let end = move || {
        drop(dead);
        drop(ended);
    };
    if !has_device {
        end();
    } else if std::thread::Builder::new().name("capture-let-go".into()).spawn(end).is_ok() {
        // Where no thread can be had it has been dropped here.
        let _ = is_ended.recv_timeout(LET_GO);
    }
}
