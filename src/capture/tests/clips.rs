//! Small clips, made with GStreamer's own encoders. Picture n of `numbered` is flat grey of luma `luma(n)`.

use crate::capture::messages;
use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app as gst_app;
use std::path::{Path, PathBuf};

/// Luma of picture `n`, far enough from its neighbours' to survive an encoder.
pub fn luma(n: usize) -> u8 {
    16 + 8 * (n % 25) as u8
}

/// Which picture has this luma.
pub fn number_of(luma: u8) -> usize {
    (usize::from(luma) - 16 + 4) / 8
}

/// Runs `description`, to which a file sink at `path` is added, until it ends.
pub fn write(description: &str, path: &Path) {
    messages::init().unwrap();
    let pipeline = gst::parse::launch(&format!("{description} ! filesink name=to")).unwrap().downcast::<gst::Pipeline>().unwrap();
    pipeline.by_name("to").unwrap().set_property("location", path);
    run(&pipeline);
}

fn run(pipeline: &gst::Pipeline) {
    pipeline.set_state(gst::State::Playing).unwrap();
    let wanted = [gst::MessageType::Eos, gst::MessageType::Error];
    let message = pipeline.bus().unwrap().timed_pop_filtered(gst::ClockTime::from_seconds(30), &wanted);
    pipeline.set_state(gst::State::Null).unwrap();
    match message.as_ref().map(|m| m.view()) {
        Some(gst::MessageView::Eos(_)) => {}
        Some(gst::MessageView::Error(error)) => panic!("{}: {:?}", error.error(), error.debug()),
        _ => panic!("the clip was not written within 30 s"),
    }
}

/// What stands between raw pictures and the file.
pub const MP4: &str = "x264enc speed-preset=ultrafast bframes=0 threads=1 ! mp4mux";
pub const MP4_B_FRAMES: &str = "x264enc speed-preset=veryfast bframes=3 threads=1 ! mp4mux";
pub const AVI: &str = "jpegenc ! avimux";
pub const MKV: &str = "avenc_ffv1 ! matroskamux";

/// `stamps_ns[n]` is picture n's time stamp.
pub fn numbered_at(path: &Path, through: &str, (width, height): (usize, usize), rate: (i32, i32), stamps_ns: &[u64]) {
    messages::init().unwrap();
    let pipeline =
        gst::parse::launch(&format!("appsrc name=from ! {through} ! filesink name=to")).unwrap().downcast::<gst::Pipeline>().unwrap();
    pipeline.by_name("to").unwrap().set_property("location", path);
    let source = pipeline.by_name("from").unwrap().downcast::<gst_app::AppSrc>().unwrap();
    let caps = gst::Caps::builder("video/x-raw")
        .field("format", "I420")
        .field("width", width as i32)
        .field("height", height as i32)
        .field("framerate", gst::Fraction::new(rate.0, rate.1));
    let caps = if rate.0 == 0 { caps.field("max-framerate", gst::Fraction::new(60, 1)) } else { caps };
    source.set_caps(Some(&caps.build()));
    source.set_format(gst::Format::Time);
    source.set_max_bytes(0);
    let info = gstreamer_video::VideoInfo::builder(gstreamer_video::VideoFormat::I420, width as u32, height as u32).build().unwrap();
    for (n, &stamp_ns) in stamps_ns.iter().enumerate() {
        let mut pixels = vec![128; info.size()];
        pixels[..info.offset()[1]].fill(luma(n));
        let mut buffer = gst::Buffer::from_mut_slice(pixels);
        let fields = buffer.get_mut().unwrap();
        fields.set_pts(gst::ClockTime::from_nseconds(stamp_ns));
        if rate.0 > 0 {
            fields.set_duration(gst::ClockTime::from_nseconds(1_000_000_000 * rate.1 as u64 / rate.0 as u64));
        }
        source.push_buffer(buffer).unwrap();
    }
    source.end_of_stream().unwrap();
    run(&pipeline);
}

/// `count` numbered pictures of 64×48 at 25 a second, as `name` in `folder`.
pub fn numbered(folder: &Path, name: &str, through: &str, count: usize) -> PathBuf {
    let path = folder.join(name);
    let stamps_ns: Vec<u64> = (0..count as u64).map(|n| n * 40_000_000).collect();
    numbered_at(&path, through, (64, 48), (25, 1), &stamps_ns);
    path
}
