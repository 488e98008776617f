//! The self-test's marker: a block pattern that carries a frame number through the display path, and its reader.
//! Pure: no display, no capture, no clock. What a delay or a fault means is judged elsewhere.
//!
//! ```text
//!        0 1     7 8 9            24 25 26    32 33      34 × 26 square blocks, black and white alone except bars
//!      0 quiet zone, white, all around
//!      1 ┌───────┐   timing: black, white …  ┌───────┐  finders: rings 1 1 3 1 1 (black first), as a QR code's
//!    3–5 │ finder│   the number, upper copy  │ finder│  3 × 16 blocks: 24 bits Gray, 24 of check (see `code`)
//!      7 └───────┘   timing: white, black …  └───────┘
//!   9–12  patch      eight colour bars, 75 %               the patch is white for odd numbers: for a photodiode
//!  13–16  patch      eight grey steps
//!     18 ┌───────┐                           ┌───────┐
//!  20–22 │ finder│   lower copy, inverted    │ finder│
//!     24 └───────┘   timing: black, white …  └───────┘
//! ```
//! The number is in luma alone, so chroma subsampling does not touch it. Two copies that differ are a tear; levels between
//! black and white are two frames mixed. A reader that doubts says so: an `Unread` costs a sample, a wrong number the test.
//! `border`: a number in fewer blocks, for a place that is known, while the appliance is in use.
//! Coordinates are continuous: the centre of the first pixel is (0.5, 0.5).

mod bars;
mod border;
mod code;
mod echo;
mod find;
mod geometry;
mod layout;
mod paint;
mod reader;
mod sequence;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

pub use bars::{COLOURS, ColourFault, ColourVerdict, Signal, colours, expected_colours, judge_colours};
pub use border::{BORDER_COLUMNS, BORDER_ROWS, BorderSpot, LEAST_BORDER_BLOCK_PX, paint_border};
pub use code::NUMBERS;
pub use echo::{ECHO_ROWS, echo_rect, paint_echo};
pub use geometry::{Affine, Geometry};
pub use layout::{COLUMNS, Placement, ROWS};
pub use paint::{DoesNotFit, Target, paint};
pub use reader::{Capture, Reader, Reading, Unread};
pub use sequence::{Analysis, Pace, Release, Sight, Sighting, analyse};
