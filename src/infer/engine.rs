//! What every backend offers, and the tensors that it speaks in.

use super::error::InferError;
use crate::base::ids::ClassId;
use crate::store::{Activation, HeadKind, Input, LockedEngine, TensorLayout};

/// Shape and meaning of the input: as the manifest has it.
pub type InputSpec = Input;

/// Shape and meaning of one output, batch 1.
#[derive(Debug, Clone, PartialEq)]
pub struct OutputSpec {
    /// The model's name for it.
    pub name: String,
    pub kind: HeadKind,
    pub activation: Activation,
    pub threshold: f32,
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

/// One output of one run: `spec.len()` numbers, ordered as `spec.layout` says.
#[derive(Debug, Clone, Copy)]
pub struct TensorView<'a> {
    pub spec: &'a OutputSpec,
    pub data: &'a [f32],
}

/// A model on a device, its input and outputs bound once. Outputs stand in the order of the manifest's heads.
pub trait Engine: Send {
    fn input(&self) -> &InputSpec;

    fn outputs(&self) -> &[OutputSpec];

    /// `3·height·width` numbers in the input's layout, colour order and normalisation.
    fn input_mut(&mut self) -> &mut [f32];

    /// Runs the model on what the input holds.
    fn run(&mut self) -> Result<(), InferError>;

    /// What the last run put into output `index`; zeros before the first.
    fn output(&self, index: usize) -> TensorView<'_>;
}

/// Opens the engine on its backend (`cpu`: ONNX Runtime) and checks that the model fits its manifest.
pub fn open(engine: LockedEngine) -> Result<Box<dyn Engine>, InferError> {
    Ok(Box::new(super::cpu::CpuEngine::open(engine)?))
}
