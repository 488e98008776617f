//! `keyhole worker`: the AI process. Started by the video process, never by hand.

use crate::pipeline;
use std::process::ExitCode;

pub fn main() -> ExitCode {
    let is_socket =
        rustix::fs::fstat(rustix::stdio::stdin()).is_ok_and(|stat| rustix::fs::FileType::from_raw_mode(stat.st_mode).is_socket());
    if !is_socket {
        eprintln!("keyhole: 'worker' is the AI process that `keyhole run` starts for itself; run that instead");
        return ExitCode::from(2);
    }
    ExitCode::from(pipeline::serve_worker() as u8)
}
