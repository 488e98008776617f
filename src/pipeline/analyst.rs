//! What the AI process does with a frame: engine, decoding, tracking. The only place where the rooms on its side meet.

use crate::base::error::ErrorKind;
use crate::capture::Stereo;
use crate::frame::on_device::BorrowedSlots;
use crate::frame::{RingReader, Stamps};
use crate::guard::{Fate, answer};
use crate::infer::{self, Backend, Captured, InferError};
use crate::link::{Analyst, Handed, Hello, LentSlots};
use crate::pipeline::scheduling;
use crate::pipeline::stereo::Eyes;
use crate::record::{BytesLine, DeviceLine, EngineLine, LaunchesLine};
use crate::scene::Scene;
use crate::store::{Engines, LockedEngine, OperatingPoint, PublicKey, StoreError};
use crate::track::Analyser;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::sync::Arc;

/// What the video process tells the worker to load.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AnalystSpec {
    /// Folder that holds the engines' folders; None: where they are usually found.
    pub engines: Option<PathBuf>,
    /// The source shows two eyes: this one is analysed.
    pub stereo: Option<Stereo>,
    pub infer: infer::Settings,
    /// As it was decided for this run.
    #[serde(default)]
    pub backend: Backend,
    /// This site's thresholds.
    #[serde(default)]
    pub operating_point: Option<PathBuf>,
    /// In clinical mode: only engines that one of these signed.
    pub trusted: Option<Vec<PublicKey>>,
}

#[derive(Debug, thiserror::Error)]
pub enum AnalystError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Infer(#[from] InferError),
    #[error("the AI process refuses its engine: {text}")]
    Refused { text: String, is_finding: bool },
}

impl AnalystError {
    pub fn kind(&self) -> ErrorKind {
        match self {
            AnalystError::Infer(error) => error.kind(),
            AnalystError::Store(_) | AnalystError::Refused { .. } => ErrorKind::Stop,
        }
    }

    /// An engine that is there and was found bad (exit code 1), as opposed to one that could not be looked at.
    pub fn is_finding(&self) -> bool {
        match self {
            AnalystError::Store(error) => error.is_finding(),
            AnalystError::Infer(error) => error.is_finding(),
            AnalystError::Refused { is_finding, .. } => *is_finding,
        }
    }

    /// Across the process border: the worker says it in one line, the parent reads it back.
    fn to_line(&self) -> String {
        format!("{}{self}", if self.is_finding() { FINDING } else { "" })
    }

    pub fn from_line(line: &str) -> Self {
        let text = line.strip_prefix(FINDING);
        AnalystError::Refused { text: text.unwrap_or(line).to_owned(), is_finding: text.is_some() }
    }
}

const FINDING: &str = "finding: ";

/// The engine, and its site's thresholds.
fn find(spec: &AnalystSpec) -> Result<(LockedEngine, Option<OperatingPoint>), AnalystError> {
    if spec.trusted.is_some() && spec.backend != Backend::Cpu {
        let reason = "in clinical mode a model runs where the self-test has proved it, on the processor; use `--backend cpu`".to_owned();
        return Err(InferError::Backend { backend: spec.backend.name(), reason }.into());
    }
    let engine = Engines::find(spec.engines.as_deref())?.load_for_any(spec.backend.endings())?;
    if let Some(trusted) = &spec.trusted {
        engine.seal.check_clinical(&engine.manifest.name, trusted)?;
        engine.check_golden()?;
    }
    let Some(path) = &spec.operating_point else { return Ok((engine, None)) };
    let point = OperatingPoint::load(path, &engine)?;
    if let Some(trusted) = &spec.trusted {
        point.check_clinical(path, trusted)?;
    }
    tracing::info!(file = %path.display(), by = point.by, why = point.why, sha256 = point.sha256, heads = ?point.heads, "operating point");
    Ok((engine, Some(point)))
}

/// Finds the engine for the backend and checks that its files are the ones that its manifest locks.
pub fn check_engine(spec: &AnalystSpec) -> Result<EngineLine, AnalystError> {
    let (engine, _) = find(spec)?;
    Ok(EngineLine {
        name: engine.manifest.name.clone(),
        backend: spec.backend.name().to_owned(),
        heads: engine.manifest.heads.iter().map(|head| head.kind.name().to_owned()).collect(),
        model_sha256: engine.manifest.model.sha256.clone(),
        manifest_sha256: engine.manifest_sha256.clone(),
        is_normalised: engine.manifest.normalisation.is_some() && spec.infer.normalise,
        signature: engine.seal.to_string(),
        is_demonstration: engine.is_demonstration(),
        device: None,
    })
}

fn device_line(analyser: &Analyser) -> Result<Option<DeviceLine>, InferError> {
    let line = |(info, memory_bytes): (&infer::DeviceInfo, usize)| {
        let infer::DeviceInfo { name, uuid, driver, .. } = info.clone();
        let golden_back = analyser.golden_back().map(|back| BytesLine { pixels: back.pixels, results: back.numbers });
        let launches = analyser.launch_times().map(|times| LaunchesLine {
            chosen: times.chosen.name().to_owned(),
            plain_us: times.plain.as_micros() as u64,
            recorded_us: times.recorded.as_micros() as u64,
        });
        DeviceLine { name, uuid, driver, memory_bytes: memory_bytes as u64, golden_back, launches }
    };
    Ok(analyser.device()?.map(line))
}

/// What goes on where the device of `spec` has failed: the processor's engine, checked as any is. None: there is none that may, or
/// it is on the processor already.
pub fn on_processor(spec: &AnalystSpec) -> Option<(AnalystSpec, EngineLine)> {
    if spec.backend == Backend::Cpu || spec.trusted.is_some() {
        return None;
    }
    let instead = AnalystSpec { backend: Backend::Cpu, ..spec.clone() };
    let checked = check_engine(&instead).inspect_err(|error| tracing::warn!("no engine stands by for a device that fails: {error}"));
    checked.ok().map(|line| (instead, line))
}

struct EngineAnalyst {
    backend: Backend,
    analyser: Analyser,
    eyes: Option<Eyes>,
    line: EngineLine,
    /// Where the frames of the ring are read on the device.
    borrowed: Option<BorrowedSlots>,
}

/// Body of the AI process: loads the engine that the video process names, warms it up, serves. Returns the exit code.
pub fn serve() -> i32 {
    scheduling::leave_display_core();
    crate::link::worker_main(|hello: &Hello| match load(hello) {
        Ok(analyst) => Ok(Box::new(analyst) as Box<dyn Analyst>),
        Err(error) => Err(error.to_line()),
    })
}

fn load(hello: &Hello) -> Result<EngineAnalyst, AnalystError> {
    let spec: AnalystSpec = serde_json::from_value(hello.analyst.clone()).map_err(|e| AnalystError::Refused {
        text: format!("what the video process asks for is not understood ({e})"),
        is_finding: false,
    })?;
    let (engine, point) = find(&spec)?;
    let mut analyser = Analyser::load_with(engine, spec.backend, &spec.infer)?;
    let line = EngineLine { device: device_line(&analyser)?, ..check_engine(&spec)? };
    point.iter().flat_map(|point| &point.heads).for_each(|site| analyser.decide_from(&site.output, site.threshold));
    Ok(EngineAnalyst { backend: spec.backend, analyser, eyes: spec.stereo.map(Eyes::new), line, borrowed: None })
}

impl EngineAnalyst {
    fn scene(&mut self, frame: Handed<'_>, stamps: Stamps, is_current: &dyn Fn() -> bool) -> Result<Option<Scene>, AnalystError> {
        let Some(eyes) = &mut self.eyes else {
            return Ok(self.analyser.analyse(captured(&self.borrowed, frame), stamps, is_current)?);
        };
        let refused = |text| AnalystError::Refused { text, is_finding: false };
        let scene = self.analyser.analyse(eyes.view(frame.view).map_err(refused)?, stamps, is_current)?;
        Ok(scene.map(|scene| eyes.place(scene)))
    }
}

fn captured<'a>(borrowed: &'a Option<BorrowedSlots>, frame: Handed<'a>) -> Captured<'a> {
    match borrowed.as_ref().and_then(|slots| slots.span(frame.slot)) {
        Some(span) => Captured::There(frame.view.layout, span),
        None => Captured::Here(frame.view),
    }
}

/// What becomes of a frame whose analysis has failed.
fn without_scene(error: AnalystError) -> Result<Option<Scene>, String> {
    match answer(error.kind()).part {
        Fate::LeftOut => Ok(None),
        // This process ends, and another is started, later each time that one does no better.
        Fate::TriedAgain | Fate::Restarted | Fate::NotBegun => Err(error.to_string()),
    }
}

impl Analyst for EngineAnalyst {
    fn ready(&self) -> serde_json::Value {
        serde_json::to_value(&self.line).unwrap_or_default()
    }

    fn needs_device(&self) -> bool {
        self.backend != Backend::Cpu
    }

    fn analyse(&mut self, frame: Handed<'_>, stamps: Stamps, is_current: &dyn Fn() -> bool) -> Result<Option<Scene>, String> {
        self.scene(frame, stamps, is_current).or_else(without_scene)
    }

    fn order(&mut self, order: &serde_json::Value) -> Result<(), String> {
        let fault = serde_json::from_value(order.clone()).map_err(|error| format!("an order is not understood ({error})"))?;
        self.analyser.set_fault(fault);
        Ok(())
    }

    fn keep(&mut self, scene: Scene) {
        self.analyser.keep(scene);
    }

    fn prove(&mut self) -> Result<Option<[u8; 32]>, String> {
        self.analyser.prove().map(Some).map_err(|e| e.to_string())
    }

    fn meet(&mut self, ring: &Arc<RingReader>, slots: Option<LentSlots>) -> Result<(), String> {
        // What it had goes first.
        self.borrowed = None;
        match slots {
            Some(LentSlots { lent, memory }) => {
                let borrowed = self.analyser.borrow(&lent, ring.layout(), memory);
                self.borrowed = Some(borrowed.map_err(|error| error.to_string())?);
            }
            None => self.analyser.meet(ring),
        }
        Ok(())
    }

    /// One eye of a picture is cut out of it here.
    fn reads_on(&self) -> Option<String> {
        if self.eyes.is_some() { None } else { self.analyser.reads_on() }
    }

    fn input_hash(&mut self, frame: Handed<'_>) -> Option<[u8; 32]> {
        match &self.eyes {
            // What was analysed is a part of it.
            Some(_) => Some(infer::input_hash(frame.view)),
            None => self.analyser.input_hash(captured(&self.borrowed, frame)),
        }
    }
}

#[cfg(test)]
#[path = "device_run_tests.rs"]
mod device_run;
#[cfg(test)]
#[path = "analyst_tests.rs"]
mod tests;
