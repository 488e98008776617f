//! How good it is, in numbers that the field knows.

mod froc;

pub use froc::{Froc, FrocPoint, Label, Mark};
