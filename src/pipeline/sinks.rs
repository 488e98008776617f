//! What a run writes besides the report, as seen from the display thread: the recorder, stills, timeline and masks.
//! Nothing here waits, unless the recorder pulls the run.

use crate::base::beat::Beat;
use crate::base::clock::wall_s;
use crate::base::ids::FrameId;
use crate::capture::SourceInfo;
use crate::display::PresentedView;
use crate::frame::marker::Reader;
use crate::frame::{Frame, FrameLayout, FrameView};
use crate::overlay::convert::convert;
use crate::overlay::coverage::CoverageMask;
use crate::overlay::{Layer, Rect};
use crate::pipeline::proof::Prover;
use crate::pipeline::taps::Taps;
use crate::pipeline::{STILLS_DEPTH, Spec};
use crate::record::{
    EngineLine, Input, LineWriter, Mishap, RecordError, RecordPlan, Recorder, RecordingState, Still, StillWriter, Stream, TimelineLine,
    VideoRecorder, copy_planes, utc,
};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A still of the last overlay is refreshed so often at most: copying a picture costs a millisecond.
const SNAPSHOT_EVERY_NS: u64 = 1_000_000_000;

/// Where stills go: `--snapshot`, `--snapshot-at`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SnapshotPlan {
    pub path: Option<PathBuf>,
    /// Frames whose last present is kept besides, as `NAME-000050.png`.
    pub at: Vec<u64>,
}

impl SnapshotPlan {
    fn path_at(&self, frame: u64) -> Option<PathBuf> {
        let path = self.path.as_ref()?;
        let stem = path.file_stem()?.to_str()?;
        Some(path.with_file_name(format!("{stem}-{frame:06}.png")))
    }
}

#[derive(Default)]
pub struct Sinks {
    /// Every pixel, and the recorder pulls the run.
    pub lossless: Option<VideoRecorder>,
    /// H.264, beside the picture; there whether anything is recorded or not.
    pub recorder: Option<Recorder>,
    pub timeline: Option<LineWriter<TimelineLine>>,
    pub stills: Option<StillWriter>,
    pub coverage: Option<PathBuf>,
    pub snapshots: SnapshotPlan,
    /// The recorder pulls the run: every picture is written, whatever it costs.
    pub is_pulled: bool,
    /// A self-test looks on.
    pub taps: Option<Taps>,
    /// Of what writes the picture with its overlay, and the clean one.
    pub beats: [Arc<Beat>; 2],
    /// What draws from when the AI's device has failed.
    pub fallback: Option<EngineLine>,
    reader: Reader,
    prover: Prover,
    mask: Option<CoverageMask>,
    /// The frame on the screen was handed to the recorder.
    is_recorded: bool,
    lossless_lost: u64,
    lossless_trouble: Option<String>,
    /// Stills by key: where they go, and how many were asked for.
    pub still_folder: Option<PathBuf>,
    still_wanted: bool,
    mishaps: Vec<Arc<Mishap>>,
    last_overlay: Option<Kept>,
    kept: BTreeMap<u64, Kept>,
}

struct Kept {
    data: Vec<u8>,
    width: usize,
    height: usize,
    at_ns: u64,
    has_overlay: bool,
}

/// One present, as the sinks see it.
pub struct Present<'a> {
    pub frame: &'a Frame,
    pub repeat: bool,
    pub present_ns: u64,
    pub scene_frame: Option<FrameId>,
    pub age_ms: Option<f64>,
    pub overlay: &'a Layer,
    /// The rectangles in which the HUD may paint; empty where it is off.
    pub hud: &'a [Rect],
    /// The picture carries its own frame's scene: nothing better will come for this frame.
    pub is_final: bool,
}

impl Sinks {
    pub fn new(snapshots: SnapshotPlan, is_pulled: bool) -> Self {
        Sinks { snapshots, is_pulled, ..Sinks::default() }
    }

    /// Starts what was asked for by flags, and is ready for what is asked for by key. Not for pulled runs.
    pub fn prepare_recording(&mut self, spec: &Spec, info: &SourceInfo, engine: Option<&EngineLine>) -> Result<(), RecordError> {
        let settings = spec.config.record.clone();
        self.still_folder = settings.folder();
        if self.stills.is_none() {
            self.stills = Some(StillWriter::start(STILLS_DEPTH));
        }
        let plan = RecordPlan::new(settings, &info.uri, info.fps, engine.into_iter().cloned().collect());
        let mut recorder = Recorder::new(RecordPlan { beats: self.beats.clone(), ..plan })?;
        let asked = [(Stream::Overlay, &spec.record), (Stream::Clean, &spec.record_clean)];
        let files: Vec<_> = asked.into_iter().filter_map(|(stream, path)| Some((stream, path.clone()?))).collect();
        if !files.is_empty() {
            recorder.start(Some(files.clone()));
        }
        for (stream, path) in files {
            let layout = FrameLayout::new(info.format, info.colorimetry, info.width, info.height)
                .map_err(|e| RecordError::Failed { path: path.display().to_string(), reason: e.to_string() })?;
            let input = match stream {
                Stream::Overlay => Input::Presented { width: info.width, height: info.height },
                Stream::Clean => Input::Captured(layout),
            };
            recorder.open_now(stream, input)?;
        }
        self.recorder = Some(recorder);
        Ok(())
    }

    /// Is anything to be done with presented pixels? If not, they need not be read back.
    pub fn want_pixels(&self, frame: FrameId) -> bool {
        self.lossless.is_some()
            || self.recorder.as_ref().is_some_and(Recorder::is_recording)
            || self.still_wanted
            || self.timeline.is_some()
            || self.snapshots.path.is_some()
            || self.coverage.is_some()
            || self.taps.as_ref().is_some_and(Taps::wants_pixels)
            || self.snapshots.at.contains(&frame.0)
    }

    /// Called before another frame takes the screen: the last chance to record the one that is on it.
    pub fn before_next(&mut self, on_screen: &Frame, pixels: PresentedView<'_>) {
        if !self.is_recorded {
            self.record(on_screen, pixels);
        }
    }

    pub fn after_present(&mut self, present: &Present<'_>, pixels: PresentedView<'_>) {
        if let Some(taps) = &self.taps {
            taps.look(&mut self.reader, pixels, present.present_ns);
        }
        if !present.repeat {
            self.is_recorded = false;
            self.record_clean(present.frame);
        }
        if std::mem::take(&mut self.still_wanted) {
            self.take_stills(present.frame, pixels);
        }
        if (present.is_final || self.is_pulled) && !self.is_recorded {
            self.record(present.frame, pixels);
        }
        if self.timeline.is_some() || self.coverage.is_some() {
            let mask = self.mask.get_or_insert_with(|| CoverageMask::new(pixels.width, pixels.height));
            if (mask.width(), mask.height()) != (pixels.width, pixels.height) {
                *mask = CoverageMask::new(pixels.width, pixels.height);
            }
            mask.update(&[present.overlay], present.hud);
        }
        if let (Some(timeline), Some(mask)) = (&self.timeline, &self.mask) {
            let digests = self.prover.digest(&present.frame.view(), pixels, mask, !present.repeat);
            timeline.offer(TimelineLine {
                frame: present.frame.id(),
                repeat: present.repeat,
                capture_ns: present.frame.stamps().capture_ns,
                present_ns: present.present_ns,
                scene_frame: present.scene_frame,
                age_ms: present.age_ms,
                picture_hash: digests.picture,
                outside_hash: digests.outside,
                clean_hash: digests.clean,
                clean_outside_hash: digests.clean_outside,
            });
        }
        if let (Some(dir), Some(stills), Some(mask)) = (&self.coverage, &self.stills, &self.mask) {
            let path = dir.join(format!("{:06}.png", present.frame.id().0));
            let still = Still::Grey { data: mask.data().to_vec(), width: pixels.width, height: pixels.height };
            if self.is_pulled { stills.put(path, still) } else { stills.offer(path, still) }
        }
        self.keep_stills(present, pixels);
    }

    fn keep_stills(&mut self, present: &Present<'_>, pixels: PresentedView<'_>) {
        let id = present.frame.id().0;
        let keep = || Kept {
            data: tight(pixels),
            width: pixels.width,
            height: pixels.height,
            at_ns: present.present_ns,
            has_overlay: present.scene_frame.is_some(),
        };
        if self.snapshots.at.contains(&id) {
            self.kept.insert(id, keep());
        }
        if self.snapshots.path.is_some() {
            let is_better = self.last_overlay.as_ref().is_none_or(|last| {
                let is_due = present.present_ns.saturating_sub(last.at_ns) >= SNAPSHOT_EVERY_NS;
                (present.scene_frame.is_some() && is_due && present.is_final) || (present.scene_frame.is_some() && !last.has_overlay)
            });
            if is_better {
                self.last_overlay = Some(keep());
            }
        }
    }

    fn record(&mut self, frame: &Frame, pixels: PresentedView<'_>) {
        let fill = |target: &mut [u8]| {
            for (to, y) in target.chunks_exact_mut(pixels.width * 4).zip(0..pixels.height) {
                to.copy_from_slice(pixels.row(y));
            }
        };
        self.is_recorded = true;
        if let Some(lossless) = &self.lossless {
            // In pulled runs the stamp is the source's own rate, not the time that encoding took.
            if let Err(error) = lossless.push_blocking(frame.stamps().pts_ns, fill) {
                // The picture goes on.
                self.lossless_lost += 1;
                self.lossless_trouble.get_or_insert_with(|| error.to_string());
            }
        }
        if let Some(recorder) = &mut self.recorder {
            let input = Input::Presented { width: pixels.width, height: pixels.height };
            recorder.offer(Stream::Overlay, input, frame.id().0, frame.stamps().capture_ns, |target, info| {
                // The encoder leaves out an odd last column and row.
                for (y, to) in target.chunks_exact_mut(info.stride()[0] as usize).enumerate() {
                    let row = &pixels.row(y)[..to.len().min(pixels.width * 4)];
                    to[..row.len()].copy_from_slice(row);
                }
            });
        }
    }

    fn record_clean(&mut self, frame: &Frame) {
        if let Some(recorder) = self.recorder.as_mut().filter(|recorder| recorder.wants(Stream::Clean)) {
            let input = Input::Captured(*frame.layout());
            recorder.offer(Stream::Clean, input, frame.id().0, frame.stamps().capture_ns, |target, info| {
                copy_planes(&frame.view(), target, info)
            });
        }
    }

    /// A still of the next present: the screen and the clean picture, as two files.
    pub fn want_still(&mut self) {
        self.still_wanted = self.still_folder.is_some();
    }

    fn take_stills(&mut self, frame: &Frame, pixels: PresentedView<'_>) {
        let (Some(folder), Some(stills)) = (&self.still_folder, &self.stills) else { return };
        let taken = utc(wall_s()).0;
        let name = |kind: &str| folder.join(format!("still-{taken}-frame{:06}-{kind}.png", frame.id().0));
        let shown = Still::Bgrx { data: tight(pixels), width: pixels.width, height: pixels.height };
        stills.offer(name("overlay"), Still::Named(Box::new(shown)));
        let planes = frame.layout().planes();
        let view = frame.view();
        let data = (0..planes.len()).flat_map(|plane| view.plane(plane)).copied().collect();
        stills.offer(name("clean"), Still::Named(Box::new(Still::Captured { layout: *frame.layout(), data, to_bgrx })));
    }

    /// Starts or stops recording, as the key does.
    pub fn toggle_recording(&mut self) {
        if let Some(recorder) = &mut self.recorder {
            recorder.toggle();
        }
    }

    /// Marks the frame on the screen.
    pub fn mark(&mut self, frame: &Frame) {
        if let Some(recorder) = &mut self.recorder {
            recorder.mark(frame.id().0, frame.stamps().capture_ns);
        }
    }

    /// The AI's device has failed.
    pub fn fall_back(&mut self) {
        if let (Some(recorder), Some(engine)) = (&self.recorder, self.fallback.take()) {
            recorder.name_engine(engine);
        }
    }

    /// For the HUD and the alarms.
    pub fn recording(&self) -> RecordingState {
        let lossless = self.lossless.as_ref().map(|lossless| lossless.state(self.lossless_lost));
        lossless.or_else(|| self.recorder.as_ref().map(Recorder::state)).unwrap_or_default()
    }

    /// Whether what is written beside the recording cannot be written now, each with its number among them.
    pub fn mishaps(&self) -> impl Iterator<Item = (u8, &Mishap)> {
        (0..).zip(self.mishaps.iter().map(|mishap| &**mishap))
    }

    /// Something else that writes files of this run.
    pub fn watch_mishap(&mut self, mishap: Arc<Mishap>) {
        self.mishaps.push(mishap);
    }

    /// Why recording has stopped by itself, in words.
    pub fn recording_trouble(&self) -> String {
        self.lossless_trouble.clone().or_else(|| self.recorder.as_ref().and_then(Recorder::trouble)).unwrap_or_default()
    }

    /// Writes what is still to be written and gives every file its name. Returns losses by reason.
    pub fn finish(mut self) -> (BTreeMap<String, u64>, Result<(), RecordError>) {
        let mut losses = BTreeMap::new();
        let mut outcome = Ok(());
        let mut keep_first = |result: Result<(), RecordError>| {
            if outcome.is_ok() {
                outcome = result;
            }
        };
        let kept = std::mem::take(&mut self.kept);
        let not_reached = self.snapshots.at.iter().filter(|id| !kept.contains_key(id)).count() as u64;
        for (id, kept) in kept {
            if let Some(path) = self.snapshots.path_at(id) {
                keep_first(kept.save(&path));
            }
        }
        if let (Some(path), Some(kept)) = (&self.snapshots.path, &self.last_overlay) {
            keep_first(kept.save(path));
        }
        let mut lose = |reason: &str, count: u64| {
            if count > 0 {
                *losses.entry(reason.to_owned()).or_insert(0) += count;
            }
        };
        lose("recorder_full", self.lossless_lost);
        lose("snapshot_frames_not_shown", not_reached);
        if let Some(lossless) = self.lossless {
            keep_first(lossless.finish().map(drop));
        }
        if let Some((lost, outcome)) = self.recorder.map(Recorder::finish) {
            lost.iter().for_each(|(reason, count)| lose(reason, *count));
            keep_first(outcome);
        }
        let ends = [("timeline_lines", self.timeline.map(LineWriter::finish)), ("stills", self.stills.map(StillWriter::finish))];
        for (reason, (lost, outcome)) in ends.into_iter().filter_map(|(reason, end)| Some((reason, end?))) {
            lose(reason, lost);
            keep_first(outcome);
        }
        (losses, outcome)
    }
}

impl Kept {
    fn save(&self, path: &Path) -> Result<(), RecordError> {
        crate::record::save_bgrx(path, &self.data, self.width * 4, self.width, self.height).map_err(|error| match error {
            RecordError::Write { path, source } => RecordError::Incomplete { path, what: "still", missing: 1, source },
            other => other,
        })
    }
}

/// A captured picture without anything drawn over it.
fn to_bgrx(view: &FrameView<'_>, target: &mut [u8]) {
    let (width, height) = (view.layout.width, view.layout.height);
    convert(view, Rect::whole(width, height), target, width * 4);
}

fn tight(pixels: PresentedView<'_>) -> Vec<u8> {
    (0..pixels.height).flat_map(|y| pixels.row(y)).copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::{Colorimetry, FrameRing, Matrix, PixelFormat, Range, Stamps};

    #[test]
    fn every_recording_is_said_the_lossless_one_too() {
        let folder = tempfile::tempdir().unwrap();
        let mut sinks = Sinks::new(SnapshotPlan::default(), true);
        assert!(!sinks.recording().recording);
        sinks.lossless = Some(VideoRecorder::start(&folder.path().join("x.mkv"), 64, 48, 50.0).unwrap());
        let colorimetry = Colorimetry::sdr(Matrix::Bt709, Range::Full);
        let ring = FrameRing::new(FrameLayout::new(PixelFormat::Nv12, colorimetry, 64, 48).unwrap()).unwrap();
        let screen = vec![200; 64 * 48 * 4];
        let pixels = PresentedView { data: &screen, stride: 64 * 4, width: 64, height: 48 };
        for n in 0..=100u64 {
            let frame = ring.acquire().unwrap().publish(Stamps { id: FrameId(n), pts_ns: n * 20_000_000, capture_ns: 5 });
            sinks.before_next(&frame, pixels);
            sinks.is_recorded = false;
        }
        let state = sinks.recording();
        assert_eq!((state.recording, state.lost, state.seconds, state.alarm), (true, 0, 2.0, None));
        sinks.lossless_lost = 1;
        assert!(!sinks.recording().recording && sinks.recording().alarm.is_some(), "what has failed is no recording");
        sinks.lossless_lost = 0;
        sinks.finish().1.unwrap();
    }

    #[test]
    fn a_still_by_key_is_the_screen_and_the_clean_picture_with_their_frame_in_the_name() {
        let folder = tempfile::tempdir().unwrap();
        let (width, height) = (64, 48);
        let colorimetry = Colorimetry { matrix: Matrix::Bt709, range: Range::Full, transfer: Default::default() };
        let ring = FrameRing::new(FrameLayout::new(PixelFormat::Nv12, colorimetry, width, height).unwrap()).unwrap();
        let mut writer = ring.acquire().unwrap();
        writer.data_mut().fill(128);
        let frame = writer.publish(Stamps { id: FrameId(77), pts_ns: 0, capture_ns: 5 });
        let screen = vec![200; width * height * 4];
        let pixels = PresentedView { data: &screen, stride: width * 4, width, height };
        let overlay = Layer::new(width, height);
        let present = Present {
            frame: &frame,
            repeat: true,
            present_ns: 9,
            scene_frame: None,
            age_ms: None,
            overlay: &overlay,
            hud: &[],
            is_final: false,
        };
        let mut sinks = Sinks::new(SnapshotPlan::default(), false);
        sinks.want_still();
        sinks.after_present(&present, pixels);
        assert!(!sinks.want_pixels(FrameId(77)), "without a folder there are no stills");
        sinks.still_folder = Some(folder.path().join("new"));
        sinks.stills = Some(StillWriter::start(4));
        sinks.want_still();
        assert!(sinks.want_pixels(FrameId(77)));
        sinks.after_present(&present, pixels);
        sinks.after_present(&present, pixels);
        sinks.finish().1.unwrap();
        let mut files: Vec<_> = std::fs::read_dir(folder.path().join("new")).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        assert_eq!(files.len(), 2, "{files:?}");
        for (path, kind, grey) in [(&files[0], "-frame000077-clean.png", 128), (&files[1], "-frame000077-overlay.png", 200)] {
            assert!(path.to_str().unwrap().ends_with(kind), "{path:?}");
            let mut reader = png::Decoder::new(std::io::BufReader::new(std::fs::File::open(path).unwrap())).read_info().unwrap();
            let mut rgb = vec![0; width * height * 3];
            reader.next_frame(&mut rgb).unwrap();
            assert!(rgb.iter().all(|&value| value == grey), "{kind}: {}", rgb[0]);
        }
    }
}
