//! `--record FILE`: the presented pictures as a video file. The picture never waits for it.
//!
//! ```text
//!   BGRX ─► pool of 4 buffers ─► appsrc ┬ .mp4: H.264 for people; pool empty: the picture is not recorded, and counted
//!                                       └ .mkv: FFV1, exactly the presented pixels; `push_blocking` waits for the pool
//!                                ─► FILE.part ── finish ─► FILE
//! ```
//! All encoding is done in GStreamer's threads at a lower priority. What to record and when is decided elsewhere.

use crate::record::RecordError;
use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app as gst_app;
use gstreamer_video as gst_video;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Pictures between the presenter and the encoder, at most.
const IN_FLIGHT: u32 = 4;
/// How long `finish` waits for what is in flight to reach the disk.
const FINISH_WAIT: gst::ClockTime = gst::ClockTime::from_seconds(20);
/// A recording that is cut off loses at most this much.
const FRAGMENT_MS: u32 = 1000;
const NICENESS: i32 = 10;

/// What kind of file is written; it goes by the file's extension.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecordMode {
    /// `.mp4`, H.264: keeps up or leaves pictures out (`try_push`).
    Realtime,
    /// `.mkv`, FFV1: every picture, every pixel; the recorder sets the pace (`push_blocking`).
    Lossless,
}

impl RecordMode {
    pub fn for_path(path: &Path) -> Result<Self, RecordError> {
        let extension = path.extension().and_then(|e| e.to_str()).map(str::to_ascii_lowercase);
        match extension.as_deref() {
            Some("mp4") => Ok(RecordMode::Realtime),
            Some("mkv") => Ok(RecordMode::Lossless),
            Some(_) => Err(RecordError::Extension { path: path.display().to_string(), reason: "its extension is unknown" }),
            None => Err(RecordError::Extension { path: path.display().to_string(), reason: "it has no extension" }),
        }
    }
}

/// What became of a picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pushed {
    Taken,
    /// The encoder is behind (or has failed: `trouble` tells): this picture is not in the recording, and is counted.
    Full,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordStats {
    pub recorded: u64,
    /// Pictures that were offered and are not in the file.
    pub left_out: u64,
    pub bytes: u64,
}

/// Writes presented pictures to a file. Dropped without `finish`, it leaves nothing behind.
pub struct VideoRecorder {
    path: PathBuf,
    part: PathBuf,
    mode: RecordMode,
    pipeline: gst::Pipeline,
    source: gst_app::AppSrc,
    pool: gst::BufferPool,
    bus: gst::Bus,
    picture_bytes: usize,
    period_ns: u64,
    times: Mutex<Times>,
    recorded: AtomicU64,
    left_out: AtomicU64,
    failed: Arc<AtomicBool>,
    renamed: bool,
}

#[derive(Default)]
struct Times {
    first_ns: Option<u64>,
    last_ns: Option<u64>,
}

impl Times {
    /// Time in the recording: starts at 0 and grows, even where a picture is presented again with the same stamp.
    fn place(&mut self, pts_ns: u64) -> u64 {
        let at_ns = pts_ns.saturating_sub(*self.first_ns.get_or_insert(pts_ns));
        // Containers count in ticks of up to a millisecond.
        let at_ns = self.last_ns.map_or(at_ns, |last_ns| at_ns.max(last_ns + 1_000_000));
        self.last_ns = Some(at_ns);
        at_ns
    }
}

impl VideoRecorder {
    /// Opens `path` (as `FILE.part` until it is finished) for pictures of BGRX8, `width`×`height`, rows without padding
    /// (`width * 4` bytes each). `fps` is the nominal rate; the pictures' own stamps count.
    ///
    /// Refuses what cannot work before anything runs: extension, folder, size, missing elements.
    pub fn start(path: &Path, width: usize, height: usize, fps: f64) -> Result<Self, RecordError> {
        let mode = RecordMode::for_path(path)?;
        let sizes = 16..=8192;
        if !sizes.contains(&width) || !sizes.contains(&height) || !(1.0..=1000.0).contains(&fps) {
            return Err(RecordError::Size { width, height, fps });
        }
        let name = path.display().to_string();
        let failed = |reason: String| RecordError::Failed { path: name.clone(), reason };
        gst::init().map_err(|e| failed(e.to_string()))?;
        let unwritable = |source| RecordError::Unwritable { path: name.clone(), source };
        if path.is_dir() {
            return Err(unwritable(std::io::ErrorKind::IsADirectory.into()));
        }
        let elements = chain(&name, mode, width, height, fps)?;

        let part = part_of(path);
        std::fs::File::create(&part).map_err(unwritable)?;
        let info = gst_video::VideoInfo::builder(gst_video::VideoFormat::Bgrx, width as u32, height as u32)
            .fps(gst::Fraction::approximate_f64(fps).unwrap_or(gst::Fraction::new(25, 1)))
            .build();
        let caps = info.as_ref().map_err(|e| e.to_string()).and_then(|info| info.to_caps().map_err(|e| e.to_string()));
        let mut begun = caps.and_then(|caps| begin(&part, &elements, &caps, width * height * 4).map_err(|e| e.to_string()));
        if let Ok((pipeline, ..)) = &mut begun
            && let Err(error) = pipeline.set_state(gst::State::Playing)
        {
            begun = Err(error.to_string());
        }
        let (pipeline, source, pool) = begun.map_err(|reason| {
            let _ = std::fs::remove_file(&part);
            failed(reason)
        })?;
        let has_failed = Arc::new(AtomicBool::new(false));
        let bus = pipeline.bus().ok_or_else(|| failed("a pipeline has no bus".into()))?;
        let noted = has_failed.clone();
        bus.set_sync_handler(move |_, message| match message.type_() {
            gst::MessageType::Error => {
                noted.store(true, Ordering::Release);
                gst::BusSyncReply::Pass
            }
            gst::MessageType::Eos => gst::BusSyncReply::Pass,
            _ => gst::BusSyncReply::Drop,
        });
        Ok(VideoRecorder {
            path: path.to_owned(),
            part,
            mode,
            pipeline,
            source,
            pool,
            bus,
            picture_bytes: width * height * 4,
            period_ns: (1e9 / fps) as u64,
            times: Mutex::default(),
            recorded: AtomicU64::new(0),
            left_out: AtomicU64::new(0),
            failed: has_failed,
            renamed: false,
        })
    }

    pub fn mode(&self) -> RecordMode {
        self.mode
    }

    /// Offers a picture; never waits. `fill` writes it (BGRX, rows without padding) and is not called when there is no room.
    pub fn try_push(&self, pts_ns: u64, fill: impl FnOnce(&mut [u8])) -> Pushed {
        let now = gst::BufferPoolAcquireParams::with_flags(gst::BufferPoolAcquireFlags::DONTWAIT);
        let buffer = if self.failed.load(Ordering::Acquire) { None } else { self.pool.acquire_buffer(Some(&now)).ok() };
        if buffer.is_some_and(|buffer| self.send(buffer, pts_ns, fill)) {
            self.recorded.fetch_add(1, Ordering::Relaxed);
            return Pushed::Taken;
        }
        self.left_out.fetch_add(1, Ordering::Relaxed);
        Pushed::Full
    }

    /// Hands a picture over, waiting for the encoder as long as it needs.
    pub fn push_blocking(&self, pts_ns: u64, fill: impl FnOnce(&mut [u8])) -> Result<(), RecordError> {
        let now = gst::BufferPoolAcquireParams::with_flags(gst::BufferPoolAcquireFlags::DONTWAIT);
        loop {
            if let Ok(buffer) = self.pool.acquire_buffer(Some(&now)) {
                if !self.send(buffer, pts_ns, fill) {
                    return Err(self.trouble().unwrap_or_else(|| self.fail("the encoder takes nothing more")));
                }
                self.recorded.fetch_add(1, Ordering::Relaxed);
                return Ok(());
            }
            // Waits on the bus and not on the pool: an encoder that has failed gives no buffer back.
            if let Some(message) = self.bus.timed_pop_filtered(gst::ClockTime::from_mseconds(2), &[gst::MessageType::Error]) {
                return Err(self.fail(&reason_of(&message)));
            }
        }
    }

    /// What has gone wrong since the start, once.
    pub fn trouble(&self) -> Option<RecordError> {
        let message = self.bus.pop_filtered(&[gst::MessageType::Error])?;
        Some(self.fail(&reason_of(&message)))
    }

    fn send(&self, mut buffer: gst::Buffer, pts_ns: u64, fill: impl FnOnce(&mut [u8])) -> bool {
        let Some(fields) = buffer.get_mut() else { return false };
        let at_ns = self.times.lock().unwrap_or_else(PoisonError::into_inner).place(pts_ns);
        fields.set_pts(gst::ClockTime::from_nseconds(at_ns));
        fields.set_duration(gst::ClockTime::from_nseconds(self.period_ns));
        match fields.map_writable() {
            Ok(mut map) if map.len() >= self.picture_bytes => fill(&mut map[..self.picture_bytes]),
            _ => return false,
        }
        self.source.push_buffer(buffer).is_ok()
    }

    /// Writes out what is in flight and gives the file its name. On an error nothing is left behind.
    pub fn finish(mut self) -> Result<RecordStats, RecordError> {
        let recorded = self.recorded.load(Ordering::Relaxed);
        if recorded == 0 {
            return Err(self.trouble().unwrap_or(RecordError::NoPicture { path: self.path.display().to_string() }));
        }
        if let Some(trouble) = self.trouble() {
            return Err(trouble);
        }
        self.source.end_of_stream().map_err(|e| self.fail(&e.to_string()))?;
        let message = self.bus.timed_pop_filtered(FINISH_WAIT, &[gst::MessageType::Eos, gst::MessageType::Error]);
        match message {
            Some(message) if message.type_() == gst::MessageType::Eos => {}
            Some(message) => return Err(self.fail(&reason_of(&message))),
            None => return Err(self.fail("the encoder did not end within 20 s")),
        }
        // Closes the file.
        self.pipeline.set_state(gst::State::Null).map_err(|e| self.fail(&e.to_string()))?;
        let name = || self.path.display().to_string();
        let io = |source| RecordError::Unwritable { path: name(), source };
        let file = std::fs::File::open(&self.part).map_err(io)?;
        file.sync_all().map_err(io)?;
        let bytes = file.metadata().map_err(io)?.len();
        std::fs::rename(&self.part, &self.path).map_err(io)?;
        self.renamed = true;
        Ok(RecordStats { recorded, left_out: self.left_out.load(Ordering::Relaxed), bytes })
    }

    fn fail(&self, reason: &str) -> RecordError {
        RecordError::Failed { path: self.path.display().to_string(), reason: reason.to_owned() }
    }
}

impl Drop for VideoRecorder {
    fn drop(&mut self) {
        let _ = self.pipeline.set_state(gst::State::Null);
        let _ = self.pool.set_active(false);
        if !self.renamed {
            let _ = std::fs::remove_file(&self.part);
        }
    }
}

/// `clip.mp4` is written as `clip.mp4.part`.
fn part_of(path: &Path) -> PathBuf {
    let mut part = path.as_os_str().to_owned();
    part.push(".part");
    part.into()
}

fn reason_of(message: &gst::Message) -> String {
    match message.view() {
        gst::MessageView::Error(error) => {
            tracing::debug!(debug = ?error.debug(), "{}", error.error());
            error.error().to_string().trim_end_matches('.').to_owned()
        }
        _ => "GStreamer gave no reason".to_owned(),
    }
}

/// The elements between appsrc and filesink.
fn chain(path: &str, mode: RecordMode, width: usize, height: usize, fps: f64) -> Result<Vec<gst::Element>, RecordError> {
    let make = |element: &'static str, package: &'static str| {
        gst::ElementFactory::make(element).build().map_err(|_| RecordError::MissingElement { path: path.to_owned(), element, package })
    };
    let (base, good) = ("gstreamer1.0-plugins-base", "gstreamer1.0-plugins-good");
    match mode {
        RecordMode::Lossless => Ok(vec![make("avenc_ffv1", "gstreamer1.0-libav")?, make("matroskamux", good)?]),
        RecordMode::Realtime => {
            let crop = make("videocrop", good)?;
            // H.264 with halved chroma has no odd sizes: the last column or row is left out.
            crop.set_property("right", (width % 2) as i32);
            crop.set_property("bottom", (height % 2) as i32);
            let convert = make("videoconvert", base)?;
            let filter = make("capsfilter", "libgstreamer1.0-0")?;
            filter.set_property("caps", gst::Caps::builder("video/x-raw").field("format", "I420").field("colorimetry", "bt709").build());
            let encoder = make("x264enc", "gstreamer1.0-plugins-ugly")?;
            encoder.set_property_from_str("speed-preset", "ultrafast");
            encoder.set_property_from_str("tune", "zerolatency");
            encoder.set_property_from_str("pass", "qual");
            encoder.set_property("quantizer", 20u32);
            encoder.set_property("key-int-max", fps.ceil() as u32);
            // One: on two cores the other belongs to the picture.
            encoder.set_property("threads", 1u32);
            let mux = make("mp4mux", good)?;
            mux.set_property("fragment-duration", FRAGMENT_MS);
            mux.set_property_from_str("fragment-mode", "first-moov-then-finalise");
            Ok(vec![crop, convert, filter, encoder, mux])
        }
    }
}

type Begun = (gst::Pipeline, gst_app::AppSrc, gst::BufferPool);

fn begin(part: &Path, elements: &[gst::Element], caps: &gst::Caps, picture_bytes: usize) -> Result<Begun, gst::glib::BoolError> {
    let source = gst_app::AppSrc::builder().caps(caps).format(gst::Format::Time).max_bytes(0).block(false).build();
    let sink = gst::ElementFactory::make("filesink").property("location", part).build()?;
    // What the muxer has written is in the file, whatever happens to this process.
    sink.set_property_from_str("buffer-mode", "unbuffered");
    let pipeline = gst::Pipeline::new();
    let all: Vec<&gst::Element> = [source.upcast_ref()].into_iter().chain(elements).chain([&sink]).collect();
    pipeline.add_many(&all)?;
    gst::Element::link_many(&all)?;
    if let Some(pad) = source.static_pad("src") {
        // The first thing that the encoding thread does; threads that the encoder starts inherit it.
        pad.add_probe(gst::PadProbeType::EVENT_DOWNSTREAM, |_, _| {
            // Not granted: then it runs as everything else does.
            let _ = rustix::process::setpriority_process(None, NICENESS);
            gst::PadProbeReturn::Remove
        });
    }
    let pool = gst::BufferPool::new();
    let mut config = pool.config();
    config.set_params(Some(caps), picture_bytes as u32, IN_FLIGHT, IN_FLIGHT);
    pool.set_config(config)?;
    pool.set_active(true)?;
    Ok((pipeline, source, pool))
}

#[cfg(test)]
#[path = "video_tests.rs"]
mod tests;
