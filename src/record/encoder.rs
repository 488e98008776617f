//! One stream's H.264 encoder. Pictures go in without waiting; coded pictures come out on the encoder's own thread.
//!
//! ```text
//!   fill ─► pool of buffers   ─► appsrc ─► (convert) ─► x264 ─► appsink ─► queue of units ─► `segments`
//!           empty: refused          └──────── one thread, nice 10 ──────┘  full: the encoder waits, then the pool is empty
//! ```
//! CPU of one picture, 1280×720 / 1920×1080, as ratios to x264 ultrafast on NV12 at quality 21 (4.8 / 9.5 ms where it was measured; 29 /
//! 48 kB a picture of the real clip): x264 superfast 2.3 / 2.6, openh264 1.1 / 1.4, VP8 realtime 1.5 / 1.7, MPEG-4 part 2 0.8 / 0.9, JPEG
//! 0.4 / 0.5 with three times the bytes. From BGRX (the overlay stream) x264 ultrafast costs 1.4 / 1.6: the conversion. So: x264
//! ultrafast, planes without conversion where they are captured, openh264 where there is no x264.

use crate::frame::{FrameLayout, Matrix, PixelFormat, Range, Transfer};
use crate::record::mp4::Codec;
use crate::record::settings::Settings;
use crate::record::{Pushed, RecordError};
use crossbeam_channel::{Receiver, SendTimeoutError, Sender, bounded};
use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app as gst_app;
use gstreamer_video as gst_video;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// Pictures between the presenter and the encoder: as many as this memory holds, within limits. They bridge the moments in which the
/// encoder gets no core.
const IN_FLIGHT_BYTES: usize = 48 << 20;
const IN_FLIGHT: std::ops::RangeInclusive<usize> = 6..=30;
pub const NICENESS: i32 = 10;
/// Two pictures of one moment are kept apart by so much: more than a tick of the file.
const NEAREST_NS: u64 = 100_000;
/// Names of pictures that are under way.
const NAMES: usize = 256;
const LOOK_AROUND: Duration = Duration::from_millis(20);

/// What pictures look like when they come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Input {
    /// BGRX, full range.
    Presented { width: usize, height: usize },
    /// A captured frame's planes.
    Captured(FrameLayout),
}

impl Input {
    fn size(&self) -> (usize, usize) {
        match self {
            Input::Presented { width, height } => (*width, *height),
            Input::Captured(layout) => (layout.width, layout.height),
        }
    }

    /// H.264 with halved chroma has no odd sizes: the last column or row is left out.
    fn coded_size(&self) -> (usize, usize) {
        let (width, height) = self.size();
        (width & !1, height & !1)
    }

    /// x264 takes these planes as they are.
    fn is_direct(&self) -> bool {
        matches!(self, Input::Captured(FrameLayout { format: PixelFormat::Nv12 | PixelFormat::I420, .. }))
    }

    fn video_info(&self, fps: f64) -> Result<gst_video::VideoInfo, gst::glib::BoolError> {
        let (width, height) = self.coded_size();
        let (format, colorimetry) = match self {
            Input::Presented { .. } => (gst_video::VideoFormat::Bgrx, None),
            Input::Captured(layout) => {
                let format = gst_video::VideoFormat::from_string(layout.format.name());
                (format, (!layout.format.is_rgb()).then(|| colorimetry(layout)))
            }
        };
        let rate = gst::Fraction::approximate_f64(fps).unwrap_or(gst::Fraction::new(25, 1));
        gst_video::VideoInfo::builder(format, width as u32, height as u32).fps(rate).colorimetry_if_some(colorimetry.as_ref()).build()
    }
}

fn colorimetry(layout: &FrameLayout) -> gst_video::VideoColorimetry {
    use gst_video::{VideoColorMatrix, VideoColorPrimaries, VideoColorRange, VideoTransferFunction};
    let (matrix, primaries) = match layout.colorimetry.matrix {
        Matrix::Bt601 => (VideoColorMatrix::Bt601, VideoColorPrimaries::Smpte170m),
        Matrix::Bt709 => (VideoColorMatrix::Bt709, VideoColorPrimaries::Bt709),
        Matrix::Bt2020 => (VideoColorMatrix::Bt2020, VideoColorPrimaries::Bt2020),
    };
    let range = match layout.colorimetry.range {
        Range::Limited => VideoColorRange::Range16_235,
        Range::Full => VideoColorRange::Range0_255,
    };
    // BT.2100's own are known to GStreamer by name.
    let named = match layout.colorimetry.transfer {
        Transfer::Sdr => None,
        Transfer::Hlg => "bt2100-hlg".parse().ok(),
        Transfer::Pq => "bt2100-pq".parse().ok(),
    };
    named.unwrap_or_else(|| gst_video::VideoColorimetry::new(range, matrix, VideoTransferFunction::Bt709, primaries))
}

/// One coded picture.
pub struct Unit {
    /// Since the start of the recording.
    pub at_ns: u64,
    pub frame: u64,
    pub is_key: bool,
    pub data: gst::Buffer,
    pub codec: Arc<Codec>,
}

/// Where coded pictures go.
#[derive(Clone)]
pub struct Outlet {
    pub units: Sender<Unit>,
    /// The disk has not taken what was coded: set while the encoder waits.
    pub is_behind: Arc<AtomicBool>,
    /// Nobody waits for the disk any more.
    pub is_given_up: Arc<AtomicBool>,
}

impl Outlet {
    fn send(&self, unit: Unit) -> Result<(), gst::FlowError> {
        let mut unit = unit;
        loop {
            match self.units.send_timeout(unit, LOOK_AROUND) {
                Ok(()) => {
                    self.is_behind.store(false, Ordering::Release);
                    return Ok(());
                }
                Err(SendTimeoutError::Timeout(_)) if self.is_given_up.load(Ordering::Acquire) => return Err(gst::FlowError::Eos),
                Err(SendTimeoutError::Timeout(back)) => {
                    self.is_behind.store(true, Ordering::Release);
                    unit = back;
                }
                // The disk's side has ended and has said why.
                Err(SendTimeoutError::Disconnected(_)) => return Err(gst::FlowError::Eos),
            }
        }
    }
}

pub struct Encoder {
    name: String,
    input: Input,
    info: gst_video::VideoInfo,
    pipeline: gst::Pipeline,
    source: gst_app::AppSrc,
    pool: gst::BufferPool,
    bus: gst::Bus,
    names: Sender<(u64, u64)>,
    period_ns: u64,
    last_ns: AtomicU64,
    has_failed: Arc<AtomicBool>,
}

impl Encoder {
    /// Opens an encoder for `input` at nominally `fps` pictures a second. `name` is the recording's, for messages.
    pub fn start(name: &str, input: Input, fps: f64, settings: &Settings, outlet: Outlet) -> Result<Self, RecordError> {
        let sizes = 16..=8192;
        let (width, height) = input.size();
        if !sizes.contains(&width) || !sizes.contains(&height) || !(1.0..=1000.0).contains(&fps) {
            return Err(RecordError::Size { width, height, fps });
        }
        let failed = |reason: String| RecordError::Failed { path: name.to_owned(), reason };
        gst::init().map_err(|e| failed(e.to_string()))?;
        let chain = chain(name, &input, fps, settings)?;
        let build = || -> Result<_, gst::glib::BoolError> {
            let info = input.video_info(fps)?;
            let caps = info.to_caps()?;
            let source = gst_app::AppSrc::builder().caps(&caps).format(gst::Format::Time).max_bytes(0).block(false).build();
            let sink = gst_app::AppSink::builder().sync(false).enable_last_sample(false).build();
            let pipeline = gst::Pipeline::new();
            let all: Vec<&gst::Element> = [source.upcast_ref()].into_iter().chain(&chain).chain([sink.upcast_ref()]).collect();
            pipeline.add_many(&all)?;
            gst::Element::link_many(&all)?;
            let pool = gst::BufferPool::new();
            let mut config = pool.config();
            let in_flight = (IN_FLIGHT_BYTES / info.size()).clamp(*IN_FLIGHT.start(), *IN_FLIGHT.end()) as u32;
            config.set_params(Some(&caps), info.size() as u32, in_flight, in_flight);
            pool.set_config(config)?;
            pool.set_active(true)?;
            Ok((info, source, sink, pipeline, pool))
        };
        let (info, source, sink, pipeline, pool) = build().map_err(|e| failed(e.to_string()))?;
        if let Some(pad) = source.static_pad("src") {
            // The first thing that the encoding thread does; threads that the encoder starts inherit it.
            pad.add_probe(gst::PadProbeType::EVENT_DOWNSTREAM, |_, _| {
                // Not granted: then it runs as everything else does.
                let _ = rustix::process::setpriority_process(None, NICENESS);
                gst::PadProbeReturn::Remove
            });
        }
        let (names, named) = bounded(NAMES);
        let mut last_codec: Option<Arc<Codec>> = None;
        sink.set_callbacks(
            gst_app::AppSinkCallbacks::builder()
                .new_sample(move |sink| {
                    let sample = sink.pull_sample().map_err(|_| gst::FlowError::Eos)?;
                    let unit = unit_of(&sample, &named, &mut last_codec).ok_or(gst::FlowError::Error)?;
                    outlet.send(unit).map(|()| gst::FlowSuccess::Ok)
                })
                .build(),
        );
        let bus = pipeline.bus().ok_or_else(|| failed("a pipeline has no bus".into()))?;
        let has_failed = Arc::new(AtomicBool::new(false));
        let noted = has_failed.clone();
        bus.set_sync_handler(move |_, message| match message.type_() {
            gst::MessageType::Error => {
                noted.store(true, Ordering::Release);
                gst::BusSyncReply::Pass
            }
            gst::MessageType::Eos => gst::BusSyncReply::Pass,
            _ => gst::BusSyncReply::Drop,
        });
        let period_ns = (1e9 / fps) as u64;
        let encoder = Encoder {
            name: name.to_owned(),
            input,
            info,
            pipeline,
            source,
            pool,
            bus,
            names,
            period_ns,
            last_ns: AtomicU64::new(u64::MAX),
            has_failed,
        };
        encoder.pipeline.set_state(gst::State::Playing).map_err(|e| failed(e.to_string()))?;
        Ok(encoder)
    }

    pub fn input(&self) -> &Input {
        &self.input
    }

    /// Offers a picture of frame `frame`, captured `at_ns` after the recording's start; never waits. `fill` gets the buffer and the
    /// places of the planes in it, and is not called where there is no room.
    pub fn try_push(&self, at_ns: u64, frame: u64, fill: impl FnOnce(&mut [u8], &gst_video::VideoInfo)) -> Pushed {
        let now = gst::BufferPoolAcquireParams::with_flags(gst::BufferPoolAcquireFlags::DONTWAIT);
        let buffer = if self.has_failed.load(Ordering::Acquire) { None } else { self.pool.acquire_buffer(Some(&now)).ok() };
        if buffer.is_some_and(|buffer| self.send(buffer, at_ns, frame, fill)) { Pushed::Taken } else { Pushed::Full }
    }

    fn send(&self, mut buffer: gst::Buffer, at_ns: u64, frame: u64, fill: impl FnOnce(&mut [u8], &gst_video::VideoInfo)) -> bool {
        let Some(fields) = buffer.get_mut() else { return false };
        // One thread pushes.
        let last_ns = self.last_ns.load(Ordering::Relaxed);
        let at_ns = if last_ns == u64::MAX { at_ns } else { at_ns.max(last_ns + NEAREST_NS) };
        fields.set_pts(gst::ClockTime::from_nseconds(at_ns));
        fields.set_duration(gst::ClockTime::from_nseconds(self.period_ns));
        match fields.map_writable() {
            Ok(mut map) if map.len() >= self.info.size() => fill(&mut map, &self.info),
            _ => return false,
        }
        if self.names.try_send((at_ns, frame)).is_err() {
            return false;
        }
        self.last_ns.store(at_ns, Ordering::Relaxed);
        self.source.push_buffer(buffer).is_ok()
    }

    pub fn has_failed(&self) -> bool {
        self.has_failed.load(Ordering::Acquire)
    }

    /// What has gone wrong, once.
    pub fn trouble(&self) -> Option<RecordError> {
        self.bus.pop_filtered(&[gst::MessageType::Error]).map(|message| self.failure(&message))
    }

    /// Codes what is in flight; returns when the last unit has been handed over, or after `wait`.
    pub fn drain(&self, wait: Duration) -> Result<(), RecordError> {
        let fail = |reason: String| RecordError::Failed { path: self.name.clone(), reason };
        self.source.end_of_stream().map_err(|e| fail(e.to_string()))?;
        let wait_for = gst::ClockTime::from_mseconds(wait.as_millis() as u64);
        match self.bus.timed_pop_filtered(wait_for, &[gst::MessageType::Eos, gst::MessageType::Error]) {
            Some(message) if message.type_() == gst::MessageType::Eos => Ok(()),
            Some(message) => Err(self.failure(&message)),
            None => Err(fail(format!("the disk did not take the rest within {} s", wait.as_secs_f64()))),
        }
    }

    fn failure(&self, message: &gst::Message) -> RecordError {
        RecordError::Failed { path: self.name.clone(), reason: super::video::reason_of(message) }
    }
}

impl Drop for Encoder {
    fn drop(&mut self) {
        let _ = self.pipeline.set_state(gst::State::Null);
        let _ = self.pool.set_active(false);
    }
}

/// What came out of the encoder. None: not what an H.264 encoder gives.
fn unit_of(sample: &gst::Sample, named: &Receiver<(u64, u64)>, last_codec: &mut Option<Arc<Codec>>) -> Option<Unit> {
    let data = sample.buffer_owned()?;
    // x264enc counts from an hour of its own; its segment says which.
    let segment = sample.segment()?.downcast_ref::<gst::ClockTime>()?;
    let at_ns = segment.to_running_time(data.pts()?)?.nseconds();
    // The encoder's own time base rounds: the stamp is the one that the picture came with.
    let (at_ns, frame) = named.try_iter().find(|(ns, _)| *ns + NEAREST_NS / 2 >= at_ns)?;
    let structure = sample.caps()?.structure(0)?;
    let avcc = structure.get::<gst::Buffer>("codec_data").ok()?;
    let avcc = avcc.map_readable().ok()?;
    let is_same = last_codec.as_ref().is_some_and(|codec| codec.avcc == avcc.as_slice());
    if !is_same {
        let side = |name: &str| structure.get::<i32>(name).ok().and_then(|side| u16::try_from(side).ok());
        *last_codec = Some(Arc::new(Codec { width: side("width")?, height: side("height")?, avcc: avcc.to_vec() }));
    }
    let is_key = !data.flags().contains(gst::BufferFlags::DELTA_UNIT);
    Some(Unit { at_ns, frame, is_key, data, codec: last_codec.clone()? })
}

/// The elements between appsrc and appsink.
fn chain(name: &str, input: &Input, fps: f64, settings: &Settings) -> Result<Vec<gst::Element>, RecordError> {
    let make = |element: &'static str, package: &'static str| {
        gst::ElementFactory::make(element).build().map_err(|_| RecordError::MissingElement { path: name.to_owned(), element, package })
    };
    let (base, bad) = ("gstreamer1.0-plugins-base", "gstreamer1.0-plugins-bad");
    let filter = |caps: gst::Caps| -> Result<gst::Element, RecordError> {
        let filter = make("capsfilter", "libgstreamer1.0-0")?;
        filter.set_property("caps", caps);
        Ok(filter)
    };
    let x264 = make("x264enc", "gstreamer1.0-plugins-ugly");
    let mut chain = Vec::new();
    if !input.is_direct() || x264.is_err() {
        chain.push(make("videoconvert", base)?);
        let mut wanted = gst::Caps::builder("video/x-raw").field("format", "I420");
        if !input.is_direct() {
            wanted = wanted.field("colorimetry", "bt709");
        }
        chain.push(filter(wanted.build())?);
    }
    let key_every = fps.ceil() as u32;
    let avc = gst::Caps::builder("video/x-h264").field("stream-format", "avc").field("alignment", "au").build();
    match x264 {
        Ok(encoder) => {
            encoder.set_property_from_str("speed-preset", settings.preset.name());
            if settings.bitrate_kbps > 0 {
                encoder.set_property("bitrate", settings.bitrate_kbps);
            } else {
                encoder.set_property_from_str("pass", "qual");
                encoder.set_property("quantizer", settings.quality);
                // Else `bitrate` (2 Mbit/s) would limit the quality.
                encoder.set_property("vbv-buf-capacity", 0u32);
            }
            encoder.set_property("key-int-max", key_every);
            // Pictures leave in the order in which they came: the file needs no second time a picture.
            encoder.set_property("bframes", 0u32);
            encoder.set_property("rc-lookahead", 0i32);
            encoder.set_property("sync-lookahead", 0i32);
            // One: on two cores the other belongs to the picture.
            encoder.set_property("threads", 1u32);
            chain.extend([encoder, filter(avc)?]);
        }
        Err(missing) => {
            let encoder = make("openh264enc", bad).map_err(|_| missing)?;
            encoder.set_property_from_str("complexity", "low");
            encoder.set_property("gop-size", key_every);
            encoder.set_property("multi-thread", 1u32);
            if settings.bitrate_kbps > 0 {
                encoder.set_property("bitrate", settings.bitrate_kbps * 1000);
            } else {
                encoder.set_property_from_str("rate-control", "off");
                encoder.set_property("qp-min", settings.quality);
                encoder.set_property("qp-max", settings.quality.max(1));
            }
            chain.extend([encoder, make("h264parse", bad)?, filter(avc)?]);
        }
    }
    Ok(chain)
}

/// Copies a captured frame's planes to where the encoder wants them.
pub fn copy_planes(view: &crate::frame::FrameView<'_>, target: &mut [u8], info: &gst_video::VideoInfo) {
    for plane in 0..view.layout.planes().len().min(info.n_planes() as usize) {
        let (from, offset, stride) = (view.layout.planes()[plane], info.offset()[plane], info.stride()[plane] as usize);
        let next = info.offset().get(plane + 1).copied().unwrap_or(info.size()).min(target.len());
        let wanted = if plane + 1 < info.n_planes() as usize { next - offset } else { info.size() - offset };
        for (y, to) in target[offset..offset + wanted].chunks_mut(stride).take(from.rows).enumerate() {
            let row = view.row(plane, y);
            let bytes = row.len().min(to.len());
            to[..bytes].copy_from_slice(&row[..bytes]);
        }
    }
}
