use super::*;
use crate::base::ids::FrameId;
use crate::infer::{Activation, Calibration, ColourOrder, HeadKind, OutputSpec, Resize, TensorLayout};
use crate::scene::{AnalysisTimes, Scene};
use crate::track::Tracker;
use proptest::prelude::*;

fn input(width: u32, height: u32, resize: Resize) -> InputSpec {
    let (layout, colour) = (TensorLayout::Nchw, ColourOrder::Rgb);
    InputSpec { name: "image".to_owned(), layout, width, height, colour, resize, mean: [0.0; 3], std: [1.0; 3] }
}

fn specs(width: usize, height: usize) -> [OutputSpec; 2] {
    let layout = TensorLayout::Nchw;
    let spec = |name: &str, kind, activation, classes: &[u8]| {
        let classes = classes.iter().map(|&id| ClassId(id)).collect();
        OutputSpec {
            name: name.to_owned(),
            kind,
            activation,
            threshold: 0.5,
            calibration: Calibration::default(),
            classes,
            layout,
            width,
            height,
        }
    };
    [
        spec("instrument", HeadKind::Instrument, Activation::Sigmoid, &[13]),
        spec("tissue", HeadKind::Tissue, Activation::Softmax, &[0, 2, 10]),
    ]
}

/// Logits of a liver (right of x = 0.3), a gallbladder disc in it and a bar from the right edge, in picture units 0..1.
fn scene_logits(width: usize, height: usize, inside: impl Fn(f32, f32) -> Option<[f32; 2]>) -> [Vec<f32>; 2] {
    let mut instrument = vec![-8.0; width * height];
    let mut tissue = vec![0.0; 3 * width * height];
    for i in 0..width * height {
        let Some([x, y]) = inside((i % width) as f32 + 0.5, (i / width) as f32 + 0.5) else { continue };
        let bar = (0.04 - (y - 0.5).abs()).min(x - 0.55);
        instrument[i] = (bar * 100.0).clamp(-8.0, 8.0);
        let disc = 0.18 - ((x - 0.5).powi(2) + ((y - 0.5) * 0.6).powi(2)).sqrt();
        tissue[width * height + i] = ((x - 0.3) * 60.0).clamp(-8.0, 8.0);
        tissue[2 * width * height + i] = (disc * 100.0).clamp(-8.0, 8.0) + tissue[width * height + i].max(0.0);
    }
    [instrument, tissue]
}

fn decode(decoder: &mut Decoder, specs: &[OutputSpec; 2], logits: &[Vec<f32>; 2], fit: Fit, picture: [usize; 2]) -> Decoded {
    let heads = [TensorView { spec: &specs[0], data: &logits[0] }, TensorView { spec: &specs[1], data: &logits[1] }];
    decoder.decode(&heads, fit, picture)
}

fn as_scene(decoded: Decoded, tracker: &mut Tracker, capture_ns: u64, picture: [usize; 2]) -> Scene {
    let picture = picture.map(|side| side as u32);
    Scene {
        frame: FrameId(0),
        pts_ns: 0,
        capture_ns,
        picture,
        frame_state: decoded.frame_state,
        tracks: tracker.step(decoded.instruments, capture_ns, picture),
        tissues: decoded.tissues,
        findings: Vec::new(),
        frame_classes: Vec::new(),
        departed: Vec::new(),
        reset: None,
        gate: None,
        unknown_px: decoded.unknown_px,
        mask: decoded.mask,
        times: AnalysisTimes::default(),
    }
}

#[test]
fn what_is_in_the_picture_is_found_where_it_is() {
    // At half the input's resolution, as many nets answer.
    let (width, height) = (160, 96);
    let specs = specs(width, height);
    let spec = input(320, 192, Resize::Stretch);
    let picture = [1920, 1080];
    let logits = scene_logits(width, height, |x, y| Some([x / 160.0, y / 96.0]));
    let fit = Fit::new(&spec, picture);
    let decoded = decode(&mut Decoder::new(spec), &specs, &logits, fit, picture);

    let [grasper] = &decoded.instruments[..] else { panic!("{} instruments", decoded.instruments.len()) };
    assert_eq!(grasper.class, ClassId(13));
    let tip = grasper.tip.unwrap();
    assert!((tip[0] - 0.55 * 1920.0).abs() < 15.0 && (tip[1] - 540.0).abs() < 15.0, "{tip:?}");
    assert!(grasper.axis.unwrap()[0] < -0.99);
    assert_eq!(grasper.bbox[2], 1920.0);
    assert!((grasper.bbox[0] - 0.55 * 1920.0).abs() < 15.0);
    let liver = decoded.tissues.iter().find(|t| t.class == ClassId(2)).unwrap();
    let left = liver.outlines.iter().flatten().map(|p| p[0]).fold(f32::MAX, f32::min);
    assert!((left - 0.3 * 1920.0).abs() < 3.0, "{left}");
    assert!(decoded.tissues.iter().any(|t| t.class == ClassId(10) && t.confidence > 0.7));
    assert_eq!(decoded.frame_state, Trust::Sure);

    // No corner of a tissue's outline lies inside the instrument.
    for p in decoded.tissues.iter().flat_map(|t| &t.outlines).flatten() {
        let inside = p[0] > 0.565 * 1920.0 && (p[1] - 540.0).abs() < 0.025 * 1080.0;
        assert!(!inside, "{p:?} lies in the instrument");
    }
    // The mask is the contract's: instrument over tissue, else tissue, else 0.
    assert_eq!([decoded.mask.ids[48 * 160 + 150], decoded.mask.ids[10 * 160 + 150], decoded.mask.ids[10]], [13, 2, 0]);
}

#[test]
fn a_letterboxed_picture_gives_the_same_places() {
    let picture = [600, 600];
    let spec = input(320, 192, Resize::Letterbox);
    let specs = specs(320, 192);
    let logits = scene_logits(320, 192, |x, y| (64.0..256.0).contains(&x).then(|| [(x - 64.0) / 192.0, y / 192.0]));
    let fit = Fit::new(&spec, picture);
    let decoded = decode(&mut Decoder::new(spec), &specs, &logits, fit, picture);
    assert_eq!((decoded.mask.width, decoded.mask.height), (192, 192));
    let tip = decoded.instruments[0].tip.unwrap();
    assert!((tip[0] - 330.0).abs() < 6.0 && (tip[1] - 300.0).abs() < 6.0, "{tip:?}");
}

#[test]
fn a_number_that_is_none_makes_the_frame_unknown() {
    let specs = specs(80, 48);
    let mut logits = scene_logits(80, 48, |x, y| Some([x / 80.0, y / 48.0]));
    logits[1][5] = f32::NAN;
    let spec = input(80, 48, Resize::Stretch);
    let fit = Fit::new(&spec, [640, 480]);
    let decoded = decode(&mut Decoder::new(spec), &specs, &logits, fit, [640, 480]);
    assert_eq!(decoded.frame_state, Trust::Unknown);
    assert!(decoded.instruments.is_empty() && decoded.tissues.is_empty() && decoded.unknown_px == 640 * 480);
    assert!(as_scene(decoded, &mut Tracker::default(), 0, [640, 480]).check().is_ok());
}

#[test]
fn a_tissue_at_the_limit_does_not_flicker() {
    let specs = specs(100, 100);
    let spec = input(100, 100, Resize::Stretch);
    let fit = Fit::new(&spec, [100, 100]);
    let mut decoder = Decoder::new(spec);
    let mut shown = |pixels: usize| {
        let mut tissue = vec![0.0; 30_000];
        for i in 0..pixels {
            tissue[20_000 + (40 + i / 10) * 100 + 40 + i % 10] = 9.0;
        }
        !decode(&mut decoder, &specs, &[vec![-9.0; 10_000], tissue], fit, [100, 100]).tissues.is_empty()
    };
    assert_eq!([30, 50, 30, 50, 30, 10, 30].map(&mut shown), [false, true, true, true, true, false, false]);
}

/// Times for people, from a plain scene to the worst noise: `cargo test --release --lib -- --ignored --nocapture decode_times`.
#[test]
#[ignore = "a measurement, not a check"]
fn decode_times() {
    let (width, height, picture) = (320, 192, [1920, 1080]);
    let specs = specs(width, height);
    let spec = input(320, 192, Resize::Stretch);
    let fit = Fit::new(&spec, picture);
    let noise = |cell: usize| {
        [0, 1].map(|head: usize| {
            let at = |i: usize| (i / width / cell * 991 + i % width / cell) * 7 + head + i / (width * height) * 3;
            (0..specs[head].len()).map(|i| (at(i).wrapping_mul(2_654_435_761) >> 7 & 255) as f32 / 16.0 - 8.0).collect::<Vec<f32>>()
        })
    };
    let plain = scene_logits(width, height, |x, y| Some([x / 320.0, y / 192.0]));
    for (name, logits) in
        [("plain", plain), ("noise, 1 px", noise(1)), ("noise, 3 px", noise(3)), ("noise, 8 px", noise(8)), ("noise, 20 px", noise(20))]
    {
        let (mut decoder, mut tracker) = (Decoder::new(spec.clone()), Tracker::default());
        let mut ms: Vec<f64> = (0..101u64)
            .map(|frame| {
                let start = std::time::Instant::now();
                let decoded = decode(&mut decoder, &specs, &logits, fit, picture);
                std::hint::black_box(tracker.step(decoded.instruments, frame * 16_000_000, [1920, 1080]));
                start.elapsed().as_secs_f64() * 1e3
            })
            .collect();
        ms.sort_by(f64::total_cmp);
        println!("{name}: min {:.2}, p50 {:.2}, p95 {:.2} ms", ms[0], ms[50], ms[95]);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]
    /// Whatever the model says, the scene is one that every other room accepts.
    #[test]
    fn any_logits_give_a_scene_that_passes_its_check(
        seed in any::<u64>(), scale in prop_oneof![Just(0.1f32), Just(3.0), Just(50.0), Just(1e38)], cell in 1usize..24,
        odd in proptest::option::of((0usize..10_000, prop_oneof![Just(f32::NAN), Just(f32::INFINITY), Just(f32::NEG_INFINITY)])),
        picture in prop_oneof![Just([1920usize, 1080]), Just([101, 33]), Just([33, 401])], letterbox in any::<bool>()) {
        let (width, height) = (120, 72);
        let specs = specs(width, height);
        let spec = input(240, 144, if letterbox { Resize::Letterbox } else { Resize::Stretch });
        // Noise in cells of a random size: from salt and pepper to large patches.
        let value = |plane: usize, i: usize| {
            let at = ((i / width / cell * 997 + i % width / cell) * 4 + plane) as u64;
            let mut hash = (at ^ seed).wrapping_mul(0x9E37_79B9_7F4A_7C15);
            hash = (hash ^ hash >> 29).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            (((hash >> 40) as f32 / 8_388_608.0) - 1.0) * scale
        };
        let mut logits = [0usize, 1].map(|head| (0..specs[head].len()).map(|i| value(head + i / (width * height), i % (width * height))).collect::<Vec<f32>>());
        let fit = Fit::new(&spec, picture);
        if let Some((at, number)) = odd { logits[at % 2][at % 8000] = number; }
        let (mut decoder, mut tracker) = (Decoder::new(spec), Tracker::default());
        for frame in 0..3u64 {
            let decoded = decode(&mut decoder, &specs, &logits, fit, picture);
            let scene = as_scene(decoded, &mut tracker, frame * 33_000_000, picture);
            prop_assert_eq!(scene.check(), Ok(()));
            prop_assert!(odd.is_none() || letterbox || frame > 0 || scene.frame_state == Trust::Unknown);
            // Another picture next time: the memory of the last must not matter.
            logits.iter_mut().for_each(|head| head.rotate_left(977));
        }
    }
}

/// What a calibrated head says of a tissue is sure from its own probability on, counts where it abstains, and does not flicker.
#[test]
fn a_tissue_is_sure_from_its_class_s_probability_on_and_open_pixels_are_counted() {
    let spec = input(100, 100, Resize::Stretch);
    let (fit, picture) = (Fit::new(&spec, [200, 200]), [200, 200]);
    let mut specs = specs(100, 100);
    specs[1].calibration.sure = Some(vec![1.0, 0.9, 1.0]);
    let mut decoder = Decoder::new(spec);
    decoder.believe(SureFrom::of(&[crate::infer::HeadSpec::Map { tensor: 0, spec: specs[1].clone() }]));
    // Background, liver in the upper half, gallbladder in a quarter, and ten rows of which nobody knows.
    let mut at = |liver: f32, now_ns: u64| {
        let mut tissue = vec![0.0; 30_000];
        for i in 0..10_000 {
            let plane = [1, 2, 0, 0][i / 2_500];
            tissue[plane * 10_000 + i] = if plane == 1 { liver } else { 9.0 };
            if i >= 9_000 {
                tissue[plane * 10_000 + i] = 0.0;
            }
        }
        decoder.watch(&vec![now_ns as f32; 30_000], now_ns);
        let decoded = decode(&mut decoder, &specs, &[vec![-9.0; 10_000], tissue], fit, picture);
        let state = |id: u8| decoded.tissues.iter().find(|tissue| tissue.class == ClassId(id)).unwrap().state;
        assert_eq!(decoded.unknown_px, 4_000, "1,000 of the map's pixels");
        assert_eq!(decoded.mask.ids[9_999], ClassId::ABSTAINED.0);
        assert_eq!(state(10), Trust::Unsure, "nobody could show that any probability is enough");
        state(2)
    };
    assert_eq!(at(9.0, 0), Trust::Sure);
    assert_eq!(at(1.5, 20_000_000), Trust::Unsure, "0.69 is less than 0.9");
    assert_eq!(at(9.0, 40_000_000), Trust::Unsure);
    assert_eq!(at(9.0, 240_000_000), Trust::Sure);
}
