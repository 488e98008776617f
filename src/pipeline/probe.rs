//! Can this machine pass a source at its rate? Measured before the run, on the source's own size and format: what each
//! frame costs for certain is its copy into the ring and its conversion for the screen. What the monitor's last step
//! costs is not in it, nor is decoding, which the source has shown to work.

use crate::base::clock::Clock;
use crate::capture::SourceInfo;
use crate::frame::{FrameLayout, FrameRing};
use crate::overlay::{Rect, convert};
use crate::pipeline::RunError;

/// A frame's certain work may take so much of its period, in percent: what is left is for drawing and showing.
const MOST_PERCENT: u64 = 80;
/// Sources up to 1080p60 are passed by every machine that the product runs on, and are not kept waiting.
const SURELY_PASSED_PX_S: f64 = 1920.0 * 1080.0 * 60.0;
/// The best of so many counts: one that was interrupted says nothing about the machine.
const ROUNDS: usize = 8;

/// Refuses a source of which this machine cannot pass each frame in time.
pub fn check(info: &SourceInfo, clock: &dyn Clock) -> Result<(), RunError> {
    if info.width as f64 * info.height as f64 * info.fps <= SURELY_PASSED_PX_S {
        return Ok(());
    }
    let layout = FrameLayout::new(info.format, info.colorimetry, info.width, info.height)
        .map_err(|source| RunError::Probe { reason: source.to_string() })?;
    judge(info, frame_cost_ns(layout, clock)?)
}

/// The least time that copying and converting one frame takes, ns.
fn frame_cost_ns(layout: FrameLayout, clock: &dyn Clock) -> Result<u64, RunError> {
    let failed = |reason: String| RunError::Probe { reason };
    let ring = FrameRing::new(layout).map_err(|e| failed(e.to_string()))?;
    let picture = vec![100; layout.size];
    let stride = 4 * layout.width;
    let mut screen = vec![0; stride * layout.height];
    let whole = Rect { x0: 0, y0: 0, x1: layout.width, y1: layout.height };
    let mut least_ns = u64::MAX;
    for id in 0..ROUNDS {
        let begun_ns = clock.now_ns();
        let mut slot = ring.acquire().ok_or_else(|| failed("no slot is free".into()))?;
        slot.data_mut().copy_from_slice(&picture);
        let stamps = crate::frame::Stamps { id: crate::base::ids::FrameId(id as u64), pts_ns: 0, capture_ns: 0 };
        let frame = slot.publish(stamps);
        convert::convert(&frame.view(), whole, &mut screen, stride);
        least_ns = least_ns.min(clock.now_ns().saturating_sub(begun_ns));
    }
    Ok(least_ns)
}

fn judge(info: &SourceInfo, cost_ns: u64) -> Result<(), RunError> {
    let period_ns = (1e9 / info.fps) as u64;
    tracing::info!(cost_ns, period_ns, "the source's rate was probed");
    if cost_ns * 100 <= period_ns * MOST_PERCENT {
        return Ok(());
    }
    Err(RunError::TooMuch {
        uri: info.uri.clone(),
        width: info.width,
        height: info.height,
        fps: info.fps,
        needs_ms: cost_ns as f64 / 1e6,
        has_ms: period_ns as f64 / 1e6,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock::MonotonicClock;
    use crate::frame::{Colorimetry, Matrix, PixelFormat, Range};

    fn info(width: usize, height: usize, fps: f64) -> SourceInfo {
        let colorimetry = Colorimetry { matrix: Matrix::Bt709, range: Range::Limited, transfer: Default::default() };
        let format = PixelFormat::Nv12;
        SourceInfo { uri: "decklink:0".into(), width, height, fps, format, colorimetry, live: true, latency_ns: 0 }
    }

    #[test]
    fn a_source_is_refused_by_what_was_measured() {
        let uhd = info(3840, 2160, 60.0);
        judge(&uhd, 13_000_000).unwrap();
        let text = judge(&uhd, 14_000_000).unwrap_err().to_string();
        for word in ["decklink:0", "3840×2160", "14.0 ms", "16.7 ms", "smaller"] {
            assert!(text.contains(word), "{text}");
        }
        // No machine passes 8K at a thousand pictures a second.
        assert!(check(&info(8192, 4320, 1000.0), &MonotonicClock).is_err());
        check(&info(1920, 1080, 60.0), &MonotonicClock).unwrap();
    }

    /// Each look at it is `step_ns` later than the one before: what lies between two looks takes so long.
    struct Stepping {
        step_ns: u64,
        looks: std::sync::atomic::AtomicU64,
    }

    impl Clock for Stepping {
        fn now_ns(&self) -> u64 {
            self.step_ns * self.looks.fetch_add(1, std::sync::atomic::Ordering::Relaxed)
        }

        fn sleep_until_ns(&self, _: u64) {}
    }

    #[test]
    fn ultra_high_definition_is_passed_at_its_rate_or_refused_with_what_to_do() {
        use crate::capture::{Settings, open};
        for (uri, fps) in [
            ("gst:videotestsrc is-live=true ! video/x-raw,format=UYVY,width=3840,height=2160,framerate=60/1", 60.0),
            ("sim:?width=3840&height=2160&fps=16&seconds=0.5", 16.0),
        ] {
            let source = open(uri, &Settings::default(), std::sync::Arc::new(MonotonicClock)).unwrap_or_else(|e| panic!("{e}"));
            let info = source.info();
            assert_eq!((info.width, info.height, info.fps), (3840, 2160, fps));
            let taking = |part: f64| check(info, &Stepping { step_ns: (part * 1e9 / fps) as u64, looks: Default::default() });
            taking(0.79).unwrap();
            let text = taking(0.81).unwrap_err().to_string();
            let needs = format!("{:.1} ms of the {:.1} ms", 810.0 / fps, 1000.0 / fps);
            for word in [uri, "3840×2160", &needs, "smaller picture or a lower rate"] {
                assert!(text.contains(word), "'{word}' is not in: {text}");
            }
        }
    }

    #[test]
    fn a_larger_picture_costs_more() {
        let cost = |info: SourceInfo| {
            let layout = FrameLayout::new(info.format, info.colorimetry, info.width, info.height).unwrap();
            frame_cost_ns(layout, &MonotonicClock).unwrap()
        };
        assert!(cost(info(3840, 2160, 60.0)) > cost(info(640, 360, 60.0)));
    }
}
