//! The machine and the engines beside the loop: what is there, what it is (the fingerprint), and whether it is good enough.
//! Everything is read from the kernel's own files; what cannot be read is named, never guessed.

use super::{PixelFault, known_answer, pixels};
use crate::base::random::Random;
use crate::config::{Config, Mode};
use crate::guard::{Check, Fingerprint, Form, Limits, Stamp, Test};
use crate::store::{Engines, LockedEngine, StoreError};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Written to find the disk's rate.
const PROBE_BYTES: usize = 16 << 20;
/// Clock sources that neither jump nor stand.
const GOOD_CLOCKS: [&str; 5] = ["tsc", "arch_sys_counter", "kvm-clock", "hyperv_clocksource_tsc_page", "hpet"];

/// What is looked at.
#[derive(Debug)]
pub struct Machine<'a> {
    pub config: &'a Config,
    pub engines: Option<&'a Path>,
    /// Where reports and recordings are kept.
    pub state: &'a Path,
}

impl Machine<'_> {
    /// All checks that need no loop.
    pub fn checks(&self, limits: &Limits) -> Vec<Check> {
        let mut checks =
            vec![self.clock_source(), self.binary(), self.config(), Check::found(Test::LimitsFile, true, limits.sha256.clone())];
        checks.extend(memory(limits));
        checks.extend(self.disk(limits));
        checks.extend(temperature(limits));
        checks.extend(self.engine(limits));
        checks
    }

    /// What only the full form has time for: the pixels, and a known answer.
    pub fn proofs(&self, form: Form, limits: &Limits, fault: Option<PixelFault>) -> Vec<Check> {
        if form == Form::Quick {
            let left_out = [Test::Pixels, Test::PixelsOff, Test::PixelFrames, Test::KnownAnswer];
            return left_out.map(|test| Check::not_run(test, "it is part of the full form only")).to_vec();
        }
        let mut checks = pixels::checks(limits, fault);
        checks.push(match self.load() {
            Ok(engine) => known_answer::check(engine, limits),
            Err(_) => Check::not_run(Test::KnownAnswer, "the engine was refused"),
        });
        checks
    }

    fn load(&self) -> Result<LockedEngine, StoreError> {
        let engine = Engines::find(self.engines)?.load_for("cpu")?;
        if self.config.mode == Mode::Clinical {
            engine.seal.check_clinical(&engine.manifest.name, &self.config.store.trusted_keys)?;
            engine.check_golden()?;
        }
        Ok(engine)
    }

    fn engine(&self, limits: &Limits) -> Vec<Check> {
        let engine = match self.load() {
            Ok(engine) => engine,
            Err(error) => {
                let golden = Check::not_run(Test::EngineGolden, "the engine was refused");
                return vec![Check::found(Test::EngineVerified, false, error.to_string()), golden];
            }
        };
        let verified = Check::found(Test::EngineVerified, true, format!("{}, {}", engine.manifest.name, engine.seal));
        let golden = match crate::track::golden_agreement(engine) {
            Ok(Some((agreement, needed))) if agreement < needed => {
                Check::found(Test::EngineGolden, false, format!("{agreement:.4} of its pixels agree; its manifest asks for {needed}"))
            }
            Ok(Some((agreement, _))) => Check::measured(Test::EngineGolden, agreement, limits),
            Ok(None) => Check::not_run(Test::EngineGolden, "the engine was locked without a reference picture"),
            Err(error) => Check::found(Test::EngineGolden, false, error.to_string()),
        };
        vec![verified, golden]
    }

    fn clock_source(&self) -> Check {
        match text("/sys/devices/system/clocksource/clocksource0/current_clocksource") {
            Some(name) => Check::found(Test::ClockSource, GOOD_CLOCKS.contains(&name.as_str()), name),
            None => Check::found(Test::ClockSource, false, "the kernel does not say which it is"),
        }
    }

    /// A demonstration runs whatever was built; in the theatre somebody has to vouch for it.
    fn binary(&self) -> Check {
        let hash = program_sha256();
        match self.config.mode {
            Mode::Demo => Check::not_run(Test::Binary, "a demonstration runs whatever was built").with_detail(&format!("sha256 {hash}")),
            Mode::Clinical => self.vouched(Test::Binary, std::env::current_exe().ok()),
        }
    }

    fn config(&self) -> Check {
        match (self.config.mode, &self.config.path) {
            (Mode::Demo, _) => Check::not_run(Test::Config, "a demonstration takes any configuration"),
            (Mode::Clinical, None) => Check::found(Test::Config, false, "no configuration file is in use"),
            (Mode::Clinical, Some(path)) => self.vouched(Test::Config, Some(path.clone())),
        }
    }

    /// A trusted key has signed this very file, beside it as NAME.signature.toml (`keyhole engine sign`).
    fn vouched(&self, test: Test, file: Option<PathBuf>) -> Check {
        let Some(file) = file else { return Check::found(test, false, "the file is not found") };
        match crate::store::check_file(&file, &self.config.store.trusted_keys) {
            Ok(seal) => Check::found(test, true, format!("{}: {seal}", file.display())),
            Err(error) => Check::found(test, false, error.to_string()),
        }
    }

    fn disk(&self, limits: &Limits) -> Vec<Check> {
        let space = match rustix::fs::statvfs(self.state) {
            Ok(stat) => Check::measured(Test::DiskSpace, (stat.f_bavail * stat.f_frsize) as f64 / 1e6, limits),
            Err(error) => Check::found(Test::DiskSpace, false, format!("{}: {error}", self.state.display())),
        };
        let rate = match write_rate_mb_s(self.state) {
            Ok(rate) => Check::measured(Test::DiskRate, rate, limits),
            Err(error) => Check::found(Test::DiskRate, false, format!("{}: {error}", self.state.display())),
        };
        vec![space, rate]
    }
}

fn memory(limits: &Limits) -> Option<Check> {
    Some(Check::measured(Test::Memory, crate::pipeline::inject::free_bytes()? as f64 / 1e6, limits))
}

/// The hottest zone; None: the machine reports none.
fn temperature(limits: &Limits) -> Option<Check> {
    let zones = std::fs::read_dir("/sys/class/thermal").ok()?.filter_map(Result::ok);
    let celsius = zones.filter_map(|zone| text(zone.path().join("temp"))?.parse::<f64>().ok()).map(|milli| milli / 1e3);
    let hottest = celsius.fold(f64::NEG_INFINITY, f64::max);
    hottest.is_finite().then(|| Check::measured(Test::Temperature, hottest, limits))
}

/// Of a file that is written, flushed to the disk, and deleted.
fn write_rate_mb_s(folder: &Path) -> std::io::Result<f64> {
    let path = folder.join("disk-probe.part");
    let mut file = std::fs::File::create(&path)?;
    // What a disk may compress tells nothing.
    let bytes = Random::new(1).bytes(PROBE_BYTES);
    let began = Instant::now();
    let written = file.write_all(&bytes).and_then(|()| file.sync_all());
    let seconds = began.elapsed().as_secs_f64().max(1e-6);
    std::fs::remove_file(&path)?;
    written.map(|()| PROBE_BYTES as f64 / 1e6 / seconds)
}

/// What a self-test is made on, and what is there now.
pub fn fingerprint(config: &Config, engines: Option<&Path>, limits: &Limits) -> Fingerprint {
    let locked = Engines::find(engines).and_then(|engines| engines.load_for("cpu"));
    Fingerprint {
        hardware: hardware(),
        display_mode: crate::display::modes_in_words(),
        display_edid_sha256: edid_sha256(),
        engines: locked.into_iter().map(|engine| (engine.manifest.name.clone(), engine.manifest_sha256.clone())).collect(),
        config_sha256: config.path.as_deref().and_then(|path| std::fs::read(path).ok()).map_or_else(String::new, |bytes| hex(&bytes)),
        binary_sha256: program_sha256(),
        limits_sha256: limits.sha256.clone(),
    }
}

fn hardware() -> BTreeMap<String, String> {
    let cpu = text("/proc/cpuinfo").unwrap_or_default();
    let of_cpu = |key: &str| {
        let line = cpu.lines().find(|line| line.split(':').next().is_some_and(|name| name.trim() == key));
        line.and_then(|line| line.split(':').nth(1)).map(|value| value.trim().to_owned()).unwrap_or_default()
    };
    let processor = ["model name", "cpu family", "model", "stepping"].map(of_cpu).join(" ");
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let mut parts = BTreeMap::from([("processor".to_owned(), format!("{processor}, {cores} cores"))]);
    for (name, file) in [("board", "board_serial"), ("machine", "product_uuid"), ("firmware", "bios_version")] {
        if let Some(value) = text(format!("/sys/class/dmi/id/{file}")).filter(|value| !value.is_empty()) {
            parts.insert(name.to_owned(), value);
        }
    }
    parts
}

/// Of all monitors that are plugged in, in the connectors' order; empty: none says what it is.
fn edid_sha256() -> String {
    let Ok(entries) = std::fs::read_dir("/sys/class/drm") else { return String::new() };
    let mut files: Vec<PathBuf> = entries.filter_map(Result::ok).map(|entry| entry.path().join("edid")).collect();
    files.sort();
    let bytes: Vec<u8> = files.iter().filter_map(|file| std::fs::read(file).ok()).flatten().collect();
    if bytes.is_empty() { String::new() } else { hex(&bytes) }
}

/// This moment, by the machine's clock.
pub fn now() -> Stamp {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    Stamp::from_unix_s(since.as_secs() as i64)
}

/// Of this boot.
pub fn boot_id() -> String {
    text("/proc/sys/kernel/random/boot_id").unwrap_or_default()
}

/// Read piece by piece: a run has its memory locked, and asks beside its picture.
fn program_sha256() -> String {
    let hash = || -> std::io::Result<String> {
        let (mut file, mut hash, mut piece) = (std::fs::File::open("/proc/self/exe")?, Sha256::new(), vec![0; 1 << 16]);
        loop {
            match file.read(&mut piece)? {
                0 => return Ok(crate::store::hex(&hash.finalize())),
                length => hash.update(&piece[..length]),
            }
        }
    };
    hash().unwrap_or_default()
}

fn hex(bytes: &[u8]) -> String {
    crate::store::hex(&Sha256::digest(bytes))
}

fn text(path: impl AsRef<Path>) -> Option<String> {
    std::fs::read_to_string(path).ok().map(|text| text.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machine_says_what_it_is_and_the_same_twice() {
        let (config, limits) = (Config::default(), Limits::shipped());
        let engines = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/engines"));
        let of = || fingerprint(&config, Some(engines), &limits);
        let first = of();
        assert_eq!(first.changes_since(&of()), []);
        assert_eq!(first.binary_sha256.len(), 64);
        assert!(first.engines.contains_key("surgical-cpu") && first.hardware.contains_key("processor"), "{first:?}");
    }

    #[test]
    fn an_engine_that_is_not_what_was_signed_fails_and_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let from = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/engines/surgical-cpu"));
        let engine = folder.path().join("surgical-cpu");
        std::fs::create_dir(&engine).unwrap();
        for file in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
            std::fs::copy(file.path(), engine.join(file.file_name())).unwrap();
        }
        let config = Config::default();
        let machine = Machine { config: &config, engines: Some(folder.path()), state: folder.path() };
        let of = |code: Test| machine.checks(&Limits::shipped()).into_iter().find(|check| check.code == code.row().code).unwrap();
        assert_eq!(of(Test::EngineVerified).outcome, crate::guard::Outcome::Pass);
        let golden = of(Test::EngineGolden);
        assert!(golden.value.is_some_and(|value| value > 0.99), "{golden:?}");
        let mut model = std::fs::read(engine.join("model.onnx")).unwrap();
        let middle = model.len() / 2;
        model[middle] ^= 1;
        std::fs::write(engine.join("model.onnx"), model).unwrap();
        let check = of(Test::EngineVerified);
        assert!(check.outcome == crate::guard::Outcome::Fail && check.detail.contains("model.onnx"), "{check:?}");
    }
}
