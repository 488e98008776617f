//! `keyhole selftest`: the product's own path, fed with numbered pictures and watched; a verdict, a report, a history.

use crate::base::error::Finding;
use crate::base::files::write_durably;
use crate::base::shutdown;
use crate::capture::PatternSpec;
use crate::config::{Config, Mode};
use crate::guard::{self, Form, Grade, History, Limits, Report};
use crate::overlay::OverlayMode;
use crate::pipeline::selftest::{self, Loop, LoopError, Machine, PixelFault};
use crate::pipeline::{self, DisplayChoice, Limit, SnapshotPlan, Spec};
use anyhow::{Context, bail};
use clap::{Args, Subcommand, ValueEnum};
use std::path::{Path, PathBuf};

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum LoopName {
    /// The frame path, with a display in memory.
    Internal,
    /// A window under X, captured back.
    X11,
    /// The display's output wired to a capture input (--source).
    Cable,
    /// A light before the scope and a photodiode on the glass (--photodiode): any tower and monitor.
    External,
}

/// What can be put in on purpose, to see that the self-test finds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Fault {
    /// The colours are of another matrix than the stream states.
    Matrix,
    /// In one of the pictures that are compared one pixel of the overlay lies beside its place (full form).
    OverlayPixel,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// What earlier self-tests said, and whether the delay drifts.
    History {
        /// Write it as one self-contained page.
        #[arg(long, value_name = "F")]
        html: Option<PathBuf>,
        /// TOML file with a table a room.
        #[arg(long, value_name = "F")]
        config: Option<PathBuf>,
    },
}

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Arguments {
    #[command(subcommand)]
    verb: Option<Verb>,
    /// Where the pictures are looked at again. Default: x11 where there is an X display, else internal; of the quick form, the input of
    /// `[guard] loop_through`, where that is set and nothing is on the screen.
    #[arg(long, value_enum)]
    r#loop: Option<LoopName>,
    /// The short form, as at each boot (at most 10 s); without it the full one.
    #[arg(long)]
    quick: bool,
    /// Pictures to measure. Default: 500 (quick), 4000 (full).
    #[arg(long, value_name = "N")]
    frames: Option<u64>,
    /// With --loop cable: the input that the monitor's signal is wired to.
    #[arg(long, value_name = "S")]
    source: Option<String>,
    /// With --loop external: the port of the board that has the light and the photodiode (hw/photodiode).
    #[arg(long, value_name = "PORT")]
    photodiode: Option<PathBuf>,
    /// With --loop external: what is measured, for the report ("OR 3, before").
    #[arg(long, value_name = "WORDS")]
    label: Option<String>,
    /// The pictures that are sent; faults can be put in on purpose (delay_ms=40, drop=250).
    #[arg(long, value_name = "S", default_value = "pattern:?width=1920&height=1080&fps=60")]
    pattern: String,
    /// Put a mistake in on purpose: the self-test has to fail. Refused in clinical mode.
    #[arg(long, value_enum, value_name = "WHAT")]
    fault: Option<Fault>,
    /// Write the report as JSON.
    #[arg(long, value_name = "F")]
    report: Option<PathBuf>,
    /// Write the report as one self-contained page, to read, print and sign.
    #[arg(long, value_name = "F")]
    html: Option<PathBuf>,
    /// TOML file with a table a room; flags override it.
    #[arg(long, value_name = "F")]
    config: Option<PathBuf>,
    /// Folder that holds the engines' folders.
    #[arg(long, value_name = "DIR")]
    engines: Option<PathBuf>,
    /// A run shows its picture meanwhile: nothing is more urgent than that.
    #[arg(long, hide = true)]
    beside_a_picture: bool,
}

const QUICK_FRAMES: u64 = 500;
const FULL_FRAMES: u64 = 4_000;
/// Of the board's own pace, about.
const SECONDS_A_FLASH: f64 = 0.35;
/// Pictures at the start and the end that may be out of the witness's sight.
const SPARE_FRAMES: u64 = 15;

pub fn main(arguments: Arguments) -> anyhow::Result<()> {
    shutdown::catch_signals();
    if let Some(Verb::History { html, config }) = arguments.verb {
        return history(html.as_deref(), &Config::load(config.as_deref())?);
    }
    if arguments.beside_a_picture {
        pipeline::stand_beside_a_picture();
    }
    let config = Config::load(arguments.config.as_deref())?;
    let form = if arguments.quick { Form::Quick } else { Form::Full };
    let frames = arguments.frames.unwrap_or(if arguments.quick { QUICK_FRAMES } else { FULL_FRAMES });
    // Limits that nobody approved are a failure of the self-test, not of its start: it judges by those that were shipped.
    let limits = match Limits::load(None, config.guard.site_limits.as_deref(), config.mode, &config.store.trusted_keys) {
        Ok(limits) => JudgedBy { limits, refused: None },
        Err(error) => JudgedBy { limits: Limits::shipped(), refused: Some(error.to_string()) },
    };
    if let Some(port) = arguments.photodiode.as_deref().filter(|_| arguments.r#loop != Some(LoopName::External)) {
        bail!("--photodiode {} is looked at with --loop external alone", port.display())
    }
    let looked_at = if arguments.r#loop.is_none() && arguments.source.is_none() { spare_input(&arguments, &config) } else { None };
    let what = match (arguments.r#loop, arguments.source.clone()) {
        (None, None) if let Some(source) = &looked_at => Loop::Cable(source.clone()),
        (Some(LoopName::Cable), Some(source)) => Loop::Cable(source),
        (Some(LoopName::Cable), None) => {
            bail!("--loop cable needs the input that the monitor's signal is wired to: --source v4l2:/dev/video0, say")
        }
        (_, Some(source)) => bail!("--source {source} is looked at with --loop cable alone"),
        (Some(LoopName::Internal), None) => Loop::Internal,
        (Some(LoopName::X11), None) => Loop::X11,
        (Some(LoopName::External), None) => return external(&arguments, &config, form, frames, &limits),
        (None, None) if std::env::var_os("DISPLAY").is_some_and(|name| !name.is_empty()) => Loop::X11,
        (None, None) => Loop::Internal,
    };
    let pattern = arguments.pattern.clone() + if arguments.fault == Some(Fault::Matrix) { "&matrix=bt601" } else { "" };
    let is_faulty = arguments.fault.is_some() || PatternSpec::parse(&pattern)?.is_faulty();
    if is_faulty && config.mode == Mode::Clinical {
        bail!("a self-test with a fault put in on purpose says nothing of this appliance, and is refused in clinical mode: leave it out")
    }
    let state = config.guard.folder();
    std::fs::create_dir_all(&state).with_context(|| format!("the self-test's folder {} cannot be made", state.display()))?;
    // Picture first: no pattern is drawn over it.
    let _drawing = match what {
        Loop::Internal => None,
        Loop::X11 | Loop::Cable(_) if let Some(id) = pipeline::case::open_case() => {
            bail!("case {id} is open: no pattern is drawn until it is closed; end its run first, or test in memory (--loop internal)")
        }
        Loop::X11 | Loop::Cable(_) => match pipeline::picture_lock::draws(&state) {
            Some(lock) => Some(lock),
            None => bail!(
                "a run shows its picture on the monitor: no pattern is drawn over it; end the run first, or test in memory (--loop internal)"
            ),
        },
    };
    let began = std::time::Instant::now();
    let mut report = Report::new(kind_of(&what), form, config.mode, selftest::now(), &selftest::boot_id());
    report.since_boot_s = crate::base::clock::since_boot_s();
    eprintln!(
        "keyhole: self-test, loop {}, {} pictures: this takes about {:.0} s",
        report.loop_kind.name(),
        frames,
        frames as f64 / 60.0 + if arguments.quick { 5.0 } else { 12.0 }
    );
    let machine = Machine { config: &config, engines: arguments.engines.as_deref(), state: &state };
    report.checks = machine.checks(&limits.limits);
    report.checks.extend(machine.proofs(form, &limits.limits, arguments.fault.map(Fault::in_pixels)));
    let spec = spec_of(&config, &what, arguments.engines.clone())?;
    let seen = match selftest::observe(spec, &what, &pattern, frames + SPARE_FRAMES) {
        // Nobody asked for it: a spare input that sees nothing leaves the cable unproven, and the rest to be tested.
        Err(error @ (LoopError::Witness { .. } | LoopError::NotFound { .. })) if looked_at.is_some() => {
            eprintln!("keyhole: the cable is not proven: {error}; the self-test goes on in memory");
            report.loop_kind = guard::Loop::Internal;
            let spec = spec_of(&config, &Loop::Internal, arguments.engines.clone())?;
            selftest::observe(spec, &Loop::Internal, &pattern, frames + SPARE_FRAMES)?
        }
        seen => seen?,
    };
    report.fingerprint = selftest::fingerprint(&config, arguments.engines.as_deref(), &limits.limits);
    selftest::judge(&seen, form, &limits.limits, &mut report);
    let history = History::open(&state)?;
    report.last_cable_proof = history.last_cable_proof().map(|entry| entry.at.clone());
    report.changes = history.last_full().map_or_else(Vec::new, |full| {
        report.fingerprint.changes_since(&full.fingerprint).iter().map(|change| change.since("the last full self-test")).collect()
    });
    report.device = device(&report, &seen.report);
    if is_faulty {
        report.device.insert("fault put in on purpose".to_owned(), arguments.fault.map_or(pattern.clone(), |fault| format!("{fault:?}")));
    }
    report.seconds = began.elapsed().as_secs_f64();
    report.checks.push(guard::Check::duration(report.seconds, form, &limits.limits));
    conclude(&arguments, &config, &limits, history, report)
}

/// The input that sees the monitor's loop-through, for a quick self-test while nothing is on the monitor: no picture, no case.
fn spare_input(arguments: &Arguments, config: &Config) -> Option<String> {
    let has_screen = ["DISPLAY", "WAYLAND_DISPLAY"].iter().any(|name| std::env::var_os(name).is_some_and(|value| !value.is_empty()));
    let is_free = || pipeline::case::open_case().is_none() && pipeline::picture_lock::draws(&config.guard.folder()).is_some();
    let input = config.guard.loop_through.clone().filter(|_| arguments.quick && !arguments.beside_a_picture && has_screen)?;
    is_free().then_some(input)
}

/// The loop `external`: the report is of whatever stands between the light and the glass.
fn external(arguments: &Arguments, config: &Config, form: Form, flashes: u64, limits: &JudgedBy) -> anyhow::Result<()> {
    let Some(port) = &arguments.photodiode else {
        bail!("--loop external needs the board with the light and the photodiode: --photodiode /dev/ttyACM0, say (hw/photodiode)")
    };
    let mut report = Report::new(guard::Loop::External, form, config.mode, selftest::now(), &selftest::boot_id());
    report.since_boot_s = crate::base::clock::since_boot_s();
    let began = std::time::Instant::now();
    eprintln!("keyhole: {flashes} flashes: this takes about {:.0} s", flashes as f64 * SECONDS_A_FLASH);
    let seen = selftest::measure(port, flashes, |seen| {
        if seen > 0 && seen.is_multiple_of(50) {
            eprintln!("keyhole: {seen} of {flashes} flashes, {:.0} s", began.elapsed().as_secs_f64());
        }
    })?;
    selftest::judge_external(&seen, form, &limits.limits, &mut report);
    let looks = seen.looks_a_second.map_or_else(|| "not said".to_owned(), |hz| hz.to_string());
    report.device = [("photodiode", port.display().to_string()), ("looks at the glass a second", looks)]
        .map(|(name, value)| (name.to_owned(), value))
        .into();
    if let Some(label) = &arguments.label {
        report.device.insert("measured".to_owned(), label.clone());
    }
    report.seconds = began.elapsed().as_secs_f64();
    let state = config.guard.folder();
    std::fs::create_dir_all(&state).with_context(|| format!("the self-test's folder {} cannot be made", state.display()))?;
    conclude(arguments, config, limits, History::open(&state)?, report)
}

/// Judges, keeps, writes, says.
fn conclude(arguments: &Arguments, config: &Config, limits: &JudgedBy, mut history: History, mut report: Report) -> anyhow::Result<()> {
    if let Some(reason) = &limits.refused {
        let refused = guard::Check::found(guard::Test::LimitsFile, false, reason.as_str());
        report.checks.retain(|check| check.code != refused.code);
        report.checks.push(refused);
    }
    report.judge(limits.limits.number("cable_proof_days").unwrap_or(0.0));
    let kept = history.keep(&report, config.guard.reports_kept)?;
    if let Some(path) = &arguments.report {
        report.write(path)?;
    }
    if let Some(path) = &arguments.html {
        write_durably(path, guard::report_html(&report).as_bytes()).with_context(|| format!("{} cannot be written", path.display()))?;
    }
    say(&report);
    eprintln!("keyhole: kept as {}", kept.display());
    match report.verdict.grade {
        Grade::Fail => Err(Finding(report.verdict.words.clone()).into()),
        Grade::Pass | Grade::PassWithLimits => Ok(()),
    }
}

/// The limits of this self-test, and why it could not take those that it was to judge by.
struct JudgedBy {
    limits: Limits,
    refused: Option<String>,
}

impl Fault {
    fn in_pixels(self) -> PixelFault {
        match self {
            Fault::Matrix => PixelFault::Matrix,
            Fault::OverlayPixel => PixelFault::ShiftedPixel,
        }
    }
}

fn kind_of(what: &Loop) -> guard::Loop {
    match what {
        Loop::Internal => guard::Loop::Internal,
        Loop::X11 => guard::Loop::X11,
        Loop::Cable(_) => guard::Loop::Cable,
    }
}

fn spec_of(config: &Config, what: &Loop, engines: Option<PathBuf>) -> anyhow::Result<Spec> {
    Ok(Spec {
        source: String::new(),
        display: if *what == Loop::Internal { DisplayChoice::Headless } else { DisplayChoice::Auto },
        limit: Limit::default(),
        overlay: OverlayMode::Off,
        is_overlay_asked: true,
        hud: false,
        is_hud_asked: true,
        engines,
        record: None,
        record_clean: None,
        snapshots: SnapshotPlan::default(),
        report: None,
        timeline: None,
        scenes: None,
        masks: None,
        coverage: None,
        worker: pipeline::own_worker().context("the AI process cannot be started: this program's own file is not found")?,
        taps: None,
        case: None,
        inject: None,
        config: Config { preferences: false, ..config.clone() },
    })
}

/// What a reader of the report wants to know of the device.
fn device(report: &Report, run: &crate::record::Report) -> std::collections::BTreeMap<String, String> {
    let mut parts = report.fingerprint.hardware.clone();
    for (name, value) in [
        ("display", run.display.as_str()),
        ("compositor", run.compositor),
        ("adapter", run.adapter.as_str()),
        ("scheduling", run.scheduling.as_str()),
    ]
    .map(|(name, value)| (name, value.to_owned()))
    {
        parts.insert(name.to_owned(), value);
    }
    if let Ok(kernel) = std::fs::read_to_string("/proc/sys/kernel/osrelease") {
        parts.insert("kernel".to_owned(), kernel.trim().to_owned());
    }
    parts
}

fn say(report: &Report) {
    println!("{}: {}", report.verdict.grade.words(), report.verdict.words);
    for named in report.verdict.failures.iter().chain(&report.verdict.limits) {
        println!("  {}  {}", named.code, named.words);
    }
    let delays = &report.delays_ms;
    for (name, delay) in [("cable to cable", &delays.cable_to_cable), ("video", &delays.video), ("annotation", &delays.annotation)] {
        if let Some(delay) = delay {
            println!("  {name}: p50 {:.2}  p99 {:.2}  max {:.2} ms, {} pictures", delay.p50, delay.p99, delay.max, delay.count);
        }
    }
}

fn history(html: Option<&Path>, config: &Config) -> anyhow::Result<()> {
    let limits = Limits::load(None, config.guard.site_limits.as_deref(), config.mode, &config.store.trusted_keys)?;
    let history = History::open(&config.guard.folder())?;
    print!("{}", history.text(&limits));
    if let Some(path) = html {
        let page = guard::history_html(&history, &limits, "this appliance", &selftest::now());
        write_durably(path, page.as_bytes()).with_context(|| format!("{} cannot be written", path.display()))?;
    }
    Ok(())
}
