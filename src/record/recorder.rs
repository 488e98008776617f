//! Recordings as the display thread sees them: it offers pictures and passes wishes on. Opening encoders, draining them, making folders
//! and closing files is done by a thread of its own.
//!
//! ```text
//!   display ─ offer ─► Feed (encoder, rate) ────────────────► lane: encoder thread ─► disk thread ─► files
//!           ─ start, stop, mark ─► orders ─► "record" thread ─► lanes ─┐
//!           ◄──────────────────── feeds ◄──────────────────────────────┘
//! ```
//! Nothing here waits, except `open_now` before a run and `finish` after it.

use crate::base::beat::Beat;
use crate::base::clock;
use crate::record::budget::{Keeper, Limits};
use crate::record::encoder::{Encoder, Input};
use crate::record::lane::{Lane, LaneSpec, Note};
use crate::record::mp4::RecordingId;
use crate::record::rate::Rate;
use crate::record::report::EngineLine;
use crate::record::segments::Naming;
use crate::record::settings::{Settings, Stream};
use crate::record::sidecar::{Marker, SCHEMA, Sidecar, sidecar_path, utc};
use crate::record::tally::{LeftOut, RecordAlarm, RecordingState, Tally};
use crate::record::{Pushed, RecordError};
use crossbeam_channel::{Receiver, Sender, unbounded};
use gstreamer_video::VideoInfo;
use std::collections::BTreeMap;
use std::fs::File;
use std::hash::{BuildHasher, Hasher};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// How long the end of a recording waits for the disk.
const FINISH_WAIT: Duration = Duration::from_secs(20);
/// How long a run's start waits for an encoder.
const OPEN_WAIT: Duration = Duration::from_secs(10);
const OPEN_LOOK: Duration = Duration::from_millis(20);

/// What recordings of a run have in common.
#[derive(Clone)]
pub struct RecordPlan {
    pub settings: Settings,
    /// The source as it was asked for.
    pub source: String,
    pub fps: f64,
    /// That draw when a recording begins.
    pub engines: Vec<EngineLine>,
    /// Wall clock, seconds since 1970: names of files, and what the sidecar says.
    pub wall_s: fn() -> u64,
    /// Opens a file that is going to be written, empty.
    pub open: fn(&Path) -> io::Result<File>,
    /// Of what writes the picture with its overlay, and the clean one.
    pub beats: [Arc<Beat>; 2],
}

impl RecordPlan {
    pub fn new(settings: Settings, source: &str, fps: f64, engines: Vec<EngineLine>) -> Self {
        let open = |path: &Path| File::create(path);
        RecordPlan { settings, source: source.to_owned(), fps, engines, wall_s: clock::wall_s, open, beats: Default::default() }
    }
}

/// Files that were named by the user, or names by the date in the recordings' folder.
type Wanted = Option<Vec<(Stream, PathBuf)>>;

enum Order {
    Start { files: Wanted, tally: Arc<Tally> },
    Open { stream: Stream, input: Input },
    Note(Note),
    Stop,
}

/// A stream that takes pictures.
struct Feed {
    stream: Stream,
    encoder: Arc<Encoder>,
    rate: Rate,
    disk_is_behind: Arc<AtomicBool>,
    tally: Arc<Tally>,
}

enum Slot {
    Off,
    /// On, but no encoder was asked for.
    Waiting,
    Asked,
    Open(Feed),
}

pub struct Recorder {
    plan: RecordPlan,
    orders: Option<Sender<Order>>,
    feeds: Receiver<Feed>,
    slots: [Slot; 2],
    tally: Option<Arc<Tally>>,
    /// Every recording of the run, with the name that its first file was to have.
    tallies: Vec<(Arc<Tally>, Wanted)>,
    marks: u32,
    thread: Option<JoinHandle<()>>,
}

impl Recorder {
    /// Ready to record; nothing is recorded yet.
    pub fn new(plan: RecordPlan) -> Result<Self, RecordError> {
        let (orders, ordered) = unbounded();
        let (hand_over, feeds) = unbounded();
        let keeper = Clerk { plan: plan.clone(), feeds: hand_over, session: None };
        let spawned = std::thread::Builder::new().name("record".into()).spawn(move || keeper.run(&ordered));
        let thread = spawned.map_err(|e| RecordError::write(Path::new("record thread"), e))?;
        let slots = [Slot::Off, Slot::Off];
        Ok(Recorder { plan, orders: Some(orders), feeds, slots, tally: None, tallies: Vec::new(), marks: 0, thread: Some(thread) })
    }

    fn slot(&mut self, stream: Stream) -> &mut Slot {
        match stream {
            Stream::Overlay => &mut self.slots[0],
            Stream::Clean => &mut self.slots[1],
        }
    }

    fn order(&self, order: Order) {
        if let Some(orders) = &self.orders {
            // The thread ends only after this side.
            let _ = orders.send(order);
        }
    }

    pub fn is_recording(&self) -> bool {
        self.tally.is_some()
    }

    /// Is this stream recorded now?
    pub fn wants(&self, stream: Stream) -> bool {
        let slot = if stream == Stream::Overlay { &self.slots[0] } else { &self.slots[1] };
        !matches!(slot, Slot::Off)
    }

    /// Begins a recording into files of the user's choice, or (None) of the configured streams into the recordings' folder.
    pub fn start(&mut self, files: Option<Vec<(Stream, PathBuf)>>) {
        if self.tally.is_some() {
            return;
        }
        let tally = Arc::new(Tally::default());
        let streams: Vec<Stream> =
            files.as_ref().map_or_else(|| self.plan.settings.streams.clone(), |files| files.iter().map(|(stream, _)| *stream).collect());
        streams.into_iter().for_each(|stream| *self.slot(stream) = Slot::Waiting);
        self.marks = 0;
        self.tallies.push((tally.clone(), files.clone()));
        self.tally = Some(tally.clone());
        self.order(Order::Start { files, tally });
    }

    /// Opens a stream's encoder before pictures come, so that none is missed; waits for it. Refuses what cannot work.
    pub fn open_now(&mut self, stream: Stream, input: Input) -> Result<(), RecordError> {
        self.order(Order::Open { stream, input });
        *self.slot(stream) = Slot::Asked;
        let Some(tally) = self.tally.clone() else { return Ok(()) };
        for _ in 0..OPEN_WAIT.as_millis() / OPEN_LOOK.as_millis() {
            if let Ok(feed) = self.feeds.recv_timeout(OPEN_LOOK) {
                let slot = self.slot(feed.stream);
                *slot = Slot::Open(feed);
                return Ok(());
            }
            if let Some(reason) = tally.trouble(stream) {
                return Err(RecordError::Stopped { what: stream.name(), reason });
            }
        }
        Err(RecordError::Stopped { what: stream.name(), reason: "its encoder did not start within 10 s".into() })
    }

    pub fn stop(&mut self) {
        // Feeds first: the encoders' last owner is the other thread.
        self.slots = [Slot::Off, Slot::Off];
        if self.tally.take().is_some() {
            self.order(Order::Stop);
        }
    }

    /// Starts or stops, as a key does.
    pub fn toggle(&mut self) {
        if self.tally.is_some() { self.stop() } else { self.start(None) }
    }

    /// Marks the moment at which `frame` was captured. Returns the mark's number; None where nothing is recorded.
    pub fn mark(&mut self, frame: u64, capture_ns: u64) -> Option<u32> {
        let start_ns = self.tally.as_ref()?.start_capture_ns()?;
        self.marks += 1;
        let at_ms = capture_ns.saturating_sub(start_ns) as f64 / 1e6;
        self.order(Order::Note(Note::Mark(Marker { number: self.marks, at_ms, frame })));
        Some(self.marks)
    }

    /// Another engine draws from now on.
    pub fn name_engine(&self, engine: EngineLine) {
        self.order(Order::Note(Note::Engine(Box::new(engine))));
    }

    /// Offers a picture; never waits. `fill` writes it where the encoder wants it and is not called where there is no room.
    pub fn offer(&mut self, stream: Stream, input: Input, frame: u64, capture_ns: u64, fill: impl FnOnce(&mut [u8], &VideoInfo)) {
        let Some(tally) = self.tally.clone() else { return };
        for feed in self.feeds.try_iter() {
            let slot = if feed.stream == Stream::Overlay { &mut self.slots[0] } else { &mut self.slots[1] };
            // One of a recording that was stopped meanwhile belongs nowhere.
            if matches!(slot, Slot::Asked) && Arc::ptr_eq(&feed.tally, &tally) {
                *slot = Slot::Open(feed);
            }
        }
        let must_ask = match self.slot(stream) {
            Slot::Off => return,
            Slot::Open(feed) => *feed.encoder.input() != input,
            Slot::Waiting => true,
            Slot::Asked => false,
        };
        if tally.has_stopped(stream) {
            return tally.leave_out(stream, LeftOut::Stopped);
        }
        if must_ask {
            *self.slot(stream) = Slot::Asked;
            self.order(Order::Open { stream, input });
        }
        let Slot::Open(feed) = self.slot(stream) else { return tally.leave_out(stream, LeftOut::Opening) };
        let at_ns = tally.place_ns(capture_ns);
        if !feed.rate.takes(capture_ns) {
            return tally.leave_out(stream, LeftOut::HalfRate);
        }
        match feed.encoder.try_push(at_ns, frame, fill) {
            Pushed::Taken => tally.record(stream),
            // Fewer pictures would not make a disk faster that hangs.
            Pushed::Full if feed.encoder.has_failed() => {
                let reason = feed.encoder.trouble().map_or_else(|| "the encoder failed".to_owned(), |error| error.to_string());
                tally.stop(stream, RecordAlarm::Failed, reason);
                tally.leave_out(stream, LeftOut::Stopped);
            }
            Pushed::Full if feed.disk_is_behind.load(Ordering::Acquire) => tally.leave_out(stream, LeftOut::DiskSlow),
            Pushed::Full => {
                feed.rate.refused(capture_ns);
                tally.leave_out(stream, LeftOut::EncoderSlow);
            }
        }
        tally.set_slow(self.slots.iter().any(|slot| matches!(slot, Slot::Open(feed) if feed.rate.step() > 1)));
    }

    pub fn state(&self) -> RecordingState {
        // What went wrong last stays said until the next recording starts.
        let last = self.tallies.last().map(|(tally, _)| tally);
        let alarm = last.and_then(|tally| tally.alarm()).filter(|alarm| self.tally.is_some() || *alarm != RecordAlarm::Slow);
        match &self.tally {
            None => RecordingState { alarm, ..RecordingState::default() },
            Some(tally) => {
                let runs = |(stream, slot): (Stream, &Slot)| !matches!(slot, Slot::Off) && !tally.has_stopped(stream);
                let recording = [Stream::Overlay, Stream::Clean].into_iter().zip(&self.slots).any(runs);
                RecordingState { recording, lost: tally.lost(), seconds: tally.seconds(), alarm }
            }
        }
    }

    /// Why the last recording stopped by itself.
    pub fn trouble(&self) -> Option<String> {
        let (tally, _) = self.tallies.last()?;
        [Stream::Overlay, Stream::Clean].into_iter().find_map(|stream| tally.trouble(stream))
    }

    /// Stops and waits until the files are whole (20 s at most). Losses by reason, and what went wrong first.
    pub fn finish(mut self) -> (BTreeMap<String, u64>, Result<(), RecordError>) {
        self.stop();
        self.orders = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        let (mut losses, mut outcome) = (BTreeMap::new(), Ok(()));
        for (tally, files) in &self.tallies {
            for stream in [Stream::Overlay, Stream::Clean] {
                for (why, count) in tally.left_out(stream) {
                    *losses.entry(format!("record_{}_{why}", stream.name())).or_insert(0) += count;
                }
                let named = files.iter().flatten().find(|(named, _)| *named == stream);
                let found = match (tally.trouble(stream), named) {
                    (Some(reason), _) => Err(RecordError::Stopped { what: stream.name(), reason }),
                    (None, Some((_, path))) if tally.recorded(stream) == 0 => {
                        Err(RecordError::NoPicture { path: path.display().to_string() })
                    }
                    _ => Ok(()),
                };
                if outcome.is_ok() {
                    outcome = found;
                }
            }
        }
        (losses, outcome)
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.stop();
        self.orders = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// The thread that may wait.
struct Clerk {
    plan: RecordPlan,
    feeds: Sender<Feed>,
    session: Option<Session>,
}

struct Session {
    lanes: BTreeMap<Stream, Lane>,
    tally: Arc<Tally>,
}

impl Clerk {
    fn run(mut self, orders: &Receiver<Order>) {
        for order in orders {
            match order {
                Order::Start { files, tally } => {
                    self.close();
                    self.session = Some(self.begin(files, &tally));
                }
                Order::Open { stream, input } => self.open(stream, input),
                Order::Note(note) => {
                    self.session.iter().flat_map(|session| session.lanes.values()).for_each(|lane| lane.note(note.clone()));
                    if let Note::Engine(engine) = note {
                        self.plan.engines = vec![*engine];
                    }
                }
                Order::Stop => self.close(),
            }
        }
        self.close();
    }

    fn begin(&self, files: Wanted, tally: &Arc<Tally>) -> Session {
        let mut session = Session { lanes: BTreeMap::new(), tally: tally.clone() };
        let (name, started) = utc((self.plan.wall_s)());
        let (files, is_ours) = match files {
            Some(files) => (files, false),
            None => (self.by_date(&name, tally), true),
        };
        let mut keepers: Vec<(PathBuf, Keeper)> = Vec::new();
        for (stream, path) in files {
            let id = new_id();
            let folder = path.parent().unwrap_or(Path::new("")).to_owned();
            let sidecar = sidecar_path(&path).file_name().unwrap_or_default().to_string_lossy().into_owned();
            let keeper = match keepers.iter().find(|(known, _)| *known == folder) {
                Some((_, keeper)) => keeper.beside(id, &sidecar),
                None => Keeper::new(&folder, self.limits(), is_ours || self.plan.settings.disk_budget_mb > 0, id, &sidecar),
            };
            keepers.push((folder, keeper.clone()));
            match self.lane(stream, path, id, keeper, &started, tally) {
                Ok(lane) => drop(session.lanes.insert(stream, lane)),
                Err(error) => tally.stop(stream, RecordAlarm::Failed, error.to_string()),
            }
        }
        session
    }

    fn limits(&self) -> Limits {
        Limits { budget: self.plan.settings.disk_budget_mb << 20, min_free: self.plan.settings.min_free_mb << 20 }
    }

    fn by_date(&self, name: &str, tally: &Tally) -> Vec<(Stream, PathBuf)> {
        let settings = &self.plan.settings;
        let made = settings.folder().ok_or("no folder for recordings: set record.dir".to_owned()).and_then(|folder| {
            std::fs::create_dir_all(&folder).map_err(|e| format!("'{}' cannot be made ({e}): set record.dir", folder.display()))?;
            Ok(folder)
        });
        match made {
            Ok(folder) => {
                settings.streams.iter().map(|stream| (*stream, free_name(&folder, name, *stream, settings.segment_s > 0))).collect()
            }
            Err(reason) => {
                settings.streams.iter().for_each(|stream| tally.stop(*stream, RecordAlarm::Failed, reason.clone()));
                Vec::new()
            }
        }
    }

    fn lane(
        &self,
        stream: Stream,
        path: PathBuf,
        id: RecordingId,
        keeper: Keeper,
        started: &str,
        tally: &Arc<Tally>,
    ) -> Result<Lane, RecordError> {
        let plan = &self.plan;
        let sidecar = Sidecar {
            schema: SCHEMA.into(),
            recording: id.to_string(),
            stream,
            version: env!("CARGO_PKG_VERSION").into(),
            commit: env!("KEYHOLE_COMMIT").into(),
            started: started.to_owned(),
            start_capture_ns: None,
            source: plan.source.clone(),
            fps: plan.fps,
            engines: plan.engines.clone(),
            segments: Vec::new(),
            markers: Vec::new(),
            left_out: BTreeMap::new(),
            is_finished: false,
            trouble: None,
        };
        let naming = Naming { path, is_numbered: plan.settings.segment_s > 0 };
        Lane::start(LaneSpec {
            stream,
            naming,
            id,
            fps: plan.fps,
            settings: plan.settings.clone(),
            keeper,
            open: Box::new(plan.open),
            sidecar,
            tally: tally.clone(),
            beat: plan.beats[if stream == Stream::Overlay { 0 } else { 1 }].clone(),
        })
    }

    fn open(&mut self, stream: Stream, input: Input) {
        let Some(session) = &mut self.session else { return };
        let Some(lane) = session.lanes.get_mut(&stream) else { return };
        let tally = session.tally.clone();
        match lane.open(input, FINISH_WAIT) {
            Ok(encoder) => {
                let disk_is_behind = tally.disk_is_behind(stream);
                let _ = self.feeds.send(Feed { stream, encoder, rate: Rate::default(), disk_is_behind, tally });
            }
            Err(error) => tally.stop(stream, RecordAlarm::Failed, error.to_string()),
        }
    }

    fn close(&mut self) {
        let Some(session) = self.session.take() else { return };
        session.lanes.into_values().for_each(|lane| lane.finish(FINISH_WAIT));
    }
}

/// A name by the date that nothing has yet.
fn free_name(folder: &Path, date: &str, stream: Stream, is_numbered: bool) -> PathBuf {
    let name = |n: u32| {
        let again = if n > 1 { format!("-{n}") } else { String::new() };
        folder.join(format!("{date}{again}-{}.mp4", stream.name()))
    };
    let is_free = |path: &PathBuf| {
        let naming = Naming { path: path.clone(), is_numbered };
        !naming.file(1).exists() && !sidecar_path(path).exists()
    };
    // A wall clock that was set back gives a date again: what has the name already is never written over.
    (1..).map(name).find(is_free).unwrap_or_else(|| name(u32::MAX))
}

/// Of the standard library's own random keys: unique is enough.
fn new_id() -> RecordingId {
    let word = || std::collections::hash_map::RandomState::new().build_hasher().finish();
    RecordingId((u128::from(word()) << 64 | u128::from(word())).to_be_bytes())
}

#[cfg(test)]
#[path = "recorder_tests.rs"]
mod tests;
