//! `keyhole validate`: an engine against labelled pictures and clips.
//!
//! ```text
//!   plan (hash) ─► data set (hashes, faults) ─► pictures, clips ─► figures ─► verdicts ─► JSON, page, exit code
//! ```

mod clips;
mod compare;
mod pictures;
mod report;
mod work;

use crate::base::classes::{self, ClassKind};
use crate::base::error::Finding;
use crate::base::ids::ClassId;
use crate::cmd::backend::Backend;
use crate::eval::{DataSet, Plan, Prevalence, Visitor, judge};
use crate::infer;
use crate::record::{check_writable, make_folder, utc};
use crate::store::{Engines, LockedEngine};
use clap::Args;
pub(super) use pictures::read;
use report::{Bound, Outcome};
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

/// Pictures a second of the operation, where nobody says otherwise.
const PICTURES_A_SECOND: f64 = 25.0;

#[derive(Debug, Args)]
#[command(after_long_help = FORMAT)]
pub struct Arguments {
    /// Folder with dataset.toml, images/ and masks/ (`keyhole sim --out` writes one; --help has the format).
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// Folder that holds the engines' folders.
    #[arg(long, value_name = "DIR")]
    engines: Option<PathBuf>,
    /// End points and limits. Registered with its hash (F.registered) before a picture is opened; a changed plan is refused.
    #[arg(long, value_name = "F.toml")]
    plan: Option<PathBuf>,
    /// Part of the pictures in use that have a class: for PPV and false positives a minute [default: the plan's].
    #[arg(long, value_name = "P")]
    prevalence: Option<f64>,
    /// Pictures a second in use: for false positives a minute [default: the plan's, else 25].
    #[arg(long, value_name = "N")]
    pictures_a_second: Option<f64>,
    /// Write the figures as JSON.
    #[arg(long, value_name = "F.json")]
    report: Option<PathBuf>,
    /// Write the figures as one page to look at.
    #[arg(long, value_name = "F.html")]
    html: Option<PathBuf>,
    /// Write what was found as class masks, one a picture, with its stem.
    #[arg(long, value_name = "DIR")]
    masks: Option<PathBuf>,
    /// Bring frames to the light and colours that the engine's manifest states (where it does), or show them as they are.
    #[arg(long, value_name = "on|off", default_value = "on", value_parser = ["on", "off"])]
    normalise: String,
    /// What runs the model: cpu, cuda (an NVIDIA GPU), tensorrt (there, by a plan that `keyhole engine build` made), or auto: a GPU that is
    /// there and has an engine (by cuda), else the processor.
    #[arg(long, value_enum, default_value = "auto")]
    backend: Backend,
    /// Compare two backends instead, as cpu,cuda: do they say the same of each picture and frame? With the last one's engine.
    #[arg(long, value_name = "BACKENDS", value_delimiter = ',', value_enum, conflicts_with_all = ["plan", "html", "masks", "backend", "prevalence"])]
    compare: Vec<Backend>,
}

const FORMAT: &str = "\
The data set:
  dataset.toml              name, licence, source; [classes] id = \"name\"; [subgroups] \"patient 3\" = [files], \"scope B\" = [files]
  images/NAME.png|jpg       masks/NAME.png: a class id a pixel; 255: nobody knows
  masks.RATER/NAME.png      optional: other people's masks. Their agreement is told; where masks/ has none, the STAPLE consensus
                            of three or more is the truth
  tracks/NAME.jsonl         optional: {\"frame\": 0, \"tracks\": [{\"id\": 1, \"class\": \"grasper\", \"box\": [x0, y0, x1, y1], \"tip\": [x, y]}]}
                            of the clip NAME.mkv, .mp4, .avi or .mov; or {\"image\": \"a.png\", \"tracks\": [...]} of pictures

The plan:
  schema = \"keyhole.plan/1\"
  name = \"...\"
  data = \"...\"              # the data set's name, optional
  patients = 20             # least numbers in the data set, optional
  pictures = 200
  subgroups = [\"scope B\"]   # that have to be there, optional
  prevalence = 0.3          # optional, with pictures_a_second = 25
  [[end_point]]
  metric = \"iou\"            # dice, iou, dice_a_picture, hd95_px, boundary_f1, sensitivity, specificity, ppv, auroc, ece, ece_boundary,
                            # picture_sensitivity, ppv_at_prevalence, false_positives_a_minute; hota, idf1, mota, tip_error_percent, map
  class = \"liver\"           # not for the last five
  subgroup = \"scope B\"      # optional
  at_least = 0.7            # or at_most; met if the whole 95 % interval is on the right side
  patients = 10             # least number of patients with a figure, never below 5

Exit code 1: an end point is not met, or the plan was changed after it was registered.";

pub fn main(arguments: &Arguments) -> anyhow::Result<()> {
    if !arguments.compare.is_empty() {
        let &[one, other] = &arguments.compare[..] else {
            anyhow::bail!("--compare: {} backends are named, two backends are compared; write it as cpu,cuda", arguments.compare.len());
        };
        return compare::main([one, other], arguments);
    }
    // First of all: nothing that is seen later can change what was asked.
    let plan = arguments.plan.as_deref().map(open_plan).transpose()?;
    let engines = Engines::find(arguments.engines.as_deref())?;
    let chosen = infer::choose(arguments.backend.wanted(), &engines, infer::device_for)?;
    tracing::info!(backend = chosen.backend.name(), why = chosen.why, "backend");
    let engine = engines.load_for_any(chosen.backend.endings())?;
    for path in arguments.report.iter().chain(&arguments.html) {
        check_writable(path)?;
    }
    arguments.masks.as_deref().map(make_folder).transpose()?;
    let prevalence = prevalence_of(arguments, plan.as_ref().map(|(plan, _)| plan))?;
    let data = DataSet::open_with(&arguments.data, &mut Checking(Progress::new("checked")))?;
    if let Some((wanted, is)) = plan.as_ref().and_then(|(plan, _)| Some((plan.data.as_ref()?, &data.name))).filter(|(a, b)| a != b) {
        anyhow::bail!("the plan is for the data set '{wanted}', this is '{is}': give --data that one");
    }
    let settings = infer::Settings { normalise: arguments.normalise == "on", ..Default::default() };
    let found = work::run((&engine, chosen.backend, &settings), regions_of(&engine), &data, prevalence, arguments.masks.as_deref())?;
    let (verdicts, missing) = match &plan {
        Some((plan, _)) => judge(plan, &found.summary, found.tracking.as_ref()),
        None => (Vec::new(), Vec::new()),
    };
    let outcome = Outcome { found: &found, verdicts: &verdicts, missing: &missing };
    let is_normalised = engine.manifest.normalisation.is_some() && settings.normalise;
    let bound = Bound { engine: &engine, backend: chosen.backend, is_normalised, data: &data, plan: plan.as_ref() };
    report::print(&bound, &outcome);
    report::write(&bound, &outcome, arguments.report.as_deref(), arguments.html.as_deref())?;
    let not_met = verdicts.iter().filter(|verdict| !verdict.met).count() + missing.len();
    if not_met > 0 {
        return Err(Finding(format!("{not_met} of what the plan asks for is not met; the lines marked NOT MET say why")).into());
    }
    Ok(())
}

fn open_plan(path: &Path) -> anyhow::Result<(Plan, crate::eval::Registration)> {
    let unix_s = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let (day, time) = utc(unix_s);
    Plan::open(path, &format!("{day} {time} UTC"))
        .map_err(|error| if error.is_finding() { Finding(error.to_string()).into() } else { error.into() })
}

fn prevalence_of(arguments: &Arguments, plan: Option<&Plan>) -> anyhow::Result<Option<Prevalence>> {
    let stated = |flag: Option<f64>, planned: Option<f64>, name: &str| match (flag, planned) {
        (Some(flag), Some(planned)) if flag != planned => {
            Err(anyhow::anyhow!("--{name} {flag}: the plan says {planned}; leave the flag out"))
        }
        (flag, planned) => Ok(flag.or(planned)),
    };
    let rate = stated(arguments.pictures_a_second, plan.and_then(|plan| plan.pictures_a_second), "pictures-a-second")?;
    let Some(prevalence) = stated(arguments.prevalence, plan.and_then(|plan| plan.prevalence), "prevalence")? else { return Ok(None) };
    let pictures_a_second = rate.unwrap_or(PICTURES_A_SECOND);
    anyhow::ensure!((0.0..=1.0).contains(&prevalence), "--prevalence {prevalence}: give a part, 0 to 1");
    anyhow::ensure!(pictures_a_second > 0.0 && pictures_a_second.is_finite(), "--pictures-a-second: give a number above 0");
    Ok(Some(Prevalence { prevalence, pictures_a_second }))
}

/// What the engine tells apart by pixels or boxes.
fn regions_of(engine: &LockedEngine) -> Vec<ClassId> {
    let table = classes::table();
    let is_region =
        |id: &ClassId| [ClassKind::Tissue, ClassKind::Instrument, ClassKind::Finding].iter().any(|kind| table.has_kind(*id, *kind));
    let mut ids: Vec<ClassId> = engine.manifest.heads.iter().flat_map(|head| head.class_ids()).copied().filter(is_region).collect();
    ids.sort_unstable_by_key(|id| id.0);
    ids.dedup();
    ids
}

struct Checking(Progress);

impl Visitor for Checking {
    fn size_of(&mut self, image: &Path) -> Result<Option<(usize, usize)>, String> {
        read(image).map(|(layout, _)| Some((layout.width, layout.height))).map_err(|error| format!("{error:#}"))
    }

    fn progress(&mut self, done: usize, total: usize) {
        self.0.told(done, total);
    }
}

/// How far it is and how long it will take: a line that is rewritten on a terminal, a line each half minute elsewhere.
pub struct Progress {
    what: &'static str,
    begun: Instant,
    told: Instant,
    is_terminal: bool,
}

impl Progress {
    fn new(what: &'static str) -> Self {
        let now = Instant::now();
        Progress { what, begun: now, told: now, is_terminal: std::io::stderr().is_terminal() }
    }

    fn told(&mut self, done: usize, total: usize) {
        let pause = Duration::from_millis(if self.is_terminal { 200 } else { 30_000 });
        let is_last = done == total && self.is_terminal;
        if !is_last && self.told.elapsed() < pause {
            return;
        }
        self.told = Instant::now();
        let left_s = self.begun.elapsed().as_secs_f64() / done.max(1) as f64 * total.saturating_sub(done) as f64;
        let left = match left_s {
            s if done == total || s < 1.0 => String::new(),
            s if s < 90.0 => format!(", about {s:.0} s left"),
            s => format!(", about {:.0} min left", s / 60.0),
        };
        let (before, after) = if self.is_terminal { ("\r", if done == total { "\x1b[K\n" } else { "\x1b[K" }) } else { ("", "\n") };
        let _ = write!(std::io::stderr(), "{before}{}: {done} of {total}{left}{after}", self.what);
    }
}
