//! May AI run in this run? Asked beside the picture, which waits for nothing of this.
//!
//! ```text
//!   clinical: the AI process is held ─► no self-test since the box was switched on? a quick one, in memory, beside the picture
//!                                    ─► guard::decide ─► permitted, or forbidden for the whole run
//!   demo:     the AI process runs    ─► guard::decide ─► forbidden only where an engine failed its test
//! ```

use crate::base::shutdown::Shutdown;
use crate::config::{Config, Mode};
use crate::guard::{Block, CHANGED_SINCE_FULL, Gate, History, Limits, Word};
use crate::link::Worker;
use crate::pipeline::selftest;
use crossbeam_channel::Sender;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::Duration;

/// The answer, as soon as there is one.
pub type Answer = Arc<OnceLock<Gate>>;

/// Why there is no answer.
enum Undecided {
    /// The run has ended: nobody waits for it any more.
    Ended,
    Unread(String),
}

impl From<String> for Undecided {
    fn from(reason: String) -> Self {
        Undecided::Unread(reason)
    }
}

/// A self-test beside the picture takes ten seconds; one that takes so many has failed.
const SELF_TEST_S: u32 = 60;
/// Everything else is more urgent.
const NICE: i32 = 19;

pub struct Asking {
    pub config: Config,
    pub engines: Option<PathBuf>,
    pub worker: Arc<Worker>,
    pub answer: Answer,
    /// To the owner of the state.
    pub words: Sender<Word>,
    pub stop: Shutdown,
}

impl Asking {
    /// Finds the answer on a thread of its own, and tells the worker.
    pub fn start(self) -> std::io::Result<JoinHandle<()>> {
        std::thread::Builder::new().name("permission".into()).spawn(move || self.ask())
    }

    fn ask(self) {
        // This thread alone. It outlives the self-test that it starts, whose life hangs on it (PR_SET_PDEATHSIG).
        let _ = rustix::process::setpriority_process(None, NICE);
        let gate = match self.decide() {
            Ok(gate) => gate,
            Err(Undecided::Ended) => return,
            // Nobody can say whether it was tested.
            Err(Undecided::Unread(reason)) if self.config.mode == Mode::Clinical => {
                tracing::error!(reason, "the self-tests cannot be read");
                eprintln!("keyhole: the self-tests cannot be read: {reason}");
                Gate::Blocked(Block::NoSelfTest)
            }
            Err(Undecided::Unread(reason)) => {
                tracing::warn!(reason, "the self-tests cannot be read");
                Gate::Allowed
            }
        };
        let _ = self.answer.set(gate.clone());
        match &gate {
            Gate::Blocked(block) => {
                eprintln!("keyhole: {block} ({}) {}", block.code(), block.remedy());
                let _ = self.words.send(block.into());
                self.worker.forbid(format!("{block} ({})", block.code()));
            }
            Gate::Allowed => self.worker.permit(),
            Gate::AllowedWithLimits(named) => {
                if let Some(change) = named.iter().find(|named| named.code == CHANGED_SINCE_FULL) {
                    let _ = self.words.send(Word::Changed { words: change.words.clone() });
                }
                self.worker.permit();
            }
        }
    }

    fn decide(&self) -> Result<Gate, Undecided> {
        let words = |error: &dyn std::fmt::Display| error.to_string();
        let (mode, folder) = (self.config.mode, self.config.guard.folder());
        let limits = Limits::load(None, self.config.guard.site_limits.as_deref(), mode, &self.config.store.trusted_keys);
        let limits = limits.map_err(|error| words(&error))?;
        let boot_id = selftest::boot_id();
        let open = || History::open(&folder).map_err(|error| words(&error));
        let mut history = open()?;
        let is_tested = history.latest().is_some_and(|entry| entry.tested().boot_id == boot_id);
        if mode == Mode::Clinical && !is_tested {
            self.test()?;
            history = open()?;
        }
        let now = selftest::fingerprint(&self.config, self.engines.as_deref(), &limits);
        Ok(history.decide(mode, &boot_id, &now, &selftest::now(), &limits))
    }

    /// The quick form, in memory alone: the monitor shows the operation. Its verdict is in the history.
    fn test(&self) -> Result<(), Undecided> {
        let program = std::env::current_exe().map_err(|error| format!("this program's own file is not found ({error})"))?;
        let mut command = Command::new(program);
        command.args(["selftest", "--quick", "--loop", "internal", "--beside-a-picture"]);
        for (flag, path) in [("--config", &self.config.path), ("--engines", &self.engines)] {
            if let Some(path) = path {
                command.arg(flag).arg(path);
            }
        }
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).process_group(0).spawn();
        let mut child = child.map_err(|error| format!("the self-test cannot be started ({error})"))?;
        let _ = rustix::process::Pid::from_raw(child.id() as i32).map(|pid| rustix::process::setpriority_process(Some(pid), NICE));
        let ended = self.wait(&mut child);
        let _ = child.kill();
        let _ = child.wait();
        ended
    }

    fn wait(&self, child: &mut Child) -> Result<(), Undecided> {
        const LOOK_EVERY_MS: u64 = 50;
        for _ in 0..u64::from(SELF_TEST_S) * 1_000 / LOOK_EVERY_MS {
            match child.try_wait() {
                // Failed or passed: its report says so.
                Ok(Some(_)) => return Ok(()),
                Ok(None) if self.stop.is_requested() => return Err(Undecided::Ended),
                Ok(None) => std::thread::sleep(Duration::from_millis(LOOK_EVERY_MS)),
                Err(error) => return Err(format!("the self-test is lost ({error})").into()),
            }
        }
        Err(format!("the self-test did not end within {SELF_TEST_S} s").into())
    }
}
