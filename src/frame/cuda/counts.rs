use super::memory::Payload;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Bytes that went one way.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Moved {
    pub pixels: u64,
    pub numbers: u64,
}

/// What went over the bus, and how often memory was taken and something begun, since a device was opened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Traffic {
    pub to_device: Moved,
    pub to_host: Moved,
    /// Of device memory and of host memory for copies.
    pub allocations: u64,
    /// Calls that begin kernels, one or many.
    pub begun: u64,
}

impl Traffic {
    pub fn since(&self, earlier: &Traffic) -> Traffic {
        let less = |now: Moved, then: Moved| Moved { pixels: now.pixels - then.pixels, numbers: now.numbers - then.numbers };
        Traffic {
            to_device: less(self.to_device, earlier.to_device),
            to_host: less(self.to_host, earlier.to_host),
            allocations: self.allocations - earlier.allocations,
            begun: self.begun - earlier.begun,
        }
    }
}

#[derive(Debug, Default)]
pub struct Counts {
    to_device: [AtomicU64; 2],
    to_host: [AtomicU64; 2],
    allocations: AtomicU64,
    begun: AtomicU64,
}

impl Counts {
    pub fn begun(&self) {
        self.begun.fetch_add(1, Relaxed);
    }

    pub fn allocated(&self) {
        self.allocations.fetch_add(1, Relaxed);
    }

    pub fn to_device(&self, payload: Payload, bytes: usize) {
        self.to_device[payload as usize].fetch_add(bytes as u64, Relaxed);
    }

    pub fn to_host(&self, payload: Payload, bytes: usize) {
        self.to_host[payload as usize].fetch_add(bytes as u64, Relaxed);
    }

    pub fn traffic(&self) -> Traffic {
        let moved = |counts: &[AtomicU64; 2]| Moved {
            pixels: counts[Payload::Pixels as usize].load(Relaxed),
            numbers: counts[Payload::Numbers as usize].load(Relaxed),
        };
        Traffic {
            to_device: moved(&self.to_device),
            to_host: moved(&self.to_host),
            allocations: self.allocations.load(Relaxed),
            begun: self.begun.load(Relaxed),
        }
    }
}
