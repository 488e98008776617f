//! The whole chain for one frame: preprocessing, model, decoding, tracking. The worker process and `validate` both run it.

use super::camera::Camera;
use super::decode::Decoder;
use super::flow::Flow;
use super::look::{Look, Shown};
use super::tracker::Tracker;
use crate::infer::{self, Engine, FrameView, InferError, InputSpec, LockedEngine, Preprocess, Stamps, TensorView};
use crate::scene::{AnalysisTimes, Scene, Trust};
use std::time::Instant;

/// An engine at work on one stream of frames.
pub struct Analyser {
    engine: Box<dyn Engine>,
    spec: InputSpec,
    preprocess: Preprocess,
    decoder: Decoder,
    tracker: Tracker,
    looks: Vec<Look>,
    camera: Camera,
    flow: Flow,
}

impl Analyser {
    /// Opens the engine on its backend; errors as `infer::open`.
    pub fn load(engine: LockedEngine) -> Result<Self, InferError> {
        let engine = infer::open(engine)?;
        let spec = engine.input().clone();
        let (preprocess, decoder) = (Preprocess::new(spec.clone()), Decoder::new(spec.clone()));
        Ok(Analyser {
            engine,
            spec,
            preprocess,
            decoder,
            tracker: Tracker::default(),
            looks: Vec::new(),
            camera: Camera::default(),
            flow: Flow::default(),
        })
    }

    /// Forgets what was followed: the next frame belongs to another stream (or is a picture on its own).
    pub fn forget(&mut self) {
        self.decoder = Decoder::new(self.spec.clone());
        self.tracker = Tracker::default();
        self.camera = Camera::default();
        self.flow = Flow::default();
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
        let shown = Shown { input: self.engine.input_mut(), spec: &self.spec, fit, picture };
        if let Some(shift) = self.camera.shift(shown.input, &self.spec, &decoded.mask) {
            self.tracker.compensate(shift, stamps.capture_ns, picture);
        }
        self.flow.show(&shown);
        self.looks.clear();
        self.looks.extend(decoded.instruments.iter().map(|detection| shown.look(detection, &decoded.mask)));
        let tracks = if decoded.frame_state == Trust::Unknown {
            self.tracker.step_unknown(stamps.capture_ns, picture);
            Vec::new()
        } else {
            let tracks = self.tracker.step_with(decoded.instruments, &self.looks, stamps.capture_ns, picture);
            self.tracker.refine(&self.flow, &decoded.mask, picture, tracks)
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
