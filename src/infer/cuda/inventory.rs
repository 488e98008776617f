//! What of the GPU path is on this machine.

use crate::base::inventory::{Item, State};
use crate::frame::cuda::Nvrtc;

pub fn inventory() -> Vec<Item> {
    let compiler = Nvrtc::open().map(|compiler| format!("NVRTC {}, the compiler of the kernels", compiler.version()));
    vec![Item::of(compiler, State::Absent)]
}
