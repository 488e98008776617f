//! Tensors in a device's memory, with a copy here that it copies from and to by itself.

use crate::frame::cuda::{CudaError, Device, DeviceBuffer, DeviceSpan, Payload, PinnedBuffer, Stream};
use crate::infer::port::{Numbers, NumbersMut, Place};
use bytemuck::{cast_slice, cast_slice_mut};
use half::slice::HalfBitsSliceExt;
use ort::value::TensorElementType;

#[derive(Debug)]
pub struct DeviceTensor {
    ty: TensorElementType,
    here: PinnedBuffer,
    there: DeviceBuffer,
}

impl DeviceTensor {
    /// Zeros on both sides.
    pub fn new(device: &Device, ty: TensorElementType, shape: &[usize]) -> Result<Self, CudaError> {
        let number_bytes = match ty {
            TensorElementType::Float64 | TensorElementType::Int64 => 8,
            TensorElementType::Float32 | TensorElementType::Int32 => 4,
            TensorElementType::Float16 => 2,
            _ => 1,
        };
        let bytes = number_bytes * shape.iter().product::<usize>();
        Ok(DeviceTensor { ty, here: device.pinned(bytes)?, there: device.buffer(bytes)? })
    }

    pub fn on_device(&self) -> DeviceSpan<'_> {
        self.there.span()
    }
}

/// (The driver's memory is aligned for numbers of any type.)
impl Place for DeviceTensor {
    fn numbers(&self) -> Result<Numbers<'_>, CudaError> {
        let bytes = self.here.bytes()?;
        Ok(match self.ty {
            TensorElementType::Float32 => Numbers::F32(cast_slice(bytes)),
            TensorElementType::Float16 => Numbers::F16(cast_slice::<u8, u16>(bytes).reinterpret_cast()),
            TensorElementType::Float64 => Numbers::F64(cast_slice(bytes)),
            TensorElementType::Int32 => Numbers::I32(cast_slice(bytes)),
            TensorElementType::Int64 => Numbers::I64(cast_slice(bytes)),
            _ => Numbers::U8(bytes),
        })
    }

    fn numbers_mut(&mut self) -> Result<NumbersMut<'_>, CudaError> {
        let bytes = self.here.bytes_mut()?;
        Ok(match self.ty {
            TensorElementType::Float32 => NumbersMut::F32(cast_slice_mut(bytes)),
            TensorElementType::Float16 => NumbersMut::F16(cast_slice_mut::<u8, u16>(bytes).reinterpret_cast_mut()),
            TensorElementType::Float64 => NumbersMut::F64(cast_slice_mut(bytes)),
            TensorElementType::Uint8 => NumbersMut::U8(bytes),
            _ => NumbersMut::OfNoPicture,
        })
    }

    fn zero(&mut self) -> Result<(), CudaError> {
        self.here.bytes_mut()?.fill(0);
        Ok(())
    }

    fn span(&self) -> Option<DeviceSpan<'_>> {
        Some(self.there.span())
    }

    fn send(&mut self, stream: &Stream) -> Result<(), CudaError> {
        let bytes = self.there.span().bytes();
        stream.upload(&mut self.here, bytes, self.there.span(), Payload::Pixels)
    }

    fn receive(&mut self, stream: &Stream, payload: Payload) -> Result<(), CudaError> {
        stream.read_back(self.there.span(), &mut self.here, payload)
    }

    fn copy_from(&mut self, from: &mut Self, stream: Option<&Stream>) -> Result<(), CudaError> {
        stream.map_or(Ok(()), |stream| stream.copy(from.there.span(), self.there.span()))
    }
}
