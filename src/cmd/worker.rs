//! `keyhole worker`: the AI process. Started by the video process, never by hand.

use crate::pipeline;
use std::process::ExitCode;

pub fn main() -> ExitCode {
    ExitCode::from(pipeline::serve_worker() as u8)
}
