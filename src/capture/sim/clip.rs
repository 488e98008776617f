//! A clip rendered ahead: pictures of one loop in a file that is mapped, kept in the cache for the next time.
//!
//! ```text
//!   open ─┬─ a whole file is there ────────────────────────────► mapped, all pictures at once (milliseconds)
//!         └─ none: threads of low priority render in order ─► .part file, mapped; renamed when whole
//!                    └─ a picture that cannot be written (disk full) stays in memory, and nothing is renamed
//! ```
//! Playing may begin before the clip is whole: see `open_to_play`.
//! `frame(n)` is the picture n or None, never another picture: what was not rendered yet is late, not different.

use super::SimError;
use super::mapped::Mapped;
use super::render::{Simulator, Truth};
use super::spec::Spec;
use crate::base::paths::cache_folder;
use crate::base::shutdown;
use crate::frame::FrameLayout;
use sha2::{Digest, Sha256};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, OnceLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Goes up with every change of any pixel or mask: older files in the cache are then others.
pub const RENDERER_VERSION: u32 = 1;
const HEADER_BYTES: usize = 4096;
const MOST_RENDER_THREADS: usize = 8;
/// Clips that stay in the cache: the oldest beyond these are removed when a new one is whole.
const KEPT_CLIPS: usize = 4;

/// Where a picture is, once it is there.
#[derive(Debug)]
enum Stored {
    File,
    Memory(Box<[u8]>),
}

#[derive(Debug)]
struct Shared {
    spec: Spec,
    layout: FrameLayout,
    simulator: OnceLock<Result<Simulator, String>>,
    mapped: Option<Mapped>,
    frames: Vec<OnceLock<Stored>>,
    next: AtomicUsize,
    done: Mutex<usize>,
    rendered: Condvar,
    stopped: AtomicBool,
}

/// A clip that plays while it is still being rendered. Dropping it stops the rendering.
#[derive(Debug)]
pub struct Clip {
    shared: Arc<Shared>,
    workers: Vec<JoinHandle<()>>,
}

impl Clip {
    /// Opens `spec` from the cache or renders it, and returns when it is whole. `progress(done, total)` in pictures.
    ///
    /// Errors: a size that no frame can have, more pictures than are allowed.
    pub fn open(spec: &Spec, progress: &mut dyn FnMut(usize, usize)) -> Result<Self, SimError> {
        let clip = Self::start(spec, Some(&cache_folder()))?;
        let total = clip.frame_count();
        loop {
            let done = clip.wait_for(total, Duration::from_millis(100));
            progress(done, total);
            if done == total {
                return Ok(clip);
            }
            if shutdown::signalled() {
                return Err(SimError::Interrupted);
            }
        }
    }

    /// As `open`, but returns as soon as playing can begin without ever waiting for a picture: the rest is rendered while
    /// it plays, in order and ahead of it, at low priority.
    pub fn open_to_play(spec: &Spec) -> Result<Self, SimError> {
        let clip = Self::start_in_cache(spec)?;
        let mut first: Option<(Instant, usize)> = None;
        loop {
            let done = clip.wait_for(first.map_or(1, |_| usize::MAX), Duration::from_millis(50));
            if done > 0 {
                let (since, before) = *first.get_or_insert_with(|| (Instant::now(), done));
                let rate = (done - before) as f64 / since.elapsed().as_secs_f64().max(1e-3);
                if is_far_enough(done, clip.frame_count(), rate, spec.fps()) {
                    return Ok(clip);
                }
            }
            if shutdown::signalled() {
                return Err(SimError::Interrupted);
            }
        }
    }

    /// Is `spec` in the cache, so that it opens at once?
    pub fn is_cached(spec: &Spec) -> bool {
        let Ok(layout) = spec.layout() else { return false };
        let total_bytes = HEADER_BYTES + layout.size * spec.frame_count();
        open_whole(&file_of(&cache_folder(), spec), &header(spec, &layout), total_bytes).is_some()
    }

    /// Opens `spec` and returns at once: what is not in the cache is being rendered, in order.
    pub fn start_in_cache(spec: &Spec) -> Result<Self, SimError> {
        Self::start(spec, Some(&cache_folder()))
    }

    /// As `start_in_cache`, with the cache's folder; None keeps the clip in memory.
    pub fn start(spec: &Spec, folder: Option<&Path>) -> Result<Self, SimError> {
        spec.check_clip()?;
        let layout = spec.layout()?;
        let header = header(spec, &layout);
        let total_bytes = HEADER_BYTES + layout.size * spec.frame_count();
        let path = folder.map(|folder| file_of(folder, spec));
        let whole = path.as_deref().and_then(|path| open_whole(path, &header, total_bytes));
        let is_whole = whole.is_some();
        let part = if is_whole { None } else { path.and_then(|path| Part::create(path, total_bytes)) };
        let mapped = whole.or_else(|| part.as_ref().and_then(|part| Mapped::new(&part.file, total_bytes).ok()));
        let shared = Arc::new(Shared {
            spec: spec.clone(),
            layout,
            simulator: OnceLock::new(),
            mapped,
            frames: (0..spec.frame_count()).map(|_| OnceLock::new()).collect(),
            next: AtomicUsize::new(0),
            done: Mutex::new(0),
            rendered: Condvar::new(),
            stopped: AtomicBool::new(false),
        });
        let mut clip = Clip { shared, workers: Vec::new() };
        if is_whole {
            clip.shared.frames.iter().for_each(|frame| drop(frame.set(Stored::File)));
            *clip.shared.lock_done() = clip.frame_count();
            let shared = clip.shared.clone();
            clip.workers.extend(spawn(move || shared.fault_in()));
        } else {
            let job = Arc::new(Job { part, header });
            let cores = std::thread::available_parallelism().map_or(2, usize::from);
            for _ in 0..cores.clamp(2, MOST_RENDER_THREADS) {
                let (shared, job) = (clip.shared.clone(), job.clone());
                clip.workers.extend(spawn(move || shared.render(&job)));
            }
            if clip.workers.is_empty() {
                return Err(SimError::Memory { source: std::io::Error::other("no thread could be started") });
            }
        }
        Ok(clip)
    }

    pub fn spec(&self) -> &Spec {
        &self.shared.spec
    }

    pub fn layout(&self) -> &FrameLayout {
        &self.shared.layout
    }

    pub fn frame_count(&self) -> usize {
        self.shared.frames.len()
    }

    /// Picture `index` of the loop, `layout().size` bytes; None while it is not rendered.
    pub fn frame(&self, index: usize) -> Option<&[u8]> {
        match self.shared.frames.get(index)?.get()? {
            Stored::Memory(bytes) => Some(bytes),
            Stored::File => {
                let size = self.shared.layout.size;
                self.shared.mapped.as_ref()?.bytes().get(HEADER_BYTES + index * size..HEADER_BYTES + (index + 1) * size)
            }
        }
    }

    /// The truth of picture `index`, computed now (tens of milliseconds, more the first time).
    pub fn truth(&self, index: usize) -> Result<Truth, SimError> {
        match self.shared.simulator() {
            Ok(simulator) => Ok(simulator.truth(index)),
            Err(_) => Simulator::new(&self.shared.spec).map(|simulator| simulator.truth(index)),
        }
    }

    /// Waits until `count` pictures are rendered, at most `at_most`. Returns how many are.
    pub fn wait_for(&self, count: usize, at_most: Duration) -> usize {
        let done = self.shared.lock_done();
        match self.shared.rendered.wait_timeout_while(done, at_most, |done| *done < count) {
            Ok((done, _)) => *done,
            Err(poisoned) => *poisoned.into_inner().0,
        }
    }
}

impl Clip {
    /// Waits until picture `index` is rendered, at most `at_most`.
    pub fn wait_for_frame(&self, index: usize, at_most: Duration) {
        if self.frame(index).is_none() {
            // Woken after each picture; the lock keeps one that comes just now from being overlooked.
            let missing = |_: &mut usize| self.frame(index).is_none();
            let _ = self.shared.rendered.wait_timeout_while(self.shared.lock_done(), at_most, missing);
        }
    }
}

impl Drop for Clip {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::Relaxed);
        for worker in self.workers.drain(..) {
            let _ = worker.join();
        }
    }
}

fn spawn(work: impl FnOnce() + Send + 'static) -> Option<JoinHandle<()>> {
    let work = move || {
        // Rendering ahead never takes a core from the picture. Where that is refused it only costs speed.
        let _ = rustix::process::setpriority_process(None, 15);
        work();
    };
    std::thread::Builder::new().name("capture-sim".into()).spawn(work).ok()
}

impl Shared {
    fn lock_done(&self) -> std::sync::MutexGuard<'_, usize> {
        self.done.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn simulator(&self) -> &Result<Simulator, String> {
        self.simulator.get_or_init(|| Simulator::new(&self.spec).map_err(|error| error.to_string()))
    }

    fn render(&self, job: &Job) {
        let Ok(simulator) = self.simulator() else { return };
        let mut picture = vec![0; self.layout.size];
        loop {
            let index = self.next.fetch_add(1, Ordering::Relaxed);
            if index >= self.frames.len() || self.stopped.load(Ordering::Relaxed) {
                return;
            }
            simulator.render(index, &mut picture);
            let at = (HEADER_BYTES + index * self.layout.size) as u64;
            let written =
                job.part.as_ref().filter(|_| self.mapped.is_some()).is_some_and(|part| part.file.write_all_at(&picture, at).is_ok());
            let stored = if written { Stored::File } else { Stored::Memory(picture.clone().into()) };
            let _ = self.frames[index].set(stored);
            let done = {
                let mut done = self.lock_done();
                *done += 1;
                *done
            };
            if done == self.frames.len() {
                self.keep(job);
            }
            self.rendered.notify_all();
        }
    }

    /// All pictures are there: if all are in the file, it becomes the cached clip.
    fn keep(&self, job: &Job) {
        let whole = self.frames.iter().all(|frame| matches!(frame.get(), Some(Stored::File)));
        if let Some(part) = job.part.as_ref().filter(|_| whole)
            && part.file.write_all_at(&job.header, 0).is_ok()
            && std::fs::rename(&part.temporary, &part.path).is_ok()
        {
            part.renamed.store(true, Ordering::Release);
            remove_oldest(&part.path);
        }
    }

    /// Reads a cached clip in before it is shown, so that no picture waits for the disk.
    fn fault_in(&self) {
        let Some(mapped) = &self.mapped else { return };
        for index in 0..self.frames.len() {
            if self.stopped.load(Ordering::Relaxed) {
                return;
            }
            mapped.fault_in(HEADER_BYTES + index * self.layout.size, self.layout.size);
        }
    }
}

/// What the rendering threads share besides the clip: gone when the last of them is.
#[derive(Debug)]
struct Job {
    part: Option<Part>,
    header: Vec<u8>,
}

/// A file that is being filled.
#[derive(Debug)]
struct Part {
    file: File,
    temporary: PathBuf,
    path: PathBuf,
    renamed: AtomicBool,
}

impl Part {
    /// None where it cannot be made: the clip then stays in memory.
    fn create(path: PathBuf, total_bytes: usize) -> Option<Self> {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        std::fs::create_dir_all(path.parent()?).ok()?;
        remove_abandoned(path.parent()?);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let temporary = path.with_extension(format!("{}-{number}.part", std::process::id()));
        let file = File::options().read(true).write(true).create_new(true).open(&temporary).ok()?;
        let part = Part { file, temporary, path, renamed: AtomicBool::new(false) };
        part.file.set_len(total_bytes as u64).ok()?;
        Some(part)
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        if !self.renamed.load(Ordering::Acquire) {
            let _ = std::fs::remove_file(&self.temporary);
        }
    }
}

fn file_of(folder: &Path, spec: &Spec) -> PathBuf {
    folder.join(format!("sim-{}.frames", key(spec)))
}

/// The share of the rendering's speed that is counted on while the clip plays: then the rest of the appliance works too.
const SHARE_WHILE_PLAYING: f64 = 1.0 / 3.0;
/// Pictures are there so much before they are due, s.
const AHEAD_S: f64 = 0.4;

/// May playing begin? `done` of `total` pictures are rendered, `rate` a second so far; `fps` a second will be shown. Each
/// picture that is missing has to come before its turn, and the last one decides.
fn is_far_enough(done: usize, total: usize, rate: f64, fps: f64) -> bool {
    let missing_s = (total - done) as f64 / (rate * SHARE_WHILE_PLAYING).max(1e-9);
    done == total || (done as f64 >= AHEAD_S * fps && missing_s + AHEAD_S <= total as f64 / fps)
}

fn key(spec: &Spec) -> String {
    let script = spec.script.as_ref().map_or("", |script| script.text.as_str());
    let digest = Sha256::digest(format!("{RENDERER_VERSION} {spec}{script}"));
    digest.iter().take(12).map(|byte| format!("{byte:02x}")).collect()
}

/// First page of a whole clip: says what it is. Written last, so that a file without it is none.
fn header(spec: &Spec, layout: &FrameLayout) -> Vec<u8> {
    let mut header = format!("keyhole.sim-clip/1\nrenderer {RENDERER_VERSION}\n{spec}\nframe_bytes {}\n", layout.size).into_bytes();
    header.resize(HEADER_BYTES, 0);
    header
}

fn open_whole(path: &Path, header: &[u8], total_bytes: usize) -> Option<Mapped> {
    let file = File::open(path).ok()?;
    if file.metadata().ok()?.len() != total_bytes as u64 {
        return None;
    }
    let mapped = Mapped::new(&file, total_bytes).ok()?;
    (&mapped.bytes()[..HEADER_BYTES] == header).then_some(mapped)
}

/// Removes what a killed process left half rendered. Where the process lives, its file is being filled.
fn remove_abandoned(folder: &Path) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let process = name.to_str().and_then(|name| {
            // sim-KEY.PID-NUMBER.part
            let middle = name.strip_prefix("sim-")?.strip_suffix(".part")?.split_once('.')?.1;
            middle.split_once('-')?.0.parse::<u32>().ok()
        });
        if process.is_some_and(|process| !Path::new("/proc").join(process.to_string()).exists()) {
            let _ = std::fs::remove_file(entry.path());
        }
    }
}

/// Whoever still has a removed clip mapped keeps it until it is closed.
fn remove_oldest(newest: &Path) {
    newest.parent().into_iter().for_each(remove_abandoned);
    let Some(entries) = newest.parent().and_then(|folder| std::fs::read_dir(folder).ok()) else { return };
    let mut clips: Vec<_> = entries
        .filter_map(|entry| {
            let path = entry.ok()?.path();
            let ours = path.file_name()?.to_str().is_some_and(|name| name.starts_with("sim-") && name.ends_with(".frames"));
            let modified = path.metadata().ok()?.modified().ok()?;
            (ours && path != newest).then_some((modified, path))
        })
        .collect();
    clips.sort();
    let surplus = (clips.len() + 1).saturating_sub(KEPT_CLIPS);
    for (_, path) in clips.into_iter().take(surplus) {
        let _ = std::fs::remove_file(path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(seed: u64) -> Spec {
        Spec::parse(&format!("sim:?seed={seed}&width=97&height=65&fps=10&seconds=0.6")).unwrap()
    }

    fn open(spec: &Spec, folder: Option<&Path>) -> Clip {
        let clip = Clip::start(spec, folder).unwrap();
        while clip.wait_for(clip.frame_count(), Duration::from_secs(1)) < clip.frame_count() {}
        clip
    }

    fn all(clip: &Clip) -> Vec<Vec<u8>> {
        (0..clip.frame_count()).map(|n| clip.frame(n).unwrap().to_vec()).collect()
    }

    fn files(folder: &Path) -> Vec<PathBuf> {
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect()
    }

    #[test]
    fn a_cached_clip_is_the_rendered_one_and_nothing_else_is_left() {
        let folder = tempfile::tempdir().unwrap();
        let rendered = all(&open(&spec(4), Some(folder.path())));
        let cached = files(folder.path());
        assert_eq!(cached.len(), 1, "{cached:?}");
        let again = Clip::start(&spec(4), Some(folder.path())).unwrap();
        assert_eq!(again.wait_for(0, Duration::ZERO), again.frame_count(), "from the cache all are there at once");
        assert_eq!(all(&again), rendered);
        assert_eq!(all(&open(&spec(4), None)), rendered, "and in memory the same");
        assert_eq!(again.frame(again.frame_count()), None);
    }

    #[test]
    fn a_truncated_or_foreign_file_in_the_cache_is_rendered_anew() {
        let folder = tempfile::tempdir().unwrap();
        let rendered = all(&open(&spec(5), Some(folder.path())));
        let path = files(folder.path()).remove(0);
        let size = path.metadata().unwrap().len();
        for damage in ["truncated", "foreign", "empty"] {
            // Another file takes its place, as a crash or a person would leave it: no mapping is cut off.
            std::fs::remove_file(&path).unwrap();
            match damage {
                "truncated" => std::fs::write(&path, vec![7; size as usize / 2]).unwrap(),
                "foreign" => std::fs::write(&path, vec![7; size as usize]).unwrap(),
                _ => std::fs::write(&path, b"").unwrap(),
            }
            assert_eq!(all(&open(&spec(5), Some(folder.path()))), rendered, "{damage}");
            assert_eq!(files(folder.path()), std::slice::from_ref(&path), "{damage}");
            assert_eq!(path.metadata().unwrap().len(), size);
        }
    }

    #[test]
    fn without_a_place_for_the_file_the_clip_is_kept_in_memory() {
        let folder = tempfile::tempdir().unwrap();
        let blocked = folder.path().join("a file, not a folder");
        std::fs::write(&blocked, b"").unwrap();
        let clip = open(&spec(6), Some(&blocked));
        assert_eq!(all(&clip), all(&open(&spec(6), None)));
    }

    #[test]
    fn a_clip_that_is_given_up_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let long = Spec::parse("sim:?seed=7&width=320&height=200&fps=60&seconds=5").unwrap();
        let clip = Clip::start(&long, Some(folder.path())).unwrap();
        clip.wait_for(1, Duration::from_secs(20));
        drop(clip);
        assert_eq!(files(folder.path()), Vec::<PathBuf>::new());
    }

    #[test]
    fn what_a_killed_process_left_is_removed_and_what_a_live_one_fills_is_not() {
        let folder = tempfile::tempdir().unwrap();
        // Process ids end far below this one.
        let abandoned = folder.path().join("sim-0123.4294967294-0.part");
        let live = folder.path().join(format!("sim-0123.{}-77.part", std::process::id()));
        let foreign = folder.path().join("holiday.part");
        for path in [&abandoned, &live, &foreign] {
            std::fs::write(path, b"half").unwrap();
        }
        open(&spec(8), Some(folder.path()));
        assert!(!abandoned.exists() && live.exists() && foreign.exists());
    }

    proptest::proptest! {
        /// While no more than two thirds of the speed are lost, no picture is late.
        #[test]
        fn playing_begins_only_when_it_need_not_wait(total in 1usize..2000, rate in 1.0f64..400.0, fps in 1.0f64..120.0) {
            let done = (0..=total).find(|&done| is_far_enough(done, total, rate, fps)).unwrap();
            for picture in done..total {
                let there_s = (picture + 1 - done) as f64 / (rate / 3.0);
                proptest::prop_assert!(there_s <= picture as f64 / fps + 1.0 / fps, "picture {picture} of {total}, begun with {done}");
            }
        }
    }

    #[test]
    fn only_the_newest_clips_stay_in_the_cache() {
        let folder = tempfile::tempdir().unwrap();
        for seed in 0..KEPT_CLIPS as u64 + 2 {
            open(&spec(seed), Some(folder.path()));
        }
        assert_eq!(files(folder.path()).len(), KEPT_CLIPS);
    }
}
