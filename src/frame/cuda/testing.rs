//! Runs kernels in tests: on the CPU always, on a GPU where there is one.

use super::on_cpu::{OnCpu, compile};
use super::on_gpu::OnGpu;
use super::{Architecture, KERNELS, Kernel, Launch, Nvrtc, ptx};
use bytemuck::{Pod, bytes_of, cast_slice, cast_slice_mut};
use std::collections::HashMap;
use std::process::Command;
use std::sync::{Mutex, OnceLock};

#[path = "../../../tests/cuda/test_driver.rs"]
mod test_driver;

/// One argument of a kernel.
pub enum Arg<'a> {
    Value(&'a [u8]),
    /// Empty: a null pointer.
    In(&'a [u8]),
    /// Read and written.
    Out(&'a mut [u8]),
}

pub fn value<T: Pod>(value: &T) -> Arg<'_> {
    Arg::Value(bytes_of(value))
}

pub fn input<T: Pod>(numbers: &[T]) -> Arg<'_> {
    Arg::In(cast_slice(numbers))
}

pub fn output<T: Pod>(numbers: &mut [T]) -> Arg<'_> {
    Arg::Out(cast_slice_mut(numbers))
}

/// Where kernels run.
pub enum Runner {
    Cpu(OnCpu),
    Gpu(OnGpu),
}

impl Runner {
    /// Are its own `expf` and the like those of the reference?
    pub fn is_cpu(&self) -> bool {
        matches!(self, Runner::Cpu(_))
    }

    /// Runs one launch and waits for it. On the CPU twice, with the threads in two orders, which must not matter.
    pub fn run(&self, launch: &Launch, args: &mut [Arg<'_>]) {
        self.checked(launch, args);
        match self {
            Runner::Cpu(cpu) => cpu.run(launch, args, true),
            Runner::Gpu(gpu) => gpu.run(launch, args),
        }
    }

    /// As `run`, where the order of what comes out is open.
    pub fn run_in_any_order(&self, launch: &Launch, args: &mut [Arg<'_>]) {
        self.checked(launch, args);
        match self {
            Runner::Cpu(cpu) => cpu.run(launch, args, false),
            Runner::Gpu(gpu) => gpu.run(launch, args),
        }
    }

    fn checked(&self, launch: &Launch, args: &[Arg<'_>]) {
        assert!(KERNELS.contains(&launch.kernel) && launch.kernel.entries.contains(&launch.entry), "{launch:?}");
        if let Some(takes) = taken_by(launch) {
            let given = args.iter().map(|arg| if let Arg::Value(bytes) = arg { bytes.len() } else { 8 });
            ptx::check(launch.entry, &takes, given).unwrap();
        }
    }
}

/// What the kernel takes once it is compiled for a GPU: what is passed to it here is what it would be passed there. None: no compiler.
fn taken_by(launch: &Launch) -> Option<ptx::Arguments> {
    static COMPILER: OnceLock<Option<Nvrtc>> = OnceLock::new();
    static KNOWN: OnceLock<Mutex<HashMap<&'static str, ptx::Arguments>>> = OnceLock::new();
    let compiler = COMPILER.get_or_init(|| Nvrtc::open().ok()).as_ref()?;
    let mut known = KNOWN.get_or_init(Mutex::default).lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    if !known.contains_key(launch.entry) {
        let compiled = compiler.compile(&launch.kernel, Architecture::Compute90).unwrap();
        known.extend(ptx::arguments_of(&launch.kernel, &compiled).unwrap());
    }
    known.get(launch.entry).cloned()
}

/// Calls `test` with each runner of this machine; says which it does not have.
pub fn on_every_device(test: &str, run: impl Fn(&Runner)) {
    match OnCpu::new() {
        Ok(cpu) => run(&Runner::Cpu(cpu)),
        Err(reason) => println!("SKIPPED {test} on the CPU: {reason}"),
    }
    match OnGpu::new() {
        Ok(gpu) => {
            run(&Runner::Gpu(gpu));
            println!("RAN {test} on a GPU");
        }
        Err(reason) => skipped_without_gpu(test, &reason),
    }
}

/// Says that the half of `test` that needs a GPU was not done. Where one was promised (`make test-gpu`) that is a failure.
pub fn skipped_without_gpu(test: &str, reason: &str) {
    assert!(std::env::var_os("KEYHOLE_NEEDS_GPU").is_none(), "{test} needs a GPU: {reason}");
    println!("SKIPPED {test} on a GPU: {reason}");
}

/// A CUDA driver for processes that have none: tests/cuda/driver.cpp.
pub struct TestDriver {
    folder: tempfile::TempDir,
    kernels: tempfile::TempDir,
    is_for_gstreamer: bool,
}

impl TestDriver {
    /// None: `test` is skipped, which is said.
    pub fn new(test: &str) -> Option<Self> {
        let [folder, kernels] = [(); 2].map(|()| tempfile::tempdir().unwrap());
        match test_driver::build(folder.path()) {
            Ok(()) => Some(TestDriver { folder, kernels, is_for_gstreamer: false }),
            Err(reason) => {
                println!("SKIPPED {test}: {reason}");
                None
            }
        }
    }

    /// The driver will run these kernels, too. None: `test` is skipped, as there is no compiler of them to PTX, which is said.
    pub fn with_kernels(self, test: &str, kernels: &[Kernel]) -> Option<Self> {
        if let Err(error) = Nvrtc::open() {
            println!("SKIPPED {test}: {error}");
            return None;
        }
        for kernel in kernels {
            // Named as the kernel is.
            std::os::unix::fs::symlink(compile(kernel), self.kernels.path().join(kernel.name).with_extension("so")).unwrap();
        }
        Some(self)
    }

    /// GStreamer will find it, too, and looks for what it can do with it.
    pub fn with_gstreamer(mut self) -> Self {
        let folder = self.folder.path();
        std::os::unix::fs::symlink("libcuda.so", folder.join("libcuda.so.1")).unwrap();
        // Its plugin has nothing to show where there is no decoder library.
        test_driver::compile("nvcuvid.cpp", &folder.join("libnvcuvid.so.1")).unwrap();
        self.is_for_gstreamer = true;
        self
    }

    /// Instead of this library there will be an empty file.
    pub fn with_broken(self, library: &str) -> Self {
        std::fs::write(self.folder.path().join(library), b"").unwrap();
        self
    }

    /// Runs the test with this path, which is ignored otherwise, in a process with this driver, that reads `settings`. What it says.
    pub fn run(&self, test: &str, settings: &[(&str, &str)]) -> String {
        let others = std::env::var("LD_LIBRARY_PATH").unwrap_or_default();
        let mut process = Command::new(std::env::current_exe().unwrap());
        if self.is_for_gstreamer {
            // What plugins have is kept from run to run; with another driver they have other things.
            process.env("GST_REGISTRY", self.folder.path().join("registry.bin"));
        }
        let output = process
            .args(["--exact", test, "--ignored", "--nocapture"])
            .env("LD_LIBRARY_PATH", format!("{}:{others}", self.folder.path().display()))
            .env("TEST_CUDA_KERNELS", self.kernels.path())
            .envs(settings.iter().copied())
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(
            output.status.success() && text.contains("1 passed"),
            "{}\n{text}{}",
            output.status,
            String::from_utf8_lossy(&output.stderr)
        );
        text
    }
}
