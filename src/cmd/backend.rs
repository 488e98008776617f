//! `--backend` of the verbs that run a model.

use crate::infer::Wanted;
use clap::ValueEnum;

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Backend {
    Auto,
    Cpu,
    Cuda,
    Tensorrt,
}

impl Backend {
    pub fn wanted(self) -> Wanted {
        match self {
            Backend::Auto => Wanted::Auto,
            Backend::Cpu => Wanted::Cpu,
            Backend::Cuda => Wanted::Cuda,
            Backend::Tensorrt => Wanted::TensorRt,
        }
    }
}
