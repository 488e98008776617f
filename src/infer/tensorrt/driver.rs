//! The CUDA driver, asked before any NVIDIA library that would crash without one.

use crate::base::library::words;
use libloading::os::unix::{Library, RTLD_LOCAL, RTLD_NOW};
use std::ffi::{CStr, c_char, c_int};
use std::fmt;

/// The machine's first GPU.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    pub name: String,
    /// 10·major + minor.
    pub capability: i32,
    /// The newest CUDA that its driver knows: 1000·major + 10·minor.
    pub driver: i32,
}

/// Such as `NVIDIA H100 (compute capability 9.0, driver for CUDA 13.0)`.
impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (capability, driver) = (self.capability, self.driver);
        let (major, minor, cuda, of_cuda) = (capability / 10, capability % 10, driver / 1000, driver % 1000 / 10);
        write!(f, "{} (compute capability {major}.{minor}, driver for CUDA {cuda}.{of_cuda})", self.name)
    }
}

/// CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR and _MINOR.
const CAPABILITY: [c_int; 2] = [75, 76];

impl Device {
    /// Err: why there is none.
    pub fn probe() -> Result<Self, String> {
        // SAFETY: NVIDIA's library, whose start-up code needs nothing of us; it stays open.
        let driver = unsafe { Library::open(Some("libcuda.so.1"), RTLD_NOW | RTLD_LOCAL) };
        let driver = driver.map_err(|e| format!("no NVIDIA driver ({})", words(&e)))?;
        let found = Self::of(&driver);
        std::mem::forget(driver);
        found
    }

    fn of(driver: &Library) -> Result<Self, String> {
        let (mut device, mut version, mut name, mut capability) = (0, 0, [0u8; 128], [0, 0]);
        // SAFETY: the signatures are those of cuda.h, the same in all versions; all pointers live until the calls return, and the
        // name's length is that of its buffer.
        unsafe {
            called(driver, "cuInit", |f: unsafe extern "C" fn(u32) -> c_int| f(0))?;
            called(driver, "cuDriverGetVersion", |f: unsafe extern "C" fn(*mut c_int) -> c_int| f(&mut version))?;
            called(driver, "cuDeviceGet", |f: unsafe extern "C" fn(*mut c_int, c_int) -> c_int| f(&mut device, 0))?;
            called(driver, "cuDeviceGetName", |f: unsafe extern "C" fn(*mut c_char, c_int, c_int) -> c_int| {
                f(name.as_mut_ptr().cast(), name.len() as c_int, device)
            })?;
            for (value, attribute) in capability.iter_mut().zip(CAPABILITY) {
                called(driver, "cuDeviceGetAttribute", |f: unsafe extern "C" fn(*mut c_int, c_int, c_int) -> c_int| {
                    f(value, attribute, device)
                })?;
            }
        }
        let name = CStr::from_bytes_until_nul(&name).map_or_else(|_| "a GPU".into(), |name| name.to_string_lossy().into_owned());
        Ok(Device { name, capability: 10 * capability[0] + capability[1], driver: version })
    }
}

/// # Safety
/// `F` is the function's type.
unsafe fn called<F: Copy>(driver: &Library, name: &str, call: impl FnOnce(F) -> c_int) -> Result<(), String> {
    // SAFETY: as the caller says.
    let function = unsafe { driver.get::<F>(name.as_bytes()) }.map_err(|e| format!("the NVIDIA driver has no {name} ({})", words(&e)))?;
    match call(*function) {
        0 => Ok(()),
        code => Err(format!("no NVIDIA GPU ({name} failed with error {code})")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_has_a_gpu_with_a_name_or_says_why_not() {
        match Device::probe() {
            Ok(device) => assert!(device.capability >= 50 && device.driver >= 12_000 && !device.name.is_empty(), "{device:?}"),
            Err(reason) => {
                assert!(reason.contains("NVIDIA"), "{reason}");
                println!("SKIPPED a_machine_has_a_gpu_with_a_name_or_says_why_not on a GPU: {reason}");
            }
        }
    }

    #[test]
    fn a_device_is_told_with_its_versions() {
        let device = Device { name: "NVIDIA H100".into(), capability: 90, driver: 13_000 };
        assert_eq!(device.to_string(), "NVIDIA H100 (compute capability 9.0, driver for CUDA 13.0)");
    }
}
