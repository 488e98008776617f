//! Launches that are begun with one call (CUDA graphs). What a stream is told is kept until something follows that is no launch. Where
//! the same kernels were told in the same order before, they are then begun as one, and only what they are given anew is set anew. It
//! makes no difference to what they do.
//!
//! ```text
//!   launch, clear, launch, recorded, … ─► Told ─ copy, event, wait ─► for the first time?  each is begun by itself
//!                                                                     for the second?      made, and begun as one
//!                                                                     later?               what differs is set, begun as one
//! ```

use super::device::Shared;
use super::memory::Memory;
use super::ptx::MOST_ARGUMENTS;
use super::stream::Recorded;
use super::{CudaError, Launch};
use cudarc::driver::{DriverError, result, sys};
use std::ffi::c_void;
use std::ops::Range;
use std::ptr::{null, null_mut};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// So many different sequences are known; the one that came up longest ago makes room.
const MOST_KNOWN: usize = 16;

/// What sequences are told apart by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum What {
    Kernel(sys::CUfunction),
    /// So many bytes from there on become zeros.
    Clear(sys::CUdeviceptr, usize),
    /// What a library does.
    Recorded(sys::CUgraph),
}

/// To a kernel.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Given {
    grid: [u32; 3],
    block: [u32; 3],
    shared_bytes: u32,
    /// In `Told::places`.
    arguments: Range<usize>,
    /// In `Told::words`.
    words: Range<usize>,
}

/// Step by step.
#[derive(Debug, Clone, Default)]
struct Told {
    what: Vec<What>,
    given: Vec<Given>,
    /// Where in `words` each argument starts.
    places: Vec<usize>,
    /// All arguments' bytes.
    words: Vec<u64>,
}

impl Told {
    fn clear(&mut self) {
        self.what.clear();
        self.given.clear();
        self.places.clear();
        self.words.clear();
    }

    /// Is step `index` given just what it is in `other`, which is the same sequence?
    fn is_given_as(&self, other: &Told, index: usize) -> bool {
        let (this, that) = (&self.given[index], &other.given[index]);
        this == that && self.words[this.words.clone()] == other.words[that.words.clone()]
    }

    /// As the driver takes it; what it points to is there until `take` returns.
    fn with_kernel<T>(&self, index: usize, func: sys::CUfunction, take: impl FnOnce(&sys::CUDA_KERNEL_NODE_PARAMS) -> T) -> T {
        let Given { grid, block, shared_bytes, arguments, .. } = &self.given[index];
        let mut pointers = [null_mut::<c_void>(); MOST_ARGUMENTS];
        for (pointer, at) in pointers.iter_mut().zip(&self.places[arguments.clone()]) {
            // The driver only reads it.
            *pointer = self.words[*at..].as_ptr().cast_mut().cast();
        }
        take(&sys::CUDA_KERNEL_NODE_PARAMS {
            func,
            gridDimX: grid[0],
            gridDimY: grid[1],
            gridDimZ: grid[2],
            blockDimX: block[0],
            blockDimY: block[1],
            blockDimZ: block[2],
            sharedMemBytes: *shared_bytes,
            kernelParams: pointers.as_mut_ptr(),
            extra: null_mut(),
            kern: null_mut(),
            ctx: null_mut(),
        })
    }
}

/// A sequence that came up.
#[derive(Debug)]
struct Known {
    what: Vec<What>,
    graph: Option<Made>,
    /// It cannot be made.
    is_refused: bool,
}

/// A sequence as the driver has it.
#[derive(Debug)]
struct Made {
    graph: sys::CUgraph,
    exec: sys::CUgraphExec,
    nodes: Vec<sys::CUgraphNode>,
    /// With what it was begun last.
    told: Told,
    /// What it holds of others'.
    _recorded: Vec<Arc<Recorded>>,
    shared: Arc<Shared>,
}

impl Drop for Made {
    fn drop(&mut self) {
        if self.shared.hangs.load(Ordering::Relaxed) || self.shared.bind().is_err() {
            return;
        }
        // SAFETY: made by `Made::new`, and here alone they go; one that still runs stays with the driver until it is done.
        unsafe {
            if !self.exec.is_null() {
                let _ = result::graph::exec_destroy(self.exec);
            }
            let _ = result::graph::destroy(self.graph);
        }
    }
}

impl Made {
    /// # Safety
    /// As `Sequences::begin`.
    unsafe fn new(shared: &Arc<Shared>, told: &Told, recorded: &[Arc<Recorded>]) -> Result<Self, DriverError> {
        let mut graph = null_mut();
        // SAFETY: the driver writes one pointer.
        unsafe { sys::cuGraphCreate(&mut graph, 0) }.result()?;
        let (nodes, exec, told) = (Vec::with_capacity(told.what.len()), null_mut(), told.clone());
        let mut made = Made { graph, exec, nodes, told, _recorded: recorded.to_vec(), shared: shared.clone() };
        for (index, what) in made.told.what.iter().enumerate() {
            let before = made.nodes.last().map_or(null(), std::ptr::from_ref);
            let (count, mut node) = (usize::from(index > 0), null_mut());
            // SAFETY: the graph is there, and so is the node before; the driver copies all else before it returns. The recorded one is
            // kept, and what is behind the arguments is the caller's matter.
            let added = unsafe {
                match *what {
                    What::Kernel(function) => made
                        .told
                        .with_kernel(index, function, |kernel| sys::cuGraphAddKernelNode_v2(&mut node, graph, before, count, kernel)),
                    What::Clear(dst, width) => {
                        let zeros = sys::CUDA_MEMSET_NODE_PARAMS { dst, pitch: width, value: 0, elementSize: 1, width, height: 1 };
                        sys::cuGraphAddMemsetNode(&mut node, graph, before, count, &zeros, shared.context.cu_ctx())
                    }
                    What::Recorded(recorded) => sys::cuGraphAddChildGraphNode(&mut node, graph, before, count, recorded),
                }
            };
            added.result()?;
            made.nodes.push(node);
        }
        // SAFETY: the graph is whole.
        made.exec = unsafe { result::graph::instantiate(graph, sys::CUgraphInstantiate_flags(0))? };
        Ok(made)
    }

    /// Sets what `told`, the same sequence, is given anew.
    ///
    /// # Safety
    /// As `Sequences::begin`.
    unsafe fn set(&mut self, told: &Told) -> Result<(), DriverError> {
        for (index, node) in self.nodes.iter().enumerate() {
            if let What::Kernel(function) = told.what[index]
                && !told.is_given_as(&self.told, index)
            {
                // SAFETY: the node is this kernel's, in this graph; what runs already keeps what it was begun with.
                told.with_kernel(index, function, |kernel| unsafe { sys::cuGraphExecKernelNodeSetParams_v2(self.exec, *node, kernel) })
                    .result()?;
            }
        }
        Ok(())
    }
}

/// What one stream is told, and the sequences that came up in it.
#[derive(Debug)]
pub(super) struct Sequences {
    told: Told,
    /// They stay until it is begun.
    memory: Vec<Arc<Memory>>,
    recorded: Vec<Arc<Recorded>>,
    /// The one that came up last is the last.
    known: Vec<Known>,
}

// SAFETY: the driver's handles are used by one thread at a time, whichever; a context is bound to it before.
unsafe impl Send for Sequences {}

impl Sequences {
    pub fn new() -> Self {
        Sequences { told: Told::default(), memory: Vec::new(), recorded: Vec::new(), known: Vec::new() }
    }

    /// `arguments`: of each its bytes.
    pub fn launch<'a>(
        &mut self,
        function: sys::CUfunction,
        launch: &Launch,
        arguments: impl Iterator<Item = &'a [u8]>,
        memory: impl Iterator<Item = Arc<Memory>>,
    ) {
        let Told { what, given, places, words } = &mut self.told;
        let (first_place, first_word) = (places.len(), words.len());
        for argument in arguments {
            places.push(words.len());
            words.extend(argument.chunks(size_of::<u64>()).map(|bytes| {
                let mut word = [0; size_of::<u64>()];
                word[..bytes.len()].copy_from_slice(bytes);
                u64::from_ne_bytes(word)
            }));
        }
        what.push(What::Kernel(function));
        let Launch { grid, block, shared_bytes, .. } = *launch;
        given.push(Given { grid, block, shared_bytes, arguments: first_place..places.len(), words: first_word..words.len() });
        self.memory.extend(memory);
    }

    pub fn clear(&mut self, pointer: sys::CUdeviceptr, bytes: usize, memory: Option<Arc<Memory>>) {
        self.told.what.push(What::Clear(pointer, bytes));
        self.told.given.push(Given::default());
        self.memory.extend(memory);
    }

    pub fn replay(&mut self, recorded: &Arc<Recorded>) {
        self.told.what.push(What::Recorded(recorded.graph()));
        self.told.given.push(Given::default());
        self.recorded.push(recorded.clone());
    }

    /// What was made goes; what was told stays.
    pub fn forget(&mut self) {
        self.known.clear();
    }

    /// Begins what was told. A sequence that the driver does not take is begun step by step, now and later.
    ///
    /// # Safety
    /// What lies behind the arguments that no `memory` keeps stays until it is done, as does the stream.
    pub unsafe fn begin(&mut self, shared: &Arc<Shared>, stream: sys::CUstream) -> Result<(), CudaError> {
        if self.told.what.is_empty() {
            return Ok(());
        }
        // SAFETY: as the caller says.
        let begun = shared.bind().and_then(|()| unsafe { self.begin_told(shared, stream) });
        self.told.clear();
        self.memory.clear();
        self.recorded.clear();
        begun
    }

    /// # Safety
    /// As `begin`.
    unsafe fn begin_told(&mut self, shared: &Arc<Shared>, stream: sys::CUstream) -> Result<(), CudaError> {
        let place = self.known.iter().position(|known| known.what == self.told.what);
        let mut known = match place {
            Some(place) => self.known.remove(place),
            None => Known { what: self.told.what.clone(), graph: None, is_refused: self.told.what.len() == 1 },
        };
        // What a kernel or a library does at its first time may be more than is to be repeated.
        let can_be_one = place.is_some() && !known.is_refused;
        // SAFETY: as the caller says; what is begun is known at least until it is.
        let as_one = can_be_one.then(|| unsafe { self.begin_as_one(&mut known, shared, stream) });
        let begun = match as_one {
            Some(Ok(())) => Ok(()),
            refused => {
                if let Some(Err(error)) = refused {
                    tracing::warn!("launches are begun one by one: {}", shared.failed("a sequence of launches", error));
                    (known.graph, known.is_refused) = (None, true);
                }
                // SAFETY: as the caller says.
                unsafe { self.begin_steps(shared, stream) }
            }
        };
        if self.known.len() == MOST_KNOWN {
            self.known.remove(0);
        }
        self.known.push(known);
        begun.map_err(|error| shared.failed("a sequence of launches", error))
    }

    /// `known`, as it is told now. An error: nothing of it was begun.
    ///
    /// # Safety
    /// As `begin`.
    unsafe fn begin_as_one(&mut self, known: &mut Known, shared: &Arc<Shared>, stream: sys::CUstream) -> Result<(), DriverError> {
        // SAFETY: as the caller says.
        unsafe {
            let made = match &mut known.graph {
                Some(made) => {
                    made.set(&self.told)?;
                    made
                }
                None => known.graph.insert(Made::new(shared, &self.told, &self.recorded)?),
            };
            result::graph::launch(made.exec, stream)?;
            // What was told is what it was begun with last.
            std::mem::swap(&mut made.told, &mut self.told);
        }
        shared.counts.begun();
        Ok(())
    }

    /// # Safety
    /// As `begin`.
    unsafe fn begin_steps(&self, shared: &Shared, stream: sys::CUstream) -> Result<(), DriverError> {
        let mut recorded = self.recorded.iter();
        self.told.what.iter().enumerate().try_for_each(|(index, what)| {
            if !matches!(what, What::Clear(..)) {
                shared.counts.begun();
            }
            // SAFETY: as the caller says; the driver copies the arguments before it returns.
            unsafe {
                match *what {
                    What::Kernel(function) => self.told.with_kernel(index, function, |kernel| {
                        let grid = (kernel.gridDimX, kernel.gridDimY, kernel.gridDimZ);
                        let block = (kernel.blockDimX, kernel.blockDimY, kernel.blockDimZ);
                        let pointers = std::slice::from_raw_parts_mut(kernel.kernelParams, MOST_ARGUMENTS);
                        result::launch_kernel(function, grid, block, kernel.sharedMemBytes, stream, pointers)
                    }),
                    What::Clear(pointer, bytes) => result::memset_d8_async(pointer, 0, bytes, stream),
                    What::Recorded(_) => recorded.next().map_or(Ok(()), |recorded| result::graph::launch(recorded.exec(), stream)),
                }
            }
        })
    }
}

#[cfg(test)]
#[path = "sequence_tests.rs"]
mod tests;
