//! Where an instrument's shaft points and where its working end is, from its pixels.

use super::maps::Maps;
use super::measured::InstrumentSums;
use super::outline::Mapping;
use super::regions::Regions;
use super::split::Expected;

/// Long to wide from which a region has an axis (ratio of standard deviations).
const ELONGATED: f32 = 1.6;
/// Pixels of the map's edge within which a region counts as coming in from outside.
const EDGE: f32 = 1.5;
/// How much farther out than the other end, as a part of the picture's larger side, the end must lie at which an
/// instrument enters through the rim of a round picture.
const FARTHER_OUT: f32 = 0.06;
/// An instrument's end is what lies within this of the extreme point, in map pixels ...
const END_DEPTH: f32 = 1.5;
/// ... weighing 1/e where it lies so far behind it.
const END_FADES: f32 = 0.7;

/// In pixels of the captured picture.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Shape {
    /// Unit vector along the shaft towards the tip; None where the region is not long or it is open which end is which.
    pub axis: Option<[f32; 2]>,
    /// None where it is outside the picture or open which end it is.
    pub tip: Option<[f32; 2]>,
}

/// Sums over a region's pixels, weighted by probability; in pixels of the captured picture.
#[derive(Debug, Default)]
struct Moments {
    weight: f64,
    mean: [f64; 2],
    /// xx, xy, yy, around the mean.
    spread: [f64; 3],
}

impl Moments {
    fn measured(&InstrumentSums { weight, mean, spread, .. }: &InstrumentSums) -> Self {
        Moments { weight, mean, spread }
    }

    fn add(&mut self, weight: f64, p: [f32; 2]) {
        self.weight += weight;
        let before = [f64::from(p[0]) - self.mean[0], f64::from(p[1]) - self.mean[1]];
        for (mean, before) in self.mean.iter_mut().zip(before) {
            *mean += before * weight / self.weight;
        }
        let after = [f64::from(p[0]) - self.mean[0], f64::from(p[1]) - self.mean[1]];
        self.spread[0] += weight * before[0] * after[0];
        self.spread[1] += weight * before[0] * after[1];
        self.spread[2] += weight * before[1] * after[1];
    }

    fn centre(&self) -> [f32; 2] {
        self.mean.map(|v| v as f32)
    }

    /// Main direction (its sign means nothing), and how many times longer than wide.
    fn main_direction(&self) -> ([f32; 2], f32) {
        let [xx, xy, yy] = self.spread;
        let (middle, off) = ((xx + yy) / 2.0, (((xx - yy) / 2.0).powi(2) + xy * xy).sqrt());
        let (long, wide) = (middle + off, (middle - off).max(1e-9));
        let angle = 0.5 * (2.0 * xy).atan2(xx - yy);
        ([angle.cos() as f32, angle.sin() as f32], ((long / wide).sqrt()) as f32)
    }
}

/// Working memory of `of_region`, kept from frame to frame.
#[derive(Debug, Default)]
pub struct Scratch {
    /// The region's pixels in the captured picture.
    points: Vec<[f32; 2]>,
    half_widths: Vec<f32>,
}

/// Slices across the axis in which the shaft's width is looked for.
const SLICES: usize = 24;
/// What lies farther from the axis than so many half-widths of the shaft hangs on it, and does not say where it points.
const HANGS_FROM: f32 = 1.7;
/// The end is looked for within so many half-widths of the axis.
const END_WITHIN: f32 = 1.3;
/// An end whose middle is so many half-widths of the shaft off the axis is straight, or is turned to that side.
const STRAIGHT: f32 = 0.2;
const TURNED: f32 = 0.5;
/// One that is expected says which end is the tip if it points the same way (cosine) ...
const SAME_WAY: f32 = 0.9;
/// ... and its tip is expected within this part of the region's length of that end.
const NEAR_END: f32 = 0.35;

/// Of the region with that index; `measured`: what its probabilities say, if they are elsewhere. Where its own pixels leave open which
/// end is the tip, what is `expected` says it.
pub fn of_region(
    maps: &Maps,
    regions: &Regions,
    mapping: &Mapping,
    (region, measured): (usize, Option<&InstrumentSums>),
    expected: &[Expected],
    scratch: &mut Scratch,
) -> Shape {
    scratch.points.clear();
    let (mut moments, mut entry) = (measured.map_or_else(Moments::default, Moments::measured), Moments::default());
    scratch.points.reserve(regions.list[region].area as usize);
    for (x, y, at) in regions.pixels(region) {
        let p = mapping.in_picture([x as f32 + 0.5, y as f32 + 0.5]);
        scratch.points.push(p);
        if measured.is_none() {
            moments.add(f64::from(maps.instrument[at]).max(1e-3), p);
        }
        if x == 0 || y == 0 || x + 1 == maps.width || y + 1 == maps.height {
            entry.add(1.0, p);
        }
    }
    let all_ratio = moments.main_direction().1;
    let pixel = mapping.scale[0].max(mapping.scale[1]);
    // Without what hangs on it, twice: the first axis is pulled aside by it.
    let mut half_width = f32::INFINITY;
    if all_ratio >= ELONGATED {
        for _ in 0..2 {
            half_width = scratch.half_width(&moments).max(pixel);
            let (centre, (direction, _)) = (moments.centre(), moments.main_direction());
            let mut core = Moments::default();
            let near = |p: &&[f32; 2]| across(**p, centre, direction).abs() <= HANGS_FROM * half_width;
            scratch.points.iter().filter(near).for_each(|&p| core.add(1.0, p));
            if core.weight < 0.5 * scratch.points.len() as f64 {
                half_width = f32::INFINITY;
                break;
            }
            moments = core;
        }
    }
    let centre = moments.centre();
    let (direction, ratio) = moments.main_direction();
    let towards_tip = if entry.weight > 0.0 {
        let inwards = minus(centre, entry.centre());
        let length = dot(inwards, inwards).sqrt();
        if ratio < ELONGATED {
            // Only its end is in the picture: it points away from the edge.
            (length > 0.0).then(|| inwards.map(|v| v / length))
        } else {
            let same_way = dot(direction, inwards);
            // An instrument that lies along the edge or crosses the whole picture has no end to tell.
            (same_way.abs() > 0.2 * length && length > 0.0).then(|| direction.map(|v| v * same_way.signum()))
        }
    } else if ratio < ELONGATED {
        None
    } else {
        from_the_rim(scratch.points.iter().copied(), centre, direction, mapping)
    };
    let by_expectation = || if ratio < ELONGATED { None } else { as_expected(&scratch.points, centre, direction, expected) };
    let Some(towards_tip) = towards_tip.or_else(by_expectation) else { return Shape::default() };

    let along = |p: [f32; 2]| dot(minus(p, centre), towards_tip);
    let core = || scratch.points.iter().copied().filter(|&p| across(p, centre, towards_tip).abs() <= END_WITHIN * half_width);
    let farthest = core().map(along).fold(f32::MIN, f32::max);
    let mut end = End::default();
    for p in core() {
        let behind = (farthest - along(p)) / pixel;
        if behind < END_DEPTH {
            end.add((-behind / END_FADES).exp(), across(p, centre, towards_tip));
        }
    }
    let aside = end.aside(half_width, pixel);
    let tip = [0, 1].map(|i| centre[i] + farthest * towards_tip[i] + aside * [towards_tip[1], -towards_tip[0]][i]);
    let margin = mapping.scale.map(|scale| EDGE * scale);
    let inside = (0..2).all(|axis| tip[axis] > margin[axis] && tip[axis] < mapping.picture[axis] - margin[axis]);
    Shape { axis: (ratio >= ELONGATED).then_some(towards_tip), tip: inside.then_some(tip) }
}

/// What lies farthest along the axis: how far it is off it.
struct End {
    weight: f32,
    sum: f32,
    least: f32,
    most: f32,
}

impl Default for End {
    fn default() -> Self {
        End { weight: 0.0, sum: 0.0, least: f32::MAX, most: f32::MIN }
    }
}

impl End {
    fn add(&mut self, weight: f32, across: f32) {
        self.weight += weight;
        self.sum += weight * across;
        self.least = self.least.min(across);
        self.most = self.most.max(across);
    }

    /// How far from the axis the tip is: in the middle of a straight end; where the end turns to one side, as a hook's foot and an
    /// open jaw do, there.
    fn aside(&self, half_width: f32, pixel: f32) -> f32 {
        let mean = if self.weight > 0.0 { self.sum / self.weight } else { 0.0 };
        let turned = ((mean.abs() / half_width - STRAIGHT) / (TURNED - STRAIGHT)).clamp(0.0, 1.0);
        let outermost = if mean > 0.0 { self.most - 0.5 * pixel } else { self.least + 0.5 * pixel };
        mean + turned * (outermost - mean)
    }
}

fn dot(a: [f32; 2], b: [f32; 2]) -> f32 {
    a[0] * b[0] + a[1] * b[1]
}

fn minus(a: [f32; 2], b: [f32; 2]) -> [f32; 2] {
    [a[0] - b[0], a[1] - b[1]]
}

/// Signed distance of `p` from the line through `centre` along `direction`.
fn across(p: [f32; 2], centre: [f32; 2], direction: [f32; 2]) -> f32 {
    let off = minus(p, centre);
    off[0] * direction[1] - off[1] * direction[0]
}

impl Scratch {
    /// Median over slices across the axis of half their width.
    fn half_width(&mut self, moments: &Moments) -> f32 {
        let (centre, (direction, _)) = (moments.centre(), moments.main_direction());
        let along = |p: [f32; 2]| dot(minus(p, centre), direction);
        let (least, most) = self.points.iter().fold((f32::MAX, f32::MIN), |(least, most), &p| (least.min(along(p)), most.max(along(p))));
        let mut slices = [(f32::MAX, f32::MIN); SLICES];
        for &p in &self.points {
            let slice = ((along(p) - least) / (most - least).max(1e-3) * SLICES as f32) as usize;
            let (low, high) = &mut slices[slice.min(SLICES - 1)];
            let off = across(p, centre, direction);
            (*low, *high) = (low.min(off), high.max(off));
        }
        self.half_widths.clear();
        self.half_widths.extend(slices.iter().filter(|(low, high)| high >= low).map(|(low, high)| (high - low) / 2.0));
        self.half_widths.sort_by(f32::total_cmp);
        self.half_widths.get(self.half_widths.len() / 2).copied().unwrap_or(f32::INFINITY)
    }
}

/// Towards the end at which the tip of one that is expected should be.
fn as_expected(points: &[[f32; 2]], centre: [f32; 2], direction: [f32; 2], expected: &[Expected]) -> Option<[f32; 2]> {
    let along = |p: &[f32; 2]| dot(minus(*p, centre), direction);
    let (least, most) = points.iter().map(along).fold((f32::MAX, f32::MIN), |(least, most), v| (least.min(v), most.max(v)));
    let fits = |expected: &Expected| {
        let same_way = dot(expected.axis, direction);
        let end = [0, 1].map(|i| centre[i] + direction[i] * if same_way > 0.0 { most } else { least });
        let off = minus(expected.tip, end);
        let way = direction.map(|v| v * same_way.signum());
        (same_way.abs() >= SAME_WAY && dot(off, off).sqrt() <= NEAR_END * (most - least)).then_some(way)
    };
    expected.iter().find_map(fits)
}

/// Round pictures: instruments come from outside, so the end that lies farther from the middle is where it enters.
fn from_the_rim(pixels: impl Iterator<Item = [f32; 2]>, centre: [f32; 2], direction: [f32; 2], mapping: &Mapping) -> Option<[f32; 2]> {
    let middle = mapping.picture.map(|side| side / 2.0);
    let (mut least, mut most) = (f32::MAX, f32::MIN);
    for p in pixels {
        let along = (p[0] - centre[0]) * direction[0] + (p[1] - centre[1]) * direction[1];
        least = least.min(along);
        most = most.max(along);
    }
    let out = |along: f32| {
        let p = [0, 1].map(|axis| centre[axis] + along * direction[axis] - middle[axis]);
        (p[0] * p[0] + p[1] * p[1]).sqrt()
    };
    let farther = out(least) - out(most);
    let enough = FARTHER_OUT * mapping.picture[0].max(mapping.picture[1]);
    (farther.abs() > enough).then(|| direction.map(|v| v * farther.signum()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ids::ClassId;
    use crate::infer::{Activation, Calibration, HeadKind, OutputSpec, TensorLayout, TensorView};
    use crate::track::maps::{INSTRUMENT, Window};

    /// A bar of half-width 4 from `a` to `b` on a 160×96 map of a 1280×768 picture; positions in the picture.
    fn bar(a: [f32; 2], b: [f32; 2]) -> Shape {
        bar_with(a, b, |_| false)
    }

    /// The same, and what `also` says belongs to it too.
    fn bar_with(a: [f32; 2], b: [f32; 2], also: impl Fn([f32; 2]) -> bool) -> Shape {
        bar_as_expected(a, b, also, &[])
    }

    fn bar_as_expected(a: [f32; 2], b: [f32; 2], also: impl Fn([f32; 2]) -> bool, expected: &[Expected]) -> Shape {
        let (width, height) = (160, 96);
        let spec = OutputSpec {
            name: "instrument".to_owned(),
            kind: HeadKind::Instrument,
            activation: Activation::None,
            threshold: 0.5,
            calibration: Calibration::default(),
            classes: vec![ClassId(13)],
            layout: TensorLayout::Nchw,
            width,
            height,
        };
        let d = [b[0] - a[0], b[1] - a[1]];
        let length = (d[0] * d[0] + d[1] * d[1]).sqrt();
        let data: Vec<f32> = (0..width * height)
            .map(|i| {
                let p = [((i % width) as f32 + 0.5) * 8.0 - a[0], ((i / width) as f32 + 0.5) * 8.0 - a[1]];
                let (along, off) = ((p[0] * d[0] + p[1] * d[1]) / length, (p[0] * d[1] - p[1] * d[0]).abs() / length);
                if (0.0..=length).contains(&along) && off <= 32.0 || also([p[0] + a[0], p[1] + a[1]]) { 0.95 } else { 0.02 }
            })
            .collect();
        let mut maps = Maps::default();
        maps.fill_alone(&[TensorView { spec: &spec, data: &data }], Window { x: 0, y: 0, width, height }).unwrap();
        let mut regions = Regions::default();
        regions.fill(&maps.labels, width, height).unwrap();
        let region = regions.list.iter().position(|r| r.label == INSTRUMENT).unwrap();
        let mapping = Mapping { scale: [8.0, 8.0], shift: [0.0, 0.0], picture: [1280.0, 768.0] };
        of_region(&maps, &regions, &mapping, (region, None), expected, &mut Scratch::default())
    }

    fn close(found: Option<[f32; 2]>, expected: [f32; 2], most: f32) {
        let found = found.expect("something was to be found");
        assert!((found[0] - expected[0]).hypot(found[1] - expected[1]) <= most, "{found:?}, expected {expected:?}");
    }

    #[test]
    fn from_the_edge_the_tip_is_the_inner_end() {
        let shape = bar([1300.0, 780.0], [640.0, 384.0]);
        close(shape.tip, [640.0, 384.0], 10.0);
        close(shape.axis, [-0.857, -0.514], 0.03);
        close(bar([-20.0, 300.0], [500.0, 350.0]).tip, [500.0, 350.0], 10.0);
    }

    #[test]
    fn from_the_rim_of_a_round_picture_the_tip_is_the_end_nearer_the_middle() {
        let shape = bar([1000.0, 600.0], [700.0, 400.0]);
        close(shape.tip, [700.0, 400.0], 10.0);
        close(shape.axis, [-0.832, -0.555], 0.03);
    }

    #[test]
    fn what_hangs_on_the_shaft_moves_neither_axis_nor_tip() {
        let plain = bar_with([-20.0, 300.0], [700.0, 380.0], |_| false);
        for (x, y) in [(500.0, 430.0), (600.0, 440.0), (300.0, 250.0)] {
            let shape = bar_with([-20.0, 300.0], [700.0, 380.0], |p: [f32; 2]| (p[0] - x).hypot(p[1] - y) < 60.0);
            close(shape.tip, plain.tip.unwrap(), 14.0);
            close(shape.axis, plain.axis.unwrap(), 0.05);
        }
    }

    #[test]
    fn the_tip_of_a_hook_is_its_foot() {
        // A thin wire out of a shaft, and at its end a foot to one side.
        let hook = |side: f32| {
            bar_with([-20.0, 384.0], [600.0, 384.0], |[x, y]| {
                let off = (y - 384.0) * side;
                (600.0..696.0).contains(&x) && off.abs() <= 8.0 || (680.0..696.0).contains(&x) && (0.0..=34.0).contains(&off)
            })
        };
        for side in [1.0, -1.0] {
            // Nearer to the foot's end than to the wire.
            let tip = hook(side).tip.unwrap();
            assert!((tip[0] - 688.0).abs() <= 10.0 && (16.0..=34.0).contains(&((tip[1] - 384.0) * side)), "{tip:?}");
        }
    }

    #[test]
    fn where_the_end_cannot_be_told_what_was_followed_tells_it() {
        let across = |expected: Expected| bar_as_expected([440.0, 384.0], [840.0, 384.0], |_| false, &[expected]);
        close(across(Expected { tip: [450.0, 400.0], axis: [-0.98, 0.19] }).tip, [440.0, 384.0], 10.0);
        close(across(Expected { tip: [850.0, 370.0], axis: [1.0, 0.0] }).tip, [840.0, 384.0], 10.0);
        // One that points elsewhere, or whose tip is expected elsewhere, is another.
        assert_eq!(across(Expected { tip: [450.0, 400.0], axis: [0.0, 1.0] }), Shape::default());
        assert_eq!(across(Expected { tip: [640.0, 384.0], axis: [-1.0, 0.0] }), Shape::default());
        assert_eq!(across(Expected { tip: [840.0, 384.0], axis: [-1.0, 0.0] }), Shape::default());
    }

    #[test]
    fn where_the_end_cannot_be_told_there_is_none() {
        // Through the whole picture, and across the middle of a round one.
        assert_eq!(bar([-20.0, 384.0], [1300.0, 384.0]).tip, None);
        assert_eq!(bar([440.0, 384.0], [840.0, 384.0]), Shape::default());
    }
}
