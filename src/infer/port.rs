//! One tensor at the border of a model: the model's own number type inside, f32 outside.

use super::cuda::Number;
use super::engine::DeviceTensor;
use crate::frame::cuda::{CudaError, DeviceSpan, Payload, Stream};
use crate::store::TensorLayout;
use half::f16;
use half::slice::HalfFloatSliceExt;
use ort::memory::{AllocationDevice, Allocator, AllocatorType, MemoryInfo, MemoryType};
use ort::session::{IoBinding, Session};
use ort::value::{PrimitiveTensorElementType, Tensor, TensorElementType};
use std::fmt::Debug;

/// A tensor of a type that can be converted.
#[derive(Debug)]
enum Raw {
    F32(Tensor<f32>),
    F16(Tensor<f16>),
    F64(Tensor<f64>),
    U8(Tensor<u8>),
    I32(Tensor<i32>),
    I64(Tensor<i64>),
    Bool(Tensor<bool>),
}

/// Runs the same code for whatever type the tensor has.
macro_rules! with_tensor {
    ($raw:expr, $tensor:ident => $code:expr) => {
        match $raw {
            Raw::F32($tensor) => $code,
            Raw::F16($tensor) => $code,
            Raw::F64($tensor) => $code,
            Raw::U8($tensor) => $code,
            Raw::I32($tensor) => $code,
            Raw::I64($tensor) => $code,
            Raw::Bool($tensor) => $code,
        }
    };
}

impl Raw {
    /// Of numbers that are not set. None: that type cannot be converted.
    fn new(allocator: &Allocator, ty: TensorElementType, shape: &[usize]) -> ort::Result<Option<Self>> {
        Ok(Some(match ty {
            TensorElementType::Float32 => Raw::F32(Tensor::new(allocator, shape)?),
            TensorElementType::Float16 => Raw::F16(Tensor::new(allocator, shape)?),
            TensorElementType::Float64 => Raw::F64(Tensor::new(allocator, shape)?),
            TensorElementType::Uint8 => Raw::U8(Tensor::new(allocator, shape)?),
            TensorElementType::Int32 => Raw::I32(Tensor::new(allocator, shape)?),
            TensorElementType::Int64 => Raw::I64(Tensor::new(allocator, shape)?),
            TensorElementType::Bool => Raw::Bool(Tensor::new(allocator, shape)?),
            _ => return Ok(None),
        }))
    }

    /// Where its memory starts, and how long it is.
    fn memory(&mut self) -> (*mut u8, usize) {
        fn of<T: PrimitiveTensorElementType + Debug>(tensor: &mut Tensor<T>) -> (*mut u8, usize) {
            let numbers: i64 = tensor.shape().iter().product();
            (tensor.data_ptr_mut().cast(), numbers as usize * size_of::<T>())
        }
        with_tensor!(self, tensor => of(tensor))
    }

    /// Of a tensor that was made on a device.
    fn span(&mut self) -> DeviceSpan<'_> {
        let (start, bytes) = self.memory();
        // SAFETY: the tensor's own memory, which stays until the tensor goes; whoever begins something with it waits for the stream
        // before that (`Port`).
        unsafe { DeviceSpan::of(start as u64, bytes) }
    }
}

/// What makes a model's tensors: where the processor reads them, and where the model does if that is elsewhere.
#[derive(Debug)]
pub struct Room {
    host: Allocator,
    device: Option<Allocator>,
}

impl Room {
    pub fn of_processor() -> Self {
        Room { host: Allocator::default(), device: None }
    }

    #[cfg(test)]
    pub fn rehearsal() -> Self {
        Room { host: Allocator::default(), device: Some(Allocator::default()) }
    }

    /// Memory of the device's, and memory here that it copies from and to by itself.
    pub fn on_device(session: &Session, ordinal: usize) -> ort::Result<Self> {
        let pinned = MemoryInfo::new(AllocationDevice::CUDA_PINNED, 0, AllocatorType::Device, MemoryType::CPUOutput)?;
        let device = MemoryInfo::new(AllocationDevice::CUDA, ordinal as i32, AllocatorType::Device, MemoryType::Default)?;
        Ok(Room { host: Allocator::new(session, pinned)?, device: Some(Allocator::new(session, device)?) })
    }
}

/// What the numbers become outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    Same,
    /// Class ids become a plane of zeros and ones a class, `[classes, numbers]`.
    OneHot {
        classes: usize,
    },
}

/// A tensor that is bound to a model's input or output, and its numbers as f32; allocates nothing after `new`.
#[derive(Debug)]
pub struct Port {
    pub name: String,
    pub shape: Vec<usize>,
    pub form: Form,
    raw: Raw,
    /// The one that is bound, where it is not `raw`. Copies between the two are begun by `send`, `receive`, `clear` and `copy_from`;
    /// `raw` is not looked at before their stream was waited for, which the engine does at the end of each run.
    on_device: Option<Raw>,
    /// Start and length of that one.
    place: Option<(u64, usize)>,
    /// Empty where the tensor's own numbers are given out.
    plain: Vec<f32>,
}

/// Types that a model's border may have; inputs cannot be whole numbers but bytes.
pub fn is_supported(ty: TensorElementType) -> bool {
    use TensorElementType::{Bool, Float16, Float32, Float64, Int32, Int64, Uint8};
    matches!(ty, Float32 | Float16 | Float64 | Uint8 | Int32 | Int64 | Bool)
}

pub fn is_whole_number(ty: TensorElementType) -> bool {
    !matches!(ty, TensorElementType::Float32 | TensorElementType::Float16 | TensorElementType::Float64)
}

/// ONNX's name of a type.
pub fn type_name(ty: TensorElementType) -> String {
    match ty {
        TensorElementType::Float32 => "float32".to_owned(),
        TensorElementType::Float16 => "float16".to_owned(),
        TensorElementType::Float64 => "float64".to_owned(),
        TensorElementType::Uint8 => "uint8".to_owned(),
        TensorElementType::Int32 => "int32".to_owned(),
        TensorElementType::Int64 => "int64".to_owned(),
        other => other.to_string(),
    }
}

impl Port {
    /// Zeros here; on a device what `clear` or `send` puts there. None: that type cannot be converted.
    pub fn new(name: &str, ty: TensorElementType, shape: &[usize], form: Form, room: &Room) -> ort::Result<Option<Self>> {
        let Some(raw) = Raw::new(&room.host, ty, shape)? else { return Ok(None) };
        let mut on_device = match &room.device {
            Some(device) => Raw::new(device, ty, shape)?,
            None => None,
        };
        let place = on_device.as_mut().map(Raw::memory).map(|(start, bytes)| (start as u64, bytes));
        let numbers: usize = shape.iter().product();
        let plain = match (form, &raw) {
            (Form::Same, Raw::F32(_)) => Vec::new(),
            (Form::Same, _) => vec![0.0; numbers],
            (Form::OneHot { classes }, _) => vec![0.0; classes * numbers],
        };
        let mut port = Port { name: name.to_owned(), shape: shape.to_vec(), form, raw, on_device, place, plain };
        port.zero();
        Ok(Some(port))
    }

    pub fn bind_as_input(&self, binding: &mut IoBinding) -> ort::Result<()> {
        with_tensor!(self.on_device.as_ref().unwrap_or(&self.raw), tensor => binding.bind_input(self.name.as_str(), tensor))
    }

    pub fn bind_as_output(&mut self, binding: &mut IoBinding) -> ort::Result<()> {
        with_tensor!(self.on_device.as_mut().unwrap_or(&mut self.raw), tensor => binding.bind_output(self.name.as_str(), tensor))
    }

    pub fn values(&self) -> &[f32] {
        match &self.raw {
            Raw::F32(tensor) if self.plain.is_empty() => tensor.extract_tensor().1,
            _ => &self.plain,
        }
    }

    pub fn values_mut(&mut self) -> &mut [f32] {
        match &mut self.raw {
            Raw::F32(tensor) if self.plain.is_empty() => tensor.extract_tensor_mut().1,
            _ => &mut self.plain,
        }
    }

    /// What the kernels call the tensor's numbers; None: another type, or the model reads it here.
    fn number_on_device(&self) -> Option<Number> {
        match self.on_device {
            Some(Raw::F32(_)) => Some(Number::F32),
            Some(Raw::F16(_)) => Some(Number::F16),
            _ => None,
        }
    }

    /// Where the model has it, if kernels can read it as it is; None: here, or it becomes something else here.
    pub fn on_device(&self) -> Option<DeviceTensor<'_>> {
        let number = self.number_on_device().filter(|_| self.form == Form::Same)?;
        let (start, bytes) = self.place?;
        // SAFETY: as in `Raw::span`; it was asked for when the tensor was made, and stays.
        Some(DeviceTensor { numbers: unsafe { DeviceSpan::of(start, bytes) }, number })
    }

    /// `values` → the model's tensor; rounded and held in range where it is of whole numbers.
    pub fn store(&mut self) {
        if self.plain.is_empty() {
            return;
        }
        fn convert<T>(to: &mut [T], from: &[f32], of: impl Fn(f32) -> T) {
            to.iter_mut().zip(from).for_each(|(to, from)| *to = of(*from));
        }
        let from = &self.plain;
        match &mut self.raw {
            Raw::F32(tensor) => tensor.extract_tensor_mut().1.copy_from_slice(from),
            Raw::F16(tensor) => tensor.extract_tensor_mut().1.convert_from_f32_slice(from),
            Raw::F64(tensor) => convert(tensor.extract_tensor_mut().1, from, f64::from),
            Raw::U8(tensor) => convert(tensor.extract_tensor_mut().1, from, |v| v.round() as u8),
            Raw::I32(tensor) => convert(tensor.extract_tensor_mut().1, from, |v| v.round() as i32),
            Raw::I64(tensor) => convert(tensor.extract_tensor_mut().1, from, |v| v.round() as i64),
            Raw::Bool(tensor) => convert(tensor.extract_tensor_mut().1, from, |v| v >= 0.5),
        }
    }

    /// The model's tensor → `values`.
    pub fn fetch(&mut self) {
        if self.plain.is_empty() {
            return;
        }
        if let Form::OneHot { classes } = self.form {
            return self.fetch_ids(classes);
        }
        fn convert<T: Copy>(to: &mut [f32], from: &[T], of: impl Fn(T) -> f32) {
            to.iter_mut().zip(from).for_each(|(to, from)| *to = of(*from));
        }
        let to = &mut self.plain;
        match &self.raw {
            Raw::F32(tensor) => to.copy_from_slice(tensor.extract_tensor().1),
            Raw::F16(tensor) => tensor.extract_tensor().1.convert_to_f32_slice(to),
            Raw::F64(tensor) => convert(to, tensor.extract_tensor().1, |v| v as f32),
            Raw::U8(tensor) => convert(to, tensor.extract_tensor().1, f32::from),
            Raw::I32(tensor) => convert(to, tensor.extract_tensor().1, |v| v as f32),
            Raw::I64(tensor) => convert(to, tensor.extract_tensor().1, |v| v as f32),
            Raw::Bool(tensor) => convert(to, tensor.extract_tensor().1, |v| f32::from(u8::from(v))),
        }
    }

    /// An id that is no class is in no plane.
    fn fetch_ids(&mut self, classes: usize) {
        fn planes<T: Copy>(plain: &mut [f32], classes: usize, ids: &[T], id: impl Fn(T) -> i64) {
            plain.fill(0.0);
            for (i, value) in ids.iter().enumerate() {
                if let Some(class) = usize::try_from(id(*value)).ok().filter(|&class| class < classes) {
                    plain[class * ids.len() + i] = 1.0;
                }
            }
        }
        let plain = &mut self.plain;
        match &self.raw {
            Raw::F32(tensor) => planes(plain, classes, tensor.extract_tensor().1, |v| v.round() as i64),
            Raw::F16(tensor) => planes(plain, classes, tensor.extract_tensor().1, |v| v.to_f32().round() as i64),
            Raw::F64(tensor) => planes(plain, classes, tensor.extract_tensor().1, |v| v.round() as i64),
            Raw::U8(tensor) => planes(plain, classes, tensor.extract_tensor().1, i64::from),
            Raw::I32(tensor) => planes(plain, classes, tensor.extract_tensor().1, i64::from),
            Raw::I64(tensor) => planes(plain, classes, tensor.extract_tensor().1, |v| v),
            Raw::Bool(tensor) => planes(plain, classes, tensor.extract_tensor().1, i64::from),
        }
    }

    /// Begins to bring what `store` left to the device, if the model reads it there.
    pub fn send(&mut self, stream: &Stream) -> Result<(), CudaError> {
        let Some(there) = &mut self.on_device else { return Ok(()) };
        let (start, bytes) = self.raw.memory();
        // SAFETY: the tensor's own memory, all of it set; it stays, and is let be until the stream was waited for (see `on_device`).
        unsafe { stream.upload_from(std::slice::from_raw_parts(start, bytes), there.span(), Payload::Pixels) }
    }

    /// Begins to bring what the model gave from the device, for `fetch`.
    pub fn receive(&mut self, stream: &Stream) -> Result<(), CudaError> {
        let Some(there) = &mut self.on_device else { return Ok(()) };
        let (start, bytes) = self.raw.memory();
        // SAFETY: as in `send`.
        unsafe { stream.read_back_to(there.span(), std::slice::from_raw_parts_mut(start, bytes), Payload::Pixels) }
    }

    /// Zeros wherever the numbers are.
    pub fn clear(&mut self, stream: Option<&Stream>) -> Result<(), CudaError> {
        self.zero();
        match (stream, &mut self.on_device) {
            (Some(stream), Some(there)) => stream.clear(there.span()),
            _ => Ok(()),
        }
    }

    fn zero(&mut self) {
        with_tensor!(&mut self.raw, tensor => tensor.extract_tensor_mut().1.fill(Default::default()));
        self.plain.fill(0.0);
    }

    /// Takes over the numbers of a tensor of the same type and shape, where the model reads them.
    pub fn copy_from(&mut self, other: &mut Port, stream: Option<&Stream>) -> Result<(), CudaError> {
        if let (Some(stream), Some(there), Some(from)) = (stream, &mut self.on_device, &mut other.on_device) {
            return stream.copy(from.span(), there.span());
        }
        match (&mut self.raw, &other.raw) {
            (Raw::F32(to), Raw::F32(from)) => to.extract_tensor_mut().1.copy_from_slice(from.extract_tensor().1),
            (Raw::F16(to), Raw::F16(from)) => to.extract_tensor_mut().1.copy_from_slice(from.extract_tensor().1),
            (Raw::F64(to), Raw::F64(from)) => to.extract_tensor_mut().1.copy_from_slice(from.extract_tensor().1),
            (Raw::U8(to), Raw::U8(from)) => to.extract_tensor_mut().1.copy_from_slice(from.extract_tensor().1),
            (Raw::I32(to), Raw::I32(from)) => to.extract_tensor_mut().1.copy_from_slice(from.extract_tensor().1),
            (Raw::I64(to), Raw::I64(from)) => to.extract_tensor_mut().1.copy_from_slice(from.extract_tensor().1),
            (Raw::Bool(to), Raw::Bool(from)) => to.extract_tensor_mut().1.copy_from_slice(from.extract_tensor().1),
            _ => debug_assert!(false, "states of two types are refused at load"),
        }
        Ok(())
    }

    /// The first number that is none, of those that the model itself gave.
    pub fn odd(&self) -> Option<usize> {
        match &self.raw {
            Raw::F32(tensor) => tensor.extract_tensor().1.iter().position(|v| !v.is_finite()),
            Raw::F16(tensor) => tensor.extract_tensor().1.iter().position(|v| !v.is_finite()),
            Raw::F64(tensor) => tensor.extract_tensor().1.iter().position(|v| !v.is_finite()),
            _ => None,
        }
    }
}

/// How the numbers of a clip lie: `groups` times `frames` blocks, of which the newest frame's are the last.
#[derive(Debug, Clone)]
pub struct ClipRing {
    pub frames: usize,
    pub groups: usize,
    /// The newest frame.
    pub frame: Vec<f32>,
    is_filled: bool,
}

impl ClipRing {
    pub fn new(frames: usize, is_time_first: bool, frame_numbers: usize) -> Self {
        ClipRing { frames, groups: if is_time_first { 1 } else { 3 }, frame: vec![0.0; frame_numbers], is_filled: false }
    }

    /// The next frame fills the whole clip.
    pub fn forget(&mut self) {
        self.is_filled = false;
    }

    /// Puts `frame` at the end of `clip`; the oldest goes.
    pub fn push(&mut self, clip: &mut [f32]) {
        let block = self.frame.len() / self.groups;
        for (group, newest) in clip.chunks_exact_mut(self.frames * block).zip(self.frame.chunks_exact(block)) {
            if self.is_filled {
                group.copy_within(block.., 0);
                group[(self.frames - 1) * block..].copy_from_slice(newest);
            } else {
                group.chunks_exact_mut(block).for_each(|to| to.copy_from_slice(newest));
            }
        }
        self.is_filled = true;
    }
}

/// Shape of an input: one frame, or a clip.
pub fn input_shape(layout: TensorLayout, [width, height]: [usize; 2], clip: Option<(usize, bool)>) -> Vec<usize> {
    match (layout, clip) {
        (TensorLayout::Nchw, None) => vec![1, 3, height, width],
        (TensorLayout::Nhwc, None) => vec![1, height, width, 3],
        (TensorLayout::Nchw, Some((frames, true))) => vec![1, frames, 3, height, width],
        (TensorLayout::Nchw, Some((frames, false))) => vec![1, 3, frames, height, width],
        (TensorLayout::Nhwc, Some((frames, _))) => vec![1, frames, height, width, 3],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clip_holds_the_last_frames_in_both_orders() {
        for is_time_first in [true, false] {
            // Frames of 3 channels × 2 pixels, numbered frame·10 + channel.
            let mut ring = ClipRing::new(3, is_time_first, 6);
            let mut clip = vec![0.0; 18];
            let mut push = |ring: &mut ClipRing, frame: f32| {
                (0..6).for_each(|i| ring.frame[i] = frame * 10.0 + (i / 2) as f32);
                ring.push(&mut clip);
                let at = |frame: usize, channel: usize| if is_time_first { frame * 6 + channel * 2 } else { channel * 6 + frame * 2 };
                assert!((0..3).all(|channel| clip[at(2, channel) + 1] == frame * 10.0 + channel as f32), "{clip:?}");
                [0, 1, 2].map(|frame| clip[at(frame, 0)] / 10.0)
            };
            assert_eq!(push(&mut ring, 1.0), [1.0, 1.0, 1.0]);
            assert_eq!(push(&mut ring, 2.0), [1.0, 1.0, 2.0]);
            assert_eq!(push(&mut ring, 3.0), [1.0, 2.0, 3.0]);
            assert_eq!(push(&mut ring, 4.0), [2.0, 3.0, 4.0]);
            ring.forget();
            assert_eq!(push(&mut ring, 5.0), [5.0, 5.0, 5.0]);
        }
    }
}
