use super::*;
use crate::frame::Colorimetry;
use proptest::prelude::*;

fn spec(width: u32, height: u32) -> InputSpec {
    let (layout, colour, resize) = (TensorLayout::Nchw, ColourOrder::Rgb, Resize::Stretch);
    InputSpec { name: "image".to_owned(), layout, width, height, colour, resize, mean: [0.0; 3], std: [1.0; 3] }
}

fn layout(format: PixelFormat, matrix: Matrix, range: Range, width: usize, height: usize) -> FrameLayout {
    FrameLayout::new(format, Colorimetry { matrix, range }, width, height).unwrap()
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
fn mean(sample: &dyn Fn(usize, usize) -> u8, x: [f64; 2], y: [f64; 2]) -> f64 {
    let (mut sum, mut weights) = (0.0, 0.0);
    for row in y[0].floor() as usize..y[1].ceil() as usize {
        for column in x[0].floor() as usize..x[1].ceil() as usize {
            let part = |from: f64, to: f64, at: usize| (to.min(at as f64 + 1.0) - from.max(at as f64)).max(0.0);
            let weight = part(x[0], x[1], column) * part(y[0], y[1], row);
            if weight > 1e-9 {
                sum += weight * f64::from(sample(column, row));
                weights += weight;
            }
        }
    }
    sum / weights
}

/// R, G, B in 0..1 of output pixel (x, y) of `count` columns and rows.
fn reference(layout: &FrameLayout, data: &[u8], count: [usize; 2], x: usize, y: usize) -> [f64; 3] {
    let view = FrameView::new(layout, data).unwrap();
    let span = |i: usize, side: usize, n: usize| [i as f64 * side as f64 / n as f64, (i + 1) as f64 * side as f64 / n as f64];
    let (sx, sy) = (span(x, layout.width, count[0]), span(y, layout.height, count[1]));
    let half = |s: [f64; 2]| s.map(|v| v / 2.0);
    if layout.format == PixelFormat::Rgb {
        return [0, 1, 2].map(|c| mean(&|x, y| view.row(0, y)[3 * x + c], sx, sy) / 255.0);
    }
    let luma = mean(&|x, y| view.row(0, y)[x], sx, sy);
    let chroma = [0, 1].map(|c| {
        let sample = |x: usize, y: usize| match layout.format {
            PixelFormat::Nv12 => view.row(1, y)[2 * x + c],
            _ => view.row(1 + c, y)[x],
        };
        mean(&sample, half(sx), half(sy))
    });
    let (luma, cb, cr) = match layout.colorimetry.range {
        Range::Limited => ((luma - 16.0) / 219.0, (chroma[0] - 128.0) / 224.0, (chroma[1] - 128.0) / 224.0),
        Range::Full => (luma / 255.0, (chroma[0] - 128.0) / 255.0, (chroma[1] - 128.0) / 255.0),
    };
    // The published decimal coefficients, not the formula that the code uses.
    let rgb = match layout.colorimetry.matrix {
        Matrix::Bt601 => [luma + 1.402 * cr, luma - 0.344136 * cb - 0.714136 * cr, luma + 1.772 * cb],
        Matrix::Bt709 => [luma + 1.5748 * cr, luma - 0.187324 * cb - 0.468124 * cr, luma + 1.8556 * cb],
    };
    rgb.map(|v| v.clamp(0.0, 1.0))
}

fn assert_close(spec: &InputSpec, layout: &FrameLayout, data: &[u8], most: f64) {
    let input = run(spec, layout, data);
    let (w, h) = (spec.width as usize, spec.height as usize);
    for y in (0..h).step_by(7).chain([h - 1]) {
        for x in (0..w).step_by(5).chain([w - 1]) {
            let expected = reference(layout, data, [w, h], x, y);
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
    for format in [Nv12, I420, Rgb] {
        for (width, height) in [(1920, 1080), (1280, 720), (613, 347), (720, 576), (101, 33), (320, 192), (17, 16)] {
            for (matrix, range) in [(Bt709, Limited), (Bt601, Full)] {
                let layout = layout(format, matrix, range, width, height);
                assert_close(&spec(320, 192), &layout, &noise(&layout, 7), 0.1 / 255.0);
            }
        }
    }
    // More rows to a box than 16 bits can sum.
    let tall = layout(Nv12, Bt709, Limited, 64, 8192);
    assert_close(&spec(16, 16), &tall, &noise(&tall, 3), 0.1 / 255.0);
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
    fn any_size_fills_the_whole_input(width in 16usize..700, height in 16usize..400, format in 0usize..3, seed in any::<u32>(), letterbox in any::<bool>()) {
        let format = [PixelFormat::Nv12, PixelFormat::I420, PixelFormat::Rgb][format];
        let layout = layout(format, Matrix::Bt601, Range::Limited, width, height);
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
    for (format, width, height) in
        [(PixelFormat::Nv12, 1920, 1080), (PixelFormat::I420, 1920, 1080), (PixelFormat::Rgb, 1920, 1080), (PixelFormat::Nv12, 1280, 720)]
    {
        let layout = layout(format, Matrix::Bt709, Range::Limited, width, height);
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
        println!("{format:?} {width}×{height} → 320×192: {run:.3?} ms, input_hash {hash:.3?} ms (min, p50, p95)");
    }
}
