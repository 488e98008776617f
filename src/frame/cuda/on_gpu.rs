//! A kernel on the first GPU of this machine: each launch with buffers of its own, copied there and back.

use super::testing::Arg;
use super::{Device, DeviceBuffer, Launch, Nvrtc, Param, Payload, PinnedBuffer, Priority, Stream, usable_device};
use std::collections::HashSet;
use std::sync::Mutex;

pub struct OnGpu(Box<Mutex<Inner>>);

struct Inner {
    device: Device,
    stream: Stream,
    compiler: Nvrtc,
    loaded: HashSet<&'static str>,
}

/// A buffer on both sides. None: a null pointer.
type Sides = Option<(PinnedBuffer, DeviceBuffer)>;

impl OnGpu {
    /// Err: what is missing.
    pub fn new() -> Result<Self, String> {
        let text = |error: super::CudaError| error.to_string();
        let device = Device::open(&usable_device().map_err(text)?).map_err(text)?;
        let stream = device.stream(Priority::Low).map_err(text)?;
        let compiler = Nvrtc::open().map_err(text)?;
        Ok(OnGpu(Box::new(Mutex::new(Inner { device, stream, compiler, loaded: HashSet::new() }))))
    }

    pub fn run(&self, launch: &Launch, args: &mut [Arg<'_>]) {
        self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).run(launch, args);
    }
}

impl Inner {
    fn run(&mut self, launch: &Launch, args: &mut [Arg<'_>]) {
        if self.loaded.insert(launch.kernel.name) {
            let ptx = self.compiler.compile(&launch.kernel, self.device.architecture()).unwrap();
            self.device.load(&launch.kernel, &ptx).unwrap();
        }
        let mut buffers: Vec<Sides> = args
            .iter()
            .map(|arg| match arg {
                Arg::Value(_) | Arg::In([]) => None,
                Arg::In(bytes) => Some(self.filled(bytes)),
                Arg::Out(bytes) => Some(self.filled(bytes)),
            })
            .collect();
        let params: Vec<Param<'_>> = args
            .iter()
            .zip(&buffers)
            .map(|(arg, sides)| match (arg, sides) {
                (Arg::Value(bytes), _) => Param::Value(bytes),
                (_, Some((_, memory))) => Param::Memory(memory.span()),
                (_, None) => Param::Nothing,
            })
            .collect();
        self.device.launch(&self.stream, launch, &params).unwrap();
        for (arg, sides) in args.iter_mut().zip(&mut buffers) {
            if let (Arg::Out(bytes), Some((pinned, memory))) = (arg, sides) {
                self.stream.read_back(memory.span(), pinned, Payload::Numbers).unwrap();
                let found = pinned.bytes().unwrap();
                bytes.copy_from_slice(&found[..bytes.len()]);
            }
        }
        self.stream.synchronize().unwrap();
    }

    fn filled(&self, bytes: &[u8]) -> (PinnedBuffer, DeviceBuffer) {
        let (mut pinned, memory) = (self.device.pinned(bytes.len()).unwrap(), self.device.buffer(bytes.len()).unwrap());
        pinned.bytes_mut().unwrap()[..bytes.len()].copy_from_slice(bytes);
        self.stream.upload(&mut pinned, bytes.len(), memory.span(), Payload::Numbers).unwrap();
        (pinned, memory)
    }
}
