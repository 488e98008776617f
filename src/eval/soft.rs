//! Probabilities of classes over a picture, at the size at which an engine gives them, read at the picture's own pixels.

use crate::base::ids::ClassId;

/// One map of `width · height` probabilities a class, stretched over the whole picture.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Soft {
    pub width: usize,
    pub height: usize,
    pub planes: Vec<(ClassId, Vec<f32>)>,
}

/// Where the pixels of a picture lie between those of a map.
pub struct Sampler {
    columns: Vec<(usize, usize, f32)>,
    rows: Vec<(usize, usize, f32)>,
    width: usize,
}

impl Soft {
    pub fn plane(&self, class: ClassId) -> Option<&[f32]> {
        self.planes.iter().find(|plane| plane.0 == class).map(|plane| &plane.1[..])
    }

    pub fn sampler(&self, width: usize, height: usize) -> Sampler {
        let axis = |size: usize, from: usize| {
            let place = |i: usize| {
                let at = ((i as f32 + 0.5) * from as f32 / size as f32 - 0.5).clamp(0.0, from.saturating_sub(1) as f32);
                (at as usize, (at as usize + 1).min(from.saturating_sub(1)), at.fract())
            };
            (0..size).map(place).collect()
        };
        Sampler { columns: axis(width, self.width), rows: axis(height, self.height), width: self.width }
    }
}

impl Sampler {
    /// Bilinear, as masks are brought to the picture's size.
    #[inline]
    pub fn at(&self, plane: &[f32], x: usize, y: usize) -> f32 {
        let ((x0, x1, fx), (y0, y1, fy)) = (self.columns[x], self.rows[y]);
        let (upper, lower) = (&plane[y0 * self.width..][..self.width], &plane[y1 * self.width..][..self.width]);
        let above = upper[x0] + fx * (upper[x1] - upper[x0]);
        let below = lower[x0] + fx * (lower[x1] - lower[x0]);
        above + fy * (below - above)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_of_the_same_size_is_read_as_it_is_and_a_larger_one_between() {
        let soft = Soft { width: 2, height: 2, planes: vec![(ClassId(2), vec![0.0, 1.0, 0.5, 0.25])] };
        let plane = soft.plane(ClassId(2)).unwrap();
        let same = soft.sampler(2, 2);
        assert_eq!([same.at(plane, 0, 0), same.at(plane, 1, 0), same.at(plane, 0, 1), same.at(plane, 1, 1)], [0.0, 1.0, 0.5, 0.25]);
        let larger = soft.sampler(4, 4);
        assert_eq!((larger.at(plane, 0, 0), larger.at(plane, 1, 0), larger.at(plane, 3, 3)), (0.0, 0.25, 0.25));
        assert_eq!(soft.plane(ClassId(3)), None);
    }
}
