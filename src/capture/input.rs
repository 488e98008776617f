//! Live inputs: one table between what `--source` says and the GStreamer elements that deliver it. What comes after the
//! table's elements (decoding, deinterlacing, stamping, supervision) is the same for all of them, so that a stand-in for
//! an absent device exercises everything but the device.
//!
//! | URI | elements | stamp |
//! | --- | --- | --- |
//! | `v4l2:/dev/video0?size=1920x1080&fps=60&format=YUY2`, `v4l2:/dev/v4l/by-id/…` | v4l2src | the driver's |
//! | `decklink:0?mode=1080p60&connection=sdi` | decklinkvideosrc | the card's, on our clock |
//! | `rtsp://…`, `rtsps://…` `?transport=tcp&latency=0` | rtspsrc | last packet before decoding |
//! | `srt://host:port?…` (MPEG-TS) | srtsrc | last packet |
//! | `udp://:5000` (MPEG-TS) | udpsrc | last packet |
//! | `rtp://:5004?encoding=H264&payload=96&latency=0` | udpsrc, rtpjitterbuffer | last packet |
//!
//! All take `deinterlace=auto|off`. In a network address other options stay part of the address.

use super::error::CaptureError;
use super::pace::Rate;

/// One element and its settings, as text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stage {
    pub element: &'static str,
    pub properties: Vec<(&'static str, String)>,
}

/// A live input, ready to be built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Input {
    pub uri: String,
    /// In a row; the last one's pads carry the video.
    pub stages: Vec<Stage>,
    pub kind: Kind,
    /// Property of the first stage that holds the path of a device.
    pub node: Option<&'static str>,
    /// Interlaced pictures are made progressive, one from each field.
    pub deinterlace: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Stamped by the driver.
    Device,
    /// Stamped by the arrival of packets.
    Network,
}

/// What is taken from a URI's query, and what stays in the address.
struct Options<'a> {
    uri: &'a str,
    address: String,
    pairs: Vec<(&'a str, &'a str)>,
}

type Make = fn(&mut Options<'_>) -> Result<Vec<Stage>, String>;

/// Scheme, how it is stamped, the options that are ours, and its elements.
const INPUTS: [(&str, Kind, &[&str], Make); 7] = [
    ("v4l2", Kind::Device, &["size", "fps", "format"], v4l2),
    ("decklink", Kind::Device, &["mode", "connection", "format"], decklink),
    ("rtsp", Kind::Network, &["transport", "latency"], rtsp),
    ("rtsps", Kind::Network, &["transport", "latency"], rtsp),
    ("srt", Kind::Network, &[], srt),
    ("udp", Kind::Network, &[], udp),
    ("rtp", Kind::Network, &["encoding", "payload", "latency"], rtp),
];

/// The input that `uri` names; None if its scheme is none of a live input.
pub(super) fn parse(uri: &str) -> Option<Result<Input, CaptureError>> {
    let (scheme, _) = uri.split_once(':')?;
    let &(_, kind, known, make) = INPUTS.iter().find(|(name, ..)| *name == scheme)?;
    Some(read(uri, kind, known, make).map_err(|reason| CaptureError::Input { uri: uri.to_owned(), reason }))
}

fn read(uri: &str, kind: Kind, known: &[&str], make: Make) -> Result<Input, String> {
    let (address, query) = uri.split_once('?').unwrap_or((uri, ""));
    let mut options = Options { uri, address: address.to_owned(), pairs: Vec::new() };
    let mut kept = Vec::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        match pair.split_once('=') {
            Some((key, value)) if key == "deinterlace" || known.contains(&key) => options.pairs.push((key, value)),
            // A camera's own address may hold anything.
            _ if matches!(kind, Kind::Network) && scheme_keeps_its_query(uri) => kept.push(pair),
            _ => return Err(format!("'{pair}' is not known here; known are deinterlace, {}", known.join(", "))),
        }
    }
    if !kept.is_empty() {
        options.address = format!("{address}?{}", kept.join("&"));
    }
    let deinterlace = match options.take("deinterlace") {
        None | Some("auto") => true,
        Some("off") => false,
        Some(other) => return Err(format!("deinterlace={other}: write auto or off")),
    };
    let node = uri.starts_with("v4l2:").then_some("device");
    Ok(Input { uri: uri.to_owned(), stages: make(&mut options)?, kind, node, deinterlace })
}

fn scheme_keeps_its_query(uri: &str) -> bool {
    uri.starts_with("rtsp") || uri.starts_with("srt:")
}

impl<'a> Options<'a> {
    fn take(&mut self, key: &str) -> Option<&'a str> {
        let at = self.pairs.iter().position(|(name, _)| *name == key)?;
        Some(self.pairs.remove(at).1)
    }

    /// What stands behind the scheme, without slashes.
    fn rest(&self) -> &'a str {
        let uri = self.uri.split_once('?').map_or(self.uri, |(address, _)| address);
        uri.split_once(':').map_or("", |(_, rest)| rest)
    }

    /// Host and port of `//host:port`; an empty host means every address of this machine.
    fn host_and_port(&self) -> Result<(String, u16), String> {
        let place = self.rest().trim_start_matches('/').trim_start_matches('@').trim_end_matches('/');
        let (host, port) = place.rsplit_once(':').ok_or("there is no port; write it as //host:port or //:port")?;
        let port = port.parse().ok().filter(|&port| port > 0).ok_or_else(|| format!("'{port}' is not a port"))?;
        Ok((if host.is_empty() { "0.0.0.0".to_owned() } else { host.to_owned() }, port))
    }

    fn milliseconds(&mut self, key: &str, default: u32) -> Result<String, String> {
        let Some(text) = self.take(key) else { return Ok(default.to_string()) };
        let ms: u32 =
            text.parse().ok().filter(|&ms| ms <= 10_000).ok_or_else(|| format!("{key}={text}: write milliseconds up to 10000"))?;
        Ok(ms.to_string())
    }
}

/// A word of letters, digits and a few signs: nothing that GStreamer would read as more than a name.
fn is_word(text: &str) -> bool {
    !text.is_empty() && text.len() <= 40 && text.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
}

fn stage(element: &'static str, properties: Vec<(&'static str, String)>) -> Stage {
    Stage { element, properties }
}

fn v4l2(options: &mut Options<'_>) -> Result<Vec<Stage>, String> {
    let device = options.rest();
    if !device.starts_with('/') {
        return Err("name a device, as v4l2:/dev/video0 (see: keyhole sources)".to_owned());
    }
    let mut stages = vec![stage("v4l2src", vec![("device", device.to_owned()), ("io-mode", "mmap".to_owned())])];
    let mut fields = String::new();
    if let Some(size) = options.take("size") {
        let sides = size.split_once('x').and_then(|(w, h)| Some((w.parse::<u16>().ok()?, h.parse::<u16>().ok()?)));
        let (width, height) = sides.ok_or_else(|| format!("size={size}: write it as 1920x1080"))?;
        fields += &format!(",width={width},height={height}");
    }
    if let Some(fps) = options.take("fps") {
        let (num, den) = Rate::parse(fps).ok_or_else(|| format!("fps={fps} is not a frame rate"))?.fraction();
        fields += &format!(",framerate={num}/{den}");
    }
    let caps = match options.take("format") {
        Some("MJPG" | "JPEG") => format!("image/jpeg{fields}"),
        Some("H264") => format!("video/x-h264{fields}"),
        Some(format) if is_word(format) => format!("video/x-raw,format={format}{fields}"),
        Some(format) => return Err(format!("format={format} is not a pixel format")),
        None if fields.is_empty() => return Ok(stages),
        None => format!("video/x-raw{fields};image/jpeg{fields};video/x-h264{fields}"),
    };
    stages.push(stage("capsfilter", vec![("caps", caps)]));
    Ok(stages)
}

fn decklink(options: &mut Options<'_>) -> Result<Vec<Stage>, String> {
    let card: u8 = options.rest().parse().map_err(|_| "name a card by its number, as decklink:0".to_owned())?;
    // What the card has lost it does not make up: no picture comes instead of a grey one.
    let mut properties = vec![("device-number", card.to_string())];
    for (key, property) in [("mode", "mode"), ("connection", "connection"), ("format", "video-format")] {
        let value = options.take(key).unwrap_or("auto");
        if !is_word(value) {
            return Err(format!("{key}={value} is not one of decklinkvideosrc's names (see gst-inspect-1.0 decklinkvideosrc)"));
        }
        properties.push((property, value.to_owned()));
    }
    Ok(vec![stage("decklinkvideosrc", properties)])
}

/// A connection that is not answered in this time is tried again. µs
const CONNECT_US: &str = "1000000";

fn rtsp(options: &mut Options<'_>) -> Result<Vec<Stage>, String> {
    if options.rest().trim_start_matches('/').is_empty() {
        return Err("there is no host; write rtsp://host:port/path".to_owned());
    }
    let (protocols, latency) = match options.take("transport") {
        None | Some("tcp") => ("tcp", 0),
        // Packets that overtake each other are put in order.
        Some("udp") => ("udp", 20),
        Some(other) => return Err(format!("transport={other}: write tcp or udp")),
    };
    let latency = options.milliseconds("latency", latency)?;
    let properties = vec![
        ("location", options.address.clone()),
        ("protocols", protocols.to_owned()),
        ("latency", latency),
        ("tcp-timeout", CONNECT_US.to_owned()),
        ("timeout", CONNECT_US.to_owned()),
        // Who leaves does not wait for an answer.
        ("teardown-timeout", "50000000".to_owned()),
    ];
    Ok(vec![stage("rtspsrc", properties)])
}

fn srt(options: &mut Options<'_>) -> Result<Vec<Stage>, String> {
    options.host_and_port()?;
    // Reconnecting is the supervisor's: it says what it does.
    Ok(vec![stage("srtsrc", vec![("uri", options.address.clone()), ("auto-reconnect", "false".to_owned())])])
}

/// The kernel's receive buffer: a quarter of a second at 60 Mbit/s.
const UDP_BUFFER: &str = "2097152";

fn udp_stage(options: &Options<'_>, caps: String) -> Result<Stage, String> {
    let (host, port) = options.host_and_port()?;
    let properties = vec![("address", host), ("port", port.to_string()), ("buffer-size", UDP_BUFFER.to_owned()), ("caps", caps)];
    Ok(stage("udpsrc", properties))
}

fn udp(options: &mut Options<'_>) -> Result<Vec<Stage>, String> {
    Ok(vec![udp_stage(options, "video/mpegts,systemstream=(boolean)true".to_owned())?])
}

fn rtp(options: &mut Options<'_>) -> Result<Vec<Stage>, String> {
    let encoding = match options.take("encoding").unwrap_or("H264") {
        known @ ("H264" | "H265" | "JPEG" | "VP8" | "VP9" | "MP2T") => known,
        other => return Err(format!("encoding={other}: write H264, H265, JPEG, VP8, VP9 or MP2T")),
    };
    let payload = options.take("payload").unwrap_or("96");
    let payload: u8 = payload.parse().ok().filter(|&p| p < 128).ok_or_else(|| format!("payload={payload} is not an RTP payload type"))?;
    let caps = format!("application/x-rtp,media=video,clock-rate=90000,encoding-name={encoding},payload={payload}");
    let latency = options.milliseconds("latency", 20)?;
    Ok(vec![udp_stage(options, caps)?, stage("rtpjitterbuffer", vec![("latency", latency)])])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn input(uri: &str) -> Input {
        parse(uri).unwrap().unwrap_or_else(|e| panic!("{e}"))
    }

    fn property(input: &Input, stage: usize, name: &str) -> String {
        input.stages[stage].properties.iter().find(|(key, _)| *key == name).unwrap_or_else(|| panic!("no {name}")).1.clone()
    }

    #[test]
    fn every_input_becomes_its_elements() {
        let camera = input("v4l2:/dev/video2?size=1920x1080&fps=59.94&format=YUY2");
        assert_eq!(property(&camera, 0, "device"), "/dev/video2");
        assert_eq!(property(&camera, 1, "caps"), "video/x-raw,format=YUY2,width=1920,height=1080,framerate=60000/1001");
        assert_eq!(input("v4l2:/dev/video0").stages.len(), 1);
        assert!(property(&input("v4l2:/dev/video0?format=MJPG&fps=30"), 1, "caps").starts_with("image/jpeg,framerate=30/1"));
        let card = input("decklink:1?mode=1080p60&connection=sdi&deinterlace=off");
        assert_eq!((property(&card, 0, "device-number"), property(&card, 0, "mode")), ("1".into(), "1080p60".into()));
        assert!(!card.deinterlace && camera.deinterlace && card.kind == Kind::Device);
        let scope = input("rtsp://10.0.0.5:554/live?channel=1&transport=udp&latency=40&deinterlace=auto");
        assert_eq!(property(&scope, 0, "location"), "rtsp://10.0.0.5:554/live?channel=1", "the camera's own option stays");
        assert_eq!((property(&scope, 0, "protocols"), property(&scope, 0, "latency")), ("udp".into(), "40".into()));
        assert_eq!(property(&input("srt://:7001?mode=listener"), 0, "uri"), "srt://:7001?mode=listener");
        let ts = input("udp://239.1.1.1:5000");
        assert_eq!((property(&ts, 0, "address"), property(&ts, 0, "port")), ("239.1.1.1".into(), "5000".into()));
        assert!(property(&input("rtp://:5004?encoding=H265&payload=97"), 0, "caps").contains("H265,payload=97"));
        assert!(parse("clip.mp4").is_none() && parse("gst:videotestsrc").is_none() && parse("http://x").is_none());
    }

    #[test]
    fn what_cannot_be_meant_is_refused_by_name() {
        for (uri, named) in [
            ("v4l2:video0", "v4l2:/dev/video0"),
            ("v4l2:/dev/video0?size=big", "size=big"),
            ("v4l2:/dev/video0?fps=0", "fps=0"),
            ("v4l2:/dev/video0?format=Y!x", "format=Y!x"),
            ("v4l2:/dev/video0?speed=2", "speed=2"),
            ("decklink:x", "decklink:0"),
            ("decklink:0?mode=a b", "mode=a b"),
            ("rtsp://", "no host"),
            ("rtsp://x/y?transport=carrier", "transport=carrier"),
            ("rtsp://x/y?latency=-1", "latency=-1"),
            ("srt://host", "no port"),
            ("udp://:0", "not a port"),
            ("udp://:5000?ttl=3", "ttl=3"),
            ("rtp://:5004?encoding=MPEG9", "MPEG9"),
            ("rtp://:5004?deinterlace=yes", "deinterlace=yes"),
        ] {
            let text = parse(uri).unwrap().unwrap_err().to_string();
            assert!(text.contains(named) && text.contains(uri), "{uri}: {text}");
        }
    }

    proptest! {
        #[test]
        fn never_panics(scheme in 0usize..INPUTS.len(), rest in "\\PC{0,60}") {
            let _ = parse(&format!("{}:{rest}", INPUTS[scheme].0));
        }
    }
}
