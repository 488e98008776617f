//! One stream of one recording: its encoder, and the thread that waits for the disk so that nobody else does.

use crate::base::beat::Beat;
use crate::record::RecordError;
use crate::record::budget::Keeper;
use crate::record::encoder::{Encoder, Input, NICENESS, Outlet, Unit};
use crate::record::mp4::RecordingId;
use crate::record::report::EngineLine;
use crate::record::segments::{Naming, OpenFile, Segments};
use crate::record::settings::{Settings, Stream};
use crate::record::sidecar::{Marker, Sidecar, sidecar_path};
use crate::record::tally::{RecordAlarm, Tally};
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded, unbounded};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Coded pictures that wait for the disk: two seconds at 60 Hz.
const UNITS: usize = 120;
const LOOK_AROUND: Duration = Duration::from_millis(50);

/// What a lane is told at its start.
pub struct LaneSpec {
    pub stream: Stream,
    pub naming: Naming,
    pub id: RecordingId,
    pub fps: f64,
    pub settings: Settings,
    pub keeper: Keeper,
    pub open: OpenFile,
    /// Everything in it that is known at the start.
    pub sidecar: Sidecar,
    pub tally: Arc<Tally>,
    /// For a watchdog: at work from what the disk's thread takes to when it has it written.
    pub beat: Arc<Beat>,
}

/// What the sidecar is to say, too.
#[derive(Debug, Clone)]
pub enum Note {
    Mark(Marker),
    /// It draws from now on.
    Engine(Box<EngineLine>),
}

pub struct Lane {
    stream: Stream,
    path: PathBuf,
    fps: f64,
    settings: Settings,
    encoder: Option<Arc<Encoder>>,
    outlet: Outlet,
    notes: Sender<Note>,
    /// Everything that was coded is in the queue.
    is_complete: Arc<AtomicBool>,
    disk: Option<JoinHandle<()>>,
    tally: Arc<Tally>,
}

impl Lane {
    pub fn start(spec: LaneSpec) -> Result<Lane, RecordError> {
        let LaneSpec { stream, naming, id, fps, settings, keeper, open, sidecar, tally, beat } = spec;
        let (units, coded) = bounded(UNITS);
        let (notes, noted) = unbounded();
        let (is_behind, is_given_up) = (tally.disk_is_behind(stream), Arc::new(AtomicBool::new(false)));
        let is_complete = Arc::new(AtomicBool::new(false));
        let path = naming.path.clone();
        let segment_ns = u64::from(settings.segment_s) * 1_000_000_000;
        let segments = Segments::new(naming, id, segment_ns, (1e9 / fps) as u64, keeper, open);
        let disk = Disk {
            units: coded,
            notes: noted,
            is_complete: is_complete.clone(),
            segments,
            sidecar_path: sidecar_path(&path),
            sidecar,
            tally: tally.clone(),
            stream,
            beat,
        };
        let spawned = std::thread::Builder::new().name("record".into()).spawn(move || disk.run());
        let disk = Some(spawned.map_err(|e| RecordError::write(&path, e))?);
        let outlet = Outlet { units, is_behind, is_given_up };
        Ok(Lane { stream, path, fps, settings, encoder: None, outlet, notes, is_complete, disk, tally })
    }

    /// An encoder for pictures of this kind; what the one before it still holds is coded first.
    pub fn open(&mut self, input: Input, wait: Duration) -> Result<Arc<Encoder>, RecordError> {
        self.drain(wait)?;
        let name = self.path.display().to_string();
        let encoder = Arc::new(Encoder::start(&name, input, self.fps, &self.settings, self.outlet.clone())?);
        self.encoder = Some(encoder.clone());
        Ok(encoder)
    }

    pub fn note(&self, note: Note) {
        // Fails only where the disk's side has ended, which is told elsewhere.
        let _ = self.notes.send(note);
    }

    fn drain(&mut self, wait: Duration) -> Result<(), RecordError> {
        let Some(encoder) = self.encoder.take() else { return Ok(()) };
        // Where the disk's side has ended there is nobody to drain to.
        if self.tally.has_stopped(self.stream) { Ok(()) } else { encoder.drain(wait) }
    }

    /// Brings what is in flight to the disk, for at most `wait`: a disk that hangs keeps its thread, and nobody else.
    pub fn finish(mut self, wait: Duration) {
        let until = Instant::now() + wait;
        let drained = self.drain(wait);
        self.is_complete.store(true, Ordering::Release);
        self.outlet.is_given_up.store(drained.is_err(), Ordering::Release);
        if let Err(error) = drained {
            self.tally.stop(self.stream, RecordAlarm::Failed, error.to_string());
        }
        let Some(disk) = self.disk.take() else { return };
        while !disk.is_finished() {
            if Instant::now() >= until {
                let name = self.path.display();
                self.tally.stop(
                    self.stream,
                    RecordAlarm::Failed,
                    format!("the disk took nothing of '{name}' for {} s", wait.as_secs_f64()),
                );
                return;
            }
            std::thread::park_timeout(Duration::from_millis(5));
        }
        if disk.join().is_err() {
            self.tally.stop(self.stream, RecordAlarm::Failed, "its thread ended by a mistake of its own (see the log)".into());
        }
    }
}

/// The disk thread's own.
struct Disk {
    units: Receiver<Unit>,
    notes: Receiver<Note>,
    is_complete: Arc<AtomicBool>,
    segments: Segments,
    sidecar_path: PathBuf,
    sidecar: Sidecar,
    tally: Arc<Tally>,
    stream: Stream,
    beat: Arc<Beat>,
}

impl Disk {
    fn run(mut self) {
        // Not granted: then it runs as everything else does.
        let _ = rustix::process::setpriority_process(None, NICENESS);
        let outcome = self.write();
        self.beat.rest();
        if let Err(error) = &outcome {
            let _ = self.segments.give_up();
            let alarm = if is_full(error) { RecordAlarm::DiskFull } else { RecordAlarm::Failed };
            self.tally.stop(self.stream, alarm, error.to_string());
        }
        self.sidecar.is_finished = outcome.is_ok();
        self.sidecar.trouble = self.tally.trouble(self.stream);
        self.note();
    }

    fn write(&mut self) -> io::Result<()> {
        loop {
            let notes = self.take_notes();
            self.beat.rest();
            let next = self.units.recv_timeout(LOOK_AROUND);
            self.beat.beat();
            let has_news = match next {
                Ok(unit) => self.segments.take(unit)?,
                Err(RecvTimeoutError::Timeout) if self.is_complete.load(Ordering::Acquire) && self.units.is_empty() => break,
                Err(RecvTimeoutError::Timeout) => false,
                Err(RecvTimeoutError::Disconnected) => break,
            };
            if has_news || notes > 0 {
                self.note();
            }
        }
        self.take_notes();
        self.segments.finish()
    }

    /// Notes that were made since; how many. Marks are taken before the pictures that they mark, which are coded meanwhile.
    fn take_notes(&mut self) -> usize {
        let mut count = 0;
        for note in self.notes.try_iter() {
            count += 1;
            match note {
                Note::Mark(marker) => {
                    self.segments.mark(marker.number, (marker.at_ms * 1e6).round() as u64);
                    self.sidecar.markers.push(marker);
                }
                Note::Engine(engine) => self.sidecar.engines.push(*engine),
            }
        }
        count
    }

    /// Brings the sidecar up to date. A disk that is too full for it ends the recording soon enough.
    fn note(&mut self) {
        self.take_notes();
        self.sidecar.segments = self.segments.lines();
        if self.sidecar.segments.is_empty() {
            return;
        }
        self.sidecar.start_capture_ns = self.tally.start_capture_ns();
        self.sidecar.left_out = self.tally.left_out(self.stream);
        if let Err(error) = self.sidecar.write(&self.sidecar_path) {
            tracing::warn!("{error}");
        }
    }
}

/// A disk, quota or file size that is used up.
fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge)
}
