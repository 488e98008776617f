//! Does the picture live? A camera's noise makes two equal pictures impossible, so equal bytes mean that somebody before
//! us repeats one: FROZEN. A picture without light: BLACK. Looks at sampled rows (about 0.03 ms at 1080p); what is said
//! to the surgeon is decided elsewhere.
//!
//! ```text
//!   sampled rows equal ─► remember all bytes ─ frozen_ns ─► all bytes still equal? ─► Frozen ─ a difference ─► Moving
//!   every sampled luma ≤ black ─ BLACK_NS ─► Black ─ anything brighter ─► Lit
//! ```

use super::{Picture, SignalEvent};
use crate::frame::{PixelFormat, Range};
use std::hash::Hasher;
use xxhash_rust::xxh3::Xxh3Default;

/// Black for so long is said.
const BLACK_NS: u64 = 1_000_000_000;
/// Rows that are looked at in each picture.
const SAMPLED_ROWS: usize = 64;
/// Of a frozen picture's whole bytes, each n-th is compared: what moves may lie between the sampled rows.
const WHOLE_EVERY: u32 = 8;
/// Above the format's black by so much (of 255) is light: sensor noise in the dark stays below.
const BLACK_ABOVE: u8 = 12;

/// Watches the pictures of one source.
#[derive(Debug)]
pub struct ContentWatch {
    frozen_ns: u64,
    sample: Option<u64>,
    /// Since when the samples are equal, and the whole picture's digest then.
    equal: Option<Equal>,
    frozen: bool,
    dark_since_ns: Option<u64>,
    black: bool,
}

#[derive(Debug)]
struct Equal {
    since_ns: u64,
    whole: u64,
    looks: u32,
}

impl ContentWatch {
    /// `frozen_ns`: equal for so long is frozen.
    pub fn new(frozen_ns: u64) -> Self {
        ContentWatch { frozen_ns, sample: None, equal: None, frozen: false, dark_since_ns: None, black: false }
    }

    /// Looks at a picture, captured at `now_ns`. At most one event of each kind, the frozen kind first.
    pub fn look(&mut self, picture: &Picture<'_>, now_ns: u64) -> [Option<SignalEvent>; 2] {
        let (sample, is_dark) = look_at(picture);
        [self.look_for_frost(picture, sample, now_ns), self.look_for_light(is_dark, now_ns)]
    }

    /// The source was interrupted: what was before says nothing about what comes.
    pub fn forget(&mut self) {
        self.sample = None;
    }

    fn look_for_frost(&mut self, picture: &Picture<'_>, sample: u64, now_ns: u64) -> Option<SignalEvent> {
        let is_equal = self.sample.replace(sample) == Some(sample);
        if !is_equal {
            self.equal = None;
        } else if let Some(equal) = &mut self.equal {
            equal.looks += 1;
            let is_time = if self.frozen { equal.looks >= WHOLE_EVERY } else { now_ns.saturating_sub(equal.since_ns) >= self.frozen_ns };
            if is_time {
                let whole = whole_digest(picture);
                if whole == equal.whole {
                    equal.looks = 0;
                    return (!std::mem::replace(&mut self.frozen, true)).then_some(SignalEvent::Frozen);
                }
                *equal = Equal { since_ns: now_ns, whole, looks: 0 };
                return std::mem::take(&mut self.frozen).then_some(SignalEvent::Moving);
            }
        } else {
            self.equal = Some(Equal { since_ns: now_ns, whole: whole_digest(picture), looks: 0 });
        }
        (!is_equal && std::mem::take(&mut self.frozen)).then_some(SignalEvent::Moving)
    }

    fn look_for_light(&mut self, is_dark: bool, now_ns: u64) -> Option<SignalEvent> {
        if !is_dark {
            self.dark_since_ns = None;
            return std::mem::take(&mut self.black).then_some(SignalEvent::Lit);
        }
        let since_ns = *self.dark_since_ns.get_or_insert(now_ns);
        let is_time = !self.black && now_ns.saturating_sub(since_ns) >= BLACK_NS;
        self.black |= is_time;
        is_time.then_some(SignalEvent::Black)
    }
}

/// Digest of the sampled rows of the first plane, and whether all of them are black.
fn look_at(picture: &Picture<'_>) -> (u64, bool) {
    let mut hasher = Xxh3Default::new();
    let black = black_level(picture);
    let mut is_dark = black.is_some();
    if let (Some(to), from) = (picture.layout.planes().first(), &picture.planes[0]) {
        let count = to.rows.min(SAMPLED_ROWS);
        for i in 0..count {
            let row = (2 * i + 1) * to.rows / (2 * count);
            let bytes = from.data.get(row * from.stride..).and_then(|rest| rest.get(..to.row_bytes)).unwrap_or(&[]);
            hasher.write(bytes);
            if let (true, Some(black)) = (is_dark, black) {
                is_dark = black.is_dark(bytes);
            }
        }
    }
    (hasher.finish(), is_dark)
}

fn whole_digest(picture: &Picture<'_>) -> u64 {
    let mut hasher = Xxh3Default::new();
    for (to, from) in picture.layout.planes().iter().zip(&picture.planes) {
        for row in 0..to.rows {
            hasher.write(from.data.get(row * from.stride..).and_then(|rest| rest.get(..to.row_bytes)).unwrap_or(&[]));
        }
    }
    hasher.finish()
}

/// How a row of the first plane says black.
#[derive(Debug, Clone, Copy)]
struct BlackLevel {
    at_most: u8,
}

impl BlackLevel {
    fn is_dark(self, row: &[u8]) -> bool {
        row.iter().fold(0, |most, &b| most.max(b)) <= self.at_most
    }
}

/// None where this room does not know how the format says black.
fn black_level(picture: &Picture<'_>) -> Option<BlackLevel> {
    let floor = match (picture.layout.format, picture.layout.colorimetry.range) {
        (PixelFormat::Rgb, _) | (_, Range::Full) => 0,
        (_, Range::Limited) => 16,
    };
    Some(BlackLevel { at_most: floor + BLACK_ABOVE })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::PlaneRef;
    use crate::frame::{Colorimetry, FrameLayout, Matrix};
    use proptest::prelude::*;

    const MS: u64 = 1_000_000;

    struct Still {
        layout: FrameLayout,
        bytes: Vec<u8>,
    }

    impl Still {
        fn new(format: PixelFormat, range: Range, value: u8) -> Self {
            let layout =
                FrameLayout::new(format, Colorimetry { matrix: Matrix::Bt709, range, transfer: Default::default() }, 200, 300).unwrap();
            Still { layout, bytes: vec![value; layout.size] }
        }

        fn look(&self, watch: &mut ContentWatch, at_ms: u64) -> Vec<SignalEvent> {
            let mut planes = [PlaneRef { data: &[], stride: 0 }; 3];
            for (plane, from) in planes.iter_mut().zip(self.layout.planes()) {
                *plane = PlaneRef { data: &self.bytes[from.offset..][..from.stride * from.rows], stride: from.stride };
            }
            let picture = Picture { layout: self.layout, planes, pts_ns: 0, due_ns: None, arrival_ns: 0, decode_ns: None, skipped: 0 };
            watch.look(&picture, at_ms * MS).into_iter().flatten().collect()
        }
    }

    #[test]
    fn a_repeated_picture_is_frozen_and_one_pixel_of_noise_is_not() {
        let mut still = Still::new(PixelFormat::Nv12, Range::Limited, 120);
        let mut watch = ContentWatch::new(500 * MS);
        let frozen_at: Vec<u64> = (0..60).map(|n| n * 20).filter(|&at| still.look(&mut watch, at) == [SignalEvent::Frozen]).collect();
        // The second picture is the first that repeats one.
        assert_eq!(frozen_at, [520]);
        // Noise in a sampled row is seen at once; between them, within eight pictures.
        let sampled = still.layout.planes()[0].stride * (300 / 128);
        for (at, byte) in [(1_200, sampled), (2_400, still.bytes.len() / 2 + 70)] {
            for n in 0..40 {
                still.look(&mut watch, at + n * 20);
            }
            still.bytes[byte] ^= 1;
            let moved = (0..9).find(|n| still.look(&mut watch, at + 800 + n * 20) == [SignalEvent::Moving]);
            assert!(moved.is_some(), "byte {byte}");
        }
        let mut watch = ContentWatch::new(500 * MS);
        for n in 0..200u64 {
            still.bytes[(n * 7919) as usize % 200] ^= 1;
            assert_eq!(still.look(&mut watch, n * 20), [], "noise is life");
        }
    }

    #[test]
    fn what_moves_between_the_sampled_rows_is_no_frozen_picture() {
        let mut still = Still::new(PixelFormat::I420, Range::Limited, 90);
        let mut watch = ContentWatch::new(300 * MS);
        let chroma = still.layout.planes()[2].offset;
        for n in 0..100u64 {
            still.bytes[chroma + (n % 50) as usize] ^= 3;
            assert_eq!(still.look(&mut watch, n * 33), []);
        }
    }

    #[test]
    fn black_is_said_after_a_second_in_every_range() {
        for (format, range, black, light) in
            [(PixelFormat::Nv12, Range::Limited, 20, 40), (PixelFormat::I420, Range::Full, 8, 16), (PixelFormat::Rgb, Range::Full, 8, 16)]
        {
            let mut watch = ContentWatch::new(u64::MAX);
            let dark = Still::new(format, range, black);
            let said: Vec<u64> = (0..100).map(|n| n * 25).filter(|&at| dark.look(&mut watch, at) == [SignalEvent::Black]).collect();
            assert_eq!(said, [1_000], "{format:?}");
            let mut lit = Still::new(format, range, black);
            let stride = lit.layout.planes()[0].stride;
            lit.bytes[stride * 148..stride * 156].fill(light);
            let said: Vec<u64> = (100..110).map(|n| n * 25).filter(|&at| lit.look(&mut watch, at) == [SignalEvent::Lit]).collect();
            assert_eq!(said.len(), 1);
        }
    }

    proptest! {
        /// Frozen and Moving alternate, Black and Lit too, whatever comes.
        #[test]
        fn events_alternate(values in proptest::collection::vec((0u8..4, 1u64..400), 1..200)) {
            let mut watch = ContentWatch::new(500 * MS);
            let (mut frozen, mut black, mut at) = (false, false, 0);
            for (value, step) in values {
                at += step;
                for event in Still::new(PixelFormat::I420, Range::Full, value * 9).look(&mut watch, at) {
                    match event {
                        SignalEvent::Frozen => { prop_assert!(!frozen); frozen = true; }
                        SignalEvent::Moving => { prop_assert!(frozen); frozen = false; }
                        SignalEvent::Black => { prop_assert!(!black); black = true; }
                        SignalEvent::Lit => { prop_assert!(black); black = false; }
                        other => prop_assert!(false, "{other:?}"),
                    }
                }
            }
        }
    }

    #[test]
    #[ignore = "prints a time"]
    fn time_of_a_look_at_1080p() {
        let colorimetry = Colorimetry { matrix: Matrix::Bt709, range: Range::Limited, transfer: Default::default() };
        let layout = FrameLayout::new(PixelFormat::Nv12, colorimetry, 1920, 1080).unwrap();
        let still = Still { layout, bytes: vec![7; layout.size] };
        let mut watch = ContentWatch::new(u64::MAX);
        let begun = std::time::Instant::now();
        for n in 0..1_000 {
            still.look(&mut watch, n);
        }
        println!("a look at 1080p: {:.1} µs", begun.elapsed().as_secs_f64() * 1e3);
    }
}
