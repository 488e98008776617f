//! A frame's way on the device: its bytes go there as they were captured, and one pass makes the model's input of them. What lies
//! there is hashed there.

use super::super::engine::{DeviceInput, InputSpec};
use super::super::error::InferError;
use super::super::feed::Captured;
use super::super::hash::of_digests;
use super::super::normalise::Normaliser;
use super::super::preprocess::Fit;
use super::hash::HashPlan;
use super::preprocess::{LIGHT_COUNTS, Number, PreprocessPlan, can_be_judged};
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
    light: Light,
}

/// What is told of a frame's light, there and here.
#[derive(Debug)]
struct Light {
    lit: DeviceBuffer,
    counts: DeviceBuffer,
    lit_here: PinnedBuffer,
    counts_here: PinnedBuffer,
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
    digests: DeviceBuffer,
    digests_here: PinnedBuffer,
}

impl DeviceFeed {
    /// Compiles its kernels, or takes them as they were kept.
    pub fn new(spec: InputSpec, to: DeviceInput<'_>) -> Result<Self, InferError> {
        to.gpu.load(&PREPROCESS)?;
        to.gpu.load(&INPUT_HASH)?;
        let device = to.gpu.device();
        let (lit, counts) = (size_of::<[i32; 2]>() * spec.height as usize, size_of::<u32>() * LIGHT_COUNTS);
        let light = Light {
            lit: device.buffer(lit)?,
            counts: device.buffer(counts)?,
            lit_here: device.pinned(lit)?,
            counts_here: device.pinned(counts)?,
        };
        Ok(DeviceFeed { spec, number: to.number, ring: None, format: None, light })
    }

    /// Can a frame's light be judged there?
    pub fn judges(&self) -> bool {
        can_be_judged(self.spec.width)
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

    /// Has the device fill the input, and judge the frame's light if that `is_judged`. Returns where in the input the picture lies.
    ///
    /// # Safety
    /// Until the engine's stream has been waited for (or the light that is judged), the frame's bytes stay where they are. (What another process writes there
    /// meanwhile is read: who lends such a frame asks afterwards whether it was overwritten.)
    pub unsafe fn show(&mut self, frame: Captured<'_>, to: &DeviceInput<'_>, is_judged: bool) -> Result<Fit, InferError> {
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
        format.plan.judge(is_judged);
        if is_judged {
            stream.clear(self.light.counts.span())?;
        }
        format.launch(to, &self.light)?;
        let fit = format.plan.fit;
        self.format = Some(format);
        Ok(fit)
    }

    /// Has the light of the last frame brought here, and waits for it: by then the frame's bytes have been read.
    pub fn wait_for_light(&mut self, stream: &Stream) -> Result<(), InferError> {
        let Light { lit, counts, lit_here, counts_here } = &mut self.light;
        stream.read_back(lit.span(), lit_here, Payload::Numbers)?;
        stream.read_back(counts.span(), counts_here, Payload::Numbers)?;
        self.light.lit_here.bytes()?;
        self.light.counts_here.bytes()?;
        Ok(())
    }

    /// Tells `normaliser` of it; true: the frame is to be corrected.
    pub fn judge(&self, normaliser: &mut Normaliser, capture_ns: u64) -> Result<bool, InferError> {
        let number = |bytes: &[u8; 4]| u32::from_ne_bytes(*bytes);
        let lit = self.light.lit_here.bytes()?.as_chunks::<8>().0.iter().map(|row| {
            let [start, end] = [row[..4].first_chunk(), row[4..].first_chunk()].map(|bytes| bytes.map_or(0, number) as usize);
            start..end
        });
        Ok(normaliser.run_there(lit, self.light.counts_here.bytes()?.as_chunks::<4>().0.iter().map(number), capture_ns))
    }

    /// Has the device fill the input once more with the last frame, changed as `normaliser` changes it now.
    pub fn correct(&mut self, normaliser: &Normaliser, to: &DeviceInput<'_>) -> Result<(), InferError> {
        let Some(format) = &mut self.format else { return Ok(()) };
        format.plan.judge(false);
        format.plan.correct_as(normaliser, cast_slice_mut(format.columns.bytes_mut()?));
        let bytes = format.inside.span().bytes();
        to.gpu.stream().upload(&mut format.columns, bytes, format.inside.span(), Payload::Numbers)?;
        format.launch(to, &self.light)
    }

    /// `input_hash` of the last frame, as it lies there. None: none of this layout does.
    pub fn input_hash(&mut self, layout: &FrameLayout, to: &DeviceInput<'_>) -> Result<Option<[u8; 32]>, InferError> {
        let Some(format) = self.format.as_mut().filter(|format| format.layout == *layout) else { return Ok(None) };
        let (device, stream) = (to.gpu.device(), to.gpu.stream());
        let Hash { plan, digests, digests_here } = &mut format.hash;
        let arguments = [Param::Value(bytes_of(&plan.params)), Param::Memory(format.frame.span()), Param::Memory(digests.span())];
        device.launch(stream, &plan.blocks, &arguments)?;
        stream.read_back(digests.span(), digests_here, Payload::Numbers)?;
        // Waits for it.
        Ok(Some(of_digests(layout, &digests_here.bytes()?[..plan.digest_bytes])))
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
            digests: device.buffer(plan_of_hash.digest_bytes)?,
            digests_here: device.pinned(plan_of_hash.digest_bytes)?,
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

    fn launch(&self, to: &DeviceInput<'_>, light: &Light) -> Result<(), InferError> {
        let table = |index: usize| self.tone.as_ref().map_or(Param::Nothing, |tables| Param::Memory(tables[index].span()));
        let arguments = [
            Param::Value(bytes_of(&self.plan.params)),
            Param::Memory(self.frame.span()),
            Param::Memory(self.spans.span()),
            table(0),
            table(1),
            Param::Memory(self.inside.span()),
            Param::Memory(to.numbers),
            Param::Memory(light.lit.span()),
            Param::Memory(light.counts.span()),
        ];
        Ok(to.gpu.device().launch(to.gpu.stream(), &self.plan.launch, &arguments)?)
    }
}
