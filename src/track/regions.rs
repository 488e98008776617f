//! Connected regions (4-neighbourhood) of equal labels. Regions too small to be seen take the label of what they lie in,
//! so that noise costs and shows nothing. Time and memory are bounded by the number of pixels.

use super::maps::INSTRUMENT;

/// Smallest instrument and tissue (or hole), as parts of the map.
const MIN_INSTRUMENT: f32 = 0.0005;
const MIN_OTHER: f32 = 0.002;

/// More changes of label than one in this many pixels is noise: no operation looks like that, and following its borders
/// would cost more than a frame has.
const PIXELS_A_RUN: usize = 12;

/// So many runs a map of that size may have.
pub(super) fn most_runs(pixels: usize, height: usize) -> usize {
    // Every row has one run at least, and a few beside it are always fine: maps may be small.
    pixels / PIXELS_A_RUN + 8 * height
}

/// The labels are noise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Noise;

#[derive(Debug, Clone, Copy)]
struct Run {
    y: u32,
    x0: u32,
    x1: u32,
    label: u8,
    /// A run of the same region that stands earlier (or this one): the region's first run in the end.
    parent: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Region {
    pub label: u8,
    pub area: u32,
    /// Half-open, in map pixels.
    pub bbox: [u32; 4],
}

/// Kept from frame to frame, so that nothing is allocated.
#[derive(Debug, Default)]
pub struct Regions {
    pub list: Vec<Region>,
    /// Index into `list` of each pixel.
    pub map: Vec<u16>,
    width: usize,
    runs: Vec<Run>,
    area: Vec<u32>,
    into: Vec<u16>,
}

impl Regions {
    /// `labels`: `width·height`, at most 2²⁰ of them.
    pub fn fill(&mut self, labels: &[u8], width: usize, height: usize) -> Result<(), Noise> {
        self.width = width;
        self.find_runs(labels, width, height)?;
        self.measure();
        self.settle(width, labels.len());
        self.sum_up();
        Ok(())
    }

    /// Every pixel, in rows of one region: region, and where in the map the row starts and ends.
    pub fn rows(&self) -> impl Iterator<Item = (usize, std::ops::Range<usize>)> {
        self.runs.iter().map(|run| {
            let start = run.y as usize * self.width;
            (usize::from(self.into[run.parent as usize]), start + run.x0 as usize..start + run.x1 as usize)
        })
    }

    /// The pixels of one region: x, y and the place in the map.
    pub fn pixels(&self, region: usize) -> impl Iterator<Item = (usize, usize, usize)> {
        let rows = self.rows().filter(move |row| row.0 == region);
        rows.flat_map(|(_, at)| at.map(|at| (at % self.width, at / self.width, at)))
    }

    fn find_runs(&mut self, labels: &[u8], width: usize, height: usize) -> Result<(), Noise> {
        let most = most_runs(labels.len(), height);
        self.runs.clear();
        let mut above = 0;
        for (y, row) in labels.chunks_exact(width).take(height).enumerate() {
            let this = self.runs.len();
            let mut x0 = 0;
            while x0 < width {
                let label = row[x0];
                let length = row[x0..].iter().position(|&other| other != label).unwrap_or(width - x0);
                let parent = self.runs.len() as u32;
                self.runs.push(Run { y: y as u32, x0: x0 as u32, x1: (x0 + length) as u32, label, parent });
                x0 += length;
            }
            let (mut upper, mut lower) = (above, this);
            while upper < this && lower < self.runs.len() {
                let (a, b) = (self.runs[upper], self.runs[lower]);
                if a.label == b.label && a.x0 < b.x1 && b.x0 < a.x1 {
                    self.join(upper, lower);
                }
                if a.x1 <= b.x1 {
                    upper += 1;
                }
                if b.x1 <= a.x1 {
                    lower += 1;
                }
            }
            above = this;
            if self.runs.len() > most {
                return Err(Noise);
            }
        }
        Ok(())
    }

    fn root(&mut self, mut run: usize) -> usize {
        while self.runs[run].parent as usize != run {
            let above = self.runs[self.runs[run].parent as usize].parent;
            self.runs[run].parent = above;
            run = above as usize;
        }
        run
    }

    fn join(&mut self, a: usize, b: usize) {
        let (a, b) = (self.root(a), self.root(b));
        // The earlier run stays the root, so that a root comes before all that it holds.
        self.runs[a.max(b)].parent = a.min(b) as u32;
    }

    fn measure(&mut self) {
        self.area.clear();
        self.area.resize(self.runs.len(), 0);
        for run in 0..self.runs.len() {
            let root = self.root(run);
            self.runs[run].parent = root as u32;
            self.area[root] += self.runs[run].x1 - self.runs[run].x0;
        }
    }

    /// Gives each root the region that it becomes, or falls to.
    fn settle(&mut self, width: usize, pixels: usize) {
        self.list.clear();
        self.into.clear();
        self.into.resize(self.runs.len(), 0);
        self.map.clear();
        self.map.resize(pixels, 0);
        for index in 0..self.runs.len() {
            let run = self.runs[index];
            if run.parent as usize == index {
                let part = if run.label == INSTRUMENT { MIN_INSTRUMENT } else { MIN_OTHER };
                let small = (self.area[index] as f32) < part * pixels as f32;
                let at = run.y as usize * width + run.x0 as usize;
                // What lies above the first run, else left of it, has been settled and painted already.
                let around = if run.y > 0 { Some(at - width) } else { (run.x0 > 0).then(|| at - 1) };
                self.into[index] = match around {
                    Some(around) if small => self.map[around],
                    // More regions than ids: none of them is small, so this is out of reach for the maps that are allowed.
                    Some(around) if self.list.len() >= usize::from(u16::MAX) => self.map[around],
                    _ => {
                        self.list.push(Region { label: run.label, area: 0, bbox: [u32::MAX, u32::MAX, 0, 0] });
                        (self.list.len() - 1) as u16
                    }
                };
            }
            let region = self.into[run.parent as usize];
            let start = run.y as usize * width;
            self.map[start + run.x0 as usize..start + run.x1 as usize].fill(region);
        }
    }

    fn sum_up(&mut self) {
        for run in &self.runs {
            let region = &mut self.list[usize::from(self.into[run.parent as usize])];
            region.area += run.x1 - run.x0;
            let [x0, y0, x1, y1] = region.bbox;
            region.bbox = [x0.min(run.x0), y0.min(run.y), x1.max(run.x1), y1.max(run.y + 1)];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// In 64×64 pixels the limits are 2.05 (instrument) and 8.2 (others).
    #[test]
    fn small_islands_take_the_label_of_what_they_lie_in() {
        let (w, h) = (64, 64);
        let mut labels = vec![0; w * h];
        for y in 10..30 {
            labels[y * w + 10..y * w + 40].fill(2);
        }
        labels[15 * w + 15] = 4;
        labels[20 * w + 20..20 * w + 22].fill(INSTRUMENT);
        labels[50 * w + 50..50 * w + 60].fill(INSTRUMENT);
        let mut regions = Regions::default();
        regions.fill(&labels, w, h).unwrap();
        let found: Vec<(u8, u32)> = regions.list.iter().map(|r| (r.label, r.area)).collect();
        assert_eq!(found, [(0, 64 * 64 - 600 - 10), (2, 600), (INSTRUMENT, 10)]);
        assert_eq!(regions.list[1].bbox, [10, 10, 40, 30]);
        assert_eq!(regions.map[20 * w + 20], 1);
    }

    /// Plain flood fill.
    fn flood(labels: &[u8], w: usize, h: usize) -> Vec<usize> {
        let mut map = vec![usize::MAX; labels.len()];
        let mut next = 0;
        for start in 0..labels.len() {
            if map[start] != usize::MAX {
                continue;
            }
            let mut todo = vec![start];
            map[start] = next;
            while let Some(at) = todo.pop() {
                let (x, y) = (at % w, at / w);
                let around = [(x > 0, at.wrapping_sub(1)), (x + 1 < w, at + 1), (y > 0, at.wrapping_sub(w)), (y + 1 < h, at + w)];
                for (_, other) in around.into_iter().filter(|&(inside, _)| inside) {
                    if map[other] == usize::MAX && labels[other] == labels[at] {
                        map[other] = next;
                        todo.push(other);
                    }
                }
            }
            next += 1;
        }
        map
    }

    proptest! {
        /// On maps so small that nothing is too small, regions are those of a flood fill.
        #[test]
        fn regions_are_those_of_a_flood_fill(w in 1usize..9, h in 1usize..20, seed in proptest::collection::vec(0u8..3, 400)) {
            let labels: Vec<u8> = seed[..w * h].to_vec();
            let mut regions = Regions::default();
            regions.fill(&labels, w, h).unwrap();
            let expected = flood(&labels, w, h);
            for at in 0..w * h {
                for other in 0..w * h {
                    prop_assert_eq!(regions.map[at] == regions.map[other], expected[at] == expected[other]);
                }
                prop_assert_eq!(regions.list[usize::from(regions.map[at])].label, labels[at]);
            }
            prop_assert_eq!(regions.list.iter().map(|r| r.area as usize).sum::<usize>(), w * h);
        }

        #[test]
        fn patches_leave_few_regions_and_every_pixel_belongs_to_one(seed in proptest::collection::vec(0u8..5, 97)) {
            let (w, h) = (160, 96);
            let labels: Vec<u8> = (0..w * h).map(|i| seed[(i / w / 12 * 17 + i % w / 12 * 5) % 97]).collect();
            let mut regions = Regions::default();
            prop_assert_eq!(regions.fill(&labels, w, h), Ok(()));
            prop_assert!(regions.list.len() <= 112);
            prop_assert_eq!(regions.list.iter().map(|r| r.area as usize).sum::<usize>(), w * h);
        }
    }

    #[test]
    fn noise_is_told_from_pictures() {
        let labels: Vec<u8> = (0..160 * 96usize).map(|i| (i.wrapping_mul(2_654_435_761) >> 9 & 3) as u8).collect();
        assert_eq!(Regions::default().fill(&labels, 160, 96), Err(Noise));
    }
}
