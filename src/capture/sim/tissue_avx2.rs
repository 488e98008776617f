//! `tissue` with AVX2: eight pixels at a time, the same integers.

use super::atlas::Atlas;
use super::drawing::Speculars;
use super::map::Warp;
use super::nv12::RgbRow;
use super::tissue::Tissue;
use std::arch::x86_64::*;
use std::ops::Range;

#[target_feature(enable = "avx2")]
pub(super) fn draw(tissue: &Tissue<'_>, warp: &Warp, within: Range<usize>, row: &mut RgbRow) {
    let weights = Weights::new();
    let wanted_y = tissue.speculars.wanted_y[tissue.y];
    warp.runs(tissue.y, within.start, within.end, |columns, mut at, step| {
        let mut column = columns.start;
        while column + 8 <= columns.end {
            let texels = weights.eight(tissue.atlas, at, step);
            if let (Some(light), Some(wanted_x), Some(r), Some(g), Some(b)) = (
                tissue.light[column..].first_chunk(),
                tissue.speculars.wanted_x[column..].first_chunk(),
                row.r[column..].first_chunk_mut(),
                row.g[column..].first_chunk_mut(),
                row.b[column..].first_chunk_mut(),
            ) {
                let lit = lit(texels, tissue.speculars, load8x16(light), load8x32(wanted_x), wanted_y);
                for (colour, out) in lit.into_iter().zip([r, g, b]) {
                    store8(colour, out);
                }
            }
            at = [at[0] + 8 * step[0], at[1] + 8 * step[1]];
            column += 8;
        }
        tissue.run(column..columns.end, at, step, row);
    });
}

#[inline]
#[target_feature(enable = "avx2")]
fn load8x16(words: &[u16; 8]) -> __m128i {
    // SAFETY: 16 bytes are readable; the load is unaligned.
    unsafe { _mm_loadu_si128(words.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx2")]
fn load8x32(words: &[i32; 8]) -> __m256i {
    // SAFETY: 32 bytes are readable; the load is unaligned.
    unsafe { _mm256_loadu_si256(words.as_ptr().cast()) }
}

/// Two neighbouring texels, each byte in a lane of its own.
#[inline]
#[target_feature(enable = "avx2")]
fn load_two(texels: &[u64; 2]) -> __m256i {
    // SAFETY: 16 bytes are readable; the load is unaligned.
    _mm256_cvtepu8_epi16(unsafe { _mm_loadu_si128(texels.as_ptr().cast()) })
}

/// Eight words, each at most 255, as bytes.
#[inline]
#[target_feature(enable = "avx2")]
fn store8(words: __m128i, out: &mut [u8; 8]) {
    // SAFETY: 8 bytes are writable; the store is unaligned.
    unsafe { _mm_storel_epi64(out.as_mut_ptr().cast(), _mm_packus_epi16(words, words)) }
}

/// R, G, B, gloss and the normal of eight pixels, with 8 bits of fraction as in `atlas::Sample`.
#[derive(Clone, Copy)]
struct Eight {
    rgb: [__m128i; 3],
    gloss: __m128i,
    normal: [__m128i; 2],
}

/// By the four bits of a position's fraction: how much each of two neighbours counts, of 16.
struct Weights {
    across: [__m256i; 16],
}

impl Weights {
    #[target_feature(enable = "avx2")]
    fn new() -> Self {
        let mut across = [_mm256_setzero_si256(); 16];
        for (second, pair) in across.iter_mut().enumerate() {
            *pair = _mm256_set_m128i(_mm_set1_epi16(second as i16), _mm_set1_epi16(16 - second as i16));
        }
        Weights { across }
    }

    /// Bilinear samples at `at`, at + `step`, … The four weights sum to 256, so no lane overflows.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn eight(&self, atlas: &Atlas, [mut u, mut v]: [i32; 2], [du, dv]: [i32; 2]) -> Eight {
        let width = atlas.grid.width;
        let mut pixels = [_mm_setzero_si128(); 8];
        for pixel in &mut pixels {
            let first = (v >> 16) as usize * width + (u >> 16) as usize;
            let (fu, fv) = ((u >> 12) as usize & 15, (v >> 12) as i16 & 15);
            // Both rows are inside, as for `Atlas::sample`, which would stop here as well.
            let (upper, lower) = (&atlas.texels[first..first + 2], &atlas.texels[first + width..first + width + 2]);
            if let (Some(upper), Some(lower)) = (upper.first_chunk(), lower.first_chunk()) {
                let upper = _mm256_mullo_epi16(load_two(upper), _mm256_set1_epi16(16 - fv));
                let lower = _mm256_mullo_epi16(load_two(lower), _mm256_set1_epi16(fv));
                let both = _mm256_mullo_epi16(_mm256_add_epi16(upper, lower), self.across[fu]);
                *pixel = _mm_add_epi16(_mm256_castsi256_si128(both), _mm256_extracti128_si256::<1>(both));
            }
            (u, v) = (u.wrapping_add(du), v.wrapping_add(dv));
        }
        by_channel(pixels)
    }
}

/// From eight pixels of eight words (R, gloss, G, x, B, y, class, nothing) to words by channel.
#[inline]
#[target_feature(enable = "avx2")]
fn by_channel(pixels: [__m128i; 8]) -> Eight {
    let pairs = |a: usize| (_mm_unpacklo_epi16(pixels[a], pixels[a + 1]), _mm_unpackhi_epi16(pixels[a], pixels[a + 1]));
    let ((a, b), (c, d), (e, f), (g, h)) = (pairs(0), pairs(2), pairs(4), pairs(6));
    let (red_gloss, more_red_gloss) = (_mm_unpacklo_epi32(a, c), _mm_unpacklo_epi32(e, g));
    let (green_x, more_green_x) = (_mm_unpackhi_epi32(a, c), _mm_unpackhi_epi32(e, g));
    let (blue_y, more_blue_y) = (_mm_unpacklo_epi32(b, d), _mm_unpacklo_epi32(f, h));
    let first = |a, b| _mm_unpacklo_epi64(a, b);
    let second = |a, b| _mm_unpackhi_epi64(a, b);
    Eight {
        rgb: [first(red_gloss, more_red_gloss), first(green_x, more_green_x), first(blue_y, more_blue_y)],
        gloss: second(red_gloss, more_red_gloss),
        normal: [second(green_x, more_green_x), second(blue_y, more_blue_y)],
    }
}

/// As `Tissue::run` lights: R, G, B, each at most 255.
#[inline]
#[target_feature(enable = "avx2")]
fn lit(texels: Eight, speculars: &Speculars, light: __m128i, wanted_x: __m256i, wanted_y: i32) -> [__m128i; 3] {
    // 127·256 is 1: bring it to 2048.
    let away = |normal, wanted| {
        let centred = _mm_srai_epi16::<4>(_mm_xor_si128(normal, _mm_set1_epi16(i16::MIN)));
        let away = _mm256_sub_epi32(_mm256_cvtepi16_epi32(centred), wanted);
        _mm256_mullo_epi32(away, away)
    };
    let [x, y] = texels.normal;
    let far = _mm256_srai_epi32::<7>(_mm256_add_epi32(away(x, wanted_x), away(y, _mm256_set1_epi32(wanted_y))));
    let index = _mm256_min_epu32(far, _mm256_set1_epi32(4095));
    // SAFETY: each index lies within the table's 4096 entries.
    let shine = unsafe { _mm256_i32gather_epi32::<4>(speculars.table.as_ptr().cast(), index) };
    let shine = _mm_packus_epi32(_mm256_castsi256_si128(shine), _mm256_extracti128_si256::<1>(shine));
    let at_most = _mm_min_epu16(light, _mm_set1_epi16(256));
    let shine = _mm_srli_epi16::<8>(_mm_mullo_epi16(_mm_mulhi_epu16(shine, texels.gloss), at_most));
    texels.rgb.map(|colour| {
        let colour = _mm_min_epu16(_mm_mulhi_epu16(colour, light), _mm_set1_epi16(255));
        let rest = _mm_sub_epi16(_mm_set1_epi16(255), colour);
        _mm_add_epi16(colour, _mm_srli_epi16::<8>(_mm_mullo_epi16(rest, shine)))
    })
}
