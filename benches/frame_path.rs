//! The whole frame path, as the product runs it: delays, stages, drops, allocations a frame by thread, and resident memory.
//!
//!     cargo bench --bench frame_path -- [--source S]... [--seconds T]
//!
//! This binary is the product with a counting allocator, and the driver that starts it: each source is run for a short and
//! for a long time, and what the long run allocated more, over the frames that it showed more, is what a frame costs.
//! Only Rust's allocations are counted; what GStreamer and ONNX Runtime take by malloc shows in the resident memory.
//! `--sites` says where they come from (and slows the run down).

use anyhow::{Context, bail};
use clap::Parser;
use serde_json::{Value, json};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};
use std::sync::atomic::{AtomicI64, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

const THREADS: usize = 256;
const NAME_BYTES: usize = 16;

struct Counted {
    count: AtomicU64,
    live_bytes: AtomicI64,
    name: [AtomicU64; 2],
}

static COUNTED: [Counted; THREADS] =
    [const { Counted { count: AtomicU64::new(0), live_bytes: AtomicI64::new(0), name: [const { AtomicU64::new(0) }; 2] } }; THREADS];
static NEXT: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    static INDEX: Cell<usize> = const { Cell::new(usize::MAX) };
}

struct Counting;

/// Where this thread is counted; the last place is shared by all that came too late.
fn mine() -> Option<&'static Counted> {
    let index = INDEX
        .try_with(|index| {
            if index.get() == usize::MAX {
                index.set(NEXT.fetch_add(1, Ordering::Relaxed).min(THREADS - 1));
            }
            index.get()
        })
        .ok()?;
    Some(&COUNTED[index])
}

fn count(bytes: i64) {
    let Some(mine) = mine() else { return };
    let before = mine.count.fetch_add(1, Ordering::Relaxed);
    mine.live_bytes.fetch_add(bytes, Ordering::Relaxed);
    sites::note(before);
    // A thread is named shortly after it has started: looked up again while it is young, without allocating.
    if before < 64 {
        let mut name = [0u8; NAME_BYTES];
        // SAFETY: the kernel writes at most 16 bytes, the last of them a zero.
        unsafe { libc::prctl(libc::PR_GET_NAME, name.as_mut_ptr()) };
        for (half, bytes) in mine.name.iter().zip(name.as_chunks::<8>().0) {
            half.store(u64::from_ne_bytes(*bytes), Ordering::Relaxed);
        }
    }
}

// SAFETY: passes every call on to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as i64);
        // SAFETY: the caller's own promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn realloc(&self, start: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        count(new_size as i64 - layout.size() as i64);
        // SAFETY: the caller's own promise.
        unsafe { System.realloc(start, layout, new_size) }
    }

    unsafe fn dealloc(&self, start: *mut u8, layout: Layout) {
        if let Some(mine) = mine() {
            mine.live_bytes.fetch_sub(layout.size() as i64, Ordering::Relaxed);
        }
        // SAFETY: the caller's own promise.
        unsafe { System.dealloc(start, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const MARK: &str = "ALLOCATIONS ";

fn main() -> ExitCode {
    let role = std::env::args().nth(1).unwrap_or_default();
    if role == "run" || role == "worker" {
        sites::start();
        if role == "worker" {
            // It is killed at the end: what it tells while it runs is all there is.
            let _ = std::thread::Builder::new().name("tell".to_owned()).spawn(|| {
                loop {
                    std::thread::sleep(Duration::from_millis(250));
                    tell("worker");
                }
            });
        }
        let code = keyhole::cmd::main();
        tell(&role);
        return code;
    }
    match drive() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

/// One line on standard error: allocations and live bytes by thread name.
fn tell(role: &str) {
    let mut threads: BTreeMap<String, (u64, i64)> = BTreeMap::new();
    for counted in &COUNTED[..NEXT.load(Ordering::Relaxed).min(THREADS)] {
        let bytes: Vec<u8> =
            counted.name.iter().flat_map(|half| half.load(Ordering::Relaxed).to_ne_bytes()).take_while(|&b| b != 0).collect();
        let entry = threads.entry(String::from_utf8_lossy(&bytes).into_owned()).or_default();
        entry.0 += counted.count.load(Ordering::Relaxed);
        entry.1 += counted.live_bytes.load(Ordering::Relaxed);
    }
    eprintln!("{MARK}{}", json!({ "role": role, "threads": threads, "sites": sites::found() }));
}

/// Where allocations come from: the innermost lines of ours on the stack, of one in [`sites::ONE_IN`].
mod sites {
    use std::backtrace::Backtrace;
    use std::cell::Cell;
    use std::collections::BTreeMap;
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicBool, Ordering};

    pub const ONE_IN: u64 = 7;
    /// A thread's first allocations are its start.
    const START: u64 = 3000;
    const LINES: usize = 3;

    static IS_ON: AtomicBool = AtomicBool::new(false);
    static FOUND: Mutex<BTreeMap<String, u64>> = Mutex::new(BTreeMap::new());

    thread_local! {
        static IS_LOOKING: Cell<bool> = const { Cell::new(false) };
    }

    /// Symbols are read once, before a sandbox forbids it.
    pub fn start() {
        if std::env::var_os("KEYHOLE_BENCH_SITES").is_some() {
            let _ = Backtrace::force_capture().to_string();
            IS_ON.store(true, Ordering::Relaxed);
        }
    }

    pub fn note(before: u64) {
        if !IS_ON.load(Ordering::Relaxed) || before < START || !before.is_multiple_of(ONE_IN) {
            return;
        }
        if IS_LOOKING.try_with(|looking| looking.replace(true)).unwrap_or(true) {
            return;
        }
        let text = Backtrace::force_capture().to_string();
        let mut ours: Vec<&str> = text.lines().filter_map(|line| line.trim().strip_prefix("at ./src/")).collect();
        if ours.is_empty() {
            // A sandboxed process knows no lines.
            ours = text.lines().filter(|line| line.contains("keyhole::")).filter_map(|line| line.split_once(": ")).map(|at| at.1).collect();
        }
        let name = std::thread::current().name().unwrap_or("?").to_owned();
        if let Ok(mut found) = FOUND.lock() {
            *found.entry(format!("{name}: {}", ours[..ours.len().min(LINES)].join(" < "))).or_default() += 1;
        }
        IS_LOOKING.set(false);
    }

    pub fn found() -> Vec<(String, u64)> {
        let looking = IS_LOOKING.replace(true);
        let mut found: Vec<(String, u64)> = FOUND.lock().map(|found| found.clone().into_iter().collect()).unwrap_or_default();
        found.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        found.truncate(60);
        IS_LOOKING.set(looking);
        found
    }
}

#[derive(Parser)]
struct Arguments {
    #[arg(long)]
    source: Vec<String>,
    /// Length of the long run; the short one is a third of it.
    #[arg(long, default_value_t = 30.0)]
    seconds: f64,
    /// Says where allocations come from.
    #[arg(long)]
    sites: bool,
    #[arg(long, default_value = "target/frame_path")]
    out: PathBuf,
    #[arg(long, hide = true)]
    bench: bool,
}

struct Played {
    report: Value,
    /// (role, thread) → allocations, live bytes at the end.
    threads: BTreeMap<(String, String), (u64, i64)>,
    /// Role → where allocations come from.
    sites: BTreeMap<String, Value>,
    /// Resident memory of both processes over time, (s, MB).
    resident: Vec<(f64, f64)>,
}

fn drive() -> anyhow::Result<()> {
    let mut a = Arguments::parse();
    if a.source.is_empty() {
        a.source = vec!["sim:?width=1280&height=720&fps=60".into(), "sim:?width=1920&height=1080&fps=60".into()];
    }
    std::fs::create_dir_all(&a.out)?;
    let mut all = Vec::new();
    for source in &a.source {
        play(source, 1.0, &a)?;
        let (short, long) = (play(source, a.seconds / 3.0, &a)?, play(source, a.seconds, &a)?);
        all.push(print(source, &short, &long));
    }
    std::fs::write(a.out.join("frame_path.json"), serde_json::to_vec_pretty(&all)?)?;
    Ok(())
}

fn play(source: &str, seconds: f64, a: &Arguments) -> anyhow::Result<Played> {
    let (report, errors) = (a.out.join("report.json"), a.out.join("stderr.txt"));
    let mut child = Command::new(std::env::current_exe()?)
        .args(["run", "--source", source, "--display", "headless", "--seconds", &seconds.to_string(), "--report"])
        .arg(&report)
        .stdout(Stdio::null())
        .stderr(std::fs::File::create(&errors)?)
        .envs(a.sites.then_some(("KEYHOLE_BENCH_SITES", "1")))
        .spawn()?;
    let (mut resident, mut elapsed_s) = (Vec::new(), 0.0);
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        std::thread::sleep(Duration::from_millis(250));
        elapsed_s += 0.25;
        // Nothing is resident of a process that has just ended.
        resident.extend(Some((elapsed_s, resident_mb(child.id()))).filter(|(_, mb)| *mb > 0.0));
    };
    let text = std::fs::read_to_string(&errors)?;
    if !status.success() {
        bail!("{source}: {text}");
    }
    let (mut threads, mut sites) = (BTreeMap::new(), BTreeMap::new());
    for line in text.lines().filter_map(|line| line.split_once(MARK)) {
        let told: Value = serde_json::from_str(line.1)?;
        let role = told["role"].as_str().context("no role")?.to_owned();
        sites.insert(role.clone(), told["sites"].clone());
        for (name, counts) in told["threads"].as_object().context("no threads")? {
            threads.insert((role.clone(), name.clone()), (counts[0].as_u64().unwrap_or(0), counts[1].as_i64().unwrap_or(0)));
        }
    }
    Ok(Played { report: serde_json::from_slice(&std::fs::read(&report)?)?, threads, sites, resident })
}

/// Resident memory of a process and its children, MB; shared pages count in each.
fn resident_mb(pid: u32) -> f64 {
    let of = |pid: &str| -> f64 {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
        line.and_then(|line| line.trim().trim_end_matches(" kB").trim().parse::<f64>().ok()).unwrap_or(0.0) / 1024.0
    };
    let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    of(&pid.to_string()) + children.split_whitespace().map(of).sum::<f64>()
}

fn print(source: &str, short: &Played, long: &Played) -> Value {
    let r = &long.report;
    println!("\n{source}: {} s, {}, scheduling {}", r["seconds"], r["display"], r["scheduling"]);
    println!("  frames {}  losses {}  machine stall max {} ms", r["frames"], r["losses"], r["machine_stall_ms"]["max"]);
    let line = |name: &str, d: &Value| {
        let p999 = d["p999"].as_f64().map_or("     –".to_owned(), |ms| format!("{ms:6.2}"));
        let [p50, p99, max] = ["p50", "p99", "max"].map(|key| d[key].as_f64().unwrap_or(f64::NAN));
        println!("  {name:18} n {:7}  p50 {p50:6.2}  p99 {p99:6.2}  p99.9 {p999}  max {max:6.2} ms", d["count"]);
    };
    for name in ["video_delay_ms", "annotation_delay_ms", "overlay_age_ms"] {
        line(name, &r[name]);
    }
    for (name, stage) in r["stages_ms"].as_object().into_iter().flatten() {
        line(name, stage);
    }
    let shown = |played: &Played| played.report["frames"]["displayed"].as_f64().unwrap_or(0.0);
    let frames = (shown(long) - shown(short)).max(1.0);
    println!("  allocations a frame, and what is more alive after {frames:.0} more frames:");
    let mut told = BTreeMap::new();
    for ((role, name), (count, live)) in &long.threads {
        let (before, live_before) = short.threads.get(&(role.clone(), name.clone())).copied().unwrap_or_default();
        let a_frame = (*count as f64 - before as f64) / frames;
        if a_frame.abs() >= 0.005 {
            println!("    {role:6} {name:16} {a_frame:8.2}   {:+9} bytes", live - live_before);
        }
        told.insert(format!("{role}/{name}"), json!([a_frame, live - live_before]));
    }
    for (role, sites) in &long.sites {
        for site in sites.as_array().into_iter().flatten() {
            let a_frame = site[1].as_f64().unwrap_or(0.0) * sites::ONE_IN as f64 / shown(long).max(1.0);
            if a_frame >= 0.05 {
                println!("      {role} {a_frame:8.2}  {}", site[0]);
            }
        }
    }
    // The first third is start-up: engines load, buffers grow to what they need.
    let settled = &long.resident[long.resident.len() / 3..];
    let growth = slope(settled) * 60.0;
    println!("  resident (anonymous) {:.1} MB at the end, growing by {growth:+.2} MB a minute", settled.last().map_or(0.0, |at| at.1));
    json!({ "source": source, "report": r, "allocations_a_frame": told, "resident_mb": long.resident, "growth_mb_a_minute": growth })
}

/// Least squares.
fn slope(points: &[(f64, f64)]) -> f64 {
    let n = points.len() as f64;
    let mean = |pick: fn(&(f64, f64)) -> f64| points.iter().map(pick).sum::<f64>() / n;
    let (x, y) = (mean(|p| p.0), mean(|p| p.1));
    let over: f64 = points.iter().map(|p| (p.0 - x) * (p.1 - y)).sum();
    over / points.iter().map(|p| (p.0 - x).powi(2)).sum::<f64>().max(1e-9)
}
