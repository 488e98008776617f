//! What a recording's sidecar says (`NAME.recording.json`, schema "keyhole.recording/1"): where its pictures come from, which frames are
//! in which file, which are missing and why, and the marks that somebody set. Written whole, each time a file is begun or a mark is
//! set, so that a cut loses none of it.

use crate::record::RecordError;
use crate::record::mp4::RecordingId;
use crate::record::report::{EngineLine, write_whole};
use crate::record::segments::SegmentLine;
use crate::record::settings::Stream;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

pub const SCHEMA: &str = "keyhole.recording/1";
/// Larger than any that is written: two weeks of two-second segments.
const LARGEST_BYTES: u64 = 256 << 20;

/// A moment that somebody marked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Marker {
    /// From 1.
    pub number: u32,
    /// Since the start of the recording, by the capture stamp of the frame on the screen.
    pub at_ms: f64,
    pub frame: u64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sidecar {
    pub schema: String,
    /// The id that is in the files' own headers, 32 hexadecimal digits.
    pub recording: String,
    pub stream: Stream,
    pub version: String,
    pub commit: String,
    /// Wall clock at the start, UTC, RFC 3339.
    pub started: String,
    /// Capture stamp (CLOCK_MONOTONIC, ns) at time 0 of the recording; null before the first picture.
    pub start_capture_ns: Option<u64>,
    pub source: String,
    /// Nominal; the files carry the capture stamps' own times.
    pub fps: f64,
    pub engines: Vec<EngineLine>,
    pub segments: Vec<SegmentLine>,
    pub markers: Vec<Marker>,
    /// Pictures that are not in the files, by reason.
    pub left_out: BTreeMap<String, u64>,
    /// False while it is written, and after a cut.
    pub is_finished: bool,
    /// Why it ended early.
    pub trouble: Option<String>,
}

impl Sidecar {
    /// Reads what `write` wrote; whatever else is refused with the reason.
    pub fn parse(text: &str) -> Result<Sidecar, String> {
        let sidecar: Sidecar = serde_json::from_str(text).map_err(|e| e.to_string())?;
        if sidecar.schema != SCHEMA {
            return Err(format!("its schema is '{}', not '{SCHEMA}'", sidecar.schema));
        }
        if RecordingId::parse(&sidecar.recording).is_none() {
            return Err("its recording id is not 32 hexadecimal digits".into());
        }
        for segment in &sidecar.segments {
            if Path::new(&segment.file).file_name().is_none_or(|name| name != segment.file.as_str()) {
                return Err(format!("'{}' does not lie beside it", segment.file));
            }
            if segment.first_frame > segment.last_frame || segment.pictures > segment.last_frame - segment.first_frame + 1 {
                return Err(format!("the frames of '{}' do not add up", segment.file));
            }
        }
        if sidecar.segments.windows(2).any(|pair| pair[0].last_frame >= pair[1].first_frame) {
            return Err("its files are not in the order of their frames".into());
        }
        Ok(sidecar)
    }

    pub fn load(path: &Path) -> Result<Sidecar, RecordError> {
        let refuse = |reason: String| RecordError::Sidecar { path: path.to_owned(), reason };
        let size = path.metadata().map_err(|e| refuse(e.to_string()))?.len();
        if size > LARGEST_BYTES {
            return Err(refuse(format!("{size} bytes are more than a sidecar has")));
        }
        std::fs::read_to_string(path).map_err(|e| e.to_string()).and_then(|text| Sidecar::parse(&text)).map_err(refuse)
    }

    /// Writes the whole file under a temporary name, then gives it its own.
    pub fn write(&self, path: &Path) -> Result<(), RecordError> {
        let text = serde_json::to_string_pretty(self).map_err(|e| RecordError::write(path, e))?;
        write_whole(path, text.as_bytes())
    }
}

/// `x.mp4` has `x.recording.json` beside it.
pub fn sidecar_path(recording: &Path) -> PathBuf {
    recording.with_extension("recording.json")
}

/// The id of the recording that a sidecar belongs to; None where it is no sidecar of ours.
pub(super) fn recording_of(path: &Path) -> Option<String> {
    path.symlink_metadata().ok().filter(std::fs::Metadata::is_file)?;
    Sidecar::load(path).ok().map(|sidecar| sidecar.recording)
}

/// Seconds since 1970 as UTC: (`20261122T041954Z` for names, `2026-11-22T04:19:54Z` for people). The calendar is the proleptic Gregorian
/// one (after H. Hinnant, "chrono-compatible low-level date algorithms").
pub fn utc(unix_s: u64) -> (String, String) {
    let (days, second) = (unix_s / 86_400, unix_s % 86_400);
    // Years that begin in March, in eras of 400 years.
    let day = days + 719_468;
    let (era, of_era) = (day / 146_097, day % 146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    (
        format!("{year:04}{month:02}{day:02}T{hour:02}{minute:02}{second:02}Z"),
        format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z"),
    )
}

#[cfg(test)]
pub(super) fn example() -> Sidecar {
    let segment = |n: u64| SegmentLine {
        file: format!("x-{n:04}.mp4"),
        first_frame: n * 100,
        last_frame: n * 100 + 99,
        pictures: 98,
        start_ms: n as f64 * 2_000.0,
        seconds: 2.0,
        bytes: 1_000_000,
    };
    Sidecar {
        schema: SCHEMA.into(),
        recording: RecordingId([0xa5; 16]).to_string(),
        stream: Stream::Clean,
        version: "0.1.0".into(),
        commit: "abc".into(),
        started: utc(0).1,
        start_capture_ns: Some(5),
        source: "sim:".into(),
        fps: 50.0,
        engines: Vec::new(),
        segments: vec![segment(1), segment(2)],
        markers: vec![Marker { number: 1, at_ms: 70.0, frame: 104 }],
        left_out: BTreeMap::from([("encoder_slow".into(), 4)]),
        is_finished: true,
        trouble: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_written_is_read_and_nonsense_is_refused_with_its_reason() {
        let folder = tempfile::tempdir().unwrap();
        let path = sidecar_path(&folder.path().join("x.mp4"));
        assert_eq!(path.file_name().unwrap(), "x.recording.json");
        example().write(&path).unwrap();
        assert_eq!(Sidecar::load(&path).unwrap(), example());
        let refused = |change: &dyn Fn(&mut Sidecar), words: &str| {
            let mut sidecar = example();
            change(&mut sidecar);
            sidecar.write(&path).unwrap();
            let error = Sidecar::load(&path).unwrap_err().to_string();
            assert!(error.contains(words) && error.contains("x.recording.json"), "{error}");
        };
        refused(&|s| s.schema = "other/1".into(), "other/1");
        refused(&|s| s.recording = "../..".into(), "hexadecimal");
        refused(&|s| s.segments[0].file = "../x.mp4".into(), "beside");
        refused(&|s| s.segments[0].pictures = 101, "add up");
        refused(&|s| s.segments.swap(0, 1), "order");
        assert!(Sidecar::parse("{\"schema\": \"keyhole.recording/1\", \"more\": 1}").is_err());
    }

    #[test]
    fn dates_are_those_of_the_calendar() {
        for (unix_s, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_795_321_194, "2026-11-22T04:19:54Z"),
            (4_107_542_399, "2100-02-28T23:59:59Z"),
        ] {
            assert_eq!(utc(unix_s).1, text);
        }
        assert_eq!(utc(1_795_321_194).0, "20261122T041954Z");
    }

    proptest! {
        #[test]
        fn no_text_makes_the_parser_panic(text in "\\PC{0,300}", at in 0usize..600, byte: u8) {
            let _ = Sidecar::parse(&text);
            let mut bytes = serde_json::to_vec(&example()).unwrap();
            let at = at % bytes.len();
            bytes[at] = byte;
            if let Ok(text) = String::from_utf8(bytes) {
                let _ = Sidecar::parse(&text);
            }
        }
    }
}
