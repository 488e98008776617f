//! Backends `cpu` and `cuda`: ONNX Runtime on one thread of the processor, or with the work on a GPU's stream; its input and outputs
//! are allocated and bound once.
//!
//! ```text
//!   manifest ─► session (its free sides fixed) ─► trial run: shapes ─► bound ─► Bound
//! ```

use super::border::{Declared, DeclaredTensor, Inputs, Meaning, Wanted};
use super::bound::{Bound, Model};
use super::cuda::Gpu;
use super::error::InferError;
use super::onnx;
use super::onnx_tensor::{OnnxTensor, Room};
use super::port::{Form, Port, type_name};
use super::shapes::{Check, shape_text};
use super::{plan, runtime};
use crate::store::{LockedEngine, Plans};
use ort::memory::{AllocationDevice, AllocatorType, MemoryInfo, MemoryType};
use ort::session::{
    IoBinding, NoSelectedOutputs, RunOptions, Session,
    builder::{GraphOptimizationLevel, SessionBuilder},
};
use ort::value::{Outlet, ValueType};
use std::path::Path;

pub type OnnxEngine = Bound<OnnxModel>;

pub struct OnnxModel {
    // Fields drop in this order: the binding refers to the session, and that to its GPU.
    binding: IoBinding,
    session: Session,
    /// Where the model runs, and what tells a run only to queue its work there; None: on the processor.
    gpu: Option<(RunOptions<NoSelectedOutputs>, Gpu)>,
}

impl Model for OnnxModel {
    type Place = OnnxTensor;

    fn gpu(&self) -> Option<&Gpu> {
        self.gpu.as_ref().map(|(_, gpu)| gpu)
    }

    fn gpu_mut(&mut self) -> Option<&mut Gpu> {
        self.gpu.as_mut().map(|(_, gpu)| gpu)
    }

    fn run(&mut self) -> Result<(), String> {
        let run = match &self.gpu {
            Some((queued, gpu)) => {
                gpu.stream().flush().map_err(|error| error.to_string())?;
                self.session.run_binding_with_options(&self.binding, queued)
            }
            None => self.session.run_binding(&self.binding),
        };
        run.map(drop).map_err(|e| e.to_string())
    }
}

impl OnnxEngine {
    /// Takes the plan that `keyhole engine build` made, where there is one for just these files and this machine.
    pub fn open(engine: LockedEngine) -> Result<Self, InferError> {
        Self::open_with(engine, &Plans::of_this_user())
    }

    pub(super) fn open_with(engine: LockedEngine, plans: &Plans) -> Result<Self, InferError> {
        runtime::environment()?;
        if let Some(bytes) = plans.read(&plan::key(&engine)) {
            match Self::from_plan(&engine, &bytes) {
                Ok(opened) => return Ok(opened),
                Err(error) => tracing::warn!("its plan is passed over: {error}"),
            }
        }
        let (session, inputs) = whole_session(&engine, None, None)?;
        Self::with(&engine, None, session, inputs)
    }

    /// On a GPU. (Graphs that were optimised for a processor are no use there.)
    pub fn open_on(engine: LockedEngine, gpu: Gpu) -> Result<Self, InferError> {
        let (session, inputs) = whole_session(&engine, Some(&gpu), None)?;
        Self::with(&engine, Some(gpu), session, inputs)
    }

    pub(super) fn from_plan(engine: &LockedEngine, plan: &[u8]) -> Result<Self, InferError> {
        let manifest = &engine.manifest;
        let check = Check { engine: &manifest.name, input: &manifest.input };
        let loaded = runtime::environment().map(|environment| {
            builder(&environment, GraphOptimizationLevel::Disable).and_then(|mut builder| builder.commit_from_memory(plan))
        })?;
        let session = loaded.map_err(|e| unloadable(&manifest.name, &e))?;
        let inputs = Inputs::of(manifest, check, &declared(session.inputs()))?;
        Self::with(engine, None, session, inputs)
    }

    /// (Where this ends early, the session goes before its GPU.)
    fn with(engine: &LockedEngine, gpu: Option<Gpu>, mut session: Session, inputs: Inputs) -> Result<Self, InferError> {
        let manifest = &engine.manifest;
        let check = Check { engine: &manifest.name, input: &manifest.input };

        let failed =
            |what: &str, e: ort::Error| InferError::Trial { engine: manifest.name.clone(), what: what.to_owned(), reason: e.to_string() };
        let mut binding = session.create_binding().map_err(|e| failed("being bound", e))?;
        let room = match &gpu {
            Some(gpu) => gpu.room(&session),
            None => Ok(Room::of_processor()),
        }
        .map_err(|e| failed("being given memory", e))?;
        let stream = gpu.as_ref().map(Gpu::stream);
        let mut ports = Vec::with_capacity(inputs.list.len());
        for input in &inputs.list {
            let tensor = OnnxTensor::new(input.ty, &input.shape, &room).map_err(|e| failed("being bound", e))?;
            let tensor =
                tensor.ok_or_else(|| check.mismatch(format!("input '{}'", input.name), "a type that can be fed", type_name(input.ty)))?;
            let mut port = Port::new(&input.name, input.ty, &input.shape, Form::Same, tensor)?;
            port.clear(stream)?;
            port.place.bind_as_input(&port.name, &mut binding).map_err(|e| failed("being bound", e))?;
            ports.push(port);
        }

        let wanted = Wanted::of(manifest, check, &declared(session.outputs()))?;
        let mut outputs = learn(&mut session, &mut binding, &wanted, check, &room)?;
        let shapes: Vec<Vec<usize>> = outputs.iter().map(|port| port.shape.clone()).collect();
        let meaning = Meaning::of(manifest, check, &inputs, &wanted, &shapes)?;
        for output in &mut outputs {
            output.place.bind_as_output(&output.name, &mut binding).map_err(|e| failed("being bound", e))?;
        }
        let queued = gpu.as_ref().map(Gpu::queued).transpose()?;
        Bound::new(manifest, meaning, OnnxModel { binding, session, gpu: queued.zip(gpu) }, ports, outputs)
    }
}

/// The model may read no file but those that the manifest locks, and they are handed to it as the bytes that were hashed.
pub(super) fn check_external(engine: &LockedEngine, check: Check<'_>) -> Result<(), InferError> {
    let named = onnx::external_files(&engine.model).map_err(|_| InferError::Model {
        engine: engine.manifest.name.clone(),
        reason: "it is not an ONNX model".to_owned(),
        remedy: RESTORE,
    })?;
    let locked = || engine.external.iter().map(|(name, _)| name);
    let list = |names: Vec<&String>| names.iter().map(|name| format!("'{name}'")).collect::<Vec<_>>().join(", ");
    if let Some(name) = named.iter().find(|name| !locked().any(|locked| locked == *name)) {
        let found = format!("'{name}', which the manifest does not lock ([[model.external]])");
        let known = if engine.external.is_empty() { "all weights inside it".to_owned() } else { list(locked().collect()) };
        return Err(check.mismatch("model's external data", known, found));
    }
    match locked().find(|name| !named.contains(*name)) {
        Some(name) => Err(check.mismatch(format!("external file '{name}'"), "a file that the model reads", list(named.iter().collect()))),
        None => Ok(()),
    }
}

/// The model's session with no side left open, and its inputs. `keep`: the graph as it was optimised is written there.
fn whole_session(engine: &LockedEngine, gpu: Option<&Gpu>, keep: Option<&Path>) -> Result<(Session, Inputs), InferError> {
    let environment = runtime::environment()?;
    let manifest = &engine.manifest;
    let check = Check { engine: &manifest.name, input: &manifest.input };
    check_external(engine, check)?;
    let commit = |free: &[(String, i64)]| {
        let builder = builder(&environment, GraphOptimizationLevel::All).map_err(|e| unloadable(&manifest.name, &e))?;
        let builder = match gpu {
            Some(gpu) => gpu.take_on(builder)?,
            None => builder,
        };
        session(builder, engine, free, keep).map_err(|e| unloadable(&manifest.name, &e))
    };
    let session = commit(&[])?;
    let inputs = Inputs::of(manifest, check, &declared(session.inputs()))?;
    if inputs.free.is_empty() {
        return Ok((session, inputs));
    }
    let session = commit(&inputs.free)?;
    let inputs = Inputs::of(manifest, check, &declared(session.inputs()))?;
    Ok((session, inputs))
}

/// Writes the model's graph, optimised for this processor, to `path`.
pub(super) fn optimised(engine: &LockedEngine, path: &Path) -> Result<(), InferError> {
    whole_session(engine, None, Some(path)).map(drop)
}

/// One thread that never spins.
fn builder(environment: &ort::environment::Environment, level: GraphOptimizationLevel) -> ort::Result<SessionBuilder> {
    let builder = Session::builder(environment)?
        .with_optimization_level(level)?
        .with_intra_threads(1)?
        .with_inter_threads(1)?
        .with_parallel_execution(false)?
        .with_intra_op_spinning(false)?
        .with_inter_op_spinning(false)?;
    // Processors without VNNI add pairs of 8-bit products in 16 bits, which may saturate: there the exact way is asked for. It
    // takes twice as long, also where it is not needed.
    if has_exact_8_bit_products() { Ok(builder) } else { Ok(builder.with_config_entry("session.x64quantprecision", "1")?) }
}

fn has_exact_8_bit_products() -> bool {
    #[cfg(target_arch = "x86_64")]
    return is_x86_feature_detected!("avx512vnni") || is_x86_feature_detected!("avxvnni");
    #[cfg(not(target_arch = "x86_64"))]
    true
}

fn session(mut builder: SessionBuilder, engine: &LockedEngine, free: &[(String, i64)], keep: Option<&Path>) -> ort::Result<Session> {
    if let Some(path) = keep {
        builder = builder.with_optimized_model_path(path)?;
    }
    for (name, size) in free {
        builder = builder.with_dimension_override(name, *size)?;
    }
    for (name, bytes) in &engine.external {
        builder = builder.with_external_initializer_file_in_memory(name, bytes.clone())?;
    }
    builder.commit_from_memory(&engine.model)
}

const RESTORE: &str = "restore the engine's files, or lock it again";

/// What ONNX Runtime says of a model that it does not take, with what helps.
fn unloadable(engine: &str, error: &ort::Error) -> InferError {
    let reason = error.to_string();
    let remedy = if reason.contains("opset") || reason.contains("IR version") || reason.contains("ir_version") {
        "export the model for an opset that this ONNX Runtime knows"
    } else if ["No Op registered", "is not a registered", "NOT_IMPLEMENTED", "Could not find an implementation"]
        .iter()
        .any(|part| reason.contains(part))
    {
        "export the model with operators of ONNX itself: operators of other makers do not run here"
    } else {
        RESTORE
    };
    InferError::Model { engine: engine.to_owned(), reason, remedy }
}

fn declared(outlets: &[Outlet]) -> Vec<Declared> {
    let one = |outlet: &Outlet| {
        let tensor = match outlet.dtype() {
            ValueType::Tensor { ty, shape, dimension_symbols } => {
                Ok(DeclaredTensor { ty: *ty, sides: shape.to_vec(), symbols: dimension_symbols.to_vec() })
            }
            other => Err(other.to_string()),
        };
        Declared { name: outlet.name().to_owned(), tensor }
    };
    outlets.iter().map(one).collect()
}

/// Runs the model once, on zeros, to learn what shapes come out of it.
fn learn(
    session: &mut Session,
    binding: &mut IoBinding,
    wanted: &[Wanted],
    check: Check<'_>,
    room: &Room,
) -> Result<Vec<Port<OnnxTensor>>, InferError> {
    let failed = |e: ort::Error| InferError::Trial {
        engine: check.engine.to_owned(),
        what: "a trial run on zeros".to_owned(),
        reason: e.to_string(),
    };
    let memory = MemoryInfo::new(AllocationDevice::CPU, 0, AllocatorType::Device, MemoryType::CPUOutput).map_err(failed)?;
    for output in wanted {
        binding.bind_output_to_device(output.name.as_str(), &memory).map_err(failed)?;
    }
    let values = session.run_binding(binding).map_err(failed)?;
    let mut ports = Vec::with_capacity(wanted.len());
    for output in wanted {
        let shape: Vec<usize> = match values.get(&output.name).map(|value| value.dtype()) {
            Some(ValueType::Tensor { shape, .. }) => shape.iter().map(|&side| usize::try_from(side).unwrap_or(0)).collect(),
            _ => return Err(check.mismatch(output.part.clone(), "a tensor", "none")),
        };
        if shape.contains(&0) {
            let expected = "a shape that does not depend on the picture (export the model without the suppression inside it)";
            return Err(check.mismatch(output.part.clone(), expected, format!("{} on zeros", shape_text(&shape))));
        }
        let tensor = OnnxTensor::new(output.ty, &shape, room).map_err(failed)?;
        let tensor = tensor.ok_or_else(|| check.mismatch(output.part.clone(), "a tensor of numbers", type_name(output.ty)))?;
        ports.push(Port::new(&output.name, output.ty, &shape, output.form, tensor)?);
    }
    Ok(ports)
}

#[cfg(test)]
#[path = "onnx_engine_tests.rs"]
mod tests;
