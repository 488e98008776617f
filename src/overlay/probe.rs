//! What bringing a source's pictures to the screen costs on this machine, measured before one is accepted.

use crate::frame::{FrameLayout, FrameView};
use crate::overlay::Rect;
use crate::overlay::convert::convert;
use std::time::{Duration, Instant};

/// Conversions that are timed, unless they would take longer than `MOST_TIME`.
const RUNS: usize = 5;
const MOST_TIME: Duration = Duration::from_millis(60);

/// Median time of the host compositor's conversion of a picture of this layout to BGRX, in ms: what each frame costs the
/// display thread at least (overlay and present come on top). Takes less than 100 ms unless one conversion does not;
/// for the start of a source, not for the frame path: it allocates a frame and a picture.
pub fn probe_ms(layout: &FrameLayout) -> f64 {
    let (width, height) = (layout.width, layout.height);
    // Not zero: untouched memory would be one page, read again and again.
    let frame = vec![64; layout.size];
    let mut picture = vec![0; 4 * width * height];
    let Some(view) = FrameView::new(layout, &frame) else { return 0.0 };
    let mut convert_once = || {
        let start = Instant::now();
        convert(&view, Rect::whole(width, height), &mut picture, 4 * width);
        start.elapsed()
    };
    // The first one pays for the memory and the tables; it counts only where there is no time for others.
    let begin = Instant::now();
    let mut times = vec![convert_once()];
    while times.len() <= RUNS && begin.elapsed() < MOST_TIME {
        times.push(convert_once());
    }
    if times.len() > 1 {
        times.remove(0);
    }
    times.sort();
    times[times.len() / 2].as_secs_f64() * 1e3
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::overlay::testing::{COLORIMETRIES, FORMATS};

    #[test]
    fn larger_pictures_take_longer() {
        for format in FORMATS {
            let cost = |width, height| probe_ms(&FrameLayout::new(format, COLORIMETRIES[1], width, height).unwrap());
            let (small, large) = (cost(160, 90), cost(1920, 1080));
            assert!(small > 0.0 && large > small, "{format:?}: {small} ms and {large} ms");
        }
    }
}
