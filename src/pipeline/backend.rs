//! Which backend a run gets. The driver is asked in a process of its own, before any picture: one that crashes or hangs when it is
//! asked takes no picture with it. In the process that shows pictures it is opened only after that, and where they may lie on its device.

use crate::infer::{self, Backend, DeviceInfo, Wanted};
use crate::link::Spawn;
use crate::pipeline::AnalystError;
use crate::store::Engines;
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// What the AI process's program is told instead, with a backend's name, to say which device there is for it and end.
pub const ASK: &str = "--device";
/// A driver that says nothing for so long has no device for us.
const PATIENCE: Duration = Duration::from_secs(20);
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// In clinical mode nothing is chosen: the self-test's verdict is on the processor's engine.
pub fn of_run(wanted: Wanted, is_clinical: bool, engines: Option<&Path>, worker: &Spawn) -> Result<Backend, AnalystError> {
    match (wanted, is_clinical) {
        (Wanted::Cpu, _) | (Wanted::Auto, true) => return Ok(Backend::Cpu),
        (Wanted::Cuda, true) => return Ok(Backend::Cuda),
        (Wanted::TensorRt, true) => return Ok(Backend::TensorRt),
        _ => {}
    }
    // That there are no engines at all is said where one is looked for.
    let Ok(engines) = Engines::find(engines) else { return Ok(Backend::Cpu) };
    let chosen = infer::choose(wanted, &engines, |backend| ask(worker, backend))?;
    tracing::info!(backend = chosen.backend.name(), why = chosen.why, "backend");
    Ok(chosen.backend)
}

/// The other side of `ask`.
pub fn say_device(backend: Backend) {
    let found = infer::device_for(backend);
    // Whoever asked may be gone.
    let _ = writeln!(std::io::stdout(), "{}", serde_json::to_string(&found).unwrap_or_default());
}

fn ask(worker: &Spawn, backend: Backend) -> Result<DeviceInfo, String> {
    let unasked =
        |reason: String| format!("the NVIDIA driver could not be asked ({reason}); see what `nvidia-smi` says, or use `--backend cpu`");
    let mut command = Command::new(&worker.program);
    command.args(&worker.args).args([ASK, backend.name()]).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().map_err(|error| unasked(error.to_string()))?;
    let status = wait(&mut child).map_err(|error| unasked(error.to_string()))?;
    let mut text = String::new();
    child.stdout.take().map_or(Ok(0), |mut stdout| stdout.read_to_string(&mut text)).map_err(|error| unasked(error.to_string()))?;
    let Some(status) = status else { return Err(unasked(format!("it did not answer within {} s", PATIENCE.as_secs()))) };
    // Libraries may have said something of their own before it.
    match text.lines().rev().find_map(|line| serde_json::from_str(line).ok()) {
        Some(found) => found,
        None => Err(unasked(format!("the process that asked it ended with {status}"))),
    }
}

/// None: it had to be ended.
fn wait(child: &mut Child) -> std::io::Result<Option<ExitStatus>> {
    let begun = Instant::now();
    while begun.elapsed() < PATIENCE {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        std::thread::sleep(LOOK_EVERY);
    }
    child.kill()?;
    child.wait().map(|_| None)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn says(script: &str) -> Result<DeviceInfo, String> {
        // What comes behind the script is its own name and what it is asked.
        ask(&Spawn { program: "/bin/sh".into(), args: vec!["-c".into(), script.into(), "sh".into()] }, Backend::TensorRt)
    }

    #[test]
    fn a_process_that_asks_the_driver_is_believed_and_one_that_dies_is_a_reason() {
        let device = r#"{"ordinal":0,"name":"Card","capability":[9,0],"uuid":"GPU-1","memory_bytes":5,"driver":"13.0"}"#;
        let found = says(&format!("[ \"$*\" = '{ASK} tensorrt' ] && echo 'a library says hello' && echo '{{\"Ok\":{device}}}'")).unwrap();
        assert_eq!((found.name.as_str(), found.capability), ("Card", [9, 0]));
        assert_eq!(says("echo '{\"Err\":\"there is no driver\"}'"), Err("there is no driver".to_owned()));
        let text = says("kill -SEGV $$").unwrap_err();
        assert!(["could not be asked", "signal: 11", "--backend cpu"].iter().all(|part| text.contains(part)), "{text}");
        assert!(
            ask(&Spawn { program: "/nowhere/keyhole".into(), args: Vec::new() }, Backend::Cuda).unwrap_err().contains("could not be asked")
        );
    }

    #[test]
    fn in_clinical_mode_nothing_is_chosen() {
        let nobody = Spawn { program: "/nowhere/keyhole".into(), args: Vec::new() };
        let of = |wanted| of_run(wanted, true, None, &nobody).unwrap();
        let all = [Wanted::Auto, Wanted::Cpu, Wanted::Cuda, Wanted::TensorRt];
        assert_eq!(all.map(of), [Backend::Cpu, Backend::Cpu, Backend::Cuda, Backend::TensorRt]);
    }

    #[test]
    fn without_any_engine_nobody_is_asked() {
        let (nobody, empty) = (Spawn { program: "/nowhere/keyhole".into(), args: Vec::new() }, tempfile::tempdir().unwrap());
        let of = |wanted| of_run(wanted, false, Some(empty.path()), &nobody).unwrap();
        assert_eq!([Wanted::Auto, Wanted::Cuda].map(of), [Backend::Cpu, Backend::Cpu]);
    }
}
