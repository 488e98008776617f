//! The border to C++: opens the libraries, asks their versions, and calls shim.cpp, which calls them.

use super::Kind;
use crate::base::library::words;
use libloading::os::unix::{Library, RTLD_LOCAL, RTLD_NOW};
use std::ffi::{CStr, c_char, c_int, c_void};
use std::fmt;
use std::path::{Path, PathBuf};
use std::slice;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Version {
    pub major: i32,
    pub minor: i32,
    pub patch: i32,
    pub build: Option<i32>,
}

impl Version {
    /// As NVIDIA's libraries and headers give it.
    fn of_number(number: i32) -> Self {
        Version { major: number / 10_000, minor: number / 100 % 100, patch: number % 100, build: None }
    }

    /// Within one, all calls mean the same.
    fn fits(&self, other: &Version) -> bool {
        (self.major, self.minor) == (other.major, other.minor)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)?;
        self.build.map_or(Ok(()), |build| write!(f, ".{build}"))
    }
}

/// Of a builder or a runtime: logger, version.
pub type Create = unsafe extern "C" fn(*mut c_void, i32) -> *mut c_void;
type CreateParser = unsafe extern "C" fn(*mut c_void, *mut c_void, c_int) -> *mut c_void;
type Build = unsafe extern "C" fn(*const RawBuild) -> i32;

/// As `KeyholeTensor` of shim.cpp.
#[repr(C)]
pub struct RawTensor {
    pub name: *const c_char,
    pub number_type: *const c_char,
    pub is_input: i32,
    pub side_count: i32,
    pub sides: [i64; 8],
}

impl RawTensor {
    /// # Safety
    /// It was made by the shim, and its texts are still there.
    pub unsafe fn read(&self) -> Tensor {
        // SAFETY: as the caller says.
        let (name, number_type) = unsafe { (text(self.name).into_owned(), text(self.number_type).into_owned()) };
        Tensor { name, number_type, is_input: self.is_input != 0, sides: self.sides[..self.side_count.clamp(0, 8) as usize].to_vec() }
    }
}

/// As `KeyholeBuild` of shim.cpp.
#[repr(C)]
struct RawBuild {
    create_builder: Create,
    create_parser: CreateParser,
    model: *const u8,
    model_bytes: usize,
    model_path: *const c_char,
    capabilities: *const i32,
    capability_count: usize,
    is_tf32_allowed: i32,
    timings: *const u8,
    timings_bytes: usize,
    context: *const c_void,
    logged: unsafe extern "C" fn(*const c_void, i32, *const c_char),
    refused: unsafe extern "C" fn(*const c_void, i32, *const c_char, *const c_char, *const c_char),
    opened: unsafe extern "C" fn(*const c_void, *const c_char, *mut i64, usize),
    parsed: unsafe extern "C" fn(*const c_void, *const RawTensor, usize) -> i32,
    began: unsafe extern "C" fn(*const c_void, *const c_char, *const c_char, i32),
    stepped: unsafe extern "C" fn(*const c_void, *const c_char, i32) -> i32,
    ended: unsafe extern "C" fn(*const c_void, *const c_char),
    built: unsafe extern "C" fn(*const c_void, *const u8, usize),
    timed: unsafe extern "C" fn(*const c_void, *const u8, usize),
}

unsafe extern "C" {
    safe fn keyhole_rtx_version() -> i32;
    safe fn keyhole_rtx_parser_version() -> i32;
    fn keyhole_rtx_build(build: *const RawBuild) -> i32;
    safe fn keyhole_standard_version() -> i32;
    safe fn keyhole_standard_parser_version() -> i32;
    fn keyhole_standard_build(build: *const RawBuild) -> i32;
}

/// Version of the headers that this binary was built with, if it was.
pub fn headers(kind: Kind) -> Option<Version> {
    let number = match kind {
        Kind::Rtx => keyhole_rtx_version(),
        Kind::Standard => keyhole_standard_version(),
    };
    (number > 0).then(|| Version::of_number(number))
}

/// A library's version and entry points.
#[derive(Debug, Clone, Copy)]
pub struct Opened {
    pub version: Version,
    create_builder: Create,
    create_parser: CreateParser,
    pub create_runtime: Create,
    build: Build,
}

/// Opens the library and its ONNX parser, asks both for their versions, and calls nothing else. Err: which file, and why.
pub fn open(kind: Kind, headers: Version, library: &Path, parser: &Path) -> Result<Opened, (PathBuf, String)> {
    let (parser_headers, build): (i32, Build) = match kind {
        Kind::Rtx => (keyhole_rtx_parser_version(), keyhole_rtx_build),
        Kind::Standard => (keyhole_standard_parser_version(), keyhole_standard_build),
    };
    let core = opened(library).map_err(|reason| (library.to_owned(), reason))?;
    // SAFETY: int32_t getInferLibVersion() and getInferLibBuildVersion(), in every version.
    let version = unsafe { number(core, "getInferLibVersion").and_then(|v| Ok((v, number(core, "getInferLibBuildVersion")?))) };
    let version = version.map(|(number, build)| Version { build: Some(build), ..Version::of_number(number) });
    let version = version.and_then(|version| fitting(version, &headers)).map_err(|reason| (library.to_owned(), reason))?;
    let of_parser = opened(parser).map_err(|reason| (parser.to_owned(), reason))?;
    // SAFETY: int getNvOnnxParserVersion(), in every version.
    let parser_version = unsafe { number(of_parser, "getNvOnnxParserVersion") }.map(Version::of_number);
    parser_version
        .and_then(|version| fitting(version, &Version::of_number(parser_headers)))
        .map_err(|reason| (parser.to_owned(), reason))?;
    // SAFETY: the headers of this version declare them so.
    let (create_builder, create_runtime, create_parser) = unsafe {
        let of_core = |name| symbol::<Create>(core, name).map_err(|reason| (library.to_owned(), reason));
        let of_parser = symbol::<CreateParser>(of_parser, "createNvOnnxParser_INTERNAL").map_err(|reason| (parser.to_owned(), reason))?;
        (of_core("createInferBuilder_INTERNAL")?, of_core("createInferRuntime_INTERNAL")?, of_parser)
    };
    Ok(Opened { version, create_builder, create_parser, create_runtime, build })
}

fn fitting(version: Version, headers: &Version) -> Result<Version, String> {
    match version.fits(headers) {
        true => Ok(version),
        false => Err(format!("it is version {version}, this binary needs {}.{}", headers.major, headers.minor)),
    }
}

/// It stays open: its threads and its own objects may outlive every call.
fn opened(path: &Path) -> Result<&'static Library, String> {
    // SAFETY: NVIDIA's library, whose start-up code needs nothing of us.
    let library = unsafe { Library::open(Some(path), RTLD_NOW | RTLD_LOCAL) }.map_err(|e| words(&e))?;
    Ok(Box::leak(Box::new(library)))
}

/// # Safety
/// `T` is the function's type.
unsafe fn symbol<T: Copy>(library: &Library, name: &str) -> Result<T, String> {
    // SAFETY: as the caller says.
    unsafe { library.get::<T>(name.as_bytes()) }.map(|symbol| *symbol).map_err(|e| words(&e))
}

/// # Safety
/// The function takes nothing and returns an int.
unsafe fn number(library: &Library, name: &str) -> Result<i32, String> {
    // SAFETY: as the caller says.
    unsafe { symbol::<unsafe extern "C" fn() -> i32>(library, name).map(|function| function()) }
}

/// An input or output of a network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tensor {
    pub name: String,
    /// Such as `float32`.
    pub number_type: String,
    pub is_input: bool,
    /// -1: open.
    pub sides: Vec<i64>,
}

/// What is told of a build while it is under way, perhaps from several threads.
pub trait Listener: Sync {
    fn logged(&self, is_error: bool, text: &str);
    /// The parser does not take the model: node's number, name and operator, and why.
    fn refused(&self, node: i32, name: &str, operator: &str, reason: &str);
    /// Gives the open sides (-1) of an input their sizes.
    fn opened(&self, input: &str, sides: &mut [i64]);
    /// False: stop here.
    fn parsed(&self, tensors: Vec<Tensor>) -> bool;
    fn began(&self, phase: &str, parent: Option<&str>, steps: i32);
    /// False: stop here.
    fn stepped(&self, phase: &str, step: i32) -> bool;
    fn ended(&self, phase: &str);
    fn built(&self, plan: &[u8]);
    fn timed(&self, timings: &[u8]);
}

/// What goes into a build.
pub struct Job<'a> {
    pub model: &'a [u8],
    /// Beside it lie the files that the model names.
    pub model_path: Option<&'a CStr>,
    pub capabilities: &'a [i32],
    pub tf32: bool,
    pub timings: &'a [u8],
    pub listener: &'a dyn Listener,
}

/// As the numbers of shim.cpp.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    Built,
    NoBuilder,
    Refused,
    Unwanted,
    NotBuilt,
}

impl Opened {
    /// For a rehearsal, where nothing of it is called.
    #[cfg(test)]
    pub fn nothing() -> Self {
        unsafe extern "C" fn create(_: *mut c_void, _: i32) -> *mut c_void {
            std::ptr::null_mut()
        }
        unsafe extern "C" fn create_parser(_: *mut c_void, _: *mut c_void, _: c_int) -> *mut c_void {
            std::ptr::null_mut()
        }
        let version = Version { build: Some(0), ..Version::of_number(0) };
        Opened { version, create_builder: create, create_parser, create_runtime: create, build: keyhole_rtx_build }
    }

    pub fn build(&self, job: &Job<'_>) -> Outcome {
        let raw = RawBuild {
            create_builder: self.create_builder,
            create_parser: self.create_parser,
            model: job.model.as_ptr(),
            model_bytes: job.model.len(),
            model_path: job.model_path.map_or(std::ptr::null(), CStr::as_ptr),
            capabilities: job.capabilities.as_ptr(),
            capability_count: job.capabilities.len(),
            is_tf32_allowed: i32::from(job.tf32),
            timings: job.timings.as_ptr(),
            timings_bytes: job.timings.len(),
            context: (&raw const job.listener).cast(),
            logged,
            refused,
            opened: sides_opened,
            parsed,
            began,
            stepped,
            ended,
            built,
            timed,
        };
        // SAFETY: the entry points are of the version that the shim was compiled for; all that `raw` points to lives until the call
        // returns, and nothing is called after that: builder, parser and monitor are destroyed before.
        match unsafe { (self.build)(&raw) } {
            0 => Outcome::Built,
            1 => Outcome::NoBuilder,
            2 => Outcome::Refused,
            3 => Outcome::Unwanted,
            _ => Outcome::NotBuilt,
        }
    }
}

/// # Safety
/// `context` is that of a `RawBuild` whose build is under way.
unsafe fn listener<'a>(context: *const c_void) -> &'a dyn Listener {
    // SAFETY: it was made from a `&dyn Listener` that lives until the build returns.
    unsafe { *context.cast::<&dyn Listener>() }
}

/// # Safety
/// `text` is null or a C string that lives as long as what is returned.
pub unsafe fn text<'a>(text: *const c_char) -> std::borrow::Cow<'a, str> {
    if text.is_null() {
        return "".into();
    }
    // SAFETY: as the caller says.
    unsafe { CStr::from_ptr(text) }.to_string_lossy()
}

/// # Safety
/// `first` is null or the first of `count` values that live as long as what is returned.
unsafe fn values<'a, T>(first: *const T, count: usize) -> &'a [T] {
    if first.is_null() {
        return &[];
    }
    // SAFETY: as the caller says.
    unsafe { slice::from_raw_parts(first, count) }
}

// Called by shim.cpp alone, with its `RawBuild`'s context and with texts and values that live until they return.

unsafe extern "C" fn logged(context: *const c_void, severity: i32, message: *const c_char) {
    // SAFETY: called by shim.cpp. 0 and 1 are errors, 2 is a warning.
    unsafe { listener(context).logged(severity < 2, &text(message)) }
}

unsafe extern "C" fn refused(context: *const c_void, node: i32, name: *const c_char, operator: *const c_char, reason: *const c_char) {
    // SAFETY: called by shim.cpp.
    unsafe { listener(context).refused(node, &text(name), &text(operator), &text(reason)) }
}

unsafe extern "C" fn sides_opened(context: *const c_void, name: *const c_char, sides: *mut i64, count: usize) {
    // SAFETY: called by shim.cpp with `count` sides, one at least, that nobody else uses meanwhile.
    unsafe { listener(context).opened(&text(name), slice::from_raw_parts_mut(sides, count)) }
}

unsafe extern "C" fn parsed(context: *const c_void, tensors: *const RawTensor, count: usize) -> i32 {
    // SAFETY: called by shim.cpp.
    unsafe {
        let tensors = values(tensors, count).iter().map(|tensor| tensor.read());
        i32::from(listener(context).parsed(tensors.collect()))
    }
}

unsafe extern "C" fn began(context: *const c_void, phase: *const c_char, parent: *const c_char, steps: i32) {
    // SAFETY: called by shim.cpp.
    unsafe {
        let of = text(parent);
        listener(context).began(&text(phase), (!of.is_empty()).then_some(&of), steps);
    }
}

unsafe extern "C" fn stepped(context: *const c_void, phase: *const c_char, step: i32) -> i32 {
    // SAFETY: called by shim.cpp.
    unsafe { i32::from(listener(context).stepped(&text(phase), step)) }
}

unsafe extern "C" fn ended(context: *const c_void, phase: *const c_char) {
    // SAFETY: called by shim.cpp.
    unsafe { listener(context).ended(&text(phase)) }
}

unsafe extern "C" fn built(context: *const c_void, plan: *const u8, bytes: usize) {
    // SAFETY: called by shim.cpp.
    unsafe { listener(context).built(values(plan, bytes)) }
}

unsafe extern "C" fn timed(context: *const c_void, timings: *const u8, bytes: usize) {
    // SAFETY: called by shim.cpp.
    unsafe { listener(context).timed(values(timings, bytes)) }
}
