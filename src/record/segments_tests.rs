//! Files are taken apart again, box by box.

use super::*;
use crate::record::budget::Limits;
use gstreamer as gst;
use proptest::prelude::*;
use std::sync::Arc;

/// Pictures of each fragment of a file: (duration in ticks, is a key picture, bytes), and each fragment's start.
type Fragments = Vec<(u64, Vec<(u32, bool, Vec<u8>)>)>;

fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap())
}

fn fragments(bytes: &[u8]) -> Fragments {
    let (mut at, mut found) = (0, Vec::new());
    while at < bytes.len() {
        let size = word(bytes, at) as usize;
        if &bytes[at + 4..at + 8] == b"moof" {
            let start = u64::from_be_bytes(bytes[at + 60..at + 68].try_into().unwrap());
            let run = at + 68;
            assert_eq!(&bytes[run + 4..run + 8], b"trun");
            let mut data = at + word(bytes, run + 16) as usize;
            let lines = (0..word(bytes, run + 12) as usize).map(|i| run + 20 + i * 12);
            let samples = lines.map(|line| {
                let length = word(bytes, line + 4) as usize;
                data += length;
                (word(bytes, line), word(bytes, line + 8) == 0x0200_0000, bytes[data - length..data].to_vec())
            });
            found.push((start, samples.collect()));
        }
        at += size;
    }
    assert_eq!(at, bytes.len(), "boxes fill the file");
    found
}

fn unit(frame: u64, at_ns: u64, is_key: bool, codec: &Arc<Codec>) -> Unit {
    Unit { at_ns, frame, is_key, data: gst::Buffer::from_slice(frame.to_be_bytes()), codec: codec.clone() }
}

fn codec(width: u16) -> Arc<Codec> {
    Arc::new(Codec { width, height: 48, avcc: vec![1, 0x42, 0xc0, 0x1e, 0xff, 0xe0, 0] })
}

fn segments(folder: &Path, segment_ns: u64, open: OpenFile) -> Segments {
    let id = RecordingId([3; 16]);
    let keeper = Keeper::new(folder, Limits::default(), false, id, "x.recording.json");
    let naming = Naming { path: folder.join("x.mp4"), is_numbered: segment_ns > 0 };
    Segments::new(naming, id, segment_ns, 40_000_000, keeper, open)
}

fn create() -> OpenFile {
    Box::new(|path| File::create(path))
}

#[test]
fn names_are_numbered_where_there_are_segments() {
    let naming = |is_numbered| Naming { path: "/r/case.7.mp4".into(), is_numbered };
    assert_eq!(naming(false).file(1), Path::new("/r/case.7.mp4"));
    assert_eq!(naming(false).file(2), Path::new("/r/case.7-0002.mp4"));
    assert_eq!(naming(true).file(1), Path::new("/r/case.7-0001.mp4"));
    assert_eq!(naming(true).file(12_345), Path::new("/r/case.7-12345.mp4"));
}

/// Number, time (100 ns) and name of each chapter that a file's start names.
fn chapters(bytes: &[u8]) -> Vec<(u64, String)> {
    let at = bytes.windows(4).position(|name| name == b"chpl").unwrap() + 12;
    let entries = bytes[at + 1..].chunks_exact(mp4::CHAPTER_BYTES).take(usize::from(bytes[at]));
    let read = |entry: &[u8]| {
        let time = u64::from_be_bytes(entry[..8].try_into().unwrap());
        (time, String::from_utf8(entry[9..9 + usize::from(entry[8])].to_vec()).unwrap().trim_end().to_owned())
    };
    entries.map(read).collect()
}

/// Marks come before the pictures that they mark have been coded; each goes into the file that shows its moment.
#[test]
fn marks_are_chapters_of_the_file_that_holds_their_moment_as_soon_as_it_is_written() {
    gst::init().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut segments = segments(folder.path(), 2_000_000_000, create());
    let codec = codec(64);
    for (number, at_ms) in [(1, 0), (2, 1_040), (3, 1_990), (4, 2_000), (5, 3_960), (6, 9_000)] {
        segments.mark(number, at_ms * 1_000_000);
    }
    let file = |n: u32| std::fs::read(folder.path().join(format!("x-{n:04}.mp4"))).unwrap();
    for n in 0..100 {
        segments.take(unit(n, n * 40_000_000, n % 25 == 0, &codec)).unwrap();
        if n == 20 {
            assert_eq!(chapters(&file(1)), [(0, "mark 1".to_owned())], "while it is being written");
        }
    }
    segments.finish().unwrap();
    let of = |list: &[(u64, u32)]| list.iter().map(|(ms, number)| (ms * 10_000, format!("mark {number}"))).collect::<Vec<_>>();
    assert_eq!(chapters(&file(1)), of(&[(0, 1), (1_040, 2), (1_990, 3)]));
    assert_eq!(chapters(&file(2)), of(&[(0, 4), (1_960, 5)]));
    assert_eq!(fragments(&file(1)).iter().map(|(_, samples)| samples.len()).sum::<usize>(), 50);
}

#[test]
fn a_file_has_so_many_chapters_and_no_more() {
    gst::init().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut segments = segments(folder.path(), 0, create());
    (0..400).for_each(|n| segments.mark(n + 1, u64::from(n) * 1_000_000));
    let codec = codec(64);
    for n in 0..20 {
        segments.take(unit(n, n * 40_000_000, n == 0, &codec)).unwrap();
    }
    segments.finish().unwrap();
    let bytes = std::fs::read(folder.path().join("x.mp4")).unwrap();
    assert_eq!((chapters(&bytes).len(), chapters(&bytes)[254].1.as_str()), (255, "mark 255"));
    assert_eq!(fragments(&bytes).iter().map(|(_, samples)| samples.len()).sum::<usize>(), 20);
}

#[test]
fn another_codec_begins_another_file() {
    gst::init().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut segments = segments(folder.path(), 0, create());
    for n in 0..20 {
        let codec = codec(if n < 8 { 64 } else { 80 });
        segments.take(unit(n, n * 40_000_000, n == 0 || n == 8, &codec)).unwrap();
    }
    segments.finish().unwrap();
    let lines = segments.lines();
    let told: Vec<_> = lines.iter().map(|line| (line.file.as_str(), line.first_frame, line.last_frame, line.pictures)).collect();
    assert_eq!(told, [("x.mp4", 0, 7, 8), ("x-0002.mp4", 8, 19, 12)]);
}

#[test]
fn a_file_has_its_name_when_it_can_be_played_and_what_was_there_is_whole_until_then() {
    gst::init().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.mp4");
    std::fs::write(&path, b"an older recording").unwrap();
    let mut segments = segments(folder.path(), 0, create());
    let codec = codec(64);
    let mut n = 0;
    while std::fs::read(&path).unwrap() == b"an older recording" {
        assert!(segments.lines().is_empty());
        segments.take(unit(n, n * 40_000_000, n == 0, &codec)).unwrap();
        n += 1;
        assert!(n < 20);
    }
    assert_eq!(fragments(&std::fs::read(&path).unwrap()).len(), 1, "a whole fragment, and nothing else");
    segments.give_up().unwrap();
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn a_full_disk_is_told_as_such_and_leaves_no_nameless_file() {
    gst::init().unwrap();
    if File::options().write(true).open("/dev/full").is_err() {
        println!("SKIPPED a_full_disk_is_told_as_such_and_leaves_no_nameless_file: no /dev/full");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let open: OpenFile = Box::new(|_| File::options().write(true).open("/dev/full"));
    let mut segments = segments(folder.path(), 0, open);
    let codec = codec(64);
    let error = (0..50).find_map(|n| segments.take(unit(n, n * 40_000_000, n == 0, &codec)).err()).expect("noticed");
    assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    segments.give_up().unwrap();
    assert_eq!((std::fs::read_dir(folder.path()).unwrap().count(), segments.lines()), (0, Vec::new()));
}

#[test]
fn after_a_torn_write_the_file_goes_on_without_a_hole() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x");
    let mut file = File::create(&path).unwrap();
    file.write_all(b"whole").unwrap();
    file.write_all(b" and torn").unwrap();
    back_to(&mut file, 5);
    file.write_all(b" end").unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), b"whole end");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn each_picture_is_in_exactly_one_file_with_its_own_time(
        steps in proptest::collection::vec((5_000_000u64..400_000_000, 0u8..8), 1..120), segment_s in 0u64..5
    ) {
        gst::init().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let segment_ns = segment_s * 1_000_000_000;
        let mut segments = segments(folder.path(), segment_ns, create());
        let codec = codec(64);
        let mut at_ns = 0;
        let mut times = Vec::new();
        for (n, (step_ns, chance)) in steps.iter().enumerate() {
            times.push(at_ns);
            segments.take(unit(n as u64, at_ns, n == 0 || *chance == 0, &codec)).unwrap();
            at_ns += step_ns;
        }
        segments.finish().unwrap();
        let mut frame = 0u64;
        for line in segments.lines() {
            let bytes = std::fs::read(folder.path().join(&line.file)).unwrap();
            prop_assert_eq!((line.bytes, line.first_frame), (bytes.len() as u64, frame));
            let start = ticks(times[frame as usize]);
            let parts = fragments(&bytes);
            prop_assert!(parts[0].1[0].1, "a file begins with a key picture");
            for (fragment_start, samples) in parts {
                let first_ns = times[frame as usize];
                prop_assert_eq!(start + fragment_start, ticks(first_ns));
                let last_ns = times[frame as usize + samples.len() - 1];
                prop_assert!(last_ns - first_ns < FRAGMENT_NS, "a cut loses no more than this");
                for (duration, _, data) in samples {
                    prop_assert_eq!(&data[..], frame.to_be_bytes());
                    let next_ns = times.get(frame as usize + 1).copied().unwrap_or(times[frame as usize] + 40_000_000);
                    prop_assert_eq!(u64::from(duration), ticks(next_ns) - ticks(times[frame as usize]));
                    frame += 1;
                }
            }
            prop_assert_eq!(line.last_frame + 1, frame);
            prop_assert_eq!(line.pictures, line.last_frame - line.first_frame + 1);
        }
        prop_assert_eq!(frame as usize, steps.len());
        prop_assert!(segment_s > 0 || segments.lines().len() == 1);
        // The index and the duration are there: nothing but files that were closed well.
        let left = std::fs::read_dir(folder.path()).unwrap().count();
        prop_assert_eq!(left, segments.lines().len());
    }
}
