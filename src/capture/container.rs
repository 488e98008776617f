//! A look at a file's own headers before any decoder sees it: does it end before its headers say it does?
//! Knows ISO-BMFF (mp4, mov), RIFF (avi) and Matroska/WebM; everything else is left to GStreamer.

use std::io::{self, Read, Seek, SeekFrom};

/// A file with more top-level boxes than this is left to GStreamer, so that opening stays quick.
const MOST_BOXES: usize = 20_000;

/// Why the file is not whole, in words that follow "truncated: "; None if nothing speaks against it.
/// `len` is the file's length in bytes.
pub(super) fn find_truncation(file: &mut (impl Read + Seek), len: u64) -> io::Result<Option<String>> {
    let mut head = [0; 12];
    let got = read_up_to(file, 0, &mut head)?;
    let head = &head[..got];
    if head.starts_with(b"RIFF") {
        return riff(file, len);
    }
    if head.starts_with(&[0x1a, 0x45, 0xdf, 0xa3]) {
        return matroska(file, len);
    }
    if got >= 8 && ISO_FIRST_BOXES.iter().any(|name| &head[4..8] == *name) {
        return iso_bmff(file, len);
    }
    Ok(None)
}

/// Boxes with which an ISO-BMFF or QuickTime file may begin.
const ISO_FIRST_BOXES: [&[u8; 4]; 9] = [b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"pnot", b"styp", b"moof"];

/// What GStreamer 1.22 does not pass on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Header {
    /// An mp4's colour box (`colr`, kind `nclx`) says full range.
    pub full_range: bool,
}

/// An index larger than this is not searched (hours of video have one of about 10 MB).
const LARGEST_INDEX: u64 = 64 << 20;

/// Reads what `Header` holds; the default for what has none.
pub(super) fn read_header(file: &mut (impl Read + Seek), len: u64) -> io::Result<Header> {
    let mut at = 0u64;
    for _ in 0..MOST_BOXES {
        let mut head = [0; 16];
        let got = read_up_to(file, at, &mut head)?;
        if got < 8 || (at == 0 && !ISO_FIRST_BOXES.iter().any(|name| &head[4..8] == *name)) {
            break;
        }
        let size = match be32(&head) {
            0 => len.saturating_sub(at),
            1 if got == 16 => be64(&head[8..]),
            size => u64::from(size),
        };
        if &head[4..8] == b"moov" && size <= LARGEST_INDEX {
            let mut index = vec![0; size as usize];
            let got = read_up_to(file, at, &mut index)?;
            // kind, primaries, transfer, matrix (2 bytes each), then the flag in the topmost bit.
            let colour = index[..got].windows(15).find(|window| window.starts_with(b"colrnclx"));
            return Ok(Header { full_range: colour.is_some_and(|window| window[14] & 0x80 != 0) });
        }
        if size < 8 {
            break;
        }
        at = at.saturating_add(size);
    }
    Ok(Header::default())
}

fn iso_bmff(file: &mut (impl Read + Seek), len: u64) -> io::Result<Option<String>> {
    let (mut at, mut has_index, mut has_data) = (0u64, false, false);
    for _ in 0..MOST_BOXES {
        let mut header = [0; 16];
        let got = read_up_to(file, at, &mut header)?;
        if got < 8 {
            // A few bytes of padding after the last box are common and harmless.
            return Ok(match (has_index, has_data) {
                (false, _) => Some("its index (moov) is missing".to_owned()),
                (true, false) => Some("its contents (mdat) are missing".to_owned()),
                (true, true) => None,
            });
        }
        let name = &header[4..8];
        if !name.iter().all(|&b| b == 0xa9 || (b' '..=b'~').contains(&b)) {
            // No box: damage or padding, which is not for a length check to judge.
            return Ok(None);
        }
        has_index |= name == b"moov" || name == b"moof";
        has_data |= name == b"mdat";
        let size = match be32(&header) {
            0 => len - at,
            1 if got < 16 => return Ok(Some("it ends inside a box header".to_owned())),
            1 => be64(&header[8..]),
            size => u64::from(size),
        };
        if size < 8 {
            return Ok(None);
        }
        let end = at.saturating_add(size);
        if end > len {
            let name = String::from_utf8_lossy(name).into_owned();
            return Ok(Some(format!("its '{name}' box ends at byte {end}, the file at {len}")));
        }
        at = end;
    }
    Ok(None)
}

fn riff(file: &mut (impl Read + Seek), len: u64) -> io::Result<Option<String>> {
    let mut at = 0u64;
    for _ in 0..MOST_BOXES {
        let mut header = [0; 8];
        // AVI files of over 1 GiB are several RIFF chunks in a row.
        if read_up_to(file, at, &mut header)? < 8 || !header.starts_with(b"RIFF") {
            return Ok(None);
        }
        let size = u64::from(u32::from_le_bytes([header[4], header[5], header[6], header[7]]));
        // 0 and all ones: written by a recorder that did not come back to fill it in; readable without it.
        if size == 0 || size == u64::from(u32::MAX) {
            return Ok(None);
        }
        let end = at.saturating_add(8).saturating_add(size);
        if end > len {
            return Ok(Some(format!("its RIFF header says {end} bytes, the file has {len}")));
        }
        at = end.saturating_add(size % 2);
    }
    Ok(None)
}

fn matroska(file: &mut (impl Read + Seek), len: u64) -> io::Result<Option<String>> {
    // The EBML header, then the segment that holds everything else.
    let mut at = 0u64;
    for _ in 0..16 {
        let mut header = [0; 12];
        let got = read_up_to(file, at, &mut header)?;
        let Some((id, id_bytes)) = ebml_number(&header[..got], true) else { return Ok(None) };
        let Some((size, size_bytes)) = ebml_number(&header[id_bytes..got], false) else {
            return Ok(Some("it ends inside its header".to_owned()));
        };
        let unknown = size == (1u64 << (7 * size_bytes)) - 1;
        if unknown {
            return Ok(None);
        }
        let end = at.saturating_add((id_bytes + size_bytes) as u64).saturating_add(size);
        if end > len {
            return Ok(Some(format!("its Matroska header says {end} bytes, the file has {len}")));
        }
        if id == 0x1853_8067 {
            return Ok(None);
        }
        at = end;
    }
    Ok(None)
}

/// An EBML variable-length number and its length in bytes; ids keep their marker bit, sizes lose it.
fn ebml_number(bytes: &[u8], keep_marker: bool) -> Option<(u64, usize)> {
    let first = *bytes.first()?;
    let length = first.leading_zeros() as usize + 1;
    if length > 8 || bytes.len() < length {
        return None;
    }
    let first = if keep_marker { u64::from(first) } else { u64::from(first) & ((1u64 << (8 - length)) - 1) };
    Some((bytes[1..length].iter().fold(first, |value, &byte| value << 8 | u64::from(byte)), length))
}

fn be64(bytes: &[u8]) -> u64 {
    bytes.iter().take(8).fold(0, |value, &byte| value << 8 | u64::from(byte))
}

fn be32(bytes: &[u8]) -> u32 {
    u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
}

/// Reads at `at` as much of `into` as there is.
fn read_up_to(file: &mut (impl Read + Seek), at: u64, into: &mut [u8]) -> io::Result<usize> {
    file.seek(SeekFrom::Start(at))?;
    let mut got = 0;
    while got < into.len() {
        match file.read(&mut into[got..]) {
            Ok(0) => break,
            Ok(n) => got += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(got)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::io::Cursor;

    fn check(bytes: &[u8]) -> Option<String> {
        find_truncation(&mut Cursor::new(bytes), bytes.len() as u64).unwrap()
    }

    fn iso_box(name: &[u8; 4], payload: usize) -> Vec<u8> {
        let mut bytes = ((payload + 8) as u32).to_be_bytes().to_vec();
        bytes.extend(name);
        bytes.resize(payload + 8, 7);
        bytes
    }

    fn mp4() -> Vec<u8> {
        [iso_box(b"ftyp", 16), iso_box(b"moov", 40), iso_box(b"mdat", 100)].concat()
    }

    fn avi() -> Vec<u8> {
        let mut bytes = b"RIFF\x64\x00\x00\x00AVI ".to_vec();
        bytes.resize(108, 1);
        bytes
    }

    fn mkv() -> Vec<u8> {
        let mut bytes = vec![0x1a, 0x45, 0xdf, 0xa3, 0x84, 1, 2, 3, 4, 0x18, 0x53, 0x80, 0x67, 0x40, 0x64];
        bytes.resize(15 + 100, 1);
        bytes
    }

    #[test]
    fn whole_files_pass_and_every_cut_inside_the_payload_is_seen() {
        for whole in [mp4(), avi(), mkv()] {
            assert_eq!(check(&whole), None);
            for cut in 16..whole.len() {
                assert!(check(&whole[..cut]).is_some(), "cut at {cut} of {}", whole.len());
            }
        }
    }

    #[test]
    fn open_ended_files_pass() {
        let mut open = mp4();
        let mdat = 24 + 48;
        open[mdat..mdat + 4].fill(0);
        assert_eq!(check(&open), None, "a box of size 0 reaches to the end");
        let mut open = mkv();
        open[13..15].copy_from_slice(&[0x7f, 0xff]);
        assert_eq!(check(&open[..60]), None, "a segment of unknown size");
        assert_eq!(check(&[mp4(), vec![0; 5]].concat()), None, "padding");
    }

    #[test]
    fn a_recording_that_was_never_finished_has_no_index() {
        assert_eq!(check(&[iso_box(b"ftyp", 16), iso_box(b"mdat", 100)].concat()).unwrap(), "its index (moov) is missing");
    }

    #[test]
    fn a_box_larger_than_four_gigabytes_is_understood() {
        let mut bytes = iso_box(b"ftyp", 16);
        bytes.extend([0, 0, 0, 1]);
        bytes.extend(b"mdat");
        bytes.extend(0x2_0000_0000u64.to_be_bytes());
        assert!(check(&bytes).unwrap().contains("'mdat'"));
    }

    #[test]
    fn the_range_is_read_from_the_colour_box() {
        let of = |flag: u8| {
            let mut bytes = mp4();
            let at = bytes.windows(4).position(|w| w == b"moov").unwrap() + 10;
            bytes[at..at + 15].copy_from_slice(&[b'c', b'o', b'l', b'r', b'n', b'c', b'l', b'x', 0, 1, 0, 1, 0, 1, flag]);
            read_header(&mut Cursor::new(&bytes), bytes.len() as u64).unwrap()
        };
        assert_eq!((of(0x80).full_range, of(0).full_range), (true, false));
    }

    proptest! {
        #[test]
        fn never_panics_whatever_the_bytes(start in 0usize..4, noise in proptest::collection::vec(any::<u8>(), 0..300), len in any::<u64>()) {
            let bytes = [[mp4(), avi(), mkv(), Vec::new()][start].clone(), noise].concat();
            let _ = find_truncation(&mut Cursor::new(&bytes), bytes.len() as u64);
            // A length that does not fit (the file grows or shrinks meanwhile) must not hurt either.
            let _ = find_truncation(&mut Cursor::new(&bytes), len);
            let _ = read_header(&mut Cursor::new(&bytes), len);
        }

        #[test]
        fn never_panics_on_a_damaged_file(which in 0usize..3, at in 0usize..120, with in any::<[u8; 8]>()) {
            let mut bytes = [mp4(), avi(), mkv()][which].clone();
            let at = at.min(bytes.len() - 8);
            bytes[at..at + 8].copy_from_slice(&with);
            let _ = check(&bytes);
            let _ = read_header(&mut Cursor::new(&bytes), bytes.len() as u64);
        }
    }
}
