//! Pictures of which somebody says that they are not whole: through a real pipeline, from the buffer's flag to the event.

use crate::base::clock::{Clock, MonotonicClock};
use crate::capture::decoder::Decoder;
use crate::capture::live::{LivePipeline, Patience};
use crate::capture::{ContentWatch, SignalEvent, messages};
use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app as gst_app;
use std::sync::Arc;
use std::time::Duration;

const SIDE: usize = 64;
/// NV12.
const WHOLE: usize = SIDE * SIDE * 3 / 2;
/// On a busy machine everything may take its time.
const SLOW: Duration = Duration::from_secs(30);

/// A live pipeline that shows what is pushed into it; one picture has come.
fn live() -> (LivePipeline, gst_app::AppSrc) {
    messages::init().unwrap();
    let clock: Arc<dyn Clock> = Arc::new(MonotonicClock);
    let caps = format!("video/x-raw,format=NV12,width={SIDE},height={SIDE},framerate=60/1");
    let description = format!("appsrc name=from is-live=true do-timestamp=true format=time caps=\"{caps}\"");
    let mut decoder = Decoder::for_description(&description, 2, clock.clone(), None).unwrap();
    let from = decoder.pipeline.by_name("from").unwrap().downcast::<gst_app::AppSrc>().unwrap();
    decoder.prepare().unwrap();
    push(&from, 0, WHOLE, false);
    (LivePipeline::start(decoder, clock, Patience { at_most: SLOW, without_data: SLOW }, &|| false).unwrap(), from)
}

fn push(to: &gst_app::AppSrc, n: u8, bytes: usize, is_flagged: bool) {
    // No two are alike, and no rows move.
    let mut buffer = gst::Buffer::from_slice(vec![60 + n % 100; bytes]);
    if is_flagged {
        buffer.get_mut().unwrap().set_flags(gst::BufferFlags::CORRUPTED);
    }
    to.push_buffer(buffer).unwrap();
}

/// The next picture: is it damaged? What came before it and was none is passed over.
fn next(pipeline: &mut LivePipeline) -> (bool, u32) {
    let begun = std::time::Instant::now();
    loop {
        assert!(begun.elapsed() < SLOW, "nothing comes");
        if let Some((mapped, stamped)) = pipeline.next(Duration::from_millis(50)).unwrap() {
            return (mapped.is_damaged, stamped.skipped);
        }
    }
}

#[test]
fn what_the_decoder_flags_and_what_is_too_short_is_damaged_and_the_next_one_is_sound() {
    let (mut pipeline, from) = live();
    assert_eq!(next(&mut pipeline), (false, 0));
    push(&from, 1, WHOLE, true);
    assert_eq!(next(&mut pipeline), (true, 0));
    push(&from, 2, WHOLE, false);
    assert_eq!(next(&mut pipeline), (false, 0));
    // Nothing can be shown of it: the one that follows says so, and it counts as missed.
    push(&from, 3, WHOLE / 2, false);
    push(&from, 4, WHOLE, false);
    assert_eq!(next(&mut pipeline), (true, 1));
    push(&from, 5, WHOLE, false);
    assert_eq!(next(&mut pipeline), (false, 0));
}

#[test]
fn pictures_that_keep_coming_damaged_are_named_by_the_third() {
    let (mut pipeline, from) = live();
    let mut watch = ContentWatch::new(u64::MAX, u64::MAX, None);
    let mut said = Vec::new();
    for n in 0..120u8 {
        if n > 0 {
            push(&from, n, WHOLE, (20..40).contains(&n));
        }
        let at_ns = u64::from(n) * 16_666_667;
        let mapped = loop {
            if let Some((mapped, _)) = pipeline.next(Duration::from_millis(50)).unwrap() {
                break mapped;
            }
        };
        said.extend(watch.look(&mapped.picture(at_ns, None, at_ns, None, 0), None, at_ns).into_iter().flatten().map(|event| (n, event)));
    }
    said.retain(|(_, event)| matches!(event, SignalEvent::Damaged { .. } | SignalEvent::Sound { .. }));
    let expected = [
        (20, SignalEvent::Damaged { is_stream: false }),
        (22, SignalEvent::Damaged { is_stream: true }),
        (75, SignalEvent::Sound { pictures: 20 }),
    ];
    assert_eq!(said, expected, "33 ms after the first, and calm 600 ms after the last");
}

/// Half a second of H.264, a unit a picture; None (and a line that says so) where nobody can make it.
fn coded(test: &str) -> Option<Vec<Vec<u8>>> {
    messages::init().unwrap();
    let text = "videotestsrc pattern=ball num-buffers=40 ! video/x-raw,format=I420,width=320,height=240,framerate=30/1 \
                ! x264enc key-int-max=100 bframes=0 ! video/x-h264,stream-format=byte-stream,alignment=au ! appsink name=to sync=false";
    let Ok(pipeline) = gst::parse::launch(text) else {
        println!("SKIPPED {test}: no x264enc");
        return None;
    };
    let pipeline = pipeline.downcast::<gst::Pipeline>().unwrap();
    let to = pipeline.by_name("to").unwrap().downcast::<gst_app::AppSink>().unwrap();
    pipeline.set_state(gst::State::Playing).unwrap();
    let units = std::iter::from_fn(|| to.pull_sample().ok()).map(|s| s.buffer().unwrap().map_readable().unwrap().to_vec()).collect();
    pipeline.set_state(gst::State::Null).unwrap();
    Some(units)
}

#[test]
fn what_libav_fills_in_by_itself_is_damaged() {
    let test = "what_libav_fills_in_by_itself_is_damaged";
    let Some(mut units) = coded(test) else { return };
    if gst::ElementFactory::find("avdec_h264").is_none() {
        return println!("SKIPPED {test}: no avdec_h264");
    }
    // The middle of each unit of a while is another one's.
    for unit in &mut units[15..25] {
        let length = unit.len();
        unit[length / 2..].iter_mut().for_each(|byte| *byte ^= 0x5a);
    }
    let clock: Arc<dyn Clock> = Arc::new(MonotonicClock);
    let caps = "video/x-h264,stream-format=byte-stream,alignment=au,width=320,height=240,framerate=30/1";
    let decode = "avdec_h264 max-threads=1";
    let description = format!("appsrc name=from is-live=true do-timestamp=true format=time caps=\"{caps}\" ! h264parse ! {decode}");
    let mut decoder = Decoder::for_description(&description, 2, clock.clone(), None).unwrap();
    let from = decoder.pipeline.by_name("from").unwrap().downcast::<gst_app::AppSrc>().unwrap();
    decoder.prepare().unwrap();
    // Parser and decoder keep one or two back.
    let push = |n: usize| {
        from.push_buffer(gst::Buffer::from_slice(units[n].clone())).unwrap();
    };
    (0..4).for_each(push);
    let mut pipeline = LivePipeline::start(decoder, clock, Patience { at_most: SLOW, without_data: SLOW }, &|| false).unwrap();
    let mut damaged = 0;
    for n in 4..40 {
        push(n);
        if let Some((mapped, _)) = pipeline.next(Duration::from_millis(100)).unwrap() {
            damaged += u32::from(mapped.is_damaged);
        }
    }
    assert!(damaged >= 3, "{damaged}");
}
