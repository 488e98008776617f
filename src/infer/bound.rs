//! What engines on all backends have in common: a model that is bound once to its inputs and outputs, proved by trial runs before any
//! frame comes; states and clips; how numbers get to it and back.
//!
//! ```text
//!   input_mut ─► Port ─► Model::run ─► Port ─► tensor
//!                state ◄──────┘
//! ```

use super::border::Meaning;
use super::cuda::Gpu;
use super::engine::{DeviceInput, DeviceOutput, Engine, HeadSpec, InputSpec, TensorLine};
use super::error::InferError;
use super::port::{ClipRing, Place, Port};
use super::shapes::{Check, outputs_of, part, shape_text};
use crate::store::{ClipOrder, Indication, Manifest};

/// What runs on the tensors that are bound to it.
pub trait Model: Send {
    /// Where those lie.
    type Place: Place;

    /// Where it runs; None: on the processor.
    fn gpu(&self) -> Option<&Gpu>;

    fn gpu_mut(&mut self) -> Option<&mut Gpu>;

    /// On a GPU: queues the run on its stream, and comes back before that is done.
    fn run(&mut self) -> Result<(), String>;
}

/// A model with its tensors.
pub struct Bound<M: Model> {
    name: String,
    input: InputSpec,
    heads: Vec<HeadSpec>,
    lines: Vec<TensorLine>,
    indication: Option<(Indication, Option<usize>)>,
    max_gap_ms: Option<u64>,
    clip: Option<ClipRing>,
    source: Port<M::Place>,
    states: Vec<State<M::Place>>,
    outputs: Vec<Port<M::Place>>,
    model: M,
    /// States hold what an earlier frame left, which is not to be known any more.
    has_stale_states: bool,
    /// All outputs of the last run are here.
    are_fetched: bool,
}

/// What output `output` holds after a run, `input` holds before the next.
struct State<P> {
    input: Port<P>,
    output: usize,
}

impl<M: Model> Bound<M> {
    /// `model` is bound to `inputs`, the picture's first, then a state's each, and to `outputs`. Proves that it runs.
    pub fn new(
        manifest: &Manifest,
        meaning: Meaning,
        model: M,
        inputs: Vec<Port<M::Place>>,
        outputs: Vec<Port<M::Place>>,
    ) -> Result<Self, InferError> {
        let check = Check { engine: &manifest.name, input: &manifest.input };
        let mut inputs = inputs.into_iter();
        let source = inputs.next().ok_or_else(|| check.mismatch("model", "an input", "none"))?;
        let states: Vec<_> = inputs.zip(meaning.states).map(|(input, output)| State { input, output }).collect();
        let clip = manifest.clip.map(|clip| {
            let numbers = 3 * manifest.input.width as usize * manifest.input.height as usize;
            ClipRing::new(clip.frames, clip.order == ClipOrder::TimeFirst, numbers)
        });
        let remembers = clip.is_some() || !states.is_empty();
        let mut bound = Bound {
            name: manifest.name.clone(),
            lines: meaning.lines,
            input: manifest.input.clone(),
            heads: meaning.heads,
            indication: meaning.indication,
            max_gap_ms: remembers.then_some(manifest.max_gap_ms),
            clip,
            source,
            states,
            outputs,
            model,
            has_stale_states: true,
            are_fetched: false,
        };
        bound.prove(manifest)?;
        Ok(bound)
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
                if let Some(at) = port.odd()? {
                    let head = manifest.heads.iter().find(|head| outputs_of(head).any(|(name, _)| name == port.name));
                    let part = head.map_or(format!("output '{}'", port.name), |head| part(head, &port.name));
                    let found = format!("number {at} of {} is infinite or none", shape_text(&port.shape));
                    return Err(check.mismatch(part, format!("finite numbers on a trial run on {what}"), found));
                }
            }
        }
        self.input_mut().fill(0.0);
        let stream = self.model.gpu().map(Gpu::stream);
        self.outputs.iter_mut().try_for_each(|output| output.clear(stream))?;
        self.forget();
        Ok(())
    }

    /// The model's work on its bound tensors, with states before it and behind it.
    fn run_bound(&mut self) -> Result<(), InferError> {
        self.are_fetched = false;
        if std::mem::take(&mut self.has_stale_states) {
            let stream = self.model.gpu().map(Gpu::stream);
            self.states.iter_mut().try_for_each(|state| state.input.clear(stream))?;
        }
        self.model.run().map_err(|reason| InferError::Run { engine: self.name.clone(), reason })?;
        let stream = self.model.gpu().map(Gpu::stream);
        for state in &mut self.states {
            state.input.place.copy_from(&mut self.outputs[state.output].place, stream)?;
        }
        Ok(())
    }
}

impl<M: Model> Drop for Bound<M> {
    fn drop(&mut self) {
        // What is still queued uses the tensors; an error says that there is nothing left to wait for.
        let _ = self.model.gpu().map(|gpu| gpu.stream().synchronize());
    }
}

impl<M: Model> Engine for Bound<M> {
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
        self.source.store()?;
        if let Some(gpu) = self.model.gpu() {
            self.source.place.send(gpu.stream())?;
        }
        self.run_filled()
    }

    /// (The frames of a clip are kept here.)
    fn device_input(&mut self) -> Option<DeviceInput<'_>> {
        let number = self.source.number().filter(|_| self.clip.is_none())?;
        Some(DeviceInput { gpu: self.model.gpu_mut()?, numbers: self.source.place.span()?, number })
    }

    fn fetch_input(&mut self) -> Result<(), InferError> {
        let Some(gpu) = self.model.gpu() else { return Ok(()) };
        let received = self.source.place.receive(gpu.stream(), self.source.payload());
        // Whatever became of it: what was begun before may use memory of others.
        gpu.stream().synchronize()?;
        received?;
        Ok(self.source.fetch()?)
    }

    fn run_filled(&mut self) -> Result<(), InferError> {
        self.run_bound()?;
        self.fetch_outputs(&|_| true)?;
        self.are_fetched = true;
        Ok(())
    }

    fn gpu(&self) -> Option<&Gpu> {
        self.model.gpu()
    }

    fn device_output(&self, index: usize) -> Option<DeviceOutput<'_>> {
        let output = self.outputs.get(index)?;
        Some(DeviceOutput { number: output.number()?, numbers: output.place.span()? })
    }

    fn run_there(&mut self) -> Result<(), InferError> {
        self.run_bound()
    }

    fn fetch_outputs(&mut self, is_wanted: &dyn Fn(usize) -> bool) -> Result<(), InferError> {
        if self.are_fetched {
            return Ok(());
        }
        if let Some(gpu) = self.model.gpu() {
            for (_, output) in self.outputs.iter_mut().enumerate().filter(|(index, _)| is_wanted(*index)) {
                output.place.receive(gpu.stream(), output.payload())?;
            }
            gpu.stream().synchronize()?;
        }
        let mut wanted = self.outputs.iter_mut().enumerate().filter(|(index, _)| is_wanted(*index));
        Ok(wanted.try_for_each(|(_, output)| output.fetch())?)
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
