//! Where captured pictures are put: in shared memory, or on the device on which they came and are drawn.
//!
//! ```text
//!   picture here ────────┬─ drawn here ──► a slot of shared memory
//!                        └─ drawn there ─► a slot of shared memory ─► and there (`frame::on_device`)
//!   picture on a device ─┬─ drawn there ─► a slot there
//!                        └─ drawn here, or on another device ─► staging there ─► a slot of shared memory
//! ```

use crate::capture::{Memory, Picture};
use crate::config::Mode;
use crate::frame::cuda::{CudaError, Device, DeviceBuffer, Event, PATIENCE, PREVIEW, Payload, Priority, Stream, Traffic, usable_device};
use crate::frame::on_device::{Place, PlaceError};
use crate::frame::{FrameLayout, FrameRing, FrameWriter, MemoryError, RingError};
use crate::infer::{self, Backend, InferError};
use crate::overlay::gpu::Gpu;
use crate::record::SourceDeviceLine;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

/// The device on which a run's pictures may lie.
#[derive(Debug)]
pub struct Home {
    device: Arc<Device>,
    /// Told once, when the display is open; None: what it draws with is another device, or none.
    place: OnceLock<Option<Arc<Place>>>,
    /// Moved before the run.
    before: OnceLock<Traffic>,
    was_used: AtomicBool,
    memory_bytes: AtomicU64,
}

impl Home {
    /// None: pictures are wanted here, as always in the theatre, whatever backend is asked for there; or there is no device for them,
    /// which is said.
    pub fn of_run(wanted: Memory, backend: Backend, mode: Mode) -> Option<Arc<Self>> {
        if wanted == Memory::Host || backend == Backend::Cpu || mode == Mode::Clinical {
            return None;
        }
        let open = || -> Result<Device, InferError> {
            let mut device = Device::open(&usable_device()?)?;
            infer::cuda::load(&mut device, &PREVIEW)?;
            Ok(device)
        };
        match open() {
            Ok(device) => Some(Arc::new(Home {
                device: Arc::new(device),
                place: OnceLock::new(),
                before: OnceLock::new(),
                was_used: AtomicBool::new(false),
                memory_bytes: AtomicU64::new(0),
            })),
            Err(error) => {
                tracing::warn!("pictures are decoded in the processor's memory: {error}");
                None
            }
        }
    }

    pub fn device(&self) -> &Device {
        &self.device
    }

    /// `gpu` draws the pictures; None: no device does.
    pub fn is_drawn_by(&self, gpu: Option<&Gpu>) {
        let place = gpu.and_then(|gpu| {
            let made = Place::new(&gpu.adapter, &gpu.device, self.device.clone());
            made.inspect_err(|error| tracing::info!("{error}")).ok().map(Arc::new)
        });
        // One display a run.
        let _ = self.place.set(place);
    }

    /// What was tried before is none of the run's.
    pub fn run_begins(&self) {
        self.was_used.store(false, Ordering::Relaxed);
        // One run a home.
        let _ = self.before.set(self.device.traffic());
    }

    fn place(&self) -> Option<&Arc<Place>> {
        self.place.get()?.as_ref()
    }

    /// None: no picture lay there.
    pub fn line(&self) -> Option<SourceDeviceLine> {
        let before = self.before.get().copied().unwrap_or_default();
        let (info, Traffic { to_device, to_host, .. }) = (self.device.info(), self.device.traffic().since(&before));
        self.was_used.load(Ordering::Relaxed).then(|| SourceDeviceLine {
            name: info.name.clone(),
            uuid: info.uuid.clone(),
            is_drawn_there: self.place().is_some(),
            memory_bytes: self.memory_bytes.load(Ordering::Relaxed),
            pixels_to_host: to_host.pixels,
            pixels_to_device: to_device.pixels,
            numbers_to_host: to_host.numbers,
            numbers_to_device: to_device.numbers,
        })
    }
}

/// The ring of a run's pictures; another one for each format.
#[derive(Debug)]
pub struct Rings {
    home: Option<Arc<Home>>,
    ring: Option<FrameRing>,
    /// The device that draws has no memory for rings.
    is_refused: bool,
    staging: Option<Staging>,
}

/// On the way from a device to memory that it does not share.
#[derive(Debug)]
struct Staging {
    stream: Stream,
    done: Event,
    memory: DeviceBuffer,
}

impl Rings {
    pub fn new(home: Option<Arc<Home>>) -> Self {
        Rings { home, ring: None, is_refused: false, staging: None }
    }

    /// From now on pictures come here.
    pub fn leave_device(&mut self) {
        let last = std::mem::replace(self, Rings::new(None));
        if let Some(home) = last.home.clone() {
            // What it has there is given back by a device that may hang.
            let _ = home.device.aside(PATIENCE, move |_| drop(last));
        }
    }

    /// A free slot for `picture`. None: every one is still in use.
    pub fn acquire(&mut self, picture: &Picture<'_>) -> Result<Option<FrameWriter>, MemoryError> {
        let place = self.home.as_ref().filter(|_| !self.is_refused).and_then(|home| home.place());
        if self.ring.as_ref().is_none_or(|ring| *ring.layout() != picture.layout || ring.is_on_device() != place.is_some()) {
            // Its last frames may still be shown; what it has on a device goes with them.
            let last = self.ring.take();
            self.ring = match place.map(|place| ring_on(place, picture.layout, last)) {
                Some(Ok(ring)) => {
                    self.home.iter().for_each(|home| home.memory_bytes.store(ring.device_bytes(), Ordering::Relaxed));
                    Some(ring)
                }
                Some(Err(error)) => {
                    tracing::warn!("pictures are brought from their device: {error}");
                    self.is_refused = true;
                    Some(FrameRing::new(picture.layout)?)
                }
                None => Some(FrameRing::new(picture.layout)?),
            };
        }
        Ok(self.ring.as_ref().and_then(FrameRing::acquire))
    }

    /// Puts `picture` into the slot. An error: its device has failed.
    pub fn write(&mut self, picture: &Picture<'_>, writer: &mut FrameWriter) -> Result<(), CudaError> {
        let (is_here, is_there) = (picture.planes.here().is_some(), writer.is_on_device());
        if is_there || !is_here {
            self.home.iter().for_each(|home| home.was_used.store(true, Ordering::Relaxed));
        }
        if is_here {
            picture.copy_into(writer.data_mut());
        }
        match (is_here, is_there) {
            (true, false) => return Ok(()),
            (true, true) => return writer.mirror(),
            (false, true) => return writer.fill(|stream, to| picture.copy_there(stream, to)),
            (false, false) => {}
        }
        let home = self.home.as_ref().ok_or(CudaError::Elsewhere)?;
        let Staging { stream, done, memory } = staging(&mut self.staging, home, picture.layout.size)?;
        let frame = memory.span().first(picture.layout.size)?;
        picture.copy_there(stream, frame)?;
        // SAFETY: the stream is waited for before the slot is given back, or that is never given back.
        let begun = unsafe { stream.read_back_to(frame, writer.data_mut(), Payload::Pixels) };
        let done = stream.settle(done);
        if matches!(done, Err(CudaError::Silent { .. })) {
            writer.keep_for_good();
            std::mem::forget(self.staging.take());
        }
        done.and(begun)
    }
}

/// In place of `last`, whose memory goes first.
fn ring_on(place: &Arc<Place>, layout: FrameLayout, last: Option<FrameRing>) -> Result<FrameRing, RingError> {
    let home = place.clone();
    let made = place.device().patiently(move |_| {
        drop(last);
        FrameRing::on_device(layout, &home)
    });
    made.map_err(PlaceError::Cuda)?
}

fn staging<'a>(kept: &'a mut Option<Staging>, home: &Home, bytes: usize) -> Result<&'a Staging, CudaError> {
    if kept.as_ref().is_none_or(|staging| staging.memory.span().bytes() < bytes) {
        let last = kept.take();
        let made = home.device.patiently(move |device| {
            drop(last);
            Ok::<_, CudaError>(Staging { stream: device.stream(Priority::High)?, done: device.event()?, memory: device.buffer(bytes)? })
        });
        *kept = Some(made??);
    }
    kept.as_ref().ok_or(CudaError::Elsewhere)
}
