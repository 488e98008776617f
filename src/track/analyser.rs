//! The whole chain for one frame: preprocessing, model, decoding, tracking. The worker process and `validate` both run it.

use super::camera::Camera;
use super::decode::Decoder;
use super::look::{Look, Shown};
use super::tracker::Tracker;
use crate::infer::{self, Engine, FrameView, InferError, LockedEngine, Preprocess, Stamps, TensorView};
use crate::scene::{AnalysisTimes, Scene, Trust};
use std::time::Instant;

/// An engine at work on one stream of frames.
pub struct Analyser {
    engine: Box<dyn Engine>,
    preprocess: Preprocess,
    decoder: Decoder,
    tracker: Tracker,
    looks: Vec<Look>,
    camera: Camera,
}

impl Analyser {
    /// Opens the engine on its backend; errors as `infer::open`.
    pub fn load(engine: LockedEngine) -> Result<Self, InferError> {
        let engine = infer::open(engine)?;
        let (preprocess, decoder) = (Preprocess::new(engine.input().clone()), Decoder::new(engine.input().clone()));
        Ok(Analyser { engine, preprocess, decoder, tracker: Tracker::default(), looks: Vec::new(), camera: Camera::default() })
    }

    /// Forgets what was followed: the next frame belongs to another stream (or is a picture on its own).
    pub fn forget(&mut self) {
        self.decoder = Decoder::new(self.engine.input().clone());
        self.tracker = Tracker::default();
        self.camera = Camera::default();
    }

    /// Analyses one frame; frames come in the order of their capture. None: `is_current`, asked once the picture has
    /// been read, said that it was overwritten meanwhile, and nothing of it was used.
    pub fn analyse(&mut self, view: FrameView<'_>, stamps: Stamps, is_current: &dyn Fn() -> bool) -> Result<Option<Scene>, InferError> {
        let start = Instant::now();
        let fit = self.preprocess.run(view, self.engine.input_mut());
        if !is_current() {
            return Ok(None);
        }
        let preprocessed = Instant::now();
        self.decoder.watch(self.engine.input_mut(), stamps.capture_ns);
        self.engine.run()?;
        let inferred = Instant::now();

        let picture = [view.layout.width, view.layout.height];
        let heads: Vec<TensorView<'_>> = (0..self.engine.outputs().len()).map(|index| self.engine.output(index)).collect();
        self.decoder.expect(self.tracker.expected(stamps.capture_ns));
        let decoded = self.decoder.decode(&heads, fit, picture);
        let picture = picture.map(|side| side as u32);
        drop(heads);
        let spec = self.engine.input().clone();
        let shown = Shown { input: self.engine.input_mut(), spec: &spec, fit, picture };
        let camera = self.camera.shift(shown.input, &spec, &decoded.mask);
        self.tracker.compensate(camera.unwrap_or_default(), stamps.capture_ns, picture);
        self.looks.clear();
        self.looks.extend(decoded.instruments.iter().map(|detection| shown.look(detection, &decoded.mask)));
        let tracks = if decoded.frame_state == Trust::Unknown {
            self.tracker.step_unknown(stamps.capture_ns, picture);
            Vec::new()
        } else {
            self.tracker.step_with(decoded.instruments, &self.looks, stamps.capture_ns, picture)
        };
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
            findings: Vec::new(),
            frame_classes: Vec::new(),
            departed: self.tracker.departed(),
            reset: None,
            unknown_px: decoded.unknown_px,
            mask: decoded.mask,
            times,
        }))
    }
}

#[cfg(test)]
#[path = "analyser_tests.rs"]
mod tests;
