//! Fragmented MP4 with one H.264 track (ISO/IEC 14496-12 and -15), as bytes: what is written so far can always be played.
//!
//! ```text
//!   ftyp  uuid (whose file this is)  moov (no samples)   │ moof mdat │ moof mdat │ …   │ mfra (where the fragments lie)
//!   ── `header`, once ────────────────────────────────── │ ── `fragment`, each ─────── │ ── `index`, at a good end
//! ```
//! No file is opened here and nothing is decided: that is `segments`.

use std::fmt;

/// Ticks a second of all times in the file: exact for 24, 25, 30, 50 and 60 Hz.
pub const TIMESCALE: u32 = 90_000;
/// Names the box that carries the recording's id.
const OWNER: [u8; 16] = *b"keyhole-recorded";
const TRACK: u32 = 1;
/// ISO/IEC 14496-12, 8.8.3.1: depends on nothing; depends on others and is no sync sample.
const SYNC_SAMPLE: u32 = 0x0200_0000;
const OTHER_SAMPLE: u32 = 0x0101_0000;

/// What makes a recording's files known as ours, whatever they are called.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct RecordingId(pub [u8; 16]);

impl fmt::Display for RecordingId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for RecordingId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl RecordingId {
    /// 32 lower-case hexadecimal digits.
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.as_bytes();
        if digits.len() != 32 || !digits.iter().all(|d| matches!(d, b'0'..=b'9' | b'a'..=b'f')) {
            return None;
        }
        let mut id = [0; 16];
        for (byte, at) in id.iter_mut().zip((0..32).step_by(2)) {
            *byte = u8::from_str_radix(&text[at..at + 2], 16).ok()?;
        }
        Some(RecordingId(id))
    }
}

/// What a decoder must know before the first picture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Codec {
    pub width: u16,
    pub height: u16,
    /// The AVCDecoderConfigurationRecord (ISO/IEC 14496-15, 5.3.3.1).
    pub avcc: Vec<u8>,
}

/// One coded picture.
pub struct Sample<'a> {
    /// Ticks until the next one is shown.
    pub duration: u32,
    pub is_key: bool,
    /// NAL units with four bytes of length each.
    pub data: &'a [u8],
}

/// A time in the file, in ticks; rounded to the nearest from the start of the recording, so that no error adds up.
pub fn ticks(ns: u64) -> u64 {
    ((u128::from(ns) * u128::from(TIMESCALE) + 500_000_000) / 1_000_000_000) as u64
}

/// Writes a box: its size is known when `content` has been written.
fn atom(out: &mut Vec<u8>, name: &[u8; 4], content: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend([0; 4]);
    out.extend(name);
    content(out);
    let size = (out.len() - start) as u32;
    out[start..start + 4].copy_from_slice(&size.to_be_bytes());
}

fn full_atom(out: &mut Vec<u8>, name: &[u8; 4], version: u8, flags: u32, content: impl FnOnce(&mut Vec<u8>)) {
    atom(out, name, |out| {
        u32s(out, &[u32::from(version) << 24 | flags]);
        content(out);
    });
}

fn u16s(out: &mut Vec<u8>, values: &[u16]) {
    values.iter().for_each(|v| out.extend(v.to_be_bytes()));
}

fn u32s(out: &mut Vec<u8>, values: &[u32]) {
    values.iter().for_each(|v| out.extend(v.to_be_bytes()));
}

const UNITY: [u32; 9] = [0x1_0000, 0, 0, 0, 0x1_0000, 0, 0, 0, 0x4000_0000];

/// Places in a file's start that are filled in later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Places {
    /// Of the whole duration (`duration_atom`).
    pub duration_at: u64,
    /// Of the number of chapters, one byte, behind which the chapters stand (`chapter`).
    pub chapters_at: u64,
}

/// The start of a file, and what in it is filled in later.
pub fn header(codec: &Codec, id: RecordingId) -> (Vec<u8>, Places) {
    let mut out = Vec::with_capacity(1024);
    atom(&mut out, b"ftyp", |out| {
        out.extend(b"isom");
        u32s(out, &[0x200]);
        out.extend(b"isomiso6iso2avc1mp41");
    });
    atom(&mut out, b"uuid", |out| {
        out.extend(OWNER);
        out.extend(id.0);
    });
    let mut places = Places { duration_at: 0, chapters_at: 0 };
    atom(&mut out, b"moov", |out| {
        full_atom(out, b"mvhd", 0, 0, |out| {
            u32s(out, &[0, 0, TIMESCALE, 0, 0x1_0000]);
            u16s(out, &[0x100, 0, 0, 0, 0, 0]);
            u32s(out, &UNITY);
            u32s(out, &[0, 0, 0, 0, 0, 0, TRACK + 1]);
        });
        atom(out, b"trak", |out| track(out, codec));
        atom(out, b"mvex", |out| {
            places.duration_at = out.len() as u64;
            // Room for the duration, which nobody knows yet.
            atom(out, b"free", |out| out.extend([0; 12]));
            full_atom(out, b"trex", 0, 0, |out| u32s(out, &[TRACK, 1, 0, 0, 0]));
        });
        atom(out, b"udta", |out| {
            // Nero's chapter list, which players of fragmented files read where a chapter track would need the samples of the
            // whole file. It has its full size from the start: a chapter more is bytes that nobody reads yet, then one that counts.
            full_atom(out, b"chpl", 1, 0, |out| {
                u32s(out, &[0]);
                places.chapters_at = out.len() as u64;
                out.extend([0; 1 + MOST_CHAPTERS * CHAPTER_BYTES]);
            });
        });
    });
    (out, places)
}

/// A file names no more chapters; the sidecar has all marks.
pub const MOST_CHAPTERS: usize = 255;
/// Time, length of the name, and the name.
pub const CHAPTER_BYTES: usize = 8 + 1 + CHAPTER_NAME_BYTES;
const CHAPTER_NAME_BYTES: usize = 12;

/// A chapter that begins so long after the file's start, called by the mark's number.
pub fn chapter(at_ns: u64, number: u32) -> [u8; CHAPTER_BYTES] {
    let name = format!("mark {number}");
    let mut out = [b' '; CHAPTER_BYTES];
    out[..8].copy_from_slice(&(at_ns / 100).to_be_bytes());
    out[8] = CHAPTER_NAME_BYTES as u8;
    let name = &name.as_bytes()[..name.len().min(CHAPTER_NAME_BYTES)];
    out[9..9 + name.len()].copy_from_slice(name);
    out
}

/// Goes where `header` left room for it.
pub fn duration_atom(ticks: u64) -> Vec<u8> {
    let mut out = Vec::with_capacity(20);
    full_atom(&mut out, b"mehd", 1, 0, |out| out.extend(ticks.to_be_bytes()));
    out
}

fn track(out: &mut Vec<u8>, codec: &Codec) {
    full_atom(out, b"tkhd", 0, 7, |out| {
        u32s(out, &[0, 0, TRACK, 0, 0, 0, 0]);
        u16s(out, &[0, 0, 0, 0]);
        u32s(out, &UNITY);
        u32s(out, &[u32::from(codec.width) << 16, u32::from(codec.height) << 16]);
    });
    atom(out, b"mdia", |out| {
        // 0x55c4: no language ("und").
        full_atom(out, b"mdhd", 0, 0, |out| {
            u32s(out, &[0, 0, TIMESCALE, 0]);
            u16s(out, &[0x55c4, 0]);
        });
        full_atom(out, b"hdlr", 0, 0, |out| {
            u32s(out, &[0]);
            out.extend(b"vide");
            u32s(out, &[0, 0, 0]);
            out.extend(b"keyhole\0");
        });
        atom(out, b"minf", |out| {
            full_atom(out, b"vmhd", 0, 1, |out| u16s(out, &[0; 4]));
            atom(out, b"dinf", |out| {
                full_atom(out, b"dref", 0, 0, |out| {
                    u32s(out, &[1]);
                    full_atom(out, b"url ", 0, 1, |_| {});
                });
            });
            atom(out, b"stbl", |out| {
                full_atom(out, b"stsd", 0, 0, |out| {
                    u32s(out, &[1]);
                    atom(out, b"avc1", |out| avc1(out, codec));
                });
                full_atom(out, b"stts", 0, 0, |out| u32s(out, &[0]));
                full_atom(out, b"stsc", 0, 0, |out| u32s(out, &[0]));
                full_atom(out, b"stsz", 0, 0, |out| u32s(out, &[0, 0]));
                full_atom(out, b"stco", 0, 0, |out| u32s(out, &[0]));
            });
        });
    });
}

fn avc1(out: &mut Vec<u8>, codec: &Codec) {
    u16s(out, &[0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, codec.width, codec.height]);
    // 72 dpi both ways; one picture a sample; no compressor's name; 24 bits; no colour table.
    u32s(out, &[0x48_0000, 0x48_0000, 0]);
    u16s(out, &[1]);
    out.extend([0; 32]);
    u16s(out, &[24, 0xffff]);
    atom(out, b"avcC", |out| out.extend(&codec.avcc));
}

/// Appends one fragment: `number` counts from 1, `start` is the time of its first sample in ticks.
pub fn fragment(out: &mut Vec<u8>, number: u32, start: u64, samples: &[Sample<'_>]) {
    let from = out.len();
    let mut offset_at = 0;
    atom(out, b"moof", |out| {
        full_atom(out, b"mfhd", 0, 0, |out| u32s(out, &[number]));
        atom(out, b"traf", |out| {
            // 0x20000: offsets count from this moof.
            full_atom(out, b"tfhd", 0, 0x2_0000, |out| u32s(out, &[TRACK]));
            full_atom(out, b"tfdt", 1, 0, |out| out.extend(start.to_be_bytes()));
            // Offset of the data; duration, size and flags of each sample.
            full_atom(out, b"trun", 0, 0x701, |out| {
                u32s(out, &[samples.len() as u32]);
                offset_at = out.len();
                u32s(out, &[0]);
                for sample in samples {
                    let flags = if sample.is_key { SYNC_SAMPLE } else { OTHER_SAMPLE };
                    u32s(out, &[sample.duration, sample.data.len() as u32, flags]);
                }
            });
        });
    });
    let offset = (out.len() - from + 8) as u32;
    out[offset_at..offset_at + 4].copy_from_slice(&offset.to_be_bytes());
    atom(out, b"mdat", |out| samples.iter().for_each(|sample| out.extend(sample.data)));
}

/// One line of the index: a fragment that starts with a key picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    pub start: u64,
    /// Of the fragment in the file, bytes.
    pub offset: u64,
}

/// The end of a file: lets a player jump without reading all of it.
pub fn index(entries: &[Entry]) -> Vec<u8> {
    let mut out = Vec::with_capacity(64 + entries.len() * 19);
    atom(&mut out, b"mfra", |out| {
        full_atom(out, b"tfra", 1, 0, |out| {
            u32s(out, &[TRACK, 0, entries.len() as u32]);
            for entry in entries {
                out.extend(entry.start.to_be_bytes());
                out.extend(entry.offset.to_be_bytes());
                // The first sample of the first run of the first track.
                out.extend([1, 1, 1]);
            }
        });
        full_atom(out, b"mfro", 0, 0, |out| u32s(out, &[0]));
    });
    let size = (out.len() as u32).to_be_bytes();
    let at = out.len() - 4;
    out[at..].copy_from_slice(&size);
    out
}

/// Bytes from a file's start that `owner` needs.
pub const OWNER_BYTES: usize = 36 + 40;

/// Whose recording this is, from the first bytes of a file. None: not one of ours.
pub fn owner(start: &[u8]) -> Option<RecordingId> {
    let at = 36;
    let found = start.get(4..8)? == b"ftyp" && start.get(at + 4..at + 8)? == b"uuid" && *start.get(at + 8..at + 24)? == OWNER;
    found.then(|| start.get(at + 24..at + 40)?.try_into().ok().map(RecordingId))?
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Names and places of the boxes in `bytes`, which they must fill without a gap.
    fn atoms(bytes: &[u8]) -> Vec<(String, &[u8])> {
        let mut found = Vec::new();
        let mut rest = bytes;
        while !rest.is_empty() {
            let size = u32::from_be_bytes(rest[..4].try_into().unwrap()) as usize;
            assert!((8..=rest.len()).contains(&size), "a box of {size} bytes in {}", rest.len());
            found.push((String::from_utf8(rest[4..8].to_vec()).unwrap(), &rest[8..size]));
            rest = &rest[size..];
        }
        found
    }

    fn codec() -> Codec {
        Codec { width: 1280, height: 720, avcc: vec![1, 0x64, 0, 0x1f, 0xff, 0xe0, 0] }
    }

    #[test]
    fn the_header_names_its_owner_and_leaves_room_for_the_duration() {
        let id = RecordingId(*b"0123456789abcdef");
        let (bytes, places) = header(&codec(), id);
        assert_eq!(owner(&bytes[..OWNER_BYTES]), Some(id));
        assert_eq!(RecordingId::parse(&id.to_string()), Some(id));
        let names: Vec<_> = atoms(&bytes).into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["ftyp", "uuid", "moov"]);
        let room = &bytes[places.duration_at as usize..];
        assert_eq!((&room[4..8], duration_atom(7).len()), (&b"free"[..], u32::from_be_bytes(room[..4].try_into().unwrap()) as usize));
    }

    #[test]
    fn a_chapter_has_a_place_of_its_own_in_a_list_that_never_grows() {
        let (bytes, places) = header(&codec(), RecordingId([1; 16]));
        let at = places.chapters_at as usize;
        assert_eq!((&bytes[at - 12..at - 8], bytes[at]), (&b"chpl"[..], 0));
        let size = u32::from_be_bytes(bytes[at - 16..at - 12].try_into().unwrap()) as usize;
        assert_eq!((at - 16 + size, size), (bytes.len(), 17 + MOST_CHAPTERS * CHAPTER_BYTES));
        let one = chapter(1_500_000_000, 7);
        assert_eq!((u64::from_be_bytes(one[..8].try_into().unwrap()), one[8], &one[9..]), (15_000_000, 12, &b"mark 7      "[..]));
        assert_eq!(&chapter(0, u32::MAX)[9..], b"mark 4294967");
    }

    #[test]
    fn only_whole_marks_are_owners() {
        let (bytes, _) = header(&codec(), RecordingId([7; 16]));
        for length in 0..OWNER_BYTES {
            assert_eq!(owner(&bytes[..length]), None);
        }
        assert_eq!(owner(b"a text that someone wrote, long enough to hold a mark if it had one; it has none"), None);
        assert_eq!(RecordingId::parse("0123456789ABCDEF0123456789abcdef"), None);
    }

    #[test]
    fn ticks_are_exact_at_the_common_rates() {
        for (rate, step) in [(25u64, 3600u64), (30, 3000), (50, 1800), (60, 1500)] {
            for n in [1u64, 59, 216_000, 5_184_000] {
                assert_eq!(ticks(n * 1_000_000_000 / rate), n * step, "{rate} Hz, picture {n}");
            }
        }
    }

    proptest! {
        #[test]
        fn a_fragment_holds_what_was_put_in(
            parts in proptest::collection::vec((1u32..9000, any::<bool>(), proptest::collection::vec(any::<u8>(), 1..300)), 1..40),
            number in 1u32.., start: u64, before in 0usize..20
        ) {
            let samples: Vec<_> = parts.iter().map(|(duration, is_key, data)| Sample { duration: *duration, is_key: *is_key, data }).collect();
            let mut bytes = vec![0; before];
            fragment(&mut bytes, number, start, &samples);
            let bytes = &bytes[before..];
            let found = atoms(bytes);
            prop_assert_eq!((found.len(), found[0].0.as_str(), found[1].0.as_str()), (2, "moof", "mdat"));
            let data: Vec<u8> = parts.iter().flat_map(|(.., data)| data.clone()).collect();
            prop_assert_eq!(found[1].1, &data[..]);
            let traf = atoms(found[0].1)[1].1;
            let run = atoms(traf)[2].1;
            let word = |at: usize| u32::from_be_bytes(run[at..at + 4].try_into().unwrap());
            prop_assert_eq!((word(4) as usize, &bytes[word(8) as usize..]), (parts.len(), &data[..]));
            for (i, (duration, is_key, data)) in parts.iter().enumerate() {
                let line = (word(12 + i * 12), word(16 + i * 12) as usize, word(20 + i * 12) == SYNC_SAMPLE);
                prop_assert_eq!(line, (*duration, data.len(), *is_key));
            }
        }

        #[test]
        fn no_bytes_make_the_owner_panic(bytes in proptest::collection::vec(any::<u8>(), 0..120)) {
            let _ = owner(&bytes);
        }
    }
}
