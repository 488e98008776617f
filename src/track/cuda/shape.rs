//! What `shaders/region_shape.cu` is given for the regions of one frame.

use crate::frame::cuda::{Launch, REGION_SHAPE};
use crate::track::outline::Mapping;
use crate::track::split::Expected;
use bytemuck::{Pod, Zeroable};

const THREADS: u32 = 128;
const MOST_EXPECTED: usize = 16;
/// `class_id` of a region that is no instrument.
pub const NO_CLASS: u32 = 256;

/// `Expected` of the kernel.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Pod, Zeroable)]
pub struct ExpectedOnGpu {
    pub tip: [f32; 2],
    pub axis: [f32; 2],
}

/// As in the kernel.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Pod, Zeroable)]
pub struct ShapeParams {
    pub map: [u32; 2],
    pub scale: [f32; 2],
    pub shift: [f32; 2],
    pub picture: [f32; 2],
    pub expected_count: u32,
    pub expected: [ExpectedOnGpu; MOST_EXPECTED],
}

/// What the kernel says of a region.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Pod, Zeroable)]
pub struct RegionShape {
    /// Map pixels.
    pub area: u32,
    /// Half-open, in map pixels.
    pub bbox: [u32; 4],
    pub class_id: u32,
    pub has_axis: u32,
    pub has_tip: u32,
    /// Mean probability, 0..1.
    pub confidence: f32,
    /// Pixels of the captured picture, as what follows.
    pub centroid: [f32; 2],
    pub axis: [f32; 2],
    pub tip: [f32; 2],
}

/// All that a launch needs but the buffers.
#[derive(Debug, Clone, Copy)]
pub struct ShapePlan {
    pub params: ShapeParams,
    pub launch: Launch,
}

impl ShapePlan {
    /// For `regions` regions (at least one) of a map of that size; of what is `expected` the first sixteen count.
    pub fn new(regions: usize, map: [usize; 2], mapping: &Mapping, expected: &[Expected]) -> Self {
        let count = expected.len().min(MOST_EXPECTED);
        let mut all = [ExpectedOnGpu::zeroed(); MOST_EXPECTED];
        all.iter_mut().zip(expected).for_each(|(to, from)| *to = ExpectedOnGpu { tip: from.tip, axis: from.axis });
        let Mapping { scale, shift, picture } = *mapping;
        let params = ShapeParams { map: map.map(|side| side as u32), scale, shift, picture, expected_count: count as u32, expected: all };
        ShapePlan { params, launch: Launch::over(REGION_SHAPE, "region_shape", regions.max(1) * THREADS as usize, THREADS) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ids::ClassId;
    use crate::frame::cuda::testing::{Runner, input, on_every_device, output, value};
    use crate::infer::{Activation, Calibration, HeadKind, OutputSpec, TensorLayout, TensorView};
    use crate::track::maps::{INSTRUMENT, Maps, Window};
    use crate::track::regions::Regions;
    use crate::track::shape::{Scratch, of_region};
    use proptest::prelude::*;
    use proptest::test_runner::{Config, TestRunner};

    const MAP: [usize; 2] = [96, 60];
    const MAPPING: Mapping = Mapping { scale: [8.0, 8.0], shift: [0.0, 0.0], picture: [768.0, 480.0] };

    /// A bar from `a` to `b` with something hanging on it, in map pixels; soft at its edge.
    #[derive(Debug, Clone)]
    struct Bar {
        a: [f32; 2],
        b: [f32; 2],
        half_width: f32,
        blob: ([f32; 2], f32),
        class: u8,
    }

    fn bars() -> impl Strategy<Value = Vec<Bar>> {
        let point = || [-10.0f32..106.0, -10.0f32..70.0];
        let bar = (point(), point(), 1.5f32..6.0, point(), 0.0f32..9.0, 5u8..9).prop_map(|(a, b, half_width, at, radius, class)| Bar {
            a,
            b,
            half_width,
            blob: (at, radius),
            class,
        });
        prop::collection::vec(bar, 1..4)
    }

    fn probability(bar: &Bar, p: [f32; 2]) -> f32 {
        let d = [bar.b[0] - bar.a[0], bar.b[1] - bar.a[1]];
        let length2 = (d[0] * d[0] + d[1] * d[1]).max(1e-3);
        let t = (((p[0] - bar.a[0]) * d[0] + (p[1] - bar.a[1]) * d[1]) / length2).clamp(0.0, 1.0);
        let off = (p[0] - bar.a[0] - t * d[0]).hypot(p[1] - bar.a[1] - t * d[1]);
        let blob = (p[0] - bar.blob.0[0]).hypot(p[1] - bar.blob.0[1]);
        (0.5 + 0.2 * (bar.half_width - off).max(bar.blob.1 - blob)).clamp(0.03, 0.97)
    }

    fn maps_of(bars: &[Bar]) -> (Maps, Regions) {
        let [width, height] = MAP;
        let mut classes: Vec<u8> = bars.iter().map(|bar| bar.class).collect();
        classes.sort_unstable();
        classes.dedup();
        let spec = OutputSpec {
            name: "instrument".to_owned(),
            kind: HeadKind::Instrument,
            activation: Activation::None,
            threshold: 0.5,
            calibration: Calibration::default(),
            classes: classes.iter().map(|&id| ClassId(id)).collect(),
            layout: TensorLayout::Nchw,
            width,
            height,
        };
        let mut data = Vec::new();
        for class in classes {
            data.extend((0..width * height).map(|i| {
                let p = [(i % width) as f32 + 0.5, (i / width) as f32 + 0.5];
                bars.iter().filter(|bar| bar.class == class).map(|bar| probability(bar, p)).fold(0.0, f32::max)
            }));
        }
        let mut maps = Maps::default();
        maps.fill_alone(&[TensorView { spec: &spec, data: &data }], Window { x: 0, y: 0, width, height }).unwrap();
        let mut regions = Regions::default();
        regions.fill(&maps.labels, width, height).unwrap();
        (maps, regions)
    }

    fn shapes(runner: &Runner, maps: &Maps, regions: &Regions, wanted: &[u16], expected: &[Expected]) -> Vec<RegionShape> {
        let plan = ShapePlan::new(wanted.len(), MAP, &MAPPING, expected);
        assert_eq!(plan.launch.grid, [wanted.len() as u32, 1, 1]);
        let mut shapes = vec![RegionShape::zeroed(); wanted.len()];
        let mut args = [
            value(&plan.params),
            input(wanted),
            input(&regions.map),
            input(&maps.labels),
            input(&maps.mask),
            input(&maps.instrument),
            output(&mut shapes),
        ];
        runner.run(&plan.launch, &mut args);
        shapes
    }

    /// Class with the most pixels, of equals the last, and mean probability: as `Decoder::instrument`.
    fn class_and_confidence(maps: &Maps, regions: &Regions, region: usize) -> (u32, f32) {
        let (mut votes, mut sum, mut count) = ([0u32; 256], 0f64, 0);
        for (_, _, at) in regions.pixels(region) {
            (sum, count) = (sum + f64::from(maps.instrument[at]), count + 1);
            votes[usize::from(maps.mask[at])] += u32::from(maps.labels[at] == INSTRUMENT);
        }
        let class = (0..=255usize).max_by_key(|&id| votes[id]).filter(|&id| votes[id] > 0);
        (class.map_or(NO_CLASS, |id| id as u32), (sum / f64::from(count)) as f32)
    }

    fn apart(a: [f32; 2], b: [f32; 2]) -> f32 {
        (a[0] - b[0]).hypot(a[1] - b[1])
    }

    #[test]
    fn every_instruments_numbers_axis_and_tip_are_the_references() {
        on_every_device("every_instruments_numbers_axis_and_tip_are_the_references", |runner| {
            let (with_axis, with_tip) = (std::cell::Cell::new(0), std::cell::Cell::new(0));
            let config = Config { cases: 60, failure_persistence: None, max_shrink_iters: 64, ..Config::default() };
            let expected = prop::collection::vec(([0.0f32..768.0, 0.0f32..480.0], 0.0f32..6.3), 0..4);
            let test = |(bars, expected): (Vec<Bar>, Vec<([f32; 2], f32)>)| {
                let expected: Vec<Expected> =
                    expected.into_iter().map(|(tip, angle)| Expected { tip, axis: [angle.cos(), angle.sin()] }).collect();
                let (maps, regions) = maps_of(&bars);
                let wanted: Vec<u16> =
                    (0..regions.list.len() as u16).filter(|&i| regions.list[usize::from(i)].label == INSTRUMENT).collect();
                if wanted.is_empty() {
                    return Ok(());
                }
                let found = shapes(runner, &maps, &regions, &wanted, &expected);
                for (shape, &region) in found.iter().zip(&wanted) {
                    let region = usize::from(region);
                    prop_assert_eq!((shape.area, shape.bbox), (regions.list[region].area, regions.list[region].bbox));
                    let (class, confidence) = class_and_confidence(&maps, &regions, region);
                    prop_assert_eq!(shape.class_id, class);
                    prop_assert!((shape.confidence - confidence).abs() < 1e-6);
                    let reference = of_region(&maps, &regions, &MAPPING, (region, None), &expected, &mut Scratch::default());
                    let (axis, tip) = ((shape.has_axis == 1).then_some(shape.axis), (shape.has_tip == 1).then_some(shape.tip));
                    prop_assert_eq!(axis.is_some(), reference.axis.is_some(), "{:?} {:?}", shape, reference);
                    prop_assert_eq!(tip.is_some(), reference.tip.is_some(), "{:?} {:?}", shape, reference);
                    if let (Some(found), Some(expected)) = (axis, reference.axis) {
                        prop_assert!(apart(found, expected) < 1e-3, "{:?} {:?}", shape, reference);
                        with_axis.set(with_axis.get() + 1);
                    }
                    if let (Some(found), Some(expected)) = (tip, reference.tip) {
                        // A fortieth of a map pixel.
                        prop_assert!(apart(found, expected) < 0.2, "{:?} {:?}", shape, reference);
                        with_tip.set(with_tip.get() + 1);
                    }
                    prop_assert!(apart(shape.centroid, centroid(&maps, &regions, region)) < 0.01);
                }
                Ok(())
            };
            TestRunner::new(config).run(&(bars(), expected), test).unwrap();
            assert!(with_axis.get() > 10 && with_tip.get() > 10, "{} {}", with_axis.get(), with_tip.get());
        });
    }

    /// Weighed by probability, in pixels of the captured picture.
    fn centroid(maps: &Maps, regions: &Regions, region: usize) -> [f32; 2] {
        let (mut sum, mut weight) = ([0f64; 2], 0f64);
        for (x, y, at) in regions.pixels(region) {
            let own = f64::from(maps.instrument[at]).max(1e-3);
            let p = MAPPING.in_picture([x as f32 + 0.5, y as f32 + 0.5]);
            weight += own;
            sum.iter_mut().zip(p).for_each(|(sum, p)| *sum += own * f64::from(p));
        }
        sum.map(|sum| (sum / weight) as f32)
    }

    #[test]
    fn a_region_that_is_not_there_has_no_area_and_one_of_tissue_no_class() {
        on_every_device("a_region_that_is_not_there_has_no_area_and_one_of_tissue_no_class", |runner| {
            let (maps, regions) = maps_of(&[Bar { a: [20.0, 30.0], b: [60.0, 30.0], half_width: 4.0, blob: ([0.0; 2], 0.0), class: 5 }]);
            let background = regions.list.iter().position(|region| region.label != INSTRUMENT).unwrap() as u16;
            let found = shapes(runner, &maps, &regions, &[500, background], &[]);
            assert_eq!(found[0], RegionShape { class_id: NO_CLASS, ..RegionShape::zeroed() });
            assert!(found[1].area > 4000 && found[1].class_id == NO_CLASS);
        });
    }
}
