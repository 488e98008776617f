//! Where the marker lies in a capture: a projective map from blocks to capture pixels, and its fit.

use super::layout::{COLUMNS, Placement, ROWS};

/// The middle of the marker, and the scale that keeps the fit well conditioned; in blocks.
const MIDDLE: [f64; 2] = [COLUMNS as f64 / 2.0, ROWS as f64 / 2.0];
const REACH: f64 = COLUMNS as f64 / 2.0;
pub(super) const UNKNOWNS: usize = 8;

/// Maps blocks (column, row; continuous, the marker's upper left corner is 0, 0) to pixels of the capture.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Geometry {
    /// x = (h0 u + h1 v + h2) / (h6 u + h7 v + 1), y = (h3 u + h4 v + h5) / …; u, v are blocks from the middle, over `REACH`.
    h: [f64; UNKNOWNS],
}

/// capture = (xx · x + xy · y + x0, yx · x + yy · y + y0), pixels of the source to pixels of the capture.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Affine {
    pub xx: f64,
    pub xy: f64,
    pub x0: f64,
    pub yx: f64,
    pub yy: f64,
    pub y0: f64,
}

impl Geometry {
    /// The map of an exact, unscaled capture.
    pub fn of(placement: Placement) -> Self {
        let block_px = placement.block_px() as f64;
        let x = placement.x() as f64 + MIDDLE[0] * block_px;
        let y = placement.y() as f64 + MIDDLE[1] * block_px;
        Geometry { h: [REACH * block_px, 0.0, x, 0.0, REACH * block_px, y, 0.0, 0.0] }
    }

    /// The map that takes four blocks to four pixels; None where three of them lie on a line.
    pub(super) fn from_four(blocks: [[f64; 2]; 4], pixels: [[f64; 2]; 4]) -> Option<Self> {
        let mut system = [[0.0; UNKNOWNS + 1]; UNKNOWNS];
        for (i, (block, [x, y])) in blocks.into_iter().zip(pixels).enumerate() {
            let [u, v] = normal(block);
            system[2 * i] = [u, v, 1.0, 0.0, 0.0, 0.0, -x * u, -x * v, x];
            system[2 * i + 1] = [0.0, 0.0, 0.0, u, v, 1.0, -y * u, -y * v, y];
        }
        Some(Geometry { h: solve(system)? })
    }

    /// Pixel of a place in blocks.
    pub fn at(&self, column: f32, row: f32) -> (f32, f32) {
        let (x, y) = self.exact([f64::from(column), f64::from(row)]);
        (x as f32, y as f32)
    }

    fn exact(&self, block: [f64; 2]) -> (f64, f64) {
        let ([u, v], h) = (normal(block), &self.h);
        let over = h[6] * u + h[7] * v + 1.0;
        ((h[0] * u + h[1] * v + h[2]) / over, (h[3] * u + h[4] * v + h[5]) / over)
    }

    /// Pixel of a place, and how far it goes with one column and with one row.
    pub(super) fn frame(&self, column: f32, row: f32) -> Frame {
        let ([u, v], h) = (normal([f64::from(column), f64::from(row)]), &self.h);
        let over = 1.0 / (h[6] * u + h[7] * v + 1.0);
        let (x, y) = ((h[0] * u + h[1] * v + h[2]) * over, (h[3] * u + h[4] * v + h[5]) * over);
        let slope = |top: f64, under: f64, at: f64| ((top - at * under) * over / REACH) as f32;
        Frame {
            at: [x as f32, y as f32],
            across: [slope(h[0], h[6], x), slope(h[3], h[6], y)],
            down: [slope(h[1], h[7], x), slope(h[4], h[7], y)],
            over,
            uv: [u, v],
            exact: [x, y],
        }
    }

    /// The best straight map at the marker's middle, from the source's pixels, where the marker was painted at `placement`.
    pub fn affine(&self, placement: Placement) -> Affine {
        let Frame { exact: [x, y], across, down, .. } = self.frame(MIDDLE[0] as f32, MIDDLE[1] as f32);
        let block_px = placement.block_px() as f64;
        let [xx, yx] = across.map(|v| f64::from(v) / block_px);
        let [xy, yy] = down.map(|v| f64::from(v) / block_px);
        let from_x = placement.x() as f64 + MIDDLE[0] * block_px;
        let from_y = placement.y() as f64 + MIDDLE[1] * block_px;
        Affine { xx, xy, x0: x - xx * from_x - xy * from_y, yx, yy, y0: y - yx * from_x - yy * from_y }
    }

    /// Largest distance of a corner of the marker from where `of(placement)`, moved by (x, y), puts it; in capture pixels.
    /// Zero for an exact capture; one whole pixel of shift is 1.
    pub fn deviation_px(&self, placement: Placement, moved: (f64, f64)) -> f64 {
        let right = Geometry::of(placement);
        let corners = [[0.0, 0.0], [COLUMNS as f64, 0.0], [0.0, ROWS as f64], [COLUMNS as f64, ROWS as f64]];
        let far = corners.map(|corner| {
            let ((x, y), (right_x, right_y)) = (self.exact(corner), right.exact(corner));
            (x - right_x - moved.0).hypot(y - right_y - moved.1)
        });
        far.into_iter().fold(0.0, f64::max)
    }

    pub(super) fn is_finite(&self) -> bool {
        self.h.iter().all(|v| v.is_finite())
    }
}

/// A place under a map.
pub(super) struct Frame {
    pub at: [f32; 2],
    /// Pixels for one column to the right.
    pub across: [f32; 2],
    /// Pixels for one row down.
    pub down: [f32; 2],
    over: f64,
    uv: [f64; 2],
    exact: [f64; 2],
}

/// Least squares for a better map: each observation says how far, along a direction, a place lies from where the map puts it.
pub(super) struct Fit {
    system: [[f64; UNKNOWNS + 1]; UNKNOWNS],
    squares: f64,
    pub observations: usize,
}

impl Fit {
    pub fn new() -> Self {
        Fit { system: [[0.0; UNKNOWNS + 1]; UNKNOWNS], squares: 0.0, observations: 0 }
    }

    /// `direction`: of unit length; `off_px`: where the place is seen, from where the map puts it.
    pub fn observe(&mut self, place: &Frame, direction: [f32; 2], off_px: f32) {
        let ([u, v], [x, y], [dx, dy]) = (place.uv, place.exact, direction.map(f64::from));
        let toward = x * dx + y * dy;
        let slopes = [u * dx, v * dx, dx, u * dy, v * dy, dy, -toward * u, -toward * v].map(|slope| slope * place.over);
        for (row, slope) in self.system.iter_mut().zip(slopes) {
            for (sum, other) in row.iter_mut().zip(slopes) {
                *sum += slope * other;
            }
            row[UNKNOWNS] += slope * f64::from(off_px);
        }
        self.squares += f64::from(off_px).powi(2);
        self.observations += 1;
    }

    /// Root mean square of what was seen off.
    pub fn off_px(&self) -> f32 {
        (self.squares / self.observations.max(1) as f64).sqrt() as f32
    }

    /// The better map, and the root mean square of what is still off with it.
    pub fn better(self, map: &Geometry) -> Option<(Geometry, f32)> {
        let step = solve(self.system)?;
        let better = Geometry { h: std::array::from_fn(|i| map.h[i] + step[i]) };
        let explained: f64 = step.iter().zip(&self.system).map(|(step, row)| step * row[UNKNOWNS]).sum();
        let left = (self.squares - explained).max(0.0) / self.observations as f64;
        better.is_finite().then_some((better, left.sqrt() as f32))
    }
}

fn normal([column, row]: [f64; 2]) -> [f64; 2] {
    [(column - MIDDLE[0]) / REACH, (row - MIDDLE[1]) / REACH]
}

/// Gauss with the largest pivot of each column; None: singular.
fn solve(mut system: [[f64; UNKNOWNS + 1]; UNKNOWNS]) -> Option<[f64; UNKNOWNS]> {
    for pivot in 0..UNKNOWNS {
        let largest = (pivot..UNKNOWNS).max_by(|&a, &b| system[a][pivot].abs().total_cmp(&system[b][pivot].abs()))?;
        system.swap(pivot, largest);
        let by = system[pivot];
        if by[pivot].abs() < 1e-9 {
            return None;
        }
        for row in &mut system[pivot + 1..] {
            let factor = row[pivot] / by[pivot];
            for (value, by) in row[pivot..].iter_mut().zip(&by[pivot..]) {
                *value -= factor * by;
            }
        }
    }
    let mut x = [0.0; UNKNOWNS];
    for i in (0..UNKNOWNS).rev() {
        let known: f64 = (i + 1..UNKNOWNS).map(|j| system[i][j] * x[j]).sum();
        x[i] = (system[i][UNKNOWNS] - known) / system[i][i];
    }
    Some(x)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exact_capture_is_the_identity() {
        let placement = Placement::at(688, 332, 16).unwrap();
        let Affine { xx, xy, x0, yx, yy, y0 } = Geometry::of(placement).affine(placement);
        let off = [xx - 1.0, xy, x0, yx, yy - 1.0, y0];
        assert!(off.iter().all(|v| v.abs() < 1e-4), "{off:?}");
        assert_eq!(Geometry::of(placement).deviation_px(placement, (0.0, 0.0)), 0.0);
        assert!((Geometry::of(placement).deviation_px(placement, (1.0, 0.0)) - 1.0).abs() < 1e-9);
    }

    #[test]
    fn observed_offsets_lead_to_the_true_map() {
        let blocks = [[4.5, 4.5], [29.5, 4.5], [4.5, 21.5], [29.5, 21.5]];
        let truth = Geometry::from_four(blocks, [[100.0, 90.0], [501.0, 101.0], [93.0, 371.0], [512.0, 360.0]]).unwrap();
        let mut map = Geometry::from_four(blocks, [[101.0, 91.0], [500.0, 100.0], [94.0, 370.0], [513.0, 361.0]]).unwrap();
        for _ in 0..4 {
            let mut fit = Fit::new();
            for (column, row) in (0..34).flat_map(|c| (0..26).map(move |r| (c as f32, r as f32))) {
                let ((x, y), place) = (truth.at(column, row), map.frame(column, row));
                fit.observe(&place, [1.0, 0.0], x - place.at[0]);
                fit.observe(&place, [0.0, 1.0], y - place.at[1]);
            }
            map = fit.better(&map).unwrap().0;
        }
        for corner in [[0.0, 0.0], [34.0, 26.0]] {
            let ((x, y), (true_x, true_y)) = (map.exact(corner), truth.exact(corner));
            assert!((x - true_x).hypot(y - true_y) < 1e-3);
        }
    }

    #[test]
    fn four_places_on_a_line_have_no_map() {
        assert!(Geometry::from_four([[0.0, 0.0], [1.0, 0.0], [2.0, 0.0], [3.0, 0.0]], [[0.0, 0.0]; 4]).is_none());
    }
}
