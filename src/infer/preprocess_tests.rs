use super::*;
use crate::frame::{Colorimetry, Matrix};
use proptest::prelude::*;

fn spec(width: u32, height: u32) -> InputSpec {
    let (layout, colour, resize) = (TensorLayout::Nchw, ColourOrder::Rgb, Resize::Stretch);
    InputSpec { name: "image".to_owned(), layout, width, height, colour, resize, mean: [0.0; 3], std: [1.0; 3] }
}

fn layout(format: PixelFormat, matrix: Matrix, range: Range, width: usize, height: usize) -> FrameLayout {
    FrameLayout::new(format, Colorimetry::sdr(matrix, range), width, height).unwrap()
}

fn noise(layout: &FrameLayout, mut seed: u32) -> Vec<u8> {
    (0..layout.size)
        .map(|_| {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (seed >> 24) as u8
        })
        .collect()
}

fn run(spec: &InputSpec, layout: &FrameLayout, data: &[u8]) -> Vec<f32> {
    let mut input = vec![f32::NAN; 3 * (spec.width * spec.height) as usize];
    Preprocess::new(spec.clone()).run(FrameView::new(layout, data).unwrap(), &mut input);
    input
}

/// Mean of a plane's samples over `x0..x1 × y0..y1` (in samples, fractional), in f64 and by the book.
fn mean(plane: &Samples, x: [f64; 2], y: [f64; 2]) -> f64 {
    let (mut sum, mut weights) = (0.0, 0.0);
    for row in y[0].floor() as usize..y[1].ceil() as usize {
        for column in x[0].floor() as usize..x[1].ceil() as usize {
            let part = |from: f64, to: f64, at: usize| (to.min(at as f64 + 1.0) - from.max(at as f64)).max(0.0);
            let weight = part(x[0], x[1], column) * part(y[0], y[1], row);
            if weight > 1e-9 {
                sum += weight * f64::from(plane.values[row * plane.width + column]);
                weights += weight;
            }
        }
    }
    sum / weights
}

/// One component of a picture, in 8-bit code values.
struct Samples {
    width: usize,
    values: Vec<f32>,
}

/// Y, U, V or R, G, B.
fn components(layout: &FrameLayout, data: &[u8]) -> [Samples; 3] {
    let view = FrameView::new(layout, data).unwrap();
    let (w, h) = (layout.width, layout.height);
    let plane = |width: usize, height: usize, sample: &dyn Fn(usize, usize) -> u8| {
        let values = (0..width * height).map(|i| f32::from(sample(i % width, i / width))).collect();
        Samples { width, values }
    };
    let (cw, ch) = (w.div_ceil(2), if layout.format.has_half_height_chroma() { h.div_ceil(2) } else { h });
    match layout.format {
        PixelFormat::Rgb => [0, 1, 2].map(|c| plane(w, h, &|x, y| view.row(0, y)[3 * x + c])),
        PixelFormat::Bgrx | PixelFormat::Bgra => [2, 1, 0].map(|c| plane(w, h, &|x, y| view.row(0, y)[4 * x + c])),
        PixelFormat::Yuy2 | PixelFormat::Uyvy => {
            let [at_y, at_u, at_v] = if layout.format == PixelFormat::Yuy2 { [0, 1, 3] } else { [1, 0, 2] };
            let chroma = [at_u, at_v].map(|at| plane(cw, ch, &|x, y| view.row(0, y)[4 * x + at]));
            let [u, v] = chroma;
            [plane(w, h, &|x, y| view.row(0, y)[2 * x + at_y]), u, v]
        }
        PixelFormat::V210 | PixelFormat::P010 => {
            let mut all = [(w, h), (cw, ch), (cw, ch)].map(|(width, height)| Samples { width, values: vec![0.0; width * height] });
            let mut piece = rows::Row::<u16>::default();
            for y in 0..h {
                let chroma_y = y * ch / h;
                for x0 in (0..w).step_by(rows::PIECE_PIXELS) {
                    piece.unpack_reference(&view, y, x0);
                    for (i, &sample) in piece.y().iter().enumerate() {
                        all[0].values[y * w + x0 + i] = f32::from(sample) / 4.0;
                    }
                    for (i, &sample) in piece.uv().iter().enumerate() {
                        all[1 + i % 2].values[chroma_y * cw + (x0 + i) / 2] = f32::from(sample) / 4.0;
                    }
                }
            }
            all
        }
        PixelFormat::Nv12 => [
            plane(w, h, &|x, y| view.row(0, y)[x]),
            plane(cw, ch, &|x, y| view.row(1, y)[2 * x]),
            plane(cw, ch, &|x, y| view.row(1, y)[2 * x + 1]),
        ],
        PixelFormat::I420 => {
            [plane(w, h, &|x, y| view.row(0, y)[x]), plane(cw, ch, &|x, y| view.row(1, y)[x]), plane(cw, ch, &|x, y| view.row(2, y)[x])]
        }
    }
}

/// R, G, B in 0..1 of output pixel (x, y) of `count` columns and rows.
fn reference(layout: &FrameLayout, components: &[Samples; 3], count: [usize; 2], x: usize, y: usize) -> [f64; 3] {
    let span = |i: usize, side: usize, n: usize| [i as f64 * side as f64 / n as f64, (i + 1) as f64 * side as f64 / n as f64];
    let (sx, sy) = (span(x, layout.width, count[0]), span(y, layout.height, count[1]));
    let half = |s: [f64; 2]| s.map(|v| v / 2.0);
    if layout.format.is_rgb() {
        return [0, 1, 2].map(|c| mean(&components[c], sx, sy) / 255.0);
    }
    let luma = mean(&components[0], sx, sy);
    let chroma_sy = if layout.format.has_half_height_chroma() { half(sy) } else { sy };
    let chroma = [1, 2].map(|c| mean(&components[c], half(sx), chroma_sy));
    let (luma, cb, cr) = match layout.colorimetry.range {
        Range::Limited => ((luma - 16.0) / 219.0, (chroma[0] - 128.0) / 224.0, (chroma[1] - 128.0) / 224.0),
        Range::Full => (luma / 255.0, (chroma[0] - 128.0) / 255.0, (chroma[1] - 128.0) / 255.0),
    };
    // The published decimal coefficients, not the formula that the code uses.
    let rgb = match layout.colorimetry.matrix {
        Matrix::Bt601 => [luma + 1.402 * cr, luma - 0.344136 * cb - 0.714136 * cr, luma + 1.772 * cb],
        Matrix::Bt709 => [luma + 1.5748 * cr, luma - 0.187324 * cb - 0.468124 * cr, luma + 1.8556 * cb],
        Matrix::Bt2020 => unreachable!("goes through the tone mapping, which the tests of `overlay` and of the whole hold"),
    };
    rgb.map(|v| v.clamp(0.0, 1.0))
}

fn assert_close(spec: &InputSpec, layout: &FrameLayout, data: &[u8], most: f64) {
    let input = run(spec, layout, data);
    let components = components(layout, data);
    let (w, h) = (spec.width as usize, spec.height as usize);
    for y in (0..h).step_by(7).chain([h - 1]) {
        for x in (0..w).step_by(5).chain([w - 1]) {
            let expected = reference(layout, &components, [w, h], x, y);
            for c in 0..3 {
                let found = f64::from(input[c * w * h + y * w + x]);
                assert!((found - expected[c]).abs() <= most, "{layout:?} at {x},{y}, channel {c}: {found}, expected {}", expected[c]);
            }
        }
    }
}

#[test]
fn noise_at_all_formats_and_odd_sizes_is_within_a_tenth_of_a_level_of_the_reference() {
    use {Matrix::*, PixelFormat::*, Range::*};
    for format in PixelFormat::ALL {
        for (width, height) in [(1920, 1080), (1280, 720), (613, 347), (720, 576), (101, 33), (320, 192), (17, 16)] {
            for (matrix, range) in [(Bt709, Limited), (Bt601, Full)] {
                let layout = layout(format, matrix, range, width, height);
                assert_close(&spec(320, 192), &layout, &noise(&layout, 7), 0.1 / 255.0);
            }
        }
    }
    // More rows to a box than 16 bits can sum.
    for format in [Nv12, Yuy2, V210, Bgrx] {
        let tall = layout(format, Bt709, Limited, 64, 8192);
        assert_close(&spec(16, 16), &tall, &noise(&tall, 3), 0.1 / 255.0);
    }
}

/// 75 % bars: code values from the standards' own tables (BT.601 and BT.709, limited), and full range computed by hand.
#[test]
fn colour_bars_come_out_as_their_colours_in_every_matrix_and_range() {
    use {Matrix::*, Range::*};
    let bars: [([f32; 3], [[u8; 3]; 4]); 4] = [
        // R'G'B', then Y'CbCr: 601 limited, 709 limited, 601 full, 709 full.
        ([0.75, 0.75, 0.75], [[180, 128, 128], [180, 128, 128], [191, 128, 128], [191, 128, 128]]),
        ([0.75, 0.0, 0.0], [[65, 100, 212], [51, 109, 212], [57, 96, 224], [41, 106, 224]]),
        ([0.0, 0.75, 0.0], [[112, 72, 58], [133, 63, 52], [112, 65, 48], [137, 54, 41]]),
        ([0.0, 0.0, 0.75], [[35, 212, 114], [28, 212, 120], [22, 224, 112], [14, 224, 119]]),
    ];
    for (at, (matrix, range)) in [(Bt601, Limited), (Bt709, Limited), (Bt601, Full), (Bt709, Full)].into_iter().enumerate() {
        for (rgb, codes) in bars {
            let layout = layout(PixelFormat::Nv12, matrix, range, 64, 48);
            let [y, cb, cr] = codes[at];
            let mut data = vec![0; layout.size];
            let chroma = layout.planes()[1].offset;
            data[..chroma].fill(y);
            data[chroma..].chunks_exact_mut(2).for_each(|pair| pair.copy_from_slice(&[cb, cr]));
            let input = run(&spec(16, 16), &layout, &data);
            for c in 0..3 {
                // Code values are rounded to whole numbers: up to one level of Y' and 1.8 of half a level of chroma.
                assert!((input[c * 256 + 100] - rgb[c]).abs() < 2.0 / 255.0, "{matrix:?} {range:?} {rgb:?}: {}", input[c * 256 + 100]);
            }
        }
    }
}

#[test]
fn channel_order_layout_and_normalisation_follow_the_manifest() {
    let layout = layout(PixelFormat::Rgb, Matrix::Bt709, Range::Full, 64, 64);
    let data: Vec<u8> = (0..layout.size).map(|i| [51, 102, 204][i % layout.planes()[0].stride % 3]).collect();
    let mut spec = spec(32, 32);
    (spec.mean, spec.std) = ([0.1, 0.2, 0.3], [0.5, 0.25, 0.125]);
    let normalised = |value: f32, channel: usize| (value / 255.0 - [0.1, 0.2, 0.3][channel]) / [0.5, 0.25, 0.125][channel];
    for (colour, codes) in [(ColourOrder::Rgb, [51.0, 102.0, 204.0]), (ColourOrder::Bgr, [204.0, 102.0, 51.0])] {
        for (tensor, at) in [(TensorLayout::Nchw, 1024), (TensorLayout::Nhwc, 1)] {
            (spec.colour, spec.layout) = (colour, tensor);
            let input = run(&spec, &layout, &data);
            for channel in 0..3 {
                let (found, expected) = (input[channel * at], normalised(codes[channel], channel));
                assert!((found - expected).abs() < 1e-4, "{colour:?} {tensor:?} {channel}: {found}, expected {expected}");
            }
        }
    }
}

#[test]
fn a_letterbox_keeps_the_shape_and_is_black_beside_it() {
    let layout = layout(PixelFormat::Rgb, Matrix::Bt709, Range::Full, 100, 100);
    let mut spec = spec(320, 192);
    spec.resize = Resize::Letterbox;
    assert_eq!(Fit::new(&spec, [100, 100]), Fit { x: 64, y: 0, width: 192, height: 192 });
    assert_eq!(Fit::new(&spec, [1920, 1080]), Fit { x: 0, y: 6, width: 320, height: 180 });
    let input = run(&spec, &layout, &vec![255; layout.size]);
    for y in [0, 100, 191] {
        let row = &input[y * 320..][..320];
        assert!(row[..64].iter().chain(&row[256..]).all(|&v| v == 0.0), "row {y}");
        assert!(row[64..256].iter().all(|&v| (v - 1.0).abs() < 1e-4), "row {y}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    /// Any size, any format: every number is written and none leaves 0..1.
    #[test]
    fn any_size_fills_the_whole_input(width in 16usize..700, height in 16usize..400, format in 0..PixelFormat::ALL.len(), seed in any::<u32>(), letterbox in any::<bool>()) {
        let matrix = if seed % 2 == 0 { Matrix::Bt601 } else { Matrix::Bt2020 };
        let layout = layout(PixelFormat::ALL[format], matrix, Range::Limited, width, height);
        let mut spec = spec(64, 48);
        if letterbox { spec.resize = Resize::Letterbox; }
        let input = run(&spec, &layout, &noise(&layout, seed));
        prop_assert!(input.iter().all(|v| (0.0..=1.0).contains(v)));
    }
}

/// Times for people: `cargo test --release --lib -- --ignored --nocapture preprocess_times`.
#[test]
#[ignore = "a measurement, not a check"]
fn preprocess_times() {
    let sizes = [(1920, 1080), (1280, 720), (3840, 2160)];
    let cases = PixelFormat::ALL.into_iter().flat_map(|format| sizes.map(|(width, height)| (format, Matrix::Bt709, width, height)));
    for (format, matrix, width, height) in cases.chain([(PixelFormat::P010, Matrix::Bt2020, 3840, 2160)]) {
        let layout = layout(format, matrix, Range::Limited, width, height);
        let data = noise(&layout, 5);
        let view = FrameView::new(&layout, &data).unwrap();
        let mut preprocess = Preprocess::new(spec(320, 192));
        let mut input = vec![0.0; 3 * 320 * 192];
        let median = |work: &mut dyn FnMut()| {
            let mut ms: Vec<f64> = (0..101)
                .map(|_| {
                    let start = std::time::Instant::now();
                    work();
                    start.elapsed().as_secs_f64() * 1e3
                })
                .collect();
            ms.sort_by(f64::total_cmp);
            (ms[0], ms[50], ms[95])
        };
        let run = median(&mut || {
            preprocess.run(view, &mut input);
        });
        let hash = median(&mut || {
            std::hint::black_box(crate::infer::input_hash(view));
        });
        println!("{format:?} {matrix:?} {width}×{height} → 320×192: {run:.3?} ms, input_hash {hash:.3?} ms (min, p50, p95)");
    }
}
