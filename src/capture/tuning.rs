//! What a decoder is told before it sees its first data: how many threads, what to do with damage, and what a file's
//! demuxer got wrong.

use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_video as gst_video;

/// Largest picture that one thread decodes with ease (720p: about 5 ms of a core); from there on frames are decoded side
/// by side. One thread holds fewer pictures back and leaves the other core to the AI.
const ONE_THREAD_PIXELS: i32 = 1280 * 720;
/// More threads hold more pictures back and gain nothing at 60 pictures a second.
const MOST_THREADS: usize = 4;

pub(super) fn is_video_decoder(element: &gst::Element) -> bool {
    let klass = element.factory().and_then(|f| f.metadata("klass").map(str::to_owned)).unwrap_or_default();
    klass.contains("Decoder") && (klass.contains("Video") || klass.contains("Image"))
}

/// Sets a libav decoder's threads when it learns the picture's size. With `full_range`, the file's own header says full
/// range: GStreamer 1.22 reads the matrix from that header and takes the range to be limited.
pub(super) fn tune(decoder: &gst::Element, full_range: bool) {
    let Some(sink) = decoder.static_pad("sink") else { return };
    let weak = decoder.downgrade();
    sink.add_probe(gst::PadProbeType::EVENT_DOWNSTREAM, move |_, info| {
        let Some(gst::PadProbeData::Event(event)) = &info.data else { return gst::PadProbeReturn::Ok };
        let gst::EventView::Caps(caps) = event.view() else { return gst::PadProbeReturn::Ok };
        if let Some(decoder) = weak.upgrade() {
            set_threads(&decoder, caps.caps());
        }
        if full_range && let Some(caps) = with_full_range(caps.caps()) {
            info.data = Some(gst::PadProbeData::Event(gst::event::Caps::new(&caps)));
        }
        gst::PadProbeReturn::Ok
    });
}

/// A live picture is decoded at once: side by side within a picture, never several pictures at a time, each of which
/// would be held back; and one that lacks what it was predicted from is not shown.
pub(super) fn tune_live(decoder: &gst::Element) {
    for (name, value) in [("thread-type", "slice"), ("output-corrupt", "false")] {
        let Some(spec) = decoder.find_property(name) else { continue };
        if let Ok(value) = gst::glib::Value::deserialize(value, spec.value_type()) {
            decoder.set_property_from_value(name, &value);
        }
    }
}

fn set_threads(decoder: &gst::Element, caps: &gst::CapsRef) {
    if decoder.find_property("max-threads").is_none_or(|spec| spec.value_type() != i32::static_type()) {
        return;
    }
    let size = caps.structure(0).and_then(|s| Some((s.get::<i32>("width").ok()?, s.get::<i32>("height").ok()?)));
    let is_small = size.is_some_and(|(width, height)| width.saturating_mul(height) <= ONE_THREAD_PIXELS);
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    decoder.set_property("max-threads", if is_small { 1 } else { cores.min(MOST_THREADS) as i32 });
}

/// None where the caps say nothing about colours, or full range already.
fn with_full_range(caps: &gst::CapsRef) -> Option<gst::Caps> {
    let said: gst_video::VideoColorimetry = caps.structure(0)?.get::<&str>("colorimetry").ok()?.parse().ok()?;
    if said.range() != gst_video::VideoColorRange::Range16_235 {
        return None;
    }
    let meant = gst_video::VideoColorimetry::new(gst_video::VideoColorRange::Range0_255, said.matrix(), said.transfer(), said.primaries());
    let mut caps = caps.to_owned();
    caps.make_mut().set("colorimetry", meant.to_string());
    Some(caps)
}
