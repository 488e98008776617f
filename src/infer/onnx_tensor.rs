//! Tensors in ONNX Runtime's memory: on the processor, or on a GPU with a copy here.

use super::port::{Numbers, NumbersMut, Place};
use crate::frame::cuda::{CudaError, DeviceSpan, Payload, Stream};
use bytemuck::cast_slice;
use half::f16;
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
    fn span(&self) -> DeviceSpan<'_> {
        fn of<T: PrimitiveTensorElementType + Debug>(tensor: &Tensor<T>) -> (u64, usize) {
            let numbers: i64 = tensor.shape().iter().product();
            (tensor.data_ptr() as u64, numbers as usize * size_of::<T>())
        }
        let (start, bytes) = with_tensor!(self, tensor => of(tensor));
        // SAFETY: the tensor's own memory, which stays until the tensor goes; whoever begins something with it waits for the stream
        // before that (`OnnxTensor`).
        unsafe { DeviceSpan::of(start, bytes) }
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

#[derive(Debug)]
pub struct OnnxTensor {
    here: Raw,
    /// The one that is bound, where it is not `here`. Copies between the two are begun by `send`, `receive` and `copy_from`; `here` is
    /// not looked at before their stream was waited for, which the engine does at the end of each run.
    there: Option<Raw>,
}

impl OnnxTensor {
    /// Of numbers that are not set. None: that type cannot be converted.
    pub fn new(ty: TensorElementType, shape: &[usize], room: &Room) -> ort::Result<Option<Self>> {
        let Some(here) = Raw::new(&room.host, ty, shape)? else { return Ok(None) };
        let there = match &room.device {
            Some(device) => Raw::new(device, ty, shape)?,
            None => None,
        };
        Ok(Some(OnnxTensor { here, there }))
    }

    pub fn bind_as_input(&self, name: &str, binding: &mut IoBinding) -> ort::Result<()> {
        with_tensor!(self.there.as_ref().unwrap_or(&self.here), tensor => binding.bind_input(name, tensor))
    }

    pub fn bind_as_output(&mut self, name: &str, binding: &mut IoBinding) -> ort::Result<()> {
        with_tensor!(self.there.as_mut().unwrap_or(&mut self.here), tensor => binding.bind_output(name, tensor))
    }
}

impl Place for OnnxTensor {
    fn numbers(&self) -> Result<Numbers<'_>, CudaError> {
        Ok(match &self.here {
            Raw::F32(tensor) => Numbers::F32(tensor.extract_tensor().1),
            Raw::F16(tensor) => Numbers::F16(tensor.extract_tensor().1),
            Raw::F64(tensor) => Numbers::F64(tensor.extract_tensor().1),
            Raw::U8(tensor) => Numbers::U8(tensor.extract_tensor().1),
            Raw::I32(tensor) => Numbers::I32(tensor.extract_tensor().1),
            Raw::I64(tensor) => Numbers::I64(tensor.extract_tensor().1),
            Raw::Bool(tensor) => Numbers::U8(cast_slice(tensor.extract_tensor().1)),
        })
    }

    fn numbers_mut(&mut self) -> Result<NumbersMut<'_>, CudaError> {
        Ok(match &mut self.here {
            Raw::F32(tensor) => NumbersMut::F32(tensor.extract_tensor_mut().1),
            Raw::F16(tensor) => NumbersMut::F16(tensor.extract_tensor_mut().1),
            Raw::F64(tensor) => NumbersMut::F64(tensor.extract_tensor_mut().1),
            Raw::U8(tensor) => NumbersMut::U8(tensor.extract_tensor_mut().1),
            Raw::I32(_) | Raw::I64(_) | Raw::Bool(_) => NumbersMut::OfNoPicture,
        })
    }

    fn own(&self) -> Option<&[f32]> {
        if let Raw::F32(tensor) = &self.here { Some(tensor.extract_tensor().1) } else { None }
    }

    fn own_mut(&mut self) -> Option<&mut [f32]> {
        if let Raw::F32(tensor) = &mut self.here { Some(tensor.extract_tensor_mut().1) } else { None }
    }

    fn zero(&mut self) -> Result<(), CudaError> {
        with_tensor!(&mut self.here, tensor => tensor.extract_tensor_mut().1.fill(Default::default()));
        Ok(())
    }

    fn span(&self) -> Option<DeviceSpan<'_>> {
        self.there.as_ref().map(Raw::span)
    }

    fn send(&mut self, stream: &Stream) -> Result<(), CudaError> {
        let Some(there) = &mut self.there else { return Ok(()) };
        let (start, bytes) = self.here.memory();
        // SAFETY: the tensor's own memory, all of it set; it stays, and is let be until the stream was waited for (see `there`).
        unsafe { stream.upload_from(std::slice::from_raw_parts(start, bytes), there.span(), Payload::Pixels) }
    }

    fn receive(&mut self, stream: &Stream, payload: Payload) -> Result<(), CudaError> {
        let Some(there) = &mut self.there else { return Ok(()) };
        let (start, bytes) = self.here.memory();
        // SAFETY: as in `send`.
        unsafe { stream.read_back_to(there.span(), std::slice::from_raw_parts_mut(start, bytes), payload) }
    }

    fn copy_from(&mut self, from: &mut Self, stream: Option<&Stream>) -> Result<(), CudaError> {
        if let (Some(stream), Some(from), Some(to)) = (stream, &mut from.there, &mut self.there) {
            return stream.copy(from.span(), to.span());
        }
        match (&mut self.here, &from.here) {
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
}
