//! The whole chain for one frame: preprocessing, model, decoding, tracking. The worker process and `validate` both run it.

use super::camera::Camera;
use super::continuity::Continuity;
use super::findings::FindingFollower;
use super::flow::Flow;
use super::golden;
use super::heads::Heads;
use super::look::{Look, Shown};
use super::shrunk::Shrunk;
use super::tracker::Tracker;
use crate::base::ids::ClassId;
use crate::infer::{self, Engine, FrameView, InferError, InputSpec, LockedEngine, Preprocess, Stamps};
use crate::scene::{AnalysisTimes, Scene, Trust};
use std::time::Instant;

/// An engine at work on one stream of frames.
pub struct Analyser {
    engine: Box<dyn Engine>,
    input: InputSpec,
    preprocess: Preprocess,
    heads: Heads,
    /// Where something remembers frames: do they follow on each other?
    continuity: Option<Continuity>,
    findings: FindingFollower,
    tracker: Tracker,
    looks: Vec<Look>,
    shrunk: Shrunk,
    camera: Camera,
}

/// Findings and frame classes of an engine that remembers nothing itself are forgotten after this long.
const MAX_GAP_MS: u64 = 250;

impl Analyser {
    /// Opens the engine on its backend, and looks whether its golden outputs still come out; errors as `infer::open`.
    pub fn load(engine: LockedEngine) -> Result<Self, InferError> {
        let (name, golden) = (engine.manifest.name.clone(), engine.golden.clone());
        let mut analyser = Self::open(engine)?;
        if let Some(golden) = golden {
            golden::check(&mut analyser, &name, &golden)?;
        }
        Ok(analyser)
    }

    fn open(engine: LockedEngine) -> Result<Self, InferError> {
        let engine = infer::open(engine)?;
        let input = engine.input().clone();
        let (preprocess, heads) = (Preprocess::new(input.clone()), Heads::new(engine.heads(), &input));
        let max_gap_ms = engine.max_gap_ms().or(heads.has_memory().then_some(MAX_GAP_MS));
        let continuity = max_gap_ms.map(|ms| Continuity::new(ms, input.clone()));
        let findings = FindingFollower::default();
        let (tracker, looks, shrunk, camera) = (Tracker::default(), Vec::new(), Shrunk::default(), Camera::default());
        Ok(Analyser { engine, input, preprocess, heads, continuity, findings, tracker, looks, shrunk, camera })
    }

    /// Forgets what was followed: the next frame belongs to another stream (or is a picture on its own).
    pub fn forget(&mut self) {
        self.forget_frames();
        self.continuity.iter_mut().for_each(Continuity::forget);
        self.tracker = Tracker::default();
        self.shrunk = Shrunk::default();
    }

    /// A scene that nobody needs any more: its memory serves the next one.
    pub fn keep(&mut self, scene: Scene) {
        self.heads.spare().keep(scene);
    }

    /// The probabilities that the last frame was decoded from: of each class that has a map of its own, `width · height` numbers.
    pub fn probabilities(&self) -> (usize, usize, Vec<(ClassId, &[f32])>) {
        self.heads.probabilities()
    }

    fn forget_frames(&mut self) {
        self.engine.forget();
        self.heads.forget();
        self.findings.forget();
    }

    /// Analyses one frame; frames come in the order of their capture. None: `is_current`, asked once the picture has
    /// been read, said that it was overwritten meanwhile, and nothing of it was used.
    pub fn analyse(&mut self, view: FrameView<'_>, stamps: Stamps, is_current: &dyn Fn() -> bool) -> Result<Option<Scene>, InferError> {
        let start = Instant::now();
        let fit = self.preprocess.run(view, self.engine.input_mut());
        if !is_current() {
            return Ok(None);
        }
        let engine = &mut self.engine;
        let reset = self.continuity.as_mut().and_then(|continuity| continuity.judge(stamps, view.layout, engine.input_mut()));
        if reset.is_some() {
            self.forget_frames();
        }
        let preprocessed = Instant::now();
        self.heads.watch(self.engine.input_mut(), stamps.capture_ns);
        self.engine.run()?;
        let inferred = Instant::now();

        let picture = [view.layout.width, view.layout.height];
        self.heads.expect(self.tracker.expected(stamps.capture_ns));
        let seen = self.heads.decode(&*self.engine, fit, picture);
        let mut decoded = seen.decoded;
        let findings = self.findings.step(&seen.findings);
        let picture = picture.map(|side| side as u32);
        let shown = Shown { input: self.engine.input_mut(), spec: &self.input, fit, picture };
        self.shrunk.show(shown.input, &self.input);
        if let Some(shift) = self.camera.shift(&self.shrunk.quarter, &decoded.mask) {
            self.tracker.compensate(shift, stamps.capture_ns, picture);
        }
        self.looks.clear();
        self.looks.extend(decoded.instruments.iter().map(|detection| shown.look(detection, &decoded.mask)));
        let tracks = if decoded.frame_state == Trust::Unknown {
            self.tracker.step_unknown(stamps.capture_ns, picture);
            Vec::new()
        } else {
            let spare = self.heads.spare();
            let tracks = self.tracker.step_with(&mut decoded.instruments, &self.looks, stamps.capture_ns, picture, spare);
            self.tracker.refine(&Flow::new(&self.shrunk.half, &shown), &decoded.mask, picture, tracks)
        };
        self.heads.keep(decoded.instruments);
        let mut departed = self.heads.spare().departed();
        self.tracker.departed(&mut departed);
        let times = AnalysisTimes {
            preprocess_ns: (preprocessed - start).as_nanos() as u64,
            infer_ns: (inferred - preprocessed).as_nanos() as u64,
            track_ns: inferred.elapsed().as_nanos() as u64,
        };
        Ok(Some(Scene {
            frame: stamps.id,
            pts_ns: stamps.pts_ns,
            capture_ns: stamps.capture_ns,
            picture,
            frame_state: decoded.frame_state,
            tracks,
            tissues: decoded.tissues,
            findings,
            frame_classes: seen.frame_classes,
            departed,
            // Said where an engine has a memory of its own.
            reset: reset.filter(|_| self.engine.max_gap_ms().is_some()),
            unknown_px: decoded.unknown_px,
            mask: decoded.mask,
            times,
        }))
    }
}

#[cfg(test)]
#[path = "analyser_tests.rs"]
mod tests;
