//! A source with faults put in on purpose, at stated times: what a self-test or a training of staff needs to see happen.
//! What each does to the run is judged elsewhere; nothing here is reached without `--inject`.

use super::pair::blacken;
use super::{CaptureError, Picture, PlaneRef, Pull, Source, SourceInfo};
use crate::base::clock::Clock;
use crate::frame::FrameLayout;
use serde::Deserialize;
use std::sync::Arc;
use std::time::Duration;

/// What befalls the pictures of a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SourceFault {
    /// None comes.
    InputLoss,
    /// The first one comes again and again.
    Freeze,
    Black,
    /// Every third row holds what it should not.
    Corrupt,
    /// Every other one is missing.
    HalfRate,
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
    spans: Vec<FaultSpan>,
    clock: Arc<dyn Clock>,
    start_ns: Option<u64>,
    /// The picture that is given instead, and the span that it was made for.
    held: Vec<u8>,
    held_for: Option<(FaultSpan, FrameLayout)>,
    count: u64,
}

impl FaultySource {
    pub fn new(inner: Box<dyn Source>, spans: Vec<FaultSpan>, clock: Arc<dyn Clock>) -> Self {
        FaultySource { inner, spans, clock, start_ns: None, held: Vec::new(), held_for: None, count: 0 }
    }
}

impl Source for FaultySource {
    fn info(&self) -> &SourceInfo {
        self.inner.info()
    }

    fn pull(&mut self, at_most: Duration) -> Result<Pull<'_>, CaptureError> {
        let picture = match self.inner.pull(at_most)? {
            Pull::Picture(picture) => picture,
            other => return Ok(other),
        };
        let at_ns = picture.due_ns.unwrap_or(picture.arrival_ns);
        let since_ns = at_ns.saturating_sub(*self.start_ns.get_or_insert(at_ns));
        let Some(span) = self.spans.iter().copied().find(|span| (span.from_ns..span.until_ns).contains(&since_ns)) else {
            self.held_for = None;
            return Ok(Pull::Picture(picture));
        };
        self.count += 1;
        match span.fault {
            SourceFault::InputLoss => {
                // What is not to come is not waited for either: until it would have been due, nothing happens.
                let wait_ns = at_ns.saturating_sub(self.clock.now_ns()).min(at_most.as_nanos() as u64);
                self.clock.sleep_until_ns(self.clock.now_ns() + wait_ns);
                return Ok(Pull::Idle);
            }
            SourceFault::HalfRate if self.count.is_multiple_of(2) => return Ok(Pull::Idle),
            SourceFault::HalfRate => return Ok(Pull::Picture(picture)),
            SourceFault::Freeze | SourceFault::Black | SourceFault::Corrupt => {}
        }
        let layout = picture.layout;
        let is_new = self.held_for != Some((span, layout));
        self.held.resize(layout.size, 0);
        if is_new || span.fault == SourceFault::Corrupt {
            picture.copy_into(&mut self.held);
            spoil(span.fault, &layout, &mut self.held, self.count);
            self.held_for = Some((span, layout));
        }
        let mut planes = [PlaneRef { data: &[], stride: 0 }; 3];
        for (plane, from) in planes.iter_mut().zip(layout.planes()) {
            *plane = PlaneRef { data: &self.held[from.offset..][..from.stride * from.rows], stride: from.stride };
        }
        Ok(Pull::Picture(Picture { planes, ..picture }))
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
    use crate::base::clock::ManualClock;
    use crate::capture::PatternSpec;
    use crate::capture::pattern::PatternSource;

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
    }
}
