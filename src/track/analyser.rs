//! The whole chain for one frame: preprocessing, model, decoding, tracking. The worker process and `validate` both run it.

use super::camera::Camera;
use super::continuity::{Continuity, thumb};
use super::cuda::DeviceSight;
use super::findings::FindingFollower;
use super::flow::{Flow, Moved, Patch, Place};
use super::gate::IndicationGate;
use super::golden;
use super::heads::{Heads, Probabilities};
use super::launches::LaunchTimes;
use super::look::{Look, Shown};
use super::shrunk::Shrunk;
use super::sure::SureFrom;
use super::tracker::Tracker;
use crate::frame::FrameLayout;
use crate::frame::cuda::{CudaError, Launches};
use crate::frame::on_device::{BorrowedSlots, Lent};
use crate::infer::{
    self, Backend, Bytes, Captured, DeviceInfo, Engine, EngineFault, FaultyEngine, Feed, Fit, InferError, InputSpec, LockedEngine,
    Normalisation, Normaliser, RingReader, Stamps, Traffic,
};
use crate::scene::{AnalysisTimes, ClassMask, Reset, Scene, Track, Trust, Verdict, limits};
use sha2::{Digest, Sha256};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Instant;

/// An engine at work on one stream of frames.
pub struct Analyser {
    engine: FaultyEngine,
    input: InputSpec,
    feed: Feed,
    /// Where the engine states its cohort; and what tells it that a frame does not follow on the last one.
    normaliser: Option<(Normaliser, Continuity)>,
    heads: Heads,
    /// Where something remembers frames: do they follow on each other?
    continuity: Option<Continuity>,
    findings: FindingFollower,
    tracker: Tracker,
    looks: Vec<Look>,
    /// Of tracks, each with its place among them, and how they have moved.
    patches: Vec<(usize, Patch)>,
    moved: Vec<Option<Moved>>,
    shrunk: Shrunk,
    camera: Camera,
    /// In place of `shrunk` and `camera`, and of all else that looks at the input, where the device can do it.
    sight: Option<DeviceSight>,
    gate: Option<IndicationGate>,
    /// What came back from the device for the golden picture.
    golden_back: Option<Bytes>,
    /// What decided how its device's work is begun.
    launch_times: Option<LaunchTimes>,
    /// What the network is fed to prove itself: its reference picture, as preprocessing gives it; without one, noise.
    reference: Vec<f32>,
}

/// What is remembered of frames for an engine that remembers nothing itself is forgotten after this long.
const MAX_GAP_MS: u64 = 250;

impl Analyser {
    /// Opens the engine on the processor, and looks whether its golden outputs still come out; errors as `infer::open`.
    pub fn load(engine: LockedEngine) -> Result<Self, InferError> {
        Self::load_with(engine, Backend::Cpu, &infer::Settings::default())
    }

    /// The golden outputs are those of the engine as it was locked, whatever is switched off afterwards.
    pub fn load_with(engine: LockedEngine, backend: Backend, settings: &infer::Settings) -> Result<Self, InferError> {
        let (name, golden) = (engine.manifest.name.clone(), engine.golden.clone());
        let mut analyser = Self::open(engine, backend)?;
        if let Some(golden) = golden {
            let before = analyser.device_traffic();
            golden::check(&mut analyser, &name, &golden)?;
            analyser.golden_back = analyser.device_traffic().zip(before).map(|(now, before)| now.since(&before).to_host);
            analyser.feed.fetch(&mut analyser.engine)?;
            analyser.reference = analyser.engine.input_mut().to_vec();
            analyser.launch_times = LaunchTimes::choose(&mut analyser, &golden.picture, LaunchTimes::AT_MOST)?;
        }
        if !settings.normalise {
            analyser.normaliser = None;
        }
        Ok(analyser)
    }

    fn open(engine: LockedEngine, backend: Backend) -> Result<Self, InferError> {
        let cohort = engine.manifest.normalisation;
        Self::of(infer::open_on(engine, backend)?, cohort)
    }

    /// `cohort`: of what light and colours the engine knows; None: it takes all as they are.
    pub(crate) fn of(engine: Box<dyn Engine>, cohort: Option<Normalisation>) -> Result<Self, InferError> {
        let mut engine = FaultyEngine::new(engine);
        let input = engine.input().clone();
        let (feed, mut heads) = (Feed::new(&mut engine)?, Heads::new(engine.heads(), &input));
        heads.decode_there(&mut engine)?;
        let sight = if heads.see_there() && feed.shows_there() { DeviceSight::new(&mut engine)? } else { None };
        let normaliser = cohort.map(|cohort| (Normaliser::new(cohort, input.clone()), Continuity::new(MAX_GAP_MS)));
        let max_gap_ms = engine.max_gap_ms().or(heads.has_memory().then_some(MAX_GAP_MS));
        let continuity = max_gap_ms.map(Continuity::new);
        let findings = FindingFollower::default();
        let (tracker, looks, shrunk, camera) =
            (Tracker::believing(SureFrom::of(engine.heads())), Vec::new(), Shrunk::default(), Camera::default());
        let gate = IndicationGate::of(&engine);
        // Golden ratio, from -1 to 1: no two rows are alike.
        let reference = (0..engine.input_mut().len()).map(|i| (i as f64 * 0.618_033_988_75).fract() as f32 * 2.0 - 1.0).collect();
        Ok(Analyser {
            engine,
            input,
            feed,
            normaliser,
            heads,
            continuity,
            findings,
            tracker,
            looks,
            patches: Vec::with_capacity(limits::TRACKS),
            moved: Vec::with_capacity(limits::TRACKS),
            shrunk,
            camera,
            sight,
            gate,
            golden_back: None,
            launch_times: None,
            reference,
        })
    }

    /// The head with this output decides at another threshold from now on.
    pub fn decide_from(&mut self, output: &str, threshold: f32) {
        self.heads.decide_from(output, threshold);
    }

    /// A fault on demand, from the next frame on; None: all is well again.
    pub fn set_fault(&mut self, fault: Option<EngineFault>) {
        self.engine.set_fault(fault);
    }

    /// Forgets what was followed: the next frame belongs to another stream (or is a picture on its own).
    pub fn forget(&mut self) {
        self.forget_frames();
        self.continuity.iter_mut().for_each(Continuity::forget);
        self.normaliser.iter_mut().for_each(|(_, continuity)| continuity.forget());
        self.gate.iter_mut().for_each(IndicationGate::forget);
        self.tracker = Tracker::believing(SureFrom::of(self.engine.heads()));
        self.shrunk = Shrunk::default();
        self.sight.iter_mut().for_each(DeviceSight::forget);
    }

    /// Frames come from this ring from now on.
    pub fn meet(&mut self, ring: &Arc<RingReader>) {
        self.feed.meet(ring, &mut self.engine);
    }

    /// As `meet`, where the frames lie on the engine's own device: what it reads there.
    pub fn borrow(&mut self, lent: &Lent, layout: &FrameLayout, memory: Vec<OwnedFd>) -> Result<BorrowedSlots, InferError> {
        let gpu = self.engine.gpu().ok_or(CudaError::Elsewhere)?;
        Ok(BorrowedSlots::import(gpu.device(), lent, layout, memory)?)
    }

    /// The device, as CUDA names it, on which frames can be shown to the engine.
    pub fn reads_on(&self) -> Option<String> {
        let gpu = self.engine.gpu().filter(|_| self.feed.is_on_device())?;
        Some(gpu.device().info().uuid.clone())
    }

    /// The device that the engine runs on, and what it has taken of its memory; None: it runs here. After the first frame it takes no
    /// more.
    pub fn device(&self) -> Result<Option<(&DeviceInfo, usize)>, InferError> {
        let Some(gpu) = self.engine.gpu() else { return Ok(None) };
        Ok(Some((gpu.device().info(), gpu.taken_bytes()?)))
    }

    /// What came back from that device for the engine's golden picture; None: it has none, or runs here.
    pub fn golden_back(&self) -> Option<Bytes> {
        self.golden_back
    }

    /// How long the golden picture took by either way of launching, and which is taken; None: as `golden_back`, or there was no time to say.
    pub fn launch_times(&self) -> Option<LaunchTimes> {
        self.launch_times
    }

    /// Of its device's work, from now on; nothing where it runs here.
    pub fn set_launches(&self, launches: Launches) -> Result<(), InferError> {
        Ok(self.engine.gpu().map_or(Ok(()), |gpu| gpu.stream().set_launches(launches))?)
    }

    /// Maps, and boxes.
    #[cfg(test)]
    pub fn decodes_which_there(&self) -> [bool; 2] {
        self.heads.decode_which_there()
    }

    /// Is nothing of the frames' pixels brought here?
    #[cfg(test)]
    pub fn sees_there(&self) -> bool {
        self.sight.is_some()
    }

    /// What went over the bus since the engine was opened; None: it runs here.
    pub fn device_traffic(&mut self) -> Option<Traffic> {
        self.engine.device_input().map(|to| to.gpu.traffic())
    }

    /// `input_hash` of the frame that was analysed last, which `frame` is. None: its device does not say.
    pub fn input_hash(&mut self, frame: Captured<'_>) -> Option<[u8; 32]> {
        self.feed.input_hash(frame, &mut self.engine)
    }

    /// A scene that nobody needs any more: its memory serves the next one.
    pub fn keep(&mut self, scene: Scene) {
        self.heads.spare().keep(scene);
    }

    /// The probabilities that the last frame was decoded from: of each class that has a map of its own, `width · height` numbers.
    pub fn probabilities(&mut self) -> Result<Probabilities<'_>, InferError> {
        self.heads.probabilities(&self.engine)
    }

    /// SHA-256 of all numbers that the network gives for its reference picture, as they are (little-endian f32, head after head): as
    /// long as nothing is broken they are the same on one machine, bit for bit. What is followed stays as it is; an engine that
    /// remembers frames forgets them.
    pub fn prove(&mut self) -> Result<[u8; 32], InferError> {
        let remembers = self.engine.max_gap_ms().is_some();
        if remembers {
            self.forget_frames();
        }
        self.engine.input_mut().copy_from_slice(&self.reference);
        self.engine.run_without_fault()?;
        let mut hash = Sha256::new();
        const BLOCK: usize = 1024;
        let mut block = [0; 4 * BLOCK];
        for numbers in (0..self.engine.outputs()).flat_map(|tensor| self.engine.tensor(tensor).chunks(BLOCK)) {
            for (to, number) in block.chunks_exact_mut(4).zip(numbers) {
                to.copy_from_slice(&number.to_le_bytes());
            }
            hash.update(&block[..4 * numbers.len()]);
        }
        if remembers {
            self.forget_frames();
        }
        Ok(hash.finalize().into())
    }

    /// The tracks as they move by the picture itself; `fit`: where in the input it lies. (What is known by its box alone has no tip, and so
    /// no patch to look at.)
    fn refine(
        &mut self,
        mut tracks: Vec<Track>,
        mask: &ClassMask,
        (fit, picture): (Fit, [u32; 2]),
        is_there: bool,
    ) -> Result<Vec<Track>, InferError> {
        self.patches.clear();
        self.patches.extend(self.tracker.patches(picture, &tracks));
        match (&mut self.sight, self.engine.gpu(), self.heads.laid()) {
            (Some(sight), Some(gpu), Some(laid)) if is_there => sight.flow(gpu, &laid, &self.patches, &mut self.moved)?,
            _ => {
                let flow = Flow::new(&self.shrunk.half, Place::new(fit, picture));
                self.moved.clear();
                self.moved.extend(self.patches.iter().map(|(_, patch)| flow.at(patch, mask)));
            }
        }
        for ((index, _), moved) in self.patches.iter().zip(&self.moved) {
            if let Some(moved) = moved {
                self.tracker.refine(picture, &mut tracks[*index], moved);
            }
        }
        Ok(tracks)
    }

    fn forget_frames(&mut self) {
        self.engine.forget();
        self.heads.forget();
        self.findings.forget();
    }

    /// Analyses one frame; frames come in the order of their capture. None: `is_current`, asked once the picture has
    /// been read, said that it was overwritten meanwhile, and nothing of it was used. An error: nothing of what the engine gave is.
    pub fn analyse<'a>(
        &mut self,
        frame: impl Into<Captured<'a>>,
        stamps: Stamps,
        is_current: &dyn Fn() -> bool,
    ) -> Result<Option<Scene>, InferError> {
        let (start, frame) = (Instant::now(), frame.into());
        let layout = frame.layout();
        // With a fault on demand the engine's outputs are here, and so is all else.
        let is_there = self.sight.is_some() && self.heads.are_there(&self.engine);
        let has_gate = self.gate.is_some();
        let fit = match &mut self.sight {
            Some(sight) if is_there => {
                self.shrunk = Shrunk::default();
                self.feed.show_there(frame, &mut self.engine, &mut |to, fit| sight.glance(to, fit, has_gate))?
            }
            sight => {
                sight.iter_mut().for_each(DeviceSight::forget);
                self.feed.show(frame, &mut self.engine)?
            }
        };
        if !is_current() {
            return Ok(None);
        }
        let thumb = match &self.sight {
            Some(sight) if is_there => sight.thumb()?,
            _ => {
                self.gate.iter_mut().for_each(|gate| gate.look(self.engine.input_mut(), &self.input, fit));
                thumb(&self.input, self.engine.input_mut())
            }
        };
        let reset = self.continuity.as_mut().and_then(|continuity| continuity.judge(stamps, layout, thumb));
        if reset.is_some() {
            self.forget_frames();
        }
        if let Some((normaliser, continuity)) = &mut self.normaliser {
            match continuity.judge(stamps, layout, thumb) {
                Some(Reset::Start | Reset::Format) => normaliser.forget(),
                Some(Reset::Gap | Reset::Cut) => normaliser.cut(),
                None => {}
            }
            self.feed.normalise(normaliser, stamps.capture_ns, &mut self.engine)?;
        }
        let preprocessed = Instant::now();
        self.heads.watch(&mut self.engine, stamps.capture_ns)?;
        self.feed.run(&mut self.engine)?;
        let picture = [layout.width, layout.height];
        self.heads.expect(self.tracker.expected(stamps.capture_ns));
        self.heads.fetch(&mut self.engine, fit, picture, self.sight.as_mut().filter(|_| is_there))?;
        let inferred = Instant::now();

        let mut seen = self.heads.decode(&self.engine, fit, picture)?;
        let mut sight = self.sight.as_mut().zip(self.engine.gpu()).filter(|_| is_there);
        if let (Some(gate), Some((sight, gpu))) = (&mut self.gate, &mut sight) {
            sight.tell(gpu, gate.looked())?;
        }
        let gate = self.gate.as_mut().map(|gate| gate.judge(&self.engine, stamps.capture_ns));
        if gate.is_some_and(|gate| gate.verdict != Verdict::Within) {
            self.heads.refuse(&mut seen, picture);
        }
        let mut decoded = seen.decoded;
        let findings = self.findings.step(&seen.findings);
        let picture = picture.map(|side| side as u32);
        let is_blank = decoded.frame_state == Trust::Unknown;
        let shift = match sight {
            Some((sight, gpu)) => {
                sight.look(gpu, self.heads.ranks().take(decoded.instruments.len()), &mut self.looks)?;
                // Those without a map have no pixels of their own: they look like nothing.
                self.looks.resize(decoded.instruments.len(), Look::default());
                sight.shift(is_blank)?
            }
            None => {
                self.looks.clear();
                let shown = Shown { input: self.engine.input_mut(), spec: &self.input, fit, picture };
                self.looks.extend(decoded.instruments.iter().map(|detection| shown.look(detection, &decoded.mask)));
                self.shrunk.show(shown.input, &self.input);
                self.camera.shift(&self.shrunk.quarter, &decoded.mask)
            }
        };
        if let Some(shift) = shift {
            self.tracker.compensate(shift, stamps.capture_ns, picture);
        }
        let tracks = if is_blank {
            self.tracker.step_unknown(stamps.capture_ns, picture);
            Vec::new()
        } else {
            let spare = self.heads.spare();
            let tracks = self.tracker.step_with(&mut decoded.instruments, &self.looks, stamps.capture_ns, picture, spare);
            self.refine(tracks, &decoded.mask, (fit, picture), is_there)?
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
            gate,
            unknown_px: decoded.unknown_px,
            mask: decoded.mask,
            times,
        }))
    }
}

#[cfg(test)]
#[path = "analyser_tests.rs"]
mod tests;
