//! How good the tracker is: on the simulator's truth (HOTA, IDF1, tip, prediction) with a detector of known faults and with the
//! real engine, in process; on a still picture under sensor noise (flicker) and on real clips (prediction).
//!
//! ```text
//!   cargo bench --bench tracker -- [--only detector,sim,still,clip] [--seconds 12] [--seeds 1,2,3] [--fps 60] [--loop 6]
//!                                  [--size 640x360] [--clip FILE]… [--report FILE.json] [-v]
//! ```

mod detector;
mod moved;
mod real;
mod simulated;
mod still;

use keyhole::capture::sim::Spec;
use keyhole::infer::LockedEngine;
use keyhole::store::Engines;
use keyhole::track::Analyser;
use std::path::PathBuf;

pub struct Options {
    only: Vec<String>,
    pub seconds: f64,
    pub seeds: Vec<u64>,
    pub fps: u32,
    pub loop_s: f64,
    pub size: [u32; 2],
    pub clips: Vec<PathBuf>,
    report: Option<PathBuf>,
    pub verbose: bool,
}

impl Options {
    pub fn spec(&self, seed: u64) -> Spec {
        let [width, height] = self.size;
        let uri = format!("sim:?seed={seed}&width={width}&height={height}&fps={}&seconds={}", self.fps, self.loop_s);
        Spec::parse(&uri).expect("options make a simulator's URI")
    }

    fn read(mut args: impl Iterator<Item = String>) -> Result<Self, String> {
        let shared = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/data/clips"));
        let clips = ["laparoscopy-720p25.mp4", "robotic-576p25-1.avi", "robotic-576p25-3.avi"].map(|name| shared.join(name)).to_vec();
        let only = ["detector", "sim", "still", "clip"].map(str::to_owned).to_vec();
        let mut options = Options {
            only,
            seconds: 12.0,
            seeds: vec![1, 2, 3],
            fps: 60,
            loop_s: 6.0,
            size: [640, 360],
            clips,
            report: None,
            verbose: false,
        };
        let mut given_clips = Vec::new();
        while let Some(arg) = args.next() {
            let mut value = || args.next().ok_or(format!("{arg} needs a value"));
            let number = |text: String| text.parse::<f64>().map_err(|_| format!("{text} is no number"));
            match arg.as_str() {
                // Cargo says so to every bench.
                "--bench" => {}
                "-v" => options.verbose = true,
                "--only" => options.only = value()?.split(',').map(str::to_owned).collect(),
                "--seconds" => options.seconds = number(value()?)?,
                "--fps" => options.fps = number(value()?)? as u32,
                "--loop" => options.loop_s = number(value()?)?,
                "--seeds" => {
                    let seeds: Result<_, _> = value()?.split(',').map(str::parse).collect();
                    options.seeds = seeds.map_err(|_| "--seeds takes whole numbers, as 1,2,3".to_owned())?;
                }
                "--size" => {
                    let text = value()?;
                    let sides = text.split_once('x').and_then(|(w, h)| Some([w.parse().ok()?, h.parse().ok()?]));
                    options.size = sides.ok_or("--size takes WIDTHxHEIGHT")?;
                }
                "--clip" => given_clips.push(PathBuf::from(value()?)),
                "--report" => options.report = Some(PathBuf::from(value()?)),
                _ => return Err(format!("{arg} is no option of this bench")),
            }
        }
        if !given_clips.is_empty() {
            options.clips = given_clips;
        }
        Ok(options)
    }
}

fn engine() -> LockedEngine {
    let folder = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/engines"));
    Engines::find(Some(&folder)).and_then(|engines| engines.load_for("cpu")).expect("the built-in engine is in the tree")
}

pub fn analyser() -> Analyser {
    Analyser::load(engine()).expect("the built-in engine runs")
}

fn main() {
    // `cargo test` starts benches too, and without this word: then there is nothing to measure.
    if !std::env::args().any(|arg| arg == "--bench") {
        return println!("`cargo bench --bench tracker` measures");
    }
    let options = match Options::read(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(reason) => {
            eprintln!("{reason}");
            std::process::exit(2);
        }
    };
    let mut report = serde_json::Map::new();
    for (name, run) in [
        ("detector", simulated::with_detector as fn(&Options) -> serde_json::Value),
        ("sim", simulated::with_engine as fn(&Options) -> serde_json::Value),
        ("still", still::run as fn(&Options) -> serde_json::Value),
        ("clip", real::run as fn(&Options) -> serde_json::Value),
    ] {
        if options.only.iter().any(|only| only == name) {
            report.insert(name.to_owned(), run(&options));
        }
    }
    if let Some(path) = &options.report {
        let text = serde_json::to_string_pretty(&report).expect("figures are plain numbers");
        std::fs::write(path, text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    }
}
