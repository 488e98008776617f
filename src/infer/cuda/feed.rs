//! A frame's way on the device: its bytes go there as they were captured, and one pass makes the model's input of them. What lies
//! there is hashed there.

use super::super::engine::{DeviceInput, InputSpec};
use super::super::error::InferError;
use super::super::feed::Captured;
use super::super::normalise::Normaliser;
use super::super::preprocess::Fit;
use super::hash::{DIGEST_BYTES, HashPlan};
use super::preprocess::{Number, PreprocessPlan};
use crate::frame::cuda::{Device, DeviceBuffer, INPUT_HASH, PREPROCESS, Param, Payload, PinnedBuffer, RegisteredRing, Stream};
use crate::frame::{FrameLayout, RingReader};
use bytemuck::{bytes_of, cast_slice, cast_slice_mut};
use std::sync::Arc;

/// What a device is told of the frames of one stream; memory is taken once for each picture format.
#[derive(Debug)]
pub struct DeviceFeed {
    spec: InputSpec,
    number: Number,
    /// Where the frames come from: memory that the device reads by itself. None: it is copied to the driver's own first.
    ring: Option<RegisteredRing>,
    format: Option<Format>,
}

/// What one picture format needs there.
#[derive(Debug)]
struct Format {
    layout: FrameLayout,
    plan: PreprocessPlan,
    frame: DeviceBuffer,
    spans: DeviceBuffer,
    /// The two tables of `plan.tone`.
    tone: Option<[DeviceBuffer; 2]>,
    /// Two columns a row of the input, here and there.
    columns: PinnedBuffer,
    inside: DeviceBuffer,
    hash: Hash,
}

/// What hashing the frame needs there.
#[derive(Debug)]
struct Hash {
    plan: HashPlan,
    message: DeviceBuffer,
    digest: DeviceBuffer,
    digest_here: PinnedBuffer,
}

impl DeviceFeed {
    /// Compiles its kernels, or takes them as they were kept.
    pub fn new(spec: InputSpec, to: DeviceInput<'_>) -> Result<Self, InferError> {
        to.gpu.load(&PREPROCESS)?;
        to.gpu.load(&INPUT_HASH)?;
        Ok(DeviceFeed { spec, number: to.number, ring: None, format: None })
    }

    /// Frames come from this ring from now on. Where its memory cannot be read by the device itself, frames cost a copy more.
    pub fn meet(&mut self, ring: &Arc<RingReader>, to: &DeviceInput<'_>) {
        // One at a time.
        self.ring = None;
        match to.gpu.device().register(ring.clone()) {
            Ok(ring) => self.ring = Some(ring),
            Err(error) => tracing::info!("frames are copied once more on their way to the device: {error}"),
        }
    }

    #[cfg(test)]
    pub fn reads_the_ring_itself(&self) -> bool {
        self.ring.is_some()
    }

    /// Has the device fill the input. Returns where in it the picture lies.
    ///
    /// # Safety
    /// Until the engine's stream has been waited for, the frame's bytes stay where they are. (What another process writes there
    /// meanwhile is read: who lends such a frame asks afterwards whether it was overwritten.)
    pub unsafe fn show(&mut self, frame: Captured<'_>, to: &DeviceInput<'_>) -> Result<Fit, InferError> {
        let (device, stream) = (to.gpu.device(), to.gpu.stream());
        let mut format = match self.format.take() {
            Some(format) if format.layout == *frame.layout() => format,
            // What it has goes first.
            other => {
                drop(other);
                Format::new(&self.spec, *frame.layout(), self.number, device, stream)?
            }
        };
        let kept = format.frame.span();
        match frame {
            // SAFETY: the caller keeps the bytes.
            Captured::Here(view) => unsafe { stream.upload_from(view.bytes(), kept, Payload::Pixels)? },
            // The slot is free again as soon as the stream has been waited for.
            Captured::There(layout, frame) => stream.copy(frame.first(layout.size)?, kept)?,
        }
        format.plan.leave_as_captured();
        format.launch(to)?;
        let fit = format.plan.fit;
        self.format = Some(format);
        Ok(fit)
    }

    /// Has the device fill the input once more with the last frame, changed as `normaliser` changes it now.
    pub fn correct(&mut self, normaliser: &Normaliser, to: &DeviceInput<'_>) -> Result<(), InferError> {
        let Some(format) = &mut self.format else { return Ok(()) };
        format.plan.correct_as(normaliser, cast_slice_mut(format.columns.bytes_mut()?));
        let bytes = format.inside.span().bytes();
        to.gpu.stream().upload(&mut format.columns, bytes, format.inside.span(), Payload::Numbers)?;
        format.launch(to)
    }

    /// `input_hash` of the last frame, as it lies there. None: none of this layout does.
    pub fn input_hash(&mut self, layout: &FrameLayout, to: &DeviceInput<'_>) -> Result<Option<[u8; 32]>, InferError> {
        let Some(format) = self.format.as_mut().filter(|format| format.layout == *layout) else { return Ok(None) };
        let (device, stream) = (to.gpu.device(), to.gpu.stream());
        let Hash { plan, message, digest, digest_here } = &mut format.hash;
        let [params, message] = [Param::Value(bytes_of(&plan.params)), Param::Memory(message.span())];
        device.launch(stream, &plan.blocks, &[params, Param::Memory(format.frame.span()), message])?;
        device.launch(stream, &plan.root, &[params, message, Param::Memory(digest.span())])?;
        stream.read_back(digest.span(), digest_here, Payload::Numbers)?;
        // Waits for it.
        Ok(digest_here.bytes()?.first_chunk().copied())
    }
}

impl Format {
    fn new(spec: &InputSpec, layout: FrameLayout, number: Number, device: &Device, stream: &Stream) -> Result<Self, InferError> {
        let plan = PreprocessPlan::new(spec, layout, number);
        let filled = |bytes: &[u8]| -> Result<DeviceBuffer, InferError> {
            let (mut pinned, memory) = (device.pinned(bytes.len())?, device.buffer(bytes.len())?);
            pinned.bytes_mut()?[..bytes.len()].copy_from_slice(bytes);
            stream.upload(&mut pinned, bytes.len(), memory.span(), Payload::Numbers)?;
            Ok(memory)
        };
        let tone = match &plan.tone {
            Some(tone) => Some([filled(cast_slice(tone.to_linear))?, filled(tone.to_display)?]),
            None => None,
        };
        let plan_of_hash = HashPlan::new(&layout);
        let hash = Hash {
            message: device.buffer(plan_of_hash.message_bytes)?,
            digest: device.buffer(DIGEST_BYTES)?,
            digest_here: device.pinned(DIGEST_BYTES)?,
            plan: plan_of_hash,
        };
        let inside_bytes = size_of::<[i32; 2]>() * spec.height as usize;
        Ok(Format {
            frame: device.buffer(layout.size)?,
            spans: filled(cast_slice(&plan.spans))?,
            columns: device.pinned(inside_bytes)?,
            inside: device.buffer(inside_bytes)?,
            layout,
            plan,
            tone,
            hash,
        })
    }

    fn launch(&self, to: &DeviceInput<'_>) -> Result<(), InferError> {
        let table = |index: usize| self.tone.as_ref().map_or(Param::Nothing, |tables| Param::Memory(tables[index].span()));
        let arguments = [
            Param::Value(bytes_of(&self.plan.params)),
            Param::Memory(self.frame.span()),
            Param::Memory(self.spans.span()),
            table(0),
            table(1),
            Param::Memory(self.inside.span()),
            Param::Memory(to.numbers),
            // What is judged is judged on the copy that comes back.
            Param::Nothing,
            Param::Nothing,
        ];
        Ok(to.gpu.device().launch(to.gpu.stream(), &self.plan.launch, &arguments)?)
    }
}
