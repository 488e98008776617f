//! Whole engines of every kind, run by ONNX Runtime on pictures whose answers can be told.

use crate::base::ids::{ClassId, FrameId};
use crate::infer::testing::{CELL, Colorimetry, FrameLayout, HEIGHT, Matrix, PixelFormat, Range, TestEngine, WIDTH, loaded};
use crate::infer::{FrameView, Stamps};
use crate::scene::{Reset, Scene, Trust};
use crate::track::Analyser;

/// Eight picture pixels an input pixel: a cell is 64 pixels.
const SCALE: usize = 8;
const PX: f32 = (CELL * SCALE) as f32;

struct Stream {
    analyser: Analyser,
    next: u64,
}

impl Stream {
    fn of(engine: &TestEngine) -> Self {
        Stream { analyser: Analyser::load(loaded(engine)).unwrap(), next: 0 }
    }

    fn show(&mut self, colour: impl Fn(usize, usize) -> [u8; 3]) -> Scene {
        self.show_at(self.next * 17, WIDTH * SCALE, HEIGHT * SCALE, colour)
    }

    /// `colour` of an input pixel.
    fn show_at(&mut self, ms: u64, width: usize, height: usize, colour: impl Fn(usize, usize) -> [u8; 3]) -> Scene {
        let colorimetry = Colorimetry { matrix: Matrix::Bt709, range: Range::Full, transfer: Default::default() };
        let layout = FrameLayout::new(PixelFormat::Rgb, colorimetry, width, height).unwrap();
        let mut data = vec![0; layout.size];
        for y in 0..height {
            for x in 0..width {
                let at = layout.planes()[0].stride * y + 3 * x;
                data[at..at + 3].copy_from_slice(&colour(x * WIDTH / width, y * HEIGHT / height));
            }
        }
        let stamps = Stamps { id: FrameId(self.next), pts_ns: ms * 1_000_000, capture_ns: 1_000_000_000 + ms * 1_000_000 };
        self.next += 1;
        let scene = self.analyser.analyse(FrameView::new(&layout, &data).unwrap(), stamps, &|| true).unwrap().unwrap();
        assert_eq!(scene.check(), Ok(()));
        scene
    }
}

const RED: [u8; 3] = [255, 0, 0];
const GREEN: [u8; 3] = [0, 255, 0];
const BLUE: [u8; 3] = [0, 0, 255];

/// Red, but blue in one cell and green in another.
fn two_cells(x: usize, y: usize) -> [u8; 3] {
    match (x / CELL, y / CELL) {
        (2, 1) => BLUE,
        (7, 4) => GREEN,
        _ => RED,
    }
}

fn near(a: [f32; 4], b: [f32; 4]) -> bool {
    a.iter().zip(b).all(|(a, b)| (a - b).abs() < 0.5)
}

#[test]
fn yolo_and_detr_find_an_instrument_and_a_finding_where_they_are() {
    // YOLO's boxes are three cells wide, the finding's is clipped by the picture's lower edge; DETR's are one cell.
    let three = ([PX, 0.0, 4.0 * PX, 3.0 * PX], [6.0 * PX, 3.0 * PX, 9.0 * PX, 6.0 * PX]);
    let one = ([2.0 * PX, PX, 3.0 * PX, 2.0 * PX], [7.0 * PX, 4.0 * PX, 8.0 * PX, 5.0 * PX]);
    for (engine, (grasper, polyp)) in [
        (TestEngine::yolo(), three),
        (TestEngine::yolo_with_objectness(), three),
        (TestEngine::yolo().in_half_precision(), three),
        (TestEngine::detr(), one),
        (TestEngine::detr().in_half_precision().with_free_sides(), one),
    ] {
        let mut stream = Stream::of(&engine);
        let first = stream.show(two_cells);
        assert!(first.findings.is_empty(), "a finding is marked when it was seen twice");
        let scene = stream.show(two_cells);
        let [track] = &scene.tracks[..] else { panic!("{:?}", scene.tracks) };
        assert!(track.class == ClassId(5) && near(track.bbox, grasper), "{track:?}");
        assert!(track.outlines.is_empty() && track.confidence > 0.85);
        let [finding] = &scene.findings[..] else { panic!("{:?}", scene.findings) };
        assert!(finding.class == ClassId(32) && near(finding.bbox, polyp), "{finding:?}");
        assert_eq!((finding.id.0, scene.reset, scene.frame_state), (0, None, Trust::Sure));
        let empty = stream.show(|_, _| RED);
        assert!(empty.tracks.is_empty());
        assert_eq!(empty.findings[0].state, Trust::Unsure, "not in this very frame");
        assert!(stream.show(|_, _| RED).findings.is_empty());
    }
}

#[test]
fn boxes_of_a_letterboxed_input_lie_where_they_are_in_the_picture() {
    let mut engine = TestEngine::detr();
    let dir = tempfile::tempdir().unwrap();
    engine.write(dir.path()).unwrap();
    let path = dir.path().join("manifest.toml");
    std::fs::write(&path, std::fs::read_to_string(&path).unwrap().replace("\"stretch\"", "\"letterbox\"")).unwrap();
    engine.tables.clear();
    let mut stream = Stream { analyser: Analyser::load(crate::store::load(dir.path()).unwrap()).unwrap(), next: 0 };
    // A square picture: 48 of 80 columns of the input, from column 16 on; 10 picture pixels an input pixel.
    let mut show = || {
        stream.show_at(stream.next * 17, 480, 480, |x, y| {
            // `x` runs over the whole input's width here: back to picture pixels, in the input's cells.
            let column = 16 + x * 48 / WIDTH;
            if (column / CELL, y / CELL) == (4, 2) { BLUE } else { RED }
        })
    };
    show();
    let scene = show();
    let [track] = &scene.tracks[..] else { panic!("{:?}", scene.tracks) };
    assert!(near(track.bbox, [160.0, 160.0, 240.0, 240.0]), "{track:?}");
}

#[test]
fn instance_masks_give_outlines_and_a_mask() {
    let mut stream = Stream::of(&TestEngine::yolo_with_masks());
    // A blue bar from the left edge, two cells high, in boxes five cells wide.
    let bar = |x: usize, y: usize| if x < 30 && (16..32).contains(&y) { BLUE } else { RED };
    stream.show(bar);
    let scene = stream.show(bar);
    assert!(!scene.tracks.is_empty());
    let longest = scene.tracks.iter().max_by(|a, b| a.bbox[2].total_cmp(&b.bbox[2])).unwrap();
    let xs = || longest.outlines.iter().flatten().map(|p| p[0]);
    let ys = || longest.outlines.iter().flatten().map(|p| p[1]);
    let (right, top, bottom) = (xs().fold(0.0, f32::max), ys().fold(1e9, f32::min), ys().fold(0.0, f32::max));
    // The tracker keeps one of several pieces of one shaft: the outline is that of its own box, the mask holds them all.
    assert!(right >= 180.0 && (right - longest.bbox[2]).abs() < 12.0, "{right} {:?}", longest.bbox);
    assert!((top - 128.0).abs() < 12.0 && (bottom - 256.0).abs() < 12.0, "{top} {bottom}");
    let mask = &scene.mask;
    assert_eq!((mask.width, mask.height), (40, 24));
    let count = mask.ids.iter().filter(|&&id| id == 5).count();
    assert!((110..=130).contains(&count), "the bar has 120 mask pixels, {count} are painted");
}

#[test]
fn a_map_of_findings_and_a_word_on_the_frame() {
    let mut stream = Stream::of(&TestEngine::findings_and_quality());
    let polyp = |x: usize, y: usize| if (40..56).contains(&x) && (16..32).contains(&y) { GREEN } else { RED };
    stream.show(polyp);
    let scene = stream.show(polyp);
    let [finding] = &scene.findings[..] else { panic!("{:?}", scene.findings) };
    assert!(finding.class == ClassId(32) && near(finding.bbox, [320.0, 128.0, 448.0, 256.0]), "{finding:?}");
    assert!(scene.tracks.is_empty());
    let [quality] = &scene.frame_classes[..] else { panic!("{:?}", scene.frame_classes) };
    assert_eq!((quality.class, quality.state), (ClassId(66), Trust::Sure));
    let dark = (0..12).map(|_| stream.show(|_, _| [0, 0, 0])).last().unwrap();
    assert_eq!(dark.frame_classes[0].class, ClassId(64));
    assert!(dark.findings.is_empty());
}

#[test]
fn class_ids_from_inside_the_model_are_a_map_like_any_other() {
    let mut stream = Stream::of(&TestEngine::class_ids());
    let scene = stream.show(|x, _| if x < 40 { RED } else { GREEN });
    let area = |class| scene.tissues.iter().find(|t| t.class == ClassId(class)).unwrap().area_px as f32;
    let half = (WIDTH * HEIGHT * SCALE * SCALE / 2) as f32;
    assert!((area(2) - half).abs() < 0.01 * half && (area(4) - half).abs() < 0.01 * half);
}

/// Mean blue of a picture of which a part is blue; the rest differs from it as little as a cut does not need.
fn dim(_: usize, _: usize) -> [u8; 3] {
    [20, 60, 128]
}

#[test]
fn a_recurrent_engine_starts_anew_after_start_gap_cut_and_format_and_says_so() {
    let mut stream = Stream::of(&TestEngine::recurrent());
    let confidence = |scene: &Scene| scene.frame_classes.first().map_or(0.0, |class| class.confidence);
    let first = stream.show(dim);
    assert_eq!(first.reset, Some(Reset::Start));
    let fresh = confidence(&first);
    for _ in 0..6 {
        let scene = stream.show(dim);
        assert_eq!(scene.reset, None);
        assert!(confidence(&scene) > fresh, "the sum rises");
    }
    let (w, h) = (WIDTH * SCALE, HEIGHT * SCALE);
    let ms = stream.next * 17 + 400;
    let gap = stream.show_at(ms, w, h, dim);
    assert_eq!((gap.reset, confidence(&gap)), (Some(Reset::Gap), fresh));
    let format = stream.show_at(ms + 17, w / 2, h / 2, dim);
    assert_eq!((format.reset, confidence(&format)), (Some(Reset::Format), fresh));
    let other = |x: usize, y: usize| if (x / 8 + y / 8).is_multiple_of(2) { [20, 255, 128] } else { [20, 0, 128] };
    let cut = stream.show_at(ms + 34, w / 2, h / 2, other);
    assert_eq!((cut.reset, confidence(&cut)), (Some(Reset::Cut), fresh));
    assert_eq!(stream.show_at(ms + 51, w / 2, h / 2, other).reset, None);
    stream.analyser.forget();
    assert_eq!(stream.show_at(ms + 68, w / 2, h / 2, other).reset, Some(Reset::Start));
}

#[test]
fn an_engine_without_memory_says_nothing_of_resets() {
    for engine in [TestEngine::maps(), TestEngine::yolo()] {
        assert_eq!(Stream::of(&engine).show(dim).reset, None);
    }
}
