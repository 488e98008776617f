//! How well a class's border was found: Hausdorff distance at the 95th percentile (HD95; Huttenlocher et al. 1993), and the F1
//! score of border pixels within a tolerance (Csurka et al. 2013).

/// Border pixels of two masks of one class, and how far each lies from the other's border.
#[derive(Debug, Clone, Default)]
pub struct Borders {
    /// px, sorted; of each border pixel of the one to the nearest of the other.
    found_to_truth: Vec<f64>,
    truth_to_found: Vec<f64>,
}

/// A part of a picture, px: outside of it is no border, so nothing is reckoned there.
#[derive(Debug, Clone, Copy)]
struct Area {
    x: usize,
    y: usize,
    width: usize,
    height: usize,
}

impl Area {
    /// Around all pixels that are `wanted`; None where there is none.
    fn around(width: usize, height: usize, wanted: impl Fn(usize) -> bool) -> Option<Area> {
        let (mut low, mut high) = ([usize::MAX; 2], [0; 2]);
        for y in 0..height {
            for x in (0..width).filter(|x| wanted(y * width + x)) {
                low = [low[0].min(x), low[1].min(y)];
                high = [high[0].max(x), high[1].max(y)];
            }
        }
        let [x, y] = low;
        (x != usize::MAX).then(|| Area { x, y, width: high[0] + 1 - x, height: high[1] + 1 - y })
    }
}

impl Borders {
    /// `truth` and `found`: class masks of `width`·n pixels. Border: pixels of the class with a neighbour (of four) outside of it or
    /// outside the picture. What lies where the truth is `ignore` is nobody's border.
    pub fn of(truth: &[u8], found: &[u8], width: usize, ignore: Option<u8>, class: u8) -> Self {
        let height = truth.len().checked_div(width).unwrap_or(0);
        let Some(area) = Area::around(width, height, |at| truth[at] == class || found[at] == class) else { return Borders::default() };
        let border = |mask: &[u8]| -> Vec<bool> {
            let inside = |x: isize, y: isize| {
                let is_in = (0..width as isize).contains(&x) && (0..height as isize).contains(&y);
                is_in && mask[y as usize * width + x as usize] == class
            };
            let is_border = |at: usize| {
                let (x, y) = (area.x + at % area.width, area.y + at / area.width);
                let is_known = Some(truth[y * width + x]) != ignore;
                let (x, y) = (x as isize, y as isize);
                let around = [(x - 1, y), (x + 1, y), (x, y - 1), (x, y + 1)];
                inside(x, y) && is_known && !around.into_iter().all(|(x, y)| inside(x, y))
            };
            (0..area.width * area.height).map(is_border).collect()
        };
        let (of_truth, of_found) = (border(truth), border(found));
        let distances_to = |to: &[bool]| if to.contains(&true) { squared_distances(to, area.width) } else { Vec::new() };
        let between = |from: &[bool], squared: &[f64]| {
            if squared.is_empty() {
                return vec![f64::INFINITY; from.iter().filter(|&&is| is).count()];
            }
            let mut distances: Vec<f64> = from.iter().zip(squared).filter(|(is, _)| **is).map(|(_, squared)| squared.sqrt()).collect();
            distances.sort_by(f64::total_cmp);
            distances
        };
        Borders {
            found_to_truth: between(&of_found, &distances_to(&of_truth)),
            truth_to_found: between(&of_truth, &distances_to(&of_found)),
        }
    }

    /// px; the larger of both directions' 95th percentiles (linear between ranks). None where neither has a border; infinite where
    /// only one has.
    pub fn hd95(&self) -> Option<f64> {
        let (a, b) = (percentile(&self.found_to_truth, 0.95), percentile(&self.truth_to_found, 0.95));
        match (a, b) {
            (None, None) => None,
            (Some(a), Some(b)) => Some(a.max(b)),
            _ => Some(f64::INFINITY),
        }
    }

    /// Harmonic mean of the shares of found border near the true one, and of true border near the found one.
    pub fn f1(&self, tolerance_px: f64) -> Option<f64> {
        if self.found_to_truth.is_empty() && self.truth_to_found.is_empty() {
            return None;
        }
        let share = |distances: &[f64]| distances.iter().filter(|&&d| d <= tolerance_px).count() as f64 / distances.len().max(1) as f64;
        let (precision, recall) = (share(&self.found_to_truth), share(&self.truth_to_found));
        Some(if precision + recall > 0.0 { 2.0 * precision * recall / (precision + recall) } else { 0.0 })
    }
}

fn percentile(sorted: &[f64], part: f64) -> Option<f64> {
    let last = sorted.len().checked_sub(1)?;
    let at = part * last as f64;
    let (low, high) = (at.floor() as usize, at.ceil() as usize);
    if low == high || sorted[low] == sorted[high] {
        return Some(sorted[low]);
    }
    Some(sorted[low] + (at - low as f64) * (sorted[high] - sorted[low]))
}

/// Of each pixel to the nearest that is set, squared, px². Exact: Felzenszwalb and Huttenlocher 2012, section 2.
fn squared_distances(set: &[bool], width: usize) -> Vec<f64> {
    let height = set.len() / width;
    // Larger than any that occurs, and a number that can be reckoned with.
    let far = (width * width + height * height + 1) as f64;
    let mut map: Vec<f64> = set.iter().map(|&is| if is { 0.0 } else { far }).collect();
    let mut column = vec![0.0; height];
    let mut line = Parabolas::default();
    for x in 0..width {
        (0..height).for_each(|y| column[y] = map[y * width + x]);
        let out = line.lower_envelope(&column);
        (0..height).for_each(|y| map[y * width + x] = out[y]);
    }
    for row in map.chunks_exact_mut(width) {
        let out = line.lower_envelope(row);
        row.copy_from_slice(out);
    }
    map
}

#[derive(Default)]
struct Parabolas {
    vertex: Vec<usize>,
    from: Vec<f64>,
    out: Vec<f64>,
}

impl Parabolas {
    /// At each place the least of (place - i)² + heights[i].
    fn lower_envelope(&mut self, heights: &[f64]) -> &[f64] {
        self.vertex.clear();
        self.from.clear();
        for (i, height) in heights.iter().enumerate() {
            let mut begins = f64::NEG_INFINITY;
            while let (Some(&last), Some(&last_from)) = (self.vertex.last(), self.from.last()) {
                let (q, v) = (i as f64, last as f64);
                begins = ((height + q * q) - (heights[last] + v * v)) / (2.0 * (q - v));
                if begins > last_from {
                    break;
                }
                self.vertex.pop();
                self.from.pop();
                begins = f64::NEG_INFINITY;
            }
            self.vertex.push(i);
            self.from.push(begins);
        }
        self.out.clear();
        let mut at = 0;
        for place in 0..heights.len() {
            while self.from.get(at + 1).is_some_and(|&from| from < place as f64) {
                at += 1;
            }
            let vertex = self.vertex[at];
            self.out.push((place as f64 - vertex as f64).powi(2) + heights[vertex]);
        }
        &self.out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn square(width: usize, height: usize, x: usize, y: usize, side: usize) -> Vec<u8> {
        (0..width * height).map(|i| u8::from((x..x + side).contains(&(i % width)) && (y..y + side).contains(&(i / width)))).collect()
    }

    #[test]
    fn the_same_border_is_no_distance_and_a_shift_is_its_length() {
        let truth = square(40, 30, 10, 8, 12);
        let same = Borders::of(&truth, &truth, 40, None, 1);
        assert_eq!((same.hd95(), same.f1(0.0)), (Some(0.0), Some(1.0)));
        let shifted = Borders::of(&truth, &square(40, 30, 13, 8, 12), 40, None, 1);
        assert_eq!(shifted.hd95(), Some(3.0));
        assert_eq!(shifted.f1(3.0), Some(1.0));
        assert!(shifted.f1(2.0).is_some_and(|f1| f1 < 0.95));
    }

    #[test]
    fn what_only_one_has_is_infinitely_far_and_what_none_has_is_no_figure() {
        let (truth, nothing) = (square(20, 20, 5, 5, 6), vec![0; 400]);
        let missed = Borders::of(&truth, &nothing, 20, None, 1);
        assert_eq!((missed.hd95(), missed.f1(2.0)), (Some(f64::INFINITY), Some(0.0)));
        let none = Borders::of(&nothing, &nothing, 20, None, 1);
        assert_eq!((none.hd95(), none.f1(2.0)), (None, None));
        // Where nobody knows, there is no border.
        let ignored: Vec<u8> = truth.iter().map(|&id| if id == 1 { 255 } else { 0 }).collect();
        assert_eq!(Borders::of(&ignored, &truth, 20, Some(255), 1).hd95(), None);
    }

    proptest! {
        #[test]
        fn distances_are_those_of_the_nearest_pixel(
            width in 1usize..12, height in 1usize..12, seed in proptest::collection::vec(any::<bool>(), 144)) {
            let mut set = seed[..width * height].to_vec();
            set[0] = true;
            let found = squared_distances(&set, width);
            for (i, &found) in found.iter().enumerate() {
                let off = |j: usize| (i % width).abs_diff(j % width).pow(2) + (i / width).abs_diff(j / width).pow(2);
                let nearest = (0..set.len()).filter(|&j| set[j]).map(off).min().unwrap();
                prop_assert_eq!(found, nearest as f64);
            }
        }
    }
}
