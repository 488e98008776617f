//! One eye of a stereo picture for the analysis: the eye is copied out of the frame, analysed as a picture of its own, and
//! the scene is put back where the eye stands. Runs in the AI process; the picture that is shown is never touched.
//!
//! ```text
//!   frame (both eyes) ─► Eyes::view (one eye, tight) ─► Analyser ─► scene in eye ─► Eyes::place ─► scene in picture
//! ```

use crate::capture::{Eye, Packing, SignalEvent, Stereo, eye_layout};
use crate::frame::{Frame, FrameLayout, FrameView};
use crate::pipeline::capture::FrameTap;
use crate::scene::{ClassMask, Outline, Scene};

/// Copies one eye out of each frame. Allocates when the format changes.
pub struct Eyes {
    stereo: Stereo,
    whole: Option<FrameLayout>,
    eye: Option<FrameLayout>,
    bytes: Vec<u8>,
}

impl Eyes {
    pub fn new(stereo: Stereo) -> Self {
        Eyes { stereo, whole: None, eye: None, bytes: Vec::new() }
    }

    /// The eye that is analysed. An error where this format cannot be parted in two at this size.
    pub fn view(&mut self, frame: FrameView<'_>) -> Result<FrameView<'_>, String> {
        let whole = *frame.layout;
        if self.whole != Some(whole) {
            self.whole = Some(whole);
            self.eye = eye_layout(&whole, self.stereo.packing);
            self.bytes = vec![0; self.eye.map_or(0, |eye| eye.size)];
        }
        let cannot = || format!("a {}×{} {} picture cannot be parted into two eyes", whole.width, whole.height, whole.format.name());
        let Some(eye) = &self.eye else { return Err(cannot()) };
        let is_second = self.stereo.eye == Eye::Right;
        for (index, plane) in eye.planes().iter().enumerate() {
            let (row0, byte0) = match self.stereo.packing {
                Packing::SideBySide => (0, if is_second { plane.row_bytes } else { 0 }),
                Packing::TopBottom => (if is_second { plane.rows } else { 0 }, 0),
            };
            for row in 0..plane.rows {
                let from = &frame.row(index, row0 + row)[byte0..byte0 + plane.row_bytes];
                self.bytes[plane.offset + row * plane.stride..][..plane.row_bytes].copy_from_slice(from);
            }
        }
        FrameView::new(eye, &self.bytes).ok_or_else(cannot)
    }

    /// Puts a scene of the eye where the eye stands in the picture.
    pub fn place(&self, mut scene: Scene) -> Scene {
        let Some(whole) = &self.whole else { return scene };
        let is_second = self.stereo.eye == Eye::Right;
        let [width, height] = scene.picture;
        let [dx, dy] = match self.stereo.packing {
            Packing::SideBySide if is_second => [width as f32, 0.0],
            Packing::TopBottom if is_second => [0.0, height as f32],
            _ => [0.0, 0.0],
        };
        let shift = |p: &mut [f32; 2]| {
            p[0] += dx;
            p[1] += dy;
        };
        let shift_box = |b: &mut [f32; 4]| *b = [b[0] + dx, b[1] + dy, b[2] + dx, b[3] + dy];
        let shift_all = |outlines: &mut [Outline]| outlines.iter_mut().flatten().for_each(shift);
        for track in &mut scene.tracks {
            shift_box(&mut track.bbox);
            track.tip.iter_mut().for_each(shift);
            shift_all(&mut track.outlines);
        }
        scene.tissues.iter_mut().for_each(|tissue| shift_all(&mut tissue.outlines));
        scene.findings.iter_mut().for_each(|finding| shift_box(&mut finding.bbox));
        scene.departed.iter_mut().for_each(|departed| shift(&mut departed.at));
        scene.mask = place_mask(&scene.mask, self.stereo.packing, is_second);
        scene.picture = [whole.width as u32, whole.height as u32];
        scene
    }
}

/// Lets a stereo picture through to the analysis only where the eye that is analysed is in it.
pub struct EyeTap<T> {
    inner: T,
    stereo: Stereo,
    layout: Option<FrameLayout>,
    is_parted: bool,
    is_lost: bool,
    is_black: bool,
}

impl<T: FrameTap> EyeTap<T> {
    pub fn new(inner: T, stereo: Stereo) -> Self {
        EyeTap { inner, stereo, layout: None, is_parted: false, is_lost: false, is_black: false }
    }
}

impl<T: FrameTap> FrameTap for EyeTap<T> {
    fn offer(&mut self, frame: &Frame) {
        if self.layout != Some(*frame.layout()) {
            self.layout = Some(*frame.layout());
            self.is_parted = eye_layout(frame.layout(), self.stereo.packing).is_some();
        }
        if self.is_parted && !self.is_lost && !self.is_black {
            self.inner.offer(frame);
        }
    }

    fn hear(&mut self, event: &SignalEvent) {
        match event {
            SignalEvent::EyeLost { eye, .. } if *eye == self.stereo.eye => (self.is_lost, self.is_black) = (true, false),
            SignalEvent::EyeBack { eye, .. } if *eye == self.stereo.eye => self.is_lost = false,
            SignalEvent::EyeBlack { eye } if *eye == self.stereo.eye => self.is_black = true,
            SignalEvent::EyeLit { eye } if *eye == self.stereo.eye => self.is_black = false,
            SignalEvent::Lost { .. } | SignalEvent::Lit => self.is_black = false,
            // Both are there again.
            SignalEvent::Back { .. } => self.is_lost = false,
            _ => {}
        }
    }
}

/// The other eye's half holds nothing (0).
fn place_mask(eye: &ClassMask, packing: Packing, is_second: bool) -> ClassMask {
    let (width, height) = (eye.width as usize, eye.height as usize);
    let (whole_width, whole_height) = match packing {
        Packing::SideBySide => (2 * width, height),
        Packing::TopBottom => (width, 2 * height),
    };
    let (x0, y0) = match packing {
        Packing::SideBySide if is_second => (width, 0),
        Packing::TopBottom if is_second => (0, height),
        _ => (0, 0),
    };
    let mut ids = vec![0; whole_width * whole_height];
    for y in 0..height {
        ids[(y0 + y) * whole_width + x0..][..width].copy_from_slice(&eye.ids[y * width..][..width]);
    }
    ClassMask { width: whole_width as u32, height: whole_height as u32, ids }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ids::{ClassId, FrameId, TrackId};
    use crate::frame::{Colorimetry, Matrix, PixelFormat, Range};
    use crate::scene::{AnalysisTimes, Departed, Finding, Track, Trust};

    const CASES: [(Packing, Eye); 4] = [
        (Packing::SideBySide, Eye::Left),
        (Packing::SideBySide, Eye::Right),
        (Packing::TopBottom, Eye::Left),
        (Packing::TopBottom, Eye::Right),
    ];

    fn layout(format: PixelFormat, width: usize, height: usize) -> FrameLayout {
        FrameLayout::new(format, Colorimetry { matrix: Matrix::Bt709, range: Range::Limited, transfer: Default::default() }, width, height)
            .unwrap()
    }

    #[test]
    fn each_eye_is_copied_exactly_in_every_format() {
        for format in [PixelFormat::Nv12, PixelFormat::I420, PixelFormat::Rgb] {
            let whole = layout(format, 200, 120);
            let bytes: Vec<u8> = (0..whole.size).map(|i| (i % 251) as u8).collect();
            let frame = FrameView::new(&whole, &bytes).unwrap();
            for (packing, eye) in CASES {
                let mut eyes = Eyes::new(Stereo { packing, eye });
                let seen = eyes.view(frame).unwrap();
                let second = usize::from(eye == Eye::Right);
                for (index, plane) in seen.layout.planes().iter().enumerate() {
                    for row in 0..plane.rows {
                        let (whole_row, from) = match packing {
                            Packing::SideBySide => (row, second * whole.planes()[index].row_bytes / 2),
                            Packing::TopBottom => (row + second * whole.planes()[index].rows / 2, 0),
                        };
                        assert_eq!(seen.row(index, row), &frame.row(index, whole_row)[from..from + plane.row_bytes]);
                    }
                }
            }
        }
    }

    #[test]
    fn what_cannot_be_halved_is_refused() {
        for (width, height, packing) in [(202, 120, Packing::SideBySide), (201, 120, Packing::SideBySide), (200, 122, Packing::TopBottom)] {
            let whole = layout(PixelFormat::Nv12, width, height);
            let bytes = vec![0; whole.size];
            let reason = Eyes::new(Stereo { packing, eye: Eye::Left }).view(FrameView::new(&whole, &bytes).unwrap()).unwrap_err();
            assert!(reason.contains(&format!("{width}×{height} NV12")), "{reason}");
        }
    }

    #[test]
    fn a_scene_is_put_where_its_eye_stands() {
        let whole = layout(PixelFormat::Nv12, 200, 120);
        let bytes = vec![0; whole.size];
        for (packing, eye) in CASES {
            let mut eyes = Eyes::new(Stereo { packing, eye });
            let size = {
                let view = eyes.view(FrameView::new(&whole, &bytes).unwrap()).unwrap();
                [view.layout.width as u32, view.layout.height as u32]
            };
            let instrument = crate::base::classes::table().iter().find(|class| class.kind == crate::base::classes::ClassKind::Instrument);
            let class = instrument.map_or(ClassId(1), |class| class.id);
            let track = Track {
                id: TrackId(1),
                class,
                confidence: 0.9,
                state: Trust::Sure,
                bbox: [10.0, 11.0, 30.0, 31.0],
                tip: Some([30.0, 31.0]),
                axis: None,
                velocity_px_s: [5.0, 0.0],
                outlines: vec![vec![[10.0, 11.0], [30.0, 11.0], [30.0, 31.0]]],
            };
            let scene = Scene {
                frame: FrameId(4),
                pts_ns: 0,
                capture_ns: 1,
                picture: size,
                frame_state: Trust::Sure,
                tracks: vec![track],
                tissues: Vec::new(),
                findings: vec![Finding { id: TrackId(2), class, confidence: 0.5, state: Trust::Sure, bbox: [1.0, 2.0, 3.0, 4.0] }],
                frame_classes: Vec::new(),
                departed: vec![Departed { id: TrackId(3), class, at: [0.0, 7.0], seen_ns: 0 }],
                reset: None,
                gate: None,
                unknown_px: 0,
                mask: ClassMask { width: 2, height: 2, ids: vec![1, 2, 3, 4] },
                times: AnalysisTimes::default(),
            };
            let placed = eyes.place(scene);
            let [dx, dy] = match (packing, eye) {
                (_, Eye::Left) => [0.0, 0.0],
                (Packing::SideBySide, Eye::Right) => [100.0, 0.0],
                (Packing::TopBottom, Eye::Right) => [0.0, 60.0],
            };
            assert_eq!(placed.picture, [200, 120]);
            assert_eq!(placed.tracks[0].bbox, [10.0 + dx, 11.0 + dy, 30.0 + dx, 31.0 + dy]);
            assert_eq!((placed.tracks[0].tip, placed.departed[0].at), (Some([30.0 + dx, 31.0 + dy]), [dx, 7.0 + dy]));
            assert_eq!(placed.tracks[0].outlines[0][2], [30.0 + dx, 31.0 + dy]);
            assert_eq!(placed.findings[0].bbox, [1.0 + dx, 2.0 + dy, 3.0 + dx, 4.0 + dy]);
            let expected: (u32, u32, Vec<u8>) = match (packing, eye) {
                (Packing::SideBySide, Eye::Left) => (4, 2, vec![1, 2, 0, 0, 3, 4, 0, 0]),
                (Packing::SideBySide, Eye::Right) => (4, 2, vec![0, 0, 1, 2, 0, 0, 3, 4]),
                (Packing::TopBottom, Eye::Left) => (2, 4, vec![1, 2, 3, 4, 0, 0, 0, 0]),
                (Packing::TopBottom, Eye::Right) => (2, 4, vec![0, 0, 0, 0, 1, 2, 3, 4]),
            };
            assert_eq!((placed.mask.width, placed.mask.height, placed.mask.ids), expected);
        }
    }

    struct Offered(std::sync::Arc<std::sync::atomic::AtomicUsize>);

    impl FrameTap for Offered {
        fn offer(&mut self, _: &Frame) {
            self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        }
    }

    #[test]
    fn an_eye_that_is_not_there_is_not_analysed() {
        let count = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
        let mut tap = EyeTap::new(Offered(count.clone()), Stereo { packing: Packing::SideBySide, eye: Eye::Right });
        let frame = |width| {
            let ring = crate::frame::FrameRing::new(layout(PixelFormat::Nv12, width, 120)).unwrap();
            ring.acquire().unwrap().publish(crate::frame::Stamps { id: FrameId(1), pts_ns: 0, capture_ns: 1 })
        };
        let offered = |tap: &mut EyeTap<Offered>, width| {
            tap.offer(&frame(width));
            count.swap(0, std::sync::atomic::Ordering::Relaxed)
        };
        assert_eq!(offered(&mut tap, 200), 1);
        assert_eq!(offered(&mut tap, 202), 0, "its halves would cut through a pair of pixels");
        let lost = |eye| SignalEvent::EyeLost { eye, reason: "unplugged".into() };
        tap.hear(&lost(Eye::Left));
        assert_eq!(offered(&mut tap, 200), 1, "the other eye is analysed");
        tap.hear(&lost(Eye::Right));
        assert_eq!(offered(&mut tap, 200), 0);
        tap.hear(&SignalEvent::EyeBack { eye: Eye::Right, after_ms: 300 });
        assert_eq!(offered(&mut tap, 200), 1);
        tap.hear(&SignalEvent::EyeBlack { eye: Eye::Left });
        assert_eq!(offered(&mut tap, 200), 1);
        for end in [SignalEvent::EyeLit { eye: Eye::Right }, SignalEvent::Lit, SignalEvent::Lost { reason: "unplugged".into() }] {
            tap.hear(&SignalEvent::EyeBlack { eye: Eye::Right });
            assert_eq!(offered(&mut tap, 200), 0, "black is not analysed");
            tap.hear(&end);
            assert_eq!(offered(&mut tap, 200), 1, "{end:?}");
        }
    }
}
