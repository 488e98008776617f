//! Which way of launching has a frame analysed sooner on the device at hand: measured with the engine's own picture, before frames come.

use super::Analyser;
use crate::base::ids::FrameId;
use crate::frame::cuda::Launches;
use crate::frame::{FrameView, picture_from_png};
use crate::infer::{InferError, Stamps};
use crate::scene::{AnalysisTimes, Scene};
use std::time::{Duration, Instant};

/// What a frame's analysis took, as half of them took at most, and which way is taken therefore.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LaunchTimes {
    pub plain: Duration,
    pub recorded: Duration,
    /// The sooner one, if both see the same.
    pub chosen: Launches,
}

/// Frames by each way; the first ones, in which sequences are made, do not count.
const FRAMES: usize = 33;
const UNCOUNTED: usize = 3;
const PERIOD_NS: u64 = 16_666_667;

impl LaunchTimes {
    /// It takes no longer, where a device is slow.
    pub(super) const AT_MOST: Duration = Duration::from_millis(500);

    /// Measures both, turn by turn, and has the sooner one taken from now on, if what is seen is the same. None: the engine runs here, or too few frames could be
    /// analysed within `at_most` to say; then each launch is begun by itself.
    pub(super) fn choose(analyser: &mut Analyser, picture: &[u8], at_most: Duration) -> Result<Option<Self>, InferError> {
        if analyser.device()?.is_none() {
            return Ok(None);
        }
        let Ok((layout, bytes)) = picture_from_png(picture) else { return Ok(None) };
        let negative: Vec<u8> = bytes.iter().map(|byte| !byte).collect();
        let [Some(view), Some(other)] = [&bytes, &negative].map(|bytes| FrameView::new(&layout, bytes)) else { return Ok(None) };
        analyser.forget();
        let (begun, mut ids) = (Instant::now(), 0..);
        let mut taken = [const { Vec::new() }; 2];
        while taken[0].len() < FRAMES && begun.elapsed() < at_most {
            for (launches, taken) in [Launches::Plain, Launches::Recorded].into_iter().zip(&mut taken) {
                analyser.set_launches(launches)?;
                let id = ids.next().unwrap_or(0);
                let stamps = Stamps { id: FrameId(id), pts_ns: id * PERIOD_NS, capture_ns: id * PERIOD_NS };
                let start = Instant::now();
                let scene = analyser.analyse(view, stamps, &|| true)?;
                taken.push(start.elapsed());
                scene.into_iter().for_each(|scene| analyser.keep(scene));
            }
        }
        analyser.forget();
        let [plain, recorded] = taken.map(median);
        let mut times = plain.zip(recorded).map(|(plain, recorded)| LaunchTimes { plain, recorded, chosen: sooner(plain, recorded) });
        if let Some(times) = times.as_mut().filter(|times| times.chosen == Launches::Recorded) {
            let [plain, recorded] = [Launches::Plain, Launches::Recorded].map(|launches| seen(analyser, launches, [other, view]));
            if plain? != recorded? {
                tracing::warn!("launches that are begun as one have other results on this device: each is begun by itself");
                times.chosen = Launches::Plain;
            }
        }
        analyser.set_launches(times.map_or(Launches::default(), |times| times.chosen))?;
        Ok(times)
    }
}

fn sooner(plain: Duration, recorded: Duration) -> Launches {
    if recorded < plain { Launches::Recorded } else { Launches::Plain }
}

/// Of two pictures in turns, each as the first one: what a device left undone would show the other one, or an earlier one.
fn seen(analyser: &mut Analyser, launches: Launches, views: [FrameView<'_>; 2]) -> Result<Vec<Option<Scene>>, InferError> {
    analyser.set_launches(launches)?;
    let mut last = Vec::new();
    for _ in 0..=UNCOUNTED {
        last.clear();
        for view in views {
            let scene = analyser.analyse(view, Stamps { id: FrameId(0), pts_ns: 0, capture_ns: 0 }, &|| true)?;
            last.push(scene.map(|scene| Scene { times: AnalysisTimes::default(), ..scene }));
            analyser.forget();
        }
    }
    Ok(last)
}

fn median(mut taken: Vec<Duration>) -> Option<Duration> {
    let counted = taken.get_mut(UNCOUNTED..).filter(|counted| !counted.is_empty())?;
    counted.sort_unstable();
    Some(counted[counted.len() / 2])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sooner_way_is_taken_and_of_two_alike_the_plain_one() {
        let sooner = |plain, recorded| sooner(Duration::from_micros(plain), Duration::from_micros(recorded));
        assert_eq!([sooner(900, 800), sooner(800, 900), sooner(800, 800)], [Launches::Recorded, Launches::Plain, Launches::Plain]);
        let of = |micros: &[u64]| median(micros.iter().map(|micros| Duration::from_micros(*micros)).collect());
        assert_eq!(of(&[9, 9, 9]), None, "none counts");
        assert_eq!(of(&[9, 9, 9, 7, 1, 2]), Some(Duration::from_micros(2)));
    }
}
