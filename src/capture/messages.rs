//! GStreamer's start, and its messages in our words. No pipeline is built here.

use super::error::CaptureError;
use crate::base::error::ErrorKind;
use gstreamer as gst;
use gstreamer::prelude::*;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

/// Starts GStreamer once in the life of the process.
pub(super) fn init() -> Result<(), CaptureError> {
    static STARTED: OnceLock<Result<(), String>> = OnceLock::new();
    STARTED.get_or_init(|| gst::init().map_err(|e| e.to_string())).clone().map_err(|reason| CaptureError::GStreamer { reason })
}

/// The family of Debian packages in which an element or a decoder most likely lies.
pub(super) fn debian_package(element: &str) -> &'static str {
    const BY_PREFIX: [(&str, &str); 18] = [
        ("avdec_", "gstreamer1.0-libav"),
        ("avenc_", "gstreamer1.0-libav"),
        ("avdemux_", "gstreamer1.0-libav"),
        ("x264", "gstreamer1.0-plugins-ugly"),
        ("a52dec", "gstreamer1.0-plugins-ugly"),
        ("mpeg2dec", "gstreamer1.0-plugins-ugly"),
        ("v4l2", "gstreamer1.0-plugins-good"),
        ("rtsp", "gstreamer1.0-plugins-good"),
        ("rtp", "gstreamer1.0-plugins-good"),
        ("udp", "gstreamer1.0-plugins-good"),
        ("srt", "gstreamer1.0-plugins-bad"),
        ("decklink", "gstreamer1.0-plugins-bad"),
        ("nv", "gstreamer1.0-plugins-bad"),
        ("va", "gstreamer1.0-plugins-bad"),
        ("h26", "gstreamer1.0-plugins-bad"),
        ("x265", "gstreamer1.0-plugins-bad"),
        ("libcamera", "gstreamer1.0-libcamera"),
        ("gl", "gstreamer1.0-gl"),
    ];
    BY_PREFIX
        .iter()
        .find(|(prefix, _)| element.starts_with(prefix))
        .map_or("gstreamer1.0-plugins-base, -good, -bad or -ugly", |(_, package)| package)
}

/// What the bus says about one pipeline, kept until it is asked for.
pub(super) struct Troubles {
    bus: gst::Bus,
    /// Decoders that were asked for in vain, as GStreamer names them to people.
    missing: Vec<String>,
    /// A decoder has said that it could not read all that it got.
    has_warned: Arc<AtomicBool>,
    /// An error was of what is in the stream, or of what becomes of it: no network's or device file's.
    pub is_of_stream: bool,
}

impl Troubles {
    pub fn of(pipeline: &gst::Pipeline) -> Option<Self> {
        let bus = pipeline.bus()?;
        // Only what is read here may pile up there.
        let has_warned = Arc::new(AtomicBool::new(false));
        let warned = has_warned.clone();
        bus.set_sync_handler(move |_, message| match message.view() {
            gst::MessageView::Error(_) => gst::BusSyncReply::Pass,
            gst::MessageView::Element(e) if e.structure().is_some_and(|s| s.name() == "missing-plugin") => gst::BusSyncReply::Pass,
            gst::MessageView::Warning(warning) => {
                if warning.error().matches(gst::StreamError::Decode) {
                    warned.store(true, Ordering::Release);
                }
                tracing::debug!(from = %warning.src().map(|s| s.path_string()).unwrap_or_default(), "{}", warning.error());
                gst::BusSyncReply::Drop
            }
            _ => gst::BusSyncReply::Drop,
        });
        Some(Troubles { bus, missing: Vec::new(), has_warned, is_of_stream: false })
    }

    /// Has a decoder warned since it was last asked?
    pub fn take_warning(&self) -> bool {
        self.has_warned.swap(false, Ordering::AcqRel)
    }

    /// The error for what was asked for in vain so far, if anything was.
    pub fn missing_decoder(&self, thing: &str) -> Option<CaptureError> {
        (!self.missing.is_empty()).then(|| missing_decoder(thing, &self.missing))
    }

    /// The picture plays: what was missing was for something else (subtitles, say).
    pub fn forget_missing(&mut self) {
        self.missing.clear();
    }

    /// The first error that has come, in our words.
    pub fn first(&mut self, thing: &str, live: bool) -> Option<CaptureError> {
        while let Some(message) = self.bus.pop() {
            match message.view() {
                gst::MessageView::Element(element) => {
                    let name = element.structure().and_then(|s| s.get::<String>("name").ok());
                    self.missing.extend(name);
                }
                gst::MessageView::Error(error) => {
                    self.is_of_stream |= error.error().is::<gst::StreamError>();
                    return Some(translate(thing, error, &self.missing, live));
                }
                _ => {}
            }
        }
        None
    }
}

fn missing_decoder(thing: &str, missing: &[String]) -> CaptureError {
    let what = if missing.is_empty() { "a decoder that GStreamer does not name".to_owned() } else { missing.join(", ") };
    // H.264 and H.265 outside of mp4 and mkv need a parser beside their decoder.
    let package = if what.contains("H.26") {
        "gstreamer1.0-libav and gstreamer1.0-plugins-bad"
    } else {
        "gstreamer1.0-libav, gstreamer1.0-plugins-good, -bad or -ugly"
    };
    CaptureError::MissingDecoder { thing: thing.to_owned(), what, package }
}

fn translate(thing: &str, error: &gst::message::Error, missing: &[String], live: bool) -> CaptureError {
    let (cause, thing) = (error.error(), thing.to_owned());
    tracing::debug!(debug = ?error.debug(), "{cause}");
    let reason = cause.to_string().trim_end_matches('.').to_owned();
    if !missing.is_empty() || cause.matches(gst::StreamError::CodecNotFound) || cause.matches(gst::CoreError::MissingPlugin) {
        return missing_decoder(&thing, missing);
    }
    if cause.matches(gst::StreamError::TypeNotFound) || cause.matches(gst::StreamError::WrongType) {
        return CaptureError::NotVideo { thing, reason: "its contents are of no known kind".to_owned() };
    }
    let broken = [gst::StreamError::Demux, gst::StreamError::Decode, gst::StreamError::Format];
    if !live && broken.iter().any(|&kind| cause.matches(kind)) {
        return CaptureError::Corrupt { thing, reason };
    }
    // "Internal data stream error" says nothing; its debug text ends with the flow's own reason.
    let detail = error.debug().filter(|_| cause.matches(gst::StreamError::Failed));
    let detail = detail.as_deref().and_then(|text| text.rsplit_once("reason ")).map(|(_, flow)| format!(" ({})", flow.trim()));
    let reason = reason + detail.as_deref().unwrap_or("");
    if live {
        CaptureError::Failed { thing, reason, remedy: "check the cable, the device and the network", kind: ErrorKind::Retry }
    } else {
        CaptureError::Failed { thing, reason, remedy: "check it with another player or with gst-launch-1.0", kind: ErrorKind::Stop }
    }
}
