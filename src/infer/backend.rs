//! Which backend runs the model: what was asked for, what this machine has, and why it came out so.

use super::cuda::{self, provider};
use super::error::InferError;
use super::tensorrt;
use crate::frame::cuda::DeviceInfo;
use crate::store::Engines;
use serde::{Deserialize, Serialize};

/// What runs a model.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Backend {
    #[default]
    Cpu,
    Cuda,
    TensorRt,
}

impl Backend {
    pub fn name(self) -> &'static str {
        match self {
            Backend::Cpu => "cpu",
            Backend::Cuda => "cuda",
            Backend::TensorRt => "tensorrt",
        }
    }

    /// How the names of its engines end, the first choice first.
    pub fn endings(self) -> &'static [&'static str] {
        match self {
            Backend::Cpu => &["cpu"],
            Backend::Cuda => &["cuda", "gpu"],
            Backend::TensorRt => &["tensorrt", "gpu"],
        }
    }
}

/// What is asked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Wanted {
    /// A device that is there and has an engine, else the processor. (Never TensorRT: it was not measured on a card yet.)
    #[default]
    Auto,
    Cpu,
    Cuda,
    TensorRt,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chosen {
    pub backend: Backend,
    /// For the log.
    pub why: String,
}

/// The device that a backend would use, and what it needs there; Err: why there is none. Asks the driver.
pub fn device_for(backend: Backend) -> Result<DeviceInfo, String> {
    let found = if backend == Backend::TensorRt { tensorrt::usable_device() } else { cuda::usable_device() };
    found.map_err(|error| error.to_string())
}

/// Decides. `device` is `device_for`, here or in another process; it is asked only where that matters.
pub fn choose(wanted: Wanted, engines: &Engines, device: impl FnOnce(Backend) -> Result<DeviceInfo, String>) -> Result<Chosen, InferError> {
    choose_with(wanted, engines, device, || provider().map(drop))
}

fn choose_with(
    wanted: Wanted,
    engines: &Engines,
    device: impl FnOnce(Backend) -> Result<DeviceInfo, String>,
    provider: impl FnOnce() -> Result<(), InferError>,
) -> Result<Chosen, InferError> {
    let backend = if wanted == Wanted::TensorRt { Backend::TensorRt } else { Backend::Cuda };
    let has_engine = || match engines.names_for(backend.endings()).is_empty() {
        true => {
            let endings = backend.endings().iter().map(|ending| format!("-{ending}")).collect::<Vec<_>>().join(" or ");
            Err(format!("no engine in '{}' has a name that ends with {endings}", engines.dir().display()))
        }
        false => Ok(()),
    };
    let provider = || provider().map_err(|error| error.to_string());
    let found = match wanted {
        Wanted::Cpu => return Ok(Chosen { backend: Backend::Cpu, why: "asked for".to_owned() }),
        // The driver costs most to ask, and says most to who has asked for it.
        Wanted::Auto => has_engine().and_then(|()| provider()).and_then(|()| device(backend)),
        Wanted::Cuda => device(backend).and_then(|device| has_engine().and_then(|()| provider()).map(|()| device)),
        Wanted::TensorRt => device(backend).and_then(|device| has_engine().map(|()| device)),
    };
    match (found, wanted) {
        (Ok(device), _) => Ok(Chosen { backend, why: device.to_string() }),
        (Err(why), Wanted::Auto) => Ok(Chosen { backend: Backend::Cpu, why }),
        (Err(reason), _) => Err(InferError::Backend { backend: backend.name(), reason }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    fn card(_: Backend) -> Result<DeviceInfo, String> {
        let (name, uuid, driver) = ("Test card".to_owned(), "GPU-1".to_owned(), "13.0".to_owned());
        Ok(DeviceInfo { ordinal: 0, name, capability: [9, 0], uuid, memory_bytes: 80 << 30, driver })
    }

    /// A folder with engines of these names; only their manifests' files are there.
    fn engines(names: &[&str]) -> (tempfile::TempDir, Engines) {
        let dir = tempfile::tempdir().unwrap();
        for name in names {
            std::fs::create_dir(dir.path().join(name)).unwrap();
            std::fs::write(dir.path().join(name).join("manifest.toml"), "").unwrap();
        }
        let found = Engines::find(Some(dir.path())).unwrap();
        (dir, found)
    }

    fn missing() -> Result<(), InferError> {
        Err(InferError::NoProvider { library: "libonnxruntime_providers_cuda.so", folder: "lib".into() })
    }

    #[test]
    fn auto_takes_a_device_that_has_an_engine_and_a_provider_and_else_the_processor_with_the_reason() {
        let (_kept, both) = engines(&["a-cpu", "a-gpu"]);
        let chosen = choose_with(Wanted::Auto, &both, card, || Ok(())).unwrap();
        assert_eq!(chosen.backend, Backend::Cuda);
        assert!(["Test card", "GPU-1", "80.0 GiB", "9.0", "13.0"].iter().all(|part| chosen.why.contains(part)), "{}", chosen.why);
        let (_kept, only_cpu) = engines(&["a-cpu"]);
        let is_asked = Cell::new(false);
        let ask = |backend| {
            is_asked.set(true);
            card(backend)
        };
        let processor = |chosen: Chosen, part: &str| {
            assert_eq!(chosen.backend, Backend::Cpu);
            assert!(chosen.why.contains(part), "{}", chosen.why);
        };
        processor(choose_with(Wanted::Auto, &only_cpu, ask, || Ok(())).unwrap(), "-cuda or -gpu");
        processor(choose_with(Wanted::Auto, &both, ask, missing).unwrap(), "hw/install.sh cuda");
        assert!(!is_asked.get(), "the driver was asked for nothing");
        processor(choose_with(Wanted::Auto, &both, |_| Err("no driver".to_owned()), || Ok(())).unwrap(), "no driver");
        processor(choose_with(Wanted::Cpu, &both, ask, || Ok(())).unwrap(), "asked for");
        assert!(!is_asked.get());
    }

    #[test]
    fn a_device_that_is_asked_for_and_not_there_is_an_error_with_the_reason() {
        let (_kept, both) = engines(&["a-cpu", "a-cuda"]);
        assert_eq!(choose_with(Wanted::Cuda, &both, card, || Ok(())).unwrap().backend, Backend::Cuda);
        let (_kept, only_cpu) = engines(&["a-cpu"]);
        let refused =
            |engines: &Engines, device: fn(Backend) -> Result<DeviceInfo, String>, provider: fn() -> Result<(), InferError>, part: &str| {
                let error = choose_with(Wanted::Cuda, engines, device, provider).unwrap_err();
                let text = error.to_string();
                assert!(text.contains("backend 'cuda' cannot run here") && text.contains(part), "{text}");
                assert!(!error.is_finding(), "exit code 2");
            };
        refused(&both, |_| Err("there is no driver".to_owned()), missing, "there is no driver");
        refused(&both, card, missing, "libonnxruntime_providers_cuda.so");
        refused(&only_cpu, card, || Ok(()), "-cuda or -gpu");
    }
    #[test]
    fn tensorrt_is_taken_where_it_is_asked_for_and_needs_no_provider_of_onnx_runtimes() {
        let (_kept, engines_there) = engines(&["a-cpu", "a-gpu"]);
        let asked = |backend| {
            assert_eq!(backend, Backend::TensorRt);
            card(backend)
        };
        assert_eq!(choose_with(Wanted::TensorRt, &engines_there, asked, missing).unwrap().backend, Backend::TensorRt);
        let (_kept, only_others) = engines(&["a-cpu", "a-cuda"]);
        for (engines, device, part) in [
            (&engines_there, (|_| Err("no such library".to_owned())) as fn(Backend) -> _, "no such library"),
            (&only_others, card as fn(Backend) -> _, "-tensorrt or -gpu"),
        ] {
            let error = choose_with(Wanted::TensorRt, engines, device, || Ok(())).unwrap_err();
            let text = error.to_string();
            assert!(text.contains("backend 'tensorrt' cannot run here") && text.contains(part) && !error.is_finding(), "{text}");
        }
    }
}
