//! The CUDA driver: is it there, which devices does it know. No context is made, nothing is left on a device.
//! (cudarc's loader panics where the driver's library or one of its functions is missing: nothing of it is called before both the
//! library and its version are known.)

use super::error::CudaError;
use super::nvrtc::Architecture;
use cudarc::driver::sys::CUdevice_attribute::{
    CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR as MAJOR, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR as MINOR,
};
use cudarc::driver::{DriverError, result, sys};
use serde::{Deserialize, Serialize};

/// CUDA 13.0, as the driver counts: it must know the PTX that the pinned compiler makes, and the functions that are bound.
const NEEDED: i32 = 13_000;

/// One device, as its driver describes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceInfo {
    /// The driver's number of it.
    pub ordinal: usize,
    pub name: String,
    /// Compute capability: major, minor.
    pub capability: [u32; 2],
    /// As `nvidia-smi` writes it.
    pub uuid: String,
    pub memory_bytes: u64,
    /// The CUDA that its driver knows, such as `13.0`.
    pub driver: String,
}

impl std::fmt::Display for DeviceInfo {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let DeviceInfo { name, uuid, driver, capability: [major, minor], .. } = self;
        let memory_gib = self.memory_bytes as f64 / (1u64 << 30) as f64;
        write!(f, "{name} ({uuid}, {memory_gib:.1} GiB, compute capability {major}.{minor}), its driver knows CUDA {driver}")
    }
}

impl DeviceInfo {
    /// What kernels are compiled to for it.
    pub fn architecture(&self) -> Result<Architecture, CudaError> {
        let [major, minor] = self.capability;
        let [least_major, least_minor] = Architecture::LEAST;
        Architecture::of_device(major, minor).ok_or_else(|| CudaError::OldDevice {
            name: self.name.clone(),
            found: format!("{major}.{minor}"),
            needed: format!("{least_major}.{least_minor}"),
        })
    }
}

/// All devices that the driver knows, in its order; at least one.
pub fn devices() -> Result<Vec<DeviceInfo>, CudaError> {
    // SAFETY: opens the driver's library and closes it again; its start-up code needs nothing of us.
    if !unsafe { sys::is_culib_present() } {
        return Err(CudaError::NoDriver);
    }
    let mut version = 0;
    // SAFETY: the function is in every driver since CUDA 2, may be called before all others, and writes one number.
    unsafe { sys::cuDriverGetVersion(&mut version) }.result().map_err(none)?;
    if version < NEEDED {
        return Err(CudaError::OldDriver { found: version_text(version), needed: version_text(NEEDED) });
    }
    result::init().map_err(none)?;
    let count = result::device::get_count().map_err(none)?.max(0) as usize;
    if count == 0 {
        return Err(listed_none());
    }
    (0..count).map(|ordinal| describe(ordinal, version).map_err(none)).collect()
}

/// The first device that this binary's kernels run on.
pub fn usable_device() -> Result<DeviceInfo, CudaError> {
    first_usable(devices()?)
}

/// The device that Vulkan knows by `uuid` (`frame::vulkan::device_uuid`): what is drawn there needs no copy.
pub fn device_of(uuid: &[u8; 16]) -> Result<DeviceInfo, CudaError> {
    let wanted = uuid_text(uuid);
    let found = devices()?.into_iter().find(|device| device.uuid == wanted);
    let found = found.ok_or_else(|| CudaError::NoDevice { reason: format!("none is {wanted}, which draws the picture") })?;
    found.architecture().map(|_| found)
}

/// An error: why the first one cannot be used.
fn first_usable(devices: Vec<DeviceInfo>) -> Result<DeviceInfo, CudaError> {
    let mut reason = None;
    for device in devices {
        match device.architecture() {
            Ok(_) => return Ok(device),
            Err(error) => reason = reason.or(Some(error)),
        }
    }
    Err(reason.unwrap_or_else(listed_none))
}

fn listed_none() -> CudaError {
    CudaError::NoDevice { reason: "it lists none".to_owned() }
}

fn describe(ordinal: usize, version: i32) -> Result<DeviceInfo, DriverError> {
    let device = result::device::get(ordinal as i32)?;
    let uuid = result::device::get_uuid(device)?.bytes.map(|byte| byte as u8);
    // SAFETY: `device` is one that the driver has just named.
    let (capability, memory_bytes) = unsafe {
        let attribute = |which| result::device::get_attribute(device, which).map(|value| value.max(0) as u32);
        ([attribute(MAJOR)?, attribute(MINOR)?], result::device::total_mem(device)? as u64)
    };
    let name = result::device::get_name(device)?;
    Ok(DeviceInfo { ordinal, name, capability, uuid: uuid_text(&uuid), memory_bytes, driver: version_text(version) })
}

fn version_text(version: i32) -> String {
    format!("{}.{}", version / 1_000, version % 1_000 / 10)
}

/// As `DeviceInfo::uuid` has it.
pub fn uuid_text(bytes: &[u8; 16]) -> String {
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("GPU-{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

fn none(error: DriverError) -> CudaError {
    CudaError::NoDevice { reason: words(error) }
}

/// The driver's name of an error, and what it says of it.
pub(super) fn words(error: DriverError) -> String {
    let name = error.error_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_else(|_| format!("error {}", error.0 as u32));
    match error.error_string() {
        Ok(text) => format!("{name}: {}", text.to_string_lossy()),
        Err(_) => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device(ordinal: usize, capability: [u32; 2]) -> DeviceInfo {
        let (name, uuid, driver) = (format!("card {ordinal}"), "GPU-0".to_owned(), "13.0".to_owned());
        DeviceInfo { ordinal, name, capability, uuid, memory_bytes: 1 << 30, driver }
    }

    #[test]
    fn the_first_device_that_is_new_enough_is_taken() {
        let found = first_usable(vec![device(0, [7, 5]), device(1, [9, 0]), device(2, [12, 0])]).unwrap();
        assert_eq!(found.ordinal, 1);
        let text = first_usable(vec![device(0, [7, 5]), device(1, [6, 1])]).unwrap_err().to_string();
        for part in ["'card 0'", "7.5", "8.0 is needed", "--backend cpu"] {
            assert!(text.contains(part), "{part} is not in: {text}");
        }
        assert!(matches!(first_usable(Vec::new()), Err(CudaError::NoDevice { .. })));
    }

    #[test]
    fn what_is_shown_is_written_as_nvidia_smi_writes_it() {
        let bytes = std::array::from_fn(|i| 0x10 * (i as u8) + 1);
        assert_eq!(uuid_text(&bytes), "GPU-01112131-4151-6171-8191-a1b1c1d1e1f1");
        assert_eq!([13_000, 12_080, 13_010].map(version_text), ["13.0", "12.8", "13.1"]);
    }
}
