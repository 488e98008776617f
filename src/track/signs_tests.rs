//! Drawn pictures of which the signs are plain. Real ones: `gate_tests`.

use super::*;
use crate::infer::Resize;

const W: usize = 320;
const H: usize = 192;

fn spec(layout: TensorLayout, colour: ColourOrder) -> InputSpec {
    let (width, height, resize) = (W as u32, H as u32, Resize::Stretch);
    InputSpec { name: "image".to_owned(), layout, width, height, colour, resize, mean: [0.4, 0.5, 0.6], std: [0.2, 0.25, 0.3] }
}

/// What the network is shown of a picture, in any layout.
fn input(spec: &InputSpec, colour: impl Fn(usize, usize) -> [f32; 3]) -> Vec<f32> {
    let mut input = vec![0.0; 3 * W * H];
    for (x, y) in (0..H).flat_map(|y| (0..W).map(move |x| (x, y))) {
        for (i, value) in colour(x, y).into_iter().enumerate() {
            let channel = if spec.colour == ColourOrder::Bgr { 2 - i } else { i };
            let at = if spec.layout == TensorLayout::Nchw { (channel * H + y) * W + x } else { (y * W + x) * 3 + channel };
            input[at] = (value - spec.mean[channel]) / spec.std[channel];
        }
    }
    input
}

fn signs(colour: impl Fn(usize, usize) -> [f32; 3]) -> Signs {
    let spec = spec(TensorLayout::Nchw, ColourOrder::Rgb);
    let mut signs = Signs::default();
    signs.look(&input(&spec, colour), &spec, Fit { x: 0, y: 0, width: W, height: H });
    signs
}

/// Wet tissue as far as these signs go: red, uneven, with some grain.
fn tissue(x: usize, y: usize) -> [f32; 3] {
    let (u, v) = (x as f32 / W as f32, y as f32 / H as f32);
    let light = 0.45 + 0.2 * (9.0 * u + 2.0 * v).sin() + 0.15 * (11.0 * v - 5.0 * u).cos() + 0.02 * grain(x, y);
    [light, 0.45 * light, 0.35 * light]
}

/// -1..1, unrelated from pixel to pixel.
fn grain(x: usize, y: usize) -> f32 {
    let mut h = (x as u32).wrapping_mul(0x9E37_79B9) ^ (y as u32).wrapping_mul(0x85EB_CA6B);
    h = (h ^ (h >> 15)).wrapping_mul(0x2C1B_3C6D);
    ((h ^ (h >> 12)) & 0xffff) as f32 / 32768.0 - 1.0
}

fn all(signs: &Signs) -> [bool; 4] {
    [signs.has_content(), signs.is_covered(), signs.is_fluorescence(), signs.is_narrow_band()]
}

const CLEAR: [bool; 4] = [true, false, false, false];

#[test]
fn tissue_is_a_picture_in_every_layout_and_part_of_the_input() {
    for layout in [TensorLayout::Nchw, TensorLayout::Nhwc] {
        for order in [ColourOrder::Rgb, ColourOrder::Bgr] {
            let spec = spec(layout, order);
            let mut signs = Signs::default();
            signs.look(&input(&spec, tissue), &spec, Fit { x: 0, y: 0, width: W, height: H });
            assert_eq!(all(&signs), CLEAR);
            // Letterboxed: black beside it is not looked at.
            let boxed = input(&spec, |x, y| if (40..280).contains(&x) { tissue(x, y) } else { [0.0; 3] });
            signs.look(&boxed, &spec, Fit { x: 40, y: 0, width: 240, height: H });
            assert_eq!(all(&signs), CLEAR);
            let green = input(&spec, |x, y| if (40..280).contains(&x) { [0.05, tissue(x, y)[0], 0.2] } else { [0.0; 3] });
            signs.look(&green, &spec, Fit { x: 40, y: 0, width: 240, height: H });
            assert!(signs.is_fluorescence());
        }
    }
}

#[test]
fn the_scopes_own_rim_covers_nothing() {
    let round = |x: usize, y: usize| (x as f32 - 160.0).hypot(y as f32 - 96.0) < 90.0;
    assert_eq!(all(&signs(|x, y| if round(x, y) { tissue(x, y) } else { [0.0; 3] })), CLEAR);
    let cut = |x: usize, y: usize| (40..280).contains(&x) && (12..180).contains(&y);
    assert_eq!(all(&signs(|x, y| if cut(x, y) { tissue(x, y) } else { [0.01; 3] })), CLEAR);
}

#[test]
fn black_one_colour_bars_and_noise_are_no_picture() {
    assert!(!signs(|_, _| [0.0; 3]).has_content());
    assert!(!signs(|_, _| [0.0, 0.0, 0.75]).has_content());
    assert!(!signs(|x, y| [0.5 + 0.02 * grain(x, y); 3]).has_content());
    let bar = |x: usize| {
        [
            [0.75, 0.75, 0.75],
            [0.75, 0.75, 0.0],
            [0.0, 0.75, 0.75],
            [0.0, 0.75, 0.0],
            [0.75, 0.0, 0.75],
            [0.75, 0.0, 0.0],
            [0.0, 0.0, 0.75],
            [0.0; 3],
        ][x / 40]
    };
    assert!(!signs(|x, _| bar(x)).has_content());
    assert!(!signs(|x, y| bar(x).map(|v| v + 0.02 * grain(x, y))).has_content());
    assert!(!signs(|x, y| [0.5 + 0.4 * grain(x, y); 3]).has_content());
    assert!(!signs(|x, y| [0.5 + 0.4 * grain(x, y), 0.5 + 0.4 * grain(x + 999, y), 0.5 + 0.4 * grain(x, y + 999)]).has_content());
}

#[test]
fn other_lights_are_told() {
    let icg = |x: usize, y: usize| {
        let [light, ..] = tissue(x, y);
        if (x as f32 - 150.0).hypot(y as f32 - 90.0) < 70.0 { [0.1, 0.9 * light + 0.1, 0.3] } else { [0.1 * light; 3] }
    };
    assert_eq!(all(&signs(icg)), [true, false, true, false]);
    let nbi = |x: usize, y: usize| tissue(x, y).map(|v| v * 0.1 + 0.7 * tissue(x, y)[0]);
    let nbi = |x: usize, y: usize| [nbi(x, y)[0] * 0.85, nbi(x, y)[1], nbi(x, y)[2]];
    assert_eq!(all(&signs(nbi)), [true, false, false, true]);
}

#[test]
fn a_menu_and_a_second_picture_cover_it() {
    let menu = |x: usize, y: usize| if (60..250).contains(&x) && (30..150).contains(&y) { [0.1, 0.1, 0.3] } else { tissue(x, y) };
    assert!(signs(menu).is_covered());
    let corner = |x: usize, y: usize| if x >= 190 && y >= 110 { tissue(3 * x, 3 * y).map(|v| 1.0 - v) } else { tissue(x, y) };
    assert!(signs(corner).is_covered());
    let halves = |x: usize, y: usize| if x < 160 { tissue(2 * x, y) } else { tissue(2 * x - 320, y).map(|v| 0.9 - v) };
    assert!(signs(halves).is_covered());
    // An instrument has straight edges, and they are not the picture's.
    let tool = |x: usize, y: usize| if (x as f32 * 0.3 + y as f32 - 110.0).abs() < 14.0 && x > 90 { [0.5; 3] } else { tissue(x, y) };
    assert_eq!(all(&signs(tool)), CLEAR);
    // Nor where a shaft across the picture ends just where an organ does: no rectangle is parted off.
    let shaft = |x: usize, y: usize| match (x, y) {
        (..112, 100..120) => [0.15; 3],
        (112..200, 20..100) => [0.8, 0.7, 0.5],
        _ => tissue(x, y),
    };
    assert!(!signs(shaft).is_covered());
    // Few words in a corner cover little.
    let words = |x: usize, y: usize| if x > 250 && y < 12 && x % 7 < 3 { [1.0; 3] } else { tissue(x, y) };
    assert_eq!(all(&signs(words)), CLEAR);
}
