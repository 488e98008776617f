//! SDI out through a DeckLink card: the composed picture, or fill and key alone. With the keyer the video passes through
//! the card and the overlay is laid over it there, so the picture survives this box.
//!
//! ```text
//!   keyer off                  composed picture ─► UYVY ─► card
//!   keyer internal, external   layers over nothing (premultiplied BGRA) ─► card, which keys them over its input, or
//!                              sends fill and key on two connectors
//! ```
//! The card takes pictures at the rate of its mode (`Refresh`); GStreamer's element schedules them.

use crate::base::clock::Clock;
use crate::base::rate::Rate;
use crate::display::canvas::Canvas;
use crate::display::{DisplayError, Output, OutputInfo, Picture, PresentedView, Refresh, Shown};
use crate::overlay::{Layer, Rect};
use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app as gst_app;
use gstreamer_video as gst_video;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keyer {
    Off,
    Internal,
    External,
}

impl Keyer {
    fn name(self) -> &'static str {
        match self {
            Keyer::Off => "off",
            Keyer::Internal => "internal",
            Keyer::External => "external",
        }
    }
}

/// What `--display decklink:N?keyer=…` asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SdiSpec {
    /// GStreamer's `device-number`.
    pub device: u32,
    pub keyer: Keyer,
}

impl FromStr for SdiSpec {
    type Err = String;

    /// `0`, `0?keyer=internal`: what follows `decklink:`.
    fn from_str(text: &str) -> Result<Self, String> {
        let (device, query) = text.split_once('?').unwrap_or((text, ""));
        let device = device.parse().map_err(|_| format!("decklink:{text}: '{device}' is no card's number: write decklink:0"))?;
        let mut keyer = Keyer::Off;
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            keyer = match pair {
                "keyer=off" => Keyer::Off,
                "keyer=internal" => Keyer::Internal,
                "keyer=external" => Keyer::External,
                _ => return Err(format!("decklink:{text}: '{pair}' is not known here: keyer=off, internal or external")),
            };
        }
        Ok(SdiSpec { device, keyer })
    }
}

/// A mode of the card, by its name in GStreamer.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Mode {
    name: &'static str,
    rate: Rate,
}

/// The progressive mode for pictures of this size at this rate (SMPTE ST 274, 296, 2036-1); where there is none at a source's
/// own rate, one at twice that.
fn mode_for(width: usize, height: usize, fps: f64) -> Result<Mode, DisplayError> {
    const MODES: [(&str, usize, usize, &str); 19] = [
        ("1080p2398", 1920, 1080, "23.98"),
        ("1080p24", 1920, 1080, "24"),
        ("1080p25", 1920, 1080, "25"),
        ("1080p2997", 1920, 1080, "29.97"),
        ("1080p30", 1920, 1080, "30"),
        ("1080p50", 1920, 1080, "50"),
        ("1080p5994", 1920, 1080, "59.94"),
        ("1080p60", 1920, 1080, "60"),
        ("720p50", 1280, 720, "50"),
        ("720p5994", 1280, 720, "59.94"),
        ("720p60", 1280, 720, "60"),
        ("2160p2398", 3840, 2160, "23.98"),
        ("2160p24", 3840, 2160, "24"),
        ("2160p25", 3840, 2160, "25"),
        ("2160p2997", 3840, 2160, "29.97"),
        ("2160p30", 3840, 2160, "30"),
        ("2160p50", 3840, 2160, "50"),
        ("2160p5994", 3840, 2160, "59.94"),
        ("2160p60", 3840, 2160, "60"),
    ];
    let found = [fps, 2.0 * fps].into_iter().find_map(|wanted| {
        MODES.iter().find_map(|&(name, w, h, rate)| {
            let rate = Rate::parse(rate)?;
            ((w, h) == (width, height) && (rate.per_second() - wanted).abs() < 0.005).then_some(Mode { name, rate })
        })
    });
    found.ok_or(DisplayError::SdiMode { width, height, fps })
}

pub struct SdiOutput {
    clock: Arc<dyn Clock>,
    spec: SdiSpec,
    pipeline: gst::Pipeline,
    source: gst_app::AppSrc,
    pool: gst::BufferPool,
    taken: crossbeam_channel::Receiver<()>,
    timeout: Duration,
    refresh: Refresh,
    canvas: Canvas,
    data: Vec<u8>,
    /// Where the last fill was not transparent.
    keyed: Vec<Rect>,
    size: (usize, usize),
    has_shown: bool,
}

impl SdiOutput {
    /// Opens the card for pictures of this size and rate.
    pub fn new(spec: SdiSpec, size: (usize, usize), fps: f64, timeout_ms: u32, clock: Arc<dyn Clock>) -> Result<Self, DisplayError> {
        let mode = mode_for(size.0, size.1, fps)?;
        let format = if spec.keyer == Keyer::Off { "8bit-yuv" } else { "8bit-bgra" };
        let sink = format!(
            "decklinkvideosink device-number={} mode={} video-format={format} keyer-mode={} keyer-level=255",
            spec.device,
            mode.name,
            spec.keyer.name()
        );
        Self::with_sink(&sink, spec, size, mode.rate, timeout_ms, clock)
    }

    /// `sink`: an element in GStreamer's launch syntax; a stand-in for the card in tests.
    fn with_sink(
        sink: &str,
        spec: SdiSpec,
        size: (usize, usize),
        rate: Rate,
        timeout_ms: u32,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, DisplayError> {
        let trouble = |reason: &dyn std::fmt::Display| DisplayError::Sdi { device: spec.device, reason: reason.to_string() };
        gst::init().map_err(|error| trouble(&error))?;
        let convert = if spec.keyer == Keyer::Off { "videoconvert ! video/x-raw,format=UYVY,colorimetry=bt709 ! " } else { "" };
        let description = format!("appsrc name=source is-live=true format=time do-timestamp=true ! {convert}{sink} name=sink sync=false");
        let pipeline = gst::parse::launch(&description).map_err(|error| trouble(&error))?;
        let pipeline = pipeline.downcast::<gst::Pipeline>().map_err(|_| trouble(&"no pipeline"))?;
        let source = pipeline.by_name("source").and_downcast::<gst_app::AppSrc>().ok_or_else(|| trouble(&"no appsrc"))?;
        let pad = pipeline.by_name("sink").and_then(|sink| sink.static_pad("sink")).ok_or_else(|| trouble(&"no sink"))?;
        let format = if spec.keyer == Keyer::Off { gst_video::VideoFormat::Bgrx } else { gst_video::VideoFormat::Bgra };
        let whole = |rate: Rate| gst::Fraction::approximate_f64(rate.per_second()).unwrap_or(gst::Fraction::new(0, 1));
        let info = gst_video::VideoInfo::builder(format, size.0 as u32, size.1 as u32).fps(whole(rate)).build();
        let info = info.map_err(|error| trouble(&error))?;
        let caps = info.to_caps().map_err(|error| trouble(&error))?;
        source.set_caps(Some(&caps));
        let pool = gst::BufferPool::new();
        let mut config = pool.config();
        config.set_params(Some(&caps), info.size() as u32, 4, 0);
        pool.set_config(config).map_err(|error| trouble(&error))?;
        pool.set_active(true).map_err(|error| trouble(&error))?;
        let (tell, taken) = crossbeam_channel::bounded(8);
        pad.add_probe(gst::PadProbeType::BUFFER, move |_, _| {
            let _ = tell.try_send(());
            gst::PadProbeReturn::Ok
        });
        if pipeline.set_state(gst::State::Playing).is_err() {
            // The element gives no reason where its driver's library is absent.
            let _ = pipeline.set_state(gst::State::Null);
            return Err(trouble(&"there is no such card, it is in use, or its driver is not installed"));
        }
        let refresh = Refresh { rate, origin_ns: clock.now_ns() };
        Ok(SdiOutput {
            clock,
            spec,
            pipeline,
            source,
            pool,
            taken,
            timeout: Duration::from_millis(timeout_ms.into()),
            refresh,
            canvas: Canvas::new(),
            data: vec![0; 4 * size.0 * size.1],
            keyed: Vec::with_capacity(512),
            size,
            has_shown: false,
        })
    }

    /// The layers alone, over nothing: premultiplied fill, its alpha the key.
    fn compose_key(&mut self, layers: &[&Layer]) {
        let width = self.size.0;
        let bytes = |rect: &Rect, y: usize| (y * width + rect.x0) * 4..(y * width + rect.x1) * 4;
        for rect in self.keyed.drain(..) {
            (rect.y0..rect.y1).for_each(|y| self.data[bytes(&rect, y)].fill(0));
        }
        for layer in layers.iter().filter(|layer| (layer.width, layer.height) == self.size) {
            for rect in &layer.rects {
                for y in rect.y0..rect.y1 {
                    crate::overlay::blend::row_over(layer.row(y, rect.x0, rect.x1), &mut self.data[bytes(rect, y)]);
                }
                self.keyed.push(*rect);
            }
        }
    }

    fn push(&mut self) -> Result<(), DisplayError> {
        let device = self.spec.device;
        let trouble = |reason: &dyn std::fmt::Display| DisplayError::Sdi { device, reason: reason.to_string() };
        let mut buffer = self.pool.acquire_buffer(None).map_err(|error| trouble(&error))?;
        let filled = buffer.get_mut().and_then(|buffer| buffer.map_writable().ok().map(|mut map| map.copy_from_slice(&self.data)));
        filled.ok_or_else(|| trouble(&"its memory cannot be written"))?;
        self.taken.try_iter().for_each(drop);
        self.source.push_buffer(buffer).map_err(|error| trouble(&error))?;
        match self.taken.recv_timeout(self.timeout) {
            Ok(()) => Ok(()),
            Err(_) => Err(DisplayError::Timeout { waited_ms: self.timeout.as_millis() as u64 }),
        }
    }
}

impl Drop for SdiOutput {
    fn drop(&mut self) {
        let _ = self.pipeline.set_state(gst::State::Null);
        let _ = self.pool.set_active(false);
    }
}

impl Output for SdiOutput {
    fn describe(&self) -> OutputInfo {
        let adapter = format!("DeckLink {} (keyer {})", self.spec.device, self.spec.keyer.name());
        OutputInfo { display: "decklink", adapter, compositor: "host" }
    }

    fn refresh(&self) -> Option<Refresh> {
        Some(self.refresh)
    }

    fn show(&mut self, picture: Picture<'_>, layers: &[&Layer]) -> Result<Shown, DisplayError> {
        let start_ns = self.clock.now_ns();
        if picture.size() != self.size {
            // The mode of a card is set when it is opened.
            let (width, height) = picture.size();
            return Err(DisplayError::SdiMode { width, height, fps: self.refresh.rate.per_second() });
        }
        self.has_shown = false;
        if self.spec.keyer == Keyer::Off {
            let data = &mut self.data;
            self.canvas.compose(picture, layers, data)?;
        } else {
            self.compose_key(layers);
        }
        let composed_ns = self.clock.now_ns();
        self.clock.sleep_until_ns(self.refresh.next_ns(composed_ns));
        self.push()?;
        self.has_shown = true;
        let done_ns = self.clock.now_ns();
        Ok(Shown { done_ns, compose_ns: composed_ns - start_ns, present_ns: done_ns - composed_ns, flip_ns: None })
    }

    fn presented(&mut self) -> Result<PresentedView<'_>, DisplayError> {
        if !self.has_shown {
            return Err(DisplayError::NothingShown);
        }
        Ok(PresentedView { data: &self.data, stride: 4 * self.size.0, width: self.size.0, height: self.size.1 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock::MonotonicClock;
    use crate::overlay::host::tests::noise_layer;
    use crate::overlay::testing::{COLORIMETRIES, FORMATS, Owned};

    const SIZE: (usize, usize) = (1280, 720);

    fn with_appsink(keyer: Keyer) -> (SdiOutput, gst_app::AppSink) {
        let spec = SdiSpec { device: 0, keyer };
        let output = SdiOutput::with_sink(
            "appsink max-buffers=1 drop=true",
            spec,
            SIZE,
            Rate::parse("60").unwrap(),
            2_000,
            Arc::new(MonotonicClock),
        );
        let output = output.unwrap();
        let sink = output.pipeline.by_name("sink").and_downcast::<gst_app::AppSink>().unwrap();
        (output, sink)
    }

    #[test]
    fn what_is_asked_for_is_read_or_refused_by_name() {
        assert_eq!("1".parse(), Ok(SdiSpec { device: 1, keyer: Keyer::Off }));
        assert_eq!("0?keyer=external".parse(), Ok(SdiSpec { device: 0, keyer: Keyer::External }));
        for bad in ["", "x", "-1", "0?keyer=on", "0?key=internal"] {
            assert!(bad.parse::<SdiSpec>().unwrap_err().contains(bad), "{bad}");
        }
    }

    #[test]
    fn modes_are_of_the_picture_s_size_and_rate_or_twice_that() {
        let name = |w, h, fps| mode_for(w, h, fps).map(|mode| mode.name).ok();
        assert_eq!(name(1920, 1080, 60.0), Some("1080p60"));
        assert_eq!(name(1920, 1080, 60_000.0 / 1_001.0), Some("1080p5994"));
        assert_eq!(name(1280, 720, 25.0), Some("720p50"));
        assert_eq!(name(3840, 2160, 30.0), Some("2160p30"));
        let error = mode_for(720, 576, 25.0).unwrap_err().to_string();
        assert!(error.contains("720×576") && error.contains("--display"), "{error}");
    }

    /// With the keyer what goes to the card is the overlay alone: transparent wherever there is none.
    #[test]
    fn fill_and_key_are_the_layers_and_nothing_else() {
        let (mut output, sink) = with_appsink(Keyer::Internal);
        let frame = Owned::noise(FORMATS[0], COLORIMETRIES[1], SIZE.0, SIZE.1, 1).frame();
        for round in 0..3 {
            let layer = noise_layer(SIZE.0, SIZE.1, round);
            output.show(Picture::New(&frame), &[&layer]).unwrap();
            let sample = sink.pull_sample().unwrap();
            let map = sample.buffer().unwrap().map_readable().unwrap();
            assert!(map.as_slice() == layer.data, "round {round}");
        }
        output.show(Picture::Again(&frame), &[]).unwrap();
        let sample = sink.pull_sample().unwrap();
        assert!(sample.buffer().unwrap().map_readable().unwrap().iter().all(|&byte| byte == 0), "an overlay was left behind");
    }

    #[test]
    fn without_the_keyer_the_composed_picture_goes_out_at_the_mode_s_ticks() {
        let (mut output, sink) = with_appsink(Keyer::Off);
        let frame = Owned::from_luma(SIZE.0, SIZE.1, |_, _| 180).frame();
        let done: Vec<u64> = (0..4).map(|_| output.show(Picture::New(&frame), &[]).unwrap().done_ns).collect();
        let tick = |ns: u64| output.refresh.tick_at(ns);
        assert!(done.windows(2).all(|pair| tick(pair[1]) > tick(pair[0])), "two pictures in one tick");
        let sample = sink.pull_sample().unwrap();
        let format = sample.caps().unwrap().structure(0).unwrap().get::<String>("format").unwrap();
        let map = sample.buffer().unwrap().map_readable().unwrap();
        assert_eq!((format.as_str(), map.len()), ("UYVY", 2 * SIZE.0 * SIZE.1));
        // Through R'G'B' and back: within rounding, and a little more where the test picture's chroma lies outside R'G'B'.
        let luma = map.iter().skip(1).step_by(2);
        assert_eq!(luma.enumerate().find(|(_, y)| y.abs_diff(180) > 6), None);
    }

    #[test]
    fn a_card_that_is_not_there_is_an_error_that_says_what_to_do() {
        let spec = SdiSpec { device: 7, keyer: Keyer::Off };
        match SdiOutput::new(spec, SIZE, 60.0, 500, Arc::new(MonotonicClock)) {
            Err(error) => assert!(error.to_string().contains("DeckLink card 7") && error.to_string().contains("driver"), "{error}"),
            Ok(_) => println!("SKIPPED a_card_that_is_not_there_is_an_error_that_says_what_to_do: there is a card 7"),
        }
    }
}
