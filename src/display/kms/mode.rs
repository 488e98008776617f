//! Which of a monitor's modes is used: the source's own size where the monitor has it at a rate that passes every picture
//! (its scaler is better than ours), else the size that the monitor prefers; of that size, a rate that is a multiple of the
//! source's, so that each picture stands equally long.

use crate::base::rate::Rate;
use crate::display::monitor_watch::MonitorMode;

/// A mode of a monitor, as far as it matters for choosing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Offer {
    pub size: (usize, usize),
    pub rate: Rate,
    pub is_preferred: bool,
    pub is_interlaced: bool,
}

impl Offer {
    /// From a mode's timings (`drm_mode_modeinfo`): the clock in kHz; totals and `vscan` as the kernel has them.
    pub fn of(mode: &drm::control::Mode) -> Option<Self> {
        use drm::control::{ModeFlags, ModeTypeFlags};
        let (width, height) = mode.size();
        let flags = mode.flags();
        let is_interlaced = flags.contains(ModeFlags::INTERLACE);
        let mut lines = u32::from(mode.vsync().2) * u32::from(mode.vscan().max(1));
        if flags.contains(ModeFlags::DBLSCAN) {
            lines *= 2;
        }
        let clock_hz = mode.clock().checked_mul(1_000)?.checked_mul(if is_interlaced { 2 } else { 1 })?;
        let rate = Rate::new(clock_hz, u32::from(mode.hsync().2).checked_mul(lines)?)?;
        let is_preferred = mode.mode_type().contains(ModeTypeFlags::PREFERRED);
        Some(Offer { size: (width.into(), height.into()), rate, is_preferred, is_interlaced })
    }

    pub fn mode(&self) -> MonitorMode {
        MonitorMode { size: self.size, rate: Some(self.rate) }
    }
}

/// Two rates that differ by less are the same one: 60 and 59.94 are not.
const SAME: f64 = 0.000_5;
/// A mode that is slower than the source by no more than this passes its pictures, but for one in 500.
const SLOWER: f64 = 0.002;
/// Below this a monitor flickers or refuses; a source of 25 a second is shown at 50.
const LOWEST_HZ: f64 = 47.0;

fn is_multiple(rate: f64, fps: f64) -> bool {
    let times = (rate / fps).round();
    times >= 1.0 && (rate / fps - times).abs() < SAME * times
}

/// The place of the mode for pictures of this size and rate. None: there is no mode at all.
pub fn choose(offers: &[Offer], size: (usize, usize), fps: f64) -> Option<usize> {
    let progressive = || offers.iter().enumerate().filter(|(_, offer)| !offer.is_interlaced);
    // The slowest multiple of the source's rate, but not so slow that a monitor would flicker.
    let even = |size: (usize, usize)| {
        let multiples = progressive().filter(|(_, o)| o.size == size && is_multiple(o.rate.per_second(), fps));
        multiples
            .filter(|(_, o)| o.rate.per_second() >= LOWEST_HZ)
            .min_by(|(_, a), (_, b)| a.rate.per_second().total_cmp(&b.rate.per_second()))
    };
    let fast_enough = |size: (usize, usize)| {
        let fast = progressive().filter(|(_, o)| o.size == size && o.rate.per_second() >= (fps * (1.0 - SLOWER)).max(LOWEST_HZ));
        fast.min_by(|(_, a), (_, b)| a.rate.per_second().total_cmp(&b.rate.per_second()))
    };
    let area = |offer: &Offer| offer.size.0 * offer.size.1;
    let largest = || {
        progressive().max_by(|(_, a), (_, b)| {
            (area(a), a.rate.per_second()).partial_cmp(&(area(b), b.rate.per_second())).unwrap_or(std::cmp::Ordering::Equal)
        })
    };
    let preferred = progressive().find(|(_, offer)| offer.is_preferred).or_else(largest);
    even(size)
        .or_else(|| fast_enough(size))
        .or_else(|| preferred.and_then(|(_, offer)| even(offer.size)))
        .or(preferred)
        .map(|(index, _)| index)
        .or_else(|| (!offers.is_empty()).then_some(0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn offer(width: usize, height: usize, rate: &str) -> Offer {
        Offer { size: (width, height), rate: Rate::parse(rate).unwrap(), is_preferred: false, is_interlaced: false }
    }

    /// A theatre's 4K monitor.
    fn offers() -> Vec<Offer> {
        let mut offers: Vec<Offer> = ["60", "59.94", "50", "30"].iter().map(|rate| offer(3840, 2160, rate)).collect();
        offers[0].is_preferred = true;
        offers.extend(["60", "59.94", "50", "24"].iter().map(|rate| offer(1920, 1080, rate)));
        offers.push(Offer { is_interlaced: true, ..offer(1280, 720, "50") });
        offers.push(offer(800, 600, "75"));
        offers
    }

    #[test]
    fn the_source_s_own_size_and_rate_win_then_what_the_monitor_prefers() {
        let offers = offers();
        let chosen = |size, fps| {
            let offer = offers[choose(&offers, size, fps).unwrap()];
            (offer.size.1, format!("{:.2}", offer.rate.per_second()))
        };
        let is = |height: usize, rate: &str| (height, rate.to_owned());
        assert_eq!(chosen((1920, 1080), 60.0), is(1080, "60.00"));
        assert_eq!(chosen((1920, 1080), 60_000.0 / 1_001.0), is(1080, "59.94"));
        assert_eq!(chosen((1920, 1080), 25.0), is(1080, "50.00"), "twice its rate");
        assert_eq!(chosen((1920, 1080), 24.0), is(1080, "50.00"), "24 Hz flickers, and none is a multiple");
        assert_eq!(chosen((3840, 2160), 30.0), is(2160, "60.00"));
        assert_eq!(chosen((1280, 720), 50.0), is(2160, "50.00"), "not interlaced; the preferred size, at the source's rate");
        assert_eq!(chosen((1280, 1024), 75.0), is(2160, "60.00"));
        assert_eq!(chosen((800, 600), 60.0), is(600, "75.00"), "no multiple, and every picture passes");
        assert_eq!(choose(&[], (1, 1), 60.0), None);
        assert_eq!(
            choose(&offers[1..], (640, 480), 33.0).map(|i| offers[i + 1].size),
            Some((3840, 2160)),
            "nothing preferred: the largest"
        );
    }

    proptest! {
        #[test]
        fn something_is_chosen_where_anything_is_offered(
            sizes in proptest::collection::vec((1usize..5000, 1usize..3000, 1_000u32..240_000, any::<bool>(), any::<bool>()), 1..30),
            size in (1usize..5000, 1usize..3000), fps in 1.0f64..240.0) {
            let offers: Vec<Offer> = sizes.into_iter().map(|(w, h, rate, is_preferred, is_interlaced)| {
                Offer { size: (w, h), rate: Rate::new(rate, 1_000).unwrap(), is_preferred, is_interlaced }
            }).collect();
            let chosen = offers[choose(&offers, size, fps).unwrap()];
            let progressive: Vec<&Offer> = offers.iter().filter(|offer| !offer.is_interlaced).collect();
            prop_assert!(!chosen.is_interlaced || progressive.is_empty());
            let passes = progressive.iter().any(|o| o.size == size && o.rate.per_second() >= fps.max(LOWEST_HZ));
            prop_assert!(!passes || chosen.size == size);
        }
    }
}
