//! What is made on a device and brought here.

use crate::frame::cuda::{Device, DeviceBuffer, Payload, PinnedBuffer, Stream};
use crate::infer::InferError;
use bytemuck::{AnyBitPattern, pod_read_unaligned};

/// There, and here.
#[derive(Debug)]
pub struct Sides {
    pub there: DeviceBuffer,
    here: PinnedBuffer,
    /// Of `here`, brought last.
    bytes: usize,
}

impl Sides {
    pub fn new(device: &Device, bytes: usize) -> Result<Self, InferError> {
        Ok(Sides { there: device.buffer(bytes)?, here: device.pinned(bytes)?, bytes: 0 })
    }

    /// Begins to.
    pub fn bring(&mut self, stream: &Stream, bytes: usize) -> Result<(), InferError> {
        self.bytes = bytes;
        if bytes == 0 {
            return Ok(());
        }
        Ok(stream.read_back(self.there.span().first(bytes)?, &mut self.here, Payload::Numbers)?)
    }

    /// Waits for it.
    pub fn numbers<T: AnyBitPattern>(&self) -> Result<impl Iterator<Item = T>, InferError> {
        Ok(self.here.bytes()?[..self.bytes].chunks_exact(size_of::<T>()).map(pod_read_unaligned))
    }
}

/// More items than the last time come back at once, by a quarter and by so many.
const SPARE_ITEMS: usize = 256;

/// A list of numbers of 32 bits whose length is known there first: as many are brought as are likely, and all of them once more where
/// that was too few.
#[derive(Debug)]
pub struct List {
    pub items: Sides,
    /// Of each block of threads.
    pub counts: DeviceBuffer,
    pub total: Sides,
    likely: usize,
    most: usize,
}

impl List {
    pub fn new(device: &Device, blocks: usize, most: usize) -> Result<Self, InferError> {
        let number = size_of::<u32>();
        Ok(List {
            items: Sides::new(device, most * number)?,
            counts: device.buffer(blocks * number)?,
            total: Sides::new(device, number)?,
            likely: SPARE_ITEMS.min(most),
            most,
        })
    }

    /// Begins to.
    pub fn bring(&mut self, stream: &Stream) -> Result<(), InferError> {
        self.total.bring(stream, size_of::<u32>())?;
        self.items.bring(stream, self.likely * size_of::<u32>())
    }

    /// Waits for them.
    pub fn numbers<T: AnyBitPattern>(&mut self, stream: &Stream) -> Result<impl Iterator<Item = T>, InferError> {
        let total = self.total.numbers::<u32>()?.next().map_or(0, |total| total as usize).min(self.most);
        if total > self.likely {
            self.items.bring(stream, total * size_of::<u32>())?;
        }
        self.likely = (total + total / 4 + SPARE_ITEMS).min(self.most);
        Ok(self.items.numbers()?.take(total))
    }
}
