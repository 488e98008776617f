//! Masks for `--masks`: the scene's class ids, brought to the captured picture's size.

use crate::scene::ClassMask;

/// Scales class ids to `width`×`height`: each pixel takes the class with the largest bilinear weight among its four
/// neighbours, which follows an edge where nearest-neighbour makes stairs.
pub fn upsample_mask(mask: &ClassMask, width: usize, height: usize) -> Vec<u8> {
    let (from_w, from_h) = (mask.width as usize, mask.height as usize);
    let axis = |size: usize, from: usize| -> Vec<(usize, usize, f32)> {
        (0..size)
            .map(|i| {
                let at = ((i as f32 + 0.5) * from as f32 / size as f32 - 0.5).clamp(0.0, (from - 1) as f32);
                let low = at as usize;
                (low, (low + 1).min(from - 1), at - low as f32)
            })
            .collect()
    };
    let (columns, rows) = (axis(width, from_w), axis(height, from_h));
    let mut out = vec![0u8; width * height];
    for (&(y0, y1, fy), line) in rows.iter().zip(out.chunks_exact_mut(width)) {
        let (upper, lower) = (&mask.ids[y0 * from_w..][..from_w], &mask.ids[y1 * from_w..][..from_w]);
        for (&(x0, x1, fx), pixel) in columns.iter().zip(line) {
            let corners =
                [(upper[x0], (1.0 - fx) * (1.0 - fy)), (upper[x1], fx * (1.0 - fy)), (lower[x0], (1.0 - fx) * fy), (lower[x1], fx * fy)];
            if corners.iter().all(|c| c.0 == corners[0].0) {
                *pixel = corners[0].0;
                continue;
            }
            let weight = |id: u8| corners.iter().filter(|c| c.0 == id).map(|c| c.1).sum::<f32>();
            let mut best = corners[0].0;
            for &(id, _) in &corners[1..] {
                if weight(id) > weight(best) {
                    best = id;
                }
            }
            *pixel = best;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_diagonal_edge_is_followed_between_the_cells() {
        let mask = ClassMask { width: 2, height: 2, ids: vec![1, 1, 1, 2] };
        let up = upsample_mask(&mask, 8, 8);
        assert_eq!((up[0], up[63]), (1, 2));
        assert_eq!(up[3 * 8 + 4], 1, "the corner cell does not spill over the edge's middle");
        assert!(up.iter().filter(|&&id| id == 2).count() < 16, "class 2 holds less than its nearest-neighbour quarter");
    }

    proptest! {
        #[test]
        fn no_class_is_invented_and_the_same_size_is_the_same_mask(ids in proptest::collection::vec(0u8..4, 12), width in 1usize..40, height in 1usize..40) {
            let mask = ClassMask { width: 4, height: 3, ids };
            prop_assert_eq!(&upsample_mask(&mask, 4, 3), &mask.ids);
            prop_assert!(upsample_mask(&mask, width, height).iter().all(|id| mask.ids.contains(id)));
        }
    }
}
