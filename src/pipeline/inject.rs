//! Faults on demand (`--inject FILE`): to see what the appliance does, before it happens by itself. Refused in clinical mode.
//!
//! ```toml
//! camera = true           # a recording or a simulation is judged and alarmed as a camera; default: false
//! [[fault]]
//! kind = "input-loss"
//! at_s = 5.0              # after the start of the run; of the source's faults, after its first picture
//! for_s = 0.5             # default: 1; not of worker-kill, weight-flip and gpu-loss, which happen once
//! ```
//! | kind | what is done | what the appliance does |
//! | --- | --- | --- |
//! | input-loss, freeze, black, half-rate, out-of-order, torn, format-change, stamp-jump | `capture::SourceFault` | a state of the signal, or an alarm, within 200 ms |
//! | corrupt | noise in the rows, and the decoder's flag that it is so; noise without the flag is a valid picture, which nobody can tell | FAULTY PICTURE |
//! | worker-kill, worker-hang | SIGKILL; SIGSTOP and SIGCONT | no overlay within two frames, another process |
//! | slow-inference (`ms` = 300) | the AI process runs its model again and again: as slow, and as busy, as with too large a model or too hot a processor | hidden at overlay.max_age_ms, degraded after half a second, back by itself |
//! | wrong-tensor (`way` = nan, range or shape) | the model's first output has a number that cannot be, or too few | nothing of it is drawn; degraded, another process, later each time |
//! | weight-flip | bits of the weights in the AI process's memory (as root) | the live proof blocks AI |
//! | gpu-loss (`way` = display) | the device that composes is destroyed | the picture goes on by the host compositor, the overlay off; GPU-LOST |
//! | gpu-loss (`way` = inference) | each run of the model fails, as one does on a device that is gone: the backend `cpu` has none to lose, and what a driver does besides only a card can show | as wrong-tensor; on a device, as any other end of the process there: the processor's engine goes on; AI-ON-PROCESSOR |
//! | display-stall | the display thread sleeps | beyond guard.display_stalled_ms the process ends, to be started again |
//! | full-disk | each write of the run finds no space (`base::disk`); nothing is filled. Not of lossless recordings, which GStreamer writes | the recording ends, playable; streams go on when they can; losses are counted; an alarm |
//! | slow-disk (`ms` = 500) | each write takes so much longer | pictures are left out of the recording and counted; RECORD-SLOW |
//! | clock-jump (`by_s` = -7200) | this process reads a wall clock that is wrong by so much; the machine's is not set | CLOCK-JUMPED; nothing that is measured notices |
//! | memory-pressure | half of the memory that is free is taken and written to | goes on: the video process has its memory locked where that is allowed, and the AI process is what the kernel ends first |

use crate::base::clock::{Clock, shift_wall_by_ns};
use crate::base::disk::{self, DiskFault};
use crate::base::shutdown::Shutdown;
use crate::capture::{CaptureError, FaultSpan, FaultySource, Source, SourceFault};
use crate::display::Output;
use crate::infer::EngineFault;
use crate::link::Worker;
use crate::pipeline::flip::flip_weight;
use crate::store::Engines;
use serde::de::{Error as _, IntoDeserializer, value::Error as Unknown};
use serde::{Deserialize, Deserializer};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

/// Of the source, or of something else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Source(SourceFault),
    Own(Own),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Own {
    WorkerKill,
    WorkerHang,
    SlowInference,
    WrongTensor,
    WeightFlip,
    GpuLoss,
    DisplayStall,
    FullDisk,
    SlowDisk,
    ClockJump,
    MemoryPressure,
}

impl<'de> Deserialize<'de> for Kind {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        let (name, known) =
            (name.as_str(), |error: Unknown| error.to_string().split_once("one of ").map_or(String::new(), |(_, names)| names.to_owned()));
        SourceFault::deserialize(name.into_deserializer()).map(Kind::Source).or_else(|of_source: Unknown| {
            let own = Own::deserialize(name.into_deserializer()).map(Kind::Own);
            own.map_err(|other: Unknown| {
                D::Error::custom(format!("'{name}' is no fault; there are {}, {}", known(of_source), known(other)))
            })
        })
    }
}

/// In which of several ways.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Way {
    Nan,
    Range,
    Shape,
    Display,
    Inference,
}

#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Fault {
    kind: Kind,
    at_s: f64,
    #[serde(default = "one_second")]
    for_s: f64,
    ms: Option<u32>,
    by_s: Option<f64>,
    way: Option<Way>,
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
/// What slow things take, where the file does not say. Inference: longer than `overlay.max_age_ms` may be, and less than
/// `link.kill_after_ms` is by default, which would make it a hang.
const SLOW_INFERENCE_MS: u32 = 300;
const SLOW_DISK_MS: u32 = 500;
const MOST_MS: u32 = 60_000;
const CLOCK_JUMP_S: f64 = -7_200.0;
/// A century.
const MOST_JUMP_S: f64 = 3.2e9;
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
            fault.check()?;
        }
        Ok(Injection { camera, faults })
    }

    /// The source, with what befalls it. `lost_ms`: of a camera, silence of so long is a loss.
    pub fn put_into(&self, source: Box<dyn Source>, clock: Arc<dyn Clock>, lost_ms: u64) -> Result<Box<dyn Source>, CaptureError> {
        if !self.touches_source() {
            return Ok(source);
        }
        let faulty = FaultySource::new(source, self.of_source(), clock);
        Ok(Box::new(if self.camera { faulty.as_camera(lost_ms * 1_000_000)? } else { faulty }))
    }

    /// Does anything befall the source's pictures? Those are made here.
    pub fn touches_source(&self) -> bool {
        self.camera || !self.of_source().is_empty()
    }

    /// What befalls the source.
    fn of_source(&self) -> Vec<FaultSpan> {
        let span = |fault: &Fault| match fault.kind {
            Kind::Source(of) => Some(FaultSpan { fault: of, from_ns: ns(fault.at_s), until_ns: ns(fault.at_s + fault.for_s) }),
            Kind::Own(_) => None,
        };
        self.faults.iter().filter_map(span).collect()
    }

    /// What befalls the display thread of a run that starts at `start_ns`.
    pub fn of_display(&self, start_ns: u64) -> DisplayFaults {
        let stalls = self.faults.iter().filter(|fault| fault.kind == Kind::Own(Own::DisplayStall));
        let mut stalls: Vec<_> = stalls.map(|fault| (start_ns + ns(fault.at_s), start_ns + ns(fault.at_s + fault.for_s))).collect();
        stalls.sort_unstable();
        stalls.reverse();
        DisplayFaults { stalls, loses_gpu: Arc::default() }
    }
}

impl Fault {
    /// Each option has its kinds.
    fn check(&self) -> Result<(), String> {
        use Own::{ClockJump, GpuLoss, SlowDisk, SlowInference, WrongTensor};
        let is = |kinds: &[Own]| matches!(self.kind, Kind::Own(own) if kinds.contains(&own));
        let is_of = |way: Way| match way {
            Way::Nan | Way::Range | Way::Shape => is(&[WrongTensor]),
            Way::Display | Way::Inference => is(&[GpuLoss]),
        };
        if self.ms.is_some_and(|ms| !is(&[SlowInference, SlowDisk]) || !(1..=MOST_MS).contains(&ms)) {
            return Err(format!("ms is of slow-inference and slow-disk, 1 to {MOST_MS}"));
        }
        if self.by_s.is_some_and(|by_s| !is(&[ClockJump]) || by_s.is_nan() || by_s.abs() > MOST_JUMP_S) {
            return Err(format!("by_s is of clock-jump, {MOST_JUMP_S} at most, forward or back"));
        }
        match self.way {
            Some(way) if !is_of(way) => Err("way is of wrong-tensor (nan, range, shape) and gpu-loss (display, inference)".to_owned()),
            _ => Ok(()),
        }
    }

    /// What the inject thread does of it, and when, ns after the start.
    fn acts(&self) -> Vec<(u64, Act)> {
        use rustix::process::Signal;
        let Kind::Own(own) = self.kind else { return Vec::new() };
        let (from_ns, until_ns) = (ns(self.at_s), ns(self.at_s + self.for_s));
        let between = |from: Act, until: Act| vec![(from_ns, from), (until_ns, until)];
        let ordered = |fault: EngineFault| between(Act::Order(Some(fault)), Act::Order(None));
        match own {
            Own::WorkerKill => vec![(from_ns, Act::Signal(Signal::KILL))],
            Own::WorkerHang => between(Act::Signal(Signal::STOP), Act::Signal(Signal::CONT)),
            Own::SlowInference => ordered(EngineFault::Slow { ms: self.ms.unwrap_or(SLOW_INFERENCE_MS) }),
            Own::WrongTensor => ordered(match self.way {
                Some(Way::Range) => EngineFault::OutOfRange,
                Some(Way::Shape) => EngineFault::Shape,
                _ => EngineFault::NotANumber,
            }),
            Own::WeightFlip => vec![(from_ns, Act::Flip)],
            Own::GpuLoss if self.way == Some(Way::Inference) => ordered(EngineFault::Fails),
            Own::GpuLoss => vec![(from_ns, Act::LoseGpu)],
            // Its own thread does it.
            Own::DisplayStall => Vec::new(),
            Own::FullDisk => between(Act::Disk(Some(DiskFault::Full)), Act::Disk(None)),
            Own::SlowDisk => between(Act::Disk(Some(DiskFault::Slow { ms: self.ms.unwrap_or(SLOW_DISK_MS) })), Act::Disk(None)),
            Own::ClockJump => {
                let by_ns = (self.by_s.unwrap_or(CLOCK_JUMP_S) * 1e9) as i64;
                between(Act::ShiftWall(by_ns), Act::ShiftWall(-by_ns))
            }
            Own::MemoryPressure => between(Act::Take, Act::Give),
        }
    }
}

/// What befalls the display thread on purpose; it asks each turn.
#[derive(Debug, Clone, Default)]
pub struct DisplayFaults {
    /// When it is to sleep: from and until, ns; the next one last.
    stalls: Vec<(u64, u64)>,
    loses_gpu: Arc<AtomicBool>,
}

impl DisplayFaults {
    pub fn befall(&mut self, clock: &dyn Clock, output: &mut dyn Output) {
        while let Some((_, until_ns)) = self.stalls.pop_if(|(from_ns, _)| clock.now_ns() >= *from_ns) {
            clock.sleep_until_ns(until_ns);
        }
        if self.loses_gpu.load(Ordering::Relaxed) && self.loses_gpu.swap(false, Ordering::AcqRel) && !output.lose_device() {
            tracing::error!("no graphics device composes the pictures: none was lost");
        }
    }
}

/// What a run's faults befall.
pub struct Injecting {
    pub worker: Arc<Worker>,
    pub engines: Option<PathBuf>,
    pub display: DisplayFaults,
    pub clock: Arc<dyn Clock>,
    pub stop: Shutdown,
}

impl Injecting {
    /// Does what neither the source nor the display does by itself, on a thread of its own, until `stop`.
    pub fn start(self, plan: &Injection) -> std::io::Result<JoinHandle<()>> {
        let mut acts: Vec<(u64, Act)> = plan.faults.iter().flat_map(Fault::acts).collect();
        acts.sort_by_key(|(at_ns, _)| *at_ns);
        std::thread::Builder::new().name("inject".into()).spawn(move || self.run(acts))
    }

    fn run(self, acts: Vec<(u64, Act)>) {
        let start_ns = self.clock.now_ns();
        let mut taken: Vec<u8> = Vec::new();
        for (at_ns, act) in acts {
            while self.clock.now_ns() < start_ns + at_ns {
                if self.stop.is_requested() {
                    return;
                }
                self.clock.sleep_until_ns((start_ns + at_ns).min(self.clock.now_ns() + 20_000_000));
            }
            tracing::warn!(?act, "a fault is put in");
            match act {
                Act::Signal(signal) => {
                    let process = self.worker.pid().and_then(|pid| rustix::process::Pid::from_raw(pid as i32));
                    // It may have died by itself.
                    let _ = process.map(|pid| rustix::process::kill_process(pid, signal));
                }
                Act::Take => {
                    taken = vec![0; free_bytes().unwrap_or(0) / 2];
                    taken.iter_mut().step_by(PAGE).for_each(|byte| *byte = 1);
                }
                Act::Give => taken = Vec::new(),
                Act::Flip => self.flip(),
                Act::Order(fault) => self.worker.order(serde_json::to_value(fault).unwrap_or_default()),
                Act::LoseGpu => self.display.loses_gpu.store(true, Ordering::Release),
                Act::Disk(fault) => disk::set_fault(fault),
                Act::ShiftWall(by_ns) => shift_wall_by_ns(by_ns),
            }
        }
        drop(taken);
    }

    fn flip(&self) {
        let engine = Engines::find(self.engines.as_deref()).and_then(|engines| engines.load_for("cpu"));
        let flipped = match (self.worker.pid(), engine) {
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

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Act {
    Signal(rustix::process::Signal),
    Take,
    Give,
    Flip,
    /// To the AI process; None: all is well again.
    Order(Option<EngineFault>),
    LoseGpu,
    Disk(Option<DiskFault>),
    ShiftWall(i64),
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
        let acts: Vec<u64> = injection.faults.iter().flat_map(Fault::acts).map(|(at_ns, _)| at_ns).collect();
        assert_eq!(acts, [1_000_000_000, 2_000_000_000], "stopped, and a second later continued");
        assert!(injection.of_display(0).stalls.is_empty());
        let stalls = "[[fault]]\nkind = \"display-stall\"\nat_s = 3\nfor_s = 2.5\n[[fault]]\nkind = \"display-stall\"\nat_s = 0.5\n";
        let injection = Injection::parse(stalls).unwrap();
        assert_eq!(injection.of_display(7).stalls, [(3_000_000_007, 5_500_000_007), (500_000_007, 1_500_000_007)], "the next one last");
        assert!(injection.of_source().is_empty() && injection.faults.iter().all(|fault| fault.acts().is_empty()));
    }

    #[test]
    fn each_fault_begins_and_ends_as_its_options_say() {
        let acts = |options: &str| {
            let injection = Injection::parse(&format!("[[fault]]\nat_s = 1\n{options}\n")).unwrap();
            injection.faults.iter().flat_map(Fault::acts).map(|(_, act)| act).collect::<Vec<_>>()
        };
        let order = |fault| vec![Act::Order(Some(fault)), Act::Order(None)];
        for (options, expected) in [
            ("kind = 'slow-inference'", order(EngineFault::Slow { ms: 300 })),
            ("kind = 'slow-inference'\nms = 200", order(EngineFault::Slow { ms: 200 })),
            ("kind = 'wrong-tensor'", order(EngineFault::NotANumber)),
            ("kind = 'wrong-tensor'\nway = 'range'", order(EngineFault::OutOfRange)),
            ("kind = 'wrong-tensor'\nway = 'shape'", order(EngineFault::Shape)),
            ("kind = 'gpu-loss'\nway = 'inference'", order(EngineFault::Fails)),
            ("kind = 'gpu-loss'", vec![Act::LoseGpu]),
            ("kind = 'full-disk'", vec![Act::Disk(Some(DiskFault::Full)), Act::Disk(None)]),
            ("kind = 'slow-disk'", vec![Act::Disk(Some(DiskFault::Slow { ms: 500 })), Act::Disk(None)]),
            ("kind = 'clock-jump'", vec![Act::ShiftWall(-7_200_000_000_000), Act::ShiftWall(7_200_000_000_000)]),
            ("kind = 'clock-jump'\nby_s = 0.5", vec![Act::ShiftWall(500_000_000), Act::ShiftWall(-500_000_000)]),
        ] {
            assert_eq!(acts(options), expected, "{options}");
        }
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
            ("[[fault]]\nkind = \"black\"\nat_s = 1\nms = 2\n", "slow-disk"),
            ("[[fault]]\nkind = \"clock-jump\"\nat_s = 1\nby_s = nan\n", "by_s"),
            ("[[fault]]\nkind = \"gpu-loss\"\nat_s = 1\nway = \"shape\"\n", "wrong-tensor"),
            ("[[fault]]\nkind = \"floods\"\nat_s = 1\n", "stamp-jump"),
            ("[[fault]]\nkind = \"floods\"\nat_s = 1\n", "clock-jump"),
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
