use super::*;
use crate::base::ids::ClassId;
use crate::base::random::Random;
use crate::frame::cuda::testing::{input, on_every_device, output, value};
use crate::infer::{ColourOrder, Resize};
use crate::scene::ClassMask;
use crate::track::cuda::testing::{list, mapping, maps};
use crate::track::decode::Detection;
use crate::track::look::{BINS, Look, Shown};
use crate::track::maps::INSTRUMENT;
use crate::track::measured::InstrumentSums;
use half::f16;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

/// Wider than a block looks at once.
const MAP: [usize; 2] = [140, 50];
const MOST: usize = 4;

#[test]
fn what_instruments_look_like_is_the_references_to_the_last_count() {
    on_every_device("what_instruments_look_like_is_the_references_to_the_last_count", |runner| {
        let seen = std::cell::Cell::new([0usize; 2]);
        let config = Config { cases: 30, failure_persistence: None, max_shrink_iters: 8, ..Config::default() };
        let test = |(seed, [is_nchw, is_bgr, is_half]): (u64, [bool; 3])| {
            let Some((maps, regions)) = maps(MAP, seed) else { return Ok(()) };
            let mut random = Random::new(seed);
            let spec = InputSpec {
                name: "image".to_owned(),
                layout: if is_nchw { TensorLayout::Nchw } else { TensorLayout::Nhwc },
                width: 90,
                height: 64,
                colour: if is_bgr { ColourOrder::Bgr } else { ColourOrder::Rgb },
                resize: Resize::Letterbox,
                mean: [0.4, 0.5, 0.6],
                std: [0.2, 0.25, 0.3],
            };
            let fit = Fit { x: 0, y: 5, width: 90, height: 51 };
            let exact: Vec<f32> = (0..3 * 90 * 64).map(|_| random.between(-2.4, 2.4)).collect();
            let halves: Vec<u16> = exact.iter().map(|v| f16::from_f32(*v).to_bits()).collect();
            let numbers: Vec<f32> =
                if is_half { halves.iter().map(|bits| f16::from_bits(*bits).to_f32()).collect() } else { exact.clone() };

            let (mapping, list) = (mapping(MAP), list(&regions));
            let wanted: Vec<usize> = (0..list.len()).filter(|&i| regions.list[i].label == INSTRUMENT).take(MOST).collect();
            let mut instruments = [InstrumentSums { region: u32::MAX, ..InstrumentSums::zeroed() }; MOST];
            instruments.iter_mut().zip(&wanted).for_each(|(sums, &region)| sums.region = region as u32);
            let plan = LooksPlan::new(&spec, is_half, MAP, &mapping, fit, MOST);
            let mut looks = vec![77u32; MOST * BINS];
            let tensor = if is_half { input(&halves) } else { input(&exact) };
            let mut args = [
                value(&plan.params),
                input(&instruments),
                input(&regions.map),
                input(&list),
                input(&maps.labels),
                input(&maps.mask),
                tensor,
                output(&mut looks),
            ];
            runner.run(&plan.launch, &mut args);

            let mask = ClassMask { width: MAP[0] as u32, height: MAP[1] as u32, ids: maps.mask.clone() };
            let picture = mapping.picture.map(|side| side as u32);
            let shown = Shown { input: &numbers, spec: &spec, fit, picture };
            for (rank, counts) in looks.as_chunks::<BINS>().0.iter().enumerate() {
                let Some(&region) = wanted.get(rank) else {
                    prop_assert_eq!(counts, &[0; BINS]);
                    continue;
                };
                let votes =
                    |id: u8| regions.pixels(region).filter(|&(_, _, at)| maps.labels[at] == INSTRUMENT && maps.mask[at] == id).count();
                let class = ClassId((0..=255u8).max_by_key(|&id| votes(id)).unwrap());
                let [left, top, right, bottom] = regions.list[region].bbox.map(|side| side as f32);
                let ([x0, y0], [x1, y1]) = (mapping.in_picture([left, top]), mapping.in_picture([right, bottom]));
                let detection = Detection { class, confidence: 1.0, bbox: [x0, y0, x1, y1], tip: None, axis: None, outlines: Vec::new() };
                let expected = shown.look(&detection, &mask);
                prop_assert_eq!(Look::counted(counts), expected);
                let [known, unknown] = seen.get();
                let is_known = expected.likeness(&expected).is_some();
                seen.set([known + usize::from(is_known), unknown + usize::from(!is_known)]);
            }
            Ok(())
        };
        TestRunner::new(config).run(&(any::<u64>(), any::<[bool; 3]>()), test).unwrap();
        assert!(seen.get().iter().all(|&count| count > 3), "known, and too few pixels: {:?}", seen.get());
    });
}
