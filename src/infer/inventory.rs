//! What engines could run on here.

use super::runtime;
use crate::base::inventory::{Item, State};

/// ONNX Runtime, which the AI does not run without.
pub fn inventory() -> Vec<Item> {
    let opened = runtime::environment().and_then(|_| runtime::library());
    vec![Item::of(opened.map(|library| format!("ONNX Runtime, {}", library.display())), State::Missing)]
}
