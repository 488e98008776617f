//! Frames whose pixels lie on a device: a ring's slots there, in memory that Vulkan allocated and CUDA writes.
//!
//! ```text
//!   picture on the device ─copy─┐
//!   picture here ── upload ─────┴► shown ─► drawn from where it lies
//!                                  ├─copy─► lent ─ fd ─► the AI process: it could write what it imports, and what is shown is never its
//!                                  ├─ preview.cu ─► a few numbers here, for whoever looks at every picture
//!                                  └─ fetched, once, where somebody wants its pixels here ─► the ring's own memory
//! ```
//! A frame is published when all that was begun for it is done: nobody who reads it waits for anybody else.

use super::FrameLayout;
use super::cuda::{
    CudaError, Device, DeviceBuffer, DeviceSpan, Event, ImportedBuffer, PATIENCE, Param, Payload, PinnedBuffer, PreviewPlan, Priority,
    Registered, Stream,
};
use super::preview::{LIGHT_AT, PREVIEW_BYTES};
use super::ring::SLOT_COUNT;
use super::vulkan::{self, SharedBuffer, SharedMemoryError};
use crate::base::error::ErrorKind;
use bytemuck::bytes_of;
use serde::{Deserialize, Serialize};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

#[derive(Debug, thiserror::Error)]
pub enum PlaceError {
    #[error("pictures are drawn on {drawn} and decoded on {decoded}: they are copied through the processor's memory")]
    TwoDevices { drawn: String, decoded: String },
    #[error(transparent)]
    Vulkan(#[from] SharedMemoryError),
    #[error(transparent)]
    Cuda(#[from] CudaError),
}

impl PlaceError {
    pub fn kind(&self) -> ErrorKind {
        match self {
            PlaceError::Cuda(error) => error.kind(),
            _ => ErrorKind::Degrade,
        }
    }
}

/// The device on which pictures arrive and are drawn.
#[derive(Debug)]
pub struct Place {
    drawing: wgpu::Device,
    cuda: Arc<Device>,
}

impl Place {
    /// `drawing` is of `adapter`; `cuda` has `PREVIEW` loaded. An error: they are not the same device.
    pub fn new(adapter: &wgpu::Adapter, drawing: &wgpu::Device, cuda: Arc<Device>) -> Result<Self, PlaceError> {
        let decoded = &cuda.info().uuid;
        let drawn = vulkan::device_uuid(adapter).map(|uuid| super::cuda::uuid_text(&uuid));
        if drawn.as_ref() != Some(decoded) {
            return Err(PlaceError::TwoDevices { drawn: adapter.get_info().name, decoded: cuda.info().name.clone() });
        }
        Ok(Place { drawing: drawing.clone(), cuda })
    }

    pub fn device(&self) -> &Arc<Device> {
        &self.cuda
    }
}

/// A stretch of Vulkan's memory as both sides see it.
#[derive(Debug)]
struct Both {
    cuda: ImportedBuffer,
    vulkan: SharedBuffer,
}

impl Both {
    /// Zeros, once `stream` was waited for.
    fn new(place: &Place, bytes: usize, stream: &Stream) -> Result<Self, PlaceError> {
        let vulkan = SharedBuffer::new(&place.drawing, bytes)?;
        let cuda = place.cuda.import(&vulkan)?;
        stream.clear(cuda.span())?;
        Ok(Both { cuda, vulkan })
    }
}

/// What the capture thread has done to each frame.
#[derive(Debug)]
struct Work {
    stream: Stream,
    done: Event,
    digests: DeviceBuffer,
    brightest: DeviceBuffer,
    preview: DeviceBuffer,
    preview_here: PinnedBuffer,
}

/// The slots of one ring. Taken once for a picture format.
#[derive(Debug)]
pub(super) struct DeviceSlots {
    shown: Vec<Both>,
    lent: Vec<Both>,
    size: usize,
    plan: PreviewPlan,
    work: Mutex<Work>,
    fetching: Mutex<(Stream, Event)>,
    /// The ring's own memory. None: the system does not let it be; copies from it cost one more.
    _registered: Option<Registered>,
    place: Arc<Place>,
}

/// What another process needs to know to import a ring's lent slots, beside their descriptors.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lent {
    /// The device's, as CUDA has it.
    pub uuid: String,
    /// Bytes that were allocated for each slot.
    pub allocated: u64,
}

impl DeviceSlots {
    /// # Safety
    /// `memory` is a mapping of so many bytes, which outlives this.
    pub unsafe fn new(place: &Arc<Place>, layout: &FrameLayout, memory: (NonNull<u8>, usize)) -> Result<Self, PlaceError> {
        let (plan, cuda) = (PreviewPlan::new(layout), &place.cuda);
        let stream = cuda.stream(Priority::High)?;
        let slots = || (0..SLOT_COUNT).map(|_| Both::new(place, layout.size, &stream)).collect::<Result<Vec<_>, _>>();
        let (shown, lent) = (slots()?, slots()?);
        stream.synchronize()?;
        let work = Work {
            stream,
            done: cuda.event()?,
            digests: cuda.buffer(size_of::<u64>() * plan.row_count)?,
            brightest: cuda.buffer(size_of::<u32>() * layout.height)?,
            preview: cuda.buffer(PREVIEW_BYTES)?,
            preview_here: cuda.pinned(PREVIEW_BYTES)?,
        };
        let fetching = Mutex::new((cuda.stream(Priority::High)?, cuda.event()?));
        // SAFETY: as the caller says.
        let registered = unsafe { cuda.register_memory(memory) };
        let _registered =
            registered.inspect_err(|error| tracing::info!("frames are copied once more on their way to the device: {error}")).ok();
        let slots =
            DeviceSlots { shown, lent, size: layout.size, plan, work: Mutex::new(work), fetching, _registered, place: place.clone() };
        // Once, before a frame waits for it: the first of its kind takes a device longer.
        let work = lock(&slots.work);
        let warm = slots.follow(0, &work);
        work.stream.synchronize()?;
        warm?;
        drop(work);
        Ok(slots)
    }

    /// Has `fill` begin to write the slot's planes, and waits until the frame and all that follows from it are there. Where the device
    /// hangs, what was begun may be done later: all that it uses has to stay.
    pub fn fill(
        &self,
        slot: usize,
        preview: &mut [u8],
        fill: impl FnOnce(&Stream, DeviceSpan<'_>) -> Result<(), CudaError>,
    ) -> Result<(), CudaError> {
        let mut work = lock(&self.work);
        let begun = self.begin(slot, &mut work, fill);
        // Whatever became of it: what was begun uses memory that others are given back.
        work.stream.settle(&work.done)?;
        begun?;
        preview.copy_from_slice(&work.preview_here.bytes()?[..PREVIEW_BYTES]);
        Ok(())
    }

    fn begin(
        &self,
        slot: usize,
        work: &mut Work,
        fill: impl FnOnce(&Stream, DeviceSpan<'_>) -> Result<(), CudaError>,
    ) -> Result<(), CudaError> {
        fill(&work.stream, self.shown[slot].cuda.span().first(self.size)?)?;
        self.follow(slot, work)?;
        work.stream.read_back(work.preview.span(), &mut work.preview_here, Payload::Numbers)
    }

    /// What follows from a slot's planes on the device: the lent ones, and the preview.
    fn follow(&self, slot: usize, Work { stream, digests, brightest, preview, .. }: &Work) -> Result<(), CudaError> {
        let frame = self.shown[slot].cuda.span().first(self.size)?;
        stream.copy(frame, self.lent[slot].cuda.span())?;
        let launch = |launch, arguments: &[Param<'_>]| self.place.cuda.launch(stream, launch, arguments);
        let params = Param::Value(bytes_of(&self.plan.params));
        let [digests, brightest, frame] = [digests.span(), brightest.span(), frame].map(Param::Memory);
        launch(&self.plan.rows, &[params, frame, digests, brightest])?;
        launch(&self.plan.thumbnail, &[params, frame, Param::Memory(preview.span().from(LIGHT_AT)?)])?;
        launch(&self.plan.finish, &[params, digests, brightest, Param::Memory(preview.span())])
    }

    /// The slot's pixels, brought to `into`, which holds a frame. Where the device hangs, they may come later: that memory has to stay.
    pub fn fetch(&self, slot: usize, into: &mut [u8]) -> Result<(), CudaError> {
        let (fetching, frame) = (lock(&self.fetching), self.shown[slot].cuda.span().first(self.size)?);
        let (stream, done) = &*fetching;
        // SAFETY: it is waited for before `into` is given back, or that memory stays.
        let begun = unsafe { stream.read_back_to(frame, into, Payload::Pixels) };
        stream.settle(done)?;
        begun
    }

    /// Where `drawing` finds the slot's planes; None: it is another device.
    pub fn buffer(&self, slot: usize, drawing: &wgpu::Device) -> Option<&wgpu::Buffer> {
        (self.place.drawing == *drawing).then(|| &self.shown[slot].vulkan.buffer)
    }

    /// Gives all of it back, and `memory` after it. Whoever drops a ring's last frame may be the display: a device that hangs meanwhile
    /// keeps both.
    pub fn let_go(self, memory: impl Send + 'static) {
        let device = self.place.cuda.clone();
        let gone = device.aside(PATIENCE, move |_| {
            drop(self);
            drop(memory);
        });
        if gone.is_none() {
            tracing::warn!("a ring's memory is not given back yet: '{}' does not answer", device.info().name);
        }
    }

    /// Of Vulkan's memory, all slots together.
    pub fn bytes(&self) -> u64 {
        self.shown.iter().chain(&self.lent).map(|both| both.vulkan.allocated()).sum()
    }

    pub fn lent(&self) -> Lent {
        Lent { uuid: self.place.cuda.info().uuid.clone(), allocated: self.lent[0].vulkan.allocated() }
    }

    /// Of the lent slots' memory, in their order.
    pub fn descriptors(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.lent.iter().map(|both| both.vulkan.as_fd())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The lent slots of a ring, as the AI process has them.
#[derive(Debug)]
pub struct BorrowedSlots {
    slots: Vec<ImportedBuffer>,
    size: usize,
}

impl BorrowedSlots {
    /// `memory`: a descriptor a slot.
    pub fn import(device: &Device, lent: &Lent, layout: &FrameLayout, memory: Vec<OwnedFd>) -> Result<Self, CudaError> {
        if lent.uuid != device.info().uuid || memory.len() != SLOT_COUNT {
            return Err(CudaError::Elsewhere);
        }
        let slots = memory.into_iter().map(|memory| device.import_memory(memory, lent.allocated, layout.size)).collect::<Result<_, _>>()?;
        Ok(BorrowedSlots { slots, size: layout.size })
    }

    /// The slot's planes, whatever they are by now (as `RingReader::view`).
    pub fn span(&self, slot: usize) -> Option<DeviceSpan<'_>> {
        self.slots.get(slot)?.span().first(self.size).ok()
    }
}
