//! What of the GPU path is on this machine. Asks the driver: not for the process that shows the picture.

use super::provider;
use crate::base::inventory::{Item, State};
use crate::frame::cuda::{Nvrtc, devices};
use crate::infer::tensorrt::{Kind, TensorRt};

pub fn inventory() -> Vec<Item> {
    let mut items: Vec<Item> = match devices() {
        Ok(devices) => devices.iter().map(|device| Item::of(device.architecture().map(|_| device.to_string()), State::Limited)).collect(),
        Err(error) => vec![Item::new(State::Absent, error.to_string())],
    };
    let compiler = Nvrtc::open().map(|compiler| format!("NVRTC {}, the compiler of the kernels", compiler.version()));
    items.push(Item::of(compiler, State::Absent));
    items.push(Item::of(provider().map(|path| format!("ONNX Runtime's CUDA provider, {}", path.display())), State::Absent));
    items.extend([Kind::Rtx, Kind::Standard].map(|kind| Item::of(TensorRt::open(kind).map(|library| library.to_string()), State::Absent)));
    items
}
