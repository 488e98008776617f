//! The frame ring: shared memory that capture writes and everybody else reads.
//!
//! ```text
//!  slot:   [ header: generation; on a device: the preview ][ planes … page aligned ]   × 6, one memfd
//!
//!          ┌──────── acquire: generation → odd ────────┐
//!        Free                                        Writing
//!          ▲                                           │ publish: generation → even (+2 a frame)
//!          └── last `Frame` of the slot dropped ── Published
//! ```
//! The memfd is sealed with F_SEAL_FUTURE_WRITE after our own mapping was made: whoever is handed the descriptor can map
//! it for reading only. A reader in another process holds no slot: it reads, then asks whether the generation is still
//! the one that it was told; if not, what it read is thrown away.
//! A change of format makes a new ring; frames of the old one keep it alive.
//! Where a frame's pixels lie on a device (`on_device`), they come to the slot's own planes when somebody wants them there.

use crate::base::error::ErrorKind;
use crate::base::ids::FrameId;
use crate::frame::cuda::{CudaError, DeviceSpan, Payload, Stream};
use crate::frame::layout::{FrameLayout, FrameView};
use crate::frame::on_device::{DeviceSlots, Lent, Place, PlaceError};
use crate::frame::preview::{PREVIEW_BYTES, Preview};
use rustix::fs::{MemfdFlags, SealFlags};
use rustix::mm::{MapFlags, ProtFlags};
use serde::{Deserialize, Serialize};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering, fence};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Slots of a ring (design: 6).
pub const SLOT_COUNT: usize = 6;
const HEADER_BYTES: usize = 20 * 1024;
/// In a header, of a frame on a device.
const PREVIEW_OFFSET: usize = 4096;
const _: () = assert!(PREVIEW_OFFSET + PREVIEW_BYTES <= HEADER_BYTES);

#[derive(Debug, thiserror::Error)]
pub enum MemoryError {
    #[error("no shared memory for a ring of {bytes} bytes ({source}): free memory or choose a smaller picture")]
    Create { bytes: usize, source: rustix::io::Errno },
    #[error("the frame ring that was handed over is not one: {0}")]
    Foreign(&'static str),
}

impl MemoryError {
    pub fn kind(&self) -> ErrorKind {
        match self {
            MemoryError::Create { .. } => ErrorKind::Stop,
            MemoryError::Foreign(_) => ErrorKind::Bug,
        }
    }
}

/// Why no ring can be made on a device.
#[derive(Debug, thiserror::Error)]
pub enum RingError {
    #[error(transparent)]
    Memory(#[from] MemoryError),
    #[error(transparent)]
    Place(#[from] PlaceError),
}

/// When a frame was captured, and where it stands in its source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamps {
    pub id: FrameId,
    /// Position in the source, ns.
    pub pts_ns: u64,
    /// CLOCK_MONOTONIC, ns; for what we pace ourselves: the scheduled release.
    pub capture_ns: u64,
}

/// Where the slots lie; the same on both sides of the process border.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RingGeometry {
    pub layout: FrameLayout,
    pub slot_bytes: usize,
}

impl RingGeometry {
    pub fn new(layout: FrameLayout) -> Self {
        RingGeometry { layout, slot_bytes: (HEADER_BYTES + layout.size).next_multiple_of(4096) }
    }

    pub fn total_bytes(&self) -> usize {
        self.slot_bytes * SLOT_COUNT
    }
}

/// A mapping of the ring's memory.
#[derive(Debug)]
struct Mapping {
    start: NonNull<u8>,
    geometry: RingGeometry,
}

// SAFETY: the mapping is plain memory that lives until drop; access is disciplined by slot ownership (writer side)
// and by generations (reader side).
unsafe impl Send for Mapping {}
// SAFETY: as above.
unsafe impl Sync for Mapping {}

impl Mapping {
    fn map(fd: BorrowedFd<'_>, geometry: RingGeometry, prot: ProtFlags) -> Result<Self, rustix::io::Errno> {
        // SAFETY: a fresh shared mapping at an address of the kernel's choice aliases nothing of ours.
        let start =
            unsafe { rustix::mm::mmap(std::ptr::null_mut(), geometry.total_bytes(), prot, MapFlags::SHARED | MapFlags::POPULATE, fd, 0)? };
        let start = NonNull::new(start.cast::<u8>()).ok_or(rustix::io::Errno::NOMEM)?;
        Ok(Mapping { start, geometry })
    }

    fn header(&self, slot: usize) -> NonNull<u8> {
        assert!(slot < SLOT_COUNT);
        // SAFETY: slot < SLOT_COUNT keeps the offset inside the mapping.
        unsafe { self.start.add(slot * self.geometry.slot_bytes) }
    }

    fn generation(&self, slot: usize) -> &AtomicU64 {
        // SAFETY: a slot's header starts page aligned with the generation; it is only ever accessed as an atomic.
        unsafe { self.header(slot).cast::<AtomicU64>().as_ref() }
    }

    fn pixels(&self, slot: usize) -> *mut u8 {
        // SAFETY: the header is followed by the frame's bytes inside the same slot.
        unsafe { self.header(slot).add(HEADER_BYTES).as_ptr() }
    }

    fn preview(&self, slot: usize) -> *mut u8 {
        // SAFETY: it lies in the slot's header.
        unsafe { self.header(slot).add(PREVIEW_OFFSET).as_ptr() }
    }

    fn view(&self, slot: usize) -> FrameView<'_> {
        // SAFETY: `layout.size` bytes follow the header inside the slot; nobody writes a slot that is Published while
        // a `Frame` of it lives (writer side), and readers elsewhere discard what a changed generation makes void.
        let data = unsafe { std::slice::from_raw_parts(self.pixels(slot), self.geometry.layout.size) };
        FrameView::new(&self.geometry.layout, data).expect("a slot holds a whole frame")
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: unmaps exactly what `map` mapped; no borrow of it outlives self.
        let _ = unsafe { rustix::mm::munmap(self.start.as_ptr().cast(), self.geometry.total_bytes()) };
    }
}

/// The writing side: owns the memory, hands out free slots.
#[derive(Debug, Clone)]
pub struct FrameRing {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    /// The frames' pixels lie there. It goes before the mapping.
    device: Option<DeviceSlots>,
    mapping: Arc<Mapping>,
    fd: OwnedFd,
    /// Per slot: how many hold it, one writer or any number of frames; 0 is free.
    held: [AtomicUsize; SLOT_COUNT],
    next: AtomicUsize,
    /// Of each slot on a device: the generation whose pixels are in its own planes.
    fetched: [Mutex<u64>; SLOT_COUNT],
}

impl Drop for Shared {
    fn drop(&mut self) {
        if let Some(device) = self.device.take() {
            device.let_go(self.mapping.clone());
        }
    }
}

impl FrameRing {
    pub fn new(layout: FrameLayout) -> Result<Self, MemoryError> {
        Self::with(layout, |_| Ok(None))
    }

    /// Its frames lie on a device.
    pub fn on_device(layout: FrameLayout, place: &Arc<Place>) -> Result<Self, RingError> {
        Self::with(layout, |mapping| {
            // SAFETY: it goes before the mapping.
            Ok(Some(unsafe { DeviceSlots::new(place, &layout, (mapping.start, mapping.geometry.total_bytes()))? }))
        })
    }

    fn with<E: From<MemoryError>>(layout: FrameLayout, device: impl FnOnce(&Mapping) -> Result<Option<DeviceSlots>, E>) -> Result<Self, E> {
        let geometry = RingGeometry::new(layout);
        let bytes = geometry.total_bytes();
        let create = |source| MemoryError::Create { bytes, source };
        let fd = rustix::fs::memfd_create("keyhole-frames", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING).map_err(create)?;
        rustix::fs::ftruncate(&fd, bytes as u64).map_err(create)?;
        let mapping = Mapping::map(fd.as_fd(), geometry, ProtFlags::READ | ProtFlags::WRITE).map_err(create)?;
        let seals = SealFlags::SHRINK | SealFlags::GROW | SealFlags::FUTURE_WRITE | SealFlags::SEAL;
        rustix::fs::fcntl_add_seals(&fd, seals).map_err(create)?;
        let device = device(&mapping)?;
        let shared = Shared {
            device,
            mapping: Arc::new(mapping),
            fd,
            held: Default::default(),
            next: AtomicUsize::new(0),
            fetched: Default::default(),
        };
        Ok(FrameRing { shared: Arc::new(shared) })
    }

    pub fn geometry(&self) -> RingGeometry {
        self.shared.mapping.geometry
    }

    pub fn layout(&self) -> &FrameLayout {
        &self.shared.mapping.geometry.layout
    }

    /// The sealed memory: may be sent to another process, which can map it for reading only.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.shared.fd.as_fd()
    }

    /// Do the frames' pixels lie on a device?
    pub fn is_on_device(&self) -> bool {
        self.shared.device.is_some()
    }

    /// Of the device's memory that it has taken.
    pub fn device_bytes(&self) -> u64 {
        self.shared.device.as_ref().map_or(0, DeviceSlots::bytes)
    }

    /// What of it another process may import, and its descriptors.
    pub fn lent(&self) -> Option<(Lent, Vec<BorrowedFd<'_>>)> {
        self.shared.device.as_ref().map(|device| (device.lent(), device.descriptors().collect()))
    }

    /// A free slot to write into; None if every slot is still held: the caller counts a dropped frame.
    pub fn acquire(&self) -> Option<FrameWriter> {
        let first = self.shared.next.load(Ordering::Relaxed);
        for i in 0..SLOT_COUNT {
            let slot = (first + i) % SLOT_COUNT;
            if self.shared.held[slot].compare_exchange(0, 1, Ordering::Acquire, Ordering::Relaxed).is_ok() {
                self.shared.next.store((slot + 1) % SLOT_COUNT, Ordering::Relaxed);
                self.shared.mapping.generation(slot).fetch_add(1, Ordering::AcqRel);
                fence(Ordering::SeqCst);
                return Some(FrameWriter { hold: Hold { shared: self.shared.clone(), slot }, is_here: self.shared.device.is_none() });
            }
        }
        None
    }
}

/// One of a slot's holders: a writer, or any number of frames. The last one frees the slot when it is dropped.
#[derive(Debug)]
struct Hold {
    shared: Arc<Shared>,
    slot: usize,
}

impl Hold {
    fn preview(&self) -> Option<Preview<'_>> {
        self.shared.device.as_ref()?;
        // SAFETY: so many bytes of this slot's header, which only `FrameWriter::fill` writes.
        Preview::of(unsafe { std::slice::from_raw_parts(self.shared.mapping.preview(self.slot), PREVIEW_BYTES) })
    }

    /// What a device that hangs has been told may still be done: nothing of the ring is given back then, ever.
    fn unless_it_hangs(&self, outcome: Result<(), CudaError>) -> Result<(), CudaError> {
        if matches!(outcome, Err(CudaError::Silent { .. })) {
            std::mem::forget(self.shared.clone());
        }
        outcome
    }

    fn fetched(&self) -> MutexGuard<'_, u64> {
        self.shared.fetched[self.slot].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Brings a frame's pixels from the device to this slot's planes, once.
    fn fetch(&self, device: &DeviceSlots, generation: u64) {
        let mut fetched = self.fetched();
        if std::mem::replace(&mut *fetched, generation) == generation {
            return;
        }
        let geometry = self.shared.mapping.geometry;
        // SAFETY: so many bytes lie there. Who holds the frame sees them when this has come back; the writer is gone, and other
        // processes look at them only after they were told to.
        let planes = unsafe { std::slice::from_raw_parts_mut(self.shared.mapping.pixels(self.slot), geometry.layout.size) };
        if let Err(error) = self.unless_it_hangs(device.fetch(self.slot, planes)) {
            // An earlier picture is worse than none.
            planes.fill(0);
            tracing::error!("a picture cannot be fetched from its device: {error}");
        }
    }
}

impl Clone for Hold {
    fn clone(&self) -> Self {
        // As with `Arc`: whoever clones holds the slot already, so nothing has to be ordered.
        self.shared.held[self.slot].fetch_add(1, Ordering::Relaxed);
        Hold { shared: self.shared.clone(), slot: self.slot }
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        let generation = self.shared.mapping.generation(self.slot);
        if generation.load(Ordering::Relaxed) % 2 == 1 {
            // A writer that was given up: the slot is readable as nothing, but no longer "being written".
            generation.fetch_add(1, Ordering::AcqRel);
        }
        self.shared.held[self.slot].fetch_sub(1, Ordering::Release);
    }
}

/// A slot that is being written. Dropped without `publish`, it is free again and nobody has seen it.
#[derive(Debug)]
pub struct FrameWriter {
    hold: Hold,
    /// Its pixels are in the slot's own planes.
    is_here: bool,
}

impl FrameWriter {
    pub fn layout(&self) -> &FrameLayout {
        &self.hold.shared.mapping.geometry.layout
    }

    /// Does the frame lie on a device?
    pub fn is_on_device(&self) -> bool {
        self.hold.shared.device.is_some()
    }

    /// The frame's bytes, planes as `layout()` says. On a device: `mirror` brings them there.
    pub fn data_mut(&mut self) -> &mut [u8] {
        let mapping = &self.hold.shared.mapping;
        // SAFETY: this writer is the slot's only holder in this process (compare_exchange in `acquire`), and other
        // processes can map the memory for reading only.
        unsafe { std::slice::from_raw_parts_mut(mapping.pixels(self.hold.slot), mapping.geometry.layout.size) }
    }

    /// On a device: has `fill` begin to write the frame's planes there, `layout().size` bytes, and waits until they are there.
    pub fn fill(&mut self, fill: impl FnOnce(&Stream, DeviceSpan<'_>) -> Result<(), CudaError>) -> Result<(), CudaError> {
        let Shared { mapping, device, .. } = &*self.hold.shared;
        let device = device.as_ref().ok_or(CudaError::Elsewhere)?;
        // SAFETY: as in `data_mut`: so many bytes of this slot's header.
        let preview = unsafe { std::slice::from_raw_parts_mut(mapping.preview(self.hold.slot), PREVIEW_BYTES) };
        self.hold.unless_it_hangs(device.fill(self.hold.slot, preview, fill))
    }

    /// A device that hangs may still write here: the ring's memory is never given back.
    pub fn keep_for_good(&self) {
        std::mem::forget(self.hold.shared.clone());
    }

    /// On a device: brings what was written to `data_mut` there, too, and waits until it is there.
    pub fn mirror(&mut self) -> Result<(), CudaError> {
        let mapping = &self.hold.shared.mapping;
        // SAFETY: as in `data_mut`; it is only read until this comes back.
        let planes = unsafe { std::slice::from_raw_parts(mapping.pixels(self.hold.slot), mapping.geometry.layout.size) };
        // SAFETY: the slot is this writer's, and `fill` waits for the stream, whatever became of it, or keeps the memory for good.
        let mirrored = self.fill(|stream, to| unsafe { stream.upload_from(planes, to, Payload::Pixels) });
        self.is_here = mirrored.is_ok();
        mirrored
    }

    /// On a device, after `fill`.
    pub fn preview(&self) -> Option<Preview<'_>> {
        self.hold.preview()
    }

    /// What was written; None: it is on a device only.
    pub fn view(&self) -> Option<FrameView<'_>> {
        self.is_here.then(|| self.hold.shared.mapping.view(self.hold.slot))
    }

    pub fn publish(self, stamps: Stamps) -> Frame {
        let generation = self.hold.shared.mapping.generation(self.hold.slot).fetch_add(1, Ordering::AcqRel) + 1;
        if self.is_here {
            *self.hold.fetched() = generation;
        }
        Frame { hold: self.hold, stamps, generation }
    }
}

/// A captured frame: immutable, cheap to clone; its slot is free again when the last clone is gone. It is counted in the
/// ring itself, so that a frame costs no allocation.
#[derive(Debug, Clone)]
pub struct Frame {
    hold: Hold,
    stamps: Stamps,
    generation: u64,
}

impl Frame {
    pub fn stamps(&self) -> Stamps {
        self.stamps
    }

    pub fn id(&self) -> FrameId {
        self.stamps.id
    }

    /// Its pixels here. Where they lie on a device they are fetched when they are asked for first.
    pub fn view(&self) -> FrameView<'_> {
        let Shared { mapping, device, .. } = &*self.hold.shared;
        if let Some(device) = device {
            self.hold.fetch(device, self.generation);
        }
        mapping.view(self.hold.slot)
    }

    /// On a device: what is looked at of every picture.
    pub fn preview(&self) -> Option<Preview<'_>> {
        self.hold.preview()
    }

    /// Are its pixels in the ring's own memory, wherever else they lie?
    pub fn is_here(&self) -> bool {
        self.hold.shared.device.is_none() || *self.hold.fetched() == self.generation
    }

    /// Where `drawing` finds its planes; None: they are not there.
    pub fn buffer_on(&self, drawing: &wgpu::Device) -> Option<&wgpu::Buffer> {
        self.hold.shared.device.as_ref()?.buffer(self.hold.slot, drawing)
    }

    pub fn layout(&self) -> &FrameLayout {
        &self.hold.shared.mapping.geometry.layout
    }

    /// Which ring this frame lies in.
    pub fn ring(&self) -> FrameRing {
        FrameRing { shared: self.hold.shared.clone() }
    }

    pub fn is_in(&self, ring: &FrameRing) -> bool {
        Arc::ptr_eq(&self.hold.shared, &ring.shared)
    }

    /// Slot and generation: what another process needs to find this frame and to know that it is still there.
    pub fn address(&self) -> (usize, u64) {
        (self.hold.slot, self.generation)
    }
}

/// The reading side in another process.
#[derive(Debug)]
pub struct RingReader {
    mapping: Mapping,
}

impl RingReader {
    /// Maps a ring for reading after checking that the memory is as large as `geometry` says and cannot shrink.
    pub fn map(fd: BorrowedFd<'_>, geometry: RingGeometry) -> Result<Self, MemoryError> {
        if !geometry.layout.is_canonical() || geometry != RingGeometry::new(geometry.layout) {
            return Err(MemoryError::Foreign("its geometry is not one that this version makes"));
        }
        let size = rustix::fs::fstat(fd).map_err(|_| MemoryError::Foreign("it cannot be inspected"))?.st_size;
        if size != geometry.total_bytes() as i64 {
            return Err(MemoryError::Foreign("its size does not fit its geometry"));
        }
        let seals = rustix::fs::fcntl_get_seals(fd).map_err(|_| MemoryError::Foreign("it is not sealed memory"))?;
        if !seals.contains(SealFlags::SHRINK | SealFlags::FUTURE_WRITE) {
            return Err(MemoryError::Foreign("it is not sealed against shrinking and writing"));
        }
        let mapping = Mapping::map(fd, geometry, ProtFlags::READ).map_err(|_| MemoryError::Foreign("it cannot be mapped"))?;
        Ok(RingReader { mapping })
    }

    pub fn layout(&self) -> &FrameLayout {
        &self.mapping.geometry.layout
    }

    /// Start and length of the whole mapping, which lives as long as this.
    pub fn memory(&self) -> (NonNull<u8>, usize) {
        (self.mapping.start, self.mapping.geometry.total_bytes())
    }

    /// The slot's bytes, whatever they are by now: use the result only if `is_current` still says so AFTER reading.
    pub fn view(&self, slot: usize) -> Option<FrameView<'_>> {
        (slot < SLOT_COUNT).then(|| self.mapping.view(slot))
    }

    pub fn is_current(&self, slot: usize, generation: u64) -> bool {
        fence(Ordering::SeqCst);
        slot < SLOT_COUNT && generation.is_multiple_of(2) && self.mapping.generation(slot).load(Ordering::Acquire) == generation
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::{Colorimetry, Matrix, PixelFormat, Range};
    use proptest::prelude::*;

    fn ring() -> FrameRing {
        let colorimetry = Colorimetry::sdr(Matrix::Bt709, Range::Limited);
        FrameRing::new(FrameLayout::new(PixelFormat::Nv12, colorimetry, 64, 48).unwrap()).unwrap()
    }

    fn stamps(id: u64) -> Stamps {
        Stamps { id: FrameId(id), pts_ns: 0, capture_ns: id }
    }

    #[test]
    fn a_reader_sees_what_was_published_and_notices_reuse() {
        let ring = ring();
        let reader = RingReader::map(ring.fd(), ring.geometry()).unwrap();
        let mut writer = ring.acquire().unwrap();
        writer.data_mut().fill(7);
        let frame = writer.publish(stamps(0));
        let (slot, generation) = frame.address();
        assert_eq!(reader.view(slot).unwrap().row(0, 3)[5], 7);
        assert!(reader.is_current(slot, generation));
        drop(frame);
        assert!(reader.is_current(slot, generation), "freed, but not yet overwritten");
        let writers: Vec<_> = (0..SLOT_COUNT).map(|_| ring.acquire().unwrap()).collect();
        assert!(!reader.is_current(slot, generation));
        assert!(ring.acquire().is_none());
        drop(writers);
        assert!(ring.acquire().is_some());
    }

    #[test]
    fn the_memory_cannot_be_mapped_for_writing_by_whoever_gets_it() {
        let ring = ring();
        let denied = Mapping::map(ring.fd(), ring.geometry(), ProtFlags::READ | ProtFlags::WRITE);
        assert_eq!(denied.unwrap_err(), rustix::io::Errno::PERM);
        assert!(rustix::io::pwrite(ring.fd(), b"x", 0).is_err());
        assert!(rustix::fs::ftruncate(ring.fd(), 0).is_err());
    }

    #[test]
    fn a_geometry_that_does_not_fit_the_memory_is_refused() {
        let ring = ring();
        let mut geometry = ring.geometry();
        geometry.slot_bytes *= 2;
        assert!(RingReader::map(ring.fd(), geometry).is_err());
    }

    #[derive(Debug, Clone)]
    enum Op {
        Acquire,
        Publish,
        DropWriter,
        DropFrame(usize),
        CloneFrame(usize),
    }

    proptest! {
        /// A slot has one writer or clones of one frame, and comes back when the last of them is gone.
        #[test]
        fn slots_are_owned_once_and_never_leak(ops in proptest::collection::vec(prop_oneof![
            Just(Op::Acquire), Just(Op::Publish), Just(Op::DropWriter), (0usize..8).prop_map(Op::DropFrame), (0usize..8).prop_map(Op::CloneFrame)
        ], 0..120)) {
            let ring = ring();
            let (mut writers, mut frames, mut id) = (Vec::<FrameWriter>::new(), Vec::<Frame>::new(), 0);
            for op in ops {
                let framed = || -> std::collections::BTreeSet<usize> { frames.iter().map(|frame| frame.address().0).collect() };
                match op {
                    Op::Acquire => match ring.acquire() {
                        Some(writer) => {
                            prop_assert!(!framed().contains(&writer.hold.slot) && writers.iter().all(|w| w.hold.slot != writer.hold.slot));
                            writers.push(writer);
                        }
                        None => prop_assert_eq!(writers.len() + framed().len(), SLOT_COUNT),
                    },
                    Op::Publish => if let Some(writer) = writers.pop() { frames.push(writer.publish(stamps(id))); id += 1; },
                    Op::DropWriter => drop(writers.pop()),
                    Op::DropFrame(at) => if at < frames.len() { frames.swap_remove(at); },
                    Op::CloneFrame(at) => if let Some(frame) = frames.get(at).cloned() { frames.push(frame); },
                }
                for frame in &frames {
                    let (slot, generation) = frame.address();
                    prop_assert_eq!(ring.shared.mapping.generation(slot).load(Ordering::Relaxed), generation);
                    prop_assert!(frames.iter().all(|other| other.address().0 != slot || other.id() == frame.id()));
                }
            }
            drop((writers, frames));
            prop_assert_eq!((0..SLOT_COUNT).map_while(|_| ring.acquire().map(std::mem::forget)).count(), SLOT_COUNT);
        }
    }
}
