//! NVIDIA's run-time compiler, found and opened at run time: a kernel's source in, PTX out, with or without a GPU. It is given no
//! headers. (cudarc has bindings too, but opens whatever lies first on the machine's library path; PTX of a newer NVRTC than the
//! driver knows is refused by it, so the version is pinned here.)

use super::error::CudaError;
use super::kernel::Kernel;
use crate::base::library::{Sought, words};
use libloading::os::unix::{Library, RTLD_GLOBAL, RTLD_NOW};
use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::path::{Path, PathBuf};

/// CUDA 13.0: what driver 580 knows.
const WANTED: &str = "13.0";
const LIBRARY: Sought =
    Sought { names: &["libnvrtc.so.13"], set_up: "cuda", variable: "KEYHOLE_NVRTC", system: &["/usr/local/cuda-13.0/lib64"] };
/// Opened by the compiler itself, by this name.
const BUILTINS_NAME: &str = "libnvrtc-builtins.so.13.0";

/// How every kernel is compiled. Operations are not fused: kernels compute what their references do.
pub const OPTIONS: [&str; 2] = ["--std=c++17", "--fmad=false"];

/// What PTX is made for. It runs on devices of its own and of every later compute capability.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Architecture {
    Compute80,
    Compute90,
    Compute120,
}

impl Architecture {
    pub const ALL: [Architecture; 3] = [Architecture::Compute80, Architecture::Compute90, Architecture::Compute120];
    /// The oldest compute capability that any of them runs on: major, minor.
    pub const LEAST: [u32; 2] = [8, 0];

    /// The newest that a device of this compute capability runs; None: the device is too old.
    pub fn of_device(major: u32, minor: u32) -> Option<Self> {
        Self::ALL.into_iter().rev().find(|architecture| architecture.capability() <= 10 * major + minor)
    }

    fn capability(self) -> u32 {
        match self {
            Architecture::Compute80 => 80,
            Architecture::Compute90 => 90,
            Architecture::Compute120 => 120,
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Architecture::Compute80 => "compute_80",
            Architecture::Compute90 => "compute_90",
            Architecture::Compute120 => "compute_120",
        }
    }

    /// As PTX names it.
    pub fn target(self) -> &'static str {
        match self {
            Architecture::Compute80 => "sm_80",
            Architecture::Compute90 => "sm_90",
            Architecture::Compute120 => "sm_120",
        }
    }
}

/// The opened compiler.
#[derive(Debug)]
pub struct Nvrtc {
    library: Library,
    _builtins: Option<Library>,
    version: String,
}

/// nvrtcProgram.
type Program = *mut c_void;
type OfProgram<T> = unsafe extern "C" fn(Program, T) -> c_int;

impl Nvrtc {
    /// Where the set-up puts it, or a CUDA 13.0 of the machine's.
    pub fn open() -> Result<Self, CudaError> {
        Self::open_at(&LIBRARY.find().map_err(missing)?)
    }

    fn open_at(path: &Path) -> Result<Self, CudaError> {
        let bad = |reason: String| CudaError::BadCompiler { library: path.to_owned(), reason, wanted: WANTED };
        // SAFETY: both are NVIDIA's libraries, whose start-up code needs nothing of us; they stay open as long as this lives.
        let (builtins, library) = unsafe {
            let builtins = Library::open(Some(path.with_file_name(BUILTINS_NAME)), RTLD_NOW | RTLD_GLOBAL).ok();
            (builtins, Library::open(Some(path), RTLD_NOW).map_err(|e| bad(words(&e)))?)
        };
        let (mut major, mut minor) = (0, 0);
        // SAFETY: nvrtcVersion(int *, int *), in every version.
        let code = unsafe {
            let version = library.get::<unsafe extern "C" fn(*mut c_int, *mut c_int) -> c_int>(b"nvrtcVersion");
            version.map_err(|e| bad(words(&e)))?(&mut major, &mut minor)
        };
        let version = format!("{major}.{minor}");
        if code != 0 || version != WANTED {
            return Err(bad(format!("it is version {version}, this binary needs {WANTED}")));
        }
        Ok(Nvrtc { library, _builtins: builtins, version })
    }

    /// Such as `13.0`.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// PTX with all of the kernel's entries.
    pub fn compile(&self, kernel: &Kernel, architecture: Architecture) -> Result<String, CudaError> {
        self.ptx(kernel, architecture).map_err(|log| CudaError::Compile {
            kernel: kernel.name,
            architecture: architecture.name().to_owned(),
            version: self.version.clone(),
            log,
            wanted: WANTED,
        })
    }

    /// Err: the compiler's log, or which of its functions failed.
    fn ptx(&self, kernel: &Kernel, architecture: Architecture) -> Result<String, String> {
        let no_text = |e: std::ffi::NulError| e.to_string();
        let (source, name) = (CString::new(kernel.source).map_err(no_text)?, CString::new(format!("{}.cu", kernel.name)).map_err(no_text)?);
        let target = CString::new(format!("--gpu-architecture={}", architecture.name())).map_err(no_text)?;
        let given = OPTIONS.iter().map(|option| CString::new(*option).map_err(no_text)).collect::<Result<Vec<_>, _>>()?;
        let options: Vec<*const c_char> = given.iter().chain([&target]).map(|option| option.as_ptr()).collect();
        let mut program: Program = std::ptr::null_mut();
        // SAFETY: the signatures are those of nvrtc.h 13.0, the version that was asked for when it was opened; all pointers live
        // until the calls return, and the program is destroyed before its source goes.
        unsafe {
            type Create = unsafe extern "C" fn(*mut Program, *const c_char, *const c_char, c_int, *const c_void, *const c_void) -> c_int;
            let create = self.function::<Create>("nvrtcCreateProgram")?;
            check("nvrtcCreateProgram", create(&mut program, source.as_ptr(), name.as_ptr(), 0, std::ptr::null(), std::ptr::null()))?;
            let compile = self.function::<unsafe extern "C" fn(Program, c_int, *const *const c_char) -> c_int>("nvrtcCompileProgram")?;
            let made = match compile(program, options.len() as c_int, options.as_ptr()) {
                0 => self.text(program, "nvrtcGetPTXSize", "nvrtcGetPTX"),
                code => Err(self.text(program, "nvrtcGetProgramLogSize", "nvrtcGetProgramLog").unwrap_or_else(|_| format!("error {code}"))),
            };
            let destroy = self.function::<unsafe extern "C" fn(*mut Program) -> c_int>("nvrtcDestroyProgram")?;
            destroy(&mut program);
            made
        }
    }

    /// # Safety
    /// `T` is the function's type.
    unsafe fn function<T: Copy>(&self, name: &str) -> Result<T, String> {
        // SAFETY: as the caller says.
        unsafe { self.library.get::<T>(name.as_bytes()) }.map(|function| *function).map_err(|e| words(&e))
    }

    /// A text that the compiler keeps with a program.
    ///
    /// # Safety
    /// `program` was made by this library and not destroyed; the names are those of a size's and a text's function.
    unsafe fn text(&self, program: Program, size_name: &str, text_name: &str) -> Result<String, String> {
        let mut bytes = 0usize;
        // SAFETY: the second function writes as many bytes as the first one says, its closing zero among them.
        let text = unsafe {
            check(size_name, self.function::<OfProgram<*mut usize>>(size_name)?(program, &mut bytes))?;
            let mut text = vec![0u8; bytes.max(1)];
            check(text_name, self.function::<OfProgram<*mut c_char>>(text_name)?(program, text.as_mut_ptr().cast()))?;
            text
        };
        let text = CStr::from_bytes_until_nul(&text).map_err(|e| e.to_string())?;
        Ok(text.to_string_lossy().trim().to_owned())
    }
}

fn missing(searched: Vec<PathBuf>) -> CudaError {
    CudaError::NoCompiler { library: LIBRARY.names[0], searched }
}

fn check(function: &str, code: c_int) -> Result<(), String> {
    if code == 0 { Ok(()) } else { Err(format!("{function} failed with error {code}")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::library::Places;

    #[test]
    fn a_device_gets_the_newest_architecture_that_it_runs() {
        let of = Architecture::of_device;
        assert_eq!([of(7, 5), of(8, 0), of(8, 9)], [None, Some(Architecture::Compute80), Some(Architecture::Compute80)]);
        assert_eq!(
            [of(9, 0), of(10, 0), of(12, 0)],
            [Some(Architecture::Compute90), Some(Architecture::Compute90), Some(Architecture::Compute120)]
        );
    }

    #[test]
    fn without_the_library_every_place_and_the_remedy_are_named() {
        let tree = tempfile::tempdir().unwrap();
        let executable = Some(tree.path().join("target/release/keyhole"));
        let places = Places { given: None, home: Some(tree.path().join("home")), executable };
        let Err(searched) = LIBRARY.find_in(&places) else {
            return println!("SKIPPED without_the_library_every_place_and_the_remedy_are_named: NVRTC is installed on this machine");
        };
        let text = missing(searched).to_string();
        for part in
            [LIBRARY.names[0], "home/lib", ".setup/cuda", "/usr/lib/keyhole", "/usr/local/cuda-13.0", "hw/install.sh cuda", "KEYHOLE_NVRTC"]
        {
            assert!(text.contains(part), "{part} is not in: {text}");
        }
    }

    #[test]
    fn a_file_that_is_no_compiler_is_an_error_that_names_it() {
        let tree = tempfile::tempdir().unwrap();
        let path = tree.path().join(LIBRARY.names[0]);
        std::fs::write(&path, b"not a library").unwrap();
        let text = Nvrtc::open_at(&path).unwrap_err().to_string();
        assert!(text.contains(LIBRARY.names[0]) && text.contains(WANTED) && text.contains("hw/install.sh cuda"), "{text}");
        // A library, but another one: this process's own libc.
        let other = std::fs::read_to_string("/proc/self/maps").unwrap();
        let libc = other.lines().filter_map(|line| line.split_whitespace().last()).find(|path| path.contains("/libc.so")).unwrap();
        let text = Nvrtc::open_at(Path::new(libc)).unwrap_err().to_string();
        assert!(text.contains("libc.so") && text.contains("nvrtcVersion"), "{text}");
    }
}
