//! A kernel on the first GPU of this machine: each launch with buffers of its own, copied there and back.

use super::testing::Arg;
use super::{Architecture, Launch, Nvrtc};
use cudarc::driver::{CudaContext, CudaFunction, CudaSlice, CudaStream, DevicePtr, sys};
use cudarc::nvrtc::Ptx;
use std::collections::HashMap;
use std::ffi::c_void;
use std::sync::{Arc, Mutex};

pub struct OnGpu {
    context: Arc<CudaContext>,
    stream: Arc<CudaStream>,
    compiler: Nvrtc,
    architecture: Architecture,
    functions: Mutex<HashMap<&'static str, CudaFunction>>,
}

impl OnGpu {
    /// Err: what is missing.
    pub fn new() -> Result<Self, String> {
        // SAFETY: opens the driver's library, whose start-up code needs nothing of us.
        if !unsafe { sys::is_culib_present() } {
            return Err("no NVIDIA driver (libcuda.so.1)".to_owned());
        }
        let text = |e: cudarc::driver::DriverError| format!("no CUDA device ({e:?})");
        let context = CudaContext::new(0).map_err(text)?;
        let (major, minor) = context.compute_capability().map_err(text)?;
        let compiler = Nvrtc::open().map_err(|e| e.to_string())?;
        let architecture = Architecture::of_device(major as u32, minor as u32)
            .ok_or_else(|| format!("the device's compute capability is {major}.{minor}, 8.0 is needed"))?;
        let stream = context.default_stream();
        Ok(OnGpu { context, stream, compiler, architecture, functions: Mutex::default() })
    }

    fn function(&self, launch: &Launch) -> CudaFunction {
        let mut functions = self.functions.lock().unwrap();
        let function = functions.entry(launch.entry).or_insert_with(|| {
            let ptx = self.compiler.compile(&launch.kernel, self.architecture).unwrap();
            let module = self.context.load_module(Ptx::from_src(ptx)).unwrap();
            module.load_function(launch.entry).unwrap()
        });
        function.clone()
    }

    pub fn run(&self, launch: &Launch, args: &mut [Arg<'_>]) {
        let function = self.function(launch);
        let buffers: Vec<Option<CudaSlice<u8>>> = args
            .iter()
            .map(|arg| match arg {
                Arg::Value(_) | Arg::In([]) => None,
                Arg::In(bytes) => Some(self.stream.clone_htod(*bytes).unwrap()),
                Arg::Out(bytes) => Some(self.stream.clone_htod(&**bytes).unwrap()),
            })
            .collect();
        let pointer = |buffer: &Option<CudaSlice<u8>>| buffer.as_ref().map_or(0, |buffer| buffer.device_ptr(&self.stream).0);
        let pointers: Vec<sys::CUdeviceptr> = buffers.iter().map(pointer).collect();
        let mut values: Vec<*mut c_void> = Vec::new();
        for (arg, pointer) in args.iter().zip(&pointers) {
            values.push(match arg {
                Arg::Value(bytes) => bytes.as_ptr().cast_mut().cast(),
                _ => std::ptr::from_ref(pointer).cast_mut().cast(),
            });
        }
        // SAFETY: the arguments are those of the kernel, in its order: the tests that call this run on the CPU first, and compare. The
        // buffers and values live until the stream has been waited for.
        unsafe {
            cudarc::driver::result::launch_kernel(
                function.cu_function(),
                launch.grid.into(),
                launch.block.into(),
                launch.shared_bytes,
                self.stream.cu_stream(),
                &mut values,
            )
            .unwrap();
        }
        self.stream.synchronize().unwrap();
        for (arg, buffer) in args.iter_mut().zip(&buffers) {
            if let (Arg::Out(bytes), Some(buffer)) = (arg, buffer) {
                self.stream.memcpy_dtoh(buffer, &mut **bytes).unwrap();
            }
        }
        self.stream.synchronize().unwrap();
    }
}
