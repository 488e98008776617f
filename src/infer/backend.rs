//! Which backend runs the model: what was asked for, what this machine has, and why it came out so.

use super::cuda::provider;
use super::error::InferError;
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
}

impl Backend {
    pub fn name(self) -> &'static str {
        match self {
            Backend::Cpu => "cpu",
            Backend::Cuda => "cuda",
        }
    }

    /// How the names of its engines end, the first choice first.
    pub fn endings(self) -> &'static [&'static str] {
        match self {
            Backend::Cpu => &["cpu"],
            Backend::Cuda => &["cuda", "gpu"],
        }
    }
}

/// What is asked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Wanted {
    /// A device that is there and has an engine, else the processor.
    #[default]
    Auto,
    Cpu,
    Cuda,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chosen {
    pub backend: Backend,
    /// For the log.
    pub why: String,
}

/// Decides. `device` asks the driver for the device that would be used, or why there is none; it is asked only where that matters.
pub fn choose(wanted: Wanted, engines: &Engines, device: impl FnOnce() -> Result<DeviceInfo, String>) -> Result<Chosen, InferError> {
    choose_with(wanted, engines, device, || provider().map(drop))
}

fn choose_with(
    wanted: Wanted,
    engines: &Engines,
    device: impl FnOnce() -> Result<DeviceInfo, String>,
    provider: impl FnOnce() -> Result<(), InferError>,
) -> Result<Chosen, InferError> {
    let has_engine = || match engines.names_for(Backend::Cuda.endings()).is_empty() {
        true => Err(format!("no engine in '{}' has a name that ends with -cuda or -gpu", engines.dir().display())),
        false => Ok(()),
    };
    let provider = || provider().map_err(|error| error.to_string());
    let found = match wanted {
        Wanted::Cpu => return Ok(Chosen { backend: Backend::Cpu, why: "asked for".to_owned() }),
        // The driver costs most to ask, and says most to who has asked for it.
        Wanted::Auto => has_engine().and_then(|()| provider()).and_then(|()| device()),
        Wanted::Cuda => device().and_then(|device| has_engine().and_then(|()| provider()).map(|()| device)),
    };
    match (found, wanted) {
        (Ok(device), _) => Ok(Chosen { backend: Backend::Cuda, why: device.to_string() }),
        (Err(why), Wanted::Auto) => Ok(Chosen { backend: Backend::Cpu, why }),
        (Err(reason), _) => Err(InferError::Backend { backend: Backend::Cuda.name(), reason }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    fn card() -> Result<DeviceInfo, String> {
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
        let ask = || {
            is_asked.set(true);
            card()
        };
        let processor = |chosen: Chosen, part: &str| {
            assert_eq!(chosen.backend, Backend::Cpu);
            assert!(chosen.why.contains(part), "{}", chosen.why);
        };
        processor(choose_with(Wanted::Auto, &only_cpu, ask, || Ok(())).unwrap(), "-cuda or -gpu");
        processor(choose_with(Wanted::Auto, &both, ask, missing).unwrap(), "hw/install.sh cuda");
        assert!(!is_asked.get(), "the driver was asked for nothing");
        processor(choose_with(Wanted::Auto, &both, || Err("no driver".to_owned()), || Ok(())).unwrap(), "no driver");
        processor(choose_with(Wanted::Cpu, &both, ask, || Ok(())).unwrap(), "asked for");
        assert!(!is_asked.get());
    }

    #[test]
    fn a_device_that_is_asked_for_and_not_there_is_an_error_with_the_reason() {
        let (_kept, both) = engines(&["a-cpu", "a-cuda"]);
        assert_eq!(choose_with(Wanted::Cuda, &both, card, || Ok(())).unwrap().backend, Backend::Cuda);
        let (_kept, only_cpu) = engines(&["a-cpu"]);
        let refused =
            |engines: &Engines, device: fn() -> Result<DeviceInfo, String>, provider: fn() -> Result<(), InferError>, part: &str| {
                let error = choose_with(Wanted::Cuda, engines, device, provider).unwrap_err();
                let text = error.to_string();
                assert!(text.contains("backend 'cuda' cannot run here") && text.contains(part), "{text}");
                assert!(!error.is_finding(), "exit code 2");
            };
        refused(&both, || Err("there is no driver".to_owned()), missing, "there is no driver");
        refused(&both, card, missing, "libonnxruntime_providers_cuda.so");
        refused(&only_cpu, card, || Ok(()), "-cuda or -gpu");
    }
}
