//! Runs kernels in tests: on the CPU always, on a GPU where there is one.

use super::on_cpu::OnCpu;
use super::on_gpu::OnGpu;
use super::{KERNELS, Launch};
use bytemuck::{Pod, bytes_of, cast_slice, cast_slice_mut};

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
        self.checked(launch);
        match self {
            Runner::Cpu(cpu) => cpu.run(launch, args, true),
            Runner::Gpu(gpu) => gpu.run(launch, args),
        }
    }

    /// As `run`, where the order of what comes out is open.
    pub fn run_in_any_order(&self, launch: &Launch, args: &mut [Arg<'_>]) {
        self.checked(launch);
        match self {
            Runner::Cpu(cpu) => cpu.run(launch, args, false),
            Runner::Gpu(gpu) => gpu.run(launch, args),
        }
    }

    fn checked(&self, launch: &Launch) {
        assert!(KERNELS.contains(&launch.kernel) && launch.kernel.entries.contains(&launch.entry), "{launch:?}");
    }
}

/// Calls `test` with each runner of this machine; says which it does not have.
pub fn on_every_device(test: &str, run: impl Fn(&Runner)) {
    match OnCpu::new() {
        Ok(cpu) => run(&Runner::Cpu(cpu)),
        Err(reason) => println!("SKIPPED {test} on the CPU: {reason}"),
    }
    match OnGpu::new() {
        Ok(gpu) => run(&Runner::Gpu(gpu)),
        Err(reason) => println!("SKIPPED {test} on a GPU: {reason}"),
    }
}
