//! NVIDIA's TensorRT: an engine's ONNX model in, a plan out, ahead of its first use. Both kinds are opened at run time and never
//! linked.
//!
//! ```text
//!   TensorRt::open: file ─► version as the headers'?      build: parse ─► as the manifest says? ─► optimise (progress) ─► Plans
//!                                                         on a GPU: driver? ─► judge, load ─► Run ─► TensorRtEngine
//! ```
//! Networks are computed in the types that the model's file has: neither kind turns a model into 16 or 8 bits any more, and neither
//! has a calibrator. A model that is to run in fp16 is exported in fp16; one in int8 with QuantizeLinear and DequantizeLinear whose
//! scales were calibrated at its export. The one choice is TF32 (`Options::tf32`).

mod builder;
mod engine;
mod error;
mod ffi;
mod progress;
mod run;
mod tensor;
#[cfg(test)]
pub mod testing {
    //! For the tests of this room and of those behind it.
    pub use super::engine::tests::rehearsed;
}
#[cfg(test)]
mod tests;

pub use builder::{Options, RTX_CAPABILITIES, build};
pub use engine::TensorRtEngine;
pub use error::TensorRtError;
pub use ffi::{Tensor, Version};
pub use run::{Judgement, Run};

use super::error::InferError;
use crate::base::library::Sought;
use crate::frame::cuda::{self, DeviceInfo};
use ffi::Opened;
use run::Shim;
use std::fmt;
use std::path::{Path, PathBuf};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// TensorRT-RTX: makes plans without a GPU, for several compute capabilities at once, and finishes them on the device.
    Rtx,
    /// Measures on the device that will run the plan.
    Standard,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kind::Rtx => "TensorRT-RTX",
            Kind::Standard => "TensorRT",
        })
    }
}

impl Kind {
    fn library(self) -> Sought {
        let (names, system): (&[&str], &[&str]) = match self {
            Kind::Rtx => (&["libtensorrt_rtx.so.1"], &[]),
            Kind::Standard => (&["libnvinfer.so.11"], &["/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu"]),
        };
        Sought { names, set_up: "tensorrt", variable: self.variable(), system }
    }

    /// Lies beside the library.
    fn parser_name(self) -> &'static str {
        match self {
            Kind::Rtx => "libtensorrt_onnxparser_rtx.so.1",
            Kind::Standard => "libnvonnxparser.so.11",
        }
    }

    fn variable(self) -> &'static str {
        match self {
            Kind::Rtx => "KEYHOLE_TENSORRT_RTX",
            Kind::Standard => "KEYHOLE_TENSORRT",
        }
    }

    fn missing(self, searched: Vec<PathBuf>) -> TensorRtError {
        TensorRtError::Missing { kind: self, library: self.library().names[0], searched }
    }

    fn remedy(self) -> String {
        match (self, ffi::headers(self)) {
            (Kind::Rtx, _) => "run `hw/install.sh cuda`".to_owned(),
            (Kind::Standard, None) => "install NVIDIA's TensorRT".to_owned(),
            (Kind::Standard, Some(headers)) => format!("install NVIDIA's TensorRT {}.{}", headers.major, headers.minor),
        }
    }
}

/// The GPU that this machine would run plans on; Err: why there is none. Asked before any library that would crash without a driver.
fn device(kind: Kind) -> Result<DeviceInfo, TensorRtError> {
    cuda::usable_device().map_err(|error| TensorRtError::NoDevice { kind, reason: error.to_string() })
}

/// The device that a `TensorRtEngine` would run on, where there is a library for it.
pub fn usable_device() -> Result<DeviceInfo, InferError> {
    let device = cuda::usable_device()?;
    TensorRt::open_any(Some(&device))?;
    Ok(device)
}

/// A library that was opened and has the version that this binary was built for.
#[derive(Debug)]
pub struct TensorRt {
    kind: Kind,
    opened: Opened,
    shim: Shim,
}

impl TensorRt {
    pub fn open(kind: Kind) -> Result<Self, TensorRtError> {
        Self::open_at(kind, &kind.library().find().map_err(|searched| kind.missing(searched))?)
    }

    /// TensorRT-RTX where it is installed and does not exclude `device`, else standard TensorRT.
    pub fn open_any(device: Option<&DeviceInfo>) -> Result<Self, TensorRtError> {
        let rtx = Self::open(Kind::Rtx);
        let is_known = device.is_none_or(|device| RTX_CAPABILITIES.contains(&device.capability));
        if rtx.is_ok() && is_known {
            return rtx;
        }
        match Self::open(Kind::Standard) {
            Err(TensorRtError::Missing { .. }) => rtx,
            other => other,
        }
    }

    fn open_at(kind: Kind, path: &Path) -> Result<Self, TensorRtError> {
        let parser = path.with_file_name(kind.parser_name());
        if !parser.is_file() {
            let searched = path.parent().into_iter().map(Path::to_owned).collect();
            return Err(TensorRtError::Missing { kind, library: kind.parser_name(), searched });
        }
        let headers = ffi::headers(kind).ok_or(TensorRtError::WithoutHeaders { kind })?;
        let opened = ffi::open(kind, headers, path, &parser);
        let opened = opened.map_err(|(library, reason)| TensorRtError::Bad { kind, library, reason })?;
        Ok(TensorRt { kind, opened, shim: Shim::of(kind) })
    }

    pub fn kind(&self) -> Kind {
        self.kind
    }

    pub fn version(&self) -> Version {
        self.opened.version
    }
}

/// Such as `TensorRT-RTX 1.7.1.116`.
impl fmt::Display for TensorRt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind, self.opened.version)
    }
}
