//! Maps for tests of what is made of them.

use crate::base::ids::ClassId;
use crate::base::random::Random;
use crate::infer::{Activation, Calibration, HeadKind, OutputSpec, TensorLayout, TensorView};
use crate::track::maps::{Maps, Window};
use crate::track::outline::Mapping;
use crate::track::regions::Regions;

pub const TISSUES: [u8; 4] = [0, 2, 4, 6];
const TOOLS: [u8; 2] = [13, 14];

/// How a map of that size lies in a picture.
pub fn mapping([width, height]: [usize; 2]) -> Mapping {
    let picture = [640.0, 360.0];
    Mapping { scale: [picture[0] / width as f32, picture[1] / height as f32], shift: [0.0, 0.25], picture }
}

/// Soft patches of tissues and of instruments with specks in them; None: they came out as noise.
pub fn maps([width, height]: [usize; 2], seed: u64) -> Option<(Maps, Regions)> {
    let mut random = Random::new(seed);
    let mut planes = |count: usize, bias: f32| -> Vec<f32> {
        let patch = 6 + random.below(14);
        let columns = width / patch + 2;
        let mut all = Vec::new();
        for _ in 0..count {
            let knots: Vec<f32> = (0..columns * (height / patch + 2)).map(|_| random.between(0.0, 1.0)).collect();
            for at in 0..width * height {
                let (x, y) = (at % width, at / width);
                let knot = y / patch * columns + x / patch;
                let part = [(x % patch) as f32 / patch as f32, (y % patch) as f32 / patch as f32];
                let row = |at: usize| knots[at] + (knots[at + 1] - knots[at]) * part[0];
                let smooth = row(knot) + (row(knot + columns) - row(knot)) * part[1];
                let speck = if random.below(300) == 0 { random.between(-0.6, 0.6) } else { 0.0 };
                all.push((smooth - bias + speck).clamp(0.0, 1.0));
            }
        }
        all
    };
    let (tissue, tools) = (planes(TISSUES.len(), 0.0), planes(TOOLS.len(), 0.15));
    let spec = |kind, classes: &[u8], threshold| OutputSpec {
        name: "out".to_owned(),
        kind,
        activation: Activation::None,
        threshold,
        calibration: Calibration::default(),
        classes: classes.iter().map(|&id| ClassId(id)).collect(),
        layout: TensorLayout::Nchw,
        width,
        height,
    };
    let specs = [spec(HeadKind::Tissue, &TISSUES, 0.55), spec(HeadKind::Instrument, &TOOLS, 0.6)];
    let heads = [TensorView { spec: &specs[0], data: &tissue }, TensorView { spec: &specs[1], data: &tools }];
    let (mut maps, mut regions) = (Maps::default(), Regions::default());
    maps.fill_alone(&heads, Window { x: 0, y: 0, width, height }).unwrap();
    regions.fill(&maps.labels, width, height).ok()?;
    Some((maps, regions))
}

/// The regions' list as kernels have it.
pub fn list(regions: &Regions) -> Vec<super::RegionOnGpu> {
    regions.list.iter().map(|region| super::RegionOnGpu { label: region.label.into(), area: region.area, bbox: region.bbox }).collect()
}
