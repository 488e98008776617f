//! Backend `tensorrt`: a plan that was built ahead for just these files, this library and this device. Nothing is built here.
//!
//! ```text
//!   device ─► library ─► Plans ─► judged ─► loaded ─► as the manifest says? ─► bound to device memory ─► Bound
//! ```

use super::error::TensorRtError;
use super::ffi::Tensor;
use super::run::{Judgement, Run};
use super::tensor::DeviceTensor;
use super::{TensorRt, builder};
use crate::frame::cuda::{CudaError, DeviceBuffer, DeviceInfo, Graph, Launches, usable_device};
use crate::infer::border::{Declared, DeclaredTensor, Inputs, Meaning, Wanted, sides_text};
use crate::infer::bound::{Bound, Model};
use crate::infer::cuda::Gpu;
use crate::infer::error::InferError;
use crate::infer::port::{Form, Port};
use crate::infer::shapes::Check;
use crate::store::{LockedEngine, Manifest, Plans};
use ort::value::TensorElementType;

pub type TensorRtEngine = Bound<PlanModel>;

/// A loaded plan, bound.
pub struct PlanModel {
    engine: String,
    way: Way,
    run: Run,
    /// What the network gives and nobody reads.
    _spare: Vec<DeviceBuffer>,
    gpu: Gpu,
}

/// What the library does for a run, so that it can be begun with others' launches.
enum Way {
    /// It has not run. (What it does in its first run is not to be repeated.)
    First,
    Record,
    Replay(Graph),
    /// It cannot be recorded.
    Plain,
}

impl TensorRtEngine {
    pub fn open(engine: LockedEngine) -> Result<Self, InferError> {
        let device = usable_device()?;
        let library = TensorRt::open_any(Some(&device))?;
        Self::open_with(&engine, &library, &device, &Plans::of_this_user())
    }

    pub(super) fn open_with(engine: &LockedEngine, library: &TensorRt, device: &DeviceInfo, plans: &Plans) -> Result<Self, InferError> {
        let manifest = &engine.manifest;
        let found = builder::found(engine, library, plans)?;
        let plan = found.ok_or_else(|| TensorRtError::NoPlan {
            engine: manifest.name.clone(),
            library: library.to_string(),
            device: device.to_string(),
            dir: engine.dir.clone(),
        })?;
        let gpu = Gpu::of(device)?;
        gpu.device().make_current()?;
        match library.judge(&plan)? {
            Some(Judgement::Refused(reasons)) => {
                let (library, device) = (library.to_string(), device.to_string());
                return Err(TensorRtError::Refused {
                    engine: manifest.name.clone(),
                    library,
                    device,
                    reasons: reasons.join(", "),
                    dir: engine.dir.clone(),
                }
                .into());
            }
            Some(Judgement::RunsSlowly) => tracing::info!("{device} runs the plan more slowly than one of its own"),
            Some(Judgement::Runs) | None => {}
        }
        let mut run = library.load(&plan)?;
        let tensors = run.tensors();
        let Fit { inputs, wanted, shapes, meaning } = fit(manifest, &tensors)?;

        let refused = |reason: String| InferError::Trial { engine: manifest.name.clone(), what: "being bound".to_owned(), reason };
        let mut bind = |name: &str, address: u64| {
            // SAFETY: the addresses below are of buffers of the tensors' sizes, which go when nothing runs any more (`Bound`).
            unsafe { run.bind(name, address) }.map_err(refused)
        };
        let mut port = |name: &str, ty, shape: &[usize], form| -> Result<_, InferError> {
            let tensor = DeviceTensor::new(gpu.device(), ty, shape)?;
            bind(name, tensor.on_device().address())?;
            Ok(Port::new(name, ty, shape, form, tensor)?)
        };
        let ports = inputs.list.iter().map(|input| port(&input.name, input.ty, &input.shape, Form::Same)).collect::<Result<_, _>>()?;
        let outputs = wanted.iter().zip(&shapes).map(|(wanted, shape)| port(&wanted.name, wanted.ty, shape, wanted.form));
        let outputs = outputs.collect::<Result<_, _>>()?;
        let mut spare = Vec::new();
        for tensor in tensors.iter().filter(|tensor| !tensor.is_input && wanted.iter().all(|wanted| wanted.name != tensor.name)) {
            // No number has more bytes.
            let buffer = gpu.device().buffer(8 * tensor.sides.iter().product::<i64>() as usize)?;
            bind(&tensor.name, buffer.span().address())?;
            spare.push(buffer);
        }
        let model = PlanModel { engine: manifest.name.clone(), way: Way::First, run, _spare: spare, gpu };
        Bound::new(manifest, meaning, model, ports, outputs)
    }
}

impl Model for PlanModel {
    type Place = DeviceTensor;

    fn gpu(&self) -> Option<&Gpu> {
        Some(&self.gpu)
    }

    fn gpu_mut(&mut self) -> Option<&mut Gpu> {
        Some(&mut self.gpu)
    }

    fn run(&mut self) -> Result<(), String> {
        self.gpu.device().make_current().map_err(|error| error.to_string())?;
        match self.way {
            Way::Record => self.record(),
            Way::First => self.way = Way::Record,
            Way::Plain | Way::Replay(_) => {}
        }
        let stream = self.gpu.stream();
        match &mut self.way {
            Way::Replay(graph) if stream.launches() == Launches::Recorded => stream.replay(graph).map_err(|error| error.to_string()),
            _ => {
                stream.flush().map_err(|error| error.to_string())?;
                // SAFETY: all is bound, to memory that only this stream and who has waited for it uses; its context is current.
                unsafe { self.run.enqueue(stream.handle().cast()) }
            }
        }
    }
}

impl Drop for PlanModel {
    fn drop(&mut self) {
        // The plan's kernels are among them. (`Bound` has waited.)
        self.gpu.stream().forget_sequences();
    }
}

impl PlanModel {
    /// If that cannot be it is said, and runs go on as before.
    fn record(&mut self) {
        let (stream, mut refusal) = (self.gpu.stream(), None);
        let recorded = stream.record(|| {
            // SAFETY: as in `run`; the memory stays as long as what is recorded.
            unsafe { self.run.enqueue(stream.handle().cast()) }.map_err(|reason| {
                refusal = Some(reason);
                CudaError::Recording { what: "what TensorRT does" }
            })
        });
        self.way = match recorded {
            Ok(graph) => Way::Replay(graph),
            Err(error) => {
                let reason = refusal.unwrap_or_else(|| error.to_string());
                tracing::warn!("engine '{}': its plan cannot be recorded ({reason}); each of its layers is begun by itself", self.engine);
                Way::Plain
            }
        };
    }
}

/// A network that is what its manifest says.
pub(super) struct Fit {
    inputs: Inputs,
    wanted: Vec<Wanted>,
    /// Of the wanted outputs.
    shapes: Vec<Vec<usize>>,
    meaning: Meaning,
}

/// Has the network the inputs and outputs that the manifest says, in shapes that do not depend on the picture?
pub(super) fn fit(manifest: &Manifest, tensors: &[Tensor]) -> Result<Fit, InferError> {
    let check = Check { engine: &manifest.name, input: &manifest.input };
    if let Some(open) = tensors.iter().find(|tensor| tensor.sides.iter().any(|&side| side < 1)) {
        let part = format!("model {} '{}'", if open.is_input { "input" } else { "output" }, open.name);
        return Err(check.mismatch(part, "a shape that does not depend on the picture", sides_text(&open.sides)));
    }
    let declared = |is_input: bool| -> Vec<Declared> {
        let of = tensors.iter().filter(|tensor| tensor.is_input == is_input);
        of.map(|tensor| Declared {
            name: tensor.name.clone(),
            tensor: Ok(DeclaredTensor { ty: number_type(&tensor.number_type), sides: tensor.sides.clone(), symbols: Vec::new() }),
        })
        .collect()
    };
    let inputs = Inputs::of(manifest, check, &declared(true))?;
    let wanted = Wanted::of(manifest, check, &declared(false))?;
    let of = wanted.iter().filter_map(|wanted| tensors.iter().find(|tensor| !tensor.is_input && tensor.name == wanted.name));
    let shapes: Vec<Vec<usize>> = of.map(|tensor| tensor.sides.iter().map(|&side| side as usize).collect()).collect();
    let meaning = Meaning::of(manifest, check, &inputs, &wanted, &shapes)?;
    Ok(Fit { inputs, wanted, shapes, meaning })
}

/// TensorRT's name of a type.
fn number_type(name: &str) -> TensorElementType {
    match name {
        "float32" => TensorElementType::Float32,
        "float16" => TensorElementType::Float16,
        "bfloat16" => TensorElementType::Bfloat16,
        "int8" => TensorElementType::Int8,
        "uint8" => TensorElementType::Uint8,
        "int32" => TensorElementType::Int32,
        "int64" => TensorElementType::Int64,
        "bool" => TensorElementType::Bool,
        _ => TensorElementType::Undefined,
    }
}

#[cfg(test)]
#[path = "engine_tests.rs"]
pub mod tests;
