//! Backends `cpu` and `cuda`: ONNX Runtime on one thread of the processor, or with the work on a GPU's stream; its input and outputs
//! are allocated and bound once.
//!
//! ```text
//!   manifest ─► session (its free sides fixed) ─► trial run: shapes ─► bound ─► trial runs: finite, same shapes ─► ready
//! ```

use super::cuda::Gpu;
use super::engine::{DeviceInput, DeviceTensor, Engine, HeadSpec, InputSpec, TensorLine};
use super::error::InferError;
use super::onnx;
use super::port::{self, ClipRing, Form, Port, Room, input_shape, type_name};
use super::shapes::{Check, Found, cohort_part, outputs_of, part, shape_text};
use super::{plan, runtime};
use crate::store::{ClipOrder, Indication, LockedEngine, Manifest, Plans};
use ort::memory::{AllocationDevice, AllocatorType, MemoryInfo, MemoryType};
use ort::session::{
    IoBinding, Session,
    builder::{GraphOptimizationLevel, SessionBuilder},
};
use ort::value::{Outlet, TensorElementType, ValueType};
use std::path::Path;

pub struct OnnxEngine {
    name: String,
    input: InputSpec,
    heads: Vec<HeadSpec>,
    lines: Vec<TensorLine>,
    indication: Option<(Indication, Option<usize>)>,
    max_gap_ms: Option<u64>,
    clip: Option<ClipRing>,
    // Fields drop in this order: the binding refers to the tensors and the session.
    binding: IoBinding,
    source: Port,
    states: Vec<State>,
    outputs: Vec<Port>,
    session: Session,
    /// Where the model runs; None: on the processor.
    gpu: Option<Gpu>,
    /// States hold what an earlier frame left, which is not to be known any more.
    has_stale_states: bool,
}

/// What output `output` holds after a run, `input` holds before the next.
struct State {
    input: Port,
    output: usize,
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
        let inputs = Inputs::of(manifest, check, &session)?;
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
        for Input { name, ty, shape } in &inputs.list {
            let made = Port::new(name, *ty, shape, Form::Same, &room).map_err(|e| failed("being bound", e))?;
            let mut port = made.ok_or_else(|| check.mismatch(format!("input '{name}'"), "a type that can be fed", type_name(*ty)))?;
            port.clear(stream)?;
            port.bind_as_input(&mut binding).map_err(|e| failed("being bound", e))?;
            ports.push(port);
        }

        let wanted = wanted_outputs(manifest, check, &session)?;
        let mut outputs = learn(&mut session, &mut binding, &wanted, check, &room)?;
        let found = |name: &str| outputs.iter().position(|p| p.name == name).map(|tensor| Found { tensor, shape: &outputs[tensor].shape });
        let heads = manifest.heads.iter().map(|head| check.head(head, &found)).collect::<Result<Vec<_>, _>>()?;
        check.same_sides(&heads)?;
        let indication = match &manifest.indication {
            Some(indication) => Some((indication.clone(), check.cohort(indication, &found)?)),
            None => None,
        };
        for output in &mut outputs {
            output.bind_as_output(&mut binding).map_err(|e| failed("being bound", e))?;
        }

        let mut ports = ports.into_iter();
        let Some(source) = ports.next() else { return Err(check.mismatch("model", "an input", "none")) };
        let mut states = Vec::with_capacity(manifest.state.len());
        for (state, input) in manifest.state.iter().zip(ports) {
            let Some(output) = outputs.iter().position(|port| port.name == state.output) else { continue };
            let forms = [
                inputs.form_of(&state.input),
                wanted.iter().find(|w| w.name == state.output).map_or(TensorElementType::Undefined, |w| w.ty),
            ];
            if input.shape != outputs[output].shape || forms[0] != forms[1] {
                let expected = format!("{}[{}] as its input '{}' has", type_name(forms[0]), shape_text(&input.shape), state.input);
                let found = format!("{}[{}]", type_name(forms[1]), shape_text(&outputs[output].shape));
                return Err(check.mismatch(format!("state output '{}'", state.output), expected, found));
            }
            states.push(State { input, output });
        }

        let clip = manifest.clip.map(|clip| {
            let numbers = 3 * manifest.input.width as usize * manifest.input.height as usize;
            ClipRing::new(clip.frames, clip.order == ClipOrder::TimeFirst, numbers)
        });
        let remembers = clip.is_some() || !states.is_empty();
        let mut opened = OnnxEngine {
            name: manifest.name.clone(),
            lines: lines(manifest, &inputs, &wanted, &outputs),
            input: manifest.input.clone(),
            heads,
            indication,
            max_gap_ms: remembers.then_some(manifest.max_gap_ms),
            clip,
            binding,
            source,
            states,
            outputs,
            session,
            gpu,
            has_stale_states: true,
        };
        opened.prove(manifest)?;
        Ok(opened)
    }

    /// Black, then noise: what runs on both, and answers in finite numbers of the same shapes, is taken to run on any picture.
    /// The first run also plans memory and packs weights: done here, not on the first frame.
    fn prove(&mut self, manifest: &Manifest) -> Result<(), InferError> {
        let (mean, std) = (self.input.mean[0], self.input.std[0]);
        for what in ["black", "noise"] {
            let mut seed = 0x9E37_79B9u32;
            for value in self.input_mut() {
                seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                let level = if what == "black" { 0.0 } else { (seed >> 8) as f32 / (1 << 24) as f32 };
                *value = (level - mean) / std;
            }
            self.run().map_err(|error| match error {
                InferError::Run { engine, reason } => InferError::Trial { engine, what: format!("a trial run on {what}"), reason },
                other => other,
            })?;
            let check = Check { engine: &self.name, input: &self.input };
            for port in &self.outputs {
                if let Some(at) = port.odd() {
                    let head = manifest.heads.iter().find(|head| outputs_of(head).any(|(name, _)| name == port.name));
                    let part = head.map_or(format!("output '{}'", port.name), |head| part(head, &port.name));
                    let found = format!("number {at} of {} is infinite or none", shape_text(&port.shape));
                    return Err(check.mismatch(part, format!("finite numbers on a trial run on {what}"), found));
                }
            }
        }
        self.input_mut().fill(0.0);
        let stream = self.gpu.as_ref().map(Gpu::stream);
        self.outputs.iter_mut().try_for_each(|output| output.clear(stream))?;
        self.forget();
        Ok(())
    }

    /// The model's work on its bound tensors, with states before it and behind it.
    fn run_bound(&mut self) -> Result<(), InferError> {
        if std::mem::take(&mut self.has_stale_states) {
            let stream = self.gpu.as_ref().map(Gpu::stream);
            self.states.iter_mut().try_for_each(|state| state.input.clear(stream))?;
        }
        self.run_session()?;
        let stream = self.gpu.as_ref().map(Gpu::stream);
        for state in &mut self.states {
            state.input.copy_from(&mut self.outputs[state.output], stream)?;
        }
        Ok(())
    }

    fn run_session(&mut self) -> Result<(), InferError> {
        let failed = |e: ort::Error| InferError::Run { engine: self.name.clone(), reason: e.to_string() };
        let Some(gpu) = &self.gpu else { return self.session.run_binding(&self.binding).map(drop).map_err(failed) };
        self.session.run_binding_with_options(&self.binding, gpu.queued()).map(drop).map_err(failed)
    }
}

impl Drop for OnnxEngine {
    fn drop(&mut self) {
        // What is still queued uses the tensors; an error says that there is nothing left to wait for.
        let _ = self.gpu.as_ref().map(|gpu| gpu.stream().synchronize());
    }
}

impl Engine for OnnxEngine {
    fn input(&self) -> &InputSpec {
        &self.input
    }

    fn heads(&self) -> &[HeadSpec] {
        &self.heads
    }

    fn indication(&self) -> Option<(&Indication, Option<usize>)> {
        self.indication.as_ref().map(|(indication, cohort)| (indication, *cohort))
    }

    fn max_gap_ms(&self) -> Option<u64> {
        self.max_gap_ms
    }

    fn tensors(&self) -> &[TensorLine] {
        &self.lines
    }

    fn input_mut(&mut self) -> &mut [f32] {
        match &mut self.clip {
            Some(clip) => &mut clip.frame,
            None => self.source.values_mut(),
        }
    }

    fn run(&mut self) -> Result<(), InferError> {
        if let Some(clip) = &mut self.clip {
            clip.push(self.source.values_mut());
        }
        self.source.store();
        if let Some(gpu) = &self.gpu {
            self.source.send(gpu.stream())?;
        }
        self.run_filled()
    }

    /// (The frames of a clip are kept here.)
    fn device_input(&mut self) -> Option<DeviceInput<'_>> {
        let DeviceTensor { numbers, number } = self.source.on_device().filter(|_| self.clip.is_none())?;
        Some(DeviceInput { gpu: self.gpu.as_mut()?, numbers, number })
    }

    fn fetch_input(&mut self) -> Result<(), InferError> {
        let Some(gpu) = &self.gpu else { return Ok(()) };
        self.source.receive(gpu.stream())?;
        gpu.stream().synchronize()?;
        self.source.fetch();
        Ok(())
    }

    fn run_filled(&mut self) -> Result<(), InferError> {
        self.run_bound()?;
        self.fetch_outputs(&|_| true)
    }

    fn gpu(&self) -> Option<&Gpu> {
        self.gpu.as_ref()
    }

    fn device_tensor(&self, index: usize) -> Option<DeviceTensor<'_>> {
        self.outputs.get(index)?.on_device()
    }

    fn run_there(&mut self) -> Result<(), InferError> {
        self.run_bound()
    }

    fn fetch_outputs(&mut self, is_wanted: &dyn Fn(usize) -> bool) -> Result<(), InferError> {
        let wanted = || (0..).map(is_wanted);
        if let Some(gpu) = &self.gpu {
            for (output, _) in self.outputs.iter_mut().zip(wanted()).filter(|(_, is_wanted)| *is_wanted) {
                output.receive(gpu.stream())?;
            }
            gpu.stream().synchronize()?;
        }
        self.outputs.iter_mut().zip(wanted()).filter(|(_, is_wanted)| *is_wanted).for_each(|(output, _)| output.fetch());
        Ok(())
    }

    fn forget(&mut self) {
        self.has_stale_states = true;
        if let Some(clip) = &mut self.clip {
            clip.forget();
        }
    }

    fn outputs(&self) -> usize {
        self.outputs.len()
    }

    fn tensor(&self, index: usize) -> &[f32] {
        self.outputs[index].values()
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
    let inputs = Inputs::of(manifest, check, &session)?;
    if inputs.free.is_empty() {
        return Ok((session, inputs));
    }
    let session = commit(&inputs.free)?;
    let inputs = Inputs::of(manifest, check, &session)?;
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

/// An input as it will be fed.
struct Input {
    name: String,
    ty: TensorElementType,
    shape: Vec<usize>,
}

/// All inputs, the picture first; the named sides that the model leaves open, and what they are here.
struct Inputs {
    list: Vec<Input>,
    free: Vec<(String, i64)>,
}

impl Inputs {
    fn of(manifest: &Manifest, check: Check<'_>, session: &Session) -> Result<Self, InferError> {
        let mut inputs = Inputs { list: Vec::new(), free: Vec::new() };
        let spec = &manifest.input;
        let clip = manifest.clip.map(|clip| (clip.frames, clip.order == ClipOrder::TimeFirst));
        let picture = input_shape(spec.layout, [spec.width as usize, spec.height as usize], clip);
        inputs.take(&spec.name, "input", Some(&picture), check, session)?;
        for state in &manifest.state {
            inputs.take(&state.input, "state input", state.shape.as_deref(), check, session)?;
        }
        if let Some(other) = session.inputs().iter().find(|outlet| inputs.list.iter().all(|input| input.name != outlet.name())) {
            let expected = "no inputs but the picture and the [[state]]s";
            return Err(check.mismatch(format!("model input '{}'", other.name()), expected, names(session.inputs())));
        }
        Ok(inputs)
    }

    fn take(&mut self, name: &str, role: &str, wanted: Option<&[usize]>, check: Check<'_>, session: &Session) -> Result<(), InferError> {
        let part = format!("{role} '{name}'");
        let Some(outlet) = session.inputs().iter().find(|outlet| outlet.name() == name) else {
            return Err(check.mismatch(part, "a model input of that name", names(session.inputs())));
        };
        let ValueType::Tensor { ty, shape: declared, dimension_symbols } = outlet.dtype() else {
            return Err(check.mismatch(part, "a tensor", outlet.dtype().to_string()));
        };
        use TensorElementType::{Float16, Float32, Float64, Uint8};
        let is_picture = role == "input";
        if !port::is_supported(*ty) || is_picture && !matches!(ty, Float32 | Float16 | Float64 | Uint8) {
            return Err(check.mismatch(part, "a tensor of float32, float16, float64 or uint8", type_name(*ty)));
        }
        let shape: Vec<usize> = match wanted {
            Some(wanted) => wanted.to_vec(),
            // A batch that is open is 1.
            None => declared
                .iter()
                .enumerate()
                .map(|(i, &side)| if side < 0 && i == 0 { 1 } else { usize::try_from(side).unwrap_or(0) })
                .collect(),
        };
        if wanted.is_none() && shape.contains(&0) {
            return Err(check.mismatch(
                part,
                "a shape without open sides, or one given in the manifest ([[state]] shape)",
                shape_of(declared),
            ));
        }
        let fits =
            declared.len() == shape.len() && declared.iter().zip(&shape).all(|(&found, &wanted)| found == wanted as i64 || found < 0);
        if !fits {
            return Err(check.mismatch(part, shape_text(&shape), shape_of(declared)));
        }
        for ((&side, symbol), &wanted) in declared.iter().zip(dimension_symbols.iter()).zip(&shape) {
            if side < 0 && !symbol.is_empty() {
                match self.free.iter().find(|(name, _)| name == symbol) {
                    Some((_, other)) if *other != wanted as i64 => {
                        return Err(check.mismatch(part, format!("'{symbol}' = {other} as elsewhere in the model"), wanted.to_string()));
                    }
                    Some(_) => {}
                    None => self.free.push((symbol.clone(), wanted as i64)),
                }
            }
        }
        self.list.push(Input { name: name.to_owned(), ty: *ty, shape });
        Ok(())
    }

    fn form_of(&self, name: &str) -> TensorElementType {
        self.list.iter().find(|input| input.name == name).map_or(TensorElementType::Undefined, |input| input.ty)
    }
}

/// An output that a head or a state reads.
struct Wanted {
    name: String,
    /// What it is for, for people.
    part: String,
    ty: TensorElementType,
    form: Form,
}

fn wanted_outputs(manifest: &Manifest, check: Check<'_>, session: &Session) -> Result<Vec<Wanted>, InferError> {
    let mut wanted: Vec<Wanted> = Vec::new();
    let of_heads = manifest.heads.iter().flat_map(|head| outputs_of(head).map(|(name, form)| (name, form, part(head, name))));
    let of_states = manifest.state.iter().map(|state| (state.output.as_str(), Form::Same, format!("state output '{}'", state.output)));
    let cohort = manifest.indication.iter().filter_map(|indication| indication.cohort.as_ref());
    let cohort = cohort.map(|cohort| (cohort.output.as_str(), Form::Same, cohort_part(&cohort.output)));
    for (name, form, part) in of_heads.chain(of_states).chain(cohort) {
        if let Some(known) = wanted.iter().find(|known| known.name == name) {
            let is_state = part.starts_with("state");
            if known.form != form && !is_state {
                return Err(check.mismatch(part, "scores, or class ids of the same classes, in all heads that read it", "both"));
            }
            continue;
        }
        let Some(outlet) = session.outputs().iter().find(|outlet| outlet.name() == name) else {
            return Err(check.mismatch(part, "a model output of that name", names(session.outputs())));
        };
        let ValueType::Tensor { ty, .. } = outlet.dtype() else { return Err(check.mismatch(part, "a tensor", outlet.dtype().to_string())) };
        let is_scores = form == Form::Same && !part.starts_with("state");
        if !port::is_supported(*ty) || is_scores && port::is_whole_number(*ty) {
            let expected =
                if is_scores { "a tensor of float32, float16 or float64 (or values = \"class-ids\")" } else { "a tensor of numbers" };
            return Err(check.mismatch(part, expected, type_name(*ty)));
        }
        wanted.push(Wanted { name: name.to_owned(), part, ty: *ty, form });
    }
    Ok(wanted)
}

/// Runs the model once, on zeros, to learn what shapes come out of it.
fn learn(
    session: &mut Session,
    binding: &mut IoBinding,
    wanted: &[Wanted],
    check: Check<'_>,
    room: &Room,
) -> Result<Vec<Port>, InferError> {
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
        match Port::new(&output.name, output.ty, &shape, output.form, room).map_err(failed)? {
            Some(port) => ports.push(port),
            None => return Err(check.mismatch(output.part.clone(), "a tensor of numbers", type_name(output.ty))),
        }
    }
    Ok(ports)
}

fn lines(manifest: &Manifest, inputs: &Inputs, wanted: &[Wanted], outputs: &[Port]) -> Vec<TensorLine> {
    let form = |ty: TensorElementType, shape: &[usize]| format!("{}[{}]", type_name(ty), shape_text(shape));
    let of_inputs = inputs.list.iter().map(|input| {
        let role = if input.name == manifest.input.name { "input" } else { "state" };
        TensorLine { name: input.name.clone(), form: form(input.ty, &input.shape), role: role.to_owned() }
    });
    let of_outputs = wanted.iter().zip(outputs).map(|(wanted, port)| {
        let kinds: Vec<&str> =
            manifest.heads.iter().filter(|h| outputs_of(h).any(|(n, _)| n == wanted.name)).map(|h| h.kind.name()).collect();
        let state = manifest.state.iter().any(|state| state.output == wanted.name).then_some("state");
        let is_cohort = |indication: &Indication| indication.cohort.as_ref().is_some_and(|cohort| cohort.output == wanted.name);
        let cohort = manifest.indication.as_ref().is_some_and(is_cohort).then_some("cohort");
        let role = kinds.into_iter().chain(state).chain(cohort).collect::<Vec<_>>().join(", ");
        TensorLine { name: wanted.name.clone(), form: form(wanted.ty, &port.shape), role }
    });
    of_inputs.chain(of_outputs).collect()
}

fn names(outlets: &[Outlet]) -> String {
    outlets.iter().map(|outlet| format!("'{}'", outlet.name())).collect::<Vec<_>>().join(", ")
}

fn shape_of(declared: &[i64]) -> String {
    declared.iter().map(|&side| if side < 0 { "?".to_owned() } else { side.to_string() }).collect::<Vec<_>>().join("×")
}

#[cfg(test)]
#[path = "onnx_engine_tests.rs"]
mod tests;
