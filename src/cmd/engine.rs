//! `keyhole engine`: list engines, look into them, lock and sign them.

use crate::base::classes;
use crate::base::error::Finding;
use crate::infer::{self, InferError, TensorLine};
use crate::store::{self, Engines, LockedEngine, SecretKey, StoreError};
use clap::{Args, Subcommand};
use std::path::{Path, PathBuf};

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
    /// Write the hashes of an engine's files into its manifest, and sign it.
    Lock {
        /// An engine's folder.
        dir: PathBuf,
        /// The key's file (`keyhole engine key` makes one).
        #[arg(long, value_name = "F")]
        key: PathBuf,
        /// Bind this operating point (a site's own thresholds) to the engine and sign it instead; the engine stays as it is.
        #[arg(long, value_name = "F")]
        operating_point: Option<PathBuf>,
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
    /// What an engine is for, what goes in and what comes out; its model is run once to see.
    Info {
        /// An engine's folder.
        dir: PathBuf,
        /// With this site's thresholds.
        #[arg(long, value_name = "F")]
        operating_point: Option<PathBuf>,
    },
}

pub fn main(arguments: &Arguments) -> anyhow::Result<()> {
    match &arguments.verb {
        Verb::List { engines } => list(Engines::find(engines.as_deref())?),
        Verb::Verify { dir } => verify(dir.as_ref()),
        Verb::Lock { dir, key, operating_point: Some(path) } => {
            let engine = load(dir.clone())?;
            let point = checked(store::sign_operating_point(path, &engine, &SecretKey::read(key)?))?;
            print_operating_point(path, &point, &engine);
            Ok(())
        }
        Verb::Lock { dir, key, operating_point: None } => {
            let engine = store::lock(dir, &SecretKey::read(key)?)?;
            println!("{} {}: {}", engine.manifest.name, engine.manifest.version, engine.seal);
            Ok(())
        }
        Verb::Key { out, name } => {
            let key = SecretKey::generate(name)?;
            key.write_new(out)?;
            println!("{}", key.public());
            Ok(())
        }
        Verb::Info { dir, operating_point } => {
            let mut engine = load(dir.clone())?;
            let point = match operating_point {
                Some(path) => Some((path, checked(store::OperatingPoint::load(path, &engine))?)),
                None => None,
            };
            if let Some((path, point)) = &point {
                point.use_at(path, &mut engine, None)?;
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

fn verify(dir: Option<&PathBuf>) -> anyhow::Result<()> {
    let dirs = match dir {
        Some(dir) => vec![dir.clone()],
        None => {
            let engines = Engines::find(None)?;
            engines.names().iter().map(|name| engines.dir().join(name)).collect()
        }
    };
    for dir in dirs {
        let engine = load(dir)?;
        println!(
            "{} {}: model {} manifest {}",
            engine.manifest.name, engine.manifest.version, engine.manifest.model.sha256, engine.manifest_sha256
        );
        println!("  {}", engine.seal);
        for external in &engine.manifest.model.external {
            println!("  external '{}' {}", external.file, external.sha256);
        }
        let lines = tensors(&engine).map_err(|error| match error.is_finding() {
            true => anyhow::Error::from(Finding(error.to_string())),
            false => error.into(),
        })?;
        print_tensors("  ", &lines);
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
    println!("input     {}×{}, {:?}, {:?}", manifest.input.width, manifest.input.height, manifest.input.colour, manifest.input.resize);
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
