//! What is made on a device and brought here.

use crate::frame::cuda::{Device, DeviceBuffer, DeviceSpan, Payload, PinnedBuffer, Stream};
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
        Ok(read(&self.here.bytes()?[..self.bytes]))
    }
}

fn read<T: AnyBitPattern>(bytes: &[u8]) -> impl Iterator<Item = T> {
    bytes.chunks_exact(size_of::<T>()).map(pod_read_unaligned)
}

/// A list whose length is known there first: as many items are brought as are likely, and the rest after them where that was too few.
#[derive(Debug)]
pub struct List {
    pub items: Sides,
    rest: PinnedBuffer,
    item_bytes: usize,
    most: usize,
    /// How many more than the last time may well come.
    spare: usize,
    likely: usize,
}

impl List {
    pub fn new(device: &Device, item_bytes: usize, most: usize, spare: usize) -> Result<Self, InferError> {
        let (items, rest) = (Sides::new(device, most * item_bytes)?, device.pinned(most * item_bytes)?);
        Ok(List { items, rest, item_bytes, most, spare, likely: spare.min(most) })
    }

    /// Begins to.
    pub fn bring(&mut self, stream: &Stream) -> Result<(), InferError> {
        self.items.bring(stream, self.likely * self.item_bytes)
    }

    /// Waits for them: `total` of this type, of as many bytes as the list's.
    pub fn numbers<T: AnyBitPattern>(&mut self, stream: &Stream, total: usize) -> Result<impl Iterator<Item = T>, InferError> {
        let total = total.min(self.most);
        let (start, bytes) = (self.likely * self.item_bytes, total.saturating_sub(self.likely) * self.item_bytes);
        if bytes > 0 {
            let address = self.items.there.span().address() + start as u64;
            // SAFETY: the rest of the items' buffer, which has room for `most`, and before it goes it waits for what uses it.
            let rest = unsafe { DeviceSpan::of(address, bytes) };
            stream.read_back(rest, &mut self.rest, Payload::Numbers)?;
        }
        // A frame is much like the one before it.
        self.likely = (total + total / 8 + self.spare).min(self.most);
        Ok(self.items.numbers()?.take(total).chain(read(&self.rest.bytes()?[..bytes])))
    }
}

/// A list that is counted block by block, and then filled.
#[derive(Debug)]
pub struct CountedList {
    pub list: List,
    /// Of each block of threads.
    pub counts: DeviceBuffer,
    pub total: Sides,
}

/// More items than the last time.
const SPARE_ITEMS: usize = 128;

impl CountedList {
    pub fn new(device: &Device, blocks: usize, item_bytes: usize, most: usize) -> Result<Self, InferError> {
        let number = size_of::<u32>();
        Ok(CountedList {
            list: List::new(device, item_bytes, most, SPARE_ITEMS)?,
            counts: device.buffer(blocks * number)?,
            total: Sides::new(device, number)?,
        })
    }

    /// Begins to.
    pub fn bring(&mut self, stream: &Stream) -> Result<(), InferError> {
        self.total.bring(stream, size_of::<u32>())?;
        self.list.bring(stream)
    }

    /// Waits for them.
    pub fn numbers<T: AnyBitPattern>(&mut self, stream: &Stream) -> Result<impl Iterator<Item = T>, InferError> {
        let total = self.total.numbers::<u32>()?.next().map_or(0, |total| total as usize);
        self.list.numbers(stream, total)
    }
}
