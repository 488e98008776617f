//! What became of each frame: the numbers that were released against those that were seen.
//!
//! ```text
//!   released   n        n+1       n+2       n+3
//!   captures   │ n-1 │ n │ n │ n+1 │ torn │ n+3 │ …        delay of n: its first whole sight − its release
//!                    └ resolution ┘                        it came up between that capture and the readable one before
//! ```
//! Every released frame is one of: seen, missing, hidden, torn only, unjudged. What is counted is exact as far as captures go: a
//! frame that was up for less than the gap between two captures is not told from one that never was.

use super::code::NUMBERS;
use super::reader::Unread;
use std::collections::HashMap;

/// A frame that was sent on its way. Each number once in an analysis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Release {
    /// Modulo `NUMBERS`.
    pub number: u32,
    pub released_ns: u64,
}

/// A capture and what was read in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sighting {
    pub captured_ns: u64,
    pub seen: Result<u32, Unread>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// How long a frame is up, by plan.
    pub period_ns: u64,
    /// A frame that was released this long before the last capture and is not up is missing; a younger one may still come.
    pub settle_ns: u64,
}

/// A frame's first whole sight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sight {
    pub number: u32,
    pub released_ns: u64,
    pub seen_ns: u64,
    /// Since the last capture that clearly showed another frame: the true delay is at most this much less.
    pub resolution_ns: u64,
}

impl Sight {
    /// Negative where it was seen before its release: two clocks, or a wrong stamp.
    pub fn delay_ns(&self) -> i64 {
        self.seen_ns as i64 - self.released_ns as i64
    }

    /// In the middle of what it may be: the mean of many is not late by half a capture's gap.
    pub fn middle_delay_ns(&self) -> i64 {
        self.delay_ns() - (self.resolution_ns / 2) as i64
    }
}

#[derive(Debug, Clone, Default, PartialEq)]
pub struct Analysis {
    /// In order of release.
    pub sights: Vec<Sight>,
    /// Never up, though captures were dense enough to have seen it.
    pub missing: Vec<u32>,
    /// Not seen, and captures had a hole (none, or unread) in which it may have been up: more than 1.5 periods. Neither seen nor lost:
    /// who judges counts it as unproven.
    pub hidden: Vec<u32>,
    /// Seen in torn captures alone.
    pub torn_only: Vec<u32>,
    /// Released too early or too late for these captures, or up when they began.
    pub unjudged: Vec<u32>,
    /// Periods for which a frame stayed up although its successor was due. Exact where captures are closer than half a period.
    pub repeated: u64,
    /// Steps back: a frame that came up after a later one.
    pub reordered: u64,
    /// Steps from one frame to another.
    pub changes: u64,
    /// From the first of these steps to the last.
    pub changing_ns: u64,
    /// Captures: all, and those without a number by reason.
    pub captures: u64,
    pub torn: u64,
    pub blended: u64,
    pub damaged: u64,
    pub not_found: u64,
    /// Captures with a number that was not released: left over from before, or of another run.
    pub foreign: u64,
    pub longest_gap_ns: u64,
}

impl Analysis {
    /// How many frames a second come up. A display slower than the source shows its own rate here. None below two steps.
    pub fn changes_hz(&self) -> Option<f64> {
        (self.changes > 1).then(|| (self.changes - 1) as f64 * 1e9 / self.changing_ns.max(1) as f64)
    }
}

/// What is up now.
#[derive(Debug, Clone, Copy)]
struct Up {
    index: usize,
    since_ns: u64,
}

#[derive(Debug, Clone, Copy, Default)]
struct Fate {
    sight: Option<Sight>,
    /// A part of it was seen, and the last clear capture before that.
    is_torn: bool,
    came_after_ns: Option<u64>,
    may_be_hidden: bool,
    was_up_at_start: bool,
}

/// `releases` in order of release, `sightings` in order of time, of one clock.
pub fn analyse(releases: &[Release], sightings: &[Sighting], pace: Pace) -> Analysis {
    let index_of: HashMap<u32, usize> = releases.iter().enumerate().rev().map(|(i, r)| (r.number % NUMBERS, i)).collect();
    let index_of = |number: u32| index_of.get(&number).copied();
    let mut walk = Walk {
        releases,
        pace,
        fates: vec![Fate::default(); releases.len()],
        up: None,
        clear_ns: None,
        changed_ns: None,
        analysis: Analysis { captures: sightings.len() as u64, ..Analysis::default() },
    };
    for pair in sightings.windows(2) {
        let gap_ns = pair[1].captured_ns.saturating_sub(pair[0].captured_ns);
        walk.analysis.longest_gap_ns = walk.analysis.longest_gap_ns.max(gap_ns);
    }
    for &Sighting { captured_ns, seen } in sightings {
        match seen.map(index_of) {
            Ok(Some(index)) => walk.whole(index, captured_ns),
            Ok(None) => {
                walk.analysis.foreign += 1;
                walk.clear_ns = Some(captured_ns);
            }
            Err(Unread::Torn { upper, lower }) => walk.torn([upper, lower].map(|number| index_of(number?)), captured_ns),
            Err(Unread::NotFound) => walk.analysis.not_found += 1,
            Err(Unread::Blended) => walk.analysis.blended += 1,
            Err(Unread::Damaged) => walk.analysis.damaged += 1,
        }
    }
    let span_ns = sightings.first().zip(sightings.last()).map(|(first, last)| (first.captured_ns, last.captured_ns));
    walk.judge(span_ns.unwrap_or((u64::MAX, 0)))
}

/// Through the captures, once.
struct Walk<'a> {
    releases: &'a [Release],
    pace: Pace,
    /// One for each release.
    fates: Vec<Fate>,
    up: Option<Up>,
    /// The last capture of which it is known what it shows.
    clear_ns: Option<u64>,
    /// The first step.
    changed_ns: Option<u64>,
    analysis: Analysis,
}

impl Walk<'_> {
    fn torn(&mut self, parts: [Option<usize>; 2], captured_ns: u64) {
        self.analysis.torn += 1;
        for &index in parts.iter().flatten() {
            let fate = &mut self.fates[index];
            fate.is_torn = true;
            fate.came_after_ns = fate.came_after_ns.or(self.clear_ns);
        }
        // Nothing else can hide in a capture of which both parts are known.
        if parts.iter().all(Option::is_some) {
            self.clear_ns = Some(captured_ns);
        }
    }

    fn whole(&mut self, index: usize, captured_ns: u64) {
        let last_clear_ns = self.clear_ns.replace(captured_ns);
        let fate = &mut self.fates[index];
        if fate.sight.is_none() && !fate.was_up_at_start {
            // In parts it may have been there before.
            let after_ns = if fate.is_torn { fate.came_after_ns } else { last_clear_ns };
            fate.was_up_at_start = after_ns.is_none();
            fate.sight = after_ns.map(|after_ns| {
                let Release { number, released_ns } = self.releases[index];
                Sight { number, released_ns, seen_ns: captured_ns, resolution_ns: captured_ns.saturating_sub(after_ns) }
            });
        }
        match self.up {
            Some(up) if up.index == index => return,
            Some(up) => self.step(up, index, captured_ns, captured_ns.saturating_sub(last_clear_ns.unwrap_or(0))),
            None => {}
        }
        self.up = Some(Up { index, since_ns: captured_ns });
    }

    /// Another frame is up; `unclear_ns`: since it was last known what is.
    fn step(&mut self, from: Up, to: usize, captured_ns: u64, unclear_ns: u64) {
        self.analysis.changes += 1;
        self.analysis.changing_ns = captured_ns - *self.changed_ns.get_or_insert(captured_ns);
        self.analysis.reordered += u64::from(to < from.index);
        let period_ns = self.pace.period_ns.max(1);
        for skipped in self.fates[..to].iter_mut().skip(from.index + 1) {
            skipped.may_be_hidden |= unclear_ns > period_ns + period_ns / 2;
        }
        if let Some(next) = self.releases.get(from.index + 1) {
            let planned_ns = next.released_ns.saturating_sub(self.releases[from.index].released_ns);
            let longer_ns = captured_ns.saturating_sub(from.since_ns).saturating_sub(planned_ns);
            self.analysis.repeated += (longer_ns + period_ns / 2) / period_ns;
        }
    }

    fn judge(self, (first_ns, last_ns): (u64, u64)) -> Analysis {
        let Walk { releases, pace, fates, mut analysis, .. } = self;
        let last_seen = fates.iter().rposition(|fate| fate.sight.is_some() || fate.was_up_at_start);
        for (index, (release, fate)) in releases.iter().zip(&fates).enumerate() {
            let may_still_come = last_seen.is_none_or(|last| index > last) && release.released_ns + pace.settle_ns > last_ns;
            if let Some(sight) = fate.sight {
                analysis.sights.push(sight);
            } else if fate.was_up_at_start || may_still_come || release.released_ns < first_ns {
                analysis.unjudged.push(release.number);
            } else if fate.is_torn {
                analysis.torn_only.push(release.number);
            } else if fate.may_be_hidden {
                analysis.hidden.push(release.number);
            } else {
                analysis.missing.push(release.number);
            }
        }
        analysis
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::Dice;
    use super::*;

    const MS: u64 = 1_000_000;
    const PERIOD_NS: u64 = 16_666_667;
    const PACE: Pace = Pace { period_ns: PERIOD_NS, settle_ns: 500 * MS };
    const START_NS: u64 = 1_000 * MS;

    fn releases(count: u32) -> Vec<Release> {
        (0..count).map(|i| Release { number: 100 + i, released_ns: START_NS + u64::from(i) * PERIOD_NS }).collect()
    }

    /// What is up, from when on: each frame 40 ms after its release.
    fn shown(releases: &[Release]) -> Vec<(u64, u32)> {
        releases.iter().map(|r| (r.released_ns + 40 * MS, r.number)).collect()
    }

    /// Captures of what is up, from before the first frame to after the last; nothing is up before.
    fn captured(shown: &[(u64, u32)], gap_ns: u64, phase_ns: u64) -> Vec<Sighting> {
        let end_ns = shown.last().unwrap().0 + 20 * PERIOD_NS;
        let times = (START_NS - 50 * MS + phase_ns..end_ns).step_by(gap_ns as usize);
        let up = |ns| shown.iter().rev().find(|(from, _)| *from <= ns).map(|&(_, number)| number);
        times.map(|ns| Sighting { captured_ns: ns, seen: up(ns).ok_or(Unread::NotFound) }).collect()
    }

    /// As the first frame's, nothing clear was captured before it: its delay has no resolution.
    const FIRST: [u32; 1] = [100];

    #[test]
    fn each_frame_s_delay_is_found_within_its_resolution() {
        let releases = releases(500);
        for phase_ns in [0, MS, 3 * MS] {
            let analysis = analyse(&releases, &captured(&shown(&releases), 4 * MS, phase_ns), PACE);
            assert_eq!(analysis.unjudged, FIRST);
            assert_eq!(analysis.sights.len(), 499);
            for sight in &analysis.sights {
                assert_eq!(sight.resolution_ns, 4 * MS);
                let delay_ns = sight.delay_ns() as u64;
                assert!((40 * MS..44 * MS).contains(&delay_ns), "{sight:?}");
            }
            let mean_ns = analysis.sights.iter().map(Sight::middle_delay_ns).sum::<i64>() / 499;
            assert!(mean_ns.abs_diff(40_000_000) < MS, "{mean_ns}");
            let Analysis { missing, hidden, torn_only, repeated, reordered, .. } = &analysis;
            assert!(missing.is_empty() && hidden.is_empty() && torn_only.is_empty());
            assert_eq!((*repeated, *reordered, analysis.changes), (0, 0, 499));
            assert!((analysis.changes_hz().unwrap() - 60.0).abs() < 0.1);
            assert_eq!(analysis.longest_gap_ns, 4 * MS);
        }
    }

    #[test]
    fn one_dropped_frame_in_500_is_found() {
        let releases = releases(500);
        for gap_ns in [4 * MS, PERIOD_NS] {
            let mut shown = shown(&releases);
            shown.remove(321);
            let analysis = analyse(&releases, &captured(&shown, gap_ns, MS), PACE);
            assert_eq!(analysis.missing, [421]);
            assert_eq!((analysis.repeated, analysis.reordered, analysis.hidden.len()), (1, 0, 0));
        }
    }

    #[test]
    fn two_exchanged_frames_are_found() {
        let releases = releases(500);
        let mut shown = shown(&releases);
        (shown[200].1, shown[201].1) = (shown[201].1, shown[200].1);
        let analysis = analyse(&releases, &captured(&shown, 4 * MS, MS), PACE);
        assert_eq!((analysis.reordered, analysis.repeated, analysis.missing.len()), (1, 0, 0));
    }

    #[test]
    fn a_frame_that_stays_is_repeated_and_the_rest_late() {
        let releases = releases(100);
        let mut shown = shown(&releases);
        for late in &mut shown[50..] {
            late.0 += PERIOD_NS;
        }
        let analysis = analyse(&releases, &captured(&shown, 4 * MS, MS), PACE);
        assert_eq!((analysis.repeated, analysis.missing.len()), (1, 0));
        assert!(analysis.sights.last().unwrap().delay_ns() as u64 > 56 * MS);
        // A pause in the source is none of the display's.
        let mut paused = self::releases(100);
        for late in &mut paused[50..] {
            late.released_ns += 10 * PERIOD_NS;
        }
        let analysis = analyse(&paused, &captured(&self::shown(&paused), 4 * MS, MS), PACE);
        assert_eq!((analysis.repeated, analysis.missing.len()), (0, 0));
    }

    #[test]
    fn a_hole_in_the_captures_proves_no_drop() {
        let releases = releases(200);
        let shown = shown(&releases);
        for unread in [None, Some(Unread::Blended)] {
            let mut sightings = captured(&shown, 4 * MS, MS);
            let is_hole = |s: &Sighting| (shown[90].0 - 3 * MS..shown[92].0 + 3 * MS).contains(&s.captured_ns);
            match unread {
                None => sightings.retain(|s| !is_hole(s)),
                Some(why) => sightings.iter_mut().filter(|s| is_hole(s)).for_each(|s| s.seen = Err(why)),
            }
            let analysis = analyse(&releases, &sightings, PACE);
            assert_eq!((analysis.missing.len(), analysis.hidden.as_slice()), (0, &[190, 191][..]));
            let sight = analysis.sights.iter().find(|s| s.number == 192).unwrap();
            assert!(sight.resolution_ns > 2 * PERIOD_NS);
        }
    }

    #[test]
    fn tears_are_counted_and_a_frame_seen_in_tears_alone_is_not_missing() {
        let releases = releases(100);
        let mut sightings = captured(&shown(&releases), PERIOD_NS, MS);
        let at = sightings.iter().position(|s| s.seen == Ok(150)).unwrap();
        sightings[at].seen = Err(Unread::Torn { upper: Some(150), lower: Some(149) });
        let analysis = analyse(&releases, &sightings, PACE);
        assert_eq!((analysis.torn, analysis.torn_only.as_slice()), (1, &[150][..]));
        assert!(analysis.missing.is_empty() && analysis.hidden.is_empty());
        // Seen in part first: it may have come up as long ago as the whole capture before.
        let mut sightings = captured(&shown(&releases), 4 * MS, MS);
        let at = sightings.iter().position(|s| s.seen == Ok(150)).unwrap();
        sightings[at].seen = Err(Unread::Torn { upper: Some(150), lower: Some(149) });
        let analysis = analyse(&releases, &sightings, PACE);
        let sight = analysis.sights.iter().find(|s| s.number == 150).unwrap();
        assert_eq!((sight.resolution_ns, analysis.torn_only.len()), (8 * MS, 0));
    }

    #[test]
    fn what_these_captures_cannot_tell_is_unjudged() {
        let releases = releases(100);
        let all = captured(&shown(&releases), 4 * MS, MS);
        // Begins and ends in the middle.
        let part: Vec<_> = all.iter().copied().filter(|s| (START_NS + 500 * MS..START_NS + MS * 1000).contains(&s.captured_ns)).collect();
        let analysis = analyse(&releases, &part, PACE);
        assert!(analysis.missing.is_empty() && analysis.hidden.is_empty());
        assert_eq!(analysis.sights.len() + analysis.unjudged.len(), 100);
        // The display stands still from frame 150 on: what was due half a second before the end is missing.
        let frozen = shown(&releases[..51]);
        let mut sightings = captured(&frozen, 4 * MS, MS);
        let last_ns = START_NS + 99 * PERIOD_NS + 1_000 * MS;
        sightings.extend(
            (sightings.last().unwrap().captured_ns + 4 * MS..last_ns)
                .step_by(4 * MS as usize)
                .map(|captured_ns| Sighting { captured_ns, seen: Ok(150) }),
        );
        let analysis = analyse(&releases, &sightings, PACE);
        assert_eq!(analysis.missing, (151..200).collect::<Vec<_>>());
        // Nothing at all.
        assert_eq!(analyse(&releases, &[], PACE).unjudged.len(), 100);
        assert_eq!(analyse(&[], &all, PACE).foreign, all.iter().filter(|s| s.seen.is_ok()).count() as u64);
    }

    #[test]
    fn a_slower_display_shows_its_own_rate() {
        let releases = releases(600);
        let last_ns = releases[599].released_ns;
        let shown: Vec<_> = (START_NS + 40 * MS..last_ns)
            .step_by(20 * MS as usize)
            .map(|ns| (ns, releases.iter().rev().find(|r| r.released_ns <= ns - 30 * MS).map_or(100, |r| r.number)))
            .collect();
        let analysis = analyse(&releases, &captured(&shown, 4 * MS, MS), PACE);
        assert!((analysis.changes_hz().unwrap() - 50.0).abs() < 0.1);
        assert!((95..=101).contains(&analysis.missing.len()), "{}", analysis.missing.len());
    }

    #[test]
    fn a_sight_before_its_release_is_negative() {
        let releases = releases(10);
        let early: Vec<_> = releases.iter().map(|r| (r.released_ns - 10 * MS, r.number)).collect();
        let analysis = analyse(&releases, &captured(&early, MS, 0), PACE);
        assert!(analysis.sights.iter().all(|s| s.delay_ns() < 0));
    }

    /// Any mixture of drops and exchanges far enough from each other, at any phase and rate of capture from 4 a frame on.
    #[test]
    fn drops_and_exchanges_are_counted_exactly() {
        let mut dice = Dice(77);
        for _ in 0..200 {
            let releases = releases(300);
            let mut shown = shown(&releases);
            let (mut dropped, mut exchanged) = (vec![], 0);
            for at in (5..290).step_by(7) {
                match dice.below(4) {
                    0 => {
                        dropped.push(shown[at].1);
                        shown[at].1 = shown[at - 1].1;
                    }
                    1 => {
                        (shown[at].1, shown[at + 1].1) = (shown[at + 1].1, shown[at].1);
                        exchanged += 1;
                    }
                    _ => {}
                }
            }
            let gap_ns = dice.between(0.5e6, 4.1e6) as u64;
            let phase_ns = dice.below(10_000_000) as u64;
            let analysis = analyse(&releases, &captured(&shown, gap_ns, phase_ns), PACE);
            assert_eq!(analysis.missing, dropped);
            assert_eq!((analysis.reordered, analysis.repeated), (exchanged, dropped.len() as u64));
            assert_eq!(analysis.sights.len() + dropped.len() + analysis.unjudged.len(), 300);
        }
    }
}
