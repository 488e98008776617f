//! A kernel's own source, compiled by g++ and run on the CPU: see tests/cuda/on_cpu.h for what that proves.

use super::testing::Arg;
use super::{Kernel, Launch};
use libloading::Library;
use std::collections::HashMap;
use std::ffi::{c_int, c_uint, c_void};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, OnceLock};

type Entry = unsafe extern "C" fn(*const c_uint, *const c_uint, c_uint, *mut *mut c_void, c_int) -> c_int;

/// The kernels' globals are the process's: one launch at a time.
static LIBRARIES: OnceLock<Mutex<HashMap<&'static str, Library>>> = OnceLock::new();

/// Around every buffer stand so many bytes that no kernel may touch.
const MARGIN: usize = 64;
const UNTOUCHED: u8 = 0xc3;
/// As g++ takes them: no fused operations, undefined behaviour ends the process.
const FLAGS: [&str; 10] = [
    "-std=c++17",
    "-O1",
    "-ffp-contract=off",
    "-fsanitize=undefined",
    "-fsanitize-undefined-trap-on-error",
    "-Wno-unknown-pragmas",
    // Its longjmp refuses to change stacks.
    "-U_FORTIFY_SOURCE",
    "-Werror=uninitialized",
    "-shared",
    "-fPIC",
];

pub struct OnCpu;

impl OnCpu {
    /// Err: what is missing.
    pub fn new() -> Result<Self, String> {
        let found = Command::new("g++").arg("--version").output();
        found.map(|_| OnCpu).map_err(|e| format!("no g++ ({e})"))
    }

    pub fn run(&self, launch: &Launch, args: &mut [Arg<'_>], is_ordered: bool) {
        let mut libraries = LIBRARIES.get_or_init(Mutex::default).lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let library = libraries.entry(launch.kernel.name).or_insert_with(|| compiled(&launch.kernel));
        let mut backwards = Buffers::of(args);
        call(library, launch, &mut backwards, args, true);
        let mut forwards = Buffers::of(args);
        call(library, launch, &mut forwards, args, false);
        for (index, arg) in args.iter_mut().enumerate() {
            let made = forwards.bytes(index);
            match arg {
                Arg::Value(_) => {}
                Arg::In(bytes) => assert_eq!(made, *bytes, "{}: argument {index} is read only", launch.entry),
                Arg::Out(bytes) => {
                    assert!(
                        !is_ordered || made == backwards.bytes(index),
                        "{}: argument {index} depends on the threads' order",
                        launch.entry
                    );
                    bytes.copy_from_slice(made);
                }
            }
        }
    }
}

/// Copies of the buffers with their margins, aligned as a GPU's are.
struct Buffers(Vec<(Vec<u64>, usize)>);

impl Buffers {
    fn of(args: &[Arg<'_>]) -> Self {
        let copy = |bytes: &[u8]| {
            let mut words = vec![u64::from_ne_bytes([UNTOUCHED; 8]); bytes.len().div_ceil(8) + 2 * MARGIN / 8];
            bytemuck::cast_slice_mut::<u64, u8>(&mut words)[MARGIN..][..bytes.len()].copy_from_slice(bytes);
            (words, bytes.len())
        };
        Buffers(
            args.iter()
                .map(|arg| match arg {
                    Arg::Value(_) => (Vec::new(), 0),
                    Arg::In(bytes) => copy(bytes),
                    Arg::Out(bytes) => copy(bytes),
                })
                .collect(),
        )
    }

    fn bytes(&self, index: usize) -> &[u8] {
        let (words, length) = &self.0[index];
        if words.is_empty() { &[] } else { &bytemuck::cast_slice::<u64, u8>(words)[MARGIN..][..*length] }
    }

    fn assert_margins(&self, launch: &Launch) {
        for (index, (words, length)) in self.0.iter().enumerate().filter(|(_, (words, _))| !words.is_empty()) {
            let bytes = bytemuck::cast_slice::<u64, u8>(words);
            let is_whole = bytes[..MARGIN].iter().chain(&bytes[MARGIN + length..]).all(|byte| *byte == UNTOUCHED);
            assert!(is_whole, "{}: it writes beyond argument {index}", launch.entry);
        }
    }
}

fn compiled(kernel: &Kernel) -> Library {
    // SAFETY: the library was made from our own source; it has no code that runs when it is opened.
    unsafe { Library::new(compile(kernel)) }.unwrap()
}

/// The kernel as a library, kept by its content: the same source is compiled once.
pub fn compile(kernel: &Kernel) -> PathBuf {
    const ROOT: &str = env!("CARGO_MANIFEST_DIR");
    let entries: String = kernel.entries.iter().map(|entry| format!("ON_CPU({entry})\n")).collect();
    let wrapper = format!("#include \"{ROOT}/tests/cuda/on_cpu.h\"\n#include \"kernel.cu\"\n{entries}");
    let around = std::fs::read_to_string(format!("{ROOT}/tests/cuda/on_cpu.h")).unwrap();
    let content = xxhash_rust::xxh3::xxh3_128([&wrapper, &around, kernel.source, &FLAGS.join(" ")].join("\0").as_bytes());
    let kept = Path::new(ROOT).join("target/on_cpu");
    let library = kept.join(format!("{}-{content:032x}.so", kernel.name));
    if library.exists() {
        return library;
    }
    std::fs::create_dir_all(&kept).unwrap();
    // Whole, or not there: others may want it, too.
    let sources = tempfile::tempdir_in(&kept).unwrap();
    let (source, made) = (sources.path().join("kernel.cpp"), sources.path().join("kernel.so"));
    std::fs::write(&source, wrapper).unwrap();
    std::fs::write(sources.path().join("kernel.cu"), kernel.source).unwrap();
    let output = Command::new("g++").args(FLAGS).arg(&source).arg("-o").arg(&made).output().unwrap();
    assert!(output.status.success(), "{}: {}", kernel.name, String::from_utf8_lossy(&output.stderr));
    std::fs::rename(made, &library).unwrap();
    library
}

fn call(library: &Library, launch: &Launch, buffers: &mut Buffers, args: &[Arg<'_>], is_backwards: bool) {
    let mut pointers: Vec<*mut c_void> = Vec::new();
    for ((words, length), arg) in buffers.0.iter_mut().zip(args) {
        pointers.push(match arg {
            Arg::Value(bytes) => bytes.as_ptr().cast_mut().cast(),
            _ if *length == 0 => std::ptr::null_mut(),
            _ => bytemuck::cast_slice_mut::<u64, u8>(words)[MARGIN..].as_mut_ptr().cast(),
        });
    }
    // A pointer to each: of a value to itself, of a buffer to the pointer.
    let of = |(index, arg): (usize, &Arg<'_>)| match arg {
        Arg::Value(_) => pointers[index],
        _ => std::ptr::from_ref(&pointers[index]).cast_mut().cast(),
    };
    let mut arguments: Vec<*mut c_void> = args.iter().enumerate().map(of).collect();
    let name = format!("{}_on_cpu", launch.entry);
    // SAFETY: on_cpu.h defines the entry with this signature; the arguments live until it returns, and the margins catch a kernel
    // that writes a little beyond them. Only one thread is here: the lock is held.
    let wrong = unsafe {
        let entry = library.get::<Entry>(name.as_bytes()).unwrap();
        entry(launch.grid.as_ptr(), launch.block.as_ptr(), launch.shared_bytes, arguments.as_mut_ptr(), c_int::from(is_backwards))
    };
    assert_eq!(wrong, 0, "{}: 1 a size that no GPU takes, 2 a barrier that some threads do not reach", launch.entry);
    buffers.assert_margins(launch);
}

/// What this way of running kernels finds.
mod tests {
    use super::*;
    use crate::frame::cuda::testing::output;

    fn run(name: &'static str, source: &'static str) -> [u32; 4] {
        let kernel = Kernel { name, source, entries: &["wrong"] };
        let launch = Launch { kernel, entry: "wrong", grid: [1; 3], block: [4, 1, 1], shared_bytes: 0 };
        let mut numbers = [0u32; 4];
        OnCpu::new().unwrap().run(&launch, &mut [output(&mut numbers)], true);
        numbers
    }

    #[test]
    #[should_panic(expected = "a barrier that some threads do not reach")]
    fn a_barrier_that_some_threads_miss() {
        run("missed", "extern \"C\" __global__ void wrong(unsigned *to) { if (threadIdx.x < 2) __syncthreads(); to[0] = 1; }");
    }

    #[test]
    #[should_panic(expected = "it writes beyond argument 0")]
    fn a_write_behind_the_end() {
        run("beyond", "extern \"C\" __global__ void wrong(unsigned *to) { to[threadIdx.x + 1] = 1; }");
    }

    const NEIGHBOUR: &str = "extern \"C\" __global__ void wrong(unsigned *to) {
        __shared__ unsigned room[4];
        room[threadIdx.x] = threadIdx.x + 1;
        BARRIER
        to[threadIdx.x] = room[(threadIdx.x + 1) % 4];
    }";

    #[test]
    #[should_panic(expected = "argument 0 depends on the threads' order")]
    fn a_barrier_that_is_missing() {
        run("missing", neighbour(";"));
    }

    #[test]
    fn with_its_barrier_the_same_kernel_is_right() {
        assert_eq!(run("right", neighbour("__syncthreads();")), [2, 3, 4, 1]);
    }

    fn neighbour(barrier: &str) -> &'static str {
        NEIGHBOUR.replace("BARRIER", barrier).leak()
    }
}
