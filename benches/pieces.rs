//! The pieces of the frame path, each on its own, on a picture of the simulator and on what the built-in engine says of it.
//!
//! ```text
//!   cargo bench --bench pieces [-- FILTER]
//! ```
//! Under `cargo test` each piece runs once, to see that it still does. Whole frames are `frame_path`'s.

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, criterion_group, criterion_main};
use keyhole::base::ids::{ClassId, FrameId};
use keyhole::capture::sim::{Simulator, Spec};
use keyhole::capture::{ContentWatch, Picture, PlaneRef, Planes};
use keyhole::frame::{FrameLayout, FrameRing, FrameView, PixelFormat, Stamps};
use keyhole::infer::{
    Activation, BoxFormat, BoxUnits, DetectionSpec, Engine, Field, Fit, HeadSpec, InputSpec, LockedEngine, Preprocess, TensorView,
};
use keyhole::overlay::convert::convert;
use keyhole::overlay::draw::DrawList;
use keyhole::overlay::host::{Target, compose_again, compose_full};
use keyhole::overlay::paint::Painter;
use keyhole::overlay::style::Style;
use keyhole::overlay::{Layer, OverlayMode, Rect};
use keyhole::scene::{Scene, Spare, Track};
use keyhole::store::Engines;
use keyhole::track::{Analyser, Decoder, Detector, Tracker};
use std::hint::black_box;
use std::path::Path;
use std::time::Duration;

/// Frames before the one that is measured, so that there is something to follow.
const FRAMES_BEFORE: usize = 12;
const FRAME_NS: u64 = 16_666_667;

fn engine() -> LockedEngine {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("engines");
    Engines::find(Some(&folder)).and_then(|engines| engines.load_for("cpu")).expect("the built-in engine is in the tree")
}

fn simulator(height: u32) -> Simulator {
    let spec = Spec::parse(&format!("sim:?seed=3&width={}&height={height}&fps=60&seconds=6", height * 16 / 9));
    Simulator::new(&spec.expect("a simulator's URI")).expect("a size that frames can have")
}

fn picture(simulator: &Simulator, index: usize) -> Vec<u8> {
    let mut bytes = vec![0; simulator.layout().size];
    simulator.render(index, &mut bytes);
    bytes
}

fn stamps(index: usize) -> Stamps {
    let capture_ns = 1_000_000_000 + index as u64 * FRAME_NS;
    Stamps { id: FrameId(index as u64), pts_ns: capture_ns, capture_ns }
}

fn group<'c>(criterion: &'c mut Criterion, name: &str) -> BenchmarkGroup<'c, WallTime> {
    let mut group = criterion.benchmark_group(name);
    group.sample_size(20).warm_up_time(Duration::from_millis(200)).measurement_time(Duration::from_millis(1200));
    group
}

/// Pictures: into the ring, out of it, into the network, into the record.
fn frames(criterion: &mut Criterion) {
    let input = engine_input();
    for height in [720, 1080] {
        let simulator = simulator(height);
        let bytes = picture(&simulator, 0);
        let layout = *simulator.layout();
        assert_eq!(layout.format, PixelFormat::Nv12);
        let view = FrameView::new(&layout, &bytes).expect("rendered to this layout");
        let mut group = group(criterion, &format!("frame {height}p"));

        let ring = FrameRing::new(layout).expect("memory for a ring");
        group.bench_function("copy into the ring", |bencher| {
            bencher.iter(|| {
                let mut writer = ring.acquire().expect("its frame is dropped at once");
                writer.data_mut().copy_from_slice(&bytes);
                black_box(writer.publish(stamps(0)));
            });
        });
        // Two pictures in turn: one that never changes is judged frozen.
        let other = self::picture(&simulator, 1);
        let (mut watch, mut shown) = (ContentWatch::new(150_000_000, 150_000_000, None), 0u64);
        group.bench_function("watch over contents", |bencher| {
            bencher.iter(|| {
                shown += 1;
                let bytes = if shown % 2 == 0 { &bytes } else { &other };
                watch.look(black_box(&decoded(&layout, bytes, shown * FRAME_NS)), None, shown * FRAME_NS)
            });
        });
        let mut target = vec![0u8; layout.width * layout.height * 4];
        group.bench_function("convert NV12 to BGRX", |bencher| {
            bencher.iter(|| convert(black_box(&view), Rect::whole(layout.width, layout.height), &mut target, layout.width * 4));
        });
        let (mut preprocess, mut numbers) = (Preprocess::new(input.clone()), vec![0f32; (3 * input.width * input.height) as usize]);
        group.bench_function("preprocess", |bencher| bencher.iter(|| preprocess.run(black_box(view), &mut numbers)));
        let mut normaliser = keyhole::infer::Normaliser::new(cohort(), input.clone());
        let as_it_is = numbers.clone();
        group.bench_function("normalise", |bencher| {
            bencher.iter(|| {
                numbers.copy_from_slice(&as_it_is);
                normaliser.run(black_box(&mut numbers), 0);
            });
        });
        group.bench_function("input hash", |bencher| bencher.iter(|| keyhole::infer::input_hash(black_box(view))));
        group.finish();
    }
}

/// A picture as a source hands it on.
fn decoded<'a>(layout: &FrameLayout, bytes: &'a [u8], at_ns: u64) -> Picture<'a> {
    let mut planes = [PlaneRef { data: &[], stride: 0 }; 3];
    for (plane, lies) in planes.iter_mut().zip(layout.planes()) {
        *plane = PlaneRef { data: &bytes[lies.offset..], stride: lies.stride };
    }
    Picture {
        layout: *layout,
        planes: Planes::Here(planes),
        pts_ns: at_ns,
        due_ns: None,
        arrival_ns: at_ns,
        decode_ns: None,
        skipped: 0,
        is_damaged: false,
    }
}

/// A cohort that the simulator's frames are far from: all is done that normalisation can do.
fn cohort() -> keyhole::store::Normalisation {
    let spread = |mean| keyhole::store::Spread { mean, std: 0.5 };
    keyhole::store::Normalisation {
        dead_band: 0.0,
        strength: 1.0,
        max_exposure: 1.5,
        max_balance: 0.4,
        max_stretch: 0.6,
        brightness: spread(-1.0),
        contrast: spread(0.5),
        red_green: spread(0.5),
        yellow_blue: spread(0.2),
        saturation: spread(1.0),
        grey_brightness: None,
    }
}

fn engine_input() -> InputSpec {
    keyhole::infer::open(engine()).expect("the built-in engine runs").input().clone()
}

/// What the engine said of a few frames of 1080p: the maps of the last, and its scene.
struct Said {
    input: InputSpec,
    maps: Vec<(keyhole::infer::OutputSpec, Vec<f32>)>,
    fit: Fit,
    layout: FrameLayout,
    bytes: Vec<u8>,
    scene: Scene,
}

fn said() -> Said {
    let simulator = simulator(1080);
    let layout = *simulator.layout();
    let mut analyser = Analyser::load(engine()).expect("the built-in engine runs");
    let mut last = None;
    for index in 0..=FRAMES_BEFORE {
        let bytes = picture(&simulator, index);
        let view = FrameView::new(&layout, &bytes).expect("rendered to this layout");
        let scene = analyser.analyse(view, stamps(index), &|| true).expect("the engine runs").expect("nothing is overwritten");
        last = Some((bytes, scene));
    }
    let (bytes, scene) = last.expect("there are frames");
    let mut engine = keyhole::infer::open(engine()).expect("the built-in engine runs");
    let input = engine.input().clone();
    let view = FrameView::new(&layout, &bytes).expect("rendered to this layout");
    let fit = Preprocess::new(input.clone()).run(view, engine.input_mut());
    engine.run().expect("the engine runs");
    let maps = maps(&*engine);
    Said { input, maps, fit, layout, bytes, scene }
}

fn maps(engine: &dyn Engine) -> Vec<(keyhole::infer::OutputSpec, Vec<f32>)> {
    let map = |head: &HeadSpec| match head {
        HeadSpec::Map { tensor, spec } => Some((spec.clone(), engine.tensor(*tensor).to_vec())),
        _ => None,
    };
    engine.heads().iter().filter_map(map).collect()
}

/// From the engine's numbers to a scene, to the other process, to the screen.
fn scenes(criterion: &mut Criterion) {
    let said = said();
    let picture = [said.layout.width, said.layout.height];
    let views: Vec<TensorView<'_>> = said.maps.iter().map(|(spec, data)| TensorView { spec, data }).collect();
    let mut group = group(criterion, "scene 1080p");

    let mut decoder = Decoder::new(said.input.clone());
    group.bench_function("decode maps to outlines", |bencher| bencher.iter(|| decoder.decode(black_box(&views), said.fit, picture)));
    let found = decoder.decode(&views, said.fit, picture).instruments;
    let (mut tracker, mut capture_ns) = (Tracker::default(), 0);
    group.bench_function(format!("track {} instruments", found.len()), |bencher| {
        bencher.iter_batched(
            || found.clone(),
            |found| {
                capture_ns += FRAME_NS;
                tracker.step(found, capture_ns, picture.map(|side| side as u32))
            },
            criterion::BatchSize::SmallInput,
        );
    });
    let mut bytes = Vec::new();
    group.bench_function("encode", |bencher| {
        bencher.iter(|| {
            bytes.clear();
            keyhole::link::encode_scene(black_box(&said.scene), &mut bytes)
        })
    });
    bytes.clear();
    let mut spare = Spare::default();
    keyhole::link::encode_scene(&said.scene, &mut bytes).expect("a scene of the analyser");
    group.bench_function(format!("decode {} bytes", bytes.len()), |bencher| {
        bencher.iter(|| {
            let read = keyhole::link::decode_scene(black_box(&bytes), &mut spare);
            spare.keep(read.expect("what was encoded"));
        });
    });
    group.finish();
    overlay(criterion, &said);
}

fn overlay(criterion: &mut Criterion, said: &Said) {
    let (width, height) = (said.layout.width, said.layout.height);
    let still: &dyn Fn(&Track) -> [f32; 2] = &|_| [0.0; 2];
    let view = FrameView::new(&said.layout, &said.bytes).expect("rendered to this layout");
    let mut group = group(criterion, "overlay 1080p");
    let mut target = vec![0u8; width * height * 4];
    for mode in [OverlayMode::Outline, OverlayMode::Fill] {
        let style = Style::of(&keyhole::overlay::Settings { mode, ..Default::default() });
        let mut list = DrawList::from_scene(&said.scene, &style, still);
        let (mut painter, mut layer) = (Painter::new(width, height), Layer::new(width, height));
        group.bench_function(format!("paint, {mode:?}"), |bencher| {
            bencher.iter(|| {
                list.set_scene(black_box(&said.scene), still);
                painter.paint(&list, &mut layer);
            });
        });
        let mut target = Target { data: &mut target, stride: 4 * width, width, height };
        group.bench_function(format!("compose, {mode:?}"), |bencher| bencher.iter(|| compose_full(&view, &[&layer], &mut target)));
        let old = layer.rects.clone();
        group.bench_function(format!("compose again, {mode:?}"), |bencher| {
            bencher.iter(|| compose_again(&view, &[&layer], &old, &mut target));
        });
    }
    group.finish();
}

/// A head as YOLO has it (84 rows of 8400 proposals, or columns) or DETR (300 proposals, each thing once).
fn head(proposals: usize, classes: usize, is_by_class: bool, is_yolo: bool) -> DetectionSpec {
    let (attribute_step, proposal_step) = if is_by_class { (proposals, 1) } else { (1, 4 + classes) };
    let field = |attribute: usize| Field { tensor: 0, start: attribute * attribute_step, attribute_step, proposal_step };
    DetectionSpec {
        name: "output0".to_owned(),
        proposals,
        boxes: field(0),
        format: BoxFormat::Cxcywh,
        units: if is_yolo { BoxUnits::Pixels } else { BoxUnits::Fractions },
        scores: field(4),
        classes: (0..classes).map(|i| ClassId(if i % 2 == 0 { 5 } else { 13 })).collect(),
        activation: if is_yolo { Activation::None } else { Activation::Sigmoid },
        objectness: None,
        threshold: 0.25,
        nms_iou: is_yolo.then_some(0.45),
        masks: None,
    }
}

/// Noise below the threshold, and `sure` proposals above it, in places that overlap.
fn numbers(spec: &DetectionSpec, sure: usize) -> Vec<f32> {
    let is_logits = spec.activation == Activation::Sigmoid;
    let mut numbers = vec![0f32; spec.proposals * (4 + spec.classes.len())];
    for proposal in 0..spec.proposals {
        let unit = |n: usize| ((proposal * 131 + n).wrapping_mul(2_654_435_761) >> 9 & 1023) as f32 / 1024.0;
        let side = if is_logits { 1.0 } else { 640.0 };
        for (i, part) in [unit(1), unit(2), 0.05 + 0.1 * unit(3), 0.05 + 0.1 * unit(4)].into_iter().enumerate() {
            numbers[spec.boxes.at(i, proposal)] = part * side;
        }
        for class in 0..spec.classes.len() {
            let is_sure = proposal % (spec.proposals / sure.max(1)).max(1) == 0 && sure > 0 && class == 3;
            let p = if is_sure { 0.9 } else { 0.2 * unit(5 + class) + 1e-3 };
            numbers[spec.scores.at(class, proposal)] = if is_logits { (p / (1.0 - p)).ln() } else { p };
        }
    }
    numbers
}

fn heads(criterion: &mut Criterion) {
    let input = InputSpec { width: 640, height: 640, ..engine_input() };
    let mut group = group(criterion, "head");
    let yolo = |is_by_class| head(8400, 80, is_by_class, true);
    for (name, spec, sure) in [
        ("YOLO 84×8400, nothing found", yolo(true), 0),
        ("YOLO 84×8400, 100 found", yolo(true), 100),
        ("YOLO 84×8400, all 8400 found", yolo(true), 8400),
        ("YOLO 8400×84, 100 found", yolo(false), 100),
        ("DETR 300 queries × 80, 20 found", head(300, 80, false, false), 20),
    ] {
        let numbers = numbers(&spec, sure);
        let mut detector = Detector::new(spec, &input);
        group.bench_function(name, |bencher| bencher.iter(|| black_box(detector.detect(&|_| black_box(&numbers[..]))).is_ok()));
    }
    group.finish();
}

criterion_group!(pieces, frames, scenes, heads);
criterion_main!(pieces);
