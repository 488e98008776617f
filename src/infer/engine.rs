//! What every backend offers, and the tensors that it speaks in: whatever a model's own number types are, outside it
//! there are f32 only.

use super::backend::Backend;
use super::cuda::{Gpu, Number};
use super::error::InferError;
use super::onnx_engine::OnnxEngine;
use super::tensorrt::TensorRtEngine;
use crate::base::ids::ClassId;
use crate::frame::cuda::DeviceSpan;
use crate::store::{Activation, BoxFormat, BoxUnits, HeadKind, Indication, Input, LockedEngine, TensorLayout};

/// Shape and meaning of the input: as the manifest has it.
pub type InputSpec = Input;

/// How a head's numbers become probabilities that can be believed.
#[derive(Debug, Clone, PartialEq)]
pub struct Calibration {
    /// Logits are divided by it.
    pub temperature: f32,
    /// Probability from which each channel's class is sure; 1: never. None: the head is not calibrated.
    pub sure: Option<Vec<f32>>,
}

impl Default for Calibration {
    fn default() -> Self {
        Calibration { temperature: 1.0, sure: None }
    }
}

/// Shape and meaning of one map of scores, batch 1.
#[derive(Debug, Clone, PartialEq)]
pub struct OutputSpec {
    /// The model's name for it.
    pub name: String,
    pub kind: HeadKind,
    pub activation: Activation,
    pub threshold: f32,
    pub calibration: Calibration,
    /// Class of each channel.
    pub classes: Vec<ClassId>,
    pub layout: TensorLayout,
    pub width: usize,
    pub height: usize,
}

impl OutputSpec {
    pub fn channels(&self) -> usize {
        self.classes.len()
    }

    /// Numbers in the tensor.
    pub fn len(&self) -> usize {
        self.channels() * self.width * self.height
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// One map of one run: `spec.len()` numbers, ordered as `spec.layout` says.
#[derive(Debug, Clone, Copy)]
pub struct TensorView<'a> {
    pub spec: &'a OutputSpec,
    pub data: &'a [f32],
}

/// Where the numbers of the proposals of a detection head stand: attribute `a` of proposal `p` is
/// `tensor[start + a·attribute_step + p·proposal_step]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field {
    /// For `Engine::tensor`.
    pub tensor: usize,
    pub start: usize,
    pub attribute_step: usize,
    pub proposal_step: usize,
}

impl Field {
    pub fn at(&self, attribute: usize, proposal: usize) -> usize {
        self.start + attribute * self.attribute_step + proposal * self.proposal_step
    }
}

/// Maps that a proposal's coefficients weigh into its mask: number `k` of pixel `i` (row by row) is
/// `tensor[k·prototype_step + i·pixel_step]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Prototypes {
    pub tensor: usize,
    pub count: usize,
    pub width: usize,
    pub height: usize,
    pub prototype_step: usize,
    pub pixel_step: usize,
}

/// A head that proposes boxes (YOLO, DETR).
#[derive(Debug, Clone, PartialEq)]
pub struct DetectionSpec {
    pub name: String,
    pub proposals: usize,
    /// Four numbers.
    pub boxes: Field,
    pub format: BoxFormat,
    pub units: BoxUnits,
    /// A number a class.
    pub scores: Field,
    pub classes: Vec<ClassId>,
    pub activation: Activation,
    pub objectness: Option<Field>,
    pub threshold: f32,
    /// None: the model gives each thing once.
    pub nms_iou: Option<f32>,
    pub masks: Option<(Field, Prototypes)>,
}

/// A head that says something of the whole frame.
#[derive(Debug, Clone, PartialEq)]
pub struct FrameClassSpec {
    pub name: String,
    pub tensor: usize,
    pub classes: Vec<ClassId>,
    pub activation: Activation,
    pub threshold: f32,
}

#[derive(Debug, Clone, PartialEq)]
pub enum HeadSpec {
    Map { tensor: usize, spec: OutputSpec },
    Detection(DetectionSpec),
    FrameClass(FrameClassSpec),
}

/// One input or output of a model as it was found, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorLine {
    pub name: String,
    /// `float32[1, 3, 192, 320]`; sides that the model leaves open stand as they were fixed at load.
    pub form: String,
    /// What it is for: `input`, `state`, a head's kind.
    pub role: String,
}

/// The newest frame's place in an engine's input, where the model reads it on a device: `3·height·width` numbers as `input_mut` has
/// them, which the room's kernels can fill.
pub struct DeviceInput<'a> {
    pub gpu: &'a mut Gpu,
    pub numbers: DeviceSpan<'a>,
    pub number: Number,
}

/// An output where the model left it on its device: ordered as its head says.
pub struct DeviceOutput<'a> {
    pub numbers: DeviceSpan<'a>,
    pub number: Number,
}

/// A model on a device, its input and outputs bound once. Heads stand in the order of the manifest's.
pub trait Engine: Send {
    fn input(&self) -> &InputSpec;

    fn heads(&self) -> &[HeadSpec];

    /// What the engine was made for, and the tensor that holds its distance from the training cohort; None: it does not say.
    fn indication(&self) -> Option<(&Indication, Option<usize>)>;

    /// What an engine that remembers (states, clips) allows between two of its frames, ms; None: it remembers nothing.
    fn max_gap_ms(&self) -> Option<u64>;

    /// All inputs and outputs that are used.
    fn tensors(&self) -> &[TensorLine];

    /// `3·height·width` numbers in the input's layout, colour order and normalisation: the newest frame.
    fn input_mut(&mut self) -> &mut [f32];

    /// Runs the model on what the input holds.
    fn run(&mut self) -> Result<(), InferError>;

    /// None: only `input_mut` can be filled.
    fn device_input(&mut self) -> Option<DeviceInput<'_>> {
        None
    }

    /// Waits for what the device was told, and makes `input_mut` hold what the device's input does.
    fn fetch_input(&mut self) -> Result<(), InferError> {
        Ok(())
    }

    /// As `run`, on what the device's input holds.
    fn run_filled(&mut self) -> Result<(), InferError> {
        self.run()
    }

    /// What it runs on; None: the processor.
    fn gpu(&self) -> Option<&Gpu> {
        None
    }

    /// Tensor `index` of a head, there. None: it is here alone, or of a type that the kernels do not read.
    fn device_output(&self, index: usize) -> Option<DeviceOutput<'_>> {
        let _ = index;
        None
    }

    /// As `run_filled`, but outputs stay there, and nobody has waited for them.
    fn run_there(&mut self) -> Result<(), InferError> {
        self.run_filled()
    }

    /// Brings the tensors here that are wanted and that `run_there` has left there, and waits for them.
    fn fetch_outputs(&mut self, is_wanted: &dyn Fn(usize) -> bool) -> Result<(), InferError> {
        let _ = is_wanted;
        Ok(())
    }

    /// Forgets all frames before the next: states are zeros again, a clip will hold nothing but its first frame.
    fn forget(&mut self);

    /// How many tensors a run gives.
    fn outputs(&self) -> usize;

    /// What the last run put into tensor `index` of a head, below `outputs`; zeros before the first.
    fn tensor(&self, index: usize) -> &[f32];
}

/// Opens the engine on the processor (ONNX Runtime), checks that the model fits its manifest, and proves on trial runs that it
/// runs: what cannot run is refused here, never at the first frame.
pub fn open(engine: LockedEngine) -> Result<Box<dyn Engine>, InferError> {
    open_on(engine, Backend::Cpu)
}

/// As `open`, on this backend.
pub fn open_on(engine: LockedEngine, backend: Backend) -> Result<Box<dyn Engine>, InferError> {
    Ok(match backend {
        Backend::Cpu => Box::new(OnnxEngine::open(engine)?),
        Backend::Cuda => Box::new(OnnxEngine::open_on(engine, Gpu::of_this_machine()?)?),
        Backend::TensorRt => Box::new(TensorRtEngine::open(engine)?),
    })
}
