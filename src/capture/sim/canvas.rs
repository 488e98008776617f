//! A picture as scripted scenes are made of: display-encoded R'G'B' in floats, 0..1, row by row.

use super::noise::mix;

#[derive(Debug, Clone)]
pub struct Canvas {
    pub width: usize,
    pub height: usize,
    pub pixels: Vec<[f32; 3]>,
}

/// Discs with more pixels of radius than this are drawn on a smaller copy: nobody sees the difference.
const FINEST_RADIUS: f32 = 6.0;

impl Canvas {
    pub fn new(width: usize, height: usize) -> Self {
        Canvas { width, height, pixels: vec![[0.0; 3]; width * height] }
    }

    /// The pixel, or the nearest one inside.
    pub fn at(&self, x: isize, y: isize) -> [f32; 3] {
        let clamp = |v: isize, side: usize| v.clamp(0, side as isize - 1) as usize;
        self.pixels[clamp(y, self.height) * self.width + clamp(x, self.width)]
    }

    /// Bilinear; pixel centres are at whole numbers.
    pub fn sample(&self, x: f32, y: f32) -> [f32; 3] {
        let (x, y) = (x.clamp(-1.0, self.width as f32), y.clamp(-1.0, self.height as f32));
        let (i, j) = (x.floor(), y.floor());
        let (u, v) = (x - i, y - j);
        let (i, j) = (i as isize, j as isize);
        let [a, b, c, d] = [self.at(i, j), self.at(i + 1, j), self.at(i, j + 1), self.at(i + 1, j + 1)];
        [0, 1, 2].map(|k| mix(mix(a[k], b[k], u), mix(c[k], d[k], u), v))
    }

    /// Each pixel is the mean of `by`×`by`.
    pub fn shrunk(&self, by: usize) -> Canvas {
        let mut small = Canvas::new(self.width.div_ceil(by), self.height.div_ceil(by));
        for j in 0..small.height {
            for i in 0..small.width {
                let mut sum = [0.0; 3];
                for (y, x) in (0..by * by).map(|n| (j * by + n / by, i * by + n % by)) {
                    let pixel = self.at(x as isize, y as isize);
                    sum = [0, 1, 2].map(|k| sum[k] + pixel[k]);
                }
                small.pixels[j * small.width + i] = sum.map(|v| v / (by * by) as f32);
            }
        }
        small
    }

    fn enlarged(&self, by: usize, width: usize, height: usize) -> Canvas {
        let mut large = Canvas::new(width, height);
        let place = |v: usize| (v as f32 + 0.5) / by as f32 - 0.5;
        for (y, row) in large.pixels.chunks_exact_mut(width).enumerate() {
            for (x, pixel) in row.iter_mut().enumerate() {
                *pixel = self.sample(place(x), place(y));
            }
        }
        large
    }

    /// Out of focus: each point becomes a disc, and bright points show it.
    pub fn defocused(&self, radius_px: f32) -> Canvas {
        if radius_px < 0.5 {
            return self.clone();
        }
        let by = (radius_px / FINEST_RADIUS).ceil().max(1.0) as usize;
        if by > 1 {
            return self.shrunk(by).defocused(radius_px / by as f32).enlarged(by, self.width, self.height);
        }
        let weighted = |[r, g, b]: [f32; 3]| {
            let light = (0.3 * r + 0.6 * g + 0.1 * b).clamp(0.0, 1.0);
            let w = 1.0 + 6.0 * light.powi(4);
            [r * w, g * w, b * w, w]
        };
        // Running sums along each row, so that a disc costs two look-ups a row.
        let mut sums = vec![[0.0f32; 4]; (self.width + 1) * self.height];
        for (row, sums) in self.pixels.chunks_exact(self.width).zip(sums.chunks_exact_mut(self.width + 1)) {
            for (x, pixel) in row.iter().enumerate() {
                let add = weighted(*pixel);
                sums[x + 1] = [0, 1, 2, 3].map(|k| sums[x][k] + add[k]);
            }
        }
        let reach = radius_px as isize;
        let mut out = Canvas::new(self.width, self.height);
        for (at, pixel) in out.pixels.iter_mut().enumerate() {
            let (x, y) = ((at % self.width) as isize, (at / self.width) as isize);
            let mut total = [0.0f32; 4];
            for dy in -reach..=reach {
                let half = (radius_px * radius_px - (dy * dy) as f32).max(0.0).sqrt() as isize;
                let row = (y + dy).clamp(0, self.height as isize - 1) as usize * (self.width + 1);
                let (from, to) = ((x - half).max(0) as usize, (x + half + 1).min(self.width as isize) as usize);
                total = [0, 1, 2, 3].map(|k| total[k] + sums[row + to][k] - sums[row + from][k]);
            }
            *pixel = [0, 1, 2].map(|k| total[k] / total[3].max(1e-6));
        }
        out
    }

    /// The mean over a square of 2·`radius_px`+1 pixels.
    pub fn boxed(&self, radius_px: usize) -> Canvas {
        let r = radius_px as isize;
        let pass = |from: &Canvas, across: bool| {
            let mut out = Canvas::new(self.width, self.height);
            for (at, pixel) in out.pixels.iter_mut().enumerate() {
                let (x, y) = ((at % self.width) as isize, (at / self.width) as isize);
                let mut sum = [0.0; 3];
                for d in -r..=r {
                    let near = if across { from.at(x + d, y) } else { from.at(x, y + d) };
                    sum = [0, 1, 2].map(|k| sum[k] + near[k]);
                }
                *pixel = sum.map(|v| v / (2 * r + 1) as f32);
            }
            out
        };
        pass(&pass(self, true), false)
    }
}

/// `over` in front of `under`, covering `alpha` of it.
pub fn cover(under: &mut [f32; 3], over: [f32; 3], alpha: f32) {
    for (u, o) in under.iter_mut().zip(over) {
        *u += (o - *u) * alpha;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blurs_keep_a_plain_picture_and_spread_a_point() {
        let mut canvas = Canvas::new(41, 31);
        canvas.pixels.fill([0.2, 0.4, 0.6]);
        for blurred in [canvas.defocused(3.0), canvas.defocused(17.0), canvas.boxed(2)] {
            assert!(blurred.pixels.iter().all(|p| (p[0] - 0.2).abs() < 1e-3 && (p[2] - 0.6).abs() < 1e-3));
        }
        canvas.pixels[15 * 41 + 20] = [1.0; 3];
        let disc = canvas.defocused(4.0);
        assert!(disc.at(23, 15)[0] > 0.21 && (disc.at(27, 15)[0] - 0.2).abs() < 1e-3);
    }
}
