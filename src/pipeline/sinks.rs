//! What a run writes besides the report, as seen from the display thread: the recorder, stills, timeline and masks.
//! Nothing here waits, unless the recorder pulls the run.

use crate::base::ids::FrameId;
use crate::display::PresentedView;
use crate::frame::Frame;
use crate::overlay::coverage::CoverageMask;
use crate::overlay::{Layer, Rect};
use crate::pipeline::proof::Prover;
use crate::record::{LineWriter, Pushed, RecordError, Still, StillWriter, TimelineLine, VideoRecorder};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

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
    pub recorder: Option<VideoRecorder>,
    pub timeline: Option<LineWriter<TimelineLine>>,
    pub stills: Option<StillWriter>,
    pub coverage: Option<PathBuf>,
    pub snapshots: SnapshotPlan,
    /// The recorder pulls the run: every picture is written, whatever it costs.
    pub is_pulled: bool,
    prover: Prover,
    mask: Option<CoverageMask>,
    /// The frame on the screen was handed to the recorder.
    is_recorded: bool,
    recorder_lost: u64,
    last_overlay: Option<Kept>,
    kept: BTreeMap<u64, Kept>,
    first_capture_ns: Option<u64>,
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

    /// Pictures that the recorder could not take so far.
    pub fn recorder_lost(&self) -> u64 {
        self.recorder_lost
    }

    /// Is anything to be done with presented pixels? If not, they need not be read back.
    pub fn want_pixels(&self, frame: FrameId) -> bool {
        self.recorder.is_some()
            || self.timeline.is_some()
            || self.snapshots.path.is_some()
            || self.coverage.is_some()
            || self.snapshots.at.contains(&frame.0)
    }

    /// Called before another frame takes the screen: the last chance to record the one that is on it.
    pub fn before_next(&mut self, on_screen: &Frame, pixels: PresentedView<'_>) {
        if !self.is_recorded {
            self.record(on_screen, pixels);
        }
    }

    pub fn after_present(&mut self, present: &Present<'_>, pixels: PresentedView<'_>) {
        if !present.repeat {
            self.is_recorded = false;
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
        let Some(recorder) = &self.recorder else { return };
        let capture_ns = frame.stamps().capture_ns;
        let pts_ns = capture_ns.saturating_sub(*self.first_capture_ns.get_or_insert(capture_ns));
        let fill = |target: &mut [u8]| {
            for (to, y) in target.chunks_exact_mut(pixels.width * 4).zip(0..pixels.height) {
                to.copy_from_slice(pixels.row(y));
            }
        };
        self.is_recorded = true;
        if self.is_pulled {
            // In pulled runs the stamp is the source's own rate, not the time that encoding took.
            if recorder.push_blocking(frame.stamps().pts_ns, fill).is_err() {
                // What went wrong is told by `finish`; the picture goes on.
                self.recorder_lost += 1;
            }
        } else if matches!(recorder.try_push(pts_ns, fill), Pushed::Full) {
            self.recorder_lost += 1;
        }
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
        lose("recorder_full", self.recorder_lost);
        lose("snapshot_frames_not_shown", not_reached);
        if let Some(recorder) = self.recorder {
            keep_first(recorder.finish().map(drop));
        }
        match self.timeline.map(LineWriter::finish) {
            Some(Ok(lost)) => lose("timeline_lines", lost),
            Some(Err(error)) => keep_first(Err(error)),
            None => {}
        }
        match self.stills.map(StillWriter::finish) {
            Some(Ok(lost)) => lose("stills", lost),
            Some(Err(error)) => keep_first(Err(error)),
            None => {}
        }
        (losses, outcome)
    }
}

impl Kept {
    fn save(&self, path: &Path) -> Result<(), RecordError> {
        crate::record::save_bgrx(path, &self.data, self.width * 4, self.width, self.height)
    }
}

fn tight(pixels: PresentedView<'_>) -> Vec<u8> {
    (0..pixels.height).flat_map(|y| pixels.row(y)).copied().collect()
}
