//! The draw list: what of a scene is drawn, where, and how sure it may look. Geometry only; pixels are `paint`'s matter.
//! Whatever a scene holds, everything in a draw list is finite and lies near the picture.

use crate::base::classes::{self, ClassKind};
use crate::base::ids::ClassId;
use crate::overlay::style::{Style, colour};
use crate::overlay::{OverlayMode, Settings};
use crate::scene::{Outline, Scene, Track, Trust};
use std::ops::Range;

/// One tissue class, one instrument or one finding.
#[derive(Debug, Clone, PartialEq)]
pub struct Shape {
    pub kind: ClassKind,
    pub class: ClassId,
    pub rgb: [u8; 3],
    /// The worse of the shape's own state and the frame's.
    pub trust: Trust,
    /// Closed contours, indices into `DrawList::contour`.
    pub contours: Range<usize>,
    pub tip: Option<[f32; 2]>,
    /// The box `[x0, y0, x1, y1]` whose four corners are marked: findings, and instruments without an outline.
    pub corners: Option<[f32; 4]>,
    /// Switched off: not drawn, but tissue still keeps out of it.
    pub is_hidden: bool,
}

/// An instrument that has left the picture: a mark at the rim, with the seconds since it was seen.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct EdgeMark {
    pub class: ClassId,
    pub rgb: [u8; 3],
    /// On the picture's rim.
    pub at: [f32; 2],
    pub seconds: u8,
}

#[derive(Debug, Clone, PartialEq)]
pub struct DrawList {
    /// Width and height of the picture that the coordinates refer to.
    pub picture: [u32; 2],
    /// Pixels of the picture that show something; what lies around a round picture does not. 0: all of it.
    pub content_px: usize,
    pub style: Style,
    /// Tissues first, then instruments, then findings: the order of drawing.
    pub shapes: Vec<Shape>,
    pub edge_marks: Vec<EdgeMark>,
    /// The analysis does not know what it sees in this frame: said by the rim, and by nothing else.
    pub is_unknown: bool,
    points: Vec<[f32; 2]>,
    contours: Vec<Range<usize>>,
}

/// Points closer to the last one than this are left out.
const MERGE_PX: f32 = 0.6;
/// Coordinates are held within so many sides of the picture.
const FAR_SIDES: f32 = 2.0;
/// An instrument that was last seen so long ago is not spoken of any more.
pub const DEPARTED_NS: u64 = 10_000_000_000;

impl DrawList {
    pub fn new(style: Style) -> Self {
        DrawList {
            picture: [0, 0],
            content_px: 0,
            style,
            shapes: Vec::new(),
            edge_marks: Vec::new(),
            is_unknown: false,
            points: Vec::new(),
            contours: Vec::new(),
        }
    }

    /// `shift` gives how far an instrument has moved since the scene's frame, in pixels (see `predicted_shift`).
    pub fn from_scene(scene: &Scene, style: &Style, shift: &dyn Fn(&Track) -> [f32; 2]) -> Self {
        let mut list = DrawList::new(*style);
        list.set_scene(scene, shift);
        list
    }

    /// As `from_scene`, with the memory of this list.
    pub fn set_scene(&mut self, scene: &Scene, shift: &dyn Fn(&Track) -> [f32; 2]) {
        self.clear();
        self.picture = scene.picture;
        if self.style.mode == OverlayMode::Off {
            return;
        }
        self.is_unknown = scene.frame_state == Trust::Unknown;
        if self.is_unknown {
            return;
        }
        for tissue in &scene.tissues {
            let contours = self.add(&tissue.outlines, [0.0; 2]);
            self.push(ClassKind::Tissue, tissue.class, tissue.state.max(scene.frame_state), contours, None, None);
        }
        for track in &scene.tracks {
            let shift = shift(track).map(|v| if v.is_finite() { v } else { 0.0 });
            let contours = self.add(&track.outlines, shift);
            let tip = track.tip.map(|tip| [tip[0] + shift[0], tip[1] + shift[1]]).filter(|tip| self.is_near(tip));
            let corners = if contours.is_empty() { self.box_of(track.bbox, shift) } else { None };
            self.push(ClassKind::Instrument, track.class, track.state.max(scene.frame_state), contours, tip, corners);
        }
        for finding in &scene.findings {
            let corners = self.box_of(finding.bbox, [0.0; 2]);
            let none = self.contours.len()..self.contours.len();
            self.push(ClassKind::Finding, finding.class, finding.state.max(scene.frame_state), none, None, corners);
        }
    }

    /// Marks the instruments that have left the picture, as of `now_ns` (on the clock of the scene's stamps).
    pub fn set_departed(&mut self, scene: &Scene, now_ns: u64) {
        self.edge_marks.clear();
        if self.style.mode == OverlayMode::Off || self.is_unknown || scene.picture != self.picture {
            return;
        }
        for departed in scene.departed.iter().filter(|departed| !self.style.hidden.contains(departed.class)) {
            let age_ns = now_ns.saturating_sub(departed.seen_ns);
            if age_ns < DEPARTED_NS && self.is_near(&departed.at) {
                let seconds = (age_ns / 1_000_000_000) as u8;
                let (class, at) = (departed.class, departed.at);
                self.edge_marks.push(EdgeMark { class, rgb: colour(class), at, seconds });
            }
        }
    }

    pub fn clear(&mut self) {
        self.shapes.clear();
        self.edge_marks.clear();
        self.is_unknown = false;
        self.points.clear();
        self.contours.clear();
    }

    pub fn contour(&self, index: usize) -> &[[f32; 2]] {
        &self.points[self.contours[index].clone()]
    }

    pub fn contours<'a>(&'a self, shape: &Shape) -> impl Iterator<Item = &'a [[f32; 2]]> + use<'a> {
        shape.contours.clone().map(|index| self.contour(index))
    }

    /// A class that is not of the kind that it is given as is not drawn.
    fn push(
        &mut self,
        kind: ClassKind,
        class: ClassId,
        trust: Trust,
        contours: Range<usize>,
        tip: Option<[f32; 2]>,
        corners: Option<[f32; 4]>,
    ) {
        if classes::table().has_kind(class, kind) && (!contours.is_empty() || tip.is_some() || corners.is_some()) {
            let is_hidden = self.style.hidden.contains(class);
            self.shapes.push(Shape { kind, class, rgb: colour(class), trust, contours, tip, corners, is_hidden });
        }
    }

    /// A box that can be marked; one without an area, or of numbers that are none, cannot.
    fn box_of(&self, bbox: [f32; 4], shift: [f32; 2]) -> Option<[f32; 4]> {
        let [x0, y0, x1, y1] = bbox;
        let moved = [x0 + shift[0], y0 + shift[1], x1 + shift[0], y1 + shift[1]];
        let is_near = self.is_near(&[moved[0], moved[1]]) && self.is_near(&[moved[2], moved[3]]);
        (is_near && moved[2] - moved[0] >= 1.0 && moved[3] - moved[1] >= 1.0).then_some(moved)
    }

    fn far(&self) -> f32 {
        FAR_SIDES * self.picture[0].max(self.picture[1]) as f32
    }

    fn is_near(&self, point: &[f32; 2]) -> bool {
        point.iter().all(|v| v.abs() <= self.far())
    }

    fn add(&mut self, outlines: &[Outline], shift: [f32; 2]) -> Range<usize> {
        let far = self.far();
        let first = self.contours.len();
        for outline in outlines {
            let start = self.points.len();
            for point in outline {
                let moved = [point[0] + shift[0], point[1] + shift[1]];
                if !moved.iter().all(|v| v.is_finite()) {
                    continue;
                }
                let moved = moved.map(|v| v.clamp(-far, far));
                let repeated = self.points[start..].last().is_some_and(|last| (last[0] - moved[0]).hypot(last[1] - moved[1]) < MERGE_PX);
                if !repeated {
                    self.points.push(moved);
                }
            }
            if self.points.len() - start >= 3 {
                self.contours.push(start..self.points.len());
            } else {
                self.points.truncate(start);
            }
        }
        first..self.contours.len()
    }
}

/// Time in which a hand's velocity changes, s: an instrument is not expected to go on as it went for longer.
const VELOCITY_HOLDS_S: f32 = 0.12;

/// How far a track has moved `age_ns` after its frame if it slows down as hands do, capped in time and way by the settings.
pub fn predicted_shift(track: &Track, age_ns: u64, picture_width: u32, settings: &Settings) -> [f32; 2] {
    let seconds = (age_ns as f32 / 1e9).min(settings.predict_at_most_ms as f32 / 1e3);
    let seconds = VELOCITY_HOLDS_S * (1.0 - (-seconds / VELOCITY_HOLDS_S).exp());
    let [dx, dy] = track.velocity_px_s.map(|v| v * seconds);
    let way = dx.hypot(dy);
    let most = settings.predict_at_most_percent / 100.0 * picture_width as f32;
    if !way.is_finite() {
        return [0.0; 2];
    }
    let part = if way > most { most / way } else { 1.0 };
    [dx * part, dy * part]
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::base::ids::{FrameId, TrackId};
    use crate::scene::{AnalysisTimes, ClassMask, Departed, Finding, Tissue};

    /// A circle of `n` points.
    pub fn blob(cx: f32, cy: f32, rx: f32, ry: f32, n: usize) -> Outline {
        let wobble = |a: f32| 1.0 + 0.08 * (5.0 * a).sin() + 0.04 * (11.0 * a).cos();
        (0..n)
            .map(|i| i as f32 / n as f32 * std::f32::consts::TAU)
            .map(|a| [cx + rx * wobble(a) * a.cos(), cy + ry * wobble(a) * a.sin()])
            .collect()
    }

    /// A shaft from `from` to `tip`, `half` wide to each side.
    pub fn shaft(from: [f32; 2], tip: [f32; 2], half: f32, n: usize) -> Outline {
        let [dx, dy] = [tip[0] - from[0], tip[1] - from[1]];
        let length = dx.hypot(dy);
        let (nx, ny) = (-dy / length * half, dx / length * half);
        let at = |t: f32, side: f32| [from[0] + dx * t + nx * side, from[1] + dy * t + ny * side];
        let there = (0..=n).map(|i| at(i as f32 / n as f32, 1.0));
        let back = (0..=n).rev().map(|i| at(i as f32 / n as f32, -1.0));
        there.chain(back).collect()
    }

    pub fn track(id: u32, class: u8, from: [f32; 2], tip: [f32; 2], half: f32) -> Track {
        let outline = shaft(from, tip, half, 40);
        Track {
            id: TrackId(id),
            class: ClassId(class),
            confidence: 0.9,
            state: Trust::Sure,
            bbox: [0.0; 4],
            tip: Some(tip),
            axis: None,
            velocity_px_s: [100.0, 0.0],
            outlines: vec![outline],
        }
    }

    pub fn tissue(class: u8, outline: Outline) -> Tissue {
        Tissue { class: ClassId(class), area_px: 1, confidence: 0.8, state: Trust::Sure, outlines: vec![outline] }
    }

    pub fn departed(at: [f32; 2], seen_ns: u64) -> Departed {
        Departed { id: TrackId(9), class: ClassId(5), at, seen_ns }
    }

    pub fn finding(class: u8, bbox: [f32; 4]) -> Finding {
        Finding { id: TrackId(40), class: ClassId(class), confidence: 0.7, state: Trust::Sure, bbox }
    }

    /// Four tissues and two instruments, in a picture of any size.
    pub fn scene(width: u32, height: u32) -> Scene {
        let (w, h) = (width as f32, height as f32);
        let tissues = vec![
            tissue(1, blob(0.5 * w, 0.12 * h, 0.42 * w, 0.1 * h, 260)),
            tissue(2, blob(0.3 * w, 0.4 * h, 0.26 * w, 0.24 * h, 260)),
            tissue(4, blob(0.72 * w, 0.76 * h, 0.22 * w, 0.18 * h, 260)),
            tissue(10, blob(0.52 * w, 0.55 * h, 0.14 * w, 0.2 * h, 200)),
        ];
        let tracks = vec![
            track(1, 5, [0.98 * w, 0.86 * h], [0.56 * w, 0.5 * h], 0.03 * h),
            track(2, 9, [0.02 * w, 0.95 * h], [0.42 * w, 0.66 * h], 0.02 * h),
        ];
        Scene {
            frame: FrameId(0),
            pts_ns: 0,
            capture_ns: 0,
            picture: [width, height],
            frame_state: Trust::Sure,
            tracks,
            tissues,
            findings: Vec::new(),
            frame_classes: Vec::new(),
            departed: Vec::new(),
            reset: None,
            gate: None,
            unknown_px: 0,
            mask: ClassMask { width: 1, height: 1, ids: vec![0] },
            times: AnalysisTimes::default(),
        }
    }

    #[test]
    fn instruments_move_with_their_velocity_and_tissue_does_not() {
        let scene = scene(1280, 720);
        let style = Style::of(&Settings::default());
        let still = DrawList::from_scene(&scene, &style, &|_| [0.0; 2]);
        let moved = DrawList::from_scene(&scene, &style, &|_| [7.0, -3.0]);
        assert_eq!(still.shapes.len(), 6);
        for (a, b) in still.shapes.iter().zip(&moved.shapes) {
            let wish = if a.kind == ClassKind::Instrument { [7.0, -3.0] } else { [0.0; 2] };
            let (p, q) = (still.contours(a).next().unwrap()[5], moved.contours(b).next().unwrap()[5]);
            assert!((q[0] - p[0] - wish[0]).abs() < 1e-3 && (q[1] - p[1] - wish[1]).abs() < 1e-3);
        }
    }

    #[test]
    fn prediction_is_capped_in_time_and_way() {
        let mut track = track(1, 5, [0.0; 2], [100.0, 100.0], 5.0);
        let settings = Settings::default();
        let shift = |track: &Track, ms: u64| predicted_shift(track, ms * 1_000_000, 1000, &settings);
        assert!((shift(&track, 1)[0] - 0.1).abs() < 1e-3, "at first as fast as it was");
        assert!((shift(&track, 20)[0] - 1.842).abs() < 1e-3, "then slower");
        assert_eq!(shift(&track, 500), shift(&track, 60), "at most 60 ms");
        track.velocity_px_s = [3000.0, 4000.0];
        let [dx, dy] = shift(&track, 50);
        assert!((dx.hypot(dy) - 30.0).abs() < 1e-3 && (dy / dx - 4.0 / 3.0).abs() < 1e-3, "at most 3 % of the width");
        track.velocity_px_s = [f32::NAN, f32::INFINITY];
        assert_eq!(shift(&track, 50), [0.0; 2]);
    }

    #[test]
    fn a_frame_that_is_unknown_says_nothing_but_that() {
        let mut scene = scene(640, 360);
        scene.frame_state = Trust::Unknown;
        scene.departed = vec![departed([0.0, 100.0], 0)];
        let mut list = DrawList::from_scene(&scene, &Style::of(&Settings::default()), &|_| [0.0; 2]);
        list.set_departed(&scene, 1);
        assert!(list.is_unknown && list.shapes.is_empty() && list.edge_marks.is_empty());
    }

    #[test]
    fn a_departed_instrument_is_marked_where_it_left_and_forgotten_after_ten_seconds() {
        let mut scene = scene(640, 360);
        scene.departed = vec![departed([640.0, 120.0], 1_000_000_000)];
        let mut list = DrawList::from_scene(&scene, &Style::of(&Settings::default()), &|_| [9.0; 2]);
        for (now_ms, seconds) in [(1_000, Some(0)), (4_999, Some(3)), (10_999, Some(9)), (11_000, None), (0, Some(0))] {
            list.set_departed(&scene, now_ms * 1_000_000);
            assert_eq!(list.edge_marks.first().map(|mark| mark.seconds), seconds, "{now_ms} ms");
            assert!(list.edge_marks.iter().all(|mark| mark.at == [640.0, 120.0]), "never a predicted position");
        }
        list.style.hidden.set(scene.departed[0].class, true);
        list.set_departed(&scene, 2_000_000_000);
        assert!(list.edge_marks.is_empty());
    }

    #[test]
    fn findings_and_instruments_without_an_outline_have_corners() {
        let mut scene = scene(640, 360);
        scene.tracks[0].outlines.clear();
        scene.tracks[0].bbox = [10.0, 20.0, 90.0, 80.0];
        scene.findings = vec![finding(32, [100.0, 100.0, 200.0, 180.0]), finding(33, [f32::NAN, 0.0, 9.0, 9.0])];
        let list = DrawList::from_scene(&scene, &Style::of(&Settings::default()), &|_| [5.0, 0.0]);
        let corners: Vec<_> = list.shapes.iter().map(|shape| (shape.kind, shape.corners)).collect();
        assert_eq!(
            corners[4..],
            [
                (ClassKind::Instrument, Some([15.0, 20.0, 95.0, 80.0])),
                (ClassKind::Instrument, None),
                (ClassKind::Finding, Some([100.0, 100.0, 200.0, 180.0])),
            ]
        );
    }

    #[test]
    fn trust_is_the_worse_of_shape_and_frame() {
        let mut scene = scene(640, 360);
        scene.frame_state = Trust::Unsure;
        scene.tracks[0].state = Trust::Unknown;
        let list = DrawList::from_scene(&scene, &Style::of(&Settings::default()), &|_| [0.0; 2]);
        let trust: Vec<Trust> = list.shapes.iter().map(|shape| shape.trust).collect();
        assert_eq!(trust[..4], [Trust::Unsure; 4]);
        assert_eq!(trust[4..], [Trust::Unknown, Trust::Unsure]);
    }
}
