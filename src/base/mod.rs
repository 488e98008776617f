//! What every room may use: error kinds, the clock, ids, classes, statistics, slots, shutdown.
//! Nothing here knows what a frame, an engine or a window is.

pub mod classes;
pub mod clock;
pub mod error;
pub mod ids;
pub mod rate;
pub mod shutdown;
pub mod slot;
pub mod stats;
