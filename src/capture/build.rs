//! From a live input to its pipeline: the table's elements, then what is the same for all.
//!
//! ```text
//!   stage ! stage ─► decodebin (what is raw passes through) ─► deinterlace (only what says it is interlaced)
//!         ─► videoconvert ─► appsink
//! ```

use super::arrivals::Arrivals;
use super::cuda::Lender;
use super::decoder::{app_sink, caps, element};
use super::error::CaptureError;
use super::input::{Input, Kind, Stage};
use super::messages::debian_package;
use gstreamer as gst;
use gstreamer::glib;
use gstreamer::prelude::*;
use gstreamer_app as gst_app;

/// The pipeline of `input` and its end. `arrivals` notes the packets of what comes over a network; `lender` lends a device to it.
pub(super) fn build(
    input: &Input,
    arrivals: &Arrivals,
    lender: Option<&Lender>,
) -> Result<(gst::Pipeline, gst_app::AppSink), CaptureError> {
    let pipeline = gst::Pipeline::new();
    let failed = |e: glib::BoolError| CaptureError::GStreamer { reason: e.to_string() };
    let decode = element("decodebin")?;
    let convert = element("videoconvert")?;
    let sink = app_sink(1, lender.is_some());
    pipeline.add_many([&decode, &convert, sink.upcast_ref()]).map_err(failed)?;
    convert.link(&sink).map_err(failed)?;
    if let Some(lender) = lender {
        lender.prefer_in(&decode);
    }
    let mut after = convert;
    if input.deinterlace {
        let fields = element("deinterlace")?;
        // Each line is made of its own field alone: nothing waits for the next one.
        for (name, value) in [("mode", "auto"), ("method", "linear"), ("fields", "all")] {
            set(&fields, name, value).map_err(|reason| CaptureError::GStreamer { reason })?;
        }
        pipeline.add(&fields).map_err(failed)?;
        fields.link(&after).map_err(failed)?;
        after = fields;
        if lender.is_some() {
            // That is done in the host's memory.
            let end = sink.clone();
            decode.connect_pad_added(move |_, pad| {
                if pad.current_caps().is_some_and(|caps| is_interlaced(&caps)) {
                    end.set_caps(Some(&caps(false)));
                }
            });
        }
    }
    link_when_there(&decode, &after, "video/");

    let mut last: Option<gst::Element> = None;
    for stage in &input.stages {
        let made = make(&input.uri, stage)?;
        pipeline.add(&made).map_err(failed)?;
        if let Some(last) = &last {
            last.link(&made).map_err(failed)?;
        }
        last = Some(made);
    }
    let Some(last) = last else { return Ok((pipeline, sink)) };
    if input.kind == Kind::Device {
        // Devices that bring a clock of their own are stamped by the machine's all the same.
        pipeline.use_clock(Some(&gst::SystemClock::obtain()));
    }
    let is_network = input.kind == Kind::Network;
    if let Some(pad) = last.static_pad("src") {
        if is_network {
            arrivals.watch_packets(&pad);
        }
        last.link(&decode).map_err(failed)?;
    } else {
        let arrivals = arrivals.clone();
        last.connect_pad_added(move |_, pad| arrivals.watch_packets(pad));
        link_when_there(&last, &decode, "application/x-rtp");
        only_video(&last);
    }
    Ok((pipeline, sink))
}

fn is_interlaced(caps: &gst::CapsRef) -> bool {
    let mode = caps.structure(0).and_then(|s| s.get::<&str>("interlace-mode").ok());
    mode.is_some_and(|mode| mode != "progressive")
}

/// Links the first pad of `from` whose caps begin with `kind`.
fn link_when_there(from: &gst::Element, to: &gst::Element, kind: &'static str) {
    let Some(target) = to.static_pad("sink") else { return };
    from.connect_pad_added(move |_, pad| {
        let caps = pad.current_caps().unwrap_or_else(|| pad.query_caps(None));
        let is_wanted = caps.structure(0).is_some_and(|s| s.name().starts_with(kind));
        // A link that fails shows as a "not-linked" error on the bus.
        if is_wanted
            && !target.is_linked()
            && let Err(error) = pad.link(&target)
        {
            tracing::debug!("{caps}: {error}");
        }
    });
}

/// A camera's sound is not asked for.
fn only_video(source: &gst::Element) {
    if glib::subclass::SignalId::lookup("select-stream", source.type_()).is_none() {
        return;
    }
    source.connect("select-stream", false, |values| {
        let caps = values.get(2).and_then(|value| value.get::<gst::Caps>().ok());
        let is_video = caps.and_then(|caps| Some(caps.structure(0)?.get::<&str>("media").ok()? == "video")).unwrap_or(true);
        Some(is_video.to_value())
    });
}

fn make(uri: &str, stage: &Stage) -> Result<gst::Element, CaptureError> {
    let made = gst::ElementFactory::make(stage.element).build().map_err(|_| {
        let (element, package) = (stage.element.to_owned(), debian_package(stage.element));
        CaptureError::MissingInput { uri: uri.to_owned(), element, package }
    })?;
    for (name, value) in &stage.properties {
        set(&made, name, value).map_err(|reason| CaptureError::Input { uri: uri.to_owned(), reason })?;
    }
    Ok(made)
}

/// Sets a property from its text; why not, if it is not one of its values.
fn set(element: &gst::Element, name: &str, value: &str) -> Result<(), String> {
    let spec = element.find_property(name).ok_or_else(|| format!("this GStreamer's {} has no '{name}'", element.name()))?;
    let value = glib::Value::deserialize(value, spec.value_type()).map_err(|_| format!("'{value}' is no {name} of {}", element.name()))?;
    element.set_property_from_value(name, &value);
    Ok(())
}
