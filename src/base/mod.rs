//! What every room may use: error kinds, the clock, ids, classes, statistics, slots, shutdown, where libraries lie, and the screen's words and state.
//! Nothing here knows what a frame, an engine or a window is.

pub mod assign;
pub mod beat;
pub mod classes;
pub mod clock;
mod codes;
pub mod disk;
pub mod error;
pub mod files;
pub mod html;
pub mod hud;
pub mod ids;
pub mod inventory;
pub mod library;
pub mod mode;
pub mod paths;
pub mod proportion;
pub mod random;
pub mod rate;
pub mod say;
pub mod shutdown;
pub mod simd;
pub mod slot;
pub mod stats;
pub mod texts;
pub mod time_of_day;
