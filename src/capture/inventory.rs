//! Which inputs this machine's GStreamer can open. Nothing is opened.

use super::error::CaptureError;
use super::input;
use super::messages;
use crate::base::inventory::{Item, State};
use gstreamer as gst;

/// One input of each kind, written as `--source` takes it.
const INPUTS: [&str; 6] =
    ["v4l2:/dev/video0", "decklink:0", "rtsp://host:554/path", "srt://host:4201", "udp://:5000", "rtp://:5004?encoding=H264"];
/// What every picture passes.
const PATH: [&str; 5] = ["appsink", "decodebin", "videoconvert", "deinterlace", "typefind"];
/// Recordings: containers, and decoders of what endoscope towers write.
const FILES: [&str; 7] = ["filesrc", "qtdemux", "matroskademux", "tsdemux", "h264parse", "avdec_h264", "avdec_h265"];

/// What decodes, or brings pictures there, so that they stay there.
const ON_A_GPU: [&str; 4] = ["nvh264dec", "nvh265dec", "nvjpegdec", "cudaupload"];

/// GStreamer, then what pictures pass, then each kind of input.
pub fn inventory() -> Vec<Item> {
    if let Err(error) = messages::init() {
        return vec![Item::new(State::Missing, error.to_string())];
    }
    let mut items = vec![Item::new(State::Ok, gst::version_string().to_string())];
    items.push(elements("frame path:", &PATH, State::Missing));
    items.push(elements("recordings:", &FILES, State::Limited));
    items.push(on_a_gpu());
    items.extend(INPUTS.map(|uri| {
        let scheme = uri.split_once(':').map_or(uri, |(scheme, _)| scheme);
        match input::parse(uri) {
            Some(Ok(input)) => {
                let needed: Vec<&str> = input.stages.iter().map(|stage| stage.element).collect();
                elements(&format!("{scheme}:"), &needed, State::Limited)
            }
            Some(Err(error)) => Item::new(State::Limited, error.to_string()),
            None => Item::of(Err(CaptureError::Unknown { uri: uri.to_owned(), note: "" }), State::Limited),
        }
    }));
    items
}

fn on_a_gpu() -> Item {
    let found: Vec<&str> = ON_A_GPU.into_iter().filter(|name| gst::ElementFactory::find(name).is_some()).collect();
    if found.is_empty() {
        let reason = "GStreamer's plugin nvcodec finds no NVIDIA driver with its decoder library (libnvcuvid.so.1)";
        return Item::new(State::Absent, format!("decoded on a GPU: nothing; {reason}"));
    }
    Item::new(State::Ok, format!("decoded on a GPU: {}", found.join(", ")))
}

/// `state`: what it is without one of them.
fn elements(what: &str, needed: &[&str], state: State) -> Item {
    let missing: Vec<&str> = needed.iter().copied().filter(|name| gst::ElementFactory::find(name).is_none()).collect();
    if missing.is_empty() {
        return Item::new(State::Ok, format!("{what} {}", needed.join(", ")));
    }
    let mut packages: Vec<&str> = missing.iter().map(|name| messages::debian_package(name)).collect();
    packages.sort_unstable();
    packages.dedup();
    let text = format!("{what} GStreamer has no element '{}'; install it (Debian: {})", missing.join("', '"), packages.join(", "));
    Item::new(state, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_opens_every_kind_of_input() {
        let items = inventory();
        assert_eq!(items.len(), 4 + INPUTS.len());
        // What the set-up installs, and a card is none of that.
        assert!(items.iter().all(|item| item.state == State::Ok || item.text.starts_with("decoded on a GPU: ")), "{items:#?}");
        assert!(items[0].text.contains("GStreamer 1."), "{items:#?}");
        assert!(items.iter().any(|item| item.text == "v4l2: v4l2src"), "{items:#?}");
    }

    #[test]
    fn an_element_that_is_not_there_is_named_with_its_package() {
        messages::init().unwrap();
        let item = elements("frame path", &["appsink", "x264nosuch", "avdec_nosuch"], State::Missing);
        assert_eq!(item.state, State::Missing);
        for part in ["x264nosuch", "avdec_nosuch", "gstreamer1.0-plugins-ugly", "gstreamer1.0-libav"] {
            assert!(item.text.contains(part), "{}", item.text);
        }
        assert!(!item.text.contains("appsink"), "{}", item.text);
    }
}
