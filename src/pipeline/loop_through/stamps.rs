//! What the display thread tells the reader of the loop-through: which number was shown when, and where it stands. Written once a
//! present, read at leisure; nobody waits and nothing is allocated.

use std::sync::atomic::{AtomicU64, Ordering};

/// Seventeen seconds at 60 a second: a delay of more is none.
const KEPT: usize = 1_024;
/// No number's.
const NONE: u64 = u64::MAX;
/// Places are told in so many parts of the signal's width and height.
const PARTS: f32 = 65_536.0;

/// When a number was shown. CLOCK_MONOTONIC, ns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    pub capture_ns: u64,
    /// The present with it had completed; the page flip, where the display tells it.
    pub shown_ns: u64,
}

#[derive(Debug)]
struct Slot {
    number: AtomicU64,
    capture_ns: AtomicU64,
    shown_ns: AtomicU64,
}

/// Where the code stands in the signal, as parts of its width and height, and how many pixels the signal has.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Place {
    pub x: f32,
    pub y: f32,
    pub block: [f32; 2],
    pub signal_px: [f32; 2],
}

#[derive(Debug)]
pub struct Stamps {
    slots: Box<[Slot]>,
    /// Four times 16 bits: x, y, block's width, block's height. 0: the code is not drawn.
    place: AtomicU64,
    /// Width and height, 32 bits each.
    signal: AtomicU64,
    /// Of the last present, with the code or without, ns; 0: there is no picture.
    present_ns: AtomicU64,
}

impl Default for Stamps {
    fn default() -> Self {
        let slot = || Slot { number: AtomicU64::new(NONE), capture_ns: AtomicU64::new(0), shown_ns: AtomicU64::new(0) };
        Stamps {
            slots: (0..KEPT).map(|_| slot()).collect(),
            place: AtomicU64::new(0),
            signal: AtomicU64::new(0),
            present_ns: AtomicU64::new(0),
        }
    }
}

impl Stamps {
    /// `number` was shown. By one thread alone.
    pub fn note(&self, number: u32, stamp: Stamp) {
        let slot = &self.slots[number as usize % KEPT];
        // Whoever reads meanwhile finds no number.
        slot.number.store(NONE, Ordering::SeqCst);
        slot.capture_ns.store(stamp.capture_ns, Ordering::SeqCst);
        slot.shown_ns.store(stamp.shown_ns, Ordering::SeqCst);
        slot.number.store(number.into(), Ordering::SeqCst);
    }

    /// When `number` was shown; None: not lately, or never.
    pub fn of(&self, number: u32) -> Option<Stamp> {
        let slot = &self.slots[number as usize % KEPT];
        let is_it = || slot.number.load(Ordering::SeqCst) == u64::from(number);
        if !is_it() {
            return None;
        }
        let [capture_ns, shown_ns] = [&slot.capture_ns, &slot.shown_ns].map(|ns| ns.load(Ordering::SeqCst));
        is_it().then_some(Stamp { capture_ns, shown_ns })
    }

    /// A picture was presented, with the code there or without.
    pub fn present(&self, now_ns: u64, place: Option<[u64; 2]>) {
        let [place, signal] = place.unwrap_or_default();
        self.signal.store(signal, Ordering::Release);
        self.place.store(place, Ordering::Release);
        self.present_ns.store(now_ns, Ordering::Release);
    }

    /// There is no picture.
    pub fn blank(&self) {
        self.place.store(0, Ordering::Release);
        self.present_ns.store(0, Ordering::Release);
    }

    /// When the last picture was presented; None: there is none.
    pub fn last_present_ns(&self) -> Option<u64> {
        Some(self.present_ns.load(Ordering::Acquire)).filter(|&ns| ns > 0)
    }

    /// Where the code stands; None: nowhere.
    pub fn place(&self) -> Option<Place> {
        let (place, signal) = (self.place.load(Ordering::Acquire), self.signal.load(Ordering::Acquire));
        let part = |shift: u32| (place >> shift & 0xffff) as f32 / PARTS;
        (place != 0).then(|| Place {
            x: part(48),
            y: part(32),
            block: [part(16), part(0)],
            signal_px: [(signal >> 32) as f32, (signal & 0xffff_ffff) as f32],
        })
    }
}

/// As `present` takes it: the first block's corner and a block's size in a signal of so many pixels.
pub fn packed(corner: (f32, f32), block: [f32; 2], signal: (usize, usize)) -> [u64; 2] {
    let (width, height) = (signal.0.max(1) as f32, signal.1.max(1) as f32);
    let part = |at: f32, of: f32| ((at / of * PARTS).round().clamp(0.0, PARTS - 1.0)) as u64;
    let place = part(corner.0, width) << 48 | part(corner.1, height) << 32 | part(block[0], width) << 16 | part(block[1], height);
    [place, (signal.0 as u64) << 32 | signal.1 as u64]
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[test]
    fn a_number_s_stamps_are_its_own_or_none() {
        let stamps = Stamps::default();
        let stamp = |ns: u64| Stamp { capture_ns: ns, shown_ns: ns + 5 };
        assert_eq!(stamps.of(0), None);
        stamps.note(7, stamp(70));
        assert_eq!((stamps.of(7), stamps.of(7 + KEPT as u32)), (Some(stamp(70)), None));
        stamps.note(7 + KEPT as u32, stamp(90));
        assert_eq!((stamps.of(7), stamps.of(7 + KEPT as u32)), (None, Some(stamp(90))));
        // While another thread writes as fast as it can, no reader ever gets stamps of two numbers.
        let stamps = Arc::new(Stamps::default());
        let writer = std::thread::spawn({
            let stamps = stamps.clone();
            move || (0..200_000u32).for_each(|n| stamps.note(n, Stamp { capture_ns: n.into(), shown_ns: u64::from(n) + 1 }))
        });
        let mut read = 0;
        while !writer.is_finished() || read == 0 {
            for n in (0..200_000u32).step_by(37) {
                if let Some(stamp) = stamps.of(n) {
                    assert_eq!(stamp, Stamp { capture_ns: n.into(), shown_ns: u64::from(n) + 1 });
                    read += 1;
                }
            }
        }
        writer.join().unwrap();
        println!("{read} read");
    }

    #[test]
    fn a_place_comes_back_to_a_part_of_a_pixel() {
        let stamps = Stamps::default();
        assert_eq!((stamps.place(), stamps.last_present_ns()), (None, None));
        stamps.present(9, Some(packed((16.0, 108.0), [8.0, 8.0], (1920, 1080))));
        let place = stamps.place().unwrap();
        assert_eq!((place.signal_px, stamps.last_present_ns()), ([1920.0, 1080.0], Some(9)));
        let off = [place.x * 1920.0 - 16.0, place.y * 1080.0 - 108.0, place.block[0] * 1920.0 - 8.0, place.block[1] * 1080.0 - 8.0];
        assert!(off.iter().all(|off| off.abs() < 0.03), "{off:?}");
        stamps.present(10, None);
        assert_eq!((stamps.place(), stamps.last_present_ns()), (None, Some(10)));
        stamps.blank();
        assert_eq!(stamps.last_present_ns(), None);
    }
}
