//! Which overlay belongs on the frame that is to be shown: a scene that is fresh, of this picture, and not moved away
//! from under it. A wrong or old overlay is worse than none.

use crate::base::ids::FrameId;
use crate::frame::Frame;
use crate::overlay::draw::{DEPARTED_NS, DrawList, predicted_shift};
use crate::overlay::motion::{Thumb, displacement};
use crate::overlay::paint::Painter;
use crate::overlay::style::Style;
use crate::overlay::{Layer, OverlayMode, Settings};
use crate::pipeline::controls::View;
use crate::pipeline::selftest::Echo;
use crate::scene::{Scene, Track};
use std::sync::Arc;

/// How long an overlay has been away though there is one. What is too old is told at once; what lags behind a moving picture only
/// when the next one does not come in its stead.
#[derive(Debug, Clone, Copy, Default)]
pub struct Absence {
    told_from_ns: Option<u64>,
}

impl Absence {
    pub fn note(&mut self, why: Hidden, now_ns: u64, max_age_ns: u64) {
        let from_ns = if why == Hidden::Stale { now_ns } else { now_ns + max_age_ns };
        self.told_from_ns = Some(self.told_from_ns.map_or(from_ns, |told_ns| told_ns.min(from_ns)));
    }

    pub fn is_told(self, now_ns: u64) -> bool {
        self.told_from_ns.is_some_and(|from_ns| now_ns >= from_ns)
    }
}

/// Why a scene that is there is not shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hidden {
    /// By choice.
    Off,
    /// The worker is down: what it said last is not followed up.
    WorkerDown,
    /// Older than `overlay.max_age_ms`.
    Stale,
    /// The picture has moved under it, or was cut.
    Moved,
    /// Of another picture size.
    Foreign,
}

/// Frames whose thumbnails are kept: more than can be under way between capture and a fresh scene.
const THUMBS: usize = 16;
/// A shape is painted again when its prediction has moved by so much, px.
const REPAINT_PX: f32 = 0.5;

pub struct Screen {
    settings: Settings,
    mode: OverlayMode,
    held: Option<Arc<Scene>>,
    thumbs: Vec<(FrameId, Thumb)>,
    layer: Layer,
    painter: Painter,
    list: DrawList,
    painted: Option<Painted>,
    /// Part of the picture that shows something; None: not known yet.
    content_part: Option<f32>,
    /// A self-test looks on: this is drawn, whatever the overlay's choice, and neither trust nor motion matters.
    echo: Option<Echo>,
}

struct Painted {
    scene: FrameId,
    age_ns: u64,
    /// The seconds that the edge marks say.
    departed_s: u64,
}

/// The content area is never taken for smaller than this part: a dark moment is no small picture.
const LEAST_CONTENT: f32 = 0.25;
/// It shrinks by so much a frame at most.
const CONTENT_KEPT: f32 = 0.995;

impl Screen {
    pub fn new(settings: Settings, mode: OverlayMode) -> Self {
        let list = DrawList::new(Style { mode, ..Style::of(&settings) });
        let (layer, painter) = (Layer::new(0, 0), Painter::new(0, 0));
        Screen {
            settings,
            mode,
            held: None,
            thumbs: Vec::with_capacity(THUMBS),
            layer,
            painter,
            list,
            painted: None,
            content_part: None,
            echo: None,
        }
    }

    pub fn with_echo(self, echo: Option<Echo>) -> Self {
        Screen { echo, ..self }
    }

    pub fn layer(&self) -> &Layer {
        &self.layer
    }

    pub fn mode(&self) -> OverlayMode {
        self.mode
    }

    /// What the operator wants to see of it from now on.
    pub fn set_view(&mut self, view: &View) {
        let View { overlay, opacity, hidden, labels, language, .. } = *view;
        self.mode = overlay;
        self.list.style = Style { mode: overlay, opacity, hidden, labels, language, ..self.list.style };
        self.painted = None;
    }

    pub fn max_age_ns(&self) -> u64 {
        u64::from(self.settings.max_age_ms) * 1_000_000
    }

    pub fn held(&self) -> Option<&Arc<Scene>> {
        self.held.as_ref()
    }

    /// The scene that is held from now on, unless it is older than the one that is.
    pub fn receive(&mut self, scene: Arc<Scene>) {
        if self.held.as_ref().is_none_or(|held| held.frame < scene.frame) {
            self.held = Some(scene);
        }
    }

    pub fn forget(&mut self) {
        self.held = None;
    }

    /// Notes a frame before it is shown, so that motion since any recent frame can be told.
    pub fn note(&mut self, frame: &Frame) {
        let layout = frame.layout();
        if (self.layer.width, self.layer.height) != (layout.width, layout.height) {
            self.layer = Layer::new(layout.width, layout.height);
            self.painter = Painter::new(layout.width, layout.height);
            self.painted = None;
        }
        if self.mode == OverlayMode::Off && self.echo.is_none() {
            return;
        }
        if self.thumbs.len() < THUMBS {
            self.thumbs.push((frame.id(), Thumb::of_frame(frame)));
        } else {
            self.thumbs.rotate_left(1);
            if let Some((id, thumb)) = self.thumbs.last_mut() {
                *id = frame.id();
                thumb.update_from(frame);
            }
        }
        let content_part = self.thumbs.last().map_or(1.0, |(_, thumb)| thumb.content_part());
        self.content_part = Some(content_part.max(self.content_part.unwrap_or(0.0) * CONTENT_KEPT).max(LEAST_CONTENT));
    }

    /// The scene that may be drawn over `frame` now, or why none may.
    pub fn choose(&self, frame: &Frame, now_ns: u64, worker_is_up: bool) -> Result<Option<Arc<Scene>>, Hidden> {
        if self.mode == OverlayMode::Off && self.echo.is_none() {
            return Err(Hidden::Off);
        }
        let Some(scene) = &self.held else { return Ok(None) };
        if !worker_is_up {
            return Err(Hidden::WorkerDown);
        }
        if now_ns.saturating_sub(scene.capture_ns) > self.max_age_ns() {
            return Err(Hidden::Stale);
        }
        let layout = frame.layout();
        if scene.picture != [layout.width as u32, layout.height as u32] {
            return Err(Hidden::Foreign);
        }
        if scene.frame != frame.id() && self.echo.is_none() && self.has_moved(scene.frame, frame.id()) {
            return Err(Hidden::Moved);
        }
        Ok(Some(scene.clone()))
    }

    /// Has the picture moved too far between two frames, was it cut, or is one of them not known any more?
    fn has_moved(&self, from: FrameId, to: FrameId) -> bool {
        let thumb = |id| self.thumbs.iter().find(|(at, _)| *at == id).map(|(_, thumb)| thumb);
        let (Some(before), Some(now)) = (thumb(from), thumb(to)) else { return true };
        let motion = displacement(before, now);
        motion.cut || motion.shift_fraction_of_width * 100.0 > self.settings.hide_on_motion_percent
    }

    /// Puts `scene`, predicted to the frame's capture time, on the layer; nothing at all for None.
    pub fn paint(&mut self, scene: Option<&Scene>, frame: &Frame) {
        match scene {
            Some(scene) => {
                self.content_part.get_or_insert_with(|| Thumb::of_frame(frame).content_part().max(LEAST_CONTENT));
                self.paint_at(scene, frame.stamps().capture_ns);
            }
            None => {
                self.layer.clear();
                self.painted = None;
            }
        }
    }

    /// Puts `scene` on the layer as a frame captured at `capture_ns` will want it, before that frame is there.
    pub fn paint_ahead(&mut self, scene: &Scene, capture_ns: u64) {
        if scene.picture == [self.layer.width as u32, self.layer.height as u32] {
            self.paint_at(scene, capture_ns);
        }
    }

    fn paint_at(&mut self, scene: &Scene, capture_ns: u64) {
        if let Some(echo) = &self.echo {
            echo.paint(scene, &mut self.layer);
            return;
        }
        let age_ns = capture_ns.saturating_sub(scene.capture_ns);
        let shift = |track: &Track, age_ns: u64| predicted_shift(track, age_ns, scene.picture[0], &self.settings);
        let departed_s = scene
            .departed
            .iter()
            .fold(0, |all, departed| all * 16 + capture_ns.saturating_sub(departed.seen_ns).min(DEPARTED_NS) / 1_000_000_000);
        if let Some(painted) = &self.painted
            && painted.scene == scene.frame
            && painted.departed_s == departed_s
            && scene.tracks.iter().all(|track| distance(shift(track, age_ns), shift(track, painted.age_ns)) < REPAINT_PX)
        {
            return;
        }
        self.list.set_scene(scene, &|track| shift(track, age_ns));
        self.list.set_departed(scene, capture_ns);
        self.list.content_px = (self.content_part.unwrap_or(0.0) * (self.layer.width * self.layer.height) as f32) as usize;
        self.painter.paint(&self.list, &mut self.layer);
        self.painted = Some(Painted { scene: scene.frame, age_ns, departed_s });
    }
}

fn distance(a: [f32; 2], b: [f32; 2]) -> f32 {
    (a[0] - b[0]).hypot(a[1] - b[1])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::{Colorimetry, FrameLayout, FrameRing, Matrix, PixelFormat, Range, Stamps};
    use crate::pipeline::controls::tests::choices;
    use crate::pipeline::controls::{Controls, Start};
    use crate::scene::{AnalysisTimes, ClassMask, Departed, Trust};

    const MS: u64 = 1_000_000;
    const WIDTH: usize = 320;
    const HEIGHT: usize = 180;

    /// A textured picture whose content is shifted to the right by `shift_px`.
    fn frame(ring: &FrameRing, id: u64, capture_ms: u64, shift_px: usize) -> Frame {
        let mut writer = ring.acquire().unwrap();
        let stride = writer.layout().planes()[0].stride;
        let data = writer.data_mut();
        data.fill(128);
        for y in 0..HEIGHT {
            for x in 0..WIDTH {
                let (u, v) = ((x + WIDTH - shift_px) as f32, y as f32);
                let texture = (u * 0.11).sin() + (v * 0.13 + u * 0.05).sin() + (u * 0.031 - v * 0.07).cos();
                data[y * stride + x] = (128.0 + 35.0 * texture) as u8;
            }
        }
        writer.publish(Stamps { id: FrameId(id), pts_ns: 0, capture_ns: capture_ms * MS })
    }

    fn scene(id: u64, capture_ms: u64) -> Arc<Scene> {
        Arc::new(Scene {
            frame: FrameId(id),
            pts_ns: 0,
            capture_ns: capture_ms * MS,
            picture: [WIDTH as u32, HEIGHT as u32],
            frame_state: Trust::Sure,
            tracks: Vec::new(),
            tissues: Vec::new(),
            findings: Vec::new(),
            frame_classes: Vec::new(),
            departed: Vec::new(),
            reset: None,
            gate: None,
            unknown_px: 0,
            mask: ClassMask { width: 1, height: 1, ids: vec![0] },
            times: AnalysisTimes::default(),
        })
    }

    #[test]
    fn an_overlay_that_lags_behind_a_moving_picture_is_told_only_when_none_follows() {
        let (mut moved, mut old) = (Absence::default(), Absence::default());
        assert!(!moved.is_told(5));
        for now_ns in [100, 140, 180] {
            moved.note(Hidden::Moved, now_ns, 100);
            assert!(!moved.is_told(now_ns));
        }
        assert!(moved.is_told(200), "since the first");
        old.note(Hidden::Moved, 100, 100);
        old.note(Hidden::Stale, 120, 100);
        assert!(old.is_told(120), "too old is too old");
    }

    #[test]
    fn an_old_moved_or_foreign_scene_is_not_chosen() {
        let colorimetry = Colorimetry::sdr(Matrix::Bt709, Range::Limited);
        let ring = FrameRing::new(FrameLayout::new(PixelFormat::Nv12, colorimetry, WIDTH, HEIGHT).unwrap()).unwrap();
        let mut screen = Screen::new(Settings::default(), OverlayMode::Outline);
        let first = frame(&ring, 0, 1_000, 0);
        screen.note(&first);
        assert_eq!(screen.choose(&first, 1_010 * MS, true).unwrap(), None, "nothing is held yet");
        screen.receive(scene(0, 1_000));
        let chosen = |screen: &Screen, frame: &Frame, now_ms: u64| screen.choose(frame, now_ms * MS, true).map(|s| s.is_some());

        assert_eq!(chosen(&screen, &first, 1_010), Ok(true));
        assert_eq!(chosen(&screen, &first, 1_100), Ok(true));
        assert_eq!(chosen(&screen, &first, 1_101), Err(Hidden::Stale));
        assert_eq!(screen.choose(&first, 1_010 * MS, false), Err(Hidden::WorkerDown));

        let near = frame(&ring, 1, 1_016, 2);
        screen.note(&near);
        assert_eq!(chosen(&screen, &near, 1_020), Ok(true), "0.6 % of the width");
        let far = frame(&ring, 2, 1_033, 8);
        screen.note(&far);
        assert_eq!(chosen(&screen, &far, 1_035), Err(Hidden::Moved), "2.5 % of the width");
        let unseen = frame(&ring, 3, 1_050, 0);
        assert_eq!(chosen(&screen, &unseen, 1_051), Err(Hidden::Moved), "of a frame that was not looked at nothing is known");

        screen.receive(scene(1, 1_016));
        screen.receive(scene(0, 1_000));
        assert_eq!(screen.held().map(|s| s.frame), Some(FrameId(1)), "an older scene never replaces a newer one");
        let mut other = (*scene(4, 1_016)).clone();
        other.picture = [WIDTH as u32 * 2, HEIGHT as u32];
        screen.receive(Arc::new(other));
        assert_eq!(chosen(&screen, &near, 1_020), Err(Hidden::Foreign));
        screen.set_view(&Controls::new(choices(), Start::Off).view());
        assert_eq!(chosen(&screen, &near, 1_020), Err(Hidden::Off));
    }

    #[test]
    fn a_self_test_s_answer_is_drawn_whatever_the_overlay_s_choice_and_never_when_it_is_too_old() {
        use crate::capture::PatternSpec;
        use crate::frame::marker::{Capture, Reader, Signal, Target, paint};
        let (width, height) = (640, 480);
        let pattern = PatternSpec::parse("pattern:?width=640&height=480&fps=30").unwrap();
        let colorimetry = Colorimetry::sdr(Matrix::Bt709, Range::Limited);
        let ring = FrameRing::new(FrameLayout::new(PixelFormat::Nv12, colorimetry, width, height).unwrap()).unwrap();
        let frame = |id: u64| {
            let mut writer = ring.acquire().unwrap();
            writer.data_mut().fill(60 + 60 * (id % 3) as u8);
            writer.publish(Stamps { id: FrameId(id), pts_ns: pattern.pts_ns(id), capture_ns: (1_000 + id) * MS })
        };
        let mut screen = Screen::new(Settings::default(), OverlayMode::Off).with_echo(Echo::of(&pattern));
        let (first, cut) = (frame(7), frame(8));
        screen.note(&first);
        screen.note(&cut);
        let mut answer = (*scene(7, 1_007)).clone();
        (answer.pts_ns, answer.picture, answer.frame_state) = (pattern.pts_ns(7), [640, 480], Trust::Unknown);
        screen.receive(Arc::new(answer));
        assert_eq!(screen.choose(&cut, 1_010 * MS, false), Err(Hidden::WorkerDown));
        assert_eq!(screen.choose(&cut, 1_108 * MS, true), Err(Hidden::Stale));
        let chosen = screen.choose(&cut, 1_107 * MS, true).unwrap().unwrap();
        screen.paint(Some(&chosen), &cut);

        let mut seen = vec![60; 4 * width * height];
        let signal = Signal { matrix: Matrix::Bt709, range: Range::Full };
        paint(Target::Bgrx { plane: &mut seen, stride: 4 * width }, signal, pattern.placement().unwrap(), 8).unwrap();
        let of = |layer: &Layer| {
            let mut seen = seen.clone();
            for (under, over) in seen.chunks_exact_mut(4).zip(layer.data.chunks_exact(4)).filter(|(_, over)| over[3] == 255) {
                under.copy_from_slice(over);
            }
            let (mut reader, capture) = (Reader::new(), Capture::bgrx(&seen, 4 * width, width, height).unwrap());
            let reading = reader.read(&capture).unwrap();
            (reading.number, reader.read_echo(&capture, &reading).ok())
        };
        assert_eq!(of(screen.layer()), (8, Some(7)));
        screen.paint(None, &cut);
        assert!(screen.layer().is_empty());
        assert_eq!(of(screen.layer()), (8, None));
        assert_eq!(Echo::of(&PatternSpec::parse("pattern:?width=408&height=312").unwrap()), None, "no room");
    }

    #[test]
    fn an_unknown_frame_has_its_rim_and_edge_marks_count_on_while_a_scene_stays() {
        let colorimetry = Colorimetry { matrix: Matrix::Bt709, range: Range::Limited, transfer: Default::default() };
        let ring = FrameRing::new(FrameLayout::new(PixelFormat::Nv12, colorimetry, WIDTH, HEIGHT).unwrap()).unwrap();
        let mut screen = Screen::new(Settings::default(), OverlayMode::Outline);
        let mut seen = |capture_ms: u64, scene: &Scene| {
            let frame = frame(&ring, capture_ms, capture_ms, 0);
            screen.note(&frame);
            screen.paint(Some(scene), &frame);
            screen.layer().data.clone()
        };
        let mut unknown = (*scene(0, 1_000)).clone();
        unknown.frame_state = Trust::Unknown;
        assert!(seen(1_000, &unknown).iter().any(|&b| b > 0), "not knowing is shown");
        let mut departed = (*scene(1, 1_000)).clone();
        departed.departed =
            vec![Departed { id: crate::base::ids::TrackId(1), class: crate::base::ids::ClassId(5), at: [0.0, 90.0], seen_ns: 0 }];
        let (first, same, next) = (seen(1_000, &departed), seen(1_033, &departed), seen(2_000, &departed));
        assert!(first.iter().any(|&b| b > 0) && first == same && first != next);
        assert!(seen(10_000, &departed).iter().all(|&b| b == 0), "gone at 10 s");
    }
}
