//! The floor: bare GStreamer, decode → convert → display, with no analysis, no overlay and no proof of anything.
//!
//!   live  the source's pictures, decoded ahead, are pushed at their scheduled release into
//!         `appsrc ! videoconvert ! BGRx ! sink sync=false`: the work that a camera's picture cannot do before it is there
//!   file  `filesrc ! decodebin ! videoconvert ! BGRx ! sink sync=true`: converted ahead too, which no camera allows
//!
//! Both end when the sink has returned from the picture; a tracer hook says when that is. Prints one JSON line.

use anyhow::{Context, bail};
use clap::{Parser, ValueEnum};
use gstreamer as gst;
use gstreamer::glib;
use gstreamer::prelude::*;
use gstreamer::subclass::prelude::*;
use gstreamer_app as gst_app;
use gstreamer_video as gst_video;
use keyhole::base::clock::{Clock, MonotonicClock};
use keyhole::capture::{self, Pull};
use keyhole::frame::PixelFormat;
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Span {
    Live,
    File,
}

#[derive(Parser)]
struct Arguments {
    #[arg(long)]
    source: String,
    #[arg(long, value_enum, default_value = "live")]
    span: Span,
    #[arg(long, default_value_t = 10.0)]
    seconds: f64,
    /// The span `file` plays at this rate.
    #[arg(long, default_value_t = 60.0)]
    fps: f64,
    #[arg(long, default_value = "fakesink")]
    sink: String,
    /// Seconds at the start that are not counted.
    #[arg(long, default_value_t = 1.0)]
    warm: f64,
    #[arg(long, hide = true)]
    bench: bool,
}

/// When the sink returned from each buffer: (buffer's stamp, CLOCK_MONOTONIC).
static RETURNED: LazyLock<Mutex<Vec<(u64, u64)>>> = LazyLock::new(Mutex::default);
static PUSHED: Mutex<Option<u64>> = Mutex::new(None);

mod imp {
    use super::*;

    #[derive(Default)]
    pub struct SinkReturned;

    #[glib::object_subclass]
    impl ObjectSubclass for SinkReturned {
        const NAME: &'static str = "SinkReturned";
        type Type = super::SinkReturned;
        type ParentType = gst::Tracer;
    }

    impl ObjectImpl for SinkReturned {
        fn constructed(&self) {
            self.parent_constructed();
            self.register_hook(TracerHook::PadPushPre);
            self.register_hook(TracerHook::PadPushPost);
        }
    }

    impl GstObjectImpl for SinkReturned {}

    fn is_before_sink(pad: &gst::Pad) -> bool {
        pad.peer().and_then(|peer| peer.parent_element()).is_some_and(|element| element.name() == "sink")
    }

    impl TracerImpl for SinkReturned {
        fn pad_push_pre(&self, _: u64, pad: &gst::Pad, buffer: &gst::Buffer) {
            if is_before_sink(pad) {
                *PUSHED.lock().unwrap() = buffer.pts().map(gst::ClockTime::nseconds);
            }
        }

        fn pad_push_post(&self, _: u64, pad: &gst::Pad, _: Result<gst::FlowSuccess, gst::FlowError>) {
            if is_before_sink(pad)
                && let Some(pts) = PUSHED.lock().unwrap().take()
            {
                RETURNED.lock().unwrap().push((pts, MonotonicClock.now_ns()));
            }
        }
    }
}

glib::wrapper! {
    pub struct SinkReturned(ObjectSubclass<imp::SinkReturned>) @extends gst::Tracer, gst::Object;
}

fn main() -> anyhow::Result<()> {
    let a = Arguments::parse();
    gst::init()?;
    let _tracer: SinkReturned = glib::Object::new();
    let (delays_ms, offered) = match a.span {
        Span::Live => live(&a)?,
        Span::File => file(&a)?,
    };
    if delays_ms.is_empty() {
        bail!("{}: no picture reached the sink", a.source);
    }
    println!("{}", line(&a, delays_ms, offered));
    Ok(())
}

/// Delays of the counted pictures, ms, and how many were offered.
fn live(a: &Arguments) -> anyhow::Result<(Vec<f64>, usize)> {
    let clock = Arc::new(MonotonicClock);
    let mut source = capture::open(&a.source, &capture::Settings::default(), clock.clone())?;
    let info = source.info().clone();
    let format = match info.format {
        PixelFormat::Nv12 => gst_video::VideoFormat::Nv12,
        PixelFormat::I420 => gst_video::VideoFormat::I420,
        other => bail!("the floor is measured for NV12 and I420, not {}", other.name()),
    };
    let video = gst_video::VideoInfo::builder(format, info.width as u32, info.height as u32).fps(gst::Fraction::new(0, 1)).build()?;
    let pipeline = gst::parse::launch(&format!(
        "appsrc name=src is-live=true format=time max-buffers=2 leaky-type=downstream ! videoconvert ! video/x-raw,format=BGRx ! {} name=sink sync=false",
        a.sink
    ))?
    .downcast::<gst::Pipeline>()
    .ok()
    .context("not a pipeline")?;
    let appsrc = pipeline.by_name("src").and_downcast::<gst_app::AppSrc>().context("no appsrc")?;
    appsrc.set_caps(Some(&video.to_caps()?));
    pipeline.set_state(gst::State::Playing)?;
    let (mut dues, mut start_ns) = (Vec::new(), None);
    loop {
        let Pull::Picture(picture) = source.pull(Duration::from_millis(100))? else { continue };
        let due_ns = picture.due_ns.context("a live source has a floor of its own")?;
        let start = *start_ns.get_or_insert(due_ns);
        if due_ns > start + (a.seconds * 1e9) as u64 {
            break;
        }
        let mut buffer = gst::Buffer::with_size(video.size())?;
        {
            let buffer = buffer.get_mut().context("the buffer is shared")?;
            buffer.set_pts(gst::ClockTime::from_nseconds(due_ns));
            let mut frame = gst_video::VideoFrameRef::from_buffer_ref_writable(buffer, &video)?;
            let from = picture.planes.here().context("it does not lie here")?;
            for (index, plane) in picture.layout.planes().iter().enumerate() {
                let stride = video.stride()[index] as usize;
                let to = frame.plane_data_mut(index as u32)?;
                for row in 0..plane.rows {
                    let from = &from[index].data[row * from[index].stride..][..plane.row_bytes];
                    to[row * stride..][..plane.row_bytes].copy_from_slice(from);
                }
            }
        }
        clock.sleep_until_ns(due_ns);
        appsrc.push_buffer(buffer)?;
        dues.push(due_ns);
    }
    let _ = appsrc.end_of_stream();
    wait_for_end(&pipeline)?;
    let first = start_ns.unwrap_or(0) + (a.warm * 1e9) as u64;
    let returned = RETURNED.lock().unwrap();
    let delays = returned.iter().filter(|(due, _)| *due >= first).map(|(due, done)| done.saturating_sub(*due) as f64 / 1e6).collect();
    Ok((delays, dues.iter().filter(|due| **due >= first).count()))
}

fn file(a: &Arguments) -> anyhow::Result<(Vec<f64>, usize)> {
    let path = a.source.split('?').next().unwrap_or_default();
    let pipeline = gst::parse::launch(&format!(
        "filesrc location=\"{path}\" ! decodebin ! videoconvert ! video/x-raw,format=BGRx ! {} name=sink sync=true qos=false",
        a.sink
    ))?
    .downcast::<gst::Pipeline>()
    .ok()
    .context("not a pipeline")?;
    pipeline.use_clock(Some(&gst::SystemClock::obtain()));
    let sink = pipeline.by_name("sink").context("no sink")?;
    let pad = sink.static_pad("sink").context("no pad")?;
    pipeline.set_state(gst::State::Paused)?;
    let (state, ..) = pipeline.state(gst::ClockTime::from_seconds(10));
    state.context("it does not preroll")?;
    let fps = pad
        .current_caps()
        .and_then(|caps| caps.structure(0).and_then(|s| s.get::<gst::Fraction>("framerate").ok()))
        .map_or(25.0, |f| f64::from(f.numer()) / f64::from(f.denom()));
    let rate = a.fps / fps;
    let end_ns = MonotonicClock.now_ns() + (a.seconds * 1e9) as u64;
    let (mut delays, mut is_first) = (Vec::new(), true);
    while MonotonicClock.now_ns() < end_ns {
        pipeline.seek(
            rate,
            gst::SeekFlags::FLUSH | gst::SeekFlags::ACCURATE,
            gst::SeekType::Set,
            gst::ClockTime::ZERO,
            gst::SeekType::None,
            gst::ClockTime::NONE,
        )?;
        RETURNED.lock().unwrap().clear();
        pipeline.set_state(gst::State::Playing)?;
        let (state, ..) = pipeline.state(gst::ClockTime::from_seconds(10));
        state.context("it does not play")?;
        let base = pipeline.base_time().context("no base time")?;
        wait_for_end(&pipeline)?;
        let segment = pad.sticky_event::<gst::event::Segment>(0).context("no segment")?;
        let segment = segment.segment().downcast_ref::<gst::ClockTime>().context("no time segment")?.clone();
        let warm = if is_first { (a.warm * a.fps) as usize } else { 2 };
        for (pts, done) in RETURNED.lock().unwrap().iter().skip(warm) {
            if let Some(running) = segment.to_running_time(gst::ClockTime::from_nseconds(*pts)) {
                delays.push((*done as f64 - (base + running).nseconds() as f64) / 1e6);
            }
        }
        is_first = false;
        pipeline.set_state(gst::State::Paused)?;
    }
    pipeline.set_state(gst::State::Null)?;
    let offered = delays.len();
    Ok((delays, offered))
}

fn wait_for_end(pipeline: &gst::Pipeline) -> anyhow::Result<()> {
    let bus = pipeline.bus().context("no bus")?;
    let message = bus.timed_pop_filtered(gst::ClockTime::from_seconds(120), &[gst::MessageType::Eos, gst::MessageType::Error]);
    match message.as_ref().map(|m| m.view()) {
        Some(gst::MessageView::Eos(_)) => Ok(()),
        Some(gst::MessageView::Error(error)) => bail!("{}", error.error()),
        _ => bail!("the pipeline does not end"),
    }
}

fn line(a: &Arguments, mut ms: Vec<f64>, offered: usize) -> serde_json::Value {
    ms.sort_by(f64::total_cmp);
    let at = |q: f64| ms[((q * ms.len() as f64) as usize).min(ms.len() - 1)];
    let cdf: Vec<f64> = (0..=200).map(|i| at(f64::from(i) / 200.0)).collect();
    let span = if a.span == Span::Live { "live" } else { "file" };
    let usage = process_cpu_ms();
    serde_json::json!({
        "name": format!("bare GStreamer, {span} ({})", a.sink), "versions": gst::version_string().as_str(),
        "shown": ms.len(), "dropped": offered - ms.len().min(offered), "inferred": 0,
        "video_ms": {"count": ms.len(), "p50": at(0.5), "p95": at(0.95), "p99": at(0.99), "p999": at(0.999), "max": at(1.0), "cdf": cdf},
        "annotation_ms": null, "age_ms": null, "cpu_ms_a_frame": usage / ((a.warm * a.fps) + ms.len() as f64),
    })
}

/// CPU time of this process so far, ms.
fn process_cpu_ms() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    time.tv_sec as f64 * 1e3 + time.tv_nsec as f64 / 1e6
}
