//! An engine's plan: built, held to its manifest, kept by what it was made from and for.

use super::device;
use super::engine::fit;
use super::error::TensorRtError;
use super::ffi::{Job, Listener, Outcome, Tensor};
use super::progress::Phases;
use super::run::Judgement;
use super::{Kind, TensorRt};
use crate::infer::border::picture_shape;
use crate::infer::error::InferError;
use crate::infer::onnx_engine::check_external;
use crate::infer::plan::Built;
use crate::infer::shapes::Check;
use crate::store::{LockedEngine, PlanKey, Plans};
use std::ffi::CString;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard};

/// Compute capabilities that TensorRT-RTX makes a plan for: all that it knows but 7.5, which computes no network in 32 bits.
pub const RTX_CAPABILITIES: [[u32; 2]; 5] = [[8, 0], [8, 6], [8, 9], [12, 0], [12, 1]];

const EXPORT_ANEW: &str = "export it with operators and types that this library takes (in 8 bits: signed, with zero points of 0 and biases \
     in floating point), or build it with --backend cpu";

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Options {
    /// Products of 32-bit numbers may be computed from their 19 leading bits: faster on a GPU, less exact.
    pub tf32: bool,
}

impl Options {
    /// The most exact first.
    const ALL: [Options; 2] = [Options { tf32: false }, Options { tf32: true }];

    fn precision(self) -> &'static str {
        if self.tf32 { "of the model, TF32" } else { "of the model" }
    }
}

/// Told the phase under way and how much of all is done (0 to 1), perhaps from several threads. False: stop.
pub type Progress<'a> = dyn Fn(&str, f64) -> bool + Sync + 'a;

/// What a plan is made for. TensorRT-RTX needs no GPU to make it, and its plan is the same with one.
fn adapter(kind: Kind) -> Result<String, TensorRtError> {
    match kind {
        Kind::Rtx => {
            let capabilities = RTX_CAPABILITIES.map(|[major, minor]| format!("{major}.{minor}"));
            Ok(format!("compute capability {}", capabilities.join(", ")))
        }
        Kind::Standard => Ok(device(kind)?.to_string()),
    }
}

/// A plan's key.
pub(super) fn key(engine: &LockedEngine, library: &TensorRt, options: Options) -> Result<PlanKey, TensorRtError> {
    Ok(PlanKey::new(engine, &adapter(library.kind())?, &library.to_string(), options.precision()))
}

/// The plan that `build` made of just these files, with this library and for this device; of several the most exact one.
pub(super) fn found(engine: &LockedEngine, library: &TensorRt, plans: &Plans) -> Result<Option<Vec<u8>>, TensorRtError> {
    for options in Options::ALL {
        if let Some(plan) = plans.read(&key(engine, library, options)?) {
            return Ok(Some(plan));
        }
    }
    Ok(None)
}

/// Compiles `engine` and keeps the plan in `plans`, unless it is there already.
pub fn build(
    engine: &LockedEngine,
    library: &TensorRt,
    options: Options,
    plans: &Plans,
    progress: &Progress<'_>,
) -> Result<Built, InferError> {
    let (adapter, made_by) = (adapter(library.kind())?, library.to_string());
    let key = key(engine, library, options)?;
    if let Some(plan) = plans.read(&key) {
        return Ok(Built { path: plans.path(&key), bytes: plan.len(), made_for: adapter, was_there: true, here: here(library, &plan) });
    }
    let manifest = &engine.manifest;
    check_external(engine, Check { engine: &manifest.name, input: &manifest.input })?;
    let unwritable = |source: io::Error| InferError::Plan { engine: manifest.name.clone(), reason: source.to_string() };
    let of_timings = PlanKey::of_timings(&adapter, &made_by);
    let timings = plans.read(&of_timings).unwrap_or_default();
    let external = External::written(engine, plans.scratch(&key).map_err(unwritable)?).map_err(unwritable)?;
    let compiled = compile(engine, library, options, external.as_ref(), &timings, progress)?;
    drop(external);
    if !compiled.timings.is_empty() && compiled.timings != timings {
        plans.write(&of_timings, &compiled.timings).map_err(unwritable)?;
    }
    let path = plans.write(&key, &compiled.plan).map_err(unwritable)?;
    Ok(Built { path, bytes: compiled.plan.len(), made_for: adapter, was_there: false, here: here(library, &compiled.plan) })
}

/// What this machine's GPU, if it has one, makes of the plan.
fn here(library: &TensorRt, plan: &[u8]) -> Option<String> {
    let device = device(library.kind()).ok()?;
    Some(match library.judge(plan).ok()?? {
        Judgement::Runs => format!("{device} runs it"),
        Judgement::RunsSlowly => format!("{device} runs it, more slowly than a plan of its own"),
        Judgement::Refused(reasons) => format!("{device} does not run it: {}", reasons.join(", ")),
    })
}

/// The files that a model names, in a folder of their own while it is read. They are the bytes that were hashed.
pub(super) struct External {
    folder: PathBuf,
}

impl External {
    /// None: it names none.
    fn written(engine: &LockedEngine, folder: PathBuf) -> io::Result<Option<Self>> {
        if engine.external.is_empty() {
            return Ok(None);
        }
        // Of a process of the same number that was killed.
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::DirBuilder::new().mode(0o700).create(&folder)?;
        let written = External { folder };
        for (name, bytes) in &engine.external {
            std::fs::write(written.folder.join(name), bytes)?;
        }
        Ok(Some(written))
    }

    fn model_path(&self) -> Option<CString> {
        CString::new(self.folder.join("model.onnx").as_os_str().as_bytes()).ok()
    }
}

impl Drop for External {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

#[derive(Debug, Default)]
pub(super) struct Compiled {
    pub plan: Vec<u8>,
    /// Of standard TensorRT: what it measured, for its next build here.
    pub timings: Vec<u8>,
}

pub(super) fn compile(
    engine: &LockedEngine,
    library: &TensorRt,
    options: Options,
    external: Option<&External>,
    timings: &[u8],
    progress: &Progress<'_>,
) -> Result<Compiled, InferError> {
    let name = || engine.manifest.name.clone();
    let work = Work { engine, progress, told: Mutex::default() };
    let model_path = external.and_then(External::model_path);
    let outcome = library.opened.build(&Job {
        model: &engine.model,
        model_path: model_path.as_deref(),
        capabilities: &RTX_CAPABILITIES.map(|[major, minor]| (10 * major + minor) as i32),
        tf32: options.tf32,
        timings,
        listener: &work,
    });
    let told = work.told.into_inner().unwrap_or_else(|poisoned| poisoned.into_inner());
    if told.is_stopped {
        return Err(TensorRtError::Stopped { engine: name() }.into());
    }
    let not_built = |reason: String| TensorRtError::NotBuilt { engine: name(), library: library.to_string(), reason };
    match (outcome, told.misfit) {
        (Outcome::Built, _) if !told.compiled.plan.is_empty() => Ok(told.compiled),
        (Outcome::Refused, _) => {
            let reason = told.refusals.first().cloned().unwrap_or_else(|| reasons(&told.errors));
            let reason = format!("{library} refuses {reason}");
            Err(InferError::Model { engine: name(), reason, remedy: EXPORT_ANEW })
        }
        (Outcome::Unwanted, Some(misfit)) => Err(misfit),
        (Outcome::NoBuilder, _) => Err(not_built(format!("it does not start: {}", reasons(&told.errors))).into()),
        _ => Err(not_built(reasons(&told.errors)).into()),
    }
}

/// The library's words, without what it says of there being no GPU: that is so on purpose.
fn reasons(errors: &[String]) -> String {
    let lines = errors.iter().flat_map(|error| error.lines()).map(str::trim).filter(|line| !line.is_empty() && !is_of_no_gpu(line));
    let words = lines.take(3).collect::<Vec<_>>().join("; ");
    if words.is_empty() { "it does not say why".to_owned() } else { words }
}

fn is_of_no_gpu(line: &str) -> bool {
    line.contains("cudaError 35") || line.contains("cudaError 100")
}

/// A build under way.
struct Work<'a> {
    engine: &'a LockedEngine,
    progress: &'a Progress<'a>,
    told: Mutex<Told>,
}

#[derive(Debug, Default)]
struct Told {
    errors: Vec<String>,
    refusals: Vec<String>,
    misfit: Option<InferError>,
    phases: Phases,
    is_stopped: bool,
    compiled: Compiled,
}

impl Work<'_> {
    fn told(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn goes_on(&self) -> bool {
        let (phase, done) = {
            let told = self.told();
            (told.phases.innermost().to_owned(), told.phases.done())
        };
        let goes_on = (self.progress)(&phase, done);
        let mut told = self.told();
        told.is_stopped |= !goes_on;
        !told.is_stopped
    }
}

impl Listener for Work<'_> {
    fn logged(&self, is_error: bool, text: &str) {
        tracing::info!("{}", text.trim_end());
        if is_error {
            self.told().errors.push(text.to_owned());
        }
    }

    fn refused(&self, node: i32, name: &str, operator: &str, reason: &str) {
        let reason = reasons(&[reason.to_owned()]);
        let what = if node < 0 { "the file".to_owned() } else { format!("node {node} '{name}' ({operator})") };
        self.told().refusals.push(format!("{what}: {reason}"));
    }

    fn opened(&self, input: &str, sides: &mut [i64]) {
        let wanted = wanted_input(self.engine, input);
        for (at, side) in sides.iter_mut().enumerate().filter(|(_, side)| **side < 0) {
            match &wanted {
                Some(shape) => *side = shape.get(at).map_or(-1, |&side| side as i64),
                // A batch that is open is 1.
                None if at == 0 => *side = 1,
                None => {}
            }
        }
    }

    fn parsed(&self, tensors: Vec<Tensor>) -> bool {
        let fits = fit(&self.engine.manifest, &tensors);
        let is_fit = fits.is_ok();
        self.told().misfit = fits.err();
        is_fit
    }

    fn began(&self, phase: &str, parent: Option<&str>, steps: i32) {
        self.told().phases.began(phase, parent, steps);
    }

    fn stepped(&self, phase: &str, step: i32) -> bool {
        self.told().phases.stepped(phase, step);
        self.goes_on()
    }

    fn ended(&self, phase: &str) {
        self.told().phases.ended(phase);
        self.goes_on();
    }

    fn built(&self, plan: &[u8]) {
        self.told().compiled.plan = plan.to_vec();
    }

    fn timed(&self, timings: &[u8]) {
        self.told().compiled.timings = timings.to_vec();
    }
}

/// The shape that the manifest gives an input.
fn wanted_input(engine: &LockedEngine, name: &str) -> Option<Vec<usize>> {
    let manifest = &engine.manifest;
    if name == manifest.input.name {
        return Some(picture_shape(manifest));
    }
    manifest.state.iter().find(|state| state.input == name)?.shape.clone()
}
