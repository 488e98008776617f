//! `keyhole engine`: list engines and look into them.

use crate::base::classes;
use crate::base::error::Finding;
use crate::store::{self, Engines, LockedEngine, StoreError};
use clap::{Args, Subcommand};
use std::path::PathBuf;

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
    /// Check that an engine's files are those that its manifest locks. Without DIR: all engines that are found.
    Verify {
        /// An engine's folder.
        dir: Option<PathBuf>,
    },
    /// What an engine is for, what goes in and what comes out.
    Info {
        /// An engine's folder.
        dir: PathBuf,
    },
}

pub fn main(arguments: &Arguments) -> anyhow::Result<()> {
    match &arguments.verb {
        Verb::List { engines } => list(Engines::find(engines.as_deref())?),
        Verb::Verify { dir } => verify(dir.as_ref()),
        Verb::Info { dir } => {
            print_info(&load(dir.clone())?);
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
                println!("  {name} {}   heads: {}{note}", engine.manifest.version, heads.join(", "));
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
    }
    Ok(())
}

/// What was found bad ends with exit code 1, what could not be looked at with 2.
fn load(dir: PathBuf) -> anyhow::Result<LockedEngine> {
    store::load(&dir).map_err(|error: StoreError| if error.is_finding() { Finding(error.to_string()).into() } else { error.into() })
}

fn print_info(engine: &LockedEngine) {
    let manifest = &engine.manifest;
    println!("{} {} (pipeline version {})", manifest.name, manifest.version, manifest.pipeline_version);
    println!("use       {}", manifest.intended_use);
    println!("licence   {}", manifest.licence);
    println!("input     {}×{}, {:?}, {:?}", manifest.input.width, manifest.input.height, manifest.input.colour, manifest.input.resize);
    for head in &manifest.heads {
        let classes: Vec<&str> = head.class_ids().iter().map(|&id| classes::table().name(id)).collect();
        println!("head      {}: {} (threshold {})", head.kind.name(), classes.join(", "), head.threshold);
    }
    println!("model     {} bytes, sha256 {}", engine.model.len(), manifest.model.sha256);
}
