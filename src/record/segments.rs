//! Coded pictures → files: which fragment and which file each belongs to. Runs on a stream's disk thread, the only one that may wait
//! for a disk.
//!
//! ```text
//!   unit ─► fragment of half a second ─► written whole, then fdatasync ─► …     a cut loses what is in here: half a second,
//!           key picture after segment_s, or another codec: next file              and the pictures that are being coded
//!   FILE.part ─ first fragment is on the disk ─► FILE ─ … ─► index and duration at the end
//! ```
//! A file has its name as soon as it can be played; what was under that name before is whole until then. Each picture is in
//! exactly one file.

use crate::base::disk;
use crate::record::budget::Keeper;
use crate::record::encoder::Unit;
use crate::record::mp4::{self, Codec, RecordingId, Sample, ticks};
use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// A cut loses at most this much of what was coded.
const FRAGMENT_NS: u64 = 500_000_000;

/// Opens a file for writing, empty. Tests give pipes and devices that are slow or full.
pub type OpenFile = Box<dyn FnMut(&Path) -> io::Result<File> + Send>;

/// Names of one stream's files: `NAME.mp4`, or `NAME-0001.mp4`, `NAME-0002.mp4` … where there are segments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Naming {
    pub path: PathBuf,
    pub is_numbered: bool,
}

impl Naming {
    /// The n-th file, from 1. Without segments only a change of the picture's format makes a second one.
    pub fn file(&self, n: u32) -> PathBuf {
        if !self.is_numbered && n == 1 {
            return self.path.clone();
        }
        let stem = self.path.file_stem().unwrap_or_default().to_string_lossy();
        self.path.with_file_name(format!("{stem}-{n:04}.mp4"))
    }
}

/// One file of a recording, as the sidecar tells it.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SegmentLine {
    /// Its name, in the folder of the sidecar.
    pub file: String,
    pub first_frame: u64,
    pub last_frame: u64,
    /// Pictures in the file.
    pub pictures: u64,
    /// Of its first picture since the start of the recording.
    pub start_ms: f64,
    pub seconds: f64,
    pub bytes: u64,
}

/// One stream's files.
pub struct Segments {
    naming: Naming,
    id: RecordingId,
    segment_ns: u64,
    period_ns: u64,
    keeper: Keeper,
    open: OpenFile,
    /// Waits for the next one, which tells how long it is shown.
    pending: Option<Unit>,
    /// Of the fragment that is being gathered, with durations in ticks.
    gathered: Vec<(Unit, u32)>,
    file: Option<Open>,
    closed: Vec<SegmentLine>,
    bytes: Vec<u8>,
    /// Marks that are in no file yet: number, and time in the recording.
    marks: Vec<(u32, u64)>,
}

struct Open {
    file: File,
    part: PathBuf,
    path: PathBuf,
    is_named: bool,
    line: SegmentLine,
    start_ns: u64,
    fragments: u32,
    index: Vec<mp4::Entry>,
    places: mp4::Places,
    chapters: u8,
}

impl Segments {
    /// `segment_ns` 0: one file. `period_ns` is how long the last picture is shown.
    pub fn new(naming: Naming, id: RecordingId, segment_ns: u64, period_ns: u64, keeper: Keeper, open: OpenFile) -> Self {
        Segments {
            naming,
            id,
            segment_ns,
            period_ns,
            keeper,
            open,
            pending: None,
            gathered: Vec::new(),
            file: None,
            closed: Vec::new(),
            bytes: Vec::new(),
            marks: Vec::new(),
        }
    }

    /// Files so far; the last one may still be growing.
    pub fn lines(&self) -> Vec<SegmentLine> {
        let open = self.file.as_ref().filter(|open| open.is_named).map(|open| &open.line);
        self.closed.iter().chain(open).cloned().collect()
    }

    /// Takes one picture; returns whether a file was begun or ended. After an error nothing more is taken.
    pub fn take(&mut self, unit: Unit) -> io::Result<bool> {
        let Some(last) = self.pending.take() else {
            self.pending = Some(unit);
            return Ok(false);
        };
        let is_next_file = self.is_next_file(&last, &unit);
        self.gather(last, unit.at_ns);
        let before = (self.closed.len(), self.file.as_ref().is_some_and(|open| open.is_named));
        let first_ns = self.gathered.first().map_or(unit.at_ns, |(first, _)| first.at_ns);
        if is_next_file || unit.at_ns.saturating_sub(first_ns) >= FRAGMENT_NS {
            self.write_fragment()?;
        }
        if is_next_file {
            self.close()?;
        }
        self.pending = Some(unit);
        Ok(before != (self.closed.len(), self.file.as_ref().is_some_and(|open| open.is_named)))
    }

    /// A mark becomes a chapter of the file that holds its time, as soon as that time has been written.
    pub fn mark(&mut self, number: u32, at_ns: u64) {
        self.marks.push((number, at_ns));
    }

    fn is_next_file(&self, last: &Unit, unit: &Unit) -> bool {
        let started_ns =
            self.file.as_ref().map_or_else(|| self.gathered.first().map_or(last.at_ns, |(first, _)| first.at_ns), |open| open.start_ns);
        let is_due = self.segment_ns > 0 && unit.at_ns.saturating_sub(started_ns) >= self.segment_ns;
        unit.is_key && (is_due || last.codec != unit.codec)
    }

    fn gather(&mut self, unit: Unit, next_ns: u64) {
        let duration = ticks(next_ns).saturating_sub(ticks(unit.at_ns)).clamp(1, u64::from(u32::MAX)) as u32;
        self.gathered.push((unit, duration));
    }

    /// Writes what is gathered as one fragment and waits until the disk has it.
    fn write_fragment(&mut self) -> io::Result<()> {
        let Some((first, _)) = self.gathered.first() else { return Ok(()) };
        let (first_ns, first_frame, first_key) = (first.at_ns, first.frame, first.is_key);
        self.bytes.clear();
        if self.file.is_none() {
            let codec = first.codec.clone();
            self.begin(first_ns, first_frame, &codec)?;
        }
        let Some(open) = &mut self.file else { return Ok(()) };
        let maps: Vec<_> =
            self.gathered.iter().map(|(unit, _)| unit.data.map_readable()).collect::<Result<_, _>>().map_err(io::Error::other)?;
        let samples: Vec<_> = maps
            .iter()
            .zip(&self.gathered)
            .map(|(data, (unit, duration))| Sample { duration: *duration, is_key: unit.is_key, data })
            .collect();
        open.fragments += 1;
        let start = ticks(first_ns) - ticks(open.start_ns);
        if first_key {
            open.index.push(mp4::Entry { start, offset: open.line.bytes + self.bytes.len() as u64 });
        }
        mp4::fragment(&mut self.bytes, open.fragments, start, &samples);
        let Some((last, last_duration)) = self.gathered.last() else { return Ok(()) };
        let end = ticks(last.at_ns) + u64::from(*last_duration) - ticks(open.start_ns);
        let (last_frame, pictures) = (last.frame, self.gathered.len() as u64);
        let (last_at_ns, last_duration) = (last.at_ns, *last_duration);
        drop(samples);
        drop(maps);

        self.keeper.make_room(self.bytes.len() as u64)?;
        let written = disk::pass().and_then(|()| open.file.write_all(&self.bytes)).and_then(|()| sync(&open.file));
        if let Err(error) = written {
            // What was there before plays on: a broken fragment at the end would only confuse.
            back_to(&mut open.file, open.line.bytes);
            return Err(error);
        }
        open.line.bytes += self.bytes.len() as u64;
        open.line.last_frame = last_frame;
        open.line.pictures += pictures;
        open.line.seconds = end as f64 / f64::from(mp4::TIMESCALE);
        let end_ns = last_at_ns + u64::from(last_duration) * 1_000_000_000 / u64::from(mp4::TIMESCALE);
        self.gathered.clear();
        for (number, at_ns) in self.marks.extract_if(.., |(_, at_ns)| *at_ns < end_ns) {
            open.name_chapter(number, at_ns)?;
        }
        if !open.is_named {
            std::fs::rename(&open.part, &open.path)?;
            open.is_named = true;
            if let Some(folder) = open.path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
                // The name must survive a cut as well; a folder that cannot be synced costs only that.
                let _ = File::open(folder).and_then(|folder| folder.sync_all());
            }
            return self.keeper.named(&open.path, open.line.bytes);
        }
        self.keeper.wrote(self.bytes.len() as u64);
        Ok(())
    }

    fn begin(&mut self, start_ns: u64, first_frame: u64, codec: &Codec) -> io::Result<()> {
        let path = self.naming.file(self.closed.len() as u32 + 1);
        let part = crate::record::report::part_path(&path);
        let file = (self.open)(&part)?;
        let (header, places) = mp4::header(codec, self.id);
        self.bytes.extend(header);
        let line = SegmentLine {
            file: path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            first_frame,
            last_frame: first_frame,
            pictures: 0,
            start_ms: start_ns as f64 / 1e6,
            seconds: 0.0,
            bytes: 0,
        };
        self.file = Some(Open { file, part, path, is_named: false, line, start_ns, fragments: 0, index: Vec::new(), places, chapters: 0 });
        Ok(())
    }

    /// Ends the file that is open: index, duration.
    fn close(&mut self) -> io::Result<()> {
        let Some(mut open) = self.file.take() else { return Ok(()) };
        if !open.is_named {
            let _ = std::fs::remove_file(&open.part);
            return Ok(());
        }
        let index = mp4::index(&open.index);
        let good = open.line.bytes;
        let finish = |open: &mut Open| -> io::Result<()> {
            disk::pass()?;
            open.file.write_all(&index)?;
            open.line.bytes += index.len() as u64;
            if open.file.metadata()?.is_file() {
                let whole = mp4::duration_atom((open.line.seconds * f64::from(mp4::TIMESCALE)).round() as u64);
                open.file.write_all_at(&whole, open.places.duration_at)?;
            }
            sync(&open.file)
        };
        let outcome = finish(&mut open);
        if outcome.is_err() {
            // It plays without its index.
            open.line.bytes = good;
            back_to(&mut open.file, good);
        }
        self.closed.push(open.line);
        outcome
    }

    /// Writes what is left and ends the file.
    pub fn finish(&mut self) -> io::Result<()> {
        if let Some(last) = self.pending.take() {
            let next_ns = last.at_ns + self.period_ns;
            self.gather(last, next_ns);
        }
        self.write_fragment()?;
        self.close()
    }

    /// After an error: what was written stays as it is, what has no name yet goes.
    pub fn give_up(&mut self) -> io::Result<()> {
        self.pending = None;
        self.gathered.clear();
        self.close()
    }
}

impl Open {
    /// Names a chapter in the file's start. A cut in between leaves the list as it was.
    fn name_chapter(&mut self, number: u32, at_ns: u64) -> io::Result<()> {
        if usize::from(self.chapters) >= mp4::MOST_CHAPTERS || !self.file.metadata()?.is_file() {
            return Ok(());
        }
        let chapter = mp4::chapter(at_ns.saturating_sub(self.start_ns), number);
        let at = self.places.chapters_at;
        self.file.write_all_at(&chapter, at + 1 + u64::from(self.chapters) * mp4::CHAPTER_BYTES as u64)?;
        sync(&self.file)?;
        self.chapters += 1;
        self.file.write_all_at(&[self.chapters], at)?;
        sync(&self.file)
    }
}

/// Forgets what was written behind `bytes`; the next byte goes there, and no hole is left.
fn back_to(file: &mut File, bytes: u64) {
    let _ = file.set_len(bytes);
    let _ = file.seek(SeekFrom::Start(bytes));
}

/// What was written is on the disk, as far as there is one: a pipe has nothing to sync.
fn sync(file: &File) -> io::Result<()> {
    match file.sync_data() {
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => Ok(()),
        outcome => outcome,
    }
}

#[cfg(test)]
#[path = "segments_tests.rs"]
mod tests;
