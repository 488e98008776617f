//! A source with faults put in on purpose, at stated times: what a self-test or a training of staff needs to see happen.
//! What each does to the run is judged elsewhere; nothing here is reached without `--inject`.
//!
//! A recording or a simulation is no camera: what is wrong with it is not alarmed. `as_camera` makes it one: released by the
//! clock, stamped on arrival, and judged by the same judge as a live input.

use super::judge::Judge;
use super::pair::blacken;
use super::{CaptureError, Planes, Pull, Source, SourceInfo};
use crate::base::clock::Clock;
use crate::frame::FrameLayout;
use serde::Deserialize;
use std::sync::Arc;
use std::time::Duration;

/// What befalls the pictures of a source.
/// The list of them: `--inject` reads these names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SourceFault {
    /// None comes.
    InputLoss,
    /// The first one comes again and again.
    Freeze,
    Black,
    /// Every third row holds what it should not, and the decoder says so.
    Corrupt,
    /// Every other one is missing.
    HalfRate,
    /// Every third one is the one before the last again.
    OutOfOrder,
    /// The upper part of every other one is that of the picture before; the line moves.
    Torn,
    /// They are a quarter of what they were: the upper left one.
    FormatChange,
    /// Each position in the source lies a second before where it was, and stands so until the end.
    StampJump,
}

/// A fault and when, ns since the first picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FaultSpan {
    pub fault: SourceFault,
    pub from_ns: u64,
    pub until_ns: u64,
}

pub struct FaultySource {
    inner: Box<dyn Source>,
    info: SourceInfo,
    spans: Vec<FaultSpan>,
    clock: Arc<dyn Clock>,
    /// Of a source that is made a camera.
    judge: Option<Judge>,
    start_ns: Option<u64>,
    /// The picture that is given instead, and the span that it was made for.
    held: Vec<u8>,
    held_for: Option<(FaultSpan, FrameLayout)>,
    /// The last pictures as they were, the newest first; kept while a fault needs them.
    before: [Vec<u8>; 2],
    count: u64,
}

/// A position that jumps back does so by this.
const JUMP_NS: u64 = 1_000_000_000;

impl FaultySource {
    pub fn new(inner: Box<dyn Source>, spans: Vec<FaultSpan>, clock: Arc<dyn Clock>) -> Self {
        let info = inner.info().clone();
        FaultySource {
            inner,
            info,
            spans,
            clock,
            judge: None,
            start_ns: None,
            held: Vec::new(),
            held_for: None,
            before: Default::default(),
            count: 0,
        }
    }

    /// From now on it counts as a camera, of which silence of `lost_ns` is a loss. Of what is live already nothing changes.
    pub fn as_camera(mut self, lost_ns: u64) -> Result<Self, CaptureError> {
        let info = &self.info;
        if info.live {
            return Ok(self);
        }
        let layout = FrameLayout::new(info.format, info.colorimetry, info.width, info.height)
            .map_err(|source| CaptureError::Layout { thing: info.uri.clone(), source })?;
        self.judge = Some(Judge::new(layout, info.fps, (1e9 / info.fps.max(1.0)) as u64, lost_ns, self.clock.now_ns()));
        self.info.live = true;
        Ok(self)
    }
}

impl Source for FaultySource {
    fn info(&self) -> &SourceInfo {
        &self.info
    }

    fn pull(&mut self, at_most: Duration) -> Result<Pull<'_>, CaptureError> {
        let FaultySource { inner, spans, clock, judge, start_ns, held, held_for, before, count, .. } = self;
        if let Some(event) = judge.as_mut().and_then(Judge::next_event) {
            return Ok(Pull::Event(event));
        }
        let mut picture = match inner.pull(at_most)? {
            Pull::Picture(picture) => picture,
            other => return Ok(other),
        };
        let at_ns = picture.due_ns.unwrap_or(picture.arrival_ns);
        let since_ns = at_ns.saturating_sub(*start_ns.get_or_insert(at_ns));
        let span = spans.iter().copied().find(|span| (span.from_ns..span.until_ns).contains(&since_ns));
        // What is soon to be mixed with what was has to be known by then.
        let is_kept = spans.iter().any(|span| {
            let needs = matches!(span.fault, SourceFault::OutOfOrder | SourceFault::Torn);
            needs && (span.from_ns.saturating_sub(JUMP_NS)..span.until_ns).contains(&since_ns)
        });
        let is_missing = span.is_some_and(|span| {
            span.fault == SourceFault::InputLoss || span.fault == SourceFault::HalfRate && (*count + 1).is_multiple_of(2)
        });
        if is_missing || judge.is_some() {
            // A camera's picture comes when it is due; what is not to come is not waited for longer than that.
            let wait_ns = at_ns.saturating_sub(clock.now_ns());
            let wait_ns = if judge.is_some() { wait_ns } else { wait_ns.min(at_most.as_nanos() as u64) };
            clock.sleep_until_ns(clock.now_ns() + wait_ns);
        }
        *count = if span.is_some() { *count + 1 } else { 0 };
        if is_missing {
            if let Some(judge) = judge {
                // There is no pipeline that could be built again.
                let _ = judge.silence(clock.now_ns());
                return Ok(judge.next_event().map_or(Pull::Idle, Pull::Event));
            }
            return Ok(Pull::Idle);
        }
        if judge.is_some() {
            (picture.due_ns, picture.arrival_ns) = (None, at_ns);
        }
        let layout = picture.layout;
        if is_kept {
            before.rotate_right(1);
            before[0].resize(layout.size, 0);
        }
        match span.map(|span| span.fault) {
            Some(fault @ (SourceFault::Freeze | SourceFault::Black | SourceFault::Corrupt)) => {
                held.resize(layout.size, 0);
                let held_now = span.map(|span| (span, layout));
                if *held_for != held_now || fault == SourceFault::Corrupt {
                    picture.copy_into(held);
                    spoil(fault, &layout, held, *count);
                    *held_for = held_now;
                }
                picture.planes = Planes::of(&layout, held);
                picture.is_damaged |= fault == SourceFault::Corrupt;
            }
            Some(fault @ (SourceFault::OutOfOrder | SourceFault::Torn)) => {
                picture.copy_into(&mut before[0]);
                let [newest, last] = before;
                let has_last = last.len() == layout.size;
                if has_last && fault == SourceFault::Torn && count.is_multiple_of(2) {
                    held.resize(layout.size, 0);
                    held.copy_from_slice(newest);
                    // From two to five eighths down, by the picture.
                    tear(&layout, held, last, 2 + (*count / 2 % 4) as usize);
                    picture.planes = Planes::of(&layout, held);
                } else if has_last && fault == SourceFault::OutOfOrder && count.is_multiple_of(3) {
                    // The one before the last is under the last; it is what was given two pictures ago.
                    picture.planes = Planes::of(&layout, held);
                } else if fault == SourceFault::OutOfOrder {
                    // Of three the first comes again.
                    if *count % 3 == 1 {
                        held.resize(layout.size, 0);
                        held.copy_from_slice(newest);
                    }
                }
                *held_for = None;
            }
            Some(SourceFault::FormatChange) => {
                let half = |side: usize| ((side / 2) & !15).max(16);
                let (width, height) = (half(layout.width), half(layout.height));
                picture.layout = FrameLayout::new(layout.format, layout.colorimetry, width, height)
                    .map_err(|source| CaptureError::Layout { thing: self.info.uri.clone(), source })?;
            }
            Some(SourceFault::StampJump) => picture.pts_ns = picture.pts_ns.saturating_sub(*count * JUMP_NS),
            Some(SourceFault::InputLoss | SourceFault::HalfRate) => {}
            None => {
                *held_for = None;
                if is_kept {
                    picture.copy_into(&mut before[0]);
                }
            }
        }
        if let Some(judge) = judge {
            self.info.fps = judge.picture(at_ns, picture.skipped, picture.layout).fps.unwrap_or(self.info.fps);
        }
        Ok(Pull::Picture(picture))
    }
}

/// Puts the upper eighths of `last` over those of `bytes`.
fn tear(layout: &FrameLayout, bytes: &mut [u8], last: &[u8], eighths: usize) {
    for plane in layout.planes() {
        let upper = plane.offset..plane.offset + plane.rows * eighths / 8 * plane.stride;
        bytes[upper.clone()].copy_from_slice(&last[upper]);
    }
}

fn spoil(fault: SourceFault, layout: &FrameLayout, bytes: &mut [u8], count: u64) {
    for (index, plane) in layout.planes().iter().enumerate() {
        for (y, row) in bytes[plane.offset..][..plane.stride * plane.rows].chunks_exact_mut(plane.stride).enumerate() {
            match fault {
                SourceFault::Black => blacken(layout, index, &mut row[..plane.row_bytes]),
                SourceFault::Corrupt if y % 3 == 0 => {
                    let mut state = count ^ (y as u64) << 20 ^ 0x9e37_79b9_7f4a_7c15;
                    for byte in &mut row[..plane.row_bytes] {
                        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                        *byte = (state >> 56) as u8;
                    }
                }
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock::{JumpingClock, ManualClock};
    use crate::capture::pattern::PatternSource;
    use crate::capture::{ContentWatch, PatternSpec, SignalEvent};

    const URI: &str = "pattern:?width=640&height=480&fps=50";

    fn pulled(fault: SourceFault) -> Vec<Option<Vec<u8>>> {
        let clock = Arc::new(ManualClock::at(7));
        let inner = PatternSource::open(URI, clock.clone()).unwrap();
        let span = FaultSpan { fault, from_ns: 100_000_000, until_ns: 200_000_000 };
        let mut source = FaultySource::new(inner, vec![span], clock.clone());
        let period_ns = PatternSpec::parse(URI).unwrap().pts_ns(1);
        let mut pull = |n: u64| {
            let due_ns = 7 + n * period_ns;
            clock.advance_ns(due_ns.saturating_sub(clock.now_ns()));
            match source.pull(Duration::ZERO).unwrap() {
                Pull::Picture(picture) => {
                    let mut bytes = vec![0; picture.layout.size];
                    picture.copy_into(&mut bytes);
                    Some(bytes)
                }
                Pull::Idle => None,
                other => panic!("{other:?}"),
            }
        };
        (0..15).map(&mut pull).collect()
    }

    #[test]
    fn each_fault_does_what_it_is_called_for_its_time_and_no_longer() {
        let clean = pulled(SourceFault::InputLoss);
        assert!((0..15).all(|n| clean[n].is_none() == (5..10).contains(&n)), "nothing comes for 100 ms");
        let frozen = pulled(SourceFault::Freeze);
        assert!((6..10).all(|n| frozen[n] == frozen[5]) && frozen[4] != frozen[5] && frozen[10] != frozen[5]);
        assert!((0..5).chain(10..15).all(|n| frozen[n] == clean[n]), "outside of it nothing is touched");
        let black = pulled(SourceFault::Black);
        assert!((5..10).all(|n| black[n].as_ref().unwrap()[..640 * 480].iter().all(|&luma| luma == 16)));
        assert_eq!(black[10], clean[10]);
        let corrupt = pulled(SourceFault::Corrupt);
        assert!((5..10).all(|n| corrupt[n] != frozen[n]) && corrupt[5] != corrupt[6] && corrupt[12] == clean[12]);
        let half = pulled(SourceFault::HalfRate);
        assert_eq!((5..10).filter(|&n| half[n].is_none()).count(), 2);
        let whole = pulled(SourceFault::StampJump);
        let order = pulled(SourceFault::OutOfOrder);
        assert!((0..15).all(|n| order[n] == whole[if n == 7 { 5 } else { n }]), "the third is the first again");
        let torn = pulled(SourceFault::Torn);
        let upper = |bytes: &Option<Vec<u8>>| bytes.as_ref().unwrap()[..640 * 120].to_vec();
        let lower = |bytes: &Option<Vec<u8>>| bytes.as_ref().unwrap()[640 * 360..640 * 480].to_vec();
        for n in [6, 8] {
            assert!(upper(&torn[n]) == upper(&whole[n - 1]) && lower(&torn[n]) == lower(&whole[n]) && torn[n] != whole[n], "{n}");
        }
        assert!([4, 5, 7, 9, 10].into_iter().all(|n| torn[n] == whole[n]));
        let small = pulled(SourceFault::FormatChange);
        assert!(
            (0..15).all(|n| small[n].as_ref().unwrap().len() == if (5..10).contains(&n) { 320 * 240 * 3 / 2 } else { 640 * 480 * 3 / 2 })
        );
    }
    /// What a camera's judge and the watch over its contents say of each fault, ms after it began and after it ended.
    fn said_of(fault: SourceFault) -> Vec<(f64, SignalEvent)> {
        let clock = Arc::new(JumpingClock(ManualClock::at(7)));
        let inner = PatternSource::open("pattern:?width=640&height=480&fps=60", clock.clone()).unwrap();
        let span = FaultSpan { fault, from_ns: 1_000_000_000, until_ns: 2_000_000_000 };
        let mut source = FaultySource::new(inner, vec![span], clock.clone()).as_camera(150_000_000).unwrap();
        assert!(source.info().live);
        let mut watch = ContentWatch::new(150_000_000, 150_000_000, None);
        let mut said = Vec::new();
        while clock.now_ns() < 3_200_000_000 {
            let event = match source.pull(Duration::from_millis(50)).unwrap() {
                Pull::Picture(picture) => {
                    let at_ns = picture.due_ns.unwrap_or(picture.arrival_ns);
                    said.extend(
                        watch.look(&picture, None, at_ns).into_iter().flatten().map(|event| (clock.now_ns() as f64 / 1e6 - 1_000.0, event)),
                    );
                    continue;
                }
                Pull::Event(event) => event,
                Pull::Idle => continue,
                other => panic!("{other:?}"),
            };
            watch.hear(&event);
            said.push((clock.now_ns() as f64 / 1e6 - 1_000.0, event));
        }
        said
    }

    #[test]
    fn each_fault_of_a_camera_is_named_within_200_ms_and_over_within_a_second() {
        type Is = fn(&SignalEvent) -> bool;
        // The last is when it can be known, ms after it began: another rate by its sixth interval, the rest with the second picture.
        let faults: [(SourceFault, Is, Is, f64); 9] = [
            (
                SourceFault::Corrupt,
                |e| matches!(e, SignalEvent::Damaged { is_stream: true }),
                |e| matches!(e, SignalEvent::Sound { .. }),
                17.0,
            ),
            (SourceFault::InputLoss, |e| matches!(e, SignalEvent::Lost { .. }), |e| matches!(e, SignalEvent::Back { .. }), 17.0),
            (SourceFault::Freeze, |e| *e == SignalEvent::Frozen, |e| *e == SignalEvent::Moving, 17.0),
            (SourceFault::Black, |e| *e == SignalEvent::Black, |e| *e == SignalEvent::Lit, 17.0),
            (SourceFault::HalfRate, |e| matches!(e, SignalEvent::RateWrong { .. }), |e| *e == SignalEvent::RateRight, 201.0),
            (
                SourceFault::OutOfOrder,
                |e| matches!(e, SignalEvent::OutOfOrder { is_stream: true }),
                |e| matches!(e, SignalEvent::InOrder { .. }),
                17.0,
            ),
            (SourceFault::Torn, |e| matches!(e, SignalEvent::Torn { is_stream: true }), |e| matches!(e, SignalEvent::Whole { .. }), 17.0),
            (
                SourceFault::FormatChange,
                |e| matches!(e, SignalEvent::Format { .. }),
                |e| matches!(e, SignalEvent::Format { to, .. } if to.contains("640×480")),
                17.0,
            ),
            (
                SourceFault::StampJump,
                |e| matches!(e, SignalEvent::OutOfOrder { is_stream: true }),
                |e| matches!(e, SignalEvent::InOrder { .. }),
                17.0,
            ),
        ];
        for (fault, is_begun, is_over, known_ms) in faults {
            let said = said_of(fault);
            assert!(said[0].0 >= 0.0, "{fault:?}: nothing is said of sound pictures: {said:?}");
            let begun = said.iter().find(|(_, event)| is_begun(event)).unwrap_or_else(|| panic!("{fault:?}: {said:?}"));
            assert!(begun.0 - known_ms <= 200.0, "{fault:?}: {said:?}");
            let over = said.iter().rev().find(|(_, event)| is_over(event)).unwrap_or_else(|| panic!("{fault:?}: {said:?}"));
            assert!((1_000.0..=2_000.0).contains(&over.0) && over == said.last().unwrap(), "{fault:?}: {said:?}");
        }
    }
}
