//! R'G'B' (full range, 8 bit) to NV12 (BT.709, limited range) and back, in 14-bit integers, rounded half up.

use crate::base::simd::wide;
use crate::frame::FrameView;

const Y: [i32; 3] = [2991, 10063, 1016];
const CB: [i32; 3] = [-1649, -5547, 7196];
const CR: [i32; 3] = [7196, -6536, -660];
const HALF: i32 = 1 << 13;

/// One row of three planes.
#[derive(Debug, Clone)]
pub struct RgbRow {
    pub r: Vec<u8>,
    pub g: Vec<u8>,
    pub b: Vec<u8>,
}

impl RgbRow {
    pub fn new(width: usize) -> Self {
        RgbRow { r: vec![0; width], g: vec![0; width], b: vec![0; width] }
    }
}

wide! {
    /// Luma of one row; `noise` (as wide) is the camera's, in code values.
    pub fn luma(row: &RgbRow, noise: &[i8], y: &mut [u8]) {
        for ((((y, &r), &g), &b), &n) in y.iter_mut().zip(&row.r).zip(&row.g).zip(&row.b).zip(noise) {
            let v = (Y[0] * i32::from(r) + Y[1] * i32::from(g) + Y[2] * i32::from(b) + HALF) >> 14;
            *y = (v + 16 + i32::from(n)).clamp(16, 235) as u8;
        }
    }

    /// Chroma of two rows: each pair of samples is the mean of 2×2 pixels; an odd last column or row stands for itself.
    pub fn chroma(upper: &RgbRow, lower: &RgbRow, uv: &mut [u8]) {
        let width = upper.r.len();
        let quad = |a: &[u8], b: &[u8], x: usize, next: usize| i32::from(a[x]) + i32::from(a[next]) + i32::from(b[x]) + i32::from(b[next]);
        for (i, pair) in uv.chunks_exact_mut(2).enumerate() {
            let (x, next) = (2 * i, (2 * i + 1).min(width - 1));
            let r = quad(&upper.r, &lower.r, x, next);
            let g = quad(&upper.g, &lower.g, x, next);
            let b = quad(&upper.b, &lower.b, x, next);
            pair[0] = (((CB[0] * r + CB[1] * g + CB[2] * b + 4 * HALF) >> 16) + 128).clamp(16, 240) as u8;
            pair[1] = (((CR[0] * r + CR[1] * g + CR[2] * b + 4 * HALF) >> 16) + 128).clamp(16, 240) as u8;
        }
    }
}

/// The picture as R, G, B bytes without gaps: what the labelled pictures are written from. Chroma is replicated.
pub fn rgb_of_nv12(view: &FrameView<'_>) -> Vec<u8> {
    let (width, height) = (view.layout.width, view.layout.height);
    let mut rgb = Vec::with_capacity(3 * width * height);
    for j in 0..height {
        let (luma, chroma) = (view.row(0, j), view.row(1, j / 2));
        for (i, &y) in luma.iter().enumerate() {
            let y = 19077 * (i32::from(y) - 16);
            let (cb, cr) = (i32::from(chroma[i & !1]) - 128, i32::from(chroma[i | 1]) - 128);
            for v in [y + 29372 * cr, y - 3494 * cb - 8731 * cr, y + 34610 * cb] {
                rgb.push(((v + HALF) >> 14).clamp(0, 255) as u8);
            }
        }
    }
    rgb
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::sim::Spec;
    use proptest::prelude::*;

    proptest! {
        /// A plain colour survives both ways within what 8 bits of limited range can hold; odd sizes too.
        #[test]
        fn a_colour_survives_both_ways(r: u8, g: u8, b: u8, width in 16usize..35) {
            let layout = Spec { width: width as u32, height: 17, ..Spec::default() }.layout().unwrap();
            let mut row = RgbRow::new(width);
            row.r.fill(r); row.g.fill(g); row.b.fill(b);
            let mut data = vec![0; layout.size];
            let [y, uv] = [layout.planes()[0], layout.planes()[1]];
            for j in 0..y.rows { luma(&row, &vec![0; width], &mut data[y.offset + j * y.stride..][..y.row_bytes]); }
            for j in 0..uv.rows { chroma(&row, &row, &mut data[uv.offset + j * uv.stride..][..uv.row_bytes]); }
            let back = rgb_of_nv12(&FrameView::new(&layout, &data).unwrap());
            prop_assert_eq!(back.len(), 3 * width * 17);
            for pixel in back.chunks_exact(3) {
                for (have, want) in pixel.iter().zip([r, g, b]) {
                    prop_assert!(have.abs_diff(want) <= 3, "{pixel:?} for {r} {g} {b}");
                }
            }
        }
    }
}
