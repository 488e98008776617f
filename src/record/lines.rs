//! Streams of lines on a thread of their own. What the disk does not take is counted, and only whole lines are ever in the file:
//! when there is space again, it goes on behind the last one.

use crate::base::disk;
use crate::record::report::part_path;
use crate::record::{Mishap, RecordError};
use crossbeam_channel::{RecvTimeoutError, Sender, bounded};
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// So many bytes, or so old, and gathered lines are written.
const GATHERED_BYTES: usize = 64 << 10;
const GATHERED_FOR: Duration = Duration::from_millis(500);

/// The file, and the lines that it has not got yet.
struct LineFile {
    path: PathBuf,
    file: File,
    /// Whole lines lie before this.
    good: u64,
    gathered: Vec<u8>,
    lines: u64,
    missing: u64,
    first_failure: Option<io::Error>,
    mishap: Arc<Mishap>,
}

impl LineFile {
    fn gather(&mut self, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) {
        let before = self.gathered.len();
        self.lines += 1;
        if let Err(error) = write(&mut self.gathered) {
            self.gathered.truncate(before);
            self.lines -= 1;
            self.fail(1, error);
        }
    }

    /// Brings what is gathered into the file, or counts it as missing.
    fn flush(&mut self) {
        let lines = std::mem::take(&mut self.lines);
        if lines == 0 {
            return;
        }
        match disk::pass().and_then(|()| self.file.write_all_at(&self.gathered, self.good)) {
            Ok(()) => {
                self.good += self.gathered.len() as u64;
                self.mishap.passes();
            }
            Err(error) => {
                // Half a line would spoil the next one.
                let _ = self.file.set_len(self.good);
                self.fail(lines, error);
            }
        }
        self.gathered.clear();
    }

    fn fail(&mut self, lines: u64, error: io::Error) {
        self.missing += lines;
        self.mishap.fails(format!("'{}' cannot be written ({error})", self.path.display()));
        self.first_failure.get_or_insert(error);
    }
}

/// Writes one JSON line an item on a thread of its own; the file gets its name when the run ends.
pub struct LineWriter<T: Send + 'static> {
    queue: Option<Sender<T>>,
    thread: Option<JoinHandle<Ended>>,
    lost: Arc<AtomicU64>,
    mishap: Arc<Mishap>,
    /// The run came to its end: what was written is whole.
    is_whole: Arc<AtomicBool>,
}

/// Lines that could not be written, and the first error.
type Ended = (u64, Result<(), RecordError>);

impl<T: Send + 'static> LineWriter<T> {
    /// Creates the file at once, so that a path that cannot be written is refused before the run begins.
    pub fn start<F>(path: &Path, depth: usize, mut line: F) -> Result<Self, RecordError>
    where
        F: FnMut(T, &mut dyn Write) -> io::Result<()> + Send + 'static,
    {
        let part = part_path(path);
        let file = File::create(&part).map_err(|e| RecordError::write(path, e))?;
        let (queue, items) = bounded::<T>(depth);
        let (is_whole, mishap) = (Arc::new(AtomicBool::new(false)), Arc::new(Mishap::default()));
        let keep = is_whole.clone();
        let mut out = LineFile {
            path: path.to_owned(),
            file,
            good: 0,
            gathered: Vec::with_capacity(2 * GATHERED_BYTES),
            lines: 0,
            missing: 0,
            first_failure: None,
            mishap: mishap.clone(),
        };
        let spawned = std::thread::Builder::new().name("record".into()).spawn(move || {
            let mut flushed = Instant::now();
            loop {
                match items.recv_timeout(GATHERED_FOR) {
                    Ok(item) => out.gather(|to| line(item, to)),
                    Err(RecvTimeoutError::Timeout) => {}
                    Err(RecvTimeoutError::Disconnected) => break,
                }
                if out.gathered.len() >= GATHERED_BYTES || flushed.elapsed() >= GATHERED_FOR {
                    out.flush();
                    flushed = Instant::now();
                }
            }
            out.flush();
            if !keep.load(Ordering::Acquire) {
                let _ = std::fs::remove_file(&part);
                return (0, Ok(()));
            }
            let LineFile { path, missing, first_failure, .. } = out;
            let named = std::fs::rename(&part, &path).map_err(|e| RecordError::write(&path, e));
            let failed = first_failure.map(|source| RecordError::Incomplete { path, what: "lines", missing, source });
            (missing, named.and(failed.map_or(Ok(()), Err)))
        });
        let thread = spawned.map_err(|e| RecordError::write(Path::new("record thread"), e))?;
        Ok(LineWriter { queue: Some(queue), thread: Some(thread), lost: Arc::default(), mishap, is_whole })
    }

    /// Never waits; a line that finds the queue full is lost and counted.
    pub fn offer(&self, item: T) {
        if self.queue.as_ref().is_some_and(|queue| queue.try_send(item).is_err()) {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Whether lines cannot be written now.
    pub fn mishap(&self) -> Arc<Mishap> {
        self.mishap.clone()
    }

    /// Waits until everything is written; how many lines are missing, and why.
    pub fn finish(mut self) -> Ended {
        self.is_whole.store(true, Ordering::Release);
        self.queue = None;
        let lost = self.lost.load(Ordering::Relaxed);
        match self.thread.take().map(JoinHandle::join) {
            Some(Ok((missing, outcome))) => (lost + missing, outcome),
            _ => (lost, Ok(())),
        }
    }
}

impl<T: Send + 'static> Drop for LineWriter<T> {
    /// A writer that was given up leaves nothing behind.
    fn drop(&mut self) {
        self.queue = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &Path) -> LineFile {
        LineFile {
            path: path.to_owned(),
            file: File::create(path).unwrap(),
            good: 0,
            gathered: Vec::new(),
            lines: 0,
            missing: 0,
            first_failure: None,
            mishap: Arc::default(),
        }
    }

    #[test]
    fn lines_that_find_no_space_are_counted_and_the_file_goes_on_behind_the_last_whole_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t.jsonl");
        let mut out = file(&path);
        let line = |out: &mut LineFile, n: u32| out.gather(|to| writeln!(to, "{n}"));
        (0..3).for_each(|n| line(&mut out, n));
        out.flush();
        assert!(!out.mishap.is_so());
        // A device that is always full takes its place for a while.
        let Ok(full) = File::options().write(true).open("/dev/full") else {
            return println!("SKIPPED lines_that_find_no_space_are_counted_and_the_file_goes_on_behind_the_last_whole_one: no /dev/full");
        };
        let good = std::mem::replace(&mut out.file, full);
        (3..5).for_each(|n| line(&mut out, n));
        out.flush();
        assert!(out.mishap.is_so() && out.mishap.words().contains("t.jsonl"), "{}", out.mishap.words());
        out.file = good;
        (5..7).for_each(|n| line(&mut out, n));
        out.flush();
        assert!(!out.mishap.is_so() && out.missing == 2);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "0\n1\n2\n5\n6\n");
    }

    #[test]
    fn a_writer_names_its_file_at_the_end_and_leaves_nothing_where_it_is_given_up() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t.jsonl");
        let start = || LineWriter::start(&path, 8, |n: u32, to| writeln!(to, "{n}")).unwrap();
        drop(start());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        let writer = start();
        (0..3).for_each(|n| writer.offer(n));
        let (missing, outcome) = writer.finish();
        assert!(missing == 0 && outcome.is_ok());
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "0\n1\n2\n");
    }
}
