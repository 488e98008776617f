//! Labelled clips: every frame is analysed in order, as in use; those that are labelled are compared.

use super::Progress;
use crate::base::clock::ManualClock;
use crate::base::ids::FrameId;
use crate::capture::{self, Pull};
use crate::eval::{LabelledClip, Tracking, TruthFrame};
use crate::frame::{FrameView, Stamps};
use crate::track::Analyser;
use anyhow::Context;
use std::sync::Arc;
use std::time::Duration;

/// Pulls without a picture before a clip is given up.
const PATIENCE: usize = 200;

pub fn follow(analyser: &mut Analyser, clip: &LabelledClip, tracking: &mut Tracking, progress: &mut Progress) -> anyhow::Result<()> {
    tracking.begin_clip(&clip.name, clip.patient.as_deref());
    analyser.forget();
    each_frame(clip, progress, |view, stamps, truth| {
        let scene = analyser.analyse(view, stamps, &|| true)?.context("a frame was overwritten")?;
        if let Some(truth) = truth {
            tracking.push_frame(&truth.things, &scene);
        }
        analyser.keep(scene);
        Ok(())
    })
}

/// Hands on each frame up to the last one that is labelled, with its labels.
pub fn each_frame(
    clip: &LabelledClip,
    progress: &mut Progress,
    mut see: impl FnMut(FrameView<'_>, Stamps, Option<&TruthFrame>) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let path = clip.path.to_str().context("its name is not UTF-8")?;
    // Its clock stands still: nothing is ever late, and no picture is left out.
    let mut source = capture::open(path, &capture::Settings::default(), Arc::new(ManualClock::at(1_000_000_000)))?;
    let labels = Labels::of(&clip.frames);
    let (mut bytes, mut compared, mut empty) = (Vec::new(), 0, 0);
    let mut frame = 0;
    while compared < clip.frames.len() && empty < PATIENCE {
        let picture = match source.pull(Duration::from_millis(50))? {
            Pull::Picture(picture) => picture,
            Pull::End => break,
            Pull::Idle | Pull::Event(_) => {
                empty += 1;
                continue;
            }
        };
        empty = 0;
        if labels.are_over(frame, picture.pts_ns) {
            break;
        }
        let (layout, pts_ns) = (picture.layout, picture.pts_ns);
        bytes.resize(layout.size, 0);
        picture.copy_into(&mut bytes);
        let view = FrameView::new(&layout, &bytes).context("a frame's bytes are not what its size says")?;
        let stamps = Stamps { id: FrameId(frame), pts_ns, capture_ns: 1_000_000_000 + pts_ns };
        let truth = labels.at(frame, pts_ns);
        see(view, stamps, truth)?;
        if truth.is_some() {
            compared += 1;
            progress.told(compared, clip.frames.len());
        }
        frame += 1;
    }
    // A clip that ends early is another clip.
    let missing = clip.frames.len() - compared;
    anyhow::ensure!(missing == 0, "{missing} of {} labelled frames are not in it: repair the clip or its tracks", clip.frames.len());
    Ok(())
}

/// Finds the labels of a frame: by time where all have one, else by number.
struct Labels<'a> {
    frames: &'a [TruthFrame],
    /// Half of the shortest time between two, ns; None: by number.
    reach_ns: Option<u64>,
}

impl<'a> Labels<'a> {
    fn of(frames: &'a [TruthFrame]) -> Self {
        let times: Option<Vec<u64>> = frames.iter().map(|frame| frame.pts_ns).collect();
        let reach = |times: Vec<u64>| {
            let steps = times.windows(2).map(|pair| pair[1].saturating_sub(pair[0])).min();
            steps.map_or(10_000_000, |step| step / 2)
        };
        Labels { frames, reach_ns: times.map(reach) }
    }

    fn at(&self, frame: u64, pts_ns: u64) -> Option<&'a TruthFrame> {
        match self.reach_ns {
            Some(reach) => self.frames.iter().find(|of| of.pts_ns.is_some_and(|at| at.abs_diff(pts_ns) <= reach)),
            None => self.frames.iter().find(|of| of.frame == frame),
        }
    }

    fn are_over(&self, frame: u64, pts_ns: u64) -> bool {
        let Some(last) = self.frames.last() else { return true };
        match self.reach_ns {
            Some(reach) => last.pts_ns.is_some_and(|at| pts_ns > at + reach),
            None => frame > last.frame,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frames(times: &[Option<u64>]) -> Vec<TruthFrame> {
        times.iter().enumerate().map(|(i, pts_ns)| TruthFrame { frame: 3 * i as u64, pts_ns: *pts_ns, things: Vec::new() }).collect()
    }

    #[test]
    fn labels_are_found_by_time_else_by_number() {
        let timed = frames(&[Some(0), Some(40_000_000), Some(200_000_000)]);
        let labels = Labels::of(&timed);
        // Containers round to milliseconds.
        assert_eq!(labels.at(9, 39_600_000).unwrap().frame, 3);
        assert!(labels.at(9, 80_000_000).is_none() && !labels.are_over(99, 200_000_000) && labels.are_over(0, 240_000_000));
        let numbered = frames(&[Some(0), None, None]);
        let labels = Labels::of(&numbered);
        assert_eq!((labels.at(3, 0).unwrap().frame, labels.at(4, 0).is_none()), (3, true));
        assert!(labels.are_over(7, 0) && !labels.are_over(6, 99));
    }
}
