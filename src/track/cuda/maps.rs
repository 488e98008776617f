//! `Maps` made on a device: where the picture stands still, and what the model's outputs say of each pixel, from where both lie there.
//! Only what comes out is brought here.

use super::{DecodePlan, StillnessPlan};
use crate::frame::cuda::{CudaError, DECODE, Device, DeviceBuffer, Param, Payload, PinnedBuffer, STILLNESS, Stream};
use crate::infer::cuda::Number;
use crate::infer::{DeviceInput, DeviceOutput, Engine, Fit, HeadKind, InferError, InputSpec, OutputSpec};
use crate::track::decode::window_of;
use crate::track::maps::{Maps, Window};
use bytemuck::bytes_of;

/// Of one engine; takes its memory once.
#[derive(Debug)]
pub struct DeviceMaps {
    input: InputSpec,
    is_half: bool,
    stillness: StillnessPlan,
    reference: DeviceBuffer,
    now: DeviceBuffer,
    off: DeviceBuffer,
    share: DeviceBuffer,
    /// Of the frame before; None: there was none.
    last_ns: Option<u64>,
    /// Of what the probabilities there are: with another shape nothing is averaged.
    averaged: Option<(Window, usize)>,
    /// What is being decoded; None: nothing.
    begun: Option<Window>,
    tissue: Sides,
    instrument: Sides,
    labels: Sides,
    mask: Sides,
    certainty: Sides,
    odd: Sides,
    confidence: DeviceBuffer,
}

/// What is made there and brought here.
#[derive(Debug)]
struct Sides {
    there: DeviceBuffer,
    here: PinnedBuffer,
    /// Of `here`, brought last.
    bytes: usize,
}

impl Sides {
    fn new(device: &Device, bytes: usize) -> Result<Self, InferError> {
        Ok(Sides { there: device.buffer(bytes)?, here: device.pinned(bytes)?, bytes: 0 })
    }

    /// Begins to.
    fn bring(&mut self, stream: &Stream, bytes: usize) -> Result<(), InferError> {
        self.bytes = bytes;
        if bytes == 0 {
            return Ok(());
        }
        Ok(stream.read_back(self.there.span().first(bytes)?, &mut self.here, Payload::Pixels)?)
    }

    /// Waits for it.
    fn bytes(&self) -> Result<&[u8], InferError> {
        Ok(&self.here.bytes()?[..self.bytes])
    }
}

impl DeviceMaps {
    /// For these heads, at most one of either kind. None: the kernels cannot do it, or the model does not run on a device.
    pub fn new(heads: &[(usize, OutputSpec)], engine: &mut dyn Engine) -> Result<Option<Self>, InferError> {
        let Some(input) = engine.device_input().map(|to| to.number) else { return Ok(None) };
        let numbers: Option<Vec<Number>> =
            heads.iter().map(|(tensor, _)| engine.device_output(*tensor).map(|tensor| tensor.number)).collect();
        let [first, rest @ ..] = &numbers.unwrap_or_default()[..] else { return Ok(None) };
        let specs: Vec<&OutputSpec> = heads.iter().map(|(_, spec)| spec).collect();
        let (spec, is_half) = (engine.input().clone(), *first == Number::F16);
        let whole = Fit { x: 0, y: 0, width: spec.width as usize, height: spec.height as usize };
        let plan = DecodePlan::new(&specs, &spec, whole, [0; 2], is_half).filter(|_| rest.iter().all(|number| number == first));
        let (Some(plan), Some(to)) = (plan, engine.device_input()) else { return Ok(None) };
        to.gpu.load(&STILLNESS)?;
        to.gpu.load(&DECODE)?;
        let device = to.gpu.device();
        let stillness = StillnessPlan::new(&spec, input == Number::F16);
        let blocks = (stillness.params.blocks[0] * stillness.params.blocks[1]) as usize;
        let [width, height] = plan.params.output.map(|side| side as usize);
        let (pixels, float) = (width * height, size_of::<f32>());
        Ok(Some(DeviceMaps {
            is_half,
            stillness,
            reference: device.buffer(3 * blocks * float)?,
            now: device.buffer(3 * blocks * float)?,
            off: device.buffer(blocks * float)?,
            share: device.buffer(blocks * float)?,
            last_ns: None,
            averaged: None,
            begun: None,
            tissue: Sides::new(device, plan.params.tissue.channels as usize * pixels * float)?,
            instrument: Sides::new(device, pixels * float)?,
            labels: Sides::new(device, pixels)?,
            mask: Sides::new(device, pixels)?,
            certainty: Sides::new(device, plan.certainties() * float)?,
            odd: Sides::new(device, float)?,
            confidence: device.buffer(pixels * float)?,
            input: spec,
        }))
    }

    /// The next frame does not follow on the last one.
    pub fn forget(&mut self) {
        self.last_ns = None;
    }

    /// Looks at what the network is shown, as it lies there.
    pub fn watch(&mut self, to: &DeviceInput<'_>, capture_ns: u64) -> Result<(), InferError> {
        let (device, stream) = (to.gpu.device(), to.gpu.stream());
        self.stillness.follow(self.last_ns.map(|last| capture_ns.saturating_sub(last) as f32 / 1e9));
        self.last_ns = Some(capture_ns);
        let params = Param::Value(bytes_of(&self.stillness.params));
        let [reference, now, off, share] = [&self.reference, &self.now, &self.off, &self.share].map(|memory| Param::Memory(memory.span()));
        device.launch(stream, &self.stillness.compare, &[params, Param::Memory(to.numbers), reference, now, off])?;
        Ok(device.launch(stream, &self.stillness.share, &[params, now, off, reference, share])?)
    }

    /// Has the outputs of the last run decoded, which may still be running, and brought here; `fit`: where in the input the picture lies.
    pub fn begin(&mut self, heads: &[(usize, OutputSpec)], engine: &dyn Engine, fit: Fit) -> Result<(), InferError> {
        let elsewhere = || CudaError::Elsewhere;
        let [(_, first), ..] = heads else { return Err(elsewhere().into()) };
        let both = [first, heads.last().map_or(first, |(_, spec)| spec)];
        let specs = &both[..heads.len().min(2)];
        let window = window_of([self.input.width as usize, self.input.height as usize], [first.width, first.height], fit);
        let shape = (window, specs.iter().map(|spec| spec.channels()).sum());
        let blocks = self.stillness.params.blocks.map(|side| side as usize);
        let share = if self.averaged.replace(shape) == Some(shape) { blocks } else { [0; 2] };
        let plan = DecodePlan::new(specs, &self.input, fit, share, self.is_half).ok_or_else(elsewhere)?;
        let gpu = engine.gpu().ok_or_else(elsewhere)?;
        let (device, stream) = (gpu.device(), gpu.stream());
        let logits = |kind| {
            let tensor = heads.iter().find(|(_, spec)| spec.kind == kind).and_then(|(tensor, _)| engine.device_output(*tensor));
            tensor.map_or(Param::Nothing, |DeviceOutput { numbers, .. }| Param::Memory(numbers))
        };
        stream.clear(self.odd.there.span())?;
        let arguments = [
            Param::Value(bytes_of(&plan.params)),
            logits(HeadKind::Tissue),
            logits(HeadKind::Instrument),
            Param::Memory(self.share.span()),
            Param::Memory(self.tissue.there.span()),
            Param::Memory(self.instrument.there.span()),
            Param::Memory(self.labels.there.span()),
            Param::Memory(self.mask.there.span()),
            Param::Memory(self.confidence.span()),
            Param::Memory(self.certainty.there.span()),
            Param::Memory(self.odd.there.span()),
        ];
        device.launch(stream, &plan.launch, &arguments)?;

        let (pixels, float) = (window.width * window.height, size_of::<f32>());
        let (tissue_bytes, certainty_bytes) = (plan.params.tissue.channels as usize * pixels * float, plan.certainties() * float);
        let instrument_bytes = if plan.params.instrument.channels > 0 { pixels * float } else { 0 };
        self.odd.bring(stream, float)?;
        self.certainty.bring(stream, certainty_bytes)?;
        self.labels.bring(stream, pixels)?;
        self.mask.bring(stream, pixels)?;
        self.instrument.bring(stream, instrument_bytes)?;
        self.tissue.bring(stream, tissue_bytes)?;
        self.begun = Some(window);
        Ok(())
    }

    /// Waits for what was begun, and fills `maps` from it.
    pub fn finish(&mut self, heads: &[(usize, OutputSpec)], maps: &mut Maps) -> Result<(), InferError> {
        let window = self.begun.take().ok_or(CudaError::Elsewhere)?;
        if self.odd.bytes()?.iter().any(|byte| *byte != 0) {
            // What was averaged with it is of no use either.
            self.averaged = None;
            let (part, found) = ("an output".to_owned(), "a number that is none, or beyond what such a head can give".to_owned());
            return Err(InferError::Impossible { part, found });
        }
        maps.shape(heads.iter().map(|(_, spec)| spec), window);
        maps.labels.extend_from_slice(self.labels.bytes()?);
        maps.mask.extend_from_slice(self.mask.bytes()?);
        maps.instrument.clear();
        maps.instrument.extend(floats(self.instrument.bytes()?));
        maps.tissue.clear();
        maps.tissue.extend(floats(self.tissue.bytes()?));
        let sum: f32 = floats(self.certainty.bytes()?).sum();
        maps.certainty = if maps.tissue.is_empty() { 1.0 } else { sum / (window.width * window.height) as f32 };
        Ok(())
    }
}

fn floats(bytes: &[u8]) -> impl Iterator<Item = f32> {
    bytes.as_chunks::<4>().0.iter().map(|bytes| f32::from_ne_bytes(*bytes))
}
