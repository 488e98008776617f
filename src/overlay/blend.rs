//! Laying a premultiplied pixel over another, specified in integers:
//!
//! ```text
//!   out = src + round(dst · (255 − a) / 255)      each channel; round(v / 255) = (t + (t >> 8)) >> 8 with t = v + 128
//! ```
//! which is exact for all v up to 255². Where a = 0, src is 0 and the picture's bytes stay what they are.
//! `shaders/compose.wgsl` computes the same.

use crate::base::simd::wide;

/// One pixel, as little-endian B, G, R, A/X in a u32; `src` is premultiplied.
#[inline(always)]
pub fn over(src: u32, dst: u32) -> u32 {
    const HALF: u32 = 0x00ff_00ff;
    let rest = 255 - (src >> 24);
    // Two channels at a time; each product stays below 2^16, so neighbours do not touch.
    let even = (dst & HALF) * rest + 0x0080_0080;
    let odd = ((dst >> 8) & HALF) * rest + 0x0080_0080;
    let even = ((even + ((even >> 8) & HALF)) >> 8) & HALF;
    let odd = (odd + ((odd >> 8) & HALF)) & !HALF;
    src.wrapping_add(even | odd)
}

wide! {
    /// A row of premultiplied BGRA over a row of BGRX of the same length.
    pub fn row_over(src: &[u8], dst: &mut [u8]) {
        const EIGHT: usize = 32;
        let (src_eights, src_rest) = src.as_chunks::<EIGHT>();
        let (dst_eights, dst_rest) = dst.as_chunks_mut::<EIGHT>();
        for (src, dst) in src_eights.iter().zip(dst_eights) {
            // An overlay is mostly nothing.
            if *src != [0; EIGHT] {
                eight_over(src, dst);
            }
        }
        for (src, dst) in src_rest.as_chunks::<4>().0.iter().zip(dst_rest.as_chunks_mut::<4>().0) {
            *dst = over(u32::from_le_bytes(*src), u32::from_le_bytes(*dst)).to_le_bytes();
        }
    }
}

/// Eight pixels, all at once.
#[inline(always)]
fn eight_over(src: &[u8; 32], dst: &mut [u8; 32]) {
    let pixels = |bytes: &[u8; 32]| -> [u32; 8] {
        std::array::from_fn(|i| u32::from_le_bytes([bytes[4 * i], bytes[4 * i + 1], bytes[4 * i + 2], bytes[4 * i + 3]]))
    };
    let (src, below) = (pixels(src), pixels(dst));
    let out: [u32; 8] = std::array::from_fn(|i| over(src[i], below[i]));
    for (dst, out) in dst.as_chunks_mut::<4>().0.iter_mut().zip(out) {
        *dst = out.to_le_bytes();
    }
}

/// A colour with an alpha of 0..=255 as a premultiplied BGRA pixel.
pub fn premultiplied(rgb: [u8; 3], alpha: u8) -> u32 {
    let scale = |channel: u8| {
        let t = u32::from(channel) * u32::from(alpha) + 128;
        (t + (t >> 8)) >> 8
    };
    scale(rgb[2]) | scale(rgb[1]) << 8 | scale(rgb[0]) << 16 | u32::from(alpha) << 24
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_division_is_exact_for_every_value_and_alpha() {
        for dst in 0..=255u32 {
            for rest in 0..=255u32 {
                let wish = (f64::from(dst * rest) / 255.0).round() as u32;
                let src = (255 - rest) << 24;
                let got = over(src, dst | dst << 8 | dst << 16 | 255 << 24);
                assert_eq!(got, wish | wish << 8 | wish << 16 | 255 << 24);
            }
        }
    }

    #[test]
    fn transparent_changes_nothing_and_opaque_replaces() {
        for dst in [0xff00_0000, 0xff12_34ab, 0xffff_ffff] {
            assert_eq!(over(0, dst), dst);
            assert_eq!(over(0xff65_4321, dst), 0xff65_4321);
        }
    }

    proptest! {
        #[test]
        fn rows_are_pixels_over_pixels(pixels in proptest::collection::vec((any::<[u8; 3]>(), any::<u8>(), any::<[u8; 3]>(), 0u8..4), 0..70)) {
            let src: Vec<u8> = pixels.iter().flat_map(|(rgb, a, _, keep)| premultiplied(*rgb, if *keep == 0 { *a } else { 0 }).to_le_bytes()).collect();
            let dst: Vec<u8> = pixels.iter().flat_map(|(_, _, p, _)| [p[0], p[1], p[2], 255]).collect();
            let mut got = dst.clone();
            row_over(&src, &mut got);
            for ((src, dst), got) in src.chunks(4).zip(dst.chunks(4)).zip(got.chunks(4)) {
                for channel in 0..3 {
                    let wish = u32::from(src[channel]) + (f64::from(u32::from(dst[channel]) * (255 - u32::from(src[3]))) / 255.0).round() as u32;
                    prop_assert_eq!(u32::from(got[channel]), wish);
                }
                prop_assert_eq!(got[3], 255);
            }
        }
    }
}
