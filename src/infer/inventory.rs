//! What engines could run on here.

use super::runtime;
use crate::base::inventory::{Item, State};

/// ONNX Runtime, which the AI does not run without.
pub fn inventory() -> Vec<Item> {
    vec![Item::of(runtime::environment().map(|_| ort::info().to_owned()), State::Missing)]
}
