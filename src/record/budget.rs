//! How much disk recordings may take. What is removed to make room is the oldest of our own files, never anything else: a file is ours
//! when the folder's ledger names it and its own first bytes carry the recording's id that the ledger says.

use crate::record::mp4::{self, RecordingId};
use crate::record::report::write_whole;
use serde::{Deserialize, Serialize};
use std::collections::HashSet;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// In the folder of the recordings.
pub const LEDGER: &str = "keyhole-recordings.jsonl";

/// Limits of one folder, bytes. 0: no limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Limits {
    pub budget: u64,
    pub min_free: u64,
}

/// A file that could be removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Candidate {
    pub bytes: u64,
    /// Of a recording that is being written.
    pub is_open: bool,
}

/// What to remove before `need` more bytes are written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// Places in the list of candidates, in its order.
    pub remove: Vec<usize>,
    pub is_enough: bool,
}

/// `candidates`: all our files in a folder, oldest first. `free`: what the disk has. Removes no more than is needed, and nothing where
/// that would not be enough.
pub fn plan(candidates: &[Candidate], limits: Limits, free: u64, need: u64) -> Plan {
    let mut used: u64 = candidates.iter().map(|c| c.bytes).sum();
    let mut free = free;
    let fits = |used: u64, free: u64| (limits.budget == 0 || used + need <= limits.budget) && free >= limits.min_free.saturating_add(need);
    let mut remove = Vec::new();
    for (i, candidate) in candidates.iter().enumerate().filter(|(_, c)| !c.is_open) {
        if fits(used, free) {
            break;
        }
        used -= candidate.bytes;
        free += candidate.bytes;
        remove.push(i);
    }
    let is_enough = fits(used, free);
    if !is_enough {
        remove.clear();
    }
    Plan { remove, is_enough }
}

/// One line of the ledger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LedgerLine {
    pub file: String,
    /// The recording's id, 32 hexadecimal digits.
    pub recording: String,
    /// Goes with the recording's last file.
    pub sidecar: String,
}

impl LedgerLine {
    /// A name in the ledger's own folder, and nothing that leads out of it.
    fn is_plain(&self) -> bool {
        let plain = |name: &str| !name.is_empty() && Path::new(name).file_name().is_some_and(|last| last == name);
        plain(&self.file) && plain(&self.sidecar) && RecordingId::parse(&self.recording).is_some()
    }
}

/// The lines of a ledger that can be read; a line that was cut off or tampered with names nothing.
pub fn parse_ledger(text: &str) -> Vec<LedgerLine> {
    text.lines().filter_map(|line| serde_json::from_str::<LedgerLine>(line).ok()).filter(LedgerLine::is_plain).collect()
}

/// Is this file, itself and not what a link leads to, part of that recording? Its size if so.
fn size_if_ours(path: &Path, recording: &str) -> Option<u64> {
    let there = path.symlink_metadata().ok().filter(std::fs::Metadata::is_file)?;
    let mut start = Vec::with_capacity(mp4::OWNER_BYTES);
    File::open(path).ok()?.take(mp4::OWNER_BYTES as u64).read_to_end(&mut start).ok()?;
    (mp4::owner(&start)?.to_string() == recording).then_some(there.len())
}

/// Keeps one folder within its limits; shared by the streams of a recording.
#[derive(Clone)]
pub struct Keeper {
    folder: Arc<Mutex<Folder>>,
    recording: String,
    sidecar: String,
}

struct Folder {
    path: PathBuf,
    limits: Limits,
    /// Our own folders, and those that are kept within a budget, have a ledger; elsewhere only this run's files are known.
    has_ledger: bool,
    /// Oldest first.
    files: Vec<Held>,
    /// Recordings that are being written: their last file is never removed.
    open: HashSet<String>,
}

struct Held {
    line: LedgerLine,
    bytes: u64,
}

impl Keeper {
    /// Reads the folder's ledger. `recording` and its `sidecar` are what is going to be written.
    pub fn new(folder: &Path, limits: Limits, has_ledger: bool, recording: RecordingId, sidecar: &str) -> Self {
        let text = if has_ledger { std::fs::read_to_string(folder.join(LEDGER)).unwrap_or_default() } else { String::new() };
        let held = |line: LedgerLine| size_if_ours(&folder.join(&line.file), &line.recording).map(|bytes| Held { line, bytes });
        let files = parse_ledger(&text).into_iter().filter_map(held).collect();
        let folder = Folder { path: folder.to_owned(), limits, has_ledger, files, open: HashSet::new() };
        Keeper { folder: Arc::new(Mutex::new(folder)), recording: String::new(), sidecar: String::new() }.beside(recording, sidecar)
    }

    /// The same folder, for another stream.
    pub fn beside(&self, recording: RecordingId, sidecar: &str) -> Self {
        self.lock().open.insert(recording.to_string());
        Keeper { folder: self.folder.clone(), recording: recording.to_string(), sidecar: sidecar.to_owned() }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Folder> {
        self.folder.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Removes what must go before `need` bytes are written; `StorageFull` where that is not enough.
    pub fn make_room(&self, need: u64) -> io::Result<()> {
        self.lock().make_room(need)
    }

    /// The recording's last file has grown.
    pub fn wrote(&self, bytes: u64) {
        let mut folder = self.lock();
        if let Some(i) = folder.newest(&self.recording) {
            folder.files[i].bytes += bytes;
        }
    }

    /// A file of `bytes` has got its name: from now on it is in the ledger.
    pub fn named(&self, path: &Path, bytes: u64) -> io::Result<()> {
        let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let line = LedgerLine { file, recording: self.recording.clone(), sidecar: self.sidecar.clone() };
        self.lock().named(Held { line, bytes })
    }
}

impl Folder {
    fn newest(&self, recording: &str) -> Option<usize> {
        self.files.iter().rposition(|held| held.line.recording == recording)
    }

    fn make_room(&mut self, need: u64) -> io::Result<()> {
        if self.limits == Limits::default() {
            return Ok(());
        }
        let free = free_bytes(&self.path)?;
        let growing: HashSet<usize> = self.open.iter().filter_map(|id| self.newest(id)).collect();
        let candidates: Vec<_> =
            self.files.iter().enumerate().map(|(i, held)| Candidate { bytes: held.bytes, is_open: growing.contains(&i) }).collect();
        let plan = plan(&candidates, self.limits, free, need);
        if !plan.is_enough {
            let Limits { budget, min_free } = self.limits;
            let why = format!(
                "{} MB are free, record.min_free_mb is {}, record.disk_budget_mb is {} (0: no limit)",
                free >> 20,
                min_free >> 20,
                budget >> 20
            );
            return Err(io::Error::new(io::ErrorKind::StorageFull, why));
        }
        // From behind: places before it stay.
        for &i in plan.remove.iter().rev() {
            let held = self.files.remove(i);
            self.remove(&held.line)?;
        }
        if plan.remove.is_empty() { Ok(()) } else { self.rewrite() }
    }

    fn remove(&mut self, line: &LedgerLine) -> io::Result<()> {
        let path = self.path.join(&line.file);
        // Looked at again: it may have been replaced since.
        if size_if_ours(&path, &line.recording).is_some() {
            std::fs::remove_file(&path)?;
        }
        let is_last = self.newest(&line.recording).is_none() && !self.open.contains(&line.recording);
        let sidecar = self.path.join(&line.sidecar);
        if is_last && super::sidecar::recording_of(&sidecar).as_ref() == Some(&line.recording) {
            std::fs::remove_file(sidecar)?;
        }
        Ok(())
    }

    fn named(&mut self, held: Held) -> io::Result<()> {
        // What had the name before is gone.
        self.files.retain(|other| other.line.file != held.line.file);
        let mut text = serde_json::to_string(&held.line)?;
        self.files.push(held);
        if self.has_ledger {
            text.push('\n');
            let mut ledger = File::options().create(true).append(true).open(self.path.join(LEDGER))?;
            ledger.write_all(text.as_bytes()).and_then(|()| ledger.sync_data())?;
        }
        Ok(())
    }

    fn rewrite(&self) -> io::Result<()> {
        if !self.has_ledger {
            return Ok(());
        }
        let mut text = String::new();
        for held in &self.files {
            text.push_str(&serde_json::to_string(&held.line)?);
            text.push('\n');
        }
        write_whole(&self.path.join(LEDGER), text.as_bytes()).map_err(io::Error::other)
    }
}

/// What an unprivileged process may still write to the disk under `folder`, bytes.
fn free_bytes(folder: &Path) -> io::Result<u64> {
    let at = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let disk = rustix::fs::statvfs(at)?;
    Ok(disk.f_bavail.saturating_mul(disk.f_frsize))
}

#[cfg(test)]
#[path = "budget_tests.rs"]
mod tests;
