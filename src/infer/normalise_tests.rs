use super::*;
use crate::infer::testing::cohort;
use crate::store::{ColourOrder, Resize, TensorLayout};
use proptest::prelude::*;
use serde_json::Value;

const W: usize = 160;
const H: usize = 96;
/// 60 frames a second.
const FRAME_NS: u64 = 16_666_667;

fn spec(layout: TensorLayout, colour: ColourOrder, width: usize, height: usize) -> InputSpec {
    let (mean, std) = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]);
    let (width, height) = (width as u32, height as u32);
    InputSpec { name: "image".to_owned(), layout, width, height, colour, resize: Resize::Stretch, mean, std }
}

fn plain_spec() -> InputSpec {
    spec(TensorLayout::Nchw, ColourOrder::Rgb, W, H)
}

/// Where R, G or B of a pixel stands, its mean and standard deviation.
fn place(spec: &InputSpec, x: usize, y: usize, colour: usize) -> (usize, f32, f32) {
    let channel = if spec.colour == ColourOrder::Rgb { colour } else { 2 - colour };
    let (w, h) = (spec.width as usize, spec.height as usize);
    let at = if spec.layout == TensorLayout::Nchw { (channel * h + y) * w + x } else { (y * w + x) * 3 + channel };
    (at, spec.mean[channel], spec.std[channel])
}

fn input_of(spec: &InputSpec, pixel: impl Fn(usize, usize) -> [f32; 3]) -> Vec<f32> {
    let (w, h) = (spec.width as usize, spec.height as usize);
    let mut input = vec![0.0; 3 * w * h];
    for (x, y) in (0..h).flat_map(|y| (0..w).map(move |x| (x, y))) {
        for (colour, value) in pixel(x, y).into_iter().enumerate() {
            let (at, mean, std) = place(spec, x, y, colour);
            input[at] = (value - mean) / std;
        }
    }
    input
}

fn pixel_of(spec: &InputSpec, input: &[f32], x: usize, y: usize) -> [f32; 3] {
    std::array::from_fn(|colour| {
        let (at, mean, std) = place(spec, x, y, colour);
        input[at] * std + mean
    })
}

/// Something like tissue, within the cohort; `gain` on R, G, B.
fn tissue(x: usize, y: usize, gain: [f32; 3]) -> [f32; 3] {
    let light = (x * 5 + y * 3) as f32 % 97.0 / 97.0 * 0.7 + 0.12;
    let tint = (x * 7 + y * 11) as f32 % 53.0 / 53.0;
    let colour = [0.75, 0.3 + 0.24 * tint, 0.26 + 0.32 * tint];
    std::array::from_fn(|c| (light * colour[c] * gain[c]).min(1.0))
}

fn mean_level(spec: &InputSpec, input: &[f32]) -> f32 {
    let pixels = (0..H).flat_map(|y| (0..W).map(move |x| (x, y)));
    pixels.map(|(x, y)| pixel_of(spec, input, x, y).iter().sum::<f32>() / 3.0).sum::<f32>() / (W * H) as f32
}

/// The picture that `normalise.py` calls by the same numbers.
fn example(picture: &Value, x: usize, y: usize) -> [f32; 3] {
    let number = |value: &Value| value.as_f64().unwrap();
    let wave = ((x * 5 + y * 3) % 97) as f64 / 97.0;
    let bent = wave * (1.0 - number(&picture["bend"]) * (1.0 - wave));
    let light = bent * number(&picture["light"]) + number(&picture["dark"]);
    let tint = ((x * 7 + y * 11) % 53) as f64 / 53.0;
    let colour = |c: usize| light * (number(&picture["from"][c]) + tint * number(&picture["by"][c]));
    std::array::from_fn(|c| ((colour(c) * 255.0 + 0.5).floor().clamp(0.0, 255.0) / 255.0) as f32)
}

#[test]
fn figures_and_corrections_are_those_of_the_script_that_fits_the_cohort() {
    let text = include_str!("../../engines/train/normalise-cases.json");
    let mut said: Value = serde_json::from_str(text).unwrap();
    let cohort: Normalisation = serde_json::from_value(said["cohort"].take()).unwrap();
    let cases = said["cases"].as_array().unwrap();
    assert!(cases.len() >= 12);
    for case in cases {
        let what = &case["what"];
        let spec = spec(TensorLayout::Nchw, ColourOrder::Rgb, 64, 48);
        let mut input = input_of(&spec, |x, y| example(&case["picture"], x, y));
        let mut normaliser = Normaliser::new(cohort, spec.clone());
        normaliser.run(&mut input, 0);
        match normaliser.histograms.figures(64 * 24) {
            None => assert!(case["figures"].is_null(), "{what}"),
            Some(figures) => {
                let colours = figures.colours.unwrap();
                let found = [figures.brightness, figures.contrast, colours.red_green, colours.yellow_blue, colours.saturation];
                for (name, found) in ["brightness", "contrast", "red_green", "yellow_blue", "saturation"].into_iter().zip(found) {
                    let wanted = case["figures"][name].as_f64().unwrap_or_else(|| panic!("{what}: {name}"));
                    assert!((f64::from(found) - wanted).abs() < 0.02, "{what}: {name} is {found}, not {wanted}");
                }
                assert_eq!(case["figures"]["grey"], colours.is_grey, "{what}");
            }
        }
        let Correction { gamma, saturation, shift } = normaliser.correction;
        for (i, found) in [gamma, saturation].into_iter().chain(shift).enumerate() {
            let wanted = case["correction"][i].as_f64().unwrap();
            assert!((f64::from(found) - wanted).abs() < 0.02, "{what}: correction {i} is {found}, not {wanted}");
        }
        for (i, (y, x)) in [(6, 10), (10, 20), (47, 63), (23, 5)].into_iter().enumerate() {
            for (c, found) in pixel_of(&spec, &input, x, y).into_iter().enumerate() {
                let wanted = case["pixels"][i][c].as_f64().unwrap();
                assert!((f64::from(found) - wanted).abs() < 0.01, "{what}: pixel {i} is {found}, not {wanted}");
            }
        }
    }
}

#[test]
fn a_frame_of_the_cohort_is_not_touched() {
    let mut input = input_of(&plain_spec(), |x, y| tissue(x, y, [1.0; 3]));
    let before = input.clone();
    Normaliser::new(cohort(), plain_spec()).run(&mut input, 0);
    assert!(input == before);
}

#[test]
fn however_the_input_lies_the_result_is_the_same() {
    let run = |spec: InputSpec| {
        // A round picture, dark and cold.
        let round = |x: usize, y: usize| (x as f32 - 80.0).hypot(y as f32 - 48.0) < 45.0;
        let mut input = input_of(&spec, |x, y| if round(x, y) { tissue(x, y, [0.35, 0.45, 0.7]) } else { [0.02; 3] });
        let before = input.clone();
        Normaliser::new(cohort(), spec.clone()).run(&mut input, 0);
        assert!(input != before);
        (0..W * H).map(|i| pixel_of(&spec, &input, i % W, i / W)).collect::<Vec<_>>()
    };
    let plain = run(plain_spec());
    for (layout, colour) in
        [(TensorLayout::Nhwc, ColourOrder::Rgb), (TensorLayout::Nchw, ColourOrder::Bgr), (TensorLayout::Nhwc, ColourOrder::Bgr)]
    {
        let other = run(spec(layout, colour, W, H));
        assert!(plain.iter().zip(&other).all(|(a, b)| (0..3).all(|c| (a[c] - b[c]).abs() < 1e-4)), "{layout:?} {colour:?}");
    }
}

#[test]
fn grey_stays_grey_and_is_brightened() {
    let mut input = input_of(&plain_spec(), |x, y| [tissue(x, y, [0.6; 3])[0]; 3]);
    let before = mean_level(&plain_spec(), &input);
    Normaliser::new(cohort(), plain_spec()).run(&mut input, 0);
    assert!(mean_level(&plain_spec(), &input) > 1.3 * before);
    for i in 0..W * H {
        let [r, g, b] = pixel_of(&plain_spec(), &input, i % W, i / W);
        assert!((r - g).abs() < 1e-5 && (g - b).abs() < 1e-5, "{r} {g} {b}");
    }
    // An engine that knows nothing of grey frames is shown them as they are.
    let mut input = input_of(&plain_spec(), |x, y| [tissue(x, y, [0.6; 3])[0]; 3]);
    let before = input.clone();
    Normaliser::new(Normalisation { grey_brightness: None, ..cohort() }, plain_spec()).run(&mut input, 0);
    assert!(input == before);
}

#[test]
fn half_a_frame_of_blood_or_steel_moves_it_no_further_than_the_bounds() {
    for cover in [[0.45, 0.03, 0.04], [0.5, 0.5, 0.52], [0.0, 0.0, 0.0], [1.0, 1.0, 1.0]] {
        let mut input = input_of(&plain_spec(), |x, y| if x < W * 6 / 10 { cover } else { tissue(x, y, [1.0; 3]) });
        let mut normaliser = Normaliser::new(cohort(), plain_spec());
        normaliser.run(&mut input, 0);
        let Correction { gamma, saturation, shift: [r, g, b] } = normaliser.correction;
        assert!(gamma.abs() <= 0.6 && saturation.abs() <= 0.6, "{cover:?}");
        assert!((r - g).abs() <= 0.401 && ((r + g) / 2.0 - b).abs() <= 0.401 && (r + g + b) / 3.0 <= 1.501, "{cover:?}: {r} {g} {b}");
    }
}

#[test]
fn light_is_followed_slowly_but_at_once_after_a_cut() {
    let spec = plain_spec();
    let dark = || input_of(&spec, |x, y| tissue(x, y, [0.6; 3]));
    let mut normaliser = Normaliser::new(cohort(), spec.clone());
    let run = |normaliser: &mut Normaliser, mut input: Vec<f32>, frame: u64| {
        normaliser.run(&mut input, frame * FRAME_NS);
        mean_level(&spec, &input)
    };
    let at_once = run(&mut normaliser, dark(), 0);
    assert!(at_once > 1.2 * mean_level(&spec, &dark()), "the first frame is normalised at once");
    let known = input_of(&spec, |x, y| tissue(x, y, [1.0; 3]));
    normaliser.cut();
    run(&mut normaliser, known.clone(), 1);
    // It becomes dark: nothing jumps, and after some seconds it is as if it had been so from the start.
    let levels: Vec<f32> = (2..602).map(|frame| run(&mut normaliser, dark(), frame)).collect();
    assert!((levels[0] / mean_level(&spec, &dark()) - 1.0).abs() < 0.02, "{}", levels[0]);
    assert!(levels.windows(2).all(|pair| pair[1] >= pair[0] - 1e-5 && pair[1] < 1.01 * pair[0]));
    assert!((levels[599] / at_once - 1.0).abs() < 0.01, "{} {at_once}", levels[599]);
    // What cannot be judged changes nothing: the light goes out, and comes back.
    let out = input_of(&spec, |_, _| [0.01; 3]);
    run(&mut normaliser, out, 603);
    assert!((run(&mut normaliser, dark(), 604) / at_once - 1.0).abs() < 0.01);
    normaliser.forget();
    assert!((run(&mut normaliser, known.clone(), 605) / mean_level(&spec, &known) - 1.0).abs() < 1e-3);
}

/// Is a pixel (its middle) within the picture?
type Shape = fn(f32, f32) -> bool;

/// The shapes that endoscopes' pictures have.
fn shapes() -> [(&'static str, Shape); 5] {
    [
        ("whole", |_, _| true),
        ("round", |x, y| (x - 80.0).hypot(y - 48.0) < 44.0),
        ("round, cut off above and below", |x, y| (x - 80.0).hypot(y - 48.0) < 65.0),
        ("eight corners", |x, y| (x - 80.0).abs() + (y - 48.0).abs() < 88.0 && (x - 80.0).abs() < 60.0),
        ("pillars and letterbox", |x, y| (x - 80.0).abs() < 60.0 && (y - 48.0).abs() < 40.0),
    ]
}

#[test]
fn the_area_has_the_shape_of_the_endoscope_s_picture_and_outside_it_is_exactly_black() {
    for (name, is_inside) in shapes() {
        let at = |x: usize, y: usize| is_inside(x as f32 + 0.5, y as f32 + 0.5);
        let noise = |x: usize, y: usize| [(x * 37 + y * 101) as f32 % 11.0 / 255.0; 3];
        // Holes of shadow, also at the border, belong to the picture.
        let shadow = |x: usize, y: usize| (x as f32 - 45.0).hypot(y as f32 - 20.0) < 14.0;
        let mut input = input_of(&plain_spec(), |x, y| if at(x, y) && !shadow(x, y) { tissue(x, y, [1.0; 3]) } else { noise(x, y) });
        // A bright pixel in the black is no picture.
        let dot = [0, 1, 2].map(|colour| place(&plain_spec(), 1, 1, colour).0);
        if name != "whole" {
            dot.iter().for_each(|at| input[*at] = 2.0);
        }
        let mut normaliser = Normaliser::new(cohort(), plain_spec());
        normaliser.run(&mut input, 0);
        assert_eq!(normaliser.area.has_outside(), name != "whole", "{name}");
        let black: Vec<f32> = input_of(&plain_spec(), |_, _| [0.0; 3]);
        let mut wrong = 0;
        for (x, y) in (0..H).flat_map(|y| (0..W).map(move |x| (x, y))) {
            let is_in_area = normaliser.area.span(y).contains(&x);
            wrong += usize::from(is_in_area != at(x, y));
            for at in [0, 1, 2].map(|colour| place(&plain_spec(), x, y, colour).0) {
                assert!(is_in_area || input[at] == black[at], "{name}: ({x}, {y}) is outside and not black");
            }
        }
        assert!(wrong < W * H / 80, "{name}: {wrong} pixels");
    }
}

#[test]
fn a_dark_scene_does_not_shrink_the_area_and_light_widens_it_at_once() {
    let spec = plain_spec();
    let mut normaliser = Normaliser::new(cohort(), spec.clone());
    let mut frame = 0;
    let mut show = |normaliser: &mut Normaliser, radius: f32, count: u64| {
        for _ in 0..count {
            frame += 1;
            let is_lit = |x: usize, y: usize| (x as f32 - 80.0).hypot(y as f32 - 48.0) < radius;
            let mut input = input_of(&spec, |x, y| if is_lit(x, y) { tissue(x, y, [1.0; 3]) } else { [0.01; 3] });
            normaliser.run(&mut input, frame * 100_000_000);
        }
        (0..H).map(|y| normaliser.area.span(y).len()).sum::<usize>()
    };
    let whole = show(&mut normaliser, 44.0, 1);
    assert_eq!(show(&mut normaliser, 12.0, 300), whole, "half a minute of darkness");
    let more = show(&mut normaliser, 47.0, 1);
    assert!(more > whole);
    assert_eq!(show(&mut normaliser, 44.0, 40), more, "a few seconds");
    assert_eq!(show(&mut normaliser, 44.0, 120), whole, "another scope, in good light");
    normaliser.forget();
    assert_eq!(show(&mut normaliser, 12.0, 1), W * H, "too little to be a picture's shape");
}

proptest! {
    /// Whatever a frame shows, what the engine is shown are colours.
    #[test]
    fn no_frame_becomes_anything_but_a_picture(
        seed in any::<u64>(), low in 0f32..1.0, high in 0f32..1.0, gain in prop::array::uniform3(0f32..2.0), frames in 1usize..4
    ) {
        let spec = spec(TensorLayout::Nhwc, ColourOrder::Rgb, 40, 24);
        let mut normaliser = Normaliser::new(cohort(), spec.clone());
        for frame in 0..frames {
            let mut state = seed.wrapping_add(frame as u64);
            let noise = std::cell::RefCell::new(move || {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                (state >> 40) as f32 / (1u64 << 24) as f32
            });
            let mut input = input_of(&spec, |_, _| {
                let light = low + (high - low) * (noise.borrow_mut())();
                gain.map(|gain| (light * gain).clamp(0.0, 1.0))
            });
            normaliser.run(&mut input, frame as u64 * FRAME_NS);
            for i in 0..40 * 24 {
                let pixel = pixel_of(&spec, &input, i % 40, i / 40);
                prop_assert!(pixel.iter().all(|v| (-1e-5..=1.00001).contains(v)), "{pixel:?}");
            }
        }
    }
}
