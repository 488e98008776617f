//! `keyhole worker`: the AI process. Started by the video process, never by hand.

use crate::cmd::backend::Backend;
use crate::infer;
use crate::pipeline;
use clap::Args;
use std::process::ExitCode;

#[derive(Debug, Args)]
pub struct Arguments {
    /// Only say which GPU this backend would use, as one line of JSON.
    #[arg(long, value_enum, value_name = "BACKEND")]
    device: Option<Backend>,
}

pub fn main(arguments: &Arguments) -> ExitCode {
    if let Some(backend) = arguments.device {
        pipeline::say_device(if backend == Backend::Tensorrt { infer::Backend::TensorRt } else { infer::Backend::Cuda });
        return ExitCode::SUCCESS;
    }
    let is_socket =
        rustix::fs::fstat(rustix::stdio::stdin()).is_ok_and(|stat| rustix::fs::FileType::from_raw_mode(stat.st_mode).is_socket());
    if !is_socket {
        eprintln!("keyhole: 'worker' is the AI process that `keyhole run` starts for itself; run that instead");
        return ExitCode::from(2);
    }
    ExitCode::from(pipeline::serve_worker() as u8)
}
