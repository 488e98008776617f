//! `--record FILE.mkv`: exactly the presented pixels, every picture. The recorder sets the run's pace (`push_blocking`).
//!
//! ```text
//!   BGRX ─► pool of 4 buffers (`push_blocking` waits for it) ─► appsrc ─► FFV1 ─► FILE.part ── finish ─► FILE
//! ```
//! All encoding is done in GStreamer's threads at a lower priority. What plays in real time and may leave pictures out is `recorder`.

use crate::record::encoder::NICENESS;
use crate::record::{RecordAlarm, RecordError, RecordingState};
use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app as gst_app;
use gstreamer_video as gst_video;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// Pictures between the presenter and the encoder, at most.
const IN_FLIGHT: u32 = 4;
/// How long `finish` waits for what is in flight to reach the disk.
const FINISH_WAIT: gst::ClockTime = gst::ClockTime::from_seconds(20);

/// What kind of file is written; it goes by the file's extension.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecordMode {
    /// `.mp4`, H.264: keeps up or leaves pictures out (`recorder`).
    Realtime,
    /// `.mkv`, FFV1: every picture, every pixel; the recorder sets the pace (`VideoRecorder`).
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
    /// The encoder is behind or has failed: this picture is not in the recording.
    Full,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordStats {
    pub recorded: u64,
    pub bytes: u64,
}

/// Writes presented pictures to a file. Dropped without `finish`, it leaves nothing behind.
pub struct VideoRecorder {
    path: PathBuf,
    part: PathBuf,
    pipeline: gst::Pipeline,
    source: gst_app::AppSrc,
    pool: gst::BufferPool,
    bus: gst::Bus,
    picture_bytes: usize,
    period_ns: u64,
    times: Mutex<Times>,
    recorded: AtomicU64,
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
        if RecordMode::for_path(path)? != RecordMode::Lossless {
            let reason = "what is kept without loss goes into FILE.mkv";
            return Err(RecordError::Extension { path: path.display().to_string(), reason });
        }
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
        let elements = chain(&name)?;

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
        let bus = pipeline.bus().ok_or_else(|| failed("a pipeline has no bus".into()))?;
        bus.set_sync_handler(|_, message| match message.type_() {
            gst::MessageType::Error | gst::MessageType::Eos => gst::BusSyncReply::Pass,
            _ => gst::BusSyncReply::Drop,
        });
        Ok(VideoRecorder {
            path: path.to_owned(),
            part,
            pipeline,
            source,
            pool,
            bus,
            picture_bytes: width * height * 4,
            period_ns: (1e9 / fps) as u64,
            times: Mutex::default(),
            recorded: AtomicU64::new(0),
            renamed: false,
        })
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

    /// For the screen and the report. `lost`: pictures that it did not take.
    pub fn state(&self, lost: u64) -> RecordingState {
        let last_ns = self.times.lock().unwrap_or_else(PoisonError::into_inner).last_ns;
        let alarm = (lost > 0).then_some(RecordAlarm::Failed);
        RecordingState { recording: lost == 0, lost, seconds: last_ns.unwrap_or(0) as f64 / 1e9, alarm }
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
        Ok(RecordStats { recorded, bytes })
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

pub(super) fn reason_of(message: &gst::Message) -> String {
    match message.view() {
        gst::MessageView::Error(error) => {
            tracing::debug!(debug = ?error.debug(), "{}", error.error());
            error.error().to_string().trim_end_matches('.').to_owned()
        }
        _ => "GStreamer gave no reason".to_owned(),
    }
}

/// The elements between appsrc and filesink.
fn chain(path: &str) -> Result<Vec<gst::Element>, RecordError> {
    let make = |element: &'static str, package: &'static str| {
        gst::ElementFactory::make(element).build().map_err(|_| RecordError::MissingElement { path: path.to_owned(), element, package })
    };
    Ok(vec![make("avenc_ffv1", "gstreamer1.0-libav")?, make("matroskamux", "gstreamer1.0-plugins-good")?])
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
pub(super) mod tests;
