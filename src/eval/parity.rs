//! Do two backends say the same of the same frames? Numbers differ in their last bits from device to device; what a surgeon sees
//! must not.
//!
//! ```text
//!   scene of one backend, scene of the other (same frame) ─► Parity ─► ParitySummary, held to a Tolerance
//! ```

use super::{box_iou, mask_iou};
use crate::base::ids::ClassId;
use crate::scene::Scene;
use serde::Serialize;

/// How far two backends may be apart.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Tolerance {
    /// Least part of the class mask's pixels that agree, of any frame.
    pub pixels: f64,
    /// Least part of all tracks that both follow: same class, boxes that overlap by `box_iou` or more.
    pub tracks: f64,
    pub box_iou: f32,
    /// Between the tips of such a track: at most, in 99 of 100, percent of the picture's width.
    pub tip_percent: f64,
}

impl Default for Tolerance {
    /// Half precision against single: what lies within a thousandth of a threshold may fall on either side.
    fn default() -> Self {
        Tolerance { pixels: 0.99, tracks: 0.99, box_iou: 0.9, tip_percent: 0.5 }
    }
}

/// Of one class, over all frames.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ClassParity {
    pub class: String,
    /// Least of all frames in which either has it.
    pub least_iou: f32,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ParitySummary {
    pub frames: usize,
    /// Part of all pixels, and of those of the worst frame.
    pub pixels: f64,
    pub least_pixels: f64,
    /// Where it was.
    pub worst: String,
    pub classes: Vec<ClassParity>,
    /// Tracks of either, and the part of them that both follow; None: there was no track.
    pub tracks: usize,
    pub tracks_shared: Option<f64>,
    /// None: no tip was seen by both.
    pub tip_p99_percent: Option<f64>,
    /// Frames of which one is sure and the other is not.
    pub other_trust: usize,
}

impl ParitySummary {
    /// What lies outside, a line each.
    pub fn outside(&self, tolerance: &Tolerance) -> Vec<String> {
        let percent = |part: f64| format!("{:.2} %", 100.0 * part);
        let mut lines = Vec::new();
        if self.frames == 0 {
            lines.push("nothing was compared".to_owned());
        }
        if self.least_pixels < tolerance.pixels {
            lines.push(format!(
                "{} of the pixels of '{}' agree, {} must",
                percent(self.least_pixels),
                self.worst,
                percent(tolerance.pixels)
            ));
        }
        if let Some(shared) = self.tracks_shared.filter(|&shared| shared < tolerance.tracks) {
            lines.push(format!(
                "{} of {} tracks are followed by both, {} must be",
                percent(shared),
                self.tracks,
                percent(tolerance.tracks)
            ));
        }
        if let Some(tip) = self.tip_p99_percent.filter(|&tip| tip > tolerance.tip_percent) {
            lines.push(format!("tips lie {tip:.2} % of the width apart (p99), {} % is allowed", tolerance.tip_percent));
        }
        if self.other_trust > 0 {
            lines.push(format!("one is sure and the other is not in {} of {} frames", self.other_trust, self.frames));
        }
        lines
    }
}

/// What two backends said, frame by frame.
#[derive(Debug, Default)]
pub struct Parity {
    tolerance: Tolerance,
    frames: usize,
    pixels: usize,
    agreeing: usize,
    least: Option<(f64, String)>,
    classes: Vec<(ClassId, f32)>,
    tracks: usize,
    shared: usize,
    tips_percent: Vec<f64>,
    other_trust: usize,
}

impl Parity {
    pub fn new(tolerance: Tolerance) -> Self {
        Parity { tolerance, ..Default::default() }
    }

    /// Both of the same frame.
    pub fn push(&mut self, name: &str, one: &Scene, other: &Scene) {
        self.frames += 1;
        self.other_trust += usize::from(one.frame_state != other.frame_state);
        let (a, b) = (&one.mask, &other.mask);
        let is_alike = (a.width, a.height) == (b.width, b.height);
        let agreeing = if is_alike { a.ids.iter().zip(&b.ids).filter(|(a, b)| a == b).count() } else { 0 };
        let pixels = a.ids.len().max(b.ids.len());
        self.pixels += pixels;
        self.agreeing += agreeing;
        let part = agreeing as f64 / pixels.max(1) as f64;
        if pixels > 0 && self.least.as_ref().is_none_or(|(least, _)| part < *least) {
            self.least = Some((part, name.to_owned()));
        }
        let mut seen = [false; 256];
        a.ids.iter().chain(&b.ids).for_each(|&id| seen[usize::from(id)] = true);
        for id in (1..=254u8).filter(|&id| is_alike && seen[usize::from(id)]) {
            let iou = mask_iou(&a.ids, &b.ids, None, |is| is == id).unwrap_or(1.0);
            match self.classes.iter_mut().find(|(class, _)| class.0 == id) {
                Some((_, least)) => *least = least.min(iou),
                None => self.classes.push((ClassId(id), iou)),
            }
        }
        self.follow(one, other);
    }

    fn follow(&mut self, one: &Scene, other: &Scene) {
        let mut left: Vec<_> = other.tracks.iter().collect();
        for track in &one.tracks {
            let overlap = |at: &usize| {
                let is_same = left[*at].class == track.class;
                if is_same { box_iou(track.bbox, left[*at].bbox) } else { 0.0 }
            };
            let best = (0..left.len()).max_by(|a, b| overlap(a).total_cmp(&overlap(b))).filter(|at| overlap(at) >= self.tolerance.box_iou);
            self.tracks += 1;
            let Some(at) = best else { continue };
            let twin = left.swap_remove(at);
            self.shared += 1;
            if let (Some(a), Some(b)) = (track.tip, twin.tip) {
                let apart = f64::from((a[0] - b[0]).hypot(a[1] - b[1]));
                self.tips_percent.push(100.0 * apart / f64::from(one.picture[0].max(1)));
            }
        }
        // Those that only the other one follows.
        self.tracks += left.len();
    }

    pub fn summary(mut self, name_of: impl Fn(ClassId) -> String) -> ParitySummary {
        self.tips_percent.sort_unstable_by(f64::total_cmp);
        self.classes.sort_unstable_by_key(|(class, _)| class.0);
        let (least_pixels, worst) = self.least.unwrap_or((1.0, String::new()));
        ParitySummary {
            frames: self.frames,
            pixels: if self.pixels == 0 { 1.0 } else { self.agreeing as f64 / self.pixels as f64 },
            least_pixels,
            worst,
            classes: self.classes.iter().map(|&(class, least_iou)| ClassParity { class: name_of(class), least_iou }).collect(),
            tracks: self.tracks,
            tracks_shared: (self.tracks > 0).then(|| self.shared as f64 / self.tracks as f64),
            tip_p99_percent: self.tips_percent.get((self.tips_percent.len() * 99).div_ceil(100).saturating_sub(1)).copied(),
            other_trust: self.other_trust,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eval::testing::{scene_of, track_at};
    use crate::scene::{ClassMask, Track, Trust};

    const LIVER: u8 = 2;

    fn track(x: f32) -> Track {
        track_at(1, x)
    }

    /// The left `liver` of 100 columns are liver.
    fn scene(tracks: Vec<Track>, liver: usize) -> Scene {
        let ids = (0..100 * 10).map(|i| if i % 100 < liver { LIVER } else { 0 }).collect();
        Scene { mask: ClassMask { width: 100, height: 10, ids }, ..scene_of(tracks) }
    }

    fn of(pairs: &[(Scene, Scene)]) -> ParitySummary {
        let mut parity = Parity::new(Tolerance::default());
        for (index, (one, other)) in pairs.iter().enumerate() {
            parity.push(&format!("frame {index}"), one, other);
        }
        parity.summary(|class| class.0.to_string())
    }

    #[test]
    fn the_same_twice_is_within_every_tolerance_and_nothing_compared_is_not() {
        let same = || scene(vec![track(10.0), track(80.0)], 40);
        let summary = of(&[(same(), same()), (scene(vec![], 0), scene(vec![], 0))]);
        assert_eq!((summary.frames, summary.pixels, summary.tracks_shared, summary.tip_p99_percent), (2, 1.0, Some(1.0), Some(0.0)));
        assert_eq!(summary.classes, [ClassParity { class: LIVER.to_string(), least_iou: 1.0 }]);
        assert_eq!(summary.outside(&Tolerance::default()), Vec::<String>::new());
        assert_eq!(of(&[]).outside(&Tolerance::default()), ["nothing was compared"]);
    }

    #[test]
    fn a_border_that_lies_elsewhere_is_told_with_its_frame() {
        let pairs = [(scene(vec![], 40), scene(vec![], 40)), (scene(vec![], 40), scene(vec![], 50))];
        let summary = of(&pairs);
        assert_eq!((summary.pixels, summary.least_pixels, summary.worst.as_str()), (0.95, 0.9, "frame 1"));
        assert_eq!(summary.classes[0].least_iou, 0.8);
        let told = summary.outside(&Tolerance::default());
        assert!(told.len() == 1 && told[0].contains("90.00 %") && told[0].contains("frame 1"), "{told:?}");
        let other_size = Scene { mask: ClassMask { width: 10, height: 100, ids: vec![0; 1000] }, ..scene(vec![], 0) };
        assert_eq!(of(&[(scene(vec![], 0), other_size)]).least_pixels, 0.0);
    }

    #[test]
    fn tracks_are_matched_once_and_what_one_alone_follows_counts_on_either_side() {
        let one = scene(vec![track(10.0), track(80.0)], 0);
        assert_eq!(of(&[(one.clone(), scene(vec![track(10.0)], 0))]).tracks_shared, Some(0.5));
        assert_eq!(of(&[(scene(vec![track(10.0)], 0), one.clone())]).tracks_shared, Some(0.5));
        let twice = scene(vec![track(10.0), track(10.0)], 0);
        assert_eq!(of(&[(one.clone(), twice)]).tracks_shared, Some(1.0 / 3.0));
        let class = scene(vec![Track { class: ClassId(14), ..track(10.0) }], 0);
        let summary = of(&[(scene(vec![track(10.0)], 0), class)]);
        assert_eq!((summary.tracks, summary.tracks_shared), (2, Some(0.0)));
        assert!(summary.outside(&Tolerance::default())[0].contains("of 2 tracks"), "{summary:?}");
    }

    #[test]
    fn tips_apart_and_other_states_are_told() {
        let moved = Track { tip: Some([31.5, 20.0]), ..track(10.0) };
        let mut unsure = scene(vec![moved], 0);
        unsure.frame_state = Trust::Unsure;
        let summary = of(&[(scene(vec![track(10.0)], 0), unsure)]);
        assert_eq!((summary.tip_p99_percent, summary.other_trust), (Some(0.75), 1));
        let told = summary.outside(&Tolerance::default());
        assert!(told.len() == 2 && told[0].contains("0.75 %") && told[1].contains("1 of 1 frames"), "{told:?}");
    }
}
