//! Closed outlines of regions at sub-pixel accuracy: the border between pixel centres is followed crack by crack (as
//! marching squares do), each crack gives the point where the probability crosses, then the line is smoothed and thinned.

use super::maps::{INSTRUMENT, Maps, NOTHING};
use super::measured::Measured;
use super::regions::Regions;

/// An outline longer than this is thinned evenly before anything else: bounds what noise can cost.
const MAX_POINTS: usize = 2048;
/// Rounds of smoothing: takes the steps of single pixels out of the line (standard deviation 1.7 points), not its shape.
const SMOOTHINGS: usize = 6;
/// Crossings keep this far from pixel centres, in pixels.
const KEEP_OFF: f32 = 0.02;

/// From map pixels to the captured picture.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Mapping {
    pub scale: [f32; 2],
    /// In map pixels, added before scaling.
    pub shift: [f32; 2],
    /// Size of the captured picture.
    pub picture: [f32; 2],
}

impl Mapping {
    /// Of a point in map pixels (a pixel's centre is at +0.5); held inside the picture.
    pub fn in_picture(self, point: [f32; 2]) -> [f32; 2] {
        [0, 1].map(|axis| ((point[axis] + self.shift[axis]) * self.scale[axis]).clamp(0.0, self.picture[axis]))
    }

    /// Of an area in map pixels.
    pub fn area(&self, pixels: u32) -> f64 {
        f64::from(pixels) * f64::from(self.scale[0]) * f64::from(self.scale[1])
    }
}

/// East, south, west, north.
const STEPS: [[isize; 2]; 4] = [[1, 0], [0, 1], [-1, 0], [0, -1]];
const WEST: usize = 2;

/// One closed line of one region, in map pixels.
#[derive(Debug, Clone, Copy)]
pub struct Traced<'a> {
    pub region: usize,
    pub points: &'a [[f32; 2]],
    /// Enclosed, map pixels; of holes too.
    pub area: f32,
}

/// Follows borders. Kept from frame to frame, so that nothing is allocated.
#[derive(Debug, Default)]
pub struct Tracer {
    /// Whether the west side of a pixel has been passed.
    passed: Vec<bool>,
    points: Vec<[f32; 2]>,
}

impl Tracer {
    /// Calls `found` with each closed line around a region that is not background. Every border is followed once. `measured`: where
    /// borders cross, if the probabilities are elsewhere.
    pub fn trace(&mut self, maps: &Maps, regions: &Regions, measured: Option<&Measured>, mut found: impl FnMut(Traced<'_>)) {
        let width = maps.width;
        self.passed.clear();
        self.passed.resize(regions.map.len(), false);
        // A border's west side can only be where a row of one label begins.
        for (index, row) in regions.rows() {
            let (at, region) = (row.start, index as u16);
            let starts = at % width == 0 || regions.map[at - 1] != region;
            if !starts || self.passed[at] || regions.list[usize::from(region)].label == NOTHING {
                continue;
            }
            self.follow(maps, regions, measured, at);
            let area = enclosed(&self.points).abs();
            self.smooth();
            found(Traced { region: usize::from(region), points: &self.points, area });
        }
    }

    /// The border on whose west crack pixel `start` stands, clockwise with the region on the right.
    fn follow(&mut self, maps: &Maps, regions: &Regions, measured: Option<&Measured>, start: usize) {
        let (width, height) = (maps.width as isize, maps.height as isize);
        let region = regions.map[start];
        let inside =
            |x: isize, y: isize| (0..width).contains(&x) && (0..height).contains(&y) && regions.map[(y * width + x) as usize] == region;
        let first = [(start as isize) % width, (start as isize) / width];
        let ([mut x, mut y], mut outside) = (first, WEST);
        self.points.clear();
        loop {
            let at = (y * width + x) as usize;
            if outside == WEST {
                self.passed[at] = true;
            }
            let [dx, dy] = STEPS[outside];
            let (bx, by) = (x + dx, y + dy);
            let beyond = ((0..width).contains(&bx) && (0..height).contains(&by)).then(|| (by * width + bx) as usize);
            let part = match (measured, beyond) {
                (Some(measured), Some(_)) => measured.crossing(regions, maps.width, at, outside),
                _ => crossing(maps, regions, at, beyond),
            };
            self.points.push([x as f32 + 0.5 + dx as f32 * part, y as f32 + 0.5 + dy as f32 * part]);

            // Walk with the outside on the left: where it is west, go north.
            let ahead = (outside + 1) % 4;
            let [mx, my] = STEPS[ahead];
            if !inside(x + mx, y + my) {
                outside = ahead;
            } else if !inside(x + mx + dx, y + my + dy) {
                (x, y) = (x + mx, y + my);
            } else {
                (x, y) = (x + mx + dx, y + my + dy);
                outside = (ahead + 2) % 4;
            }
            if [x, y] == first && outside == WEST {
                break;
            }
        }
        if self.points.len() > MAX_POINTS {
            let keep = self.points.len().div_ceil(MAX_POINTS);
            let mut index = 0;
            self.points.retain(|_| {
                index += 1;
                index % keep == 1
            });
        }
    }

    /// Each point becomes ¼ before + ½ itself + ¼ after. What lies straight (the picture's edge) stays.
    fn smooth(&mut self) {
        let (Some(&first), Some(&last)) = (self.points.first(), self.points.last()) else { return };
        let (mut first, mut last) = (first, last);
        for _ in 0..SMOOTHINGS {
            let mut before = last;
            let after_last = first;
            for i in 0..self.points.len() {
                let this = self.points[i];
                let after = self.points.get(i + 1).copied().unwrap_or(after_last);
                self.points[i] = [0, 1].map(|axis| 0.25 * before[axis] + 0.5 * this[axis] + 0.25 * after[axis]);
                before = this;
            }
            (first, last) = (self.points[0], self.points[self.points.len() - 1]);
        }
    }
}

/// Where between the centre of `inside` (0) and of its neighbour `outside` (1) the border runs.
pub(super) fn crossing(maps: &Maps, regions: &Regions, inside: usize, outside: Option<usize>) -> f32 {
    // The edge of the map is the edge of its outermost pixels.
    let Some(outside) = outside else { return 0.5 };
    let label = |at: usize| regions.list[usize::from(regions.map[at])].label;
    let (here, there) = if label(inside) == INSTRUMENT || label(outside) == INSTRUMENT {
        // One curve for the instrument and for the tissue that ends at it.
        (maps.instrument_margin(inside), maps.instrument_margin(outside))
    } else {
        let class = label(inside);
        let Some(channel) = maps.tissue_classes.iter().position(|id| id.0 == class) else { return 0.5 };
        (maps.tissue_margin(channel, inside), maps.tissue_margin(channel, outside))
    };
    // A pixel that was given to its surroundings does not cross; then the border is midway.
    if here * there < 0.0 { (here / (here - there)).clamp(KEEP_OFF, 1.0 - KEEP_OFF) } else { 0.5 }
}

/// Signed area inside a closed line.
pub fn enclosed(points: &[[f32; 2]]) -> f32 {
    let mut twice = 0.0;
    for (i, a) in points.iter().enumerate() {
        let b = points[(i + 1) % points.len()];
        twice += a[0] * b[1] - b[0] * a[1];
    }
    twice / 2.0
}

/// Leaves out points of a closed line while it stays within `tolerance` of itself (Douglas and Peucker 1973).
#[derive(Debug, Default)]
pub struct Thinner {
    keep: Vec<bool>,
    todo: Vec<(usize, usize)>,
}

impl Thinner {
    /// Writes what is left into `thin`, which is empty.
    pub fn thin(&mut self, points: &[[f32; 2]], tolerance: f32, thin: &mut Vec<[f32; 2]>) {
        if points.len() < 4 {
            return thin.extend_from_slice(points);
        }
        self.keep.clear();
        self.keep.resize(points.len(), false);
        // A closed line is cut at the first point and at the one farthest from it.
        let far = |i: &usize| square(points[*i], points[0]);
        let opposite = (1..points.len()).max_by(|a, b| far(a).total_cmp(&far(b))).unwrap_or(1);
        self.keep[0] = true;
        self.keep[opposite] = true;
        self.todo.clear();
        self.todo.extend([(0, opposite), (opposite, points.len())]);
        while let Some((from, to)) = self.todo.pop() {
            let (a, b) = (points[from], points[to % points.len()]);
            let farthest = (from + 1..to).map(|i| (i, off(points[i], a, b))).max_by(|x, y| x.1.total_cmp(&y.1));
            if let Some((at, distance)) = farthest
                && distance > tolerance * tolerance
            {
                self.keep[at] = true;
                self.todo.extend([(from, at), (at, to)]);
            }
        }
        thin.extend(points.iter().zip(&self.keep).filter(|&(_, &keep)| keep).map(|(&point, _)| point));
    }
}

fn square(a: [f32; 2], b: [f32; 2]) -> f32 {
    (a[0] - b[0]).powi(2) + (a[1] - b[1]).powi(2)
}

/// Squared distance of `p` from the segment a–b.
fn off(p: [f32; 2], a: [f32; 2], b: [f32; 2]) -> f32 {
    let length = square(a, b);
    let along = if length > 0.0 { ((p[0] - a[0]) * (b[0] - a[0]) + (p[1] - a[1]) * (b[1] - a[1])) / length } else { 0.0 };
    let along = along.clamp(0.0, 1.0);
    square(p, [a[0] + along * (b[0] - a[0]), a[1] + along * (b[1] - a[1])])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ids::ClassId;
    use crate::infer::{Activation, Calibration, HeadKind, OutputSpec, TensorLayout, TensorView};
    use crate::track::maps::Window;
    use proptest::prelude::*;

    fn maps_of(width: usize, height: usize, probability: impl Fn(f32, f32) -> f32) -> (Maps, Regions) {
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
        let data: Vec<f32> = (0..width * height).map(|i| probability((i % width) as f32 + 0.5, (i / width) as f32 + 0.5)).collect();
        let mut maps = Maps::default();
        maps.fill_alone(&[TensorView { spec: &spec, data: &data }], Window { x: 0, y: 0, width, height }).unwrap();
        let mut regions = Regions::default();
        regions.fill(&maps.labels, width, height).unwrap();
        (maps, regions)
    }

    fn lines(maps: &Maps, regions: &Regions) -> Vec<(f32, Vec<[f32; 2]>)> {
        let mut all = Vec::new();
        Tracer::default().trace(maps, regions, None, |line| all.push((line.area, line.points.to_vec())));
        all
    }

    #[test]
    fn a_soft_disc_gives_a_circle_to_a_seventh_of_a_pixel() {
        let (maps, regions) = maps_of(64, 48, |x, y| 0.5 + (15.0 - ((x - 30.3).powi(2) + (y - 22.7).powi(2)).sqrt()) / 8.0);
        let lines = lines(&maps, &regions);
        assert_eq!(lines.len(), 1);
        for p in &lines[0].1 {
            let radius = ((p[0] - 30.3).powi(2) + (p[1] - 22.7).powi(2)).sqrt();
            assert!((radius - 15.0).abs() < 0.15, "{radius}");
        }
        let mut thin = Vec::new();
        Thinner::default().thin(&lines[0].1, 0.1, &mut thin);
        assert!(thin.len() < lines[0].1.len() / 2 && thin.len() >= 12, "{} of {}", thin.len(), lines[0].1.len());
        assert!((enclosed(&thin).abs() - std::f32::consts::PI * 225.0).abs() < 15.0);
    }

    #[test]
    fn a_ring_gives_two_lines_and_the_edge_of_the_map_is_kept() {
        let ring = |x: f32, y: f32| 0.5 + (4.0 - (((x - 30.0).powi(2) + (y - 24.0).powi(2)).sqrt() - 12.0).abs()) / 8.0;
        let (maps, regions) = maps_of(64, 48, ring);
        let mut areas: Vec<f32> = lines(&maps, &regions).iter().map(|line| line.0).collect();
        areas.sort_by(f32::total_cmp);
        assert_eq!(areas.len(), 2);
        assert!((areas[0] - std::f32::consts::PI * 64.0).abs() < 5.0 && (areas[1] - std::f32::consts::PI * 256.0).abs() < 5.0, "{areas:?}");

        let (maps, regions) = maps_of(64, 48, |x, _| if x < 20.0 { 1.0 } else { 0.0 });
        let lines = lines(&maps, &regions);
        let least = lines[0].1.iter().map(|p| p[0]).fold(f32::MAX, f32::min);
        let most = lines[0].1.iter().map(|p| p[0]).fold(f32::MIN, f32::max);
        assert!(least == 0.0 && (most - 20.0).abs() < 1e-3, "{least} {most}");
    }

    proptest! {
        /// Thinning keeps every point of the line within the tolerance of what is left.
        #[test]
        fn thinning_stays_within_its_tolerance(radii in proptest::collection::vec(5.0f32..20.0, 4..120), tolerance in 0.05f32..3.0) {
            let count = radii.len() as f32;
            let line: Vec<[f32; 2]> = radii.iter().enumerate().map(|(i, r)| {
                let (sin, cos) = (i as f32 / count * std::f32::consts::TAU).sin_cos();
                [r * cos, r * sin]
            }).collect();
            let mut thin = Vec::new();
            Thinner::default().thin(&line, tolerance, &mut thin);
            for &p in &line {
                let nearest = (0..thin.len()).map(|i| off(p, thin[i], thin[(i + 1) % thin.len()])).fold(f32::MAX, f32::min);
                prop_assert!(nearest.sqrt() <= tolerance * 1.001 + 1e-4);
            }
        }

        /// Whatever the mask, every border is followed to its end.
        #[test]
        fn any_mask_is_traced_to_the_end(bits in proptest::collection::vec(any::<bool>(), 12 * 18)) {
            let (maps, regions) = maps_of(12, 18, |x, y| if bits[y as usize * 12 + x as usize] { 0.9 } else { 0.1 });
            let mut total = 0.0;
            Tracer::default().trace(&maps, &regions, None, |line| { assert!(line.points.len() >= 4); total += line.area; });
            let any = regions.list.iter().any(|r| r.label == INSTRUMENT);
            prop_assert_eq!(total > 0.0, any);
        }
    }
}
