//! Faults of an engine on demand (`--inject`), put in where an engine's own would be: between its model and whoever reads its
//! outputs. Without one this hands everything through.

use super::cuda::Gpu;
use super::engine::{DeviceInput, DeviceOutput, Engine, HeadSpec, InputSpec, TensorLine};
use super::error::InferError;
use crate::store::Indication;
use serde::{Deserialize, Serialize};
use std::time::{Duration, Instant};

/// What befalls an engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EngineFault {
    /// Each run takes at least so long: the model is run again and again, so that the processor is as busy as it would be with a
    /// model that is too large for it, or with a clock that heat has brought down. (A process that sleeps, or is stopped, would
    /// leave the processor to the others, and one that is stopped is seen to be.)
    Slow { ms: u32 },
    /// The first tensor's first number is none.
    NotANumber,
    /// The first tensor's first number is far from all that a network gives.
    OutOfRange,
    /// The first tensor has only half of its numbers.
    Shape,
    /// Each run fails, as one does on a device that is gone.
    Fails,
}

/// An engine that may have a fault.
pub struct FaultyEngine {
    inner: Box<dyn Engine>,
    fault: Option<EngineFault>,
    /// The first tensor as the fault has it.
    wrong: Vec<f32>,
}

impl FaultyEngine {
    pub fn new(inner: Box<dyn Engine>) -> Self {
        FaultyEngine { inner, fault: None, wrong: Vec::new() }
    }

    /// From the next run on; None: all is well again.
    pub fn set_fault(&mut self, fault: Option<EngineFault>) {
        self.fault = fault;
        self.wrong.clear();
    }

    /// Faults on demand befall frames: what tells a broken memory from them is not touched.
    pub fn run_without_fault(&mut self) -> Result<(), InferError> {
        self.wrong.clear();
        self.inner.run()
    }

    fn run_for(&mut self, at_least: Duration, run: Run) -> Result<(), InferError> {
        let begun = Instant::now();
        run(&mut *self.inner)?;
        let mut is_once = true;
        while begun.elapsed() < at_least {
            run(&mut *self.inner)?;
            is_once = false;
        }
        // One that remembers frames has seen this one more than once.
        if !is_once && self.inner.max_gap_ms().is_some() {
            self.inner.forget();
        }
        Ok(())
    }

    fn run_as(&mut self, run: Run) -> Result<(), InferError> {
        let odd = match self.fault {
            None => return run(&mut *self.inner),
            Some(EngineFault::Slow { ms }) => return self.run_for(Duration::from_millis(ms.into()), run),
            Some(EngineFault::Fails) => {
                return Err(InferError::Run { engine: "on demand".into(), reason: "the device is lost, put in on purpose".into() });
            }
            Some(EngineFault::NotANumber) => Some(f32::NAN),
            Some(EngineFault::OutOfRange) => Some(-3e9),
            Some(EngineFault::Shape) => None,
        };
        run(&mut *self.inner)?;
        let first = self.inner.tensor(0);
        self.wrong.clear();
        self.wrong.extend_from_slice(if odd.is_some() { first } else { &first[..first.len() / 2] });
        if let (Some(number), Some(place)) = (odd, self.wrong.first_mut()) {
            *place = number;
        }
        Ok(())
    }
}

/// `Engine::run` or `Engine::run_filled`.
type Run = fn(&mut dyn Engine) -> Result<(), InferError>;

impl Engine for FaultyEngine {
    fn input(&self) -> &InputSpec {
        self.inner.input()
    }

    fn heads(&self) -> &[HeadSpec] {
        self.inner.heads()
    }

    fn indication(&self) -> Option<(&Indication, Option<usize>)> {
        self.inner.indication()
    }

    fn max_gap_ms(&self) -> Option<u64> {
        self.inner.max_gap_ms()
    }

    fn tensors(&self) -> &[TensorLine] {
        self.inner.tensors()
    }

    fn input_mut(&mut self) -> &mut [f32] {
        self.inner.input_mut()
    }

    fn run(&mut self) -> Result<(), InferError> {
        self.run_as(|engine| engine.run())
    }

    fn device_input(&mut self) -> Option<DeviceInput<'_>> {
        self.inner.device_input()
    }

    fn fetch_input(&mut self) -> Result<(), InferError> {
        self.inner.fetch_input()
    }

    fn run_filled(&mut self) -> Result<(), InferError> {
        self.run_as(|engine| engine.run_filled())
    }

    fn gpu(&self) -> Option<&Gpu> {
        self.inner.gpu()
    }

    /// With a fault all outputs are here, where it befalls them.
    fn device_output(&self, index: usize) -> Option<DeviceOutput<'_>> {
        self.inner.device_output(index).filter(|_| self.fault.is_none())
    }

    fn run_there(&mut self) -> Result<(), InferError> {
        if self.fault.is_some() {
            return self.run_filled();
        }
        self.wrong.clear();
        self.inner.run_there()
    }

    fn fetch_outputs(&mut self, is_wanted: &dyn Fn(usize) -> bool) -> Result<(), InferError> {
        self.inner.fetch_outputs(is_wanted)
    }

    fn forget(&mut self) {
        self.inner.forget();
    }

    fn outputs(&self) -> usize {
        self.inner.outputs()
    }

    fn tensor(&self, index: usize) -> &[f32] {
        if index == 0 && !self.wrong.is_empty() { &self.wrong } else { self.inner.tensor(index) }
    }
}
