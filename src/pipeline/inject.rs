//! Faults on demand (`--inject FILE`): to see what the appliance does, before it happens by itself. Refused in clinical mode.
//!
//! ```toml
//! camera = true           # a recording or a simulation is judged and alarmed as a camera; default: false
//! [[fault]]
//! kind = "input-loss"     # also: freeze, black, corrupt, half-rate, out-of-order, torn, format-change,
//!                         # stamp-jump, worker-kill, worker-hang, memory-pressure,
//!                         # weight-flip, display-stall
//! at_s = 5.0              # after the start of the run
//! for_s = 0.5             # not of worker-kill and weight-flip, which happen once
//! ```

use crate::base::clock::Clock;
use crate::base::shutdown::Shutdown;
use crate::capture::{CaptureError, FaultSpan, FaultySource, Source, SourceFault};
use crate::link::Worker;
use crate::pipeline::flip::flip_weight;
use crate::store::Engines;
use serde::Deserialize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Kind {
    InputLoss,
    Freeze,
    Black,
    Corrupt,
    HalfRate,
    OutOfOrder,
    Torn,
    FormatChange,
    StampJump,
    /// SIGKILL, once.
    WorkerKill,
    /// SIGSTOP, and SIGCONT at its end.
    WorkerHang,
    /// Half of the memory that is free is taken and written to.
    MemoryPressure,
    /// The display thread sleeps. It ends the process where it lasts longer than `guard.display_stalled_ms`.
    DisplayStall,
    /// Single bits of the network's numbers, in the AI process's memory, once.
    WeightFlip,
}

#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Fault {
    kind: Kind,
    at_s: f64,
    #[serde(default = "one_second")]
    for_s: f64,
}

fn one_second() -> f64 {
    1.0
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    camera: bool,
    #[serde(default)]
    fault: Vec<Fault>,
}

/// What is to happen, and when.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Injection {
    camera: bool,
    faults: Vec<Fault>,
}

#[derive(Debug, thiserror::Error)]
pub enum InjectError {
    #[error("fault file {path}: {reason}; write [[fault]] tables with kind, at_s and for_s")]
    File { path: PathBuf, reason: String },
    #[error("faults are not put into a run in clinical mode: leave --inject out, or set mode = \"demo\"")]
    Clinical,
}

/// Longest run that a fault may be planned in, s.
const LATEST_S: f64 = 30.0 * 86_400.0;
/// A page at a time is written, so that the memory is really taken.
const PAGE: usize = 4096;

impl Injection {
    pub fn load(path: &Path) -> Result<Self, InjectError> {
        let refuse = |reason: String| InjectError::File { path: path.to_owned(), reason };
        let text = std::fs::read_to_string(path).map_err(|error| refuse(error.to_string()))?;
        Self::parse(&text).map_err(refuse)
    }

    fn parse(text: &str) -> Result<Self, String> {
        let File { camera, fault: faults } = toml::from_str(text).map_err(|error| error.to_string())?;
        if faults.is_empty() {
            return Err("it holds no fault".into());
        }
        for fault in &faults {
            let is_time = |s: f64| (0.0..LATEST_S).contains(&s);
            if !is_time(fault.at_s) || !is_time(fault.for_s) {
                return Err(format!("at_s = {} and for_s = {} are no times within a run", fault.at_s, fault.for_s));
            }
        }
        Ok(Injection { camera, faults })
    }

    /// The source, with what befalls it. `lost_ms`: of a camera, silence of so long is a loss.
    pub fn put_into(&self, source: Box<dyn Source>, clock: Arc<dyn Clock>, lost_ms: u64) -> Result<Box<dyn Source>, CaptureError> {
        let spans = self.of_source();
        if spans.is_empty() && !self.camera {
            return Ok(source);
        }
        let faulty = FaultySource::new(source, spans, clock);
        Ok(Box::new(if self.camera { faulty.as_camera(lost_ms * 1_000_000)? } else { faulty }))
    }

    /// What befalls the source.
    fn of_source(&self) -> Vec<FaultSpan> {
        let of = |kind| match kind {
            Kind::InputLoss => Some(SourceFault::InputLoss),
            Kind::Freeze => Some(SourceFault::Freeze),
            Kind::Black => Some(SourceFault::Black),
            Kind::Corrupt => Some(SourceFault::Corrupt),
            Kind::HalfRate => Some(SourceFault::HalfRate),
            Kind::OutOfOrder => Some(SourceFault::OutOfOrder),
            Kind::Torn => Some(SourceFault::Torn),
            Kind::FormatChange => Some(SourceFault::FormatChange),
            Kind::StampJump => Some(SourceFault::StampJump),
            Kind::WorkerKill | Kind::WorkerHang | Kind::MemoryPressure | Kind::DisplayStall | Kind::WeightFlip => None,
        };
        let span = |fault: &Fault| Some((of(fault.kind)?, ns(fault.at_s), ns(fault.at_s + fault.for_s)));
        self.faults.iter().filter_map(span).map(|(fault, from_ns, until_ns)| FaultSpan { fault, from_ns, until_ns }).collect()
    }

    /// When the display thread is to sleep, ns after the start of the run: from and until, in order.
    pub fn of_display(&self) -> Vec<(u64, u64)> {
        let stalls = self.faults.iter().filter(|fault| fault.kind == Kind::DisplayStall);
        let mut spans: Vec<_> = stalls.map(|fault| (ns(fault.at_s), ns(fault.at_s + fault.for_s))).collect();
        spans.sort_unstable();
        spans
    }

    /// Does the rest, on a thread of its own, until `stop`.
    pub fn start(
        &self,
        worker: Arc<Worker>,
        engines: Option<PathBuf>,
        clock: Arc<dyn Clock>,
        stop: Shutdown,
    ) -> std::io::Result<JoinHandle<()>> {
        let start_ns = clock.now_ns();
        let mut acts: Vec<(u64, Act)> = self.faults.iter().flat_map(|fault| acts_of(*fault)).collect();
        acts.sort_by_key(|(at_ns, _)| *at_ns);
        std::thread::Builder::new().name("inject".into()).spawn(move || {
            let mut taken: Vec<u8> = Vec::new();
            for (at_ns, act) in acts {
                while clock.now_ns() < start_ns + at_ns {
                    if stop.is_requested() {
                        return;
                    }
                    clock.sleep_until_ns((start_ns + at_ns).min(clock.now_ns() + 20_000_000));
                }
                tracing::warn!(?act, "a fault is put in");
                match act {
                    Act::Signal(signal) => {
                        let process = worker.pid().and_then(|pid| rustix::process::Pid::from_raw(pid as i32));
                        // It may have died by itself.
                        let _ = process.map(|pid| rustix::process::kill_process(pid, signal));
                    }
                    Act::Take => {
                        taken = vec![0; free_bytes().unwrap_or(0) / 2];
                        taken.iter_mut().step_by(PAGE).for_each(|byte| *byte = 1);
                    }
                    Act::Give => taken = Vec::new(),
                    Act::Flip => {
                        let engine = Engines::find(engines.as_deref()).and_then(|engines| engines.load_for("cpu"));
                        let flipped = match (worker.pid(), engine) {
                            (Some(pid), Ok(engine)) => flip_weight(pid, &engine.model),
                            (None, _) => Err("no AI process runs".to_owned()),
                            (_, Err(error)) => Err(error.to_string()),
                        };
                        match flipped {
                            Ok(count) => tracing::warn!(count, "numbers of the network were changed"),
                            Err(reason) => tracing::error!(reason, "no number of the network was changed"),
                        }
                    }
                }
            }
            drop(taken);
        })
    }
}

#[derive(Debug, Clone, Copy)]
enum Act {
    Signal(rustix::process::Signal),
    Take,
    Give,
    Flip,
}

fn acts_of(fault: Fault) -> Vec<(u64, Act)> {
    use rustix::process::Signal;
    let (from_ns, until_ns) = (ns(fault.at_s), ns(fault.at_s + fault.for_s));
    match fault.kind {
        Kind::WorkerKill => vec![(from_ns, Act::Signal(Signal::KILL))],
        Kind::WorkerHang => vec![(from_ns, Act::Signal(Signal::STOP)), (until_ns, Act::Signal(Signal::CONT))],
        Kind::MemoryPressure => vec![(from_ns, Act::Take), (until_ns, Act::Give)],
        Kind::WeightFlip => vec![(from_ns, Act::Flip)],
        _ => Vec::new(),
    }
}

fn ns(seconds: f64) -> u64 {
    (seconds * 1e9) as u64
}

/// What the kernel says can be had; None where it does not say.
pub(super) fn free_bytes() -> Option<usize> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let kib: usize = text.lines().find_map(|line| line.strip_prefix("MemAvailable:")?.split_whitespace().next()?.parse().ok())?;
    Some(kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_file_says_what_happens_when() {
        let text = "[[fault]]\nkind = \"black\"\nat_s = 2.0\nfor_s = 0.5\n[[fault]]\nkind = \"worker-hang\"\nat_s = 1\n";
        let injection = Injection::parse(text).unwrap();
        assert_eq!(injection.of_source(), [FaultSpan { fault: SourceFault::Black, from_ns: 2_000_000_000, until_ns: 2_500_000_000 }]);
        let acts: Vec<u64> = injection.faults.iter().flat_map(|fault| acts_of(*fault)).map(|(at_ns, _)| at_ns).collect();
        assert_eq!(acts, [1_000_000_000, 2_000_000_000], "stopped, and a second later continued");
        assert!(injection.of_display().is_empty());
        let stalls = "[[fault]]\nkind = \"display-stall\"\nat_s = 3\nfor_s = 2.5\n[[fault]]\nkind = \"display-stall\"\nat_s = 0.5\n";
        let injection = Injection::parse(stalls).unwrap();
        assert_eq!(injection.of_display(), [(500_000_000, 1_500_000_000), (3_000_000_000, 5_500_000_000)]);
        assert!(injection.of_source().is_empty() && injection.faults.iter().all(|fault| acts_of(*fault).is_empty()));
    }

    #[test]
    fn what_is_not_understood_is_refused_with_the_remedy() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("faults.toml");
        for (text, names) in [
            ("", "no fault"),
            ("[[fault]]\nkind = \"flood\"\nat_s = 1\n", "flood"),
            ("[[fault]]\nkind = \"black\"\nat_s = -1\n", "at_s = -1"),
            ("[[fault]]\nkind = \"black\"\nat_s = 1\nwhy = 2\n", "why"),
        ] {
            std::fs::write(&path, text).unwrap();
            let error = Injection::load(&path).unwrap_err().to_string();
            assert!(error.contains(names) && error.contains("faults.toml") && error.contains("[[fault]]"), "{error}");
        }
    }

    proptest! {
        #[test]
        fn no_text_is_a_panic(text in "(\\[\\[fault\\]\\]\n)?.{0,60}") {
            let _ = Injection::parse(&text);
        }
    }
}
