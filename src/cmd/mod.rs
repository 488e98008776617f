//! The verbs: one file each. Errors become one line on standard error and the contract's exit codes:
//! 0 done and good; 1 done and found a failure; 2 could not run.

mod backend;
mod calibrate;
mod doctor;
mod engine;
mod run;
mod selftest;
mod sim;
mod sources;
mod validate;
mod worker;

use crate::base::error::Finding;
use crate::base::say::say;
use crate::base::shutdown;
use clap::{Parser, Subcommand};
use std::io::IsTerminal;
use std::process::ExitCode;

/// Real-time surgical video inference appliance: endoscope video in, tracked and outlined overlay out.
/// Video never waits for AI.
#[derive(Debug, Parser)]
#[command(name = "keyhole", version, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,

    /// More on standard error (-v: info, -vv: debug). KEYHOLE_LOG takes a tracing filter instead.
    #[arg(short, long, action = clap::ArgAction::Count, global = true)]
    verbose: u8,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Show a source with its overlay, in a window or headless.
    Run(Box<run::Arguments>),
    /// Prove that the appliance shows what comes in, in time and untouched: a verdict and a report to sign.
    Selftest(Box<selftest::Arguments>),
    /// What this machine has for keyhole and what is missing: inputs, displays, AI, GPU.
    Doctor(doctor::Arguments),
    /// List the cameras and cards of this machine, with what to write after --source; play one.
    Sources(sources::Arguments),
    /// Write a simulated operation as labelled data.
    Sim(sim::Arguments),
    /// List engines and look into them.
    Engine(engine::Arguments),
    /// Make an engine's probabilities believable, and say from which on it is sure.
    Calibrate(calibrate::Arguments),
    /// Measure an engine on labelled pictures.
    Validate(validate::Arguments),
    /// The AI process (internal: started by `run`).
    #[command(hide = true)]
    Worker(worker::Arguments),
}

pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let _ = error.print();
            return if error.use_stderr() { ExitCode::from(2) } else { ExitCode::SUCCESS };
        }
    };
    start_log(cli.verbose);
    let outcome = match cli.verb {
        Verb::Run(arguments) => run::main(*arguments),
        Verb::Selftest(arguments) => selftest::main(*arguments),
        Verb::Doctor(arguments) => {
            shutdown::end_when_nobody_reads();
            doctor::main(&arguments)
        }
        Verb::Sources(arguments) => sources::main(&arguments),
        Verb::Sim(arguments) => sim::main(&arguments),
        Verb::Engine(arguments) => {
            shutdown::end_when_nobody_reads();
            engine::main(&arguments)
        }
        Verb::Calibrate(arguments) => calibrate::main(&arguments),
        Verb::Validate(arguments) => validate::main(&arguments),
        Verb::Worker(arguments) => return worker::main(&arguments),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(format_args!("{error}"));
            ExitCode::from(if error.is::<Finding>() { 1 } else { 2 })
        }
    }
}

fn start_log(verbose: u8) {
    let default = match verbose {
        0 => "keyhole=error",
        1 => "keyhole=info",
        2 => "keyhole=debug",
        _ => "trace",
    };
    let filter = tracing_subscriber::EnvFilter::try_from_env("KEYHOLE_LOG").unwrap_or_else(|_| tracing_subscriber::EnvFilter::new(default));
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        // A log that cannot be written (its disk is full) is lost; to say so on the same way would end the thread that logs.
        .log_internal_errors(false)
        .with_ansi(std::io::stderr().is_terminal())
        .try_init();
}
