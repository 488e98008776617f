//! Intersection over union of boxes and of masks.

/// Of half-open boxes `[x0, y0, x1, y1]`; 0 where either has no area.
pub fn box_iou(a: [f32; 4], b: [f32; 4]) -> f32 {
    let area = |b: [f32; 4]| (b[2] - b[0]).max(0.0) * (b[3] - b[1]).max(0.0);
    let common = area([a[0].max(b[0]), a[1].max(b[1]), a[2].min(b[2]), a[3].min(b[3])]);
    let all = area(a) + area(b) - common;
    if all > 0.0 { common / all } else { 0.0 }
}

/// As `box_iou`, reckoned in f64: where an overlap stands against a limit.
pub fn box_iou_f64(a: [f32; 4], b: [f32; 4]) -> f64 {
    let (a, b) = (a.map(f64::from), b.map(f64::from));
    let area = |b: [f64; 4]| (b[2] - b[0]).max(0.0) * (b[3] - b[1]).max(0.0);
    let common = area([a[0].max(b[0]), a[1].max(b[1]), a[2].min(b[2]), a[3].min(b[3])]);
    let all = area(a) + area(b) - common;
    if all > 0.0 { common / all } else { 0.0 }
}

/// Of the pixels for which `is_in` says yes; None where neither mask has one. `ignore` (255 in labels) in `truth` counts
/// nowhere. Masks of different length are compared as far as the shorter reaches.
pub fn mask_iou(truth: &[u8], found: &[u8], ignore: Option<u8>, is_in: impl Fn(u8) -> bool) -> Option<f32> {
    let (mut common, mut all) = (0u64, 0u64);
    for (&t, &f) in truth.iter().zip(found).filter(|&(&t, _)| Some(t) != ignore) {
        let (t, f) = (is_in(t), is_in(f));
        common += u64::from(t && f);
        all += u64::from(t || f);
    }
    (all > 0).then(|| (common as f64 / all as f64) as f32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boxes_by_hand() {
        assert_eq!(box_iou([0.0, 0.0, 2.0, 2.0], [0.0, 0.0, 2.0, 2.0]), 1.0);
        assert!((box_iou([0.0, 0.0, 2.0, 2.0], [1.0, 0.0, 3.0, 2.0]) - 2.0 / 6.0).abs() < 1e-6);
        assert_eq!(box_iou([0.0, 0.0, 2.0, 2.0], [2.0, 0.0, 3.0, 2.0]), 0.0);
        assert_eq!(box_iou([0.0; 4], [0.0; 4]), 0.0);
    }

    #[test]
    fn masks_by_hand() {
        let (truth, found) = ([2, 2, 0, 255, 5], [2, 0, 2, 2, 5]);
        assert_eq!(mask_iou(&truth, &found, Some(255), |id| id == 2), Some(1.0 / 3.0));
        assert_eq!(mask_iou(&truth, &found, None, |id| id == 2), Some(0.25));
        assert_eq!(mask_iou(&truth, &found, None, |id| id == 9), None);
    }
}
