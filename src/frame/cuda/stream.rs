//! What a device is told to do, in order: copies, launches, recorded sequences. Nothing here waits but `synchronize`.

use super::device::Shared;
use super::memory::{DevicePlane, DeviceSpan, Memory, Payload, PinnedBuffer};
use super::ptx::MOST_ARGUMENTS;
use super::sequence::Sequences;
use super::{CudaError, Launch};
use cudarc::driver::{CudaEvent, CudaGraph, CudaStream, result, sys};
use std::cell::{Cell, RefCell, RefMut};
use std::ffi::c_void;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// The path of a picture waits no longer for a device: another way has to show it within half a second.
pub const PATIENCE: Duration = Duration::from_millis(200);
/// What a picture asks of a device is done sooner.
const SOON: Duration = Duration::from_millis(2);

/// Who goes first where two streams have something to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Priority {
    /// Analysis: whatever brings a picture to the screen goes before it.
    Low,
    High,
}

impl Launches {
    pub fn name(self) -> &'static str {
        match self {
            Launches::Plain => "plain",
            Launches::Recorded => "recorded",
        }
    }
}

/// One queue of a device's work.
#[derive(Debug)]
pub struct Stream {
    pub(super) stream: Arc<CudaStream>,
    shared: Arc<Shared>,
    /// While a graph is recorded: the memory that it will use.
    recording: RefCell<Option<Vec<Arc<Memory>>>>,
    launches: Cell<Launches>,
    /// What waits to be begun as one.
    sequences: RefCell<Sequences>,
}

/// A point in a stream.
#[derive(Debug)]
pub struct Event {
    event: CudaEvent,
    shared: Arc<Shared>,
}

/// Launches that were recorded, begun again as one.
#[derive(Debug)]
pub struct Graph {
    recorded: Arc<Recorded>,
}

pub(super) struct Recorded {
    graph: CudaGraph,
    _memory: Vec<Arc<Memory>>,
}

// SAFETY: a graph may be used on any thread, by one at a time; what launches it needs `Graph` mutably, or has the stream to itself.
unsafe impl Send for Recorded {}
// SAFETY: as above.
unsafe impl Sync for Recorded {}

impl fmt::Debug for Recorded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Recorded")
    }
}

impl Recorded {
    pub fn graph(&self) -> sys::CUgraph {
        self.graph.cu_graph()
    }

    pub fn exec(&self) -> sys::CUgraphExec {
        self.graph.cu_graph_exec()
    }
}

/// How a stream's launches reach the device. It makes no difference to what they do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Launches {
    /// Each when it is told.
    #[default]
    Plain,
    /// Those that follow on each other with one call, from the second time on that they come in this order.
    Recorded,
}

impl Stream {
    pub(super) fn new(shared: &Arc<Shared>, priority: Priority) -> Result<Self, CudaError> {
        shared.bind()?;
        let failed = |error| shared.failed("making a stream", error);
        let (least, greatest) = result::stream::get_priority_range().map_err(failed)?;
        let stream = shared.context.new_stream_with_priority(if priority == Priority::Low { least } else { greatest }).map_err(failed)?;
        Ok(Stream {
            stream,
            shared: shared.clone(),
            recording: RefCell::new(None),
            sequences: RefCell::new(Sequences::new()),
            launches: Cell::default(),
        })
    }

    /// From now on; what it was told before is begun.
    pub fn set_launches(&self, launches: Launches) -> Result<(), CudaError> {
        self.launches.set(launches);
        self.flush()
    }

    pub fn launches(&self) -> Launches {
        self.launches.get()
    }

    /// Where launches wait to be begun as one; None: they do not, or are being recorded.
    fn gathering(&self) -> Option<RefMut<'_, Sequences>> {
        let gathers = self.launches.get() == Launches::Recorded && self.recording.borrow().is_none();
        gathers.then(|| self.sequences.borrow_mut())
    }

    /// What was made of launches goes: before anything does that they launch. Nothing of it runs any more.
    pub fn forget_sequences(&self) {
        self.sequences.borrow_mut().forget();
    }

    /// Begins what waits to be begun as one. To be called before others queue something here; all else here does it itself.
    pub fn flush(&self) -> Result<(), CudaError> {
        // SAFETY: whoever told it something keeps what lies behind it until the stream was waited for.
        unsafe { self.sequences.borrow_mut().begin(&self.shared, self.stream.cu_stream()) }
    }

    /// For libraries that queue their work here themselves, after `flush`; it is valid as long as this lives.
    pub fn handle(&self) -> *mut () {
        self.stream.cu_stream().cast()
    }

    /// The first `bytes` of `from` go to the start of `to`.
    pub fn upload(&self, from: &mut PinnedBuffer, bytes: usize, to: DeviceSpan<'_>, payload: Payload) -> Result<(), CudaError> {
        let start = from.start(bytes)?;
        // SAFETY: so many bytes lie there, and nobody gets at them before `used`, which is recorded behind the copy.
        unsafe { self.upload_from(std::slice::from_raw_parts(start, bytes), to, payload)? };
        self.used(from)
    }

    /// All of `from` goes to the start of `to`.
    pub fn read_back(&self, from: DeviceSpan<'_>, to: &mut PinnedBuffer, payload: Payload) -> Result<(), CudaError> {
        let start = to.start(from.bytes)?;
        // SAFETY: as in `upload`.
        unsafe { self.read_back_to(from, std::slice::from_raw_parts_mut(start, from.bytes), payload)? };
        self.used(to)
    }

    /// As `upload`, of host memory that somebody else keeps.
    ///
    /// # Safety
    /// Until this stream has been waited for, `from` stays where it is and nobody writes it.
    pub unsafe fn upload_from(&self, from: &[u8], to: DeviceSpan<'_>, payload: Payload) -> Result<(), CudaError> {
        self.before_copy("device memory of a copy", from.len(), to.bytes)?;
        // SAFETY: `to` has room for it, and the caller keeps `from`.
        let copied = unsafe { result::memcpy_htod_async(to.pointer, from, self.stream.cu_stream()) };
        copied.map_err(|error| self.shared.failed("copying to it", error))?;
        self.shared.counts.to_device(payload, from.len());
        Ok(())
    }

    /// As `read_back`, to host memory that somebody else keeps.
    ///
    /// # Safety
    /// Until this stream has been waited for, `to` stays where it is and nobody reads or writes it.
    pub unsafe fn read_back_to(&self, from: DeviceSpan<'_>, to: &mut [u8], payload: Payload) -> Result<(), CudaError> {
        self.before_copy("host memory of a copy", from.bytes, to.len())?;
        // SAFETY: `from` holds as much, and the caller keeps `to`.
        let copied = unsafe { result::memcpy_dtoh_async(&mut to[..from.bytes], from.pointer, self.stream.cu_stream()) };
        copied.map_err(|error| self.shared.failed("copying from it", error))?;
        self.shared.counts.to_host(payload, from.bytes);
        Ok(())
    }

    /// Within the device: all of `from` to the start of `to`.
    pub fn copy(&self, from: DeviceSpan<'_>, to: DeviceSpan<'_>) -> Result<(), CudaError> {
        self.before_copy("device memory of a copy", from.bytes, to.bytes)?;
        // SAFETY: both are memory of this device, with so many bytes at least.
        let copied = unsafe { result::memcpy_dtod_async(to.pointer, from.pointer, from.bytes, self.stream.cu_stream()) };
        copied.map_err(|error| self.shared.failed("copying within it", error))
    }

    /// Within the device: so many rows of so many bytes, each to where `to` has it.
    pub fn copy_rows(&self, from: DevicePlane<'_>, to: DevicePlane<'_>, row_bytes: usize, rows: usize) -> Result<(), CudaError> {
        from.check(row_bytes, rows)?;
        to.check(row_bytes, rows)?;
        self.before_copy("rows in device memory", row_bytes, to.span.bytes)?;
        let copy = sys::CUDA_MEMCPY2D {
            srcXInBytes: 0,
            srcY: 0,
            srcMemoryType: sys::CUmemorytype::CU_MEMORYTYPE_DEVICE,
            srcHost: std::ptr::null(),
            srcDevice: from.span.pointer,
            srcArray: std::ptr::null_mut(),
            srcPitch: from.stride,
            dstXInBytes: 0,
            dstY: 0,
            dstMemoryType: sys::CUmemorytype::CU_MEMORYTYPE_DEVICE,
            dstHost: std::ptr::null_mut(),
            dstDevice: to.span.pointer,
            dstArray: std::ptr::null_mut(),
            dstPitch: to.stride,
            WidthInBytes: row_bytes,
            Height: rows,
        };
        // SAFETY: both hold as many rows, and the driver reads `copy` before it returns.
        let copied = unsafe { sys::cuMemcpy2DAsync_v2(&copy, self.stream.cu_stream()) };
        copied.result().map_err(|error| self.shared.failed("copying rows within it", error))
    }

    /// Zeros.
    pub fn clear(&self, span: DeviceSpan<'_>) -> Result<(), CudaError> {
        if let Some(mut sequences) = self.gathering() {
            sequences.clear(span.pointer, span.bytes, span.owner.cloned());
            return Ok(());
        }
        self.before_copy("device memory to be cleared", span.bytes, span.bytes)?;
        // SAFETY: it is memory of this device, with so many bytes.
        let cleared = unsafe { result::memset_d8_async(span.pointer, 0, span.bytes, self.stream.cu_stream()) };
        cleared.map_err(|error| self.shared.failed("clearing its memory", error))
    }

    fn before_copy(&self, what: &'static str, asked: usize, bytes: usize) -> Result<(), CudaError> {
        if asked > bytes {
            return Err(CudaError::Outside { what, asked, bytes });
        }
        // Its memory on the host could be gone when the sequence is begun again.
        if self.recording.borrow().is_some() {
            return Err(CudaError::Recording { what });
        }
        self.flush()?;
        self.shared.bind()
    }

    fn used(&self, buffer: &PinnedBuffer) -> Result<(), CudaError> {
        buffer.used.record(&self.stream).map_err(|error| self.shared.failed("marking a copy's end", error))
    }

    /// `event` is now behind all that this stream was told.
    pub fn mark(&self, event: &Event) -> Result<(), CudaError> {
        self.flush()?;
        event.event.record(&self.stream).map_err(|error| self.shared.failed("marking a point", error))
    }

    /// What comes next here waits for `event`; the caller does not.
    pub fn wait_for(&self, event: &Event) -> Result<(), CudaError> {
        self.flush()?;
        self.stream.wait(&event.event).map_err(|error| self.shared.failed("waiting for another stream", error))
    }

    /// As `synchronize`, but no longer than `PATIENCE`; `done` is used for that.
    pub fn settle(&self, done: &Event) -> Result<(), CudaError> {
        // As in `synchronize`.
        let begun = self.flush();
        self.mark(done)?;
        done.settle()?;
        begun
    }

    /// Waits until all is done that this stream was told.
    pub fn synchronize(&self) -> Result<(), CudaError> {
        let begun = self.flush();
        // Whatever became of it: what was begun before uses memory that others are given back.
        self.stream.synchronize().map_err(|error| self.shared.failed("what it was told", error))?;
        begun
    }

    /// Begins again what was recorded.
    pub fn replay(&self, graph: &mut Graph) -> Result<(), CudaError> {
        if let Some(mut sequences) = self.gathering() {
            sequences.replay(&graph.recorded);
            return Ok(());
        }
        self.shared.bind()?;
        // SAFETY: the graph was made on this device and its memory is kept with it.
        let begun = unsafe { result::graph::launch(graph.recorded.exec(), self.stream.cu_stream()) };
        self.shared.counts.begun();
        begun.map_err(|error| self.shared.failed("a recorded sequence", error))
    }

    /// Records the launches that `launches` makes on this stream, instead of beginning them. Nothing else may be asked of it meanwhile.
    pub fn record(&self, launches: impl FnOnce() -> Result<(), CudaError>) -> Result<Graph, CudaError> {
        let failed = |error| self.shared.failed("recording a sequence", error);
        self.flush()?;
        self.stream.begin_capture(sys::CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL).map_err(failed)?;
        *self.recording.borrow_mut() = Some(Vec::new());
        let made = launches();
        let memory = self.recording.borrow_mut().take().unwrap_or_default();
        let graph = self.stream.end_capture(sys::CUgraphInstantiate_flags(0));
        made?;
        match graph.map_err(failed)? {
            Some(graph) => Ok(Graph { recorded: Arc::new(Recorded { graph, _memory: memory }) }),
            None => Err(CudaError::Recording { what: "a sequence that is empty" }),
        }
    }

    /// `arguments`: of each its bytes; `memory`: what they point to.
    ///
    /// # Safety
    /// The function takes as many arguments, each of this size, and stays as long as this.
    pub(super) unsafe fn begin<'a>(
        &self,
        function: sys::CUfunction,
        launch: &Launch,
        arguments: impl Iterator<Item = &'a [u8]>,
        memory: impl Iterator<Item = Arc<Memory>>,
    ) -> Result<(), CudaError> {
        if let Some(mut sequences) = self.gathering() {
            sequences.launch(function, launch, arguments, memory);
            return Ok(());
        }
        if let Some(recording) = &mut *self.recording.borrow_mut() {
            recording.extend(memory);
        }
        self.shared.bind()?;
        let mut places = [std::ptr::null_mut::<c_void>(); MOST_ARGUMENTS];
        // The driver only reads them.
        places.iter_mut().zip(arguments).for_each(|(place, bytes)| *place = bytes.as_ptr().cast_mut().cast());
        let stream = self.stream.cu_stream();
        // SAFETY: as the caller says; the driver copies the arguments before it returns.
        let begun =
            unsafe { result::launch_kernel(function, launch.grid.into(), launch.block.into(), launch.shared_bytes, stream, &mut places) };
        self.shared.counts.begun();
        begun.map_err(|error| self.shared.failed(launch.entry, error))
    }
}

impl Event {
    pub(super) fn new(shared: &Arc<Shared>) -> Result<Self, CudaError> {
        Ok(Event { event: shared.event()?, shared: shared.clone() })
    }

    /// Waits until all is done that came before it, but no longer than `PATIENCE`; not at all where it was never marked.
    pub fn settle(&self) -> Result<(), CudaError> {
        let begun = Instant::now();
        while !self.is_past()? {
            let waited = begun.elapsed();
            if waited > PATIENCE || self.shared.hangs.load(Ordering::Relaxed) {
                self.shared.hangs.store(true, Ordering::Relaxed);
                return Err(CudaError::Silent { device: self.shared.name.clone() });
            }
            std::thread::sleep(if waited < SOON { SOON / 100 } else { SOON / 10 });
        }
        Ok(())
    }

    /// Is all done that came before it?
    pub fn is_past(&self) -> Result<bool, CudaError> {
        // As cudarc does for all but this.
        self.shared.bind()?;
        self.event.try_is_complete().map_err(|error| self.shared.failed("what it was told", error))
    }
}
