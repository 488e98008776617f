//! What is attached to this box: cameras and cards, with what they offer and the `--source` that takes it.
//! Asks GStreamer's device monitor and looks at /dev; opens no stream.

use super::error::CaptureError;
use super::{messages, node};
use gstreamer as gst;
use gstreamer::prelude::*;
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// A device that gives video.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Device {
    pub name: String,
    /// What to write after `--source`: the device as it comes.
    pub source: String,
    /// The same by a name that lasts when its number changes, where it has one.
    pub lasting_source: Option<String>,
    pub modes: Vec<DeviceMode>,
    /// Why nothing is known of its modes.
    pub note: Option<String>,
}

/// One pixel format and size, with its rates.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DeviceMode {
    /// As in `v4l2:…?format=`.
    pub format: String,
    pub width: u32,
    pub height: u32,
    /// Pictures a second, the highest first, as `--source` takes them; empty where the device does not say.
    pub rates: Vec<String>,
    /// What to write after `--source` to get this one at its highest rate.
    pub source: String,
}

/// Looks for devices. Empty: nothing is attached, or nothing that may be seen.
pub fn find() -> Result<Vec<Device>, CaptureError> {
    messages::init()?;
    let monitor = gst::DeviceMonitor::new();
    monitor.add_filter(Some("Video/Source"), None);
    // A monitor without providers cannot start; what is in /dev is then still listed.
    let seen: Vec<gst::Device> = if monitor.start().is_ok() { monitor.devices().into_iter().collect() } else { Vec::new() };
    let mut found: BTreeMap<String, Device> = seen.iter().filter_map(describe).map(|device| (device.source.clone(), device)).collect();
    monitor.stop();
    for path in video_nodes() {
        let source = format!("v4l2:{}", path.display());
        found.entry(source.clone()).or_insert_with(|| Device {
            name: path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            lasting_source: lasting(&path),
            source,
            modes: Vec::new(),
            note: Some("it offers no video to capture, or may not be opened (group 'video')".into()),
        });
    }
    Ok(found.into_values().collect())
}

/// /dev/video*, in the order of their numbers.
fn video_nodes() -> Vec<PathBuf> {
    let mut nodes: Vec<(u32, PathBuf)> = std::fs::read_dir("/dev")
        .into_iter()
        .flatten()
        .filter_map(|entry| {
            let path = entry.ok()?.path();
            let number = path.file_name()?.to_str()?.strip_prefix("video")?.parse().ok()?;
            Some((number, path))
        })
        .collect();
    nodes.sort();
    nodes.into_iter().map(|(_, path)| path).collect()
}

fn describe(device: &gst::Device) -> Option<Device> {
    let properties = device.properties()?;
    let text = |key: &str| properties.get::<String>(key).ok();
    let path = text("device.path").or_else(|| text("api.v4l2.path"));
    let lasting_source = path.as_ref().and_then(|path| lasting(Path::new(path)));
    let source = match path {
        Some(path) if path.starts_with("/dev/video") => format!("v4l2:{path}"),
        _ => format!("decklink:{}", properties.get::<i32>("device-number").ok().or_else(|| element_number(device))?),
    };
    let modes = device.caps().map_or_else(Vec::new, |caps| modes(&source, &caps));
    let note = modes.is_empty().then(|| "it does not say what it offers".to_owned());
    Some(Device { name: device.display_name().to_string(), source, lasting_source, modes, note })
}

fn lasting(node: &Path) -> Option<String> {
    node::lasting_name(Path::new("/dev"), node).map(|name| format!("v4l2:{}", name.display()))
}

/// A card's number, where only the element that it would make knows it.
fn element_number(device: &gst::Device) -> Option<i32> {
    let element = device.create_element(None).ok()?;
    let is_decklink = element.factory().is_some_and(|factory| factory.name() == "decklinkvideosrc");
    is_decklink.then(|| element.property::<i32>("device-number"))
}

/// One line for each format and size that caps name; ranges of sizes are listed by their largest.
fn modes(source: &str, caps: &gst::CapsRef) -> Vec<DeviceMode> {
    let mut modes: Vec<DeviceMode> = Vec::new();
    for structure in caps.iter() {
        let (Some(width), Some(height)) = (largest(structure, "width"), largest(structure, "height")) else { continue };
        let mut rates: Vec<gst::Fraction> = structure.value("framerate").map(fractions).unwrap_or_default();
        rates.sort_by(|a, b| b.cmp(a));
        rates.dedup();
        let rates: Vec<String> = rates.into_iter().map(rate_text).collect();
        for format in formats(structure) {
            let mut source = source.to_owned();
            if source.starts_with("v4l2:") {
                source += &format!("?size={width}x{height}&format={format}");
                source += &rates.first().map_or_else(String::new, |rate| format!("&fps={rate}"));
            }
            let mode = DeviceMode { format, width, height, rates: rates.clone(), source };
            if !modes.iter().any(|other| (&other.format, other.width, other.height) == (&mode.format, width, height)) {
                modes.push(mode);
            }
        }
    }
    modes.sort_by_key(|mode| std::cmp::Reverse((mode.width * mode.height, mode.format.clone())));
    modes
}

fn formats(structure: &gst::StructureRef) -> Vec<String> {
    match structure.name().as_str() {
        "image/jpeg" => vec!["MJPG".into()],
        "video/x-h264" => vec!["H264".into()],
        "video/x-raw" => match structure.value("format") {
            Ok(value) => match value.get::<gst::List>() {
                Ok(list) => list.iter().filter_map(|v| v.get::<String>().ok()).collect(),
                Err(_) => value.get::<String>().into_iter().collect(),
            },
            Err(_) => Vec::new(),
        },
        _ => Vec::new(),
    }
}

fn largest(structure: &gst::StructureRef, field: &str) -> Option<u32> {
    let value = structure.value(field).ok()?;
    let largest = value
        .get::<i32>()
        .ok()
        .or_else(|| value.get::<gst::IntRange<i32>>().ok().map(|range| range.max()))
        .or_else(|| value.get::<gst::List>().ok()?.iter().filter_map(|v| v.get::<i32>().ok()).max())?;
    u32::try_from(largest).ok().filter(|&side| side > 0)
}

fn fractions(value: &gst::glib::SendValue) -> Vec<gst::Fraction> {
    let one = |value: &gst::glib::SendValue| -> Vec<gst::Fraction> {
        if let Ok(fraction) = value.get::<gst::Fraction>() {
            return vec![fraction];
        }
        value.get::<gst::FractionRange>().map(|range| vec![range.max(), range.min()]).unwrap_or_default()
    };
    let all = value.get::<gst::List>().map_or_else(|_| one(value), |list| list.iter().flat_map(one).collect());
    // 0/1 and 2147483647/1 are GStreamer's "any".
    all.into_iter().filter(|rate| rate.numer() > 0 && rate.numer() / rate.denom() <= 1000).collect()
}

/// As `--source` takes it: `60`, or `60000/1001`.
fn rate_text(rate: gst::Fraction) -> String {
    match (rate.numer(), rate.denom()) {
        (num, 1) => num.to_string(),
        (num, den) => format!("{num}/{den}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::input;

    fn caps(text: &str) -> gst::Caps {
        gst::init().unwrap();
        text.parse().unwrap()
    }

    #[test]
    fn a_cameras_caps_become_sources_that_can_be_taken() {
        let caps = caps(
            "video/x-raw,format=YUY2,width=640,height=480,framerate={(fraction)30/1,(fraction)15/1};\
             video/x-raw,format=YUY2,width=1920,height=1080,framerate=(fraction)5/1;\
             image/jpeg,width=1920,height=1080,framerate={(fraction)60000/1001,(fraction)30/1};\
             video/x-raw,format={NV12,YUY2},width=[16,640],height=[16,480],framerate=[0/1,2147483647/1]",
        );
        let modes = modes("v4l2:/dev/video0", &caps);
        let lines: Vec<String> = modes.iter().map(|m| format!("{} {}x{} {}", m.format, m.width, m.height, m.rates.join(" "))).collect();
        assert_eq!(lines, ["YUY2 1920x1080 5", "MJPG 1920x1080 60000/1001 30", "YUY2 640x480 30 15", "NV12 640x480 "]);
        assert_eq!(modes[1].source, "v4l2:/dev/video0?size=1920x1080&format=MJPG&fps=60000/1001");
        for mode in modes {
            assert!(input::parse(&mode.source).unwrap().is_ok(), "{}", mode.source);
        }
    }

    #[test]
    fn looking_for_devices_fails_on_no_machine() {
        for device in find().unwrap() {
            assert!(input::parse(&device.source).unwrap().is_ok(), "{device:?}");
        }
    }
}
