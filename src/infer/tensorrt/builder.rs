//! An engine's plan: built, held to its manifest, kept by what it was made from and for.

use super::device;
use super::error::TensorRtError;
use super::ffi::{Job, Listener, Outcome, Tensor};
use super::progress::Phases;
use super::run::Judgement;
use super::{Kind, TensorRt};
use crate::infer::error::InferError;
use crate::infer::onnx_engine::check_external;
use crate::infer::plan::Built;
use crate::infer::port::input_shape;
use crate::infer::shapes::{Check, Found, shape_text};
use crate::store::{ClipOrder, LockedEngine, PlanKey, Plans};
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

/// Compiles `engine` and keeps the plan in `plans`, unless it is there already.
pub fn build(
    engine: &LockedEngine,
    library: &TensorRt,
    options: Options,
    plans: &Plans,
    progress: &Progress<'_>,
) -> Result<Built, InferError> {
    let (adapter, made_by) = (adapter(library.kind())?, library.to_string());
    let key = PlanKey::new(engine, &adapter, &made_by, options.precision());
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
        let fits = fits(self.engine, &tensors);
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
        let clip = manifest.clip.map(|clip| (clip.frames, clip.order == ClipOrder::TimeFirst));
        let input = &manifest.input;
        return Some(input_shape(input.layout, [input.width as usize, input.height as usize], clip));
    }
    manifest.state.iter().find(|state| state.input == name)?.shape.clone()
}

/// Has the network the inputs and outputs that the manifest says, in shapes that do not depend on the picture?
fn fits(engine: &LockedEngine, tensors: &[Tensor]) -> Result<(), InferError> {
    let manifest = &engine.manifest;
    let check = Check { engine: &manifest.name, input: &manifest.input };
    let mut shapes = Vec::with_capacity(tensors.len());
    for tensor in tensors {
        let shape: Option<Vec<usize>> = tensor.sides.iter().map(|&side| usize::try_from(side).ok().filter(|&side| side > 0)).collect();
        let told = || tensor.sides.iter().map(|&side| if side < 0 { "?".to_owned() } else { side.to_string() }).collect::<Vec<_>>();
        let part = format!("model {} '{}'", if tensor.is_input { "input" } else { "output" }, tensor.name);
        shapes.push(shape.ok_or_else(|| check.mismatch(part, "a shape that does not depend on the picture", told().join("×")))?);
    }
    let at = |name: &str, is_input: bool| tensors.iter().position(|tensor| tensor.name == name && tensor.is_input == is_input);
    let named = |is_input: bool| {
        let of = tensors.iter().filter(|tensor| tensor.is_input == is_input);
        of.map(|tensor| format!("'{}'", tensor.name)).collect::<Vec<_>>().join(", ")
    };

    let inputs = std::iter::once((&manifest.input.name, "input")).chain(manifest.state.iter().map(|state| (&state.input, "state input")));
    for (name, role) in inputs.clone() {
        let part = || format!("{role} '{name}'");
        let at = at(name, true).ok_or_else(|| check.mismatch(part(), "a model input of that name", named(true)))?;
        if let Some(wanted) = wanted_input(engine, name)
            && wanted != shapes[at]
        {
            return Err(check.mismatch(part(), shape_text(&wanted), shape_text(&shapes[at])));
        }
        if !["float32", "float16"].contains(&tensors[at].number_type.as_str()) {
            return Err(check.mismatch(part(), "a tensor of float32 or float16", tensors[at].number_type.clone()));
        }
    }
    if let Some(other) = tensors.iter().find(|tensor| tensor.is_input && inputs.clone().all(|(name, _)| *name != tensor.name)) {
        let expected = "no inputs but the picture and the [[state]]s";
        return Err(check.mismatch(format!("model input '{}'", other.name), expected, named(true)));
    }
    for state in &manifest.state {
        let part = || format!("state output '{}'", state.output);
        let output = at(&state.output, false).ok_or_else(|| check.mismatch(part(), "a model output of that name", named(false)))?;
        let form = |at: usize| format!("{}[{}]", tensors[at].number_type, shape_text(&shapes[at]));
        if let Some(input) = at(&state.input, true).filter(|&input| form(input) != form(output)) {
            return Err(check.mismatch(part(), format!("{} as its input '{}' has", form(input), state.input), form(output)));
        }
    }

    let found = |name: &str| at(name, false).map(|tensor| Found { tensor, shape: &shapes[tensor] });
    let heads = manifest.heads.iter().map(|head| check.head(head, &found)).collect::<Result<Vec<_>, _>>()?;
    check.same_sides(&heads)?;
    if let Some(indication) = &manifest.indication {
        check.cohort(indication, &found)?;
    }
    Ok(())
}
