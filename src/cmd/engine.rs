//! `keyhole engine`: list engines, look into them, lock and sign them.

use crate::base::classes;
use crate::base::error::Finding;
use crate::base::shutdown;
use crate::eval::card;
use crate::frame::cuda::usable_device;
use crate::guard;
use crate::infer::tensorrt::{self, Kind, TensorRt};
use crate::infer::{self, InferError, TensorLine};
use crate::record::write_whole;
use crate::store::{self, Engines, GoldenOutputs, LockedEngine, Plans, SecretKey, StoreError};
use crate::track::{Analyser, golden_mask};
use anyhow::Context;
use clap::{Args, Subcommand, ValueEnum};
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant};

#[derive(Debug, Args)]
pub struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Engines that are found, one a line.
    List {
        /// Folder that holds the engines' folders.
        #[arg(long, value_name = "DIR")]
        engines: Option<PathBuf>,
    },
    /// Check that an engine's files are those that its manifest locks, and that its model runs. Without DIR: all engines that are found.
    Verify {
        /// An engine's folder.
        dir: Option<PathBuf>,
    },
    /// Write the hashes of an engine's files and its golden outputs into its manifest, and sign it.
    Lock {
        /// An engine's folder.
        dir: PathBuf,
        /// The key's file (`keyhole engine key` makes one).
        #[arg(long, value_name = "F")]
        key: PathBuf,
        /// A picture whose mask is pinned: where another mask comes out, the engine is refused. Default: the picture that is pinned.
        #[arg(long, value_name = "F.png")]
        golden: Option<PathBuf>,
        /// Bind this operating point (a site's own thresholds) to the engine and sign it instead; the engine stays as it is.
        #[arg(long, value_name = "F", conflicts_with = "golden")]
        operating_point: Option<PathBuf>,
    },
    /// Sign any other file that somebody answers for in clinical mode: the program, its configuration, a site's limits of the self-test.
    Sign {
        /// The file; the signature is written beside it.
        file: PathBuf,
        /// The key's file.
        #[arg(long, value_name = "F")]
        key: PathBuf,
        /// It holds a site's limits of the self-test: they are read and checked first.
        #[arg(long)]
        limits: bool,
    },
    /// Make a key to sign engines with. Its file is secret; what is printed is for `store.trusted_keys` of each appliance.
    Key {
        /// The new key's file.
        #[arg(long, value_name = "F")]
        out: PathBuf,
        /// Whose it is; shown where an engine's signature is shown.
        #[arg(long)]
        name: String,
    },
    /// Compile an engine and keep the plan in the cache, so that it starts at once (TensorRT: so that it runs at all). Without DIR: all
    /// that are found (TensorRT: those named -tensorrt or -gpu).
    Build {
        /// An engine's folder.
        dir: Option<PathBuf>,
        /// What will run the plan.
        #[arg(long, value_enum, default_value = "cpu")]
        backend: Backend,
        /// With TensorRT: products of 32-bit numbers may be computed from their 19 leading bits, faster and less exact.
        #[arg(long)]
        tf32: bool,
    },
    /// What an engine is for, what goes in and what comes out; its model is run once to see.
    Info {
        /// An engine's folder.
        dir: PathBuf,
        /// Write its model card, one HTML page.
        #[arg(long, value_name = "F.html")]
        card: Option<PathBuf>,
        /// What `keyhole validate --report` wrote of this engine, for the card; may be given again.
        #[arg(long, value_name = "F.json", requires = "card")]
        report: Vec<PathBuf>,
        /// With this site's thresholds.
        #[arg(long, value_name = "F")]
        operating_point: Option<PathBuf>,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Backend {
    /// ONNX Runtime, on this processor.
    Cpu,
    /// TensorRT-RTX where it is installed, else TensorRT.
    Tensorrt,
    /// TensorRT-RTX: needs no GPU to build, its plan runs on those of several kinds.
    TensorrtRtx,
}

pub fn main(arguments: &Arguments) -> anyhow::Result<()> {
    match &arguments.verb {
        Verb::List { engines } => list(Engines::find(engines.as_deref())?),
        Verb::Verify { dir } => verify(dir.as_ref()),
        Verb::Lock { dir, key, operating_point: Some(path), .. } => {
            let engine = load(dir.clone())?;
            let point = checked(store::sign_operating_point(path, &engine, &SecretKey::read(key)?))?;
            print_operating_point(path, &point, &engine);
            Ok(())
        }
        Verb::Build { dir, backend, tf32 } => build(dir.as_ref(), *backend, *tf32),
        Verb::Lock { dir, key, golden, .. } => lock(dir, &SecretKey::read(key)?, golden.as_deref()),
        Verb::Sign { file, key, limits } => {
            let key = SecretKey::read(key)?;
            if *limits {
                guard::sign_site(file, &key)?;
            } else {
                store::sign_file(file, &key)?;
            }
            println!("{}: signed by '{}'", file.display(), key.name());
            Ok(())
        }
        Verb::Key { out, name } => {
            let key = SecretKey::generate(name)?;
            key.write_new(out)?;
            println!("{}", key.public());
            Ok(())
        }
        Verb::Info { dir, card, report, operating_point } => {
            let mut engine = load(dir.clone())?;
            if let Some(path) = card {
                write_card(&engine, report, path)?;
            }
            let point = match operating_point {
                Some(path) => Some((path, checked(store::OperatingPoint::load(path, &engine))?)),
                None => None,
            };
            if let Some((path, point)) = &point {
                point.put_into(&mut engine);
                print_operating_point(path, point, &engine);
            }
            print_info(&engine);
            match tensors(&engine) {
                Ok(lines) => print_tensors("", &lines),
                Err(error) => println!("tensors   not shown: {error}"),
            }
            Ok(())
        }
    }
}

fn lock(dir: &Path, key: &SecretKey, golden: Option<&Path>) -> anyhow::Result<()> {
    let engine = store::unlocked(dir)?;
    let pinned = engine.manifest.golden.as_ref().map(|spec| dir.join(&spec.picture));
    let outputs = match golden.map(Path::to_owned).or(pinned) {
        Some(path) => {
            let picture = std::fs::read(&path).with_context(|| format!("'{}' cannot be read; name a PNG by --golden", path.display()))?;
            let mask = golden_mask(engine, &picture)?;
            Some(GoldenOutputs { picture, mask })
        }
        None => None,
    };
    let engine = store::lock(dir, key, outputs.as_ref())?;
    println!("{} {}: {}", engine.manifest.name, engine.manifest.version, engine.seal);
    println!("  {}", golden_line(&engine));
    Ok(())
}

fn golden_line(engine: &LockedEngine) -> &'static str {
    match engine.golden {
        Some(_) => "golden outputs pinned",
        None => "no golden outputs: clinical mode refuses it (lock it with --golden)",
    }
}

fn list(engines: Engines) -> anyhow::Result<()> {
    println!("{}", engines.dir().display());
    for name in engines.names() {
        match store::load(&engines.dir().join(&name)) {
            Ok(engine) => {
                let heads: Vec<&str> = engine.manifest.heads.iter().map(|head| head.kind.name()).collect();
                let note = if engine.manifest.demonstration { "   demonstration" } else { "" };
                println!("  {name} {}   heads: {}{note}   {}", engine.manifest.version, heads.join(", "), engine.seal);
            }
            Err(error) => println!("  {name}   REFUSED: {error}"),
        }
    }
    Ok(())
}

fn write_card(engine: &LockedEngine, reports: &[PathBuf], path: &Path) -> anyhow::Result<()> {
    let text = std::fs::read_to_string(engine.dir.join(store::MANIFEST_FILE))?;
    let reports = reports.iter().map(|path| {
        let told = || format!("report '{}' cannot be read", path.display());
        let report = serde_json::from_slice(&std::fs::read(path).with_context(told)?).with_context(told)?;
        Ok((path.display().to_string(), report))
    });
    let html = card(engine, &text.parse()?, &reports.collect::<anyhow::Result<Vec<_>>>()?)?;
    write_whole(path, html.as_bytes())?;
    Ok(())
}

/// `dir`, or all that are found.
fn folders(dir: Option<&PathBuf>) -> anyhow::Result<Vec<PathBuf>> {
    if let Some(dir) = dir {
        return Ok(vec![dir.clone()]);
    }
    let engines = Engines::find(None)?;
    Ok(engines.names().iter().map(|name| engines.dir().join(name)).collect())
}

fn build(dir: Option<&PathBuf>, backend: Backend, tf32: bool) -> anyhow::Result<()> {
    shutdown::catch_signals();
    let library = match backend {
        Backend::Cpu => None,
        Backend::Tensorrt => Some(TensorRt::open_any(usable_device().ok().as_ref())?),
        Backend::TensorrtRtx => Some(TensorRt::open(Kind::Rtx)?),
    };
    anyhow::ensure!(!tf32 || library.is_some(), "--tf32 is an option of TensorRT: leave it out, or add --backend tensorrt");
    let mut dirs = folders(dir)?;
    if dir.is_none() && library.is_some() {
        let named = |dir: &Path| infer::Backend::TensorRt.endings().iter().any(|end| dir.to_string_lossy().ends_with(&format!("-{end}")));
        dirs.retain(|dir| named(dir));
        anyhow::ensure!(!dirs.is_empty(), "no engine that is named -tensorrt or -gpu is found: name an engine's folder");
    }
    let (total, plans, mut spent) = (dirs.len(), Plans::of_this_user(), Duration::ZERO);
    for (index, dir) in dirs.into_iter().enumerate() {
        anyhow::ensure!(!shutdown::signalled(), "stopped by a signal; what was built before is kept, build the others again");
        let engine = load(dir)?;
        let name = engine.manifest.name.clone();
        let left = match index {
            0 => String::new(),
            _ => format!(", about {:.0} s left", (spent / index as u32).as_secs_f64() * (total - index) as f64),
        };
        eprintln!("{name}: building, {} of {total}{left}", index + 1);
        let start = Instant::now();
        let built = match &library {
            None => {
                let built = infer::build(&engine, &plans).map_err(finding)?;
                Analyser::load(engine).map_err(finding)?;
                built
            }
            Some(library) => {
                let line = ProgressLine::new(&name);
                let progress = |phase: &str, done: f64| {
                    line.show(phase, done);
                    !shutdown::signalled()
                };
                tensorrt::build(&engine, library, tensorrt::Options { tf32 }, &plans, &progress).map_err(finding)?
            }
        };
        spent += start.elapsed();
        let how = if built.was_there { "built before".to_owned() } else { format!("in {:.1} s", start.elapsed().as_secs_f64()) };
        println!("{name}: {} bytes {how}, {}", built.bytes, built.path.display());
        if let Some(library) = &library {
            println!("  by {library} for {}", built.made_for);
            built.here.iter().for_each(|here| println!("  {here}"));
        }
    }
    Ok(())
}

/// How far a build is, on standard error: one line that is written over in a terminal, else a line each tenth.
struct ProgressLine<'a> {
    name: &'a str,
    start: Instant,
    is_terminal: bool,
    shown: Mutex<Option<u32>>,
}

impl<'a> ProgressLine<'a> {
    fn new(name: &'a str) -> Self {
        ProgressLine { name, start: Instant::now(), is_terminal: std::io::stderr().is_terminal(), shown: Mutex::default() }
    }

    fn show(&self, phase: &str, done: f64) {
        let percent = (100.0 * done) as u32;
        let step = if self.is_terminal { percent } else { percent / 10 };
        let mut shown = self.shown.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if *shown == Some(step) || done <= 0.0 {
            return;
        }
        *shown = Some(step);
        // From the first steps nothing can be told.
        let left = match percent {
            0..5 => String::new(),
            _ => format!(", about {:.0} s left", self.start.elapsed().as_secs_f64() * (1.0 - done) / done),
        };
        let line = format!("{}: {percent} %{left}   {phase}", self.name);
        let _ = if self.is_terminal { write!(std::io::stderr(), "\r{line}\x1b[K") } else { writeln!(std::io::stderr(), "{line}") };
    }
}

impl Drop for ProgressLine<'_> {
    fn drop(&mut self) {
        if self.is_terminal {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }
}

fn finding(error: InferError) -> anyhow::Error {
    if error.is_finding() { Finding(error.to_string()).into() } else { error.into() }
}

fn verify(dir: Option<&PathBuf>) -> anyhow::Result<()> {
    for dir in folders(dir)? {
        let engine = load(dir)?;
        println!(
            "{} {}: model {} manifest {}",
            engine.manifest.name, engine.manifest.version, engine.manifest.model.sha256, engine.manifest_sha256
        );
        println!("  {}", engine.seal);
        for external in &engine.manifest.model.external {
            println!("  external '{}' {}", external.file, external.sha256);
        }
        let lines = tensors(&engine).map_err(finding)?;
        print_tensors("  ", &lines);
        let is_pinned = engine.golden.is_some();
        Analyser::load(engine).map_err(finding)?;
        println!("  {}", if is_pinned { "golden outputs come out" } else { "no golden outputs" });
    }
    Ok(())
}

/// What was found bad ends with exit code 1, what could not be looked at with 2.
fn load(dir: PathBuf) -> anyhow::Result<LockedEngine> {
    checked(store::load(&dir))
}

fn checked<T>(result: Result<T, StoreError>) -> anyhow::Result<T> {
    result.map_err(|error| if error.is_finding() { Finding(error.to_string()).into() } else { error.into() })
}

/// A site's thresholds, with what they gave where the engine was calibrated.
fn print_operating_point(path: &Path, point: &store::OperatingPoint, engine: &LockedEngine) {
    println!("{}: by {}, {}: {}   {}", path.display(), point.by, point.date, point.why, point.seal);
    for site in &point.heads {
        println!("  '{}' from {}", site.output, site.threshold);
        print_points(engine, &site.output, site.threshold);
    }
}

fn print_points(engine: &LockedEngine, output: &str, threshold: f32) {
    for (class, [at, sensitivity, ppv]) in engine.manifest.calibration.iter().flat_map(|record| record.at_threshold(output, threshold)) {
        println!("          {class}: at {at} sensitivity {sensitivity}, PPV {ppv} on the calibration data");
    }
}

fn print_info(engine: &LockedEngine) {
    let manifest = &engine.manifest;
    println!("{} {} (pipeline version {})", manifest.name, manifest.version, manifest.pipeline_version);
    println!("use       {}", manifest.intended_use);
    println!("licence   {}", manifest.licence);
    println!("signature {}", engine.seal);
    println!("golden    {}", golden_line(engine));
    println!("input     {}×{}, {:?}, {:?}", manifest.input.width, manifest.input.height, manifest.input.colour, manifest.input.resize);
    if let Some(cohort) = &manifest.normalisation {
        println!("frames    brought to its cohort's light and colours beyond {} standard deviations", cohort.dead_band);
    }
    if let Some(clip) = manifest.clip {
        println!("clip      the last {} frames ({:?})", clip.frames, clip.order);
    }
    for state in &manifest.state {
        println!("state     '{}' is fed back into '{}'", state.output, state.input);
    }
    if manifest.clip.is_some() || !manifest.state.is_empty() {
        println!("memory    cleared at start, cut, change of format and after {} ms without a frame", manifest.max_gap_ms);
    }
    for head in &manifest.heads {
        let classes: Vec<&str> = head.class_ids().iter().map(|&id| classes::table().name(id)).collect();
        println!("head      {}: {} (threshold {})", head.kind.name(), classes.join(", "), head.threshold);
        if let Some([low, high]) = head.threshold_range {
            println!("          a site may move the threshold between {low} and {high}");
        }
        for (class, sure) in classes.iter().zip(head.sure().into_iter().flatten()).filter(|(class, _)| **class != "background") {
            println!("          {class}: {}", if sure < 1.0 { format!("sure from {sure}") } else { "never sure".to_owned() });
        }
        print_points(engine, &head.output, head.threshold);
    }
    match &manifest.calibration {
        Some(record) => {
            let sets: Vec<&str> = record.data.iter().map(|set| set.name.as_str()).collect();
            println!("calibrated {} on {}", record.date, sets.join(", "));
            for class in &record.classes {
                let (whole, band) = (class.ece_after, class.band_ece_after);
                println!("          {}: ECE {whole}, within 10 px of a boundary {band}; {} patients", class.class, class.patients);
            }
        }
        None => println!("calibrated no: what is sure is not known to be right"),
    }
    println!("model     {} bytes, sha256 {}", engine.model.len(), manifest.model.sha256);
    for ((name, bytes), locked) in engine.external.iter().zip(&manifest.model.external) {
        println!("external  '{name}' {} bytes, sha256 {}", bytes.len(), locked.sha256);
    }
}

/// The model's inputs and outputs as trial runs found them.
fn tensors(engine: &LockedEngine) -> Result<Vec<TensorLine>, InferError> {
    Ok(infer::open(engine.clone())?.tensors().to_vec())
}

fn print_tensors(indent: &str, lines: &[TensorLine]) {
    for TensorLine { name, form, role } in lines {
        println!("{indent}tensor    '{name}' {form}: {role}");
    }
}
