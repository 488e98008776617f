//! The marker through whole paths: what is read, what is refused, and that nothing is read wrong.

use super::testing::*;
use super::*;
use crate::frame::{Matrix, Range};

/// Room around the marker for 5 % of geometry.
const MARGIN_PX: usize = 36;

/// A background with the marker in it, as small as the limits allow.
fn scene(dice: &mut Dice) -> (Luma, Placement) {
    let placement = Placement::at(MARGIN_PX, MARGIN_PX, Placement::MIN_BLOCK_PX).unwrap();
    (Luma::background(placement.width() + 2 * MARGIN_PX, placement.height() + 2 * MARGIN_PX, dice), placement)
}

#[derive(Debug, Default)]
struct Tally {
    whole: [usize; 2],
    blended: [usize; 2],
    torn: [usize; 2],
    wrong: usize,
    reasons: std::collections::BTreeMap<&'static str, usize>,
}

impl Tally {
    fn refused(&mut self, what: &'static str, why: Unread) {
        let key = match (what, why) {
            ("whole", Unread::NotFound) => "whole: not found",
            ("whole", Unread::Blended) => "whole: blended",
            ("whole", Unread::Damaged) => "whole: damaged",
            ("whole", Unread::Torn { .. }) => "whole: torn",
            ("blend", Unread::NotFound) => "blend: not found",
            ("blend", Unread::Blended) => "blend: blended",
            ("blend", Unread::Damaged) => "blend: damaged",
            ("blend", Unread::Torn { .. }) => "blend: torn",
            (_, Unread::NotFound) => "tear: not found",
            (_, Unread::Blended) => "tear: blended",
            (_, Unread::Damaged) => "tear: damaged",
            (_, Unread::Torn { upper: Some(_), lower: Some(_) }) => "tear: torn, both numbers",
            (_, Unread::Torn { .. }) => "tear: torn, one number",
        };
        *self.reasons.entry(key).or_default() += 1;
    }
}

/// `frames` captures of random paths: half whole, a quarter blended, a quarter torn; a new reader every eighth, as geometry changes each time.
fn many(frames: usize, seed: u64, path: impl Fn(&mut Dice) -> Path) -> Tally {
    let mut dice = Dice(seed);
    let mut tally = Tally::default();
    let mut reader = Reader::new();
    for i in 0..frames {
        if i % 10_000 == 9_999 {
            println!("{i}: {tally:?}");
        }
        if i % 8 == 0 {
            reader = Reader::new();
        }
        let (mut old, placement) = scene(&mut dice);
        let mut new = old.clone();
        let signal = if dice.below(2) == 0 { LIMITED } else { FULL };
        let number = dice.number();
        let later = if dice.below(2) == 0 { number + 1 } else { dice.number() } % NUMBERS;
        old.paint(signal, placement, number);
        let path = path(&mut dice);
        match i % 4 {
            0 | 2 => {
                let seen = reader.read(&path.run(&old, &mut dice).capture());
                match seen {
                    Ok(reading) if reading.number == number => tally.whole[0] += 1,
                    Ok(reading) => wrong(&mut tally, i, &path, reading.number, number),
                    Err(why) => tally.refused("whole", why),
                }
                tally.whole[1] += 1;
            }
            1 => {
                new.paint(signal, placement, later);
                let share = dice.below(257) as u32;
                let seen = reader.read(&path.run(&old.blended(&new, share), &mut dice).capture());
                // The light of the frame that is seen less is under half.
                let stronger = if share < 128 { number } else { later };
                match seen {
                    Ok(reading) if reading.number == stronger => tally.blended[0] += 1,
                    Ok(reading) => wrong(&mut tally, i, &path, reading.number, stronger),
                    Err(Unread::Torn { upper, lower }) => {
                        tally.wrong += [upper, lower].iter().flatten().filter(|n| **n != number && **n != later).count();
                        tally.refused("blend", Unread::Torn { upper, lower });
                    }
                    Err(why) => tally.refused("blend", why),
                }
                tally.blended[1] += 1;
            }
            _ => {
                new.paint(signal, placement, later);
                let from = placement.y() + dice.below(placement.height());
                let seen = reader.read(&path.run(&old.torn(&new, from), &mut dice).capture());
                match seen {
                    Ok(reading) if reading.number == number || reading.number == later => tally.torn[0] += 1,
                    Ok(reading) => wrong(&mut tally, i, &path, reading.number, number),
                    Err(Unread::Torn { upper, lower }) => {
                        tally.wrong += usize::from(upper.is_some_and(|n| n != number) || lower.is_some_and(|n| n != later));
                        tally.refused("tear", Unread::Torn { upper, lower });
                    }
                    Err(why) => tally.refused("tear", why),
                }
                tally.torn[1] += 1;
            }
        }
    }
    tally
}

fn wrong(tally: &mut Tally, i: usize, path: &Path, read: u32, right: u32) {
    println!("frame {i}: {read} instead of {right}, {path:?}");
    tally.wrong += 1;
}

#[test]
fn every_size_and_format_comes_back() {
    let mut dice = Dice(1);
    for (width, height) in [(408, 312), (640, 480), (1280, 720), (1920, 1080), (3840, 2160)] {
        let placement = Placement::centred(width, height).unwrap();
        let mut picture = Luma::background(width, height, &mut dice);
        for signal in [LIMITED, FULL] {
            let number = dice.number();
            picture.paint(signal, placement, number);
            let reading = Reader::new().read(&picture.capture()).unwrap();
            assert_eq!(reading.number, number);
            assert_eq!(reading.patch_is_white(), number % 2 == 1);
            assert!(reading.geometry.deviation_px(placement, (0.0, 0.0)) < 0.02);
            let levels = if signal == LIMITED { (16.0, 235.0) } else { (0.0, 255.0) };
            assert_eq!((reading.black_level, reading.white_level), levels);
            assert!(reading.clarity > 0.99 && reading.bend_px < 0.02);
        }
    }
    let (width, height) = (640, 480);
    let placement = Placement::centred(width, height).unwrap();
    type Format = (fn(&mut [u8]) -> Target<'_>, usize, usize, usize);
    let formats: [Format; 4] = [
        (|plane| Target::Bgrx { plane, stride: 640 * 4 }, 640 * 4, 4, 1),
        (|plane| Target::Rgb { plane, stride: 640 * 3 }, 640 * 3, 3, 1),
        (|plane| Target::Yuy2 { plane, stride: 640 * 2 }, 640 * 2, 2, 0),
        (|plane| Target::Uyvy { plane, stride: 640 * 2 }, 640 * 2, 2, 1),
    ];
    for (target, stride, step, offset) in formats {
        let mut plane = vec![77; stride * height];
        paint(target(&mut plane), FULL, placement, 0xabcdef).unwrap();
        let capture = Capture::new(&plane, stride, step, offset, width, height).unwrap();
        assert_eq!(Reader::new().read(&capture).unwrap().number, 0xabcdef);
        assert!(plane[..placement.y() * stride].iter().all(|&byte| byte == 77));
    }
}

#[test]
fn half_and_double_size_come_back() {
    let mut dice = Dice(13);
    for (width, height, scale) in
        [(408, 312, 0.5), (1280, 720, 0.5), (1920, 1080, 0.5), (3840, 2160, 0.5), (640, 480, 2.0), (1920, 1080, 2.0)]
    {
        let placement = Placement::centred(width, height).unwrap();
        let mut picture = Luma::background(width, height, &mut dice);
        picture.paint(LIMITED, placement, 0x123456);
        let path = Path { scale: [scale; 2], area: true, ..Path::EXACT };
        let reading = Reader::new().read(&path.run(&picture, &mut dice).capture()).unwrap();
        assert_eq!(reading.number, 0x123456);
        let Affine { xx, yy, xy, yx, .. } = reading.geometry.affine(placement);
        let off = [xx - f64::from(scale), yy - f64::from(scale), xy, yx];
        assert!(off.iter().all(|v| v.abs() < 1e-3), "{off:?}");
    }
}

#[test]
fn a_marker_beyond_the_picture_is_refused() {
    let mut plane = vec![0; 640 * 480];
    for (x, y) in [(300, 0), (0, 200)] {
        let placement = Placement::at(x, y, 12).unwrap();
        assert_eq!(paint(Target::Luma { plane: &mut plane, stride: 640 }, FULL, placement, 1), Err(DoesNotFit));
    }
    assert!(Capture::luma(&plane, 640, 641, 480).is_none());
    assert!(Capture::luma(&plane, 640, 640, 481).is_none());
    assert!(Capture::luma(&plane, 640, 0, 480).is_none());
}

#[test]
fn no_marker_is_not_found() {
    let mut dice = Dice(3);
    for _ in 0..60 {
        let picture = Luma::background(640, 480, &mut dice);
        assert_eq!(Reader::new().read(&picture.capture()), Err(Unread::NotFound));
    }
    for (width, height) in [(3, 3), (3, 400), (400, 3), (40, 40)] {
        let picture = Luma::background(width, height, &mut dice);
        assert_eq!(Reader::new().read(&picture.capture()), Err(Unread::NotFound));
    }
}

#[test]
fn no_number_is_ever_wrong() {
    let tally = many(2_000, 7, Path::hard);
    println!("{tally:?}");
    assert_eq!(tally.wrong, 0);
    assert!(tally.whole[0] * 100 >= tally.whole[1] * 97, "{tally:?}");
}

#[test]
fn a_good_path_is_read_nearly_always() {
    let tally = many(1_000, 11, Path::moderate);
    println!("{tally:?}");
    assert_eq!(tally.wrong, 0);
    assert_eq!(tally.whole[0], tally.whole[1], "{tally:?}");
}

#[test]
#[ignore = "long: 100,000 frames at the limits, 20,000 moderate ones"]
fn no_number_is_ever_wrong_in_100_000_frames() {
    let hard = many(100_000, 1_000_003, Path::hard);
    println!("hard: {hard:#?}");
    let moderate = many(20_000, 2_000_003, Path::moderate);
    println!("moderate: {moderate:#?}");
    assert_eq!(hard.wrong + moderate.wrong, 0);
    assert!(moderate.whole[0] * 1000 >= moderate.whole[1] * 999);
}

#[test]
fn blends_and_tears_are_named() {
    let mut dice = Dice(5);
    let (mut old, placement) = scene(&mut dice);
    let mut new = old.clone();
    old.paint(LIMITED, placement, 1000);
    new.paint(LIMITED, placement, 1001);
    let mut reader = Reader::new();
    for share in [80, 128, 176] {
        assert_eq!(reader.read(&old.blended(&new, share).capture()), Err(Unread::Blended));
    }
    let block = |row: usize| placement.y() + row * placement.block_px();
    let torn = |upper, lower| Err(Unread::Torn { upper, lower });
    assert_eq!(reader.read(&old.torn(&new, block(12)).capture()), torn(Some(1000), Some(1001)));
    assert_eq!(reader.read(&old.torn(&new, block(5)).capture()), torn(None, Some(1001)));
    assert_eq!(reader.read(&old.torn(&new, block(22)).capture()), torn(Some(1000), None));
    assert_eq!(reader.read(&old.torn(&new, block(25)).capture()).unwrap().number, 1000);
    assert_eq!(reader.read(&old.torn(&new, block(1)).capture()).unwrap().number, 1001);
    assert_eq!(reader.searches(), 1);

    // Every other row of the other frame.
    let mut woven = old.clone();
    for y in (0..old.height).step_by(2) {
        woven.data[y * old.width..][..old.width].copy_from_slice(&new.data[y * old.width..][..old.width]);
    }
    assert_eq!(reader.read(&woven.capture()), Err(Unread::Blended));

    // The patch of another frame: nothing that contradicts itself is read.
    let mut patched = old.clone();
    for y in block(9)..block(17) {
        let from = y * old.width + placement.x();
        patched.data[from..from + 8 * 12].copy_from_slice(&new.data[from..from + 8 * 12]);
    }
    assert_eq!(reader.read(&patched.capture()), Err(Unread::Damaged));
    // A pointer on a block of the number.
    let mut pointed = old.clone();
    for y in block(4)..block(5) {
        let at = y * old.width + placement.x() + 12 * 12;
        pointed.data[at..at + 12].iter_mut().for_each(|v| *v = 255 - *v);
    }
    assert_eq!(reader.read(&pointed.capture()), Err(Unread::Damaged));
}

#[test]
fn nothing_that_is_laid_over_it_makes_a_number() {
    let mut dice = Dice(12);
    let mut read = 0;
    for _ in 0..400 {
        let (mut picture, placement) = scene(&mut dice);
        let number = dice.number();
        picture.paint(LIMITED, placement, number);
        let mut reader = Reader::new();
        assert_eq!(reader.read(&picture.capture()).unwrap().number, number);
        for _ in 0..1 + dice.below(4) {
            let (left, top) = (dice.below(picture.width), dice.below(picture.height));
            let (right, bottom) = (left + 1 + dice.below(150), top + 1 + dice.below(100));
            let level = [0, 16, 126, 235, 255][dice.below(5)];
            for y in top..bottom.min(picture.height) {
                picture.data[y * picture.width..][left..right.min(picture.width)].fill(level);
            }
        }
        if let Ok(reading) = reader.read(&picture.capture()) {
            assert_eq!(reading.number, number);
            read += 1;
        }
    }
    assert!((20..380).contains(&read), "{read}");
}

#[test]
fn a_mirrored_or_negative_marker_is_no_number() {
    let mut dice = Dice(6);
    let (mut picture, placement) = scene(&mut dice);
    picture.paint(FULL, placement, 4711);
    let (width, height) = (picture.width, picture.height);
    let turned = |from: &dyn Fn(usize, usize) -> (usize, usize)| {
        let data = (0..width * height).map(|i| {
            let (x, y) = from(i % width, i / width);
            picture.data[y * width + x]
        });
        Luma { data: data.collect(), width, height }
    };
    for picture in [
        turned(&|x, y| (width - 1 - x, y)),
        turned(&|x, y| (x, height - 1 - y)),
        turned(&|x, y| (width - 1 - x, height - 1 - y)),
        Luma { data: picture.data.iter().map(|v| 255 - v).collect(), width, height },
    ] {
        assert_eq!(Reader::new().read(&picture.capture()), Err(Unread::NotFound));
    }
}

#[test]
fn overscan_that_leaves_the_marker_does_no_harm() {
    let mut picture = Luma::background(640, 480, &mut Dice(8));
    let placement = Placement::centred(640, 480).unwrap();
    picture.paint(LIMITED, placement, 99);
    let (left, top) = (placement.x(), placement.y());
    let cut = &picture.data[top * 640 + left..];
    let capture = Capture::luma(cut, 640, placement.width(), placement.height()).unwrap();
    let reading = Reader::new().read(&capture).unwrap();
    assert_eq!(reading.number, 99);
    let moved = (-(left as f64), -(top as f64));
    assert!(reading.geometry.deviation_px(placement, moved) < 0.02);
}

#[test]
fn a_moving_marker_is_followed_without_a_search() {
    let mut reader = Reader::new();
    for i in 0..20 {
        let placement = Placement::at(20 + 4 * i, 30 + 2 * i, 16).unwrap();
        let mut picture = Luma { data: vec![90; 720 * 520], width: 720, height: 520 };
        picture.paint(LIMITED, placement, i as u32);
        let reading = reader.read(&picture.capture()).unwrap();
        assert_eq!(reading.number, i as u32);
        let deviation_px = reading.geometry.deviation_px(placement, (0.0, 0.0));
        assert!(deviation_px < 0.1, "{i}: {deviation_px}");
    }
    assert_eq!(reader.searches(), 1);
    let empty = Luma { data: vec![90; 720 * 520], width: 720, height: 520 };
    assert_eq!(reader.read(&empty.capture()), Err(Unread::NotFound));
}

/// Largest distance of the marker's corners and middle from where they truly are, in source pixels.
fn error_px(reading: &Reading, path: &Path, from: &Luma, placement: Placement) -> f32 {
    let places = [(0.0, 0.0), (34.0, 0.0), (0.0, 26.0), (34.0, 26.0), (17.0, 13.0)];
    let errors = places.map(|(column, row)| {
        let (x, y) = reading.geometry.at(column, row);
        let [u, v] = path.source(from, path.size(from), x, y);
        let should = |at: usize, blocks: f32| at as f32 + blocks * placement.block_px() as f32;
        (u - should(placement.x(), column)).hypot(v - should(placement.y(), row))
    });
    errors.into_iter().fold(0.0, f32::max)
}

#[test]
fn geometry_is_known_to_a_part_of_a_pixel() {
    let mut dice = Dice(9);
    let unscaled = |dice: &mut Dice| Path { shift: Path::hard(dice).shift, ..Path::EXACT };
    let whole = |path: Path| Path { shift: path.shift.map(f32::round), ..path };
    let mut largest_px = |name: &str, path: &dyn Fn(&mut Dice) -> Path| {
        let mut errors: Vec<f32> = (0..60)
            .map(|_| {
                let (mut picture, placement) = scene(&mut dice);
                picture.paint(LIMITED, placement, dice.number());
                let path = path(&mut dice);
                let reading = Reader::new().read(&path.run(&picture, &mut dice).capture()).unwrap();
                error_px(&reading, &path, &picture, placement)
            })
            .collect();
        errors.sort_by(f32::total_cmp);
        println!("{name}: median {:.3}, largest {:.3} source pixels", errors[30], errors[59]);
        errors[59]
    };
    assert!(largest_px("1:1", &|dice| whole(unscaled(dice))) < 0.01);
    assert!(largest_px("1:1, noise 5", &|dice| Path { noise_sigma: 5.0, ..whole(unscaled(dice)) }) < 0.1);
    assert!(largest_px("1:1, noise 20", &|dice| Path { noise_sigma: 20.0, ..whole(unscaled(dice)) }) < 0.35);
    assert!(largest_px("1:1, JPEG 50, noise 5", &|dice| Path { noise_sigma: 5.0, jpeg: true, ..whole(unscaled(dice)) }) < 0.2);
    assert!(largest_px("1:1 shifted by parts of a pixel", &unscaled) < 0.1);
    // A scaler without a filter loses up to half a pixel of where an edge was.
    assert!(largest_px("scaled and bent", &|dice| Path { noise_sigma: 0.0, jpeg: false, ..Path::moderate(dice) }) < 0.6);
}

#[test]
fn one_whole_pixel_of_shift_shows() {
    let mut picture = Luma { data: vec![120; 640 * 480], width: 640, height: 480 };
    let placement = Placement::centred(640, 480).unwrap();
    picture.paint(LIMITED, placement, 5);
    let path = Path { noise_sigma: 5.0, ..Path::EXACT };
    let mut dice = Dice(10);
    let capture = path.run(&picture, &mut dice);
    let shifted = Capture::luma(&capture.data[1..], 640, 639, 480).unwrap();
    let right = Reader::new().read(&capture.capture()).unwrap().geometry.deviation_px(placement, (0.0, 0.0));
    let wrong = Reader::new().read(&shifted).unwrap().geometry.deviation_px(placement, (0.0, 0.0));
    assert!(right < 0.1 && (wrong - 1.0).abs() < 0.1, "{right} {wrong}");
}

/// A BGRX picture as a path shows it: painted as Y'CbCr of one signal, decoded as another, with chroma at half size.
fn decoded(encoded: Signal, as_if: Signal, exchange: bool) -> (Vec<u8>, Placement) {
    let (width, height) = (640, 480);
    let placement = Placement::centred(width, height).unwrap();
    let (mut luma, mut chroma) = (vec![100; width * height], vec![128; width * height / 2]);
    paint(Target::Luma { plane: &mut luma, stride: width }, encoded, placement, 77).unwrap();
    paint(Target::CbCr { plane: &mut chroma, stride: width }, encoded, placement, 77).unwrap();
    let (kr, kb) = as_if.matrix.kr_kb();
    let (offset, span, chroma_span) = if as_if.range == Range::Limited { (16.0, 219.0, 224.0) } else { (0.0, 255.0, 255.0) };
    let bgrx = (0..width * height).flat_map(|i| {
        let at = i / width / 2 * width + i % width / 2 * 2;
        let y = (f64::from(luma[i]) - offset) / span;
        let [cb, cr] = [chroma[at], chroma[at + 1]].map(|v| (f64::from(v) - 128.0) / chroma_span);
        let (cb, cr) = if exchange { (cr, cb) } else { (cb, cr) };
        let (r, b) = (y + 2.0 * (1.0 - kr) * cr, y + 2.0 * (1.0 - kb) * cb);
        let g = (y - kr * r - kb * b) / (1.0 - kr - kb);
        let byte = |v: f64| (v * 255.0).round().clamp(0.0, 255.0) as u8;
        [byte(b), byte(g), byte(r), 0]
    });
    (bgrx.collect(), placement)
}

#[test]
fn a_wrong_matrix_or_range_is_named() {
    use Matrix::{Bt601, Bt709};
    let limited = |matrix| Signal { matrix, range: Range::Limited };
    let full = Signal { matrix: Bt709, range: Range::Full };
    for (encoded, as_if, exchange, fault) in [
        (limited(Bt709), limited(Bt709), false, None),
        (limited(Bt601), limited(Bt601), false, None),
        (full, full, false, None),
        (limited(Bt601), limited(Bt709), false, Some(ColourFault::Matrix { encoded: Bt601, decoded: Bt709 })),
        (limited(Bt709), limited(Bt601), false, Some(ColourFault::Matrix { encoded: Bt709, decoded: Bt601 })),
        (limited(Bt709), full, false, Some(ColourFault::LimitedShownAsFull)),
        (full, limited(Bt709), false, Some(ColourFault::FullShownAsLimited)),
        (limited(Bt709), limited(Bt709), true, Some(ColourFault::Exchanged)),
    ] {
        let (bgrx, _) = decoded(encoded, as_if, exchange);
        let reading = Reader::new().read(&Capture::bgrx(&bgrx, 640 * 4, 640, 480).unwrap()).unwrap();
        let seen = colours(&bgrx, 640 * 4, 640, 480, &reading.geometry).unwrap();
        let verdict = judge_colours(&seen, 6.0);
        assert_eq!(verdict.fault, fault, "{verdict:?} {seen:?}");
        assert_eq!(verdict.error > 6.0, fault.is_some());
    }
    // Greys squeezed and bars off: by no single mistake.
    let mut seen = expected_colours();
    assert_eq!(judge_colours(&seen, 1.0).error, 0.0);
    seen[3][1] += 30.0;
    assert_eq!(judge_colours(&seen, 6.0), ColourVerdict { fault: Some(ColourFault::Other), error: 30.0 });
    assert!(colours(&[0; 16], 8, 2, 2, &Geometry::of(Placement::at(0, 0, 12).unwrap())).is_none());
}

#[test]
#[ignore = "prints timings"]
fn timings() {
    for (name, width, height, x, y) in [("rectangle 544 × 416", 544, 416, 0, 0), ("1920 × 1080", 1920, 1080, 688, 332)] {
        let placement = Placement::at(x, y, 16).unwrap();
        let mut picture = Luma::background(width, height, &mut Dice(2));
        picture.paint(LIMITED, placement, 1);
        let time = |work: &mut dyn FnMut()| {
            let mut times: Vec<_> = (0..300)
                .map(|_| {
                    let start = std::time::Instant::now();
                    work();
                    start.elapsed().as_secs_f64() * 1e6
                })
                .collect();
            times.sort_by(f64::total_cmp);
            times[150]
        };
        let mut reader = Reader::new();
        let known = time(&mut || assert!(reader.read(&picture.capture()).is_ok()));
        let search = time(&mut || assert!(Reader::new().read(&picture.capture()).is_ok()));
        let without = Luma::background(width, height, &mut Dice(4));
        let nothing = time(&mut || assert!(reader.read(&without.capture()).is_err()));
        let painted = time(&mut || picture.paint(LIMITED, placement, 2));
        let mut bgrx = vec![0; width * height * 4];
        let bgrx = time(&mut || paint(Target::Bgrx { plane: &mut bgrx, stride: width * 4 }, FULL, placement, 2).unwrap());
        println!(
            "{name}: median µs: known {known:.1}, search {search:.1}, nothing there {nothing:.1}, paint luma {painted:.1}, BGRX {bgrx:.1}"
        );
    }
}
