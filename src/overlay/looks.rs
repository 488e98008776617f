//! How the overlay looks as a whole: marks, names, the rim, the budget; and pictures of all of it to look at.

use crate::base::classes::{self, ClassKind};
use crate::base::texts::Language;
use crate::overlay::coverage::covered_px;
use crate::overlay::draw::DrawList;
use crate::overlay::draw::tests::{blob, departed, finding, scene, shaft, tissue, track};
use crate::overlay::host::{Target, compose_full};
use crate::overlay::paint::tests::{STILL, check, painted, style};
use crate::overlay::paint::{Painter, paint};
use crate::overlay::raster::Raster;
use crate::overlay::style::Style;
use crate::overlay::testing::{Owned, write_png};
use crate::overlay::{Layer, OverlayMode, Rect};
use crate::scene::{Outline, Scene, Trust};
use proptest::prelude::*;
use std::path::Path;

/// Pixels with coverage inside the central 80 % of the picture, and outside it.
fn middle_and_rim(layer: &Layer) -> (usize, usize) {
    let middle = Rect { x0: layer.width / 10, y0: layer.height / 10, x1: layer.width * 9 / 10, y1: layer.height * 9 / 10 };
    let covered = layer.data.chunks_exact(4).enumerate().filter(|(_, p)| p[3] > 0);
    let (inside, outside): (Vec<_>, Vec<_>) = covered.partition(|(i, _)| middle.contains(i % layer.width, i / layer.width));
    (inside.len(), outside.len())
}

#[test]
fn an_unknown_frame_is_a_hatched_rim_and_nothing_in_the_middle() {
    for (width, height) in [(1920, 1080), (1280, 720), (720, 576), (320, 180)] {
        let mut unknown = scene(width, height);
        unknown.frame_state = Trust::Unknown;
        unknown.findings = vec![finding(32, [100.0, 60.0, 200.0, 120.0])];
        for mode in [OverlayMode::Outline, OverlayMode::Fill] {
            let layer = painted(&unknown, mode);
            let (middle, rim) = middle_and_rim(&layer);
            let area = (width * height) as usize;
            let most = if height < 480 { 9 } else { 6 };
            assert!(middle == 0 && rim * 200 > area && rim * 100 < most * area, "{width}×{height}: {middle}, {rim}");
            let grey = layer.data.chunks_exact(4).all(|p| p[0].abs_diff(p[1]) < 3 && p[1].abs_diff(p[2]) < 3);
            assert!(grey, "never a tint");
        }
    }
}

#[test]
fn a_departed_instrument_is_a_mark_and_words_at_the_rim_only() {
    for (width, height) in [(1920u32, 1080u32), (1280, 720), (720, 576)] {
        let (w, h) = (width as f32, height as f32);
        for at in [[0.0, 0.4 * h], [w, 0.98 * h], [0.3 * w, 0.0], [0.99 * w, h], [0.0, 0.0]] {
            for language in [Language::En, Language::De] {
                let mut empty = scene(width, height);
                empty.tracks.clear();
                empty.tissues.clear();
                empty.departed = vec![departed(at, 0)];
                let mut list = DrawList::from_scene(&empty, &Style { language, ..style(OverlayMode::Outline) }, STILL);
                list.set_departed(&empty, 3_000_000_000);
                let mut layer = Layer::new(width as usize, height as usize);
                paint(&list, &mut layer);
                check(&layer);
                let (middle, rim) = middle_and_rim(&layer);
                assert!(middle == 0 && rim > 800 * height as usize / 1080, "{width}×{height} {at:?}: {middle}, {rim}");
            }
        }
    }
}

#[test]
fn corners_mark_a_box_and_leave_its_middle_free() {
    let mut scene = scene(1280, 720);
    scene.tracks.clear();
    scene.tissues.clear();
    scene.findings = vec![finding(32, [400.0, 200.0, 700.0, 420.0])];
    let count = |scene: &Scene, mode| painted(scene, mode).data.chunks_exact(4).filter(|p| p[3] > 0).count();
    let sure = count(&scene, OverlayMode::Outline);
    assert_eq!(sure, count(&scene, OverlayMode::Fill), "a finding is never filled");
    let layer = painted(&scene, OverlayMode::Outline);
    let at = |x: usize, y: usize| layer.data[(y * 1280 + x) * 4 + 3];
    assert!(at(400, 200) > 200 && at(699, 419) > 200 && at(415, 200) > 200 && at(400, 405) > 200);
    assert!(at(550, 200) == 0 && at(400, 310) == 0 && at(550, 310) == 0);
    scene.findings[0].state = Trust::Unsure;
    let unsure = count(&scene, OverlayMode::Outline);
    assert!(unsure * 100 < sure * 90 && unsure * 100 > sure * 50, "{sure} {unsure}");
    scene.findings[0].state = Trust::Unknown;
    assert_eq!(count(&scene, OverlayMode::Outline), 0);
}

#[test]
fn what_is_switched_off_is_not_drawn_and_tissue_still_keeps_out_of_it() {
    let scene = scene(640, 360);
    let mut hidden = style(OverlayMode::Fill);
    hidden.hidden.toggle_group(0);
    let mut layer = Layer::new(640, 360);
    paint(&DrawList::from_scene(&scene, &hidden, STILL), &mut layer);
    let list = DrawList::from_scene(&scene, &style(OverlayMode::Fill), STILL);
    let mut inside = 0;
    for shape in list.shapes.iter().filter(|shape| shape.kind == ClassKind::Instrument) {
        Raster::new(640, 360).area(list.contours(shape), |y, x0, x1| {
            inside += x1 - x0;
            assert!(layer.row(y, x0, x1).iter().all(|&b| b == 0));
        });
    }
    assert!(inside > 1000 && !layer.is_empty());
}

#[test]
fn names_stand_beside_instruments_and_never_over_a_tip() {
    let mut scene = scene(1280, 720);
    scene.tracks[1].tip = Some([700.0, 370.0]);
    let mut list = DrawList::from_scene(&scene, &Style { labels: true, ..style(OverlayMode::Outline) }, STILL);
    let mut painter = Painter::new(1280, 720);
    let mut layer = Layer::new(1280, 720);
    painter.paint(&list, &mut layer);
    check(&layer);
    assert_eq!(painter.names.len(), 2);
    assert!(painter.names[0].intersection(&painter.names[1]).is_empty());
    for tip in list.shapes.iter().filter_map(|shape| shape.tip) {
        assert!(painter.names.iter().all(|name| !name.contains(tip[0] as usize, tip[1] as usize)));
    }
    list.style.labels = false;
    painter.paint(&list, &mut layer);
    assert!(painter.names.is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]
    #[test]
    fn outlines_never_cover_more_than_their_part(
        blobs in proptest::collection::vec((0f32..480.0, 0f32..270.0, 4f32..300.0, 4f32..200.0, 1u8..13, any::<bool>()), 0..24),
        shafts in proptest::collection::vec(((0f32..480.0, 0f32..270.0), (0f32..480.0, 0f32..270.0), 2f32..40.0), 0..12),
        findings in proptest::collection::vec((0f32..400.0, 0f32..200.0, 2f32..200.0), 0..12),
        content in prop_oneof![Just(0usize), 2_000usize..129_600], labels in any::<bool>(), rim_marks in 0usize..8) {
        let mut scene = scene(480, 270);
        scene.tissues = blobs.iter().map(|&(x, y, rx, ry, class, is_sure)| {
            let mut tissue = tissue(class, blob(x, y, rx, ry, 90));
            tissue.state = if is_sure { Trust::Sure } else { Trust::Unsure };
            tissue
        }).collect();
        scene.tracks = shafts.iter().enumerate().map(|(i, &(from, tip, half))| {
            let mut track = track(i as u32, 5, from.into(), [tip.0, tip.1 + 0.01], half);
            track.state = [Trust::Sure, Trust::Unsure, Trust::Unknown][i % 3];
            track
        }).collect();
        scene.findings = findings.iter().map(|&(x, y, side)| finding(32, [x, y, x + side, y + side])).collect();
        scene.departed = (0..rim_marks).map(|i| departed([0.0, 30.0 * i as f32], 0)).collect();
        let mut list = DrawList::from_scene(&scene, &Style { labels, ..style(OverlayMode::Outline) }, STILL);
        list.set_departed(&scene, 1);
        list.content_px = content;
        let mut layer = Layer::new(480, 270);
        paint(&list, &mut layer);
        check(&layer);
        let content = if content == 0 { 480 * 270 } else { content };
        let covered = layer.data.chunks_exact(4).filter(|p| p[3] > 0).count();
        prop_assert!(covered as f32 <= 0.06 * content as f32, "{covered} of {content}");
    }
}

#[test]
fn over_the_budget_instruments_stay_and_tissues_go() {
    let mut crowded = scene(1280, 720);
    let few = painted(&crowded, OverlayMode::Outline);
    for i in 0..40 {
        crowded.tissues.push(tissue(2, blob(640.0, 360.0, 20.0 + 8.0 * i as f32, 20.0 + 8.0 * i as f32, 200)));
    }
    let many = painted(&crowded, OverlayMode::Outline);
    assert!(covered_px(&many) * 100 <= 6 * 1280 * 720 && covered_px(&many) >= covered_px(&few));
    let is_cyan = |layer: &Layer| layer.data.chunks_exact(4).filter(|p| p[0] > 230 && p[1] > 200 && p[2] < 90).count();
    assert!(is_cyan(&many) >= is_cyan(&few), "the grasper is still there");
}

/// The shared masks' own order (classes.json).
const LABELS: [&str; 13] = [
    "abdominal wall",
    "black background",
    "blood",
    "connective tissue",
    "cystic duct",
    "fat",
    "gallbladder",
    "gastrointestinal tract",
    "grasper",
    "hepatic vein",
    "l-hook electrocautery",
    "liver",
    "liver ligament",
];

/// A real picture and its labelled masks, made into a scene; None where the shared data is not there.
fn real(stem: &str) -> Option<(Owned, Scene)> {
    let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/data/cholecseg8k"));
    let read = |folder: &str| {
        let file = std::fs::File::open(root.join(folder).join(format!("{stem}.png"))).ok()?;
        let decoder = png::Decoder::new(std::io::BufReader::new(file));

        let mut reader = decoder.read_info().unwrap();
        let mut data = vec![0; reader.output_buffer_size().unwrap()];
        let info = reader.next_frame(&mut data).unwrap();
        data.truncate(info.buffer_size());
        Some((data, info.width as usize, info.height as usize))
    };
    let (rgb, width, height) = read("frames")?;
    let (ids, mask_width, mask_height) = read("masks")?;
    let samples = ids.len() / (mask_width * mask_height);
    // Twice the size, as on a screen.
    let (w, h) = (2 * width, 2 * height);
    let layout = crate::frame::FrameLayout::new(crate::frame::PixelFormat::Rgb, crate::overlay::testing::COLORIMETRIES[3], w, h).unwrap();
    let plane = layout.planes()[0];
    let mut data = vec![0; layout.size];
    for y in 0..h {
        for x in 0..w {
            data[plane.offset + y * plane.stride + 3 * x..][..3].copy_from_slice(&rgb[3 * (y / 2 * width + x / 2)..][..3]);
        }
    }
    let class_at = |x: usize, y: usize| ids[(y.min(mask_height - 1) * mask_width + x.min(mask_width - 1)) * samples];
    let mut scene = scene(w as u32, h as u32);
    (scene.tissues, scene.tracks) = (Vec::new(), Vec::new());
    for class in classes::table().iter().filter(|class| class.kind.is_region()) {
        let Some(outline) = LABELS
            .iter()
            .position(|name| *name == class.name)
            .and_then(|label| rough_outline(mask_width, mask_height, |x, y| usize::from(class_at(x, y)) == label))
        else {
            continue;
        };
        let outline: Outline =
            outline.iter().map(|p| [p[0] * w as f32 / mask_width as f32, p[1] * h as f32 / mask_height as f32]).collect();
        if class.kind == ClassKind::Instrument {
            let tip = outline.iter().copied().min_by(|a, b| {
                (a[0] - w as f32 / 2.0).hypot(a[1] - h as f32 / 2.0).total_cmp(&(b[0] - w as f32 / 2.0).hypot(b[1] - h as f32 / 2.0))
            });
            let mut track = track(class.id.0.into(), class.id.0, [0.0; 2], [9.0, 9.0], 2.0);
            (track.outlines, track.tip) = (vec![outline], tip);
            scene.tracks.push(track);
        } else {
            scene.tissues.push(tissue(class.id.0, outline));
        }
    }
    Some((Owned { layout, data }, scene))
}

/// The longest run of every fourth row that hangs together with the last, as one contour: good enough to look at.
fn rough_outline(width: usize, height: usize, is_in: impl Fn(usize, usize) -> bool) -> Option<Outline> {
    let mut best: Vec<(usize, usize, usize)> = Vec::new();
    let mut rows: Vec<(usize, usize, usize)> = Vec::new();
    for y in (0..height).step_by(4) {
        let mut longest = (0, 0);
        let mut start = None;
        for x in 0..=width {
            match (x < width && is_in(x, y), start) {
                (true, None) => start = Some(x),
                (false, Some(from)) => {
                    start = None;
                    let hangs = rows.last().is_none_or(|&(_, left, right)| from < right && x > left);
                    if hangs && x - from > longest.1 - longest.0 {
                        longest = (from, x);
                    }
                }
                _ => {}
            }
        }
        if longest.1 - longest.0 > 2 {
            rows.push((y, longest.0, longest.1));
        } else if rows.len() > best.len() {
            best = std::mem::take(&mut rows);
        } else {
            rows.clear();
        }
    }
    let rows = if rows.len() > best.len() { rows } else { best };
    let left = rows.iter().map(|&(y, x, _)| [x as f32, y as f32]);
    let right = rows.iter().rev().map(|&(y, _, x)| [x as f32, y as f32]);
    (rows.len() > 4).then(|| left.chain(right).collect())
}

/// A made-up picture in the colours of tissue.
fn made_up(width: usize, height: usize) -> Owned {
    Owned::from_luma(width, height, |x, y| (70 + (x * 7 / 31 + y * 5 / 23) % 90) as u8)
}

/// Leaves pictures of all looks in target/screens/, to be looked at.
#[test]
fn pictures_of_all_looks_can_be_looked_at() {
    let mut made = scene(1280, 720);
    made.tracks.push(track(3, 13, [0.7 * 1280.0, 0.02 * 720.0], [0.62 * 1280.0, 0.3 * 720.0], 12.0));
    made.tissues[1].outlines.push(blob(380.0, 290.0, 60.0, 40.0, 80));
    made.tissues[1].outlines.push(shaft([100.0, 300.0], [200.0, 300.0], 10.0, 3));
    let mut grounds = vec![("made", made_up(1280, 720), made)];
    for stem in ["01", "04"] {
        match real(stem) {
            Some((picture, scene)) => grounds.push((stem, picture, scene)),
            None => println!("SKIPPED pictures_of_all_looks_can_be_looked_at: no shared data for {stem}"),
        }
    }
    for (ground, picture, scene) in &grounds {
        let [w, h] = scene.picture.map(|side| side as f32);
        let mut unsure = scene.clone();
        unsure.frame_state = Trust::Unsure;
        if let Some(track) = unsure.tracks.last_mut() {
            track.state = Trust::Unknown;
        }
        let mut unknown = scene.clone();
        unknown.frame_state = Trust::Unknown;
        let mut marked = scene.clone();
        marked.tissues.clear();
        marked.findings = vec![finding(32, [0.2 * w, 0.25 * h, 0.36 * w, 0.5 * h]), finding(33, [0.6 * w, 0.62 * h, 0.68 * w, 0.74 * h])];
        marked.findings[1].state = Trust::Unsure;
        marked.departed = vec![departed([0.0, 0.4 * h], 0), departed([0.72 * w, h], 0), departed([w, 0.3 * h], 0)];
        marked.tracks.truncate(1);
        let mut boxes = track(8, 14, [0.0; 2], [9.0, 9.0], 1.0);
        (boxes.outlines, boxes.tip, boxes.bbox) = (Vec::new(), None, [0.4 * w, 0.1 * h, 0.62 * w, 0.3 * h]);
        marked.tracks.push(boxes);
        let outline = style(OverlayMode::Outline);
        let looks = [
            ("outline", scene, outline),
            ("fill", scene, style(OverlayMode::Fill)),
            ("unsure", &unsure, outline),
            ("unknown", &unknown, outline),
            ("marks", &marked, outline),
            ("names", &marked, Style { labels: true, ..outline }),
            ("namen", scene, Style { labels: true, language: Language::De, ..outline }),
        ];
        for (name, scene, style) in looks {
            let mut list = DrawList::from_scene(scene, &style, STILL);
            list.set_departed(scene, 3_400_000_000);
            let (width, height) = (scene.picture[0] as usize, scene.picture[1] as usize);
            let mut overlay = Layer::new(width, height);
            paint(&list, &mut overlay);
            check(&overlay);
            assert!(!overlay.is_empty(), "{ground} {name}");
            let mut data = vec![0; width * height * 4];
            compose_full(&picture.view(), &[&overlay], &mut Target { data: &mut data, stride: width * 4, width, height }).unwrap();
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("target/screens/overlay-{ground}-{name}.png"));
            write_png(&path, &data, width, height);
        }
    }
}
