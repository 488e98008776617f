use super::*;
use crate::frame::{Colorimetry, FrameLayout, Matrix, PixelFormat, Range};
use proptest::prelude::*;

const MS: u64 = 1_000_000;
const BLACK_MS: u64 = 1_000;

struct Still {
    layout: FrameLayout,
    bytes: Vec<u8>,
}

impl Still {
    fn new(format: PixelFormat, range: Range, value: u8) -> Self {
        Still::of_size(format, range, value, (200, 300))
    }

    fn of_size(format: PixelFormat, range: Range, value: u8, (width, height): (usize, usize)) -> Self {
        let layout = FrameLayout::new(format, Colorimetry::sdr(Matrix::Bt709, range), width, height).unwrap();
        Still { layout, bytes: vec![value; layout.size] }
    }

    fn look(&self, watch: &mut ContentWatch, at_ms: u64) -> Vec<SignalEvent> {
        let picture = Picture {
            layout: self.layout,
            planes: Planes::of(&self.layout, &self.bytes),
            pts_ns: at_ms * MS,
            due_ns: None,
            arrival_ns: 0,
            decode_ns: None,
            skipped: 0,
            is_damaged: false,
        };
        watch.look(&picture, None, at_ms * MS).into_iter().flatten().collect()
    }
}

#[test]
fn a_repeated_picture_is_frozen_and_one_pixel_of_noise_is_not() {
    let mut still = Still::new(PixelFormat::Nv12, Range::Limited, 120);
    let mut watch = ContentWatch::new(500 * MS, BLACK_MS * MS, None);
    let frozen_at: Vec<u64> = (0..60).map(|n| n * 20).filter(|&at| still.look(&mut watch, at) == [SignalEvent::Frozen]).collect();
    // The second picture is the first that repeats one.
    assert_eq!(frozen_at, [520]);
    // Noise in a sampled row is seen at once; between them, within eight pictures.
    let sampled = still.layout.planes()[0].stride * (300 / 128);
    for (at, byte) in [(1_200, sampled), (2_400, still.bytes.len() / 2 + 70)] {
        for n in 0..40 {
            still.look(&mut watch, at + n * 20);
        }
        still.bytes[byte] ^= 1;
        let moved = (0..9).find(|n| still.look(&mut watch, at + 800 + n * 20) == [SignalEvent::Moving]);
        assert!(moved.is_some(), "byte {byte}");
    }
    let mut watch = ContentWatch::new(500 * MS, BLACK_MS * MS, None);
    for n in 0..200u64 {
        still.bytes[(n * 7919) as usize % 200] ^= 1;
        assert_eq!(still.look(&mut watch, n * 20), [], "noise is life");
    }
}

#[test]
fn what_moves_between_the_sampled_rows_is_no_frozen_picture() {
    let mut still = Still::new(PixelFormat::I420, Range::Limited, 90);
    let mut watch = ContentWatch::new(300 * MS, BLACK_MS * MS, None);
    let chroma = still.layout.planes()[2].offset;
    for n in 0..100u64 {
        still.bytes[chroma + (n % 50) as usize] ^= 3;
        assert_eq!(still.look(&mut watch, n * 33), []);
    }
}

#[test]
fn black_is_said_after_a_second_in_every_range() {
    for (format, range, black, light) in
        [(PixelFormat::Nv12, Range::Limited, 20, 40), (PixelFormat::I420, Range::Full, 8, 16), (PixelFormat::Rgb, Range::Full, 8, 16)]
    {
        let mut watch = ContentWatch::new(u64::MAX, BLACK_MS * MS, None);
        let dark = Still::new(format, range, black);
        let said: Vec<u64> = (0..100).map(|n| n * 25).filter(|&at| dark.look(&mut watch, at) == [SignalEvent::Black]).collect();
        assert_eq!(said, [1_000], "{format:?}");
        let mut lit = Still::new(format, range, black);
        let stride = lit.layout.planes()[0].stride;
        lit.bytes[stride * 148..stride * 156].fill(light);
        let said: Vec<u64> = (100..110).map(|n| n * 25).filter(|&at| lit.look(&mut watch, at) == [SignalEvent::Lit]).collect();
        assert_eq!(said.len(), 1);
    }
}

/// As the settings are by default: what is said, and when, of pictures that are each the `every`-th new one.
fn said_by_default(fps: u64, every: u64, mut paint: impl FnMut(u64, &mut [u8])) -> Vec<(u64, SignalEvent)> {
    let mut still = Still::new(PixelFormat::Nv12, Range::Limited, 120);
    let mut watch = ContentWatch::new(150 * MS, 150 * MS, None);
    let mut said = Vec::new();
    for n in 0..4 * fps {
        if n % every == 0 {
            paint(n, &mut still.bytes);
        }
        let at_ms = n * 1_000 / fps;
        said.extend(still.look(&mut watch, at_ms).into_iter().map(|event| (at_ms, event)));
    }
    said
}

#[test]
fn frozen_and_black_are_named_within_200_ms_by_default() {
    for fps in [15, 24, 25, 30, 50, 60] {
        let noise = |n: u64, bytes: &mut [u8]| bytes[..60_000].iter_mut().step_by(7).for_each(|luma| *luma = 100 + (n % 50) as u8);
        let said = said_by_default(fps, 1, |n, bytes| {
            if n < fps {
                noise(n, bytes)
            }
        });
        let first_repeat_ms = 1_000 + 1_000 / fps;
        assert!(matches!(said[..], [(at, SignalEvent::Frozen)] if at <= 1_000 + 200), "{fps} {first_repeat_ms} {said:?}");
        let said = said_by_default(fps, 1, |n, bytes| {
            bytes.fill(16);
            bytes[..60_000].iter_mut().step_by(7).for_each(|luma| *luma = if n < fps { 100 } else { 16 } + (n % 9) as u8);
        });
        assert!(matches!(said[..], [(at, SignalEvent::Black)] if at <= 1_000 + 200), "{fps} {said:?}");
    }
}

#[test]
fn a_source_that_repeats_pictures_by_design_is_not_frozen() {
    let noise = |n: u64, bytes: &mut [u8]| bytes[..60_000].iter_mut().for_each(|luma| *luma = (n % 199) as u8 + 30);
    for (fps, every) in [(50, 2), (60, 2), (60, 3), (60, 4), (60, 8), (25, 2), (25, 3)] {
        assert_eq!(said_by_default(fps, every, noise), [], "{fps} {every}");
    }
}

#[test]
fn a_dark_picture_with_a_glow_and_a_fade_are_not_black() {
    // A dark trocar: noise of black, and a glow of a tenth of the height.
    let trocar = |n: u64, bytes: &mut [u8]| {
        bytes[..60_000].iter_mut().enumerate().for_each(|(at, luma)| *luma = 16 + (at as u64 * 7 + n * 13) as u8 % 11);
        (140..170).for_each(|row| bytes[row * 200 + 90..][..20].fill(40));
    };
    assert_eq!(said_by_default(60, 1, trocar), []);
    // Down to black and up again: black for a tenth of a second.
    let fade = |n: u64, bytes: &mut [u8]| {
        let level = n.abs_diff(120).saturating_sub(3).min(80) as u8;
        bytes[..60_000].iter_mut().enumerate().for_each(|(at, luma)| *luma = 24 + level + (at as u64 * 7 + n * 13) as u8 % 5);
    };
    assert_eq!(said_by_default(60, 1, fade), []);
}

proptest! {
    /// Frozen and Moving alternate, Black and Lit too, and flaws with their end, whatever comes.
    #[test]
    fn events_alternate(values in proptest::collection::vec((0u8..4, 1u64..400), 1..200)) {
        let mut watch = ContentWatch::new(500 * MS, BLACK_MS * MS, None);
        let (mut frozen, mut black, mut back, mut at) = (false, false, false, 0);
        for (value, step) in values {
            at += step;
            for event in Still::new(PixelFormat::I420, Range::Full, value * 9).look(&mut watch, at) {
                match event {
                    SignalEvent::Frozen => { prop_assert!(!frozen); frozen = true; }
                    SignalEvent::Moving => { prop_assert!(frozen); frozen = false; }
                    SignalEvent::Black => { prop_assert!(!black); black = true; }
                    SignalEvent::Lit => { prop_assert!(black); black = false; }
                    SignalEvent::OutOfOrder { is_stream } => { prop_assert!(is_stream || !back); back = true; }
                    SignalEvent::InOrder { .. } => { prop_assert!(back); back = false; }
                    other => prop_assert!(false, "{other:?}"),
                }
            }
        }
    }
}

/// Both halves in every format and packing: one eye stands, the other has noise.
#[test]
fn an_eye_that_stands_is_named_while_the_other_one_moves() {
    for (packing, format) in [Packing::SideBySide, Packing::TopBottom].into_iter().flat_map(|p| PixelFormat::ALL.map(|f| (p, f))) {
        let mut still = Still::of_size(format, Range::Limited, 120, (240, 300));
        for eye in EYES {
            let mut watch = ContentWatch::new(500 * MS, BLACK_MS * MS, Some(packing));
            let other = if eye == Eye::Left { Eye::Right } else { Eye::Left };
            let plane = still.layout.planes()[0];
            let (x, y) = match (packing, other) {
                (_, Eye::Left) => (0, 0),
                (Packing::SideBySide, Eye::Right) => (plane.row_bytes / 2, 0),
                (Packing::TopBottom, Eye::Right) => (0, plane.rows / 2),
            };
            let noise = plane.offset + (y + 7) * plane.stride + x;
            let mut said = Vec::new();
            for n in 0..60u64 {
                // The eye that stands moves once again, at 1 s.
                let moving =
                    plane.offset + (if y == 0 { plane.rows - 8 } else { 7 }) * plane.stride + if x == 0 { plane.row_bytes - 1 } else { 0 };
                still.bytes[moving] = if n < 50 { 1 } else { 2 };
                (0..plane.rows / 2 - 8).for_each(|row| still.bytes[noise + row * plane.stride] = n as u8);
                said.extend(still.look(&mut watch, n * 20).into_iter().map(|event| (n * 20, event)));
            }
            assert_eq!(said[0], (520, SignalEvent::EyeFrozen { eye }), "{packing:?} {format:?}");
            assert!(
                said.len() == 2 && said[1].1 == SignalEvent::EyeMoving { eye } && said[1].0 < 1_000 + 9 * 20,
                "{packing:?} {format:?} {said:?}"
            );
        }
    }
}

#[test]
fn what_both_eyes_do_is_the_picture_s_and_a_lost_eye_is_not_watched() {
    let mut still = Still::new(PixelFormat::Nv12, Range::Limited, 16);
    let mut watch = ContentWatch::new(500 * MS, BLACK_MS * MS, Some(Packing::SideBySide));
    let mut at_ms = 0;
    let mut during = |watch: &mut ContentWatch, still: &Still, ms: u64| -> Vec<SignalEvent> {
        let end_ms = at_ms + ms;
        let mut said = Vec::new();
        while at_ms < end_ms {
            at_ms += 20;
            said.extend(still.look(watch, at_ms));
        }
        said
    };
    assert_eq!(during(&mut watch, &still, 2_000), [SignalEvent::Frozen, SignalEvent::Black]);
    let lost = |eye| SignalEvent::EyeLost { eye, reason: "unplugged".into() };
    watch.hear(&lost(Eye::Right));
    assert_eq!(during(&mut watch, &still, 2_000), [], "black because we made it so");
    still.bytes[..200 * 300].fill(90);
    assert_eq!(during(&mut watch, &still, 20), [SignalEvent::EyeMoving { eye: Eye::Left }, SignalEvent::EyeLit { eye: Eye::Left }]);
    watch.hear(&SignalEvent::EyeBack { eye: Eye::Right, after_ms: 9 });
    still.bytes.fill(16);
    assert_eq!(during(&mut watch, &still, 1_700), [SignalEvent::Frozen, SignalEvent::Black]);
    // After a loss everything that still holds is said anew.
    watch.hear(&SignalEvent::Lost { reason: "unplugged".into() });
    assert_eq!(during(&mut watch, &still, 2_000), [SignalEvent::Frozen, SignalEvent::Black]);
    // What cannot be parted is watched as it is.
    let odd = Still::of_size(PixelFormat::V210, Range::Limited, 120, (200, 100));
    let mut watch = ContentWatch::new(500 * MS, BLACK_MS * MS, Some(Packing::SideBySide));
    assert_eq!(during(&mut watch, &odd, 800), [SignalEvent::Frozen]);
}

/// A row's last group may end in whatever was in the memory.
#[test]
fn what_the_source_leaves_unwritten_neither_moves_nor_shines() {
    for (format, width, value) in [(PixelFormat::Yuy2, 201, 18), (PixelFormat::Uyvy, 201, 18), (PixelFormat::V210, 200, 0)] {
        let mut still = Still::of_size(format, Range::Limited, value, (width, 100));
        let mut watch = ContentWatch::new(500 * MS, BLACK_MS * MS, None);
        let plane = still.layout.planes()[0];
        let mut said = Vec::new();
        for n in 0..100u64 {
            (0..plane.rows).for_each(|row| still.bytes[row * plane.stride + plane.row_bytes - 1] = 100 + n as u8);
            said.extend(still.look(&mut watch, n * 20));
        }
        assert_eq!(said, [SignalEvent::Frozen, SignalEvent::Black], "{format:?}");
    }
}

#[test]
#[ignore = "prints a time"]
fn time_of_a_look_at_1080p() {
    use std::time::Instant;
    for (format, packing, value, moves) in [
        (PixelFormat::Nv12, None, 90, true),
        (PixelFormat::Nv12, None, 16, true),
        (PixelFormat::Yuy2, None, 16, true),
        (PixelFormat::V210, None, 16, true),
        (PixelFormat::Bgrx, None, 9, true),
        (PixelFormat::Nv12, Some(Packing::SideBySide), 16, true),
        (PixelFormat::Nv12, None, 90, false),
        (PixelFormat::Bgrx, None, 90, false),
    ] {
        // More than the caches hold, as the decoder's pictures are.
        let mut stills: Vec<Still> = (0..8).map(|_| Still::of_size(format, Range::Limited, value, (1920, 1080))).collect();
        let mut watch = ContentWatch::new(500 * MS, BLACK_MS * MS, packing);
        let mut times: Vec<f64> = (0..1_000u64)
            .map(|n| {
                let still = &mut stills[n as usize % 8];
                if moves {
                    let middle = still.bytes.len() / 3;
                    still.bytes[..middle].iter_mut().step_by(1_000).for_each(|byte| *byte = value & 0xf0 | n as u8 & 7);
                }
                let begun = Instant::now();
                still.look(&mut watch, n * 17);
                begun.elapsed().as_secs_f64() * 1e6
            })
            .collect();
        times.sort_by(f64::total_cmp);
        let mean = times.iter().sum::<f64>() / 1e3;
        println!(
            "1080p {format:?} {packing:?} of {value}, moves {moves}: mean {mean:.0}, p50 {:.0}, p99 {:.0}, max {:.0} µs",
            times[500], times[990], times[999]
        );
    }
}
