//! What became of each picture of one recording, and why it stopped, if it did: written by the display thread and the disk threads,
//! read by everybody.

use crate::record::settings::Stream;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Why a picture is not in a recording.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeftOut {
    /// The encoder had no room.
    EncoderSlow,
    /// The disk had not taken what was coded.
    DiskSlow,
    /// Only every second or fourth picture is recorded, because the encoder could not keep up.
    HalfRate,
    /// The encoder was being opened: at the start, and when the picture's format changes.
    Opening,
    /// The recording had stopped by itself.
    Stopped,
}

impl LeftOut {
    pub const ALL: [LeftOut; 5] = [LeftOut::EncoderSlow, LeftOut::DiskSlow, LeftOut::HalfRate, LeftOut::Opening, LeftOut::Stopped];

    pub fn name(self) -> &'static str {
        match self {
            LeftOut::EncoderSlow => "encoder_slow",
            LeftOut::DiskSlow => "disk_slow",
            LeftOut::HalfRate => "half_rate",
            LeftOut::Opening => "opening",
            LeftOut::Stopped => "stopped",
        }
    }
}

/// What is wrong with a recording.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum RecordAlarm {
    /// It goes on, with fewer pictures.
    Slow,
    /// It has stopped: no space, and no more of our own files to remove.
    DiskFull,
    /// It has stopped.
    Failed,
}

impl RecordAlarm {
    pub fn code(self) -> &'static str {
        match self {
            RecordAlarm::Slow => "RECORD-SLOW",
            RecordAlarm::DiskFull => "RECORD-DISK-FULL",
            RecordAlarm::Failed => "RECORD-FAILED",
        }
    }
}

/// For the screen and the report.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct RecordingState {
    /// Pictures go to a file now.
    pub recording: bool,
    /// Pictures that should be in this recording and are not, in all streams.
    pub lost: u64,
    /// Since its first picture.
    pub seconds: f64,
    pub alarm: Option<RecordAlarm>,
}

const STREAMS: usize = 2;

#[derive(Default)]
struct Counts {
    recorded: AtomicU64,
    left_out: [AtomicU64; LeftOut::ALL.len()],
    /// 0, or 1 + the place of the alarm.
    stopped: AtomicU8,
    trouble: Mutex<Option<String>>,
    disk_is_behind: Arc<AtomicBool>,
}

/// One recording's.
#[derive(Default)]
pub struct Tally {
    streams: [Counts; STREAMS],
    /// 0: no picture yet.
    start_capture_ns: AtomicU64,
    last_capture_ns: AtomicU64,
    is_slow: AtomicBool,
}

fn place(stream: Stream) -> usize {
    match stream {
        Stream::Overlay => 0,
        Stream::Clean => 1,
    }
}

impl Tally {
    /// Time in the recording of a picture captured then; the first one that is asked for is at 0.
    pub fn place_ns(&self, capture_ns: u64) -> u64 {
        let capture_ns = capture_ns.max(1);
        let start_ns = match self.start_capture_ns.compare_exchange(0, capture_ns, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => capture_ns,
            Err(start_ns) => start_ns,
        };
        self.last_capture_ns.fetch_max(capture_ns, Ordering::Relaxed);
        capture_ns.saturating_sub(start_ns)
    }

    pub fn start_capture_ns(&self) -> Option<u64> {
        Some(self.start_capture_ns.load(Ordering::Acquire)).filter(|ns| *ns > 0)
    }

    pub fn record(&self, stream: Stream) {
        self.streams[place(stream)].recorded.fetch_add(1, Ordering::Relaxed);
    }

    pub fn recorded(&self, stream: Stream) -> u64 {
        self.streams[place(stream)].recorded.load(Ordering::Relaxed)
    }

    pub fn leave_out(&self, stream: Stream, why: LeftOut) {
        self.streams[place(stream)].left_out[why as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// By reason, without those that are zero.
    pub fn left_out(&self, stream: Stream) -> BTreeMap<String, u64> {
        let counts = &self.streams[place(stream)].left_out;
        let read = LeftOut::ALL.into_iter().zip(counts).map(|(why, count)| (why.name().to_owned(), count.load(Ordering::Relaxed)));
        read.filter(|(_, count)| *count > 0).collect()
    }

    pub fn disk_is_behind(&self, stream: Stream) -> Arc<AtomicBool> {
        self.streams[place(stream)].disk_is_behind.clone()
    }

    /// A stream's recording has ended by itself. The first reason stays.
    pub fn stop(&self, stream: Stream, alarm: RecordAlarm, trouble: String) {
        let counts = &self.streams[place(stream)];
        counts.trouble.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(trouble);
        let code = if alarm == RecordAlarm::DiskFull { 1 } else { 2 };
        let _ = counts.stopped.compare_exchange(0, code, Ordering::AcqRel, Ordering::Acquire);
    }

    pub fn has_stopped(&self, stream: Stream) -> bool {
        self.streams[place(stream)].stopped.load(Ordering::Acquire) != 0
    }

    /// Why a stream's recording has ended by itself.
    pub fn trouble(&self, stream: Stream) -> Option<String> {
        self.streams[place(stream)].trouble.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub fn set_slow(&self, is_slow: bool) {
        self.is_slow.store(is_slow, Ordering::Relaxed);
    }

    pub fn alarm(&self) -> Option<RecordAlarm> {
        let stopped = self.streams.iter().map(|counts| counts.stopped.load(Ordering::Acquire)).max().unwrap_or(0);
        let is_behind = || self.streams.iter().any(|counts| counts.disk_is_behind.load(Ordering::Relaxed));
        match stopped {
            1 => Some(RecordAlarm::DiskFull),
            2.. => Some(RecordAlarm::Failed),
            0 => (self.is_slow.load(Ordering::Relaxed) || is_behind()).then_some(RecordAlarm::Slow),
        }
    }

    /// Pictures that were lost on the way. Those that came while the encoder was being opened are before the recording.
    pub fn lost(&self) -> u64 {
        let lost = LeftOut::ALL.into_iter().filter(|why| *why != LeftOut::Opening);
        let of = |why: LeftOut| self.streams.iter().map(move |counts| counts.left_out[why as usize].load(Ordering::Relaxed)).sum::<u64>();
        lost.map(of).sum()
    }

    pub fn seconds(&self) -> f64 {
        let start_ns = self.start_capture_ns.load(Ordering::Acquire);
        self.last_capture_ns.load(Ordering::Relaxed).saturating_sub(start_ns) as f64 / 1e9
    }
}
